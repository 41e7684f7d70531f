//! Contrastive Clustering beside PyTorch (`fixtures/make_clustering.py` made the numbers), and what others get wrong of it.

use std::sync::Arc;

use lookalike_base::tensors::{self, TensorFile};
use lookalike_learn::engine::{Tensor, from_host, to_host};
use lookalike_learn::loss::clusters::entropy_gap;
use lookalike_learn::loss::{InfoNce, QueryLoss};
use lookalike_learn::method::contrastive_clustering::{self, CLUSTERS};
use lookalike_learn::method::{Embedder, Method, Network};
use lookalike_learn::module::{Pass, arrays_of};
use lookalike_learn::negatives::{Comparison, Unobserved};
use lookalike_learn::options::Settings;
use lookalike_learn::step::Step;
use lookalike_learn::train::optimizer::{NamedGradients, accumulate};
use lookalike_sampling::UNLABELLED;

use super::{BATCH, INSTANCES, STEPS, at, batch, build, encode, is_close, loss, reordered, settings, sgd};
use crate::common::{cpu, fill, fixture, numbers, relative, values};

fn recipe(columns: &str) -> Settings {
    settings(&format!(
        "[method]\nkind = \"contrastive-clustering\"\nclusters = 4\ncluster_temperature = 1.0\ncolumns = \"{columns}\"\n\
         projection = {{ layers = 2, width = 0, dimension = 8, batch_norm = \"none\" }}\n"
    ))
}

fn method(columns: &str, labels: Option<Vec<u32>>) -> Box<dyn Method> {
    let mut method = build(&contrastive_clustering::ENTRY, &recipe(columns), labels).unwrap();
    fill(&mut method);
    method
}

fn file() -> TensorFile {
    tensors::read(fixture("clustering.safetensors")).unwrap()
}

/// Twenty steps under the name of the script, each at `step`'s place in a run.
fn follow(name: &str, method: &mut dyn Method, step: impl Fn(u64) -> Step) {
    let (file, mut optimizer) = (file(), sgd());
    for index in 0..STEPS {
        let at = step(index);
        let outputs = encode(method, &batch(index), &at);
        let loss = loss(method, &outputs, &at, &mut Unobserved);
        let mut gradients = NamedGradients::new();
        accumulate(method, loss.clone().backward(), &mut gradients);
        optimizer.step(method, gradients, 0.02);
        let theirs = values(&file, &format!("{name}.loss.{index}"));
        is_close(&format!("{name}, loss {index}"), &[loss.inner().into_scalar()], theirs);
    }
    for (tensor, array) in arrays_of(method) {
        let theirs = values(&file, &format!("{name}.model.{tensor}"));
        is_close(&format!("{name}, {tensor}"), array.as_f32().unwrap(), theirs);
    }
}

#[test]
fn it_is_pytorchs_after_20_steps() {
    follow("contrastive-clustering", &mut *method("all", None), at);
}

#[test]
fn columns_are_contrasted_in_uniform_batches_alone_where_they_are_to_be() {
    let alternating = |index: u64| Step { uniform: index.is_multiple_of(2), ..at(index) };
    follow("contrastive-clustering.alternating", &mut *method("uniform", None), alternating);
}

#[test]
fn columns_are_contrasted_in_batches_of_labelled_instances_where_they_are_to_be() {
    // As the two passes over STL-10: a batch counts where all of its instances have a label, whatever that is.
    let loss_of = |labels: Vec<u32>, columns: &str| {
        let mut method = method(columns, Some(labels));
        let outputs = encode(&mut *method, &batch(0), &at(0));
        loss(&mut *method, &outputs, &at(0), &mut Unobserved).inner().into_scalar::<f32>()
    };
    let labelled = "labelled";
    let all: Vec<u32> = (0..INSTANCES).collect();
    let one_without = all.iter().map(|label| if *label == BATCH - 1 { UNLABELLED } else { *label }).collect();
    let elsewhere = all.iter().map(|label| if *label == BATCH { UNLABELLED } else { *label }).collect();
    let (with, other) = (loss_of(all.clone(), labelled), loss_of(elsewhere, labelled));
    assert_eq!((with, other), (loss_of(all, "all"), with));
    let rows = loss_of(one_without, labelled);
    assert!(rows < with - 0.5, "rows alone {rows}, with columns {with}");
}

/// The loss of columns of assignments, as the method adds it up.
fn columns(logits: [Tensor<2>; 2], temperature: f32) -> Tensor<1> {
    let [first, second] = logits.map(|logits| {
        let largest = logits.clone().inner().max_dim(1);
        let shares = (logits - largest).exp();
        shares.clone() / shares.sum_dim(1)
    });
    let comparison = Comparison::of_units(first.clone().transpose(), second.clone().transpose());
    let contrast = InfoNce { temperature }.each(&comparison.similarities(Vec::new())).mean();
    contrast + entropy_gap(first) + entropy_gap(second)
}

#[test]
fn the_loss_of_columns_and_its_gradients_are_pytorchs_with_an_empty_cluster_too() {
    let file = file();
    let cases = [(6, 4, 1.0, 1.0), (40, 10, 3.0, 0.5), (25, 3, 200.0, 1.0), (8, 2, 0.1, 0.1)];
    for (index, (rows, clusters, scale, temperature)) in cases.into_iter().enumerate() {
        let logits = [0, 1].map(|view| {
            let values = numbers(rows * clusters, 3000 + 2 * index as u32 + view);
            let values = values.into_iter().map(|value| scale * value).collect();
            from_host::<2>(values, [rows, clusters], &cpu()).autodiff().require_grad()
        });
        let loss = columns(logits.clone(), temperature);
        is_close("loss", &to_host(loss.clone()), values(&file, &format!("columns.{index}.loss")));
        let mut gradients = loss.backward();
        for (view, logits) in logits.iter().enumerate() {
            let ours = to_host(logits.grad_remove(&mut gradients).unwrap());
            let theirs = values(&file, &format!("columns.{index}.gradient.{view}"));
            let error = relative(&ours, theirs);
            assert!(error <= 1e-5, "case {index}, view {view}: {error:e}");
        }
    }
}

#[test]
fn a_cluster_that_nobody_is_in_has_a_finite_loss_and_gradient() {
    // Probabilities that are 0 to the last bit: the published p · ln p is NaN here.
    let mut values = vec![0.0; 6 * 4];
    (0..6).for_each(|row| values[4 * row + row % 2] = 500.0);
    let logits = [(); 2].map(|()| from_host::<2>(values.clone(), [6, 4], &cpu()).autodiff().require_grad());
    let loss = columns(logits.clone(), 1.0);
    assert!(loss.clone().inner().into_scalar::<f32>().is_finite());
    let mut gradients = loss.backward();
    let gradient = to_host(logits[0].grad_remove(&mut gradients).unwrap());
    assert!(gradient.iter().all(|value| value.is_finite()), "{gradient:?}");
}

#[test]
fn the_gap_is_nothing_for_equal_clusters_and_ln_c_for_a_single_one() {
    let gap = |values: Vec<f32>| -> f32 { entropy_gap(from_host(values, [4, 4], &cpu())).into_scalar() };
    let each: Vec<f32> = (0..16).map(|at| f32::from(u8::from(at % 5 == 0))).collect();
    let one: Vec<f32> = (0..16).map(|at| f32::from(u8::from(at % 4 == 0))).collect();
    assert!(gap(each).abs() < 1e-6);
    assert!(gap(vec![0.25; 16]).abs() < 1e-6);
    assert!((gap(one) - 4.0_f32.ln()).abs() < 1e-6);
}

#[test]
fn columns_are_clusters_whatever_the_size_of_the_batch_and_the_order_of_its_rows() {
    // Some programs build their losses for one size of batch, or leave the transposition out, so that rows are contrasted twice.
    let mut method = method("all", None);
    let value = |method: &mut dyn Method, batch: &lookalike_learn::input::Batch| {
        let outputs = encode(method, batch, &at(0));
        loss(method, &outputs, &at(0), &mut Unobserved).inner().into_scalar::<f32>()
    };
    let whole = value(&mut *method, &batch(0));
    let turned = value(&mut *method, &reordered(&batch(0), &[5, 3, 1, 0, 2, 4]));
    assert!((whole - turned).abs() < 1e-5, "{whole} {turned}");
    assert!(value(&mut *method, &reordered(&batch(0), &[0, 1, 2])).is_finite());
}

#[test]
fn assignments_are_probabilities_and_those_of_the_kept_network_are_the_methods() {
    let mut method = method("all", None);
    let outputs = encode(&mut *method, &batch(0), &at(0));
    let assigned = method.assignments(&outputs).unwrap();
    assert_eq!(assigned.dims(), [BATCH as usize, 4]);
    let mut kept = method.kept();
    let embedded = kept.embed(&batch(0), &mut Pass::evaluation()).unwrap();
    let rows = lookalike_base::Matrix::new(to_host(embedded.representation), 16).unwrap();
    let again = kept.told(CLUSTERS, &rows).unwrap().unwrap();
    is_close("assignments", &to_host(assigned), again.rows().values());
    for row in again.rows() {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
    let mut headless: Box<dyn Embedder> = Box::new(Network::headless(Box::new(super::encoder())));
    assert!(headless.told(CLUSTERS, &rows).unwrap().is_none(), "a network without a head `{CLUSTERS}`");
}

#[test]
fn a_recipe_that_never_contrasts_columns_and_labels_that_are_missing_are_refused() {
    let refused = |columns: &str, labels| {
        build(&contrastive_clustering::ENTRY, &recipe(columns), labels).err().unwrap().to_string()
    };
    assert!(refused("labelled", None).contains("method.columns: `labelled` needs"));
    let labels = Arc::new(vec![UNLABELLED; INSTANCES as usize]);
    assert!(refused("labelled", Some(labels.to_vec())).contains("none has one"));
}
