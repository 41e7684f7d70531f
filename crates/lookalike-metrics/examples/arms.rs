//! Tables of an experiment's arms: every score's mean over the seeds, and its paired difference from the baseline's with the
//! 95 % t-interval.
//!
//! `cargo run --example arms -- FOLDER BASELINE [SCORE]`; with SCORE one Markdown table of that score alone. Each line of the folder's `results.jsonl` is
//! `{"set": …, "arm": …, "seed": …, "evaluation": {score: number or {"mean": number, …}, …}}`; the events of that run lie beside it
//! as `SET.ARM.SEED.events.jsonl`.

#![expect(clippy::print_stdout, reason = "it prints tables")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use lookalike_metrics::paired;
use serde_json::Value;

/// What is shown of an evaluation, and as what.
const SCORES: [(&str, &str); 28] = [
    ("svm", "SVM"),
    ("svm_training_statistics", "SVM, BatchNorm as training left it"),
    ("svm_untrained", "SVM, untrained encoder"),
    ("svm_labels", "SVM, label histograms"),
    ("svm_sizes", "SVM, nodes and edges"),
    ("knn_pixels", "kNN, pixels"),
    ("knn_untrained", "kNN, untrained encoder"),
    ("knn", "kNN"),
    ("knn_25", "kNN after 25 % of the steps"),
    ("knn_50", "kNN after 50 % of the steps"),
    ("knn_training_statistics", "kNN, BatchNorm as training left it"),
    ("linear_features", "linear probe, features"),
    ("linear_untrained", "linear probe, untrained encoder"),
    ("linear", "linear probe"),
    ("alignment", "alignment"),
    ("uniformity", "uniformity"),
    ("effective_rank", "effective rank"),
    ("hardness", "hardness, last epoch"),
    ("false_negative_rate", "false negatives"),
    ("false_negative_rate_uniform", "false negatives, uniform batches"),
    ("proxy_accuracy", "proxy accuracy, test views"),
    ("proxy_accuracy_mixed", "the same with mixtures"),
    ("training_proxy_accuracy", "proxy accuracy, last fifth of the run"),
    ("training_proxy_accuracy_mixed", "proxy accuracy with mixtures"),
    ("training_false_negatives", "false negatives, all candidates"),
    ("training_false_negatives_hardest", "false negatives, hardest"),
    ("training_false_negatives_parents", "false negatives, parents of mixtures"),
    ("seconds_a_step", "seconds a step, graphs included"),
];

/// By data set and arm, the evaluation of each seed, with what its events tell.
type Results = BTreeMap<String, BTreeMap<String, BTreeMap<u64, Value>>>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, baseline) = match &arguments[..] {
        [folder, baseline] => (folder, baseline),
        [folder, baseline, score] => return table(Path::new(folder), baseline, score),
        _ => return Err("give FOLDER and BASELINE, and a SCORE for its table alone".into()),
    };
    for (set, arms) in read(Path::new(folder))? {
        let uniform = arms.get(baseline).ok_or_else(|| format!("{set} has no arm {baseline}"))?;
        for (arm, seeds) in &arms {
            println!("{set}, {arm}, seeds {:?}", seeds.keys().collect::<Vec<_>>());
            for (score, name) in SCORES {
                show(name, score, seeds, if arm == baseline { None } else { Some(uniform) })?;
            }
            show_tenths(seeds);
        }
    }
    Ok(())
}

fn read(folder: &Path) -> Result<Results, Box<dyn Error>> {
    let mut results = Results::new();
    let path = folder.join("results.jsonl");
    for (line, text) in std::fs::read_to_string(&path)?.lines().enumerate() {
        let mut result: Value = serde_json::from_str(text)?;
        let text = |key: &str| result[key].as_str().map(str::to_owned);
        let (Some(set), Some(arm), Some(seed)) = (text("set"), text("arm"), result["seed"].as_u64()) else {
            return Err(format!("{}, line {}: no set, arm and seed", path.display(), line + 1).into());
        };
        let mut evaluation = result["evaluation"].take();
        add_events(&folder.join(format!("{set}.{arm}.{seed}.events.jsonl")), &mut evaluation)?;
        results.entry(set).or_default().entry(arm).or_default().insert(seed, evaluation);
    }
    Ok(results)
}

/// What is taken from `diagnostics` events, which older runs call `instruments`: the mean over the last fifth of the run.
const DIAGNOSTICS: [&str; 5] = [
    "proxy_accuracy",
    "proxy_accuracy_mixed",
    "false_negatives",
    "false_negatives_hardest",
    "false_negatives_parents",
];

/// Adds the time of a step, the hardness of the last epoch by tenth, and what the diagnostics showed at the end.
fn add_events(path: &Path, evaluation: &mut Value) -> Result<(), Box<dyn Error>> {
    let (mut begun, mut ended) = (None, None);
    let mut diagnostics: Vec<Value> = Vec::new();
    for line in std::fs::read_to_string(path)?.lines() {
        let mut event: Value = serde_json::from_str(line)?;
        match event["kind"].as_str() {
            Some("plan") if begun.is_none() => begun = event["time"].as_f64(),
            Some("step") => ended = event["time"].as_f64().zip(event["step"].as_f64()),
            Some("epoch") => evaluation["tenths"] = event["hardness_by_decile"].take(),
            Some("diagnostics" | "instruments") => diagnostics.push(event),
            _ => {}
        }
    }
    let last = diagnostics.split_off(diagnostics.len() - diagnostics.len().div_ceil(5));
    for name in DIAGNOSTICS {
        let values: Vec<f64> = last.iter().filter_map(|event| event[name].as_f64()).collect();
        if !values.is_empty() {
            evaluation[format!("training_{name}")] =
                (values.iter().sum::<f64>() / values.len() as f64).into();
        }
    }
    if let (Some(begun), Some((ended, steps))) = (begun, ended) {
        evaluation["seconds_a_step"] = ((ended - begun) / steps).into();
    }
    Ok(())
}

/// The hardness of the last epoch's tenths, each the mean over the seeds.
fn show_tenths(seeds: &BTreeMap<u64, Value>) {
    let tenth = |at: usize| -> Option<f64> {
        let values: Option<Vec<f64>> =
            seeds.values().map(|evaluation| evaluation["tenths"].get(at)?.as_f64()).collect();
        values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
    };
    let tenths: Option<Vec<String>> = (0..10).map(|at| Some(format!("{:.3}", tenth(at)?))).collect();
    if let Some(tenths) = tenths {
        println!("  {:36} {}", "hardness when planned, by tenth", tenths.join(" "));
    }
}

/// The number of a score, or the mean of one with a spread.
fn number(evaluation: &Value, score: &str) -> Option<f64> {
    let value = &evaluation[score];
    value.as_f64().or_else(|| value["mean"].as_f64())
}

/// Mean and standard deviation of the seeds in percent; of one that has a spread of its own, that.
fn spread(seeds: &BTreeMap<u64, Value>, score: &str) -> Option<String> {
    let values: Vec<f64> = seeds.values().filter_map(|evaluation| number(evaluation, score)).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    match values.len() {
        0 => None,
        1 => {
            let own = seeds.values().find_map(|evaluation| evaluation[score]["deviation"].as_f64());
            let own = own.map_or(String::new(), |deviation| format!(" ± {:.2}", 100.0 * deviation));
            Some(format!("{:.2}{own}", 100.0 * mean))
        }
        count => Some(format!("{:.2} ± {:.2}", 100.0 * mean, 100.0 * (squares / (count - 1) as f64).sqrt())),
    }
}

/// What `SET.beside.json` holds, an evaluation with what needs no training, where it is there.
fn trivial(folder: &Path, set: &str) -> Result<BTreeMap<u64, Value>, Box<dyn Error>> {
    match std::fs::read_to_string(folder.join(format!("{set}.beside.json"))) {
        Ok(text) => Ok([(0, serde_json::from_str(&text)?)].into()),
        Err(_) => Ok(BTreeMap::new()),
    }
}

/// What stands beside a score: the same of the encoder before training, of label histograms, of sizes, of features.
const BESIDE: [&str; 4] = ["untrained", "labels", "sizes", "features"];

/// The table of one score: every arm, its difference from the baseline, and what needs no training beside it. Nothing where no
/// run has that score.
fn table(folder: &Path, baseline: &str, score: &str) -> Result<(), Box<dyn Error>> {
    let results = read(folder)?;
    let scored = |arms: &BTreeMap<_, _>| arms.values().any(|seeds| spread(seeds, score).is_some());
    if !results.values().any(scored) {
        return Ok(());
    }
    println!("{}\n", SCORES.iter().find(|(key, _)| *key == score).map_or(score, |(_, name)| name));
    println!("| set | batches | seeds | accuracy | minus {baseline}, 95 % | {} |", BESIDE.join(" | "));
    println!("|---|---|---|---|---|---|---|---|---|");
    for (set, arms) in &results {
        let trivial = trivial(folder, set)?;
        let uniform = arms.get(baseline);
        for (arm, seeds) in arms {
            let Some(accuracy) = spread(seeds, score) else { continue };
            let (theirs, ours) = pairs(seeds, uniform.filter(|_| arm != baseline), score);
            let difference = if ours.len() < 2 {
                "–".to_owned()
            } else {
                let paired = paired(&theirs, &ours)?;
                let [mean, low, high] = [paired.mean, paired.low, paired.high].map(|share| 100.0 * share);
                format!("{mean:+.2} [{low:+.2}, {high:+.2}]")
            };
            let beside = BESIDE.map(|what| {
                let beside = format!("{score}_{what}");
                // Encoders are as many as seeds, the others are the same for all.
                let found = spread(if what == "untrained" { seeds } else { &trivial }, &beside);
                found.unwrap_or_else(|| "–".to_owned())
            });
            let count = seeds.len();
            println!("| {set} | {arm} | {count} | {accuracy} | {difference} | {} |", beside.join(" | "));
        }
    }
    Ok(())
}

/// The scores of the seeds that both have, the baseline's first.
fn pairs(
    seeds: &BTreeMap<u64, Value>,
    baseline: Option<&BTreeMap<u64, Value>>,
    score: &str,
) -> (Vec<f64>, Vec<f64>) {
    let pairs = seeds.iter().filter_map(|(seed, evaluation)| {
        Some((number(baseline?.get(seed)?, score)?, number(evaluation, score)?))
    });
    pairs.unzip()
}

/// One row: mean, every seed, and the difference from the baseline over the seeds that both have.
fn show(
    name: &str,
    score: &str,
    seeds: &BTreeMap<u64, Value>,
    baseline: Option<&BTreeMap<u64, Value>>,
) -> Result<(), Box<dyn Error>> {
    let values: Vec<f64> = seeds.values().filter_map(|evaluation| number(evaluation, score)).collect();
    if values.is_empty() {
        return Ok(());
    }
    let each: Vec<String> = values.iter().map(|value| format!("{value:.4}")).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let (theirs, ours) = pairs(seeds, baseline, score);
    let difference = if ours.len() < 2 {
        String::new()
    } else {
        let paired = paired(&theirs, &ours)?;
        let excludes = paired.low > 0.0 || paired.high < 0.0;
        let verdict = if excludes { ", excludes 0" } else { "" };
        format!("  {:+.4} [{:+.4}, {:+.4}]{verdict}", paired.mean, paired.low, paired.high)
    };
    println!("  {name:36} {mean:.4}  ({}){difference}", each.join(" "));
    Ok(())
}
