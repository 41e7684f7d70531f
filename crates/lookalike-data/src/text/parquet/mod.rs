//! Parquet files, row by row.

mod pages;
mod thrift;

use super::collector::{Cell, Collector, Fields, Row};
use super::read::{ReadOptions, stem};
use super::text_set::TextSet;
use super::tokenizer::message;
use crate::error::DataError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::Field;
use ::parquet::schema::types::Type;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

/// Reads a Parquet file. A panic of the crate `parquet` on a damaged file is caught and becomes an error.
pub(super) fn read(path: &Path, options: &ReadOptions) -> Result<(TextSet, Vec<String>), DataError> {
    catch_unwind(AssertUnwindSafe(|| read_rows(path, options))).unwrap_or_else(|panic| {
        Err(DataError::text_file(path, format!("the crate `parquet` panicked: {}", message(&*panic))))
    })
}

fn read_rows(path: &Path, options: &ReadOptions) -> Result<(TextSet, Vec<String>), DataError> {
    let failed = |error: ::parquet::errors::ParquetError| {
        DataError::text_file(path, format!("it is no readable Parquet file: {error}"))
    };
    let file = File::open(path).map_err(DataError::io("open", path))?;
    let claims =
        |problem: String| DataError::text_file(path, format!("it is no readable Parquet file: {problem}"));
    pages::check_description(&file).map_err(claims)?;
    let reader = SerializedFileReader::new(file).map_err(failed)?;
    let schema = reader.metadata().file_metadata().schema().clone();
    let names: Vec<String> = schema.get_fields().iter().map(|field| field.name().to_owned()).collect();
    let is_text = |place: usize| {
        let column = &schema.get_fields()[place];
        column.is_primitive() && column.get_physical_type() == ::parquet::basic::Type::BYTE_ARRAY
    };
    let fields = Fields::of(&names, options, path, is_text)?;

    // Only the columns that are asked for are read, in the file's order.
    let mut places: Vec<usize> = fields.texts.clone();
    places.extend([fields.label, fields.score, fields.group].into_iter().flatten());
    places.sort_unstable();
    places.dedup();
    let chosen: Vec<Arc<Type>> = places.iter().map(|place| schema.get_fields()[*place].clone()).collect();
    let projection = Type::group_type_builder(schema.name()).with_fields(chosen).build().map_err(failed)?;

    let is_read = |root: &str| places.iter().any(|place| names[*place] == root);
    let file = File::open(path).map_err(DataError::io("open", path))?;
    pages::check(&file, reader.metadata(), is_read).map_err(claims)?;

    let mut collector = Collector::new(path, &fields.names, "row");
    for (number, row) in reader.get_row_iter(Some(projection)).map_err(failed)?.enumerate() {
        let (number, record) = (number as u64 + 1, row.map_err(failed)?.into_columns());
        let member = |place: usize| {
            let name = &names[place];
            record
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, field)| field)
                .ok_or_else(|| format!("it has no `{name}`"))
        };
        let plain = |place: Option<usize>| place.map(|place| member(place).and_then(plain)).transpose();
        let row = (|| {
            Ok(Row {
                cells: fields
                    .texts
                    .iter()
                    .map(|place| member(*place).and_then(cell))
                    .collect::<Result<_, _>>()?,
                label: plain(fields.label)?,
                score: plain(fields.score)?,
                group: plain(fields.group)?,
            })
        })();
        let row = row.map_err(|problem: String| collector.wrong(number, problem))?;
        collector.row(number, row)?;
    }
    Ok(collector.finish(stem(path), None))
}

fn text(field: &Field) -> Result<String, String> {
    match field {
        Field::Str(text) => Ok(text.clone()),
        Field::Bytes(bytes) => {
            str::from_utf8(bytes.data()).map(str::to_owned).map_err(|_| "a text is no UTF-8".to_owned())
        }
        _ => Err("a value is no text".to_owned()),
    }
}

fn cell(field: &Field) -> Result<Cell, String> {
    match field {
        // As an empty text, which is counted.
        Field::Null => Ok(Cell::Many(Vec::new())),
        Field::ListInternal(list) => {
            list.elements().iter().map(text).collect::<Result<_, _>>().map(Cell::Many)
        }
        _ => text(field).map(Cell::One),
    }
}

fn plain(field: &Field) -> Result<String, String> {
    match field {
        Field::Str(_) | Field::Bytes(_) => text(field),
        Field::Null | Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) => {
            Err("a label, score or group is neither a text nor a number".to_owned())
        }
        Field::Float(number) => Ok(number.to_string()),
        Field::Double(number) => Ok(number.to_string()),
        _ => Ok(field.to_string()),
    }
}
