//! Images side by side, so that a tap of a kernel is an offset.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::Shape;

/// Sizes of one image: channels, height, width.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planes {
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Planes {
    /// Values of an image.
    pub(super) fn values(&self) -> usize {
        self.channels * self.height * self.width
    }
}

/// Pixels `first + step · index` along one side of an image, for `index` below `count`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pixels {
    pub(super) first: usize,
    pub(super) step: usize,
    pub(super) count: usize,
}

/// A group of images side by side: for each channel and each pair of phases one plane of `rows` by `images · pitch`.
///
/// Row u of phase a holds row `step · u + a − top` of the images, or zeros where there is none; columns alike.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sheet {
    pub(super) images: usize,
    pub(super) rows: usize,
    pub(super) pitch: usize,
    pub(super) step: usize,
    pub(super) phases: usize,
    pub(super) top: usize,
    pub(super) left: usize,
}

/// `count` columns of an image from `first` on, behind `before` zeros.
#[derive(Debug, Clone, Copy)]
struct Span {
    before: usize,
    first: usize,
    count: usize,
}

impl Span {
    /// Lays every `step`-th value of `source` into `piece`, zeros around them.
    fn lay(&self, source: &[f32], step: usize, piece: &mut [f32]) {
        let (before, rest) = piece.split_at_mut(self.before);
        let (values, after) = rest.split_at_mut(self.count);
        before.fill(0.0);
        match step {
            1 => values.copy_from_slice(&source[self.first..][..self.count]),
            _ if self.count == 0 => {}
            _ => {
                let source = source[self.first..].chunks(step);
                values.iter_mut().zip(source).for_each(|(value, source)| *value = source[0]);
            }
        }
        after.fill(0.0);
    }
}

impl Sheet {
    /// The sheet of the input, from which outputs and weight gradients are computed.
    pub(super) fn of_input(shape: &Shape, images: usize) -> Self {
        let Shape { width, kernel, stride, padding, .. } = *shape;
        Self {
            images,
            rows: shape.output_height() + (kernel - 1) / stride,
            // The zeros after an image are the zeros before the next one.
            pitch: (width + padding).div_ceil(stride).max(shape.output_width()),
            step: stride,
            phases: stride.min(kernel),
            top: padding,
            left: padding,
        }
    }

    /// Width of a row.
    pub(super) fn width(&self) -> usize {
        self.images * self.pitch
    }

    /// Where a row and column of a channel's phase lie.
    pub(super) fn offset(&self, channel: usize, phase: [usize; 2], [row, column]: [usize; 2]) -> usize {
        let plane = (channel * self.phases + phase[0]) * self.phases + phase[1];
        (plane * self.rows + row) * self.width() + column
    }

    /// Lays `channels` of `images` out into `sheet`, followed by zeros up to a length of at least `length`.
    pub(super) fn lay(
        &self,
        images: &[f32],
        planes: Planes,
        channels: Range<usize>,
        length: usize,
        sheet: &mut Vec<f32>,
    ) {
        let used = self.offset(channels.len(), [0; 2], [0; 2]);
        sheet.resize(used.max(length), 0.0);
        sheet[used..].fill(0.0);
        let plane_values = self.rows * self.width();
        for (index, plane) in sheet[..used].chunks_exact_mut(plane_values).enumerate() {
            let channel = channels.start + index / (self.phases * self.phases);
            let row_phase = index / self.phases % self.phases;
            let span = self.span(index % self.phases, planes.width);
            for (row, target) in plane.chunks_exact_mut(self.width()).enumerate() {
                let source_row = (self.step * row + row_phase).checked_sub(self.top);
                let Some(y) = source_row.filter(|y| *y < planes.height) else {
                    target.fill(0.0);
                    continue;
                };
                let mut pieces = target.chunks_exact_mut(self.pitch);
                for (image, piece) in images.chunks_exact(planes.values()).zip(&mut pieces) {
                    let source = &image[(channel * planes.height + y) * planes.width..][..planes.width];
                    span.lay(source, self.step, piece);
                }
                pieces.for_each(|piece| piece.fill(0.0));
            }
        }
    }

    /// The columns of a phase that an image of the given width has.
    fn span(&self, phase: usize, width: usize) -> Span {
        let before = self.left.saturating_sub(phase).div_ceil(self.step).min(self.pitch);
        let first = self.step * before + phase - self.left;
        let count = width.saturating_sub(first).div_ceil(self.step).min(self.pitch - before);
        Span { before, first, count }
    }

    /// Writes sums computed at the sheet's positions, `[channels, length]`, to the pixels they belong to.
    pub(super) fn take(
        &self,
        sums: &[f32],
        length: usize,
        planes: Planes,
        [rows, columns]: [Pixels; 2],
        images: &mut [MaybeUninit<f32>],
    ) {
        for (index, image) in images.chunks_exact_mut(planes.values()).enumerate() {
            for channel in 0..planes.channels {
                for row in 0..rows.count {
                    let source = channel * length + row * self.width() + index * self.pitch;
                    let source = &sums[source..][..columns.count];
                    let y = rows.first + rows.step * row;
                    let target = &mut image[(channel * planes.height + y) * planes.width..][..planes.width];
                    if columns.step == 1 {
                        target[columns.first..][..columns.count].write_copy_of_slice(source);
                    } else {
                        let target = target.iter_mut().skip(columns.first).step_by(columns.step);
                        target.zip(source).for_each(|(target, source)| _ = target.write(*source));
                    }
                }
            }
        }
    }

    /// Lays output gradients out as `[⌈channels / columns⌉, positions, columns]`, 0 between the images and for channels
    /// that do not exist.
    pub(super) fn transpose(&self, images: &[f32], planes: Planes, columns: usize, out: &mut Vec<f32>) {
        const STRIP: usize = 16;
        let positions = planes.height * self.width();
        out.clear();
        out.resize(planes.channels.div_ceil(columns) * positions * columns, 0.0);
        for (panel, out) in out.chunks_exact_mut(positions * columns).enumerate() {
            let channels = panel * columns..planes.channels.min((panel + 1) * columns);
            for (index, image) in images.chunks_exact(planes.values()).enumerate() {
                for row in 0..planes.height {
                    let position = row * self.width() + index * self.pitch;
                    let out = &mut out[position * columns..][..planes.width * columns];
                    // In strips, for whole rows of many channels would share one set of the first-level cache.
                    for (strip, out) in out.chunks_mut(STRIP * columns).enumerate() {
                        for (lane, channel) in channels.clone().enumerate() {
                            let start = (channel * planes.height + row) * planes.width + strip * STRIP;
                            let source = &image[start..][..out.len() / columns];
                            for (out, source) in out.chunks_exact_mut(columns).zip(source) {
                                out[lane] = *source;
                            }
                        }
                    }
                }
            }
        }
    }
}

/// One side of the input seen from the output gradient: the input pixels of each phase, and what they read.
pub(super) struct GradientSide {
    /// For each phase, the index of its first pixel and its pixels.
    pub(super) phases: Vec<(usize, Pixels)>,
    /// Zeros needed before the output gradient.
    pub(super) before: usize,
    /// Zeros needed after it.
    pub(super) after: usize,
}

impl GradientSide {
    /// Input pixel `stride · u + phase − padding` reads the gradients u − ⌊t / stride⌋ of every tap t of its phase.
    pub(super) fn new(shape: &Shape, input: usize, output: usize) -> Self {
        let Shape { kernel, stride, padding, .. } = *shape;
        let phases: Vec<_> = (0..stride)
            .map(|phase| {
                let index = padding.saturating_sub(phase).div_ceil(stride);
                let first = stride * index + phase - padding;
                let count = input.saturating_sub(first).div_ceil(stride);
                (index, Pixels { first, step: stride, count })
            })
            .collect();
        let (mut before, mut after) = (0, 0);
        for tap in 0..kernel {
            let (index, pixels) = phases[tap % stride];
            before = before.max((tap / stride).saturating_sub(index));
            after = after.max((index + pixels.count).saturating_sub(tap / stride + output));
        }
        Self { phases, before, after }
    }
}

impl Sheet {
    /// The sheet of the output gradient, from which input gradients are computed.
    pub(super) fn of_gradient([rows, columns]: [&GradientSide; 2], shape: &Shape, images: usize) -> Self {
        let between = columns.before.max(columns.after);
        let widest = columns.phases.iter().map(|(_, pixels)| pixels.count).max().unwrap_or(0);
        Self {
            images,
            rows: rows.before + shape.output_height() + rows.after,
            pitch: (shape.output_width() + between).max(widest),
            step: 1,
            phases: 1,
            top: rows.before,
            left: columns.before,
        }
    }
}
