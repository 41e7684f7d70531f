//! What the folder of a run tells: recipe, events, scores.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use toml::Table;

use crate::error::ReportError;

/// What is read of a file at most.
const MOST_BYTES: u64 = 1 << 28;

/// Keys of a recipe that do not change what an arm of an experiment is: its seed, and where and how fast it runs.
const NOT_THE_ARM: [&str; 9] = [
    "seed",
    "data.root",
    "train.device",
    "train.threads",
    "train.checkpoint_every",
    "train.log_every",
    "train.keep",
    "text.cache",
    "evaluate.every",
];

/// A run, as its folder has it.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its folder.
    pub folder: PathBuf,
    /// What it is called: the name of its folder, with that of the one above where it is a seed's.
    pub name: String,
    /// Its recipe.
    pub recipe: Table,
    /// Its events, in their order.
    pub events: Vec<Map<String, Value>>,
    /// Lines of its events that are none, as of a process that was killed.
    pub torn: usize,
    /// Its scores; empty where there are none yet.
    pub scores: Map<String, Value>,
    /// Whether its result is there.
    pub finished: bool,
}

impl Run {
    /// Reads the folder of a run.
    ///
    /// # Errors
    /// [`ReportError::Content`] where there is no recipe, or a file is none; [`ReportError::Io`].
    pub fn open(folder: &Path) -> Result<Self, ReportError> {
        let place = folder.join("recipe.toml");
        if !place.exists() {
            let problem = "it is no run: there is no recipe.toml in it".to_owned();
            return Err(ReportError::Content { path: folder.to_owned(), problem });
        }
        let recipe = text(&place)?.unwrap_or_default();
        let recipe = recipe.parse().map_err(|error: toml::de::Error| {
            content(&place, &format!("it is no TOML: {}", error.message()))
        })?;
        let (events, torn) = events(&folder.join("events.jsonl"))?;
        let place = folder.join("evaluation.json");
        let scores = match text(&place)? {
            None => Map::new(),
            Some(scores) => serde_json::from_str(&scores)
                .map_err(|error| content(&place, &format!("it is no JSON: {error}")))?,
        };
        let finished = folder.join("model.safetensors").exists();
        Ok(Self { folder: folder.to_owned(), name: called(folder), recipe, events, torn, scores, finished })
    }

    /// What the recipe says of a key with a point, as `method.kind`.
    pub fn key(&self, path: &str) -> Option<&toml::Value> {
        let mut parts = path.split('.');
        let first = self.recipe.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    }

    /// The same as text; empty where the recipe does not say it.
    pub fn text(&self, path: &str) -> String {
        match self.key(path) {
            None => String::new(),
            Some(toml::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    /// The run's seed.
    pub fn seed(&self) -> i64 {
        self.key("seed").and_then(toml::Value::as_integer).unwrap_or(0)
    }

    /// What all seeds of one arm share.
    pub fn arm(&self) -> Table {
        let mut arm = self.recipe.clone();
        for key in NOT_THE_ARM {
            match key.split_once('.') {
                None => {
                    arm.remove(key);
                }
                Some((section, key)) => {
                    if let Some(toml::Value::Table(section)) = arm.get_mut(section) {
                        section.remove(key);
                    }
                }
            }
        }
        arm
    }

    /// The events of a kind.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Map<String, Value>> {
        self.events.iter().filter(move |event| event.get("kind").and_then(Value::as_str) == Some(kind))
    }

    /// A number of the events of a kind, by step.
    pub(crate) fn series(&self, kind: &str, field: &str) -> Vec<[f64; 2]> {
        let point = |event: &Map<String, Value>| {
            let step = event.get("step")?.as_f64()?;
            Some([step, event.get(field)?.as_f64()?])
        };
        self.of_kind(kind).filter_map(point).collect()
    }

    /// Optimiser steps made, as far as the events tell.
    pub fn steps(&self) -> u64 {
        self.events.iter().filter_map(|event| event.get("step")?.as_u64()).max().unwrap_or(0)
    }

    /// Seconds since 1970 of the last event.
    pub fn last_time(&self) -> Option<f64> {
        self.events.iter().rev().find_map(|event| event.get("time")?.as_f64())
    }

    /// Seconds spent training: between events, but for pauses of ten times the usual, in which the run was not going on.
    pub(crate) fn seconds(&self) -> f64 {
        let times: Vec<f64> = self.events.iter().filter_map(|event| event.get("time")?.as_f64()).collect();
        let mut gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).max(0.0)).collect();
        let all: f64 = gaps.iter().sum();
        if gaps.len() < 10 {
            return all;
        }
        gaps.sort_by(f64::total_cmp);
        let usual = gaps[gaps.len() * 9 / 10];
        all - gaps.iter().filter(|gap| **gap > 600.0_f64.max(10.0 * usual)).sum::<f64>()
    }

    /// A score: a number, or the mean of several draws.
    pub fn score(&self, name: &str) -> Option<f64> {
        number(self.scores.get(name)?)
    }
}

/// A number, or the mean of several.
pub(crate) fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.get("mean")?.as_f64())
}

/// The name of a folder, with that of the one above where it is that of a seed.
fn called(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let own = name(&whole).unwrap_or_else(|| "run".to_owned());
    match whole.parent().and_then(name).filter(|_| own.starts_with("seed-")) {
        Some(above) => format!("{above}/{own}"),
        None => own,
    }
}

fn content(path: &Path, problem: &str) -> ReportError {
    ReportError::Content { path: path.to_owned(), problem: problem.to_owned() }
}

/// Refuses a file that is longer than is read.
fn within(file: &File, path: &Path) -> Result<(), ReportError> {
    let length = file.metadata().map_err(|source| ReportError::Io { path: path.to_owned(), source })?.len();
    if length <= MOST_BYTES {
        return Ok(());
    }
    Err(content(path, &format!("it is longer than {} MB, which is what is read at most", MOST_BYTES >> 20)))
}

/// A whole file; `None` where there is none.
fn text(path: &Path) -> Result<Option<String>, ReportError> {
    let io = |source| ReportError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(io)?,
    };
    within(&file, path)?;
    let mut text = String::new();
    file.take(MOST_BYTES).read_to_string(&mut text).map_err(io)?;
    Ok(Some(text))
}

/// The events of a file, and how many of its lines are none.
fn events(path: &Path) -> Result<(Vec<Map<String, Value>>, usize), ReportError> {
    let io = |source| ReportError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        file => file.map_err(io)?,
    };
    within(&file, path)?;
    let (mut events, mut torn) = (Vec::new(), 0);
    for line in BufReader::new(file.take(MOST_BYTES)).split(b'\n') {
        let line = line.map_err(io)?;
        match serde_json::from_slice(&line) {
            Ok(event) => events.push(event),
            Err(_) => torn += usize::from(!line.trim_ascii().is_empty()),
        }
    }
    Ok((events, torn))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(recipe: &str, events: &str) -> (tempfile::TempDir, Run) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("recipe.toml"), recipe).unwrap();
        std::fs::write(folder.path().join("events.jsonl"), events).unwrap();
        let run = Run::open(folder.path()).unwrap();
        (folder, run)
    }

    #[test]
    fn events_recipe_and_scores_are_read_and_torn_lines_counted() {
        let events = "{\"kind\":\"step\",\"step\":1,\"time\":5.0,\"loss\":2.5}\n{\"kind\":\"step\",\"step\":2,\"time\":6.0,\"loss\":1.5}\n{\"ki";
        let (folder, read) = run("seed = 3\n[method]\nkind = \"simclr\"\n", events);
        assert_eq!(read.series("step", "loss"), [[1.0, 2.5], [2.0, 1.5]]);
        assert_eq!((read.torn, read.steps(), read.seed(), read.seconds()), (1, 2, 3, 1.0));
        assert_eq!((read.text("method.kind"), read.text("method.no")), ("simclr".to_owned(), String::new()));
        std::fs::write(folder.path().join("evaluation.json"), "{\"knn\": 0.5, \"svm\": {\"mean\": 0.7}}")
            .unwrap();
        let read = Run::open(folder.path()).unwrap();
        assert_eq!([read.score("knn"), read.score("svm"), read.score("no")], [Some(0.5), Some(0.7), None]);
        assert!(!read.finished);
    }

    #[test]
    fn seeds_of_one_recipe_are_one_arm() {
        let of = |text: &str| run(text, "").1.arm();
        let first = of("seed = 0\n[data]\nname = \"glyphs\"\nroot = \"/a\"\n");
        assert_eq!(first, of("seed = 7\n[data]\nname = \"glyphs\"\nroot = \"/b\"\n"));
        assert_ne!(first, of("seed = 0\n[data]\nname = \"cifar10\"\n"));
    }

    #[test]
    fn what_is_no_run_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = || Run::open(folder.path()).unwrap_err().to_string();
        assert!(error().contains("no recipe.toml"), "{}", error());
        std::fs::write(folder.path().join("recipe.toml"), "seed = [").unwrap();
        assert!(error().contains("it is no TOML"), "{}", error());
        std::fs::write(folder.path().join("recipe.toml"), "seed = 1").unwrap();
        std::fs::write(folder.path().join("evaluation.json"), "[1]").unwrap();
        assert!(error().contains("evaluation.json: it is no JSON"), "{}", error());
    }
}
