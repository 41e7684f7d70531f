//! How the programs that time kernels take a time.
#![allow(dead_code, reason = "no program takes times in every way")]

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
    median(seconds)
}

/// Of as many rounds as half a second holds, at least five, in which the calls take turns: whatever slows the
/// machine down slows all of them.
pub(crate) fn median_seconds_by_turns<T, const N: usize>(calls: [&dyn Fn() -> T; N]) -> [f64; N] {
    for call in calls {
        black_box(call());
    }
    let begin = Instant::now();
    let mut seconds = [const { Vec::new() }; N];
    while seconds[0].len() < 5 || begin.elapsed() < Duration::from_millis(500) {
        for (call, seconds) in calls.iter().zip(&mut seconds) {
            let start = Instant::now();
            black_box(call());
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    seconds.map(median)
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
