//! The embeddings that training produced, each with the step it is from.

use lookalike_base::{MatrixError, Rows};
use lookalike_kernels::scatter_units;

use crate::error::SamplingError;
use crate::graph::check_row;
use crate::graph::pairs::{halves, normalize_halves};
use crate::sampler::light::Trail;
use crate::sampler::report::Staleness;
use crate::set::InstanceSet;

/// The newest embedding of each instance, scaled to unit length, of pairs each half; nothing is allocated before the first.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EmbeddingStore {
    pub(crate) instances: usize,
    /// Whether a row is a query and its document.
    pairs: bool,
    /// Width of an embedding; 0 before the first.
    pub(crate) columns: usize,
    /// N×`columns`; zeros for those that have none.
    pub(crate) values: Vec<f32>,
    /// The step each is from.
    pub(crate) stamps: Vec<u64>,
    /// Who has one.
    pub(crate) present: InstanceSet,
    /// Which records led here.
    pub(crate) trail: Trail,
}

impl EmbeddingStore {
    pub(crate) fn new(instances: usize, pairs: bool) -> Self {
        let present = InstanceSet::new(instances);
        let (values, stamps, trail) = (Vec::new(), Vec::new(), Trail::default());
        Self { instances, pairs, columns: 0, values, stamps, present, trail }
    }

    /// Takes the embeddings of `instances` at `step`, whose squared norms [`EmbeddingStore::check`] found.
    pub(crate) fn take(&mut self, instances: &[u32], embeddings: Rows<'_>, squared_norms: &[f64], step: u64) {
        if self.columns == 0 && !instances.is_empty() {
            self.columns = embeddings.columns();
            self.values = vec![0.0; self.instances * self.columns];
            self.stamps = vec![0; self.instances];
        }
        self.trail.extend(instances, embeddings, step);
        if self.pairs {
            for (instance, row) in instances.iter().zip(embeddings) {
                let target = &mut self.values[*instance as usize * self.columns..][..self.columns];
                target.copy_from_slice(row);
                // They were found to be finite, so it never refuses.
                normalize_halves(target);
            }
        } else {
            scatter_units(embeddings.values(), self.columns, squared_norms, instances, &mut self.values);
        }
        for &instance in instances {
            self.stamps[instance as usize] = step;
            self.present.insert(instance);
        }
    }

    /// Checks that `embeddings` are finite, and of the shape and instances that they can be taken for. Returns the squared
    /// norm of each.
    pub(crate) fn check(&self, instances: &[u32], embeddings: Rows<'_>) -> Result<Vec<f64>, SamplingError> {
        if instances.len() != embeddings.len() {
            return Err(SamplingError::Rows { rows: embeddings.len(), instances: instances.len() });
        }
        self.check_columns(embeddings.columns())?;
        if let Some(&instance) = instances.iter().find(|instance| **instance as usize >= self.instances) {
            return Err(SamplingError::Instance { instance, instances: self.instances });
        }
        instances.iter().zip(embeddings.iter()).map(|(instance, row)| check_row(row, *instance)).collect()
    }

    /// Checks that rows of `columns` can be taken.
    pub(crate) fn check_columns(&self, columns: usize) -> Result<(), SamplingError> {
        if self.columns != 0 && self.columns != columns {
            return Err(SamplingError::Columns { expected: self.columns, found: columns });
        }
        if self.pairs {
            halves(columns)?;
        }
        Ok(())
    }

    /// The embeddings, a row for each instance; `None` before the first.
    pub(crate) fn rows(&self) -> Result<Option<Rows<'_>>, MatrixError> {
        if self.columns == 0 { Ok(None) } else { Rows::new(&self.values, self.columns).map(Some) }
    }

    /// How old the embeddings are at `step`.
    pub(crate) fn staleness(&self, step: u64) -> Staleness {
        let ages =
            self.stamps.iter().enumerate().filter(|(instance, _)| self.present.contains(*instance as u32));
        let (mut count, mut sum, mut max_age) = (0, 0, 0);
        for (_, stamp) in ages {
            let age = step.saturating_sub(*stamp);
            (count, sum, max_age) = (count + 1, sum + u128::from(age), max_age.max(age));
        }
        Staleness {
            step,
            without_embedding: self.instances - count,
            mean_age: if count == 0 { 0.0 } else { sum as f64 / count as f64 },
            max_age,
        }
    }
}
