//! Supervised training: cross-entropy of a linear classifier on the representation, by the same encoder, views and trainer as the
//! methods that do without labels. No method to learn by contrast, but the line above them: what the labels would give in as many
//! steps.
//!
//! Each image is seen in one view a step. From an encoder that `encoder.weights` names it is fine-tuning, and with all layers frozen a linear
//! classifier on augmented views. What is exported is the encoder; the classifier stays in the run, and an evaluation scores it.

use std::sync::Arc;

use lookalike_base::Stream;

use super::entry::{ONE_VIEW, labels_needed};
use super::{Building, Embedder, Method, MethodEntry, Network, Outputs, Terms};
use crate::encoder::Encoder;
use crate::engine::{Device, Tensor, to_host};
use crate::error::LearnError;
use crate::input::Batch;
use crate::layer::Linear;
use crate::loss::cross_entropy::cross_entropy;
use crate::loss::normalize;
use crate::module::{Module, Pass, Visitor};
use crate::negatives::Observer;
use crate::options::refuse;
use crate::step::Step;

/// Supervised training in a registry. Not of graphs: these are cross-validated on the very set that is learned from, so its labels
/// must not be seen.
pub const ENTRY: MethodEntry = MethodEntry {
    kind: "supervised",
    paper: "no method, but the line above the others; fine-tuning where `encoder.weights` names an encoder",
    about: "a linear classifier on the representation, by the labels. Not of graphs, which are cross-validated on what is \
            learned from",
    modalities: &["image"],
    negatives: &["none"],
    losses: &["cross-entropy"],
    columns: ONE_VIEW,
    needs_labels: true,
    in_batch: |_| 0,
    build,
    kept,
    ..MethodEntry::VIEWS
};

fn build(building: &Building<'_>) -> Result<Box<dyn Method>, LearnError> {
    let labels = building.labels.clone().ok_or_else(|| labels_needed("method.kind"))?;
    if labels.iter().all(|label| *label == labels[0]) {
        let reason = "`supervised` needs two classes to tell apart; all training images are of one";
        return Err(refuse("method.kind", reason));
    }
    let encoder = (building.encoder)("encoder")?;
    let mut stream = building.stream(CLASSIFIER);
    Ok(Box::new(Supervised::new(encoder, (labels, building.classes), &mut stream, building.device)))
}

/// The encoder with its classifier: of as many classes as that which will be loaded has, which may have learned from other data, else as
/// the labels say. Before the first step, or in runs of old, there is none.
fn kept(building: &Building<'_>) -> Result<Box<dyn Embedder>, LearnError> {
    let network = Network::headless((building.encoder)("encoder")?);
    let shape = building.shape.and_then(|shape| shape(&format!("{CLASSIFIER}.weight")));
    let Some([classes, _]) = shape.as_deref() else { return Ok(Box::new(network)) };
    let inputs = network.encoder.dimension();
    let head = Linear::new([inputs, *classes], true, &mut building.stream(CLASSIFIER), building.device);
    Ok(Box::new(network.with_head(CLASSIFIER, head)))
}

/// The name of the head that tells classes.
pub const CLASSIFIER: &str = "classifier";

/// An encoder under a linear classifier.
#[derive(Clone)]
pub struct Supervised {
    /// What is kept: the encoder, and the classifier as a head.
    network: Network,
    labels: Arc<Vec<u32>>,
}

impl Supervised {
    /// Trains `encoder` to tell the classes of the instances, `labels`, which are so many, or as many as the largest says where that are more;
    /// the classifier's weights, drawn from `stream`, are those of [`Linear::new`].
    pub fn new(
        encoder: Box<dyn Encoder>,
        (labels, classes): (Arc<Vec<u32>>, usize),
        stream: &mut Stream,
        device: &Device,
    ) -> Self {
        let classes = labels.iter().max().map_or(0, |last| *last as usize + 1).max(classes);
        let classifier = Linear::new([encoder.dimension(), classes], true, stream, device);
        Self { network: Network::headless(encoder).with_head(CLASSIFIER, classifier), labels }
    }

    fn classes(&self, instances: &[u32]) -> Vec<u32> {
        instances.iter().map(|instance| self.labels[*instance as usize]).collect()
    }
}

impl Module for Supervised {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
    }
}

impl Method for Supervised {
    fn encode(&mut self, batch: &Batch, _: &Step, pass: &mut Pass) -> Result<Outputs, LearnError> {
        let representation = self.network.features(batch.column(0)?, pass)?.vector;
        let logits = self.network.head(CLASSIFIER, representation.clone(), pass);
        let tensors = vec![("representation", representation), ("logits", logits)];
        Ok(Outputs::new(batch.instances.clone(), tensors))
    }

    fn loss(
        &mut self,
        gathered: &Outputs,
        _: &Step,
        observer: &mut dyn Observer,
    ) -> Result<Terms, LearnError> {
        let (logits, classes) = (gathered.get("logits"), self.classes(&gathered.instances));
        observer.number("accuracy", &|| accuracy(logits.clone(), &classes));
        Ok(Terms::single("cross entropy", cross_entropy(logits.clone(), &classes).mean()))
    }

    /// The representation, of unit length.
    fn embeddings(&self, outputs: &Outputs) -> Tensor<2> {
        normalize(outputs.get("representation").inner())
    }

    fn kept(&self) -> Box<dyn Embedder> {
        Box::new(self.network.clone())
    }
}

/// Share of rows whose own class has the largest logit, and has it alone.
fn accuracy(logits: Tensor<2>, classes: &[u32]) -> f64 {
    let columns = logits.dims()[1];
    let is_right = |(row, class): (&[f32], &u32)| {
        let own = row[*class as usize];
        row.iter().filter(|logit| **logit >= own).count() == 1
    };
    let logits = to_host(logits);
    let right = logits.chunks_exact(columns.max(1)).zip(classes).filter(|pair| is_right(*pair)).count();
    right as f64 / classes.len().max(1) as f64
}
