#![doc = include_str!("../README.md")]

mod burn;
pub mod cost;
pub mod encoder;
pub mod engine;
pub mod error;
pub mod evaluate;
pub mod experiment;
pub mod head;
pub mod layer;
pub mod loss;
pub mod method;
pub mod module;
pub mod negatives;
mod op;
pub mod recipe;
pub mod train;

pub use error::LearnError;
