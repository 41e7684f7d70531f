//! Images whose pixels have classes: an image file and a mask of the same name each.
//!
//! ```text
//! root/images/train/1.jpg    root/masks/train/1.png    root/classes.txt: background
//! root/images/val/2.jpg      root/masks/val/2.png                        road
//! ```
//!
//! `classes.txt` names the classes, one a line. Masks are PNG files of whose grey values or places in a palette the first line's class is 0,
//! the next 1, …; or of colours, where each line begins with its class's: `128 64 128 road`. 255, and in masks of colours white and
//! what VOC draws borders in, (224, 224, 192), are no class: such pixels count nowhere.

mod classes;
mod known;
mod mask;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lookalike_base::words::did_you_mean;

use super::dataset::{Image, Split};
use super::folder::{TEST_FOLDERS, decode, is_image, part_of};
use crate::error::DataError;
use classes::Classes;
use known::KNOWN;

/// The key that names such sets in a recipe.
const KEY: &str = "evaluate.segmentation";

/// Images with masks: a part to learn from, and a part to score.
#[derive(Debug)]
pub struct SegmentedSet {
    name: String,
    classes: Classes,
    train: Vec<Pair>,
    test: Vec<Pair>,
}

/// An image and its mask.
#[derive(Debug)]
struct Pair {
    image: PathBuf,
    mask: PathBuf,
}

/// An image with the classes of its pixels.
#[derive(Debug)]
pub struct Segmented {
    /// The image.
    pub image: Image<'static>,
    /// The class of each pixel, row after row; 255 of those that have none.
    pub truth: Vec<u8>,
}

impl SegmentedSet {
    /// Opens a set by its name, or the folder at that path below `root`; the path of a known set may end with its name, as `../data/nuclei`. No
    /// file is decoded.
    ///
    /// # Errors
    /// [`DataError::Option`] where there is neither; [`DataError::NoImages`] where a part has no image; [`DataError::Unpaired`] for an image
    /// without a mask and a mask without an image; [`DataError::Line`] for a line of `classes.txt`; [`DataError::Io`].
    pub fn open(name: &str, root: &Path) -> Result<Self, DataError> {
        const LIST: &str = "classes.txt";
        let path = root.join(name);
        let last = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // A folder may be called as a known set is.
        let known = KNOWN.iter().find(|known| known.name == last && !path.join(LIST).exists());
        let (folder, masks, classes) = match known {
            Some(known) => (path.with_file_name(known.folder), known.masks, Some(known.classes())),
            None => (path, "masks", None),
        };
        if !folder.is_dir() {
            let names = KNOWN.iter().map(|known| known.name);
            let hint = did_you_mean(name, names.clone());
            let problem = format!(
                "`{name}` is neither a known set below data.root ({}) nor a folder: {} is not there{hint}",
                names.collect::<Vec<&str>>().join(", "),
                folder.display()
            );
            return Err(DataError::Option { key: KEY.to_owned(), problem });
        }
        let classes = classes.map_or_else(|| Classes::read(&folder.join(LIST)), Ok)?;
        let pairs = |split| pairs(&folder.join("images"), &folder.join(masks), split);
        Ok(Self { name: last, classes, train: pairs(Split::Train)?, test: pairs(Split::Test)? })
    }

    /// Its name, that of its folder where it is none of those that are known.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of the classes, from class 0 on.
    pub fn classes(&self) -> &[String] {
        &self.classes.names
    }

    /// Images of a part, at least one.
    pub fn len(&self, split: Split) -> usize {
        self.pairs(split).len()
    }

    /// Reads an image and its mask.
    ///
    /// # Errors
    /// [`DataError::Index`] where there is no such image; [`DataError::Io`], and [`DataError::Decode`] where one of the files is damaged, the
    /// mask has another size than the image, or a pixel of it is of no class.
    pub fn read(&self, split: Split, index: usize) -> Result<Segmented, DataError> {
        let pairs = self.pairs(split);
        let Pair { image: path, mask } = pairs.get(index).ok_or_else(|| DataError::Index {
            dataset: self.name.clone(),
            index: index as u32,
            len: pairs.len(),
        })?;
        let image = decode::decode(path)?;
        let truth = mask::read(mask, &self.classes, (path, [image.width, image.height]))?;
        Ok(Segmented { image, truth })
    }

    fn pairs(&self, split: Split) -> &[Pair] {
        match split {
            Split::Train => &self.train,
            Split::Test => &self.test,
        }
    }
}

/// The images of a part with their masks, by name.
fn pairs(images: &Path, masks: &Path, split: Split) -> Result<Vec<Pair>, DataError> {
    let [images, masks] = [part(images, split)?, part(masks, split)?];
    let (mut found, mut drawn) = (by_stem(&images, is_image)?, by_stem(&masks, is_png)?);
    if found.is_empty() {
        let hint = "image files were looked for in it".to_owned();
        return Err(DataError::NoImages { path: images, hint });
    }
    let mut pairs = Vec::new();
    while let Some((stem, image)) = found.pop_first() {
        match drawn.remove(&stem) {
            Some(mask) => pairs.push(Pair { image, mask }),
            None => return Err(DataError::Unpaired { path: image, what: "mask (a PNG file)", place: masks }),
        }
    }
    match drawn.pop_first() {
        Some((_, mask)) => Err(DataError::Unpaired { path: mask, what: "image", place: images }),
        None => Ok(pairs),
    }
}

/// The sub-folder that is a part: `train` or `training`; the first of `test`, `testing`, `val`, `valid` and `validation`.
fn part(folder: &Path, split: Split) -> Result<PathBuf, DataError> {
    let mut parts = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(DataError::io("list", folder))? {
        let entry = entry.map_err(DataError::io("list", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if part_of(&name) == Some(split) && entry.path().is_dir() {
            let place = TEST_FOLDERS.iter().position(|test| *test == name.to_ascii_lowercase());
            parts.push((place, entry.path()));
        }
    }
    parts.sort();
    parts.into_iter().next().map(|(_, path)| path).ok_or_else(|| DataError::NoImages {
        path: folder.to_owned(),
        hint: match split {
            Split::Train => "a folder `train` was looked for in it".to_owned(),
            Split::Test => "a folder `test` or `val` was looked for in it".to_owned(),
        },
    })
}

/// The files of a folder that `is_one`, by their names without ending. Names that begin with a dot are passed over.
fn by_stem(
    folder: &Path,
    is_one: impl Fn(&Path) -> bool,
) -> Result<BTreeMap<std::ffi::OsString, PathBuf>, DataError> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(DataError::io("list", folder))? {
        let path = entry.map_err(DataError::io("list", folder))?.path();
        let (Some(stem), Some(name)) = (path.file_stem(), path.file_name()) else { continue };
        if name.as_encoded_bytes().starts_with(b".") || !is_one(&path) {
            continue;
        }
        if let Some(other) = files.insert(stem.to_owned(), path.clone()) {
            let problem = "has the same name but for its ending, so that its mask cannot be told";
            let source = format!("{} {problem}", other.display()).into();
            return Err(DataError::Decode { path, source });
        }
    }
    Ok(files)
}

fn is_png(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"))
}

#[cfg(test)]
mod tests;
