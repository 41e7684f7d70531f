//! Sentence encoders as everybody's tools keep them: a folder of sentence-transformers, read, applied and written.
//!
//! ```no_run
//! use lookalike_base::Watch;
//! use lookalike_base::progress::Cancellation;
//! use lookalike_learn::engine::Device;
//! use lookalike_learn::sentence::SentenceEncoder;
//!
//! # fn main() -> Result<(), lookalike_learn::LearnError> {
//! let mut encoder = SentenceEncoder::open("all-MiniLM-L6-v2".as_ref(), &Device::flex())?;
//! let texts = ["A cat sits on the mat.", "A feline rests on a rug."];
//! let encoded = encoder.encode(&texts, &Default::default(), Watch::silent(&Cancellation::new()))?;
//! assert_eq!(encoded.rows.len(), 2);
//! # Ok(())
//! # }
//! ```

pub mod cost;
mod folder;
pub mod reader;
pub mod score;
mod write;

use std::ops::Range;
use std::path::Path;

use lookalike_base::arrays::{Array, Arrays};
use lookalike_base::{Matrix, Watch, tensors};
use lookalike_data::text::Tokenizer;

pub use folder::{BodyConfig, DenseConfig, SentenceFolder};
pub use reader::Reader;
pub use write::save;

use crate::encoder::Encoder;
use crate::encoder::text::{Body, Dense, TextEncoder, TokenTable, Transformer};
use crate::engine::{Device, Precision, to_host};
use crate::error::LearnError;
use crate::head::masked::PREDICTIONS;
use crate::input::Input;
use crate::module::{Pass, load_arrays};
use crate::weights::conversion;
use folder::refuse;

/// Tokens that are encoded together: enough that products run at full speed, few enough that what lies between them stays in the caches.
const TOKENS: usize = 2048;
/// Texts that are tokenised together.
const TEXTS: usize = 8192;

/// The file of a checkpoint's weights.
const WEIGHTS: &str = "model.safetensors";
/// The name of a transformer's table of tokens, by which the prefix of all names is found.
const WORDS: &str = "embeddings.word_embeddings.weight";
/// The name of a table of one vector a token.
const TABLE: &str = "embedding.weight";

/// A sentence encoder with its tokenizer.
#[derive(Debug, Clone)]
pub struct SentenceEncoder {
    /// What its folder says.
    pub folder: SentenceFolder,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Its network.
    pub encoder: TextEncoder,
}

/// How texts are encoded.
#[derive(Debug, Clone, Default)]
pub struct EncodeOptions {
    /// What is put before each text; the folder's default prompt where absent.
    pub prompt: Option<String>,
    /// At which precision linear layers multiply.
    pub precision: Precision,
}

/// Vectors of texts.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// One row a text, in their order.
    pub rows: Matrix,
    /// Tokens that were read, those of beginnings and ends included.
    pub tokens: usize,
    /// Texts that have as many tokens as a text may have: all that were longer have been cut to that.
    pub full: usize,
}

impl SentenceEncoder {
    /// Reads a folder: its configuration, its tokenizer and its weights, in f32, f16 or bf16.
    ///
    /// # Errors
    /// [`LearnError::SentenceEncoder`] names a file and what is wrong with it; [`LearnError::Data`] is the tokenizer's;
    /// [`LearnError::Weights`] names a tensor that is missing or of another shape.
    pub fn open(path: &Path, device: &Device) -> Result<Self, LearnError> {
        let folder = SentenceFolder::read(path)?;
        if !folder.weights.join("tokenizer.json").is_file() {
            let reason = "it has no tokenizer.json, and no other form of a tokenizer is read; make it with\n  from transformers import \
                          AutoTokenizer\n  AutoTokenizer.from_pretrained(FOLDER, use_fast=True).save_pretrained(FOLDER)";
            return Err(refuse(&folder.weights, reason));
        }
        let tokenizer = Tokenizer::open(&folder.weights)?;
        let arrays = read_tensors(&folder)?;
        let mut encoder = network(&folder, &arrays, device)?;
        load_arrays(&mut encoder, &arrays, "", device).map_err(|error| of_file(&folder, error))?;
        Ok(Self { folder, tokenizer, encoder })
    }

    /// Length of a text's vector.
    pub fn dimension(&self) -> usize {
        self.encoder.dimension()
    }

    /// The prompt of that name.
    ///
    /// # Errors
    /// [`LearnError::Input`] where the folder has none of that name.
    pub fn prompt(&self, name: &str) -> Result<&str, LearnError> {
        let prompts = &self.folder.prompts;
        prompts.get(name).map(String::as_str).ok_or_else(|| {
            let known: Vec<String> = prompts.keys().map(|name| format!("`{name}`")).collect();
            let known = if known.is_empty() { "no prompts".to_owned() } else { known.join(", ") };
            LearnError::Input(format!("there is no prompt `{name}`; the encoder has {known}"))
        })
    }

    /// Encodes texts, each by itself: on a CPU a text's vector is the same bits whatever the others are. The progress of `watch` counts
    /// texts.
    ///
    /// An empty text has the vector of the tokens that begin and end every text; of a table of tokens, which has none, zeros.
    ///
    /// # Errors
    /// [`LearnError::Input`] for a prompt that leaves no room for a text; [`LearnError::Cancelled`].
    pub fn encode<S: AsRef<str> + Sync>(
        &mut self,
        texts: &[S],
        options: &EncodeOptions,
        watch: Watch<'_>,
    ) -> Result<Encoded, LearnError> {
        let reader = self.reader(options)?;
        let dimension = self.dimension();
        let (mut values, mut tokens, mut full) = (Vec::new(), 0, 0);
        for texts in texts.chunks(TEXTS) {
            let lists = reader.lists(texts)?;
            tokens += lists.iter().map(Vec::len).sum::<usize>();
            full += lists.iter().filter(|list| reader.max_length() == Some(list.len())).count();
            for part in parts(&lists) {
                if watch.is_cancelled() {
                    return Err(LearnError::Cancelled);
                }
                let input = Input::new(reader.input(lists[part.clone()].iter().collect()));
                let mut pass = Pass { precision: options.precision, ..Pass::evaluation() };
                let vectors = to_host(self.encoder.forward(&input, &mut pass)?.vector);
                if let Some(at) = vectors.iter().position(|value| !value.is_finite()) {
                    let (value, text) = (vectors[at], texts[part.start + at / dimension].as_ref());
                    let shown: String = text.chars().take(60).collect();
                    return Err(LearnError::Evaluation(format!(
                        "the vector of the text {shown:?} holds {value}: the encoder's weights are damaged, or too large for their precision"
                    )));
                }
                values.extend(vectors);
                watch.progress.advance(part.len() as u64);
            }
        }
        if values.is_empty() {
            return Err(LearnError::Evaluation("there is no text to encode".to_owned()));
        }
        Ok(Encoded { rows: Matrix::new(values, dimension)?, tokens, full })
    }

    /// What makes tokens of texts.
    fn reader(&self, options: &EncodeOptions) -> Result<Reader, LearnError> {
        let special = matches!(self.encoder.body, Body::Transformer(_));
        let (folder, prompt) = (Some(&self.folder), options.prompt.as_deref());
        Reader::new(self.tokenizer.clone(), folder, prompt, (special, self.folder.max_length))
    }
}

/// Ranges of lists with about so many tokens each as are encoded together.
fn parts(lists: &[Vec<u32>]) -> Vec<Range<usize>> {
    let (mut parts, mut first, mut tokens) = (Vec::new(), 0, 0);
    for (index, list) in lists.iter().enumerate() {
        if index > first && tokens + list.len() > TOKENS {
            parts.push(first..index);
            (first, tokens) = (index, 0);
        }
        tokens += list.len();
    }
    parts.push(first..lists.len());
    parts
}

/// An error about a tensor, with the file that it is or should be in.
fn of_file(folder: &SentenceFolder, error: LearnError) -> LearnError {
    let LearnError::Weights { name, reason } = error else { return error };
    let within = name.strip_prefix("dense.").and_then(|rest| rest.split_once('.'));
    let layer =
        within.and_then(|(index, own)| Some((&folder.dense.get(index.parse::<usize>().ok()?)?.1, own)));
    let (path, own) = layer.map_or((&folder.weights, name.as_str()), |(path, own)| (path, own));
    refuse(&path.join(WEIGHTS), format!("tensor `{own}`: {reason}"))
}

/// The network that a folder describes, with weights of 0. Sizes are compared with those of the tensors before memory is taken for them.
///
/// # Errors
/// [`LearnError::SentenceEncoder`] names a tensor that is missing or of another shape.
pub(crate) fn network(
    folder: &SentenceFolder,
    arrays: &Arrays,
    device: &Device,
) -> Result<TextEncoder, LearnError> {
    let wrong =
        |name: &str, reason: String| of_file(folder, LearnError::Weights { name: name.to_owned(), reason });
    let check = |name: &str, expected: [usize; 2]| match arrays.get(name).map(|array| &array.shape) {
        Some(shape) if *shape == expected => Ok(()),
        Some(shape) => Err(wrong(name, format!("its shape is {shape:?}, expected {expected:?}"))),
        None => Err(wrong(name, format!("it is missing; expected f32 of shape {expected:?}"))),
    };
    let body = match &folder.body {
        BodyConfig::Transformer(config) => {
            for (name, shape) in config.matrices() {
                check(&name, shape)?;
            }
            let pooler = arrays.contains_key("pooler.dense.weight");
            Body::Transformer(Box::new(Transformer::new(config.clone(), pooler, None, device)))
        }
        BodyConfig::Table => match arrays.get(TABLE).map(|array| array.shape.as_slice()) {
            Some(&[tokens, width]) if tokens > 0 && width > 0 => {
                Body::Table(Box::new(TokenTable::new([tokens, width], None, device)))
            }
            Some(shape) => {
                return Err(wrong(TABLE, format!("its shape is {shape:?}, expected tokens × width")));
            }
            None => return Err(wrong(TABLE, "it is missing".to_owned())),
        },
    };
    let mut length = folder.pooling.len() * body.width();
    let mut dense = Vec::new();
    for (DenseConfig { sizes, bias, activation }, path) in &folder.dense {
        if sizes[0] != length {
            return Err(refuse(
                path,
                format!("it reads vectors of {}, and is given vectors of {length}", sizes[0]),
            ));
        }
        length = sizes[1];
        check(&format!("dense.{}.linear.weight", dense.len()), [sizes[1], sizes[0]])?;
        dense.push(Dense::new(*sizes, *bias, *activation, None, device));
    }
    let (pooling, normalize) = (folder.pooling.clone(), folder.normalize);
    Ok(TextEncoder { body, pooling, pooler: false, dense, normalize })
}

/// All tensors of a folder, under the names that [`TextEncoder`] gives them.
///
/// # Errors
/// [`LearnError::SentenceEncoder`] where there are no weights, or in a format that is not read; [`LearnError::ArrayFile`].
pub fn read_tensors(folder: &SentenceFolder) -> Result<Arrays, LearnError> {
    let table = match &folder.body {
        BodyConfig::Transformer(_) => WORDS,
        BodyConfig::Table => TABLE,
    };
    let mut arrays = Arrays::new();
    let found = read_weights(&folder.weights)?;
    // Checkpoints begin all names with that of their class, or not.
    let prefix = found.keys().filter_map(|name| name.strip_suffix(table));
    let prefix = prefix.min_by_key(|prefix| prefix.len()).unwrap_or_default().to_owned();
    for (name, array) in found {
        let own = name.strip_prefix(&prefix);
        let Some(name) = own.or_else(|| name.starts_with(PREDICTIONS).then_some(&*name)) else { continue };
        let name = match name {
            // As model2vec calls it.
            "embeddings" if table == TABLE => TABLE.to_owned(),
            // As checkpoints of TensorFlow's time call them.
            name => name
                .replace("LayerNorm.gamma", "LayerNorm.weight")
                .replace("LayerNorm.beta", "LayerNorm.bias"),
        };
        arrays.insert(name, array);
    }
    for (index, (_, path)) in folder.dense.iter().enumerate() {
        let layer = read_weights(path)?.into_iter();
        arrays.extend(layer.map(|(name, array): (String, Array)| (format!("dense.{index}.{name}"), array)));
    }
    Ok(arrays)
}

fn read_weights(folder: &Path) -> Result<Arrays, LearnError> {
    let path = folder.join(WEIGHTS);
    if path.exists() {
        return Ok(tensors::read(&path)?.tensors);
    }
    let other = |name: &str| folder.join(name).exists();
    let reason = if other("pytorch_model.bin") {
        let lines = conversion(&folder.join("pytorch_model.bin"), &path);
        format!(
            "it has weights in PyTorch's own format alone, which can run programs when it is read; convert them with\n{lines}"
        )
    } else if other("model.safetensors.index.json") {
        "its weights are divided among several files, which are not read".to_owned()
    } else {
        format!("it has no {WEIGHTS}")
    };
    Err(refuse(folder, reason))
}

/// The folder of a sentence encoder that `path` names, where it is one.
pub fn is_folder(path: &Path) -> bool {
    let has = |name: &str| path.join(name).is_file();
    path.is_dir() && (has("modules.json") || (has("config.json") && !has("recipe.toml")))
}
