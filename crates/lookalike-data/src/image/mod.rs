//! Images: data sets as bytes in memory or files on disk, the names they are opened by, and augmentations.

pub mod augment;
pub mod cifar;
pub mod dataset;
pub mod folder;
pub mod glyphs;
pub mod idx;
pub mod memory;
pub mod registry;
pub mod views;
