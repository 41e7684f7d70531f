//! What TensorBoard shows beside a run's curves: the spectrum, the hardest batches as one picture, and instances for its projector.

use std::fmt::Write;

use image::RgbImage;
use image::imageops::{FilterType, replace, resize};
use lookalike_base::Cancellation;
use lookalike_base::tensorboard::{PREFIX, TensorBoard};
use lookalike_data::Shown;

use crate::album::{Pictures, jpeg, reduced};
use crate::data::{Data, Part};
use crate::error::ReportError;
use crate::page::{contrast, geometry};

/// Instances in the projector at most.
const MOST_POINTS: usize = 5000;
/// Numbers of theirs at most, which are written as text.
const MOST_NUMBERS: usize = 1 << 20;
/// Side of a picture in the projector, in pixels.
const SPRITE: u32 = 32;
/// Side of a picture of a batch, and the width of its frame.
const TILE: u32 = 96;
const FRAME: u32 = 4;
/// Members of a batch that are shown, its anchor with them.
const MEMBERS: usize = 12;
const WHITE: [u8; 3] = [255; 3];
const ANCHOR: [u8; 3] = [0x1f, 0x5f, 0xbf];
const FALSE: [u8; 3] = [0xc0, 0x39, 0x2b];

/// The files of a folder below that of a run, by their names. `step` is how many optimiser steps the run has made, `time` when that was, in seconds
/// since 1970.
///
/// # Errors
/// [`ReportError::Input`] where the data do not fit together; whatever the metrics report; and [`ReportError::Cancelled`].
pub fn board(
    data: &Data<'_>,
    (step, time): (u64, f64),
    cancellation: &Cancellation,
) -> Result<Vec<(String, Vec<u8>)>, ReportError> {
    data.check()?;
    let mut files = vec![(format!("{PREFIX}look"), events(data, step, time)?)];
    files.extend(projector(data, cancellation)?);
    Ok(files)
}

/// The spectrum, a singular value a step, and the hardest batches.
fn events(data: &Data<'_>, step: u64, time: f64) -> Result<Vec<u8>, ReportError> {
    let mut bytes = Vec::new();
    let broken = |error: std::io::Error| ReportError::Input(error.to_string());
    let mut board = TensorBoard::begin(&mut bytes).map_err(broken)?;
    for arm in geometry::arms(data)? {
        let tag = format!("spectrum/{}", arm.name.replace(' ', "_"));
        for (value, rank) in arm.singular_values.iter().zip(1..) {
            board.scalar(&tag, rank, time, *value as f32).map_err(broken)?;
        }
    }
    if let Some(grid) = grid(data)
        && let Some(file) = jpeg(&grid)
    {
        let size = [grid.width(), grid.height()];
        board.image("hardest_batches", step, time, &file, size).map_err(broken)?;
    }
    Ok(bytes)
}

fn picture(pictures: &dyn Pictures, (part, instance): (usize, u32), side: u32) -> Option<RgbImage> {
    let Shown::Image { width, height, pixels } = pictures.shown(part, instance)? else { return None };
    let image = reduced(width, height, pixels, side)?;
    // Small pictures are shown larger.
    let scale = side / image.width().max(image.height());
    Some(match scale {
        0 | 1 => image,
        scale => resize(&image, image.width() * scale, image.height() * scale, FilterType::Nearest),
    })
}

/// A batch a row: its anchor in a blue frame, then who is most similar to it, false negatives in a red one. `None` where nothing is a picture.
fn grid(data: &Data<'_>) -> Option<RgbImage> {
    let batches = contrast::hardest_batches(data);
    let members = batches.iter().map(|batch| batch.others.len() + 1).max()?.min(MEMBERS);
    let cell = TILE + 2 * FRAME;
    let mut grid =
        RgbImage::from_pixel(cell * members as u32, cell * batches.len() as u32, image::Rgb(WHITE));
    let mut any = false;
    for (batch, row) in batches.iter().zip(0_u32..) {
        let anchor = (batch.anchor, ANCHOR);
        let others = batch
            .others
            .iter()
            .map(|(_, other)| (*other, if batch.is_false(data, *other) { FALSE } else { WHITE }));
        for ((instance, frame), column) in std::iter::once(anchor).chain(others).take(members).zip(0_u32..) {
            let Some(picture) = picture(data.pictures, (0, instance), TILE) else { continue };
            any = true;
            let mut framed = RgbImage::from_pixel(cell, cell, image::Rgb(frame));
            let [x, y] = [picture.width(), picture.height()].map(|side| i64::from((cell - side) / 2));
            let ground = RgbImage::from_pixel(TILE, TILE, image::Rgb(WHITE));
            replace(&mut framed, &ground, i64::from(FRAME), i64::from(FRAME));
            replace(&mut framed, &picture, x, y);
            replace(&mut grid, &framed, i64::from(column * cell), i64::from(row * cell));
        }
    }
    any.then_some(grid)
}

/// Instances of the projector, evenly of all, with their names, parts and classes, and their pictures where they have any.
fn projector(data: &Data<'_>, cancellation: &Cancellation) -> Result<Vec<(String, Vec<u8>)>, ReportError> {
    let columns = data.parts[0].rows.columns().max(1);
    let most = MOST_POINTS.min(MOST_NUMBERS / columns).max(1);
    let count: usize = data.parts.iter().map(|part| part.rows.len()).sum();
    let of_part = |(part, own): (usize, &Part<'_>)| (0..own.rows.len() as u32).map(move |own| (part, own));
    let all = data.parts.iter().enumerate().flat_map(of_part);
    let points: Vec<(usize, u32)> = all.step_by(count.div_ceil(most).max(1)).collect();
    if points.is_empty() {
        return Ok(Vec::new());
    }
    let (mut tensors, mut about) = (String::new(), String::from("name\tpart\tclass\n"));
    for (part, instance) in &points {
        let row = data.parts[*part].rows.row(*instance as usize);
        let values: Vec<String> = row.iter().map(|value| format!("{value:.5}")).collect();
        let _ = writeln!(tensors, "{}", values.join("\t"));
        let name = data.pictures.name(*part, *instance).unwrap_or_else(|| instance.to_string());
        let class = data.label(*part, *instance).map_or_else(|| "–".to_owned(), |label| data.class(label));
        let _ = writeln!(about, "{}\t{}\t{}", field(&name), field(data.parts[*part].name), field(&class));
    }
    let mut config = format!(
        "embeddings {{\n  tensor_name: \"instances\"\n  tensor_shape: {}\n  tensor_shape: {columns}\n  tensor_path: \"embeddings.tsv\"\n  \
         metadata_path: \"metadata.tsv\"\n",
        points.len()
    );
    let mut files = Vec::new();
    if let Some(sprite) = sprite(data, &points, cancellation)?.and_then(|sprite| jpeg(&sprite)) {
        let _ = write!(
            config,
            "  sprite {{\n    image_path: \"sprite.jpg\"\n    single_image_dim: {SPRITE}\n    single_image_dim: {SPRITE}\n  }}\n"
        );
        files.push(("sprite.jpg".to_owned(), sprite));
    }
    config.push_str("}\n");
    files.push(("embeddings.tsv".to_owned(), tensors.into_bytes()));
    files.push(("metadata.tsv".to_owned(), about.into_bytes()));
    // The last one names the others.
    files.push(("projector_config.pbtxt".to_owned(), config.into_bytes()));
    Ok(files)
}

/// A text that stands in a cell.
fn field(text: &str) -> String {
    let shown = text.replace(|letter: char| letter.is_control(), " ");
    if shown.trim().is_empty() { "–".to_owned() } else { shown }
}

/// The pictures of all points, as many in a row as rows, white where one has none; `None` where all have none.
fn sprite(
    data: &Data<'_>,
    points: &[(usize, u32)],
    cancellation: &Cancellation,
) -> Result<Option<RgbImage>, ReportError> {
    let side = points.len().isqrt() + usize::from(points.len().isqrt().pow(2) < points.len());
    let mut any = false;
    let mut sprite = RgbImage::from_pixel(SPRITE * side as u32, SPRITE * side as u32, image::Rgb(WHITE));
    for (point, place) in points.iter().zip(0..) {
        if cancellation.is_cancelled() {
            return Err(ReportError::Cancelled);
        }
        let Some(picture) = picture(data.pictures, *point, SPRITE) else { continue };
        any = true;
        let [x, y] = [place % side, place / side].map(|cell| (cell * SPRITE as usize) as i64);
        replace(&mut sprite, &picture, x, y);
    }
    Ok(any.then_some(sprite))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::album::NoPictures;
    use crate::album::tests::Colours;
    use lookalike_base::Rows;

    const ROWS: [f32; 12] = [1.0, 0.0, 0.9, 0.1, -1.0, 0.0, 0.0, 1.0, 1.0, 0.05, 0.0, -1.0];

    fn data<'a>(pictures: &'a dyn Pictures, plan: &'a [Vec<u32>]) -> Data<'a> {
        Data {
            name: "test".into(),
            parts: vec![Part {
                name: "train",
                rows: Rows::new(&ROWS, 2).unwrap(),
                labels: &[0, 0, 1, 1, 0, 2],
            }],
            classes: vec!["tab\there".into()],
            plan,
            compared: None,
            pairs: false,
            untrained: None,
            pictures,
        }
    }

    fn file<'a>(files: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a [u8]> {
        files.iter().find(|(own, _)| own == name).map(|(_, bytes)| bytes.as_slice())
    }

    fn lines(files: &[(String, Vec<u8>)], name: &str) -> usize {
        std::str::from_utf8(file(files, name).unwrap()).unwrap().lines().count()
    }

    #[test]
    fn pictures_stand_in_a_grid_with_frames_and_in_the_projectors_sprite() {
        let plan = [vec![2, 3, 5], vec![0, 1, 4]];
        let files = board(&data(&Colours, &plan), (7, 1.0), &Cancellation::default()).unwrap();
        let grid = grid(&data(&Colours, &plan)).unwrap();
        assert_eq!((grid.width(), grid.height()), (3 * 104, 2 * 104));
        // The hardest batch is the second, whose members are all of one class.
        let frames = [0, 1, 2].map(|column| grid.get_pixel(column * 104, 0).0);
        assert_eq!(frames[0], ANCHOR);
        assert_eq!(frames[1..], [FALSE, FALSE]);
        let events = file(&files, "events.out.tfevents.look").unwrap();
        assert!(events.windows(15).any(|bytes| bytes == b"hardest_batches"));
        let sprite = image::load_from_memory(file(&files, "sprite.jpg").unwrap()).unwrap();
        assert_eq!((sprite.width(), sprite.height()), (3 * 32, 3 * 32));
        let text = |name| std::str::from_utf8(file(&files, name).unwrap()).unwrap().to_owned();
        assert_eq!(text("embeddings.tsv").lines().nth(1).unwrap(), "0.90000\t0.10000");
        let about = text("metadata.tsv");
        assert_eq!(about.lines().count(), 7);
        assert!(about.lines().all(|line| line.matches('\t').count() == 2), "{about}");
        assert!(text("projector_config.pbtxt").contains("sprite.jpg"));
    }

    /// Pictures of which one cannot be read.
    struct AllButOne;

    impl Pictures for AllButOne {
        fn shown(&self, part: usize, instance: u32) -> Option<Shown> {
            (instance != 4).then(|| Colours.shown(part, instance))?
        }

        fn name(&self, _: usize, _: u32) -> Option<String> {
            None
        }
    }

    #[test]
    fn a_picture_that_cannot_be_read_leaves_its_place_white_and_work_stops_when_asked() {
        let points: Vec<(usize, u32)> = (0..6).map(|instance| (0, instance)).collect();
        let sprite = sprite(&data(&AllButOne, &[]), &points, &Cancellation::default()).unwrap().unwrap();
        assert_eq!(sprite.get_pixel(33, 33).0, WHITE);
        assert_ne!(sprite.get_pixel(1, 1).0, WHITE);
        let stop = Cancellation::default();
        stop.cancel();
        let error = board(&data(&Colours, &[]), (0, 0.0), &stop).unwrap_err();
        assert!(matches!(error, ReportError::Cancelled));
    }

    #[test]
    fn without_pictures_and_batches_there_are_numbers_alone() {
        let files = board(&data(&NoPictures, &[]), (0, 0.0), &Cancellation::default()).unwrap();
        assert!(file(&files, "sprite.jpg").is_none() && grid(&data(&NoPictures, &[vec![0, 1]])).is_none());
        assert_eq!(lines(&files, "embeddings.tsv"), 6);
        let events = file(&files, "events.out.tfevents.look").unwrap();
        assert!(events.windows(19).any(|bytes| bytes == b"spectrum/embeddings"));
    }

    #[test]
    fn more_instances_than_fit_are_drawn_evenly() {
        let values = vec![0.5_f32; 2 * 12_001];
        let rows = Rows::new(&values, 2).unwrap();
        let many = Data { parts: vec![Part { name: "train", rows, labels: &[] }], ..data(&NoPictures, &[]) };
        let files = projector(&many, &Cancellation::default()).unwrap();
        assert_eq!(lines(&files, "embeddings.tsv"), 4001);
    }
}
