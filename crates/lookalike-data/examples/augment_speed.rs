//! Views a second of processor time that one thread augments: `cargo run --release --example augment_speed -- [seconds]`.
//!
//! Prints one line a case, `<case> <views a second>`; `benchmarks/augmentation/run.sh` sets it beside
//! torchvision.

#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]

use lookalike_base::{Seed, Stream};
use lookalike_data::image::augment::affine::Sampling;
use lookalike_data::image::augment::strong::policies::{CIFAR10, IMAGENET, SVHN};
use lookalike_data::image::augment::strong::{Policy, StrongScratch};
use lookalike_data::image::augment::{AugmentOptions, Preset, Scratch, StrongName, split};
use lookalike_data::{DataError, Image};
use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::Instant;

/// Images cycled through: enough that no view finds its image in the nearest cache.
const IMAGES: u64 = 64;

fn main() -> Result<(), DataError> {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(2.0);
    measure("simclr-cifar-32", &Preset::SimclrCifar.options(), 32, seconds)?;
    measure("simclr-256-224-blur", &Preset::Simclr.options(), 256, seconds)?;
    for (name, strong, policy) in [
        ("autoaugment-imagenet", StrongName::AutoaugmentImagenet, Policy::AutoAugment(&IMAGENET)),
        ("autoaugment-cifar10", StrongName::AutoaugmentCifar10, Policy::AutoAugment(&CIFAR10)),
        ("autoaugment-svhn", StrongName::AutoaugmentSvhn, Policy::AutoAugment(&SVHN)),
        ("randaugment", StrongName::Randaugment, Policy::RandAugment { operations: 2, magnitude: 9 }),
        ("trivialaugment", StrongName::Trivialaugment, Policy::TrivialAugment),
    ] {
        let list =
            |preset| AugmentOptions { preset: Some(preset), strong: Some(strong), ..Default::default() };
        alone(&format!("{name}-32"), policy, 32, seconds);
        alone(&format!("{name}-224"), policy, 224, seconds);
        measure(&format!("{name}-list-32"), &list(Preset::SimclrCifar), 32, seconds)?;
        measure(&format!("{name}-list-256-224"), &list(Preset::Simclr), 256, seconds)?;
    }
    Ok(())
}

fn measure(case: &str, options: &AugmentOptions, side: u32, seconds: f64) -> Result<(), DataError> {
    let images: Vec<Image<'_>> = (0..IMAGES).map(|index| picture(side, index)).collect();
    let [augmentation, _] = options.validate()?;
    let mut scratch = Scratch::default();
    let mut out = vec![0.0; 3 * augmentation.size().pow(2)];
    time(case, seconds, |index, stream| {
        augmentation.apply(&images[index], stream, &mut scratch, &mut out);
        std::hint::black_box(&out);
    });
    Ok(())
}

/// Nothing but a policy, on copies of images in planes.
fn alone(case: &str, policy: Policy, side: usize, seconds: f64) {
    let planes = |image: Image<'_>| -> Vec<u8> {
        (0..3)
            .flat_map(|channel| image.pixels.iter().skip(channel).step_by(3).copied().collect::<Vec<_>>())
            .collect()
    };
    let images: Vec<Vec<u8>> = (0..IMAGES).map(|index| planes(picture(side as u32, index))).collect();
    let mut scratch = StrongScratch::default();
    let mut view = vec![0; 3 * side * side];
    time(case, seconds, |index, stream| {
        view.copy_from_slice(&images[index]);
        for operation in policy.draw(side, stream).into_iter().flatten() {
            operation.apply(split(&mut view), side, Sampling::default(), &mut scratch);
        }
        std::hint::black_box(&view);
    });
}

/// Prints how often in a second of processor time `make` is done with one image after another.
fn time(case: &str, seconds: f64, mut make: impl FnMut(usize, &mut Stream)) {
    let began = processor_time();
    let mut views = 0;
    let spent = loop {
        for index in 0..IMAGES {
            make(index as usize, &mut Seed(1).stream("augment", 0, views, index));
        }
        views += IMAGES;
        let spent = processor_time() - began;
        if spent >= seconds {
            break spent;
        }
    };
    println!("{case} {:.1}", views as f64 / spent);
}

/// Seconds that this thread has run, so that other programs on the machine do not count; where the system does not tell, as
/// Linux does, those of the clock.
fn processor_time() -> f64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds: Option<f64> = schedule.split(' ').next().and_then(|first| first.parse().ok());
    nanoseconds.map_or_else(|| BEGAN.get_or_init(Instant::now).elapsed().as_secs_f64(), |spent| spent * 1e-9)
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
