//! No input makes a score NaN, and none makes it panic.

use lookalike_base::{Rows, Seed, Watch};
use lookalike_metrics::{
    Centering, KnnOptions, ProbeOptions, UniformityOptions, alignment, collapse, false_negative_rate,
    hardness, knn_accuracy, linear_probe, pearson, rank_me, spearman, spectrum, uniformity,
};
use proptest::prelude::*;

/// Ordinary numbers, zeros, and the largest, smallest and missing ones.
fn value() -> impl Strategy<Value = f32> {
    let special = [0.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45, f32::NAN, f32::INFINITY];
    prop_oneof![20 => -10.0_f32..10.0, 4 => Just(0.0_f32), 1 => prop::sample::select(special.to_vec())]
}

proptest! {
    #[test]
    fn scores_of_embeddings_are_numbers_or_errors(
        columns in 1_usize..4,
        values in prop::collection::vec(value(), 0..48),
    ) {
        let values = &values[..values.len() / columns * columns];
        let rows = Rows::new(values, columns).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let finite = values.iter().all(|value| value.is_finite());
        let spectra = [Centering::Centered, Centering::Uncentered].map(|centering| spectrum(rows, centering));
        let scores = [
            alignment(rows, rows),
            uniformity(rows, &UniformityOptions::default()).map(|found| found.value),
            spectra[0].clone().and_then(|spectrum| spectrum.effective_rank()),
            spectra[1].clone().and_then(|spectrum| spectrum.effective_rank()),
            rank_me(rows),
            collapse(rows).map(|found| found.mean),
            hardness(&[[0, 1], [1, 2]], rows, Watch::default()).map(|found| found.difference),
        ];
        for (at, score) in scores.into_iter().enumerate() {
            if let Ok(score) = score {
                prop_assert!(finite && score.is_finite(), "score {at} is {score}");
            }
        }
    }

    #[test]
    fn correlations_are_within_one_or_errors(pairs in prop::collection::vec((value(), value()), 0..24)) {
        let (a, b): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
        let (swapped, turned): (Vec<f32>, Vec<f32>) = pairs.iter().rev().copied().unzip();
        for correlation in [spearman, pearson] {
            match (correlation(&a, &b), correlation(&turned, &swapped)) {
                (Ok(found), Ok(other)) => {
                    prop_assert!(found.abs() <= 1.0 && (found - other).abs() < 1e-9, "{found} and {other}");
                }
                (found, other) => prop_assert!(found.is_err() && other.is_err()),
            }
        }
    }

    #[test]
    fn scores_of_labels_are_shares_or_errors(
        pairs in prop::collection::vec((value(), value(), 0_u32..5), 0..24),
        spare in prop::option::weighted(0.1, 0_u32..5),
        few in prop::option::of(0_usize..4),
        k in 0_usize..30,
    ) {
        let values: Vec<f32> = pairs.iter().flat_map(|(x, y, _)| [*x, *y]).collect();
        let labels: Vec<u32> = pairs.iter().map(|(_, _, label)| *label % 4).chain(spare).collect();
        let rows = Rows::new(&values, 2).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let knn = KnnOptions { k, ..KnnOptions::default() };
        let probe = ProbeOptions { epochs: 2, batch_size: 4, labels_per_class: few, seed: Seed(1), ..ProbeOptions::default() };
        let scores = [
            knn_accuracy(rows, &labels, rows, &labels, 4, &knn).map(|found| found.accuracy),
            linear_probe(rows, &labels, rows, &labels, 4, &probe, Watch::default()).map(|found| found.accuracy),
            false_negative_rate(&[&labels], &labels).map(|found| found.rate),
        ];
        for (at, score) in scores.into_iter().enumerate() {
            if let Ok(score) = score {
                prop_assert!((0.0..=1.0).contains(&score), "score {at} is {score}");
            }
        }
    }
}
