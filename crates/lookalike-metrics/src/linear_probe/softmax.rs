//! Multinomial logistic regression by stochastic gradient descent.

use lookalike_base::{Rows, Seed};

use crate::check::share_equal;
use crate::gram::{columns_by_columns, rows_by_rows};

const MOMENTUM: f32 = 0.9;

/// Rows scored together.
const BLOCK: usize = 1024;

/// Learning rate and length of training.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    pub(super) rate: f32,
    pub(super) epochs: usize,
    pub(super) batch_size: usize,
}

impl Schedule {
    /// The rate at `step` of `steps`: a cosine from `rate` towards 0, without restarts.
    fn rate_at(&self, step: usize, steps: usize) -> f32 {
        let phase = std::f64::consts::PI * step as f64 / steps as f64;
        (f64::from(self.rate) * 0.5 * (1.0 + phase.cos())) as f32
    }
}

/// Scores W x + b, one a class.
#[derive(Debug, Clone)]
pub(super) struct Classifier {
    /// W, classes × dimensions.
    pub(super) weights: Vec<f32>,
    /// b.
    pub(super) bias: Vec<f32>,
}

impl Classifier {
    /// Fits the chosen `rows`, from zeros: the problem is convex, so the start needs no chance. Ends early once `after_epoch` says
    /// that no other is wanted.
    pub(super) fn fit(
        features: Rows<'_>,
        labels: &[u32],
        classes: usize,
        rows: &[u32],
        schedule: Schedule,
        seed: Seed,
        after_epoch: impl Fn() -> bool,
    ) -> Self {
        let columns = features.columns();
        let mut classifier = Self { weights: vec![0.0; classes * columns], bias: vec![0.0; classes] };
        let mut step = Step::new(classes, columns);
        let steps = schedule.epochs * rows.len().div_ceil(schedule.batch_size);
        let mut done = 0;
        let mut order = rows.to_vec();
        for epoch in 0..schedule.epochs {
            order.copy_from_slice(rows);
            seed.stream("probe batches", epoch as u64, 0, 0).shuffle(&mut order);
            for batch in order.chunks(schedule.batch_size) {
                step.gradient(&classifier, features, labels, batch);
                step.descend(&mut classifier, schedule.rate_at(done, steps));
                done += 1;
            }
            if !after_epoch() {
                break;
            }
        }
        classifier
    }

    /// Share of `rows` classified rightly, and their mean cross-entropy in nats. Ties go to the lower class.
    pub(super) fn score(&self, rows: Rows<'_>, labels: &[u32]) -> (f64, f64) {
        let (predicted, loss) = self.classify(rows, labels);
        (share_equal(&predicted, labels), loss)
    }

    /// The class of each row, and the mean cross-entropy of the true ones.
    pub(super) fn classify(&self, rows: Rows<'_>, labels: &[u32]) -> (Vec<u32>, f64) {
        let (columns, classes) = (rows.columns(), self.bias.len());
        let (mut predicted, mut loss) = (Vec::with_capacity(labels.len()), 0.0);
        let mut scores = vec![0.0; BLOCK * classes];
        for (rows, labels) in rows.values().chunks(BLOCK * columns).zip(labels.chunks(BLOCK)) {
            let scores = &mut scores[..labels.len() * classes];
            self.scores(rows, columns, scores);
            for (scores, label) in scores.chunks_exact(classes).zip(labels) {
                let best = (0..classes)
                    .reduce(|best, class| if scores[class] > scores[best] { class } else { best });
                predicted.push(best.unwrap_or(0) as u32);
                loss += cross_entropy(scores, *label as usize);
            }
        }
        (predicted, loss / labels.len() as f64)
    }

    fn scores(&self, rows: &[f32], columns: usize, scores: &mut [f32]) {
        rows_by_rows(rows, &self.weights, columns, scores);
        for scores in scores.chunks_exact_mut(self.bias.len()) {
            scores.iter_mut().zip(&self.bias).for_each(|(score, bias)| *score += bias);
        }
    }
}

/// log Σ exp(scores) − scores[label], which overflows nowhere.
fn cross_entropy(scores: &[f32], label: usize) -> f64 {
    let greatest = f64::from(scores.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = scores.iter().map(|score| (f64::from(*score) - greatest).exp()).sum();
    greatest + sum.ln() - f64::from(scores[label])
}

/// One step of gradient descent, with the memory it needs again and again.
struct Step {
    batch: Vec<f32>,
    /// Scores, turned into the gradient of the loss by the scores.
    errors: Vec<f32>,
    gradient: Classifier,
    velocity: Classifier,
}

impl Step {
    fn new(classes: usize, columns: usize) -> Self {
        let zeros = Classifier { weights: vec![0.0; classes * columns], bias: vec![0.0; classes] };
        Self { batch: Vec::new(), errors: Vec::new(), gradient: zeros.clone(), velocity: zeros }
    }

    /// The gradient of the mean cross-entropy of `batch`.
    fn gradient(&mut self, classifier: &Classifier, features: Rows<'_>, labels: &[u32], batch: &[u32]) {
        let classes = classifier.bias.len();
        self.batch.clear();
        for row in batch {
            self.batch.extend_from_slice(features.row(*row as usize));
        }
        self.errors.resize(batch.len() * classes, 0.0);
        classifier.scores(&self.batch, features.columns(), &mut self.errors);
        let share = 1.0 / batch.len() as f32;
        self.gradient.bias.fill(0.0);
        for (errors, row) in self.errors.chunks_exact_mut(classes).zip(batch) {
            softmax(errors, share);
            errors[labels[*row as usize] as usize] -= share;
            self.gradient.bias.iter_mut().zip(errors).for_each(|(sum, error)| *sum += *error);
        }
        columns_by_columns(&self.errors, &self.batch, batch.len(), &mut self.gradient.weights);
    }

    /// v ← 0.9 v + g, then w ← w − rate · v.
    fn descend(&mut self, classifier: &mut Classifier, rate: f32) {
        let (velocity, gradient) = (&mut self.velocity, &self.gradient);
        for (parameters, velocity, gradient) in [
            (&mut classifier.weights, &mut velocity.weights, &gradient.weights),
            (&mut classifier.bias, &mut velocity.bias, &gradient.bias),
        ] {
            for ((parameter, velocity), gradient) in parameters.iter_mut().zip(velocity).zip(gradient) {
                *velocity = MOMENTUM * *velocity + gradient;
                *parameter -= rate * *velocity;
            }
        }
    }
}

/// `scores` ← `total` · softmax(`scores`).
fn softmax(scores: &mut [f32], total: f32) {
    let greatest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - greatest).exp();
        sum += *score;
    }
    let scale = total / sum;
    for score in scores {
        *score *= scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let features = [0.5, -1.0, 2.0, 0.25, -0.75, 1.5];
        let (rows, labels) = (Rows::new(&features, 2).unwrap(), [2, 0, 1]);
        let classifier =
            Classifier { weights: vec![0.1, -0.2, 0.3, 0.4, -0.5, 0.6], bias: vec![0.05, -0.1, 0.2] };
        let mut step = Step::new(3, 2);
        step.gradient(&classifier, rows, &labels, &[0, 1, 2]);
        let slope = |change: &dyn Fn(&mut Classifier, f32)| {
            let loss = |by| {
                let mut changed = classifier.clone();
                change(&mut changed, by);
                changed.score(rows, &labels).1
            };
            (loss(1e-2) - loss(-1e-2)) / 2e-2
        };
        for i in 0..6 {
            let expected = slope(&|classifier, by| classifier.weights[i] += by);
            assert!((f64::from(step.gradient.weights[i]) - expected).abs() < 1e-4, "weight {i}");
        }
        for i in 0..3 {
            let expected = slope(&|classifier, by| classifier.bias[i] += by);
            assert!((f64::from(step.gradient.bias[i]) - expected).abs() < 1e-4, "bias {i}");
        }
    }

    #[test]
    fn cross_entropy_of_huge_scores_stays_finite() {
        assert_eq!(cross_entropy(&[1e30, -1e30], 0), 0.0);
        assert!(cross_entropy(&[1e30, -1e30], 1).is_finite());
        assert!((cross_entropy(&[0.0, 0.0], 1) - 2.0_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn the_rate_falls_along_half_a_cosine() {
        let schedule = Schedule { rate: 2.0, epochs: 1, batch_size: 1 };
        assert_eq!(schedule.rate_at(0, 10), 2.0);
        assert!((schedule.rate_at(5, 10) - 1.0).abs() < 1e-6);
        assert!(schedule.rate_at(9, 10) < 0.05);
    }
}
