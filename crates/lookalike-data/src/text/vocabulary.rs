//! Trains a WordPiece vocabulary, which depends on nothing but the texts: neither on their order, nor on the number of threads, nor on
//! the run. (The trainer of the crate `tokenizers` breaks ties by chance.)

use super::pieces::Pieces;
use super::plain_bert::ascii_words;
use super::tokenizer::{Tokenizer, guarded};
use crate::error::DataError;
use lookalike_base::Watch;
use rayon::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};

/// The first entries of a vocabulary, with the ids 0 to 4.
pub const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// What an entry that goes on with a word begins with.
pub(super) const CONTINUES: &str = "##";

/// Longest word in characters; longer ones are unknown to the tokenizer.
const LONGEST_WORD: usize = 100;

/// Most entries of one character.
const MAX_CHARACTERS: usize = 2000;

/// Largest vocabulary that can be asked for.
const MAX_SIZE: usize = 1 << 20;

/// Texts that are split at once.
const BATCH: usize = 1 << 14;

/// Trains a vocabulary of at most `size` entries on texts as BERT's uncased models see them: cleaned, in lower case, without accents,
/// split at white space and around punctuation.
///
/// It begins with [`SPECIAL`] and the single characters, the most frequent first; then come pieces, each joined of the two neighbours
/// that at the time stood side by side most often, ties by the text of the first and then of the second. Pieces that would occur only
/// once are not made, so few texts give fewer than `size` entries. `watch` counts entries.
///
/// # Errors
/// [`DataError::Tokenizer`] where `size` is below 6 or above 1,048,576, or the texts hold no word; [`DataError::Stopped`].
pub fn train<'t>(
    texts: impl Iterator<Item = &'t str>,
    size: usize,
    watch: Watch<'_>,
) -> Result<Vec<String>, DataError> {
    if size <= SPECIAL.len() || size > MAX_SIZE {
        let problem = format!("a vocabulary of {size} entries is asked for; it must have 6 to {MAX_SIZE}");
        return Err(DataError::tokenizer(problem));
    }
    let words = count_words(texts, watch)?;
    if words.is_empty() {
        return Err(DataError::tokenizer("the texts hold no word to train a vocabulary on"));
    }
    let mut vocabulary: Vec<String> = SPECIAL.iter().map(|token| (*token).to_owned()).collect();
    let characters = characters(&words);
    let most = MAX_CHARACTERS.min(size - SPECIAL.len());
    vocabulary.extend(characters.into_iter().take(most));
    watch.progress.advance(vocabulary.len() as u64);
    // A piece can be spelled as a special token is only by its letters, and punctuation is split off: none is ever met.
    let mut known: HashSet<String> = vocabulary.iter().cloned().collect();
    let mut pieces = Pieces::new(&words, &vocabulary);
    while vocabulary.len() < size {
        if watch.is_cancelled() {
            return Err(DataError::Stopped);
        }
        let Some(piece) = pieces.merge() else { break };
        if known.insert(piece.clone()) {
            vocabulary.push(piece);
            watch.progress.advance(1);
        }
    }
    Ok(vocabulary)
}

/// The words of all texts and how often each occurs, in the order of their bytes.
fn count_words<'t>(
    mut texts: impl Iterator<Item = &'t str>,
    watch: Watch<'_>,
) -> Result<BTreeMap<String, u64>, DataError> {
    let mut all: HashMap<String, u64> = HashMap::new();
    loop {
        let batch: Vec<&str> = texts.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            return Ok(all.into_iter().collect());
        }
        if watch.is_cancelled() {
            return Err(DataError::Stopped);
        }
        let counts: Vec<HashMap<String, u64>> =
            batch.par_chunks(BATCH / 16).map(count_some).collect::<Result<_, _>>()?;
        for (word, count) in counts.into_iter().flatten() {
            *all.entry(word).or_default() += count;
        }
    }
}

fn count_some(texts: &[&str]) -> Result<HashMap<String, u64>, DataError> {
    let mut counts = HashMap::new();
    let mut count = |word: &str| {
        if word.chars().count() > LONGEST_WORD {
            return;
        }
        if let Some(count) = counts.get_mut(word) {
            *count += 1;
        } else {
            counts.insert(word.to_owned(), 1);
        }
    };
    for text in texts {
        if text.is_ascii() {
            ascii_words(text, true, &mut count);
            continue;
        }
        let split = guarded(|| {
            let mut text = NormalizedString::from(*text);
            BertNormalizer::default().normalize(&mut text)?;
            let mut text = PreTokenizedString::from(text);
            BertPreTokenizer.pre_tokenize(&mut text)?;
            Ok(text)
        })?;
        for (word, _, _) in split.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            if !word.is_empty() {
                count(word);
            }
        }
    }
    Ok(counts)
}

/// The characters of all words, behind `##` where they go on with one; the most frequent first, ties by their text.
fn characters(words: &BTreeMap<String, u64>) -> Vec<String> {
    let mut counts: BTreeMap<(bool, char), u64> = BTreeMap::new();
    for (word, count) in words {
        for (place, character) in word.chars().enumerate() {
            *counts.entry((place > 0, character)).or_default() += count;
        }
    }
    let text = |(continues, character): (bool, char)| {
        if continues { format!("{CONTINUES}{character}") } else { character.to_string() }
    };
    let mut found: Vec<(u64, String)> =
        counts.into_iter().map(|(symbol, count)| (count, text(symbol))).collect();
    found.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    found.into_iter().map(|(_, text)| text).collect()
}

/// The `tokenizer.json` of a vocabulary: texts as [`train`] sees them, between `[CLS]` and `[SEP]`. The id of an entry is its place.
///
/// # Errors
/// [`DataError::Tokenizer`] where the vocabulary lacks one of [`SPECIAL`] or has an entry twice.
pub fn tokenizer_json(vocabulary: &[String]) -> Result<String, DataError> {
    let mut entries = Map::new();
    for (id, token) in vocabulary.iter().enumerate() {
        if entries.insert(token.clone(), json!(id)).is_some() {
            return Err(DataError::tokenizer(format!("the vocabulary has {token:?} twice")));
        }
    }
    let mut added = Vec::new();
    for token in SPECIAL {
        let Some(id) = entries.get(token) else {
            return Err(DataError::tokenizer(format!("the vocabulary lacks {token}")));
        };
        added.push(json!({
            "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        }));
    }
    added.sort_by_key(|token| token["id"].as_u64());
    let special = |token: &str, kind: u8| json!({"SpecialToken": {"id": token, "type_id": kind}});
    let text = |id: &str, kind: u8| json!({"Sequence": {"id": id, "type_id": kind}});
    let defined = |token: &str| json!({"id": token, "ids": [entries[token]], "tokens": [token]});
    let (cls, sep) = ("[CLS]", "[SEP]");
    let value: Value = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special(cls, 0), text("A", 0), special(sep, 0)],
            "pair": [special(cls, 0), text("A", 0), special(sep, 0), text("B", 1), special(sep, 1)],
            "special_tokens": {cls: defined(cls), sep: defined(sep)},
        },
        "decoder": {"type": "WordPiece", "prefix": CONTINUES, "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": CONTINUES,
            "max_input_chars_per_word": LONGEST_WORD, "vocab": entries,
        },
    });
    Ok(value.to_string())
}

/// The tokenizer of a vocabulary.
///
/// # Errors
/// As [`tokenizer_json`].
pub fn tokenizer_of(vocabulary: &[String]) -> Result<Tokenizer, DataError> {
    Tokenizer::from_json(&tokenizer_json(vocabulary)?)
}
