//! DirectCLR (Jing et al. 2022, section 6, <https://arxiv.org/abs/2110.09348>): SimCLR without a projection head; the loss sees
//! the first d₀ coordinates of the representation, and the others learn through the layers before.
//!
//! As in the published program each view is compared with those of the other side alone, and the two directions are averaged.

use super::simclr::{InBatchNegatives, SimClr};
use super::{Building, Checked, MethodEntry, Network};
use crate::error::LearnError;
use crate::head::Leading;
use crate::options::{Options, SOME, Value, When, require};

crate::options! {
    /// What a recipe says of DirectCLR.
    pub struct DirectClrOptions {
        /// d₀, coordinates of the representation that the loss sees; the paper: 360 of ResNet-50's 2048.
        coordinates: usize = Value::Integer(360), SOME;
    }
}

/// DirectCLR in a registry.
pub const ENTRY: MethodEntry = MethodEntry {
    kind: "direct-clr",
    paper: "Jing et al. 2022",
    about: "no head, the loss sees the first coordinates of the representation",
    keys: DirectClrOptions::KEYS,
    defaults: &[When::always(("loss.temperature", Value::Number(0.1)))],
    check,
    build: |building| {
        Ok(Box::new(SimClr::new(network(building)?, building.contrast()?, InBatchNegatives::OtherViews)))
    },
    kept: |building| Ok(Box::new(network(building)?)),
    ..MethodEntry::VIEWS
};

/// DirectCLR is [`SimClr`] without a head.
pub type DirectClr = SimClr;

fn check(checked: &Checked<'_>) -> Result<(), LearnError> {
    let DirectClrOptions { coordinates } = checked.settings.read("method")?;
    let reason = format!("must be at most {}, the length of the representation", checked.dimension);
    require(coordinates <= checked.dimension, "method.coordinates", reason)
}

fn network(building: &Building<'_>) -> Result<Network, LearnError> {
    let DirectClrOptions { coordinates } = building.settings.read("method")?;
    Ok(Network::new((building.encoder)("encoder")?, Leading(coordinates)))
}
