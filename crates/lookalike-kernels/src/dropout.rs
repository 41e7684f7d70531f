//! Masks of dropout, each number of which hangs on a key and a counter alone: no order of drawing, so any part of a mask can be made by
//! itself, on any number of threads, and made again.

use rayon::prelude::*;

/// Values that one task makes.
const TASK: usize = 1 << 14;

/// Where a row of a mask stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Tells rows of different instances, views, layers and steps apart.
    pub key: u64,
    /// The counter of the row's first value; the others follow.
    pub first: u32,
}

/// 32 bits that hang on a key and a counter: two rounds of an integer hash with low bias (the constants of Wellons's `lowbias32`),
/// each keyed by one half of the key.
#[must_use]
#[inline]
pub fn bits(key: u64, counter: u32) -> u32 {
    mixed(mixed(counter ^ key as u32) ^ (key >> 32) as u32)
}

#[inline]
fn mixed(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ x >> 16
}

/// The number of 2²⁴ below which a value's upper 24 bits lie if it is dropped with `probability`.
#[must_use]
pub fn threshold(probability: f32) -> u32 {
    (f64::from(probability) * f64::from(1 << 24)).round() as u32
}

/// A mask of as many rows as `places`, of `width` values each: 0 with `probability`, else 1 / (1 − `probability`).
///
/// # Panics
/// Where `probability` is not from 0 to below 1.
#[must_use]
pub fn mask(places: &[Place], width: usize, probability: f32) -> Vec<f32> {
    assert!((0.0..1.0).contains(&probability), "a probability of dropping from 0 to below 1");
    let (threshold, scale) = (threshold(probability), 1.0 / (1.0 - probability));
    let mut values = vec![0.0; places.len() * width];
    if values.is_empty() {
        return values;
    }
    let rows = TASK.div_ceil(width);
    values.par_chunks_mut(rows * width).zip(places.par_chunks(rows)).for_each(|(values, places)| {
        for (row, place) in values.chunks_exact_mut(width).zip(places) {
            for (value, index) in row.iter_mut().zip(0_u32..) {
                let kept = bits(place.key, place.first.wrapping_add(index)) >> 8 >= threshold;
                *value = if kept { scale } else { 0.0 };
            }
        }
    });
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many keys as `rows`, which differ in few bits.
    fn places(rows: u64) -> Vec<Place> {
        (0..rows).map(|row| Place { key: row << 20 | 5, first: 0 }).collect()
    }

    #[test]
    fn values_are_dropped_as_often_as_asked_for_and_the_mean_stays() {
        for probability in [0.1, 0.5, 0.9] {
            let mask = mask(&places(1000), 768, probability);
            let dropped = mask.iter().filter(|value| **value == 0.0).count() as f64 / mask.len() as f64;
            // Four standard deviations of 768,000 draws.
            let bound = 4.0 * (f64::from(probability * (1.0 - probability)) / mask.len() as f64).sqrt();
            assert!((dropped - f64::from(probability)).abs() < bound, "{probability}: {dropped}");
            let kept = 1.0 / (1.0 - probability);
            assert!(mask.iter().all(|value| *value == 0.0 || *value == kept));
        }
        assert!(mask(&places(3), 5, 0.0).iter().all(|value| *value == 1.0));
        assert!(mask(&[], 5, 0.5).is_empty() && mask(&places(3), 0, 0.5).is_empty());
    }

    #[test]
    fn neighbours_rows_and_columns_are_independent() {
        let (rows, width) = (512, 512);
        let mask = mask(&places(rows), width, 0.5);
        let agree = |pairs: &mut dyn Iterator<Item = (usize, usize)>| {
            let (mut same, mut all) = (0_u32, 0_u32);
            for (one, other) in pairs {
                same += u32::from(mask[one] == mask[other]);
                all += 1;
            }
            (f64::from(same) / f64::from(all) - 0.5).abs() * f64::from(all).sqrt() * 2.0
        };
        let count = mask.len();
        for distance in [1, 2, 8, width, 2 * width] {
            let deviations = agree(&mut (0..count - distance).map(|index| (index, index + distance)));
            assert!(deviations < 4.0, "at distance {distance}: {deviations} standard deviations");
        }
        for (row, values) in mask.chunks(width).enumerate() {
            let kept = values.iter().filter(|value| **value > 0.0).count() as f64;
            let deviations = (kept - 256.0).abs() / (512.0_f64 / 4.0).sqrt();
            assert!(deviations < 5.0, "row {row}: {deviations} standard deviations");
        }
    }

    #[test]
    fn a_part_of_a_mask_is_the_same_by_itself_and_on_any_number_of_threads() {
        let all = places(300);
        let whole = mask(&all, 100, 0.3);
        let later: Vec<Place> = all[40..41].iter().map(|place| Place { first: 7, ..*place }).collect();
        assert_eq!(mask(&later, 93, 0.3), whole[40 * 100 + 7..41 * 100]);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(pool.install(|| mask(&all, 100, 0.3)), whole);
    }
}
