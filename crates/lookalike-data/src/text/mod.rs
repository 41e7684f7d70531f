//! Texts: readers of the usual files and of the sets of STS, SentEval and BEIR, tokenizers, and vocabularies.
//!
//! Files are never trusted: every size is checked against a limit before memory is taken, and an error names the file, the line
//! and what would be right. What is left out is counted and said.

mod beir;
mod cache;
mod checked_json;
mod clinc;
mod collector;
mod json_lines;
mod known;
mod lines;
mod pairs;
#[cfg(feature = "parquet")]
mod parquet;
mod pieces;
mod plain_bert;
mod read;
mod senteval;
mod separated;
mod sts;
mod text_set;
mod token_lists;
mod tokenizer;
pub mod views;
pub mod vocabulary;
pub mod wares;

pub use beir::{Identified, Judgement, Retrieval, open_beir, open_beir_files};
pub use cache::{cached_tokens, token_fingerprint};
pub use known::{KnownTexts, OpenedTexts, list, open, open_at};
pub use lines::{Encoding, InvalidUtf8};
pub use pairs::{Held, held_out};
pub use read::{ReadOptions, read, read_columns};
pub use senteval::{TRANSFER_NAMES, Transfer, transfer};
pub use sts::{STS_NAMES, Sts, sts};
pub use text_set::{Column, Names, TextSet, Texts};
pub use token_lists::TokenLists;
pub use tokenizer::Tokenizer;
