//! Tiles against the direct sums in f64, on shapes that are and are not taken by themselves.

use proptest::prelude::*;

use super::super::correlate::Operands;
use super::super::layout::StridedMap;
use super::super::tests::{NAMES, difference, normals, operands, results, twins};
use super::super::{Axis, ConvShape, Path, Precision, Weights};
use super::{contract, correlate, is_possible, suits};
use crate::bf16;
use crate::map::{pack, unpack};

/// Output, input gradient and weight gradient by tiles.
fn by_tiles(
    path: Path,
    shape: &ConvShape,
    [input, weight, gradient]: [&[f32]; 3],
    bias: &[f32],
) -> [Vec<f32>; 3] {
    let precision = path.precision();
    let (from, to) = (shape.input(), shape.output());
    let input = pack(&shape.input(), precision, input);
    let gradient = pack(&shape.output(), precision, gradient);
    let sides = [(from.height, to.height), (from.width, to.width)];
    let forwards = sides.map(|(input, output)| Axis::of_output(shape, input, output));
    let weights = |output, channel| Weights { values: weight, output, channel, kernel: 3 };
    let backwards = sides.map(|(input, output)| Axis::of_input_phase(shape, 0, input, output));
    let operands = |map, bias| Operands { map, bias, added: None };
    let sources =
        [(&input, from), (&gradient, to)].map(|(words, shape)| StridedMap::dense(words, shape, precision));
    let forwarded = operands(&input, Some(bias));
    let output = correlate::correlate(path, &forwards, &forwarded, [from, to], &weights(9 * shape.inputs, 9));
    let returned = operands(&gradient, None);
    let input = correlate::correlate(path, &backwards, &returned, [to, from], &weights(9, 9 * shape.inputs));
    let contraction = contract::Call::new(path, &forwards, sources, 64);
    [
        unpack(&shape.output(), precision, &output),
        unpack(&shape.input(), precision, &input),
        contraction.split.run(path, &|task, sums, scratch| contraction.run(task, sums, scratch)),
    ]
}

fn check(shape: &ConvShape, call: impl Fn(Path, [&[f32]; 3], &[f32]) -> [Vec<f32>; 3]) {
    let exact = operands(shape);
    let rounded = exact.each_ref().map(|values| values.iter().copied().map(bf16::round).collect::<Vec<_>>());
    let bias = normals("bias", shape.outputs);
    for (precision, operands) in [(Precision::F32, &exact), (Precision::Bf16, &rounded)] {
        let sizes = operands.each_ref().map(|values| values.iter().map(|v| v.abs()).collect::<Vec<_>>());
        let of_sizes = twins(shape, sizes.each_ref().map(Vec::as_slice), &bias);
        let twins = twins(shape, operands.each_ref().map(Vec::as_slice), &bias);
        for path in Path::all(precision) {
            let results = call(path, exact.each_ref().map(Vec::as_slice), &bias);
            for (((name, result), twin), sizes) in NAMES.iter().zip(results).zip(&twins).zip(&of_sizes) {
                let leaves = if *name == NAMES[2] { Precision::F32 } else { precision };
                let difference = difference(&result, twin, sizes, leaves);
                assert!(difference <= 1e-5, "{name} at {path:?} is off by {difference:e} for {shape:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn tiles_give_what_the_definition_gives(
        (images, inputs, outputs) in (1_usize..20, 1_usize..36, 8_usize..36),
        (height, width, padding) in (4_usize..15, 4_usize..15, 0_usize..5),
    ) {
        let shape = ConvShape { images, inputs, outputs, height, width, kernel: 3, stride: 1, padding };
        check(&shape, |path, operands, bias| by_tiles(path, &shape, operands, bias));
    }
}

#[test]
fn convolutions_of_many_channels_take_tiles() {
    for (images, inputs, outputs, side) in [(3, 32, 40, 12), (18, 16, 48, 4), (2, 140, 130, 7)] {
        let shape = ConvShape {
            images,
            inputs,
            outputs,
            height: side,
            width: side,
            kernel: 3,
            stride: 1,
            padding: 1,
        };
        let axes = [Axis::of_output(&shape, side, side); 2];
        assert!(suits(&axes, [inputs, outputs]));
        check(&shape, |path, operands, bias| results(path, &shape, operands, bias));
    }
}

#[test]
fn what_tiles_cannot_compute_or_hardly_spare_is_computed_directly() {
    let shape = ConvShape {
        images: 1,
        inputs: 64,
        outputs: 64,
        height: 8,
        width: 8,
        kernel: 3,
        stride: 1,
        padding: 1,
    };
    let axes = |shape: &ConvShape| [Axis::of_output(shape, shape.height, shape.output_height()); 2];
    assert!(suits(&axes(&shape), [64, 64]));
    assert!(!suits(&axes(&shape), [3, 64]));
    for other in [ConvShape { stride: 2, ..shape }, ConvShape { kernel: 1, padding: 0, ..shape }] {
        assert!(!is_possible(&axes(&other)));
    }
    assert!(!suits(&axes(&ConvShape { height: 2, width: 2, ..shape }), [64, 64]));
    // A row of tiles would not fit.
    assert!(!suits(&axes(&ConvShape { height: 4096, width: 4096, ..shape }), [64, 64]));
}
