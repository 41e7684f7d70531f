//! How the programs that time kernels take a time.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Of as many calls as a quarter of a second holds, at least five.
pub(crate) fn median_seconds<T>(call: impl Fn() -> T) -> f64 {
    black_box(call());
    let begin = Instant::now();
    let mut seconds = Vec::new();
    while seconds.len() < 5 || begin.elapsed() < Duration::from_millis(250) {
        let start = Instant::now();
        black_box(call());
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
