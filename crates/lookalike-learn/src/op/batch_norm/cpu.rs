//! The kernels of the CPU behind the operation.

use std::ops::Range;

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use lookalike_kernels::batch_norm as kernel;

use super::super::Plain;
use super::{Normalization, images_of_groups};

/// Images of one group, and where its values and its statistics stand.
struct Group {
    sizes: kernel::Sizes,
    values: Range<usize>,
    statistics: Range<usize>,
}

fn groups_of(input: &Plain, groups: usize) -> impl Iterator<Item = Group> {
    let [images, channels] = input.dims();
    let image = input.values().len() / images.max(1);
    images_of_groups(images, groups).enumerate().map(move |(group, images)| Group {
        sizes: kernel::Sizes { images: images.len(), channels, pixels: image / channels.max(1) },
        values: images.start * image..images.end * image,
        statistics: group * channels..(group + 1) * channels,
    })
}

/// What `of_group` gives for each group, one after another.
fn forward(
    input: &Plain,
    groups: usize,
    of_group: impl Fn(&Group) -> kernel::Normalized,
) -> (FloatTensor<Flex>, FloatTensor<Flex>, FloatTensor<Flex>) {
    let mut all: Option<kernel::Normalized> = None;
    for group in groups_of(input, groups) {
        let normal = of_group(&group);
        match &mut all {
            None => all = Some(normal),
            Some(all) => {
                all.output.extend(normal.output);
                all.mean.extend(normal.mean);
                all.variance.extend(normal.variance);
            }
        }
    }
    let all = all.unwrap_or_else(|| unreachable!("there is at least one group"));
    let [mean, variance] = [all.mean, all.variance].map(|values| {
        let length = values.len();
        Plain::from_values(values, [length])
    });
    (input.like(all.output), mean, variance)
}

impl Normalization for Flex {
    fn normalize(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [input, scale, shift] = [input, scale, shift].map(Plain::new);
        let affine = kernel::Affine { scale: scale.values(), shift: shift.values(), epsilon };
        let then = if relu { kernel::Then::Relu } else { kernel::Then::Nothing };
        forward(&input, groups, |group| {
            kernel::forward(&group.sizes, &input.values()[group.values.clone()], &affine, then)
        })
    }

    fn normalize_add_relu(
        input: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [input, residual, scale, shift] = [input, residual, scale, shift].map(Plain::new);
        let affine = kernel::Affine { scale: scale.values(), shift: shift.values(), epsilon };
        forward(&input, groups, |group| {
            let [input, residual] = [&input, &residual].map(|tensor| &tensor.values()[group.values.clone()]);
            kernel::forward(&group.sizes, input, &affine, kernel::Then::AddRelu(residual))
        })
    }

    fn normalize_fixed(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let [input, scale, shift, mean, variance] = [input, scale, shift, mean, variance].map(Plain::new);
        let affine = kernel::Affine { scale: scale.values(), shift: shift.values(), epsilon };
        let statistics = [mean.values(), variance.values()];
        let normalize = |group: Group| {
            kernel::normalize(&group.sizes, input.values(), &affine, statistics, kernel::Then::Nothing)
        };
        input.like(groups_of(&input, 1).flat_map(normalize).collect())
    }

    fn normalize_gradients(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        groups: usize,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let after = |_: Range<usize>| if relu { kernel::After::Relu } else { kernel::After::Nothing };
        let tensors = [input, scale, shift, mean, variance, gradient].map(Plain::new);
        let (input, _, scale, shift) = backward(&tensors, groups, epsilon, after);
        (input, scale, shift)
    }

    fn normalize_add_relu_gradients(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        output: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        groups: usize,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let output = Plain::new(output);
        let tensors = [input, scale, shift, mean, variance, gradient].map(Plain::new);
        backward(&tensors, groups, epsilon, |values| kernel::After::AddRelu(&output.values()[values]))
    }
}

/// Gradients of input, residual, scale and shift; that of the residual is the given one where there was none. `after`
/// gives what followed the values of a group.
fn backward<'a>(
    [input, scale, shift, mean, variance, gradient]: &[Plain; 6],
    groups: usize,
    epsilon: f64,
    after: impl Fn(Range<usize>) -> kernel::After<'a>,
) -> (FloatTensor<Flex>, FloatTensor<Flex>, FloatTensor<Flex>, FloatTensor<Flex>) {
    let affine = kernel::Affine { scale: scale.values(), shift: shift.values(), epsilon };
    let mut all: Option<kernel::Gradients> = None;
    for Group { sizes, values, statistics } in groups_of(input, groups) {
        let statistics = [mean, variance].map(|tensor| &tensor.values()[statistics.clone()]);
        let [images, gradient] = [input, gradient].map(|tensor| &tensor.values()[values.clone()]);
        let of_group = kernel::backward(&sizes, images, &affine, statistics, gradient, after(values));
        match &mut all {
            None => all = Some(of_group),
            Some(all) => add(all, of_group),
        }
    }
    let all = all.unwrap_or_else(|| unreachable!("there is at least one group"));
    let residual = all.residual.map_or_else(|| gradient.0.clone(), |residual| input.like(residual));
    (input.like(all.input), residual, scale.like(all.scale), shift.like(all.shift))
}

/// Appends the gradients of the next group's images and adds those of scale and shift.
fn add(all: &mut kernel::Gradients, group: kernel::Gradients) {
    all.input.extend(group.input);
    if let (Some(all), Some(group)) = (&mut all.residual, group.residual) {
        all.extend(group);
    }
    for (all, group) in [(&mut all.scale, group.scale), (&mut all.shift, group.shift)] {
        all.iter_mut().zip(group).for_each(|(sum, value)| *sum += value);
    }
}
