//! Citation graphs in the files of Planetoid (Yang et al. 2016, *Revisiting Semi-Supervised Learning with
//! Graph Embeddings*, <https://arxiv.org/abs/1603.08861>): `ind.NAME.allx`, `ally` (features and labels of
//! all nodes but those to test), `tx`, `ty` (of those), `y` (of those to train on), `graph` (for each node
//! its neighbours), as Python pickles, and `ind.NAME.test.index` (which nodes the rows of `tx` are), as text.

use super::edges::undirected;
use super::line_reader::LineReader;
use super::node_set::NodeSet;
use super::pickle::{Pickle, Value};
use crate::bounded::read_file;
use crate::error::DataError;
use lookalike_base::Matrix;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Limit of one file in bytes. Those of `PubMed` have less than ten million.
const MAX_BYTES: u64 = 1 << 26;

/// Limit of nodes times features, 4 bytes each.
const MAX_VALUES: usize = 1 << 28;

/// Number of nodes to validate on, which follow those to train on.
const VALIDATION: usize = 500;

/// Reads the files of `name`, for instance `cora`, in `root` or its folders `planetoid`, `NAME`, `NAME/raw`
/// or `planetoid/NAME/raw`. Returns the graph and warnings that the user should see.
///
/// # Errors
/// [`DataError::NoGraphs`] where files are missing; [`DataError::Format`] where a pickle holds something else
/// or more than a file of its length should; [`DataError::Line`] where a line of the list of test nodes is
/// wrong.
pub fn open(name: &str, root: &Path) -> Result<(NodeSet, Vec<String>), DataError> {
    let files = PlanetoidFiles { folder: locate(name, root)?, name };
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
    Ok((
        NodeSet { name: name.to_owned(), edges, features, labels, classes, train, validation, test },
        warnings,
    ))
}

fn locate(name: &str, root: &Path) -> Result<PathBuf, DataError> {
    let file = format!("ind.{name}.graph");
    let below = root.join("planetoid");
    let folders = [
        root.to_owned(),
        below.clone(),
        root.join(name),
        root.join(name).join("raw"),
        below.join(name).join("raw"),
    ];
    let found = folders.into_iter().find(|folder| folder.join(&file).is_file());
    found.ok_or_else(|| DataError::NoGraphs { name: name.to_owned(), root: root.into(), wanted: vec![file] })
}

/// The files `ind.NAME.*` of one graph, each named by what follows `ind.NAME.`.
struct PlanetoidFiles<'a> {
    folder: PathBuf,
    name: &'a str,
}

/// A matrix in compressed rows, as `SciPy` keeps it.
struct CompressedRows {
    rows: usize,
    columns: usize,
    offsets: Vec<i64>,
    indices: Vec<i64>,
    values: Vec<f32>,
}

impl CompressedRows {
    /// Writes the entries of `row` into `out`, which holds zeros.
    fn write(&self, row: usize, out: &mut [f32]) {
        for at in self.offsets[row] as usize..self.offsets[row + 1] as usize {
            out[self.indices[at] as usize] = self.values[at];
        }
    }
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
        Err(DataError::NoGraphs { name: self.name.to_owned(), root: self.folder.clone(), wanted })
    }

    fn pickle<'a>(&self, file: &str, bytes: &'a [u8]) -> Result<Pickle<'a>, DataError> {
        Pickle::read(bytes).map_err(|(byte, problem)| self.wrong(file, byte, problem))
    }

    fn matrix(&self, file: &str) -> Result<CompressedRows, DataError> {
        let bytes = self.bytes(file)?;
        let pickle = self.pickle(file, &bytes)?;
        matrix(&pickle)
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
        let default = || pickle.call(pickle.root).filter(|call| call.function == "collections defaultdict");
        let items = pickle.dict(pickle.root).or_else(|| default().map(|call| call.items));
        let items = items.ok_or_else(|| wrong("the pickle is not a dictionary".to_owned()))?;
        if items.len() != nodes {
            return Err(wrong(format!("the file lists {} nodes, but the other files {nodes}", items.len())));
        }
        let node = |value: Value| {
            let found = value.int().and_then(|node| u32::try_from(node).ok());
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
            for to in neighbors {
                edges.push((from, node(*to)?));
            }
        }
        Ok(edges)
    }
}

/// The matrix that the pickle describes, where it is one.
fn matrix(pickle: &Pickle<'_>) -> Option<CompressedRows> {
    let call = pickle.call(pickle.root)?;
    if !(call.function.starts_with("scipy.sparse") && call.function.ends_with(" csr_matrix")) {
        return None;
    }
    let items = pickle.dict(call.state?)?;
    let field = |name: &str| {
        let mut items = items.iter();
        items.find_map(|(key, value)| (pickle.bytes(*key)? == name.as_bytes()).then_some(*value))
    };
    let shape = pickle.tuple(field("_shape").or_else(|| field("shape"))?)?;
    let shape: Vec<usize> = shape.iter().filter_map(|size| usize::try_from(size.int()?).ok()).collect();
    let &[rows, columns] = &shape[..] else { return None };
    let whole =
        |name| Some(array(pickle, field(name)?)?.1.into_iter().map(|value| value as i64).collect::<Vec<_>>());
    let (offsets, indices) = (whole("indptr")?, whole("indices")?);
    let values: Vec<f32> = array(pickle, field("data")?)?.1.into_iter().map(|value| value as f32).collect();
    let rising = offsets.first() == Some(&0) && offsets.windows(2).all(|pair| pair[0] <= pair[1]);
    let fits = rising
        && offsets.len().checked_sub(1) == Some(rows)
        && offsets.last() == Some(&(indices.len() as i64));
    let inside = indices.iter().all(|index| (0..columns as i64).contains(index));
    let finite = values.iter().all(|value| value.is_finite());
    let matrix = CompressedRows { rows, columns, offsets, indices, values };
    (fits && inside && finite && columns > 0 && matrix.values.len() == matrix.indices.len()).then_some(matrix)
}

/// Shape and values of the NumPy array that a value is, where it is one of numbers in C order and
/// little-endian bytes.
fn array(pickle: &Pickle<'_>, value: Value) -> Option<(Vec<usize>, Vec<f64>)> {
    let call = pickle.call(value)?;
    if !(call.function.starts_with("numpy.") && call.function.ends_with("multiarray _reconstruct")) {
        return None;
    }
    let &[_, shape, kind, fortran, bytes] = pickle.tuple(call.state?)? else { return None };
    let shape = pickle.tuple(shape)?.iter().map(|size| usize::try_from(size.int()?).ok());
    let shape = shape.collect::<Option<Vec<_>>>()?;
    if fortran != Value::Bool(false) {
        return None;
    }
    let call = pickle.call(kind)?;
    let state = pickle.tuple(call.state?)?;
    if call.function != "numpy dtype" || pickle.bytes(*state.get(1)?)? != b"<" {
        return None;
    }
    let bytes = pickle.bytes(bytes)?;
    let values: Vec<f64> = match pickle.bytes(*call.arguments.first()?)? {
        b"i4" => numbers(bytes, |bytes| f64::from(i32::from_le_bytes(bytes)))?,
        b"i8" => numbers(bytes, |bytes| i64::from_le_bytes(bytes) as f64)?,
        b"f4" => numbers(bytes, |bytes| f64::from(f32::from_le_bytes(bytes)))?,
        b"f8" => numbers(bytes, f64::from_le_bytes)?,
        _ => return None,
    };
    let expected = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
    (expected == Some(values.len())).then_some((shape, values))
}

fn numbers<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Option<Vec<f64>> {
    let (chunks, rest) = bytes.as_chunks::<N>();
    rest.is_empty().then(|| chunks.iter().map(|chunk| number(*chunk)).collect())
}
