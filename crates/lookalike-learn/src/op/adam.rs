//! The update of Adam and AdamW in one pass over memory and on all cores.

use crate::burn;
use crate::burn::backend::tensor::FloatTensor;
use crate::burn::backend::{Backend, Dispatch, Flex, backend_extension};
use rayon::prelude::*;

use super::Plain;
use super::descent::whole;
use crate::engine::Tensor;

/// The constants of an update.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdamUpdate {
    /// What the gradient is multiplied by first.
    pub(crate) scale: f64,
    /// Weight decay λ.
    pub(crate) decay: f64,
    /// Whether decay acts on the weights directly (AdamW), and not on the gradient.
    pub(crate) decoupled: bool,
    /// β₁ and β₂, by which the moments decay.
    pub(crate) betas: [f64; 2],
    /// ε
    pub(crate) epsilon: f64,
    /// 1 − β₁ᵗ and 1 − β₂ᵗ, which correct the moments for their start at 0.
    pub(crate) corrections: [f64; 2],
    /// Learning rate.
    pub(crate) rate: f64,
}

/// g ← scale · gradient, and + λ weight where decay is not decoupled; m ← β₁ m + (1 − β₁) g; v ← β₂ v + (1 − β₂) g²;
/// weight · (1 − rate · λ), where decay is decoupled, − rate · m̂ / (√v̂ + ε) (Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter
/// 2019, algorithm 2). The new weight, m and v, whose memory is that of `gradient` and `moments` where nobody else holds it.
///
/// # Shapes
/// All `[n]`, not tracked.
pub(crate) fn adam(
    weight: Tensor<1>,
    gradient: Tensor<1>,
    [first, second]: [Tensor<1>; 2],
    constants: AdamUpdate,
) -> [Tensor<1>; 3] {
    let [weight, gradient, first, second] = [weight, gradient, first, second].map(Tensor::into_dispatch);
    let (weight, first, second) = Dispatch::adam(weight, gradient, first, second, constants);
    [weight, first, second].map(Tensor::from_dispatch)
}

/// The update on each backend.
#[backend_extension(
    Flex,
    Cube: cfg(any(feature = "cuda", feature = "wgpu")),
    Fusion: cfg(any(feature = "cuda", feature = "wgpu")),
)]
pub(crate) trait Adam: Backend {
    /// New weight and moments.
    #[fusion(default)]
    fn adam(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        constants: AdamUpdate,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        composed::<Self>(&weight, &gradient, [&first, &second], constants)
    }
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
impl Adam for burn::backend::Cube {}

/// The update by the engine's own operations.
fn composed<B: Backend>(
    weight: &FloatTensor<B>,
    gradient: &FloatTensor<B>,
    [first, second]: [&FloatTensor<B>; 2],
    AdamUpdate { scale, decay, decoupled, betas, epsilon, corrections, rate }: AdamUpdate,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let times = |tensor: &FloatTensor<B>, factor: f64| B::float_mul_scalar(tensor.clone(), factor.into());
    let mut gradient = times(gradient, scale);
    let mut kept = weight.clone();
    if decay != 0.0 && decoupled {
        kept = times(weight, 1.0 - rate * decay);
    } else if decay != 0.0 {
        gradient = B::float_add(gradient, times(weight, decay));
    }
    let square = B::float_mul(gradient.clone(), gradient.clone());
    let blend = |moment: &FloatTensor<B>, beta: f64, new: &FloatTensor<B>| {
        B::float_add(times(moment, beta), times(new, 1.0 - beta))
    };
    let first = blend(first, betas[0], &gradient);
    let second = blend(second, betas[1], &square);
    let mean = B::float_div_scalar(first.clone(), corrections[0].into());
    let variance = B::float_div_scalar(second.clone(), corrections[1].into());
    let change = B::float_div(mean, B::float_add_scalar(B::float_sqrt(variance), epsilon.into()));
    (B::float_sub(kept, times(&change, rate)), first, second)
}

impl Adam for Flex {
    fn adam(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        constants: AdamUpdate,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        /// Values that one task updates.
        const TASK: usize = 1 << 16;
        let weight = Plain::new(weight);
        let [mut gradient, mut first, mut second] = [gradient, first, second].map(whole);
        let tasks = (
            weight.values().par_chunks(TASK),
            gradient.storage_mut::<f32>().par_chunks_mut(TASK),
            first.storage_mut::<f32>().par_chunks_mut(TASK),
            second.storage_mut::<f32>().par_chunks_mut(TASK),
        );
        tasks.into_par_iter().for_each(|(weights, gradients, firsts, seconds)| {
            update(weights, gradients, [firsts, seconds], constants);
        });
        (gradient, first, second)
    }
}

/// The update of a part, whose new weights stand where the gradient was.
fn update(weights: &[f32], gradients: &mut [f32], [firsts, seconds]: [&mut [f32]; 2], constants: AdamUpdate) {
    let AdamUpdate { scale, decay, decoupled, betas, epsilon, corrections, rate } = constants;
    let kept = if decoupled { 1.0 - rate * decay } else { 1.0 } as f32;
    let coupled = if decoupled { 0.0 } else { decay } as f32;
    let shares = betas.map(|beta| (1.0 - beta) as f32);
    let [scale, epsilon, rate] = [scale, epsilon, rate].map(|constant| constant as f32);
    let [betas, corrections] = [betas, corrections].map(|pair| pair.map(|constant| constant as f32));
    for (((weight, gradient), first), second) in weights.iter().zip(gradients).zip(firsts).zip(seconds) {
        let slope = *gradient * scale + weight * coupled;
        *first = *first * betas[0] + slope * shares[0];
        *second = *second * betas[1] + slope * slope * shares[1];
        let change = (*first / corrections[0]) / ((*second / corrections[1]).sqrt() + epsilon);
        *gradient = weight * kept - change * rate;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(factor: usize) -> FloatTensor<Flex> {
        let values = (0..100_003).map(|at: usize| (at * factor % 4001) as f32 / 2000.0 - 1.0).collect();
        Plain::from_values(values, [100_003])
    }

    fn square(factor: usize) -> FloatTensor<Flex> {
        let plain = Plain::new(tensor(factor));
        plain.like(plain.values().iter().map(|value| value * value).collect())
    }

    #[test]
    fn one_pass_gives_the_bits_of_the_composition_and_leaves_what_others_hold() {
        for (decay, decoupled, scale) in [(0.01, true, 1.0), (0.0, true, 0.37), (0.1, false, 0.37)] {
            let constants = AdamUpdate {
                scale,
                decay,
                decoupled,
                betas: [0.9, 0.999],
                epsilon: 1e-8,
                corrections: [1.0 - 0.9_f64.powi(7), 1.0 - 0.999_f64.powi(7)],
                rate: 0.003,
            };
            let (weight, gradient, first, second) = (tensor(7), tensor(11), tensor(13), square(17));
            let copies = || (weight.clone(), gradient.clone(), first.clone(), second.clone());
            let (one, two, three, four) = copies();
            let theirs = composed::<Flex>(&one, &two, [&three, &four], constants);
            let (one, two, three, four) = copies();
            let ours = Flex::adam(one, two, three, four, constants);
            assert_eq!(ours.0.as_slice::<f32>(), theirs.0.as_slice::<f32>(), "the weight");
            assert_eq!(ours.1.as_slice::<f32>(), theirs.1.as_slice::<f32>(), "the first moment");
            assert_eq!(ours.2.as_slice::<f32>(), theirs.2.as_slice::<f32>(), "the second moment");
            for (held, factor) in [(weight, 7), (gradient, 11), (first, 13)] {
                assert_eq!(held.as_slice::<f32>(), tensor(factor).as_slice::<f32>());
            }
        }
    }
}
