//! What makes one vector of an instance of those of its parts: of a graph of its nodes (Xu et al. 2019, *How Powerful are Graph
//! Neural Networks?*, <https://arxiv.org/abs/1810.00826>, equation 4.2), of a text of its tokens.

use lookalike_kernels::sparse::segment::Scale;
use serde::{Deserialize, Serialize};

use super::Parts;
use crate::engine::Tensor;
use crate::op::{maximum, pool};

/// Sum, mean or maximum over the parts of an instance; zeros for an instance without parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The sum, which tells multisets apart; what GraphCL and MVGRL take.
    #[default]
    Sum,
    /// The mean.
    Mean,
    /// The maximum of each column.
    Max,
}

impl Pooling {
    /// # Shapes
    /// `[parts, d]` → `[instances, d]`.
    pub fn forward(self, Parts { values, offsets }: Parts) -> Tensor<2> {
        match self {
            Self::Sum => pool(values, &offsets, Scale::Sum),
            Self::Mean => pool(values, &offsets, Scale::Mean),
            Self::Max => maximum(values, &offsets),
        }
    }
}
