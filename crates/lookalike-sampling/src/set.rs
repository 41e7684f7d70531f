//! Sets of instances: a bit each, and one from which members can be drawn.

use lookalike_base::Stream;

/// A set of instances, one bit for each there could be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceSet {
    words: Vec<u64>,
    instances: usize,
}

impl InstanceSet {
    /// The empty set over `instances`.
    pub fn new(instances: usize) -> Self {
        Self { words: vec![0; instances.div_ceil(64)], instances }
    }

    /// How many instances there could be, N.
    pub fn instances(&self) -> usize {
        self.instances
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether `instance` is in the set; one that is out of range is not.
    pub fn contains(&self, instance: u32) -> bool {
        self.words.get(instance as usize / 64).is_some_and(|word| word >> (instance % 64) & 1 == 1)
    }

    /// Adds `instance`.
    ///
    /// # Panics
    /// Where `instance` is not below [`InstanceSet::instances`].
    pub fn insert(&mut self, instance: u32) {
        assert!((instance as usize) < self.instances, "instance {instance} of {}", self.instances);
        self.words[instance as usize / 64] |= 1 << (instance % 64);
    }

    /// Removes everybody.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    /// The bits, 64 a word, the lowest first.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// The set with these bits, or `None` where there are too few, too many, or bits beyond the last instance.
    pub(crate) fn from_words(words: Vec<u64>, instances: usize) -> Option<Self> {
        let fits = words.len() == instances.div_ceil(64);
        let excess =
            !instances.is_multiple_of(64) && words.last().is_some_and(|last| last >> (instances % 64) != 0);
        (fits && !excess).then_some(Self { words, instances })
    }
}

impl Extend<u32> for InstanceSet {
    fn extend<I: IntoIterator<Item = u32>>(&mut self, members: I) {
        members.into_iter().for_each(|member| self.insert(member));
    }
}

/// A set from which a member can be drawn, or removed, in constant time.
#[derive(Debug)]
pub(crate) struct Pool {
    members: Vec<u32>,
    /// Where each instance is in `members`, `ABSENT` where it is not.
    places: Vec<u32>,
}

const ABSENT: u32 = u32::MAX;

impl Pool {
    pub(crate) fn new(instances: u32, members: impl Iterator<Item = u32>) -> Self {
        let members: Vec<u32> = members.collect();
        let mut places = vec![ABSENT; instances as usize];
        for (place, member) in members.iter().enumerate() {
            places[*member as usize] = place as u32;
        }
        Self { members, places }
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Removes `instance`; whether it was there.
    pub(crate) fn remove(&mut self, instance: u32) -> bool {
        let place = std::mem::replace(&mut self.places[instance as usize], ABSENT);
        if place == ABSENT {
            return false;
        }
        self.members.swap_remove(place as usize);
        if let Some(moved) = self.members.get(place as usize) {
            self.places[*moved as usize] = place;
        }
        true
    }

    /// Removes and returns a uniformly random member.
    pub(crate) fn draw(&mut self, stream: &mut Stream) -> Option<u32> {
        let count = self.members.len() as u32;
        let drawn = *self.members.get((count > 0).then(|| stream.below(count))? as usize)?;
        self.remove(drawn);
        Some(drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lookalike_base::Seed;

    #[test]
    fn a_set_holds_what_was_put_in_and_survives_its_words() {
        let mut set = InstanceSet::new(70);
        set.extend([0, 63, 64, 69, 64]);
        assert_eq!(
            (set.count(), set.contains(64), set.contains(65), set.contains(700)),
            (4, true, false, false)
        );
        assert_eq!(InstanceSet::from_words(set.words().to_vec(), 70).as_ref(), Some(&set));
        assert_eq!(InstanceSet::from_words(set.words().to_vec(), 69), None, "a bit beyond the last instance");
        assert_eq!(InstanceSet::from_words(vec![0], 70), None, "a word is missing");
    }

    #[test]
    fn a_pool_gives_each_member_once_and_never_one_that_was_removed() {
        let mut stream = Seed(1).stream("test", 0, 0, 0);
        let mut pool = Pool::new(10, [1, 3, 5, 7, 9].into_iter());
        assert!(pool.remove(5) && !pool.remove(5) && !pool.remove(2));
        let mut drawn: Vec<u32> = std::iter::from_fn(|| pool.draw(&mut stream)).collect();
        drawn.sort_unstable();
        assert_eq!(drawn, [1, 3, 7, 9]);
    }
}
