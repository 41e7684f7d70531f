#![doc = include_str!("../README.md")]

pub mod bm25;
mod check;
pub mod classified;
pub mod clustering;
#[cfg(feature = "linear-algebra")]
pub mod collapse;
pub mod detection;
mod error;
#[cfg(feature = "linear-algebra")]
mod gram;
pub mod hardness;
pub mod knn;
#[cfg(feature = "linear-algebra")]
pub mod linear_probe;
pub mod mining;
pub mod paired;
pub mod proxy;
pub mod rank_correlation;
pub mod retrieval;
pub mod segmentation;
#[cfg(feature = "linear-algebra")]
pub mod spectrum;
#[cfg(feature = "linear-algebra")]
pub mod sphere;
mod standardize;
#[cfg(feature = "linear-algebra")]
pub mod svm;

pub use bm25::{Bm25, Bm25Options};
pub use check::classifiable;
pub use classified::{ClassCount, Classified};
pub use clustering::{
    ClusteringScores, Contingency, Kmeans, KmeansOptions, assignment, clustering_scores, kmeans,
};
#[cfg(feature = "linear-algebra")]
pub use collapse::{Collapse, collapse};
pub use detection::{
    Detections, GroundTruth, VocAveragePrecision, VocClass, VocScores, voc_average_precision,
};
pub use error::MetricError;
pub use hardness::{
    FalseNegatives, Hardness, PairSum, UNLABELLED, false_negative_rate, hardness, pair_hardness,
};
pub use knn::{KnnAccuracy, KnnOptions, KnnPredictions, PiecewiseKnn, knn_accuracy, knn_classify};
#[cfg(feature = "linear-algebra")]
pub use linear_probe::{LinearProbe, ProbeOptions, RateScore, linear_probe};
pub use mining::{Mined, MiningInput, MiningOptions, MiningStrategy, mine};
pub use paired::{Paired, paired};
pub use proxy::{ProxyAccuracy, ProxyNegatives, Synthetic, proxy_accuracy};
pub use rank_correlation::{pearson, spearman};
pub use retrieval::{Judgements, QueryScores, Ranking, RetrievalScores};
pub use segmentation::{
    Confusion, DenseImage, IGNORED, PatchOptions, PatchSearch, SegmentationOptions, SegmentationProbe,
    SegmentationScores,
};
#[cfg(feature = "linear-algebra")]
pub use spectrum::{Centering, Spectrum, rank_me, spectrum};
#[cfg(feature = "linear-algebra")]
pub use sphere::{Uniformity, UniformityOptions, alignment, uniformity};
#[cfg(feature = "linear-algebra")]
pub use svm::{SvmFold, SvmKernel, SvmOptions, SvmScore, stratified_folds, svm_accuracy};
