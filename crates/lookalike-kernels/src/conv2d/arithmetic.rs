//! What a word of the packed operands holds, and how two registers of words are multiplied.

#![expect(unsafe_code, reason = "intrinsics; each caller proves the level")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256, __m256bh, __m256i, __m512, __m512bh, __m512i, _mm512_cvtepu16_epi32, _mm512_cvtne2ps_pbh,
    _mm512_cvtneps_pbh, _mm512_dpbf16_ps, _mm512_loadu_ps, _mm512_or_si512, _mm512_slli_epi32,
};
use std::marker::PhantomData;

use crate::bf16;
use crate::instructions::{Bf16Products, Level};
pub(crate) use crate::map::LANES;
use crate::map::{Line, Precision, pack_line};
use crate::tiles::TileUnit;
use crate::vector::Vector;

/// Operands are words of 32 bits: an `f32`, or two bfloat16 whose products are both added to the same sum.
pub(crate) trait Arithmetic {
    /// Registers of words and of sums.
    type Register: Vector;
    /// Whether a word is a pair.
    const PAIRS: bool;
    /// Rows of the register tile of a correlation.
    const ROWS: usize;
    /// Positions of that tile, at most.
    const POSITIONS: usize;
    /// Rows of the register tile of a contraction; they divide 16.
    const CONTRACTION_ROWS: usize;

    /// `sum` + the products of `a` and `b`.
    ///
    /// # Safety
    /// As those of [`Vector`].
    unsafe fn add_products(a: Self::Register, b: Self::Register, sum: Self::Register) -> Self::Register;

    /// The line that holds these values: as pairs of bfloat16, the first in the lower half, or the first
    /// values alone as `f32`.
    ///
    /// # Safety
    /// As those of [`Vector`].
    #[inline(always)]
    unsafe fn pack_line(values: &[[f32; LANES]; 2]) -> Line {
        if Self::PAIRS { pack_line::<2>(values) } else { pack_line::<1>(&[values[0]]) }
    }

    /// The first sixteen words of these values in their order: as pairs of bfloat16, the first in the lower
    /// half, or as `f32`.
    ///
    /// # Safety
    /// As those of [`Vector`].
    #[inline(always)]
    unsafe fn pack_row(values: &[f32; 2 * LANES]) -> Line {
        let mut line = [0; LANES];
        for lane in 0..LANES {
            line[lane] = if Self::PAIRS {
                bf16::pair(values[2 * lane], values[2 * lane + 1])
            } else {
                values[lane].to_bits()
            };
        }
        line
    }
}

/// One `f32` a word.
pub(crate) struct F32Values<V>(PhantomData<V>);
/// Two bfloat16 a word, multiplied as `f32`.
pub(crate) struct Bf16Pairs<V>(PhantomData<V>);
/// Two bfloat16 a word, multiplied by AVX512-BF16.
#[cfg(target_arch = "x86_64")]
pub(crate) struct NativeBf16Pairs;

/// The size of the register tile: accumulators, the vectors of one operand and a broadcast of the other fit
/// into the registers, and there are enough accumulators to hide the latency of the multiplication.
pub(crate) trait RegisterTile: Vector {
    const ROWS: usize;
    const POSITIONS: usize;
    const CONTRACTION_ROWS: usize;
}

impl RegisterTile for [f32; 4] {
    const ROWS: usize = 2;
    const POSITIONS: usize = 1;
    const CONTRACTION_ROWS: usize = 2;
}

#[cfg(target_arch = "x86_64")]
impl RegisterTile for __m256 {
    const ROWS: usize = 6;
    const POSITIONS: usize = 1;
    const CONTRACTION_ROWS: usize = 4;
}

#[cfg(target_arch = "x86_64")]
impl RegisterTile for __m512 {
    const ROWS: usize = 8;
    const POSITIONS: usize = 3;
    const CONTRACTION_ROWS: usize = 8;
}

impl<V: RegisterTile> Arithmetic for F32Values<V> {
    type Register = V;
    const PAIRS: bool = false;
    const ROWS: usize = V::ROWS;
    const POSITIONS: usize = V::POSITIONS;
    const CONTRACTION_ROWS: usize = V::CONTRACTION_ROWS;

    #[inline(always)]
    unsafe fn add_products(a: V, b: V, sum: V) -> V {
        // SAFETY: as the caller's.
        unsafe { a.multiply_add(b, sum) }
    }
}

impl<V: RegisterTile> Arithmetic for Bf16Pairs<V> {
    type Register = V;
    const PAIRS: bool = true;
    const ROWS: usize = V::ROWS;
    const POSITIONS: usize = V::POSITIONS;
    const CONTRACTION_ROWS: usize = V::CONTRACTION_ROWS;

    #[inline(always)]
    unsafe fn add_products(a: V, b: V, sum: V) -> V {
        // SAFETY: as the caller's.
        unsafe {
            let [(a_low, a_high), (b_low, b_high)] = [a.bf16_halves(), b.bf16_halves()];
            a_high.multiply_add(b_high, a_low.multiply_add(b_low, sum))
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Arithmetic for NativeBf16Pairs {
    type Register = __m512;
    const PAIRS: bool = true;
    const ROWS: usize = <__m512 as RegisterTile>::ROWS;
    const POSITIONS: usize = <__m512 as RegisterTile>::POSITIONS;
    const CONTRACTION_ROWS: usize = <__m512 as RegisterTile>::CONTRACTION_ROWS;

    #[inline(always)]
    unsafe fn add_products(a: __m512, b: __m512, sum: __m512) -> __m512 {
        // SAFETY: both types are 512 bits without invalid values; the caller guarantees AVX512-BF16.
        unsafe {
            _mm512_dpbf16_ps(
                sum,
                std::mem::transmute::<__m512, __m512bh>(a),
                std::mem::transmute::<__m512, __m512bh>(b),
            )
        }
    }

    #[inline(always)]
    unsafe fn pack_line(values: &[[f32; LANES]; 2]) -> Line {
        // SAFETY: sixteen values each; 256 bits are as many in both types; the caller guarantees AVX512-BF16.
        unsafe {
            let low = _mm512_cvtneps_pbh(_mm512_loadu_ps(values[0].as_ptr()));
            let high = _mm512_cvtneps_pbh(_mm512_loadu_ps(values[1].as_ptr()));
            let low = _mm512_cvtepu16_epi32(std::mem::transmute::<__m256bh, __m256i>(low));
            let high = _mm512_cvtepu16_epi32(std::mem::transmute::<__m256bh, __m256i>(high));
            let pairs = _mm512_or_si512(low, _mm512_slli_epi32::<16>(high));
            std::mem::transmute::<__m512i, Line>(pairs)
        }
    }

    #[inline(always)]
    unsafe fn pack_row(values: &[f32; 2 * LANES]) -> Line {
        // SAFETY: twice sixteen values; both types are 512 bits; the caller guarantees AVX512-BF16.
        unsafe {
            let low = _mm512_loadu_ps(values.as_ptr());
            let high = _mm512_loadu_ps(values.as_ptr().add(LANES));
            std::mem::transmute::<__m512bh, Line>(_mm512_cvtne2ps_pbh(high, low))
        }
    }
}

/// A loop to be compiled for each arithmetic.
pub(crate) trait Kernel {
    /// Runs it. To be marked `#[inline(always)]`.
    ///
    /// # Safety
    /// The processor has the registers of `A`.
    unsafe fn run<A: Arithmetic>(self);
}

/// Which instructions multiply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Path {
    level: Level,
    precision: Precision,
    /// Whether vectors of pairs are multiplied without being widened.
    native: bool,
    tiles: Option<TileUnit>,
}

impl Path {
    /// The best this processor has.
    pub(crate) fn detect(precision: Precision) -> Self {
        let level = Level::detect();
        let (native, tiles) = match (precision, Bf16Products::detect()) {
            (Precision::F32, _) | (_, Bf16Products::Widened) => (false, None),
            (Precision::Bf16, Bf16Products::Pairs) => (true, None),
            (Precision::Bf16, Bf16Products::Tiles(unit)) => (true, Some(unit)),
        };
        Self { level, precision, native, tiles }
    }

    /// Every path that this processor has, and with bfloat16 that of the model of tiles.
    #[cfg(test)]
    pub(crate) fn all(precision: Precision) -> Vec<Self> {
        let by_level = |level| Self { level, precision, native: false, tiles: None };
        let mut paths: Vec<Self> = Level::all().into_iter().map(by_level).collect();
        let best = Self::detect(precision);
        paths.push(Self { tiles: None, ..best });
        if precision == Precision::Bf16 {
            paths.push(Self { tiles: Some(TileUnit::Model), ..by_level(Level::Portable) });
        }
        paths.push(best);
        paths.dedup();
        paths
    }

    /// The tile registers that multiply, if any do.
    pub(crate) fn tiles(self) -> Option<TileUnit> {
        self.tiles
    }

    /// The same with one `f32` in each word.
    pub(crate) fn in_f32(self) -> Self {
        Self { precision: Precision::F32, native: false, tiles: None, ..self }
    }

    /// How values are held and multiplied.
    pub(crate) fn precision(self) -> Precision {
        self.precision
    }

    /// Whether a word holds two values.
    pub(crate) fn is_bf16(self) -> bool {
        self.precision == Precision::Bf16
    }

    /// As [`Arithmetic::ROWS`].
    pub(crate) fn rows(self) -> usize {
        match self.level {
            Level::Portable => <[f32; 4] as RegisterTile>::ROWS,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => <__m256 as RegisterTile>::ROWS,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => <__m512 as RegisterTile>::ROWS,
        }
    }

    /// Columns of the register tile of a contraction.
    pub(crate) fn contraction_columns(self, outputs: usize) -> usize {
        #[cfg(not(target_arch = "x86_64"))]
        let _ = outputs;
        match self.level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 if outputs > 16 => 32,
            _ => 16,
        }
    }

    /// Runs `kernel` with the instructions of this path.
    pub(crate) fn run<K: Kernel>(self, kernel: K) {
        // SAFETY: paths are made from levels that were detected.
        unsafe {
            match (self.level, self.precision) {
                (Level::Portable, Precision::F32) => kernel.run::<F32Values<[f32; 4]>>(),
                (Level::Portable, Precision::Bf16) => kernel.run::<Bf16Pairs<[f32; 4]>>(),
                #[cfg(target_arch = "x86_64")]
                (Level::Avx2, Precision::F32) => run_avx2::<K, F32Values<__m256>>(kernel),
                #[cfg(target_arch = "x86_64")]
                (Level::Avx2, Precision::Bf16) => run_avx2::<K, Bf16Pairs<__m256>>(kernel),
                #[cfg(target_arch = "x86_64")]
                (Level::Avx512, Precision::F32) => run_avx512::<K, F32Values<__m512>>(kernel),
                #[cfg(target_arch = "x86_64")]
                (Level::Avx512, Precision::Bf16) if self.native => run_avx512_bf16(kernel),
                #[cfg(target_arch = "x86_64")]
                (Level::Avx512, Precision::Bf16) => run_avx512::<K, Bf16Pairs<__m512>>(kernel),
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2<K: Kernel, A: Arithmetic>(kernel: K) {
    // SAFETY: as the caller's.
    unsafe { kernel.run::<A>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn run_avx512<K: Kernel, A: Arithmetic>(kernel: K) {
    // SAFETY: as the caller's.
    unsafe { kernel.run::<A>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn run_avx512_bf16<K: Kernel>(kernel: K) {
    // SAFETY: as the caller's.
    unsafe { kernel.run::<NativeBf16Pairs>() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRIDE: usize = 19;

    /// Transposes a square whose rows are [`STRIDE`] values apart to rows that are `stride` apart.
    struct Transpose<'a> {
        source: &'a [f32],
        target: &'a mut [f32],
        stride: usize,
    }

    impl Kernel for Transpose<'_> {
        #[inline(always)]
        unsafe fn run<A: Arithmetic>(self) {
            let (source, target) = (self.source.as_ptr(), self.target.as_mut_ptr());
            // SAFETY: the caller guarantees the registers, and both hold sixteen rows.
            unsafe { A::Register::transpose(source, STRIDE, target, self.stride) };
        }
    }

    /// Transposes eight rows of pairs.
    struct TransposePairs<'a> {
        source: &'a [f32],
        target: &'a mut [f32],
        stride: usize,
    }

    impl Kernel for TransposePairs<'_> {
        #[inline(always)]
        unsafe fn run<A: Arithmetic>(self) {
            let (source, target) = (self.source.as_ptr(), self.target.as_mut_ptr());
            // SAFETY: the caller guarantees the registers, and both hold eight rows.
            unsafe { A::Register::transpose_pairs(source, STRIDE, target, self.stride) };
        }
    }

    #[test]
    fn pairs_of_channels_become_pairs_of_images_and_nothing_else_is_written() {
        // Channel and image of each half of a word.
        let half = |channel: usize, image: usize| (channel * 16 + image) as u32;
        let mut source = vec![0.0; 8 * STRIDE];
        for (row, image) in (0..8).flat_map(|row| (0..16).map(move |image| (row, image))) {
            let word = half(2 * row, image) | half(2 * row + 1, image) << 16;
            source[row * STRIDE + image] = f32::from_bits(word);
        }
        for path in Path::all(Precision::Bf16) {
            for stride in [16, 23] {
                let mut target = vec![f32::from_bits(u32::MAX); 8 * stride];
                path.run(TransposePairs { source: &source, target: &mut target, stride });
                for (place, word) in target.iter().enumerate() {
                    let (pair, channel) = (place / stride, place % stride);
                    let expected = if channel < 16 {
                        half(channel, 2 * pair) | half(channel, 2 * pair + 1) << 16
                    } else {
                        u32::MAX
                    };
                    assert_eq!(word.to_bits(), expected, "channel {channel} of pair {pair} at {path:?}");
                }
            }
        }
    }

    #[test]
    fn rows_become_columns_and_nothing_else_is_written() {
        let source: Vec<f32> = (0..16 * STRIDE).map(|place| place as f32).collect();
        for path in Path::all(Precision::F32) {
            for stride in [16, 23] {
                let mut target = vec![-1.0; 16 * stride];
                path.run(Transpose { source: &source, target: &mut target, stride });
                for (place, value) in target.iter().enumerate() {
                    let (column, row) = (place / stride, place % stride);
                    let expected = if row < 16 { (row * STRIDE + column) as f32 } else { -1.0 };
                    assert_eq!(*value, expected, "row {row} of column {column} at {path:?}");
                }
            }
        }
    }
}
