//! The class oracle (Kalantidis et al. 2020, section 3.3, <https://arxiv.org/abs/2010.01028>): candidates of the query's own
//! class are left out before the hardest are chosen, mixed and compared. By the labels it is no method: it shows how much false
//! negatives cost. By clusters that a run finds itself it is one, see [`train::oracle`](crate::train::oracle).

use std::sync::{Arc, PoisonError, RwLock};

use lookalike_sampling::UNLABELLED;

use crate::engine::{Tensor, to_host};
use crate::loss::Mask;

/// Whether two instances are of one class; whoever has no label is of no class.
pub fn same_class(labels: &[u32], one: u32, other: u32) -> bool {
    has_class(labels, one) && labels.get(one as usize) == labels.get(other as usize)
}

/// Whether an instance has a class.
pub fn has_class(labels: &[u32], instance: u32) -> bool {
    labels.get(instance as usize).is_some_and(|label| *label != UNLABELLED)
}

/// Classes of the instances as a run knows them, which whoever finds them shares with the losses that heed them; empty before anything is
/// known.
#[derive(Debug, Clone, Default)]
pub struct Known(Arc<RwLock<Arc<Vec<u32>>>>);

impl Known {
    /// The class of each instance, [`UNLABELLED`] of those of no known one.
    pub fn classes(&self) -> Arc<Vec<u32>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on these are known.
    pub fn set(&self, classes: Arc<Vec<u32>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = classes;
    }
}

impl From<Arc<Vec<u32>>> for Known {
    fn from(classes: Arc<Vec<u32>>) -> Self {
        Self(Arc::new(RwLock::new(classes)))
    }
}

/// What an oracle costs: the mean similarity of negatives under one mask less that under a larger one, and the share of the candidates that
/// the larger one leaves out beyond.
///
/// # Shapes
/// `similarities` `[Q, M]`.
pub(super) fn cost(similarities: &Tensor<2>, before: Option<&Mask>, after: Option<&Mask>) -> [f64; 2] {
    let [queries, candidates] = similarities.dims();
    let values = to_host(similarities.clone().inner());
    let (mut sums, mut counts) = ([0.0; 2], [0.0; 2]);
    for (query, row) in values.chunks_exact(candidates.max(1)).enumerate() {
        for (place, mask) in [before, after].into_iter().enumerate() {
            let left_out = mask.map_or(&[][..], |mask| mask.of(query));
            let sum = |values: &mut dyn Iterator<Item = f32>| values.map(f64::from).sum::<f64>();
            let own =
                sum(&mut row.iter().copied()) - sum(&mut left_out.iter().map(|column| row[*column as usize]));
            sums[place] += own;
            counts[place] += (candidates - left_out.len()) as f64;
        }
    }
    let mean = |place: usize| sums[place] / f64::max(counts[place], 1.0);
    let all = (queries * candidates).max(1) as f64;
    [mean(0) - mean(1), (counts[0] - counts[1]) / all]
}
