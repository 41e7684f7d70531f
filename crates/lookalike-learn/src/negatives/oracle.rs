//! The class oracle (Kalantidis et al. 2020, section 3.3, <https://arxiv.org/abs/2010.01028>): candidates of the query's own
//! class are left out before the hardest are chosen, mixed and compared. It needs the labels, so it is no method: it shows
//! how much false negatives cost.

use lookalike_sampling::UNLABELLED;

/// Whether two instances are of one class; whoever has no label is of no class.
pub fn same_class(labels: &[u32], one: u32, other: u32) -> bool {
    has_class(labels, one) && labels.get(one as usize) == labels.get(other as usize)
}

/// Whether an instance has a class.
pub fn has_class(labels: &[u32], instance: u32) -> bool {
    labels.get(instance as usize).is_some_and(|label| *label != UNLABELLED)
}
