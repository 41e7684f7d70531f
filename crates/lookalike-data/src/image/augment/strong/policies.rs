//! The three policies of `AutoAugment`: 25 pairs of operations each, with probability and magnitude.

use super::Kind::{
    self, AutoContrast, Brightness, Color, Contrast, Equalize, Invert, Posterize, Rotate, Sharpness, ShearX,
    ShearY, Solarize, TranslateX, TranslateY,
};
use super::Step;

/// Two operations in the order in which they take place.
pub type SubPolicy = [Step; 2];

/// An operation that takes place with a probability, at the magnitude numbered `bin`.
const fn at(kind: Kind, probability: f32, bin: usize) -> Step {
    Step { kind, probability, bin }
}

/// An operation without magnitude.
const fn plain(kind: Kind, probability: f32) -> Step {
    at(kind, probability, 0)
}

/// The policy found on ImageNet (Cubuk et al. 2019, arXiv:1805.09501, appendix); some pairs stand twice.
pub const IMAGENET: [SubPolicy; 25] = [
    [at(Posterize, 0.4, 8), at(Rotate, 0.6, 9)],
    [at(Solarize, 0.6, 5), plain(AutoContrast, 0.6)],
    [plain(Equalize, 0.8), plain(Equalize, 0.6)],
    [at(Posterize, 0.6, 7), at(Posterize, 0.6, 6)],
    [plain(Equalize, 0.4), at(Solarize, 0.2, 4)],
    [plain(Equalize, 0.4), at(Rotate, 0.8, 8)],
    [at(Solarize, 0.6, 3), plain(Equalize, 0.6)],
    [at(Posterize, 0.8, 5), plain(Equalize, 1.0)],
    [at(Rotate, 0.2, 3), at(Solarize, 0.6, 8)],
    [plain(Equalize, 0.6), at(Posterize, 0.4, 6)],
    [at(Rotate, 0.8, 8), at(Color, 0.4, 0)],
    [at(Rotate, 0.4, 9), plain(Equalize, 0.6)],
    [plain(Equalize, 0.0), plain(Equalize, 0.8)],
    [plain(Invert, 0.6), plain(Equalize, 1.0)],
    [at(Color, 0.6, 4), at(Contrast, 1.0, 8)],
    [at(Rotate, 0.8, 8), at(Color, 1.0, 2)],
    [at(Color, 0.8, 8), at(Solarize, 0.8, 7)],
    [at(Sharpness, 0.4, 7), plain(Invert, 0.6)],
    [at(ShearX, 0.6, 5), plain(Equalize, 1.0)],
    [at(Color, 0.4, 0), plain(Equalize, 0.6)],
    [plain(Equalize, 0.4), at(Solarize, 0.2, 4)],
    [at(Solarize, 0.6, 5), plain(AutoContrast, 0.6)],
    [plain(Invert, 0.6), plain(Equalize, 1.0)],
    [at(Color, 0.6, 4), at(Contrast, 1.0, 8)],
    [plain(Equalize, 0.8), plain(Equalize, 0.6)],
];

/// The policy found on CIFAR-10 (the same).
pub const CIFAR10: [SubPolicy; 25] = [
    [plain(Invert, 0.1), at(Contrast, 0.2, 6)],
    [at(Rotate, 0.7, 2), at(TranslateX, 0.3, 9)],
    [at(Sharpness, 0.8, 1), at(Sharpness, 0.9, 3)],
    [at(ShearY, 0.5, 8), at(TranslateY, 0.7, 9)],
    [plain(AutoContrast, 0.5), plain(Equalize, 0.9)],
    [at(ShearY, 0.2, 7), at(Posterize, 0.3, 7)],
    [at(Color, 0.4, 3), at(Brightness, 0.6, 7)],
    [at(Sharpness, 0.3, 9), at(Brightness, 0.7, 9)],
    [plain(Equalize, 0.6), plain(Equalize, 0.5)],
    [at(Contrast, 0.6, 7), at(Sharpness, 0.6, 5)],
    [at(Color, 0.7, 7), at(TranslateX, 0.5, 8)],
    [plain(Equalize, 0.3), plain(AutoContrast, 0.4)],
    [at(TranslateY, 0.4, 3), at(Sharpness, 0.2, 6)],
    [at(Brightness, 0.9, 6), at(Color, 0.2, 8)],
    [at(Solarize, 0.5, 2), plain(Invert, 0.0)],
    [plain(Equalize, 0.2), plain(AutoContrast, 0.6)],
    [plain(Equalize, 0.2), plain(Equalize, 0.6)],
    [at(Color, 0.9, 9), plain(Equalize, 0.6)],
    [plain(AutoContrast, 0.8), at(Solarize, 0.2, 8)],
    [at(Brightness, 0.1, 3), at(Color, 0.7, 0)],
    [at(Solarize, 0.4, 5), plain(AutoContrast, 0.9)],
    [at(TranslateY, 0.9, 9), at(TranslateY, 0.7, 9)],
    [plain(AutoContrast, 0.9), at(Solarize, 0.8, 3)],
    [plain(Equalize, 0.8), plain(Invert, 0.1)],
    [at(TranslateY, 0.7, 9), plain(AutoContrast, 0.9)],
];

/// The policy found on SVHN (the same); some pairs stand twice.
pub const SVHN: [SubPolicy; 25] = [
    [at(ShearX, 0.9, 4), plain(Invert, 0.2)],
    [at(ShearY, 0.9, 8), plain(Invert, 0.7)],
    [plain(Equalize, 0.6), at(Solarize, 0.6, 6)],
    [plain(Invert, 0.9), plain(Equalize, 0.6)],
    [plain(Equalize, 0.6), at(Rotate, 0.9, 3)],
    [at(ShearX, 0.9, 4), plain(AutoContrast, 0.8)],
    [at(ShearY, 0.9, 8), plain(Invert, 0.4)],
    [at(ShearY, 0.9, 5), at(Solarize, 0.2, 6)],
    [plain(Invert, 0.9), plain(AutoContrast, 0.8)],
    [plain(Equalize, 0.6), at(Rotate, 0.9, 3)],
    [at(ShearX, 0.9, 4), at(Solarize, 0.3, 3)],
    [at(ShearY, 0.8, 8), plain(Invert, 0.7)],
    [plain(Equalize, 0.9), at(TranslateY, 0.6, 6)],
    [plain(Invert, 0.9), plain(Equalize, 0.6)],
    [at(Contrast, 0.3, 3), at(Rotate, 0.8, 4)],
    [plain(Invert, 0.8), at(TranslateY, 0.0, 2)],
    [at(ShearY, 0.7, 6), at(Solarize, 0.4, 8)],
    [plain(Invert, 0.6), at(Rotate, 0.8, 4)],
    [at(ShearY, 0.3, 7), at(TranslateX, 0.9, 3)],
    [at(ShearX, 0.1, 6), plain(Invert, 0.6)],
    [at(Solarize, 0.7, 2), at(TranslateY, 0.6, 7)],
    [at(ShearY, 0.8, 4), plain(Invert, 0.8)],
    [at(ShearX, 0.7, 9), at(TranslateY, 0.8, 3)],
    [at(ShearY, 0.8, 5), plain(AutoContrast, 0.7)],
    [at(ShearX, 0.7, 2), plain(Invert, 0.1)],
];
