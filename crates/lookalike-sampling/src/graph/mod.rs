//! Who looks like whom: the proximity graph, its candidates, the weights of its edges, and which edges are left out.

pub(crate) mod candidates;
mod duplicates;
pub(crate) mod filter;
mod independent;
pub(crate) mod pairs;
mod partitions;
mod proximity;
mod shared;
pub(crate) mod weights;

pub use filter::pair_percentile;
pub use pairs::PairRows;
pub use partitions::{communities, connected_components};
pub use proximity::{
    CandidateDraw, GraphOptions, GraphStatistics, ProximityGraph, knn_graph, proximity_graph,
};
pub(crate) use proximity::{Members, check_row};
pub use shared::{Held, Traffic, shared_proximity_graph};
pub use weights::EdgeWeights;
