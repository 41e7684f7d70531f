//! Where the published data are that tests read. Tests of other crates include this file too.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The folder that `LOOKALIKE_DATA` names, in which `needed` is. Without it `None`, for a test that then passes over; the reason is printed.
///
/// # Panics
///
/// Where [`find`] fails.
#[expect(clippy::panic, reason = "a test that misses its data fails")]
#[expect(clippy::print_stderr, reason = "a test that passes over says so")]
pub(crate) fn folder(needed: &str) -> Option<PathBuf> {
    let variables = (std::env::var_os("LOOKALIKE_DATA"), std::env::var_os("CI"));
    let found = find(variables.0.as_deref(), variables.1.as_deref(), needed);
    let found = found.unwrap_or_else(|reason| panic!("{reason}"));
    if found.is_none() {
        eprintln!("not tested: LOOKALIKE_DATA names no folder that holds {needed}");
    }
    found
}

/// The decision by the values of the two variables, `LOOKALIKE_DATA` and `CI`.
///
/// # Errors
///
/// If no folder is named although `CI` is `true`, or the named folder lacks `needed`.
pub(crate) fn find(
    folder: Option<&OsStr>,
    ci: Option<&OsStr>,
    needed: &str,
) -> Result<Option<PathBuf>, String> {
    match folder.filter(|folder| !folder.is_empty()).map(Path::new) {
        Some(folder) if folder.join(needed).exists() => Ok(Some(folder.to_owned())),
        Some(folder) => Err(format!("LOOKALIKE_DATA is {}, which holds no {needed}", folder.display())),
        None if ci == Some(OsStr::new("true")) => Err(format!(
            "CI is true, so {needed} must be tested: set LOOKALIKE_DATA to the folder that holds it"
        )),
        None => Ok(None),
    }
}
