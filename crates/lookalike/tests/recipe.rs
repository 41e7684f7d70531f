//! `lookalike recipe`, as a user calls it.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::path::Path;
use std::process::Command;

#[test]
fn the_reference_in_the_documentation_is_what_the_command_prints() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/recipe.md");
    let output =
        Command::new(env!("CARGO_BIN_EXE_lookalike")).args(["recipe", "reference"]).output().unwrap();
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    let kept = std::fs::read_to_string(path).unwrap();
    for (place, (printed, kept)) in printed.lines().zip(kept.lines()).enumerate() {
        assert_eq!(
            printed,
            kept,
            "line {}; print it anew: lookalike recipe reference > docs/reference/recipe.md",
            place + 1
        );
    }
    assert_eq!(printed, kept);
}
