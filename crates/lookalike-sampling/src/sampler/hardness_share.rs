//! The one dial for how hard batches are: 0 is uniform, 1 as hard as batches of nearest neighbours.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::SamplingError;

/// How hard batches are to be, as a share of the way from uniform batches to batches of nearest neighbours, and how that changes over
/// the first epochs.
///
/// Written as a number, it is the same in all epochs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HardnessShare {
    /// The share in epoch 0, from 0 to 1.
    pub from: f64,
    /// The share from epoch `over_epochs` on.
    pub to: f64,
    /// Epochs over which it goes linearly from the one to the other; 0 for `to` at once.
    pub over_epochs: f64,
}

impl HardnessShare {
    /// The same share in all epochs.
    pub const fn constant(share: f64) -> Self {
        Self { from: share, to: share, over_epochs: 0.0 }
    }

    /// The share in `epoch`, counted from 0.
    pub fn at(&self, epoch: u64) -> f64 {
        linear(self.from, self.to, self.over_epochs, epoch)
    }

    pub(crate) fn check(&self) -> Result<(), SamplingError> {
        let constant = self.from == self.to;
        let names =
            if constant { ["hardness_share"; 2] } else { ["hardness_share.from", "hardness_share.to"] };
        for (option, value) in names.into_iter().zip([self.from, self.to]) {
            if !(0.0..=1.0).contains(&value) {
                let expected = "from 0, uniform batches, to 1, batches as hard as those of nearest neighbors";
                return Err(SamplingError::Number { option, value, expected });
            }
        }
        if !(self.over_epochs.is_finite() && self.over_epochs >= 0.0) {
            let (option, value) = ("hardness_share.over_epochs", self.over_epochs);
            return Err(SamplingError::Number { option, value, expected: "finite and at least 0" });
        }
        Ok(())
    }
}

/// What goes linearly from one value in epoch 0 to another in epoch `over_epochs`, and stays there.
pub(crate) fn linear(from: f64, to: f64, over_epochs: f64, epoch: u64) -> f64 {
    let progress = if over_epochs > 0.0 { (epoch as f64 / over_epochs).min(1.0) } else { 1.0 };
    from + (to - from) * progress
}

impl<'de> Deserialize<'de> for HardnessShare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrTable)
    }
}

/// Reads a number, or a table of the three fields.
struct NumberOrTable;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    from: f64,
    to: f64,
    #[serde(default)]
    over_epochs: f64,
}

impl<'de> Visitor<'de> for NumberOrTable {
    type Value = HardnessShare;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a number from 0 to 1, or a table of from, to and over_epochs")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<HardnessShare, E> {
        Ok(HardnessShare::constant(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<HardnessShare, E> {
        Ok(HardnessShare::constant(value as f64))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<HardnessShare, E> {
        Ok(HardnessShare::constant(value as f64))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HardnessShare, A::Error> {
        let Table { from, to, over_epochs } = Table::deserialize(MapAccessDeserializer::new(map))?;
        Ok(HardnessShare { from, to, over_epochs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_same_in_all_epochs_and_a_table_goes_from_one_to_the_other() {
        let read = |text: &str| serde_json::from_str::<HardnessShare>(text);
        let constant = read("0.5").unwrap();
        assert_eq!(constant, HardnessShare::constant(0.5));
        assert_eq!([0, 1, 100].map(|epoch| constant.at(epoch)), [0.5; 3]);
        assert_eq!(read("1").unwrap().at(0), 1.0);
        let rising = read(r#"{"from": 0.2, "to": 0.6, "over_epochs": 4}"#).unwrap();
        assert_eq!([0, 2, 4, 9].map(|epoch| rising.at(epoch)), [0.2, 0.4, 0.6, 0.6]);
        let written = serde_json::to_string(&rising).unwrap();
        assert_eq!(read(&written).unwrap(), rising);
        assert!(read(r#"{"from": 0.2}"#).unwrap_err().to_string().contains("missing field `to`"));
        assert!(read(r#"{"form": 0.2, "to": 1}"#).unwrap_err().to_string().contains("unknown field `form`"));
        assert!(read("\"half\"").unwrap_err().to_string().contains("a number from 0 to 1, or a table"));
    }

    #[test]
    fn a_share_out_of_range_is_named() {
        let error = |share: HardnessShare| share.check().unwrap_err().to_string();
        assert!(error(HardnessShare::constant(1.5)).starts_with("hardness_share = 1.5 is out of range"));
        let falling = HardnessShare { from: 0.5, to: -0.1, over_epochs: 3.0 };
        assert!(error(falling).starts_with("hardness_share.to = -0.1"));
        assert!(error(HardnessShare::constant(f64::NAN)).contains("NaN"));
        let endless = HardnessShare { from: 0.5, to: 0.6, over_epochs: f64::INFINITY };
        assert!(error(endless).contains("over_epochs"));
    }
}
