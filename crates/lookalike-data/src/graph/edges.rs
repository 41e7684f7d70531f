//! From the edges that files list to undirected graphs without duplicates.

use crate::error::DataError;
use lookalike_kernels::sparse::Csr;

/// How many listed edges were not as in an undirected graph that lists each edge once in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct EdgeRepairs {
    listed: usize,
    duplicates: usize,
    self_loops: usize,
    one_way: usize,
}

impl EdgeRepairs {
    /// What a user should know about the edges of `name`.
    pub(super) fn warnings(self, name: &str) -> Vec<String> {
        let duplicates = (self.duplicates > 0).then(|| {
            format!(
                "{name} lists {} edges, {} of them more than once; each counts once",
                self.listed, self.duplicates
            )
        });
        let self_loops = (self.self_loops > 0).then(|| {
            format!("{name} lists {} edges from a node to itself, which are left out", self.self_loops)
        });
        let one_way = (self.one_way > 0).then(|| {
            format!("{name} lists {} edges in one direction only; each counts in both", self.one_way)
        });
        [duplicates, self_loops, one_way].into_iter().flatten().collect()
    }
}

/// The undirected graph of `nodes` nodes with the edges listed. Each edge must join two of the nodes.
pub(super) fn undirected(nodes: usize, listed: &[(u32, u32)]) -> Result<(Csr, EdgeRepairs), DataError> {
    let mut repairs = EdgeRepairs { listed: listed.len(), ..EdgeRepairs::default() };
    let (offsets, mut columns) = rows_of(nodes, listed);
    repairs.self_loops = listed.len() - columns.len();
    let (offsets, kept) = deduplicate(&offsets, &mut columns);
    repairs.duplicates = columns.len() - kept;
    columns.truncate(kept);
    let edges = Csr::new(offsets, columns, None, nodes).map_err(DataError::graph)?;
    let reversed = edges.transpose();
    if edges == reversed {
        return Ok((edges, repairs));
    }
    let both = union(&edges, &reversed)?;
    repairs.one_way = both.entries() - kept;
    Ok((both, repairs))
}

/// The ends of the edges from each node in the order listed, self-loops left out: offsets and columns of a
/// matrix.
fn rows_of(nodes: usize, listed: &[(u32, u32)]) -> (Vec<usize>, Vec<u32>) {
    let mut next = vec![0; nodes + 1];
    for (from, to) in listed {
        next[*from as usize + 1] += usize::from(from != to);
    }
    (0..nodes).for_each(|node| next[node + 1] += next[node]);
    let mut columns = vec![0; next[nodes]];
    let offsets = next.clone();
    for (from, to) in listed.iter().filter(|(from, to)| from != to) {
        columns[next[*from as usize]] = *to;
        next[*from as usize] += 1;
    }
    (offsets, columns)
}

/// Sorts each row and moves its distinct columns to the front: the new offsets, and how many columns are
/// left.
fn deduplicate(rows: &[usize], columns: &mut [u32]) -> (Vec<usize>, usize) {
    let (mut offsets, mut kept) = (vec![0; rows.len()], 0);
    for (node, ends) in rows.windows(2).enumerate() {
        columns[ends[0]..ends[1]].sort_unstable();
        let first = kept;
        for at in ends[0]..ends[1] {
            if kept == first || columns[kept - 1] != columns[at] {
                columns[kept] = columns[at];
                kept += 1;
            }
        }
        offsets[node + 1] = kept;
    }
    (offsets, kept)
}

/// The entries that one of two square matrices has, row after row.
fn union(one: &Csr, other: &Csr) -> Result<Csr, DataError> {
    let (mut offsets, mut columns) = (vec![0], Vec::with_capacity(2 * one.entries()));
    for node in 0..one.len() {
        let first = columns.len();
        columns.extend_from_slice(one.row(node));
        columns.extend_from_slice(other.row(node));
        columns[first..].sort_unstable();
        let mut row = columns.split_off(first);
        row.dedup();
        columns.append(&mut row);
        offsets.push(columns.len());
    }
    Csr::new(offsets, columns, None, one.len()).map_err(DataError::graph)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_become_undirected_and_single_and_what_was_done_is_said() {
        let listed = [(0, 1), (1, 0), (1, 0), (2, 1), (2, 2), (3, 0)];
        let (edges, repairs) = undirected(5, &listed).unwrap();
        assert_eq!(edges.offsets(), [0, 2, 4, 5, 6, 6]);
        assert_eq!(edges.columns(), [1, 3, 0, 2, 1, 0]);
        assert_eq!(repairs, EdgeRepairs { listed: 6, duplicates: 1, self_loops: 1, one_way: 2 });
        let warnings = repairs.warnings("X");
        assert_eq!(warnings[0], "X lists 6 edges, 1 of them more than once; each counts once");
        assert_eq!(warnings.len(), 3);
    }
}
