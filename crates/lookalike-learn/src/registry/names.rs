//! What entries say of each other by name: what is measured on a modality, and whether all that is named is there.

use super::{Kind, Registry};
use crate::error::LearnError;
use crate::evaluate::STEP;
use crate::method::MethodEntry;
use crate::modality::{Measure, ModalityEntry};
use crate::options::refuse;
use lookalike_base::words::did_you_mean;

impl Registry {
    /// What an evaluation measures on `modality`: what it lists, then the scores that name it themselves.
    pub fn measures(&self, modality: &ModalityEntry) -> Vec<Measure> {
        let mut measures = modality.scores.to_vec();
        for score in &self.scores {
            let own = score.modalities.iter().filter(|(kind, _)| *kind == modality.kind);
            measures.extend(own.map(|(_, arms)| Measure { score: score.kind, arms }));
        }
        measures
    }

    /// Whether an evaluation tells under `name` with what it measured, and no score.
    pub fn is_circumstance(&self, name: &str) -> bool {
        let mut names = self.scores.iter().flat_map(|score| score.circumstances);
        name == STEP
            || names
                .any(|own| name.strip_prefix(own).is_some_and(|arm| arm.is_empty() || arm.starts_with('_')))
    }

    /// Checks that all entries that name others name such as there are.
    ///
    /// # Errors
    /// [`LearnError::Recipe`] with the entry and the nearest name.
    pub fn check(&self) -> Result<(), LearnError> {
        let [methods, losses, negatives, encoders, modalities] =
            [Kind::Method, Kind::Loss, Kind::Negatives, Kind::Encoder, Kind::Modality]
                .map(|kind| self.names(kind));
        let scores: Vec<&str> = self.scores.iter().map(|score| score.kind).collect();
        for MethodEntry {
            kind,
            losses: own,
            negatives: pools,
            encoders: trained,
            modalities: data,
            scores: ending,
            ..
        } in &self.methods
        {
            let place = format!("method `{kind}`");
            known(&place, "losses", own, &losses)?;
            known(&place, "negatives", pools, &negatives)?;
            known(&place, "encoders", trained, &encoders)?;
            known(&place, "modalities", data, &modalities)?;
            known(&place, "scores", ending, &scores)?;
        }
        for loss in &self.losses {
            known(&format!("loss `{}`", loss.kind), "methods", loss.methods, &methods)?;
        }
        for source in &self.negatives {
            known(&format!("negatives `{}`", source.kind), "methods", source.methods, &methods)?;
        }
        for encoder in &self.encoders {
            let place = format!("encoder `{}`", encoder.kind);
            known(&place, "methods", encoder.methods, &methods)?;
            known(&place, "modalities", encoder.modalities, &modalities)?;
        }
        for modality in &self.modalities {
            let place = format!("modality `{}`", modality.kind);
            let measured: Vec<&str> = modality.scores.iter().map(|measure| measure.score).collect();
            known(&place, "methods", modality.methods, &methods)?;
            known(&place, "scores", &measured, &scores)?;
            known(&place, "scores", modality.after_training.without, &scores)?;
        }
        for score in &self.scores {
            let own: Vec<&str> = score.modalities.iter().map(|(kind, _)| *kind).collect();
            known(&format!("score `{}`", score.kind), "modalities", &own, &modalities)?;
        }
        Ok(())
    }
}

/// Refuses the first of `names` that is not among `all`.
fn known(place: &str, what: &str, names: &[&str], all: &[&str]) -> Result<(), LearnError> {
    let Some(name) = names.iter().find(|name| !all.contains(name)) else { return Ok(()) };
    let hint = did_you_mean(name, all.iter().copied());
    Err(refuse(place, format!("names `{name}` among its {what}, which is not registered{hint}")))
}
