//! How a sentence encoder's texts become tokens, in training as in use.

use std::borrow::Cow;

use lookalike_data::text::views::Around;
use lookalike_data::text::{TokenLists, Tokenizer};
use rayon::prelude::*;

use super::SentenceFolder;
use crate::error::LearnError;
use crate::input::TextInput;

/// What makes tokens of texts.
#[derive(Debug, Clone)]
pub struct Reader {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    prompt: String,
    lower_case: bool,
    max_length: Option<usize>,
    /// Whether tokens for the beginning and the end are added.
    special: bool,
    /// Tokens of the beginning that are left out of a text's vector.
    unpooled: u32,
    around: Around,
}

impl Reader {
    /// Puts `prompt` before each text, the folder's default where it is absent. Of a transformer (`special`) texts get the tokens of
    /// beginning and end and are cut at `max_length`; of a table of tokens neither, as sentence-transformers has it.
    ///
    /// # Errors
    /// [`LearnError::Input`] where the prompt, or the tokens of beginning and end alone, leave no room for a text.
    pub fn new(
        tokenizer: Tokenizer,
        folder: Option<&SentenceFolder>,
        prompt: Option<&str>,
        (special, max_length): (bool, Option<usize>),
    ) -> Result<Self, LearnError> {
        let default = folder.and_then(|folder| folder.prompts.get(folder.default_prompt.as_ref()?));
        let prompt = prompt.or(default.map(String::as_str)).unwrap_or_default().to_owned();
        let lower_case = folder.is_some_and(|folder| folder.lower_case);
        let max_length = max_length.filter(|_| special);
        let around = Around::default();
        let mut reader = Self { tokenizer, prompt, lower_case, max_length, special, unpooled: 0, around };
        reader.around = reader.find_around()?;
        let Around { before, behind } = reader.around;
        if let Some(most) = max_length.filter(|most| before + behind >= *most) {
            let what = if reader.prompt.is_empty() {
                "beginning and end of a text are"
            } else {
                "the prompt and a text's beginning and end are"
            };
            return Err(LearnError::Input(format!(
                "{what} {} tokens, and texts are cut at {most}: nothing would be left of them",
                before + behind
            )));
        }
        if !reader.prompt.is_empty() && folder.is_some_and(|folder| !folder.include_prompt) {
            reader.unpooled = before as u32;
        }
        Ok(reader)
    }

    /// Most tokens of a text.
    pub fn max_length(&self) -> Option<usize> {
        self.max_length
    }

    /// Whether tokens for the beginning and the end are added.
    pub fn special(&self) -> bool {
        self.special
    }

    /// A text as it is tokenised.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let text = if self.prompt.is_empty() {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(format!("{}{text}", self.prompt))
        };
        if self.lower_case { Cow::Owned(text.to_lowercase()) } else { text }
    }

    /// The tokens of texts.
    ///
    /// # Errors
    /// Whatever the tokenizer reports.
    pub fn lists<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Vec<Vec<u32>>, LearnError> {
        let list =
            |text: &S| Ok(self.tokenizer.encode(&self.text(text.as_ref()), self.max_length, self.special)?);
        texts.par_iter().with_min_len(16).map(list).collect()
    }

    /// Token lists as what an encoder reads.
    pub fn input(&self, tokens: TokenLists) -> TextInput {
        let unpooled = vec![self.unpooled; tokens.len()];
        TextInput { tokens, unpooled, originals: None }
    }

    /// How many tokens stand around those of a text: that of the beginning and those of the prompt before it, that of the end behind it.
    pub fn around(&self) -> Around {
        self.around
    }

    fn find_around(&self) -> Result<Around, LearnError> {
        // Of an empty text itself the tokens of beginning and end could not be told apart.
        let prompt = self.text(if self.prompt.is_empty() { "a" } else { "" });
        let own = self.tokenizer.encode(&prompt, None, false)?;
        let whole = self.tokenizer.encode(&prompt, None, self.special)?;
        let first = whole.windows(own.len().max(1)).position(|window| window == own).unwrap_or(0);
        let behind = whole.len() - first - own.len();
        Ok(Around { before: first + if self.prompt.is_empty() { 0 } else { own.len() }, behind })
    }
}
