//! What encoding costs.

use std::time::Instant;

use lookalike_base::Watch;
use serde::Serialize;

use super::{EncodeOptions, SentenceEncoder};
use crate::cost::peak_memory;
use crate::error::LearnError;
use crate::op::clock::{TASKS, Task, spent};

/// Texts that are encoded before the clock runs.
const WARM_UP: usize = 256;

/// What encoding texts took, tokenising included.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct EncodeCost {
    /// Texts.
    pub texts: usize,
    /// Their tokens, those of beginnings and ends included.
    pub tokens: usize,
    /// Seconds of all.
    pub seconds: f64,
    /// Texts a second.
    pub texts_per_second: f64,
    /// Tokens a second.
    pub tokens_per_second: f64,
    /// Where the time went.
    pub shares: EncodeShares,
    /// Most memory the process had, in bytes; `None` where the system does not say.
    pub peak_memory: Option<u64>,
}

/// Shares of the time.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct EncodeShares {
    /// Products of linear layers.
    pub product: f64,
    /// Attention.
    pub attention: f64,
    /// Bias and GELU.
    pub gelu: f64,
    /// Layer normalisation with the sums before it.
    pub layer_norm: f64,
    /// Everything else: tokenising, reading tables, pooling.
    pub rest: f64,
}

/// Encodes `texts` once and tells what it took.
///
/// # Errors
/// As [`SentenceEncoder::encode`].
pub fn encode<S: AsRef<str> + Sync>(
    encoder: &mut SentenceEncoder,
    texts: &[S],
    options: &EncodeOptions,
    watch: Watch<'_>,
) -> Result<EncodeCost, LearnError> {
    let silent = Watch { cancellation: watch.cancellation, ..Watch::default() };
    encoder.encode(&texts[..texts.len().min(WARM_UP)], options, silent)?;
    let (begun, before) = (Instant::now(), spent());
    let tokens = encoder.encode(texts, options, watch)?.tokens;
    let seconds = begun.elapsed().as_secs_f64();
    let tasks: [f64; TASKS] =
        std::array::from_fn(|task| spent()[task].saturating_sub(before[task]).as_secs_f64() / seconds);
    let of = |task: Task| tasks[task as usize];
    let [product, attention, gelu, layer_norm] =
        [Task::Product, Task::Attention, Task::Gelu, Task::LayerNorm].map(of);
    Ok(EncodeCost {
        texts: texts.len(),
        tokens,
        seconds,
        texts_per_second: texts.len() as f64 / seconds,
        tokens_per_second: tokens as f64 / seconds,
        shares: EncodeShares {
            product,
            attention,
            gelu,
            layer_norm,
            rest: 1.0 - product - attention - gelu - layer_norm,
        },
        peak_memory: peak_memory(),
    })
}
