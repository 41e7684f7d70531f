//! Training: one loop for every method and modality, and what it needs.

pub mod checkpoint;
pub mod collapse;
pub mod collective;
pub mod diagnostics;
pub mod events;
mod gradient_cache;
pub mod lars;
pub mod optimizer;
pub mod schedule;
pub mod tensorboard;
pub mod trainer;

pub use optimizer::{Optimizer, OptimizerKind, OptimizerOptions};
pub use schedule::{Schedule, Shape};
pub use trainer::{Outcome, TrainOptions, Trainer};
