//! One trainer for every kind of data: vectors whose views come from the data, vectors whose views come from dropout in the
//! encoder, and token lists of different lengths, both ways. All learn, are sampled by look-alikes, and resume.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::tokens::{MeanOfTokens, TokenLists};
use common::{
    COLUMNS, Mlp, NoisyViews, Points, SEED, SharedPoints, Vectors, Watched, copy, cpu, newest_bytes, options,
    perceptron, points, sampler, series, train, with_head,
};
use lookalike_base::progress::Cancellation;
use lookalike_base::{Matrix, Rows, Seed};
use lookalike_data::{BatchRequest, BatchSource, DataError};
use lookalike_learn::engine::{Tensor, to_host};
use lookalike_learn::input::{Batch, Input, Instances, Source};
use lookalike_learn::method::{Embedder, Method, SimClr};
use lookalike_learn::module::{Pass, arrays_of};
use lookalike_learn::step::Step;
use lookalike_learn::train::{Outcome, Trainer};
use lookalike_metrics::{KnnOptions, knn_accuracy};
use lookalike_sampling::{Coverage, SamplerKind};

const INSTANCES: usize = 240;
const CLASSES: usize = 6;
const BATCH: usize = 24;
const STEPS: u64 = 80;

/// How well a point's five neighbours among the first half of the instances tell the class of those of the second.
fn knn(rows: Rows<'_>, labels: &[u32]) -> f64 {
    let half = |half: usize| {
        let chosen: Vec<usize> =
            (0..labels.len()).skip(half * labels.len() / 2).take(labels.len() / 2).collect();
        let values: Vec<f32> = chosen.iter().flat_map(|index| rows.row(*index).to_vec()).collect();
        let labels: Vec<u32> = chosen.iter().map(|index| labels[*index]).collect();
        (Matrix::new(values, rows.columns()).unwrap(), labels)
    };
    let [(train, train_labels), (test, test_labels)] = [half(0), half(1)];
    let options = KnnOptions { k: 5, temperature: 0.1 };
    let score = knn_accuracy(train.rows(), &train_labels, test.rows(), &test_labels, CLASSES, &options);
    score.unwrap().accuracy
}

/// A batch of one column, as it is evaluated.
fn plain(input: Input) -> Batch {
    Batch::of_views((0..input.count() as u32).collect(), vec![input])
}

fn representations(network: &mut dyn Embedder, input: Input) -> Matrix {
    let embeddings = network.embed(&plain(input), &mut Pass::evaluation()).unwrap();
    let columns = embeddings.representation.dims()[1];
    Matrix::new(to_host(embeddings.representation), columns).unwrap()
}

/// Trains by look-alikes, checks that they were look-alikes and that the run resumes, and gives back what is kept of the method.
fn learn<M: Method + 'static>(make: impl Fn() -> M, source: Source) -> Box<dyn Embedder> {
    let folder = tempfile::tempdir().unwrap();
    let [run, killed] = ["run", "killed"].map(|name| folder.path().join(name));
    let set = |run: &Path| options(run, INSTANCES, sampler(SamplerKind::Walk, Coverage::Cover, BATCH), STEPS);

    // Step 47 lies within an epoch and within a segment, two steps after a checkpoint.
    let watch = {
        let (run, killed) = (run.clone(), killed.clone());
        move |batch| {
            if batch == 47 {
                copy(&run, &killed);
            }
        }
    };
    let cancellation = Cancellation::new();
    let watched = Watched::new(make(), watch);
    let (trainer, outcome, _) = train(watched, source.clone(), set(&run), &cancellation).unwrap();
    assert_eq!(outcome, Outcome::Finished);

    let loss = series(&run, "step", "loss");
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let (early, late) = (mean(&loss[..10]), mean(&loss[loss.len() - 10..]));
    // Batches of look-alikes are harder than the uniform ones of the first epoch; the loss falls all the same.
    assert!(late < 0.9 * early, "the loss went from {early} to {late}");
    are_look_alikes(&trainer);

    let (resumed, outcome, _) = train(make(), source, set(&killed), &cancellation).unwrap();
    assert_eq!(outcome, Outcome::Finished);
    assert_eq!(newest_bytes(&killed), newest_bytes(&run));
    resumed.method.kept()
}

/// The last epoch had every instance once, from walks over a graph, in batches that are harder than uniform ones.
fn are_look_alikes(trainer: &Trainer) {
    let mut members: Vec<u32> = trainer.plan().concat();
    members.sort_unstable();
    assert!(members.iter().copied().eq(0..INSTANCES as u32), "every instance once an epoch");
    let report = trainer.sampler().report();
    assert!(report.builds > 5 && report.graph.is_some());
    let finished = report.finished.unwrap();
    let hardness: Vec<f64> = finished.hardness.into_iter().map(|tally| tally.mean().unwrap()).collect();
    let mean = hardness.iter().sum::<f64>() / hardness.len() as f64;
    assert!(mean > 0.02, "look-alikes are {hardness:?} more similar than uniform batches");
}

#[test]
fn vectors_are_learned_from_views_made_by_the_data() {
    let Points { values, labels, .. } = points(INSTANCES, CLASSES, 1);
    let raw = knn(values.rows(), &labels);
    let mut network = learn(|| perceptron(0.0), Arc::new(NoisyViews(values.clone())));
    let trained = knn(representations(&mut *network, Input::new(Vectors(values))).rows(), &labels);
    assert!(trained > raw + 0.2 && trained > 0.8, "kNN accuracy went from {raw} to {trained}");
}

#[test]
fn vectors_are_learned_from_views_made_by_dropout_in_the_encoder() {
    let Points { mut values, labels, .. } = points(INSTANCES, CLASSES, 1);
    // Nothing tells nuisance from meaning here, so there is little of it.
    for row in 0..INSTANCES {
        values.row_mut(row)[common::TELLING..].iter_mut().for_each(|value| *value *= 0.1);
    }
    let make = || {
        let encoder = Mlp::new(&[COLUMNS, 64, 16], 0.2, &mut SEED.stream("encoder", 0, 0, 0), &cpu());
        with_head(encoder, 0.2)
    };
    let mut network = learn(make, Arc::new(SharedPoints(values.clone())));
    let trained = knn(representations(&mut *network, Input::new(Vectors(values))).rows(), &labels);
    assert!(trained > 0.7, "kNN accuracy is {trained}, chance {}", 1.0 / CLASSES as f64);
}

#[test]
fn an_evaluation_pass_changes_no_tensor_and_an_estimation_pass_statistics_alone() {
    let mut method = perceptron(0.3);
    let request = BatchRequest { instances: (0..BATCH as u32).collect(), epoch: 0, step: 0 };
    let batch = NoisyViews(points(INSTANCES, CLASSES, 1).values).batch(&request).unwrap();
    let before = arrays_of(&mut method);
    method.encode(&batch, &Step::default(), &mut Pass::evaluation()).unwrap();
    assert_eq!(arrays_of(&mut method), before);
    method.encode(&batch, &Step::default(), &mut Pass::estimation(0)).unwrap();
    let changed = arrays_of(&mut method).into_iter().filter(|(name, array)| before[name] != *array);
    let changed: Vec<String> = changed.map(|(name, _)| name).collect();
    assert!(changed.len() == 4 && changed.iter().all(|name| name.contains("running_")), "{changed:?}");
}

const VOCABULARY: u32 = 100;
const OWN: u32 = 10;

/// Lists of 4 to 20 tokens: half of each from the ten that its class alone has, half from those that all have.
fn lists() -> (TokenLists, Vec<u32>) {
    let mut stream = Seed(5).stream("lists", 0, 0, 0);
    let labels: Vec<u32> = (0..INSTANCES).map(|list| (list % CLASSES) as u32).collect();
    let common = CLASSES as u32 * OWN;
    let lists = labels.iter().map(|label| {
        let length = 2 + stream.below(9);
        let own = (0..length).map(|_| label * OWN + stream.below(OWN)).collect::<Vec<u32>>();
        let others = (0..length).map(|_| common + stream.below(VOCABULARY - common)).collect::<Vec<u32>>();
        [own, others].concat()
    });
    (lists.collect(), labels)
}

/// Two views of every list, each without about a third of its tokens.
struct Shortened(TokenLists);

impl BatchSource for Shortened {
    type Batch = Batch;

    fn batch(&self, request: &BatchRequest) -> Result<Batch, DataError> {
        let view = |view: u64| {
            let lists = request.instances.iter().map(|instance| {
                let address = 2 * u64::from(*instance) + view;
                let mut stream = SEED.stream("shorten", request.epoch, request.step, address);
                let list = self.0.list(*instance as usize).iter().copied();
                list.filter(|_| stream.chance(0.67)).collect()
            });
            Input::new(lists.collect::<TokenLists>())
        };
        Ok(Batch::of_views(request.instances.clone(), vec![view(0), view(1)]))
    }
}

/// Every list once: the encoder's dropout makes two views of it.
struct Whole(TokenLists);

impl BatchSource for Whole {
    type Batch = Batch;

    fn batch(&self, request: &BatchRequest) -> Result<Batch, DataError> {
        let lists = self.0.select(&request.instances);
        Ok(Batch::of_views(request.instances.clone(), vec![lists.clone(), lists]))
    }
}

fn reader(dropout: f32) -> SimClr {
    let mut stream = SEED.stream("encoder", 0, 0, 0);
    with_head(MeanOfTokens::new(VOCABULARY as usize, 24, dropout, &mut stream, &cpu()), 0.2)
}

#[test]
fn token_lists_are_learned_from_views_made_by_the_data() {
    let (lists, labels) = lists();
    let mut network = learn(|| reader(0.0), Arc::new(Shortened(lists.clone())));
    let trained = knn(representations(&mut *network, Input::new(lists)).rows(), &labels);
    assert!(trained > 0.6, "kNN accuracy is {trained}, chance {}", 1.0 / CLASSES as f64);
}

#[test]
fn token_lists_are_learned_from_views_made_by_dropout_in_the_encoder() {
    let (lists, labels) = lists();
    let mut network = learn(|| reader(0.3), Arc::new(Whole(lists.clone())));
    let trained = knn(representations(&mut *network, Input::new(lists)).rows(), &labels);
    assert!(trained > 0.6, "kNN accuracy is {trained}, chance {}", 1.0 / CLASSES as f64);
}

fn packed<const LISTS: usize>(lists: [&[u32]; LISTS]) -> Input {
    Input::new(lists.into_iter().map(<[u32]>::to_vec).collect::<TokenLists>())
}

#[test]
fn an_empty_list_is_a_vector_like_any_other() {
    let mut network = reader(0.0).kept();
    let rows = representations(&mut *network, packed([&[], &[3, 3, 99]]));
    assert!(rows.rows().check_finite().is_ok());
    assert_ne!(rows.row(0), rows.row(1));
    // Nor does a batch of nothing but such lists stop a run.
    let none = representations(&mut *network, packed([&[], &[]]));
    assert_eq!((none.row(0), none.row(1)), (rows.row(0), rows.row(0)));
}

#[test]
fn a_short_list_s_vector_does_not_depend_on_the_lists_beside_it() {
    let mut network = reader(0.0).kept();
    let alone = representations(&mut *network, packed([&[1, 2]]));
    let beside = representations(&mut *network, packed([&[1, 2], &[7; 30]]));
    let difference = alone.row(0).iter().zip(beside.row(0)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference < 1e-6, "{difference}");
}

#[test]
fn what_dropout_leaves_of_a_list_does_not_depend_on_the_lists_beside_it() {
    let mut method = reader(0.3);
    let (lists, _) = lists();
    let step = Step { instances: (0..8).collect(), ..Step::default() };
    let mut encode = |instances: &[u32]| {
        let lists = lists.select(instances);
        let batch = Batch::of_views(instances.to_vec(), vec![lists.clone(), lists]);
        let mut pass = Pass { statistics: Pass::evaluation().statistics, ..Pass::training(&step) };
        let outputs = method.encode(&batch, &step, &mut pass).unwrap();
        ["first", "second"].map(|view| outputs.get(view))
    };
    let [first, second] = encode(&[0, 1, 2, 3, 4, 5, 6, 7]);
    let host = |tensor: &Tensor<2>, row: usize| to_host(tensor.clone().narrow(0, row, 1));
    assert_ne!(host(&first, 5), host(&second, 5), "each view has masks of its own");
    let [alone, also_alone] = encode(&[5, 0]);
    for (one, other) in [(&first, &alone), (&second, &also_alone)] {
        assert!(common::relative(&host(other, 0), &host(one, 5)) < 1e-6);
    }
}
