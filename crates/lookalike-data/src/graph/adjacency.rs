//! The adjacency matrix that graph convolutions multiply with.

use crate::error::DataError;
use lookalike_kernels::sparse::Csr;

/// Ã = D^(−1/2) (A + I) D^(−1/2), D being the degrees of A + I (Kipf and Welling 2017,
/// <https://arxiv.org/abs/1609.02907>, section 2.2), for edges that go both ways.
///
/// # Errors
/// [`DataError::Graph`] where `edges` are not square.
pub fn normalized(edges: &Csr) -> Result<Csr, DataError> {
    let root = |node: usize| {
        let own = edges.row(node).binary_search(&(node as u32)).is_err();
        ((edges.row(node).len() + usize::from(own)) as f64).sqrt()
    };
    if edges.len() != edges.width() {
        let problem =
            format!("the matrix of edges is {} × {}; it must be square", edges.len(), edges.width());
        return Err(DataError::Graph { problem });
    }
    let roots: Vec<f64> = (0..edges.len()).map(root).collect();
    let rows = (0..edges.len()).map(|node| {
        let roots = &roots;
        let entry = move |to: u32| (to, (1.0 / (roots[node] * roots[to as usize])) as f32);
        edges.row(node).iter().copied().chain([node as u32]).map(entry)
    });
    Csr::from_rows(rows, edges.len()).map_err(DataError::graph)
}
