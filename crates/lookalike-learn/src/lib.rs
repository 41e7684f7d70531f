#![doc = include_str!("../README.md")]

mod burn;
pub mod cost;
pub mod encoder;
pub mod engine;
pub mod error;
pub mod evaluate;
pub mod experiment;
pub mod head;
pub mod input;
pub mod layer;
pub mod loss;
pub mod method;
pub mod modality;
pub mod module;
pub mod negatives;
mod op;
pub mod options;
pub mod recipe;
pub mod registry;
pub mod sections;
pub mod sentence;
pub mod step;
pub mod train;
pub mod weights;

pub use error::LearnError;
pub use registry::Registry;
