//! How far the data of a JPEG file reach (ITU T.81, annex B). The decoder is lenient here: it fills what is missing of
//! a file cut short with grey, which an encoder would take for a look-alike of every other such file.

/// What is there of a JPEG file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Its markers lead to its end.
    Whole,
    /// It ends within the coded data of its last scan, which may be complete: only the end marker may be missing.
    WithoutEnd,
    /// Scans or tables are missing.
    Cut,
}

const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;

/// Coefficients of a block.
const COEFFICIENTS: usize = 64;

/// How much the scans that came say of each component's coefficients.
#[derive(Default)]
struct Scans {
    /// Of each component its number and, a coefficient, the lowest bit that came so far.
    components: Vec<(u8, [u8; COEFFICIENTS])>,
}

/// No bit of a coefficient came yet.
const NOTHING: u8 = u8::MAX;

impl Scans {
    /// Reads which components a frame has (B.2.2).
    fn frame(&mut self, segment: &[u8]) {
        let described = segment.get(6..).unwrap_or_default().chunks_exact(3);
        self.components = described.map(|component| (component[0], [NOTHING; COEFFICIENTS])).collect();
    }

    /// Reads of which coefficients a scan has which bits (B.2.3); of sequential files of all, to the last.
    fn scan(&mut self, segment: &[u8]) {
        let count = segment.first().copied().map_or(0, usize::from);
        let (Some(selectors), Some([from, to, bits])) =
            (segment.get(1..1 + 2 * count), segment.get(1 + 2 * count..4 + 2 * count))
        else {
            return;
        };
        let range = usize::from(*from)..(usize::from(*to) + 1).min(COEFFICIENTS);
        for selector in selectors.chunks_exact(2) {
            let own = self.components.iter_mut().filter(|(number, _)| *number == selector[0]);
            for (_, lowest) in own {
                lowest.get_mut(range.clone()).unwrap_or_default().fill(bits & 0x0f);
            }
        }
    }

    /// Whether every bit of every coefficient was announced.
    fn are_all(&self) -> bool {
        !self.components.is_empty()
            && self.components.iter().all(|(_, lowest)| lowest.iter().all(|bit| *bit == 0))
    }
}

/// How far the data of a JPEG file reach.
pub(super) fn extent(bytes: &[u8]) -> Extent {
    let mut scans = Scans::default();
    let mut in_scan = false;
    // Each step stands behind the 0xff of a marker, searched for from `at`: in coded data a 0xff that belongs
    // to the data is followed by 0, one of a restart marker by 0xd0 to 0xd7.
    let mut at = 2;
    while let Some(marker) = bytes.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == 0xff)) {
        at += marker + 1;
        match bytes.get(at) {
            Some(0xff) => {}
            Some(0 | 0x01 | 0xd0..=0xd8) => at += 1,
            Some(&END_OF_IMAGE) => return Extent::Whole,
            Some(marker) => {
                let Some(&[high, low]) = bytes.get(at + 1..at + 3) else { return Extent::Cut };
                let end = at + 1 + usize::from(u16::from_be_bytes([high, low])).max(2);
                let Some(segment) = bytes.get(at + 3..end) else { return Extent::Cut };
                in_scan = *marker == START_OF_SCAN;
                match *marker {
                    START_OF_SCAN => scans.scan(segment),
                    // Frames of all kinds; the other three of these are tables.
                    0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => scans.frame(segment),
                    _ => {}
                }
                at = end;
            }
            None => break,
        }
    }
    if in_scan && scans.are_all() { Extent::WithoutEnd } else { Extent::Cut }
}

/// The file with several endings, each of which goes on with other data where data are missing.
pub(super) fn endings(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    const MISSING: [&[u8]; 3] = [&[], &[0x55; 64], &[0xa9; 64]];
    // Half an end marker.
    let bytes = bytes.strip_suffix(&[0xff]).unwrap_or(bytes);
    MISSING.into_iter().map(move |missing| [bytes, missing, &[0xff, END_OF_IMAGE]].concat())
}
