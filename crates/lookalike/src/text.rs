//! What the commands do with the folder of a sentence encoder.

use std::collections::HashMap;
use std::path::Path;

use lookalike_base::Seed;
use lookalike_base::progress::Cancellation;
use lookalike_data::DataError;
use lookalike_data::text::{
    self, Identified, Judgement, OpenedTexts, ReadOptions, Retrieval, Sts, TRANSFER_NAMES, TextSet, Texts,
    Transfer,
};
use lookalike_learn::engine::{self, Precision};
use lookalike_learn::sentence::score::{Classification, RetrievalResult, Scoring};
use lookalike_learn::sentence::{EncodeOptions, SentenceEncoder};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::output::say;
use crate::progress::Terminal;
use crate::run::warn;
use crate::table::Table;

/// The sets whose mean is the figure by which sentence encoders are compared.
const SEVEN: [&str; 7] = ["sts12", "sts13", "sts14", "sts15", "sts16", "stsb", "sickr"];

/// What the folder of a sentence encoder is scored on.
#[derive(clap::Args)]
pub(crate) struct Data {
    /// Of a sentence encoder: what to score it on. `sts` and `senteval` are seven sets each; any other name is that of a set, a path
    /// that of a folder in BEIR's layout or of a file of pairs
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) data: Option<String>,
    /// Of a folder in BEIR's layout: which part of its judgements, test if not given
    #[arg(long, value_name = "NAME", requires = "data")]
    split: Option<String>,
    /// Of a file: its two columns of texts, queries and documents or two sentences; the first two if not given
    #[arg(long, value_name = "NAME", num_args = 2, requires = "data")]
    columns: Vec<String>,
    /// Of a file of pairs: the column with their similarity
    #[arg(long, value_name = "NAME", requires = "data")]
    score: Option<String>,
    /// Of a sentence encoder: what linear layers multiply, f32 or bf16
    #[arg(long, value_parser = crate::bench::named::<Precision>, requires = "data")]
    precision: Option<Precision>,
}

/// Opens a sentence encoder, and tells what is to be known about it.
pub(crate) fn open_encoder(
    folder: &Path,
    device: &str,
    precision: Precision,
) -> Result<SentenceEncoder, Failure> {
    let name = device.parse()?;
    let device = engine::open(name)?;
    engine::check_precision(name, &device, precision)?;
    let encoder = SentenceEncoder::open(folder, &device)?;
    warn(&encoder.folder.warnings);
    Ok(encoder)
}

/// Reads a file of texts, and tells what was left out.
pub(crate) fn read(file: &Path, columns: Vec<String>) -> Result<TextSet, Failure> {
    let (set, warnings) = text::read(file, &ReadOptions { columns, ..ReadOptions::default() })?;
    warn(&warnings);
    if set.is_empty() {
        return Err(Failure::from(anyhow::Error::msg(format!("{}: it holds no text", file.display()))));
    }
    Ok(set)
}

/// Scores the sentence encoder in `folder`.
pub(crate) fn evaluate(
    folder: &Path,
    data: &Data,
    root: Option<&Path>,
    device: &str,
    json: bool,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    let name = data.data.as_deref().ok_or_else(|| {
        Failure::usage(format!(
            "{} is the folder of a sentence encoder: say what to score it on, --data sts, --data senteval, the name of a set or a path",
            folder.display()
        ))
    })?;
    let root = root.unwrap_or(Path::new("."));
    let path = Path::new(name);
    let beir = path.join("corpus.jsonl").is_file() || path.join("corpus.jsonl.gz").is_file();
    let given = [
        ("--split", data.split.is_some(), beir),
        ("--columns", !data.columns.is_empty(), path.is_file()),
        ("--score", data.score.is_some(), path.is_file()),
    ];
    if let Some((option, ..)) = given.iter().find(|(_, given, read)| *given && !read) {
        let what = if *option == "--split" { "a folder in BEIR's layout" } else { "a file" };
        return Err(Failure::usage(format!("{option} goes with {what}, and `{name}` is none")));
    }
    if path.is_dir() && !beir {
        return Err(Failure::usage(format!("{name} has no corpus.jsonl: it is not in BEIR's layout")));
    }
    let precision = data.precision.unwrap_or_default();
    let sets = match name {
        "sts" => opened_of(&SEVEN, root)?,
        "senteval" => opened_of(TRANSFER_NAMES, root)?,
        _ if beir => {
            let part = data.split.as_deref().unwrap_or("test");
            let (set, warnings) = text::open_beir(path, part, false)?;
            warn(&warnings);
            vec![(name, OpenedTexts::Retrieval(set))]
        }
        _ if path.is_file() => vec![(name, of_file(path, data)?)],
        _ => opened_of(&[name], root)?,
    };
    let mut encoder = open_encoder(folder, device, precision)?;
    let options = EncodeOptions { precision, ..EncodeOptions::default() };
    let mut scoring = Scoring { encoder: &mut encoder, options, display: &Terminal, cancellation };
    let mut scores = Map::new();
    for (name, set) in &sets {
        scores.extend(score(&mut scoring, name, set)?);
    }
    let all: &[&str] = match name {
        "sts" => &SEVEN,
        "senteval" => TRANSFER_NAMES,
        _ => &[],
    };
    if !all.is_empty() {
        let values: Option<Vec<f64>> = all.iter().map(|name| scores.get(*name)?.as_f64()).collect();
        let mean = values.map(|values| values.iter().sum::<f64>() / values.len() as f64);
        for name in all {
            scores.entry(*name).or_insert(Value::Null);
        }
        scores.insert("mean".to_owned(), json!(mean));
    }
    if json { say(Value::Object(scores)) } else { say(table(&scores)) }
}

/// The sets of these names that are there; at least one is.
fn opened_of<'a>(names: &[&'a str], root: &Path) -> Result<Vec<(&'a str, OpenedTexts)>, Failure> {
    let (mut found, mut absent) = (Vec::new(), Vec::new());
    for name in names {
        match text::open(name, root) {
            Ok((set, warnings)) => {
                warn(&warnings);
                found.push((*name, set));
            }
            Err(DataError::NoTexts { .. }) if names.len() > 1 => absent.push(*name),
            Err(error) => return Err(error.into()),
        }
    }
    if found.is_empty() {
        return Err(Failure::usage(format!(
            "none of {} is below {}; --data-root DIR says where they are",
            names.join(", "),
            root.display()
        )));
    }
    if !absent.is_empty() {
        warn(&[format!(
            "{} are not below {}: their scores, and the mean, are missing",
            absent.join(", "),
            root.display()
        )]);
    }
    Ok(found)
}

/// What a file of pairs is: scored pairs where it names a score, else queries with a document each.
fn of_file(path: &Path, data: &Data) -> Result<OpenedTexts, Failure> {
    let options =
        ReadOptions { columns: data.columns.clone(), score: data.score.clone(), ..ReadOptions::default() };
    let (set, warnings) = text::read(path, &options)?;
    warn(&warnings);
    let Some(scores) = &set.scores else { return Ok(OpenedTexts::Texts(set)) };
    let (first, second) = two(&set)?;
    let pairs = (0..set.len()).map(|row| (text_of(&set, first, row), text_of(&set, second, row)));
    let pairs: Vec<(String, String)> = pairs.collect();
    let subsets = vec![("all".to_owned(), pairs.len())];
    Ok(OpenedTexts::Sts(Sts { name: set.name.clone(), scores: scores.clone(), pairs, subsets }))
}

fn text_of(set: &TextSet, column: usize, row: usize) -> String {
    let column = &set.columns[column];
    column.texts.get(column.range(row).start).to_owned()
}

/// The first two columns of a set.
fn two(set: &TextSet) -> Result<(usize, usize), Failure> {
    if set.columns.len() < 2 {
        return Err(Failure::usage(format!(
            "`{}` has one column of texts, and pairs need two; --columns names them",
            set.name
        )));
    }
    Ok((0, 1))
}

/// The scores of one set.
fn score(scoring: &mut Scoring<'_>, name: &str, set: &OpenedTexts) -> Result<Map<String, Value>, Failure> {
    let one = |value: f64| {
        let name =
            Path::new(name).file_name().map_or(name.to_owned(), |name| name.to_string_lossy().into_owned());
        Map::from_iter([(name, json!(value))])
    };
    Ok(match set {
        OpenedTexts::Sts(sts) => one(scoring.similarity(sts)?),
        OpenedTexts::Retrieval(data) => retrieval(scoring, data)?,
        OpenedTexts::Transfer(task) => one(scoring.classification(&of_task(task), Seed(1111))?),
        OpenedTexts::Texts(texts) if !is_classified(texts) => retrieval(scoring, &of_pairs(texts)?)?,
        OpenedTexts::Texts(texts) => {
            one(scoring.classification(&classification(&[texts], None), Seed(1111))?)
        }
        _ => return Err(Failure::usage(format!("`{name}` is of a kind that is not scored"))),
    })
}

fn retrieval(scoring: &mut Scoring<'_>, data: &Retrieval) -> Result<Map<String, Value>, Failure> {
    let RetrievalResult { encoder, bm25 } = scoring.retrieval(data)?;
    let keys = |scores: &lookalike_metrics::RetrievalScores| {
        json!({
            "ndcg@1": scores.ndcg_at_1, "ndcg@10": scores.ndcg_at_10, "ndcg@100": scores.ndcg_at_100, "mrr@10": scores.mrr_at_10,
            "map": scores.map, "recall@10": scores.recall_at_10, "recall@100": scores.recall_at_100,
        })
    };
    let mut all = keys(&encoder);
    all["queries"] = json!(encoder.queries);
    all["documents"] = json!(data.documents.len());
    all["bm25"] = keys(&bm25);
    Ok(all.as_object().cloned().unwrap_or_default())
}

/// Pairs as a retrieval set: each different text of the second column is a document, each of the first a query, and a document is
/// relevant to a query where any row has both.
fn of_pairs(set: &TextSet) -> Result<Retrieval, Failure> {
    let (first, second) = two(set)?;
    let (mut queries, mut documents) = (Distinct::default(), Distinct::default());
    let mut judgements = Vec::new();
    for row in 0..set.len() {
        let query = queries.place(set.columns[first].row(row).next().unwrap_or_default());
        for document in set.columns[second].row(row) {
            judgements.push((query, documents.place(document)));
        }
    }
    judgements.sort_unstable();
    judgements.dedup();
    let judgements =
        judgements.into_iter().map(|(query, document)| Judgement { query, document, grade: 1 }).collect();
    // No query has the id of a document.
    let (queries, documents) = (queries.identified("query"), documents.identified("document"));
    Ok(Retrieval { part: "all".to_owned(), documents, queries, judgements })
}

/// Texts by number, each different one once.
#[derive(Default)]
struct Distinct {
    places: HashMap<String, u32>,
    texts: Texts,
}

impl Distinct {
    fn place(&mut self, text: &str) -> u32 {
        let next = self.texts.len() as u32;
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        self.places.insert(text.to_owned(), next);
        self.texts.push(text);
        next
    }

    fn identified(self, what: &str) -> Identified {
        let ids = (0..self.texts.len()).map(|place| format!("{what} {place}")).collect();
        Identified { ids, texts: self.texts }
    }
}

/// Whether rows are to be classified: single texts with a class, or pairs that are of one of two kinds, as questions that ask the same or
/// do not. Pairs of which the class tells only what they are about are retrieved.
fn is_classified(set: &TextSet) -> bool {
    let classes = set.labels.as_ref().map(|labels| labels.names.as_slice());
    classes.is_some_and(|names| set.columns.len() == 1 || names == ["0", "1"])
}

/// A transfer task: those with a part to test on by that, the others by folds.
fn of_task(task: &Transfer) -> Classification<'_> {
    let parts: Vec<&TextSet> = std::iter::once(&task.train).chain(&task.test).collect();
    let train = task.test.is_some().then(|| task.train.len());
    classification(&parts, train)
}

/// Rows with classes: the first `train` of them to learn from, or folds of all.
fn classification<'a>(parts: &[&'a TextSet], train: Option<usize>) -> Classification<'a> {
    let mut names: Vec<&str> = Vec::new();
    let (mut texts, mut labels) = (Vec::new(), Vec::new());
    for part in parts {
        for row in 0..part.len() {
            texts.push(part.row(row));
            let label = part.labels.as_ref().map_or("", |labels| &labels.names[labels.rows[row] as usize]);
            let known = names.iter().position(|name| *name == label);
            labels.push(known.unwrap_or_else(|| {
                names.push(label);
                names.len() - 1
            }) as u32);
        }
    }
    Classification { texts, labels, classes: names.len(), train }
}

fn table(scores: &Map<String, Value>) -> Table {
    let mut table = Table::default();
    for (name, value) in scores {
        match value {
            Value::Object(inner) => {
                for (key, value) in inner {
                    table.row(format!("{name} {key}"), number(value));
                }
            }
            value => table.row(name, number(value)),
        }
    }
    table
}

fn number(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::Number(number) if number.is_f64() => format!("{:.5}", number.as_f64().unwrap_or_default()),
        other => other.to_string(),
    }
}
