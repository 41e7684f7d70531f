//! What an instance is: image data sets as bytes in memory or files on disk, and the registry that opens them by name.

pub mod augment;
mod bounded;
pub mod check;
pub mod cifar;
pub mod dataset;
pub mod download;
pub mod error;
pub mod folder;
pub mod glyphs;
pub mod graphs;
pub mod idx;
pub mod known;
pub mod loader;
pub mod memory;
pub mod registry;
pub mod views;

pub use check::{FileCheck, Verdict, check};
pub use dataset::{Image, ImageDataset, Split};
pub use error::DataError;
pub use known::{KnownFile, known_files};
pub use loader::{BatchRequest, BatchSource, Loader, LoaderOptions};
pub use registry::{DataOptions, DatasetInfo, list, open};
pub use views::{ImageBatch, ImageViews, PlainImages, ViewBatch, Views};
