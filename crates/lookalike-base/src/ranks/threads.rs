//! Threads of one process in the place of processes.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{Ranks, RanksError, floats};

/// One of several threads that share a run as processes would, to show that these come to the same.
#[derive(Debug)]
pub struct Threads {
    rank: usize,
    table: Arc<Table>,
}

/// Where the threads lay down what they have.
#[derive(Debug)]
struct Table {
    laid: Mutex<Laid>,
    changed: Condvar,
}

#[derive(Debug)]
struct Laid {
    /// What each has laid down in its present round.
    places: Vec<Option<Vec<u8>>>,
    /// How many have taken what all laid down.
    taken: usize,
    /// Bytes on their way: from whom, to whom.
    letters: Vec<(usize, usize, Vec<u8>)>,
    /// Who has ended.
    gone: Vec<bool>,
}

impl Threads {
    /// So many threads' shares of one table.
    pub fn new(count: usize) -> Vec<Self> {
        let laid =
            Laid { places: vec![None; count], taken: 0, letters: Vec::new(), gone: vec![false; count] };
        let table = Arc::new(Table { laid: Mutex::new(laid), changed: Condvar::new() });
        (0..count).map(|rank| Self { rank, table: Arc::clone(&table) }).collect()
    }

    fn laid(&self) -> MutexGuard<'_, Laid> {
        self.table.laid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `ready` finds what it looks for, or says for whom it waits that is gone.
    fn wait<R>(
        &self,
        what: &'static str,
        mut ready: impl FnMut(&mut Laid) -> Result<R, Option<usize>>,
    ) -> Result<R, RanksError> {
        let mut laid = self.laid();
        loop {
            match ready(&mut laid) {
                Ok(found) => {
                    drop(laid);
                    self.table.changed.notify_all();
                    return Ok(found);
                }
                Err(Some(rank)) => return Err(RanksError::Gone { own: self.rank, rank, what }),
                Err(None) => laid = self.table.changed.wait(laid).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// The oldest letter from rank `from`.
    fn letter(&self, what: &'static str, from: usize) -> Result<Vec<u8>, RanksError> {
        self.wait(what, |laid| {
            let place = laid.letters.iter().position(|(own, to, _)| (*own, *to) == (from, self.rank));
            match place {
                Some(place) => Ok(laid.letters.remove(place).2),
                None => Err(laid.gone[from].then_some(from)),
            }
        })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.laid().gone[self.rank] = true;
        self.table.changed.notify_all();
    }
}

impl Ranks for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.laid().places.len()
    }

    fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, RanksError> {
        // The round before must be taken by all.
        self.wait("all_gather", |laid| match &mut laid.places[self.rank] {
            Some(_) => Err(laid.gone.iter().position(|gone| *gone)),
            place => {
                *place = Some(own.to_vec());
                Ok(())
            }
        })?;
        self.wait("all_gather", |laid| {
            let all: Option<Vec<Vec<u8>>> = laid.places.iter().cloned().collect();
            let Some(all) = all else {
                return Err(
                    (0..laid.places.len()).find(|rank| laid.places[*rank].is_none() && laid.gone[*rank])
                );
            };
            laid.taken += 1;
            if laid.taken == laid.places.len() {
                laid.taken = 0;
                laid.places.fill(None);
            }
            Ok(all)
        })
    }

    fn all_to_all(&self, own: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, RanksError> {
        assert_eq!(own.len(), self.size(), "parts for other ranks than there are");
        let letters = own.into_iter().enumerate().map(|(to, part)| (self.rank, to, part));
        self.laid().letters.extend(letters);
        self.table.changed.notify_all();
        (0..self.size()).map(|from| self.letter("all_to_all", from)).collect()
    }

    fn exchange(&self, other: usize, own: &[f32]) -> Result<Vec<f32>, RanksError> {
        let letter = own.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.laid().letters.push((self.rank, other, letter));
        self.table.changed.notify_all();
        Ok(floats(&self.letter("exchange", other)?))
    }
}
