//! Texts as an input: lists of tokens packed one after another, without padding.

use lookalike_data::text::TokenLists;

use super::{Input, Instances};
use crate::error::LearnError;

/// Texts as lists of tokens.
#[derive(Debug, Clone)]
pub struct TextInput {
    /// The tokens.
    pub tokens: TokenLists,
    /// How many tokens at the beginning of each text are read but left out of its vector, as those of a prompt may be.
    pub unpooled: Vec<u32>,
}

impl From<TokenLists> for TextInput {
    fn from(tokens: TokenLists) -> Self {
        let unpooled = vec![0; tokens.len()];
        Self { tokens, unpooled }
    }
}

impl Instances for TextInput {
    fn what(&self) -> &'static str {
        "texts"
    }

    fn count(&self) -> usize {
        self.tokens.len()
    }

    fn size(&self, row: usize) -> usize {
        self.tokens.offsets[row + 1] - self.tokens.offsets[row]
    }

    fn select(&self, rows: &[u32]) -> Input {
        let unpooled = rows.iter().map(|row| self.unpooled[*row as usize]).collect();
        Input::new(Self { tokens: self.tokens.select(rows), unpooled })
    }

    fn join(&self, inputs: &[&Input]) -> Result<Input, LearnError> {
        let parts: Vec<&Self> = Input::all(inputs)?;
        let lists: Vec<&TokenLists> = parts.iter().map(|part| &part.tokens).collect();
        let unpooled = parts.iter().flat_map(|part| part.unpooled.iter().copied()).collect();
        Ok(Input::new(Self { tokens: TokenLists::joined(&lists), unpooled }))
    }
}
