//! From English text to terms, as Lucene's `EnglishAnalyzer` makes them: words in lower case without a possessive 's,
//! stop words left out, the rest stemmed.

use super::porter::stem;

/// Lucene's English stop words.
const STOP_WORDS: [&str; 33] = [
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no",
    "not", "of", "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to",
    "was", "will", "with",
];

/// The words of `text` in lower case, one after another.
///
/// A word is a run of letters, ASCII digits and `_` with a letter or digit in it. Signs between two letters (`'` `’` `.` `:` `·`)
/// or two digits (`'` `’` `.` `,` `;`) belong to it: `don't`, `3.5`, `e.g`. These are the rules of Unicode's annex 29, which
/// Lucene's `StandardTokenizer` follows, for European writing; scripts without spaces are not divided.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut letters = text.chars().flat_map(char::to_lowercase).peekable();
    while let Some(letter) = letters.next() {
        if in_word(letter) || word.chars().last().is_some_and(|last| joins(last, letter, letters.peek())) {
            word.push(letter);
        } else {
            finish(&mut word, &mut words);
        }
    }
    finish(&mut word, &mut words);
    words
}

/// The term of a word that [`words`] gave; none of a stop word.
pub(super) fn term(word: &str) -> Option<String> {
    let word = ["'s", "’s"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
    (!STOP_WORDS.contains(&word)).then(|| stem(word))
}

fn in_word(letter: char) -> bool {
    letter.is_alphabetic() || letter.is_ascii_digit() || letter == '_'
}

/// Whether `sign` holds two letters or digits together.
fn joins(last: char, sign: char, next: Option<&char>) -> bool {
    let Some(next) = next else { return false };
    match sign {
        '\'' | '’' | '.' => {
            last.is_alphabetic() && next.is_alphabetic() || last.is_ascii_digit() && next.is_ascii_digit()
        }
        ':' | '·' => last.is_alphabetic() && next.is_alphabetic(),
        ',' | ';' => last.is_ascii_digit() && next.is_ascii_digit(),
        _ => false,
    }
}

/// Moves a word to the others, if it is one, and begins a new one.
fn finish(word: &mut String, words: &mut Vec<String>) {
    let word = std::mem::take(word);
    if word.chars().any(|letter| letter != '_') {
        words.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_divided_as_lucene_divides_them() {
        let found =
            words("Don't mix 3.5 mg/kg (1,000-fold) of TNF-α_2 e.g. in Bob’s 'lab'; __ x.1 IL:6 naïve.");
        assert_eq!(
            found,
            [
                "don't", "mix", "3.5", "mg", "kg", "1,000", "fold", "of", "tnf", "α_2", "e.g", "in", "bob’s",
                "lab", "x", "1", "il", "6", "naïve"
            ]
        );
        assert!(words(" -- \u{b2} ").is_empty());
    }

    #[test]
    fn terms_lose_their_possessive_before_stop_words_go() {
        let terms = |text| words(text).iter().filter_map(|word| term(word)).collect::<Vec<_>>();
        assert_eq!(terms("The neurons' and cells's Bob’s THERE's it's"), ["neuron", "cell", "bob"]);
    }
}
