//! How strong each operation is at each magnitude: torchvision's three tables.

use super::Operation;

/// An operation without its amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nothing is done.
    Identity,
    /// [`Operation::ShearX`].
    ShearX,
    /// [`Operation::ShearY`].
    ShearY,
    /// [`Operation::TranslateX`].
    TranslateX,
    /// [`Operation::TranslateY`].
    TranslateY,
    /// [`Operation::Rotate`].
    Rotate,
    /// [`Operation::Brightness`].
    Brightness,
    /// [`Operation::Color`].
    Color,
    /// [`Operation::Contrast`].
    Contrast,
    /// [`Operation::Sharpness`].
    Sharpness,
    /// [`Operation::Posterize`].
    Posterize,
    /// [`Operation::Solarize`].
    Solarize,
    /// [`Operation::AutoContrast`].
    AutoContrast,
    /// [`Operation::Equalize`].
    Equalize,
    /// [`Operation::Invert`].
    Invert,
}

impl Kind {
    /// The fourteen that `RandAugment` and `TrivialAugment` choose from, in torchvision's order: with `Identity`, without
    /// `Invert`.
    pub const DRAWN: [Self; 14] = [
        Self::Identity,
        Self::ShearX,
        Self::ShearY,
        Self::TranslateX,
        Self::TranslateY,
        Self::Rotate,
        Self::Brightness,
        Self::Color,
        Self::Contrast,
        Self::Sharpness,
        Self::Posterize,
        Self::Solarize,
        Self::AutoContrast,
        Self::Equalize,
    ];

    /// Whether the magnitude goes either way: to the left or right, darker or brighter.
    pub fn is_signed(self) -> bool {
        use Kind::{Brightness, Color, Contrast, Rotate, Sharpness, ShearX, ShearY, TranslateX, TranslateY};
        matches!(
            self,
            ShearX | ShearY | TranslateX | TranslateY | Rotate | Brightness | Color | Contrast | Sharpness
        )
    }

    /// Whether the amount depends on the bin.
    pub fn has_magnitude(self) -> bool {
        !matches!(self, Self::Identity | Self::AutoContrast | Self::Equalize | Self::Invert)
    }
}

/// How far a translation goes at the last magnitude.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Distance {
    /// A share of the side.
    Share(f64),
    /// Pixels.
    Pixels(f64),
}

/// The magnitudes of all operations: `bins` of them, evenly spaced from nothing to the most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Space {
    bins: usize,
    shear: f32,
    translation: Distance,
    degrees: f32,
    /// By how much factors differ from 1.
    change: f32,
    /// Bits that posterizing drops.
    bits: f32,
}

impl Space {
    /// Those of `AutoAugment`: 10.
    pub const AUTO_AUGMENT: Self = Self {
        bins: 10,
        shear: 0.3,
        translation: Distance::Share(150.0 / 331.0),
        degrees: 30.0,
        change: 0.9,
        bits: 4.0,
    };

    /// Those of `RandAugment`: the same range in 31.
    pub const RAND_AUGMENT: Self = Self { bins: 31, ..Self::AUTO_AUGMENT };

    /// Those of `TrivialAugment`: a wider range in 31.
    pub const TRIVIAL_AUGMENT: Self = Self {
        bins: 31,
        shear: 0.99,
        translation: Distance::Pixels(32.0),
        degrees: 135.0,
        change: 0.99,
        bits: 6.0,
    };

    /// Number of magnitudes.
    pub const fn bins(&self) -> usize {
        self.bins
    }

    /// The magnitude numbered `bin` of an operation on an image whose side, across for `TranslateX` and down for
    /// `TranslateY`, has `side` pixels; 0 where it has none.
    pub fn magnitude(&self, kind: Kind, bin: usize, side: usize) -> f32 {
        let translation = match self.translation {
            Distance::Share(share) => (share * side as f64) as f32,
            Distance::Pixels(pixels) => pixels as f32,
        };
        match kind {
            Kind::ShearX | Kind::ShearY => self.spaced(0.0, self.shear, bin),
            Kind::TranslateX | Kind::TranslateY => self.spaced(0.0, translation, bin),
            Kind::Rotate => self.spaced(0.0, self.degrees, bin),
            Kind::Brightness | Kind::Color | Kind::Contrast | Kind::Sharpness => {
                self.spaced(0.0, self.change, bin)
            }
            Kind::Posterize => 8.0 - (bin as f32 / ((self.bins - 1) as f32 / self.bits)).round_ties_even(),
            Kind::Solarize => self.spaced(255.0, 0.0, bin),
            Kind::Identity | Kind::AutoContrast | Kind::Equalize | Kind::Invert => 0.0,
        }
    }

    /// One of `bins` evenly spaced numbers, counted from the nearer end as `torch.linspace` does. Step and number are of single
    /// precision, what lies between is not rounded, as on processors that multiply and add at once (AVX2, NEON): a
    /// translation by half of 32 pixels comes out below 16, so it is one by 15.
    fn spaced(&self, start: f32, end: f32, bin: usize) -> f32 {
        let step = f64::from((end - start) / (self.bins - 1) as f32);
        let number = if bin < self.bins / 2 {
            f64::from(start) + step * bin as f64
        } else {
            f64::from(end) - step * (self.bins - 1 - bin) as f64
        };
        number as f32
    }

    /// The operation at a magnitude, against its usual direction where `negative`; `None` for `Identity`.
    pub fn operation(&self, kind: Kind, bin: usize, negative: bool, side: usize) -> Option<Operation> {
        let magnitude = self.magnitude(kind, bin, side);
        let magnitude = if negative && kind.is_signed() { -magnitude } else { magnitude };
        let factor = (1.0 + f64::from(magnitude)) as f32;
        Some(match kind {
            Kind::Identity => return None,
            Kind::ShearX => Operation::ShearX(magnitude.into()),
            Kind::ShearY => Operation::ShearY(magnitude.into()),
            // Towards 0 on either side.
            Kind::TranslateX => Operation::TranslateX(magnitude as i32),
            Kind::TranslateY => Operation::TranslateY(magnitude as i32),
            Kind::Rotate => Operation::Rotate(magnitude.into()),
            Kind::Brightness => Operation::Brightness(factor),
            Kind::Color => Operation::Color(factor),
            Kind::Contrast => Operation::Contrast(factor),
            Kind::Sharpness => Operation::Sharpness(factor),
            Kind::Posterize => Operation::Posterize(magnitude as u8),
            // The first whole level that is not below.
            Kind::Solarize => Operation::Solarize(magnitude.ceil() as u8),
            Kind::AutoContrast => Operation::AutoContrast,
            Kind::Equalize => Operation::Equalize,
            Kind::Invert => Operation::Invert,
        })
    }
}
