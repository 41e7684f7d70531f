//! Texts: lines or columns of a file, as tokens.
//!
//! With one column both views of a text are the same tokens, which dropout tells apart (SimCSE, Gao et al. 2021,
//! <https://arxiv.org/abs/2104.08821>); with two, the second column holds the second view. Methods of pairs read the first column as
//! queries, the second as documents and the others as a row's own negatives.

mod columns;
mod rows;
mod tasks;
pub mod views;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lookalike_base::atomic::write_atomic;
use lookalike_base::{Seed, Watch};
use lookalike_data::text::{self, InvalidUtf8, Names, TextSet, TokenLists, Tokenizer, vocabulary};
use lookalike_data::{Shown, Split};
use lookalike_sampling::{DataSets, SetOrder};

use super::{
    ArmKind, Beside, Groups, Labels, Measure, Modality, ModalityEntry, Opened, Opening, Part, Scope, Section,
    no_column,
};
use crate::encoder::text::entry::{STATIC, TOKENIZER, folder, longest, max_length};
use crate::error::LearnError;
use crate::evaluate::Task;
use crate::input::Source;
use crate::negatives::Relevance;
use crate::options::{FLAG, Options, Range, Settings, Value, refuse};
use crate::sentence::{Reader, SentenceFolder};
use columns::{Changes, TokenColumns, Tokens};
use rows::{HELD_OUT, Rows};
use tasks::{Readers, overlap};
use views::{ViewOptions, Views, mask_tokens};

crate::options! {
    /// What a recipe says of texts.
    pub struct TextOptions {
        /// The columns of a file that has several: one, whose texts are both views, or two, a view each. Of pairs the queries, the documents,
        /// and further ones with a row's own negatives; a list of texts in a column is as many documents or negatives.
        columns: Option<Vec<String>> = Value::Absent("the first; of pairs the first two"), Range::Texts("names of columns");
        /// Further sets, as `data.name`; each batch is from one set.
        further: Option<Vec<String>> = Value::Absent("none"), Range::Texts("names or paths");
        /// The order of their batches: all of all sets, drawn anew each epoch; or one of each in turn until the smallest set is used up.
        order: SetOrder = Value::Text("proportional"), Range::OneOf(&["proportional", "round-robin"]);
        /// The column by which rows are grouped, one of texts too: those of one group never share a batch. Further sets that are known by name
        /// and have no such column are grouped, and held out, by their own.
        group: Option<String> = Value::Absent("none"), Range::Text("name of a column");
        /// The column by which pairs are held out for the test: those of a tenth of its values, CRC-32 of whose lower-case letters is 0
        /// modulo 10.
        hold_out: Option<String> = Value::Absent("none"), Range::Text("name of a column");
        /// What `train.evaluate_every` scores: a set of STS, of BEIR's layout or of pairs, or `held-out` for pairs of a further tenth of the values
        /// of `hold_out`.
        development: Option<String> = Value::Absent("none"), Range::Text("name, path or `held-out`");
        /// Whether a document that answers a query by the data (equal texts, other rows, judgements) is left out of its negatives.
        mask_relevant: bool = Value::Flag(true), FLAG;
        /// What is put before each query.
        query_prompt: Option<String> = Value::Absent("that of `encoder.weights`, or none"), Range::Text("string");
        /// What is put before each document.
        document_prompt: Option<String> = Value::Absent("that of `encoder.weights`, or none"), Range::Text("string");
        /// The folder with `tokenizer.json`.
        tokenizer: Option<PathBuf> = Value::Absent("that of `encoder.weights`, or a vocabulary of the texts"), Range::Text("path");
        /// Tokens of the vocabulary that is made of the texts where there is no tokenizer.
        vocabulary: Option<usize> = Value::Absent("8192"), Range::Integer { least: 300, most: 1 << 20 };
        /// Most tokens of a text, those of its beginning and end included; longer ones are cut.
        max_length: Option<usize> = Value::Absent("128, or that of `encoder.weights`"), Range::Integer { least: 3, most: 65_536 };
        /// What becomes of bytes that are no UTF-8: an error, or U+FFFD in their place, which is counted.
        invalid_utf8: Option<InvalidUtf8> = Value::Absent("`error`"), Range::OneOf(&["error", "replace"]);
        /// A folder that keeps tokens from one run to the next.
        cache: Option<PathBuf> = Value::Absent("none"), Range::Text("path");
    }
}

impl TextOptions {
    /// Whether the set `name` is one of the further ones.
    fn is_further(&self, name: &str) -> bool {
        self.further.iter().flatten().any(|further| further == name)
    }
}

/// Texts in a registry.
pub const ENTRY: ModalityEntry = ModalityEntry {
    kind: "text",
    about: "the name of a set of texts, or a path to a file of lines, `.csv`, `.tsv`, `.jsonl`; see [texts](texts.md)",
    data: &[],
    sections: &[
        Section { name: "text", keys: TextOptions::KEYS, columns: &[] },
        Section { name: "text", keys: ViewOptions::KEYS, columns: &["view 2"] },
    ],
    methods: &["simclr", "direct-clr", "end-to-end", "instance-discrimination", "moco", "moco-v3"],
    scores: &[
        Measure { score: "tasks", arms: &[ArmKind::Untrained, ArmKind::Trained, ArmKind::Best] },
        Measure { score: "alignment", arms: &[ArmKind::Trained] },
        Measure { score: "geometry", arms: &[ArmKind::Trained] },
        Measure { score: "batches", arms: &[ArmKind::Trained] },
    ],
    after_training: Scope { beside: Beside::Nothing, ..Scope::FULL },
    embedded_at_once: false,
    divisible: true,
    finds_paths: true,
    check: |settings| options(settings).map(|_| ()),
    open,
};

/// Texts as tokens.
struct Texts {
    name: String,
    /// The set and line of each row to learn from.
    lines: Vec<String>,
    /// The texts themselves, for people to look at.
    shown: TextSet,
    /// How many rows each part has.
    note: Option<String>,
    /// Rows of each set, which lie one behind another, and the order of their batches.
    sets: DataSets,
    reader: Reader,
    /// The columns, of pairs the queries and the documents.
    columns: Vec<Tokens>,
    /// The row's own negatives, of pairs.
    negatives: Option<Tokens>,
    labels: Option<Names>,
    groups: Option<Groups>,
    relevance: Option<Arc<Relevance>>,
    tasks: Vec<Task>,
    development: Option<Task>,
    /// How two views are made of one text.
    views: Views,
    /// Most tokens of a view.
    longest: Option<usize>,
    fingerprint: String,
}

/// What methods of pairs read.
const PAIRS: [&str; 3] = ["query", "document", "negatives"];
/// All texts that the other columns have, or all there are, masked.
const MASKED: &str = "masked";

fn options(settings: &Settings) -> Result<TextOptions, LearnError> {
    let options: TextOptions = settings.read("text")?;
    if options.tokenizer.is_some() && options.vocabulary.is_some() {
        return Err(refuse(
            "text.vocabulary",
            "is made where there is no tokenizer; leave it or text.tokenizer out",
        ));
    }
    let held_out = options.development.as_deref() == Some(HELD_OUT);
    if held_out && options.hold_out.is_none() {
        let reason = "is `held-out`, and text.hold_out names no column by which rows are held out";
        return Err(refuse("text.development", reason));
    }
    Ok(options)
}

/// Refuses a number of columns that the method cannot read.
fn check_columns(options: &TextOptions, pairs: bool) -> Result<(), LearnError> {
    let Some(columns) = &options.columns else { return Ok(()) };
    match (pairs, columns.len()) {
        (false, 1..=2) | (true, 2..) => Ok(()),
        (false, _) => Err(refuse("text.columns", "must name one column, or two for a view each")),
        (true, _) => Err(refuse(
            "text.columns",
            "must name the columns of queries and of documents, and may name further ones of negatives",
        )),
    }
}

/// Refuses what would not be read.
fn check_use(options: &TextOptions, pairs: bool) -> Result<(), LearnError> {
    for (key, given) in
        [("text.query_prompt", &options.query_prompt), ("text.document_prompt", &options.document_prompt)]
    {
        if given.is_some() && !pairs {
            return Err(refuse(key, "is read where texts are pairs of a query and a document; leave it out"));
        }
    }
    if options.further.is_none() && options.order != SetOrder::Proportional {
        return Err(refuse(
            "text.order",
            "is that of several sets, and text.further names none; leave it out",
        ));
    }
    Ok(())
}

/// How views are made, and a warning where both are the same. Refused is what cannot be made: other views of several columns, and masks
/// without a token for them.
fn check_views(
    opening: &Opening<'_>,
    reader: &Reader,
    columns: usize,
) -> Result<(Views, Option<String>), LearnError> {
    if opening.columns.contains(&MASKED) {
        mask_tokens(&reader.tokenizer)?;
    }
    if !opening.columns.contains(&"view 2") {
        return Ok((Views::Dropout, None));
    }
    let views = opening.settings.read::<ViewOptions>("text")?.views;
    if columns > 1 && views != Views::Dropout {
        let reason = "makes two views of one text, and text.columns names several; leave it out";
        return Err(refuse("text.views", reason));
    }
    let alike = columns == 1 && views == Views::Dropout;
    let warning = (alike && !reader.special()).then(|| {
        "both views of a text are the same, for the encoder `static` has no dropout; text.views = \"crop\", \"delete\" or \"repeat\" tells \
         them apart"
            .to_owned()
    });
    Ok((views, warning))
}

fn open(opening: &Opening<'_>) -> Result<Opened, LearnError> {
    let settings = opening.settings;
    let options = options(settings)?;
    let named = options.columns.as_ref().map_or(1, Vec::len);
    // Where own negatives are read beside views, several columns are pairs.
    let pairs = opening.columns.contains(&PAIRS[0]) || (named > 1 && opening.columns.contains(&PAIRS[2]));
    check_columns(&options, pairs)?;
    check_use(&options, pairs)?;
    let names = std::iter::once(opening.name()).chain(options.further.iter().flatten().map(String::as_str));
    let parts = names.map(|name| Rows::open(name, &opening.root(), &options, pairs || named > 1));
    let parts: Vec<Rows> = parts.collect::<Result<_, LearnError>>()?;
    let mut warnings: Vec<String> = parts.iter().flat_map(|rows| rows.warnings.iter().cloned()).collect();
    let sizes = parts.iter().map(|rows| rows.train.len()).collect();
    let train = joined(&parts)?;
    let folder = folder(settings)?;
    warnings.extend(folder.iter().flat_map(|folder| folder.warnings.iter().cloned()));
    let readers = Making { opening, options: &options, folder: folder.as_ref(), train: &train }.readers()?;
    let (views, alike) = check_views(opening, &readers[0], train.columns.len())?;
    warnings.extend(alike);
    let Tokenized { columns, negatives, mut fingerprint } =
        tokenized(opening, &options, &train, (pairs, &readers))?;
    let known = options.mask_relevant && columns.len() == 2;
    let relevance = known.then(|| relevance_of(&train)).transpose()?;
    // What is scored belongs to a run as what is learned from does.
    for (part, rows) in
        parts.iter().flat_map(|rows| [("test", &rows.test), ("development", &rows.development)])
    {
        for column in rows.iter().flat_map(|rows| &rows.columns) {
            fingerprint = format!("{fingerprint}{part} {}; ", column.texts.fingerprint());
        }
    }
    let scored = Scored::open(opening, &options, &parts, &readers)?;
    warnings.extend(scored.warnings.iter().cloned());
    let all = scored.tasks.iter().chain(&scored.development);
    warnings.extend(all.filter_map(|task| overlap(task, &train)));
    let groups = train.groups.as_ref().zip(options.group.as_ref()).map(|(names, column)| Groups {
        column: column.clone(),
        names: names.names.clone(),
        rows: names.rows.clone(),
    });
    let texts = Texts {
        note: parts.iter().filter_map(|rows| rows.note.clone()).reduce(|all, note| format!("{all}\n{note}")),
        name: parts.iter().map(|rows| rows.name.as_str()).collect::<Vec<&str>>().join(" + "),
        lines: parts.iter().flat_map(lines).collect(),
        sets: DataSets { sizes, order: options.order },
        reader: readers[0].clone(),
        columns,
        negatives,
        labels: train.labels.clone().filter(|_| !pairs && train.columns.len() == 1),
        groups,
        relevance: relevance.map(Arc::new),
        tasks: scored.tasks,
        development: scored.development,
        views,
        longest: longest(settings, folder.as_ref())?,
        fingerprint,
        shown: TextSet { groups: None, labels: None, relevant: None, ..train },
    };
    Ok((Box::new(texts), warnings))
}

/// The tokens of what is learned from.
struct Tokenized {
    columns: Vec<Tokens>,
    negatives: Option<Tokens>,
    fingerprint: String,
}

/// Makes tokens of the first two columns, views or a pair, and of a row's own negatives.
fn tokenized(
    opening: &Opening<'_>,
    options: &TextOptions,
    train: &TextSet,
    (pairs, [plain, query, document]): (bool, &[Reader; 3]),
) -> Result<Tokenized, LearnError> {
    let progress = opening.display.start((train.columns.len() * train.len()) as u64, "tokenising");
    let watch = opening.watch(&*progress);
    let mut tokens = Tokenizing { cache: options.cache.as_deref(), fingerprint: String::new(), watch };
    let mut columns = Vec::new();
    for (column, reader) in train.columns.iter().take(2).zip([query, document]) {
        // Of views the first text of each row.
        let texts = (0..train.len()).map(|row| column.texts.get(column.range(row).start)).collect();
        columns.push(tokens.of(if pairs { reader } else { plain }, texts, None)?);
    }
    let negatives = (pairs && train.columns.len() > 2).then(|| own_negatives(train));
    let negatives = negatives.map(|(texts, first)| tokens.of(document, texts, Some(first))).transpose()?;
    progress.finish();
    Ok(Tokenized { columns, negatives, fingerprint: tokens.fingerprint })
}

/// What an encoder is scored on.
struct Scored {
    tasks: Vec<Task>,
    development: Option<Task>,
    warnings: Vec<String>,
}

impl Scored {
    fn open(
        opening: &Opening<'_>,
        options: &TextOptions,
        parts: &[Rows],
        [plain, query, document]: &[Reader; 3],
    ) -> Result<Self, LearnError> {
        let readers = Readers { plain, query, document };
        let (root, watch) = (opening.root(), Watch::silent(opening.cancellation));
        let (mut tasks, mut warnings) = (Vec::new(), Vec::new());
        for rows in parts {
            if let Some(test) = &rows.test {
                tasks.push(readers.search(&rows.name, test, watch)?);
            }
        }
        let mut named = |key: &str, name: &str| {
            let (task, said) = readers.named(key, name, &root, watch)?;
            warnings.extend(said);
            Ok::<Task, LearnError>(task)
        };
        for name in opening.settings.texts("evaluate.scored_on") {
            tasks.push(named("evaluate.scored_on", &name)?);
        }
        let development = match options.development.as_deref() {
            None => None,
            Some(HELD_OUT) => {
                let held: Vec<TextSet> = parts.iter().filter_map(|rows| rows.development.clone()).collect();
                Some(readers.search("development", &TextSet::joined("development", &held), watch)?)
            }
            Some(name) => Some(named("text.development", name)?),
        };
        Ok(Self { tasks, development, warnings })
    }
}

/// The set and line of each row to learn from.
fn lines(rows: &Rows) -> impl Iterator<Item = String> + '_ {
    rows.train.places.iter().map(|line| format!("{}:{line}", rows.name))
}

/// The rows to learn from of all sets, one behind another.
fn joined(parts: &[Rows]) -> Result<TextSet, LearnError> {
    if let [rows] = parts {
        return Ok(TextSet { groups: rows.groups.clone(), ..rows.train.clone() });
    }
    let counts: Vec<usize> = parts.iter().map(|rows| rows.train.columns.len()).collect();
    if let Some(place) = counts.iter().position(|count| *count != counts[0]) {
        let reason = format!(
            "`{}` has {} columns, and `{}` has {}; sets that are trained on together have as many",
            parts[place].name, counts[place], parts[0].name, counts[0]
        );
        return Err(refuse("text.further", reason));
    }
    let sets: Vec<TextSet> = parts
        .iter()
        .map(|rows| {
            let name = &rows.name;
            let groups = rows.groups.as_ref().map(|groups| {
                groups.rows.iter().map(|row| format!("{name}: {}", groups.names[*row as usize])).collect()
            });
            TextSet { groups, ..rows.train.clone() }
        })
        .collect();
    Ok(TextSet::joined("all", &sets))
}

/// The texts of all columns behind the second, row by row, and where each row's begin.
fn own_negatives(set: &TextSet) -> (Vec<&str>, Vec<usize>) {
    let (mut texts, mut first) = (Vec::new(), vec![0]);
    for row in 0..set.len() {
        texts.extend(set.columns[2..].iter().flat_map(|column| column.row(row)));
        first.push(texts.len());
    }
    (texts, first)
}

/// Which document answers which query, by the texts themselves and by what the set knows.
fn relevance_of(set: &TextSet) -> Result<Relevance, LearnError> {
    let mut known: HashMap<&str, u32> = HashMap::new();
    let mut rows: Vec<Vec<u32>> = Vec::with_capacity(set.len());
    for row in 0..set.len() {
        // A document and each negative; of pairs a row has one query and one document.
        let texts = set
            .columns
            .iter()
            .enumerate()
            .flat_map(|(place, column)| column.row(row).take(if place < 2 { 1 } else { usize::MAX }));
        let contents = texts.map(|text| {
            let next = known.len() as u32;
            *known.entry(text).or_insert(next)
        });
        rows.push(contents.collect());
    }
    let further = set.relevant.iter().flatten();
    let further: Vec<(u32, u32)> =
        further.map(|(query, document)| (rows[*query as usize][0], rows[*document as usize][1])).collect();
    Relevance::new(rows.iter().map(Vec::as_slice), further)
}

/// What makes the readers of texts.
struct Making<'a> {
    opening: &'a Opening<'a>,
    options: &'a TextOptions,
    folder: Option<&'a SentenceFolder>,
    train: &'a TextSet,
}

impl Making<'_> {
    /// Of texts by themselves, of queries and of documents.
    fn readers(&self) -> Result<[Reader; 3], LearnError> {
        let settings = self.opening.settings;
        let tokenizer = self.tokenizer()?;
        let special = settings.text("encoder.kind") != Some(STATIC.kind);
        let length = max_length(settings, self.folder)?;
        let [query, document] = self.folder.map_or([None, None], SentenceFolder::pair_prompts);
        let reader =
            |prompt: Option<&str>| Reader::new(tokenizer.clone(), self.folder, prompt, (special, length));
        Ok([
            reader(None)?,
            reader(self.options.query_prompt.as_deref().or(query))?,
            reader(self.options.document_prompt.as_deref().or(document))?,
        ])
    }

    /// That of the run, where one is open: its encoder knows tokens by the numbers that they have there.
    fn tokenizer(&self) -> Result<Tokenizer, LearnError> {
        let Opening { run: own_data, encoder_of, .. } = self.opening;
        if let Some(run) = encoder_of.filter(|run| run.join(TOKENIZER).exists()) {
            return Ok(Tokenizer::open(run)?);
        }
        let place = self.options.tokenizer.clone();
        if let Some(place) = place.or_else(|| self.folder.map(|folder| folder.weights.clone())) {
            return Ok(Tokenizer::open(&place)?);
        }
        if let (None, Some(run)) = (own_data, encoder_of) {
            let reason = format!(
                "is that of the run's own texts, which {} does not keep any more ({TOKENIZER}); one of other texts has other numbers. \
                 `lookalike train --resume` with the run's own texts writes it again",
                run.display()
            );
            return Err(refuse("text.vocabulary", reason));
        }
        let size = self.options.vocabulary.unwrap_or(8192);
        let progress = self.opening.display.start(size as u64, "making a vocabulary");
        let watch = self.opening.watch(&*progress);
        let texts = self.train.columns.iter().flat_map(|column| column.texts.iter());
        let tokens = vocabulary::train(texts, size, watch)?;
        progress.finish();
        Ok(vocabulary::tokenizer_of(&tokens)?)
    }
}

/// Texts become tokens.
struct Tokenizing<'a> {
    cache: Option<&'a Path>,
    /// Of all tokens so far.
    fingerprint: String,
    watch: Watch<'a>,
}

impl Tokenizing<'_> {
    fn of(
        &mut self,
        reader: &Reader,
        texts: Vec<&str>,
        first: Option<Vec<usize>>,
    ) -> Result<Tokens, LearnError> {
        let texts: Vec<_> = texts.into_iter().map(|text| reader.text(text)).collect();
        let (length, special) = (reader.max_length(), reader.special());
        let own = text::token_fingerprint(&reader.tokenizer, &texts, length, special);
        let lists: TokenLists = match self.cache {
            Some(folder) => {
                let path = folder.join(format!("tokens-{}.safetensors", &own[..16]));
                text::cached_tokens(&path, &reader.tokenizer, &texts, length, special, self.watch)?.0
            }
            None => reader.tokenizer.encode_all(&texts, length, special, self.watch)?,
        };
        self.fingerprint = format!("{}{} texts, {own}; ", self.fingerprint, texts.len());
        Ok(Tokens { reader: reader.clone(), lists: Arc::new(lists), first: first.map(Into::into) })
    }
}

impl Modality for Texts {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn instances(&self) -> usize {
        self.sets.sizes.iter().sum()
    }

    /// Tokens of the vocabulary.
    fn inputs(&self) -> usize {
        self.reader.tokenizer.vocabulary()
    }

    fn fingerprint(&self) -> Result<String, LearnError> {
        Ok(self.fingerprint.clone())
    }

    fn note(&self) -> Option<String> {
        self.note.clone()
    }

    fn keep(&self, run: &Path) -> Result<(), LearnError> {
        let path = run.join(TOKENIZER);
        let io = |source| LearnError::Io { path: path.clone(), source };
        std::fs::create_dir_all(run).map_err(io)?;
        let text = self.reader.tokenizer.json();
        write_atomic(&path, |writer| writer.write_all(text.as_bytes())).map_err(io)
    }

    fn labels(&self, split: Split) -> Labels {
        match &self.labels {
            Some(Names { names, rows }) if split == Split::Train => {
                Labels { labels: rows.clone(), classes: names.len() }
            }
            _ => Labels::default(),
        }
    }

    fn class_names(&self) -> Vec<String> {
        self.labels.as_ref().map_or_else(Vec::new, |labels| labels.names.clone())
    }

    fn instance_name(&self, split: Split, instance: u32) -> Option<String> {
        self.lines.get(instance as usize).filter(|_| split == Split::Train).cloned()
    }

    fn shown(&self, split: Split, instance: u32) -> Result<Option<Shown>, LearnError> {
        let row = instance as usize;
        if split != Split::Train || row >= self.shown.len() {
            return Ok(None);
        }
        Ok(Some(Shown::Texts(self.shown.row(row).into_iter().map(str::to_owned).collect())))
    }

    fn relevance(&self) -> Option<Arc<Relevance>> {
        self.relevance.clone()
    }

    fn groups(&self) -> Option<Groups> {
        self.groups.clone()
    }

    fn sets(&self) -> Option<DataSets> {
        Some(self.sets.clone()).filter(|sets| sets.sizes.len() > 1)
    }

    fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    fn development(&self) -> Option<&Task> {
        self.development.as_ref()
    }

    /// Where there are tasks these, beside the encoder before training.
    fn after_training(&self, scope: Scope) -> Scope {
        if self.tasks.is_empty() {
            return scope;
        }
        Scope { beside: Beside::Untrained, without: &["alignment", "geometry", "batches"], ..scope }
    }

    fn batches(&self, columns: &[&str], _: Split, seed: Seed) -> Result<Source, LearnError> {
        let (first, last) = (&self.columns[0], &self.columns[self.columns.len() - 1]);
        let (others, mask) = match columns {
            [others @ .., MASKED] => (others, Some(mask_tokens(&self.reader.tokenizer)?)),
            others => (others, None),
        };
        let none = Tokens::none(&self.reader, self.instances());
        let negatives = self.negatives.as_ref().unwrap_or(&none);
        let chosen = match others {
            [] if mask.is_some() => self.columns.iter().chain(&self.negatives).collect(),
            ["view 1"] => vec![first],
            ["view 1", "view 2"] => vec![first, last],
            ["view 1", "view 2", "negatives"] => vec![first, last, negatives],
            others if *others == PAIRS => self.columns.iter().chain(&self.negatives).collect(),
            _ => return Err(no_column(ENTRY.kind, columns)),
        };
        let alone = others.is_empty();
        // What is masked alone is no view, nor are queries and documents.
        let views = if others.contains(&"view 2") { self.views } else { Views::Dropout };
        let changes = Changes { views, longest: self.longest, mask, alone, seed };
        Ok(Arc::new(TokenColumns::made(chosen.into_iter().cloned().collect(), changes)))
    }

    fn part(&self, split: Split, columns: &[&str]) -> Result<Part, LearnError> {
        if split == Split::Test {
            return Err(LearnError::Evaluation("a set of texts has no test part".to_owned()));
        }
        if !matches!(columns, ["plain" | "query"]) {
            return Err(no_column(ENTRY.kind, columns));
        }
        let source = Arc::new(TokenColumns::new(vec![self.columns[0].clone()]));
        Ok(Part { source, instances: self.instances(), name: self.name.clone() })
    }
}
