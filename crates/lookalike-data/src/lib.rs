#![cfg_attr(all(feature = "glyphs", feature = "graphs", feature = "text"), doc = include_str!("../README.md"))]
#![cfg_attr(
    not(all(feature = "glyphs", feature = "graphs", feature = "text")),
    doc = "Data sets, augmentations, views and the loader; build with `--all-features` for the whole page."
)]

#[cfg(any(feature = "graphs", feature = "images", feature = "text"))]
mod bounded;
#[cfg(feature = "images")]
pub mod check;
#[cfg(any(feature = "graphs", feature = "images"))]
mod checksum;
#[cfg(feature = "download")]
pub mod download;
pub mod error;
#[cfg(feature = "graphs")]
pub mod graph;
#[cfg(feature = "images")]
pub mod image;
pub mod loader;
#[cfg(feature = "images")]
pub mod published;
pub mod shown;
#[cfg(feature = "text")]
pub mod text;
pub mod views;

#[cfg(feature = "images")]
pub use check::{Checked, FileCheck, Verdict, check};
pub use error::DataError;
#[cfg(feature = "images")]
pub use image::dataset::{Image, ImageDataset, Split};
#[cfg(feature = "images")]
pub use image::registry::{BothParts, DataOptions, DatasetInfo, list, open, open_both, open_kept};
#[cfg(feature = "images")]
pub use image::views::{ImageBatch, ImageViews, PlainImages};
pub use loader::{BatchRequest, BatchSource, Loader, LoaderOptions};
#[cfg(feature = "images")]
pub use published::{PublishedFile, published_files};
pub use shown::Shown;
pub use views::ViewBatch;
