//! The allocator. A training step allocates and frees hundreds of megabytes; whatever is given back to the kernel meanwhile is
//! cleared again, page by page, when the next step wants it.

#![expect(unsafe_code, reason = "an option of the allocator is set through its C interface")]

use libmimalloc_sys::{mi_option_set_default, mi_option_t, mi_option_use_numa_nodes};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay`, for which the crate has no name: the next one has.
const PURGE_DELAY: mi_option_t = mi_option_use_numa_nodes - 1;

/// From now on keeps freed memory for what is allocated next, as training steps want it, unless `MIMALLOC_PURGE_DELAY` says after how many milliseconds it is given back.
pub(crate) fn keep() {
    // SAFETY: the option exists in the version that is pinned, takes any number, and can be set at any time.
    unsafe { mi_option_set_default(PURGE_DELAY, -1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_that_of_the_delay() {
        // No other option has the default of this one, a second.
        let delay = || {
            // SAFETY: as in `keep`.
            unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) }
        };
        if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
            assert_eq!(delay(), 1000);
            keep();
            assert_eq!(delay(), -1);
        }
    }
}
