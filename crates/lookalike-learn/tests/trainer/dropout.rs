//! Dropout's masks hang on the step, the instance and the view, and on nothing else.

use lookalike_data::{BatchRequest, BatchSource};
use lookalike_learn::engine::{Tensor, to_host};
use lookalike_learn::input::{Batch, Column};
use lookalike_learn::layer::{self, Dropping};
use lookalike_learn::method::{Method, SimClr};
use lookalike_learn::module::Pass;
use lookalike_learn::step::Step;

use crate::common::{COLUMNS, SEED, SharedPoints, cpu, points, relative, without_batch_norm};

const WIDTH: usize = 64;

fn batch(instances: &[u32]) -> Batch {
    let source = SharedPoints(points(20, 4, 4).values);
    source.batch(&BatchRequest { instances: instances.to_vec(), epoch: 0, step: 0 }).unwrap()
}

fn at(batch: u64) -> Step {
    Step { seed: SEED, batch, ..Step::default() }
}

/// The masks of a column in the layer that `purpose` names, one a row.
fn masks(column: &Column, purpose: &str, step: &Step) -> Vec<Vec<f32>> {
    let ones = Tensor::<2>::ones([column.rows.len(), WIDTH], &cpu());
    let mask = |pass: &mut Pass| {
        layer::dropout(ones, &Dropping { offsets: None, probability: 0.5, purpose: purpose.to_owned() }, pass)
    };
    let mask = to_host(Pass::training(step).reading(column, mask));
    mask.chunks(WIDTH).map(<[f32]>::to_vec).collect()
}

#[test]
fn masks_differ_by_view_instance_layer_and_step_and_stay_in_another_order_of_rows() {
    let (order, moved) = ([3, 9, 4, 17, 0], [17, 0, 3, 9, 4]);
    let [first, second] = [0, 1].map(|view| masks(&batch(&order).columns[view], "layer", &at(0)));
    let column = batch(&order).columns[0].clone();
    let layer = masks(&column, "another layer", &at(0));
    let later = masks(&column, "layer", &at(1));
    for row in 0..order.len() {
        let others = [&second[row], &layer[row], &later[row], &first[(row + 1) % order.len()]];
        assert!(others.iter().all(|other| **other != first[row]), "row {row}");
    }
    for (view, plain) in [first, second].iter().enumerate() {
        let again = masks(&batch(&moved).columns[view], "layer", &at(0));
        // Alone, as in a chunk of its own.
        let part = masks(&batch(&order).part(&[4]).columns[view], "layer", &at(0));
        assert_eq!(part, [plain[2].clone()]);
        for (mask, instance) in again.iter().zip(moved) {
            let row = order.iter().position(|other| *other == instance).unwrap();
            assert_eq!(*mask, plain[row], "view {view} of instance {instance}");
        }
    }
}

/// What a method makes of both views of instances.
fn outputs(method: &mut SimClr, instances: &[u32], pass: &mut Pass) -> [Vec<f32>; 2] {
    let outputs = method.encode(&batch(instances), &at(0), pass).unwrap();
    ["first", "second"].map(|name| to_host(outputs.get(name)))
}

#[test]
fn dropout_makes_two_views_of_one_and_the_same_ones_whatever_the_order_of_the_batch() {
    // So wide that hardly two masks agree in all values that are not 0 anyway.
    let mut method = without_batch_norm(&[COLUMNS, 256, 16], 0.1);
    let (order, moved) = ([3, 9, 4, 17, 0], [17, 0, 3, 9, 4]);
    let views = outputs(&mut method, &order, &mut Pass::training(&at(0)));
    let rows = |view: &[f32]| view.chunks(8).map(<[f32]>::to_vec).collect::<Vec<_>>();
    let [first, second] = views.each_ref().map(|view| rows(view));
    for (first, second) in first.iter().zip(&second) {
        let apart = relative(first, second);
        assert!(apart > 0.01, "the views of an instance have masks of their own: {apart:e}");
    }
    let again = outputs(&mut method, &moved, &mut Pass::training(&at(0)));
    for (plain, again) in [first, second].iter().zip(again.each_ref().map(|view| rows(view))) {
        for (row, instance) in again.iter().zip(moved) {
            let place = order.iter().position(|other| *other == instance).unwrap();
            assert!(relative(row, &plain[place]) < 1e-6, "instance {instance}");
        }
    }
    let [first, second] = outputs(&mut method, &order, &mut Pass::evaluation());
    assert_eq!(first, second, "an evaluation drops nothing out");
}
