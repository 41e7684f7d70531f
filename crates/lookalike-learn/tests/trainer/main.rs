//! What a run promises whoever stops it, kills it, feeds it nonsense or reads its files.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

#[path = "../common/mod.rs"]
mod common;

mod accumulation;
mod chunks;
mod clipping;
mod clusters;
mod development;
mod dropout;
mod embeddings;
mod events;
mod failure;
mod oracle;
mod resume;
