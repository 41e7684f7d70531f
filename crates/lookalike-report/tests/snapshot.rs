//! The page of a tiny run holds the charts that it held before, byte for byte.
//!
//! `tests/fixtures/glyphs` is the folder of a run of `recipes/glyphs-simclr.toml` with `train.epochs=3`, `evaluate.every=1` and `train.log_every=78`, without its
//! tensors. Where a chart is meant to change, `UPDATE_SNAPSHOT=1 cargo test -p lookalike-report --test snapshot` writes `charts.html` anew: look at it in a
//! browser before it is committed.

use std::path::Path;

use lookalike_base::Watch;
use lookalike_report::{ReportOptions, Run, report};

/// Every chart of the page, one behind another.
fn charts(page: &str) -> String {
    let begins = page.match_indices("<svg").map(|(place, _)| place);
    let chart = |begin: usize| {
        let end = page[begin..].find("</svg>").unwrap_or(page.len() - begin);
        format!("{}</svg>\n", &page[begin..begin + end])
    };
    begins.map(chart).collect()
}

#[test]
fn the_charts_of_a_run_are_byte_for_byte_what_they_were() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let run = Run::open(&fixtures.join("glyphs")).unwrap();
    let page = report(&[run], None, &ReportOptions::default(), Watch::default()).unwrap();
    let (found, file) = (charts(&page), fixtures.join("charts.html"));
    if std::env::var_os("UPDATE_SNAPSHOT").is_some() {
        std::fs::write(&file, &found).unwrap();
    }
    let known = std::fs::read_to_string(&file).unwrap();
    assert!(found.matches("<svg").count() >= 12, "{} charts", found.matches("<svg").count());
    let differs = found.lines().zip(known.lines()).find(|(found, known)| found != known);
    assert!(found == known, "a chart differs from charts.html: {differs:?}");
}
