//! Embeddings are fetched from the device for a sampler that asks for them, and for no other.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use lookalike_base::progress::Cancellation;
use lookalike_learn::LearnError;
use lookalike_learn::engine::Tensor;
use lookalike_learn::input::Batch;
use lookalike_learn::method::{Embedder, Method, Outputs, SimClr, Terms};
use lookalike_learn::module::{Module, Pass, Visitor};
use lookalike_learn::negatives::Observer;
use lookalike_learn::step::Step;
use lookalike_learn::train::TrainOptions;
use lookalike_sampling::{Coverage, SamplerKind};

use crate::common::{NoisyViews, options, perceptron, points, sampler, train};

const INSTANCES: usize = 40;

/// A method that counts how often its embeddings are asked for.
struct Counted {
    method: SimClr,
    asked: Rc<Cell<u64>>,
}

impl Module for Counted {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.method.visit(visitor);
    }
}

impl Method for Counted {
    fn encode(&mut self, batch: &Batch, step: &Step, pass: &mut Pass) -> Result<Outputs, LearnError> {
        self.method.encode(batch, step, pass)
    }

    fn loss(
        &mut self,
        gathered: &Outputs,
        step: &Step,
        observer: &mut dyn Observer,
    ) -> Result<Terms, LearnError> {
        self.method.loss(gathered, step, observer)
    }

    fn embeddings(&self, outputs: &Outputs) -> Tensor<2> {
        self.asked.set(self.asked.get() + 1);
        self.method.embeddings(outputs)
    }

    fn kept(&self) -> Box<dyn Embedder> {
        self.method.kept()
    }
}

/// How often a run of `steps` steps asks for embeddings, and of how many batches.
fn asked(kind: SamplerKind, accumulate: u64) -> (u64, u64) {
    let folder = tempfile::tempdir().unwrap();
    let asked = Rc::new(Cell::new(0));
    let method = Counted { method: perceptron(0.0), asked: asked.clone() };
    let plan = sampler(kind, Coverage::Cover, 8);
    let set = TrainOptions { accumulate, ..options(folder.path(), INSTANCES, plan, 6) };
    let source = Arc::new(NoisyViews(points(INSTANCES, 4, 4).values));
    let (trainer, ..) = train(method, source, set, &Cancellation::new()).unwrap();
    (asked.get(), trainer.sampler().steps())
}

#[test]
fn a_uniform_sampler_never_asks_for_embeddings_and_others_ask_once_a_batch() {
    for accumulate in [1, 3] {
        let batches = 6 * accumulate;
        assert_eq!(asked(SamplerKind::Uniform, accumulate), (0, batches));
        for kind in [SamplerKind::Walk, SamplerKind::Nearest] {
            assert_eq!(asked(kind, accumulate), (batches, batches), "{kind:?}");
        }
    }
}
