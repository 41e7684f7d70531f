//! Encoders, losses and methods for graphs beside PyTorch's dense arithmetic (`fixtures/make_graphs.py` made the numbers), and
//! claim by claim.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

mod common;

use std::sync::Arc;

use common::{SEED, cpu, fill, fixture, numbers, relative, training, values};
use lookalike_base::arrays::Arrays;
use lookalike_base::tensors::{self, TensorFile};
use lookalike_data::graph::{GraphBatch, Variant};
use lookalike_kernels::sparse::Csr;
use lookalike_learn::encoder::gcn::GcnOptions;
use lookalike_learn::encoder::gin::{Gin, GinOptions};
use lookalike_learn::encoder::{Encoder, Pooling};
use lookalike_learn::engine::{Tensor, from_host, to_host};
use lookalike_learn::input::{Batch, Input, NodeInput};
use lookalike_learn::loss::jensen_shannon::local_global;
use lookalike_learn::loss::{Decoupled, InfoNce};
use lookalike_learn::method::graphcl::{GraphCl, published_head};
use lookalike_learn::method::mvgrl::{Mvgrl, MvgrlObjective};
use lookalike_learn::method::{Embedder, Method, MvgrlNodes, Network, Outputs};
use lookalike_learn::module::{Pass, arrays_of};
use lookalike_learn::negatives::{Contrast, Unobserved};
use lookalike_learn::step::Step;
use lookalike_learn::train::optimizer::{NamedGradients, accumulate};

const FEATURES: usize = 5;
const WIDTH: usize = 8;
const TEMPERATURE: f32 = 0.5;
const FIRST: [usize; 5] = [5, 3, 6, 4, 7];
const SECOND: [usize; 5] = [4, 3, 0, 4, 5];

fn offsets(sizes: &[usize]) -> Vec<usize> {
    let ends = sizes.iter().scan(0, |sum, size| {
        *sum += size;
        Some(*sum)
    });
    [0].into_iter().chain(ends).collect()
}

/// As `batch` in the script.
fn batch(sizes: &[usize], key: u32) -> GraphBatch {
    let offsets = offsets(sizes);
    let mut rows = Vec::new();
    for (graph, size) in sizes.iter().enumerate() {
        let entry = |i: usize, j: usize| {
            i.abs_diff(j) == 1
                || (i == j && graph.is_multiple_of(2))
                || (3 * i + 5 * j + size).is_multiple_of(4)
        };
        for i in 0..*size {
            let row = (0..*size).filter(|j| entry(i, *j));
            rows.push(row.map(|j| ((offsets[graph] + j) as u32, 1.0)).collect::<Vec<_>>());
        }
    }
    let nodes = offsets[sizes.len()];
    let edges = Csr::from_rows(rows, nodes).unwrap().without_values();
    GraphBatch { edges, offsets, features: numbers(nodes * FEATURES, key), columns: FEATURES }
}

/// As `valued` in the script.
fn valued(edges: &Csr, key: u32) -> Csr {
    edges.clone().with_values(numbers(edges.entries(), key)).unwrap()
}

fn numbers_of_pytorch() -> TensorFile {
    tensors::read(fixture("graphs.safetensors")).unwrap()
}

fn is_close(what: &str, ours: &[f32], theirs: &[f32]) {
    let error = relative(ours, theirs);
    assert!(error <= 1e-5, "{what}: {error:e}");
}

fn gin(read_out: Pooling) -> Gin {
    let options = GinOptions { width: WIDTH, read_out, ..GinOptions::default() };
    Gin::new(FEATURES, &options, &mut SEED.stream("encoder", 0, 0, 0), &cpu())
}

/// What a network makes of graphs, one after another.
fn vectors(gin: &mut Gin, graphs: &Input, pass: &mut Pass) -> Vec<f32> {
    to_host(gin.forward(graphs, pass).unwrap().vector)
}

fn method(variant: Variant) -> GraphCl {
    let encoder = gin(Pooling::Sum);
    let head = published_head(encoder.dimension(), &mut SEED.stream("projection", 0, 0, 0), &cpu());
    let contrast = match variant {
        Variant::Original => Contrast::plain(Decoupled { temperature: TEMPERATURE }),
        Variant::Paper => Contrast::plain(InfoNce { temperature: TEMPERATURE }),
    };
    GraphCl::new(Network::new(Box::new(encoder), head), contrast, variant)
}

fn views() -> Batch {
    let views = [batch(&FIRST, 200), batch(&SECOND, 201)];
    Batch::of_views(vec![0, 1, 2, 3, 4], views.map(Input::new).into())
}

/// The outputs of a step in training mode and their loss.
fn outputs_and_loss(method: &mut dyn Method, batch: &Batch) -> (Outputs, Tensor<1>) {
    let step = Step::default();
    let outputs = method.encode(batch, &step, &mut training()).unwrap();
    let loss = method.loss(&outputs, &step, &mut Unobserved).unwrap().total().unwrap();
    (outputs, loss)
}

/// Loss and gradients are those that the script computed.
fn follows_pytorch(name: &str, method: &mut dyn Method, batch: &Batch) -> usize {
    let file = numbers_of_pytorch();
    fill(method);
    let (_, loss) = outputs_and_loss(method, batch);
    let value: f32 = loss.clone().inner().into_scalar();
    is_close(&format!("{name}, loss"), &[value], values(&file, &format!("{name}.loss")));
    let mut gradients = NamedGradients::new();
    accumulate(method, loss.backward(), &mut gradients);
    let theirs = file.tensors.keys().filter(|key| key.starts_with(&format!("{name}.gradient.")));
    assert_eq!(theirs.count(), gradients.len(), "{name}: as many gradients");
    let count = gradients.len();
    for (tensor, gradient) in gradients {
        let theirs = values(&file, &format!("{name}.gradient.{tensor}"));
        let ours = to_host(gradient);
        // What BatchNorm makes of a bias before it has no gradient but rounding.
        if theirs.iter().all(|value| value.abs() < 1e-9) {
            assert!(ours.iter().all(|value| value.abs() < 1e-6), "{name}, {tensor}");
        } else {
            is_close(&format!("{name}, {tensor}"), &ours, theirs);
        }
    }
    count
}

#[test]
fn gin_gives_pytorch_s_graphs_by_every_read_out_and_zeros_for_a_graph_without_nodes() {
    let file = numbers_of_pytorch();
    for (name, read_out) in [("sum", Pooling::Sum), ("mean", Pooling::Mean), ("max", Pooling::Max)] {
        let mut gin = gin(read_out);
        fill(&mut gin);
        let training = vectors(&mut gin, &Input::new(batch(&FIRST, 100)), &mut training());
        is_close(name, &training, values(&file, &format!("gin.{name}")));
        let evaluation = vectors(&mut gin, &Input::new(batch(&SECOND, 101)), &mut Pass::evaluation());
        is_close(name, &evaluation, values(&file, &format!("gin.{name}.evaluation")));
        assert!(evaluation.chunks(3 * WIDTH).nth(2).unwrap().iter().all(|value| *value == 0.0));
    }
    let nothing = Input::new(batch(&[0, 0], 1));
    let zeros = vectors(&mut gin(Pooling::Sum), &nothing, &mut training());
    assert_eq!(zeros, vec![0.0; 2 * 3 * WIDTH]);
}

#[test]
fn tensors_of_gin_have_the_published_names() {
    let names: Vec<String> = arrays_of(&mut gin(Pooling::Sum)).into_keys().collect();
    assert_eq!(names.len(), 3 * (4 + 4));
    for name in ["convs.0.nn.0.weight", "convs.2.nn.2.bias", "bns.1.running_var"] {
        assert!(names.iter().any(|known| known == name), "{name} of {names:?}");
    }
}

#[test]
fn graphs_chosen_from_a_batch_are_encoded_as_they_were_in_it() {
    let mut gin = gin(Pooling::Sum);
    let whole = Input::new(batch(&SECOND, 101));
    let all = vectors(&mut gin, &whole, &mut Pass::evaluation());
    let rows = [4, 2, 0, 4];
    let chosen = whole.select(&rows);
    assert_eq!((chosen.count(), whole.count()), (4, 5));
    let some = vectors(&mut gin, &chosen, &mut Pass::evaluation());
    for (row, vector) in rows.iter().zip(some.chunks(3 * WIDTH)) {
        let expected = &all[*row as usize * 3 * WIDTH..][..3 * WIDTH];
        let worst = vector.iter().zip(expected).fold(0.0, |worst: f32, (a, b)| worst.max((a - b).abs()));
        assert!(worst < 1e-5, "graph {row} is off by {worst}");
    }
}

#[test]
fn graphs_that_are_joined_are_one_block_diagonal_matrix() {
    let [first, second] = [batch(&FIRST, 200), batch(&SECOND, 201)];
    let expected = GraphBatch {
        edges: Csr::block_diagonal([&first.edges, &second.edges]).unwrap(),
        offsets: offsets(&[FIRST, SECOND].concat()),
        features: [&first.features[..], &second.features].concat(),
        columns: FEATURES,
    };
    let [first, second] = [first, second].map(Input::new);
    let joined = Input::join(&[&first, &second]).unwrap();
    assert_eq!(joined.get::<GraphBatch>().unwrap(), &expected);
}

#[test]
fn graphcl_has_pytorch_s_loss_gradients_and_running_statistics_in_both_variants() {
    let file = numbers_of_pytorch();
    for (name, variant) in [("original", Variant::Original), ("paper", Variant::Paper)] {
        let mut method = method(variant);
        assert_eq!(follows_pytorch(name, &mut method, &views()), 3 * 6 + 4);
        let running: Arrays =
            arrays_of(&mut method).into_iter().filter(|(tensor, _)| tensor.contains("running")).collect();
        assert_eq!(running.len(), 6);
        for (tensor, array) in running {
            is_close(&tensor, array.as_f32().unwrap(), values(&file, &format!("{name}.{tensor}")));
        }
    }
}

#[test]
fn a_batch_of_one_graph_has_no_negatives_and_no_loss() {
    let mut method = method(Variant::Original);
    let (outputs, loss) = outputs_and_loss(&mut method, &views().part(&[3]));
    assert_eq!(outputs.instances, [3]);
    assert_eq!(to_host(loss), [0.0]);
}

#[test]
fn a_step_has_the_same_bits_on_any_number_of_threads() {
    let pools = [1, 3].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
    let [one, three] = pools.map(|pool| {
        pool.install(|| {
            let mut method = method(Variant::Paper);
            let (_, loss) = outputs_and_loss(&mut method, &views());
            let mut gradients = NamedGradients::new();
            accumulate(&mut method, loss.backward(), &mut gradients);
            gradients.into_values().map(to_host).collect::<Vec<_>>()
        })
    });
    assert_eq!(one, three);
}

#[test]
fn the_jensen_shannon_estimate_and_its_gradients_are_pytorch_s() {
    let file = numbers_of_pytorch();
    let offsets: Arc<[usize]> = offsets(&FIRST).into();
    let nodes = offsets[FIRST.len()];
    let leaf = |rows: usize, key: u32| -> Tensor<2> {
        let values = numbers(rows * 6, key).into_iter().map(|value| 2.0 * value).collect();
        from_host(values, [rows, 6], &cpu()).autodiff().require_grad()
    };
    let (nodes, graphs) = (leaf(nodes, 300), leaf(FIRST.len(), 301));
    let loss = local_global(nodes.clone(), graphs.clone(), &offsets);
    is_close("loss", &[loss.clone().inner().into_scalar()], values(&file, "jsd.loss"));
    let mut gradients = loss.backward();
    let [nodes, graphs] = [nodes, graphs].map(|leaf| to_host(leaf.grad_remove(&mut gradients).unwrap()));
    is_close("nodes", &nodes, values(&file, "jsd.nodes"));
    is_close("graphs", &graphs, values(&file, "jsd.graphs"));
}

#[test]
fn large_scores_leave_the_jensen_shannon_estimate_finite_and_exact() {
    let offsets: Arc<[usize]> = [0, 1, 2].into();
    let nodes: Tensor<2> = from_host(vec![1e4, 0.0, 0.0, 1e4], [2, 2], &cpu());
    let estimate = |graphs: [f32; 4]| -> f32 {
        let graphs = from_host(graphs.to_vec(), [2, 2], &cpu());
        local_global(nodes.clone(), graphs, &offsets).into_scalar()
    };
    let log_2 = std::f32::consts::LN_2;
    // Nodes far along their own graphs, and far against the others.
    assert!((estimate([1.0, -1.0, -1.0, 1.0]) + 2.0 * log_2).abs() < 1e-5);
    // And the other way round.
    assert!((estimate([-1.0, 1.0, 1.0, -1.0]) - (2e4 - 2.0 * log_2)).abs() < 1e-2);
}

fn mvgrl(objective: MvgrlObjective, variant: Variant) -> Mvgrl {
    let options = GcnOptions { layers: 2, width: WIDTH };
    Mvgrl::new(FEATURES, &options, objective, variant, &mut SEED.stream("encoder", 0, 0, 0), &cpu())
}

/// Graphs of which two matrices are views.
fn diffused() -> Batch {
    let graphs = batch(&FIRST, 400);
    let views = [401, 402].map(|key| GraphBatch { edges: valued(&graphs.edges, key), ..graphs.clone() });
    Batch::of_views(vec![7, 1, 2, 9, 4], views.map(Input::new).into())
}

/// What is kept and evaluated.
fn embedding(network: &mut dyn Embedder, batch: &Batch) -> Vec<f32> {
    to_host(network.embed(batch, &mut Pass::evaluation()).unwrap().representation)
}

/// The shape of the embeddings by which the sampler finds look-alikes.
fn embedded(method: &mut dyn Method, batch: &Batch) -> [usize; 2] {
    let outputs = method.encode(batch, &Step::default(), &mut Pass::evaluation()).unwrap();
    method.embeddings(&outputs).dims()
}

#[test]
fn mvgrl_has_pytorch_s_loss_gradients_and_embeddings() {
    let info_nce = MvgrlObjective::Softmax(Contrast::plain(InfoNce { temperature: TEMPERATURE }));
    let cases = [
        ("mvgrl-paper", MvgrlObjective::JensenShannon, Variant::Paper, 2 * 11 + 2 * 6),
        // Heads alone learn.
        ("mvgrl-original", MvgrlObjective::JensenShannon, Variant::Original, 2 * 11),
        ("mvgrl-contrast", info_nce, Variant::Paper, 11 + 2 * 6),
    ];
    let file = numbers_of_pytorch();
    for (name, objective, variant, gradients) in cases {
        let mut method = mvgrl(objective, variant);
        assert_eq!(follows_pytorch(name, &mut method, &diffused()), gradients);
        is_close(name, &embedding(&mut method, &diffused()), values(&file, &format!("{name}.embedding")));
        assert_eq!(embedded(&mut method, &diffused()), [FIRST.len(), 2 * WIDTH]);
    }
}

#[test]
fn mvgrl_on_nodes_has_pytorch_s_loss_gradients_and_embeddings() {
    let graphs = batch(&FIRST, 500);
    let nodes = graphs.nodes();
    let rows = graphs.features.chunks(FEATURES).map(|row| (0..).zip(row.iter().copied()));
    let features = Csr::from_rows(rows, FEATURES).unwrap();
    let shifted: Vec<u32> = (0..nodes as u32).map(|row| (row + 7) % nodes as u32).collect();
    let matrices = [501, 502].map(|key| Arc::new(valued(&graphs.edges, key)));
    let corrupted = features.chosen(&shifted);
    let columns = [features, corrupted].into_iter().flat_map(|features| {
        let features = Arc::new(features);
        matrices.clone().map(|matrix| Input::new(NodeInput { matrix, features: Arc::clone(&features) }))
    });
    let batch = Batch::of_views((0..nodes as u32).collect(), columns.collect());
    let options = GcnOptions { layers: 1, width: WIDTH };
    let mut method = MvgrlNodes::new(FEATURES, &options, &mut SEED.stream("encoder", 0, 0, 0), &cpu());
    assert_eq!(follows_pytorch("mvgrl-nodes", &mut method, &batch), 2 * 3 + 2);
    let file = numbers_of_pytorch();
    is_close("embedding", &embedding(&mut method, &batch), values(&file, "mvgrl-nodes.embedding"));
    assert_eq!(embedded(&mut method, &batch), [nodes, 2 * WIDTH]);
}
