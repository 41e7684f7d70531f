//! The cluster head of Contrastive Clustering (Li et al. 2021, section 3.3, <https://arxiv.org/abs/2009.09687>): two linear layers and
//! a softmax, which say how likely an instance is of each cluster.

use lookalike_base::Stream;

use super::{Head, HeadNorm, Projection, ProjectionOptions};
use crate::burn::tensor::activation::softmax;
use crate::engine::{Device, Tensor};
use crate::module::{Module, Pass, Visitor};

/// Probabilities of clusters.
#[derive(Debug, Clone)]
pub struct ClusterHead(Projection);

impl ClusterHead {
    /// On vectors of length `inputs`, which is the width of the hidden layer too, for so many clusters; without BatchNorm, as published.
    pub fn new(inputs: usize, clusters: usize, stream: &mut Stream, device: &Device) -> Self {
        let form = ProjectionOptions { layers: 2, width: 0, dimension: clusters, batch_norm: HeadNorm::None };
        Self(Projection::new(inputs, &form, stream, device))
    }
}

impl Head for ClusterHead {
    /// # Shapes
    /// `[N, inputs]` → `[N, clusters]`; each row sums to 1.
    fn forward(&mut self, input: Tensor<2>, pass: &Pass) -> Tensor<2> {
        softmax(self.0.forward(input, pass), 1)
    }
}

impl Module for ClusterHead {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.0.visit(visitor);
    }
}
