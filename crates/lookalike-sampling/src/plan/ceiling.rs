//! Who is too similar to share a batch.
//!
//! Leaving such edges out of the graph is not enough: the two ends of an edge that is left out meet through their common neighbours.
//! So each instance is compared with the members of a batch before it comes in, on the embeddings themselves. A batch of 256 of 384
//! columns costs 32,640 inner products, a fraction of a millisecond.

use std::cell::RefCell;

use lookalike_base::RowSource;
use lookalike_kernels::dots;

use crate::error::SamplingError;
use crate::graph::pairs::{PairRows, UnitRows, normalize_halves};
use crate::set::InstanceSet;

/// Members that are compared between two looks at the result.
const COMPARED_AT_ONCE: usize = 8;

/// From which similarity on two instances do not share a batch.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// Two instances of a higher similarity are kept apart. Absent: no similarity is too high.
    pub similarity: Option<f64>,
    /// Of pairs: i and j are kept apart where qᵢ·dⱼ exceeds this share of qᵢ·dᵢ, or qⱼ·dᵢ that of qⱼ·dⱼ.
    pub to_positive: Option<f64>,
}

/// Limits on the similarity of instances that share a batch, and the embeddings by which they are told.
#[derive(Clone, Copy)]
pub struct Ceiling<'a> {
    rows: UnitRows<'a>,
    present: Option<&'a InstanceSet>,
    pub(crate) limits: Limits,
}

impl std::fmt::Debug for Ceiling<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Ceiling").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl<'a> Ceiling<'a> {
    /// The ceiling by `rows`, which are compared as a graph compares them. Instances that are not `present` have no embedding, and are
    /// similar to nobody.
    ///
    /// # Shapes
    /// `rows` N×d, of finite numbers; N×2d for `pairs`.
    ///
    /// # Errors
    /// [`SamplingError::OddColumns`] for pairs without two halves, [`SamplingError::Combination`] for a share of the positive's similarity
    /// where rows are no pairs.
    pub fn new(
        rows: &'a dyn RowSource,
        pairs: Option<PairRows>,
        present: Option<&'a InstanceSet>,
        limits: Limits,
    ) -> Result<Self, SamplingError> {
        if limits.to_positive.is_some() && pairs.is_none() {
            let (option, with) = ("similarity_to_positive", "rows of one embedding");
            let reason = "a positive is known of pairs only";
            return Err(SamplingError::Combination { option, with, reason });
        }
        Ok(Self { rows: UnitRows::new(rows, pairs)?, present, limits })
    }

    /// Instances that it has rows for.
    pub(crate) fn instances(&self) -> usize {
        self.rows.rows.len()
    }
}

/// The rows of the members of a batch in the making.
pub(crate) struct CeilingBatch<'a> {
    ceiling: Ceiling<'a>,
    /// As they are compared, where similarities have a limit.
    compared: MemberRows,
    /// Query and document of each, where those of others have one.
    halves: MemberRows,
    /// How similar each member's document is to its query.
    positives: Vec<f64>,
    candidate: RefCell<Candidate>,
    /// Those who were refused since the batch began: whoever is too similar now stays so.
    refused: RefCell<(InstanceSet, Vec<u32>)>,
}

/// Rows of equal width, one behind another.
struct MemberRows {
    columns: usize,
    values: Vec<f32>,
}

/// The instance that was looked at last.
#[derive(Default)]
struct Candidate {
    instance: Option<u32>,
    compared: Vec<f32>,
    halves: Vec<f32>,
    positive: f64,
}

impl<'a> CeilingBatch<'a> {
    pub(crate) fn new(ceiling: Ceiling<'a>) -> Self {
        let (compared, halves) = (ceiling.rows.columns(), ceiling.rows.rows.columns());
        let (compared_row, halves_row) = (vec![0.0; compared], vec![0.0; halves]);
        let candidate =
            Candidate { instance: None, compared: compared_row, halves: halves_row, positive: 0.0 };
        Self {
            ceiling,
            compared: MemberRows { columns: compared, values: Vec::new() },
            halves: MemberRows { columns: halves, values: Vec::new() },
            positives: Vec::new(),
            candidate: RefCell::new(candidate),
            refused: RefCell::new((InstanceSet::new(ceiling.instances()), Vec::new())),
        }
    }

    /// Begins a batch.
    pub(crate) fn begin(&mut self) {
        self.compared.values.clear();
        self.halves.values.clear();
        self.positives.clear();
        let (set, list) = &mut *self.refused.borrow_mut();
        list.drain(..).for_each(|instance| {
            set.remove(instance);
        });
    }

    /// Whether no member is too similar to `instance`.
    pub(crate) fn admits(&self, instance: u32) -> bool {
        if self.is_unknown(instance) || self.refused.borrow().0.contains(instance) {
            return self.is_unknown(instance);
        }
        let candidate = &mut *self.candidate.borrow_mut();
        self.read(instance, candidate);
        let admitted = self.is_below(candidate) && self.answers_nobody(candidate);
        if !admitted {
            let (set, list) = &mut *self.refused.borrow_mut();
            set.insert(instance);
            list.push(instance);
        }
        admitted
    }

    /// Takes `instance` into the batch.
    pub(crate) fn join(&mut self, instance: u32) {
        if self.is_unknown(instance) {
            return;
        }
        let mut candidate = self.candidate.take();
        self.read(instance, &mut candidate);
        if self.ceiling.limits.similarity.is_some() {
            self.compared.values.extend_from_slice(&candidate.compared);
        }
        if self.ceiling.limits.to_positive.is_some() {
            self.halves.values.extend_from_slice(&candidate.halves);
            self.positives.push(candidate.positive);
        }
        self.candidate.replace(candidate);
    }

    fn is_unknown(&self, instance: u32) -> bool {
        self.ceiling.present.is_some_and(|present| !present.contains(instance))
    }

    fn read(&self, instance: u32, candidate: &mut Candidate) {
        // Whoever comes in was looked at just before.
        if candidate.instance.replace(instance) == Some(instance) {
            return;
        }
        if self.ceiling.limits.similarity.is_some() {
            // Rows were found to be finite when the graph was built.
            self.ceiling.rows.read(instance as usize, &mut candidate.compared);
        }
        if self.ceiling.limits.to_positive.is_some() {
            self.ceiling.rows.rows.read_row(instance as usize, &mut candidate.halves);
            normalize_halves(&mut candidate.halves);
            let (query, document) = candidate.halves.split_at(candidate.halves.len() / 2);
            candidate.positive = f64::from(lookalike_kernels::dot(query, document));
        }
    }

    /// Whether the candidate is similar to no member beyond the limit.
    fn is_below(&self, candidate: &Candidate) -> bool {
        let Some(limit) = self.ceiling.limits.similarity else { return true };
        let below = |products: &[f32]| products.iter().all(|product| f64::from(*product) <= limit);
        match self.ceiling.rows.pairs {
            None | Some(PairRows::Mean) => {
                self.compared.all(0, &candidate.compared, |_, values| below(values))
            }
            Some(PairRows::Cross) => {
                let half = self.compared.columns / 2;
                let (query, document) = candidate.compared.split_at(half);
                self.compared.all(half, query, |_, values| below(values))
                    && self.compared.all(0, document, |_, values| below(values))
            }
        }
    }

    /// Whether no member's document is too close to the candidate's query, nor the other way round.
    fn answers_nobody(&self, candidate: &Candidate) -> bool {
        let Some(share) = self.ceiling.limits.to_positive else { return true };
        let half = self.halves.columns / 2;
        let (query, document) = candidate.halves.split_at(half);
        let own = share * candidate.positive;
        let forth = |_, products: &[f32]| products.iter().all(|product| f64::from(*product) <= own);
        let back = |first: usize, products: &[f32]| {
            let mut positives = products.iter().zip(&self.positives[first..]);
            positives.all(|(product, positive)| f64::from(*product) <= share * positive)
        };
        self.halves.all(half, query, forth) && self.halves.all(0, document, back)
    }
}

impl MemberRows {
    /// Whether `accepts` the inner products of `row` with each of some members, whose number the first has; of theirs the columns from
    /// `begin` on count.
    fn all(&self, begin: usize, row: &[f32], accepts: impl Fn(usize, &[f32]) -> bool) -> bool {
        let mut products = [0.0; COMPARED_AT_ONCE];
        let blocks = self.values.chunks(self.columns * COMPARED_AT_ONCE).enumerate();
        blocks.into_iter().all(|(block, rows)| {
            let found = &mut products[..rows.len() / self.columns];
            dots(row, &rows[begin..], self.columns, found);
            accepts(block * COMPARED_AT_ONCE, found)
        })
    }
}
