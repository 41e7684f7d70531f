//! `lookalike report`

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lookalike_base::Matrix;
use lookalike_base::atomic::{self, Staged};
use lookalike_base::progress::{Cancellation, ProgressDisplay, Watch};
use lookalike_data::Split;
use lookalike_learn::experiment::Experiment;
use lookalike_learn::train::events::EVENTS;
use lookalike_learn::train::result::{BOARD_FOLDER, MODEL, RunResult};
use lookalike_learn::{LearnError, Registry};
use lookalike_report::{
    Data, LayoutOptions, Part, Pictures, ReportError, ReportOptions, Run, Shown, board, epochs_of, report,
};

use crate::failure::Failure;
use crate::output::{check_outputs, publish, say, tell};
use crate::progress::Terminal;
use crate::run::{RunOptions, warn};

/// The page of a run in its folder.
pub(crate) const PAGE: &str = "report.html";
/// Time between two looks at a run that is watched.
const LOOK_EVERY: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Runs; the first is shown in full, the others beside it. Runs that differ in their seed alone become one line with a band
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Where to write the page; report.html in the folder of the first run if not given
    #[arg(long, value_name = "FILE.html")]
    out: Option<PathBuf>,
    #[command(flatten)]
    shown: ShownOfData,
    /// Write the page anew whenever the first run goes on, until it has finished; nothing is embedded meanwhile
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    options: RunOptions,
}

/// What is shown of the data.
#[derive(clap::Args)]
struct ShownOfData {
    /// Write what the folders of the runs tell, and embed nothing: no pictures, neighbours and map
    #[arg(long)]
    no_data: bool,
    /// Leave out the map, which takes most of the time
    #[arg(long, conflicts_with = "no_data")]
    no_map: bool,
    /// Kilobytes that all pictures may take together
    #[arg(long, default_value_t = 10_000, conflicts_with = "no_data")]
    picture_kilobytes: usize,
    /// Also write the spectrum, the hardest batches and instances for the projector where TensorBoard finds them, in the folder of the first run
    #[arg(long, conflicts_with = "no_data")]
    tensorboard: bool,
}

pub(crate) fn run(
    arguments: &Arguments,
    registry: &Registry,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    let Arguments { runs, out, .. } = arguments;
    let first = &runs[0];
    // A folder that is no run is refused before anything long begins.
    let recipe = arguments.options.run_recipe(first, registry)?;
    let page = out.clone().unwrap_or_else(|| first.join(PAGE));
    if out.is_some() {
        check_outputs(&[], &[&page])?;
    }
    if arguments.watch {
        watch(arguments, &page, cancellation)?;
    }
    let read = read(runs)?;
    let options = ReportOptions {
        picture_bytes: arguments.shown.picture_kilobytes.saturating_mul(1000),
        map: !arguments.shown.no_map,
    };
    if arguments.shown.no_data {
        return write(&page, &report(&read, None, &options, Watch::silent(cancellation))?);
    }
    let experiment = arguments.options.open_run(first, recipe, registry, cancellation)?;
    let result = experiment.result(first)?;
    warn(&result.problems);
    let written = Written { page: &page, board: arguments.shown.tensorboard.then_some(first) };
    of_run(&experiment, result, &read, &written, &options, cancellation)
}

/// What is written of a run.
pub(crate) struct Written<'a> {
    /// The page.
    pub(crate) page: &'a Path,
    /// The run below whose folder TensorBoard finds what it shows beside the curves, where that is wanted.
    pub(crate) board: Option<&'a Path>,
}

fn read(runs: &[PathBuf]) -> Result<Vec<Run>, Failure> {
    runs.iter().map(|run| Ok(Run::open(run)?)).collect()
}

/// Writes the page of a run whose data are open, and what TensorBoard shows: it embeds both parts, and the last one also as it was before training.
pub(crate) fn of_run(
    experiment: &Experiment,
    result: RunResult,
    runs: &[Run],
    written: &Written<'_>,
    options: &ReportOptions,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    let data = experiment.data();
    let interrupted = || Failure::or_interrupted("the page was not written");
    let step = result.step;
    let plan = if result.own_data { result.plan.clone() } else { Vec::new() };
    let mut network = experiment.network(result)?;
    let splits = data.parts();
    let (mut rows, mut compared) = (Vec::new(), None);
    for split in splits {
        let embedded = experiment.embed(&mut *network, *split, cancellation).map_err(interrupted())?;
        rows.push(embedded.representation);
        compared.get_or_insert(embedded.projection);
    }
    let last = splits[splits.len() - 1];
    let untrained =
        experiment.untrained().and_then(|mut network| experiment.embed(&mut *network, last, cancellation));
    let untrained: Option<Matrix> = match untrained {
        Ok(embedded) => Some(embedded.representation),
        Err(LearnError::Cancelled) => return Err(interrupted()(LearnError::Cancelled)),
        Err(error) => {
            warn(&[format!("nothing of the encoder before training is shown: {error}")]);
            None
        }
    };
    let labels: Vec<Vec<u32>> = splits.iter().map(|split| data.labels(*split).labels).collect();
    let parts = splits.iter().zip(&rows).zip(&labels).map(|((split, rows), labels)| Part {
        name: split.name(),
        rows: rows.rows(),
        labels,
    });
    let instances: usize = rows.iter().map(Matrix::len).sum();
    let shown = Data {
        name: data.name(),
        parts: parts.collect(),
        classes: data.class_names(),
        plan: &plan,
        compared: compared.as_ref().map(Matrix::rows),
        pairs: false,
        untrained: untrained.as_ref().map(Matrix::rows),
        pictures: &Instances { experiment, splits },
    };
    let epochs = if options.map { epochs_of(instances, &LayoutOptions::default()) } else { 0 };
    let progress = Terminal.start(u64::from(epochs), "map");
    let html = report(runs, Some(&shown), options, Watch { progress: &*progress, cancellation });
    progress.finish();
    match html {
        Err(ReportError::Cancelled) => {
            return Err(Failure::Interrupted("the page was not written".to_owned()));
        }
        html => write(written.page, &html?)?,
    }
    let Some(run) = written.board else { return Ok(()) };
    let stopped = |error| match error {
        ReportError::Cancelled => Failure::Interrupted("nothing was written for TensorBoard".to_owned()),
        error => error.into(),
    };
    let time = runs.first().and_then(Run::last_time).unwrap_or(0.0);
    write_board(&run.join(BOARD_FOLDER), &board(&shown, (step, time), cancellation).map_err(stopped)?)
}

/// Writes what TensorBoard shows. The files appear when all of them are written.
fn write_board(folder: &Path, files: &[(String, Vec<u8>)]) -> Result<(), Failure> {
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| LearnError::Io { path, source }
    };
    std::fs::create_dir_all(folder).map_err(fail(folder))?;
    let places: Vec<PathBuf> = files.iter().map(|(name, _)| folder.join(name)).collect();
    let stage = |((_, bytes), place): (&(String, Vec<u8>), &PathBuf)| {
        Staged::write(place, |writer| writer.write_all(bytes)).map_err(fail(place))
    };
    let staged: Vec<Staged> = files.iter().zip(&places).map(stage).collect::<Result<_, LearnError>>()?;
    publish(staged.into_iter().zip(places.iter().map(PathBuf::as_path)))?;
    say(format_args!("for TensorBoard: {}", folder.display()))
}

/// Writes what the folder of the first run tells until it has finished, or for as long as nobody interrupts.
fn watch(arguments: &Arguments, page: &Path, cancellation: &Cancellation) -> Result<(), Failure> {
    let (events, model) = (arguments.runs[0].join(EVENTS), arguments.runs[0].join(MODEL));
    let changed = || {
        let found = events.metadata().ok();
        (
            found.as_ref().and_then(|found| found.modified().ok()),
            found.map(|found| found.len()),
            model.exists(),
        )
    };
    let options = ReportOptions { picture_bytes: 0, map: false };
    let mut seen = None;
    loop {
        let now = changed();
        if seen != Some(now) {
            seen = Some(now);
            let read = read(&arguments.runs)?;
            write(page, &report(&read, None, &options, Watch::silent(cancellation))?)?;
            if read[0].finished {
                return Ok(());
            }
        }
        let until = SystemTime::now() + LOOK_EVERY;
        while SystemTime::now() < until {
            if cancellation.is_cancelled() {
                return Err(Failure::Interrupted(format!("{} is as the run was last seen", page.display())));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn write(page: &Path, html: &str) -> Result<(), Failure> {
    atomic::write_atomic(page, |writer| writer.write_all(html.as_bytes()))
        .map_err(|source| LearnError::Io { path: page.to_owned(), source })?;
    say(format_args!("report: {} ({} kB)", page.display(), html.len().div_ceil(1000)))
}

/// What the instances of an experiment look like. What cannot be read is not shown.
pub(crate) struct Instances<'a> {
    pub(crate) experiment: &'a Experiment,
    pub(crate) splits: &'a [Split],
}

impl Pictures for Instances<'_> {
    fn shown(&self, part: usize, instance: u32) -> Option<Shown> {
        let shown = self.experiment.data().shown(self.splits[part], instance);
        shown.unwrap_or_else(|error| {
            tell(format_args!("warning: instance {instance} is not shown: {error}"));
            None
        })
    }

    fn name(&self, part: usize, instance: u32) -> Option<String> {
        self.experiment.data().instance_name(self.splits[part], instance)
    }
}
