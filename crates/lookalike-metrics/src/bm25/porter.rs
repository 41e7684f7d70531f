//! Porter's stemmer (Porter 1980, *An algorithm for suffix stripping*, Program 14(3), 130–137), with the two departures
//! that its author lists and Lucene keeps: `bli` becomes `ble` where the paper has `abli` to `able`, and `logi` becomes `log`.
//!
//! A word is C?(VC)^m V? of runs of consonants C and of vowels V; m is its measure. Every character that is no vowel
//! is a consonant, those outside ASCII too.

/// Step 2 of the paper, for stems of a measure above 0. Of suffixes that end alike the longest comes first.
const STEP_2: [(&str, &str); 21] = [
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("bli", "ble"),
    ("alli", "al"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
    ("logi", "log"),
];

/// Step 3, for stems of a measure above 0.
const STEP_3: [(&str, &str); 7] = [
    ("icate", "ic"),
    ("ative", ""),
    ("alize", "al"),
    ("iciti", "ic"),
    ("ical", "ic"),
    ("ful", ""),
    ("ness", ""),
];

/// Step 4, for stems of a measure above 1.
const STEP_4: [&str; 19] = [
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism",
    "ate", "iti", "ous", "ive", "ize",
];

/// The stem of a word in lower case. Words of one or two characters are their own.
pub(super) fn stem(word: &str) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    if letters.len() > 2 {
        plurals(&mut letters);
        participles(&mut letters);
        if let Some(stem) = before(&letters, "y").filter(|stem| has_vowel(&letters[..*stem])) {
            replace(&mut letters, stem, "i");
        }
        suffix(&mut letters, &STEP_2);
        suffix(&mut letters, &STEP_3);
        last_suffix(&mut letters);
        last_letters(&mut letters);
    }
    letters.into_iter().collect()
}

/// Step 1a.
fn plurals(word: &mut Vec<char>) {
    if let Some(stem) = before(word, "sses") {
        replace(word, stem, "ss");
    } else if let Some(stem) = before(word, "ies") {
        replace(word, stem, "i");
    } else if before(word, "ss").is_none() && before(word, "s").is_some() {
        word.pop();
    }
}

/// Step 1b.
fn participles(word: &mut Vec<char>) {
    if let Some(stem) = before(word, "eed") {
        if measure(&word[..stem]) > 0 {
            word.pop();
        }
        return;
    }
    let stem = before(word, "ed").or_else(|| before(word, "ing"));
    let Some(stem) = stem.filter(|stem| has_vowel(&word[..*stem])) else { return };
    word.truncate(stem);
    if ["at", "bl", "iz"].iter().any(|end| before(word, end).is_some()) {
        word.push('e');
    } else if ends_in_double_consonant(word) {
        if !matches!(word.last(), Some('l' | 's' | 'z')) {
            word.pop();
        }
    } else if measure(word) == 1 && ends_in_short_syllable(word) {
        word.push('e');
    }
}

/// Steps 2 and 3: the first suffix of `table` that fits is the only one, whatever the measure.
fn suffix(word: &mut Vec<char>, table: &[(&str, &str)]) {
    let found = table.iter().find_map(|(end, other)| Some((before(word, end)?, other)));
    if let Some((stem, other)) = found.filter(|(stem, _)| measure(&word[..*stem]) > 0) {
        replace(word, stem, other);
    }
}

/// Step 4. `ion` goes after s and t only.
fn last_suffix(word: &mut Vec<char>) {
    let fits = |end: &&str, stem: usize| *end != "ion" || matches!(word[..stem].last(), Some('s' | 't'));
    let found = STEP_4.iter().find_map(|end| before(word, end).filter(|stem| fits(end, *stem)));
    if let Some(stem) = found.filter(|stem| measure(&word[..*stem]) > 1) {
        word.truncate(stem);
    }
}

/// Steps 5a and 5b.
fn last_letters(word: &mut Vec<char>) {
    if let Some(stem) = before(word, "e") {
        let measure = measure(&word[..stem]);
        if measure > 1 || measure == 1 && !ends_in_short_syllable(&word[..stem]) {
            word.pop();
        }
    }
    if before(word, "ll").is_some() && measure(word) > 1 {
        word.pop();
    }
}

/// The number of letters before `end`, with which `word` must end.
fn before(word: &[char], end: &str) -> Option<usize> {
    let stem = word.len().checked_sub(end.len())?;
    word[stem..].iter().copied().eq(end.chars()).then_some(stem)
}

/// Puts `end` after the first `stem` letters.
fn replace(word: &mut Vec<char>, stem: usize, end: &str) {
    word.truncate(stem);
    word.extend(end.chars());
}

/// Whether each letter is a consonant; y is one at the beginning and after a vowel.
fn consonants(word: &[char]) -> impl Iterator<Item = bool> {
    word.iter().scan(false, |consonant_before, letter| {
        *consonant_before = match letter {
            'a' | 'e' | 'i' | 'o' | 'u' => false,
            'y' => !*consonant_before,
            _ => true,
        };
        Some(*consonant_before)
    })
}

/// How often a consonant follows a vowel.
fn measure(word: &[char]) -> usize {
    let mut before = true;
    let follows = |consonant: &bool| !std::mem::replace(&mut before, *consonant) && *consonant;
    consonants(word).filter(follows).count()
}

fn has_vowel(word: &[char]) -> bool {
    consonants(word).any(|consonant| !consonant)
}

fn ends_in_double_consonant(word: &[char]) -> bool {
    let [.., first, second] = word else { return false };
    first == second && consonants(word).last() == Some(true)
}

/// Consonant, vowel, consonant at the end, the last of which is not w, x or y.
fn ends_in_short_syllable(word: &[char]) -> bool {
    let kinds: Vec<bool> = consonants(word).collect();
    kinds.ends_with(&[true, false, true]) && !matches!(word.last(), Some('w' | 'x' | 'y'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems_are_nltk_s() {
        // `tests/fixtures/porter.py` made the file: a word and its stem a line.
        let pairs = include_str!("../../tests/fixtures/porter.txt");
        let pairs: Vec<(&str, &str)> = pairs.lines().filter_map(|line| line.split_once(' ')).collect();
        assert!(pairs.len() > 2000);
        for (word, expected) in pairs {
            assert_eq!(stem(word), expected, "{word}");
        }
    }

    #[test]
    fn examples_of_the_paper_come_out() {
        for (words, expected) in [
            ("connect connected connecting connection connections", "connect"),
            ("generalizations", "gener"),
            ("oscillators", "oscil"),
        ] {
            assert!(words.split(' ').all(|word| stem(word) == expected), "{words}");
        }
    }

    #[test]
    fn measures_are_those_of_the_paper() {
        for (words, expected) in
            [("tr ee tree y by", 0), ("trouble oats trees ivy", 1), ("troubles private oaten orrery", 2)]
        {
            for word in words.split(' ') {
                assert_eq!(measure(&word.chars().collect::<Vec<_>>()), expected, "{word}");
            }
        }
    }

    #[test]
    fn any_text_has_a_stem() {
        for word in
            ["", "s", "ed", "ing", "eed", "sses", "ion", "yyy", "ß", "naïvely", "日本語s", "αβγγ", "éed"]
        {
            assert!(stem(word).chars().count() <= word.chars().count() + 1);
        }
    }
}
