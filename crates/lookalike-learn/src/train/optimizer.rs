//! Optimisers with PyTorch's arithmetic: SGD with momentum, Adam, AdamW and LARS.

use std::collections::BTreeMap;

use lookalike_base::arrays::{Array, Arrays};
use serde::{Deserialize, Serialize};

use super::freeze::is_in;
use super::lars;
use crate::engine::{Device, Gradients, Tensor, from_host, to_host};
use crate::error::LearnError;
use crate::module::{Module, Role, for_each_tensor};
use crate::op::{AdamUpdate, Update, adam, descend, squares};
use crate::options::{Bounds, FLAG, FRACTION, NOT_NEGATIVE, POSITIVE, Range, Value};

/// The update rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Stochastic gradient descent with momentum (dampening 0).
    Sgd,
    /// Adam (Kingma and Ba 2015); decay is added to the gradient.
    Adam,
    /// AdamW (Loshchilov and Hutter 2019); decay acts on the weights directly.
    AdamW,
    /// LARS, see [`lars`].
    Lars,
}

crate::options! {
    /// An update rule with its constants; the defaults are PyTorch's, LARS's those of SimCLR.
    pub struct OptimizerOptions {
        /// The update rule, with PyTorch's arithmetic.
        kind: OptimizerKind = Value::Text("sgd"), Range::OneOf(&["sgd", "adam", "adamw", "lars"]);
        /// The learning rate at the end of the warm-up; taken as it is, not scaled by the batch size.
        learning_rate: f64 = Value::Number(0.06), POSITIVE;
        /// Momentum of `sgd` and `lars`.
        momentum: f64 = Value::Number(0.9), FRACTION;
        /// Nesterov's form of momentum, `sgd` only.
        nesterov: bool = Value::Flag(false), FLAG;
        /// Decay rates of the moments of `adam` and `adamw`.
        betas: [f64; 2] = Value::Numbers(&[0.9, 0.999]), Range::Numbers(2, BETA);
        /// ε of `adam` and `adamw`.
        epsilon: f64 = Value::Number(1e-8), POSITIVE;
        /// Weight decay, added to the gradient; `adamw` applies it to the weights directly.
        weight_decay: f64 = Value::Number(5e-4), NOT_NEGATIVE;
        /// Whether biases and normalisation parameters decay too; `lars` never lets them.
        decay_all: bool = Value::Flag(false), FLAG;
        /// Most length of all gradients together: those of a longer one are shortened to it, before decay (PyTorch's `clip_grad_norm_`; Pascanu
        /// et al. 2013). Absent: as they are.
        clip: Option<f64> = Value::Absent("none"), POSITIVE;
        /// Trust coefficient of `lars`.
        trust: f64 = Value::Number(0.001), POSITIVE;
        /// Layers that learn at other rates, as `{ encoder = 0.1, "encoder.layer4" = 0.3 }`: what the rate is multiplied by, under the
        /// beginning of their names; of several the longest counts. What has no such name learns at the rate itself.
        rates: Option<BTreeMap<String, f64>> = Value::Absent("none"), Range::Free("table of numbers above 0");
    }
}

/// A decay rate.
const BETA: Bounds = Bounds { least: (0.0, true), most: (1.0, false), words: "0 up to below 1" };

impl OptimizerOptions {
    /// What the rate of the tensor `name` is multiplied by.
    fn factor(&self, name: &str) -> f64 {
        let rates = self.rates.iter().flatten().filter(|(layer, _)| is_in(name, layer));
        rates.max_by_key(|(layer, _)| layer.len()).map_or(1.0, |(_, factor)| *factor)
    }
}

/// Gradients under the names of their parameters, flat.
pub type NamedGradients = BTreeMap<String, Tensor<1>>;

/// Takes the gradient of every parameter of `module` out of `gradients` and adds it to what `sum` holds.
pub fn accumulate(module: &mut dyn Module, mut gradients: Gradients, sum: &mut NamedGradients) {
    for_each_tensor(module, &mut |name, _, tensor| {
        if let Some(gradient) = tensor.take_gradient(&mut gradients) {
            let gradient = match sum.remove(name) {
                Some(before) => before + gradient,
                None => gradient,
            };
            sum.insert(name.to_owned(), gradient);
        }
    });
}

/// The Euclidean length of all gradients together, summed in the order of their names.
pub(super) fn global_norm(gradients: &NamedGradients) -> f64 {
    squares(gradients.values()).sqrt()
}

/// What gradients of length `norm` are multiplied by so that none is longer than `most`, as PyTorch's `clip_grad_norm_` has it.
fn clip_factor(most: f64, norm: f64) -> f64 {
    /// Keeps the length of 0 apart from a division.
    const EPSILON: f64 = 1e-6;
    (most / (norm + EPSILON)).min(1.0)
}

/// An update rule and what it remembers of every parameter.
#[derive(Debug)]
pub struct Optimizer {
    options: OptimizerOptions,
    /// Updates made, Adam's t.
    updates: u64,
    first: BTreeMap<String, Tensor<1>>,
    second: BTreeMap<String, Tensor<1>>,
}

impl Optimizer {
    /// A rule that remembers nothing yet.
    pub fn new(options: OptimizerOptions) -> Self {
        Self { options, updates: 0, first: BTreeMap::new(), second: BTreeMap::new() }
    }

    /// Moves every parameter that has a gradient, at learning rate `rate`. Gives the norm of all gradients together before they were
    /// clipped, where they are to be.
    pub fn step(&mut self, module: &mut dyn Module, gradients: NamedGradients, rate: f64) -> Option<f64> {
        let norm = self.options.clip.map(|_| global_norm(&gradients));
        self.step_by(module, gradients, norm.unwrap_or(0.0), rate)
    }

    /// As [`Optimizer::step`], by gradients of that norm.
    pub(super) fn step_by(
        &mut self,
        module: &mut dyn Module,
        mut gradients: NamedGradients,
        norm: f64,
        rate: f64,
    ) -> Option<f64> {
        self.updates += 1;
        let norm = self.options.clip.map(|_| norm);
        let scale = self.options.clip.zip(norm).map_or(1.0, |(most, norm)| clip_factor(most, norm));
        for_each_tensor(module, &mut |name, role, tensor| {
            if let Some(gradient) = gradients.remove(name) {
                let weight = tensor.flat();
                let rate = rate * self.options.factor(name);
                tensor.assign(self.update(name, role, &weight, gradient, (scale, rate)));
            }
        });
        norm
    }

    /// The parameter after a step by its gradient, which is multiplied by `scale` first.
    fn update(
        &mut self,
        name: &str,
        role: Role,
        weight: &Tensor<1>,
        gradient: Tensor<1>,
        (scale, rate): (f64, f64),
    ) -> Tensor<1> {
        let plain = role == Role::Weight;
        let decay = if plain || self.options.decay_all { self.options.weight_decay } else { 0.0 };
        let scaled = |gradient: Tensor<1>| match scale {
            1.0 => gradient,
            _ => gradient.mul_scalar(scale),
        };
        match self.options.kind {
            OptimizerKind::Sgd => self.descend(name, weight, scaled(gradient), decay, rate),
            OptimizerKind::Lars => {
                let gradient = scaled(gradient);
                let gradient =
                    if plain { lars::adapt(weight, gradient, decay, self.options.trust) } else { gradient };
                self.descend(name, weight, gradient, 0.0, rate)
            }
            OptimizerKind::Adam => self.adam(name, weight, gradient, (decay, false), (scale, rate)),
            OptimizerKind::AdamW => self.adam(name, weight, gradient, (decay, true), (scale, rate)),
        }
    }

    /// SGD with momentum; Nesterov's form is one of `sgd` alone.
    fn descend(
        &mut self,
        name: &str,
        weight: &Tensor<1>,
        gradient: Tensor<1>,
        decay: f64,
        rate: f64,
    ) -> Tensor<1> {
        let OptimizerOptions { momentum, nesterov, .. } = self.options;
        let velocity = self.first.remove(name).unwrap_or_else(|| weight.zeros_like());
        let constants = Update { decay, momentum, nesterov, rate };
        let [weight, velocity] = descend(weight.clone(), gradient, velocity, constants);
        self.first.insert(name.to_owned(), velocity);
        weight
    }

    /// Adam, or where decay is `decoupled` from the gradient AdamW. The gradient is multiplied by `scale` first.
    fn adam(
        &mut self,
        name: &str,
        weight: &Tensor<1>,
        gradient: Tensor<1>,
        (decay, decoupled): (f64, bool),
        (scale, rate): (f64, f64),
    ) -> Tensor<1> {
        let OptimizerOptions { betas, epsilon, .. } = self.options;
        let updates = i32::try_from(self.updates).unwrap_or(i32::MAX);
        let corrections = betas.map(|beta| 1.0 - beta.powi(updates));
        let moments = [&mut self.first, &mut self.second]
            .map(|moments| moments.remove(name).unwrap_or_else(|| weight.zeros_like()));
        let constants = AdamUpdate { scale, decay, decoupled, betas, epsilon, corrections, rate };
        let [weight, first, second] = adam(weight.clone(), gradient, moments, constants);
        self.first.insert(name.to_owned(), first);
        self.second.insert(name.to_owned(), second);
        weight
    }

    /// All it remembers, for a checkpoint.
    pub fn arrays(&self) -> Arrays {
        let slots = [("first", &self.first), ("second", &self.second)];
        let moments = slots.into_iter().flat_map(|(slot, moments)| {
            moments.iter().map(move |(name, tensor)| {
                let values = to_host(tensor.clone());
                (format!("{slot}.{name}"), Array::f32(vec![values.len()], values))
            })
        });
        moments.chain([("updates".to_owned(), Array::u64(vec![1], vec![self.updates]))]).collect()
    }

    /// An optimiser that goes on from what [`Optimizer::arrays`] gave, found in `arrays` under names that follow `prefix`.
    ///
    /// # Errors
    /// [`LearnError::Weights`] where the number of updates is missing or a moment is not `f32`.
    pub fn restore(
        options: OptimizerOptions,
        arrays: &Arrays,
        prefix: &str,
        device: &Device,
    ) -> Result<Self, LearnError> {
        let refuse = |name: &str, reason: &str| LearnError::Weights {
            name: format!("{prefix}{name}"),
            reason: reason.to_owned(),
        };
        let updates =
            arrays.get(&format!("{prefix}updates")).and_then(Array::as_u64).and_then(<[u64]>::first);
        let mut optimizer = Self::new(options);
        optimizer.updates = *updates.ok_or_else(|| refuse("updates", "it is missing or not u64"))?;
        for (name, array) in arrays {
            let Some((slot, name)) = name.strip_prefix(prefix).and_then(|name| name.split_once('.')) else {
                continue;
            };
            let values = array.as_f32().ok_or_else(|| refuse(name, "it is not f32"))?;
            let tensor = from_host(values.to_vec(), [values.len()], device);
            match slot {
                "first" => optimizer.first.insert(name.to_owned(), tensor),
                "second" => optimizer.second.insert(name.to_owned(), tensor),
                _ => return Err(refuse(slot, "no such slot")),
            };
        }
        Ok(optimizer)
    }
}
