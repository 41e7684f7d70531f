//! From images `[N, C, H, W]` to what the register tiles read, and back.

#![expect(unsafe_code, reason = "blocks of 16 by 16 are transposed through pointers")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::mem::MaybeUninit;
use std::ops::Range;

use super::arithmetic::{Arithmetic, Kernel, LANES};
use super::grid::Axis;
use crate::bf16;
use crate::vector::Vector;

/// A side of the blocks that are transposed.
pub(super) const BLOCK: usize = 16;
type Block = [[u32; BLOCK]; BLOCK];

/// Sizes of one image: channels, height, width.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planes {
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Planes {
    /// Values of a channel.
    pub(super) fn map(&self) -> usize {
        self.height * self.width
    }

    /// Values of an image.
    pub(super) fn values(&self) -> usize {
        self.channels * self.map()
    }
}

/// Rows of some images: where they begin in `values`, and how they go on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) values: &'a [f32],
    /// Begin of the second value of a pair, if there is one.
    pub(super) partner: Option<usize>,
    pub(super) start: usize,
    /// From one row of the block to the next.
    pub(super) stride: usize,
    /// Rows there are; the others are 0.
    pub(super) rows: usize,
    /// Columns there are; the others are 0.
    pub(super) columns: usize,
    /// Where rows begin that will be wanted soon.
    pub(super) soon: usize,
}

/// Values of a row between what is transposed and what is fetched into the caches meanwhile: rows of images often lie a power of
/// two apart, and so many streams no processor foresees.
const AHEAD: usize = 2 * BLOCK;

/// What follows [`AHEAD`] after `pixel`, in a run of `pixels` from `start` on or in the next one.
pub(super) fn soon(start: usize, pixel: usize, pixels: usize, next: usize) -> usize {
    let ahead = pixel + AHEAD;
    if ahead < pixels { start + ahead } else { next + (ahead - pixels).min(pixels) }
}

impl Source<'_> {
    /// Writes the transpose, whose first `columns` rows exist, to rows of 16 that are `stride` apart.
    ///
    /// # Safety
    /// The processor has the registers of `A`.
    #[inline(always)]
    pub(super) unsafe fn transpose<A: Arithmetic>(&self, target: &mut [u32], stride: usize) {
        let last = self.start + self.stride * self.rows.saturating_sub(1) + self.columns;
        assert!(last <= self.values.len() && self.rows <= BLOCK && self.columns <= BLOCK);
        assert!((self.columns.max(1) - 1) * stride + BLOCK <= target.len());
        for row in 0..self.rows {
            fetch(self.values, self.soon + row * self.stride);
            if let Some(partner) = self.partner {
                fetch(self.values, self.soon + partner - self.start + row * self.stride);
            }
        }
        let whole = self.rows == BLOCK && self.columns == BLOCK;
        if whole && !A::PAIRS {
            // SAFETY: sixteen rows of sixteen lie in both slices, by the assertions.
            unsafe {
                let source = self.values.as_ptr().add(self.start);
                A::Register::transpose(source, self.stride, target.as_mut_ptr().cast(), stride);
            }
            return;
        }
        let mut block: Block = [[0; BLOCK]; BLOCK];
        for (row, words) in block.iter_mut().enumerate().take(self.rows) {
            let low = &self.values[self.start + row * self.stride..][..self.columns];
            let high = self.partner.map(|start| &self.values[start + row * self.stride..][..self.columns]);
            // SAFETY: as the caller's.
            unsafe { pack::<A>(low, high, words) };
        }
        if self.columns == BLOCK {
            // SAFETY: a block has sixteen rows of sixteen, and so has the target by the assertion.
            unsafe {
                A::Register::transpose(block.as_ptr().cast(), BLOCK, target.as_mut_ptr().cast(), stride);
            }
        } else {
            let mut turned: Block = [[0; BLOCK]; BLOCK];
            // SAFETY: both blocks have sixteen rows of sixteen.
            unsafe {
                A::Register::transpose(block.as_ptr().cast(), BLOCK, turned.as_mut_ptr().cast(), BLOCK);
            }
            for (row, words) in turned.iter().enumerate().take(self.columns) {
                target[row * stride..][..BLOCK].copy_from_slice(words);
            }
        }
    }
}

/// Fetches the line of a value, if there is one, into the caches.
#[inline(always)]
fn fetch(values: &[f32], index: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every processor of this kind has the instruction, which never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().wrapping_add(index).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, index);
}

/// The words of up to sixteen values, or of pairs whose second value is 0 where there is none.
///
/// # Safety
/// The processor has the registers of `A`.
#[inline(always)]
pub(super) unsafe fn pack<A: Arithmetic>(low: &[f32], high: Option<&[f32]>, words: &mut [u32; BLOCK]) {
    if !A::PAIRS {
        words.iter_mut().zip(low).for_each(|(word, low)| *word = low.to_bits());
        return;
    }
    match (low.as_array::<BLOCK>(), high.map(|high| high.as_array::<BLOCK>())) {
        // SAFETY: as the caller's.
        (Some(low), Some(Some(high))) => *words = unsafe { A::pair(low, high) },
        // SAFETY: as the caller's.
        (Some(low), None) => *words = unsafe { A::pair(low, &[0.0; BLOCK]) },
        _ => {
            for (lane, (word, low)) in words.iter_mut().zip(low).enumerate() {
                *word = bf16::pair(*low, high.map_or(0.0, |high| high[lane]));
            }
        }
    }
}

/// Lays `rows` of up to 16 images out as `[rows · W, words of C, 16 images]`.
pub(super) struct LayImages<'a> {
    pub(super) values: &'a [f32],
    pub(super) planes: Planes,
    pub(super) images: Range<usize>,
    pub(super) rows: Range<usize>,
    pub(super) words: &'a mut [u32],
}

impl Kernel for LayImages<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        let Self { values, planes, images, rows, words } = self;
        let (pixels, each) = (rows.len() * planes.width, if A::PAIRS { 2 } else { 1 });
        let stride = planes.channels.div_ceil(each) * LANES;
        for word in 0..planes.channels.div_ceil(each) {
            let start =
                images.start * planes.values() + word * each * planes.map() + rows.start * planes.width;
            let paired = A::PAIRS && word * each + 1 < planes.channels;
            for pixel in (0..pixels).step_by(BLOCK) {
                let source = Source {
                    values,
                    partner: paired.then_some(start + planes.map() + pixel),
                    start: start + pixel,
                    stride: planes.values(),
                    rows: images.len(),
                    columns: BLOCK.min(pixels - pixel),
                    soon: soon(start, pixel, pixels, start + each * planes.map()),
                };
                // SAFETY: as the caller's.
                unsafe { source.transpose::<A>(&mut words[pixel * stride + word * LANES..], stride) };
            }
        }
    }
}

/// Lays some channels of `rows` of some images out as `[⌈channels / columns⌉, rows · W, words of images, columns]`.
pub(super) struct LayChannels<'a> {
    pub(super) values: &'a [f32],
    pub(super) planes: Planes,
    pub(super) images: Range<usize>,
    pub(super) channels: Range<usize>,
    pub(super) rows: Range<usize>,
    /// A multiple of 16.
    pub(super) columns: usize,
    pub(super) words: &'a mut [u32],
}

impl Kernel for LayChannels<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        let Self { values, planes, images, channels, rows, columns, words } = self;
        let (pixels, each) = (rows.len() * planes.width, if A::PAIRS { 2 } else { 1 });
        let lanes = images.len().div_ceil(each);
        let panel = pixels * lanes * columns;
        for (lane, image) in images.clone().step_by(each).enumerate() {
            for channel in (0..channels.len().next_multiple_of(columns)).step_by(BLOCK) {
                let place = channel / columns * panel + lane * columns + channel % columns;
                let count = channels.len().saturating_sub(channel).min(BLOCK);
                let first = if count == 0 { channels.start } else { channels.start + channel };
                let start = image * planes.values() + first * planes.map() + rows.start * planes.width;
                let paired = A::PAIRS && image + 1 < images.end;
                for pixel in (0..pixels).step_by(BLOCK) {
                    let source = Source {
                        values,
                        partner: paired.then_some(start + planes.values() + pixel),
                        start: start + pixel,
                        stride: planes.map(),
                        rows: count,
                        columns: BLOCK.min(pixels - pixel),
                        soon: soon(start, pixel, pixels, start + BLOCK * planes.map()),
                    };
                    let target = &mut words[place + pixel * lanes * columns..];
                    // SAFETY: as the caller's.
                    unsafe { source.transpose::<A>(target, lanes * columns) };
                }
            }
        }
    }
}

/// Lays what each output pixel of `rows` of some images meets, all taps of its channels, as
/// `[⌈C · K² / 16⌉, rows · W′, words of images, 16]`, 0 beside the image.
pub(super) struct LayWindows<'a> {
    pub(super) values: &'a [f32],
    pub(super) planes: Planes,
    pub(super) images: Range<usize>,
    /// Terms C · K² to lay, counted from that of channel 0 on.
    pub(super) terms: Range<usize>,
    pub(super) rows: Range<usize>,
    pub(super) axes: [Axis; 2],
    pub(super) words: &'a mut [u32],
}

impl LayWindows<'_> {
    /// Copies what the pixels of a row from `column` on meet at a tap of a channel.
    #[inline(always)]
    fn window(&self, image: usize, term: usize, [row, column]: [usize; 2], out: &mut [f32; BLOCK]) {
        let [vertical, horizontal] = &self.axes;
        let taps = vertical.taps * horizontal.taps;
        let (channel, tap) = (term / taps, term % taps);
        let y = (vertical.stride * row + tap / horizontal.taps) as isize + vertical.shift;
        let x = (horizontal.stride * column + tap % horizontal.taps) as isize + horizontal.shift;
        out.fill(0.0);
        if y < 0 || y as usize >= self.planes.height {
            return;
        }
        let start =
            image * self.planes.values() + channel * self.planes.map() + y as usize * self.planes.width;
        let line = &self.values[start..][..self.planes.width];
        let stride = horizontal.stride;
        let before = (-x).max(0) as usize;
        let before = before.div_ceil(stride).min(BLOCK);
        let from = (x + (before * stride) as isize) as usize;
        let Some(line) = line.get(from..) else { return };
        let count = line.len().div_ceil(stride).min(BLOCK - before);
        every(line, stride, &mut out[before..][..count]);
    }
}

/// Copies every `step`-th value, from the first on; there are enough for `out`.
#[inline(always)]
pub(super) fn every(values: &[f32], step: usize, out: &mut [f32]) {
    let Some((last, others)) = out.split_last_mut() else { return };
    *last = values[others.len() * step];
    match step {
        1 => others.copy_from_slice(&values[..others.len()]),
        // A loop that the compiler turns into shuffles.
        2 => others.iter_mut().zip(values.as_chunks::<2>().0).for_each(|(out, [value, _])| *out = *value),
        _ => others.iter_mut().zip(values.iter().step_by(step)).for_each(|(out, value)| *out = *value),
    }
}

impl Kernel for LayWindows<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        let each = if A::PAIRS { 2 } else { 1 };
        let lanes = self.images.len().div_ceil(each);
        let width = self.axes[1].count;
        let panel = self.rows.len() * width * lanes * BLOCK;
        for (lane, image) in self.images.clone().step_by(each).enumerate() {
            for (index, term) in self.terms.clone().step_by(BLOCK).enumerate() {
                for (row, column) in self
                    .rows
                    .clone()
                    .flat_map(|row| (0..width).step_by(BLOCK).map(move |column| (row, column)))
                {
                    let mut block: Block = [[0; BLOCK]; BLOCK];
                    for (words, term) in block.iter_mut().zip(term..self.terms.end) {
                        let (mut low, mut high) = ([0.0; BLOCK], [0.0; BLOCK]);
                        self.window(image, term, [row, column], &mut low);
                        if A::PAIRS && image + 1 < self.images.end {
                            self.window(image + 1, term, [row, column], &mut high);
                        }
                        // SAFETY: as the caller's.
                        unsafe { pack::<A>(&low, Some(&high), words) };
                    }
                    let mut turned: Block = [[0; BLOCK]; BLOCK];
                    let place = turned.as_mut_ptr().cast();
                    // SAFETY: both blocks have sixteen rows of sixteen.
                    unsafe { A::Register::transpose(block.as_ptr().cast(), BLOCK, place, BLOCK) };
                    let pixel = (row - self.rows.start) * width + column;
                    for (pixel, words) in (pixel..).zip(&turned[..BLOCK.min(width - column)]) {
                        let place = index * panel + (pixel * lanes + lane) * BLOCK;
                        self.words[place..][..BLOCK].copy_from_slice(words);
                    }
                }
            }
        }
    }
}

/// Results that tasks write to, each to values of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target(pub(super) *mut f32);

impl Target {
    /// # Safety
    /// Whoever is given a copy writes values that exist, different ones from all others.
    pub(super) unsafe fn new(results: &mut [MaybeUninit<f32>]) -> Self {
        Self(results.as_mut_ptr().cast())
    }
}

// SAFETY: who made the pointer vouched for what is written through it.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

/// Takes sums `[channels, rows · W, 16 images]` to the pixels of `rows`.
pub(super) struct TakeImages<'a> {
    pub(super) sums: &'a [f32],
    /// Values from one channel's sums to the next one's.
    pub(super) stride: usize,
    pub(super) planes: Planes,
    pub(super) images: Range<usize>,
    pub(super) channels: Range<usize>,
    pub(super) rows: Range<usize>,
    /// All images; those of `images`, at the channels and rows named, are written.
    pub(super) target: Target,
}

impl Kernel for TakeImages<'_> {
    /// # Safety
    /// Beside the registers: the target holds every image of `images`, and nobody else touches the pixels.
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        let Self { sums, stride, planes, images, channels, rows, target } = self;
        let length = rows.len() * planes.width;
        for (index, channel) in channels.enumerate() {
            let first = images.start * planes.values() + channel * planes.map() + rows.start * planes.width;
            for pixel in (0..length).step_by(BLOCK) {
                let count = BLOCK.min(length - pixel);
                let source = &sums[index * stride + pixel * LANES..][..count * LANES];
                // SAFETY: the caller vouches for the images, and their pixels of these rows.
                unsafe {
                    let target = target.0.add(first + pixel);
                    if count == BLOCK && images.len() == LANES {
                        A::Register::transpose(source.as_ptr(), LANES, target, planes.values());
                        continue;
                    }
                    let mut block = [[0.0; BLOCK]; BLOCK];
                    for (row, values) in block.iter_mut().zip(source.as_chunks::<LANES>().0) {
                        *row = *values;
                    }
                    let mut turned = [[0.0_f32; BLOCK]; BLOCK];
                    let place = turned.as_mut_ptr().cast();
                    A::Register::transpose(block.as_ptr().cast(), BLOCK, place, BLOCK);
                    for (image, values) in turned.iter().enumerate().take(images.len()) {
                        target.add(image * planes.values()).copy_from_nonoverlapping(values.as_ptr(), count);
                    }
                }
            }
        }
    }
}
