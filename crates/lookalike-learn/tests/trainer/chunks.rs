//! Gradient caching: a batch that is encoded in chunks teaches what the whole batch teaches.

use std::path::Path;
use std::sync::Arc;

use lookalike_base::arrays::Arrays;
use lookalike_base::progress::Cancellation;
use lookalike_learn::head::{HeadNorm, Projection, ProjectionOptions};
use lookalike_learn::loss::InfoNce;
use lookalike_learn::method::moco::{Dictionary, MocoOptions};
use lookalike_learn::method::{Method, Moco, Network};
use lookalike_learn::module::arrays_of;
use lookalike_learn::negatives::{Contrast, Queue};
use lookalike_learn::train::{OptimizerKind, TrainOptions, Trainer};
use lookalike_sampling::{Coverage, SamplerKind};

use crate::common::{
    COLUMNS, Mlp, NoisyViews, SEED, changed, cpu, options, perceptron, points, relative, sampler, series,
    train, without_batch_norm,
};

const INSTANCES: usize = 40;
const WIDTHS: [usize; 3] = [COLUMNS, 32, 16];

fn source() -> Arc<NoisyViews> {
    Arc::new(NoisyViews(points(INSTANCES, 4, 4).values))
}

/// Batches of 8, so that the last chunk of 3 is smaller than the others.
fn set(run: &Path, chunk: Option<usize>) -> TrainOptions {
    let mut set = options(run, INSTANCES, sampler(SamplerKind::Walk, Coverage::Cover, 8), 9);
    set.optimizer.kind = OptimizerKind::Sgd;
    TrainOptions { chunk, ..set }
}

/// Symmetric MoCo with a queue: some of its outputs get no gradient, and it remembers them.
fn moco() -> Moco {
    let encoder = Mlp::new(&WIDTHS, 0.1, &mut SEED.stream("encoder", 0, 0, 0), &cpu());
    let form = ProjectionOptions { layers: 2, width: 0, dimension: 8, batch_norm: HeadNorm::None };
    let head = Projection::new(16, &form, &mut SEED.stream("projection", 0, 0, 0), &cpu());
    let queue = Queue::new(20, 8, &mut SEED.stream("queue", 0, 0, 0), &cpu());
    let dictionary = Dictionary { queue, exclude_own: true };
    let settings: MocoOptions =
        changed("momentum = 0.9\nsymmetric = true\nbatch_norm_groups = 1\nshuffle = false");
    let network = Network::new(Box::new(encoder), head);
    Moco::new(network, Some(dictionary), Contrast::plain(InfoNce { temperature: 0.2 }), settings)
}

/// The weights that a run ends with, all it keeps beside them, and its losses.
fn trained(method: impl Method + 'static, chunk: Option<usize>) -> (Arrays, Arrays, Vec<f64>) {
    let folder = tempfile::tempdir().unwrap();
    let (mut trainer, ..) = train(method, source(), set(folder.path(), chunk), &Cancellation::new()).unwrap();
    let losses = series(folder.path(), "step", "loss");
    (arrays_of(&mut trainer.method), trainer.method.state(), losses)
}

fn values(arrays: &Arrays) -> Vec<f32> {
    arrays.values().filter_map(|array| array.as_f32()).flatten().copied().collect()
}

fn chunks_change_nothing<M: Method + 'static>(name: &str, make: impl Fn() -> M) {
    let (weights, state, losses) = trained(make(), None);
    let moved = relative(&values(&arrays_of(&mut make())), &values(&weights));
    assert!(moved > 0.01, "{name}: training moves the weights by {moved:e}");
    for chunk in [1, 3, 8] {
        let (again, kept, other) = trained(make(), Some(chunk));
        for (tensor, array) in &again {
            let error = relative(array.as_f32().unwrap(), weights[tensor].as_f32().unwrap());
            assert!(error <= 1e-6, "{name}, {tensor} in chunks of {chunk}: {error:e}");
        }
        if !state.is_empty() {
            let error = relative(&values(&kept), &values(&state));
            assert!(error <= 1e-6, "{name}, what it keeps, in chunks of {chunk}: {error:e}");
        }
        assert!(losses.len() == 9 && other.len() == 9);
        assert!(losses.iter().zip(&other).all(|(one, other)| (one - other).abs() <= 1e-5), "{other:?}");
    }
}

#[test]
fn a_run_in_chunks_ends_with_the_weights_of_one_that_encodes_whole_batches() {
    chunks_change_nothing("simclr", || without_batch_norm(&WIDTHS, 0.1));
    chunks_change_nothing("moco", moco);
}

#[test]
fn a_network_with_batch_norm_is_refused_in_chunks_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let opened = Trainer::open(Box::new(perceptron(0.1)), source(), set(&run, Some(3)));
    let error = opened.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("train.chunk") && error.contains("BatchNorm"), "{error}");
    assert!(!run.exists());
    assert!(Trainer::open(Box::new(perceptron(0.1)), source(), set(&run, None)).is_ok());
}
