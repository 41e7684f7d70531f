//! A folder with tiny images and a recipe that learns them in little time, and the command as users call it there.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

pub const IMAGES: u32 = 40;

/// Two classes of images, and a recipe that learns them in little time.
pub struct Place {
    pub folder: tempfile::TempDir,
}

/// How a command ended, and what it printed.
pub struct Ended {
    pub status: Option<i32>,
    pub out: String,
    pub error: String,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for index in 0..IMAGES {
            let class = folder.path().join("photos").join(["dark", "light"][index as usize % 2]);
            fs::create_dir_all(&class).unwrap();
            let image = image::RgbImage::from_fn(12, 12, |x, y| {
                let value = (x * 7 + y * 11 + index * 5) % 64 + 128 * (index % 2);
                image::Rgb([value as u8, (value / 2) as u8, (255 - value) as u8])
            });
            image.save(class.join(format!("{index:02}.png"))).unwrap();
        }
        fs::write(
            folder.path().join("photos.toml"),
            "[data]\nname = \"folder\"\nroot = \"photos\"\n[augment]\nsize = 8\n[encoder]\nkind = \"small\"\n\
             [sampler]\nbatch_size = 8\ncandidates = 20\nneighbors = 5\nrefresh_every = 2\n\
             [train]\nepochs = 2\nwarmup_epochs = 0.0\ncheckpoint_every = 2\n[evaluate]\nprobe_epochs = 2\n",
        )
        .unwrap();
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lookalike"));
        command.current_dir(self.folder.path()).args(arguments);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.command(arguments).output().unwrap())
    }

    /// Runs a command that must succeed, and gives what it printed.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.error);
        ended.out
    }

    pub fn shape(&self, file: &str) -> (usize, usize) {
        let rows = lookalike_base::npy::read_rows(self.path(file)).unwrap();
        (rows.len(), rows.columns())
    }
}

pub fn ended(output: std::process::Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { status: output.status.code(), out: text(output.stdout), error: text(output.stderr) }
}

/// Every file below a folder with its bytes, and every link with what it points to.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_symlink() {
            found.insert(path.clone(), fs::read_link(path).unwrap().into_os_string().into_encoded_bytes());
        } else if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}

/// Waits until `holds`, for at most a minute.
pub fn wait(child: &mut Child, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_mins(1) && child.try_wait().unwrap().is_none());
        std::thread::yield_now();
    }
}

pub fn has_checkpoint(run: &Path) -> bool {
    fs::read_dir(run.join("checkpoints")).is_ok_and(|entries| entries.count() > 1)
}
