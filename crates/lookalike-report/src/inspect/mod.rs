//! What is wrong with a data set, found by its embeddings: duplicates, look-alikes of different classes, suspected label errors, outliers,
//! leaks between splits. Nothing is changed; what to do about it is said by a table.

mod findings;
mod labels;
mod page;
mod table;

use lookalike_base::hash::Hasher;
use lookalike_base::{RowSource, Watch};
use lookalike_data::Shown;
use lookalike_sampling::{Groups, knn_graph};

use crate::album::Pictures;
use crate::error::ReportError;
use crate::near::scoring;
pub use findings::{Finding, Findings, Issue};
pub use page::page;

/// What counts as a finding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InspectOptions {
    /// Nearest neighbours that are looked at, K.
    pub neighbors: usize,
    /// Near duplicates are no farther apart than this share of the median distance to the nearest neighbour.
    pub duplicate_factor: f64,
    /// Members of a group of look-alikes are tied where they are no farther apart than this share of it.
    pub look_alike_factor: f64,
}

impl Default for InspectOptions {
    fn default() -> Self {
        Self { neighbors: 15, duplicate_factor: Groups::DUPLICATE_FACTOR, look_alike_factor: 0.8 }
    }
}

/// Instances to inspect.
pub struct Inspected<'a> {
    /// What they are called together.
    pub name: String,
    /// A class an instance, [`lookalike_sampling::UNLABELLED`] for those without one; empty where there are none.
    pub labels: &'a [u32],
    /// The names of the classes; numbers stand in for what is missing.
    pub classes: Vec<String>,
    /// The split of each instance, an index into `split_names`; empty where there is one.
    pub splits: &'a [u32],
    /// The names of the splits.
    pub split_names: Vec<String>,
    /// A number an instance that equal ones share, as a hash of their pixels; empty: equal embeddings count as equal.
    pub contents: &'a [u64],
    /// What instances look like.
    pub pictures: &'a dyn Pictures,
}

impl Inspected<'_> {
    pub(crate) fn class(&self, label: u32) -> String {
        self.classes.get(label as usize).cloned().unwrap_or_else(|| format!("class {label}"))
    }

    pub(crate) fn split(&self, instance: u32) -> &str {
        let split = self.splits.get(instance as usize);
        split.and_then(|split| self.split_names.get(*split as usize)).map_or("", String::as_str)
    }

    pub(crate) fn name_of(&self, instance: u32) -> String {
        self.pictures.name(0, instance).unwrap_or_else(|| instance.to_string())
    }
}

/// A number for what each of `count` instances looks like, which equal ones share; one of its own for what cannot be shown, and none at all
/// where nothing can.
///
/// # Errors
/// [`ReportError::Cancelled`].
pub fn contents(pictures: &dyn Pictures, count: usize, watch: Watch<'_>) -> Result<Vec<u64>, ReportError> {
    let (mut contents, mut any) = (Vec::with_capacity(count), false);
    for instance in 0..count as u32 {
        if watch.is_cancelled() {
            return Err(ReportError::Cancelled);
        }
        let mut hasher = Hasher::new();
        let Some(shown) = pictures.shown(0, instance) else {
            hasher.text("not shown");
            hasher.numbers(std::iter::once(instance.to_le_bytes()));
            contents.push(hasher.short());
            continue;
        };
        any = true;
        match shown {
            Shown::Image { width, height, pixels } => {
                hasher.numbers([width, height].iter().map(|side| side.to_le_bytes()));
                hasher.numbers(pixels.into_iter().map(|value| [value]));
            }
            Shown::Texts(texts) => texts.iter().for_each(|text| hasher.text(text)),
            Shown::Graph { nodes, edges, labels } => {
                let numbers: Vec<u32> =
                    [nodes, edges.len() as u32].into_iter().chain(edges.concat()).chain(labels).collect();
                hasher.numbers(numbers.iter().map(|number| number.to_le_bytes()));
            }
        }
        contents.push(hasher.short());
    }
    Ok(if any { contents } else { Vec::new() })
}

/// Looks for what is wrong. Of the embeddings one copy is in memory, with room for the graph.
///
/// # Shapes
/// `embeddings` N×d; labels, splits and contents of length N or 0.
///
/// # Errors
/// [`ReportError::Input`] where lengths do not fit or there are fewer than two instances; [`ReportError::Sampling`] for rows that are not
/// finite; [`ReportError::Cancelled`].
pub fn inspect(
    embeddings: &impl RowSource,
    data: &Inspected<'_>,
    options: &InspectOptions,
    watch: Watch<'_>,
) -> Result<Findings, ReportError> {
    let count = embeddings.len();
    for (what, length) in
        [("labels", data.labels.len()), ("splits", data.splits.len()), ("contents", data.contents.len())]
    {
        if length != 0 && length != count {
            return Err(ReportError::Input(format!("{length} {what} for {count} embeddings")));
        }
    }
    if count < 2 {
        return Err(ReportError::Input(format!("{count} embeddings; two are needed to compare any")));
    }
    for (what, factor) in
        [("duplicate_factor", options.duplicate_factor), ("look_alike_factor", options.look_alike_factor)]
    {
        if !(factor.is_finite() && factor > 0.0) {
            return Err(ReportError::Input(format!("{what} is {factor}; it must be above 0")));
        }
    }
    if options.neighbors == 0 {
        return Err(ReportError::Input("neighbors is 0; it must be at least 1".to_owned()));
    }
    let neighbors = options.neighbors.min(count - 1);
    let graph = knn_graph(embeddings, None, neighbors, None, scoring(count), watch)?;
    Ok(Findings::of(embeddings, graph, data, options))
}
