//! Events of a run: one JSON object a line in `events.jsonl`, numbers mirrored to a TensorBoard file beside it.
//!
//! Every event has `kind`, `step` (optimiser steps made when it happened) and `time` (seconds since 1970).

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use lookalike_base::tensorboard::TensorBoard;
use serde_json::{Map, Value};

use crate::error::LearnError;

/// The file of the events.
pub const EVENTS: &str = "events.jsonl";
/// The file with the same numbers for TensorBoard; one run has one, rewritten from the events on resume.
pub(crate) const BOARD: &str = "events.out.tfevents.lookalike";

/// The events of a run; those of a rank that keeps none go nowhere.
#[derive(Debug)]
pub struct Events(Option<Files>);

/// The event files of a run.
#[derive(Debug)]
struct Files {
    path: PathBuf,
    file: File,
    board: TensorBoard<BufWriter<File>>,
    board_path: PathBuf,
}

impl Events {
    /// Events that nobody keeps.
    pub fn silent() -> Self {
        Self(None)
    }

    /// Opens the events of `run` for writing, after cutting what happened after step `keep`; `None` keeps nothing.
    ///
    /// # Errors
    /// [`LearnError::Io`] where a file cannot be read or written.
    pub fn open(run: &Path, keep: Option<u64>) -> Result<Self, LearnError> {
        let path = run.join(EVENTS);
        let fail = |source| LearnError::Io { path: path.clone(), source };
        let old = match (keep, std::fs::read_to_string(&path)) {
            (None, _) => String::new(),
            (Some(_), Err(error)) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            (Some(_), text) => text.map_err(fail)?,
        };
        // A line that was cut short by a crash is not JSON and goes too.
        let mut kept: Vec<Map<String, Value>> = old
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|event: &Map<String, Value>| {
                event.get("step").and_then(Value::as_u64).is_some_and(|step| Some(step) <= keep)
            })
            .collect();
        // What follows the checkpoint within its step, the next plan for instance, will come again; the evaluation of a run
        // that ended there will not.
        let checkpoint = |event: &Map<String, Value>| {
            event.get("kind").is_some_and(|kind| kind == "checkpoint")
                && event.get("step").and_then(Value::as_u64) == keep
        };
        let last = kept.iter().rposition(checkpoint);
        if let Some(last) = last {
            let after = kept.split_off(last + 1);
            kept.extend(
                after.into_iter().filter(|event| event.get("kind").is_some_and(|kind| kind == "evaluation")),
            );
        }
        lookalike_base::atomic::write_atomic(&path, |writer| {
            kept.iter().try_for_each(|event| writeln!(writer, "{}", Value::Object(event.clone())))
        })
        .map_err(fail)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(fail)?;
        let board_path = run.join(BOARD);
        let board = File::create(&board_path).and_then(|file| TensorBoard::begin(BufWriter::new(file)));
        let board = board.map_err(|source| LearnError::Io { path: board_path.clone(), source })?;
        let mut files = Files { file, board, board_path, path: path.clone() };
        for event in &kept {
            files.mirror(event)?;
        }
        let mut events = Self(Some(files));
        if let (Some(step), None) = (keep, last) {
            // The process was killed between the checkpoint and its event.
            events.record("checkpoint", step, Value::Object(Map::new()))?;
        }
        Ok(events)
    }

    /// Writes one event at `step`; `fields` is a JSON object.
    ///
    /// # Errors
    /// [`LearnError::Io`] where the disk is full or the file is gone.
    pub fn record(&mut self, kind: &str, step: u64, fields: Value) -> Result<(), LearnError> {
        self.0.as_mut().map_or(Ok(()), |files| files.record(kind, step, fields))
    }

    /// As [`Events::record`], in the place of events of that kind at the same step: of those that a process wrote which was killed before what
    /// it tells was done.
    ///
    /// # Errors
    /// As [`Events::record`].
    pub fn record_anew(&mut self, kind: &str, step: u64, fields: Value) -> Result<(), LearnError> {
        self.0.as_mut().map_or(Ok(()), |files| files.record_anew(kind, step, fields))
    }
}

impl Files {
    fn record(&mut self, kind: &str, step: u64, fields: Value) -> Result<(), LearnError> {
        let mut event = Map::new();
        event.insert("kind".to_owned(), kind.into());
        event.insert("step".to_owned(), step.into());
        event.insert("time".to_owned(), now().into());
        if let Value::Object(fields) = fields {
            event.extend(fields);
        }
        let line = format!("{}\n", Value::Object(event.clone()));
        self.file
            .write_all(line.as_bytes())
            .map_err(|source| LearnError::Io { path: self.path.clone(), source })?;
        self.mirror(&event)
    }

    fn record_anew(&mut self, kind: &str, step: u64, fields: Value) -> Result<(), LearnError> {
        let fail = |source| LearnError::Io { path: self.path.clone(), source };
        let text = std::fs::read_to_string(&self.path).map_err(fail)?;
        let same = |line: &&str| {
            let event: Option<Map<String, Value>> = serde_json::from_str(line).ok();
            event.is_some_and(|event| {
                event.get("kind").is_some_and(|own| own == kind)
                    && event.get("step").and_then(Value::as_u64) == Some(step)
            })
        };
        if text.lines().any(|line| same(&line)) {
            lookalike_base::atomic::write_atomic(&self.path, |writer| {
                text.lines().filter(|line| !same(line)).try_for_each(|line| writeln!(writer, "{line}"))
            })
            .map_err(fail)?;
            self.file = OpenOptions::new().append(true).open(&self.path).map_err(fail)?;
        }
        self.record(kind, step, fields)
    }

    /// Writes the event's numbers, named `kind/field`, to TensorBoard's file.
    fn mirror(&mut self, event: &Map<String, Value>) -> Result<(), LearnError> {
        let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or("event");
        let step = event.get("step").and_then(Value::as_u64).unwrap_or(0);
        let time = event.get("time").and_then(Value::as_f64).unwrap_or(0.0);
        for (name, value) in event {
            if let Some(value) = value.as_f64().filter(|_| !["step", "time"].contains(&name.as_str())) {
                let written =
                    self.board.scalar(&format!("{}/{name}", text("kind")), step, time, value as f32);
                written.map_err(|source| LearnError::Io { path: self.board_path.clone(), source })?;
            }
        }
        Ok(())
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_after_the_checkpoint_and_torn_lines_are_cut() {
        let run = tempfile::tempdir().unwrap();
        let mut events = Events::open(run.path(), None).unwrap();
        for step in 1..=5 {
            events.record("step", step, json!({"loss": 1.0})).unwrap();
        }
        drop(events);
        let path = run.path().join("events.jsonl");
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 7]).unwrap();
        drop(Events::open(run.path(), Some(3)).unwrap());
        let steps: Vec<u64> = std::fs::read_to_string(&path)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["step"].as_u64().unwrap())
            .collect();
        // And the checkpoint at which the run stands, whose event was never written.
        assert_eq!(steps, [1, 2, 3, 3]);
        drop(Events::open(run.path(), Some(3)).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap().matches("checkpoint").count(), 1);
    }

    #[test]
    fn what_is_told_anew_stands_once() {
        let run = tempfile::tempdir().unwrap();
        let mut events = Events::open(run.path(), None).unwrap();
        events.record("evaluation", 2, json!({"knn": 0.5})).unwrap();
        events.record("evaluation", 4, json!({"knn": 0.6})).unwrap();
        events.record_anew("evaluation", 4, json!({"knn": 0.6})).unwrap();
        events.record("checkpoint", 4, json!({})).unwrap();
        let text = std::fs::read_to_string(run.path().join("events.jsonl")).unwrap();
        let kinds: Vec<Value> =
            text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["kind"].clone()).collect();
        assert_eq!(kinds, ["evaluation", "evaluation", "checkpoint"]);
    }

    #[test]
    fn a_fresh_run_keeps_no_events() {
        let run = tempfile::tempdir().unwrap();
        Events::open(run.path(), None).unwrap().record("step", 0, json!({})).unwrap();
        drop(Events::open(run.path(), None).unwrap());
        assert_eq!(std::fs::read_to_string(run.path().join("events.jsonl")).unwrap(), "");
    }
}
