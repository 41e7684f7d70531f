//! Negatives: where they come from (the batch, a [queue], a [memory bank](memory_bank)), which of them count ([oracle]),
//! and harder ones made of them ([mixing]).
//!
//! Whatever the method, a loss is made in one place: [`ContrastiveLoss::compare`].

pub mod diagnostics;
pub mod excluded;
pub mod memory_bank;
pub mod mixing;
pub mod oracle;
pub mod queue;

use std::sync::Arc;

use lookalike_base::{Matrix, Stream};
use rayon::prelude::*;
use serde_json::{Map, Value};

use crate::engine::{Device, Tensor, from_host};
use crate::loss::{Loss, Similarities};
use crate::method::Position;

pub use excluded::{Excluded, InstanceIds};
pub use memory_bank::MemoryBank;
pub use mixing::MixingOptions;
pub use queue::Queue;

/// Stands where a candidate belongs to no instance: the random vectors that a queue starts with.
pub const NO_INSTANCE: u32 = u32::MAX;

/// Random directions; nothing but the numbers themselves is held on the way.
fn directions([count, dimension]: [usize; 2], stream: &mut Stream, device: &Device) -> Tensor<2> {
    let values = (0..count * dimension).map(|_| stream.normal()).collect();
    let mut rows = Matrix::new(values, dimension).unwrap_or_else(|error| unreachable!("whole rows: {error}"));
    rows.normalize_rows();
    from_host(rows.into_values(), [count, dimension], device)
}

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
    /// Whose candidate each row is.
    pub candidate_instances: InstanceIds,
    /// Whether candidates of the query's own instance are left out: its positive, itself, its older keys.
    pub exclude_own: bool,
    /// Whether gradient reaches the candidates.
    pub tracked: bool,
}

impl Comparison {
    /// Which candidates are no negatives; `None` where all are. With `labels`, those of the query's class are none.
    pub fn excluded(&self, labels: Option<&[u32]>) -> Option<Excluded> {
        let ids = &self.candidate_instances;
        if !self.exclude_own && labels.is_none() {
            return None;
        }
        let of_query = |own: &u32| {
            if let (InstanceIds::Rows(rows), None) = (ids, labels) {
                // The one entry of its own, without looking at the others.
                return Some(*own).filter(|own| (*own as usize) < *rows).into_iter().collect();
            }
            let is_none = |row: &usize| {
                let other = ids.of(*row);
                (self.exclude_own && *own == other)
                    || labels.is_some_and(|labels| oracle::same_class(labels, *own, other))
            };
            (0..ids.rows()).filter(is_none).map(|row| row as u32).collect()
        };
        Excluded::new(self.instances.par_iter().map(of_query).collect())
    }

    /// The similarities by which a loss is made, `excluded` as [`Comparison::excluded`] gives it.
    pub fn similarities(&self, excluded: Option<Excluded>) -> Similarities {
        Similarities {
            positive: (self.query.clone() * self.positive.clone()).sum_dim(1),
            negatives: self.query.clone().matmul(self.candidates.clone().transpose()),
            excluded,
        }
    }
}

/// How comparisons become a loss.
#[derive(Debug, Clone)]
pub struct ContrastiveLoss {
    /// The loss of each query.
    pub loss: Loss,
    /// Harder negatives mixed from those there are.
    pub mixing: Option<MixingOptions>,
    /// Whether candidates of the query's class are left out, see [`oracle`].
    pub oracle: bool,
    /// Classes of the instances where known; beyond the oracle only ever used to report false negatives.
    pub labels: Option<Arc<Vec<u32>>>,
}

impl ContrastiveLoss {
    /// `loss` on the candidates as they are.
    pub fn plain(loss: Loss) -> Self {
        Self { loss, mixing: None, oracle: false, labels: None }
    }

    /// The mean loss of the queries, `[1]`, and what the [diagnostics] show where `position` asks for them. `direction`
    /// tells the comparisons of one batch apart.
    pub fn compare(
        &self,
        comparison: &Comparison,
        position: &Position,
        direction: u64,
    ) -> (Tensor<1>, Map<String, Value>) {
        let labels = self.labels.as_ref().map(|labels| labels.as_slice());
        let plain = comparison.similarities(comparison.excluded(labels.filter(|_| self.oracle)));
        let mixing = self.mixing.filter(|mixing| mixing.is_on(position));
        let draw = mixing.map(|mixing| {
            let stream = |query| {
                let purpose = ["mixing", "mixing of the second direction"][direction.min(1) as usize];
                position.seed.stream(purpose, 0, position.batch, query)
            };
            mixing::draw(&plain, &mixing, stream)
        });
        let similarities = match &draw {
            Some(draw) => draw.append(comparison, &plain),
            None => plain.clone(),
        };
        let loss = self.loss.of(&similarities).mean();
        let scalars = if position.diagnostics {
            let ids = &comparison.candidate_instances;
            diagnostics::scalars(&diagnostics::Seen {
                query: &comparison.query,
                positive: &comparison.positive,
                instances: &comparison.instances,
                owner: &|_, candidate| ids.of(candidate),
                plain: &plain,
                similarities: &similarities,
                draw: draw.as_ref(),
                labels,
                temperature: self.loss.temperature(),
            })
        } else {
            Map::new()
        };
        (loss, scalars)
    }
}
