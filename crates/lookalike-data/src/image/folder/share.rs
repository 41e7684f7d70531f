//! A share of the images split off for testing.

use super::{Found, UNLABELLED};
use crate::image::subset::draw;

/// Draws `share` of the images of each class for testing, see [`draw`]: the same for every seed. Returns what is left and what was drawn,
/// both in their order.
pub(super) fn split(found: Found, share: f64) -> (Found, Found) {
    let Found { files, labels, classes, place, .. } = found;
    let label = |index: usize| labels.get(index).copied().filter(|label| *label != UNLABELLED);
    let drawn = draw((0..files.len()).map(label), classes.len(), share, "share for testing");
    let empty = || Found { classes: classes.clone(), place: place.clone(), ..Found::default() };
    let mut parts = [(); 2].map(|()| empty());
    for (index, file) in files.into_iter().enumerate() {
        let part = &mut parts[usize::from(drawn[index])];
        part.files.push(file);
        part.labels.extend(labels.get(index));
    }
    let [train, test] = parts;
    (train, test)
}
