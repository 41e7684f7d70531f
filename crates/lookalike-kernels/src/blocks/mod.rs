//! The most similar of each row's candidates, tile by tile: matrix multiplication instead of gathers.
//!
//! N·M products of d terms cost 2·N·M·d operations whichever way they are made, but rows gathered one by one
//! cost 4·N·M·d bytes of memory traffic besides, which takes about ten times as long. Here T rows are
//! multiplied with T rows that lie together, so that each is read once for T products, and the products serve
//! the rows of both tiles.

mod circulant;
mod output;
mod score;
mod scoring;
mod select;
mod tile;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rayon::prelude::*;

use crate::aligned::AlignedValues;
use crate::error::KernelError;
use crate::instructions::Level;
use crate::sizes::checked_product;
use crate::stop::Stop;
use crate::tasks;
use crate::top_k::TopK;
use crate::vector::{PANEL, prefetch};
pub use circulant::Circulant;
use circulant::{CandidateTile, Sides, TILE};
use output::OutputRows;
use score::{TilePair, prepare_left, score, transpose};
pub use scoring::Scoring;
use scoring::{PanelFormat, Similarity, larger, score_again};
use select::{Block, CandidateRange, RowBest, Selections};
use tile::{Packing, Tile};

/// How a search reads its rows. Closures that write a row into the slice they are given, or refuse it by returning false,
/// are such readers.
pub trait RowReader: Sync {
    /// Writes `row` to `into`, or refuses it by returning false.
    fn read(&self, row: u32, into: &mut [f32]) -> bool;

    /// The addresses of memory that reading `row` will read, if they are known: it is asked for early.
    fn addresses(&self, _row: u32) -> Range<usize> {
        0..0
    }
}

impl<F: Fn(u32, &mut [f32]) -> bool + Sync> RowReader for F {
    fn read(&self, row: u32, into: &mut [f32]) -> bool {
        self(row, into)
    }
}

/// For each row its `k` most similar candidates, most similar first: those rows whose positions are the
/// candidates of its own position. Ties go to the lower index, and products that are NaN come last.
///
/// `order` says which row is at each position. A row is read once, shortly before it is needed, and dropped when its tile was
/// compared with all others. Beyond the result, memory holds the tiles of a window (an eighth of all for
/// large N), with room for 2·`k` entries a row. With [`Scoring::Bf16`] it also holds a copy of all rows, from
/// which survivors are scored again. The result does not depend on the number of threads. `stop` is asked
/// before each tile and once at the end; [`NEVER`](crate::NEVER) lets the search run to its end.
///
/// Of a [part](Circulant::part) the result has the rows of its positions alone, in the order of these, with the same bits as in the
/// whole; no other rows are read than [`Circulant::read`] names the tiles of.
///
/// # Shapes
/// `order` N, a permutation of 0, 1, …, N − 1; rows of `columns` values; the result has N rows of `k`.
///
/// # Errors
/// [`KernelError::Shape`] if `columns` is 0, [`KernelError::TooFew`] if `k` exceeds the candidates,
/// [`KernelError::Order`] if `order` is no permutation of the positions, [`KernelError::TooLarge`] if no
/// memory can hold N rows of `columns`, [`KernelError::Refused`] names a row that `read` refused,
/// [`KernelError::Cancelled`] if `stop` said yes.
pub fn circulant_top_k(
    circulant: &Circulant,
    order: &[u32],
    columns: usize,
    k: usize,
    scoring: Scoring,
    read: &impl RowReader,
    stop: Stop<'_>,
) -> Result<TopK, KernelError> {
    search(SearchSettings::of(Similarity::Product, scoring, stop), circulant, order, columns, k, read)
}

/// As [`circulant_top_k`], for rows that hold two halves side by side, a query and a document for instance: two rows
/// are as similar as the larger one of the two products of the one's first half with the other's second.
///
/// That is as symmetric as a product, so that here too whatever is computed for two tiles serves the rows of both. A
/// pair of rows costs as much as a product of `columns` values.
///
/// # Shapes
/// As [`circulant_top_k`]; the halves of a row have `columns` / 2 values each.
///
/// # Errors
/// As [`circulant_top_k`], and [`KernelError::Halves`] if `columns` is odd.
pub fn crossed_top_k(
    circulant: &Circulant,
    order: &[u32],
    columns: usize,
    k: usize,
    scoring: Scoring,
    read: &impl RowReader,
    stop: Stop<'_>,
) -> Result<TopK, KernelError> {
    search(SearchSettings::of(Similarity::Crossed, scoring, stop), circulant, order, columns, k, read)
}

/// Candidates all of whose scores are made before any is chosen, at most: those of a tile stay in the second cache.
const AT_ONCE: usize = 2048;
/// Tiles that are compared with the same others together, if they are compared with nearly all.
pub(crate) const TOGETHER: usize = 4;

/// How a search runs: with which instructions, by what measure, in which number format, and until when.
#[derive(Clone, Copy)]
struct SearchSettings<'a> {
    level: Level,
    similarity: Similarity,
    scoring: Scoring,
    format: PanelFormat,
    /// How products of two tiles are used; what is faster, if it is not said.
    sides: Option<Sides>,
    stop: Stop<'a>,
}

impl<'a> SearchSettings<'a> {
    fn of(similarity: Similarity, scoring: Scoring, stop: Stop<'a>) -> Self {
        let format = PanelFormat::of(scoring);
        Self { level: Level::detect(), similarity, scoring, format, sides: None, stop }
    }
}

fn search(
    settings: SearchSettings<'_>,
    circulant: &Circulant,
    order: &[u32],
    columns: usize,
    k: usize,
    read: &impl RowReader,
) -> Result<TopK, KernelError> {
    let SearchSettings { level, similarity, scoring, format, sides, stop } = settings;
    if columns == 0 {
        return Err(KernelError::Shape { values: 0, columns });
    }
    if !columns.is_multiple_of(similarity.parts()) {
        return Err(KernelError::Halves { columns });
    }
    if k > circulant.amount() {
        return Err(KernelError::TooFew { row: 0, k, available: circulant.amount() });
    }
    check_order(order, circulant.rows())?;
    let padded = order.len().next_multiple_of(PANEL);
    if checked_product([padded, columns, size_of::<f32>()]).is_none_or(|bytes| bytes > isize::MAX as usize) {
        return Err(KernelError::TooLarge { rows: order.len(), columns });
    }
    let part = circulant.is_part().then(|| positions_of(circulant, circulant.searched()));
    let mut best = TopK::zeros(part.as_ref().map_or(order.len(), Range::len), k);
    if k == 0 {
        return Ok(best);
    }
    let sides = sides.filter(|_| part.is_none()).unwrap_or_else(|| {
        let by_tiles = matches!(format, PanelFormat::Bf16Tiles(_));
        // Products serve a tile that is not searched for nothing.
        if part.is_some() {
            Sides::One
        } else {
            Sides::faster(format.lines(columns), by_tiles, circulant.amount())
        }
    });
    let search = Search {
        level,
        similarity,
        format,
        sides,
        circulant,
        order,
        columns,
        survivors: scoring.survivors(k, circulant.amount()),
        exact: (scoring == Scoring::Bf16).then(|| vec![OnceLock::new(); circulant.tiles()]),
        read,
        stop,
        states: tile_states(circulant, sides),
        next: AtomicUsize::new(circulant.searched().start),
        part: part.map(|part| part.start),
        refused: AtomicUsize::new(usize::MAX),
        best: OutputRows::new(&mut best),
    };
    // Tiles are begun in order, which a parallel iterator would not do: only then few of them are needed at a
    // time. Threads without a core would hold tiles that others wait for.
    rayon::scope(|scope| (0..tasks::threads()).for_each(|_| scope.spawn(|_| search.work())));
    match search.refused.into_inner() {
        _ if stop() => Err(KernelError::Cancelled),
        usize::MAX => Ok(best),
        row => Err(KernelError::Refused { row }),
    }
}

fn check_order(order: &[u32], rows: usize) -> Result<(), KernelError> {
    let mut seen = vec![false; rows];
    let fits = |row: &u32| seen.get_mut(*row as usize).is_some_and(|seen| !std::mem::replace(seen, true));
    if order.len() == rows && order.iter().all(fits) { Ok(()) } else { Err(KernelError::Order { rows }) }
}

/// The positions of some tiles.
fn positions_of(circulant: &Circulant, tiles: Range<usize>) -> Range<usize> {
    if tiles.is_empty() {
        return 0..0;
    }
    circulant.positions(tiles.start).start..circulant.positions(tiles.end - 1).end
}

/// The scores of two tiles, as rows of the left one and as rows of the right one.
#[derive(Default)]
struct Scores {
    values: AlignedValues,
    /// Of rows in two halves, the products the other way round.
    reverse: AlignedValues,
    transposed: AlignedValues,
}

impl Scores {
    /// Makes the scores of `pair`, from the value `first` on, in rows that are `stride` apart.
    fn make(&mut self, pair: Pair<'_>, first: usize, stride: usize) {
        let Pair { level, format, similarity, left, right, columns, ahead } = pair;
        let lines = format.lines(columns / similarity.parts());
        match similarity {
            Similarity::Product => {
                let pair = TilePair { left, right, format, lines, ahead };
                score(level, pair, &mut self.values[first..], stride);
            }
            // Of both products of a pair the larger one.
            Similarity::Crossed => {
                let [(one, other), (right_one, right_other)] =
                    [left, right].map(|values| values.split_at(values.len() / 2));
                let [high, wide] = [one, right_one].map(|values| values.len() / lines);
                self.reverse.resize(high * wide);
                let pair = TilePair { left: one, right: right_other, format, lines, ahead };
                score(level, pair, &mut self.values[first..], stride);
                let pair = TilePair { left: other, right: right_one, format, lines, ahead: &[] };
                score(level, pair, &mut self.reverse, wide);
                for (values, others) in self.values[first..].chunks_mut(stride).zip(self.reverse.chunks(wide))
                {
                    let pairs = values.iter_mut().zip(others);
                    pairs.for_each(|(value, other)| *value = larger(*value, *other));
                }
            }
        }
    }

    /// Those of two tiles alone.
    fn of(&mut self, pair: Pair<'_>) {
        let parts = pair.similarity.parts();
        let row = parts * pair.format.lines(pair.columns / parts);
        let [high, wide] = [pair.left, pair.right].map(|values| values.len() / row);
        self.values.resize(high * wide);
        self.make(pair, 0, wide);
    }

    fn transpose(&mut self, level: Level, right: &Tile) {
        self.transposed.resize(self.values.len());
        transpose(level, &self.values, right.ids.len().next_multiple_of(PANEL), &mut self.transposed);
    }

    fn rows<'a>(&'a self, left: &Tile, right: &'a Tile) -> Block<'a> {
        Block { scores: &self.values, left: left.ids.len(), right: &right.ids }
    }

    /// The rows of the right tile, once transposed.
    fn columns<'a>(&'a self, left: &'a Tile, right: &Tile) -> Block<'a> {
        Block { scores: &self.transposed, left: right.ids.len(), right: &left.ids }
    }
}

/// Two tiles whose rows are compared.
#[derive(Clone, Copy)]
struct Pair<'a> {
    level: Level,
    format: PanelFormat,
    similarity: Similarity,
    /// As [`prepare_left`] leaves it.
    left: &'a [f32],
    right: &'a [f32],
    columns: usize,
    /// The right tile that comes next.
    ahead: &'a [f32],
}

/// The state of a tile during the search.
#[derive(Default)]
struct TileState {
    tile: Option<Arc<Tile>>,
    /// Unless all of a tile's scores are made at once.
    selections: Option<Selections>,
    /// Uses that are still to come: as a candidate tile of others, and one for its own candidate tiles.
    uses: usize,
}

fn tile_states(circulant: &Circulant, sides: Sides) -> Vec<Mutex<TileState>> {
    let mut uses = vec![0; circulant.tiles()];
    for tile in circulant.searched() {
        uses[tile] += 1;
        let others = circulant.candidate_tiles(tile, sides).into_iter().filter(|other| other.tile != tile);
        others.for_each(|other| uses[other.tile] += 1);
    }
    uses.into_iter().map(|uses| Mutex::new(TileState { uses, ..TileState::default() })).collect()
}

/// What a thread needs for one tile after another.
#[derive(Default)]
struct Room {
    /// The left tiles as products want them, if that is not as they are.
    prepared: Vec<AlignedValues>,
    scores: Scores,
    /// The numbers of a tile's candidates, where all of their scores are made before any is chosen.
    ids: Vec<u32>,
    best: RowBest,
    /// Of survivors that were scored again.
    again: RowBest,
    survivors: (Vec<u32>, Vec<f32>),
}

/// Asks for memory that is read soon.
fn ask(addresses: Range<usize>) {
    /// Bytes of a cache line.
    const LINE: usize = 64;
    addresses.step_by(LINE).for_each(|address| prefetch(std::ptr::without_provenance::<u8>(address)));
}

struct Search<'a, R> {
    level: Level,
    similarity: Similarity,
    format: PanelFormat,
    sides: Sides,
    circulant: &'a Circulant,
    order: &'a [u32],
    columns: usize,
    /// Entries kept of a row's candidates until all were seen.
    survivors: usize,
    /// If survivors are scored again: the rows of each tile that was read. The numbers of rows in tiles are
    /// positions then.
    exact: Option<Vec<OnceLock<Vec<f32>>>>,
    read: &'a R,
    stop: Stop<'a>,
    states: Vec<Mutex<TileState>>,
    /// The first tile that no thread has begun.
    next: AtomicUsize,
    /// Of a part of the tiles its first position.
    part: Option<usize>,
    /// The lowest row that was refused.
    refused: AtomicUsize,
    best: OutputRows<'a>,
}

impl<R: RowReader> Search<'_, R> {
    /// Works on tiles until all are begun, a row is refused, or `stop` says yes.
    fn work(&self) {
        let mut room = Room::default();
        // With products of one side, tiles that are compared with nearly all others read those together.
        let alone = self.sides == Sides::Both || self.circulant.amount() <= AT_ONCE;
        let together = if alone { 1 } else { TOGETHER };
        while self.refused.load(Ordering::Relaxed) == usize::MAX {
            let first = self.next.fetch_add(together, Ordering::Relaxed);
            let end = self.circulant.searched().end;
            let tiles = first.min(end)..end.min(first + together);
            // For each tile, and once where there is none left.
            if (0..tiles.len().max(1)).any(|_| (self.stop)()) {
                return;
            }
            if tiles.is_empty() || self.search_tiles(tiles, &mut room).is_none() {
                return;
            }
        }
    }

    /// Compares tiles with their candidate tiles; `None` if a row was refused.
    fn search_tiles(&self, tiles: Range<usize>, room: &mut Room) -> Option<()> {
        let mut lefts = Vec::with_capacity(tiles.len());
        let mut candidates = Vec::new();
        room.prepared.resize_with(tiles.len(), AlignedValues::default);
        for (index, tile) in tiles.clone().enumerate() {
            let left = self.tile(tile)?;
            prepare_left(self.level, &left.values, self.format, &mut room.prepared[index]);
            candidates
                .extend(self.circulant.candidate_tiles(tile, self.sides).into_iter().map(|of| (index, of)));
            lefts.push(left);
        }
        if tiles.len() > 1 {
            candidates.sort_by_key(|(_, candidate)| candidate.tile);
        }
        let is_whole =
            |(_, candidate): &(usize, CandidateTile)| matches!(candidate.range, CandidateRange::First(_));
        // Rows of a tile have the same candidates, unless these are in their own tile.
        let all_at_once =
            self.sides == Sides::One && self.circulant.amount() <= AT_ONCE && candidates.iter().all(is_whole);
        let stride = (self.circulant.amount() + TILE).next_multiple_of(PANEL) + PANEL;
        if all_at_once {
            room.scores.values.resize(lefts[0].ids.len().next_multiple_of(PANEL) * stride);
            room.ids.clear();
        }
        let mut right = candidates.first().map(|(_, first)| self.tile(first.tile));
        for (at, (index, CandidateTile { tile: other, range, both })) in candidates.iter().enumerate() {
            let ahead = candidates.get(at + 1).map(|(_, next)| self.tile(next.tile));
            let (Some(Some(tile)), None | Some(Some(_))) = (&right, &ahead) else { return None };
            let (left, number) = (&lefts[*index], tiles.start + index);
            let pair = Pair {
                level: self.level,
                format: self.format,
                similarity: self.similarity,
                left: if room.prepared[*index].is_empty() { &left.values } else { &room.prepared[*index] },
                right: &tile.values,
                columns: self.columns,
                // Not again what was asked for already.
                ahead: match &ahead {
                    Some(Some(next)) if !Arc::ptr_eq(next, tile) => &next.values,
                    _ => &[],
                },
            };
            match range {
                CandidateRange::First(amount) if all_at_once => {
                    // What is no candidate any more is overwritten by the next ones.
                    room.scores.make(pair, room.ids.len(), stride);
                    room.ids.extend_from_slice(&tile.ids[..*amount]);
                }
                _ => {
                    room.scores.of(pair);
                    self.offer(number, room.scores.rows(left, tile), *range);
                }
            }
            if *both {
                room.scores.transpose(self.level, tile);
                let range = CandidateRange::First(left.ids.len());
                self.offer(*other, room.scores.columns(left, tile), range);
            }
            if *other != number {
                self.release(*other);
            }
            right = ahead;
        }
        if all_at_once {
            self.finish_rows(tiles.start, room, stride);
        }
        tiles.for_each(|tile| self.release(tile));
        Some(())
    }

    /// Writes the best of a tile, all of whose scores are there.
    fn finish_rows(&self, number: usize, room: &mut Room, stride: usize) {
        let Room { scores, ids, best, again, survivors: (indices, similarities), .. } = room;
        for ((row, position), scores) in
            self.circulant.positions(number).enumerate().zip(scores.values.chunks(stride))
        {
            let scores = &scores[..ids.len()];
            let write = |to: &mut [u32], places: &mut [f32]| {
                if self.exact.is_none() {
                    best.write(self.level, scores, ids, (to, places));
                    return;
                }
                indices.resize(self.survivors, 0);
                similarities.resize(self.survivors, 0.0);
                best.write(self.level, scores, ids, (&mut *indices, &mut *similarities));
                self.score_again((&mut *similarities, &mut *indices), number, row);
                again.write(self.level, similarities, indices, (to, places));
            };
            if position + 1 < self.order.len() {
                self.best.ask(self.row_of(position + 1));
            }
            // SAFETY: as in `finish`.
            #[expect(unsafe_code, reason = "rows of the result are written where they belong")]
            unsafe {
                self.best.write(self.row_of(position), write);
            }
        }
    }

    /// The row of the result for a position.
    fn row_of(&self, position: usize) -> u32 {
        match self.part {
            None => self.order[position],
            Some(first) => (position - first) as u32,
        }
    }

    fn state(&self, tile: usize) -> MutexGuard<'_, TileState> {
        self.states[tile].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows of a tile, which are read at their first use.
    fn tile(&self, number: usize) -> Option<Arc<Tile>> {
        let mut state = self.state(number);
        if let Some(tile) = &state.tile {
            return Some(Arc::clone(tile));
        }
        let positions = self.circulant.positions(number);
        let packing = Packing {
            level: self.level,
            format: self.format,
            columns: self.columns,
            parts: self.similarity.parts(),
        };
        positions.clone().for_each(|position| ask(self.read.addresses(self.order[position])));
        let packed = match &self.exact {
            None => {
                let ids = self.order[positions].to_vec();
                Tile::pack(ids, packing, |row, into| self.read.read(row, into))
            }
            Some(exact) => {
                let mut rows = Vec::with_capacity(positions.len() * self.columns);
                let ids = positions.map(|position| position as u32).collect();
                let packed = Tile::pack(ids, packing, |position, row| {
                    let fits = self.read.read(self.order[position as usize], row);
                    rows.extend_from_slice(row);
                    fits
                });
                exact[number].get_or_init(|| rows);
                packed.map_err(|position| self.order[position as usize])
            }
        };
        let packed = packed.map_err(|row| self.refused.fetch_min(row as usize, Ordering::Relaxed));
        let tile = Arc::new(packed.ok()?);
        state.tile = Some(Arc::clone(&tile));
        Some(tile)
    }

    fn offer(&self, number: usize, block: Block<'_>, range: CandidateRange) {
        let rows = self.circulant.positions(number).len();
        let mut state = self.state(number);
        state
            .selections
            .get_or_insert_with(|| Selections::new(rows, self.survivors))
            .offer(self.level, block, range);
    }

    /// Ends a use of a tile. After the last one its best are written, and its rows are dropped.
    fn release(&self, number: usize) {
        let mut state = self.state(number);
        state.uses -= 1;
        if state.uses > 0 {
            return;
        }
        let TileState { tile, selections, .. } = std::mem::take(&mut *state);
        drop(state);
        drop(tile);
        if let Some(mut selections) = selections {
            self.finish(number, &mut selections);
        }
    }

    /// Writes the best of a tile, to which all of its candidates were offered.
    fn finish(&self, number: usize, selections: &mut Selections) {
        for (row, position) in self.circulant.positions(number).enumerate() {
            if self.exact.is_some() {
                self.score_again(selections.survivors(row), number, row);
            }
            // SAFETY: `order` is a permutation, so the row is in this tile alone, and a tile is finished once: by
            // the one thread that began it, or by the last that uses it.
            #[expect(unsafe_code, reason = "rows of the result are written where they belong")]
            unsafe {
                self.best.write(self.row_of(position), |indices, similarities| {
                    selections.finish(self.level, row, indices, similarities);
                });
            }
        }
    }

    /// If similarities were rounded, replaces those of a row's survivors by exact ones, and their positions by
    /// the numbers of their rows. All of their tiles were read.
    fn score_again(&self, survivors: (&mut [f32], &mut [u32]), number: usize, row: usize) {
        let Some(exact) = &self.exact else { return };
        let at = |(tile, place): (usize, usize)| {
            let rows = exact[tile].get().map_or(&[][..], Vec::as_slice);
            &rows[place * self.columns..][..self.columns]
        };
        score_again(self.level, self.similarity, at((number, row)), survivors, |position| {
            (self.order[position as usize], at(self.circulant.place(position as usize)))
        });
    }
}

/// Two tiles whose rows are compared by their products in `f32`.
fn plain_pair<'a>(level: Level, left: &'a Tile, right: &'a Tile, columns: usize) -> Pair<'a> {
    let (format, similarity) = (PanelFormat::F32, Similarity::Product);
    Pair { level, format, similarity, left: &left.values, right: &right.values, columns, ahead: &[] }
}

/// The search of [`database_top_k`] over a database that comes in pieces: some queries in tiles, each with the best that it has seen.
pub(crate) struct PiecewiseSearch {
    level: Level,
    columns: usize,
    k: usize,
    queries: Vec<(Tile, Selections)>,
}

impl PiecewiseSearch {
    pub(crate) fn new(queries: &[f32], columns: usize, k: usize) -> Self {
        let tile = |(number, rows)| {
            let tile = Tile::of(Level::detect(), rows, number * TILE, columns);
            let selections = Selections::new(tile.ids.len(), k);
            (tile, selections)
        };
        let queries = queries.par_chunks(TILE * columns).enumerate().map(tile).collect();
        Self { level: Level::detect(), columns, k, queries }
    }

    /// Compares all queries with `rows`, whose numbers are `first` and the following. After a yes from `stop` the result is worth nothing.
    pub(crate) fn offer(&mut self, rows: &[f32], first: usize, stop: Stop<'_>) {
        let (level, columns) = (self.level, self.columns);
        let pieces = rows.par_chunks(TILE * columns).enumerate();
        let tiles: Vec<Tile> =
            pieces.map(|(number, rows)| Tile::of(level, rows, first + number * TILE, columns)).collect();
        self.queries.par_iter_mut().for_each_init(Scores::default, |scores, (left, selections)| {
            for right in tiles.iter().take_while(|_| !stop()) {
                scores.of(plain_pair(level, left, right, columns));
                selections.offer(level, scores.rows(left, right), CandidateRange::First(right.ids.len()));
            }
        });
    }

    pub(crate) fn finish(mut self) -> TopK {
        let (level, k) = (self.level, self.k);
        let mut best = TopK::zeros(self.queries.iter().map(|(tile, _)| tile.ids.len()).sum(), k);
        let tiles = best.indices.par_chunks_mut(TILE * k).zip(best.similarities.par_chunks_mut(TILE * k));
        tiles.zip(&mut self.queries).for_each(|((indices, similarities), (_, selections))| {
            let rows = indices.chunks_mut(k).zip(similarities.chunks_mut(k)).enumerate();
            rows.for_each(|(row, (indices, similarities))| {
                selections.finish(level, row, indices, similarities);
            });
        });
        best
    }
}

/// For each query its `k` most similar rows of the database, with `exclude_self` never the row of the same
/// number. After a yes from `stop` the remaining queries have no result.
///
/// # Shapes
/// `queries` and `database` rows of `columns`; `best` a row for each query.
pub(crate) fn database_top_k(
    queries: &[f32],
    database: &[f32],
    columns: usize,
    exclude_self: bool,
    best: &mut TopK,
    stop: Stop<'_>,
) {
    let (level, k) = (Level::detect(), best.k);
    let tiles: Vec<Tile> = database
        .par_chunks(TILE * columns)
        .enumerate()
        .map(|(number, rows)| Tile::of(Level::detect(), rows, number * TILE, columns))
        .collect();
    best.indices
        .par_chunks_mut(TILE * k)
        .zip(best.similarities.par_chunks_mut(TILE * k))
        .zip(queries.par_chunks(TILE * columns))
        .enumerate()
        .for_each_init(Scores::default, |scores, (number, ((indices, similarities), rows))| {
            if stop() {
                return;
            }
            let left = Tile::of(Level::detect(), rows, number * TILE, columns);
            let mut selections = Selections::new(left.ids.len(), k);
            for (at, right) in tiles.iter().enumerate() {
                scores.of(plain_pair(level, &left, right, columns));
                let width = right.ids.len();
                let own = exclude_self && at == number;
                let range =
                    if own { CandidateRange::Following(width - 1) } else { CandidateRange::First(width) };
                selections.offer(level, scores.rows(&left, right), range);
            }
            let rows = indices.chunks_mut(k).zip(similarities.chunks_mut(k)).enumerate();
            rows.for_each(|(row, (indices, similarities))| {
                selections.finish(level, row, indices, similarities);
            });
        });
}

#[cfg(test)]
mod tests;
