use lookalike_base::Seed;

use super::*;
use crate::bf16;

/// Sums of two by two tiles over some words, which begin with what is there, or with 0.
struct Products<'a> {
    left: &'a [u32],
    right: &'a [u32],
    words: usize,
    base: bool,
    sums: &'a mut [f32],
}

impl TileKernel for Products<'_> {
    #[inline(always)]
    unsafe fn run<T: Tiles>(self, tiles: &mut T) {
        let Self { left, right, words, base, sums } = self;
        assert!(left.len() == 2 * SIDE * words && right.len() == 2 * SIDE * words);
        assert_eq!(sums.len(), 4 * SQUARE);
        // SAFETY: by the assertions there are two tiles of each operand for each sixteen words, and four of sums.
        unsafe {
            let columns = side_by_side(sums.as_mut_ptr());
            let mut block = if base {
                SumBlock::<T, 2, 2>::load(tiles, columns.map(<*mut f32>::cast_const), 2 * SIDE)
            } else {
                SumBlock::<T, 2, 2>::zeros(tiles)
            };
            for word in (0..words).step_by(SIDE) {
                let rows = [0, SIDE].map(|row| left.as_ptr().add(row * words + word));
                let right = [0, SIDE].map(|column| right.as_ptr().add(word * 2 * SIDE + column));
                block.add(rows, words, right, 2 * SIDE);
            }
            block.store(columns, 2 * SIDE);
        }
    }
}

fn units() -> Vec<TileUnit> {
    std::iter::once(TileUnit::Model).chain(TileUnit::detect()).collect()
}

fn products(unit: TileUnit, [left, right]: [&[u32]; 2], words: usize, base: Option<&[f32]>) -> Vec<f32> {
    let mut sums = base.map_or_else(|| vec![f32::NAN; 4 * SQUARE], <[f32]>::to_vec);
    unit.run(Products { left, right, words, base: base.is_some(), sums: &mut sums });
    sums
}

#[test]
fn sums_are_those_of_the_obvious_loop() {
    for words in [16, 48] {
        let mut stream = Seed(5).stream("test", 0, 0, words as u64);
        // Small whole numbers have exact sums.
        let mut values =
            |count: usize| (0..count).map(|_| stream.below(9) as f32 - 4.0).collect::<Vec<f32>>();
        let (left, right, base) = (values(64 * words), values(64 * words), values(4 * SQUARE));
        let row_words: Vec<u32> = left.chunks(2).map(|two| bf16::pair(two[0], two[1])).collect();
        let columns = 2 * SIDE;
        let column_words: Vec<u32> = (0..words * columns)
            .map(|place| {
                let (word, column) = (place / columns, place % columns);
                bf16::pair(right[2 * word * columns + column], right[(2 * word + 1) * columns + column])
            })
            .collect();
        for unit in units() {
            let found = products(unit, [&row_words, &column_words], words, Some(&base));
            for (place, (found, base)) in found.iter().zip(&base).enumerate() {
                let (row, column) = (place / columns, place % columns);
                let terms =
                    (0..2 * words).map(|term| left[row * 2 * words + term] * right[term * columns + column]);
                assert_eq!(*found, base + terms.sum::<f32>(), "{unit:?} at {place}");
            }
        }
    }
}

#[test]
fn the_model_has_the_bits_of_the_processor() {
    let mut stream = Seed(6).stream("test", 0, 0, 0);
    let same = |found: &f32, expected: &f32| {
        found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan())
    };
    for round in 0..300 {
        let words = 16 * (1 + round % 3);
        // Of similar size; of every size, also infinite and not normal; and such that sums are not normal.
        let mut word = || match round % 3 {
            0 => bf16::pair(stream.normal(), stream.normal()),
            1 => stream.bits() as u32,
            _ => {
                let tiny = f32::from_bits(0x2000_0000);
                bf16::pair(stream.normal() * tiny, stream.normal() * tiny)
            }
        };
        let left: Vec<u32> = (0..2 * SIDE * words).map(|_| word()).collect();
        let right: Vec<u32> = (0..2 * SIDE * words).map(|_| word()).collect();
        let base: Vec<f32> = (0..4 * SQUARE).map(|_| f32::from_bits(word())).collect();
        for base in [None, Some(&base[..])] {
            let expected = products(TileUnit::Model, [&left, &right], words, base);
            for unit in units() {
                let found = products(unit, [&left, &right], words, base);
                for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    assert!(same(found, expected), "{found:e} is not {expected:e}: {unit:?} {round} {place}");
                }
            }
        }
    }
}

#[test]
fn what_is_not_normal_with_all_its_bits_is_zero() {
    // 2⁻¹²⁶ − 1.5 · 2⁻¹⁵¹ is the least normal number only if it is rounded to the bits that are left below that.
    let power = |exponent: i32| 2.0_f32.powi(exponent);
    let (mut left, mut right) = (vec![0; 2 * SQUARE], vec![0; 2 * SQUARE]);
    left[0] = bf16::pair(power(-63), 0.0);
    left[1] = bf16::pair(1.5 * power(-75), 0.0);
    right[0] = bf16::pair(power(-63), 0.0);
    right[2 * SIDE] = bf16::pair(-power(-76), 0.0);
    for unit in units() {
        assert_eq!(products(unit, [&left, &right], SIDE, None)[0], 0.0, "{unit:?}");
    }
    right[2 * SIDE] = 0;
    for unit in units() {
        assert_eq!(products(unit, [&left, &right], SIDE, None)[0], f32::MIN_POSITIVE, "{unit:?}");
    }
}

#[test]
fn halves_are_summed_apart_and_added_at_last() {
    // 2²⁴ + 1 is no f32: the order of additions shows in the sum.
    let big = 16_777_216.0_f32;
    let (mut left, mut right) = (vec![0; 2 * SQUARE], vec![0; 2 * SQUARE]);
    for word in 0..SIDE {
        right[word * 2 * SIDE] = bf16::pair(1.0, 1.0);
    }
    // Lower halves: 2²⁴, then fifteen ones that are lost. Upper halves: sixteen ones, which are added as 16.
    left[..SIDE].fill(bf16::pair(1.0, 1.0));
    left[0] = bf16::pair(big, 1.0);
    for unit in units() {
        let found = products(unit, [&left, &right], SIDE, None);
        assert_eq!(found[0], big + 16.0, "{unit:?}");
        let found = products(unit, [&left, &right], SIDE, Some(&vec![1.0; 4 * SQUARE]));
        assert_eq!(found[0], big + 16.0, "{unit:?}");
        assert_eq!(found[1], 1.0, "{unit:?}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn threads_that_were_there_before_and_threads_at_once_have_registers_of_their_own() {
    let waiting = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let waiting = &waiting;
            scope.spawn(move || {
                waiting.wait();
                for unit in units() {
                    for round in 0..50 {
                        let value = bf16::pair((thread + round) as f32, 1.0);
                        let (left, right) = (vec![value; 2 * SQUARE], vec![bf16::pair(1.0, 0.0); 2 * SQUARE]);
                        let found = products(unit, [&left, &right], SIDE, None);
                        assert!(found.iter().all(|found| *found == 16.0 * (thread + round) as f32));
                    }
                }
            });
        }
    });
}
