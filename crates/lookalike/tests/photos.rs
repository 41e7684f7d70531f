//! Folders of images as people have them, from a recipe of their path alone to accuracies with their premise.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Images of a class: of its brightness, with a pattern of their own.
fn pictures(folder: &Path, count: u32, brightness: u32) {
    fs::create_dir_all(folder).unwrap();
    for index in 0..count {
        let image = image::RgbImage::from_fn(12, 12, |x, y| {
            let value = (x * 7 + y * 11 + index * 5) % 64 + brightness;
            image::Rgb([value as u8, (value / 2) as u8, (255 - value) as u8])
        });
        image.save(folder.join(format!("{index:02}.png"))).unwrap();
    }
}

/// Standard output, standard error and evaluation of a run of `recipe` in `folder`.
fn train(folder: &Path, recipe: &str, settings: &[&str]) -> (String, String, Option<Value>) {
    fs::write(folder.join("photos.toml"), recipe).unwrap();
    let _none = fs::remove_dir_all(folder.join("run"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_lookalike"));
    command.current_dir(folder).args(["train", "photos.toml", "--out", "run"]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    let output = command.output().unwrap();
    let [out, error] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{error}");
    let evaluation = fs::read_to_string(folder.join("run/evaluation.json")).ok();
    (out, error, evaluation.map(|text| serde_json::from_str(&text).unwrap()))
}

/// Small enough for a test; what fits itself to the data is left out.
const RECIPE: &str =
    "[data]\nname = \"folder\"\nroot = \"photos\"\n[augment]\nsize = 8\n[encoder]\nkind = \"small\"\n";

#[test]
fn a_recipe_without_sizes_fits_itself_to_few_images_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    pictures(&folder.path().join("photos/dark"), 12, 20);
    pictures(&folder.path().join("photos/light"), 12, 180);
    let (out, error, evaluation) = train(folder.path(), RECIPE, &["train.epochs=2"]);
    for said in [
        "sampler.batch_size is 4, as there are 24 instances; its default is 256",
        "train.warmup_epochs is 0.2",
    ] {
        assert!(error.contains(said), "{error}");
    }
    let written = fs::read_to_string(folder.path().join("run/recipe.toml")).unwrap();
    assert!(written.contains("batch_size = 4\n") && written.contains("warmup_epochs = 0.2"), "{written}");
    // Both parts are one, and all of it votes.
    assert!(out.contains("train and test are the same instances"), "{out}");
    assert!(out.contains("k = 24 is more than a tenth of the 24 training instances"), "{out}");
    assert_eq!(evaluation.unwrap()["notes"].as_array().unwrap().len(), 2);
    // What was set is never changed.
    let refused = Command::new(env!("CARGO_BIN_EXE_lookalike"))
        .current_dir(folder.path())
        .args(["train", "photos.toml", "--out", "other", "--set", "sampler.batch_size=256"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn accuracies_of_unequal_classes_stand_beside_that_of_the_greater() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("photos");
    pictures(&root.join("many"), 30, 20);
    pictures(&root.join("few"), 5, 180);
    let settings = ["train.epochs=2", "data.test_share=0.2", "evaluate.knn_k=1"];
    let (out, error, evaluation) = train(folder.path(), RECIPE, &settings);
    assert!(error.contains("28 images to train on, 7 to test"), "{error}");
    let evaluation = evaluation.unwrap();
    let number = |key: &str| evaluation[key].as_f64().unwrap();
    assert!((number("most_frequent_class") - 6.0 / 7.0).abs() < 1e-12, "{evaluation}");
    assert!((number("most_frequent_class_balanced") - 0.5).abs() < 1e-12, "{evaluation}");
    // By their brightness the classes lie apart.
    assert!((number("knn_balanced_pixels") - 1.0).abs() < 1e-12, "{evaluation}");
    let classes = evaluation["knn_by_class_pixels"].as_array().unwrap();
    assert_eq!((classes[0]["class"].as_str(), classes[0]["instances"].as_u64()), (Some("few"), Some(1)));
    assert!(
        out.contains("accuracy of the most frequent class, many") && out.contains(", balanced 50.00 %"),
        "{out}"
    );
}

#[test]
fn images_of_a_list_without_a_label_are_left_out_of_accuracies_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("photos");
    pictures(&root.join("dark"), 12, 20);
    pictures(&root.join("light"), 12, 180);
    let mut list = "path,label,split\n".to_owned();
    for index in 0..12 {
        let part = if index < 8 { "train" } else { "test" };
        for class in ["dark", "light"] {
            let label = if index == 3 { "" } else { class };
            list = format!("{list}photos/{class}/{index:02}.png,{label},{part}\n");
        }
    }
    fs::write(folder.path().join("list.csv"), list).unwrap();
    let recipe = RECIPE.replace("\"photos\"", "\"list.csv\"");
    let settings = ["train.epochs=2", "evaluate.knn_k=1", "sampler.kind=uniform"];
    let (out, _, evaluation) = train(folder.path(), &recipe, &settings);
    assert!(out.contains("2 of 16 training instances have no label"), "{out}");
    let evaluation = evaluation.unwrap();
    assert_eq!(evaluation["unlabelled_train"].as_u64(), Some(2));
    assert!((evaluation["knn_pixels"].as_f64().unwrap() - 1.0).abs() < 1e-12, "{evaluation}");
    assert!(evaluation["false_negative_rate"].is_number(), "{evaluation}");
}

#[test]
fn pixels_and_the_evaluation_at_the_end_can_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    pictures(&folder.path().join("photos/dark"), 8, 20);
    pictures(&folder.path().join("photos/light"), 8, 180);
    let (_, _, evaluation) = train(folder.path(), RECIPE, &["train.epochs=2", "evaluate.raw_input=false"]);
    let evaluation = evaluation.unwrap();
    assert!(
        evaluation.get("knn_pixels").is_none() && evaluation["knn_untrained"].is_number(),
        "{evaluation}"
    );
    let (out, _, evaluation) =
        train(folder.path(), RECIPE, &["train.epochs=2", "evaluate.after_training=false"]);
    assert!(evaluation.is_none() && out.starts_with("next: lookalike evaluate run"), "{out}");
    assert!(folder.path().join("run/model.safetensors").exists());
}
