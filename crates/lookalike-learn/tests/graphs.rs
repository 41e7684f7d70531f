//! Encoders, losses and methods for graphs beside PyTorch's dense arithmetic (`fixtures/make_graphs.py` made the numbers), and
//! claim by claim.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

mod common;

use std::sync::Arc;

use common::{SEED, cpu, fill, fixture, numbers, relative, training, values};
use lookalike_base::arrays::Arrays;
use lookalike_base::tensors::{self, TensorFile};
use lookalike_data::graph::{DiffusedBatch, GraphBatch, NodeBatch, Variant};
use lookalike_data::{ViewBatch, Views};
use lookalike_kernels::sparse::Csr;
use lookalike_learn::encoder::gin::{Gin, GinOptions};
use lookalike_learn::encoder::{Encoder, Inputs, ReadOut};
use lookalike_learn::engine::{Tensor, from_host, to_host};
use lookalike_learn::evaluate::Embedder;
use lookalike_learn::head::Projection;
use lookalike_learn::loss::Loss;
use lookalike_learn::loss::jensen_shannon::local_global;
use lookalike_learn::method::graphcl::{default_loss, graphcl, projection_options};
use lookalike_learn::method::mvgrl::{Mvgrl, MvgrlObjective, MvgrlOptions};
use lookalike_learn::method::{Method, MvgrlNodes, SimClr};
use lookalike_learn::module::{Pass, arrays_of};
use lookalike_learn::negatives::ContrastiveLoss;
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

fn gin(read_out: ReadOut) -> Gin {
    let options = GinOptions { width: WIDTH, read_out, ..GinOptions::default() };
    Gin::new(FEATURES, &options, &mut SEED.stream("encoder", 0, 0, 0), &cpu())
}

fn method(variant: Variant) -> SimClr<Gin> {
    let encoder = gin(ReadOut::Sum);
    let options = projection_options(encoder.dimension());
    let mut stream = SEED.stream("projection", 0, 0, 0);
    let projection = Projection::xavier(encoder.dimension(), &options, &mut stream, &cpu());
    graphcl(encoder, projection, ContrastiveLoss::plain(default_loss(variant, TEMPERATURE)), variant)
}

fn views() -> ViewBatch<GraphBatch> {
    let [first, second] = [batch(&FIRST, 200), batch(&SECOND, 201)];
    let sizes = [FIRST, SECOND].concat();
    let stacked = GraphBatch {
        edges: Csr::block_diagonal([&first.edges, &second.edges]).unwrap(),
        offsets: offsets(&sizes),
        features: [first.features, second.features].concat(),
        columns: FEATURES,
    };
    ViewBatch { instances: vec![0, 1, 2, 3, 4], views: Views::Stacked(stacked) }
}

/// Loss and gradients are those that the script computed.
fn follows_pytorch<M: Method>(name: &str, method: &mut M, batch: &M::Batch) -> usize {
    let file = numbers_of_pytorch();
    fill(method);
    let outputs = method.encode(batch, &mut training());
    let loss = method.loss(&outputs).total().unwrap();
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
    for (name, read_out) in [("sum", ReadOut::Sum), ("mean", ReadOut::Mean), ("max", ReadOut::Max)] {
        let mut gin = gin(read_out);
        fill(&mut gin);
        let training = to_host(gin.forward(&batch(&FIRST, 100), &mut training()));
        is_close(name, &training, values(&file, &format!("gin.{name}")));
        let evaluation = to_host(gin.forward(&batch(&SECOND, 101), &mut Pass::evaluation()));
        is_close(name, &evaluation, values(&file, &format!("gin.{name}.evaluation")));
        assert!(evaluation.chunks(3 * WIDTH).nth(2).unwrap().iter().all(|value| *value == 0.0));
    }
    let nothing = batch(&[0, 0], 1);
    let zeros = gin(ReadOut::Sum).forward(&nothing, &mut training());
    assert_eq!(to_host(zeros), vec![0.0; 2 * 3 * WIDTH]);
}

#[test]
fn tensors_of_gin_have_the_published_names() {
    let names: Vec<String> = arrays_of(&mut gin(ReadOut::Sum)).into_keys().collect();
    assert_eq!(names.len(), 3 * (4 + 4));
    for name in ["convs.0.nn.0.weight", "convs.2.nn.2.bias", "bns.1.running_var"] {
        assert!(names.iter().any(|known| known == name), "{name} of {names:?}");
    }
}

#[test]
fn graphs_chosen_from_a_batch_are_encoded_as_they_were_in_it() {
    let mut gin = gin(ReadOut::Sum);
    let whole = batch(&SECOND, 101);
    let all = to_host(gin.forward(&whole, &mut Pass::evaluation()));
    let rows = [4, 2, 0, 4];
    let chosen = whole.select(&rows);
    assert_eq!((chosen.count(), whole.count()), (4, 5));
    let some = to_host(gin.forward(&chosen, &mut Pass::evaluation()));
    for (row, vector) in rows.iter().zip(some.chunks(3 * WIDTH)) {
        let expected = &all[*row as usize * 3 * WIDTH..][..3 * WIDTH];
        let worst = vector.iter().zip(expected).fold(0.0, |worst: f32, (a, b)| worst.max((a - b).abs()));
        assert!(worst < 1e-5, "graph {row} is off by {worst}");
    }
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
    let ViewBatch { views: Views::Stacked(stacked), .. } = views() else { panic!("views are stacked") };
    let batch = ViewBatch { instances: vec![3], views: Views::Stacked(stacked.select(&[3, 8])) };
    let outputs = method.encode(&batch, &mut training());
    let loss: f32 = method.loss(&outputs).total().unwrap().inner().into_scalar();
    assert_eq!(loss, 0.0);
}

#[test]
fn a_step_has_the_same_bits_on_any_number_of_threads() {
    let pools = [1, 3].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
    let [one, three] = pools.map(|pool| {
        pool.install(|| {
            let mut method = method(Variant::Paper);
            let outputs = method.encode(&views(), &mut training());
            let mut gradients = NamedGradients::new();
            let loss = method.loss(&outputs).total().unwrap();
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
    let options = MvgrlOptions { layers: 2, width: WIDTH, variant };
    Mvgrl::new(FEATURES, &options, objective, &mut SEED.stream("encoder", 0, 0, 0), &cpu())
}

fn diffused() -> DiffusedBatch {
    let graphs = batch(&FIRST, 400);
    let (normalized, diffusion) = (valued(&graphs.edges, 401), valued(&graphs.edges, 402));
    DiffusedBatch { instances: vec![7, 1, 2, 9, 4], graphs, normalized, diffusion }
}

#[test]
fn mvgrl_has_pytorch_s_loss_gradients_and_embeddings() {
    let info_nce =
        MvgrlObjective::Softmax(ContrastiveLoss::plain(Loss::InfoNce { temperature: TEMPERATURE }));
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
        let [embedding, _] = method.embed(&diffused(), &mut Pass::evaluation());
        is_close(name, &to_host(embedding), values(&file, &format!("{name}.embedding")));
        let outputs = method.encode(&diffused(), &mut Pass::evaluation());
        let embeddings = method.embeddings(&outputs);
        assert_eq!((embeddings.len(), embeddings.columns()), (FIRST.len(), 2 * WIDTH));
    }
}

#[test]
fn mvgrl_on_nodes_has_pytorch_s_loss_gradients_and_embeddings() {
    let graphs = batch(&FIRST, 500);
    let nodes = graphs.nodes();
    let rows = graphs.features.chunks(FEATURES).map(|row| (0..).zip(row.iter().copied()));
    let features = Csr::from_rows(rows, FEATURES).unwrap();
    let shifted: Vec<u32> = (0..nodes as u32).map(|row| (row + 7) % nodes as u32).collect();
    let batch = NodeBatch {
        instances: (0..nodes as u32).collect(),
        normalized: valued(&graphs.edges, 501),
        diffusion: valued(&graphs.edges, 502),
        corrupted: features.chosen(&shifted),
        features,
    };
    let mut method = MvgrlNodes::new(FEATURES, [1, WIDTH], &mut SEED.stream("encoder", 0, 0, 0), &cpu());
    assert_eq!(follows_pytorch("mvgrl-nodes", &mut method, &batch), 2 * 3 + 2);
    let [embedding, _] = method.embed(&batch, &mut Pass::evaluation());
    is_close("embedding", &to_host(embedding), values(&numbers_of_pytorch(), "mvgrl-nodes.embedding"));
    let outputs = method.encode(&batch, &mut Pass::evaluation());
    assert_eq!(
        (method.embeddings(&outputs).len(), method.embeddings(&outputs).columns()),
        (nodes, 2 * WIDTH)
    );
}
