//! What a run has come to: its model, its newest checkpoint, or both.

use std::path::Path;

use lookalike_base::arrays::Arrays;
use lookalike_base::lock;
use lookalike_base::tensors::{self, TensorFile};
use toml::Table;

use super::checkpoint::{CHECKPOINTS, Checkpoints, State};
use super::development::BEST;
use super::events::{BOARD, EVENTS};
use super::trainer::RECIPE;
use crate::encoder::text::entry::TOKENIZER;
use crate::error::LearnError;
use crate::evaluate::Measured;
use crate::method::Embedder;
use crate::modality;

/// The file of a finished run that holds the network, BatchNorm's statistics estimated anew.
pub const MODEL: &str = "model.safetensors";
/// Its metadata: after how many steps it was written.
const STEP: &str = "lookalike.step";
/// Its metadata: what tells its data from others.
const DATA: &str = "lookalike.data";

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It has a model and the checkpoint of the same step.
    Finished,
    /// It has a model, and its checkpoints are gone.
    ModelAlone,
    /// Its newest checkpoint has no model of the same step.
    Unfinished,
}

/// What a run has come to.
pub struct RunResult {
    /// The network as its newest checkpoint has it, BatchNorm's statistics as training left them.
    pub trained: Option<Box<dyn Embedder>>,
    /// The network as `model.safetensors` has it, where that is the newest.
    pub model: Option<Box<dyn Embedder>>,
    /// The batches of its last epoch; none where they are not known.
    pub plan: Vec<Vec<u32>>,
    /// How far it has come.
    pub stage: Stage,
    /// Optimiser steps made; 0 where that is not known.
    pub step: u64,
    /// Whether the data that are open are those that the run learned from.
    pub own_data: bool,
    /// What was wrong with newer checkpoints.
    pub problems: Vec<String>,
}

impl RunResult {
    /// What is measured of it: on its own data the network of the checkpoint, where there is one, else what there is, as it is. `best` is
    /// the network at the step that the development part found best.
    pub fn measured<'a>(&'a self, best: Option<&'a (dyn Embedder + 'static)>) -> Measured<'a> {
        let (trained, model) = (self.trained.as_deref(), self.model.as_deref());
        let (network, settled) = match (trained, model) {
            (Some(trained), _) if self.own_data => (trained, false),
            (_, Some(model)) => (model, true),
            (Some(trained), None) => (trained, true),
            (None, None) => unreachable!("a result has a checkpoint or a model"),
        };
        let plan = if self.own_data { &self.plan[..] } else { &[] };
        Measured { network, settled, best: best.filter(|_| self.own_data), plan, own_data: self.own_data }
    }
}

/// What lies in the folder of a run.
pub(crate) struct Found {
    /// The arrays of the newest checkpoint.
    pub(crate) checkpoint: Option<Arrays>,
    /// Those of the model, where it is not older.
    pub(crate) model: Option<Arrays>,
    pub(crate) stage: Stage,
    pub(crate) step: u64,
    /// What tells the data of the run from others, where that is known.
    pub(crate) data: Option<String>,
    pub(crate) problems: Vec<String>,
}

/// Writes the model of a run.
pub(crate) fn write(run: &Path, tensors: Arrays, step: u64, data: &str) -> Result<(), LearnError> {
    let metadata = [(STEP.to_owned(), step.to_string()), (DATA.to_owned(), data.to_owned())].into();
    Ok(tensors::write(run.join(MODEL), &TensorFile { metadata, tensors })?)
}

fn read(run: &Path) -> Result<Option<TensorFile>, LearnError> {
    let path = run.join(MODEL);
    path.exists().then(|| Ok(tensors::read(&path)?)).transpose()
}

/// After how many steps a model was written; `None` of those that do not say.
fn step_of(model: &TensorFile) -> Option<u64> {
    model.metadata.get(STEP)?.parse().ok()
}

/// The tensors of a run that has a model, and after how many steps it was written, 0 where it does not say.
///
/// # Errors
/// [`LearnError::Checkpoint`] where it has none.
pub(crate) fn read_model(run: &Path) -> Result<(Arrays, u64), LearnError> {
    let reason = || format!("there is no {MODEL}: not a finished run");
    let none = || LearnError::Checkpoint { path: run.to_owned(), reason: reason() };
    let model = read(run)?.ok_or_else(none)?;
    let step = step_of(&model).unwrap_or(0);
    Ok((model.tensors, step))
}

/// After how many steps the model of `run` was written, 0 where it does not say; `None` where there is none.
///
/// # Errors
/// [`LearnError::ArrayFile`] where the file is damaged.
pub fn model_step(run: &Path) -> Result<Option<u64>, LearnError> {
    Ok(read(run)?.map(|model| step_of(&model).unwrap_or(0)))
}

/// How far `run` has come.
///
/// # Errors
/// [`LearnError::Checkpoint`] where there is nothing, or nothing that is whole.
pub fn stage(run: &Path) -> Result<Stage, LearnError> {
    Ok(find(run)?.stage)
}

/// Looks for what a run has come to.
///
/// # Errors
/// [`LearnError::Checkpoint`] where there is nothing, or nothing that is whole.
pub(crate) fn find(run: &Path) -> Result<Found, LearnError> {
    let (newest, model) = (Checkpoints::of_run(run).newest(), read(run));
    let (newest, model, mut problems) = match (newest, model) {
        (Err(LearnError::Checkpoint { reason, .. }), Ok(Some(model))) => (None, Some(model), vec![reason]),
        (Ok(newest @ Some(_)), Err(error)) => (newest, None, vec![model_is_damaged(&error)]),
        (newest, model) => (newest?, model?, Vec::new()),
    };
    let model_data = model.as_ref().and_then(|model| model.metadata.get(DATA).cloned());
    let Some((state, arrays, torn)) = newest else {
        let Some(model) = model else {
            let reason = format!("it has no checkpoint and no {MODEL} yet");
            return Err(LearnError::Checkpoint { path: run.to_owned(), reason });
        };
        let (step, model) = (step_of(&model).unwrap_or(0), Some(model.tensors));
        let (checkpoint, stage, data) = (None, Stage::ModelAlone, model_data);
        return Ok(Found { checkpoint, model, stage, step, data, problems });
    };
    problems.extend(torn);
    let data = data_of(&state).or(model_data);
    let model = model.map(|model| (step_of(&model).unwrap_or(state.step), model.tensors));
    let (checkpoint, model, stage, step) = match model {
        Some((step, tensors)) if step == state.step => (Some(arrays), Some(tensors), Stage::Finished, step),
        Some((step, tensors)) if step > state.step => (None, Some(tensors), Stage::ModelAlone, step),
        _ => (Some(arrays), None, Stage::Unfinished, state.step),
    };
    Ok(Found { checkpoint, model, stage, step, data, problems })
}

/// What a user should know where the model of a run is damaged and a checkpoint is whole.
pub fn model_is_damaged(error: &LearnError) -> String {
    format!(
        "{error}; the newest checkpoint stands in for it, and `lookalike train --resume` writes the model anew"
    )
}

/// Whether a run keeps something at this path below its folder, now or later in its life.
pub fn keeps(path: &Path) -> bool {
    let mut parts = path.components();
    let (Some(first), rest) = (parts.next(), parts.next()) else { return true };
    let name = first.as_os_str();
    FOLDERS.iter().any(|own| name == *own) || rest.is_none() && OWN.iter().any(|own| name == *own)
}

/// The folders that a run keeps.
pub const FOLDERS: [&str; 2] = [CHECKPOINTS, BOARD_FOLDER];

/// The folder in that of a run of what TensorBoard shows beside its curves.
pub const BOARD_FOLDER: &str = "tensorboard";

/// The files that a run keeps, beside its checkpoints.
const OWN: [&str; 11] = [
    lock::FILE,
    RECIPE,
    EVENTS,
    BOARD,
    MODEL,
    BEST,
    "evaluation.json",
    "report.html",
    modality::image::FILES,
    modality::diffused::FILE,
    TOKENIZER,
];

/// What tells the data of a run from others.
fn data_of(state: &State) -> Option<String> {
    let identity: Table = state.identity.parse().ok()?;
    Some(identity.get("data-set")?.get("fingerprint")?.as_str()?.to_owned())
}
