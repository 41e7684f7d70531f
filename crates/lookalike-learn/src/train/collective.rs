//! What lies between encoding and comparing, and between a gradient and a step, where several processes share a run. Each hands on
//! what it has and gets what all have.

use super::optimizer::NamedGradients;
use crate::method::Outputs;

/// The processes of a run.
pub trait Collective: Send {
    /// The outputs of all, gradient passing back to those of this process.
    fn gather(&self, local: &Outputs) -> Outputs;

    /// The mean of the gradients of all.
    fn mean(&self, gradients: NamedGradients) -> NamedGradients;
}

/// The only process of a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Collective for Alone {
    fn gather(&self, local: &Outputs) -> Outputs {
        local.clone()
    }

    fn mean(&self, gradients: NamedGradients) -> NamedGradients {
        gradients
    }
}
