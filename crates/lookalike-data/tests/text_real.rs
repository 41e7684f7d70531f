//! The readers and the tokenizer on the published sets of texts, in the folder that `LOOKALIKE_DATA` names.

#![expect(clippy::unwrap_used, reason = "a test may stop where a promise is broken")]
#![expect(clippy::panic, reason = "a test may stop where a promise is broken")]

use lookalike_base::{Watch, hash::Hasher};
use lookalike_data::text::{
    self, OpenedTexts, ReadOptions, TextSet, TokenLists, Tokenizer, Transfer, open_beir, read, read_columns,
    sts, transfer, vocabulary,
};
use serde_json::Value;
use std::path::{Path, PathBuf};

#[path = "common/real_data.rs"]
mod real_data;

/// The texts of the rows, row by row.
fn all(set: &TextSet) -> Vec<String> {
    let columns = || set.columns.iter();
    let row = |row: usize| columns().flat_map(move |column| column.row(row)).map(str::to_owned);
    (0..set.len()).flat_map(row).collect()
}

fn opened(name: &str, root: &Path) -> TextSet {
    match text::open(name, root).unwrap().0 {
        OpenedTexts::Texts(set) => set,
        other => panic!("{other:?}"),
    }
}

fn task(name: &str, root: &Path) -> Transfer {
    transfer(root, name).unwrap().unwrap().0
}

/// The texts that the script beside the hashes reads under `name`.
fn texts(name: &str, root: &Path) -> Vec<String> {
    let (set, part) = name.split_once('/').unwrap_or((name, ""));
    match set {
        "sentences" => {
            let options = ReadOptions { no_header: true, ..ReadOptions::default() };
            all(&read(&root.join(name), &options).unwrap().0)
        }
        "stsb" | "sts12" | "sts13" | "sts14" | "sts15" | "sts16" => {
            let pairs = sts(root, name).unwrap().unwrap().pairs;
            pairs.into_iter().flat_map(|(first, second)| [first, second]).collect()
        }
        "mr" | "cr" | "subj" | "mpqa" | "sst2" | "trec" | "mrpc" => {
            let Transfer { train, dev, test, .. } = task(set, root);
            all(&match part {
                "dev" => dev.unwrap(),
                "test" => test.unwrap(),
                _ => train,
            })
        }
        "scifact" if part == "corpus" => open_beir(&root.join(set), "test", false)
            .unwrap()
            .0
            .documents
            .texts
            .iter()
            .map(str::to_owned)
            .collect(),
        "scifact" => {
            let options = ReadOptions { columns: vec!["text".into()], ..ReadOptions::default() };
            all(&read(&root.join("scifact/queries.jsonl.gz"), &options).unwrap().0)
        }
        "snli-small" if part.starts_with('s') => {
            let path = root.join(format!("{name}.gz"));
            all(&read_columns(&[("text", &path)], &ReadOptions::default()).unwrap().0)
        }
        _ => all(&opened(name, root)),
    }
}

fn sha256(lists: &TokenLists) -> String {
    let mut hasher = Hasher::new();
    for list in lists.iter() {
        let numbers = [list.len() as u32].into_iter().chain(list.iter().copied());
        hasher.bytes(&numbers.flat_map(u32::to_le_bytes).collect::<Vec<_>>());
    }
    hasher.hex()
}

fn bert(root: &Path) -> Tokenizer {
    Tokenizer::open(&root.join("bert-base-uncased-tokenizer")).unwrap()
}

#[test]
fn every_text_has_the_ids_of_hugging_face() {
    let Some(root) = real_data::folder("bert-base-uncased-tokenizer/tokenizer.json") else { return };
    let tokenizer = bert(&root);
    assert_eq!(
        (tokenizer.vocabulary(), tokenizer.special_count(), tokenizer.id("[MASK]")),
        (30_522, 2, Some(103))
    );
    let expected: Value = serde_json::from_str(include_str!("fixtures/text/token_hashes.json")).unwrap();
    let mut count = 0;
    for (name, expected) in expected.as_object().unwrap() {
        let texts = texts(name, &root);
        assert_eq!(texts.len() as u64, expected["texts"], "{name}");
        for (key, most) in [("whole", None), ("cut", Some(32))] {
            let lists = tokenizer.encode_all(&texts, most, true, Watch::default()).unwrap();
            assert_eq!(lists.tokens() as u64, expected[key]["ids"], "{name}");
            assert_eq!(sha256(&lists), expected[key]["sha256"], "{name}");
        }
        count += texts.len();
    }
    assert_eq!(count, 629_356);
}

#[test]
fn the_short_way_for_ascii_gives_the_ids_of_the_crate() {
    let Some(root) = real_data::folder("bert-base-uncased-tokenizer/tokenizer.json") else { return };
    let tokenizer = bert(&root);
    // U+200B is a control character, which vanishes, but no ASCII: the whole text goes the long way.
    let texts = [
        "a\u{b}b \u{7f}c\0d\te\r\nf",
        "It's x_y #1 (50%)!",
        "Zürich".trim_end_matches("rich"),
        "QUICKBROWNFOXQZX",
        "[CLS]x[SEP]",
    ];
    for text in texts {
        let long = tokenizer.encode(&format!("{text}\u{200b}"), None, true).unwrap();
        assert_eq!(tokenizer.encode(text, None, true).unwrap(), long, "{text:?}");
    }
    assert_eq!(tokenizer.encode("[CLS]x[SEP]", None, false).unwrap(), [101, 1060, 102]);
}

#[test]
fn the_known_sets_have_the_published_numbers() {
    let Some(root) = real_data::folder("tldr") else { return };
    for (name, rows, classes, groups) in [
        ("tldr", 32_136, None, Some(7240)),
        ("medquad", 16_407, Some(16), None),
        ("multi30k", 29_000, None, None),
        ("multi30k/val", 1014, None, None),
        ("multi30k/test_2016", 1000, None, None),
        ("quora", 10_000, Some(2), None),
        ("quora/test", 10_000, Some(2), None),
        ("snli-small", 2954, None, None),
        ("snli-small/test", 2929, None, None),
        ("banking77", 10_003, Some(77), None),
        ("banking77/test", 3080, Some(77), None),
        ("clinc150", 15_000, Some(150), None),
        ("clinc150/test", 4500, Some(150), None),
        ("clinc150/oos_test", 1000, Some(1), None),
    ] {
        let set = opened(name, &root);
        assert_eq!((set.len(), set.labels.map(|labels| labels.names.len())), (rows, classes), "{name}");
        if let Some(wanted) = groups {
            assert_eq!(set.groups.unwrap().names.len(), wanted, "{name}");
        }
    }
    let (_, warnings) = text::open("quora/dev", &root).unwrap();
    assert!(warnings[0].contains("texts are no UTF-8, the first on line 3;"), "{warnings:?}");
}

#[test]
fn every_listed_name_opens_or_says_what_it_looked_for() {
    let Some(root) = real_data::folder("tldr") else { return };
    for info in text::list().iter().filter(|info| info.name != "sickr") {
        text::open(info.name, &root).unwrap();
    }
    let missing = text::open("sickr", &root).unwrap_err().to_string();
    assert!(missing.contains("does not hold sickr"), "{missing}");
    let empty = tempfile::tempdir().unwrap();
    for info in text::list().iter().filter(|info| !info.is_made()) {
        let error = text::open(info.name, empty.path()).unwrap_err().to_string();
        assert!(error.contains("looked for"), "{error}");
    }
}

#[test]
fn sts_has_the_published_numbers_of_pairs() {
    let Some(root) = real_data::folder("senteval/STS") else { return };
    for (name, pairs, parts) in [
        ("sts12", 3108, 5),
        ("sts13", 1500, 3),
        ("sts14", 3750, 6),
        ("sts15", 3000, 5),
        ("sts16", 1186, 5),
        ("stsb", 1379, 1),
        ("stsb/dev", 1500, 1),
        ("stsb/train", 5749, 1),
    ] {
        let set = sts(&root, name).unwrap().unwrap();
        assert_eq!((set.len(), set.scores.len(), set.subsets.len()), (pairs, pairs, parts), "{name}");
        assert_eq!(set.subsets.iter().map(|(_, count)| count).sum::<usize>(), pairs);
    }
    assert!(sts(&root, "sickr").unwrap().is_none());
}

#[test]
fn transfer_tasks_have_the_published_numbers() {
    let Some(root) = real_data::folder("senteval-transfer") else { return };
    for (name, train, dev, test, classes) in [
        ("mr", 10_662, None, None, 2),
        // Of 3775 and 10,606 lines 4 and 3 are empty.
        ("cr", 3771, None, None, 2),
        ("mpqa", 10_603, None, None, 2),
        ("subj", 10_000, None, None, 2),
        ("sst2", 67_349, Some(872), Some(1821), 2),
        ("trec", 5452, None, Some(500), 6),
        ("mrpc", 4076, None, Some(1725), 2),
    ] {
        let (task, warnings) = transfer(&root, name).unwrap().unwrap();
        let sizes = (task.train.len(), task.dev.map(|set| set.len()), task.test.map(|set| set.len()));
        assert_eq!(sizes, (train, dev, test), "{name}");
        assert_eq!(task.train.labels.unwrap().names.len(), classes, "{name}");
        assert_eq!(warnings.len(), if matches!(name, "cr" | "mpqa") { 2 } else { 0 }, "{warnings:?}");
    }
}

#[test]
fn scifact_has_the_published_numbers() {
    let Some(root) = real_data::folder("scifact") else { return };
    for (part, queries, judgements) in [("test", 300, 339), ("train", 809, 919)] {
        let (set, warnings) = open_beir(&root.join("scifact"), part, false).unwrap();
        assert_eq!(
            (set.documents.len(), set.queries.len(), set.judgements.len()),
            (5183, queries, judgements)
        );
        assert!(warnings.is_empty(), "{warnings:?}");
    }
}

fn sentences(root: &Path) -> Vec<String> {
    let files = [
        "wiki1m_for_simcse.head-1280000-bytes.txt",
        "eng_wikipedia_2016_10K-sentences.txt",
        "wiki_sentences.txt",
    ];
    let mut found: Vec<PathBuf> = files.iter().map(|file| root.join("sentences").join(file)).collect();
    found.extend(
        ["tune", "validation", "test"].map(|part| root.join(format!("sentences/wiki-split/{part}.tsv"))),
    );
    let options = ReadOptions { no_header: true, ..ReadOptions::default() };
    found.iter().flat_map(|path| all(&read(path, &options).unwrap().0)).collect()
}

/// Prints how long it takes, for the record: `--nocapture`.
#[test]
fn a_vocabulary_of_real_sentences_covers_them() {
    let Some(root) = real_data::folder("sentences") else { return };
    let texts = sentences(&root);
    let begin = std::time::Instant::now();
    let vocabulary = vocabulary::train(texts.iter().map(String::as_str), 16_000, Watch::default()).unwrap();
    println!("{} entries from {} texts in {:?}", vocabulary.len(), texts.len(), begin.elapsed());
    assert_eq!(vocabulary.len(), 16_000);
    let tokenizer = vocabulary::tokenizer_of(&vocabulary).unwrap();
    let begin = std::time::Instant::now();
    let own = tokenizer.encode_all(&texts, None, true, Watch::default()).unwrap();
    println!("{} texts, {} tokens in {:?}", own.len(), own.tokens(), begin.elapsed());
    let published = bert(&root).encode_all(&texts, None, true, Watch::default()).unwrap();
    // Its own texts: with about half the entries hardly more tokens, and nearly no word unknown.
    assert!(own.tokens() < published.tokens() * 11 / 10, "{} {}", own.tokens(), published.tokens());
    assert!(own.ids.iter().filter(|id| **id == 1).count() < own.tokens() / 1000);
}
