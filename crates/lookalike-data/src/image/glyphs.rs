//! *glyphs*: letters and digits drawn on the fly, a labelled data set that needs no download.
//!
//! The 62 characters `0–9 A–Z a–z` of Noto Sans Mono at 32×32 RGB. Weight, position, size, angle, slant, ink,
//! paper and noise are drawn for each image. Natural look-alikes (O 0 Q, I l 1, S 5, Z 2, B 8; c C, o O, s S
//! …, which only their size tells apart) make it a set on which hard negatives, and false ones, can be seen.

use crate::image::dataset::Split;
use crate::image::memory::{InMemory, PixelFormat};
use lookalike_base::{Seed, Stream};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster};
use rayon::prelude::*;

/// The characters in the order of their labels.
pub const CHARACTERS: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Width and height of every image, in pixels.
pub const SIDE: u32 = 32;

/// The seed of the data set that `open` gives: the same images in every run, so that runs can be compared.
pub const SEED: Seed = Seed(0);

const WEIGHTS: [FontWeight; 3] = [FontWeight::Light, FontWeight::Regular, FontWeight::Bold];
const PIXELS: usize = (SIDE * SIDE) as usize;

/// The number of images in a split of the data set that `open` gives: 20,000 to train and 4,000 to test.
pub fn standard_len(split: Split) -> u32 {
    match split {
        Split::Train => 20_000,
        Split::Test => 4_000,
    }
}

/// Draws the first `len` images of a split, on all threads of the current pool.
///
/// Image `index` is a pure function of (`seed`, `split`, `index`), and its label is `index` modulo 62, so
/// that all classes are equally frequent (their sizes differ by at most 1).
pub fn glyphs(seed: Seed, split: Split, len: u32) -> InMemory {
    let classes: Vec<String> = CHARACTERS.chars().map(String::from).collect();
    let atlas = Atlas::new();
    let mut pixels = vec![0; len as usize * PIXELS * 3];
    pixels.par_chunks_exact_mut(PIXELS * 3).enumerate().for_each(|(index, image)| {
        let stream = seed.stream(purpose(split), 0, 0, index as u64);
        draw(&atlas, index % classes.len(), stream, image);
    });
    let labels = (0..len as usize).map(|index| (index % classes.len()) as u8).collect();
    InMemory::new(format!("glyphs/{}", split.name()), (SIDE, SIDE), PixelFormat::Rgb, pixels, labels, classes)
}

/// The streams of the two splits never meet.
fn purpose(split: Split) -> &'static str {
    match split {
        Split::Train => "glyphs/train",
        Split::Test => "glyphs/test",
    }
}

/// The ink coverage of one character in one weight, with an empty border so that sampling needs no special
/// case.
struct Raster {
    coverage: Vec<f32>,
    width: usize,
    height: usize,
}

/// All characters in all weights.
struct Atlas {
    rasters: Vec<Raster>,
}

impl Atlas {
    fn new() -> Self {
        let rasters = CHARACTERS
            .chars()
            .flat_map(|character| WEIGHTS.map(|weight| Raster::new(character, weight)))
            .collect();
        Self { rasters }
    }

    fn raster(&self, label: usize, weight: usize) -> &Raster {
        &self.rasters[label * WEIGHTS.len() + weight]
    }
}

impl Raster {
    fn new(character: char, weight: FontWeight) -> Self {
        let Some(source) = get_raster(character, weight, RasterHeight::Size32) else {
            unreachable!("the font crate is built with basic Latin at 32 pixels, which includes {character}")
        };
        let (width, height) = (source.width() + 2, source.height() + 2);
        let mut coverage = vec![0.0; width * height];
        for (row, line) in source.rows().enumerate() {
            for (column, value) in line.iter().enumerate() {
                coverage[(row + 1) * width + column + 1] = f32::from(*value) / 255.0;
            }
        }
        Self { coverage, width, height }
    }

    /// Coverage at (`x`, `y`) from the raster's centre, bilinear; 0 outside.
    fn sample(&self, x: f32, y: f32) -> f32 {
        let x = x + (self.width - 1) as f32 / 2.0;
        let y = y + (self.height - 1) as f32 / 2.0;
        if x < 0.0 || y < 0.0 {
            return 0.0;
        }
        let (column, row) = (x as usize, y as usize);
        if column + 1 >= self.width || row + 1 >= self.height {
            return 0.0;
        }
        let (right, down) = (x - column as f32, y - row as f32);
        let at = row * self.width + column;
        let top = self.coverage[at] * (1.0 - right) + self.coverage[at + 1] * right;
        let below = &self.coverage[at + self.width..];
        let bottom = below[0] * (1.0 - right) + below[1] * right;
        top * (1.0 - down) + bottom * down
    }
}

/// What varies between two images of the same character.
struct Style {
    weight: usize,
    /// From image offsets to raster offsets: rows of the inverse of (rotation · slant · scale).
    inverse: [[f32; 2]; 2],
    /// Offset of the character's centre from the image's centre, in pixels.
    offset: [f32; 2],
    ink: [f32; 3],
    paper: [f32; 3],
    /// Standard deviation of the noise, in grey levels.
    noise: f32,
}

impl Style {
    fn draw(stream: &mut Stream) -> Self {
        let (ink, paper) = ink_and_paper(stream);
        Self {
            weight: stream.below(WEIGHTS.len() as u32) as usize,
            inverse: inverse_transform(stream),
            offset: [stream.range(-3.0, 3.0), stream.range(-3.0, 3.0)],
            ink,
            paper,
            noise: stream.range(0.0, 16.0),
        }
    }
}

/// Size 0.9 to 1.3 of the font's, angle within ±15°, slant within ±0.2.
fn inverse_transform(stream: &mut Stream) -> [[f32; 2]; 2] {
    let scale = stream.range(0.9, 1.3);
    let stretch = stream.range(0.9, 1.1);
    let (sin, cos) = stream.range(-15.0, 15.0).to_radians().sin_cos();
    let slant = stream.range(-0.2, 0.2);
    let (across, along) = (scale * stretch, scale / stretch);
    let [a, b, c, d] = [cos * across, (cos * slant - sin) * along, sin * across, (sin * slant + cos) * along];
    let determinant = a * d - b * c;
    [[d / determinant, -b / determinant], [-c / determinant, a / determinant]]
}

/// Two random tinted greys whose brightness differs by at least 80 of 255 levels, dark on light as often as
/// light on dark.
fn ink_and_paper(stream: &mut Stream) -> ([f32; 3], [f32; 3]) {
    loop {
        let [ink, paper] = [(); 2].map(|()| {
            let gray = stream.range(0.0, 255.0);
            [(); 3].map(|()| (gray + stream.range(-60.0, 60.0)).clamp(0.0, 255.0))
        });
        if (brightness(ink) - brightness(paper)).abs() >= 80.0 {
            return (ink, paper);
        }
    }
}

/// Luma (ITU-R BT.601).
fn brightness([red, green, blue]: [f32; 3]) -> f32 {
    0.299 * red + 0.587 * green + 0.114 * blue
}

fn draw(atlas: &Atlas, label: usize, mut stream: Stream, image: &mut [u8]) {
    let style = Style::draw(&mut stream);
    let raster = atlas.raster(label, style.weight);
    let mut noise = Noise::new(stream);
    let centre = (SIDE as f32 - 1.0) / 2.0;
    for (at, pixel) in image.chunks_exact_mut(3).enumerate() {
        let x = (at % SIDE as usize) as f32 - centre;
        let y = (at / SIDE as usize) as f32 - centre;
        let covered = coverage(raster, &style, x, y);
        for ((value, ink), paper) in pixel.iter_mut().zip(style.ink).zip(style.paper) {
            let clean = paper + (ink - paper) * covered;
            *value = (clean + style.noise * noise.next()).round() as u8;
        }
    }
}

/// Mean ink coverage of the pixel at (`x`, `y`) from the image's centre, from 2×2 samples.
fn coverage(raster: &Raster, style: &Style, x: f32, y: f32) -> f32 {
    let [[a, b], [c, d]] = style.inverse;
    let mut sum = 0.0;
    for (dx, dy) in [(-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25)] {
        let (x, y) = (x + dx - style.offset[0], y + dy - style.offset[1]);
        sum += raster.sample(a * x + b * y, c * x + d * y);
    }
    sum / 4.0
}

/// Nearly normal numbers of mean 0 and variance 1, much faster than exact ones: the ones among 32 fair bits
/// are binomial with mean 16 and variance 8.
struct Noise {
    stream: Stream,
    spare: Option<u32>,
}

impl Noise {
    fn new(stream: Stream) -> Self {
        Self { stream, spare: None }
    }

    fn next(&mut self) -> f32 {
        let bits = self.spare.take().unwrap_or_else(|| {
            let bits = self.stream.bits();
            self.spare = Some((bits >> 32) as u32);
            bits as u32
        });
        (bits.count_ones() as f32 - 16.0) / 8_f32.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::dataset::ImageDataset;

    #[test]
    fn an_image_depends_on_seed_split_and_index_and_on_nothing_else() {
        let few = glyphs(SEED, Split::Train, 70);
        let many = rayon::ThreadPoolBuilder::new()
            .num_threads(3)
            .build()
            .unwrap()
            .install(|| glyphs(SEED, Split::Train, 200));
        assert_eq!(few.image(69).unwrap(), many.image(69).unwrap());
        assert_ne!(few.image(1).unwrap(), many.image(63).unwrap(), "same character, other instance");
        assert_ne!(few.image(1).unwrap(), glyphs(SEED, Split::Test, 2).image(1).unwrap());
        assert_ne!(few.image(1).unwrap(), glyphs(Seed(1), Split::Train, 2).image(1).unwrap());
    }

    #[test]
    fn classes_are_balanced_and_named_by_their_character() {
        let set = glyphs(SEED, Split::Test, 620);
        let mut counts = [0; 62];
        (0..620).for_each(|index| counts[set.label(index).unwrap() as usize] += 1);
        assert_eq!(counts, [10; 62]);
        assert_eq!(set.classes()[set.label(72).unwrap() as usize], "A");
    }

    #[test]
    fn the_character_can_be_seen_in_both_polarities() {
        let set = glyphs(SEED, Split::Train, 62);
        let (mut dark_on_light, mut light_on_dark) = (0, 0);
        for index in 0..62 {
            let ink_is_darker = {
                let mut stream = SEED.stream("glyphs/train", 0, 0, u64::from(index));
                let style = Style::draw(&mut stream);
                brightness(style.ink) < brightness(style.paper)
            };
            if ink_is_darker {
                dark_on_light += 1;
            } else {
                light_on_dark += 1;
            }
            let image = set.image(index).unwrap();
            let luma: Vec<f32> = image
                .pixels
                .chunks_exact(3)
                .map(|p| brightness([f32::from(p[0]), f32::from(p[1]), f32::from(p[2])]))
                .collect();
            let mean = luma.iter().sum::<f32>() / luma.len() as f32;
            let spread = (luma.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / luma.len() as f32).sqrt();
            assert!(spread > 10.0, "image {index} is almost blank: standard deviation {spread}");
        }
        assert!(dark_on_light > 15 && light_on_dark > 15, "{dark_on_light} {light_on_dark}");
    }

    #[test]
    fn the_noise_has_mean_zero_and_variance_one() {
        let mut noise = Noise::new(SEED.stream("test", 0, 0, 0));
        let values: Vec<f32> = (0..50_000).map(|_| noise.next()).collect();
        let mean = values.iter().sum::<f32>() / 5e4;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / 5e4;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }
}
