//! `lookalike mine`, as a user calls it: embeddings whose neighbours are known, and texts under a small encoder of random weights.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lookalike_base::{Matrix, npy};
use lookalike_data::text::{ReadOptions, read};
use serde_json::{Value, json};

fn encoder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../lookalike-learn/tests/fixtures/sentence/bert")
}

/// The command in `folder`; `@bert` stands for the folder of an encoder.
fn mine(folder: &Path, line: &str) -> Output {
    let arguments = line
        .split_whitespace()
        .map(|word| if word == "@bert" { encoder().into_os_string() } else { word.into() });
    let mut command = Command::new(env!("CARGO_BIN_EXE_lookalike"));
    command.current_dir(folder).arg("mine").args(arguments).output().unwrap()
}

fn error(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What it says as JSON, and the lines it writes.
fn mined(folder: &Path, line: &str) -> (Value, Vec<Value>) {
    let output = mine(folder, &format!("{line} --out out.jsonl --json"));
    assert!(output.status.success(), "{line}: {}", error(&output));
    let lines = fs::read_to_string(folder.join("out.jsonl")).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (serde_json::from_slice(&output.stdout).unwrap(), lines)
}

/// Queries at 0°, 90° and 0° again, documents at 0°, 10°, …, 80°, files of texts, and files that are wrong.
fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let rows = |name: &str, degrees: &[f32]| {
        let values = degrees.iter().flat_map(|angle| [angle.to_radians().cos(), angle.to_radians().sin()]);
        npy::write_rows(folder.path().join(name), Matrix::new(values.collect(), 2).unwrap().rows()).unwrap();
    };
    rows("queries.npy", &[0.0, 90.0, 0.0]);
    rows("documents.npy", &[0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0]);
    rows("three.npy", &[0.0, 80.0, 30.0]);
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("qrels.tsv", "query-id\tcorpus-id\tscore\n0\t0\t1\n2\t2\t2\n1\t8\t1\n1\t7\t0\n");
    write("wrong.tsv", "0\t0\t1\n0\tone\t1\n");
    write(
        "pairs.csv",
        "id,ask,answer\n1,show files,ls\n2,birds,birds sing\n3,show files,list files\n4,a cat,the mat\n5,a word,birds sing\n",
    );
    write("queries.txt", "show files\nbirds\n\na cat\n");
    write("documents.txt", "ls\nbirds sing\nword\nthe mat\n");
    write("queries.jsonl", "{\"_id\":\"a\",\"text\":\"show files\"}\n{\"_id\":\"b\",\"text\":\"birds\"}\n");
    write(
        "corpus.jsonl",
        "{\"_id\":\"1\",\"text\":\"ls\"}\n{\"_id\":\"2\",\"text\":\"birds sing\"}\n{\"_id\":\"3\",\"text\":\"the mat\"}\n",
    );
    write("judged.tsv", "a\t1\t1\nb\t2\t1\nb\t3\t0\n");
    write("holes.csv", "ask\nshow files\n\" \"\nbirds\n");
    folder
}

#[test]
fn embeddings_give_rows_and_equal_queries_own_the_documents_of_both() {
    let place = place();
    let (found, lines) =
        mined(place.path(), "queries.npy documents.npy --qrels qrels.tsv --negatives 2 --scores");
    let bare = |line: &Value| json!([line["query"], line["document"], line["negative"]]);
    let expected = [json!([0, 0, [1, 3]]), json!([0, 2, [1, 3]]), json!([1, 8, [7, 6]])];
    assert_eq!(lines.iter().map(bare).collect::<Vec<_>>(), expected);
    let scores: Vec<f64> = serde_json::from_value(lines[2]["scores"].clone()).unwrap();
    let degrees = [10_f64, 20.0, 30.0];
    assert!(scores.iter().zip(degrees).all(|(score, angle)| (score - angle.to_radians().cos()).abs() < 1e-6));
    assert_eq!((&found["queries"], &found["complete"], &found["pairs"]), (&json!(2), &json!(2), &json!(3)));
    assert_eq!(found["left_out"]["relevant"], 3);

    // Three rows beside three rows; a narrow window with a margin leaves one query without.
    let (found, lines) = mined(
        place.path(),
        "queries.npy three.npy --negatives 1 --absolute-margin 0.2 --range-max 1 --min-score 0.2",
    );
    assert_eq!(lines.iter().map(bare).collect::<Vec<_>>(), [json!([1, 1, [2]])]);
    assert_eq!((&found["none"], &found["queries"]), (&json!(1), &json!(2)));
}

#[test]
fn texts_are_encoded_once_and_written_as_our_readers_take_them() {
    let place = place();
    let line = "pairs.csv --columns ask answer --weights @bert --negatives 2";
    let (found, lines) = mined(place.path(), line);
    assert_eq!((lines.len(), &found["queries"], &found["complete"]), (5, &json!(4), &json!(4)));
    let owns = |query: &str| -> Vec<&str> {
        let own = lines.iter().filter(|line| line["query"] == query);
        own.map(|line| line["document"].as_str().unwrap()).collect()
    };
    assert_eq!((owns("show files"), owns("birds")), (vec!["ls", "list files"], vec!["birds sing"]));
    for line in &lines {
        let negatives: Vec<&str> =
            line["negative"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
        let owned = owns(line["query"].as_str().unwrap());
        assert!(negatives.len() == 2 && negatives.iter().all(|text| !owned.contains(text)), "{line}");
    }
    let (set, warnings) = read(&place.path().join("out.jsonl"), &ReadOptions::default()).unwrap();
    let names: Vec<&str> = set.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!((set.len(), names, warnings.len()), (5, vec!["query", "document", "negative"], 0));
    assert_eq!(set.column("negative").unwrap().row(0).count(), 2);

    let (_, lines) = mined(place.path(), "queries.txt documents.txt --weights @bert --negatives 1");
    let queries: Vec<&Value> = lines.iter().map(|line| &line["query"]).collect();
    assert_eq!(queries, ["show files", "birds", "a cat"]);
    assert_eq!(lines[2]["document"], "the mat", "the row with an empty line is left out of both files");

    let (_, lines) =
        mined(place.path(), "queries.jsonl corpus.jsonl --qrels judged.tsv --weights @bert --negatives 9");
    let documents: Vec<(&Value, usize)> =
        lines.iter().map(|line| (&line["document"], line["negative"].as_array().unwrap().len())).collect();
    assert_eq!(documents, [(&json!("ls"), 2), (&json!("birds sing"), 2)]);
}

#[test]
fn random_negatives_hang_on_the_seed() {
    let place = place();
    let line = "queries.npy documents.npy --qrels qrels.tsv --strategy random --range-max 7";
    let of = |seed: u32| mined(place.path(), &format!("{line} --seed {seed}")).1;
    assert_eq!(of(1), of(1));
    assert!((2..9).any(|seed| of(seed) != of(1)));
}

#[test]
fn mistakes_are_named_and_nothing_is_written() {
    let place = place();
    for (line, expected) in [
        ("queries.npy documents.npy", "there are 3 queries in queries.npy and 9 documents"),
        ("queries.npy", "give those of the documents too"),
        ("queries.npy documents.txt", "one file holds embeddings and the other texts"),
        ("queries.npy three.npy --weights @bert", "--weights goes with texts"),
        ("queries.npy three.npy --columns a b", "--columns goes with texts"),
        ("queries.txt documents.txt", "--weights FOLDER names the sentence encoder"),
        ("queries.npy documents.npy --qrels wrong.tsv", "wrong.tsv, line 2: \"one\" is no number"),
        ("queries.npy three.npy --qrels qrels.tsv", "document 8 is not below 3"),
        ("queries.npy three.npy --seed 1", "--seed goes with --strategy random"),
        ("queries.npy three.npy --negatives 0", "negatives is 0; it must be at least 1"),
        ("queries.npy three.npy --range-max 2", "range_max is 2; it must be at least range_min + negatives"),
        ("holes.csv documents.txt --weights @bert", "holes.csv: 1 lines with an empty text are left out"),
        ("queries.txt corpus.jsonl --weights @bert", "queries.txt: 1 lines with an empty text are left out"),
        ("pairs.csv --columns ask reply --weights @bert", "no column `reply`"),
        ("absent.npy three.npy", "absent.npy"),
    ] {
        let output = mine(place.path(), &format!("{line} --out out.jsonl"));
        assert!(!output.status.success() && error(&output).contains(expected), "{line}: {}", error(&output));
        assert!(!place.path().join("out.jsonl").exists(), "{line}");
    }
    let output = mine(place.path(), "pairs.csv --weights @bert --out pairs.csv");
    assert!(
        error(&output).contains("pairs.csv cannot be written: it is one of the inputs"),
        "{}",
        error(&output)
    );
}
