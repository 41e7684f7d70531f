//! BM25 on `SciFact` (Wadden et al. 2020) in BEIR's layout, in the folder that `LOOKALIKE_DATA` names.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking, as the tests themselves do")]

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::read::GzDecoder;
use lookalike_metrics::retrieval::evaluate;
use lookalike_metrics::{Bm25, Bm25Options, Judgements, Ranking};
use serde_json::Value;

#[path = "../../lookalike-data/tests/common/real_data.rs"]
mod real_data;

/// Id and text of each line; the text is the title, where there is one, a space and the text.
fn texts(path: &Path) -> (Vec<String>, Vec<String>) {
    let lines = BufReader::new(GzDecoder::new(File::open(path).unwrap())).lines();
    let line = |line: String| {
        let fields: Value = serde_json::from_str(&line).unwrap();
        let field = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
        (field("_id"), format!("{} {}", field("title"), field("text")))
    };
    lines.map(|found| line(found.unwrap())).unzip()
}

fn numbers(ids: &[String]) -> HashMap<&str, u32> {
    ids.iter().map(String::as_str).zip(0..).collect()
}

#[test]
fn bm25_reaches_its_published_score_on_scifact() {
    let Some(folder) = real_data::folder("scifact") else { return };
    let folder = folder.join("scifact");
    let (ids, documents) = texts(&folder.join("corpus.jsonl.gz"));
    let (query_ids, queries) = texts(&folder.join("queries.jsonl.gz"));
    assert_eq!((documents.len(), queries.len()), (5183, 1109));
    let (by_id, by_query) = (numbers(&ids), numbers(&query_ids));
    let qrels = std::fs::read_to_string(folder.join("qrels/test.tsv")).unwrap();
    let triples = qrels.lines().skip(1).map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        (by_query[fields[0]], by_id[fields[1]], fields[2].parse().unwrap())
    });
    let judgements = Judgements::new(queries.len(), ids.len(), triples).unwrap();

    let index = Bm25::new(documents.iter().map(String::as_str), Bm25Options::default());
    let rankings: Vec<Ranking> = queries.iter().map(|query| index.search(query, 1000).into()).collect();
    let scores = evaluate(&rankings, &judgements, &ids).unwrap();
    println!("{scores:?}");
    assert_eq!((scores.queries, scores.unjudged), (300, 809));
    // Anserini's, for title and text in one field: docs/regressions-beir-v1.0.0-scifact-flat.md.
    for (found, published) in [(scores.ndcg_at_10, 0.6789), (scores.recall_at_100, 0.9253)] {
        assert!((found - published).abs() < 5e-5, "{found} is not {published}");
    }
}
