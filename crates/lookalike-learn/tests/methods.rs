//! Every method beside PyTorch over 20 steps (`fixtures/make_contrast.py` made the numbers), and claim by claim.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{
    COLUMNS, NoisyViews, SEED, Watched, checkpoints, copy, cpu, fill, fixture, newest_bytes, numbers,
    options, points, relative, sampler, train, training, values,
};
use lookalike_base::Matrix;
use lookalike_base::arrays::{Array, Arrays};
use lookalike_base::progress::Cancellation;
use lookalike_base::tensors::{self, TensorFile};
use lookalike_data::{ViewBatch, Views};
use lookalike_learn::encoder::mlp::Mlp;
use lookalike_learn::encoder::{Encoder, Inputs};
use lookalike_learn::engine::{Tensor, from_host, to_host};
use lookalike_learn::head::{Head, HeadNorm, Projection, ProjectionOptions};
use lookalike_learn::loss::{Loss, normalize};
use lookalike_learn::method::direct_clr::direct_clr;
use lookalike_learn::method::instance_discrimination::{Noise, Objective};
use lookalike_learn::method::moco::MocoOptions;
use lookalike_learn::method::{
    EndToEnd, InstanceDiscrimination, Method, Moco, MocoV3, Network, Position, SimClr,
};
use lookalike_learn::module::{Module, Pass, Visitor, arrays_of};
use lookalike_learn::negatives::{Contrast, MemoryBank, MixingOptions, NOBODY, Queue};
use lookalike_learn::train::momentum_encoder::{Momentum, MomentumShape};
use lookalike_learn::train::optimizer::{NamedGradients, accumulate};
use lookalike_learn::train::{Optimizer, OptimizerOptions, Outcome};
use lookalike_sampling::{Coverage, Kind};

const BATCH: u32 = 6;
const INSTANCES: u32 = 16;
const QUEUE: usize = 20;
const STEPS: u64 = 20;
const LOSS: Loss = Loss::InfoNce { temperature: 0.2 };

fn contrast() -> Contrast {
    Contrast::plain(LOSS)
}

fn encoder() -> Mlp {
    Mlp::new(&[COLUMNS, 32, 16], 0.0, &mut SEED.stream("encoder", 0, 0, 0), &cpu())
}

fn head(inputs: usize, width: usize) -> Projection {
    let options = ProjectionOptions { layers: 2, width, dimension: 8, batch_norm: HeadNorm::Hidden };
    Projection::new(inputs, &options, &mut SEED.stream("projection", 0, 0, 0), &cpu())
}

fn network() -> Network<Mlp> {
    Network { encoder: encoder(), head: Head::Projection(head(16, 16)) }
}

fn queue() -> Queue {
    let mut queue = Queue::new(QUEUE, 8, &mut SEED.stream("queue", 0, 0, 0), &cpu());
    let keys = to_host(normalize(from_host(numbers(QUEUE * 8, 2000), [QUEUE, 8], &cpu())));
    let mut arrays = queue.arrays();
    arrays.insert("queue.keys".to_owned(), Array::f32([QUEUE, 8], keys));
    queue.restore(&arrays, &cpu()).unwrap();
    queue
}

fn moco_options() -> MocoOptions {
    let momentum = Momentum { base: 0.9, shape: MomentumShape::Constant };
    MocoOptions { momentum, symmetric: true, groups: 2, shuffle: false, exclude_own: true }
}

fn moco() -> Moco<Mlp> {
    Moco::new(network(), Some(queue()), contrast(), moco_options())
}

fn bank(size: usize) -> MemoryBank {
    let mut bank = MemoryBank::new([size, 8], 0.5, &mut SEED.stream("bank", 0, 0, 0), &cpu());
    let vectors = to_host(normalize(from_host(numbers(size * 8, 2001), [size, 8], &cpu())));
    bank.restore(&Arrays::from([("bank.vectors".to_owned(), Array::f32([size, 8], vectors))]), &cpu())
        .unwrap();
    bank
}

fn noise(drawn: usize, labels: Option<Arc<Vec<u32>>>) -> Objective {
    Objective::Noise(Noise { temperature: 0.2, drawn, labels })
}

/// The batch of step `step`: two views of six instances, as the script draws them.
fn batch(step: u64) -> ViewBatch<Matrix> {
    let instances = (0..BATCH).map(|index| (BATCH * step as u32 + index) % INSTANCES).collect();
    let key = 1000 + 2 * step as u32;
    let view = |key| numbers(BATCH as usize * COLUMNS, key);
    let values = [view(key), view(key + 1)].concat();
    ViewBatch { instances, views: Views::Stacked(Matrix::new(values, COLUMNS).unwrap()) }
}

fn position(step: u64) -> Position {
    Position { seed: SEED, batch: step, step, steps: STEPS, moved: true, instruments: false }
}

/// One step by SGD, as the trainer makes it; returns the loss.
fn step<M: Method<Batch = ViewBatch<Matrix>>>(method: &mut M, optimizer: &mut Optimizer, step: u64) -> f32 {
    method.before_step(&position(step));
    let outputs = method.encode(&batch(step), &mut training());
    let loss = method.loss(&outputs).total().unwrap();
    let mut gradients = NamedGradients::new();
    accumulate(method, loss.clone().backward(), &mut gradients);
    optimizer.step(method, gradients, 0.02);
    method.after_step(&outputs);
    loss.inner().into_scalar()
}

fn sgd() -> Optimizer {
    Optimizer::new(OptimizerOptions { momentum: 0.9, weight_decay: 0.0, ..OptimizerOptions::default() })
}

fn is_close(what: &str, ours: &[f32], theirs: &[f32]) {
    let error = relative(ours, theirs);
    assert!(error <= 1e-5, "{what}: {error:e}");
}

/// Twenty steps from the weights that the script starts from: losses and weights are PyTorch's.
fn follow_pytorch<M: Method<Batch = ViewBatch<Matrix>>>(name: &str, method: &mut M) -> TensorFile {
    let file = tensors::read(fixture("methods.safetensors")).unwrap();
    let mut optimizer = sgd();
    for index in 0..STEPS {
        let loss = step(method, &mut optimizer, index);
        is_close(&format!("{name}, loss {index}"), &[loss], values(&file, &format!("{name}.loss.{index}")));
    }
    for (tensor, array) in arrays_of(method) {
        let theirs = values(&file, &format!("{name}.model.{tensor}"));
        is_close(&format!("{name}, {tensor}"), array.as_f32().unwrap(), theirs);
    }
    file
}

fn keys_are_pytorchs(name: &str, state: &Arrays, file: &TensorFile) {
    let keys: Vec<_> = state.iter().filter(|(tensor, _)| tensor.starts_with("key.")).collect();
    assert_eq!(keys.len(), 11);
    for (tensor, array) in keys {
        is_close(
            &format!("{name}, {tensor}"),
            array.as_f32().unwrap(),
            values(file, &format!("{name}.{tensor}")),
        );
    }
}

#[test]
fn moco_s_queue_momentum_encoder_and_weights_are_pytorchs_after_20_steps() {
    let mut method = moco();
    fill(&mut method);
    // The momentum encoder begins as a copy of the filled network.
    method = Moco::new(method.network, Some(queue()), contrast(), moco_options());
    let file = follow_pytorch("moco", &mut method);
    keys_are_pytorchs("moco", &method.state(), &file);
    let queue = method.queue().unwrap();
    is_close("queue", &to_host(queue.keys()), values(&file, "moco.queue"));
    let owners = file.tensors["moco.owners"].as_i64().unwrap();
    assert!(queue.instances().iter().zip(owners).all(|(ours, theirs)| i64::from(*ours) == *theirs));
    assert_eq!(file.tensors["moco.pointer"].as_i64().unwrap(), [queue.next() as i64]);
    assert!(!queue.instances().contains(&NOBODY));
}

#[test]
fn moco_v3_is_pytorchs_after_20_steps() {
    let momentum = Momentum { base: 0.9, shape: MomentumShape::Cosine };
    let mut method = MocoV3::new(network(), head(8, 12), momentum, contrast());
    fill(&mut method);
    let mut filled = MocoV3::new(method.network.clone(), head(8, 12), momentum, contrast());
    fill(&mut filled);
    let file = follow_pytorch("moco-v3", &mut filled);
    keys_are_pytorchs("moco-v3", &filled.state(), &file);
}

#[test]
fn two_encoders_trained_end_to_end_are_pytorchs_after_20_steps() {
    let mut method = EndToEnd::new(network(), network(), contrast());
    fill(&mut method);
    follow_pytorch("end-to-end", &mut method);
}

#[test]
fn the_memory_bank_is_pytorchs_after_20_steps() {
    let bank = bank(INSTANCES as usize);
    let mut method = InstanceDiscrimination::new(network(), bank, Objective::Softmax(contrast()));
    fill(&mut method);
    let file = follow_pytorch("instance-discrimination", &mut method);
    is_close("bank", &to_host(method.bank().vectors()), values(&file, "instance-discrimination.bank"));
}

#[test]
fn direct_clr_is_pytorchs_after_20_steps() {
    let mut method = direct_clr(encoder(), 6, contrast()).unwrap();
    fill(&mut method);
    follow_pytorch("direct-clr", &mut method);
    assert!(direct_clr(encoder(), 17, contrast()).unwrap_err().to_string().contains("at most 16"));
}

#[test]
fn a_key_is_never_among_its_own_negatives_and_is_enqueued_after_both_losses() {
    for symmetric in [false, true] {
        let settings = MocoOptions { symmetric, exclude_own: false, ..moco_options() };
        let mut method = Moco::new(network(), Some(queue()), contrast(), settings);
        let before = to_host(method.queue().unwrap().keys());
        method.before_step(&position(0));
        let outputs = method.encode(&batch(0), &mut training());
        let loss = method.loss(&outputs).total().unwrap();
        assert_eq!(to_host(method.queue().unwrap().keys()), before, "both losses see the old queue");
        method.after_step(&outputs);
        let queue = method.queue().unwrap();
        let names: &[&str] = if symmetric { &["key", "key of first"] } else { &["key"] };
        let new: Vec<f32> = names.iter().flat_map(|name| to_host(outputs.get(name))).collect();
        let keys = to_host(queue.keys());
        assert_eq!(keys[..new.len()], new, "then the keys replace the oldest ones");
        assert_eq!(keys[new.len()..], before[new.len()..]);
        // The loss by hand, from the old queue alone: the key is nowhere among the negatives.
        let mut by_hand = 0.0;
        let pairs = [("query", "key"), ("query of second", "key of first")];
        for (query, key) in &pairs[..names.len()] {
            let [query, key] = [query, key].map(|name| to_host(outputs.get(name)));
            for (query, key) in query.chunks(8).zip(key.chunks(8)) {
                let exp = |other: &[f32]| {
                    let product: f32 = query.iter().zip(other).map(|(a, b)| a * b).sum();
                    (f64::from(product) / 0.2).exp()
                };
                let negatives: f64 = before.chunks(8).map(exp).sum();
                by_hand -= (exp(key) / (exp(key) + negatives)).ln() / f64::from(BATCH);
            }
        }
        let found = f64::from(loss.into_scalar::<f32>());
        assert!((found - by_hand).abs() < 1e-5, "{found} {by_hand}");
    }
}

#[test]
fn an_instance_s_older_keys_can_be_masked_by_id() {
    let losses = [false, true].map(|exclude_own| {
        let settings = MocoOptions { symmetric: false, exclude_own, ..moco_options() };
        let mut method = Moco::new(network(), Some(queue()), contrast(), settings);
        method.before_step(&position(0));
        let outputs = method.encode(&batch(0), &mut training());
        // The very keys of this batch stand in the queue, as if from an epoch before.
        method.after_step(&outputs);
        method.loss(&outputs).total().unwrap().into_scalar::<f32>()
    });
    assert!(losses[0] > losses[1] + 0.01, "{losses:?}");
}

#[test]
fn mixtures_never_enter_the_queue_and_each_direction_draws_its_own() {
    let mixing = MixingOptions { hardest: 5, between: 7, with_query: 3, warm_up: 0.0 };
    let mut method =
        Moco::new(network(), Some(queue()), Contrast { mixing: Some(mixing), ..contrast() }, moco_options());
    let mut optimizer = sgd();
    for index in 0..4 {
        method.before_step(&position(index));
        let outputs = method.encode(&batch(index), &mut training());
        let loss = method.loss(&outputs).total().unwrap();
        let mut gradients = NamedGradients::new();
        accumulate(&mut method, loss.backward(), &mut gradients);
        optimizer.step(&mut method, gradients, 0.05);
        method.after_step(&outputs);
        let keys = [to_host(outputs.get("key")), to_host(outputs.get("key of first"))].concat();
        let queue = method.queue().unwrap();
        let held = to_host(queue.keys());
        // The newest 12 keys are those of the batch, in their order, whatever was mixed.
        for (index, key) in keys.chunks(8).enumerate() {
            let place = (queue.next() + QUEUE - 12 + index) % QUEUE;
            assert_eq!(&held[8 * place..8 * place + 8], key);
        }
    }
}

#[test]
fn shuffling_is_undone_and_each_key_s_group_mates_differ_from_its_query_s() {
    let mut method = network();
    let input = match batch(0).views {
        Views::Stacked(both) => both,
        Views::Shared(_) => unreachable!(),
    };
    // Twelve images in two groups. The twin: each image of a group with the statistics of that group.
    let stream = || SEED.stream("shuffle", 0, 0, 0);
    let order = stream().permutation(12);
    let shuffled = to_host(method.clone().project_shuffled(&input, 2, &mut stream(), &mut training()));
    let mut twin = vec![0.0; shuffled.len()];
    for group in order.chunks(6) {
        let rows: Vec<f32> = group.iter().flat_map(|row| input.row(*row as usize).to_vec()).collect();
        let [_, output] = method.clone().embed(&Matrix::new(rows, COLUMNS).unwrap(), &mut training());
        for (row, values) in group.iter().zip(to_host(output).chunks(8)) {
            twin[8 * *row as usize..][..8].copy_from_slice(values);
        }
    }
    is_close("shuffled", &shuffled, &twin);
    let mates = |row: u32, order: &[u32]| {
        let group = order.chunks(6).find(|group| group.contains(&row)).unwrap();
        let mut group = group.to_vec();
        group.sort_unstable();
        group
    };
    let plain: Vec<u32> = (0..12).collect();
    assert!((0..12).all(|row| mates(row, &order) != mates(row, &plain)));
    // Either without the other changes nothing: all images share one BatchNorm, or the groups are the query's.
    let whole = to_host(method.clone().project_in_groups(&input, 1, &mut training()));
    let permuted = to_host(method.clone().project_shuffled(&input, 1, &mut stream(), &mut training()));
    is_close("a permutation alone", &permuted, &whole);
    let grouped = to_host(method.project_in_groups(&input, 2, &mut training()));
    assert!(relative(&grouped, &whole) > 0.05 && relative(&shuffled, &grouped) > 0.05);
}

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

#[test]
fn a_bank_entry_moves_only_where_its_instance_was_seen() {
    let bank = bank(INSTANCES as usize);
    let mut method = InstanceDiscrimination::new(network(), bank, noise(9, None));
    let before = to_host(method.bank().vectors());
    step(&mut method, &mut sgd(), 0);
    let after = to_host(method.bank().vectors());
    let moved: Vec<usize> = (0..16).filter(|row| before[8 * row..][..8] != after[8 * row..][..8]).collect();
    assert_eq!(moved, [0, 1, 2, 3, 4, 5]);
    let length = |row: &[f32]| row.iter().map(|value| value * value).sum::<f32>().sqrt();
    assert!(after.chunks(8).all(|row| (length(row) - 1.0).abs() < 1e-5));
}

#[test]
fn a_bank_of_another_data_set_is_refused_at_resume() {
    let method = |size| InstanceDiscrimination::new(network(), bank(size), Objective::Softmax(contrast()));
    let state = method(16).state();
    let error = method(17).restore(&state, &cpu()).unwrap_err().to_string();
    assert!(error.contains("another data set") && error.contains("[16, 8]"), "{error}");
    let error = moco().restore(&state, &cpu()).unwrap_err().to_string();
    assert!(error.contains("missing"), "{error}");
}

/// A run killed within an epoch goes on to the same bits: weights, optimiser, sampler, and all that the method keeps.
fn survives_being_killed<M: Method<Batch = ViewBatch<Matrix>>>(name: &str, make: impl Fn() -> M) {
    let folder = tempfile::tempdir().unwrap();
    let [run, killed] = ["run", "killed"].map(|kind| folder.path().join(kind));
    let source = Arc::new(NoisyViews(points(50, 5, 2).values));
    let set = |run: &Path| options(run, 50, sampler(Kind::Walk, Coverage::Cover, 8), 21);
    let (from, to) = (run.clone(), killed.clone());
    let watched = Watched::new(make(), move |batch| {
        if batch == 13 {
            copy(&from, &to);
        }
    });
    train(watched, source.clone(), set(&run), &Cancellation::new()).unwrap();
    assert_eq!(checkpoints(&killed).len(), 2);
    let (_, outcome, warnings) = train(make(), source, set(&killed), &Cancellation::new()).unwrap();
    assert_eq!((outcome, warnings), (Outcome::Finished, Vec::new()), "{name}");
    assert!(newest_bytes(&killed) == newest_bytes(&run), "{name}: other bits");
}

#[test]
fn queue_and_pointer_bank_and_momentum_encoder_survive_a_resume_bit_for_bit() {
    let mixing = MixingOptions { hardest: 5, between: 7, with_query: 3, warm_up: 0.2 };
    let mixed = || Contrast { mixing: Some(mixing), ..contrast() };
    survives_being_killed("moco", || {
        let settings = MocoOptions { shuffle: true, ..moco_options() };
        Moco::new(network(), Some(queue()), mixed(), settings)
    });
    survives_being_killed("moco without a queue", || Moco::new(network(), None, mixed(), moco_options()));
    let momentum = Momentum { base: 0.9, shape: MomentumShape::Cosine };
    survives_being_killed("moco v3", || MocoV3::new(network(), head(8, 12), momentum, contrast()));
    survives_being_killed("end to end", || EndToEnd::new(network(), network(), mixed()));
    survives_being_killed("softmax over a bank", || {
        InstanceDiscrimination::new(network(), bank(50), Objective::Softmax(mixed()))
    });
    survives_being_killed("noise contrast", || {
        InstanceDiscrimination::new(network(), bank(50), noise(16, None))
    });
    survives_being_killed("direct clr", || direct_clr(encoder(), 6, contrast()).unwrap());
}

#[test]
fn evaluation_of_a_queue_s_method_touches_neither_queue_nor_momentum_encoder() {
    let mut method = moco();
    let before = (arrays_of(&mut method), method.state());
    let input = Matrix::new(numbers(3 * COLUMNS, 5), COLUMNS).unwrap();
    method.network.embed(&input, &mut Pass::evaluation());
    assert_eq!((arrays_of(&mut method), method.state()), before);
}

/// SimCLR is what it was: the same loss by the shared path.
#[test]
fn simclr_s_loss_is_nt_xent() {
    let mut method = SimClr::new(encoder(), head(16, 16), 0.2);
    let outputs = method.encode(&batch(0), &mut training());
    let [first, second] = ["first", "second"].map(|name| outputs.get(name));
    let expected: f32 = lookalike_learn::loss::nt_xent::nt_xent(first, second, 0.2).into_scalar();
    let found: f32 = method.loss(&outputs).total().unwrap().into_scalar();
    assert!((found - expected).abs() < 1e-6, "{found} {expected}");
}

/// An encoder that counts how often it is asked.
#[derive(Clone)]
struct Counting {
    encoder: Mlp,
    calls: Arc<AtomicUsize>,
}

impl Module for Counting {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.encoder.visit(visitor);
    }
}

impl Encoder for Counting {
    type Input = Matrix;

    fn forward(&mut self, input: &Matrix, pass: &mut Pass) -> Tensor<2> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.encoder.forward(input, pass)
    }

    fn dimension(&self) -> usize {
        self.encoder.dimension()
    }
}

#[test]
fn all_groups_of_a_batch_go_through_an_encoder_in_one_pass_and_move_its_running_statistics_once() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counting = Network {
        encoder: Counting { encoder: encoder(), calls: calls.clone() },
        head: Head::Projection(head(16, 16)),
    };
    let settings = MocoOptions { symmetric: false, shuffle: true, groups: 3, ..moco_options() };
    let mut method = Moco::new(counting, Some(queue()), contrast(), settings);
    method.before_step(&position(0));
    method.encode(&batch(0), &mut training());
    assert_eq!(calls.load(Ordering::Relaxed), 2, "the queries and the keys");

    // Twelve inputs in three groups: the running statistics are the mean of those that each group alone would leave.
    let Views::Stacked(input) = batch(0).views else { unreachable!() };
    let mut together = network();
    together.project_in_groups(&input, 3, &mut training());
    let mut mean = vec![0.0; 16];
    for rows in [0..4_u32, 4..8, 8..12] {
        let mut alone = network();
        alone.embed(&input.select(&rows.collect::<Vec<u32>>()), &mut training());
        let array = &arrays_of(&mut alone)["projection.bn1.running_var"];
        mean.iter_mut().zip(array.as_f32().unwrap()).for_each(|(mean, value)| *mean += value / 3.0);
    }
    let array = &arrays_of(&mut together)["projection.bn1.running_var"];
    is_close("running variance", array.as_f32().unwrap(), &mean);

    // In evaluation groups mean nothing.
    let by_running =
        |groups| to_host(together.clone().project_in_groups(&input, groups, &mut Pass::evaluation()));
    assert_eq!(by_running(3), by_running(1));
}

#[test]
fn noise_contrast_shows_the_same_instruments_as_other_losses_and_so_can_be_seen_to_collapse() {
    // Instances 0 to 15 in two classes; nine entries of sixteen drawn for each query.
    let labels = Arc::new((0..INSTANCES).map(|instance| instance % 2).collect::<Vec<u32>>());
    let mut method = InstanceDiscrimination::new(network(), bank(16), noise(9, Some(labels.clone())));
    method.before_step(&Position { instruments: true, ..position(0) });
    let outputs = method.encode(&batch(0), &mut training());
    let figures = method.loss(&outputs).figures;
    let number = |name: &str| figures.get(name).and_then(serde_json::Value::as_f64).unwrap();
    // By hand, from the entries that the method's stream draws.
    let bank = to_host(method.bank().vectors());
    let query = to_host(outputs.get("query"));
    let dot =
        |own: usize, entry: usize| -> f32 { (0..8).map(|i| query[8 * own + i] * bank[8 * entry + i]).sum() };
    let (mut negatives, mut same, mut nearest) = (0, 0, 0);
    for own in 0..6_u32 {
        let mut stream = SEED.stream("noise", 0, 0, u64::from(own));
        let drawn: Vec<u32> = (0..9).map(|_| stream.below(16)).filter(|entry| *entry != own).collect();
        negatives += drawn.len();
        same += drawn.iter().filter(|entry| **entry % 2 == own % 2).count();
        let hardest = drawn.iter().map(|entry| dot(own as usize, *entry as usize)).fold(f32::MIN, f32::max);
        nearest += usize::from(dot(own as usize, own as usize) > hardest);
    }
    assert!((number("negatives") - negatives as f64 / 6.0).abs() < 1e-9);
    assert!((number("false_negatives") - same as f64 / negatives as f64).abs() < 1e-9);
    assert!((number("proxy_accuracy") - nearest as f64 / 6.0).abs() < 1e-9);
    for name in
        ["alignment", "uniformity", "deviation", "effective_rank", "similarity_by_rank", "log_normalizer"]
    {
        assert!(figures.contains_key(name), "{name} is not among {:?}", figures.keys());
    }
    method.before_step(&position(0));
    assert!(method.loss(&outputs).figures.is_empty(), "nobody asked");
}
