//! What maps of features are worth for telling the class of each pixel: a linear probe on frozen maps, a search for the most similar
//! patches, and the scores of what they say.
//!
//! Maps are rows of cells: an image of H×W pixels has a grid of h×w cells with d values each. What is said of cells becomes what is said of
//! pixels by bilinear interpolation, as PyTorch's `interpolate(mode="bilinear", align_corners=False)` has it.

mod bilinear;
mod confusion;
mod patches;
mod probe;
#[cfg(test)]
mod tests;

use lookalike_base::Rows;

pub use confusion::{Confusion, SegmentationScores};
pub use patches::{PatchOptions, PatchSearch};
pub use probe::{SegmentationOptions, SegmentationProbe};

use crate::check;
use crate::error::MetricError;

/// The class of pixels that count nowhere: neither are they learned from nor scored.
pub const IGNORED: u8 = 255;

/// An image: the features of its cells, and the classes of its pixels.
#[derive(Debug, Clone, Copy)]
pub struct DenseImage<'a> {
    /// Features of the cells, one row of the grid behind the other, `[h · w, d]`.
    pub cells: Rows<'a>,
    /// Height h and width w of the grid.
    pub grid: [usize; 2],
    /// Classes of the pixels, one row of the image behind the other; [`IGNORED`] of those that count nowhere.
    pub truth: &'a [u8],
    /// Height H and width W of the image in pixels.
    pub size: [usize; 2],
}

/// Checks images to learn from: that all fits together, is finite, and has something to tell apart.
fn check_images(score: &'static str, images: &[DenseImage<'_>], classes: usize) -> Result<(), MetricError> {
    check_classes(classes)?;
    let mut found = vec![false; classes];
    for (at, image) in images.iter().enumerate() {
        check_cells(image.cells, image.grid, image.size)?;
        check::same_dimensions("the first image's cells", images[0].cells, "another's", image.cells)?;
        check::finite("cells", image.cells)?;
        if image.truth.len() != image.size[0] * image.size[1] {
            let (found, expected) = (image.truth.len(), image.size[0] * image.size[1]);
            return Err(MetricError::Length { what: "classes", found, expected, of: "pixels of an image" });
        }
        for class in image.truth.iter().filter(|class| **class != IGNORED) {
            if let Some(found) = found.get_mut(*class as usize) {
                *found = true;
            } else {
                let problem = format!("a pixel has class {class}, and there are {classes}");
                return Err(MetricError::entry("image", at, problem));
            }
        }
    }
    let count = found.iter().filter(|found| **found).count();
    if count < 2 {
        let reason = match count {
            0 => "no pixel to learn from has a class (255 is none)",
            _ => "all pixels to learn from are of one class (255 is none)",
        };
        return Err(MetricError::undefined(score, reason));
    }
    Ok(())
}

fn check_classes(classes: usize) -> Result<(), MetricError> {
    if classes == 0 || classes > usize::from(IGNORED) {
        return Err(MetricError::option("the number of classes", &classes, "from 1 to 255"));
    }
    Ok(())
}

/// Checks that there is a row a cell, and that neither grid nor image is empty.
fn check_cells(cells: Rows<'_>, grid: [usize; 2], size: [usize; 2]) -> Result<(), MetricError> {
    if grid.contains(&0) || size.contains(&0) {
        let value = format!("{}×{} cells on {}×{} pixels", grid[0], grid[1], size[0], size[1]);
        return Err(MetricError::option("a grid", &value, "of one cell and one pixel at least"));
    }
    if cells.len() != grid[0] * grid[1] {
        let (found, expected) = (cells.len(), grid[0] * grid[1]);
        return Err(MetricError::Length { what: "rows", found, expected, of: "cells of a grid" });
    }
    Ok(())
}

/// The class of each pixel whose value is largest, the first of several.
///
/// # Shapes
/// `planes` classes × cells of the grid.
fn likeliest(planes: &[f32], classes: usize, grid: [usize; 2], size: [usize; 2]) -> Vec<u8> {
    let upsampling = bilinear::Bilinear::new(grid, size);
    let (cells, pixels) = (grid[0] * grid[1], size[0] * size[1]);
    let (mut best, mut values, mut predicted) =
        (vec![f32::NEG_INFINITY; pixels], vec![0.0; pixels], vec![0; pixels]);
    for class in 0..classes {
        upsampling.forward(&planes[class * cells..][..cells], &mut values);
        for ((best, value), predicted) in best.iter_mut().zip(&values).zip(&mut predicted) {
            if value > best {
                (*best, *predicted) = (*value, class as u8);
            }
        }
    }
    predicted
}
