//! Images: one part to learn from, another to measure on.

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;

use lookalike_base::progress::Cancellation;
use lookalike_base::{Matrix, Seed};
use lookalike_data::image::augment::{AugmentOptions, Augmentation};
use lookalike_data::image::classes::ClassList;
use lookalike_data::image::joined::Joined;
use lookalike_data::image::registry::Keep;
use lookalike_data::image::segmented::SegmentedSet;
use lookalike_data::image::subset;
use lookalike_data::loader::{BatchRequest, BatchSource, LoaderOptions};
use lookalike_data::{BothParts, DataOptions, Image, ImageDataset, ImageViews, PlainImages, Shown, Split};
use lookalike_metrics::KnnOptions;
use lookalike_sampling::{DataSets, SetOrder, UNLABELLED};

use super::{
    ArmKind, Baseline, BaselineRows, Labels, Measure, Modality, ModalityEntry, Opened, Opening, Part,
    ReadRows, Scope, Section, no_column, one_thread,
};
use crate::error::LearnError;
use crate::evaluate::knn::NeighborOptions;
use crate::evaluate::{NeighborTask, Task, TaskKind, segmentation};
use crate::input::{Source, of_views, plain};
use crate::options::{Bounds, FLAG, Key, Range, SHARE, Settings, Value, refuse};

const PAIR: Range =
    Range::Numbers(2, Bounds { least: (0.0, false), most: (f64::MAX, true), words: "above 0" });
const CHANNELS: Range =
    Range::Numbers(3, Bounds { least: (f64::MIN, true), most: (f64::MAX, true), words: "any" });
const STRENGTHS: Range =
    Range::Numbers(4, Bounds { least: (0.0, true), most: (f64::MAX, true), words: "0 or more" });
const LEVELS: Range =
    Range::Numbers(3, Bounds { least: (0.0, true), most: (255.0, true), words: "whole, 0 … 255" });
const PRESET: Value = Value::Absent("the preset's");

/// A key of `[augment]`.
const fn key(name: &'static str, default: Value, range: Range, about: &'static str) -> Key {
    Key { name, default, range, about }
}

/// Keys of `[augment]` that both views have.
const VIEW: [Key; 22] = [
    key(
        "preset",
        Value::Absent("`simclr-cifar`"),
        Range::OneOf(&["simclr-cifar", "simclr", "moco-v2", "none"]),
        "where to start, see below",
    ),
    key("size", PRESET, Range::Integer { least: 1, most: 4096 }, "side of a view in pixels"),
    key("crop_scale", PRESET, PAIR, "least and most share of the area that a crop shows, at most 1"),
    key("crop_ratio", Value::Absent("`[3/4, 4/3]`"), PAIR, "least and most width / height of a crop"),
    key("flip", PRESET, SHARE, "probability of a horizontal flip"),
    key(
        "strong",
        Value::Absent("`none`"),
        Range::OneOf(&[
            "none",
            "autoaugment-imagenet",
            "autoaugment-cifar10",
            "autoaugment-svhn",
            "randaugment",
            "trivialaugment",
        ]),
        "the policy whose operations take the place of jitter, grayscale, blur and solarise, see below",
    ),
    key(
        "strong_probability",
        Value::Absent("`1`"),
        SHARE,
        "probability that they do; a view gets either these or those. Where it is 1, keys of those are refused",
    ),
    key(
        "randaugment_operations",
        Value::Absent("`2`"),
        Range::Integer { least: 1, most: 8 },
        "operations of a view, under `strong = \"randaugment\"`",
    ),
    key(
        "randaugment_magnitude",
        Value::Absent("`9`"),
        Range::Integer { least: 0, most: 30 },
        "how strong they are, the same",
    ),
    key(
        "strong_interpolation",
        Value::Absent("`nearest`"),
        Range::OneOf(&["nearest", "bilinear"]),
        "how shear and rotation find what lies between pixels",
    ),
    key(
        "strong_fill",
        Value::Absent("`[0, 0, 0]`"),
        LEVELS,
        "levels of red, green and blue that shear, translation and rotation bring in from outside",
    ),
    key(
        "jitter",
        PRESET,
        STRENGTHS,
        "strengths of brightness, contrast, saturation and hue (at most 0.5 turns)",
    ),
    key("jitter_probability", PRESET, SHARE, "probability of colour jitter, its four parts in random order"),
    key("grayscale", PRESET, SHARE, "probability of a loss of colour"),
    key("blur", PRESET, SHARE, "probability of a Gaussian blur"),
    key("blur_sigma", Value::Absent("`[0.1, 2.0]`"), PAIR, "least and most deviation of the blur in pixels"),
    key(
        "blur_kernel",
        Value::Absent("SimCLR's rule"),
        Range::Free("odd, 3 or more"),
        "length of the blur's kernel; about a tenth of the side, 23 at 224 pixels. Views of less than 20 pixels must give it \
         to be blurred",
    ),
    key("solarize", Value::Absent("`0`"), SHARE, "probability of an inversion of the bright levels"),
    key(
        "solarize_threshold",
        Value::Absent("`128`"),
        Range::Integer { least: 0, most: 255 },
        "the first level that is inverted",
    ),
    key("mean", PRESET, CHANNELS, "normalisation of red, green and blue, white being 1: what is subtracted"),
    key("std", PRESET, CHANNELS, "the same: what is divided by"),
    key(
        "second_view",
        Value::Absent("the first view's"),
        Range::Free("table, the same keys"),
        "what differs for the second view; with a `preset` of its own it starts there, else with the first view's values. Both \
         views have one `size`",
    ),
];

const ALL: &[ArmKind] =
    &[ArmKind::Raw, ArmKind::Untrained, ArmKind::Trained, ArmKind::TrainingStatistics, ArmKind::Best];
const TRAINED: &[ArmKind] = &[ArmKind::Trained];
/// What a linear probe is trained on.
const PROBED: &[ArmKind] = &[ArmKind::Untrained, ArmKind::Trained];

/// Images in a registry.
pub const ENTRY: ModalityEntry = ModalityEntry {
    kind: "image",
    about: "`glyphs`, `cifar10`, `cifar100`, `mnist`, `fashion-mnist`, `folder`; see [data sets](data.md)",
    data: &[
        key(
            "skip_corrupt",
            Value::Flag(false),
            FLAG,
            "`folder` only: decode every file when the set is opened and leave out, counted and named, those that cannot be; \
             otherwise the first one stops the run",
        ),
        key(
            "test_share",
            Value::Absent("none"),
            Range::Number(Bounds { least: (0.0, false), most: (1.0, false), words: "above 0, below 1" }),
            "`folder` without a part to test on: share of the images of each class that is split off for testing, the same for every \
             `seed`",
        ),
        key(
            "classes",
            Value::Absent("all"),
            Range::TextOrTexts(
                "`imagenet100-cmc`, `imagenet100-ambityga`, a file, or list of names of classes",
            ),
            "classes whose images are taken, numbered in this order; all others are left out. A file, relative to the current folder, has one a line, see \
             [data sets](data.md)",
        ),
        key(
            "share",
            Value::Absent("all"),
            Range::Number(Bounds { least: (0.0, false), most: (1.0, false), words: "above 0, below 1" }),
            "share of the images of each class that are learned from, the same for every `seed`: 0.01 and 0.1 are the usual few labels. All images to \
             test on stay, and under `together` are learned from too",
        ),
        key(
            "together",
            Value::Absent("`false`"),
            FLAG,
            "whether images to test on are learned from too, as clustering is published; accuracies are then of images that were learned from",
        ),
        key(
            "unlabelled",
            Value::Absent("`mixed`"),
            Range::OneOf(&["mixed", "apart"]),
            "where images without a label are in an epoch: among all others, or in batches of their own before all others, as in the two passes \
             of Contrastive Clustering over STL-10 (`method.columns = \"labelled\"`)",
        ),
        key(
            "development",
            Value::Absent("none"),
            Range::Number(Bounds { least: (0.0, false), most: (1.0, false), words: "above 0, below 1" }),
            "share of the training images of each class that is cut off, the same for every `seed`: by the accuracy of its kNN the run is judged every \
             `train.evaluate_every` steps. Never the part to test on",
        ),
    ],
    sections: &[Section { name: "augment", keys: &VIEW, columns: &[] }],
    methods: &[],
    scores: &[
        Measure { score: "premise", arms: TRAINED },
        Measure { score: "knn", arms: ALL },
        Measure { score: "linear", arms: PROBED },
        Measure { score: "alignment", arms: TRAINED },
        Measure { score: "proxy", arms: TRAINED },
        Measure { score: "geometry", arms: TRAINED },
        Measure { score: "batches", arms: TRAINED },
    ],
    after_training: Scope { without: &["linear"], ..Scope::FULL },
    embedded_at_once: false,
    divisible: true,
    finds_paths: false,
    check: |settings| views(settings).map(|_| ()),
    open,
};

/// Both parts of a data set of images, and how views are made.
struct Images {
    train: Arc<dyn ImageDataset>,
    test: Arc<dyn ImageDataset>,
    /// What was split off for testing, and for judging the run.
    note: Option<String>,
    /// By what a run is judged while it trains.
    development: Option<Task>,
    /// On what feature maps are scored.
    segmented: Vec<SegmentedSet>,
    /// The images without a label, and those with one, where the first have batches of their own.
    sets: Option<DataSets>,
    /// Whether images to test on are learned from too.
    together: bool,
    /// What they are called beside scores, where classes were taken by a list with a name.
    listed: Option<String>,
    /// Writes which files these are.
    keep: Option<Keep>,
    views: [Augmentation; 2],
    threads: NonZero<usize>,
}

const CLASSES: &str = "data.classes";

/// The images of the classes that `data.classes` names.
fn chosen(
    parts: [Arc<dyn ImageDataset>; 2],
    settings: &Settings,
) -> Result<[Arc<dyn ImageDataset>; 2], LearnError> {
    if settings.value(CLASSES).is_none() {
        return Ok(parts);
    }
    let list = match settings.text(CLASSES) {
        Some(name) => ClassList::named(name, CLASSES)?,
        None => ClassList { name: None, classes: settings.texts(CLASSES) },
    };
    let [train, test] = parts.map(|part| subset::of_classes(&part, &list, CLASSES));
    Ok([Arc::new(train?), Arc::new(test?)])
}

/// What a data set is called where what was learned from it is told: its name, or that of its folder, and the list of classes that were
/// taken of it, where it has a name.
pub(crate) fn data_name(settings: &Settings) -> String {
    let last = |path: &str| Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
    let root = settings.text("data.root").and_then(last);
    let name = settings.text("data.name").unwrap_or_default().to_owned();
    let name = if name == "folder" { root.unwrap_or(name) } else { name };
    match settings.text(CLASSES) {
        Some(list) => format!("{name} ({})", last(list).unwrap_or_else(|| list.to_owned())),
        None => name,
    }
}

/// The file of a run that names its images.
pub(crate) const FILES: &str = "images.json";

fn views(settings: &Settings) -> Result<[Augmentation; 2], LearnError> {
    let options: AugmentOptions = settings.parse("augment")?.unwrap_or_default();
    options.validate().map_err(|error| refuse("augment", error.to_string()))
}

fn open(opening: &Opening<'_>) -> Result<Opened, LearnError> {
    let settings = opening.settings;
    let options = DataOptions {
        name: opening.name().to_owned(),
        root: settings.text("data.root").map(Into::into),
        skip_corrupt: settings.is_set("data.skip_corrupt"),
        test_share: settings.parse("data.test_share")?,
    };
    let BothParts { train, test, warnings, note, keep } = match opening.run {
        Some(run) => lookalike_data::open_kept(&options, &run.join(FILES), opening.display)?,
        None => lookalike_data::open_both(&options, opening.display)?,
    };
    let (views, threads) = (views(settings)?, opening.loader.threads);
    let [train, test] = chosen([train, test], settings)?;
    let share = settings.parse::<f64>("data.share")?;
    let train = match share {
        Some(share) => Arc::new(subset::of_share(&train, share, "data.share")?),
        None => train,
    };
    let together = settings.is_set("data.together");
    let train = if together { Arc::new(Joined::new(train, test.clone())) } else { train };
    let listed = settings.text(CLASSES).map(|_| data_name(settings));
    let segmented = segmentation::open(settings)?;
    let (development, sets) = (None, None);
    let mut images =
        Images { train, test, note, development, segmented, sets, together, listed, keep, views, threads };
    if let Some(share) = settings.parse("data.development")? {
        images.cut_development(share, &settings.read("evaluate")?)?;
    }
    if settings.text("data.unlabelled") == Some("apart") {
        images.set_apart()?;
    }
    Ok((Box::new(images), warnings))
}

impl Images {
    fn dataset(&self, split: Split) -> &Arc<dyn ImageDataset> {
        match split {
            Split::Train => &self.train,
            Split::Test => &self.test,
        }
    }

    /// The images of a part without augmentation, as the encoder sees them.
    fn plain(&self, split: Split) -> PlainImages {
        self.plain_of(self.dataset(split).clone())
    }

    fn plain_of(&self, images: Arc<dyn ImageDataset>) -> PlainImages {
        let [view, _] = &self.views;
        PlainImages::new(images, view.size(), view.normalization(), self.threads)
    }

    /// Cuts a share of the images to learn from off, by which the run is judged.
    fn cut_development(&mut self, share: f64, options: &NeighborOptions) -> Result<(), LearnError> {
        let [rest, cut] = subset::cut(&self.train, share, ("data.development", "development"))?;
        let parts: [Arc<dyn ImageDataset>; 2] = [Arc::new(rest), Arc::new(cut)];
        let labels = parts.each_ref().map(|part| labels_of(&**part));
        if labels.iter().any(|part| part.labels.is_empty()) {
            return Err(refuse("data.development", "judges a run by classes, and these images have none"));
        }
        let NeighborOptions { knn_k: k, knn_temperature: temperature } = *options;
        let classes = labels[0].classes;
        let kind = TaskKind::Neighbors(Arc::new(NeighborTask {
            labels: labels.map(|part| part.labels),
            classes,
            options: KnnOptions { k, temperature },
        }));
        let [fit, judged] = parts.each_ref().map(|part| Part {
            source: plain(self.plain_of(part.clone())),
            instances: part.len(),
            name: part.name(),
        });
        let note =
            format!("{} of the images to learn from are cut off to judge the run by", judged.instances);
        self.note = Some(self.note.take().map_or_else(|| note.clone(), |before| format!("{before}\n{note}")));
        let on = self.listed.as_ref().map_or_else(String::new, |data| format!(" of {data}"));
        let name = format!("kNN accuracy of the development part{on}");
        self.development = Some(Task { name, kind, parts: [fit, judged] });
        [self.train, _] = parts;
        Ok(())
    }

    /// Gives images without a label batches of their own, before those of the others.
    fn set_apart(&mut self) -> Result<(), LearnError> {
        let (ordered, unlabelled) = subset::unlabelled_first(&self.train);
        let sizes = vec![unlabelled, ordered.len() - unlabelled];
        if sizes.contains(&0) {
            let reason = "`apart` needs images with a label and images without one, and here all are alike";
            return Err(refuse("data.unlabelled", reason));
        }
        self.train = Arc::new(ordered);
        self.sets = Some(DataSets { sizes, order: SetOrder::OneByOne });
        Ok(())
    }

    /// The pixels of both parts, reduced where those to test would be too many.
    fn pixels(&self) -> Pixels {
        let [view, _] = &self.views;
        let images = self.test.len().max(1);
        let side = (MOST_PIXELS as f64 / (3 * images) as f64).sqrt() as usize;
        let size = side.clamp(1, view.size());
        let plain =
            |split| PlainImages::new(self.dataset(split).clone(), size, view.normalization(), self.threads);
        Pixels { train: plain(Split::Train), test: plain(Split::Test), size }
    }
}

/// Values of pixels at most that are held, three a pixel: those of 10,000 images of 32 pixels, and a few more. Larger images, or more of
/// them, are reduced.
const MOST_PIXELS: usize = 1 << 25;

/// Values of pixels at most in a batch of an evaluation: 256 images of 104 pixels, 48 of 224.
const MOST_EMBEDDED: usize = 1 << 23;

/// Values of pixels at most that are read at a time.
const PIXELS_AT_A_TIME: usize = 1 << 22;

/// The pixels of both parts, read when a score asks for them.
struct Pixels {
    train: PlainImages,
    test: PlainImages,
    /// Side of an image.
    size: usize,
}

impl ReadRows for Pixels {
    fn read(
        &self,
        split: Split,
        instances: &[u32],
        cancellation: &Cancellation,
        take: &mut dyn FnMut(Matrix) -> Result<(), LearnError>,
    ) -> Result<(), LearnError> {
        let source = match split {
            Split::Train => &self.train,
            Split::Test => &self.test,
        };
        let columns = 3 * self.size * self.size;
        for chunk in instances.chunks((PIXELS_AT_A_TIME / columns).clamp(1, 1024)) {
            if cancellation.is_cancelled() {
                return Err(LearnError::Cancelled);
            }
            let batch = source.batch(&BatchRequest { instances: chunk.to_vec(), epoch: 0, step: 0 })?;
            take(Matrix::new(batch.values, columns)?)?;
        }
        Ok(())
    }
}

/// The labels of a part; images that cannot be read any more have none.
fn labels_of(part: &dyn ImageDataset) -> Labels {
    let label = |index| part.label(index).unwrap_or(UNLABELLED);
    let mut labels: Vec<u32> = (0..part.len() as u32).map(label).collect();
    for index in part.left_out() {
        labels[*index as usize] = UNLABELLED;
    }
    if labels.iter().all(|label| *label == UNLABELLED) {
        labels.clear();
    }
    Labels { labels, classes: part.classes().len() }
}

impl Modality for Images {
    fn name(&self) -> String {
        self.train.name()
    }

    fn instances(&self) -> usize {
        self.train.len()
    }

    /// Red, green and blue.
    fn inputs(&self) -> usize {
        3
    }

    fn fingerprint(&self) -> Result<String, LearnError> {
        Ok(self.train.fingerprint()?)
    }

    fn listed(&self) -> Option<&str> {
        self.listed.as_deref()
    }

    fn note(&self) -> Option<String> {
        self.note.clone()
    }

    /// Which files the images are.
    fn keep(&self, run: &Path) -> Result<(), LearnError> {
        self.keep.as_ref().map_or(Ok(()), |keep| Ok(keep(&run.join(FILES))?))
    }

    fn left_out(&self, split: Split) -> &[u32] {
        self.dataset(split).left_out()
    }

    fn sets(&self) -> Option<DataSets> {
        self.sets.clone()
    }

    fn development(&self) -> Option<&Task> {
        self.development.as_ref()
    }

    fn segmented(&self) -> &[SegmentedSet] {
        &self.segmented
    }

    fn parts(&self) -> &'static [Split] {
        &[Split::Train, Split::Test]
    }

    fn labels(&self, split: Split) -> Labels {
        labels_of(&**self.dataset(split))
    }

    fn instance_name(&self, split: Split, instance: u32) -> Option<String> {
        self.dataset(split).instance_name(instance)
    }

    fn shown(&self, split: Split, instance: u32) -> Result<Option<Shown>, LearnError> {
        let images = self.dataset(split);
        if instance as usize >= images.len() || images.left_out().binary_search(&instance).is_ok() {
            return Ok(None);
        }
        let Image { width, height, pixels } = images.image(instance)?;
        Ok(Some(Shown::Image { width, height, pixels: pixels.into_owned() }))
    }

    fn batches(&self, columns: &[&str], split: Split, seed: Seed) -> Result<Source, LearnError> {
        let views = match columns {
            ["view 1"] => self.views[..1].to_vec(),
            ["view 1", "view 2"] => self.views.to_vec(),
            _ => return Err(no_column(ENTRY.kind, columns)),
        };
        Ok(of_views(ImageViews::new(self.dataset(split).clone(), views, seed, self.threads)))
    }

    fn loader(&self, options: LoaderOptions) -> LoaderOptions {
        one_thread(options)
    }

    /// The kernels take images by sixteen.
    fn most_at_a_time(&self) -> usize {
        let size = self.views[0].size();
        (MOST_EMBEDDED / (3 * size * size) / 16 * 16).max(16)
    }

    fn part(&self, split: Split, columns: &[&str]) -> Result<Part, LearnError> {
        if columns != ["plain"] {
            return Err(no_column(ENTRY.kind, columns));
        }
        let dataset = self.dataset(split);
        Ok(Part { source: plain(self.plain(split)), instances: dataset.len(), name: dataset.name() })
    }

    fn class_names(&self) -> Vec<String> {
        let sets = [&self.train, &self.test];
        sets.into_iter()
            .map(|set| set.classes())
            .find(|classes| !classes.is_empty())
            .unwrap_or_default()
            .to_vec()
    }

    fn tests_what_it_learns(&self) -> bool {
        self.together || self.test.serves_both()
    }

    fn baselines(&self, _: &Cancellation) -> Result<Vec<Baseline>, LearnError> {
        let pixels = self.pixels();
        let title = if pixels.size < self.views[0].size() {
            format!("pixels, reduced to {0}×{0}", pixels.size).into()
        } else {
            "pixels".into()
        };
        Ok(vec![Baseline { name: "pixels", title, rows: Ok(BaselineRows::Read(Box::new(pixels))) }])
    }
}
