//! Pairs of sentences with the similarity that people gave them: STS 2012 to 2016, STS-B and SICK.

use super::lines::{Lines, shortened};
use crate::error::DataError;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// The names that [`sts`] knows. `stsb` is the test part.
pub const STS_NAMES: &[&str] = &[
    "sts12",
    "sts13",
    "sts14",
    "sts15",
    "sts16",
    "stsb",
    "stsb/train",
    "stsb/dev",
    "stsb/test",
    "sickr",
    "sickr/train",
];

/// Scored pairs of sentences.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sts {
    /// Its name, one of [`STS_NAMES`].
    pub name: String,
    /// The pairs.
    pub pairs: Vec<(String, String)>,
    /// The similarity of each pair: 0 to 5, of SICK 1 to 5.
    pub scores: Vec<f32>,
    /// The parts that evaluations look at one by one: their names and how many pairs each has, in order. They make up all pairs.
    pub subsets: Vec<(String, usize)>,
}

impl Sts {
    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is no pair at all.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    fn push(&mut self, first: &str, second: &str, score: f32) {
        self.pairs.push((first.to_owned(), second.to_owned()));
        self.scores.push(score);
    }
}

/// Opens a set by name, below `root`: STS 2012 to 2016 in `senteval/STS/STS12-en-test` and so on, with or without the folders above;
/// STS-B in `stsbenchmark`; SICK in `senteval/SICK` or `SICK`. `None` where its files are not there.
///
/// Pairs without a score, which STS 2015 and 2016 have, are left out, as everybody does. A part without scores (SMT of 2013) or
/// without texts is not there.
///
/// # Errors
/// [`DataError::UnknownTexts`]; [`DataError::Io`]; [`DataError::Line`] where a line has the wrong fields, an empty sentence, or a score
/// out of range; [`DataError::TextFile`] where the scores are not as many as the pairs.
pub fn sts(root: &Path, name: &str) -> Result<Option<Sts>, DataError> {
    let (set, part) = name.split_once('/').unwrap_or((name, ""));
    match (set, part) {
        ("stsb", "" | "test" | "dev" | "train") => {
            let file = format!("sts-{}.csv", if part.is_empty() { "test" } else { part });
            let folders =
                ["stsbenchmark", "STSBenchmark", "senteval/STS/STSBenchmark", "STS/STSBenchmark", ""];
            let Some(path) = below(root, &folders, &file) else { return Ok(None) };
            stsb(&path, name).map(Some)
        }
        ("sickr", "" | "test" | "train") => {
            let files: &[&str] = if part == "train" {
                &["SICK_train.txt"]
            } else {
                &["SICK_test_annotated.txt", "SICK_test.txt"]
            };
            let folders = ["senteval/SICK", "SICK", "sick", "senteval-transfer/SICK", ""];
            let Some(path) = files.iter().find_map(|file| below(root, &folders, file)) else {
                return Ok(None);
            };
            sick(&path, name).map(Some)
        }
        ("sts12" | "sts13" | "sts14" | "sts15" | "sts16", "") => semeval(root, name),
        _ => Err(super::known::unknown(name)),
    }
}

fn below(root: &Path, folders: &[&str], file: &str) -> Option<PathBuf> {
    folders.iter().map(|folder| root.join(folder).join(file)).find(|path| path.is_file())
}

fn score(lines: &Lines, text: &str, range: RangeInclusive<f32>) -> Result<f32, DataError> {
    let score = text.trim().parse().ok().filter(|score| range.contains(score));
    score.ok_or_else(|| {
        let (least, most) = (range.start(), range.end());
        lines.wrong(format!("the score {:?} is no number from {least} to {most}", shortened(text)))
    })
}

fn sentences<'t>(lines: &Lines, first: &'t str, second: &'t str) -> Result<(&'t str, &'t str), DataError> {
    if first.trim().is_empty() || second.trim().is_empty() {
        return Err(lines.wrong("a sentence is empty"));
    }
    Ok((first, second))
}

/// STS-B: genre, file, year, id, score, two sentences, and sometimes two sources more.
fn stsb(path: &Path, name: &str) -> Result<Sts, DataError> {
    let mut set = Sts { name: name.to_owned(), ..Sts::default() };
    let mut lines = Lines::utf8(path)?;
    while let Some(line) = lines.next()?.map(str::to_owned) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [_, _, _, _, value, first, second, ..] = fields[..] else {
            return Err(
                lines.wrong(format!("it has {} fields between tabs, at least 7 are wanted", fields.len()))
            );
        };
        let (first, second) = sentences(&lines, first, second)?;
        set.push(first, second, score(&lines, value, 0.0..=5.0)?);
    }
    finish(set, path, "all")
}

/// SICK: a line of names; pair, two sentences, relatedness, entailment.
fn sick(path: &Path, name: &str) -> Result<Sts, DataError> {
    let mut set = Sts { name: name.to_owned(), ..Sts::default() };
    let mut lines = Lines::utf8(path)?;
    while let Some(line) = lines.next()?.map(str::to_owned) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [pair, first, second, value, _, ..] = fields[..] else {
            return Err(
                lines.wrong(format!("it has {} fields between tabs, at least 5 are wanted", fields.len()))
            );
        };
        if lines.number() == 1 && pair == "pair_ID" {
            continue;
        }
        let (first, second) = sentences(&lines, first, second)?;
        set.push(first, second, score(&lines, value, 1.0..=5.0)?);
    }
    finish(set, path, "all")
}

fn finish(mut set: Sts, path: &Path, subset: &str) -> Result<Sts, DataError> {
    if set.is_empty() {
        return Err(DataError::text_file(path, "it has no pair with a score"));
    }
    set.subsets.push((subset.to_owned(), set.len()));
    Ok(set)
}

/// A year of STS: `STS.input.PART.txt` with two sentences a line, and as many lines of scores in `STS.gs.PART.txt`.
fn semeval(root: &Path, name: &str) -> Result<Option<Sts>, DataError> {
    let folder = format!("{}-en-test", name.to_uppercase());
    let folders = ["senteval/STS", "STS", ""].map(|above| root.join(above).join(&folder));
    let Some(folder) = folders.into_iter().find(|folder| folder.is_dir()) else { return Ok(None) };
    semeval_folder(&folder, name).map(Some)
}

fn semeval_folder(folder: &Path, name: &str) -> Result<Sts, DataError> {
    let mut parts = Vec::new();
    for entry in folder.read_dir().map_err(DataError::io("list", folder))? {
        let file = entry.map_err(DataError::io("list", folder))?.file_name();
        let part = file.to_str().and_then(|file| file.strip_prefix("STS.input.")?.strip_suffix(".txt"));
        parts.extend(part.map(str::to_owned));
    }
    parts.sort_unstable();
    let mut set = Sts { name: name.to_owned(), ..Sts::default() };
    for part in parts {
        let gold = folder.join(format!("STS.gs.{part}.txt"));
        if !gold.is_file() {
            continue;
        }
        let path = folder.join(format!("STS.input.{part}.txt"));
        let before = set.len();
        let (mut lines, mut scores) = (Lines::utf8(&path)?, Lines::utf8(&gold)?);
        loop {
            let (line, value) = (lines.next()?.map(str::to_owned), scores.next()?.map(str::to_owned));
            let (line, value) = match (line, value) {
                (Some(line), Some(value)) => (line, value),
                (None, None) => break,
                (line, _) => {
                    let fewer = if line.is_some() { "fewer" } else { "more" };
                    let problem = format!("it has {fewer} lines than {} has pairs", path.display());
                    return Err(DataError::text_file(&gold, problem));
                }
            };
            if value.trim().is_empty() {
                continue;
            }
            let fields: Vec<&str> = line.split('\t').collect();
            let [first, second, ..] = fields[..] else {
                return Err(lines.wrong("two sentences with a tab between are wanted"));
            };
            let (first, second) = sentences(&lines, first, second)?;
            set.push(first, second, score(&scores, &value, 0.0..=5.0)?);
        }
        set.subsets.push((part, set.len() - before));
    }
    if set.is_empty() {
        return Err(DataError::text_file(folder, "it has no pair with a score"));
    }
    Ok(set)
}

/// Opens a folder of a year of STS (`STS.input.PART.txt` and `STS.gs.PART.txt`), or a file of STS-B or of SICK under its published name.
/// `None` where `path` is none of these.
///
/// # Errors
/// As [`sts`].
pub(super) fn sts_at(path: &Path) -> Result<Option<Sts>, DataError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if path.is_dir() {
        let begins = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("STS.input."))
        };
        let is_year = path.read_dir().map_err(DataError::io("list", path))?.any(begins);
        return if is_year { semeval_folder(path, name).map(Some) } else { Ok(None) };
    }
    match name {
        "sts-train.csv" | "sts-dev.csv" | "sts-test.csv" => stsb(path, name).map(Some),
        "SICK_train.txt" | "SICK_test.txt" | "SICK_test_annotated.txt" => sick(path, name).map(Some),
        _ => Ok(None),
    }
}
