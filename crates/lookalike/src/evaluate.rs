//! `lookalike evaluate`, and the tables of evaluations.

use std::path::PathBuf;

use lookalike_base::progress::Cancellation;
use lookalike_learn::evaluate::{BatchScores, Geometry};
use lookalike_learn::experiment::{
    AnyExperiment, Baselines, Domain, Evaluation, EvaluationScope, Experiment, GraphEvaluation,
    ImageEvaluation, MODEL, NodeEvaluation,
};

use crate::failure::Failure;
use crate::output::{say, write_json};
use crate::run::{RunOptions, warn, with_any};
use crate::table::Table;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A finished run
    run: PathBuf,
    /// Leave out the linear probe; for runs on images and nodes
    #[arg(long)]
    no_probe: bool,
    /// What to measure beside the trained encoder; for runs on graphs and nodes
    #[arg(long, value_enum)]
    beside: Option<Beside>,
    /// Print one line of JSON instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: RunOptions,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Beside {
    /// The encoder before training; label histograms, numbers of nodes and edges; features of nodes
    All,
    /// The encoder before training
    Untrained,
    /// Nothing
    Nothing,
}

pub(crate) fn run(arguments: &Arguments, cancellation: &Cancellation) -> Result<(), Failure> {
    let experiment = arguments.options.open_run(&arguments.run)?;
    match (&experiment, arguments) {
        (AnyExperiment::Images(_), Arguments { beside: Some(_), .. }) => {
            return Err(Failure::usage(
                "--beside applies only to runs on graphs and nodes; this run is on images",
            ));
        }
        (AnyExperiment::GraphViews(_) | AnyExperiment::Mvgrl(_), Arguments { no_probe: true, .. }) => {
            return Err(Failure::usage(
                "--no-probe applies only to runs on images and nodes; this run is on graphs, which have no probe",
            ));
        }
        (
            AnyExperiment::Nodes(_),
            Arguments { no_probe: true, beside: Some(Beside::All | Beside::Untrained), .. },
        ) => {
            return Err(Failure::usage(
                "--beside all and --beside untrained need the linear probe for a run on nodes: leave out --no-probe",
            ));
        }
        _ => {}
    }
    with_any!(&experiment, experiment => evaluate(arguments, experiment, cancellation))
}

fn evaluate<D: Domain>(
    arguments: &Arguments,
    experiment: &Experiment<D>,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    let (network, plan) = experiment.trained(&arguments.run)?;
    if !arguments.run.join(MODEL).exists() {
        let run = arguments.run.display();
        warn(&[format!("{run} has not finished: what is scored is its newest checkpoint")]);
    }
    let baselines = match arguments.beside {
        None | Some(Beside::All) => Baselines::All,
        Some(Beside::Untrained) => Baselines::Untrained,
        Some(Beside::Nothing) => Baselines::None,
    };
    let scope = EvaluationScope { probe: !arguments.no_probe, baselines, ..EvaluationScope::FULL };
    let evaluation = experiment
        .evaluate(&network, &plan, scope, cancellation)
        .map_err(Failure::or_interrupted("nothing was written"))?;
    write_json(&arguments.run.join("evaluation.json"), &evaluation)?;
    if arguments.json {
        return say(serde_json::to_string(&evaluation)?);
    }
    match evaluation {
        Evaluation::Images(evaluation) => say(images(&evaluation)),
        Evaluation::Graphs(evaluation) => say(graphs(&evaluation)),
        Evaluation::Nodes(evaluation) => say(nodes(&evaluation)),
    }
}

/// The table after training.
pub(crate) fn after_training(evaluation: &Evaluation) -> Table {
    let mut table = Table::default();
    match evaluation {
        Evaluation::Images(evaluation) => {
            neighbors(&mut table, evaluation, "encoder after training");
            batches(&mut table, &evaluation.scores.batches);
        }
        Evaluation::Graphs(evaluation) => {
            accuracies(&mut table, evaluation);
            batches(&mut table, &evaluation.batches);
        }
        Evaluation::Nodes(evaluation) => {
            geometry(&mut table, &evaluation.geometry);
            batches(&mut table, &evaluation.batches);
        }
    }
    table
}

fn images(evaluation: &ImageEvaluation) -> Table {
    let scores = &evaluation.scores;
    let mut table = Table::default();
    table.row("layer", evaluation.layer);
    neighbors(&mut table, evaluation, "encoder");
    table.share("  with BatchNorm statistics as training left them", &evaluation.knn_training_statistics);
    if let Some(linear) = &scores.linear {
        let labels =
            scores.linear_labels_per_class.map_or("all labels".to_owned(), |n| format!("{n} labels a class"));
        let rate = scores.linear_rate.map_or(String::new(), |rate| format!(", rate {rate}"));
        table.share(format!("linear probe accuracy ({labels}{rate})"), linear);
    }
    table.number("alignment (less is better)", &evaluation.alignment);
    let [hardest, between, with_query] = evaluation.proxy.proxy_mixing;
    let negatives = evaluation.proxy.proxy_negatives;
    table.share(format!("proxy task accuracy, {negatives} negatives"), &evaluation.proxy.proxy_accuracy);
    table.share(
        format!("  with mixtures beside them ({hardest}, {between}, {with_query})"),
        &evaluation.proxy.proxy_accuracy_mixed,
    );
    geometry(&mut table, &scores.geometry);
    batches(&mut table, &scores.batches);
    table
}

fn graphs(evaluation: &GraphEvaluation) -> Table {
    let mut table = Table::default();
    table.row("layer", evaluation.layer);
    accuracies(&mut table, evaluation);
    geometry(&mut table, &evaluation.geometry);
    batches(&mut table, &evaluation.batches);
    table
}

fn nodes(evaluation: &NodeEvaluation) -> Table {
    let mut table = Table::default();
    table.row("layer", evaluation.layer);
    let (train, test) = (evaluation.train_nodes, evaluation.test_nodes);
    let probe = format!("linear probe accuracy ({train} nodes to train on, {test} to test)");
    let rate = evaluation.linear_rate.map_or(String::new(), |rate| format!(", rate {rate}"));
    for (what, score) in [
        ("features".to_owned(), &evaluation.linear_features),
        ("encoder before training".to_owned(), &evaluation.linear_untrained),
        (format!("encoder{rate}"), &evaluation.linear),
    ] {
        if let Some(score) = score {
            table.share(format!("{probe}: {what}"), score);
        }
    }
    geometry(&mut table, &evaluation.geometry);
    batches(&mut table, &evaluation.batches);
    table
}

fn neighbors(table: &mut Table, evaluation: &ImageEvaluation, trained: &str) {
    let knn = format!("kNN accuracy (k = {}, t = {})", evaluation.knn_k, evaluation.knn_temperature);
    table.share(format!("{knn}: pixels"), &evaluation.knn_pixels);
    table.share(format!("{knn}: encoder before training"), &evaluation.knn_untrained);
    table.share(format!("{knn}: {trained}"), &evaluation.scores.knn);
}

fn accuracies(table: &mut Table, evaluation: &GraphEvaluation) {
    let machine = serde_json::to_value(evaluation.kernel).ok();
    let machine = machine.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
    let svm = format!("SVM accuracy ({machine}, ten folds, {} fold seeds)", evaluation.fold_seeds);
    if let Some(spread) = evaluation.svm.spread() {
        table.row(format!("{svm}: most frequent class"), format!("{:6.2} %", 100.0 * spread.majority));
    }
    if let Some(trivial) = &evaluation.trivial {
        table.row(format!("{svm}: numbers of nodes and edges"), trivial.svm_sizes.to_string());
        table.row(format!("{svm}: label histogram"), trivial.svm_labels.to_string());
    }
    if let Some(untrained) = &evaluation.svm_untrained {
        table.row(format!("{svm}: encoder before training"), untrained.to_string());
    }
    table.row(format!("{svm}: encoder"), evaluation.svm.to_string());
    if let Some(training) = &evaluation.svm_training_statistics {
        table.row("  with BatchNorm statistics as training left them", training.to_string());
    }
    if let Some(spread) = evaluation.svm.spread().filter(|spread| spread.unfinished > 0) {
        table.row("fits that ended before the solver's tolerance", spread.unfinished.to_string());
    }
}

fn geometry(table: &mut Table, geometry: &Geometry) {
    table.number("uniformity (less is better)", &geometry.uniformity);
    table.number("effective rank, centred", &geometry.effective_rank);
    table.number("RankMe, not centred", &geometry.rank_me);
    table.number("deviation a dimension", &geometry.deviation);
}

fn batches(table: &mut Table, batches: &BatchScores) {
    table.number("hardness of the last epoch's batches, above uniform", &batches.hardness);
    table.share("false negatives in them", &batches.false_negative_rate);
    table.share("false negatives in uniform batches", &batches.false_negative_rate_uniform);
}
