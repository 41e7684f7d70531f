//! The Jensen-Shannon estimate of the mutual information of parts and wholes (Hjelm et al. 2019, equation 4,
//! <https://arxiv.org/abs/1808.06670>; for the nodes and the graph of another view, Hassani and Khasahmadi 2020, section 3.4,
//! <https://arxiv.org/abs/2006.05582>). No temperature, no normalisation: scores are inner products.
//!
//! With s(v, g) = ⟨v, g⟩, the product of a node's and a graph's vector, sp(x) = log (1 + eˣ), and the n nodes and G graphs of a batch:
//!
//! ℓ = 1/(n (G − 1)) Σ_{v} Σ_{g ∌ v} (sp(s(v, g)) − log 2) − 1/n Σ_{v, g ∋ v} (log 2 − sp(−s(v, g)))
//!
//! which is 0 where all scores are, and the first part is 0 where there is one graph only.

use std::sync::Arc;

use super::entry::LossEntry;
use super::softplus;
use crate::engine::{Tensor, from_host};
use crate::op::spread;

/// The Jensen-Shannon estimate in a registry.
pub const ENTRY: LossEntry = LossEntry {
    kind: "jensen-shannon",
    about: "between nodes of one view and graphs, or the summary, of the other (MVGRL)",
    ..LossEntry::OTHER
};

/// The estimate for pairs that were scored already, those that belong together and those that do not, without its constants
/// and halved: ½ (mean sp(−s) over the former + mean sp(s) over the latter), which is a classifier's cross-entropy
/// (Veličković et al. 2019, *Deep Graph Infomax*, <https://arxiv.org/abs/1809.10341>, equation 1).
///
/// # Shapes
/// `[n, 1]` and `[m, 1]` → `[1]`.
pub fn binary(together: Tensor<2>, apart: Tensor<2>) -> Tensor<1> {
    (softplus(together.neg()).mean() + softplus(apart).mean()).mul_scalar(0.5)
}

/// The loss of `nodes` against `graphs`, of which graph g has the nodes `offsets[g]` to `offsets[g + 1]`, less one.
///
/// # Shapes
/// `[n, d]` and `[G, d]` → `[1]`. Nothing is larger than `[n, G]`.
pub fn local_global(nodes: Tensor<2>, graphs: Tensor<2>, offsets: &Arc<[usize]>) -> Tensor<1> {
    let [count, others] = [nodes.dims()[0], graphs.dims()[0] - 1];
    let log_2 = std::f32::consts::LN_2;
    let own = (nodes.clone() * spread(graphs.clone(), offsets)).sum_dim(1);
    let positive = softplus(own.neg()).sub_scalar(log_2).sum();
    let share = |pairs: usize| 1.0 / pairs.max(1) as f32;
    if others == 0 {
        return positive.mul_scalar(share(count));
    }
    let mut foreign = vec![1.0_f32; count * (others + 1)];
    for (graph, ends) in offsets.windows(2).enumerate() {
        for node in ends[0]..ends[1] {
            foreign[node * (others + 1) + graph] = 0.0;
        }
    }
    let foreign = from_host(foreign, [count, others + 1], &nodes.device().inner());
    let scores = nodes.matmul(graphs.transpose());
    let negative = (softplus(scores).sub_scalar(log_2) * foreign).sum();
    negative.mul_scalar(share(count * others)) + positive.mul_scalar(share(count))
}
