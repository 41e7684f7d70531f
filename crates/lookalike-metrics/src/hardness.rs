//! How hard the negatives of a batch plan are, and how many of them are false.
//!
//! Every figure stands beside that of uniform batches on the same embeddings or labels. That is not one random plan but
//! the mean over all of them: in a batch drawn uniformly every ordered pair of distinct instances is equally likely, so
//! the mean over all plans of any shape is the mean over all such pairs, which has a closed form and no noise.

use lookalike_base::{MatrixError, RowSource, Watch};
use rayon::prelude::*;
use serde::Serialize;

use crate::check;
use crate::error::MetricError;

/// What errors call the score of a plan.
const SCORE: &str = "hardness";

/// Rows that are read between two looks at whether to go on.
const LOOK_EVERY: usize = 4096;

/// The label of an instance whose class is not known: it is of no class, and of none that another one is of.
pub const UNLABELLED: u32 = u32::MAX;

/// Mean similarity of anchors to their negatives.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Hardness {
    /// Mean cosine similarity over all pairs of an anchor and another member of its batch.
    pub similarity: f64,
    /// The same, expected of uniform batches on the same embeddings.
    pub uniform: f64,
    /// `similarity` − `uniform`: the hardness of the plan. 0 for uniform batches, above 0 for look-alikes.
    pub difference: f64,
    /// Number of pairs (anchor, negative).
    pub pairs: u64,
}

/// The share of negatives that are of the anchor's own class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FalseNegatives {
    /// Share of the pairs of an anchor and another member of its batch whose labels are equal.
    pub rate: f64,
    /// The same, expected of uniform batches on the same labels.
    pub uniform: f64,
    /// `rate` − `uniform`.
    pub difference: f64,
    /// Number of pairs (anchor, negative) that were counted: those of which both have a label.
    pub pairs: u64,
    /// Instances without a label, whose pairs are not counted.
    pub unlabelled: usize,
}

/// Measures the hardness of `plan`: any run of batches, for instance an epoch or a tenth of one.
///
/// Within a batch every ordered pair of places counts, an instance that is in a batch twice included.
///
/// The progress of `watch` counts the batches; the work ends soon after `watch` asks it to stop.
///
/// # Shapes
/// `plan` holds indices below N, `embeddings` is N×d.
///
/// # Errors
/// [`MetricError::Undefined`] where no batch has two members or there are fewer than two instances; other variants where
/// a batch names an instance that does not exist or a value is not finite; and [`MetricError::Cancelled`] where `watch` stopped the work.
pub fn hardness<B: AsRef<[u32]> + Sync>(
    plan: &[B],
    embeddings: impl RowSource,
    watch: Watch<'_>,
) -> Result<Hardness, MetricError> {
    measured(plan, &embeddings, |members| PairSum::of(&embeddings, members), watch)
}

/// Measures the hardness of `plan` where an instance is a pair, of a query and its document for instance, and its negatives
/// are the documents of the others: as [`hardness`], with qᵢ · dⱼ as the similarity of anchor i to negative j.
///
/// # Shapes
/// `embeddings` is N×2d, the query of an instance in the first half of its row, the document in the second.
///
/// # Errors
/// As [`hardness`], and [`MetricError::Undefined`] where rows do not fall into two halves.
pub fn pair_hardness<B: AsRef<[u32]> + Sync>(
    plan: &[B],
    embeddings: impl RowSource,
    watch: Watch<'_>,
) -> Result<Hardness, MetricError> {
    let columns = embeddings.columns();
    if columns == 0 || !columns.is_multiple_of(2) {
        let reason = format!("rows of {columns} columns do not fall into a query and a document");
        return Err(MetricError::undefined(SCORE, reason));
    }
    measured(plan, &embeddings, |members| PairSum::crossed(&embeddings, members), watch)
}

/// The hardness of `plan`, where `sum` adds up the similarities of some instances.
fn measured<B: AsRef<[u32]> + Sync>(
    plan: &[B],
    embeddings: &impl RowSource,
    sum: impl Fn(&mut dyn Iterator<Item = usize>) -> PairSum + Sync,
    watch: Watch<'_>,
) -> Result<Hardness, MetricError> {
    let pairs = check_plan(SCORE, plan, embeddings.len())?;
    let goes_on = |row: &usize| !(row.is_multiple_of(LOOK_EVERY) && watch.is_cancelled());
    check_finite(embeddings, goes_on)?;
    let members = |batch: &B| {
        watch.progress.advance(1);
        let members = batch.as_ref().iter().map(|member| *member as usize);
        sum(&mut members.take_while(|_| !watch.is_cancelled())).sum
    };
    let batch_sums: Vec<f64> = plan.par_iter().map(members).collect();
    let similarity = batch_sums.iter().sum::<f64>() / pairs as f64;
    let rows = embeddings.len() as f64;
    let uniform = sum(&mut (0..embeddings.len()).take_while(goes_on)).sum / (rows * (rows - 1.0));
    if watch.is_cancelled() {
        return Err(MetricError::Cancelled);
    }
    Ok(Hardness { similarity, uniform, difference: similarity - uniform, pairs })
}

/// Measures how many of the negatives of `plan` are false: of their anchor's class. Of an instance whose label is [`UNLABELLED`]
/// that is not known, and neither it nor its negatives are counted.
///
/// # Shapes
/// `plan` holds indices below N, there are N labels.
///
/// # Errors
/// [`MetricError::Undefined`] where no batch has two members with a label, there are fewer than two labels, or all are of one class;
/// [`MetricError::Instance`] where a batch names an instance that does not exist.
pub fn false_negative_rate<B: AsRef<[u32]> + Sync>(
    plan: &[B],
    labels: &[u32],
) -> Result<FalseNegatives, MetricError> {
    const SCORE: &str = "the false-negative rate";
    if labels.is_empty() {
        return Err(MetricError::undefined(SCORE, "there are no labels"));
    }
    check_plan(SCORE, plan, labels.len())?;
    let known: Vec<u32> = labels.iter().copied().filter(|label| *label != UNLABELLED).collect();
    if check::one_class(&known) {
        return Err(MetricError::undefined(SCORE, "all instances are of one class"));
    }
    let pairs_of = |batch: &B| {
        let labels = batch.as_ref().iter().map(|instance| labels[*instance as usize]);
        let known: Vec<u32> = labels.filter(|label| *label != UNLABELLED).collect();
        (ordered_pairs(known.len()), equal_pairs(known))
    };
    let add = |a: (u64, u64), b: (u64, u64)| (a.0 + b.0, a.1 + b.1);
    let (pairs, false_pairs) = plan.par_iter().map(pairs_of).reduce(|| (0, 0), add);
    if pairs == 0 {
        return Err(MetricError::undefined(SCORE, "no batch has two members with a label"));
    }
    let (unlabelled, all_pairs) = (labels.len() - known.len(), ordered_pairs(known.len()));
    let rate = false_pairs as f64 / pairs as f64;
    let uniform = equal_pairs(known) as f64 / all_pairs as f64;
    Ok(FalseNegatives { rate, uniform, difference: rate - uniform, pairs, unlabelled })
}

/// Checks that all values are finite, a row at a time, as long as it `goes_on`.
fn check_finite(embeddings: &impl RowSource, goes_on: impl Fn(&usize) -> bool) -> Result<(), MetricError> {
    let mut values = vec![0.0; embeddings.columns()];
    for row in (0..embeddings.len()).take_while(goes_on) {
        embeddings.read_row(row, &mut values);
        if let Some(column) = values.iter().position(|value| !value.is_finite()) {
            let problem = MatrixError::NotFinite { row, column };
            return Err(MetricError::Values { what: "embeddings", problem });
        }
    }
    Ok(())
}

/// The number of pairs (anchor, negative) in `plan`, once its indices have been found to exist.
fn check_plan<B: AsRef<[u32]>>(
    score: &'static str,
    plan: &[B],
    instances: usize,
) -> Result<u64, MetricError> {
    let mut pairs = 0;
    for (at, batch) in plan.iter().enumerate() {
        let batch = batch.as_ref();
        if let Some(instance) = batch.iter().find(|instance| **instance as usize >= instances) {
            return Err(MetricError::Instance { batch: at, instance: *instance, instances });
        }
        pairs += ordered_pairs(batch.len());
    }
    if pairs == 0 {
        return Err(MetricError::undefined(score, "no batch has two members"));
    }
    if instances < 2 {
        return Err(MetricError::undefined(score, "there are fewer than two instances"));
    }
    Ok(pairs)
}

/// n (n − 1).
fn ordered_pairs(members: usize) -> u64 {
    members as u64 * (members as u64).saturating_sub(1)
}

/// The similarities between all ordered pairs of some rows, each row scaled to unit length; rows of zeros stay so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairSum {
    /// Σ zᵢ · zⱼ over the pairs i ≠ j, which is ‖Σ z‖² − Σ ‖z‖².
    pub sum: f64,
    /// How many pairs there are.
    pub pairs: u64,
}

impl PairSum {
    /// That of the rows at the places `chosen`, which must be finite.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn of(rows: impl RowSource, chosen: impl Iterator<Item = usize>) -> Self {
        let (mut sum, mut squares, mut count) = (vec![0.0_f64; rows.columns()], 0.0, 0);
        let mut row = vec![0.0; rows.columns()];
        for index in chosen {
            count += 1;
            rows.read_row(index, &mut row);
            let square: f64 = row.iter().map(|value| f64::from(*value).powi(2)).sum();
            if square > 0.0 {
                let scale = square.sqrt().recip();
                sum.iter_mut().zip(&row).for_each(|(sum, value)| *sum += f64::from(*value) * scale);
                squares += 1.0;
            }
        }
        let of_sum: f64 = sum.iter().map(|value| value * value).sum();
        Self { sum: of_sum - squares, pairs: ordered_pairs(count) }
    }

    /// That of rows in two halves: Σ qᵢ · dⱼ, which is Σ q · Σ d − Σ qᵢ · dᵢ, each half scaled to unit length.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn crossed(rows: impl RowSource, chosen: impl Iterator<Item = usize>) -> Self {
        let (columns, half) = (rows.columns(), rows.columns() / 2);
        let (mut sum, mut own, mut count) = (vec![0.0_f64; columns], 0.0, 0);
        let mut row = vec![0.0; columns];
        for index in chosen {
            count += 1;
            rows.read_row(index, &mut row);
            let (query, document) = row.split_at(half);
            let scales = [query, document].map(|part| {
                let square: f64 = part.iter().map(|value| f64::from(*value).powi(2)).sum();
                if square > 0.0 { square.sqrt().recip() } else { 0.0 }
            });
            for (sums, (part, scale)) in sum.chunks_mut(half).zip([query, document].into_iter().zip(scales)) {
                sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += f64::from(*value) * scale);
            }
            let product: f64 = query.iter().zip(document).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            own += product * scales[0] * scales[1];
        }
        let (queries, documents) = sum.split_at(half);
        let of_sums: f64 = queries.iter().zip(documents).map(|(a, b)| a * b).sum();
        Self { sum: of_sums - own, pairs: ordered_pairs(count) }
    }

    /// The mean similarity of a pair, where there is one.
    pub fn mean(self) -> Option<f64> {
        (self.pairs > 0).then(|| self.sum / self.pairs as f64)
    }
}

/// The number of ordered pairs of distinct places with equal labels.
fn equal_pairs(mut labels: Vec<u32>) -> u64 {
    labels.sort_unstable();
    labels.chunk_by(|a, b| a == b).map(|equal| ordered_pairs(equal.len())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lookalike_base::{Rows, Seed};

    /// Two opposite groups of two.
    const GROUPS: [f32; 8] = [1.0, 0.0, 2.0, 0.0, -1.0, 0.0, -3.0, 0.0];

    #[test]
    fn batches_of_look_alikes_are_harder_than_uniform_ones_and_batches_of_opposites_easier() {
        let rows = Rows::new(&GROUPS, 2).unwrap();
        let alike = hardness(&[[0, 1], [2, 3]], rows, Watch::default()).unwrap();
        assert_eq!((alike.similarity, alike.pairs), (1.0, 4));
        assert!((alike.uniform + 1.0 / 3.0).abs() < 1e-12, "{alike:?}");
        assert!((alike.difference - 4.0 / 3.0).abs() < 1e-12, "{alike:?}");
        assert_eq!(hardness(&[[0, 2], [1, 3]], rows, Watch::default()).unwrap().similarity, -1.0);
    }

    #[test]
    fn random_batches_are_as_hard_as_uniform_ones() {
        let mut stream = Seed(5).stream("test", 0, 0, 0);
        let values: Vec<f32> = (0..2000 * 8).map(|_| stream.normal() + 0.5).collect();
        let labels: Vec<u32> = (0..2000).map(|_| stream.below(4)).collect();
        let order = stream.permutation(2000);
        let plan: Vec<&[u32]> = order.chunks(64).collect();
        let hardness = hardness(&plan, Rows::new(&values, 8).unwrap(), Watch::default()).unwrap();
        assert!(hardness.difference.abs() < 0.01 && hardness.uniform > 0.1, "{hardness:?}");
        let rate = false_negative_rate(&plan, &labels).unwrap();
        assert!(rate.difference.abs() < 0.01 && (rate.uniform - 0.25).abs() < 0.01, "{rate:?}");
    }

    #[test]
    fn pairs_are_as_hard_as_their_queries_are_similar_to_the_documents_of_others() {
        let mut stream = Seed(6).stream("test", 0, 0, 0);
        let mut values: Vec<f32> = (0..40 * 6).map(|_| 3.0 * stream.normal()).collect();
        values[..3].fill(0.0);
        let rows = Rows::new(&values, 6).unwrap();
        let cosine = |a: u32, b: u32| {
            let dot = |x: &[f32], y: &[f32]| -> f64 {
                x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
            };
            let (query, document) = (&rows.row(a as usize)[..3], &rows.row(b as usize)[3..]);
            let norms = (dot(query, query) * dot(document, document)).sqrt();
            if norms > 0.0 { dot(query, document) / norms } else { 0.0 }
        };
        let mean = |members: &[u32]| {
            let others = |a: u32| members.iter().filter(move |b| **b != a);
            let pairs: Vec<f64> = members.iter().flat_map(|a| others(*a).map(|b| cosine(*a, *b))).collect();
            pairs.iter().sum::<f64>() / pairs.len() as f64
        };
        let (batch, everybody): (Vec<u32>, Vec<u32>) = ((0..9).collect(), (0..40).collect());
        let found = pair_hardness(&[&batch], rows, Watch::default()).unwrap();
        assert!((found.similarity - mean(&batch)).abs() < 1e-12 && found.pairs == 72, "{found:?}");
        assert!((found.uniform - mean(&everybody)).abs() < 1e-12, "{found:?}");
        let odd = pair_hardness(&[&batch], Rows::new(&values, 5).unwrap(), Watch::default());
        assert!(odd.unwrap_err().to_string().contains("5 columns"));
    }

    #[test]
    fn false_negatives_are_counted_by_pairs() {
        let rate = false_negative_rate(&[vec![0, 1, 2], vec![3], vec![3, 2]], &[0, 0, 1, 1]).unwrap();
        assert_eq!((rate.rate, rate.uniform, rate.pairs), (0.5, 4.0 / 12.0, 8));
    }

    #[test]
    fn who_has_no_label_is_not_counted() {
        let labels = [0, 0, 1, UNLABELLED, UNLABELLED, 1];
        let rate = false_negative_rate(&[vec![0, 1, 3, 4], vec![2, 0, 4], vec![5, 3]], &labels).unwrap();
        assert_eq!((rate.rate, rate.uniform, rate.pairs, rate.unlabelled), (0.5, 4.0 / 12.0, 4, 2));
        let apart = false_negative_rate(&[[0, 3], [4, 5]], &labels).unwrap_err().to_string();
        assert!(apart.contains("no batch has two members with a label"), "{apart}");
        let one = false_negative_rate(&[[0, 1]], &[2, 2, UNLABELLED]).unwrap_err().to_string();
        assert!(one.contains("of one class"), "{one}");
        assert!(false_negative_rate(&[[0, 1]], &[UNLABELLED; 2]).is_err());
    }

    #[test]
    fn plans_and_labels_that_tell_nothing_are_undefined() {
        let rows = Rows::new(&GROUPS, 2).unwrap();
        assert!(matches!(hardness(&[[0]], rows, Watch::default()), Err(MetricError::Undefined { .. })));
        assert!(matches!(hardness(&[[0; 0]; 0], rows, Watch::default()), Err(MetricError::Undefined { .. })));
        let one = Rows::new(&GROUPS[..2], 2).unwrap();
        assert!(matches!(hardness(&[[0, 0]], one, Watch::default()), Err(MetricError::Undefined { .. })));
        assert!(matches!(false_negative_rate(&[[0, 1]], &[2, 2]), Err(MetricError::Undefined { .. })));
        assert!(matches!(false_negative_rate(&[[0, 1]], &[]), Err(MetricError::Undefined { .. })));
    }

    #[test]
    fn an_instance_that_does_not_exist_is_named() {
        let error =
            hardness(&[[0, 1], [2, 4]], Rows::new(&GROUPS, 2).unwrap(), Watch::default()).unwrap_err();
        assert_eq!(error.to_string(), "batch 1 names instance 4, but there are only 4");
    }
}
