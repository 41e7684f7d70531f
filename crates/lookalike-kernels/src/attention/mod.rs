//! Attention of several heads among the tokens of each text (Vaswani et al., 2017), forward and gradient, on
//! packed texts.
//!
//! The tokens of all texts follow one another: text s has the rows `offsets[s]` to `offsets[s + 1]`, less one.
//! There is no padding and no mask. A text's results hang on its own tokens alone, to the last bit. Scores are
//! made for some queries at a time, stay in the cache, and are made again for the gradient, so that memory
//! grows with the tokens and not with their square.

use rayon::prelude::*;

use crate::columns::over_tasks;
use crate::dropout::threshold;
use crate::instructions::Level;
use crate::map::Precision;
use crate::sizes::{product as count, row_values};
use blocks::{Distances, Head, Scratch};
use output::Output;
use tiles::Products;

mod backward;
mod blocks;
mod forward;
mod output;
mod product;
mod rows;
#[cfg(test)]
mod tests;
mod tiles;

/// Texts and heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionShape<'a> {
    /// Where each text begins, and the number of tokens, T: from 0, not falling.
    pub offsets: &'a [usize],
    /// Heads, of `width / heads` columns each.
    pub heads: usize,
    /// The width of all heads together, d.
    pub width: usize,
    /// How far away the keys are at most that a query attends to, where that is bounded (`ModernBERT`'s local
    /// attention).
    pub window: Option<usize>,
}

/// What is added to a score, by the distance key − query (`MPNet`'s relative bias). It is added after the
/// products were scaled.
#[derive(Debug, Clone, Copy)]
pub struct DistanceBias<'a> {
    /// A row a bucket, with a value a head.
    pub values: &'a [f32],
    /// The bucket of each of the 2 · longest − 1 distances, −(longest − 1) first.
    pub buckets: &'a [u32],
}

/// Which probabilities are dropped. That of head h, query q and key k of a text of L tokens is where
/// [`bits`](crate::dropout::bits) of the text's key and the counter (h · L + q) · L + k say so, by the threshold
/// and with the scale of [`mask`](crate::dropout::mask). The counter wraps around.
#[derive(Debug, Clone, Copy)]
pub struct DroppedProbabilities<'a> {
    /// A key a text.
    pub keys: &'a [u64],
    /// From 0 to below 1.
    pub probability: f32,
}

/// The gradients of [`attention`].
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionGradient {
    /// T × 3d, as the operand.
    pub qkv: Vec<f32>,
    /// A row a bucket, with a value a head, where there is a bias.
    pub bias: Option<Vec<f32>>,
}

/// softmax(q · kᵀ / √(d / heads) + bias) · v of each head, among the tokens of each text. The probabilities are
/// those of dropout.
///
/// In [`Precision::Bf16`] the factors of both products are rounded to bfloat16 where tile registers multiply them, in
/// texts of 64 tokens and more: elsewhere the rounding would cost more than it saves, and all is `f32`. Sums, and all
/// between the products, are `f32` everywhere.
///
/// # Shapes
/// `qkv` is T × 3d: queries of all heads, keys of all heads, values of all heads. The result is T × d.
///
/// # Panics
/// If the offsets do not rise from 0, the heads do not divide the width, lengths do not fit the shape, the
/// buckets are not those of an odd number of distances, or are fewer than the longest text has, a bucket has no
/// values, there is not a key a text, or the probability is not from 0 to below 1.
pub fn attention(
    shape: &AttentionShape<'_>,
    precision: Precision,
    qkv: &[f32],
    bias: Option<&DistanceBias<'_>>,
    dropout: Option<&DroppedProbabilities<'_>>,
) -> Vec<f32> {
    attention_at((Level::detect(), Products::detect(precision)), shape, qkv, bias, dropout)
}

/// Queries of a task. Its keys are packed once.
const TASK: usize = 512;

fn attention_at(
    (level, products): (Level, Products),
    shape: &AttentionShape<'_>,
    qkv: &[f32],
    bias: Option<&DistanceBias<'_>>,
    dropout: Option<&DroppedProbabilities<'_>>,
) -> Vec<f32> {
    let call = Call::new(shape, qkv, bias, dropout);
    let tasks: Vec<(Head<'_>, usize)> = call
        .heads()
        .flat_map(|head| (0..head.tokens).step_by(TASK).map(move |first| (head, first)))
        .collect();
    // SAFETY: each row of each head is written by one task.
    #[expect(unsafe_code, reason = "tasks write columns of rows that they share")]
    unsafe {
        Output::write([shape.tokens(), shape.width], |out| {
            tasks.par_iter().for_each_init(Scratch::default, |scratch, (head, first)| {
                let queries = *first..(first + TASK).min(head.tokens);
                level.run_vectors(forward::Forward { head: *head, products, queries, scratch, out });
            });
        })
    }
}

/// The gradients, given that of what [`attention`] returned for the same operands.
///
/// # Panics
/// As [`attention`], and if `gradient` is not T × d.
pub fn attention_gradient(
    shape: &AttentionShape<'_>,
    precision: Precision,
    qkv: &[f32],
    bias: Option<&DistanceBias<'_>>,
    dropout: Option<&DroppedProbabilities<'_>>,
    gradient: &[f32],
) -> AttentionGradient {
    let with = (Level::detect(), Products::detect(precision));
    attention_gradient_at(with, shape, qkv, bias, dropout, gradient)
}

fn attention_gradient_at(
    (level, products): (Level, Products),
    shape: &AttentionShape<'_>,
    qkv: &[f32],
    bias: Option<&DistanceBias<'_>>,
    dropout: Option<&DroppedProbabilities<'_>>,
    gradient: &[f32],
) -> AttentionGradient {
    let call = Call::new(shape, qkv, bias, dropout);
    assert_eq!(gradient.len(), row_values(shape.tokens(), shape.width), "a gradient for each result");
    let tasks: Vec<Head<'_>> = call.heads().collect();
    let buckets = bias.map_or(0, |bias| bias.values.len() / shape.heads);
    let mut sums = vec![0.0; count([tasks.len(), buckets], shape)];
    // A task without a bias has no sums.
    let mut parts: Vec<&mut [f32]> = if buckets > 0 {
        sums.chunks_exact_mut(buckets).collect()
    } else {
        tasks.iter().map(|_| [].as_mut_slice()).collect()
    };
    // SAFETY: each row of queries, keys and values of each head is written by one task.
    #[expect(unsafe_code, reason = "tasks write columns of rows that they share")]
    let qkv = unsafe {
        Output::write([shape.tokens(), 3 * shape.width], |out| {
            tasks.par_iter().zip(parts.par_iter_mut()).for_each_init(
                Scratch::default,
                |scratch, (head, sums)| {
                    level.run_vectors(backward::Backward {
                        head: *head,
                        products,
                        gradient,
                        scratch,
                        sums,
                        out,
                    });
                },
            );
        })
    };
    let bias = bias.map(|bias| {
        let by_head = over_tasks(&sums, bias.values.len());
        (0..bias.values.len())
            .map(|place| by_head[place % shape.heads * buckets + place / shape.heads])
            .collect()
    });
    AttentionGradient { qkv, bias }
}

impl AttentionShape<'_> {
    fn tokens(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }
}

/// The operands of a call, checked.
struct Call<'a> {
    shape: &'a AttentionShape<'a>,
    qkv: &'a [f32],
    bias: Option<Biases<'a>>,
    dropout: Option<&'a DroppedProbabilities<'a>>,
}

/// The bias of each distance, head by head.
struct Biases<'a> {
    values: Vec<f32>,
    /// Values of a head: more than there are distances, as rows of scores are padded.
    stride: usize,
    buckets: &'a [u32],
}

impl<'a> Call<'a> {
    fn new(
        shape: &'a AttentionShape<'a>,
        qkv: &'a [f32],
        bias: Option<&DistanceBias<'a>>,
        dropout: Option<&'a DroppedProbabilities<'a>>,
    ) -> Self {
        /// Scores of a row that are padding, at most.
        const PADDING: usize = 32;
        let AttentionShape { offsets, heads, width, .. } = *shape;
        let rising = offsets.first() == Some(&0) && offsets.windows(2).all(|ends| ends[0] <= ends[1]);
        assert!(rising, "texts begin at token 0 and follow each other");
        assert!(heads > 0 && width > 0 && width.is_multiple_of(heads), "{heads} heads of width {width}");
        let values = count([shape.tokens(), 3, width], shape);
        assert_eq!(qkv.len(), values, "query, key and value of each token");
        if let Some(DroppedProbabilities { keys, probability }) = dropout {
            assert_eq!(keys.len(), offsets.len() - 1, "a key for each text");
            assert!((0.0..1.0).contains(probability), "a probability of dropping from 0 to below 1");
        }
        let bias = bias.map(|DistanceBias { values, buckets }| {
            assert!(buckets.len() % 2 == 1, "an odd number of distances");
            let longest = offsets.windows(2).map(|ends| ends[1] - ends[0]).max().unwrap_or(0);
            assert!(longest <= buckets.len().div_ceil(2), "a bucket for each distance in {longest} tokens");
            assert!(values.len().is_multiple_of(heads), "a bias for each head of a bucket");
            let available = values.len() / heads;
            assert!(buckets.iter().all(|bucket| (*bucket as usize) < available), "a bucket without values");
            let stride = buckets.len() + PADDING;
            let mut expanded = vec![0.0; count([heads, stride], shape)];
            for (head, expanded) in expanded.chunks_exact_mut(stride).enumerate() {
                for (value, bucket) in expanded.iter_mut().zip(*buckets) {
                    *value = values[*bucket as usize * heads + head];
                }
            }
            Biases { values: expanded, stride, buckets }
        });
        Self { shape, qkv, bias, dropout: dropout.filter(|dropout| dropout.probability > 0.0) }
    }

    /// The heads of each text that has tokens, in order.
    fn heads(&self) -> impl Iterator<Item = Head<'_>> {
        let texts = self.shape.offsets.windows(2).enumerate().filter(|(_, ends)| ends[0] < ends[1]);
        texts.flat_map(move |(text, ends)| {
            (0..self.shape.heads).map(move |head| Head {
                qkv: self.qkv,
                first: ends[0],
                tokens: ends[1] - ends[0],
                width: self.shape.width,
                own: self.shape.width / self.shape.heads,
                index: head,
                window: self.shape.window,
                distances: self.bias.as_ref().map(|bias| Distances {
                    values: &bias.values[head * bias.stride..][..bias.stride],
                    buckets: bias.buckets,
                }),
                dropout: self.dropout.map(|dropout| blocks::Dropout {
                    key: dropout.keys[text],
                    threshold: threshold(dropout.probability),
                    scale: 1.0 / (1.0 - dropout.probability),
                }),
            })
        })
    }
}
