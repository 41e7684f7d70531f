//! The kernels of the CPU behind the operation.

use crate::burn::backend::Flex;
use crate::burn::backend::tensor::FloatTensor;
use lookalike_kernels::batch_norm as kernel;
use lookalike_kernels::batch_norm::{Affine, Epilogue, EpilogueSaved, StatisticsSource, maps, rows};

use super::super::Plain;
use super::super::clock::{Task, timed};
use super::super::map::Words;
use super::{BatchLayout, Join, NormSettings, Normalization};

/// Input, scale and shift, and the statistics where they are given.
struct Operands {
    input: FloatTensor<Flex>,
    affine: [Plain; 2],
    statistics: Option<[Plain; 2]>,
    settings: NormSettings,
}

impl Operands {
    fn new(
        input: FloatTensor<Flex>,
        affine: [FloatTensor<Flex>; 2],
        statistics: Option<[FloatTensor<Flex>; 2]>,
        settings: NormSettings,
    ) -> Self {
        let statistics = statistics.map(|statistics| statistics.map(Plain::new));
        Self { input, affine: affine.map(Plain::new), statistics, settings }
    }

    fn affine(&self) -> Affine<'_> {
        let [scale, shift] = &self.affine;
        Affine { scale: scale.values(), shift: shift.values(), epsilon: self.settings.epsilon }
    }

    /// Those that are given.
    fn statistics(&self) -> [&[f32]; 2] {
        let given = self.statistics.as_ref().unwrap_or_else(|| unreachable!("statistics are given"));
        given.each_ref().map(Plain::values)
    }

    fn rows(&self, input: &Plain) -> rows::RowNormShape {
        let [rows, channels] = input.dims();
        rows::RowNormShape { rows, groups: self.settings.groups, channels }
    }

    /// Output, mean and variance; the latter two are empty where they are given.
    fn forward(
        &self,
        residual: Option<FloatTensor<Flex>>,
    ) -> (FloatTensor<Flex>, FloatTensor<Flex>, FloatTensor<Flex>) {
        timed(Task::Normalization, || match self.settings.layout {
            BatchLayout::Rows => {
                let (input, residual) = (Plain::new(self.input.clone()), residual.map(Plain::new));
                let epilogue = epilogue(self.settings.relu, residual.as_ref().map(Plain::values));
                let (shape, values) = (self.rows(&input), input.values());
                let normal = match self.statistics {
                    None => rows::forward(&shape, values, &self.affine(), epilogue),
                    Some(_) => {
                        given(rows::normalize(&shape, values, &self.affine(), self.statistics(), epilogue))
                    }
                };
                let (mean, variance) = statistics(normal.mean, normal.variance);
                (input.like(normal.output), mean, variance)
            }
            BatchLayout::Map(map, precision) => {
                let (input, residual) = (Words::new(&self.input), residual.as_ref().map(Words::new));
                let residual = residual.as_ref().map(Words::words);
                let epilogue = epilogue(self.settings.relu, residual.as_deref());
                let groups = self.settings.groups;
                let shape = maps::MapNormShape { map, groups, precision };
                let words = input.words();
                let normal = match self.statistics {
                    None => maps::forward(&shape, &words, &self.affine(), epilogue),
                    Some(_) => {
                        given(maps::normalize(&shape, &words, &self.affine(), self.statistics(), epilogue))
                    }
                };
                let (mean, variance) = statistics(normal.mean, normal.variance);
                (Words::tensor(normal.output, &map, precision), mean, variance)
            }
        })
    }

    /// Gradients of input, scale and shift, and of the residual where there was one, given the output's.
    fn backward(
        &self,
        output: Option<FloatTensor<Flex>>,
        gradient: FloatTensor<Flex>,
    ) -> ([FloatTensor<Flex>; 3], Option<FloatTensor<Flex>>) {
        let (relu, [scale, shift]) = (self.settings.relu, &self.affine);
        let of = if self.settings.fixed { StatisticsSource::Given } else { StatisticsSource::Batch };
        let statistics = of(self.statistics());
        timed(Task::NormalizationGradient, || match self.settings.layout {
            BatchLayout::Rows => {
                let (input, output) = (Plain::new(self.input.clone()), output.map(Plain::new));
                let gradient = Plain::new(gradient);
                let saved = saved(relu, output.as_ref().map(Plain::values));
                let (shape, values, affine) = (self.rows(&input), input.values(), self.affine());
                let gradients = rows::backward(&shape, values, &affine, statistics, gradient.values(), saved);
                let residual = gradients.residual.map(|values| input.like(values));
                let (scale, shift) = (scale.like(gradients.scale), shift.like(gradients.shift));
                ([input.like(gradients.input), scale, shift], residual)
            }
            BatchLayout::Map(map, precision) => {
                let (input, output) = (Words::new(&self.input), output.as_ref().map(Words::new));
                let words = Words::new(&gradient);
                let output = output.as_ref().map(Words::words);
                let saved = saved(relu, output.as_deref());
                let groups = self.settings.groups;
                let shape = maps::MapNormShape { map, groups, precision };
                let gradients =
                    maps::backward(&shape, &input.words(), &self.affine(), statistics, &words.words(), saved);
                let residual = gradients.residual.map(|words| Words::tensor(words, &map, precision));
                let (scale, shift) = (scale.like(gradients.scale), shift.like(gradients.shift));
                ([Words::tensor(gradients.input, &map, precision), scale, shift], residual)
            }
        })
    }
}

fn epilogue<T>(relu: bool, residual: Option<&[T]>) -> Epilogue<'_, T> {
    match residual {
        Some(residual) => Epilogue::AddRelu(residual),
        None if relu => Epilogue::Relu,
        None => Epilogue::Nothing,
    }
}

fn saved<T>(relu: bool, output: Option<&[T]>) -> EpilogueSaved<'_, T> {
    match output {
        Some(output) => EpilogueSaved::AddRelu(output),
        None if relu => EpilogueSaved::Relu,
        None => EpilogueSaved::Nothing,
    }
}

fn given<T>(output: Vec<T>) -> kernel::Normalized<T> {
    kernel::Normalized { output, mean: Vec::new(), variance: Vec::new() }
}

fn statistics(mean: Vec<f32>, variance: Vec<f32>) -> (FloatTensor<Flex>, FloatTensor<Flex>) {
    let count = mean.len();
    (Plain::from_values(mean, [count]), Plain::from_values(variance, [count]))
}

impl Normalization for Flex {
    fn normalize(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        settings: NormSettings,
        _join: Option<Join>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        Operands::new(input, [scale, shift], None, settings).forward(None)
    }

    fn normalize_add_relu(
        input: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        settings: NormSettings,
        _join: Option<Join>,
        _other: Option<Join>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        Operands::new(input, [scale, shift], None, settings).forward(Some(residual))
    }

    fn normalize_fixed(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        settings: NormSettings,
        _join: Option<Join>,
    ) -> FloatTensor<Self> {
        Operands::new(input, [scale, shift], Some([mean, variance]), settings).forward(None).0
    }

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
        Operands::new(input, [scale, shift], Some([mean, variance]), settings).forward(Some(residual)).0
    }

    fn normalize_gradients(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        settings: NormSettings,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let operands = Operands::new(input, [scale, shift], Some([mean, variance]), settings);
        operands.backward(None, gradient).0.into()
    }

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
        let operands = Operands::new(input, [scale, shift], Some([mean, variance]), settings);
        let ([input, scale, shift], residual) = operands.backward(Some(output), gradient);
        let residual = residual.unwrap_or_else(|| unreachable!("there was a residual"));
        (input, residual, scale, shift)
    }
}
