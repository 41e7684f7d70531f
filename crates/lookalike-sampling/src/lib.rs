//! Who shares a batch: mini-batches of look-alikes after BatchSampler.
//!
//! *BatchSampler: Sampling Mini-Batches for Contrastive Learning in Vision, Language, and Graphs*, Yang et al.,
//! KDD 2023, <https://arxiv.org/abs/2306.03355>. Instances become nodes of a [proximity graph](graph), a
//! [random walk](walk) over it collects the batches of a [plan], and the [`Sampler`] rebuilds the graph as
//! the embeddings change. Instances are numbers and embeddings rows of `f32`: what they stand for is not known here.

mod agreement;
mod candidates;
mod data;
mod error;
mod filter;
pub mod graph;
mod groups;
pub mod hardness;
mod independent;
mod options;
pub mod plan;
mod plan_report;
mod planner;
mod planning;
mod report;
mod sampler;
mod set;
mod spread;
mod state;
mod store;
pub mod walk;
mod weights;

pub use agreement::{Agreement, check_agreement};
pub use data::{Avoid, Oracle, Ranks, RunData, Split};
pub use error::{SamplingError, Warning};
pub use graph::{
    GraphOptions, GraphStatistics, ProximityGraph, knn_graph, knn_graph_by, knn_graph_until, proximity_graph,
    proximity_graph_until,
};
pub use groups::Groups;
pub use hardness::{Tally, decile_hardness};
pub use independent::independent_graph;
pub use lookalike_kernels::Scoring;
pub use options::{Coverage, Kind, LastBatch, RestartSchedule, SamplerOptions};
pub use plan::{
    BatchOrigins, Method, PlanInput, Segment, batches_per_epoch, plan_segment, plan_segment_until,
};
pub use plan_report::{
    AnchorHistogram, GraphReport, PlanContext, PlanReport, SIMILARITY_BINS, plan_report, plan_report_until,
};
pub use report::{EpochReport, Report, Staleness};
pub use sampler::Sampler;
pub use set::InstanceSet;
pub use state::SamplerState;
pub use walk::Moves;
pub use weights::EdgeWeights;
