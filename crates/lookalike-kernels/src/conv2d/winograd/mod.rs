//! Kernels of three by three without stride in a quarter of the products: F(4 × 4, 3 × 3) of Lavin and Gray
//! 2016 (<https://arxiv.org/abs/1509.09308>, §4).
//!
//! A tile of four by four outputs needs six by six inputs. Both are polynomials, whose product is taken at
//! the points 0, ±3/4, ±3/2 and ∞. `correlate` and `contract` apply the input and weight transforms, multiply
//! two matrices for each of the 36 elements of a tile (the tile products), and apply the output transform.
//! These points lose less to rounding than 0, ±1, ±2, ∞ do. Elements rounded to bfloat16 would lose too much:
//! in bfloat16 the operands of a convolution are rounded, but their transforms are `f32`.

pub(super) mod contract;
pub(super) mod correlate;
mod tiles;
mod transform;

use super::arithmetic::LANES;
use super::grid::Axis;

/// Outputs of a tile along a side.
const OUTPUTS: usize = 4;
/// Inputs of a tile along a side.
const INPUTS: usize = 6;
/// Elements of a transformed tile.
const ELEMENTS: usize = INPUTS * INPUTS;
/// Channels on either side, at least: the fewer, the more the transforms weigh.
const CHANNELS: usize = 12;

/// Words of a row of transformed tiles of sixteen images, at most. A thread keeps them, and about as many
/// products: 128 MiB, for instance 64 channels of a map that is some 3,600 pixels wide.
const ROW: usize = 32 << 20;

/// Whether tiles can compute these axes in so few products that they are faster than a direct sum over valid
/// taps, even one of pairs, which takes half of the instructions.
pub(super) fn suits(axes: &[Axis; 2], channels: [usize; 2]) -> bool {
    is_possible(axes) && channels.into_iter().all(|channels| channels >= CHANNELS) && {
        let direct: usize = axes.iter().map(valid_taps).product();
        let tiles = axes.each_ref().map(|axis| axis.count.div_ceil(OUTPUTS));
        let row = ELEMENTS * tiles[1] * channels[0] * LANES;
        direct > 2 * ELEMENTS * tiles[0] * tiles[1] && row <= ROW
    }
}

/// Whether tiles can compute these axes.
fn is_possible(axes: &[Axis; 2]) -> bool {
    axes.iter().all(|axis| axis.taps == 3 && axis.stride == 1 && axis.step == 1 && axis.first == 0)
}

/// Pairs of a pixel and a tap that lie in the image.
fn valid_taps(axis: &Axis) -> usize {
    (0..axis.count).map(|index| axis.taps_of(index).len()).sum()
}

#[cfg(test)]
mod tests;
