//! Sets of texts by name: the published ones, and the one that is made.

use super::beir::{Retrieval, open_beir};
use super::clinc;
use super::lines::InvalidUtf8;
use super::read::{ReadOptions, read, read_columns};
use super::senteval::{TRANSFER_NAMES, Transfer, transfer};
use super::sts::{STS_NAMES, Sts, sts, sts_at};
use super::text_set::TextSet;
use super::wares;
use crate::error::DataError;
use lookalike_base::words::did_you_mean;
use std::path::Path;

/// A set of texts with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownTexts {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub description: &'static str,
    /// Its parts, the first of which is meant where none is named; empty where it has only one.
    pub parts: &'static [&'static str],
    layout: Layout,
}

/// Where its files are below the root; `{}` stands for the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// A file, its columns, its label and its group.
    Table {
        file: &'static str,
        header: bool,
        columns: &'static [&'static str],
        label: &'static str,
        group: &'static str,
    },
    /// Files side by side, one a column.
    Columns(&'static [(&'static str, &'static str)]),
    Clinc,
    Beir(&'static str),
    Sts,
    Transfer,
    /// No file at all.
    Wares,
}

const fn table(
    file: &'static str,
    header: bool,
    columns: &'static [&'static str],
    label: &'static str,
    group: &'static str,
) -> Layout {
    Layout::Table { file, header, columns, label, group }
}

const fn known(
    name: &'static str,
    description: &'static str,
    parts: &'static [&'static str],
    layout: Layout,
) -> KnownTexts {
    KnownTexts { name, description, parts, layout }
}

const KNOWN: &[KnownTexts] = &[
    known(
        "wares",
        "what customers ask for and lines of a catalogue, 20,000 pairs of 1,000 families, made when opened",
        &[],
        Layout::Wares,
    ),
    known(
        "tldr",
        "what a command does and the command, 32,136 pairs of 7,240 commands",
        &[],
        table("tldr/pairs.jsonl.gz", true, &["description", "command"], "", "page"),
    ),
    known(
        "medquad",
        "medical questions and answers, 16,407 pairs about 4,742 subjects",
        &[],
        table("medquad/pairs.jsonl.gz", true, &["question", "answer"], "type", "focus"),
    ),
    known(
        "multi30k",
        "five captions an image, the first the longest, 29,000 + 1,014 + 1,000 images",
        &["train", "val", "test_2016"],
        Layout::Columns(&[
            ("caption1", "multi30k/{}.1.en.gz"),
            ("caption2", "multi30k/{}.2.en.gz"),
            ("caption3", "multi30k/{}.3.en.gz"),
            ("caption4", "multi30k/{}.4.en.gz"),
            ("caption5", "multi30k/{}.5.en.gz"),
        ]),
    ),
    known(
        "quora",
        "pairs of questions, class 1 where they ask the same, 10,000 + 10,000",
        &["dev", "test"],
        table("quora/{}.tsv.gz", false, &["2", "3"], "1", ""),
    ),
    known(
        "snli-small",
        "a sentence, one that follows and one that contradicts, 2,954 + 2,929",
        &["dev", "test"],
        table("snli-small/triplets.{}.tsv.gz", false, &["1", "2", "3"], "", ""),
    ),
    known(
        "banking77",
        "questions to a bank, 77 classes, 10,003 + 3,080",
        &["train", "test"],
        table("banking77/{}.csv.gz", true, &["text"], "category", ""),
    ),
    known(
        "clinc150",
        "requests to an assistant, 150 classes and what is out of scope, 15,000 + 3,000 + 4,500",
        &["train", "val", "test", "oos_train", "oos_val", "oos_test"],
        Layout::Clinc,
    ),
    known(
        "scifact",
        "claims and the abstracts that support or refute them, 5,183 documents",
        &["test", "train"],
        Layout::Beir("scifact"),
    ),
    known("sts12", "scored pairs of SemEval 2012, 3,108", &[], Layout::Sts),
    known("sts13", "scored pairs of SemEval 2013 without SMT, 1,500", &[], Layout::Sts),
    known("sts14", "scored pairs of SemEval 2014, 3,750", &[], Layout::Sts),
    known("sts15", "scored pairs of SemEval 2015, 3,000", &[], Layout::Sts),
    known("sts16", "scored pairs of SemEval 2016, 1,186", &[], Layout::Sts),
    known(
        "stsb",
        "scored pairs of the STS benchmark, 1,379 + 1,500 + 5,749",
        &["test", "dev", "train"],
        Layout::Sts,
    ),
    known("sickr", "scored pairs of SICK, relatedness", &["test", "train"], Layout::Sts),
    known("mr", "sentences of film reviews, negative or positive, 10,662", &[], Layout::Transfer),
    known(
        "cr",
        "sentences of customers' reviews, negative or positive, 3,771 that are not empty",
        &[],
        Layout::Transfer,
    ),
    known("subj", "sentences about films, subjective or objective, 10,000", &[], Layout::Transfer),
    known("mpqa", "phrases, negative or positive, 10,603 that are not empty", &[], Layout::Transfer),
    known("sst2", "sentences and phrases of film reviews, 67,349 + 872 + 1,821", &[], Layout::Transfer),
    known("trec", "questions by what they ask for, 6 classes, 5,452 + 500", &[], Layout::Transfer),
    known(
        "mrpc",
        "pairs of sentences, class 1 where one paraphrases the other, 4,076 + 1,725",
        &[],
        Layout::Transfer,
    ),
];

impl KnownTexts {
    /// The column by which its rows are grouped, where it has one.
    pub fn group(&self) -> Option<&'static str> {
        match self.layout {
            Layout::Table { group, .. } => Some(group).filter(|group| !group.is_empty()),
            Layout::Beir(_) => Some("query"),
            Layout::Wares => Some("family"),
            _ => None,
        }
    }

    /// Whether it is made when it is opened and needs no file.
    pub fn is_made(&self) -> bool {
        self.layout == Layout::Wares
    }
}

/// All sets that [`open`] knows.
pub fn list() -> &'static [KnownTexts] {
    KNOWN
}

/// A set that was opened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum OpenedTexts {
    /// Rows of texts.
    Texts(TextSet),
    /// Scored pairs.
    Sts(Sts),
    /// A transfer task.
    Transfer(Box<Transfer>),
    /// Queries and documents.
    Retrieval(Retrieval),
}

/// Opens the set `name`, or `name/part` such as `quora/test`, whose files are below `root`. Returns it and warnings that the user
/// should see.
///
/// # Errors
/// [`DataError::UnknownTexts`]; [`DataError::NoTexts`] where its files are not there; whatever makes a file unreadable.
pub fn open(name: &str, root: &Path) -> Result<(OpenedTexts, Vec<String>), DataError> {
    let (set, part) = name.split_once('/').map_or((name, None), |(set, part)| (set, Some(part)));
    let info = KNOWN.iter().find(|info| info.name == set).ok_or_else(|| unknown(name))?;
    let part = match part {
        None => info.parts.first().copied().unwrap_or_default(),
        Some(part) => {
            info.parts.iter().find(|known| **known == part).copied().ok_or_else(|| unknown(name))?
        }
    };
    let absent =
        |wanted: Vec<String>| DataError::NoTexts { name: name.to_owned(), root: root.into(), wanted };
    let named = |mut set: TextSet| {
        name.clone_into(&mut set.name);
        OpenedTexts::Texts(set)
    };
    match info.layout {
        Layout::Table { file, header, columns, label, group } => {
            let file = file.replace("{}", part);
            let path = root.join(&file);
            if !path.is_file() {
                return Err(absent(vec![file]));
            }
            let given = |name: &str| (!name.is_empty()).then(|| name.to_owned());
            let options = ReadOptions {
                columns: columns.iter().map(|column| (*column).to_owned()).collect(),
                label: given(label),
                group: given(group),
                no_header: !header,
                invalid_utf8: InvalidUtf8::Replace,
                ..ReadOptions::default()
            };
            read(&path, &options).map(|(set, warnings)| (named(set), warnings))
        }
        Layout::Columns(columns) => {
            let files: Vec<String> = columns.iter().map(|(_, file)| file.replace("{}", part)).collect();
            let paths: Vec<_> = files.iter().map(|file| root.join(file)).collect();
            if let Some(missing) = paths.iter().position(|path| !path.is_file()) {
                return Err(absent(vec![files[missing].clone()]));
            }
            let pairs: Vec<_> =
                columns.iter().zip(&paths).map(|((column, _), path)| (*column, path.as_path())).collect();
            read_columns(&pairs, &ReadOptions::default()).map(|(set, warnings)| (named(set), warnings))
        }
        Layout::Clinc => {
            let path = root.join("clinc150/data_full.json.gz");
            if !path.is_file() {
                return Err(absent(vec!["clinc150/data_full.json.gz".to_owned()]));
            }
            clinc::read(&path, part).map(|(set, warnings)| (named(set), warnings))
        }
        Layout::Wares => Ok((named(wares::wares(wares::SEED, wares::FAMILIES)), Vec::new())),
        Layout::Beir(folder) => {
            let (set, warnings) = open_beir(&root.join(folder), part, false)?;
            Ok((OpenedTexts::Retrieval(set), warnings))
        }
        Layout::Sts => match sts(root, name)? {
            Some(set) => Ok((OpenedTexts::Sts(set), Vec::new())),
            None => Err(absent(vec![format!("the files of {set} in SentEval's layout")])),
        },
        Layout::Transfer => match transfer(root, name)? {
            Some((task, warnings)) => Ok((OpenedTexts::Transfer(Box::new(task)), warnings)),
            None => Err(absent(vec![format!("the files of {set} in SentEval's layout")])),
        },
    }
}

/// Opens what lies at `path`: a folder in BEIR's layout, of which `part` is judged, `test` where it is not given; a folder or file of STS,
/// or a folder of a transfer task, under their published names; or a file of rows, which `options` say how to read.
///
/// # Errors
/// [`DataError::TextFile`] for a folder that is none of these, or where `part` is given and there are no parts; as the reader of each.
pub fn open_at(
    path: &Path,
    part: Option<&str>,
    options: &ReadOptions,
) -> Result<(OpenedTexts, Vec<String>), DataError> {
    let is_beir = ["corpus.jsonl", "corpus.jsonl.gz"].iter().any(|file| path.join(file).is_file());
    if is_beir {
        let (set, warnings) = open_beir(path, part.unwrap_or("test"), false)?;
        return Ok((OpenedTexts::Retrieval(set), warnings));
    }
    if let Some(part) = part {
        return Err(DataError::text_file(
            path,
            format!("it is no folder in BEIR's layout and has no part `{part}`"),
        ));
    }
    if let Some(set) = sts_at(path)? {
        return Ok((OpenedTexts::Sts(set), Vec::new()));
    }
    if path.is_dir() {
        let names = || path.file_name().zip(path.parent());
        if let Some((name, above)) = names() {
            let name = name.to_string_lossy().to_lowercase();
            let name = if name == "sst" { "sst2".to_owned() } else { name };
            if TRANSFER_NAMES.contains(&name.as_str())
                && let Some((task, warnings)) = transfer(above, &name)?
            {
                return Ok((OpenedTexts::Transfer(Box::new(task)), warnings));
            }
        }
        return Err(DataError::text_file(
            path,
            "it is no folder of texts: it has neither corpus.jsonl (BEIR) nor STS.input files, and is no transfer task of SentEval",
        ));
    }
    read(path, options).map(|(set, warnings)| (OpenedTexts::Texts(set), warnings))
}

/// The error that no set is called `name`.
pub(super) fn unknown(name: &str) -> DataError {
    let mut available: Vec<&'static str> = Vec::new();
    for info in KNOWN {
        available.push(info.name);
    }
    debug_assert!(
        STS_NAMES
            .iter()
            .chain(TRANSFER_NAMES)
            .all(|name| available.contains(&name.split('/').next().unwrap_or(name)))
    );
    let parts = KNOWN.iter().find(|info| name.split_once('/').is_some_and(|(set, _)| set == info.name));
    let hint = match parts {
        Some(info) if info.parts.is_empty() => format!("; {} has no parts", info.name),
        Some(info) => format!("; the parts of {} are {}", info.name, info.parts.join(", ")),
        None => did_you_mean(name, available.iter().copied()),
    };
    DataError::UnknownTexts { name: name.to_owned(), hint, available }
}
