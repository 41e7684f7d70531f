//! The map of a page: a picture of it for those who have no script, and numbers for the canvas of those who have.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, Rgba, RgbaImage};
use lookalike_base::{RowSource, Watch};
use lookalike_sampling::{ProximityGraph, UNLABELLED};
use serde_json::{Value, json};

use super::Section;
use crate::data::Data;
use crate::error::ReportError;
use crate::html::{count, escaped};
use crate::map::{LayoutOptions, layout};
use crate::near::Near;

/// Instances of a map at most; of more every nth is shown.
pub(crate) const MOST_INSTANCES: usize = 200_000;
/// Side of the picture.
const SIDE: u32 = 420;
/// Bytes that names may take.
const MOST_NAMES: usize = 2_000_000;
/// Of an instance without a value.
const NONE: u16 = u16::MAX;
/// Okabe and Ito's colours, which people tell apart who see fewer.
const COLOURS: [[u8; 3]; 8] = [
    [0, 114, 178],
    [213, 94, 0],
    [0, 128, 95],
    [176, 87, 141],
    [138, 109, 0],
    [59, 135, 181],
    [110, 110, 110],
    [122, 81, 149],
];

/// What instances are coloured by.
struct Colour {
    name: &'static str,
    values: Vec<u16>,
    /// The names of the values, where they are classes.
    named: Vec<String>,
    /// The least and the greatest, where they are numbers from 0 to 65,535 between these.
    scale: Option<[f64; 2]>,
}

/// The map and what its canvas is drawn from; `shown` says which picture of the page an instance has.
pub(crate) fn section(
    data: &Data<'_>,
    near: &Near,
    watch: Watch<'_>,
) -> Result<(Section, Value), ReportError> {
    let every = near.len().div_ceil(MOST_INSTANCES).max(1);
    let chosen: Vec<u32> = (0..near.len() as u32).step_by(every).collect();
    let places = placed(near, &chosen, watch)?;
    let colours = colours(data, near, &chosen);
    let quantised = |axis: usize| {
        let all = || places.iter().map(|place| place[axis]);
        let (low, high) = all()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let room = 0.02 * (high - low).max(1e-6);
        let (low, width) = (low - room, high - low + 2.0 * room);
        all().map(|value| ((value - low) / width * 65535.0) as u16).collect::<Vec<u16>>()
    };
    let [x, y] = [0, 1].map(quantised);
    let mut html = String::from(
        "<p>Each point is an instance. Near each other lie those whose embeddings are nearest; the distance between far groups says little.</p>",
    );
    if every > 1 {
        let _ = write!(html, "<p>Every {every}th of {} instances is shown.</p>", count(near.len() as u64));
    }
    html.push_str("<div class=\"no-js maps\">");
    for colour in &colours {
        let picture = drawn(&x, &y, colour)?;
        let about = format!("Map of {} instances, coloured by {}", count(chosen.len() as u64), colour.name);
        let _ = write!(
            html,
            "<figure><img width=\"{SIDE}\" height=\"{SIDE}\" alt=\"{}\" src=\"data:image/png;base64,{picture}\"><figcaption>by {}</figcaption></figure>",
            escaped(&about),
            colour.name
        );
    }
    html.push_str("</div><div class=\"js\"><div class=\"tools\"><label>colour <select id=\"map-colour\">");
    for (place, colour) in colours.iter().enumerate() {
        let _ = write!(html, "<option value=\"{place}\">{}</option>", colour.name);
    }
    html.push_str(
        "</select></label><label>only <select id=\"map-only\"></select></label><button type=\"button\" id=\"map-in\">closer</button>\
         <button type=\"button\" id=\"map-out\">farther</button></div><canvas id=\"map-canvas\" tabindex=\"0\" role=\"img\" aria-label=\"Map of \
         instances; arrow keys move it, plus and minus change how near it is\"></canvas><p id=\"map-told\" role=\"status\">Point at an \
         instance.</p><span id=\"map-picture\"></span></div>",
    );
    let value = |colour: &Colour| {
        let mut value = json!({ "name": colour.name, "values": words(&colour.values) });
        match colour.scale {
            Some(scale) => value["scale"] = json!(scale),
            None => value["values_named"] = json!(colour.named),
        }
        value
    };
    let mut told = json!({ "x": words(&x), "y": words(&y), "colours": colours.iter().map(value).collect::<Vec<Value>>(), "pictures": {}, "every": every });
    if let Some(names) = names(data, near, &chosen) {
        told["names"] = json!(names);
    }
    Ok((Section { id: "map", title: "Map", html }, told))
}

/// The places of the chosen instances, tied by the edges between them.
fn placed(near: &Near, chosen: &[u32], watch: Watch<'_>) -> Result<Vec<[f32; 2]>, ReportError> {
    let options = LayoutOptions::default();
    if chosen.len() == near.len() {
        return layout(&near.graph, near.rows.rows(), &options, watch);
    }
    // Of a part of all the nearest are looked for anew.
    let values = chosen.iter().flat_map(|row| near.rows.row(*row as usize)).copied().collect();
    let rows = lookalike_base::Matrix::new(values, near.rows.columns())
        .map_err(|problem| ReportError::Input(problem.to_string()))?;
    let graph: ProximityGraph = lookalike_sampling::knn_graph(
        rows.rows(),
        None,
        crate::near::NEIGHBORS.min(RowSource::len(&rows.rows()) - 1),
        None,
        crate::near::scoring(chosen.len()),
        Watch { cancellation: watch.cancellation, ..Watch::default() },
    )?;
    layout(&graph, rows.rows(), &options, watch)
}

/// By class, by part, by how hard the neighbours are.
fn colours(data: &Data<'_>, near: &Near, chosen: &[u32]) -> Vec<Colour> {
    let mut found = Vec::new();
    if data.parts.iter().any(|part| part.labels.iter().any(|label| *label != UNLABELLED)) {
        let value = |number: &u32| {
            let (part, instance) = near.instance(*number);
            data.label(part, instance).map_or(NONE, |label| label.min(u32::from(NONE) - 1) as u16)
        };
        let named = (0..data.class_count().min(500) as u32).map(|class| data.class(class)).collect();
        found.push(Colour { name: "class", values: chosen.iter().map(value).collect(), named, scale: None });
    }
    if data.parts.len() > 1 {
        let values = chosen.iter().map(|number| near.instance(*number).0 as u16).collect();
        let named = data.parts.iter().map(|part| part.name.to_owned()).collect();
        found.push(Colour { name: "part", values, named, scale: None });
    }
    let hardness: Vec<f64> = chosen
        .iter()
        .map(|number| {
            let similarities = near.graph.similarities(*number);
            similarities.iter().map(|value| f64::from(*value)).sum::<f64>() / similarities.len().max(1) as f64
        })
        .collect();
    let (low, high) = hardness
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
    let width = (high - low).max(1e-9);
    let values = hardness.iter().map(|value| ((value - low) / width * 65534.0) as u16).collect();
    found.push(Colour {
        name: "hardness (similarity of the nearest)",
        values,
        named: Vec::new(),
        scale: Some([low, high]),
    });
    found
}

/// Names of all, where they do not take too much.
fn names(data: &Data<'_>, near: &Near, chosen: &[u32]) -> Option<Vec<String>> {
    let (mut names, mut size) = (Vec::with_capacity(chosen.len()), 0);
    for number in chosen {
        let (part, instance) = near.instance(*number);
        let own = data
            .pictures
            .name(part, instance)
            .unwrap_or_else(|| format!("{} {instance}", data.parts[part].name));
        let own = crate::html::shortened(&own, 60);
        size += own.len() + 3;
        if size > MOST_NAMES {
            return None;
        }
        names.push(own);
    }
    Some(names)
}

/// Numbers of 16 bits in letters, the low byte first.
fn words(values: &[u16]) -> String {
    STANDARD.encode(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}

/// A picture of the map.
fn drawn(x: &[u16], y: &[u16], colour: &Colour) -> Result<String, ReportError> {
    let mut picture = RgbaImage::new(SIDE, SIDE);
    let size = if x.len() > 20_000 { 1 } else { 2 };
    for ((x, y), value) in x.iter().zip(y).zip(&colour.values) {
        let [red, green, blue] = match colour.scale {
            Some(_) => {
                let share = f64::from(*value) / 65535.0;
                [255.0 * share, 90.0, 255.0 * (1.0 - share)].map(|part| part as u8)
            }
            None if *value == NONE => COLOURS[6],
            None => COLOURS[usize::from(*value) % COLOURS.len()],
        };
        let at = |place: u16| (u32::from(place) * (SIDE - size)) / 65536;
        for across in 0..size {
            for down in 0..size {
                picture.put_pixel(at(*x) + across, at(*y) + down, Rgba([red, green, blue, 255]));
            }
        }
    }
    let mut file = Vec::new();
    PngEncoder::new_with_quality(&mut file, CompressionType::Best, FilterType::NoFilter)
        .write_image(picture.as_raw(), SIDE, SIDE, ExtendedColorType::Rgba8)
        .map_err(|error| ReportError::Input(error.to_string()))?;
    Ok(STANDARD.encode(file))
}

/// Says which pictures of the page are of instances of the map.
pub(crate) fn add_pictures(told: &mut Value, near: &Near, pictures: &[crate::album::Instance]) {
    let every = told["every"].as_u64().unwrap_or(1);
    let number = |instance: &crate::album::Instance| u64::from(near.number(*instance));
    let of_map = pictures.iter().map(number).enumerate().filter(|(_, number)| number.is_multiple_of(every));
    told["pictures"] =
        of_map.map(|(picture, number)| ((number / every).to_string(), json!(picture))).collect();
}
