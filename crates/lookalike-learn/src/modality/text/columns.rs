//! The columns of a batch of texts.

use std::sync::Arc;

use lookalike_data::DataError;
use lookalike_data::loader::{BatchRequest, BatchSource};
use lookalike_data::text::TokenLists;

use crate::input::{Batch, Column, Input, RowId};
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
    /// A column of them: view `view` of each instance, or this and the following ones of its texts.
    fn column(&self, view: u32, instances: &[u32]) -> Column {
        let input = |rows: &[u32]| Input::new(self.reader.input(self.lists.select(rows)));
        let Some(first) = &self.first else { return Column::new(input(instances), instances, view) };
        let (mut rows, mut ids) = (Vec::new(), Vec::new());
        for instance in instances {
            let own = first[*instance as usize] as u32..first[*instance as usize + 1] as u32;
            ids.extend(own.clone().zip(view..).map(|(_, view)| RowId { instance: *instance, view }));
            rows.extend(own);
        }
        Column { input: input(&rows), rows: ids.into() }
    }
}

/// Batches of the tokens of columns, each a view.
pub(super) struct TokenColumns(pub(super) Vec<Tokens>);

impl BatchSource for TokenColumns {
    type Batch = Batch;

    fn batch(&self, request: &BatchRequest) -> Result<Batch, DataError> {
        let columns = self.0.iter().zip(0..).map(|(tokens, view)| tokens.column(view, &request.instances));
        Ok(Batch { instances: request.instances.clone(), columns: columns.collect() })
    }
}
