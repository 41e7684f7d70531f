//! How right predicted classes are, over all instances and class by class.

use serde::Serialize;

use crate::error::MetricError;

/// What came of a classification.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Classified {
    /// Share of instances whose class was predicted, from 0 to 1.
    pub accuracy: f64,
    /// Mean over the classes that occur of the share of their instances whose class was predicted: what a rare class is worth as much
    /// as a frequent one in (scikit-learn's `balanced_accuracy_score`). One class predicted always gives 1 / classes.
    pub balanced: f64,
    /// For each class its instances, and how many of them were predicted rightly.
    pub classes: Vec<ClassCount>,
}

/// How many instances a class has, and how many of them were predicted rightly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ClassCount {
    /// Its instances.
    pub instances: usize,
    /// Those predicted rightly.
    pub right: usize,
}

impl ClassCount {
    /// Share predicted rightly; `None` without instances.
    pub fn accuracy(&self) -> Option<f64> {
        (self.instances > 0).then(|| self.right as f64 / self.instances as f64)
    }
}

impl Classified {
    /// Compares `predicted` classes with the true ones, which are below `classes`.
    ///
    /// # Errors
    /// [`MetricError::Undefined`] of no instances, [`MetricError::Length`] where there is not one prediction an instance,
    /// [`MetricError::Label`] for a true class not below `classes`.
    pub fn of(predicted: &[u32], truth: &[u32], classes: usize) -> Result<Self, MetricError> {
        if predicted.len() != truth.len() {
            let (found, expected) = (predicted.len(), truth.len());
            return Err(MetricError::Length { what: "predictions", found, expected, of: "instance" });
        }
        if truth.is_empty() {
            return Err(MetricError::undefined("accuracy", "there are no instances to score"));
        }
        let mut counts = vec![ClassCount::default(); classes];
        for (row, (predicted, label)) in predicted.iter().zip(truth).enumerate() {
            let unknown = || MetricError::Label { what: "instances", row, label: *label, classes };
            let count = counts.get_mut(*label as usize).ok_or_else(unknown)?;
            count.instances += 1;
            count.right += usize::from(predicted == label);
        }
        let shares: Vec<f64> = counts.iter().filter_map(ClassCount::accuracy).collect();
        let right: usize = counts.iter().map(|count| count.right).sum();
        Ok(Self {
            accuracy: right as f64 / truth.len() as f64,
            balanced: shares.iter().sum::<f64>() / shares.len() as f64,
            classes: counts,
        })
    }

    /// Whether the classes that occur have equally many instances, so that both accuracies are one.
    pub fn is_even(&self) -> bool {
        let mut sizes = self.classes.iter().map(|count| count.instances).filter(|instances| *instances > 0);
        let first = sizes.next();
        sizes.all(|size| Some(size) == first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From scikit-learn 1.9:
    /// `balanced_accuracy_score([0, 0, 0, 0, 1, 1, 3], [0, 0, 1, 0, 1, 0, 2])` is 0.4166666666666667, and
    /// `accuracy_score` of the same 0.5714285714285714.
    #[test]
    fn both_accuracies_are_those_of_scikit_learn() {
        let scored = Classified::of(&[0, 0, 1, 0, 1, 0, 2], &[0, 0, 0, 0, 1, 1, 3], 5).unwrap();
        assert!((scored.accuracy - 0.571_428_571_428_571_4).abs() < 1e-12);
        assert!((scored.balanced - 0.416_666_666_666_666_7).abs() < 1e-12);
        let counts: Vec<_> = scored.classes.iter().map(|count| (count.right, count.instances)).collect();
        assert_eq!(counts, [(3, 4), (1, 2), (0, 0), (0, 1), (0, 0)]);
        assert_eq!(scored.classes[2].accuracy(), None);
        assert!(!scored.is_even());
    }

    #[test]
    fn the_class_of_the_many_predicted_always_is_worth_one_class() {
        let truth = [vec![0; 20], vec![1]].concat();
        let scored = Classified::of(&[0; 21], &truth, 2).unwrap();
        assert!((scored.accuracy - 20.0 / 21.0).abs() < 1e-12);
        assert!((scored.balanced - 0.5).abs() < 1e-12);
        assert!(Classified::of(&[1, 0], &[0, 1], 4).unwrap().is_even());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(matches!(Classified::of(&[], &[], 2), Err(MetricError::Undefined { .. })));
        assert!(matches!(Classified::of(&[0], &[0, 1], 2), Err(MetricError::Length { .. })));
        assert!(matches!(Classified::of(&[0, 1], &[0, 2], 2), Err(MetricError::Label { label: 2, .. })));
    }
}
