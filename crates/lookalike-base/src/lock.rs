//! A folder that belongs to one process at a time.
//!
//! The owner holds the system's lock on the file `.lock` in the folder and writes into it who it is. The system lets go of a lock when
//! its process ends, however it ends, so that a killed owner stands in nobody's way.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use thiserror::Error;

/// The name of the file.
pub const FILE: &str = ".lock";

/// How often, and after how long, a lock is looked at again that is held by somebody who has not written down yet who it is.
const LOOKS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// What is read of a lock file at most: more than any owner writes.
const MOST: u64 = 4096;

/// Who owns a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Number of the process.
    pub process: u32,
    /// Name of the machine.
    pub host: String,
    /// When it took the folder, in seconds since 1970.
    pub since: u64,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { process, host, since } = self;
        let [date, time] = date_and_time(*since);
        write!(formatter, "process {process} on {host}, since {date} {time} UTC")
    }
}

impl Owner {
    /// This process, from now on.
    fn own() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
        Self { process: std::process::id(), host: host(), since }
    }

    /// What stands in the file: three lines.
    fn text(&self) -> String {
        format!("process {}\nhost {}\nsince {}\n", self.process, self.host, self.since)
    }

    fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Some(Self {
            process: value("process")?.parse().ok()?,
            host: value("host")?.to_owned(),
            since: value("since")?.parse().ok()?,
        })
    }

    /// Whether the process may still run: on this machine where the system shows it, elsewhere always.
    fn may_live(&self) -> bool {
        self.host != host() || process_may_live(self.process)
    }
}

/// Whether a process of this number may run on this machine: it does where the system shows it, and where the system shows none.
pub(crate) fn process_may_live(process: u32) -> bool {
    let processes = Path::new("/proc");
    !processes.join("self").exists() || processes.join(process.to_string()).exists()
}

/// The machine's name.
fn host() -> String {
    let named = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    named("/proc/sys/kernel/hostname")
        .or_else(|| named("/etc/hostname"))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "this machine".to_owned())
}

/// A moment in seconds since 1970 as day and time of day (Hinnant, *chrono-compatible low-level date algorithms*).
fn date_and_time(seconds: u64) -> [String; 2] {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    [format!("{year:04}-{month:02}-{day:02}"), format!("{:02}:{:02}", rest / 3600, rest / 60 % 60)]
}

/// Why a folder cannot be taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process has it.
    #[error("{} belongs to another process{}", folder.display(), owner.as_ref().map_or(String::new(), |owner| format!(": {owner}")))]
    Taken {
        /// The folder.
        folder: PathBuf,
        /// Who has it, where that can be read.
        owner: Option<Owner>,
    },
    /// The file system has no locks, and the file names a process that may still run.
    #[error(
        "{} may belong to another process: {owner}. Its file system has no locks to tell; if that process has ended, remove the file {FILE} there",
        folder.display()
    )]
    Unknown {
        /// The folder.
        folder: PathBuf,
        /// Who had it last.
        owner: Owner,
    },
    /// A link, a pipe or whatever else stands where the file should be, which is not written through.
    #[error("{} is no plain file, as a link or a pipe is none, and cannot be the lock of its folder; remove it if no process trains there", path.display())]
    NoFile {
        /// What stands there.
        path: PathBuf,
    },
    /// The file cannot be made or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
}

/// A folder that is this process's own until this value is dropped.
#[derive(Debug)]
pub struct FolderLock {
    path: PathBuf,
    /// Holds the system's lock as long as it is open.
    _file: File,
}

impl FolderLock {
    /// Takes a folder that is there. The second value is the owner before, where that ended without giving it back.
    ///
    /// # Errors
    /// [`LockError::Taken`] where another process has it, [`LockError::NoFile`] where the lock is a link or a pipe; nothing in the folder is
    /// touched then.
    pub fn take(folder: &Path) -> Result<(Self, Option<Owner>), LockError> {
        let path = folder.join(FILE);
        let fail = |source| LockError::Io { path: path.clone(), source };
        let mut looks = 0;
        loop {
            if !may_be_opened(&path) {
                return Err(LockError::NoFile { path });
            }
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(fail)?;
            let held = file.try_lock();
            let before = read(&mut file).ok().and_then(|text| Owner::parse(&text));
            match held {
                Ok(()) => {}
                // Its owner has taken it this very moment, and nobody or the one before stands in it.
                Err(TryLockError::WouldBlock)
                    if looks < LOOKS && !before.as_ref().is_some_and(Owner::may_live) =>
                {
                    looks += 1;
                    std::thread::sleep(PAUSE);
                    continue;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(LockError::Taken { folder: folder.to_owned(), owner: before });
                }
                Err(TryLockError::Error(_)) => {
                    if let Some(owner) = before.clone().filter(Owner::may_live) {
                        return Err(LockError::Unknown { folder: folder.to_owned(), owner });
                    }
                }
            }
            // Its last owner may have removed it after it was opened here: then whoever comes next would lock another file.
            if !is_at(&file, &path) {
                continue;
            }
            write(&mut file, &Owner::own()).map_err(fail)?;
            return Ok((Self { path, _file: file }, before));
        }
    }
}

/// The process that has `folder` at this moment; `None` where none has, or none that can be told.
pub fn owner_of(folder: &Path) -> Option<Owner> {
    let path = folder.join(FILE);
    if !may_be_opened(&path) {
        return None;
    }
    let mut file = File::open(path).ok()?;
    let held = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
    Owner::parse(&read(&mut file).ok()?).filter(|owner| held && owner.may_live())
}

/// Whether nothing stands at `path`, or a plain file: a link would be followed to a file of somebody else, and a pipe waited for.
fn may_be_opened(path: &Path) -> bool {
    fs::symlink_metadata(path).map_or(true, |found| found.is_file())
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // What cannot be removed is taken over next time, as the lock of a killed process is.
        let _left = fs::remove_file(&self.path);
    }
}

fn read(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text)?;
    Ok(text)
}

fn write(file: &mut File, owner: &Owner) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(owner.text().as_bytes())?;
    file.sync_all()
}

/// Whether the open file is what stands at `path`, which no link does.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let number = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let own = file.metadata().map(number);
    fs::symlink_metadata(path).map(number).is_ok_and(|there| own.is_ok_and(|own| own == there))
}

/// Whether the open file is what stands at `path`: here an open file cannot be removed.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_who_is_named_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (lock, before) = FolderLock::take(folder.path()).unwrap();
        assert_eq!(before, None);
        let refused = FolderLock::take(folder.path()).unwrap_err();
        let LockError::Taken { owner: Some(owner), .. } = &refused else { panic!("{refused}") };
        assert_eq!((owner.process, &owner.host), (std::process::id(), &host()));
        assert!(refused.to_string().contains(&format!("process {} on", std::process::id())), "{refused}");
        assert_eq!(owner_of(folder.path()).as_ref(), Some(owner));
        drop(lock);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(owner_of(folder.path()), None);
        assert!(FolderLock::take(folder.path()).is_ok());
    }

    #[test]
    fn an_owner_who_has_not_signed_yet_is_waited_for_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let gone = Owner { process: 4_000_000_000, host: host(), since: 1_764_470_000 };
        for before in [String::new(), gone.text()] {
            fs::write(folder.path().join(FILE), before).unwrap();
            let mut file = OpenOptions::new().write(true).open(folder.path().join(FILE)).unwrap();
            file.lock().unwrap();
            let signs = std::thread::spawn(move || {
                std::thread::sleep(10 * PAUSE);
                write(&mut file, &Owner::own()).unwrap();
                file
            });
            let refused = FolderLock::take(folder.path()).unwrap_err();
            assert!(refused.to_string().contains(&format!("process {} on", std::process::id())), "{refused}");
            drop(signs.join().unwrap());
        }
    }

    #[test]
    fn an_owner_who_never_signs_is_told_of_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join(FILE)).unwrap();
        file.lock().unwrap();
        let refused = FolderLock::take(folder.path()).unwrap_err();
        assert!(matches!(refused, LockError::Taken { owner: None, .. }), "{refused}");
    }

    #[test]
    fn the_lock_of_a_killed_process_is_taken_over_and_its_owner_told() {
        let folder = tempfile::tempdir().unwrap();
        let gone = Owner { process: 4_000_000_000, host: host(), since: 1_764_470_000 };
        fs::write(folder.path().join(FILE), gone.text()).unwrap();
        let (_lock, before) = FolderLock::take(folder.path()).unwrap();
        assert_eq!(before, Some(gone));
    }

    #[test]
    #[cfg(unix)]
    fn a_link_or_a_pipe_in_place_of_the_lock_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (lock, other) = (folder.path().join(FILE), folder.path().join("other"));
        let refused = || FolderLock::take(folder.path()).unwrap_err();
        std::os::unix::fs::symlink(&other, &lock).unwrap();
        assert!(matches!(refused(), LockError::NoFile { .. }) && !other.exists(), "{}", refused());
        fs::write(&other, "other").unwrap();
        assert!(refused().to_string().contains("is no plain file"), "{}", refused());
        assert_eq!(fs::read_to_string(&other).unwrap(), "other");
        fs::remove_file(&lock).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&lock).status().unwrap().success());
        assert!(matches!(refused(), LockError::NoFile { .. }));
        assert_eq!(owner_of(folder.path()), None);
        fs::remove_file(&lock).unwrap();
        fs::create_dir(&lock).unwrap();
        assert!(matches!(refused(), LockError::NoFile { .. }));
    }

    #[test]
    fn one_of_many_that_come_at_once_is_the_owner() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..50 {
            let owners: Vec<Option<FolderLock>> = std::thread::scope(|scope| {
                let take = || scope.spawn(|| FolderLock::take(folder.path()).ok().map(|(lock, _)| lock));
                let threads: Vec<_> = (0..8).map(|_| take()).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(owners.iter().flatten().count(), 1);
        }
    }

    #[test]
    fn a_lock_file_that_says_nothing_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), b"\xff\xfe no owner").unwrap();
        assert_eq!(FolderLock::take(folder.path()).unwrap().1, None);
    }

    #[test]
    fn moments_are_told_by_day_and_minute() {
        assert_eq!(date_and_time(0), ["1970-01-01", "00:00"]);
        assert_eq!(date_and_time(951_782_399), ["2000-02-28", "23:59"]);
        assert_eq!(date_and_time(951_782_400), ["2000-02-29", "00:00"]);
        assert_eq!(date_and_time(1_764_470_000), ["2025-11-30", "02:33"]);
    }
}
