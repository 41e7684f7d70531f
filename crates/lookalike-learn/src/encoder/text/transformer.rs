//! A transformer of BERT's kind on packed texts: tokens of all texts one after another, no padding, no mask. On a CPU a text's vectors are
//! the same bits alone and in any batch.

use std::sync::Arc;

use lookalike_base::Stream;

use super::config::{Family, TransformerConfig};
use crate::encoder::Parts;
use crate::engine::{Device, Tensor};
use crate::error::LearnError;
use crate::input::TextInput;
use crate::layer::{Dropping, LayerNorm, Linear, dropout, normal};
use crate::module::{Module, Parameter, Pass, Role, Visitor};
use crate::op::{Attending, Distances, attention, lookup};

/// Standard deviation of weights at first, that of all four families.
const DEVIATION: f32 = 0.02;

/// A transformer of BERT's kind (Devlin et al. 2019, <https://arxiv.org/abs/1810.04805>).
#[derive(Debug, Clone)]
pub struct Transformer {
    config: TransformerConfig,
    word: Parameter<2>,
    position: Parameter<2>,
    types: Option<Parameter<2>>,
    norm: LayerNorm,
    layers: Vec<Layer>,
    /// What attention adds by the distance of two tokens, `[buckets, heads]`, one for all layers.
    distances: Option<Parameter<2>>,
    /// A linear layer of the first token's vector, which the checkpoints of some families have.
    pooler: Option<Linear>,
}

#[derive(Debug, Clone)]
struct Layer {
    /// Query, key, value.
    projections: [Linear; 3],
    attention: Linear,
    attention_norm: LayerNorm,
    inner: Linear,
    output: Linear,
    output_norm: LayerNorm,
}

impl Transformer {
    /// Normal weights of standard deviation 0.02 from `stream`, biases 0, the vector of padding 0; with the layer of the first token's
    /// vector that `pooler` asks for. Without a stream all weights are 0, to be replaced by those of a checkpoint.
    pub fn new(
        config: TransformerConfig,
        pooler: bool,
        mut stream: Option<&mut Stream>,
        device: &Device,
    ) -> Self {
        let &TransformerConfig {
            vocabulary, positions, types, width, heads, inner, buckets, padding, ..
        } = &config;
        let norm = || LayerNorm::new(width, config.epsilon as f32, device);
        let mut table = |rows: usize, columns: usize| match &mut stream {
            Some(stream) => normal([rows, columns], DEVIATION, stream, device),
            None => Tensor::zeros([rows, columns], device),
        };
        let word = table(vocabulary, width);
        let word = if padding < vocabulary {
            word.slice_assign([padding..padding + 1, 0..width], Tensor::zeros([1, width], device))
        } else {
            word
        };
        let position = table(positions, width);
        let types = (types > 0).then(|| Parameter::new(table(types, width)));
        let distances = (buckets > 0).then(|| Parameter::new(table(buckets, heads)));
        let mut linear = |[inputs, outputs]: [usize; 2]| Linear::of(table(outputs, inputs), device);
        let layers = (0..config.layers).map(|_| Layer {
            projections: std::array::from_fn(|_| linear([width, width])),
            attention: linear([width, width]),
            attention_norm: norm(),
            inner: linear([width, inner]),
            output: linear([inner, width]),
            output_norm: norm(),
        });
        let layers = layers.collect();
        let pooler = pooler.then(|| linear([width, width]));
        let (word, position) = (Parameter::new(word), Parameter::new(position));
        Self { norm: norm(), config, word, position, types, layers, distances, pooler }
    }

    /// Its sizes.
    pub fn config(&self) -> &TransformerConfig {
        &self.config
    }

    /// The vectors of all tokens.
    ///
    /// # Shapes
    /// → `[tokens, d]`.
    ///
    /// # Errors
    /// [`LearnError::Input`] for a text longer than the table of positions, or a token that is not in the vocabulary.
    pub fn forward(&self, input: &TextInput, pass: &Pass) -> Result<Parts, LearnError> {
        let config = &self.config;
        let tokens = &input.tokens;
        let offsets: Arc<[usize]> = tokens.offsets.as_slice().into();
        let longest = offsets.windows(2).map(|ends| ends[1] - ends[0]).max().unwrap_or(0);
        if longest > config.longest() {
            let most = config.longest();
            return Err(LearnError::Input(format!(
                "a text has {longest} tokens, and the encoder's table of positions holds {most}"
            )));
        }
        check_ids(&tokens.ids, config.vocabulary)?;
        let first = config.first_position() as u32;
        let positions = offsets.windows(2).flat_map(|ends| first..first + (ends[1] - ends[0]) as u32);
        let positions: Arc<[u32]> = positions.collect();
        let ids: Arc<[u32]> = tokens.ids.as_slice().into();

        let mut table = self.position.read(pass);
        if let Some(types) = &self.types {
            // Every token is of the first type.
            table = table + types.read(pass).narrow(0, 0, 1);
        }
        let sums = lookup(self.word.read(pass), &ids) + lookup(table, &positions);
        let of = |purpose: String, probability: f64| Dropping {
            offsets: Some(&offsets),
            probability: probability as f32,
            purpose,
        };
        let mut hidden = self.norm.forward(sums, pass);
        hidden = dropout(hidden, &of("dropout of embeddings".to_owned(), config.dropout), pass);
        let distances = self.distances.as_ref().map(|table| Distances {
            table: table.read(pass),
            buckets: (1 - longest as i64..longest as i64)
                .map(|distance| bucket(distance, config.buckets))
                .collect(),
        });
        for (index, layer) in self.layers.iter().enumerate() {
            let [query, key, value] = &layer.projections;
            let qkv = Linear::forward_together(&[query, key, value], hidden.clone(), pass);
            let drop = |what: &str| of(format!("dropout of {what} of layer {index}"), config.dropout);
            let dropped = of(format!("dropout of probabilities of layer {index}"), config.attention_dropout);
            let attending = Attending {
                offsets: Arc::clone(&offsets),
                heads: config.heads,
                precision: pass.precision,
                dropped: dropped.keys(pass).map(|keys| (keys.into(), dropped.probability)),
            };
            let context = attention(qkv, distances.clone(), attending);
            let norm = &layer.attention_norm;
            hidden = layer.attention.forward_add_norm(context, hidden, norm, &drop("attention"), pass);
            let inner = layer.inner.forward_gelu(hidden.clone(), pass);
            let norm = &layer.output_norm;
            hidden = layer.output.forward_add_norm(inner, hidden, norm, &drop("output"), pass);
        }
        Ok(Parts { values: hidden, offsets })
    }

    /// The table of words.
    ///
    /// # Shapes
    /// `[vocabulary, d]`.
    pub fn words(&self, pass: &Pass) -> Tensor<2> {
        self.word.read(pass)
    }

    /// Whether it has the layer of the first token's vector.
    pub fn has_pooler(&self) -> bool {
        self.pooler.is_some()
    }

    /// tanh of a linear layer of the first tokens' vectors.
    ///
    /// # Shapes
    /// `[n, d]` → the same.
    ///
    /// # Errors
    /// [`LearnError::Input`] where the transformer was built without that layer.
    pub fn pool(&self, first: Tensor<2>, pass: &Pass) -> Result<Tensor<2>, LearnError> {
        let pooler = self.pooler.as_ref();
        let pooler = pooler.ok_or_else(|| LearnError::Input("the encoder has no pooler".to_owned()))?;
        Ok(pooler.forward_rows(first, pass).tanh())
    }
}

/// Checks that all tokens are known.
pub(super) fn check_ids(ids: &[u32], vocabulary: usize) -> Result<(), LearnError> {
    match ids.iter().find(|id| **id as usize >= vocabulary) {
        None => Ok(()),
        Some(id) => Err(LearnError::Input(format!(
            "a text has the token {id}, and the encoder's vocabulary ends before {vocabulary}: the tokenizer is that of another encoder"
        ))),
    }
}

/// The bucket of a key's distance from its query, of so many buckets: a half for keys behind it, each half exact up to its middle and
/// logarithmic to a distance of 128 (`MPNet`'s program; Raffel et al. 2020, <https://arxiv.org/abs/1910.10683>, section 2.1).
fn bucket(distance: i64, buckets: usize) -> u32 {
    let half = buckets as i64 / 2;
    let exact = half / 2;
    let first = if distance > 0 { half } else { 0 };
    let distance = distance.abs();
    let within = if distance < exact {
        distance
    } else {
        // The published program computes this in f32.
        let scaled = (distance as f32 / exact as f32).ln() / (128.0 / exact as f32).ln();
        (exact + (scaled * (half - exact) as f32) as i64).min(half - 1)
    };
    (first + within) as u32
}

/// Names of a layer's modules: query, key, value, what follows attention and its normalisation, the two layers of the feed-forward part
/// and its normalisation.
type LayerNames = [&'static str; 8];

impl Family {
    /// How the checkpoints of this family begin the names of layers, and what they call the modules of one.
    fn layer_names(self) -> (&'static str, LayerNames) {
        const BERT: LayerNames = [
            "attention.self.query",
            "attention.self.key",
            "attention.self.value",
            "attention.output.dense",
            "attention.output.LayerNorm",
            "intermediate.dense",
            "output.dense",
            "output.LayerNorm",
        ];
        match self {
            Self::Bert | Self::Roberta => ("encoder.layer", BERT),
            Self::Mpnet => {
                let [.., inner, output, norm] = BERT;
                let own = ["attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o"];
                let [query, key, value, out] = own;
                ("encoder.layer", [query, key, value, out, "attention.LayerNorm", inner, output, norm])
            }
            Self::DistilBert => (
                "transformer.layer",
                [
                    "attention.q_lin",
                    "attention.k_lin",
                    "attention.v_lin",
                    "attention.out_lin",
                    "sa_layer_norm",
                    "ffn.lin1",
                    "ffn.lin2",
                    "output_layer_norm",
                ],
            ),
        }
    }
}

impl TransformerConfig {
    /// Names and shapes of all matrices of a transformer of these sizes.
    pub(crate) fn matrices(&self) -> impl Iterator<Item = (String, [usize; 2])> {
        let &Self { family, vocabulary, positions, types, width, heads, layers, inner, buckets, .. } = self;
        let (begin, [query, key, value, attention, _, first, second, _]) = family.layer_names();
        let tables = [
            (WORD, [vocabulary, width]),
            (POSITION, [positions, width]),
            (TYPE, [types, width]),
            (DISTANCE, [buckets, heads]),
        ];
        let tables = tables.into_iter().filter(|(_, [rows, _])| *rows > 0);
        let of_layer = [query, key, value, attention].map(|name| (name, [width, width]));
        let of_layer = of_layer.into_iter().chain([(first, [inner, width]), (second, [width, inner])]);
        let of_layers = (0..layers).flat_map(move |layer| {
            of_layer.clone().map(move |(name, shape)| (format!("{begin}.{layer}.{name}.weight"), shape))
        });
        tables.map(|(name, shape)| (name.to_owned(), shape)).chain(of_layers)
    }
}

const WORD: &str = "embeddings.word_embeddings.weight";
const POSITION: &str = "embeddings.position_embeddings.weight";
const TYPE: &str = "embeddings.token_type_embeddings.weight";
const DISTANCE: &str = "encoder.relative_attention_bias.weight";

impl Module for Transformer {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.tensor(WORD, Role::Weight, &mut self.word);
        visitor.tensor(POSITION, Role::Weight, &mut self.position);
        if let Some(types) = &mut self.types {
            visitor.tensor(TYPE, Role::Weight, types);
        }
        visitor.module("embeddings.LayerNorm", &mut self.norm);
        let (begin, [query, key, value, attention, attention_norm, inner, output, norm]) =
            self.config.family.layer_names();
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let name = |module: &str| format!("{begin}.{index}.{module}");
            for (module, projection) in [query, key, value].into_iter().zip(&mut layer.projections) {
                visitor.module(&name(module), projection);
            }
            visitor.module(&name(attention), &mut layer.attention);
            visitor.module(&name(attention_norm), &mut layer.attention_norm);
            visitor.module(&name(inner), &mut layer.inner);
            visitor.module(&name(output), &mut layer.output);
            visitor.module(&name(norm), &mut layer.output_norm);
        }
        if let Some(distances) = &mut self.distances {
            visitor.tensor(DISTANCE, Role::Weight, distances);
        }
        if let Some(pooler) = &mut self.pooler {
            visitor.module("pooler.dense", pooler);
        }
    }
}

#[cfg(test)]
mod tests {
    use lookalike_base::Seed;
    use lookalike_data::text::TokenLists;

    use super::*;
    use crate::engine::Gradients;
    use crate::module::for_each_tensor;
    use crate::op::clock::{Task, spent};
    use crate::step::Step;
    use crate::train::freeze;

    /// A transformer of `layers` layers, of which those named are frozen.
    fn frozen(layers: usize, names: &[&str]) -> Transformer {
        let json = format!(
            r#"{{"model_type": "bert", "vocab_size": 40, "max_position_embeddings": 16, "type_vocab_size": 2, "hidden_size": 12,
                "num_attention_heads": 2, "num_hidden_layers": {layers}, "intermediate_size": 20}}"#
        );
        let config = TransformerConfig::from_json(&json).unwrap();
        let mut stream = Seed(3).stream("transformer", 0, 0, 0);
        let mut transformer = Transformer::new(config, false, Some(&mut stream), &Device::flex());
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        freeze(&mut transformer, &[""], &names).unwrap();
        transformer
    }

    fn forward(transformer: &Transformer) -> Tensor<2> {
        let lists: TokenLists = [vec![3_u32, 5, 39], vec![7, 3]].iter().collect();
        let rows = [0, 1].map(|instance| crate::input::RowId { instance, view: 0 });
        let pass = Pass { rows: rows.into(), ..Pass::training(&Step::default()) };
        transformer.forward(&lists.into(), &pass).unwrap().values
    }

    /// The names of all tensors that have a gradient.
    fn with_gradient(transformer: &mut Transformer, mut gradients: Gradients) -> Vec<String> {
        let mut names = Vec::new();
        for_each_tensor(transformer, &mut |name, _, tensor| {
            if tensor.take_gradient(&mut gradients).is_some() {
                names.push(name.to_owned());
            }
        });
        names
    }

    #[test]
    fn the_backward_pass_ends_at_the_lowest_layer_that_learns() {
        // Nothing below is part of the graph of gradients, so nothing below has work in the backward pass.
        let names = ["embeddings", "encoder.layer.0"];
        let mut lower = frozen(11, &names);
        lower.layers.truncate(1);
        assert!(!forward(&lower).is_tracked());
        let mut whole = frozen(11, &names);
        let before = spent();
        let output = forward(&whole);
        let read = spent()[Task::Lookup as usize];
        assert!(read > before[Task::Lookup as usize]);
        let learned = with_gradient(&mut whole, output.powi_scalar(3).sum().backward());
        assert_eq!(spent()[Task::Lookup as usize], read, "no gradient of a table is computed");
        assert_eq!(learned.len(), 10 * 16);
        assert!(
            learned
                .iter()
                .all(|name| !name.starts_with("embeddings") && !name.starts_with("encoder.layer.0."))
        );
        assert!(learned.iter().any(|name| name.starts_with("encoder.layer.10.")), "10 is not within 1 or 0");
    }

    #[test]
    fn a_frozen_table_has_no_gradient_and_what_is_above_it_has() {
        let mut transformer = frozen(2, &["embeddings.word_embeddings"]);
        let loss = forward(&transformer).powi_scalar(3).sum();
        let learned = with_gradient(&mut transformer, loss.backward());
        assert!(!learned.iter().any(|name| name == WORD) && learned.iter().any(|name| name == POSITION));
        assert_eq!(learned.len(), 4 + 2 * 16);
    }

    #[test]
    fn a_layer_that_is_not_there_is_named_with_the_nearest() {
        let mut transformer = frozen(2, &[]);
        for (wrong, nearest) in [
            ("encoder.layer.2", "encoder.layer"),
            ("embedings", "embeddings"),
            ("encoder.layer.0.atention", "encoder.layer.0.attention"),
            ("embeddings.word_embedding", "embeddings.word_embeddings"),
        ] {
            let error = freeze(&mut transformer, &[""], &[wrong.to_owned()]).unwrap_err();
            assert!(error.contains(&format!("`{wrong}`; did you mean `{nearest}")), "{error}");
        }
    }

    #[test]
    fn biases_and_normalisations_do_not_decay() {
        let mut roles = std::collections::BTreeMap::new();
        for_each_tensor(&mut frozen(1, &[]), &mut |name, role, _| {
            let kind = [".bias", "LayerNorm.weight"].into_iter().find(|end| name.ends_with(end));
            roles.entry(kind.unwrap_or("matrix")).or_insert_with(Vec::new).push((name.to_owned(), role));
        });
        let all = |kind: &str, right: fn(Role) -> bool| roles[kind].iter().all(|(_, role)| right(*role));
        assert!(
            all(".bias", |role| role != Role::Weight)
                && all("LayerNorm.weight", |role| role == Role::Normalization)
        );
        assert!(all("matrix", |role| role == Role::Weight), "{roles:?}");
        assert_eq!([".bias", "LayerNorm.weight", "matrix"].map(|kind| roles[kind].len()), [9, 3, 9]);
    }

    #[test]
    fn distances_fall_into_the_published_buckets() {
        // n = −(key − query); the half for n < 0, keys behind the query's place, is the upper one.
        let expected = [
            (0, 0),
            (-1, 1),
            (-7, 7),
            (-8, 8),
            (-11, 8),
            (-12, 9),
            (-16, 10),
            (-127, 15),
            (-400, 15),
            (1, 17),
            (7, 23),
            (8, 24),
            (12, 25),
            (128, 31),
            (400, 31),
        ];
        for (distance, number) in expected {
            assert_eq!(bucket(distance, 32), number, "{distance}");
        }
    }
}
