//! Images as an input.

use lookalike_data::ImageBatch;

use super::{Input, Instances};
use crate::error::LearnError;

impl Instances for ImageBatch {
    fn what(&self) -> &'static str {
        "images"
    }

    fn count(&self) -> usize {
        self.shape[0]
    }

    fn select(&self, rows: &[u32]) -> Input {
        Input::new(ImageBatch::select(self, rows))
    }

    fn join(&self, inputs: &[&Input]) -> Result<Input, LearnError> {
        let parts: Vec<&Self> = Input::all(inputs)?;
        if parts.iter().any(|part| part.shape[1..] != self.shape[1..]) {
            return Err(LearnError::Input("images to join differ in size".to_owned()));
        }
        let [_, channels, height, width] = self.shape;
        let count = parts.iter().map(|part| part.shape[0]).sum();
        let mut values = Vec::with_capacity(parts.iter().map(|part| part.values.len()).sum());
        for part in parts {
            values.extend_from_slice(&part.values);
        }
        Ok(Input::new(Self { values, shape: [count, channels, height, width] }))
    }
}
