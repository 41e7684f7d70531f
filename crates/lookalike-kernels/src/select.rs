//! Keeping the k best of a stream of similarities.

use std::cmp::Reverse;

/// The k most similar entries seen so far; equal similarities are won by the lower index.
///
/// Entries that cannot be among the best any more are turned away by one comparison; the rest are gathered and
/// thinned out when twice as many as needed have come together, which costs a constant an entry.
pub(crate) struct Selection {
    k: usize,
    /// Entries as numbers that order as they do: similarity above, complement of the index below.
    keys: Vec<u64>,
    /// No entry below this similarity can be among the best; NaN as long as there is no such bound.
    threshold: f32,
}

impl Selection {
    pub(crate) fn new(k: usize) -> Self {
        Self { k, keys: Vec::with_capacity(2 * k), threshold: f32::NAN }
    }

    /// Takes the `similarities` of entries whose indices `index_of` gives.
    pub(crate) fn offer(&mut self, similarities: &[f32], index_of: impl Fn(usize) -> u32) {
        // Most chunks are turned away whole, by a test that the compiler turns into vector instructions.
        const CHUNK: usize = 16;
        for (chunk, values) in similarities.chunks(CHUNK).enumerate() {
            if values.iter().filter(|value| **value < self.threshold).count() == values.len() {
                continue;
            }
            for (offset, similarity) in values.iter().enumerate() {
                if *similarity < self.threshold {
                    continue;
                }
                if self.keys.len() == 2 * self.k {
                    self.thin_out();
                }
                self.keys.push(key(*similarity, index_of(chunk * CHUNK + offset)));
            }
        }
    }

    fn thin_out(&mut self) {
        if self.keys.len() > self.k {
            let (_, worst, _) = self.keys.select_nth_unstable_by_key(self.k - 1, |key| Reverse(*key));
            self.threshold = similarity_of(*worst);
            self.keys.truncate(self.k);
        }
    }

    /// Writes the best entries, most similar first, and makes the selection empty again.
    pub(crate) fn finish(&mut self, indices: &mut [u32], similarities: &mut [f32]) {
        self.thin_out();
        self.keys.sort_unstable_by_key(|key| Reverse(*key));
        for ((index, similarity), key) in indices.iter_mut().zip(similarities).zip(&self.keys) {
            *index = !(*key as u32);
            *similarity = similarity_of(*key);
        }
        self.keys.clear();
        self.threshold = f32::NAN;
    }
}

/// A number that is the larger the more similar an entry is, and among equals the lower its index; NaN comes last.
fn key(similarity: f32, index: u32) -> u64 {
    // Adding 0 makes −0 and 0 the same bits.
    let bits = (similarity + 0.0).to_bits();
    let ordered = match similarity {
        _ if similarity.is_nan() => 0,
        _ if bits >> 31 == 0 => bits | 1 << 31,
        _ => !bits,
    };
    u64::from(ordered) << 32 | u64::from(!index)
}

fn similarity_of(key: u64) -> f32 {
    let ordered = (key >> 32) as u32;
    match ordered {
        0 => f32::NAN,
        _ if ordered >> 31 == 1 => f32::from_bits(ordered & !(1 << 31)),
        _ => f32::from_bits(!ordered),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sorts everything.
    fn obvious_selection(entries: &[(u32, f32)], k: usize) -> Vec<(u32, f32)> {
        let mut sorted = entries.to_vec();
        sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        sorted.truncate(k);
        sorted
    }

    proptest! {
        #[test]
        fn the_selection_is_the_head_of_the_sorted_list_in_whatever_order_entries_come(
            // Few distinct values, so that ties are common.
            values in prop::collection::vec(-3_i8..4, 1..300),
            k in 1_usize..40,
            shift in 0_usize..300,
        ) {
            let k = k.min(values.len());
            let mut entries: Vec<(u32, f32)> =
                values.iter().enumerate().map(|(index, value)| (index as u32, f32::from(*value))).collect();
            entries.rotate_left(shift % values.len());
            let similarities: Vec<f32> = entries.iter().map(|entry| entry.1).collect();
            let mut selection = Selection::new(k);
            let (mut kept, mut best) = (vec![0; k], vec![0.0; k]);
            // Twice, because a selection is used again.
            for _ in 0..2 {
                selection.offer(&similarities, |at| entries[at].0);
                selection.finish(&mut kept, &mut best);
                let found: Vec<(u32, f32)> = kept.iter().copied().zip(best.iter().copied()).collect();
                prop_assert_eq!(&found, &obvious_selection(&entries, k));
            }
        }
    }

    #[test]
    fn what_is_not_a_number_comes_after_everything_that_is() {
        let mut selection = Selection::new(3);
        selection.offer(&[f32::NAN, f32::NEG_INFINITY, f32::NAN, 0.0, -0.0, f32::INFINITY], |at| at as u32);
        let (mut indices, mut similarities) = ([0; 3], [0.0; 3]);
        selection.finish(&mut indices, &mut similarities);
        assert_eq!(indices, [5, 3, 4]);
        selection.offer(&[f32::NAN, f32::NAN, f32::NEG_INFINITY], |at| at as u32);
        selection.finish(&mut indices, &mut similarities);
        assert_eq!(indices, [2, 0, 1]);
        assert!(similarities[1].is_nan());
    }
}
