//! Where the commands on runs may write: over nothing that they read, and over no file of another kind.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use lookalike_base::foreign;
use lookalike_data::image::folder;
use lookalike_learn::encoder::export::detectron2::{FIRST_BYTES, FIRST_WORDS};
use lookalike_learn::evaluate::STEP;
use lookalike_learn::recipe::ValidRecipe;
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::output::{check_outputs, place};

/// What a result holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A matrix.
    Matrix,
    /// The names and classes of its rows.
    Table,
    /// The texts of its rows.
    Lines,
    /// An encoder.
    Weights,
    /// An encoder for detectron2.
    Pickle,
    /// How detectron2 is to learn with it.
    Configuration,
    /// What an evaluation measured.
    Scores,
}

/// The header of a table of names and classes.
pub(crate) const COLUMNS: [&str; 4] = ["row", "name", "label", "class"];

/// What is read of a file of scores at most.
const MOST_SCORES: u64 = 1 << 26;
/// What is read of a line at most.
const MOST_LINE: u64 = 1 << 20;

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Self::Matrix => "a .npy file",
            Self::Table => "a table of rows that `lookalike embed` wrote",
            Self::Lines => "a list of texts that `lookalike embed` wrote",
            Self::Weights => "a safetensors file",
            Self::Pickle => "a file for detectron2 that `lookalike export` wrote",
            Self::Configuration => "a configuration that `lookalike export` wrote",
            Self::Scores => "a file of scores that `lookalike evaluate` wrote",
        }
    }

    /// Whether the file at `path` is of this kind, or empty.
    fn is_kind_of(self, path: &Path) -> std::io::Result<bool> {
        if path.metadata()?.len() == 0 {
            return Ok(true);
        }
        let line = || {
            let mut line = Vec::new();
            BufReader::new(File::open(path)?.take(MOST_LINE)).read_until(b'\n', &mut line)?;
            Ok::<_, std::io::Error>(line)
        };
        let object = |text: &[u8]| serde_json::from_slice::<Map<String, Value>>(text).unwrap_or_default();
        Ok(match self {
            Self::Matrix => foreign::kind_of(path)? == Some(foreign::NPY),
            Self::Weights => foreign::kind_of(path)? == Some(foreign::SAFETENSORS),
            Self::Pickle => begins(path, FIRST_BYTES)?,
            Self::Configuration => begins(path, FIRST_WORDS.as_bytes())?,
            Self::Table => line()?.trim_ascii_end() == COLUMNS.join(",").as_bytes(),
            Self::Lines => {
                let object = object(&line()?);
                object.len() == 2 && object.contains_key("line") && object.contains_key("text")
            }
            Self::Scores => {
                let mut text = Vec::new();
                File::open(path)?.take(MOST_SCORES).read_to_end(&mut text)?;
                object(&text).contains_key(STEP)
            }
        })
    }
}

/// Whether the file at `path` begins with `first`.
fn begins(path: &Path, first: &[u8]) -> std::io::Result<bool> {
    let mut start = Vec::new();
    File::open(path)?.take(first.len() as u64).read_to_end(&mut start)?;
    Ok(start == first)
}

/// What a command reads beside the run.
#[derive(Default)]
pub(crate) struct Sources {
    files: Vec<PathBuf>,
    /// Folders all of whose files are read.
    folders: Vec<PathBuf>,
    /// A folder whose images are read.
    images: Option<PathBuf>,
}

impl Sources {
    /// What a recipe names. Of a million images none is listed.
    pub(crate) fn of(recipe: &ValidRecipe) -> Self {
        let settings = recipe.settings();
        let root = settings.text("data.root").map(PathBuf::from);
        let mut found = Self::default();
        if recipe.choice().modality.finds_paths {
            let root = root.as_deref().unwrap_or(Path::new("."));
            let keys = ["data.name", "text.development", "text.tokenizer", "text.cache"];
            let names = keys.iter().filter_map(|key| settings.text(key).map(str::to_owned));
            let lists = ["text.further", "evaluate.scored_on"].iter().flat_map(|key| settings.texts(key));
            for name in names.chain(lists).filter(|name| !name.is_empty()) {
                found.add(root.join(&name));
                found.add(name.into());
            }
        } else if let Some(root) = root {
            if root.is_dir() {
                found.images = Some(root);
            } else {
                found.files.push(root);
            }
        }
        for key in ["encoder.weights", "data.classes"] {
            if let Some(path) = settings.text(key) {
                found.add(path.into());
            }
        }
        found
    }

    /// A file of texts, and the folder of the sentence encoder that reads them.
    pub(crate) fn of_texts(file: &Path, encoder: &Path) -> Self {
        Self { files: vec![file.to_owned()], folders: vec![encoder.to_owned()], images: None }
    }

    fn add(&mut self, path: PathBuf) {
        if path.is_dir() {
            self.folders.push(path);
        } else if path.exists() {
            self.files.push(path);
        }
    }

    /// Checks before the work begins that `outputs` can be written, as [`check_outputs`] does, and that nothing is lost by it: what stands
    /// there already is of the same kind and no part of these sources, and what does not would be none.
    ///
    /// # Errors
    /// [`Failure::usage`] names the file, and what to do.
    pub(crate) fn check(&self, outputs: &[(&Path, Kind)]) -> Result<(), Failure> {
        let inputs: Vec<&Path> = self.files.iter().chain(&self.folders).map(PathBuf::as_path).collect();
        let paths: Vec<&Path> = outputs.iter().map(|(path, _)| *path).collect();
        check_outputs(&inputs, &paths)?;
        for (path, kind) in outputs {
            let refuse = |problem: String| {
                Err(Failure::usage(format!(
                    "{} cannot be written: {problem}; give another place, or move it away if nobody needs it",
                    path.display()
                )))
            };
            if path.exists() {
                match kind.is_kind_of(path) {
                    Ok(true) => {}
                    Ok(false) => {
                        return refuse(format!("a file is there already that is not {}", kind.words()));
                    }
                    Err(error) => return refuse(format!("a file is there already, and {error}")),
                }
            }
            let own = place(path);
            let within = |folder: &PathBuf| {
                own.as_ref().zip(place(folder)).is_some_and(|(own, folder)| own.starts_with(folder))
            };
            if self.images.as_ref().is_some_and(within) && folder::is_image(path) {
                return refuse("by its name it would be one of the images that are read".to_owned());
            }
        }
        Ok(())
    }
}
