//! The proxy task on a test split: how often a view is nearer to its image's other view than to those of all other images, with and
//! without negatives mixed from them.

use lookalike_base::{Matrix, Seed};
use lookalike_metrics::{ProxyNegatives, proxy_accuracy};
use serde::Serialize;

use super::Score;
use crate::error::LearnError;
use crate::negatives::mixing::{MixingOptions, QueryDraw};

/// Accuracy of the proxy task, and of what.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Proxy {
    /// Share of first views nearer to their second one than to those of all other images.
    pub proxy_accuracy: Score,
    /// The same where mixtures of the other images' views are negatives too.
    pub proxy_accuracy_mixed: Score,
    /// Negatives of a query, mixtures not counted.
    pub proxy_negatives: usize,
    /// N, s and s′ of the mixtures.
    pub proxy_mixing: [usize; 3],
}

impl Proxy {
    /// Measures two views of the same images, `mixing` having at most as many hardest as there are.
    ///
    /// # Errors
    /// [`LearnError::Metrics`] where embeddings are not finite.
    pub fn measure(
        [query, mut key]: [Matrix; 2],
        mixing: MixingOptions,
        seed: Seed,
    ) -> Result<Self, LearnError> {
        key.normalize_rows();
        let others = key.len().saturating_sub(1);
        let mixing = MixingOptions { hardest: mixing.hardest.min(others), ..mixing };
        let synthetic = |query: usize, similarities: &[f32]| {
            let mut stream = seed.stream("mixing of the proxy task", 0, 0, query as u64);
            QueryDraw::new(similarities, &[query as u32], &mixing, &mut stream)
                .largest(similarities, key.rows())
        };
        let measured = proxy_accuracy(query.rows(), key.rows(), ProxyNegatives::OtherKeys, Some(&synthetic));
        let mixed = measured.clone().map(|accuracy| accuracy.mixed.unwrap_or(accuracy.plain));
        Ok(Self {
            proxy_accuracy: Score::of(measured.map(|accuracy| accuracy.plain))?,
            proxy_accuracy_mixed: Score::of(mixed)?,
            proxy_negatives: others,
            proxy_mixing: [mixing.hardest, mixing.between, mixing.with_query],
        })
    }
}
