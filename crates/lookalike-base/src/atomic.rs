//! Files that appear whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::lock::process_may_live;

const BUFFER: usize = 256 * 1024;

/// Writes the file at `path` through `write`, so that at every moment there is either the old file or the whole new one.
///
/// The bytes go to a temporary file in the same folder (its name ends in `.part`), which is flushed, synced and renamed
/// to `path`; then the folder is synced. On any error the temporary is removed and the old file stays as it was. A
/// symbolic link is followed, and what it points to replaced.
///
/// # Errors
/// Whatever `write` or the file system returns; [`io::ErrorKind::InvalidInput`] where `path` names something other than
/// a regular file, such as a folder or a device, which a rename would replace.
pub fn write_atomic(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    Staged::write(path, write)?.publish()
}

/// A file that is written, flushed and synced, and does not stand at its place yet: dropped, it is gone. So several files are written
/// before the first of them appears.
#[derive(Debug)]
pub struct Staged {
    temporary: Temporary,
    path: PathBuf,
}

impl Staged {
    /// Writes what is to stand at `path`; [`Staged::publish`] puts it there.
    ///
    /// # Errors
    /// As [`write_atomic`]; nothing is left then.
    pub fn write(
        path: impl AsRef<Path>,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Self> {
        let path = resolve(path.as_ref())?;
        let (temporary, file) = Temporary::create(&path)?;
        let mut writer = BufWriter::with_capacity(BUFFER, file);
        write(&mut writer)?;
        writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(Self { temporary, path })
    }

    /// Puts it at its place, over what stands there.
    ///
    /// # Errors
    /// Whatever the file system returns; what stood there before is then untouched.
    pub fn publish(self) -> io::Result<()> {
        self.temporary.rename(&self.path)?;
        let folder = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        sync_folder(folder)
    }
}

/// Makes the new folder `path`, which `fill` fills under another name beside it, so that it appears whole or not at all. `about` makes an
/// error of what the system says of a path.
///
/// # Errors
/// Those of `fill`, and whatever the file system returns: where something stands at `path` already, or its folder is not there. Nothing is
/// left then.
pub fn new_folder<E>(
    path: &Path,
    about: impl Fn(&Path, io::Error) -> E,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let refuse = |kind, problem: &str| Err(about(path, io::Error::new(kind, problem)));
    if path.symlink_metadata().is_ok() {
        return refuse(io::ErrorKind::AlreadyExists, "it is there already; a new folder is made");
    }
    let Some(name) = path.file_name() else {
        return refuse(io::ErrorKind::InvalidInput, "it has no name");
    };
    let unfinished = path.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
    fs::create_dir(&unfinished).map_err(|error| about(path, error))?;
    let written =
        fill(&unfinished).and_then(|()| fs::rename(&unfinished, path).map_err(|error| about(path, error)));
    if written.is_err() {
        // What cannot be removed is left under its name of an unfinished folder.
        let _left = fs::remove_dir_all(&unfinished);
    }
    written
}

/// Whether [`write_atomic`] could write `path`, found out by making its temporary file and removing it again.
///
/// # Errors
/// As [`write_atomic`]; nothing is changed.
pub fn probe(path: impl AsRef<Path>) -> io::Result<()> {
    Temporary::create(&resolve(path.as_ref())?).map(drop)
}

/// Removes from `folder` what [`write_atomic`] left behind in processes of this machine that were killed.
///
/// # Errors
/// Whatever the file system returns. A folder that is not there holds nothing.
pub fn sweep(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let process = name.to_str().and_then(process_of_temporary);
        if process.is_some_and(|process| !process_may_live(process)) && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The process that wrote a temporary file of this name, `.NAME.PROCESS-NUMBER.part`.
fn process_of_temporary(name: &str) -> Option<u32> {
    let (_, written_by) = name.strip_prefix('.')?.strip_suffix(".part")?.rsplit_once('.')?;
    let (process, number) = written_by.split_once('-')?;
    number.parse::<u64>().ok()?;
    process.parse().ok()
}

/// The path behind links, checked to be free or a regular file.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => fs::canonicalize(path),
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "it exists and is not a regular file")),
        Err(_) if path.file_name().is_none() => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))
        }
        Err(_) => Ok(path.to_owned()),
    }
}

/// A file that is removed again unless it was renamed.
#[derive(Debug)]
struct Temporary {
    path: Option<PathBuf>,
}

impl Temporary {
    fn create(target: &Path) -> io::Result<(Self, File)> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let mut name = OsString::from(".");
            name.push(target.file_name().unwrap_or_default());
            name.push(format!(".{}-{number}.part", std::process::id()));
            let path = target.with_file_name(name);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((Self { path: Some(path) }, file)),
                // Left behind by a killed process that had the same number: try the next name.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn rename(mut self, target: &Path) -> io::Result<()> {
        if let Some(path) = &self.path {
            fs::rename(path, target)?;
        }
        self.path = None;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Nothing better can be done about a file that cannot be removed than to report the first error.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        // Some network file systems cannot sync a folder; the rename itself has succeeded.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        result => result,
    }
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<OsString> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_write_replaces_the_old_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for text in ["old", "new"] {
            write_atomic(&path, |writer| writer.write_all(text.as_bytes())).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn files_that_belong_together_appear_when_all_are_written_or_none_does() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        let staged = || Staged::write(&one, |writer| writer.write_all(b"new"));
        let first = staged().unwrap();
        let full = Staged::write(&two, |_| Err(io::ErrorKind::StorageFull.into()));
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(!one.exists() && !two.exists());
        drop(first);
        assert_eq!(names(folder.path()), [] as [OsString; 0]);
        staged().unwrap().publish().unwrap();
        assert_eq!(fs::read_to_string(&one).unwrap(), "new");
    }

    #[test]
    fn a_folder_appears_whole_or_not_at_all_and_never_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        let make = |path: &Path, fails: bool| {
            new_folder(
                path,
                |_, error| error.kind(),
                |within| {
                    fs::write(within.join("a"), "x").unwrap();
                    if fails { Err(io::ErrorKind::StorageFull) } else { Ok(()) }
                },
            )
        };
        assert_eq!(make(&path, true), Err(io::ErrorKind::StorageFull));
        assert_eq!(names(folder.path()), [] as [OsString; 0]);
        assert_eq!(make(&folder.path().join("no/new"), false), Err(io::ErrorKind::NotFound));
        make(&path, false).unwrap();
        assert_eq!(names(&path), ["a"]);
        assert_eq!(make(&path, false), Err(io::ErrorKind::AlreadyExists));
        assert_eq!(names(folder.path()), ["new"]);
    }

    #[test]
    fn a_write_that_fails_half_way_keeps_the_old_file_and_no_temporary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "old").unwrap();
        let full = write_atomic(&path, |writer| {
            writer.write_all(&vec![0; 2 * BUFFER])?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn a_writer_that_panics_leaves_no_temporary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let panicked = std::panic::catch_unwind(|| write_atomic(&path, |_| panic!("in the writer")));
        assert!(panicked.is_err());
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_folder_a_device_and_a_missing_folder_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &Path| {
            let error = write_atomic(path, |writer| writer.write_all(b"x")).unwrap_err();
            assert_eq!(probe(path).unwrap_err().kind(), error.kind());
            error.kind()
        };
        probe(folder.path().join("a")).unwrap();
        assert!(names(folder.path()).is_empty());
        assert_eq!(write(folder.path()), io::ErrorKind::InvalidInput);
        assert_eq!(write(&folder.path().join("missing/a")), io::ErrorKind::NotFound);
        #[cfg(unix)]
        assert_eq!(write(Path::new("/dev/null")), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn what_killed_processes_left_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let own = format!(".model.{}-3.part", std::process::id());
        let kept =
            [own.as_str(), "model", "download.part", ".model.part", ".model.x-1.part", ".model.4000000000-1"];
        for name in kept.iter().chain(&[".model.4000000000-17.part"]) {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        sweep(folder.path()).unwrap();
        let mut left = names(folder.path());
        left.sort();
        let mut expected = kept;
        expected.sort_unstable();
        assert_eq!(left, expected);
        sweep(&folder.path().join("missing")).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn an_unwritable_folder_is_an_error_that_changes_nothing() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
        let result = write_atomic(&path, |writer| writer.write_all(b"new"));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        // The superuser may write anywhere; for everybody else this must have failed.
        let expected = if result.is_ok() { "new" } else { "old" };
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_and_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_atomic(&link, |writer| writer.write_all(b"new")).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
