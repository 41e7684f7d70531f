//! Bilinear interpolation from cells to pixels, and back for gradients.

/// The two cells of one axis that a pixel lies between, and the share of the second.
#[derive(Debug, Clone, Copy)]
struct Tap {
    low: usize,
    high: usize,
    share: f32,
}

/// Interpolation from a grid of cells to an image, corners not aligned: the centre of cell i of n lies at (i + ½) / n of the side, and
/// beyond the outermost centres values stay. In `f32` as PyTorch computes it.
pub(super) struct Bilinear {
    down: Vec<Tap>,
    across: Vec<Tap>,
    /// Cells of a row of the grid.
    width: usize,
}

impl Bilinear {
    /// Between a grid and an image of these heights and widths, none of them 0.
    pub(super) fn new(grid: [usize; 2], size: [usize; 2]) -> Self {
        Self { down: taps(grid[0], size[0]), across: taps(grid[1], size[1]), width: grid[1] }
    }

    /// Writes the value of each pixel.
    pub(super) fn forward(&self, cells: &[f32], pixels: &mut [f32]) {
        let mut line = vec![0.0; self.width];
        for (tap, pixels) in self.down.iter().zip(pixels.chunks_exact_mut(self.across.len())) {
            let [low, high] = [tap.low, tap.high].map(|row| &cells[row * self.width..][..self.width]);
            for ((value, low), high) in line.iter_mut().zip(low).zip(high) {
                *value = (1.0 - tap.share) * low + tap.share * high;
            }
            for (tap, pixel) in self.across.iter().zip(pixels) {
                *pixel = (1.0 - tap.share) * line[tap.low] + tap.share * line[tap.high];
            }
        }
    }

    /// Adds to the gradient of each cell what the gradients of pixels make it: the transpose of [`Bilinear::forward`].
    pub(super) fn backward(&self, pixels: &[f32], cells: &mut [f32]) {
        let mut line = vec![0.0; self.width];
        for (tap, pixels) in self.down.iter().zip(pixels.chunks_exact(self.across.len())) {
            line.fill(0.0);
            for (tap, pixel) in self.across.iter().zip(pixels) {
                line[tap.low] += (1.0 - tap.share) * pixel;
                line[tap.high] += tap.share * pixel;
            }
            for (row, share) in [(tap.low, 1.0 - tap.share), (tap.high, tap.share)] {
                let cells = &mut cells[row * self.width..][..self.width];
                cells.iter_mut().zip(&line).for_each(|(cell, value)| *cell += share * value);
            }
        }
    }
}

fn taps(cells: usize, pixels: usize) -> Vec<Tap> {
    let scale = cells as f32 / pixels as f32;
    let tap = |pixel: usize| {
        let place = (scale * (pixel as f32 + 0.5) - 0.5).max(0.0);
        let low = (place as usize).min(cells - 1);
        Tap { low, high: (low + 1).min(cells - 1), share: place - low as f32 }
    };
    (0..pixels).map(tap).collect()
}
