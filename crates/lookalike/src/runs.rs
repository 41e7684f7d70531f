//! `lookalike runs` and `lookalike compare`: what runs there are, and what they come to beside each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use lookalike_base::lock::owner_of;
use lookalike_learn::Registry;
use lookalike_learn::train::trainer::RECIPE;
use lookalike_metrics::paired;
use lookalike_report::Run;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{say, tell};

/// How deep under a folder runs are looked for: seeds of a run lie below it.
const DEPTH: usize = 3;

/// By what runs are sorted.
#[derive(Clone, Copy, Default, clap::ValueEnum)]
enum Order {
    /// By the last event, the newest first
    #[default]
    Date,
    /// By name
    Name,
    /// By score, the best first
    Score,
}

/// How far a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum State {
    /// Its result is there
    Finished,
    /// A process is training in it
    Training,
    /// It was stopped, and can go on
    Stopped,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Training => "training",
            Self::Stopped => "stopped",
        }
    }
}

#[derive(clap::Args)]
pub(crate) struct ListArguments {
    /// Where to look for runs
    #[arg(default_value = "runs")]
    folder: PathBuf,
    /// How to sort them
    #[arg(long, value_enum, default_value_t)]
    sort: Order,
    /// The score to show, by its name in evaluation.json [default: the first of knn, linear, svm and accuracies that a run has]
    #[arg(long, value_name = "NAME")]
    score: Option<String>,
    /// Show only runs whose name, method, encoder, data or batches contain this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Show only runs in this state
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Print one line of JSON per run instead of a table
    #[arg(long)]
    json: bool,
}

/// A run in a list.
#[derive(Serialize)]
struct Listed {
    run: String,
    state: State,
    method: String,
    encoder: String,
    data: String,
    batches: String,
    seed: i64,
    steps: u64,
    /// The score that is shown, and its name.
    score: Option<(String, f64)>,
    /// Seconds since 1970 of the last event.
    time: Option<f64>,
}

/// Scores of which the first that a run has is shown.
const SHOWN: [&str; 5] = ["knn", "linear", "svm", "classifier", "clustering_accuracy"];

impl Listed {
    fn of(run: &Run, place: String, score: Option<&str>) -> Self {
        let state = if run.finished {
            State::Finished
        } else if owner_of(&run.folder).is_some() {
            State::Training
        } else {
            State::Stopped
        };
        let names = score.map_or_else(|| SHOWN.to_vec(), |name| vec![name]);
        let first = names.into_iter().find_map(|name| Some((name.to_owned(), run.score(name)?)));
        // Sets of texts have scores of their own names.
        let any = || {
            run.scores
                .keys()
                .filter(|_| score.is_none())
                .find(|name| name.contains("ndcg") || name.contains("spearman"))
        };
        let score = first.or_else(|| any().and_then(|name| Some((name.clone(), run.score(name)?))));
        Self {
            run: place,
            state,
            method: run.text("method.kind"),
            encoder: run.text("encoder.kind"),
            data: run.text("data.name"),
            batches: Some(run.text("sampler.kind"))
                .filter(|kind| !kind.is_empty())
                .unwrap_or_else(|| "walk".to_owned()),
            seed: run.seed(),
            steps: run.steps(),
            score,
            time: run.last_time(),
        }
    }

    fn holds(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        [&self.run, &self.method, &self.encoder, &self.data, &self.batches]
            .iter()
            .any(|own| own.to_lowercase().contains(&text))
    }

    fn cells(&self) -> [String; 8] {
        let score =
            self.score.as_ref().map_or_else(|| "–".to_owned(), |(name, score)| format!("{name} {score:.4}"));
        [
            self.run.clone(),
            self.state.word().to_owned(),
            format!("{}, {}", self.method, self.encoder),
            self.data.clone(),
            self.batches.clone(),
            self.steps.to_string(),
            score,
            self.time.map_or_else(|| "–".to_owned(), date),
        ]
    }
}

/// Day and minute in universal time (Howard Hinnant's `civil_from_days`).
fn date(seconds: f64) -> String {
    let minutes = (seconds / 60.0).floor() as i64;
    let (days, minute) = (minutes.div_euclid(1440), minutes.rem_euclid(1440));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02}", minute / 60, minute % 60)
}

/// The folders of runs under a folder, or the folder itself, in the order of their names.
fn found(folder: &Path, depth: usize, runs: &mut Vec<PathBuf>) {
    if folder.join(RECIPE).exists() {
        runs.push(folder.to_owned());
        return;
    }
    if depth == 0 {
        return;
    }
    let entries =
        std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir() && !path.is_symlink()).collect();
    folders.sort();
    for folder in folders {
        found(&folder, depth - 1, runs);
    }
}

/// Reads a run; one that cannot be read is told and passed over.
fn read(folder: &Path) -> Option<Run> {
    Run::open(folder).map_err(|error| tell(format_args!("warning: {error}; it is passed over"))).ok()
}

pub(crate) fn list(arguments: &ListArguments) -> Result<(), Failure> {
    let ListArguments { folder, sort, score, filter, state, json } = arguments;
    if !folder.is_dir() {
        return Err(Failure::usage(format!("{} is no folder; say where the runs lie", folder.display())));
    }
    let mut folders = Vec::new();
    found(folder, DEPTH, &mut folders);
    let place = |run: &Run| {
        run.folder
            .strip_prefix(folder)
            .ok()
            .filter(|rest| !rest.as_os_str().is_empty())
            .map_or_else(|| run.name.clone(), |rest| rest.display().to_string())
    };
    // One at a time: the events of a run are long.
    let listed = |folder: &PathBuf| read(folder).map(|run| Listed::of(&run, place(&run), score.as_deref()));
    let mut listed: Vec<Listed> = folders.iter().filter_map(listed).collect();
    listed.retain(|run| {
        filter.as_ref().is_none_or(|text| run.holds(text)) && state.is_none_or(|state| run.state == state)
    });
    match sort {
        Order::Name => {}
        Order::Date => listed.sort_by(|a, b| b.time.unwrap_or(0.0).total_cmp(&a.time.unwrap_or(0.0))),
        Order::Score => {
            let of = |run: &Listed| run.score.as_ref().map_or(f64::NEG_INFINITY, |(_, score)| *score);
            listed.sort_by(|a, b| of(b).total_cmp(&of(a)));
        }
    }
    if *json {
        return listed.iter().try_for_each(|run| say(serde_json::to_string(run)?));
    }
    if listed.is_empty() {
        return say(format_args!("no runs in {}", folder.display()));
    }
    say(columns(
        &["run", "state", "what", "data", "batches", "steps", "score", "last event, UTC"],
        listed.iter().map(Listed::cells),
    ))
}

/// Cells under their titles, as wide as they need.
fn columns<const N: usize>(titles: &[&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(titles.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<String>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<String>>().join("\n")
}

#[derive(clap::Args)]
pub(crate) struct CompareArguments {
    /// Runs, or folders that hold a run per seed. Runs of one recipe form an arm; all other arms are compared with the first
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Compare only this score, by its name in evaluation.json
    #[arg(long, value_name = "NAME")]
    score: Option<String>,
    /// Print one line of JSON per difference instead of a table
    #[arg(long)]
    json: bool,
}

/// A difference between two arms in a score.
#[derive(Serialize)]
struct Compared {
    score: String,
    baseline: String,
    arm: String,
    seeds: Vec<i64>,
    baseline_mean: f64,
    arm_mean: f64,
    /// Mean difference by seed.
    difference: f64,
    /// The ends of its 95 % interval; absent below two seeds.
    interval: Option<[f64; 2]>,
}

/// Runs of one recipe, by seed.
struct Arm {
    name: String,
    recipe: toml::Table,
    runs: BTreeMap<i64, Run>,
}

pub(crate) fn compare(arguments: &CompareArguments, registry: &Registry) -> Result<(), Failure> {
    let mut folders = Vec::new();
    for run in &arguments.runs {
        let before = folders.len();
        found(run, DEPTH, &mut folders);
        if folders.len() == before {
            return Err(Failure::usage(format!("{} is no run, and holds none", run.display())));
        }
    }
    let arms = arms(folders.iter().map(|folder| Run::open(folder)).collect::<Result<Vec<Run>, _>>()?)?;
    let [baseline, others @ ..] = &arms[..] else { return Ok(()) };
    if others.is_empty() {
        return Err(Failure::usage(
            "all of these are runs of one recipe; name runs of another to compare them with",
        ));
    }
    let mut differences = Vec::new();
    for arm in others {
        let found = between(baseline, arm, arguments.score.as_deref(), registry);
        if found.is_empty() {
            return Err(Failure::usage(format!(
                "{} and {} have no score{} at a seed that both have; `lookalike evaluate` makes scores",
                baseline.name,
                arm.name,
                arguments.score.as_ref().map_or_else(String::new, |name| format!(" `{name}`"))
            )));
        }
        differences.extend(found);
    }
    if arguments.json {
        return differences.iter().try_for_each(|difference| say(serde_json::to_string(difference)?));
    }
    let row = |found: &Compared| {
        let interval = found
            .interval
            .map_or_else(|| "needs two seeds".to_owned(), |[low, high]| format!("{low:+.4} … {high:+.4}"));
        let word = match found.interval {
            Some([low, _]) if low > 0.0 => "higher",
            Some([_, high]) if high < 0.0 => "lower",
            Some(_) => "not told apart",
            None => "",
        };
        [
            found.score.clone(),
            found.arm.clone(),
            format!("{:.4}", found.baseline_mean),
            format!("{:.4}", found.arm_mean),
            format!("{:+.4}", found.difference),
            interval,
            found.seeds.len().to_string(),
            word.to_owned(),
        ]
    };
    say(format_args!("beside {}: paired by seed, 95 % intervals", baseline.name))?;
    say(columns(
        &["score", "arm", "baseline", "arm", "difference", "interval", "seeds", ""],
        differences.iter().map(row),
    ))
}

/// The arms in the order of their first runs.
fn arms(runs: Vec<Run>) -> Result<Vec<Arm>, Failure> {
    let mut arms: Vec<Arm> = Vec::new();
    for run in runs {
        let recipe = run.arm();
        let place = arms.iter().position(|arm| arm.recipe == recipe).unwrap_or_else(|| {
            arms.push(Arm { name: run.name.clone(), recipe, runs: BTreeMap::new() });
            arms.len() - 1
        });
        let (seed, name) = (run.seed(), run.name.clone());
        if let Some(other) = arms[place].runs.insert(seed, run) {
            return Err(Failure::usage(format!(
                "{name} and {} are both of seed {seed} of one recipe; name one of them",
                other.name
            )));
        }
    }
    Ok(arms)
}

/// What an arm has more than the baseline, a score each, at the seeds that both have.
fn between(baseline: &Arm, arm: &Arm, only: Option<&str>, registry: &Registry) -> Vec<Compared> {
    let shared: Vec<i64> = baseline.runs.keys().copied().filter(|seed| arm.runs.contains_key(seed)).collect();
    let scored = |arm: &Arm, seed: i64| arm.runs[&seed].scores.keys().cloned().collect::<BTreeSet<String>>();
    let names: BTreeSet<String> =
        shared.iter().flat_map(|seed| &scored(baseline, *seed) & &scored(arm, *seed)).collect();
    let wanted = |name: &&String| {
        name.as_str() != "step"
            && !registry.is_circumstance(name)
            && only.is_none_or(|only| only == name.as_str())
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let compared = |name: &String| {
        // At the seeds at which both have it.
        let both = |seed: &i64| Some((*seed, baseline.runs[seed].score(name)?, arm.runs[seed].score(name)?));
        let found: Vec<(i64, f64, f64)> = shared.iter().filter_map(both).collect();
        let (own, other): (Vec<f64>, Vec<f64>) = found.iter().map(|(_, own, other)| (*own, *other)).unzip();
        (!found.is_empty()).then(|| Compared {
            score: name.clone(),
            baseline: baseline.name.clone(),
            arm: arm.name.clone(),
            seeds: found.iter().map(|(seed, ..)| *seed).collect(),
            baseline_mean: mean(&own),
            arm_mean: mean(&other),
            difference: mean(&other) - mean(&own),
            interval: paired(&own, &other).ok().map(|found| [found.low, found.high]),
        })
    };
    names.iter().filter(wanted).filter_map(compared).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_minutes_are_those_of_the_calendar() {
        assert_eq!(date(0.0), "1970-01-01 00:00");
        assert_eq!(date(951_827_696.0), "2000-02-29 12:34");
        assert_eq!(date(1_796_052_369.3), "2026-11-30 15:26");
    }
}
