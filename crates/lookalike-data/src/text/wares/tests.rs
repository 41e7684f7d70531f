use super::*;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// All phrases for a value, as queries have them.
fn phrases((catalogue, customers): &Term) -> Vec<String> {
    std::iter::once(catalogue.to_lowercase()).chain(customers.iter().map(ToString::to_string)).collect()
}

/// Whether the words of `part` stand in `text` one after another.
fn stands_in(part: &str, text: &str) -> bool {
    format!(" {text} ").contains(&format!(" {part} "))
}

fn text(set: &TextSet, column: &str, row: usize) -> String {
    set.column(column).unwrap().texts.get(row).to_owned()
}

#[test]
fn no_phrase_is_part_of_the_phrase_of_another_value() {
    for department in DEPARTMENTS {
        let other_kinds = DEPARTMENTS.iter().flat_map(|department| department.kinds);
        let attributes = (0..ATTRIBUTES).filter(|attribute| *attribute != TRIM);
        let values = attributes.flat_map(|attribute| values(department, attribute));
        let terms: Vec<&Term> = other_kinds.chain(values).collect();
        for (at, first) in terms.iter().enumerate() {
            for second in terms.iter().skip(at + 1) {
                for (a, b) in phrases(first)
                    .iter()
                    .flat_map(|a| phrases(second).into_iter().map(move |b| (a.clone(), b)))
                {
                    assert!(
                        !stands_in(&a, &b) && !stands_in(&b, &a),
                        "{a:?} of {first:?}, {b:?} of {second:?}"
                    );
                }
            }
        }
    }
}

/// Takes out of `text` what it says of its trim, and gives the trim's colour by its catalogue's name.
fn take_trim(text: &mut String, forms: &[&str]) -> Option<&'static str> {
    for color in COLORS {
        for (phrase, form) in
            phrases(color).iter().flat_map(|phrase| forms.iter().map(move |form| (phrase, form)))
        {
            let said = form.replace("{}", phrase);
            if stands_in(&said, text) {
                *text = format!(" {text} ").replace(&format!(" {said} "), " / ").trim().to_owned();
                return Some(color.0);
            }
        }
    }
    None
}

#[test]
fn the_owners_of_a_document_are_those_whose_words_say_so() {
    // Read from the texts alone: which values a query's phrases name, and whether a document has their catalogue's words.
    let wares = stock(SEED, 120);
    let named: Vec<_> = (0..wares.len()).map(|row| named(&mut stream(SEED, "named", row))).collect();
    let set = super::wares(SEED, 120);
    let words = |text: String| {
        let words = text.to_lowercase().replace([',', ';', ':', '|', '.'], " ");
        words.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let documents: Vec<(Option<&str>, String)> = (0..set.len())
        .map(|row| {
            let mut document = words(text(&set, "document", row));
            (take_trim(&mut document, &["with {} trim"]), document)
        })
        .collect();
    let mut expected = Vec::new();
    for (row, ware) in wares.iter().enumerate() {
        let mut query = query(ware, named[row], &mut stream(SEED, "query", row));
        let said = query.clone();
        let trim = take_trim(&mut query, TRIMMED);
        let department = ware.department();
        let attributes = (0..ATTRIBUTES).filter(|attribute| *attribute != TRIM);
        let terms = department.kinds.iter().chain(attributes.flat_map(|at| values(department, at)));
        let wanted: Vec<String> = terms
            .filter(|term| phrases(term).iter().any(|phrase| stands_in(phrase, &query)))
            .map(|term| words(term.0.to_owned()))
            .collect();
        let count = 1 + named[row].iter().filter(|named| **named).count();
        assert_eq!(wanted.len() + usize::from(trim.is_some()), count, "{said}: {trim:?} {wanted:?}");
        let answers = |(own, document): &(Option<&str>, String)| {
            (trim.is_none() || trim == *own) && wanted.iter().all(|wanted| stands_in(wanted, document))
        };
        expected
            .extend((0..set.len()).filter(|at| answers(&documents[*at])).map(|at| (row as u32, at as u32)));
    }
    assert_eq!(set.relevant.as_deref(), Some(&expected[..]));
    let own = (0..set.len() as u32).all(|row| expected.binary_search(&(row, row)).is_ok());
    assert!(own && expected.len() > set.len() + set.len() / 10, "{} of {}", expected.len(), set.len());
}

#[test]
fn a_slip_leaves_the_first_letter_and_nearly_all_others() {
    let mut stream = SEED.stream("test", 0, 0, 0);
    let slips: Vec<String> = (0..2000).map(|_| slipped("lantern", &mut stream)).collect();
    let wrong: Vec<&String> = slips.iter().filter(|word| *word != "lantern").collect();
    assert!((100..=200).contains(&wrong.len()), "{}", wrong.len());
    assert!(wrong.iter().all(|word| word.starts_with('l') && (6..=8).contains(&word.len())), "{wrong:?}");
    assert!((0..2000).all(|_| slipped("lamp", &mut stream) == "lamp"));
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let set = super::wares(SEED, FAMILIES);
    assert_eq!(set.len(), 20_000);
    assert_eq!(
        set.column("query").unwrap().texts.fingerprint(),
        "69c19d68edc7e3fcc0b36e66fc316d15da9943f1388e963a8ed0d181342939c6"
    );
    assert_eq!(
        set.column("document").unwrap().texts.fingerprint(),
        "eab25847ff777a2c9e4507bc58d1958c269342cccc98d4e00ba7547f877b1819"
    );
    assert_ne!(super::wares(Seed(1), 3), super::wares(SEED, 3));
}

#[test]
fn documents_differ_and_a_family_has_twenty() {
    let set = super::wares(SEED, FAMILIES);
    let documents: HashSet<String> = (0..set.len()).map(|row| text(&set, "document", row)).collect();
    assert_eq!(documents.len(), set.len());
    let groups = set.groups.as_ref().unwrap();
    let mut counts = vec![0; groups.names.len()];
    groups.rows.iter().for_each(|row| counts[*row as usize] += 1);
    assert_eq!(counts, vec![FAMILY; FAMILIES as usize]);
}

#[test]
fn equal_queries_have_equal_answers() {
    let set = super::wares(SEED, FAMILIES);
    let mut answers = vec![BTreeSet::new(); set.len()];
    for (query, document) in set.relevant.as_ref().unwrap() {
        answers[*query as usize].insert(*document);
    }
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    for row in 0..set.len() {
        let other = *first.entry(text(&set, "query", row)).or_insert(row);
        // A query that names the same in the same words is the same query.
        assert_eq!(answers[row], answers[other], "{}", text(&set, "query", row));
    }
}
