//! Read-outs: one row for each segment of rows, as a graph's vector of those of its nodes.

use std::sync::Arc;

use crate::burn;
use crate::burn::backend::autodiff::NodeId;
use crate::burn::backend::autodiff::checkpoint::base::Checkpointer;
use crate::burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use crate::burn::backend::autodiff::grads::Gradients;
use crate::burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use crate::burn::backend::tensor::{BoolTensor, FloatTensor};
use crate::burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use crate::burn::tensor::{FloatDType, IndexingUpdateOp, IntDType, Shape, TensorData};
use lookalike_kernels::sparse::segment::{self, Scale};

use super::Plain;
use super::sparse::{added, indices};
use crate::engine::Tensor;

/// Sum or mean of the rows of each segment, of which segment s has the rows `offsets[s]` to `offsets[s + 1]`, less one; zeros
/// for a segment without rows.
///
/// # Shapes
/// `[n, d]` → `[segments, d]`.
pub(crate) fn pool(rows: Tensor<2>, offsets: &Arc<[usize]>, scale: Scale) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::pool(rows.into_dispatch(), Arc::clone(offsets), scale))
}

/// The maximum of each column over the rows of each segment; zeros for a segment without rows. Of equal rows the first gets
/// the gradient.
///
/// # Shapes
/// As [`pool`].
pub(crate) fn maximum(rows: Tensor<2>, offsets: &Arc<[usize]>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::maximum(rows.into_dispatch(), Arc::clone(offsets)))
}

/// For each row that of its segment: the gradient of a sum, and what spreads a graph's vector over its nodes.
///
/// # Shapes
/// `[segments, d]` → `[n, d]`.
pub(crate) fn spread(segments: Tensor<2>, offsets: &Arc<[usize]>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::spread(segments.into_dispatch(), Arc::clone(offsets), Scale::Sum))
}

/// Read-outs and their gradients on each backend.
#[backend_extension(
    Autodiff,
    Flex,
    Cube: cfg(any(feature = "cuda", feature = "wgpu")),
    Fusion: cfg(any(feature = "cuda", feature = "wgpu")),
)]
pub(crate) trait ReadOut: Backend {
    /// Sums or means.
    #[fusion(default)]
    fn pool(rows: FloatTensor<Self>, offsets: Arc<[usize]>, scale: Scale) -> FloatTensor<Self> {
        let owners = indices::<Self>(owners(&offsets), &rows);
        let segments = offsets.len() - 1;
        scaled::<Self>(added::<Self>(rows, owners, segments), &offsets, scale)
    }

    /// The gradient of the rows, given that of the sums or means.
    #[fusion(default)]
    fn spread(gradient: FloatTensor<Self>, offsets: Arc<[usize]>, scale: Scale) -> FloatTensor<Self> {
        let owners = indices::<Self>(owners(&offsets), &gradient);
        Self::float_select(scaled::<Self>(gradient, &offsets, scale), 0, owners)
    }

    /// Maxima.
    #[fusion(default)]
    fn maximum(rows: FloatTensor<Self>, offsets: Arc<[usize]>) -> FloatTensor<Self> {
        composed_maximum::<Self>(&rows, &offsets)
    }

    /// The gradient of the rows, given these and that of the maxima.
    #[fusion(default)]
    fn maximum_gradient(
        rows: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        offsets: Arc<[usize]>,
    ) -> FloatTensor<Self> {
        composed_maximum_gradient::<Self>(&rows, gradient, &offsets)
    }
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
impl ReadOut for burn::backend::Cube {}

/// For each row the number of its segment.
fn owners(offsets: &[usize]) -> impl Iterator<Item = u32> + '_ {
    offsets.windows(2).zip(0..).flat_map(|(ends, segment)| (ends[0]..ends[1]).map(move |_| segment))
}

/// Each segment's row divided by its number of rows, where a mean is asked for.
fn scaled<B: Backend>(segments: FloatTensor<B>, offsets: &[usize], scale: Scale) -> FloatTensor<B> {
    match scale {
        Scale::Sum => segments,
        Scale::Mean => {
            let shares: Vec<f32> =
                offsets.windows(2).map(|ends| 1.0 / (ends[1] - ends[0]).max(1) as f32).collect();
            let shape = [shares.len(), 1];
            let shares = B::float_from_data(TensorData::new(shares, shape), &segments.device());
            B::float_mul(segments, shares)
        }
    }
}

/// The rows of each segment behind each other, `[segments, longest, d]`, where there are none a number below all others; and
/// which segments have none, `[segments, 1, d]`.
fn padded<B: Backend>(rows: &FloatTensor<B>, offsets: &[usize]) -> (FloatTensor<B>, BoolTensor<B>) {
    let sizes = || offsets.windows(2).map(|ends| ends[1] - ends[0]);
    let (segments, longest) = (offsets.len() - 1, sizes().max().unwrap_or(0).max(1));
    let places = sizes().zip(offsets).flat_map(|(size, first)| {
        (0..longest).map(move |place| if place < size { (first + place) as u32 } else { 0 })
    });
    let absent = sizes().flat_map(|size| (0..longest).map(move |place| place >= size));
    let absent: Vec<f32> = absent.map(|absent| if absent { f32::MIN } else { 0.0 }).collect();
    let empty: Vec<bool> = sizes().map(|size| size == 0).collect();
    let (device, columns) = (rows.device(), rows.shape()[1]);
    let chosen = B::float_select(rows.clone(), 0, indices::<B>(places, rows));
    let chosen = B::float_reshape(chosen, Shape::new([segments, longest, columns]));
    let absent = B::float_from_data(TensorData::new(absent, [segments, longest, 1]), &device);
    let empty = B::bool_from_data(TensorData::new(empty, [segments, 1, 1]), &device);
    (B::float_add(chosen, absent), B::bool_expand(empty, Shape::new([segments, 1, columns])))
}

/// Maxima by the engine's own operations.
fn composed_maximum<B: Backend>(rows: &FloatTensor<B>, offsets: &[usize]) -> FloatTensor<B> {
    let (segments, columns) = (offsets.len() - 1, rows.shape()[1]);
    if rows.shape()[0] == 0 {
        return B::float_zeros(Shape::new([segments, columns]), &rows.device(), FloatDType::F32);
    }
    let (padded, empty) = padded::<B>(rows, offsets);
    let maxima = B::float_mask_fill(B::float_max_dim(padded, 1), empty, 0.0.into());
    B::float_reshape(maxima, Shape::new([segments, columns]))
}

/// Their gradient by the engine's own operations.
fn composed_maximum_gradient<B: Backend>(
    rows: &FloatTensor<B>,
    gradient: FloatTensor<B>,
    offsets: &[usize],
) -> FloatTensor<B> {
    let (segments, [count, columns]) = (offsets.len() - 1, [rows.shape()[0], rows.shape()[1]]);
    let device = rows.device();
    if count == 0 {
        return B::float_zeros(Shape::new([0, columns]), &device, FloatDType::F32);
    }
    let (padded, empty) = padded::<B>(rows, offsets);
    let shape = padded.shape();
    let longest = shape[1];
    let from = B::float_argmax(padded, 1, IntDType::I32);
    let gradient = B::float_reshape(gradient, Shape::new([segments, 1, columns]));
    let gradient = B::float_mask_fill(gradient, empty, 0.0.into());
    let zeros = B::float_zeros(shape, &device, FloatDType::F32);
    let placed = B::float_scatter(1, zeros, from, gradient, IndexingUpdateOp::Add);
    let placed = B::float_reshape(placed, Shape::new([segments * longest, columns]));
    let places = offsets.windows(2).zip(0_u32..).flat_map(|(ends, segment)| {
        (0..(ends[1] - ends[0]) as u32).map(move |place| segment * longest as u32 + place)
    });
    let places = indices::<B>(places, &placed);
    B::float_select(placed, 0, places)
}

impl ReadOut for Flex {
    fn pool(rows: FloatTensor<Self>, offsets: Arc<[usize]>, scale: Scale) -> FloatTensor<Self> {
        let rows = Plain::new(rows);
        let [_, columns] = rows.dims();
        let sums = segment::total(scale, &offsets, rows.values(), columns);
        Plain::from_values(sums, [offsets.len() - 1, columns])
    }

    fn spread(gradient: FloatTensor<Self>, offsets: Arc<[usize]>, scale: Scale) -> FloatTensor<Self> {
        let gradient = Plain::new(gradient);
        let [_, columns] = gradient.dims();
        let rows = segment::total_backward(scale, &offsets, gradient.values(), columns);
        Plain::from_values(rows, [offsets[offsets.len() - 1], columns])
    }

    fn maximum(rows: FloatTensor<Self>, offsets: Arc<[usize]>) -> FloatTensor<Self> {
        let rows = Plain::new(rows);
        let [_, columns] = rows.dims();
        let (maxima, _) = segment::maximum(&offsets, rows.values(), columns);
        Plain::from_values(maxima, [offsets.len() - 1, columns])
    }

    fn maximum_gradient(
        rows: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        offsets: Arc<[usize]>,
    ) -> FloatTensor<Self> {
        let [rows, gradient] = [rows, gradient].map(Plain::new);
        let [_, columns] = rows.dims();
        let (_, from) = segment::maximum(&offsets, rows.values(), columns);
        rows.like(segment::maximum_backward(&offsets, &from, gradient.values(), columns))
    }
}

/// Sums or means where `POOL`, else their transpose: the gradient of either is the other.
#[derive(Debug)]
struct Linear<const POOL: bool>;

impl<const POOL: bool> Linear<POOL> {
    fn apply<B: ReadOut>(input: FloatTensor<B>, offsets: Arc<[usize]>, scale: Scale) -> FloatTensor<B> {
        if POOL { B::pool(input, offsets, scale) } else { B::spread(input, offsets, scale) }
    }

    /// The same with its gradient.
    fn differentiable<B: ReadOut, C: CheckpointStrategy>(
        input: FloatTensor<Autodiff<B, C>>,
        offsets: Arc<[usize]>,
        scale: Scale,
    ) -> FloatTensor<Autodiff<B, C>> {
        match Self.prepare::<C>([input.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let state = (Arc::clone(&offsets), scale);
                prepared.finish(state, Self::apply::<B>(input.into_primitive(), offsets, scale))
            }
            OpsKind::UnTracked(prepared) => {
                prepared.finish(Self::apply::<B>(input.into_primitive(), offsets, scale))
            }
        }
    }
}

impl<B: ReadOut, const POOL: bool> Backward<B, 1> for Linear<POOL> {
    type State = (Arc<[usize]>, Scale);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let gradient = gradients.consume::<B>(&ops.node);
        let (offsets, scale) = ops.state;
        if let Some(node) = node {
            let gradient = if POOL {
                Linear::<false>::apply::<B>(gradient, offsets, scale)
            } else {
                Linear::<true>::apply::<B>(gradient, offsets, scale)
            };
            gradients.register::<B>(node.id, gradient);
        }
    }
}

#[derive(Debug)]
struct MaximumBackward;

impl<B: ReadOut> Backward<B, 1> for MaximumBackward {
    /// The rows' node.
    type State = (NodeId, Arc<[usize]>);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [node] = ops.parents;
        let gradient = gradients.consume::<B>(&ops.node);
        let (rows, offsets) = ops.state;
        let rows: FloatTensor<B> = checkpointer.retrieve_node_output(rows);
        if let Some(node) = node {
            gradients.register::<B>(node.id, B::maximum_gradient(rows, gradient, offsets));
        }
    }
}

impl<B: ReadOut, C: CheckpointStrategy> ReadOut for Autodiff<B, C> {
    fn pool(rows: FloatTensor<Self>, offsets: Arc<[usize]>, scale: Scale) -> FloatTensor<Self> {
        Linear::<true>::differentiable::<B, C>(rows, offsets, scale)
    }

    fn spread(segments: FloatTensor<Self>, offsets: Arc<[usize]>, scale: Scale) -> FloatTensor<Self> {
        Linear::<false>::differentiable::<B, C>(segments, offsets, scale)
    }

    fn maximum(rows: FloatTensor<Self>, offsets: Arc<[usize]>) -> FloatTensor<Self> {
        match MaximumBackward.prepare::<C>([rows.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prepared) => {
                let state = (prepared.checkpoint(&rows), Arc::clone(&offsets));
                prepared.finish(state, B::maximum(rows.into_primitive(), offsets))
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::maximum(rows.into_primitive(), offsets)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::burn::backend::ops::FloatTensorOps;
    use lookalike_base::Seed;

    use super::*;
    use crate::engine::{Device, to_host};
    use crate::layer::normal;

    fn assert_close(ours: &[f32], theirs: &[f32]) {
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert!((ours - theirs).abs() <= 1e-5 * theirs.abs().max(1.0), "{ours} and {theirs}");
        }
    }

    fn plain(tensor: &Tensor<2>) -> FloatTensor<Flex> {
        Plain::from_values(to_host(tensor.clone()), tensor.dims())
    }

    /// The read-out of each segment by itself.
    fn apart(rows: &Tensor<2>, offsets: &[usize], read_out: impl Fn(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
        let columns = rows.dims()[1];
        let segment = |ends: &[usize]| match ends[1] - ends[0] {
            0 => Tensor::zeros([1, columns], &rows.device()),
            size => read_out(rows.clone().narrow(0, ends[0], size)),
        };
        Tensor::cat(offsets.windows(2).map(segment).collect(), 0)
    }

    #[test]
    fn read_outs_and_gradients_are_those_of_each_segment_alone_and_of_the_engine_s_own_operations() {
        let stream = &mut Seed(4).stream("read-out", 0, 0, 0);
        let offsets: Arc<[usize]> = Arc::from([0, 3, 3, 10, 11, 11]);
        let rows: Tensor<2> = normal([11, 5], 1.0, stream, &Device::flex());
        let weights: Tensor<2> = normal([5, 5], 1.0, stream, &Device::flex());
        let results = |read_out: &dyn Fn(Tensor<2>) -> Tensor<2>| {
            let leaf = rows.clone().autodiff().require_grad();
            let output = read_out(leaf.clone());
            let mut gradients = (output.clone() * weights.clone().autodiff()).sum().backward();
            [to_host(output), to_host(leaf.grad_remove(&mut gradients).unwrap())]
        };
        for scale in [Scale::Sum, Scale::Mean] {
            let ours = results(&|rows| pool(rows, &offsets, scale));
            let theirs = results(&|rows| {
                apart(&rows, &offsets, |rows| match scale {
                    Scale::Sum => rows.sum_dim(0),
                    Scale::Mean => rows.mean_dim(0),
                })
            });
            ours.iter().zip(&theirs).for_each(|(ours, theirs)| assert_close(ours, theirs));
            let owners_of = indices::<Flex>(owners(&offsets), &plain(&rows));
            let sums = added::<Flex>(plain(&rows), owners_of.clone(), 5);
            assert_close(Plain::new(scaled::<Flex>(sums, &offsets, scale)).values(), &theirs[0]);
            let spread = Flex::float_select(scaled::<Flex>(plain(&weights), &offsets, scale), 0, owners_of);
            assert_close(Plain::new(spread).values(), &theirs[1]);
        }
        let ours = results(&|rows| maximum(rows, &offsets));
        let theirs = results(&|rows| apart(&rows, &offsets, |rows| rows.max_dim(0)));
        ours.iter().zip(&theirs).for_each(|(ours, theirs)| assert_close(ours, theirs));
        assert_close(Plain::new(composed_maximum::<Flex>(&plain(&rows), &offsets)).values(), &theirs[0]);
        let gradient = composed_maximum_gradient::<Flex>(&plain(&rows), plain(&weights), &offsets);
        assert_close(Plain::new(gradient).values(), &theirs[1]);
    }

    #[test]
    fn spreading_is_the_transpose_of_summing() {
        let stream = &mut Seed(5).stream("read-out", 0, 0, 0);
        let offsets: Arc<[usize]> = Arc::from([0, 2, 2, 5]);
        let vectors: Tensor<2> = normal([3, 4], 1.0, stream, &Device::flex());
        let weights: Tensor<2> = normal([5, 4], 1.0, stream, &Device::flex());
        let leaf = vectors.clone().autodiff().require_grad();
        let output = spread(leaf.clone(), &offsets);
        let mut gradients = (output * weights.clone().autodiff()).sum().backward();
        let gradient = to_host(leaf.grad_remove(&mut gradients).unwrap());
        assert_eq!(gradient, to_host(pool(weights, &offsets, Scale::Sum)));
    }
}
