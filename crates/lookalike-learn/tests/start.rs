//! Whence weights come, and which of them learn, with the methods that have more than one encoder.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use lookalike_base::progress::{Silent, Watch};
use lookalike_base::tensors::{self, TensorFile};
use lookalike_learn::Registry;
use lookalike_learn::experiment::Experiment;
use lookalike_learn::module::{arrays_of, for_each_tensor};
use lookalike_learn::recipe::Recipe;
use lookalike_learn::train::result::MODEL;

const GRAPHS: &str = "[data]\nname = \"toys\"\n[encoder]\nlayers = 2\nwidth = 8\n[method]\nkind = \"mvgrl\"\n\
    [sampler]\nkind = \"uniform\"\nbatch_size = 8\n[train]\nepochs = 2\nwarmup_epochs = 0.0\n";
const IMAGES: &str = "[data]\nname = \"glyphs\"\n[augment]\nsize = 8\n[encoder]\nkind = \"small\"\n[method]\nkind = \"end-to-end\"\n\
    [sampler]\nkind = \"uniform\"\nbatch_size = 8\n[train]\nepochs = 1\nwarmup_epochs = 0.0\nmax_steps = 2\n";

fn open(text: &str, root: &Path, settings: &[String]) -> Result<Experiment, String> {
    let registry = Registry::standard();
    let begin = || {
        let mut recipe = Recipe::parse(text, Path::new("start.toml"), settings, &registry)?;
        recipe.set_path("data.root", Some(root));
        Experiment::open(recipe.validate(&registry)?, &registry, Arc::new(Silent))
    };
    begin().map(|(experiment, _)| experiment).map_err(|error| error.to_string())
}

/// A folder with rings and stars in the text format of GIN's code.
fn graphs() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let ring = "3 0\n0 2 1 2\n1 2 0 2\n2 2 0 1\n";
    let star = "3 1\n0 2 1 2\n1 1 0\n2 1 0\n";
    let text: String = (0..24).map(|graph| if graph % 2 == 0 { ring } else { star }).collect();
    std::fs::write(folder.path().join("toys.txt"), format!("24\n{text}")).unwrap();
    folder
}

#[test]
fn both_encoders_of_mvgrl_begin_with_the_weights_of_a_finished_run() {
    let folder = graphs();
    let run = folder.path().join("run");
    let first = open(GRAPHS, folder.path(), &[]).unwrap();
    let (mut trainer, _) = first.trainer(&run).unwrap();
    trainer.run(Watch::default()).unwrap();
    first.save_model(&run, &*trainer.method.kept(), trainer.step()).unwrap();
    let model = run.join(MODEL);
    let begin = [format!("encoder.weights={}", model.display()), "seed=5".to_owned()];
    let second = open(GRAPHS, folder.path(), &begin).unwrap();
    let given = tensors::read(&model).unwrap().tensors;
    assert_eq!(arrays_of(&mut second.method().unwrap()), given);
    assert_eq!(arrays_of(&mut second.untrained().unwrap()), given);
    assert!(second.weights_report().unwrap().unwrap().contains(&format!("took {} tensors", given.len())));
    assert_ne!(arrays_of(&mut open(GRAPHS, folder.path(), &begin[1..]).unwrap().method().unwrap()), given);

    // One that lacks a tensor is refused, and leaves no folder.
    let mut torn = given.clone();
    torn.pop_first();
    let path = folder.path().join("torn.safetensors");
    tensors::write(&path, &TensorFile { tensors: torn, ..TensorFile::default() }).unwrap();
    let third = open(GRAPHS, folder.path(), &[format!("encoder.weights={}", path.display())]).unwrap();
    assert!(third.trainer(&folder.path().join("third")).is_err());
    assert!(!folder.path().join("third").exists());

    // Where the file is gone, the encoder before training cannot be made, and the message tells what to do.
    std::fs::remove_file(&model).unwrap();
    let error = second.untrained().err().unwrap().to_string();
    assert!(error.contains("--beside nothing"), "{error}");
}

#[test]
fn a_layer_is_frozen_in_both_encoders_that_learn() {
    let folder = tempfile::tempdir().unwrap();
    let frozen = open(IMAGES, folder.path(), &["train.freeze=[\"conv1\"]".to_owned()]).unwrap();
    let (mut trainer, _) = frozen.trainer(&folder.path().join("run")).unwrap();
    let mut learns = BTreeMap::new();
    for_each_tensor(&mut trainer.method, &mut |name, _, tensor| {
        learns.insert(name.to_owned(), tensor.learns());
    });
    let before = arrays_of(&mut trainer.method);
    trainer.run(Watch::default()).unwrap();
    let after = arrays_of(&mut trainer.method);
    for name in ["encoder.conv1.weight", "key.encoder.conv1.weight"] {
        assert_eq!(before[name], after[name], "{name}");
        assert!(!learns[name], "{name}");
    }
    for name in ["encoder.fc.weight", "encoder.layer1.0.conv1.weight", "key.encoder.layer1.0.conv1.weight"] {
        let Some(before) = before.get(name) else { continue };
        assert!(before != &after[name] && learns[name], "{name}");
    }
    assert!(learns.values().filter(|learns| **learns).count() > 4);
    let all = "train.freeze=[\"nothing\"]".to_owned();
    let error =
        open(IMAGES, folder.path(), &[all]).unwrap().trainer(&folder.path().join("none")).err().unwrap();
    assert!(error.to_string().contains("no layer's name begins with `nothing`"), "{error}");
}
