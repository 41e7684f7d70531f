//! Keys of recipes as data: a name, a default, the values that are possible, and a sentence with its source. Validation walks them and
//! the reference is printed from them, so a key is described once, in the file of what reads it.

use lookalike_base::words::did_you_mean;
use serde::de::DeserializeOwned;
use toml::{Table, Value as Toml};

use crate::error::LearnError;

/// A key of a section.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name within the section.
    pub name: &'static str,
    /// What stands where a recipe does not say.
    pub default: Value,
    /// What it can be.
    pub range: Range,
    /// What it decides, and where its default is from.
    pub about: &'static str,
}

/// The default of a key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// Nothing, and what that means.
    Absent(&'static str),
    /// A boolean.
    Flag(bool),
    /// An integer.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A string.
    Text(&'static str),
    /// Numbers.
    Numbers(&'static [f64]),
    /// A table of the defaults of its own keys.
    Table,
}

/// What a key can be.
#[derive(Debug, Clone, Copy)]
pub enum Range {
    /// True or false.
    Flag,
    /// An integer from `least` to `most`.
    Integer {
        /// The least.
        least: i64,
        /// The greatest.
        most: i64,
    },
    /// A number within bounds.
    Number(Bounds),
    /// A list of so many numbers within bounds.
    Numbers(usize, Bounds),
    /// A list of numbers within bounds.
    NumberList(Bounds),
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// A string of that kind.
    Text(&'static str),
    /// A list of strings of that kind.
    Texts(&'static str),
    /// A string, or a list of strings, in these words.
    TextOrTexts(&'static str),
    /// A table with these keys.
    Table(&'static [Key]),
    /// What its reader says, in these words.
    Free(&'static str),
}

/// Bounds of a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// The least, and whether it is possible itself.
    pub least: (f64, bool),
    /// The greatest, and whether it is possible itself.
    pub most: (f64, bool),
    /// In words.
    pub words: &'static str,
}

/// True or false.
pub const FLAG: Range = Range::Flag;
/// Any integer from 0 on.
pub const COUNT: Range = at_least(0);
/// An integer from 1 on.
pub const SOME: Range = at_least(1);
/// A number above 0.
pub const POSITIVE: Range =
    Range::Number(Bounds { least: (0.0, false), most: (f64::MAX, true), words: "above 0" });
/// A number from 0 on.
pub const NOT_NEGATIVE: Range =
    Range::Number(Bounds { least: (0.0, true), most: (f64::MAX, true), words: "0 or more" });
/// A number from 0 up to below 1.
pub const FRACTION: Range =
    Range::Number(Bounds { least: (0.0, true), most: (1.0, false), words: "0 up to below 1" });
/// A number from 0 to 1.
pub const SHARE: Range = Range::Number(Bounds { least: (0.0, true), most: (1.0, true), words: "0 … 1" });

/// A length of vectors, from `least` on: far above what anybody trains, and far below what would overflow a size.
pub const fn length_from(least: i64) -> Range {
    Range::Integer { least, most: 65_536 }
}

/// A number of vectors that are kept or drawn, from `least` on, with the same in mind.
pub const fn vectors_from(least: i64) -> Range {
    Range::Integer { least, most: 1 << 26 }
}

/// An integer from `least` on.
pub const fn at_least(least: i64) -> Range {
    Range::Integer { least, most: i64::MAX }
}

/// What a key of the recipe must be, by its path.
#[derive(Debug, Clone, Copy)]
pub enum Condition {
    /// This value.
    Is(&'static str, &'static str),
    /// A number above 0.
    Positive(&'static str),
}

impl Condition {
    fn holds(self, settings: &Settings) -> bool {
        match self {
            Self::Is(path, value) => settings.text(path) == Some(value),
            Self::Positive(path) => settings.value(path).and_then(number).is_some_and(|number| number > 0.0),
        }
    }

    /// What it asks for, for the reference.
    pub fn words(self) -> String {
        match self {
            Self::Is(_, value) => value.to_owned(),
            Self::Positive(path) => format!("{path} above 0"),
        }
    }
}

/// What is so only where a key of the recipe has a value.
#[derive(Debug, Clone, Copy)]
pub struct When<T> {
    /// What must hold; `None` is always so.
    pub when: Option<Condition>,
    /// What is so then.
    pub then: T,
}

impl<T: Copy> When<T> {
    /// Always.
    pub const fn always(then: T) -> Self {
        Self { when: None, then }
    }

    /// Where the key `path` is `value`.
    pub const fn is(path: &'static str, value: &'static str, then: T) -> Self {
        Self { when: Some(Condition::Is(path, value)), then }
    }

    /// Where the key `path` is a number above 0.
    pub const fn positive(path: &'static str, then: T) -> Self {
        Self { when: Some(Condition::Positive(path)), then }
    }

    /// Whether it is so under `settings`.
    pub fn holds(&self, settings: &Settings) -> bool {
        self.when.is_none_or(|condition| condition.holds(settings))
    }
}

impl Bounds {
    fn hold(&self, value: f64) -> bool {
        let above = if self.least.1 { value >= self.least.0 } else { value > self.least.0 };
        let below = if self.most.1 { value <= self.most.0 } else { value < self.most.0 };
        value.is_finite() && above && below
    }
}

fn number(value: &Toml) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|integer| integer as f64))
}

impl Range {
    /// What is possible, in words.
    pub fn words(&self) -> String {
        match self {
            Self::Flag => "boolean".to_owned(),
            Self::Integer { least: 0, most: i64::MAX } => "integer".to_owned(),
            Self::Integer { least, most: i64::MAX } => format!("{least} or more"),
            Self::Integer { least, most } => format!("{least} … {most}"),
            Self::Number(bounds) => bounds.words.to_owned(),
            Self::Numbers(count, bounds) => format!("{count} numbers, {}", bounds.words),
            Self::NumberList(bounds) => format!("list of numbers, {}", bounds.words),
            Self::OneOf(names) => {
                names.iter().map(|name| format!("`{name}`")).collect::<Vec<String>>().join(", ")
            }
            Self::Text(words) | Self::TextOrTexts(words) | Self::Free(words) => (*words).to_owned(),
            Self::Texts(words) => format!("list of {words}"),
            Self::Table(_) => "table".to_owned(),
        }
    }

    /// Why `value` is impossible, as what it must be.
    fn problem(&self, value: &Toml) -> Option<String> {
        let must = |holds: bool, what: &str| (!holds).then(|| format!("must be {what}"));
        match self {
            Self::Flag => must(value.is_bool(), "true or false"),
            Self::Integer { least, most } => {
                let holds = value.as_integer().is_some_and(|value| (*least..=*most).contains(&value));
                let bounds = match (*least, *most) {
                    (0, i64::MAX) => "0 or more".to_owned(),
                    (least, i64::MAX) => format!("at least {least}"),
                    (least, most) => format!("at least {least} and at most {most}"),
                };
                let whole = if value.is_integer() { "" } else { "a whole number, " };
                must(holds, &format!("{whole}{bounds}"))
            }
            Self::Number(bounds) => must(number(value).is_some_and(|value| bounds.hold(value)), bounds.words),
            Self::Numbers(count, bounds) => {
                let values = value.as_array().filter(|values| values.len() == *count);
                let all = |values: &Vec<Toml>| {
                    values.iter().all(|value| number(value).is_some_and(|value| bounds.hold(value)))
                };
                must(values.is_some_and(all), &format!("{count} numbers, each {}", bounds.words))
            }
            Self::NumberList(bounds) => {
                let all = |values: &Vec<Toml>| {
                    values.iter().all(|value| number(value).is_some_and(|value| bounds.hold(value)))
                };
                must(value.as_array().is_some_and(all), &format!("a list of numbers, each {}", bounds.words))
            }
            Self::OneOf(names) => {
                let found = value.as_str();
                if found.is_some_and(|found| names.contains(&found)) {
                    return None;
                }
                let hint = found.map_or(String::new(), |found| did_you_mean(found, names.iter().copied()));
                let found = found.map_or(value.to_string(), |found| format!("`{found}`"));
                Some(format!("{found} is not one of {}{hint}", self.words()))
            }
            Self::Text(_) => must(value.is_str(), "a string"),
            Self::Texts(words) => {
                let all = |values: &Vec<Toml>| values.iter().all(Toml::is_str);
                must(value.as_array().is_some_and(all), &format!("a list of {words}"))
            }
            Self::TextOrTexts(_) => {
                let all = |values: &Vec<Toml>| values.iter().all(Toml::is_str);
                must(value.is_str() || value.as_array().is_some_and(all), "a string, or a list of strings")
            }
            Self::Table(_) => must(value.is_table(), "a table"),
            Self::Free(_) => None,
        }
    }
}

/// A value that cannot be: the path of its key, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Section and key.
    pub path: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl From<Problem> for LearnError {
    fn from(Problem { path, reason }: Problem) -> Self {
        Self::Recipe { place: path, reason }
    }
}

impl Key {
    /// Checks a value, and all within it.
    ///
    /// # Errors
    /// The first [`Problem`].
    pub fn check(&self, section: &str, value: &Toml) -> Result<(), Problem> {
        let path = format!("{section}.{}", self.name);
        if let Some(reason) = self.range.problem(value) {
            return Err(Problem { path, reason });
        }
        let (Range::Table(keys), Some(table)) = (self.range, value.as_table()) else { return Ok(()) };
        for (name, value) in table {
            match keys.iter().find(|key| key.name == name) {
                Some(key) => key.check(&path, value)?,
                None => return Err(unknown(&path, name, keys.iter().map(|key| key.name))),
            }
        }
        Ok(())
    }

    /// The default, written out; `None` where it is absent.
    pub fn default_value(&self) -> Option<Toml> {
        match self.default {
            Value::Absent(_) => None,
            Value::Flag(flag) => Some(flag.into()),
            Value::Integer(integer) => Some(integer.into()),
            Value::Number(number) => Some(number.into()),
            Value::Text(text) => Some(text.into()),
            Value::Numbers(numbers) => Some(Toml::Array(numbers.iter().map(|n| Toml::Float(*n)).collect())),
            Value::Table => match self.range {
                Range::Table(keys) => Some(Toml::Table(filled(keys, Table::new()))),
                _ => Some(Toml::Table(Table::new())),
            },
        }
    }

    /// Whether `value` is the default, but for the rounding of 32 bits and for keys that it does not give.
    pub fn is_default(&self, value: &Toml) -> bool {
        match (self.default_value(), self.range) {
            (Some(own), Range::Table(keys)) => match (own.as_table(), value.as_table()) {
                (Some(_), Some(given)) => given
                    .iter()
                    .all(|(name, value)| keys.iter().any(|key| key.name == name && key.is_default(value))),
                _ => false,
            },
            (Some(own), _) => alike(&own, value),
            (None, _) => false,
        }
    }
}

/// Whether two values are the same, but for the rounding of 32 bits.
fn alike(one: &Toml, other: &Toml) -> bool {
    match (one.as_array(), other.as_array(), number(one), number(other)) {
        (Some(one), Some(other), ..) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (_, _, Some(one), Some(other)) => one as f32 == other as f32,
        _ => one == other,
    }
}

/// A key that is not known in `section`, and the nearest that is.
pub fn unknown<'a>(section: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Problem {
    let hint = did_you_mean(name, known);
    Problem {
        path: format!("{section}.{name}"),
        reason: format!("there is no key `{name}` in [{section}]{hint}"),
    }
}

/// `table` with the defaults of `keys` where it does not say.
pub fn filled(keys: &[Key], mut table: Table) -> Table {
    for key in keys {
        fill(key, &mut table);
    }
    table
}

/// Writes the default of `key` to `table` where that does not say.
pub fn fill(key: &Key, table: &mut Table) {
    match (table.remove(key.name), key.range) {
        (Some(Toml::Table(inner)), Range::Table(keys)) => {
            table.insert(key.name.to_owned(), Toml::Table(filled(keys, inner)));
        }
        (Some(value), _) => {
            table.insert(key.name.to_owned(), value);
        }
        (None, _) => {
            if let Some(value) = key.default_value() {
                table.insert(key.name.to_owned(), value);
            }
        }
    }
}

/// Options that a part of a recipe gives, see [`options!`](crate::options!).
pub trait Options: DeserializeOwned {
    /// Their keys.
    const KEYS: &'static [Key];
}

/// The options of a recipe that says nothing.
pub fn defaults<O: Options>() -> O {
    read(&filled(O::KEYS, Table::new()))
        .unwrap_or_else(|error| unreachable!("a default is possible: {error}"))
}

/// The options that `table` gives, and the defaults of what it does not.
///
/// # Errors
/// Where a value is of another type.
pub fn from_table<O: Options>(table: Table) -> Result<O, toml::de::Error> {
    read(&filled(O::KEYS, table))
}

/// The options that `table` gives, its other keys left aside.
fn read<O: Options>(table: &Table) -> Result<O, toml::de::Error> {
    let own = O::KEYS.iter().filter_map(|key| Some((key.name.to_owned(), table.get(key.name)?.clone())));
    Toml::Table(own.collect()).try_into()
}

/// Declares options: a struct with a default and, from the same lines, its [`Key`]s.
///
/// A line is the sentence of the key as its documentation, its name and type, its default as a [`Value`](crate::options::Value), and
/// what is possible as a [`Range`](crate::options::Range).
#[macro_export]
macro_rules! options {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident {
            $( $(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:expr, $range:expr; )*
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )*
        }

        impl $crate::options::Options for $name {
            const KEYS: &'static [$crate::options::Key] = &[
                $( $crate::options::Key {
                    name: stringify!($field),
                    default: $default,
                    range: $range,
                    about: concat!($($doc),+),
                } ),*
            ];
        }

        impl Default for $name {
            fn default() -> Self {
                $crate::options::defaults()
            }
        }
    };
}

/// All that a valid recipe says, every default written out.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings(pub(crate) Table);

impl Settings {
    /// The value at `path`, a section and a key or more.
    pub fn value(&self, path: &str) -> Option<&Toml> {
        let mut keys = path.split('.');
        let mut here = self.0.get(keys.next()?)?;
        for key in keys {
            here = here.as_table()?.get(key)?;
        }
        Some(here)
    }

    /// The string at `path`.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.value(path)?.as_str()
    }

    /// The strings of the list at `path`; none where there is no list.
    pub fn texts(&self, path: &str) -> Vec<String> {
        let values = self.value(path).and_then(Toml::as_array).into_iter().flatten();
        values.filter_map(|value| value.as_str().map(str::to_owned)).collect()
    }

    /// The integer at `path`.
    pub fn integer(&self, path: &str) -> Option<i64> {
        self.value(path)?.as_integer()
    }

    /// Whether `path` is true.
    pub fn is_set(&self, path: &str) -> bool {
        self.value(path).and_then(Toml::as_bool).unwrap_or(false)
    }

    /// A section; an empty one where the recipe has none.
    pub fn section(&self, name: &str) -> Table {
        self.value(name).and_then(Toml::as_table).cloned().unwrap_or_default()
    }

    /// The options that a section gives.
    ///
    /// # Errors
    /// [`LearnError::Recipe`] where a value is of another type: a key is declared otherwise than its field.
    pub fn read<O: Options>(&self, section: &str) -> Result<O, LearnError> {
        read(&self.section(section)).map_err(|error| refuse(section, error.message()))
    }

    /// What stands at `path` as any type that serde reads; `None` where it is absent.
    ///
    /// # Errors
    /// [`LearnError::Recipe`] where it cannot be read so.
    pub fn parse<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, LearnError> {
        let value = self.value(path).cloned();
        value
            .map(|value| value.try_into().map_err(|error: toml::de::Error| refuse(path, error.message())))
            .transpose()
    }

    /// Puts `value` at `path`.
    pub fn set(&mut self, path: &str, value: Toml) {
        let mut keys: Vec<&str> = path.split('.').collect();
        let Some(last) = keys.pop() else { return };
        let mut here = &mut self.0;
        for key in keys {
            let entry = here.entry(key).or_insert_with(|| Toml::Table(Table::new()));
            if !entry.is_table() {
                *entry = Toml::Table(Table::new());
            }
            let Toml::Table(inner) = entry else { return };
            here = inner;
        }
        here.insert(last.to_owned(), value);
    }

    /// Takes away what stands at `path`.
    pub fn remove(&mut self, path: &str) {
        let (section, key) = path.split_once('.').unwrap_or(("", path));
        match self.0.get_mut(section) {
            Some(Toml::Table(section)) => drop(section.remove(key)),
            _ => drop(self.0.remove(key)),
        }
    }
}

/// A recipe that is refused at `place`.
pub fn refuse(place: &str, reason: impl Into<String>) -> LearnError {
    LearnError::Recipe { place: place.to_owned(), reason: reason.into() }
}

/// Refuses at `place` unless it holds.
///
/// # Errors
/// [`LearnError::Recipe`].
pub fn require(holds: bool, place: &str, reason: impl Into<String>) -> Result<(), LearnError> {
    if holds { Ok(()) } else { Err(refuse(place, reason)) }
}

#[cfg(test)]
#[expect(unreachable_pub, reason = "options are declared as what others read")]
mod tests {
    use super::*;

    options! {
        /// Options of nothing.
        pub struct Sample {
            /// A share.
            share: f32 = Value::Number(0.1), FRACTION;
            /// A name,
            /// on two lines.
            name: String = Value::Text("one"), Range::OneOf(&["one", "two"]);
            /// More.
            inner: Option<Inner> = Value::Absent("none"), Range::Table(Inner::KEYS);
        }
    }

    options! {
        /// Options within.
        pub struct Inner {
            /// How many.
            count: usize = Value::Integer(3), SOME;
        }
    }

    fn check(text: &str) -> Result<(), Problem> {
        let table: Table = text.parse().unwrap();
        Sample::KEYS
            .iter()
            .try_for_each(|key| table.get(key.name).map_or(Ok(()), |value| key.check("s", value)))
    }

    #[test]
    fn one_declaration_gives_defaults_ranges_and_sentences() {
        assert_eq!(Sample::default(), Sample { share: 0.1, name: "one".to_owned(), inner: None });
        assert_eq!(Sample::KEYS[1].about, " A name, on two lines.");
        let table = filled(Sample::KEYS, "inner = {}".parse().unwrap());
        assert_eq!(read::<Sample>(&table).unwrap().inner, Some(Inner { count: 3 }));
    }

    #[test]
    fn what_is_impossible_is_named_with_what_would_be_right() {
        assert!(check("share = 0.5\nname = \"two\"\ninner = { count = 1 }").is_ok());
        for (text, path, reason) in [
            ("share = 1.0", "s.share", "0 up to below 1"),
            ("share = nan", "s.share", "0 up to below 1"),
            ("name = \"twoo\"", "s.name", "did you mean `two`?"),
            ("name = 3", "s.name", "3 is not one of"),
            ("inner = { count = 0 }", "s.inner.count", "at least 1"),
            ("inner = { count = 2.5 }", "s.inner.count", "a whole number, at least 1"),
            ("inner = { cont = 1 }", "s.inner.cont", "did you mean `count`?"),
            ("inner = 1", "s.inner", "a table"),
        ] {
            let problem = check(text).unwrap_err();
            assert!(problem.path == path && problem.reason.contains(reason), "{text}: {problem:?}");
        }
    }

    #[test]
    fn a_default_is_known_by_its_value_in_32_bits() {
        let [share, _, inner] = Sample::KEYS else { unreachable!() };
        assert!(share.is_default(&Toml::Float(f64::from(0.1_f32))) && !share.is_default(&Toml::Float(0.2)));
        assert!(!inner.is_default(&Toml::Table(Table::new())), "absent is the default");
    }
}
