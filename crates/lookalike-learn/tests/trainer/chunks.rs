//! Gradient caching: a batch that is encoded in chunks teaches what the whole batch teaches.

use std::path::Path;
use std::sync::Arc;

use lookalike_base::arrays::Arrays;
use lookalike_base::progress::Cancellation;
use lookalike_data::text::TokenLists;
use lookalike_data::{BatchRequest, BatchSource, DataError};
use lookalike_learn::encoder::text::{Body, Family, TextEncoder, Transformer, TransformerConfig};
use lookalike_learn::head::{HeadNorm, Projection, ProjectionOptions};
use lookalike_learn::input::{Batch, Input, Source, TextInput};
use lookalike_learn::loss::InfoNce;
use lookalike_learn::method::moco::{Dictionary, MocoOptions};
use lookalike_learn::method::{Method, Moco, Network, SimClr};
use lookalike_learn::module::arrays_of;
use lookalike_learn::negatives::{Contrast, Queue};
use lookalike_learn::train::{Chunk, OptimizerKind, TrainOptions, Trainer};
use lookalike_sampling::{Coverage, SamplerKind};

use crate::common::{
    COLUMNS, Mlp, NoisyViews, SEED, changed, cpu, options, perceptron, points, relative, sampler, series,
    simclr, train, without_batch_norm,
};

const INSTANCES: usize = 40;
const WIDTHS: [usize; 3] = [COLUMNS, 32, 16];

fn source() -> Arc<NoisyViews> {
    Arc::new(NoisyViews(points(INSTANCES, 4, 4).values))
}

/// Batches of 8, so that the last chunk of 3 is smaller than the others.
fn set(run: &Path, chunk: Option<Chunk>) -> TrainOptions {
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
fn trained(
    method: impl Method + 'static,
    source: Source,
    chunk: Option<Chunk>,
) -> (Arrays, Arrays, Vec<f64>) {
    let folder = tempfile::tempdir().unwrap();
    let (mut trainer, ..) = train(method, source, set(folder.path(), chunk), &Cancellation::new()).unwrap();
    let losses = series(folder.path(), "step", "loss");
    (arrays_of(&mut trainer.method), trainer.method.state(), losses)
}

fn values(arrays: &Arrays) -> Vec<f32> {
    arrays.values().filter_map(|array| array.as_f32()).flatten().copied().collect()
}

fn chunks_change_nothing<M: Method + 'static>(
    name: &str,
    make: impl Fn() -> M,
    source: impl Fn() -> Source,
    chunks: [Chunk; 3],
) {
    let (weights, state, losses) = trained(make(), source(), None);
    let moved = relative(&values(&arrays_of(&mut make())), &values(&weights));
    assert!(moved > 0.01, "{name}: training moves the weights by {moved:e}");
    for chunk in chunks {
        let (again, kept, other) = trained(make(), source(), Some(chunk));
        for (tensor, array) in &again {
            // What a key's bias adds to the scores of a query is the same for all keys: its gradient is rounding alone.
            if tensor.ends_with("self.key.bias") {
                assert!(array.as_f32().unwrap().iter().all(|value| value.abs() < 1e-7), "{name}, {tensor}");
                continue;
            }
            let error = relative(array.as_f32().unwrap(), weights[tensor].as_f32().unwrap());
            assert!(error <= 1e-6, "{name}, {tensor} in chunks of {chunk:?}: {error:e}");
        }
        if !state.is_empty() {
            let error = relative(&values(&kept), &values(&state));
            assert!(error <= 1e-6, "{name}, what it keeps, in chunks of {chunk:?}: {error:e}");
        }
        assert!(losses.len() == 9 && other.len() == 9);
        assert!(losses.iter().zip(&other).all(|(one, other)| (one - other).abs() <= 1e-5), "{other:?}");
    }
}

#[test]
fn a_run_in_chunks_ends_with_the_weights_of_one_that_encodes_whole_batches() {
    let chunks = [1, 3, 8].map(Chunk::Instances);
    chunks_change_nothing("simclr", || without_batch_norm(&WIDTHS, 0.1), || source(), chunks);
    chunks_change_nothing("moco", moco, || source(), chunks);
}

#[test]
fn a_network_with_batch_norm_is_refused_in_chunks_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let opened = Trainer::open(Box::new(perceptron(0.1)), source(), set(&run, Some(Chunk::Instances(3))));
    let error = opened.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("train.chunk") && error.contains("BatchNorm"), "{error}");
    assert!(!run.exists());
    assert!(Trainer::open(Box::new(perceptron(0.1)), source(), set(&run, None)).is_ok());
}

/// Every text twice, of 3 to 21 tokens.
struct Texts;

/// Most tokens of a text, and of both views of it.
const LONGEST: usize = 21;

fn text(instance: u32) -> Vec<u32> {
    let length = if instance == 17 { LONGEST as u32 } else { 3 + instance * 7 % 13 };
    (0..length).map(|place| (instance * 31 + place * place) % 50).collect()
}

impl BatchSource for Texts {
    type Batch = Batch;

    fn batch(&self, request: &BatchRequest) -> Result<Batch, DataError> {
        let lists: TokenLists = request.instances.iter().map(|instance| text(*instance)).collect();
        let input = Input::new(TextInput::from(lists));
        Ok(Batch::of_views(request.instances.clone(), vec![input.clone(), input]))
    }
}

/// A transformer of two layers with dropout.
fn texts() -> SimClr {
    let config = TransformerConfig {
        family: Family::Bert,
        vocabulary: 50,
        positions: 32,
        types: 2,
        width: 24,
        heads: 3,
        layers: 2,
        inner: 40,
        epsilon: 1e-12,
        dropout: 0.1,
        attention_dropout: 0.1,
        padding: 0,
        buckets: 0,
    };
    let transformer = Transformer::new(config, false, Some(&mut SEED.stream("encoder", 0, 0, 0)), &cpu());
    let encoder = TextEncoder::mean_of(Body::Transformer(Box::new(transformer)));
    let form = ProjectionOptions { layers: 1, width: 0, dimension: 8, batch_norm: HeadNorm::None };
    let head = Projection::new(24, &form, &mut SEED.stream("projection", 0, 0, 0), &cpu());
    simclr(Network::new(Box::new(encoder), head), 0.2)
}

#[test]
fn chunks_of_as_many_texts_as_a_budget_of_tokens_holds_teach_what_the_whole_batch_teaches() {
    // The least budget that is possible, one that divides batches of 8 unequally, and one above any batch.
    let chunks = [2 * LONGEST, 75, 10_000].map(Chunk::Tokens);
    chunks_change_nothing("texts", texts, || Arc::new(Texts), chunks);
}

#[test]
fn a_budget_below_one_text_is_refused_before_the_first_step() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let opened = Trainer::open(Box::new(texts()), Arc::new(Texts), set(&run, Some(Chunk::Tokens(41))));
    let error = opened.map(|_| ()).unwrap_err().to_string();
    for part in ["train.chunk_tokens: is 41", "instance 17", "42 tokens", "at least 42"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!run.exists());
}
