//! Edges that are not walked: those above a similarity ceiling, and those that an oracle knows to be false; and where a ceiling lies.
//!
//! Instances that are too similar are likely the same thing, and false negatives of each other. The edges are taken out
//! of the graph when it is built, so that all that reads it agrees. An instance that loses all its edges is
//! outside the graph, and its places in batches are filled uniformly.

use lookalike_base::{RowSource, Seed, Stream};
use lookalike_kernels::{dot, squared_norm};
use rayon::prelude::*;

use crate::error::SamplingError;
use crate::graph::ProximityGraph;
use crate::graph::pairs::{PairRows, UnitRows, halves};
use crate::set::{InstanceSet, present_of};

impl ProximityGraph {
    /// The graph without those edges i–j whose query i is closer to document j than `share` of its similarity to its own, or
    /// the other way round: qᵢ·dⱼ > share · qᵢ·dᵢ, or qⱼ·dᵢ > share · qⱼ·dⱼ. Document j may answer query i as well as its own does.
    ///
    /// The rule is that by which mined negatives are kept or not in NV-Retriever (Moreira et al. 2024, 95 % of the positive's score)
    /// and in GIST (Solatorio 2024), here on the vectors that the graph was built from.
    ///
    /// # Shapes
    /// `embeddings` N×2d, the query of an instance in the first half of its row, the document in the second; each half is
    /// compared as if it were of unit length, and one of zeros is similar to nobody. The rows of the graph's members are finite.
    ///
    /// # Errors
    /// [`SamplingError::OddColumns`] for rows without two halves, [`SamplingError::Rows`] for rows of another number of instances.
    pub fn below_positive(&self, embeddings: impl RowSource, share: f64) -> Result<Self, SamplingError> {
        halves(embeddings.columns())?;
        if embeddings.len() != self.instances() {
            return Err(SamplingError::Rows { rows: embeddings.len(), instances: self.instances() });
        }
        let buffer = || vec![0.0; embeddings.columns()];
        let known: Vec<Positive> = (0..self.instances())
            .into_par_iter()
            .map_init(buffer, |row, instance| {
                embeddings.read_row(instance, row);
                Positive::of(row)
            })
            .collect();
        let too_close = |own: u32, other: u32, row: &[f32], other_row: &[f32]| {
            let (a, b) = (known[own as usize], known[other as usize]);
            let ((query, document), (other_query, other_document)) =
                (row.split_at(row.len() / 2), other_row.split_at(row.len() / 2));
            let forth = f64::from(dot(query, other_document)) * a.query * b.document;
            let back = f64::from(dot(other_query, document)) * b.query * a.document;
            forth > share * a.similarity || back > share * b.similarity
        };
        let kept: Vec<bool> = (0..self.instances() as u32)
            .into_par_iter()
            .map_init(
                || (buffer(), buffer()),
                |(row, other_row), own| {
                    embeddings.read_row(own as usize, row);
                    let mut keeps = |other: &u32| {
                        embeddings.read_row(*other as usize, other_row);
                        !too_close(own, *other, row, other_row)
                    };
                    self.neighbors(own).iter().map(&mut keeps).collect::<Vec<bool>>()
                },
            )
            .flatten_iter()
            .collect();
        let mut kept = kept.into_iter();
        self.filtered(|_, _, _| kept.next().unwrap_or_default())
    }

    /// The graph with only those edges that `keep` accepts, given an instance, its neighbour and their similarity. It is asked
    /// about each edge once, in their order.
    ///
    /// # Errors
    /// None of a graph that was built; see [`ProximityGraph::from_edges`].
    pub fn filtered(&self, mut keep: impl FnMut(u32, u32, f32) -> bool) -> Result<Self, SamplingError> {
        let mut degrees = Vec::with_capacity(self.instances());
        let (mut neighbors, mut similarities) = (Vec::new(), Vec::new());
        for own in 0..self.instances() as u32 {
            let before = neighbors.len();
            for (other, similarity) in self.neighbors(own).iter().zip(self.similarities(own)) {
                if keep(own, *other, *similarity) {
                    neighbors.push(*other);
                    similarities.push(*similarity);
                }
            }
            degrees.push((neighbors.len() - before) as u32);
        }
        Self::from_edges(&degrees, neighbors, similarities)
    }

    /// The smallest similarity that at least `percentile` percent of the edges do not exceed; `None` without an edge.
    ///
    /// Exact, in two passes over the edges and 1 MB.
    pub fn similarity_percentile(&self, percentile: f64) -> Option<f32> {
        let (_, _, similarities) = self.parts();
        smallest_above(similarities, percentile)
    }
}

/// Instances whose pairs stand for all.
const PAIRED: u32 = 2048;

/// The similarity that `percentile` percent of all pairs of the instances that are `present` do not exceed, estimated from the pairs of
/// 2048 of them, which the stream `("pairs", build, 0, 0)` draws; exact where there are no more. `None` for fewer than two.
///
/// # Shapes
/// `rows` N×d, of finite numbers, compared as a graph compares them.
///
/// # Errors
/// [`SamplingError::OddColumns`] for pairs without two halves.
pub fn pair_percentile(
    rows: impl RowSource,
    present: Option<&InstanceSet>,
    pairs: Option<PairRows>,
    percentile: f64,
    seed: Seed,
    build: u64,
) -> Result<Option<f32>, SamplingError> {
    let unit = UnitRows::new(&rows, pairs)?;
    let drawn = sampled(rows.len(), present, PAIRED, &mut seed.stream("pairs", build, 0, 0));
    let read = |instance: &u32| {
        let mut row = vec![0.0; unit.columns()];
        unit.read(*instance as usize, &mut row);
        row
    };
    let sample: Vec<Vec<f32>> = drawn.par_iter().map(read).collect();
    let of_row = |at: usize| {
        let others = &sample[at + 1..];
        others.iter().map(|other| unit.similarity(&sample[at], other)).collect::<Vec<f32>>()
    };
    let similarities: Vec<f32> = (0..sample.len()).into_par_iter().flat_map_iter(of_row).collect();
    Ok(smallest_above(&similarities, percentile))
}

/// At most `count` different ones of the instances that are `present`, in ascending order.
pub(crate) fn sampled(
    instances: usize,
    present: Option<&InstanceSet>,
    count: u32,
    stream: &mut Stream,
) -> Vec<u32> {
    let known: Vec<u32> = present_of(instances, present).collect();
    if known.len() <= count as usize {
        return known;
    }
    let mut places = stream.distinct(count, known.len() as u32);
    places.sort_unstable();
    places.into_iter().map(|place| known[place as usize]).collect()
}

/// The smallest of the values that at least `percentile` percent of them do not exceed.
fn smallest_above(values: &[f32], percentile: f64) -> Option<f32> {
    let rank = (percentile / 100.0 * values.len() as f64).ceil().max(1.0) as usize;
    let rank = rank.min(values.len()).checked_sub(1)?;
    let (high, rank) = counted(values.iter().map(|value| ordered(*value) >> 16), rank);
    let lows = values.iter().map(|value| ordered(*value)).filter(|key| key >> 16 == high);
    let (low, _) = counted(lows.map(|key| key & 0xffff), rank);
    let key = high << 16 | low;
    Some(f32::from_bits(if key >> 31 == 1 { key & 0x7fff_ffff } else { !key }))
}

/// What a pair's own query and document say about those of others.
#[derive(Debug, Clone, Copy)]
struct Positive {
    /// The factors that scale query and document to unit length; 0 for zeros.
    query: f64,
    document: f64,
    /// How similar they are.
    similarity: f64,
}

impl Positive {
    fn of(row: &[f32]) -> Self {
        let (query, document) = row.split_at(row.len() / 2);
        let scale = |half: &[f32]| {
            let square = squared_norm(half);
            if square > 0.0 { square.sqrt().recip() } else { 0.0 }
        };
        let similarity = f64::from(dot(query, document));
        let (query, document) = (scale(query), scale(document));
        Self { query, document, similarity: similarity * query * document }
    }
}

/// The bits of `value`, in an order that is that of the values.
fn ordered(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// Which of the `keys` below 2¹⁶ has `rank` among them, and its rank among those that equal it.
fn counted(keys: impl Iterator<Item = u32>, mut rank: usize) -> (u32, usize) {
    let mut counts = vec![0_usize; 1 << 16];
    keys.for_each(|key| counts[key as usize] += 1);
    for (key, count) in counts.iter().enumerate() {
        if rank < *count {
            return (key as u32, rank);
        }
        rank -= count;
    }
    (0xffff, rank)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lookalike_base::{Matrix, Seed};

    #[test]
    fn a_percentile_is_that_of_the_sorted_similarities() {
        let mut stream = Seed(1).stream("test", 0, 0, 0);
        for edges in [1_usize, 2, 7, 100, 1001] {
            let similarities: Vec<f32> = (0..edges).map(|_| stream.range(-1.0, 1.0)).collect();
            let graph =
                ProximityGraph::from_edges(&[edges as u32, 0], vec![1; edges], similarities.clone()).unwrap();
            let mut sorted = similarities;
            sorted.sort_by(f32::total_cmp);
            for percentile in [0.1, 1.0, 33.0, 50.0, 95.0, 99.9, 100.0] {
                let rank = (percentile / 100.0 * edges as f64).ceil() as usize;
                assert_eq!(graph.similarity_percentile(percentile), Some(sorted[rank.max(1) - 1]));
            }
        }
        assert_eq!(ProximityGraph::empty(3).similarity_percentile(50.0), None);
    }

    #[test]
    fn a_percentile_of_all_pairs_is_exact_for_few_and_near_for_many() {
        let mut stream = Seed(2).stream("test", 0, 0, 0);
        for (count, tolerance) in [(300_u32, 1e-6), (5000, 0.01)] {
            let rows = Matrix::new((0..count as usize * 8).map(|_| stream.normal()).collect(), 8).unwrap();
            let cosine = |a: u32, b: u32| {
                let dot =
                    |x: &[f32], y: &[f32]| -> f64 { x.iter().zip(y).map(|(x, y)| f64::from(x * y)).sum() };
                let (a, b) = (rows.row(a as usize), rows.row(b as usize));
                dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
            };
            let mut all: Vec<f64> = (0..count)
                .flat_map(|a| (a + 1..count).map(move |b| (a, b)))
                .map(|(a, b)| cosine(a, b))
                .collect();
            all.sort_by(f64::total_cmp);
            for percentile in [50.0, 99.0] {
                let found =
                    pair_percentile(rows.rows(), None, None, percentile, Seed(1), 0).unwrap().unwrap();
                let expected = all[(percentile / 100.0 * all.len() as f64).ceil() as usize - 1];
                assert!(
                    (f64::from(found) - expected).abs() < tolerance,
                    "{count} {percentile} {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn what_answers_a_query_nearly_as_well_as_its_own_document_is_no_neighbor_of_it() {
        let (count, half) = (60_u32, 5);
        let mut stream = Seed(3).stream("test", 0, 0, 0);
        // Of different lengths, which must not matter.
        let values: Vec<f32> = (0..count as usize * 2 * half).map(|_| 3.0 * stream.normal() + 1.0).collect();
        let mut rows = Matrix::new(values, 2 * half).unwrap();
        rows.row_mut(7)[..half].fill(0.0);
        let neighbors = (0..count).flat_map(|own| (0..count).filter(move |other| *other != own));
        let degrees = vec![count - 1; count as usize];
        let everybody = ProximityGraph::from_edges(
            &degrees,
            neighbors.collect(),
            vec![0.5; (count * (count - 1)) as usize],
        );
        let cosine = |query: u32, document: u32| {
            let (query, document) = (&rows.row(query as usize)[..half], &rows.row(document as usize)[half..]);
            let product = |a: &[f32], b: &[f32]| -> f64 {
                a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            };
            let norms = (product(query, query) * product(document, document)).sqrt();
            if norms > 0.0 { product(query, document) / norms } else { 0.0 }
        };
        for share in [0.3, 0.95, 1.0] {
            let found = everybody.as_ref().unwrap().below_positive(rows.rows(), share).unwrap();
            assert!((1..count as usize * (count as usize - 1)).contains(&found.edges()), "{}", found.edges());
            for own in 0..count {
                for other in (0..count).filter(|other| *other != own) {
                    let excess = |a: u32, b: u32| cosine(a, b) - share * cosine(a, a);
                    let excess = excess(own, other).max(excess(other, own));
                    let kept = found.neighbors(own).contains(&other);
                    // In f32 those on the edge cannot be told apart.
                    assert!(excess.abs() < 1e-6 || kept == (excess < 0.0), "{own} {other} {excess}");
                }
            }
        }
        let odd = Matrix::new(vec![0.0; 60 * 3], 3).unwrap();
        let error = everybody.unwrap().below_positive(odd.rows(), 0.9).unwrap_err();
        assert_eq!(error, SamplingError::OddColumns { columns: 3 });
    }

    #[test]
    fn a_filtered_graph_has_the_edges_that_are_kept_in_their_order() {
        let graph =
            ProximityGraph::from_edges(&[3, 0, 1, 1], vec![1, 2, 3, 0, 0], vec![0.9, 0.5, 0.1, 0.5, 0.95])
                .unwrap();
        let kept = graph.filtered(|_, _, similarity| similarity <= 0.5).unwrap();
        assert_eq!((kept.neighbors(0), kept.similarities(0)), (&[2, 3][..], &[0.5, 0.1][..]));
        assert!(!kept.contains(1) && kept.contains(2) && !kept.contains(3));
        assert_eq!(graph.filtered(|_, _, _| true).unwrap(), graph);
    }
}
