//! Fine-tuning on pairs of texts from a recipe to scores: on made-up pairs in which the second rows of a topic look alike.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lookalike_base::Arrays;
use lookalike_base::progress::{Cancellation, Silent, Watch};
use lookalike_learn::Registry;
use lookalike_learn::evaluate::Evaluation;
use lookalike_learn::experiment::Experiment;
use lookalike_learn::module::arrays_of;
use lookalike_learn::recipe::Recipe;

const COLOURS: [&str; 8] = ["red", "blue", "green", "black", "white", "brown", "pink", "grey"];
const THINGS: [&str; 12] = [
    "table", "lamp", "chair", "shelf", "mirror", "carpet", "candle", "vase", "clock", "basket", "pillow",
    "bowl",
];

/// A row for each thing in each colour: a query, its document, a hard negative of another colour, the thing as topic.
fn rows() -> String {
    let mut text = String::new();
    for (number, thing) in THINGS.iter().enumerate() {
        for (place, colour) in COLOURS.iter().enumerate() {
            let other = COLOURS[(place + 1 + number % 7) % COLOURS.len()];
            writeln!(
                text,
                "{{\"query\":\"where is a {colour} {thing}\",\"document\":\"{thing} in {colour}, article {number}\",\
                 \"negative\":[\"{thing} in {other}, article {number}\"],\"topic\":\"{thing}\"}}"
            )
            .unwrap();
        }
    }
    text
}

/// A folder with pairs, and runs.
struct Place(tempfile::TempDir);

const PAIRS: &str = "[data]\nname = \"pairs.jsonl\"\n[text]\ncolumns = [\"query\", \"document\"]\nhold_out = \"topic\"\nvocabulary = 400\n\
    [encoder]\nkind = \"static\"\nwidth = 16\n[method]\nkind = \"pairs\"\n\
    [sampler]\nbatch_size = 8\ncandidates = 40\nneighbors = 5\nuniform_epochs = 0\nrefresh_every = 4\n\
    [optimizer]\nkind = \"adamw\"\nlearning_rate = 0.02\nweight_decay = 0.0\n\
    [train]\nepochs = 3\nwarmup_epochs = 0.0\nembed_first = true\ncheckpoint_every = 2\nlog_every = 1\n";

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pairs.jsonl"), rows()).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn run(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn open(&self, settings: &[&str]) -> Result<(Experiment, Vec<String>), String> {
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let registry = Registry::standard();
        let begin = || {
            let mut recipe = Recipe::parse(PAIRS, Path::new("pairs.toml"), &settings, &registry)?;
            recipe.set_path("data.root", Some(self.0.path()));
            Experiment::open(recipe.validate(&registry)?, &registry, Arc::new(Silent))
        };
        begin().map_err(|error| error.to_string())
    }

    /// The error of opening, or of a trainer.
    fn error(&self, settings: &[&str]) -> String {
        match self.open(settings) {
            Err(error) => error,
            Ok((experiment, _)) => match experiment.trainer(&self.run("refused")) {
                Err(error) => error.to_string(),
                Ok(_) => panic!("{settings:?} is not refused"),
            },
        }
    }

    /// Trains in `run` to the end of the recipe and gives the weights.
    fn train(&self, settings: &[&str], run: &str) -> Arrays {
        let (experiment, _) = self.open(settings).unwrap();
        let (mut trainer, _) = experiment.trainer(&self.run(run)).unwrap();
        trainer.run(Watch::default()).unwrap();
        arrays_of(&mut trainer.method)
    }

    fn events(&self, run: &str, kind: &str) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.run(run).join("events.jsonl")).unwrap();
        let events = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        events.filter(|event| event["kind"] == kind).collect()
    }
}

fn evaluate(experiment: &Experiment, run: &Path) -> Evaluation {
    let result = experiment.result(run).unwrap();
    let scope = experiment.after_training();
    experiment.evaluate(&result.measured(None), scope, &Cancellation::new()).unwrap()
}

#[test]
fn held_out_queries_find_their_documents_better_than_before_training_and_bm25_stands_beside() {
    let place = Place::new();
    let settings = ["train.epochs=6", "method.softmax=symmetric"];
    let (experiment, _) = place.open(&settings).unwrap();
    assert_eq!(
        experiment.data().note().unwrap(),
        "pairs.jsonl: 88 rows to learn from, 8 held out for the test"
    );
    place.train(&settings, "run");
    let evaluation = evaluate(&experiment, &place.run("run"));
    let score = |name: &str| evaluation.number(&format!("pairs.jsonl_{name}")).unwrap();
    assert!(score("ndcg@10") > score("ndcg@10_untrained") + 0.05, "{evaluation:?}");
    for name in ["mrr@10", "recall@100", "ndcg@1", "map", "ndcg@10_bm25", "recall@100_bm25"] {
        assert!((0.0..=1.0).contains(&score(name)), "{name}");
    }
    assert!(evaluation.number("alignment").is_none(), "tasks alone are scored when training ends");
}

#[test]
fn the_first_epoch_has_look_alikes_by_the_encoder_that_training_begins_with() {
    let place = Place::new();
    place.train(&["train.epochs=1"], "run");
    let plans = place.events("run", "plan");
    assert!(plans[0]["graph"].is_object() && plans[0]["staleness"]["without_embedding"] == 0, "{}", plans[0]);
    // Without it the first batches are uniform until the first refresh.
    place.train(&["train.epochs=2", "train.embed_first=false"], "late");
    assert!(place.events("late", "plan")[0]["graph"].is_null());
}

#[test]
fn a_run_that_was_stopped_ends_with_the_bits_of_one_that_was_not() {
    let place = Place::new();
    let negatives = "text.columns=[\"query\", \"document\", \"negative\"]";
    for (number, settings) in [
        &["method.ceiling=0.95"][..],
        &["sampler.pairs=cross", "method.softmax=joint", negatives, "method.dimensions=[4, 8]"],
        &[
            "sampler.kind=uniform",
            "method.ceiling=0.9",
            "method.hardness=5.0",
            "method.hardness_of=all",
            negatives,
        ],
        &["negatives.mixing={ hardest = 4, between = 3, with_query = 2, warm_up = 0.0 }"],
        &["sampler.similarity_to_positive=0.98", "text.group=topic", "loss.kind=hard"],
    ]
    .into_iter()
    .enumerate()
    {
        let whole = place.train(settings, &format!("whole-{number}"));
        let run = format!("stopped-{number}");
        for steps in [3, 4] {
            place.train(&[settings, &[&format!("train.max_steps={steps}")]].concat(), &run);
        }
        assert!(whole == place.train(settings, &run), "{settings:?}");
    }
}

#[test]
fn rows_of_one_group_never_share_a_batch() {
    let place = Place::new();
    let (experiment, _) = place.open(&["text.group=topic"]).unwrap();
    let groups = experiment.data().groups().unwrap();
    place.train(&["text.group=topic"], "run");
    let plan = experiment.result(&place.run("run")).unwrap().plan;
    for batch in plan {
        let mut topics: Vec<u32> = batch.iter().map(|row| groups.rows[*row as usize]).collect();
        topics.sort_unstable();
        topics.dedup();
        assert_eq!(topics.len(), batch.len());
    }
}

#[test]
fn each_batch_is_from_one_set_and_a_set_in_turn_is_as_long_as_the_smallest() {
    let place = Place::new();
    let few: String = rows().lines().take(24).fold(String::new(), |all, line| all + line + "\n");
    place.write("few.jsonl", &few);
    let both = ["text.further=[\"few.jsonl\"]", "text.hold_out=\"topic\"", "train.epochs=2"];
    for order in ["proportional", "round-robin"] {
        let order_of = format!("text.order={order}");
        let settings = [&both[..], &[order_of.as_str()]].concat();
        let (experiment, _) = place.open(&settings).unwrap();
        let sizes = experiment.data().sets().unwrap().sizes;
        place.train(&settings, order);
        let plan = experiment.result(&place.run(order)).unwrap().plan;
        let set = |row: &u32| usize::from(*row as usize >= sizes[0]);
        let sets: Vec<usize> = plan.iter().map(|batch| set(&batch[0])).collect();
        assert!(plan.iter().all(|batch| batch.iter().all(|row| set(row) == set(&batch[0]))));
        let [first, second] = [0, 1].map(|set| sets.iter().filter(|own| **own == set).count());
        if order == "round-robin" {
            assert_eq!((first, second), (sizes[1] / 8, sizes[1] / 8));
        } else {
            assert_eq!((first, second), (sizes[0] / 8, sizes[1] / 8));
        }
    }
}

#[test]
fn a_dictionary_of_documents_leaves_out_what_answers_the_query() {
    let place = Place::new();
    // Views of two columns under methods of images: their queues, banks, mixing and losses.
    let views = "sampler.pairs=mean";
    for settings in [
        &["method.kind=moco", "negatives.size=32", "method.batch_norm_groups=1", "method.shuffle=false"][..],
        &["method.kind=instance-discrimination", "text.hold_out=topic"],
        &["method.kind=simclr", "loss.kind=hard", "method.projection={ layers = 0 }"],
        &[
            "method.kind=moco",
            "negatives.size=32",
            "method.batch_norm_groups=1",
            "method.shuffle=false",
            "negatives.mixing={ hardest = 8, between = 8, with_query = 4, warm_up = 0.0 }",
        ],
    ] {
        let name = settings.join("-").replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
        place.train(&[settings, &[views, "train.max_steps=6"]].concat(), &name);
        assert!(!place.events(&name, "diagnostics").is_empty());
    }
}

#[test]
fn a_development_part_is_told_from_training_and_its_overlap_is_said() {
    let place = Place::new();
    let (experiment, _) = place.open(&["text.development=held-out"]).unwrap();
    let development = experiment.data().development().unwrap();
    assert_eq!(development.name, "development");
    let train: String = rows().lines().skip(8).take(3).fold(String::new(), |all, line| all + line + "\n");
    place.write("seen.jsonl", &train);
    let (_, warnings) = place.open(&["text.development=seen.jsonl", "text.hold_out=topic"]).unwrap();
    assert!(
        warnings.iter().any(|warning| warning.contains("seen.jsonl") && warning.contains("of its 3 pairs")),
        "{warnings:?}"
    );
}

#[test]
fn the_best_step_of_the_development_part_stands_beside_the_last() {
    let place = Place::new();
    let settings = [
        "text.development=held-out",
        "train.evaluate_every=3",
        "train.schedule=linear",
        "optimizer.clip=1.0",
    ];
    let whole = place.train(&settings, "whole");
    let scores = place.events("whole", "development");
    assert_eq!(scores.len(), 10, "every third of thirty steps");
    let best = scores.iter().map(|event| event["score"].as_f64().unwrap()).fold(f64::MIN, f64::max);
    let last = &scores[scores.len() - 1];
    assert_eq!(last["best"].as_f64(), Some(best));
    let (experiment, _) = place.open(&settings).unwrap();
    let network = experiment.best(&place.run("whole")).unwrap().unwrap();
    let result = experiment.result(&place.run("whole")).unwrap();
    let scope = experiment.after_training();
    let evaluation =
        experiment.evaluate(&result.measured(Some(&*network)), scope, &Cancellation::new()).unwrap();
    assert!(evaluation.number("pairs.jsonl_ndcg@10_best").is_some());
    assert!(evaluation.number("pairs.jsonl_ndcg@10").is_some());
    for steps in [7, 13] {
        place.train(&[&settings[..], &[&format!("train.max_steps={steps}")]].concat(), "stopped");
    }
    assert!(whole == place.train(&settings, "stopped"));
    let read = |run: &str| std::fs::read(place.run(run).join("best.safetensors")).unwrap();
    assert!(read("whole") == read("stopped"));
    for (settings, words) in [
        (&["train.evaluate_every=3"][..], &["train.evaluate_every", "text.development"][..]),
        (&["text.development=held-out"], &["text.development", "train.evaluate_every"]),
    ] {
        let error = place.error(settings);
        assert!(words.iter().all(|word| error.contains(word)), "{settings:?}: {error}");
    }
}

#[test]
fn what_cannot_be_is_refused_by_key() {
    let place = Place::new();
    place.write("lines.txt", "one\ntwo\nthree\n");
    let lamps: String =
        rows().lines().filter(|row| row.contains("lamp")).fold(String::new(), |all, row| all + row + "\n");
    place.write("large.jsonl", &(rows() + &lamps.repeat(5)));
    place.write("same.jsonl", &"{\"query\":\"a\",\"document\":\"b\",\"topic\":\"c\"}\n".repeat(20));
    place.write(
        "broken.jsonl",
        "{\"query\":\"a\",\"document\":\"b\",\"topic\":\"tar\"}\n{\"query\":\"a\",\"topic\":\"x\"}\n",
    );
    for (settings, words) in [
        (&["text.columns=[\"query\"]"][..], &["text.columns", "documents"][..]),
        (&["text.columns=[\"query\", \"documents\"]"], &["documents"]),
        (&["data.name=lines.txt", "text.columns=[\"text\", \"more\"]"], &["lines.txt", "topic"]),
        (&["data.name=same.jsonl"], &["text.hold_out", "topic"]),
        (&["data.name=broken.jsonl"], &["broken.jsonl", "2"]),
        (&["text.group=query2"], &["query2"]),
        (&["data.name=large.jsonl", "text.group=topic"], &["text.group", "`lamp`", "batches"]),
        (&["text.group=topic", "sampler.batch_size=40"], &["sampler", "groups"]),
        (&["method.ceiling=0.95", "train.embed_first=false"], &["method.ceiling", "train.embed_first"]),
        (&["method.ceiling=1.5"], &["method.ceiling"]),
        (&["method.dimensions=[4, 16]"], &["method.dimensions", "16"]),
        (&["method.dimensions=[4]", "method.dimension_weights=[1.0, 2.0]"], &["method.dimension_weights"]),
        (&["method.hardness_of=own"], &["method.hardness_of", "method.hardness"]),
        (&["text.order=round-robin"], &["text.order", "text.further"]),
        (&["method.kind=simclr", "text.query_prompt=find", "sampler.pairs=mean"], &["text.query_prompt"]),
        (&["method.softmax=both"], &["symmetric"]),
        (
            &["method.hardness=1.0", "negatives.mixing={ hardest = 2 }"],
            &["negatives.mixing", "method.hardness"],
        ),
        (&["sampler.batch_size=1"], &["sampler.batch_size"]),
        (&["text.development=quora/dev2"], &["quora"]),
        (&["text.development=lines.txt"], &["lines", "pairs"]),
        (&["evaluate.scored_on=[\"mr\"]"], &["mr"]),
        (&["text.further=[\"lines.txt\"]"], &["lines.txt", "topic"]),
        (&["sampler.similarity_to_positive=0.0"], &["similarity_to_positive"]),
    ] {
        let error = place.error(settings);
        assert!(words.iter().all(|word| error.contains(word)), "{settings:?}: {error}");
    }
    let error = place.open(&["text.development=held-out", "text.hold_out=\"\""]);
    assert!(error.is_err());
}

#[test]
fn equal_texts_are_no_negatives_and_a_batch_of_nothing_else_has_a_loss_of_zero() {
    let place = Place::new();
    place.write("same.jsonl", &"{\"query\":\"a cat\",\"document\":\"a dog\",\"topic\":\"c\"}\n".repeat(40));
    let (experiment, _) = {
        let without = "[data]\nname = \"same.jsonl\"\n[text]\nvocabulary = 300\n[encoder]\nkind = \"static\"\nwidth = 8\n[method]\nkind = \"pairs\"\n\
            [sampler]\nkind = \"uniform\"\nbatch_size = 8\n[train]\nepochs = 1\nwarmup_epochs = 0.0\nlog_every = 1\n";
        let registry = Registry::standard();
        let mut recipe = Recipe::parse(without, Path::new("same.toml"), &[], &registry).unwrap();
        recipe.set_path("data.root", Some(place.0.path()));
        Experiment::open(recipe.validate(&registry).unwrap(), &registry, Arc::new(Silent)).unwrap()
    };
    let (mut trainer, _) = experiment.trainer(&place.run("same")).unwrap();
    trainer.run(Watch::default()).unwrap();
    for step in place.events("same", "step") {
        assert!(step["loss"].as_f64().unwrap().abs() < 1e-6, "{step}");
    }
    for diagnostics in place.events("same", "diagnostics") {
        assert_eq!(diagnostics["masked"], 1.0, "{diagnostics}");
    }
}
