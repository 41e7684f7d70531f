#![doc = include_str!("../README.md")]

pub mod arrays;
pub mod atomic;
mod bytes;
pub mod encoded;
mod error;
pub mod files;
pub mod foreign;
pub mod hash;
pub mod lock;
pub mod mapped;
pub mod matrix;
pub mod npy;
#[cfg(feature = "safetensors")]
pub mod pickle;
pub mod progress;
pub mod ranks;
pub mod source;
pub mod stream;
pub mod tensorboard;
#[cfg(feature = "safetensors")]
pub mod tensors;
pub mod words;

pub use arrays::{Array, Arrays, Values};
pub use encoded::{Element, EncodedRows};
pub use error::ArrayFileError;
pub use files::FileRows;
pub use mapped::MappedRows;
pub use matrix::{Matrix, MatrixError, Rows};
pub use progress::{Cancellation, Progress, ProgressDisplay, Silent, Watch};
pub use ranks::{Alone, Ranks, RanksError};
pub use source::RowSource;
pub use stream::{Seed, Stream};
