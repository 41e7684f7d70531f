//! The clusters of further rows, which the centres were not found in.

use lookalike_base::Rows;
use rayon::prelude::*;

use super::Kmeans;
use super::points::products;
use crate::check;
use crate::error::MetricError;

/// Rows that are compared by one task.
const BLOCK: usize = 1024;

impl Kmeans {
    /// The cluster of each of `rows`, that of the nearest centre; the first of several.
    ///
    /// # Shapes
    /// `rows` M×d, of as many columns as what was clustered; M clusters.
    ///
    /// # Errors
    /// [`MetricError::Dimensions`] for rows of another length, [`MetricError::Values`] where a value is not finite.
    pub fn assign(&self, rows: Rows<'_>) -> Result<Vec<u32>, MetricError> {
        check::same_dimensions("rows", rows, "centres", self.centers.rows())?;
        check::finite("rows", rows)?;
        let columns = rows.columns();
        // Distances do not change with the origin, and are compared most exactly from amid the centres.
        let mut middle = vec![0.0_f64; columns];
        for center in self.centers.rows() {
            middle.iter_mut().zip(center).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        let middle: Vec<f64> = middle.into_iter().map(|sum| sum / self.centers.len() as f64).collect();
        let moved = |rows: &[f32]| -> Vec<f32> {
            let middles = middle.iter().cycle();
            rows.iter().zip(middles).map(|(value, middle)| (f64::from(*value) - middle) as f32).collect()
        };
        let centers = moved(self.centers.rows().values());
        let half = |center: &[f32]| center.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() / 2.0;
        let halves: Vec<f64> = centers.chunks_exact(columns).map(half).collect();
        let block = |rows: &[f32]| -> Vec<u32> {
            let products = products(&moved(rows), &centers, columns);
            let nearest = |products: &[f32]| {
                let score = |cluster: usize| f64::from(products[cluster]) - halves[cluster];
                let best = (0..halves.len())
                    .reduce(|best, other| if score(other) > score(best) { other } else { best });
                best.unwrap_or(0) as u32
            };
            products.chunks_exact(halves.len()).map(nearest).collect()
        };
        Ok(rows.values().par_chunks(BLOCK * columns).flat_map_iter(block).collect())
    }
}

#[cfg(test)]
mod tests {
    use lookalike_base::{Matrix, Watch};

    use crate::{KmeansOptions, MetricError, kmeans};

    #[test]
    fn rows_go_to_the_nearest_centre_and_those_that_were_clustered_to_their_own() {
        // Two groups far from the origin.
        let values: Vec<f32> =
            (0..40).flat_map(|row| [1000.0 + (row % 2) as f32, 5.0 + 0.01 * row as f32]).collect();
        let points = Matrix::new(values, 2).unwrap();
        let found = kmeans(points.rows(), &KmeansOptions::new(2), Watch::default()).unwrap();
        assert_eq!(found.assign(points.rows()).unwrap(), found.clusters);
        let others = Matrix::new(vec![1000.4, 5.0, 1000.6, 5.0], 2).unwrap();
        assert_eq!(found.assign(others.rows()).unwrap(), found.clusters[..2]);
        let wide = Matrix::new(vec![0.0; 3], 3).unwrap();
        assert!(matches!(found.assign(wide.rows()), Err(MetricError::Dimensions { .. })));
    }
}
