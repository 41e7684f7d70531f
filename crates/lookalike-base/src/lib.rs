//! What all of Lookalike shares, and nothing else: named random streams, row-major matrices, array files,
//! atomic writes, progress and cancellation.

pub mod matrix;
pub mod stream;

pub use matrix::{Matrix, MatrixError, Rows};
pub use stream::{Seed, Stream};
