//! Diffusions of large graphs: Σₖ θₖ Ã^k up to a rest that is known, node after node, without a dense matrix.

use super::{Diffusion, DiffusionOptions, Row};
use crate::error::DataError;
use lookalike_base::Watch;
use lookalike_kernels::sparse::Csr;
use rayon::prelude::*;

/// Rows of S by the walk from each node: after k steps it is at j with the probability that entry j of e Pᵏ has,
/// P = D⁻¹ (A + I), and Sᵢⱼ = √(dᵢ / dⱼ) Σₖ θₖ (eᵢ Pᵏ)ⱼ.
/// `watch` counts rows, and is asked before each step of a walk.
pub(super) fn truncated(
    edges: &Csr,
    degrees: &[f64],
    options: &DiffusionOptions,
    watch: Watch<'_>,
) -> Result<Vec<Row>, DataError> {
    let rest = if options.epsilon > 0.0 { options.epsilon * 1e-3 } else { 1e-9 };
    let coefficients = coefficients(options.kind, rest);
    let scratch = || [(); 3].map(|()| vec![0.0; edges.len()]);
    let row = |[here, there, sum]: &mut [Vec<f64>; 3], node: usize| {
        here.fill(0.0);
        here[node] = 1.0;
        sum.fill(0.0);
        for (k, coefficient) in coefficients.iter().enumerate() {
            if watch.is_cancelled() {
                return Err(DataError::Stopped);
            }
            if k > 0 {
                step(edges, degrees, here, there);
                std::mem::swap(here, there);
            }
            sum.iter_mut().zip(here.iter()).for_each(|(sum, here)| *sum += coefficient * here);
        }
        watch.progress.advance(1);
        let values = sum.iter().zip(degrees).map(|(sum, degree)| sum * (degrees[node] / degree).sqrt());
        Ok(Row::kept(node, values, degrees, options.epsilon))
    };
    (0..edges.len()).into_par_iter().map_init(scratch, row).collect()
}

/// One step of the walk. What arrives at a node comes from its neighbours, as edges go both ways.
fn step(edges: &Csr, degrees: &[f64], here: &[f64], there: &mut [f64]) {
    for (node, arrived) in there.iter_mut().enumerate() {
        let leaving = |from: usize| here[from] / degrees[from];
        *arrived = leaving(node) + edges.row(node).iter().map(|from| leaving(*from as usize)).sum::<f64>();
    }
}

/// θ₀, θ₁, … until those that follow sum to `rest` at most.
fn coefficients(kind: Diffusion, rest: f64) -> Vec<f64> {
    let mut coefficients = vec![match kind {
        Diffusion::Ppr { alpha } => alpha,
        Diffusion::Heat { time } => (-time).exp(),
    }];
    let mut sum = coefficients[0];
    while sum < 1.0 - rest {
        let k = coefficients.len() as f64;
        let last = coefficients[coefficients.len() - 1];
        let next = match kind {
            Diffusion::Ppr { alpha } => last * (1.0 - alpha),
            Diffusion::Heat { time } => last * time / k,
        };
        // Rounding can keep the sum below 1 for ever, by less than any coefficient that still counts.
        if next < f64::EPSILON * sum && k > 1.0 && matches!(kind, Diffusion::Ppr { .. }) {
            break;
        }
        sum += next;
        coefficients.push(next);
        if coefficients.len() > 100_000 {
            break;
        }
    }
    coefficients
}
