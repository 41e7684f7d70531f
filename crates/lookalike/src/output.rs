//! What the command prints as its result, on standard output.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

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
