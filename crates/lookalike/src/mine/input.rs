//! What is mined from: embeddings in files, or texts that are embedded.

use std::path::Path;

use lookalike_base::files::holds_arrays;
use lookalike_base::{Cancellation, FileRows, Matrix, RowSource, Watch};
use lookalike_data::text::{self, ReadOptions, Retrieval, TextSet, Texts};
use lookalike_learn::sentence::EncodeOptions;
use lookalike_learn::sentence::score::Scoring;
use lookalike_metrics::mining::first_equal_rows;

use super::{Arguments, interrupted};
use crate::failure::Failure;
use crate::progress::Terminal;
use crate::run::warn;
use crate::text::{open_encoder, warn_of_length};

/// Vectors in a file or in memory.
pub(super) enum Vectors {
    Mapped(FileRows),
    Made(Matrix),
}

impl RowSource for Vectors {
    fn len(&self) -> usize {
        match self {
            Self::Mapped(rows) => rows.len(),
            Self::Made(rows) => rows.len(),
        }
    }

    fn columns(&self) -> usize {
        match self {
            Self::Mapped(rows) => rows.columns(),
            Self::Made(rows) => rows.columns(),
        }
    }

    fn read_row(&self, index: usize, into: &mut [f32]) {
        match self {
            Self::Mapped(rows) => rows.read_row(index, into),
            Self::Made(rows) => rows.rows().read_row(index, into),
        }
    }
}

pub(super) struct Input {
    pub(super) queries: Vectors,
    pub(super) documents: Vectors,
    pub(super) relevant: Vec<(u32, u32)>,
    pub(super) same_queries: Vec<u32>,
    pub(super) same_documents: Vec<u32>,
    /// Queries and documents, each different one once.
    pub(super) texts: Option<[Texts; 2]>,
}

impl Input {
    pub(super) fn open(arguments: &Arguments, cancellation: &Cancellation) -> Result<Self, Failure> {
        let files = [Some(&arguments.queries), arguments.documents.as_ref()];
        let embeddings: Vec<bool> = files.into_iter().flatten().map(|file| holds_arrays(file)).collect();
        match (&embeddings[..], &arguments.documents) {
            ([true, true], Some(documents)) => Self::of_embeddings(arguments, documents, cancellation),
            ([true], _) => Err(Failure::usage(format!(
                "{} holds embeddings of queries: give those of the documents too, QUERIES DOCUMENTS",
                arguments.queries.display()
            ))),
            ([first, second], _) if first != second => Err(Failure::usage(
                "one file holds embeddings and the other texts: give two of one kind; `lookalike embed` makes embeddings of texts",
            )),
            _ => Self::of_texts(arguments, cancellation),
        }
    }

    fn of_embeddings(
        arguments: &Arguments,
        documents: &Path,
        cancellation: &Cancellation,
    ) -> Result<Self, Failure> {
        if arguments.weights.is_some() || !arguments.columns.is_empty() {
            let option = if arguments.weights.is_some() { "--weights" } else { "--columns" };
            return Err(Failure::usage(format!(
                "{option} goes with texts, and {} holds embeddings",
                arguments.queries.display()
            )));
        }
        let queries = FileRows::open(&arguments.queries)?;
        let documents = FileRows::open(documents)?;
        let relevant = match &arguments.qrels {
            Some(path) => row_pairs(path)?,
            None if queries.len() == documents.len() => {
                (0..queries.len() as u32).map(|row| (row, row)).collect()
            }
            None => return Err(unequal(arguments, queries.len(), documents.len())),
        };
        let watch = Watch::silent(cancellation);
        let same = |rows| first_equal_rows(rows, watch).map_err(interrupted);
        let (same_queries, same_documents) = (same(&queries)?, same(&documents)?);
        Ok(Self {
            queries: Vectors::Mapped(queries),
            documents: Vectors::Mapped(documents),
            relevant,
            same_queries,
            same_documents,
            texts: None,
        })
    }

    fn of_texts(arguments: &Arguments, cancellation: &Cancellation) -> Result<Self, Failure> {
        let folder = arguments.weights.as_deref().ok_or_else(|| {
            Failure::usage(format!(
                "{} holds texts: --weights FOLDER names the sentence encoder that embeds them",
                arguments.queries.display()
            ))
        })?;
        let data = retrieval(arguments)?;
        let precision = arguments.precision.unwrap_or_default();
        let mut encoder = open_encoder(folder, arguments.device.as_deref().unwrap_or("cpu"), precision)?;
        let options = EncodeOptions { precision, ..EncodeOptions::default() };
        let mut scoring =
            Scoring { encoder: &mut encoder, options, display: &Terminal, cancellation, full: 0 };
        let vectors = scoring.vectors(&data);
        let [queries, documents] = vectors.map_err(Failure::or_interrupted("nothing was written"))?;
        let full = scoring.full;
        warn_of_length(&encoder, full);
        let relevant = data.judgements.iter().filter(|judgement| judgement.grade > 0);
        let relevant = relevant.map(|judgement| (judgement.query, judgement.document)).collect();
        let [same_queries, same_documents] = [&data.queries.texts, &data.documents.texts].map(first_equal);
        Ok(Self {
            queries: Vectors::Made(queries),
            documents: Vectors::Made(documents),
            relevant,
            same_queries,
            same_documents,
            texts: Some([data.queries.texts, data.documents.texts]),
        })
    }
}

fn unequal(arguments: &Arguments, queries: usize, documents: usize) -> Failure {
    Failure::usage(format!(
        "there are {queries} queries in {} and {documents} documents: row i of one answers row i of the other only where there are as many; --qrels says which answers which",
        arguments.queries.display()
    ))
}

/// Queries, documents and who answers whom, in any of the forms that texts have.
fn retrieval(arguments: &Arguments) -> Result<Retrieval, Failure> {
    let Arguments { queries, documents, qrels, columns, .. } = arguments;
    let column = |place: usize| columns.get(place).cloned().into_iter().collect();
    let (set, warnings) = match (documents, qrels) {
        (Some(documents), Some(qrels)) => {
            if !columns.is_empty() {
                return Err(Failure::usage(
                    "--columns does not go with --qrels: BEIR's files have `_id` and `text`",
                ));
            }
            let (data, warnings) = text::open_beir_files(queries, documents, qrels, false)?;
            warn(&warnings);
            return Ok(data);
        }
        (Some(documents), None) if [queries, documents].iter().all(|file| is_lines(file)) => {
            if !columns.is_empty() {
                return Err(Failure::usage(
                    "--columns does not go with files of lines, which have no columns",
                ));
            }
            text::read_columns(&[("query", queries), ("document", documents)], &ReadOptions::default())?
        }
        (Some(documents), None) => {
            let read = |file: &Path, place: usize| -> Result<TextSet, Failure> {
                let options =
                    ReadOptions { columns: column(place), first_only: true, ..ReadOptions::default() };
                let (set, warnings) = text::read(file, &options)?;
                match warnings.first() {
                    None => Ok(set),
                    Some(warning) => Err(Failure::usage(format!(
                        "{warning}; what follows would stand beside the wrong rows: take them out of both files, or give one file of pairs"
                    ))),
                }
            };
            let (mut first, second) = (read(queries, 0)?, read(documents, 1)?);
            if first.len() != second.len() {
                return Err(unequal(arguments, first.len(), second.len()));
            }
            first.columns.extend(second.columns);
            (first, Vec::new())
        }
        (None, _) => {
            let options = ReadOptions { columns: columns.clone(), ..ReadOptions::default() };
            text::read(queries, &options)?
        }
    };
    warn(&warnings);
    Ok(Retrieval::of_pairs(&set)?)
}

/// Whether a file has a text a line and nothing beside.
fn is_lines(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    Path::new(name.strip_suffix(".gz").unwrap_or(name)).extension().is_some_and(|end| end == "txt")
}

/// For each text the first that is the same.
fn first_equal(texts: &Texts) -> Vec<u32> {
    let mut first = std::collections::HashMap::with_capacity(texts.len());
    (0..).zip(texts.iter()).map(|(at, text)| *first.entry(text).or_insert(at)).collect()
}

/// The pairs of rows that a file judges relevant: a query's row, a document's and a grade a line, with tabs between.
fn row_pairs(path: &Path) -> Result<Vec<(u32, u32)>, Failure> {
    let wrong = |line: usize, problem: &str| {
        Failure::usage(format!(
            "{}, line {}: {problem}; a query's row, a document's row and a grade are wanted, with tabs between",
            path.display(),
            line + 1
        ))
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))?;
    let mut pairs = Vec::new();
    for (line, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let fields: Vec<&str> = text.split('\t').map(str::trim).collect();
        let [query, document, grade] = fields[..] else {
            return Err(wrong(line, &format!("it has {} fields", fields.len())));
        };
        if line == 0 && grade == "score" {
            continue;
        }
        let number =
            |field: &str| field.parse::<u32>().map_err(|_| wrong(line, &format!("{field:?} is no number")));
        let (query, document, grade) = (number(query)?, number(document)?, number(grade)?);
        if grade > 0 {
            pairs.push((query, document));
        }
    }
    Ok(pairs)
}
