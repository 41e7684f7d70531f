//! Linear probe: multinomial logistic regression on frozen embeddings.
//!
//! The protocol of linear classification (He et al. 2020, *Momentum Contrast*, section 4.1; Chen et al. 2020, *SimCLR*,
//! section 2.3) on embeddings made once: stochastic gradient descent with momentum 0.9 and no weight decay, learning
//! rate on a cosine without restarts, the classifier of the last epoch. The best rate differs a hundredfold between
//! methods of pretraining, so several are tried and one is chosen on held-out *train* rows; then all train rows are
//! fitted anew with it. Test rows are only ever scored.
//!
//! Each dimension is standardised by mean and deviation of the train rows, the closed form of the BatchNorm without
//! affine parameters that later protocols put before the classifier (He et al. 2022, *Masked Autoencoders*, appendix A):
//! rates then mean the same whatever the scale of an encoder's output.

mod softmax;
mod split;
mod standardized;

use lookalike_base::{Matrix, Rows, Seed, Watch};
use rayon::prelude::*;
use serde::Serialize;

use crate::check;
use crate::classified::Classified;
use crate::error::MetricError;
use crate::standardize::Standardizer;
use softmax::{Classifier, Schedule};

const SCORE: &str = "linear-probe accuracy";

/// How the probe is trained.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeOptions {
    /// Learning rates to choose from, for mini-batches of `batch_size`; by default 0.001 to 1 in steps of about √10.
    pub rates: Vec<f32>,
    /// Passes over the train rows; by default 100, as in MoCo.
    pub epochs: usize,
    /// Rows a step; by default 256, as in MoCo.
    pub batch_size: usize,
    /// Share of each class's train rows on which the rate is chosen; by default 0.2.
    pub held_out: f64,
    /// Where given, only so many train rows of each class, drawn by `seed`, keep their label.
    pub labels_per_class: Option<usize>,
    /// Draws labels, held-out rows and batches.
    pub seed: Seed,
}

impl Default for ProbeOptions {
    fn default() -> Self {
        Self {
            rates: vec![0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0],
            epochs: 100,
            batch_size: 256,
            held_out: 0.2,
            labels_per_class: None,
            seed: Seed(0),
        }
    }
}

impl ProbeOptions {
    /// How many epochs the probe trains in all, by which its progress advances: each rate, and the final fit.
    pub fn total_epochs(&self) -> u64 {
        (self.epochs * (self.rates.len() + 1)) as u64
    }

    fn check(&self) -> Result<(), MetricError> {
        check::training(&self.rates, self.epochs, self.batch_size, self.held_out)?;
        if let Some(labels) = self.labels_per_class.filter(|labels| *labels < 2) {
            return Err(MetricError::option(
                "labels a class",
                &labels,
                "at least 2, one of them to choose the rate",
            ));
        }
        Ok(())
    }
}

/// How a learning rate did on the held-out train rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RateScore {
    /// The rate.
    pub rate: f32,
    /// Share of held-out rows classified rightly.
    pub accuracy: f64,
    /// Mean cross-entropy of held-out rows, in nats; where it is not finite the rate has diverged.
    pub loss: f64,
}

/// What the probe found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LinearProbe {
    /// Share of test rows classified rightly by the classifier of the last epoch, from 0 to 1.
    pub accuracy: f64,
    /// The same class by class.
    pub classified: Classified,
    /// The learning rate that was chosen: greatest held-out accuracy, among equals the least held-out loss.
    pub rate: f32,
    /// Whether it is the least or greatest on offer of several, so that a better one may lie beyond.
    pub rate_at_edge: bool,
    /// All rates, in the order given.
    pub rates: Vec<RateScore>,
    /// Train rows with a label, held-out ones included.
    pub labelled_rows: usize,
    /// Passes over them.
    pub epochs: usize,
}

/// Trains the probe on `train` and scores it on `test`. The progress of `watch` advances by one an epoch,
/// [`ProbeOptions::total_epochs`] in all, and after each it is asked whether to stop.
///
/// The same input, options and processor give the same result on any number of threads: rates are trained side by
/// side, each on one thread.
///
/// # Shapes
/// `train` N×d with N labels below `classes`, `test` T×d with T labels.
///
/// # Errors
/// [`MetricError::Undefined`] without labels, with train rows of one class, where a class has fewer train rows than
/// `labels_per_class`, where there is nothing to hold out, or where every rate diverged; other variants where inputs do
/// not fit each other, are not finite, or an option is impossible; and [`MetricError::Cancelled`] where `watch` said so.
pub fn linear_probe(
    train: Rows<'_>,
    train_labels: &[u32],
    test: Rows<'_>,
    test_labels: &[u32],
    classes: usize,
    options: &ProbeOptions,
    watch: Watch<'_>,
) -> Result<LinearProbe, MetricError> {
    options.check()?;
    check::classifiable(SCORE, train_labels, test_labels)?;
    check::same_dimensions("train rows", train, "test rows", test)?;
    check::labels("train rows", train.len(), train_labels, classes)?;
    check::labels("test rows", test.len(), test_labels, classes)?;
    check::finite("train rows", train)?;
    check::finite("test rows", test)?;

    let labelled = split::labelled(train_labels, classes, options)?;
    let (fitted, held_out) = split::hold_out(&labelled, train_labels, classes, options)?;
    let standardizer = Standardizer::of(&[train]);
    let problem =
        Problem { features: standardizer.apply(train)?, labels: train_labels, classes, options, watch };
    let rates = problem.try_rates(&fitted, &held_out);
    if watch.is_cancelled() {
        return Err(MetricError::Cancelled);
    }
    let best = choose(&rates)?;
    let classifier = problem.fit(&labelled, best.rate);
    if watch.is_cancelled() {
        return Err(MetricError::Cancelled);
    }
    let (predicted, _) = classifier.classify(standardizer.apply(test)?.rows(), test_labels);
    let classified = Classified::of(&predicted, test_labels, classes)?;
    Ok(LinearProbe {
        accuracy: classified.accuracy,
        classified,
        rate: best.rate,
        rate_at_edge: check::at_edge(best.rate, &options.rates),
        rates,
        labelled_rows: labelled.len(),
        epochs: options.epochs,
    })
}

/// What all fits of a probe share.
struct Problem<'a> {
    features: Matrix,
    labels: &'a [u32],
    classes: usize,
    options: &'a ProbeOptions,
    watch: Watch<'a>,
}

impl Problem<'_> {
    fn fit(&self, rows: &[u32], rate: f32) -> Classifier {
        let options = self.options;
        let schedule = Schedule { rate, epochs: options.epochs, batch_size: options.batch_size };
        let after_epoch = || {
            self.watch.progress.advance(1);
            !self.watch.is_cancelled()
        };
        Classifier::fit(
            self.features.rows(),
            self.labels,
            self.classes,
            rows,
            schedule,
            options.seed,
            after_epoch,
        )
    }

    fn try_rates(&self, fitted: &[u32], held_out: &[u32]) -> Vec<RateScore> {
        let labels: Vec<u32> = held_out.iter().map(|row| self.labels[*row as usize]).collect();
        let features = gather(self.features.rows(), held_out);
        let score = |rate: &f32| {
            let rows = Rows::new(&features, self.features.columns());
            // The features come row by row from a matrix of as many columns, so they form rows.
            let (accuracy, loss) =
                rows.map_or((0.0, f64::NAN), |rows| self.fit(fitted, *rate).score(rows, &labels));
            RateScore { rate: *rate, accuracy, loss }
        };
        self.options.rates.par_iter().map(score).collect()
    }
}

/// The values of the chosen rows, one after the other.
fn gather(rows: Rows<'_>, chosen: &[u32]) -> Vec<f32> {
    chosen.iter().flat_map(|row| rows.row(*row as usize)).copied().collect()
}

fn choose(rates: &[RateScore]) -> Result<RateScore, MetricError> {
    let better = |a: &RateScore, b: &RateScore| (a.accuracy, -a.loss) > (b.accuracy, -b.loss);
    let finite = rates.iter().filter(|score| score.loss.is_finite()).copied();
    let best = finite.reduce(|best, score| if better(&score, &best) { score } else { best });
    best.ok_or_else(|| {
        MetricError::undefined(SCORE, "training diverged at every learning rate; offer lower ones")
    })
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod parity;
