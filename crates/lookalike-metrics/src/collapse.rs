//! Whether a representation has collapsed: the spread of normalised embeddings (Chen and He 2021, *Exploring Simple
//! Siamese Representation Learning*, section 4.1).

use lookalike_base::Rows;
use serde::Serialize;

use crate::check;
use crate::error::MetricError;

/// Standard deviation of ℓ2-normalised embeddings. Spread over the whole sphere it is about 1/√d in every dimension,
/// and 0 where all have collapsed to one point.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Collapse {
    /// Population standard deviation of each dimension.
    pub deviations: Vec<f64>,
    /// Their mean.
    pub mean: f64,
    /// 1/√d.
    pub spread: f64,
}

/// Computes the standard deviation of each dimension of the normalised `embeddings`.
///
/// # Shapes
/// `embeddings` N×d; d deviations.
///
/// # Errors
/// [`MetricError::Undefined`] below two rows, [`MetricError::Values`] where a value is not finite.
pub fn collapse(embeddings: Rows<'_>) -> Result<Collapse, MetricError> {
    if embeddings.len() < 2 {
        return Err(MetricError::undefined("the standard deviation", "it needs at least two rows"));
    }
    let unit = check::normalized("embeddings", embeddings)?;
    let (rows, columns) = (unit.len() as f64, unit.columns());
    let mut means = vec![0.0; columns];
    for row in unit.rows() {
        means.iter_mut().zip(row).for_each(|(mean, value)| *mean += f64::from(*value) / rows);
    }
    let mut variances = vec![0.0; columns];
    for row in unit.rows() {
        for ((variance, mean), value) in variances.iter_mut().zip(&means).zip(row) {
            *variance += (f64::from(*value) - mean).powi(2) / rows;
        }
    }
    let deviations: Vec<f64> = variances.iter().map(|variance| variance.sqrt()).collect();
    let mean = deviations.iter().sum::<f64>() / columns as f64;
    Ok(Collapse { deviations, mean, spread: 1.0 / (columns as f64).sqrt() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lookalike_base::Seed;

    #[test]
    fn embeddings_all_over_the_sphere_spread_as_expected() {
        let mut stream = Seed(0).stream("test", 0, 0, 0);
        let values: Vec<f32> = (0..5000 * 16).map(|_| stream.normal()).collect();
        let collapse = collapse(Rows::new(&values, 16).unwrap()).unwrap();
        assert!((collapse.mean - collapse.spread).abs() < 0.005, "{} {}", collapse.mean, collapse.spread);
        assert_eq!(collapse.spread, 0.25);
    }

    #[test]
    fn embeddings_in_one_direction_do_not_spread_whatever_their_length() {
        let values: Vec<f32> = (1..20).flat_map(|i| [i as f32, 3.0 * i as f32]).collect();
        assert!(collapse(Rows::new(&values, 2).unwrap()).unwrap().mean < 1e-6);
    }

    #[test]
    fn one_row_and_nan_are_errors() {
        assert!(matches!(collapse(Rows::new(&[1.0], 1).unwrap()), Err(MetricError::Undefined { .. })));
        let nan = collapse(Rows::new(&[1.0, f32::INFINITY], 1).unwrap());
        assert!(matches!(nan, Err(MetricError::Values { .. })));
    }
}
