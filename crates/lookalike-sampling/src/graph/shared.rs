//! The proximity graph built by several ranks, each of which scores a part of it.
//!
//! Positions are cut into tiles as for one process ([`Circulant`]), and rank p of P takes the p-th part of the tiles. Offsets are short, so
//! the candidates of its rows lie in its own tiles and in some beside them, its halo, and not among everybody's. A rank scores its rows alone,
//! and so no partial result is merged: the graph has the same bits for any P. Where ranks read different rows, each row goes once to the rank of its
//! position, and from there to those who have it in their halo; at last the edges go to everybody.

use std::ops::Range;

use lookalike_base::ranks::{agree, floats};
use lookalike_base::{Ranks, RanksError, RowSource, Seed, Watch};
use lookalike_kernels::{Circulant, KernelError, RowReader, TopK};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{SamplingError, Warning};
use crate::graph::candidates::Candidates;
use crate::graph::pairs::UnitRows;
use crate::graph::proximity::{GraphOptions, MemberRows, Members, ProximityGraph, check_row};
use crate::set::InstanceSet;

/// Bytes of rows or edges that a rank sends or receives at once.
const AT_ONCE: usize = 1 << 26;

/// Which rows each rank reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// All of them, as each has them in memory.
    All,
    /// Of P ranks each the p-th part of them, and those that others send. So rows of a mapped file need not fit into the memory of one machine.
    Part,
}

/// What a rank sent and received to build a graph, and what it held, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Rows received for its own positions.
    pub permuted: u64,
    /// Rows received of its halo.
    pub halo: u64,
    /// Edges received, all but its own.
    pub edges: u64,
    /// Rows in memory at once, where they were not all there before; without those of the tiles that are being compared, which stand there once more.
    pub held: u64,
}

impl Traffic {
    /// Adds that of another build, beside which nothing of this one is held any more.
    pub(crate) fn add(&mut self, other: Self) {
        self.permuted += other.permuted;
        self.halo += other.halo;
        self.edges += other.edges;
        self.held = self.held.max(other.held);
    }
}

/// Builds the graph of [`proximity_graph`](crate::proximity_graph) together with other ranks, all of which get it, and says what was sent for it. It has the same bits for any number of
/// ranks.
///
/// Candidates are drawn by tiles, whatever `options` say of it. Beside its rows, those of the tiles that are being compared, and the graph a rank holds 12 bytes an instance. Progress is that of this rank's part. Work that is cancelled on
/// one rank ends on all.
///
/// # Shapes
/// `embeddings` N×d, or N×2d for pairs, of which a rank reads those that `held` says.
///
/// # Errors
/// As [`proximity_graph`](crate::proximity_graph), the same on all ranks, and [`SamplingError::Shared`] where ranks have other options or another number of rows, or one is gone.
pub fn shared_proximity_graph(
    ranks: &dyn Ranks,
    held: Held,
    (embeddings, present): (impl RowSource, Option<&InstanceSet>),
    options: &GraphOptions,
    (seed, build): (Seed, u64),
    watch: Watch<'_>,
) -> Result<(ProximityGraph, Vec<Warning>, Traffic), SamplingError> {
    let members = Members::new(UnitRows::new(&embeddings, options.pairs)?, present)?;
    let count = members.instances.len();
    let (options, warning) = options.fitted(count)?;
    let shape = (embeddings.len(), embeddings.columns(), count);
    let own = [
        ("has embeddings of another shape", format!("{shape:?}")),
        ("builds another graph", format!("{options:?} {seed:?} {build}")),
    ];
    agree(ranks, &own)?;
    let Candidates { circulant, order } = Candidates::draw(count as u32, options.candidates, seed, build);
    let shared = Shared { ranks, members: &members, circulant, order, traffic: Traffic::default() };
    let (graph, traffic) = shared.build(held, &options, watch)?;
    Ok((graph, warning.into_iter().collect(), traffic))
}

/// A graph that is being built.
struct Shared<'a> {
    ranks: &'a dyn Ranks,
    members: &'a Members<'a>,
    circulant: Circulant,
    /// The member at each position.
    order: Vec<u32>,
    traffic: Traffic,
}

/// Rows that a rank holds, one behind another.
struct HeldRows {
    values: Vec<f32>,
    columns: usize,
    /// Where the row of each member is, of those that are here.
    places: Vec<u32>,
}

impl RowReader for HeldRows {
    fn read(&self, member: u32, into: &mut [f32]) -> bool {
        into.copy_from_slice(
            &self.values[self.places[member as usize] as usize * self.columns..][..self.columns],
        );
        true
    }

    fn addresses(&self, member: u32) -> Range<usize> {
        let row = &self.values[self.places[member as usize] as usize * self.columns..][..self.columns];
        row.as_ptr() as usize..row.as_ptr() as usize + size_of_val(row)
    }
}

/// The `rank`-th of so many parts of `all`.
fn part(all: usize, rank: usize, of: usize) -> Range<usize> {
    let begin = |rank: usize| (all as u128 * rank as u128 / of as u128) as usize;
    begin(rank)..begin(rank + 1)
}

impl Shared<'_> {
    fn build(
        mut self,
        held: Held,
        options: &GraphOptions,
        watch: Watch<'_>,
    ) -> Result<(ProximityGraph, Traffic), SamplingError> {
        let circulant = self.circulant.part(self.tiles_of(self.ranks.rank()));
        let found = match held {
            Held::All => self.search(&circulant, options, &MemberRows(self.members), watch),
            Held::Part => {
                let rows = self.collected(&circulant, watch)?;
                self.search(&circulant, options, &rows, watch)
            }
        };
        let own = agreed(self.ranks, found)?;
        let all = self.gathered(&own, options.neighbors)?;
        Ok((self.members.named(all), self.traffic))
    }

    fn search(
        &self,
        circulant: &Circulant,
        options: &GraphOptions,
        rows: &impl RowReader,
        watch: Watch<'_>,
    ) -> Result<TopK, SamplingError> {
        self.members.top_k((circulant, &self.order), options.neighbors, options.scoring, rows, watch)
    }

    fn tiles_of(&self, rank: usize) -> Range<usize> {
        part(self.circulant.tiles(), rank, self.ranks.size())
    }

    fn positions_of(&self, rank: usize) -> Range<usize> {
        let tiles = self.tiles_of(rank);
        let begin = |tile: usize| {
            if tile < self.circulant.tiles() {
                self.circulant.positions(tile).start
            } else {
                self.order.len()
            }
        };
        begin(tiles.start)..begin(tiles.end)
    }

    /// The rows of this rank's positions and of its halo.
    fn collected(&mut self, circulant: &Circulant, watch: Watch<'_>) -> Result<HeldRows, SamplingError> {
        let columns = self.members.embeddings.columns();
        if columns == 0 {
            return Err(KernelError::Shape { values: 0, columns }.into());
        }
        let mine = self.positions_of(self.ranks.rank());
        let own_tiles = circulant.searched();
        let halo: Vec<usize> =
            circulant.read().into_iter().filter(|tile| !own_tiles.contains(tile)).collect();
        let rows = mine.len() + halo.iter().map(|tile| circulant.positions(*tile).len()).sum::<usize>();
        let values =
            rows.checked_mul(columns).filter(|values| *values <= isize::MAX as usize / size_of::<f32>());
        let values = values.ok_or(KernelError::TooLarge { rows, columns })?;
        let mut held = HeldRows { values: vec![0.0; values], columns, places: vec![0; self.order.len()] };
        let positions = mine.clone().chain(halo.iter().flat_map(|tile| circulant.positions(*tile)));
        positions
            .enumerate()
            .for_each(|(place, position)| held.places[self.order[position] as usize] = place as u32);
        self.traffic.held = (rows * columns * size_of::<f32>()) as u64;
        self.permute(&mut held, watch)?;
        self.exchange_halo(&mut held, &halo, watch)?;
        Ok(held)
    }

    /// Sends each row that this rank reads to the rank of its position.
    fn permute(&mut self, held: &mut HeldRows, watch: Watch<'_>) -> Result<(), SamplingError> {
        let (size, rank, columns) = (self.ranks.size(), self.ranks.rank(), held.columns);
        let width = columns * size_of::<f32>();
        let at_once = (AT_ONCE / width).max(1);
        let most = (0..size).map(|rank| self.positions_of(rank).len()).max().unwrap_or(0);
        let mut received = 0;
        for round in 0..most.div_ceil(at_once) {
            // Who reads a row, and for whom, hangs on the order alone, which all know: rows go without their numbers.
            let members_of = |rank: usize, reader: usize| -> Vec<u32> {
                let (positions, read) = (self.positions_of(rank), part(self.order.len(), reader, size));
                let members =
                    positions.skip(round * at_once).take(at_once).map(|position| self.order[position]);
                members.filter(|member| read.contains(&(*member as usize))).collect()
            };
            let mut sent = Vec::with_capacity(size);
            let mut refused = None;
            for to in 0..size {
                match self.bytes_of(&members_of(to, rank), columns) {
                    Ok(bytes) => sent.push(bytes),
                    Err(member) => refused = Some(refused.map_or(member, |first: u32| first.min(member))),
                }
            }
            let sent = match refused {
                Some(member) => Err(self.not_finite(member)),
                None => stopped(watch).map(|()| sent),
            };
            let sent = agreed(self.ranks, sent)?;
            for (from, bytes) in self.ranks.all_to_all(sent)?.into_iter().enumerate() {
                received += if from == rank { 0 } else { bytes.len() as u64 };
                let members = members_of(rank, from);
                has_all(from, &bytes, members.len() * width)?;
                for (member, row) in members.into_iter().zip(bytes.chunks(width)) {
                    let place = held.places[member as usize] as usize * columns;
                    held.values[place..place + columns].copy_from_slice(&floats(row));
                }
            }
        }
        self.traffic.permuted = received;
        Ok(())
    }

    /// The rows of some members as they are compared, or the first member whose row is not finite.
    fn bytes_of(&self, members: &[u32], columns: usize) -> Result<Vec<u8>, u32> {
        let width = columns * size_of::<f32>();
        let mut bytes = vec![0; members.len() * width];
        let fits = |(into, member): (&mut [u8], &u32)| {
            let mut row = vec![0.0; columns];
            let finite = self.members.read(*member, &mut row);
            into.chunks_exact_mut(4)
                .zip(&row)
                .for_each(|(into, value)| into.copy_from_slice(&value.to_le_bytes()));
            if finite { None } else { Some(*member) }
        };
        let refused = bytes.par_chunks_mut(width).zip(members).filter_map(fits).min();
        match refused {
            None => Ok(bytes),
            Some(member) => Err(member),
        }
    }

    fn not_finite(&self, member: u32) -> SamplingError {
        let (instance, rows) = (self.members.instances[member as usize], self.members.embeddings.rows);
        let mut row = vec![0.0; rows.columns()];
        rows.read_row(instance as usize, &mut row);
        check_row(&row, instance).err().unwrap_or(KernelError::Refused { row: member as usize }.into())
    }

    /// Gets the rows of the tiles `halo` from those whose positions they are.
    fn exchange_halo(
        &mut self,
        held: &mut HeldRows,
        halo: &[usize],
        watch: Watch<'_>,
    ) -> Result<(), SamplingError> {
        let (size, rank, columns) = (self.ranks.size(), self.ranks.rank(), held.columns);
        let width = columns * size_of::<f32>();
        // What others need of this rank's tiles, which all can tell.
        let own = self.tiles_of(rank);
        let needed = |other: usize| -> Vec<usize> {
            let theirs = self.tiles_of(other);
            let read = self.circulant.part(theirs.clone()).read().into_iter();
            read.filter(|tile| own.contains(tile) && !theirs.contains(tile)).collect()
        };
        let wanted: Vec<Vec<usize>> = (0..size).map(needed).collect();
        let members_of = |tiles: &[usize]| -> Vec<u32> {
            tiles
                .iter()
                .flat_map(|tile| self.circulant.positions(*tile))
                .map(|position| self.order[position])
                .collect()
        };
        let wanted: Vec<Vec<u32>> = wanted.iter().map(|tiles| members_of(tiles)).collect();
        let from: Vec<Vec<u32>> = (0..size)
            .map(|from| {
                let tiles = self.tiles_of(from);
                members_of(&halo.iter().copied().filter(|tile| tiles.contains(tile)).collect::<Vec<_>>())
            })
            .collect();
        let at_once = (AT_ONCE / width / size).max(1);
        let most = wanted.iter().chain(&from).map(Vec::len).max().unwrap_or(0);
        let most = self.ranks.all_gather(&(most as u64).to_le_bytes())?;
        let most = most.iter().filter_map(|bytes| Some(u64::from_le_bytes(bytes[..].try_into().ok()?))).max();
        let mut received = 0;
        for round in 0..(most.unwrap_or(0) as usize).div_ceil(at_once) {
            agreed(self.ranks, stopped(watch))?;
            let some = |members: &[u32]| -> Range<usize> {
                (round * at_once).min(members.len())..((round + 1) * at_once).min(members.len())
            };
            let row = |member: &u32| {
                let place = held.places[*member as usize] as usize * columns;
                held.values[place..place + columns].iter().flat_map(|value| value.to_le_bytes())
            };
            let sent =
                wanted.iter().map(|members| members[some(members)].iter().flat_map(row).collect()).collect();
            for (other, (members, bytes)) in from.iter().zip(self.ranks.all_to_all(sent)?).enumerate() {
                received += bytes.len() as u64;
                let members = &members[some(members)];
                has_all(other, &bytes, members.len() * width)?;
                for (member, row) in members.iter().zip(bytes.chunks(width)) {
                    let place = held.places[*member as usize] as usize * columns;
                    held.values[place..place + columns].copy_from_slice(&floats(row));
                }
            }
        }
        self.traffic.halo = received;
        Ok(())
    }

    /// The neighbours of all members, from those that each rank found for its positions.
    fn gathered(&mut self, own: &TopK, k: usize) -> Result<TopK, SamplingError> {
        let edges = self
            .order
            .len()
            .checked_mul(k)
            .ok_or(SamplingError::Instances { instances: self.order.len() })?;
        let (size, rank) = (self.ranks.size(), self.ranks.rank());
        let width = k * 2 * size_of::<u32>();
        let at_once = (AT_ONCE / width / size).max(1);
        let most = (0..size).map(|rank| self.positions_of(rank).len()).max().unwrap_or(0);
        let mut all = TopK { k, indices: vec![0; edges], similarities: vec![0.0; edges] };
        let mine = own.indices.chunks(k).zip(own.similarities.chunks(k));
        let mut mine = mine.map(|(indices, similarities)| {
            let similarities = similarities.iter().map(|value| value.to_bits());
            indices.iter().copied().chain(similarities).flat_map(u32::to_le_bytes)
        });
        let mut received = 0;
        for round in 0..most.div_ceil(at_once) {
            let sent: Vec<u8> = mine.by_ref().take(at_once).flatten().collect();
            for (from, bytes) in self.ranks.all_gather(&sent)?.iter().enumerate() {
                received += if from == rank { 0 } else { bytes.len() as u64 };
                let positions = self.positions_of(from).skip(round * at_once).take(at_once);
                has_all(from, bytes, positions.len() * width)?;
                for (position, row) in positions.zip(bytes.chunks(width)) {
                    let place = self.order[position] as usize * k;
                    let mut words = row.chunks_exact(4).map(|word| [word[0], word[1], word[2], word[3]]);
                    let indices = &mut all.indices[place..place + k];
                    indices
                        .iter_mut()
                        .zip(&mut words)
                        .for_each(|(index, word)| *index = u32::from_le_bytes(word));
                    let similarities = &mut all.similarities[place..place + k];
                    similarities
                        .iter_mut()
                        .zip(words)
                        .for_each(|(value, word)| *value = f32::from_le_bytes(word));
                }
            }
        }
        self.traffic.edges = received;
        Ok(all)
    }
}

/// Checks that a rank sent as many bytes as it was to.
fn has_all(rank: usize, bytes: &[u8], wanted: usize) -> Result<(), SamplingError> {
    if bytes.len() == wanted {
        return Ok(());
    }
    let found = bytes.len();
    Err(RanksError::Disagreement(format!("rank {rank} sent {found} bytes of the graph, not {wanted}")).into())
}

/// An error where the work was asked to stop.
fn stopped(watch: Watch<'_>) -> Result<(), SamplingError> {
    if watch.is_cancelled() { Err(SamplingError::Cancelled) } else { Ok(()) }
}

/// What this rank came to, where all ranks came to something; else the failure of one of them, the same on all.
fn agreed<T>(ranks: &dyn Ranks, own: Result<T, SamplingError>) -> Result<T, SamplingError> {
    let said = match &own {
        Ok(_) => Vec::new(),
        Err(SamplingError::Cancelled) => vec![CANCELLED],
        Err(SamplingError::NotFinite { instance, column }) => {
            [&[NOT_FINITE][..], &instance.to_be_bytes(), &(*column as u64).to_be_bytes()].concat()
        }
        Err(error) => [&[OTHER], error.to_string().as_bytes()].concat(),
    };
    let all = ranks.all_gather(&said)?;
    // The lowest instance first.
    let worst = all.iter().enumerate().filter(|(_, said)| !said.is_empty()).min_by_key(|(_, said)| *said);
    match (own, worst) {
        (own, None) => own,
        (Err(own), Some((_, said))) if said[0] == OTHER => Err(own),
        (_, Some((rank, said))) => Err(match said[..] {
            [CANCELLED, ..] => SamplingError::Cancelled,
            [NOT_FINITE, a, b, c, d, ref column @ ..] => SamplingError::NotFinite {
                instance: u32::from_be_bytes([a, b, c, d]),
                column: column.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
            },
            _ => {
                let told = String::from_utf8_lossy(&said[1..]);
                RanksError::Disagreement(format!("rank {rank}: {told}")).into()
            }
        }),
    }
}

/// The first byte of what a rank says of its failure; of several the lowest counts.
const NOT_FINITE: u8 = 0;
const CANCELLED: u8 = 1;
const OTHER: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use lookalike_base::ranks::Threads;
    use lookalike_base::{Cancellation, Matrix, Silent};
    use lookalike_kernels::Scoring;

    use crate::graph::{PairRows, proximity_graph};

    fn matrix(rows: usize, columns: usize) -> Matrix {
        let mut stream = Seed(1).stream("test", 0, 0, 0);
        Matrix::new((0..rows * columns).map(|_| stream.normal()).collect(), columns).unwrap()
    }

    /// What each of `count` ranks comes to.
    fn of_each<R: Send>(count: usize, work: impl Fn(&dyn Ranks) -> R + Sync) -> Vec<R> {
        std::thread::scope(|scope| {
            let work = &work;
            let running: Vec<_> =
                Threads::new(count).into_iter().map(|ranks| scope.spawn(move || work(&ranks))).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    /// Rows of which those outside a part must not be read.
    struct Lent<'a>(&'a Matrix, Range<usize>);

    impl RowSource for Lent<'_> {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn columns(&self) -> usize {
            self.0.columns()
        }

        fn read_row(&self, index: usize, into: &mut [f32]) {
            assert!(self.1.contains(&index), "row {index} is read, of {:?}", self.1);
            into.copy_from_slice(self.0.row(index));
        }
    }

    #[test]
    fn any_number_of_ranks_builds_the_graph_of_one() {
        for (rows, candidates, neighbors, pairs, scoring) in [
            (3000, 300, 20, None, Scoring::F32),
            (3000, 300, 20, None, Scoring::Bf16),
            (3000, 300, 20, Some(PairRows::Cross), Scoring::F32),
            (2001, 200, 10, Some(PairRows::Mean), Scoring::F32),
            (40, 39, 5, None, Scoring::F32),
            (9, 3, 2, None, Scoring::F32),
        ] {
            let matrix = matrix(rows, 12);
            let options = GraphOptions { candidates, neighbors, scoring, pairs, ..GraphOptions::default() };
            let mut odd = InstanceSet::new(rows);
            odd.extend((0..rows as u32).filter(|instance| instance % 2 == 1));
            for present in [None, Some(&odd).filter(|_| candidates < rows / 2)] {
                let alone = proximity_graph(matrix.rows(), present, &options, Seed(3), 4, Watch::default())
                    .unwrap()
                    .0;
                for count in [1, 2, 3, 4, 8] {
                    let graphs = of_each(count, |ranks| {
                        // Members are every second row, and parts are those of members.
                        let step = if present.is_some() { 2 } else { 1 };
                        let own = part(rows / step, ranks.rank(), count);
                        let own = Lent(&matrix, own.start * step..own.end * step);
                        let (seed, watch) = ((Seed(3), 4), Watch::default());
                        let parted = (&own, present);
                        let parted =
                            shared_proximity_graph(ranks, Held::Part, parted, &options, seed, watch).unwrap();
                        let all = (matrix.rows(), present);
                        let whole = shared_proximity_graph(ranks, Held::All, all, &options, seed, watch);
                        assert_eq!(whole.unwrap().0.fingerprint(), parted.0.fingerprint());
                        parted
                    });
                    let members = present.map_or(rows, InstanceSet::count);
                    check(&graphs, &alone, &options, members, matrix.columns());
                }
            }
        }
    }

    /// Checks graphs and what ranks received against the candidates, who tell it exactly.
    fn check(
        graphs: &[(ProximityGraph, Vec<Warning>, Traffic)],
        alone: &ProximityGraph,
        options: &GraphOptions,
        members: usize,
        columns: usize,
    ) {
        let (count, row) =
            (graphs.len(), 4 * if options.pairs == Some(PairRows::Mean) { columns / 2 } else { columns });
        let Candidates { circulant, order } =
            Candidates::draw(members as u32, options.candidates, Seed(3), 4);
        for (rank, (graph, _, traffic)) in graphs.iter().enumerate() {
            assert_eq!(graph.fingerprint(), alone.fingerprint(), "{count} ranks, {members} members");
            let tiles = part(circulant.tiles(), rank, count);
            let bytes = |tiles: &mut dyn Iterator<Item = usize>| {
                tiles.map(|tile| circulant.positions(tile).len() * row).sum::<usize>() as u64
            };
            let read = circulant.part(tiles.clone()).read().into_iter();
            assert_eq!(traffic.halo, bytes(&mut read.filter(|tile| !tiles.contains(tile))));
            assert_eq!(traffic.held, traffic.halo + bytes(&mut tiles.clone()));
            let positions = tiles.flat_map(|tile| circulant.positions(tile));
            let others = positions
                .filter(|position| !part(members, rank, count).contains(&(order[*position] as usize)));
            assert_eq!(traffic.permuted, (others.count() * row) as u64);
        }
        let edges = graphs.iter().map(|(_, _, traffic)| traffic.edges).sum::<u64>();
        assert_eq!(edges, (8 * members * options.neighbors * (count - 1)) as u64);
    }

    #[test]
    fn a_halo_is_as_wide_as_the_offsets() {
        // Of many rows offsets reach 1/32 of them to both sides, and single ones twice as far ahead.
        let (rows, candidates) = (1 << 17, 1000);
        let matrix = matrix(rows, 1);
        let options = GraphOptions { candidates, neighbors: 1, ..GraphOptions::default() };
        for (_, _, traffic) in of_each(8, |ranks| {
            let seed = (Seed(3), 4);
            shared_proximity_graph(ranks, Held::Part, (matrix.rows(), None), &options, seed, Watch::default())
                .unwrap()
        }) {
            let row = 4;
            let eighth = (rows / 8 * row) as f64;
            // 7/8 of its own rows come from others.
            assert!((traffic.permuted as f64 / (eighth * 7.0 / 8.0) - 1.0).abs() < 0.02, "{traffic:?}");
            assert!(
                traffic.halo as f64 <= (rows * row) as f64 * (1.0 / 16.0 + 1.0 / 32.0) + 128.0 * row as f64
            );
            assert!(traffic.halo as f64 >= (rows * row) as f64 / 32.0, "{traffic:?}");
            assert!((traffic.held as f64 - traffic.halo as f64 - eighth).abs() < 64.0 * row as f64);
            let edges = (rows / 8 * 7 * 8) as f64;
            assert!((traffic.edges as f64 - edges).abs() <= 64.0 * 8.0, "{traffic:?}");
        }
    }

    #[test]
    fn all_ranks_end_with_one_error() {
        let mut values = matrix(300, 6).rows().values().to_vec();
        values[250 * 6 + 2] = f32::NAN;
        values[100 * 6 + 4] = f32::INFINITY;
        let matrix = Matrix::new(values, 6).unwrap();
        let options = GraphOptions { candidates: 50, neighbors: 5, ..GraphOptions::default() };
        for held in [Held::All, Held::Part] {
            let build = |ranks: &dyn Ranks, options: &GraphOptions, cancelled: bool| {
                let (seed, cancellation) = ((Seed(3), 4), Cancellation::new());
                if cancelled {
                    cancellation.cancel();
                }
                let watch = Watch { progress: &Silent, cancellation: &cancellation };
                let rows = (matrix.rows(), None);
                shared_proximity_graph(ranks, held, rows, options, seed, watch).map(drop).unwrap_err()
            };
            for error in of_each(4, |ranks| build(ranks, &options, false)) {
                assert_eq!(error, SamplingError::NotFinite { instance: 100, column: 4 });
            }
            let other = GraphOptions { neighbors: 6, ..options };
            for error in
                of_each(3, |ranks| build(ranks, if ranks.rank() == 2 { &other } else { &options }, false))
            {
                assert!(error.to_string().starts_with("rank 2 builds another graph than rank 0"), "{error}");
            }
        }
        let sound = self::matrix(300, 6);
        for held in [Held::All, Held::Part] {
            for error in of_each(2, |ranks| {
                let cancellation = Cancellation::new();
                if ranks.rank() == 1 {
                    cancellation.cancel();
                }
                let watch = Watch { progress: &Silent, cancellation: &cancellation };
                let rows = (sound.rows(), None);
                shared_proximity_graph(ranks, held, rows, &options, (Seed(3), 4), watch)
                    .map(drop)
                    .unwrap_err()
            }) {
                assert_eq!(error, SamplingError::Cancelled);
            }
        }
    }
}
