//! The reference of recipes, `docs/reference/recipe.md`: prose from `reference.md` beside this file, tables from a registry.

use crate::options::{Condition, Key, Range, Value};
use crate::registry::{Kind, Registry, quoted};

/// The prose, in which `<!-- table: NAME -->` stands for a table.
const PROSE: &str = include_str!("reference.md");

/// The whole page.
pub fn markdown(registry: &Registry) -> String {
    let mut page = String::new();
    let mut others = registry.sections();
    for line in PROSE.lines() {
        match line.strip_prefix("<!-- table: ").and_then(|line| line.strip_suffix(" -->")) {
            Some("combinations") => page.push_str(&combinations(registry)),
            Some("data") => page.push_str(&data_sets(registry)),
            Some("data keys") => page.push_str(&keys(registry, "data")),
            Some(section) => {
                page.push_str(&keys(registry, section));
                others.retain(|other| *other != section);
            }
            None => {
                page.push_str(line);
                page.push('\n');
            }
        }
    }
    // `[data]` has stood there in parts; what is left belongs to entries that the prose does not know.
    let others = others.into_iter().filter(|section| *section != "data");
    page.extend(others.map(|section| format!("\n## `[{section}]`\n\n{}", keys(registry, section))));
    page
}

/// What goes with what.
fn combinations(registry: &Registry) -> String {
    let head = "| `method.kind` | `encoder.kind` | `negatives.kind` | `loss.kind` | `loss.temperature` | |\n|---|---|---|---|---|---|\n";
    let row = |method: &crate::method::MethodEntry| {
        fn names<T>(entries: &[&T], name: fn(&T) -> &'static str) -> String {
            quoted(&entries.iter().map(|entry| name(entry)).collect::<Vec<&str>>())
        }
        let encoders = names(&registry.encoders_of(method), |entry| entry.kind);
        let negatives = names(&registry.negatives_of(method), |entry| entry.kind);
        let losses = names(&registry.losses_of(method), |entry| entry.kind);
        let temperature = method.defaults.iter().find(|default| default.then.0 == "loss.temperature");
        let temperature = match temperature.map(|default| default.then.1) {
            Some(Value::Number(temperature)) => temperature.to_string(),
            _ => "–".to_owned(),
        };
        let (kind, paper, about) = (method.kind, method.paper, method.about);
        format!("| `{kind}` | {encoders} | {negatives} | {losses} | {temperature} | {about} ({paper}) |\n")
    };
    std::iter::once(head.to_owned()).chain(registry.methods.iter().map(row)).collect()
}

/// The data sets of each modality.
fn data_sets(registry: &Registry) -> String {
    let row = |modality: &crate::modality::ModalityEntry| {
        let encoders = registry.encoders.iter().filter(|encoder| encoder.modalities.contains(&modality.kind));
        let encoders = quoted(&encoders.map(|encoder| encoder.kind).collect::<Vec<&str>>());
        format!("| `{}` | {encoders} | {} |\n", modality.kind, modality.about)
    };
    let head = "| modality | read by | `data.name` |\n|---|---|---|\n".to_owned();
    std::iter::once(head).chain(registry.modalities.iter().map(row)).collect()
}

/// A key, and who reads it.
struct Row {
    path: String,
    key: Key,
    readers: Vec<(Kind, &'static str)>,
    defaults: Vec<(String, Vec<String>)>,
    /// What it decides, in words, and for whom.
    abouts: Vec<(String, Vec<String>)>,
}

/// The table of a section.
fn keys(registry: &Registry, section: &str) -> String {
    let mut rows: Vec<Row> = Vec::new();
    for offer in registry.offers().iter().filter(|offer| offer.section == section) {
        add(&mut rows, offer.key.name, &offer.key, &offer.readers);
    }
    own_defaults(registry, section, &mut rows);
    let everybody = rows.iter().all(|row| row.readers.is_empty());
    let mut lines = Vec::new();
    if let Some(names) = registry.kinds(section) {
        let chosen = if section == "method" { "`\"simclr\"`" } else { "the method's" };
        let about = kinds(registry, section);
        let names = quoted(&names);
        lines.push(format!("| `kind` | {names} | {chosen} | all | {about} |\n"));
    }
    for row in &rows {
        let (range, default) = (
            row.key.range.words(),
            alternatives(&row.defaults, ", ", |text, names| format!("{text} ({names})")),
        );
        let readers = if everybody { String::new() } else { format!(" {} |", readers(registry, row)) };
        let about = alternatives(&row.abouts, " ", |text, names| format!("{names}: {text}"));
        lines.push(format!("| `{}` | {range} | {default} |{readers} {about} |\n", row.path));
    }
    let head = if everybody {
        "| key | values | default | meaning |\n|---|---|---|---|\n"
    } else {
        "| key | values | default | read under | meaning |\n|---|---|---|---|---|\n"
    };
    format!("{head}{}", lines.concat())
}

fn kinds(registry: &Registry, section: &str) -> String {
    let about = |kind: &str, about: &str| format!("`{kind}`: {about}");
    let all: Vec<String> = match section {
        "encoder" => registry.encoders.iter().map(|entry| about(entry.kind, entry.about)).collect(),
        "negatives" => registry.negatives.iter().map(|entry| about(entry.kind, entry.about)).collect(),
        "loss" => registry.losses.iter().map(|entry| about(entry.kind, entry.about)).collect(),
        _ => vec!["see the table above".to_owned()],
    };
    all.join("; ")
}

/// Adds a key, and those within it where it is a table.
fn add(rows: &mut Vec<Row>, path: &str, key: &Key, readers: &[(Kind, &'static str)]) {
    if let (Range::Table(inner), Value::Table) = (key.range, key.default) {
        for within in inner {
            add(rows, &format!("{path}.{}", within.name), within, readers);
        }
        return;
    }
    let (default, about) = (written(key), key.about.trim().to_owned());
    let name = readers.last().map(|(_, name)| (*name).to_owned());
    match rows.iter_mut().find(|row| row.path == path) {
        Some(row) => {
            row.readers
                .extend(readers.iter().filter(|reader| !row.readers.contains(reader)).collect::<Vec<_>>());
            for (known, text) in [(&mut row.defaults, default), (&mut row.abouts, about)] {
                match known.iter_mut().find(|(known, _)| *known == text) {
                    Some((_, names)) => names.extend(name.clone()),
                    None => known.push((text, name.iter().cloned().collect())),
                }
            }
        }
        None => rows.push(Row {
            path: path.to_owned(),
            key: *key,
            readers: readers.to_vec(),
            defaults: vec![(default, name.iter().cloned().collect())],
            abouts: vec![(about, name.into_iter().collect())],
        }),
    }
    if let Range::Table(inner) = key.range {
        for within in inner {
            add(rows, &format!("{path}.{}", within.name), within, readers);
        }
    }
}

/// A default as TOML, or what its absence means.
fn written(key: &Key) -> String {
    match (key.default, key.default_value()) {
        (Value::Absent(meaning), _) => meaning.to_owned(),
        (_, Some(value)) => format!("`{value}`"),
        _ => "–".to_owned(),
    }
}

/// Puts in what methods choose in other sections.
fn own_defaults(registry: &Registry, section: &str, rows: &mut [Row]) {
    for row in rows.iter_mut() {
        let path = format!("{section}.{}", row.path);
        if path == "loss.temperature" {
            row.defaults = vec![("the method's".to_owned(), Vec::new())];
            continue;
        }
        for method in &registry.methods {
            for default in method.defaults.iter().filter(|default| default.then.0 == path) {
                let value = written(&Key { default: default.then.1, ..row.key });
                let condition = default.when.map(Condition::words);
                row.defaults
                    .push((value, std::iter::once(method.kind.to_owned()).chain(condition).collect()));
            }
        }
    }
}

/// Texts of which each holds for others: one by itself, several with whom they hold for.
fn alternatives(
    texts: &[(String, Vec<String>)],
    between: &str,
    with: impl Fn(&str, &str) -> String,
) -> String {
    match texts {
        [(one, _)] => one.clone(),
        several => {
            let each = several.iter().map(|(text, names)| {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                if names.is_empty() { text.clone() } else { with(text, &quoted(&names)) }
            });
            each.collect::<Vec<String>>().join(between)
        }
    }
}

/// Who reads a key; a kind of reader of which all are named is left out.
fn readers(registry: &Registry, row: &Row) -> String {
    let mut words = Vec::new();
    for kind in [Kind::Modality, Kind::Encoder, Kind::Method, Kind::Negatives, Kind::Loss] {
        let names: Vec<&str> =
            row.readers.iter().filter(|(own, _)| *own == kind).map(|(_, name)| *name).collect();
        if !names.is_empty() && names.len() < registry.names(kind).len() {
            words.push(quoted(&names));
        }
    }
    if words.is_empty() { "all".to_owned() } else { words.join("; ") }
}
