//! Training: one loop for every method and modality, and what it needs.

pub mod checkpoint;
pub mod collapse;
pub mod development;
pub mod diagnostics;
pub mod events;
mod freeze;
mod gradient_cache;
pub mod identity;
pub mod lars;
mod left_out;
pub mod optimizer;
pub mod oracle;
mod place;
pub(crate) mod ranks;
pub mod result;
pub mod schedule;
mod shards;
mod told;
pub mod trainer;
mod window;

pub use development::{Best, Development, Judge};
pub use freeze::{find, freeze};
pub use gradient_cache::Chunk;
pub use left_out::LeftOut;
pub use optimizer::{Optimizer, OptimizerKind, OptimizerOptions};
pub use oracle::{Heeding, OracleKind, OracleOptions, OracleSetup};
pub(crate) use place::read_plan;
pub use schedule::{Drops, Schedule, Shape};
pub use trainer::{Outcome, TrainOptions, Trainer};
