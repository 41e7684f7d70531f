//! Any of the methods, as a recipe chooses it.

use lookalike_base::Matrix;
use lookalike_base::arrays::Arrays;
use lookalike_data::ViewBatch;

use super::{
    EndToEnd, InstanceDiscrimination, Method, Moco, MocoV3, Network, Outputs, Position, SimClr, Supervised,
    Terms,
};
use crate::encoder::Encoder;
use crate::engine::Device;
use crate::error::LearnError;
use crate::module::{Module, Pass, Visitor};

/// One of the methods on encoders of one kind.
#[derive(Debug, Clone)]
pub enum AnyMethod<E> {
    /// SimCLR, and DirectCLR.
    SimClr(SimClr<E>),
    /// Two encoders, both trained.
    EndToEnd(EndToEnd<E>),
    /// A memory bank.
    InstanceDiscrimination(InstanceDiscrimination<E>),
    /// MoCo, v1 and v2.
    Moco(Moco<E>),
    /// MoCo v3.
    MocoV3(MocoV3<E>),
    /// By labels.
    Supervised(Supervised<E>),
}

impl<E: Encoder + Clone> AnyMethod<E> {
    /// Encoder and head: what is kept and evaluated.
    pub fn network(&self) -> &Network<E> {
        match self {
            Self::SimClr(method) => &method.network,
            Self::EndToEnd(method) => &method.network,
            Self::InstanceDiscrimination(method) => &method.network,
            Self::Moco(method) => &method.network,
            Self::MocoV3(method) => &method.network,
            Self::Supervised(method) => &method.network,
        }
    }

    fn get(&self) -> &dyn Method<Batch = ViewBatch<E::Input>> {
        match self {
            Self::SimClr(method) => method,
            Self::EndToEnd(method) => method,
            Self::InstanceDiscrimination(method) => method,
            Self::Moco(method) => method,
            Self::MocoV3(method) => method,
            Self::Supervised(method) => method,
        }
    }

    fn get_mut(&mut self) -> &mut dyn Method<Batch = ViewBatch<E::Input>> {
        match self {
            Self::SimClr(method) => method,
            Self::EndToEnd(method) => method,
            Self::InstanceDiscrimination(method) => method,
            Self::Moco(method) => method,
            Self::MocoV3(method) => method,
            Self::Supervised(method) => method,
        }
    }
}

impl<E: Encoder + Clone> Module for AnyMethod<E> {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.get_mut().visit(visitor);
    }
}

impl<E: Encoder + Clone> Method for AnyMethod<E> {
    type Batch = ViewBatch<E::Input>;

    fn before_step(&mut self, position: &Position) {
        self.get_mut().before_step(position);
    }

    fn encode(&mut self, batch: &Self::Batch, pass: &mut Pass) -> Outputs {
        self.get_mut().encode(batch, pass)
    }

    fn loss(&self, outputs: &Outputs) -> Terms {
        self.get().loss(outputs)
    }

    fn after_step(&mut self, outputs: &Outputs) {
        self.get_mut().after_step(outputs);
    }

    fn embeddings(&self, outputs: &Outputs) -> Matrix {
        self.get().embeddings(outputs)
    }

    fn state(&mut self) -> Arrays {
        self.get_mut().state()
    }

    fn restore(&mut self, state: &Arrays, device: &Device) -> Result<(), LearnError> {
        self.get_mut().restore(state, device)
    }
}
