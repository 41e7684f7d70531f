//! How comparisons are watched from outside while a run goes on. Whoever computes a loss shows what it compared; what is made of that,
//! and whether anything is, is the observer's to say.

use super::mixing::Draw;
use crate::engine::Tensor;
use crate::loss::Similarities;

/// What was compared.
pub struct Compared<'a> {
    /// `[Q, d]`, of unit length.
    pub query: &'a Tensor<2>,
    /// `[Q, d]`, each query's positive.
    pub positive: &'a Tensor<2>,
    /// Whose rows these are; `None` where units are no instances.
    pub owners: Option<Owners<'a>>,
    /// Without mixtures.
    pub plain: &'a Similarities,
    /// With mixtures.
    pub similarities: &'a Similarities,
    /// What the mixtures were made of.
    pub draw: Option<&'a Draw>,
    /// τ, 1 where there is none.
    pub temperature: f32,
}

/// Whose rows a comparison has.
#[derive(Clone, Copy)]
pub struct Owners<'a> {
    /// Whose query each row is.
    pub queries: &'a [u32],
    /// Whose candidate that of a query and a column is.
    pub candidate: &'a dyn Fn(usize, usize) -> u32,
}

/// Watches what is compared.
pub trait Observer {
    /// Whether it looks at comparisons at all, so that what only it would see need not be made.
    fn looks(&self) -> bool {
        true
    }

    /// Sees a comparison; those of one batch come in their order.
    fn compared(&mut self, _: &Compared<'_>) {}

    /// Sees a number under its name in the `diagnostics` event. It is computed only if asked for.
    fn number(&mut self, _name: &'static str, _value: &dyn Fn() -> f64) {}
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn looks(&self) -> bool {
        false
    }
}
