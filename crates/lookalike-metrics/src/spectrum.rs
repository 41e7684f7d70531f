//! The spectrum of an embedding matrix: singular values, effective rank and RankMe.

use faer::Mat;
use lookalike_base::Rows;
use serde::Serialize;

use crate::check;
use crate::error::MetricError;

/// RankMe's ε (Garrido et al. 2023, equation 1).
const RANK_ME_EPSILON: f64 = 1e-7;

/// Whether the mean row is subtracted before the decomposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Centering {
    /// It is: the spectrum of the covariance, which shows dimensional collapse (Jing et al. 2022, section 3).
    Centered,
    /// It is not, as in RankMe.
    Uncentered,
}

/// Singular values of an embedding matrix Z itself, not of its covariance, whose eigenvalues are σ² / N.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spectrum {
    /// min(N, d) values, largest first.
    pub singular_values: Vec<f64>,
    /// What was done to the rows before.
    pub centering: Centering,
    /// Number of rows, N.
    pub rows: usize,
}

/// Computes the singular values of `embeddings`, as they are or centred; they are not normalised here.
///
/// # Shapes
/// `embeddings` N×d.
///
/// # Errors
/// [`MetricError::Undefined`] without rows, [`MetricError::Values`] where a value is not finite.
pub fn spectrum(embeddings: Rows<'_>, centering: Centering) -> Result<Spectrum, MetricError> {
    check::finite("embeddings", embeddings)?;
    if embeddings.is_empty() {
        return Err(MetricError::undefined("the spectrum", "there are no rows"));
    }
    let columns = embeddings.columns();
    let mut mean = vec![0.0; columns];
    if centering == Centering::Centered {
        for row in embeddings {
            mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += f64::from(*value));
        }
        for mean in &mut mean {
            *mean /= embeddings.len() as f64;
        }
    }
    let matrix = Mat::from_fn(embeddings.len(), columns, |i, j| f64::from(embeddings.row(i)[j]) - mean[j]);
    let singular_values = matrix.singular_values().map_err(|_| MetricError::Decomposition)?;
    Ok(Spectrum { singular_values, centering, rows: embeddings.len() })
}

impl Spectrum {
    /// Effective rank (Roy and Vetterli 2007, definition 1): exp of the entropy of p = σ / Σσ.
    ///
    /// # Errors
    /// [`MetricError::Undefined`] where all singular values are zero.
    pub fn effective_rank(&self) -> Result<f64, MetricError> {
        self.rank("the effective rank", 0.0)
    }

    fn rank(&self, score: &'static str, epsilon: f64) -> Result<f64, MetricError> {
        let sum: f64 = self.singular_values.iter().sum();
        if sum == 0.0 {
            return Err(MetricError::undefined(score, "all singular values are zero"));
        }
        // 0 log 0 is 0, the limit.
        let shares =
            self.singular_values.iter().map(|value| value / sum + epsilon).filter(|share| *share > 0.0);
        Ok((-shares.map(|share| share * share.ln()).sum::<f64>()).exp())
    }
}

/// RankMe (Garrido et al. 2023, *RankMe: Assessing the Downstream Performance of Pretrained Self-Supervised
/// Representations by Their Rank*, equation 1): exp of the entropy of p = σ / Σσ + ε with ε = 10⁻⁷, of the uncentred
/// embeddings. The paper uses about 25,600 rows; it can exceed neither N nor d, up to ε.
///
/// # Shapes
/// `embeddings` N×d.
///
/// # Errors
/// As [`spectrum`], and [`MetricError::Undefined`] where all values are zero.
pub fn rank_me(embeddings: Rows<'_>) -> Result<f64, MetricError> {
    spectrum(embeddings, Centering::Uncentered)?.rank("RankMe", RANK_ME_EPSILON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orthogonal_rows_of_one_length_have_full_rank() {
        let values = [2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0];
        let rows = Rows::new(&values, 3).unwrap();
        let spectrum = spectrum(rows, Centering::Uncentered).unwrap();
        assert!(spectrum.singular_values.iter().all(|value| (value - 2.0).abs() < 1e-12));
        assert!((spectrum.effective_rank().unwrap() - 3.0).abs() < 1e-12);
        assert!((rank_me(rows).unwrap() - 3.0).abs() < 1e-5);
    }

    #[test]
    fn rows_on_a_line_have_rank_one_and_centring_takes_a_constant_away() {
        let line: Vec<f32> = (1..50).flat_map(|i| [i as f32, 2.0 * i as f32]).collect();
        let rank =
            spectrum(Rows::new(&line, 2).unwrap(), Centering::Centered).unwrap().effective_rank().unwrap();
        assert!((rank - 1.0).abs() < 1e-6, "{rank}");
        let constant = [3.0, 1.0].repeat(9);
        let rows = Rows::new(&constant, 2).unwrap();
        let centred = spectrum(rows, Centering::Centered).unwrap();
        assert!(matches!(centred.effective_rank(), Err(MetricError::Undefined { .. })));
        assert!((rank_me(rows).unwrap() - 1.0).abs() < 1e-4);
    }

    #[test]
    fn nan_and_no_rows_are_errors() {
        let nan = spectrum(Rows::new(&[1.0, f32::NAN], 2).unwrap(), Centering::Centered);
        assert!(matches!(nan, Err(MetricError::Values { .. })));
        let empty = rank_me(Rows::new(&[], 2).unwrap());
        assert!(matches!(empty, Err(MetricError::Undefined { .. })));
    }
}
