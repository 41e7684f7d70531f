//! Masked language models and SimCSE beside PyTorch (`fixtures/make_simcse.py` made the numbers), and claim by claim.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{cpu, fixture, relative, series, values};
use lookalike_base::progress::{Cancellation, Silent, Watch};
use lookalike_base::tensors::{self, TensorFile};
use lookalike_data::text::TokenLists;
use lookalike_data::{BatchRequest, BatchSource, DataError};
use lookalike_learn::engine::{Precision, to_host};
use lookalike_learn::experiment::Experiment;
use lookalike_learn::head::MaskedHead;
use lookalike_learn::input::{Batch, Column, Input, RowId, Source, TextInput};
use lookalike_learn::method::{Method, Mlm};
use lookalike_learn::module::{Pass, for_each_tensor};
use lookalike_learn::negatives::Unobserved;
use lookalike_learn::recipe::Recipe;
use lookalike_learn::sentence::{EncodeOptions, SentenceEncoder};
use lookalike_learn::step::Step;
use lookalike_learn::train::optimizer::{NamedGradients, accumulate};
use lookalike_learn::train::{Chunk, TrainOptions, Trainer};
use lookalike_learn::{LearnError, Registry};

const BATCH: u32 = 8;
const STEPS: u64 = 20;

fn published() -> TensorFile {
    tensors::read(fixture("simcse.safetensors")).unwrap()
}

fn folder() -> PathBuf {
    fixture("sentence/bert")
}

fn numbers(file: &TensorFile, name: &str) -> Vec<u32> {
    file.tensors[name].as_u32().unwrap().to_vec()
}

/// Lists that stand one after another under a name, and others of the same lengths.
fn lists(file: &TensorFile, case: &str, name: &str, repeated: usize) -> TokenLists {
    let ids = numbers(file, name);
    let mut lists = TokenLists::default();
    let mut begin = 0;
    for length in numbers(file, &format!("{case}.lengths")).repeat(repeated) {
        lists.push(&ids[begin..begin + length as usize]);
        begin += length as usize;
    }
    lists
}

fn batch_of(input: TextInput) -> Batch {
    let count = input.tokens.len() as u32;
    Batch::of_views((0..count).collect(), vec![Input::new(input)])
}

/// What a pass of training without dropout makes of a batch: the loss, and all gradients.
fn gradients(method: &mut dyn Method, batch: &Batch, precision: Precision) -> (f32, NamedGradients) {
    let mut pass = Pass { gradient: true, precision, ..Pass::evaluation() };
    let outputs = method.encode(batch, &Step::default(), &mut pass).unwrap();
    let terms = method.loss(&outputs, &Step::default(), &mut Unobserved).unwrap();
    let total = terms.total().unwrap();
    let loss = total.clone().inner().into_scalar();
    let mut gradients = NamedGradients::new();
    accumulate(method, total.backward(), &mut gradients);
    (loss, gradients)
}

fn mlm(file: &TensorFile) -> Mlm {
    let encoder = SentenceEncoder::open(&folder(), &cpu()).unwrap().encoder;
    let mut stream = common::SEED.stream("masked head", 0, 0, 0);
    let head = MaskedHead::of(&encoder, Some(&file.tensors), &mut stream, &cpu()).unwrap();
    Mlm::new(Box::new(encoder), head)
}

fn masked_texts(file: &TensorFile) -> TextInput {
    let originals = Some(lists(file, "mlm", "mlm.originals", 1));
    TextInput { originals, ..lists(file, "mlm", "mlm.ids", 1).into() }
}

#[test]
fn loss_and_gradients_of_a_masked_language_model_are_those_of_hugging_face() {
    let file = published();
    let mut method = mlm(&file);
    let batch = batch_of(masked_texts(&file));
    let (loss, gradients) = gradients(&mut method, &batch, Precision::F32);
    let expected = values(&file, "mlm.loss")[0];
    assert!((loss - expected).abs() < 1e-5 * expected, "{loss}, not {expected}");
    let mut compared = 0;
    for (name, gradient) in &gradients {
        let theirs = match name.strip_prefix("encoder.") {
            Some(own) => format!("gradient of bert.{own}"),
            None => format!("gradient of {name}"),
        };
        let theirs = values(&file, &theirs);
        let ours = to_host(gradient.clone());
        // The gradient of a key's bias is 0 but for rounding.
        if !name.ends_with("key.bias") {
            let off = relative(&ours, theirs);
            assert!(off < 2e-5, "{name}: off by {off}");
        }
        compared += 1;
    }
    let all = file.tensors.keys().filter(|name| name.starts_with("gradient of ")).count();
    assert_eq!(compared, all);
}

#[test]
fn masked_tokens_are_told_at_bf16_too_and_in_parts_of_a_batch() {
    let file = published();
    let mut method = mlm(&file);
    let input = masked_texts(&file);
    let (whole, _) = gradients(&mut method, &batch_of(input.clone()), Precision::F32);
    if Precision::Bf16.is_native() {
        let (rounded, _) = gradients(&mut method, &batch_of(input.clone()), Precision::Bf16);
        assert!(rounded != whole && (rounded - whole).abs() < 0.05 * whole, "{rounded} and {whole}");
    }
    // The losses of texts add up, whoever shares their part; and targets go with their texts.
    let input = Input::new(input);
    let rows: Vec<u32> = (0..input.count() as u32).rev().collect();
    let (back, rest) = rows.split_at(5);
    let turned = Input::join(&[&input.select(back), &input.select(rest)]).unwrap();
    let batch = Batch::of_views(rows.clone(), vec![turned]);
    let (again, _) = gradients(&mut method, &batch, Precision::F32);
    assert!((again - whole).abs() < 1e-6 * whole, "{again} and {whole}");
    let plain = Input::new(TextInput::from(lists(&file, "mlm", "mlm.ids", 1)));
    let error = Input::join(&[&input, &plain]).unwrap_err().to_string();
    assert!(error.contains("masked"), "{error}");
    let batch = Batch::of_views((0..plain.count() as u32).collect(), vec![plain]);
    let error = method.encode(&batch, &Step::default(), &mut Pass::evaluation()).unwrap_err();
    assert!(error.to_string().contains("no masked tokens"), "{error}");
}

#[test]
fn a_batch_without_a_target_has_a_loss_and_gradients_of_zero() {
    let file = published();
    let mut method = mlm(&file);
    let mut input = masked_texts(&file);
    for original in &mut input.originals.as_mut().unwrap().ids {
        *original = u32::MAX;
    }
    let (loss, gradients) = gradients(&mut method, &batch_of(input), Precision::F32);
    assert!(loss == 0.0 && !gradients.is_empty());
    assert!(gradients.into_values().all(|gradient| to_host(gradient).iter().all(|value| *value == 0.0)));
}

/// The texts of a published run, batch by batch.
struct Replay {
    file: TensorFile,
    case: &'static str,
    /// Texts of each instance.
    views: u32,
}

impl Replay {
    /// Of the batch of `request` the texts that `rows` numbers, each with the row and view it is of.
    fn column(
        &self,
        lists: &TokenLists,
        request: &BatchRequest,
        rows: impl Iterator<Item = (u32, u32)> + Clone,
    ) -> (TokenLists, Arc<[RowId]>) {
        let first = request.step as u32 * self.views * BATCH;
        let ids = rows.clone().map(|(row, view)| RowId { instance: request.instances[row as usize], view });
        let numbers: Vec<u32> = rows.map(|(row, view)| first + view * BATCH + row).collect();
        (lists.select(&numbers), ids.collect())
    }
}

impl BatchSource for Replay {
    type Batch = Batch;

    fn batch(&self, request: &BatchRequest) -> Result<Batch, DataError> {
        let lists_of = |name: &str| lists(&self.file, self.case, &format!("{}.{name}", self.case), 1);
        let texts = lists_of("ids");
        let of_view = |view: u32| {
            let rows = (0..BATCH).map(move |row| (row, view)).take(if view < self.views { 8 } else { 0 });
            let (tokens, rows) = self.column(&texts, request, rows);
            Column { input: Input::new(TextInput::from(tokens)), rows }
        };
        let mut columns: Vec<Column> = (0..3).map(of_view).collect();
        if self.case == "masked" {
            let rows = (0..BATCH).flat_map(|row| (0..self.views).map(move |view| (row, view)));
            let (tokens, ids) = self.column(&lists_of("masked.ids"), request, rows.clone());
            let (originals, _) = self.column(&lists_of("masked.originals"), request, rows);
            let input = TextInput { originals: Some(originals), ..tokens.into() };
            columns.push(Column { input: Input::new(input), rows: ids });
        }
        Ok(Batch { instances: request.instances.clone(), columns })
    }
}

/// SimCSE from the published weights, which lie in `weights`, with dropout off, by a recipe.
fn experiment(weights: &Path, keys: &[&str]) -> Result<Experiment, LearnError> {
    let registry = Registry::standard();
    let weights = format!("encoder.weights={}", weights.display());
    let root = format!("data.root={}", fixture("sentence").display());
    let keys = ["method.kind=simcse", "data.name=texts.txt", "encoder.kind=bert", &weights, &root]
        .into_iter()
        .chain(["encoder.pooling=cls", "encoder.dropout=0.0", "encoder.attention_dropout=0.0"])
        .chain(["sampler.kind=uniform", "sampler.batch_size=8", "train.epochs=20", "train.warmup_epochs=0"])
        .chain(["optimizer.kind=adamw", "optimizer.learning_rate=2e-3", "optimizer.weight_decay=0"])
        .chain(["optimizer.clip=1.0", "train.schedule=linear"])
        .chain(keys.iter().copied())
        .map(str::to_owned);
    let recipe = Recipe::parse("", Path::new("simcse.toml"), &keys.collect::<Vec<_>>(), &registry)?;
    Ok(Experiment::open(recipe.validate(&registry)?, &registry, Arc::new(Silent))?.0)
}

/// The published weights in a folder that ends with pooling: the program's head reads the first token's vector at whatever length.
fn without_normalize(place: &Path) -> PathBuf {
    let path = place.join("bert");
    common::copy(&folder(), &path);
    let modules = path.join("modules.json");
    let text = std::fs::read_to_string(&modules).unwrap();
    let mut listed: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    listed.retain(|module| !module["type"].as_str().unwrap().ends_with("Normalize"));
    assert_eq!(listed.len(), 2);
    std::fs::write(&modules, serde_json::to_string(&listed).unwrap()).unwrap();
    path
}

/// The losses of 20 steps on the published batches.
fn losses(case: &'static str, views: u32, keys: &[&str], chunk: Option<usize>) -> Vec<f64> {
    let file = published();
    let folder = tempfile::tempdir().unwrap();
    let experiment = experiment(&without_normalize(folder.path()), keys).unwrap();
    let mut method = experiment.method().unwrap();
    let mut replaced = 0;
    for_each_tensor(&mut method, &mut |name, _, tensor| {
        if let Some(theirs) = file.tensors.get(name) {
            let theirs = theirs.as_f32().unwrap().to_vec();
            tensor.assign(lookalike_learn::engine::from_host(theirs.clone(), [theirs.len()], &cpu()));
            replaced += 1;
        }
    });
    assert_eq!(replaced, if case == "masked" { 7 } else { 2 });
    let run = folder.path().join("run");
    let recipe = experiment.recipe();
    let options = TrainOptions {
        optimizer: recipe.optimizer().clone(),
        schedule: recipe.schedule(1),
        chunk: chunk.map(Chunk::Instances),
        ..common::options(&run, BATCH as usize, recipe.sampler().clone(), STEPS)
    };
    let source: Source = Arc::new(Replay { file, case, views });
    let (mut trainer, _) = Trainer::open(method, source, options).unwrap();
    trainer.run(Watch::silent(&Cancellation::new())).unwrap();
    series(&run, "step", "loss")
}

#[test]
fn twenty_steps_have_the_losses_of_the_published_program() {
    let file = published();
    for (case, views, keys) in [
        ("unsupervised", 2, &[][..]),
        ("supervised", 3, &["method.hard_negative_weight=1.5"]),
        ("masked", 2, &["method.mlm=0.1"]),
    ] {
        let theirs = values(&file, &format!("{case}.losses"));
        for chunk in [None, Some(3)] {
            let ours = losses(case, views, keys, chunk);
            assert_eq!(ours.len(), theirs.len());
            for (step, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                let off = (ours - f64::from(*theirs)).abs();
                assert!(off < 1e-4, "{case}, step {step}: {ours}, not {theirs}");
            }
        }
    }
}

/// A recipe on texts that stand in a file `texts.txt`, or on another file, with keys set one after another.
fn open(root: &Path, keys: &[&str]) -> Result<(Experiment, Vec<String>), LearnError> {
    let registry = Registry::standard();
    let root = format!("data.root={}", root.display());
    let small = ["encoder.layers=1", "encoder.width=16", "encoder.heads=2", "encoder.positions=40"];
    let from_nothing = !keys.iter().any(|key| key.starts_with("encoder."));
    let keys = ["data.name=texts.txt", "encoder.kind=bert", &root]
        .into_iter()
        .chain(small.into_iter().filter(|_| from_nothing))
        .chain(["sampler.kind=uniform", "sampler.batch_size=8", "train.warmup_epochs=0"])
        .chain(["optimizer.kind=adamw", "optimizer.learning_rate=5e-3", "train.log_every=1"])
        .chain(keys.iter().copied())
        .map(str::to_owned);
    let recipe = Recipe::parse("", Path::new("test.toml"), &keys.collect::<Vec<_>>(), &registry)?;
    Experiment::open(recipe.validate(&registry)?, &registry, Arc::new(Silent))
}

/// Lines of words, of which each has a place of its own in its line.
fn lines(count: usize) -> String {
    let words = ["the cat", "sits on", "a mat", "in the house", "of the king"];
    let line = |at: usize| (0..5).map(|word| words[(word + at) % 5]).collect::<Vec<_>>().join(" ");
    (0..count).fold(String::new(), |text, at| text + &line(at) + "\n")
}

fn place(files: &[(&str, &str)]) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(place.path().join(name), text).unwrap();
    }
    place
}

fn trained(experiment: &Experiment, run: &Path) -> Vec<f64> {
    let (mut trainer, _) = experiment.trainer(run).unwrap();
    trainer.run(Watch::silent(&Cancellation::new())).unwrap();
    series(run, "step", "loss")
}

#[test]
fn an_encoder_is_made_of_nothing_but_texts_and_simcse_goes_on_from_its_folder() {
    let place = place(&[
        ("texts.txt", &lines(64)),
        ("pairs.tsv", &format!("a\tb\n{}", "one two\tthree four\n".repeat(16))),
    ]);
    let keys = ["method.kind=mlm", "train.epochs=12", "text.vocabulary=300"];
    let (experiment, _) = open(place.path(), &keys).unwrap();
    let [run, again] = ["run", "again"].map(|name| place.path().join(name));
    let losses = trained(&experiment, &run);
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let (early, late) = (mean(&losses[..8]), mean(&losses[losses.len() - 8..]));
    assert!(losses.len() == 96 && late < 0.6 * early, "the loss went from {early} to {late}");
    assert_eq!(trained(&open(place.path(), &keys).unwrap().0, &again), losses, "the same again");

    // The head is left behind, and what is exported is what SimCSE starts from.
    let result = experiment.result(&run).unwrap();
    experiment.save_model(&run, result.trained.as_deref().unwrap(), result.step).unwrap();
    let folder = place.path().join("folder");
    lookalike_learn::experiment::export(experiment.recipe(), &run, &folder, None).unwrap();
    let names = tensors::read(folder.join("model.safetensors")).unwrap().tensors;
    assert!(names.keys().all(|name| !name.starts_with("cls.")), "{:?}", names.keys());
    let weights = format!("encoder.weights={}", folder.display());
    for keys in [
        &["text.views=dropout"][..],
        &["text.views=crop", "method.symmetric=true"],
        &["text.views=delete", "method.head=none"],
        &["text.views=repeat", "method.mlm=0.1", "train.chunk=3"],
        &["data.name=pairs.tsv", "text.columns=[\"a\", \"b\"]", "method.mlm=0.1"],
    ] {
        let keys =
            [&["method.kind=simcse", "train.epochs=2", "encoder.pooling=cls", &weights][..], keys].concat();
        let (experiment, _) = open(place.path(), &keys).unwrap();
        let run = place.path().join(format!("simcse {}", keys[4]));
        let losses = trained(&experiment, &run);
        assert!(losses.iter().all(|loss| loss.is_finite() && *loss >= 0.0), "{keys:?}: {losses:?}");
        let result = experiment.result(&run).unwrap();
        experiment.save_model(&run, result.trained.as_deref().unwrap(), result.step).unwrap();
        let folder = run.join("folder");
        lookalike_learn::experiment::export(experiment.recipe(), &run, &folder, None).unwrap();
        let mut encoder = SentenceEncoder::open(&folder, &cpu()).unwrap();
        let cancellation = Cancellation::new();
        let vectors =
            encoder.encode(&["the cat"], &EncodeOptions::default(), Watch::silent(&cancellation)).unwrap();
        assert_eq!(vectors.rows.columns(), 16);
    }
}

#[test]
fn a_head_for_masked_tokens_is_read_from_a_checkpoint_that_has_one() {
    let file = published();
    let place = place(&[("texts.txt", &lines(16))]);
    let path = place.path().join("bert");
    common::copy(&folder(), &path);
    let mut model = tensors::read(path.join("model.safetensors")).unwrap();
    let head = file.tensors.iter().filter(|(name, _)| name.starts_with("cls."));
    model.tensors.extend(head.map(|(name, array)| (name.clone(), array.clone())));
    tensors::write(path.join("model.safetensors"), &model).unwrap();
    let weights = format!("encoder.weights={}", path.display());
    for keys in [&["method.kind=mlm"][..], &["method.kind=simcse", "method.mlm=0.1"]] {
        let (experiment, _) = open(place.path(), &[keys, &[weights.as_str()]].concat()).unwrap();
        let mut found = 0;
        for_each_tensor(&mut experiment.method().unwrap(), &mut |name, _, tensor| {
            if name.starts_with("cls.") {
                assert_eq!(to_host(tensor.flat()), values(&file, name), "{name}");
                found += 1;
            }
        });
        assert_eq!(found, 5);
    }
}

#[test]
fn what_cannot_be_is_refused_with_what_would_be_right() {
    let place = place(&[
        ("texts.txt", &lines(16)),
        ("triplets.jsonl", "{\"a\":\"x\",\"b\":\"y\",\"c\":\"z\"}\n{\"a\":\"x\",\"b\":\"y\"}\n"),
    ]);
    let hidden = place.path().join("tokenizer.json");
    let text = std::fs::read_to_string(folder().join("tokenizer.json")).unwrap();
    std::fs::write(&hidden, text.replace("[MASK]", "[HIDE]")).unwrap();
    let tokenizer = format!("text.tokenizer={}", place.path().display());
    let [bert, table] = ["bert", "static"]
        .map(|name| format!("encoder.weights={}", fixture("sentence").join(name).display()));
    let other = format!("text.tokenizer={}", fixture("sentence/roberta").display());
    let columns = "text.columns=[\"a\", \"b\", \"c\"]";
    for (keys, words) in [
        (&["method.kind=mlm", &tokenizer][..], &["text.tokenizer", "[MASK]"][..]),
        (&["method.kind=simcse", "method.mlm=0.1", &tokenizer], &["text.tokenizer", "[MASK]"]),
        (&["method.kind=mlm", "encoder.kind=static"], &["static", "bert"]),
        (&["method.kind=simcse", "method.mlm=0.1", "encoder.kind=static", &table], &["method.mlm", "static"]),
        (&["method.kind=simcse", "sampler.batch_size=1"], &["sampler.batch_size", "2"]),
        (&["method.kind=simcse", &bert, &other], &["text.tokenizer", "260"]),
        (&["method.kind=mlm", "text.views=crop"], &["text.views"]),
        (&["method.kind=simcse", "text.views=crops"], &["text.views", "crop"]),
        (&["method.kind=simcse", "data.name=triplets.jsonl", columns], &["triplets.jsonl", "line 2", "`c`"]),
        (
            &[
                "method.kind=simcse",
                "data.name=triplets.jsonl",
                "text.columns=[\"a\", \"b\"]",
                "text.views=crop",
            ],
            &["text.views", "text.columns"],
        ),
    ] {
        let run = place.path().join("run");
        let opened = open(place.path(), keys).and_then(|(experiment, _)| experiment.trainer(&run));
        let error = opened.err().unwrap_or_else(|| panic!("{keys:?} is accepted")).to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{keys:?}: {error}");
    }
}

#[test]
fn equal_views_of_an_encoder_without_dropout_are_warned_of() {
    let place = place(&[("texts.txt", &lines(16))]);
    let table = format!("encoder.weights={}", fixture("sentence/static").display());
    let keys = ["method.kind=simcse", "encoder.kind=static", &table, "train.epochs=1"];
    let (_, warnings) = open(place.path(), &keys).unwrap();
    assert!(warnings.iter().any(|warning| warning.contains("text.views")), "{warnings:?}");
    let (experiment, warnings) = open(place.path(), &[&keys[..], &["text.views=delete"]].concat()).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert!(trained(&experiment, &place.path().join("run")).iter().all(|loss| loss.is_finite()));
}

#[test]
fn equal_texts_of_one_column_are_negatives_as_published_and_those_of_rows_are_none() {
    let equal = "the cat sits\n".repeat(8);
    let rows = format!("a\tb\n{}", "the cat\tsits here\n".repeat(8));
    let place = place(&[("texts.txt", &equal), ("rows.tsv", &rows)]);
    let off =
        ["method.kind=simcse", "train.epochs=1", "encoder.dropout=0.0", "encoder.attention_dropout=0.0"];
    let sizes = ["encoder.layers=1", "encoder.width=16", "encoder.heads=2"];
    let losses = |name: &str, more: &[&str]| {
        let keys = [&off[..], &sizes, more].concat();
        trained(&open(place.path(), &keys).unwrap().0, &place.path().join(name))
    };
    let one = losses("one", &[]);
    assert!((one[0] - 8.0_f64.ln()).abs() < 1e-5, "{one:?}");
    let pairs = ["data.name=rows.tsv", "text.columns=[\"a\", \"b\"]"];
    assert_eq!(losses("masked", &pairs), [0.0]);
    let all = losses("all", &[&pairs[..], &["text.mask_relevant=false"]].concat());
    assert!((all[0] - 8.0_f64.ln()).abs() < 1e-5, "{all:?}");
}
