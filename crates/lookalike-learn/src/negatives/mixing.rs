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
use serde::{Deserialize, Serialize};

use super::{Comparison, Excluded};
use crate::engine::{Int, Tensor, TensorData, from_host};
use crate::loss::Similarities;
use crate::method::Position;
use crate::op::with_values;

/// `negatives.mixing` of a recipe; the defaults are the paper's (1024, 1024, 128) and its 10 of 200 epochs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MixingOptions {
    /// N: how many of a query's hardest negatives are mixed.
    pub hardest: usize,
    /// s: mixtures of pairs of them.
    pub between: usize,
    /// s′: mixtures of one of them with the query.
    pub with_query: usize,
    /// Share of the run's optimiser steps before mixing begins.
    pub warm_up: f64,
}

impl Default for MixingOptions {
    fn default() -> Self {
        Self { hardest: 1024, between: 1024, with_query: 128, warm_up: 0.05 }
    }
}

impl MixingOptions {
    /// Whether mixing has begun.
    pub fn is_on(&self, position: &Position) -> bool {
        position.step as f64 >= self.warm_up * position.steps as f64
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
    /// The query's hardest negatives, in no particular order; fewer than N where it has fewer negatives.
    pub hardest: Vec<u32>,
    /// Its s + s′ mixtures; none where it has no negative.
    pub mixtures: Vec<Mixture>,
}

impl QueryDraw {
    /// Of a query with these `similarities`, those that `excluded` names in ascending order left out.
    pub fn new(similarities: &[f32], excluded: &[u32], options: &MixingOptions, stream: &mut Stream) -> Self {
        let hardest = hardest(similarities, excluded, options.hardest);
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

/// Chooses each query's hardest negatives by `similarities` and draws from its `stream` which of them are mixed, and how.
pub fn draw(
    similarities: &Similarities,
    options: &MixingOptions,
    stream: impl Fn(u64) -> Stream + Sync,
) -> Draw {
    let candidates = similarities.negatives.dims()[1];
    let excluded = similarities.excluded.as_ref();
    let queries = with_values(&similarities.negatives, |values| {
        let rows = values.par_chunks_exact(candidates).enumerate();
        rows.map(|(query, row)| {
            let excluded = excluded.map_or(&[][..], |excluded| excluded.of(query));
            QueryDraw::new(row, excluded, options, &mut stream(query as u64))
        })
        .collect()
    });
    Draw { queries, mixtures: options.between + options.with_query }
}

/// Indices of the `most` largest of `similarities`, those that `excluded` names in ascending order left out.
fn hardest(similarities: &[f32], excluded: &[u32], most: usize) -> Vec<u32> {
    let mut excluded = excluded.iter().peekable();
    let allowed = |index: &u32| excluded.next_if_eq(&index).is_none();
    let mut indices: Vec<u32> = (0..similarities.len() as u32).filter(allowed).collect();
    if indices.len() > most && most > 0 {
        indices.select_nth_unstable_by(most - 1, |a, b| {
            // Ties by index, so that the choice does not depend on how the selection goes about it.
            similarities[*b as usize].total_cmp(&similarities[*a as usize]).then(a.cmp(b))
        });
    }
    indices.truncate(most);
    indices
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
        let weights = self.weights(&constants, &from);
        let tensor = |value: fn(&Mixture, &Weights) -> f32| {
            let values = self.fill(0.0, |query, index, mixture| value(mixture, &weights[query][index]));
            from_host(values, [queries, columns], &device)
        };
        let gather = |index: fn(&Mixture) -> u32| {
            let indices = self.fill(0_i64, |_, _, mixture| i64::from(index(mixture)));
            let indices = TensorData::new(indices, [queries, columns]);
            from.clone().gather(1, Tensor::<2, Int>::from_data(indices, &device))
        };
        // q·q is 1, but its gradient, that of q·(constant), is not 0.
        let own = (comparison.query.clone() * comparison.query.clone().inner()).sum_dim(1);
        let mixed = gather(|mixture| mixture.candidate) * tensor(|_, weights| weights.candidate)
            + gather(|mixture| mixture.partner.unwrap_or(0))
                * tensor(|mixture, weights| if mixture.partner.is_some() { weights.partner } else { 0.0 })
            + own * tensor(|mixture, weights| if mixture.partner.is_none() { weights.partner } else { 0.0 });
        // A query without negatives has no mixtures either.
        let first = plain.negatives.dims()[1] as u32;
        let missing = |query: &QueryDraw| {
            let none = if query.mixtures.is_empty() { columns as u32 } else { 0 };
            (first..first + none).collect()
        };
        let missing: Vec<Vec<u32>> = self.queries.iter().map(missing).collect();
        let excluded = match plain.excluded.clone() {
            Some(excluded) => Some(excluded.and(missing)),
            None => Excluded::new(missing),
        };
        let negatives = Tensor::cat(vec![plain.negatives.clone(), mixed], 1);
        Similarities { positive: plain.positive.clone(), negatives, excluded }
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

    fn weights(&self, candidates: &Tensor<2>, similarities: &Tensor<2>) -> Vec<Vec<Weights>> {
        let [count, dimension] = candidates.dims();
        with_values(candidates, |vectors| {
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
        })
    }
}
