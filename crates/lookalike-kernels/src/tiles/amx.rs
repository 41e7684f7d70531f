//! The tile registers of the processor: AMX, in Intel's manual volume 1 chapter 18, and volume 2 for each instruction.
//! The intrinsics are not stable, so that these are written as assembly.

#![expect(unsafe_code, reason = "instructions without an intrinsic; each caller proves them and the bounds")]
#![expect(clippy::inline_always, reason = "a call for each instruction would cost more than it")]

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
use std::marker::PhantomData;
use std::sync::OnceLock;

use super::{SIDE, TileKernel, Tiles};

/// Whether the processor multiplies tiles of bfloat16, and the system lets this process do it.
///
/// A system keeps 8 KiB more for each thread that uses tiles, and wants to be asked. One that does not know the
/// question, or refuses it, as some sandboxes do, is not used with tiles.
pub(crate) fn is_permitted() -> bool {
    static PERMITTED: OnceLock<bool> = OnceLock::new();
    *PERMITTED.get_or_init(|| is_there() && ask())
}

/// Whether processor and system have tiles.
fn is_there() -> bool {
    const OSXSAVE: u32 = 1 << 27;
    const BF16_AND_TILES: u32 = 1 << 22 | 1 << 24;
    /// The states of tiles that the system must save: their shapes and their words.
    const STATES: u64 = 1 << 17 | 1 << 18;
    if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE == 0 {
        return false;
    }
    let has_tiles = __cpuid_count(7, 0).edx & BF16_AND_TILES == BF16_AND_TILES;
    // SAFETY: the processor has XSAVE, and the system uses it, as was seen above.
    has_tiles && unsafe { states() } & STATES == STATES
}

/// The states that the system saves.
///
/// # Safety
/// The system uses XSAVE.
#[target_feature(enable = "xsave")]
unsafe fn states() -> u64 {
    // SAFETY: as the caller's.
    unsafe { _xgetbv(0) }
}

/// Asks the system for the use of tiles, for all threads of this process.
#[cfg(target_os = "linux")]
fn ask() -> bool {
    /// The system call.
    const ARCH_PRCTL: isize = 158;
    /// `ARCH_REQ_XCOMP_PERM`
    const REQUEST: isize = 0x1023;
    /// The number of the state of tile words.
    const TILE_WORDS: isize = 18;
    let answer: isize;
    // SAFETY: this system call reads and writes no memory of ours.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => answer,
            in("rdi") REQUEST,
            in("rsi") TILE_WORDS,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    answer == 0
}

/// Other systems have not been tried.
#[cfg(not(target_os = "linux"))]
fn ask() -> bool {
    false
}

/// Runs `kernel` on the registers of this thread, and releases them: a system need not keep those of a thread that
/// waits.
///
/// # Safety
/// [`is_permitted`], and the processor has AVX-512 with BF16.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn run<K: TileKernel>(kernel: K) {
    // SAFETY: as the caller's.
    unsafe { kernel.run(&mut Amx::configured()) };
}

/// The shapes of the eight registers, as `LDTILECFG` reads them.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// All registers have all their rows and words.
static SHAPES: Shapes = Shapes {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: {
        let mut bytes = [0; 16];
        let mut register = 0;
        while register < 8 {
            bytes[register] = 4 * SIDE as u16;
            register += 1;
        }
        bytes
    },
    rows: {
        let mut rows = [0; 16];
        let mut register = 0;
        while register < 8 {
            rows[register] = SIDE as u8;
            register += 1;
        }
        rows
    },
};

/// The registers of this thread, until it is dropped. They belong to the thread, and so does this.
pub(super) struct Amx(PhantomData<*mut ()>);

impl Amx {
    /// # Safety
    /// [`is_permitted`], and no other value of this thread lives.
    #[inline(always)]
    unsafe fn configured() -> Self {
        // SAFETY: the shapes are valid, and the compiler does not use these registers.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(nostack, preserves_flags)) };
        Self(PhantomData)
    }
}

impl Drop for Amx {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the compiler does not use these registers.
        unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
    }
}

impl Tiles for Amx {
    #[inline(always)]
    fn clear<const TILE: usize>(&mut self) {
        // SAFETY: this value proves that the registers are configured.
        unsafe { asm!("tilezero tmm{}", const TILE, options(nostack, nomem, preserves_flags)) };
    }

    #[inline(always)]
    unsafe fn load<const TILE: usize>(&mut self, source: *const u32, step: usize) {
        // SAFETY: as above, and the caller guarantees sixteen rows.
        unsafe {
            asm!(
                "tileloadd tmm{tile}, [{source} + {step}*1]",
                tile = const TILE,
                source = in(reg) source,
                step = in(reg) 4 * step,
                options(nostack, readonly, preserves_flags),
            );
        }
    }

    #[inline(always)]
    unsafe fn store<const TILE: usize>(&mut self, target: *mut f32, step: usize) {
        // SAFETY: as above.
        unsafe {
            asm!(
                "tilestored [{target} + {step}*1], tmm{tile}",
                tile = const TILE,
                target = in(reg) target,
                step = in(reg) 4 * step,
                options(nostack, preserves_flags),
            );
        }
    }

    #[inline(always)]
    fn add_products<const SUMS: usize, const LEFT: usize, const RIGHT: usize>(&mut self) {
        // SAFETY: this value proves that the registers are configured.
        unsafe {
            asm!(
                "tdpbf16ps tmm{sums}, tmm{left}, tmm{right}",
                sums = const SUMS,
                left = const LEFT,
                right = const RIGHT,
                options(nostack, nomem, preserves_flags),
            );
        }
    }
}
