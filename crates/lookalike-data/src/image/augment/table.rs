//! Operations that replace each level of a plane by another: posterize, autocontrast, equalize, invert. Equal to
//! Pillow's `ImageOps` bit by bit.

use super::Rgb;

/// What becomes of each of the 256 levels.
pub(super) type Table = [u8; 256];

/// Keeps the upper `bits` (0 to 8) of each level.
pub fn posterize(image: Rgb<'_>, bits: u8) {
    let mask = (0xff00_u16 >> bits) as u8;
    for plane in image {
        for value in plane {
            *value &= mask;
        }
    }
}

/// Replaces each level by 255 − level.
pub fn invert(image: Rgb<'_>) {
    for plane in image {
        for value in plane {
            *value = !*value;
        }
    }
}

/// Stretches each plane so that its least level becomes 0 and its greatest 255, fractions dropped. A plane of one
/// level stays as it is.
pub fn autocontrast(image: Rgb<'_>) {
    for plane in image {
        let (least, greatest) =
            plane.iter().fold((255, 0), |(least, greatest), level| (least.min(*level), greatest.max(*level)));
        if least < greatest {
            look_up(plane, &stretching(least, greatest));
        }
    }
}

/// Pillow's line from `least` ↦ 0 to `greatest` ↦ 255, in double precision: some levels come out one lower than by
/// exact division.
fn stretching(least: u8, greatest: u8) -> Table {
    let scale = 255.0 / f64::from(greatest - least);
    let offset = -f64::from(least) * scale;
    // The conversion drops the fraction and stops at 0 and 255.
    std::array::from_fn(|level| (level as f64 * scale + offset) as u8)
}

/// Replaces the levels of each plane so that all are about equally frequent. A plane of one level stays as it is, and
/// so does one of which fewer than 255 values are below its greatest level.
pub fn equalize(image: Rgb<'_>) {
    for plane in image {
        if let Some(table) = equalizing(&histogram(plane)) {
            look_up(plane, &table);
        }
    }
}

/// Pillow's table of a histogram: how many steps lie below a level, each of a 255th of the values below the greatest
/// level. `None` where nothing is to be changed.
fn equalizing(histogram: &[u32; 256]) -> Option<Table> {
    let last = histogram.iter().rev().find(|count| **count > 0)?;
    let step = (histogram.iter().sum::<u32>() - last) / 255;
    if step == 0 {
        return None;
    }
    let mut below = step / 2;
    Some(histogram.map(|count| {
        let level = (below / step).min(255) as u8;
        below += count;
        level
    }))
}

/// How often each level comes.
fn histogram(plane: &[u8]) -> [u32; 256] {
    // Neighbours are often alike: counted in one row, each would wait for the one before.
    let mut counts = [[0_u32; 256]; 4];
    let (fours, rest) = plane.as_chunks::<4>();
    for four in fours {
        for (counts, level) in counts.iter_mut().zip(four) {
            counts[usize::from(*level)] += 1;
        }
    }
    for level in rest {
        counts[0][usize::from(*level)] += 1;
    }
    std::array::from_fn(|level| counts.iter().map(|counts| counts[level]).sum())
}

/// Replaces each level by what the table has for it.
pub(super) fn look_up(plane: &mut [u8], table: &Table) {
    for value in plane {
        *value = table[usize::from(*value)];
    }
}
