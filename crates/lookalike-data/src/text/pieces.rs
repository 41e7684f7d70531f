//! Words as lists of pieces, of which the most frequent two neighbours are joined again and again.

use super::vocabulary::CONTINUES;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::rc::Rc;

type Pair = (u32, u32);

/// A pair that may be joined next: the more frequent first, then by text.
#[derive(PartialEq, Eq)]
struct Candidate {
    count: u64,
    texts: (Rc<str>, Rc<str>),
    pair: Pair,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.count.cmp(&other.count).then_with(|| Reverse(&self.texts).cmp(&Reverse(&other.texts)))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The words in pieces, and the count of every pair of neighbours.
pub(super) struct Pieces {
    /// The texts of pieces, those that go on with a word behind `##`; different.
    texts: Vec<Rc<str>>,
    ids: HashMap<Rc<str>, u32>,
    words: Vec<(Vec<u32>, u64)>,
    counts: HashMap<Pair, u64>,
    /// Words in which a pair was seen when it came to be; some may not have it any more.
    places: HashMap<Pair, Vec<u32>>,
    /// At least one entry a pair that occurs, with at least its count.
    candidates: BinaryHeap<Candidate>,
}

impl Pieces {
    /// Words in characters. A word with a character that is not in `vocabulary` is left out: it is unknown to the tokenizer.
    pub(super) fn new(words: &BTreeMap<String, u64>, vocabulary: &[String]) -> Self {
        let texts: Vec<Rc<str>> = vocabulary.iter().map(|text| text.as_str().into()).collect();
        let ids: HashMap<Rc<str>, u32> = texts.iter().cloned().zip(0..).collect();
        let mut key = String::new();
        let mut id = |place: usize, character: char| {
            key.clear();
            key.push_str(if place > 0 { CONTINUES } else { "" });
            key.push(character);
            ids.get(key.as_str()).copied()
        };
        let mut split = Vec::new();
        for (word, count) in words {
            let pieces: Option<Vec<u32>> = word.chars().enumerate().map(|(place, c)| id(place, c)).collect();
            split.extend(pieces.filter(|pieces| pieces.len() > 1).map(|pieces| (pieces, *count)));
        }
        let mut pieces = Self {
            texts,
            ids,
            words: split,
            counts: HashMap::new(),
            places: HashMap::new(),
            candidates: BinaryHeap::new(),
        };
        for (index, (word, count)) in pieces.words.iter().enumerate() {
            for pair in word.windows(2).map(|pair| (pair[0], pair[1])) {
                *pieces.counts.entry(pair).or_default() += count;
                pieces.places.entry(pair).or_default().push(index as u32);
            }
        }
        let pairs: Vec<Pair> = pieces.counts.keys().copied().collect();
        for pair in pairs {
            pieces.propose(pair);
        }
        pieces
    }

    fn count(&self, pair: Pair) -> u64 {
        self.counts.get(&pair).copied().unwrap_or_default()
    }

    fn propose(&mut self, pair: Pair) {
        let texts = (self.texts[pair.0 as usize].clone(), self.texts[pair.1 as usize].clone());
        self.candidates.push(Candidate { count: self.count(pair), texts, pair });
    }

    /// Joins the most frequent pair everywhere and returns the piece, which may have come to be before from another pair; `None` where
    /// no pair occurs twice.
    pub(super) fn merge(&mut self) -> Option<String> {
        let pair = loop {
            let best = self.candidates.pop()?;
            let count = self.count(best.pair);
            if count == best.count && count > 0 {
                break (count > 1).then_some(best.pair)?;
            }
            // The pair has become rarer since it was proposed; where there is none of it, its places are not needed either.
            if count > 0 {
                self.propose(best.pair);
            }
        };
        let (first, second) = (&self.texts[pair.0 as usize], &self.texts[pair.1 as usize]);
        let joined: Rc<str> = format!("{first}{}", second.strip_prefix(CONTINUES).unwrap_or(second)).into();
        let id = self.ids.get(&joined).copied().unwrap_or_else(|| {
            let id = self.texts.len() as u32;
            self.texts.push(joined.clone());
            self.ids.insert(joined.clone(), id);
            id
        });
        let mut places = self.places.remove(&pair).unwrap_or_default();
        places.sort_unstable();
        places.dedup();
        let mut fresh = Vec::new();
        for index in places {
            let (word, count) = &mut self.words[index as usize];
            let count = *count;
            let old = std::mem::take(word);
            let mut place = 0;
            while place < old.len() {
                let here = place + 1 < old.len() && (old[place], old[place + 1]) == pair;
                word.push(if here { id } else { old[place] });
                place += 1 + usize::from(here);
            }
            if word.len() == old.len() {
                continue;
            }
            for gone in old.windows(2) {
                if let Some(known) = self.counts.get_mut(&(gone[0], gone[1])) {
                    *known -= count;
                }
            }
            for come in word.windows(2).map(|pair| (pair[0], pair[1])) {
                *self.counts.entry(come).or_default() += count;
                if come.0 == id || come.1 == id {
                    self.places.entry(come).or_default().push(index);
                    fresh.push(come);
                }
            }
        }
        self.counts.remove(&pair);
        fresh.sort_unstable();
        fresh.dedup();
        for pair in fresh {
            self.propose(pair);
        }
        Some(joined.to_string())
    }
}
