//! Gathers rows from a file of any format, and counts what it leaves out.

use super::lines::shortened;
use super::read::ReadOptions;
use super::text_set::{Column, MAX_TEXTS, Names, TextSet};
use crate::error::DataError;
use lookalike_base::words::did_you_mean;
use std::path::Path;

/// The texts of one column in one row.
pub(super) enum Cell {
    One(String),
    Many(Vec<String>),
}

/// Which fields of a row are asked for, by their place.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    pub(super) texts: Vec<usize>,
    pub(super) label: Option<usize>,
    pub(super) score: Option<usize>,
    pub(super) group: Option<usize>,
    /// Names of the columns of texts.
    pub(super) names: Vec<String>,
}

impl Fields {
    /// The fields that `options` ask for among those with `names`. Without columns asked for, all that are asked for as nothing else
    /// and that `is_text` takes for texts.
    pub(super) fn of(
        names: &[String],
        options: &ReadOptions,
        path: &Path,
        is_text: impl Fn(usize) -> bool,
    ) -> Result<Self, DataError> {
        let place = |wanted: &String| {
            names.iter().position(|name| name == wanted).ok_or_else(|| {
                let hint = did_you_mean(wanted, names.iter().map(String::as_str));
                let there =
                    names.iter().map(|name| format!("`{}`", shortened(name))).collect::<Vec<_>>().join(", ");
                DataError::text_file(path, format!("it has no column `{wanted}`, but {there}{hint}"))
            })
        };
        let [label, score, group] =
            [&options.label, &options.score, &options.group].map(|name| name.as_ref().map(place).transpose());
        let (label, score, group) = (label?, score?, group?);
        let texts: Vec<usize> = if options.columns.is_empty() {
            let taken = [label, score, group];
            let most = if options.first_only { 1 } else { names.len() };
            let all = (0..names.len()).filter(|place| !taken.contains(&Some(*place)) && is_text(*place));
            all.take(most).collect()
        } else {
            options.columns.iter().map(place).collect::<Result<_, _>>()?
        };
        if texts.is_empty() {
            return Err(DataError::text_file(path, "it has no column of texts"));
        }
        Ok(Self {
            names: texts.iter().map(|place| names[*place].clone()).collect(),
            texts,
            label,
            score,
            group,
        })
    }
}

/// One row: its texts, and what else was asked for.
#[derive(Default)]
pub(super) struct Row {
    pub(super) cells: Vec<Cell>,
    pub(super) label: Option<String>,
    pub(super) score: Option<String>,
    pub(super) group: Option<String>,
}

/// Rows in the making.
pub(super) struct Collector<'a> {
    path: &'a Path,
    columns: Vec<Column>,
    /// The line or row from which each row is.
    places: Vec<u64>,
    labels: Vec<String>,
    groups: Vec<String>,
    scores: Vec<f32>,
    /// How many rows were left out because a text is empty, and the first.
    empty: (u64, u64),
    /// What rows are counted by: "line" or "row".
    unit: &'static str,
}

impl<'a> Collector<'a> {
    pub(super) fn new(path: &'a Path, names: &[String], unit: &'static str) -> Self {
        Self {
            path,
            columns: names.iter().map(|name| Column::new(name)).collect(),
            places: Vec::new(),
            labels: Vec::new(),
            groups: Vec::new(),
            scores: Vec::new(),
            empty: (0, 0),
            unit,
        }
    }

    /// The error that something is wrong at `place`, a line or a row from 1.
    pub(super) fn wrong(&self, place: u64, problem: impl Into<String>) -> DataError {
        let problem = problem.into();
        if self.unit == "line" {
            DataError::Line { path: self.path.into(), line: place, problem }
        } else {
            DataError::text_file(self.path, format!("{} {place}: {problem}", self.unit))
        }
    }

    /// Adds a row, unless one of its texts is empty.
    pub(super) fn row(&mut self, place: u64, mut row: Row) -> Result<(), DataError> {
        for cell in &mut row.cells {
            if let Cell::Many(texts) = cell {
                texts.retain(|text| !text.trim().is_empty());
            }
        }
        let is_empty = |cell: &Cell| match cell {
            Cell::One(text) => text.trim().is_empty(),
            Cell::Many(texts) => texts.is_empty(),
        };
        if row.cells.iter().any(is_empty) {
            if self.empty.0 == 0 {
                self.empty.1 = place;
            }
            self.empty.0 += 1;
            return Ok(());
        }
        if let Some(score) = &row.score {
            match score.trim().parse::<f32>() {
                Ok(value) if value.is_finite() => self.scores.push(value),
                _ => {
                    return Err(
                        self.wrong(place, format!("the score {:?} is not a finite number", shortened(score)))
                    );
                }
            }
        }
        self.labels.extend(row.label);
        self.groups.extend(row.group);
        for (column, cell) in self.columns.iter_mut().zip(&row.cells) {
            match cell {
                Cell::One(text) => column.push(std::iter::once(text.as_str())),
                Cell::Many(texts) => column.push(texts.iter().map(String::as_str)),
            }
        }
        self.places.push(place);
        if self.columns.iter().any(|column| column.texts.len() >= MAX_TEXTS) {
            return Err(self.wrong(place, format!("a column has {MAX_TEXTS} texts, the limit")));
        }
        Ok(())
    }

    /// The set, and what the user should know.
    pub(super) fn finish(self, name: String, warning: Option<String>) -> (TextSet, Vec<String>) {
        let mut warnings: Vec<String> = warning.into_iter().collect();
        let (count, first) = self.empty;
        if count > 0 {
            let unit = self.unit;
            warnings.push(format!(
                "{}: {count} {unit}s with an empty text are left out, the first is {unit} {first}",
                self.path.display()
            ));
        }
        let mut set = TextSet::new(name, self.columns, self.places);
        let named = |names: Vec<String>| (!names.is_empty()).then(|| names.into_iter().collect::<Names>());
        set.labels = named(self.labels);
        set.groups = named(self.groups);
        set.scores = (!self.scores.is_empty()).then_some(self.scores);
        (set, warnings)
    }
}
