//! What another program registers goes through every command: trained, interrupted, resumed, evaluated, embedded and exported.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

#[path = "../../lookalike-learn/tests/common/mod.rs"]
mod common;
#[path = "../../lookalike-learn/tests/toy/mod.rs"]
#[allow(unreachable_pub, reason = "each test program uses some of them")]
mod toy;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use lookalike_base::progress::Cancellation;
use lookalike_learn::Registry;

/// The exit status of a command in words.
fn status(arguments: &[&str], registry: &Registry, cancellation: &Cancellation) -> u8 {
    let arguments = ["lookalike"].iter().chain(arguments).map(OsString::from);
    lookalike::run_until(arguments, registry, cancellation)
}

fn succeed(arguments: &[&str]) {
    assert_eq!(status(arguments, &toy::registry(), &Cancellation::new()), 0, "{arguments:?}");
}

fn scores(run: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(run.join("evaluation.json")).unwrap()).unwrap()
}

/// The step of the last event of a run.
fn last_step(run: &Path) -> u64 {
    let events = fs::read_to_string(run.join("events.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
    last["step"].as_u64().unwrap()
}

#[test]
fn what_is_registered_goes_through_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (recipe, whole, parts) = (path("toys.toml"), path("whole"), path("parts"));
    fs::write(&recipe, toy::TOYS).unwrap();
    succeed(&["train", &recipe, "--check"]);

    // Interrupted once it has a checkpoint, long before its end; then it goes on, by look-alikes too.
    let cancellation = Cancellation::new();
    let (stop, checkpoints) = (cancellation.clone(), Path::new(&parts).join("checkpoints"));
    let watching = std::thread::spawn(move || {
        let begun = Instant::now();
        while !fs::read_dir(&checkpoints).is_ok_and(|entries| entries.count() > 0) {
            assert!(begun.elapsed() < Duration::from_mins(1));
            std::thread::yield_now();
        }
        stop.cancel();
    });
    let long = ["--set", "train.epochs=100000"];
    let ended =
        status(&[&["train", &recipe, "--out", &parts], &long[..]].concat(), &toy::registry(), &cancellation);
    watching.join().unwrap();
    assert_eq!(ended, 130);
    let steps = format!("train.max_steps={}", last_step(Path::new(&parts)) + 20);
    succeed(&["train", "--resume", &parts, "--set", &steps]);
    let whole_run = ["train", &recipe, "--out", &whole, "--set", &steps];
    succeed(&[&whole_run[..], &long].concat());
    let found = scores(Path::new(&whole));
    assert!(found["length"].is_number() && found["knn"].is_number(), "{found}");
    let models = [&whole, &parts].map(|run| fs::read(Path::new(run).join("model.safetensors")).unwrap());
    assert!(models[0] == models[1], "a run in parts ends with other weights");

    succeed(&["evaluate", &parts, "--no-probe", "--json"]);
    let rows = path("rows.npy");
    succeed(&["embed", &parts, "--split", "test", "--out", &rows]);
    assert_eq!(lookalike_base::npy::read_rows(&rows).unwrap().columns(), 16);
    succeed(&["export", &parts, &path("model.safetensors")]);
    succeed(&["train", &recipe, "--out", &path("seeds"), "--seeds", "0..1", "--set", "train.max_steps=20"]);

    // Without the entries all of it is refused, by name.
    assert_eq!(status(&["train", &recipe], &Registry::standard(), &Cancellation::new()), 2);
}
