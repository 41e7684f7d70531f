//! Diffusions on disk, under a fingerprint of everything they depend on, so that what takes long is done once.

use super::{DiffusionOptions, Diffusions};
use crate::error::DataError;
use lookalike_base::hash::Hasher;
use lookalike_base::tensors::{self, TensorFile};
use lookalike_base::{Array, Arrays, Values};
use lookalike_kernels::sparse::Csr;
use std::collections::BTreeMap;
use std::path::Path;

/// Changes when the same file would mean something else, or the same options another diffusion.
const FORMAT: &str = "lookalike diffusions 1";

const FINGERPRINT: &str = "fingerprint";

impl Diffusions {
    /// SHA-256 of what the diffusions of a set follow from, as 64 hexadecimal digits: the fingerprint of its contents, and `options`.
    pub fn fingerprint(contents: &str, options: &DiffusionOptions) -> String {
        let mut hasher = Hasher::new();
        hasher.text(FORMAT);
        hasher.text(contents);
        hasher.text(&format!("{options:?}"));
        hasher.hex()
    }

    /// Writes a safetensors file, whole or not at all, from which [`Diffusions::read`] reads the same again.
    ///
    /// # Errors
    /// [`DataError::Graph`] where the file cannot be written.
    pub fn write(&self, path: &Path, fingerprint: &str) -> Result<(), DataError> {
        let entries = self.matrices.iter().map(Csr::entries).sum();
        let (mut offsets, mut columns, mut values) =
            (vec![0], Vec::with_capacity(entries), Vec::with_capacity(entries));
        for matrix in &self.matrices {
            let first = columns.len() as u64;
            offsets.extend(matrix.offsets()[1..].iter().map(|end| first + *end as u64));
            columns.extend_from_slice(matrix.columns());
            values.extend((0..matrix.len()).flat_map(|row| matrix.row_entries(row)).map(|(_, value)| value));
        }
        let tensors = Arrays::from([
            ("offsets".to_owned(), Array::u64([offsets.len()], offsets)),
            ("columns".to_owned(), Array::u32([columns.len()], columns)),
            ("values".to_owned(), Array::f32([values.len()], values)),
            ("lost".to_owned(), Array::u64([2], [self.lost, self.max_lost].map(f64::to_bits).to_vec())),
        ]);
        let metadata = BTreeMap::from([(FINGERPRINT.to_owned(), fingerprint.to_owned())]);
        tensors::write(path, &TensorFile { metadata, tensors }).map_err(|error| {
            let reason =
                std::error::Error::source(&error).map_or_else(String::new, |reason| format!(": {reason}"));
            DataError::Graph { problem: format!("{error}{reason}") }
        })
    }

    /// The diffusions in the file at `path`, of graphs of `sizes` nodes, made with `options`. Where they are not there the reason stands
    /// in their place: the file is damaged, longer than such diffusions can be, or has another `fingerprint`.
    ///
    /// # Errors
    /// That reason.
    pub fn read(
        path: &Path,
        fingerprint: &str,
        sizes: &[usize],
        options: &DiffusionOptions,
    ) -> Result<Self, String> {
        let squares: u64 = sizes.iter().map(|nodes| (*nodes as u64).saturating_mul(*nodes as u64)).sum();
        let nodes = sizes.iter().sum::<usize>();
        let limit = squares.saturating_mul(8).saturating_add(8 * nodes as u64 + (1 << 20));
        let length = path.metadata().map_err(|error| error.to_string())?.len();
        if length > limit {
            return Err(format!(
                "it has {length} bytes, and diffusions of {nodes} nodes have {limit} at most"
            ));
        }
        let file = tensors::read(path).map_err(|error| error.to_string())?;
        if file.metadata.get(FINGERPRINT).map(String::as_str) != Some(fingerprint) {
            return Err("it is of other graphs, or of another recipe".to_owned());
        }
        from_file(file, sizes, options)
            .ok_or_else(|| "it does not hold diffusions of these graphs".to_owned())
    }
}

/// What a file holds, where it can be of graphs of `sizes` nodes.
fn from_file(mut file: TensorFile, sizes: &[usize], options: &DiffusionOptions) -> Option<Diffusions> {
    let Values::U64(ends) = file.tensors.remove("offsets")?.values else { return None };
    let Values::U32(columns) = file.tensors.remove("columns")?.values else { return None };
    let Values::F32(values) = file.tensors.remove("values")?.values else { return None };
    let &[lost, max_lost] = file.tensors.get("lost")?.as_u64()? else { return None };
    let whole = ends.len() == sizes.iter().sum::<usize>() + 1
        && ends.first() == Some(&0)
        && ends.last() == Some(&(columns.len() as u64))
        && ends.is_sorted()
        && columns.len() == values.len()
        && values.iter().all(|value| value.is_finite());
    if !whole {
        return None;
    }
    let (mut matrices, mut row) = (Vec::with_capacity(sizes.len()), 0);
    for nodes in sizes {
        let ends = &ends[row..=row + nodes];
        row += nodes;
        let first = ends[0];
        let own = first as usize..ends[*nodes] as usize;
        let offsets = ends.iter().map(|end| (end - first) as usize).collect();
        matrices
            .push(Csr::new(offsets, columns[own.clone()].to_vec(), Some(values[own].to_vec()), *nodes).ok()?);
    }
    Some(Diffusions::counted(matrices, f64::from_bits(lost), f64::from_bits(max_lost), options))
}
