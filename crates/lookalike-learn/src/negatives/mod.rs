//! Negatives: where they come from (the batch, a [queue], a [memory bank](memory_bank)), which of them count ([oracle]),
//! and harder ones made of them ([mixing]).
//!
//! Whatever the method, a loss is made in one place: [`Contrast::compare`].

pub mod instruments;
pub mod memory_bank;
pub mod mixing;
pub mod oracle;
pub mod queue;

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::engine::{Tensor, from_host};
use crate::loss::{Loss, Similarities};
use crate::method::Position;

pub use memory_bank::MemoryBank;
pub use mixing::MixingOptions;
pub use queue::Queue;

/// Stands where a candidate belongs to no instance: the random vectors that a queue starts with.
pub const NOBODY: u32 = u32::MAX;

/// Queries beside what they are compared with; all vectors of unit length.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// `[Q, d]`
    pub query: Tensor<2>,
    /// Whose query each row is.
    pub instances: Vec<u32>,
    /// `[Q, d]`, each query's positive.
    pub positive: Tensor<2>,
    /// `[K, d]`, candidates for negatives.
    pub candidates: Tensor<2>,
    /// Whose candidate each row is, or [`NOBODY`].
    pub candidate_instances: Vec<u32>,
    /// Whether candidates of the query's own instance are left out: its positive, itself, its older keys.
    pub exclude_own: bool,
    /// Whether gradient reaches the candidates.
    pub tracked: bool,
}

impl Comparison {
    /// Which candidates are no negatives: 1 there, 0 elsewhere, `[Q, K]` row-major; `None` where all are negatives. With
    /// `labels`, those of the query's class are none.
    pub fn excluded(&self, labels: Option<&[u32]>) -> Option<Vec<f32>> {
        if !self.exclude_own && labels.is_none() {
            return None;
        }
        let mut excluded = vec![0.0; self.instances.len() * self.candidate_instances.len()];
        let mut any = false;
        let rows = excluded.chunks_exact_mut(self.candidate_instances.len().max(1));
        for (row, own) in rows.zip(&self.instances) {
            for (flag, other) in row.iter_mut().zip(&self.candidate_instances) {
                if (self.exclude_own && own == other)
                    || labels.is_some_and(|labels| oracle::same_class(labels, *own, *other))
                {
                    *flag = 1.0;
                    any = true;
                }
            }
        }
        any.then_some(excluded)
    }

    /// The similarities by which a loss is made, `excluded` as [`Comparison::excluded`] gives it.
    pub fn similarities(&self, excluded: Option<&[f32]>) -> Similarities {
        let shape = [self.instances.len(), self.candidate_instances.len()];
        let device = self.query.device().inner();
        Similarities {
            positive: (self.query.clone() * self.positive.clone()).sum_dim(1),
            negatives: self.query.clone().matmul(self.candidates.clone().transpose()),
            excluded: excluded.map(|values| from_host(values.to_vec(), shape, &device)),
        }
    }
}

/// How comparisons become a loss.
#[derive(Debug, Clone)]
pub struct Contrast {
    /// The loss of each query.
    pub loss: Loss,
    /// Harder negatives mixed from those there are.
    pub mixing: Option<MixingOptions>,
    /// Whether candidates of the query's class are left out, see [`oracle`].
    pub oracle: bool,
    /// Classes of the instances where known; beyond the oracle only ever used to report false negatives.
    pub labels: Option<Arc<Vec<u32>>>,
}

impl Contrast {
    /// `loss` on the candidates as they are.
    pub fn plain(loss: Loss) -> Self {
        Self { loss, mixing: None, oracle: false, labels: None }
    }

    /// The mean loss of the queries, `[1]`, and what the [instruments] show where `position` asks for them. `direction`
    /// tells the comparisons of one batch apart.
    pub fn compare(
        &self,
        comparison: &Comparison,
        position: &Position,
        direction: u64,
    ) -> (Tensor<1>, Map<String, Value>) {
        let labels = self.labels.as_ref().map(|labels| labels.as_slice());
        let excluded = comparison.excluded(labels.filter(|_| self.oracle));
        let plain = comparison.similarities(excluded.as_deref());
        let mixing = self.mixing.filter(|mixing| mixing.is_on(position));
        let draw = mixing.map(|mixing| {
            let stream = |query| {
                let purpose = ["mixing", "mixing of the second direction"][direction.min(1) as usize];
                position.seed.stream(purpose, 0, position.batch, query)
            };
            mixing::draw(&plain.negatives, excluded.as_deref(), &mixing, stream)
        });
        let similarities = match &draw {
            Some(draw) => draw.append(comparison, &plain),
            None => plain.clone(),
        };
        let loss = self.loss.of(&similarities).mean();
        let figures = if position.instruments {
            instruments::figures(&instruments::Seen {
                comparison,
                plain: &plain,
                similarities: &similarities,
                draw: draw.as_ref(),
                labels,
                temperature: self.loss.temperature(),
            })
        } else {
            Map::new()
        };
        (loss, figures)
    }
}
