//! What a recipe says about augmentation, and the lists of the papers.

mod strong;

pub use strong::StrongName;

use super::affine::Interpolation;
use super::{Augmentation, Chance, ColorJitter, GaussianBlur, Normalization, RandomResizedCrop};
use crate::error::DataError;
use serde::{Deserialize, Serialize};

/// The augmentations of a paper, with which [`AugmentOptions`] starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// `simclr-cifar`: SimCLR on CIFAR (Chen et al. 2020, appendix B.9): jitter of strength 0.5, no blur, 32
    /// pixels.
    #[default]
    SimclrCifar,
    /// `simclr`: SimCLR on ImageNet (Chen et al. 2020, appendix A): jitter of strength 1, blur, 224 pixels.
    Simclr,
    /// `moco-v2`: MoCo v2 on ImageNet (Chen et al. 2020, arXiv:2003.04297): crops from a fifth of the area,
    /// 224 pixels.
    MocoV2,
    /// `none`: the central square, resized and scaled to [0, 1]; `size` must be given.
    None,
}

/// The table `[augment]` of a recipe: a preset and what differs from it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentOptions {
    /// Where to start.
    pub preset: Option<Preset>,
    /// Side of a view in pixels.
    pub size: Option<usize>,
    /// Smallest and largest share of the area that a crop shows.
    pub crop_scale: Option<[f64; 2]>,
    /// Smallest and largest width / height of a crop; 3/4 and 4/3 in every preset.
    pub crop_ratio: Option<[f64; 2]>,
    /// Probability of a horizontal flip.
    pub flip: Option<f32>,
    /// The policy whose operations take the place of jitter, grayscale, blur and solarise.
    pub strong: Option<StrongName>,
    /// Probability that they do, else the view gets those; 1 where not given.
    pub strong_probability: Option<f32>,
    /// Operations of `RandAugment` on a view, 1 to 8; 2 where not given.
    pub randaugment_operations: Option<usize>,
    /// Magnitude of `RandAugment`'s operations, 0 to 30; 9 where not given.
    pub randaugment_magnitude: Option<usize>,
    /// How shear and rotation find a pixel between pixels; the nearest where not given.
    pub strong_interpolation: Option<Interpolation>,
    /// Levels of red, green and blue that shear, translation and rotation move in from outside; black where not given.
    pub strong_fill: Option<[u8; 3]>,
    /// Strengths of the jitter of brightness, contrast, saturation and hue.
    pub jitter: Option<[f32; 4]>,
    /// Probability of colour jitter.
    pub jitter_probability: Option<f32>,
    /// Probability of losing colour.
    pub grayscale: Option<f32>,
    /// Probability of a Gaussian blur.
    pub blur: Option<f32>,
    /// Range of the blur's deviation in pixels; 0.1 to 2 in every preset.
    pub blur_sigma: Option<[f32; 2]>,
    /// Length of the blur's kernel, odd; the largest odd number up to a tenth of the side, plus one, where
    /// not given (SimCLR's rule: 23 at 224 pixels).
    pub blur_kernel: Option<usize>,
    /// Probability of inverting the bright levels.
    pub solarize: Option<f32>,
    /// The first level that solarising inverts; 128 in every preset.
    pub solarize_threshold: Option<u8>,
    /// Means of the channels, white being 1.
    pub mean: Option<[f32; 3]>,
    /// Deviations of the channels, white being 1.
    pub std: Option<[f32; 3]>,
    /// What differs for the second view (BYOL, MoCo v3), as `[augment.second_view]`; both views are alike
    /// without it.
    pub second_view: Option<Box<AugmentOptions>>,
}

const CIFAR10: Normalization =
    Normalization { mean: [0.4914, 0.4822, 0.4465], std: [0.2023, 0.1994, 0.2010] };
const IMAGENET: Normalization = Normalization { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const UNCHANGED: Normalization = Normalization { mean: [0.0; 3], std: [1.0; 3] };

/// Limit of the side of a view. A larger one is a mistake, and a batch of such views would take gigabytes.
const MAX_SIZE: usize = 4096;

impl Preset {
    /// The preset written out.
    pub fn options(self) -> AugmentOptions {
        let (size, crop, jitter, blur, normalization) = match self {
            Self::SimclrCifar => (Some(32), Some([0.08, 1.0]), [0.4, 0.4, 0.4, 0.1], 0.0, CIFAR10),
            Self::Simclr => (Some(224), Some([0.08, 1.0]), [0.8, 0.8, 0.8, 0.2], 0.5, IMAGENET),
            Self::MocoV2 => (Some(224), Some([0.2, 1.0]), [0.4, 0.4, 0.4, 0.1], 0.5, IMAGENET),
            Self::None => (None, None, [0.0; 4], 0.0, UNCHANGED),
        };
        let on = |probability| if self == Self::None { 0.0 } else { probability };
        AugmentOptions {
            preset: Some(self),
            size,
            crop_scale: crop,
            crop_ratio: crop.map(|_| [3.0 / 4.0, 4.0 / 3.0]),
            flip: Some(on(0.5)),
            strong: None,
            strong_probability: None,
            randaugment_operations: None,
            randaugment_magnitude: None,
            strong_interpolation: None,
            strong_fill: None,
            jitter: Some(jitter),
            jitter_probability: Some(on(0.8)),
            grayscale: Some(on(0.2)),
            blur: Some(blur),
            blur_sigma: Some([0.1, 2.0]),
            blur_kernel: None,
            solarize: Some(0.0),
            solarize_threshold: Some(128),
            mean: Some(normalization.mean),
            std: Some(normalization.std),
            second_view: None,
        }
    }
}

impl AugmentOptions {
    /// The augmentations of the first and of the second view.
    ///
    /// # Errors
    /// [`DataError::Option`] naming the key whose value is impossible, or has no effect, and what would be
    /// right.
    pub fn validate(&self) -> Result<[Augmentation; 2], DataError> {
        let base = self.preset.unwrap_or_default().options();
        let first = self.over(&base);
        let second = self.second_options(&first)?;
        let views = [first.build("augment.")?, second.build("augment.second_view.")?];
        self.refuse_unread(&first, &second)?;
        if views[0].size != views[1].size {
            return Err(refuse("augment.second_view.", "size", "both views must have the same size"));
        }
        Ok(views)
    }

    fn second_options(&self, first: &Self) -> Result<Self, DataError> {
        let Some(second) = self.second_view.as_deref() else { return Ok(first.clone()) };
        if second.second_view.is_some() {
            return Err(refuse(
                "augment.second_view.",
                "second_view",
                "a second view has no second view of its own",
            ));
        }
        Ok(second.preset.map_or_else(|| second.over(first), |preset| second.over(&preset.options())))
    }

    /// `base` with everything replaced that is given here.
    fn over(&self, base: &Self) -> Self {
        Self {
            preset: self.preset.or(base.preset),
            size: self.size.or(base.size),
            crop_scale: self.crop_scale.or(base.crop_scale),
            crop_ratio: self.crop_ratio.or(base.crop_ratio),
            flip: self.flip.or(base.flip),
            strong: self.strong.or(base.strong),
            strong_probability: self.strong_probability.or(base.strong_probability),
            randaugment_operations: self.randaugment_operations.or(base.randaugment_operations),
            randaugment_magnitude: self.randaugment_magnitude.or(base.randaugment_magnitude),
            strong_interpolation: self.strong_interpolation.or(base.strong_interpolation),
            strong_fill: self.strong_fill.or(base.strong_fill),
            jitter: self.jitter.or(base.jitter),
            jitter_probability: self.jitter_probability.or(base.jitter_probability),
            grayscale: self.grayscale.or(base.grayscale),
            blur: self.blur.or(base.blur),
            blur_sigma: self.blur_sigma.or(base.blur_sigma),
            blur_kernel: self.blur_kernel.or(base.blur_kernel),
            solarize: self.solarize.or(base.solarize),
            solarize_threshold: self.solarize_threshold.or(base.solarize_threshold),
            mean: self.mean.or(base.mean),
            std: self.std.or(base.std),
            second_view: None,
        }
    }

    /// Checks everything; `table` is what keys begin with in messages, for instance `augment.`.
    fn build(&self, table: &str) -> Result<Augmentation, DataError> {
        let size = self.size.unwrap_or(0);
        check((1..=MAX_SIZE).contains(&size), table, "size", "give the side of a view, 1 to 4096 pixels")?;
        let normalization = Normalization {
            mean: self.mean.unwrap_or(UNCHANGED.mean),
            std: self.std.unwrap_or(UNCHANGED.std),
        };
        check(
            normalization.mean.iter().all(|mean| mean.is_finite()),
            table,
            "mean",
            "means are finite numbers",
        )?;
        let positive = |std: &f32| *std > 0.0 && std.is_finite();
        check(
            normalization.std.iter().all(positive),
            table,
            "std",
            "deviations are above 0 (white being 1)",
        )?;
        let always = Augmentation {
            crop: self.crop(table)?,
            flip: probability(self.flip, table, "flip")?,
            strong: self.strong(table)?,
            ..Augmentation::plain(size, normalization)
        };
        if self.is_always_strong() { Ok(always) } else { self.add_weak(always, table) }
    }

    /// Adds what a policy takes the place of.
    fn add_weak(&self, mut always: Augmentation, table: &str) -> Result<Augmentation, DataError> {
        always.jitter = self.color_jitter(table)?;
        always.grayscale = probability(self.grayscale, table, "grayscale")?;
        always.blur = self.gaussian_blur(always.size, table)?;
        always.solarize = Chance {
            probability: probability(self.solarize, table, "solarize")?,
            operation: self.solarize_threshold.unwrap_or(128),
        };
        Ok(always)
    }

    fn crop(&self, table: &str) -> Result<Option<RandomResizedCrop>, DataError> {
        let Some(scale) = self.crop_scale else {
            let silent = self.crop_ratio.is_none();
            check(silent, table, "crop_ratio", "without crop_scale nothing is cropped; give crop_scale too")?;
            return Ok(None);
        };
        let ratio = self.crop_ratio.unwrap_or([3.0 / 4.0, 4.0 / 3.0]);
        let shares = "give the smallest and the largest share of the area, 0 < smallest ≤ largest ≤ 1";
        check(0.0 < scale[0] && scale[0] <= scale[1] && scale[1] <= 1.0, table, "crop_scale", shares)?;
        let shapes = "give the smallest and the largest width / height, 0 < smallest ≤ largest";
        check(0.0 < ratio[0] && ratio[0] <= ratio[1] && ratio[1].is_finite(), table, "crop_ratio", shapes)?;
        Ok(Some(RandomResizedCrop { scale, ratio }))
    }

    fn color_jitter(&self, table: &str) -> Result<Chance<ColorJitter>, DataError> {
        let [brightness, contrast, saturation, hue] = self.jitter.unwrap_or([0.0; 4]);
        let finite = [brightness, contrast, saturation]
            .iter()
            .all(|strength| *strength >= 0.0 && strength.is_finite());
        check(finite, table, "jitter", "strengths of brightness, contrast and saturation are 0 or more")?;
        check(
            (0.0..=0.5).contains(&hue),
            table,
            "jitter",
            "the fourth strength, hue, is from 0 to 0.5 turns",
        )?;
        let operation = ColorJitter { brightness, contrast, saturation, hue };
        Ok(Chance {
            probability: probability(self.jitter_probability, table, "jitter_probability")?,
            operation,
        })
    }

    fn gaussian_blur(&self, size: usize, table: &str) -> Result<Chance<GaussianBlur>, DataError> {
        let probability = probability(self.blur, table, "blur")?;
        let kernel = self.blur_kernel.unwrap_or(size / 10 / 2 * 2 + 1);
        let sigma = self.blur_sigma.unwrap_or([0.1, 2.0]);
        let deviations = "give the smallest and the largest deviation in pixels, 0 < smallest ≤ largest";
        check(
            0.0 < sigma[0] && sigma[0] <= sigma[1] && sigma[1].is_finite(),
            table,
            "blur_sigma",
            deviations,
        )?;
        if probability > 0.0 {
            let odd = format!(
                "give an odd length from 3 to {}: the blur reflects edges of a {size}-pixel view",
                2 * size - 1
            );
            check(kernel >= 3 && kernel % 2 == 1 && kernel / 2 < size, table, "blur_kernel", &odd)?;
        }
        Ok(Chance { probability, operation: GaussianBlur { kernel, sigma } })
    }
}

fn probability(value: Option<f32>, table: &str, key: &str) -> Result<f32, DataError> {
    let value = value.unwrap_or(0.0);
    check((0.0..=1.0).contains(&value), table, key, &format!("{value} is not a probability; give 0 to 1"))?;
    Ok(value)
}

fn check(right: bool, table: &str, key: &str, problem: &str) -> Result<(), DataError> {
    if right { Ok(()) } else { Err(refuse(table, key, problem)) }
}

fn refuse(table: &str, key: &str, problem: &str) -> DataError {
    DataError::Option { key: format!("{table}{key}"), problem: problem.to_owned() }
}
