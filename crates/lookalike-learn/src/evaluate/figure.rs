//! What was measured: numbers under names for JSON, and under titles for a table.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value as Json;

use crate::error::LearnError;

/// A result: under a name in JSON, under a title in a table, or under both.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    key: Option<String>,
    value: Json,
    title: Option<String>,
    text: String,
}

impl Figure {
    /// A score under a name and a title, which is shown as `text`.
    ///
    /// # Errors
    /// [`LearnError::Evaluation`] where it cannot be written as JSON.
    pub fn new(
        key: impl Into<String>,
        value: &impl Serialize,
        title: impl Into<String>,
        text: impl Into<String>,
    ) -> Result<Self, LearnError> {
        let (title, text) = (Some(title.into()), text.into());
        Ok(Self { title, text, ..Self::hidden(key, value)? })
    }

    /// What only JSON shows.
    ///
    /// # Errors
    /// As [`Figure::new`].
    pub fn hidden(key: impl Into<String>, value: &impl Serialize) -> Result<Self, LearnError> {
        // By way of the text: numbers of 32 bits keep their own digits, 0.1 and not 0.10000000149011612.
        let text = serde_json::to_string(value).and_then(|text| serde_json::from_str(&text));
        let value = text.map_err(|error| LearnError::Evaluation(error.to_string()))?;
        Ok(Self { key: Some(key.into()), value, title: None, text: String::new() })
    }

    /// What only a table shows.
    pub fn shown(title: impl Into<String>, text: impl Into<String>) -> Self {
        Self { key: None, value: Json::Null, title: Some(title.into()), text: text.into() }
    }
}

/// All that was measured.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    figures: Vec<Figure>,
}

impl Evaluation {
    /// Of these figures, in this order.
    pub(super) fn of(figures: Vec<Figure>) -> Self {
        Self { figures }
    }

    /// The value of that name.
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.figures.iter().find(|figure| figure.key.as_deref() == Some(key)).map(|figure| &figure.value)
    }

    /// The number of that name.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.get(key).and_then(Json::as_f64)
    }

    /// The numbers by name: a score, or the mean of one of several draws.
    pub fn numbers(&self) -> impl Iterator<Item = (&str, f64)> {
        self.figures.iter().filter_map(|figure| {
            let value = &figure.value;
            Some((figure.key.as_deref()?, value.as_f64().or_else(|| value.get("mean")?.as_f64())?))
        })
    }

    /// Rows of a table with their names in JSON: name, title and what is shown beside it.
    pub fn shown(&self) -> impl Iterator<Item = (Option<&str>, &str, &str)> {
        self.figures.iter().filter_map(|figure| {
            Some((figure.key.as_deref(), figure.title.as_deref()?, figure.text.as_str()))
        })
    }

    /// Rows of a table: a title and what is shown beside it.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &str)> {
        self.shown().map(|(_, title, text)| (title, text))
    }
}

impl Evaluation {
    /// The same, of a run that has made so many optimiser steps.
    ///
    /// # Errors
    /// As [`Figure::new`].
    pub fn at_step(mut self, step: u64) -> Result<Self, LearnError> {
        self.figures.insert(0, Figure::hidden(STEP, &step)?);
        Ok(self)
    }
}

/// The name under which an evaluation says after how many optimiser steps it was made.
pub const STEP: &str = "step";

impl Serialize for Evaluation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for figure in &self.figures {
            if let Some(key) = &figure.key {
                map.serialize_entry(key, &figure.value)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_with_their_own_digits_those_of_32_bits_too() {
        let figures = [
            Figure::hidden("single", &0.1_f32).unwrap(),
            Figure::new("double", &0.1_f64, "double", "").unwrap(),
            Figure::hidden("widened", &f64::from(0.1_f32)).unwrap(),
            Figure::hidden("several", &[0.07_f32, 1e-30]).unwrap(),
            Figure::hidden("count", &3_usize).unwrap(),
        ];
        let text = serde_json::to_string(&Evaluation::of(figures.to_vec())).unwrap();
        let expected = "{\"single\":0.1,\"double\":0.1,\"widened\":0.10000000149011612,\"several\":[0.07,1e-30],\"count\":3}";
        assert_eq!(text, expected);
    }
}
