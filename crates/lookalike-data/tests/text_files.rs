//! Readers of texts on small files, good and bad.

#![expect(clippy::unwrap_used, reason = "a test may stop where a promise is broken")]

use lookalike_data::text::{
    Encoding, InvalidUtf8, Judgement, ReadOptions, TextSet, open_beir, read, read_columns, sts, transfer,
};
use std::io::Write;
use std::path::PathBuf;
use tempfile::TempDir;

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

fn columns(names: &[&str]) -> ReadOptions {
    ReadOptions { columns: names.iter().map(|name| (*name).to_owned()).collect(), ..ReadOptions::default() }
}

/// What reading a file of this name and content says.
fn outcome(
    name: &str,
    bytes: impl AsRef<[u8]>,
    options: &ReadOptions,
) -> Result<(TextSet, Vec<String>), String> {
    let files = Files::new();
    let path = files.write(name, bytes);
    read(&path, options).map_err(|error| error.to_string().replace(&path.display().to_string(), name))
}

fn rows(set: &TextSet) -> Vec<Vec<&str>> {
    (0..set.len()).map(|row| set.row(row)).collect()
}

#[test]
fn lines_are_texts_and_empty_ones_are_counted() {
    let (set, warnings) =
        outcome("a.txt", "\u{feff}one\r\n\n two \n \nthree", &ReadOptions::default()).unwrap();
    assert_eq!(rows(&set), [["one"], [" two "], ["three"]]);
    assert_eq!((set.name.as_str(), warnings.len()), ("a", 1));
    assert!(
        warnings[0].ends_with("a.txt: 2 lines with an empty text are left out, the first is line 2"),
        "{warnings:?}"
    );
}

#[test]
fn a_gzipped_file_is_the_same() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"x,y\n1,a\n2,b\n").unwrap();
    let (set, _) = outcome("a.csv.gz", packed.finish().unwrap(), &columns(&["y"])).unwrap();
    assert_eq!(rows(&set), [["a"], ["b"]]);
    assert!(outcome("a.csv.gz", "x,y\n", &columns(&["y"])).unwrap_err().starts_with("cannot read a.csv.gz"));
}

#[test]
fn a_table_has_columns_by_name_and_what_else_is_asked_for() {
    let options = ReadOptions {
        label: Some("class".into()),
        score: Some("s".into()),
        group: Some("g".into()),
        ..ReadOptions::default()
    };
    let text = "b,class,s,a,g\n\"x, \"\"y\"\"\nz\",two,0.5,p,G\nq,one,-1,r,G\n";
    let (set, _) = outcome("a.csv", text, &options).unwrap();
    assert_eq!(rows(&set), [["x, \"y\"\nz", "p"], ["q", "r"]]);
    assert_eq!(set.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    let labels = set.labels.unwrap();
    assert_eq!((labels.names, labels.rows), (vec!["one".to_owned(), "two".to_owned()], vec![1, 0]));
    assert_eq!((set.scores.unwrap(), set.groups.unwrap().rows), (vec![0.5, -1.0], vec![0, 0]));
    let (set, _) = outcome("a.csv", text, &columns(&["a", "b"])).unwrap();
    assert_eq!(set.row(1), ["r", "q"]);
}

#[test]
fn quotes_of_a_tsv_are_letters_and_it_may_lack_names() {
    let options = ReadOptions { no_header: true, ..columns(&["3", "1"]) };
    let (set, _) = outcome("a.tsv", "\"a\t0\tb\nc\t0\t\"d\n", &options).unwrap();
    assert_eq!(rows(&set), [["b", "\"a"], ["\"d", "c"]]);
    let quoted = ReadOptions { quotes: Some(true), ..ReadOptions::default() };
    assert_eq!(outcome("a.tsv", "x\n\"a\tb\"\n", &quoted).unwrap().0.row(0), ["a\tb"]);
}

#[test]
fn a_column_of_json_holds_one_text_or_several() {
    let text = r#"{"q": "a", "p": ["x", "y"], "n": 7}
{"p": "z", "q": "b", "n": 8}

{"q": "c", "p": ["", "w"], "n": true}
{"q": "d", "p": [], "n": 9}
{"q": "e", "p": null, "n": 9}
"#;
    let options = ReadOptions { label: Some("n".into()), ..ReadOptions::default() };
    let (set, warnings) = outcome("a.jsonl", text, &options).unwrap();
    assert_eq!(rows(&set), [["a", "x"], ["b", "z"], ["c", "w"]]);
    assert_eq!(set.column("p").unwrap().row(0).collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!(set.column("p").unwrap().rows, Some(vec![0, 2, 3, 4]));
    assert_eq!(set.labels.unwrap().names, ["7", "8", "true"]);
    assert!(
        warnings[0].contains("2 lines with an empty text are left out, the first is line 5"),
        "{warnings:?}"
    );
}

#[test]
fn what_is_wrong_is_said_with_file_and_line() {
    let scored = ReadOptions { score: Some("s".into()), ..columns(&["t"]) };
    for (name, bytes, options, wanted) in [
        (
            "a.csv",
            &b"text,label\nx,y\n"[..],
            columns(&["txt"]),
            "a.csv: it has no column `txt`, but `text`, `label`; did you mean `text`?",
        ),
        ("a.csv", b"a,b\n1,2\n3\n", columns(&["a"]), "a.csv, line 3: it has 1 fields, the line of names 2"),
        ("a.csv", b"a,a\n1,2\n", columns(&["a"]), "a.csv, line 1: two columns are called \"a\""),
        ("a.csv", b"", columns(&["a"]), "a.csv: it is empty"),
        (
            "a.tsv",
            b"t\ts\nx\t1\ny\tnan\n",
            scored.clone(),
            "a.tsv, line 3: the score \"nan\" is not a finite number",
        ),
        (
            "a.txt",
            b"x\n\ny\xff\n",
            ReadOptions::default(),
            "a.txt, line 3: byte 2 of \"y\u{fffd}\" is no UTF-8",
        ),
        ("a.csv", b"a\nx\n\xe9t\xe9\n", ReadOptions::default(), "a.csv, line 3: byte 1 of"),
        ("a.jsonl", b"{\"t\": \"x\"}\n[1]\n", columns(&["t"]), "a.jsonl, line 2: \"[1]\" is no JSON object"),
        (
            "a.jsonl",
            b"{\"t\": \"x\"}\n{\"u\": \"x\"}\n",
            columns(&["t"]),
            "a.jsonl, line 2: the object has no `t`, as the first has",
        ),
        ("a.jsonl", b"{\"t\": \"x\", \"t\": \"y\"}\n", columns(&["t"]), "a.jsonl, line 1: "),
        (
            "a.jsonl",
            b"{\"t\": 1}\n",
            columns(&["t"]),
            "a.jsonl, line 1: `t` is neither a text nor a list of texts",
        ),
        ("a.jsonl", b"\n", columns(&["t"]), "a.jsonl: it has no line"),
        ("a.doc", b"", ReadOptions::default(), "a.doc: its name must end in .txt, .csv, .tsv or .jsonl"),
    ] {
        let error = outcome(name, bytes, &options).unwrap_err();
        assert!(error.starts_with(wanted), "{error}");
    }
}

#[test]
fn other_encodings_are_read_on_request() {
    let latin = ReadOptions { encoding: Encoding::Latin1, ..ReadOptions::default() };
    assert_eq!(outcome("a.txt", b"caf\xe9\n", &latin).unwrap().0.row(0), ["café"]);
    let replace = ReadOptions { invalid_utf8: InvalidUtf8::Replace, ..ReadOptions::default() };
    let (set, warnings) = outcome("a.txt", b"a\ncaf\xe9\n", &replace).unwrap();
    assert_eq!(set.row(1), ["caf\u{fffd}"]);
    assert!(warnings[0].contains("1 texts are no UTF-8, the first on line 2;"), "{warnings:?}");
}

#[test]
fn a_quote_that_is_not_closed_does_not_take_the_memory() {
    let mut bytes = b"a,b\nx,\"".to_vec();
    bytes.resize(20 << 20, b'y');
    let files = Files::new();
    let path = files.write("a.csv", bytes);
    let error = read(&path, &ReadOptions::default()).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("is a quote not closed?"), "{source}");
    let path = files.write("a.txt", vec![b'y'; 20 << 20]);
    assert!(
        read(&path, &ReadOptions::default()).unwrap_err().to_string().contains("longer than 16777216 bytes")
    );
}

#[test]
fn files_side_by_side_must_have_as_many_lines() {
    let files = Files::new();
    let (a, b) = (files.write("a", "1\n\n3\n"), files.write("b", "x\ny\nz\n"));
    let (set, warnings) = read_columns(&[("a", &a), ("b", &b)], &ReadOptions::default()).unwrap();
    assert_eq!((rows(&set), warnings.len()), (vec![vec!["1", "x"], vec!["3", "z"]], 1));
    let b = files.write("b", "x\ny\n");
    let error = read_columns(&[("a", &a), ("b", &b)], &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.ends_with("b: it has 2 lines, and another column has more"), "{error}");
}

#[test]
fn a_beir_folder_keeps_the_queries_of_its_part() {
    let files = Files::new();
    files.write("corpus.jsonl", "{\"_id\": \"d1\", \"title\": \"T\", \"text\": \"x\"}\n{\"_id\": \"d2\", \"title\": \"\", \"text\": \"y\"}\n");
    files.write("queries.jsonl", "{\"_id\": \"q1\", \"text\": \"a\"}\n{\"_id\": \"q2\", \"text\": \"b\"}\n");
    files.write("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq2\td1\t2\nq2\td2\t0\n");
    let (set, warnings) = open_beir(files.0.path(), "test", false).unwrap();
    assert_eq!(set.documents.texts.to_vec(), ["T x", "y"]);
    assert_eq!((set.queries.ids.to_vec(), set.queries.texts.to_vec()), (vec!["q2"], vec!["b"]));
    let judged = |document, grade| Judgement { query: 0, document, grade };
    assert_eq!((set.judgements, warnings.len()), (vec![judged(0, 2), judged(1, 0)], 0));

    files.write("qrels/dev.tsv", "q1\td1\t1\nq1\td9\t1\n");
    let error = open_beir(files.0.path(), "dev", false).unwrap_err().to_string();
    assert!(error.ends_with("dev.tsv, line 2: there is no document with the id \"d9\""), "{error}");
    let (set, warnings) = open_beir(files.0.path(), "dev", true).unwrap();
    assert_eq!(set.judgements, [judged(0, 1)]);
    assert!(
        warnings[0].contains("1 judgements name a query or a document that there is not"),
        "{warnings:?}"
    );

    files.write("qrels/dev.tsv", "q1\td1\t1\nq1\td1\t1\n");
    assert!(
        open_beir(files.0.path(), "dev", false).unwrap_err().to_string().contains("were judged on line 1")
    );
    files.write("queries.jsonl", "{\"_id\": \"q1\", \"text\": \"a\"}\n{\"_id\": \"q1\", \"text\": \"b\"}\n");
    let error = open_beir(files.0.path(), "dev", false).unwrap_err().to_string();
    assert!(error.ends_with("line 2: the id \"q1\" comes a second time"), "{error}");
    assert!(open_beir(files.0.path(), "train", false).unwrap_err().to_string().contains("qrels/train.tsv"));
}

#[test]
fn sts_skips_unscored_pairs_and_tells_absent_from_broken() {
    let files = Files::new();
    let root = files.0.path();
    assert!(sts(root, "sts15").unwrap().is_none());
    let folder = "STS/STS15-en-test";
    files.write(&format!("{folder}/STS.input.b.txt"), "a\tb\nc\td\te\n");
    files.write(&format!("{folder}/STS.gs.b.txt"), "\n3.5\n");
    files.write(&format!("{folder}/STS.input.a.txt"), "f\tg\n");
    files.write(&format!("{folder}/STS.gs.a.txt"), "5\n");
    files.write(&format!("{folder}/STS.gs.c.txt"), "5\n");
    let set = sts(root, "sts15").unwrap().unwrap();
    assert_eq!(set.pairs, [("f".to_owned(), "g".to_owned()), ("c".to_owned(), "d".to_owned())]);
    assert_eq!((set.scores, set.subsets), (vec![5.0, 3.5], vec![("a".to_owned(), 1), ("b".to_owned(), 1)]));
    files.write(&format!("{folder}/STS.gs.b.txt"), "\n5.5\n");
    let error = sts(root, "sts15").unwrap_err().to_string();
    assert!(error.ends_with("STS.gs.b.txt, line 2: the score \"5.5\" is no number from 0 to 5"), "{error}");
    files.write(&format!("{folder}/STS.gs.b.txt"), "1\n");
    assert!(sts(root, "sts15").unwrap_err().to_string().contains("it has fewer lines than"));

    files.write(
        "SICK/SICK_test_annotated.txt",
        "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\n1\ta\tb\t4.5\tNEUTRAL\n",
    );
    assert_eq!(sts(root, "sickr").unwrap().unwrap().scores, [4.5]);
    files.write("SICK/SICK_test_annotated.txt", "1\ta\tb\t0.5\tNEUTRAL\n");
    assert!(
        sts(root, "sickr")
            .unwrap_err()
            .to_string()
            .contains("line 1: the score \"0.5\" is no number from 1 to 5")
    );
    let unknown = sts(root, "sts17").unwrap_err().to_string();
    assert!(unknown.contains("unknown data set of texts \"sts17\"; did you mean `sts1"), "{unknown}");
}

#[test]
fn a_transfer_task_has_classes_in_order() {
    let files = Files::new();
    let root = files.0.path();
    assert!(transfer(root, "trec").unwrap().is_none());
    files.write("TREC/train_5500.label", b"NUM:dist How far\nLOC:city Where is Z\xfcrich ?\n");
    files.write("TREC/TREC_10.label", "NUM:x Y\n");
    let (task, _) = transfer(root, "trec").unwrap().unwrap();
    assert_eq!(task.train.row(1), ["Where is Zürich ?"]);
    assert_eq!(task.train.labels.unwrap().names, ["LOC", "NUM"]);
    files.write("TREC/TREC_10.label", "NUM:x Y\nnothing\n");
    assert!(transfer(root, "trec").unwrap_err().to_string().contains("TREC_10.label, line 2: CLASS:detail"));
}

/// Written by `fixtures/text/make_parquet.py`.
#[cfg(feature = "parquet")]
#[test]
fn parquet_holds_texts_lists_and_numbers() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/text");
    let options = ReadOptions {
        label: Some("label".into()),
        score: Some("score".into()),
        ..columns(&["positives", "query"])
    };
    for codec in ["none", "snappy", "gzip", "zstd"] {
        let (set, warnings) = read(&folder.join(format!("rows.{codec}.parquet")), &options).unwrap();
        assert_eq!(rows(&set), [["x", "a"], ["z", "c ü"]], "{codec}");
        assert_eq!(set.column("positives").unwrap().row(0).collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(
            (set.labels.unwrap().names, set.scores.unwrap()),
            (vec!["1".to_owned(), "7".to_owned()], vec![0.5, 2.0])
        );
        assert!(
            warnings[0].ends_with("1 rows with an empty text are left out, the first is row 2"),
            "{warnings:?}"
        );
    }
    let path = folder.join("rows.none.parquet");
    let error = read(&path, &columns(&["quer"])).unwrap_err().to_string();
    assert!(error.ends_with("did you mean `query`?"), "{error}");
    assert_eq!(read(&path, &ReadOptions::default()).unwrap().0.columns.len(), 1);

    // The header of a page in a file of 561 bytes, which the fuzzer came up with: its size has more than 32 bits, of which the lower ones are
    // 1.4 GB.
    let error = read(&folder.join("gigabytes.parquet"), &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.ends_with("column `query`: the page at byte 4: a size is below 0"), "{error}");

    // A list of flags in the description of a file whose members would take hours to pass; the fuzzer came up with it too.
    let error =
        read(&folder.join("list_without_end.parquet"), &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("no readable Parquet file: its description: "), "{error}");

    // Damaged in every way, it is an error or another table, and never a panic.
    let good = std::fs::read(&path).unwrap();
    let files = Files::new();
    for place in 0..good.len() {
        let mut bytes = good.clone();
        bytes[place] ^= 0xff;
        let _ = read(&files.write("a.parquet", &bytes), &options);
        let _ = read(&files.write("a.parquet", &good[..place]), &options);
    }
}
