//! Keeps the k best of all scores that the rows of a tile are offered, block by block.

#![expect(
    unsafe_code,
    reason = "vectors of scores and thresholds read through pointers whose bounds are asserted at their entry"
)]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::cmp::Ordering::{Equal, Greater};
use std::cmp::Reverse;
use std::ops::Range;

use crate::instructions::Level;
use crate::vector::{PANEL, Vector, VectorWork, key};

/// Lanes of the widest vector: so many entries must fit before a vector is taken.
const MOST: usize = 16;
/// Entries among which a bound is looked for.
const SAMPLES: usize = 64;
/// Samples above which entries are counted, before all entries are sorted.
const TRIES: usize = 6;
/// Entries that are ordered by counting, for each of them, those above it, at most: more are sorted.
const COUNTED: usize = 256;

/// For each row of a tile the k most similar entries seen so far; equal similarities are won by the lower
/// index.
///
/// Entries that cannot be among the best any more are rejected by one comparison, a vector of them at a time.
/// The others are collected, and thinned out when their room is full, which costs a constant an entry. The
/// result depends neither on the order nor on the blocks in which entries come.
pub(super) struct Selections {
    k: usize,
    /// Entries a row has room for.
    room: usize,
    /// Entries of a row below this cannot be among its best; NaN as long as there is no such bound.
    thresholds: Vec<f32>,
    counts: Vec<usize>,
    /// `room` entries a row: their similarities, and their indices.
    similarities: Vec<f32>,
    indices: Vec<u32>,
    /// Room to sort a row.
    keys: Vec<u64>,
}

/// The scores of the rows of a left tile with those of a right one.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    /// Row-major, as [`score`](super::score::score) writes them.
    pub(super) scores: &'a [f32],
    /// The left tile's rows.
    pub(super) left: usize,
    /// Indices of the right tile's rows.
    pub(super) right: &'a [u32],
}

/// Which right rows of a block are candidates of a left row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CandidateRange {
    /// So many rows from the first on.
    First(usize),
    /// So many rows that follow the place of the left row itself; after the last comes the first.
    Following(usize),
}

impl CandidateRange {
    /// The right rows, of `width`, that are candidates of left row `row`.
    pub(super) fn places(self, row: usize, width: usize) -> [Range<usize>; 2] {
        match self {
            Self::First(amount) => [0..amount.min(width), 0..0],
            Self::Following(amount) => {
                let end = row + 1 + amount;
                [(row + 1).min(width)..end.min(width), 0..end.saturating_sub(width).min(width)]
            }
        }
    }
}

impl Selections {
    pub(super) fn new(rows: usize, k: usize) -> Self {
        let room = 2 * k + 2 * MOST;
        Self {
            k,
            room,
            thresholds: vec![f32::NAN; rows],
            counts: vec![0; rows],
            similarities: vec![0.0; rows * room],
            indices: vec![0; rows * room],
            keys: Vec::new(),
        }
    }

    /// Offers the rows of this selection, which are the left rows of `block`, the scores of their candidates.
    pub(super) fn offer(&mut self, level: Level, block: Block<'_>, range: CandidateRange) {
        let (high, wide) = (block.left, block.right.len());
        assert_eq!(block.scores.len(), high.next_multiple_of(PANEL) * wide.next_multiple_of(PANEL));
        assert_eq!(self.counts.len(), high);
        level.run_vectors(Offer { selections: self, block, range });
    }

    /// Keeps those of `lanes` that are not below the row's threshold. Their indices are in the same places of
    /// `indices`.
    ///
    /// # Safety
    /// As [`Vector`].
    #[inline(always)]
    unsafe fn take<V: Vector>(&mut self, row: usize, values: V, lanes: u32, indices: &[u32]) {
        // SAFETY: the caller guarantees the level; a row has room for `MOST` entries, as many as a vector
        // writes.
        unsafe {
            let mut passed = values.not_below(V::splat(self.thresholds[row])) & lanes;
            if passed == 0 {
                return;
            }
            if self.counts[row] + MOST > self.room {
                self.thin_out::<V>(row);
                passed = values.not_below(V::splat(self.thresholds[row])) & lanes;
            }
            let first = row * self.room + self.counts[row];
            let (similarities, kept) =
                (&mut self.similarities[first..][..MOST], &mut self.indices[first..][..MOST]);
            values.append(passed, indices, similarities, kept);
            self.counts[row] += passed.count_ones() as usize;
        }
    }

    /// The entries of a row.
    fn entries(&mut self, row: usize) -> (&mut [f32], &mut [u32]) {
        let places = row * self.room..row * self.room + self.counts[row];
        (&mut self.similarities[places.clone()], &mut self.indices[places])
    }

    /// Drops entries that cannot be among the best, so that at least `MOST` more have room.
    ///
    /// It does not look for the k best: any entry with at least k and not many more above it will do as a
    /// bound, and a pass over all entries costs less than sorting them.
    ///
    /// # Safety
    /// As [`Vector`].
    #[inline(always)]
    unsafe fn thin_out<V: Vector>(&mut self, row: usize) {
        let (k, most) = (self.k, most(self.k));
        let (similarities, indices) = self.entries(row);
        if let Some((pivot, above)) = find_pivot::<V>(similarities, None, k, most) {
            // SAFETY: as the caller's.
            self.counts[row] = unsafe { V::keep_from(similarities, indices, pivot) };
            self.thresholds[row] = pivot;
            if above <= most {
                return;
            }
        }
        self.keep_best(row);
    }

    /// Keeps the k best and drops all others.
    #[inline(never)]
    fn keep_best(&mut self, row: usize) {
        let k = self.k;
        if self.counts[row] <= k {
            return;
        }
        let mut keys = std::mem::take(&mut self.keys);
        let (similarities, indices) = self.entries(row);
        write_keys(&mut keys, similarities, indices);
        keys.select_nth_unstable_by_key(k - 1, |key| Reverse(*key));
        for ((similarity, index), key) in similarities.iter_mut().zip(indices).zip(&keys[..k]) {
            (*similarity, *index) = entry_of(*key);
        }
        (self.thresholds[row], self.counts[row]) = (entry_of(keys[k - 1]).0, k);
        self.keys = keys;
    }

    /// Keeps the k best of `row` and lends their similarities and indices, to be changed.
    pub(super) fn survivors(&mut self, row: usize) -> (&mut [f32], &mut [u32]) {
        self.keep_best(row);
        self.entries(row)
    }

    /// Writes the best entries of `row`, most similar first: as many as there is room for.
    pub(super) fn finish(&mut self, level: Level, row: usize, indices: &mut [u32], similarities: &mut [f32]) {
        level.run_vectors(Finish { selections: self, row, indices, similarities });
    }
}

/// Entries that are kept when a row is thinned out, at most, if no more are equal.
fn most(k: usize) -> usize {
    k + k / 4 + MOST
}

/// One of some similarities, or the `guess`, that has at least `k` of them above it or beside it, and how many these
/// are: not more than `most` if possible. There is none if they are few, or if many are not numbers.
///
/// Unless the guess is such a bound, the rank of one is looked for among samples, and then corrected by what is counted above
/// them.
#[inline(always)]
fn find_pivot<V: Vector>(
    similarities: &[f32],
    guess: Option<f32>,
    k: usize,
    most: usize,
) -> Option<(f32, usize)> {
    let count = similarities.len();
    if count < SAMPLES {
        return None;
    }
    let above = |pivot: f32| {
        let above: u32 = similarities.iter().map(|similarity| u32::from(*similarity >= pivot)).sum();
        above as usize
    };
    if let Some(guess) = guess {
        let above = above(guess);
        if (k..=most).contains(&above) {
            return Some((guess, above));
        }
    }
    let mut samples: [f32; SAMPLES] = std::array::from_fn(|at| similarities[at * count / SAMPLES]);
    sort_descending::<V>(&mut samples);
    // Samples below `first` have fewer than k above them, and `last` more than `most`.
    let (mut first, mut last, mut best) = (0, SAMPLES, None);
    let wanted = usize::midpoint(k, most);
    let mut at = wanted * SAMPLES / count;
    for _ in 0..TRIES {
        if first >= last {
            break;
        }
        at = at.clamp(first, last - 1);
        let pivot = samples[at];
        let above = above(pivot);
        let step = above.abs_diff(wanted) * SAMPLES / count + 1;
        if above < k {
            first = at + 1;
            at += step;
        } else {
            best = Some((pivot, above));
            if above <= most {
                break;
            }
            last = at;
            at = at.saturating_sub(step);
        }
    }
    best
}

/// Sorts numbers, the largest first, by counting for each those above it; NaN comes last.
#[inline(always)]
fn sort_descending<V: Vector>(values: &mut [f32; SAMPLES]) {
    let own = values.map(|value| if value.is_nan() { f32::NEG_INFINITY } else { value });
    let mut ranks = [[0; PANEL]; SAMPLES / PANEL];
    for (block, ranks) in own.as_chunks().0.iter().zip(&mut ranks) {
        // SAFETY: the level was detected.
        *ranks = unsafe { V::count_above(block, &own) };
    }
    // Equal ones have the rank of the first of them, and leave the places after it free.
    let mut sorted = [f32::NAN; SAMPLES];
    place(ranks.as_flattened(), &own, &mut sorted);
    let mut last = f32::NEG_INFINITY;
    for (value, sorted) in values.iter_mut().zip(sorted) {
        last = if sorted.is_nan() { last } else { sorted };
        *value = last;
    }
}

/// The best of rows all of whose scores are there, which need not be kept until others come.
#[derive(Default)]
pub(super) struct RowBest {
    similarities: Vec<f32>,
    indices: Vec<u32>,
    keys: Vec<u64>,
    /// The bound of the row before, which may do for the next one too.
    last: f32,
}

impl RowBest {
    /// Writes the most similar of `scores`, most similar first, and their numbers in `ids`: as many as there is room
    /// for.
    pub(super) fn write(
        &mut self,
        level: Level,
        scores: &[f32],
        ids: &[u32],
        (indices, similarities): (&mut [u32], &mut [f32]),
    ) {
        level.run_vectors(OfRow { best: self, scores, ids, indices, similarities });
    }
}

/// The keys of entries, by which they are sorted.
fn write_keys(keys: &mut Vec<u64>, similarities: &[f32], indices: &[u32]) {
    keys.clear();
    keys.extend(similarities.iter().zip(indices).map(|(similarity, index)| key(*similarity, *index)));
}

struct Offer<'a, 'b> {
    selections: &'a mut Selections,
    block: Block<'b>,
    range: CandidateRange,
}

impl VectorWork for Offer<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector, const FUSED: bool>(self) {
        let Self { selections, block, range } = self;
        let width = block.right.len();
        let stride = width.next_multiple_of(PANEL);
        for (row, scores) in block.scores.chunks_exact(stride).take(block.left).enumerate() {
            // SAFETY: the level was detected, and a row is made of whole panels, and so of whole vectors.
            unsafe {
                // Most rows of most blocks have nothing that is good enough.
                let bound = V::splat(selections.thresholds[row]);
                let mut any = 0;
                for begin in (0..stride).step_by(V::LANES) {
                    any |= V::load(scores.as_ptr().add(begin)).not_below(bound);
                }
                if any == 0 {
                    continue;
                }
                for places in range.places(row, width) {
                    // Vectors begin where those of a panel do, so that none reaches beyond the row.
                    let first = places.start / V::LANES * V::LANES;
                    for begin in (first..places.end).step_by(V::LANES) {
                        let values = V::load(scores.as_ptr().add(begin));
                        selections.take(row, values, lanes_of(&places, begin), &block.right[begin..]);
                    }
                }
            }
        }
    }
}

struct Finish<'a> {
    selections: &'a mut Selections,
    row: usize,
    indices: &'a mut [u32],
    similarities: &'a mut [f32],
}

impl VectorWork for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector, const FUSED: bool>(self) {
        let Self { selections, row, indices, similarities } = self;
        if selections.counts[row] > most(selections.k) {
            // SAFETY: the level was detected.
            unsafe { selections.thin_out::<V>(row) };
        }
        let mut keys = std::mem::take(&mut selections.keys);
        let (from, numbers) = selections.entries(row);
        write_in_order::<V>(from, numbers, &mut keys, indices, similarities);
        selections.keys = keys;
    }
}

struct OfRow<'a> {
    best: &'a mut RowBest,
    scores: &'a [f32],
    ids: &'a [u32],
    indices: &'a mut [u32],
    similarities: &'a mut [f32],
}

impl VectorWork for OfRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector, const FUSED: bool>(self) {
        let Self { best: RowBest { similarities: kept, indices: numbers, keys, last }, scores, ids, .. } =
            self;
        assert_eq!(scores.len(), ids.len());
        let k = self.indices.len();
        let (mut count, room) = (0, scores.len() + PANEL);
        if kept.len() < room {
            kept.resize(room, 0.0);
            numbers.resize(room, 0);
        }
        let (pivot, above) =
            find_pivot::<V>(scores, Some(*last), k, most(k)).unwrap_or((f32::NAN, scores.len()));
        *last = pivot;
        let whole = scores.len() / V::LANES * V::LANES;
        for begin in (0..whole).step_by(V::LANES) {
            // SAFETY: the level was detected, and as many lanes lie in the scores.
            unsafe {
                let values = V::load(scores.as_ptr().add(begin));
                let passed = values.not_below(V::splat(pivot));
                values.append(passed, &ids[begin..], &mut kept[count..], &mut numbers[count..]);
                count += passed.count_ones() as usize;
            }
        }
        for (score, id) in scores[whole..].iter().zip(&ids[whole..]) {
            (kept[count], numbers[count]) = (*score, *id);
            count += usize::from(matches!(score.partial_cmp(&pivot), None | Some(Equal | Greater)));
        }
        // NaN passes every bound, and is sorted out below.
        debug_assert!(count >= above);
        write_in_order::<V>(&kept[..count], &numbers[..count], keys, self.indices, self.similarities);
    }
}

/// Writes the best entries, most similar first: as many as there is room for.
#[inline(always)]
fn write_in_order<V: Vector>(
    from: &[f32],
    numbers: &[u32],
    keys: &mut Vec<u64>,
    indices: &mut [u32],
    similarities: &mut [f32],
) {
    if !order_by_counting::<V>(from, numbers, indices, similarities) {
        write_keys(keys, from, numbers);
        keys.sort_unstable_by_key(|key| Reverse(*key));
        for ((index, similarity), key) in indices.iter_mut().zip(similarities).zip(keys) {
            (*similarity, *index) = entry_of(*key);
        }
    }
}

/// Writes each entry to the place of its rank, the number of those above it, which is faster than to sort them as
/// long as they are few. Returns false if they are many, or if some are equal or not numbers: then ranks do not order
/// them.
#[inline(always)]
fn order_by_counting<V: Vector>(
    from: &[f32],
    numbers: &[u32],
    indices: &mut [u32],
    similarities: &mut [f32],
) -> bool {
    let count = from.len();
    if count > COUNTED {
        return false;
    }
    let mut own = [f32::NEG_INFINITY; COUNTED];
    // Adding 0 makes −0 and 0 the same bits, as in their sort keys.
    own.iter_mut().zip(from).for_each(|(own, similarity)| *own = similarity + 0.0);
    let mut ranks = [[0; PANEL]; COUNTED / PANEL];
    let blocks = own.as_chunks().0.iter().zip(&mut ranks);
    for (own, ranks) in blocks.take(count.div_ceil(PANEL)) {
        // SAFETY: the level was detected.
        *ranks = unsafe { V::count_above(own, from) };
    }
    let ranks = &ranks.as_flattened()[..count];
    // Equal ones have the rank of the first of them, and NaN has rank 0, so that the sum is less.
    let sum: usize = ranks.iter().map(|rank| *rank as usize).sum();
    if sum != count * count.saturating_sub(1) / 2 {
        return false;
    }
    place(ranks, &own[..count], similarities);
    place(ranks, numbers, indices);
    true
}

/// Writes values to the places of their ranks, as far as there are such places. It is not compiled for the vectors of
/// each level: those would scatter, which is slower.
#[inline(never)]
fn place<T: Copy>(ranks: &[u32], values: &[T], places: &mut [T]) {
    for (rank, value) in ranks.iter().zip(values) {
        if let Some(place) = places.get_mut(*rank as usize) {
            *place = *value;
        }
    }
}

/// A bit for each lane of a vector from `begin` on that lies in `places`.
#[inline(always)]
fn lanes_of(places: &Range<usize>, begin: usize) -> u32 {
    let below = |end: usize| if end < 32 { (1_u32 << end) - 1 } else { u32::MAX };
    below(places.end - begin) & !below(places.start.saturating_sub(begin))
}

/// Similarity and index of a sort key.
fn entry_of(key: u64) -> (f32, u32) {
    let ordered = (key >> 32) as u32;
    let similarity = match ordered {
        0 => f32::NAN,
        _ if ordered >> 31 == 1 => f32::from_bits(ordered & !(1 << 31)),
        _ => f32::from_bits(!ordered),
    };
    (similarity, !(key as u32))
}

#[cfg(test)]
mod tests {
    use super::super::score::transpose;
    use super::*;
    use proptest::prelude::*;

    /// Sorts everything.
    fn obvious_selection(entries: &[(u32, f32)], k: usize) -> Vec<(u32, f32)> {
        let mut sorted = entries.to_vec();
        sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        sorted.truncate(k);
        sorted
    }

    /// A block of one left row, which is the row with the highest index of all.
    fn padded(values: &[f32]) -> Vec<f32> {
        let stride = values.len().next_multiple_of(PANEL);
        let mut scores = vec![f32::NAN; PANEL * stride];
        scores[..values.len()].copy_from_slice(values);
        scores
    }

    fn finished(level: Level, selections: &mut Selections, row: usize) -> Vec<(u32, f32)> {
        let (mut indices, mut similarities) = (vec![0; selections.k], vec![0.0; selections.k]);
        selections.finish(level, row, &mut indices, &mut similarities);
        indices.into_iter().zip(similarities).collect()
    }

    proptest! {
        #[test]
        fn rows_and_columns_keep_the_head_of_the_sorted_list_at_every_level(
            // Few distinct values, so that ties are common.
            values in prop::collection::vec(-3_i8..4, 1..300),
            high in 1_usize..20,
            k in 1_usize..40,
        ) {
            let width = values.len().div_ceil(high);
            let (k, stride) = (k.min(high).min(width), width.next_multiple_of(PANEL));
            let value = |row: usize, place: usize| f32::from(values[(row * width + place) % values.len()]);
            let mut scores = vec![f32::NAN; high.next_multiple_of(PANEL) * stride];
            for row in 0..high {
                (0..width).for_each(|place| scores[row * stride + place] = value(row, place));
            }
            let left: Vec<u32> = (0..high as u32).map(|row| row * 7 % 101).collect();
            let right: Vec<u32> = (0..width as u32).map(|place| place * 13 % 1009).collect();
            let block = Block { scores: &scores, left: high, right: &right };
            for level in Level::all() {
                let (mut rows, mut columns) = (Selections::new(high, k), Selections::new(width, k));
                rows.offer(level, block, CandidateRange::First(width));
                let mut transposed = vec![0.0; scores.len()];
                transpose(level, &scores, stride, &mut transposed);
                let block = Block { scores: &transposed, left: width, right: &left };
                columns.offer(level, block, CandidateRange::First(high));
                for row in 0..high {
                    let entries: Vec<_> = (0..width).map(|place| (right[place], value(row, place))).collect();
                    prop_assert_eq!(finished(level, &mut rows, row), obvious_selection(&entries, k));
                }
                for place in 0..width {
                    let entries: Vec<_> = (0..high).map(|row| (left[row], value(row, place))).collect();
                    prop_assert_eq!(finished(level, &mut columns, place), obvious_selection(&entries, k));
                }
            }
        }

        #[test]
        fn a_row_is_offered_those_that_follow_it_and_never_itself(
            rows in 2_usize..70, amount in 1_usize..70,
        ) {
            let amount = amount.min(rows - 1);
            let ids: Vec<u32> = (0..rows as u32).collect();
            let scores = vec![1.0; rows.next_multiple_of(PANEL).pow(2)];
            let block = Block { scores: &scores, left: rows, right: &ids };
            for level in Level::all() {
                let mut selections = Selections::new(rows, amount);
                selections.offer(level, block, CandidateRange::Following(amount));
                for row in 0..rows {
                    let following = (1..=amount).map(|step| ((row + step) % rows) as u32);
                    let mut expected: Vec<u32> = following.collect();
                    expected.sort_unstable();
                    let found = finished(level, &mut selections, row);
                    let found: Vec<u32> = found.iter().map(|entry| entry.0).collect();
                    prop_assert_eq!(found, expected);
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_number_comes_after_everything_that_is() {
        for level in Level::all() {
            let mut found = Vec::new();
            let offers = [
                vec![f32::NAN, f32::NEG_INFINITY, f32::NAN, 0.0, -0.0, f32::INFINITY],
                vec![f32::NAN, f32::NAN, f32::NEG_INFINITY],
            ];
            for values in offers {
                let (scores, right) = (padded(&values), (0..values.len() as u32).collect::<Vec<_>>());
                let mut selections = Selections::new(1, 3);
                let block = Block { scores: &scores, left: 1, right: &right };
                selections.offer(level, block, CandidateRange::First(values.len()));
                found.push(finished(level, &mut selections, 0));
            }
            let indices = |at: usize| found[at].iter().map(|entry: &(u32, f32)| entry.0).collect::<Vec<_>>();
            assert_eq!((indices(0), indices(1)), (vec![5, 3, 4], vec![2, 0, 1]));
            assert!(found[1][1].1.is_nan());
        }
    }

    #[test]
    fn the_best_of_a_whole_row_are_the_head_of_the_sorted_list_whatever_the_row_before_was() {
        let mut stream = lookalike_base::Seed(4).stream("test", 0, 0, 0);
        for level in Level::all() {
            let mut best = RowBest::default();
            for round in 0..60 {
                // Few, some and many; of one size, of another, tied, and not all numbers.
                let count = [1, 15, 63, 64, 200, 1000][round % 6];
                let scores: Vec<f32> = (0..count)
                    .map(|_| match round % 5 {
                        0 => stream.normal(),
                        1 => stream.normal() * 1e6 + 1e7,
                        2 => stream.below(4) as f32,
                        3 if stream.below(3) == 0 => f32::NAN,
                        3 => -stream.normal().abs(),
                        _ => [f32::NEG_INFINITY, -0.0, 0.0, 1.0][stream.below(4) as usize],
                    })
                    .collect();
                let ids: Vec<u32> = (0..count as u32).map(|id| id * 7919 % 104_729).collect();
                for k in [1, count / 10 + 1, count] {
                    let (mut indices, mut similarities) = (vec![0; k], vec![0.0; k]);
                    best.write(level, &scores, &ids, (&mut indices, &mut similarities));
                    let mut keys = Vec::new();
                    write_keys(&mut keys, &scores, &ids);
                    keys.sort_unstable_by_key(|key| Reverse(*key));
                    for ((key, index), similarity) in keys.iter().zip(indices).zip(similarities) {
                        let (expected, id) = entry_of(*key);
                        assert_eq!(
                            (index, similarity.to_bits()),
                            (id, expected.to_bits()),
                            "{level:?} {round} {k}"
                        );
                    }
                }
            }
        }
    }
}
