//! What the encoder's feature maps are worth for telling the class of each pixel, on images with masks: by a linear probe of frozen maps, and
//! by the most similar patches, without training. Mean IoU over the whole set, at the images' own resolution, over the classes that the
//! part to test on has.
//!
//! Beside the encoder stand what needs none: the class that most pixels have, and the mean colour of 4×4 pixels with their place.

use lookalike_base::Matrix;
use lookalike_data::image::augment::resize::reduced;
use lookalike_data::image::augment::{AugmentOptions, Normalization};
use lookalike_data::image::segmented::{Segmented, SegmentedSet};
use lookalike_data::{ImageBatch, Split};
use lookalike_metrics::segmentation::IGNORED;
use lookalike_metrics::{
    Confusion, DenseImage, MetricError, PatchOptions, PatchSearch, SegmentationOptions, SegmentationProbe,
    SegmentationScores,
};
use rayon::prelude::*;
use serde::Serialize;

use super::{Figure, Score, ScoreEntry, Subject};
use crate::engine::{Tensor, to_host};
use crate::error::LearnError;
use crate::input::Input;
use crate::method::Embedder;
use crate::modality::ArmKind;
use crate::module::Pass;
use crate::options::{Options, Range, SOME, Value, refuse};

crate::options! {
    /// What a recipe says of it.
    pub struct MapOptions {
        /// Sets of images with masks on which feature maps are scored: `nuclei`, `coco-mini` (the 21 classes of VOC), `coco-mini-person`, or a
        /// folder below `data.root`, see [data sets](data.md).
        segmentation: Option<Vec<String>> = Value::Absent("none"), Range::Texts("names of sets, or paths below `data.root`");
        /// The stage of a residual network whose maps are read, from 1 on.
        segmentation_stage: Option<usize> = Value::Absent("the last whose cells are at most 8 pixels wide, else the first"), Range::Integer { least: 1, most: 4 };
        /// Longest side of an image in pixels as the encoder sees it: larger ones are reduced. Scores are of the images as they are.
        segmentation_size: usize = Value::Integer(512), Range::Integer { least: 16, most: 4096 };
        /// Epochs of the probe, for each learning rate it tries.
        segmentation_epochs: usize = Value::Integer(40), SOME;
        /// Patches that are asked for the class of another (Balažević et al. 2023: 30).
        segmentation_neighbors: usize = Value::Integer(30), SOME;
        /// Patches that are kept to be asked, drawn from all.
        segmentation_patches: usize = Value::Integer(10_240), Range::Integer { least: 1, most: 1 << 24 };
    }
}

const ARMS: &[ArmKind] = &[ArmKind::Raw, ArmKind::Untrained, ArmKind::Trained, ArmKind::Best];

/// Segmentation in a registry.
pub const ENTRY: ScoreEntry = ScoreEntry {
    kind: "segmentation",
    about: "score of feature maps",
    keys: MapOptions::KEYS,
    modalities: &[("image", ARMS)],
    circumstances: &["map_stage", "map_patches", "map_neighbors", "map_size", "map_epochs"],
    of_parts: false,
    ends_training: false,
    measure,
};

/// Values of maps to learn from that are held at most, 1 GiB: of images beyond them some are drawn.
const MOST_VALUES: usize = 1 << 28;

/// Values of pixels at most in a batch.
const MOST_PIXELS: usize = 1 << 23;

/// Images that wait to be encoded with others of their size, at most, and bytes of their masks.
const WAITING: (usize, usize) = (64, 1 << 27);

/// Images that are read at a time.
const READ: usize = 16;

/// Side of a patch that needs no encoder, in pixels.
const PATCH: usize = 4;

/// Opens the sets that a recipe names.
///
/// # Errors
/// As [`SegmentedSet::open`].
pub fn open(settings: &crate::options::Settings) -> Result<Vec<SegmentedSet>, LearnError> {
    let names = settings.texts("evaluate.segmentation");
    let root = settings.text("data.root").unwrap_or(".");
    let mut sets: Vec<SegmentedSet> = Vec::new();
    for name in &names {
        let set = SegmentedSet::open(name, root.as_ref())?;
        if sets.iter().any(|other| other.name() == set.name()) {
            return Err(refuse("evaluate.segmentation", format!("two sets are called `{}`", set.name())));
        }
        sets.push(set);
    }
    Ok(sets)
}

fn measure(subject: &Subject<'_>) -> Result<Vec<Figure>, LearnError> {
    let options: MapOptions = subject.settings.read("evaluate")?;
    let (mut figures, mut seen) = (Vec::new(), None);
    for set in subject.modality().segmented() {
        let (of_set, with) = of_set(subject, set, &options)?;
        figures.extend(of_set);
        seen = seen.or(with);
    }
    // Of a network the stage is the same for all sets.
    if let Some(With { stage, patches, neighbors }) = seen.filter(|_| subject.arm.kind == ArmKind::Trained) {
        figures.push(Figure::hidden("map_stage", &stage)?);
        figures.push(Figure::hidden("map_patches", &patches)?);
        figures.push(Figure::hidden("map_neighbors", &neighbors)?);
        figures.push(Figure::hidden("map_size", &options.segmentation_size)?);
        figures.push(Figure::hidden("map_epochs", &options.segmentation_epochs)?);
    }
    Ok(figures)
}

/// With what scores were measured.
struct With {
    stage: usize,
    /// Patches that were kept, and how many of them were asked.
    patches: usize,
    neighbors: usize,
}

fn of_set(
    subject: &Subject<'_>,
    set: &SegmentedSet,
    options: &MapOptions,
) -> Result<(Vec<Figure>, Option<With>), LearnError> {
    let views: AugmentOptions = subject.settings.parse("augment")?.unwrap_or_default();
    let [view, _] = views.validate().map_err(|error| refuse("augment", error.to_string()))?;
    let mut mapper = Mapper {
        subject,
        set,
        network: subject.network(),
        normalization: view.normalization(),
        stage: options.segmentation_stage,
        size: options.segmentation_size,
    };
    let (learned, drawn) = match mapper.train() {
        Ok(learned) => learned,
        Err(LearnError::Metrics(error)) => {
            let score = Score::of(Err(error))?;
            let title = format!("{}, mean IoU: {}", set.name(), subject.arm.title);
            let key = subject.key(&format!("segmentation_{}", set.name()));
            return Ok((vec![Figure::new(key, &score, title, score.share())?], None));
        }
        Err(error) => return Err(error),
    };
    let images: Vec<DenseImage<'_>> = learned.iter().map(Dense::image).collect();
    let classes = set.classes().len();
    let probe = fit(subject, &images, classes, options)?;
    let patches = PatchOptions {
        neighbors: options.segmentation_neighbors,
        kept: options.segmentation_patches,
        seed: subject.seed,
        ..PatchOptions::default()
    };
    let search = PatchSearch::new(&images, classes, &patches);
    let raw = subject.arm.kind == ArmKind::Raw;
    let majority = raw.then(|| majority(&images, classes));
    let tested = mapper.test(probe.as_ref().ok(), search.as_ref().ok(), majority)?;

    let mut figures = Vec::new();
    let named = Named { subject, set, drawn };
    if let Some(table) = &tested.majority {
        let title = format!("{}, mean IoU: the class of most pixels", set.name());
        figures.extend(named.figures("segmentation", Some("majority"), &title, table.scores())?);
    }
    let kind = if raw { "colour and place of pixels" } else { &subject.arm.title };
    let arm = raw.then_some("pixels");
    let stage = mapper.stage.map_or_else(String::new, |stage| format!(" (stage {stage})"));
    let title = format!("{}, mean IoU of a linear probe{stage}{}: {kind}", set.name(), named.drawn());
    let scores = probe.as_ref().map_err(Clone::clone).and_then(|_| tested.probe.scores());
    figures.extend(named.figures("segmentation", arm, &title, scores)?);
    let asked = search.as_ref().map_or(patches.neighbors, PatchSearch::neighbors);
    let with = format!("(k = {asked}, t = {})", patches.temperature);
    let title = format!("{}, mean IoU by similar patches {with}: {kind}", set.name());
    let scores = search.as_ref().map_err(Clone::clone).and_then(|_| tested.search.scores());
    figures.extend(named.figures("patches", arm, &title, scores)?);
    if let Ok(probe) = &probe {
        figures.push(Figure::hidden(named.key("segmentation", arm, "_rate"), &probe.rate)?);
        if probe.rate_at_edge {
            let note = format!(
                "{}: the probe's rate {} is the least or the greatest on offer: {kind}",
                set.name(),
                probe.rate
            );
            figures.push(Figure::shown("note", note));
        }
    }
    let with = mapper.stage.zip(search.as_ref().ok()).map(|(stage, search)| With {
        stage,
        patches: search.len(),
        neighbors: search.neighbors(),
    });
    Ok((figures, with))
}

/// Trains the probe, showing its epochs.
fn fit(
    subject: &Subject<'_>,
    images: &[DenseImage<'_>],
    classes: usize,
    options: &MapOptions,
) -> Result<Result<SegmentationProbe, MetricError>, LearnError> {
    let options = SegmentationOptions {
        epochs: options.segmentation_epochs,
        seed: subject.seed,
        ..SegmentationOptions::default()
    };
    let title = format!("segmentation probe: {}", subject.arm.title);
    subject.watched(options.total_epochs(), &title, |watch| {
        match SegmentationProbe::fit(images, classes, &options, watch) {
            Err(MetricError::Cancelled) => Err(LearnError::Cancelled),
            result => Ok(result),
        }
    })
}

/// The class that most pixels have.
fn majority(images: &[DenseImage<'_>], classes: usize) -> u8 {
    let mut counts = vec![0_u64; classes];
    for class in images.iter().flat_map(|image| image.truth).filter(|class| **class != IGNORED) {
        counts[usize::from(*class)] += 1;
    }
    let more = |best: usize, class: usize| if counts[class] > counts[best] { class } else { best };
    (0..classes).reduce(more).unwrap_or(0) as u8
}

/// How scores are called.
struct Named<'a> {
    subject: &'a Subject<'a>,
    set: &'a SegmentedSet,
    /// How many images are learned from, where not all are.
    drawn: Option<usize>,
}

/// The IoU of a class; none where no pixel to test on is of it.
#[derive(Serialize)]
struct ClassIou<'a> {
    class: &'a str,
    iou: Option<f64>,
}

impl Named<'_> {
    fn drawn(&self) -> String {
        self.drawn.map_or_else(String::new, |drawn| format!(" on {drawn} images"))
    }

    /// A name in JSON.
    fn key(&self, score: &str, arm: Option<&str>, end: &str) -> String {
        let name = format!("{score}_{}{end}", self.set.name());
        arm.map_or_else(|| self.subject.key(&name), |arm| format!("{name}_{arm}"))
    }

    /// The scores of one way to tell classes, which in JSON begin with `score`, the name of the set, and where the arm has several `arm`.
    fn figures(
        &self,
        score: &str,
        arm: Option<&str>,
        title: &str,
        scores: Result<SegmentationScores, MetricError>,
    ) -> Result<Vec<Figure>, LearnError> {
        let name = |end: &str| self.key(score, arm, end);
        let mean = Score::of(scores.as_ref().map(|scores| scores.mean_iou).map_err(Clone::clone))?;
        let Ok(scores) = scores else { return Ok(vec![Figure::new(name(""), &mean, title, mean.share())?]) };
        let classes = self.set.classes().iter().zip(&scores.iou);
        let by_class: Vec<ClassIou<'_>> = classes.map(|(class, iou)| ClassIou { class, iou: *iou }).collect();
        let absent = scores.iou.iter().filter(|iou| iou.is_none()).count();
        let beside = match absent {
            0 => String::new(),
            _ => format!(", of {} of {} classes", scores.iou.len() - absent, scores.iou.len()),
        };
        let [accuracy, of_classes] = [scores.accuracy, scores.mean_accuracy].map(Score::Value);
        Ok(vec![
            Figure::new(name(""), &mean, title, mean.share() + &beside)?,
            Figure::hidden(name("_by_class"), &by_class)?,
            Figure::hidden(name("_pixel_accuracy"), &accuracy)?,
            Figure::hidden(name("_mean_accuracy"), &of_classes)?,
        ])
    }
}

/// The cells of an image, and the classes of its pixels.
struct Dense {
    cells: Matrix,
    grid: [usize; 2],
    truth: Vec<u8>,
    size: [usize; 2],
}

impl Dense {
    fn image(&self) -> DenseImage<'_> {
        DenseImage { cells: self.cells.rows(), grid: self.grid, truth: &self.truth, size: self.size }
    }
}

/// An image as the encoder sees it.
struct Reduced {
    /// Red, green and blue.
    planes: Vec<u8>,
    /// Height and width of these.
    seen: [usize; 2],
    truth: Vec<u8>,
    /// Height and width of the mask.
    size: [usize; 2],
}

/// What the part to test on came to.
struct Tested {
    probe: Confusion,
    search: Confusion,
    majority: Option<Confusion>,
}

/// Makes the cells of images.
struct Mapper<'a> {
    subject: &'a Subject<'a>,
    set: &'a SegmentedSet,
    /// `None` where no encoder is needed.
    network: Option<Box<dyn Embedder>>,
    normalization: Normalization,
    /// The stage whose maps are read; chosen by the first image where it is not given.
    stage: Option<usize>,
    size: usize,
}

impl Mapper<'_> {
    /// The images to learn from: as many as fit, and how many these are where that is not all.
    fn train(&mut self) -> Result<(Vec<Dense>, Option<usize>), LearnError> {
        let count = self.set.len(Split::Train);
        let order = self.subject.seed.stream("segmentation images", 0, 0, 0).permutation(count as u32);
        let (mut kept, mut values) = (Vec::new(), 0);
        self.each(Split::Train, &order, &mut |dense| {
            values += dense.cells.len() * dense.cells.columns();
            let fits = values <= MOST_VALUES || kept.is_empty();
            if fits {
                kept.push(dense);
            }
            Ok(fits)
        })?;
        let drawn = (kept.len() < count).then_some(kept.len());
        Ok((kept, drawn))
    }

    /// Compares what is said of the part to test on with the truth.
    fn test(
        &mut self,
        probe: Option<&SegmentationProbe>,
        search: Option<&PatchSearch>,
        majority: Option<u8>,
    ) -> Result<Tested, LearnError> {
        let classes = self.set.classes().len();
        let table = || Confusion::new(classes);
        let mut tested =
            Tested { probe: table()?, search: table()?, majority: majority.map(|_| table()).transpose()? };
        let cancellation = self.subject.cancellation().clone();
        let order: Vec<u32> = (0..self.set.len(Split::Test) as u32).collect();
        self.each(Split::Test, &order, &mut |dense| {
            let DenseImage { cells, grid, truth, size } = dense.image();
            if let Some(probe) = probe {
                tested.probe.add(truth, &probe.predict(cells, grid, size)?)?;
            }
            if let Some(search) = search {
                let found = search.predict(cells, grid, size, &|| cancellation.is_cancelled());
                let found = found.map_err(|error| match error {
                    MetricError::Cancelled => LearnError::Cancelled,
                    error => error.into(),
                })?;
                tested.search.add(truth, &found)?;
            }
            if let Some((class, table)) = majority.zip(tested.majority.as_mut()) {
                table.add(truth, &vec![class; truth.len()])?;
            }
            Ok(true)
        })?;
        Ok(tested)
    }

    /// Hands the cells of these images to `take`, until it wants no more.
    fn each(
        &mut self,
        split: Split,
        order: &[u32],
        take: &mut dyn FnMut(Dense) -> Result<bool, LearnError>,
    ) -> Result<(), LearnError> {
        let title = format!("maps of {}, {}: {}", self.set.name(), split.name(), self.subject.arm.title);
        let subject = self.subject;
        subject.watched(order.len() as u64, &title, |watch| {
            let (set, most) = (self.set, self.size);
            let mut waiting: Vec<Reduced> = Vec::new();
            let mut pieces = order.chunks(READ).peekable();
            while let Some(piece) = pieces.next() {
                let read = piece.par_iter().map(|index| see(set, split, *index as usize, most));
                waiting.extend(read.collect::<Result<Vec<Reduced>, LearnError>>()?);
                let masks: usize = waiting.iter().map(|image| image.truth.len()).sum();
                let goes_on = waiting.len() < WAITING.0 && masks < WAITING.1 && pieces.peek().is_some();
                while !goes_on && !waiting.is_empty() {
                    if watch.is_cancelled() {
                        return Err(LearnError::Cancelled);
                    }
                    let batch = of_one_size(&mut waiting);
                    watch.progress.advance(batch.len() as u64);
                    for dense in self.dense(batch)? {
                        if !take(dense)? {
                            return Ok(());
                        }
                    }
                }
            }
            Ok(())
        })
    }

    /// The cells of images of one size.
    fn dense(&mut self, images: Vec<Reduced>) -> Result<Vec<Dense>, LearnError> {
        let (cells, grid) = if self.network.is_some() { self.encoded(&images)? } else { colors(&images) };
        let dense =
            |(cells, Reduced { truth, size, .. }): (Matrix, Reduced)| Dense { cells, grid, truth, size };
        Ok(cells.into_iter().zip(images).map(dense).collect())
    }

    /// What the encoder makes of them: one matrix of cells an image, and their grid.
    fn encoded(&mut self, images: &[Reduced]) -> Result<(Vec<Matrix>, [usize; 2]), LearnError> {
        let [height, width] = images[0].seen;
        let row = 3 * height * width;
        let mut values = vec![0.0; images.len() * row];
        for (values, image) in values.chunks_exact_mut(row).zip(images) {
            self.normalization.apply(&image.planes, values);
        }
        let input = Input::new(ImageBatch { values, shape: [images.len(), 3, height, width] });
        let Some(network) = &mut self.network else { return Ok((Vec::new(), [0; 2])) };
        let maps = network.maps(&input, &mut Pass::evaluation())?;
        let stage = *self.stage.get_or_insert_with(|| chosen(&maps, width));
        let map = maps.get(stage - 1).cloned().ok_or_else(|| {
            let reason = match maps.len() {
                0 => "this encoder gives no feature maps; residual networks do".to_owned(),
                stages => format!("segmentation_stage is {stage}, and this encoder has {stages} stages"),
            };
            LearnError::Metrics(MetricError::Undefined { score: "mean IoU", reason })
        })?;
        cells_of(map)
    }
}

/// Reads an image, reduced where it is large. So is the mask of one to learn from, but not of one to score.
fn see(set: &SegmentedSet, split: Split, index: usize, most: usize) -> Result<Reduced, LearnError> {
    let Segmented { image, mut truth } = set.read(split, index)?;
    let (planes, seen) = reduced(&image, most);
    let mut size = [image.height as usize, image.width as usize];
    if split == Split::Train && seen != size {
        (truth, size) = (nearest(&truth, size, seen), seen);
    }
    Ok(Reduced { planes, seen, truth, size })
}

/// The last of `maps`, of images of that width, whose cells are at most 8 pixels wide; else the first. From 1 on.
fn chosen(maps: &[Tensor<4>], width: usize) -> usize {
    const WIDEST: usize = 8;
    maps.iter().rposition(|map| width <= WIDEST * map.dims()[3]).map_or(1, |place| place + 1)
}

/// Takes of images the first and as many of its size as make a batch.
fn of_one_size(images: &mut Vec<Reduced>) -> Vec<Reduced> {
    let first = images[0].seen;
    // The kernels take images by sixteen.
    let most = (MOST_PIXELS / (3 * first[0] * first[1]) / 16 * 16).max(16);
    let (mut batch, mut rest) = (Vec::new(), Vec::new());
    for image in images.drain(..) {
        let goes = image.seen == first && batch.len() < most;
        if goes { batch.push(image) } else { rest.push(image) }
    }
    *images = rest;
    batch
}

/// A mask of another height and width, each pixel's class being that of the pixel at its centre.
fn nearest(truth: &[u8], from: [usize; 2], to: [usize; 2]) -> Vec<u8> {
    let place = |at: usize, axis: usize| (2 * at + 1) * from[axis] / (2 * to[axis]);
    (0..to[0]).flat_map(|y| (0..to[1]).map(move |x| truth[place(y, 0) * from[1] + place(x, 1)])).collect()
}

/// The cells of each image of `map`.
///
/// # Shapes
/// `[N, C, H, W]` → N of `[H · W, C]`.
fn cells_of(map: Tensor<4>) -> Result<(Vec<Matrix>, [usize; 2]), LearnError> {
    let [count, channels, height, width] = map.dims();
    let cells = height * width;
    let values = to_host(map.reshape([count, channels, cells]).permute([0, 2, 1]));
    let matrices = values.chunks_exact(cells * channels).map(|values| Matrix::new(values.to_vec(), channels));
    Ok((matrices.collect::<Result<_, _>>()?, [height, width]))
}

/// The mean colour of each patch, and where it lies: values from −1 to 1.
fn colors(images: &[Reduced]) -> (Vec<Matrix>, [usize; 2]) {
    let [height, width] = images[0].seen;
    let grid = [height.div_ceil(PATCH), width.div_ceil(PATCH)];
    let place = |at: usize, of: usize| 2.0 * (at as f32 + 0.5) / of as f32 - 1.0;
    let of_image = |image: &Reduced| {
        let mut values = Vec::with_capacity(5 * grid[0] * grid[1]);
        for row in 0..grid[0] {
            for column in 0..grid[1] {
                values.extend(color(image, [row, column]));
                values.extend([place(row, grid[0]), place(column, grid[1])]);
            }
        }
        // Five values a cell.
        Matrix::new(values, 5).unwrap_or_else(|error| unreachable!("{error}"))
    };
    (images.iter().map(of_image).collect(), grid)
}

/// The mean levels of a patch, black being −1 and white 1.
fn color(image: &Reduced, [row, column]: [usize; 2]) -> [f32; 3] {
    let [height, width] = image.seen;
    let rows = row * PATCH..((row + 1) * PATCH).min(height);
    let columns = column * PATCH..((column + 1) * PATCH).min(width);
    let pixels = (rows.len() * columns.len()) as f32;
    let mut planes = image.planes.chunks_exact(height * width);
    [(); 3].map(|()| {
        let plane = planes.next().unwrap_or_default();
        let levels = rows.clone().flat_map(|y| &plane[y * width..][columns.clone()]);
        levels.map(|level| f32::from(*level)).sum::<f32>() / pixels / 127.5 - 1.0
    })
}
