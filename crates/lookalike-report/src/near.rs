//! Who is nearest to whom, over all parts of a data set together.

use std::collections::BTreeMap;

use lookalike_base::{Matrix, Watch};
use lookalike_kernels::Scoring;
use lookalike_sampling::{ProximityGraph, knn_graph};

use crate::album::Instance;
use crate::data::Data;
use crate::error::ReportError;

/// Neighbours of each instance.
pub(crate) const NEIGHBORS: usize = 15;
/// From so many instances on they are compared in 16 bits first.
const MANY: usize = 20_000;

/// All parts as one.
pub(crate) struct Near {
    pub(crate) rows: Matrix,
    /// Where each part begins; one more at the end.
    pub(crate) offsets: Vec<usize>,
    pub(crate) graph: ProximityGraph,
}

impl Near {
    /// The nearest of all instances of all parts. Needs two instances.
    pub(crate) fn of(data: &Data<'_>, watch: Watch<'_>) -> Result<Option<Self>, ReportError> {
        let mut offsets = vec![0];
        let mut values = Vec::with_capacity(data.parts.iter().map(|part| part.rows.values().len()).sum());
        for part in &data.parts {
            values.extend_from_slice(part.rows.values());
            offsets.push(offsets[offsets.len() - 1] + part.rows.len());
        }
        let count = offsets[offsets.len() - 1];
        if count < 2 {
            return Ok(None);
        }
        let columns = data.parts[0].rows.columns();
        let rows = Matrix::new(values, columns).map_err(|problem| ReportError::Input(problem.to_string()))?;
        let scoring = scoring(count);
        let graph = knn_graph(rows.rows(), None, NEIGHBORS.min(count - 1), None, scoring, watch)?;
        Ok(Some(Self { rows, offsets, graph }))
    }

    /// How many instances there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The part of an instance of all, and its number there.
    pub(crate) fn instance(&self, number: u32) -> Instance {
        let part = self.offsets.partition_point(|first| *first <= number as usize) - 1;
        (part, number - self.offsets[part] as u32)
    }

    /// The number of an instance among all.
    pub(crate) fn number(&self, (part, instance): Instance) -> u32 {
        self.offsets[part] as u32 + instance
    }

    /// The nearest of one part, with their similarities.
    pub(crate) fn of_part(&self, number: u32, part: usize) -> impl Iterator<Item = (u32, f32)> + '_ {
        let range = self.offsets[part] as u32..self.offsets[part + 1] as u32;
        let edges =
            self.graph.neighbors(number).iter().copied().zip(self.graph.similarities(number).iter().copied());
        edges.filter(move |(other, _)| range.contains(other))
    }
}

/// How so many instances are compared.
pub(crate) fn scoring(count: usize) -> Scoring {
    if count >= MANY { Scoring::Bf16 } else { Scoring::F32 }
}

/// The distance of two unit vectors of this similarity.
pub(crate) fn distance(similarity: f32) -> f64 {
    (2.0 - 2.0 * f64::from(similarity)).max(0.0).sqrt()
}

/// Temperature of the votes of neighbours, MoCo's.
const TEMPERATURE: f64 = 0.1;

/// The share of the votes that each class has, of neighbours by their classes and similarities; none without neighbours.
pub(crate) fn votes(neighbors: impl Iterator<Item = (u32, f32)>) -> BTreeMap<u32, f64> {
    let mut votes: BTreeMap<u32, f64> = BTreeMap::new();
    let mut greatest = None;
    for (class, similarity) in neighbors {
        // Beside the first, which is the most similar, no weight overflows.
        let similarity = f64::from(similarity);
        let beside = similarity - *greatest.get_or_insert(similarity);
        *votes.entry(class).or_default() += (beside / TEMPERATURE).exp();
    }
    let all: f64 = votes.values().sum();
    for vote in votes.values_mut() {
        *vote /= all;
    }
    votes
}

/// The class with most votes and its share, of equals the lower, among those with as many as `least` says of them.
pub(crate) fn likeliest(votes: &BTreeMap<u32, f64>, least: impl Fn(u32) -> f64) -> Option<(u32, f64)> {
    let enough = votes.iter().filter(|(class, share)| **share >= least(**class));
    enough.max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(a.0))).map(|(class, share)| (*class, *share))
}
