#![doc = include_str!("../README.md")]

pub mod arrays;
pub mod atomic;
mod bytes;
mod error;
pub mod hash;
pub mod mapped;
pub mod matrix;
pub mod npy;
pub mod progress;
pub mod source;
pub mod stream;
#[cfg(feature = "safetensors")]
pub mod tensors;

pub use arrays::{Array, Arrays, Values};
pub use error::ArrayFileError;
pub use mapped::MappedRows;
pub use matrix::{Matrix, MatrixError, Rows};
pub use progress::{Cancellation, Progress, ProgressDisplay, Silent, Watch};
pub use source::RowSource;
pub use stream::{Seed, Stream};
