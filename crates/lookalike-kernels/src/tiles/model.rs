//! Tile registers in plain Rust, with the arithmetic of `TDPBF16PS` in Intel's manual, volume 2.

#![expect(unsafe_code, reason = "tiles are read and written through pointers, which callers prove")]
#![expect(clippy::inline_always, reason = "as the registers of the processor")]

use super::{SIDE, TileKernel, Tiles};
use crate::instructions::Level;
use crate::vector::Work;

/// The words of eight registers.
#[derive(Default)]
pub(super) struct Model([[[u32; SIDE]; SIDE]; 8]);

struct OnModel<K>(K);

impl<K: TileKernel> Work for OnModel<K> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        // SAFETY: these are not the registers of the processor.
        unsafe { self.0.run(&mut Model::default()) };
    }
}

/// Runs `kernel` on a model. It is compiled for the processor's vectors only so that tests do not wait for it.
pub(super) fn run<K: TileKernel>(kernel: K) {
    Level::detect().run(OnModel(kernel));
}

/// 0 of the same sign for a number that is not normal, as the instruction reads and writes them.
#[inline(always)]
fn flushed(value: f32) -> f32 {
    if value.abs() < f32::MIN_POSITIVE { f32::from_bits(value.to_bits() & 1 << 31) } else { value }
}

/// The `result` of an operation, 0 if it is not normal. Whether it is, is decided before its exponent is bounded: what
/// only becomes the least normal number because there are fewer bits below it is none. `exact` is the result with
/// bits enough to see that.
#[inline(always)]
fn rounded(result: f32, exact: impl Fn() -> f64) -> f32 {
    /// Halfway from the least normal number to the next one below it that has as many bits.
    const HALFWAY: f64 = f32::MIN_POSITIVE as f64 * (1.0 - 1.0 / (1_u32 << 25) as f64);
    let becomes_normal = result.abs() == f32::MIN_POSITIVE && exact().abs() < HALFWAY;
    if becomes_normal { f32::from_bits(result.to_bits() & 1 << 31) } else { flushed(result) }
}

impl Tiles for Model {
    fn clear<const TILE: usize>(&mut self) {
        self.0[TILE] = Default::default();
    }

    unsafe fn load<const TILE: usize>(&mut self, source: *const u32, step: usize) {
        for (index, row) in self.0[TILE].iter_mut().enumerate() {
            // SAFETY: the caller guarantees sixteen rows of sixteen words.
            *row = unsafe { source.add(index * step).cast::<[u32; SIDE]>().read_unaligned() };
        }
    }

    unsafe fn store<const TILE: usize>(&mut self, target: *mut f32, step: usize) {
        for (index, row) in self.0[TILE].iter().enumerate() {
            // SAFETY: the caller guarantees sixteen rows of sixteen values.
            unsafe { target.add(index * step).cast::<[u32; SIDE]>().write_unaligned(*row) };
        }
    }

    /// The products of lower halves are summed apart from those of upper halves, word by word, each sum rounded once
    /// (a fused multiply-add). Then both are added to each other, and at last to the sum that was there.
    #[inline(always)]
    fn add_products<const SUMS: usize, const LEFT: usize, const RIGHT: usize>(&mut self) {
        let (left, right) = (self.0[LEFT], self.0[RIGHT]);
        for (sums, left) in self.0[SUMS].iter_mut().zip(left) {
            let mut halves = [[0.0; SIDE]; 2];
            for (word, right) in left.into_iter().zip(right) {
                for (shift, halves) in [16, 0].into_iter().zip(&mut halves) {
                    let half = |word: u32| flushed(f32::from_bits(word << shift & 0xFFFF_0000));
                    let value = half(word);
                    for (sum, right) in halves.iter_mut().zip(right) {
                        let (right, before) = (half(right), *sum);
                        let exact = || f64::from(value) * f64::from(right) + f64::from(before);
                        *sum = rounded(value.mul_add(right, before), exact);
                    }
                }
            }
            let [low, high] = halves;
            for (sum, (low, high)) in sums.iter_mut().zip(low.into_iter().zip(high)) {
                let both = rounded(low + high, || f64::from(low) + f64::from(high));
                let before = flushed(f32::from_bits(*sum));
                *sum = rounded(before + both, || f64::from(before) + f64::from(both)).to_bits();
            }
        }
    }
}
