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

    /// Removes `instance`; whether it was there.
    pub(crate) fn remove(&mut self, instance: u32) -> bool {
        let Some(word) = self.words.get_mut(instance as usize / 64) else { return false };
        let there = *word >> (instance % 64) & 1 == 1;
        *word &= !(1 << (instance % 64));
        there
    }

    /// The first member above `instance`, or where there is none the first of all.
    fn after(&self, instance: u32) -> Option<u32> {
        let at = instance as usize / 64;
        // The bits above `instance` in its own word; then every word after it, and at last that word as a whole.
        let own = self.words.get(at).map_or(0, |word| word & !0 << (instance % 64) & !(1 << (instance % 64)));
        if own != 0 {
            return Some((at * 64) as u32 + own.trailing_zeros());
        }
        let others = (at + 1..self.words.len()).chain(0..(at + 1).min(self.words.len()));
        others
            .map(|other| (other, self.words[other]))
            .find(|(_, word)| *word != 0)
            .map(|(other, word)| (other * 64) as u32 + word.trailing_zeros())
    }

    /// Removes everybody.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    /// The bits, 64 a word, the lowest first.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// The set with these bits, of which there are none beyond the last instance.
    pub(crate) fn of_words(words: Vec<u64>, instances: usize) -> Self {
        debug_assert_eq!(words.len(), instances.div_ceil(64));
        Self { words, instances }
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

/// A set that only shrinks, from which members can be drawn: a bit an instance, so that it stays in the nearest caches.
#[derive(Debug)]
pub(crate) struct Pool {
    members: InstanceSet,
    count: usize,
}

/// After this many random instances that a pool does not hold, the next one that it holds is taken.
///
/// Only a pool with fewer than about N/1000 members comes to this; what is drawn is then uniform up to the gaps between
/// them, and costs no more than a look at each of its words.
const TRIES: u32 = 4096;

/// An endless sequence of instances, the first of which that a pool holds is drawn from it.
///
/// Because pools only shrink, what was drawn too early stays right for as long as it is a member: instances that
/// come before it in the sequence were not members even then.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Draws {
    tries: u32,
    last: u32,
}

impl Pool {
    pub(crate) fn new(members: InstanceSet) -> Self {
        let count = members.count();
        Self { members, count }
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn contains(&self, instance: u32) -> bool {
        self.members.contains(instance)
    }

    /// Removes `instance`; whether it was there.
    pub(crate) fn remove(&mut self, instance: u32) -> bool {
        let there = self.count > 0 && self.members.remove(instance);
        self.count -= usize::from(there);
        there
    }

    /// The next member in the sequence of `draws`, whose random instances are those of `stream`.
    pub(crate) fn next(&self, draws: &mut Draws, stream: &mut Stream) -> Option<u32> {
        let instances = self.members.instances() as u32;
        while self.count > 0 && draws.tries < TRIES {
            draws.tries += 1;
            draws.last = stream.below(instances);
            if self.members.contains(draws.last) {
                return Some(draws.last);
            }
        }
        draws.last = (self.count > 0).then(|| self.members.after(draws.last))??;
        Some(draws.last)
    }

    /// A uniformly random member.
    pub(crate) fn draw(&self, stream: &mut Stream) -> Option<u32> {
        self.next(&mut Draws::default(), stream)
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

    fn pool(instances: usize, members: impl IntoIterator<Item = u32>) -> Pool {
        let mut set = InstanceSet::new(instances);
        set.extend(members);
        Pool::new(set)
    }

    #[test]
    fn the_member_after_another_is_found_across_words_and_around_the_end() {
        let mut set = InstanceSet::new(200);
        assert_eq!(set.after(7), None);
        set.extend([3, 63, 64, 190]);
        let found = [0, 3, 62, 63, 64, 189, 190, 199].map(|instance| set.after(instance));
        assert_eq!(found, [3, 63, 63, 64, 190, 190, 3, 3].map(Some));
        assert!(set.remove(64) && !set.remove(64) && set.after(63) == Some(190));
    }

    #[test]
    fn a_pool_gives_each_member_once_and_never_one_that_was_removed() {
        let mut stream = Seed(1).stream("test", 0, 0, 0);
        let mut pool = pool(10, [1, 3, 5, 7, 9]);
        assert!(pool.remove(5) && !pool.remove(5) && !pool.remove(2));
        let draw = || {
            let drawn = pool.draw(&mut stream)?;
            pool.remove(drawn).then_some(drawn)
        };
        let mut drawn: Vec<u32> = std::iter::from_fn(draw).collect();
        drawn.sort_unstable();
        assert_eq!(drawn, [1, 3, 7, 9]);
    }

    #[test]
    fn each_member_of_a_pool_is_drawn_equally_often() {
        let mut stream = Seed(2).stream("test", 0, 0, 0);
        let members = [2, 3, 70, 99];
        let mut counts = [0_i32; 100];
        for _ in 0..40_000 {
            counts[pool(100, members).draw(&mut stream).unwrap() as usize] += 1;
        }
        assert!(members.iter().all(|member| (counts[*member as usize] - 10_000).abs() < 400), "{counts:?}");
    }

    #[test]
    fn what_was_drawn_too_early_is_what_a_smaller_pool_gives_as_long_as_it_is_a_member() {
        for (instances, count) in [(300, 150), (1 << 20, 3)] {
            for seed in 0..50 {
                let mut order = Seed(seed).stream("members", 0, 0, 0);
                let members = order.distinct(count, instances);
                let mut pool = pool(instances as usize, members.iter().copied());
                let stream = || Seed(seed).stream("draws", 0, 0, 0);
                let (mut draws, mut early) = (Draws::default(), stream());
                let mut drawn = pool.next(&mut draws, &mut early).unwrap();
                for gone in &members[..members.len() - 1] {
                    pool.remove(*gone);
                    while !pool.contains(drawn) {
                        drawn = pool.next(&mut draws, &mut early).unwrap();
                    }
                    assert_eq!(pool.next(&mut Draws::default(), &mut stream()), Some(drawn));
                }
            }
        }
    }
}
