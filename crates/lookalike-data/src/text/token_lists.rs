//! Token lists, packed: what an encoder takes.

/// The token lists of many texts, one after another, without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenLists {
    /// The ids of all lists.
    pub ids: Vec<u32>,
    /// Where each list begins in `ids`, and last the number of ids: one more entry than there are lists.
    pub offsets: Vec<usize>,
}

impl Default for TokenLists {
    fn default() -> Self {
        Self { ids: Vec::new(), offsets: vec![0] }
    }
}

impl TokenLists {
    /// Number of lists.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there is no list at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of ids of all lists together.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// Length of the longest list; 0 where there is none.
    pub fn longest(&self) -> usize {
        self.offsets.windows(2).map(|ends| ends[1] - ends[0]).max().unwrap_or(0)
    }

    /// The ids of list `index`.
    ///
    /// # Panics
    ///
    /// If `index` is out of range.
    pub fn list(&self, index: usize) -> &[u32] {
        &self.ids[self.offsets[index]..self.offsets[index + 1]]
    }

    /// All lists in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        self.offsets.windows(2).map(|ends| &self.ids[ends[0]..ends[1]])
    }

    /// The lists of `instances`, in their order; an instance may come several times.
    ///
    /// # Panics
    ///
    /// If an instance is out of range.
    #[must_use]
    pub fn select(&self, instances: &[u32]) -> Self {
        let lists = || instances.iter().map(|instance| self.list(*instance as usize));
        let mut chosen = Self::default();
        chosen.ids.reserve_exact(lists().map(<[u32]>::len).sum());
        chosen.offsets.reserve_exact(instances.len());
        lists().for_each(|list| chosen.push(list));
        chosen
    }

    /// The lists of all `parts`, one part after another.
    #[must_use]
    pub fn joined(parts: &[&Self]) -> Self {
        let mut all = Self::default();
        all.ids.reserve_exact(parts.iter().map(|part| part.ids.len()).sum());
        all.offsets.reserve_exact(parts.iter().map(|part| part.len()).sum());
        for part in parts {
            let before = all.ids.len();
            all.ids.extend_from_slice(&part.ids);
            all.offsets.extend(part.offsets.iter().skip(1).map(|end| before + end));
        }
        all
    }

    /// Adds a list at the end.
    pub fn push(&mut self, list: &[u32]) {
        self.ids.extend_from_slice(list);
        self.offsets.push(self.ids.len());
    }

    /// Whether the offsets begin at 0, never fall, and end with the number of ids.
    pub fn is_consistent(&self) -> bool {
        self.offsets.first() == Some(&0)
            && self.offsets.last() == Some(&self.ids.len())
            && self.offsets.windows(2).all(|ends| ends[0] <= ends[1])
    }
}

impl<L: AsRef<[u32]>> FromIterator<L> for TokenLists {
    fn from_iter<I: IntoIterator<Item = L>>(lists: I) -> Self {
        let mut all = Self::default();
        lists.into_iter().for_each(|list| all.push(list.as_ref()));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lists: &[&[u32]]) -> TokenLists {
        lists.iter().copied().collect()
    }

    #[test]
    fn lists_are_packed_one_after_another() {
        let lists = of(&[&[1, 2], &[], &[3]]);
        assert_eq!((lists.ids.as_slice(), lists.offsets.as_slice()), (&[1, 2, 3][..], &[0, 2, 2, 3][..]));
        assert_eq!((lists.len(), lists.tokens(), lists.longest()), (3, 3, 2));
        assert_eq!(lists.iter().collect::<Vec<_>>(), [&[1, 2][..], &[], &[3]]);
        assert!(
            lists.is_consistent()
                && TokenLists::default().is_consistent()
                && TokenLists::default().is_empty()
        );
    }

    #[test]
    fn selecting_repeats_and_joining_appends() {
        let lists = of(&[&[1, 2], &[], &[3]]);
        let chosen = lists.select(&[2, 0, 2]);
        assert_eq!(chosen, of(&[&[3], &[1, 2], &[3]]));
        assert_eq!(TokenLists::joined(&[&chosen, &TokenLists::default(), &lists]).list(4), [] as [u32; 0]);
        assert_eq!(
            TokenLists::joined(&[&lists, &chosen]).iter().map(<[u32]>::len).collect::<Vec<_>>(),
            [2, 0, 1, 1, 2, 1]
        );
        assert_eq!(TokenLists::joined(&[]), TokenLists::default());
    }

    #[test]
    fn offsets_that_lie_are_seen() {
        for offsets in [vec![], vec![1, 2], vec![0, 1], vec![0, 2, 1, 2]] {
            assert!(!TokenLists { ids: vec![7, 8], offsets }.is_consistent());
        }
    }
}
