//! *wares*: a catalogue and what its customers ask for, pairs of texts that are made on the fly and need no download.
//!
//! A document is a line of a catalogue: brand, kind, colour, trim, material, size, pack and feature of one ware. A query is how a customer
//! asks for it: in other words, in another order, without some of the attributes, sometimes misspelt. The twenty wares of a family (brand
//! and kind) share few colours, sizes and so on, and many differ in one of them or have colour and trim the other way round: natural
//! look-alikes. A document answers a query exactly when it agrees in all attributes that the query names, so who owns which document is
//! known.

mod words;

use super::text_set::{Column, TextSet};
use lookalike_base::{Seed, Stream};
use std::collections::HashMap;
use words::{BRANDS, COLORS, DEPARTMENTS, Department, ENDINGS, OPENINGS, PACKS, REMARKS, TRIMMED, Term};

/// The seed of the set that `open` gives: the same texts in every run, so that runs can be compared.
pub const SEED: Seed = Seed(0);

/// Families of the set that `open` gives, 20,000 pairs.
pub const FAMILIES: u32 = 1000;

/// Wares of a family.
pub const FAMILY: u32 = 20;

/// Attributes of a ware beside its kind.
const ATTRIBUTES: usize = 7;
/// Where they stand in a [`Ware`]; the feature is last.
const BRAND: usize = 0;
const COLOR: usize = 1;
const TRIM: usize = 2;
const MATERIAL: usize = 3;
const SIZE: usize = 4;
const PACK: usize = 5;
/// How likely a query names each.
const NAMED: [f32; ATTRIBUTES] = [0.5, 0.75, 0.5, 0.6, 0.7, 0.5, 0.5];
/// A query names at least so many of them.
const FEWEST: usize = 4;
/// How many values of each a family has. Colour and trim are two different ones of the same few.
const CHOICES: [u32; ATTRIBUTES] = [1, 3, 2, 2, 3, 2, 2];
/// How likely a customer uses the catalogue's own word.
const OWN_WORD: f32 = 0.3;
/// How likely there is a slip of the keys in a long word of a query.
const SLIP: f32 = 0.08;

/// One ware: a department, a kind in it, and the number of each attribute's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Ware {
    department: usize,
    kind: usize,
    values: [usize; ATTRIBUTES],
}

impl Ware {
    fn department(&self) -> &'static Department {
        &DEPARTMENTS[self.department]
    }

    fn kind(&self) -> Term {
        self.department().kinds[self.kind]
    }

    fn term(&self, attribute: usize) -> Term {
        values(self.department(), attribute)[self.values[attribute]]
    }

    /// Brand and kind, by which families are called.
    fn family(&self) -> String {
        format!("{} {}", self.term(BRAND).0, self.kind().0)
    }

    /// Whether this ware is of the kind of `other` and has its values of the attributes that are `named`.
    fn answers(&self, other: &Self, named: [bool; ATTRIBUTES]) -> bool {
        (self.department, self.kind) == (other.department, other.kind)
            && (0..ATTRIBUTES).all(|at| !named[at] || self.values[at] == other.values[at])
    }
}

/// The values that an attribute can have in a department.
fn values(department: &'static Department, attribute: usize) -> &'static [Term] {
    match attribute {
        BRAND => BRANDS,
        COLOR | TRIM => COLORS,
        MATERIAL => department.materials,
        SIZE => department.sizes,
        PACK => PACKS,
        _ => department.features,
    }
}

/// Makes `families` families of [`FAMILY`] wares each, in random order.
///
/// Columns are `query` and `document`, the group is the family, and `relevant` lists all rows whose document answers a row's query.
/// All documents differ. The same seed gives the same texts.
///
/// # Panics
/// If `families` exceeds the number of pairs of brand and kind.
pub fn wares(seed: Seed, families: u32) -> TextSet {
    let wares = stock(seed, families);
    let named: Vec<[bool; ATTRIBUTES]> =
        (0..wares.len()).map(|row| named(&mut stream(seed, "named", row))).collect();
    let mut columns = [Column::new("query"), Column::new("document")];
    for (row, ware) in wares.iter().enumerate() {
        let query = query(ware, named[row], &mut stream(seed, "query", row));
        let query = misspelt(&query, &mut stream(seed, "slip", row));
        let document = document(ware, &mut stream(seed, "document", row));
        for (column, text) in columns.iter_mut().zip([&query, &document]) {
            column.push(std::iter::once(text.as_str()));
        }
    }
    let places = (1..=wares.len() as u64).collect();
    let mut set = TextSet::new("wares".to_owned(), columns.into(), places);
    set.groups = Some(wares.iter().map(Ware::family).collect());
    set.relevant = Some(relevant(&wares, &named));
    set
}

/// The stream of one row for one purpose.
fn stream(seed: Seed, purpose: &str, row: usize) -> Stream {
    seed.stream(&format!("wares/{purpose}"), 0, 0, row as u64)
}

/// All wares, no two alike, in random order.
fn stock(seed: Seed, families: u32) -> Vec<Ware> {
    let kinds = DEPARTMENTS.iter().enumerate();
    let kinds: Vec<_> =
        kinds.flat_map(|(at, department)| (0..department.kinds.len()).map(move |kind| (at, kind))).collect();
    let mut order = seed.stream("wares/order", 0, 0, 0);
    let mut wares = Vec::with_capacity((families * FAMILY) as usize);
    for pair in order.distinct(families, (kinds.len() * BRANDS.len()) as u32) {
        let ((department, kind), brand) = (kinds[pair as usize / BRANDS.len()], pair as usize % BRANDS.len());
        family(
            Ware { department, kind, values: [brand, 0, 0, 0, 0, 0, 0] },
            &mut stream(seed, "family", pair as usize),
            &mut wares,
        );
    }
    order.shuffle(&mut wares);
    wares
}

/// Adds the wares of one family: some of all combinations of the few values that it has of each attribute.
fn family(first: Ware, stream: &mut Stream, wares: &mut Vec<Ware>) {
    let choices: [Vec<u32>; ATTRIBUTES] = std::array::from_fn(|at| match at {
        BRAND => vec![first.values[BRAND] as u32],
        _ => stream.distinct(CHOICES[at], values(first.department(), at).len() as u32),
    });
    for mut combination in stream.distinct(FAMILY, CHOICES.iter().product()) {
        let places = CHOICES.map(|count| {
            let place = combination % count;
            combination /= count;
            place as usize
        });
        let mut ware = Ware { values: std::array::from_fn(|at| choices[at][places[at]] as usize), ..first };
        // One of the other colours.
        let colors = &choices[COLOR];
        ware.values[TRIM] = colors[(places[COLOR] + 1 + places[TRIM]) % colors.len()] as usize;
        wares.push(ware);
    }
}

/// Which attributes a query names.
fn named(stream: &mut Stream) -> [bool; ATTRIBUTES] {
    loop {
        let named = NAMED.map(|probability| stream.chance(probability));
        if named.iter().filter(|named| **named).count() >= FEWEST {
            return named;
        }
    }
}

/// The pairs of rows (i, j) such that the document of row j answers the query of row i, in their order.
fn relevant(wares: &[Ware], named: &[[bool; ATTRIBUTES]]) -> Vec<(u32, u32)> {
    let mut of_kind: HashMap<(usize, usize), Vec<u32>> = HashMap::new();
    for (row, ware) in wares.iter().enumerate() {
        of_kind.entry((ware.department, ware.kind)).or_default().push(row as u32);
    }
    let answers = |(row, ware): (usize, &Ware)| {
        let others = &of_kind[&(ware.department, ware.kind)];
        let (ware, named) = (*ware, named[row]);
        let found = others.iter().filter(move |other| wares[**other as usize].answers(&ware, named));
        found.map(move |other| (row as u32, *other)).collect::<Vec<_>>()
    };
    wares.iter().enumerate().flat_map(answers).collect()
}

/// A line of the catalogue, which names everything.
fn document(ware: &Ware, stream: &mut Stream) -> String {
    let kind = ware.kind().0;
    let [brand, color, trim, material, size, pack, feature] = std::array::from_fn(|at| ware.term(at).0);
    let color = format!("{color} with {trim} trim");
    let line = match stream.below(4) {
        0 => format!("{brand} {kind}, {color}, {material}, {size}, {feature}, {pack}."),
        1 => format!("{} by {brand}: {material}, {feature}, {color}; {size}, {pack}.", capitalized(kind)),
        2 => format!("{} {feature} | {pack} | {size} | {color} | {material} | {brand}.", capitalized(kind)),
        _ => format!("{brand}, {pack}. {} {color}, {material}, {size}, {feature}.", capitalized(kind)),
    };
    if stream.chance(0.6) { format!("{line} {}", pick(REMARKS, stream)) } else { line }
}

/// A customer's question before slips of the keys: the kind and the attributes that are `named`, in any order.
fn query(ware: &Ware, named: [bool; ATTRIBUTES], stream: &mut Stream) -> String {
    let mut phrases = vec![called(ware.kind(), stream)];
    for attribute in (0..ATTRIBUTES).filter(|at| named[*at]) {
        let phrase = called(ware.term(attribute), stream);
        phrases.push(if attribute == TRIM { pick(TRIMMED, stream).replace("{}", &phrase) } else { phrase });
    }
    stream.shuffle(&mut phrases);
    if stream.chance(0.4) {
        phrases.insert(0, pick(OPENINGS, stream).to_owned());
    }
    if stream.chance(0.2) {
        phrases.push(pick(ENDINGS, stream).to_owned());
    }
    phrases.join(" ")
}

/// One of the customers' phrases for a value.
fn called((catalogue, customers): Term, stream: &mut Stream) -> String {
    if stream.chance(OWN_WORD) { catalogue.to_lowercase() } else { pick(customers, stream).to_owned() }
}

fn pick(texts: &[&'static str], stream: &mut Stream) -> &'static str {
    texts[stream.below(texts.len() as u32) as usize]
}

/// The query with slips of the keys in some words.
fn misspelt(text: &str, stream: &mut Stream) -> String {
    text.split(' ').map(|word| slipped(word, stream)).collect::<Vec<_>>().join(" ")
}

/// Now and then, in a word of five letters or more, two of them change places, or one is missing or doubled.
fn slipped(word: &str, stream: &mut Stream) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    if letters.len() >= 5 && letters.iter().all(char::is_ascii_lowercase) && stream.chance(SLIP) {
        // The first letter stays: that is how people misspell.
        let at = 1 + stream.below(letters.len() as u32 - 2) as usize;
        match stream.below(3) {
            0 => letters.swap(at, at + 1),
            1 => {
                letters.remove(at);
            }
            _ => letters.insert(at, letters[at]),
        }
    }
    letters.into_iter().collect()
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests;
