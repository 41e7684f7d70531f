//! SimCSE (Gao et al. 2021, <https://arxiv.org/abs/2104.08821>): sentences by contrast. Without supervision both views of a text are its
//! tokens, and dropout alone tells them apart (equation 4); with it a premise has its entailment as the positive and its contradiction as
//! a hard negative of its own (equation 5):
//!
//! ℓ(i) = −log ( e^{c(zᵢ, zᵢ⁺)/τ} / Σⱼ ( e^{c(zᵢ, zⱼ⁺)/τ} + e^{w·1(i = j)} e^{c(zᵢ, zⱼ⁻)/τ} ) )
//!
//! with the cosine c of what the head makes of the encoder's vectors. The paper's α is e^w: its published program adds w to the logit of the
//! row's own negative alone. With `method.mlm` λ the loss of a [masked language model](super::mlm) of all the batch's texts is added, λ times.
//!
//! All texts of a batch go through the encoder in one pass, as in the published program, and the masked ones in a second.

use lookalike_base::Stream;
use lookalike_base::arrays::Arrays;
use lookalike_kernels::sparse::segment::Scale;

use super::pairs::{Pairs, Softmax, Weighted, Weights};
use super::{Building, Checked, Embedder, Method, MethodEntry, Network, Outputs, Terms};
use crate::encoder::Encoder;
use crate::engine::{Device, Tensor};
use crate::error::LearnError;
use crate::head::masked::PREDICTIONS;
use crate::head::{MaskedHead, TanhLayer, Told};
use crate::input::Batch;
use crate::module::{Module, Pass, Visitor};
use crate::negatives::{Contrast, Observer};
use crate::op::pool;
use crate::options::{Bounds, FLAG, NOT_NEGATIVE, Options, Range, Value, When, refuse};
use crate::step::Step;

crate::options! {
    /// What a recipe says of SimCSE.
    pub struct SimCseOptions {
        /// What stands between the encoder and the loss, in training alone: `mlp`, a linear layer of the same length and tanh, as published; or
        /// `none`.
        head: String = Value::Text("mlp"), Range::OneOf(&["mlp", "none"]);
        /// Whether second views look for their first ones too, each direction with weight ½; published: one direction.
        symmetric: bool = Value::Flag(false), FLAG;
        /// w, which is added to the logit of a row's own hard negatives: its exponential is multiplied by e^w, the paper's α; 0 as published.
        hard_negative_weight: f32 = Value::Number(0.0), Range::Number(ANY);
        /// λ, the weight of the masked language model beside; 0: none. The paper's is 0.1, which helps transfer and costs similarity. Its head is
        /// that of `encoder.weights` where that has one, else drawn.
        mlm: f32 = Value::Number(0.0), NOT_NEGATIVE;
    }
}

/// Logits from certain defeat to certain victory.
const ANY: Bounds = Bounds { least: (-50.0, true), most: (50.0, true), words: "−50 … 50" };

/// Texts in two views, and a row's own hard negatives where it has any.
const TEXTS: &[&str] = &["view 1", "view 2", "negatives"];
/// The same, and all of them masked.
const TEXTS_AND_MASKED: &[&str] = &["view 1", "view 2", "negatives", "masked"];

/// SimCSE in a registry.
pub const ENTRY: MethodEntry = MethodEntry {
    kind: "simcse",
    paper: "Gao et al. 2021",
    about: "texts against others of the batch, both views by dropout, or pairs and triplets",
    keys: SimCseOptions::KEYS,
    modalities: &["text"],
    losses: &["info-nce", "debiased", "hard"],
    columns: &[When::positive("method.mlm", TEXTS_AND_MASKED), When::always(TEXTS)],
    defaults: &[When::always(("loss.temperature", Value::Number(0.05)))],
    check_data,
    build,
    kept: |building| Ok(Box::new(network(building, &building.settings.read("method")?)?)),
    ..MethodEntry::VIEWS
};

fn check_data(checked: &Checked<'_>, _: usize) -> Result<(), LearnError> {
    let options: SimCseOptions = checked.settings.read("method")?;
    if options.mlm > 0.0 && checked.settings.text("encoder.kind") == Some("static") {
        let reason =
            "tells masked tokens by those around them, and the encoder `static` knows none; leave it out";
        return Err(refuse("method.mlm", reason));
    }
    Ok(())
}

fn network(building: &Building<'_>, options: &SimCseOptions) -> Result<Network, LearnError> {
    let encoder = (building.encoder)("encoder")?;
    Ok(with_head(encoder, &options.head, &mut building.stream("projection"), building.device))
}

fn with_head(encoder: Box<dyn Encoder>, head: &str, stream: &mut Stream, device: &Device) -> Network {
    if head == "none" {
        return Network::headless(encoder);
    }
    let head = TanhLayer::new(encoder.dimension(), stream, device);
    Network::new(encoder, head)
}

fn build(building: &Building<'_>) -> Result<Box<dyn Method>, LearnError> {
    let options: SimCseOptions = building.settings.read("method")?;
    let network = network(building, &options)?;
    let masked = if options.mlm > 0.0 { Some(building.masked_head(&*network.encoder)?) } else { None };
    Ok(Box::new(SimCse::new(network, building.contrast()?, masked, &options)))
}

/// An encoder with its head, and that of a masked language model beside it.
#[derive(Clone)]
pub struct SimCse {
    pairs: Pairs,
    masked: Option<(MaskedHead, f32)>,
}

impl SimCse {
    /// Trains `network` by `contrast`, and where `masked` is given by the masked language model too.
    pub fn new(
        network: Network,
        contrast: Contrast,
        masked: Option<MaskedHead>,
        options: &SimCseOptions,
    ) -> Self {
        let softmax = if options.symmetric { Softmax::Symmetric } else { Softmax::QueryToDocument };
        let weights = Weights { hardness: (0.0, Weighted::Own), own: options.hard_negative_weight };
        // Both heads keep the length.
        let length = network.encoder.dimension();
        let pairs = Pairs::new(network, contrast, softmax, weights, length);
        Self { pairs, masked: masked.map(|head| (head, options.mlm)) }
    }
}

impl Module for SimCse {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.pairs.visit(visitor);
        if let Some((head, _)) = &mut self.masked {
            visitor.module(PREDICTIONS, head);
        }
    }
}

impl Method for SimCse {
    fn encode(&mut self, batch: &Batch, _: &Step, pass: &mut Pass) -> Result<Outputs, LearnError> {
        let outputs = self.pairs.encode_texts(batch, pass)?;
        let Some((head, _)) = &self.masked else { return Ok(outputs) };
        let column = batch.column(3)?;
        let network = self.pairs.network();
        let parts = network.features(column, pass)?.parts;
        let told = head.forward(&*network.encoder, column.input.get()?, parts, pass)?;
        let offsets = column.parts(&batch.instances).into();
        let [losses, targets] = [told.losses, told.targets].map(|values| pool(values, &offsets, Scale::Sum));
        Ok(outputs.and(vec![("losses", losses), ("targets", targets)]))
    }

    fn loss(
        &mut self,
        gathered: &Outputs,
        step: &Step,
        observer: &mut dyn Observer,
    ) -> Result<Terms, LearnError> {
        let terms = self.pairs.loss_of(gathered, step, observer);
        let Some((_, weight)) = &self.masked else { return Ok(terms) };
        let told = Told { losses: gathered.get("losses"), targets: gathered.get("targets") };
        Ok(terms.and("masked tokens", told.mean().mul_scalar(*weight)))
    }

    /// Both views side by side.
    fn embeddings(&self, outputs: &Outputs) -> Tensor<2> {
        self.pairs.embeddings(outputs)
    }

    fn kept(&self) -> Box<dyn Embedder> {
        self.pairs.kept()
    }

    fn state(&mut self) -> Arrays {
        self.pairs.state()
    }

    fn restore(&mut self, state: &Arrays, device: &Device) -> Result<(), LearnError> {
        self.pairs.restore(state, device)
    }
}
