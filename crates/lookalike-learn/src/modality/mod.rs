//! Modalities: what an instance is, where the data come from, which columns can be made of them, and what an evaluation measures.
//!
//! A modality is one file: its options, how it is opened, its views and its plain part, its trivial baselines. What it goes with
//! stands as data in its [`ModalityEntry`].

pub(crate) mod diffused;
pub mod graph;
pub mod image;
pub mod node;
pub mod text;

use std::borrow::Cow;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lookalike_base::progress::{Cancellation, ProgressDisplay};
use lookalike_base::{Matrix, Progress, Seed, Watch};
use lookalike_data::image::segmented::SegmentedSet;
use lookalike_data::loader::LoaderOptions;
use lookalike_data::{Shown, Split};
use lookalike_sampling::{DataSets, UNLABELLED};
use toml::Value as Toml;

use crate::error::LearnError;
use crate::evaluate::Task;
use crate::input::Source;
use crate::negatives::Relevance;
use crate::options::{Key, Settings, refuse};

/// A modality as a registry holds it.
#[derive(Debug, Clone, Copy)]
pub struct ModalityEntry {
    /// Its name, by which methods and encoders say what they go with.
    pub kind: &'static str,
    /// What its data sets are, for the reference.
    pub about: &'static str,
    /// Its keys in the section `[data]`.
    pub data: &'static [Key],
    /// Its own sections.
    pub sections: &'static [Section],
    /// Methods that learn from it, beside those that say so themselves.
    pub methods: &'static [&'static str],
    /// What an evaluation measures, in this order; scores that name this modality themselves follow.
    pub scores: &'static [Measure],
    /// What is measured when training ends.
    pub after_training: Scope,
    /// Whether all instances are embedded at once, so that `evaluate.batch_size` is not read.
    pub embedded_at_once: bool,
    /// Whether a batch can be encoded in parts, as `train.chunk` asks for.
    pub divisible: bool,
    /// Whether `data.name` may be a path below `data.root`, which is then the current folder where it is absent.
    pub finds_paths: bool,
    /// Checks what its sections say.
    pub check: fn(&Settings) -> Result<(), LearnError>,
    /// Opens the data.
    pub open: fn(&Opening<'_>) -> Result<Opened, LearnError>,
}

/// A section of a recipe, or a part of one.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// Its name.
    pub name: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
    /// Read only where a method reads one of these columns; empty: always.
    pub columns: &'static [&'static str],
}

/// A score and the arms it is measured on.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    /// The score, by its name in the registry.
    pub score: &'static str,
    /// On what.
    pub arms: &'static [ArmKind],
}

/// What embeddings are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArmKind {
    /// Rows that need no encoder: pixels, histograms, features.
    Raw,
    /// The encoder before its first step.
    Untrained,
    /// The trained encoder, BatchNorm's statistics estimated anew.
    Trained,
    /// The trained encoder, BatchNorm's running statistics as training left them.
    TrainingStatistics,
    /// The encoder at the step that the development part found best.
    Best,
}

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// What stands beside the trained encoder.
    pub beside: Beside,
    /// Scores that are left out.
    pub without: &'static [&'static str],
    /// Scores that are measured though they are left to `lookalike evaluate`; absent: all of them.
    pub also: Option<&'static [&'static str]>,
    /// Draws of folds at most, where folds are drawn; the recipe's where absent.
    pub fold_seeds: Option<usize>,
}

impl Scope {
    /// Everything.
    pub const FULL: Self = Self { beside: Beside::All, without: &[], also: None, fold_seeds: None };
}

/// What stands beside the scores of a trained encoder and does not come from training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// The encoder before its first step, and rows that need no encoder.
    All,
    /// The encoder before its first step.
    Untrained,
    /// Nothing.
    Nothing,
}

/// What a modality is opened by.
pub struct Opening<'a> {
    /// All that the recipe says.
    pub settings: &'a Settings,
    /// The columns that the method reads.
    pub columns: &'static [&'static str],
    /// Shows the progress of long work.
    pub display: &'a dyn ProgressDisplay,
    /// Asks long work to stop.
    pub cancellation: &'a Cancellation,
    /// The folder of the run, where there is one: what it keeps of the data, [`Modality::keep`], need not be made again, and says which
    /// instances the run has.
    pub run: Option<&'a Path>,
    /// The folder of the run whose encoder reads the data, be they its own or others: what the encoder takes them apart by, as a
    /// vocabulary, is what that folder keeps, not what would be made of the data.
    pub encoder_of: Option<&'a Path>,
    /// The run's seed.
    pub seed: Seed,
    /// Threads and depth of a loader.
    pub loader: LoaderOptions,
}

impl Opening<'_> {
    /// `data.name`.
    pub fn name(&self) -> &str {
        self.settings.text("data.name").unwrap_or_default()
    }

    /// What long work is given that shows its `progress`.
    pub fn watch<'b>(&'b self, progress: &'b dyn Progress) -> Watch<'b> {
        Watch { progress, cancellation: self.cancellation }
    }

    /// `data.root`, the current folder where it is absent.
    pub fn root(&self) -> PathBuf {
        self.settings.text("data.root").unwrap_or(".").into()
    }
}

/// Opened data, and what a user should know about them.
pub type Opened = (Box<dyn Modality>, Vec<String>);

/// Labels of a part of the data.
#[derive(Debug, Clone, Default)]
pub struct Labels {
    /// One an instance, [`UNLABELLED`] where that has none; empty where no instance has one.
    pub labels: Vec<u32>,
    /// Number of classes.
    pub classes: usize,
}

impl Labels {
    /// The instances that have a label.
    pub fn known(&self) -> Vec<u32> {
        let instances = (0..).zip(&self.labels).filter(|(_, label)| **label != UNLABELLED);
        instances.map(|(instance, _)| instance).collect()
    }

    /// How many instances have none, where others have one.
    pub fn unknown(&self) -> usize {
        self.labels.iter().filter(|label| **label == UNLABELLED).count()
    }

    /// The labels of the instances that have one.
    pub fn of_known(&self) -> Vec<u32> {
        self.labels.iter().copied().filter(|label| *label != UNLABELLED).collect()
    }
}

/// A part of the data, not augmented.
#[derive(Clone)]
pub struct Part {
    /// What makes its batches.
    pub source: Source,
    /// How many instances it has.
    pub instances: usize,
    /// What it is called in reports.
    pub name: String,
}

/// Rows with a class each.
#[derive(Debug, Clone)]
pub struct Labelled {
    /// The rows.
    pub rows: Matrix,
    /// Their classes; empty where there are none.
    pub labels: Vec<u32>,
}

impl Labelled {
    /// The rows of the instances that have a label; all of them where none has.
    ///
    /// # Errors
    /// [`LearnError::Matrix`] where rows are missing.
    pub fn of(rows: &Matrix, labels: Labels) -> Result<Self, LearnError> {
        if labels.unknown() == 0 {
            return Ok(Self { rows: rows.clone(), labels: labels.labels });
        }
        let known = labels.known();
        let values = known.iter().flat_map(|row| rows.row(*row as usize)).copied().collect();
        Ok(Self { rows: Matrix::new(values, rows.columns())?, labels: labels.of_known() })
    }
}

/// What a classifier learns from, and what it is scored on.
#[derive(Debug, Clone)]
pub struct FitAndTest {
    /// What it learns from.
    pub fit: Labelled,
    /// What it is scored on.
    pub test: Labelled,
    /// Number of classes.
    pub classes: usize,
    /// Of how many of what, in words for a table; empty where that goes without saying.
    pub about: String,
    /// The same as numbers under their names.
    pub counts: Vec<(&'static str, usize)>,
}

/// Rows that need no encoder, beside which a result stands.
pub struct Baseline {
    /// Ends the names of its scores.
    pub name: &'static str,
    /// What it is, in words.
    pub title: Cow<'static, str>,
    /// Its rows, or why there are none.
    pub rows: Result<BaselineRows, String>,
}

/// Where rows that need no encoder are.
pub enum BaselineRows {
    /// In memory, one matrix a part.
    Held(Vec<Matrix>),
    /// In files, from which they are read when a score asks for them.
    Read(Box<dyn ReadRows>),
}

/// Rows that are made when they are read, so that they need not fit into memory together.
pub trait ReadRows {
    /// Hands the rows of these instances of a part to `take`, in their order, as many at a time as fit into little memory.
    ///
    /// # Errors
    /// Whatever the data report, [`LearnError::Cancelled`], and those of `take`.
    fn read(
        &self,
        split: Split,
        instances: &[u32],
        cancellation: &Cancellation,
        take: &mut dyn FnMut(Matrix) -> Result<(), LearnError>,
    ) -> Result<(), LearnError>;

    /// The rows of these instances of a part together.
    ///
    /// # Errors
    /// As [`ReadRows::read`].
    fn matrix(
        &self,
        split: Split,
        instances: &[u32],
        cancellation: &Cancellation,
    ) -> Result<Matrix, LearnError> {
        let (mut values, mut columns) = (Vec::new(), 1);
        self.read(split, instances, cancellation, &mut |rows| {
            if values.is_empty() {
                columns = rows.columns();
                values.reserve_exact(instances.len() * columns);
            }
            values.extend(rows.into_values());
            Ok(())
        })?;
        Ok(Matrix::new(values, columns)?)
    }
}

/// Groups of instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    /// What they are called, as the column of a file.
    pub column: String,
    /// Their names.
    pub names: Vec<String>,
    /// The group of each instance, an index into the names.
    pub rows: Vec<u32>,
}

/// Opened data of a modality.
pub trait Modality: Send + Sync {
    /// What the instances to learn from are called in reports.
    fn name(&self) -> String;

    /// Their number, N.
    fn instances(&self) -> usize;

    /// Values that describe an instance or a part of it: channels, features of a node.
    fn inputs(&self) -> usize;

    /// Tells them from other data, wherever the files lie.
    ///
    /// # Errors
    /// [`LearnError::Data`] where a file cannot be looked at.
    fn fingerprint(&self) -> Result<String, LearnError>;

    /// What they are called beside scores, where a list that has a name chose their classes: scores on others are not on one scale.
    fn listed(&self) -> Option<&str> {
        None
    }

    /// What a user should know of what was made of them.
    fn note(&self) -> Option<String> {
        None
    }

    /// What the recipe left to the data, to be written out in that of the run.
    fn settled(&self) -> Vec<(&'static str, Toml)> {
        Vec::new()
    }

    /// Writes into the folder of a run what of the data its encoder is used with, as a tokenizer.
    ///
    /// # Errors
    /// [`LearnError::Io`] where a file cannot be written.
    fn keep(&self, _run: &Path) -> Result<(), LearnError> {
        Ok(())
    }

    /// Which document answers which query, where instances are pairs of these, and false negatives are to be left out by it.
    fn relevance(&self) -> Option<Arc<Relevance>> {
        None
    }

    /// The group of each instance, by a number and by name, where instances of one group must never share a batch.
    fn groups(&self) -> Option<Groups> {
        None
    }

    /// Where instances are of several sets, which lie one behind another and of which each batch has one: their sizes, and the order of
    /// batches.
    fn sets(&self) -> Option<DataSets> {
        None
    }

    /// Sets on which an encoder is scored beside the data's own parts.
    fn tasks(&self) -> &[Task] {
        &[]
    }

    /// Sets of images with masks, on which feature maps are scored.
    fn segmented(&self) -> &[SegmentedSet] {
        &[]
    }

    /// The set on which an encoder is scored while it trains.
    fn development(&self) -> Option<&Task> {
        None
    }

    /// What is measured when training ends, where the modality's entry says `scope`.
    fn after_training(&self, scope: Scope) -> Scope {
        scope
    }

    /// The parts that are embedded in an evaluation.
    fn parts(&self) -> &'static [Split] {
        &[Split::Train]
    }

    /// Labels of a part.
    fn labels(&self, split: Split) -> Labels;

    /// Instances of a part, in the order of their numbers, that the run began with and that cannot be read any more. Where they are asked
    /// for another stands in.
    fn left_out(&self, _split: Split) -> &[u32] {
        &[]
    }

    /// The names of the classes; empty where they have none.
    fn class_names(&self) -> Vec<String> {
        Vec::new()
    }

    /// What an instance of a part is called, as its file; `None` where it has no name, or there is no such instance.
    fn instance_name(&self, _split: Split, _instance: u32) -> Option<String> {
        None
    }

    /// What an instance of a part looks like to a person; `None` where it cannot be shown, or there is no such instance.
    ///
    /// # Errors
    /// [`LearnError::Data`] where it cannot be read.
    fn shown(&self, _split: Split, _instance: u32) -> Result<Option<Shown>, LearnError> {
        Ok(None)
    }

    /// Whether the part to test is that to learn from, for want of another.
    fn tests_what_it_learns(&self) -> bool {
        false
    }

    /// Batches to learn from, with these columns. Of a part other than that to learn from, views to compare.
    ///
    /// # Errors
    /// [`LearnError::Data`] where the views cannot be made of the data.
    fn batches(&self, columns: &[&str], split: Split, seed: Seed) -> Result<Source, LearnError>;

    /// How training's batches are made ahead.
    fn loader(&self, options: LoaderOptions) -> LoaderOptions {
        options
    }

    /// Instances that an evaluation makes a batch of at most, so that it takes no more memory than training.
    fn most_at_a_time(&self) -> usize {
        usize::MAX
    }

    /// A part of the data without augmentation, with these columns.
    ///
    /// # Errors
    /// [`LearnError::Evaluation`] where there is no such part.
    fn part(&self, split: Split, columns: &[&str]) -> Result<Part, LearnError>;

    /// Rows that need no encoder.
    ///
    /// # Errors
    /// Whatever the data report, and [`LearnError::Cancelled`].
    fn baselines(&self, _: &Cancellation) -> Result<Vec<Baseline>, LearnError> {
        Ok(Vec::new())
    }

    /// What a classifier learns from and is scored on, of one matrix a part.
    ///
    /// # Errors
    /// [`LearnError::Matrix`] where rows are missing.
    fn fit_and_test(&self, parts: &[Matrix]) -> Result<FitAndTest, LearnError> {
        let [fit, test] = self.parts() else {
            return Err(LearnError::Evaluation("these data have no part to test on".to_owned()));
        };
        let [own, others] = [*fit, *test].map(|split| self.labels(split));
        let classes = own.classes.max(others.classes);
        let (fit, test) = (Labelled::of(&parts[0], own)?, Labelled::of(&parts[1], others)?);
        Ok(FitAndTest { fit, test, classes, about: String::new(), counts: Vec::new() })
    }
}

/// Loading by one thread, of sources that divide each batch among threads themselves: one more batch is under way while one is encoded.
pub fn one_thread(options: LoaderOptions) -> LoaderOptions {
    LoaderOptions { threads: NonZero::<usize>::MIN, ..options }
}

/// What a modality says of a column that it cannot make.
pub fn no_column(modality: &str, columns: &[&str]) -> LearnError {
    let columns = columns.join("`, `");
    refuse("method.kind", format!("the modality `{modality}` makes no columns `{columns}`"))
}
