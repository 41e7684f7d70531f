//! Colour jitter: brightness, contrast, saturation and hue changed by random amounts in random order.

use super::{Rgb, blend, hue};
use lookalike_base::stream::Stream;

/// Strengths of the four changes; one of strength 0 does not take place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColorJitter {
    /// The factor is uniform in [max(0, 1 − brightness), 1 + brightness].
    pub brightness: f32,
    /// The factor is uniform in [max(0, 1 − contrast), 1 + contrast].
    pub contrast: f32,
    /// The factor is uniform in [max(0, 1 − saturation), 1 + saturation].
    pub saturation: f32,
    /// The turn is uniform in [−hue, hue], in turns of the colour circle; at most 0.5.
    pub hue: f32,
}

/// One change with its amount.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum JitterStep {
    /// See [`blend::brightness`].
    Brightness(f32),
    /// See [`blend::contrast`].
    Contrast(f32),
    /// See [`blend::saturation`].
    Saturation(f32),
    /// See [`hue::hue`].
    Hue(f32),
}

impl JitterStep {
    /// Changes `image`.
    pub fn apply(self, image: Rgb<'_>) {
        match self {
            Self::Brightness(factor) => blend::brightness(image, factor),
            Self::Contrast(factor) => blend::contrast(image, factor),
            Self::Saturation(factor) => blend::saturation(image, factor),
            Self::Hue(turn) => hue::hue(image, turn),
        }
    }
}

impl ColorJitter {
    /// The changes in the order in which they take place: all orders are equally likely, all amounts
    /// independent.
    pub fn draw(&self, stream: &mut Stream) -> [Option<JitterStep>; 4] {
        let mut order = [0, 1, 2, 3];
        stream.shuffle(&mut order);
        let mut factor = |strength: f32| stream.range((1.0 - strength).max(0.0), 1.0 + strength);
        let (brightness, contrast) = (factor(self.brightness), factor(self.contrast));
        let saturation = factor(self.saturation);
        let turn = stream.range(-self.hue, self.hue);
        order.map(|which| match which {
            0 => (self.brightness > 0.0).then_some(JitterStep::Brightness(brightness)),
            1 => (self.contrast > 0.0).then_some(JitterStep::Contrast(contrast)),
            2 => (self.saturation > 0.0).then_some(JitterStep::Saturation(saturation)),
            _ => (self.hue > 0.0).then_some(JitterStep::Hue(turn)),
        })
    }
}
