//! Pages of runs and of data sets, lists of runs, and comparisons.

mod place;

use std::fs;

use lookalike_base::{Rows, npy};
use place::Place;
use serde_json::Value;

/// What a page must hold: it is whole, asks for nothing, and has these sections.
fn check(page: &str, sections: &[&str]) {
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    assert!(page.contains("default-src 'none'"));
    for forbidden in ["http://", "https://", "src=\"/", "@import"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    for section in sections {
        assert!(page.contains(&format!("<section id=\"{section}\"")), "{section}");
    }
}

#[test]
fn training_ends_with_a_page_and_report_adds_a_map() {
    let place = Place::new();
    let out = place.succeed(&["train", "photos.toml", "--out", "run"]);
    assert!(out.contains("report: run/report.html ("), "{out}");
    let page = fs::read_to_string(place.path("run/report.html")).unwrap();
    check(&page, &["verdict", "curves", "geometry", "contrast", "neighbors"]);
    assert!(!page.contains("<section id=\"map\""));
    for told in ["<bdi>dark</bdi>", "The hardest batches", "data:image/jpeg", "light/01.png", "Machine: "] {
        assert!(page.contains(told), "{told}");
    }
    assert!(!page.contains(&*place.path("").to_string_lossy()), "no path of the machine is told");

    let board = |run: &str, name: &str| place.path(run).join("tensorboard").join(name);
    assert!(out.contains("for TensorBoard: run/tensorboard"), "{out}");
    let config = fs::read_to_string(board("run", "projector_config.pbtxt")).unwrap();
    for file in ["embeddings.tsv", "metadata.tsv", "sprite.jpg"] {
        assert!(config.contains(file) && board("run", file).exists(), "{file}: {config}");
    }

    let out = place.succeed(&["report", "run", "--out", "page.html"]);
    assert!(out.starts_with("report: page.html"), "{out}");
    let with_map = fs::read_to_string(place.path("page.html")).unwrap();
    check(&with_map, &["verdict", "curves", "geometry", "contrast", "neighbors", "map"]);
    place.succeed(&["report", "run", "--out", "again.html"]);
    assert_eq!(
        fs::read_to_string(place.path("again.html")).unwrap(),
        with_map,
        "the same run has the same page"
    );

    place.succeed(&["train", "photos.toml", "--out", "quiet", "--no-report"]);
    assert!(!place.path("quiet/report.html").exists() && !board("quiet", "metadata.tsv").exists());
    place.succeed(&["report", "quiet", "--tensorboard", "--out", "quiet.html"]);
    for file in ["events.out.tfevents.look", "embeddings.tsv", "metadata.tsv", "sprite.jpg"] {
        let bytes = |run| fs::read(board(run, file)).unwrap();
        assert!(file.starts_with("events") || bytes("run") == bytes("quiet"), "{file}");
        assert!(!bytes("quiet").is_empty());
    }
    place.succeed(&["report", "quiet", "run", "--no-data"]);
    check(&fs::read_to_string(place.path("quiet/report.html")).unwrap(), &["verdict", "curves", "contrast"]);
}

#[test]
fn a_monitor_tells_how_a_run_goes_and_changes_nothing() {
    let place = Place::new();
    place.succeed(&["train", "photos.toml", "--out", "alone", "--no-report"]);
    let told =
        place.run(&["train", "photos.toml", "--out", "watched", "--no-report", "--set", "evaluate.every=1"]);
    assert_eq!(told.status, Some(0), "{}", told.error);
    assert!(told.error.contains("kNN accuracy among instances learned from"), "{}", told.error);
    let bytes = |run: &str| fs::read(place.path(run).join("model.safetensors")).unwrap();
    assert!(bytes("alone") == bytes("watched"));
    let events = fs::read_to_string(place.path("watched/events.jsonl")).unwrap();
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| events.iter().filter(|event| event["kind"] == kind).collect::<Vec<_>>();
    let scores: Vec<f64> = of("monitor").iter().map(|event| event["score"].as_f64().unwrap()).collect();
    assert_eq!(scores.len(), of("epoch").len(), "{scores:?}");
    assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)), "{scores:?}");

    // Three epochs of 5 steps of 2 batches each are looked at every 3 · 10 / 4 of 7 steps, and at the end.
    let settings = ["train.epochs=6", "train.accumulate=4", "evaluate.every=3", "sampler.kind=uniform"];
    let mut arguments = vec!["train", "photos.toml", "--out", "few", "--no-report"];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
    let told = place.run(&arguments);
    assert_eq!(told.status, Some(0), "{}", told.error);
    let events = fs::read_to_string(place.path("few/events.jsonl")).unwrap();
    let of_kind =
        |kind: &str| events.lines().filter(|line| line.contains(&format!("\"kind\":\"{kind}\""))).count();
    assert!((1..=3).contains(&of_kind("monitor")), "{events}");
    for (file, problem) in [("dark", "all of one class"), ("light", "all of one class")] {
        fs::rename(place.path("photos").join(file), place.path(file)).unwrap();
        let told = place.run(&["train", "photos.toml", "--out", "one", "--set", "evaluate.every=1"]);
        assert!(told.status != Some(0) && told.error.contains(problem), "{}", told.error);
        fs::rename(place.path(file), place.path("photos").join(file)).unwrap();
    }
}

#[test]
fn a_run_that_never_finished_has_a_page_and_what_is_none_is_refused() {
    let place = Place::new();
    let status = place.run(&[
        "train",
        "photos.toml",
        "--out",
        "run",
        "--set",
        "train.max_steps=4",
        "--set",
        "sampler.kind=uniform",
        "--no-report",
    ]);
    assert_eq!(status.status, Some(0), "{}", status.error);
    fs::remove_file(place.path("run/model.safetensors")).unwrap();
    let events = place.path("run/events.jsonl");
    let text = fs::read_to_string(&events).unwrap();
    fs::write(&events, format!("{text}{{\"kind\": \"st")).unwrap();
    let told = place.run(&["report", "run"]);
    assert_eq!(told.status, Some(0), "{}", told.error);
    let page = fs::read_to_string(place.path("run/report.html")).unwrap();
    assert!(page.contains("It has not finished.") && page.contains("1 lines of its events cannot be read"));

    for (arguments, problem) in [
        (vec!["report", "photos"], "it has no recipe.toml"),
        (vec!["report", "run", "--out", "nowhere/page.html"], "its folder does not exist"),
        (vec!["report", "run", "photos"], "there is no recipe.toml in it"),
        (vec!["report", "run", "--out", "run/recipe.toml"], "keeps a file of its own there"),
    ] {
        let told = place.run(&arguments);
        assert!(told.status != Some(0) && told.error.contains(problem), "{arguments:?}: {}", told.error);
    }
}

#[test]
fn runs_are_listed_and_arms_compared_by_seed() {
    let place = Place::new();
    for (arm, kind) in [("walks", "walk"), ("plain", "uniform")] {
        let kind = format!("sampler.kind={kind}");
        let arguments =
            ["train", "photos.toml", "--out", arm, "--seeds", "0..1", "--set", &kind, "--no-report"];
        place.succeed(&arguments);
    }
    let listed = place.succeed(&["runs", ".", "--sort", "name"]);
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines.len() == 5 && lines[0].starts_with("run") && lines[1].contains("plain/seed-0"), "{listed}");
    assert!(
        lines[1].contains("finished") && lines[1].contains("knn ") && lines[1].contains("uniform"),
        "{listed}"
    );
    let filtered = place.succeed(&["runs", ".", "--filter", "walks", "--json", "--state", "finished"]);
    let first: Value = serde_json::from_str(filtered.lines().next().unwrap()).unwrap();
    assert_eq!((filtered.lines().count(), first["batches"].as_str()), (2, Some("walk")));
    assert_eq!(place.succeed(&["runs", "photos"]), "no runs in photos\n");
    assert!(place.run(&["runs", "nowhere"]).error.contains("nowhere is no folder"));

    let compared = place.succeed(&["compare", "plain", "walks"]);
    assert!(
        compared.contains("paired by seed") && compared.contains("knn ") && compared.contains("walks/seed-0"),
        "{compared}"
    );
    let line = place.succeed(&["compare", "plain", "walks", "--score", "knn", "--json"]);
    let found: Value = serde_json::from_str(&line).unwrap();
    let mean = |key: &str| found[key].as_f64().unwrap();
    assert!((mean("arm_mean") - mean("baseline_mean") - mean("difference")).abs() < 1e-12, "{line}");
    assert_eq!(found["seeds"], serde_json::json!([0, 1]));
    assert_eq!(found["interval"].as_array().map(Vec::len), Some(2));
    for (arguments, problem) in [
        (["compare", "walks/seed-0", "walks/seed-1"], "all of these are runs of one recipe"),
        (["compare", "walks", "photos"], "photos is no run, and holds none"),
        (["compare", "walks", "walks"], "are both of seed 0 of one recipe"),
    ] {
        let told = place.run(&arguments);
        assert!(told.status == Some(2) && told.error.contains(problem), "{arguments:?}: {}", told.error);
    }
}

#[test]
fn a_folder_of_images_is_inspected_by_pixels_and_a_copy_is_found() {
    let place = Place::new();
    fs::copy(place.path("photos/dark/00.png"), place.path("photos/light/copy.png")).unwrap();
    let out = place.succeed(&["inspect", "photos"]);
    assert!(
        out.contains("exact-duplicate   2")
            && out.contains("wrote inspect.html, issues.csv, groups.npy to inspect"),
        "{out}"
    );
    let table = fs::read_to_string(place.path("inspect/issues.csv")).unwrap();
    assert!(
        table
            .lines()
            .any(|line| line.contains("dark/00.png,exact-duplicate,1.000000")
                && line.contains("light/copy.png")),
        "{table}"
    );
    check(&fs::read_to_string(place.path("inspect/inspect.html")).unwrap(), &["summary", "exact-duplicates"]);
    let groups = npy::read_identifiers(place.path("inspect/groups.npy")).unwrap().0;
    assert_eq!(groups.iter().filter(|group| **group >= 0).count(), 2);

    place.succeed(&["train", "photos.toml", "--out", "run", "--no-report"]);
    let out = place.succeed(&["inspect", "run", "--out", "of-run"]);
    assert!(out.contains("exact-duplicate   2"), "{out}");
    place.succeed(&["embed", "run", "--out", "e.npy"]);
    let out =
        place.succeed(&["inspect", "e.npy", "--labels", "e.csv", "--images", "photos", "--out", "of-rows"]);
    assert!(out.contains("exact-duplicate   2"), "{out}");
    let page = fs::read_to_string(place.path("of-rows/inspect.html")).unwrap();
    assert!(
        page.contains("light/copy.png")
            && page.contains("data:image/jpeg")
            && page.contains("<bdi>dark</bdi>")
    );
    // What was found keeps the copy out of its twin's batches.
    place.succeed(&[
        "sample",
        "e.npy",
        "--groups",
        "of-rows/groups.npy",
        "--batch-size",
        "8",
        "--candidates",
        "20",
        "--neighbors",
        "5",
        "--out",
        "p.npy",
    ]);
}

#[test]
fn what_cannot_be_inspected_is_named() {
    let place = Place::new();
    npy::write_rows(place.path("e.npy"), Rows::new(&[1.0, 0.0, 0.0, 1.0, 0.5, 0.5], 2).unwrap()).unwrap();
    npy::write_rows(place.path("bad.npy"), Rows::new(&[1.0, f32::NAN], 2).unwrap()).unwrap();
    fs::write(place.path("l.csv"), "class\na\nb\n").unwrap();
    fs::write(place.path("few.txt"), "one\ntwo\n").unwrap();
    fs::create_dir(place.path("own")).unwrap();
    fs::copy(place.path("e.npy"), place.path("own/groups.npy")).unwrap();
    let before = fs::read(place.path("own/groups.npy")).unwrap();
    for (arguments, problem) in [
        (vec!["inspect", "nowhere.npy"], "nowhere.npy does not exist"),
        (vec!["inspect", "bad.npy"], "holds NaN in column 1"),
        (vec!["inspect", "e.npy", "--labels", "l.csv"], "has 2 rows, and there are 3 embeddings"),
        (vec!["inspect", "e.npy", "--labels", "l.csv:klass"], "has no column `klass`"),
        (vec!["inspect", "e.npy", "--images", "photos"], "holds 40 images, and there are 3 embeddings"),
        (vec!["inspect", "e.npy", "--texts", "few.txt"], "holds 2 texts, and there are 3 embeddings"),
        (vec!["inspect", "photos", "--labels", "l.csv"], "--labels goes with embeddings"),
        (vec!["inspect", "e.npy", "--duplicate-factor", "0"], "duplicate_factor is 0; it must be above 0"),
        (vec!["inspect", "e.npy", "--out", "photos.toml"], "photos.toml is no folder"),
        (vec!["inspect", "own/groups.npy", "--out", "own"], "it is one of the inputs"),
        (vec!["inspect", "photos", "--out", "photos"], "it lies in the folder that is read"),
        (vec!["inspect", "photos", "--out", "photos/found"], "it lies in the folder that is read"),
        (vec!["inspect", "e.npy", "--out", "own"], "no inspection wrote it"),
        (vec!["inspect", "e.npy", "--set", "seed=1"], "--set goes with a run"),
    ] {
        let told = place.run(&arguments);
        assert!(
            matches!(told.status, Some(1 | 2)) && told.error.contains(problem),
            "{arguments:?}: {}",
            told.error
        );
    }
    assert_eq!(fs::read(place.path("own/groups.npy")).unwrap(), before);
    assert!(!place.path("inspect").exists(), "what is refused leaves nothing behind");
}
