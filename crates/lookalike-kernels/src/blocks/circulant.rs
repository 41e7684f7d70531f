//! Which rows are compared with which: tile t with the tiles some offsets further on.

use std::ops::Range;

use super::select::CandidateRange;

/// Rows of a tile, where there are enough candidates for several of them.
pub(super) const TILE: usize = 64;
/// Offsets in both directions there should be, at least: tiles are made smaller for it.
const FEWEST_OFFSETS: usize = 8;
/// Rows of the smallest tiles: fewer would cost as much as so many.
const SMALLEST_TILE: usize = 16;
/// Offsets stay below this share of all tiles, and then a tile is needed only while that share is worked on.
const WINDOW_SHARE: usize = 32;
/// A window has at least so many tiles, even if that is a larger share: offsets should differ, and their sums
/// too.
const SMALLEST_WINDOW: usize = 64;

/// The candidates of each of N positions: exactly M distinct others, whole tiles of them.
///
/// Positions are cut into n tiles of T, the last one shorter, and tile t is compared with the tiles t ± o
/// (mod n) for some distinct offsets o. The products of two tiles serve both of them. What is then missing to
/// M comes from the tiles t + e for some other offsets e, of the last of them only the first rows. If all
/// other tiles are used up, it comes from the rows that follow a row in its own tile.
///
/// Positions are given to rows at random, so each row is equally likely, M/(N − 1), to be a candidate of each
/// other one, whatever the offsets are. What differs from M independent draws a row: rows of a tile share
/// nearly all candidates, most pairs are candidates of each other or not at all, and a row is a candidate of
/// nearly M others rather than of a binomial number of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circulant {
    rows: usize,
    tile: usize,
    amount: usize,
    both: Vec<usize>,
    once: Vec<usize>,
    /// The tiles whose rows are searched for, where these are not all.
    part: Option<Range<usize>>,
}

/// A tile whose rows are candidates of those of tile t.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CandidateTile {
    pub(super) tile: usize,
    /// Which of its rows are candidates of those of tile t.
    pub(super) range: CandidateRange,
    /// Whether all rows of tile t are candidates of its rows too.
    pub(super) both: bool,
}

/// Whom the products of two tiles serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sides {
    /// The left tile alone. Those of two tiles are made twice, but a thread keeps its tile's best in its caches, and
    /// need not turn the products around.
    One,
    /// Both tiles.
    Both,
}

impl Sides {
    /// What is faster for products of `lines`, made by tile registers or not, and `amount` candidates.
    ///
    /// Without them products cost the most, unless they are short; and if candidates are many, nearly all of them are
    /// rejected at once, whoever offers them.
    pub(super) fn faster(lines: usize, by_tiles: bool, amount: usize) -> Self {
        const LINES: usize = 256;
        const CANDIDATES: usize = 2048;
        if by_tiles || (lines <= LINES && amount <= CANDIDATES) { Self::One } else { Self::Both }
    }
}

impl Circulant {
    /// `amount` candidates for each of `rows` positions, at random offsets: `below` gives random integers
    /// below its argument.
    ///
    /// # Panics
    /// If `amount` is not below `rows`, or 32 bits cannot number these.
    pub fn random(rows: usize, amount: usize, mut below: impl FnMut(u32) -> u32) -> Self {
        assert!(amount < rows, "{amount} others of {rows} rows");
        assert!(u32::try_from(rows).is_ok(), "{rows} rows are more than 32 bits can number");
        let tile = tile_rows(amount);
        let tiles = rows.div_ceil(tile);
        let pairs = (amount / (2 * tile)).min(tiles.saturating_sub(1) / 2);
        // Offsets and their opposites must all differ, so none may be half of the tiles.
        let window = (tiles / WINDOW_SHARE).max(SMALLEST_WINDOW).max(pairs).min(tiles.saturating_sub(1) / 2);
        let both = distinct(1, window, pairs, |_| false, &mut below);
        // One more for the tile begun, and one for the last tile being short.
        let left = (amount - 2 * tile * pairs).div_ceil(tile) + 2;
        let left = left.min(tiles.saturating_sub(1) - 2 * pairs);
        let taken = |offset: usize| both.contains(&offset) || both.contains(&(tiles - offset));
        let window = (2 * window).max(left + 2 * pairs).min(tiles.saturating_sub(1));
        let once = distinct(1, window, left, taken, &mut below);
        Self { rows, tile, amount, both, once, part: None }
    }

    /// All others for each of `rows` positions.
    ///
    /// # Panics
    /// If 32 bits cannot number these.
    pub fn all(rows: usize) -> Self {
        assert!(u32::try_from(rows).is_ok(), "{rows} rows are more than 32 bits can number");
        let tiles = rows.div_ceil(TILE);
        let both: Vec<usize> = (1..=tiles.saturating_sub(1) / 2).collect();
        let once = if tiles > 1 && tiles.is_multiple_of(2) { vec![tiles / 2] } else { Vec::new() };
        Self { rows, tile: TILE, amount: rows.saturating_sub(1), both, once, part: None }
    }

    /// The same candidates, of which a search looks through those of the rows of some `tiles` alone.
    ///
    /// # Panics
    /// Where there are no such tiles.
    #[must_use]
    pub fn part(&self, tiles: Range<usize>) -> Self {
        assert!(tiles.start <= tiles.end && tiles.end <= self.tiles(), "{tiles:?} of {} tiles", self.tiles());
        Self { part: Some(tiles), ..self.clone() }
    }

    /// The tiles whose rows a search looks for.
    pub fn searched(&self) -> Range<usize> {
        self.part.clone().unwrap_or(0..self.tiles())
    }

    /// Whether that is a part of them.
    pub(super) fn is_part(&self) -> bool {
        self.part.is_some()
    }

    /// All tiles whose rows a search of a [part](Circulant::part) reads, its own among them, in their order.
    pub fn read(&self) -> Vec<usize> {
        let mut read = vec![false; self.tiles()];
        for tile in self.searched() {
            read[tile] = true;
            self.candidate_tiles(tile, Sides::One).iter().for_each(|other| read[other.tile] = true);
        }
        (0..read.len()).filter(|tile| read[*tile]).collect()
    }

    /// Positions, N.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Candidates of each, M.
    pub fn amount(&self) -> usize {
        self.amount
    }

    /// The candidates of `position`, one by one: the slow twin of what the search compares it with.
    ///
    /// # Panics
    /// If `position` is not below [`Circulant::rows`].
    pub fn candidates(&self, position: usize) -> Vec<usize> {
        assert!(position < self.rows, "position {position} of {}", self.rows);
        let (own, row) = self.place(position);
        let mut candidates: Vec<usize> = Vec::with_capacity(self.amount);
        for CandidateTile { tile, range, .. } in self.candidate_tiles(own, Sides::One) {
            let places = range.places(row, self.len_of(tile));
            candidates.extend(places.into_iter().flatten().map(|place| tile * self.tile + place));
        }
        candidates
    }

    /// Tiles into which the rows are cut.
    pub fn tiles(&self) -> usize {
        self.rows.div_ceil(self.tile)
    }

    /// The positions of a tile.
    pub fn positions(&self, tile: usize) -> Range<usize> {
        tile * self.tile..((tile + 1) * self.tile).min(self.rows)
    }

    /// The tile of a position, and its place there.
    pub fn place(&self, position: usize) -> (usize, usize) {
        // Positions are below 2³², and tiles have at most 64 rows, for which this is the quotient, and no division.
        const SHIFT: u32 = 38;
        const { assert!(TILE <= 1 << (SHIFT - 32)) };
        let inverse = (1_u128 << SHIFT) / self.tile as u128 + 1;
        let tile = ((position as u128 * inverse) >> SHIFT) as usize;
        (tile, position - tile * self.tile)
    }

    fn len_of(&self, tile: usize) -> usize {
        self.positions(tile).len()
    }

    /// The candidate tiles of `tile`. If products serve both sides, those that list `tile` themselves are left out.
    pub(super) fn candidate_tiles(&self, tile: usize, sides: Sides) -> Vec<CandidateTile> {
        let tiles = self.tiles();
        let further = |offset: &usize| (tile + offset) % tiles;
        let mut missing = self.amount;
        let mut found = Vec::with_capacity(2 * self.both.len() + self.once.len() + 1);
        let whole = |other: usize, both: bool| CandidateTile {
            tile: other,
            range: CandidateRange::First(self.len_of(other)),
            both,
        };
        for offset in &self.both {
            let (other, before) = (further(offset), (tile + tiles - offset) % tiles);
            missing -= self.len_of(other) + self.len_of(before);
            match sides {
                Sides::One => found.extend([whole(other, false), whole(before, false)]),
                Sides::Both => found.push(whole(other, true)),
            }
        }
        for other in self.once.iter().map(further) {
            let amount = missing.min(self.len_of(other));
            missing -= amount;
            if amount > 0 {
                found.push(CandidateTile { tile: other, range: CandidateRange::First(amount), both: false });
            }
        }
        if missing > 0 {
            found.push(CandidateTile { tile, range: CandidateRange::Following(missing), both: false });
        }
        found
    }
}

/// Rows of a tile for `amount` candidates.
fn tile_rows(amount: usize) -> usize {
    let tile = amount / FEWEST_OFFSETS / SMALLEST_TILE * SMALLEST_TILE;
    if tile < TILE {
        return tile.max(SMALLEST_TILE);
    }
    // Slightly smaller tiles that leave nothing over need no offset for the rest.
    let exact = amount / (2 * amount.div_ceil(2 * TILE));
    if exact + exact / SMALLEST_TILE >= TILE { exact } else { TILE }
}

/// `amount` distinct integers from `first` to `last`, none of which is `taken`, in random order.
fn distinct(
    first: usize,
    last: usize,
    amount: usize,
    taken: impl Fn(usize) -> bool,
    below: &mut impl FnMut(u32) -> u32,
) -> Vec<usize> {
    let mut free: Vec<usize> = (first..=last).filter(|offset| !taken(*offset)).collect();
    for at in 0..amount {
        let chosen = at + below((free.len() - at) as u32) as usize;
        free.swap(at, chosen);
    }
    free.truncate(amount);
    free
}

#[cfg(test)]
mod tests {
    use super::*;
    use lookalike_base::Seed;
    use proptest::prelude::*;

    fn sorted_candidates(circulant: &Circulant, position: usize) -> Vec<usize> {
        let mut candidates = circulant.candidates(position);
        candidates.sort_unstable();
        candidates
    }

    proptest! {
        #[test]
        fn each_position_has_exactly_as_many_distinct_others_as_were_asked_for(
            seed in any::<u64>(), rows in 2_usize..1500, amount in 1_usize..1500,
        ) {
            let amount = amount.min(rows - 1);
            let mut stream = Seed(seed).stream("test", 0, 0, 0);
            let circulant = Circulant::random(rows, amount, |bound| stream.below(bound));
            for position in 0..rows {
                let mut candidates = sorted_candidates(&circulant, position);
                prop_assert_eq!(candidates.len(), amount);
                candidates.dedup();
                prop_assert_eq!(candidates.len(), amount);
                prop_assert!(candidates.iter().all(|other| *other < rows && *other != position));
            }
        }

        #[test]
        fn all_are_all_others(rows in 1_usize..700) {
            let circulant = Circulant::all(rows);
            for position in 0..rows {
                let others: Vec<usize> = (0..rows).filter(|other| *other != position).collect();
                prop_assert_eq!(sorted_candidates(&circulant, position), others);
            }
        }
    }

    #[test]
    fn nobody_is_a_candidate_much_more_often_than_others() {
        // At the usual sizes what tiles do not give evenly is less than one tile.
        for (rows, amount) in [(20_000, 1000), (20_011, 1000), (5000, 700), (3000, 200)] {
            let mut stream = Seed(1).stream("test", 0, 0, 0);
            let circulant = Circulant::random(rows, amount, |bound| stream.below(bound));
            let mut counts = vec![0_usize; rows];
            for position in 0..rows {
                circulant.candidates(position).into_iter().for_each(|other| counts[other] += 1);
            }
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(amount - least < 2 * TILE && most - amount < 2 * TILE, "{rows} {amount}: {least} {most}");
        }
    }
}
