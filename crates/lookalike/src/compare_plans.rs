//! `lookalike compare-plans`

use std::path::PathBuf;

use lookalike_base::{Alone, Cancellation, ProgressDisplay, RowSource, Seed, Watch};
use lookalike_sampling::{ComparisonOptions, PairRows, PlanComparison, Scoring, compare_plans};

use crate::embeddings::{Embeddings, classes, interrupted};
use crate::failure::Failure;
use crate::output::{check_outputs, say, write_json};
use crate::progress::Terminal;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The embeddings, one instance per row: a file or folder, as `lookalike sample` takes it
    embeddings: PathBuf,
    /// Instances per batch, B
    #[arg(long, default_value_t = 256)]
    batch_size: usize,
    /// A class per instance, −1 for none, to measure false negatives. From a table the column `label`, or FILE.csv:COLUMN
    #[arg(long, value_name = "LABELS.npy|TABLE.csv")]
    labels: Option<PathBuf>,
    /// How to compare instances that are pairs of a query and a document, whose vectors lie side by side in a row
    #[arg(long, value_enum)]
    pairs: Option<PairRows>,
    /// The vectors of the documents, where EMBEDDINGS holds those of the queries alone
    #[arg(long, value_name = "DOCUMENTS", requires = "pairs")]
    documents: Option<PathBuf>,
    /// The numbers in which instances are compared
    #[arg(long, value_enum, default_value = "f32")]
    scoring: Scoring,
    /// Seed of every random number
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where to write the same as JSON
    #[arg(long, value_name = "REPORT.json")]
    report: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, cancellation: &Cancellation) -> Result<(), Failure> {
    let Arguments { embeddings: path, documents, labels, report, .. } = arguments;
    let inputs = [Some(path), documents.as_ref(), labels.as_ref()];
    let inputs: Vec<_> = inputs.into_iter().flatten().map(PathBuf::as_path).collect();
    check_outputs(&inputs, &report.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
    let embeddings = Embeddings::open(path, documents.as_deref(), arguments.pairs)?;
    let labels = labels.as_deref().map(|path| classes(path, embeddings.len())).transpose()?;
    embeddings.check(&Alone, cancellation)?;
    let options = ComparisonOptions {
        batch_size: arguments.batch_size,
        pairs: arguments.pairs,
        scoring: arguments.scoring,
        seed: Seed(arguments.seed),
    };
    let progress = Terminal.start(PlanComparison::MOST, "plans");
    let watch = Watch { progress: &*progress, cancellation };
    let found = compare_plans(&embeddings, labels.as_deref(), options, watch);
    let found = found.map_err(|error| interrupted(error, "nothing was written"))?;
    progress.finish();
    say(table(&found))?;
    if let Some(path) = report {
        write_json(path, &found)?;
    }
    Ok(())
}

fn table(found: &[PlanComparison]) -> String {
    let width = found.iter().map(|arm| arm.name.chars().count()).max().unwrap_or(0);
    let cell = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
    };
    let row = |name: &str, cells: [String; 6]| {
        let cells = cells.map(|cell| format!("{cell:>11}"));
        format!("{name:width$}{}", cells.concat())
    };
    let titles = ["hardness", "share", "false neg.", "reach", "build s", "plan s"].map(str::to_owned);
    let of = |arm: &PlanComparison| {
        let cells = [
            cell(Some(arm.hardness), 4),
            cell(arm.share, 2),
            cell(arm.false_negatives, 4),
            cell(Some(arm.reach), 3),
            cell(Some(arm.build_seconds), 2),
            cell(Some(arm.plan_seconds), 2),
        ];
        row(&arm.name, cells)
    };
    std::iter::once(row("", titles)).chain(found.iter().map(of)).collect::<Vec<String>>().join("\n")
}
