//! What a run promises whoever stops it, kills it, feeds it nonsense or reads its files.

#[path = "../common/mod.rs"]
mod common;

mod accumulation;
mod events;
mod failure;
mod resume;
