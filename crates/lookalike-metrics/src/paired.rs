//! Whether one arm of an experiment beats another: the mean paired difference over seeds with its t-interval.

use serde::Serialize;

use crate::error::MetricError;

/// Two-sided confidence of the interval.
const CONFIDENCE: f64 = 0.95;

/// The difference between two arms, paired by seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Paired {
    /// Mean of treatment − baseline.
    pub mean: f64,
    /// Lower end of the 95 % t-interval of the mean.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Number of pairs.
    pub seeds: usize,
    /// Whether the whole interval lies above 0: only then is the treatment said to gain.
    pub gain: bool,
}

/// Compares the scores of two arms, of which entry i of both ran with the same seed; higher scores are better.
///
/// # Errors
/// [`MetricError::Undefined`] below two pairs; other variants where the lengths differ or a score is not finite.
pub fn paired(baseline: &[f64], treatment: &[f64]) -> Result<Paired, MetricError> {
    if baseline.len() != treatment.len() {
        let (found, expected) = (treatment.len(), baseline.len());
        return Err(MetricError::Length { what: "treatment scores", found, expected, of: "baseline scores" });
    }
    let seeds = baseline.len();
    if seeds < 2 {
        return Err(MetricError::undefined("the interval", "it needs at least two seeds"));
    }
    let differences: Vec<f64> =
        treatment.iter().zip(baseline).map(|(treatment, baseline)| treatment - baseline).collect();
    if let Some(value) = differences.iter().find(|difference| !difference.is_finite()) {
        return Err(MetricError::option("a difference of scores", &value, "finite"));
    }
    let n = seeds as f64;
    let mean = differences.iter().sum::<f64>() / n;
    let variance = differences.iter().map(|difference| (difference - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = t_quantile(seeds - 1) * (variance / n).sqrt();
    let (low, high) = (mean - half, mean + half);
    Ok(Paired { mean, low, high, seeds, gain: low > 0.0 })
}

/// The t with |T| ≤ t in 95 % of cases, for Student's T with `freedom` degrees of freedom.
fn t_quantile(freedom: usize) -> f64 {
    let (mut low, mut high) = (0.0, 16.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        *if probability_within(middle, freedom) < CONFIDENCE { &mut low } else { &mut high } = middle;
    }
    f64::midpoint(low, high)
}

/// P(|T| ≤ t) for whole degrees of freedom (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4).
fn probability_within(t: f64, freedom: usize) -> f64 {
    let theta = (t / (freedom as f64).sqrt()).atan();
    let (sine, cosine) = theta.sin_cos();
    let odd = freedom % 2 == 1;
    let mut term = if odd { cosine } else { 1.0 };
    let mut sum = 0.0;
    for step in 0..freedom / 2 {
        sum += term;
        let k = (2 * step) as f64;
        let ratio = if odd { (k + 2.0) / (k + 3.0) } else { (k + 1.0) / (k + 2.0) };
        term *= ratio * cosine * cosine;
    }
    if odd { 2.0 / std::f64::consts::PI * (theta + sine * sum) } else { sine * sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        let table = [
            (1, 12.706),
            (2, 4.303),
            (3, 3.182),
            (4, 2.776),
            (9, 2.262),
            (10, 2.228),
            (29, 2.045),
            (120, 1.980),
        ];
        for (freedom, expected) in table {
            assert!((t_quantile(freedom) - expected).abs() < 5e-4, "{freedom}: {}", t_quantile(freedom));
        }
    }

    #[test]
    fn a_gain_is_only_said_where_the_interval_excludes_zero() {
        let clear = paired(&[80.0, 81.0, 79.0], &[82.0, 83.1, 80.9]).unwrap();
        assert!(clear.gain && clear.low > 1.7 && clear.high < 2.3, "{clear:?}");
        let unclear = paired(&[80.0, 81.0, 79.0], &[84.0, 81.0, 80.0]).unwrap();
        assert!(!unclear.gain && unclear.mean > 1.6, "{unclear:?}");
        let worse = paired(&[82.0, 83.1, 80.9], &[80.0, 81.0, 79.0]).unwrap();
        assert!(!worse.gain && worse.high < 0.0);
    }

    #[test]
    fn arms_without_any_difference_have_no_gain() {
        let same = paired(&[1.0, 2.0], &[1.0, 2.0]).unwrap();
        assert_eq!((same.mean, same.low, same.high, same.gain), (0.0, 0.0, 0.0, false));
    }

    #[test]
    fn one_seed_unpaired_scores_and_nan_are_errors() {
        assert!(matches!(paired(&[1.0], &[2.0]), Err(MetricError::Undefined { .. })));
        assert!(matches!(paired(&[1.0, 2.0], &[2.0]), Err(MetricError::Length { .. })));
        assert!(matches!(paired(&[1.0, 2.0], &[2.0, f64::NAN]), Err(MetricError::Option { .. })));
    }
}
