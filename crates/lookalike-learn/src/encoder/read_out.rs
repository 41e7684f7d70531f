//! What makes one vector of a graph of those of its nodes (Xu et al. 2019, *How Powerful are Graph Neural Networks?*,
//! <https://arxiv.org/abs/1810.00826>, equation 4.2).

use std::sync::Arc;

use lookalike_kernels::sparse::segment::Scale;
use serde::{Deserialize, Serialize};

use crate::engine::Tensor;
use crate::op::{maximum, pool};

/// Sum, mean or maximum over the nodes of a graph; zeros for a graph without nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadOut {
    /// The sum, which tells multisets apart; what GraphCL and MVGRL take.
    #[default]
    Sum,
    /// The mean.
    Mean,
    /// The maximum of each column.
    Max,
}

impl ReadOut {
    /// Reads out graphs of which graph g has the rows `offsets[g]` to `offsets[g + 1]`, less one.
    ///
    /// # Shapes
    /// `[nodes, d]` → `[graphs, d]`.
    pub fn of(self, nodes: Tensor<2>, offsets: &Arc<[usize]>) -> Tensor<2> {
        match self {
            Self::Sum => pool(nodes, offsets, Scale::Sum),
            Self::Mean => pool(nodes, offsets, Scale::Mean),
            Self::Max => maximum(nodes, offsets),
        }
    }
}
