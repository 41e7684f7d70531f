//! What the command tells its users, word for word: the help of every command, and the errors that users meet most.
//!
//! Where the words are meant to change, `UPDATE_SNAPSHOT=1 cargo test -p lookalike --test words` writes `tests/words/*.txt` anew: read them before
//! they are committed.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use lookalike_base::{Matrix, npy};

fn lookalike(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lookalike"))
        .current_dir(folder)
        .args(arguments)
        .env("COLUMNS", "100")
        .output()
        .unwrap()
}

/// Compares with the file of that name, or writes it.
fn is_as_before(name: &str, found: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/words").join(name);
    if std::env::var_os("UPDATE_SNAPSHOT").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, found).unwrap();
    }
    let known = fs::read_to_string(&file).unwrap();
    let differs = found.lines().zip(known.lines()).find(|(found, known)| found != known);
    assert!(found == known, "the words differ from tests/words/{name}: {differs:?}");
}

/// The commands that a help names.
fn commands(help: &str) -> Vec<String> {
    let listed = help.split_once("Commands:\n").map_or("", |(_, rest)| rest);
    let lines = listed.lines().take_while(|line| !line.is_empty());
    let named = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    named
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_help_of_every_command_is_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let help = |arguments: &[&str]| {
        let output = lookalike(folder.path(), &[arguments, &["--help"]].concat());
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        format!("$ lookalike {} --help\n{text}\n", arguments.join(" "))
            .replace("lookalike  --help", "lookalike --help")
    };
    let mut all = help(&[]);
    for command in commands(&all.clone()) {
        let text = help(&[&command]);
        all.push_str(&text);
        for own in commands(&text) {
            all.push_str(&help(&[&command, &own]));
        }
    }
    assert!(all.matches("--help\n").count() > 15, "{all}");
    is_as_before("help.txt", &all);
}

#[test]
fn the_errors_that_users_meet_most_are_what_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let recipe = "[data]\nname = \"glyphs\"\n[encoder]\nkind = \"small\"\n";
    write("good.toml", recipe);
    write("typo.toml", &format!("{recipe}[sampler]\nbatch_sise = 64\n"));
    write("texts.toml", "[data]\nname = \"glyphs\"\n[encoder]\nkind = \"bert\"\n[method]\nkind = \"moco\"\n");
    write("broken.toml", "[data\nname = 1\n");
    write("cifar.toml", "[data]\nname = \"cifar10\"\n[encoder]\nkind = \"small\"\n");
    fs::create_dir(folder.path().join("empty")).unwrap();
    let rows = |values: Vec<f32>| Matrix::new(values, 2).unwrap();
    npy::write_rows(folder.path().join("rows.npy"), rows(vec![1.0; 80]).rows()).unwrap();
    npy::write_rows(folder.path().join("nan.npy"), rows(vec![0.5, 1.0, f32::NAN, 2.0, 1.0, 1.0]).rows())
        .unwrap();
    let mistakes: &[&[&str]] = &[
        &["train", "nowhere.toml"],
        &["train", "typo.toml"],
        &["train", "broken.toml"],
        &["train", "texts.toml"],
        &["train", "cifar.toml"],
        &["train", "cifar.toml", "--data-root", "empty"],
        &["train", "good.toml", "--set", "train.epochs=many"],
        &["train", "good.toml", "--set", "sampler.batch_size=100000"],
        &["train", "good.toml", "--set", "negatives.kind=queue"],
        &["train", "--resume", "empty"],
        &["evaluate", "empty"],
        &["embed", "nowhere", "--out", "e.npy"],
        &["sample", "nowhere.npy", "--out", "plan.npy"],
        &["sample", "nan.npy", "--out", "plan.npy", "--batch-size", "2"],
        &["sample", "rows.npy", "--out", "rows.npy", "--batch-size", "8"],
        &["sample", "rows.npy", "--out", "plan.npy", "--kind", "uniform", "--candidates", "10"],
        &[
            "sample",
            "rows.npy",
            "--out",
            "plan.npy",
            "--batch-size",
            "8",
            "--candidates",
            "10",
            "--neighbors",
            "20",
        ],
        &["data", "get", "imagenet"],
        &["export", "empty", "model.safetensors"],
        &["report", "empty"],
    ];
    let mut all = String::new();
    for mistake in mistakes {
        let output = lookalike(folder.path(), mistake);
        let status = output.status.code().unwrap();
        assert!(status != 0 && status != 101, "{mistake:?} ended with {status}");
        let told = String::from_utf8(output.stderr).unwrap();
        writeln!(all, "$ lookalike {}\n{told}[exit status {status}]\n", mistake.join(" ")).unwrap();
    }
    let place = folder.path().canonicalize().unwrap();
    is_as_before("errors.txt", &all.replace(place.to_str().unwrap(), "FOLDER"));
}
