//! Sparse matrices by compressed rows: their product with dense ones, and read-outs over segments of rows.
//! Message passing in a graph network is the first, its graph vectors are the second (Xu et al. 2019, *How
//! Powerful are Graph Neural Networks?*, <https://arxiv.org/abs/1810.00826>, equations 4.1 and 4.2).
//!
//! Sums run over a row's entries in their order, in `f32`; results do not depend on the number of threads.

mod csr;
mod product;
pub mod segment;

pub use csr::Csr;
pub use product::{aggregate, product};

#[cfg(test)]
mod tests;
