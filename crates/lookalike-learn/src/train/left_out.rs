//! Instances that went bad after the run began: they keep their numbers and come into no batch any more.

use lookalike_base::Seed;

use crate::error::LearnError;
use crate::options::require;

/// An instance that cannot be read any more, and what it is called.
pub type LeftOut = (u32, String);

/// Checks that enough instances are left for a batch.
///
/// # Errors
/// [`LearnError::Recipe`] where there are fewer.
pub(super) fn check(left_out: &[LeftOut], instances: usize, batch_size: usize) -> Result<(), LearnError> {
    let left = instances.saturating_sub(left_out.len());
    let reason = format!(
        "with {batch_size} a batch is larger than the {left} instances that can still be read, of {instances} with which the run began"
    );
    require(left_out.is_empty() || left >= batch_size, "sampler.batch_size", reason)
}

/// What a message says of them.
pub(super) fn told(left_out: &[LeftOut]) -> String {
    const NAMED: usize = 20;
    let named: Vec<&str> = left_out.iter().take(NAMED).map(|(_, name)| name.as_str()).collect();
    let more = left_out.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(
        "{} instances cannot be read any more and are left out from here on; others take their places in batches: {}{more}",
        left_out.len(),
        named.join(", ")
    )
}

/// Puts others, drawn uniformly, in the places of those of a batch that are left out; the batch is the `number`th of the run.
pub(super) fn replace(
    batch: &mut [u32],
    left_out: &[LeftOut],
    instances: usize,
    (seed, epoch, number): (Seed, u64, u64),
) {
    let is_out = |instance: u32| left_out.binary_search_by_key(&instance, |(own, _)| *own).is_ok();
    for place in 0..batch.len() {
        if !is_out(batch[place]) {
            continue;
        }
        let mut stream = seed.stream("left out", epoch, number, place as u64);
        loop {
            let other = stream.below(instances as u32);
            if !is_out(other) && !batch.contains(&other) {
                batch[place] = other;
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(instances: &[u32]) -> Vec<LeftOut> {
        instances.iter().map(|instance| (*instance, format!("{instance}.png"))).collect()
    }

    #[test]
    fn others_take_their_places_and_nobody_comes_twice() {
        let left_out = out(&[1, 4, 5]);
        for number in 0..200 {
            let mut batch = [4, 0, 5, 7];
            replace(&mut batch, &left_out, 9, (Seed(3), 0, number));
            assert_eq!((batch[1], batch[3]), (0, 7));
            let mut sorted = batch;
            sorted.sort_unstable();
            assert!(sorted.windows(2).all(|pair| pair[0] != pair[1]), "{batch:?}");
            assert!(batch.iter().all(|instance| ![1, 4, 5].contains(instance)), "{batch:?}");
            let mut again = [4, 0, 5, 7];
            replace(&mut again, &left_out, 9, (Seed(3), 0, number));
            assert_eq!(again, batch);
        }
    }

    #[test]
    fn as_many_as_a_batch_has_must_be_left() {
        assert!(check(&out(&[1, 2]), 10, 8).is_ok());
        let error = check(&out(&[1, 2, 3]), 10, 8).unwrap_err().to_string();
        assert!(error.contains("larger than the 7 instances"), "{error}");
        assert!(told(&out(&[7])).starts_with("1 instances cannot be read any more"));
        assert!(told(&out(&(0..30).collect::<Vec<u32>>())).ends_with("19.png and 10 more"));
    }
}
