//! Views of a text: changes of its list of tokens, drawn anew each time.
//!
//! Special tokens at the beginning and the end, and a prompt, stay as they are: [`Around`] says how many they are.

use std::ops::Range;

use lookalike_base::Stream;

use super::TokenLists;

/// How many tokens stand before and behind those of a text itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Around {
    /// Those that begin every text, and those of a prompt.
    pub before: usize,
    /// Those that end every text.
    pub behind: usize,
}

impl Around {
    /// Where the tokens of the text itself stand in a list of `length`.
    pub fn own(self, length: usize) -> Range<usize> {
        let begin = self.before.min(length);
        begin..length.saturating_sub(self.behind).max(begin)
    }
}

/// A span of 30 to 70 % of the tokens in their order, one at least. The share, and then the place, are uniform ("Cropping outperforms
/// dropout", 2025, <https://arxiv.org/abs/2508.03453>).
pub fn crop(list: &[u32], around: Around, stream: &mut Stream) -> Vec<u32> {
    let own = around.own(list.len());
    let length = (f64::from(stream.range(0.3, 0.7)) * own.len() as f64).round() as usize;
    let length = length.max(1).min(own.len());
    let first = own.start + stream.below((own.len() - length + 1) as u32) as usize;
    [&list[..own.start], &list[first..first + length], &list[own.end..]].concat()
}

/// Each token is left out with probability 0.1. Where none would be left, one drawn at random stays.
pub fn delete(list: &[u32], around: Around, stream: &mut Stream) -> Vec<u32> {
    let own = around.own(list.len());
    let mut kept: Vec<u32> = list[own.clone()].iter().copied().filter(|_| !stream.chance(0.1)).collect();
    if kept.is_empty() && !own.is_empty() {
        kept.push(list[own.start + stream.below(own.len() as u32) as usize]);
    }
    [&list[..own.start], &kept, &list[own.end..]].concat()
}

/// Some tokens stand twice: 0 up to max(2, 0.32 · N) of the N, each number equally likely, drawn without repetition (`ESimCSE`, Wu et al.
/// 2021, section 3.1, <https://arxiv.org/abs/2109.04380>). No list becomes longer than `most`.
pub fn repeat(list: &[u32], around: Around, most: Option<usize>, stream: &mut Stream) -> Vec<u32> {
    let own = around.own(list.len());
    let room = most.map_or(usize::MAX, |most| most.saturating_sub(list.len()));
    let greatest = ((0.32 * own.len() as f64) as usize).max(2).min(own.len());
    let count = (stream.below(greatest as u32 + 1) as usize).min(room);
    let mut twice = stream.distinct(count as u32, own.len() as u32);
    twice.sort_unstable();
    let mut view = Vec::with_capacity(list.len() + count);
    view.extend_from_slice(&list[..own.start]);
    let mut twice = twice.into_iter().peekable();
    for (token, place) in list[own.clone()].iter().zip(0..) {
        view.push(*token);
        if twice.next_if_eq(&place).is_some() {
            view.push(*token);
        }
    }
    view.extend_from_slice(&list[own.end..]);
    view
}

/// Stands among [`Masked::originals`] for a token that is not to be told.
pub const NOT_A_TARGET: u32 = u32::MAX;

/// What a masked token becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaskTokens {
    /// The token `[MASK]`.
    pub mask: u32,
    /// The size of the vocabulary, of which random tokens are drawn.
    pub vocabulary: u32,
}

/// Texts some of whose tokens are hidden and to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Masked {
    /// The texts, masked.
    pub tokens: TokenLists,
    /// For each token the one that is to be told in its place, or [`NOT_A_TARGET`].
    pub originals: TokenLists,
}

impl Masked {
    /// Adds `list` masked for a masked language model: each token is a target with probability 0.15; a target is `[MASK]` with
    /// probability 0.8, a random token of the vocabulary with 0.1, and else stays (BERT, Devlin et al. 2019, section 3.1,
    /// <https://arxiv.org/abs/1810.04805>; target by target, as the collator of the library transformers draws them).
    pub fn push(&mut self, list: &[u32], around: Around, tokens: MaskTokens, stream: &mut Stream) {
        let mut originals = vec![NOT_A_TARGET; list.len()];
        let mut masked = list.to_vec();
        for place in around.own(list.len()) {
            if !stream.chance(0.15) {
                continue;
            }
            originals[place] = list[place];
            let choice = stream.unit();
            if choice < 0.8 {
                masked[place] = tokens.mask;
            } else if choice < 0.9 {
                masked[place] = stream.below(tokens.vocabulary);
            }
        }
        self.tokens.push(&masked);
        self.originals.push(&originals);
    }
}

#[cfg(test)]
mod tests {
    use lookalike_base::Seed;

    use super::*;

    const AROUND: Around = Around { before: 2, behind: 1 };

    fn streams(count: u64) -> impl Iterator<Item = Stream> {
        (0..count).map(|instance| Seed(4).stream("view", 0, 0, instance))
    }

    /// A list of `own` tokens from 100 on between special ones.
    fn list(own: u32) -> Vec<u32> {
        [vec![1, 7], (100..100 + own).collect(), vec![2]].concat()
    }

    /// Calls `check` with the tokens of the text itself, whose surroundings have been checked.
    fn each(own: u32, view: impl Fn(&[u32], &mut Stream) -> Vec<u32>, mut check: impl FnMut(&[u32])) {
        for mut stream in streams(2000) {
            let found = view(&list(own), &mut stream);
            let (before, rest) = found.split_at(2);
            let (inner, behind) = rest.split_at(rest.len() - 1);
            assert_eq!((before, behind), (&[1, 7][..], &[2][..]));
            check(inner);
        }
    }

    #[test]
    fn a_crop_is_a_span_of_30_to_70_percent_anywhere_in_the_text() {
        let (mut first, mut last, mut lengths) = (0, 0, std::collections::BTreeSet::new());
        each(
            20,
            |list, stream| crop(list, AROUND, stream),
            |own| {
                assert!(own.windows(2).all(|pair| pair[1] == pair[0] + 1));
                lengths.insert(own.len());
                first += u32::from(own[0] == 100);
                last += u32::from(own[own.len() - 1] == 119);
            },
        );
        assert_eq!(lengths, (6..=14).collect());
        assert!(first > 50 && last > 50, "{first} {last}");
    }

    #[test]
    fn deleted_tokens_are_a_tenth_and_the_rest_keeps_its_order() {
        let mut kept = 0;
        each(
            20,
            |list, stream| delete(list, AROUND, stream),
            |own| {
                assert!(own.windows(2).all(|pair| pair[0] < pair[1]));
                kept += own.len();
            },
        );
        let share = kept as f64 / (2000.0 * 20.0);
        assert!((share - 0.9).abs() < 0.01, "{share}");
    }

    #[test]
    fn repeated_tokens_stand_side_by_side_and_are_a_third_at_most() {
        let mut counts = [0; 9];
        each(
            25,
            |list, stream| repeat(list, AROUND, None, stream),
            |own| {
                let mut once = own.to_vec();
                once.dedup();
                assert_eq!(once, (100..125).collect::<Vec<u32>>());
                counts[own.len() - 25] += 1;
            },
        );
        // 0.32 · 25 = 8 at most, each number from 0 on alike.
        assert!(counts.iter().all(|count| (170..275).contains(count)), "{counts:?}");
        each(25, |list, stream| repeat(list, AROUND, Some(30), stream), |own| assert!(own.len() <= 27));
    }

    #[test]
    fn a_text_of_one_token_or_none_keeps_what_it_has() {
        let views = [crop, delete, |list: &[u32], around: Around, stream: &mut Stream| {
            repeat(list, around, Some(4), stream)
        }];
        for view in views {
            each(1, |list, stream| view(list, AROUND, stream), |own| assert_eq!(own, [100]));
            each(0, |list, stream| view(list, AROUND, stream), |own| assert!(own.is_empty()));
            // A list shorter than what stands around, as of an encoder without special tokens.
            for mut stream in streams(50) {
                assert_eq!(view(&[5], AROUND, &mut stream), [5]);
                assert_eq!(view(&[], Around::default(), &mut stream), [] as [u32; 0]);
            }
        }
        // Two of a short text may stand twice, though a third of it is less than one.
        let longest = streams(200).map(|mut stream| repeat(&list(2), AROUND, None, &mut stream).len()).max();
        assert_eq!(longest, Some(7));
    }

    #[test]
    fn fifteen_percent_are_targets_of_which_eighty_are_masked_ten_are_random_and_ten_stay() {
        let tokens = MaskTokens { mask: 4, vocabulary: 100 };
        let mut masked = Masked::default();
        streams(4000).for_each(|mut stream| masked.push(&list(20), AROUND, tokens, &mut stream));
        let (mut targets, mut hidden, mut stay) = (0.0, 0.0, 0.0);
        for (found, originals) in masked.tokens.iter().zip(masked.originals.iter()) {
            for ((token, found), original) in list(20).iter().zip(found).zip(originals) {
                if *original == NOT_A_TARGET {
                    assert_eq!(found, token);
                    continue;
                }
                assert!(original == token && *token >= 100, "no special token is a target");
                targets += 1.0;
                hidden += f64::from(u8::from(*found == tokens.mask));
                stay += f64::from(u8::from(found == token));
            }
        }
        let share = targets / (4000.0 * 20.0);
        // Of a hundred tokens one that is drawn at random is `[MASK]` too.
        let [hidden, stay] = [hidden, stay].map(|count| count / targets);
        assert!((share - 0.15).abs() < 0.005, "{share}");
        assert!((hidden - 0.801).abs() < 0.015 && (stay - 0.1).abs() < 0.012, "{hidden} {stay}");
    }

    #[test]
    fn the_same_stream_gives_the_same_view() {
        let twice = |view: fn(&[u32], Around, &mut Stream) -> Vec<u32>| {
            let [one, other] = [(); 2].map(|()| {
                streams(20).map(|mut stream| view(&list(30), AROUND, &mut stream)).collect::<Vec<_>>()
            });
            assert_eq!(one, other);
            assert!(one.windows(2).any(|pair| pair[0] != pair[1]));
        };
        twice(crop);
        twice(delete);
        twice(|list, around, stream| repeat(list, around, None, stream));
    }
}
