//! Checkpoints: everything from which a run goes on as if it had never stopped.
//!
//! A checkpoint is one safetensors file, written under a temporary name, synced and renamed, with a checksum inside. By default the
//! last two are kept, so that a torn one costs only the steps since the one before it.

use std::path::{Path, PathBuf};

use lookalike_base::arrays::Arrays;
use lookalike_base::foreign;
use lookalike_base::tensors::{self, TensorFile};
use lookalike_kernels::Scoring;
use lookalike_kernels::map::Precision;
use serde::{Deserialize, Serialize};

use super::collapse::CollapseDetector;
use super::development::Judged;
use crate::error::LearnError;

/// How many checkpoints a run keeps that does not say.
pub const KEPT: usize = 2;
/// The folder of a run that holds them.
pub const CHECKPOINTS: &str = "checkpoints";
/// The metadata key under which the small state stands as JSON.
const STATE: &str = "lookalike.state";

/// The version of what a step computes: it grows when the same recipe draws other numbers, so that no run goes on with others.
pub const FORMAT: u32 = 2;

/// What a checkpoint holds beside its arrays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// [`FORMAT`] of the program that made it; 0 of those that do not say.
    #[serde(default)]
    pub format: u32,
    /// Optimiser steps made.
    pub step: u64,
    /// Batches consumed.
    pub batches: u64,
    /// Steps of the whole run, by which the schedule is laid out.
    pub total_steps: u64,
    /// The step from which on it is laid out; 0 but for runs that are trained longer than they were to be.
    #[serde(default)]
    pub begins: u64,
    /// What the run is: a run only goes on from a checkpoint of the same identity.
    pub identity: String,
    /// The sampler's small state.
    pub sampler: lookalike_sampling::SamplerState,
    /// What has been told of collapse; nothing in checkpoints that do not say.
    #[serde(default)]
    pub collapse: CollapseDetector,
    /// The processor that it was made on, as far as it decides bits; nothing in checkpoints that do not say.
    #[serde(default)]
    pub machine: String,
    /// What has been judged; nothing in checkpoints that do not say.
    #[serde(default)]
    pub judged: Judged,
}

/// What of this processor decides the bits of a run in this precision, whose sampler scores so: its instructions, and the
/// number of threads.
pub fn machine(precision: Precision, scoring: Scoring) -> String {
    let precision = if scoring == Scoring::Bf16 { Precision::Bf16 } else { precision };
    format!("{} with {} threads", lookalike_kernels::level(precision), rayon::current_num_threads())
}

/// A folder of checkpoints.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// The checkpoints of a run folder.
    pub fn of_run(run: &Path) -> Self {
        Self { folder: run.join(CHECKPOINTS) }
    }

    /// Writes a checkpoint and removes all but the last `kept`, of which it is one.
    ///
    /// # Errors
    /// [`LearnError::Checkpoint`] where a tensor is not finite: such a state is never kept; and where another file stands there. [`LearnError::Io`] and
    /// [`LearnError::ArrayFile`] where the file cannot be written; older checkpoints are untouched then.
    pub fn save(&self, state: &State, arrays: Arrays, kept: usize) -> Result<PathBuf, LearnError> {
        let path = self.path(state.step);
        let bad = arrays.iter().find(|(_, array)| {
            array.as_f32().is_some_and(|values| values.iter().any(|value| !value.is_finite()))
        });
        if let Some((name, _)) = bad {
            return Err(LearnError::Checkpoint {
                path,
                reason: format!("not written: `{name}` is not finite"),
            });
        }
        if let Some(what) = foreign_kind(&path) {
            let reason = format!("not written: {what} stands there, which is no checkpoint; move it away");
            return Err(LearnError::Checkpoint { path, reason });
        }
        std::fs::create_dir_all(&self.folder)
            .map_err(|source| LearnError::Io { path: self.folder.clone(), source })?;
        let text = serde_json::to_string(state).map_err(|error| LearnError::Checkpoint {
            path: path.clone(),
            reason: format!("the state cannot be written: {error}"),
        })?;
        let metadata = [(STATE.to_owned(), text)].into();
        tensors::write(&path, &TensorFile { metadata, tensors: arrays })?;
        self.prune(state.step, kept)?;
        Ok(path)
    }

    /// Where the run is saved.
    fn path(&self, step: u64) -> PathBuf {
        self.folder.join(format!("step-{step:09}.safetensors"))
    }

    /// Removes all but the last `kept` up to `step`, the newest that is whole. A later one was torn, or the run would not stand there. What
    /// is no checkpoint at all stays.
    ///
    /// # Errors
    /// [`LearnError::Io`] where one cannot be removed.
    pub fn prune(&self, step: u64, kept: usize) -> Result<(), LearnError> {
        let newest = self.path(step);
        let (later, earlier): (Vec<PathBuf>, Vec<PathBuf>) =
            self.list()?.into_iter().rev().partition(|other| *other > newest);
        let old = later.into_iter().chain(earlier.into_iter().skip(kept.max(1)));
        for old in old.filter(|path| foreign_kind(path).is_none()) {
            std::fs::remove_file(&old).map_err(|source| LearnError::Io { path: old.clone(), source })?;
        }
        Ok(())
    }

    /// The newest checkpoint that is whole, and what was wrong with newer ones. `None` where there is none yet.
    ///
    /// # Errors
    /// [`LearnError::Checkpoint`] where there are checkpoints and none of them is whole.
    pub fn newest(&self) -> Result<Option<(State, Arrays, Vec<String>)>, LearnError> {
        let mut problems = Vec::new();
        for path in self.list()?.iter().rev() {
            if let Some(what) = foreign_kind(path) {
                problems.push(format!("{} is {what} and no checkpoint; it is left alone", path.display()));
                continue;
            }
            match read(path) {
                Ok((state, arrays)) => return Ok(Some((state, arrays, problems))),
                Err(error) => problems.push(error.to_string()),
            }
        }
        if problems.is_empty() {
            return Ok(None);
        }
        let reason = format!("no checkpoint is whole: {}", problems.join("; "));
        Err(LearnError::Checkpoint { path: self.folder.clone(), reason })
    }

    /// Whether there is one, whole or torn.
    ///
    /// # Errors
    /// [`LearnError::Io`] where the folder cannot be read.
    pub fn any(&self) -> Result<bool, LearnError> {
        Ok(!self.list()?.is_empty())
    }

    /// Paths, oldest first.
    fn list(&self) -> Result<Vec<PathBuf>, LearnError> {
        let fail = |source| LearnError::Io { path: self.folder.clone(), source };
        let entries = match std::fs::read_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(fail)?,
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(fail)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let step = name.strip_prefix("step-").and_then(|name| name.strip_suffix(".safetensors"));
            if step.is_some_and(|step| step.len() >= 9 && step.bytes().all(|letter| letter.is_ascii_digit()))
            {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }
}

/// What another program or a person has put where a checkpoint would be; `None` of checkpoints, torn ones too.
fn foreign_kind(path: &Path) -> Option<&'static str> {
    let Ok(found) = std::fs::metadata(path) else { return None };
    if !found.is_file() {
        return Some("no plain file");
    }
    foreign::kind_of(path)
        .ok()
        .flatten()
        .filter(|kind| *kind != foreign::SAFETENSORS)
        .map(|kind| if kind == "text" { "a text" } else { kind })
}

/// Reads one checkpoint.
fn read(path: &Path) -> Result<(State, Arrays), LearnError> {
    let file = tensors::read(path)?;
    let refuse = |reason: String| LearnError::Checkpoint { path: path.to_owned(), reason };
    let state = file.metadata.get(STATE).ok_or_else(|| refuse("it holds no state of a run".to_owned()))?;
    let state =
        serde_json::from_str(state).map_err(|error| refuse(format!("its state cannot be read: {error}")))?;
    Ok((state, file.tensors))
}
