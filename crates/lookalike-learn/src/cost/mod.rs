//! What a training step costs: on [images] of noise, or on [texts] of a file.

pub mod images;
pub mod texts;

use std::time::{Duration, Instant};

use lookalike_base::progress::Cancellation;

use crate::engine::{Device, DeviceName};
use crate::error::LearnError;
use crate::op::clock::{TASKS, Task, spent};
use crate::options::refuse;

/// What steps took.
struct Measured<const N: usize> {
    /// Seconds of each step.
    seconds: Vec<f64>,
    /// Shares of the time of all steps that the kernels' tasks had.
    tasks: [f64; TASKS],
    /// Shares that the steps timed themselves.
    apart: [f64; N],
}

impl<const N: usize> Measured<N> {
    /// The share of a task.
    fn share(&self, task: Task) -> f64 {
        self.tasks[task as usize]
    }

    /// Median, least and most a second of what a step has `count` of.
    fn rates(&self, count: usize) -> [f64; 3] {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        let (middle, last) = (sorted.len() / 2, sorted.len() - 1);
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        [median, sorted[last], sorted[0]].map(|seconds| count as f64 / seconds)
    }
}

/// Times `steps` calls of `step` after `warm_up` others. Each gives the time of its parts that are to be told apart.
fn measure<const N: usize>(
    [warm_up, steps]: [usize; 2],
    cancellation: &Cancellation,
    mut step: impl FnMut() -> Result<[Duration; N], LearnError>,
) -> Result<Measured<N>, LearnError> {
    let (mut seconds, mut before, mut parts) = (Vec::new(), spent(), [Duration::ZERO; N]);
    for index in 0..warm_up + steps {
        if cancellation.is_cancelled() {
            return Err(LearnError::Cancelled);
        }
        if index == warm_up {
            before = spent();
        }
        let begun = Instant::now();
        let own = step()?;
        if index >= warm_up {
            seconds.push(begun.elapsed().as_secs_f64());
            parts.iter_mut().zip(own).for_each(|(sum, part)| *sum += part);
        }
    }
    let total: f64 = seconds.iter().sum();
    let after = spent();
    let tasks = std::array::from_fn(|task| after[task].saturating_sub(before[task]).as_secs_f64() / total);
    Ok(Measured { seconds, tasks, apart: parts.map(|part| part.as_secs_f64() / total) })
}

/// Waits until the device has done what it was asked for.
fn synced(device: &Device, name: DeviceName) -> Result<(), LearnError> {
    let error =
        |error: &dyn ToString| LearnError::Device { name: name.to_string(), reason: error.to_string() };
    device.sync().map_err(|reason| error(&reason))
}

/// Refuses an option that is 0.
fn require_some(options: &[(usize, &str)]) -> Result<(), LearnError> {
    match options.iter().find(|(value, _)| *value == 0) {
        None => Ok(()),
        Some((_, place)) => Err(refuse(place, "must be at least 1")),
    }
}

/// The most memory that this process had in use, as Linux counts it.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024 * kibibytes)
}
