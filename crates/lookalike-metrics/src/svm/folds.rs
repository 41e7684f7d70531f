//! Stratified folds: each has about the same share of every class.

use lookalike_base::Seed;

use crate::error::MetricError;

/// For each row the fold that tests it. Folds get the rows of a class in equal numbers, up to one; the spare ones go to
/// different folds, so that a class with fewer rows than folds is tested by some of them alone. Without `seed` they follow the order of
/// the rows, with it they are drawn. This is the allocation of scikit-learn's `StratifiedKFold`, and without a seed the very same folds.
///
/// # Errors
/// [`MetricError::Option`] below two folds; [`MetricError::Undefined`] for fewer rows than folds, or where every class has fewer
/// rows than folds; [`MetricError::Label`] for a label not below `classes`.
pub fn stratified_folds(
    labels: &[u32],
    classes: usize,
    folds: usize,
    seed: Option<Seed>,
) -> Result<Vec<u32>, MetricError> {
    const SCORE: &str = "cross-validated accuracy";
    if folds < 2 {
        return Err(MetricError::option("the number of folds", &folds, "at least 2"));
    }
    if let Some(row) = labels.iter().position(|label| *label as usize >= classes) {
        return Err(MetricError::Label { what: "rows", row, label: labels[row], classes });
    }
    if labels.len() < folds {
        let reason = format!("{folds} folds need as many rows, and there are {}", labels.len());
        return Err(MetricError::undefined(SCORE, reason));
    }
    let mut counts = vec![0_usize; classes];
    let mut order = Vec::new();
    for label in labels {
        if counts[*label as usize] == 0 {
            order.push(*label as usize);
        }
        counts[*label as usize] += 1;
    }
    if counts.iter().all(|count| *count < folds) {
        let most = counts.iter().max().copied().unwrap_or(0);
        let reason = format!(
            "no class has as many rows as there are folds, {folds}; the greatest has {most}; take fewer folds"
        );
        return Err(MetricError::undefined(SCORE, reason));
    }
    // Rows sorted by class are dealt to the folds in turn, classes in the order in which they first occur.
    let mut dealt = 0;
    let mut assigned = vec![Vec::new(); classes];
    for class in order {
        let mut shares = vec![0_usize; folds];
        (dealt..dealt + counts[class]).for_each(|card| shares[card % folds] += 1);
        dealt += counts[class];
        let own = &mut assigned[class];
        for (fold, share) in shares.into_iter().enumerate() {
            own.extend(std::iter::repeat_n(fold as u32, share));
        }
        if let Some(seed) = seed {
            seed.stream("stratified folds", 0, 0, class as u64).shuffle(own);
        }
    }
    let mut next = vec![0; classes];
    let fold_of = labels.iter().map(|label| {
        let class = *label as usize;
        next[class] += 1;
        assigned[class][next[class] - 1]
    });
    Ok(fold_of.collect())
}
