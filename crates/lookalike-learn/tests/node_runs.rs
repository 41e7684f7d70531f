//! MVGRL on the nodes of one graph from a recipe to scores: on a small citation graph, and on Cora in the folder that
//! `LOOKALIKE_DATA` names.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lookalike_base::progress::{Cancellation, Silent, Watch};
use lookalike_base::{Arrays, Matrix, npy};
use lookalike_data::Split;
use lookalike_learn::evaluate::Evaluation;
use lookalike_learn::experiment::Experiment;
use lookalike_learn::modality::{Beside, Scope};
use lookalike_learn::module::arrays_of;
use lookalike_learn::recipe::Recipe;
use lookalike_learn::{LearnError, Registry};
use serde_json::Value;

#[path = "../../lookalike-data/tests/common/real_data.rs"]
mod real_data;

const TINY: &str = "[data]\nname = \"tiny\"\n[encoder]\nwidth = 8\n[method]\nkind = \"mvgrl-nodes\"\n\
    [sampler]\nkind = \"uniform\"\nbatch_size = 200\ncandidates = 60\nneighbors = 6\nrefresh_every = 2\n\
    [optimizer]\nkind = \"adam\"\nlearning_rate = 0.01\nweight_decay = 0.0\n\
    [train]\nepochs = 4\nwarmup_epochs = 0.0\nschedule = \"constant\"\naccumulate = 2\ncheckpoint_every = 1\nlog_every = 1\n\
    [evaluate]\nprobe_epochs = 20\n";

/// The folder of `tiny`, of 526 nodes, which the reader is tested with, and of `groups`.
fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../lookalike-data/tests/fixtures/planetoid")
}

fn open(root: &Path, text: &str, settings: &[&str]) -> Result<Experiment, String> {
    let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
    let registry = Registry::standard();
    let begin = || {
        let mut recipe = Recipe::parse(text, Path::new("nodes.toml"), &settings, &registry)?;
        recipe.set_path("data.root", Some(root));
        Experiment::open(recipe.validate(&registry)?, &registry, Arc::new(Silent))
    };
    begin().map(|(experiment, _)| experiment).map_err(|error| error.to_string())
}

/// Trains in `run` to the end of the recipe and gives the weights.
fn train(experiment: &Experiment, run: &Path) -> Arrays {
    let (mut trainer, _) = experiment.trainer(run).unwrap();
    trainer.run(Watch::default()).unwrap();
    arrays_of(&mut trainer.method)
}

fn evaluate(experiment: &Experiment, run: &Path, scope: Scope) -> Evaluation {
    let result = experiment.result(run).unwrap();
    experiment.evaluate(&result.measured(None), scope, &Cancellation::new()).unwrap()
}

/// Accuracy of the probe on the trained encoders, on the untrained and on the features.
fn accuracies(evaluation: &Evaluation) -> [f64; 3] {
    ["linear", "linear_untrained", "linear_features"].map(|key| evaluation.number(key).unwrap())
}

#[test]
fn a_run_that_was_stopped_ends_with_the_bits_of_one_that_was_not() {
    let place = tempfile::tempdir().unwrap();
    for (number, settings) in [&[][..], &["sampler.kind=walk"]].into_iter().enumerate() {
        let run = |name: &str| place.path().join(format!("{name}-{number}"));
        let whole = train(&open(&tiny(), TINY, settings).unwrap(), &run("whole"));
        for steps in [1, 3] {
            let steps = format!("train.max_steps={steps}");
            let settings = [settings, &[&steps]].concat();
            // The run must reach its first look-alikes.
            if settings.len() == 1 || steps.ends_with('3') {
                train(&open(&tiny(), TINY, &settings).unwrap(), &run("stopped"));
            }
        }
        assert!(whole == train(&open(&tiny(), TINY, settings).unwrap(), &run("stopped")), "{settings:?}");
    }
}

#[test]
fn nodes_to_test_are_scored_beside_features_and_the_encoder_before_training() {
    let place = tempfile::tempdir().unwrap();
    let experiment = open(&tiny(), TINY, &["encoder.layers=2"]).unwrap();
    let run = place.path().join("run");
    train(&experiment, &run);
    let evaluation = evaluate(&experiment, &run, Scope::FULL);
    let nodes = ["train_nodes", "test_nodes"].map(|key| evaluation.get(key).and_then(Value::as_u64));
    assert_eq!(nodes, [Some(20), Some(4)]);
    for value in accuracies(&evaluation) {
        assert!((0.0..=1.0).contains(&value) && (value * 4.0).fract() == 0.0, "{evaluation:?}");
    }
    let alone = evaluate(&experiment, &run, Scope { beside: Beside::Nothing, ..Scope::FULL });
    assert_eq!((alone.get("linear"), alone.get("linear_untrained")), (evaluation.get("linear"), None));
    let after_training = experiment.recipe().choice().modality.after_training;
    assert!(evaluate(&experiment, &run, after_training).get("linear").is_none());

    let result = experiment.result(&run).unwrap();
    experiment.save_model(&run, result.trained.as_deref().unwrap(), result.step).unwrap();
    let mut model = experiment.result(&run).unwrap().model.unwrap();
    let embedded = experiment.embed(&mut *model, Split::Train, &Cancellation::new()).unwrap();
    assert_eq!((embedded.representation.len(), embedded.representation.columns()), (526, 8));
    let error = experiment.embed(&mut *model, Split::Test, &Cancellation::new()).unwrap_err().to_string();
    assert!(error.contains("embedded together"), "{error}");
}

#[test]
fn training_finds_groups_of_nodes_that_features_and_untrained_encoders_do_not() {
    let settings = [
        "data.name=groups",
        "encoder.width=32",
        "optimizer.learning_rate=0.003",
        "sampler.batch_size=300",
        "train.epochs=80",
        "evaluate.probe_epochs=50",
    ];
    let place = tempfile::tempdir().unwrap();
    let experiment = open(&tiny(), TINY, &settings).unwrap();
    train(&experiment, place.path());
    let evaluation = evaluate(&experiment, place.path(), Scope::FULL);
    let [trained, untrained, features] = accuracies(&evaluation);
    // 0.73 to 0.75, 0.57 to 0.62 and 0.41 to 0.46 over three seeds.
    assert!(trained > untrained + 0.08 && untrained > features + 0.08 && features > 0.35, "{evaluation:?}");
}

/// A folder of one's own with the nodes, edges, features and classes of a ring of 1,200, every tenth of which has no class.
fn own(place: &Path) -> PathBuf {
    let folder = place.join("ring");
    std::fs::create_dir(&folder).unwrap();
    let nodes = 1_200_i64;
    let edges: Vec<i64> = (0..nodes).flat_map(|node| [node, (node + 1) % nodes]).collect();
    npy::write_integers(folder.join("edges.npy"), &[1_200, 2], &edges).unwrap();
    let features = (0..nodes * 4).map(|at| if at % 4 == at / 4 % 4 { 1.0 } else { -0.25 }).collect();
    npy::write_rows(folder.join("features.npy"), Matrix::new(features, 4).unwrap().rows()).unwrap();
    let labels: Vec<i64> = (0..nodes).map(|node| if node % 10 == 0 { -1 } else { node % 2 }).collect();
    npy::write_integers(folder.join("labels.npy"), &[1_200], &labels).unwrap();
    for (name, nodes) in [("train", 0..100_i64), ("test", 100..300)] {
        let nodes: Vec<i64> = nodes.collect();
        npy::write_integers(folder.join(format!("{name}.npy")), &[nodes.len()], &nodes).unwrap();
    }
    folder
}

#[test]
fn nodes_without_a_class_are_left_out_of_false_negatives_and_accuracies() {
    let place = tempfile::tempdir().unwrap();
    own(place.path());
    let experiment = open(place.path(), TINY, &["data.name=ring", "train.epochs=1"]).unwrap();
    let labels = experiment.data().labels(Split::Train);
    assert_eq!((labels.labels.len(), labels.classes), (1_200, 2));
    let run = place.path().join("run");
    train(&experiment, &run);
    let evaluation = evaluate(&experiment, &run, Scope::FULL);
    let nodes = ["train_nodes", "test_nodes"].map(|key| evaluation.get(key).and_then(Value::as_u64));
    assert_eq!(nodes, [Some(90), Some(180)]);
    // Of the 600 even nodes 120 have no class.
    let (even, odd) = (480.0, 600.0);
    let uniform = (even * (even - 1.0) + odd * (odd - 1.0)) / ((even + odd) * (even + odd - 1.0));
    let found = evaluation.number("false_negative_rate_uniform").unwrap();
    assert!((found - uniform).abs() < 1e-9, "{found} is not {uniform}");
    assert!((evaluation.number("false_negative_rate").unwrap() - uniform).abs() < 0.05);
}

#[test]
fn a_graph_without_classes_and_parts_is_learned_from_and_its_accuracy_is_undefined() {
    let place = tempfile::tempdir().unwrap();
    let folder = own(place.path());
    for file in ["labels", "train", "test"] {
        std::fs::remove_file(folder.join(format!("{file}.npy"))).unwrap();
    }
    let experiment = open(place.path(), TINY, &["data.name=ring", "train.epochs=1"]).unwrap();
    let run = place.path().join("run");
    train(&experiment, &run);
    let evaluation = evaluate(&experiment, &run, Scope::FULL);
    for key in ["linear", "false_negative_rate"] {
        assert_eq!(evaluation.number(key), None, "{key}");
        assert!(evaluation.get(key).unwrap().to_string().contains("label"), "{evaluation:?}");
    }
    std::fs::write(folder.join("test.npy"), std::fs::read(folder.join("edges.npy")).unwrap()).unwrap();
    assert!(
        open(place.path(), TINY, &["data.name=ring"])
            .err()
            .unwrap()
            .contains("test.npy: the array has the shape")
    );
}

#[test]
fn a_run_keeps_the_diffusion_of_a_large_graph_and_a_damaged_one_is_made_anew() {
    let place = tempfile::tempdir().unwrap();
    own(place.path());
    let opened = |run: &Path, settings: &[&str]| {
        let registry = Registry::standard();
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut recipe = Recipe::parse(TINY, Path::new("nodes.toml"), &settings, &registry).unwrap();
        recipe.set_path("data.root", Some(place.path()));
        let recipe = recipe.validate(&registry).unwrap();
        Experiment::open_in(Some(run), recipe, &registry, Arc::new(Silent), &Cancellation::new()).unwrap()
    };
    let run = place.path().join("run");
    let approximate = ["data.name=ring", "train.max_steps=1", "graphs.diffusion.solution=approximate"];
    let (experiment, warnings) = opened(&run, &approximate);
    let count = warnings.len();
    assert!(experiment.data().note().unwrap().contains("1 graph by an approximate PageRank"));
    train(&experiment, &run);
    let file = run.join("diffusion.safetensors");
    let kept = std::fs::read(&file).unwrap();
    let (again, warnings) = opened(&run, &approximate);
    assert_eq!((warnings.len(), again.data().note()), (count, experiment.data().note()));
    std::fs::write(&file, &kept[..kept.len() / 2]).unwrap();
    let (_, warnings) = opened(&run, &approximate);
    assert!(warnings[count].contains("diffusion.safetensors is not used, but made anew: "), "{warnings:?}");
    assert!(std::fs::read(&file).unwrap() == kept);
    let (_, warnings) = opened(&run, &["data.name=ring", "graphs.diffusion.solution=exact"]);
    assert!(warnings[count].ends_with("it is of other graphs, or of another recipe"), "{warnings:?}");
    let registry = Registry::standard();
    let settings: Vec<String> = approximate.iter().map(|setting| (*setting).to_owned()).collect();
    let mut recipe = Recipe::parse(TINY, Path::new("nodes.toml"), &settings, &registry).unwrap();
    recipe.set_path("data.root", Some(place.path()));
    let stopped = Cancellation::new();
    stopped.cancel();
    let recipe = recipe.validate(&registry).unwrap();
    let error = Experiment::open_in(None, recipe, &registry, Arc::new(Silent), &stopped).err().unwrap();
    assert!(matches!(error, LearnError::Cancelled), "{error}");
}

#[test]
fn what_nodes_cannot_serve_is_refused_with_the_reason() {
    let message = |settings: &[&str]| match open(&tiny(), TINY, settings) {
        Err(error) => error,
        Ok(experiment) => {
            let place = tempfile::tempdir().unwrap();
            experiment.trainer(place.path()).err().map_or("begun".to_owned(), |error| error.to_string())
        }
    };
    for (settings, said) in [
        (&["graphs.features={ parts = [\"node-labels\"] }"][..], "described by their attributes"),
        (&["graphs.augment={ kind = \"random2\" }"], "graphs.augment: is not read"),
        (&["method.variant=original"], "method.variant: is not read"),
        (&["evaluate.svm=linear"], "evaluate.svm: is not read"),
        (&["evaluate.knn_k=5"], "evaluate.knn_k: is not read"),
        (&["evaluate.batch_size=64"], "evaluate.batch_size: is not read"),
        (&["evaluate.statistics_batches=7"], "evaluate.statistics_batches: is not read"),
        (&["encoder.width=9000"], "at most 8192"),
        (&["encoder.layers=65"], "at most 64"),
        (&["loss.kind=info-nce"], "takes `jensen-shannon`"),
        (&["sampler.batch_size=527"], "sampler"),
        (&["train.shards=2"], "these are nodes of one graph"),
        (&["evaluate.every=1"], "evaluate.every: is not read"),
        (&["data.name=other"], "ind.other.graph"),
        (&["graphs.diffusion={ kind = { ppr = { alpha = 0.2 } }, epsilon = 1.0 }"], "epsilon"),
    ] {
        let error = message(settings);
        assert!(error.contains(said), "{settings:?}: {error}");
    }
}

#[test]
fn a_split_without_nodes_to_test_is_refused() {
    let place = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(tiny()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), place.path().join(file.file_name())).unwrap();
    }
    std::fs::write(place.path().join("ind.tiny.test.index"), "").unwrap();
    let error = open(place.path(), TINY, &[]).err().unwrap();
    assert!(error.contains("test.index") && error.contains("one node for each row of tx"), "{error}");
    for part in ["tx", "ty", "graph"] {
        let none = place.path().join(format!("ind.untested.{part}"));
        std::fs::copy(none, place.path().join(format!("ind.tiny.{part}"))).unwrap();
    }
    let error = open(place.path(), TINY, &[]).err().unwrap();
    assert!(error.contains("has no nodes to test"), "{error}");
}

#[test]
fn a_few_steps_on_cora_say_more_than_its_words() {
    let Some(root) = real_data::folder("planetoid/ind.cora.graph") else { return };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/mvgrl-cora.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let settings = ["train.epochs=8", "train.checkpoint_every=2", "encoder.width=64"];
    let experiment = open(&root, &text, &settings).unwrap();
    let place = tempfile::tempdir().unwrap();
    train(&experiment, place.path());
    let evaluation = evaluate(&experiment, place.path(), Scope::FULL);
    let [trained, _, features] = accuracies(&evaluation);
    assert!(trained > features && features > 0.4, "{evaluation:?}");
}
