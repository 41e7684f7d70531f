//! Heads: what stands between an encoder's representation and the loss, and is thrown away afterwards.

pub mod projection;

pub use projection::{HeadNorm, Projection, ProjectionOptions};
