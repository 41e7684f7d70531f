//! How the members of groups are spread over the batches of an epoch, so that none is left over at its end.
//!
//! With m batches to come, each with B places, and mB instances for them, there is a plan without two of a group in a
//! batch if and only if no group has more than m unused members: deal the groups one after another to the batches in
//! turn. A group with m members left therefore needs a place in each of the m batches. At most B groups can be as large,
//! and as soon as each of them has its place nothing else is bound: the others may come or not, and after the batch no
//! group has more than m − 1. Walks therefore choose freely as long as places are reserved for those groups.
//!
//! Where the last batch is kept with r < B members, groups with m members left need a place in that one too, so there must
//! be at most r of them (Gale and Ryser 1957). So that it stays so after the batch, enough of those with m − 1 are
//! brought into it too.

use lookalike_base::Stream;

use crate::error::SamplingError;
use crate::plan::groups::Groups;
use crate::set::InstanceSet;

/// The groups during a segment, and in the batch in the making.
pub(crate) struct GroupSchedule<'a> {
    pub(crate) groups: &'a Groups,
    /// Unused members of each group.
    counts: Vec<u32>,
    /// The same, but 0 for those in the batch.
    open: FenwickTree,
    inside: InstanceSet,
    entered: Vec<u32>,
    /// Where all are to come, the groups by the most unused members they can have, and the size of the last batch.
    cover: Option<(Vec<Vec<u32>>, usize)>,
    batch: RequiredGroups,
}

/// The groups that the batch in the making cannot do without.
#[derive(Default)]
struct RequiredGroups {
    /// Batches to come, this one included.
    left: u32,
    /// Groups with as many unused members, and how many of them are to come in.
    full: Vec<u32>,
    full_left: usize,
    /// Groups with one less, and how many of them are to come in.
    nearly: Vec<u32>,
    nearly_left: usize,
}

impl<'a> GroupSchedule<'a> {
    /// The schedule of those in `unused`; `cover` holds the batches to come and the size of the last one, where all are to come.
    ///
    /// # Errors
    /// [`SamplingError::Segment`] where those used before leave no plan.
    pub(crate) fn new(
        groups: &'a Groups,
        unused: impl Iterator<Item = u32>,
        cover: Option<(usize, usize)>,
    ) -> Result<Self, SamplingError> {
        let mut counts = vec![0; groups.count()];
        unused.for_each(|instance| counts[groups.of(instance) as usize] += 1);
        let cover = match cover {
            None => None,
            Some((batches, last)) => {
                let mut by_count = vec![Vec::new(); batches + 1];
                for (group, count) in counts.iter().enumerate() {
                    let Some(list) = by_count.get_mut(*count as usize) else {
                        let name = groups.identifier(group as u32);
                        let problem = format!(
                            "group {name} has {count} unused members, and {batches} batches are left"
                        );
                        return Err(SamplingError::Segment { problem });
                    };
                    list.push(group as u32);
                }
                Some((by_count, last))
            }
        };
        let (open, inside) = (FenwickTree::new(&counts), InstanceSet::new(groups.count()));
        Ok(Self {
            groups,
            counts,
            open,
            inside,
            entered: Vec::new(),
            cover,
            batch: RequiredGroups::default(),
        })
    }

    /// Begins a batch, after which `left` − 1 are to come.
    pub(crate) fn begin(&mut self, left: usize) {
        for group in self.entered.drain(..) {
            self.inside.remove(group);
            self.open.add(group, i64::from(self.counts[group as usize]));
        }
        let Some((by_count, last)) = &mut self.cover else { return };
        // Whom the batch before could not do without has one less now.
        let before = std::mem::take(&mut self.batch);
        by_count[left].extend(before.full);
        by_count[left].extend(before.nearly);
        let full = settle(by_count, &self.counts, left);
        let nearly = if left > 1 { settle(by_count, &self.counts, left - 1) } else { Vec::new() };
        let (full_left, nearly_left) = (full.len(), (full.len() + nearly.len()).saturating_sub(*last));
        let nearly_left = if left > 1 { nearly_left } else { 0 };
        self.batch = RequiredGroups { left: left as u32, full, full_left, nearly, nearly_left };
    }

    /// Places of the batch that are not free.
    pub(crate) fn reserved(&self) -> usize {
        self.batch.full_left + self.batch.nearly_left
    }

    /// Whether `instance` may come into the batch, which has `room` places; the reserved ones are among them.
    pub(crate) fn fits(&self, instance: u32, room: usize) -> bool {
        let group = self.groups.of(instance);
        if self.inside.contains(group) {
            return false;
        }
        let count = self.counts[group as usize];
        let needed = self.cover.is_some()
            && (count == self.batch.left || self.batch.nearly_left > 0 && count + 1 == self.batch.left);
        room > self.reserved() || needed && room > 0
    }

    /// Says that `instance` came into the batch, and whether it was unused.
    pub(crate) fn join(&mut self, instance: u32, unused: bool) {
        let group = self.groups.of(instance);
        let count = &mut self.counts[group as usize];
        self.open.add(group, -i64::from(*count));
        if self.cover.is_some() && *count == self.batch.left {
            self.batch.full_left -= 1;
        } else if self.cover.is_some() && *count + 1 == self.batch.left {
            self.batch.nearly_left = self.batch.nearly_left.saturating_sub(1);
        }
        *count -= u32::from(unused);
        self.inside.insert(group);
        self.entered.push(group);
    }

    /// An instance that may come in, uniformly drawn from the unused ones of the groups outside the batch, or where there
    /// are none from the members of a random group outside it.
    pub(crate) fn draw(&self, is_unused: impl Fn(u32) -> bool, stream: &mut Stream) -> Option<u32> {
        if let Ok(total) = u32::try_from(self.open.total)
            && total > 0
        {
            return self.member(self.open.find(u64::from(stream.below(total))), is_unused, stream);
        }
        // Not where all are to come: then as many groups have unused members as the batch has places.
        let count = self.groups.count() as u32;
        let first = stream.below(count);
        let group =
            (0..count).map(|step| (first + step) % count).find(|group| !self.inside.contains(*group))?;
        self.member(group, |_| true, stream)
    }

    /// A member of a group that has a reserved place, while there is one.
    pub(crate) fn draw_reserved(&self, is_unused: impl Fn(u32) -> bool, stream: &mut Stream) -> Option<u32> {
        let outside = |groups: &[u32]| groups.iter().copied().find(|group| !self.inside.contains(*group));
        let group = match (self.batch.full_left, self.batch.nearly_left) {
            (0, 0) => None,
            (0, _) => outside(&self.batch.nearly),
            _ => outside(&self.batch.full),
        };
        self.member(group?, is_unused, stream)
    }

    /// A uniformly random member of `group` among those that `may` come.
    fn member(&self, group: u32, may: impl Fn(u32) -> bool, stream: &mut Stream) -> Option<u32> {
        let members: Vec<u32> =
            self.groups.members(group).iter().copied().filter(|member| may(*member)).collect();
        let count = members.len() as u32;
        (count > 0).then(|| members[stream.below(count) as usize])
    }
}

/// Takes the groups with exactly `count` unused members; those in their list that have fewer by now go to theirs.
fn settle(by_count: &mut [Vec<u32>], counts: &[u32], count: usize) -> Vec<u32> {
    let (exact, fewer): (Vec<u32>, Vec<u32>) = std::mem::take(&mut by_count[count])
        .into_iter()
        .partition(|group| counts[*group as usize] as usize == count);
    for group in fewer {
        by_count[counts[group as usize] as usize].push(group);
    }
    exact
}

/// Weights that can be changed, and searched by their running sum, in O(log n) (Fenwick 1994).
struct FenwickTree {
    /// Node i holds the sum of the weights from i − (i & −i) to i − 1.
    sums: Vec<i64>,
    total: i64,
}

impl FenwickTree {
    fn new(weights: &[u32]) -> Self {
        let mut sums = vec![0; weights.len() + 1];
        for (at, weight) in weights.iter().enumerate() {
            let node = at + 1;
            sums[node] += i64::from(*weight);
            let above = node + (node & node.wrapping_neg());
            if above < sums.len() {
                sums[above] += sums[node];
            }
        }
        Self { sums, total: weights.iter().map(|weight| i64::from(*weight)).sum() }
    }

    fn add(&mut self, at: u32, change: i64) {
        self.total += change;
        let mut node = at as usize + 1;
        while node < self.sums.len() {
            self.sums[node] += change;
            node += node & node.wrapping_neg();
        }
    }

    /// The first place at which the running sum exceeds `sum`, which is below the total.
    fn find(&self, sum: u64) -> u32 {
        let (mut at, mut left) = (0, sum as i64);
        let mut step = self.sums.len().next_power_of_two() / 2;
        while step > 0 {
            if at + step < self.sums.len() && self.sums[at + step] <= left {
                at += step;
                left -= self.sums[at];
            }
            step /= 2;
        }
        at as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lookalike_base::Seed;

    #[test]
    fn a_tree_finds_what_a_running_sum_finds() {
        let mut stream = Seed(1).stream("test", 0, 0, 0);
        for count in 1..70 {
            let mut weights: Vec<u32> = (0..count).map(|_| stream.below(4)).collect();
            let mut tree = FenwickTree::new(&weights);
            let changed = stream.below(count);
            tree.add(changed, 2 - i64::from(weights[changed as usize]));
            weights[changed as usize] = 2;
            let expected: Vec<u32> =
                weights.iter().zip(0..).flat_map(|(weight, at)| vec![at; *weight as usize]).collect();
            let found: Vec<u32> = (0..tree.total as u64).map(|sum| tree.find(sum)).collect();
            assert_eq!(found, expected);
        }
    }
}
