//! Citation graphs in the files of Planetoid (Yang et al. 2016, *Revisiting Semi-Supervised Learning with Graph Embeddings*,
//! <https://arxiv.org/abs/1603.08861>): `ind.NAME.allx`, `ally` (features and labels of all nodes but those to test), `tx`,
//! `ty` (of those), `y` (of those to train on), `graph` (for each node its neighbours), as Python pickles, and
//! `ind.NAME.test.index` (which nodes the rows of `tx` are), as text.

use super::builder::undirected;
use super::fingerprint;
use super::line_reader::Lines;
use super::pickle::{Id, Pickle, Value};
use crate::bounded::read_file;
use crate::error::DataError;
use lookalike_base::Matrix;
use lookalike_kernels::sparse::Csr;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// No file may hold more. Those of `PubMed` have under ten million bytes.
const MAX_BYTES: u64 = 1 << 26;

/// Most features in all, 4 bytes each.
const MOST_VALUES: usize = 1 << 28;

/// Nodes to validate on, which follow those to train on.
const VALIDATION: usize = 500;

/// One graph whose nodes have classes.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeSet {
    /// Its name, for instance `cora`.
    pub name: String,
    /// n×n, undirected, each edge in both directions, none from a node to itself and none twice.
    pub edges: Csr,
    /// n×d; zeros for a node that no file describes.
    pub features: Matrix,
    /// For each node its class; none for a node that no file describes.
    pub labels: Vec<Option<u32>>,
    /// Number of classes.
    pub classes: usize,
    /// The nodes of the published split to train on.
    pub train: Vec<u32>,
    /// To validate on.
    pub validation: Vec<u32>,
    /// To test on.
    pub test: Vec<u32>,
}

impl NodeSet {
    /// A hash of all that was read of it, which tells it from other graphs of whatever name.
    pub fn fingerprint(&self) -> String {
        fingerprint::of_nodes(self)
    }
}

/// Reads the files of `name`, for instance `cora`, in `root` or its folders `planetoid`, NAME, `NAME/raw` or
/// `planetoid/NAME/raw`; returned with it are warnings that the user should see.
///
/// # Errors
/// [`DataError::NoGraphs`] where files are missing; [`DataError::Format`] where a pickle holds something else, with the byte;
/// [`DataError::Line`] where the list of test nodes does.
pub fn open(name: &str, root: &Path) -> Result<(NodeSet, Vec<String>), DataError> {
    let files = Files { folder: locate(name, root)?, name };
    let (all, all_labels) = (files.sparse("allx")?, files.labels("ally")?);
    let (tested, tested_labels) = (files.sparse("tx")?, files.labels("ty")?);
    let train = files.labels("y")?.labels.len();
    let described = all.rows;
    let test = files.test_index(described)?;
    files.agree("ally", all_labels.labels.len() == described, "labels for each row of allx")?;
    files.agree("tx", tested.columns == all.columns, "as many columns as allx has")?;
    files.agree("ty", tested_labels.labels.len() == tested.rows, "labels for each row of tx")?;
    files.agree("ty", tested_labels.classes == all_labels.classes, "as many classes as ally has")?;
    files.agree("test.index", test.len() == tested.rows, "a node for each row of tx")?;
    files.agree(
        "y",
        train + VALIDATION <= described,
        "no more rows than allx has beyond the 500 to validate on",
    )?;
    let nodes = test.iter().map(|node| *node as usize + 1).max().unwrap_or(0).max(described);
    if nodes.saturating_mul(all.columns) > MOST_VALUES {
        let problem = format!("{nodes} nodes of {} features are more than {MOST_VALUES} values", all.columns);
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
    let (edges, cleaned) = undirected(nodes, &listed)?;
    let features =
        Matrix::new(features, all.columns).map_err(|error| files.wrong("allx", 0, error.to_string()))?;
    let mut warnings = cleaned.warnings(name);
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
    found.ok_or_else(|| DataError::NoGraphs { name: name.to_owned(), place: root.into(), wanted: vec![file] })
}

struct Files<'a> {
    folder: PathBuf,
    name: &'a str,
}

/// A sparse matrix as the files keep it.
struct Stored {
    rows: usize,
    columns: usize,
    offsets: Vec<i64>,
    indices: Vec<i64>,
    values: Vec<f32>,
}

impl Stored {
    fn write(&self, row: usize, out: &mut [f32]) {
        for at in self.offsets[row] as usize..self.offsets[row + 1] as usize {
            out[self.indices[at] as usize] = self.values[at];
        }
    }
}

struct Labels {
    labels: Vec<Option<u32>>,
    classes: usize,
}

impl Files<'_> {
    fn path(&self, part: &str) -> PathBuf {
        self.folder.join(format!("ind.{}.{part}", self.name))
    }

    fn wrong(&self, part: &str, byte: usize, problem: String) -> DataError {
        DataError::Format { path: self.path(part), byte: byte as u64, problem }
    }

    fn agree(&self, part: &str, agrees: bool, needed: &str) -> Result<(), DataError> {
        if agrees { Ok(()) } else { Err(self.wrong(part, 0, format!("the file should hold {needed}"))) }
    }

    fn pickle(&self, part: &str) -> Result<Pickle, DataError> {
        let path = self.path(part);
        if !path.is_file() {
            let wanted = vec![format!("ind.{}.{part}", self.name)];
            return Err(DataError::NoGraphs {
                name: self.name.to_owned(),
                place: self.folder.clone(),
                wanted,
            });
        }
        let bytes = read_file(&path, MAX_BYTES)?;
        Pickle::read(&bytes).map_err(|(byte, problem)| self.wrong(part, byte, problem))
    }

    fn sparse(&self, part: &str) -> Result<Stored, DataError> {
        let pickle = self.pickle(part)?;
        sparse(&pickle)
            .ok_or_else(|| self.wrong(part, 0, "the pickle is no matrix of SciPy's `csr_matrix`".to_owned()))
    }

    /// One-hot rows as classes; none for rows of zeros.
    fn labels(&self, part: &str) -> Result<Labels, DataError> {
        let pickle = self.pickle(part)?;
        let Some((shape, values)) =
            array(&pickle, pickle.root).filter(|(shape, _)| shape.len() == 2 && shape[1] > 0)
        else {
            return Err(self.wrong(part, 0, "the pickle is no NumPy array of two dimensions".to_owned()));
        };
        let class = |row: &[f64]| row.iter().position(|value| *value == 1.0).map(|class| class as u32);
        Ok(Labels { labels: values.chunks_exact(shape[1]).map(class).collect(), classes: shape[1] })
    }

    /// The nodes to test, each once and none of the `described` ones, whose features and classes other files tell.
    fn test_index(&self, described: usize) -> Result<Vec<u32>, DataError> {
        let path = self.path("test.index");
        let bytes = read_file(&path, MAX_BYTES)?;
        let mut lines = Lines::new(bytes.as_slice(), path);
        let (mut nodes, mut seen) = (Vec::new(), HashSet::new());
        while let Some(node) = lines.number_on_next::<u32>("the number of a node")? {
            if node as usize >= MOST_VALUES {
                return Err(lines.wrong(format!("node {node} is beyond what can be read here")));
            }
            if (node as usize) < described {
                return Err(lines.wrong(format!("node {node} is one of the {described} that allx describes")));
            }
            if !seen.insert(node) {
                return Err(lines.wrong(format!("node {node} comes twice")));
            }
            nodes.push(node);
        }
        Ok(nodes)
    }

    /// The edges listed, all of them among `nodes` nodes.
    fn neighbors(&self, nodes: usize) -> Result<Vec<(u32, u32)>, DataError> {
        let pickle = self.pickle("graph")?;
        let items = match (pickle.value(pickle.root), pickle.call(pickle.root)) {
            (Value::Dict(items), _) => &items[..],
            (_, Some(call)) if call.function == "collections defaultdict" => call.items,
            _ => return Err(self.wrong("graph", 0, "the pickle is no dictionary".to_owned())),
        };
        if items.len() != nodes {
            let problem = format!("it lists {} nodes, where the other files have {nodes}", items.len());
            return Err(self.wrong("graph", 0, problem));
        }
        let node = |id: Id| {
            let found = pickle.int(id).filter(|node| (0..nodes as i64).contains(node));
            let problem = || format!("{:?} is none of the {nodes} nodes", pickle.value(id));
            found.map(|node| node as u32).ok_or_else(|| self.wrong("graph", 0, problem()))
        };
        let mut edges = Vec::new();
        for (from, to) in items {
            let from = node(*from)?;
            let Value::List(to) = pickle.value(*to) else {
                return Err(self.wrong("graph", 0, format!("the neighbours of node {from} are no list")));
            };
            for to in to {
                edges.push((from, node(*to)?));
            }
        }
        Ok(edges)
    }
}

/// The matrix that the pickle describes, where it is one.
fn sparse(pickle: &Pickle) -> Option<Stored> {
    let call = pickle.call(pickle.root)?;
    if !(call.function.starts_with("scipy.sparse") && call.function.ends_with(" csr_matrix")) {
        return None;
    }
    let Value::Dict(items) = pickle.value(call.state?) else { return None };
    let field = |name: &str| {
        let mut items = items.iter();
        items.find_map(|(key, value)| (pickle.bytes(*key)? == name.as_bytes()).then_some(*value))
    };
    let Value::Tuple(shape) = pickle.value(field("_shape").or_else(|| field("shape"))?) else { return None };
    let shape: Vec<usize> = shape.iter().filter_map(|id| usize::try_from(pickle.int(*id)?).ok()).collect();
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
    let stored = Stored { rows, columns, offsets, indices, values };
    (fits && inside && finite && columns > 0 && stored.values.len() == stored.indices.len()).then_some(stored)
}

/// Shape and values of the NumPy array that a value is, where it is one of numbers in C order and little-endian bytes.
fn array(pickle: &Pickle, id: Id) -> Option<(Vec<usize>, Vec<f64>)> {
    let call = pickle.call(id)?;
    if !(call.function.starts_with("numpy.") && call.function.ends_with("multiarray _reconstruct")) {
        return None;
    }
    let Value::Tuple(state) = pickle.value(call.state?) else { return None };
    let &[_, shape, kind, fortran, bytes] = &state[..] else { return None };
    let Value::Tuple(shape) = pickle.value(shape) else { return None };
    let shape = shape.iter().map(|id| usize::try_from(pickle.int(*id)?).ok()).collect::<Option<Vec<_>>>()?;
    if pickle.value(fortran) != &Value::Bool(false) {
        return None;
    }
    let call = pickle.call(kind)?;
    let Value::Tuple(state) = pickle.value(call.state?) else { return None };
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
