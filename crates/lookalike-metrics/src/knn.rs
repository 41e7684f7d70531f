//! Weighted k-nearest-neighbour classification (Wu et al. 2018, *Unsupervised Feature Learning via Non-Parametric
//! Instance Discrimination*, section 3.4).
//!
//! Features are ℓ2-normalised. Each of the k training rows of greatest cosine similarity s votes for its class with
//! weight exp(s / τ); the class with the greatest sum wins. Ties of similarity go to the lower train row, ties of the
//! sum to the lower class.

use lookalike_base::{Cancellation, Matrix, Rows};
use lookalike_kernels::{NEVER, PiecewiseTopK, TopK, top_k};
use rayon::prelude::*;
use serde::Serialize;

use crate::check;
use crate::classified::Classified;
use crate::error::MetricError;

/// How neighbours vote. The default, k = 200 and τ = 0.1, is what the demonstration code of MoCo uses on CIFAR-10.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KnnOptions {
    /// Neighbours that vote; lowered to the number of train rows.
    pub k: usize,
    /// Temperature τ: the lower, the more the nearest decide.
    pub temperature: f32,
}

impl Default for KnnOptions {
    fn default() -> Self {
        Self { k: 200, temperature: 0.1 }
    }
}

impl KnnOptions {
    fn check(&self) -> Result<(), MetricError> {
        if self.k == 0 {
            return Err(MetricError::option("k", &self.k, "at least 1"));
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(MetricError::option("the temperature", &self.temperature, "a number above 0"));
        }
        Ok(())
    }
}

/// Classes predicted from neighbours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KnnPredictions {
    /// The class of each test row.
    pub labels: Vec<u32>,
    /// Neighbours that voted: what was asked for, or all train rows where there are fewer.
    pub k: usize,
}

/// How often the neighbours are right.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KnnAccuracy {
    /// Share of test rows whose class was predicted, from 0 to 1.
    pub accuracy: f64,
    /// The same class by class.
    pub classified: Classified,
    /// Neighbours that voted: what was asked for, or all train rows where there are fewer.
    pub k: usize,
    /// Whether `k` was lowered to the number of train rows.
    pub k_lowered: bool,
    /// Temperature τ of the votes.
    pub temperature: f32,
}

/// Predicts the class of each test row. Rows may be raw pixels as well as embeddings.
///
/// # Shapes
/// `train` N×d with N labels below `classes`, `test` T×d; T predictions.
///
/// # Errors
/// [`MetricError::Undefined`] without train rows; other variants where inputs do not fit each other, are not finite, or
/// the options admit no vote.
pub fn knn_classify(
    train: Rows<'_>,
    train_labels: &[u32],
    test: Rows<'_>,
    classes: usize,
    options: &KnnOptions,
) -> Result<KnnPredictions, MetricError> {
    options.check()?;
    check::same_dimensions("train rows", train, "test rows", test)?;
    check::labels("train rows", train.len(), train_labels, classes)?;
    if train.is_empty() {
        return Err(MetricError::undefined("kNN classification", "there are no train rows"));
    }
    let k = options.k.min(train.len());
    let database = check::normalized("train rows", train)?;
    let queries = check::normalized("test rows", test)?;
    let best = top_k(queries.rows().values(), database.rows().values(), train.columns(), k, false, NEVER)?;
    Ok(election(&best, train_labels, classes, options))
}

/// The classes that the neighbours of each test row vote for.
fn election(best: &TopK, labels: &[u32], classes: usize, options: &KnnOptions) -> KnnPredictions {
    let k = best.k;
    let neighbors = best.indices.par_chunks(k).zip(best.similarities.par_chunks(k));
    let votes = neighbors.map_init(
        || vec![0.0; classes],
        |votes, (neighbors, similarities)| vote(neighbors, similarities, labels, options.temperature, votes),
    );
    KnnPredictions { labels: votes.collect(), k }
}

/// [`knn_classify`] by train rows that come in pieces, so that they need not fit into memory: the same classes as by all of them at
/// once.
///
/// It holds the test rows once, and of a train piece two copies while it is compared.
pub struct PiecewiseKnn<'a> {
    search: PiecewiseTopK,
    columns: usize,
    labels: &'a [u32],
    classes: usize,
    options: KnnOptions,
    offered: usize,
}

impl<'a> PiecewiseKnn<'a> {
    /// A classification of the rows of `test` by train rows with these labels, none of which has come yet.
    ///
    /// # Errors
    /// As [`knn_classify`].
    pub fn new(
        mut test: Matrix,
        labels: &'a [u32],
        classes: usize,
        options: &KnnOptions,
    ) -> Result<Self, MetricError> {
        options.check()?;
        check::labels("train rows", labels.len(), labels, classes)?;
        if labels.is_empty() {
            return Err(MetricError::undefined("kNN classification", "there are no train rows"));
        }
        check::finite("test rows", test.rows())?;
        test.normalize_rows();
        let (columns, k) = (test.columns(), options.k.min(labels.len()));
        let search = PiecewiseTopK::new(test.rows().values(), columns, k)?;
        Ok(Self { search, columns, labels, classes, options: *options, offered: 0 })
    }

    /// Compares the test rows with the next train rows.
    ///
    /// # Shapes
    /// As many columns as the test rows; all pieces together as many rows as there are labels.
    ///
    /// # Errors
    /// Where rows do not fit or are not finite; [`MetricError::Cancelled`] where it was asked to stop.
    pub fn offer(&mut self, mut rows: Matrix, cancellation: &Cancellation) -> Result<(), MetricError> {
        if rows.columns() != self.columns {
            let (first_columns, second_columns) = (rows.columns(), self.columns);
            let (first, second) = ("train rows", "test rows");
            return Err(MetricError::Dimensions { first, first_columns, second, second_columns });
        }
        check::finite("train rows", rows.rows())?;
        rows.normalize_rows();
        self.offered += rows.len();
        Ok(self.search.offer(rows.rows().values(), &|| cancellation.is_cancelled())?)
    }

    /// The class of each test row.
    ///
    /// # Errors
    /// [`MetricError::Length`] where other than one train row a label came.
    pub fn finish(self) -> Result<KnnPredictions, MetricError> {
        if self.offered != self.labels.len() {
            let (found, expected) = (self.labels.len(), self.offered);
            return Err(MetricError::Length { what: "labels", found, expected, of: "train rows" });
        }
        Ok(election(&self.search.finish()?, self.labels, self.classes, &self.options))
    }
}

/// Share of test rows whose class [`knn_classify`] predicts.
///
/// # Errors
/// [`MetricError::Undefined`] without labels or where all train rows are of one class; otherwise as [`knn_classify`].
pub fn knn_accuracy(
    train: Rows<'_>,
    train_labels: &[u32],
    test: Rows<'_>,
    test_labels: &[u32],
    classes: usize,
    options: &KnnOptions,
) -> Result<KnnAccuracy, MetricError> {
    check::classifiable("kNN accuracy", train_labels, test_labels)?;
    check::labels("test rows", test.len(), test_labels, classes)?;
    let predicted = knn_classify(train, train_labels, test, classes, options)?;
    let classified = Classified::of(&predicted.labels, test_labels, classes)?;
    Ok(KnnAccuracy {
        accuracy: classified.accuracy,
        classified,
        k: predicted.k,
        k_lowered: predicted.k < options.k,
        temperature: options.temperature,
    })
}

/// The class with most votes; `votes` is scratch, one number a class.
fn vote(neighbors: &[u32], similarities: &[f32], labels: &[u32], temperature: f32, votes: &mut [f64]) -> u32 {
    votes.fill(0.0);
    // Relative to the greatest similarity no weight overflows, and the ratios between them stay the same.
    let greatest = similarities.first().copied().map_or(0.0, f64::from);
    for (neighbor, similarity) in neighbors.iter().zip(similarities) {
        let weight = ((f64::from(*similarity) - greatest) / f64::from(temperature)).exp();
        votes[labels[*neighbor as usize] as usize] += weight;
    }
    let best = votes
        .iter()
        .enumerate()
        .fold((0, f64::NEG_INFINITY), |best, (class, sum)| if *sum > best.1 { (class, *sum) } else { best });
    best.0 as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[f32]) -> Rows<'_> {
        Rows::new(values, 2).unwrap()
    }

    #[test]
    fn a_near_minority_outvotes_a_far_majority_at_a_low_temperature_only() {
        let train = [1.0, 0.05, 0.0, 1.0, 0.1, 1.0];
        let classify = |temperature| {
            let options = KnnOptions { k: 3, temperature };
            knn_classify(rows(&train), &[0, 1, 1], rows(&[1.0, 0.0]), 2, &options).unwrap().labels
        };
        assert_eq!(classify(0.1), [0]);
        assert_eq!(classify(10.0), [1]);
        assert_eq!(classify(1e-6), [0]);
    }

    #[test]
    fn train_rows_in_pieces_give_the_classes_of_all_at_once() {
        let mut stream = lookalike_base::Seed(3).stream("test", 0, 0, 0);
        let mut rows = |count: usize| -> Vec<f32> { (0..count * 7).map(|_| stream.normal()).collect() };
        let (train, test) = (rows(613), rows(91));
        let labels: Vec<u32> = (0..613).map(|row| row % 5).collect();
        let [train, test] = [train, test].map(|values| Matrix::new(values, 7).unwrap());
        for k in [1, 20, 1000] {
            let options = KnnOptions { k, ..KnnOptions::default() };
            let at_once = knn_classify(train.rows(), &labels, test.rows(), 5, &options).unwrap();
            let mut pieces = PiecewiseKnn::new(test.clone(), &labels, 5, &options).unwrap();
            for piece in train.rows().values().chunks(100 * 7) {
                pieces.offer(Matrix::new(piece.to_vec(), 7).unwrap(), &Cancellation::new()).unwrap();
            }
            assert_eq!(pieces.finish().unwrap(), at_once);
        }
        let short = PiecewiseKnn::new(test, &labels, 5, &KnnOptions::default()).unwrap();
        assert!(matches!(short.finish(), Err(MetricError::Length { .. })));
    }

    #[test]
    fn ties_go_to_the_lower_class() {
        let train = [0.0, 1.0, 1.0, 0.0];
        let options = KnnOptions { k: 2, ..KnnOptions::default() };
        let predicted = knn_classify(rows(&train), &[2, 1], rows(&[1.0, 1.0]), 3, &options).unwrap();
        assert_eq!(predicted.labels, [1]);
    }

    #[test]
    fn length_does_not_matter_only_direction() {
        let train = [1e-3, 0.0, 0.0, 1e3];
        let options = KnnOptions { k: 1, ..KnnOptions::default() };
        let predicted = knn_classify(rows(&train), &[0, 1], rows(&[5.0, 1.0]), 2, &options).unwrap();
        assert_eq!(predicted.labels, [0]);
    }

    #[test]
    fn k_is_lowered_to_the_number_of_train_rows_and_said_so() {
        let train = [1.0, 0.0, 0.0, 1.0];
        let result =
            knn_accuracy(rows(&train), &[0, 1], rows(&train), &[0, 1], 2, &KnnOptions::default()).unwrap();
        assert_eq!((result.accuracy, result.k, result.k_lowered), (1.0, 2, true));
    }

    #[test]
    fn accuracy_of_one_class_or_without_labels_is_undefined() {
        let train = [1.0, 0.0, 0.0, 1.0];
        let accuracy = |labels: &[u32], test_labels: &[u32]| {
            knn_accuracy(rows(&train), labels, rows(&train), test_labels, 2, &KnnOptions::default())
        };
        for (labels, test_labels) in [(&[1, 1][..], &[1, 1][..]), (&[], &[0, 1]), (&[0, 1], &[])] {
            assert!(matches!(accuracy(labels, test_labels), Err(MetricError::Undefined { .. })));
        }
    }

    #[test]
    fn inputs_that_do_not_fit_are_named() {
        let train = [1.0, 0.0, 0.0, f32::NAN];
        let options = KnnOptions::default();
        let error = |labels: &[u32], test: Rows<'_>, options: &KnnOptions| {
            knn_classify(rows(&train), labels, test, 2, options).unwrap_err().to_string()
        };
        assert!(
            error(&[0, 1], rows(&[1.0, 0.0]), &options).contains("train rows: row 1, column 1 is not finite")
        );
        assert!(error(&[0], rows(&[]), &options).contains("1 labels, but 2 are needed"));
        assert!(error(&[0, 2], rows(&[]), &options).contains("label 2"));
        let wide = Rows::new(&[1.0; 3], 3).unwrap();
        assert!(error(&[0, 1], wide, &options).contains("2 dimensions, but test rows have 3"));
        assert!(error(&[0, 1], rows(&[]), &KnnOptions { k: 0, ..options }).contains("k is 0"));
        assert!(
            error(&[0, 1], rows(&[]), &KnnOptions { temperature: f32::NAN, ..options })
                .contains("temperature")
        );
    }
}
