//! `lookalike mine`

mod input;

use std::path::{Path, PathBuf};

use lookalike_base::{Cancellation, ProgressDisplay, RowSource, Seed, Watch};
use lookalike_learn::engine::Precision;
use lookalike_metrics::MetricError;
use lookalike_metrics::mining::{Mined, MiningInput, MiningOptions, MiningStrategy, mine};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::output::{check_outputs, say, tell, write_lines};
use crate::progress::Terminal;
use crate::table::Table;
use input::Input;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Queries: embeddings as .npy or .safetensors, or texts as .txt, .csv, .tsv, .jsonl or .parquet; without DOCUMENTS a file of pairs
    queries: PathBuf,
    /// Documents, in the same way; row i answers query i, unless --qrels says otherwise
    documents: Option<PathBuf>,
    /// Where to write an object a pair: its query, its document, and a list of negatives; texts, or rows of embeddings
    #[arg(long, value_name = "PAIRS.jsonl")]
    out: PathBuf,
    /// Which documents answer which queries: ids and a grade, with tabs between, as BEIR has them; of embeddings rows from 0
    #[arg(long, value_name = "QRELS.tsv", requires = "documents")]
    qrels: Option<PathBuf>,
    /// The folder of a sentence encoder, which embeds texts
    #[arg(long, value_name = "FOLDER")]
    weights: Option<PathBuf>,
    /// Columns of queries and documents, the first two if not given; of two files, one of each
    #[arg(long, value_name = "NAME", num_args = 2)]
    columns: Vec<String>,
    /// Negatives a query
    #[arg(long, default_value_t = 3)]
    negatives: usize,
    /// Pass over so many of the most similar documents that would do
    #[arg(long, default_value_t = 0)]
    range_min: usize,
    /// Take none beyond so many that would do [default: range-min + negatives + most positives of a query; ten times the negatives
    /// with a margin or --max-score]
    #[arg(long)]
    range_max: Option<usize>,
    /// Leave out documents that are more similar than this
    #[arg(long, value_name = "SIMILARITY")]
    max_score: Option<f32>,
    /// Leave out documents that are less similar than this
    #[arg(long, value_name = "SIMILARITY")]
    min_score: Option<f32>,
    /// Leave out documents that are not at least this much less similar than the positive
    #[arg(long, value_name = "DIFFERENCE")]
    absolute_margin: Option<f32>,
    /// The same as a share of the positive's similarity: 0.05 leaves out those above 95 % of it
    #[arg(long, value_name = "SHARE")]
    relative_margin: Option<f32>,
    /// Which of those that would do are taken
    #[arg(long, value_enum, default_value = "top")]
    strategy: Strategy,
    /// Seed of random negatives [default: 0]
    #[arg(long)]
    seed: Option<u64>,
    /// Write scores too: the similarity of the positive, then of the negatives
    #[arg(long)]
    scores: bool,
    /// For texts: the numbers that linear layers multiply, f32 or bf16
    #[arg(long, value_parser = crate::bench::named::<Precision>, requires = "weights")]
    precision: Option<Precision>,
    /// For texts: the device that encodes them [default: cpu]
    #[arg(long, requires = "weights")]
    device: Option<String>,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Strategy {
    /// The most similar
    Top,
    /// Some at random
    Random,
}

impl Arguments {
    fn options(&self) -> Result<MiningOptions, Failure> {
        if self.seed.is_some() && self.strategy == Strategy::Top {
            return Err(Failure::usage("--seed goes with --strategy random: nothing else is drawn"));
        }
        let options = MiningOptions {
            negatives: self.negatives,
            range_min: self.range_min,
            range_max: self.range_max,
            max_score: self.max_score,
            min_score: self.min_score,
            absolute_margin: self.absolute_margin,
            relative_margin: self.relative_margin,
            strategy: match self.strategy {
                Strategy::Top => MiningStrategy::Top,
                Strategy::Random => MiningStrategy::Random,
            },
            seed: Seed(self.seed.unwrap_or(0)),
        };
        options.check().map_err(|error| Failure::usage(error.to_string()))?;
        Ok(options)
    }
}

pub(crate) fn run(arguments: &Arguments, cancellation: &Cancellation) -> Result<(), Failure> {
    let options = arguments.options()?;
    let Arguments { queries, documents, qrels, weights, out, .. } = arguments;
    let inputs = [Some(queries), documents.as_ref(), qrels.as_ref(), weights.as_ref()];
    let inputs: Vec<&Path> = inputs.into_iter().flatten().map(PathBuf::as_path).collect();
    check_outputs(&inputs, &[out])?;
    let input = Input::open(arguments, cancellation)?;
    let progress = Terminal.start(input.queries.len() as u64, "mining");
    let mined = mine(
        &MiningInput {
            queries: &input.queries,
            documents: &input.documents,
            relevant: &input.relevant,
            same_queries: &input.same_queries,
            same_documents: &input.same_documents,
        },
        &options,
        Watch { progress: &*progress, cancellation },
    );
    progress.finish();
    let mined = mined.map_err(interrupted)?;
    let written = pairs(&mined).count();
    write_lines(out, pairs(&mined).map(|pair| record(&input, &mined, pair, arguments.scores)))?;
    let found = summary(&mined, arguments.negatives, written);
    if arguments.json {
        say(Value::Object(found))?;
    } else {
        say(table(&mined, &found, arguments.negatives))?;
    }
    tell(format_args!("wrote {written} pairs to {}", out.display()));
    Ok(())
}

/// Why mining ended.
fn interrupted(error: MetricError) -> Failure {
    match error {
        MetricError::Cancelled => Failure::Interrupted("nothing was written".to_owned()),
        error => error.into(),
    }
}

/// A query that has negatives, by its place among those that were mined for, and one of its positives.
#[derive(Clone, Copy)]
struct Pair {
    at: usize,
    document: u32,
    similarity: f32,
}

fn pairs(mined: &Mined) -> impl Iterator<Item = Pair> {
    let with_negatives = (0..mined.queries.len()).filter(|at| !mined.negatives.list(*at).0.is_empty());
    with_negatives.flat_map(|at| {
        let (documents, similarities) = mined.positives.list(at);
        let both = documents.iter().zip(similarities);
        both.map(move |(document, similarity)| Pair { at, document: *document, similarity: *similarity })
    })
}

/// A text, or a row of embeddings.
#[derive(Serialize)]
#[serde(untagged)]
enum Name<'a> {
    Text(&'a str),
    Row(u32),
}

/// A line of the file. Members stand in this order, by which some programs know columns.
#[derive(Serialize)]
struct Record<'a> {
    query: Name<'a>,
    document: Name<'a>,
    negative: Vec<Name<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scores: Option<Vec<f32>>,
}

fn record<'a>(input: &'a Input, mined: &Mined, pair: Pair, scores: bool) -> Record<'a> {
    let name = |side: usize, row: u32| match &input.texts {
        Some(texts) => Name::Text(texts[side].get(row as usize)),
        None => Name::Row(row),
    };
    let (negatives, similarities) = mined.negatives.list(pair.at);
    Record {
        query: name(0, mined.queries[pair.at]),
        document: name(1, pair.document),
        negative: negatives.iter().map(|document| name(1, *document)).collect(),
        scores: scores
            .then(|| std::iter::once(pair.similarity).chain(similarities.iter().copied()).collect()),
    }
}

fn summary(mined: &Mined, wanted: usize, written: usize) -> Map<String, Value> {
    let [complete, fewer, none] = mined.counts(wanted);
    let found = json!({
        "queries": mined.queries.len(),
        "complete": complete,
        "fewer": fewer,
        "none": none,
        "unanswered": mined.unanswered,
        "pairs": written,
        "positive_similarity": mined.positives.mean(),
        "negative_similarity": mined.negatives.mean(),
        "left_out": mined.left_out,
    });
    if let Value::Object(found) = found { found } else { Map::new() }
}

fn table(mined: &Mined, found: &Map<String, Value>, wanted: usize) -> Table {
    let mut table = Table::default();
    let number = |name: &str| found[name].to_string();
    table.row("queries", number("queries"));
    table.row(format!("with {wanted} negatives"), number("complete"));
    table.row("with fewer", number("fewer"));
    table.row("with none, not written", number("none"));
    table.row("without a document, not written", number("unanswered"));
    let mean = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"));
    table.row("mean similarity to positives", mean(mined.positives.mean()));
    table.row("mean similarity to negatives", mean(mined.negatives.mean()));
    let left_out = mined.left_out;
    for (reason, count) in [
        ("that answer the query", left_out.relevant),
        ("by the absolute margin", left_out.absolute_margin),
        ("by the relative margin", left_out.relative_margin),
        ("by the greatest score", left_out.max_score),
        ("by the lowest score", left_out.min_score),
    ] {
        if count > 0 {
            table.row(format!("left out {reason}"), count.to_string());
        }
    }
    table
}
