//! Ranks by MPI.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lookalike_base::{Ranks, RanksError};
use mpi::collective::SystemOperation;
use mpi::datatype::{Partition, PartitionMut};
use mpi::environment::{Threading, Universe};
use mpi::point_to_point::send_receive_into;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives};

use super::watchdog::Watchdog;
use crate::failure::Failure;

/// Bytes or numbers that go in one message: MPI counts in 31 bits.
const PIECE: usize = 1 << 28;

/// All processes that were started together. MPI ends with it; until then there is a universe.
pub(super) struct World {
    universe: Option<Universe>,
    watchdog: Watchdog,
    sent: Arc<Sent>,
}

/// Bytes that this process sent to others and received from them.
#[derive(Debug, Default)]
struct Sent {
    exchanged: AtomicU64,
    gathered: AtomicU64,
}

fn count(counter: &AtomicU64, bytes: usize) {
    counter.fetch_add(bytes as u64, Ordering::Relaxed);
}

impl World {
    pub(super) fn join() -> Result<Self, Failure> {
        // Before others can wait for this one.
        let watchdog = Watchdog::start()?;
        let (universe, found) = mpi::initialize_with_threading(Threading::Funneled)
            .ok_or_else(|| Failure::usage("MPI was begun before in this process"))?;
        if found < Threading::Funneled {
            return Err(Failure::usage(format!(
                "this MPI does not go with programs of several threads ({found:?})"
            )));
        }
        Ok(Self { universe: Some(universe), watchdog, sent: Arc::default() })
    }

    pub(super) fn ranks(&self) -> Arc<dyn Ranks> {
        Arc::new(Processes { watchdog: self.watchdog.clone(), sent: Arc::clone(&self.sent) })
    }

    /// What was sent, in words.
    pub(super) fn traffic(&self) -> String {
        let Sent { exchanged, gathered } = &*self.sent;
        let [exchanged, gathered] = [exchanged, gathered].map(|bytes| bytes.load(Ordering::Relaxed));
        format!(
            "rank 0 sent {exchanged} bytes of gradients and statistics, and received {gathered} bytes of what ranks gathered"
        )
    }

    /// The name of this machine and the number of this process, by which launchers speak of it.
    #[allow(clippy::unused_self, reason = "there are processes while there is a world")]
    pub(super) fn process(&self) -> String {
        let machine = mpi::environment::processor_name().unwrap_or_default();
        format!("{} at {machine}", std::process::id())
    }

    #[allow(clippy::unused_self, reason = "there is somebody to end while there is a world")]
    pub(super) fn abort(&self, status: u8) -> ! {
        SimpleCommunicator::world().abort(i32::from(status))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A process that panics would wait for the others, and they for it.
        if std::thread::panicking() {
            self.abort(101);
        }
        let _waiting = self.watchdog.wait("all others in MPI_Finalize");
        self.universe = None;
    }
}

/// The processes of the world. Where one is gone MPI ends all.
#[derive(Debug)]
struct Processes {
    watchdog: Watchdog,
    sent: Arc<Sent>,
}

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
        let _waiting = self.watchdog.wait("all others in all_gather");
        let world = Self::world();
        let mut lengths = vec![0_u64; self.size()];
        world.all_gather_into(&(own.len() as u64), &mut lengths[..]);
        let mut all: Vec<Vec<u8>> =
            lengths.iter().map(|length| Vec::with_capacity(*length as usize)).collect();
        let all_bytes = lengths.iter().sum::<u64>() as usize;
        count(&self.sent.gathered, all_bytes - own.len());
        // All of a round together must be counted too.
        let piece = PIECE / self.size();
        let rounds = lengths.iter().max().map_or(0, |most| (*most as usize).div_ceil(piece));
        for round in 0..rounds {
            let part = |length: usize| length.saturating_sub(round * piece).min(piece);
            let counts: Vec<i32> = lengths.iter().map(|length| part(*length as usize) as i32).collect();
            let begins = begins(&counts);
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

    fn all_to_all(&self, own: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, RanksError> {
        let _waiting = self.watchdog.wait("all others in all_to_all");
        let (world, size) = (Self::world(), self.size());
        assert_eq!(own.len(), size, "parts for other ranks than there are");
        let sent: Vec<u64> = own.iter().map(|part| part.len() as u64).collect();
        let mut lengths = vec![0_u64; size];
        world.all_to_all_into(&sent[..], &mut lengths[..]);
        count(&self.sent.gathered, (lengths.iter().sum::<u64>() - lengths[self.rank()]) as usize);
        let mut longest = 0_u64;
        let most = sent.iter().copied().max().unwrap_or(0);
        world.all_reduce_into(&most, &mut longest, SystemOperation::max());
        let mut all: Vec<Vec<u8>> =
            lengths.iter().map(|length| Vec::with_capacity(*length as usize)).collect();
        let piece = PIECE / size;
        for round in 0..(longest as usize).div_ceil(piece) {
            let part = |length: usize| (round * piece).min(length)..((round + 1) * piece).min(length);
            let counts = |lengths: &[u64]| -> Vec<i32> {
                lengths.iter().map(|length| part(*length as usize).len() as i32).collect()
            };
            let (counts_out, counts_in) = (counts(&sent), counts(&lengths));
            let flat: Vec<u8> = own.iter().flat_map(|bytes| &bytes[part(bytes.len())]).copied().collect();
            let mut received = vec![0_u8; counts_in.iter().sum::<i32>() as usize];
            let (begins_out, begins_in) = (begins(&counts_out), begins(&counts_in));
            let from = Partition::new(&flat[..], &counts_out[..], &begins_out[..]);
            let mut into = PartitionMut::new(&mut received[..], &counts_in[..], &begins_in[..]);
            world.all_to_all_varcount_into(&from, &mut into);
            for ((all, count), begin) in all.iter_mut().zip(&counts_in).zip(&begins_in) {
                all.extend_from_slice(&received[*begin as usize..(begin + count) as usize]);
            }
        }
        Ok(all)
    }

    fn step_made(&self) {
        self.watchdog.step_made();
    }

    fn exchange(&self, other: usize, own: &[f32]) -> Result<Vec<f32>, RanksError> {
        let _waiting = self.watchdog.wait(format!("rank {other} in exchange"));
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
        count(&self.sent.exchanged, size_of_val(own));
        let mut received = vec![0.0_f32; own.len()];
        for (sent, into) in own.chunks(PIECE).zip(received.chunks_mut(PIECE)) {
            send_receive_into(sent, &process, into, &process);
        }
        Ok(received)
    }
}

/// Where parts of these lengths begin that lie one behind another.
fn begins(counts: &[i32]) -> Vec<i32> {
    counts.iter().scan(0, |sum, count| Some(std::mem::replace(sum, *sum + count))).collect()
}
