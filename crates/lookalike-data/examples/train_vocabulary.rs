//! Trains a vocabulary on files of texts and writes its `tokenizer.json`; says how long it and encoding the texts take.
//!
//! `cargo run --release -p lookalike-data --features text --example train_vocabulary -- 16000 FOLDER FILE…`

#![expect(clippy::print_stdout, reason = "its results go to the terminal")]

use lookalike_base::Watch;
use lookalike_data::text::{ReadOptions, Texts, Tokenizer, read, vocabulary};
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(size), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("a size, a folder and files are wanted".into());
    };
    let mut texts = Texts::default();
    for file in arguments {
        let (set, warnings) =
            read(Path::new(&file), &ReadOptions { no_header: true, ..ReadOptions::default() })?;
        for warning in warnings {
            println!("{warning}");
        }
        for text in set.columns.iter().flat_map(|column| column.texts.iter()) {
            texts.push(text);
        }
    }
    let begin = Instant::now();
    let entries = vocabulary::train(texts.iter(), size.parse()?, Watch::default())?;
    println!("{} entries from {} texts in {:.2?}", entries.len(), texts.len(), begin.elapsed());

    let path = Path::new(&folder).join("tokenizer.json");
    std::fs::write(&path, vocabulary::tokenizer_json(&entries)?)?;
    let tokenizer = Tokenizer::open(Path::new(&folder))?;
    let begin = Instant::now();
    let lists = tokenizer.encode_all(&texts.to_vec(), None, true, Watch::default())?;
    println!("{} texts, {} tokens in {:.2?}", lists.len(), lists.tokens(), begin.elapsed());
    Ok(())
}
