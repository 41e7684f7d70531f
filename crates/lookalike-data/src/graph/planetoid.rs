//! Citation graphs in the files of Planetoid (Yang et al. 2016, *Revisiting Semi-Supervised Learning with
//! Graph Embeddings*, <https://arxiv.org/abs/1603.08861>): `ind.NAME.allx`, `ally` (features and labels of
//! all nodes but those to test), `tx`, `ty` (of those), `y` (of those to train on), `graph` (for each node
//! its neighbours), as Python pickles, and `ind.NAME.test.index` (which nodes the rows of `tx` are), as text.

use super::edges::undirected;
use super::line_reader::LineReader;
use super::node_set::NodeSet;
use super::pickle::{CompressedRows, Pickle, Value, array, integer, matrix};
use crate::bounded::read_file;
use crate::error::DataError;
use lookalike_base::Matrix;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::DirEntry;
use std::path::{Path, PathBuf};

/// Limit of one file in bytes. Those of `PubMed` have less than ten million.
const MAX_BYTES: u64 = 1 << 26;

/// Limit of nodes times features, 4 bytes each.
const MAX_VALUES: usize = 1 << 28;

/// Number of nodes to validate on, which follow those to train on.
const VALIDATION: usize = 500;

/// Reads the files of `name`, for instance `cora`, in `root` or its folder `planetoid`, or in a folder `NAME` or `NAME/raw` of either,
/// as PyTorch Geometric keeps them: capitals make no difference. Returns the graph and warnings that the user should see.
///
/// # Errors
/// [`DataError::NoGraphs`] where files are missing; [`DataError::Format`] where a pickle holds something else
/// or more than a file of its length should; [`DataError::Line`] where a line of the list of test nodes is
/// wrong.
pub fn open(name: &str, root: &Path) -> Result<(NodeSet, Vec<String>), DataError> {
    let (folder, name) = &locate(name, root)?;
    let files = PlanetoidFiles { folder, name };
    let (all, all_labels) = (files.matrix("allx")?, files.labels("ally")?);
    let (tested, tested_labels) = (files.matrix("tx")?, files.labels("ty")?);
    let train = files.labels("y")?.labels.len();
    let described = all.rows;
    let test = files.test_index(described)?;
    files.require("ally", all_labels.labels.len() == described, "one row for each row of allx")?;
    files.require("tx", tested.columns == all.columns, "as many columns as allx")?;
    files.require("ty", tested_labels.labels.len() == tested.rows, "one row for each row of tx")?;
    files.require("ty", tested_labels.classes == all_labels.classes, "as many classes as ally")?;
    files.require("test.index", test.len() == tested.rows, "one node for each row of tx")?;
    let most = "no more rows than allx without the 500 to validate on";
    files.require("y", train + VALIDATION <= described, most)?;
    let nodes = test.iter().map(|node| *node as usize + 1).max().unwrap_or(0).max(described);
    if nodes.saturating_mul(all.columns) > MAX_VALUES {
        let problem =
            format!("{nodes} nodes of {} features exceed the limit of {MAX_VALUES} values", all.columns);
        return Err(files.wrong("allx", 0, problem));
    }
    let listed = files.neighbors(nodes)?;
    let mut features = vec![0.0; nodes * all.columns];
    let mut labels = vec![None; nodes];
    let all_rows = (0..described).map(|row| (row, row, &all, &all_labels));
    let tested_rows =
        test.iter().enumerate().map(|(row, node)| (*node as usize, row, &tested, &tested_labels));
    for (node, row, values, classes) in all_rows.chain(tested_rows) {
        values.write(row, &mut features[node * all.columns..][..all.columns]);
        labels[node] = classes.labels[row];
    }
    let (edges, repairs) = undirected(nodes, &listed)?;
    let features =
        Matrix::new(features, all.columns).map_err(|error| files.wrong("allx", 0, error.to_string()))?;
    let mut warnings = repairs.warnings(name);
    let unknown = labels.iter().filter(|label| label.is_none()).count();
    if unknown > 0 {
        warnings.push(format!("{name} has {unknown} nodes without a class"));
    }
    let mut test = test;
    test.sort_unstable();
    let (train, validation) =
        ((0..train as u32).collect(), (train as u32..(train + VALIDATION) as u32).collect());
    let classes = all_labels.classes;
    Ok((NodeSet { name: name.clone(), edges, features, labels, classes, train, validation, test }, warnings))
}

/// The folder that holds the files, and the name as they write it: as given, or in small letters, as PyTorch Geometric keeps `CiteSeer`.
fn locate(name: &str, root: &Path) -> Result<(PathBuf, String), DataError> {
    let small = name.to_lowercase();
    let mut folders = vec![root.to_owned()];
    for parent in [root.to_owned(), root.join("planetoid"), root.join("Planetoid")] {
        let entries = parent.read_dir().into_iter().flatten().flatten();
        let named =
            |entry: &DirEntry| entry.file_name().to_str().is_some_and(|own| own.to_lowercase() == small);
        let mut own: Vec<PathBuf> = entries.filter(named).map(|entry| entry.path()).collect();
        // Where several are of this name, the one that is spelt so.
        own.sort_by_key(|folder| (folder.file_name() != Some(OsStr::new(name)), folder.clone()));
        folders.push(parent);
        folders.extend(own.into_iter().flat_map(|folder| [folder.join("raw"), folder]));
    }
    for folder in folders {
        for name in [name, &small] {
            if folder.join(format!("ind.{name}.graph")).is_file() {
                return Ok((folder, name.to_owned()));
            }
        }
    }
    let wanted = vec![format!("ind.{small}.graph")];
    Err(DataError::NoGraphs { name: name.to_owned(), root: root.into(), wanted })
}

/// The files `ind.NAME.*` of one graph, each named by what follows `ind.NAME.`.
struct PlanetoidFiles<'a> {
    folder: &'a Path,
    name: &'a str,
}

/// A class for each row, or none.
struct Labels {
    labels: Vec<Option<u32>>,
    classes: usize,
}

impl PlanetoidFiles<'_> {
    fn path(&self, file: &str) -> PathBuf {
        self.folder.join(format!("ind.{}.{file}", self.name))
    }

    fn wrong(&self, file: &str, byte: usize, problem: String) -> DataError {
        DataError::Format { path: self.path(file), byte: byte as u64, problem }
    }

    /// Fails unless `file` holds what it should.
    fn require(&self, file: &str, holds: bool, expected: &str) -> Result<(), DataError> {
        if holds { Ok(()) } else { Err(self.wrong(file, 0, format!("the file should hold {expected}"))) }
    }

    fn bytes(&self, file: &str) -> Result<Vec<u8>, DataError> {
        let path = self.path(file);
        if path.is_file() {
            return read_file(&path, MAX_BYTES);
        }
        let wanted = vec![format!("ind.{}.{file}", self.name)];
        Err(DataError::NoGraphs { name: self.name.to_owned(), root: self.folder.into(), wanted })
    }

    fn pickle<'a>(&self, file: &str, bytes: &'a [u8]) -> Result<Pickle<'a>, DataError> {
        Pickle::read(bytes).map_err(|(byte, problem)| self.wrong(file, byte, problem))
    }

    fn matrix(&self, file: &str) -> Result<CompressedRows, DataError> {
        let bytes = self.bytes(file)?;
        let pickle = self.pickle(file, &bytes)?;
        matrix(&pickle, pickle.root)
            .ok_or_else(|| self.wrong(file, 0, "the pickle is not a `csr_matrix` of SciPy".to_owned()))
    }

    /// One-hot rows as classes; `None` for rows of zeros.
    fn labels(&self, file: &str) -> Result<Labels, DataError> {
        let bytes = self.bytes(file)?;
        let pickle = self.pickle(file, &bytes)?;
        let Some((shape, values)) =
            array(&pickle, pickle.root).filter(|(shape, _)| shape.len() == 2 && shape[1] > 0)
        else {
            return Err(self.wrong(file, 0, "the pickle is not a NumPy array of two dimensions".to_owned()));
        };
        let class = |row: &[f64]| row.iter().position(|value| *value == 1.0).map(|class| class as u32);
        Ok(Labels { labels: values.chunks_exact(shape[1]).map(class).collect(), classes: shape[1] })
    }

    /// The nodes to test on: each once, and none of the first `described` nodes, which allx and ally
    /// describe.
    fn test_index(&self, described: usize) -> Result<Vec<u32>, DataError> {
        let bytes = self.bytes("test.index")?;
        let mut lines = LineReader::new(bytes.as_slice(), self.path("test.index"));
        let (mut nodes, mut seen) = (Vec::new(), HashSet::new());
        while let Some(node) = lines.number_on_next::<u32>("the number of a node")? {
            if node as usize >= MAX_VALUES {
                return Err(lines.wrong(format!("node {node} exceeds the limit of {MAX_VALUES} nodes")));
            }
            if (node as usize) < described {
                return Err(lines.wrong(format!("node {node} is one of the {described} that allx describes")));
            }
            if !seen.insert(node) {
                return Err(lines.wrong(format!("node {node} is listed twice")));
            }
            nodes.push(node);
        }
        Ok(nodes)
    }

    /// The edges listed, all of them among `nodes` nodes.
    fn neighbors(&self, nodes: usize) -> Result<Vec<(u32, u32)>, DataError> {
        let wrong = |problem| self.wrong("graph", 0, problem);
        let bytes = self.bytes("graph")?;
        let pickle = self.pickle("graph", &bytes)?;
        let default = || {
            pickle.call(pickle.root).filter(|call| (call.module, call.name) == ("collections", "defaultdict"))
        };
        let items = pickle.dict(pickle.root).or_else(|| default().map(|call| call.items));
        let items = items.ok_or_else(|| wrong("the pickle is not a dictionary".to_owned()))?;
        if items.len() != nodes {
            return Err(wrong(format!("the file lists {} nodes, but the other files {nodes}", items.len())));
        }
        let node = |value: Value| {
            let found = integer(&pickle, value).and_then(|node| u32::try_from(node).ok());
            let problem = || format!("expected one of the {nodes} nodes, found {}", pickle.describe(value));
            found.filter(|node| (*node as usize) < nodes).ok_or_else(|| wrong(problem()))
        };
        let mut edges = Vec::new();
        for (from, to) in items {
            let from = node(*from)?;
            let neighbors = pickle.list(*to).ok_or_else(|| {
                wrong(format!(
                    "expected a list of neighbours for node {from}, found {}",
                    pickle.describe(*to)
                ))
            })?;
            // One list can stand for many nodes, and then a short file names any number of edges.
            if edges.len() + neighbors.len() > pickle.values {
                let problem = format!(
                    "nodes share lists of neighbours, up to node {from} {} in all where the file holds {} values; give each its \
                     own list",
                    edges.len() + neighbors.len(),
                    pickle.values
                );
                return Err(wrong(problem));
            }
            for to in neighbors {
                edges.push((from, node(*to)?));
            }
        }
        Ok(edges)
    }
}
