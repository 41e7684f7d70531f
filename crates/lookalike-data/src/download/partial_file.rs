//! The part of a file that has been downloaded so far.

use crate::checksum::Checksum;
use crate::error::DataError;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

/// A file under its temporary name, held by this process alone, with the running sum of its bytes.
pub(super) struct PartialFile {
    path: PathBuf,
    file: File,
    sum: Checksum,
    len: u64,
}

impl PartialFile {
    /// Opens the partial file of `target`, or creates it.
    ///
    /// # Errors
    /// [`DataError::Io`] where it cannot be written, is no regular file, or another process holds it.
    pub(super) fn open(target: &Path) -> Result<Self, DataError> {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let path = target.with_file_name(name);
        let mut file = create_or_open(&path).map_err(DataError::io("write", &path))?;
        // Where the file system has no locks, two processes at once spoil the file, which its sum reveals.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let source = io::Error::new(io::ErrorKind::ResourceBusy, "another process is downloading it");
            return Err(DataError::Io { action: "write", path, source });
        }
        let (mut sum, mut len) = (Checksum::default(), 0);
        sum.read(&mut file, |count| len += count as u64).map_err(DataError::io("read", &path))?;
        Ok(Self { path, file, sum, len })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Number of bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// SHA-256 of the bytes, in lower-case hexadecimal digits.
    pub(super) fn sum(&self) -> String {
        self.sum.hexadecimal()
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        self.file.write_all(bytes).map_err(DataError::io("write", &self.path))?;
        self.sum.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Empties the file.
    pub(super) fn restart(&mut self) -> Result<(), DataError> {
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(DataError::io("write", &self.path))?;
        self.sum = Checksum::default();
        self.len = 0;
        Ok(())
    }

    /// Removes the file from its folder.
    pub(super) fn remove(&self) -> Result<(), DataError> {
        fs::remove_file(&self.path).map_err(DataError::io("remove", &self.path))
    }

    /// Gives the file its final name once its bytes are on the disk.
    pub(super) fn finish(self, target: &Path) -> Result<(), DataError> {
        self.file.sync_all().map_err(DataError::io("write", &self.path))?;
        drop(self.file);
        fs::rename(&self.path, target).map_err(DataError::io("rename", &self.path))?;
        // Where a power cut undoes the renaming, the next call finds the partial file complete and renames it
        // again.
        if let Some(Ok(folder)) = target.parent().map(File::open) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

/// Opens `path` for reading and writing, and creates it where it does not exist. A symbolic link is not
/// followed: its name is known beforehand, so somebody else could have put it there to have another file
/// overwritten.
fn create_or_open(path: &Path) -> io::Result<File> {
    let options = || OpenOptions::new().read(true).write(true).clone();
    match options().create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        created => return created,
    }
    let file = options().open(path)?;
    // After the opening, so that what is opened is what is examined; nothing was written or cut yet.
    let named = fs::symlink_metadata(path)?;
    if named.is_file() && is_same(&file.metadata()?, &named) {
        return Ok(file);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "it is a link or a device; remove it, and download again",
    ))
}

#[cfg(unix)]
fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}
