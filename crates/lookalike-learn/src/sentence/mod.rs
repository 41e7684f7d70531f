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
pub mod score;
mod write;

use std::ops::Range;
use std::path::{Path, PathBuf};

use lookalike_base::arrays::{Array, Arrays};
use lookalike_base::{Matrix, Watch, tensors};
use lookalike_data::text::{TokenLists, Tokenizer};
use rayon::prelude::*;

pub use folder::{BodyConfig, DenseConfig, SentenceFolder};
pub use write::save;

use crate::encoder::Encoder;
use crate::encoder::text::{Body, Dense, TextEncoder, TokenTable, Transformer};
use crate::engine::{Device, Precision, to_host};
use crate::error::LearnError;
use crate::input::{Input, TextInput};
use crate::module::{Pass, load_arrays};
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
        let tokenizer = Tokenizer::open(&folder.weights)?;
        let arrays = read_tensors(&folder)?;
        let mut encoder = network(&folder, &arrays, device)?;
        load_arrays(&mut encoder, &arrays, "", device)?;
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
            full += lists.iter().filter(|list| reader.max_length == Some(list.len())).count();
            for part in parts(&lists) {
                if watch.is_cancelled() {
                    return Err(LearnError::Cancelled);
                }
                let count = part.len();
                let lists: TokenLists = lists[part].iter().cloned().collect();
                let input = Input::new(TextInput { tokens: lists, unpooled: vec![reader.unpooled; count] });
                let mut pass = Pass { precision: options.precision, ..Pass::evaluation() };
                values.extend(to_host(self.encoder.forward(&input, &mut pass)?.vector));
                watch.progress.advance(count as u64);
            }
        }
        if values.is_empty() {
            return Err(LearnError::Evaluation("there is no text to encode".to_owned()));
        }
        Ok(Encoded { rows: Matrix::new(values, dimension)?, tokens, full })
    }

    /// What makes tokens of texts.
    fn reader(&self, options: &EncodeOptions) -> Result<Reader, LearnError> {
        let folder = &self.folder;
        let default = || folder.default_prompt.as_ref().and_then(|name| folder.prompts.get(name));
        let prompt = options.prompt.as_ref().or_else(default).cloned().unwrap_or_default();
        let special = matches!(self.encoder.body, Body::Transformer(_));
        let max_length = if special { folder.max_length } else { None };
        let mut reader = Reader {
            tokenizer: self.tokenizer.clone(),
            prompt,
            lower_case: folder.lower_case,
            max_length,
            special,
            unpooled: 0,
        };
        if !reader.prompt.is_empty() {
            let begin = reader.beginning()?;
            if let Some(most) = max_length.filter(|most| begin >= *most) {
                return Err(LearnError::Input(format!(
                    "the prompt has {begin} tokens, and texts are cut at {most}: nothing would be left of them"
                )));
            }
            if !folder.include_prompt {
                reader.unpooled = begin as u32;
            }
        }
        Ok(reader)
    }
}

/// What makes tokens of texts.
struct Reader {
    tokenizer: Tokenizer,
    prompt: String,
    lower_case: bool,
    max_length: Option<usize>,
    /// Whether tokens for the beginning and the end are added.
    special: bool,
    /// Tokens of the beginning that are left out of a text's vector.
    unpooled: u32,
}

impl Reader {
    fn list(&self, text: &str) -> Result<Vec<u32>, LearnError> {
        if self.prompt.is_empty() && !self.lower_case {
            return Ok(self.tokenizer.encode(text, self.max_length, self.special)?);
        }
        let mut whole = format!("{}{text}", self.prompt);
        if self.lower_case {
            whole = whole.to_lowercase();
        }
        Ok(self.tokenizer.encode(&whole, self.max_length, self.special)?)
    }

    fn lists<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Vec<Vec<u32>>, LearnError> {
        texts.par_iter().with_min_len(16).map(|text| self.list(text.as_ref())).collect()
    }

    /// Tokens before those of the text: that of the beginning and those of the prompt.
    fn beginning(&self) -> Result<usize, LearnError> {
        let prompt = if self.lower_case { self.prompt.to_lowercase() } else { self.prompt.clone() };
        let own = self.tokenizer.encode(&prompt, None, false)?;
        let whole = self.tokenizer.encode(&prompt, None, self.special)?;
        let before = whole.windows(own.len().max(1)).position(|window| window == own).unwrap_or(0);
        Ok(before + own.len())
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

/// The network that a folder describes, with weights of 0.
pub(crate) fn network(
    folder: &SentenceFolder,
    arrays: &Arrays,
    device: &Device,
) -> Result<TextEncoder, LearnError> {
    let body = match &folder.body {
        BodyConfig::Transformer(config) => {
            let pooler = arrays.contains_key("pooler.dense.weight");
            Body::Transformer(Transformer::new(config.clone(), pooler, None, device))
        }
        BodyConfig::Table => match arrays.get(TABLE).map(|array| array.shape.as_slice()) {
            Some(&[tokens, width]) if tokens > 0 && width > 0 => {
                Body::Table(TokenTable::new([tokens, width], None, device))
            }
            shape => {
                let reason = match shape {
                    None => "it is missing".to_owned(),
                    Some(shape) => format!("its shape is {shape:?}, expected tokens × width"),
                };
                return Err(LearnError::Weights { name: TABLE.to_owned(), reason });
            }
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
        let Some(name) = name.strip_prefix(&prefix) else { continue };
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
        let (bin, path) = (folder.join("pytorch_model.bin"), path.display());
        format!(
            "it has weights in PyTorch's own format alone, which can run programs when it is read; convert them with\n  import torch; from \
             safetensors.torch import save_file\n  save_file(torch.load(\"{}\", weights_only=True), \"{path}\")",
            bin.display()
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

/// The name of an encoder, for tables: that of its folder.
pub fn name_of(path: &Path) -> String {
    let path: PathBuf = path.components().collect();
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
