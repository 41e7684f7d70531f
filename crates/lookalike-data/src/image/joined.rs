//! Two data sets one behind the other, as one: what is clustered as published, where images to test on are learned from too.

use std::sync::Arc;

use super::dataset::{Image, ImageDataset};
use crate::error::DataError;

/// The images of two sets of the same classes; those of the second are numbered behind those of the first.
pub struct Joined {
    sets: [Arc<dyn ImageDataset>; 2],
    left_out: Vec<u32>,
}

impl Joined {
    /// Both sets, whose classes are the same.
    pub fn new(first: Arc<dyn ImageDataset>, second: Arc<dyn ImageDataset>) -> Self {
        let behind = first.len() as u32;
        let of_second = second.left_out().iter().map(|index| index + behind);
        let left_out = first.left_out().iter().copied().chain(of_second).collect();
        Self { sets: [first, second], left_out }
    }

    /// The set that `index` belongs to, and its number there.
    fn place(&self, index: u32) -> (&Arc<dyn ImageDataset>, u32) {
        let [first, second] = &self.sets;
        match index.checked_sub(first.len() as u32) {
            None => (first, index),
            Some(behind) => (second, behind),
        }
    }
}

impl ImageDataset for Joined {
    fn len(&self) -> usize {
        self.sets.iter().map(|set| set.len()).sum()
    }

    fn image(&self, index: u32) -> Result<Image<'_>, DataError> {
        if index as usize >= self.len() {
            return Err(DataError::Index { dataset: self.name(), index, len: self.len() });
        }
        let (set, place) = self.place(index);
        set.image(place)
    }

    fn label(&self, index: u32) -> Option<u32> {
        let (set, place) = self.place(index);
        set.label(place)
    }

    fn classes(&self) -> &[String] {
        self.sets.iter().map(|set| set.classes()).find(|classes| !classes.is_empty()).unwrap_or_default()
    }

    fn left_out(&self) -> &[u32] {
        &self.left_out
    }

    fn instance_name(&self, index: u32) -> Option<String> {
        let (set, place) = self.place(index);
        set.instance_name(place)
    }

    fn name(&self) -> String {
        let [first, second] = &self.sets;
        format!("{} and {}", first.name(), second.name())
    }

    fn fingerprint(&self) -> Result<String, DataError> {
        let [first, second] = &self.sets;
        Ok(format!("{} and {}", first.fingerprint()?, second.fingerprint()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::memory::{InMemory, PixelFormat};

    fn set(name: &str, pixels: &[u8]) -> Arc<dyn ImageDataset> {
        let labels = pixels.iter().map(|pixel| pixel % 2).collect();
        let classes = ["even", "odd"].map(str::to_owned).to_vec();
        Arc::new(InMemory::new(name.to_owned(), (1, 1), PixelFormat::Gray, pixels.to_vec(), labels, classes))
    }

    #[test]
    fn images_of_the_second_set_stand_behind_those_of_the_first() {
        let joined = Joined::new(set("a", &[1, 2, 3]), set("b", &[8, 9]));
        assert_eq!((joined.len(), joined.name()), (5, "a and b".to_owned()));
        let pixels: Vec<u8> = (0..5).map(|index| joined.image(index).unwrap().pixels[0]).collect();
        let labels: Vec<Option<u32>> = (0..6).map(|index| joined.label(index)).collect();
        assert_eq!(pixels, [1, 2, 3, 8, 9]);
        assert_eq!(labels, [Some(1), Some(0), Some(1), Some(0), Some(1), None]);
        assert!(joined.image(5).is_err());
        assert_eq!(joined.classes(), ["even", "odd"]);
        assert!(joined.fingerprint().unwrap().contains(&set("b", &[8, 9]).fingerprint().unwrap()));
    }
}
