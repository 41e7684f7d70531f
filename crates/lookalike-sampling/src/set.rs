//! Sets of instances: a bit each, and one from which members can be drawn.

use lookalike_base::Stream;

use crate::error::SamplingError;

/// Checks that there are at least two instances and that 32 bits can number them.
pub(crate) fn check_instances(instances: usize) -> Result<u32, SamplingError> {
    match u32::try_from(instances) {
        Ok(count) if count >= 2 => Ok(count),
        _ => Err(SamplingError::Instances { instances }),
    }
}

/// Those of `instances` who are `present`; everybody where nothing says who is.
pub(crate) fn present_of(
    instances: usize,
    present: Option<&InstanceSet>,
) -> impl Iterator<Item = u32> + Clone {
    (0..instances as u32).filter(move |instance| present.is_none_or(|present| present.contains(*instance)))
}

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

    /// The members, in ascending order.
    fn iter(&self) -> impl Iterator<Item = u32> {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some((at * 64) as u32 + bit)
            })
        })
    }

    /// The `count` instances from `first` on, numbered from 0, as a set of their own.
    pub(crate) fn part(&self, first: usize, count: usize) -> Self {
        let mut part = Self::new(count);
        if first == 0 && count == self.instances {
            part.words.clone_from(&self.words);
            return part;
        }
        let inside = (0..count as u32).filter(|instance| self.contains(first as u32 + instance));
        part.extend(inside);
        part
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

/// A set that only shrinks, from which members can be drawn: a bit an instance, so that it stays in the nearest caches, and
/// a list once they are few.
#[derive(Debug)]
pub(crate) struct Pool {
    members: InstanceSet,
    count: usize,
    /// Who was a member when the list was made; empty while they are many.
    list: Vec<u32>,
    /// How many lists were made.
    lists: u32,
}

/// Members are listed once fewer than one instance in this many is a member.
const MANY: usize = 16;

impl Pool {
    pub(crate) fn new(members: InstanceSet) -> Self {
        let count = members.count();
        let mut pool = Self { members, count, list: Vec::new(), lists: 0 };
        pool.list();
        pool
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn contains(&self, instance: u32) -> bool {
        self.count > 0 && self.members.contains(instance)
    }

    /// The members, in ascending order.
    pub(crate) fn members(&self) -> impl Iterator<Item = u32> {
        self.members.iter()
    }

    /// Removes `instance`; whether it was there.
    pub(crate) fn remove(&mut self, instance: u32) -> bool {
        let there = self.count > 0 && self.members.remove(instance);
        if there {
            self.count -= 1;
            self.list();
        }
        there
    }

    /// Lists the members where they have become few, and anew where more than half of those listed are gone.
    fn list(&mut self) {
        if self.list.is_empty() {
            if self.count > 0 && self.count * MANY < self.members.instances() {
                self.list = self.members.iter().collect();
                self.lists += 1;
            }
        } else if self.count * 2 < self.list.len() {
            let members = &self.members;
            self.list.retain(|instance| members.contains(*instance));
            self.lists += 1;
        }
    }

    /// How many lists were made. As long as this stays the same, what a stream draws is the first member of a sequence that
    /// is the stream's alone. Because pools only shrink, what was drawn too early then stays right for as long as it is a
    /// member: instances that come before it in the sequence were not members even then.
    pub(crate) fn lists(&self) -> u32 {
        self.lists
    }

    /// A uniformly random member, in a few tries.
    pub(crate) fn draw(&self, stream: &mut Stream) -> Option<u32> {
        let (instances, listed) = (self.members.instances() as u32, self.list.len() as u32);
        if self.count == 0 {
            return None;
        }
        loop {
            let drawn =
                if listed > 0 { self.list[stream.below(listed) as usize] } else { stream.below(instances) };
            if self.members.contains(drawn) {
                return Some(drawn);
            }
        }
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
    fn a_part_of_a_set_holds_those_of_its_stretch() {
        let mut set = InstanceSet::new(200);
        set.extend([3, 64, 70, 129, 199]);
        assert_eq!(set.part(0, 200), set);
        assert_eq!(set.part(64, 66).iter().collect::<Vec<u32>>(), [0, 6, 65]);
        assert_eq!(set.part(199, 1).count(), 1);
    }

    fn pool(instances: usize, members: impl IntoIterator<Item = u32>) -> Pool {
        let mut set = InstanceSet::new(instances);
        set.extend(members);
        Pool::new(set)
    }

    #[test]
    fn members_come_in_order_across_words() {
        let mut set = InstanceSet::new(200);
        assert_eq!(set.iter().next(), None);
        set.extend([190, 3, 64, 63, 199]);
        assert!(set.remove(64) && !set.remove(64));
        assert_eq!(set.iter().collect::<Vec<u32>>(), [3, 63, 190, 199]);
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
    fn each_member_of_a_pool_is_drawn_equally_often_be_they_many_or_few() {
        let members = [2, 3, 50, 63];
        for instances in [64, 100, 10_000] {
            let mut stream = Seed(2).stream("test", 0, 0, 0);
            let mut pool = pool(instances, members.into_iter().chain(5..40));
            // Down to the four by way of several lists.
            (5..40).for_each(|gone| assert!(pool.remove(gone)));
            assert_eq!((pool.len(), pool.lists() > 1), (4, instances == 10_000));
            let mut counts = vec![0_i32; instances];
            for _ in 0..40_000 {
                counts[pool.draw(&mut stream).unwrap() as usize] += 1;
            }
            assert!(
                members.iter().all(|member| (counts[*member as usize] - 10_000).abs() < 400),
                "{counts:?}"
            );
        }
    }

    #[test]
    fn what_was_drawn_too_early_is_what_a_smaller_pool_gives_as_long_as_it_is_a_member() {
        for (instances, count) in [(300, 150), (1 << 20, 40)] {
            for seed in 0..50 {
                let mut order = Seed(seed).stream("members", 0, 0, 0);
                let members = order.distinct(count, instances);
                let mut pool = pool(instances as usize, members.iter().copied());
                let stream = || Seed(seed).stream("draws", 0, 0, 0);
                let (mut early, mut lists) = (stream(), pool.lists());
                let mut drawn = pool.draw(&mut early).unwrap();
                for gone in &members[..members.len() - 1] {
                    pool.remove(*gone);
                    if pool.lists() != lists {
                        (early, lists) = (stream(), pool.lists());
                        drawn = pool.draw(&mut early).unwrap();
                    }
                    while !pool.contains(drawn) {
                        drawn = pool.draw(&mut early).unwrap();
                    }
                    assert_eq!(pool.draw(&mut stream()), Some(drawn));
                }
            }
        }
    }
}
