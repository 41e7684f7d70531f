//! How much more alike the members of a batch are than chance, by tenth of an epoch.

use lookalike_base::Rows;

use crate::error::SamplingError;
use crate::graph::check_row;
use crate::report::decile;

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
    let chance = mean_similarity(embeddings, 0..instances).ok_or(SamplingError::Instances { instances })?;
    let mut sums = [(0.0, 0_usize); 10];
    for (at, batch) in batches.iter().enumerate() {
        if let Some(similarity) = mean_similarity(embeddings, batch.iter().map(|member| *member as usize)) {
            let (sum, count) = &mut sums[decile(at, batches.len())];
            *sum += similarity - chance;
            *count += 1;
        }
    }
    Ok(sums.map(|(sum, count)| (count > 0).then(|| sum / count as f64)))
}

/// The mean cosine similarity between two of the rows `members`; `None` where there are no two.
fn mean_similarity(embeddings: Rows<'_>, members: impl ExactSizeIterator<Item = usize>) -> Option<f64> {
    let count = members.len() as f64;
    let (mut sum, mut squares) = (vec![0.0_f64; embeddings.columns()], 0.0);
    for member in members {
        let row = embeddings.row(member);
        let square: f64 = row.iter().map(|value| f64::from(*value).powi(2)).sum();
        if square > 0.0 {
            let scale = square.sqrt().recip();
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value) * scale);
            squares += 1.0;
        }
    }
    let of_sum: f64 = sum.iter().map(|value| value * value).sum();
    (count >= 2.0).then(|| (of_sum - squares) / (count * (count - 1.0)))
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
