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
