//! Feature maps: what residual networks compute on. On the CPU sixteen images stand side by side, as
//! [`lookalike_kernels::map`] lays them out, in `f32` or bfloat16; elsewhere a map is the engine's `[N, C, H, W]` in `f32`. What goes in and
//! what comes out is the convention.

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
pub(crate) use lookalike_kernels::map::{Sizes, Window};

use super::Plain;
use crate::engine::{Precision, Tensor};

/// A feature map of N images, as the backend holds it. Who wants to read it twice [splits](Self::split) it.
#[derive(Debug)]
pub struct FeatureMap {
    pub(super) values: Tensor<4>,
    pub(super) sizes: Sizes,
    pub(super) precision: Precision,
    /// Where this is one of two readers of the same map.
    pub(super) join: Option<Join>,
}

impl FeatureMap {
    /// Lays images out.
    ///
    /// # Shapes
    /// `[N, C, H, W]`
    pub fn lay(images: Tensor<4>, precision: Precision) -> Self {
        let [count, channels, height, width] = images.dims();
        let sizes = Sizes { images: count, channels, height, width };
        let values = Tensor::from_dispatch(Dispatch::lay(images.into_dispatch(), sizes, precision));
        Self { values, sizes, precision, join: None }
    }

    /// The images.
    ///
    /// # Shapes
    /// → `[N, C, H, W]`
    pub fn take(self) -> Tensor<4> {
        let (sizes, precision, join) = (self.sizes, self.precision, self.join);
        Tensor::from_dispatch(Dispatch::take(self.values.into_dispatch(), sizes, precision, join))
    }

    /// The mean over all pixels.
    ///
    /// # Shapes
    /// → `[N, C]`
    pub fn mean(self) -> Tensor<2> {
        let (sizes, precision, join) = (self.sizes, self.precision, self.join);
        Tensor::from_dispatch(Dispatch::mean_of_pixels(self.values.into_dispatch(), sizes, precision, join))
    }

    /// The largest value of each square of `side` pixels, `stride` apart, `padding` beside the image counting for nothing.
    #[must_use]
    pub fn max_pool(self, side: usize, stride: usize, padding: usize) -> Self {
        let window = Window { side, stride, padding };
        let (sizes, precision, join) = (self.sizes, self.precision, self.join);
        let values = Dispatch::largest(self.values.into_dispatch(), sizes, window, precision, join);
        let (values, sizes) = (Tensor::from_dispatch(values), window.pooled(&sizes));
        Self { values, sizes, precision, join: None }
    }

    /// This map for two readers, both of which must reach the loss: the gradient of the second to arrive is added to that of the first
    /// where it is computed, instead of by a pass of its own.
    ///
    /// # Panics
    /// Where this is such a reader itself; and the backward pass does where a reader is left out.
    pub fn split(self) -> [Self; 2] {
        assert!(self.join.is_none(), "a map is split between two readers, no more");
        let Self { values, sizes, precision, .. } = self;
        let join = Join::default();
        [(values.clone(), join.clone()), (values, join)].map(|(values, join)| Self {
            values,
            sizes,
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

/// The kernels' word for it.
pub(super) fn kernel_precision(precision: Precision) -> kernel::Precision {
    match precision {
        Precision::F32 => kernel::Precision::F32,
        Precision::Bf16 => kernel::Precision::Bf16,
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

    pub(super) fn tensor(words: Vec<u32>, sizes: &Sizes, precision: Precision) -> FloatTensor<Flex> {
        let dtype = match precision {
            Precision::F32 => DType::F32,
            Precision::Bf16 => DType::BF16,
        };
        let precision = kernel_precision(precision);
        let shape = [
            sizes.blocks(),
            sizes.channel_words(precision),
            sizes.pixels(),
            kernel::LANES * precision.each(),
        ];
        FlexTensor::from_data(TensorData::from_bytes(Bytes::from_elems(words), shape, dtype))
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
    /// Images as a map.
    #[fusion(default)]
    fn lay(images: FloatTensor<Self>, _sizes: Sizes, _precision: Precision) -> FloatTensor<Self> {
        images
    }

    /// A map as images.
    #[fusion(default)]
    fn take(
        map: FloatTensor<Self>,
        _sizes: Sizes,
        _precision: Precision,
        _join: Option<Join>,
    ) -> FloatTensor<Self> {
        map
    }

    /// The mean of each channel of an image, `[N, C]`.
    #[fusion(default)]
    fn mean_of_pixels(
        map: FloatTensor<Self>,
        sizes: Sizes,
        _precision: Precision,
        _join: Option<Join>,
    ) -> FloatTensor<Self> {
        let rows = Self::float_reshape(map, [sizes.images, sizes.channels, sizes.pixels()].into());
        Self::float_reshape(Self::float_mean_dim(rows, 2), [sizes.images, sizes.channels].into())
    }

    /// The gradient of the map, given that of the means.
    #[fusion(default)]
    fn mean_of_pixels_gradient(
        gradient: FloatTensor<Self>,
        sizes: Sizes,
        _precision: Precision,
    ) -> FloatTensor<Self> {
        let Sizes { images, channels, height, width } = sizes;
        let shares = Self::float_div_scalar(gradient, (sizes.pixels() as f32).into());
        let shares = Self::float_reshape(shares, [images, channels, 1, 1].into());
        Self::float_expand(shares, [images, channels, height, width].into())
    }

    /// The largest value of each window.
    #[fusion(default)]
    fn largest(
        map: FloatTensor<Self>,
        _sizes: Sizes,
        window: Window,
        _precision: Precision,
        _join: Option<Join>,
    ) -> FloatTensor<Self> {
        let [side, stride, padding] = [window.side, window.stride, window.padding].map(|size| [size; 2]);
        Self::max_pool2d(map, side, stride, padding, [1; 2], false)
    }

    /// The gradient of the map, given what pooling read and made of it, and the latter's gradient.
    #[fusion(default)]
    fn largest_gradient(
        map: FloatTensor<Self>,
        _output: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        _sizes: Sizes,
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
    fn lay(images: FloatTensor<Self>, sizes: Sizes, precision: Precision) -> FloatTensor<Self> {
        let images = Plain::new(images);
        Words::tensor(kernel::lay(&sizes, kernel_precision(precision), images.values()), &sizes, precision)
    }

    fn take(
        map: FloatTensor<Self>,
        sizes: Sizes,
        precision: Precision,
        _join: Option<Join>,
    ) -> FloatTensor<Self> {
        let images = kernel::take(&sizes, kernel_precision(precision), &Words::new(&map).words());
        Plain::from_values(images, [sizes.images, sizes.channels, sizes.height, sizes.width])
    }

    fn mean_of_pixels(
        map: FloatTensor<Self>,
        sizes: Sizes,
        precision: Precision,
        _join: Option<Join>,
    ) -> FloatTensor<Self> {
        let means = kernel::mean(&sizes, kernel_precision(precision), &Words::new(&map).words());
        Plain::from_values(means, [sizes.images, sizes.channels])
    }

    fn mean_of_pixels_gradient(
        gradient: FloatTensor<Self>,
        sizes: Sizes,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let gradient = Plain::new(gradient);
        let map = kernel::mean_gradient(&sizes, kernel_precision(precision), gradient.values());
        Words::tensor(map, &sizes, precision)
    }

    fn largest(
        map: FloatTensor<Self>,
        sizes: Sizes,
        window: Window,
        precision: Precision,
        _join: Option<Join>,
    ) -> FloatTensor<Self> {
        let map = kernel::max_pool(&sizes, &window, kernel_precision(precision), &Words::new(&map).words());
        Words::tensor(map, &window.pooled(&sizes), precision)
    }

    fn largest_gradient(
        map: FloatTensor<Self>,
        output: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        sizes: Sizes,
        window: Window,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let operands = [map, output, gradient].each_ref().map(Words::new);
        let [map, output, gradient] = operands.each_ref().map(Words::words);
        let words = [&*map, &*output, &*gradient];
        let map = kernel::max_pool_gradient(&sizes, &window, kernel_precision(precision), words);
        Words::tensor(map, &sizes, precision)
    }
}

/// From images to maps.
#[derive(Debug)]
struct LayBackward;

impl<B: Maps> Backward<B, 1> for LayBackward {
    type State = (Sizes, Precision);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let ([node], (sizes, precision)) = (ops.parents, ops.state);
        if let Some(node) = node {
            gradients.register::<B>(node.id, B::take(gradient, sizes, precision, None));
        }
    }
}

/// From maps to images.
#[derive(Debug)]
struct TakeBackward;

impl<B: Maps> Backward<B, 1> for TakeBackward {
    type State = (Sizes, Precision, Option<Join>);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let ([node], (sizes, precision, join)) = (ops.parents, ops.state);
        if let Some(node) = node {
            Join::add::<B>(join.as_ref(), gradients, node.id, B::lay(gradient, sizes, precision));
        }
    }
}

#[derive(Debug)]
struct MeanBackward;

impl<B: Maps> Backward<B, 1> for MeanBackward {
    type State = (Sizes, Precision, Option<Join>);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let ([node], (sizes, precision, join)) = (ops.parents, ops.state);
        if let Some(node) = node {
            let gradient = B::mean_of_pixels_gradient(gradient, sizes, precision);
            Join::add::<B>(join.as_ref(), gradients, node.id, gradient);
        }
    }
}

#[derive(Debug)]
struct LargestBackward;

impl<B: Maps> Backward<B, 1> for LargestBackward {
    /// The map's node, the output, sizes, window, precision and join.
    type State = (NodeId, FloatTensor<B>, Sizes, Window, Precision, Option<Join>);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let ([node], (map, output, sizes, window, precision, join)) = (ops.parents, ops.state);
        let map: FloatTensor<B> = checkpointer.retrieve_node_output(map);
        if let Some(node) = node {
            let gradient = B::largest_gradient(map, output, gradient, sizes, window, precision);
            Join::add::<B>(join.as_ref(), gradients, node.id, gradient);
        }
    }
}

impl<B: Maps, C: CheckpointStrategy> Maps for Autodiff<B, C> {
    fn lay(images: FloatTensor<Self>, sizes: Sizes, precision: Precision) -> FloatTensor<Self> {
        let (images, node) = images.into_parts();
        let map = B::lay(images, sizes, precision);
        match LayBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((sizes, precision), map),
            OpsKind::UnTracked(prepared) => prepared.finish(map),
        }
    }

    fn take(
        map: FloatTensor<Self>,
        sizes: Sizes,
        precision: Precision,
        join: Option<Join>,
    ) -> FloatTensor<Self> {
        let (map, node) = map.into_parts();
        let images = B::take(map, sizes, precision, None);
        match TakeBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((sizes, precision, join), images),
            OpsKind::UnTracked(prepared) => prepared.finish(images),
        }
    }

    fn mean_of_pixels(
        map: FloatTensor<Self>,
        sizes: Sizes,
        precision: Precision,
        join: Option<Join>,
    ) -> FloatTensor<Self> {
        let (map, node) = map.into_parts();
        let means = B::mean_of_pixels(map, sizes, precision, None);
        match MeanBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((sizes, precision, join), means),
            OpsKind::UnTracked(prepared) => prepared.finish(means),
        }
    }

    fn largest(
        map: FloatTensor<Self>,
        sizes: Sizes,
        window: Window,
        precision: Precision,
        join: Option<Join>,
    ) -> FloatTensor<Self> {
        match LargestBackward.prepare::<C>([map.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prepared) => {
                let node = prepared.checkpoint(&map);
                let output = B::largest(map.into_primitive(), sizes, window, precision, None);
                prepared.finish((node, output.clone(), sizes, window, precision, join), output)
            }
            OpsKind::UnTracked(prepared) => {
                prepared.finish(B::largest(map.into_primitive(), sizes, window, precision, None))
            }
        }
    }
}
