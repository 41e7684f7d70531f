//! What an instance is: image data sets as bytes in memory or files on disk, and the registry that opens them by name.

pub mod dataset;
pub mod error;
pub mod registry;

pub use dataset::{Image, ImageDataset, Split};
pub use error::DataError;
pub use registry::{DataOptions, open};
