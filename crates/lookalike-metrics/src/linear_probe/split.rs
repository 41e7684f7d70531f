//! Which train rows keep their label, and on which of these the learning rate is chosen.

use super::{ProbeOptions, SCORE};
use crate::error::MetricError;

/// The labelled rows, in ascending order: all, or `labels_per_class` of each class that occurs.
pub(super) fn labelled(
    labels: &[u32],
    classes: usize,
    options: &ProbeOptions,
) -> Result<Vec<u32>, MetricError> {
    let Some(amount) = options.labels_per_class else {
        return Ok((0..labels.len() as u32).collect());
    };
    let mut chosen = Vec::new();
    for (class, mut rows) in by_class(labels, classes, 0..labels.len() as u32).into_iter().enumerate() {
        if !rows.is_empty() && rows.len() < amount {
            let reason =
                format!("class {class} has {} train rows, fewer than {amount} labels a class", rows.len());
            return Err(MetricError::undefined(SCORE, reason));
        }
        options.seed.stream("probe labels", 0, 0, class as u64).shuffle(&mut rows);
        chosen.extend(rows.into_iter().take(amount));
    }
    chosen.sort_unstable();
    Ok(chosen)
}

/// Parts `rows` into those to fit and those held out, both ascending. Of each class with two rows or more the held-out
/// share is drawn, at least one and never all.
pub(super) fn hold_out(
    rows: &[u32],
    labels: &[u32],
    classes: usize,
    options: &ProbeOptions,
) -> Result<(Vec<u32>, Vec<u32>), MetricError> {
    let (mut fitted, mut held_out) = (Vec::new(), Vec::new());
    for (class, mut rows) in by_class(labels, classes, rows.iter().copied()).into_iter().enumerate() {
        options.seed.stream("probe held out", 0, 0, class as u64).shuffle(&mut rows);
        let most = rows.len().saturating_sub(1);
        let amount = ((rows.len() as f64 * options.held_out).round() as usize).clamp(most.min(1), most);
        fitted.extend_from_slice(&rows[amount..]);
        held_out.extend_from_slice(&rows[..amount]);
    }
    if held_out.is_empty() {
        return Err(MetricError::undefined(
            SCORE,
            "no class has two train rows, one of them to choose the rate",
        ));
    }
    fitted.sort_unstable();
    held_out.sort_unstable();
    Ok((fitted, held_out))
}

fn by_class(labels: &[u32], classes: usize, rows: impl Iterator<Item = u32>) -> Vec<Vec<u32>> {
    let mut groups = vec![Vec::new(); classes];
    for row in rows {
        groups[labels[row as usize] as usize].push(row);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_labels_of_each_class_are_kept() {
        let labels: Vec<u32> = (0..100).map(|row| row % 3).collect();
        let options = ProbeOptions { labels_per_class: Some(7), ..ProbeOptions::default() };
        // Class 3 never occurs: there is nothing to draw, and nothing wrong.
        let rows = labelled(&labels, 4, &options).unwrap();
        for class in 0..3 {
            assert_eq!(rows.iter().filter(|row| labels[**row as usize] == class).count(), 7);
        }
        assert_eq!(rows.len(), 21);
        let too_many = ProbeOptions { labels_per_class: Some(34), ..options };
        assert!(labelled(&labels, 4, &too_many).unwrap_err().to_string().contains("class 1 has 33"));
    }

    #[test]
    fn every_class_is_both_fitted_and_held_out() {
        let labels = [vec![0; 50], vec![1; 2], vec![2; 1]].concat();
        let rows: Vec<u32> = (0..53).collect();
        let (fitted, held_out) = hold_out(&rows, &labels, 3, &ProbeOptions::default()).unwrap();
        let count = |rows: &[u32], class| rows.iter().filter(|row| labels[**row as usize] == class).count();
        assert_eq!([0, 1, 2].map(|class| count(&fitted, class)), [40, 1, 1]);
        assert_eq!([0, 1, 2].map(|class| count(&held_out, class)), [10, 1, 0]);
        let mut all = [fitted, held_out].concat();
        all.sort_unstable();
        assert_eq!(all, rows);
    }

    #[test]
    fn one_row_a_class_leaves_nothing_to_hold_out() {
        let result = hold_out(&[0, 1], &[0, 1], 2, &ProbeOptions::default());
        assert!(matches!(result, Err(MetricError::Undefined { .. })));
    }
}
