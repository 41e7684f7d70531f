//! Shapes and operands that the kernels refuse.

use super::*;
use crate::sizes::refusal;

#[test]
fn shapes_whose_products_would_wrap_around_are_refused() {
    let half = 1 << (usize::BITS / 2);
    let ones = [1.0; 2];
    let affine = Affine { scale: &ones, shift: &ones, epsilon: EPSILON };
    // Values, or statistics, that would be counted as none.
    for shape in [
        rows::RowNormShape { rows: half, groups: 1, channels: half },
        rows::RowNormShape { rows: 0, groups: usize::MAX / 2 + 1, channels: 2 },
    ] {
        for message in [
            refusal(|| rows::forward(&shape, &[], &affine, Epilogue::Nothing)),
            refusal(|| rows::normalize(&shape, &[], &affine, [&[], &[]], Epilogue::Nothing)),
            refusal(|| {
                let given = StatisticsSource::Given([&[], &[]]);
                rows::backward(&shape, &[], &affine, given, &[], EpilogueSaved::Nothing)
            }),
        ] {
            assert!(message.starts_with("sizes too large to count: RowNormShape"), "{message}");
        }
    }
    let map = map::MapShape { images: 0, channels: 2, height: 1, width: 1 };
    for (map, groups, wanted) in [
        (map, usize::MAX / 2 + 1, "MapNormShape"),
        (map::MapShape { images: half, height: half, ..map }, 1, "MapShape"),
    ] {
        let shape = maps::MapNormShape { map, groups, precision: Precision::F32 };
        for message in [
            refusal(|| maps::forward(&shape, &[], &affine, Epilogue::Nothing)),
            refusal(|| maps::normalize(&shape, &[], &affine, [&[], &[]], Epilogue::Nothing)),
            refusal(|| {
                let given = StatisticsSource::Given([&[], &[]]);
                maps::backward(&shape, &[], &affine, given, &[], EpilogueSaved::Nothing)
            }),
        ] {
            assert!(message.starts_with(&format!("sizes too large to count: {wanted}")), "{message}");
        }
    }
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let case = Case::new(CaseShape { images: 6, groups: 2, channels: 2, pixels: 1 }, 0.0);
    let (rows, maps) = (case.shape.rows(), case.shape.maps(Precision::F32));
    let map = vec![0; maps.map.words(Precision::F32)];
    let short = Affine { scale: &case.scale[1..], ..case.affine() };
    let uneven = rows::RowNormShape { groups: 4, ..rows };
    for message in [
        refusal(|| rows::forward(&rows, &case.input[1..], &case.affine(), Epilogue::Nothing)),
        refusal(|| rows::forward(&rows, &case.input, &short, Epilogue::Nothing)),
        refusal(|| rows::forward(&uneven, &case.input, &case.affine(), Epilogue::Nothing)),
        refusal(|| rows::forward(&rows, &case.input, &case.affine(), Epilogue::AddRelu(&case.residual[1..]))),
        refusal(|| maps::forward(&maps, &map[1..], &case.affine(), Epilogue::Nothing)),
        refusal(|| maps::forward(&maps, &map, &short, Epilogue::Nothing)),
        refusal(|| maps::forward(&maps, &map, &case.affine(), Epilogue::AddRelu(&map[1..]))),
        refusal(|| maps::normalize(&maps, &map, &case.affine(), [&[0.0; 3], &[0.0; 4]], Epilogue::Nothing)),
    ] {
        assert!(["in ", "of a map of"].iter().any(|wanted| message.contains(wanted)), "{message}");
    }
}
