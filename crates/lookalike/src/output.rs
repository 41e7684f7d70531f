//! What the command gives as its result: text on standard output, and files of JSON.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use lookalike_base::atomic::Staged;
use lookalike_base::files::split_name;
use lookalike_learn::LearnError;
use lookalike_learn::train::checkpoint::CHECKPOINTS;
use lookalike_learn::train::events::EVENTS;
use lookalike_learn::train::result::{MODEL, keeps};
use lookalike_learn::train::trainer::RECIPE;
use serde::Serialize;

use crate::failure::Failure;

/// Which rank this process is.
static RANK: AtomicUsize = AtomicUsize::new(0);

/// Lets all ranks but the first tell nothing, as the others tell the same.
#[cfg(feature = "mpi")]
pub(crate) fn quiet(rank: usize) {
    RANK.store(rank, Ordering::Relaxed);
}

/// Which rank this process is.
#[cfg(feature = "mpi")]
pub(crate) fn rank() -> usize {
    RANK.load(Ordering::Relaxed)
}

/// Whether this process tells nothing.
pub(crate) fn is_quiet() -> bool {
    RANK.load(Ordering::Relaxed) > 0
}

/// Prints `text` and ends the line.
///
/// # Errors
/// Where standard output cannot be written. A reader that has closed it has seen enough, which is no error.
pub(crate) fn say(text: impl Display) -> Result<(), Failure> {
    if is_quiet() {
        return Ok(());
    }
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("standard output cannot be written").into())
        }
        _ => Ok(()),
    }
}

/// Tells the user something on standard error. Where that is closed or full nobody hears it, and the work goes on.
pub(crate) fn tell(text: impl Display) {
    if !is_quiet() {
        complain(text);
    }
}

/// As [`tell`], what every rank tells: its own errors, with its number where it is not the first.
pub(crate) fn complain(text: impl Display) {
    let rank = RANK.load(Ordering::Relaxed);
    let who = if rank == 0 { String::new() } else { format!("rank {rank}: ") };
    // In one piece: lines of several ranks stand in one stream.
    let line = format!("{who}{text}\n");
    let _unheard = std::io::stderr().write_all(line.as_bytes());
}

/// Writes `value` as JSON, atomically.
///
/// # Errors
/// [`LearnError::Io`] where the file cannot be written; what stood there before is then untouched.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)?;
    lookalike_base::atomic::write_atomic(path, |writer| writeln!(writer, "{text}"))
        .map_err(|source| LearnError::Io { path: path.to_owned(), source })?;
    Ok(())
}

/// Writes values as JSON, one a line, atomically.
///
/// # Errors
/// As [`write_json`].
pub(crate) fn write_lines(
    path: &Path,
    values: impl IntoIterator<Item = impl Serialize>,
) -> Result<(), Failure> {
    publish([(stage_lines(path, values)?, path)])
}

/// [`write_lines`] up to the moment in which the file appears.
///
/// # Errors
/// As [`write_json`].
pub(crate) fn stage_lines(
    path: &Path,
    values: impl IntoIterator<Item = impl Serialize>,
) -> Result<Staged, Failure> {
    let mut values = values.into_iter();
    let staged = Staged::write(path, |writer| {
        values.try_for_each(|value| {
            serde_json::to_writer(&mut *writer, &value)?;
            writeln!(writer)
        })
    });
    Ok(staged.map_err(|source| LearnError::Io { path: path.to_owned(), source })?)
}

/// Lets files appear that belong together, all of which are written.
///
/// # Errors
/// As [`write_json`].
pub(crate) fn publish<'a>(files: impl IntoIterator<Item = (Staged, &'a Path)>) -> Result<(), Failure> {
    for (staged, path) in files {
        staged.publish().map_err(|source| LearnError::Io { path: path.to_owned(), source })?;
    }
    Ok(())
}

/// Checks before the work begins that `outputs` can be written: their folders are there and take files, none of them is a folder, one of
/// the `inputs`, a file in a folder among these, something that a run keeps, or another output. Two names of one file are one file.
///
/// # Errors
/// [`Failure::usage`] names the file.
pub(crate) fn check_outputs(inputs: &[&Path], outputs: &[&Path]) -> Result<(), Failure> {
    let inputs: Vec<PathBuf> = inputs.iter().map(|input| split_name(input).0).collect();
    for (index, output) in outputs.iter().enumerate() {
        let own = check_writable(output)?;
        let refuse = |problem: &str| Err(unwritable(output, problem));
        if inputs.iter().any(|input| is_same(input, output)) {
            return refuse("it is one of the inputs");
        }
        let within =
            |input: &PathBuf| input.is_dir() && place(input).is_some_and(|folder| own.starts_with(folder));
        if inputs.iter().any(within) {
            return refuse("it lies in the folder that is read");
        }
        if let Some(run) = keeper(&own) {
            return refuse(&format!("the run {} keeps a file of its own there", run.display()));
        }
        if outputs[..index].iter().any(|other| is_same(other, output)) {
            return refuse("another result goes there");
        }
    }
    Ok(())
}

/// Checks that a file can be written at `output`, and says where that is.
///
/// # Errors
/// [`Failure::usage`] names the file.
pub(crate) fn check_writable(output: &Path) -> Result<PathBuf, Failure> {
    if output.is_dir() {
        return Err(unwritable(output, "it is a folder"));
    }
    if output.is_symlink() && !output.exists() {
        return Err(unwritable(output, "it is a link that leads nowhere"));
    }
    let own = place(output).ok_or_else(|| unwritable(output, "its folder does not exist"))?;
    lookalike_base::atomic::probe(output).map_err(|error| unwritable(output, &error.to_string()))?;
    Ok(own)
}

fn unwritable(output: &Path, problem: &str) -> Failure {
    Failure::usage(format!("{} cannot be written: {problem}", output.display()))
}

/// The run that keeps something at this place, now or later in its life.
fn keeper(own: &Path) -> Option<&Path> {
    let is_run = |folder: &&Path| {
        folder.join(RECIPE).exists()
            && [EVENTS, CHECKPOINTS, MODEL].iter().any(|name| folder.join(name).exists())
    };
    let mut folders = own.ancestors().skip(1).filter(is_run);
    folders.find(|folder| own.strip_prefix(folder).is_ok_and(keeps))
}

/// Where a file is, or will be: two ways of writing it down are one place, and what is not there yet is told by its folder.
pub(crate) fn place(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().or_else(|| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(folder.canonicalize().ok()?.join(path.file_name()?))
    })
}

/// Whether two paths are one file: by its place, and of files that are there also by their number, which hard links share and names
/// that differ in case where case does not count.
pub(crate) fn is_same(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let number = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
        if number(a).is_some_and(|own| number(b) == Some(own)) {
            return true;
        }
    }
    place(a).is_some_and(|own| place(b) == Some(own))
}
