//! An encoder with its heads: what most methods train, and what is kept and evaluated of them.

use std::num::NonZero;

use lookalike_base::{Matrix, Stream};

use super::{Embedder, Embeddings};
use crate::encoder::{Encoder, Features};
use crate::engine::{Tensor, from_host, to_host};
use crate::error::LearnError;
use crate::head::{Head, Leading};
use crate::input::{Batch, Column, Input, RowId};
use crate::module::{Module, Pass, Visitor, for_each_tensor};
use crate::op::select_rows;

/// The name of the head through which the loss sees a representation.
const PROJECTION: &str = "projection";

/// An encoder, and heads by name.
#[derive(Clone)]
pub struct Network {
    /// What is kept after training.
    pub encoder: Box<dyn Encoder>,
    heads: Vec<(&'static str, Box<dyn Head>)>,
}

impl Network {
    /// `encoder` with a projection head, through which the loss sees it.
    pub fn new(encoder: Box<dyn Encoder>, projection: impl Head + 'static) -> Self {
        Self { encoder, heads: Vec::new() }.with_head(PROJECTION, projection)
    }

    /// `encoder` without a head: what the loss sees is the representation.
    pub fn headless(encoder: Box<dyn Encoder>) -> Self {
        let dimension = encoder.dimension();
        Self::new(encoder, Leading(dimension))
    }

    /// With another head of that name.
    #[must_use]
    pub fn with_head(mut self, name: &'static str, head: impl Head + 'static) -> Self {
        self.heads.push((name, Box::new(head)));
        self
    }

    /// What the encoder makes of a column.
    ///
    /// # Errors
    /// As [`Encoder::forward`].
    pub fn features(&mut self, column: &Column, pass: &mut Pass) -> Result<Features, LearnError> {
        pass.reading(column, |pass| self.encoder.forward(&column.input, pass))
    }

    /// What the head of that name makes of representations.
    ///
    /// # Shapes
    /// `[N, encoder's dimension]` → `[N, head's dimension]`, not normalised.
    ///
    /// # Panics
    /// Where there is no such head: a mistake in the method.
    pub fn head(&mut self, name: &str, representation: Tensor<2>, pass: &Pass) -> Tensor<2> {
        match self.heads.iter_mut().find(|(known, _)| *known == name) {
            Some((_, head)) => head.forward(representation, pass),
            None => unreachable!("the network has no head `{name}`"),
        }
    }

    /// What the encoder makes of a column, and the projection head of that.
    ///
    /// # Shapes
    /// N rows → `[N, encoder's dimension]` and `[N, head's dimension]`, neither normalised.
    ///
    /// # Errors
    /// As [`Network::features`].
    pub fn project(&mut self, column: &Column, pass: &mut Pass) -> Result<Embeddings, LearnError> {
        let representation = self.features(column, pass)?.vector;
        let projection = self.head(PROJECTION, representation.clone(), pass);
        Ok(Embeddings { representation, projection })
    }

    /// The projection, with BatchNorm's statistics those of each of `groups` equal parts of the batch by themselves, all parts in
    /// one pass. Groups of at least two; where as many do not divide the batch, the next smaller number that does.
    ///
    /// The running statistics move once, towards the mean of the groups', as those of the CIFAR-10 demonstration's split
    /// normalisation do. (On several GPUs PyTorch keeps those of the first GPU's part.)
    ///
    /// # Shapes
    /// N rows → `[N, head's dimension]`.
    ///
    /// # Errors
    /// As [`Network::features`].
    pub fn project_in_groups(
        &mut self,
        column: &Column,
        groups: usize,
        pass: &mut Pass,
    ) -> Result<Tensor<2>, LearnError> {
        let groups = NonZero::new(groups.min(column.rows.len() / 2)).unwrap_or(NonZero::<usize>::MIN);
        Ok(pass.in_groups(groups, |pass| self.project(column, pass))?.projection)
    }

    /// [`project_in_groups`](Self::project_in_groups) of the rows in a random order, which is undone afterwards: Shuffle-BN
    /// on one device. Without the groups all share one BatchNorm whatever their order; without the order each key shares its
    /// BatchNorm with the same images as its query. Either alone lets statistics tell which key is whose (He et al. 2020,
    /// section 3.3).
    ///
    /// The order is that of a random number a row, which `stream` gives, so it is the same however the rows were ordered before.
    ///
    /// # Errors
    /// As [`Network::features`].
    pub fn project_shuffled(
        &mut self,
        column: &Column,
        groups: usize,
        stream: impl Fn(RowId) -> Stream,
        pass: &mut Pass,
    ) -> Result<Tensor<2>, LearnError> {
        let order = shuffled(&column.rows, stream);
        let projected = self.project_in_groups(&column.select(&order), groups, pass)?;
        let mut back = vec![0; order.len()];
        for (row, place) in order.iter().zip(0..) {
            back[*row as usize] = place;
        }
        Ok(select_rows(projected, &back))
    }
}

/// Rows in the order of a random number each.
fn shuffled(rows: &[RowId], stream: impl Fn(RowId) -> Stream) -> Vec<u32> {
    let mut keyed: Vec<(u64, u32)> = rows.iter().map(|row| stream(*row).bits()).zip(0..).collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, row)| row).collect()
}

impl Module for Network {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.module("encoder", &mut self.encoder);
        for (name, head) in &mut self.heads {
            visitor.module(name, head);
        }
    }
}

impl Embedder for Network {
    /// Of the first column.
    fn embed(&mut self, batch: &Batch, pass: &mut Pass) -> Result<Embeddings, LearnError> {
        self.project(batch.column(0)?, pass)
    }

    fn told(&mut self, head: &str, representations: &Matrix) -> Result<Option<Matrix>, LearnError> {
        /// Rows at a time.
        const PIECE: usize = 4096;
        let found = self.heads.iter_mut().find(|(name, _)| *name == head);
        let Some((_, head)) = found else { return Ok(None) };
        let mut device = None;
        for_each_tensor(head, &mut |_, _, tensor| device = Some(tensor.flat().device()));
        let device = device.unwrap_or_default();
        let (columns, mut values, mut told) = (representations.columns(), Vec::new(), 1);
        for piece in representations.rows().values().chunks(PIECE * columns) {
            let rows = from_host(piece.to_vec(), [piece.len() / columns, columns], &device);
            let output = head.forward(rows, &Pass::evaluation());
            told = output.dims()[1];
            values.extend(to_host(output));
        }
        Ok(Some(Matrix::new(values, told)?))
    }

    fn maps(&mut self, input: &Input, pass: &mut Pass) -> Result<Vec<Tensor<4>>, LearnError> {
        if self.encoder.stages() == 0 {
            return Ok(Vec::new());
        }
        let before = std::mem::replace(&mut pass.maps, true);
        let features = self.encoder.forward(input, pass);
        pass.maps = before;
        Ok(features?.maps)
    }

    fn layer(&self) -> &'static str {
        "representation (before the projection head)"
    }
}
