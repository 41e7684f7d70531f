//! How good embeddings are: classification by neighbours and by a linear probe, geometry on the sphere, the spectrum,
//! and how hard the negatives of a batch plan are.
//!
//! Embeddings come as [`Rows`](lookalike_base::Rows) of `f32`, labels as `u32` below the number of classes. A score
//! that the input does not determine, such as an accuracy without labels, is [`MetricError::Undefined`] with the
//! reason, never NaN. No score depends on the number of threads.

mod check;
pub mod collapse;
mod error;
mod gram;
pub mod hardness;
pub mod knn;
pub mod linear_probe;
pub mod paired;
pub mod proxy;
pub mod spectrum;
pub mod sphere;
pub mod svm;

pub use collapse::{Collapse, collapse};
pub use error::MetricError;
pub use hardness::{FalseNegatives, Hardness, PairSum, false_negative_rate, hardness, hardness_until};
pub use knn::{KnnAccuracy, KnnOptions, KnnPredictions, knn_accuracy, knn_classify};
pub use linear_probe::{LinearProbe, ProbeOptions, RateScore, linear_probe};
pub use paired::{Paired, paired};
pub use proxy::{ProxyAccuracy, ProxyNegatives, Synthetic, proxy_accuracy, proxy_accuracy_until};
pub use spectrum::{Centering, Spectrum, rank_me, spectrum};
pub use sphere::{Uniformity, UniformityOptions, alignment, uniformity};
pub use svm::{SvmFold, SvmKernel, SvmOptions, SvmScore, stratified_folds, svm_accuracy};
