//! Rows with their dimensions standardised.

use lookalike_base::{Matrix, Rows};

use crate::error::MetricError;
use crate::standardize::Standardizer;

impl Standardizer {
    /// The rows, standardised.
    #[cfg(feature = "linear-algebra")]
    pub(super) fn apply(&self, rows: Rows<'_>) -> Result<Matrix, MetricError> {
        let mut values = Vec::with_capacity(rows.values().len());
        for row in rows {
            let statistics = self.means.iter().zip(&self.scales);
            values.extend(
                row.iter()
                    .zip(statistics)
                    .map(|(value, (mean, scale))| ((f64::from(*value) - mean) * scale) as f32),
            );
        }
        Matrix::new(values, rows.columns())
            .map_err(|problem| MetricError::Values { what: "features", problem })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_come_out_with_mean_zero_and_deviation_one_whatever_their_scale() {
        let values = [1e-6, 5.0, 7.0, 3e-6, 5.0, 9.0, 5e-6, 5.0, 11.0];
        let rows = Rows::new(&values, 3).unwrap();
        let matrix = Standardizer::of(&[rows]).apply(rows).unwrap();
        let outer = 1.5_f32.sqrt();
        for (row, expected) in matrix.rows().iter().zip([-outer, 0.0, outer]) {
            assert!((row[0] - expected).abs() < 1e-5 && (row[2] - expected).abs() < 1e-5, "{row:?}");
            assert_eq!(row[1], 0.0);
        }
    }
}
