//! A masked language model (BERT, Devlin et al. 2019, section 3.1, <https://arxiv.org/abs/1810.04805>): some tokens of a text are hidden,
//! and the encoder's vectors in their places must tell them. No contrast: it makes an encoder of nothing but sentences, for
//! [`simcse`](super::simcse) and others to start from.
//!
//! The loss is the mean of the cross-entropies of a batch's targets, see [`masked`](crate::head::masked). What is kept is the encoder.

use lookalike_kernels::sparse::segment::Scale;

use super::{Building, Embedder, Method, MethodEntry, Network, Outputs, Terms};
use crate::encoder::Encoder;
use crate::engine::Tensor;
use crate::error::LearnError;
use crate::head::masked::PREDICTIONS;
use crate::head::{MaskedHead, Told};
use crate::input::Batch;
use crate::loss::normalize;
use crate::module::{Module, Pass, Visitor};
use crate::negatives::Observer;
use crate::op::pool;
use crate::options::When;
use crate::step::Step;

/// The column of masked texts.
pub(super) const MASKED: &str = "masked";

/// The masked language model in a registry.
pub const ENTRY: MethodEntry = MethodEntry {
    kind: "mlm",
    paper: "Devlin et al. 2019",
    about: "a masked language model: an encoder of texts from nothing, without contrast",
    modalities: &["text"],
    encoders: &["bert"],
    negatives: &["none"],
    losses: &["cross-entropy"],
    columns: &[When::always(&[MASKED])],
    in_batch: |_| 0,
    build,
    kept: |building| Ok(Box::new(Network::headless((building.encoder)("encoder")?))),
    ..MethodEntry::VIEWS
};

fn build(building: &Building<'_>) -> Result<Box<dyn Method>, LearnError> {
    let encoder = (building.encoder)("encoder")?;
    let head = building.masked_head(&*encoder)?;
    Ok(Box::new(Mlm::new(encoder, head)))
}

/// An encoder under the head of a masked language model.
#[derive(Clone)]
pub struct Mlm {
    /// What is kept: the encoder, without a head.
    network: Network,
    head: MaskedHead,
}

impl Mlm {
    /// Trains `encoder` to tell masked tokens.
    pub fn new(encoder: Box<dyn Encoder>, head: MaskedHead) -> Self {
        Self { network: Network::headless(encoder), head }
    }
}

impl Module for Mlm {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
        visitor.module(PREDICTIONS, &mut self.head);
    }
}

impl Method for Mlm {
    fn encode(&mut self, batch: &Batch, _: &Step, pass: &mut Pass) -> Result<Outputs, LearnError> {
        let column = batch.column(0)?;
        let features = self.network.features(column, pass)?;
        let Told { losses, targets } =
            self.head.forward(&*self.network.encoder, column.input.get()?, features.parts, pass)?;
        // A row an instance, whose texts are one of each column.
        let texts = column.parts(&batch.instances).into();
        let tensors = vec![
            ("representation", pool(features.vector, &texts, Scale::Mean)),
            ("losses", pool(losses, &texts, Scale::Sum)),
            ("targets", pool(targets, &texts, Scale::Sum)),
        ];
        Ok(Outputs::new(batch.instances.clone(), tensors))
    }

    fn loss(
        &mut self,
        gathered: &Outputs,
        _: &Step,
        observer: &mut dyn Observer,
    ) -> Result<Terms, LearnError> {
        let told = Told { losses: gathered.get("losses"), targets: gathered.get("targets") };
        observer.number("targets", &|| f64::from(told.targets.clone().inner().sum().into_scalar::<f32>()));
        Ok(Terms::single("masked tokens", told.mean()))
    }

    /// The representation, of unit length.
    fn embeddings(&self, outputs: &Outputs) -> Tensor<2> {
        normalize(outputs.get("representation").inner())
    }

    fn kept(&self) -> Box<dyn Embedder> {
        Box::new(self.network.clone())
    }
}
