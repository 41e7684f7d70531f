//! Images: data sets as bytes in memory or files on disk, the names they are opened by, and augmentations.

pub mod augment;
pub mod cifar;
pub mod dataset;
#[cfg(feature = "folder")]
pub mod folder;
#[cfg(feature = "glyphs")]
pub mod glyphs;
pub mod idx;
pub mod joined;
pub mod memory;
pub mod registry;
#[cfg(feature = "folder")]
pub mod segmented;
pub mod subset;
pub mod views;
