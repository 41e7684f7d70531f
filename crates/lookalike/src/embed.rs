//! `lookalike embed`

use std::path::{Path, PathBuf};

use lookalike_base::atomic::Staged;
use lookalike_base::progress::{Cancellation, ProgressDisplay};
use lookalike_base::{Matrix, Watch, npy};
use lookalike_data::Split;
use lookalike_data::text::InvalidUtf8;
use lookalike_learn::engine::Precision;
use lookalike_learn::experiment::{Experiment, RowNames};
use lookalike_learn::method::Embedder;
use lookalike_learn::method::contrastive_clustering::CLUSTERS;
use lookalike_learn::sentence::{self, EncodeOptions};
use lookalike_learn::train::result::Stage;
use lookalike_learn::{LearnError, Registry};
use lookalike_sampling::UNLABELLED;

use crate::failure::Failure;
use crate::output::{publish, stage_lines, tell};
use crate::progress::Terminal;
use crate::ranks::Job;
use crate::results::{COLUMNS, Kind, Sources};
use crate::run::{RunOptions, warn};
use crate::text;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A run, or the folder of a sentence encoder
    run: PathBuf,
    /// Data set to embed; give its folder as --data-root [default: the run's own]
    #[arg(long, value_name = "NAME")]
    data: Option<String>,
    /// Part of the data set to embed; graphs and texts have one [default: train]
    #[arg(long, value_enum)]
    split: Option<DataPart>,
    /// What to write [default: representation]
    #[arg(long, value_enum)]
    layer: Option<Layer>,
    /// Where to write: float32, one row per instance, in the order of the data set. A .csv beside it gets the name, label and class of each row,
    /// and for texts a .jsonl gets their lines
    #[arg(long, value_name = "FILE.npy")]
    out: PathBuf,
    /// For a sentence encoder: the texts, one per line, or a column of a .csv, .tsv, .jsonl or .parquet
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
    /// For a sentence encoder: the column that holds the texts [default: the first]
    #[arg(long, value_name = "NAME", requires = "texts")]
    pub(crate) column: Option<String>,
    /// For a sentence encoder: put the prompt of this name before each text
    #[arg(long, value_name = "NAME", requires = "texts")]
    pub(crate) prompt: Option<String>,
    /// For a sentence encoder: the numbers that linear layers multiply, f32 or bf16
    #[arg(long, value_parser = crate::bench::named::<Precision>, requires = "texts")]
    pub(crate) precision: Option<Precision>,
    /// For a sentence encoder: what to do with bytes that are not UTF-8, error or replace
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
    /// How likely a row is of each cluster, of a run with a cluster head
    Clusters,
}

pub(crate) fn run(
    arguments: &Arguments,
    registry: &Registry,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    Job::shared(|job| run_with(job, arguments, registry, cancellation))
}

fn run_with(
    job: &Job,
    arguments: &Arguments,
    registry: &Registry,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    if sentence::is_folder(&arguments.run) {
        job.alone("a folder of a sentence encoder")?;
        return of_texts(arguments, cancellation);
    }
    if !arguments.run.exists() {
        return Err(Failure::usage(format!("{} does not exist", arguments.run.display())));
    }
    if arguments.texts.is_some() {
        return Err(Failure::usage(format!(
            "--texts goes with the folder of a sentence encoder, and {} is none; `lookalike export` makes one of a run on texts",
            arguments.run.display()
        )));
    }
    let (out, names) = (&arguments.out, arguments.out.with_extension("csv"));
    let options = arguments.options.clone().on(arguments.data.as_deref());
    let recipe = options.run_recipe(&arguments.run, registry)?;
    if job.leads() {
        Sources::of(&recipe).check(&[(out, Kind::Matrix), (&names, Kind::Table)])?;
    }
    let experiment = options.open_run(&arguments.run, recipe, registry, cancellation)?;
    let (mut network, step) = network(&experiment, &arguments.run)?;
    job.agree(&experiment, &[("reads another model", step.to_string())])?;
    let split = match arguments.split {
        None | Some(DataPart::Train) => Split::Train,
        Some(DataPart::Test) => Split::Test,
    };
    let embedded = experiment
        .embed_of(&*job.ranks, &mut *network, split, cancellation)
        .map_err(Failure::or_interrupted("nothing was written"))
        .or_else(|failure| job.interrupted(failure))?;
    if !job.part()? {
        return Ok(());
    }
    let rows = match arguments.layer {
        None | Some(Layer::Representation) => embedded.representation,
        Some(Layer::Projection) => embedded.projection,
        Some(Layer::Clusters) => network.told(CLUSTERS, &embedded.representation)?.ok_or_else(|| {
            Failure::usage(
                "--layer clusters: the run has no cluster head, as `contrastive-clustering` has".to_owned(),
            )
        })?,
    };
    let left_out = experiment.data().left_out(split);
    let kept: Vec<usize> =
        (0..rows.len()).filter(|row| left_out.binary_search(&(*row as u32)).is_err()).collect();
    let values = kept.iter().flat_map(|row| rows.row(*row)).copied().collect();
    let rows = Matrix::new(values, rows.columns())?;
    let instances = experiment.row_names(split);
    let matrix = npy::stage_rows(out, rows.rows())?;
    let table = stage_names(&names, &instances, &kept)?;
    publish([(matrix, out.as_path()), (table, &names)])?;
    let told = match (instances.names.is_empty(), instances.labels.labels.is_empty()) {
        (false, false) => "names and classes",
        (false, true) => "names",
        (true, false) => "classes",
        (true, true) => "numbers",
    };
    tell(format_args!(
        "wrote {} × {} numbers to {}, and the {told} of the rows to {}",
        rows.len(),
        rows.columns(),
        out.display(),
        names.display()
    ));
    Ok(())
}

/// The network of a run and the step that it is of, with a warning where the run has not finished.
pub(crate) fn network(experiment: &Experiment, run: &Path) -> Result<(Box<dyn Embedder>, u64), Failure> {
    let result = experiment.result(run)?;
    warn(&result.problems);
    if result.stage == Stage::Unfinished {
        let (run, step) = (run.display(), result.step);
        warn(&[format!(
            "{run} has not finished: the encoder is that of its newest checkpoint, of step {step}"
        )]);
    }
    let step = result.step;
    Ok((experiment.network(result)?, step))
}

/// Makes a line a row: its number, its name, its label as a number and the name of its class; empty is what it does not have. The rows
/// are those of the instances `kept`.
fn stage_names(path: &Path, instances: &RowNames, kept: &[usize]) -> Result<Staged, Failure> {
    let RowNames { names, labels, classes } = instances;
    let record = |row: usize| {
        let instance = kept[row];
        let label = labels.labels.get(instance).filter(|label| **label != UNLABELLED);
        let class = label.and_then(|label| classes.get(*label as usize));
        [
            row.to_string(),
            names.get(instance).cloned().unwrap_or_default(),
            label.map(ToString::to_string).unwrap_or_default(),
            class.cloned().unwrap_or_default(),
        ]
    };
    let staged = Staged::write(path, |writer| {
        let mut writer = csv::Writer::from_writer(writer);
        writer.write_record(COLUMNS)?;
        (0..kept.len()).try_for_each(|row| writer.write_record(record(row)))?;
        writer.flush()
    });
    Ok(staged.map_err(|source| LearnError::Io { path: path.to_owned(), source })?)
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
    Sources::of_texts(file, run).check(&[(out, Kind::Matrix), (&lines, Kind::Lines)])?;
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
    let matrix = npy::stage_rows(out, encoded.rows.rows())?;
    let records = places.zip(&all).map(|(line, text)| serde_json::json!({ "line": line, "text": text }));
    let texts = stage_lines(&lines, records)?;
    publish([(matrix, out.as_path()), (texts, &lines)])?;
    text::warn_of_length(&encoder, encoded.full);
    let rows = &encoded.rows;
    tell(format_args!(
        "wrote {} × {} numbers to {}, and their lines to {}",
        rows.len(),
        rows.columns(),
        out.display(),
        lines.display()
    ));
    Ok(())
}
