//! Training on graphs from a recipe to scores: on toys, and on MUTAG in the folder that `LOOKALIKE_DATA` names.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lookalike_base::Arrays;
use lookalike_base::progress::{Cancellation, Silent, Watch};
use lookalike_data::Split;
use lookalike_learn::Registry;
use lookalike_learn::evaluate::Evaluation;
use lookalike_learn::experiment::Experiment;
use lookalike_learn::modality::{Beside, Scope};
use lookalike_learn::module::arrays_of;
use lookalike_learn::recipe::Recipe;
use serde_json::Value;

#[path = "../../lookalike-data/tests/common/real_data.rs"]
mod real_data;
#[path = "common/toys.rs"]
mod toys;

/// A folder with toys, and runs.
struct Place(tempfile::TempDir);

impl Place {
    fn new(graphs: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("toys.txt"), toys::toys(graphs)).unwrap();
        Self(folder)
    }

    fn run(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn open(&self, settings: &[&str]) -> Result<Experiment, String> {
        open(self.0.path(), settings)
    }
}

const TOYS: &str = "[data]\nname = \"toys\"\n[encoder]\nlayers = 2\nwidth = 8\n[method]\nkind = \"graphcl\"\n\
    [sampler]\nkind = \"uniform\"\nbatch_size = 16\nlast_batch = \"keep\"\ncandidates = 20\nneighbors = 4\nrefresh_every = 2\n\
    [optimizer]\nkind = \"adam\"\nlearning_rate = 0.01\nweight_decay = 0.0\n\
    [train]\nepochs = 3\nwarmup_epochs = 0.0\nschedule = \"constant\"\ncheckpoint_every = 2\nlog_every = 1\n\
    [evaluate]\nfold_seeds = 2\n";

fn open(root: &Path, settings: &[&str]) -> Result<Experiment, String> {
    let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
    let registry = Registry::standard();
    let begin = || {
        let mut recipe = Recipe::parse(TOYS, Path::new("toys.toml"), &settings, &registry)?;
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

const MVGRL: &str = "method.kind=mvgrl";
const ORIGINAL: &str = "method.variant=original";

#[test]
fn a_run_that_was_stopped_ends_with_the_bits_of_one_that_was_not() {
    let place = Place::new(37);
    for (number, settings) in [
        &[][..],
        &["sampler.kind=walk"],
        &[ORIGINAL, "sampler.kind=nearest"],
        &[ORIGINAL],
        &[MVGRL, "sampler.kind=walk"],
        &[MVGRL, ORIGINAL],
    ]
    .into_iter()
    .enumerate()
    {
        let whole = train(&place.open(settings).unwrap(), &place.run(&format!("whole-{number}")));
        let run = place.run(&format!("stopped-{number}"));
        for steps in [4, 5, 7] {
            let steps = format!("train.max_steps={steps}");
            train(&place.open(&[settings, &[&steps]].concat()).unwrap(), &run);
        }
        let stopped = train(&place.open(settings).unwrap(), &run);
        assert!(whole == stopped, "{settings:?}");
        assert_eq!(whole.len(), stopped.len());
    }
}

#[test]
fn every_method_on_two_views_and_every_loss_trains_a_graph_network() {
    let place = Place::new(37);
    let short = "train.max_steps=4";
    let cases: [&[&str]; 14] = [
        &["method.kind=simclr"],
        &["method.kind=simclr", "loss.kind=info-nce", "graphs.augment.kind=perturb-edges"],
        &["method.kind=direct-clr", "method.coordinates=8"],
        &["method.kind=end-to-end"],
        &["method.kind=instance-discrimination"],
        &[
            "method.kind=moco",
            "negatives.size=32",
            "method.batch_norm_groups=1",
            "method.shuffle=false",
            "sampler.last_batch=drop",
        ],
        &["method.kind=moco-v3", "method.predictor.width=8"],
        &["loss.kind=debiased"],
        &["loss.kind=hard"],
        &["loss.kind=decoupled", "negatives.oracle=true"],
        &[
            ORIGINAL,
            "loss.kind=nt-xent",
            "negatives.mixing={ hardest = 4, between = 2, with_query = 1, warm_up = 0.0 }",
        ],
        &[MVGRL, "loss.kind=info-nce"],
        &[MVGRL, "loss.kind=hard", ORIGINAL],
        &[MVGRL, "graphs.diffusion={ kind = { heat = { time = 5.0 } }, epsilon = 1e-3 }"],
    ];
    for (number, settings) in cases.into_iter().enumerate() {
        let encoder: &[&str] = if settings.contains(&MVGRL) { &[] } else { &["encoder.kind=gin"] };
        let run = place.run(&number.to_string());
        let experiment = place.open(&[settings, encoder, &[short]].concat());
        let weights = train(&experiment.unwrap_or_else(|error| panic!("{settings:?}: {error}")), &run);
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        assert!(weights.values().all(|array| array.as_f32().is_none_or(finite)), "{settings:?}");
    }
}

fn evaluate(experiment: &Experiment, run: &Path, scope: Scope) -> Evaluation {
    train(experiment, run);
    let result = experiment.result(run).unwrap();
    experiment.evaluate(&result.measured(None), scope, &Cancellation::new()).unwrap()
}

/// Nothing beside the trained encoder, one draw of folds.
const QUICK: Scope = Scope { beside: Beside::Nothing, fold_seeds: Some(1), ..Scope::FULL };

/// A field of the accuracy under `key`.
fn field<'a>(evaluation: &'a Evaluation, key: &str, name: &str) -> &'a Value {
    let accuracy = evaluation.get(key).unwrap_or_else(|| panic!("no {key} in {evaluation:?}"));
    accuracy.get(name).unwrap_or_else(|| panic!("{key} is {accuracy}"))
}

fn mean(evaluation: &Evaluation, key: &str) -> f64 {
    field(evaluation, key, "mean").as_f64().unwrap()
}

#[test]
fn rings_and_stars_are_told_apart_by_encoders_and_not_by_numbers_of_nodes() {
    let place = Place::new(60);
    let experiment = place.open(&[]).unwrap();
    let evaluation = evaluate(&experiment, &place.run("graphcl"), Scope::FULL);
    assert!(mean(&evaluation, "svm") > 0.9, "{evaluation:?}");
    assert!(mean(&evaluation, "svm_labels") < 0.8);
    assert_eq!(field(&evaluation, "svm", "seeds").as_array().unwrap().len(), 2);
    assert!(evaluation.get("svm_sizes").is_some());
    assert!(evaluation.get("svm_training_statistics").is_some() && evaluation.get("svm_untrained").is_some());
    assert!(evaluation.number("false_negative_rate").is_some());
    assert!(evaluation.number("hardness").unwrap().is_finite());

    let experiment = place.open(&[MVGRL]).unwrap();
    let run = place.run("mvgrl");
    let evaluation = evaluate(&experiment, &run, QUICK);
    assert!(mean(&evaluation, "svm") > 0.9, "{evaluation:?}");
    assert_eq!(field(&evaluation, "svm", "seeds").as_array().unwrap().len(), 1);
    for key in ["svm_sizes", "svm_labels", "svm_untrained", "svm_training_statistics"] {
        assert!(evaluation.get(key).is_none(), "{key}");
    }
    let result = experiment.result(&run).unwrap();
    experiment.save_model(&run, result.trained.as_deref().unwrap(), result.step).unwrap();
    let mut model = experiment.result(&run).unwrap().model.unwrap();
    let embedded = experiment.embed(&mut *model, Split::Train, &Cancellation::new()).unwrap();
    assert_eq!((embedded.representation.len(), embedded.representation.columns()), (60, 8));
    let error = experiment.embed(&mut *model, Split::Test, &Cancellation::new()).unwrap_err();
    assert!(error.to_string().contains("cross-validated"), "{error}");
}

#[test]
fn what_a_set_cannot_serve_is_refused_with_the_reason() {
    let place = Place::new(37);
    let message = |settings: &[&str]| {
        let experiment = match place.open(settings) {
            Ok(experiment) => experiment,
            Err(error) => return error,
        };
        experiment.trainer(&place.run("refused")).err().map_or("begun".to_owned(), |error| error.to_string())
    };
    for (settings, said) in [
        (&["sampler.batch_size=38"][..], "sampler"),
        (&["sampler.batch_size=12"], "holds one of the 37 instances"),
        (&["graphs.features={ parts = [\"attributes\"] }"], "toys has no attributes of nodes"),
        (&["graphs.features={ parts = [] }"], "no feature is named"),
        (&["graphs.augment={ kind = \"random2\", drop_ratio = 1.0 }"], "graphs.augment.drop_ratio"),
        (&["data.name=other"], "other_A.txt"),
        (&["data.name=toys", "encoder.kind=small", "method.kind=simclr"], "encoder.layers"),
    ] {
        let error = message(settings);
        assert!(error.contains(said), "{settings:?}: {error}");
    }
}

#[test]
fn a_run_holds_what_describes_its_nodes_and_tells_sets_of_equal_sizes_apart() {
    let place = Place::new(37);
    let experiment = place.open(&[]).unwrap();
    let text = experiment.recipe().to_toml().unwrap();
    let written: toml::Table = text.parse().unwrap();
    let described =
        "parts = [\"node-labels\"]\nnode_labels = [\"0\", \"1\", \"2\"]".parse::<toml::Table>().unwrap();
    assert_eq!(written["graphs"]["features"], described.into(), "{text}");
    let before = experiment.data().fingerprint().unwrap();
    // Two nodes of the first graph change places: nothing that can be counted changes.
    let text = std::fs::read_to_string(place.run("toys.txt")).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    let node =
        |line: &str| line.split_once(' ').map(|(label, rest)| (label.to_owned(), rest.to_owned())).unwrap();
    let ((first, rest), (second, others)) = (node(lines[2]), node(lines[3]));
    let swapped = [format!("{second} {rest}"), format!("{first} {others}")];
    lines[2] = &swapped[0];
    lines[3] = &swapped[1];
    std::fs::write(place.run("toys.txt"), format!("{}\n", lines.join("\n"))).unwrap();
    let changed = place.open(&[]).unwrap();
    assert_ne!(before, changed.data().fingerprint().unwrap());
}

#[test]
fn too_few_graphs_of_a_class_for_the_folds_leave_the_score_undefined() {
    let place = Place::new(18);
    let experiment = place.open(&["train.max_steps=2"]).unwrap();
    let evaluation = evaluate(&experiment, &place.run("few"), Scope::FULL);
    let undefined = field(&evaluation, "svm", "undefined").as_str().unwrap();
    assert!(
        undefined.contains("no class has as many rows as there are folds, 10; the greatest has 9"),
        "{undefined}"
    );
    assert!(evaluation.rows().any(|(_, shown)| shown.contains(undefined)));
    assert!(evaluation.number("false_negative_rate").is_some());
    let fewer = place.open(&["train.max_steps=2", "evaluate.folds=3"]).unwrap();
    let evaluation = evaluate(&fewer, &place.run("few"), Scope::FULL);
    assert!(
        field(&evaluation, "svm", "balanced")
            .as_f64()
            .is_some_and(|balanced| (0.0..=1.0).contains(&balanced))
    );
    assert!(evaluation.rows().any(|(title, _)| title.contains("3 folds")), "{evaluation:?}");
}

#[test]
fn mutag_goes_on_to_the_same_bits_and_is_scored_on_all_its_graphs() {
    let Some(root) = real_data::folder("tu/MUTAG") else { return };
    let place = Place::new(2);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/graphcl-mutag.toml");
    let open = |settings: &[&str]| {
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let registry = Registry::standard();
        let mut recipe = Recipe::read(&path, &settings, &registry).unwrap();
        recipe.set_path("data.root", Some(&root));
        Experiment::open(recipe.validate(&registry).unwrap(), &registry, Arc::new(Silent)).unwrap().0
    };
    let settings = ["sampler.kind=walk", "train.epochs=3", "train.checkpoint_every=1"];
    let whole = train(&open(&settings), &place.run("whole"));
    train(&open(&[&settings[..], &["train.max_steps=3"]].concat()), &place.run("stopped"));
    assert!(whole == train(&open(&settings), &place.run("stopped")));
    let evaluation = evaluate(&open(&settings), &place.run("whole"), QUICK);
    let (mean, majority) =
        (mean(&evaluation, "svm"), field(&evaluation, "svm", "majority").as_f64().unwrap());
    assert!((majority - 125.0 / 188.0).abs() < 1e-12 && mean > majority, "{evaluation:?}");
}
