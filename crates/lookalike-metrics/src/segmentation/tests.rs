use lookalike_base::{Cancellation, Matrix, Watch};
use lookalike_kernels::NEVER;

use super::bilinear::Bilinear;
use super::*;

/// Images of a 4×4 grid on 8×8 pixels: the left half of class 0 with feature −1, the right half of class 1 with feature 1, and a third
/// feature that says nothing.
struct Halves {
    cells: Vec<Matrix>,
    truth: Vec<u8>,
}

impl Halves {
    fn new(images: usize) -> Self {
        let side = |cell: usize| if cell % 4 < 2 { -1.0 } else { 1.0 };
        let cells = |image: usize| {
            let rows = (0..16).flat_map(|cell| [side(cell), 5.0, ((image * 16 + cell) as f32).sin()]);
            Matrix::new(rows.collect(), 3).unwrap()
        };
        let truth = (0..64).map(|pixel| u8::from(pixel % 8 >= 4)).collect();
        Self { cells: (0..images).map(cells).collect(), truth }
    }

    fn images(&self) -> Vec<DenseImage<'_>> {
        let image = |cells| DenseImage { cells, grid: [4, 4], truth: &self.truth, size: [8, 8] };
        self.cells.iter().map(|cells| image(cells.rows())).collect()
    }
}

#[test]
fn a_probe_tells_halves_apart_on_any_number_of_threads() {
    let halves = Halves::new(5);
    let images = halves.images();
    let fit =
        || SegmentationProbe::fit(&images, 2, &SegmentationOptions::default(), Watch::default()).unwrap();
    let probe = fit();
    assert_eq!(probe.predict(images[0].cells, [4, 4], [8, 8]).unwrap(), halves.truth);
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(fit), probe);
    }
}

#[test]
fn a_search_tells_halves_apart_and_draws_what_it_keeps() {
    let halves = Halves::new(5);
    let images = halves.images();
    for kept in [80, 20] {
        let options = PatchOptions { kept, neighbors: 3, ..PatchOptions::default() };
        let search = PatchSearch::new(&images, 2, &options).unwrap();
        assert_eq!(search.len(), kept);
        assert_eq!(search.predict(images[0].cells, [4, 4], [8, 8], NEVER).unwrap(), halves.truth);
    }
    let few = PatchSearch::new(&images, 2, &PatchOptions { kept: 4, ..PatchOptions::default() }).unwrap();
    assert_eq!((few.len(), few.neighbors()), (4, 4));
}

#[test]
fn pixels_that_count_nowhere_change_nothing() {
    let halves = Halves::new(4);
    let mut wrong = halves.truth.iter().map(|class| 1 - class).collect::<Vec<u8>>();
    // All of the wrong image but one pixel of each class, which lie where they should.
    wrong.fill(IGNORED);
    (wrong[0], wrong[7]) = (0, 1);
    let mut images = halves.images();
    images[1].truth = &wrong;
    let probe =
        SegmentationProbe::fit(&images, 2, &SegmentationOptions::default(), Watch::default()).unwrap();
    assert_eq!(probe.predict(images[0].cells, [4, 4], [8, 8]).unwrap(), halves.truth);
    let search = PatchSearch::new(&images, 2, &PatchOptions::default()).unwrap();
    assert_eq!(search.len(), 3 * 16 + 2);
    let mut confusion = Confusion::new(2).unwrap();
    confusion.add(&wrong, &[0; 64]).unwrap();
    let scores = confusion.scores().unwrap();
    assert_eq!((scores.pixels, scores.accuracy), (2, 0.5));
    // Of class 0: one right of two said; of class 1: none.
    assert_eq!(scores.iou, [Some(0.5), Some(0.0)]);
}

#[test]
fn a_class_that_is_only_predicted_is_no_part_of_the_mean_but_costs_the_others() {
    let mut confusion = Confusion::new(3).unwrap();
    confusion.add(&[0, 0, 0, 0], &[0, 0, 0, 2]).unwrap();
    let scores = confusion.scores().unwrap();
    assert_eq!(scores.iou, [Some(0.75), None, None]);
    assert_eq!((scores.mean_iou, scores.accuracy, scores.mean_accuracy), (0.75, 0.75, 0.75));
}

#[test]
fn iou_is_of_the_whole_set_not_the_mean_over_images() {
    let mut confusion = Confusion::new(2).unwrap();
    confusion.add(&[1, 1, 1, 1], &[1, 1, 1, 1]).unwrap();
    confusion.add(&[1, 0, 0, 0], &[0, 0, 0, 0]).unwrap();
    let scores = confusion.scores().unwrap();
    assert_eq!(scores.iou, [Some(0.75), Some(0.8)]);
}

/// As PyTorch: `F.interpolate(torch.tensor([[[1., 2., 4.]]]), size=5, mode="linear")` is `[1.0, 1.4, 2.0, 3.2, 4.0]`, and of `size=2`
/// `[1.25, 3.5]`.
#[test]
fn interpolation_is_pytorch_s_both_ways() {
    let check = |pixels: usize, expected: &[f32]| {
        for (grid, size) in [([1, 3], [1, pixels]), ([3, 1], [pixels, 1])] {
            let mut found = vec![0.0; pixels];
            Bilinear::new(grid, size).forward(&[1.0, 2.0, 4.0], &mut found);
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-6, "{found:?} {expected}");
            }
        }
    };
    check(5, &[1.0, 1.4, 2.0, 3.2, 4.0]);
    check(2, &[1.25, 3.5]);
    check(3, &[1.0, 2.0, 4.0]);
}

#[test]
fn the_way_back_is_the_transpose() {
    let value = |at: usize| (at as f32 * 0.7).sin();
    let upsampling = Bilinear::new([3, 4], [7, 5]);
    let (cells, pixels): (Vec<f32>, Vec<f32>) = ((0..12).map(value).collect(), (20..55).map(value).collect());
    let (mut forth, mut back) = (vec![0.0; 35], vec![0.0; 12]);
    upsampling.forward(&cells, &mut forth);
    upsampling.backward(&pixels, &mut back);
    let product = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    assert!((product(&forth, &pixels) - product(&cells, &back)).abs() < 1e-5);
}

#[test]
fn what_does_not_fit_is_refused() {
    let halves = Halves::new(2);
    let images = halves.images();
    let fit = |images: &[DenseImage<'_>], classes, options: &SegmentationOptions| {
        SegmentationProbe::fit(images, classes, options, Watch::default()).unwrap_err()
    };
    let plain = SegmentationOptions::default();
    let one_class = vec![0; 64];
    let mut same = images.clone();
    for image in &mut same {
        image.truth = &one_class;
    }
    let short = DenseImage { truth: &halves.truth[..63], ..images[0] };
    let coarse = DenseImage { grid: [4, 5], ..images[0] };
    for (error, words) in [
        (fit(&same, 2, &plain), "all pixels to learn from are of one class"),
        (fit(&[], 2, &plain), "no pixel to learn from has a class"),
        (fit(&images, 1, &plain), "a pixel has class 1, and there are 1"),
        (fit(&images, 256, &plain), "from 1 to 255"),
        (fit(&[short], 2, &plain), "there are 63 classes, but 64 are needed"),
        (fit(&[coarse], 2, &plain), "there are 16 rows, but 20 are needed"),
        (fit(&images[..1], 2, &plain), "there is one image to learn from"),
        (fit(&images, 2, &SegmentationOptions { rates: vec![3e38], ..plain.clone() }), "diverged"),
        (fit(&images, 2, &SegmentationOptions { epochs: 0, ..plain.clone() }), "the number of epochs is 0"),
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
    let mut confusion = Confusion::new(2).unwrap();
    assert!(confusion.add(&[0, 1, 2], &[0, 0, 0]).unwrap_err().to_string().contains("label 2 of pixel 2"));
    assert!(confusion.add(&[0], &[3]).unwrap_err().to_string().contains("label 3 of prediction 0"));
    assert!(confusion.scores().unwrap_err().to_string().contains("no pixel has a class"));
    let flag = Cancellation::new();
    flag.cancel();
    let stopped = SegmentationProbe::fit(&images, 2, &plain, Watch::silent(&flag));
    assert_eq!(stopped.unwrap_err(), MetricError::Cancelled);
}
