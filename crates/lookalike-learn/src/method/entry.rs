//! What a registry knows of a method: what it goes with, as data, and how it is checked and built.

use std::sync::Arc;

use lookalike_base::{Seed, Stream};

use super::{Embedder, Method};
use crate::encoder::{Encoder, Normalized};
use crate::engine::Device;
use crate::error::LearnError;
use crate::head::{MaskedHead, Projection, ProjectionOptions};
use crate::loss::QueryLoss;
use crate::module::Module;
use crate::negatives::{Contrast, Known, MixingOptions, Relevance};
use crate::options::{Key, Settings, Value, When, refuse};
use crate::weights::Start;

/// A method as a registry holds it.
#[derive(Debug, Clone, Copy)]
pub struct MethodEntry {
    /// Its name in recipes, `method.kind`.
    pub kind: &'static str,
    /// Its paper.
    pub paper: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// Its keys in the section `[method]`.
    pub keys: &'static [Key],
    /// The modalities it learns from.
    pub modalities: &'static [&'static str],
    /// The encoders it trains, the first being its own choice; empty for all that read its modalities.
    pub encoders: &'static [&'static str],
    /// Where its negatives come from, the first being its own choice.
    pub negatives: &'static [&'static str],
    /// The losses it minimises, the first being its own choice.
    pub losses: &'static [&'static str],
    /// The columns that it reads of a batch; the first that holds.
    pub columns: &'static [When<&'static [&'static str]>],
    /// The columns of which it makes embeddings.
    pub plain: &'static [&'static str],
    /// Its own defaults of keys that others describe.
    pub defaults: &'static [When<(&'static str, Value)>],
    /// Whether it needs the labels.
    pub needs_labels: bool,
    /// What of the trained tensors is exported: those under this prefix, without it.
    pub exports: &'static str,
    /// Before which the layers of its encoders that learn stand among its tensors, for `train.freeze`.
    pub learns: &'static [&'static str],
    /// Scores that its runs end with, though the modality leaves them to `lookalike evaluate`.
    pub scores: &'static [&'static str],
    /// Candidates for a query's negatives in a batch.
    pub in_batch: fn(&Checked<'_>) -> usize,
    /// Checks what its keys and those of others are together.
    pub check: fn(&Checked<'_>) -> Result<(), LearnError>,
    /// Checks what needs the number of instances.
    pub check_data: fn(&Checked<'_>, usize) -> Result<(), LearnError>,
    /// What a user should know of a recipe that is possible, once its batches are settled.
    pub advise: fn(&Checked<'_>) -> Vec<String>,
    /// The method before its first step.
    pub build: fn(&Building<'_>) -> Result<Box<dyn Method>, LearnError>,
    /// What is kept of it, before the first step: no queue, no bank.
    pub kept: fn(&Building<'_>) -> Result<Box<dyn Embedder>, LearnError>,
}

/// Two augmented views.
pub const TWO_VIEWS: &[When<&[&str]>] = &[When::always(&["view 1", "view 2"])];
/// One augmented view.
pub const ONE_VIEW: &[When<&[&str]>] = &[When::always(&["view 1"])];

impl MethodEntry {
    /// A method of two augmented views of images or graphs that keeps an encoder with its projection head; what an entry says
    /// otherwise it writes.
    pub const VIEWS: Self = Self {
        kind: "",
        paper: "",
        about: "",
        keys: &[],
        modalities: &["image", "graph"],
        encoders: &[],
        negatives: &["batch"],
        losses: &["info-nce", "debiased", "hard", "alignment"],
        columns: TWO_VIEWS,
        plain: &["plain"],
        defaults: &[],
        needs_labels: false,
        exports: "encoder.",
        learns: &["encoder."],
        scores: &[],
        in_batch: |checked| checked.batch_size.saturating_sub(1),
        check: |_| Ok(()),
        check_data: |_, _| Ok(()),
        advise: |_| Vec::new(),
        build: |_| Err(refuse("method.kind", "this method cannot be built")),
        kept: |building| Ok(Box::new(building.network("encoder", "projection")?)),
    };

    /// The columns that it reads of a batch under `settings`.
    pub fn columns(&self, settings: &Settings) -> &'static [&'static str] {
        self.columns.iter().find(|columns| columns.holds(settings)).map_or(&[], |columns| columns.then)
    }
}

/// A recipe whose keys are filled in, while it is checked.
#[derive(Debug, Clone, Copy)]
pub struct Checked<'a> {
    /// All it says.
    pub settings: &'a Settings,
    /// Instances a batch.
    pub batch_size: usize,
    /// Parts of a batch that are encoded by themselves.
    pub shards: usize,
    /// Length of the representation.
    pub dimension: usize,
    /// What the encoder's BatchNorm takes its statistics over.
    pub normalized: Normalized,
    /// Whether the last batch of an epoch is kept though it is smaller.
    pub keeps_last: bool,
}

impl Checked<'_> {
    /// `negatives.kind`.
    pub fn negatives(&self) -> &str {
        self.settings.text("negatives.kind").unwrap_or_default()
    }

    /// `loss.kind`.
    pub fn loss(&self) -> &str {
        self.settings.text("loss.kind").unwrap_or_default()
    }
}

/// Makes an encoder with the weights of the stream of that name.
pub type MakeEncoder<'a> = dyn Fn(&'static str) -> Result<Box<dyn Encoder>, LearnError> + 'a;

/// The shape of a tensor of that name; `None` where there is no such.
pub type Shapes<'a> = &'a dyn Fn(&str) -> Option<Vec<usize>>;

/// What a method is built from.
pub struct Building<'a> {
    /// All that the recipe says.
    pub settings: &'a Settings,
    /// Makes the encoder, with the weights that `encoder.weights` names where it does.
    pub encoder: &'a MakeEncoder<'a>,
    /// What `encoder.weights` names, for a method that makes its encoders itself: see [`Building::start`].
    pub weights: Option<&'a Start>,
    /// The shapes of the tensors that will be loaded into what is kept, where these are known: sizes that hang on the data learned from are
    /// theirs.
    pub shape: Option<Shapes<'a>>,
    /// The loss of a query, where the recipe's is one.
    pub loss: Option<Arc<dyn QueryLoss>>,
    /// Number of instances, for a memory bank.
    pub instances: usize,
    /// Their classes, where known; [`UNLABELLED`](lookalike_sampling::UNLABELLED) of instances without one.
    pub labels: Option<Arc<Vec<u32>>>,
    /// How many classes the data have, whether or not an instance is of each.
    pub classes: usize,
    /// What is known of their classes while the run goes on, where the loss heeds that.
    pub known: Option<Known>,
    /// Which document answers which query, where the instances are pairs of these and false negatives are to be left out by it.
    pub relevance: Option<Arc<Relevance>>,
    /// Values that describe an instance or a part of it, as the data have them.
    pub inputs: usize,
    /// The run's seed.
    pub seed: Seed,
    /// Where the engine computes.
    pub device: &'a Device,
}

impl Building<'_> {
    /// The stream from which what `purpose` names is drawn.
    pub fn stream(&self, purpose: &'static str) -> Stream {
        self.seed.stream(purpose, 0, 0, 0)
    }

    /// The comparison that the recipe asks for.
    ///
    /// # Errors
    /// [`LearnError::Recipe`] where its loss is none of a query, or labels are needed and missing.
    pub fn contrast(&self) -> Result<Contrast, LearnError> {
        let loss = self.loss.clone().ok_or_else(|| refuse("loss.kind", "is no loss of a query"))?;
        let mixing: Option<MixingOptions> = self.settings.parse("negatives.mixing")?;
        let oracle = if self.settings.is_set("negatives.oracle") {
            Some(self.labels.clone().ok_or_else(|| labels_needed("negatives.oracle"))?.into())
        } else {
            self.known.clone()
        };
        Ok(Contrast { loss, mixing, oracle, relevance: self.relevance.clone() })
    }

    /// Loads into all that a method keeps what `encoder.weights` names, where it does; for a method that makes its encoders itself.
    ///
    /// # Errors
    /// As [`Start::load`].
    pub fn start(&self, module: &mut dyn Module) -> Result<(), LearnError> {
        self.weights.map_or(Ok(()), |weights| weights.load(module, self.device))
    }

    /// The head that tells masked tokens of what `encoder` makes of them: from the folder that `encoder.weights` names where that has one,
    /// as a checkpoint of Hugging Face's `BertForMaskedLM` does, else drawn.
    ///
    /// # Errors
    /// As [`MaskedHead::of`], and as the folder.
    pub fn masked_head(&self, encoder: &dyn Encoder) -> Result<MaskedHead, LearnError> {
        let checkpoint = self.weights.map(Start::arrays).transpose()?;
        MaskedHead::of(encoder, checkpoint.as_ref(), &mut self.stream("masked head"), self.device)
    }

    /// A projection head of `method.projection` on representations of length `inputs`.
    ///
    /// # Errors
    /// [`LearnError::Recipe`] where the section cannot be read.
    pub fn projection(&self, inputs: usize, purpose: &'static str) -> Result<Projection, LearnError> {
        let form: ProjectionOptions = self.settings.parse("method.projection")?.unwrap_or_default();
        Ok(Projection::new(inputs, &form, &mut self.stream(purpose), self.device))
    }

    /// An encoder with its projection head, from the streams of these names.
    ///
    /// # Errors
    /// As the encoder and [`Building::projection`].
    pub fn network(&self, encoder: &'static str, head: &'static str) -> Result<super::Network, LearnError> {
        let encoder = (self.encoder)(encoder)?;
        let head = self.projection(encoder.dimension(), head)?;
        Ok(super::Network::new(encoder, head))
    }

    /// Length of what the loss compares: that of the head's vectors, or of the representation where there is none.
    ///
    /// # Errors
    /// As [`Building::projection`].
    pub fn projected(&self, representation: usize) -> Result<usize, LearnError> {
        let form: ProjectionOptions = self.settings.parse("method.projection")?.unwrap_or_default();
        Ok(if form.layers == 0 { representation } else { form.dimension })
    }
}

/// What the key at `place` asks for labels that are not there.
pub fn labels_needed(place: &str) -> LearnError {
    refuse(place, "needs a label for every instance to train on, and some or all of them have none")
}
