//! Average precision of detections by the rules of PASCAL VOC (Everingham et al. 2010, section 4.2), class by class over the whole set.
//!
//! The rules differ from COCO's, and what they say is easily got wrong:
//!
//! - Coordinates are inclusive pixels, so that a box is xmax − xmin + 1 wide.
//! - A detection belongs to the ground truth of its class and image that it overlaps most, whether another detection has taken it or
//!   not. It is right where that overlap is strictly above the threshold and nobody has taken the box; it is wrong where somebody has,
//!   even if another box that is free would have been overlapped enough.
//! - A detection of a difficult box is neither right nor wrong, and difficult boxes are no part of the recall's denominator.
//! - "11 points" (VOC 2007) is the mean of the greatest precision at a recall of at least 0, 0.1, … 1; "all points" (from 2010 on) is
//!   the area under the precision made monotone.
//!
//! Detections of one score are taken in the order in which they were given; published programs leave their order to the sorting.

mod curve;
mod matching;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::MetricError;
use curve::Curve;

/// The overlaps that a detection must exceed: those of COCO, .50 to .95.
pub const THRESHOLDS: [f64; 10] = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95];

/// The greatest coordinate of a box. Beyond it areas would lose pixels.
const FARTHEST: f64 = 1e9;

const SCORE: &str = "average precision";

/// What is to be found: a box, its image and class each.
///
/// Boxes are xmin, ymin, xmax, ymax in pixels, all four inclusive; whether pixels are counted from 0 or from 1 does not matter, as long
/// as detections do the same.
#[derive(Debug, Clone, Copy)]
pub struct GroundTruth<'a> {
    /// The image of each box.
    pub images: &'a [u32],
    /// The class of each box.
    pub classes: &'a [u32],
    /// The boxes.
    pub boxes: &'a [[f64; 4]],
    /// Whether a box is difficult: then it counts neither for nor against a detector.
    pub difficult: &'a [bool],
}

/// What was found: a box, its image, class and score each, in any order.
#[derive(Debug, Clone, Copy)]
pub struct Detections<'a> {
    /// The image of each detection.
    pub images: &'a [u32],
    /// The class of each detection.
    pub classes: &'a [u32],
    /// How sure the detector is; greater is surer.
    pub scores: &'a [f64],
    /// The boxes, as in [`GroundTruth`].
    pub boxes: &'a [[f64; 4]],
}

/// Average precision at each of the [`THRESHOLDS`], and what is reported of it; each from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct VocAveragePrecision {
    /// Mean over the thresholds: what MoCo and MoCHi call AP on VOC. It is not COCO's AP.
    pub ap: f64,
    /// At an overlap above .5: VOC's own score.
    pub ap50: f64,
    /// At an overlap above .75.
    pub ap75: f64,
    /// At each of the [`THRESHOLDS`].
    pub thresholds: [f64; THRESHOLDS.len()],
}

impl VocAveragePrecision {
    fn of(thresholds: [f64; THRESHOLDS.len()]) -> Self {
        let ap = thresholds.iter().sum::<f64>() / thresholds.len() as f64;
        Self { ap, ap50: thresholds[0], ap75: thresholds[5], thresholds }
    }

    /// The mean over classes.
    fn mean(classes: &[Self]) -> Self {
        let mean = |at: usize| classes.iter().map(|class| class.thresholds[at]).sum::<f64>();
        Self::of(std::array::from_fn(|at| mean(at) / classes.len() as f64))
    }
}

/// One class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct VocClass {
    /// Its number.
    pub class: u32,
    /// Boxes that are to be found: those that are not difficult.
    pub boxes: usize,
    /// Difficult boxes.
    pub difficult: usize,
    /// Detections.
    pub detections: usize,
    /// Average precision by 11 points; `None` where there is no box to be found.
    pub eleven_points: Option<VocAveragePrecision>,
    /// The same by all points.
    pub all_points: Option<VocAveragePrecision>,
}

/// Average precision over a set of images.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VocScores {
    /// Mean over the classes by 11 points (VOC 2007).
    pub eleven_points: VocAveragePrecision,
    /// Mean over the classes by all points (VOC 2010 and later).
    pub all_points: VocAveragePrecision,
    /// Each class that occurs among ground truth or detections, by number. Those without a box to be found are no part of the means.
    pub classes: Vec<VocClass>,
}

/// Scores `detections` of the images 0 to `images` − 1 against `truth`.
///
/// # Shapes
/// G boxes of the ground truth and D detections, each with an entry in all of its slices.
///
/// # Errors
/// [`MetricError::Length`] where slices of one side differ in length; [`MetricError::Entry`] for a box that is NaN, beyond ±10⁹ or
/// of negative size (xmax < xmin or ymax < ymin), a score that is NaN, or an image that is not there; [`MetricError::Undefined`] where no
/// box is to be found.
///
/// ```
/// use lookalike_metrics::detection::{Detections, GroundTruth, voc_average_precision};
///
/// let boxes = [[1.0, 1.0, 10.0, 10.0], [21.0, 1.0, 30.0, 10.0]];
/// let truth = GroundTruth { images: &[0, 0], classes: &[3, 3], boxes: &boxes, difficult: &[false; 2] };
/// let found = Detections { images: &[0], classes: &[3], scores: &[0.9], boxes: &boxes[..1] };
/// let scores = voc_average_precision(truth, found, 1)?;
/// assert_eq!((scores.all_points.ap50, scores.eleven_points.ap50), (0.5, 6.0 / 11.0));
/// # Ok::<(), lookalike_metrics::MetricError>(())
/// ```
pub fn voc_average_precision(
    truth: GroundTruth<'_>,
    detections: Detections<'_>,
    images: usize,
) -> Result<VocScores, MetricError> {
    truth.check(images)?;
    detections.check(images)?;
    let mut members: BTreeMap<u32, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
    for (at, class) in truth.classes.iter().enumerate() {
        members.entry(*class).or_default().0.push(at);
    }
    for (at, class) in detections.classes.iter().enumerate() {
        members.entry(*class).or_default().1.push(at);
    }
    let scored = members.into_iter();
    let classes: Vec<VocClass> =
        scored.map(|(class, (boxes, found))| one_class(class, truth, &boxes, detections, found)).collect();
    let eleven: Vec<_> = classes.iter().filter_map(|class| class.eleven_points).collect();
    let all: Vec<_> = classes.iter().filter_map(|class| class.all_points).collect();
    if all.is_empty() {
        return Err(MetricError::undefined(SCORE, "there is no box to be found, or all are difficult"));
    }
    let (eleven_points, all_points) = (VocAveragePrecision::mean(&eleven), VocAveragePrecision::mean(&all));
    Ok(VocScores { eleven_points, all_points, classes })
}

/// Scores one class: the members of `truth` and of `detections` that are of it.
fn one_class(
    class: u32,
    truth: GroundTruth<'_>,
    boxes: &[usize],
    detections: Detections<'_>,
    mut found: Vec<usize>,
) -> VocClass {
    // Stable, so that equal scores keep the order in which they were given.
    found.sort_by(|a, b| detections.scores[*b].total_cmp(&detections.scores[*a]));
    let nearest = matching::nearest(truth, boxes, detections, &found);
    let difficult = boxes.iter().filter(|at| truth.difficult[**at]).count();
    let to_find = boxes.len() - difficult;
    let curves = THRESHOLDS.map(|threshold| {
        Curve::new(&matching::verdicts(&nearest, &truth.difficult_of(boxes), threshold), to_find)
    });
    let score = |of: fn(&Curve) -> f64| {
        (to_find > 0)
            .then(|| VocAveragePrecision::of(std::array::from_fn(|threshold| of(&curves[threshold]))))
    };
    VocClass {
        class,
        boxes: to_find,
        difficult,
        detections: found.len(),
        eleven_points: score(Curve::eleven_points),
        all_points: score(Curve::all_points),
    }
}

impl GroundTruth<'_> {
    fn check(&self, images: usize) -> Result<(), MetricError> {
        let of = "boxes of the ground truth";
        one_each("images", self.images.len(), self.boxes.len(), of)?;
        one_each("classes", self.classes.len(), self.boxes.len(), of)?;
        one_each("marks of difficult boxes", self.difficult.len(), self.boxes.len(), of)?;
        check_boxes("box", self.images, self.boxes, images)
    }

    fn difficult_of(&self, boxes: &[usize]) -> Vec<bool> {
        boxes.iter().map(|at| self.difficult[*at]).collect()
    }
}

impl Detections<'_> {
    fn check(&self, images: usize) -> Result<(), MetricError> {
        let of = "boxes of the detections";
        one_each("images", self.images.len(), self.boxes.len(), of)?;
        one_each("classes", self.classes.len(), self.boxes.len(), of)?;
        one_each("scores", self.scores.len(), self.boxes.len(), of)?;
        check_boxes("detection", self.images, self.boxes, images)?;
        match self.scores.iter().position(|score| score.is_nan()) {
            None => Ok(()),
            Some(at) => Err(MetricError::entry("detection", at, "its score is NaN; it must be a number")),
        }
    }
}

fn one_each(what: &'static str, found: usize, expected: usize, of: &'static str) -> Result<(), MetricError> {
    if found == expected { Ok(()) } else { Err(MetricError::Length { what, found, expected, of }) }
}

fn check_boxes(what: &'static str, of: &[u32], boxes: &[[f64; 4]], images: usize) -> Result<(), MetricError> {
    for (at, (image, corners)) in of.iter().zip(boxes).enumerate() {
        let problem = |problem: String| Err(MetricError::entry(what, at, problem));
        let [xmin, ymin, xmax, ymax] = *corners;
        if *image as usize >= images {
            return problem(format!("image {image} is not there; there are {images}, counted from 0"));
        }
        // NaN is in no range.
        if corners.iter().any(|value| !(-FARTHEST..=FARTHEST).contains(value)) {
            return problem(format!(
                "{corners:?} is no box in pixels; xmin, ymin, xmax and ymax must be numbers from -10⁹ to 10⁹"
            ));
        }
        if xmax < xmin || ymax < ymin {
            return problem(format!(
                "{corners:?} has a negative size; xmin ≤ xmax and ymin ≤ ymax are needed"
            ));
        }
    }
    Ok(())
}
