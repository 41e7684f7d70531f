//! How often a pixel of one class is said to be of another, and the scores that are functions of it.

use serde::Serialize;

use super::{IGNORED, check_classes};
use crate::error::MetricError;

/// Pixels by true and predicted class, over as many images as are added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// Row by row, one a true class.
    counts: Vec<u64>,
}

/// What a [`Confusion`] comes to.
///
/// A class without a pixel in truth has no IoU and is no part of the means, even where it is predicted: the rule of detectron2. (Others
/// differ: where a class is predicted but absent, mmsegmentation counts it as 0.)
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SegmentationScores {
    /// Mean over the classes of intersection over union: pixels that are of a class and said to be, among those that are or are said to be.
    pub mean_iou: f64,
    /// The same class by class; `None` of classes without a pixel.
    pub iou: Vec<Option<f64>>,
    /// Share of pixels whose class is told rightly.
    pub accuracy: f64,
    /// The mean of that share over the classes.
    pub mean_accuracy: f64,
    /// Pixels that count.
    pub pixels: u64,
}

impl Confusion {
    /// A table of so many classes, without a pixel.
    ///
    /// # Errors
    /// [`MetricError::Option`] where `classes` is not from 1 to 255.
    pub fn new(classes: usize) -> Result<Self, MetricError> {
        check_classes(classes)?;
        Ok(Self { classes, counts: vec![0; classes * classes] })
    }

    /// Adds the pixels of an image; those whose true class is [`IGNORED`] count neither as true nor as predicted.
    ///
    /// # Shapes
    /// N classes and N predictions.
    ///
    /// # Errors
    /// [`MetricError::Length`] where there is not a prediction a pixel, [`MetricError::Label`] names the first class that is not below the
    /// number of classes. Nothing was added then.
    pub fn add(&mut self, truth: &[u8], predicted: &[u8]) -> Result<(), MetricError> {
        if truth.len() != predicted.len() {
            let (found, expected) = (predicted.len(), truth.len());
            return Err(MetricError::Length { what: "predictions", found, expected, of: "pixels" });
        }
        let classes = self.classes;
        let outside = |class: u8| usize::from(class) >= classes;
        let pairs = || truth.iter().zip(predicted).filter(|(truth, _)| **truth != IGNORED);
        let wrong = |(row, (truth, predicted)): (usize, (&u8, &u8))| {
            let name = |what, label: u8| MetricError::Label { what, row, label: label.into(), classes };
            match (outside(*truth), outside(*predicted)) {
                _ if *truth == IGNORED => None,
                (true, _) => Some(name("pixel", *truth)),
                (_, true) => Some(name("prediction", *predicted)),
                _ => None,
            }
        };
        if pairs().any(|(truth, predicted)| outside(*truth) || outside(*predicted)) {
            return truth.iter().zip(predicted).enumerate().find_map(wrong).map_or(Ok(()), Err);
        }
        for (truth, predicted) in pairs() {
            self.counts[usize::from(*truth) * classes + usize::from(*predicted)] += 1;
        }
        Ok(())
    }

    /// The pixels of each true class by predicted class.
    pub fn counts(&self) -> impl Iterator<Item = &[u64]> {
        self.counts.chunks_exact(self.classes)
    }

    /// What it comes to.
    ///
    /// # Errors
    /// [`MetricError::Undefined`] where no pixel counts.
    pub fn scores(&self) -> Result<SegmentationScores, MetricError> {
        let pixels: u64 = self.counts.iter().sum();
        if pixels == 0 {
            return Err(MetricError::undefined("mean IoU", "no pixel has a class"));
        }
        let truth: Vec<u64> = self.counts().map(|row| row.iter().sum()).collect();
        let right = |class: usize| self.counts[class * self.classes + class];
        let predicted = |class: usize| -> u64 { self.counts().map(|row| row[class]).sum() };
        let present = || (0..self.classes).filter(|class| truth[*class] > 0);
        let iou = |class: usize| {
            let union = truth[class] + predicted(class) - right(class);
            (truth[class] > 0).then(|| right(class) as f64 / union as f64)
        };
        let iou: Vec<Option<f64>> = (0..self.classes).map(iou).collect();
        let count = present().count() as f64;
        Ok(SegmentationScores {
            mean_iou: iou.iter().flatten().sum::<f64>() / count,
            accuracy: present().map(right).sum::<u64>() as f64 / pixels as f64,
            mean_accuracy: present().map(|class| right(class) as f64 / truth[class] as f64).sum::<f64>()
                / count,
            iou,
            pixels,
        })
    }
}
