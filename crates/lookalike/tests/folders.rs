//! What becomes of a run's folder: who owns it, what is kept, and what a run is worth before its end and after it.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod place;

use std::fs;
use std::process::{Child, Stdio};

use place::{IMAGES, Place, contents, ended, has_checkpoint, wait};
use serde_json::Value;

const LONG: &str = "train.epochs=100000";

impl Place {
    fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// A run that was killed after its first checkpoints.
    fn killed(&self, run: &str) {
        let mut child = self.start(&["train", "photos.toml", "--out", run, "--set", LONG]);
        wait(&mut child, || has_checkpoint(&self.path(run)));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn json(&self, file: &str) -> Value {
        serde_json::from_str(&fs::read_to_string(self.path(file)).unwrap()).unwrap()
    }
}

#[test]
fn a_second_process_is_refused_before_it_touches_a_file_and_a_killed_one_stands_in_nobody_s_way() {
    let place = Place::new();
    let run = place.path("run");
    let mut owner = place.start(&["train", "photos.toml", "--out", "run", "--set", LONG]);
    wait(&mut owner, || has_checkpoint(&run));
    let recipe = fs::read(run.join("recipe.toml")).unwrap();
    for arguments in [
        &["train", "photos.toml", "--out", "run", "--set", "seed=5"][..],
        &["train", "--resume", "run", "--set", "train.max_steps=8"],
    ] {
        let second = place.run(arguments);
        assert_eq!(second.status, Some(1), "{}", second.error);
        let named = format!("run belongs to another process: process {} on ", owner.id());
        assert!(second.error.contains(&named) && second.error.contains(" UTC"), "{}", second.error);
    }
    assert_eq!(fs::read(run.join("recipe.toml")).unwrap(), recipe);
    owner.kill().unwrap();
    owner.wait().unwrap();
    // What it may have been writing.
    let torn = run.join(".evaluation.json.4000000000-3.part");
    fs::write(&torn, "{").unwrap();
    let after = place.run(&[
        "train",
        "--resume",
        "run",
        "--set",
        "train.max_steps=100000",
        "--set",
        "data.root=none",
    ]);
    assert_eq!(after.status, Some(1), "{}", after.error);
    let left = format!("was left behind by process {} on ", owner.id());
    assert!(after.error.contains(&left) && after.error.contains("taken over"), "{}", after.error);
    assert!(!torn.exists() && !run.join(".lock").exists());
}

#[test]
fn a_folder_with_something_else_in_it_is_left_alone() {
    let place = Place::new();
    fs::create_dir_all(place.path("mine")).unwrap();
    fs::write(place.path("mine/model.safetensors"), "mine").unwrap();
    let refused = place.run(&["train", "photos.toml", "--out", "mine"]);
    assert_eq!(refused.status, Some(2), "{}", refused.error);
    assert!(refused.error.contains("model.safetensors lies there"), "{}", refused.error);
    assert_eq!(contents(&place.path("mine")).into_values().collect::<Vec<_>>(), [b"mine"]);
    fs::create_dir_all(place.path("deep/empty")).unwrap();
    place.succeed(&["train", "photos.toml", "--out", "deep/empty", "--set", "train.max_steps=6"]);
}

#[test]
fn runs_without_a_name_take_numbers_that_are_free_whoever_comes_at_the_same_time() {
    let place = Place::new();
    fs::create_dir_all(place.path("runs/photos-002")).unwrap();
    let start = || place.start(&["train", "photos.toml", "--set", "train.max_steps=6"]);
    let children: Vec<Child> = (0..3).map(|_| start()).collect();
    for child in children {
        let ended = ended(child.wait_with_output().unwrap());
        assert_eq!(ended.status, Some(0), "{}", ended.error);
    }
    for number in [1, 3, 4] {
        assert!(place.path(&format!("runs/photos-00{number}/evaluation.json")).exists(), "{number}");
    }
}

#[test]
fn a_finished_run_stays_one_when_its_checkpoints_are_gone() {
    let place = Place::new();
    place.succeed(&["train", "photos.toml", "--out", "run"]);
    let run = place.path("run");
    let scores = place.json("run/evaluation.json");
    fs::remove_dir_all(run.join("checkpoints")).unwrap();
    let before = contents(&run);
    let said = place.succeed(&["train", "--resume", "run"]);
    assert!(said.contains("run finished with step 10, and its checkpoints are gone"), "{said}");
    for setting in ["train.epochs=4", "train.max_steps=100"] {
        let longer = place.run(&["train", "--resume", "run", "--set", setting]);
        assert_eq!(longer.status, Some(2), "{}", longer.error);
        let way_out = "encoder.weights=run/model.safetensors";
        assert!(longer.error.contains("no checkpoint") && longer.error.contains(way_out), "{}", longer.error);
    }
    assert_eq!(contents(&run), before);
    let evaluated = place.run(&["evaluate", "run", "--no-probe", "--out", "again.json"]);
    assert!(evaluated.status == Some(0) && evaluated.error.contains("are gone"), "{}", evaluated.error);
    let again = place.json("again.json");
    assert_eq!((&again["knn"], &again["step"]), (&scores["knn"], &scores["step"]));
    assert!(again.get("hardness").is_none() && again.get("knn_training_statistics").is_none(), "{again}");
    place.succeed(&["embed", "run", "--out", "rows.npy"]);
    place.succeed(&["export", "run", "model.safetensors"]);
}

#[test]
fn an_unfinished_run_is_evaluated_embedded_and_exported_by_its_newest_checkpoint() {
    let place = Place::new();
    place.killed("run");
    for arguments in [
        &["embed", "run", "--out", "rows.npy"][..],
        &["export", "run", "early.safetensors"],
        &["evaluate", "run", "--no-probe"],
    ] {
        let ended = place.run(arguments);
        assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.error);
        assert!(ended.error.contains("warning: run has not finished"), "{}", ended.error);
    }
    assert!(!place.path("run/evaluation.json").exists(), "its scores are not those of the end");
    let own = |name: &str| name.starts_with("evaluation-step-");
    let mut names = fs::read_dir(place.path("run")).unwrap();
    assert!(names.any(|entry| own(entry.unwrap().file_name().to_str().unwrap())));
    // What was exported is what is embedded.
    place.succeed(&[
        "train",
        "photos.toml",
        "--out",
        "next",
        "--set",
        "train.max_steps=6",
        "--set",
        "encoder.weights=early.safetensors",
    ]);
}

#[test]
fn a_finished_run_is_trained_longer_and_keeps_its_results_until_new_ones_stand() {
    let place = Place::new();
    place.succeed(&["train", "photos.toml", "--out", "run"]);
    let model = fs::read(place.path("run/model.safetensors")).unwrap();
    let refused =
        place.run(&["train", "--resume", "run", "--set", "train.epochs=4", "--set", "loss.temperature=0.9"]);
    assert_eq!(refused.status, Some(2), "{}", refused.error);
    for part in ["train.epochs: 4, the run has 2", "loss.temperature: 0.9, the run has 0.5"] {
        assert!(refused.error.contains(part), "{}", refused.error);
    }
    assert_eq!(fs::read(place.path("run/model.safetensors")).unwrap(), model);

    let mut child = place.start(&["train", "--resume", "run", "--set", LONG]);
    let newer = || {
        fs::read_dir(place.path("run/checkpoints"))
            .is_ok_and(|found| found.flatten().any(|entry| entry.file_name() > *"step-000000012"))
    };
    wait(&mut child, newer);
    assert_eq!(fs::read(place.path("run/model.safetensors")).unwrap(), model, "no result is taken away");
    assert!(
        std::process::Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    let stopped = ended(child.wait_with_output().unwrap());
    assert_eq!(stopped.status, Some(75), "{}", stopped.error);
    assert!(
        stopped.error.contains("trained longer than it was to be") && stopped.error.contains("--resume run"),
        "{}",
        stopped.error
    );
    // While it goes on, what is used is the newest.
    let embedded = place.run(&["embed", "run", "--out", "rows.npy"]);
    assert!(embedded.status == Some(0) && embedded.error.contains("has not finished"), "{}", embedded.error);
}

#[test]
fn the_step_at_which_a_trial_ends_can_be_lifted() {
    let place = Place::new();
    place.succeed(&["train", "photos.toml", "--out", "run", "--set", "train.max_steps=6"]);
    let whole = place.run(&["train", "--resume", "run", "--set", "train.max_steps="]);
    assert!(whole.status == Some(0) && whole.error.contains("10 steps of 8"), "{}", whole.error);
    assert_eq!(place.json("run/evaluation.json")["step"], 10);
    let longer = place.run(&[
        "train",
        "--resume",
        "run",
        "--set",
        "train.epochs=3",
        "--set",
        "optimizer.learning_rate=0.01",
    ]);
    assert_eq!(longer.status, Some(0), "{}", longer.error);
    assert_eq!(place.json("run/evaluation.json")["step"], 15);
    let events = fs::read_to_string(place.path("run/events.jsonl")).unwrap();
    assert!(events.contains("\"kind\":\"schedule\"") && events.contains("\"begins\":10"), "{events}");
    assert!(place.succeed(&["train", "--resume", "run"]).contains("all its 15 steps"));
}

#[test]
fn other_data_are_scored_in_a_file_of_their_own_without_rows_about_the_run_s_batches() {
    let place = Place::new();
    place.succeed(&["train", "photos.toml", "--out", "run"]);
    let own = fs::read(place.path("run/evaluation.json")).unwrap();
    // Fewer images than the run had.
    for class in ["dark", "light"] {
        let folder = place.path("others").join(class);
        fs::create_dir_all(&folder).unwrap();
        let images =
            fs::read_dir(place.path("photos").join(class)).unwrap().map(|entry| entry.unwrap().path());
        for image in images.filter(|image| image.file_stem().unwrap() < "20") {
            fs::copy(&image, folder.join(image.file_name().unwrap())).unwrap();
        }
    }
    let scored = place.run(&["evaluate", "run", "--data-root", "others"]);
    assert_eq!(scored.status, Some(0), "{}", scored.error);
    assert!(scored.error.contains("are not the data that run learned from"), "{}", scored.error);
    assert!(
        scored.out.contains("linear probe") && !scored.out.contains("last epoch's batches"),
        "{}",
        scored.out
    );
    assert_eq!(fs::read(place.path("run/evaluation.json")).unwrap(), own);
    let files = contents(&place.path("run")).into_keys();
    let names = files.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    let names: Vec<String> = names.filter(|name| name.starts_with("evaluation-others-")).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    place.succeed(&["evaluate", "run", "--data", "glyphs", "--no-probe", "--out", "glyphs.json"]);
    assert!(place.json("glyphs.json")["knn"].is_f64());
}

#[test]
fn embedded_rows_have_their_files_and_classes_beside_them() {
    let place = Place::new();
    place.succeed(&["train", "photos.toml", "--out", "run", "--set", "train.max_steps=6"]);
    place.succeed(&["embed", "run", "--out", "rows.npy"]);
    let names = fs::read_to_string(place.path("rows.csv")).unwrap();
    let lines: Vec<&str> = names.lines().collect();
    assert_eq!(lines.len(), 1 + IMAGES as usize);
    assert_eq!(lines[..2], ["row,name,label,class", "0,dark/00.png,0,dark"]);
    assert_eq!(*lines.last().unwrap(), "39,light/39.png,1,light");
    place.succeed(&[
        "sample",
        "rows.npy",
        "--labels",
        "rows.csv",
        "--batch-size",
        "8",
        "--out",
        "plan.npy",
        "--report",
        "report.json",
    ]);
    assert!(place.json("report.json").to_string().contains("false_negative"));
    place.succeed(&[
        "sample",
        "rows.npy",
        "--groups",
        "rows.csv:class",
        "--batch-size",
        "2",
        "--out",
        "plan.npy",
    ]);
    let wrong = place.run(&[
        "sample",
        "rows.npy",
        "--labels",
        "rows.csv:colour",
        "--batch-size",
        "8",
        "--out",
        "plan.npy",
    ]);
    assert!(wrong.status != Some(0) && wrong.error.contains("`colour`"), "{}", wrong.error);
}

#[test]
fn a_place_that_takes_no_file_is_found_before_the_work_begins() {
    let place = Place::new();
    place.succeed(&["train", "photos.toml", "--out", "run", "--set", "train.max_steps=6"]);
    for arguments in [
        &["embed", "run", "--out", "nowhere/rows.npy"][..],
        &["export", "run", "nowhere/model.safetensors"],
        &["evaluate", "run", "--out", "nowhere/scores.json"],
        &["evaluate", "run", "--out", "run/recipe.toml"],
    ] {
        let ended = place.run(arguments);
        assert!(ended.status == Some(2) && ended.error.contains("cannot be written"), "{}", ended.error);
        assert!(!ended.error.contains("embedding"), "{}", ended.error);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_or_closed_standard_error_stops_nothing() {
    let place = Place::new();
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let train = ["train", "photos.toml", "--set", "train.max_steps=6", "--out"];
    let mut into_full = place.command(&[&train[..], &["full"]].concat());
    assert_eq!(into_full.stderr(full()).output().unwrap().status.code(), Some(0));
    let line = format!(
        "exec {} train photos.toml --set train.max_steps=6 --out closed 2>&-",
        env!("CARGO_BIN_EXE_lookalike")
    );
    let mut closed = std::process::Command::new("sh");
    assert_eq!(
        closed.current_dir(place.folder.path()).args(["-c", &line]).output().unwrap().status.code(),
        Some(0)
    );
    for run in ["full", "closed"] {
        assert!(place.path(run).join("evaluation.json").exists());
    }
    // A result that cannot be told is an error, and no panic.
    let ended = ended(place.command(&["evaluate", "full", "--json"]).stdout(full()).output().unwrap());
    assert_eq!(ended.status, Some(1), "{}", ended.error);
    let wrong = place.command(&["train", "none.toml"]).stderr(full()).output().unwrap();
    assert_eq!(wrong.status.code(), Some(1));
}

#[test]
fn an_image_that_goes_bad_in_the_middle_is_left_out_from_there_on() {
    let place = Place::new();
    place.killed("run");
    let bad = place.path("photos/dark/04.png");
    let length = fs::metadata(&bad).unwrap().len() as usize;
    fs::write(&bad, vec![0; length]).unwrap();
    let end = ["train", "--resume", "run", "--set", "train.max_steps=100000", "--set"];
    let stopped = place.run(&[&end[..], &["train.loader_threads=1"]].concat());
    assert!(stopped.status == Some(1) && stopped.error.contains("04.png"), "{}", stopped.error);
    // Also where it is gone altogether.
    fs::remove_file(place.path("photos/light/07.png")).unwrap();
    let gone = place.run(&["train", "--resume", "run"]);
    assert!(gone.error.contains("07.png") && gone.error.contains("data.skip_corrupt"), "{}", gone.error);
    let mut child = place.start(&[&end[..], &["data.skip_corrupt=true"]].concat());
    let events = || fs::read_to_string(place.path("run/events.jsonl")).unwrap_or_default();
    let told =
        || events().find("left out from here on").map(|at| events()[at..].matches("checkpoint").count());
    wait(&mut child, || told() > Some(1));
    assert!(
        std::process::Command::new("kill")
            .args(["-USR1", &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    let ended = ended(child.wait_with_output().unwrap());
    assert_eq!(ended.status, Some(75), "{}", ended.error);
    assert!(ended.error.contains("2 instances cannot be read any more"), "{}", ended.error);
    assert!(ended.error.contains("dark/04.png, light/07.png"), "{}", ended.error);
    // The other rows keep their names, and those two have none.
    place.succeed(&["embed", "run", "--out", "rows.npy"]);
    let names = fs::read_to_string(place.path("rows.csv")).unwrap();
    assert_eq!((place.shape("rows.npy").0, names.lines().count()), (38, 39));
    assert!(!names.contains("04.png") && !names.contains("07.png") && names.contains(",dark/06.png,0,dark"));
    let scored = place.run(&["evaluate", "run", "--no-probe", "--json"]);
    assert_eq!(scored.status, Some(0), "{}", scored.error);
    let scores: Value = serde_json::from_str(&scored.out).unwrap();
    assert!(scores["knn"].is_f64() && scores["hardness"].is_f64(), "{scores}");
}

#[test]
fn a_run_on_images_is_judged_by_a_part_that_is_cut_off_and_keeps_the_best_step() {
    let place = Place::new();
    let judged =
        ["--set", "data.development=0.2", "--set", "train.evaluate_every=2", "--set", "train.keep=best"];
    let trained = place.run(&[&["train", "photos.toml", "--out", "run"], &judged[..]].concat());
    assert_eq!(trained.status, Some(0), "{}", trained.error);
    assert!(trained.error.contains("8 of the images to learn from are cut off"), "{}", trained.error);
    assert!(
        trained.error.contains("32 instances") && trained.out.contains("at the best step"),
        "{}",
        trained.out
    );
    assert!(place.path("run/best.safetensors").exists());
    let events = fs::read_to_string(place.path("run/events.jsonl")).unwrap();
    assert_eq!(events.matches("\"kind\":\"development\"").count(), 4);
    for (settings, said) in [
        (&["train.keep=best"][..], "train.keep"),
        (&["data.development=0.2"], "train.evaluate_every"),
        (&["data.development=1.5", "train.evaluate_every=2"], "data.development"),
        (&["train.keep=first"], "neither `last` nor `best`"),
    ] {
        let settings: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        let refused = place.run(&[&["train", "photos.toml", "--out", "other"], &settings[..]].concat());
        assert!(refused.status == Some(2) && refused.error.contains(said), "{}", refused.error);
        assert!(!place.path("other").exists());
    }
    let kept = ["train", "photos.toml", "--out", "last", "--set", "train.keep=1"];
    place.succeed(&kept);
    assert_eq!(fs::read_dir(place.path("last/checkpoints")).unwrap().count(), 1);
}
