//! Token lists on disk, under a fingerprint of everything they depend on.

use super::token_lists::TokenLists;
use super::tokenizer::Tokenizer;
use crate::error::DataError;
use lookalike_base::hash::Hasher;
use lookalike_base::tensors::{self, TensorFile};
use lookalike_base::{Array, ArrayFileError, Arrays, Values, Watch};
use std::collections::BTreeMap;
use std::path::Path;

/// Changes when the same file would mean something else.
const FORMAT: &str = "lookalike token lists 1";

const FINGERPRINT: &str = "fingerprint";

/// SHA-256 of tokenizer, greatest length, whether special tokens are there, and all texts in order, as 64 hexadecimal digits.
pub fn token_fingerprint<S: AsRef<str>>(
    tokenizer: &Tokenizer,
    texts: &[S],
    max_length: Option<usize>,
    special: bool,
) -> String {
    let mut hasher = Hasher::new();
    hasher.text(FORMAT);
    hasher.text(&tokenizer.fingerprint());
    hasher.number(max_length.map_or(u64::MAX, |most| most as u64));
    hasher.number(u64::from(special));
    hasher.number(texts.len() as u64);
    for text in texts {
        hasher.text(text.as_ref());
    }
    hasher.hex()
}

/// The token lists of `texts`, as [`Tokenizer::encode_all`] gives them: read from the safetensors file at `path` if it holds just these,
/// else made and written there. A file that is torn, has another fingerprint or lists that cannot be is not used, but replaced. Says
/// also whether the file was used.
///
/// # Errors
/// As [`Tokenizer::encode_all`], and [`DataError::TokenCache`] where the file cannot be written.
pub fn cached_tokens<S: AsRef<str> + Sync>(
    path: &Path,
    tokenizer: &Tokenizer,
    texts: &[S],
    max_length: Option<usize>,
    special: bool,
    watch: Watch<'_>,
) -> Result<(TokenLists, bool), DataError> {
    let fingerprint = token_fingerprint(tokenizer, texts, max_length, special);
    let bytes = texts.iter().map(|text| text.as_ref().len() as u64).sum::<u64>();
    // A text has hardly more tokens than bytes, and what is longer than that is made anew.
    let most = match max_length {
        Some(most) => (texts.len() as u64).saturating_mul(most as u64),
        None => 4 * bytes + texts.len() as u64 * (tokenizer.special_count() as u64 + 4),
    };
    let limit = most.saturating_mul(4).saturating_add(8 * texts.len() as u64 + (1 << 20));
    let is_short = path.metadata().is_ok_and(|file| file.is_file() && file.len() <= limit);
    if is_short
        && let Ok(file) = tensors::read(path)
        && let Some(lists) = lists(file, &fingerprint, texts.len(), tokenizer.vocabulary())
    {
        watch.progress.advance(texts.len() as u64);
        return Ok((lists, true));
    }
    let lists = tokenizer.encode_all(texts, max_length, special, watch)?;
    write(path, &fingerprint, &lists)
        .map_err(|source| DataError::TokenCache { path: path.into(), source: Box::new(source) })?;
    Ok((lists, false))
}

fn write(path: &Path, fingerprint: &str, lists: &TokenLists) -> Result<(), ArrayFileError> {
    let offsets: Vec<u64> = lists.offsets.iter().map(|offset| *offset as u64).collect();
    let offsets = Array { shape: vec![offsets.len()], values: Values::U64(offsets) };
    let tensors = Arrays::from([
        ("ids".to_owned(), Array::u32([lists.ids.len()], lists.ids.clone())),
        ("offsets".to_owned(), offsets),
    ]);
    let metadata = BTreeMap::from([(FINGERPRINT.to_owned(), fingerprint.to_owned())]);
    tensors::write(path, &TensorFile { metadata, tensors })
}

/// The lists of a file, if it is about just these texts and its numbers can be.
fn lists(mut file: TensorFile, fingerprint: &str, count: usize, vocabulary: usize) -> Option<TokenLists> {
    if file.metadata.get(FINGERPRINT).map(String::as_str) != Some(fingerprint) {
        return None;
    }
    let offsets = file.tensors.get("offsets")?.as_u64()?.iter().map(|offset| *offset as usize).collect();
    let Values::U32(ids) = file.tensors.remove("ids")?.values else { return None };
    let lists = TokenLists { ids, offsets };
    let is_good = lists.is_consistent()
        && lists.len() == count
        && lists.ids.iter().all(|id| (*id as usize) < vocabulary);
    is_good.then_some(lists)
}
