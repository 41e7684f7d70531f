//! How long the kernels of the CPU were at work, for whoever asks what a training step costs.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// What is timed apart.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Task {
    /// Convolutions.
    Convolution,
    /// Their input gradients.
    InputGradient,
    /// Their weight gradients.
    WeightGradient,
    /// Normalisation, with what is fused into it.
    Normalization,
    /// Its gradients.
    NormalizationGradient,
    /// Products of linear layers, with their gradients.
    Product,
    /// Attention, with its gradients.
    Attention,
    /// Bias and GELU, with their gradients.
    Gelu,
    /// Layer normalisation with what is fused into it, and its gradients.
    LayerNorm,
    /// Masks of dropout that no other operation applies.
    Dropout,
    /// Reading rows of tables, with its gradient.
    Lookup,
}

/// Tasks there are.
pub(crate) const TASKS: usize = 11;

thread_local! {
    /// Time of each task since this thread began. The engine calls one operation after another on the thread that asked for
    /// them, so that the time of a call is that of its work, whoever helps with it.
    static SPENT: Cell<[Duration; TASKS]> = const { Cell::new([Duration::ZERO; TASKS]) };
}

/// Does `work`, and remembers how long it took.
pub(super) fn timed<T>(task: Task, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = work();
    let mut spent = SPENT.get();
    spent[task as usize] += begun.elapsed();
    SPENT.set(spent);
    result
}

/// The time of each task since this thread began, in the order of [`Task`].
pub(crate) fn spent() -> [Duration; TASKS] {
    SPENT.get()
}
