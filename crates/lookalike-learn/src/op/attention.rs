//! Self-attention with several heads (Vaswani et al. 2017, <https://arxiv.org/abs/1706.03762>, section 3.2.2) of texts packed one after
//! another: tokens attend to those of their own text alone, without padding and without a mask.

use std::sync::Arc;

use crate::burn;
use crate::burn::backend::autodiff::checkpoint::base::Checkpointer;
use crate::burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use crate::burn::backend::autodiff::grads::Gradients;
use crate::burn::backend::autodiff::ops::{Backward, Ops};
use crate::burn::backend::tensor::FloatTensor;
use crate::burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use crate::burn::tensor::activation::softmax;
use lookalike_kernels::attention::{
    AttentionShape, DistanceBias, DroppedProbabilities, attention as forward, attention_gradient,
};
use lookalike_kernels::dropout::Place;

use super::clock::{Task, timed};
use super::{Plain, is_on_cpu, keep_mask, select_rows, tracked};
use crate::engine::{Precision, Tensor, from_host};

/// Which tokens attend to which, and what is dropped of it.
#[derive(Debug, Clone)]
pub(crate) struct Attending {
    /// Text i has the tokens `offsets[i]` to `offsets[i + 1]`, less one.
    pub(crate) offsets: Arc<[usize]>,
    /// Heads, which divide the width.
    pub(crate) heads: usize,
    /// What the products of queries with keys, and of probabilities with values, multiply.
    pub(crate) precision: Precision,
    /// A key a text, and the probability with which probabilities are dropped.
    pub(crate) dropped: Option<(Arc<[u64]>, f32)>,
}

/// What is added to a score by the distance of the key from the query (`MPNet`'s relative positions).
#[derive(Debug, Clone)]
pub(crate) struct Distances {
    /// A value a bucket and head, `[buckets, heads]`.
    pub(crate) table: Tensor<2>,
    /// The bucket of each distance from −(longest − 1) to longest − 1, of texts of at most `longest` tokens.
    pub(crate) buckets: Arc<[u32]>,
}

/// softmax (q kᵀ / √(d / heads) + what the distance adds) v for each head.
///
/// # Shapes
/// Queries, keys and values side by side, `[n, 3 d]` → `[n, d]`.
pub(crate) fn attention(qkv: Tensor<2>, distances: Option<Distances>, attending: Attending) -> Tensor<2> {
    if !is_on_cpu(&qkv) {
        return composed(qkv, distances, &attending);
    }
    let qkv = qkv.into_dispatch();
    Tensor::from_dispatch(match distances {
        None => Dispatch::attend(qkv, attending),
        Some(Distances { table, buckets }) => {
            Dispatch::attend_by_distance(qkv, table.into_dispatch(), buckets, attending)
        }
    })
}

/// [`attention`] by the engine's own operations, on texts padded to the longest.
fn composed(qkv: Tensor<2>, distances: Option<Distances>, attending: &Attending) -> Tensor<2> {
    let Attending { offsets, heads, dropped, .. } = attending;
    let (heads, device) = (*heads, qkv.device().inner());
    let lengths: Vec<usize> = offsets.windows(2).map(|ends| ends[1] - ends[0]).collect();
    let (texts, longest, width) =
        (lengths.len(), lengths.iter().copied().max().unwrap_or(0), qkv.dims()[1] / 3);
    if longest == 0 {
        return Tensor::zeros([0, width], &device);
    }
    let places = lengths.iter().zip(offsets.iter()).flat_map(|(length, first)| {
        (0..longest).map(move |place| if place < *length { (first + place) as u32 } else { 0 })
    });
    let padded = select_rows(qkv, &places.collect::<Vec<u32>>());
    let part = |index: usize| {
        let part = padded.clone().narrow(1, index * width, width);
        part.reshape([texts, longest, heads, width / heads]).swap_dims(1, 2)
    };
    let [query, key, value] = [part(0), part(1), part(2)];
    let mut scores = query.matmul(key.transpose()).mul_scalar(1.0 / ((width / heads) as f32).sqrt());
    if let Some(Distances { table, buckets }) = distances {
        let half = buckets.len() / 2;
        let pairs = (0..longest).flat_map(|query| (0..longest).map(move |key| half + key - query));
        let rows: Vec<u32> = pairs.map(|place| buckets[place]).collect();
        let added = select_rows(table, &rows).reshape([1, longest, longest, heads]);
        scores = scores + added.swap_dims(2, 3).swap_dims(1, 2);
    }
    let absent = lengths
        .iter()
        .flat_map(|length| (0..longest).map(move |key| if key < *length { 0.0 } else { f32::MIN / 2.0 }));
    let absent: Tensor<4> = from_host(absent.collect(), [texts, 1, 1, longest], &device);
    let mut probabilities = softmax(scores + absent, 3);
    if let Some((keys, probability)) = dropped {
        let places: Vec<Place> = keys
            .iter()
            .zip(&lengths)
            .flat_map(|(key, length)| {
                (0..heads).flat_map(move |head| {
                    (0..longest).map(move |query| Place {
                        key: *key,
                        first: ((head * length + query) * length) as u32,
                    })
                })
            })
            .collect();
        let mask = keep_mask(&places, longest, *probability, &device);
        probabilities = probabilities * mask.reshape([texts, heads, longest, longest]);
    }
    let output = probabilities.matmul(value).swap_dims(1, 2).reshape([texts * longest, width]);
    let real = lengths
        .iter()
        .enumerate()
        .flat_map(|(text, length)| (0..*length).map(move |place| (text * longest + place) as u32));
    select_rows(output, &real.collect::<Vec<u32>>())
}

/// Attention on the CPU.
#[backend_extension(Autodiff, Flex)]
pub(crate) trait Attention: Backend {
    /// Without regard to distances.
    fn attend(qkv: FloatTensor<Self>, attending: Attending) -> FloatTensor<Self>;

    /// With what distances add.
    fn attend_by_distance(
        qkv: FloatTensor<Self>,
        table: FloatTensor<Self>,
        buckets: Arc<[u32]>,
        attending: Attending,
    ) -> FloatTensor<Self>;
}

/// What a gradient of attention needs of the forward pass.
#[derive(Debug, Clone)]
pub(crate) struct Saved<B: Backend> {
    qkv: FloatTensor<B>,
    distances: Option<(FloatTensor<B>, Arc<[u32]>)>,
    attending: Attending,
}

/// Its gradients.
pub(crate) trait AttentionGradients: Backend {
    /// Those of queries, keys and values, and of the table of distances.
    fn attention_gradients(
        saved: Saved<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>);
}

/// The same on slices.
struct Slices {
    qkv: Plain,
    distances: Option<(Plain, Arc<[u32]>)>,
    attending: Attending,
}

impl Slices {
    fn new(Saved { qkv, distances, attending }: Saved<Flex>) -> Self {
        let distances = distances.map(|(table, buckets)| (Plain::new(table), buckets));
        Self { qkv: Plain::new(qkv), distances, attending }
    }

    fn width(&self) -> usize {
        self.qkv.dims::<2>()[1] / 3
    }

    fn shape(&self) -> AttentionShape<'_> {
        let Attending { offsets, heads, .. } = &self.attending;
        AttentionShape { offsets, heads: *heads, width: self.width(), window: None }
    }

    fn bias(&self) -> Option<DistanceBias<'_>> {
        let (table, buckets) = self.distances.as_ref()?;
        Some(DistanceBias { values: table.values(), buckets })
    }

    fn dropped(&self) -> Option<DroppedProbabilities<'_>> {
        let (keys, probability) = self.attending.dropped.as_ref()?;
        Some(DroppedProbabilities { keys, probability: *probability })
    }

    fn forward(&self) -> FloatTensor<Flex> {
        let [tokens, _] = self.qkv.dims();
        let values = timed(Task::Attention, || {
            let (bias, dropped) = (self.bias(), self.dropped());
            forward(
                &self.shape(),
                self.attending.precision,
                self.qkv.values(),
                bias.as_ref(),
                dropped.as_ref(),
            )
        });
        Plain::from_values(values, [tokens, self.width()])
    }
}

impl Attention for Flex {
    fn attend(qkv: FloatTensor<Self>, attending: Attending) -> FloatTensor<Self> {
        Slices::new(Saved { qkv, distances: None, attending }).forward()
    }

    fn attend_by_distance(
        qkv: FloatTensor<Self>,
        table: FloatTensor<Self>,
        buckets: Arc<[u32]>,
        attending: Attending,
    ) -> FloatTensor<Self> {
        Slices::new(Saved { qkv, distances: Some((table, buckets)), attending }).forward()
    }
}

impl AttentionGradients for Flex {
    fn attention_gradients(
        saved: Saved<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>) {
        let (slices, gradient) = (Slices::new(saved), Plain::new(gradient));
        let gradients = timed(Task::Attention, || {
            attention_gradient(
                &slices.shape(),
                slices.attending.precision,
                slices.qkv.values(),
                slices.bias().as_ref(),
                slices.dropped().as_ref(),
                gradient.values(),
            )
        });
        let table = slices.distances.as_ref().zip(gradients.bias);
        (slices.qkv.like(gradients.qkv), table.map(|((table, _), values)| table.like(values)))
    }
}

/// Of one parent, or of two with the table.
#[derive(Debug)]
struct AttentionBackward;

impl<B: AttentionGradients, const N: usize> Backward<B, N> for AttentionBackward {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (qkv, table) = B::attention_gradients(ops.state, gradient);
        for (node, gradient) in ops.parents.into_iter().zip([Some(qkv), table]) {
            if let (Some(node), Some(gradient)) = (node, gradient) {
                gradients.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: Attention + AttentionGradients, C: CheckpointStrategy> Attention for Autodiff<B, C> {
    fn attend(qkv: FloatTensor<Self>, attending: Attending) -> FloatTensor<Self> {
        let nodes = [qkv.node()];
        let qkv = qkv.into_primitive();
        let output = B::attend(qkv.clone(), attending.clone());
        let saved = Saved { qkv, distances: None, attending };
        tracked::<B, C, _, 1>(AttentionBackward, nodes, saved, output)
    }

    fn attend_by_distance(
        qkv: FloatTensor<Self>,
        table: FloatTensor<Self>,
        buckets: Arc<[u32]>,
        attending: Attending,
    ) -> FloatTensor<Self> {
        let nodes = [qkv.node(), table.node()];
        let (qkv, table) = (qkv.into_primitive(), table.into_primitive());
        let output =
            B::attend_by_distance(qkv.clone(), table.clone(), Arc::clone(&buckets), attending.clone());
        let saved = Saved { qkv, distances: Some((table, buckets)), attending };
        tracked::<B, C, _, 2>(AttentionBackward, nodes, saved, output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::near::{gradients, is_near, leaf};

    #[test]
    fn attention_and_its_gradients_are_those_of_padded_texts_by_the_engine() {
        let offsets: Arc<[usize]> = vec![0, 3, 3, 10, 11].into();
        let buckets: Arc<[u32]> = (0..15).map(|place| place % 5).collect();
        for by_distance in [false, true] {
            for dropped in [None, Some((vec![5_u64, 6, 7, 1 << 40].into(), 0.3))] {
                let (qkv, table) = (leaf("qkv", [11, 24]), leaf("table", [5, 2]));
                let attending =
                    Attending { offsets: Arc::clone(&offsets), heads: 2, precision: Precision::F32, dropped };
                let distances =
                    || by_distance.then(|| Distances { table: table.clone(), buckets: Arc::clone(&buckets) });
                let ours = attention(qkv.clone(), distances(), attending.clone());
                let theirs = composed(qkv.clone(), distances(), &attending);
                let leaves = if by_distance { vec![&qkv, &table] } else { vec![&qkv] };
                is_near(&gradients(ours, &leaves), &gradients(theirs, &leaves));
            }
        }
    }
}
