//! Texts: lines or columns of a file, as tokens. With one column both views of a text are the same tokens, which dropout tells apart
//! (SimCSE, Gao et al. 2021, <https://arxiv.org/abs/2104.08821>); with two, the second column holds the second view.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lookalike_base::atomic::write_atomic;
use lookalike_base::progress::Cancellation;
use lookalike_base::{Seed, Watch};
use lookalike_data::loader::{BatchRequest, BatchSource};
use lookalike_data::text::views::MaskTokens;
use lookalike_data::text::{
    self, InvalidUtf8, OpenedTexts, ReadOptions, TextSet, TokenLists, Tokenizer, vocabulary,
};
use lookalike_data::{DataError, Split};

use super::{
    ArmKind, Beside, Labels, Measure, Modality, ModalityEntry, Opened, Opening, Part, Scope, Section,
    no_column,
};
use super::text_views::{TextColumn, ViewOptions, Views, mask_tokens, masked, view_of};
use crate::encoder::text::entry::{STATIC, TOKENIZER, folder, longest, max_length};
use crate::error::LearnError;
use crate::input::{Batch, RowId, Source};
use crate::options::{Options, Range, Settings, Value, did_you_mean, refuse};
use crate::sentence::Reader;

crate::options! {
    /// What a recipe says of texts.
    pub struct TextOptions {
        /// The columns of a file that has several: one, whose texts are both views, or two, a view each.
        columns: Option<Vec<String>> = Value::Absent("the first"), Range::Texts("names of columns");
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
        Measure { score: "alignment", arms: &[ArmKind::Trained] },
        Measure { score: "geometry", arms: &[ArmKind::Trained] },
        Measure { score: "batches", arms: &[ArmKind::Trained] },
    ],
    after_training: Scope { beside: Beside::Nothing, without: &[], fold_seeds: None },
    embedded_at_once: false,
    divisible: true,
    finds_paths: true,
    check: |settings| options(settings).map(|_| ()),
    open,
};

/// Texts as tokens.
struct Texts {
    set: TextSet,
    reader: Reader,
    /// The tokens of each view.
    views: Vec<Arc<TokenLists>>,
    /// How two views are made of one text.
    made: Views,
    /// Most tokens of a view.
    longest: Option<usize>,
    fingerprint: String,
}

fn options(settings: &Settings) -> Result<TextOptions, LearnError> {
    let options: TextOptions = settings.read("text")?;
    if let Some(columns) = &options.columns
        && !(1..=2).contains(&columns.len())
    {
        return Err(refuse("text.columns", "must name one column, or two for a view each"));
    }
    if options.tokenizer.is_some() && options.vocabulary.is_some() {
        return Err(refuse(
            "text.vocabulary",
            "is made where there is no tokenizer; leave it or text.tokenizer out",
        ));
    }
    let made = settings.read::<ViewOptions>("text")?.views;
    if made != Views::Dropout && options.columns.as_ref().is_some_and(|columns| columns.len() > 1) {
        let reason = "are made of one text, and text.columns names several; leave it out";
        return Err(refuse("text.views", reason));
    }
    Ok(options)
}

fn open(opening: &Opening<'_>) -> Result<Opened, LearnError> {
    let settings = opening.settings;
    let TextOptions { columns, tokenizer, vocabulary: size, cache, invalid_utf8, .. } = options(settings)?;
    let several = columns.is_some();
    let invalid_utf8 = invalid_utf8.unwrap_or_default();
    let read_options = ReadOptions {
        columns: columns.unwrap_or_default(),
        first_only: !several,
        invalid_utf8,
        ..ReadOptions::default()
    };
    let (set, mut warnings) = read(opening.name(), &opening.root(), &read_options)?;
    let folder = folder(settings)?;
    warnings.extend(folder.iter().flat_map(|folder| folder.warnings.iter().cloned()));
    for column in set.columns.iter().filter(|column| column.rows.is_some()) {
        warnings.push(format!(
            "column `{}` has rows of several texts; the first of each is trained on",
            column.name
        ));
    }
    let place = tokenizer.or_else(|| folder.as_ref().map(|folder| folder.weights.clone()));
    let cancellation = Cancellation::new();
    let tokenizer = if let Some(place) = place {
        Tokenizer::open(&place)?
    } else {
        let size = size.unwrap_or(8192);
        let progress = opening.display.start(size as u64, "making a vocabulary");
        let watch = Watch { progress: &*progress, cancellation: &cancellation };
        let texts = set.columns.iter().flat_map(|column| column.texts.iter());
        let tokens = vocabulary::train(texts, size, watch)?;
        progress.finish();
        vocabulary::tokenizer_of(&tokens)?
    };
    let special = settings.text("encoder.kind") != Some(STATIC.kind);
    let length = max_length(settings, folder.as_ref())?;
    let longest = longest(settings, folder.as_ref())?;
    let reader = Reader::new(tokenizer, folder.as_ref(), None, (special, length))?;
    let columns = set.columns.len().min(2);
    let progress = opening.display.start((columns * set.len()) as u64, "tokenising");
    let watch = Watch { progress: &*progress, cancellation: &cancellation };
    let (mut views, mut fingerprint) = (Vec::new(), String::new());
    for column in 0..columns {
        let texts: Vec<_> = (0..set.len()).map(|row| reader.text(set.row(row)[column])).collect();
        let own = text::token_fingerprint(&reader.tokenizer, &texts, length, special);
        let lists = match &cache {
            Some(folder) => {
                let path = folder.join(format!("tokens-{}.safetensors", &own[..16]));
                text::cached_tokens(&path, &reader.tokenizer, &texts, length, special, watch)?.0
            }
            None => reader.tokenizer.encode_all(&texts, length, special, watch)?,
        };
        views.push(Arc::new(lists));
        fingerprint = format!("{fingerprint}{} texts, {own}; ", texts.len());
    }
    progress.finish();
    let made = settings.read::<ViewOptions>("text")?.views;
    if opening.columns.contains(&MASKED) {
        mask_tokens(&reader.tokenizer)?;
    }
    if opening.columns.contains(&"view 2") && views.len() == 1 && made == Views::Dropout && !special {
        let reason = "is `dropout`, and the encoder `static` has none: both views would be the same; take `crop`, `delete` or `repeat`";
        return Err(refuse("text.views", reason));
    }
    Ok((Box::new(Texts { set, reader, views, made, longest, fingerprint }), warnings))
}

/// A set by name, or a file by its path.
fn read(name: &str, root: &Path, options: &ReadOptions) -> Result<(TextSet, Vec<String>), LearnError> {
    let path = root.join(name);
    if path.is_file() {
        return Ok(text::read(&path, options)?);
    }
    let (opened, warnings) = text::open(name, root)?;
    let OpenedTexts::Texts(mut set) = opened else {
        let reason = format!("`{name}` is a set to score on; sets of rows of texts are trained on");
        return Err(refuse("data.name", reason));
    };
    let mut chosen = Vec::new();
    for column in &options.columns {
        let found = set.column(column).cloned().ok_or_else(|| {
            let hint = did_you_mean(column, set.columns.iter().map(|column| column.name.as_str()));
            refuse("text.columns", format!("`{name}` has no column `{column}`{hint}"))
        })?;
        chosen.push(found);
    }
    if options.first_only {
        set.columns.truncate(1);
    } else {
        set.columns = chosen;
    }
    Ok((set, warnings))
}

/// The column of masked texts.
const MASKED: &str = "masked";

/// Batches of the tokens of columns.
struct TokenColumns {
    reader: Reader,
    columns: Vec<Arc<TokenLists>>,
    made: Views,
    longest: Option<usize>,
    /// What texts are masked with, where a last column is of all columns' texts, masked.
    mask: Option<MaskTokens>,
    /// Whether there is no other column than the masked one.
    masked_alone: bool,
    seed: Seed,
}

impl BatchSource for TokenColumns {
    type Batch = Batch;

    fn batch(&self, request: &BatchRequest) -> Result<Batch, DataError> {
        let around = self.reader.around();
        let views = self.columns.iter().zip(0..).map(|(lists, view)| {
            let lists = lists.select(&request.instances);
            let lists = view_of(self.made, lists, (around, self.longest), (self.seed, request, view));
            let rows = request.instances.iter().map(|instance| RowId { instance: *instance, view });
            TextColumn { input: self.reader.input(lists), rows: rows.collect(), around }
        });
        let mut columns: Vec<TextColumn> = views.collect();
        if let Some(mask) = self.mask {
            let masked = masked(&columns, mask, (self.seed, request));
            if self.masked_alone {
                columns.clear();
            }
            columns.push(masked);
        }
        let columns = columns.into_iter().map(Into::into).collect();
        Ok(Batch { instances: request.instances.clone(), columns })
    }
}

impl Modality for Texts {
    fn name(&self) -> String {
        self.set.name.clone()
    }

    fn instances(&self) -> usize {
        self.set.len()
    }

    /// Tokens of the vocabulary.
    fn inputs(&self) -> usize {
        self.reader.tokenizer.vocabulary()
    }

    fn fingerprint(&self) -> Result<String, LearnError> {
        Ok(self.fingerprint.clone())
    }

    fn keep(&self, run: &Path) -> Result<(), LearnError> {
        let path = run.join(TOKENIZER);
        let io = |source| LearnError::Io { path: path.clone(), source };
        std::fs::create_dir_all(run).map_err(io)?;
        let text = self.reader.tokenizer.json();
        write_atomic(&path, |writer| writer.write_all(text.as_bytes())).map_err(io)
    }

    fn labels(&self, _: Split) -> Labels {
        Labels::default()
    }

    fn batches(&self, columns: &[&str], _: Split, seed: Seed) -> Result<Source, LearnError> {
        let (first, last) = (&self.views[0], &self.views[self.views.len() - 1]);
        let (plain, mask) = match columns {
            [plain @ .., MASKED] => (plain, Some(mask_tokens(&self.reader.tokenizer)?)),
            plain => (plain, None),
        };
        let lists = match plain {
            [] if mask.is_some() => self.views.clone(),
            ["view 1"] => vec![Arc::clone(first)],
            ["view 1", "view 2"] => vec![Arc::clone(first), Arc::clone(last)],
            _ => return Err(no_column(ENTRY.kind, columns)),
        };
        let made = if plain.is_empty() { Views::Dropout } else { self.made };
        Ok(Arc::new(TokenColumns {
            reader: self.reader.clone(),
            columns: lists,
            made,
            longest: self.longest,
            mask,
            masked_alone: plain.is_empty(),
            seed,
        }))
    }

    fn part(&self, split: Split, columns: &[&str]) -> Result<Part, LearnError> {
        if split == Split::Test {
            return Err(LearnError::Evaluation("a set of texts has no test part".to_owned()));
        }
        if columns != ["plain"] {
            return Err(no_column(ENTRY.kind, columns));
        }
        let source = Arc::new(TokenColumns {
            reader: self.reader.clone(),
            columns: vec![Arc::clone(&self.views[0])],
            made: Views::Dropout,
            longest: None,
            mask: None,
            masked_alone: false,
            seed: Seed(0),
        });
        Ok(Part { source, instances: self.set.len(), name: self.set.name.clone() })
    }
}
