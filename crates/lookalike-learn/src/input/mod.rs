//! What encoders read: instances of any modality side by side ([`Input`]), a column of them with whose rows they are ([`Column`]),
//! and what the loader hands over ([`Batch`]).
//!
//! Code that knows no modality counts rows, selects some, joins columns and hands them on, nothing else. So a modality implements
//! [`Instances`] for its own type, and nothing above it has to list them all.

pub mod graphs;
pub mod images;
pub mod nodes;
pub mod texts;

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;

use lookalike_data::loader::{BatchRequest, BatchSource};
use lookalike_data::{DataError, ViewBatch};

use crate::error::LearnError;

pub use nodes::NodeInput;
pub use texts::TextInput;

/// Instances of one modality side by side.
pub trait Instances: Any + Debug + Send + Sync {
    /// What they are, in the plural, for messages.
    fn what(&self) -> &'static str;

    /// How many.
    fn count(&self) -> usize;

    /// Those that `rows` names, in that order.
    ///
    /// # Panics
    /// Where there is no such row.
    fn select(&self, rows: &[u32]) -> Input;

    /// The instances of all `inputs`, one after another; the first of them is this.
    ///
    /// # Errors
    /// [`LearnError::Input`] where they are not of one kind.
    fn join(&self, inputs: &[&Input]) -> Result<Input, LearnError>;

    /// The size of row `row`, by which `train.chunk_tokens` counts: the tokens of a text, 1 of anything else.
    ///
    /// # Panics
    /// Where there is no such row.
    fn size(&self, _row: usize) -> usize {
        1
    }

    /// Whether each is encoded by itself, so that a batch can be encoded in parts.
    fn is_divisible(&self) -> bool {
        true
    }
}

/// Instances of any modality, shared.
#[derive(Debug, Clone)]
pub struct Input(Arc<dyn Instances>);

impl Input {
    /// Of `instances`.
    pub fn new(instances: impl Instances) -> Self {
        Self(Arc::new(instances))
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.count()
    }

    /// What they are, in the plural.
    pub fn what(&self) -> &'static str {
        self.0.what()
    }

    /// Those that `rows` names, in that order.
    ///
    /// # Panics
    /// Where there is no such row.
    #[must_use]
    pub fn select(&self, rows: &[u32]) -> Self {
        self.0.select(rows)
    }

    /// The size of row `row`: the tokens of a text, 1 of anything else.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn size(&self, row: usize) -> usize {
        self.0.size(row)
    }

    /// Whether each is encoded by itself.
    pub fn is_divisible(&self) -> bool {
        self.0.is_divisible()
    }

    /// The instances of all `inputs`, one after another.
    ///
    /// # Errors
    /// [`LearnError::Input`] where there is none, or they are not of one kind.
    pub fn join(inputs: &[&Self]) -> Result<Self, LearnError> {
        match inputs {
            [] => Err(LearnError::Input("nothing was given to join".to_owned())),
            [one] => Ok((*one).clone()),
            [first, ..] => first.0.join(inputs),
        }
    }

    /// The instances as the type that an encoder reads.
    ///
    /// # Errors
    /// [`LearnError::Input`] where they are of another.
    pub fn get<T: Instances>(&self) -> Result<&T, LearnError> {
        let any: &dyn Any = &*self.0;
        any.downcast_ref()
            .ok_or_else(|| LearnError::Input(format!("the encoder does not read {}", self.what())))
    }

    /// All of `inputs` as one type, for [`Instances::join`].
    ///
    /// # Errors
    /// As [`Input::get`].
    pub fn all<'a, T: Instances>(inputs: &[&'a Self]) -> Result<Vec<&'a T>, LearnError> {
        inputs.iter().map(|input| input.get()).collect()
    }
}

/// Whose row it is, and which view of it: what every random number about a row hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowId {
    /// The instance.
    pub instance: u32,
    /// Which of its views, or of the texts of its row, from 0 on.
    pub view: u32,
}

impl RowId {
    /// Both in one number, that of the instance where the view is the first.
    pub fn address(self) -> u64 {
        u64::from(self.view) << 32 | u64::from(self.instance)
    }
}

/// A column of a batch: a view of every instance, or any number of further inputs an instance.
#[derive(Debug, Clone)]
pub struct Column {
    /// What the encoder reads.
    pub input: Input,
    /// Whose row each is.
    pub rows: Arc<[RowId]>,
}

impl Column {
    /// View `view` of `instances`, one a row.
    pub fn new(input: Input, instances: &[u32], view: u32) -> Self {
        Self { input, rows: instances.iter().map(|instance| RowId { instance: *instance, view }).collect() }
    }

    /// The rows numbered `rows`, in that order.
    ///
    /// # Panics
    /// Where there is no such row.
    #[must_use]
    pub fn select(&self, rows: &[u32]) -> Self {
        let ids = rows.iter().map(|row| self.rows[*row as usize]).collect();
        Self { input: self.input.select(rows), rows: ids }
    }

    /// Where the rows of each of `instances` begin, and behind the last where they end, of a column whose rows stand instance by instance.
    pub fn parts(&self, instances: &[u32]) -> Vec<usize> {
        let mut parts = vec![0];
        for instance in instances {
            let before = parts[parts.len() - 1];
            let own = self.rows[before..].iter().take_while(|row| row.instance == *instance);
            parts.push(before + own.count());
        }
        parts
    }

    /// All columns, one after another.
    ///
    /// # Errors
    /// As [`Input::join`].
    pub fn join(columns: &[Self]) -> Result<Self, LearnError> {
        let inputs: Vec<&Input> = columns.iter().map(|column| &column.input).collect();
        let rows = columns.iter().flat_map(|column| column.rows.iter().copied()).collect();
        Ok(Self { input: Input::join(&inputs)?, rows })
    }
}

/// What the loader hands over: instances, and columns of them.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The instances, in the order of the plan.
    pub instances: Vec<u32>,
    /// View 1, view 2; or query, positive, any number of further texts. Columns may differ in modality.
    pub columns: Vec<Column>,
}

impl Batch {
    /// One column a view, rows in the order of `instances`.
    pub fn of_views(instances: Vec<u32>, views: Vec<Input>) -> Self {
        let columns = views.into_iter().zip(0..).map(|(input, view)| Column::new(input, &instances, view));
        let columns = columns.collect();
        Self { instances, columns }
    }

    /// Column `index`.
    ///
    /// # Errors
    /// [`LearnError::Input`] where the batch has fewer.
    pub fn column(&self, index: usize) -> Result<&Column, LearnError> {
        self.columns.get(index).ok_or_else(|| {
            let found = self.columns.len();
            LearnError::Input(format!("the method reads column {}, and batches have {found}", index + 1))
        })
    }

    /// The first two columns.
    ///
    /// # Errors
    /// As [`Batch::column`].
    pub fn pair(&self) -> Result<[&Column; 2], LearnError> {
        Ok([self.column(0)?, self.column(1)?])
    }

    /// The rows of the first two columns, one column behind the other, and how many each has.
    ///
    /// # Errors
    /// As [`Batch::column`], and as [`Column::join`].
    pub fn joined_pair(&self) -> Result<(Column, [usize; 2]), LearnError> {
        let pair = self.pair()?;
        let counts = pair.map(|column| column.rows.len());
        Ok((Column::join(&pair.map(Clone::clone))?, counts))
    }

    /// The size of each instance, all of its rows in all columns together, in the order of the plan.
    pub fn sizes(&self) -> Vec<usize> {
        let mut sizes: HashMap<u32, usize> = HashMap::new();
        for column in &self.columns {
            for (row, id) in column.rows.iter().enumerate() {
                *sizes.entry(id.instance).or_default() += column.input.size(row);
            }
        }
        self.instances.iter().map(|instance| sizes.get(instance).copied().unwrap_or(0)).collect()
    }

    /// Whether it can be encoded in parts.
    pub fn is_divisible(&self) -> bool {
        self.columns.iter().all(|column| column.input.is_divisible())
    }

    /// The part of it that `instances` have, some of its own, in the order of the batch.
    #[must_use]
    pub fn part(&self, instances: &[u32]) -> Self {
        let chosen: HashSet<u32> = instances.iter().copied().collect();
        let columns = self.columns.iter().map(|column| {
            let rows = column.rows.iter().zip(0..).filter(|(id, _)| chosen.contains(&id.instance));
            column.select(&rows.map(|(_, row)| row).collect::<Vec<u32>>())
        });
        Self { instances: instances.to_vec(), columns: columns.collect() }
    }
}

/// What makes batches.
pub type Source = Arc<dyn BatchSource<Batch = Batch>>;

/// Makes batches of what another source gives.
struct Adapted<S, F> {
    source: S,
    adapt: F,
}

impl<S, F> BatchSource for Adapted<S, F>
where
    S: BatchSource,
    F: Fn(S::Batch, &BatchRequest) -> Batch + Send + Sync,
{
    type Batch = Batch;

    fn batch(&self, request: &BatchRequest) -> Result<Batch, DataError> {
        Ok((self.adapt)(self.source.batch(request)?, request))
    }
}

/// Batches that `adapt` makes of those of `source`.
pub fn adapted<S: BatchSource + 'static>(
    source: S,
    adapt: impl Fn(S::Batch, &BatchRequest) -> Batch + Send + Sync + 'static,
) -> Source {
    Arc::new(Adapted { source, adapt })
}

/// Batches with a column for each view of `source`.
pub fn of_views<V: Instances>(source: impl BatchSource<Batch = ViewBatch<V>> + 'static) -> Source {
    adapted(source, |ViewBatch { instances, views }, _| {
        Batch::of_views(instances, views.into_iter().map(Input::new).collect())
    })
}

/// Batches with one column, what `source` gives.
pub fn plain<I: Instances + 'static>(source: impl BatchSource<Batch = I> + 'static) -> Source {
    adapted(source, |input, request| Batch::of_views(request.instances.clone(), vec![Input::new(input)]))
}
