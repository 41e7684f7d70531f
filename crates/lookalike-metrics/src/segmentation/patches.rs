//! Classes of pixels by the most similar patches of other images, without training: Hummingbird's evaluation (Balažević et al. 2023,
//! *Towards In-Context Scene Understanding*, <https://arxiv.org/abs/2306.01667>, section 3).

use lookalike_base::{Matrix, Rows, Seed};
use lookalike_kernels::{KernelError, Stop, TopK, top_k};

use super::{DenseImage, IGNORED, check_cells, check_images, likeliest};
use crate::check;
use crate::error::MetricError;

const SCORE: &str = "the search for similar patches";

/// How patches are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PatchOptions {
    /// Patches that are asked; by default 30, lowered to as many as are kept.
    pub neighbors: usize,
    /// The temperature of the softmax over their cosines, by which their answers weigh; by default 0.02.
    pub temperature: f32,
    /// Patches that are kept at most, drawn from all; by default 10,240. The paper keeps a thousand times as many, its figures fall with fewer.
    pub kept: usize,
    /// Draws them.
    pub seed: Seed,
}

impl Default for PatchOptions {
    fn default() -> Self {
        Self { neighbors: 30, temperature: 0.02, kept: 10_240, seed: Seed(0) }
    }
}

/// Patches of images whose classes are known: features of unit length, and of each class the share of its pixels.
///
/// A pixel belongs to the cell in whose part of the image it lies. Pixels of class [`IGNORED`] are no part of the shares, and patches
/// without any other are not kept. (The published program takes such pixels for background.)
#[derive(Debug, Clone)]
pub struct PatchSearch {
    /// `[M, d]`
    features: Matrix,
    /// `[M, classes]`
    shares: Vec<f32>,
    classes: usize,
    neighbors: usize,
    temperature: f32,
}

impl PatchSearch {
    /// Keeps patches of `images`.
    ///
    /// # Errors
    /// [`MetricError::Undefined`] where pixels have fewer than two classes; other variants where inputs do not fit each other, are not
    /// finite, or an option is impossible.
    pub fn new(
        images: &[DenseImage<'_>],
        classes: usize,
        options: &PatchOptions,
    ) -> Result<Self, MetricError> {
        let PatchOptions { neighbors, temperature, kept, seed } = *options;
        for (option, value) in [("neighbours", neighbors), ("the patches that are kept", kept)] {
            if value == 0 {
                return Err(MetricError::option(option, &value, "at least 1"));
            }
        }
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(MetricError::option("the temperature", &temperature, "a number above 0"));
        }
        check_images(SCORE, images, classes)?;
        let shares: Vec<Vec<f32>> = images.iter().map(|image| shares_of(image, classes)).collect();
        let mut known: Vec<(u32, u32)> = Vec::new();
        for (image, shares) in shares.iter().enumerate() {
            let cells = shares.chunks_exact(classes).enumerate();
            let cells = cells.filter(|(_, shares)| shares.iter().any(|share| *share > 0.0));
            known.extend(cells.map(|(cell, _)| (image as u32, cell as u32)));
        }
        if known.len() > kept {
            let drawn = seed.stream("kept patches", 0, 0, 0).permutation(known.len() as u32);
            let mut drawn: Vec<u32> = drawn[..kept].to_vec();
            drawn.sort_unstable();
            known = drawn.into_iter().map(|place| known[place as usize]).collect();
        }
        let (mut features, mut answers) = (Vec::new(), Vec::new());
        for (image, cell) in &known {
            features.extend_from_slice(images[*image as usize].cells.row(*cell as usize));
            answers.extend_from_slice(&shares[*image as usize][*cell as usize * classes..][..classes]);
        }
        let mut features = Matrix::new(features, images[0].cells.columns())
            .map_err(|problem| MetricError::Values { what: "patches", problem })?;
        features.normalize_rows();
        let neighbors = neighbors.min(known.len());
        Ok(Self { features, shares: answers, classes, neighbors, temperature })
    }

    /// Patches that are kept.
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// Never so: there is at least one.
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    /// Patches that are asked.
    pub fn neighbors(&self) -> usize {
        self.neighbors
    }

    /// The class of each pixel of an image: of each cell the shares of its most similar patches, weighted by a softmax of their cosines,
    /// interpolated, and of these the largest.
    ///
    /// # Errors
    /// [`MetricError::Dimensions`] and others where the cells do not fit or are not finite; [`MetricError::Cancelled`] where `stop` said yes.
    pub fn predict(
        &self,
        cells: Rows<'_>,
        grid: [usize; 2],
        size: [usize; 2],
        stop: Stop<'_>,
    ) -> Result<Vec<u8>, MetricError> {
        check_cells(cells, grid, size)?;
        check::same_dimensions("patches", self.features.rows(), "cells", cells)?;
        let queries = check::normalized("cells", cells)?;
        let (queries, kept) = (queries.rows().values(), self.features.rows().values());
        let found = top_k(queries, kept, self.features.columns(), self.neighbors, false, stop);
        let found = found.map_err(|error| match error {
            KernelError::Cancelled => MetricError::Cancelled,
            error => error.into(),
        })?;
        Ok(likeliest(&self.answers(&found, cells.len()), self.classes, grid, size))
    }

    /// What is said of each cell, `[classes, cells]`.
    fn answers(&self, found: &TopK, cells: usize) -> Vec<f32> {
        let mut planes = vec![0.0; self.classes * cells];
        let rows = found.indices.chunks_exact(found.k).zip(found.similarities.chunks_exact(found.k));
        for (cell, (patches, cosines)) in rows.enumerate() {
            let weights: Vec<f32> =
                cosines.iter().map(|cosine| ((cosine - cosines[0]) / self.temperature).exp()).collect();
            let sum: f32 = weights.iter().sum();
            for (patch, weight) in patches.iter().zip(weights) {
                let shares = &self.shares[*patch as usize * self.classes..][..self.classes];
                for (class, share) in shares.iter().enumerate().filter(|(_, share)| **share > 0.0) {
                    planes[class * cells + cell] += weight / sum * share;
                }
            }
        }
        planes
    }
}

/// Of each cell the share that each class has of its pixels, `[cells, classes]`; all 0 of cells without a pixel that counts.
fn shares_of(image: &DenseImage<'_>, classes: usize) -> Vec<f32> {
    let ([rows, columns], [height, width]) = (image.grid, image.size);
    let mut shares = vec![0.0; rows * columns * classes];
    for (y, line) in image.truth.chunks_exact(width).enumerate() {
        for (x, class) in line.iter().enumerate().filter(|(_, class)| **class != IGNORED) {
            let cell = y * rows / height * columns + x * columns / width;
            shares[cell * classes + usize::from(*class)] += 1.0;
        }
    }
    for shares in shares.chunks_exact_mut(classes) {
        let sum: f32 = shares.iter().sum();
        if sum > 0.0 {
            for share in shares {
                *share /= sum;
            }
        }
    }
    shares
}
