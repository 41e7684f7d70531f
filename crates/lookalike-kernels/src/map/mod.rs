//! Feature maps as the kernels of residual networks read and write them: sixteen images side by side.
//!
//! A map of N images of C channels is `[⌈N / 16⌉, words of C, H, W, 16]`: a pixel of sixteen images is 64 bytes, as many
//! as a line of a cache or a vector has, which convolution, normalisation and pooling read, and write for each other, without taking it
//! apart. Lanes of images that do not
//! exist are 0. A word is an `f32`, or two channels as bfloat16, the first in its lower half; the second of the last word is 0
//! where channels are odd. What goes into an encoder and comes out of it is the convention, `[N, C, H, W]`: [`lay`] and [`take`]
//! lead there and back.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

mod pool;

use rayon::prelude::*;

use crate::bf16;
pub(crate) use pool::sums;
pub use pool::{Window, max_pool, max_pool_gradient, mean, mean_gradient};

/// Images side by side.
pub const LANES: usize = 16;

/// A pixel of sixteen images: a word of each.
pub(crate) type Line = [u32; LANES];

/// How values are held and multiplied. Sums of products are `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// As they are.
    #[default]
    F32,
    /// As the nearest bfloat16, ties to even.
    Bf16,
}

impl Precision {
    /// Whether this processor has instructions for it. Where it has not, the kernels round and multiply in `f32`: the
    /// same numbers up to the order of summation, but slower than [`Precision::F32`].
    pub fn is_native(self) -> bool {
        match self {
            Self::F32 => true,
            #[cfg(target_arch = "x86_64")]
            Self::Bf16 => is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512f"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Bf16 => false,
        }
    }

    /// Channels of a word.
    pub fn each(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Bf16 => 2,
        }
    }
}

/// A map's sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Images, N.
    pub images: usize,
    /// Channels, C.
    pub channels: usize,
    /// Height, H.
    pub height: usize,
    /// Width, W.
    pub width: usize,
}

impl Sizes {
    /// Pixels of a channel.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Blocks of sixteen images, the last of which may have fewer.
    pub fn blocks(&self) -> usize {
        self.images.div_ceil(LANES)
    }

    /// Words of a pixel.
    pub fn channel_words(&self, precision: Precision) -> usize {
        self.channels.div_ceil(precision.each())
    }

    /// Words of the whole map.
    pub fn words(&self, precision: Precision) -> usize {
        self.blocks() * self.channel_words(precision) * self.pixels() * LANES
    }

    pub(crate) fn check(&self, precision: Precision, map: &[u32]) {
        let sides = [self.channels, self.height, self.width, LANES * self.blocks().max(1)];
        let values = sides.into_iter().try_fold(1_usize, usize::checked_mul);
        assert!(values.is_some_and(|values| values > 0), "no map has the sizes {self:?}");
        assert_eq!(map.len(), self.words(precision), "words of a map of {self:?}");
    }

    /// Images of a block.
    pub(crate) fn images_of(&self, block: usize) -> std::ops::Range<usize> {
        block * LANES..self.images.min((block + 1) * LANES)
    }
}

/// Runs work compiled for words of this precision, and for this level.
macro_rules! for_words {
    ($level:expr, $precision:expr, $work:ident { $($field:tt)* }) => {
        match $precision {
            crate::map::Precision::F32 => $level.run($work::<1> { $($field)* }),
            crate::map::Precision::Bf16 => $level.run($work::<2> { $($field)* }),
        }
    };
}
pub(crate) use for_words;

/// The lines of a map.
#[inline(always)]
pub(crate) fn lines(words: &[u32]) -> &[Line] {
    words.as_chunks().0
}

/// The values of both channels of a line of pairs, or of the only one.
#[inline(always)]
pub(crate) fn read<const EACH: usize>(line: &Line) -> [[f32; LANES]; EACH] {
    let mut values = [[0.0; LANES]; EACH];
    for lane in 0..LANES {
        if EACH == 1 {
            values[0][lane] = f32::from_bits(line[lane]);
        } else {
            values[0][lane] = f32::from_bits(line[lane] << 16);
            values[1][lane] = f32::from_bits(line[lane] & 0xFFFF_0000);
        }
    }
    values
}

/// The line of such values, rounded where it is one of pairs.
#[inline(always)]
pub(crate) fn written<const EACH: usize>(values: &[[f32; LANES]; EACH]) -> Line {
    let mut line = [0; LANES];
    for lane in 0..LANES {
        line[lane] =
            if EACH == 1 { values[0][lane].to_bits() } else { bf16::pair(values[0][lane], values[1][lane]) };
    }
    line
}

/// Lays images `[N, C, H, W]` out.
///
/// # Panics
/// Where their number does not fit `sizes`, or these have no channels or pixels.
pub fn lay(sizes: &Sizes, precision: Precision, images: &[f32]) -> Vec<u32> {
    let (pixels, each) = (sizes.pixels(), precision.each());
    assert_eq!(images.len(), sizes.images * sizes.channels * pixels, "values of images of {sizes:?}");
    let mut map = vec![0; sizes.words(precision)];
    sizes.check(precision, &map);
    let words = sizes.channel_words(precision);
    map.par_chunks_exact_mut(pixels * LANES).enumerate().for_each(|(index, map)| {
        let (block, word) = (index / words, index % words);
        for (lane, image) in sizes.images_of(block).enumerate() {
            let channel = |half: usize| {
                let channel = word * each + half;
                let start = (image * sizes.channels + channel) * pixels;
                (channel < sizes.channels).then(|| &images[start..][..pixels])
            };
            let Some(low) = channel(0) else { continue };
            let targets = map.iter_mut().skip(lane).step_by(LANES);
            match (precision, channel(1)) {
                (Precision::F32, _) => {
                    targets.zip(low).for_each(|(target, low)| *target = low.to_bits());
                }
                (Precision::Bf16, Some(high)) => {
                    targets.zip(low.iter().zip(high)).for_each(|(word, (low, high))| {
                        *word = bf16::pair(*low, *high);
                    });
                }
                (Precision::Bf16, None) => {
                    targets.zip(low).for_each(|(word, low)| *word = bf16::pair(*low, 0.0));
                }
            }
        }
    });
    map
}

/// Takes a map back to images `[N, C, H, W]`.
///
/// # Panics
/// As [`lay`].
pub fn take(sizes: &Sizes, precision: Precision, map: &[u32]) -> Vec<f32> {
    sizes.check(precision, map);
    let (pixels, each) = (sizes.pixels(), precision.each());
    let words = sizes.channel_words(precision);
    let mut images = vec![0.0; sizes.images * sizes.channels * pixels];
    images.par_chunks_exact_mut(pixels).enumerate().for_each(|(index, out)| {
        let (image, channel) = (index / sizes.channels, index % sizes.channels);
        let start = ((image / LANES) * words + channel / each) * pixels * LANES + image % LANES;
        for (out, word) in out.iter_mut().zip(map[start..].iter().step_by(LANES)) {
            *out = match precision {
                Precision::F32 => f32::from_bits(*word),
                Precision::Bf16 if channel % 2 == 0 => f32::from_bits(*word << 16),
                Precision::Bf16 => f32::from_bits(*word & 0xFFFF_0000),
            };
        }
    });
    images
}

#[cfg(test)]
mod tests;
