//! Batch normalisation of feature maps and of rows, by the statistics of the batch or by given ones: alone, with a `ReLU`, or
//! with a residual sum and a `ReLU` after it.
//!
//! Statistics are those of the whole batch or of groups of images that follow one another, as each GPU has its own where
//! a batch is spread over several: MoCo's shuffled normalisation (He et al. 2020, <https://arxiv.org/abs/1911.05722>,
//! section 3.3) relies on it.

#![expect(clippy::too_many_arguments, reason = "an operation of the engine takes its tensors one by one")]
#![expect(
    clippy::used_underscore_binding,
    reason = "the engine's macro names what an operation's default does not need"
)]

mod backward;
mod cpu;
mod fallback;

use crate::burn;
use crate::burn::backend::tensor::FloatTensor;
use crate::burn::backend::{Backend, Dispatch, backend_extension};

use super::map::{FeatureMap, Join, MapShape};
use crate::engine::{Precision, Tensor};

/// Scale and shift of a normalisation layer, `[C]` each, and what is added to the variance.
#[derive(Debug, Clone)]
pub(crate) struct Affine {
    pub(crate) scale: Tensor<1>,
    pub(crate) shift: Tensor<1>,
    pub(crate) epsilon: f64,
}

/// Mean and biased variance of each group, `[groups · C]` each, not tracked.
#[derive(Debug, Clone)]
pub(crate) struct BatchStatistics {
    pub(crate) mean: Tensor<1>,
    pub(crate) variance: Tensor<1>,
}

/// How the values of a batch are laid out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum BatchLayout {
    /// `[N, C]`
    Rows,
    /// A feature map.
    Map(MapShape, Precision),
}

/// What a normalisation reads and writes.
pub(crate) trait Batch: Sized {
    /// The layout of its values.
    fn layout(&self) -> BatchLayout;
    /// Images or rows, N.
    fn count(&self) -> usize;
    /// Channels, C.
    fn channels(&self) -> usize;
    /// Values of a channel of an image.
    fn pixels(&self) -> usize;
    /// The values, and where their gradient is added to that of another reader.
    fn into_values(self) -> (FloatTensor<Dispatch>, Option<Join>);
    /// Another batch of that layout.
    fn from_values(values: FloatTensor<Dispatch>, layout: BatchLayout) -> Self;
}

impl Batch for Tensor<2> {
    fn layout(&self) -> BatchLayout {
        BatchLayout::Rows
    }

    fn count(&self) -> usize {
        self.dims()[0]
    }

    fn channels(&self) -> usize {
        self.dims()[1]
    }

    fn pixels(&self) -> usize {
        1
    }

    fn into_values(self) -> (FloatTensor<Dispatch>, Option<Join>) {
        (self.into_dispatch(), None)
    }

    fn from_values(values: FloatTensor<Dispatch>, _layout: BatchLayout) -> Self {
        Self::from_dispatch(values)
    }
}

impl Batch for FeatureMap {
    fn layout(&self) -> BatchLayout {
        BatchLayout::Map(self.shape, self.precision)
    }

    fn count(&self) -> usize {
        self.shape.images
    }

    fn channels(&self) -> usize {
        self.shape.channels
    }

    fn pixels(&self) -> usize {
        self.shape.pixels()
    }

    fn into_values(self) -> (FloatTensor<Dispatch>, Option<Join>) {
        (self.values.into_dispatch(), self.join)
    }

    fn from_values(values: FloatTensor<Dispatch>, layout: BatchLayout) -> Self {
        let BatchLayout::Map(shape, precision) = layout else { unreachable!("a map has the layout of one") };
        Self { values: Tensor::from_dispatch(values), shape, precision, join: None }
    }
}

/// What is computed after the normalisation, in the same pass over memory.
#[derive(Debug)]
pub(crate) enum Epilogue<T> {
    Nothing,
    /// max(0, ·)
    Relu,
    /// max(0, · + residual)
    AddRelu(T),
}

/// What all operations of a normalisation need to know of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NormSettings {
    layout: BatchLayout,
    /// Equal groups of images with statistics of their own.
    groups: usize,
    epsilon: f64,
    /// Whether a `ReLU` without residual follows.
    relu: bool,
    /// Whether the statistics are given, and no gradients pass through them.
    fixed: bool,
}

/// Normalises each of `groups` equal groups of images by its own statistics (see [`equal_groups`]), and applies the epilogue.
pub(crate) fn batch_norm<T: Batch>(
    input: T,
    affine: Affine,
    groups: usize,
    epilogue: Epilogue<T>,
) -> (T, BatchStatistics) {
    let Affine { scale, shift, epsilon } = affine;
    let (layout, relu) = (input.layout(), matches!(epilogue, Epilogue::Relu));
    let settings = NormSettings { layout, groups, epsilon, relu, fixed: false };
    let ((input, join), scale, shift) = (input.into_values(), scale.into_dispatch(), shift.into_dispatch());
    let (output, mean, variance) = match epilogue {
        Epilogue::Nothing | Epilogue::Relu => Dispatch::normalize(input, scale, shift, settings, join),
        Epilogue::AddRelu(residual) => {
            assert_eq!(residual.layout(), layout, "residual and input");
            let (residual, other) = residual.into_values();
            Dispatch::normalize_add_relu(input, residual, scale, shift, settings, join, other)
        }
    };
    let [mean, variance] = [mean, variance].map(Tensor::from_dispatch);
    (T::from_values(output, layout), BatchStatistics { mean, variance })
}

/// Normalises by given statistics, `[C]` each, and applies the epilogue.
pub(crate) fn batch_norm_fixed<T: Batch>(
    input: T,
    affine: Affine,
    statistics: BatchStatistics,
    epilogue: Epilogue<T>,
) -> T {
    let Affine { scale, shift, epsilon } = affine;
    let (layout, relu) = (input.layout(), matches!(epilogue, Epilogue::Relu));
    let settings = NormSettings { layout, groups: 1, epsilon, relu, fixed: true };
    let (input, join) = input.into_values();
    let [scale, shift, mean, variance] =
        [scale, shift, statistics.mean, statistics.variance].map(Tensor::into_dispatch);
    let output = match epilogue {
        Epilogue::Nothing | Epilogue::Relu => {
            Dispatch::normalize_fixed(input, scale, shift, mean, variance, settings, join)
        }
        Epilogue::AddRelu(residual) => {
            assert_eq!(residual.layout(), layout, "residual and input");
            let (residual, other) = residual.into_values();
            Dispatch::normalize_fixed_add_relu(
                input, residual, scale, shift, mean, variance, settings, join, other,
            )
        }
    };
    T::from_values(output, layout)
}

/// How many groups of equal size `images` are split into where `asked` are wanted: as many, or where these do not divide
/// the images, the next smaller number that does.
pub(crate) fn equal_groups(images: usize, asked: usize) -> usize {
    (1..=asked.min(images)).rev().find(|groups| images.is_multiple_of(*groups)).unwrap_or(1)
}

/// Normalisation and its gradients on each backend.
#[backend_extension(
    Autodiff,
    Flex,
    Cube: cfg(any(feature = "cuda", feature = "wgpu")),
    Fusion: cfg(any(feature = "cuda", feature = "wgpu")),
)]
pub(crate) trait Normalization: Backend {
    /// Output, and mean and variance of each group.
    #[fusion(default)]
    fn normalize(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        settings: NormSettings,
        _join: Option<Join>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        fallback::normalize::<Self>(&[input, scale, shift], settings.groups, settings.epsilon, settings.relu)
    }

    /// Output, and mean and variance of each group.
    #[fusion(default)]
    fn normalize_add_relu(
        input: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        settings: NormSettings,
        _join: Option<Join>,
        _other: Option<Join>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (output, mean, variance) = Self::normalize(input, scale, shift, settings, None);
        (Self::relu(Self::float_add(output, residual)), mean, variance)
    }

    /// The output.
    #[fusion(default)]
    fn normalize_fixed(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        settings: NormSettings,
        _join: Option<Join>,
    ) -> FloatTensor<Self> {
        let output = Self::batch_norm(input, scale, shift, mean, variance, settings.epsilon);
        if settings.relu { Self::relu(output) } else { output }
    }

    /// The output.
    #[fusion(default)]
    fn normalize_fixed_add_relu(
        input: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        settings: NormSettings,
        _join: Option<Join>,
        _other: Option<Join>,
    ) -> FloatTensor<Self> {
        let output = Self::normalize_fixed(input, scale, shift, mean, variance, settings, None);
        Self::relu(Self::float_add(output, residual))
    }

    /// Gradients of input, scale and shift, given the output's gradient.
    #[fusion(default)]
    fn normalize_gradients(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        settings: NormSettings,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let tensors = [input, scale, shift, mean, variance, gradient];
        if settings.fixed {
            fallback::fixed_gradients::<Self>(tensors, settings.epsilon, settings.relu)
        } else {
            fallback::gradients::<Self>(&tensors, settings.groups, settings.epsilon, settings.relu)
        }
    }

    /// Gradients of input, residual, scale and shift, given the output and its gradient.
    #[fusion(default)]
    fn normalize_add_relu_gradients(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        output: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        settings: NormSettings,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        // What passed the `ReLU` is read off the output.
        let residual = Self::relu_backward(output, gradient);
        let gradient = residual.clone();
        let (input, scale, shift) =
            Self::normalize_gradients(input, scale, shift, mean, variance, gradient, settings);
        (input, residual, scale, shift)
    }
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
impl Normalization for burn::backend::Cube {}
