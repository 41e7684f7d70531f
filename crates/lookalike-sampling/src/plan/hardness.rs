//! How much more alike the members of a batch are than chance, by tenth of an epoch.
//!
//! A [`Sampler`](crate::Sampler) measures its batches when it plans them, on the embeddings that its graph was built from.
//! On those that training records later the figure would be another one: BatchNorm in a head centres each batch,
//! so that the embeddings of a batch just trained on look unlike each other, whoever its members are.

use std::ops::Range;

use lookalike_base::Rows;
use lookalike_metrics::PairSum;
use serde::{Deserialize, Serialize};

use crate::error::SamplingError;
use crate::graph::check_row;
use crate::plan::decile;

/// Hardness of the batches of one epoch, by tenth: the mean cosine similarity between members of the same batch, less
/// that between any two instances, which is what a uniform plan has in the mean on the same embeddings.
///
/// Both means are exact, from sums of unit vectors (the mean over pairs is (‖Σx‖² − Σ‖x‖²) / n(n−1)), so that this
/// costs one pass over the embeddings. A tenth without a batch of two or more gives `None`.
///
/// # Shapes
/// `embeddings` N×d, a row for each instance; `batches` are those of a whole epoch, in order.
///
/// # Errors
/// [`SamplingError::NotFinite`] names a row with NaN or an infinity, [`SamplingError::Instance`] a member without a row,
/// [`SamplingError::Instances`] says that there are fewer than two rows.
pub fn decile_hardness(
    batches: &[Vec<u32>],
    embeddings: Rows<'_>,
) -> Result<[Option<f64>; 10], SamplingError> {
    let instances = embeddings.len();
    for (instance, row) in embeddings.iter().enumerate() {
        check_row(row, instance as u32)?;
    }
    if let Some(&instance) = batches.iter().flatten().find(|instance| **instance as usize >= instances) {
        return Err(SamplingError::Instance { instance, instances });
    }
    if instances < 2 {
        return Err(SamplingError::Instances { instances });
    }
    let mut tallies = [HardnessTally::default(); 10];
    let placed = batches.iter().enumerate().map(|(at, batch)| (at, &batch[..]));
    let sum = |members: &mut dyn Iterator<Item = usize>| PairSum::of(embeddings, members);
    tally(&mut tallies, placed, batches.len(), 0..instances as u32, sum);
    Ok(tallies.map(HardnessTally::mean))
}

/// The hardness of some batches, as sum and number, so that an epoch's can be gathered segment by segment.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct HardnessTally {
    /// Σ (mean similarity within the batch − mean similarity of all).
    pub sum: f64,
    /// Batches with two members or more to compare.
    pub batches: u64,
}

impl HardnessTally {
    /// The mean hardness of the batches, where there are any.
    pub fn mean(self) -> Option<f64> {
        (self.batches > 0).then(|| self.sum / self.batches as f64)
    }
}

/// Adds the hardness of `batches`, each with its place among the `total` of its epoch, to the tallies of their tenths.
/// Uniform batches would be drawn from `everybody`. `sum` adds up the similarities of those of some instances that have an embedding.
pub(crate) fn tally<'a>(
    tallies: &mut [HardnessTally; 10],
    batches: impl Iterator<Item = (usize, &'a [u32])>,
    total: usize,
    everybody: Range<u32>,
    sum: impl Fn(&mut dyn Iterator<Item = usize>) -> PairSum,
) {
    let compared =
        |members: &mut dyn Iterator<Item = u32>| sum(&mut members.map(|member| member as usize)).mean();
    let Some(chance) = compared(&mut everybody.clone()) else { return };
    for (at, batch) in batches {
        if let Some(similarity) = compared(&mut batch.iter().copied()) {
            let tally = &mut tallies[decile(at, total)];
            tally.sum += similarity - chance;
            tally.batches += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lookalike_base::Seed;

    #[test]
    fn hardness_is_the_obvious_mean_over_pairs_less_that_over_all_pairs() {
        let mut stream = Seed(4).stream("test", 0, 0, 0);
        let values: Vec<f32> = (0..40 * 3).map(|_| stream.normal() + 0.3).collect();
        let rows = Rows::new(&values, 3).unwrap();
        let batches: Vec<Vec<u32>> = stream.permutation(40).chunks(5).map(<[u32]>::to_vec).collect();
        let cosine = |a: u32, b: u32| {
            let dot = |x: &[f32], y: &[f32]| -> f64 { x.iter().zip(y).map(|(x, y)| f64::from(x * y)).sum() };
            let (a, b) = (rows.row(a as usize), rows.row(b as usize));
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        };
        let obvious_mean = |members: &[u32]| {
            let pairs: Vec<f64> = members
                .iter()
                .flat_map(|a| members.iter().filter(move |b| *b != a).map(move |b| cosine(*a, *b)))
                .collect();
            pairs.iter().sum::<f64>() / pairs.len() as f64
        };
        let everybody: Vec<u32> = (0..40).collect();
        let found = decile_hardness(&batches, rows).unwrap();
        for (at, batch) in batches.iter().enumerate() {
            let expected = obvious_mean(batch) - obvious_mean(&everybody);
            assert!((found[at * 10 / 8].unwrap() - expected).abs() < 1e-6);
        }
        assert_eq!(found.iter().flatten().count(), 8);
    }

    #[test]
    fn a_member_without_an_embedding_is_named() {
        let rows = Rows::new(&[1.0, 2.0], 1).unwrap();
        let error = decile_hardness(&[vec![0, 2]], rows).unwrap_err();
        assert_eq!(error, SamplingError::Instance { instance: 2, instances: 2 });
    }
}
