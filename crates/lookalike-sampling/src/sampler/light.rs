//! States that name batches and leave embeddings and graph out, for loaders that ask for one after every batch; and the embeddings with
//! their graph, to be saved apart and less often.
//!
//! A light state holds the planned batches of the running segment, so that no graph is needed before the next one. Which embeddings
//! belong to it is told by a trail: a number for everything that was recorded up to a time, of which the newest are kept.

use std::collections::VecDeque;

use lookalike_base::hash::Hasher;
use lookalike_base::{Array, Arrays, Rows};
use serde::{Deserialize, Serialize};

use crate::error::SamplingError;
use crate::plan::{BatchOrigins, Segment};
use crate::sampler::Sampler;
use crate::sampler::state::{SamplerState, array_of, missing, mistyped};

/// Records whose numbers are kept: a loader is fewer batches ahead of its loop.
const KEPT: usize = 1024;

/// What a light state says of the embeddings that it leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// Instances that had an embedding.
    pub embedded: usize,
    /// How often embeddings were recorded.
    pub records: u64,
    /// The trail's number after that.
    pub mark: u64,
}

/// A number for everything that was recorded, after each record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Trail {
    records: u64,
    marks: VecDeque<u64>,
}

impl Trail {
    /// Goes on by a record. Ends of rows stand for them: two runs do not share them by chance.
    pub(crate) fn extend(&mut self, instances: &[u32], embeddings: Rows<'_>, step: u64) {
        let mut hasher = Hasher::new();
        hasher.number(self.mark());
        hasher.number(step);
        hasher.numbers(instances.iter().map(|instance| instance.to_le_bytes()));
        let ends = embeddings.iter().map(|row| [row[0], row[row.len() - 1]].map(f32::to_bits));
        let ends: Vec<[u32; 2]> = ends.collect();
        hasher.numbers(ends.iter().flatten().map(|bits| bits.to_le_bytes()).collect::<Vec<_>>().into_iter());
        self.push(hasher.short());
    }

    fn push(&mut self, mark: u64) {
        self.records += 1;
        if self.marks.len() == KEPT {
            self.marks.pop_front();
        }
        self.marks.push_back(mark);
    }

    fn mark(&self) -> u64 {
        self.marks.back().copied().unwrap_or_default()
    }

    /// The mark after so many records, where it is still known.
    fn after(&self, records: u64) -> Option<u64> {
        let back = usize::try_from(self.records.checked_sub(records)?).ok()?;
        if records == 0 { Some(0) } else { self.marks.iter().rev().nth(back).copied() }
    }

    pub(crate) fn array(&self) -> Array {
        let numbers: Vec<u64> = std::iter::once(self.records).chain(self.marks.iter().copied()).collect();
        Array::u64([numbers.len()], numbers)
    }

    /// That of saved arrays; without any where they have none.
    pub(crate) fn of(arrays: &Arrays) -> Result<Self, SamplingError> {
        let Some(array) = arrays.get("trail") else { return Ok(Self::default()) };
        let numbers = array.as_u64().ok_or_else(|| mistyped("trail", array, "U64"))?;
        match numbers.split_first() {
            Some((records, marks)) if marks.len() as u64 == (*records).min(KEPT as u64) => {
                Ok(Self { records: *records, marks: marks.iter().copied().collect() })
            }
            _ => Err(SamplingError::State { problem: "its array trail is damaged".to_owned() }),
        }
    }
}

impl Sampler {
    /// As [`Sampler::state`] without embeddings and graph: what is left names batches, and takes N/8 bytes and 4 for each member of a
    /// batch that is planned already.
    ///
    /// # Shapes
    /// `used` ⌈N/64⌉ words; where batches of look-alikes are planned `segment.sizes` one for each of them, `segment.members` their sum, and
    /// `segment.origins` seven for each.
    pub fn light_state(&self) -> (SamplerState, Arrays) {
        let consumed =
            self.segment.as_ref().map_or(0, |segment| self.position * self.at_once() - segment.first_batch);
        let ahead = self.segment.as_ref().filter(|_| !self.is_uniform());
        let (mut state, mut arrays) = (self.named_state(0), Arrays::new());
        let mut used = self.used.clone();
        if let Some(segment) = ahead {
            used.extend(segment.batches[..consumed].iter().flatten().copied());
            let (batches, origins) = (&segment.batches[consumed..], &segment.origins[consumed..]);
            state.segment = Some((self.position * self.at_once(), batches.len()));
            insert_batches(&mut arrays, batches, origins);
        }
        arrays.insert("used".into(), Array::u64([used.words().len()], used.words().to_vec()));
        let trail = &self.store.trail;
        let (records, mark) = (trail.records, trail.mark());
        state.light =
            Some(self.awaited.unwrap_or(LeftOut { embedded: self.store.present.count(), records, mark }));
        (state, arrays)
    }

    /// The embeddings, and the graph in use: what a light state leaves out, for [`Sampler::load_embeddings`].
    ///
    /// # Shapes
    /// As [`Sampler::state`], and `builds` 1: which graph this is.
    ///
    /// # Errors
    /// [`SamplingError::State`] before any embedding was recorded.
    pub fn saved_embeddings(&self) -> Result<Arrays, SamplingError> {
        if self.store.columns == 0 {
            return Err(SamplingError::State { problem: "no embedding was recorded yet".to_owned() });
        }
        let mut arrays = self.large_arrays();
        arrays.insert("builds".into(), Array::u64([1], vec![self.builds]));
        Ok(arrays)
    }

    /// Takes the embeddings of [`Sampler::saved_embeddings`] in the place of those there are; after a light state also the
    /// graph, where none was built since. On an error nothing is taken.
    ///
    /// # Errors
    /// [`SamplingError::State`] for arrays that are missing, damaged, or of other instances, and for embeddings that are not those which
    /// a light state named, or newer ones of the same run.
    pub fn load_embeddings(&mut self, arrays: &Arrays) -> Result<(), SamplingError> {
        let trail = Trail::of(arrays)?;
        if let Some(named) = self.awaited
            && trail.after(named.records) != Some(named.mark)
        {
            let problem = format!(
                "its light state is of embeddings after {} records, and these, after {}, are not the same run's from then on; \
                 give the embeddings that were saved with it",
                named.records, trail.records
            );
            return Err(SamplingError::State { problem });
        }
        array_of(arrays, "builds", 1)?;
        let builds = arrays.get("builds").and_then(Array::as_u64).ok_or_else(|| missing("builds"))?[0];
        let mut taken = self.clone();
        taken.restore_embeddings(arrays)?;
        if taken.graphless && builds == taken.builds {
            taken.restore_graphs(crate::sampler::state::graph_of(self.instances, arrays)?, arrays)?;
            taken.graphless = false;
        }
        taken.awaited = None;
        *self = taken;
        Ok(())
    }

    /// Checks that the embeddings are there which a light state left out.
    pub(crate) fn check_embeddings(&mut self) -> Result<(), SamplingError> {
        let Some(named) = self.awaited else { return Ok(()) };
        let found = self.store.present.count();
        if found < named.embedded {
            let problem = format!(
                "a light state was loaded, which names embeddings of {} instances, and there are those of {found}: load what was \
                 saved apart from it, or record them again",
                named.embedded
            );
            return Err(SamplingError::State { problem });
        }
        self.awaited = None;
        Ok(())
    }

    /// The batches that a light state holds, `count` from `first_batch` on.
    pub(crate) fn saved_segment(
        &self,
        first_batch: usize,
        count: usize,
        arrays: &Arrays,
    ) -> Result<Segment, SamplingError> {
        let invalid =
            |what: &str| SamplingError::State { problem: format!("its planned batches are damaged: {what}") };
        let sizes =
            array_of(arrays, "segment.sizes", count)?.as_u32().ok_or_else(|| invalid("their sizes"))?;
        let total = sizes.iter().map(|size| *size as usize).sum();
        let members =
            array_of(arrays, "segment.members", total)?.as_u32().ok_or_else(|| invalid("their members"))?;
        let origins = array_of(arrays, "segment.origins", 7 * count)?
            .as_u64()
            .ok_or_else(|| invalid("their origins"))?;
        if members.iter().any(|member| *member as usize >= self.instances) || sizes.contains(&0) {
            return Err(invalid("not all members are instances"));
        }
        let mut rest = members;
        let batches = sizes.iter().map(|size| {
            let (batch, after) = rest.split_at(*size as usize);
            rest = after;
            batch.to_vec()
        });
        let batches: Vec<Vec<u32>> = batches.collect();
        let origins = origins.chunks_exact(7).map(|of| BatchOrigins {
            starts: of[0],
            collected: of[1],
            restarts: of[2],
            collected_after_restart: of[3],
            uniform: of[4],
            repeated: of[5],
            above_ceiling: of[6],
        });
        let origins: Vec<BatchOrigins> = origins.collect();
        let adds_up = |(batch, of): (&Vec<u32>, &BatchOrigins)| {
            let parts = &numbers(of)[..5];
            parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(*part)) == Some(batch.len() as u64)
        };
        if !batches.iter().zip(&origins).all(adds_up) {
            return Err(invalid("their origins do not add up"));
        }
        Ok(Segment { epoch: self.epoch, first_batch, batches, origins })
    }
}

/// The five numbers that add up to a batch, and the two of those among them.
fn numbers(of: &BatchOrigins) -> [u64; 7] {
    [
        of.starts,
        of.collected,
        of.restarts,
        of.collected_after_restart,
        of.uniform,
        of.repeated,
        of.above_ceiling,
    ]
}

/// Writes batches that are planned to `arrays`.
pub(crate) fn insert_batches(arrays: &mut Arrays, batches: &[Vec<u32>], origins: &[BatchOrigins]) {
    let sizes: Vec<u32> = batches.iter().map(|batch| batch.len() as u32).collect();
    let members = batches.concat();
    let origins: Vec<u64> = origins.iter().flat_map(numbers).collect();
    arrays.insert("segment.sizes".into(), Array::u32([sizes.len()], sizes));
    arrays.insert("segment.members".into(), Array::u32([members.len()], members));
    arrays.insert("segment.origins".into(), Array::u64([origins.len()], origins));
}
