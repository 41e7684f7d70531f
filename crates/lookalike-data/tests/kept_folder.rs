//! The files of a run: what becomes of those that go bad after it began.

#![expect(clippy::unwrap_used, reason = "a test may stop where a promise is broken")]

use lookalike_base::Silent;
use lookalike_data::image::registry;
use lookalike_data::{DataOptions, ImageDataset};

/// A folder with a list of its files, as a run keeps it.
fn kept(share: Option<f64>) -> (tempfile::TempDir, std::path::PathBuf, DataOptions) {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("photos");
    for (class, count) in [("cat", 6), ("dog", 5)] {
        std::fs::create_dir_all(root.join(class)).unwrap();
        for index in 0..count {
            let image = image::RgbImage::from_pixel(3, 2, image::Rgb([40 * index as u8, count as u8, 7]));
            image.save(root.join(class).join(format!("{index}.png"))).unwrap();
        }
    }
    let options =
        DataOptions { name: "folder".to_owned(), root: Some(root), skip_corrupt: false, test_share: share };
    let list = place.path().join("images.json");
    registry::open_both(&options, &Silent).unwrap().keep.unwrap()(&list).unwrap();
    (place, list, options)
}

fn pixels(set: &dyn ImageDataset) -> Vec<Vec<u8>> {
    (0..set.len() as u32).map(|index| set.image(index).unwrap().pixels.into_owned()).collect()
}

#[test]
fn what_goes_bad_after_a_run_began_keeps_its_number_and_another_stands_in() {
    for share in [None, Some(0.3)] {
        let (place, list, options) = kept(share);
        let whole = registry::open_both(&options, &Silent).unwrap();
        let (before, test) = (pixels(&*whole.train), pixels(&*whole.test));
        // One image turns to zeros, one is gone, and a new one comes, which the run does not have.
        let [zeros, gone] = [2, 5].map(|index| whole.train.instance_name(index).unwrap());
        let root = options.root.clone().unwrap();
        let length = std::fs::metadata(root.join(&zeros)).unwrap().len();
        std::fs::write(root.join(&zeros), vec![0; length as usize]).unwrap();
        std::fs::remove_file(root.join(&gone)).unwrap();
        std::fs::copy(root.join("cat/0.png"), root.join("cat/new.png")).unwrap();

        // Without leave to leave out, what is gone is named.
        let Err(error) = registry::open_kept(&options, &list, &Silent) else { panic!("{share:?}") };
        let error = error.to_string();
        assert!(error.contains(&gone) && error.contains("data.skip_corrupt = true"), "{error}");
        let skipping = DataOptions { skip_corrupt: true, ..options.clone() };
        let after = registry::open_kept(&skipping, &list, &Silent).unwrap();
        assert_eq!(after.train.left_out(), [2, 5]);
        assert!(after.warnings.iter().any(|warning| warning.contains(&zeros)), "{:?}", after.warnings);
        assert_eq!(after.train.fingerprint().unwrap(), {
            // As it was with all files.
            let (_other, list, options) = kept(share);
            registry::open_kept(&options, &list, &Silent).unwrap().train.fingerprint().unwrap()
        });
        let now = pixels(&*after.train);
        for (index, (now, before)) in now.iter().zip(&before).enumerate() {
            assert_eq!(now == before, ![2, 5].contains(&index), "{index}");
        }
        assert_eq!(now[2], before[3]);
        let labels =
            |set: &dyn ImageDataset| (0..set.len() as u32).map(|index| set.label(index)).collect::<Vec<_>>();
        assert_eq!(labels(&*after.train), labels(&*whole.train));
        if share.is_some() {
            assert_eq!(pixels(&*after.test), test);
        }
        // The list stays that of the beginning.
        let text = std::fs::read_to_string(&list).unwrap();
        after.keep.unwrap()(&list).unwrap();
        assert_eq!(std::fs::read_to_string(&list).unwrap(), text);
        drop(place);
    }
}

#[test]
fn a_list_that_leads_elsewhere_or_is_damaged_is_refused() {
    let (_place, list, options) = kept(None);
    let text = std::fs::read_to_string(&list).unwrap();
    for (changed, said) in [
        (text.replace("cat/0.png", "../secret.png"), "is no file below the folder"),
        (text.replace("cat/0.png", "/etc/passwd"), "is no file below the folder"),
        (text.replace("\"class\":1", "\"class\":7"), "has a class that is not among the 2"),
        (text[..text.len() / 2].to_owned(), "EOF"),
        (text.replace("train", "trian"), "unknown field"),
    ] {
        std::fs::write(&list, changed).unwrap();
        let Err(error) = registry::open_kept(&options, &list, &Silent) else { panic!("{said}") };
        assert!(error.to_string().contains(said), "{error}");
    }
}
