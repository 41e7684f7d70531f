//! A share of the images split off for testing.

use super::{Found, UNLABELLED};
use lookalike_base::Seed;

/// The seed of the draw: it depends on nothing but the images, so that runs of all seeds are tested on the same.
const SEED: Seed = Seed(0);

/// Draws `share` of the images of each class for testing, rounded, of a class of two or more at least one and never all; images without
/// a class are drawn as one class. Returns what is left and what was drawn, both in their order.
pub(super) fn split(found: Found, share: f64) -> (Found, Found) {
    let Found { files, labels, classes, place, .. } = found;
    let label = |index: usize| labels.get(index).copied().unwrap_or(UNLABELLED);
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); classes.len() + 1];
    for index in 0..files.len() {
        members[(label(index) as usize).min(classes.len())].push(index);
    }
    let mut drawn = vec![false; files.len()];
    for (class, mut members) in members.into_iter().enumerate() {
        SEED.stream("share for testing", 0, 0, class as u64).shuffle(&mut members);
        let most = members.len().saturating_sub(1);
        let count = ((members.len() as f64 * share).round() as usize).clamp(most.min(1), most);
        members[..count].iter().for_each(|index| drawn[*index] = true);
    }
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
