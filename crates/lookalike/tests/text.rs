//! Sentence encoders on the command line, as a user calls them: small folders of random weights, made-up texts.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]
#![allow(clippy::format_collect, reason = "a few short lines")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lookalike_base::{Matrix, npy};
use serde_json::Value;

fn encoder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../lookalike-learn/tests/fixtures/sentence").join(name)
}

/// The command in `folder`; `@bert` and so on stand for the folders of encoders.
fn run(folder: &Path, line: &str) -> Output {
    let arguments = line.split_whitespace().map(|word| match word.strip_prefix('@') {
        Some(name) => encoder(name).into_os_string(),
        None => word.into(),
    });
    Command::new(env!("CARGO_BIN_EXE_lookalike")).current_dir(folder).args(arguments).output().unwrap()
}

fn error(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(folder: &Path, line: &str) -> Value {
    let output = run(folder, &format!("{line} --json"));
    assert!(output.status.success(), "{line}: {}", error(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Texts, pairs with scores, questions with answers, and a set in BEIR's layout.
fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("texts.txt", "a cat sits on the mat\n\nbirds sing\nword\nthe end of the story\n");
    write(
        "scored.csv",
        "left,right,score\na cat,a cat,5\na cat,the mat,2\nbirds sing,numbers,0.5\nword,words,4\n",
    );
    write(
        "pairs.jsonl",
        "{\"q\":\"show the files\",\"d\":[\"ls\",\"list files\"]}\n{\"q\":\"birds\",\"d\":\"birds sing\"}\n",
    );
    fs::create_dir_all(folder.path().join("beir/qrels")).unwrap();
    write(
        "beir/corpus.jsonl",
        "{\"_id\":\"1\",\"title\":\"Birds\",\"text\":\"sing in the morning\"}\n{\"_id\":\"2\",\"title\":\"\",\"text\":\"list the files of a folder\"}\n\
         {\"_id\":\"q1\",\"title\":\"\",\"text\":\"which birds sing\"}\n",
    );
    write(
        "beir/queries.jsonl",
        "{\"_id\":\"q1\",\"text\":\"which birds sing\"}\n{\"_id\":\"q2\",\"text\":\"list files\"}\n",
    );
    write("beir/qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\t1\t1\nq2\t2\t1\n");
    write("beir/qrels/bad.tsv", "query-id\tcorpus-id\tscore\nq1\t1\t1\nq2\tnobody\t1\n");
    folder
}

#[test]
fn texts_are_embedded_with_their_lines_beside_the_vectors() {
    let place = place();
    let output = run(place.path(), "embed @bert --texts texts.txt --out e.npy");
    assert!(output.status.success(), "{}", error(&output));
    assert!(error(&output).contains("1 lines with an empty text are left out"), "{}", error(&output));
    let rows = npy::read_rows(place.path().join("e.npy")).unwrap();
    assert_eq!((rows.len(), rows.columns()), (4, 24));
    let lines = fs::read_to_string(place.path().join("e.jsonl")).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found: Vec<u64> = lines.iter().map(|line| line["line"].as_u64().unwrap()).collect();
    assert_eq!(found, [1, 3, 4, 5]);
    assert_eq!(lines[1]["text"], "birds sing");

    // A prompt, another column and bf16 each make other vectors.
    let of = |options: &str| -> Matrix {
        let output = run(place.path(), &format!("embed @bert {options} --out other.npy"));
        assert!(output.status.success(), "{options}: {}", error(&output));
        npy::read_rows(place.path().join("other.npy")).unwrap()
    };
    assert_ne!(of("--texts texts.txt --prompt query"), rows);
    assert_ne!(of("--texts texts.txt --precision bf16"), rows);
    assert_ne!(of("--texts scored.csv --column left"), of("--texts scored.csv --column right"));
}

#[test]
fn similarity_retrieval_and_classes_are_scored_under_their_keys() {
    let place = place();
    for name in ["bert", "static"] {
        let scores = json(
            place.path(),
            &format!("evaluate @{name} --data scored.csv --columns left right --score score"),
        );
        let value = scores["scored.csv"].as_f64().unwrap();
        assert!((-1.0..=1.0).contains(&value), "{scores}");
    }
    let scores = json(place.path(), "evaluate @bert --data beir");
    let keys = ["ndcg@1", "ndcg@10", "ndcg@100", "mrr@10", "map", "recall@10", "recall@100"];
    for key in keys {
        for value in [&scores[key], &scores["bm25"][key]] {
            assert!((0.0..=1.0).contains(&value.as_f64().unwrap()), "{key}: {scores}");
        }
    }
    assert_eq!((&scores["queries"], &scores["documents"]), (&2.into(), &3.into()));
    // Its own id is left out, so the words of the first document are the best that BM25 finds.
    assert_eq!(scores["bm25"]["ndcg@10"], 1.0, "{scores}");

    // Both answers of a row are relevant, and an answer that a row has is a document once.
    let scores = json(place.path(), "evaluate @bert --data pairs.jsonl --columns q d");
    assert_eq!((&scores["queries"], &scores["documents"]), (&2.into(), &3.into()));
    assert_eq!(scores["recall@10"], 1.0);

    let table = run(place.path(), "evaluate @bert --data beir");
    let table = String::from_utf8(table.stdout).unwrap();
    let row = table.lines().find(|line| line.starts_with("ndcg@10 ")).unwrap();
    assert!(row.contains("(bm25 1.00000)"), "{table}");
}

#[test]
fn encoding_is_timed() {
    let place = place();
    let line = json(place.path(), "bench encode --weights @bert --texts texts.txt");
    assert_eq!(line["texts"], 4);
    for key in ["tokens", "seconds", "texts_per_second", "tokens_per_second"] {
        assert!(line[key].as_f64().unwrap() > 0.0, "{key}: {line}");
    }
    let shares: f64 = line["shares"].as_object().unwrap().values().map(|share| share.as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{line}");
    let table = run(place.path(), "bench encode --weights @static --texts texts.txt");
    assert!(String::from_utf8(table.stdout).unwrap().contains("texts a second"));
}

#[test]
fn a_training_step_on_texts_is_timed() {
    let place = place();
    for (encoder, rest) in [("bert", " --max-length 6"), ("bert", " --freeze embeddings"), ("static", "")] {
        let step = format!(
            "bench step --encoder {encoder} --weights @{encoder} --texts texts.txt --batch 3 --steps 2{rest}"
        );
        let line = json(place.path(), &step);
        for key in ["texts_per_second", "tokens_per_second", "parameters", "peak_memory"] {
            assert!(line[key].as_f64().unwrap() > 0.0, "{key}: {line}");
        }
        assert_eq!((&line["batch"], line["seconds"].as_array().unwrap().len()), (&3.into(), 2), "{line}");
        let shares = line["shares"].as_object().unwrap();
        let sum: f64 = shares.values().map(|share| share.as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-9 && shares["optimizer"].as_f64().unwrap() > 0.0, "{line}");
        assert_eq!(shares["product"].as_f64().unwrap() > 0.0, encoder == "bert", "{line}");
    }
    let table =
        run(place.path(), "bench step --encoder bert --weights @bert --texts texts.txt --batch 2 --steps 1");
    assert!(String::from_utf8(table.stdout).unwrap().contains("time in attention"));
}

#[test]
fn mistakes_are_named_and_nothing_is_written() {
    let place = place();
    let cases: [(&str, i32, &[&str]); 36] = [
        ("evaluate @bert", 2, &["--data sts"]),
        ("evaluate @bert --data sts", 2, &["sts12", "--data-root"]),
        ("evaluate @bert --data stsbb", 2, &["stsbb", "no set", "stsb"]),
        ("evaluate @bert --data beir --split bad", 1, &["bad.tsv", "nobody"]),
        ("evaluate @bert --data beir --split dev", 1, &["dev.tsv"]),
        ("evaluate @bert --data texts.txt --split dev", 1, &["BEIR", "`dev`"]),
        ("evaluate @bert --data scifact --split dev", 2, &["--split", "quora/test"]),
        ("evaluate @bert --data beir --score score", 2, &["--score"]),
        ("evaluate @bert --data texts.txt", 1, &["one column", "`text`"]),
        ("evaluate @bert --data scored.csv --columns left rigth", 1, &["rigth", "right"]),
        ("evaluate @bert --data scored.csv --columns left right --score right", 1, &["line 2", "score"]),
        ("evaluate @bert --data beir --beside all", 2, &["--beside", "sentence encoder"]),
        ("evaluate @bert --data beir --set seed=1", 2, &["--set"]),
        ("evaluate beir --data sts", 2, &["neither a run", "sentence encoder"]),
        ("evaluate nowhere --data sts", 2, &["nowhere does not exist"]),
        ("embed nowhere --texts texts.txt --out e.npy", 2, &["nowhere does not exist"]),
        ("embed @bert --texts texts.txt --column words --out e.npy", 1, &["words", "`text`"]),
        ("embed @bert --texts texts.txt --invalid-utf8 skip --out e.npy", 2, &["replace"]),
        ("embed @bert --out e.npy", 2, &["--texts"]),
        ("embed @bert --texts texts.txt --out texts.txt", 2, &["one of the inputs"]),
        ("embed @bert --texts scored.csv --out missing/e.npy", 2, &["folder does not exist"]),
        ("embed @bert --texts pairs.jsonl --out pairs.npy", 2, &["pairs.jsonl", "one of the inputs"]),
        ("embed @bert --texts texts.txt --split test --out e.npy", 2, &["--split"]),
        ("embed @bert --texts texts.txt --prompt quary --out e.npy", 2, &["quary", "query"]),
        ("embed beir --texts texts.txt --out e.npy", 2, &["--texts", "export"]),
        ("embed @bert --texts nothing.txt --out e.npy", 1, &["nothing.txt"]),
        ("bench encode --weights beir --texts texts.txt", 1, &["modules.json"]),
        ("bench step --encoder bert --weights @bert", 2, &["--texts"]),
        (
            "bench step --encoder bert --weights @bert --texts texts.txt --stem cifar",
            2,
            &["--stem", "images"],
        ),
        ("bench step --weights @bert --texts texts.txt", 2, &["--weights", "--encoder bert"]),
        ("bench step --encoder bert --weights @static --texts texts.txt", 2, &["--encoder static"]),
        ("bench step --encoder bert --weights @bert --texts texts.txt --batch 5", 2, &["--batch", "4 texts"]),
        (
            "bench step --encoder bert --weights @bert --texts texts.txt --batch 1",
            2,
            &["--batch", "at least 2"],
        ),
        (
            "bench step --encoder bert --weights @bert --texts texts.txt --batch 2 --freeze embedings",
            2,
            &["`embeddings`?"],
        ),
        (
            "bench step --encoder bert --weights @bert --texts texts.txt --batch 2 --max-length 100000",
            2,
            &["--max-length"],
        ),
        (
            "bench step --encoder static --weights @static --texts texts.txt --batch 2 --max-length 9",
            2,
            &["--max-length", "whole"],
        ),
    ];
    for (line, status, words) in cases {
        let output = run(place.path(), line);
        let text = error(&output);
        assert_eq!(output.status.code(), Some(status), "{line}: {text}");
        assert!(words.iter().all(|word| text.contains(word)), "{line}: {text}");
        assert!(!place.path().join("e.npy").exists(), "{line}");
    }
    fs::write(place.path().join("broken.txt"), b"fine\nnot \xff fine\n").unwrap();
    let output = run(place.path(), "embed @bert --texts broken.txt --out e.npy");
    assert!(error(&output).contains("line 2") && error(&output).contains("broken.txt"), "{}", error(&output));
    let output = run(place.path(), "embed @bert --texts broken.txt --invalid-utf8 replace --out e.npy");
    assert!(output.status.success() && error(&output).contains("1 texts are no UTF-8"), "{}", error(&output));
}

#[test]
fn lines_of_lists_and_of_files_whose_other_columns_are_empty_are_kept() {
    let place = place();
    let embedded = |file: &str, text: &str| {
        fs::write(place.path().join(file), text).unwrap();
        let output = run(place.path(), &format!("embed @bert --texts {file} --out {file}.npy"));
        assert!(output.status.success(), "{file}: {}", error(&output));
        let lines = fs::read_to_string(place.path().join(format!("{file}.jsonl"))).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let lines: Vec<(u64, String)> = lines
            .map(|line| (line["line"].as_u64().unwrap(), line["text"].as_str().unwrap().to_owned()))
            .collect();
        assert_eq!(npy::read_rows(place.path().join(format!("{file}.npy"))).unwrap().len(), lines.len());
        lines
    };
    let expected = [(1, "one"), (1, "two"), (2, "three")].map(|(line, text)| (line, text.to_owned()));
    assert_eq!(embedded("lists.jsonl", "{\"q\":[\"one\",\"two\"]}\n{\"q\":[\"three\"]}\n"), expected);
    let lines = embedded("notes.csv", "text,note\nhello,\nworld,x\n");
    assert_eq!(lines, [(2, "hello".to_owned()), (3, "world".to_owned())]);
}

#[test]
fn sets_are_found_by_name_and_by_path() {
    let place = place();
    let year = place.path().join("senteval/STS/STS12-en-test");
    fs::create_dir_all(&year).unwrap();
    fs::write(year.join("STS.input.part.txt"), "a cat\ta cat\na cat\tthe end\nbirds\tword\n").unwrap();
    fs::write(year.join("STS.gs.part.txt"), "5\n1\n2.5\n").unwrap();
    let named = json(place.path(), "evaluate @bert --data sts12");
    let by_path = json(place.path(), "evaluate @bert --data senteval/STS/STS12-en-test");
    assert_eq!(named["sts12"], by_path["senteval/STS/STS12-en-test"]);
    let seven = json(place.path(), "evaluate @bert --data sts");
    assert_eq!(seven["sts12"], named["sts12"]);
    assert!(seven["stsb"].is_null() && seven["mean"].is_null(), "{seven}");
    // A folder of a known name does not hide the set.
    fs::create_dir(place.path().join("sts12")).unwrap();
    assert_eq!(json(place.path(), "evaluate @bert --data sts12"), named);
    // Equal texts have no rank correlation, and the set is named.
    fs::write(year.join("STS.input.part.txt"), "a cat\ta cat\na cat\ta cat\na cat\ta cat\n").unwrap();
    let output = run(place.path(), "evaluate @bert --data sts");
    assert_eq!(output.status.code(), Some(1));
    assert!(error(&output).contains("sts12") && error(&output).contains("undefined"), "{}", error(&output));
    // Classes of a file's own.
    let rows: String = (0..60)
        .map(|at| if at % 2 == 0 { format!("a cat {at},one\n") } else { format!("birds sing {at},two\n") })
        .collect();
    fs::write(place.path().join("classes.csv"), format!("text,class\n{rows}")).unwrap();
    let accuracy = json(place.path(), "evaluate @bert --data classes.csv --columns text --label class");
    assert!(accuracy["classes.csv"].as_f64().unwrap() > 0.9, "{accuracy}");
    // Of three columns the first two are compared.
    let rows = rows.replace(',', ",cat,more,");
    fs::write(place.path().join("three.csv"), format!("text,other,third,class\n{rows}")).unwrap();
    let accuracy = json(place.path(), "evaluate @bert --data three.csv --label class");
    assert!(accuracy["three.csv"].as_f64().unwrap() > 0.9, "{accuracy}");
}

#[test]
fn an_export_reads_texts_as_training_did() {
    let place = place();
    let long = "word ".repeat(200);
    let lines: String = (0..16)
        .map(|at| {
            format!("Text {at} of BIRDS and Cats {}{}\n", at * 7 % 5, if at % 4 == 0 { &long } else { "" })
        })
        .collect();
    fs::write(place.path().join("lines.txt"), lines).unwrap();
    // Lower case, a default prompt that does not count, Dense and Normalize.
    let copy = |name: &str, change: &dyn Fn(&Path)| {
        let (from, to) = (encoder(name), place.path().join(name));
        let output = Command::new("cp").arg("-r").arg(&from).arg(&to).status().unwrap();
        assert!(output.success());
        change(&to);
        to
    };
    let prompts = "{\"prompts\": {\"query\": \"find: \"}, \"default_prompt_name\": \"query\"}";
    let roberta = copy("roberta", &|path| {
        fs::write(
            path.join("sentence_bert_config.json"),
            "{\"max_seq_length\": 20, \"do_lower_case\": true}",
        )
        .unwrap();
        fs::write(path.join("config_sentence_transformers.json"), prompts).unwrap();
    });
    let mpnet = copy("mpnet", &|path| {
        fs::write(path.join("config_sentence_transformers.json"), prompts).unwrap();
        let pooling = path.join("1_Pooling/config.json");
        let text = fs::read_to_string(&pooling).unwrap();
        fs::write(&pooling, text.replace("\"include_prompt\": true", "\"include_prompt\": false")).unwrap();
    });
    let table = copy("static", &|path| {
        let modules = fs::read_to_string(path.join("modules.json")).unwrap();
        let normalize = "{\"idx\": 1, \"name\": \"1\", \"path\": \"1_Normalize\", \"type\": \"sentence_transformers.models.Normalize\"}]";
        fs::write(
            path.join("modules.json"),
            modules.trim_end().strip_suffix(']').unwrap().to_owned() + "," + normalize,
        )
        .unwrap();
    });
    for (name, kind, weights) in [("r", "bert", roberta), ("m", "bert", mpnet), ("t", "static", table)] {
        let recipe = format!(
            "method.kind = \"simclr\"\nencoder.kind = \"{kind}\"\nencoder.weights = {weights:?}\ndata.name = \"lines.txt\"\n\
             sampler.kind = \"uniform\"\nsampler.batch_size = 8\ntrain.max_steps = 2\ntrain.warmup_epochs = 0\n"
        );
        fs::write(place.path().join("recipe.toml"), recipe).unwrap();
        for line in [
            format!("train recipe.toml --out run-{name}"),
            format!("embed run-{name} --out {name}.npy"),
            format!("export run-{name} {name}"),
            format!("embed {name} --texts lines.txt --out {name}-again.npy"),
        ] {
            let output = run(place.path(), &line);
            assert!(output.status.success(), "{line}: {}", error(&output));
        }
        let rows = |file: String| npy::read_rows(place.path().join(file)).unwrap();
        let (ours, again) = (rows(format!("{name}.npy")), rows(format!("{name}-again.npy")));
        for row in 0..ours.len() {
            for (a, b) in ours.rows().row(row).iter().zip(again.rows().row(row)) {
                assert!((a - b).abs() <= 1e-5, "{name}, row {row}: {a} and {b}");
            }
        }
    }
    // Where the folder has moved, it is said and can be named.
    fs::rename(place.path().join("mpnet"), place.path().join("moved")).unwrap();
    let output = run(place.path(), "export run-m again");
    assert!(
        !output.status.success() && error(&output).contains("--set encoder.weights=PATH"),
        "{}",
        error(&output)
    );
    let moved = format!("export run-m again --set encoder.weights={}", place.path().join("moved").display());
    assert!(run(place.path(), &moved).status.success());
}

#[test]
fn lengths_and_poolings_that_cannot_be_are_refused_before_training() {
    let place = place();
    for (keys, words) in [
        (
            "encoder.kind = \"bert\"\nencoder.positions = 40\ntext.max_length = 41",
            &["text.max_length", "40"][..],
        ),
        ("encoder.kind = \"static\"\ntext.max_length = 41", &["text.max_length", "static"]),
        (
            "encoder.kind = \"bert\"\nencoder.pooling = \"cls-pooler\"\nencoder.weights = \"@distilbert\"",
            &["cls-pooler", "no pooler"],
        ),
        ("encoder.kind = \"static\"\nencoder.weights = \"@bert\"", &["encoder.weights", "transformer"]),
        (
            "encoder.kind = \"bert\"\nencoder.weights = \"@bert\"\nencoder.layers = 3",
            &["encoder.layers", "2"],
        ),
        (
            "encoder.kind = \"bert\"\ntext.tokenizer = \".\"\ntext.vocabulary = 400",
            &["text.vocabulary", "text.tokenizer"],
        ),
    ] {
        let at = |name: &str| encoder(name).display().to_string();
        let keys = keys.replace("@distilbert", &at("distilbert")).replace("@bert", &at("bert"));
        let recipe = format!(
            "method.kind = \"simclr\"\ndata.name = \"texts.txt\"\nsampler.kind = \"uniform\"\nsampler.batch_size = 2\n{keys}\n"
        );
        fs::write(place.path().join("recipe.toml"), recipe).unwrap();
        let output = run(place.path(), "train recipe.toml --out run");
        assert_eq!(output.status.code(), Some(2), "{keys}: {}", error(&output));
        assert!(words.iter().all(|word| error(&output).contains(word)), "{keys}: {}", error(&output));
    }
}

#[test]
fn a_run_on_texts_goes_on_and_is_exported_as_a_folder_with_the_same_vectors() {
    let place = place();
    let lines: String = (0..24).map(|at| format!("text {at} of birds and cats {}\n", at * 7 % 5)).collect();
    fs::write(place.path().join("lines.txt"), lines).unwrap();
    let recipe = |name: &str, encoder: &str| {
        let text = format!(
            "method.kind = \"simclr\"\ndata.name = \"lines.txt\"\nsampler.kind = \"uniform\"\nsampler.batch_size = 8\ntrain.max_steps = 4\n\
             train.epochs = 4\ntrain.warmup_epochs = 0\n{encoder}\n"
        );
        fs::write(place.path().join(name), text).unwrap();
    };
    let weights = format!("encoder.weights = {:?}", encoder("bert"));
    recipe("tuned.toml", &format!("encoder.kind = \"bert\"\n{weights}"));
    let new = "layers = 2\nwidth = 16\nheads = 2\npositions = 40";
    let keys: String = new.lines().map(|key| format!("encoder.{key}\n")).collect();
    recipe(
        "new.toml",
        &format!(
            "encoder.kind = \"bert\"\nencoder.pooling = \"cls-pooler\"\ntext.vocabulary = 300\n{keys}text.max_length = 30"
        ),
    );
    recipe("table.toml", "encoder.kind = \"static\"\nencoder.width = 12\ntext.vocabulary = 300");
    for name in ["tuned", "new", "table"] {
        let output = run(place.path(), &format!("train {name}.toml --out {name}"));
        assert!(output.status.success(), "{name}: {}", error(&output));
        let output = run(place.path(), &format!("embed {name} --out {name}.npy"));
        assert!(output.status.success(), "{name}: {}", error(&output));
        let output = run(place.path(), &format!("export {name} {name}-folder"));
        assert!(output.status.success(), "{name}: {}", error(&output));
        let output =
            run(place.path(), &format!("embed {name}-folder --texts lines.txt --out again-{name}.npy"));
        assert!(output.status.success(), "{name}: {}", error(&output));
        let rows = |file: String| npy::read_rows(place.path().join(file)).unwrap();
        let (ours, again) = (rows(format!("{name}.npy")), rows(format!("again-{name}.npy")));
        assert_eq!((ours.len(), ours.columns()), (again.len(), again.columns()));
        for row in 0..ours.len() {
            for (a, b) in ours.rows().row(row).iter().zip(again.rows().row(row)) {
                assert!((a - b).abs() <= 1e-5, "{name}, row {row}: {a} and {b}");
            }
        }
        let output = run(place.path(), &format!("export {name} {name}-folder"));
        assert!(!output.status.success() && error(&output).contains("there already"), "{}", error(&output));
    }
}

#[test]
fn a_run_on_pairs_is_shown_beside_another_and_exported_with_its_prompts() {
    let place = place();
    let things = ["table", "lamp", "chair", "basket", "bowl", "clock"];
    let rows: String = (0..48)
        .map(|at| {
            let (thing, number) = (things[at % 6], at / 6);
            format!(
                "{{\"query\":\"where is {thing} {number}\",\"document\":\"the {thing} of number {number}\",\"topic\":\"{thing}\"}}\n"
            )
        })
        .collect();
    fs::write(place.path().join("pairs.jsonl"), &rows).unwrap();
    fs::write(place.path().join("others.jsonl"), rows).unwrap();
    let recipe = "data.name = \"pairs.jsonl\"\ntext.columns = [\"query\", \"document\"]\ntext.hold_out = \"topic\"\n\
                  text.vocabulary = 300\ntext.query_prompt = \"find: \"\nencoder.kind = \"static\"\nencoder.width = 8\n\
                  method.kind = \"pairs\"\nsampler.kind = \"uniform\"\nsampler.batch_size = 4\ntrain.epochs = 1\n\
                  train.warmup_epochs = 0\n";
    fs::write(place.path().join("recipe.toml"), recipe).unwrap();
    let output = run(place.path(), "train recipe.toml --out uniform");
    assert!(output.status.success(), "{}", error(&output));
    let output = run(place.path(), "train recipe.toml --out again --beside uniform");
    let table = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{}", error(&output));
    let scores: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(place.path().join("uniform/evaluation.json")).unwrap())
            .unwrap();
    let beside = format!("({:.4})", scores["pairs.jsonl_ndcg@10"].as_f64().unwrap());
    let row = table.lines().find(|row| row.contains("ndcg@10: encoder after training")).unwrap();
    assert!(row.ends_with(&beside), "{row}");
    assert!(table.lines().any(|row| row.starts_with("in brackets") && row.ends_with("uniform")), "{table}");
    for (line, words) in [
        ("train recipe.toml --out third --beside nowhere", "evaluation.json"),
        ("train recipe.toml --out third --beside uniform --set data.name=others.jsonl", "others.jsonl"),
    ] {
        let output = run(place.path(), line);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(error(&output).contains(words) && !place.path().join("third").exists(), "{}", error(&output));
    }
    assert!(run(place.path(), "export again folder").status.success());
    let file = fs::read_to_string(place.path().join("folder/config_sentence_transformers.json")).unwrap();
    assert!(file.contains("find: "), "{file}");
}
