//! Feature maps in the layout that the kernels of residual networks share: blocks of sixteen images.
//!
//! A packed map of N images of C channels is `[⌈N / 16⌉, words of C, H, W, 16]`: `Nchw16n` in oneDNN's
//! notation, and `NChw16n2c` in bf16. (`nChw16c`, which is better known, blocks channels instead.) A pixel of
//! sixteen images is 64 bytes, which is one cache line and one vector. Convolution, normalisation and pooling
//! read and write such maps without transposing them, whatever the size of an image.
//!
//! A word is one `f32`, or two channels as bfloat16, the first in the lower half. If the channels are odd,
//! the second half of the last word is 0. Lanes without an image are 0. [`pack`] makes a map of images
//! `[N, C, H, W]`, and [`unpack`] makes images of a map.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

pub(crate) mod pool;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::bf16;
use crate::instructions::Bf16Products;
use crate::sizes::product;
pub(crate) use pool::sums;
pub use pool::{Window, max_pool, max_pool_gradient, mean, mean_gradient};

/// Images of a block.
pub const LANES: usize = 16;

/// A pixel of sixteen images: one word of each.
pub(crate) type Line = [u32; LANES];

/// The number format of the values of maps, and of the factors of products. Sums of products, weights, their
/// gradients and statistics are `f32` either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Not rounded.
    #[default]
    F32,
    /// bfloat16, the upper half of an `f32`, with eight bits of significand: the nearest one, ties to even.
    Bf16,
}

impl Precision {
    /// Whether this processor has instructions for it. Without them the kernels round the factors and
    /// multiply in `f32`: the same numbers up to the order of summation, but slower than [`Precision::F32`].
    pub fn is_native(self) -> bool {
        match self {
            Self::F32 => true,
            Self::Bf16 => Bf16Products::detect() != Bf16Products::Widened,
        }
    }

    /// Channels of a word.
    pub fn channels_per_word(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Bf16 => 2,
        }
    }
}

/// The shape `[N, C, H, W]` of the images that a map holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapShape {
    /// Images, N.
    pub images: usize,
    /// Channels, C.
    pub channels: usize,
    /// Height, H.
    pub height: usize,
    /// Width, W.
    pub width: usize,
}

impl MapShape {
    /// Pixels of a channel.
    ///
    /// # Panics
    /// If `usize` cannot count them.
    #[inline]
    pub fn pixels(&self) -> usize {
        product([self.height, self.width], self)
    }

    /// Values of all images, N · C · H · W.
    ///
    /// # Panics
    /// If `usize` cannot count them.
    pub fn values(&self) -> usize {
        product([self.images, self.channels, self.height, self.width], self)
    }

    /// Blocks of sixteen images, the last of which may have fewer.
    pub fn blocks(&self) -> usize {
        self.images.div_ceil(LANES)
    }

    /// Words of a pixel.
    pub fn channel_words(&self, precision: Precision) -> usize {
        self.channels.div_ceil(precision.channels_per_word())
    }

    /// Words of the whole map.
    ///
    /// # Panics
    /// If `usize` cannot count them.
    pub fn words(&self, precision: Precision) -> usize {
        product([self.blocks(), self.channel_words(precision), self.height, self.width, LANES], self)
    }

    /// All pixels in one column: to a kernel of one pixel it makes no difference.
    pub(crate) fn flat(&self) -> Self {
        Self { height: self.pixels(), width: 1, ..*self }
    }

    /// Panics if there are no channels or no pixels, or if the values of all lanes cannot be counted: after
    /// this, no product of the sizes wraps around.
    pub(crate) fn check(&self) {
        let lanes = [self.channels, self.height, self.width, self.blocks().max(1), LANES];
        assert!(product(lanes, self) > 0, "no map has the shape {self:?}");
    }

    /// Panics if a map of this shape does not exist, or has not as many words as `map`.
    pub(crate) fn check_map(&self, precision: Precision, map: &[u32]) {
        self.check();
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

/// The values of the channels of a line: of two in bf16, of one in `f32`.
#[inline(always)]
pub(crate) fn unpack_line<const PER_WORD: usize>(line: &Line) -> [[f32; LANES]; PER_WORD] {
    let mut values = [[0.0; LANES]; PER_WORD];
    for lane in 0..LANES {
        if PER_WORD == 1 {
            values[0][lane] = f32::from_bits(line[lane]);
        } else {
            values[0][lane] = f32::from_bits(line[lane] << 16);
            values[1][lane] = f32::from_bits(line[lane] & 0xFFFF_0000);
        }
    }
    values
}

/// The line that holds these values, rounded if there are two channels a word.
#[inline(always)]
pub(crate) fn pack_line<const PER_WORD: usize>(values: &[[f32; LANES]; PER_WORD]) -> Line {
    let mut line = [0; LANES];
    for lane in 0..LANES {
        line[lane] = if PER_WORD == 1 {
            values[0][lane].to_bits()
        } else {
            bf16::pair(values[0][lane], values[1][lane])
        };
    }
    line
}

/// Pixels that are packed by a task.
const PIECE: usize = 512;

/// Packs images `[N, C, H, W]` into a map.
///
/// # Panics
/// If the number of values does not fit `shape`, or `shape` has no channels or no pixels.
pub fn pack(shape: &MapShape, precision: Precision, images: &[f32]) -> Vec<u32> {
    shape.check();
    assert_eq!(images.len(), shape.values(), "values of images of {shape:?}");
    let (pixels, each) = (shape.pixels(), precision.channels_per_word());
    let mut map = vec![0; shape.words(precision)];
    let words = shape.channel_words(precision);
    let pack_piece = |index: usize, first: usize, map: &mut [u32]| {
        let (block, word) = (index / words, index % words);
        let own = map.len() / LANES;
        for (lane, image) in shape.images_of(block).enumerate() {
            let channel = |half: usize| {
                let channel = word * each + half;
                let start = (image * shape.channels + channel) * pixels + first;
                (channel < shape.channels).then(|| &images[start..][..own])
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
    };
    // Pictures have few channels.
    map.par_chunks_exact_mut(pixels * LANES).enumerate().for_each(|(index, map)| {
        let pieces = map.par_chunks_mut(PIECE * LANES).enumerate();
        pieces.for_each(|(piece, map)| pack_piece(index, piece * PIECE, map));
    });
    map
}

/// Unpacks a map to images `[N, C, H, W]`.
///
/// # Panics
/// As [`pack`].
pub fn unpack(shape: &MapShape, precision: Precision, map: &[u32]) -> Vec<f32> {
    shape.check_map(precision, map);
    let (pixels, each) = (shape.pixels(), precision.channels_per_word());
    let words = shape.channel_words(precision);
    let mut images = vec![0.0; shape.values()];
    images.par_chunks_exact_mut(pixels).enumerate().for_each(|(index, out)| {
        let (image, channel) = (index / shape.channels, index % shape.channels);
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
