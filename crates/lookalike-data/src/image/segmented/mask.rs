//! Masks: PNG files whose pixels are classes. The values are taken as they stand in the file: a palette is not looked up, and a gamma not
//! applied.

use std::error::Error;
use std::io::Cursor;
use std::path::Path;

use png::{BitDepth, ColorType, Decoder, Limits, Transformations};

use super::classes::{Classes, Rule};
use crate::error::DataError;
use crate::image::folder::decode::{self, MAX_DECODED};

/// The class of pixels that have none.
pub(super) const NONE: u8 = 255;

/// Colours of pixels that have none: white, and that of VOC's borders.
const UNCLASSED: [[u8; 3]; 2] = [[255; 3], [224, 224, 192]];

type Problem = Box<dyn Error + Send + Sync>;

/// The values of a mask.
struct Values {
    /// Width and height.
    size: [u32; 2],
    /// Bytes of a value, its first the highest.
    bytes: usize,
    /// Values of a pixel: 1, or 3 of colours.
    channels: usize,
    data: Vec<u8>,
}

/// The classes of the mask at `path`, of an image at a path and of that width and height.
pub(super) fn read(
    path: &Path,
    classes: &Classes,
    (image, size): (&Path, [u32; 2]),
) -> Result<Vec<u8>, DataError> {
    let bytes = decode::read(path)?;
    let fits = |found: [u32; 2]| {
        let ([width, height], [of_image, high], image) = (found, size, image.display());
        let problem = format!(
            "the mask is {width} × {height} pixels, and {image} is {of_image} × {high} as it is shown"
        );
        if found == size { Ok(()) } else { Err(problem) }
    };
    let classed = || classes_of(&values(&bytes, fits)?, classes);
    classed().map_err(|source: Problem| DataError::Decode { path: path.to_owned(), source })
}

/// The values of a mask; nothing is unpacked where its size does not fit.
fn values(bytes: &[u8], fits: impl Fn([u32; 2]) -> Result<(), String>) -> Result<Values, Problem> {
    let limit = usize::try_from(MAX_DECODED).unwrap_or(usize::MAX);
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: limit });
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info()?;
    let size = [reader.info().width, reader.info().height];
    fits(size)?;
    let length = reader.output_buffer_size().filter(|length| *length <= limit);
    let mut data = vec![0; length.ok_or("the mask is too large")?];
    let info = reader.next_frame(&mut data)?;
    data.truncate(info.buffer_size());
    let channels = match info.color_type {
        ColorType::Grayscale | ColorType::Indexed => 1,
        ColorType::Rgb => 3,
        ColorType::GrayscaleAlpha | ColorType::Rgba => {
            return Err("the mask has an alpha channel; save it without".into());
        }
    };
    let (bytes, data) = match info.bit_depth {
        BitDepth::Eight => (1, data),
        BitDepth::Sixteen => (2, data),
        depth => (1, unpacked(&data, depth as usize, info.line_size, size[0] as usize)),
    };
    Ok(Values { size, bytes, channels, data })
}

/// One value a byte, of rows whose bytes hold several values of so many bits each, the first the highest.
fn unpacked(data: &[u8], bits: usize, line: usize, width: usize) -> Vec<u8> {
    let mask = (1_u8 << bits) - 1;
    let of_line = |line: &[u8]| -> Vec<u8> {
        (0..width).map(|x| line[x * bits / 8] >> (8 - bits - x * bits % 8) & mask).collect()
    };
    data.chunks_exact(line).flat_map(of_line).collect()
}

fn classes_of(values: &Values, classes: &Classes) -> Result<Vec<u8>, Problem> {
    let count = classes.names.len();
    let width = values.size[0] as usize;
    let place = |pixel: usize| format!("the pixel in row {}, column {}", pixel / width, pixel % width);
    let pixels = values.data.chunks_exact(values.bytes * values.channels);
    if let Rule::Colors(colors) = &classes.rule {
        if values.channels != 3 || values.bytes != 1 {
            return Err(
                "the mask is no RGB image of 8 bits, and classes.txt gives the classes colours".into()
            );
        }
        let class = |(pixel, value): (usize, &[u8])| {
            let color = [value[0], value[1], value[2]];
            match colors.get(&color) {
                Some(class) => Ok(*class),
                None if UNCLASSED.contains(&color) => Ok(NONE),
                None => Err(format!(
                    "{} has the colour {color:?}, which is no class's in classes.txt",
                    place(pixel)
                )
                .into()),
            }
        };
        return pixels.enumerate().map(class).collect();
    }
    if values.channels != 1 {
        return Err(
            "the mask has colours; classes.txt must say which class each is, as `128 64 128 road`".into()
        );
    }
    let class = |(pixel, value): (usize, &[u8])| {
        let value = value.iter().fold(0, |value: u16, byte| value << 8 | u16::from(*byte));
        match &classes.rule {
            Rule::Above0 => Ok(u8::from(value > 0)),
            _ if value == u16::from(NONE) => Ok(NONE),
            Rule::Only(only) => Ok(u8::from(value == u16::from(*only))),
            _ if usize::from(value) < count => Ok(value as u8),
            _ => Err(format!(
                "{} has the value {value}, and there are {count} classes, from 0 on",
                place(pixel)
            )
            .into()),
        }
    };
    pixels.enumerate().map(class).collect()
}
