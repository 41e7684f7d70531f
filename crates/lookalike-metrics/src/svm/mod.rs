//! The support vector machine of the graph papers: stratified folds, on each the cost C chosen by cross-validation within
//! its train rows, then all of them fitted with it and its test rows scored.
//!
//! GraphCL (You et al. 2020, section 5) reports an SVM with Gaussian kernel, MVGRL (Hassani and Khasahmadi 2020, section
//! 4.1) a linear one, both over C = 10⁻³ … 10³ with ten folds. Both are scikit-learn's by their definition: `SVC` and
//! `LinearSVC` with default parameters in a `GridSearchCV` of five folds that are not shuffled. Embeddings are taken as they
//! are, neither centred nor scaled, as published.

mod active_set;
mod folds;
mod linear;
mod rbf;
mod smo;

use lookalike_base::{Rows, Seed, Watch};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::check;
use crate::classified::Classified;
use crate::error::MetricError;
pub use folds::stratified_folds;
use linear::Linear;
use rbf::Rbf;

const SCORE: &str = "SVM accuracy";

/// Most rows: all their distances are kept, which is 4 · N² bytes.
const MOST_ROWS: usize = 1 << 16;

/// Which SVM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SvmKernel {
    /// A Gaussian kernel, hinge loss, one classifier for each pair of classes.
    Rbf,
    /// No kernel, squared hinge loss, one classifier for each class against the rest.
    Linear,
}

/// How the SVM is evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct SvmOptions {
    /// Which SVM.
    pub kernel: SvmKernel,
    /// Costs C to choose from; by default 10⁻³, 10⁻² … 10³. Of equally good ones the first is chosen.
    pub costs: Vec<f64>,
    /// Folds, each of which is scored once; by default 10.
    pub folds: usize,
    /// Folds of the train rows on which C is chosen; by default 5.
    pub inner_folds: usize,
    /// Draws the folds.
    pub seed: Seed,
}

impl SvmOptions {
    /// The published protocol with `kernel`, folds drawn by `seed`.
    pub fn published(kernel: SvmKernel, seed: Seed) -> Self {
        Self {
            kernel,
            costs: vec![1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0],
            folds: 10,
            inner_folds: 5,
            seed,
        }
    }

    /// By how much progress advances in all: one for each set of rows that is fitted.
    pub fn total_fits(&self) -> u64 {
        (self.folds * (self.inner_folds + 1)) as u64
    }

    fn check(&self) -> Result<(), MetricError> {
        if self.costs.is_empty() {
            return Err(MetricError::option("the list of costs", &"empty", "at least one cost"));
        }
        if let Some(cost) = self.costs.iter().find(|cost| !(cost.is_finite() && **cost > 0.0)) {
            return Err(MetricError::option("a cost", cost, "a number above 0"));
        }
        for (option, folds) in
            [("the number of folds", self.folds), ("the number of inner folds", self.inner_folds)]
        {
            if folds < 2 {
                return Err(MetricError::option(option, &folds, "at least 2"));
            }
        }
        Ok(())
    }
}

/// What came of one fold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SvmFold {
    /// Share of its test rows classified rightly.
    pub accuracy: f64,
    /// The cost chosen within its train rows.
    pub cost: f64,
    /// Share of the train rows that the chosen cost classified rightly when they were held out: the mean over inner folds.
    pub inner_accuracy: f64,
    /// Number of its test rows.
    pub test_rows: usize,
}

/// What came of all folds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SvmScore {
    /// Mean of the folds' accuracies, from 0 to 1.
    pub accuracy: f64,
    /// Share of the most frequent class: what is to be beaten by looking at nothing.
    pub majority: f64,
    /// What came of all rows, each predicted once, when its fold tested it.
    pub classified: Classified,
    /// The folds, in their order.
    pub folds: Vec<SvmFold>,
    /// Fits, inner ones included, that ended before they were within the solver's tolerance.
    pub unfinished: usize,
}

/// Scores embeddings by the published protocol. The progress of `watch` advances by [`SvmOptions::total_fits`] in all, and before each
/// fit it is asked whether to stop.
///
/// The same input and options give the same result on any number of threads. Squared distances are computed once, in `f64`,
/// and each fold's kernel once for all costs; 4 · N² bytes hold the former, as many again for each thread the latter.
///
/// # Shapes
/// `embeddings` N×d with N labels below `classes`.
///
/// # Errors
/// [`MetricError::Undefined`] where labels are missing or of one class, where there are fewer rows than folds, every class has
/// fewer rows than folds or inner folds, or there are more than 65,536 rows; other variants where inputs do not fit each
/// other, are not finite, or an option is impossible; and [`MetricError::Cancelled`] where `watch` said so.
pub fn svm_accuracy(
    embeddings: Rows<'_>,
    labels: &[u32],
    classes: usize,
    options: &SvmOptions,
    watch: Watch<'_>,
) -> Result<SvmScore, MetricError> {
    options.check()?;
    check::classifiable(SCORE, labels, labels)?;
    check::labels("rows", embeddings.len(), labels, classes)?;
    check::finite("embeddings", embeddings)?;
    if embeddings.len() > MOST_ROWS {
        let reason = format!("{} rows are more than {MOST_ROWS}, which a kernel can hold", embeddings.len());
        return Err(MetricError::undefined(SCORE, reason));
    }
    let fold_of = stratified_folds(labels, classes, options.folds, Some(options.seed))?;
    let solver: Box<dyn SvmSolver + Sync + '_> = match options.kernel {
        SvmKernel::Rbf => Box::new(Rbf::new(embeddings)),
        SvmKernel::Linear => Box::new(Linear::new(embeddings)),
    };
    let problem = Problem { solver: &*solver, labels, classes, options, watch };
    let tested: Result<Vec<Tested>, MetricError> =
        (0..options.folds as u32).into_par_iter().map(|fold| problem.fold(&fold_of, fold)).collect();
    let tested = tested?;
    let mut predicted = vec![0; labels.len()];
    for (row, class) in tested.iter().flat_map(|fold| &fold.predicted) {
        predicted[*row as usize] = *class;
    }
    let classified = Classified::of(&predicted, labels, classes)?;
    let most = classified.classes.iter().map(|count| count.instances).max().unwrap_or(0);
    let folds: Vec<SvmFold> = tested.iter().map(|fold| fold.fold).collect();
    Ok(SvmScore {
        accuracy: folds.iter().map(|fold| fold.accuracy).sum::<f64>() / folds.len() as f64,
        majority: most as f64 / labels.len() as f64,
        unfinished: tested.iter().map(|fold| fold.unfinished).sum(),
        classified,
        folds,
    })
}

/// A fold that was scored.
struct Tested {
    fold: SvmFold,
    /// Its test rows with the classes that were predicted.
    predicted: Vec<(u32, u32)>,
    /// Fits that ended before the solver's tolerance.
    unfinished: usize,
}

/// What one cost came to.
struct Outcome {
    predicted: Vec<u32>,
    accuracy: f64,
    finished: bool,
}

/// Fits and predicts over fixed rows.
trait SvmSolver {
    /// For each cost the classes of the test rows, and whether the search was finished.
    fn predict(&self, fit: &Fit<'_>, costs: &[f64]) -> Vec<(Vec<u32>, bool)>;
}

/// Which rows to fit and which to classify.
struct Fit<'a> {
    train: &'a [u32],
    test: &'a [u32],
    labels: &'a [u32],
    classes: usize,
}

impl Fit<'_> {
    fn label(&self, row: u32) -> u32 {
        self.labels[row as usize]
    }

    /// The classes of the train rows, ascending.
    fn present(&self) -> Vec<u32> {
        let mut present = vec![false; self.classes];
        for row in self.train {
            present[self.label(*row) as usize] = true;
        }
        (0..self.classes as u32).filter(|class| present[*class as usize]).collect()
    }

    /// All pairs of classes of the train rows.
    fn pairs(&self) -> Vec<(u32, u32)> {
        let present = self.present();
        let pairs = present.iter().enumerate();
        pairs.flat_map(|(at, first)| present[at + 1..].iter().map(|second| (*first, *second))).collect()
    }

    fn train_of(&self, classes: &[u32]) -> Vec<u32> {
        self.train.iter().copied().filter(|row| classes.contains(&self.label(*row))).collect()
    }
}

/// What all folds share.
struct Problem<'a> {
    solver: &'a (dyn SvmSolver + Sync),
    labels: &'a [u32],
    classes: usize,
    options: &'a SvmOptions,
    watch: Watch<'a>,
}

impl Problem<'_> {
    /// Chooses the cost for a fold and scores it.
    fn fold(&self, fold_of: &[u32], fold: u32) -> Result<Tested, MetricError> {
        let (train, test) = split(fold_of, fold, None);
        let train_labels: Vec<u32> = train.iter().map(|row| self.labels[*row as usize]).collect();
        let (means, unfinished) = self.inner_scores(&train, &train_labels)?;
        let best = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let chosen = means.iter().position(|mean| *mean == best).unwrap_or(0);
        let cost = self.options.costs[chosen];
        let Outcome { predicted, accuracy, finished } = self.score(&train, &test, &[cost])?.remove(0);
        let fold = SvmFold { accuracy, cost, inner_accuracy: best, test_rows: test.len() };
        let predicted = test.into_iter().zip(predicted).collect();
        Ok(Tested { fold, predicted, unfinished: unfinished + usize::from(!finished) })
    }

    /// For each cost the mean accuracy over the inner folds of `train`, and the number of unfinished fits.
    fn inner_scores(&self, train: &[u32], labels: &[u32]) -> Result<(Vec<f64>, usize), MetricError> {
        let inner_of = stratified_folds(labels, self.classes, self.options.inner_folds, None)?;
        let inner = (0..self.options.inner_folds as u32).into_par_iter().map(|inner| {
            let (fitted, held_out) = split(&inner_of, inner, Some(train));
            self.score(&fitted, &held_out, &self.options.costs)
        });
        let inner: Vec<Vec<Outcome>> = inner.collect::<Result<_, _>>()?;
        let mean =
            |cost: usize| inner.iter().map(|fold| fold[cost].accuracy).sum::<f64>() / inner.len() as f64;
        let unfinished = inner.iter().flatten().filter(|outcome| !outcome.finished).count();
        Ok(((0..self.options.costs.len()).map(mean).collect(), unfinished))
    }

    /// What each cost predicts of `test` after a fit to `train`, where that knows one class always this one.
    fn score(&self, train: &[u32], test: &[u32], costs: &[f64]) -> Result<Vec<Outcome>, MetricError> {
        if self.watch.is_cancelled() {
            return Err(MetricError::Cancelled);
        }
        let fit = Fit { train, test, labels: self.labels, classes: self.classes };
        let truth: Vec<u32> = test.iter().map(|row| self.labels[*row as usize]).collect();
        // A linear solution is the next one's beginning, and costs rise more gently than they fall.
        let mut order: Vec<usize> = (0..costs.len()).collect();
        order.sort_by(|a, b| costs[*a].total_cmp(&costs[*b]));
        let sorted: Vec<f64> = order.iter().map(|place| costs[*place]).collect();
        let found = match fit.present()[..] {
            [only] => vec![(vec![only; test.len()], true); costs.len()],
            _ => self.solver.predict(&fit, &sorted),
        };
        let mut outcomes: Vec<(usize, Outcome)> = order
            .into_iter()
            .zip(found)
            .map(|(place, (predicted, finished))| {
                let accuracy = check::share_equal(&predicted, &truth);
                (place, Outcome { predicted, accuracy, finished })
            })
            .collect();
        outcomes.sort_unstable_by_key(|(place, _)| *place);
        self.watch.progress.advance(1);
        Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    }
}

/// The rows that `fold` trains on and those that it tests, which are entries of `rows` where those are given.
fn split(fold_of: &[u32], fold: u32, rows: Option<&[u32]>) -> (Vec<u32>, Vec<u32>) {
    let row = |place: usize| rows.map_or(place as u32, |rows| rows[place]);
    let (test, train): (Vec<usize>, Vec<usize>) =
        (0..fold_of.len()).partition(|place| fold_of[*place] == fold);
    (train.into_iter().map(row).collect(), test.into_iter().map(row).collect())
}

#[cfg(test)]
mod tests;
