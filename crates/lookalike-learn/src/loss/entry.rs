//! What a registry knows of a loss.

use std::sync::Arc;

use super::QueryLoss;
use crate::error::LearnError;
use crate::options::{Key, POSITIVE, Settings, Value};

/// A loss as a registry holds it.
#[derive(Debug, Clone, Copy)]
pub struct LossEntry {
    /// Its name in recipes, `loss.kind`.
    pub kind: &'static str,
    /// What it is, with its paper.
    pub about: &'static str,
    /// Its keys in the section `[loss]`.
    pub keys: &'static [Key],
    /// Whether it is a softmax over negatives, to which others can be added and from which some can be left out.
    pub softmax: bool,
    /// Methods that minimise it, beside those that say so themselves.
    pub methods: &'static [&'static str],
    /// The loss of a query; absent where it compares otherwise.
    pub build: Option<BuildLoss>,
}

/// Makes the loss of a query by the settings.
pub type BuildLoss = fn(&Settings) -> Result<Arc<dyn QueryLoss>, LearnError>;

impl LossEntry {
    /// A loss that compares otherwise than a query with its negatives; what an entry says otherwise it writes.
    pub const OTHER: Self =
        Self { kind: "", about: "", keys: &[], softmax: false, methods: &[], build: None };
}

crate::options! {
    /// A loss with a temperature.
    pub struct TemperatureOptions {
        /// τ. SimCLR: 0.5 on CIFAR-10, 0.1 on ImageNet; MoCo v1: 0.07, v2: 0.2.
        temperature: f32 = Value::Number(0.1), POSITIVE;
    }
}
