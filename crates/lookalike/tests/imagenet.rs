//! Recipes of ImageNet and its lists of a hundred classes, two steps of each on a made-up folder of the right layout.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::codecs::jpeg::JpegEncoder;
use lookalike_data::image::classes::{ClassList, PUBLISHED};
use serde_json::Value;

const SIDE: u32 = 80;

/// A folder as ImageNet's: an image to train and one to test on of each class of both lists.
fn imagenet(folder: &Path) {
    let mut classes: Vec<String> =
        PUBLISHED.iter().flat_map(|name| ClassList::named(name, "data.classes").unwrap().classes).collect();
    classes.sort_unstable();
    classes.dedup();
    assert_eq!(classes.len(), 192);
    for (number, class) in (0..).zip(&classes) {
        for (index, part) in (0..).zip(["train", "val"]) {
            let place = folder.join("imagenet").join(part).join(class);
            fs::create_dir_all(&place).unwrap();
            let image = image::RgbImage::from_fn(SIDE, SIDE, |x, y| {
                let value = (x * (3 + number % 5) + y * (1 + number % 7) + 40 * index) % 256;
                image::Rgb([value as u8, (number % 200) as u8, (255 - value) as u8])
            });
            let file = fs::File::create(place.join(format!("{class}_{index}.JPEG"))).unwrap();
            JpegEncoder::new_with_quality(file, 80).encode_image(&image).unwrap();
        }
    }
}

fn recipe(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes").join(format!("{name}.toml"))
}

fn lookalike(folder: &Path, arguments: &[&str], settings: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lookalike"));
    command.current_dir(folder).args(arguments);
    for setting in settings {
        command.args(["--set", setting]);
    }
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Sizes that a test can pay for, and an evaluation without what takes long.
const SMALL: [&str; 6] = [
    "train.max_steps=2",
    "sampler.batch_size=4",
    "augment.size=64",
    "evaluate.raw_input=false",
    "evaluate.knn_k=5",
    "train.loader_threads=2",
];

/// The same of encoders with BatchNorm.
const OF_RESNETS: &str = "evaluate.statistics_batches=1";

/// A recipe of one of the lists, with what is set beside [`SMALL`]; the folder of the run.
fn runs(name: &str, list: &str, settings: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    imagenet(folder.path());
    let path = recipe(name);
    let arguments = ["train", path.to_str().unwrap(), "--out", "run", "--data-root", "imagenet"];
    let ended = lookalike(folder.path(), &arguments, &[&SMALL[..], &[OF_RESNETS], settings].concat());
    let (out, error) = (text(&ended.stdout), text(&ended.stderr));
    assert!(ended.status.success(), "{name}: {error}");
    let data = format!("imagenet ({list})");
    let title = format!("kNN accuracy (k = 5, t = 0.1) on {data}: encoder after training");
    assert!(out.contains(&title), "{name} prints no `{title}`: {out}");
    let evaluation: Value =
        serde_json::from_str(&fs::read_to_string(folder.path().join("run/evaluation.json")).unwrap())
            .unwrap();
    assert_eq!((&evaluation["data"], &evaluation["step"]), (&data.clone().into(), &2.into()));
    let events = fs::read_to_string(folder.path().join("run/events.jsonl")).unwrap();
    let of_evaluation = events.lines().find(|line| line.contains("\"kind\":\"evaluation\"")).unwrap();
    assert!(of_evaluation.contains(&format!("\"data\":\"{data}\"")), "{of_evaluation}");
    assert!(fs::read_to_string(folder.path().join("run/recipe.toml")).unwrap().contains(list));
    // What is exported says on what it was trained.
    let ended =
        lookalike(folder.path(), &["export", "run", "model.safetensors", "--for", "torchvision"], &[]);
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    let exported = lookalike_base::tensors::read(folder.path().join("model.safetensors")).unwrap();
    let said = |name: &str| exported.metadata[name].as_str();
    assert_eq!((said("data"), said("stem"), said("step"), said("size")), (&*data, "imagenet", "2", "64"));
    folder
}

#[test]
fn the_linear_protocol_makes_two_steps_and_leaves_the_encoder_as_it_is() {
    let pretrained = runs("simclr-imagenet100", PUBLISHED[0], &["encoder.kind=resnet18"]);
    let weights = pretrained.path().join("run/model.safetensors");
    let start = format!("encoder.weights={}", weights.display());
    let folder = runs("linear-imagenet100", PUBLISHED[0], &["encoder.kind=resnet18", &start]);
    let read = |path: &Path| lookalike_base::tensors::read(path).unwrap().tensors;
    let (before, after) = (read(&weights), read(&folder.path().join("run/model.safetensors")));
    let own: Vec<&String> = after.keys().filter(|name| name.starts_with("encoder.")).collect();
    assert!(own.len() >= 100 && own.into_iter().all(|name| before[name] == after[name]));
    assert_eq!(after["classifier.weight"].shape, [100, 512]);
    let evaluation = fs::read_to_string(folder.path().join("run/evaluation.json")).unwrap();
    let evaluation: Value = serde_json::from_str(&evaluation).unwrap();
    assert!(evaluation["classifier"].is_number(), "{evaluation}");
}

#[test]
fn moco_v2_makes_two_steps_on_cmcs_classes() {
    let settings = ["encoder.kind=resnet18", "method.batch_norm_groups=2", "negatives.size=16"];
    let _run = runs("moco-v2-imagenet100", PUBLISHED[0], &settings);
}

#[test]
fn mochi_makes_two_steps_on_cmcs_classes() {
    let mixing = "negatives.mixing={ hardest = 8, between = 8, with_query = 4, warm_up = 0.0 }";
    let settings = ["encoder.kind=resnet18", "method.batch_norm_groups=2", "negatives.size=16", mixing];
    let _run = runs("mochi-imagenet100", PUBLISHED[0], &settings);
}

#[test]
fn batchsampler_makes_two_steps_on_kaggles_classes() {
    let settings = [
        "encoder.kind=resnet18",
        "sampler.candidates=3",
        "sampler.neighbors=2",
        "sampler.uniform_epochs=0",
        "sampler.refresh_every=1",
    ];
    let _run = runs("batchsampler-imagenet100", PUBLISHED[1], &settings);
}

#[test]
fn moco_v3_makes_two_steps_with_either_encoder() {
    let folder = tempfile::tempdir().unwrap();
    imagenet(folder.path());
    let path = recipe("moco-v3-imagenet");
    let of_resnet = [
        "encoder={ kind = \"resnet50\", stem = \"imagenet\" }",
        "method.projection.layers=2",
        "method.projection.batch_norm=all",
        "method.predictor.batch_norm=hidden",
        "loss.temperature=1",
        "train.warmup_epochs=10",
        "optimizer={ kind = \"lars\", learning_rate = 4.8, weight_decay = 1e-6 }",
        "augment.crop_scale=[0.2,1.0]",
        "method.projection.width=64",
        "method.predictor.width=64",
    ];
    for (run, settings) in [("vit", &["encoder.layers=2"][..]), ("resnet", &of_resnet)] {
        let arguments = ["train", path.to_str().unwrap(), "--out", run, "--data-root", "imagenet"];
        let without = ["evaluate.after_training=false"];
        let ended = lookalike(folder.path(), &arguments, &[&SMALL[..], settings, &without].concat());
        assert!(ended.status.success(), "{run}: {}", text(&ended.stderr));
    }
    // No list has a part in it.
    let ended = lookalike(folder.path(), &["export", "vit", "vit.safetensors"], &[]);
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    let exported = lookalike_base::tensors::read(folder.path().join("vit.safetensors")).unwrap();
    assert_eq!(exported.metadata["data"], "imagenet");
}

#[test]
fn lists_that_miss_classes_name_them_and_a_file_takes_their_place() {
    let folder = tempfile::tempdir().unwrap();
    imagenet(folder.path());
    let path = recipe("simclr-imagenet100");
    let train = |settings: &[&str]| {
        let arguments = ["train", path.to_str().unwrap(), "--check", "--data-root", "imagenet"];
        let more = ["encoder.kind=small", "encoder.stem=cifar"];
        lookalike(folder.path(), &arguments, &[&SMALL[..], &more, settings].concat())
    };
    let refused = |settings: &[&str], said: &str| {
        let ended = train(settings);
        let error = text(&ended.stderr);
        assert!(ended.status.code() != Some(0) && error.contains(said), "{said}: {error}");
        assert!(!error.contains("panicked"), "{error}");
    };
    let mine = folder.path().join("mine.txt");
    fs::write(&mine, "# four\n\nn01558993\nn02123045\nn01692333\nn01729322\n").unwrap();
    assert!(train(&["data.classes=mine.txt"]).status.success());
    fs::write(&mine, "n01558993\nn09999999\nn09999998\n").unwrap();
    refused(
        &["data.classes=mine.txt"],
        "imagenet/train has no image of 2 of the 3 classes of mine.txt: n09999999, n09999998",
    );
    fs::write(&mine, "cat\ndog\n").unwrap();
    refused(&["data.classes=mine.txt"], "none of the 2 classes of mine.txt has an image in imagenet/train");
    fs::write(&mine, "n01558993\nn01558993\n").unwrap();
    refused(&["data.classes=mine.txt"], "mine.txt, line 2: the class `n01558993` stands in line 1 already");
    refused(&["data.classes=imagenet100-cm"], "did you mean `imagenet100-cmc`?");
    // Of a class there is nothing to test on.
    fs::remove_dir_all(folder.path().join("imagenet/val/n01558993")).unwrap();
    refused(&["data.classes=imagenet100-cmc"], "imagenet/test has no image of the class `n01558993`");
    // The images to test on as they come out of their archive, without folders.
    fs::remove_dir_all(folder.path().join("imagenet/val")).unwrap();
    fs::create_dir(folder.path().join("imagenet/val")).unwrap();
    let from = folder.path().join("imagenet/train/n01729322/n01729322_0.JPEG");
    fs::copy(from, folder.path().join("imagenet/val/ILSVRC2012_val_00000001.JPEG")).unwrap();
    refused(
        &["data.classes=imagenet100-cmc"],
        "the images of imagenet/test have none: a class is a sub-folder",
    );
}
