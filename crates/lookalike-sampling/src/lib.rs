#![doc = include_str!("../README.md")]

mod compare;
pub mod dial;
mod error;
pub mod graph;
pub mod plan;
pub mod sampler;
mod set;
pub mod walk;

pub use compare::{ComparisonOptions, PlanComparison, compare_plans};
pub use dial::{Calibration, DialInput, HardnessScale, calibrate, hardness_scale};
pub use error::{CandidateLimit, SamplingError, Warning};
pub use graph::{
    CandidateDraw, EdgeWeights, GraphOptions, GraphStatistics, Held, PairRows, ProximityGraph, Traffic,
    communities, connected_components, knn_graph, pair_percentile, proximity_graph, shared_proximity_graph,
};
pub use lookalike_kernels::Scoring;
pub use lookalike_metrics::UNLABELLED;
pub use plan::bandwidth::bandwidth_order;
pub use plan::ceiling::{Ceiling, Limits};
pub use plan::clusters::cluster_order;
pub use plan::groups::Groups;
pub use plan::hardness::{HardnessTally, decile_hardness};
pub use plan::report::{AnchorHistogram, GraphReport, PlanContext, PlanReport, SIMILARITY_BINS, plan_report};
pub use plan::{
    BatchOrder, BatchOrigins, Coverage, LastBatch, PlanInput, Segment, Strategy, batches_per_epoch,
    plan_segment,
};
pub use sampler::{
    Agreement, Avoid, DataSets, EpochReport, HardnessShare, LeftOut, Oracle, RankSplit, Ranks,
    RestartSchedule, RunData, Sampler, SamplerKind, SamplerOptions, SamplerReport, SamplerState, SetOrder,
    Staleness, check_agreement,
};
pub use set::InstanceSet;
pub use walk::Transition;
