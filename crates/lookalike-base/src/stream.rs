//! Named, counter-based random streams: the only source of random numbers in Lookalike.
//!
//! A stream is addressed by (seed, purpose, epoch, step, instance) and holds the same numbers whoever asks for it,
//! in whatever order, on whatever thread and machine. Nothing has to be saved to resume: the address is the state.
//! The generator is `ChaCha8` (Bernstein 2008); seed, purpose, epoch and step fill its key, the instance its stream number. Everything
//! above the generator (bounds, normals, shuffles) is written here, so that values never change with a dependency.

use chacha20::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// The one seed of a run, from which every stream is derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed(pub u64);

impl Seed {
    /// The stream for `purpose` at (`epoch`, `step`, `instance`); coordinates that do not apply are 0.
    ///
    /// Different addresses give independent streams. `purpose` names the use, for instance `"augment"`.
    pub fn stream(self, purpose: &str, epoch: u64, step: u64, instance: u64) -> Stream {
        let mut key = [0; 32];
        for (bytes, word) in key.chunks_exact_mut(8).zip([self.0, fnv1a(purpose.as_bytes()), epoch, step]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream(instance);
        Stream { generator }
    }
}

/// FNV-1a, 64 bits: short and fixed for ever, which the standard library's hashers are not.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// One stream of random numbers.
#[derive(Debug)]
pub struct Stream {
    generator: ChaCha8Rng,
}

impl Stream {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.generator.next_u64()
    }

    /// Uniform in [0, 1), 24 random bits.
    pub fn unit(&mut self) -> f32 {
        (self.generator.next_u32() >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    /// Uniform in [0, 1), 53 random bits.
    pub fn unit_f64(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Uniform in [`low`, `high`).
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        (f64::from(low) + (f64::from(high) - f64::from(low)) * self.unit_f64()) as f32
    }

    /// True with `probability`.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// A uniform integer below `bound`, without bias (Lemire 2019, <https://doi.org/10.1145/3230636>).
    ///
    /// # Panics
    /// Where `bound` is 0: there is no such integer.
    pub fn below(&mut self, bound: u32) -> u32 {
        assert!(bound > 0, "there is no integer below 0");
        let mut product = u64::from(self.generator.next_u32()) * u64::from(bound);
        if (product as u32) < bound {
            let threshold = bound.wrapping_neg() % bound;
            while (product as u32) < threshold {
                product = u64::from(self.generator.next_u32()) * u64::from(bound);
            }
        }
        (product >> 32) as u32
    }

    /// A standard normal number (Box and Muller 1958).
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.unit_f64()).ln()).sqrt();
        let angle = 2.0 * std::f64::consts::PI * self.unit_f64();
        (radius * angle.cos()) as f32
    }

    /// Puts `items` into uniformly random order (Fisher and Yates).
    ///
    /// # Panics
    /// Where there are more than 2³² items.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other =
                self.below(u32::try_from(last + 1).unwrap_or_else(|_| unreachable!("more than 2³² items")));
            items.swap(last, other as usize);
        }
    }

    /// A uniformly random order of 0, 1, …, `count` − 1.
    pub fn permutation(&mut self, count: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..count).collect();
        self.shuffle(&mut order);
        order
    }

    /// `amount` distinct integers below `bound`, a uniformly random subset in no particular order (Floyd's method).
    ///
    /// # Panics
    /// Where `amount` exceeds `bound`.
    pub fn distinct(&mut self, amount: u32, bound: u32) -> Vec<u32> {
        assert!(amount <= bound, "cannot draw {amount} distinct integers below {bound}");
        let mut seen = std::collections::HashSet::with_capacity(amount as usize);
        let mut drawn = Vec::with_capacity(amount as usize);
        for top in bound - amount..bound {
            let candidate = self.below(top + 1);
            let chosen = if seen.insert(candidate) { candidate } else { top };
            seen.insert(chosen);
            drawn.push(chosen);
        }
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_address_gives_the_same_numbers() {
        let [mut a, mut b] = [(); 2].map(|()| Seed(7).stream("augment", 1, 2, 3));
        assert_eq!([(); 8].map(|()| a.bits()), [(); 8].map(|()| b.bits()));
    }

    #[test]
    fn every_coordinate_of_the_address_changes_the_stream() {
        let first =
            |seed, purpose, epoch, step, instance| Seed(seed).stream(purpose, epoch, step, instance).bits();
        let streams = [
            first(7, "augment", 1, 2, 3),
            first(8, "augment", 1, 2, 3),
            first(7, "walk", 1, 2, 3),
            first(7, "augment", 2, 2, 3),
            first(7, "augment", 1, 3, 3),
            first(7, "augment", 1, 2, 4),
        ];
        assert_eq!(std::collections::HashSet::from(streams).len(), streams.len());
    }

    #[test]
    fn values_are_fixed_for_ever() {
        let mut stream = Seed(0).stream("test", 0, 0, 0);
        let values = (stream.bits(), stream.below(1000), stream.unit(), stream.normal());
        let (bits, below, unit, normal) = values;
        assert_eq!(
            (bits, below, unit.to_bits(), normal.to_bits()),
            (11_634_523_973_351_626_628, 610, 0x3f21_f594, 0x3fcc_3b01)
        );
    }

    #[test]
    fn integers_below_a_bound_are_uniform() {
        let mut stream = Seed(1).stream("test", 0, 0, 0);
        let mut counts = [0_i32; 7];
        (0..70_000).for_each(|_| counts[stream.below(7) as usize] += 1);
        assert!(counts.iter().all(|count| (count - 10_000).abs() < 500), "{counts:?}");
    }

    #[test]
    fn normals_have_mean_zero_and_variance_one() {
        let mut stream = Seed(2).stream("test", 0, 0, 0);
        let values: Vec<f64> = (0..100_000).map(|_| f64::from(stream.normal())).collect();
        let mean = values.iter().sum::<f64>() / 1e5;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }

    #[test]
    fn distinct_integers_are_distinct_and_each_subset_is_equally_likely() {
        let mut stream = Seed(3).stream("test", 0, 0, 0);
        let mut pairs = std::collections::HashMap::new();
        for _ in 0..60_000 {
            let mut drawn = stream.distinct(2, 4);
            drawn.sort_unstable();
            *pairs.entry(drawn).or_insert(0_i32) += 1;
        }
        assert_eq!(pairs.len(), 6);
        assert!(pairs.values().all(|count| (count - 10_000).abs() < 500), "{pairs:?}");
        assert_eq!(stream.distinct(5, 5).iter().sum::<u32>(), 10);
    }
}
