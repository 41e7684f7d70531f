//! Heads: what stands between an encoder's representation and the loss, and is thrown away afterwards.

pub mod clusters;
pub mod masked;
pub mod projection;
pub mod tanh;

use dyn_clone::DynClone;

use crate::engine::Tensor;
use crate::layer::Linear;
use crate::module::{Module, Pass, Visitor};

pub use clusters::ClusterHead;
pub use masked::{MaskedHead, Told};
pub use projection::{HeadNorm, Projection, ProjectionOptions};
pub use tanh::TanhLayer;

/// What the loss sees of a representation.
pub trait Head: Module + DynClone + Send {
    /// # Shapes
    /// `[N, representation's dimension]` → `[N, head's dimension]`, not normalised.
    fn forward(&mut self, input: Tensor<2>, pass: &Pass) -> Tensor<2>;
}

dyn_clone::clone_trait_object!(Head);

/// Logits of classes.
impl Head for Linear {
    fn forward(&mut self, input: Tensor<2>, pass: &Pass) -> Tensor<2> {
        Linear::forward(self, input, pass)
    }
}

impl Head for Projection {
    fn forward(&mut self, input: Tensor<2>, pass: &Pass) -> Tensor<2> {
        Projection::forward(self, input, pass)
    }
}

/// The first coordinates of a representation, as many as said: [DirectCLR](crate::method::direct_clr), which has no head; all of
/// them under a [classifier](crate::method::supervised).
#[derive(Debug, Clone, Copy)]
pub struct Leading(pub usize);

impl Head for Leading {
    fn forward(&mut self, input: Tensor<2>, _: &Pass) -> Tensor<2> {
        input.narrow(1, 0, self.0)
    }
}

impl Module for Leading {
    fn visit(&mut self, _: &mut Visitor<'_>) {}
}
