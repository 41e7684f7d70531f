//! What the commands do with the folder of a sentence encoder.

use std::path::{Path, PathBuf};

use lookalike_base::Seed;
use lookalike_base::progress::Cancellation;
use lookalike_data::DataError;
use lookalike_data::text::{
    self, InvalidUtf8, OpenedTexts, ReadOptions, Retrieval, Sts, TRANSFER_NAMES, TextSet, Transfer,
};
use lookalike_learn::engine::{self, Precision};
use lookalike_learn::sentence::score::{Classification, RetrievalResult, Scoring};
use lookalike_learn::sentence::{EncodeOptions, SentenceEncoder};
use lookalike_metrics::RetrievalScores;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::say;
use crate::progress::Terminal;
use crate::run::warn;
use crate::table::Table;

/// The sets whose mean is the figure by which sentence encoders are compared.
const SEVEN: [&str; 7] = ["sts12", "sts13", "sts14", "sts15", "sts16", "stsb", "sickr"];

/// What the folder of a sentence encoder is scored on.
#[derive(clap::Args)]
pub(crate) struct ScoredOn {
    /// What to score on. For a run: another data set, with its folder as --data-root. For a sentence encoder: the name of a set, `sts` or
    /// `senteval` (seven sets each), or the path of a folder in BEIR's layout or of a file of pairs
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) data: Option<String>,
    /// For a folder in BEIR's layout: the part of its judgements to score on [default: test]
    #[arg(long, value_name = "NAME", requires = "data")]
    split: Option<String>,
    /// For a file: its two columns of texts (queries and documents, or two sentences), or one column with --label [default: the first two]
    #[arg(long, value_name = "NAME", num_args = 1..=2, requires = "data")]
    columns: Vec<String>,
    /// For a file of pairs: the column that holds their similarity
    #[arg(long, value_name = "NAME", requires = "data")]
    score: Option<String>,
    /// For a file: the column that holds the class of each row, which is then cross-validated
    #[arg(long, value_name = "NAME", requires = "data", conflicts_with = "score")]
    label: Option<String>,
    /// For a file: what to do with bytes that are not UTF-8, error or replace
    #[arg(long, value_parser = crate::bench::named::<InvalidUtf8>, requires = "data")]
    invalid_utf8: Option<InvalidUtf8>,
    /// For a sentence encoder: the numbers that linear layers multiply, f32 or bf16
    #[arg(long, value_parser = crate::bench::named::<Precision>, requires = "data")]
    precision: Option<Precision>,
}

impl ScoredOn {
    /// An option that is given and goes with the folder of a sentence encoder alone.
    pub(crate) fn of_folders_alone(&self) -> Option<&'static str> {
        let given = [
            ("--split", self.split.is_some()),
            ("--columns", !self.columns.is_empty()),
            ("--score", self.score.is_some()),
            ("--label", self.label.is_some()),
            ("--invalid-utf8", self.invalid_utf8.is_some()),
            ("--precision", self.precision.is_some()),
        ];
        given.iter().find(|(_, given)| *given).map(|(option, _)| *option)
    }
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

/// Reads a column of a file of texts, the first where none is named, and tells what was left out.
pub(crate) fn read(file: &Path, column: Option<&str>, invalid_utf8: InvalidUtf8) -> Result<TextSet, Failure> {
    let columns = column.map(str::to_owned).into_iter().collect();
    let options = ReadOptions { columns, first_only: true, invalid_utf8, ..ReadOptions::default() };
    let (set, warnings) = text::read(file, &options)?;
    warn(&warnings);
    if set.is_empty() {
        return Err(Failure::from(anyhow::Error::msg(format!("{}: it holds no text", file.display()))));
    }
    Ok(set)
}

/// Scores the sentence encoder in `folder`.
pub(crate) fn evaluate(
    folder: &Path,
    data: &ScoredOn,
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
    let precision = data.precision.unwrap_or_default();
    let known =
        |name: &str| text::list().iter().any(|set| set.name == name.split('/').next().unwrap_or(name));
    let by_path = !matches!(name, "sts" | "senteval") && !known(name);
    let given = [
        ("--split", data.split.is_some()),
        ("--columns", !data.columns.is_empty()),
        ("--score", data.score.is_some()),
        ("--label", data.label.is_some()),
        ("--invalid-utf8", data.invalid_utf8.is_some()),
    ];
    if let Some((option, _)) = given.iter().find(|(_, given)| *given && !by_path) {
        let hint =
            if *option == "--split" { "; a part of a named set is named with it, as quora/test" } else { "" };
        return Err(Failure::usage(format!(
            "{option} goes with a path, and `{name}` is the name of a set{hint}"
        )));
    }
    let sets = match name {
        "sts" => opened_of(&SEVEN, root)?,
        "senteval" => opened_of(TRANSFER_NAMES, root)?,
        _ if by_path => vec![(name, of_path(name, root, data)?)],
        _ => opened_of(&[name], root)?,
    };
    let mut encoder = open_encoder(folder, device, precision)?;
    let options = EncodeOptions { precision, ..EncodeOptions::default() };
    let mut scoring = Scoring { encoder: &mut encoder, options, display: &Terminal, cancellation, full: 0 };
    let mut scores: Vec<(String, Value)> = Vec::new();
    for (name, set) in &sets {
        scores.extend(score(&mut scoring, name, set).map_err(|failure| failure.about(name))?);
    }
    let full = scoring.full;
    let all: &[&str] = match name {
        "sts" => &SEVEN,
        "senteval" => TRANSFER_NAMES,
        _ => &[],
    };
    if !all.is_empty() {
        let value = |name: &&str| {
            let found = scores.iter().find(|(own, _)| own == name);
            ((*name).to_owned(), found.map_or(Value::Null, |(_, value)| value.clone()))
        };
        let mut ordered: Vec<(String, Value)> = all.iter().map(value).collect();
        let values: Option<Vec<f64>> = ordered.iter().map(|(_, value)| value.as_f64()).collect();
        let mean = values.map(|values| values.iter().sum::<f64>() / values.len() as f64);
        ordered.push(("mean".to_owned(), json!(mean)));
        scores = ordered;
    }
    warn_of_length(&encoder, full);
    if json { say(Value::Object(scores.into_iter().collect())) } else { say(table(&scores)) }
}

/// Says how many texts were as long as texts may be.
pub(crate) fn warn_of_length(encoder: &SentenceEncoder, full: usize) {
    if let (Some(most), true) = (encoder.folder.max_length, full > 0) {
        warn(&[format!(
            "{full} of the texts have {most} tokens, as many as are read; longer ones were cut there"
        )]);
    }
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

/// What lies at a path, below `root` or from here: scored pairs where a score is named, texts with classes, or queries with a document each.
fn of_path(name: &str, root: &Path, data: &ScoredOn) -> Result<OpenedTexts, Failure> {
    let path =
        [root.join(name), PathBuf::from(name)].into_iter().find(|path| path.exists()).ok_or_else(|| {
            let known: Vec<&str> = text::list().iter().map(|set| set.name).collect();
            Failure::usage(format!(
                "`{name}` is no set, and no path below {} or from here; sets are sts, senteval, {}",
                root.display(),
                known.join(", ")
            ))
        })?;
    let options = ReadOptions {
        columns: data.columns.clone(),
        score: data.score.clone(),
        label: data.label.clone(),
        invalid_utf8: data.invalid_utf8.unwrap_or_default(),
        ..ReadOptions::default()
    };
    let (opened, warnings) = text::open_at(&path, data.split.as_deref(), &options)?;
    warn(&warnings);
    let OpenedTexts::Texts(set) = opened else {
        if options != ReadOptions::default() {
            return Err(Failure::usage(format!(
                "--columns, --score, --label and --invalid-utf8 go with a file of rows, and {} is none",
                path.display()
            )));
        }
        return Ok(opened);
    };
    Ok(Sts::of_rows(&set)?.map_or(OpenedTexts::Texts(set), OpenedTexts::Sts))
}

/// The scores of one set.
fn score(scoring: &mut Scoring<'_>, name: &str, set: &OpenedTexts) -> Result<Vec<(String, Value)>, Failure> {
    let one = |value: f64| vec![(name.to_owned(), json!(value))];
    Ok(match set {
        OpenedTexts::Sts(sts) => one(scoring.similarity(sts)?),
        OpenedTexts::Retrieval(data) => retrieval(scoring, data)?,
        OpenedTexts::Transfer(task) => one(scoring.classification(&of_task(task), Seed(1111))?),
        OpenedTexts::Texts(texts) if !is_classified(texts) => {
            retrieval(scoring, &Retrieval::of_pairs(texts)?)?
        }
        OpenedTexts::Texts(texts) => {
            one(scoring.classification(&classification(&[texts], None), Seed(1111))?)
        }
        _ => return Err(Failure::usage(format!("`{name}` is of a kind that is not scored"))),
    })
}

fn retrieval(scoring: &mut Scoring<'_>, data: &Retrieval) -> Result<Vec<(String, Value)>, Failure> {
    let RetrievalResult { encoder, bm25 } = scoring.retrieval(data)?;
    let keys = |scores: &RetrievalScores| scores.named().map(|(name, score)| (name.to_owned(), json!(score)));
    let mut all = Vec::from(keys(&encoder));
    all.push(("queries".to_owned(), json!(encoder.queries)));
    all.push(("documents".to_owned(), json!(data.documents.len())));
    all.push(("bm25".to_owned(), Value::Object(keys(&bm25).into_iter().collect())));
    Ok(all)
}

/// Whether rows are to be classified: single texts with a class, or pairs of two kinds, as questions that ask the same or do not. Pairs of which the class tells only what they are about are retrieved.
fn is_classified(set: &TextSet) -> bool {
    let classes = set.labels.as_ref().map(|labels| labels.names.as_slice());
    classes.is_some_and(|names| set.columns.len() == 1 || names.len() == 2)
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

/// The scores in their order, what BM25 gets of a score beside it.
fn table(scores: &[(String, Value)]) -> Table {
    let beside = scores.iter().find_map(|(name, value)| value.as_object().map(|inner| (name, inner)));
    let mut table = Table::default();
    for (name, value) in scores.iter().filter(|(_, value)| !value.is_object()) {
        let other =
            beside.and_then(|(other, inner)| Some(format!("   ({other} {})", number(inner.get(name)?))));
        table.row(name, number(value) + &other.unwrap_or_default());
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
