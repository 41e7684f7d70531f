//! A modality, an encoder, a method, a loss and a score that this program does not bring along are registered, and then read from a
//! recipe, refused in wrong combinations, trained, resumed and evaluated like any other.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

mod common;
#[allow(unreachable_pub, reason = "each test program uses some of them")]
mod toy;

use std::path::Path;
use std::sync::Arc;

use common::{checkpoints, copy, newest_bytes, relative, series};
use lookalike_base::arrays::Arrays;
use lookalike_base::progress::{Cancellation, Silent, Watch};
use lookalike_data::{BatchRequest, Split};
use lookalike_learn::encoder::EncoderEntry;
use lookalike_learn::engine::to_host;
use lookalike_learn::evaluate::{Evaluation, ScoreEntry};
use lookalike_learn::experiment::Experiment;
use lookalike_learn::loss::LossEntry;
use lookalike_learn::method::MethodEntry;
use lookalike_learn::modality::{ArmKind, Measure, ModalityEntry, Scope};
use lookalike_learn::module::{Pass, arrays_of};
use lookalike_learn::negatives::{NegativesEntry, Pool};
use lookalike_learn::options::Settings;
use lookalike_learn::recipe::{Recipe, ValidRecipe, reference};
use lookalike_learn::registry::{Entry, Kind};
use lookalike_learn::step::Step;
use lookalike_learn::train::result::MODEL;
use lookalike_learn::{LearnError, Registry};
use toy::encoder::MLP;
use toy::loss::TRIPLET;
use toy::method::CENTRED;
use toy::modality::VECTORS;
use toy::score::LENGTH;
use toy::{TOYS, registry};

fn parse(settings: &[&str], registry: &Registry) -> Result<Recipe, LearnError> {
    let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
    Recipe::parse(TOYS, Path::new("toys.toml"), &settings, registry)
}

fn validate(settings: &[&str]) -> Result<ValidRecipe, String> {
    let registry = registry();
    parse(settings, &registry)
        .and_then(|recipe| recipe.validate(&registry))
        .map_err(|error| error.to_string())
}

fn experiment(settings: &[&str]) -> Experiment {
    let recipe = validate(settings).unwrap();
    Experiment::open(recipe, &registry(), Arc::new(Silent)).unwrap().0
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

#[test]
fn what_is_registered_is_trained_by_look_alikes_and_scored_beside_raw_rows_and_the_untrained_encoder() {
    let place = tempfile::tempdir().unwrap();
    let recipe = validate(&["train.epochs=24"]).unwrap();
    let (opened, warnings) = Experiment::open(recipe, &registry(), Arc::new(Silent)).unwrap();
    assert_eq!(warnings, ["these points are toys"]);
    let choice = opened.recipe().choice();
    let names = [Kind::Method, Kind::Encoder, Kind::Modality, Kind::Negatives, Kind::Loss];
    assert_eq!(names.map(|kind| choice.name(kind)), ["centred", "mlp", "vectors", "batch", "triplet"]);
    train(&opened, place.path());
    let loss = series(place.path(), "step", "loss");
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    assert!(mean(&loss[230..]) < 0.7 * mean(&loss[..10]), "{loss:?}");
    // What is compared is watched, whatever the method.
    assert_eq!(series(place.path(), "diagnostics", "positive_similarity").len(), 240);

    let evaluation = evaluate(&opened, place.path(), Scope::FULL);
    for (score, raw_knows) in [("knn", false), ("linear", true)] {
        let [trained, untrained, raw] =
            ["", "_untrained", "_rows"].map(|arm| evaluation.number(&format!("{score}{arm}")).unwrap());
        assert!(trained > untrained + 0.1 && trained > 0.8, "{evaluation:?}");
        // Neighbours of raw rows are near in what says nothing; a linear classifier passes over that.
        assert!(if raw_knows { raw > 0.99 } else { trained > raw + 0.1 }, "{evaluation:?}");
    }
    assert!(evaluation.number("length").unwrap() > 0.0);
    assert!(evaluation.get("length_untrained").is_none() && evaluation.get("hardness").is_none());
    // Nothing of it has BatchNorm.
    assert!(evaluation.get("knn_training_statistics").is_none());
    let after_training = evaluate(&opened, place.path(), opened.recipe().choice().modality.after_training);
    assert_eq!(after_training.get("knn"), evaluation.get("knn"));
    assert_eq!(after_training.get("knn_untrained"), evaluation.get("knn_untrained"));
    assert!(after_training.get("linear").is_none() && after_training.get("knn_rows").is_none());
}

#[test]
fn a_run_that_was_stopped_ends_with_the_bits_of_one_that_was_not() {
    let place = tempfile::tempdir().unwrap();
    for (number, settings) in [
        &[][..],
        &["loss.kind=nt-xent", "encoder.dropout=0.2", "train.accumulate=2"],
        &["method.kind=simclr", "loss.kind=triplet", "method.projection.batch_norm=all"],
        &["method.kind=moco", "negatives.size=64", "train.freeze=[\"0\"]"],
    ]
    .into_iter()
    .enumerate()
    {
        let run = |name: &str| place.path().join(format!("{name}-{number}"));
        train(&experiment(settings), &run("whole"));
        for steps in ["train.max_steps=17", "train.max_steps=32"] {
            train(&experiment(&[settings, &[steps]].concat()), &run("stopped"));
        }
        // As a crash would leave it, two steps behind a checkpoint.
        copy(&run("stopped"), &run("killed"));
        std::fs::remove_file(checkpoints(&run("killed")).last().unwrap()).unwrap();
        for name in ["stopped", "killed"] {
            train(&experiment(settings), &run(name));
            assert!(newest_bytes(&run(name)) == newest_bytes(&run("whole")), "{name} {settings:?}");
        }
    }
}

#[test]
fn what_is_registered_is_refused_in_wrong_combinations_and_what_is_not_altogether() {
    for (settings, said) in [
        (
            &["encoder.kind=small"][..],
            "encoder.kind: `small` does not go with method `centred`, which takes `mlp`",
        ),
        (
            &["method.kind=graphcl"],
            "encoder.kind: `mlp` does not go with method `graphcl`, which takes `gin`",
        ),
        (&["method.kind=moco-v3"], "`mlp` does not go with method `moco-v3`, which takes `resnet18`"),
        (
            &["method.kind=moco", "loss.kind=triplet"],
            "`triplet` does not go with method `moco`, which takes `info-nce`",
        ),
        (
            &["loss.kind=alignment"],
            "`alignment` does not go with method `centred`, which takes `triplet`, `nt-xent`",
        ),
        (&["negatives.kind=queue"], "which takes `batch`"),
        (&["encoder.kind=mlpp"], "did you mean `mlp`?"),
        (&["method.kind=centered"], "did you mean `centred`?"),
        (&["encoder.widht=3"], "did you mean `width`?"),
        (&["vectors.noize=3.0"], "did you mean `noise`?"),
        (&["vector.noise=3.0"], "did you mean `vectors`?"),
        (&["vectors.views=nois"], "did you mean `noise`?"),
        (&["encoder.dropout=1.0"], "encoder.dropout: must be 0 up to below 1"),
        (&["data.points=0"], "data.points: must be at least 1"),
        (&["method.inertia=2"], "method.inertia"),
        (&["loss.margin=0.0"], "loss.margin: must be above 0"),
        (
            &["loss.margin=0.3", "loss.kind=nt-xent"],
            "loss.margin: is not read where loss.kind is `nt-xent`, only under `triplet`",
        ),
        (&["loss.temperature=0.3"], "loss.temperature: is not read where loss.kind is `triplet`"),
        (
            &["method.kind=simclr", "method.inertia=0.3"],
            "method.inertia: is not read where method.kind is `simclr`, only under `centred`",
        ),
        (&["negatives.oracle=true"], "negatives.oracle: is not read"),
        (
            &["augment.flip=0.25"],
            "augment.flip: is not read where the modality is `vectors`, only under `image`",
        ),
        (&["graphs.augment={ kind = \"random2\" }"], "graphs.augment: is not read"),
        (&["evaluate.svm=linear"], "evaluate.svm: is not read"),
        (&["evaluate.norm=0.0"], "evaluate.norm: must be above 0"),
        (&["train.precision=bf16"], "encoder `mlp` is neither"),
        (&["data.points=4"], "vectors.clusters: must be at most data.points"),
        (&["method.projection.dimension=1"], "method.projection.dimension: must be at least 2"),
        (&["sampler.batch_size=1"], "sampler.batch_size"),
    ] {
        let error = validate(settings).expect_err(&format!("{settings:?} is accepted"));
        assert!(error.contains(said), "{settings:?}: {error}");
    }
    // The other way round: what belongs to points is not read of images.
    let images = ["encoder.kind=small", "method.kind=simclr"];
    for (setting, said) in [
        (
            "vectors.clusters=3",
            "vectors.clusters: is not read where the modality is `image`, only under `vectors`",
        ),
        ("vectors.noise=1.0", "vectors.noise: is not read"),
        ("data.points=3", "data.points: is not read"),
        ("encoder.dropout=0.5", "encoder.dropout: is not read where encoder.kind is `small`"),
    ] {
        let error = validate(&[&images[..], &[setting]].concat()).unwrap_err();
        assert!(error.contains(said), "{setting}: {error}");
    }
    // A score that names images is measured on them though they do not list it.
    assert!(validate(&[&images[..], &["evaluate.norm=1.0"]].concat()).is_ok());
    assert!(validate(&images).is_ok() && validate(&["method.kind=simclr", "loss.kind=triplet"]).is_ok());
    let unknown = parse(&[], &Registry::standard()).unwrap_err().to_string();
    assert!(unknown.contains("is not one of"), "{unknown}");
    // More instances a batch than there are, and a mixing without enough negatives, are known once the data are.
    let place = tempfile::tempdir().unwrap();
    let error = experiment(&["data.points=20"]).trainer(place.path()).err().unwrap().to_string();
    assert!(error.contains("sampler"), "{error}");
}

#[test]
fn a_recipe_on_what_is_registered_is_written_out_with_every_default_and_reads_back_the_same() {
    for settings in [&[][..], &["loss.kind=nt-xent", "encoder.dropout=0.5"], &["method.kind=simclr"]] {
        let valid = validate(settings).unwrap();
        let text = valid.to_toml().unwrap();
        let registry = registry();
        let again = Recipe::parse(&text, Path::new("again.toml"), &[], &registry).unwrap();
        assert_eq!(again.validate(&registry).unwrap().settings(), valid.settings(), "{text}");
    }
    let settings = validate(&[]).unwrap().settings().clone();
    let number = |settings: &Settings, path: &str| settings.value(path).and_then(toml::Value::as_float);
    assert_eq!((settings.integer("data.points"), settings.integer("vectors.clusters")), (Some(240), Some(6)));
    assert_eq!(
        (number(&settings, "vectors.noise"), number(&settings, "loss.margin")),
        (Some(3.0), Some(0.5))
    );
    assert_eq!(number(&settings, "method.inertia"), Some(0.9));
    assert_eq!(settings.integer("method.projection.layers"), Some(2), "what is not given within a table");
    let other = validate(&["loss.kind=nt-xent"]).unwrap();
    assert_eq!(number(other.settings(), "loss.temperature"), Some(0.25), "the method's own");
    let page = reference::markdown(&registry());
    for row in [
        "| `centred` | `mlp` | `batch` | `triplet`, `nt-xent` | 0.25 |",
        "| `vectors` | `mlp` |",
        "`inertia`",
        "`norm`",
        "## `[vectors]`",
        "| `clusters` |",
    ] {
        assert!(page.contains(row), "{row}");
    }
}

#[test]
fn an_entry_of_a_name_that_there_is_takes_its_place() {
    let before = Registry::standard().names(Kind::Encoder);
    let registry = registry().with(EncoderEntry { kind: "small", ..MLP });
    assert_eq!(registry.names(Kind::Encoder).len(), before.len() + 1);
    let valid = parse(&["encoder.kind=small"], &registry).unwrap().validate(&registry).unwrap();
    assert_eq!(valid.choice().modality.kind, "vectors");
    // The first that fits is the default, which one that takes its place stays.
    let standard = Registry::standard();
    let simclr = standard.method("simclr").unwrap();
    let own = **standard.encoders_of(simclr).first().unwrap();
    assert_eq!(own.kind, "resnet18");
    let replaced = Registry::standard().with(EncoderEntry { about: "another", ..own });
    let first = replaced.encoders_of(simclr)[0];
    assert_eq!((first.kind, first.about), ("resnet18", "another"));
}

#[test]
fn a_score_is_measured_on_a_modality_by_its_entry_alone() {
    let of_images = ScoreEntry { modalities: &[("image", &[ArmKind::Trained])], ..LENGTH };
    let registry = Registry::standard().with(of_images);
    let offers = registry.offers();
    let norm = offers.iter().find(|offer| offer.path() == "evaluate.norm").unwrap();
    assert_eq!(norm.readers, [(Kind::Modality, "image")]);
    let recipe = Recipe::parse("[data]\nname = \"glyphs\"\n", Path::new("glyphs.toml"), &[], &registry);
    let valid = recipe.unwrap().validate(&registry).unwrap();
    let last = valid.measures().last().unwrap();
    assert_eq!((last.score, last.arms), ("length", &[ArmKind::Trained][..]));
}

#[test]
fn an_entry_that_names_what_is_not_registered_is_refused_with_that_name() {
    const PLAIN: Measure = Measure { score: "lenght", arms: &[ArmKind::Trained] };
    let score = ScoreEntry { modalities: &[("vector", &[])], ..LENGTH };
    for (entry, said) in [
        (
            Entry::from(MethodEntry { losses: &["triplett"], ..CENTRED }),
            "method `centred`: names `triplett` among its losses, which is not registered; did you mean `triplet`?",
        ),
        (MethodEntry { encoders: &["mpl"], ..CENTRED }.into(), "names `mpl` among its encoders"),
        (MethodEntry { negatives: &["bnk"], ..CENTRED }.into(), "names `bnk` among its negatives"),
        (MethodEntry { modalities: &["vector"], ..CENTRED }.into(), "did you mean `vectors`?"),
        (EncoderEntry { modalities: &["sound"], ..MLP }.into(), "encoder `mlp`: names `sound`"),
        (LossEntry { methods: &["simclear"], ..TRIPLET }.into(), "loss `triplet`: names `simclear`"),
        (ModalityEntry { scores: &[PLAIN], ..VECTORS }.into(), "modality `vectors`: names `lenght`"),
        (score.into(), "score `length`: names `vector`"),
    ] {
        let error = registry().with(entry).check().unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
        let other = registry().with(entry);
        assert!(parse(&[], &registry()).unwrap().validate(&other).is_err(), "{said}");
    }
    assert!(registry().check().is_ok() && Registry::standard().check().is_ok());
}

#[test]
fn a_source_of_negatives_names_its_methods_itself() {
    const OTHERS: NegativesEntry = NegativesEntry {
        kind: "others",
        about: "those of another computer",
        keys: &[],
        methods: &["centred"],
        pool: Pool::Batch,
    };
    let registry = registry().with(OTHERS);
    let valid = parse(&["negatives.kind=others"], &registry).unwrap().validate(&registry).unwrap();
    assert_eq!(valid.choice().negatives.kind, "others");
    let error = parse(&["negatives.kind=others", "sampler.batch_size=1"], &registry);
    let error = error.unwrap().validate(&registry).unwrap_err().to_string();
    assert!(error.contains("sampler.batch_size: must be at least 2"), "{error}");
}

/// Two views of the first instances, encoded for training by the method of `settings` before its first step.
fn views(settings: &[&str], instances: &[u32], dropped: bool) -> [Vec<f32>; 2] {
    let experiment = experiment(settings);
    let recipe = experiment.recipe();
    let source = experiment.data().batches(recipe.columns(), Split::Train, recipe.seed()).unwrap();
    let request = BatchRequest { instances: instances.to_vec(), epoch: 0, step: 0 };
    let step = Step { instances: instances.to_vec(), ..Step::default() };
    let training = Pass::training(&step);
    let mut pass = Pass { dropout: training.dropout.filter(|_| dropped), ..training };
    let mut method = experiment.method().unwrap();
    let outputs = method.encode(&source.batch(&request).unwrap(), &step, &mut pass).unwrap();
    ["first", "second"].map(|view| to_host(outputs.get(view)))
}

#[test]
fn dropout_gives_the_two_views_of_a_point_different_masks() {
    let settings = ["vectors.views=same", "encoder.dropout=0.3"];
    let [first, second] = views(&settings, &[0, 1, 2, 3], false);
    assert_eq!(first, second, "the views are the same point");
    let [first, second] = views(&settings, &[0, 1, 2, 3], true);
    for (one, other) in first.chunks(8).zip(second.chunks(8)) {
        assert!(relative(one, other) > 0.05, "{one:?} {other:?}");
    }
    // A mask is one of an instance and view, not of a place in the batch.
    let [again, also_again] = views(&settings, &[3, 1], true);
    for (own, ours) in [(&first, &again), (&second, &also_again)] {
        assert!(relative(&ours[..8], &own[24..32]) < 1e-6 && relative(&ours[8..], &own[8..16]) < 1e-6);
    }
}

#[test]
fn a_batch_that_is_encoded_in_chunks_moves_the_weights_as_a_whole_one_does() {
    let place = tempfile::tempdir().unwrap();
    let plain = ["optimizer.kind=sgd", "sampler.kind=uniform", "train.max_steps=6", "encoder.dropout=0.2"];
    for (number, settings) in [
        &[][..],
        &["loss.kind=nt-xent", "train.accumulate=2"],
        &["method.kind=simclr", "loss.kind=info-nce"],
        &["method.kind=moco", "negatives.size=64", "method.batch_norm_groups=1", "method.shuffle=false"],
    ]
    .into_iter()
    .enumerate()
    {
        let settings = [&plain[..], settings].concat();
        let run = |chunk: &str| place.path().join(format!("{number}-{chunk}"));
        let begun = arrays_of(&mut experiment(&settings).method().unwrap());
        let whole = train(&experiment(&settings), &run("whole"));
        // 24 instances: parts of 7, 7, 7 and 3; all; each by itself.
        for chunk in ["7", "100", "1"] {
            let setting = format!("train.chunk={chunk}");
            let chunked = train(&experiment(&[&settings[..], &[&setting]].concat()), &run(chunk));
            for (name, array) in &whole {
                let [ours, theirs, before] =
                    [&chunked[name], array, &begun[name]].map(|array| array.as_f32().unwrap());
                let difference = relative(ours, theirs);
                assert!(difference < 1e-6, "{settings:?} {chunk} {name}: {difference}");
                assert!(relative(before, theirs) > 1e-4, "{settings:?}: {name} moved");
            }
        }
    }
    let normalized = experiment(&["method.projection.batch_norm=all", "train.chunk=7"]);
    let error = normalized.trainer(&run_of(&place)).err().unwrap().to_string();
    assert!(error.contains("train.chunk") && error.contains("BatchNorm"), "{error}");
    assert!(validate(&["train.chunk=0"]).unwrap_err().contains("train.chunk: must be at least 1"));
}

fn run_of(place: &tempfile::TempDir) -> std::path::PathBuf {
    place.path().join("run")
}

#[test]
fn a_layer_that_is_frozen_stays_as_it_was_and_all_others_move() {
    let place = tempfile::tempdir().unwrap();
    for (number, settings) in [
        &["train.freeze=[\"0\"]", "optimizer.weight_decay=0.1", "optimizer.decay_all=true"][..],
        &["train.freeze=[\"0\"]", "method.kind=moco", "negatives.size=64"],
        &["train.freeze=[\"0\"]", "train.chunk=7", "sampler.kind=uniform"],
    ]
    .into_iter()
    .enumerate()
    {
        let settings = [settings, &["train.max_steps=12"]].concat();
        let frozen = experiment(&settings);
        let before = arrays_of(&mut frozen.method().unwrap());
        let after = train(&frozen, &place.path().join(number.to_string()));
        for (name, array) in &before {
            let is_frozen = name.starts_with("encoder.0.");
            assert_eq!(*array == after[name], is_frozen, "{settings:?} {name}");
        }
    }
    let message = |setting: &str| {
        let run = place.path().join("refused");
        experiment(&[setting]).trainer(&run).err().unwrap().to_string()
    };
    let error = message("train.freeze=[\"0\", \"01\"]");
    assert!(error.contains("train.freeze: no layer's name begins with `01`; did you mean `0`?"), "{error}");
    // Without a head there is nothing else that could learn.
    for chunk in [&[][..], &["train.chunk=7"]] {
        let all = ["train.freeze=[\"0\", \"1\"]", "method.projection.layers=0"];
        let refused = experiment(&[&all[..], chunk].concat()).trainer(&run_of(&place));
        let error = refused.err().unwrap().to_string();
        assert!(
            !run_of(&place).exists() && error.contains("train.freeze: leaves nothing to learn"),
            "{error}"
        );
    }
    // A layer is named whole, and of the encoder alone.
    assert!(message("train.freeze=[\"0.wei\"]").contains("did you mean `0.weight`?"));
    assert!(message("train.freeze=[\"linear1\"]").contains("no layer's name begins with `linear1`"));
}

#[test]
fn a_run_begins_with_the_encoder_of_a_finished_one() {
    let place = tempfile::tempdir().unwrap();
    let first = experiment(&["train.max_steps=12", "seed=3"]);
    let run = run_of(&place);
    train(&first, &run);
    let error = lookalike_learn::experiment::export(first.recipe(), &run, &place.path().join("none"), None)
        .unwrap_err();
    assert!(error.to_string().contains("not a finished run"), "{error}");
    let result = first.result(&run).unwrap();
    assert!(result.model.is_none() && result.step == 12);
    let mut network = result.trained.unwrap();
    first.save_model(&run, &*network, 12).unwrap();
    assert_eq!(arrays_of(&mut first.result(&run).unwrap().model.unwrap()), arrays_of(&mut network));
    let exported = place.path().join("encoder.safetensors");
    lookalike_learn::experiment::export(first.recipe(), &run, &exported, None).unwrap();

    let drawn = arrays_of(&mut experiment(&[]).method().unwrap());
    for (path, left) in [(run.join(MODEL), ", left projection.linear1.bias, "), (exported, ".safetensors")] {
        let setting = format!("encoder.weights={}", path.display());
        let second = experiment(&[&setting]);
        let report = second.weights_report().unwrap().unwrap();
        assert!(report.contains("took 4 tensors of") && report.contains(left), "{report}");
        let begun = arrays_of(&mut second.method().unwrap());
        assert_eq!(arrays_of(&mut second.untrained().unwrap()), begun);
        for (name, array) in arrays_of(&mut network) {
            let own = if name.starts_with("encoder.") { &array } else { &drawn[&name] };
            assert_eq!(begun[&name], *own, "{name}");
            assert!(array != drawn[&name], "{name} was trained from another seed");
        }
    }
    assert_eq!(experiment(&[]).weights_report().unwrap(), None);

    // Resumed, it needs the file no more.
    let setting = format!("encoder.weights={}", run.join(MODEL).display());
    let (whole, stopped) = (place.path().join("whole"), place.path().join("stopped"));
    train(&experiment(&[&setting]), &whole);
    train(&experiment(&[&setting, "train.max_steps=12"]), &stopped);
    std::fs::remove_file(run.join(MODEL)).unwrap();
    train(&experiment(&[&setting]), &stopped);
    assert!(newest_bytes(&whole) == newest_bytes(&stopped));

    let pickled = place.path().join("resnet.pth");
    std::fs::write(&pickled, b"").unwrap();
    let setting = format!("encoder.weights={}", pickled.display());
    let error = experiment(&[&setting]).method().err().unwrap().to_string();
    let (from, to) = (pickled.display(), pickled.with_extension("safetensors"));
    for line in [
        &format!("encoder.weights: {from} is in PyTorch's own format"),
        "  import torch; from safetensors.torch import save_file\n",
        &format!("  save_file(torch.load(\"{from}\", weights_only=True), \"{}\")", to.display()),
    ] {
        assert!(error.contains(line), "{error}");
    }
    let other = experiment(&[
        &format!("encoder.weights={}", place.path().join("encoder.safetensors").display()),
        "encoder.width=8",
    ]);
    let error = other.method().err().unwrap().to_string();
    assert!(error.contains("`0.weight`") && error.contains("expected [8, 10]"), "{error}");
}
