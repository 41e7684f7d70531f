//! Contrastive Clustering as users call it: its scores beside k-means, the data it takes, and mistakes.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod place;

use std::fs;

use place::{IMAGES, Place};
use serde_json::Value;

/// A recipe of two clusters, each batch with 20 images.
const CLUSTERS: &[&str] = &[
    "--set",
    "method.kind=contrastive-clustering",
    "--set",
    "method.clusters=2",
    "--set",
    "sampler.kind=uniform",
    "--set",
    "sampler.batch_size=20",
];

fn train<'a>(out: &'a str, settings: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = [&["train", "photos.toml", "--out", out][..], CLUSTERS].concat();
    for setting in settings {
        arguments.extend(["--set", setting]);
    }
    arguments
}

fn evaluation(place: &Place, run: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(place.path(run).join("evaluation.json")).unwrap()).unwrap()
}

#[test]
fn a_run_ends_with_clusters_of_the_head_beside_those_of_k_means_on_every_arm() {
    let place = Place::new();
    let ended = place.run(&train("run", &["data.test_share=0.25", "train.epochs=4"]));
    assert_eq!(ended.status, Some(0), "{}", ended.error);
    assert!(ended.error.contains("fewer than 25 instances for each of 2 clusters"), "{}", ended.error);
    let found = evaluation(&place, "run");
    for arm in ["_pixels", "_untrained", ""] {
        for part in ["", "_test"] {
            for score in ["accuracy", "nmi", "ari"] {
                assert!(
                    found[format!("kmeans_{score}{part}{arm}")].is_number(),
                    "{score} {part} {arm}: {found}"
                );
                let head = &found[format!("head_{score}{part}{arm}")];
                assert_eq!(head.is_number(), arm != "_pixels", "{score} {part} {arm}: {found}");
            }
        }
    }
    // By their brightness the classes lie apart.
    assert_eq!(found["kmeans_accuracy_pixels"], 1.0);
    assert_eq!((&found["kmeans_clusters"], &found["head_clusters"]), (&2.into(), &2.into()));
    let rows: Vec<&str> =
        ended.out.lines().filter(|line| line.starts_with("accuracy, NMI, ARI of ")).collect();
    assert_eq!(rows.len(), 10, "{}", ended.out);
    place.succeed(&["embed", "run", "--layer", "clusters", "--out", "clusters.npy"]);
    assert_eq!(place.shape("clusters.npy"), (30, 2));
    // Of a method without a cluster head training ends without; asked for, k-means is there.
    place.succeed(&["train", "photos.toml", "--out", "other", "--set", "data.test_share=0.25"]);
    assert!(evaluation(&place, "other")["kmeans_accuracy"].is_null());
    place.succeed(&["evaluate", "other"]);
    let other = evaluation(&place, "other");
    assert!(other["kmeans_accuracy"].is_number() && other["head_accuracy"].is_null(), "{other}");
    let none = place.run(&["embed", "other", "--layer", "clusters", "--out", "none.npy"]);
    assert!(none.status == Some(2) && none.error.contains("the run has no cluster head"), "{}", none.error);
}

#[test]
fn clusters_that_cannot_be_are_refused_and_fewer_than_classes_are_told() {
    let place = Place::new();
    for (setting, problem) in [
        ("method.clusters=41", "method.clusters: must be at most 40"),
        ("method.clusters=1", "method.clusters"),
        ("data.classes=[\"dark\", \"lihgt\"]", "no class `lihgt`; did you mean `light`?"),
        ("data.unlabelled=apart", "`apart` needs images with a label and images without one"),
        ("method.columns=uniforms", "did you mean `uniform`?"),
    ] {
        let ended = place.run(&train("refused", &[setting]));
        assert!(ended.status != Some(0) && ended.error.contains(problem), "{setting}: {}", ended.error);
        assert!(!ended.error.contains("panicked"), "{}", ended.error);
    }
    // Three classes, two clusters.
    fs::create_dir(place.path("photos/third")).unwrap();
    for index in 0..10 {
        let from = place.path(&format!("photos/dark/{:02}.png", 2 * index));
        fs::copy(from, place.path(&format!("photos/third/{index}.png"))).unwrap();
    }
    let out = place.succeed(&train("few", &["data.test_share=0.25"]));
    assert!(out.contains("3 classes cannot all have a cluster of their own among 2"), "{out}");
}

#[test]
fn some_classes_all_images_together_and_those_without_a_label_apart() {
    let place = Place::new();
    place.succeed(&train("chosen", &["data.classes=[\"light\"]", "sampler.batch_size=10", "train.epochs=1"]));
    let few = place.run(&["embed", "chosen", "--out", "chosen.npy"]);
    assert_eq!((few.status, place.shape("chosen.npy").0), (Some(0), IMAGES as usize / 2), "{}", few.error);
    // Other data have classes of their own.
    let glyphs = ["evaluate", "chosen", "--data", "glyphs", "--no-probe", "--beside", "nothing"];
    let other = place.run(&glyphs);
    assert_eq!(other.status, Some(0), "{}", other.error);

    let together = place.run(&train("together", &["data.test_share=0.25", "data.together=true"]));
    assert!(together.error.contains("40 instances"), "{}", together.error);
    assert!(together.out.contains("train and test are the same instances"), "{}", together.out);
    let found = evaluation(&place, "together");
    assert!(found["head_accuracy"].is_number() && found["head_accuracy_test"].is_null(), "{found}");

    // Every other image has no label.
    let line = |index: u32| {
        let class = ["dark", "light"][index as usize % 2];
        let label = if index % 4 < 2 { class } else { "" };
        format!("photos/{class}/{index:02}.png,{label}")
    };
    let lines: Vec<String> = (0..IMAGES).map(line).collect();
    let list = format!("path,label\n{}\n", lines.join("\n"));
    fs::write(place.path("list.csv"), list).unwrap();
    let apart =
        ["data.root=list.csv", "data.unlabelled=apart", "method.columns=labelled", "sampler.batch_size=10"];
    let ended = place.run(&train("apart", &[&apart[..], &["train.log_every=1"]].concat()));
    assert_eq!(ended.status, Some(0), "{}", ended.error);
    // Of four batches an epoch the first two are without a label, and have no columns.
    let events = fs::read_to_string(place.path("apart/events.jsonl")).unwrap();
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let columns =
        events.filter(|event| event["kind"] == "diagnostics").map(|event| event["clusters"].is_number());
    assert_eq!(columns.collect::<Vec<bool>>(), [false, false, true, true, false, false, true, true]);
}

#[test]
fn without_a_label_the_head_is_looked_at_all_the_same() {
    let place = Place::new();
    let lines: Vec<String> = (0..IMAGES)
        .map(|index| format!("photos/{}/{index:02}.png", ["dark", "light"][index as usize % 2]))
        .collect();
    fs::write(place.path("list.txt"), lines.join("\n")).unwrap();
    let out = place.succeed(&train("run", &["data.root=list.txt", "train.epochs=1"]));
    assert!(out.contains("clusters of the head in use"), "{out}");
    let found = evaluation(&place, "run");
    assert!(found["head_clusters_used"].is_number() && found["head_accuracy"].is_null(), "{found}");
}

#[test]
fn an_oracle_that_nobody_would_hear_of_is_refused_or_told() {
    let place = Place::new();
    let with = |oracle: &str, more: &[&str]| {
        let oracle = format!("train.oracle={oracle}");
        let mut arguments = vec!["train", "photos.toml", "--out", "run", "--set", &oracle];
        for setting in more {
            arguments.extend(["--set", *setting]);
        }
        place.run(&arguments)
    };
    let many = with("{ clusters = 41 }", &[]);
    assert!(many.error.contains("train.oracle.clusters: must be at most 40"), "{}", many.error);
    // Uniform batches are looked at when an epoch begins, and the second one is the last.
    let late = with("{ clusters = 2, begins = 0.6 }", &["sampler.kind=uniform"]);
    assert!(
        late.status == Some(2) && late.error.contains("before the oracle begins with step"),
        "{}",
        late.error
    );
    let avoid = with("{ clusters = 2, avoid = \"members\" }", &["sampler.kind=uniform"]);
    assert!(avoid.error.contains("train.oracle.avoid: says what walks avoid"), "{}", avoid.error);
    let head = "train.oracle={ kind = \"head\" }";
    let unsure = place.run(&train("unsure", &["sampler.kind=walk", "train.epochs=4", head]));
    assert!(unsure.error.contains("warning: the oracle knows the class of no instance"), "{}", unsure.error);
}

#[test]
fn an_oracle_by_clusters_is_told_as_it_begins_and_in_the_events() {
    let place = Place::new();
    let oracle = "train.oracle={ kind = \"kmeans\", clusters = 2 }";
    let ended =
        place.run(&["train", "photos.toml", "--out", "run", "--set", "train.epochs=6", "--set", oracle]);
    assert_eq!(ended.status, Some(0), "{}", ended.error);
    assert!(
        ended.error.contains("the oracle has 2 classes, and knows that of 100.0 % of the instances"),
        "{}",
        ended.error
    );
    let events = fs::read_to_string(place.path("run/events.jsonl")).unwrap();
    let told = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let told: Vec<Value> = told.filter(|event| event["kind"] == "oracle").collect();
    // 30 steps, of which the first ten pass before.
    assert!(!told.is_empty() && told.iter().all(|event| event["step"].as_u64() >= Some(10)), "{told:?}");
    assert!(told.iter().all(|event| event["precision"].is_number() && event["by"] == "kmeans"), "{told:?}");
}
