//! The transfer tasks of SentEval: texts with a class, which a classifier on frozen embeddings learns.

use super::collector::{Cell, Collector, Row};
use super::lines::{Encoding, InvalidUtf8, Lines, shortened};
use super::text_set::TextSet;
use crate::error::DataError;
use std::path::{Path, PathBuf};

/// The names that [`transfer`] knows.
pub const TRANSFER_NAMES: &[&str] = &["mr", "cr", "subj", "mpqa", "sst2", "trec", "mrpc"];

/// A transfer task. The columns of its parts are `text`, of `mrpc` `first` and `second`; all have labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Transfer {
    /// Its name, one of [`TRANSFER_NAMES`].
    pub name: String,
    /// What is learnt from; all there is of `mr`, `cr`, `subj` and `mpqa`, which are evaluated by cross-validation.
    pub train: TextSet,
    /// What choices are made by; only `sst2` has it.
    pub dev: Option<TextSet>,
    /// What is measured on; `sst2`, `trec` and `mrpc` have it.
    pub test: Option<TextSet>,
}

/// How a line becomes texts and a class.
#[derive(Clone, Copy)]
enum Layout {
    /// The whole line is a text of this class.
    Class(&'static str),
    /// A text, a tab, a class.
    TextClass,
    /// `CLASS:detail text`.
    Trec,
    /// A line of names; class, two ids, two texts.
    Mrpc,
}

/// Opens a task by name, from its folder (`MR`, `CR`, `SUBJ`, `MPQA`, `SST/binary`, `TREC`, `MRPC`) below `root`, its `senteval-transfer`
/// or its `senteval`; files may be gzipped. `None` where its files are not there. Warnings count empty texts, which are left out.
///
/// As SentEval does, MR, CR, SUBJ, MPQA and TREC are read as Latin-1.
///
/// # Errors
/// [`DataError::UnknownTexts`]; [`DataError::Io`]; [`DataError::Line`] where a line does not follow the layout.
pub fn transfer(root: &Path, name: &str) -> Result<Option<(Transfer, Vec<String>)>, DataError> {
    use Layout::{Class, Mrpc, TextClass, Trec};
    // The negative or subjective class comes first, as the order of names says.
    let (folder, train, dev, test): (_, &[(&str, Layout)], Option<&str>, Option<&str>) = match name {
        "mr" => (
            "MR",
            &[("rt-polarity.neg", Class("negative")), ("rt-polarity.pos", Class("positive"))],
            None,
            None,
        ),
        "cr" => ("CR", &[("custrev.neg", Class("negative")), ("custrev.pos", Class("positive"))], None, None),
        "mpqa" => ("MPQA", &[("mpqa.neg", Class("negative")), ("mpqa.pos", Class("positive"))], None, None),
        "subj" => (
            "SUBJ",
            &[("subj.subjective", Class("subjective")), ("subj.objective", Class("objective"))],
            None,
            None,
        ),
        "sst2" => {
            ("SST/binary", &[("sentiment-train", TextClass)], Some("sentiment-dev"), Some("sentiment-test"))
        }
        "trec" => ("TREC", &[("train_5500.label", Trec)], None, Some("TREC_10.label")),
        "mrpc" => ("MRPC", &[("msr_paraphrase_train.txt", Mrpc)], None, Some("msr_paraphrase_test.txt")),
        _ => return Err(super::known::unknown(name)),
    };
    let folders = ["", "senteval-transfer", "senteval"].map(|above| root.join(above).join(folder));
    let find = |file: &str| {
        let paths = folders.iter().flat_map(|folder| [folder.join(file), folder.join(format!("{file}.gz"))]);
        paths.into_iter().find(|path| path.is_file())
    };
    let locate = |files: &[(&str, Layout)]| -> Option<Vec<(PathBuf, Layout)>> {
        files.iter().map(|(file, layout)| Some((find(file)?, *layout))).collect()
    };
    let Some(files) = locate(train) else { return Ok(None) };
    let layout = train[0].1;
    let mut warnings = Vec::new();
    let train = part(name, &files, &mut warnings)?;
    let mut optional = |file: Option<&str>| {
        let Some(file) = file else { return Ok(Some(None)) };
        let Some(path) = find(file) else { return Ok(None) };
        part(name, &[(path, layout)], &mut warnings).map(Some).map(Some)
    };
    let (Some(dev), Some(test)) = (optional(dev)?, optional(test)?) else { return Ok(None) };
    Ok(Some((Transfer { name: name.to_owned(), train, dev, test }, warnings)))
}

fn part(name: &str, files: &[(PathBuf, Layout)], warnings: &mut Vec<String>) -> Result<TextSet, DataError> {
    let mut parts = Vec::new();
    for (path, layout) in files {
        let encoding = match layout {
            Layout::Class(_) | Layout::Trec => Encoding::Latin1,
            Layout::TextClass | Layout::Mrpc => Encoding::Utf8,
        };
        let columns: &[&str] = if matches!(layout, Layout::Mrpc) { &["first", "second"] } else { &["text"] };
        let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
        let mut lines = Lines::open(path, encoding, InvalidUtf8::Error)?;
        let mut collector = Collector::new(path, &columns, "line");
        while let Some(line) = lines.next()?.map(str::to_owned) {
            if matches!(layout, Layout::Mrpc) && lines.number() == 1 && line.starts_with("Quality") {
                continue;
            }
            let (texts, class) = layout.split(&line).map_err(|problem| lines.wrong(problem))?;
            let cells = texts.into_iter().map(|text| Cell::One(text.trim().to_owned())).collect();
            collector.row(lines.number(), Row { cells, label: Some(class.to_owned()), ..Row::default() })?;
        }
        let (set, said) = collector.finish(name.to_owned(), None);
        warnings.extend(said);
        parts.push(set);
    }
    Ok(TextSet::joined(name, &parts))
}

impl Layout {
    fn split<'t>(&self, line: &'t str) -> Result<(Vec<&'t str>, &'t str), String>
    where
        'static: 't,
    {
        match self {
            Self::Class(class) => Ok((vec![line], *class)),
            Self::TextClass => match line.trim_end().rsplit_once('\t') {
                Some((text, class @ ("0" | "1"))) => Ok((vec![text], class)),
                _ => Err(format!("a text, a tab and 0 or 1 are wanted, not {:?}", shortened(line))),
            },
            Self::Trec => match line
                .split_once(' ')
                .and_then(|(class, text)| Some((class.split_once(':')?.0, text)))
            {
                Some((class, text)) if !class.is_empty() => Ok((vec![text], class)),
                _ => Err(format!("CLASS:detail, a space and a text are wanted, not {:?}", shortened(line))),
            },
            Self::Mrpc => match line.split('\t').collect::<Vec<_>>()[..] {
                [class @ ("0" | "1"), _, _, first, second] => Ok((vec![first, second], class)),
                _ => Err(format!(
                    "0 or 1, two ids and two texts with tabs between are wanted, not {:?}",
                    shortened(line)
                )),
            },
        }
    }
}
