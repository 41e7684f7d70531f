//! Writes views of the first images of a data set, and the images themselves, as rows: what
//! `benchmarks/augmentation/variance.py` compares.
//!
//! `cargo run --release --features images --example augment_views -- NAME ROOT IMAGES VIEWS RECIPE.toml OUT [KEY=VALUE …]`
//! takes `[augment]` of the recipe, with values replaced, and writes `OUT/images.npy` and `OUT/views.npy`: all views of the first
//! image, then those of the second, and so on; levels as the encoder sees them.

use std::error::Error;
use std::path::Path;

use lookalike_base::progress::Silent;
use lookalike_base::{Rows, Seed, npy};
use lookalike_data::image::augment::{AugmentOptions, Augmentation, Scratch};
use lookalike_data::{DataOptions, ImageDataset, Split, open};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, root, images, views, recipe, out, settings @ ..] = &arguments[..] else {
        return Err("give NAME ROOT IMAGES VIEWS RECIPE.toml OUT and settings".into());
    };
    let [augmentation, _] = read_options(recipe, settings)?.validate()?;
    let options =
        DataOptions { name: name.clone(), root: Some(root.into()), skip_corrupt: false, test_share: None };
    let (dataset, _) = open(&options, Split::Train, &Silent)?;
    let (images, views): (u32, u64) = (images.parse()?, views.parse()?);
    let images = images.min(dataset.len() as u32);

    let plain = Augmentation::plain(augmentation.size(), augmentation.normalization());
    write(&Path::new(out).join("images.npy"), &*dataset, images, 1, &plain)?;
    write(&Path::new(out).join("views.npy"), &*dataset, images, views, &augmentation)
}

/// The table `[augment]` of a recipe; a setting without a value takes the key away.
fn read_options(recipe: &str, settings: &[String]) -> Result<AugmentOptions, Box<dyn Error>> {
    let recipe: toml::Table = std::fs::read_to_string(recipe)?.parse()?;
    let mut table = match recipe.get("augment") {
        Some(toml::Value::Table(table)) => table.clone(),
        _ => toml::Table::new(),
    };
    for setting in settings {
        let (key, value) = setting.split_once('=').ok_or_else(|| format!("{setting} is not KEY=VALUE"))?;
        table.remove(key);
        if !value.is_empty() {
            table.extend(format!("{key} = {value}").parse::<toml::Table>()?);
        }
    }
    Ok(table.try_into()?)
}

fn write(
    path: &Path,
    dataset: &dyn ImageDataset,
    images: u32,
    views: u64,
    augmentation: &Augmentation,
) -> Result<(), Box<dyn Error>> {
    let length = 3 * augmentation.size().pow(2);
    let mut values = vec![0.0; images as usize * views as usize * length];
    let mut scratch = Scratch::default();
    for (row, out) in values.chunks_exact_mut(length).enumerate() {
        let (image, view) = ((row as u64 / views) as u32, row as u64 % views);
        let mut stream = Seed(0).stream("augment", view, 0, image.into());
        augmentation.apply(&dataset.image(image)?, &mut stream, &mut scratch, out);
    }
    npy::write_rows(path, Rows::new(&values, length)?)?;
    Ok(())
}
