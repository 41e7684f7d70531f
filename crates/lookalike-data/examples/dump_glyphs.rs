#![allow(missing_docs, clippy::all, clippy::pedantic, clippy::unwrap_used, clippy::print_stdout)]
use lookalike_data::{ImageDataset, Split, glyphs::*};
use std::io::Write;
fn main() {
    let t = std::time::Instant::now();
    let train = glyphs(SEED, Split::Train, 20_000);
    let test = glyphs(SEED, Split::Test, 4_000);
    println!("24000 images in {:?}", t.elapsed());
    for (n, s) in [("train", &train), ("test", &test)] {
        let mut f = std::fs::File::create(format!("/tmp/glyphs_{n}.bin")).unwrap();
        for i in 0..s.len() as u32 {
            f.write_all(&s.image(i).unwrap().pixels).unwrap();
        }
    }
}
