//! Sets that are known by name.

use super::classes::{Classes, Rule};

/// A set with a layout of its own.
pub(super) struct Known {
    pub(super) name: &'static str,
    /// Its folder below `data.root`.
    pub(super) folder: &'static str,
    /// The folder of its masks.
    pub(super) masks: &'static str,
    names: &'static [&'static str],
    rule: fn() -> Rule,
}

impl Known {
    pub(super) fn classes(&self) -> Classes {
        Classes { names: self.names.iter().map(|name| (*name).to_owned()).collect(), rule: (self.rule)() }
    }
}

/// The classes of PASCAL VOC, in its order.
const VOC: [&str; 21] = [
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
];

/// `person` among them.
const PERSON: u8 = 15;

/// All of them.
pub(super) const KNOWN: &[Known] = &[
    // Masks number the nuclei of an image.
    Known {
        name: "nuclei",
        folder: "nuclei",
        masks: "instances",
        names: &["background", "nucleus"],
        rule: || Rule::Above0,
    },
    Known { name: "coco-mini", folder: "coco-mini", masks: "voc21", names: &VOC, rule: || Rule::Values },
    Known {
        name: "coco-mini-person",
        folder: "coco-mini",
        masks: "voc21",
        names: &["background", "person"],
        rule: || Rule::Only(PERSON),
    },
];
