//! Instances of which a page tells: their rows, classes and pictures.

use lookalike_base::Rows;
use lookalike_sampling::UNLABELLED;

use crate::album::Pictures;
use crate::error::ReportError;

/// A part of a data set.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// What it is called, as `train`.
    pub name: &'a str,
    /// A row an instance, as the encoder represents it.
    pub rows: Rows<'a>,
    /// A class an instance, [`UNLABELLED`] for those without one; empty where no instance has one.
    pub labels: &'a [u32],
}

/// Instances of which a page tells.
pub struct Data<'a> {
    /// What they are called together.
    pub name: String,
    /// Their parts, the one that was learned from first.
    pub parts: Vec<Part<'a>>,
    /// The names of the classes; numbers stand in for what is missing.
    pub classes: Vec<String>,
    /// Batches of the first part: those of the last epoch of a run.
    pub plan: &'a [Vec<u32>],
    /// What the loss compares, a row an instance of the first part; its representation where absent.
    pub compared: Option<Rows<'a>>,
    /// Whether such a row holds a query and then its document.
    pub pairs: bool,
    /// The last part, as the encoder represented it before training.
    pub untrained: Option<Rows<'a>>,
    /// What instances look like.
    pub pictures: &'a dyn Pictures,
}

impl Data<'_> {
    /// Checks that all that is said of a part has its length.
    ///
    /// # Errors
    /// [`ReportError::Input`] names what does not fit.
    pub(crate) fn check(&self) -> Result<(), ReportError> {
        let wrong = |text: String| Err(ReportError::Input(text));
        let Some(first) = self.parts.first() else { return wrong("there is no part to show".to_owned()) };
        for part in &self.parts {
            let (rows, labels) = (part.rows.len(), part.labels.len());
            if labels != 0 && labels != rows {
                return wrong(format!("{}: {labels} labels for {rows} rows", part.name));
            }
            if part.rows.columns() != first.rows.columns() {
                let (own, other) = (part.rows.columns(), first.rows.columns());
                return wrong(format!("{} has rows of {own} numbers, {} of {other}", part.name, first.name));
            }
            if let Err(problem) = part.rows.check_finite() {
                return wrong(format!("{}: {problem}", part.name));
            }
        }
        let instances = first.rows.len();
        if let Some(outside) = self.plan.iter().flatten().find(|member| **member as usize >= instances) {
            return wrong(format!("a batch holds instance {outside}, and {} has {instances}", first.name));
        }
        if let Some(rows) = self.compared {
            if rows.len() != instances {
                return wrong(format!("{} compared rows for {instances} instances", rows.len()));
            }
            if let Err(problem) = rows.check_finite() {
                return wrong(format!("what is compared: {problem}"));
            }
        }
        let columns = self.compared().columns();
        if self.pairs && !columns.is_multiple_of(2) {
            return wrong(format!("{columns} columns of pairs, which have two halves"));
        }
        if let Some(Err(problem)) = self.untrained.map(|rows| rows.check_finite()) {
            return wrong(format!("before training: {problem}"));
        }
        Ok(())
    }

    /// The class of an instance, where it has one.
    pub(crate) fn label(&self, part: usize, instance: u32) -> Option<u32> {
        let label = self.parts[part].labels.get(instance as usize)?;
        Some(*label).filter(|label| *label != UNLABELLED)
    }

    /// What a class is called.
    pub(crate) fn class(&self, label: u32) -> String {
        self.classes.get(label as usize).cloned().unwrap_or_else(|| format!("class {label}"))
    }

    /// What the loss compares, or stands in for it.
    pub(crate) fn compared(&self) -> Rows<'_> {
        self.compared.unwrap_or(self.parts[0].rows)
    }

    /// How many classes there are.
    pub(crate) fn class_count(&self) -> usize {
        let labels = self.parts.iter().flat_map(|part| part.labels);
        let most = labels.filter(|label| **label != UNLABELLED).max().map_or(0, |label| *label as usize + 1);
        most.max(self.classes.len())
    }
}
