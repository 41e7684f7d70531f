//! Features of mean 0 and deviation 1.

use lookalike_base::Rows;

/// A dimension whose deviation is below this share of its greatest magnitude is constant but for rounding.
const CONSTANT: f64 = 1e-6;

/// Mean and inverse deviation of each dimension.
pub(crate) struct Standardizer {
    pub(crate) means: Vec<f64>,
    /// 0 for a constant dimension, which is thereby left out.
    pub(crate) scales: Vec<f64>,
}

impl Standardizer {
    /// The statistics of all rows of `parts` together, with the population's variance as in BatchNorm.
    pub(crate) fn of(parts: &[Rows<'_>]) -> Self {
        let count = parts.iter().map(Rows::len).sum::<usize>() as f64;
        let columns = parts.first().map_or(0, Rows::columns);
        let (mut means, mut variances, mut greatest) =
            (vec![0.0; columns], vec![0.0; columns], vec![0.0; columns]);
        for row in parts.iter().flat_map(Rows::iter) {
            for (j, value) in row.iter().enumerate() {
                means[j] += f64::from(*value) / count;
                greatest[j] = f64::max(greatest[j], f64::from(value.abs()));
            }
        }
        for row in parts.iter().flat_map(Rows::iter) {
            for (j, value) in row.iter().enumerate() {
                variances[j] += (f64::from(*value) - means[j]).powi(2) / count;
            }
        }
        let scale = |(variance, greatest): (&f64, &f64)| {
            let deviation = variance.sqrt();
            if deviation > CONSTANT * greatest { 1.0 / deviation } else { 0.0 }
        };
        let scales = variances.iter().zip(&greatest).map(scale).collect();
        Self { means, scales }
    }
}
