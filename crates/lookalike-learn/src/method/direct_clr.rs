//! DirectCLR (Jing et al. 2022, section 6, <https://arxiv.org/abs/2110.09348>): SimCLR without a projection head; the loss sees
//! the first d₀ coordinates of the representation, and the others learn through the layers before.
//!
//! As in the published program each view is compared with those of the other side alone, and the two directions are averaged.

use super::network::Network;
use super::simclr::{InBatchNegatives, SimClr};
use crate::encoder::Encoder;
use crate::error::LearnError;
use crate::head::Head;
use crate::negatives::ContrastiveLoss;

/// Trains the first `coordinates` d₀ of the representation (the paper: 360 of ResNet-50's 2048).
///
/// # Errors
/// As [`leading`].
pub fn direct_clr<E: Encoder>(
    encoder: E,
    coordinates: usize,
    contrast: ContrastiveLoss,
) -> Result<SimClr<E>, LearnError> {
    Ok(SimClr::with(leading(encoder, coordinates)?, contrast, InBatchNegatives::OtherViews))
}

/// `encoder` without a head, of which the loss sees the first `coordinates`.
///
/// # Errors
/// [`LearnError::Recipe`] where d₀ is 0 or more than there are.
pub fn leading<E: Encoder>(encoder: E, coordinates: usize) -> Result<Network<E>, LearnError> {
    let dimension = encoder.dimension();
    if !(1..=dimension).contains(&coordinates) {
        return Err(LearnError::Recipe {
            place: "method.coordinates".to_owned(),
            reason: format!("must be at least 1 and at most {dimension}, the length of the representation"),
        });
    }
    Ok(Network { encoder, head: Head::Leading(coordinates) })
}
