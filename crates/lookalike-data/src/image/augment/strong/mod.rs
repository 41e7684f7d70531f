//! Strong augmentation: `AutoAugment` (Cubuk et al. 2019, arXiv:1805.09501), `RandAugment` (Cubuk et al. 2020,
//! arXiv:1909.13719) and `TrivialAugment` (Müller and Hutter 2021, arXiv:2103.10158).
//!
//! A policy chooses a few [`Operation`]s for each view. Tables, magnitudes and probabilities are those of torchvision, and so
//! is what an operation does to an 8-bit image.

mod operation;
pub mod policies;
mod space;

pub use operation::{Operation, StrongScratch};
pub use space::{Kind, Space};

use super::affine::Sampling;
use lookalike_base::stream::Stream;
use policies::SubPolicy;

/// The most operations that a policy gives one view.
pub const MOST_OPERATIONS: usize = 8;

/// What is done to one view, in order.
pub type Operations = [Option<Operation>; MOST_OPERATIONS];

/// One operation of an `AutoAugment` policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Which.
    pub kind: Kind,
    /// How probable it is.
    pub probability: f32,
    /// Which of the ten magnitudes it has; 0 where it has none.
    pub bin: usize,
}

/// How the operations of a view are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Policy {
    /// One of 25 pairs; each operation of it takes place with its own probability.
    AutoAugment(&'static [SubPolicy; 25]),
    /// Some of [`Kind::DRAWN`], the same more than once too, all at one magnitude.
    RandAugment {
        /// How many, at most [`MOST_OPERATIONS`].
        operations: usize,
        /// Which of [`Space::RAND_AUGMENT`]'s magnitudes.
        magnitude: usize,
    },
    /// One of [`Kind::DRAWN`] at any magnitude of [`Space::TRIVIAL_AUGMENT`].
    TrivialAugment,
}

impl Policy {
    /// The operations of a view whose sides have `side` pixels. Signs are fair.
    pub fn draw(&self, side: usize, stream: &mut Stream) -> Operations {
        match *self {
            Self::AutoAugment(policy) => auto_augment(policy, side, stream),
            Self::RandAugment { operations, magnitude } => {
                let mut drawn = Operations::default();
                for operation in drawn.iter_mut().take(operations) {
                    *operation = random(&Space::RAND_AUGMENT, |_| magnitude, side, stream);
                }
                drawn
            }
            Self::TrivialAugment => {
                let space = &Space::TRIVIAL_AUGMENT;
                let mut drawn = Operations::default();
                drawn[0] = random(space, |stream| stream.below(space.bins() as u32) as usize, side, stream);
                drawn
            }
        }
    }
}

/// The chances and signs of both operations are drawn whether or not they take place.
fn auto_augment(policy: &[SubPolicy; 25], side: usize, stream: &mut Stream) -> Operations {
    let steps = policy[stream.below(policy.len() as u32) as usize];
    let takes_place = steps.map(|step| stream.chance(step.probability));
    let negative = [(); 2].map(|()| stream.below(2) == 0);
    let mut drawn = Operations::default();
    for (index, step) in steps.into_iter().enumerate() {
        if takes_place[index] {
            drawn[index] = Space::AUTO_AUGMENT.operation(step.kind, step.bin, negative[index], side);
        }
    }
    drawn
}

/// Any of the fourteen operations; magnitude and sign are drawn where it has them.
fn random(
    space: &Space,
    mut bin: impl FnMut(&mut Stream) -> usize,
    side: usize,
    stream: &mut Stream,
) -> Option<Operation> {
    let kind = Kind::DRAWN[stream.below(Kind::DRAWN.len() as u32) as usize];
    let bin = if kind.has_magnitude() { bin(stream) } else { 0 };
    let negative = kind.is_signed() && stream.below(2) == 0;
    space.operation(kind, bin, negative, side)
}

/// A policy, and how what it moves into a view looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Strong {
    /// What is chosen.
    pub policy: Policy,
    /// How pixels are found by shear and rotation, and what lies outside.
    pub sampling: Sampling,
}
