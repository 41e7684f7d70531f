//! What `config.json` of a Hugging Face checkpoint says of a transformer of BERT's kind.

use serde_json::{Map, Value, json};

/// Sizes that are read at most, far above any published checkpoint. Memory is taken once the tensors have been found to have them.
const MOST_LAYERS: usize = 128;
const MOST_WIDTH: usize = 16_384;
const MOST_TOKENS: usize = 1 << 22;
const MOST_POSITIONS: usize = 1 << 16;

/// Which checkpoint's names and rules a transformer follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// BERT (Devlin et al. 2019, <https://arxiv.org/abs/1810.04805>) and `MiniLM`.
    Bert,
    /// `RoBERTa` (Liu et al. 2019, <https://arxiv.org/abs/1907.11692>).
    Roberta,
    /// `MPNet` (Song et al. 2020, <https://arxiv.org/abs/2004.09297>): attention knows the distance of two tokens.
    Mpnet,
    /// `DistilBERT` (Sanh et al. 2019, <https://arxiv.org/abs/1910.01108>).
    DistilBert,
}

impl Family {
    const ALL: [Self; 4] = [Self::Bert, Self::Roberta, Self::Mpnet, Self::DistilBert];

    /// As `model_type` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::Roberta => "roberta",
            Self::Mpnet => "mpnet",
            Self::DistilBert => "distilbert",
        }
    }

    /// The class that opens its checkpoint.
    fn class(self) -> &'static str {
        match self {
            Self::Bert => "BertModel",
            Self::Roberta => "RobertaModel",
            Self::Mpnet => "MPNetModel",
            Self::DistilBert => "DistilBertModel",
        }
    }
}

/// The sizes of a transformer.
#[derive(Debug, Clone, PartialEq)]
pub struct TransformerConfig {
    /// Whose names and rules it follows.
    pub family: Family,
    /// Tokens it knows.
    pub vocabulary: usize,
    /// Rows of its table of positions.
    pub positions: usize,
    /// Rows of its table of token types; 0 for none.
    pub types: usize,
    /// Length of a token's vector, d.
    pub width: usize,
    /// Attention heads, which divide d.
    pub heads: usize,
    /// Layers.
    pub layers: usize,
    /// Length of the inner layer of the feed-forward part.
    pub inner: usize,
    /// What layer normalisation adds to the variance.
    pub epsilon: f64,
    /// With which probability values are dropped in training.
    pub dropout: f64,
    /// With which probability attention's probabilities are dropped in training.
    pub attention_dropout: f64,
    /// The token of padding, from which `RoBERTa` and `MPNet` count their positions.
    pub padding: usize,
    /// Buckets of distances; 0 where attention does not know them.
    pub buckets: usize,
}

impl TransformerConfig {
    /// Reads what `config.json` says.
    ///
    /// # Errors
    /// What is missing, out of range, or not computed here, in words.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let config: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| format!("it is no JSON object: {error}"))?;
        let kind =
            config.get("model_type").and_then(Value::as_str).ok_or("`model_type` is missing or no name")?;
        let family = Family::ALL.into_iter().find(|family| family.name() == kind).ok_or_else(|| {
            let known = Family::ALL.map(Family::name).join("`, `");
            format!("`model_type` is `{kind}`; `{known}` are read")
        })?;
        let distil = family == Family::DistilBert;
        let name = |usual: &'static str, distilled: &'static str| if distil { distilled } else { usual };
        let size = |name: &str, most: usize| {
            let found = config.get(name).ok_or_else(|| format!("`{name}` is missing"))?;
            let size = found.as_u64().and_then(|size| usize::try_from(size).ok());
            size.filter(|size| (1..=most).contains(size))
                .ok_or_else(|| format!("`{name}` is {found}, and must be from 1 to {most}"))
        };
        let share = |name: &str| match config.get(name) {
            None => Ok(0.1_f64),
            Some(found) => {
                let share = found.as_f64().filter(|share| (0.0..1.0).contains(share));
                share.ok_or_else(|| format!("`{name}` is {found}, and must be from 0 to below 1"))
            }
        };
        let only = |name: &str, value: &str| match config.get(name) {
            Some(found) if found.as_str() != Some(value) && !found.is_null() => {
                Err(format!("`{name}` is {found}; only \"{value}\" is computed"))
            }
            _ => Ok(()),
        };
        only(name("hidden_act", "activation"), "gelu")?;
        only("position_embedding_type", "absolute")?;
        if config.get("is_decoder").and_then(Value::as_bool) == Some(true) {
            return Err("`is_decoder` is true; only encoders are computed".to_owned());
        }
        let epsilon = match config.get("layer_norm_eps") {
            _ if distil => 1e-12,
            None => {
                if family == Family::Bert {
                    1e-12
                } else {
                    1e-5
                }
            }
            Some(found) => found
                .as_f64()
                .filter(|epsilon| *epsilon >= 0.0 && *epsilon < 1.0)
                .ok_or_else(|| format!("`layer_norm_eps` is {found}, and must be from 0 to below 1"))?,
        };
        let padding = match config.get("pad_token_id") {
            None | Some(Value::Null) => usize::from(matches!(family, Family::Roberta | Family::Mpnet)),
            Some(found) => found
                .as_u64()
                .filter(|id| *id < MOST_TOKENS as u64)
                .ok_or_else(|| format!("`pad_token_id` is {found}, and must be the number of a token"))?
                as usize,
        };
        let types = match family {
            Family::Bert | Family::Roberta => size("type_vocab_size", 256)?,
            Family::Mpnet | Family::DistilBert => 0,
        };
        let buckets = match family {
            Family::Mpnet if config.contains_key("relative_attention_num_buckets") => {
                size("relative_attention_num_buckets", 1024)?
            }
            Family::Mpnet => 32,
            _ => 0,
        };
        let config = Self {
            family,
            vocabulary: size("vocab_size", MOST_TOKENS)?,
            positions: size("max_position_embeddings", MOST_POSITIONS)?,
            types,
            width: size(name("hidden_size", "dim"), MOST_WIDTH)?,
            heads: size(name("num_attention_heads", "n_heads"), MOST_WIDTH)?,
            layers: size(name("num_hidden_layers", "n_layers"), MOST_LAYERS)?,
            inner: size(name("intermediate_size", "hidden_dim"), 4 * MOST_WIDTH)?,
            epsilon,
            dropout: share(name("hidden_dropout_prob", "dropout"))?,
            attention_dropout: share(name("attention_probs_dropout_prob", "attention_dropout"))?,
            padding,
            buckets,
        };
        config.check()?;
        Ok(config)
    }

    /// Checks that the sizes fit each other.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn check(&self) -> Result<(), String> {
        let Self { width, heads, positions, buckets, .. } = self;
        if !width.is_multiple_of(*heads) {
            return Err(format!("{heads} attention heads do not divide vectors of {width}"));
        }
        if *positions <= self.first_position() {
            return Err(format!(
                "a table of {positions} positions has none for tokens, whose first is {}",
                self.first_position()
            ));
        }
        if self.family == Family::Mpnet && (*buckets < 4 || !buckets.is_multiple_of(2)) {
            return Err(format!("{buckets} buckets of distances cannot be halved twice"));
        }
        Ok(())
    }

    /// The position of a text's first token.
    pub fn first_position(&self) -> usize {
        match self.family {
            Family::Bert | Family::DistilBert => 0,
            Family::Roberta | Family::Mpnet => self.padding + 1,
        }
    }

    /// Most tokens of a text, those of its beginning and end included.
    pub fn longest(&self) -> usize {
        self.positions - self.first_position()
    }

    /// As `config.json` has it.
    pub fn to_json(&self) -> Value {
        let Self { family, vocabulary, positions, types, width, heads, layers, inner, .. } = self;
        let mut config = json!({
            "architectures": [family.class()],
            "model_type": family.name(),
            "vocab_size": vocabulary,
            "max_position_embeddings": positions,
            "pad_token_id": self.padding,
            "initializer_range": 0.02,
        });
        let own = if *family == Family::DistilBert {
            json!({
                "dim": width, "n_heads": heads, "n_layers": layers, "hidden_dim": inner, "activation": "gelu",
                "dropout": self.dropout, "attention_dropout": self.attention_dropout, "sinusoidal_pos_embds": false,
            })
        } else {
            json!({
                "hidden_size": width, "num_attention_heads": heads, "num_hidden_layers": layers,
                "intermediate_size": inner, "hidden_act": "gelu", "hidden_dropout_prob": self.dropout,
                "attention_probs_dropout_prob": self.attention_dropout, "layer_norm_eps": self.epsilon,
            })
        };
        let further = match family {
            Family::Bert | Family::Roberta => {
                json!({ "type_vocab_size": types, "position_embedding_type": "absolute" })
            }
            Family::Mpnet => json!({ "relative_attention_num_buckets": self.buckets }),
            Family::DistilBert => json!({}),
        };
        if let Some(config) = config.as_object_mut() {
            for (name, value) in [own, further].iter().filter_map(Value::as_object).flatten() {
                config.insert(name.clone(), value.clone());
            }
        }
        config
    }
}
