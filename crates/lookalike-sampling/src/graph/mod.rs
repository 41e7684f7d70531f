//! Who looks like whom: the proximity graph, its candidates, the weights of its edges, and which edges are left out.

pub(crate) mod candidates;
mod filter;
pub(crate) mod independent;
mod proximity;
pub(crate) mod weights;

pub use independent::independent_graph;
pub use proximity::{
    GraphOptions, GraphStatistics, ProximityGraph, knn_graph, knn_graph_by, knn_graph_until, proximity_graph,
    proximity_graph_until,
};
pub(crate) use proximity::{Members, check_row};
pub use weights::EdgeWeights;
