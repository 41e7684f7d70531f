//! Encoders of texts in a registry: from nothing by a recipe's sizes, or as the folder that `encoder.weights` names describes them.

use std::path::{Path, PathBuf};

use lookalike_base::{Seed, Stream};
use lookalike_data::text::Tokenizer;

use super::{Body, Family, TextEncoder, TextPooling, TokenTable, Transformer, TransformerConfig};
use crate::encoder::entry::{EncoderEntry, Exporting, LAYERS, Normalized, WIDTH};
use crate::engine::Device;
use crate::error::LearnError;
use crate::module::load_arrays;
use crate::options::{FRACTION, Options, Range, Settings, Value, refuse};
use crate::sentence::{self, BodyConfig, SentenceEncoder, SentenceFolder};

/// The file's, where there is one.
const SIZE: &str = "that of `encoder.weights`";

crate::options! {
    /// What a recipe says of a transformer. Where `encoder.weights` names the folder of a sentence encoder, sizes are the folder's.
    pub struct BertOptions {
        /// Layers; from nothing 6, as those of the smallest sentence encoders.
        layers: Option<usize> = Value::Absent("6, or that of `encoder.weights`"), LAYERS;
        /// Length of a token's vector; from nothing 384.
        width: Option<usize> = Value::Absent("384, or that of `encoder.weights`"), WIDTH;
        /// Attention heads, which divide the width; from nothing 12.
        heads: Option<usize> = Value::Absent("12, or that of `encoder.weights`"), WIDTH;
        /// Length of the inner layer of the feed-forward part; from nothing four times the width.
        inner: Option<usize> = Value::Absent("4 · `width`, or that of `encoder.weights`"), Range::Integer { least: 1, most: 65_536 };
        /// Most tokens of a text, those of beginning and end included; from nothing 512 as BERT has.
        positions: Option<usize> = Value::Absent("512, or that of `encoder.weights`"), Range::Integer { least: 3, most: 65_536 };
        /// With which probability values are dropped in training: after the embeddings, after attention, after the feed-forward part; BERT: 0.1.
        dropout: Option<f32> = Value::Absent("0.1, or that of `encoder.weights`"), FRACTION;
        /// With which probability attention's probabilities are dropped in training; BERT: 0.1.
        attention_dropout: Option<f32> = Value::Absent("0.1, or that of `encoder.weights`"), FRACTION;
        /// What makes a text's vector: the first token's, `cls`, or that through a linear layer and tanh, `cls-pooler`; the mean or maximum of all tokens'.
        pooling: Option<String> = Value::Absent("`mean`, or that of `encoder.weights`"), Range::OneOf(&["cls", "cls-pooler", "mean", "max"]);
    }
}

crate::options! {
    /// What a recipe says of a table of tokens.
    pub struct StaticOptions {
        /// Length of a token's vector.
        width: Option<usize> = Value::Absent("256, or that of `encoder.weights`"), WIDTH;
    }
}

/// A transformer of BERT's kind in a registry.
pub const BERT: EncoderEntry = EncoderEntry {
    kind: "bert",
    about: "a transformer of BERT's kind: BERT, MiniLM, RoBERTa, MPNet, DistilBERT",
    keys: BertOptions::KEYS,
    modalities: &["text"],
    methods: &[],
    rounds: true,
    normalized: Normalized::Nothing,
    dimension: |settings| match folder(settings)? {
        // Of a folder with layers after pooling theirs.
        Some(folder) => Ok(dimension_of(&folder)),
        None => Ok(settings.read::<BertOptions>("encoder")?.width.unwrap_or(384)),
    },
    build: |settings, inputs, stream, device| {
        Ok(Box::new(bert_encoder(settings, inputs, Some(stream), device)?))
    },
    exported: "FOLDER",
    suits: |_, program| {
        Err(program.refuse(
            "an encoder of texts is written as a folder that sentence-transformers opens; leave --for out",
        ))
    },
    export,
};

/// A vector a token in a registry.
pub const STATIC: EncoderEntry = EncoderEntry {
    kind: "static",
    about: "a table of one vector a token, and their mean",
    keys: StaticOptions::KEYS,
    rounds: false,
    dimension: |settings| match folder(settings)? {
        Some(folder) => match folder.dense.last() {
            Some((dense, _)) => Ok(dense.sizes[1]),
            None => Ok(table_of(&folder)?[1]),
        },
        None => Ok(settings.read::<StaticOptions>("encoder")?.width.unwrap_or(256)),
    },
    build: |settings, inputs, stream, device| {
        Ok(Box::new(static_encoder(settings, inputs, Some(stream), device)?))
    },
    ..BERT
};

/// The folder of a sentence encoder that `encoder.weights` names.
///
/// # Errors
/// [`LearnError::Recipe`] where it is not there: sizes and names hang on it; as [`SentenceFolder::read`].
pub(crate) fn folder(settings: &Settings) -> Result<Option<SentenceFolder>, LearnError> {
    let Some(path) = settings.text("encoder.weights").map(Path::new) else { return Ok(None) };
    if !path.exists() {
        let reason =
            format!("{} does not exist; --set encoder.weights=PATH says where it is", path.display());
        return Err(refuse("encoder.weights", reason));
    }
    if path.is_dir() { SentenceFolder::read(path).map(Some) } else { Ok(None) }
}

fn dimension_of(folder: &SentenceFolder) -> usize {
    let width = match &folder.body {
        BodyConfig::Transformer(config) => config.width,
        BodyConfig::Table => 0,
    };
    folder.dense.last().map_or(folder.pooling.len() * width, |(dense, _)| dense.sizes[1])
}

fn table_of(folder: &SentenceFolder) -> Result<[usize; 2], LearnError> {
    match sentence::read_tensors(folder)?.get("embedding.weight").map(|array| array.shape.as_slice()) {
        Some(&[tokens, width]) => Ok([tokens, width]),
        _ => Err(refuse(
            "encoder.weights",
            "has no table of tokens; encoder.kind = \"bert\" reads transformers",
        )),
    }
}

/// Refuses a size of the recipe that is not that of the folder.
fn agree<T: PartialEq + std::fmt::Display>(key: &str, asked: Option<T>, found: &T) -> Result<(), LearnError> {
    match asked.filter(|asked| asked != found) {
        None => Ok(()),
        Some(asked) => {
            Err(refuse(&format!("encoder.{key}"), format!("is {asked}, and {SIZE} is {found}; leave it out")))
        }
    }
}

fn bert_encoder(
    settings: &Settings,
    inputs: usize,
    stream: Option<&mut Stream>,
    device: &Device,
) -> Result<TextEncoder, LearnError> {
    let options: BertOptions = settings.read("encoder")?;
    if let Some(folder) = folder(settings)? {
        let BodyConfig::Transformer(config) = &folder.body else {
            let reason = "is a table of tokens, which encoder.kind = \"static\" reads";
            return Err(refuse("encoder.weights", reason));
        };
        agree("layers", options.layers, &config.layers)?;
        agree("width", options.width, &config.width)?;
        agree("heads", options.heads, &config.heads)?;
        agree("inner", options.inner, &config.inner)?;
        agree("positions", options.positions, &config.positions)?;
        if settings.text("text.tokenizer").is_some() && inputs > config.vocabulary {
            let reason = format!(
                "has {inputs} tokens, and the encoder of encoder.weights knows {}: it is the tokenizer of another encoder",
                config.vocabulary
            );
            return Err(refuse("text.tokenizer", reason));
        }
        let mut folder = folder.clone();
        if let BodyConfig::Transformer(config) = &mut folder.body {
            let share = |asked: Option<f32>, own: f64| asked.map_or(own, f64::from);
            config.dropout = share(options.dropout, config.dropout);
            config.attention_dropout = share(options.attention_dropout, config.attention_dropout);
        }
        let mut encoder = sentence::network(&folder, &sentence::read_tensors(&folder)?, device)?;
        if let Some(pooling) = &options.pooling {
            set_pooling(&mut encoder, pooling)?;
        }
        return Ok(encoder);
    }
    let width = options.width.unwrap_or(384);
    let config = TransformerConfig {
        family: Family::Bert,
        vocabulary: inputs,
        positions: options.positions.unwrap_or(512),
        types: 2,
        width,
        heads: options.heads.unwrap_or(12),
        layers: options.layers.unwrap_or(6),
        inner: options.inner.unwrap_or(4 * width),
        epsilon: 1e-12,
        dropout: options.dropout.map_or(0.1, f64::from),
        attention_dropout: options.attention_dropout.map_or(0.1, f64::from),
        padding: 0,
        buckets: 0,
    };
    config.check().map_err(|reason| refuse("encoder", reason))?;
    let pooling = options.pooling.unwrap_or_else(|| "mean".to_owned());
    let transformer = Transformer::new(config, pooling == "cls-pooler", stream, device);
    let mut encoder = TextEncoder::mean_of(Body::Transformer(Box::new(transformer)));
    set_pooling(&mut encoder, &pooling)?;
    Ok(encoder)
}

fn set_pooling(encoder: &mut TextEncoder, name: &str) -> Result<(), LearnError> {
    if name == "cls-pooler" && !matches!(&encoder.body, Body::Transformer(body) if body.has_pooler()) {
        return Err(refuse("encoder.pooling", "is `cls-pooler`, and the weights have no pooler; take `cls`"));
    }
    if !encoder.dense.is_empty() {
        let reason = "is the folder's, whose linear layers follow it; leave it out";
        return Err(refuse("encoder.pooling", reason));
    }
    encoder.pooling = vec![match name {
        "cls" | "cls-pooler" => TextPooling::Cls,
        "max" => TextPooling::Max,
        _ => TextPooling::Mean,
    }];
    encoder.pooler = name == "cls-pooler";
    Ok(())
}

fn static_encoder(
    settings: &Settings,
    inputs: usize,
    stream: Option<&mut Stream>,
    device: &Device,
) -> Result<TextEncoder, LearnError> {
    let asked = settings.read::<StaticOptions>("encoder")?.width;
    let Some(folder) = folder(settings)? else {
        let table = TokenTable::new([inputs, asked.unwrap_or(256)], stream, device);
        return Ok(TextEncoder::mean_of(Body::Table(Box::new(table))));
    };
    if !matches!(folder.body, BodyConfig::Table) {
        return Err(refuse("encoder.weights", "is a transformer, which encoder.kind = \"bert\" reads"));
    }
    let encoder = sentence::network(&folder, &sentence::read_tensors(&folder)?, device)?;
    agree("width", asked, &encoder.body.width())?;
    Ok(encoder)
}

/// The tokenizer that a run on texts keeps.
pub(crate) const TOKENIZER: &str = "tokenizer.json";

/// Most tokens of a text where neither recipe nor folder says.
const LENGTH: usize = 128;

/// Most tokens of a text: what the recipe says, or the folder, or as many as there are positions for, 128 at most. `None` for a table of
/// tokens, which has no beginning or end of a text and cuts nothing.
///
/// # Errors
/// [`LearnError::Recipe`] where the recipe asks for more than there are positions for, or for any of a table.
pub(crate) fn max_length(
    settings: &Settings,
    folder: Option<&SentenceFolder>,
) -> Result<Option<usize>, LearnError> {
    let asked = settings.integer("text.max_length").map(|length| length as usize);
    if settings.text("encoder.kind") == Some(STATIC.kind) {
        return match asked {
            None => Ok(None),
            Some(_) => Err(refuse(
                "text.max_length",
                "cuts texts, and encoder.kind = \"static\" reads them whole; leave it out",
            )),
        };
    }
    let most = longest(settings, folder)?.unwrap_or(usize::MAX);
    match asked {
        Some(asked) if asked > most => Err(refuse(
            "text.max_length",
            format!("is {asked}, and the encoder's table of positions holds {most} tokens"),
        )),
        Some(asked) => Ok(Some(asked)),
        None => Ok(Some(folder.and_then(|folder| folder.max_length).unwrap_or_else(|| LENGTH.min(most)))),
    }
}

/// Tokens that the encoder has positions for; `None` for a table of tokens, which has none.
///
/// # Errors
/// [`LearnError::Recipe`] where the recipe's sizes cannot be read.
pub(crate) fn longest(
    settings: &Settings,
    folder: Option<&SentenceFolder>,
) -> Result<Option<usize>, LearnError> {
    if settings.text("encoder.kind") == Some(STATIC.kind) {
        return Ok(None);
    }
    let positions = settings.read::<BertOptions>("encoder")?.positions.unwrap_or(512);
    Ok(Some(match folder.map(|folder| &folder.body) {
        Some(BodyConfig::Transformer(config)) => config.longest(),
        _ => positions,
    }))
}

/// Writes the folder of a sentence encoder.
fn export(Exporting { settings, tensors, run, path, .. }: Exporting<'_>) -> Result<(), LearnError> {
    let text = std::fs::read_to_string(run.join(TOKENIZER))
        .map_err(|source| LearnError::Io { path: run.join(TOKENIZER), source })?;
    let tokenizer = Tokenizer::from_json(&text)?;
    let device = Device::flex();
    // The weights are replaced below.
    let mut stream = Seed(0).stream("encoder", 0, 0, 0);
    let bert = settings.text("encoder.kind") == Some(BERT.kind);
    let build = if bert { bert_encoder } else { static_encoder };
    let mut encoder = build(settings, tokenizer.vocabulary(), Some(&mut stream), &device)?;
    load_arrays(&mut encoder, &tensors, "", &device)?;
    let own = folder(settings)?;
    let source = settings.text("text.tokenizer").map(PathBuf::from);
    let source = source.or_else(|| own.as_ref().map(|own| own.weights.clone()));
    let mut described = own.unwrap_or_else(|| SentenceFolder::of(&encoder));
    described.describe(&encoder);
    described.max_length = max_length(settings, Some(&described))?;
    for (name, key) in [("query", "text.query_prompt"), ("document", "text.document_prompt")] {
        if let Some(prompt) = settings.text(key) {
            described.prompts.insert(name.to_owned(), prompt.to_owned());
        }
    }
    let mut encoder = SentenceEncoder { folder: described, tokenizer, encoder };
    sentence::save(&mut encoder, source.as_deref(), path)
}
