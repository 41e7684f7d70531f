//! `lookalike bench`

use std::path::PathBuf;

use lookalike_base::Watch;
use lookalike_base::progress::{Cancellation, ProgressDisplay};
use lookalike_data::text::InvalidUtf8;
use lookalike_learn::cost::{self, StepCost, StepOptions};
use lookalike_learn::encoder::resnet::{Architecture, Stem};
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
    /// Time training steps on images of noise: forward, cross-entropy of 128 outputs, backward, SGD.
    Step(StepArguments),
    /// Time the encoding of texts by a sentence encoder, tokenising included.
    Encode(EncodeArguments),
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
    /// small, resnet18, resnet34 or resnet50
    #[arg(long, default_value = "resnet18", value_parser = named::<Architecture>)]
    encoder: Architecture,
    /// What stands before its first block: cifar or imagenet
    #[arg(long, default_value = "cifar", value_parser = named::<Stem>)]
    stem: Stem,
    /// Height and width of the images
    #[arg(long, default_value_t = 32, value_name = "PIXELS")]
    image_size: usize,
    /// Images of a step
    #[arg(long, default_value_t = 64, value_name = "IMAGES")]
    batch: usize,
    /// What convolutions multiply: f32 or bf16
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

/// The value that recipes give that name.
pub(crate) fn named<T: for<'a> Deserialize<'a>>(name: &str) -> Result<T, Error> {
    let deserializer: StrDeserializer<'_, Error> = name.into_deserializer();
    T::deserialize(deserializer)
}

pub(crate) fn run(arguments: Arguments, cancellation: &Cancellation) -> Result<(), Failure> {
    match arguments.what {
        What::Step(arguments) => step(&arguments, cancellation),
        What::Encode(arguments) => encode(&arguments, cancellation),
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
        return say(serde_json::to_string(&cost)?);
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
    table.row("peak memory", memory(cost.peak_memory));
    say(table)
}

fn percent(share: f64) -> String {
    format!("{:5.1} %", 100.0 * share)
}

fn memory(peak: Option<u64>) -> String {
    peak.map_or("not known here".to_owned(), |bytes| format!("{} MB", bytes / 1_000_000))
}

fn step(arguments: &StepArguments, cancellation: &Cancellation) -> Result<(), Failure> {
    let options = StepOptions {
        encoder: arguments.encoder,
        stem: arguments.stem,
        image_size: arguments.image_size,
        batch: arguments.batch,
        precision: arguments.precision,
        device: arguments.device.parse()?,
        steps: arguments.steps,
        warm_up: 2,
    };
    let cost = cost::step(&options, cancellation).map_err(Failure::or_interrupted("nothing was measured"))?;
    if arguments.json { say(line(&options, &cost)?) } else { say(table(&cost)) }
}

/// Options and cost as one line of JSON.
fn line(options: &StepOptions, cost: &StepCost) -> Result<String, Failure> {
    #[derive(serde::Serialize)]
    struct Line<'a> {
        #[serde(flatten)]
        options: &'a StepOptions,
        #[serde(flatten)]
        cost: &'a StepCost,
    }
    Ok(serde_json::to_string(&Line { options, cost })?)
}

fn table(cost: &StepCost) -> Table {
    let mut table = Table::default();
    let rates = format!("{:.1} ({:.1} to {:.1})", cost.images_per_second, cost.slowest, cost.fastest);
    table.row(format!("images a second, median of {} steps (slowest to fastest)", cost.seconds.len()), rates);
    match cost.shares {
        Some(shares) => {
            let rows = [
                ("time in convolution", shares.convolution),
                ("  forward", shares.convolution_forward),
                ("  input gradients", shares.convolution_input_gradient),
                ("  weight gradients", shares.convolution_weight_gradient),
                ("time in normalisation", shares.normalization),
                ("time in the rest", shares.rest),
                ("  update of the weights", shares.optimizer),
            ];
            for (name, share) in rows {
                table.row(name, percent(share));
            }
        }
        None => table.row("time in convolution, normalisation, the rest", "not measured on a GPU"),
    }
    table.row("peak memory", memory(cost.peak_memory));
    table
}
