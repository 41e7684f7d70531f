//! When a test on real data runs, passes over or fails.

use std::ffi::OsStr;
use std::path::Path;

#[path = "common/real_data.rs"]
mod real_data;

fn find(folder: Option<&Path>, ci: Option<&str>) -> Result<Option<std::path::PathBuf>, String> {
    real_data::find(folder.map(Path::as_os_str), ci.map(OsStr::new), "tu/MUTAG")
}

#[test]
fn absent_data_fail_in_ci_and_are_passed_over_elsewhere() {
    let reason = find(None, Some("true")).unwrap_err();
    assert!(reason.contains("tu/MUTAG") && reason.contains("LOOKALIKE_DATA"), "{reason}");
    assert!(find(Some(Path::new("")), Some("true")).is_err());
    for ci in [None, Some("false"), Some("")] {
        assert_eq!(find(None, ci), Ok(None));
    }
}

#[test]
fn a_folder_without_what_is_needed_fails_everywhere() {
    let place = tempfile::tempdir().unwrap();
    for ci in [None, Some("true")] {
        let reason = find(Some(place.path()), ci).unwrap_err();
        assert!(reason.contains("holds no tu/MUTAG"), "{reason}");
    }
    std::fs::create_dir_all(place.path().join("tu/MUTAG")).unwrap();
    for ci in [None, Some("true")] {
        assert_eq!(find(Some(place.path()), ci), Ok(Some(place.path().to_owned())));
    }
}

#[test]
fn the_folder_holds_every_set_that_tests_read() {
    for needed in [
        "cifar-10-batches-bin",
        "fashion-mnist",
        "nuclei",
        "coco-mini",
        "planetoid/ind.cora.graph",
        "tu/MUTAG",
    ] {
        real_data::folder(needed);
    }
}
