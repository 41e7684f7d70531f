//! `lookalike embed`

use std::path::PathBuf;

use lookalike_base::progress::{Cancellation, ProgressDisplay};
use lookalike_base::{Watch, npy};
use lookalike_data::Split;
use lookalike_data::text::InvalidUtf8;
use lookalike_learn::Registry;
use lookalike_learn::engine::Precision;
use lookalike_learn::experiment::MODEL;
use lookalike_learn::sentence::{self, EncodeOptions};

use crate::failure::Failure;
use crate::output::{check_outputs, write_lines};
use crate::progress::Terminal;
use crate::run::RunOptions;
use crate::text;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A finished run, or the folder of a sentence encoder
    run: PathBuf,
    /// Data set to embed, with its folder as --data-root; the run's own if not given
    #[arg(long, value_name = "NAME")]
    data: Option<String>,
    /// Which part of it, train if not given; graphs and texts have one
    #[arg(long, value_enum)]
    split: Option<DataPart>,
    /// What to write, the representation if not given
    #[arg(long, value_enum)]
    layer: Option<Layer>,
    /// Where to: float32, one row an instance, in the order of the data set
    #[arg(long, value_name = "FILE.npy")]
    out: PathBuf,
    /// Of a sentence encoder: the texts, one a line, or a column of a .csv, .tsv, .jsonl or .parquet
    #[arg(long, value_name = "FILE")]
    texts: Option<PathBuf>,
    #[command(flatten)]
    encoding: Encoding,
    #[command(flatten)]
    options: RunOptions,
}

/// How a sentence encoder reads texts.
#[derive(clap::Args, Default)]
pub(crate) struct Encoding {
    /// Of a sentence encoder: the column with the texts, the first if not given
    #[arg(long, value_name = "NAME", requires = "texts")]
    pub(crate) column: Option<String>,
    /// Of a sentence encoder: the prompt of this name stands before each text
    #[arg(long, value_name = "NAME", requires = "texts")]
    pub(crate) prompt: Option<String>,
    /// Of a sentence encoder: what linear layers multiply, f32 or bf16
    #[arg(long, value_parser = crate::bench::named::<Precision>, requires = "texts")]
    pub(crate) precision: Option<Precision>,
    /// Of a sentence encoder: what becomes of bytes that are no UTF-8, error or replace
    #[arg(long, value_parser = crate::bench::named::<InvalidUtf8>, requires = "texts")]
    pub(crate) invalid_utf8: Option<InvalidUtf8>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum DataPart {
    Train,
    Test,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Layer {
    /// What the encoder gives
    Representation,
    /// What the projection head makes of it
    Projection,
}

pub(crate) fn run(
    arguments: &Arguments,
    registry: &Registry,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    if sentence::is_folder(&arguments.run) {
        return of_texts(arguments, cancellation);
    }
    if !arguments.run.exists() {
        return Err(Failure::usage(format!("{} is not there", arguments.run.display())));
    }
    if arguments.texts.is_some() {
        return Err(Failure::usage(format!(
            "--texts goes with the folder of a sentence encoder, and {} is none; `lookalike export` makes one of a run on texts",
            arguments.run.display()
        )));
    }
    let of_run = [MODEL, "recipe.toml", "evaluation.json"].map(|name| arguments.run.join(name));
    check_outputs(&of_run.each_ref().map(PathBuf::as_path), &[&arguments.out])?;
    let mut options = arguments.options.clone();
    options.settings.extend(arguments.data.iter().map(|name| format!("data.name={name}")));
    let experiment = options.open_run(&arguments.run, registry, cancellation)?;
    let mut network = experiment.load_model(&arguments.run)?;
    let split = match arguments.split {
        None | Some(DataPart::Train) => Split::Train,
        Some(DataPart::Test) => Split::Test,
    };
    let embedded = experiment
        .embed(&mut *network, split, cancellation)
        .map_err(Failure::or_interrupted("nothing was written"))?;
    let rows = match arguments.layer {
        None | Some(Layer::Representation) => embedded.representation,
        Some(Layer::Projection) => embedded.projection,
    };
    npy::write_rows(&arguments.out, rows.rows())?;
    eprintln!("wrote {} × {} numbers to {}", rows.len(), rows.columns(), arguments.out.display());
    Ok(())
}

/// Embeds the texts of a file, and writes beside the vectors which line each is of.
fn of_texts(arguments: &Arguments, cancellation: &Cancellation) -> Result<(), Failure> {
    let Arguments { run, data, split, layer, out, texts, encoding, options } = arguments;
    let given = [
        ("--data", data.is_some()),
        ("--split", split.is_some()),
        ("--layer", layer.is_some()),
        ("--set", !options.settings.is_empty()),
        ("--data-root", options.data_root.is_some()),
    ];
    if let Some((option, _)) = given.iter().find(|(_, given)| *given) {
        return Err(Failure::usage(format!(
            "{option} goes with a run, and {} is the folder of a sentence encoder",
            run.display()
        )));
    }
    let file = texts.as_deref().ok_or_else(|| {
        Failure::usage(format!("{} is the folder of a sentence encoder: give --texts FILE", run.display()))
    })?;
    let lines = out.with_extension("jsonl");
    check_outputs(&[file, run], &[out, &lines])?;
    let precision = encoding.precision.unwrap_or_default();
    let device = options.device.as_deref().unwrap_or("cpu");
    let mut encoder = text::open_encoder(run, device, precision)?;
    let set = text::read(file, encoding.column.as_deref(), encoding.invalid_utf8.unwrap_or_default())?;
    let prompt = encoding.prompt.as_deref().map(|name| encoder.prompt(name).map(str::to_owned)).transpose();
    let prompt = prompt.map_err(|error| Failure::usage(error.to_string()))?;
    let column = &set.columns[0];
    let all = column.texts.to_vec();
    // A row of several texts has its line once for each.
    let places =
        (0..set.len()).flat_map(|row| column.range(row).map(|_| set.places[row]).collect::<Vec<_>>());
    let progress = Terminal.start(all.len() as u64, "encoding");
    let watch = Watch { progress: &*progress, cancellation };
    let encoded = encoder.encode(&all, &EncodeOptions { prompt, precision }, watch);
    progress.finish();
    let encoded = encoded.map_err(Failure::or_interrupted("nothing was written"))?;
    npy::write_rows(out, encoded.rows.rows())?;
    let records = places.zip(&all).map(|(line, text)| serde_json::json!({ "line": line, "text": text }));
    write_lines(&lines, records)?;
    text::warn_of_length(&encoder, encoded.full);
    let rows = &encoded.rows;
    eprintln!(
        "wrote {} × {} numbers to {}, and their lines to {}",
        rows.len(),
        rows.columns(),
        out.display(),
        lines.display()
    );
    Ok(())
}
