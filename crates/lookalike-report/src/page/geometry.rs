//! How embeddings lie: their spectrum, ranks and spread, with those before training beside.

use lookalike_base::{Matrix, Rows};
use lookalike_metrics::{Centering, UniformityOptions, rank_me, spectrum, uniformity};

use super::Section;
use crate::chart::{Line, LineChart};
use crate::data::Data;
use crate::error::ReportError;
use crate::html::{number, table};

/// Rows whose spectrum is taken at most.
const MOST_ROWS: usize = 4096;

/// Spectrum and ranks of the last part.
pub(crate) fn section(data: &Data<'_>) -> Result<Option<Section>, ReportError> {
    let Some(part) = data.parts.last().filter(|part| part.rows.len() > 1) else { return Ok(None) };
    let mut arms = vec![("after training", part.rows)];
    arms.extend(data.untrained.filter(|rows| rows.len() > 1).map(|rows| ("before training", rows)));
    if arms.len() == 1 {
        arms[0].0 = "embeddings";
    }
    let (mut lines, mut rows, mut taken) = (Vec::new(), Vec::new(), 0);
    for (name, whole) in arms {
        let sample = sampled(whole)?;
        taken = sample.len();
        let found = spectrum(sample.rows(), Centering::Centered)?;
        let greatest = found.singular_values.first().copied().unwrap_or(0.0).max(f64::MIN_POSITIVE);
        let points = found
            .singular_values
            .iter()
            .enumerate()
            .map(|(place, value)| [place as f64 + 1.0, (value / greatest).max(1e-9)]);
        lines.push(Line::new(name, points.collect()));
        let shown = |value: Result<f64, lookalike_metrics::MetricError>| {
            value.map_or_else(|_| "–".to_owned(), number)
        };
        rows.push(vec![
            name.to_owned(),
            shown(found.effective_rank()),
            shown(rank_me(sample.rows())),
            shown(
                uniformity(sample.rows(), &UniformityOptions::default()).map(|uniformity| uniformity.value),
            ),
            whole.columns().to_string(),
        ]);
    }
    let about = format!(
        "Singular values of {taken} centred rows of {}, each beside the greatest. A line that falls off early uses few directions.",
        part.name
    );
    let chart = LineChart {
        title: "Spectrum",
        about: &about,
        x: "rank of the singular value",
        y: "share of the greatest",
        lines,
        log: true,
        from_zero: false,
    };
    let head = ["embeddings", "effective rank", "RankMe", "uniformity", "dimensions"];
    let html = format!(
        "<div class=\"charts\">{}</div>{}",
        chart.html(),
        table(
            "How many directions are used, and how evenly embeddings lie (uniformity: less is better)",
            &head,
            &rows
        )
    );
    Ok(Some(Section { id: "geometry", title: "Geometry", html }))
}

/// Every nth row, so that there are no more than can be decomposed in a moment.
fn sampled(rows: Rows<'_>) -> Result<Matrix, ReportError> {
    let every = rows.len().div_ceil(MOST_ROWS).max(1);
    let values = rows.iter().step_by(every).flatten().copied().collect();
    Matrix::new(values, rows.columns()).map_err(|problem| ReportError::Input(problem.to_string()))
}
