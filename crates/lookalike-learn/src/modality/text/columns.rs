//! The columns of a batch of texts.

use std::sync::Arc;

use lookalike_base::Seed;
use lookalike_data::DataError;
use lookalike_data::loader::{BatchRequest, BatchSource};
use lookalike_data::text::TokenLists;
use lookalike_data::text::views::MaskTokens;

use super::views::{TextColumn, Views, masked, view_of};
use crate::input::{Batch, RowId};
use crate::sentence::Reader;

/// Texts as tokens, with what reads them.
#[derive(Clone)]
pub(super) struct Tokens {
    pub(super) reader: Reader,
    pub(super) lists: Arc<TokenLists>,
    /// Where the texts of each instance begin, where these have any number of them.
    pub(super) first: Option<Arc<[usize]>>,
}

impl Tokens {
    /// No texts, of so many instances.
    pub(super) fn none(reader: &Reader, instances: usize) -> Self {
        let first = Some(vec![0; instances + 1].into());
        Self { reader: reader.clone(), lists: Arc::default(), first }
    }

    /// Which lists of them a batch of `instances` has, and whose these are: view `view` of each instance, or this and the following ones of
    /// its texts.
    fn rows(&self, view: u32, instances: &[u32]) -> (Vec<u32>, Vec<RowId>) {
        let Some(first) = &self.first else {
            let ids = instances.iter().map(|instance| RowId { instance: *instance, view }).collect();
            return (instances.to_vec(), ids);
        };
        let (mut rows, mut ids) = (Vec::new(), Vec::new());
        for instance in instances {
            let own = first[*instance as usize] as u32..first[*instance as usize + 1] as u32;
            ids.extend(own.clone().zip(view..).map(|(_, view)| RowId { instance: *instance, view }));
            rows.extend(own);
        }
        (rows, ids)
    }
}

/// Batches of the tokens of columns, each a view.
pub(super) struct TokenColumns {
    columns: Vec<Tokens>,
    changes: Changes,
}

/// How batches are made of tokens, beside choosing them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Changes {
    /// How views are made.
    pub(super) views: Views,
    /// Most tokens of a view.
    pub(super) longest: Option<usize>,
    /// With what texts are masked, where a column behind the others is of all their texts, masked.
    pub(super) mask: Option<MaskTokens>,
    /// Whether the masked column stands alone.
    pub(super) alone: bool,
    /// Of views and masks.
    pub(super) seed: Seed,
}

impl TokenColumns {
    /// Columns of the texts as they are.
    pub(super) fn new(columns: Vec<Tokens>) -> Self {
        let changes =
            Changes { views: Views::Dropout, longest: None, mask: None, alone: false, seed: Seed(0) };
        Self { columns, changes }
    }

    /// Columns of what `changes` makes of texts.
    pub(super) fn made(columns: Vec<Tokens>, changes: Changes) -> Self {
        Self { columns, changes }
    }
}

impl BatchSource for TokenColumns {
    type Batch = Batch;

    fn batch(&self, request: &BatchRequest) -> Result<Batch, DataError> {
        let Changes { views, longest, mask, alone, seed } = self.changes;
        let columns = self.columns.iter().zip(0..).map(|(tokens, view)| {
            let (lists, rows) = tokens.rows(view, &request.instances);
            let (lists, around) = (tokens.lists.select(&lists), tokens.reader.around());
            let lists = view_of(views, lists, &rows, (around, longest), (seed, request));
            TextColumn { input: tokens.reader.input(lists), rows: rows.into(), around }
        });
        let mut columns: Vec<TextColumn> = columns.collect();
        if let Some(mask) = mask {
            let masked = masked(&columns, mask, (seed, request));
            if alone {
                columns.clear();
            }
            columns.push(masked);
        }
        let columns = columns.into_iter().map(Into::into).collect();
        Ok(Batch { instances: request.instances.clone(), columns })
    }
}
