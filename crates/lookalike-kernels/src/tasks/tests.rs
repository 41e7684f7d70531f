//! Stages of a step have tasks enough for 64 threads, or tasks of which half would not be worth a thread. Nothing here
//! measures time: what is counted are tasks.

use super::*;
use crate::batch_norm::maps::{self, MapNormShape};
use crate::columns;
use crate::conv2d::arithmetic::Path;
use crate::conv2d::{self, ConvShape};
use crate::map::{self, Precision};
use crate::product;

const LAYERS: &str = include_str!("../../../../benchmarks/convolution/layers.tsv");
const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

fn layers() -> impl Iterator<Item = ConvShape> {
    LAYERS.lines().skip(1).map(|line| {
        let sizes: Vec<usize> = line.split('\t').skip(1).map(|size| size.parse().unwrap()).collect();
        let [images, inputs, outputs, side, kernel, stride, _] = sizes[..] else {
            unreachable!("seven sizes")
        };
        let padding = kernel / 2;
        ConvShape { images, inputs, outputs, height: side, width: side, kernel, stride, padding }
    })
}

/// Panels do not divide evenly, and the last tasks may be missing.
fn enough(tasks: usize) -> usize {
    tasks * 7 / 8
}

/// Products of a task that would be worth splitting, although all that is packed for it would be packed twice.
const PRODUCTS: usize = 48 << 20;

#[test]
fn convolutions_have_tasks_for_64_threads() {
    for shape in layers() {
        let to = shape.output();
        let products = to.values() * shape.inputs * shape.kernel * shape.kernel;
        for path in PRECISIONS.into_iter().flat_map(Path::all) {
            let of = conv2d::count_tasks(path, &shape, MANY);
            for (stage, [tasks, finest]) in
                ["output", "input gradient", "weight gradient"].into_iter().zip(of)
            {
                println!("{shape:?} {path:?} {stage}: {tasks} of {finest}, {} products", products / tasks);
                let what = format!("{tasks} of {finest} tasks of {stage} of {shape:?} at {path:?}");
                assert!(tasks >= enough(MANY.min(finest)), "{what}");
                assert!(tasks >= enough(MANY) || products / tasks <= PRODUCTS, "{what}");
            }
        }
    }
}

#[test]
fn normalisation_and_pooling_of_maps_have_tasks_for_64_threads() {
    for shape in layers() {
        for (map, precision) in PRECISIONS.into_iter().map(|precision| (shape.output(), precision)) {
            let [tasks, lines] = MapNormShape { map, groups: 1, precision }.count_tasks();
            println!("{map:?} {precision:?}: {tasks} of {lines} lines");
            assert!(tasks >= MANY || lines < 2 * maps::LEAST, "{tasks} of {lines} lines of {map:?}");
            let [tasks, lines] = map::pool::count_tasks(&map, precision);
            let least = map::pool::LEAST.max(map.width);
            assert!(tasks >= MANY || lines < 2 * least, "{tasks} of {lines} pixels of {map:?}");
        }
    }
}

#[test]
fn layers_of_texts_have_tasks_for_64_threads() {
    const ROWS: usize = 2000;
    for columns in [384, 768, 1536, 3072] {
        let rows = columns::task_rows(ROWS, columns);
        let tasks = ROWS.div_ceil(rows);
        println!("{columns} columns: {tasks} of {rows} rows");
        assert!(tasks >= MANY || rows * columns < 2 * columns::LEAST, "{tasks} of {rows} rows of {columns}");
    }
    for [inputs, outputs] in
        [[384, 384], [384, 1152], [384, 1536], [1536, 384], [768, 768], [768, 3072], [3072, 768]]
    {
        // Output, and the gradients of inputs and weights.
        for sizes in [[ROWS, outputs, inputs], [ROWS, inputs, outputs], [outputs, inputs, ROWS]] {
            for path in PRECISIONS.map(Path::detect) {
                let words = sizes[2] / path.precision().channels_per_word();
                let [tasks, sums] = product::count_tasks(path, [sizes[0], sizes[1], words], 64);
                println!("{sizes:?} {path:?}: {tasks} of {sums} sums");
                assert!(
                    tasks >= MANY || sums <= product::LEAST,
                    "{tasks} of {sums} sums of {sizes:?}: {path:?}"
                );
            }
        }
    }
}

#[test]
fn a_graph_has_tasks_for_64_threads() {
    for amount in [64, 512, 4096] {
        let tiles = crate::Circulant::random(105_000, amount, |below| below / 2).tiles();
        println!("{amount} candidates: {tiles} tiles");
        assert!(tiles / crate::blocks::TOGETHER >= MANY);
    }
}
