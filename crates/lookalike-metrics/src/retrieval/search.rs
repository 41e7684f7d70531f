//! Exact search by cosine.

use lookalike_base::{Matrix, Watch};
use lookalike_kernels::{KernelError, top_k};

use super::{Ranking, check_ids};
use crate::check;
use crate::error::MetricError;

/// For each query the `k` documents of greatest cosine similarity, best first; all documents where there are fewer.
///
/// Every document is compared with every query. Cosines that are equal as `f32` go to the greater id, in the order and
/// at the cut-off too: documents are handed to the kernel by descending id, and it prefers the earlier of two. Equal
/// rows have equal cosines, so of two copies of a document the one that `trec_eval` ranks first is never lost. Rows of
/// zeros have similarity 0 to everything. Beside the results the search needs two copies of the documents.
///
/// # Shapes
/// `queries` Q×d, `documents` N×d with N distinct `ids`; Q rankings of min(`k`, N) hits.
///
/// # Errors
/// [`MetricError::Undefined`] without documents; [`MetricError::Cancelled`] where `watch` stopped the work; other
/// variants where the inputs do not fit each other, a value is not finite, two ids are equal or `k` is 0.
pub fn search(
    queries: &Matrix,
    documents: &Matrix,
    ids: &[String],
    k: usize,
    watch: Watch<'_>,
) -> Result<Vec<Ranking>, MetricError> {
    if k == 0 {
        return Err(MetricError::option("k", &k, "at least 1"));
    }
    check::same_dimensions("queries", queries.rows(), "documents", documents.rows())?;
    check_ids(ids, documents.len())?;
    if documents.is_empty() {
        return Err(MetricError::undefined("a search", "there are no documents"));
    }
    check::finite("documents", documents.rows())?;
    let queries = check::normalized("queries", queries.rows())?;
    let mut order: Vec<u32> = (0..documents.len() as u32).collect();
    order.sort_unstable_by(|first, second| ids[*second as usize].cmp(&ids[*first as usize]));
    let (k, columns) = (k.min(documents.len()), documents.columns());
    let values = order.iter().flat_map(|document| documents.row(*document as usize)).copied().collect();
    let mut documents =
        Matrix::new(values, columns).map_err(|problem| MetricError::Values { what: "documents", problem })?;
    documents.normalize_rows();
    let stop = || watch.is_cancelled();
    let best = match top_k(queries.rows().values(), documents.rows().values(), columns, k, false, &stop) {
        Err(KernelError::Cancelled) => return Err(MetricError::Cancelled),
        best => best?,
    };
    let rows = best.indices.chunks(k).zip(best.similarities.chunks(k));
    let hits = |(places, similarities): (&[u32], &[f32])| {
        let documents = places.iter().map(|place| order[*place as usize]);
        Ranking { hits: documents.zip(similarities.iter().copied()).collect() }
    };
    Ok(rows.map(hits).collect())
}

#[cfg(test)]
mod tests {
    use lookalike_base::Cancellation;

    use super::*;

    fn matrix(values: &[f32]) -> Matrix {
        Matrix::new(values.to_vec(), 2).unwrap()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn documents(rankings: &[Ranking]) -> Vec<Vec<u32>> {
        rankings.iter().map(|ranking| ranking.hits.iter().map(|(document, _)| *document).collect()).collect()
    }

    #[test]
    fn the_nearest_come_first_whatever_their_length() {
        let found = search(
            &matrix(&[0.0, 2.0, 1.0, 0.1]),
            &matrix(&[9.0, 0.0, 0.0, 0.1, 1.0, 1.0]),
            &names(&["a", "b", "c"]),
            2,
            Watch::default(),
        )
        .unwrap();
        assert_eq!(documents(&found), [[1, 2], [0, 2]]);
        assert_eq!(found[0].hits[0].1, 1.0);
        assert!((found[0].hits[1].1 - 0.5_f32.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn of_copies_the_greatest_ids_survive_the_cut() {
        // 300 copies of three rows, over several tiles of the kernel; ids are in no order of their own.
        let rows = [[0.3, 0.7], [0.7, 0.31], [-0.2, 0.9]];
        let values: Vec<f32> = (0..300).flat_map(|row| rows[row % 3]).collect();
        let ids: Vec<String> = (0..300).map(|row| format!("d{}", row * 7919 % 1000)).collect();
        let found = search(&matrix(&[0.31, 0.7]), &matrix(&values), &ids, 30, Watch::default()).unwrap();
        let mut copies: Vec<u32> = (0..300).step_by(3).collect();
        copies.sort_by(|first, second| ids[*second as usize].cmp(&ids[*first as usize]));
        assert_eq!(documents(&found), [&copies[..30]]);
    }

    #[test]
    fn inputs_that_do_not_fit_are_named() {
        let rows = matrix(&[1.0, 0.0, 0.0, 1.0]);
        let error = |documents: &Matrix, ids: &[&str], k| {
            search(&rows, documents, &names(ids), k, Watch::default()).unwrap_err().to_string()
        };
        assert!(error(&rows, &["a", "b"], 0).contains("k is 0"));
        assert!(error(&rows, &["a"], 1).contains("there are 1 ids, but 2 are needed"));
        assert!(error(&rows, &["a", "a"], 1).contains("id 1: a is that of document 0 already"));
        assert!(error(&matrix(&[]), &[], 1).contains("there are no documents"));
        assert!(error(&matrix(&[1.0, f32::NAN]), &["a"], 1).contains("documents: row 0, column 1"));
        assert!(error(&Matrix::new(vec![1.0; 3], 3).unwrap(), &["a"], 1).contains("have 3"));
        let flag = Cancellation::new();
        flag.cancel();
        let stopped = search(&rows, &rows, &names(&["a", "b"]), 1, Watch::silent(&flag));
        assert_eq!(stopped, Err(MetricError::Cancelled));
        let none = search(&matrix(&[]), &rows, &names(&["a", "b"]), 1, Watch::default());
        assert_eq!(none, Ok(Vec::new()));
    }
}
