//! Random resized crop: which rectangle of the image a view shows (Szegedy et al. 2015, §6, as torchvision
//! draws it).

use lookalike_base::stream::Stream;

/// A rectangle of an image, in pixels from the top left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CropBox {
    /// First column.
    pub left: u32,
    /// First row.
    pub top: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// The distribution of crops: the area's share uniform in `scale`, width / height log-uniform in `ratio`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RandomResizedCrop {
    /// Smallest and largest share of the image's area.
    pub scale: [f64; 2],
    /// Smallest and largest width / height.
    pub ratio: [f64; 2],
}

/// Draws that may miss the image before the fallback is taken; torchvision's number.
const TRIES: usize = 10;

impl RandomResizedCrop {
    /// A crop of a `width` × `height` image.
    ///
    /// A drawn rectangle that does not fit is drawn again, up to ten times; then the largest central
    /// rectangle whose shape is within `ratio` is taken.
    pub fn draw(&self, width: u32, height: u32, stream: &mut Stream) -> CropBox {
        let area = f64::from(width) * f64::from(height);
        let log_ratio = self.ratio.map(f64::ln);
        for _ in 0..TRIES {
            let target = area * uniform(self.scale, stream);
            let ratio = uniform(log_ratio, stream).exp();
            let w = (target * ratio).sqrt().round_ties_even() as u32;
            let h = (target / ratio).sqrt().round_ties_even() as u32;
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                let top = stream.below(height - h + 1);
                let left = stream.below(width - w + 1);
                return CropBox { left, top, width: w, height: h };
            }
        }
        self.fallback(width, height)
    }

    /// The largest central crop of a `width` × `height` image whose shape is within `ratio`.
    pub fn fallback(&self, width: u32, height: u32) -> CropBox {
        let [narrowest, widest] = self.ratio;
        let shape = f64::from(width) / f64::from(height);
        let (w, h) = if shape < narrowest {
            (width, (f64::from(width) / narrowest).round_ties_even() as u32)
        } else if shape > widest {
            ((f64::from(height) * widest).round_ties_even() as u32, height)
        } else {
            (width, height)
        };
        // An image one pixel wide can round to a crop of nothing.
        let (w, h) = (w.clamp(1, width), h.clamp(1, height));
        CropBox { left: (width - w) / 2, top: (height - h) / 2, width: w, height: h }
    }
}

fn uniform([low, high]: [f64; 2], stream: &mut Stream) -> f64 {
    low + (high - low) * stream.unit_f64()
}
