//! Groups: instances that must not meet in a batch, because they are the same thing.
//!
//! Duplicates, views of one scene, sentences of one document: as negatives of each other they are false, whatever their
//! embeddings say.

use std::collections::HashMap;

use lookalike_base::hash::Hasher;

use crate::error::SamplingError;

/// Each instance's group. No two instances of a group share a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    /// The group of each instance, numbered in the order in which groups come up.
    group_of: Vec<u32>,
    /// Where each group's members begin; one more at the end.
    offsets: Vec<usize>,
    /// The instances, group by group.
    members: Vec<u32>,
    /// The identifier that was given for each group.
    identifiers: Vec<u64>,
}

impl Groups {
    /// The groups of instances with these identifiers: equal ones belong together.
    ///
    /// # Shapes
    /// `identifiers` N, fewer than 2³².
    pub fn new(identifiers: &[u64]) -> Self {
        let mut numbers = HashMap::new();
        let mut names = Vec::new();
        let group_of: Vec<u32> = identifiers
            .iter()
            .map(|identifier| {
                *numbers.entry(*identifier).or_insert_with(|| {
                    names.push(*identifier);
                    names.len() as u32 - 1
                })
            })
            .collect();
        let mut offsets = vec![0; names.len() + 1];
        for group in &group_of {
            offsets[*group as usize + 1] += 1;
        }
        for group in 0..names.len() {
            offsets[group + 1] += offsets[group];
        }
        let mut places = offsets.clone();
        let mut members = vec![0; group_of.len()];
        for (instance, group) in group_of.iter().enumerate() {
            members[places[*group as usize]] = instance as u32;
            places[*group as usize] += 1;
        }
        Self { group_of, offsets, members, identifiers: names }
    }

    /// The same with signed identifiers, of which −1 means none: such an instance may share a batch with anybody.
    ///
    /// # Shapes
    /// As [`Groups::new`].
    pub fn with_none(identifiers: &[i64]) -> Self {
        // Whoever has none gets a negative one of its own: they are compared by their bits, and no other is negative.
        let own = |(identifier, at): (&i64, i64)| if *identifier == -1 { -1 - at } else { *identifier };
        Self::new(&identifiers.iter().zip(0..).map(|pair| own(pair).cast_unsigned()).collect::<Vec<u64>>())
    }

    /// The groups of the `count` instances from `first` on, numbered from 0.
    pub(crate) fn part(&self, first: usize, count: usize) -> Self {
        let of = |group: &u32| self.identifiers[*group as usize];
        Self::new(&self.group_of[first..first + count].iter().map(of).collect::<Vec<u64>>())
    }

    /// Instances, N.
    pub fn instances(&self) -> usize {
        self.group_of.len()
    }

    /// How many groups there are.
    pub fn count(&self) -> usize {
        self.identifiers.len()
    }

    /// Whether two instances are of one group.
    ///
    /// # Panics
    /// Where one of them is not below [`Groups::instances`].
    pub fn equal(&self, a: u32, b: u32) -> bool {
        self.group_of[a as usize] == self.group_of[b as usize]
    }

    /// For each instance the first one of its group.
    pub fn first_members(&self) -> Vec<u32> {
        self.group_of.iter().map(|group| self.members(*group)[0]).collect()
    }

    pub(crate) fn of(&self, instance: u32) -> u32 {
        self.group_of[instance as usize]
    }

    pub(crate) fn members(&self, group: u32) -> &[u32] {
        &self.members[self.offsets[group as usize]..self.offsets[group as usize + 1]]
    }

    pub(crate) fn identifier(&self, group: u32) -> u64 {
        self.identifiers[group as usize]
    }

    /// The groups of each instance, which a saved state is compared by.
    pub(crate) fn fingerprint(&self) -> u64 {
        fingerprint(&self.group_of)
    }

    /// Checks that `instances` can be dealt into batches of `batch_size` without two of a group in one; where they are to
    /// `cover`, into `batches`, the last of which has `last` members, so that nobody is left over.
    pub(crate) fn check(
        &self,
        instances: usize,
        batch_size: usize,
        cover: Option<(usize, usize)>,
    ) -> Result<(), SamplingError> {
        if self.instances() != instances {
            let found = self.instances();
            return Err(SamplingError::Length { what: "groups", found, instances });
        }
        if self.count() < batch_size {
            return Err(SamplingError::FewGroups { groups: self.count(), batch_size });
        }
        let Some((batches, last)) = cover else { return Ok(()) };
        let mut largest = 0;
        for group in 0..self.count() as u32 {
            let members = self.members(group).len();
            if members > batches {
                let group = self.identifier(group);
                return Err(SamplingError::LargeGroup { group, members, batches });
            }
            largest += usize::from(members == batches);
        }
        // Each of them needs a place in the last batch too; there is one where that is as large as the others.
        if last < batch_size && largest > last {
            return Err(SamplingError::LargestGroups { groups: largest, batches, last });
        }
        Ok(())
    }
}

/// A number that two lists share only if they are the same (but for a chance of 2⁻⁶⁴).
pub(crate) fn fingerprint(values: &[u32]) -> u64 {
    let mut hasher = Hasher::new();
    hasher.numbers(values.iter().map(|value| value.to_le_bytes()));
    hasher.short()
}
