//! When the momentum encoder moves, and what of it.

use lookalike_base::Matrix;
use lookalike_data::{ViewBatch, Views};
use lookalike_learn::engine::to_host;
use lookalike_learn::method::{Method, Position};

use super::{batch, moco, position, sgd, step};
use crate::common::{COLUMNS, training};

#[test]
fn the_momentum_encoder_s_batch_norm_runs_in_training_mode_and_its_buffers_are_not_averaged() {
    let mut method = moco();
    let before = method.state();
    // Queries get other statistics than keys; were buffers averaged, the momentum encoder's would move towards them.
    method.before_step(&position(0));
    assert_eq!(method.state()["key.projection.bn1.running_mean"], before["key.projection.bn1.running_mean"]);
    let outputs = method.encode(&batch(0), &mut training());
    let after = method.state();
    assert_ne!(after["key.projection.bn1.running_mean"], before["key.projection.bn1.running_mean"]);
    let own = after["key.projection.bn1.running_mean"].clone();
    method.network.project_in_groups(&Matrix::new(vec![5.0; 40], COLUMNS).unwrap(), 1, &mut training());
    method.before_step(&position(1));
    assert_eq!(method.state()["key.projection.bn1.running_mean"], own, "following moves no buffer");
    // In training mode a key depends on the images beside it.
    let half = match batch(0).views {
        Views::Stacked(both) => Matrix::new(both.rows().values()[..4 * COLUMNS].to_vec(), COLUMNS).unwrap(),
        Views::Shared(_) => unreachable!(),
    };
    let few = ViewBatch { instances: vec![0, 1], views: Views::Stacked(half) };
    let other = method.encode(&few, &mut training());
    assert_ne!(to_host(other.get("key"))[..8], to_host(outputs.get("key"))[..8]);
}

#[test]
fn the_momentum_encoder_moves_once_a_step_however_many_batches_a_step_has() {
    let mut method = moco();
    let mut optimizer = sgd();
    step(&mut method, &mut optimizer, 0);
    let before = method.state();
    method.before_step(&Position { moved: false, ..position(1) });
    assert_eq!(method.state(), before);
    method.before_step(&position(1));
    assert_ne!(method.state(), before);
}
