//! Views a second that one thread augments: `cargo run --release --example augment_speed -- [seconds]`.
//!
//! Prints one line a case, `<case> <views a second>`; `benchmarks/augmentation/run.sh` sets it beside
//! torchvision.

#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]

use lookalike_base::Seed;
use lookalike_data::image::augment::{AugmentOptions, Preset, Scratch};
use lookalike_data::{DataError, Image};
use std::borrow::Cow;
use std::time::{Duration, Instant};

/// Images cycled through: enough that no view finds its image in the nearest cache.
const IMAGES: u64 = 64;

fn main() -> Result<(), DataError> {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(2.0);
    measure("simclr-cifar-32", &Preset::SimclrCifar.options(), 32, seconds)?;
    measure("simclr-256-224-blur", &Preset::Simclr.options(), 256, seconds)
}

fn measure(case: &str, options: &AugmentOptions, side: u32, seconds: f64) -> Result<(), DataError> {
    let images: Vec<Image<'_>> = (0..IMAGES).map(|index| picture(side, index)).collect();
    let [augmentation, _] = options.validate()?;
    let mut scratch = Scratch::default();
    let mut out = vec![0.0; 3 * augmentation.size().pow(2)];
    let (began, limit) = (Instant::now(), Duration::from_secs_f64(seconds));
    let mut views = 0;
    while began.elapsed() < limit {
        for (instance, image) in images.iter().enumerate() {
            let mut stream = Seed(1).stream("augment", 0, views, instance as u64);
            augmentation.apply(image, &mut stream, &mut scratch, &mut out);
            std::hint::black_box(&out);
        }
        views += IMAGES;
    }
    println!("{case} {:.1}", views as f64 / began.elapsed().as_secs_f64());
    Ok(())
}

/// Colour gradients with noise; the same formula as in `torchvision_speed.py`, other noise.
fn picture(side: u32, index: u64) -> Image<'static> {
    let mut noise = Seed(2).stream("picture", 0, 0, index);
    let pixels = (0..side * side).flat_map(|pixel| {
        let (x, y) = (pixel % side * 255 / side, pixel / side * 255 / side);
        [x, y, x.midpoint(y)].map(|level| (level + noise.below(32)).min(255) as u8)
    });
    Image { width: side, height: side, pixels: Cow::Owned(pixels.collect()) }
}
