//! What a contrastive step takes, whatever an instance is: instances and their two views.

/// Where the two views of an instance come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Views<V> {
    /// The data: 2 B rows, the first views of all instances, then their second views.
    Stacked(V),
    /// The encoder, which sees the same B rows twice (under two dropout masks, say).
    Shared(V),
}

/// A batch of instances and their views.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewBatch<V> {
    /// The B instances, in the order of the plan.
    pub instances: Vec<u32>,
    /// Their views.
    pub views: Views<V>,
}
