//! Tokens of texts, as a `tokenizer.json` of Hugging Face says.

use super::checked_json::checked;
use super::plain_bert::PlainBert;
use super::token_lists::TokenLists;
use crate::bounded::read_file;
use crate::error::DataError;
use lookalike_base::Watch;
use lookalike_base::hash::Hasher;
use rayon::prelude::*;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

/// Longest `tokenizer.json`, in bytes.
const MAX_FILE: u64 = 1 << 26;

/// Most special tokens around a text.
const MAX_SPECIAL: usize = 1 << 8;

/// Texts between two looks at the cancellation.
const CHUNK: usize = 1 << 10;

/// A tokenizer. Clones share its contents.
///
/// It may come from a file that nobody has vouched for: what makes the crate that interprets it fail, be slow or take memory without
/// bound is refused before, and should it panic nevertheless, that panic is caught and becomes an error. (The process's panic hook
/// still prints it, and a program that is built with `panic = "abort"` has no such net.)
#[derive(Debug, Clone)]
pub struct Tokenizer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    json: String,
    tokenizer: tokenizers::Tokenizer,
    plain: Option<PlainBert>,
    /// The special tokens before and behind a text.
    before: Vec<u32>,
    behind: Vec<u32>,
    vocabulary: usize,
}

impl Tokenizer {
    /// Reads `tokenizer.json` of a folder. Its truncation and padding are left out: sentence encoders ship a fixed padding to 128.
    ///
    /// # Errors
    /// [`DataError::Io`] where it cannot be read, [`DataError::Format`] where it is longer than 64 MiB or no UTF-8, and
    /// [`DataError::TextFile`] where it is no tokenizer, see [`from_json`](Self::from_json).
    pub fn open(folder: &Path) -> Result<Self, DataError> {
        let path = folder.join("tokenizer.json");
        let text = String::from_utf8(read_file(&path, MAX_FILE)?).map_err(|error| DataError::Format {
            path: path.clone(),
            byte: error.utf8_error().valid_up_to() as u64,
            problem: "the file is not UTF-8 text".into(),
        })?;
        Self::from_owned(text).map_err(|error| match error {
            DataError::Tokenizer { problem } => DataError::text_file(&path, problem),
            other => other,
        })
    }

    /// The tokenizer that the text of a `tokenizer.json` describes.
    ///
    /// # Errors
    /// [`DataError::Tokenizer`] where it describes none, or one beyond the limits: 4,194,304 entries of the vocabulary of 1,024
    /// bytes each, words of 1,000 characters, normalizers that lengthen a text 64 times.
    pub fn from_json(text: &str) -> Result<Self, DataError> {
        Self::from_owned(text.to_owned())
    }

    fn from_owned(json: String) -> Result<Self, DataError> {
        let value = checked(&json)?;
        let plain = PlainBert::of(&value);
        let text = value.to_string();
        drop(value);
        let tokenizer: tokenizers::Tokenizer = guarded(|| text.parse())?;
        let special = |probe: &str| {
            let tokens = guarded(|| tokenizer.encode_fast(probe, true))?;
            let ids = tokens.get_ids();
            let is_text = |index: &usize| tokens.token_to_sequence(*index).is_some();
            let start = (0..ids.len()).find(is_text);
            let end = (0..ids.len()).rev().find(is_text);
            Ok(start.zip(end).map(|(start, end)| (ids[..start].to_vec(), ids[end + 1..].to_vec())))
        };
        let [Some(found), again] = [special("a")?, special("b a")?] else {
            return Err(DataError::tokenizer("its post-processor does not say where the text is"));
        };
        if again.as_ref() != Some(&found) {
            return Err(DataError::tokenizer(
                "its post-processor does not add the same tokens to every text",
            ));
        }
        let (before, behind) = found;
        if before.len() + behind.len() > MAX_SPECIAL {
            return Err(DataError::tokenizer(format!(
                "it adds more than {MAX_SPECIAL} tokens to every text"
            )));
        }
        let entries = guarded(|| Ok(tokenizer.get_vocab(true)))?;
        let highest = entries.into_values().chain(before.iter().chain(&behind).copied()).max();
        let vocabulary = highest.map_or(0, |highest| highest as usize + 1);
        Ok(Self(Arc::new(Inner { json, tokenizer, plain, before, behind, vocabulary })))
    }

    /// Size of the vocabulary: one more than the highest id, so the number of rows that a table of embeddings needs.
    pub fn vocabulary(&self) -> usize {
        self.0.vocabulary
    }

    /// The id of a token, for instance of `[MASK]`.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.0.tokenizer.token_to_id(token)
    }

    /// The token of an id.
    pub fn token(&self, id: u32) -> Option<String> {
        self.0.tokenizer.id_to_token(id)
    }

    /// Number of special tokens that stand before and behind every text.
    pub fn special_count(&self) -> usize {
        self.0.before.len() + self.0.behind.len()
    }

    /// SHA-256 of [`json`](Self::json), as 64 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let mut hasher = Hasher::new();
        hasher.bytes(self.0.json.as_bytes());
        hasher.hex()
    }

    /// The text of `tokenizer.json` as it was read, with the truncation and padding that are not obeyed here.
    pub fn json(&self) -> &str {
        &self.0.json
    }

    /// The ids of a text, between the special tokens if `special`. With `max_length` there are at most so many, special tokens
    /// included: tokens of the text are left out at its end.
    ///
    /// # Errors
    /// [`DataError::Tokenizer`] where `max_length` leaves no place for the special tokens or is 0, and where the tokenizer itself
    /// fails, for instance on an unknown word without a token for these.
    pub fn encode(
        &self,
        text: &str,
        max_length: Option<usize>,
        special: bool,
    ) -> Result<Vec<u32>, DataError> {
        let mut ids = Vec::new();
        self.room(max_length, special)?;
        self.append(text, max_length, special, &mut ids)?;
        Ok(ids)
    }

    /// The ids of many texts, as [`encode`](Self::encode) gives each, found in parallel by rayon. `watch` counts texts.
    ///
    /// # Errors
    /// What [`encode`](Self::encode) says, and [`DataError::Stopped`].
    pub fn encode_all<S: AsRef<str> + Sync>(
        &self,
        texts: &[S],
        max_length: Option<usize>,
        special: bool,
        watch: Watch<'_>,
    ) -> Result<TokenLists, DataError> {
        self.room(max_length, special)?;
        let chunk = |texts: &[S]| {
            if watch.is_cancelled() {
                return Err(DataError::Stopped);
            }
            let mut lists = TokenLists::default();
            for text in texts {
                self.append(text.as_ref(), max_length, special, &mut lists.ids)?;
                lists.offsets.push(lists.ids.len());
            }
            watch.progress.advance(texts.len() as u64);
            Ok(lists)
        };
        let chunks: Vec<TokenLists> = texts.par_chunks(CHUNK).map(chunk).collect::<Result<_, _>>()?;
        Ok(TokenLists::joined(&chunks.iter().collect::<Vec<_>>()))
    }

    /// Checks that `max_length` has room for the special tokens.
    fn room(&self, max_length: Option<usize>, special: bool) -> Result<(), DataError> {
        let needed = if special { self.special_count() } else { 0 };
        match max_length {
            Some(0) => Err(DataError::tokenizer("the greatest length is 0 tokens; it must be at least 1")),
            Some(most) if most < needed => Err(DataError::tokenizer(format!(
                "the greatest length is {most} tokens, and the special ones alone are {needed}"
            ))),
            _ => Ok(()),
        }
    }

    fn append(
        &self,
        text: &str,
        max_length: Option<usize>,
        special: bool,
        ids: &mut Vec<u32>,
    ) -> Result<(), DataError> {
        let Inner { tokenizer, plain, before, behind, .. } = &*self.0;
        let begin = ids.len();
        if special {
            ids.extend_from_slice(before);
        }
        if !plain.as_ref().is_some_and(|plain| plain.encode(text, ids)) {
            ids.extend_from_slice(guarded(|| tokenizer.encode_fast(text, false))?.get_ids());
        }
        let behind = if special { behind.as_slice() } else { &[] };
        if let Some(most) = max_length {
            ids.truncate(begin + most - behind.len());
        }
        ids.extend_from_slice(behind);
        Ok(())
    }
}

/// What `work` of the crate `tokenizers` gives; its panic is an error.
pub(super) fn guarded<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, DataError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| DataError::tokenizer(error.to_string())),
        Err(panic) => {
            Err(DataError::tokenizer(format!("the crate `tokenizers` panicked: {}", message(&*panic))))
        }
    }
}

/// The message of a panic.
pub(super) fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}
