//! Drawing the M distinct candidates of an instance.

use lookalike_base::Stream;

/// Appends to `list` `amount` distinct others of `own` among 0, 1, …, `count` − 1: a uniformly random subset.
///
/// Floyd's method, as in `Stream::distinct`, but remembering what was drawn in a table that stays in the nearest
/// cache: a rebuild draws N·M of them, as much of its time as the similarities would otherwise take.
pub(crate) fn draw_candidates(stream: &mut Stream, own: u32, amount: u32, count: u32, list: &mut Vec<u32>) {
    let others = count - 1;
    let skip_own = |other: u32| other + u32::from(other >= own);
    if amount == others {
        list.extend((0..others).map(skip_own));
        return;
    }
    let mut seen = Seen::new(amount);
    for top in others - amount..others {
        let drawn = stream.below(top + 1);
        if seen.insert(drawn) {
            list.push(skip_own(drawn));
        } else {
            seen.insert(top);
            list.push(skip_own(top));
        }
    }
}

/// A hash table of numbers below `u32::MAX` with linear probing, at most half full.
struct Seen {
    slots: Vec<u32>,
    shift: u32,
}

const EMPTY: u32 = u32::MAX;

impl Seen {
    fn new(amount: u32) -> Self {
        let bits = (amount.max(1).ilog2() + 2).min(31);
        Self { slots: vec![EMPTY; 1 << bits], shift: 32 - bits }
    }

    /// Whether `value` is new.
    fn insert(&mut self, value: u32) -> bool {
        // Fibonacci hashing (Knuth, TAOCP 3, 6.4).
        let mut slot = (value.wrapping_mul(0x9e37_79b9) >> self.shift) as usize;
        while self.slots[slot] != EMPTY {
            if self.slots[slot] == value {
                return false;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.slots[slot] = value;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lookalike_base::Seed;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn candidates_are_distinct_others(seed in any::<u64>(), count in 2_u32..200, own in 0_u32..200, amount in 1_u32..200) {
            let (own, amount) = (own % count, amount.min(count - 1));
            let mut list = Vec::new();
            draw_candidates(&mut Seed(seed).stream("test", 0, 0, 0), own, amount, count, &mut list);
            prop_assert_eq!(list.len(), amount as usize);
            list.sort_unstable();
            list.dedup();
            prop_assert_eq!(list.len(), amount as usize);
            prop_assert!(list.iter().all(|candidate| *candidate < count && *candidate != own));
        }
    }

    #[test]
    fn each_other_instance_is_a_candidate_equally_often() {
        let (count, amount, own, draws) = (12, 5, 4, 40_000);
        let mut counts = vec![0_i32; count as usize];
        let mut list = Vec::new();
        for draw in 0..draws {
            list.clear();
            draw_candidates(&mut Seed(9).stream("test", 0, 0, draw), own, amount, count, &mut list);
            for candidate in &list {
                counts[*candidate as usize] += 1;
            }
        }
        // 40,000 × 5/11 expected, standard deviation 100.
        let expected = 18_182;
        assert_eq!(counts[own as usize], 0);
        assert!(
            counts.iter().enumerate().all(|(i, count)| i as u32 == own || (count - expected).abs() < 500),
            "{counts:?}"
        );
    }
}
