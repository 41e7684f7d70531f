//! One's own graph whose nodes are the instances: a folder of an edge list and NumPy arrays.
//!
//! | file | holds |
//! |---|---|
//! | `edges.npy`, `edges.csv` or `edges.txt` | for each edge its two nodes, numbered from 0: an array E×2 or 2×E of integers, or a line each |
//! | `features.npy` | n×d numbers, a row for each node |
//! | `labels.npy` | for each node its class, from 0; −1 or NaN where it has none. May be absent |
//! | `train.npy`, `validation.npy`, `test.npy` | which nodes: their numbers, or for each node whether it is one. May be absent |

use super::edges::undirected;
use super::line_reader::{LineReader, fields, shortened, whole};
use super::node_set::NodeSet;
use crate::bounded::Bounded;
use crate::error::DataError;
use lookalike_base::{ArrayFileError, npy};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// Limit of a list of edges as text, in bytes.
const MAX_BYTES: u64 = 1 << 31;

/// Limit of classes.
const MAX_CLASSES: i64 = 1 << 16;

/// The files that can hold the edges, the first that is there.
const EDGES: [&str; 3] = ["edges.npy", "edges.csv", "edges.txt"];

const FEATURES: &str = "features.npy";

/// Reads the graph in the folder `name`, which lies below `root` or is a path by itself. Returns it and warnings that the user should
/// see.
///
/// # Errors
/// [`DataError::NoGraphs`] where edges or features are missing; [`DataError::Line`] where a line is no edge; [`DataError::Graph`] where
/// an array cannot be read or is not about these nodes.
pub(super) fn open(name: &str, root: &Path) -> Result<(NodeSet, Vec<String>), DataError> {
    let below = root.join(name);
    let folder = if below.is_dir() { below } else { PathBuf::from(name) };
    let wanted = || vec![format!("{name}/{}", EDGES.join("|")), format!("{name}/{FEATURES}")];
    let missing = || DataError::NoGraphs { name: name.to_owned(), root: root.into(), wanted: wanted() };
    let edges = EDGES.map(|file| folder.join(file)).into_iter().find(|path| path.is_file());
    let (edges, features) = (edges.ok_or_else(missing)?, folder.join(FEATURES));
    if !features.is_file() {
        return Err(missing());
    }
    let features = npy::read_rows(&features).map_err(array)?;
    let nodes = features.len();
    let of_features = |problem| wrong(&folder.join(FEATURES), problem);
    if nodes == 0 || u32::try_from(nodes).is_err() {
        return Err(of_features(format!("{nodes} nodes; expected 1 to {}", u32::MAX)));
    }
    if let Some(at) = features.rows().values().iter().position(|value| !value.is_finite()) {
        let (node, value) = (at / features.columns(), features.rows().values()[at]);
        return Err(of_features(format!("node {node} has the feature {value}; features are finite numbers")));
    }
    let by_array = edges.extension().is_some_and(|end| end == "npy");
    let listed = if by_array { edge_array(&edges, nodes) } else { edge_lines(&edges, nodes) }?;
    let (labels, classes) = classes(&folder.join("labels.npy"), nodes)?;
    let part = |files: &[&str]| part(&folder, files, nodes);
    let (train, test) = (part(&["train.npy"])?, part(&["test.npy"])?);
    let validation = part(&["validation.npy", "valid.npy", "val.npy"])?;
    if let Some(node) = train.iter().find(|node| test.binary_search(node).is_ok()) {
        let problem = format!("node {node} is one to train on too; no node can be both");
        return Err(wrong(&folder.join("test.npy"), problem));
    }
    let (edges, repairs) = undirected(nodes, &listed)?;
    let own = folder.canonicalize().ok().and_then(|folder| Some(folder.file_name()?.to_str()?.to_owned()));
    let name = own.unwrap_or_else(|| name.to_owned());
    let warnings = repairs.warnings(&name);
    Ok((NodeSet { name, edges, features, labels, classes, train, validation, test }, warnings))
}

fn wrong(path: &Path, problem: impl std::fmt::Display) -> DataError {
    DataError::Graph { problem: format!("{}: {problem}", path.display()) }
}

/// An array that cannot be read, with the reason that the system gives.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn array(error: ArrayFileError) -> DataError {
    let reason = std::error::Error::source(&error).map_or_else(String::new, |reason| format!(": {reason}"));
    DataError::Graph { problem: format!("{error}{reason}") }
}

/// The node numbered `number`, which must be one of `nodes`.
fn node(number: i64, nodes: usize) -> Result<u32, String> {
    let found = u32::try_from(number).ok().filter(|node| (*node as usize) < nodes);
    found.ok_or_else(|| {
        format!(
            "node {number} does not exist; {FEATURES} has {nodes} nodes, numbered from 0 to {}",
            nodes - 1
        )
    })
}

fn edge_array(path: &Path, nodes: usize) -> Result<Vec<(u32, u32)>, DataError> {
    let (values, shape) = npy::read_integers(path).map_err(array)?;
    let edge = |(at, [from, to]): (usize, [i64; 2])| {
        let ends = node(from, nodes).and_then(|from| Ok((from, node(to, nodes)?)));
        ends.map_err(|problem| wrong(path, format!("edge {at}, counted from 0: {problem}")))
    };
    match shape[..] {
        [_, 2] => values.as_chunks().0.iter().copied().enumerate().map(edge).collect(),
        [2, edges] => {
            let (from, to) = values.split_at(edges);
            from.iter().zip(to).map(|(from, to)| [*from, *to]).enumerate().map(edge).collect()
        }
        _ => Err(wrong(path, format!("the array has the shape {shape:?}; edges are an array E×2 or 2×E"))),
    }
}

/// Edges a line each, with a comma or space between the nodes. The first line may name its columns.
fn edge_lines(path: &Path, nodes: usize) -> Result<Vec<(u32, u32)>, DataError> {
    let file = File::open(path).map_err(DataError::io("open", path))?;
    let reader = BufReader::with_capacity(1 << 16, Bounded::new(file, MAX_BYTES));
    let mut lines = LineReader::new(reader, path.to_owned());
    let (mut edges, mut first) = (Vec::new(), true);
    while let Some(line) = lines.next()? {
        let ends: Vec<&str> =
            if line.contains(',') { fields(line).collect() } else { line.split_whitespace().collect() };
        let names = ends.iter().all(|end| end.parse::<f64>().is_err());
        if std::mem::take(&mut first) && names && ends.len() == 2 {
            continue;
        }
        let &[Some(from), Some(to)] = &ends.iter().map(|end| whole(end)).collect::<Vec<_>>()[..] else {
            let found = shortened(line);
            return Err(lines.wrong(format!("expected an edge as two nodes, `from, to`, found {found:?}")));
        };
        let ends = node(from, nodes).and_then(|from| Ok((from, node(to, nodes)?)));
        edges.push(ends.map_err(|problem| lines.wrong(problem))?);
    }
    Ok(edges)
}

/// The class of each node, and how many classes there are; none where there is no file.
fn classes(path: &Path, nodes: usize) -> Result<(Vec<Option<u32>>, usize), DataError> {
    if !path.is_file() {
        return Ok((vec![None; nodes], 0));
    }
    let (values, shape) = npy::read_identifiers(path).map_err(array)?;
    if shape[..] != [nodes] {
        let problem = format!(
            "the array has the shape {shape:?}; {FEATURES} has {nodes} nodes, which need a class each"
        );
        return Err(wrong(path, problem));
    }
    if let Some(at) = values.iter().position(|class| *class >= MAX_CLASSES) {
        let problem =
            format!("node {at} is of class {}; classes are numbered from 0, below {MAX_CLASSES}", values[at]);
        return Err(wrong(path, problem));
    }
    let classes = values.iter().max().map_or(0, |most| (most + 1) as usize);
    Ok((values.into_iter().map(|class| u32::try_from(class).ok()).collect(), classes))
}

/// The nodes that the first of `files` names, ascending; none where there is no such file.
fn part(folder: &Path, files: &[&str], nodes: usize) -> Result<Vec<u32>, DataError> {
    let Some(path) = files.iter().map(|file| folder.join(file)).find(|path| path.is_file()) else {
        return Ok(Vec::new());
    };
    let (values, shape) = npy::read_integers(&path).map_err(array)?;
    if shape.len() != 1 {
        return Err(wrong(
            &path,
            format!("the array has the shape {shape:?}; nodes are an array of one dimension"),
        ));
    }
    // Numbers of so many nodes, each given once, are not all 0 or 1 where there are more than two nodes.
    if nodes > 2 && values.len() == nodes && values.iter().all(|value| matches!(value, 0 | 1)) {
        return Ok(values.iter().zip(0..).filter(|(value, _)| **value == 1).map(|(_, node)| node).collect());
    }
    let found = values.into_iter().map(|number| node(number, nodes));
    let mut found = found.collect::<Result<Vec<u32>, _>>().map_err(|problem| wrong(&path, problem))?;
    found.sort_unstable();
    if let Some(twice) = found.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(wrong(&path, format!("node {} is listed twice", twice[0])));
    }
    Ok(found)
}
