//! `lookalike bench`

mod graph;

use std::path::PathBuf;

use lookalike_base::Watch;
use lookalike_base::progress::{Cancellation, ProgressDisplay};
use lookalike_data::text::InvalidUtf8;
use lookalike_kernels::level;
use lookalike_learn::cost::images::{self, ResNetShares, Shares, StepCost, StepOptions, VitShares};
use lookalike_learn::cost::texts::{self, TextShares, TextStepCost, TextStepOptions};
use lookalike_learn::encoder::resnet::{self, Stem};
use lookalike_learn::encoder::text::Body;
use lookalike_learn::encoder::vit;
use lookalike_learn::engine::Precision;
use lookalike_learn::sentence::{EncodeOptions, cost as cost_of_texts};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

use crate::failure::Failure;
use crate::output::say;
use crate::progress::Terminal;
use crate::table::Table;
use crate::text;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Time training steps. Images, which are noise: forward, cross-entropy of 128 outputs, backward, SGD. Texts of a file: each twice
    /// through the encoder with dropout, InfoNCE, backward, AdamW with clipping.
    Step(StepArguments),
    /// Time the encoding of texts by a sentence encoder, tokenising included.
    Encode(EncodeArguments),
    /// Time proximity graphs of noise, beside a product of matrices in the same run.
    Graph(graph::GraphArguments),
}

#[derive(clap::Args)]
struct EncodeArguments {
    /// Folder of the sentence encoder
    #[arg(long, value_name = "FOLDER")]
    weights: PathBuf,
    /// File of texts, one a line
    #[arg(long, value_name = "FILE")]
    texts: PathBuf,
    /// What linear layers multiply: f32 or bf16
    #[arg(long, default_value = "f32", value_parser = named::<Precision>)]
    precision: Precision,
    /// Print one line of JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct StepArguments {
    /// small, resnet18, resnet34, resnet50, vit-small or vit-tiny; of texts bert or static
    #[arg(long, default_value = "resnet18", value_parser = StepEncoder::parse)]
    encoder: StepEncoder,
    /// Residual networks: what stands before the first block, cifar (the default) or imagenet
    #[arg(long, value_parser = named::<Stem>)]
    stem: Option<Stem>,
    /// Images: height and width, 32 if not given
    #[arg(long, value_name = "PIXELS")]
    image_size: Option<usize>,
    /// Texts: folder of the sentence encoder
    #[arg(long, value_name = "FOLDER")]
    weights: Option<PathBuf>,
    /// Texts: file of texts, one a line
    #[arg(long, value_name = "FILE")]
    texts: Option<PathBuf>,
    /// Texts: most tokens of one, those of its beginning and end included; what the folder says if not given
    #[arg(long, value_name = "TOKENS")]
    max_length: Option<usize>,
    /// Texts: a layer that does not learn, by the beginning of its name; may be repeated
    #[arg(long, value_name = "NAME")]
    freeze: Vec<String>,
    /// Images of a step, or texts, each of which is encoded twice
    #[arg(long, default_value_t = 64, value_name = "COUNT")]
    batch: usize,
    /// What convolutions and linear layers multiply: f32 or bf16
    #[arg(long, default_value = "f32", value_parser = named::<Precision>)]
    precision: Precision,
    /// Where to compute: cpu, cuda:0, wgpu
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Steps that are timed, after two that are not
    #[arg(long, default_value_t = 10)]
    steps: usize,
    /// Print one line of JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Whose step is timed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum StepEncoder {
    /// A residual network of images.
    ResNet(resnet::Architecture),
    /// A Vision Transformer.
    Vit(vit::Architecture),
    /// A transformer.
    Bert,
    /// A table of one vector a token.
    Static,
}

impl StepEncoder {
    fn parse(name: &str) -> Result<Self, Error> {
        match name {
            "bert" => Ok(Self::Bert),
            "static" => Ok(Self::Static),
            name if name.starts_with("vit") => named(name).map(Self::Vit),
            name => named(name).map(Self::ResNet),
        }
    }
}

/// The value that recipes give that name.
pub(crate) fn named<T: for<'a> Deserialize<'a>>(name: &str) -> Result<T, Error> {
    let deserializer: StrDeserializer<'_, Error> = name.into_deserializer();
    T::deserialize(deserializer)
}

pub(crate) fn run(arguments: Arguments, cancellation: &Cancellation) -> Result<(), Failure> {
    match arguments.what {
        What::Step(arguments) => step(&arguments, cancellation),
        What::Encode(arguments) => encode(&arguments, cancellation),
        What::Graph(arguments) => graph::graph(&arguments, cancellation),
    }
}

fn encode(arguments: &EncodeArguments, cancellation: &Cancellation) -> Result<(), Failure> {
    let set = text::read(&arguments.texts, None, InvalidUtf8::Error)?;
    let texts = set.columns[0].texts.to_vec();
    let mut encoder = text::open_encoder(&arguments.weights, "cpu", arguments.precision)?;
    let progress = Terminal.start(texts.len() as u64, "encoding");
    let watch = Watch { progress: &*progress, cancellation };
    let options = EncodeOptions { precision: arguments.precision, ..EncodeOptions::default() };
    let cost = cost_of_texts::encode(&mut encoder, &texts, &options, watch);
    progress.finish();
    let cost = cost.map_err(Failure::or_interrupted("nothing was measured"))?;
    if arguments.json {
        return say(line(&serde_json::Map::new(), &cost, arguments.precision)?);
    }
    let mut table = Table::default();
    table.row("texts a second", format!("{:.1}", cost.texts_per_second));
    table.row("tokens a second", format!("{:.0}", cost.tokens_per_second));
    let shares = cost.shares;
    for (name, share) in [
        ("time in products of linear layers", shares.product),
        ("time in attention", shares.attention),
        ("time in GELU", shares.gelu),
        ("time in layer normalisation", shares.layer_norm),
        ("time in the rest, tokenising included", shares.rest),
    ] {
        table.row(name, percent(share));
    }
    table.row("instructions", level(arguments.precision));
    table.row("peak memory", memory(cost.peak_memory));
    say(table)
}

fn percent(share: f64) -> String {
    format!("{:5.1} %", 100.0 * share)
}

fn memory(peak: Option<u64>) -> String {
    peak.map_or("not known here".to_owned(), |bytes| format!("{} MB", bytes / 1_000_000))
}

/// Refuses options of images for texts, and the other way round; and those of residual networks for others.
fn check(arguments: &StepArguments) -> Result<(), Failure> {
    let of_images = [("--stem", arguments.stem.is_some()), ("--image-size", arguments.image_size.is_some())];
    let of_texts = [
        ("--weights", arguments.weights.is_some()),
        ("--texts", arguments.texts.is_some()),
        ("--max-length", arguments.max_length.is_some()),
        ("--freeze", !arguments.freeze.is_empty()),
    ];
    let given =
        |options: &[(&'static str, bool)]| options.iter().find(|(_, given)| *given).map(|(name, _)| *name);
    let of_texts = || {
        given(&of_texts)
            .map(|name| format!("{name} goes with an encoder of texts, --encoder bert or --encoder static"))
    };
    match arguments.encoder {
        StepEncoder::Vit(_) if arguments.stem.is_some() => {
            Some("--stem goes with a residual network; a Vision Transformer has none".to_owned())
        }
        StepEncoder::ResNet(_) | StepEncoder::Vit(_) => of_texts(),
        StepEncoder::Bert | StepEncoder::Static => {
            given(&of_images).map(|name| format!("{name} goes with an encoder of images"))
        }
    }
    .map_or(Ok(()), |reason| Err(Failure::usage(reason)))
}

fn step(arguments: &StepArguments, cancellation: &Cancellation) -> Result<(), Failure> {
    check(arguments)?;
    let encoder = match arguments.encoder {
        StepEncoder::ResNet(encoder) => {
            images::StepEncoder::ResNet { encoder, stem: arguments.stem.unwrap_or(Stem::Cifar) }
        }
        StepEncoder::Vit(encoder) => images::StepEncoder::Vit { encoder },
        StepEncoder::Bert | StepEncoder::Static => return step_of_texts(arguments, cancellation),
    };
    let options = StepOptions {
        encoder,
        image_size: arguments.image_size.unwrap_or(32),
        batch: arguments.batch,
        precision: arguments.precision,
        device: arguments.device.parse()?,
        steps: arguments.steps,
        warm_up: 2,
    };
    let cost =
        images::step(&options, cancellation).map_err(Failure::or_interrupted("nothing was measured"))?;
    if arguments.json {
        say(line(&options, &cost, options.precision)?)
    } else {
        say(table(&cost, options.precision))
    }
}

fn step_of_texts(arguments: &StepArguments, cancellation: &Cancellation) -> Result<(), Failure> {
    let (Some(weights), Some(file)) = (&arguments.weights, &arguments.texts) else {
        return Err(Failure::usage("an encoder of texts needs --weights FOLDER and --texts FILE"));
    };
    let set = text::read(file, None, InvalidUtf8::Error)?;
    let encoder = text::open_encoder(weights, &arguments.device, arguments.precision)?;
    let asked = arguments.encoder == StepEncoder::Bert;
    if asked != matches!(encoder.encoder.body, Body::Transformer(_)) {
        let [found, right] = if asked { ["a table of tokens", "static"] } else { ["a transformer", "bert"] };
        return Err(Failure::usage(format!("{} holds {found}: --encoder {right}", weights.display())));
    }
    let options = TextStepOptions {
        batch: arguments.batch,
        max_length: arguments.max_length,
        precision: arguments.precision,
        device: arguments.device.parse()?,
        freeze: arguments.freeze.clone(),
        steps: arguments.steps,
        warm_up: 2,
    };
    let texts = set.columns[0].texts.to_vec();
    let cost = texts::step(encoder, &texts, &options, cancellation)
        .map_err(Failure::or_interrupted("nothing was measured"))?;
    if arguments.json {
        say(line(&options, &cost, options.precision)?)
    } else {
        say(table_of_texts(&cost, options.precision))
    }
}

fn table_of_texts(cost: &TextStepCost, precision: Precision) -> Table {
    let mut table = Table::default();
    let rates = format!("{:.1} ({:.1} to {:.1})", cost.texts_per_second, cost.slowest, cost.fastest);
    let steps = cost.seconds.len();
    table.row(
        format!("texts a second, each counted twice, median of {steps} steps (slowest to fastest)"),
        rates,
    );
    table.row("tokens a second", format!("{:.0}", cost.tokens_per_second));
    match cost.shares {
        Some(TextShares { product, attention, gelu, layer_norm, dropout, lookup, loss, optimizer, rest }) => {
            for (name, share) in [
                ("time in products of linear layers", product),
                ("time in attention", attention),
                ("time in GELU", gelu),
                ("time in layer normalisation", layer_norm),
                ("time in masks of dropout after the embeddings", dropout),
                ("time in reading tables", lookup),
                ("time in the loss", loss),
                ("time in clipping and the update of the weights", optimizer),
                ("time in the rest", rest),
            ] {
                table.row(name, percent(share));
            }
        }
        None => table.row("time in products, attention, the rest", "not measured on a GPU"),
    }
    table.row("instructions", level(precision));
    table.row("peak memory", memory(cost.peak_memory));
    table
}

/// Options and cost as one line of JSON.
fn line(
    options: &impl serde::Serialize,
    cost: &impl serde::Serialize,
    precision: Precision,
) -> Result<String, Failure> {
    #[derive(serde::Serialize)]
    struct Line<'a, O, C> {
        #[serde(flatten)]
        options: &'a O,
        #[serde(flatten)]
        cost: &'a C,
        /// Those of the processor, by their name in `LOOKALIKE_ISA`.
        instructions: &'static str,
    }
    Ok(serde_json::to_string(&Line { options, cost, instructions: level(precision) })?)
}

fn table(cost: &StepCost, precision: Precision) -> Table {
    let mut table = Table::default();
    let rates = format!("{:.1} ({:.1} to {:.1})", cost.images_per_second, cost.slowest, cost.fastest);
    table.row(format!("images a second, median of {} steps (slowest to fastest)", cost.seconds.len()), rates);
    match cost.shares {
        Some(Shares::ResNet(shares)) => add_shares(&mut table, &of_resnet(&shares)),
        Some(Shares::Vit(shares)) => add_shares(&mut table, &of_vit(&shares)),
        None => table.row("time in the parts of a step", "not measured on a GPU"),
    }
    table.row("instructions", level(precision));
    table.row("peak memory", memory(cost.peak_memory));
    table
}

fn add_shares(table: &mut Table, shares: &[(&str, f64)]) {
    for (name, share) in shares {
        table.row(*name, percent(*share));
    }
}

fn of_resnet(shares: &ResNetShares) -> [(&'static str, f64); 7] {
    [
        ("time in convolution", shares.convolution),
        ("  forward", shares.convolution_forward),
        ("  input gradients", shares.convolution_input_gradient),
        ("  weight gradients", shares.convolution_weight_gradient),
        ("time in normalisation", shares.normalization),
        ("time in the rest", shares.rest),
        ("  update of the weights", shares.optimizer),
    ]
}

fn of_vit(shares: &VitShares) -> [(&'static str, f64); 7] {
    [
        ("time in products of linear layers", shares.product),
        ("time in attention", shares.attention),
        ("time in GELU", shares.gelu),
        ("time in layer normalisation", shares.layer_norm),
        ("time in putting tokens together", shares.lookup),
        ("time in the rest", shares.rest),
        ("  update of the weights", shares.optimizer),
    ]
}
