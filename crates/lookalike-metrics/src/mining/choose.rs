//! Which of the documents near one query become its negatives.

use super::{LeftOut, MiningOptions, MiningStrategy};

/// What a document must be to become a negative of one query.
pub(super) struct Limits<'a> {
    pub(super) options: &'a MiningOptions,
    /// The end of the window of ranks.
    pub(super) end: usize,
    /// The documents that answer the query, in ascending order.
    pub(super) relevant: Vec<u32>,
    /// The cosine of the least similar of them.
    pub(super) positive: f32,
}

impl Limits<'_> {
    /// Negatives of the query `query`, most similar first, among the documents near it, most similar first; and what was left out.
    pub(super) fn choose(
        &self,
        near: impl Iterator<Item = (u32, f32)>,
        query: u32,
    ) -> (Vec<(u32, f32)>, LeftOut) {
        let mut left_out = LeftOut::default();
        let fitting =
            near.filter(|(document, similarity)| match self.reason(*document, *similarity, &mut left_out) {
                None => true,
                Some(count) => {
                    *count += 1;
                    false
                }
            });
        let fitting: Vec<(u32, f32)> = fitting.collect();
        let window = fitting.get(self.options.range_min..self.end.min(fitting.len())).unwrap_or_default();
        let wanted = self.options.negatives.min(window.len());
        let chosen = match self.options.strategy {
            MiningStrategy::Top => window[..wanted].to_vec(),
            MiningStrategy::Random => {
                let mut stream = self.options.seed.stream("mine", 0, 0, u64::from(query));
                let mut places = stream.distinct(wanted as u32, window.len() as u32);
                places.sort_unstable();
                places.into_iter().map(|place| window[place as usize]).collect()
            }
        };
        (chosen, left_out)
    }

    /// The count of what forbids a document, if anything does. As in sentence-transformers, sums and limits are rounded to `f32`.
    fn reason<'c>(&self, document: u32, similarity: f32, left_out: &'c mut LeftOut) -> Option<&'c mut u64> {
        let MiningOptions { absolute_margin, relative_margin, max_score, min_score, .. } = *self.options;
        if self.relevant.binary_search(&document).is_ok() {
            return Some(&mut left_out.relevant);
        }
        if absolute_margin.is_some_and(|margin| similarity + margin > self.positive) {
            return Some(&mut left_out.absolute_margin);
        }
        let share = |margin| self.positive - self.positive.abs() * margin;
        if relative_margin.is_some_and(|margin| similarity > share(margin)) {
            return Some(&mut left_out.relative_margin);
        }
        if max_score.is_some_and(|most| similarity > most) {
            return Some(&mut left_out.max_score);
        }
        if min_score.is_some_and(|least| similarity < least) {
            return Some(&mut left_out.min_score);
        }
        None
    }
}
