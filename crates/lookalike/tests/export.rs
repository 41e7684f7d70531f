//! What `lookalike export` writes for other programs, what it says of an encoder, and what it refuses.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod place;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use lookalike_base::tensors;
use place::{Ended, Place, contents};
use serde_json::Value;

/// Runs of two steps, and what they are exported as.
struct Exports(Place);

impl Exports {
    /// A run called `run` of this encoder, on views of 32 pixels.
    fn of(encoder: &str) -> Self {
        let place = Place::new();
        Self::train(&place, "run", encoder);
        Self(place)
    }

    fn train(place: &Place, run: &str, encoder: &str) {
        let encoder = format!("encoder={encoder}");
        let mut arguments = vec!["train", "photos.toml", "--out", run];
        for setting in [&*encoder, "train.max_steps=2", "augment.size=32", "evaluate.after_training=false"] {
            arguments.extend(["--set", setting]);
        }
        let ended = place.run(&[&arguments[..], &["--set", "sampler.kind=uniform"]].concat());
        assert_eq!(ended.status, Some(0), "{}", ended.error);
    }

    fn export(&self, arguments: &[&str]) -> Ended {
        self.0.run(&[&["export", "run"], arguments].concat())
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let ended = self.export(arguments);
        assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.error);
        ended.error
    }

    /// An export that must be refused with these words, and change nothing.
    fn refuse(&self, arguments: &[&str], said: &str) {
        let before = contents(self.0.folder.path());
        let ended = self.export(arguments);
        assert_eq!(ended.status, Some(2), "{arguments:?}: {}", ended.error);
        assert!(ended.error.contains(said), "{arguments:?}: {}", ended.error);
        assert!(contents(self.0.folder.path()) == before, "{arguments:?} changed a file");
    }

    fn read(&self, name: &str) -> tensors::TensorFile {
        tensors::read(self.0.path(name)).unwrap()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.path(name)).unwrap()
    }
}

const RESNET18: &str = "{ kind = \"resnet18\", stem = \"imagenet\" }";

#[test]
fn a_file_says_what_encoder_it_holds_and_a_run_starts_from_it() {
    let exports = Exports::of(RESNET18);
    exports.succeed(&["plain.safetensors"]);
    exports.succeed(&["for.safetensors", "--for", "torchvision"]);
    let file = exports.read("plain.safetensors");
    assert_eq!(file, exports.read("for.safetensors"));
    let mut metadata = file.metadata.clone();
    let recipe = metadata.remove("recipe").unwrap();
    assert!(recipe.len() == 71 && recipe.starts_with("sha256:"), "{recipe}");
    let expected = [
        ("architecture", "resnet18"),
        ("stem", "imagenet"),
        ("color_order", "RGB"),
        ("mean", "0.4914,0.4822,0.4465"),
        ("std", "0.2023,0.1994,0.201"),
        ("size", "32"),
        ("step", "2"),
        ("data", "photos"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(metadata, BTreeMap::from(expected));
    assert_eq!(file.tensors["fc.weight"].shape, [1000, 512]);
    // Where and how fast it runs makes no other recipe, another rate does.
    let recipe_of = |settings: &[&str]| {
        exports.succeed(&[&["other.safetensors"], settings].concat());
        exports.read("other.safetensors").metadata["recipe"].clone()
    };
    assert_eq!(recipe_of(&["--set", "train.loader_threads=1"]), recipe);
    assert_ne!(recipe_of(&["--set", "optimizer.learning_rate=0.5"]), recipe);

    let start = |stem: &str| {
        let encoder =
            format!("encoder={{ kind = \"resnet18\", stem = \"{stem}\", weights = \"for.safetensors\" }}");
        exports.0.run(&[
            "train",
            "photos.toml",
            "--check",
            "--set",
            &encoder,
            "--set",
            "sampler.kind=uniform",
        ])
    };
    let ended = start("imagenet");
    assert_eq!(ended.status, Some(0), "{}", ended.error);
    let ended = start("cifar");
    let said = "encoder.weights: its first convolution is 7×7, that of the stem `imagenet`, and encoder.stem is `cifar`";
    assert!(ended.status == Some(2) && ended.error.contains(said), "{}", ended.error);
    let other = "encoder={ kind = \"resnet34\", stem = \"imagenet\", weights = \"for.safetensors\" }";
    let ended =
        exports.0.run(&["train", "photos.toml", "--check", "--set", other, "--set", "sampler.kind=uniform"]);
    let said = "for.safetensors says that it holds a `resnet18`";
    assert!(ended.status != Some(0) && ended.error.contains(said), "{}", ended.error);
}

#[test]
fn the_stem_for_small_images_is_written_with_a_warning_and_for_no_program() {
    let exports = Exports::of("{ kind = \"resnet18\" }");
    for program in ["torchvision", "timm", "detectron2"] {
        let out = if program == "detectron2" { "model.pkl" } else { "model" };
        let said = format!("--for {program}: its networks begin with a 7×7 convolution of stride 2");
        exports.refuse(&[out, "--for", program], &said);
    }
    let error = exports.succeed(&["model.safetensors"]);
    assert!(
        error.contains("warning: the stem is `cifar`") && error.contains("wrote model.safetensors"),
        "{error}"
    );
    assert_eq!(exports.read("model.safetensors").metadata["stem"], "cifar");
    Exports::train(&exports.0, "small", "{ kind = \"small\", stem = \"imagenet\" }");
    let ended = exports.0.run(&["export", "small", "small", "--for", "timm"]);
    assert!(
        ended.status == Some(2) && ended.error.contains("there is no encoder like `small` in timm"),
        "{}",
        ended.error
    );
}

#[test]
fn a_run_that_has_not_finished_is_written_for_a_program_with_its_step() {
    let exports = Exports::of(RESNET18);
    fs::remove_file(exports.0.path("run/model.safetensors")).unwrap();
    exports.succeed(&["early", "--for", "timm"]);
    assert_eq!(exports.read("early/model.safetensors").metadata["step"], "2");
}

#[test]
fn detectron2_gets_renamed_weights_and_two_configurations_or_nothing() {
    let exports = Exports::of(RESNET18);
    exports.refuse(&["model.pth", "--for", "detectron2"], "model.pth must end in .pkl");
    exports.refuse(&["nowhere/model.pkl", "--for", "detectron2"], "its folder does not exist");
    // Two files that others wrote.
    for other in ["mine.yaml", "mine.coco.yaml", "mine.pkl"] {
        fs::write(exports.0.path(other), "a: 1\n").unwrap();
        let said = format!("{other} cannot be written: a file is there already that is not");
        exports.refuse(&["mine.pkl", "--for", "detectron2"], &said);
        fs::remove_file(exports.0.path(other)).unwrap();
    }
    for _ in 0..2 {
        let error = exports.succeed(&["m.pkl", "--for", "detectron2"]);
        assert!(error.contains("wrote m.pkl, m.yaml, m.coco.yaml"), "{error}");
    }
    let bytes = fs::read(exports.0.path("m.pkl")).unwrap();
    assert!(bytes.starts_with(b"\x80\x02}(X\x05\0\0\0model") && bytes.ends_with(b"u."));
    let names = |name: &str| bytes.windows(name.len()).any(|window| window == name.as_bytes());
    assert!(names("res5.1.conv2.norm.running_var") && names("stem.conv1.weight") && !names("fc.weight"));
    for (file, lines) in [
        (
            "m.yaml",
            &["  MASK_ON: False", "    NUM_CLASSES: 20", "  MAX_ITER: 24000", "  STEPS: (18000, 22000)"],
        ),
        (
            "m.coco.yaml",
            &["  MASK_ON: True", "    NUM_CLASSES: 80", "  MAX_ITER: 180000", "  STEPS: (120000, 160000)"],
        ),
    ] {
        let text = exports.text(file);
        let common = [
            "  WEIGHTS: \"m.pkl\"",
            "  PIXEL_MEAN: [125.307, 122.961, 113.8575]",
            "  PIXEL_STD: [51.5865, 50.847, 51.255]",
            "    STRIDE_IN_1X1: False",
            "    FREEZE_AT: 0",
            "  FORMAT: \"RGB\"",
            "    DEPTH: 18",
            "    RES2_OUT_CHANNELS: 64",
        ];
        for line in common.iter().chain(lines) {
            assert!(text.lines().any(|found| found == *line), "{file} has no line `{line}`:\n{text}");
        }
    }
}

#[test]
fn the_configuration_of_resnet50_is_mocos() {
    let exports = Exports::of("{ kind = \"resnet50\", stem = \"imagenet\" }");
    exports.succeed(&["m.pkl", "--for", "detectron2"]);
    let text = exports.text("m.yaml");
    for line in [
        "    DEPTH: 50",
        "    NAME: \"Res5ROIHeadsExtraNorm\"",
        "    PRE_NMS_TOPK_TEST: 6000",
        "    NORM: \"naiveSyncBN\"",
    ] {
        assert!(text.lines().any(|found| found == line), "no line `{line}`:\n{text}");
    }
    assert!(!text.contains("fpn"), "{text}");
}

/// `config.json` of a folder, and the names of its tensors.
fn of_timm(folder: &Path) -> (Value, Vec<String>) {
    let config = fs::read_to_string(folder.join("config.json")).unwrap();
    let tensors = tensors::read(folder.join("model.safetensors")).unwrap().tensors;
    assert!(fs::read_to_string(folder.join("README.md")).unwrap().starts_with("---\nlibrary_name: timm\n"));
    (serde_json::from_str(&config).unwrap(), tensors.into_keys().collect())
}

#[test]
fn timm_gets_a_new_folder_without_a_classifier() {
    let exports = Exports::of(RESNET18);
    exports.succeed(&["model", "--for", "timm"]);
    exports.refuse(&["model", "--for", "timm"], "model cannot be written: it is there already");
    exports.refuse(&["photos.toml", "--for", "timm"], "it is there already");
    exports.refuse(&["nowhere/model", "--for", "timm"], "its folder does not exist");
    let (config, names) = of_timm(&exports.0.path("model"));
    assert_eq!(config["architecture"], "resnet18");
    assert_eq!((&config["num_classes"], &config["num_features"]), (&0.into(), &512.into()));
    let given = &config["pretrained_cfg"];
    assert_eq!(given["mean"], serde_json::json!([0.4914, 0.4822, 0.4465]));
    assert_eq!(
        (&given["input_size"], &given["first_conv"]),
        (&serde_json::json!([3, 32, 32]), &"conv1".into())
    );
    assert_eq!(names.len(), 120);
    assert!(!names.iter().any(|name| name.starts_with("fc.")));
}

#[test]
fn timm_is_told_in_what_a_vision_transformer_differs() {
    let exports = Exports::of("{ kind = \"vit-tiny\", representation = \"mean\", inner = 250 }");
    for program in ["torchvision", "detectron2"] {
        exports.refuse(&["model.pkl", "--for", program], "--for timm writes a folder that timm opens");
    }
    exports.succeed(&["model", "--for", "timm"]);
    let (config, names) = of_timm(&exports.0.path("model"));
    assert_eq!(
        (&config["architecture"], &config["global_pool"]),
        (&"vit_tiny_patch16_224".into(), &"avg".into())
    );
    let arguments = &config["model_args"];
    for (name, value) in [("img_size", 32), ("patch_size", 4), ("embed_dim", 96), ("depth", 6)] {
        assert_eq!(arguments[name], value, "{name}");
    }
    assert!(
        (96.0 * arguments["mlp_ratio"].as_f64().unwrap()) as usize == 250 && arguments["num_heads"].is_null()
    );
    assert!(!names.iter().any(|name| name.starts_with("head.")));
    exports.succeed(&["model.safetensors"]);
    let file = exports.read("model.safetensors");
    assert_eq!((&*file.metadata["architecture"], &*file.metadata["heads"]), ("vit-tiny", "3"));
    assert!(!file.metadata.contains_key("stem") && file.tensors.contains_key("head.weight"));
}

#[test]
fn an_encoder_of_texts_has_a_form_of_its_own() {
    let place = Place::new();
    let lines: Vec<String> = (0..48).map(|line| format!("line {} of {}\n", line, line * 7 % 11)).collect();
    fs::write(place.path("lines.txt"), lines.concat()).unwrap();
    fs::write(
        place.path("lines.toml"),
        "[data]\nname = \"lines.txt\"\n[text]\nvocabulary = 320\n[encoder]\nkind = \"static\"\nwidth = 8\n[method]\nkind = \"simcse\"\n\
         [sampler]\nkind = \"uniform\"\nbatch_size = 16\n[train]\nepochs = 1\nwarmup_epochs = 0.0\n",
    )
    .unwrap();
    place.succeed(&["train", "lines.toml", "--out", "run"]);
    let exports = Exports(place);
    exports.refuse(&["model", "--for", "timm"], "--for timm: an encoder of texts is written as a folder");
}
