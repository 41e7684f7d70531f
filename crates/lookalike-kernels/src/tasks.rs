//! How many tasks there should be.
//!
//! Where a sum does not hang on the split, the split may hang on the number of threads: few of them lose nothing to
//! tasks that only many need. Where sums are made of partial sums, sizes alone decide, and there are enough tasks for 64
//! threads.

use std::sync::OnceLock;

/// Tasks a thread, at least: cores are not equally fast.
const EACH: usize = 4;

/// Tasks of a stage whose sums hang on its split, if it has work for so many: enough for 64 threads.
pub(crate) const MANY: usize = wanted_of(64);

/// Tasks of a stage whose results do not hang on its split, if it has work for so many.
pub(crate) fn wanted() -> usize {
    wanted_of(threads())
}

/// Threads that can run at a time. Those beyond the cores would gain nothing from finer tasks, which pack more.
pub(crate) fn threads() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    let threads = rayon::current_num_threads();
    if cfg!(test) {
        // Tests want the tasks of machines that they do not run on.
        return threads;
    }
    let cores = CORES.get_or_init(|| std::thread::available_parallelism().map_or(usize::MAX, usize::from));
    threads.min(*cores)
}

/// As [`wanted`], of so many threads.
pub(crate) const fn wanted_of(threads: usize) -> usize {
    EACH * threads
}

/// The first of `splits`, from coarse to fine, that has as many tasks as are wanted, or else the first of those that
/// have the most.
pub(crate) fn coarsest<S, const N: usize>(splits: [S; N], wanted: usize, tasks: impl Fn(&S) -> usize) -> S {
    let better = |one: S, other: S| {
        let fewest = tasks(&one);
        if fewest < wanted && fewest < tasks(&other) { other } else { one }
    };
    let Some(best) = splits.into_iter().reduce(better) else { unreachable!("there is a split") };
    best
}

#[cfg(test)]
mod tests;
