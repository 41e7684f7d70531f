//! An encoder with its head: what every method trains, and what is kept and evaluated.

use std::num::NonZero;

use lookalike_base::Stream;
use lookalike_data::Views;

use crate::encoder::{Encoder, Inputs};
use crate::engine::Tensor;
use crate::head::Head;
use crate::module::{Module, Pass, Visitor};
use crate::op::select_rows;

/// An encoder and the head through which the loss sees it.
#[derive(Debug, Clone)]
pub struct Network<E> {
    /// What is kept after training.
    pub encoder: E,
    /// What stands between it and the loss.
    pub head: Head,
}

impl<E: Encoder> Network<E> {
    /// What the encoder gives, and what the head makes of it.
    ///
    /// # Shapes
    /// N inputs → `[N, encoder's dimension]` and `[N, head's dimension]`, neither normalised.
    pub fn embed(&mut self, input: &E::Input, pass: &mut Pass) -> [Tensor<2>; 2] {
        let representation = self.encoder.forward(input, pass);
        let projection = self.head.forward(representation.clone(), pass);
        [representation, projection]
    }

    /// The projection, with BatchNorm's statistics those of each of `groups` equal parts of the batch by themselves, all parts in
    /// one pass. Groups of at least two; where as many do not divide the batch, the next smaller number that does.
    ///
    /// The running statistics move once, towards the mean of the groups', as those of the CIFAR-10 demonstration's split
    /// normalisation do. (On several GPUs PyTorch keeps those of the first GPU's part.)
    ///
    /// # Shapes
    /// N inputs → `[N, head's dimension]`.
    pub fn project_in_groups(&mut self, input: &E::Input, groups: usize, pass: &mut Pass) -> Tensor<2> {
        let groups = NonZero::new(groups.min(input.count() / 2)).unwrap_or(NonZero::<usize>::MIN);
        let [_, projection] = pass.in_groups(groups, |pass| self.embed(input, pass));
        projection
    }

    /// [`project_in_groups`](Self::project_in_groups) of the inputs in a random order, which is undone afterwards: Shuffle-BN
    /// on one device. Without the groups all share one BatchNorm whatever their order; without the order each key shares its
    /// BatchNorm with the same images as its query. Either alone lets statistics tell which key is whose (He et al. 2020,
    /// section 3.3).
    pub fn project_shuffled(
        &mut self,
        input: &E::Input,
        groups: usize,
        stream: &mut Stream,
        pass: &mut Pass,
    ) -> Tensor<2> {
        let order = stream.permutation(input.count() as u32);
        let shuffled = self.project_in_groups(&input.select(&order), groups, pass);
        let mut back = vec![0; order.len()];
        for (row, place) in order.iter().zip(0..) {
            back[*row as usize] = place;
        }
        select_rows(shuffled, &back)
    }
}

impl<E: Encoder> Module for Network<E> {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.module("encoder", &mut self.encoder);
        visitor.module("projection", &mut self.head);
    }
}

/// The first and the second view of every instance; where the encoder is to make them, the same input twice.
pub(crate) fn both_views<I: Inputs + Clone>(views: &Views<I>) -> [I; 2] {
    match views {
        Views::Shared(input) => [input.clone(), input.clone()],
        Views::Stacked(both) => {
            let count = both.count() as u32 / 2;
            [0..count, count..2 * count].map(|rows| both.select(&rows.collect::<Vec<u32>>()))
        }
    }
}
