//! One image file as 8-bit RGB.

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
const MAX_DECODED: u64 = 512 << 20;

/// Limit of the bytes of one file.
const MAX_FILE: u64 = 256 << 20;

/// Decodes the PNG, JPEG or WebP file at `path`; its contents, not its name, say which.
///
/// Grey becomes RGB by repetition, 16 bits are rounded to 8, an alpha channel is dropped (not composited), as
/// torchvision's loader of image folders does. Other than there, the orientation that a camera wrote down
/// (EXIF) is applied. Of an animation the first frame is taken.
///
/// # Errors
/// [`DataError::Io`] where the file cannot be read; [`DataError::Decode`] where it is none of the three
/// formats, damaged, cut short, or larger than the limits above.
pub(super) fn decode(path: &Path) -> Result<Image<'static>, DataError> {
    let wrong = |source| DataError::Decode { path: path.to_owned(), source };
    let file = File::open(path).map_err(DataError::io("read", path))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(DataError::io("read", path))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(wrong(format!("the file is longer than {MAX_FILE} bytes, the limit").into()));
    }
    let format = image::guess_format(&bytes).map_err(|_| wrong(unknown(&bytes).into()))?;
    if format == ImageFormat::Jpeg && !jpeg_is_complete(&bytes) {
        return Err(wrong("the JPEG file is cut short: no end-of-image marker follows its data".into()));
    }
    if format == ImageFormat::WebP && !webp_is_complete(&bytes) {
        return Err(wrong("the WebP file is cut short: its header declares more bytes".into()));
    }
    let decoded = decode_bytes(&bytes, format).map_err(|error| wrong(error.into()))?.into_rgb8();
    let (width, height) = decoded.dimensions();
    Ok(Image { width, height, pixels: Cow::Owned(decoded.into_raw()) })
}

fn unknown(bytes: &[u8]) -> String {
    match bytes {
        [] => "the file is empty".to_owned(),
        bytes => format!(
            "the file begins with {:02x?}, which is neither PNG, JPEG nor WebP",
            &bytes[..bytes.len().min(8)]
        ),
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
    let orientation = decoder.orientation()?;
    let mut decoded = DynamicImage::from_decoder(decoder)?;
    decoded.apply_orientation(orientation);
    Ok(decoded)
}

/// Whether the markers of a JPEG file lead to its end (ITU T.81, annex B). The decoder is lenient here: it
/// fills what is missing of a file cut short with grey, which an encoder would take for a look-alike of every
/// other such file.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    const END_OF_IMAGE: u8 = 0xd9;
    // Each step stands behind the 0xff of a marker, searched for from `at`: in coded data a 0xff that belongs
    // to the data is followed by 0, one of a restart marker by 0xd0 to 0xd7.
    let mut at = 2;
    while let Some(marker) = bytes.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == 0xff)) {
        at += marker + 1;
        match bytes.get(at) {
            Some(0xff) => {}
            Some(0 | 0x01 | 0xd0..=0xd8) => at += 1,
            Some(&END_OF_IMAGE) => return true,
            Some(_) => {
                let Some(&[high, low]) = bytes.get(at + 1..at + 3) else { return false };
                at += 1 + usize::from(u16::from_be_bytes([high, low])).max(2);
            }
            None => return false,
        }
    }
    false
}

/// Whether a WebP file is as long as its RIFF header says, of which the decoder only misses what it needs.
fn webp_is_complete(bytes: &[u8]) -> bool {
    let size = bytes.get(4..8).and_then(|size| size.try_into().ok()).map(u32::from_le_bytes);
    size.is_some_and(|size| bytes.len() as u64 >= u64::from(size) + 8)
}
