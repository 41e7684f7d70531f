//! Which keys of `[method]`, `[negatives]` and `[loss]` who reads: one table that validation reads and the reference shows. A key that
//! the chosen method, pool or loss does not read is refused where it says other than its default.

use super::Recipe;
use super::combinations::{name, names};
use super::learning::{LossKind, LossOptions, MethodKind, MethodOptions, NegativesKind, NegativesOptions};
use crate::error::LearnError;

/// Those who read a key.
#[derive(Debug)]
pub enum Readers {
    /// Methods.
    Methods(&'static [MethodKind]),
    /// Pools of negatives.
    Negatives(&'static [NegativesKind]),
    /// Losses.
    Losses(&'static [LossKind]),
}

/// A key that not everybody reads.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub key: &'static str,
    /// Who reads it.
    pub readers: Readers,
    /// Whether a recipe says other than the default.
    pub given: fn(&Recipe) -> bool,
}

/// Whether a key of a section differs from its default.
macro_rules! given {
    ($section:ident: $options:ident, $key:ident) => {
        |recipe| recipe.$section.$key != $options::default().$key
    };
}

/// The table.
pub const KEYS: [Key; 15] = {
    use LossKind::{Debiased, Decoupled, Hard, InfoNce, NoiseContrastive, NtXent};
    use MethodKind::{DirectClr, EndToEnd, GraphCl, InstanceDiscrimination, Moco, MocoV3, SimClr};
    use NegativesKind::{Bank, Queue};
    use Readers::{Losses, Methods, Negatives};
    const fn key(key: &'static str, readers: Readers, given: fn(&Recipe) -> bool) -> Key {
        Key { key, readers, given }
    }
    [
        key(
            "method.projection",
            Methods(&[SimClr, EndToEnd, InstanceDiscrimination, Moco, MocoV3, GraphCl]),
            given!(method: MethodOptions, projection),
        ),
        key("method.predictor", Methods(&[MocoV3]), given!(method: MethodOptions, predictor)),
        key("method.momentum", Methods(&[Moco, MocoV3]), given!(method: MethodOptions, momentum)),
        key(
            "method.momentum_schedule",
            Methods(&[Moco, MocoV3]),
            given!(method: MethodOptions, momentum_schedule),
        ),
        key("method.symmetric", Methods(&[Moco]), given!(method: MethodOptions, symmetric)),
        key("method.batch_norm_groups", Methods(&[Moco]), given!(method: MethodOptions, batch_norm_groups)),
        key("method.shuffle", Methods(&[Moco]), given!(method: MethodOptions, shuffle)),
        key("method.coordinates", Methods(&[DirectClr]), given!(method: MethodOptions, coordinates)),
        key("negatives.size", Negatives(&[Queue]), given!(negatives: NegativesOptions, size)),
        key("negatives.exclude_own", Negatives(&[Queue]), given!(negatives: NegativesOptions, exclude_own)),
        key(
            "negatives.bank_momentum",
            Negatives(&[Bank]),
            given!(negatives: NegativesOptions, bank_momentum),
        ),
        key(
            "loss.temperature",
            Losses(&[NtXent, InfoNce, Decoupled, Debiased, Hard, NoiseContrastive]),
            given!(loss: LossOptions, temperature),
        ),
        key("loss.prior", Losses(&[Debiased, Hard]), given!(loss: LossOptions, prior)),
        key("loss.concentration", Losses(&[Hard]), given!(loss: LossOptions, concentration)),
        key("loss.noise", Losses(&[NoiseContrastive]), given!(loss: LossOptions, noise)),
    ]
};

impl Key {
    /// Which choice is asked, what `recipe` chose, whether that reads the key, and who does.
    fn reading(&self, recipe: &Recipe) -> (&'static str, String, bool, String) {
        let learning = recipe.learning();
        match self.readers {
            Readers::Methods(kinds) => {
                ("method.kind", name(&learning.method), kinds.contains(&learning.method), names(kinds))
            }
            Readers::Negatives(kinds) => (
                "negatives.kind",
                name(&learning.negatives),
                kinds.contains(&learning.negatives),
                names(kinds),
            ),
            Readers::Losses(kinds) => {
                ("loss.kind", name(&learning.loss), kinds.contains(&learning.loss), names(kinds))
            }
        }
    }
}

/// Whether what `recipe` chose reads `key`; keys that the table does not have, everybody reads.
pub(super) fn reads(recipe: &Recipe, key: &str) -> bool {
    KEYS.iter().find(|known| known.key == key).is_none_or(|known| known.reading(recipe).2)
}

/// Refuses the first key that is given and not read.
///
/// # Errors
/// [`LearnError::Recipe`] names the key, what does not read it and what does.
pub(super) fn check(recipe: &Recipe) -> Result<(), LearnError> {
    for key in KEYS.iter().filter(|key| (key.given)(recipe)) {
        let (choice, chosen, is_read, readers) = key.reading(recipe);
        if !is_read {
            let reason = format!(
                "is not read where {choice} is `{chosen}`, only under {readers}; leave it out, or at its default"
            );
            return Err(LearnError::Recipe { place: key.key.to_owned(), reason });
        }
    }
    Ok(())
}

/// The table as the reference shows it.
pub fn markdown() -> String {
    let row = |Key { key, readers, .. }: &Key| {
        let (choice, kinds) = match readers {
            Readers::Methods(kinds) => ("method.kind", names(kinds)),
            Readers::Negatives(kinds) => ("negatives.kind", names(kinds)),
            Readers::Losses(kinds) => ("loss.kind", names(kinds)),
        };
        format!("| `{key}` | `{choice}`: {kinds} |\n")
    };
    let head = "| key | read under |\n|---|---|\n".to_owned();
    std::iter::once(head).chain(KEYS.iter().map(row)).collect()
}
