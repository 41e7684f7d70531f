//! Products of sizes that callers choose. They are checked in release builds too: a product that wraps around
//! would pass for the length of a slice.

use std::fmt::Debug;

/// The product of `sizes`, if `usize` can hold it.
pub(crate) fn checked_product(sizes: impl IntoIterator<Item = usize>) -> Option<usize> {
    sizes.into_iter().try_fold(1_usize, usize::checked_mul)
}

/// The product of `sizes`, which are those of `whole`.
///
/// # Panics
/// If `usize` cannot hold it.
#[inline]
pub(crate) fn product<const N: usize>(sizes: [usize; N], whole: &impl Debug) -> usize {
    let product = checked_product(sizes);
    assert!(product.is_some(), "sizes too large to count: {whole:?}");
    product.unwrap_or_default()
}

/// Values of `rows` rows of `columns`.
///
/// # Panics
/// If `usize` cannot hold their number.
pub(crate) fn row_values(rows: usize, columns: usize) -> usize {
    product([rows, columns], &format_args!("{rows} rows of {columns} values"))
}

/// Places of a window along a side: (side + 2 · padding − window) / stride + 1. There are none if the window
/// is larger than the padded side, if it or the stride is 0, or if `usize` cannot hold the padded side.
pub(crate) fn windows(side: usize, window: usize, stride: usize, padding: usize) -> Option<usize> {
    let padded = padding.checked_mul(2)?.checked_add(side)?;
    let steps = padded.checked_sub(window)?.checked_div(stride)?;
    if window > 0 { steps.checked_add(1) } else { None }
}

/// What `work` says as it panics, which it must.
#[cfg(test)]
pub(crate) fn refusal<T>(work: impl FnOnce() -> T) -> String {
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    let Err(panic) = panic else { unreachable!("it was not refused") };
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_that_would_wrap_around_is_refused() {
        let half = 1 << (usize::BITS / 2);
        assert_eq!(checked_product([3, 5, 7]), Some(105));
        assert_eq!(checked_product([]), Some(1));
        // This would be 0.
        assert_eq!(checked_product([half, half]), None);
        assert_eq!(product([half - 1, half], &"a map"), (half - 1) * half);
        assert_eq!(
            refusal(|| row_values(half, half)),
            format!("sizes too large to count: {half} rows of {half} values")
        );
    }

    #[test]
    fn windows_are_counted_where_there_are_any() {
        for ((side, window, stride, padding), expected) in [
            ((7, 3, 1, 0), Some(5)),
            ((7, 3, 2, 1), Some(4)),
            ((1, 3, 5, 1), Some(1)),
            ((1, 4, 1, 1), None),
            ((7, 0, 1, 0), None),
            ((7, 3, 0, 0), None),
            ((1, 1, 1, usize::MAX / 2 + 1), None),
            ((2, 1, 1, usize::MAX / 2), None),
            ((0, 1, 1, usize::MAX / 2), Some(usize::MAX - 1)),
        ] {
            assert_eq!(
                windows(side, window, stride, padding),
                expected,
                "{side} {window} {stride} {padding}"
            );
        }
    }
}
