//! Evaluation: makes embeddings with a trained network and hands them to `lookalike-metrics`.
//!
//! Rules: weights of the last epoch, BatchNorm by its running statistics, which are first estimated anew on uniform,
//! un-augmented batches, because batches of look-alikes bias them. The network that training goes on with is not touched:
//! everything here works on a copy.
//!
//! One loop goes over arms (rows that need no encoder, the untrained encoder, the trained one, the trained one with training's
//! statistics) and over the scores that the modality lists for each.

pub mod alignment;
pub mod batches;
pub mod classifier;
pub mod clustering;
pub mod cross_validation;
pub mod embed;
pub mod figure;
pub mod geometry;
pub mod knn;
pub mod linear;
pub(crate) mod monitor;
pub mod premise;
pub mod proxy;
mod right;
pub mod score;
pub mod segmentation;
pub mod task;

use std::cell::OnceCell;

use lookalike_base::progress::{Cancellation, ProgressDisplay, Watch};
use lookalike_base::{Matrix, Seed};
use lookalike_data::Split;

use crate::error::LearnError;
use crate::method::Embedder;
use crate::modality::{
    ArmKind, BaselineRows, Beside, FitAndTest, Labels, Measure, Modality, Part, ReadRows, Scope,
};
use crate::module::has_buffers;
use crate::options::{FLAG, Key, Range, SOME, Settings, Value};

pub use cross_validation::{Accuracy, CrossValidation};
pub use embed::{Embedded, embed, estimate_statistics};
pub use figure::{Evaluation, Figure, STEP};
pub use score::Score;
pub use task::{NeighborTask, Task, TaskKind};

crate::options! {
    /// Keys of `[evaluate]` that do not belong to a score.
    pub struct EvaluateOptions {
        /// Instances a batch; fewer of images of more than 104 pixels.
        batch_size: usize = Value::Integer(256), SOME;
        /// Uniform, un-augmented batches on which BatchNorm's running statistics are estimated anew.
        statistics_batches: usize = Value::Integer(50), SOME;
        /// Whether what needs no encoder is scored beside: pixels; label histograms, numbers of nodes and edges; features.
        raw_input: bool = Value::Flag(true), FLAG;
        /// Whether training ends with an evaluation. `lookalike evaluate` makes one at any time.
        after_training: bool = Value::Flag(true), FLAG;
        /// Epochs from one look at a run that goes on to the next: 1,000 instances that it learns from are classified by their neighbours among
        /// 3,000 others. It tells how the run goes, and decides nothing.
        every: Option<u64> = Value::Absent("never"), Range::Integer { least: 1, most: 1 << 40 };
    }
}

/// A score as a registry holds it.
#[derive(Debug, Clone, Copy)]
pub struct ScoreEntry {
    /// Its name, by which modalities list it.
    pub kind: &'static str,
    /// What it is, for messages, as in "has no …".
    pub about: &'static str,
    /// Its keys in the section `[evaluate]`.
    pub keys: &'static [Key],
    /// Modalities on which it is measured, and the arms, beside what these say themselves.
    pub modalities: &'static [(&'static str, &'static [ArmKind])],
    /// Names of what its figures tell beside scores: with what these were measured.
    pub circumstances: &'static [&'static str],
    /// Whether it reads embeddings of the parts of the data, which need not be made where no score does.
    pub of_parts: bool,
    /// Whether it is measured when training ends; if not, only by `lookalike evaluate` and where the method asks for it.
    pub ends_training: bool,
    /// Measures an arm.
    pub measure: fn(&Subject<'_>) -> Result<Vec<Figure>, LearnError>,
}

impl ScoreEntry {
    /// A score without keys that modalities list; what an entry says otherwise it writes.
    pub const PLAIN: Self = Self {
        kind: "",
        about: "",
        keys: &[],
        modalities: &[],
        circumstances: &[],
        of_parts: true,
        ends_training: true,
        measure: |_| Ok(Vec::new()),
    };
}

/// What embeddings are from, and what it is called.
#[derive(Debug, Clone)]
pub struct Arm {
    /// What they are from.
    pub kind: ArmKind,
    /// Ends the names of its scores; empty for the trained encoder.
    pub suffix: String,
    /// What it is, in words.
    pub title: String,
}

impl Arm {
    /// The name that a score of it has in JSON.
    fn key(&self, score: &str) -> String {
        if self.suffix.is_empty() { score.to_owned() } else { format!("{score}_{}", self.suffix) }
    }

    /// The title of a score that needs no word on the trained encoder.
    fn title_alone(&self, score: &str) -> String {
        match self.kind {
            ArmKind::Trained => score.to_owned(),
            _ => format!("{score}: {}", self.title),
        }
    }
}

/// What a score measures.
pub struct Subject<'a> {
    /// The arm.
    pub arm: &'a Arm,
    /// Its rows, one matrix a part; none where no score of the arm reads them, or where they are read when they are asked for.
    pub rows: &'a [Matrix],
    /// Reads its rows, where they need not fit into memory.
    pub read: Option<&'a dyn ReadRows>,
    /// What the loss compares of the first part; absent for rows that need no encoder.
    pub projection: Option<&'a Matrix>,
    /// All that the recipe says.
    pub settings: &'a Settings,
    /// The run's seed.
    pub seed: Seed,
    /// Draws of folds at most; the recipe's where absent.
    pub fold_seeds: Option<usize>,
    /// The batches of the last epoch; none where they are not known.
    pub plan: &'a [Vec<u32>],
    /// Whether the data are those that the network learned from.
    pub own_data: bool,
    evaluating: &'a Evaluating<'a>,
    network: Option<&'a (dyn Embedder + 'static)>,
    split: OnceCell<FitAndTest>,
    views: OnceCell<[Embedded; 2]>,
}

impl Subject<'_> {
    /// The name that a score of this arm has in JSON.
    pub fn key(&self, score: &str) -> String {
        self.arm.key(score)
    }

    /// The title in a table of what is mostly measured of the trained encoder alone: there `score` says all.
    pub fn title_alone(&self, score: &str) -> String {
        self.arm.title_alone(score)
    }

    /// The title that a score of this arm has in a table, beside those of others.
    pub fn title(&self, score: &str) -> String {
        let on = self.modality().listed().map_or_else(String::new, |data| format!(" on {data}"));
        match self.arm.kind {
            ArmKind::TrainingStatistics => format!("  {}", self.arm.title),
            _ => format!("{score}{on}: {}", self.arm.title),
        }
    }

    /// What a classifier learns from and is scored on.
    ///
    /// # Errors
    /// As [`Modality::fit_and_test`].
    pub fn fit_and_test(&self) -> Result<&FitAndTest, LearnError> {
        if let Some(split) = self.split.get() {
            return Ok(split);
        }
        let modality = self.evaluating.modality;
        let split = match self.read {
            None => modality.fit_and_test(self.rows)?,
            Some(read) => modality.fit_and_test(&self.read_all(read)?)?,
        };
        Ok(self.split.get_or_init(|| split))
    }

    /// All rows of every part, for scores that need them together.
    fn read_all(&self, read: &dyn ReadRows) -> Result<Vec<Matrix>, LearnError> {
        let modality = self.evaluating.modality;
        let whole = |split: &Split| {
            let instances = modality.part(*split, self.evaluating.columns)?.instances;
            let all: Vec<u32> = (0..instances as u32).collect();
            read.matrix(*split, &all, self.cancellation())
        };
        modality.parts().iter().map(whole).collect()
    }

    /// The data.
    pub fn modality(&self) -> &dyn Modality {
        self.evaluating.modality
    }

    /// Labels of the first part.
    pub fn labels(&self) -> Labels {
        self.evaluating.modality.labels(self.evaluating.modality.parts()[0])
    }

    /// Two views of the last part, embedded by the arm's network.
    ///
    /// # Errors
    /// Whatever the data report.
    pub fn two_views(&self) -> Result<&[Embedded; 2], LearnError> {
        if let Some(views) = self.views.get() {
            return Ok(views);
        }
        let network = self.network.ok_or_else(|| {
            LearnError::Evaluation("views are embedded by an encoder, and there is none".to_owned())
        })?;
        let views = embed::two_views(dyn_clone::clone_box(network).as_mut(), self.evaluating)?;
        Ok(self.views.get_or_init(|| views))
    }

    /// The sets on which encoders are scored beside the data's own parts.
    pub fn tasks(&self) -> &[Task] {
        self.evaluating.modality.tasks()
    }

    /// What the arm's network makes of the two parts of a task.
    ///
    /// # Errors
    /// As [`embed()`].
    pub fn embedded(&self, parts: &[Part; 2]) -> Result<[Matrix; 2], LearnError> {
        let network = self.network.ok_or_else(|| {
            LearnError::Evaluation("texts are embedded by an encoder, and there is none".to_owned())
        })?;
        let mut network = dyn_clone::clone_box(network);
        let mut embed = |part| {
            let Evaluating { embedding, display, cancellation, .. } = self.evaluating;
            Ok::<_, LearnError>(
                embedding.embed(network.as_mut(), part, *display, cancellation)?.representation,
            )
        };
        Ok([embed(&parts[0])?, embed(&parts[1])?])
    }

    /// What the network's head of that name makes of the rows of each part; none where it has no such head.
    ///
    /// # Errors
    /// [`LearnError::Matrix`] where rows are missing.
    pub fn told(&self, head: &str) -> Result<Vec<Matrix>, LearnError> {
        let Some(network) = self.network else { return Ok(Vec::new()) };
        let mut network = dyn_clone::clone_box(network);
        let told = self.rows.iter().map(|rows| network.told(head, rows));
        Ok(told.collect::<Result<Option<Vec<Matrix>>, LearnError>>()?.unwrap_or_default())
    }

    /// A copy of the arm's network; `None` of rows that need no encoder.
    pub fn network(&self) -> Option<Box<dyn Embedder>> {
        self.network.map(dyn_clone::clone_box)
    }

    /// Shows the progress of long work.
    pub fn display(&self) -> &dyn ProgressDisplay {
        self.evaluating.display
    }

    /// Asks it to stop.
    pub fn cancellation(&self) -> &Cancellation {
        self.evaluating.cancellation
    }

    /// Calls `work`, whose progress of `total` is shown under `title`.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn watched<R>(
        &self,
        total: u64,
        title: &str,
        work: impl FnOnce(Watch<'_>) -> Result<R, LearnError>,
    ) -> Result<R, LearnError> {
        let progress = self.evaluating.display.start(total, title);
        let result = work(Watch { progress: &*progress, cancellation: self.evaluating.cancellation });
        progress.finish();
        result
    }
}

/// An evaluation of one network on opened data.
pub struct Evaluating<'a> {
    /// The data.
    pub modality: &'a dyn Modality,
    /// What is measured.
    pub measures: &'a [Measure],
    /// The scores that there are.
    pub scores: &'a [ScoreEntry],
    /// The columns that the network reads.
    pub columns: &'static [&'static str],
    /// The views that a method of two views learns from.
    pub view_columns: &'static [&'static str],
    /// All that the recipe says.
    pub settings: &'a Settings,
    /// Loads the data.
    pub embedding: embed::Embedding<'a>,
    /// Shows progress.
    pub display: &'a dyn ProgressDisplay,
    /// Asks it to stop.
    pub cancellation: &'a Cancellation,
    /// The run's seed.
    pub seed: Seed,
    /// How much is measured.
    pub scope: Scope,
}

/// What a run has come to, to be measured.
#[derive(Clone, Copy)]
pub struct Measured<'a> {
    /// The network.
    pub network: &'a (dyn Embedder + 'static),
    /// Whether its BatchNorm statistics are to stay as they are; else they are estimated anew, and the network as training left it stands
    /// beside.
    pub settled: bool,
    /// The network at the step that the development part found best.
    pub best: Option<&'a (dyn Embedder + 'static)>,
    /// The batches of its last epoch; none where they are not known, or are of other data.
    pub plan: &'a [Vec<u32>],
    /// Whether the data are those that it learned from.
    pub own_data: bool,
}

/// What is known of the run of an arm.
#[derive(Clone, Copy)]
struct Ran<'a> {
    plan: &'a [Vec<u32>],
    own_data: bool,
}

impl Evaluating<'_> {
    /// Measures a network; `untrained` makes the one before its first step.
    ///
    /// # Errors
    /// Whatever data and metrics report, and [`LearnError::Cancelled`].
    pub fn run(
        &self,
        measured: &Measured<'_>,
        untrained: &dyn Fn() -> Result<Box<dyn Embedder>, LearnError>,
    ) -> Result<Evaluation, LearnError> {
        let Measured { network, settled, best, plan, own_data } = *measured;
        let ran = Ran { plan, own_data };
        let mut figures = Figures::default();
        let beside = self.scope.beside;
        let arm = |kind, suffix: &str, title: &str| Arm {
            kind,
            suffix: suffix.to_owned(),
            title: title.to_owned(),
        };
        if beside == Beside::All && self.embedding.options.raw_input && self.asks_for(ArmKind::Raw) {
            self.measure_baselines(&mut figures, ran)?;
        }
        if beside != Beside::Nothing && self.asks_for(ArmKind::Untrained) {
            let network = self.embedding.with_estimated_statistics(&*untrained()?)?;
            self.embedded(
                &mut figures,
                &arm(ArmKind::Untrained, "untrained", "encoder before training"),
                network,
                ran,
            )?;
        }
        let mut copy = dyn_clone::clone_box(network);
        let has_statistics = !settled && has_buffers(&mut copy);
        let estimated = if has_statistics {
            self.embedding.with_estimated_statistics(network)?
        } else {
            dyn_clone::clone_box(network)
        };
        self.embedded(&mut figures, &arm(ArmKind::Trained, "", "encoder after training"), estimated, ran)?;
        // Without BatchNorm nothing was estimated anew.
        if has_statistics && self.asks_for(ArmKind::TrainingStatistics) {
            let title = "with BatchNorm statistics as training left them";
            let arm = arm(ArmKind::TrainingStatistics, "training_statistics", title);
            self.embedded(&mut figures, &arm, copy, ran)?;
        }
        if let Some(best) = best.filter(|_| self.asks_for(ArmKind::Best)) {
            let arm = arm(ArmKind::Best, "best", "encoder at the best step of the development part");
            let best = self.embedding.with_estimated_statistics(best)?;
            self.embedded(&mut figures, &arm, best, ran)?;
        }
        figures.found.sort_by_key(|(place, _)| *place);
        let mut all = vec![Figure::new("layer", &network.layer(), "layer", network.layer())?];
        if let Some(data) = self.modality.listed() {
            all.push(Figure::new("data", &data, "data", data)?);
        }
        all.extend(figures.found.into_iter().map(|(_, figure)| figure));
        Ok(Evaluation::of(all))
    }

    /// Measures what needs no encoder.
    fn measure_baselines(&self, figures: &mut Figures, ran: Ran<'_>) -> Result<(), LearnError> {
        for baseline in self.modality.baselines(self.cancellation)? {
            let (suffix, title) = (baseline.name.to_owned(), baseline.title.into_owned());
            let arm = Arm { kind: ArmKind::Raw, suffix, title };
            match &baseline.rows {
                Ok(rows) => self.measure(figures, &arm, rows, (None, None), ran)?,
                Err(reason) => self.leave_undefined(figures, &arm, reason)?,
            }
        }
        Ok(())
    }

    /// Whether a score is measured on such an arm.
    fn asks_for(&self, kind: ArmKind) -> bool {
        self.measures.iter().any(|measure| self.measures_on(measure, kind))
    }

    fn measures_on(&self, measure: &Measure, kind: ArmKind) -> bool {
        let Scope { without, also, .. } = self.scope;
        let own = self.scores.iter().find(|score| score.kind == measure.score);
        let asked =
            |also: &[&str]| also.contains(&measure.score) || own.is_none_or(|score| score.ends_training);
        measure.arms.contains(&kind) && !without.contains(&measure.score) && also.is_none_or(asked)
    }

    /// Measures the embeddings that `network` makes.
    fn embedded(
        &self,
        figures: &mut Figures,
        arm: &Arm,
        mut network: Box<dyn Embedder>,
        ran: Ran<'_>,
    ) -> Result<(), LearnError> {
        let (mut rows, mut projection) = (Vec::new(), None);
        let reads_parts = self.scores_on(arm.kind).any(|(_, score)| score.of_parts);
        let parts = if reads_parts { self.modality.parts() } else { &[] };
        for split in parts {
            let part = self.modality.part(*split, self.columns)?;
            let embedded = self.embedding.embed(network.as_mut(), &part, self.display, self.cancellation)?;
            rows.push(embedded.representation);
            projection.get_or_insert(embedded.projection);
        }
        self.measure(figures, arm, &BaselineRows::Held(rows), (projection.as_ref(), Some(&*network)), ran)
    }

    /// Measures the scores of an arm.
    fn measure(
        &self,
        figures: &mut Figures,
        arm: &Arm,
        rows: &BaselineRows,
        (projection, network): (Option<&Matrix>, Option<&(dyn Embedder + 'static)>),
        ran: Ran<'_>,
    ) -> Result<(), LearnError> {
        let (rows, read) = match rows {
            BaselineRows::Held(rows) => (&rows[..], None),
            BaselineRows::Read(read) => (&[][..], Some(&**read)),
        };
        let subject = Subject {
            arm,
            rows,
            read,
            projection,
            network,
            settings: self.settings,
            seed: self.seed,
            fold_seeds: self.scope.fold_seeds,
            plan: ran.plan,
            own_data: ran.own_data,
            evaluating: self,
            split: OnceCell::new(),
            views: OnceCell::new(),
        };
        for (place, score) in self.scores_on(arm.kind) {
            if self.cancellation.is_cancelled() {
                return Err(LearnError::Cancelled);
            }
            let found = (score.measure)(&subject)?;
            figures.found.extend(found.into_iter().map(|figure| (place, figure)));
        }
        Ok(())
    }

    /// Says of each score of an arm why there is none.
    fn leave_undefined(&self, figures: &mut Figures, arm: &Arm, reason: &str) -> Result<(), LearnError> {
        for (place, score) in self.scores_on(arm.kind) {
            let (undefined, title) = (Score::undefined(reason), format!("{}: {}", score.about, arm.title));
            figures
                .found
                .push((place, Figure::new(arm.key(score.kind), &undefined, title, undefined.share())?));
        }
        Ok(())
    }

    /// The scores that are measured on such an arm, with their places in the list.
    fn scores_on(&self, kind: ArmKind) -> impl Iterator<Item = (usize, &ScoreEntry)> {
        self.measures.iter().enumerate().filter_map(move |(place, measure)| {
            let score = self.scores.iter().find(|score| score.kind == measure.score)?;
            self.measures_on(measure, kind).then_some((place, score))
        })
    }
}

/// What was found, with the place of its score in the list.
#[derive(Default)]
struct Figures {
    found: Vec<(usize, Figure)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_arms_never_have_a_score_under_one_name_and_title() {
        let arm = |kind, suffix: &str| Arm { kind, suffix: suffix.to_owned(), title: suffix.to_owned() };
        let (trained, untrained) = (arm(ArmKind::Trained, ""), arm(ArmKind::Untrained, "untrained"));
        assert_eq!(
            (trained.key("hardness"), untrained.key("hardness")),
            ("hardness".into(), "hardness_untrained".into())
        );
        assert_eq!(
            (trained.title_alone("a"), untrained.title_alone("a")),
            ("a".into(), "a: untrained".into())
        );
    }
}
