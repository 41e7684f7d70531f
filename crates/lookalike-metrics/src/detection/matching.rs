//! Which detections are right: each belongs to the ground truth that it overlaps most.

use std::collections::HashMap;

use super::{Detections, GroundTruth};

/// What a detection is at one threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It found a box that nobody had found.
    Right,
    /// It found nothing, or what was found already.
    Wrong,
    /// It found a difficult box.
    Neither,
}

/// Of each detection of `found`, the member of `boxes` in its image that it overlaps most, as a place in `boxes`, and by how much; of
/// equal overlaps the first. `None` where its image has no box of this class.
pub(super) fn nearest(
    truth: GroundTruth<'_>,
    boxes: &[usize],
    detections: Detections<'_>,
    found: &[usize],
) -> Vec<Option<(usize, f64)>> {
    let mut by_image: HashMap<u32, Vec<usize>> = HashMap::new();
    for (place, at) in boxes.iter().enumerate() {
        by_image.entry(truth.images[*at]).or_default().push(place);
    }
    let nearest = |at: &usize| {
        let mut best: Option<(usize, f64)> = None;
        for place in by_image.get(&detections.images[*at])? {
            let overlap = overlap(&truth.boxes[boxes[*place]], &detections.boxes[*at]);
            if best.is_none_or(|(_, most)| overlap > most) {
                best = Some((*place, overlap));
            }
        }
        best
    };
    found.iter().map(nearest).collect()
}

/// The verdict on each detection, the surest first, where an overlap must be above `threshold`.
pub(super) fn verdicts(nearest: &[Option<(usize, f64)>], difficult: &[bool], threshold: f64) -> Vec<Verdict> {
    let mut taken = vec![false; difficult.len()];
    let verdict = |nearest: &Option<(usize, f64)>| match *nearest {
        Some((place, overlap)) if overlap > threshold => {
            if difficult[place] {
                Verdict::Neither
            } else if std::mem::replace(&mut taken[place], true) {
                Verdict::Wrong
            } else {
                Verdict::Right
            }
        }
        _ => Verdict::Wrong,
    };
    nearest.iter().map(verdict).collect()
}

/// Intersection over union of two boxes whose corners are inclusive pixels.
pub(super) fn overlap(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    let area = |corners: &[f64; 4]| (corners[2] - corners[0] + 1.0) * (corners[3] - corners[1] + 1.0);
    let width = (a[2].min(b[2]) - a[0].max(b[0]) + 1.0).max(0.0);
    let height = (a[3].min(b[3]) - a[1].max(b[1]) + 1.0).max(0.0);
    let intersection = width * height;
    intersection / (area(a) + area(b) - intersection)
}
