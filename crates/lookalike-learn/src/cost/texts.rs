//! A step of SimCSE without supervision (Gao et al. 2021, <https://arxiv.org/abs/2104.08821>) on texts: each twice through the encoder with
//! dropout, InfoNCE at τ = 0.05 of the first against the second, backward pass, gradients clipped at length 1, AdamW.

use std::time::{Duration, Instant};

use lookalike_base::progress::Cancellation;
use lookalike_data::text::TokenLists;
use serde::Serialize;

use super::images::as_text;
use super::{Measured, measure, peak_memory, require_some, synced};
use crate::encoder::Encoder;
use crate::encoder::text::Body;
use crate::engine::{self, DeviceName, Precision, Tensor};
use crate::error::LearnError;
use crate::input::{Column, Input};
use crate::loss::InfoNce;
use crate::module::{Pass, parameter_count};
use crate::negatives::{Comparison, Contrast, MIXING, Unobserved};
use crate::op::clock::Task;
use crate::options::{refuse, require};
use crate::sentence::{Reader, SentenceEncoder};
use crate::step::Step;
use crate::train::optimizer::{NamedGradients, accumulate};
use crate::train::{Optimizer, OptimizerKind, OptimizerOptions, freeze};

/// Which step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TextStepOptions {
    /// Texts of a step, each of which is encoded twice.
    pub batch: usize,
    /// Most tokens of a text, those of its beginning and end included; as many as the encoder's folder says where absent.
    pub max_length: Option<usize>,
    /// What linear layers multiply.
    pub precision: Precision,
    /// Where.
    #[serde(serialize_with = "as_text")]
    pub device: DeviceName,
    /// Layers that do not learn, by the beginnings of their names.
    pub freeze: Vec<String>,
    /// Steps that are timed.
    pub steps: usize,
    /// Steps before them.
    pub warm_up: usize,
}

/// What the steps took.
#[derive(Debug, Clone, Serialize)]
pub struct TextStepCost {
    /// Texts a second, each counted twice as it is encoded twice; median over the steps.
    pub texts_per_second: f64,
    /// Of the slowest step.
    pub slowest: f64,
    /// Of the fastest step.
    pub fastest: f64,
    /// Tokens of all steps, those of beginnings and ends included, by the time of all.
    pub tokens_per_second: f64,
    /// Seconds of each step.
    pub seconds: Vec<f64>,
    /// Values of the encoder, frozen ones included.
    pub parameters: usize,
    /// Where the time of all steps went; `None` where the work runs behind the program's back, as on a GPU.
    pub shares: Option<TextShares>,
    /// Most memory the process had, in bytes; `None` where the system does not say.
    pub peak_memory: Option<u64>,
}

/// Shares of the time of the steps, gradients included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TextShares {
    /// Products of linear layers.
    pub product: f64,
    /// Attention, with the dropout of its probabilities.
    pub attention: f64,
    /// Bias and GELU.
    pub gelu: f64,
    /// Layer normalisation, with dropout and the sums before it.
    pub layer_norm: f64,
    /// Masks of the dropout after the embeddings.
    pub dropout: f64,
    /// Reading tables of tokens and positions.
    pub lookup: f64,
    /// The loss and its gradient.
    pub loss: f64,
    /// Clipping and the update of the weights.
    pub optimizer: f64,
    /// Everything else.
    pub rest: f64,
}

/// Times the steps that `options` describe on `texts`, in their order and again from the first when they are at an end. Texts are
/// tokenised before the clock runs, as a run on texts does it.
///
/// # Errors
/// [`LearnError::Device`] where the device does not multiply at that precision; [`LearnError::Recipe`] where an option is impossible, or
/// there are fewer texts than a step has; whatever the tokenizer reports; and [`LearnError::Cancelled`].
pub fn step<S: AsRef<str> + Sync>(
    encoder: SentenceEncoder,
    texts: &[S],
    options: &TextStepOptions,
    cancellation: &Cancellation,
) -> Result<TextStepCost, LearnError> {
    require_some(&[(options.batch, "--batch"), (options.steps, "--steps")])?;
    require(options.batch > 1, "--batch", "must be at least 2: a text needs another to be compared with")?;
    require(
        texts.len() >= options.batch,
        "--batch",
        format!("is {}, and there are {} texts", options.batch, texts.len()),
    )?;
    let device = engine::open(options.device)?;
    engine::check_precision(options.device, &device, options.precision)?;
    let mut bench = Bench::new(encoder, texts, options)?;
    let mut tokens = Vec::new();
    let measured = measure([options.warm_up, options.steps], cancellation, || {
        let (count, parts) = bench.step()?;
        synced(&device, options.device)?;
        tokens.push(count);
        Ok(parts)
    })?;
    let [median, slowest, fastest] = measured.rates(2 * options.batch);
    let tokens: usize = tokens[options.warm_up..].iter().sum();
    Ok(TextStepCost {
        texts_per_second: median,
        slowest,
        fastest,
        tokens_per_second: tokens as f64 / measured.seconds.iter().sum::<f64>(),
        parameters: parameter_count(&mut bench.sentence.encoder),
        shares: (options.device == DeviceName::Cpu).then(|| shares(&measured)),
        seconds: measured.seconds,
        peak_memory: peak_memory(),
    })
}

/// An encoder and its texts.
struct Bench {
    sentence: SentenceEncoder,
    reader: Reader,
    lists: Vec<Vec<u32>>,
    contrast: Contrast,
    optimizer: Optimizer,
    batch: usize,
    precision: Precision,
    /// Steps made.
    made: u64,
}

impl Bench {
    fn new<S: AsRef<str> + Sync>(
        mut sentence: SentenceEncoder,
        texts: &[S],
        options: &TextStepOptions,
    ) -> Result<Self, LearnError> {
        freeze(&mut sentence.encoder, &[""], &options.freeze).map_err(|reason| refuse("--freeze", reason))?;
        let special = match &sentence.encoder.body {
            Body::Transformer(transformer) => {
                let most = transformer.config().longest();
                let asked = options.max_length.unwrap_or(0);
                require(
                    asked <= most,
                    "--max-length",
                    format!("is {asked}, and the encoder has {most} positions"),
                )?;
                true
            }
            Body::Table(_) => {
                require(
                    options.max_length.is_none(),
                    "--max-length",
                    "cuts texts, which a table of tokens reads whole",
                )?;
                false
            }
        };
        let length = options.max_length.or(sentence.folder.max_length);
        let reader =
            Reader::new(sentence.tokenizer.clone(), Some(&sentence.folder), None, (special, length))?;
        // That of fine-tuning; PyTorch's decay.
        let optimizer = OptimizerOptions {
            kind: OptimizerKind::AdamW,
            learning_rate: 3e-5,
            weight_decay: 0.01,
            clip: Some(1.0),
            ..OptimizerOptions::default()
        };
        Ok(Self {
            lists: reader.lists(texts)?,
            sentence,
            reader,
            contrast: Contrast::plain(InfoNce { temperature: 0.05 }),
            optimizer: Optimizer::new(optimizer),
            batch: options.batch,
            precision: options.precision,
            made: 0,
        })
    }

    /// Makes a step, and gives its number of tokens and the times of loss and update.
    fn step(&mut self) -> Result<(usize, [Duration; 2]), LearnError> {
        let instances: Vec<u32> = (0..self.batch as u64)
            .map(|row| ((self.made * self.batch as u64 + row) % self.lists.len() as u64) as u32)
            .collect();
        let lists: TokenLists = instances.iter().map(|instance| &self.lists[*instance as usize]).collect();
        let input = Input::new(self.reader.input(lists));
        let views = [0, 1].map(|view| Column::new(input.clone(), &instances, view));
        let both = Column::join(&views)?;
        let tokens = (0..both.input.count()).map(|row| both.input.size(row)).sum();
        let step = Step { step: self.made, batch: self.made, ..Step::default() };
        let mut pass = Pass { precision: self.precision, ..Pass::training(&step) };
        let encoder = &mut self.sentence.encoder;
        let vectors = pass.reading(&both, |pass| encoder.forward(&both.input, pass))?.vector;
        require(vectors.is_tracked(), "--freeze", "leaves nothing to learn")?;

        let begun = Instant::now();
        // A leaf, so that the gradient of the loss is timed apart from that of the encoder.
        let leaf = vectors.clone().inner().autodiff().require_grad();
        let [first, second] = [0, self.batch].map(|start| leaf.clone().narrow(0, start, self.batch));
        let [comparison, _] = Comparison::across(first, second, &instances);
        let loss: Tensor<1> = self.contrast.compare(&comparison, &step, MIXING[0], &mut Unobserved);
        let gradient = leaf.grad_remove(&mut loss.backward());
        let gradient = gradient.ok_or_else(|| LearnError::Input("the loss has no gradient".to_owned()))?;
        let of_loss = begun.elapsed();

        let mut gradients = NamedGradients::new();
        accumulate(encoder, (vectors * gradient).sum().backward(), &mut gradients);
        let begun = Instant::now();
        self.optimizer.step(encoder, gradients, 3e-5);
        self.made += 1;
        Ok((tokens, [of_loss, begun.elapsed()]))
    }
}

fn shares(measured: &Measured<2>) -> TextShares {
    let [product, attention, gelu, layer_norm, dropout, lookup] =
        [Task::Product, Task::Attention, Task::Gelu, Task::LayerNorm, Task::Dropout, Task::Lookup]
            .map(|task| measured.share(task));
    let [loss, optimizer] = measured.apart;
    let rest = 1.0 - product - attention - gelu - layer_norm - dropout - lookup - loss - optimizer;
    TextShares { product, attention, gelu, layer_norm, dropout, lookup, loss, optimizer, rest }
}
