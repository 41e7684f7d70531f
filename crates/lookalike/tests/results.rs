//! What commands on runs write over, and what they never do; runs whose files are damaged; texts that are not the run's own.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod place;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use lookalike_base::lock::FolderLock;
use lookalike_base::npy;
use place::{Ended, IMAGES, Place, contents, wait};
use serde_json::Value;

impl Place {
    /// A run of six steps.
    fn trained() -> Self {
        let place = Self::new();
        place.succeed(&["train", "photos.toml", "--out", "run", "--set", "train.max_steps=6"]);
        place
    }

    /// A command that must be refused with this status, and in whose message this must stand, and change nothing.
    fn refused(&self, arguments: &[&str], status: i32, said: &str) {
        // What a killed process left half written is swept.
        let contents = |folder: &Path| {
            let mut found = contents(folder);
            found.retain(|path, _| path.extension().is_none_or(|ending| ending != "part"));
            found
        };
        let before = contents(self.folder.path());
        let Ended { status: found, error, .. } = self.run(arguments);
        assert!(found == Some(status) && error.contains(said), "{arguments:?}: {found:?} {error}");
        assert!(contents(self.folder.path()) == before, "{arguments:?} changed a file");
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

#[test]
fn no_result_is_written_over_data_a_run_or_a_file_of_another_kind() {
    let place = Place::trained();
    let checkpoint = "run/checkpoints/step-000000006.safetensors";
    assert!(place.path(checkpoint).exists());
    place.write("cats.csv", "name,age\nMimi,3\n");
    place.write("notes.json", "{\"mine\": 1}\n");
    symlink(place.path("run"), place.path("elsewhere")).unwrap();
    symlink(place.path("photos/dark/00.png"), place.path("link.npy")).unwrap();
    symlink(place.path("nowhere.npy"), place.path("dangling.npy")).unwrap();
    let cannot = "cannot be written: ";
    for out in [
        "photos/dark/00.png",
        "photos/dark/new.png",
        "photos.toml",
        "link.npy",
        "dangling.npy",
        checkpoint,
        "run/checkpoints/rows.npy",
        "run/events.jsonl",
        "run/model.safetensors",
        "run/best.safetensors",
        "run/../run/images.json",
        "photos/../elsewhere/events.jsonl",
        "elsewhere/checkpoints/new.safetensors",
    ] {
        place.refused(&["embed", "run", "--out", out], 2, cannot);
        place.refused(&["export", "run", out], 2, cannot);
        place.refused(&["evaluate", "run", "--no-probe", "--out", out], 2, cannot);
    }
    place.refused(
        &["embed", "run", "--out", "cats.npy"],
        2,
        "cats.csv cannot be written: a file is there already",
    );
    place.refused(&["evaluate", "run", "--no-probe", "--out", "notes.json"], 2, "is not a file of scores");
    place.refused(
        &["evaluate", "run", "--data", "glyphs", "--out", "run/evaluation.json"],
        2,
        "keeps a file",
    );
    // What the same command wrote may be replaced, and new files may lie in the folder of the run.
    for _ in 0..2 {
        place.succeed(&["embed", "run", "--out", "rows.npy"]);
        place.succeed(&["embed", "run", "--out", "run/rows.npy"]);
        place.succeed(&["export", "run", "encoder.safetensors"]);
        place.succeed(&["evaluate", "run", "--no-probe", "--out", "scores.json"]);
        place.succeed(&["evaluate", "run", "--no-probe", "--out", "run/evaluation.json"]);
    }
    assert_eq!(place.shape("rows.npy").0, IMAGES as usize);
    place.refused(
        &["sample", "rows.npy", "--batch-size", "8", "--out", "run/events.jsonl"],
        2,
        "keeps a file",
    );
}

#[test]
fn a_list_or_a_graph_that_is_read_is_no_place_for_the_names_of_rows() {
    let place = Place::new();
    let lines: Vec<String> = (0..IMAGES)
        .map(|index| {
            let class = ["dark", "light"][index as usize % 2];
            format!("photos/{class}/{index:02}.png,{class}\n")
        })
        .collect();
    let lines = lines.concat();
    place.write("photos.csv", &format!("path,label\n{lines}"));
    let of_list = ["train", "photos.toml", "--data-root", "photos.csv", "--out", "listed"];
    place.succeed(&[&of_list[..], &["--set", "train.max_steps=6"]].concat());
    place.refused(
        &["embed", "listed", "--out", "photos.npy"],
        2,
        "photos.csv cannot be written: it is one of the inputs",
    );

    let edges: Vec<String> = (0..40).map(|node| format!("{node},{}\n", (node + 1) % 40)).collect();
    let edges = edges.concat();
    place.write("ring/edges.csv", &edges);
    let features: Vec<f32> = (0..160).map(|value| (value % 7) as f32).collect();
    let features = lookalike_base::Matrix::new(features, 4).unwrap();
    npy::write_rows(place.path("ring/features.npy"), features.rows()).unwrap();
    place.write(
        "ring.toml",
        "[data]\nname = \"ring\"\n[encoder]\nwidth = 8\n[method]\nkind = \"mvgrl-nodes\"\n[sampler]\nkind = \"uniform\"\n\
         batch_size = 20\n[train]\nepochs = 1\nwarmup_epochs = 0.0\n",
    );
    place.succeed(&["train", "ring.toml", "--out", "nodes"]);
    place.refused(
        &["embed", "nodes", "--out", "ring/features.npy"],
        2,
        "ring/features.npy cannot be written",
    );
    let embedded = place.run(&["embed", "nodes", "--out", "rows.npy"]);
    assert!(embedded.error.contains("and the names of the rows to rows.csv"), "{}", embedded.error);
    let table = place.text("rows.csv");
    assert!(table.starts_with("row,name,label,class\n0,node 0,,\n1,node 1,,\n"), "{table}");
    assert_eq!(table.lines().count(), 41);
}

/// A run on lines, whose vocabulary is made of them, and lines of other words.
fn of_lines() -> Place {
    let place = Place::new();
    let line = |words: &[&str], at: usize| {
        let words: Vec<&str> = (0..6).map(|word| words[(at * 5 + word * at + word) % words.len()]).collect();
        words.join(" ") + "\n"
    };
    let own = ["red", "green", "house", "tree", "river", "sleeps", "falls", "shines"];
    let others = ["zebra", "quiz", "jumping", "fox", "vexed", "wizard", "boxing", "red"];
    for (file, words) in [("lines.txt", own), ("c2.txt", others)] {
        place.write(file, &(0..48).map(|at| line(&words, at)).collect::<String>());
    }
    place.write(
        "lines.toml",
        "[data]\nname = \"lines.txt\"\n[text]\nmax_length = 16\nvocabulary = 320\n[encoder]\nkind = \"bert\"\nlayers = 1\nwidth = 8\n\
         heads = 1\npositions = 16\n[method]\nkind = \"simcse\"\n[sampler]\nkind = \"uniform\"\nbatch_size = 16\n[optimizer]\n\
         kind = \"adamw\"\nlearning_rate = 0.001\n[train]\nepochs = 2\nwarmup_epochs = 0.0\n",
    );
    place.succeed(&["train", "lines.toml", "--out", "run"]);
    place.succeed(&["export", "run", "encoder"]);
    place
}

#[test]
fn other_texts_are_read_by_the_vocabulary_of_the_run() {
    let place = of_lines();
    let vectors = |name: &str| npy::read_rows(place.path(name)).unwrap();
    let by_folder = |texts: &str| {
        place.succeed(&["embed", "encoder", "--texts", texts, "--out", "folder.npy"]);
        vectors("folder.npy")
    };
    let near = |name: &str, texts: &str| {
        let (own, wanted) = (vectors(name), by_folder(texts));
        assert_eq!((own.len(), own.columns()), (wanted.len(), wanted.columns()));
        // An encoder that is exported may scale its rows; directions are what is compared.
        for row in 0..own.len() {
            let [a, b] = [own.row(row), wanted.row(row)];
            let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            let cosine = product(a, b) / (product(a, a) * product(b, b)).sqrt();
            assert!(cosine > 0.9999, "row {row} of {name}: {cosine}");
        }
    };
    place.succeed(&["embed", "run", "--out", "own.npy"]);
    near("own.npy", "lines.txt");
    place.succeed(&["embed", "run", "--data", "c2.txt", "--out", "others.npy"]);
    near("others.npy", "c2.txt");
    let scored = place.run(&["evaluate", "run", "--data", "c2.txt", "--out", "scores.json"]);
    assert!(scored.status == Some(0) && scored.error.contains("are not the data"), "{}", scored.error);
    // Where lines were added they are other data, read by the same vocabulary.
    let added = place.text("lines.txt") + &place.text("c2.txt");
    place.write("lines.txt", &added);
    place.succeed(&["embed", "run", "--out", "longer.npy"]);
    near("longer.npy", "lines.txt");
    fs::remove_file(place.path("run/tokenizer.json")).unwrap();
    place.refused(&["embed", "run", "--data", "c2.txt", "--out", "none.npy"], 2, "tokenizer.json");
}

#[test]
fn vectors_and_their_lines_appear_together_or_not_at_all() {
    let place = of_lines();
    place.write("long.txt", &format!("{}\n", "red green house tree ".repeat(60)).repeat(40));
    // 40 rows of eight numbers are less than the files may be long, and their texts are more.
    let line = format!(
        "trap '' XFSZ; ulimit -f 8; exec {} embed encoder --texts long.txt --out e.npy",
        env!("CARGO_BIN_EXE_lookalike")
    );
    let before = contents(place.folder.path());
    let mut limited = std::process::Command::new("sh");
    let ended = place::ended(limited.current_dir(place.folder.path()).args(["-c", &line]).output().unwrap());
    assert!(ended.status == Some(1) && ended.error.contains("e.jsonl"), "{}", ended.error);
    assert!(contents(place.folder.path()) == before, "something was left");
}

#[test]
fn fewer_steps_than_a_run_has_made_are_refused() {
    let place = Place::new();
    place.succeed(&["train", "photos.toml", "--out", "run", "--set", "train.max_steps=8"]);
    let resume = |steps: &str| ["train", "--resume", "run", "--set", steps].map(str::to_owned);
    let refused = |steps: &str, made: &str| {
        let line = resume(steps);
        place.refused(&line.each_ref().map(String::as_str), 2, made);
    };
    refused("train.max_steps=7", "train.max_steps: ends the run after 7 steps, and it has made 8 already");
    let same = place.succeed(&["train", "--resume", "run", "--set", "train.max_steps=8"]);
    assert!(same.contains("all its 8 steps"), "{same}");
    let long = ["train", "--resume", "run", "--set", "train.max_steps=9"];
    place.succeed(&long);
    // An unfinished one.
    let mut child = place
        .command(&["train", "photos.toml", "--out", "killed", "--set", "train.epochs=100000"])
        .spawn()
        .unwrap();
    wait(&mut child, || {
        let entries = fs::read_dir(place.path("killed/checkpoints"));
        entries.is_ok_and(|found| found.flatten().any(|entry| entry.file_name() > *"step-000000009"))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_file(place.path("killed/.lock")).unwrap();
    let killed = ["train", "--resume", "killed", "--set", "train.max_steps=7"];
    place.refused(&killed, 2, "train.max_steps: ends the run after 7 steps");
}

#[test]
fn a_torn_model_beside_whole_checkpoints_is_no_dead_end() {
    let place = Place::trained();
    let model = place.path("run/model.safetensors");
    let whole = fs::read(&model).unwrap();
    place.succeed(&["embed", "run", "--out", "before.npy"]);
    fs::write(&model, &whole[..whole.len() / 2]).unwrap();
    for arguments in [&["embed", "run", "--out", "rows.npy"][..], &["export", "run", "encoder.safetensors"]] {
        let ended = place.run(arguments);
        assert_eq!(ended.status, Some(0), "{}", ended.error);
        assert!(ended.error.contains("model.safetensors is torn"), "{}", ended.error);
        assert!(ended.error.contains("the newest checkpoint stands in for it"), "{}", ended.error);
    }
    assert_eq!(fs::read(place.path("rows.npy")).unwrap(), fs::read(place.path("before.npy")).unwrap());
    let resumed = place.run(&["train", "--resume", "run"]);
    assert!(resumed.status == Some(0) && resumed.error.contains("is torn"), "{}", resumed.error);
    assert!(fs::read(&model).unwrap() == whole, "the model is written anew");
    // Where nothing is whole there is nothing to go on from.
    fs::write(&model, &whole[..whole.len() / 2]).unwrap();
    fs::remove_dir_all(place.path("run/checkpoints")).unwrap();
    place.refused(&["embed", "run", "--out", "none.npy"], 1, "model.safetensors is torn");
}

#[test]
fn a_foreign_file_among_the_checkpoints_is_named_and_left_alone() {
    let place = Place::trained();
    let (notes, later) =
        ("run/checkpoints/step-notes.safetensors", "run/checkpoints/step-000000099.safetensors");
    for file in [notes, later] {
        place.write(file, "what I saw at this step\n");
    }
    for arguments in [
        &["embed", "run", "--out", "rows.npy"][..],
        &["train", "--resume", "run", "--set", "train.max_steps=8"],
    ] {
        let ended = place.run(arguments);
        assert_eq!(ended.status, Some(0), "{}", ended.error);
        let said = "step-000000099.safetensors is a text and no checkpoint; it is left alone";
        assert!(ended.error.contains(said) && !ended.error.contains("numpy"), "{}", ended.error);
    }
    for file in [notes, later] {
        assert_eq!(place.text(file), "what I saw at this step\n");
    }
}

#[test]
fn images_that_cannot_be_read_any_more_are_not_called_unlabelled() {
    let place = Place::trained();
    let bad = place.path("photos/dark/04.png");
    fs::write(&bad, vec![0; fs::metadata(&bad).unwrap().len() as usize]).unwrap();
    let line = ["evaluate", "run", "--no-probe", "--json", "--set", "data.skip_corrupt=true"];
    let scores: Value = serde_json::from_str(&place.succeed(&line)).unwrap();
    assert_eq!((&scores["unreadable_train"], &scores["unreadable_test"]), (&1.into(), &1.into()), "{scores}");
    assert!(scores.get("unlabelled_train").is_none(), "{scores}");
    let notes = scores["notes"].to_string();
    let said =
        "1 of 40 training instances cannot be read any more and are left out of accuracies: dark/04.png";
    assert!(notes.contains(said) && !notes.contains("have no label"), "{notes}");
}

#[test]
fn refusals_say_what_is_wrong_and_what_would_be_right() {
    let place = Place::trained();
    place.write("file", "mine");
    symlink(place.path("nowhere"), place.path("dangling")).unwrap();
    let train = |out: &'static str| ["train", "photos.toml", "--out", out];
    place.refused(&train("file"), 2, "file is no folder");
    place.refused(&train("dangling"), 2, "dangling is a link that leads nowhere");
    let set = |setting: &'static str| ["train", "photos.toml", "--out", "new", "--set", setting];
    place.refused(&set("train.epochs=2.5"), 2, "must be a whole number, at least 1");
    place.refused(&set("train.keep=best"), 2, "give one (text.development, data.development)");
    let best = [&set("train.keep=best")[..], &["--set", "data.development=0.2"]].concat();
    place.refused(&best, 2, "the part of data.development finds best: say with train.evaluate_every");
    place.refused(&["evaluate", "run", "--data", "photos"], 2, "--data folder --data-root photos");
    let check = ["data", "check", "MUTAG", "--data-root", "nowhere"];
    place.refused(&check, 2, "nowhere (--data-root) does not exist");
    // A run that has begun this moment has a lock and no recipe.
    fs::create_dir(place.path("early")).unwrap();
    let (_lock, _) = FolderLock::take(&place.path("early")).unwrap();
    let owner = format!("early holds no run yet: process {} on ", std::process::id());
    for arguments in [
        &["train", "--resume", "early"][..],
        &["embed", "early", "--out", "rows.npy"],
        &["evaluate", "early"],
        &["export", "early", "encoder.safetensors"],
    ] {
        place.refused(arguments, 2, &owner);
    }
    // A lock that is a link or a pipe is not written through, nor waited for.
    symlink(place.path("file"), place.path("run/.lock")).unwrap();
    place.refused(&["train", "--resume", "run"], 1, "run/.lock is no plain file");
}
