//! `lookalike evaluate`

use std::path::PathBuf;

use lookalike_base::progress::Cancellation;

use crate::failure::Failure;
use crate::output::{say, write_json};
use crate::run::Place;
use crate::table::Table;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A finished run
    run: PathBuf,
    /// Leave out the linear probe
    #[arg(long)]
    no_probe: bool,
    /// Print one line of JSON instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(arguments: &Arguments, cancellation: &Cancellation) -> Result<(), Failure> {
    let experiment = arguments.place.open_run(&arguments.run)?;
    let (network, plan) = experiment.trained(&arguments.run)?;
    let interrupted = || Failure::Interrupted("nothing was written".to_owned());
    let evaluation =
        experiment.evaluate(&network, &plan, !arguments.no_probe, cancellation)?.ok_or_else(interrupted)?;
    write_json(&arguments.run.join("evaluation.json"), &evaluation)?;
    if arguments.json {
        return say(serde_json::to_string(&evaluation)?);
    }
    let scores = &evaluation.scores;
    let mut table = Table::default();
    table.row("layer", evaluation.layer);
    let knn = format!("kNN accuracy (k = {}, t = {})", evaluation.knn_k, evaluation.knn_temperature);
    table.share(format!("{knn}: pixels"), &evaluation.knn_pixels);
    table.share(format!("{knn}: encoder before training"), &evaluation.knn_untrained);
    table.share(format!("{knn}: encoder"), &scores.knn);
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
    table.number("uniformity (less is better)", &scores.uniformity);
    table.number("effective rank, centred", &scores.effective_rank);
    table.number("RankMe, not centred", &scores.rank_me);
    table.number("deviation a dimension", &scores.deviation);
    table.number("hardness of the last epoch's batches, above uniform", &scores.hardness);
    table.share("false negatives in them", &scores.false_negative_rate);
    table.share("false negatives in uniform batches", &scores.false_negative_rate_uniform);
    say(table)
}
