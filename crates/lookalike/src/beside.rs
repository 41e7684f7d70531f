//! A run's scores beside those of another run, such as one with uniform batches.

use std::path::{Path, PathBuf};

use lookalike_learn::evaluate::Evaluation;
use lookalike_learn::recipe::ValidRecipe;
use lookalike_learn::{LearnError, Registry};
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::run::RunOptions;
use crate::table::Table;

/// The scores of another run.
pub(crate) struct OtherRun {
    run: PathBuf,
    scores: Map<String, Value>,
}

impl OtherRun {
    /// Of a finished run on the same data as `recipe`.
    pub(crate) fn open(run: &Path, recipe: &ValidRecipe, registry: &Registry) -> Result<Self, Failure> {
        let path = run.join("evaluation.json");
        if !path.exists() {
            return Err(Failure::usage(format!(
                "--beside {0}: it has no evaluation.json; finish the run with `lookalike train --resume {0}`",
                run.display()
            )));
        }
        let other = RunOptions::default().run_recipe(run, registry)?;
        for key in [
            "data.name",
            "data.classes",
            "text.further",
            "text.columns",
            "text.hold_out",
            "evaluate.scored_on",
        ] {
            let [theirs, own] = [&other, recipe].map(|recipe| {
                recipe.settings().value(key).map_or_else(|| "nothing".to_owned(), ToString::to_string)
            });
            if theirs != own {
                return Err(Failure::usage(format!(
                    "--beside {}: its {key} is {theirs}, and that of this recipe is {own}: they are not scored on the same",
                    run.display()
                )));
            }
        }
        let text =
            std::fs::read_to_string(&path).map_err(|source| LearnError::Io { path: path.clone(), source })?;
        Ok(Self { run: run.to_owned(), scores: serde_json::from_str(&text)? })
    }

    /// The scores of `evaluation`, and behind each what the other run has for it.
    pub(crate) fn table(&self, evaluation: &Evaluation) -> Table {
        let other = |key: &str| {
            let value = self.scores.get(key)?;
            value.as_f64().or_else(|| value.get("mean")?.as_f64())
        };
        let mut table = Table::default();
        for (key, title, text) in evaluation.shown() {
            let beside = key.filter(|key| evaluation.number(key).is_some()).and_then(other);
            let beside = beside.map_or(String::new(), |value| format!("   ({value:.4})"));
            table.row(title, format!("{text}{beside}"));
        }
        table.row("in brackets", self.run.display().to_string());
        table
    }
}
