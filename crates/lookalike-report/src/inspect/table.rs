//! The table that one acts on, and the groups that a sampler keeps apart.

use super::Inspected;
use super::findings::Findings;
use crate::error::ReportError;

/// The columns of the table.
const COLUMNS: [&str; 10] =
    ["row", "name", "issue", "score", "group", "other", "other_name", "label", "suggested_label", "split"];

impl Findings {
    /// A line a finding, as CSV with a header.
    ///
    /// # Errors
    /// [`ReportError::Input`] where a line cannot be written.
    pub fn csv(&self, data: &Inspected<'_>) -> Result<Vec<u8>, ReportError> {
        let fail = |error: csv::Error| ReportError::Input(error.to_string());
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(COLUMNS).map_err(fail)?;
        for finding in &self.all {
            let label = data
                .labels
                .get(finding.instance as usize)
                .filter(|label| **label != lookalike_sampling::UNLABELLED);
            let class = |label: Option<&u32>| label.map_or_else(String::new, |label| data.class(*label));
            let group = self.duplicates[finding.instance as usize];
            let score =
                if finding.score.is_finite() { format!("{:.6}", finding.score) } else { String::new() };
            let record = [
                finding.instance.to_string(),
                data.name_of(finding.instance),
                finding.issue.word().to_owned(),
                score,
                if group < 0 { String::new() } else { group.to_string() },
                finding.other.map_or_else(String::new, |other| other.to_string()),
                finding.other.map_or_else(String::new, |other| data.name_of(other)),
                class(label),
                class(finding.suggested.as_ref()),
                data.split(finding.instance).to_owned(),
            ];
            writer.write_record(record.map(harmless)).map_err(fail)?;
        }
        writer.into_inner().map_err(|error| ReportError::Input(error.to_string()))
    }
}

/// A cell that a spreadsheet does not take for a formula.
fn harmless(cell: String) -> String {
    let is_number = cell.parse::<f64>().is_ok();
    match cell.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') if !is_number => format!("'{cell}"),
        _ => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        let cells = ["=1+1", "-0.5", "@a", "plain"].map(|cell| harmless(cell.to_owned()));
        assert_eq!(cells, ["'=1+1", "-0.5", "'@a", "plain"]);
    }
}
