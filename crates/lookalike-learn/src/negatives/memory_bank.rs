//! The memory bank (Wu et al. 2018, section 3.1, <https://arxiv.org/abs/1805.01978>): one vector for every instance of the data
//! set, a moving average of what the encoder made of it whenever it was in a batch.

use lookalike_base::Stream;
use lookalike_base::arrays::{Array, Arrays};

use super::directions;
use super::entry::{NegativesEntry, Pool};
use crate::engine::{Device, Tensor, from_host, to_host};
use crate::error::LearnError;
use crate::loss::normalize;
use crate::op::{assign_rows, row_products, select_rows};
use crate::options::{FRACTION, Options, Value};

crate::options! {
    /// What a recipe says of a memory bank.
    pub struct BankOptions {
        /// Share of itself that an entry of the bank keeps when its instance is seen; Wu et al.: 0.5.
        bank_momentum: f32 = Value::Number(0.5), FRACTION;
    }
}

/// A memory bank in a registry.
pub const ENTRY: NegativesEntry = NegativesEntry {
    kind: "bank",
    about: "one stored vector an instance",
    keys: BankOptions::KEYS,
    methods: &[],
    pool: Pool::Instances,
};

/// N vectors of unit length, that of instance i in row i.
#[derive(Debug, Clone)]
pub struct MemoryBank {
    vectors: Tensor<2>,
    momentum: f32,
}

impl MemoryBank {
    /// Random directions, as many and of as many dimensions as `shape` says; an entry keeps the share `momentum` of itself at an update (the
    /// published program: 0.5).
    pub fn new(shape: [usize; 2], momentum: f32, stream: &mut Stream, device: &Device) -> Self {
        Self { vectors: directions(shape, stream, device), momentum }
    }

    /// # Shapes
    /// `[N, d]`; no copy.
    pub fn vectors(&self) -> Tensor<2> {
        self.vectors.clone()
    }

    /// The entries `rows`, any of which may recur.
    ///
    /// # Shapes
    /// → `[rows, d]`.
    pub fn select(&self, rows: &[u32]) -> Tensor<2> {
        select_rows(self.vectors(), rows)
    }

    /// Products of each of Q queries with the entries that are its own among `rows`, Q · m of them; no copy of entries.
    ///
    /// # Shapes
    /// `[Q, d]` → `[Q, m]`; gradient reaches the queries.
    pub fn products(&self, query: Tensor<2>, rows: Vec<u32>) -> Tensor<2> {
        row_products(query, self.vectors(), rows)
    }

    /// v ← normalised (m v + (1 − m) f) for the entries of `instances`, and for no other.
    ///
    /// # Shapes
    /// `features`: `[N, d]`, of unit length; read without gradient.
    pub fn update(&mut self, instances: &[u32], features: Tensor<2>) {
        let old = self.select(instances).mul_scalar(self.momentum);
        let new = normalize(old + features.inner().mul_scalar(1.0 - self.momentum));
        // Taken out while it is written to, so that nothing else holds it and no copy is made.
        let vectors = std::mem::replace(&mut self.vectors, new.clone());
        self.vectors = assign_rows(vectors, instances.to_vec(), new);
    }

    /// All it holds, for a checkpoint.
    pub fn arrays(&self) -> Arrays {
        let values = Array::f32(self.vectors.dims(), to_host(self.vectors.clone()));
        Arrays::from([("bank.vectors".to_owned(), values)])
    }

    /// Goes on from what [`MemoryBank::arrays`] gave.
    ///
    /// # Errors
    /// [`LearnError::Weights`] where the entries are missing or those of another data set.
    pub fn restore(&mut self, arrays: &Arrays, device: &Device) -> Result<(), LearnError> {
        let refuse = |reason: String| LearnError::Weights { name: "bank.vectors".to_owned(), reason };
        let shape = self.vectors.dims();
        let array = arrays.get("bank.vectors").ok_or_else(|| refuse("it is missing".to_owned()))?;
        if array.shape != shape {
            let found = &array.shape;
            let reason = format!(
                "the bank is one of shape {found:?}, for another data set or head; here it is {shape:?}"
            );
            return Err(refuse(reason));
        }
        let values = array.as_f32().ok_or_else(|| refuse("it is not f32".to_owned()))?;
        self.vectors = from_host(values.to_vec(), shape, device);
        Ok(())
    }
}
