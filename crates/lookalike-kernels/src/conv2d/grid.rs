//! Which pixels one pixel sums, along one side of an image.

use std::ops::Range;

use super::ConvShape;

/// Along one side, pixel `first + step · index` of the result, for `index` below `count`, sums over the
/// `taps` of the kernel pixels `stride · index + shift + tap` of a source of `source` pixels, as far as there
/// are any.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub(super) count: usize,
    pub(super) first: usize,
    pub(super) step: usize,
    pub(super) stride: usize,
    pub(super) shift: isize,
    pub(super) taps: usize,
    pub(super) source: usize,
    /// The kernel's row, or column, of the first tap, and how far it is to that of the next.
    pub(super) kernel: [isize; 2],
}

impl Axis {
    /// The output, which sums the input.
    pub(super) fn of_output(shape: &ConvShape, input: usize, output: usize) -> Self {
        let ConvShape { kernel, stride, padding, .. } = *shape;
        let shift = -(padding as isize);
        Self { count: output, first: 0, step: 1, stride, shift, taps: kernel, source: input, kernel: [0, 1] }
    }

    /// The input pixels whose position, padding included, is `phase` modulo the stride; they sum the output's
    /// gradient over every stride-th tap, the last one first.
    pub(super) fn of_input_phase(shape: &ConvShape, phase: usize, input: usize, output: usize) -> Self {
        let ConvShape { kernel, stride, padding, .. } = *shape;
        let index = padding.saturating_sub(phase).div_ceil(stride);
        let first = stride * index + phase - padding;
        let taps = kernel.saturating_sub(phase).div_ceil(stride);
        Self {
            count: input.saturating_sub(first).div_ceil(stride),
            first,
            step: stride,
            stride: 1,
            shift: index as isize + 1 - taps as isize,
            taps,
            source: output,
            kernel: [(phase + stride * taps) as isize - stride as isize, -(stride as isize)],
        }
    }

    /// Whether each pixel sums exactly one source pixel, and each source pixel that the stride meets is in
    /// one sum.
    pub(super) fn meets_one(&self) -> bool {
        let one = (self.taps, self.shift, self.first, self.step) == (1, 0, 0, 1);
        one && self.source.div_ceil(self.stride) == self.count
    }

    /// An axis of `count` pixels that [meets one](Self::meets_one), without the source pixels that are in no
    /// sum.
    pub(super) fn thinned(&self, count: usize) -> Self {
        Self { count, source: count, stride: 1, ..*self }
    }

    /// The kernel's row, or column, of a tap.
    pub(super) fn kernel_of(&self, tap: usize) -> usize {
        (self.kernel[0] + self.kernel[1] * tap as isize) as usize
    }

    /// The pixel of an index.
    pub(super) fn pixel(&self, index: usize) -> usize {
        self.first + self.step * index
    }

    /// The indices whose pixels lie in `pixels`.
    pub(super) fn indices_in(&self, pixels: Range<usize>) -> Range<usize> {
        let index = |pixel: usize| pixel.saturating_sub(self.first).div_ceil(self.step).min(self.count);
        index(pixels.start)..index(pixels.end)
    }

    /// The taps of a pixel that meet a source pixel; `0..0` if none does.
    pub(super) fn taps_of(&self, index: usize) -> Range<usize> {
        let origin = (self.stride * index) as isize + self.shift;
        let start = (-origin).max(0) as usize;
        let end = (self.source as isize - origin).clamp(0, self.taps as isize) as usize;
        if start < end { start..end } else { 0..0 }
    }

    /// The source pixel that a valid tap meets.
    pub(super) fn source_of(&self, index: usize, tap: usize) -> usize {
        ((self.stride * index + tap) as isize + self.shift) as usize
    }

    /// The pixels, in `indices`, of which `tap` is valid: they are consecutive.
    pub(super) fn indices_of(&self, tap: usize, indices: Range<usize>) -> Range<usize> {
        let valid = |index: &usize| self.taps_of(*index).contains(&tap);
        let start = indices.clone().find(valid).unwrap_or(indices.end);
        let end = (start..indices.end).find(|index| !valid(index)).unwrap_or(indices.end);
        start..end
    }

    /// The source pixels that `indices` need.
    pub(super) fn sources_of(&self, indices: Range<usize>) -> Range<usize> {
        let limit = |pixel: isize| pixel.clamp(0, self.source as isize) as usize;
        let start = limit((self.stride * indices.start) as isize + self.shift);
        let last = (self.stride * indices.end.saturating_sub(1) + self.taps) as isize + self.shift;
        start..limit(last).max(start)
    }

    /// Maximal runs of consecutive `indices` that have the same valid taps. As both ends of those only fall,
    /// no others have them.
    pub(super) fn runs(
        &self,
        indices: Range<usize>,
    ) -> impl Iterator<Item = (Range<usize>, Range<usize>)> + use<> {
        let axis = *self;
        let mut next = indices.start;
        std::iter::from_fn(move || {
            let start = next;
            (start < indices.end).then(|| {
                let taps = axis.taps_of(start);
                next = (start..indices.end).find(|index| axis.taps_of(*index) != taps).unwrap_or(indices.end);
                (start..next, taps)
            })
        })
    }
}
