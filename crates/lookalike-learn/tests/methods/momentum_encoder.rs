//! When the momentum encoder moves, and what of it.

use lookalike_learn::engine::to_host;
use lookalike_learn::input::Column;
use lookalike_learn::method::Method;
use lookalike_learn::step::Step;

use super::{at, batch, encode, moco, reordered, sgd, step};
use crate::common::{COLUMNS, training, vectors};

#[test]
fn the_momentum_encoder_s_batch_norm_runs_in_training_mode_and_its_buffers_are_not_averaged() {
    let mut method = moco();
    let before = method.state();
    // Queries get other statistics than keys; were buffers averaged, the momentum encoder's would move towards them.
    method.before_step(&at(0));
    assert_eq!(method.state()["key.projection.bn1.running_mean"], before["key.projection.bn1.running_mean"]);
    let outputs = encode(&mut method, &batch(0), &at(0));
    let after = method.state();
    assert_ne!(after["key.projection.bn1.running_mean"], before["key.projection.bn1.running_mean"]);
    let own = after["key.projection.bn1.running_mean"].clone();
    let others = Column::new(vectors(vec![5.0; 40], COLUMNS), &[0, 1, 2, 3], 0);
    method.network().project_in_groups(&others, 1, &mut training()).unwrap();
    method.before_step(&at(1));
    assert_eq!(method.state()["key.projection.bn1.running_mean"], own, "following moves no buffer");
    // In training mode a key depends on the images beside it.
    let few = reordered(&batch(0), &[0, 1]);
    let other = encode(&mut method, &few, &at(1));
    assert_ne!(to_host(other.get("key"))[..8], to_host(outputs.get("key"))[..8]);
}

#[test]
fn the_momentum_encoder_moves_once_a_step_however_many_batches_a_step_has() {
    let mut method = moco();
    let mut optimizer = sgd();
    step(&mut method, &mut optimizer, 0);
    let before = method.state();
    method.before_step(&Step { moved: false, ..at(1) });
    assert_eq!(method.state(), before);
    method.before_step(&at(1));
    assert_ne!(method.state(), before);
}
