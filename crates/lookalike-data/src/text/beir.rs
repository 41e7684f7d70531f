//! Retrieval sets in the layout of BEIR: documents, queries, and which documents answer which query.

use super::json_lines::Object;
use super::lines::{Lines, shortened};
use super::text_set::{MAX_TEXTS, Texts};
use crate::error::DataError;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

/// Texts with the ids by which files name them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identified {
    /// The ids, all different.
    pub ids: Texts,
    /// The texts, none empty; as many as ids.
    pub texts: Texts,
}

impl Identified {
    /// Number of texts.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

/// That a document answers a query, and how well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    /// Index of the query.
    pub query: u32,
    /// Index of the document.
    pub document: u32,
    /// The grade; 0 says that the document does not answer the query.
    pub grade: u32,
}

/// A retrieval set: one part of its judgements, and the queries they are about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retrieval {
    /// The part: `train`, `dev` or `test`.
    pub part: String,
    /// All documents, in the order of their file. A text is title, space, text; without a title the text alone.
    pub documents: Identified,
    /// The queries that the part judges, in the order of their file.
    pub queries: Identified,
    /// In the order of their file; no pair twice.
    pub judgements: Vec<Judgement>,
}

/// Opens a part (`qrels/<part>.tsv`) of a folder with `corpus.jsonl`, `queries.jsonl` (either also with `.gz`) and `qrels`. Judgements
/// of ids that nobody has are an error, or with `skip_unknown` left out and counted in a warning. Documents with neither title nor
/// text are kept, with the text of a single space, because judgements may name them; the warning counts them.
///
/// # Errors
/// [`DataError::NoTexts`] where a file is missing; [`DataError::Line`] where a line is no JSON or lacks `_id` or `text`, an id comes
/// twice, a query is empty, or a judgement names an unknown id or comes twice; [`DataError::Io`].
pub fn open_beir(
    folder: &Path,
    part: &str,
    skip_unknown: bool,
) -> Result<(Retrieval, Vec<String>), DataError> {
    let file = |names: [String; 2]| {
        let found = names.iter().map(|name| folder.join(name)).find(|path| path.is_file());
        found.ok_or_else(|| DataError::NoTexts {
            name: "a set in BEIR's layout".into(),
            root: folder.into(),
            wanted: names.to_vec(),
        })
    };
    let either = |name: &str| file([name.to_owned(), format!("{name}.gz")]);
    let qrels = either(&format!("qrels/{part}.tsv"))?;
    let (corpus, queries) = (either("corpus.jsonl")?, either("queries.jsonl")?);
    let (mut set, warnings) = open_beir_files(&queries, &corpus, &qrels, skip_unknown)?;
    part.clone_into(&mut set.part);
    Ok((set, warnings))
}

/// [`open_beir`] of files wherever they are: queries, documents and judgements. The part has no name.
///
/// # Errors
/// As [`open_beir`].
pub fn open_beir_files(
    queries: &Path,
    corpus: &Path,
    qrels: &Path,
    skip_unknown: bool,
) -> Result<(Retrieval, Vec<String>), DataError> {
    let mut warnings = Vec::new();
    let (documents, document_of) = identified(corpus, true, &mut warnings)?;
    let (all, query_of) = identified(queries, false, &mut warnings)?;
    let mut judgements = judgements(qrels, &query_of, &document_of, skip_unknown, &mut warnings)?;

    // Only queries that are judged stay.
    let mut kept = vec![None; all.len()];
    for judgement in &judgements {
        kept[judgement.query as usize] = Some(0);
    }
    let mut queries = Identified::default();
    for (index, kept) in kept.iter_mut().enumerate().filter(|(_, kept)| kept.is_some()) {
        *kept = Some(queries.len() as u32);
        queries.ids.push(all.ids.get(index));
        queries.texts.push(all.texts.get(index));
    }
    for judgement in &mut judgements {
        judgement.query = kept[judgement.query as usize].unwrap_or_default();
    }
    Ok((Retrieval { part: String::new(), documents, queries, judgements }, warnings))
}

fn identified(
    path: &Path,
    titled: bool,
    warnings: &mut Vec<String>,
) -> Result<(Identified, HashMap<String, u32>), DataError> {
    let mut lines = Lines::utf8(path)?;
    let mut found = Identified::default();
    let mut index_of = HashMap::new();
    let mut empty = (0_u64, 0);
    while let Some(line) = lines.next()?.map(str::to_owned) {
        if line.trim().is_empty() {
            continue;
        }
        let object = Object::parse(&lines, &line)?;
        let text = |key: &str| match object.get(key) {
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            None | Some(Value::Null) => Ok(None),
            Some(_) => Err(lines.wrong(format!("`{key}` is no text"))),
        };
        let id = text("_id")?.ok_or_else(|| lines.wrong("the object has no `_id`"))?;
        let own = text("text")?.ok_or_else(|| lines.wrong("the object has no `text`"))?;
        let title = if titled { text("title")?.unwrap_or_default() } else { "" };
        let whole = if title.is_empty() { own.to_owned() } else { format!("{title} {own}") };
        if index_of.insert(id.to_owned(), found.len() as u32).is_some() {
            return Err(lines.wrong(format!("the id {:?} comes a second time", shortened(id))));
        }
        if whole.trim().is_empty() {
            if !titled {
                return Err(lines.wrong(format!("the text of query {:?} is empty", shortened(id))));
            }
            empty = (empty.0 + 1, if empty.0 == 0 { lines.number() } else { empty.1 });
        }
        found.ids.push(id);
        found.texts.push(if whole.is_empty() { " " } else { &whole });
        if found.len() >= MAX_TEXTS {
            return Err(lines.wrong(format!("the file has {MAX_TEXTS} texts, the limit")));
        }
    }
    if empty.0 > 0 {
        warnings.push(format!(
            "{}: {} documents are empty, the first on line {}",
            path.display(),
            empty.0,
            empty.1
        ));
    }
    Ok((found, index_of))
}

fn judgements(
    path: &Path,
    queries: &HashMap<String, u32>,
    documents: &HashMap<String, u32>,
    skip_unknown: bool,
    warnings: &mut Vec<String>,
) -> Result<Vec<Judgement>, DataError> {
    let mut lines = Lines::utf8(path)?;
    let mut found = Vec::new();
    let mut lines_of = HashMap::new();
    let mut unknown = (0_u64, 0);
    while let Some(line) = lines.next()?.map(str::to_owned) {
        if line.trim().is_empty() {
            continue;
        }
        let fields: Vec<&str> = line.split('\t').collect();
        let [query, document, grade] = fields[..] else {
            let problem = format!(
                "it has {} fields; a query's id, a document's id and a grade are wanted, with tabs between",
                fields.len()
            );
            return Err(lines.wrong(problem));
        };
        let grade = grade.trim();
        let Ok(grade) = grade.parse::<u32>() else {
            // The line of names, which BEIR has and some copies lack.
            if lines.number() == 1 && grade == "score" {
                continue;
            }
            return Err(lines.wrong(format!("the grade {:?} is not a whole number from 0", shortened(grade))));
        };
        let (Some(&query_index), Some(&document_index)) = (queries.get(query), documents.get(document))
        else {
            let (kind, id) =
                if queries.contains_key(query) { ("document", document) } else { ("query", query) };
            if !skip_unknown {
                return Err(lines.wrong(format!("there is no {kind} with the id {:?}", shortened(id))));
            }
            unknown = (unknown.0 + 1, if unknown.0 == 0 { lines.number() } else { unknown.1 });
            continue;
        };
        if let Some(first) = lines_of.insert((query_index, document_index), lines.number()) {
            return Err(lines.wrong(format!(
                "query {:?} and document {:?} were judged on line {first}",
                shortened(query),
                shortened(document)
            )));
        }
        found.push(Judgement { query: query_index, document: document_index, grade });
    }
    if unknown.0 > 0 {
        warnings.push(format!(
            "{}: {} judgements name a query or a document that there is not and are left out, the first on line {}",
            path.display(),
            unknown.0,
            unknown.1
        ));
    }
    if found.is_empty() {
        return Err(DataError::text_file(path, "it judges nothing"));
    }
    Ok(found)
}
