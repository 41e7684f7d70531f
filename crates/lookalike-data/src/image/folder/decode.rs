//! One image file as 8-bit RGB.

use super::jpeg;
use crate::error::DataError;
use crate::image::dataset::Image;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, ImageResult, Limits};
use std::borrow::Cow;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

/// Limit of the width and height of an image, in pixels.
const MAX_SIDE: u32 = 32_768;

/// Limit of the bytes of one decoded image: 170 megapixels of 8-bit RGB.
pub(in crate::image) const MAX_DECODED: u64 = 512 << 20;

/// Limit of the bytes of one file.
const MAX_FILE: u64 = 256 << 20;

/// The formats that are read.
const FORMATS: [ImageFormat; 7] = [
    ImageFormat::Png,
    ImageFormat::Jpeg,
    ImageFormat::WebP,
    ImageFormat::Tiff,
    ImageFormat::Bmp,
    ImageFormat::Gif,
    ImageFormat::Pnm,
];

/// The same in words.
pub(super) const FORMAT_NAMES: &str = "PNG, JPEG, WebP, TIFF, BMP, GIF or PPM";

/// Decodes the image file at `path`; its contents, not its name, say of which format it is.
///
/// Grey becomes RGB by repetition, 16 bits are rounded to 8, an alpha channel is dropped (not composited), as
/// torchvision's loader of image folders does. Other than there, the orientation that a camera wrote down
/// (EXIF) is applied. Of an animation the first frame is taken, of several pages the first.
///
/// # Errors
/// [`DataError::Io`] where the file cannot be read; [`DataError::Decode`] where it is none of the
/// formats, damaged, cut short, no file but a pipe, or larger than the limits above.
pub(in crate::image) fn decode(path: &Path) -> Result<Image<'static>, DataError> {
    let wrong = |source| DataError::Decode { path: path.to_owned(), source };
    let decoded = whole(&read(path)?).map_err(wrong)?.into_rgb8();
    let (width, height) = decoded.dimensions();
    Ok(Image { width, height, pixels: Cow::Owned(decoded.into_raw()) })
}

/// The bytes of a file that has an end and is no longer than the limit.
pub(in crate::image) fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    let wrong = |source| DataError::Decode { path: path.to_owned(), source };
    // What is opened to be read must have an end: a pipe waits for whoever writes to it.
    if !std::fs::metadata(path).map_err(DataError::io("read", path))?.is_file() {
        return Err(wrong("it is no file that can be read to its end".into()));
    }
    let file = File::open(path).map_err(DataError::io("read", path))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(DataError::io("read", path))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(wrong(format!("the file is longer than {MAX_FILE} bytes, the limit").into()));
    }
    Ok(bytes)
}

/// What `bytes` show, if nothing of it is missing.
fn whole(bytes: &[u8]) -> Result<DynamicImage, Box<dyn std::error::Error + Send + Sync>> {
    let format = image::guess_format(bytes).ok().filter(|format| FORMATS.contains(format));
    let format = format.ok_or_else(|| unknown(bytes))?;
    match format {
        ImageFormat::Jpeg => match jpeg::extent(bytes) {
            jpeg::Extent::Whole => {}
            jpeg::Extent::WithoutEnd => return without_end(bytes),
            jpeg::Extent::Cut => {
                return Err("the JPEG file is cut short: no end-of-image marker follows its data".into());
            }
        },
        ImageFormat::WebP if !webp_is_complete(bytes) => {
            return Err("the WebP file is cut short: its header declares more bytes".into());
        }
        _ => {}
    }
    Ok(decode_bytes(bytes, format)?)
}

/// A JPEG file without its end marker, if only that is missing: then it shows the same whatever follows.
fn without_end(bytes: &[u8]) -> Result<DynamicImage, Box<dyn std::error::Error + Send + Sync>> {
    let mut shown = jpeg::endings(bytes).map(|ended| decode_bytes(&ended, ImageFormat::Jpeg));
    let first = shown.next().ok_or("the JPEG file is empty")??;
    for other in shown {
        if other? != first {
            return Err(
                "the JPEG file is cut short: its last pixels and its end-of-image marker are missing".into(),
            );
        }
    }
    Ok(first)
}

/// What a file is that is no image.
fn unknown(bytes: &[u8]) -> String {
    let brand = bytes.get(4..12).unwrap_or_default();
    let heic: [&[u8]; 6] = [b"ftypheic", b"ftypheix", b"ftypheif", b"ftypmif1", b"ftypavif", b"ftypmsf1"];
    let text = bytes.trim_ascii_start();
    let begins =
        |with: &str| text.get(..with.len()).is_some_and(|own| own.eq_ignore_ascii_case(with.as_bytes()));
    if bytes.is_empty() {
        "the file is empty".to_owned()
    } else if heic.contains(&brand) {
        "it is a HEIC or AVIF picture, which is not read; convert it, for instance by `magick FILE FILE.jpg`"
            .to_owned()
    } else if begins("<!doctype html") || begins("<html") {
        "it is a web page, as a failed download leaves one".to_owned()
    } else if begins("version https://git-lfs") {
        "it is a pointer of Git LFS; `git lfs pull` fetches the image".to_owned()
    } else {
        format!("the file begins with {:02x?}, which is no {FORMAT_NAMES}", &bytes[..bytes.len().min(8)])
    }
}

fn decode_bytes(bytes: &[u8], format: ImageFormat) -> ImageResult<DynamicImage> {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    // Not every decoder counts what it is going to return.
    limits.reserve(decoder.total_bytes())?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        let empty = std::io::Error::other(format!("the image is {width} pixels wide and {height} high"));
        return Err(ImageError::IoError(empty));
    }
    // Grey and palettes become three bytes a pixel.
    if 3 * u64::from(width) * u64::from(height) > MAX_DECODED {
        limits.reserve(MAX_DECODED + 1)?;
    }
    let orientation = decoder.orientation()?;
    let mut decoded = DynamicImage::from_decoder(decoder)?;
    decoded.apply_orientation(orientation);
    Ok(decoded)
}

/// Whether a WebP file is as long as its RIFF header and each of its chunks say: of the first the decoder only misses what it needs, and of
/// a chunk it allocates as many bytes as that says.
fn webp_is_complete(bytes: &[u8]) -> bool {
    let length_at = |at: usize| {
        let length = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(length) as usize)
    };
    let Some(end) = length_at(4).map(|length| length + 8).filter(|end| *end <= bytes.len()) else {
        return false;
    };
    let mut chunk = 12;
    while let Some(length) = length_at(chunk + 4).filter(|_| chunk + 8 <= end) {
        if length > bytes.len() - (chunk + 8) {
            return false;
        }
        chunk += 8 + length + length % 2;
    }
    true
}
