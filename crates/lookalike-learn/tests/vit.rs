//! Vision Transformers beside timm's and torchvision's (`fixtures/make_vit.py` made the numbers), and from a recipe to an export.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{cpu, drawn, fixture, length, newest_bytes, numbers, relative, series, values};
use lookalike_base::arrays::{Array, Arrays};
use lookalike_base::progress::{Silent, Watch};
use lookalike_base::tensors::{self, TensorFile};
use lookalike_learn::Registry;
use lookalike_learn::encoder::vit::{Architecture, Positions, Representation, Vit, VitConfig};
use lookalike_learn::engine::{Tensor, from_host, to_host};
use lookalike_learn::experiment::{Experiment, export};
use lookalike_learn::module::{Pass, arrays_of};
use lookalike_learn::recipe::{Recipe, ValidRecipe};
use lookalike_learn::step::Step;
use lookalike_learn::train::optimizer::{NamedGradients, accumulate};
use lookalike_learn::train::result::MODEL;
use lookalike_learn::weights::load_encoder;

type Shapes = BTreeMap<String, Vec<usize>>;

/// Names and shapes of a state dict of timm's or torchvision's.
fn shapes(name: &str) -> Shapes {
    let text = std::fs::read_to_string(fixture("vit.json")).unwrap();
    serde_json::from_str::<BTreeMap<String, Shapes>>(&text).unwrap()[name].clone()
}

/// The sizes of the fixture's networks, with positions that learn.
fn config() -> VitConfig {
    let learned = Architecture::Tiny.config(12);
    VitConfig { width: 24, layers: 2, heads: 3, inner: 96, positions: Positions::Learned, ..learned }
}

fn network(config: VitConfig) -> Vit {
    Vit::new(config, &mut common::SEED.stream("encoder", 0, 0, 0), &cpu()).unwrap()
}

fn write(path: &Path, tensors: Arrays) {
    tensors::write(path, &TensorFile { tensors, ..TensorFile::default() }).unwrap();
}

/// A network with the weights that the script draws for the state dict of that name, read from a file with its names.
fn read(state: &str, config: VitConfig) -> Vit {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    write(&path, drawn(shapes(state)));
    let mut vit = network(config);
    let report = load_encoder(&mut vit, &path, &cpu()).unwrap().to_string();
    let left = if state == "timm" { "head.bias, head.weight" } else { "heads.head.bias, heads.head.weight" };
    assert!(
        report.contains("took 30 tensors of ") && report.ends_with(&format!(", left {left}")),
        "{report}"
    );
    vit
}

/// Our name of a parameter of torchvision's.
fn our_name(theirs: &str) -> String {
    let parts = [
        ("class_token", "cls_token"),
        ("conv_proj", "patch_embed.proj"),
        ("encoder.pos_embedding", "pos_embed"),
        ("encoder.ln.", "norm."),
        ("encoder.layers.encoder_layer_", "blocks."),
        ("ln_1", "norm1"),
        ("ln_2", "norm2"),
        ("self_attention.in_proj_", "attn.qkv."),
        ("self_attention.out_proj", "attn.proj"),
        ("mlp.0", "mlp.fc1"),
        ("mlp.3", "mlp.fc2"),
    ];
    parts.into_iter().fold(theirs.to_owned(), |name, (from, to)| name.replace(from, to))
}

#[test]
fn features_and_gradients_are_those_of_timm_and_torchvision_from_the_same_weights() {
    let file = tensors::read(fixture("vit.safetensors")).unwrap();
    let mean = VitConfig { representation: Representation::Mean, ..config() };
    for (case, state, config) in
        [("timm", "timm", config()), ("timm-mean", "timm", mean), ("torchvision", "torchvision", config())]
    {
        let mut vit = read(state, config);
        let images: Tensor<4> = from_host(numbers(5 * 3 * 12 * 12, 3000), [5, 3, 12, 12], &cpu());
        let features = vit.features(images, &Pass::training(&Step::default())).unwrap().vector;
        let found = relative(&to_host(features.clone()), values(&file, &format!("{case}.features")));
        assert!(found <= 1e-5, "{case}: {found:e}");

        let weights: Tensor<2> = from_host(numbers(5 * 24, 3001), [5, 24], &cpu());
        let mut gradients = NamedGradients::new();
        accumulate(&mut vit, (features * weights.autodiff()).sum().backward(), &mut gradients);
        let begin = format!("{case}.gradient.");
        let named: Vec<&str> = file.tensors.keys().filter_map(|name| name.strip_prefix(&begin)).collect();
        assert_eq!((named.len(), gradients.len()), (30, 30));
        for name in named {
            let gradient = to_host(gradients[&our_name(name)].clone());
            let stride = (gradient.len() / 150).max(1);
            let sample: Vec<f32> = gradient.iter().step_by(stride).copied().collect();
            let error = relative(&sample, values(&file, &format!("{begin}{name}")));
            assert!(error <= 1e-4, "{case}, {name}: {error:e}");
            let whole = f64::from(values(&file, &format!("{case}.length.{name}"))[0]);
            assert!(
                (length(&gradient) - whole).abs() <= 1e-5 * whole,
                "{case}, {name}: {}",
                length(&gradient)
            );
        }
    }
}

#[test]
fn fixed_positions_are_those_of_moco_v3() {
    let file = tensors::read(fixture("vit.safetensors")).unwrap();
    let of = |config| arrays_of(&mut network(config))["pos_embed"].as_f32().unwrap().to_vec();
    let near = |ours: &[f32], theirs: &[f32]| {
        let error = relative(ours, theirs);
        assert!(error <= 1e-6, "{error:e}");
    };
    near(&of(VitConfig { positions: Positions::SinCos, ..config() }), values(&file, "sincos"));
    let whole = of(VitConfig { layers: 1, ..Architecture::Small.config(224) });
    let rows = whole.chunks_exact(384).step_by(7);
    near(
        &rows.flat_map(|row| row.iter().step_by(5).copied()).collect::<Vec<f32>>(),
        values(&file, "sincos.small"),
    );
}

#[test]
fn learned_positions_of_another_size_of_images_are_resampled_as_by_timm() {
    let file = tensors::read(fixture("vit.safetensors")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    for old in [2_usize, 7, 14] {
        let mut weights = drawn(shapes("timm"));
        let tokens = old * old + 1;
        let table = numbers(tokens * 24, 3100 + old as u32);
        weights.insert("pos_embed".to_owned(), Array::f32([1, tokens, 24], table));
        write(&path, weights);
        let mut vit = network(config());
        load_encoder(&mut vit, &path, &cpu()).unwrap();
        let ours = arrays_of(&mut vit).remove("pos_embed").unwrap();
        let error = relative(ours.as_f32().unwrap(), values(&file, &format!("resampled.{old}")));
        assert!(error <= 1e-6, "{old}: {error:e}");

        let mut fixed = network(VitConfig { positions: Positions::SinCos, ..config() });
        let error = load_encoder(&mut fixed, &path, &cpu()).unwrap_err().to_string();
        assert!(error.contains("`pos_embed`") && error.contains("take \"learned\""), "{error}");
    }
    // No square of patches.
    let mut weights = drawn(shapes("timm"));
    weights.insert("pos_embed".to_owned(), Array::f32([1, 7, 24], vec![0.0; 7 * 24]));
    write(&path, weights);
    let error = load_encoder(&mut network(config()), &path, &cpu()).unwrap_err().to_string();
    assert!(error.contains("[1, 7, 24]") && error.contains("expected [1, 10, 24]"), "{error}");
}

const RECIPE: &str = "[data]\nname = \"glyphs\"\n[augment]\nsize = 8\n\
    [encoder]\nkind = \"vit-tiny\"\nlayers = 2\nwidth = 24\nstop_gradient = true\n\
    [method]\nkind = \"moco-v3\"\nprojection = { layers = 2, width = 32, dimension = 16, batch_norm = \"all\" }\n\
    predictor = { width = 32, batch_norm = \"all\" }\n[loss]\ntemperature = 0.2\n\
    [sampler]\nkind = \"uniform\"\nbatch_size = 16\n\
    [optimizer]\nkind = \"adamw\"\nlearning_rate = 3e-3\nweight_decay = 0.1\n\
    [train]\nepochs = 1\nwarmup_epochs = 0.0\nschedule = \"constant\"\nmax_steps = 60\nlog_every = 1\n\
    [evaluate]\nbatch_size = 16\n";
const SIMCLR: &[&str] = &["method={ kind = \"simclr\" }"];

fn validate(settings: &[&str]) -> Result<ValidRecipe, String> {
    let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
    let registry = Registry::standard();
    let recipe = Recipe::parse(RECIPE, Path::new("vit.toml"), &settings, &registry);
    recipe.and_then(|recipe| recipe.validate(&registry)).map_err(|error| error.to_string())
}

fn open(settings: &[&str]) -> Experiment {
    let recipe = validate(settings).unwrap_or_else(|error| panic!("{settings:?}: {error}"));
    Experiment::open(recipe, &Registry::standard(), Arc::new(Silent)).unwrap().0
}

fn train(settings: &[&str], run: &Path) -> Experiment {
    let experiment = open(settings);
    let (mut trainer, _) = experiment.trainer(run).unwrap();
    trainer.run(Watch::default()).unwrap();
    experiment.save_model(run, &*trainer.method.kept(), trainer.step()).unwrap();
    experiment
}

#[test]
fn moco_v3_and_simclr_learn_and_a_run_that_was_stopped_ends_with_the_bits_of_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    for (number, settings) in
        [&[][..], SIMCLR, &["encoder.position_embedding=learned", "encoder.representation=mean"]]
            .into_iter()
            .enumerate()
    {
        let run = |name: &str| folder.path().join(format!("{name}-{number}"));
        train(settings, &run("whole"));
        let loss = series(&run("whole"), "step", "loss");
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        let (first, last) = (mean(&loss[..10]), mean(&loss[50..]));
        assert!(loss.len() == 60 && last < 0.9 * first, "{settings:?}: {first} to {last}");
        for steps in ["train.max_steps=30", "train.max_steps=31", "train.max_steps=60"] {
            train(&[settings, &[steps]].concat(), &run("stopped"));
        }
        assert!(newest_bytes(&run("stopped")) == newest_bytes(&run("whole")), "{settings:?}");
    }
}

#[test]
fn a_batch_in_chunks_has_the_gradients_of_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    // Not by Adam, which divides by the length of a gradient, however short: that of the bias of keys is 0 but for rounding.
    let base = [
        "method.projection.batch_norm=none",
        "method.predictor.batch_norm=none",
        "optimizer={ kind = \"sgd\", learning_rate = 0.1 }",
        "train.max_steps=3",
    ];
    let weights = |more: &[&str], name: &str| -> (Arrays, PathBuf) {
        let run = folder.path().join(name);
        train(&[&base, more].concat(), &run);
        (tensors::read(run.join(MODEL)).unwrap().tensors, run)
    };
    let (whole, chunked) = (weights(&[], "whole").0, weights(&["train.chunk=5"], "chunked").0);
    for (name, array) in whole {
        // What is frozen is the same, and some of it 0.
        if chunked[&name] != array {
            let error = relative(chunked[&name].as_f32().unwrap(), array.as_f32().unwrap());
            assert!(error < 1e-4, "{name}: {error:e}");
        }
    }
}

#[test]
fn what_is_frozen_stays_and_an_export_or_run_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let settings = ["train.max_steps=5"];
    let experiment = train(&settings, &run);
    let begun = arrays_of(&mut experiment.method().unwrap());
    let trained = tensors::read(run.join(MODEL)).unwrap().tensors;
    for (name, array) in &trained {
        let frozen =
            ["encoder.pos_embed", "encoder.patch_embed.proj.weight", "encoder.patch_embed.proj.bias"];
        assert_eq!(begun[name] == *array, frozen.contains(&name.as_str()), "{name}");
    }
    let exported = folder.path().join("exported.safetensors");
    export(&validate(&settings).unwrap(), &run, &exported, None).unwrap();
    for (path, left) in
        [(run.join(MODEL), ", left 10: projection.bn1"), (exported, ", left head.bias, head.weight")]
    {
        let weights = format!("encoder.weights={}", path.display());
        let again = open(&[&weights, "seed=3"]);
        let report = again.weights_report().unwrap().unwrap();
        assert!(report.contains("took 30 tensors of") && report.contains(left), "{report}");
        for (name, array) in arrays_of(&mut again.untrained().unwrap()) {
            if name.starts_with("encoder.") {
                assert_eq!(trained[&name], array, "{name}");
            }
        }
        // On images of another size the fixed positions are those of that size.
        let larger = open(&[&weights, "augment.size=24"]);
        assert_eq!(arrays_of(&mut larger.untrained().unwrap())["encoder.pos_embed"].shape, [1, 37, 24]);
    }
}

#[test]
fn an_export_of_vit_small_has_everything_that_timm_loads_strictly() {
    let folder = tempfile::tempdir().unwrap();
    // Two of its blocks, so that fewer weights are drawn and written.
    let encoder = "encoder={ kind = \"vit-small\", layers = 2, heads = 6 }";
    // No BatchNorm in the head either, whose statistics would be estimated anew.
    let method = "method={ kind = \"simclr\", projection = { batch_norm = \"none\" } }";
    let settings = [encoder, method, "augment.size=224"];
    let experiment = open(&settings);
    experiment.save_model(folder.path(), &*experiment.untrained().unwrap(), 0).unwrap();
    let path = folder.path().join("exported.safetensors");
    export(&validate(&settings).unwrap(), folder.path(), &path, None).unwrap();
    let exported = tensors::read(&path).unwrap().tensors;
    let found: Shapes = exported.iter().map(|(name, array)| (name.clone(), array.shape.clone())).collect();
    let mut expected = shapes("vit_small_patch16_224");
    assert_eq!(expected.len(), 4 + 12 * 12 + 4);
    expected.retain(|name, _| {
        !name.starts_with("blocks.") || name.starts_with("blocks.0.") || name.starts_with("blocks.1.")
    });
    assert_eq!(found, expected);
    assert!(
        ["head.weight", "head.bias"].iter().all(|name| exported[*name]
            .as_f32()
            .unwrap()
            .iter()
            .all(|v| *v == 0.0))
    );
}

#[test]
fn sizes_that_do_not_fit_are_refused_before_anything_is_opened() {
    for (settings, said) in [
        (
            &["augment.size=18"][..],
            "encoder.patch: must divide augment.size: patches of 4 pixels do not fill views of 18",
        ),
        (&["encoder.patch=32"], "encoder.patch: must divide augment.size"),
        (
            &["encoder.heads=5"],
            "encoder.heads: must divide encoder.width: 5 attention heads do not divide vectors of 24",
        ),
        (
            &["encoder.width=30"],
            "encoder.width: must be a multiple of 4 with encoder.position_embedding = \"sincos\"",
        ),
        (&["encoder.position_embedding=rotary"], "`rotary` is not one of `learned`, `sincos`"),
        (&["encoder.stem=imagenet"], "encoder.stem: is not read where encoder.kind is `vit-tiny`"),
    ] {
        let error = validate(settings).expect_err(said);
        assert!(error.contains(said), "{error}");
    }
    assert!(validate(&["encoder.width=30", "encoder.position_embedding=learned"]).is_ok());
}
