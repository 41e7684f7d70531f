//! A folder of PNG, JPEG and WebP files as a data set: one sub-folder a class, or images without labels.
//!
//! ```text
//! root/train/cat/1.png      root/cat/1.png      root/1.png
//! root/test/cat/2.png       root/dog/2.jpg      root/2.jpg
//! ```
//!
//! A sub-folder `train` is the split to train on, and `test`, `val` or `valid` the split to test on. Without `train` both
//! splits are the whole folder. The classes are the sub-folders that hold images, at any depth, in
//! either split; sorted by name they have the ids 0, 1, … Names that begin with a dot are passed over. Only names are
//! kept in memory: each image is decoded when it is asked for, by the thread that asks.

mod decode;
mod list;

use crate::checksum::Checksum;
use crate::error::DataError;
use crate::image::dataset::{Image, ImageDataset, Split};
use list::Listing;
use lookalike_base::progress::ProgressDisplay;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// Names of the sub-folder to measure on, the first that is there.
const TEST_FOLDERS: [&str; 3] = ["test", "val", "valid"];

/// Limit of the left-out files that are named one by one.
const MAX_NAMED: usize = 20;

/// The images of one split of a folder.
#[derive(Debug)]
pub struct ImageFolder {
    name: String,
    root: PathBuf,
    files: Vec<PathBuf>,
    /// One a file, or none at all.
    labels: Vec<u32>,
    classes: Vec<String>,
}

/// Opens one split of the folder `root`; returned with it are warnings the user should see: files that are not images,
/// one folder serving as both splits, files left out.
///
/// With `skip_corrupt` every file is decoded once, in parallel, and those that cannot be are left out and named in the
/// warnings. Without it, [`ImageDataset::image`] fails on such a file.
///
/// `display` shows the progress of decoding.
///
/// # Errors
/// [`DataError::Io`] where a folder cannot be listed or a file not read, [`DataError::NoImages`] where no image is
/// found, or none that can be decoded.
pub fn open(
    root: &Path,
    split: Split,
    skip_corrupt: bool,
    display: &dyn ProgressDisplay,
) -> Result<(ImageFolder, Vec<String>), DataError> {
    let mut warnings = Vec::new();
    let (listing, classes) = list_split(root, split, &mut warnings)?;
    let stem = root.file_name().map_or_else(|| "folder".into(), |name| name.to_string_lossy());
    let name = format!("{stem}/{}", split.name());
    let mut folder =
        ImageFolder { name, root: root.to_owned(), files: Vec::new(), labels: Vec::new(), classes };
    folder.add(listing);
    if folder.files.is_empty() {
        let hint = "looked for PNG, JPEG and WebP files directly in it and in one sub-folder a class";
        return Err(DataError::NoImages { path: root.to_owned(), hint: hint.to_owned() });
    }
    if skip_corrupt {
        folder.leave_out_corrupt(root, &mut warnings, display)?;
    }
    Ok((folder, warnings))
}

/// The files of a split, and the names of the classes of both splits.
fn list_split(
    root: &Path,
    split: Split,
    warnings: &mut Vec<String>,
) -> Result<(Listing, Vec<String>), DataError> {
    let train = root.join("train");
    let mut tests = TEST_FOLDERS.map(|name| root.join(name)).into_iter().filter(|path| path.is_dir());
    if !train.is_dir() {
        let listing = list::list(root, warnings)?;
        let mut warning =
            format!("{} has no sub-folder train, so both splits are the whole folder", root.display());
        if tests.next().is_some() {
            warning.push_str(", and its sub-folders test, val and valid are read as classes");
        }
        warnings.push(warning);
        let classes = listing.class_names();
        return Ok((listing, classes));
    }
    let (Some(test), second) = (tests.next(), tests.next()) else {
        let none =
            format!("{} has no sub-folder test, val or valid, so both splits are train", root.display());
        warnings.push(none);
        let listing = list::list(&train, warnings)?;
        let classes = listing.class_names();
        return Ok((listing, classes));
    };
    if let Some(second) = second {
        warnings.push(format!("{} is the test split; {} is ignored", test.display(), second.display()));
    }
    let (wanted, other) = match split {
        Split::Train => (&train, &test),
        Split::Test => (&test, &train),
    };
    let listing = list::list(wanted, warnings)?;
    // The warnings of the other split are given when that one is opened.
    let other = list::list(other, &mut Vec::new())?;
    let mut classes = listing.class_names();
    if !classes.is_empty() {
        classes.extend(other.class_names());
        classes.sort_unstable();
        classes.dedup();
    }
    Ok((listing, classes))
}

impl ImageFolder {
    /// Adds the files of `listing`, class by class.
    fn add(&mut self, listing: Listing) {
        match listing {
            Listing::Flat(files) => self.files = files,
            Listing::Classes(classes) => {
                for (class, files) in classes {
                    // Every class of a listing is among the sorted names.
                    let label = self.classes.partition_point(|name| *name < class) as u32;
                    self.labels.resize(self.labels.len() + files.len(), label);
                    self.files.extend(files);
                }
            }
        }
    }

    fn leave_out_corrupt(
        &mut self,
        root: &Path,
        warnings: &mut Vec<String>,
        display: &dyn ProgressDisplay,
    ) -> Result<(), DataError> {
        let progress = display.start(self.files.len() as u64, "checking images");
        let reasons: Vec<Option<String>> = self
            .files
            .par_iter()
            .map(|file| {
                let decoded = decode::decode(file);
                progress.advance(1);
                match decoded {
                    Ok(_) => Ok(None),
                    Err(DataError::Decode { source, .. }) => Ok(Some(source.to_string())),
                    // A failing disk must not lead to training on fewer images.
                    Err(error) => Err(error),
                }
            })
            .collect::<Result<_, _>>()?;
        progress.finish();
        let named =
            self.files.iter().zip(&reasons).filter_map(|(file, reason)| Some((file, reason.as_ref()?)));
        let bad = named.clone().count();
        if bad == 0 {
            return Ok(());
        }
        if bad == self.files.len() {
            let hint = format!("none of its {bad} files can be decoded");
            return Err(DataError::NoImages { path: root.to_owned(), hint });
        }
        let all = self.files.len();
        warnings
            .push(format!("{bad} of {all} files in {} cannot be decoded and are left out", root.display()));
        for (file, reason) in named.take(MAX_NAMED) {
            warnings.push(format!("left out: {}: {reason}", file.display()));
        }
        if bad > MAX_NAMED {
            warnings.push(format!("left out: {} more", bad - MAX_NAMED));
        }
        keep_good(&mut self.files, &reasons);
        keep_good(&mut self.labels, &reasons);
        Ok(())
    }
}

/// Drops the elements for which there is a reason; an empty list stays empty.
fn keep_good<T>(elements: &mut Vec<T>, reasons: &[Option<String>]) {
    let mut reasons = reasons.iter();
    elements.retain(|_| reasons.next().is_none_or(Option::is_none));
}

impl ImageDataset for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn image(&self, index: u32) -> Result<Image<'_>, DataError> {
        let missing = || DataError::Index { dataset: self.name(), index, len: self.len() };
        decode::decode(self.files.get(index as usize).ok_or_else(missing)?)
    }

    fn label(&self, index: u32) -> Option<u32> {
        self.labels.get(index as usize).copied()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn instance_name(&self, index: u32) -> Option<String> {
        let file = self.files.get(index as usize)?;
        Some(file.strip_prefix(&self.root).unwrap_or(file).to_string_lossy().into_owned())
    }

    /// A SHA-256 hash of the names within the folder, the sizes and the classes of all files in their order. It does not depend
    /// on where the folder lies. Files of the same name and size count as the same.
    fn fingerprint(&self) -> Result<String, DataError> {
        let sizes: Vec<u64> = self
            .files
            .par_iter()
            .map(|file| Ok(std::fs::metadata(file).map_err(DataError::io("read", file))?.len()))
            .collect::<Result<_, DataError>>()?;
        let mut sum = Checksum::default();
        for (index, (file, size)) in self.files.iter().zip(sizes).enumerate() {
            let name = file.strip_prefix(&self.root).unwrap_or(file).to_string_lossy();
            let class = self.labels.get(index).map_or("", |label| &self.classes[*label as usize]);
            // Lengths first, so that no two lists of files are the same bytes.
            for text in [name.as_ref(), class] {
                sum.update((text.len() as u64).to_le_bytes());
                sum.update(text);
            }
            sum.update(size.to_le_bytes());
        }
        Ok(format!("{} files, sha256 {}", self.files.len(), sum.hexadecimal()))
    }
}
