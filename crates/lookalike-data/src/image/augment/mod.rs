//! Augmentation of images with torchvision's semantics on 8-bit images, as the published SimCLR and MoCo
//! codes use it.
//!
//! The reference is torchvision applied to Pillow images: every operation rounds to whole levels, and for
//! fixed [`Parameters`] each agrees with it to at most two levels of 255 (most exactly). The order is that of
//! the papers: crop and resize, flip, colour jitter, grayscale, blur, solarise, normalise. (MoCo flips last,
//! which gives the same pixels: no operation in between tells left from right.) With [`strong`] augmentation a view
//! gets, with a probability, the operations of a policy in the place of everything between flip and normalise.
//!
//! A recipe's [`AugmentOptions`], once validated, become an [`Augmentation`], which draws [`Parameters`] from
//! a stream and renders them. A view is a pure function of image and stream.

pub mod affine;
pub mod blend;
pub mod blur;
pub mod crop;
pub mod grayscale;
pub mod hue;
pub mod jitter;
mod levels;
pub mod normalize;
mod options;
pub mod resize;
pub mod sharpness;
pub mod solarize;
pub mod strong;
pub mod table;

pub use crop::{CropBox, RandomResizedCrop};
pub use jitter::{ColorJitter, JitterStep};
pub use normalize::Normalization;
pub use options::{AugmentOptions, Preset, StrongName};

use crate::image::dataset::Image;
use lookalike_base::stream::Stream;
use resize::Axis;
use strong::{Operations, Strong, StrongScratch};

/// Red, green and blue planes of an image being changed in place, all of one length.
pub type Rgb<'a> = [&'a mut [u8]; 3];

/// A validated list of operations with their probabilities and ranges.
#[derive(Debug, Clone, PartialEq)]
pub struct Augmentation {
    size: usize,
    crop: Option<RandomResizedCrop>,
    flip: f32,
    strong: Option<Chance<Strong>>,
    jitter: Chance<ColorJitter>,
    grayscale: f32,
    blur: Chance<GaussianBlur>,
    solarize: Chance<u8>,
    normalization: Normalization,
}

/// An operation that is carried out with a probability.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Chance<T> {
    probability: f32,
    operation: T,
}

/// Kernel length and range of the deviation, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
struct GaussianBlur {
    kernel: usize,
    sigma: [f32; 2],
}

/// What is done to one image: the outcome of all draws of an [`Augmentation`]; by default, nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Parameters {
    /// The rectangle shown; without one, the shorter side is resized and the central square shown.
    pub crop: Option<CropBox>,
    /// Whether left and right are exchanged.
    pub flip: bool,
    /// Operations of a policy in order; where it has been drawn, nothing below takes place.
    pub strong: Operations,
    /// Changes of colour in order.
    pub jitter: [Option<JitterStep>; 4],
    /// Whether colour is removed.
    pub grayscale: bool,
    /// Deviation of the blur in pixels.
    pub blur: Option<f32>,
    /// Whether levels from the threshold up are inverted.
    pub solarize: bool,
}

/// Buffers of [`Augmentation::apply`], kept between calls so that nothing is allocated once they have grown.
#[derive(Debug, Default)]
pub struct Scratch {
    planes: Vec<u8>,
    resize: resize::ResizeScratch,
    strong: StrongScratch,
    blur: blur::BlurScratch,
}

impl Augmentation {
    /// No augmentation: the shorter side resized to `size`, the central square, normalised. An image that
    /// already is `size` × `size` stays as it is.
    pub fn plain(size: usize, normalization: Normalization) -> Self {
        Self {
            size,
            crop: None,
            flip: 0.0,
            strong: None,
            jitter: Chance {
                probability: 0.0,
                operation: ColorJitter { brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.0 },
            },
            grayscale: 0.0,
            blur: Chance { probability: 0.0, operation: GaussianBlur { kernel: 1, sigma: [1.0; 2] } },
            solarize: Chance { probability: 0.0, operation: 128 },
            normalization,
        }
    }

    /// Side of a view in pixels.
    pub fn size(&self) -> usize {
        self.size
    }

    /// How the channels of a view are normalised.
    pub fn normalization(&self) -> Normalization {
        self.normalization
    }

    /// One view of `image`: draws what to do and does it.
    ///
    /// # Shapes
    /// `out`: 3 × size × size, channel by channel, normalised.
    ///
    /// # Panics
    /// As [`Augmentation::render`].
    pub fn apply(&self, image: &Image<'_>, stream: &mut Stream, scratch: &mut Scratch, out: &mut [f32]) {
        let parameters = self.draw(image.width, image.height, stream);
        self.render(image, &parameters, scratch, out);
    }

    /// Draws what to do to a `width` × `height` image.
    pub fn draw(&self, width: u32, height: u32, stream: &mut Stream) -> Parameters {
        let crop = self.crop.map(|crop| crop.draw(width, height, stream));
        let shown = Parameters { crop, flip: stream.chance(self.flip), ..Parameters::default() };
        // Without a policy nothing is drawn for it: what a seed gave before there were policies, it gives still.
        match &self.strong {
            Some(strong) if stream.chance(strong.probability) => {
                Parameters { strong: strong.operation.policy.draw(self.size, stream), ..shown }
            }
            _ => self.draw_weak(shown, stream),
        }
    }

    /// Draws everything between flip and normalise but for a policy.
    fn draw_weak(&self, shown: Parameters, stream: &mut Stream) -> Parameters {
        let [sigma_low, sigma_high] = self.blur.operation.sigma;
        Parameters {
            jitter: if stream.chance(self.jitter.probability) {
                self.jitter.operation.draw(stream)
            } else {
                [None; 4]
            },
            grayscale: stream.chance(self.grayscale),
            blur: stream.chance(self.blur.probability).then(|| stream.range(sigma_low, sigma_high)),
            solarize: stream.chance(self.solarize.probability),
            ..shown
        }
    }

    /// Does to `image` what `parameters` say.
    ///
    /// # Shapes
    /// `out`: 3 × size × size, channel by channel, normalised.
    ///
    /// # Panics
    /// Where `out` has another length, the image is empty, it has fewer pixels than its size says, or the
    /// crop leaves it.
    pub fn render(&self, image: &Image<'_>, parameters: &Parameters, scratch: &mut Scratch, out: &mut [f32]) {
        let pixels = self.size * self.size;
        assert_eq!(out.len(), 3 * pixels, "a view of side {} has 3 × {pixels} values", self.size);
        let (across, down) = self.axes(image, parameters);
        scratch.planes.resize(3 * pixels, 0);
        resize::resize(image, &across, &down, &mut scratch.resize, &mut scratch.planes);
        let sampling = self.strong.map(|strong| strong.operation.sampling).unwrap_or_default();
        for operation in parameters.strong.into_iter().flatten() {
            operation.apply(split(&mut scratch.planes), self.size, sampling, &mut scratch.strong);
        }
        for step in parameters.jitter.into_iter().flatten() {
            step.apply(split(&mut scratch.planes));
        }
        if parameters.grayscale {
            grayscale::grayscale(split(&mut scratch.planes));
        }
        if let Some(sigma) = parameters.blur {
            let planes = split(&mut scratch.planes);
            blur::gaussian_blur(planes, self.size, self.blur.operation.kernel, sigma, &mut scratch.blur);
        }
        if parameters.solarize {
            solarize::solarize(split(&mut scratch.planes), self.solarize.operation);
        }
        self.normalization.apply(&scratch.planes, out);
    }

    /// Which pixels of `image` become which of the view.
    fn axes(&self, image: &Image<'_>, parameters: &Parameters) -> (Axis, Axis) {
        let (across, down) = if let Some(CropBox { left, top, width, height }) = parameters.crop {
            let whole = |start, length| Axis::whole(start as usize, length as usize, self.size);
            (whole(left, width), whole(top, height))
        } else {
            let (width, height) = (image.width as usize, image.height as usize);
            let shorter = width.min(height);
            (self.central(width, shorter), self.central(height, shorter))
        };
        (Axis { mirrored: parameters.flip, ..across }, down)
    }

    /// The central `size` pixels of an axis when the image's `shorter` side becomes `size`.
    fn central(&self, length: usize, shorter: usize) -> Axis {
        let target = self.size * length / shorter;
        let first = (((target - self.size) as f64) / 2.0).round_ties_even() as usize;
        Axis { first, count: self.size, ..Axis::whole(0, length, target) }
    }
}

/// The three planes of an image.
///
/// # Shapes
/// `planes`: 3 × height × width.
pub fn split(planes: &mut [u8]) -> Rgb<'_> {
    let pixels = planes.len() / 3;
    let (red, rest) = planes.split_at_mut(pixels);
    let (green, blue) = rest.split_at_mut(pixels);
    [red, green, blue]
}
