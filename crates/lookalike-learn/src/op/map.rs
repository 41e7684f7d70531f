//! Feature maps: what residual networks compute on. On the CPU a map is packed in blocks of sixteen images
//! ([`lookalike_kernels::map`]), in `f32` or bfloat16. On other devices it is the engine's `[N, C, H, W]` in `f32`. Images enter
//! and leave as `[N, C, H, W]` on every device.

#![expect(
    clippy::used_underscore_binding,
    reason = "the engine's macro names what an operation's default does not need"
)]

use std::any::Any;
use std::borrow::Cow;
use std::sync::{Arc, Mutex};

use crate::burn;
use crate::burn::backend::autodiff::NodeId;
use crate::burn::backend::autodiff::checkpoint::base::Checkpointer;
use crate::burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use crate::burn::backend::autodiff::grads::Gradients;
use crate::burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use crate::burn::backend::flex::FlexTensor;
use crate::burn::backend::tensor::FloatTensor;
use crate::burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use crate::burn::tensor::{Bytes, DType, IntDType, TensorData};
use lookalike_kernels::map as kernel;
pub(crate) use lookalike_kernels::map::{MapShape, Window};

use super::Plain;
use crate::engine::{Precision, Tensor};

/// A feature map of N images, as the backend holds it. Call [`split`](Self::split) to use it in two places.
#[derive(Debug)]
pub struct FeatureMap {
    pub(super) values: Tensor<4>,
    pub(super) shape: MapShape,
    pub(super) precision: Precision,
    /// Set if this is one of two readers of the same map.
    pub(super) join: Option<Join>,
}

impl FeatureMap {
    /// Packs images into a map.
    ///
    /// # Shapes
    /// `[N, C, H, W]`
    pub fn pack(images: Tensor<4>, precision: Precision) -> Self {
        let [count, channels, height, width] = images.dims();
        let shape = MapShape { images: count, channels, height, width };
        let values = Tensor::from_dispatch(Dispatch::pack(images.into_dispatch(), shape, precision));
        Self { values, shape, precision, join: None }
    }

    /// Unpacks the map to images.
    ///
    /// # Shapes
    /// → `[N, C, H, W]`
    pub fn unpack(self) -> Tensor<4> {
        let (shape, precision, join) = (self.shape, self.precision, self.join);
        Tensor::from_dispatch(Dispatch::unpack(self.values.into_dispatch(), shape, precision, join))
    }

    /// The mean over all pixels.
    ///
    /// # Shapes
    /// → `[N, C]`
    pub fn mean(self) -> Tensor<2> {
        let (shape, precision, join) = (self.shape, self.precision, self.join);
        Tensor::from_dispatch(Dispatch::mean_of_pixels(self.values.into_dispatch(), shape, precision, join))
    }

    /// The largest value of each square of `side` pixels, `stride` apart. The `padding` around the image has no values.
    #[must_use]
    pub fn max_pool(self, side: usize, stride: usize, padding: usize) -> Self {
        let window = Window { side, stride, padding };
        let (shape, precision, join) = (self.shape, self.precision, self.join);
        let values = Dispatch::max_pool(self.values.into_dispatch(), shape, window, precision, join);
        let (values, shape) = (Tensor::from_dispatch(values), window.pooled(&shape));
        Self { values, shape, precision, join: None }
    }

    /// This map for two readers, both of which must reach the loss. The second gradient to arrive is added to the first while
    /// it is computed, which saves a pass over memory.
    ///
    /// # Panics
    /// If this map is one of two readers already. The backward pass panics if only one of the readers reaches the loss.
    pub fn split(self) -> [Self; 2] {
        assert!(self.join.is_none(), "a map is split between two readers, no more");
        let Self { values, shape, precision, .. } = self;
        let join = Join::default();
        [(values.clone(), join.clone()), (values, join)].map(|(values, join)| Self {
            values,
            shape,
            precision,
            join: Some(join),
        })
    }
}

/// Where the gradient of one reader of a map waits for that of the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Join(Arc<Mutex<Option<Box<dyn Any + Send>>>>);

impl Join {
    fn exchange(&self, gradient: Option<Box<dyn Any + Send>>) -> Option<Box<dyn Any + Send>> {
        let mut waiting = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::replace(&mut *waiting, gradient)
    }

    /// Registers a reader's gradient, made of that of the other reader where this is the second to arrive; the first one's waits.
    pub(super) fn register<B: Backend>(
        join: Option<&Self>,
        gradients: &mut Gradients,
        node: NodeId,
        of_both: impl FnOnce(Option<FloatTensor<B>>) -> FloatTensor<B>,
    ) {
        let other = join.and_then(|join| join.exchange(None)).map(|waiting| {
            let gradient = waiting.downcast::<FloatTensor<B>>();
            *gradient.unwrap_or_else(|_| unreachable!("both readers are of one backend"))
        });
        let is_first = other.is_none();
        let gradient = of_both(other);
        match join {
            Some(join) if is_first => drop(join.exchange(Some(Box::new(gradient)))),
            _ => gradients.register::<B>(node, gradient),
        }
    }

    /// As [`register`](Self::register), of a gradient that the engine adds to the other's.
    pub(super) fn add<B: Backend>(
        join: Option<&Self>,
        gradients: &mut Gradients,
        node: NodeId,
        gradient: FloatTensor<B>,
    ) {
        Self::register::<B>(join, gradients, node, |other| match other {
            Some(other) => B::float_add(gradient, other),
            None => gradient,
        });
    }
}

/// A map of the CPU: `[⌈N / 16⌉, words of C, H · W, 16 · channels of a word]`.
pub(super) struct Words(FlexTensor);

impl Words {
    pub(super) fn new(tensor: &FloatTensor<Flex>) -> Self {
        Self(tensor.to_contiguous())
    }

    /// The words, as the kernels read them.
    pub(super) fn words(&self) -> Cow<'_, [u32]> {
        let bytes = self.0.bytes();
        // What the engine itself has added may lie where no word begins.
        bytemuck::try_cast_slice(bytes)
            .map_or_else(|_| bytemuck::pod_collect_to_vec(bytes).into(), Cow::Borrowed)
    }

    pub(super) fn tensor(words: Vec<u32>, shape: &MapShape, precision: Precision) -> FloatTensor<Flex> {
        let dtype = match precision {
            Precision::F32 => DType::F32,
            Precision::Bf16 => DType::BF16,
        };
        let dims = [
            shape.blocks(),
            shape.channel_words(precision),
            shape.pixels(),
            kernel::LANES * precision.channels_per_word(),
        ];
        FlexTensor::from_data(TensorData::from_bytes(Bytes::from_elems(words), dims, dtype))
    }
}

/// Making maps, leaving them, and pooling, on each backend.
#[backend_extension(
    Autodiff,
    Flex,
    Cube: cfg(any(feature = "cuda", feature = "wgpu")),
    Fusion: cfg(any(feature = "cuda", feature = "wgpu")),
)]
pub(crate) trait Maps: Backend {
    /// Packs images into a map.
    #[fusion(default)]
    fn pack(images: FloatTensor<Self>, _shape: MapShape, _precision: Precision) -> FloatTensor<Self> {
        images
    }

    /// Unpacks a map to images.
    #[fusion(default)]
    fn unpack(
        map: FloatTensor<Self>,
        _shape: MapShape,
        _precision: Precision,
        _join: Option<Join>,
    ) -> FloatTensor<Self> {
        map
    }

    /// The mean of each channel of an image, `[N, C]`.
    #[fusion(default)]
    fn mean_of_pixels(
        map: FloatTensor<Self>,
        shape: MapShape,
        _precision: Precision,
        _join: Option<Join>,
    ) -> FloatTensor<Self> {
        let rows = Self::float_reshape(map, [shape.images, shape.channels, shape.pixels()].into());
        Self::float_reshape(Self::float_mean_dim(rows, 2), [shape.images, shape.channels].into())
    }

    /// The gradient of the map, given that of the means.
    #[fusion(default)]
    fn mean_of_pixels_gradient(
        gradient: FloatTensor<Self>,
        shape: MapShape,
        _precision: Precision,
    ) -> FloatTensor<Self> {
        let MapShape { images, channels, height, width } = shape;
        let shares = Self::float_div_scalar(gradient, (shape.pixels() as f32).into());
        let shares = Self::float_reshape(shares, [images, channels, 1, 1].into());
        Self::float_expand(shares, [images, channels, height, width].into())
    }

    /// The largest value of each window.
    #[fusion(default)]
    fn max_pool(
        map: FloatTensor<Self>,
        _shape: MapShape,
        window: Window,
        _precision: Precision,
        _join: Option<Join>,
    ) -> FloatTensor<Self> {
        let [side, stride, padding] = [window.side, window.stride, window.padding].map(|size| [size; 2]);
        Self::max_pool2d(map, side, stride, padding, [1; 2], false)
    }

    /// The gradient of the map, given what pooling read and made of it, and the latter's gradient.
    #[fusion(default)]
    fn max_pool_gradient(
        map: FloatTensor<Self>,
        _output: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        _shape: MapShape,
        window: Window,
        _precision: Precision,
    ) -> FloatTensor<Self> {
        let [side, stride, padding] = [window.side, window.stride, window.padding].map(|size| [size; 2]);
        let pooled =
            Self::max_pool2d_with_indices(map.clone(), side, stride, padding, [1; 2], false, IntDType::I32);
        let indices = pooled.indices;
        Self::max_pool2d_with_indices_backward(map, side, stride, padding, [1; 2], false, gradient, indices)
            .x_grad
    }
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
impl Maps for burn::backend::Cube {}

impl Maps for Flex {
    fn pack(images: FloatTensor<Self>, shape: MapShape, precision: Precision) -> FloatTensor<Self> {
        let images = Plain::new(images);
        Words::tensor(kernel::pack(&shape, precision, images.values()), &shape, precision)
    }

    fn unpack(
        map: FloatTensor<Self>,
        shape: MapShape,
        precision: Precision,
        _join: Option<Join>,
    ) -> FloatTensor<Self> {
        let images = kernel::unpack(&shape, precision, &Words::new(&map).words());
        Plain::from_values(images, [shape.images, shape.channels, shape.height, shape.width])
    }

    fn mean_of_pixels(
        map: FloatTensor<Self>,
        shape: MapShape,
        precision: Precision,
        _join: Option<Join>,
    ) -> FloatTensor<Self> {
        let means = kernel::mean(&shape, precision, &Words::new(&map).words());
        Plain::from_values(means, [shape.images, shape.channels])
    }

    fn mean_of_pixels_gradient(
        gradient: FloatTensor<Self>,
        shape: MapShape,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let gradient = Plain::new(gradient);
        let map = kernel::mean_gradient(&shape, precision, gradient.values());
        Words::tensor(map, &shape, precision)
    }

    fn max_pool(
        map: FloatTensor<Self>,
        shape: MapShape,
        window: Window,
        precision: Precision,
        _join: Option<Join>,
    ) -> FloatTensor<Self> {
        let map = kernel::max_pool(&shape, &window, precision, &Words::new(&map).words());
        Words::tensor(map, &window.pooled(&shape), precision)
    }

    fn max_pool_gradient(
        map: FloatTensor<Self>,
        output: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        shape: MapShape,
        window: Window,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let operands = [map, output, gradient].each_ref().map(Words::new);
        let [map, output, gradient] = operands.each_ref().map(Words::words);
        let words = [&*map, &*output, &*gradient];
        let map = kernel::max_pool_gradient(&shape, &window, precision, words);
        Words::tensor(map, &shape, precision)
    }
}

/// The gradient of [`Maps::pack`].
#[derive(Debug)]
struct PackBackward;

impl<B: Maps> Backward<B, 1> for PackBackward {
    type State = (MapShape, Precision);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let ([node], (shape, precision)) = (ops.parents, ops.state);
        if let Some(node) = node {
            gradients.register::<B>(node.id, B::unpack(gradient, shape, precision, None));
        }
    }
}

/// The gradient of [`Maps::unpack`].
#[derive(Debug)]
struct UnpackBackward;

impl<B: Maps> Backward<B, 1> for UnpackBackward {
    type State = (MapShape, Precision, Option<Join>);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let ([node], (shape, precision, join)) = (ops.parents, ops.state);
        if let Some(node) = node {
            Join::add::<B>(join.as_ref(), gradients, node.id, B::pack(gradient, shape, precision));
        }
    }
}

#[derive(Debug)]
struct MeanBackward;

impl<B: Maps> Backward<B, 1> for MeanBackward {
    type State = (MapShape, Precision, Option<Join>);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let ([node], (shape, precision, join)) = (ops.parents, ops.state);
        if let Some(node) = node {
            let gradient = B::mean_of_pixels_gradient(gradient, shape, precision);
            Join::add::<B>(join.as_ref(), gradients, node.id, gradient);
        }
    }
}

#[derive(Debug)]
struct MaxPoolBackward;

impl<B: Maps> Backward<B, 1> for MaxPoolBackward {
    /// The map's node, the output, shape, window, precision and join.
    type State = (NodeId, FloatTensor<B>, MapShape, Window, Precision, Option<Join>);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let ([node], (map, output, shape, window, precision, join)) = (ops.parents, ops.state);
        let map: FloatTensor<B> = checkpointer.retrieve_node_output(map);
        if let Some(node) = node {
            let gradient = B::max_pool_gradient(map, output, gradient, shape, window, precision);
            Join::add::<B>(join.as_ref(), gradients, node.id, gradient);
        }
    }
}

impl<B: Maps, C: CheckpointStrategy> Maps for Autodiff<B, C> {
    fn pack(images: FloatTensor<Self>, shape: MapShape, precision: Precision) -> FloatTensor<Self> {
        let (images, node) = images.into_parts();
        let map = B::pack(images, shape, precision);
        match PackBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((shape, precision), map),
            OpsKind::UnTracked(prepared) => prepared.finish(map),
        }
    }

    fn unpack(
        map: FloatTensor<Self>,
        shape: MapShape,
        precision: Precision,
        join: Option<Join>,
    ) -> FloatTensor<Self> {
        let (map, node) = map.into_parts();
        let images = B::unpack(map, shape, precision, None);
        match UnpackBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((shape, precision, join), images),
            OpsKind::UnTracked(prepared) => prepared.finish(images),
        }
    }

    fn mean_of_pixels(
        map: FloatTensor<Self>,
        shape: MapShape,
        precision: Precision,
        join: Option<Join>,
    ) -> FloatTensor<Self> {
        let (map, node) = map.into_parts();
        let means = B::mean_of_pixels(map, shape, precision, None);
        match MeanBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((shape, precision, join), means),
            OpsKind::UnTracked(prepared) => prepared.finish(means),
        }
    }

    fn max_pool(
        map: FloatTensor<Self>,
        shape: MapShape,
        window: Window,
        precision: Precision,
        join: Option<Join>,
    ) -> FloatTensor<Self> {
        match MaxPoolBackward.prepare::<C>([map.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prepared) => {
                let node = prepared.checkpoint(&map);
                let output = B::max_pool(map.into_primitive(), shape, window, precision, None);
                prepared.finish((node, output.clone(), shape, window, precision, join), output)
            }
            OpsKind::UnTracked(prepared) => {
                prepared.finish(B::max_pool(map.into_primitive(), shape, window, precision, None))
            }
        }
    }
}
