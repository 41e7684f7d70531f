//! Encoders of images as other programs read them: what a file says of its encoder, and the forms that
//! torchvision, timm and detectron2 open.

pub mod detectron2;
pub(super) mod timm;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lookalike_base::arrays::Arrays;
use lookalike_base::tensors::{self, TensorFile};
use lookalike_data::image::augment::{AugmentOptions, Normalization};

use super::entry::Exporting;
use crate::error::LearnError;
use crate::modality::image::data_name;
use crate::options::{Settings, refuse};

/// A program that an encoder is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// A safetensors file for `load_state_dict(strict=True)`.
    Torchvision,
    /// A folder for `create_model("local-dir:…")`.
    Timm,
    /// A pickle of renamed tensors, and beside it the configurations of MoCo's protocol.
    Detectron2,
}

/// The name under which a file says what encoder it holds.
pub const ARCHITECTURE: &str = "architecture";

/// What a refusal of a program is about.
const PLACE: &str = "--for";

impl Program {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Torchvision => "torchvision",
            Self::Timm => "timm",
            Self::Detectron2 => "detectron2",
        }
    }

    /// The files that are written where the user asks for `path`; a folder counts as one.
    ///
    /// # Errors
    /// [`LearnError::Recipe`] where the program would not take a file of that name.
    pub fn files(self, path: &Path) -> Result<Vec<PathBuf>, LearnError> {
        match self {
            Self::Torchvision | Self::Timm => Ok(vec![path.to_owned()]),
            Self::Detectron2 => detectron2::files(path).map(Vec::from),
        }
    }

    /// The refusal of an encoder, for this reason.
    pub fn refuse(self, reason: impl std::fmt::Display) -> LearnError {
        refuse(&format!("{PLACE} {}", self.name()), reason.to_string())
    }

    /// Refuses any encoder: for those of which no program has their like.
    ///
    /// # Errors
    /// [`LearnError::Recipe`], always.
    pub fn has_no_such(self, settings: &Settings) -> Result<(), LearnError> {
        let kind = settings.text("encoder.kind").unwrap_or("of the run");
        Err(self
            .refuse(format_args!("there is no encoder like `{kind}` in {}; leave {PLACE} out", self.name())))
    }
}

/// What a file says of the encoder of images that it holds.
pub(super) struct Described {
    /// Texts under their names, for the file's header.
    pub(super) metadata: BTreeMap<String, String>,
    /// Side of the images that it was trained on.
    pub(super) size: usize,
    /// How their channels were normalised.
    pub(super) normalization: Normalization,
    /// The data set.
    pub(super) data: String,
}

impl Described {
    /// The encoder of a run, of which `own` is said beside what all have.
    ///
    /// # Errors
    /// [`LearnError::Recipe`] where the recipe makes no views.
    pub(super) fn of(
        exporting: &Exporting<'_>,
        own: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self, LearnError> {
        let settings = exporting.settings;
        let views: AugmentOptions = settings.parse("augment")?.unwrap_or_default();
        let [view, _] = views.validate().map_err(|error| refuse("augment", error.to_string()))?;
        let (size, normalization) = (view.size(), view.normalization());
        let kind = settings.text("encoder.kind").unwrap_or_default().to_owned();
        let data = data_name(settings);
        let all = [
            (ARCHITECTURE, kind),
            ("color_order", "RGB".to_owned()),
            ("mean", listed(normalization.mean)),
            ("std", listed(normalization.std)),
            ("size", size.to_string()),
            ("step", exporting.step.to_string()),
            ("recipe", exporting.recipe.clone()),
            ("data", data.clone()),
        ];
        let metadata = all.into_iter().chain(own).map(|(name, value)| (name.to_owned(), value)).collect();
        Ok(Self { metadata, size, normalization, data })
    }

    /// Writes `tensors` with what is said of them.
    ///
    /// # Errors
    /// [`LearnError::ArrayFile`] where the file cannot be written.
    pub(super) fn write(&self, tensors: Arrays, path: &Path) -> Result<(), LearnError> {
        let file = TensorFile { metadata: self.metadata.clone(), tensors };
        Ok(tensors::write(path, &file)?)
    }

    /// Means and deviations of red, green and blue where white is `white`, in their own digits.
    fn channels(&self, white: f64) -> [Vec<f64>; 2] {
        let Normalization { mean, std } = self.normalization;
        [mean, std].map(|values| values.iter().map(|value| digits(*value, white)).collect())
    }
}

/// `value` in the digits in which it was given, times `white`, to four places behind the point where that is no 1.
fn digits(value: f32, white: f64) -> f64 {
    let given: f64 = value.to_string().parse().unwrap_or_else(|_| f64::from(value));
    if white == 1.0 { given } else { (given * white * 1e4).round() / 1e4 }
}

fn listed(values: [f32; 3]) -> String {
    values.map(|value| value.to_string()).join(",")
}
