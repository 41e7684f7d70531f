//! Heads: what stands between an encoder's representation and the loss, and is thrown away afterwards.

pub mod projection;

use crate::engine::Tensor;
use crate::module::{Module, Pass, Visitor};

pub use projection::{HeadNorm, Projection, ProjectionOptions};

/// What the loss sees of a representation.
#[derive(Debug, Clone)]
pub enum Head {
    /// A projection of it.
    Projection(Projection),
    /// Its first coordinates, as many as said: [DirectCLR](crate::method::direct_clr), which has no head; all of them under a
    /// [classifier](crate::method::supervised).
    Leading(usize),
}

impl From<Projection> for Head {
    fn from(projection: Projection) -> Self {
        Self::Projection(projection)
    }
}

impl Head {
    /// # Shapes
    /// `[N, representation's dimension]` → `[N, projection's dimension]` or `[N, coordinates]`, not normalised.
    pub fn forward(&mut self, input: Tensor<2>, pass: &Pass) -> Tensor<2> {
        match self {
            Self::Projection(projection) => projection.forward(input, pass),
            Self::Leading(coordinates) => input.narrow(1, 0, *coordinates),
        }
    }
}

impl Module for Head {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        if let Self::Projection(projection) = self {
            projection.visit(visitor);
        }
    }
}
