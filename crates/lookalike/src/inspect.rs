//! `lookalike inspect`

use std::collections::HashMap;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lookalike_base::files::holds_arrays;
use lookalike_base::progress::{Cancellation, ProgressDisplay, Watch};
use lookalike_base::{Alone, Matrix, RowSource, atomic, npy};
use lookalike_data::image::augment::AugmentOptions;
use lookalike_data::image::registry::open_both;
use lookalike_data::loader::{BatchRequest, BatchSource};
use lookalike_data::text::{InvalidUtf8, TextSet};
use lookalike_data::{BothParts, DataOptions, Image, ImageDataset, PlainImages, Split};
use lookalike_learn::train::trainer::RECIPE;
use lookalike_learn::{LearnError, Registry};
use lookalike_report::inspect::{Findings, InspectOptions, Inspected, Issue, inspect, page};
use lookalike_report::{NoPictures, Pictures, ReportError, Shown};
use lookalike_sampling::{Groups, UNLABELLED};

use crate::embed::network;
use crate::embeddings::{Embeddings, read_table};
use crate::failure::Failure;
use crate::output::{check_outputs, say, tell};
use crate::progress::Terminal;
use crate::report::Instances;
use crate::run::{RunOptions, warn};
use crate::text;

/// The files of an inspection: page, table, and groups of duplicates.
const FILES: [&str; 3] = ["inspect.html", "issues.csv", "groups.npy"];
/// Images that are read at a time.
const AT_A_TIME: usize = 256;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Embeddings, one instance a row, as `lookalike sample` takes them; or a run, whose own data are embedded; or a folder of images, which are
    /// then compared by their pixels
    #[arg(value_name = "EMBEDDINGS|RUN|FOLDER")]
    source: PathBuf,
    /// Folder for inspect.html, issues.csv and groups.npy
    #[arg(long, default_value = "inspect", value_name = "FOLDER")]
    out: PathBuf,
    /// The images of the rows, in their order: a folder as `data.name = "folder"` takes it
    #[arg(long, value_name = "FOLDER", conflicts_with = "texts")]
    images: Option<PathBuf>,
    /// The texts of the rows, one a line, or a column of a .csv, .tsv, .jsonl or .parquet
    #[arg(long, value_name = "FILE")]
    texts: Option<PathBuf>,
    /// For texts: the column that holds them [default: the first]
    #[arg(long, value_name = "NAME", requires = "texts")]
    column: Option<String>,
    /// A class a row: a .npy of integers, −1 for none, or a table with a header, as `lookalike embed` writes one beside embeddings: its column
    /// `class`, else `label`, or FILE.csv:COLUMN; its column `name` names the rows
    #[arg(long, value_name = "LABELS.npy|TABLE.csv")]
    labels: Option<PathBuf>,
    /// The split of each row, the same way: TABLE.csv:COLUMN or a .npy of integers
    #[arg(long, value_name = "SPLITS.npy|TABLE.csv")]
    splits: Option<PathBuf>,
    /// Near duplicates are no farther apart than this share of the median distance to the nearest neighbour
    #[arg(long, default_value_t = Groups::DUPLICATE_FACTOR, value_name = "SHARE")]
    duplicate_factor: f64,
    /// Nearest neighbours that are looked at, K
    #[arg(long, default_value_t = 15)]
    neighbors: usize,
    /// Kilobytes that all pictures may take together
    #[arg(long, default_value_t = 10_000)]
    picture_kilobytes: usize,
    #[command(flatten)]
    options: RunOptions,
}

/// What is known of the rows beside their embeddings.
#[derive(Default)]
struct Known {
    name: String,
    names: Vec<String>,
    labels: Vec<u32>,
    classes: Vec<String>,
    splits: Vec<u32>,
    split_names: Vec<String>,
    contents: Vec<u64>,
}

pub(crate) fn run(
    arguments: &Arguments,
    registry: &Registry,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    let source = &arguments.source;
    if !source.exists() && !lookalike_base::files::split_name(source).0.exists() {
        return Err(Failure::usage(format!("{} does not exist", source.display())));
    }
    check_places(arguments)?;
    if source.join(RECIPE).exists() {
        return of_run(arguments, registry, cancellation);
    }
    refuse_of_runs(arguments)?;
    if source.is_dir() && !holds_arrays(source) {
        return of_images(arguments, cancellation);
    }
    of_embeddings(arguments, cancellation)
}

/// Checks before the work begins that the results can be written, and that nothing is lost by it: what is read, what a run keeps, and files
/// that no inspection wrote.
fn check_places(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { source, out, images, texts, labels, splits, .. } = arguments;
    let further = [images, texts, labels, splits].into_iter().flatten();
    let inputs: Vec<&Path> = std::iter::once(source).chain(further).map(PathBuf::as_path).collect();
    if !out.exists() {
        return check_outputs(&inputs, &[out]);
    }
    if !out.is_dir() {
        return Err(Failure::usage(format!("{} is no folder; give another place with --out", out.display())));
    }
    let places = FILES.map(|file| out.join(file));
    check_outputs(&inputs, &places.each_ref().map(PathBuf::as_path))?;
    let [page, others @ ..] = &places;
    match others.iter().find(|file| file.exists() && !page.exists()) {
        None => Ok(()),
        Some(file) => Err(Failure::usage(format!(
            "{} is there already, and no inspection wrote it; give another place with --out",
            file.display()
        ))),
    }
}

/// Refuses what only a run reads.
fn refuse_of_runs(arguments: &Arguments) -> Result<(), Failure> {
    let RunOptions { settings, data_root, device } = &arguments.options;
    let given = [
        ("--set", !settings.is_empty()),
        ("--data-root", data_root.is_some()),
        ("--device", device.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((option, _)) => Err(Failure::usage(format!(
            "{option} goes with a run, and {} is none",
            arguments.source.display()
        ))),
    }
}

/// Refuses options that a run and a folder of images answer themselves.
fn refuse_own(arguments: &Arguments, what: &str) -> Result<(), Failure> {
    let Arguments { images, texts, labels, splits, .. } = arguments;
    let given = [("--images", images), ("--texts", texts), ("--labels", labels), ("--splits", splits)];
    match given.iter().find(|(_, given)| given.is_some()) {
        None => Ok(()),
        Some((option, _)) => Err(Failure::usage(format!(
            "{option} goes with embeddings, and {} is {what}, which knows by itself",
            arguments.source.display()
        ))),
    }
}

fn of_embeddings(arguments: &Arguments, cancellation: &Cancellation) -> Result<(), Failure> {
    let embeddings = Embeddings::open(&arguments.source, None, None)?;
    embeddings.check(&Alone, cancellation)?;
    let count = embeddings.len();
    let mut known = Known { name: name_of(&arguments.source), ..Known::default() };
    if let Some(path) = &arguments.labels {
        let (values, names) = categories(path, count, &["class", "label"])?;
        (known.labels, known.classes) = (values, names);
        known.names = named_rows(path, count)?;
    }
    if let Some(path) = &arguments.splits {
        (known.splits, known.split_names) = categories(path, count, &["split"])?;
    }
    let refuse = |path: &Path, found: usize, what: &str| {
        Err(Failure::usage(format!(
            "{} holds {found} {what}, and there are {count} embeddings; they must be the same, in the same order",
            path.display()
        )))
    };
    match (&arguments.images, &arguments.texts) {
        (Some(path), _) => {
            let images = images_of(path)?;
            if images.len() != count {
                return refuse(path, images.len(), "images");
            }
            let photos = Photos { images: vec![images] };
            known.contents = contents(&photos, count, cancellation)?;
            finish(arguments, &embeddings, known, &photos, cancellation)
        }
        (_, Some(path)) => {
            let set = text::read(path, arguments.column.as_deref(), InvalidUtf8::Replace)?;
            if set.len() != count {
                return refuse(path, set.len(), "texts");
            }
            let lines = Lines { set };
            known.contents = contents(&lines, count, cancellation)?;
            finish(arguments, &embeddings, known, &lines, cancellation)
        }
        (None, None) => finish(arguments, &embeddings, known, &NoPictures, cancellation),
    }
}

fn of_run(arguments: &Arguments, registry: &Registry, cancellation: &Cancellation) -> Result<(), Failure> {
    refuse_own(arguments, "a run")?;
    let run = &arguments.source;
    let recipe = arguments.options.run_recipe(run, registry)?;
    let experiment = arguments.options.open_run(run, recipe, registry, cancellation)?;
    let (mut network, _) = network(&experiment, run)?;
    let data = experiment.data();
    // Where the part to test is that to learn from, everything would leak.
    let splits = if data.tests_what_it_learns() { &data.parts()[..1] } else { data.parts() };
    let (mut values, mut columns, mut sizes) = (Vec::new(), 1, Vec::new());
    let mut known = Known { name: data.name(), classes: data.class_names(), ..Known::default() };
    for (split, number) in splits.iter().zip(0..) {
        let embedded = experiment
            .embed(&mut *network, *split, cancellation)
            .map_err(Failure::or_interrupted("nothing was written"))?;
        let rows = embedded.representation;
        columns = rows.columns();
        sizes.push(rows.len() as u32);
        let labels = data.labels(*split).labels;
        known.labels.extend(if labels.is_empty() { vec![UNLABELLED; rows.len()] } else { labels });
        if splits.len() > 1 {
            known.splits.extend(vec![number; rows.len()]);
        }
        values.extend(rows.into_values());
    }
    if known.labels.iter().all(|label| *label == UNLABELLED) {
        known.labels.clear();
    }
    known.split_names = splits.iter().map(|split| split.name().to_owned()).collect();
    let rows = Matrix::new(values, columns)?;
    let parts = Parts { inner: Instances { experiment: &experiment, splits }, sizes };
    known.contents = contents(&parts, rows.len(), cancellation)?;
    finish(arguments, &rows.rows(), known, &parts, cancellation)
}

/// The images of a folder, compared by their pixels.
fn of_images(arguments: &Arguments, cancellation: &Cancellation) -> Result<(), Failure> {
    refuse_own(arguments, "a folder of images")?;
    let BothParts { train, test, warnings, .. } = open_both(&folder_options(&arguments.source), &Terminal)?;
    warn(&warnings);
    let images: Vec<Arc<dyn ImageDataset>> = if test.serves_both() { vec![train] } else { vec![train, test] };
    tell(
        "no encoder was given: images are compared by their pixels, reduced to 32 × 32; embeddings find more",
    );
    let mut known =
        Known { name: name_of(&arguments.source), classes: images[0].classes().to_vec(), ..Known::default() };
    let (mut values, mut columns) = (Vec::new(), 1);
    for (part, number) in images.iter().zip(0..) {
        known.labels.extend((0..part.len() as u32).map(|image| part.label(image).unwrap_or(UNLABELLED)));
        if images.len() > 1 {
            known.splits.extend(vec![number; part.len()]);
        }
        let (rows, width) = pixels(part, cancellation)?;
        values.extend(rows);
        columns = width;
    }
    known.split_names = vec!["train".to_owned(), "test".to_owned()];
    if known.labels.iter().all(|label| *label == UNLABELLED) {
        known.labels.clear();
    }
    let rows = Matrix::new(values, columns)?;
    let photos = Photos { images };
    known.contents = contents(&photos, rows.len(), cancellation)?;
    finish(arguments, &rows.rows(), known, &photos, cancellation)
}

fn folder_options(path: &Path) -> DataOptions {
    DataOptions {
        name: "folder".to_owned(),
        root: Some(path.to_owned()),
        skip_corrupt: false,
        test_share: None,
    }
}

fn images_of(path: &Path) -> Result<Arc<dyn ImageDataset>, Failure> {
    let (images, warnings) = lookalike_data::open(&folder_options(path), Split::Train, &Terminal)?;
    warn(&warnings);
    Ok(images)
}

/// The pixels of images, reduced.
fn pixels(images: &Arc<dyn ImageDataset>, cancellation: &Cancellation) -> Result<(Vec<f32>, usize), Failure> {
    let [view, _] = AugmentOptions::default().validate()?;
    let threads = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let source = PlainImages::new(images.clone(), view.size(), view.normalization(), threads);
    let all: Vec<u32> = (0..images.len() as u32).collect();
    let progress = Terminal.start(all.len() as u64, "reading pixels");
    let mut values = Vec::new();
    for part in all.chunks(AT_A_TIME) {
        if cancellation.is_cancelled() {
            return Err(Failure::Interrupted("nothing was written".to_owned()));
        }
        values.extend(source.batch(&BatchRequest { instances: part.to_vec(), epoch: 0, step: 0 })?.values);
        progress.advance(part.len() as u64);
    }
    progress.finish();
    Ok((values, 3 * view.size() * view.size()))
}

/// A number for what each instance looks like.
fn contents(pictures: &dyn Pictures, count: usize, cancellation: &Cancellation) -> Result<Vec<u64>, Failure> {
    lookalike_report::inspect::contents(pictures, count, Watch::silent(cancellation)).map_err(failed)
}

/// Why there is no inspection.
fn failed(error: ReportError) -> Failure {
    match error {
        ReportError::Cancelled => Failure::Interrupted("nothing was written".to_owned()),
        ReportError::Input(problem) => Failure::usage(problem),
        error => error.into(),
    }
}

/// What a source is called on the page: its name, without the folders above it.
fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// A category a row, and the names of the categories: of a table by their names in order, of a .npy by their numbers.
fn categories(path: &Path, count: usize, columns: &[&str]) -> Result<(Vec<u32>, Vec<String>), Failure> {
    let (file, asked) = lookalike_base::files::split_name(path);
    if !file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv")) {
        let (values, shape) = npy::read_identifiers(path)?;
        if shape != [count] {
            return Err(Failure::usage(format!(
                "{} has shape {shape:?}; expected [{count}], one a row",
                path.display()
            )));
        }
        let number = |value: &i64| u32::try_from(*value).ok().filter(|value| *value != UNLABELLED);
        let category = |(row, value): (usize, &i64)| match number(value) {
            _ if *value == -1 => Ok(UNLABELLED),
            Some(number) => Ok(number),
            None => Err(Failure::usage(format!(
                "{}: row {row} has {value}, which is no category",
                path.display()
            ))),
        };
        return Ok((values.iter().enumerate().map(category).collect::<Result<_, Failure>>()?, Vec::new()));
    }
    let asked: Vec<&str> = asked.as_deref().map_or_else(|| columns.to_vec(), |column| vec![column]);
    let cells = cells(&file, &asked, count)?.ok_or_else(|| {
        let names = asked.iter().map(|name| format!("`{name}`")).collect::<Vec<String>>().join(" or ");
        Failure::usage(format!(
            "{} has no column {names}; name one with {}:COLUMN",
            file.display(),
            file.display()
        ))
    })?;
    let mut names: Vec<String> = cells.iter().filter(|cell| !cell.is_empty()).cloned().collect();
    names.sort();
    names.dedup();
    let places: HashMap<&String, u32> = names.iter().zip(0..).collect();
    let values = cells.iter().map(|cell| places.get(cell).copied().unwrap_or(UNLABELLED)).collect();
    Ok((values, names))
}

/// What the column `name` of a table calls the rows; nothing where it has none, or there is no table.
fn named_rows(path: &Path, count: usize) -> Result<Vec<String>, Failure> {
    let (file, _) = lookalike_base::files::split_name(path);
    if !file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv")) {
        return Ok(Vec::new());
    }
    let names = cells(&file, &["name"], count)?.unwrap_or_default();
    Ok(if names.iter().all(String::is_empty) { Vec::new() } else { names })
}

/// The cells of the first of these columns that a table has, not all empty where there is another.
fn cells(file: &Path, columns: &[&str], count: usize) -> Result<Option<Vec<String>>, Failure> {
    let found: Vec<Vec<String>> = read_table(file, columns)?.1.into_iter().flatten().collect();
    if let Some(cells) = found.first().filter(|cells| cells.len() != count) {
        return Err(Failure::usage(format!(
            "{} has {} rows, and there are {count} embeddings",
            file.display(),
            cells.len()
        )));
    }
    let filled = found.iter().position(|cells| !cells.iter().all(String::is_empty));
    Ok(found.into_iter().nth(filled.unwrap_or(0)))
}

/// Looks for what is wrong, and writes what was found.
fn finish(
    arguments: &Arguments,
    embeddings: &impl RowSource,
    known: Known,
    pictures: &dyn Pictures,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    let named = Named { names: known.names, pictures };
    let data = Inspected {
        name: known.name,
        labels: &known.labels,
        classes: known.classes,
        splits: &known.splits,
        split_names: known.split_names,
        contents: &known.contents,
        pictures: &named,
    };
    let options = InspectOptions {
        neighbors: arguments.neighbors,
        duplicate_factor: arguments.duplicate_factor,
        ..InspectOptions::default()
    };
    let progress = Terminal.start(embeddings.len() as u64, "comparing");
    let found = inspect(embeddings, &data, &options, Watch { progress: &*progress, cancellation });
    progress.finish();
    let found = found.map_err(failed)?;
    write(&arguments.out, &data, &found, arguments.picture_kilobytes.saturating_mul(1000))?;
    say(summary(&found))?;
    say(format_args!("wrote {} to {}", FILES.join(", "), arguments.out.display()))
}

fn write(out: &Path, data: &Inspected<'_>, found: &Findings, picture_bytes: usize) -> Result<(), Failure> {
    std::fs::create_dir_all(out).map_err(|source| LearnError::Io { path: out.to_owned(), source })?;
    let [html, csv, groups] = FILES.map(|file| out.join(file));
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| LearnError::Io { path, source }
    };
    let (page, table) = (page(data, found, picture_bytes), found.csv(data)?);
    atomic::write_atomic(&csv, |writer| writer.write_all(&table)).map_err(io(&csv))?;
    npy::write_integers(&groups, &[found.duplicates.len()], &found.duplicates)?;
    atomic::write_atomic(&html, |writer| writer.write_all(page.as_bytes())).map_err(io(&html))?;
    Ok(())
}

fn summary(found: &Findings) -> String {
    let line = |issue: &Issue| format!("{:17} {}", issue.word(), found.of_issue(*issue).count());
    let groups = format!("{:17} {}", "look-alike groups", found.look_alikes.len());
    Issue::ALL.iter().map(line).chain([groups]).collect::<Vec<String>>().join("\n")
}

/// Pictures under names from elsewhere.
struct Named<'a> {
    names: Vec<String>,
    pictures: &'a dyn Pictures,
}

impl Pictures for Named<'_> {
    fn shown(&self, part: usize, instance: u32) -> Option<Shown> {
        self.pictures.shown(part, instance)
    }

    fn name(&self, part: usize, instance: u32) -> Option<String> {
        let own = self.names.get(instance as usize).filter(|name| !name.is_empty());
        own.cloned().or_else(|| self.pictures.name(part, instance))
    }
}

/// Images of one part behind those of another.
struct Photos {
    images: Vec<Arc<dyn ImageDataset>>,
}

impl Photos {
    fn place(&self, mut instance: u32) -> Option<(&Arc<dyn ImageDataset>, u32)> {
        for images in &self.images {
            if (instance as usize) < images.len() {
                return Some((images, instance));
            }
            instance -= images.len() as u32;
        }
        None
    }
}

impl Pictures for Photos {
    fn shown(&self, _: usize, instance: u32) -> Option<Shown> {
        let (images, instance) = self.place(instance)?;
        match images.image(instance) {
            Ok(Image { width, height, pixels }) => {
                Some(Shown::Image { width, height, pixels: pixels.into_owned() })
            }
            Err(error) => {
                tell(format_args!("warning: row {instance} is not shown: {error}"));
                None
            }
        }
    }

    fn name(&self, _: usize, instance: u32) -> Option<String> {
        let (images, instance) = self.place(instance)?;
        images.instance_name(instance)
    }
}

/// The texts of rows.
struct Lines {
    set: TextSet,
}

impl Pictures for Lines {
    fn shown(&self, _: usize, instance: u32) -> Option<Shown> {
        let texts = self.set.row(instance as usize).into_iter().map(str::to_owned);
        Some(Shown::Texts(texts.collect()))
    }

    fn name(&self, _: usize, instance: u32) -> Option<String> {
        Some(format!("line {}", self.set.places[instance as usize]))
    }
}

/// The parts of a run's data, one behind another.
struct Parts<'a> {
    inner: Instances<'a>,
    sizes: Vec<u32>,
}

impl Parts<'_> {
    fn place(&self, mut instance: u32) -> Option<(usize, u32)> {
        for (part, size) in self.sizes.iter().enumerate() {
            if instance < *size {
                return Some((part, instance));
            }
            instance -= size;
        }
        None
    }
}

impl Pictures for Parts<'_> {
    fn shown(&self, _: usize, instance: u32) -> Option<Shown> {
        let (part, instance) = self.place(instance)?;
        self.inner.shown(part, instance)
    }

    fn name(&self, _: usize, instance: u32) -> Option<String> {
        let (part, instance) = self.place(instance)?;
        self.inner.name(part, instance)
    }
}
