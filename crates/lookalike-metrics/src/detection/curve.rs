//! Precision over recall, and the two ways to one number.

use super::matching::Verdict;

/// Recall and precision after each detection, the surest first.
pub(super) struct Curve {
    recall: Vec<f64>,
    precision: Vec<f64>,
}

impl Curve {
    /// Of the verdicts on all detections, where `to_find` boxes are to be found.
    pub(super) fn new(verdicts: &[Verdict], to_find: usize) -> Self {
        let (mut right, mut wrong) = (0_usize, 0_usize);
        let (mut recall, mut precision) = (Vec::new(), Vec::new());
        for verdict in verdicts {
            right += usize::from(*verdict == Verdict::Right);
            wrong += usize::from(*verdict == Verdict::Wrong);
            recall.push(right as f64 / to_find as f64);
            precision.push(right as f64 / (right + wrong).max(1) as f64);
        }
        Self { recall, precision }
    }

    /// Mean over the recalls 0, 0.1, … 1 of the greatest precision at that recall or more.
    ///
    /// The recalls are multiples of the number nearest to 0.1, as in the published programs, of which three lie above the decimal
    /// fraction: 3 of 10 boxes found do not reach the recall of 0.30000000000000004.
    pub(super) fn eleven_points(&self) -> f64 {
        let greatest = |point: f64| {
            let reached = self.recall.iter().zip(&self.precision).filter(|(recall, _)| **recall >= point);
            reached.map(|(_, precision)| *precision).fold(0.0, f64::max)
        };
        (0..=10).map(|tenth| greatest(f64::from(tenth) * 0.1)).sum::<f64>() / 11.0
    }

    /// Area under the precision at this recall or more.
    pub(super) fn all_points(&self) -> f64 {
        let (mut area, mut envelope) = (0.0, 0.0_f64);
        for at in (0..self.recall.len()).rev() {
            envelope = envelope.max(self.precision[at]);
            let before = if at == 0 { 0.0 } else { self.recall[at - 1] };
            area += (self.recall[at] - before) * envelope;
        }
        area
    }
}
