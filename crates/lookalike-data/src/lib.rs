//! What an instance is: images and graphs as they are published or as files on disk, their views, and the loader that
//! makes batches of them.

mod bounded;
pub mod check;
pub mod download;
pub mod error;
pub mod graph;
pub mod image;
pub mod loader;
pub mod published;

pub use check::{FileCheck, Verdict, check};
pub use error::DataError;
pub use image::dataset::{Image, ImageDataset, Split};
pub use image::registry::{DataOptions, DatasetInfo, list, open};
pub use image::views::{ImageBatch, ImageViews, PlainImages, ViewBatch, Views};
pub use loader::{BatchRequest, BatchSource, Loader, LoaderOptions};
pub use published::{KnownFile, known_files};
