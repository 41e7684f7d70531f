//! Writes the built-in letters and digits as bytes: `train.u8` and `test.u8`, one image of 32×32 RGB after
//! another.
//!
//! `cargo run --example dump_glyphs -- FOLDER`

use std::error::Error;
use std::io::Write;
use std::path::Path;

use lookalike_data::image::glyphs::{SEED, glyphs, standard_len};
use lookalike_data::{ImageDataset, Split};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("give a folder to write to")?;
    for split in [Split::Train, Split::Test] {
        let images = glyphs(SEED, split, standard_len(split));
        let path = Path::new(&folder).join(format!("{}.u8", split.name()));
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        for index in 0..images.len() as u32 {
            file.write_all(&images.image(index)?.pixels)?;
        }
        file.flush()?;
    }
    Ok(())
}
