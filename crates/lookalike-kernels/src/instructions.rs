//! Which instructions compute: the best that this processor has, or lower ones if `LOOKALIKE_ISA` names them.

use std::sync::OnceLock;

use crate::error::KernelError;
use crate::map::Precision;
use crate::tiles::TileUnit;

/// Sets of instructions, the lowest first. Each has all that come before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Whatever the target guarantees.
    Portable,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// 512-bit vectors with fused multiply-add.
    Avx512,
    /// Products of two pairs of bfloat16 in one instruction.
    Avx512Bf16,
    /// Products of tiles of bfloat16: 16 × 32 by 32 × 16 in one instruction.
    Amx,
}

impl Isa {
    const ALL: [Self; 5] = [Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Bf16, Self::Amx];

    /// As `LOOKALIKE_ISA` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512-bf16",
            Self::Amx => "amx",
        }
    }

    /// The best that this processor has, and that the system lets us use. It is asked for tiles only with `tiles`.
    fn best(tiles: bool) -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                return match is_x86_feature_detected!("avx512bf16") {
                    true if tiles && TileUnit::detect().is_some() => Self::Amx,
                    true => Self::Avx512Bf16,
                    false => Self::Avx512,
                };
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self::Avx2;
            }
        }
        Self::Portable
    }

    /// Those named `wanted`, or the `best` if nothing is wanted.
    fn choose(best: Self, wanted: Option<&str>) -> Result<Self, KernelError> {
        let Some(wanted) = wanted else { return Ok(best) };
        let available = Self::ALL.into_iter().filter(|isa| *isa <= best);
        available.clone().find(|isa| isa.name() == wanted).ok_or_else(|| KernelError::Isa {
            wanted: wanted.to_owned(),
            available: available.map(Self::name).collect::<Vec<_>>().join(", "),
        })
    }
}

/// The instructions by which this process computes: the best there are, or those that the environment variable
/// `LOOKALIKE_ISA` names, for whoever wants to measure or to repeat what another machine computed.
///
/// # Errors
/// [`KernelError::Isa`] if the variable names none that this processor has. The kernels use the best then; programs
/// are expected to ask before they begin.
pub fn isa() -> Result<Isa, KernelError> {
    static ISA: OnceLock<Result<Isa, KernelError>> = OnceLock::new();
    let choose = || {
        let wanted = std::env::var_os("LOOKALIKE_ISA");
        let wanted = wanted.map(|wanted| wanted.to_string_lossy().into_owned());
        match Isa::choose(Isa::best(false), wanted.as_deref()) {
            Ok(lower) if wanted.is_some() => Ok(lower),
            _ => Isa::choose(Isa::best(true), wanted.as_deref()),
        }
    };
    ISA.get_or_init(choose).clone()
}

fn current() -> Isa {
    isa().unwrap_or_else(|_| Isa::best(true))
}

/// The name of the instructions that decide the last bits of results in this precision. Products of `f32` have no
/// use for those that multiply bfloat16.
pub fn level(precision: Precision) -> &'static str {
    let isa = match precision {
        Precision::F32 => current().min(Isa::Avx512),
        Precision::Bf16 => current(),
    };
    isa.name()
}

/// A level of vector instructions. It is detected once a call, so that the inner loops have no branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// As [`Isa::Portable`].
    Portable,
    /// As [`Isa::Avx2`].
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// As [`Isa::Avx512`] and those above it.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// That by which this process computes.
    pub(crate) fn detect() -> Self {
        Self::of(current())
    }

    fn of(isa: Isa) -> Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => Self::Avx512,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Self::Avx2,
            _ => Self::Portable,
        }
    }

    /// Every level that this processor has.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        let best = Isa::best(false).min(Isa::Avx512);
        Isa::ALL.into_iter().filter(|isa| *isa <= best).map(Self::of).collect()
    }
}

/// How bfloat16 is multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bf16Products {
    /// Widened to `f32`.
    Widened,
    /// Two pairs in one instruction, in vectors.
    Pairs,
    /// Tiles of pairs.
    Tiles(TileUnit),
}

impl Bf16Products {
    /// As this process multiplies.
    pub(crate) fn detect() -> Self {
        match current() {
            Isa::Amx => TileUnit::detect().map_or(Self::Pairs, Self::Tiles),
            Isa::Avx512Bf16 => Self::Pairs,
            _ => Self::Widened,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_chosen_unless_a_lower_one_is_named() {
        for best in Isa::ALL {
            assert_eq!(Isa::choose(best, None), Ok(best));
            for wanted in Isa::ALL {
                let chosen = Isa::choose(best, Some(wanted.name()));
                assert_eq!(chosen.is_ok(), wanted <= best);
                assert!(chosen.is_err() || chosen == Ok(wanted));
            }
        }
        let error = Isa::choose(Isa::Avx512, Some("AVX512")).unwrap_err().to_string();
        assert_eq!(
            error,
            "LOOKALIKE_ISA is \"AVX512\": this processor can be held to portable, avx2, avx512"
        );
    }

    #[test]
    fn instructions_above_vectors_do_not_name_the_level_of_f32() {
        assert!(["portable", "avx2", "avx512"].contains(&level(Precision::F32)));
        assert_eq!(level(Precision::Bf16), current().name());
    }
}
