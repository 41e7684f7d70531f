//! The sets of images with masks that are known by name, in the folder that `LOOKALIKE_DATA` names.

#![expect(clippy::unwrap_used, reason = "a test may stop where a promise is broken")]

use lookalike_data::Split;
use lookalike_data::image::segmented::SegmentedSet;

#[path = "common/real_data.rs"]
mod real_data;

/// Reads all images to test on of a set, and says which classes their pixels have.
fn present(name: &str, folder: &str, images: [usize; 2]) -> Option<Vec<bool>> {
    let set = SegmentedSet::open(name, &real_data::folder(folder)?).unwrap();
    assert_eq!([Split::Train, Split::Test].map(|split| set.len(split)), images);
    let mut present = vec![false; set.classes().len()];
    for index in 0..set.len(Split::Test) {
        let read = set.read(Split::Test, index).unwrap();
        let classes = read.truth.iter().filter(|class| **class != 255);
        classes.for_each(|class| present[usize::from(*class)] = true);
    }
    Some(present)
}

#[test]
fn every_value_of_a_mask_of_nuclei_is_background_or_nucleus() {
    let Some(present) = present("nuclei", "nuclei", [119, 78]) else { return };
    assert_eq!(present, [true, true]);
}

#[test]
fn two_classes_of_voc_are_absent_in_coco_mini() {
    let Some(present) = present("coco-mini", "coco-mini", [70, 68]) else { return };
    let absent: Vec<usize> = (0..21).filter(|class| !present[*class]).collect();
    assert_eq!(absent, [10, 12]);
}

#[test]
fn persons_are_a_class_of_their_own() {
    let Some(present) = present("coco-mini-person", "coco-mini", [70, 68]) else { return };
    assert_eq!(present, [true, true]);
}
