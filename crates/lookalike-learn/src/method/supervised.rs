//! Supervised training: cross-entropy of a linear classifier on the representation, by the same encoder, views and trainer as the
//! methods that do without labels. No method to learn by contrast, but the line above them: what the labels would give in as many
//! steps.
//!
//! Each image is seen in one view a step. The classifier is trained and thrown away with the run: what is kept and evaluated is the
//! encoder.

use std::sync::Arc;

use lookalike_base::{Matrix, Stream};
use lookalike_data::ViewBatch;
use serde_json::{Map, json};

use super::network::both_views;
use super::{Method, Network, Outputs, Position, Terms, rows_of};
use crate::encoder::Encoder;
use crate::engine::Device;
use crate::head::Head;
use crate::layer::Linear;
use crate::loss::cross_entropy::cross_entropy;
use crate::loss::normalize;
use crate::module::{Module, Pass, Visitor};

/// An encoder under a linear classifier.
#[derive(Debug, Clone)]
pub struct Supervised<E> {
    /// What is kept: the encoder, without a head.
    pub network: Network<E>,
    classifier: Linear,
    labels: Arc<Vec<u32>>,
    position: Position,
}

/// `encoder` without a head: what the classifier reads is the representation.
pub fn headless<E: Encoder>(encoder: E) -> Network<E> {
    let head = Head::Leading(encoder.dimension());
    Network { encoder, head }
}

impl<E: Encoder> Supervised<E> {
    /// Trains `encoder` to tell the classes of the instances, `labels`, from 0 to the largest of them; the classifier's weights, drawn
    /// from `stream`, are those of [`Linear::new`].
    pub fn new(encoder: E, labels: Arc<Vec<u32>>, stream: &mut Stream, device: &Device) -> Self {
        let classes = labels.iter().max().map_or(0, |last| *last as usize + 1);
        let classifier = Linear::new([encoder.dimension(), classes], true, stream, device);
        Self { network: headless(encoder), classifier, labels, position: Position::default() }
    }

    fn classes(&self, instances: &[u32]) -> Vec<u32> {
        instances.iter().map(|instance| self.labels[*instance as usize]).collect()
    }
}

impl<E: Encoder> Module for Supervised<E> {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
        visitor.module("classifier", &mut self.classifier);
    }
}

impl<E: Encoder> Method for Supervised<E> {
    type Batch = ViewBatch<E::Input>;

    fn before_step(&mut self, position: &Position) {
        self.position = *position;
    }

    fn encode(&mut self, batch: &Self::Batch, pass: &mut Pass) -> Outputs {
        let [first, _] = both_views(&batch.views);
        let [representation, _] = self.network.embed(&first, pass);
        let logits = self.classifier.forward(representation.clone(), pass);
        Outputs::new(batch.instances.clone(), vec![("representation", representation), ("logits", logits)])
    }

    fn loss(&self, outputs: &Outputs) -> Terms {
        let (logits, classes) = (outputs.get("logits"), self.classes(&outputs.instances));
        let mut scalars = Map::new();
        if self.position.diagnostics {
            scalars
                .insert("accuracy".to_owned(), json!(accuracy(&rows_of(logits.clone().inner()), &classes)));
        }
        Terms::new(vec![("cross entropy", cross_entropy(logits, &classes).mean())], scalars)
    }

    fn after_step(&mut self, _: &Outputs) {}

    /// The representation, of unit length.
    fn embeddings(&self, outputs: &Outputs) -> Matrix {
        rows_of(normalize(outputs.get("representation").inner()))
    }
}

/// Share of rows whose own class has the largest logit, and has it alone.
fn accuracy(logits: &Matrix, classes: &[u32]) -> f64 {
    let is_right = |(row, class): (&[f32], &u32)| {
        let own = row[*class as usize];
        row.iter().filter(|logit| **logit >= own).count() == 1
    };
    let right = logits.rows().iter().zip(classes).filter(|pair| is_right(*pair)).count();
    right as f64 / classes.len().max(1) as f64
}
