//! Views of texts, and masked texts, as a batch has them: what [`views`](lookalike_data::text::views) makes of lists of tokens, each by a
//! stream of its own.

use std::sync::Arc;

use lookalike_base::Seed;
use lookalike_data::loader::BatchRequest;
use lookalike_data::text::views::{Around, MaskTokens, Masked, crop, delete, repeat};
use lookalike_data::text::{TokenLists, Tokenizer};
use serde::{Deserialize, Serialize};

use crate::error::LearnError;
use crate::input::{Column, Input, RowId, TextInput};
use crate::options::{Range, Value, refuse};

/// How two views are made of one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Views {
    /// Both are the text as it is.
    Dropout,
    /// Two spans of it.
    Crop,
    /// Both without some tokens.
    Delete,
    /// The second has some tokens twice.
    Repeat,
}

crate::options! {
    /// What a recipe says of two views of one text.
    pub struct ViewOptions {
        /// How two views are made of one text: both are its tokens, which `dropout` in the encoder tells apart (SimCSE); `crop`: two spans of
        /// 30 to 70 % of the tokens (Cropping outperforms dropout, 2025); `delete`: each token is left out with probability 0.1, in both;
        /// `repeat`: in the second view up to a third of the tokens stand twice (ESimCSE, Wu et al. 2021). Special tokens and a prompt stay.
        views: Views = Value::Text("dropout"), Range::OneOf(&["dropout", "crop", "delete", "repeat"]);
    }
}

/// Added to the view of a row that is masked: its random numbers are others than those of the row itself.
const MASKED: u32 = 1 << 16;

/// The names by which tokenizers know the token that hides others.
const MASK_TOKENS: [&str; 2] = ["[MASK]", "<mask>"];

/// The token that hides others.
///
/// # Errors
/// [`LearnError::Recipe`] where the vocabulary has none.
pub(super) fn mask_tokens(tokenizer: &Tokenizer) -> Result<MaskTokens, LearnError> {
    let mask = MASK_TOKENS.iter().find_map(|name| tokenizer.id(name)).ok_or_else(|| {
        let names = MASK_TOKENS.join("` or `");
        refuse(
            "text.tokenizer",
            format!("has no token `{names}`, by which others are hidden from the encoder"),
        )
    })?;
    Ok(MaskTokens { mask, vocabulary: tokenizer.vocabulary() as u32 })
}

/// Views of texts, which are those of `rows`. None is longer than `longest`, where that is given. Own negatives, which have no other view,
/// stay as they are.
pub(super) fn view_of(
    views: Views,
    lists: TokenLists,
    rows: &[RowId],
    (around, longest): (Around, Option<usize>),
    (seed, request): (Seed, &BatchRequest),
) -> TokenLists {
    if views == Views::Dropout {
        return lists;
    }
    let changed = lists.iter().zip(rows).map(|(list, row)| {
        let mut stream = seed.stream("view of a text", request.epoch, request.step, row.address());
        match (views, row.view) {
            (Views::Crop, 0 | 1) => crop(list, around, &mut stream),
            (Views::Delete, 0 | 1) => delete(list, around, &mut stream),
            (Views::Repeat, 1) => repeat(list, around, longest, &mut stream),
            _ => list.to_vec(),
        }
    });
    changed.collect()
}

/// A column of texts in the making.
pub(super) struct TextColumn {
    /// The texts.
    pub(super) input: TextInput,
    /// Whose they are, in the order of the request.
    pub(super) rows: Arc<[RowId]>,
    /// What stands around each.
    pub(super) around: Around,
}

impl From<TextColumn> for Column {
    fn from(TextColumn { input, rows, .. }: TextColumn) -> Self {
        Self { input: Input::new(input), rows }
    }
}

/// The texts of all `columns`, masked: those of one instance after those of another, in the order of the request.
pub(super) fn masked(
    columns: &[TextColumn],
    tokens: MaskTokens,
    (seed, request): (Seed, &BatchRequest),
) -> TextColumn {
    let (mut masked, mut rows, mut unpooled) = (Masked::default(), Vec::new(), Vec::new());
    let mut next = vec![0; columns.len()];
    for instance in &request.instances {
        for (TextColumn { input, rows: own, around }, next) in columns.iter().zip(&mut next) {
            while let Some(row) = own.get(*next).filter(|row| row.instance == *instance) {
                let row = RowId { view: row.view | MASKED, ..*row };
                let mut stream = seed.stream("masked tokens", request.epoch, request.step, row.address());
                masked.push(input.tokens.list(*next), *around, tokens, &mut stream);
                unpooled.push(input.unpooled[*next]);
                rows.push(row);
                *next += 1;
            }
        }
    }
    let Masked { tokens, originals } = masked;
    let input = TextInput { tokens, unpooled, originals: Some(originals) };
    TextColumn { input, rows: rows.into(), around: Around::default() }
}

#[cfg(test)]
mod tests {
    use lookalike_data::text::views::NOT_A_TARGET;

    use super::*;

    const SEED: Seed = Seed(6);

    fn request() -> BatchRequest {
        BatchRequest { instances: vec![4, 0, 2], epoch: 1, step: 9 }
    }

    fn column(view: u32, rows: &[u32]) -> TextColumn {
        let lists: TokenLists = rows.iter().map(|row| vec![100 * (view + 1) + row; 40]).collect();
        let rows = rows.iter().map(|instance| RowId { instance: *instance, view }).collect();
        TextColumn { input: lists.into(), rows, around: Around { before: 1, behind: 1 } }
    }

    #[test]
    fn masked_texts_stand_instance_by_instance_and_know_their_tokens() {
        let columns = [column(0, &[4, 0, 2]), column(1, &[4, 0, 2]), column(2, &[0, 0])];
        let tokens = MaskTokens { mask: 7, vocabulary: 50 };
        let column = masked(&columns, tokens, (SEED, &request()));
        let rows: Vec<_> = column.rows.iter().map(|row| (row.instance, row.view - MASKED)).collect();
        assert_eq!(rows, [(4, 0), (4, 1), (0, 0), (0, 1), (0, 2), (0, 2), (2, 0), (2, 1)]);
        let originals = column.input.originals.as_ref().unwrap();
        let mut targets = 0;
        for (((instance, view), list), originals) in
            rows.iter().zip(column.input.tokens.iter()).zip(originals.iter())
        {
            let own = 100 * (view + 1) + instance;
            for (token, original) in list.iter().zip(originals) {
                assert!(if *original == NOT_A_TARGET { *token == own } else { *original == own });
                targets += u32::from(*original != NOT_A_TARGET);
            }
            assert_eq!((originals[0], originals[39]), (NOT_A_TARGET, NOT_A_TARGET));
        }
        assert!((20..80).contains(&targets), "{targets} of 304");
        let again = masked(&columns, tokens, (SEED, &request()));
        assert_eq!(again.input.tokens, column.input.tokens);
    }

    #[test]
    fn views_hang_on_instance_and_view_and_not_on_the_order_of_rows() {
        let lists = |rows: &[u32]| rows.iter().map(|row| (0..30 + row).collect::<Vec<u32>>()).collect();
        for views in [Views::Dropout, Views::Crop, Views::Delete, Views::Repeat] {
            let of = |instances: &[u32], view| {
                let request = BatchRequest { instances: instances.to_vec(), ..request() };
                let rows: Vec<RowId> =
                    instances.iter().map(|instance| RowId { instance: *instance, view }).collect();
                view_of(views, lists(instances), &rows, (Around::default(), None), (SEED, &request))
            };
            let [first, second] = [0, 1].map(|view| of(&[4, 0, 2], view));
            let turned = of(&[2, 4, 0], 0);
            assert_eq!(
                [turned.list(1), turned.list(2), turned.list(0)],
                [0, 1, 2].map(|row| first.list(row))
            );
            assert_eq!(first == second, views == Views::Dropout);
            assert_eq!(first == lists(&[4, 0, 2]), matches!(views, Views::Dropout | Views::Repeat));
        }
    }
}
