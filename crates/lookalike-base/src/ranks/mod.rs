//! Processes that share a run: what they tell each other, and sums that are the same to the bit however many they are.

mod threads;

use thiserror::Error;

pub use threads::Threads;

/// Why ranks cannot go on together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RanksError {
    /// Another one is gone.
    #[error("rank {rank} ended while rank {own} waited for it in {what}")]
    Gone {
        /// The one that waited.
        own: usize,
        /// The one that is gone.
        rank: usize,
        /// In what.
        what: &'static str,
    },
    /// Others do not tell what is expected.
    #[error("{0}")]
    Disagreement(String),
}

/// A process, or a thread that stands for one, among those that share a run. All of them call the same functions in the same order.
pub trait Ranks: std::fmt::Debug + Send + Sync {
    /// Which one this is, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// What all have, in their order; each may have another length.
    ///
    /// # Errors
    /// [`RanksError::Gone`].
    fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, RanksError>;

    /// Sends `own[r]` to each rank r, and gives what each sent to this one, in their order. That for this rank itself comes back.
    ///
    /// # Errors
    /// [`RanksError::Gone`].
    ///
    /// # Panics
    /// Where `own` has not one part for each rank.
    fn all_to_all(&self, own: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, RanksError>;

    /// Sends `own` to rank `other`, and gives the numbers that it sends back, as many.
    ///
    /// # Errors
    /// [`RanksError::Gone`].
    fn exchange(&self, other: usize, own: &[f32]) -> Result<Vec<f32>, RanksError>;

    /// Says that a step is made: how long one may wait for another goes by how long steps take.
    fn step_made(&self) {}

    /// Waits until all are here.
    ///
    /// # Errors
    /// [`RanksError::Gone`].
    fn barrier(&self) -> Result<(), RanksError> {
        self.all_gather(&[]).map(drop)
    }

    /// What rank 0 has.
    ///
    /// # Errors
    /// [`RanksError::Gone`].
    fn broadcast(&self, own: &[u8]) -> Result<Vec<u8>, RanksError> {
        let sent = if self.rank() == 0 { own } else { &[] };
        Ok(self.all_gather(sent)?.swap_remove(0))
    }

    /// Whether any of them says so.
    ///
    /// # Errors
    /// [`RanksError::Gone`].
    fn any(&self, own: bool) -> Result<bool, RanksError> {
        if self.size() == 1 {
            return Ok(own);
        }
        Ok(self.all_gather(&[u8::from(own)])?.iter().any(|said| said.first() == Some(&1)))
    }
}

/// Checks that all ranks have the same `own` values, each under the words for a rank that has another, as "has another recipe".
///
/// # Errors
/// [`RanksError::Disagreement`] names the first rank that differs, and in what; [`RanksError::Gone`].
pub fn agree(ranks: &dyn Ranks, own: &[(&str, String)]) -> Result<(), RanksError> {
    /// Bytes of both values up to which they are shown.
    const SHOWN: usize = 200;
    if ranks.size() == 1 {
        return Ok(());
    }
    let sent: Vec<&str> = own.iter().map(|(_, value)| value.as_str()).collect();
    let all = ranks.all_gather(sent.join("\0").as_bytes())?;
    let all: Vec<_> = all.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
    for (rank, values) in all.iter().enumerate() {
        let both = values.split('\0').zip(all[0].split('\0'));
        if let Some(((what, _), (value, first))) =
            own.iter().zip(both).find(|(_, (value, first))| value != first)
        {
            let shown = if value.len() + first.len() < SHOWN {
                format!(": {value}, and rank 0 has {first}")
            } else {
                String::new()
            };
            return Err(RanksError::Disagreement(format!("rank {rank} {what} than rank 0{shown}")));
        }
    }
    Ok(())
}

/// The only process of a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Ranks for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, RanksError> {
        Ok(vec![own.to_vec()])
    }

    fn all_to_all(&self, own: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, RanksError> {
        assert_eq!(own.len(), 1, "parts for other ranks than this one");
        Ok(own)
    }

    fn exchange(&self, _: usize, own: &[f32]) -> Result<Vec<f32>, RanksError> {
        Ok(own.to_vec())
    }
}

/// The sum of the numbers of all shards, place by place. Each rank gives those of its own, which lie one behind another by rank, as many from each; the number of
/// ranks and that of a rank's shards are powers of two.
///
/// Shards are added by a fixed binary tree over their numbers, first within a rank and then between ranks, so that any number of ranks gives the same
/// bits. A rank sends its sum log₂ P times.
///
/// # Shapes
/// Vectors of one length; none where there are no shards.
///
/// # Errors
/// [`RanksError::Gone`]; [`RanksError::Disagreement`] where a rank sends another length.
pub fn tree_sum(ranks: &dyn Ranks, mut shards: Vec<Vec<f32>>) -> Result<Vec<f32>, RanksError> {
    while shards.len() > 1 {
        let mut rest = shards.into_iter();
        shards = Vec::new();
        while let Some(mut first) = rest.next() {
            if let Some(second) = rest.next() {
                add(&mut first, &second);
            }
            shards.push(first);
        }
    }
    let mut sum = shards.pop().unwrap_or_default();
    let mut distance = 1;
    while distance < ranks.size() {
        let other = ranks.rank() ^ distance;
        let received = ranks.exchange(other, &sum)?;
        if received.len() != sum.len() {
            let (own, found) = (sum.len(), received.len());
            return Err(RanksError::Disagreement(format!(
                "rank {other} sent {found} numbers to be added, and rank {} has {own}",
                ranks.rank()
            )));
        }
        // Which of two is added to the other makes no difference to the bits.
        add(&mut sum, &received);
        distance *= 2;
    }
    Ok(sum)
}

/// Numbers that another rank sent as bytes.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect()
}

fn add(sum: &mut [f32], other: &[f32]) {
    for (sum, value) in sum.iter_mut().zip(other) {
        *sum += value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    /// What each of `count` ranks comes to.
    fn of_each<R: Send>(count: usize, work: impl Fn(&Threads) -> R + Sync) -> Vec<R> {
        std::thread::scope(|scope| {
            let work = &work;
            let running: Vec<_> =
                Threads::new(count).into_iter().map(|ranks| scope.spawn(move || work(&ranks))).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    #[test]
    fn the_sum_of_shards_has_the_same_bits_for_any_number_of_ranks() {
        let shards: Vec<Vec<f32>> = (0..8)
            .map(|shard| {
                let mut stream = Seed(1).stream("shard", shard, 0, 0);
                (0..1000).map(|_| stream.normal() * 10_f32.powi((shard % 5) as i32)).collect()
            })
            .collect();
        let alone = tree_sum(&Alone, shards.clone()).unwrap();
        let plain: f64 = shards.iter().map(|shard| f64::from(shard[7])).sum();
        assert!((f64::from(alone[7]) - plain).abs() < 1e-2 * plain.abs().max(1.0));
        for count in [2, 4, 8] {
            let sums = of_each(count, |ranks| {
                let each = 8 / count;
                let own = shards[ranks.rank() * each..][..each].to_vec();
                tree_sum(ranks, own).unwrap()
            });
            for sum in sums {
                assert!(sum.iter().zip(&alone).all(|(a, b)| a.to_bits() == b.to_bits()), "{count}");
            }
        }
        assert!(tree_sum(&Alone, Vec::new()).unwrap().is_empty());
    }

    #[test]
    fn all_get_what_all_have_again_and_again() {
        let found = of_each(3, |ranks| {
            let mut all = Vec::new();
            for round in 0..50_u8 {
                let own = vec![round; ranks.rank()];
                all.push(ranks.all_gather(&own).unwrap());
            }
            for round in 0..50_u8 {
                // To rank r so many bytes as the numbers of both say, none to oneself at first.
                let own = (0..3).map(|to| vec![round + ranks.rank() as u8; to * ranks.rank()]).collect();
                let got = ranks.all_to_all(own).unwrap();
                let sent = |from: usize| vec![round + from as u8; ranks.rank() * from];
                assert_eq!(got, [sent(0), sent(1), sent(2)]);
            }
            assert_eq!(ranks.broadcast(&[7, ranks.rank() as u8]).unwrap(), [7, 0]);
            assert!(ranks.any(ranks.rank() == 2).unwrap() && !ranks.any(false).unwrap());
            ranks.barrier().unwrap();
            all
        });
        for all in found {
            for (round, all) in all.iter().enumerate() {
                assert_eq!(*all, [vec![], vec![round as u8], vec![round as u8; 2]]);
            }
        }
    }

    #[test]
    fn the_first_rank_that_differs_is_named_to_all() {
        let told = |values: [&str; 3]| {
            of_each(3, |ranks| {
                let own = [
                    ("has another name", "a\nb".to_owned()),
                    ("has other data", values[ranks.rank()].to_owned()),
                ];
                agree(ranks, &own).map_err(|error| error.to_string())
            })
        };
        assert_eq!(told(["x", "x", "x"]), [Ok(()), Ok(()), Ok(())]);
        let differs = Err("rank 1 has other data than rank 0: y, and rank 0 has x".to_owned());
        assert_eq!(told(["x", "y", "z"]), [differs.clone(), differs.clone(), differs]);
        let long = "x".repeat(300);
        assert_eq!(told([&long, &long, "z"])[0], Err("rank 2 has other data than rank 0".to_owned()));
    }

    #[test]
    fn who_waits_for_one_that_is_gone_is_told() {
        let found = of_each(4, |ranks| (ranks.rank() != 2).then(|| ranks.barrier().unwrap_err().to_string()));
        assert_eq!(found[0].as_deref(), Some("rank 2 ended while rank 0 waited for it in all_gather"));
        assert_eq!(found.iter().flatten().count(), 3);
        let lengths =
            of_each(2, |ranks| tree_sum(ranks, vec![vec![0.0; ranks.rank() + 1]]).unwrap_err().to_string());
        assert_eq!(lengths[0], "rank 1 sent 2 numbers to be added, and rank 0 has 1");
    }
}
