//! The readers on the published files, in the folder that `LOOKALIKE_DATA` names. The expected numbers were computed
//! from the same files with NumPy.

#![expect(clippy::unwrap_used, reason = "a test may stop where a promise is broken")]

use lookalike_base::progress::{Progress, ProgressDisplay, Silent};
use lookalike_data::{DataOptions, ImageDataset, Split, Verdict};
use std::sync::Arc;

#[path = "common/real_data.rs"]
mod real_data;

const CIFAR: &str = "cifar-10-batches-bin";
const FASHION: &str = "fashion-mnist";

/// The set `name`, whose files are in `folder`.
fn open(name: &str, folder: &str, split: Split) -> Option<Arc<dyn ImageDataset>> {
    let root = real_data::folder(folder)?;
    let options =
        DataOptions { name: name.to_owned(), root: Some(root), skip_corrupt: false, test_share: None };
    let (dataset, warnings) = lookalike_data::open(&options, split, &Silent).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    Some(dataset)
}

/// Sums of red, green and blue over the images of `range`.
fn sums(dataset: &dyn ImageDataset, range: std::ops::Range<u32>) -> [u64; 3] {
    let mut sums = [0; 3];
    for index in range {
        for pixel in dataset.image(index).unwrap().pixels.chunks_exact(3) {
            sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += u64::from(*value));
        }
    }
    sums
}

fn pixel(dataset: &dyn ImageDataset, index: u32, row: usize, column: usize) -> [u8; 3] {
    let image = dataset.image(index).unwrap();
    let at = 3 * (row * image.width as usize + column);
    image.pixels[at..at + 3].try_into().unwrap()
}

fn counts(dataset: &dyn ImageDataset) -> Vec<u32> {
    let mut counts = vec![0; dataset.classes().len()];
    (0..dataset.len() as u32).for_each(|index| counts[dataset.label(index).unwrap() as usize] += 1);
    counts
}

#[test]
fn cifar10_has_the_published_labels_and_pixels() {
    let Some(train) = open("cifar10", CIFAR, Split::Train) else { return };
    let test = open("cifar10", CIFAR, Split::Test).unwrap();
    assert_eq!((train.name(), train.len()), ("cifar10/train".to_owned(), 50_000));
    assert_eq!((test.name(), test.len()), ("cifar10/test".to_owned(), 10_000));
    assert_eq!((counts(&*train), counts(&*test)), (vec![5000; 10], vec![1000; 10]));
    let labels: Vec<u32> = (0..10).map(|index| train.label(index).unwrap()).collect();
    assert_eq!(labels, [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]);
    assert_eq!((test.classes()[3].as_str(), test.classes()[9].as_str()), ("cat", "truck"));
    assert_eq!(sums(&*train, 0..10_000), [1_288_517_123, 1_262_189_222, 1_167_674_233]);
    assert_eq!(sums(&*train, 40_000..50_000), [1_282_579_290, 1_260_017_611, 1_169_175_481]);
    assert_eq!(sums(&*test, 0..10_000), [1_290_492_328, 1_266_775_083, 1_176_108_223]);
    assert_eq!(pixel(&*train, 3, 5, 7), [90, 73, 51]);
    assert_eq!(pixel(&*train, 49_999, 31, 0), [122, 119, 114]);
    assert_eq!(pixel(&*test, 3, 5, 7), [195, 147, 165]);
}

#[test]
fn fashion_mnist_has_the_published_labels_and_pixels() {
    let Some(train) = open("fashion-mnist", FASHION, Split::Train) else { return };
    let test = open("fashion-mnist", FASHION, Split::Test).unwrap();
    assert_eq!((train.name(), train.len()), ("fashion-mnist/train".to_owned(), 60_000));
    assert_eq!((test.name(), test.len()), ("fashion-mnist/test".to_owned(), 10_000));
    assert_eq!((counts(&*train), counts(&*test)), (vec![6000; 10], vec![1000; 10]));
    let labels: Vec<u32> = (0..10).map(|index| train.label(index).unwrap()).collect();
    assert_eq!(labels, [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]);
    assert_eq!(train.classes()[9], "Ankle boot");
    assert_eq!(sums(&*train, 0..60_000), [3_431_114_169; 3]);
    assert_eq!(sums(&*test, 9999..10_000), [24_390; 3]);
    assert_eq!(pixel(&*train, 1, 14, 10), [205; 3]);
    assert_eq!(pixel(&*test, 1, 14, 12), [235; 3]);
}

/// Asserts how much there is to do.
struct OfTotal(u64);

impl ProgressDisplay for OfTotal {
    fn start(&self, total: u64, _: &str) -> Box<dyn Progress> {
        assert_eq!(total, self.0);
        Box::new(Silent)
    }
}

#[test]
fn the_files_are_the_published_ones() {
    for (name, folder, count, bytes) in
        [("cifar10", CIFAR, 6, 184_380_000), ("fashion-mnist", FASHION, 4, 30_878_645)]
    {
        let Some(root) = real_data::folder(folder) else { return };
        let checks = lookalike_data::check(name, Some(&root), &OfTotal(bytes)).unwrap().files;
        assert_eq!(checks.len(), count);
        assert!(checks.iter().all(|check| check.verdict == Verdict::Published), "{checks:?}");
    }
}
