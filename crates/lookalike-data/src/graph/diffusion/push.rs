//! Personalised `PageRank` of large graphs, by pushing (Andersen, Chung and Lang 2006, *Local Graph Partitioning using `PageRank`
//! Vectors*, <https://doi.org/10.1109/FOCS.2006.44>, section 3).
//!
//! Let πᵢ be row i of α (I − (1 − α) P)⁻¹ with P = D⁻¹ (A + I), so that Sᵢⱼ = √(dᵢ / dⱼ) πᵢ(j). Node after node, what lies on a node u as
//! the residual r(u) is pushed: a part stays there, as the estimate p(u), and the rest goes to its neighbours. Always
//! πᵢ = p + Σᵤ r(u) πᵤ. Nothing is pushed that is not above ε dᵤ / √dᵢ.
//!
//! What is missing then is πᵢ(j) − p(j) = Σᵤ r(u) πᵤ(j) ≤ (ε / √dᵢ) Σᵤ dᵤ πᵤ(j) = (ε / √dᵢ) dⱼ, for edges go both ways, so that
//! dᵤ πᵤ(j) = dⱼ πⱼ(u), of which each row sums to 1. Of S it is between 0 and ε √dⱼ. S is symmetric: of entries (i, j) and (j, i) the
//! greater is nearer to both, and below them by ε √min(dᵢ, dⱼ) at most.
//!
//! A row takes at most √dᵢ / (α ε) steps from a node to a neighbour, however large the graph is.

use super::Row;
use crate::error::DataError;
use lookalike_base::Watch;
use lookalike_kernels::sparse::Csr;
use rayon::prelude::*;
use std::collections::VecDeque;

/// Steps from a node to a neighbour after which a row asks whether it should stop.
const STEPS: usize = 1 << 20;

/// The rows of S, approximately, less what is below `epsilon`. Each comes of one source alone, so that the threads make no difference.
/// `watch` counts rows.
pub(super) fn approximate(
    edges: &Csr,
    degrees: &[f64],
    alpha: f64,
    epsilon: f64,
    watch: Watch<'_>,
) -> Result<Vec<Row>, DataError> {
    let nodes = edges.len();
    let pushing = || Pushing::new(edges, degrees, alpha);
    let row = |pushing: &mut Pushing<'_>, source: usize| {
        pushing.push_all(source as u32, epsilon / degrees[source].sqrt(), watch)?;
        watch.progress.advance(1);
        Ok(pushing.take_row(source, epsilon))
    };
    let rows = (0..nodes).into_par_iter().map_init(pushing, row).collect::<Result<Vec<_>, DataError>>()?;
    let found = Csr::from_rows(rows, nodes).map_err(DataError::graph)?;
    let reversed = found.transpose();
    let greater = |node: usize| {
        let entries = union(&mut found.row_entries(node), &mut reversed.row_entries(node));
        let mass: f64 = entries
            .iter()
            .map(|(to, value)| f64::from(*value) * (degrees[*to as usize] / degrees[node]).sqrt())
            .sum();
        Row { entries, lost: (1.0 - mass).max(0.0) }
    };
    Ok((0..nodes).into_par_iter().map(greater).collect())
}

/// The entries of either row, columns ascending, and where both have one the greater.
fn union(
    one: &mut dyn Iterator<Item = (u32, f32)>,
    other: &mut dyn Iterator<Item = (u32, f32)>,
) -> Vec<(u32, f32)> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    let mut entries = Vec::new();
    loop {
        let column = match (one.peek(), other.peek()) {
            (Some((a, _)), Some((b, _))) => *a.min(b),
            (Some((a, _)), None) => *a,
            (None, Some((b, _))) => *b,
            (None, None) => break,
        };
        let [a, b] = [one.next_if(|entry| entry.0 == column), other.next_if(|entry| entry.0 == column)];
        let value = |entry: Option<(u32, f32)>| entry.map_or(0.0, |(_, value)| value);
        entries.push((column, value(a).max(value(b))));
    }
    entries.shrink_to_fit();
    entries
}

/// What a node holds while the row of one source is made.
#[derive(Debug, Clone, Copy)]
struct Place {
    residual: f64,
    degree: u32,
    /// Whether it is among those that held anything.
    met: bool,
    waits: bool,
}

/// Makes one row after another.
struct Pushing<'a> {
    edges: &'a Csr,
    degrees: &'a [f64],
    alpha: f64,
    places: Vec<Place>,
    estimates: Vec<f64>,
    met: Vec<u32>,
    queue: VecDeque<u32>,
}

impl<'a> Pushing<'a> {
    fn new(edges: &'a Csr, degrees: &'a [f64], alpha: f64) -> Self {
        let place = |node| Place {
            residual: 0.0,
            degree: edges.row(node).len() as u32 + 1,
            met: false,
            waits: false,
        };
        Self {
            edges,
            degrees,
            alpha,
            places: (0..edges.len()).map(place).collect(),
            estimates: vec![0.0; edges.len()],
            met: Vec::new(),
            queue: VecDeque::new(),
        }
    }

    /// Pushes from `source` until no residual is above `limit` times the degree of its node.
    fn push_all(&mut self, source: u32, limit: f64, watch: Watch<'_>) -> Result<(), DataError> {
        self.receive(source, 1.0, limit);
        // A source whose own limit is above 1 still keeps what stays of its walk.
        if self.queue.is_empty() {
            self.places[source as usize].waits = true;
            self.queue.push_back(source);
        }
        let mut steps = STEPS;
        while let Some(node) = self.queue.pop_front() {
            let place = &mut self.places[node as usize];
            place.waits = false;
            // Each push leaves (1 − α) / d on the node itself, which is pushed again: all of them at once.
            let back = (1.0 - self.alpha) / f64::from(place.degree);
            let pushed = std::mem::take(&mut place.residual) / (1.0 - back);
            self.estimates[node as usize] += self.alpha * pushed;
            let edges = self.edges;
            for to in edges.row(node as usize) {
                self.receive(*to, back * pushed, limit);
            }
            steps += edges.row(node as usize).len();
            if steps >= STEPS {
                steps = 0;
                if watch.is_cancelled() {
                    return Err(DataError::Stopped);
                }
            }
        }
        Ok(())
    }

    fn receive(&mut self, node: u32, mass: f64, limit: f64) {
        let place = &mut self.places[node as usize];
        place.residual += mass;
        if !place.met {
            place.met = true;
            self.met.push(node);
        }
        if !place.waits && place.residual > limit * f64::from(place.degree) {
            place.waits = true;
            self.queue.push_back(node);
        }
    }

    /// The entries of the row of `source` that are not below `epsilon`, columns ascending. All places are empty again.
    fn take_row(&mut self, source: usize, epsilon: f64) -> Vec<(u32, f32)> {
        let mut entries = Vec::new();
        for node in self.met.drain(..) {
            let at = node as usize;
            let place = &mut self.places[at];
            (place.residual, place.met) = (0.0, false);
            let estimate = std::mem::take(&mut self.estimates[at]);
            let value = estimate * (self.degrees[source] / self.degrees[at]).sqrt();
            if value > 0.0 && value >= epsilon {
                entries.push((node, value as f32));
            }
        }
        entries.sort_unstable_by_key(|(column, _)| *column);
        entries.shrink_to_fit();
        entries
    }
}
