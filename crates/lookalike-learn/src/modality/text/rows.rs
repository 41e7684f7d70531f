//! Rows of texts as a recipe asks for them: read by name or path, in pairs or not, and divided into what is learned from and what is held
//! out.

use lookalike_base::words::did_you_mean;
use std::path::Path;

use lookalike_data::text::{self, Held, Names, OpenedTexts, ReadOptions, TextSet, held_out};

use super::TextOptions;
use crate::error::LearnError;
use crate::options::refuse;

/// The rows of one set.
pub(super) struct Rows {
    /// The set's name, or the path.
    pub(super) name: String,
    /// What is learned from.
    pub(super) train: TextSet,
    /// What is scored at the end.
    pub(super) test: Option<TextSet>,
    /// What is scored while training goes on.
    pub(super) development: Option<TextSet>,
    /// The group of each row to learn from that must not share a batch with another of it.
    pub(super) groups: Option<Names>,
    /// What a user should know.
    pub(super) warnings: Vec<String>,
    /// How many rows each part has, where it was divided.
    pub(super) note: Option<String>,
}

/// Where `text.development` asks for a tenth of the groups.
pub(super) const HELD_OUT: &str = "held-out";

impl Rows {
    /// The set `name`, or the file at that path below `root`: in `pairs`, or texts by themselves.
    pub(super) fn open(
        name: &str,
        root: &Path,
        options: &TextOptions,
        pairs: bool,
    ) -> Result<Self, LearnError> {
        let read = |key, column| read((name, root), options, (key, column), pairs);
        let (mut set, warnings) = read("text.hold_out", options.hold_out.as_deref())?;
        let held = set.groups.take().filter(|_| options.hold_out.is_some());
        let grouped = match (&options.group, &options.hold_out) {
            (None, _) => None,
            (Some(group), Some(held_out)) if group == held_out => held.clone(),
            (Some(group), _) => {
                // The same rows once more, by their other column.
                let (again, _) = read("text.group", Some(group))?;
                again.groups
            }
        };
        set.groups = grouped;
        let Some(held) = held else {
            let groups = set.groups.clone();
            let name = name.to_owned();
            return Ok(Self {
                name,
                train: set,
                test: None,
                development: None,
                groups,
                warnings,
                note: None,
            });
        };
        let part = options.development.as_deref() == Some(HELD_OUT);
        let held = held_out(&held, part);
        let of = |wanted: Held| {
            let rows: Vec<usize> = (0..set.len()).filter(|row| held[*row] == wanted).collect();
            set.select(&rows)
        };
        let (train, test) = (of(Held::Train), of(Held::Test));
        let development = part.then(|| of(Held::Development));
        for (part, key) in [(Some(&train), "text.hold_out"), (Some(&test), "text.hold_out")]
            .into_iter()
            .chain([(development.as_ref(), "text.development")])
        {
            if part.is_some_and(TextSet::is_empty) {
                let column = options.hold_out.as_deref().unwrap_or_default();
                let reason = format!(
                    "divides the {} rows of `{name}` by the values of `{column}`, and one part gets none of them; take a column of \
                     more different values",
                    set.len()
                );
                return Err(refuse(key, reason));
            }
        }
        let note = Some(format!(
            "{name}: {} rows to learn from, {} held out for the test{}",
            train.len(),
            test.len(),
            development.as_ref().map_or(String::new(), |part| format!(", {} for development", part.len()))
        ));
        let groups = train.groups.clone();
        Ok(Self { name: name.to_owned(), train, test: Some(test), development, groups, warnings, note })
    }
}

/// A set by name, or a file by its path, with the groups of the column that stands at `key` of the recipe.
fn read(
    (name, root): (&str, &Path),
    options: &TextOptions,
    (key, group): (&'static str, Option<&str>),
    pairs: bool,
) -> Result<(TextSet, Vec<String>), LearnError> {
    let chosen = options.columns.clone().unwrap_or_default();
    let path = root.join(name);
    let (mut set, warnings) = if path.is_file() {
        let read = ReadOptions {
            first_only: chosen.is_empty() && !pairs,
            columns: chosen.clone(),
            invalid_utf8: options.invalid_utf8.unwrap_or_default(),
            group: group.map(str::to_owned),
            ..ReadOptions::default()
        };
        text::read(&path, &read)?
    } else {
        let asked = Asked { key, group, chosen: &chosen, pairs, is_further: options.is_further(name) };
        known(name, root, asked)?
    };
    if pairs && chosen.is_empty() {
        // Negatives are such by name, never by chance.
        set.columns.truncate(2);
    }
    Ok((if pairs { set.pairs()? } else { set }, warnings))
}

/// What a recipe asks for of a set that is known by name.
#[derive(Clone, Copy)]
struct Asked<'a> {
    /// Where the column of groups stands.
    key: &'static str,
    group: Option<&'a str>,
    chosen: &'a [String],
    pairs: bool,
    /// Whether it is one of `text.further`: where columns are those of the first set, its own stand for them.
    is_further: bool,
}

fn known(
    name: &str,
    root: &Path,
    Asked { key, group, chosen, pairs, is_further }: Asked<'_>,
) -> Result<(TextSet, Vec<String>), LearnError> {
    let (opened, warnings) = text::open(name, root)?;
    let mut set = match opened {
        OpenedTexts::Texts(set) => set,
        OpenedTexts::Retrieval(data) => TextSet { name: name.to_owned(), ..TextSet::from(&data) },
        _ => {
            let reason = format!("`{name}` is a set to score on; sets of rows of texts are trained on");
            return Err(refuse("data.name", reason));
        }
    };
    let own = text::list().iter().find(|set| set.name == name.split('/').next().unwrap_or(name));
    let own = own.and_then(text::KnownTexts::group);
    if let Some(group) = group.filter(|group| own != Some(group)) {
        let texts = set
            .column(group)
            .map(|column| (0..set.len()).map(|row| column.row(row).next().unwrap_or_default()).collect());
        match texts {
            // Rows of one text are a group.
            Some(groups) => set.groups = Some(groups),
            None if is_further && own.is_some() => {}
            None => {
                let known =
                    own.map_or("has no such column".to_owned(), |own| format!("has groups by `{own}`"));
                return Err(refuse(key, format!("is `{group}`, and `{name}` {known}")));
            }
        }
    }
    let has_all = chosen.iter().all(|column| set.column(column).is_some());
    if !chosen.is_empty() && (has_all || !is_further) {
        let found = chosen.iter().map(|column| {
            set.column(column).cloned().ok_or_else(|| {
                let hint = did_you_mean(column, set.columns.iter().map(|column| column.name.as_str()));
                refuse("text.columns", format!("`{name}` has no column `{column}`{hint}"))
            })
        });
        set.columns = found.collect::<Result<_, LearnError>>()?;
    } else if !pairs {
        set.columns.truncate(1);
    }
    Ok((set, warnings))
}
