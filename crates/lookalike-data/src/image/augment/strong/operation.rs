//! The operations that policies choose from, each with its amount.

use super::super::affine::{self, AffineScratch, Sampling};
use super::super::sharpness::{self, SharpnessScratch};
use super::super::{Rgb, blend, solarize, table};

/// One operation with its amount: what is done to a view, without chance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operation {
    /// Moves rows to the left by so much of their distance from the top.
    ShearX(f64),
    /// Moves columns up by so much of their distance from the left.
    ShearY(f64),
    /// Moves so many pixels to the right.
    TranslateX(i32),
    /// Moves so many pixels down.
    TranslateY(i32),
    /// Turns by so many degrees counter-clockwise about the centre.
    Rotate(f64),
    /// Blends with black; 0 is black, 1 the view itself, more is brighter.
    Brightness(f32),
    /// Blends with the view's grayscale; 1 is the view itself.
    Color(f32),
    /// Blends with the mean luma; 1 is the view itself.
    Contrast(f32),
    /// Blends with a smoothed view; 1 is the view itself.
    Sharpness(f32),
    /// Keeps so many upper bits of each level.
    Posterize(u8),
    /// Inverts levels from this one up.
    Solarize(u8),
    /// Stretches each channel to the whole range of levels.
    AutoContrast,
    /// Makes all levels of each channel about equally frequent.
    Equalize,
    /// Inverts all levels.
    Invert,
}

/// Buffers of [`Operation::apply`], kept between calls.
#[derive(Debug, Default)]
pub struct StrongScratch {
    affine: AffineScratch,
    sharpness: SharpnessScratch,
}

impl Operation {
    /// Changes a `width`-wide image as torchvision does a Pillow image, to the bit.
    pub fn apply(self, image: Rgb<'_>, width: usize, sampling: Sampling, scratch: &mut StrongScratch) {
        match self {
            Self::ShearX(slope) => affine::shear_x(image, width, slope, sampling, &mut scratch.affine),
            Self::ShearY(slope) => affine::shear_y(image, width, slope, sampling, &mut scratch.affine),
            Self::TranslateX(right) => affine::translate(image, width, [right, 0], sampling.fill),
            Self::TranslateY(down) => affine::translate(image, width, [0, down], sampling.fill),
            Self::Rotate(degrees) => affine::rotate(image, width, degrees, sampling, &mut scratch.affine),
            Self::Brightness(factor) => blend::brightness(image, factor),
            Self::Color(factor) => blend::saturation(image, factor),
            Self::Contrast(factor) => blend::contrast(image, factor),
            Self::Sharpness(factor) => sharpness::sharpness(image, width, factor, &mut scratch.sharpness),
            Self::Posterize(bits) => table::posterize(image, bits),
            Self::Solarize(threshold) => solarize::solarize(image, threshold),
            Self::AutoContrast => table::autocontrast(image),
            Self::Equalize => table::equalize(image),
            Self::Invert => table::invert(image),
        }
    }
}
