//! Pages to look at, and maps.

use lookalike_base::{Seed, Watch};
use lookalike_report::inspect::{
    InspectOptions, Inspected, contents, inspect as search, page as inspected_page,
};
use lookalike_report::{
    Data, LayoutOptions, Part, Pictures, ReportError, ReportOptions, Shown, epochs_of, layout as place,
    report as page,
};
use lookalike_sampling::{Scoring, knn_graph};
use numpy::{PyArray1, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray4};
use pyo3::prelude::*;

use crate::arrays::{batches, rows, value_error};
use crate::sampler::classes as classes_of;
use crate::work::run_shown;

/// What instances look like: images one behind another, or texts.
struct Look<'a> {
    images: Option<(&'a [u8], [usize; 2])>,
    texts: Option<Vec<String>>,
    names: Option<Vec<String>>,
}

impl Pictures for Look<'_> {
    fn shown(&self, _: usize, instance: u32) -> Option<Shown> {
        if let Some((pixels, [height, width])) = self.images {
            let size = height * width * 3;
            let pixels = pixels.get(instance as usize * size..)?.get(..size)?.to_vec();
            return Some(Shown::Image { width: width as u32, height: height as u32, pixels });
        }
        Some(Shown::Texts(vec![self.texts.as_ref()?.get(instance as usize)?.clone()]))
    }

    fn name(&self, _: usize, instance: u32) -> Option<String> {
        self.names.as_ref()?.get(instance as usize).cloned()
    }
}

/// The pixels of images, and their height and width.
fn pixels<'a>(images: Option<&'a PyReadonlyArray4<'_, u8>>) -> PyResult<Option<(&'a [u8], [usize; 2])>> {
    let Some(images) = images else { return Ok(None) };
    let shape = images.as_array().shape().to_vec();
    Ok(Some((images.as_slice().map_err(value_error)?, [shape[1], shape[2]])))
}

/// A page of batches and their embeddings.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "called by keyword from one place")]
pub(crate) fn report(
    py: Python<'_>,
    members: PyReadonlyArray1<'_, i64>,
    sizes: PyReadonlyArray1<'_, i64>,
    embeddings: PyReadonlyArray2<'_, f32>,
    labels: Option<PyReadonlyArray1<'_, i64>>,
    classes: Vec<String>,
    images: Option<PyReadonlyArray4<'_, u8>>,
    texts: Option<Vec<String>>,
    names: Option<Vec<String>>,
    title: String,
    map: bool,
) -> PyResult<String> {
    let rows = rows(&embeddings)?;
    let plan = batches(&members, &sizes, rows.len())?;
    let labels = labels.map(|labels| classes_of(&labels)).transpose()?.unwrap_or_default();
    let look = Look { images: pixels(images.as_ref())?, texts, names };
    let epochs = if map { epochs_of(rows.len(), &LayoutOptions::default()) } else { 0 };
    let made = run_shown(py, "map", u64::from(epochs), |watch| {
        let data = Data {
            name: title,
            parts: vec![Part { name: "train", rows, labels: &labels }],
            classes,
            plan: &plan,
            compared: None,
            pairs: false,
            untrained: None,
            pictures: &look,
        };
        page(&[], Some(&data), &ReportOptions { map, ..ReportOptions::default() }, watch)
    })?;
    made.map_err(value_error)
}

/// A finding: row, issue, score, the other row and the likelier class, −1 for none.
type Found = (i64, &'static str, f64, i64, i64);

/// What an inspection gives: page, table, groups of duplicates, findings.
type Inspection<'py> = (String, Vec<u8>, Bound<'py, PyArray1<i64>>, Vec<Found>);

/// The page of an inspection, its table, the groups of duplicates, and all findings.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "called by keyword from one place")]
pub(crate) fn inspect<'py>(
    py: Python<'py>,
    embeddings: PyReadonlyArray2<'_, f32>,
    labels: Option<PyReadonlyArray1<'_, i64>>,
    classes: Vec<String>,
    splits: Option<PyReadonlyArray1<'_, i64>>,
    split_names: Vec<String>,
    images: Option<PyReadonlyArray4<'_, u8>>,
    texts: Option<Vec<String>>,
    names: Option<Vec<String>>,
    title: String,
    neighbors: usize,
    duplicate_factor: f64,
) -> PyResult<Inspection<'py>> {
    let rows = rows(&embeddings)?;
    let [labels, splits] =
        [labels, splits].map(|values| values.map(|values| classes_of(&values)).transpose());
    let (labels, splits) = (labels?.unwrap_or_default(), splits?.unwrap_or_default());
    let look = Look { images: pixels(images.as_ref())?, texts, names };
    let options = InspectOptions { neighbors, duplicate_factor, ..InspectOptions::default() };
    let made = run_shown(py, "comparing", rows.len() as u64, |watch| {
        let (labels, splits) = (&labels[..], &splits[..]);
        let contents =
            contents(&look, rows.len(), Watch { cancellation: watch.cancellation, ..Watch::default() })?;
        let data = Inspected {
            name: title,
            labels,
            classes,
            splits,
            split_names,
            contents: &contents,
            pictures: &look,
        };
        let found = search(&rows, &data, &options, watch)?;
        let csv = found.csv(&data)?;
        let html = inspected_page(&data, &found, ReportOptions::default().picture_bytes);
        Ok::<_, ReportError>((html, csv, found))
    })?;
    let (html, csv, found) = made.map_err(value_error)?;
    let or_none = |value: Option<u32>| value.map_or(-1, i64::from);
    let findings = found.all.iter().map(|finding| {
        (
            i64::from(finding.instance),
            finding.issue.word(),
            finding.score,
            or_none(finding.other),
            or_none(finding.suggested),
        )
    });
    let findings = findings.collect();
    Ok((html, csv, PyArray1::from_vec(py, found.duplicates), findings))
}

/// Places in two dimensions.
#[pyfunction]
pub(crate) fn layout<'py>(
    py: Python<'py>,
    embeddings: PyReadonlyArray2<'_, f32>,
    neighbors: usize,
    seed: u64,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let rows = rows(&embeddings)?;
    let options = LayoutOptions { seed: Seed(seed), ..LayoutOptions::default() };
    let made = run_shown(py, "map", u64::from(epochs_of(rows.len(), &options)), |watch| {
        let silent = Watch { cancellation: watch.cancellation, ..Watch::default() };
        let graph = knn_graph(rows, None, neighbors, None, Scoring::F32, silent)?;
        place(&graph, rows, &options, watch)
    })?;
    let places = made.map_err(value_error)?;
    Ok(PyArray1::from_vec(py, places.concat()))
}
