//! Tokenizers, trained vocabularies and token lists on disk.

#![expect(clippy::unwrap_used, reason = "a test may stop where a promise is broken")]

use lookalike_base::{Cancellation, Watch};
use lookalike_data::DataError;
use lookalike_data::text::vocabulary::{SPECIAL, tokenizer_json, tokenizer_of, train};
use lookalike_data::text::{Tokenizer, cached_tokens, token_fingerprint};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::LazyLock;

const TEXTS: &[&str] = &[
    "The quick brown fox jumps over the lazy dog.",
    "Quick foxes, and quicker dogs!",
    "Ein Café in Zürich; über den Dächern.",
    "The dog's jumping: jumped, jumps, jump",
    "東京 and 京都",
];

/// The texts twice: what occurs once makes no piece.
fn twice() -> impl Iterator<Item = &'static str> {
    TEXTS.iter().chain(TEXTS).copied()
}

/// A small tokenizer, trained on the texts.
static SMALL: LazyLock<(Vec<String>, String)> = LazyLock::new(|| {
    let vocabulary = train(twice(), 100, Watch::default()).unwrap();
    let json = tokenizer_json(&vocabulary).unwrap();
    (vocabulary, json)
});

fn small() -> Tokenizer {
    Tokenizer::from_json(&SMALL.1).unwrap()
}

fn problem<T: std::fmt::Debug>(result: Result<T, DataError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_text_is_cut_at_its_end_and_keeps_its_special_tokens() {
    let tokenizer = small();
    let (cls, sep) = (tokenizer.id("[CLS]").unwrap(), tokenizer.id("[SEP]").unwrap());
    for text in [TEXTS[0], TEXTS[2]] {
        let bare = tokenizer.encode(text, None, false).unwrap();
        let whole = tokenizer.encode(text, None, true).unwrap();
        assert_eq!(whole, [&[cls][..], &bare, &[sep]].concat());
        assert_eq!(tokenizer.encode(text, Some(4), true).unwrap(), [cls, bare[0], bare[1], sep]);
        assert_eq!(tokenizer.encode(text, Some(3), false).unwrap(), bare[..3]);
        assert_eq!(tokenizer.encode(text, Some(2), true).unwrap(), [cls, sep]);
        assert_eq!(tokenizer.encode(text, Some(whole.len()), true).unwrap(), whole);
    }
    assert_eq!(tokenizer.encode("", Some(9), true).unwrap(), [cls, sep]);
    assert!(
        problem(tokenizer.encode("x", Some(1), true)).ends_with("1 tokens, and the special ones alone are 2")
    );
    assert!(problem(tokenizer.encode("x", Some(0), false)).contains("must be at least 1"));
    assert!(tokenizer.encode_all(&["x"], Some(1), true, Watch::default()).is_err());
}

#[test]
fn many_texts_have_the_lists_of_each_and_can_be_cancelled() {
    let tokenizer = small();
    let texts: Vec<&str> = TEXTS.iter().cycle().take(5000).copied().collect();
    let lists = tokenizer.encode_all(&texts, Some(7), true, Watch::default()).unwrap();
    assert_eq!(lists.len(), texts.len());
    for (list, text) in lists.iter().zip(&texts) {
        assert_eq!(list, tokenizer.encode(text, Some(7), true).unwrap());
    }
    let flag = Cancellation::new();
    flag.cancel();
    let watch = Watch::silent(&flag);
    assert!(matches!(tokenizer.encode_all(&texts, None, true, watch), Err(DataError::Stopped)));
    assert!(matches!(train(TEXTS.iter().copied(), 50, watch), Err(DataError::Stopped)));
}

#[test]
fn padding_and_truncation_of_the_file_are_not_obeyed() {
    let mut value: Value = serde_json::from_str(&SMALL.1).unwrap();
    value["truncation"] =
        json!({"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0});
    value["padding"] = json!({
        "strategy": {"Fixed": 128}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0,
        "pad_token": "[PAD]",
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), value.to_string()).unwrap();
    let tokenizer = Tokenizer::open(folder.path()).unwrap();
    for text in TEXTS {
        assert_eq!(tokenizer.encode(text, None, true).unwrap(), small().encode(text, None, true).unwrap());
    }
    assert_eq!(tokenizer.json(), value.to_string());
    assert_ne!(tokenizer.fingerprint(), small().fingerprint());
    std::fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    assert!(problem(Tokenizer::open(folder.path())).ends_with("tokenizer.json: it has no model"));
}

#[test]
fn a_vocabulary_depends_on_nothing_but_the_texts() {
    let (vocabulary, _) = &*SMALL;
    assert_eq!(vocabulary[..5], SPECIAL);
    assert_eq!(vocabulary.len(), 100);
    for piece in ["jump", "quick", "dog", "the"] {
        assert!(vocabulary.iter().any(|entry| entry == piece), "{piece}: {vocabulary:?}");
    }
    let mut texts: Vec<&str> = twice().collect();
    for _ in 0..texts.len() {
        texts.rotate_left(1);
        assert_eq!(train(texts.iter().copied(), 100, Watch::default()).unwrap(), *vocabulary);
    }
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let again = pool.install(|| train(twice(), 100, Watch::default()).unwrap());
        assert_eq!(again, *vocabulary);
    }
}

/// The slow twin: counts every pair anew before every merge.
fn slowly(texts: &[&str], size: usize) -> Vec<String> {
    use std::collections::BTreeMap;
    let mut words: BTreeMap<Vec<String>, u64> = BTreeMap::new();
    for word in texts.iter().flat_map(|text| text.split(' ')) {
        let piece = |(place, c): (usize, char)| if place > 0 { format!("##{c}") } else { c.to_string() };
        *words.entry(word.chars().enumerate().map(piece).collect()).or_default() += 1;
    }
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for (word, count) in &words {
        for piece in word {
            *counts.entry(piece.clone()).or_default() += count;
        }
    }
    let mut characters: Vec<_> = counts.into_iter().collect();
    characters.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut vocabulary: Vec<String> = SPECIAL.iter().map(|token| (*token).to_owned()).collect();
    vocabulary.extend(characters.into_iter().map(|(piece, _)| piece));
    while vocabulary.len() < size {
        let mut pairs: BTreeMap<(String, String), u64> = BTreeMap::new();
        for (word, count) in &words {
            for pair in word.windows(2) {
                *pairs.entry((pair[0].clone(), pair[1].clone())).or_default() += count;
            }
        }
        let most = pairs.values().copied().max().unwrap_or_default();
        if most < 2 {
            break;
        }
        let ((first, second), _) = pairs.into_iter().find(|(_, count)| *count == most).unwrap();
        let joined = format!("{first}{}", second.trim_start_matches("##"));
        let mut merged: BTreeMap<Vec<String>, u64> = BTreeMap::new();
        for (word, count) in words {
            let mut pieces: Vec<String> = Vec::new();
            let mut place = 0;
            while place < word.len() {
                let here = place + 1 < word.len() && word[place] == first && word[place + 1] == second;
                pieces.push(if here { joined.clone() } else { word[place].clone() });
                place += 1 + usize::from(here);
            }
            *merged.entry(pieces).or_default() += count;
        }
        words = merged;
        if !vocabulary.contains(&joined) {
            vocabulary.push(joined);
        }
    }
    vocabulary
}

#[test]
fn impossible_vocabularies_are_refused() {
    assert!(problem(train(TEXTS.iter().copied(), 5, Watch::default())).contains("it must have 6 to 1048576"));
    assert!(problem(train([" ", "\u{1}"].into_iter(), 50, Watch::default())).contains("hold no word"));
    let few = train(["ab ab"].into_iter(), 50, Watch::default()).unwrap();
    assert_eq!(few[5..], ["##b", "a", "ab"]);
    let twice: Vec<String> =
        SPECIAL.iter().chain(["a", "a"].iter()).map(|token| (*token).to_owned()).collect();
    assert!(problem(tokenizer_of(&twice)).contains("has \"a\" twice"));
    assert!(problem(tokenizer_of(&twice[1..6])).contains("lacks [PAD]"));
}

#[test]
fn token_lists_are_read_again_and_never_where_something_differs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.safetensors");
    let tokenizer = small();
    let cached = |texts: &[&str], most, special| {
        let (lists, was_there) =
            cached_tokens(&path, &tokenizer, texts, most, special, Watch::default()).unwrap();
        assert_eq!(lists, tokenizer.encode_all(texts, most, special, Watch::default()).unwrap());
        was_there
    };
    assert!(!cached(TEXTS, None, true));
    assert!(cached(TEXTS, None, true));
    assert!(!cached(TEXTS, Some(9), true) && cached(TEXTS, Some(9), true));
    assert!(!cached(TEXTS, Some(9), false));
    assert!(!cached(&TEXTS[1..], Some(9), false));
    assert!(!cached(&["The quick", "b"], Some(9), false) && !cached(&["The quickb", ""], Some(9), false));
    assert!(!cached(TEXTS, None, true));
    let good = std::fs::read(&path).unwrap();
    for place in (0..good.len()).step_by(37) {
        let mut torn = good.clone();
        torn[place] ^= 1;
        std::fs::write(&path, &torn).unwrap();
        cached(TEXTS, None, true);
        std::fs::write(&path, &good[..place]).unwrap();
        assert!(!cached(TEXTS, None, true));
    }
    assert_ne!(
        token_fingerprint(&tokenizer, TEXTS, None, true),
        token_fingerprint(&tokenizer, TEXTS, None, false)
    );
    let missing = cached_tokens(Path::new("/nowhere/a"), &tokenizer, TEXTS, None, true, Watch::default());
    assert!(matches!(missing, Err(DataError::TokenCache { .. })));
}

/// A change of a good file, and what is then said of it.
type Case<'a> = (&'a dyn Fn(&mut Value), &'a str);

/// Files that make the crate `tokenizers` panic or take memory and time without bound.
#[test]
fn hostile_tokenizers_are_refused() {
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&SMALL.1).unwrap();
        change(&mut value);
        Tokenizer::from_json(&value.to_string()).map(|tokenizer| tokenizer.encode("a b c", None, true))
    };
    let replace = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aaaa"});
    let cases: [Case; 12] = [
        (
            &|value| value["post_processor"]["single"][1]["Sequence"]["id"] = json!("B"),
            "names the text \"B\"",
        ),
        (&|value| value["post_processor"]["single"] = json!([]), "takes 0 texts instead of 1"),
        (&|value| value["post_processor"]["special_tokens"] = json!({}), "which it does not define"),
        (&|value| value["pre_tokenizer"] = json!({"type": "FixedLength", "length": 0}), "parts of length 0"),
        (
            &|value| value["normalizer"] = json!({"type": "Sequence", "normalizers": vec![&replace; 30]}),
            "lengthen a text",
        ),
        (
            &|value| value["model"]["max_input_chars_per_word"] = json!(u64::MAX),
            "max_input_chars_per_word exceeds",
        ),
        (&|value| value["model"]["vocab"] = json!({}), "its vocabulary is empty"),
        (&|value| value["model"]["vocab"]["a"] = json!(u32::MAX), "not a whole number below"),
        (&|value| value["model"]["vocab"]["a".repeat(2000)] = json!(7), "an entry of more than 1024 bytes"),
        (
            &|value| value["model"] = json!({"type": "Unigram", "unk_id": 9, "vocab": [["a", 0.0]]}),
            "unk_id is no entry",
        ),
        (
            &|value| value["model"] = json!({"type": "Unigram", "unk_id": 0, "vocab": [["", 0.0]]}),
            "texts that are not empty",
        ),
        (&|value| value["version"] = json!("2.0"), "Unknown tokenizer version"),
    ];
    for (change, wanted) in cases {
        let said = problem(changed(change));
        assert!(said.starts_with("tokenizer: ") && said.contains(wanted), "{said}");
    }
    // Found by the fuzzer: an empty match is replaced by something. The panic is caught.
    let panicked = problem(changed(&|value| {
        value["normalizer"] = json!({"type": "Replace", "pattern": {"Regex": " {0,}"}, "content": " "});
        value["pre_tokenizer"] =
            json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true});
    }));
    assert!(panicked.contains("the crate `tokenizers` panicked: index out of bounds"), "{panicked}");
    assert!(problem(Tokenizer::from_json("[")).contains("it is not JSON"));
    assert!(problem(Tokenizer::from_json("[]")).contains("no object"));
}

/// Replaces the value at one of the places in `value` by another.
fn mutate(value: &mut Value, place: &mut usize, other: &Value) {
    if *place == 0 {
        *value = other.clone();
    }
    *place = place.wrapping_sub(1);
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| mutate(value, place, other)),
        Value::Object(values) => values.values_mut().for_each(|value| mutate(value, place, other)),
        _ => {}
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!([])),
        any::<bool>().prop_map(Value::from),
        prop_oneof![Just(0), Just(1), Just(u64::from(u32::MAX)), Just(u64::MAX), 0..200_u64]
            .prop_map(Value::from),
        prop_oneof![
            "[a-z#\\[\\]]{0,5}",
            Just("B".to_owned()),
            Just("[SEP]".to_owned()),
            Just("##".to_owned())
        ]
        .prop_map(Value::from),
        prop_oneof![
            Just(json!({"type": "Replace", "pattern": {"Regex": "(a|b)*"}, "content": "x"})),
            Just(
                json!({"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated", "invert": false})
            ),
            Just(
                json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true})
            ),
            Just(json!({"type": "Metaspace", "replacement": "a", "prepend_scheme": "always", "split": true})),
            Just(json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"})),
            Just(json!({"type": "Strip", "strip_left": true, "strip_right": true})),
            Just(
                json!({"type": "RobertaProcessing", "sep": ["a", 7], "cls": ["b", 9], "trim_offsets": true, "add_prefix_space": false})
            ),
            Just(json!({"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]})),
            Just(json!({"type": "Unigram", "unk_id": null, "vocab": [["a", -1.0], ["b", f64::MAX]]})),
            Just(json!({"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "[UNK]"})),
        ],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_changed_tokenizer_never_panics(
        changes in prop::collection::vec((0..260_usize, any_value()), 1..4),
        text in "([a-zA-Z \\[\\]#.,éß京\u{0}\u{301}]|\\[SEP\\]){0,20}",
    ) {
        let mut value: Value = serde_json::from_str(&SMALL.1).unwrap();
        for (place, other) in changes {
            mutate(&mut value, &mut { place }, &other);
        }
        if let Ok(tokenizer) = Tokenizer::from_json(&value.to_string())
            && let Ok(ids) = tokenizer.encode(&text, None, true)
        {
            prop_assert!(ids.iter().all(|id| (*id as usize) < tokenizer.vocabulary()));
        }
    }

    #[test]
    fn bytes_changed_in_the_file_never_panic(places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = SMALL.1.clone().into_bytes();
        for (place, byte) in places {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(tokenizer) = Tokenizer::from_json(&String::from_utf8_lossy(&bytes)) {
            let _ = tokenizer.encode("The quick [SEP] über", Some(8), true);
        }
    }

    #[test]
    fn the_fast_way_to_a_vocabulary_is_the_slow_one(words in prop::collection::vec("[abc]{1,6}", 1..40), size in 11..80_usize) {
        let text = words.join(" ");
        let fast = train([text.as_str()].into_iter(), size, Watch::default()).unwrap();
        prop_assert_eq!(fast, slowly(&[&text], size));
    }

    #[test]
    fn the_short_way_for_ascii_is_the_long_one(text in "[ -~\t\r\n\u{0}\u{b}\u{7f}]{0,40}|(quick|dog|jump|\\[SEP\\]|Fox| |\\.){0,12}") {
        let tokenizer = small();
        let long = tokenizer.encode(&format!("{text}\u{200b}"), None, true).unwrap();
        prop_assert_eq!(tokenizer.encode(&text, None, true).unwrap(), long);
    }
}
