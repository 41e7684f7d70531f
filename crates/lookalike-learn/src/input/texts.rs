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
    /// Of masked texts for each token the one that is to be told in its place, or
    /// [`NOT_A_TARGET`](lookalike_data::text::views::NOT_A_TARGET).
    pub originals: Option<TokenLists>,
}

impl From<TokenLists> for TextInput {
    fn from(tokens: TokenLists) -> Self {
        let unpooled = vec![0; tokens.len()];
        Self { tokens, unpooled, originals: None }
    }
}

impl Instances for TextInput {
    fn what(&self) -> &'static str {
        "texts"
    }

    fn count(&self) -> usize {
        self.tokens.len()
    }

    fn select(&self, rows: &[u32]) -> Input {
        let unpooled = rows.iter().map(|row| self.unpooled[*row as usize]).collect();
        let originals = self.originals.as_ref().map(|originals| originals.select(rows));
        Input::new(Self { tokens: self.tokens.select(rows), unpooled, originals })
    }

    fn join(&self, inputs: &[&Input]) -> Result<Input, LearnError> {
        let parts: Vec<&Self> = Input::all(inputs)?;
        let lists: Vec<&TokenLists> = parts.iter().map(|part| &part.tokens).collect();
        let unpooled = parts.iter().flat_map(|part| part.unpooled.iter().copied()).collect();
        let originals: Vec<&TokenLists> = parts.iter().filter_map(|part| part.originals.as_ref()).collect();
        if !originals.is_empty() && originals.len() < parts.len() {
            return Err(LearnError::Input("masked texts do not stand beside others".to_owned()));
        }
        let originals = self.originals.as_ref().map(|_| TokenLists::joined(&originals));
        Ok(Input::new(Self { tokens: TokenLists::joined(&lists), unpooled, originals }))
    }
}
