//! The momentum encoder (He et al. 2020, equation 2, <https://arxiv.org/abs/1911.05722>): the parameters of
//! the keys' encoder go to m times themselves plus 1 − m times those of the queries' encoder.
//!
//! Only parameters are averaged. BatchNorm's running statistics are the momentum encoder's own: it encodes with the
//! statistics of the batch, in training mode, as the published program does.

use lookalike_base::arrays::Arrays;
use serde::{Deserialize, Serialize};

use crate::engine::Device;
use crate::error::LearnError;
use crate::module::{Module, Role, arrays_of, for_each_tensor, load_arrays};
use crate::step::Step;

/// How the momentum goes over a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MomentumShape {
    /// It stays.
    Constant,
    /// It rises to 1 along half a cosine, step by step: 1 − ½ (1 + cos(π step/steps)) (1 − m), as in MoCo v3's program.
    Cosine,
}

/// What a schedule of the momentum can be.
pub const MOMENTUM_SHAPES: &[&str] = &["constant", "cosine"];

/// m over a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Momentum {
    /// m of the first step.
    pub base: f64,
    /// What follows.
    pub shape: MomentumShape,
}

impl Momentum {
    /// m at `step`.
    pub fn at(&self, step: &Step) -> f64 {
        match self.shape {
            MomentumShape::Constant => self.base,
            MomentumShape::Cosine => {
                1.0 - 0.5 * (1.0 + (std::f64::consts::PI * step.share()).cos()) * (1.0 - self.base)
            }
        }
    }
}

/// A copy of a network that follows it slowly and is not trained.
#[derive(Debug, Clone)]
pub struct MomentumEncoder<M> {
    /// The copy; read it in passes that ask for no gradient.
    pub module: M,
    momentum: Momentum,
}

impl<M: Module + Clone> MomentumEncoder<M> {
    /// A copy of `module`.
    pub fn of(module: &M, momentum: Momentum) -> Self {
        Self { module: module.clone(), momentum }
    }

    /// Moves the parameters towards those of `source`, where they can have changed since the last time. What is frozen there is frozen here, so
    /// that both take BatchNorm's statistics from one place.
    pub fn follow(&mut self, source: &mut M, step: &Step) {
        self.freeze_as(source);
        if !step.moved {
            return;
        }
        let momentum = self.momentum.at(step);
        let mut new = Vec::new();
        for_each_tensor(source, &mut |_, role, tensor| {
            if role != Role::Buffer {
                new.push(tensor.flat());
            }
        });
        let mut new = new.into_iter();
        for_each_tensor(&mut self.module, &mut |_, role, tensor| {
            if role != Role::Buffer
                && let Some(source) = new.next()
            {
                let kept = tensor.flat().mul_scalar(momentum);
                tensor.assign(kept + source.mul_scalar(1.0 - momentum));
            }
        });
    }

    fn freeze_as(&mut self, source: &mut M) {
        let mut learn = Vec::new();
        for_each_tensor(source, &mut |_, _, tensor| learn.push(tensor.learns()));
        let mut learn = learn.into_iter();
        for_each_tensor(&mut self.module, &mut |_, _, tensor| {
            if learn.next() == Some(false) {
                tensor.freeze();
            }
        });
    }

    /// All its tensors under names that begin with `key.`, for a checkpoint.
    pub fn arrays(&mut self) -> Arrays {
        arrays_of(&mut self.module).into_iter().map(|(name, array)| (format!("key.{name}"), array)).collect()
    }

    /// Goes on from what [`MomentumEncoder::arrays`] gave.
    ///
    /// # Errors
    /// As [`load_arrays`].
    pub fn restore(&mut self, arrays: &Arrays, device: &Device) -> Result<(), LearnError> {
        load_arrays(&mut self.module, arrays, "key.", device)
    }
}
