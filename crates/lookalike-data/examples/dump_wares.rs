//! Writes the made texts as a folder in BEIR's layout: all documents, and of queries and judgements the part of nine families of ten
//! (`train`) and the rest (`test`, by the rule for held-out groups: CRC-32 of the family's name, modulo 10, is 0). With
//! `pairs.jsonl`, the training pairs, other programs can be compared on them.
//!
//! `cargo run --example dump_wares --features text -- FOLDER`

use std::error::Error;
use std::fs::{File, create_dir_all};
use std::io::{BufWriter, Write};
use std::path::Path;

use lookalike_data::text::wares::{FAMILIES, SEED, wares};
use lookalike_data::text::{Held, held_out};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("give a folder to write to")?;
    let folder = Path::new(&folder);
    create_dir_all(folder.join("qrels"))?;
    let open = |name: &str| File::create(folder.join(name)).map(BufWriter::new);
    let set = wares(SEED, FAMILIES);
    let (groups, relevant) = set.groups.as_ref().zip(set.relevant.as_ref()).ok_or("the set has neither")?;
    let is_test: Vec<bool> = held_out(groups, false).into_iter().map(|held| held == Held::Test).collect();
    let (mut corpus, mut queries, mut pairs) =
        (open("corpus.jsonl")?, open("queries.jsonl")?, open("pairs.jsonl")?);
    for (row, is_test) in is_test.iter().enumerate() {
        let [query, document] = set.row(row)[..] else { unreachable!("wares have two columns") };
        writeln!(corpus, "{}", json!({ "_id": format!("d{row}"), "text": document }))?;
        writeln!(queries, "{}", json!({ "_id": format!("q{row}"), "text": query }))?;
        if !is_test {
            let family = &groups.names[groups.rows[row] as usize];
            writeln!(pairs, "{}", json!({ "query": query, "document": document, "family": family }))?;
        }
    }
    for (part, test) in [("train", false), ("test", true)] {
        let mut qrels = open(&format!("qrels/{part}.tsv"))?;
        writeln!(qrels, "query-id\tcorpus-id\tscore")?;
        for (query, document) in relevant.iter().filter(|(query, _)| is_test[*query as usize] == test) {
            writeln!(qrels, "q{query}\td{document}\t1")?;
        }
    }
    Ok(())
}
