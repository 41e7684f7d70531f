//! The sets on which an encoder of texts is scored: those that a recipe names, and what is held out.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use lookalike_base::Watch;
use lookalike_data::text::{self, OpenedTexts, ReadOptions, Retrieval, Sts, TextSet};

use super::columns::{TokenColumns, Tokens};
use crate::error::LearnError;
use crate::evaluate::{Task, TaskKind};
use crate::modality::Part;
use crate::options::refuse;
use crate::sentence::Reader;

/// How texts of tasks are read: by themselves, as queries, as documents.
pub(super) struct Readers<'a> {
    pub(super) plain: &'a Reader,
    pub(super) query: &'a Reader,
    pub(super) document: &'a Reader,
}

impl Readers<'_> {
    /// The task of searching the documents of pairs for each of their queries.
    pub(super) fn search(&self, name: &str, pairs: &TextSet, watch: Watch<'_>) -> Result<Task, LearnError> {
        self.of_retrieval(name, Retrieval::of_pairs(pairs)?, watch)
    }

    fn of_retrieval(&self, name: &str, data: Retrieval, watch: Watch<'_>) -> Result<Task, LearnError> {
        let parts = [
            part(name, "queries", self.query, &data.queries.texts.to_vec(), watch)?,
            part(name, "documents", self.document, &data.documents.texts.to_vec(), watch)?,
        ];
        Ok(Task { name: name.to_owned(), kind: TaskKind::Retrieval(Arc::new(data)), parts })
    }

    fn of_similarity(&self, name: &str, sts: Sts, watch: Watch<'_>) -> Result<Task, LearnError> {
        let [first, second] = [0, 1].map(|side| {
            let texts =
                sts.pairs.iter().map(|(one, other)| if side == 0 { one.as_str() } else { other.as_str() });
            texts.collect::<Vec<&str>>()
        });
        let parts = [
            part(name, "first sentences", self.plain, &first, watch)?,
            part(name, "second sentences", self.plain, &second, watch)?,
        ];
        Ok(Task { name: name.to_owned(), kind: TaskKind::Similarity(Arc::new(sts)), parts })
    }

    /// The task that `name`, which stands at `key` of the recipe, is: a set to score on, or a path below `root`.
    pub(super) fn named(
        &self,
        key: &str,
        name: &str,
        root: &Path,
        watch: Watch<'_>,
    ) -> Result<(Task, Vec<String>), LearnError> {
        let path = root.join(name);
        let (opened, warnings) = if path.exists() { at(&path)? } else { text::open(name, root)? };
        let task = match opened {
            OpenedTexts::Sts(sts) => self.of_similarity(name, sts, watch)?,
            OpenedTexts::Retrieval(data) => self.of_retrieval(name, data, watch)?,
            OpenedTexts::Texts(set) => match Sts::of_rows(&set)? {
                Some(sts) => self.of_similarity(name, sts, watch)?,
                None => self.search(name, &set, watch)?,
            },
            _ => {
                let reason = format!(
                    "`{name}` is a set with classes; encoders are scored on sets of STS, of BEIR's layout and of pairs while they are \
                     trained, on others by `lookalike evaluate FOLDER --data {name}`"
                );
                return Err(refuse(key, reason));
            }
        };
        Ok((task, warnings))
    }
}

/// What lies at a path; in a file of rows a column `score` tells how similar two texts are.
fn at(path: &Path) -> Result<(OpenedTexts, Vec<String>), LearnError> {
    let scored = ReadOptions { score: Some("score".to_owned()), ..ReadOptions::default() };
    match text::open_at(path, None, &scored) {
        Ok(opened) if path.is_file() => Ok(opened),
        // Without such a column the rows are pairs; whatever else is wrong is said then.
        _ => Ok(text::open_at(path, None, &ReadOptions::default())?),
    }
}

fn part(
    task: &str,
    what: &str,
    reader: &Reader,
    texts: &[&str],
    watch: Watch<'_>,
) -> Result<Part, LearnError> {
    let texts: Vec<_> = texts.iter().map(|text| reader.text(text)).collect();
    let lists = reader.tokenizer.encode_all(&texts, reader.max_length(), reader.special(), watch)?;
    let instances = lists.len();
    let tokens = Tokens { reader: reader.clone(), lists: Arc::new(lists), first: None };
    Ok(Part { source: Arc::new(TokenColumns::new(vec![tokens])), instances, name: format!("{task}, {what}") })
}

/// Says how many pairs of a task stand among the texts to learn from.
pub(super) fn overlap(task: &Task, train: &TextSet) -> Option<String> {
    let known: HashSet<&str> = train.columns.iter().flat_map(|column| column.texts.iter()).collect();
    let (found, all) = match &task.kind {
        TaskKind::Similarity(sts) => {
            let both =
                sts.pairs.iter().filter(|(one, other)| known.contains(&**one) && known.contains(&**other));
            (both.count(), sts.len())
        }
        TaskKind::Retrieval(data) => {
            let both = data.judgements.iter().filter(|judged| {
                known.contains(data.queries.texts.get(judged.query as usize))
                    && known.contains(data.documents.texts.get(judged.document as usize))
            });
            (both.count(), data.judgements.len())
        }
        // Of images.
        TaskKind::Neighbors(_) => return None,
    };
    (found > 0).then(|| {
        format!("`{}`: both texts of {found} of its {all} pairs stand in what is learned from; its score is flattered", task.name)
    })
}
