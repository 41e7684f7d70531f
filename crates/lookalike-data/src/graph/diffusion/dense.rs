//! Diffusions of small graphs, exactly.

use super::{Diffusion, DiffusionOptions, Row};
use crate::error::DataError;
use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, Side};
use lookalike_kernels::sparse::Csr;

/// S by a solution or by eigenvalues, in `f64`.
pub(super) fn exact(edges: &Csr, degrees: &[f64], options: &DiffusionOptions) -> Result<Vec<Row>, DataError> {
    let nodes = edges.len();
    if nodes == 0 {
        return Ok(Vec::new());
    }
    let failed =
        |what: &str| DataError::Graph { problem: format!("the {what} of a graph of {nodes} nodes failed") };
    let mut normalized = Mat::<f64>::zeros(nodes, nodes);
    for node in 0..nodes {
        normalized[(node, node)] = 1.0 / degrees[node];
        for to in edges.row(node) {
            let to = *to as usize;
            normalized[(node, to)] = 1.0 / (degrees[node] * degrees[to]).sqrt();
        }
    }
    let diffused = match options.kind {
        Diffusion::Ppr { alpha } => {
            let identity = Mat::<f64>::identity(nodes, nodes);
            let system = &identity - faer::Scale(1.0 - alpha) * &normalized;
            let solver =
                Llt::new(system.as_ref(), Side::Lower).map_err(|_| failed("Cholesky decomposition"))?;
            faer::Scale(alpha) * solver.solve(&identity)
        }
        Diffusion::Heat { time } => {
            let eigen =
                normalized.self_adjoint_eigen(Side::Lower).map_err(|_| failed("eigendecomposition"))?;
            let (values, vectors) = (eigen.S().column_vector(), eigen.U());
            let scaled =
                Mat::from_fn(nodes, nodes, |i, j| vectors[(i, j)] * (time * (values[j] - 1.0)).exp());
            &scaled * vectors.transpose()
        }
    };
    let row = |node| Row::kept(node, (0..nodes).map(|to| diffused[(node, to)]), degrees, options.epsilon);
    Ok((0..nodes).map(row).collect())
}

/// exp(t ((A + I) D⁻¹ − 1)), entry by entry; the share lost is that of the row's own sum.
pub(super) fn published_heat(edges: &Csr, degrees: &[f64], time: f64, epsilon: f64) -> Vec<Row> {
    let nodes = edges.len();
    let row = |node: usize| {
        let mut values = vec![(-time).exp(); nodes];
        for to in edges.row(node).iter().map(|to| *to as usize).chain([node]) {
            values[to] = (time * (1.0 / degrees[to] - 1.0)).exp();
        }
        let total: f64 = values.iter().sum();
        let kept = || values.iter().enumerate().filter(|(_, value)| **value >= epsilon);
        let mass: f64 = kept().map(|(_, value)| value).sum();
        let entries = kept().map(|(to, value)| (to as u32, *value as f32)).collect();
        Row { entries, lost: (1.0 - mass / total).max(0.0) }
    };
    (0..nodes).map(row).collect()
}
