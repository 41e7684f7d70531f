//! What a registry knows of where negatives come from.

use crate::options::Key;

/// A source of negatives as a registry holds it.
#[derive(Debug, Clone, Copy)]
pub struct NegativesEntry {
    /// Its name in recipes, `negatives.kind`.
    pub kind: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Its keys in the section `[negatives]`.
    pub keys: &'static [Key],
    /// Methods that take their negatives from it, beside those that say so themselves.
    pub methods: &'static [&'static str],
    /// How many a query has.
    pub pool: Pool,
}

/// How many candidates there are for a query's negatives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// None: nothing is contrasted.
    Nothing,
    /// As many as the method finds in a batch.
    Batch,
    /// `negatives.size`.
    Sized,
    /// One an instance of the data.
    Instances,
}

/// Other instances of the batch.
pub const BATCH: NegativesEntry = NegativesEntry {
    kind: "batch",
    about: "other instances of the batch",
    keys: &[],
    methods: &[],
    pool: Pool::Batch,
};

/// Nothing.
pub const NOTHING: NegativesEntry = NegativesEntry {
    kind: "none",
    about: "nothing is contrasted",
    keys: &[],
    methods: &[],
    pool: Pool::Nothing,
};
