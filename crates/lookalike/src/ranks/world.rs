//! Ranks by MPI.

use std::sync::Arc;

use lookalike_base::{Ranks, RanksError};
use mpi::datatype::PartitionMut;
use mpi::environment::{Threading, Universe};
use mpi::point_to_point::send_receive_into;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives};

use crate::failure::Failure;

/// Bytes or numbers that go in one message: MPI counts in 31 bits.
const PIECE: usize = 1 << 28;

/// All processes that were started together. MPI ends with it.
pub(super) struct World {
    _universe: Universe,
}

impl World {
    pub(super) fn join() -> Result<Self, Failure> {
        let (universe, found) = mpi::initialize_with_threading(Threading::Funneled)
            .ok_or_else(|| Failure::usage("MPI was begun before in this process"))?;
        if found < Threading::Funneled {
            return Err(Failure::usage(format!(
                "this MPI does not go with programs of several threads ({found:?})"
            )));
        }
        Ok(Self { _universe: universe })
    }

    #[allow(clippy::unused_self, reason = "there are ranks while there is a world")]
    pub(super) fn ranks(&self) -> Arc<dyn Ranks> {
        Arc::new(Processes)
    }

    #[allow(clippy::unused_self, reason = "there is somebody to end while there is a world")]
    pub(super) fn abort(&self, status: u8) -> ! {
        SimpleCommunicator::world().abort(i32::from(status))
    }
}

/// A process that panics would wait for the others, and they for it.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.abort(101);
        }
    }
}

/// The processes of the world. Where one is gone MPI ends all.
#[derive(Debug)]
struct Processes;

impl Processes {
    fn world() -> SimpleCommunicator {
        SimpleCommunicator::world()
    }
}

impl Ranks for Processes {
    fn rank(&self) -> usize {
        Self::world().rank() as usize
    }

    fn size(&self) -> usize {
        Self::world().size() as usize
    }

    fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, RanksError> {
        let world = Self::world();
        let mut lengths = vec![0_u64; self.size()];
        world.all_gather_into(&(own.len() as u64), &mut lengths[..]);
        let mut all: Vec<Vec<u8>> =
            lengths.iter().map(|length| Vec::with_capacity(*length as usize)).collect();
        // All of a round together must be counted too.
        let piece = PIECE / self.size();
        let rounds = lengths.iter().max().map_or(0, |most| (*most as usize).div_ceil(piece));
        for round in 0..rounds {
            let part = |length: usize| length.saturating_sub(round * piece).min(piece);
            let counts: Vec<i32> = lengths.iter().map(|length| part(*length as usize) as i32).collect();
            let begins: Vec<i32> =
                counts.iter().scan(0, |sum, count| Some(std::mem::replace(sum, *sum + count))).collect();
            let mut received = vec![0_u8; counts.iter().sum::<i32>() as usize];
            let first = (round * piece).min(own.len());
            let sent = &own[first..first + part(own.len())];
            let mut partition = PartitionMut::new(&mut received[..], &counts[..], &begins[..]);
            world.all_gather_varcount_into(sent, &mut partition);
            for ((all, count), begin) in all.iter_mut().zip(&counts).zip(&begins) {
                all.extend_from_slice(&received[*begin as usize..(begin + count) as usize]);
            }
        }
        Ok(all)
    }

    fn exchange(&self, other: usize, own: &[f32]) -> Result<Vec<f32>, RanksError> {
        let world = Self::world();
        let process = world.process_at_rank(other as i32);
        let mut length = 0_u64;
        send_receive_into(&(own.len() as u64), &process, &mut length, &process);
        if length != own.len() as u64 {
            return Err(RanksError::Disagreement(format!(
                "rank {other} sent {length} numbers, and rank {} has {}",
                self.rank(),
                own.len()
            )));
        }
        let mut received = vec![0.0_f32; own.len()];
        for (sent, into) in own.chunks(PIECE).zip(received.chunks_mut(PIECE)) {
            send_receive_into(sent, &process, into, &process);
        }
        Ok(received)
    }
}
