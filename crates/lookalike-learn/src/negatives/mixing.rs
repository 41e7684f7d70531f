//! MoCHi, hard negative mixing (Kalantidis et al. 2020, section 3, <https://arxiv.org/abs/2010.01028>).
//!
//! Of each query q its N hardest negatives are mixed, to points harder than any there are:
//!
//! - h  ∝ α nᵢ + (1 − α) nⱼ for s pairs of them, α uniform in (0, 1) (equation 4),
//! - h′ ∝ β q  + (1 − β) nⱼ for s′ of them, β uniform in (0, ½), so that the query never dominates (equation 5).
//!
//! Both have unit length and are constants: gradient reaches q only through q·h. They join the negatives of that query alone
//! and are never enqueued.
//!
//! **No mixture is ever stored.** As q·h = (α q·nᵢ + (1 − α) q·nⱼ) / ‖α nᵢ + (1 − α) nⱼ‖, its value and its gradient are those of
//! similarities that the loss has anyway, times two constants; new is one inner product nᵢ·nⱼ a pair, for the length. That of
//! h′ needs none but q·nⱼ. A batch costs a selection of N of K a query, s inner products and a few numbers a mixture.

use lookalike_base::{Rows, Stream};
use rayon::prelude::*;

use super::Comparison;
use crate::engine::{Int, Tensor, TensorData, from_host, to_host};
use crate::loss::{Mask, Similarities};
use crate::op::{is_on_cpu, with_values};
use crate::options::{FRACTION, Value, length_from, vectors_from};
use crate::step::Step;

crate::options! {
    /// `negatives.mixing` of a recipe; the defaults are the paper's (1024, 1024, 128) and its 10 of 200 epochs.
    pub struct MixingOptions {
        /// N, the hardest negatives of a query, which are mixed; at most as many as it has.
        hardest: usize = Value::Integer(1024), vectors_from(1);
        /// s, mixtures of pairs of them.
        between: usize = Value::Integer(1024), length_from(0);
        /// s′, mixtures of one of them with the query, whose share is below ½.
        with_query: usize = Value::Integer(128), length_from(0);
        /// Share of the run's steps before mixing begins; the paper: 10 of 200 epochs.
        warm_up: f64 = Value::Number(0.05), FRACTION;
    }
}

impl Copy for MixingOptions {}

impl MixingOptions {
    /// Whether mixing has begun. In a run that is trained longer it has, before that.
    pub fn is_on(&self, step: &Step) -> bool {
        step.begins > 0 || step.step as f64 >= self.warm_up * step.steps as f64
    }
}

/// α nᵢ + (1 − α) nⱼ, or β q + (1 − β) nⱼ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mixture {
    /// The other candidate, j.
    pub candidate: u32,
    /// i, or `None` for the query.
    pub partner: Option<u32>,
    /// α or β, the partner's share.
    pub share: f32,
}

/// What a query's mixtures are made of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueryDraw {
    /// The query's hardest negatives, the hardest first; fewer than N where it has fewer negatives.
    pub hardest: Vec<u32>,
    /// Its s + s′ mixtures; none where it has no negative.
    pub mixtures: Vec<Mixture>,
}

impl QueryDraw {
    /// Of a query with these `similarities`, those that `masked` names in ascending order left out.
    pub fn new(similarities: &[f32], masked: &[u32], options: &MixingOptions, stream: &mut Stream) -> Self {
        let hardest = hardest(similarities, masked, options.hardest);
        let mixtures = mixtures(&hardest, options, stream);
        Self { hardest, mixtures }
    }

    /// The largest similarity of its mixtures to the query, which has these `similarities` to the rows of `pool`, all of unit length;
    /// −∞ where there is no mixture.
    pub fn largest(&self, similarities: &[f32], pool: Rows<'_>) -> f32 {
        let of = |mixture: &Mixture| {
            let weights = Weights::of(mixture, similarities, |index| pool.row(index as usize));
            // The query's similarity to itself is 1.
            let partner = mixture.partner.map_or(1.0, |partner| similarities[partner as usize]);
            weights.candidate * similarities[mixture.candidate as usize] + weights.partner * partner
        };
        self.mixtures.iter().map(of).fold(f32::NEG_INFINITY, f32::max)
    }
}

/// The mixtures of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Draw {
    /// One a query.
    pub queries: Vec<QueryDraw>,
    /// s + s′.
    pub mixtures: usize,
}

/// Chooses each query's hardest negatives by `similarities` and draws from its `stream` which of them are mixed, and how. Only the
/// numbers of the hardest leave the device.
pub fn draw(
    similarities: &Similarities,
    options: &MixingOptions,
    stream: impl Fn(usize) -> Stream + Sync,
) -> Draw {
    let candidates = similarities.negatives.dims()[1];
    let mask = similarities.mask.as_ref();
    let queries = if is_on_cpu(&similarities.negatives) {
        with_values(&similarities.negatives, |values| {
            let rows = values.par_chunks_exact(candidates).enumerate();
            rows.map(|(query, row)| {
                let masked = mask.map_or(&[][..], |mask| mask.of(query));
                QueryDraw::new(row, masked, options, &mut stream(query))
            })
            .collect()
        })
    } else {
        let queries = hardest_on_device(similarities, options.hardest).into_par_iter().enumerate();
        queries
            .map(|(query, hardest)| {
                let mixtures = mixtures(&hardest, options, &mut stream(query));
                QueryDraw { hardest, mixtures }
            })
            .collect()
    };
    Draw { queries, mixtures: options.between + options.with_query }
}

/// [`hardest`] of every query by the engine's own operations.
fn hardest_on_device(similarities: &Similarities, most: usize) -> Vec<Vec<u32>> {
    // Similarities lie within ±1, so what is masked lies below all others.
    const MASKED: f32 = 4.0;
    let mut values = similarities.negatives.clone().inner();
    if let Some(mask) = &similarities.mask {
        values = mask.lower(values, MASKED);
    }
    let [queries, candidates] = values.dims();
    let most = most.min(candidates);
    let (values, indices) = values.topk_with_indices(most, 1);
    let values = to_host(values);
    let indices: Vec<i64> = indices.into_data().iter::<i64>().collect();
    let of_query = |query: usize| {
        let own = query * most..(query + 1) * most;
        let kept = indices[own.clone()].iter().zip(&values[own]).filter(|(_, value)| **value > 1.5 - MASKED);
        let mut keys: Vec<u64> = kept.map(|(index, value)| key(*index as u32, *value)).collect();
        keys.sort_unstable();
        keys.into_iter().map(|key| key as u32).collect()
    };
    (0..queries).map(of_query).collect()
}

/// Indices of the `most` largest of `similarities`, the largest first, those that `masked` names in ascending order left out. Of equal
/// ones the first are taken. The order of the candidates among themselves has no part in it, so that what is drawn has none.
fn hardest(similarities: &[f32], masked: &[u32], most: usize) -> Vec<u32> {
    let mut masked = masked.iter().peekable();
    let allowed = |index: &u32| masked.next_if_eq(&index).is_none();
    let indices = (0..similarities.len() as u32).filter(allowed);
    let mut keys: Vec<u64> = indices.map(|index| key(index, similarities[index as usize])).collect();
    if keys.len() > most && most > 0 {
        keys.select_nth_unstable(most - 1);
    }
    keys.truncate(most);
    keys.sort_unstable();
    keys.into_iter().map(|key| key as u32).collect()
}

/// One number a candidate, which descends with the similarity and of equal ones ascends with the index.
fn key(index: u32, similarity: f32) -> u64 {
    u64::from(descending(similarity)) << 32 | u64::from(index)
}

/// A number that is the smaller the larger `value` is, by the total order of floating-point numbers.
fn descending(value: f32) -> u32 {
    let bits = value.to_bits();
    // Ascending: negative numbers the other way round, and below the others.
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    !ascending
}

fn mixtures(hardest: &[u32], options: &MixingOptions, stream: &mut Stream) -> Vec<Mixture> {
    let count = hardest.len() as u32;
    if count == 0 {
        return Vec::new();
    }
    let between = options.between;
    (0..between + options.with_query)
        .map(|index| {
            let place = stream.below(count);
            let candidate = hardest[place as usize];
            if index >= between {
                return Mixture { candidate, partner: None, share: 0.5 * stream.unit() };
            }
            // A pair of two, where there are two.
            let other = if count > 1 { (place + 1 + stream.below(count - 1)) % count } else { place };
            Mixture { candidate, partner: Some(hardest[other as usize]), share: stream.unit() }
        })
        .collect()
}

/// What the similarity of a mixture is made of: w · (similarity of the candidate) + v · (that of the partner).
#[derive(Clone, Copy, Default)]
struct Weights {
    candidate: f32,
    partner: f32,
}

impl Weights {
    /// `similarity` is that of candidate and partner, by which the length of their mixture is known.
    fn new(share: f32, similarity: f32) -> Self {
        let rest = 1.0 - share;
        let square = rest * rest + share * share + 2.0 * share * rest * similarity;
        let length = square.max(1e-12).sqrt();
        Self { candidate: rest / length, partner: share / length }
    }

    /// Of a mixture for a query with these `similarities` to the candidates that `vector` gives.
    fn of<'a>(mixture: &Mixture, similarities: &[f32], vector: impl Fn(u32) -> &'a [f32]) -> Self {
        let similarity = match mixture.partner {
            Some(partner) => lookalike_kernels::dot(vector(mixture.candidate), vector(partner)),
            None => similarities[mixture.candidate as usize],
        };
        Self::new(mixture.share, similarity)
    }
}

impl Draw {
    /// `plain`, with the mixtures' similarities behind those of the candidates.
    pub fn append(&self, comparison: &Comparison, plain: &Similarities) -> Similarities {
        let (queries, columns) = (self.queries.len(), self.mixtures);
        let device = comparison.query.device().inner();
        // Mixtures are constants, so where candidates carry gradient the similarities are made once more without.
        let constants = comparison.candidates.clone().inner();
        let from = if comparison.tracked {
            comparison.query.clone().matmul(constants.clone().transpose())
        } else {
            plain.negatives.clone()
        };
        let numbers = |value: &dyn Fn(&Mixture) -> f32| {
            from_host(self.fill(0.0, |_, _, mixture| value(mixture)), [queries, columns], &device)
        };
        let places = |index: fn(&Mixture) -> u32| {
            let indices = self.fill(0_i64, |_, _, mixture| i64::from(index(mixture)));
            Tensor::<2, Int>::from_data(TensorData::new(indices, [queries, columns]), &device)
        };
        let candidate = places(|mixture| mixture.candidate);
        let partner = places(|mixture| mixture.partner.unwrap_or(0));
        let paired = numbers(&|mixture| f32::from(u8::from(mixture.partner.is_some())));
        let weights = if is_on_cpu(&from) {
            self.weights(&constants, &from).map(|values| from_host(values, [queries, columns], &device))
        } else {
            let share = numbers(&|mixture| mixture.share);
            let indices = [candidate.clone(), partner.clone()];
            weights_on_device(&constants, &from.clone().inner(), indices, share, paired.clone())
        };
        let [of_candidate, of_partner] = weights;
        // q·q is 1, but its gradient, that of q·(constant), is not 0.
        let own = (comparison.query.clone() * comparison.query.clone().inner()).sum_dim(1);
        let alone = numbers(&|mixture| f32::from(u8::from(mixture.partner.is_none())));
        let mixed = from.clone().gather(1, candidate) * of_candidate
            + from.gather(1, partner) * (of_partner.clone() * paired)
            + own * (of_partner * alone);
        // A query without negatives has no mixtures either.
        let first = plain.negatives.dims()[1] as u32;
        let missing = |query: &QueryDraw| {
            let none = if query.mixtures.is_empty() { columns as u32 } else { 0 };
            (first..first + none).collect()
        };
        let missing: Vec<Vec<u32>> = self.queries.iter().map(missing).collect();
        let mask = match plain.mask.clone() {
            Some(mask) => Some(mask.and(missing)),
            None => Mask::new(missing),
        };
        let negatives = Tensor::cat(vec![plain.negatives.clone(), mixed], 1);
        Similarities { positive: plain.positive.clone(), negatives, mask }
    }

    /// One value a query and mixture, row by row; `absent` where a query has no mixtures.
    fn fill<T: Copy>(&self, absent: T, value: impl Fn(usize, usize, &Mixture) -> T) -> Vec<T> {
        let mut values = vec![absent; self.queries.len() * self.mixtures];
        for (query, row) in values.chunks_exact_mut(self.mixtures.max(1)).enumerate() {
            for (index, mixture) in self.queries[query].mixtures.iter().enumerate() {
                row[index] = value(query, index, mixture);
            }
        }
        values
    }

    /// The weights of candidate and partner of each mixture, row by row.
    fn weights(&self, candidates: &Tensor<2>, similarities: &Tensor<2>) -> [Vec<f32>; 2] {
        let [count, dimension] = candidates.dims();
        let weights: Vec<Vec<Weights>> = with_values(candidates, |vectors| {
            with_values(similarities, |similarities| {
                let vector = |index: u32| &vectors[index as usize * dimension..][..dimension];
                let of_query = |(query, drawn): (usize, &QueryDraw)| {
                    let similarities = &similarities[query * count..][..count];
                    let weights =
                        drawn.mixtures.iter().map(|mixture| Weights::of(mixture, similarities, vector));
                    weights.collect()
                };
                self.queries.par_iter().enumerate().map(of_query).collect()
            })
        });
        let values =
            |value: fn(&Weights) -> f32| self.fill(0.0, |query, index, _| value(&weights[query][index]));
        [values(|weights| weights.candidate), values(|weights| weights.partner)]
    }
}

/// [`Draw::weights`] by the engine's own operations; `indices` are those of candidates and partners, and `paired` is 1 where a partner
/// is a candidate, 0 where it is the query.
///
/// # Shapes
/// `candidates` `[K, d]`, `similarities` `[Q, K]`, all else `[Q, mixtures]`.
fn weights_on_device(
    candidates: &Tensor<2>,
    similarities: &Tensor<2>,
    indices: [Tensor<2, Int>; 2],
    share: Tensor<2>,
    paired: Tensor<2>,
) -> [Tensor<2>; 2] {
    let shape @ [queries, columns] = share.dims();
    let with_query = similarities.clone().gather(1, indices[0].clone());
    let [one, other] =
        indices.map(|indices| candidates.clone().select(0, indices.reshape([queries * columns])));
    let with_partner = (one * other).sum_dim(1).reshape(shape);
    let similarity = with_partner * paired.clone() + with_query * paired.neg().add_scalar(1.0);
    let rest = share.clone().neg().add_scalar(1.0);
    let cross = (share.clone() * rest.clone() * similarity).mul_scalar(2.0);
    let length = (rest.clone().square() + share.clone().square() + cross).clamp_min(1e-12).sqrt();
    [rest / length.clone(), share / length]
}

#[cfg(test)]
mod tests {
    use lookalike_base::Seed;

    use super::*;
    use crate::engine::Device;
    use crate::loss::normalize;

    #[test]
    fn the_engine_s_operations_choose_and_weigh_as_the_kernels_do() {
        let device = Device::flex();
        let mut stream = Seed(4).stream("vectors", 0, 0, 0);
        let mut units = |count: usize| {
            normalize(from_host((0..count * 8).map(|_| stream.normal()).collect(), [count, 8], &device))
        };
        let (query, candidates) = (units(5), units(40));
        let mask = Mask::new(vec![vec![0, 7], vec![], (0..40).collect(), vec![39], vec![]]);
        let similarities = Similarities::new(query.clone(), query, candidates.clone(), mask);
        let options = MixingOptions { hardest: 6, between: 9, with_query: 4, warm_up: 0.0 };
        let drawn = draw(&similarities, &options, |query| Seed(1).stream("mixing", 0, 0, query as u64));
        let hardest: Vec<Vec<u32>> = drawn.queries.iter().map(|query| query.hardest.clone()).collect();
        assert_eq!(hardest_on_device(&similarities, 6), hardest);
        let shape = [5, 13];
        let indices = |index: fn(&Mixture) -> u32| {
            let indices = drawn.fill(0_i64, |_, _, mixture| i64::from(index(mixture)));
            Tensor::<2, Int>::from_data(TensorData::new(indices, shape), &device)
        };
        let numbers = |value: fn(&Mixture) -> f32| {
            from_host(drawn.fill(0.0, |_, _, mixture| value(mixture)), shape, &device)
        };
        let theirs = weights_on_device(
            &candidates,
            &similarities.negatives,
            [indices(|mixture| mixture.candidate), indices(|mixture| mixture.partner.unwrap_or(0))],
            numbers(|mixture| mixture.share),
            numbers(|mixture| f32::from(u8::from(mixture.partner.is_some()))),
        );
        let present = drawn.fill(0.0, |_, _, _| 1.0);
        for (ours, theirs) in drawn.weights(&candidates, &similarities.negatives).into_iter().zip(theirs) {
            for ((ours, theirs), present) in ours.into_iter().zip(to_host(theirs)).zip(&present) {
                assert!((ours - theirs * present).abs() < 1e-5, "{ours} {theirs}");
            }
        }
    }

    #[test]
    fn the_order_of_keys_is_that_of_the_numbers() {
        let sorted = [f32::NAN, f32::INFINITY, 1.0, 0.5, 0.0, -0.0, -0.5, -1.0, f32::NEG_INFINITY];
        assert!(sorted.windows(2).all(|pair| descending(pair[0]) < descending(pair[1])));
        assert_eq!(hardest(&[0.5, 0.7, 0.5, -1.0], &[], 2), [1, 0]);
    }
}
