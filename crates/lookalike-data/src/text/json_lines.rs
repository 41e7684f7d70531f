//! JSON lines: an object a line.

use super::collector::{Cell, Collector, Fields, Row};
use super::lines::{Lines, shortened};
use super::read::{ReadOptions, stem};
use super::text_set::TextSet;
use crate::error::DataError;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::path::Path;

/// The members of an object in their order in the file.
pub(super) struct Object(pub(super) Vec<(String, Value)>);

impl Object {
    pub(super) fn parse(lines: &Lines, text: &str) -> Result<Self, DataError> {
        serde_json::from_str(text)
            .map_err(|error| lines.wrong(format!("{:?} is no JSON object: {error}", shortened(text))))
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members: Vec<(String, Value)> = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    if members.iter().any(|(known, _)| *known == key) {
                        return Err(serde::de::Error::custom(format_args!("`{key}` comes twice")));
                    }
                    members.push((key, value));
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Reads JSON lines. Empty lines are passed over.
pub(super) fn read(path: &Path, options: &ReadOptions) -> Result<(TextSet, Vec<String>), DataError> {
    let mut lines = Lines::open(path, options.encoding, options.invalid_utf8)?;
    let mut begun: Option<(Fields, Collector<'_>)> = None;
    while let Some(text) = lines.next()?.map(str::to_owned) {
        if text.trim().is_empty() {
            continue;
        }
        let object = Object::parse(&lines, &text)?;
        if begun.is_none() {
            begun = Some(begin(&object, path, options)?);
        }
        let Some((fields, collector)) = &mut begun else { continue };
        let row = row(&object, fields, options).map_err(|problem| lines.wrong(problem))?;
        collector.row(lines.number(), row)?;
    }
    let Some((_, collector)) = begun else {
        return Err(DataError::text_file(path, "it has no line"));
    };
    Ok(collector.finish(stem(path), lines.warning()))
}

/// The first object says which columns there are.
fn begin<'a>(
    object: &Object,
    path: &'a Path,
    options: &ReadOptions,
) -> Result<(Fields, Collector<'a>), DataError> {
    let names: Vec<String> = object.0.iter().map(|(name, _)| name.clone()).collect();
    let is_text = |place: usize| match &object.0[place].1 {
        Value::String(_) => true,
        Value::Array(texts) => !texts.is_empty() && texts.iter().all(Value::is_string),
        _ => false,
    };
    let fields = Fields::of(&names, options, path, is_text)?;
    let collector = Collector::new(path, &fields.names, "line");
    Ok((fields, collector))
}

fn row(object: &Object, fields: &Fields, options: &ReadOptions) -> Result<Row, String> {
    let member =
        |name: &str| object.get(name).ok_or_else(|| format!("the object has no `{name}`, as the first has"));
    let plain = |name: &Option<String>| {
        name.as_ref().map(|name| match member(name)? {
            Value::String(text) => Ok(text.clone()),
            value @ (Value::Number(_) | Value::Bool(_)) => Ok(value.to_string()),
            _ => Err(format!("`{name}` is neither a text nor a number")),
        })
    };
    let cell = |name: &String| match member(name)? {
        Value::String(text) => Ok(Cell::One(text.clone())),
        Value::Array(texts) => {
            let text = |text: &Value| text.as_str().map(str::to_owned);
            let texts: Option<Vec<String>> = texts.iter().map(text).collect();
            texts.map(Cell::Many).ok_or_else(|| format!("`{name}` is a list of something other than texts"))
        }
        // As an empty text, which is counted.
        Value::Null => Ok(Cell::Many(Vec::new())),
        _ => Err(format!("`{name}` is neither a text nor a list of texts")),
    };
    Ok(Row {
        cells: fields.names.iter().map(cell).collect::<Result<_, _>>()?,
        label: plain(&options.label).transpose()?,
        score: plain(&options.score).transpose()?,
        group: plain(&options.group).transpose()?,
    })
}
