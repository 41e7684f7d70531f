//! The tokens of ASCII texts under BERT's usual rules, many times as fast as the crate `tokenizers` finds them: without positions in
//! the text, and with one look-up for most words. Everything else is left to the crate.

use serde_json::Value;
use std::collections::HashMap;

/// BERT's rules: clean, in lower case or not, split at white space and around punctuation, then greedy pieces.
#[derive(Debug)]
pub(super) struct PlainBert {
    lower_case: bool,
    /// Texts that are tokens wherever they stand.
    added: Vec<String>,
    /// Entries as they begin a word.
    first: HashMap<Box<str>, u32>,
    /// Entries as they go on with one, without the prefix that says so.
    next: HashMap<Box<str>, u32>,
    unknown: u32,
    longest_word: usize,
}

impl PlainBert {
    /// The rules of a `tokenizer.json`, where it follows BERT's.
    pub(super) fn of(tokenizer: &Value) -> Option<Self> {
        let normalizer = &tokenizer["normalizer"];
        let model = &tokenizer["model"];
        let is_bert = normalizer["type"] == "BertNormalizer"
            && normalizer["clean_text"] == true
            && tokenizer["pre_tokenizer"]["type"] == "BertPreTokenizer"
            && model.get("type").is_none_or(|kind| kind == "WordPiece")
            && model.get("merges").is_none();
        if !is_bert {
            return None;
        }
        let entries = model["vocab"].as_object()?;
        let id = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
        let prefix = model["continuing_subword_prefix"].as_str()?;
        let mut added = Vec::new();
        for token in tokenizer.get("added_tokens").and_then(Value::as_array).into_iter().flatten() {
            if token["normalized"] != false {
                return None;
            }
            added.push(token["content"].as_str().filter(|content| !content.is_empty())?.to_owned());
        }
        let (mut first, mut next) = (HashMap::new(), HashMap::new());
        for (token, value) in entries {
            let id = id(value)?;
            first.insert(token.as_str().into(), id);
            if let Some(end) = token.strip_prefix(prefix) {
                next.insert(end.into(), id);
            }
        }
        Some(Self {
            lower_case: normalizer["lowercase"].as_bool()?,
            added,
            unknown: id(entries.get(model["unk_token"].as_str()?)?)?,
            longest_word: model["max_input_chars_per_word"].as_u64()? as usize,
            first,
            next,
        })
    }

    /// Adds the tokens of `text` to `ids`, without special ones; false, and nothing is added, where the text is not
    /// plain: not ASCII, or with an added token.
    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) -> bool {
        if !text.is_ascii() || self.added.iter().any(|token| text.contains(token.as_str())) {
            return false;
        }
        ascii_words(text, self.lower_case, |word| self.word(word, ids));
        true
    }

    /// Greedy longest pieces; the whole word is unknown where one is missing.
    fn word(&self, word: &str, ids: &mut Vec<u32>) {
        let begin = ids.len();
        let unknown = |ids: &mut Vec<u32>| {
            ids.truncate(begin);
            ids.push(self.unknown);
        };
        if word.len() > self.longest_word {
            return unknown(ids);
        }
        let mut start = 0;
        while start < word.len() {
            let entries = if start == 0 { &self.first } else { &self.next };
            let piece = |end: &usize| entries.get(&word[start..*end]).map(|id| (*id, *end));
            let Some((id, end)) = (start + 1..=word.len()).rev().find_map(|end| piece(&end)) else {
                return unknown(ids);
            };
            ids.push(id);
            start = end;
        }
    }
}

/// Calls `found` for the words and punctuation marks of an ASCII text, as BERT cleans and splits it.
pub(super) fn ascii_words(text: &str, lower_case: bool, mut found: impl FnMut(&str)) {
    let mut word = String::new();
    let mut end = |word: &mut String| {
        if !word.is_empty() {
            found(word);
            word.clear();
        }
    };
    for byte in text.bytes() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => end(&mut word),
            // Control characters vanish, and what they part is one word.
            0..=31 | 127 => {}
            _ if byte.is_ascii_punctuation() => {
                end(&mut word);
                word.push(char::from(byte));
                end(&mut word);
            }
            _ if lower_case => word.push(char::from(byte.to_ascii_lowercase())),
            _ => word.push(char::from(byte)),
        }
    }
    end(&mut word);
}
