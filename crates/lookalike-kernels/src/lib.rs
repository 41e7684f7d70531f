#![doc = include_str!("../README.md")]

mod aligned;
pub mod attention;
pub mod batch_norm;
mod bf16;
mod blocks;
mod columns;
pub mod conv2d;
pub mod cross_entropy;
mod dot;
pub mod dropout;
pub mod embedding;
mod error;
mod functions;
pub mod gelu;
mod instructions;
pub mod layer_norm;
pub mod map;
mod normalize;
mod output;
pub mod product;
mod sizes;
pub mod sparse;
mod stop;
pub mod svm;
mod tasks;
mod tiles;
mod top_k;
mod transpose;
mod vector;

pub use blocks::{Circulant, RowReader, Scoring, circulant_top_k, crossed_top_k};
pub use dot::{dot, dots};
pub use error::KernelError;
pub use instructions::{Isa, isa, level};
pub use normalize::{normalize, scatter_units, squared_norm};
pub use stop::{NEVER, Stop};
pub use top_k::{PiecewiseTopK, TopK, top_k};
