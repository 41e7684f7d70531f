//! Several runs of one recipe, a seed each, and the mean of what they come to.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use lookalike_learn::Registry;
use serde::Serialize;
use serde_json::Value;

use crate::failure::Failure;
use crate::output::{say, write_json};
use crate::table::Table;

/// Seeds from the first to the last, both included: `0..4`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seeds {
    first: u64,
    last: u64,
}

/// The greatest seed that a recipe can have: TOML's integers have 64 bits with a sign.
const MOST: u64 = i64::MAX as u64;

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("`{text}` is not a range of seeds; write 0..4 for 0, 1, 2, 3 and 4");
        let (first, last) = text.split_once("..").ok_or_else(expected)?;
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if first <= last && last - first < 1000 && last <= MOST => {
                Ok(Self { first, last })
            }
            (Ok(_), Ok(last)) if last > MOST => Err(format!("a seed is at most {MOST}, 2⁶³ − 1")),
            _ => Err(expected()),
        }
    }
}

impl Seeds {
    /// The first of them.
    pub(crate) fn first(self) -> u64 {
        self.first
    }

    /// Each of them.
    pub(crate) fn each(self) -> impl Iterator<Item = u64> {
        self.first..=self.last
    }
}

/// A score over the seeds.
#[derive(Debug, Serialize)]
struct Summary {
    mean: f64,
    /// Of a sample; absent for a single seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    deviation: Option<f64>,
    seeds: Vec<f64>,
}

impl Summary {
    fn of(seeds: Vec<f64>) -> Self {
        let mean = seeds.iter().sum::<f64>() / seeds.len().max(1) as f64;
        let squares: f64 = seeds.iter().map(|score| (score - mean).powi(2)).sum();
        let deviation = (seeds.len() > 1).then(|| (squares / (seeds.len() - 1) as f64).sqrt());
        Self { mean, deviation, seeds }
    }
}

/// Reads the evaluations of `runs`, writes the mean of each score to `seeds.json` in `folder`, and prints them. What a score was
/// measured with is no score.
pub(crate) fn summarize(
    folder: &Path,
    runs: &[std::path::PathBuf],
    registry: &Registry,
) -> Result<(), Failure> {
    let (mut scores, mut data): (BTreeMap<String, Vec<f64>>, _) = (BTreeMap::new(), None);
    for run in runs {
        let text = std::fs::read_to_string(run.join("evaluation.json"))?;
        let evaluation: BTreeMap<String, Value> = serde_json::from_str(&text)?;
        data = data.or_else(|| evaluation.get("data")?.as_str().map(str::to_owned));
        for (name, value) in evaluation.into_iter().filter(|(name, _)| !registry.is_circumstance(name)) {
            if let Some(number) = value.as_f64().or_else(|| value.get("mean")?.as_f64()) {
                scores.entry(name).or_default().push(number);
            }
        }
    }
    // What is undefined for a seed has no mean.
    scores.retain(|_, seeds| seeds.len() == runs.len());
    let summary: BTreeMap<String, Summary> =
        scores.into_iter().map(|(name, seeds)| (name, Summary::of(seeds))).collect();
    write_json(&folder.join("seeds.json"), &summary)?;
    let mut table = Table::default();
    if let Some(data) = data {
        table.row("data", data);
    }
    for (name, Summary { mean, deviation, .. }) in &summary {
        let deviation = deviation.map_or(String::new(), |deviation| format!(" ± {deviation:.4}"));
        let seeds = if runs.len() == 1 { "seed" } else { "seeds" };
        table.row(format!("{name}, mean of {} {seeds}", runs.len()), format!("{mean:8.4}{deviation}"));
    }
    say(table)
}
