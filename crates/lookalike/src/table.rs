//! Tables on the terminal.

use std::fmt::Write;

use lookalike_learn::evaluate::Score;

/// Rows of a name and a value, aligned.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<(String, String)>);

impl Table {
    /// Adds a row.
    pub(crate) fn row(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// Adds an accuracy or another share, as a percentage.
    pub(crate) fn share(&mut self, name: impl Into<String>, score: &Score) {
        let value =
            score.value().map_or_else(|| score.to_string(), |value| format!("{:6.2} %", 100.0 * value));
        self.row(name, value);
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, name: impl Into<String>, score: &Score) {
        self.row(name, score.value().map_or_else(|| score.to_string(), |value| format!("{value:8.4}")));
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
