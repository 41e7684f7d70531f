//! The part of a file that has come so far.

use crate::error::DataError;
use md5::{Digest, Md5};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// A file under its temporary name, held by this process alone, with the running MD5 sum of its bytes.
pub(super) struct Part {
    path: PathBuf,
    file: File,
    digest: Md5,
    len: u64,
}

impl Part {
    /// Opens what came of `target` so far, or begins it.
    pub(super) fn open(target: &Path) -> Result<Self, DataError> {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let path = target.with_file_name(name);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = options.map_err(DataError::io("write", &path))?;
        // Where the file system has no locks, two processes at once spoil the part, which its sum betrays.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let source = io::Error::new(io::ErrorKind::ResourceBusy, "another process is fetching it");
            return Err(DataError::Io { action: "write", path, source });
        }
        let (digest, len) = digest(&mut file).map_err(DataError::io("read", &path))?;
        Ok(Self { path, file, digest, len })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Number of bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The MD5 sum, in lower-case hexadecimal digits.
    pub(super) fn sum(&self) -> String {
        hexadecimal(self.digest.clone())
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        self.file.write_all(bytes).map_err(DataError::io("write", &self.path))?;
        self.digest.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Forgets all that came.
    pub(super) fn restart(&mut self) -> Result<(), DataError> {
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(DataError::io("write", &self.path))?;
        self.digest = Md5::new();
        self.len = 0;
        Ok(())
    }

    /// Takes the file out of the folder.
    pub(super) fn remove(&self) -> Result<(), DataError> {
        fs::remove_file(&self.path).map_err(DataError::io("remove", &self.path))
    }

    /// Gives the file its final name, when its bytes are on the disk.
    pub(super) fn finish(self, target: &Path) -> Result<(), DataError> {
        self.file.sync_all().map_err(DataError::io("write", &self.path))?;
        drop(self.file);
        fs::rename(&self.path, target).map_err(DataError::io("rename", &self.path))?;
        // A name that a power cut takes back costs another renaming, since the part is found to be whole.
        if let Some(Ok(folder)) = target.parent().map(File::open) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

/// The MD5 sum of the file at `path`, in lower-case hexadecimal digits.
pub(super) fn md5_of(path: &Path) -> Result<String, DataError> {
    let digest =
        File::open(path).and_then(|mut file| digest(&mut file)).map_err(DataError::io("read", path))?;
    Ok(hexadecimal(digest.0))
}

/// The digest of all that `reader` gives, and its length.
fn digest(reader: &mut impl Read) -> io::Result<(Md5, u64)> {
    let mut digest = Md5::new();
    let mut chunk = vec![0; super::CHUNK];
    let mut len = 0;
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return Ok((digest, len)),
            Ok(count) => {
                digest.update(&chunk[..count]);
                len += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn hexadecimal(digest: Md5) -> String {
    let digit = |nibble| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    digest.finalize().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
