//! Correlation of two lists of numbers: Spearman's of their ranks, Pearson's of the numbers themselves.
//!
//! Semantic textual similarity is scored by Spearman's correlation between the cosines of sentence pairs and the
//! similarities that people gave. `SentEval`'s "all" of a year is [`spearman`] over the pairs of all its subsets, one
//! subset after another in one list; it is not the mean of the subsets' correlations.

use lookalike_base::Rows;

use crate::check;
use crate::error::MetricError;

/// Spearman's rank correlation ρ of `a` and `b`, from −1 to 1: Pearson's correlation of the ranks. Equal values share
/// the mean of their ranks, as in `scipy.stats.spearmanr`. Computed in 64 bits.
///
/// # Shapes
/// `a` and `b` have the same length; entry i of both belongs to the same pair.
///
/// # Errors
/// [`MetricError::Undefined`] below two values, or where all values of a list are equal; [`MetricError::Length`] where
/// the lists differ in length; [`MetricError::Values`] where a value is NaN or infinite.
pub fn spearman(a: &[f32], b: &[f32]) -> Result<f64, MetricError> {
    check("Spearman's correlation", a, b)?;
    Ok(correlation(&mean_ranks(a), &mean_ranks(b)))
}

/// Pearson's correlation r of `a` and `b`, from −1 to 1. Computed in 64 bits, as `scipy.stats.pearsonr` of 64-bit input.
///
/// # Shapes
/// `a` and `b` have the same length; entry i of both belongs to the same pair.
///
/// # Errors
/// [`MetricError::Undefined`] below two values, or where all values of a list are equal; [`MetricError::Length`] where
/// the lists differ in length; [`MetricError::Values`] where a value is NaN or infinite.
pub fn pearson(a: &[f32], b: &[f32]) -> Result<f64, MetricError> {
    check("Pearson's correlation", a, b)?;
    let [a, b] = [a, b].map(|values| values.iter().copied().map(f64::from).collect::<Vec<f64>>());
    Ok(correlation(&a, &b))
}

/// Checks what both correlations ask of their input.
fn check(score: &'static str, a: &[f32], b: &[f32]) -> Result<(), MetricError> {
    if a.len() != b.len() {
        let (found, expected) = (b.len(), a.len());
        return Err(MetricError::Length { what: "second values", found, expected, of: "first values" });
    }
    if a.len() < 2 {
        return Err(MetricError::undefined(score, "it needs at least two pairs of values"));
    }
    for (what, values) in [("first values", a), ("second values", b)] {
        let rows = Rows::new(values, 1).map_err(|problem| MetricError::Values { what, problem })?;
        check::finite(what, rows)?;
        // Of values that are not all equal some deviation from the mean is above 0, even of the smallest in 64 bits.
        if values.iter().all(|value| *value == values[0]) {
            return Err(MetricError::undefined(score, format!("all {what} are equal")));
        }
    }
    Ok(())
}

/// The rank of each value from 1, equal values with the mean of their ranks.
fn mean_ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    // Adding 0 makes −0 and 0 one value.
    order.sort_unstable_by(|first, second| (values[*first] + 0.0).total_cmp(&(values[*second] + 0.0)));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for equal in order.chunk_by(|first, second| values[*first] == values[*second]) {
        let rank = before as f64 + (equal.len() + 1) as f64 / 2.0;
        for at in equal {
            ranks[*at] = rank;
        }
        before += equal.len();
    }
    ranks
}

/// Pearson's correlation of two lists that are not constant.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len() as f64;
    let [mean_a, mean_b] = [a, b].map(|values| values.iter().sum::<f64>() / n);
    let (mut together, mut first, mut second) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        together += a * b;
        first += a * a;
        second += b * b;
    }
    // Rounding can carry the quotient past 1 by an ulp.
    (together / first.sqrt() / second.sqrt()).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_the_mean_of_their_ranks() {
        assert_eq!(mean_ranks(&[3.0, -0.0, 0.0, 3.0, 3.0, -7.0]), [5.0, 2.5, 2.5, 5.0, 5.0, 1.0]);
    }

    #[test]
    fn spearman_sees_order_alone_and_pearson_sees_lines() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(spearman(&a, &b).unwrap(), 1.0);
        assert!(pearson(&a, &b).unwrap() < 0.9);
        assert_eq!(spearman(&a, &[5.0, 4.0, 3.0, -9.0]).unwrap(), -1.0);
        assert!((pearson(&a, &[5.0, 3.0, 1.0, -1.0]).unwrap() + 1.0).abs() < 1e-15);
    }

    #[test]
    fn the_greatest_and_the_smallest_numbers_are_no_trouble() {
        for values in [[f32::MAX, f32::MIN, 0.0], [1e-45, 0.0, 3e-45]] {
            let found = pearson(&values, &values).unwrap();
            assert!((found - 1.0).abs() < 1e-12, "{found}");
        }
    }

    #[test]
    fn what_has_no_correlation_is_an_error_that_says_why() {
        let error = |a: &[f32], b: &[f32]| {
            let (first, second) = (spearman(a, b).unwrap_err(), pearson(a, b).unwrap_err());
            let [first, second] = [first, second].map(|error| error.to_string());
            assert_eq!(first.replace("Spearman", "Pearson"), second);
            first
        };
        assert!(error(&[1.0], &[2.0]).contains("at least two pairs"));
        assert!(error(&[], &[]).contains("at least two pairs"));
        assert!(error(&[1.0, 2.0], &[2.0]).contains("there are 1 second values, but 2 are needed"));
        assert!(error(&[1.0, 2.0], &[0.1; 2]).contains("is undefined: all second values are equal"));
        assert!(error(&[0.0, -0.0], &[1.0, 2.0]).contains("all first values are equal"));
        assert!(error(&[1.0, f32::NAN], &[1.0, 2.0]).contains("first values: row 1"));
        assert!(error(&[1.0, 2.0], &[f32::INFINITY, 2.0]).contains("second values: row 0"));
    }
}
