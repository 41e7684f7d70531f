//! Packs maps into the order in which the register tiles read them, and writes sums into maps.

#![expect(
    unsafe_code,
    reason = "blocks are transposed through pointers, and tasks write to parts of one result"
)]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::ops::Range;

use super::arithmetic::{Arithmetic, Kernel, LANES};
use super::grid::Axis;
use crate::map::{Line, MapShape, Precision, lines};
use crate::output::OutputLines;
use crate::vector::Vector;

/// A side of the blocks that are transposed.
pub(super) const BLOCK: usize = 16;
type Block = [Line; BLOCK];

/// Pixels whose lines are copied together. If rows lie a power of two apart, their lines share a set of the
/// cache.
const TOGETHER: usize = 4;

/// Pixels from the one that is copied to the one that is prefetched meanwhile.
const AHEAD: usize = 2 * TOGETHER;

/// A map of which every `stride`-th pixel is read along either side. The pixels that are read are numbered
/// row by row.
#[derive(Debug, Clone, Copy)]
pub(super) struct StridedMap<'a> {
    pub(super) words: &'a [u32],
    pub(super) shape: MapShape,
    pub(super) precision: Precision,
    pub(super) stride: usize,
}

impl<'a> StridedMap<'a> {
    /// A map of which every pixel is read.
    pub(super) fn dense(words: &'a [u32], shape: MapShape, precision: Precision) -> Self {
        Self { words, shape, precision, stride: 1 }
    }

    /// Words of a pixel.
    #[inline(always)]
    pub(super) fn channel_words(&self) -> usize {
        self.shape.channel_words(self.precision)
    }

    /// The line of a word at a pixel.
    #[inline(always)]
    pub(super) fn line(&self, block: usize, word: usize, pixel: usize) -> usize {
        self.first_line(block, word) + self.pixel(pixel)
    }

    /// The line of a word at the first pixel of the map.
    #[inline(always)]
    pub(super) fn first_line(&self, block: usize, word: usize) -> usize {
        (block * self.channel_words() + word) * self.shape.pixels()
    }

    /// The pixel of the map that has the number `pixel` among those that are read.
    #[inline(always)]
    pub(super) fn pixel(&self, pixel: usize) -> usize {
        if self.stride == 1 {
            return pixel;
        }
        let (width, columns) = (self.shape.width, self.shape.width.div_ceil(self.stride));
        (pixel / columns * width + pixel % columns) * self.stride
    }
}

/// Prefetches a line into the caches.
#[inline(always)]
fn prefetch(map: &[Line], line: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every processor of this kind has the instruction, which never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(map.as_ptr().wrapping_add(line).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (map, line);
}

/// Packs some pixels of a block as `[pixels, count words of C, 16 images]`, 0 for words that do not exist.
pub(super) struct PackImages<'a> {
    pub(super) source: StridedMap<'a>,
    pub(super) block: usize,
    pub(super) pixels: Range<usize>,
    /// Not less than there are.
    pub(super) count: usize,
    pub(super) words: &'a mut [u32],
}

impl Kernel for PackImages<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        let Self { source, block, pixels, count, words } = self;
        let (there, map) = (source.channel_words(), lines(source.words));
        let targets = words.as_chunks_mut::<LANES>().0;
        for (index, start) in pixels.clone().step_by(TOGETHER).enumerate() {
            let together = start..pixels.end.min(start + TOGETHER);
            let targets = &mut targets[index * TOGETHER * count..][..together.len() * count];
            if there < count {
                targets.chunks_exact_mut(count).for_each(|pixel| pixel[there..].fill([0; LANES]));
            }
            for word in 0..there {
                for pixel in together.clone() {
                    prefetch(map, source.line(block, word, (pixel + AHEAD).min(pixels.end - 1)));
                }
                for (pixel, target) in together.clone().zip(targets.iter_mut().skip(word).step_by(count)) {
                    *target = map[source.line(block, word, pixel)];
                }
            }
        }
    }
}

/// Packs some channels of some pixels of a block as
/// `[⌈channels / columns⌉, pixels, words of images, columns]`. Words that are pairs become pairs of images.
pub(super) struct PackChannels<'a> {
    pub(super) source: StridedMap<'a>,
    pub(super) block: usize,
    /// From a multiple of 16 on.
    pub(super) channels: Range<usize>,
    pub(super) pixels: Range<usize>,
    /// A multiple of 16.
    pub(super) columns: usize,
    pub(super) words: &'a mut [u32],
}

impl Kernel for PackChannels<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        let Self { source, block, channels, pixels, columns, words } = self;
        let each = if A::PAIRS { 2 } else { 1 };
        assert!(source.precision.channels_per_word() == each && channels.start.is_multiple_of(BLOCK));
        let (lanes, rows) = (LANES / each, BLOCK / each);
        let panel = pixels.len() * lanes * columns;
        let end = channels.end.div_ceil(each);
        for channel in (0..channels.len().next_multiple_of(columns)).step_by(BLOCK) {
            let word = (channels.start + channel) / each;
            let there = end.saturating_sub(word).min(rows);
            let place = channel / columns * panel + channel % columns;
            for (index, pixel) in pixels.clone().enumerate() {
                let target = &mut words[place + index * lanes * columns..];
                let first = if there == 0 { 0 } else { source.line(block, word, pixel) };
                // SAFETY: as the caller's.
                unsafe {
                    let stride = source.shape.pixels() * LANES;
                    transpose_block::<A>(source.words, first * LANES, stride, there, target, columns);
                };
            }
        }
    }
}

/// Writes the transpose of a block of sixteen channels, whose words are `stride` apart: rows of sixteen
/// channels, one for each image or pair of images, that are `columns` apart. Only the first `there` words
/// exist; the others are 0.
///
/// # Safety
/// The processor has the registers of `A`.
#[inline(always)]
pub(super) unsafe fn transpose_block<A: Arithmetic>(
    map: &[u32],
    start: usize,
    stride: usize,
    there: usize,
    target: &mut [u32],
    columns: usize,
) {
    let (rows, lanes) = if A::PAIRS { (BLOCK / 2, LANES / 2) } else { (BLOCK, LANES) };
    assert!((lanes - 1) * columns + BLOCK <= target.len() && there <= rows);
    assert!(there == 0 || start + (there - 1) * stride + LANES <= map.len());
    let mut block: Block = [[0; LANES]; BLOCK];
    let (source, stride) = if there == rows {
        (map[start..].as_ptr(), stride)
    } else {
        for (row, line) in block.iter_mut().enumerate().take(there) {
            line.copy_from_slice(&map[start + row * stride..][..LANES]);
        }
        (block.as_ptr().cast(), LANES)
    };
    // SAFETY: by the assertions all rows lie in the source and in the target; the caller guarantees the
    // registers.
    unsafe {
        let (source, target) = (source.cast::<f32>(), target.as_mut_ptr().cast::<f32>());
        if A::PAIRS {
            A::Register::transpose_pairs(source, stride, target, columns);
        } else {
            A::Register::transpose(source, stride, target, columns);
        }
    }
}

/// The values of the channels of a line: of two where words are pairs, of one otherwise.
///
/// # Safety
/// The processor has the registers of `A`.
#[inline(always)]
pub(super) unsafe fn unpack_line<A: Arithmetic>(line: &Line, targets: [&mut [f32; LANES]; 2]) {
    let [low, high] = targets;
    for lane in (0..LANES).step_by(A::Register::LANES) {
        // SAFETY: registers divide a line; the caller guarantees them.
        unsafe {
            let words = A::Register::load(line.as_ptr().add(lane).cast());
            if A::PAIRS {
                let (one, other) = words.bf16_halves();
                one.store(low.as_mut_ptr().add(lane));
                other.store(high.as_mut_ptr().add(lane));
            } else {
                words.store(low.as_mut_ptr().add(lane));
            }
        }
    }
}

/// Packs the window of each output pixel of `rows` of a block, all taps of its channels, as
/// `[⌈C · K² / 16⌉, rows · W′, words of images, 16]` (the "im2col" of a few rows). Taps outside the image are
/// 0.
pub(super) struct PackWindows<'a> {
    pub(super) source: StridedMap<'a>,
    pub(super) block: usize,
    /// Terms C · K² to pack, from a multiple of 16 on. Channel 0 has the first ones.
    pub(super) terms: Range<usize>,
    pub(super) rows: Range<usize>,
    pub(super) axes: [Axis; 2],
    pub(super) words: &'a mut [u32],
}

impl Kernel for PackWindows<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        let Self { source, block, terms, rows, axes: [vertical, horizontal], words } = self;
        let (each, map) = (if A::PAIRS { 2 } else { 1 }, lines(source.words));
        assert!(source.precision.channels_per_word() == each);
        let MapShape { height, width, .. } = source.shape;
        let (lanes, taps) = (LANES / each, vertical.taps * horizontal.taps);
        let pixels = rows.len() * horizontal.count;
        for (panel, first) in terms.clone().step_by(BLOCK).enumerate() {
            for pixel in 0..pixels {
                let (row, column) = (rows.start + pixel / horizontal.count, pixel % horizontal.count);
                let mut lines: Block = [[0; LANES]; BLOCK];
                for (index, term) in (first..terms.end.min(first + BLOCK)).enumerate() {
                    let (channel, tap) = (term / taps, term % taps);
                    let y = (vertical.stride * row + tap / horizontal.taps) as isize + vertical.shift;
                    let x = (horizontal.stride * column + tap % horizontal.taps) as isize + horizontal.shift;
                    if y < 0 || x < 0 || y as usize >= height || x as usize >= width {
                        continue;
                    }
                    let line = &map[source.line(block, channel / each, y as usize * width + x as usize)];
                    let target = &mut lines[index / each];
                    for lane in 0..LANES {
                        // Half of a word becomes half of another.
                        target[lane] |= match (A::PAIRS, channel % 2, index % 2) {
                            (false, ..) => line[lane],
                            (true, 0, 0) => line[lane] & 0xFFFF,
                            (true, 0, _) => line[lane] << 16,
                            (true, _, 0) => line[lane] >> 16,
                            (true, ..) => line[lane] & 0xFFFF_0000,
                        };
                    }
                }
                let target = &mut words[(panel * pixels + pixel) * lanes * BLOCK..];
                // SAFETY: as the caller's.
                unsafe {
                    transpose_block::<A>(lines.as_flattened(), 0, LANES, BLOCK / each, target, BLOCK);
                };
            }
        }
    }
}

/// The map that sums are written to, and the map that is added to them, if there is one.
#[derive(Debug, Clone, Copy)]
pub(super) struct OutputMap<'a> {
    pub(super) shape: MapShape,
    pub(super) precision: Precision,
    pub(super) lines: OutputLines<'a>,
    /// As large as the map.
    pub(super) added: Option<&'a [u32]>,
}

impl OutputMap<'_> {
    /// Writes sums, `[channels of a word, pixels, 16]`, to the images there are: pixels from one on of a word
    /// of a block. Sums of channels are `stride` apart.
    ///
    /// # Safety
    /// The processor has the registers of `A`, and no other task writes these pixels of the word.
    #[inline(always)]
    pub(super) unsafe fn write_sums<A: Arithmetic>(
        &self,
        block: usize,
        word: usize,
        pixels: Range<usize>,
        sums: &[f32],
        stride: usize,
    ) {
        let MapShape { images, channels, .. } = self.shape;
        let paired = A::PAIRS && word * self.precision.channels_per_word() + 1 < channels;
        let first =
            (block * self.shape.channel_words(self.precision) + word) * self.shape.pixels() + pixels.start;
        let low = &sums[..pixels.len() * LANES];
        let high = if paired { &sums[stride..][..pixels.len() * LANES] } else { low };
        let there = LANES.min(images - block * LANES);
        let added = self.added.map(|map| &lines(map)[first..][..pixels.len()]);
        // SAFETY: no other task writes these lines, as the caller guarantees.
        let out = unsafe { self.lines.tile(first..first + pixels.len()) };
        let pairs = low.as_chunks::<LANES>().0.iter().zip(high.as_chunks::<LANES>().0);
        for (index, (out, (low, high))) in out.iter_mut().zip(pairs).enumerate() {
            let mut values = [*low, if paired { *high } else { [0.0; LANES] }];
            if let Some(added) = added {
                let mut more = [[0.0; LANES]; 2];
                let [one, other] = &mut more;
                // SAFETY: as the caller's.
                unsafe { unpack_line::<A>(&added[index], [one, other]) };
                for half in 0..if A::PAIRS { 2 } else { 1 } {
                    for lane in 0..LANES {
                        values[half][lane] += more[half][lane];
                    }
                }
            }
            for values in &mut values {
                values[there..].fill(0.0);
            }
            // SAFETY: as the caller's.
            out.write(unsafe { A::pack_line(&values) });
        }
    }
}

/// Writes sums `[channels, pixels, 16]` to pixels of a block.
pub(super) struct WriteSums<'a> {
    pub(super) sums: &'a [f32],
    /// Values from one channel's sums to the next one's.
    pub(super) stride: usize,
    pub(super) result: OutputMap<'a>,
    pub(super) block: usize,
    /// From an even one on.
    pub(super) channels: Range<usize>,
    pub(super) pixels: Range<usize>,
}

impl Kernel for WriteSums<'_> {
    /// # Safety
    /// As [`OutputMap::write_sums`].
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        let Self { sums, stride, result, block, channels, pixels } = self;
        let each = result.precision.channels_per_word();
        for (index, channel) in channels.step_by(each).enumerate() {
            // SAFETY: as the caller's.
            unsafe {
                let sums = &sums[index * each * stride..];
                result.write_sums::<A>(block, channel / each, pixels.clone(), sums, stride);
            }
        }
    }
}
