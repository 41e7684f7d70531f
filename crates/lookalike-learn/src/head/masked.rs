//! The head of a masked language model (BERT, Devlin et al. 2019, section 3.1, <https://arxiv.org/abs/1810.04805>), under the names that
//! Hugging Face's `BertForMaskedLM` has behind `cls.predictions.`.
//!
//! `ℓ(t) = −log softmax(E · LayerNorm(GELU(W · h(t) + b)) + c)[t]`, h(t) being the encoder's vector in the place of the token t and E its own
//! table of words. Only the places of targets are projected to the vocabulary.

use lookalike_base::Stream;
use lookalike_base::arrays::Arrays;
use lookalike_data::text::views::NOT_A_TARGET;
use lookalike_kernels::sparse::segment::Scale;

use crate::encoder::{Encoder, Parts};
use crate::engine::{Device, Tensor, from_host};
use crate::error::LearnError;
use crate::input::TextInput;
use crate::layer::{LayerNorm, Linear, normal};
use crate::loss::cross_entropy::cross_entropy;
use crate::module::{Module, Parameter, Pass, Role, Visitor, load_arrays};
use crate::op::{linear, lookup, pool};

/// What begins the names of its tensors in checkpoints.
pub const PREDICTIONS: &str = "cls.predictions";

/// What tells masked tokens of the encoder's vectors in their places.
#[derive(Debug, Clone)]
pub struct MaskedHead {
    dense: Linear,
    norm: LayerNorm,
    /// A value a token of the vocabulary.
    bias: Parameter<1>,
}

/// How well a batch's masked tokens are told, for each text.
#[derive(Debug, Clone)]
pub struct Told {
    /// The sum of the cross-entropies of a text's targets, `[N, 1]`.
    pub losses: Tensor<2>,
    /// How many targets it has, `[N, 1]`.
    pub targets: Tensor<2>,
}

impl MaskedHead {
    /// For the encoder whose table of words is `[vocabulary, d]`: normal weights of standard deviation 0.02, biases 0.
    pub fn new([vocabulary, width]: [usize; 2], stream: &mut Stream, device: &Device) -> Self {
        Self {
            dense: Linear::of(normal([width, width], 0.02, stream, device), device),
            norm: LayerNorm::new(width, 1e-12, device),
            bias: Parameter::new(Tensor::zeros([vocabulary], device)),
        }
    }

    /// For `encoder`, with the weights that `checkpoint` has for it, or drawn where it has none.
    ///
    /// # Errors
    /// [`LearnError::Recipe`] where the encoder has no table of words; [`LearnError::Weights`] where those of the checkpoint are of
    /// another shape.
    pub fn of(
        encoder: &dyn Encoder,
        checkpoint: Option<&Arrays>,
        stream: &mut Stream,
        device: &Device,
    ) -> Result<Self, LearnError> {
        let mut head = Self::new(words(encoder, &Pass::evaluation())?.dims(), stream, device);
        let prefix = format!("{PREDICTIONS}.");
        if let Some(arrays) = checkpoint.filter(|arrays| arrays.keys().any(|name| name.starts_with(&prefix)))
        {
            load_arrays(&mut head, arrays, &prefix, device)?;
        }
        Ok(head)
    }

    /// How well the targets of `input` are told of `parts`, the vectors of its tokens.
    ///
    /// # Errors
    /// [`LearnError::Input`] where the input has no targets at all, or the encoder gives no vectors of tokens.
    pub fn forward(
        &self,
        encoder: &dyn Encoder,
        input: &TextInput,
        parts: Option<Parts>,
        pass: &Pass,
    ) -> Result<Told, LearnError> {
        let parts =
            parts.ok_or_else(|| LearnError::Input("the encoder gives no vectors of tokens".to_owned()))?;
        let originals = input.originals.as_ref();
        let originals =
            originals.ok_or_else(|| LearnError::Input("the texts have no masked tokens".to_owned()))?;
        let (mut places, mut tokens, mut offsets) = (Vec::new(), Vec::new(), vec![0]);
        let mut place = 0;
        for list in originals.iter() {
            for original in list {
                if *original != NOT_A_TARGET {
                    places.push(place);
                    tokens.push(*original);
                }
                place += 1;
            }
            offsets.push(places.len());
        }
        let device = parts.values.device().inner();
        let counts = offsets.windows(2).map(|ends| (ends[1] - ends[0]) as f32).collect();
        let texts = originals.len();
        let targets = from_host(counts, [texts, 1], &device);
        if places.is_empty() {
            // Nothing to tell: 0, of which the gradient is 0.
            let nothing = parts.values.sum().mul_scalar(0.0).reshape([1, 1]).expand([texts, 1]);
            return Ok(Told { losses: nothing, targets });
        }
        let hidden = self.dense.forward_gelu(lookup(parts.values, &places.into()), pass);
        let hidden = self.norm.forward(hidden, pass);
        let logits = linear(hidden, words(encoder, pass)?, Some(self.bias.read(pass)), pass.precision);
        Ok(Told { losses: pool(cross_entropy(logits, &tokens), &offsets.into(), Scale::Sum), targets })
    }
}

impl Told {
    /// The mean over all targets, `[1]`; 0 where there is none.
    pub fn mean(self) -> Tensor<1> {
        self.losses.sum() / self.targets.inner().sum().clamp_min(1.0)
    }
}

fn words(encoder: &dyn Encoder, pass: &Pass) -> Result<Tensor<2>, LearnError> {
    encoder.words(pass).ok_or_else(|| {
        LearnError::Input("the encoder has no table of words by which masked tokens could be told".to_owned())
    })
}

impl Module for MaskedHead {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.module("transform.dense", &mut self.dense);
        visitor.module("transform.LayerNorm", &mut self.norm);
        visitor.tensor("bias", Role::Bias, &mut self.bias);
    }
}
