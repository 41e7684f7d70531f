//! What a representation is worth elsewhere, as users ask for it: feature maps on images with masks, few labels, fine-tuning, and a linear
//! classifier on a frozen encoder.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod place;

use std::fs;

use lookalike_base::{Arrays, tensors};
use place::{Ended, Place};
use serde_json::Value;

/// A square of light on a dark ground in each of so many images, and the masks that say so; class 2 is in no image to test on.
fn scenes(place: &Place, images: u32) {
    for (part, first) in [("train", 0), ("val", images)] {
        for index in first..first + images {
            let size = if index % 3 == 0 { [24, 20] } else { [32, 32] };
            let (left, top) = (index * 5 % 12, index * 3 % 8);
            let is_inside = |x: u32, y: u32| (left..left + 8).contains(&x) && (top..top + 8).contains(&y);
            let picture = image::RgbImage::from_fn(size[0], size[1], |x, y| {
                let noise = (x * 31 + y * 17 + index * 7) % 40;
                image::Rgb([(noise + if is_inside(x, y) { 180 } else { 20 }) as u8; 3])
            });
            let mask = image::GrayImage::from_fn(size[0], size[1], |x, y| {
                let class = match (part, x, y) {
                    (_, 0, 0) => 255,
                    ("train", 1, 0) => 2,
                    _ => u8::from(is_inside(x, y)),
                };
                image::Luma([class])
            });
            let file = |kind: &str, ending: &str| {
                let folder = place.path(&format!("scenes/{kind}/{part}"));
                fs::create_dir_all(&folder).unwrap();
                folder.join(format!("{index:03}.{ending}"))
            };
            picture.save(file("images", "bmp")).unwrap();
            mask.save(file("masks", "png")).unwrap();
        }
    }
    fs::write(place.path("scenes/classes.txt"), "ground\nsquare\nnowhere\n").unwrap();
}

fn evaluation(place: &Place, run: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(place.path(run).join("evaluation.json")).unwrap()).unwrap()
}

fn train(place: &Place, out: &str, settings: &[&str]) -> Ended {
    let mut arguments = vec!["train", "photos.toml", "--out", out];
    for setting in settings {
        arguments.extend(["--set", setting]);
    }
    place.run(&arguments)
}

fn model(place: &Place, run: &str) -> Arrays {
    tensors::read(place.path(run).join("model.safetensors")).unwrap().tensors
}

const SCENES: &str = "evaluate.segmentation=[\"../scenes\"]";

#[test]
fn maps_are_scored_beside_what_needs_no_encoder() {
    let place = Place::new();
    scenes(&place, 10);
    let trained = train(&place, "run", &["data.test_share=0.25"]);
    assert_eq!(trained.status, Some(0), "{}", trained.error);
    let maps = ["evaluate", "run", "--no-probe", "--set", SCENES, "--set", "evaluate.segmentation_epochs=30"];
    let out = place.succeed(&maps);
    let found = evaluation(&place, "run");
    let score = |name: &str| found[name].as_f64().unwrap_or_else(|| panic!("{name}: {found}"));
    for arm in ["", "_untrained", "_pixels"] {
        for kind in ["segmentation", "patches"] {
            // Brightness tells the squares apart.
            let miou = score(&format!("{kind}_scenes{arm}"));
            assert!(miou > 0.6 && miou <= 1.0, "{kind}{arm}: {miou}");
        }
    }
    // The ground is most of the image: its IoU, and 0 of the square, over two classes.
    let majority = score("segmentation_scenes_majority");
    assert!(majority > 0.4 && majority < 0.5, "{majority}");
    let classes = found["segmentation_scenes_by_class"].as_array().unwrap();
    assert_eq!(classes[2]["class"], "nowhere");
    assert!(classes[1]["iou"].is_number() && classes[2]["iou"].is_null(), "{classes:?}");
    assert!(out.contains("of 2 of 3 classes"), "{out}");
    // 32 pixels, and a stem that keeps them: the third stage has cells of 4 pixels.
    assert_eq!((&found["map_stage"], &found["map_patches"]), (&3.into(), &504.into()));
    // A transformer's patches are no maps: that is said, and all else is scored.
    let settings =
        ["data.test_share=0.25", "encoder.kind=vit-tiny", "train.max_steps=1", "sampler.kind=uniform"];
    train(&place, "vit", &settings);
    let vit = place.succeed(&["evaluate", "vit", "--no-probe", "--beside", "nothing", "--set", SCENES]);
    assert!(vit.contains("this encoder gives no feature maps") && vit.contains("kNN accuracy"), "{vit}");
    // Large images are reduced for the encoder, and scored as they are.
    let small = [
        "evaluate",
        "run",
        "--no-probe",
        "--beside",
        "nothing",
        "--set",
        SCENES,
        "--set",
        "evaluate.segmentation_size=16",
    ];
    place.succeed(&small);
    assert!(evaluation(&place, "run")["segmentation_scenes_pixel_accuracy"].as_f64().unwrap() > 0.8);
    let same = found.clone();
    place.succeed(&maps);
    assert_eq!(evaluation(&place, "run"), same, "an evaluation depends on nothing but the run and the data");
    let stage = ["evaluate", "run", "--no-probe", "--set", SCENES, "--set", "evaluate.segmentation_stage=4"];
    let out = place.succeed(&stage);
    assert!(out.contains("segmentation_stage is 4, and this encoder has 3 stages"), "{out}");
}

#[test]
fn sets_that_cannot_be_are_refused_before_anything_is_embedded() {
    let place = Place::new();
    scenes(&place, 3);
    let refused = |setting: &str, problem: &str| {
        let ended = train(&place, "refused", &[setting]);
        assert!(ended.status != Some(0) && ended.error.contains(problem), "{setting}: {}", ended.error);
        assert!(!ended.error.contains("panicked") && !place.path("refused").exists(), "{}", ended.error);
    };
    refused("evaluate.segmentation=[\"nucle\"]", "`nucle` is neither a known set");
    refused("evaluate.segmentation=\"nuclei\"", "a list of names of sets");
    fs::remove_file(place.path("scenes/masks/val/004.png")).unwrap();
    refused(SCENES, "004.bmp has no mask (a PNG file) of the same name");
    fs::remove_dir_all(place.path("scenes/images/train")).unwrap();
    refused(SCENES, "a folder `train` was looked for");
}

/// Settings of a supervised run from the encoder of another.
const SUPERVISED: [&str; 4] = [
    "method.kind=supervised",
    "sampler.kind=uniform",
    "encoder.weights=run/model.safetensors",
    "data.test_share=0.25",
];

#[test]
fn an_encoder_is_fine_tuned_with_rates_by_layer_and_its_classifier_scored() {
    let place = Place::new();
    train(&place, "run", &["data.test_share=0.25"]);
    let rates = "optimizer.rates={encoder=0.1, \"encoder.conv1\"=1e-9, classifier=3.0}";
    let steps = ["train.schedule=steps", "train.drop_at=[2, 3.5]", "train.drop_factor=0.2", "train.epochs=4"];
    let settings = [&SUPERVISED[..], &steps, &[rates, "data.share=0.5", "train.checkpoint_every=1"]].concat();
    let ended = train(&place, "tuned", &settings);
    assert_eq!(ended.status, Some(0), "{}", ended.error);
    assert!(
        ended.error.contains("50 % of each class") || ended.out.contains("50 % of each class"),
        "{}",
        ended.error
    );
    let found = evaluation(&place, "tuned");
    assert!(
        found["classifier"].is_number() && found["classifier_training_statistics"].is_number(),
        "{found}"
    );
    let (before, after) = (model(&place, "run"), model(&place, "tuned"));
    let moved = |name: &str| {
        let [before, after] = [&before, &after].map(|arrays| arrays[name].as_f32().unwrap());
        before.iter().zip(after).map(|(before, after)| f64::from((before - after).abs())).fold(0.0, f64::max)
    };
    assert!(moved("encoder.conv1.weight") < 1e-6, "{}", moved("encoder.conv1.weight"));
    assert!(moved("encoder.layer1.0.conv1.weight") > 1e-5, "{}", moved("encoder.layer1.0.conv1.weight"));
    // 16 images a class to learn from, half of them taken: batches of 8, 2 an epoch; drops after 4 and 7 steps.
    let events = fs::read_to_string(place.path("tuned/events.jsonl")).unwrap();
    let first: Vec<f64> = events
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok()?["learning_rate"].as_f64())
        .collect();
    assert!(first.last().is_some_and(|rate| (rate - 0.06 * 0.04).abs() < 1e-9), "{first:?}");
    // Stopped and resumed it is the same run.
    train(&place, "again", &[&settings[..], &["train.max_steps=3"]].concat());
    place.succeed(&["train", "--resume", "again", "--set", "train.max_steps=1000"]);
    assert_eq!(model(&place, "again"), after);
}

#[test]
fn a_classifier_on_a_frozen_encoder_leaves_all_of_it_as_it_is() {
    let place = Place::new();
    train(&place, "run", &["data.test_share=0.25"]);
    let frozen = "train.freeze=[\"conv1\", \"bn1\", \"layer1\", \"layer2\", \"layer3\"]";
    let ended = train(&place, "linear", &[&SUPERVISED[..], &[frozen]].concat());
    assert_eq!(ended.status, Some(0), "{}", ended.error);
    let (before, after) = (model(&place, "run"), model(&place, "linear"));
    for (name, array) in before.iter().filter(|(name, _)| name.starts_with("encoder.")) {
        assert_eq!(Some(array), after.get(name), "{name}");
    }
    assert_eq!(after["classifier.weight"].shape, [2, 64]);
    let found = evaluation(&place, "linear");
    assert!(found["classifier"].is_number(), "{found}");
    // Other data have other classes: the classifier says so, and all else is scored.
    let glyphs = ["evaluate", "linear", "--data", "glyphs", "--no-probe", "--beside", "nothing"];
    let out = place.succeed(&glyphs);
    assert!(out.contains("it tells 2 classes, and glyphs/train has 62"), "{out}");
}

#[test]
fn keys_of_fine_tuning_that_cannot_be_are_refused_by_name() {
    let place = Place::new();
    train(&place, "run", &["data.test_share=0.25"]);
    for (setting, problem) in [
        ("optimizer.rates={layer1=0.1}", "optimizer.rates: no layer's name begins with `layer1`"),
        ("optimizer.rates={encoder=0.0}", "must be numbers above 0"),
        ("optimizer.rates={encoder=\"slow\"}", "optimizer"),
        ("train.schedule=steps", "train.drop_at: must be a list of epochs"),
        ("train.drop_at=[1]", "goes with train.schedule = \"steps\" alone"),
        ("train.drop_factor=0.5", "goes with train.schedule = \"steps\" alone"),
        ("train.drop_at=2", "train.drop_at: must be a list of numbers"),
        ("data.share=1.5", "data.share: must be above 0, below 1"),
    ] {
        let ended = train(&place, "refused", &[&SUPERVISED[..], &[setting]].concat());
        assert!(ended.status != Some(0) && ended.error.contains(problem), "{setting}: {}", ended.error);
        assert!(!ended.error.contains("panicked"), "{}", ended.error);
    }
    let steps = ["train.schedule=steps", "train.drop_at=[3, 2]", "train.epochs=4"];
    let ended = train(&place, "refused", &[&SUPERVISED[..], &steps].concat());
    assert!(ended.error.contains("in rising order"), "{}", ended.error);
    let warm = ["train.schedule=steps", "train.drop_at=[1]", "train.epochs=4", "train.warmup_epochs=2.0"];
    let ended = train(&place, "refused", &[&SUPERVISED[..], &warm].concat());
    assert!(ended.error.contains("begins before the warm-up ends"), "{}", ended.error);
    let both = ["train.freeze=[\"conv1\"]", "optimizer.rates={\"encoder.conv1\"=2.0}"];
    let ended = train(&place, "refused", &[&SUPERVISED[..], &both].concat());
    assert!(ended.error.contains("`encoder.conv1` does not learn"), "{}", ended.error);
}
