//! Tables of an experiment's arms: every score's mean over the seeds, and its paired difference from the baseline's with the
//! 95 % t-interval.
//!
//! `cargo run --example arms -- RESULTS.jsonl BASELINE`, where each line of the file is
//! `{"set": …, "arm": …, "seed": …, "evaluation": {score: number, …}}`.

#![expect(clippy::print_stdout, reason = "it prints tables")]

use std::collections::BTreeMap;
use std::error::Error;

use lookalike_metrics::paired;
use serde_json::Value;

/// What is shown of an evaluation, and as what.
const SCORES: [(&str, &str); 8] = [
    ("knn_pixels", "kNN, pixels"),
    ("knn_untrained", "kNN, untrained encoder"),
    ("knn", "kNN"),
    ("knn_training_statistics", "kNN, BatchNorm as training left it"),
    ("linear", "linear probe"),
    ("hardness", "hardness, last epoch"),
    ("false_negative_rate", "false negatives"),
    ("false_negative_rate_uniform", "false negatives, uniform batches"),
];

/// By data set and arm, the evaluation of each seed.
type Results = BTreeMap<String, BTreeMap<String, BTreeMap<u64, Value>>>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, baseline] = &arguments[..] else { return Err("give RESULTS.jsonl and BASELINE".into()) };
    for (set, arms) in read(path)? {
        let uniform = arms.get(baseline).ok_or_else(|| format!("{set} has no arm {baseline}"))?;
        for (arm, seeds) in &arms {
            println!("{set}, {arm}, seeds {:?}", seeds.keys().collect::<Vec<_>>());
            for (score, name) in SCORES {
                show(name, score, seeds, if arm == baseline { None } else { Some(uniform) })?;
            }
        }
    }
    Ok(())
}

fn read(path: &str) -> Result<Results, Box<dyn Error>> {
    let mut results = Results::new();
    for (line, text) in std::fs::read_to_string(path)?.lines().enumerate() {
        let mut result: Value = serde_json::from_str(text)?;
        let text = |key: &str| result[key].as_str().map(str::to_owned);
        let (Some(set), Some(arm), Some(seed)) = (text("set"), text("arm"), result["seed"].as_u64()) else {
            return Err(format!("{path}, line {}: no set, arm and seed", line + 1).into());
        };
        let arms = results.entry(set).or_default();
        arms.entry(arm).or_default().insert(seed, result["evaluation"].take());
    }
    Ok(results)
}

/// One row: mean, every seed, and the difference from the baseline over the seeds that both have.
fn show(
    name: &str,
    score: &str,
    seeds: &BTreeMap<u64, Value>,
    baseline: Option<&BTreeMap<u64, Value>>,
) -> Result<(), Box<dyn Error>> {
    let values: Vec<f64> = seeds.values().filter_map(|evaluation| evaluation[score].as_f64()).collect();
    if values.is_empty() {
        return Ok(());
    }
    let each: Vec<String> = values.iter().map(|value| format!("{value:.4}")).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let pairs = seeds.iter().filter_map(|(seed, evaluation)| {
        Some((baseline?.get(seed)?[score].as_f64()?, evaluation[score].as_f64()?))
    });
    let (theirs, ours): (Vec<f64>, Vec<f64>) = pairs.unzip();
    let difference = if ours.len() < 2 {
        String::new()
    } else {
        let paired = paired(&theirs, &ours)?;
        let verdict = if paired.gain { ", excludes 0" } else { "" };
        format!("  {:+.4} [{:+.4}, {:+.4}]{verdict}", paired.mean, paired.low, paired.high)
    };
    println!("  {name:36} {mean:.4}  ({}){difference}", each.join(" "));
    Ok(())
}
