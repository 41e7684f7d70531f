//! What is checked of a `tokenizer.json` before the crate that interprets it sees it.
//!
//! The crate panics on some files that parse, and others make it take memory or time without bound. Each check names what was found.

use crate::error::DataError;
use serde_json::{Map, Value};

/// Most entries of a vocabulary, merges included.
const MAX_VOCABULARY: usize = 1 << 22;

/// Longest entry of a vocabulary in bytes: a Unigram model keeps an entry as a tree of its depth.
const MAX_ENTRY: usize = 1 << 10;

/// Most tokens that stand beside the vocabulary.
const MAX_ADDED: usize = 1 << 16;

/// By how much replacements may lengthen a text, all together.
const MAX_GROWTH: f64 = 64.0;

/// Longest word of WordPiece in characters: its time grows with the square. Published files say 100.
const MAX_WORD: u64 = 1000;

/// Most pieces of a template, which repeat the text or add tokens.
const MAX_PIECES: usize = 64;

/// The tokenizer without truncation and padding, checked.
pub(super) fn checked(text: &str) -> Result<Value, DataError> {
    let mut value: Value = serde_json::from_str(text)
        .map_err(|error| DataError::tokenizer(format!("it is not JSON: {error}")))?;
    let Some(parts) = value.as_object_mut() else {
        return Err(DataError::tokenizer("it is JSON, but no object"));
    };
    parts.remove("truncation");
    parts.remove("padding");
    check_model(parts.get("model"))?;
    check_added(parts.get("added_tokens"))?;
    let mut growth = 1.0;
    for part in ["normalizer", "pre_tokenizer"] {
        walk(parts.get(part), &mut |component| check_component(component, &mut growth))?;
    }
    walk(parts.get("post_processor"), &mut check_processor)?;
    Ok(value)
}

fn wrong(problem: impl Into<String>) -> DataError {
    DataError::tokenizer(problem)
}

fn check_model(model: Option<&Value>) -> Result<(), DataError> {
    let Some(model) = model.and_then(Value::as_object) else {
        return Err(wrong("it has no model"));
    };
    let (count, longest) = match model.get("vocab") {
        Some(Value::Object(entries)) => {
            if let Some((token, id)) =
                entries.iter().find(|(_, id)| id.as_u64().is_none_or(|id| id >= MAX_VOCABULARY as u64))
            {
                return Err(wrong(format!(
                    "the id of {token:?} is {id}, not a whole number below {MAX_VOCABULARY}"
                )));
            }
            (entries.len(), entries.keys().map(String::len).max())
        }
        Some(Value::Array(entries)) => {
            let entry = |entry: &Value| entry[0].as_str().map_or(0, str::len);
            (entries.len(), entries.iter().map(entry).max())
        }
        _ => return Err(wrong("its model has no vocabulary")),
    };
    if count == 0 {
        return Err(wrong("its vocabulary is empty"));
    }
    let merges = model.get("merges").and_then(Value::as_array).map_or(0, Vec::len);
    if count.max(merges) > MAX_VOCABULARY {
        return Err(wrong(format!(
            "its vocabulary has {} entries, the limit is {MAX_VOCABULARY}",
            count.max(merges)
        )));
    }
    if longest.unwrap_or(0) > MAX_ENTRY {
        return Err(wrong(format!("its vocabulary has an entry of more than {MAX_ENTRY} bytes, the limit")));
    }
    if model.get("max_input_chars_per_word").and_then(Value::as_u64).is_some_and(|most| most > MAX_WORD) {
        return Err(wrong(format!("max_input_chars_per_word exceeds {MAX_WORD}, the limit")));
    }
    if model.get("type").is_some_and(|kind| kind == "Unigram") {
        let id = model.get("unk_id").and_then(Value::as_u64);
        if id.is_some_and(|id| id >= count as u64) {
            return Err(wrong("unk_id is no entry of the vocabulary"));
        }
        let entries = model.get("vocab").and_then(Value::as_array);
        if entries
            .is_none_or(|entries| entries.iter().any(|entry| entry[0].as_str().is_none_or(str::is_empty)))
        {
            return Err(wrong(
                "a Unigram vocabulary is a list of texts that are not empty, each with its score",
            ));
        }
    }
    Ok(())
}

fn check_added(added: Option<&Value>) -> Result<(), DataError> {
    let Some(added) = added.and_then(Value::as_array) else { return Ok(()) };
    if added.len() > MAX_ADDED {
        return Err(wrong(format!("it adds {} tokens, the limit is {MAX_ADDED}", added.len())));
    }
    let content = |token: &Value| token["content"].as_str().map_or(0, str::len);
    if added.iter().any(|token| content(token) > MAX_ENTRY) {
        return Err(wrong(format!("it adds a token of more than {MAX_ENTRY} bytes, the limit")));
    }
    Ok(())
}

/// Calls `check` for every object in `value`, however deep.
fn walk(
    value: Option<&Value>,
    check: &mut impl FnMut(&Map<String, Value>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    match value {
        Some(Value::Object(object)) => {
            check(object)?;
            object.values().try_for_each(|value| walk(Some(value), check))
        }
        Some(Value::Array(values)) => values.iter().try_for_each(|value| walk(Some(value), check)),
        _ => Ok(()),
    }
}

fn check_component(component: &Map<String, Value>, growth: &mut f64) -> Result<(), DataError> {
    let length = |key: &str| component.get(key).and_then(Value::as_str).map_or(0, str::len);
    match component.get("type").and_then(Value::as_str) {
        Some("Replace") => {
            // A text is found at most once in as many bytes, a regular expression also between any two.
            let found =
                component.get("pattern").and_then(|pattern| pattern["String"].as_str()).map_or(0, str::len);
            let content = length("content") as f64;
            *growth *= if found == 0 { content + 1.0 } else { (content / found as f64).max(1.0) };
        }
        Some("Prepend") => *growth *= length("prepend") as f64 + 1.0,
        // Each may write several bytes for one.
        Some("NFD" | "NFKD" | "NFKC" | "NFC" | "ByteLevel" | "Metaspace" | "Precompiled" | "Nmt") => {
            *growth *= 2.0;
        }
        Some("FixedLength") if component.get("length").and_then(Value::as_u64) == Some(0) => {
            return Err(wrong("FixedLength cuts a text into parts of length 0"));
        }
        _ => {}
    }
    if *growth > MAX_GROWTH {
        return Err(wrong(format!("its normalizers may lengthen a text more than {MAX_GROWTH} times")));
    }
    Ok(())
}

fn check_processor(component: &Map<String, Value>) -> Result<(), DataError> {
    if component.get("type").is_none_or(|kind| kind != "TemplateProcessing") {
        return Ok(());
    }
    let special = component.get("special_tokens").and_then(Value::as_object);
    for (key, sequences) in [("single", &["A"][..]), ("pair", &["A", "B"])] {
        let pieces = component.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if pieces.len() > MAX_PIECES {
            return Err(wrong(format!("its template `{key}` has more than {MAX_PIECES} pieces")));
        }
        let mut texts = 0;
        for piece in pieces {
            if let Some(id) = piece["Sequence"]["id"].as_str() {
                texts += 1;
                if !sequences.contains(&id) {
                    return Err(wrong(format!(
                        "its template `{key}` names the text {id:?}, which it is not given"
                    )));
                }
            }
            if let Some(id) = piece["SpecialToken"]["id"].as_str()
                && !special.is_some_and(|special| special.contains_key(id))
            {
                return Err(wrong(format!(
                    "its template `{key}` has the special token {id:?}, which it does not define"
                )));
            }
        }
        if texts != sequences.len() {
            return Err(wrong(format!(
                "its template `{key}` takes {texts} texts instead of {}",
                sequences.len()
            )));
        }
    }
    Ok(())
}
