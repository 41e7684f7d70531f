//! The measures of one query, of the grades of its hits.

/// Normalised discounted cumulative gain of the first `k` hits, from 0 to 1 (Järvelin and Kekäläinen 2002; `trec_eval`'s
/// `ndcg_cut`). A document gains its grade, divided by log₂(rank + 1); the ideal ranking has all relevant documents,
/// the highest grade first.
///
/// # Shapes
/// `grades` has the grade of each hit, best hit first, 0 where it is not relevant; `relevant` the grades of all
/// relevant documents, found or not, in any order. Without any the value is 0.
pub fn ndcg(grades: &[u32], relevant: &[u32], k: usize) -> f64 {
    let mut ideal = relevant.to_vec();
    ideal.sort_unstable_by(|first, second| second.cmp(first));
    share(gain(grades, k), gain(&ideal, k))
}

/// Σ grade / log₂(rank + 1) over the first `k`.
fn gain(grades: &[u32], k: usize) -> f64 {
    let ranks = (1..=k).zip(grades);
    // An empty sum is −0.
    ranks.map(|(rank, grade)| f64::from(*grade) / (rank as f64 + 1.0).log2()).sum::<f64>() + 0.0
}

/// Average precision of the first `k` hits, from 0 to 1 (`trec_eval`'s `map` and `map_cut`): the precision at the rank of
/// each relevant hit, summed and divided by the number of all relevant documents, however small `k` is.
///
/// # Shapes
/// `grades` as for [`ndcg`]; `relevant` counts the relevant documents, found or not. Of 0 the value is 0.
pub fn average_precision(grades: &[u32], relevant: usize, k: usize) -> f64 {
    let mut found = 0.0;
    let mut sum = 0.0;
    for (rank, grade) in (1..=k).zip(grades) {
        if *grade > 0 {
            found += 1.0;
            sum += found / rank as f64;
        }
    }
    share(sum, relevant as f64)
}

/// 1 / rank of the first relevant hit, or 0 where none is among the first `k`. `grades` as for [`ndcg`].
pub fn reciprocal_rank(grades: &[u32], k: usize) -> f64 {
    let first = grades.iter().take(k).position(|grade| *grade > 0);
    first.map_or(0.0, |before| 1.0 / (before + 1) as f64)
}

/// Share of the relevant documents that is among the first `k` hits.
///
/// # Shapes
/// `grades` as for [`ndcg`]; `relevant` counts the relevant documents, found or not. Of 0 the value is 0.
pub fn recall(grades: &[u32], relevant: usize, k: usize) -> f64 {
    share(found(grades, k), relevant as f64)
}

/// Share of the first `k` places that hold a relevant document; places without a hit count too. `grades` as for
/// [`ndcg`]. With `k` 1 it is the accuracy of the first hit.
pub fn precision(grades: &[u32], k: usize) -> f64 {
    share(found(grades, k), k as f64)
}

/// Relevant documents among the first `k`.
fn found(grades: &[u32], k: usize) -> f64 {
    grades.iter().take(k).filter(|grade| **grade > 0).count() as f64
}

/// `part` / `whole`, and 0 of nothing.
fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_are_those_computed_by_hand() {
        // The second and fourth hit are relevant, and a document of grade 1 is not found.
        let (grades, relevant) = ([0, 1, 0, 3], [1, 3, 1]);
        let discounted = 1.0 / 3_f64.log2() + 3.0 / 5_f64.log2();
        let ideal = 3.0 + 1.0 / 3_f64.log2() + 0.5;
        assert!((ndcg(&grades, &relevant, 10) - discounted / ideal).abs() < 1e-15);
        assert!(
            (ndcg(&grades, &relevant, 2) - 1.0 / 3_f64.log2() / (3.0 + 1.0 / 3_f64.log2())).abs() < 1e-15
        );
        assert_eq!(average_precision(&grades, 3, 10), (0.5 + 0.5) / 3.0);
        assert_eq!(average_precision(&grades, 3, 2), 0.5 / 3.0);
        assert_eq!((reciprocal_rank(&grades, 10), reciprocal_rank(&grades, 1)), (0.5, 0.0));
        assert_eq!((recall(&grades, 3, 10), recall(&grades, 3, 3)), (2.0 / 3.0, 1.0 / 3.0));
        assert_eq!((precision(&grades, 2), precision(&grades, 10), precision(&grades, 1)), (0.5, 0.2, 0.0));
    }

    #[test]
    fn of_nothing_every_measure_is_zero() {
        for grades in [&[][..], &[0, 0]] {
            let found = [
                ndcg(grades, &[], 10),
                average_precision(grades, 0, 10),
                reciprocal_rank(grades, 10),
                recall(grades, 0, 10),
                precision(grades, 0),
            ];
            assert_eq!(found, [0.0; 5]);
        }
    }
}
