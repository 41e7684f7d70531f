//! What the command gives as its result: text on standard output, and files of JSON.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::path::Path;

use lookalike_learn::LearnError;
use serde::Serialize;

use crate::failure::Failure;

/// Prints `text` and ends the line.
///
/// # Errors
/// Where standard output cannot be written. A reader that has closed it has seen enough, which is no error.
pub(crate) fn say(text: impl Display) -> Result<(), Failure> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
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
    let mut values = values.into_iter();
    lookalike_base::atomic::write_atomic(path, |writer| {
        values.try_for_each(|value| {
            serde_json::to_writer(&mut *writer, &value)?;
            writeln!(writer)
        })
    })
    .map_err(|source| LearnError::Io { path: path.to_owned(), source })?;
    Ok(())
}

/// Checks before the work begins that `outputs` can be written: their folders are there, none of them is a folder, one of the `inputs`
/// or another output.
///
/// # Errors
/// [`Failure::usage`] names the file.
pub(crate) fn check_outputs(inputs: &[&Path], outputs: &[&Path]) -> Result<(), Failure> {
    // Two ways of writing it down are one file; what is not there yet is told by its folder.
    let place = |path: &Path| {
        path.canonicalize().ok().or_else(|| {
            let folder =
                path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Some(folder.canonicalize().ok()?.join(path.file_name()?))
        })
    };
    for (index, output) in outputs.iter().enumerate() {
        let refuse =
            |problem: &str| Err(Failure::usage(format!("{} cannot be written: {problem}", output.display())));
        if output.is_dir() {
            return refuse("it is a folder");
        }
        let Some(own) = place(output) else { return refuse("its folder is not there") };
        if inputs.iter().any(|input| place(input).as_ref() == Some(&own)) {
            return refuse("it is what is read");
        }
        if outputs[..index].iter().any(|other| place(other).as_ref() == Some(&own)) {
            return refuse("another result is to be written there");
        }
    }
    Ok(())
}
