//! Alignment and uniformity on the unit sphere (Wang and Isola 2020, *Understanding Contrastive Representation Learning
//! through Alignment and Uniformity on the Hypersphere*, section 4.1). Both are better the lower they are.

use lookalike_base::{Rows, Seed};
use rayon::prelude::*;
use serde::Serialize;

use crate::check;
use crate::error::MetricError;
use crate::gram::rows_by_rows;

/// Rows whose pairwise products are made at once.
const BLOCK: usize = 256;

/// Alignment with α = 2: the mean squared distance between the normalised embeddings of two views of an instance.
///
/// # Shapes
/// Both N×d; row i of one and of the other are a positive pair.
///
/// # Errors
/// [`MetricError::Undefined`] without rows; other variants where the matrices differ in shape or are not finite.
pub fn alignment(first: Rows<'_>, second: Rows<'_>) -> Result<f64, MetricError> {
    check::same_dimensions("first views", first, "second views", second)?;
    if first.len() != second.len() {
        let (found, expected) = (second.len(), first.len());
        return Err(MetricError::Length { what: "second views", found, expected, of: "first views" });
    }
    if first.is_empty() {
        return Err(MetricError::undefined("alignment", "there are no pairs of views"));
    }
    let (first, second) =
        (check::normalized("first views", first)?, check::normalized("second views", second)?);
    let distances = first
        .rows()
        .iter()
        .zip(second.rows().iter())
        .map(|(x, y)| x.iter().zip(y).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum::<f64>());
    Ok(distances.sum::<f64>() / first.len() as f64)
}

/// How uniformity is estimated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UniformityOptions {
    /// Scale t of the Gaussian potential; the paper's is 2.
    pub t: f64,
    /// Above this number of rows a subset of as many, drawn by `seed`, stands for all: the work is quadratic.
    pub most_rows: usize,
    /// Draws the subset.
    pub seed: Seed,
}

impl Default for UniformityOptions {
    fn default() -> Self {
        Self { t: 2.0, most_rows: 10_000, seed: Seed(0) }
    }
}

/// Uniformity, and from how many rows it was estimated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Uniformity {
    /// log of the mean of exp(−t ‖x − y‖²).
    pub value: f64,
    /// Rows among which all distinct pairs were taken.
    pub rows: usize,
    /// Whether these are a sample of the rows given.
    pub sampled: bool,
}

/// Uniformity: the logarithm of the mean Gaussian potential over all pairs of distinct rows, normalised.
///
/// # Shapes
/// `embeddings` N×d.
///
/// # Errors
/// [`MetricError::Undefined`] below two rows; other variants where a value is not finite or an option is impossible.
pub fn uniformity(embeddings: Rows<'_>, options: &UniformityOptions) -> Result<Uniformity, MetricError> {
    if !(options.t.is_finite() && options.t > 0.0) {
        return Err(MetricError::option("t", &options.t, "a number above 0"));
    }
    if options.most_rows < 2 {
        return Err(MetricError::option("the greatest number of rows", &options.most_rows, "at least 2"));
    }
    if embeddings.len() < 2 {
        return Err(MetricError::undefined("uniformity", "it needs at least two rows"));
    }
    check::finite("embeddings", embeddings)?;
    let sample = sample(embeddings, options);
    let chosen = sample.as_ref().map_or(Ok(embeddings), |values| Rows::new(values, embeddings.columns()));
    let chosen = chosen.map_err(|problem| MetricError::Values { what: "embeddings", problem })?;
    let unit = check::normalized("embeddings", chosen)?;
    let pairs = unit.len() as f64 * (unit.len() - 1) as f64 / 2.0;
    let value = (potential(unit.rows(), options.t) / pairs).ln();
    Ok(Uniformity { value, rows: unit.len(), sampled: sample.is_some() })
}

/// The values of a subset of the rows, in their order, where there are more than allowed.
fn sample(embeddings: Rows<'_>, options: &UniformityOptions) -> Option<Vec<f32>> {
    let rows = u32::try_from(embeddings.len()).ok()?;
    let most = u32::try_from(options.most_rows).ok().filter(|most| *most < rows)?;
    let mut chosen = options.seed.stream("uniformity", 0, 0, 0).distinct(most, rows);
    chosen.sort_unstable();
    Some(chosen.iter().flat_map(|row| embeddings.row(*row as usize)).copied().collect())
}

/// Σ exp(−t ‖x − y‖²) over all pairs of distinct rows. Block sums are added in a fixed order.
fn potential(rows: Rows<'_>, t: f64) -> f64 {
    let columns = rows.columns();
    let squares: Vec<f64> = rows.iter().map(|row| row.iter().map(|x| f64::from(*x).powi(2)).sum()).collect();
    let block_sums: Vec<f64> = rows
        .values()
        .par_chunks(BLOCK * columns)
        .enumerate()
        .map(|(block, left)| {
            let start = block * BLOCK;
            let mut products = vec![0.0; BLOCK * BLOCK];
            let rest = rows.values()[start * columns..].chunks(BLOCK * columns).enumerate();
            rest.map(|(offset, right)| {
                let (height, width) = (left.len() / columns, right.len() / columns);
                let products = &mut products[..height * width];
                rows_by_rows(left, right, columns, products);
                let other = start + offset * BLOCK;
                let mut sum = 0.0;
                for (i, products) in products.chunks(width).enumerate() {
                    // Within the diagonal block only the pairs above the diagonal are distinct.
                    for j in if offset == 0 { i + 1..width } else { 0..width } {
                        let squared = squares[start + i] + squares[other + j] - 2.0 * f64::from(products[j]);
                        sum += (-t * squared.max(0.0)).exp();
                    }
                }
                sum
            })
            .sum()
        })
        .collect();
    block_sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(rows: usize, columns: usize, seed: u64) -> Vec<f32> {
        let mut stream = Seed(seed).stream("test", 0, 0, 0);
        (0..rows * columns).map(|_| stream.normal()).collect()
    }

    #[test]
    fn identical_views_are_perfectly_aligned_and_opposite_ones_lie_four_apart() {
        let (values, opposite) = ([3.0, 4.0, 1.0, 0.0], [-3.0, -4.0, -1.0, 0.0]);
        let rows = Rows::new(&values, 2).unwrap();
        assert_eq!(alignment(rows, rows).unwrap(), 0.0);
        let distance = alignment(rows, Rows::new(&opposite, 2).unwrap()).unwrap();
        assert!((distance - 4.0).abs() < 1e-6, "{distance}");
    }

    #[test]
    fn a_collapsed_representation_has_uniformity_zero() {
        let rows = [1.0, 2.0].repeat(700);
        let value = uniformity(Rows::new(&rows, 2).unwrap(), &UniformityOptions::default()).unwrap().value;
        assert!(value.abs() < 1e-6, "{value}");
    }

    #[test]
    fn blocks_give_what_the_definition_over_pairs_gives() {
        let (n, d) = (2 * BLOCK + 45, 5);
        let values = random(n, d, 1);
        let rows = Rows::new(&values, d).unwrap();
        let unit = check::normalized("", rows).unwrap();
        let mut sum = 0.0;
        for i in 0..n {
            for j in i + 1..n {
                let pairs = unit.row(i).iter().zip(unit.row(j));
                sum += (-2.0 * pairs.map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>()).exp();
            }
        }
        let expected = (sum / (n * (n - 1) / 2) as f64).ln();
        let found = uniformity(rows, &UniformityOptions::default()).unwrap();
        assert!((found.value - expected).abs() < 1e-6, "{} {expected}", found.value);
        assert!(!found.sampled);
    }

    #[test]
    fn many_rows_are_sampled_by_seed_and_said_so() {
        let values = random(3000, 8, 2);
        let rows = Rows::new(&values, 8).unwrap();
        let all = uniformity(rows, &UniformityOptions::default()).unwrap();
        let options = UniformityOptions { most_rows: 1000, ..UniformityOptions::default() };
        let some = uniformity(rows, &options).unwrap();
        assert_eq!((some.rows, some.sampled), (1000, true));
        assert!((some.value - all.value).abs() < 0.02 && some.value != all.value, "{some:?} {all:?}");
        assert_eq!(uniformity(rows, &options).unwrap(), some);
        assert_ne!(uniformity(rows, &UniformityOptions { seed: Seed(1), ..options }).unwrap(), some);
    }

    #[test]
    fn too_few_rows_and_nan_are_errors() {
        let one = uniformity(Rows::new(&[1.0, 0.0], 2).unwrap(), &UniformityOptions::default());
        assert!(matches!(one, Err(MetricError::Undefined { .. })));
        let none = Rows::new(&[], 2).unwrap();
        assert!(matches!(alignment(none, none), Err(MetricError::Undefined { .. })));
        let nan =
            uniformity(Rows::new(&[1.0, f32::NAN, 0.0, 1.0], 2).unwrap(), &UniformityOptions::default());
        assert!(matches!(nan, Err(MetricError::Values { .. })));
    }
}
