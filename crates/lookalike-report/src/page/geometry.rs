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

/// The singular values of rows, each beside the greatest, and what else is told of how they lie.
pub(crate) struct Arm {
    pub(crate) name: &'static str,
    /// The greatest first, which is 1.
    pub(crate) singular_values: Vec<f64>,
    effective_rank: Option<f64>,
    rank_me: Option<f64>,
    uniformity: Option<f64>,
    columns: usize,
    rows: usize,
}

impl Arm {
    fn of(name: &'static str, whole: Rows<'_>) -> Result<Self, ReportError> {
        let sample = sampled(whole)?;
        let found = spectrum(sample.rows(), Centering::Centered)?;
        let greatest = found.singular_values.first().copied().unwrap_or(0.0).max(f64::MIN_POSITIVE);
        let uniform = uniformity(sample.rows(), &UniformityOptions::default());
        Ok(Self {
            name,
            singular_values: found.singular_values.iter().map(|value| value / greatest).collect(),
            effective_rank: found.effective_rank().ok(),
            rank_me: rank_me(sample.rows()).ok(),
            uniformity: uniform.ok().map(|uniformity| uniformity.value),
            columns: whole.columns(),
            rows: sample.len(),
        })
    }
}

/// The last part after training and before; none where it has no two rows.
pub(crate) fn arms(data: &Data<'_>) -> Result<Vec<Arm>, ReportError> {
    let part = data.parts.last().map(|part| part.rows);
    let both = [("after training", part), ("before training", data.untrained)];
    let rows = both.into_iter().filter_map(|(name, rows)| Some((name, rows?)));
    let mut arms: Vec<Arm> = rows
        .filter(|(_, rows)| rows.len() > 1)
        .map(|(name, rows)| Arm::of(name, rows))
        .collect::<Result<_, ReportError>>()?;
    if let [only] = &mut arms[..] {
        only.name = "embeddings";
    }
    Ok(arms)
}

/// Spectrum and ranks of the last part.
pub(crate) fn section(data: &Data<'_>) -> Result<Option<Section>, ReportError> {
    let Some(part) = data.parts.last().filter(|part| part.rows.len() > 1) else { return Ok(None) };
    let arms = arms(data)?;
    let shown = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), number);
    let row = |arm: &Arm| {
        let name = arm.name.to_owned();
        let columns = arm.columns.to_string();
        vec![name, shown(arm.effective_rank), shown(arm.rank_me), shown(arm.uniformity), columns]
    };
    let rows: Vec<Vec<String>> = arms.iter().map(row).collect();
    let line = |arm: &Arm| {
        let places = arm.singular_values.iter().zip(1_u32..);
        Line::new(arm.name, places.map(|(value, place)| [f64::from(place), value.max(1e-9)]).collect())
    };
    let about = format!(
        "Singular values of {} centred rows of {}, each beside the greatest. A line that falls off early uses few directions.",
        arms.last().map_or(0, |arm| arm.rows),
        part.name
    );
    let chart = LineChart {
        title: "Spectrum",
        about: &about,
        x: "rank of the singular value",
        y: "share of the greatest",
        lines: arms.iter().map(line).collect(),
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
