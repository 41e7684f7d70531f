//! Image files as a data set: in one sub-folder a class, directly in a folder, or named by a list.
//!
//! ```text
//! root/train/cat/1.png      root/cat/1.png      root/1.png      root.csv: path,label,split
//! root/test/cat/2.png       root/dog/2.jpg      root/2.jpg                cat/1.png,cat,train
//! ```
//!
//! A sub-folder `train` or `training` is the part to train on, and `test`, `testing`, `val`, `valid` or `validation` the part to test
//! on, in whatever case; a list says so in a column. Without a part to test on both are the whole, unless a share is split off. The
//! classes are the sub-folders that hold images, at any depth, in either part; sorted by name they have the ids 0, 1, … Names that
//! begin with a dot are passed over. Only names are kept in memory: each image is decoded when it is asked for, by the thread that asks.

pub(super) mod decode;
mod jpeg;
pub mod kept;
mod list;
mod share;
mod table;

use crate::checksum::Checksum;
use crate::error::DataError;
use crate::image::dataset::{Image, ImageDataset, Split};
use list::Kind;
use lookalike_base::progress::ProgressDisplay;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

pub use list::is_image;

/// Names of the folder to learn from, in lower case.
const TRAIN_FOLDERS: [&str; 2] = ["train", "training"];

/// Names of the folder to measure on, the first that is there.
pub(super) const TEST_FOLDERS: [&str; 5] = ["test", "testing", "val", "valid", "validation"];

/// Limit of the files that cannot be read that a message names one by one.
const MAX_NAMED: usize = 20;

/// The label of an image that has none.
const UNLABELLED: u32 = u32::MAX;

/// The images of one part of a folder or list.
#[derive(Debug, Clone)]
pub struct ImageFolder {
    name: String,
    root: PathBuf,
    files: Vec<PathBuf>,
    /// One a file, or none at all.
    labels: Vec<u32>,
    classes: Vec<String>,
    /// Whether both parts are these images.
    serves_both: bool,
    /// Those that cannot be read any more and keep their numbers, sorted.
    left_out: Vec<u32>,
    /// The lengths of all files when the run of these images began; empty where none has.
    bytes: Vec<u64>,
}

/// How a folder is opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct FolderOptions {
    /// Decode every file, in parallel, and leave out those that cannot be. Without it [`ImageDataset::image`] fails on such a file.
    pub skip_corrupt: bool,
    /// Share of the images of each class that is split off for testing, where there is no part to test on; above 0, below 1.
    pub test_share: Option<f64>,
}

/// Both parts of a folder or list.
#[derive(Debug)]
pub struct Folder {
    /// What to learn from.
    pub train: ImageFolder,
    /// What to measure on: of one folder without parts the same.
    pub test: ImageFolder,
    /// How many files there are, those that were left out included.
    pub files: usize,
    /// Files that were left out, and why.
    pub left_out: Vec<(PathBuf, String)>,
    /// What the user should see: files that are not images, one folder serving as both parts.
    pub warnings: Vec<String>,
    /// What was split off for testing.
    pub note: Option<String>,
}

/// The images of a part before they are opened.
#[derive(Debug, Default, Clone)]
struct Found {
    files: Vec<PathBuf>,
    /// One a file, or none at all.
    labels: Vec<u32>,
    /// Sorted.
    classes: Vec<String>,
    /// What has the name of an image and cannot be read, and why.
    bad: Vec<(PathBuf, String)>,
    /// The folder or list they are from.
    place: PathBuf,
    /// Files that have no name of an image, by ending.
    passed_over: Option<String>,
}

impl Found {
    fn is_empty(&self) -> bool {
        self.files.is_empty() && self.bad.is_empty()
    }

    /// Keeps the files for which there is no reason.
    fn leave_out(&mut self, reasons: Vec<Option<String>>) {
        let kept: Vec<bool> = reasons.iter().map(Option::is_none).collect();
        let files = std::mem::take(&mut self.files);
        for (file, reason) in files.into_iter().zip(reasons) {
            match reason {
                None => self.files.push(file),
                Some(reason) => self.bad.push((file, reason)),
            }
        }
        let mut kept = kept.into_iter();
        self.labels.retain(|_| kept.next().unwrap_or(true));
    }

    /// Numbers the classes as `names`, sorted and all of its own among them, do.
    fn number_as(&mut self, names: &[String]) {
        let number = |name: &String| names.partition_point(|other| other < name) as u32;
        let numbers: Vec<u32> = self.classes.iter().map(number).collect();
        for label in self.labels.iter_mut().filter(|label| **label != UNLABELLED) {
            *label = numbers[*label as usize];
        }
        self.classes = names.to_vec();
    }
}

/// The part that a folder or a cell of that name is.
pub(super) fn part_of(name: &str) -> Option<Split> {
    let name = name.to_ascii_lowercase();
    if TRAIN_FOLDERS.contains(&name.as_str()) {
        Some(Split::Train)
    } else {
        TEST_FOLDERS.contains(&name.as_str()).then_some(Split::Test)
    }
}

/// Opens both parts of the folder or list `root`.
///
/// `display` shows the progress of decoding, where all files are decoded.
///
/// # Errors
/// [`DataError::Io`] where a folder cannot be listed, [`DataError::Line`] for a line of a list that names no image,
/// [`DataError::NoImages`] where no image is found, or none that can be decoded, [`DataError::Unreadable`] where some cannot be read
/// and none is to be left out, [`DataError::Option`] for a share of what has a part to test on, or one that is impossible.
pub fn open_both(
    root: &Path,
    options: &FolderOptions,
    display: &dyn ProgressDisplay,
) -> Result<Folder, DataError> {
    let mut warnings = Vec::new();
    let mut parts = Parts::find(root, &mut warnings)?;
    let files = parts.each().map(|found| found.files.len() + found.bad.len()).sum();
    if options.skip_corrupt {
        for found in parts.each_mut() {
            let reasons = undecodable(&found.files, display);
            found.leave_out(reasons);
        }
    }
    let left_out: Vec<_> = parts.each_mut().flat_map(|found| std::mem::take(&mut found.bad)).collect();
    if !options.skip_corrupt && !left_out.is_empty() {
        let (path, bad) = (root.to_owned(), left_out.len());
        return Err(DataError::Unreadable { path, bad, files, named: named(&left_out).join("; ") });
    }
    parts.check_filled(&left_out)?;
    let note = options.test_share.map(|share| parts.split_off(root, share)).transpose()?;
    if let Err(why) = &parts.test {
        warnings.push(why.clone());
    }
    let (train, test) = parts.opened(root);
    Ok(Folder { train, test, files, left_out, warnings, note })
}

/// Opens one part of the folder or list `root`; returned with it are warnings the user should see.
///
/// # Errors
/// As [`open_both`].
pub fn open(
    root: &Path,
    split: Split,
    skip_corrupt: bool,
    display: &dyn ProgressDisplay,
) -> Result<(ImageFolder, Vec<String>), DataError> {
    let folder = open_both(root, &FolderOptions { skip_corrupt, test_share: None }, display)?;
    let warnings = folder.all_warnings(root);
    Ok((if split == Split::Train { folder.train } else { folder.test }, warnings))
}

impl Folder {
    /// What the user should see, the files of `root` that were left out named.
    pub fn all_warnings(&self, root: &Path) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        if !self.left_out.is_empty() {
            let (bad, files, shown) = (self.left_out.len(), self.files, root.display());
            warnings.push(format!("{bad} of {files} files of {shown} cannot be read and are left out"));
            warnings.extend(named(&self.left_out).into_iter().map(|file| format!("left out: {file}")));
        }
        warnings
    }
}

/// The files that were left out as a message names them, one by one up to a limit.
fn named(left_out: &[(PathBuf, String)]) -> Vec<String> {
    let each = left_out.iter().take(MAX_NAMED);
    let mut named: Vec<String> = each.map(|(file, reason)| format!("{}: {reason}", file.display())).collect();
    if left_out.len() > MAX_NAMED {
        named.push(format!("{} more", left_out.len() - MAX_NAMED));
    }
    named
}

/// Why each of the files cannot be decoded; nothing of those that can.
fn undecodable(files: &[PathBuf], display: &dyn ProgressDisplay) -> Vec<Option<String>> {
    let progress = display.start(files.len() as u64, "checking images");
    let reason = |file: &PathBuf| {
        let decoded = decode::decode(file);
        progress.advance(1);
        decoded.err().map(|error| match error {
            DataError::Decode { source, .. } => source.to_string(),
            DataError::Io { source, .. } => source.to_string(),
            error => error.to_string(),
        })
    };
    let reasons = files.par_iter().map(reason).collect();
    progress.finish();
    reasons
}

/// Both parts before they are opened.
struct Parts {
    train: Found,
    /// What to test on, or why both parts are one.
    test: Result<Found, String>,
}

impl Parts {
    /// Looks for both parts, by a list or by the names of folders.
    fn find(root: &Path, warnings: &mut Vec<String>) -> Result<Self, DataError> {
        if table::is_list(root) {
            return table::read(root);
        }
        let (mut trains, mut tests, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for entry in list::entries(root)? {
            if matches!(entry.kind, Kind::Folder | Kind::LinkToFolder) {
                let name = entry.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                match part_of(&name) {
                    Some(Split::Train) => trains.push((name, entry.path)),
                    Some(Split::Test) => tests.push((name, entry.path)),
                    None => others.push(name),
                }
            }
        }
        // In the order in which their names are listed above.
        let place = |names: &[&str], name: &str| names.iter().position(|own| name.eq_ignore_ascii_case(own));
        trains.sort_by_key(|(name, _)| place(&TRAIN_FOLDERS, name));
        tests.sort_by_key(|(name, _)| place(&TEST_FOLDERS, name));
        let shown = root.display();
        let Some((train_name, train)) = trains.first() else {
            let mut why = format!("{shown} has no sub-folder train, so both splits are the whole folder");
            if !tests.is_empty() {
                let names: Vec<&str> = tests.iter().map(|(name, _)| name.as_str()).collect();
                why = format!("{why}, and its sub-folders {} are read as classes", names.join(" and "));
            }
            return Ok(Self { train: list::list(root, warnings)?, test: Err(why) });
        };
        others.extend(
            trains[1..].iter().chain(tests.get(1..).unwrap_or_default()).map(|(name, _)| name.clone()),
        );
        if !others.is_empty() {
            let (used, others) = (tests.first().map_or("", |(name, _)| name), others.join(", "));
            let used = if used.is_empty() { String::new() } else { format!(" and {used} the test split") };
            warnings.push(format!("of {shown} {train_name} is the train split{used}; ignored are {others}"));
        }
        let train = list::list(train, warnings)?;
        let test = match tests.first() {
            Some((_, test)) => Ok(list::list(test, warnings)?),
            None => Err(format!(
                "{shown} has no sub-folder test, val or validation, so both splits are {train_name}"
            )),
        };
        Ok(Self { train, test })
    }

    fn each(&self) -> impl Iterator<Item = &Found> {
        std::iter::once(&self.train).chain(self.test.as_ref().ok())
    }

    fn each_mut(&mut self) -> impl Iterator<Item = &mut Found> {
        std::iter::once(&mut self.train).chain(self.test.as_mut().ok())
    }

    /// Checks that both parts have images.
    fn check_filled(&self, left_out: &[(PathBuf, String)]) -> Result<(), DataError> {
        let Some(empty) = self.each().find(|found| found.files.is_empty()) else { return Ok(()) };
        let hint = if left_out.is_empty() {
            let other = empty.passed_over.as_ref().map_or_else(String::new, |endings| {
                format!("; it holds {endings}, which are not read: convert them, for instance by `magick FILE FILE.png`")
            });
            format!("looked for {} files in it and in one sub-folder a class{other}", decode::FORMAT_NAMES)
        } else {
            format!("none of its files can be decoded; {}", named(left_out).join("; "))
        };
        Err(DataError::NoImages { path: empty.place.clone(), hint })
    }

    /// Splits a share off for testing, and says what came of it.
    fn split_off(&mut self, root: &Path, share: f64) -> Result<String, DataError> {
        let refuse = |problem: String| DataError::Option { key: "data.test_share".to_owned(), problem };
        let shown = root.display();
        if !(share > 0.0 && share < 1.0) {
            return Err(refuse(format!("is {share} and must lie above 0 and below 1")));
        }
        if self.test.is_ok() {
            return Err(refuse(format!(
                "splits a part off for testing, and {shown} has one; leave the key out"
            )));
        }
        let (train, test) = share::split(std::mem::take(&mut self.train), share);
        if test.files.is_empty() {
            return Err(refuse(format!("leaves nothing to test: {shown} has one image a class")));
        }
        let (kept, drawn) = (train.files.len(), test.files.len());
        (self.train, self.test) = (train, Ok(test));
        Ok(format!(
            "{shown}: {kept} images to train on, {drawn} to test, drawn from each class (data.test_share = {share}), the same for every \
             seed"
        ))
    }

    /// Both parts as data sets, with one numbering of classes where both have any.
    fn opened(mut self, root: &Path) -> (ImageFolder, ImageFolder) {
        let mut names: Vec<String> = self.each().flat_map(|found| found.classes.clone()).collect();
        names.sort_unstable();
        names.dedup();
        for found in self.each_mut().filter(|found| !found.classes.is_empty()) {
            found.number_as(&names);
        }
        let serves_both = self.test.is_err();
        let set = |found: Found, split: Split| {
            let Found { files, labels, classes, .. } = found;
            ImageFolder {
                name: part_name(root, split),
                root: base_of(root).to_owned(),
                files,
                labels,
                classes,
                serves_both,
                left_out: Vec::new(),
                bytes: Vec::new(),
            }
        };
        let test = self.test.unwrap_or_else(|_| self.train.clone());
        (set(self.train, Split::Train), set(test, Split::Test))
    }
}

/// The folder that the paths of a folder or list are within.
fn base_of(root: &Path) -> &Path {
    if root.is_dir() { root } else { root.parent().unwrap_or(root) }
}

/// What a part is called in reports.
fn part_name(root: &Path, split: Split) -> String {
    let stem = if root.is_dir() { root.file_name() } else { root.file_stem() };
    let stem = stem.map_or_else(|| "folder".into(), |name| name.to_string_lossy());
    format!("{stem}/{}", split.name())
}

impl ImageFolder {
    fn is_left_out(&self, index: u32) -> bool {
        self.left_out.binary_search(&index).is_ok()
    }

    /// The image that stands in for one that is left out: the next that is not, from the beginning again after the last.
    fn stand_in(&self, index: u32) -> u32 {
        let count = self.files.len() as u32;
        let mut others = (1..count).map(|step| (u64::from(index) + u64::from(step)) % u64::from(count));
        others.find(|other| !self.is_left_out(*other as u32)).map_or(index, |other| other as u32)
    }

    /// The lengths of the files in bytes; of those that are left out the lengths that they had.
    fn sizes(&self) -> Result<Vec<u64>, DataError> {
        let size = |(index, file): (usize, &PathBuf)| {
            if self.is_left_out(index as u32) {
                return Ok(self.bytes[index]);
            }
            Ok(std::fs::metadata(file).map_err(DataError::io("read", file))?.len())
        };
        self.files.par_iter().enumerate().map(size).collect()
    }
}

impl ImageDataset for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn image(&self, index: u32) -> Result<Image<'_>, DataError> {
        let missing = || DataError::Index { dataset: self.name(), index, len: self.len() };
        let file = self.files.get(index as usize).ok_or_else(missing)?;
        if self.is_left_out(index) {
            return decode::decode(&self.files[self.stand_in(index) as usize]);
        }
        decode::decode(file)
    }

    fn label(&self, index: u32) -> Option<u32> {
        self.labels.get(index as usize).copied().filter(|label| *label != UNLABELLED)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn serves_both(&self) -> bool {
        self.serves_both
    }

    fn left_out(&self) -> &[u32] {
        &self.left_out
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
        let sizes = self.sizes()?;
        let mut sum = Checksum::default();
        for (index, (file, size)) in self.files.iter().zip(sizes).enumerate() {
            let name = file.strip_prefix(&self.root).unwrap_or(file).to_string_lossy();
            let class = self.label(index as u32).map_or("", |label| &self.classes[label as usize]);
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
