//! Writing a folder that every version of sentence-transformers opens: the module names and the form of pooling's file of before
//! version 5.4, which later ones read too.

use std::fs;
use std::path::Path;

use lookalike_base::arrays::Arrays;
use lookalike_base::atomic::new_folder;
use lookalike_base::tensors::{self, TensorFile};
use serde_json::{Value, json};

use super::folder::{BodyConfig, refuse};
use super::{SentenceEncoder, WEIGHTS};
use crate::encoder::Encoder;
use crate::encoder::text::{Activation, Family, TextPooling, TransformerConfig};
use crate::error::LearnError;
use crate::module::arrays_of;

/// Files of a tokenizer that are taken over from the folder it came from, where they are there.
const TOKENIZER_FILES: [&str; 6] = [
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
];

/// Writes `encoder` to the new folder `path`, whole or not at all. `source` is the folder from which files of the tokenizer are taken
/// over beside `tokenizer.json`; those that are not there are made.
///
/// # Errors
/// [`LearnError::SentenceEncoder`] where `path` is there already; [`LearnError::Io`] and [`LearnError::ArrayFile`] where a file cannot
/// be written: nothing is left then.
pub fn save(encoder: &mut SentenceEncoder, source: Option<&Path>, path: &Path) -> Result<(), LearnError> {
    if path.exists() {
        return Err(refuse(path, "it is there already; an encoder is written to a new folder"));
    }
    let io = |path: &Path, source| LearnError::Io { path: path.to_owned(), source };
    new_folder(path, io, |unfinished| write_all(encoder, source, unfinished))
}

/// A folder in the making.
struct Folder<'a> {
    path: &'a Path,
    /// What `modules.json` will list.
    modules: Vec<Value>,
}

impl Folder<'_> {
    fn write(&self, name: &str, content: &[u8]) -> Result<(), LearnError> {
        let path = self.path.join(name);
        fs::write(&path, content).map_err(|source| LearnError::Io { path, source })
    }

    fn write_json(&self, name: &str, value: &Value) -> Result<(), LearnError> {
        self.write(name, format!("{value:#}\n").as_bytes())
    }

    /// Lists a module of that class, and makes the folder of its files; an empty name is the folder itself.
    fn module(&mut self, name: &str, class: &str) -> Result<(), LearnError> {
        let index = self.modules.len();
        self.modules.push(json!({
            "idx": index, "name": index.to_string(), "path": name, "type": format!("sentence_transformers.models.{class}"),
        }));
        let path = self.path.join(name);
        if name.is_empty() {
            Ok(())
        } else {
            fs::create_dir(&path).map_err(|source| LearnError::Io { path, source })
        }
    }

    fn weights(&self, folder: &str, tensors: Arrays) -> Result<(), LearnError> {
        // Without this mark the library transformers refuses a file.
        let metadata = [("format".to_owned(), "pt".to_owned())].into();
        Ok(tensors::write(self.path.join(folder).join(WEIGHTS), &TensorFile { metadata, tensors })?)
    }

    /// A linear layer, numbered as the next module.
    fn dense(
        &mut self,
        [inputs, outputs]: [usize; 2],
        bias: bool,
        activation: Activation,
        tensors: Arrays,
    ) -> Result<(), LearnError> {
        let name = format!("{}_Dense", self.modules.len());
        self.module(&name, "Dense")?;
        self.weights(&name, tensors)?;
        let class = activation.class();
        self.write_json(
            &format!("{name}/config.json"),
            &json!({ "in_features": inputs, "out_features": outputs, "bias": bias, "activation_function": class }),
        )
    }

    /// Transformer and pooling.
    fn transformer(
        &mut self,
        encoder: &SentenceEncoder,
        config: &TransformerConfig,
        source: Option<&Path>,
        tensors: Arrays,
    ) -> Result<(), LearnError> {
        let folder = &encoder.folder;
        self.module("", "Transformer")?;
        self.write_json("config.json", &config.to_json())?;
        let length = folder.max_length.unwrap_or_else(|| config.longest());
        let lengths = json!({ "max_seq_length": length, "do_lower_case": folder.lower_case });
        self.write_json("sentence_bert_config.json", &lengths)?;
        self.weights("", tensors)?;
        self.write("tokenizer.json", encoder.tokenizer.json().as_bytes())?;
        for name in TOKENIZER_FILES {
            match source.and_then(|source| fs::read(source.join(name)).ok()) {
                Some(content) => self.write(name, &content)?,
                None if name == "tokenizer_config.json" => {
                    self.write_json(name, &tokenizer_config(config.family, length))?;
                }
                None => {}
            }
        }
        self.module("1_Pooling", "Pooling")?;
        let file = pooling(&folder.pooling, config.width, folder.include_prompt);
        self.write_json("1_Pooling/config.json", &file)
    }
}

fn write_all(encoder: &mut SentenceEncoder, source: Option<&Path>, path: &Path) -> Result<(), LearnError> {
    let mut folder = Folder { path, modules: Vec::new() };
    let mut arrays = arrays_of(&mut encoder.encoder);
    // What the pooler makes of the first token's vector is a linear layer after pooling to others.
    let pooler = encoder.encoder.pooler.then(|| {
        let layer = ["weight", "bias"].map(|name| (format!("linear.{name}"), format!("pooler.dense.{name}")));
        layer
            .into_iter()
            .filter_map(|(name, own)| Some((name, arrays.get(&own)?.clone())))
            .collect::<Arrays>()
    });
    let mut layers = Vec::new();
    for index in 0..encoder.encoder.dense.len() {
        layers.push(taken(&mut arrays, &format!("dense.{index}.")));
    }
    match encoder.folder.body.clone() {
        BodyConfig::Transformer(config) => folder.transformer(encoder, &config, source, arrays)?,
        BodyConfig::Table => {
            const NAME: &str = "0_StaticEmbedding";
            folder.module(NAME, "StaticEmbedding")?;
            folder.weights(NAME, arrays)?;
            folder.write(&format!("{NAME}/tokenizer.json"), encoder.tokenizer.json().as_bytes())?;
        }
    }
    let width = encoder.encoder.body.width();
    if let Some(tensors) = pooler {
        folder.dense([width, width], true, Activation::Tanh, tensors)?;
    }
    for (layer, tensors) in encoder.encoder.dense.iter().zip(layers) {
        folder.dense(layer.sizes, layer.bias, layer.activation, tensors)?;
    }
    let described = &encoder.folder;
    if described.normalize {
        folder.module(&format!("{}_Normalize", folder.modules.len()), "Normalize")?;
    }
    folder.write_json("modules.json", &Value::Array(folder.modules.clone()))?;
    let library = json!({ "sentence_transformers": "2.7.0", "transformers": "4.41.0", "pytorch": "2.3.0" });
    folder.write_json(
        "config_sentence_transformers.json",
        &json!({
            "__version__": library, "model_type": "SentenceTransformer", "similarity_fn_name": "cosine",
            "prompts": described.prompts, "default_prompt_name": described.default_prompt,
        }),
    )?;
    folder.write("README.md", card(encoder.encoder.dimension(), described.max_length).as_bytes())
}

/// Takes what begins with `prefix` out of `arrays`, without it.
fn taken(arrays: &mut Arrays, prefix: &str) -> Arrays {
    let names: Vec<String> = arrays.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
    let taken = names.into_iter().filter_map(|name| {
        let array = arrays.remove(&name)?;
        Some((name[prefix.len()..].to_owned(), array))
    });
    taken.collect()
}

/// The file of pooling in its old form, which has an order of its own for several; in another order in the new one.
fn pooling(chosen: &[TextPooling], width: usize, include_prompt: bool) -> Value {
    if !chosen.is_sorted() {
        let names = chosen.iter().map(|pooling| match pooling {
            TextPooling::Cls => "cls",
            TextPooling::Max => "max",
            TextPooling::Mean => "mean",
            TextPooling::MeanSqrtLen => "mean_sqrt_len_tokens",
        });
        let names: Vec<&str> = names.collect();
        return json!({ "embedding_dimension": width, "pooling_mode": names, "include_prompt": include_prompt });
    }
    let has = |pooling| chosen.contains(&pooling);
    json!({
        "word_embedding_dimension": width,
        "pooling_mode_cls_token": has(TextPooling::Cls),
        "pooling_mode_mean_tokens": has(TextPooling::Mean),
        "pooling_mode_max_tokens": has(TextPooling::Max),
        "pooling_mode_mean_sqrt_len_tokens": has(TextPooling::MeanSqrtLen),
        "pooling_mode_weightedmean_tokens": false,
        "pooling_mode_lasttoken": false,
        "include_prompt": include_prompt,
    })
}

/// What the library transformers has to know of a tokenizer that was made here.
fn tokenizer_config(family: Family, length: usize) -> Value {
    let class = match family {
        Family::Bert => "BertTokenizer",
        Family::DistilBert => "DistilBertTokenizer",
        Family::Roberta => "RobertaTokenizer",
        Family::Mpnet => "MPNetTokenizer",
    };
    match family {
        Family::Bert | Family::DistilBert => json!({
            "tokenizer_class": class, "model_max_length": length, "do_lower_case": true, "unk_token": "[UNK]", "sep_token": "[SEP]",
            "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]",
        }),
        Family::Roberta | Family::Mpnet => json!({ "tokenizer_class": class, "model_max_length": length }),
    }
}

fn card(width: usize, length: Option<usize>) -> String {
    let length = length.map_or_else(String::new, |length| format!(" Texts are cut at {length} tokens."));
    format!(
        "---\nlibrary_name: sentence-transformers\npipeline_tag: sentence-similarity\ntags:\n- sentence-transformers\n---\n\n# A sentence encoder\n\n\
         It gives a text a vector of {width} numbers.{length} Lookalike wrote it.\n\n```python\nfrom sentence_transformers import \
         SentenceTransformer\n\nencoder = SentenceTransformer(\"path of this folder\")\nvectors = encoder.encode([\"a text\", \"another \
         text\"])\n```\n"
    )
}
