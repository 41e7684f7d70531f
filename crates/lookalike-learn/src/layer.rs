//! Layers: the engine's functions together with their parameters, named and laid out as PyTorch does.

use crate::burn::tensor::activation::prelu;
use lookalike_base::Stream;

use crate::engine::{Device, Tensor, from_host};
use crate::module::{AnyTensor, Buffer, Module, Parameter, Pass, Role, Statistics, Visitor};
pub use crate::op::FeatureMap;
use crate::op::{
    Affine, Batch, BatchStatistics, Columns, Epilogue, Mask, add_norm, batch_norm, batch_norm_fixed,
    bias_gelu, conv2d, equal_groups, keep_mask, linear, norm,
};
use lookalike_kernels::dropout::Place;

/// A tensor of normal numbers with the given standard deviation.
pub(crate) fn normal<const D: usize>(
    shape: [usize; D],
    deviation: f32,
    stream: &mut Stream,
    device: &Device,
) -> Tensor<D> {
    let values = (0..shape.iter().product()).map(|_| deviation * stream.normal()).collect();
    from_host(values, shape, device)
}

/// A tensor of numbers uniform in ±`bound`.
pub(crate) fn uniform<const D: usize>(
    shape: [usize; D],
    bound: f32,
    stream: &mut Stream,
    device: &Device,
) -> Tensor<D> {
    let values = (0..shape.iter().product()).map(|_| stream.range(-bound, bound)).collect();
    from_host(values, shape, device)
}

/// A square convolution without bias.
#[derive(Debug, Clone)]
pub struct Conv2d {
    /// `[out channels, in channels, kernel, kernel]`.
    weight: Parameter<4>,
    stride: usize,
    padding: usize,
}

impl Conv2d {
    /// Kaiming-normal weights over the fan-out, as torchvision's residual nets draw them (He et al. 2015).
    pub fn new(
        [inputs, outputs]: [usize; 2],
        kernel: usize,
        stride: usize,
        stream: &mut Stream,
        device: &Device,
    ) -> Self {
        let deviation = (2.0 / (outputs * kernel * kernel) as f32).sqrt();
        let weight = normal([outputs, inputs, kernel, kernel], deviation, stream, device);
        Self { weight: Parameter::new(weight), stride, padding: kernel / 2 }
    }

    /// # Shapes
    /// A map of C channels, H × W → one of the out channels, ⌈H / stride⌉ × ⌈W / stride⌉.
    pub fn forward(&self, input: FeatureMap, pass: &Pass) -> FeatureMap {
        conv2d(input, self.weight.read(pass), self.stride, self.padding)
    }
}

impl Module for Conv2d {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.tensor("weight", Role::Weight, &mut self.weight);
    }
}

/// Batch normalisation over every dimension but the channels (Ioffe and Szegedy 2015).
///
/// As in PyTorch: ε 1e-5, running statistics with momentum 0.1 and the *unbiased* variance. A frozen layer normalises by its running
/// statistics, which stay.
#[derive(Debug, Clone)]
pub struct BatchNorm {
    weight: Parameter<1>,
    bias: Parameter<1>,
    running_mean: Buffer,
    running_var: Buffer,
}

impl BatchNorm {
    const EPSILON: f64 = 1e-5;
    const MOMENTUM: f64 = 0.1;

    /// Scale 1, shift 0, running mean 0, running variance 1.
    pub fn new(channels: usize, device: &Device) -> Self {
        Self {
            weight: Parameter::new(Tensor::ones([channels], device)),
            bias: Parameter::new(Tensor::zeros([channels], device)),
            running_mean: Buffer { tensor: Tensor::zeros([channels], device) },
            running_var: Buffer { tensor: Tensor::ones([channels], device) },
        }
    }

    /// Starts at scale 0, so that a residual block begins as the identity (`zero_init_residual` of torchvision).
    #[must_use]
    pub fn zero_scale(mut self) -> Self {
        let zeros = self.weight.read(&Pass::evaluation()).zeros_like();
        self.weight = Parameter::new(zeros);
        self
    }

    /// Normalises rows `[N, C]` or a feature map.
    #[expect(private_bounds, reason = "there are two kinds of batches")]
    pub fn forward<T: Batch>(&mut self, input: T, pass: &Pass) -> T {
        self.run(input, Epilogue::Nothing, pass)
    }

    /// max(0, [`forward`](Self::forward)), in one pass over memory.
    #[expect(private_bounds, reason = "there are two kinds of batches")]
    pub fn forward_relu<T: Batch>(&mut self, input: T, pass: &Pass) -> T {
        self.run(input, Epilogue::Relu, pass)
    }

    /// max(0, [`forward`](Self::forward) + `residual`), in one pass over memory: the end of a residual block.
    #[expect(private_bounds, reason = "there are two kinds of batches")]
    pub fn forward_add_relu<T: Batch>(&mut self, input: T, residual: T, pass: &Pass) -> T {
        self.run(input, Epilogue::AddRelu(residual), pass)
    }

    fn run<T: Batch>(&mut self, input: T, epilogue: Epilogue<T>, pass: &Pass) -> T {
        let affine =
            Affine { scale: self.weight.read(pass), shift: self.bias.read(pass), epsilon: Self::EPSILON };
        if pass.statistics == Statistics::Running || self.is_frozen() {
            let [mean, variance] =
                [&self.running_mean, &self.running_var].map(|buffer| buffer.tensor.clone());
            return batch_norm_fixed(input, affine, BatchStatistics { mean, variance }, epilogue);
        }
        let groups = groups(input.count(), pass.statistics);
        let (values, channels) = (input.count() / groups * input.pixels(), input.channels());
        let (output, batch) = batch_norm(input, affine, groups, epilogue);
        self.remember(&batch, [groups, channels], values, pass.statistics);
        output
    }

    /// Whether neither scale nor shift learns: then statistics stay too, as in a network in evaluation mode.
    fn is_frozen(&self) -> bool {
        !self.weight.learns() && !self.bias.learns()
    }

    /// Moves the running statistics towards those of a batch, which are `[groups, channels]` and each of that many values.
    fn remember(
        &mut self,
        batch: &BatchStatistics,
        [groups, channels]: [usize; 2],
        values: usize,
        statistics: Statistics,
    ) {
        let share = match statistics {
            Statistics::Average { seen } => 1.0 / (seen + 1) as f64,
            Statistics::Batch | Statistics::Groups(_) | Statistics::Running => Self::MOMENTUM,
        };
        // A single value a channel has no unbiased variance; PyTorch refuses such a batch, here its biased 0 is kept.
        let unbiased = values as f64 / values.saturating_sub(1).max(1) as f64;
        let mean = |of_groups: &Tensor<1>| match groups {
            1 => of_groups.clone().inner(),
            _ => of_groups.clone().inner().reshape([groups, channels]).mean_dim(0).reshape([channels]),
        };
        let blend =
            |old: &Tensor<1>, new: Tensor<1>| old.clone().mul_scalar(1.0 - share).add(new.mul_scalar(share));
        self.running_mean.tensor = blend(&self.running_mean.tensor, mean(&batch.mean));
        self.running_var.tensor = blend(&self.running_var.tensor, mean(&batch.variance).mul_scalar(unbiased));
    }
}

/// Groups of `images` that have statistics of their own.
fn groups(images: usize, statistics: Statistics) -> usize {
    match statistics {
        Statistics::Groups(groups) => equal_groups(images, groups.get()),
        Statistics::Batch | Statistics::Average { .. } | Statistics::Running => 1,
    }
}

impl Module for BatchNorm {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.tensor("weight", Role::Normalization, &mut self.weight);
        visitor.tensor("bias", Role::Normalization, &mut self.bias);
        visitor.tensor("running_mean", Role::Buffer, &mut self.running_mean);
        visitor.tensor("running_var", Role::Buffer, &mut self.running_var);
    }
}

/// A fully connected layer; weights `[out, in]` as in PyTorch.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Parameter<2>,
    bias: Option<Parameter<1>>,
}

impl Linear {
    /// Weights and bias uniform in ±1/√in, PyTorch's default.
    pub fn new([inputs, outputs]: [usize; 2], bias: bool, stream: &mut Stream, device: &Device) -> Self {
        let bound = 1.0 / (inputs as f32).sqrt();
        let weight = Parameter::new(uniform([outputs, inputs], bound, stream, device));
        let bias = bias.then(|| Parameter::new(uniform([outputs], bound, stream, device)));
        Self { weight, bias }
    }

    /// Weights uniform in ±√(6 / (in + out)) (Glorot and Bengio 2010), bias 0.
    pub fn xavier([inputs, outputs]: [usize; 2], stream: &mut Stream, device: &Device) -> Self {
        let bias = Some(Parameter::new(Tensor::zeros([outputs], device)));
        Self { bias, ..Self::xavier_without_bias([inputs, outputs], stream, device) }
    }

    /// [`Linear::xavier`] without a bias.
    pub fn xavier_without_bias([inputs, outputs]: [usize; 2], stream: &mut Stream, device: &Device) -> Self {
        let bound = (6.0 / (inputs + outputs) as f32).sqrt();
        Self { weight: Parameter::new(uniform([outputs, inputs], bound, stream, device)), bias: None }
    }

    /// These weights, `[out, in]`, and bias 0.
    pub fn of(weight: Tensor<2>, device: &Device) -> Self {
        let bias = Parameter::new(Tensor::zeros([weight.dims()[0]], device));
        Self { weight: Parameter::new(weight), bias: Some(bias) }
    }

    /// The same without a bias.
    #[must_use]
    pub fn without_bias(self) -> Self {
        Self { bias: None, ..self }
    }

    /// The weights, for a product that is no dense one.
    ///
    /// # Shapes
    /// `[out, in]`.
    pub(crate) fn weight(&self, pass: &Pass) -> Tensor<2> {
        self.weight.read(pass)
    }

    /// # Shapes
    /// `[N, in]` → `[N, out]`.
    pub fn forward(&self, input: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let product = input.matmul(self.weight.read(pass).transpose());
        match &self.bias {
            Some(bias) => product + bias.read(pass).unsqueeze(),
            None => product,
        }
    }
}

/// What transformers do. Each sum runs over the inputs in one order for any number of rows, so that on a CPU a row is the same bits alone
/// and in any batch.
impl Linear {
    /// [`forward`](Self::forward) row by row.
    ///
    /// # Shapes
    /// `[n, in]` → `[n, out]`.
    pub fn forward_rows(&self, input: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let bias = self.bias.as_ref().map(|bias| bias.read(pass));
        linear(input, self.weight.read(pass), bias, pass.precision)
    }

    /// The exact GELU of [`forward_rows`](Self::forward_rows).
    ///
    /// # Shapes
    /// `[n, in]` → `[n, out]`.
    pub fn forward_gelu(&self, input: Tensor<2>, pass: &Pass) -> Tensor<2> {
        bias_gelu(linear(input, self.weight.read(pass), None, pass.precision), self.bias_or_zeros(pass))
    }

    /// The normalisation of `residual` + dropout ([`forward_rows`](Self::forward_rows)), as after attention and after the inner layer of a
    /// transformer.
    ///
    /// # Shapes
    /// `[n, in]`, `[n, out]` → `[n, out]`.
    pub fn forward_add_norm(
        &self,
        input: Tensor<2>,
        residual: Tensor<2>,
        layer: &LayerNorm,
        dropped: &Dropping<'_>,
        pass: &Pass,
    ) -> Tensor<2> {
        let values = linear(input, self.weight.read(pass), None, pass.precision);
        let [rows, width] = values.dims();
        let mask = dropped
            .places(rows, width, pass)
            .map(|places| Mask { places: places.into(), probability: dropped.probability });
        add_norm(values, self.bias_or_zeros(pass), residual, mask, layer.columns(pass))
    }

    fn bias_or_zeros(&self, pass: &Pass) -> Tensor<1> {
        self.bias.as_ref().map_or_else(
            || {
                let weight = self.weight.read(&Pass::evaluation());
                Tensor::zeros([weight.dims()[0]], &weight.device())
            },
            |bias| bias.read(pass),
        )
    }

    /// Several layers of the same input side by side: their weights one under another, and their biases.
    pub(crate) fn forward_together(layers: &[&Self], input: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let weights = layers.iter().map(|layer| layer.weight.read(pass)).collect();
        let biases = layers.iter().map(|layer| layer.bias_or_zeros(pass)).collect();
        linear(input, Tensor::cat(weights, 0), Some(Tensor::cat(biases, 0)), pass.precision)
    }
}

impl Module for Linear {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.tensor("weight", Role::Weight, &mut self.weight);
        if let Some(bias) = &mut self.bias {
            visitor.tensor("bias", Role::Bias, bias);
        }
    }
}

/// A `ReLU` whose slope below 0 is learned, one for all channels (He et al. 2015, <https://arxiv.org/abs/1502.01852>).
#[derive(Debug, Clone)]
pub struct PRelu {
    /// `[1]`
    weight: Parameter<1>,
}

impl PRelu {
    /// Slope 0.25, as the paper starts it.
    pub fn new(device: &Device) -> Self {
        Self { weight: Parameter::new(Tensor::full([1], 0.25, device)) }
    }

    /// # Shapes
    /// `[N, d]` → the same.
    pub fn forward(&self, input: Tensor<2>, pass: &Pass) -> Tensor<2> {
        prelu(input, self.weight.read(pass))
    }
}

impl Module for PRelu {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        // A slope is no direction in space that weight decay may shrink.
        visitor.tensor("weight", Role::Bias, &mut self.weight);
    }
}

/// Layer normalisation: each row with mean 0 and variance 1, scaled and shifted (Ba et al. 2016, <https://arxiv.org/abs/1607.06450>).
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: Parameter<1>,
    bias: Parameter<1>,
    epsilon: f32,
}

impl LayerNorm {
    /// Scale 1 and shift 0; `epsilon` is added to the variance.
    pub fn new(width: usize, epsilon: f32, device: &Device) -> Self {
        Self {
            weight: Parameter::new(Tensor::ones([width], device)),
            bias: Parameter::new(Tensor::zeros([width], device)),
            epsilon,
        }
    }

    fn columns(&self, pass: &Pass) -> Columns {
        Columns { scale: self.weight.read(pass), shift: self.bias.read(pass), epsilon: self.epsilon }
    }

    /// # Shapes
    /// `[n, d]` → the same.
    pub fn forward(&self, values: Tensor<2>, pass: &Pass) -> Tensor<2> {
        norm(values, self.columns(pass))
    }
}

impl Module for LayerNorm {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.tensor("weight", Role::Normalization, &mut self.weight);
        visitor.tensor("bias", Role::Normalization, &mut self.bias);
    }
}

/// Which values a layer drops, with `probability`, the rest being scaled by 1 / (1 − `probability`).
///
/// A mask hangs on `purpose`, which names the layer, on the step, on the instance and view of a row, and on the place within that
/// instance (row of a part, column), and on nothing else: another order of rows or another chunk gives the same one.
#[derive(Debug, Clone)]
pub struct Dropping<'a> {
    /// Without offsets a tensor has one row for each of [`Pass::rows`]; with them row r of the pass has the rows `offsets[r]` to
    /// `offsets[r + 1]`, less one, as the tokens of a text.
    pub offsets: Option<&'a [usize]>,
    /// From 0 to below 1.
    pub probability: f32,
    /// Names the layer.
    pub purpose: String,
}

impl Dropping<'_> {
    /// A key for each row of the pass; `None` where nothing is dropped.
    pub(crate) fn keys(&self, pass: &Pass) -> Option<Vec<u64>> {
        let dropout = pass.dropout.filter(|_| self.probability > 0.0)?;
        Some(pass.rows.iter().map(|row| dropout.key(&self.purpose, *row)).collect())
    }

    /// Where each of `rows` rows of `width` values stands; `None` where nothing is dropped.
    ///
    /// # Panics
    /// Where the rows are other than the pass says.
    pub(crate) fn places(&self, rows: usize, width: usize, pass: &Pass) -> Option<Vec<Place>> {
        let own = |row: usize| self.offsets.map_or(1, |offsets| offsets[row + 1] - offsets[row]);
        let mut places = Vec::with_capacity(rows);
        for (index, key) in self.keys(pass)?.into_iter().enumerate() {
            places.extend((0..own(index)).map(|part| Place { key, first: (part * width) as u32 }));
        }
        assert_eq!(places.len(), rows, "a row of the pass has as many rows of the tensor as it says");
        Some(places)
    }
}

/// Drops values of `input`.
///
/// # Shapes
/// `[n, d]` → the same.
///
/// # Panics
/// Where the rows are other than the pass says.
pub fn dropout(input: Tensor<2>, dropping: &Dropping<'_>, pass: &Pass) -> Tensor<2> {
    let [rows, width] = input.dims();
    let Some(places) = dropping.places(rows, width, pass) else { return input };
    input.clone() * keep_mask(&places, width, dropping.probability, &input.device().inner())
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use lookalike_base::Seed;

    use super::*;
    use crate::engine::{Precision, to_host};

    #[test]
    fn running_statistics_of_groups_are_the_mean_of_those_that_each_group_gives_alone() {
        let device = Device::flex();
        let batch: Tensor<4> = normal([6, 3, 4, 5], 2.0, &mut Seed(1).stream("batch", 0, 0, 0), &device);
        let pass = |statistics| Pass { statistics, ..Pass::evaluation() };
        let map = |images| FeatureMap::pack(images, Precision::F32);
        let mut together = BatchNorm::new(3, &device);
        let output =
            together.forward(map(batch.clone()), &pass(Statistics::Groups(NonZero::new(2).unwrap())));
        let mut alone = [BatchNorm::new(3, &device), BatchNorm::new(3, &device)];
        let halves = [0, 3].map(|first| batch.clone().narrow(0, first, 3));
        let outputs: Vec<Tensor<4>> = alone
            .iter_mut()
            .zip(halves)
            .map(|(layer, half)| layer.forward(map(half), &pass(Statistics::Batch)).unpack())
            .collect();
        for (ours, theirs) in to_host(output.unpack()).into_iter().zip(to_host(Tensor::cat(outputs, 0))) {
            assert!((ours - theirs).abs() < 1e-5, "{ours} and {theirs}");
        }
        let statistics = |layer: &BatchNorm| {
            Tensor::cat(vec![layer.running_mean.tensor.clone(), layer.running_var.tensor.clone()], 0)
        };
        let mean = (statistics(&alone[0]) + statistics(&alone[1])) / 2;
        for (ours, theirs) in to_host(statistics(&together)).into_iter().zip(to_host(mean)) {
            assert!((ours - theirs).abs() < 1e-6, "{ours} and {theirs}");
        }
    }
}
