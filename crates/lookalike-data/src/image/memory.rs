//! Images of one size, kept in memory as bytes: the form of glyphs, CIFAR and the MNIST family.

use crate::error::DataError;
use crate::image::dataset::{Image, ImageDataset};
use std::borrow::Cow;

/// How a pixel is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PixelFormat {
    /// One byte a pixel; [`ImageDataset::image`] repeats it as red, green and blue.
    Gray,
    /// Red, green, blue of each pixel, row after row.
    Rgb,
}

impl PixelFormat {
    /// Bytes a pixel.
    fn bytes(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb => 3,
        }
    }
}

/// A labelled set of equally large images. Grey images are stored as one byte a pixel and become RGB by
/// repetition when they are read; others are borrowed.
pub struct InMemory {
    name: String,
    size: (u32, u32),
    format: PixelFormat,
    pixels: Vec<u8>,
    labels: Vec<u8>,
    classes: Vec<String>,
}

impl InMemory {
    /// A set of one image of `size` (width, height) for each label. The caller makes sure that `pixels` holds
    /// exactly these images and that every label is an index into `classes`.
    pub(crate) fn new(
        name: String,
        size: (u32, u32),
        format: PixelFormat,
        pixels: Vec<u8>,
        labels: Vec<u8>,
        classes: Vec<String>,
    ) -> Self {
        let set = Self { name, size, format, pixels, labels, classes };
        debug_assert_eq!(set.pixels.len(), set.labels.len() * set.image_bytes());
        debug_assert!(set.labels.iter().all(|label| usize::from(*label) < set.classes.len()));
        set
    }

    fn image_bytes(&self) -> usize {
        self.size.0 as usize * self.size.1 as usize * self.format.bytes()
    }

    /// The labels of all instances, in order.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }
}

impl ImageDataset for InMemory {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn image(&self, index: u32) -> Result<Image<'_>, DataError> {
        if index as usize >= self.len() {
            return Err(DataError::Index { dataset: self.name(), index, len: self.len() });
        }
        let bytes = self.image_bytes();
        let stored = &self.pixels[index as usize * bytes..][..bytes];
        let pixels = match self.format {
            PixelFormat::Rgb => Cow::Borrowed(stored),
            PixelFormat::Gray => Cow::Owned(stored.iter().flat_map(|gray| [*gray; 3]).collect()),
        };
        Ok(Image { width: self.size.0, height: self.size.1, pixels })
    }

    fn label(&self, index: u32) -> Option<u32> {
        self.labels.get(index as usize).map(|label| u32::from(*label))
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_gray_images() -> InMemory {
        let classes = vec!["a".to_owned(), "b".to_owned()];
        InMemory::new(
            "small/train".to_owned(),
            (2, 1),
            PixelFormat::Gray,
            vec![1, 2, 3, 4],
            vec![0, 1],
            classes,
        )
    }

    #[test]
    fn gray_becomes_rgb_by_repetition() {
        let set = two_gray_images();
        let image = set.image(1).unwrap();
        assert_eq!((image.width, image.height, image.pixels.as_ref()), (2, 1, &[3, 3, 3, 4, 4, 4][..]));
    }

    #[test]
    fn an_instance_that_is_not_there_is_an_error_that_names_it() {
        let set = two_gray_images();
        let message = set.image(2).unwrap_err().to_string();
        assert_eq!(message, "small/train has 2 instances; index 2 is out of range");
        assert_eq!(set.label(2), None);
    }
}
