//! Batches that are clusters: balanced two-means, again and again, until a part fills a batch.
//!
//! NGAME (Dahiya et al., WSDM 2023, section 4) makes batches of clusters of the current embeddings, found by hierarchical balanced
//! two-means; TAS-B (Hofstätter et al., SIGIR 2021) draws batches from k-means clusters of the queries. Here a cluster is a batch. Each
//! level costs N·d multiplications an iteration, and there are log₂(N/B) levels.

use lookalike_base::{RowSource, Seed, Watch};
use lookalike_kernels::dot;
use rayon::prelude::*;

use crate::error::SamplingError;
use crate::graph::pairs::{PairRows, UnitRows};
use crate::set::{InstanceSet, present_of};

/// Two-means stops after this many iterations, or where nobody changes sides.
const MAX_ITERATIONS: usize = 10;

/// Parts of fewer instances are split by one thread each.
const ALONE: usize = 4096;

/// The instances that are `present`, each once, so that every stretch of `batch_size` is a cluster; the last one takes what is left.
///
/// A part is split in two, whose sizes are multiples of B and as equal as that allows: its members in the order of how much nearer they are to the
/// one mean than to the other. The means begin as two of the members, from the streams `("clusters", build, first place, 0)`.
///
/// # Shapes
/// `rows` N×d, compared as a graph compares them; a copy of those that are present is in memory.
///
/// # Errors
/// [`SamplingError::OddColumns`] for pairs without two halves, [`SamplingError::NotFinite`] for a row with NaN or an infinity,
/// [`SamplingError::Cancelled`] where `watch` stopped the work.
pub fn cluster_order(
    rows: impl RowSource,
    present: Option<&InstanceSet>,
    pairs: Option<PairRows>,
    batch_size: usize,
    seed: Seed,
    build: u64,
    watch: Watch<'_>,
) -> Result<Vec<u32>, SamplingError> {
    let unit = UnitRows::new(&rows, pairs)?;
    let members: Vec<u32> = present_of(rows.len(), present).collect();
    let columns = unit.columns();
    let mut values = vec![0.0_f32; members.len() * columns];
    for (member, row) in members.iter().zip(values.chunks_exact_mut(columns)) {
        if !unit.read(*member as usize, row) {
            let column = row.iter().position(|value| !value.is_finite()).unwrap_or_default();
            return Err(SamplingError::NotFinite { instance: *member, column });
        }
    }
    let mut order: Vec<u32> = (0..members.len() as u32).collect();
    let clustering =
        Clustering { values: &values, columns, batch_size: batch_size.max(1), seed, build, watch };
    clustering.split(&mut order, 0)?;
    Ok(order.into_iter().map(|place| members[place as usize]).collect())
}

struct Clustering<'a> {
    /// Rows of unit length, `columns` each.
    values: &'a [f32],
    columns: usize,
    batch_size: usize,
    seed: Seed,
    build: u64,
    watch: Watch<'a>,
}

impl Clustering<'_> {
    fn row(&self, place: u32) -> &[f32] {
        &self.values[place as usize * self.columns..][..self.columns]
    }

    /// Puts `part`, which begins at place `first` of the order, into an order whose stretches are clusters.
    fn split(&self, part: &mut [u32], first: usize) -> Result<(), SamplingError> {
        if part.len() <= self.batch_size {
            self.watch.progress.advance(part.len() as u64);
            return Ok(());
        }
        if self.watch.is_cancelled() {
            return Err(SamplingError::Cancelled);
        }
        let batches = part.len().div_ceil(self.batch_size);
        let middle = batches / 2 * self.batch_size;
        self.two_means(part, middle, first);
        let (left, right) = part.split_at_mut(middle);
        let (a, b) = rayon::join(|| self.split(left, first), || self.split(right, first + middle));
        a.and(b)
    }

    /// Brings the `middle` members that are nearest to one of two means, compared with the other, to the front.
    fn two_means(&self, part: &mut [u32], middle: usize, first: usize) {
        let mut stream = self.seed.stream("clusters", self.build, first as u64, 0);
        let picked = stream.distinct(2, part.len() as u32);
        let difference = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<f32>>();
        let mut direction =
            difference(self.row(part[picked[0] as usize]), self.row(part[picked[1] as usize]));
        let mut before: Vec<u32> = Vec::new();
        for _ in 0..MAX_ITERATIONS {
            let mut scored: Vec<(f32, u32)> = if part.len() < ALONE {
                part.iter().map(|place| (dot(self.row(*place), &direction), *place)).collect()
            } else {
                part.par_iter().map(|place| (dot(self.row(*place), &direction), *place)).collect()
            };
            scored.select_nth_unstable_by(middle, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            part.iter_mut().zip(&scored).for_each(|(place, (_, of))| *place = *of);
            let mut near: Vec<u32> = part[..middle].to_vec();
            near.sort_unstable();
            if near == before || self.watch.is_cancelled() {
                break;
            }
            direction = difference(&self.mean(&near), &self.mean(&part[middle..]));
            before = near;
        }
    }

    /// The mean of some rows, which does not depend on the number of threads.
    fn mean(&self, places: &[u32]) -> Vec<f32> {
        let sum = |places: &[u32]| {
            let mut sum = vec![0.0_f64; self.columns];
            for place in places {
                sum.iter_mut().zip(self.row(*place)).for_each(|(sum, value)| *sum += f64::from(*value));
            }
            sum
        };
        let sums: Vec<Vec<f64>> = places.par_chunks(ALONE).map(sum).collect();
        let mut total = vec![0.0_f64; self.columns];
        for part in sums {
            total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
        }
        total.into_iter().map(|value| (value / places.len().max(1) as f64) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lookalike_base::Matrix;

    #[test]
    fn separated_clusters_of_a_batch_each_are_found() {
        let (clusters, size, columns) = (16_u32, 20_u32, 8);
        let mut stream = Seed(1).stream("test", 0, 0, 0);
        let centres: Vec<Vec<f32>> =
            (0..clusters).map(|_| (0..columns).map(|_| stream.normal()).collect()).collect();
        let owner = stream.permutation(clusters * size);
        let values = owner.iter().flat_map(|owner| centres[(owner / size) as usize].clone());
        let values: Vec<f32> = values.map(|value| value + 0.01 * stream.normal()).collect();
        let rows = Matrix::new(values, columns).unwrap();
        let order =
            cluster_order(rows.rows(), None, None, size as usize, Seed(2), 0, Watch::default()).unwrap();
        let whole = order.chunks(size as usize).filter(|batch| {
            let of = |instance: &u32| owner[*instance as usize] / size;
            batch.iter().all(|instance| of(instance) == of(&batch[0]))
        });
        // Two-means with two random members as its first means can cut a cluster; most stay whole.
        assert!(whole.count() >= 12);
        let mut sorted = order;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..clusters * size).collect::<Vec<u32>>());
    }

    #[test]
    fn the_order_is_the_same_on_any_number_of_threads_and_only_of_those_present() {
        let mut stream = Seed(7).stream("test", 0, 0, 0);
        let rows = Matrix::new((0..9000 * 6).map(|_| stream.normal()).collect(), 6).unwrap();
        let mut present = InstanceSet::new(9000);
        present.extend((0..9000).filter(|instance| instance % 9 != 0));
        let order = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                cluster_order(rows.rows(), Some(&present), None, 64, Seed(1), 3, Watch::default()).unwrap()
            })
        };
        let one = order(1);
        assert_eq!(one.len(), 8000);
        assert!(one.iter().all(|instance| instance % 9 != 0));
        assert_eq!(one, order(3));
    }
}
