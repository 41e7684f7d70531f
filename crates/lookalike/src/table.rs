//! Tables on the terminal.

use std::fmt::Write;

use lookalike_learn::evaluate::Evaluation;

/// Rows of a name and a value, aligned.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<(String, String)>);

impl Table {
    /// Adds a row.
    pub(crate) fn row(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// All that an evaluation shows.
    pub(crate) fn of(evaluation: &Evaluation) -> Self {
        Self(evaluation.rows().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = self.0.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for (name, value) in &self.0 {
            writeln!(text, "{name:width$}  {value}")?;
        }
        formatter.write_str(text.trim_end())
    }
}
