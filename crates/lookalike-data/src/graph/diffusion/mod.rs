//! Diffusion of a graph: edges of any length, weighted (Hassani and Khasahmadi 2020, *Contrastive Multi-View Representation
//! Learning on Graphs*, <https://arxiv.org/abs/2006.05582>, equations 2 and 3; Gasteiger et al. 2019, *Diffusion Improves
//! Graph Learning*).
//!
//! With Ã = D^(−1/2) (A + I) D^(−1/2) personalised `PageRank` is S = α (I − (1 − α) Ã)⁻¹ and heat S = exp(t (Ã − I)). Both are
//! Σₖ θₖ Ã^k with Σ θₖ = 1, and D^(−1/2) S D^(1/2) is what a random walk does, of which each row sums to 1: that is the mass
//! of which a share is lost where entries are left out.

mod dense;
mod series;
mod views;

pub use views::{DiffusedBatch, DiffusedGraphs};

use super::augment::Variant;
use super::graph_set::GraphSet;
use crate::error::DataError;
use lookalike_base::Watch;
use lookalike_kernels::sparse::Csr;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The diffusion of a graph of at most this many nodes is computed exactly.
pub const EXACT_NODES: usize = 1000;

/// Which diffusion.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Diffusion {
    /// Personalised `PageRank`; MVGRL uses α = 0.2.
    Ppr {
        /// Probability of a return to the node, α.
        alpha: f64,
    },
    /// Heat; MVGRL uses t = 5.
    Heat {
        /// Time, t.
        time: f64,
    },
}

/// A diffusion, and how much of it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiffusionOptions {
    /// Which diffusion.
    pub kind: Diffusion,
    /// Entries of S below ε are left out; by default 10⁻⁴. With 0 all are kept.
    #[serde(default = "default_epsilon")]
    pub epsilon: f64,
    /// Paper or published code; in recipes `method.variant`. The published code's heat is another function, see [`Diffused`].
    #[serde(skip)]
    pub variant: Variant,
}

fn default_epsilon() -> f64 {
    DiffusionOptions::default().epsilon
}

/// `PageRank` with MVGRL's α = 0.2, entries below 10⁻⁴ left out.
impl Default for DiffusionOptions {
    fn default() -> Self {
        Self { kind: Diffusion::Ppr { alpha: 0.2 }, epsilon: 1e-4, variant: Variant::Paper }
    }
}

/// A diffusion as a sparse matrix.
///
/// Up to [`EXACT_NODES`] nodes it is exact but for the entries left out. Above, it is a truncated series whose rest is below
/// ε / 1000 of the mass, or 10⁻⁹ where ε is 0. The published code computes heat as exp(t ((A + I) D⁻¹ − 1)) entry by entry,
/// which no entry is 0 of; with [`Variant::Original`] so does this, for graphs of up to [`EXACT_NODES`] nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct Diffused {
    /// n×n, ascending columns. Symmetric but for rounding and, in the published code's heat, by definition.
    pub matrix: Csr,
    /// Share of the mass that is left out: the mean over nodes.
    pub lost: f64,
    /// The greatest share left out of any node's mass.
    pub max_lost: f64,
}

/// The diffusions of all graphs of a set.
#[derive(Debug, Clone, PartialEq)]
pub struct Diffusions {
    /// One matrix a graph.
    pub matrices: Vec<Csr>,
    /// Share of the mass that is left out: the mean over all nodes.
    pub lost: f64,
    /// The greatest share left out of any node's mass.
    pub max_lost: f64,
    /// Graphs above [`EXACT_NODES`] nodes, of which a truncated series was taken.
    pub truncated: usize,
}

impl DiffusionOptions {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`DataError::Option`] where α is not above 0 and below 1, t is not above 0 and at most 100, or ε is not from 0 to below 1.
    pub fn validate(&self) -> Result<(), DataError> {
        let (key, value, right, needed) = match self.kind {
            Diffusion::Ppr { alpha } => ("alpha", alpha, alpha > 0.0 && alpha < 1.0, "above 0 and below 1"),
            Diffusion::Heat { time } => {
                ("time", time, time > 0.0 && time <= 100.0, "above 0, and 100 at most")
            }
        };
        let epsilon = (0.0..1.0).contains(&self.epsilon);
        for (key, value, right, needed) in
            [(key, value, right, needed), ("epsilon", self.epsilon, epsilon, "from 0 to below 1")]
        {
            if !right {
                let problem = format!("{value} should be {needed}");
                return Err(DataError::Option { key: format!("graphs.diffusion.{key}"), problem });
            }
        }
        Ok(())
    }
}

/// The diffusion of one graph, whose edges go both ways and from no node to itself. `watch` counts nodes; a graph of up to
/// [`EXACT_NODES`] is done before it is asked again.
///
/// # Errors
/// [`DataError::Stopped`] where `watch` asked for it; [`DataError::Option`] where options are impossible; [`DataError::Graph`] where `edges` are not square, or the published
/// code's heat is asked for of more than [`EXACT_NODES`] nodes.
pub fn diffuse(edges: &Csr, options: &DiffusionOptions, watch: Watch<'_>) -> Result<Diffused, DataError> {
    options.validate()?;
    let nodes = edges.len();
    if nodes != edges.width() {
        let problem = format!("the matrix of edges is {nodes} × {}; it must be square", edges.width());
        return Err(DataError::Graph { problem });
    }
    if watch.is_cancelled() {
        return Err(DataError::Stopped);
    }
    let degrees: Vec<f64> = (0..nodes).map(|node| edges.row(node).len() as f64 + 1.0).collect();
    let rows = match (options.kind, options.variant) {
        (Diffusion::Heat { .. }, Variant::Original) if nodes > EXACT_NODES => {
            let problem = format!(
                "the published code's heat has no zeros, so it is computed for at most {EXACT_NODES} nodes; the graph has \
                 {nodes}; use the paper's variant"
            );
            return Err(DataError::Graph { problem });
        }
        (Diffusion::Heat { time }, Variant::Original) => {
            dense::published_heat(edges, &degrees, time, options.epsilon)
        }
        _ if nodes <= EXACT_NODES => dense::exact(edges, &degrees, options)?,
        _ => series::truncated(edges, &degrees, options, watch)?,
    };
    if nodes <= EXACT_NODES {
        watch.progress.advance(nodes as u64);
    }
    let lost = rows.iter().map(|row| row.lost).sum::<f64>() / nodes.max(1) as f64;
    let max_lost = rows.iter().map(|row| row.lost).fold(0.0, f64::max);
    let matrix = Csr::from_rows(rows.into_iter().map(|row| row.entries), nodes).map_err(DataError::graph)?;
    Ok(Diffused { matrix, lost, max_lost })
}

impl Diffusions {
    /// The diffusions of the graphs of `set`, several at a time. `watch` counts nodes.
    ///
    /// # Errors
    /// As [`diffuse`] has.
    pub fn of(set: &GraphSet, options: &DiffusionOptions, watch: Watch<'_>) -> Result<Self, DataError> {
        options.validate()?;
        let diffused = (0..set.len()).into_par_iter().map(|index| {
            let graph = set.graph(index);
            let rows = (0..graph.nodes()).map(|node| graph.neighbors(node).map(|to| (to, 1.0)));
            let edges = Csr::from_rows(rows, graph.nodes()).map_err(DataError::graph)?;
            diffuse(&edges, options, watch)
        });
        let diffused = diffused.collect::<Result<Vec<_>, _>>()?;
        let sizes = diffused.iter().map(|diffused| diffused.matrix.len());
        let truncated = sizes.filter(|nodes| *nodes > EXACT_NODES).count();
        let lost = diffused.iter().map(|diffused| diffused.lost * diffused.matrix.len() as f64).sum::<f64>();
        Ok(Self {
            lost: lost / set.nodes().max(1) as f64,
            max_lost: diffused.iter().map(|diffused| diffused.max_lost).fold(0.0, f64::max),
            truncated,
            matrices: diffused.into_iter().map(|diffused| diffused.matrix).collect(),
        })
    }
}

/// The entries of a row of S that are kept.
struct Row {
    entries: Vec<(u32, f32)>,
    /// Share of the walk's mass that is left out.
    lost: f64,
}

impl Row {
    /// The entries of row `node` that are not below `epsilon`, given the values of S.
    fn kept(node: usize, values: impl Iterator<Item = f64>, degrees: &[f64], epsilon: f64) -> Self {
        let (mut entries, mut mass) = (Vec::new(), 0.0);
        for (to, value) in values.enumerate().filter(|(_, value)| *value > 0.0 && *value >= epsilon) {
            entries.push((to as u32, value as f32));
            mass += value * (degrees[to] / degrees[node]).sqrt();
        }
        Self { entries, lost: (1.0 - mass).max(0.0) }
    }
}

#[cfg(test)]
mod tests;
