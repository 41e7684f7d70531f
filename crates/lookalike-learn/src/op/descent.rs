//! The update of stochastic gradient descent with momentum, in one pass over memory and on all cores.

use crate::burn;
use crate::burn::backend::flex::FlexTensor;
use crate::burn::backend::tensor::FloatTensor;
use crate::burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use crate::burn::tensor::{BoolDType, FloatDType};
use rayon::prelude::*;

use super::Plain;
use crate::engine::Tensor;

/// The constants of an update.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Update {
    /// Weight decay λ.
    pub(crate) decay: f64,
    /// μ
    pub(crate) momentum: f64,
    /// Whether in Nesterov's form.
    pub(crate) nesterov: bool,
    /// Learning rate.
    pub(crate) rate: f64,
}

/// g ← gradient + λ weight; v ← μ velocity + g; weight − rate · v, or · (g + μ v) in Nesterov's form. The new weight and
/// velocity, whose memory is that of `gradient` and `velocity` where nobody else holds it.
///
/// # Shapes
/// All `[n]`, not tracked.
pub(crate) fn descend(
    weight: Tensor<1>,
    gradient: Tensor<1>,
    velocity: Tensor<1>,
    constants: Update,
) -> [Tensor<1>; 2] {
    let [weight, gradient, velocity] = [weight, gradient, velocity].map(Tensor::into_dispatch);
    let (weight, velocity) = Dispatch::descend(weight, gradient, velocity, constants);
    [Tensor::from_dispatch(weight), Tensor::from_dispatch(velocity)]
}

/// (g + λ weight) · η ‖weight‖ / ‖g + λ weight‖, and g + λ weight alone where either norm is 0: LARS's gradient. Nothing is waited for.
///
/// # Shapes
/// All `[n]`, not tracked.
pub(crate) fn adapt(weight: Tensor<1>, gradient: Tensor<1>, decay: f64, trust: f64) -> Tensor<1> {
    let [weight, gradient] = [weight, gradient].map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::adapt(weight, gradient, decay, trust))
}

/// The update on each backend.
#[backend_extension(
    Flex,
    Cube: cfg(any(feature = "cuda", feature = "wgpu")),
    Fusion: cfg(any(feature = "cuda", feature = "wgpu")),
)]
pub(crate) trait Descent: Backend {
    /// New weight and velocity.
    #[fusion(default)]
    fn descend(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        velocity: FloatTensor<Self>,
        constants: Update,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        composed::<Self>(weight, gradient, &velocity, constants)
    }

    /// LARS's gradient.
    #[fusion(default)]
    fn adapt(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        decay: f64,
        trust: f64,
    ) -> FloatTensor<Self> {
        composed_adapt::<Self>(&weight, gradient, decay, trust)
    }
}

/// LARS's gradient by the engine's own operations.
fn composed_adapt<B: Backend>(
    weight: &FloatTensor<B>,
    gradient: FloatTensor<B>,
    decay: f64,
    trust: f64,
) -> FloatTensor<B> {
    let gradient = B::float_add(gradient, B::float_mul_scalar(weight.clone(), decay.into()));
    let squared = |tensor: &FloatTensor<B>| B::float_sum(B::float_mul(tensor.clone(), tensor.clone()));
    let product = B::float_mul(squared(weight), squared(&gradient));
    let ratio = B::float_sqrt(B::float_div(squared(weight), squared(&gradient)));
    let ratio = B::float_mul_scalar(ratio, trust.into());
    // Where either norm is 0 the ratio is 0 or no number.
    let usable = B::float_greater_elem(product, 0.0.into(), BoolDType::Native);
    let ones = B::float_ones(ratio.shape(), &ratio.device(), FloatDType::F32);
    let ratio = B::float_mask_where(ones, usable, ratio);
    let shape = gradient.shape();
    B::float_mul(gradient, B::float_expand(ratio, shape))
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
impl Descent for burn::backend::Cube {}

/// The update by the engine's own operations.
fn composed<B: Backend>(
    weight: FloatTensor<B>,
    gradient: FloatTensor<B>,
    velocity: &FloatTensor<B>,
    Update { decay, momentum, nesterov, rate }: Update,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let scaled = |tensor: &FloatTensor<B>, factor: f64| B::float_mul_scalar(tensor.clone(), factor.into());
    let gradient = B::float_add(gradient, scaled(&weight, decay));
    let velocity = B::float_add(scaled(velocity, momentum), gradient.clone());
    let change =
        if nesterov { B::float_add(gradient, scaled(&velocity, momentum)) } else { velocity.clone() };
    (B::float_sub(weight, scaled(&change, rate)), velocity)
}

impl Descent for Flex {
    fn descend(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        velocity: FloatTensor<Self>,
        Update { decay, momentum, nesterov, rate }: Update,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        /// Values that one task updates.
        const TASK: usize = 1 << 16;
        let [decay, momentum, rate] = [decay, momentum, rate].map(|constant| constant as f32);
        let weight = Plain::new(weight);
        let [mut gradient, mut velocity] = [gradient, velocity].map(whole);
        let tasks = (
            weight.values().par_chunks(TASK),
            gradient.storage_mut::<f32>().par_chunks_mut(TASK),
            velocity.storage_mut::<f32>().par_chunks_mut(TASK),
        );
        tasks.into_par_iter().for_each(|(weights, gradients, velocities)| {
            for ((weight, gradient), velocity) in weights.iter().zip(gradients).zip(velocities) {
                let slope = *gradient + weight * decay;
                *velocity = *velocity * momentum + slope;
                let change = if nesterov { slope + *velocity * momentum } else { *velocity };
                *gradient = weight - change * rate;
            }
        });
        (gradient, velocity)
    }

    fn adapt(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        decay: f64,
        trust: f64,
    ) -> FloatTensor<Self> {
        /// Values that one task sums, in an order that no number of threads changes.
        const TASK: usize = 1 << 16;
        let (weight, mut gradient, decay) = (Plain::new(weight), whole(gradient), decay as f32);
        let sums = |(weights, gradients): (&[f32], &mut [f32])| {
            weights.iter().zip(gradients).fold([0.0_f64; 2], |[own, slope], (weight, gradient)| {
                *gradient += weight * decay;
                [own + f64::from(*weight).powi(2), slope + f64::from(*gradient).powi(2)]
            })
        };
        let tasks = weight.values().par_chunks(TASK).zip(gradient.storage_mut::<f32>().par_chunks_mut(TASK));
        let parts: Vec<[f64; 2]> = tasks.map(sums).collect();
        let [own, slope] = parts.into_iter().fold([0.0; 2], |[a, b], [c, d]| [a + c, b + d]);
        if own > 0.0 && slope > 0.0 {
            let ratio = (trust * (own / slope).sqrt()) as f32;
            let values = gradient.storage_mut::<f32>();
            values
                .par_chunks_mut(TASK)
                .for_each(|values| values.iter_mut().for_each(|value| *value *= ratio));
        }
        gradient
    }
}

/// A tensor that is all of its memory, for changing it in place.
pub(super) fn whole(tensor: FloatTensor<Flex>) -> FlexTensor {
    let plain = Plain::new(tensor);
    if plain.0.storage::<f32>().len() == plain.values().len() {
        plain.0
    } else {
        plain.like(plain.values().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(factor: usize) -> FloatTensor<Flex> {
        let values = (0..100_003).map(|at: usize| (at * factor % 4001) as f32 / 2000.0 - 1.0).collect();
        Plain::from_values(values, [100_003])
    }

    #[test]
    fn lars_s_gradient_is_that_of_the_composition_and_a_norm_of_0_scales_nothing() {
        let values = |tensor: FloatTensor<Flex>| Plain::new(tensor).values().to_vec();
        for (decay, trust) in [(5e-4, 0.001), (0.0, 0.02)] {
            let (weight, gradient) = (tensor(7), tensor(11));
            let theirs = values(composed_adapt::<Flex>(&weight, gradient.clone(), decay, trust));
            let ours = values(Flex::adapt(weight, gradient.clone(), decay, trust));
            assert_eq!(values(gradient), values(tensor(11)), "what others hold stays");
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert!((ours - theirs).abs() <= 1e-5 * theirs.abs(), "{ours} {theirs}");
            }
        }
        let zeros = || Plain::from_values(vec![0.0; 100_003], [100_003]);
        for (weight, gradient) in [(zeros(), tensor(11)), (tensor(7), zeros())] {
            let expected = values(gradient.clone());
            assert_eq!(values(composed_adapt::<Flex>(&weight, gradient.clone(), 0.0, 0.1)), expected);
            assert_eq!(values(Flex::adapt(weight, gradient, 0.0, 0.1)), expected);
        }
    }

    #[test]
    fn one_pass_gives_the_bits_of_the_composition_and_leaves_what_others_hold() {
        for (decay, nesterov) in [(5e-4, false), (0.0, false), (1e-2, true)] {
            let constants = Update { decay, momentum: 0.9, nesterov, rate: 0.06 };
            let (weight, gradient, velocity) = (tensor(7), tensor(11), tensor(13));
            let theirs = composed::<Flex>(weight.clone(), gradient.clone(), &velocity, constants);
            let ours = Flex::descend(weight.clone(), gradient.clone(), velocity.clone(), constants);
            assert_eq!(ours.0.as_slice::<f32>(), theirs.0.as_slice::<f32>());
            assert_eq!(ours.1.as_slice::<f32>(), theirs.1.as_slice::<f32>());
            for (held, factor) in [(weight, 7), (gradient, 11), (velocity, 13)] {
                assert_eq!(held.as_slice::<f32>(), tensor(factor).as_slice::<f32>());
            }
        }
    }

    #[test]
    fn a_part_of_a_tensor_is_updated_apart_from_the_rest() {
        let constants = Update { decay: 0.0, momentum: 0.0, nesterov: false, rate: 1.0 };
        let part = |tensor: FloatTensor<Flex>| {
            <Flex as crate::burn::backend::ops::FloatTensorOps<Flex>>::float_slice(
                tensor,
                &[(10..20_usize).into()],
            )
        };
        let whole = tensor(3);
        let (weight, velocity) =
            Flex::descend(part(tensor(5)), part(whole.clone()), part(tensor(2)), constants);
        let expected: Vec<f32> = (10..20)
            .map(|at: usize| [5, 3].map(|factor| (at * factor % 4001) as f32 / 2000.0 - 1.0))
            .map(|[weight, gradient]| weight - gradient)
            .collect();
        assert_eq!(weight.as_slice::<f32>().unwrap(), expected);
        assert_eq!(velocity.as_slice::<f32>().unwrap().len(), 10);
        assert_eq!(whole.as_slice::<f32>(), tensor(3).as_slice::<f32>());
    }
}
