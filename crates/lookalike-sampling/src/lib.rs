//! Who shares a batch: mini-batches of look-alikes after BatchSampler.
//!
//! *BatchSampler: Sampling Mini-Batches for Contrastive Learning in Vision, Language, and Graphs*, Yang et al.,
//! KDD 2023, <https://arxiv.org/abs/2306.03355>. Instances become nodes of a [proximity graph](graph), a
//! [random walk](walk) over it collects the batches of a [plan], and the [`Sampler`] rebuilds the graph as
//! the embeddings change. Instances are numbers and embeddings rows of `f32`: what they stand for is not known here.

mod error;
pub mod graph;
pub mod plan;
pub mod sampler;
mod set;
pub mod walk;

pub use error::{SamplingError, Warning};
pub use graph::{
    CandidateDraw, EdgeWeights, GraphOptions, GraphStatistics, ProximityGraph, knn_graph, proximity_graph,
};
pub use lookalike_kernels::Scoring;
pub use plan::groups::Groups;
pub use plan::hardness::{HardnessTally, decile_hardness};
pub use plan::report::{AnchorHistogram, GraphReport, PlanContext, PlanReport, SIMILARITY_BINS, plan_report};
pub use plan::{BatchOrigins, PlanInput, Segment, Strategy, batches_per_epoch, plan_segment};
pub use sampler::{
    Agreement, Avoid, Coverage, EpochReport, LastBatch, Oracle, RankSplit, Ranks, RestartSchedule, RunData,
    Sampler, SamplerKind, SamplerOptions, SamplerReport, SamplerState, Staleness, check_agreement,
};
pub use set::InstanceSet;
pub use walk::Transition;
