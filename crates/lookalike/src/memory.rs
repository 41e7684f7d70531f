//! The allocator. A training step allocates and frees hundreds of megabytes; whatever is given back to the kernel meanwhile is
//! cleared again, page by page, when the next step wants it.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// From now on keeps freed memory for what is allocated next, as training steps want it, unless `MIMALLOC_PURGE_DELAY` says after how
/// many milliseconds it is given back.
///
/// The allocator reads that variable before `main` begins, so the process sets it and starts its program once more. Arguments are
/// parsed a second time, and a failure leaves everything as it is.
#[cfg(unix)]
pub(crate) fn keep_freed() {
    use std::os::unix::process::CommandExt;
    use std::path::Path;
    use std::process::Command;

    const PURGE_DELAY: &str = "MIMALLOC_PURGE_DELAY";
    if std::env::var_os(PURGE_DELAY).is_some() {
        return;
    }
    let mut arguments = std::env::args_os();
    let (Some(name), Ok(program)) = (arguments.next(), std::env::current_exe()) else { return };
    // Of a program that was started through its loader, the system names the loader. A link may have any name.
    let same_name = Path::new(&name).file_name() == program.file_name();
    let same_file = || std::fs::canonicalize(&name).is_ok_and(|path| path == program);
    if same_name || same_file() {
        // It returns only if it fails: then memory is given back, which costs time and nothing else.
        let _failure = Command::new(program).arg0(name).args(arguments).env(PURGE_DELAY, "-1").exec();
    }
}

/// Elsewhere no program can take the place of its process: freed memory is given back after a second.
#[cfg(not(unix))]
pub(crate) fn keep_freed() {}
