//! What a contrastive step takes, whatever an instance is: instances and their views.

/// A batch of instances and their views.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewBatch<V> {
    /// The B instances, in the order of the plan.
    pub instances: Vec<u32>,
    /// One item a view, of B rows each, in the order of the instances.
    pub views: Vec<V>,
}
