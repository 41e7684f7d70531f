//! The probe of pixels and the search for similar patches against PyTorch; `fixtures/segmentation.py` made the numbers.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking, as the tests themselves do")]

use std::path::Path;

use lookalike_base::{Arrays, Rows, Watch, tensors};
use lookalike_kernels::NEVER;
use lookalike_metrics::{
    Confusion, DenseImage, PatchOptions, PatchSearch, SegmentationOptions, SegmentationProbe,
    SegmentationScores,
};

const CLASSES: usize = 4;
const FEATURES: usize = 6;
const TRAIN: usize = 5;

struct Fixture {
    arrays: Arrays,
    truth: Vec<Vec<u8>>,
}

impl Fixture {
    fn load() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/segmentation.safetensors");
        let arrays = tensors::read(path).unwrap().tensors;
        let count = arrays["sizes"].shape[0];
        let truth = (0..count).map(|image| bytes(&arrays, &format!("truth {image}"))).collect();
        Self { arrays, truth }
    }

    fn numbers(&self, name: &str) -> &[f32] {
        self.arrays[name].as_f32().unwrap()
    }

    fn images(&self) -> Vec<DenseImage<'_>> {
        let sizes = self.arrays["sizes"].as_u32().unwrap().chunks_exact(4);
        let image = |(number, sizes): (usize, &[u32])| {
            let [h, w, height, width] = [0, 1, 2, 3].map(|place| sizes[place] as usize);
            let cells = Rows::new(self.numbers(&format!("cells {number}")), FEATURES).unwrap();
            DenseImage { cells, grid: [h, w], truth: &self.truth[number], size: [height, width] }
        };
        sizes.enumerate().map(image).collect()
    }

    /// Compares what is said of the images to test on with what PyTorch says: a pixel in a thousand may differ, by rounding.
    fn check(&self, name: &str, scores: &str, predict: impl Fn(&DenseImage<'_>) -> Vec<u8>) {
        let images = self.images();
        let mut confusion = Confusion::new(CLASSES).unwrap();
        for (number, image) in images.iter().enumerate().skip(TRAIN) {
            let (found, expected) = (predict(image), bytes(&self.arrays, &format!("{name} {number}")));
            let differ = found.iter().zip(&expected).filter(|(found, expected)| found != expected).count();
            assert!(differ * 1000 <= found.len(), "{differ} of {} pixels differ", found.len());
            confusion.add(image.truth, &found).unwrap();
        }
        let SegmentationScores { mean_iou, accuracy, mean_accuracy, iou, .. } = confusion.scores().unwrap();
        for (found, expected) in [mean_iou, accuracy, mean_accuracy].into_iter().zip(self.numbers(scores)) {
            assert!((found - f64::from(*expected)).abs() < 1e-3, "{name}: {found}, not {expected}");
        }
        assert_eq!(iou[3], None, "no image to test on has class 3");
    }
}

fn bytes(arrays: &Arrays, name: &str) -> Vec<u8> {
    arrays[name].as_u32().unwrap().iter().map(|value| u8::try_from(*value).unwrap()).collect()
}

#[test]
fn sixty_steps_over_all_images_end_where_pytorch_s_do() {
    let fixture = Fixture::load();
    let images = fixture.images();
    let options = SegmentationOptions {
        rates: vec![0.3],
        epochs: 60,
        batch_size: TRAIN,
        ..SegmentationOptions::default()
    };
    let probe = SegmentationProbe::fit(&images[..TRAIN], CLASSES, &options, Watch::default()).unwrap();
    for (found, name) in [(&probe.weights, "weights"), (&probe.bias, "bias")] {
        for (found, expected) in found.iter().zip(fixture.numbers(name)) {
            assert!((found - expected).abs() < 1e-4, "{name}: {found}, not {expected}");
        }
    }
    fixture
        .check("probed", "probe scores", |image| probe.predict(image.cells, image.grid, image.size).unwrap());
}

#[test]
fn patches_are_asked_as_pytorch_asks_them() {
    let fixture = Fixture::load();
    let images = fixture.images();
    let options = PatchOptions { neighbors: 7, ..PatchOptions::default() };
    let search = PatchSearch::new(&images[..TRAIN], CLASSES, &options).unwrap();
    fixture.check("searched", "search scores", |image| {
        search.predict(image.cells, image.grid, image.size, NEVER).unwrap()
    });
}
