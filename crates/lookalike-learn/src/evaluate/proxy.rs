//! The proxy task on a test split: how often a view is nearer to its image's other view than to those of all other images, with and
//! without negatives mixed from them.

use lookalike_base::{Matrix, Seed, Watch};
use lookalike_metrics::{ProxyNegatives, proxy_accuracy};
use serde::Serialize;

use super::{Figure, Score, ScoreEntry, Subject};
use crate::error::LearnError;
use crate::negatives::mixing::{MixingOptions, QueryDraw};

/// The proxy task in a registry.
pub const ENTRY: ScoreEntry = ScoreEntry {
    kind: "proxy",
    about: "proxy task",
    circumstances: &["proxy_negatives", "proxy_mixing"],
    measure,
    ..ScoreEntry::PLAIN
};

fn measure(subject: &Subject<'_>) -> Result<Vec<Figure>, LearnError> {
    let mixing: MixingOptions = subject.settings.parse("negatives.mixing")?.unwrap_or_default();
    let views = subject.two_views()?.each_ref().map(|view| view.projection.clone());
    let total = views[0].len().min(MOST_IMAGES) as u64;
    let proxy =
        subject.watched(total, "proxy task", |watch| Proxy::measure(views, mixing, subject.seed, watch))?;
    let Proxy {
        proxy_accuracy: plain,
        proxy_accuracy_mixed: mixed,
        proxy_negatives: negatives,
        proxy_mixing: sizes,
    } = proxy;
    let [hardest, between, with_query] = sizes;
    let title = subject.title_alone(&format!("proxy task accuracy, {negatives} negatives"));
    let mixtures = format!("  with mixtures beside them ({hardest}, {between}, {with_query})");
    let mixtures = subject.title_alone(&mixtures);
    Ok(vec![
        Figure::new(subject.key("proxy_accuracy"), &plain, title, plain.share())?,
        Figure::new(subject.key("proxy_accuracy_mixed"), &mixed, mixtures, mixed.share())?,
        Figure::hidden(subject.key("proxy_negatives"), &negatives)?,
        Figure::hidden(subject.key("proxy_mixing"), &sizes)?,
    ])
}

/// Images at most that are told from one another: their products are as many as the square of this.
pub const MOST_IMAGES: usize = 10_000;

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
    /// Measures two views of the same images, or of [`MOST_IMAGES`] of them, drawn by `seed`; `mixing` has at most as many hardest as
    /// there are. The progress of `watch` advances by one an image.
    ///
    /// # Errors
    /// [`LearnError::Metrics`] where embeddings are not finite, or it was asked to stop.
    pub fn measure(
        views: [Matrix; 2],
        mixing: MixingOptions,
        seed: Seed,
        watch: Watch<'_>,
    ) -> Result<Self, LearnError> {
        Self::of_at_most(MOST_IMAGES, views, mixing, seed, watch)
    }

    fn of_at_most(
        most: usize,
        views: [Matrix; 2],
        mixing: MixingOptions,
        seed: Seed,
        watch: Watch<'_>,
    ) -> Result<Self, LearnError> {
        let images = views[0].len();
        let [query, mut key] = if images <= most {
            views
        } else {
            let order = seed.stream("images of the proxy task", 0, 0, 0).permutation(images as u32);
            views.map(|view| select(&view, &order[..most]))
        };
        key.normalize_rows();
        let others = key.len().saturating_sub(1);
        let mixing = MixingOptions { hardest: mixing.hardest.min(others), ..mixing };
        let synthetic = |query: usize, similarities: &[f32]| {
            let mut stream = seed.stream("mixing of the proxy task", 0, 0, query as u64);
            QueryDraw::new(similarities, &[query as u32], &mixing, &mut stream)
                .largest(similarities, key.rows())
        };
        let negatives = ProxyNegatives::OtherKeys;
        let measured = proxy_accuracy(query.rows(), key.rows(), negatives, Some(&synthetic), watch);
        let mixed = measured.clone().map(|accuracy| accuracy.mixed.unwrap_or(accuracy.plain));
        Ok(Self {
            proxy_accuracy: Score::of(measured.map(|accuracy| accuracy.plain))?,
            proxy_accuracy_mixed: Score::of(mixed)?,
            proxy_negatives: others,
            proxy_mixing: [mixing.hardest, mixing.between, mixing.with_query],
        })
    }
}

/// The rows that `rows` names.
fn select(matrix: &Matrix, rows: &[u32]) -> Matrix {
    let values = rows.iter().flat_map(|row| matrix.row(*row as usize).iter().copied()).collect();
    Matrix::new(values, matrix.columns()).unwrap_or_else(|error| unreachable!("rows of a matrix: {error}"))
}

#[cfg(test)]
mod tests {
    use lookalike_base::Cancellation;

    use super::*;

    /// Images on the circle; both views of each are the same.
    fn views(images: usize) -> [Matrix; 2] {
        let angles = (0..images).map(|image| image as f32 / images as f32 * std::f32::consts::TAU);
        let rows = Matrix::new(angles.flat_map(|angle| [angle.cos(), angle.sin()]).collect(), 2).unwrap();
        [rows.clone(), rows]
    }

    #[test]
    fn of_more_images_than_it_tells_apart_a_sample_stands_and_says_so() {
        let mixing = MixingOptions { hardest: 2, between: 1, with_query: 1, warm_up: 0.0 };
        let cancellation = Cancellation::new();
        let watch = Watch::silent(&cancellation);
        let measured = |images| Proxy::of_at_most(40, views(images), mixing, Seed(1), watch).unwrap();
        assert_eq!((measured(40).proxy_negatives, measured(90).proxy_negatives), (39, 39));
        // Each view finds its own image again.
        assert_eq!(measured(90).proxy_accuracy, measured(40).proxy_accuracy);
        assert_eq!(measured(90).proxy_accuracy, Score::Value(1.0));
        cancellation.cancel();
        assert!(Proxy::measure(views(40), mixing, Seed(1), watch).is_err());
    }
}
