//! What an instance is: images and graphs as they are published or as files on disk, their views, and the loader that
//! makes batches of them.

mod bounded;
pub mod download;
pub mod error;
pub mod graph;
pub mod image;
pub mod loader;
pub mod views;

pub use download::check::{FileCheck, Verdict, check};
pub use download::known::{KnownFile, known_files};
pub use error::DataError;
pub use image::dataset::{Image, ImageDataset, Split};
pub use image::registry::{DataOptions, DatasetInfo, list, open};
pub use loader::{BatchRequest, BatchSource, Loader, LoaderOptions};
pub use views::{ImageBatch, ImageViews, PlainImages, ViewBatch, Views};
