//! What tells the tokens of a Vision Transformer where their patches are: a vector a token, learned or of sines and cosines.

use lookalike_base::arrays::Array;
use serde::{Deserialize, Serialize};

use super::{VitConfig, names};
use crate::error::LearnError;

/// Where the vectors of positions come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Positions {
    /// They are learned, as in the paper, in torchvision and in timm.
    Learned,
    /// Sines and cosines of row and column that stay as they are, as in MoCo v3.
    SinCos,
}

/// MoCo v3's table for `grid` × `grid` patches: zeros for the class token; then for each patch, row by row, the sines of its row times the
/// frequencies 10000^(−4 i / d), the cosines, and both of its column.
///
/// # Shapes
/// `[grid² + 1, width]`, `width` being a multiple of 4.
pub(super) fn sin_cos(grid: usize, width: usize) -> Vec<f32> {
    let quarter = width / 4;
    let frequencies: Vec<f64> =
        (0..quarter).map(|index| 10_000_f64.powf(-(index as f64) / quarter as f64)).collect();
    let mut table = vec![0.0; width];
    for patch in 0..grid * grid {
        for place in [patch / grid, patch % grid] {
            let angles = || frequencies.iter().map(|frequency| place as f64 * frequency);
            table.extend(angles().map(|angle| angle.sin() as f32));
            table.extend(angles().map(|angle| angle.cos() as f32));
        }
    }
    table
}

/// How far a value of a file's fixed positions may be from our own: programs compute angles of 32 bits.
const NEAR: f32 = 1e-4;

/// The positions that a network of these sizes takes where a file has `table`; `None` to take the file's, whatever they are.
///
/// # Errors
/// [`LearnError::Weights`] where positions are fixed here, and those of the file are others.
pub(super) fn adopt(table: &Array, config: &VitConfig) -> Result<Option<Array>, LearnError> {
    let (&[1, tokens, width], Some(values)) = (table.shape.as_slice(), table.as_f32()) else {
        return Ok(None);
    };
    let old = tokens.saturating_sub(1).isqrt();
    if old == 0 || tokens != old * old + 1 || width != config.width {
        return Ok(None);
    }
    let (new, shape) = (config.grid(), [1, config.tokens(), width]);
    match config.positions {
        Positions::Learned if old == new => Ok(None),
        Positions::Learned => Ok(Some(Array::f32(shape, resampled(values, [old, new], width)))),
        Positions::SinCos => {
            let fixed = sin_cos(old, width);
            if values.iter().zip(fixed).any(|(value, own)| (value - own).abs() > NEAR || value.is_nan()) {
                let name = names::POSITIONS.to_owned();
                let reason = "it was learned, and encoder.position_embedding is \"sincos\"; take \"learned\"";
                return Err(LearnError::Weights { name, reason: reason.to_owned() });
            }
            Ok(Some(Array::f32(shape, sin_cos(new, width))))
        }
    }
}

/// A table of a grid of another side: the class token's row as it is, the patches' by cubic interpolation, smoothed where the grid becomes
/// coarser, as PyTorch's `interpolate(mode="bicubic", antialias=True)` does, by which timm resamples.
fn resampled(table: &[f32], [old, new]: [usize; 2], width: usize) -> Vec<f32> {
    let (class_token, patches) = table.split_at(width);
    let taps = taps(old, new);
    let mut resampled = class_token.to_vec();
    let mut sums = vec![0.0_f64; width];
    for (down, across) in taps.iter().flat_map(|down| taps.iter().map(move |across| (down, across))) {
        sums.fill(0.0);
        for (row, by_row) in down {
            for (column, by_column) in across {
                let values = &patches[(row * old + column) * width..][..width];
                sums.iter_mut()
                    .zip(values)
                    .for_each(|(sum, value)| *sum += by_row * by_column * f64::from(*value));
            }
        }
        resampled.extend(sums.iter().map(|sum| *sum as f32));
    }
    resampled
}

/// For each of `new` places the old ones that it is made of, and their weights.
fn taps(old: usize, new: usize) -> Vec<Vec<(usize, f64)>> {
    let scale = old as f64 / new as f64;
    let stretch = scale.max(1.0);
    let of_place = |place: usize| {
        let centre = scale * (place as f64 + 0.5);
        let [least, most] = [-2.0, 2.0].map(|reach| centre + reach * stretch + 0.5);
        let places = least.max(0.0) as usize..(most as usize).min(old);
        let weights: Vec<f64> =
            places.clone().map(|tap| cubic((tap as f64 - centre + 0.5) / stretch)).collect();
        let sum: f64 = weights.iter().sum();
        places.zip(weights.into_iter().map(|weight| weight / sum)).collect()
    };
    (0..new).map(of_place).collect()
}

/// The cubic convolution kernel (Keys 1981) with a = −1/2.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    match x {
        _ if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        _ if x < 2.0 => A * (((x - 5.0) * x + 8.0) * x - 4.0),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::vit::Architecture;

    #[test]
    fn a_table_of_another_grid_keeps_its_class_token_and_what_is_constant() {
        let table: Vec<f32> = (0..2 * (1 + 9)).map(|index| if index < 2 { 7.0 } else { 3.0 }).collect();
        for new in [1, 2, 5, 7] {
            let resampled = resampled(&table, [3, new], 2);
            assert_eq!(resampled.len(), 2 * (1 + new * new));
            assert_eq!(resampled[..2], [7.0, 7.0]);
            assert!(resampled[2..].iter().all(|value| (value - 3.0).abs() < 1e-6), "{resampled:?}");
        }
    }

    #[test]
    fn fixed_positions_are_taken_at_any_grid_and_learned_ones_refused() {
        let config = VitConfig { width: 24, ..Architecture::Tiny.config(12) };
        let own = Array::f32([1, 10, 24], sin_cos(3, 24));
        for grid in [3, 5] {
            let theirs = Array::f32([1, grid * grid + 1, 24], sin_cos(grid, 24));
            assert_eq!(adopt(&theirs, &config).unwrap(), Some(own.clone()), "{grid}");
        }
        let mut learned = sin_cos(3, 24);
        learned[30] += 0.01;
        let learned = Array::f32([1, 10, 24], learned);
        let error = adopt(&learned, &config).unwrap_err().to_string();
        assert!(error.contains("pos_embed") && error.contains("take \"learned\""), "{error}");
        let config = VitConfig { positions: Positions::Learned, ..config };
        assert_eq!(adopt(&learned, &config).unwrap(), None);
        // What is no square table is left to the comparison of shapes.
        assert_eq!(adopt(&Array::f32([1, 9, 24], vec![0.0; 9 * 24]), &config).unwrap(), None);
    }
}
