//! Weights that an encoder starts from: a safetensors file of torchvision's, timm's, an export, or a run; or the folder of a sentence
//! encoder.

use std::cell::RefCell;
use std::fmt::{Display, Formatter};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use lookalike_base::arrays::Arrays;
use lookalike_base::tensors;

use crate::encoder::Encoder;
use crate::encoder::export::ARCHITECTURE;
use crate::engine::Device;
use crate::error::LearnError;
use crate::module::{Module, for_each_tensor, load_arrays};
use crate::options::refuse;
use crate::sentence::{self, SentenceFolder};

/// What of a file was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    path: PathBuf,
    taken: usize,
    left: Vec<String>,
}

impl Display for Report {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { path, taken, left } = self;
        write!(formatter, "encoder.weights: took {taken} tensors of {}", path.display())?;
        match left.len() {
            0 => Ok(()),
            1..=4 => write!(formatter, ", left {}", left.join(", ")),
            more => write!(formatter, ", left {more}: {}, …", left[..3].join(", ")),
        }
    }
}

/// Where weights are to come from, and what was taken when they were loaded last.
#[derive(Debug)]
pub struct Start {
    path: PathBuf,
    report: RefCell<Option<Report>>,
}

impl Start {
    /// The file at `path`.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), report: RefCell::new(None) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All that there is, under the names that an encoder gives its tensors, and others.
    ///
    /// # Errors
    /// As [`load`], of the file.
    pub fn arrays(&self) -> Result<Arrays, LearnError> {
        Ok(read(&self.path)?.0)
    }

    /// Loads all tensors of `module`, see [`load`].
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(&self, module: &mut dyn Module, device: &Device) -> Result<(), LearnError> {
        let report = load(module, &self.path, device)?;
        self.report.replace(Some(report));
        Ok(())
    }

    /// Loads all tensors of `encoder`, of a file that can have them as [`Encoder::adopt`] says; see [`load_encoder`].
    ///
    /// # Errors
    /// As [`load_encoder`].
    pub fn load_encoder(&self, encoder: &mut dyn Encoder, device: &Device) -> Result<(), LearnError> {
        let report = load_encoder(encoder, &self.path, device)?;
        self.report.replace(Some(report));
        Ok(())
    }

    /// What was taken; `None` where nothing was loaded.
    pub fn into_report(self) -> Option<Report> {
        self.report.into_inner()
    }
}

/// Loads all tensors of `module` from the file at `path`, where they stand under their own names or behind `encoder.`, or from the folder
/// of a sentence encoder.
///
/// # Errors
/// [`LearnError::Recipe`] for a file of PyTorch's own format, with the lines that convert it; [`LearnError::ArrayFile`] where the file
/// cannot be read; [`LearnError::Weights`] names a tensor that is missing or of another shape.
pub fn load(module: &mut dyn Module, path: &Path, device: &Device) -> Result<Report, LearnError> {
    Found::of(module, path)?.load(module, path, device)
}

/// [`load`] of an encoder, which can make its own what other programs name or shape otherwise.
///
/// # Errors
/// As [`load`] and [`Encoder::adopt`].
pub fn load_encoder(encoder: &mut dyn Encoder, path: &Path, device: &Device) -> Result<Report, LearnError> {
    let found = Found::of(encoder, path)?;
    let architecture = found.architecture.clone();
    let arrays = encoder.adopt(found.arrays)?;
    Found { arrays, ..found }.load(encoder, path, device).map_err(|error| match (error, architecture) {
        (LearnError::Weights { name, reason }, Some(architecture)) => {
            let reason = format!("{reason}; {} says that it holds a `{architecture}`", path.display());
            LearnError::Weights { name, reason }
        }
        (error, _) => error,
    })
}

/// The tensors of a file.
struct Found {
    /// What stands before the names of an encoder's tensors.
    prefix: &'static str,
    /// Those behind the prefix, without it.
    arrays: Arrays,
    /// The names of the others.
    left: Vec<String>,
    /// The encoder that the file says it holds, as an export does.
    architecture: Option<String>,
}

impl Found {
    /// Those of the file at `path`, of which `module` has its own.
    fn of(module: &mut dyn Module, path: &Path) -> Result<Self, LearnError> {
        const ENCODER: &str = "encoder.";
        let ((all, architecture), own) = (read(path)?, names_of(module));
        let found = |prefix: &str| own.iter().any(|name| all.contains_key(&format!("{prefix}{name}")));
        let prefix = if !found("") && found(ENCODER) { ENCODER } else { "" };
        let (mut arrays, mut left) = (Arrays::new(), Vec::new());
        for (name, array) in all {
            match name.strip_prefix(prefix) {
                Some(name) => drop(arrays.insert(name.to_owned(), array)),
                None => left.push(name),
            }
        }
        Ok(Self { prefix, arrays, left, architecture })
    }

    fn load(mut self, module: &mut dyn Module, path: &Path, device: &Device) -> Result<Report, LearnError> {
        load_arrays(module, &self.arrays, "", device)?;
        let own = names_of(module);
        let left = self.arrays.into_keys().filter(|name| !own.contains(name));
        self.left.extend(left.map(|name| format!("{}{name}", self.prefix)));
        self.left.sort();
        Ok(Report { path: path.to_owned(), taken: own.len(), left: self.left })
    }
}

fn names_of(module: &mut dyn Module) -> Vec<String> {
    let mut names = Vec::new();
    for_each_tensor(module, &mut |name, _, _| names.push(name.to_owned()));
    names
}

/// The tensors of a file, or of the folder of a sentence encoder, and the encoder that the file says it holds.
fn read(path: &Path) -> Result<(Arrays, Option<String>), LearnError> {
    if path.is_dir() {
        return Ok((sentence::read_tensors(&SentenceFolder::read(path)?)?, None));
    }
    let file = tensors::read(path)
        .map_err(|error| if is_pickled(path) { to_convert(path) } else { LearnError::from(error) })?;
    Ok((file.tensors, file.metadata.get(ARCHITECTURE).cloned()))
}

/// Whether a file that is no safetensors file is one of PyTorch's own, by its ending or its first bytes: a zip archive, or a bare pickle.
fn is_pickled(path: &Path) -> bool {
    const ENDINGS: [&str; 6] = [".pth", ".pt", ".bin", ".ckpt", ".pth.tar", ".pkl"];
    let name = path.to_string_lossy().to_lowercase();
    let mut first = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut first)).is_ok();
    path.is_file()
        && (ENDINGS.iter().any(|ending| name.ends_with(ending))
            || (read && (first.starts_with(b"PK\x03\x04") || first[0] == 0x80)))
}

fn to_convert(path: &Path) -> LearnError {
    let lines = conversion(path, &path.with_extension("safetensors"));
    let reason = format!(
        "{} is in PyTorch's own format, which can run programs when it is read; convert it with\n{lines}",
        path.display()
    );
    refuse("encoder.weights", reason)
}

/// The lines of Python that make a safetensors file of one in PyTorch's own format.
pub(crate) fn conversion(path: &Path, out: &Path) -> String {
    format!(
        "  import torch; from safetensors.torch import save_file\n  save_file(torch.load(\"{}\", weights_only=True), \"{}\")",
        path.display(),
        out.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_pytorch_are_told_by_ending_or_first_bytes_and_refused_with_what_converts_them() {
        let folder = tempfile::tempdir().unwrap();
        let archive: &[u8] = b"PK\x03\x04 and more";
        for (name, content, pickled) in [
            ("resnet.pth", &b""[..], true),
            ("RESNET.PTH.TAR", b"", true),
            ("model.safetensors", archive, true),
            ("model", b"\x80\x02}q\x00.", true),
            ("torn.safetensors", b"\x10\x00\x00", false),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            let error = load(&mut NoTensors, &path, &Device::flex()).unwrap_err().to_string();
            assert_eq!(error.contains("torch.load"), pickled, "{name}: {error}");
        }
        let missing = load(&mut NoTensors, &folder.path().join("no.pth"), &Device::flex()).unwrap_err();
        assert!(!missing.to_string().contains("torch.load"), "{missing}");
    }

    struct NoTensors;

    impl Module for NoTensors {
        fn visit(&mut self, _: &mut crate::module::Visitor<'_>) {}
    }
}
