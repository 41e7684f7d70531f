//! Convolutions on tile registers: wide ones of odd sizes, and the model's bits beside the processor's.

use proptest::prelude::*;

use super::tests::{check, normals};
use super::*;
use crate::map::pack;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn wide_ones_of_any_size_are_those_of_the_definition(
        (images, inputs, outputs) in (0_usize..36, 14_usize..50, 8_usize..50),
        (height, width) in (1_usize..8, 1_usize..8),
        (kernel, stride, padding) in (1_usize..5, 1_usize..4, 0_usize..3),
    ) {
        let shape = ConvShape { images, inputs, outputs, height, width, kernel, stride, padding };
        prop_assume!(kernel <= height.min(width) + 2 * padding);
        check(&shape);
    }
}

#[test]
fn several_blocks_rows_and_tasks_are_those_of_the_definition() {
    for (images, inputs, outputs, side, kernel, stride) in [
        // More rows than are packed at a time, more blocks than one, flat rows with a rest, and a stride.
        (17, 130, 140, 14, 3, 1),
        (50, 33, 40, 4, 3, 1),
        (33, 70, 20, 9, 1, 1),
        (20, 40, 66, 11, 1, 2),
        (18, 64, 33, 13, 3, 2),
        (3, 20, 300, 6, 5, 3),
    ] {
        let padding = kernel / 2;
        check(&ConvShape { images, inputs, outputs, height: side, width: side, kernel, stride, padding });
    }
}

#[test]
fn the_model_has_the_bits_of_the_processor() {
    let paths: Vec<Path> =
        Path::all(Precision::Bf16).into_iter().filter(|path| path.tiles().is_some()).collect();
    for (kernel, stride) in [(3, 1), (3, 2), (1, 1), (1, 2), (5, 1)] {
        let padding = kernel / 2;
        let shape =
            ConvShape { images: 19, inputs: 37, outputs: 45, height: 9, width: 7, kernel, stride, padding };
        let (from, to) = (shape.input(), shape.output());
        let map = |name: &str, shape: MapShape| pack(&shape, Precision::Bf16, &normals(name, shape.values()));
        let (input, gradient, added) = (map("input", from), map("gradient", to), map("added", from));
        let (weight, bias) = (normals("weight", shape.weights()), normals("bias", shape.outputs));
        let all = |path: Path| {
            let weights = weight_gradient_at(path, &shape, [&input, &gradient]);
            (
                forward_at(path, &shape, &input, &weight, Some(&bias)),
                input_gradient_at(path, &shape, &weight, &gradient, Some(&added)),
                weights.into_iter().map(f32::to_bits).collect::<Vec<u32>>(),
            )
        };
        // Where the processor has no tiles, the model is alone.
        let first = all(paths[0]);
        assert!(paths.iter().all(|path| all(*path) == first), "{shape:?}");
    }
}
