//! The protocol of the graph papers on embeddings in files: prints folds and scores as JSON.
//!
//! `cargo run --release -p lookalike-metrics --example svm -- ROWS.npy LABELS.npy rbf|linear [SEED]`

#![expect(clippy::print_stdout, reason = "an example prints its result")]

use std::error::Error;
use std::time::Instant;

use lookalike_base::{Seed, Watch, npy};
use lookalike_metrics::{SvmKernel, SvmOptions, stratified_folds, svm_accuracy};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (rows, labels, kernel, seed) = match &arguments[..] {
        [rows, labels, kernel] => (rows, labels, kernel, 0),
        [rows, labels, kernel, seed] => (rows, labels, kernel, seed.parse()?),
        _ => return Err("svm ROWS.npy LABELS.npy rbf|linear [SEED]".into()),
    };
    let kernel = match kernel.as_str() {
        "rbf" => SvmKernel::Rbf,
        "linear" => SvmKernel::Linear,
        other => return Err(format!("{other} is no machine; there are rbf and linear").into()),
    };
    let rows = npy::read_rows(rows)?;
    let labels =
        npy::read_integers(labels)?.0.into_iter().map(u32::try_from).collect::<Result<Vec<_>, _>>()?;
    let classes = labels.iter().max().map_or(0, |label| *label as usize + 1);
    let options = SvmOptions::published(kernel, Seed(seed));
    let fold_of = stratified_folds(&labels, classes, options.folds, Some(options.seed))?;
    let began = Instant::now();
    let score = svm_accuracy(rows.rows(), &labels, classes, &options, Watch::default())?;
    let seconds = began.elapsed().as_secs_f64();
    println!("{}", serde_json::json!({ "fold_of": fold_of, "seconds": seconds, "score": score }));
    Ok(())
}
