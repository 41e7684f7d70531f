//! Training: one loop for every method and modality, and what it needs.

pub mod checkpoint;
pub mod collapse;
pub mod events;
pub mod lars;
pub mod momentum_encoder;
pub mod optimizer;
pub mod schedule;
pub mod tensorboard;
pub mod trainer;

pub use optimizer::{Optimizer, OptimizerKind, OptimizerOptions};
pub use schedule::{Schedule, Shape};
pub use trainer::{Outcome, TrainOptions, Trainer};
