//! What an evaluation holds of the pixels of images: no more of many large ones than of few small ones.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]
#![expect(
    unsafe_code,
    reason = "an allocator that counts can only be written so; it passes everything on to the system's"
)]

mod common;
#[path = "common/counting.rs"]
mod counting;

use std::fs;
use std::path::Path;

use common::{Mlp, SEED, cpu};
use counting::counted;
use lookalike_base::progress::Cancellation;
use lookalike_base::{Alone, Seed, Silent};
use lookalike_learn::Registry;
use lookalike_learn::evaluate::embed::Embedding;
use lookalike_learn::evaluate::{Evaluating, Evaluation, Measured, knn};
use lookalike_learn::head::{HeadNorm, Projection, ProjectionOptions};
use lookalike_learn::method::{Method, Network};
use lookalike_learn::modality::{ArmKind, Measure, Opening, Scope, image};
use lookalike_learn::options::defaults;
use lookalike_learn::recipe::Recipe;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

const MEGABYTE: usize = 1 << 20;

/// A portable pixmap of one colour.
fn picture(color: [u8; 3]) -> Vec<u8> {
    [&b"P6 2 2 255\n"[..], &color, &color, &color, &color].concat()
}

/// `images` of either class in both parts.
fn folder(root: &Path, images: usize) {
    for part in ["train", "test"] {
        for (class, color) in [("red", [250, 9, 9]), ("blue", [9, 9, 250])] {
            let place = root.join(part).join(class);
            fs::create_dir_all(&place).unwrap();
            (0..images / 2)
                .for_each(|image| fs::write(place.join(format!("{image}.ppm")), picture(color)).unwrap());
        }
    }
}

/// kNN accuracy of pixels at this size of views.
fn of_pixels(root: &Path, size: usize) -> Evaluation {
    let text =
        format!("[data]\nname = \"folder\"\nroot = \"{}\"\n[augment]\nsize = {size}\n", root.display());
    let registry = Registry::standard();
    let recipe =
        Recipe::parse(&text, Path::new("test.toml"), &[], &registry).unwrap().validate(&registry).unwrap();
    let cancellation = Cancellation::new();
    let opening = Opening {
        cancellation: &cancellation,
        run: None,
        encoder_of: None,
        settings: recipe.settings(),
        columns: recipe.columns(),
        display: &Silent,
        seed: Seed(0),
        loader: recipe.loader(),
    };
    let (modality, _) = (image::ENTRY.open)(&opening).unwrap();
    let encoder = Mlp::new(&[3, 4], 0.0, &mut SEED.stream("encoder", 0, 0, 0), &cpu());
    let options = ProjectionOptions { layers: 1, width: 0, dimension: 2, batch_norm: HeadNorm::None };
    let head = Projection::new(4, &options, &mut SEED.stream("projection", 0, 0, 0), &cpu());
    let network = common::simclr(Network::new(Box::new(encoder), head), 0.2).kept();
    let evaluating = Evaluating {
        modality: &*modality,
        measures: &[Measure { score: "knn", arms: &[ArmKind::Raw] }],
        scores: &[knn::ENTRY],
        columns: &["plain"],
        view_columns: &[],
        settings: recipe.settings(),
        embedding: Embedding {
            modality: &*modality,
            columns: &["plain"],
            at_once: false,
            options: defaults(),
            seed: Seed(0),
            loader: recipe.loader(),
            ranks: &Alone,
        },
        display: &Silent,
        cancellation: &cancellation,
        seed: Seed(0),
        scope: Scope::FULL,
    };
    let measured = Measured { network: &*network, settled: false, best: None, plan: &[], own_data: true };
    evaluating.run(&measured, &|| panic!("no encoder is asked for")).unwrap()
}

#[test]
fn the_pixels_of_many_large_images_are_reduced_and_none_are_read_where_nothing_can_be_scored() {
    let folder_of = tempfile::tempdir().unwrap();
    let root = folder_of.path();
    folder(root, 1000);
    let title = |evaluation: &Evaluation| evaluation.rows().last().unwrap().0.to_owned();
    // As floats a part at 224 pixels is 574 MB. What is held are 2²⁵ values, 128 MiB, twice while they are laid out.
    let (evaluation, _, most) = counted(|| of_pixels(root, 224));
    assert!(title(&evaluation).ends_with("pixels, reduced to 105×105"), "{}", title(&evaluation));
    assert_eq!(evaluation.number("knn_pixels"), Some(1.0));
    assert!(most < 400 * MEGABYTE, "{} MiB", most / MEGABYTE);
    // Of small ones nothing is reduced.
    let evaluation = of_pixels(root, 32);
    assert!(title(&evaluation).ends_with(": pixels"), "{}", title(&evaluation));
    assert_eq!(evaluation.number("knn_pixels"), Some(1.0));
    // With one class there is nothing to tell apart: the files are not opened, and may be damaged.
    fs::remove_dir_all(root.join("train/blue")).unwrap();
    fs::remove_dir_all(root.join("test/blue")).unwrap();
    for part in ["train", "test"] {
        fs::write(root.join(part).join("red/0.ppm"), b"").unwrap();
    }
    let (evaluation, _, most) = counted(|| of_pixels(root, 224));
    assert!(evaluation.rows().any(|(_, text)| text.contains("all train rows are of one class")));
    assert!(most < 20 * MEGABYTE, "{} MiB", most / MEGABYTE);
}
