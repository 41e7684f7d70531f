//! What the configuration files of a sentence-transformers folder say, in the form of all versions from 2 to 6.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

use crate::encoder::text::{Activation, Body, TextEncoder, TextPooling, TransformerConfig};
use crate::error::LearnError;

/// A configuration file is read up to this size, in bytes; published ones have a few thousand.
const LONGEST: u64 = 1 << 20;

/// The files in which versions of sentence-transformers keep the greatest length of a text.
const LENGTHS: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// A sentence encoder as its folder describes it.
#[derive(Debug, Clone)]
pub struct SentenceFolder {
    /// What gives tokens their vectors, and the folder with its weights and tokenizer.
    pub body: BodyConfig,
    /// The folder of weights and tokenizer.
    pub weights: PathBuf,
    /// What makes one vector of those of tokens, in the order of the results.
    pub pooling: Vec<TextPooling>,
    /// Whether the tokens of a prompt count for the vector.
    pub include_prompt: bool,
    /// Linear layers after pooling, and the folders with their weights.
    pub dense: Vec<(DenseConfig, PathBuf)>,
    /// Whether vectors are scaled to length 1 in the end.
    pub normalize: bool,
    /// Most tokens of a text, those of its beginning and end included; the position table's where absent.
    pub max_length: Option<usize>,
    /// Whether texts become lower case before they are tokenised.
    pub lower_case: bool,
    /// What stands before texts, by name.
    pub prompts: BTreeMap<String, String>,
    /// The prompt that is used where none is named.
    pub default_prompt: Option<String>,
    /// What a user should know.
    pub warnings: Vec<String>,
}

/// The first module of a folder.
#[derive(Debug, Clone)]
pub enum BodyConfig {
    /// A transformer.
    Transformer(TransformerConfig),
    /// A vector a token.
    Table,
}

/// A linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DenseConfig {
    /// Lengths of what it reads and gives.
    pub sizes: [usize; 2],
    /// Whether it has a bias.
    pub bias: bool,
    /// What follows.
    pub activation: Activation,
}

/// A file or folder that cannot be read as a sentence encoder.
pub(super) fn refuse(path: &Path, reason: impl Into<String>) -> LearnError {
    LearnError::SentenceEncoder { path: path.to_owned(), reason: reason.into() }
}

/// Prompts that are taken for queries and for documents where the folder has one of these names, as sentence-transformers does.
const QUERY: &[&str] = &["query"];
const DOCUMENT: &[&str] = &["document", "passage", "corpus"];

impl SentenceFolder {
    /// The prompts of queries and of documents, where it has them.
    pub fn pair_prompts(&self) -> [Option<&str>; 2] {
        [QUERY, DOCUMENT]
            .map(|names| names.iter().find_map(|name| self.prompts.get(*name).map(String::as_str)))
    }

    /// Reads the configuration files of `folder`. A checkpoint of Hugging Face without sentence-transformers' files is read too: its
    /// tokens' mean is taken, as that library does, and said.
    ///
    /// # Errors
    /// [`LearnError::SentenceEncoder`] names the file and what is wrong with it.
    pub fn read(folder: &Path) -> Result<Self, LearnError> {
        if !folder.is_dir() {
            return Err(refuse(
                folder,
                "it is not a folder; give the folder of a sentence-transformers model",
            ));
        }
        let mut read = match text(&folder.join("modules.json"))? {
            Some(modules) => Self::of_modules(folder, &modules)?,
            None if folder.join("config.json").exists() => {
                let mut read = Self::begin(transformer(folder)?, folder.to_owned());
                read.pooling = vec![TextPooling::Mean];
                read.warnings.push(format!(
                    "{} has no modules.json: a text's vector is the mean of its tokens'",
                    folder.display()
                ));
                read
            }
            None => {
                return Err(refuse(
                    folder,
                    "it has neither modules.json (sentence-transformers) nor config.json (Hugging Face)",
                ));
            }
        };
        read.read_lengths()?;
        read.read_prompts(folder)?;
        Ok(read)
    }

    /// The description of `encoder`, which came from nowhere.
    pub(crate) fn of(encoder: &TextEncoder) -> Self {
        let body = match &encoder.body {
            Body::Transformer(transformer) => BodyConfig::Transformer(transformer.config().clone()),
            Body::Table(_) => BodyConfig::Table,
        };
        Self::begin(body, PathBuf::new())
    }

    /// Describes the pooling of `encoder` as what is written has it.
    pub(crate) fn describe(&mut self, encoder: &TextEncoder) {
        self.pooling.clone_from(&encoder.pooling);
        self.normalize = encoder.normalize;
    }

    fn begin(body: BodyConfig, weights: PathBuf) -> Self {
        Self {
            body,
            weights,
            pooling: Vec::new(),
            include_prompt: true,
            dense: Vec::new(),
            normalize: false,
            max_length: None,
            lower_case: false,
            prompts: BTreeMap::new(),
            default_prompt: None,
            warnings: Vec::new(),
        }
    }

    fn of_modules(folder: &Path, modules: &str) -> Result<Self, LearnError> {
        let file = folder.join("modules.json");
        let wrong = |reason: String| refuse(&file, reason);
        let modules: Vec<Map<String, Value>> = serde_json::from_str(modules)
            .map_err(|error| wrong(format!("it is no list of modules: {error}")))?;
        let mut read: Option<Self> = None;
        for (index, module) in modules.iter().enumerate() {
            let kind = module.get("type").and_then(Value::as_str);
            let kind = kind.ok_or_else(|| wrong(format!("module {index} has no `type`")))?;
            let within = module.get("path").and_then(Value::as_str).unwrap_or_default();
            if Path::new(within)
                .components()
                .any(|part| !matches!(part, Component::Normal(_) | Component::CurDir))
            {
                return Err(wrong(format!("module {index} lies outside of the folder: `{within}`")));
            }
            let path = if within.is_empty() { folder.to_owned() } else { folder.join(within) };
            // The last part alone: versions moved the classes from one module to another.
            let class = kind.rsplit('.').next().unwrap_or(kind);
            match (class, &mut read) {
                ("Transformer", None) => read = Some(Self::begin(transformer(&path)?, path)),
                ("StaticEmbedding", None) => {
                    let mut body = Self::begin(BodyConfig::Table, path);
                    body.pooling = vec![TextPooling::Mean];
                    read = Some(body);
                }
                ("Pooling", Some(read)) if read.pooling.is_empty() => read.read_pooling(&path)?,
                ("Dense", Some(read)) if !read.pooling.is_empty() && !read.normalize => {
                    read.dense.push((dense(&path)?, path));
                }
                ("Normalize", Some(read)) if !read.pooling.is_empty() => read.normalize = true,
                ("Dropout", Some(_)) => {}
                _ => {
                    return Err(wrong(format!(
                        "module {index} is `{kind}`; a Transformer with Pooling or a StaticEmbedding, then Dense, then Normalize \
                         are read, in this order"
                    )));
                }
            }
        }
        match read {
            Some(read) if !read.pooling.is_empty() => Ok(read),
            Some(_) => Err(wrong("it names no Pooling".to_owned())),
            None => Err(wrong("it names no module".to_owned())),
        }
    }

    /// `config.json` of pooling, in its form of before version 5.4 and since.
    fn read_pooling(&mut self, path: &Path) -> Result<(), LearnError> {
        let file = path.join("config.json");
        let config = object(&file)?.ok_or_else(|| refuse(&file, "it is missing"))?;
        self.include_prompt = config.get("include_prompt").and_then(Value::as_bool).unwrap_or(true);
        let named = |name: &str| {
            Ok(match name {
                "cls" | "cls_token" => TextPooling::Cls,
                "max" | "max_tokens" => TextPooling::Max,
                "mean" | "mean_tokens" => TextPooling::Mean,
                "mean_sqrt_len" | "mean_sqrt_len_tokens" => TextPooling::MeanSqrtLen,
                _ => {
                    let reason =
                        format!("the pooling `{name}` is not computed; cls, max, mean and mean_sqrt_len are");
                    return Err(refuse(&file, reason));
                }
            })
        };
        // The new form lists them in the order of the results, the old one has an order of its own.
        let mut found: Vec<TextPooling> = match config.get("pooling_mode") {
            Some(Value::String(name)) => vec![named(name)?],
            Some(Value::Array(names)) => names
                .iter()
                .map(|name| named(name.as_str().unwrap_or_default()))
                .collect::<Result<_, LearnError>>()?,
            Some(other) => {
                return Err(refuse(&file, format!("`pooling_mode` is {other}, and must be a name")));
            }
            None => {
                let chosen = config.iter().filter(|(_, value)| value.as_bool() == Some(true));
                let names = chosen.filter_map(|(key, _)| key.strip_prefix("pooling_mode_"));
                let mut found: Vec<TextPooling> = names.map(named).collect::<Result<_, LearnError>>()?;
                found.sort_unstable();
                found
            }
        };
        found.dedup();
        if found.is_empty() {
            return Err(refuse(&file, "it chooses no way of pooling"));
        }
        if let (BodyConfig::Transformer(TransformerConfig { width, .. }), Some(said)) = (
            &self.body,
            ["word_embedding_dimension", "embedding_dimension"]
                .iter()
                .find_map(|key| config.get(*key)?.as_u64()),
        ) && *width as u64 != said
        {
            return Err(refuse(
                &file,
                format!("it pools vectors of {said}, and the transformer gives {width}"),
            ));
        }
        self.pooling = found;
        Ok(())
    }

    /// The greatest length of a text, from the first place that says it.
    fn read_lengths(&mut self) -> Result<(), LearnError> {
        let BodyConfig::Transformer(config) = &self.body else { return Ok(()) };
        let mut found = None;
        for name in LENGTHS {
            let file = self.weights.join(name);
            let Some(config) = object(&file)? else { continue };
            self.lower_case = config.get("do_lower_case").and_then(Value::as_bool).unwrap_or(false);
            found = length(&config, "max_seq_length", &file)?;
            break;
        }
        if found.is_none() {
            let file = self.weights.join("tokenizer_config.json");
            if let Some(config) = object(&file)? {
                found = length(&config, "model_max_length", &file)?;
            }
        }
        let most = config.longest();
        self.max_length = Some(match found {
            Some(length) if length > most => {
                self.warnings.push(format!(
                    "{}: texts are to have up to {length} tokens, and the table of positions holds {most}; they are cut there",
                    self.weights.display()
                ));
                most
            }
            Some(length) => length,
            None => most,
        });
        Ok(())
    }

    fn read_prompts(&mut self, folder: &Path) -> Result<(), LearnError> {
        let file = folder.join("config_sentence_transformers.json");
        let Some(config) = object(&file)? else { return Ok(()) };
        if let Some(Value::Object(prompts)) = config.get("prompts") {
            for (name, prompt) in prompts {
                let Some(prompt) = prompt.as_str() else {
                    return Err(refuse(&file, format!("the prompt `{name}` is no text")));
                };
                self.prompts.insert(name.clone(), prompt.to_owned());
            }
        }
        self.default_prompt = config.get("default_prompt_name").and_then(Value::as_str).map(str::to_owned);
        if let Some(name) = &self.default_prompt
            && !self.prompts.contains_key(name)
        {
            return Err(refuse(
                &file,
                format!("`default_prompt_name` is `{name}`, and there is no such prompt"),
            ));
        }
        Ok(())
    }
}

/// The text of a file; `None` where there is none.
fn text(path: &Path) -> Result<Option<String>, LearnError> {
    let io = |source| LearnError::Io { path: path.to_owned(), source };
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io(error)),
        Ok(data) if data.len() > LONGEST => Err(refuse(
            path,
            format!("it has {} bytes; configurations of at most {LONGEST} are read", data.len()),
        )),
        Ok(_) => fs::read_to_string(path).map(Some).map_err(io),
    }
}

/// The object in a file; `None` where there is none.
fn object(path: &Path) -> Result<Option<Map<String, Value>>, LearnError> {
    let Some(text) = text(path)? else { return Ok(None) };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| refuse(path, format!("it is no JSON object: {error}")))
}

fn transformer(path: &Path) -> Result<BodyConfig, LearnError> {
    let file = path.join("config.json");
    let text = text(&file)?.ok_or_else(|| refuse(&file, "it is missing"))?;
    TransformerConfig::from_json(&text).map(BodyConfig::Transformer).map_err(|reason| refuse(&file, reason))
}

fn dense(path: &Path) -> Result<DenseConfig, LearnError> {
    let file = path.join("config.json");
    let config = object(&file)?.ok_or_else(|| refuse(&file, "it is missing"))?;
    let size = |name: &str| {
        let size = config.get(name).and_then(Value::as_u64).filter(|size| (1..=1 << 16).contains(size));
        size.map(|size| size as usize)
            .ok_or_else(|| refuse(&file, format!("`{name}` must be from 1 to {}", 1 << 16)))
    };
    let class = config.get("activation_function").and_then(Value::as_str);
    let activation = match class {
        None => Activation::Tanh,
        Some(class) => Activation::of_class(class).ok_or_else(|| {
            refuse(&file, format!("`activation_function` is `{class}`; Identity, Tanh, ReLU and GELU of PyTorch are computed"))
        })?,
    };
    Ok(DenseConfig {
        sizes: [size("in_features")?, size("out_features")?],
        bias: config.get("bias").and_then(Value::as_bool).unwrap_or(true),
        activation,
    })
}

/// A length that a file says; tokenizers without one say a number above 10²⁹, which is none.
fn length(config: &Map<String, Value>, name: &str, file: &Path) -> Result<Option<usize>, LearnError> {
    match config.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(found) => match found.as_f64() {
            Some(length) if length >= 1e9 => Ok(None),
            Some(length) if length >= 1.0 && length.fract() == 0.0 => Ok(Some(length as usize)),
            _ => Err(refuse(file, format!("`{name}` is {found}, and must be a number of tokens, 1 or more"))),
        },
    }
}
