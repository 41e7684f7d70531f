//! The proximity graph of BatchSampler: every instance is tied to the most similar of some random others.
//!
//! With few candidates M the neighbours are hardly more similar than chance, with all N − 1 they are the nearest of
//! all, and with them come the false negatives; M is how hard the batches become.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use lookalike_base::hash::Hasher;
use lookalike_base::{RowSource, Seed, Watch};
use lookalike_kernels::{Circulant, KernelError, RowReader, Scoring, TopK, squared_norm};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{SamplingError, Warning};
use crate::graph::candidates::Candidates;
use crate::graph::independent;
use crate::graph::pairs::{PairRows, UnitRows};
use crate::set::{InstanceSet, check_instances, present_of};

/// How the random candidates of different instances are drawn.
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CandidateDraw {
    /// Instances are put into random order and cut into tiles, and the members of a tile share nearly all candidates.
    #[default]
    Tiles,
    /// Each instance draws its own candidates, as in the published program. This takes about ten times as long.
    Independent,
}

/// How many others an instance is compared with, how, and how many of them it is tied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphOptions {
    /// Distinct random candidates for each instance, M.
    pub candidates: usize,
    /// How they are drawn.
    pub draw: CandidateDraw,
    /// Most similar of them kept, K.
    pub neighbors: usize,
    /// In which numbers they are compared; the similarities of the graph are products of `f32` either way.
    pub scoring: Scoring,
    /// How rows that hold a query and its document are compared; absent: each row as it is.
    pub pairs: Option<PairRows>,
}

impl Default for GraphOptions {
    /// M = 1000 and K = 100, as in the paper.
    fn default() -> Self {
        Self {
            candidates: 1000,
            draw: CandidateDraw::Tiles,
            neighbors: 100,
            scoring: Scoring::F32,
            pairs: None,
        }
    }
}

impl GraphOptions {
    /// The options for `instances`: candidates are lowered to the N − 1 others there are, with a warning.
    ///
    /// # Errors
    /// [`SamplingError::Zero`] for a count of 0, and [`SamplingError::Neighbors`] where K exceeds M after that.
    pub fn fitted(self, instances: usize) -> Result<(Self, Option<Warning>), SamplingError> {
        if self.draw == CandidateDraw::Independent && self.scoring != Scoring::F32 {
            let (with, reason) = ("candidate_draw = \"independent\"", "their rows are compared as they are");
            return Err(SamplingError::Combination { option: "scoring", with, reason });
        }
        for (option, value) in [("candidates", self.candidates), ("neighbors", self.neighbors)] {
            if value == 0 {
                return Err(SamplingError::Zero { option });
            }
        }
        let others = instances.saturating_sub(1);
        let fitted = Self { candidates: self.candidates.min(others), ..self };
        let warning = (fitted != self).then_some(Warning::CandidatesLowered {
            asked: self.candidates,
            instances,
            used: others,
        });
        if fitted.neighbors > fitted.candidates {
            return Err(SamplingError::Neighbors {
                neighbors: self.neighbors,
                candidates: fitted.candidates,
            });
        }
        Ok((fitted, warning))
    }
}

/// Who is tied to whom: for each instance its neighbours, the most similar first, with their similarities.
///
/// Edges have a direction: i can be a neighbour of j without the reverse. An instance outside the graph has no edge.
#[derive(Debug, Clone, PartialEq)]
pub struct ProximityGraph {
    /// Where each instance's neighbours begin; one more at the end.
    offsets: Vec<usize>,
    neighbors: Vec<u32>,
    similarities: Vec<f32>,
}

impl ProximityGraph {
    /// The graph of `instances` without an edge.
    pub fn empty(instances: usize) -> Self {
        Self { offsets: vec![0; instances + 1], neighbors: Vec::new(), similarities: Vec::new() }
    }

    /// A graph from each instance's number of neighbours, all neighbours one after another, and their similarities.
    ///
    /// # Errors
    /// [`SamplingError::Graph`] where lengths do not fit, or a neighbour is out of range or the instance itself.
    pub fn from_edges(
        degrees: &[u32],
        neighbors: Vec<u32>,
        similarities: Vec<f32>,
    ) -> Result<Self, SamplingError> {
        let invalid = |problem: String| Err(SamplingError::Graph { problem });
        let mut offsets = Vec::with_capacity(degrees.len() + 1);
        offsets.push(0);
        let mut edges = 0_usize;
        for degree in degrees {
            edges = edges.saturating_add(*degree as usize);
            offsets.push(edges);
        }
        if edges != neighbors.len() || edges != similarities.len() {
            let (found, similar) = (neighbors.len(), similarities.len());
            return invalid(format!(
                "degrees add up to {edges} edges, but {found} neighbors and {similar} similarities are given"
            ));
        }
        let graph = Self { offsets, neighbors, similarities };
        for instance in 0..degrees.len() {
            let wrong = |other: &&u32| **other as usize >= degrees.len() || **other as usize == instance;
            if let Some(other) = graph.neighbors(instance as u32).iter().find(wrong) {
                return invalid(format!(
                    "{other} cannot be a neighbor of {instance} among {} instances",
                    degrees.len()
                ));
            }
        }
        Ok(graph)
    }

    /// A graph from where each instance's neighbours begin, with the end of the last, and the edges, which are those of a graph.
    pub(super) fn of_parts(offsets: Vec<usize>, neighbors: Vec<u32>, similarities: Vec<f32>) -> Self {
        Self { offsets, neighbors, similarities }
    }

    /// Instances, in the graph or not, N.
    pub fn instances(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Directed edges.
    pub fn edges(&self) -> usize {
        self.neighbors.len()
    }

    /// The neighbours of `instance`, the most similar first; none where it is not in the graph.
    ///
    /// # Panics
    /// Where `instance` is not below [`ProximityGraph::instances`].
    pub fn neighbors(&self, instance: u32) -> &[u32] {
        &self.neighbors[self.range(instance)]
    }

    /// The cosine similarities of [`ProximityGraph::neighbors`], in their order.
    ///
    /// # Panics
    /// Where `instance` is not below [`ProximityGraph::instances`].
    pub fn similarities(&self, instance: u32) -> &[f32] {
        &self.similarities[self.range(instance)]
    }

    fn range(&self, instance: u32) -> std::ops::Range<usize> {
        self.offsets[instance as usize]..self.offsets[instance as usize + 1]
    }

    /// The graph of the `neighbors` most similar neighbours of each instance.
    #[must_use]
    pub fn truncated(&self, neighbors: usize) -> Self {
        let mut offsets = Vec::with_capacity(self.offsets.len());
        offsets.push(0);
        let ranges = self.offsets.windows(2).map(|pair| pair[0]..pair[1].min(pair[0] + neighbors));
        let (mut others, mut similarities) = (Vec::new(), Vec::new());
        for range in ranges {
            others.extend_from_slice(&self.neighbors[range.clone()]);
            similarities.extend_from_slice(&self.similarities[range]);
            offsets.push(others.len());
        }
        Self { offsets, neighbors: others, similarities }
    }

    /// Whether `instance` has a neighbour.
    pub fn contains(&self, instance: u32) -> bool {
        !self.range(instance).is_empty()
    }

    /// Each instance's number of neighbours, and all edges: what [`ProximityGraph::from_edges`] takes.
    pub fn parts(&self) -> (Vec<u32>, &[u32], &[f32]) {
        let degrees = self.offsets.windows(2).map(|pair| (pair[1] - pair[0]) as u32).collect();
        (degrees, &self.neighbors, &self.similarities)
    }

    /// A number that two graphs share only if they are the same, edge by edge and bit by bit (but for a chance of 2⁻⁶⁴):
    /// the first 64 bits of a SHA-256.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = Hasher::new();
        hasher.numbers(self.offsets.iter().map(|offset| (*offset as u64).to_le_bytes()));
        hasher.numbers(self.neighbors.iter().map(|other| other.to_le_bytes()));
        hasher.numbers(self.similarities.iter().map(|similarity| similarity.to_bits().to_le_bytes()));
        hasher.short()
    }

    /// Degrees and similarities in few numbers.
    pub fn statistics(&self) -> GraphStatistics {
        let mut in_degrees = vec![0_u32; self.instances()];
        for other in &self.neighbors {
            in_degrees[*other as usize] += 1;
        }
        let members = (0..self.instances() as u32).filter(|instance| self.contains(*instance));
        let mut in_degrees: Vec<u32> = members.map(|instance| in_degrees[instance as usize]).collect();
        in_degrees.sort_unstable();
        let quantile = |share: f64| match in_degrees.len() {
            0 => 0,
            count => in_degrees[((count - 1) as f64 * share).round() as usize],
        };
        let sum: f64 = self.similarities.iter().map(|similarity| f64::from(*similarity)).sum();
        GraphStatistics {
            members: in_degrees.len(),
            edges: self.edges(),
            in_degree: [0.0, 0.25, 0.5, 0.75, 0.99, 1.0].map(quantile),
            mean_similarity: (self.edges() > 0).then(|| sum / self.edges() as f64),
        }
    }
}

/// A proximity graph in few numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphStatistics {
    /// Instances with a neighbour.
    pub members: usize,
    /// Directed edges.
    pub edges: usize,
    /// How many have a member as their neighbour: minimum, quartiles, 99th percentile and maximum over members.
    pub in_degree: [u32; 6],
    /// Mean cosine similarity over the edges, where there are any.
    pub mean_similarity: Option<f64>,
}

/// Builds the proximity graph: `candidates` distinct random others for each instance, of which the `neighbors` most
/// similar are kept.
///
/// Embeddings are scaled to unit length here, so similarity is the cosine; a row of zeros is similar to nobody (0). Those of
/// pairs are compared as [`PairRows`] says.
/// With `present` only its members, who have an embedding, are in the graph; the other rows are not read. `build`
/// numbers the rebuilds, each of which has candidates of its own. The result does not depend on the number of threads.
///
/// Each other instance is equally likely to be a candidate. With [`CandidateDraw::Tiles`] those of different instances are not drawn
/// independently as in the published program: instances are put into random order, cut into tiles of about 64, and
/// each tile is compared with whole other tiles ([`Circulant`]). Tile mates so share nearly all candidates, and
/// nearly every pair that is compared can be an edge both ways. As embeddings have no part in the order, the similarities of
/// an instance's neighbours are distributed as with independent draws ([`CandidateDraw::Independent`]).
///
/// The progress of `watch` counts the instances that were compared; the work ends soon after `watch` asks it to stop.
///
/// # Shapes
/// `embeddings` N×d, a row for each instance; N×2d for pairs. Beside them and the graph no more is in memory than the tiles that are being
/// compared, an eighth of all for large N, so that rows of a mapped file need not fit into memory. With [`Scoring::Bf16`] and with
/// [`CandidateDraw::Independent`] a copy of all rows is.
///
/// # Errors
/// [`SamplingError::Neighbors`], [`SamplingError::Zero`] or [`SamplingError::Combination`] for options that do not fit,
/// [`SamplingError::OddColumns`] for pairs without two halves, [`SamplingError::NotFinite`] for a row with NaN or an infinity, [`SamplingError::Rows`] where `present` is for another number of instances, and
/// [`SamplingError::Instances`] where fewer than two can be in the graph; and
/// [`SamplingError::Cancelled`] where `watch` stopped the work.
pub fn proximity_graph(
    embeddings: impl RowSource,
    present: Option<&InstanceSet>,
    options: &GraphOptions,
    seed: Seed,
    build: u64,
    watch: Watch<'_>,
) -> Result<(ProximityGraph, Vec<Warning>), SamplingError> {
    let members = Members::new(UnitRows::new(&embeddings, options.pairs)?, present)?;
    let (options, warning) = options.fitted(members.instances.len())?;
    if options.draw == CandidateDraw::Independent {
        let graph = independent::graph(&members, &options, seed, build, watch)?;
        return Ok((graph, warning.into_iter().collect()));
    }
    let candidates = Candidates::draw(members.instances.len() as u32, options.candidates, seed, build);
    let graph =
        members.graph(&candidates.circulant, &candidates.order, options.neighbors, options.scoring, watch)?;
    Ok((graph, warning.into_iter().collect()))
}

/// Builds the exact graph of the `neighbors` nearest of all, by cosine similarity or as `pairs` says; see
/// [`proximity_graph`] for the rest.
///
/// With [`Scoring::Bf16`] it is faster, and a few of the nearest can be missed.
///
/// # Shapes
/// `embeddings` N×d, a row for each instance. Beside them and the graph a copy of all of them is in memory, and room for
/// 16 bytes for each edge; with [`Scoring::Bf16`] two copies, one of them of half the size.
///
/// # Errors
/// As [`proximity_graph`], every other instance being a candidate.
pub fn knn_graph(
    embeddings: impl RowSource,
    present: Option<&InstanceSet>,
    neighbors: usize,
    pairs: Option<PairRows>,
    scoring: Scoring,
    watch: Watch<'_>,
) -> Result<ProximityGraph, SamplingError> {
    let members = Members::new(UnitRows::new(&embeddings, pairs)?, present)?;
    let count = members.instances.len();
    let draw = CandidateDraw::Tiles;
    GraphOptions { candidates: count - 1, draw, neighbors, scoring, pairs }.fitted(count)?;
    let order: Vec<u32> = (0..count as u32).collect();
    members.graph(&Circulant::all(count), &order, neighbors, scoring, watch)
}

/// Those who are in the graph, numbered anew without gaps.
pub(crate) struct Members<'a> {
    pub(crate) instances: Vec<u32>,
    pub(crate) embeddings: UnitRows<'a>,
}

/// The rows of members, as they are compared.
pub(super) struct MemberRows<'a>(pub(super) &'a Members<'a>);

impl RowReader for MemberRows<'_> {
    fn read(&self, member: u32, into: &mut [f32]) -> bool {
        self.0.read(member, into)
    }

    fn addresses(&self, member: u32) -> Range<usize> {
        self.0.embeddings.rows.addresses(self.0.instances[member as usize] as usize)
    }
}

impl<'a> Members<'a> {
    pub(crate) fn new(
        embeddings: UnitRows<'a>,
        present: Option<&InstanceSet>,
    ) -> Result<Self, SamplingError> {
        let total = embeddings.rows.len();
        let count = check_instances(total)?;
        if let Some(set) = present
            && set.instances() != total
        {
            return Err(SamplingError::Rows { rows: total, instances: set.instances() });
        }
        let instances: Vec<u32> = present_of(count as usize, present).collect();
        check_instances(instances.len())?;
        Ok(Self { instances, embeddings })
    }

    /// The graph whose members have the `k` most similar of their candidates as neighbours.
    fn graph(
        &self,
        circulant: &Circulant,
        order: &[u32],
        k: usize,
        scoring: Scoring,
        watch: Watch<'_>,
    ) -> Result<ProximityGraph, SamplingError> {
        let kept = self.top_k((circulant, order), k, scoring, &MemberRows(self), watch)?;
        Ok(self.named(kept))
    }

    /// The `k` most similar candidates of each of the members that are searched for, whose rows `rows` gives.
    pub(super) fn top_k(
        &self,
        (circulant, order): (&Circulant, &[u32]),
        k: usize,
        scoring: Scoring,
        rows: &impl RowReader,
        watch: Watch<'_>,
    ) -> Result<TopK, SamplingError> {
        let (asked, tiles) = (AtomicUsize::new(0), circulant.searched().len());
        // It is asked before each tile, and once more where there is none left.
        let stop = || {
            let begun = asked.fetch_add(1, Ordering::Relaxed).min(tiles);
            watch.progress.set_position((order.len() * begun / tiles.max(1)) as u64);
            watch.is_cancelled()
        };
        match self.embeddings.top_k(circulant, order, k, scoring, rows, &stop) {
            Err(KernelError::Refused { row }) => Err(self.first_not_finite(row)),
            other => Ok(other?),
        }
    }

    /// Writes the row of a member as it is compared; whether it is finite.
    pub(crate) fn read(&self, member: u32, row: &mut [f32]) -> bool {
        self.embeddings.read(self.instances[member as usize] as usize, row)
    }

    /// Names the first member whose embedding is not finite, of which `refused` is one.
    pub(crate) fn first_not_finite(&self, refused: usize) -> SamplingError {
        let mut row = vec![0.0; self.embeddings.rows.columns()];
        for &instance in &self.instances[..=refused] {
            self.embeddings.rows.read_row(instance as usize, &mut row);
            if let Err(error) = check_row(&row, instance) {
                return error;
            }
        }
        KernelError::Refused { row: refused }.into()
    }

    /// The graph over all instances whose members have the neighbours `kept`.
    pub(crate) fn named(&self, kept: TopK) -> ProximityGraph {
        let total = self.embeddings.rows.len();
        let mut offsets = vec![0; total + 1];
        for &instance in &self.instances {
            offsets[instance as usize + 1] = kept.k;
        }
        for at in 0..total {
            offsets[at + 1] += offsets[at];
        }
        let mut neighbors = kept.indices;
        if self.instances.len() < total {
            neighbors.par_iter_mut().for_each(|neighbor| *neighbor = self.instances[*neighbor as usize]);
        }
        ProximityGraph { offsets, neighbors, similarities: kept.similarities }
    }
}

/// Checks that the embedding of `instance` is finite, and returns its squared norm.
pub(crate) fn check_row(row: &[f32], instance: u32) -> Result<f64, SamplingError> {
    let square = squared_norm(row);
    if square.is_finite() {
        return Ok(square);
    }
    let column = row.iter().position(|value| !value.is_finite()).unwrap_or_default();
    Err(SamplingError::NotFinite { instance, column })
}
