//! Normalise: levels to [0, 1], then each channel to zero mean and unit deviation, as the encoder sees it.

/// Mean and standard deviation of each channel of a data set, on the scale where white is 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    /// Means of red, green, blue.
    pub mean: [f32; 3],
    /// Deviations of red, green, blue.
    pub std: [f32; 3],
}

impl Normalization {
    /// Writes (level / 255 − mean) / std of each channel.
    ///
    /// # Shapes
    /// `planes` and `out`: 3 × height × width.
    pub fn apply(&self, planes: &[u8], out: &mut [f32]) {
        let pixels = planes.len() / 3;
        let channels = self.mean.iter().zip(&self.std);
        for ((plane, out), (mean, std)) in
            planes.chunks_exact(pixels).zip(out.chunks_exact_mut(pixels)).zip(channels)
        {
            let (scale, shift) = (1.0 / (255.0 * std), -mean / std);
            for (value, level) in out.iter_mut().zip(plane) {
                *value = f32::from(*level) * scale + shift;
            }
        }
    }
}
