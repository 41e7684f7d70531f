//! What a program needs of a sampler that plans without training: a graph from rows that are kept elsewhere, and the batches
//! of all ranks.

use std::time::Instant;

use lookalike_base::{Progress, RowSource, Silent};

use crate::error::SamplingError;
use crate::plan::Segment;
use crate::sampler::Sampler;

impl Sampler {
    /// Rebuilds the graph from embeddings that are kept elsewhere, in a mapped file for instance, and need not fit into memory: a
    /// refresh, after which the next is due in `refresh_every` batches. What was planned ahead is planned anew.
    /// Uniform sampling only compares their number. `progress` counts the instances that were compared.
    ///
    /// # Shapes
    /// `rows` N×d, a row for each instance; N×2d for pairs.
    ///
    /// # Errors
    /// [`SamplingError::Rows`] for another number of rows, [`SamplingError::Combination`] where embeddings were
    /// [recorded](Sampler::record), which are what the sampler builds its graphs from, and what [`proximity_graph`](crate::proximity_graph) and
    /// [`knn_graph`](crate::knn_graph) refuse.
    pub fn rebuild_from(
        &mut self,
        rows: impl RowSource,
        progress: &dyn Progress,
    ) -> Result<(), SamplingError> {
        if rows.len() != self.instances {
            return Err(SamplingError::Rows { rows: rows.len(), instances: self.instances });
        }
        if self.store.columns > 0 {
            let (with, reason) = ("embeddings that were recorded", "graphs are built from those");
            return Err(SamplingError::Combination { option: "a graph from other rows", with, reason });
        }
        if !self.needs_embeddings() {
            return Ok(());
        }
        let begun = Instant::now();
        let (built, warnings) = self.build_all(&rows, progress)?;
        self.take_built(built)?;
        self.refreshed_at = Some(self.steps);
        if let Some(segment) = self.segment.take() {
            let consumed = self.position * self.at_once() - segment.first_batch;
            self.used.extend(segment.batches.into_iter().take(consumed).flatten());
        }
        self.builds += 1;
        self.warn(warnings);
        self.build_seconds += begun.elapsed().as_secs_f64();
        Ok(())
    }

    /// What all ranks together get by [`Sampler::next_segment`]: of [`RankSplit::Batches`](crate::RankSplit::Batches) batch b is of rank b mod W, of
    /// [`RankSplit::Within`](crate::RankSplit::Within) each batch has B·W members, of which rank r gets those at its places r, r + W, r + 2W, ….
    /// `rows` are those that the graph was [rebuilt from](Sampler::rebuild_from), by which a ceiling is kept; `None` where embeddings were
    /// recorded. `progress` advances by each of the batches that is planned for it.
    ///
    /// # Errors
    /// As [`Sampler::next_segment`]; [`SamplingError::Rows`] for another number of rows.
    pub fn next_segment_of_all(
        &mut self,
        rows: Option<&dyn RowSource>,
        progress: &dyn Progress,
    ) -> Result<Segment, SamplingError> {
        if let Some(rows) = rows.filter(|rows| rows.len() != self.instances) {
            return Err(SamplingError::Rows { rows: rows.len(), instances: self.instances });
        }
        let first_batch = self.position * self.at_once();
        let segment = self.planned(rows, &Silent, progress)?;
        let consumed = first_batch - segment.first_batch;
        let (batches, origins) = (segment.batches[consumed..].to_vec(), segment.origins[consumed..].to_vec());
        Ok(Segment { epoch: segment.epoch, first_batch, batches, origins })
    }
}
