//! The folder of a run, which belongs to one process while that trains in it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use lookalike_base::atomic::sweep;
use lookalike_base::lock::FolderLock;
use lookalike_learn::LearnError;
use lookalike_learn::train::result::FOLDERS;
use lookalike_learn::train::trainer::RECIPE;

use crate::failure::Failure;
use crate::run::{no_run, warn};

/// A folder that is this process's own until this value is dropped.
pub(crate) struct RunFolder {
    path: PathBuf,
    /// Whether it was made for this run.
    made: bool,
    lock: Option<FolderLock>,
}

impl RunFolder {
    /// Takes `path` for a new run: makes it, or takes an empty folder.
    ///
    /// # Errors
    /// Where another process has it, or it holds a run or anything else: none of it is replaced.
    pub(crate) fn begin(path: &Path) -> Result<Self, Failure> {
        let io = |source| LearnError::Io { path: path.to_owned(), source };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(io)?;
        }
        let made = match fs::create_dir(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => false,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let what = if path.exists() { "is no folder" } else { "is a link that leads nowhere" };
                return Err(Failure::usage(format!(
                    "{} {what}, and a run needs one; give a new folder with --out",
                    path.display()
                )));
            }
            made => made.map(|()| true).map_err(io)?,
        };
        let folder = Self::own(path, made)?;
        let shown = path.display();
        if path.join(RECIPE).exists() {
            return Err(Failure::usage(format!(
                "{shown} holds a run already; go on with it by --resume {shown}, or give another folder with --out"
            )));
        }
        // What begins with a dot is the lock and what a killed process left half written.
        let mut entries = fs::read_dir(path).map_err(io)?.filter_map(|entry| Some(entry.ok()?.file_name()));
        match entries.find(|name| !name.as_encoded_bytes().starts_with(b".")) {
            Some(name) => Err(Failure::usage(format!(
                "{shown} is not empty and holds no run: {} lies there; give a new folder with --out",
                name.to_string_lossy()
            ))),
            None => Ok(folder),
        }
    }

    /// Makes a folder under `runs/` for a run of the recipe at `path`: its name and a number that is not taken.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(crate) fn numbered(path: &Path) -> Result<Self, Failure> {
        let name = path.file_stem().map_or_else(|| "run".into(), std::ffi::OsStr::to_string_lossy);
        let runs = Path::new("runs");
        fs::create_dir_all(runs).map_err(|source| LearnError::Io { path: runs.to_owned(), source })?;
        for number in 1..u32::MAX {
            let path = runs.join(format!("{name}-{number:03}"));
            match fs::create_dir(&path) {
                Ok(()) => return Self::own(&path, true),
                // Taken, perhaps just now by another process.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(source) => return Err(LearnError::Io { path, source }.into()),
            }
        }
        Err(Failure::usage(format!("all numbers are taken under runs/{name}; give a folder with --out")))
    }

    /// Takes the folder of a run that is there.
    ///
    /// # Errors
    /// Where another process has it, or it holds no run.
    pub(crate) fn resume(path: &Path) -> Result<Self, Failure> {
        if !path.join(RECIPE).exists() {
            return Err(no_run(path, &format!("is not a run: it has no {RECIPE}")));
        }
        Self::own(path, false)
    }

    fn own(path: &Path, made: bool) -> Result<Self, Failure> {
        let (lock, before) = FolderLock::take(path)?;
        let folder = Self { path: path.to_owned(), made, lock: Some(lock) };
        if let Some(owner) = before {
            warn(&[format!(
                "{} was left behind by {owner}, which has ended; it is taken over",
                path.display()
            )]);
        }
        for place in std::iter::once(path.to_owned()).chain(FOLDERS.map(|folder| path.join(folder))) {
            sweep(&place).map_err(|source| LearnError::Io { path: place, source })?;
        }
        Ok(folder)
    }

    /// Gives it back and keeps it, for runs within it.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.made = false;
        self.path.clone()
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        drop(self.lock.take());
        if self.made {
            // Only an empty folder can be removed so: one of a run that never began.
            let _holds_a_run = fs::remove_dir(&self.path);
        }
    }
}
