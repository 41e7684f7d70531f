//! What goes with what: one table that validation reads and the reference shows, and the refusals beside it.

use super::encoder::EncoderKind;
use super::graphs::GRAPH_REFUSALS;
use super::learning::{LossKind, MethodKind, NegativesKind};
use super::{Recipe, readers};
use crate::error::LearnError;
use lookalike_data::graph::Variant;
use lookalike_sampling::{LastBatch, SamplerKind};

/// What a method goes with; what comes first is its own choice.
#[derive(Debug)]
pub struct Combination {
    /// The method.
    pub method: MethodKind,
    /// The encoders it can train; `gin` and `gcn` read graphs, the others images.
    pub encoders: &'static [EncoderKind],
    /// Where its negatives can come from.
    pub negatives: &'static [NegativesKind],
    /// The losses it can minimise.
    pub losses: &'static [LossKind],
    /// Its own temperature τ; 1 where its losses have none.
    pub temperature: f32,
}

/// The table.
pub const COMBINATIONS: [Combination; 10] = {
    use EncoderKind::{Gcn, Gin, ResNet18, ResNet34, ResNet50, Small};
    use LossKind::{
        Alignment, CrossEntropy, Debiased, Decoupled, Hard, InfoNce, JensenShannon, NoiseContrastive, NtXent,
    };
    use MethodKind::{
        DirectClr, EndToEnd, GraphCl, InstanceDiscrimination, Moco, MocoV3, Mvgrl, MvgrlNodes, SimClr,
        Supervised,
    };
    use NegativesKind::{Absent, Bank, Batch, Queue};
    const ANY: &[EncoderKind] = &[ResNet18, ResNet34, ResNet50, Small, Gin];
    const IMAGES: &[EncoderKind] = &[ResNet18, ResNet34, ResNet50, Small];
    const ALL: &[LossKind] = &[InfoNce, Debiased, Hard, Alignment];
    [
        Combination {
            method: SimClr,
            encoders: ANY,
            negatives: &[Batch],
            losses: &[NtXent, Debiased, Hard, InfoNce, Alignment],
            temperature: 0.5,
        },
        Combination { method: DirectClr, encoders: ANY, negatives: &[Batch], losses: ALL, temperature: 0.1 },
        Combination { method: EndToEnd, encoders: ANY, negatives: &[Batch], losses: ALL, temperature: 0.07 },
        Combination {
            method: InstanceDiscrimination,
            encoders: ANY,
            negatives: &[Bank],
            losses: &[InfoNce, Debiased, Hard, NoiseContrastive],
            temperature: 0.07,
        },
        Combination {
            method: Moco,
            encoders: ANY,
            negatives: &[Queue, Batch],
            losses: ALL,
            temperature: 0.2,
        },
        Combination { method: MocoV3, encoders: ANY, negatives: &[Batch], losses: ALL, temperature: 1.0 },
        Combination {
            method: GraphCl,
            encoders: &[Gin],
            negatives: &[Batch],
            losses: &[NtXent, Decoupled, Debiased, Hard],
            temperature: 0.2,
        },
        Combination {
            method: Mvgrl,
            encoders: &[Gcn],
            negatives: &[Batch],
            losses: &[JensenShannon, InfoNce, Decoupled, Debiased, Hard],
            temperature: 0.2,
        },
        Combination {
            method: MvgrlNodes,
            encoders: &[Gcn],
            negatives: &[Batch],
            losses: &[JensenShannon],
            temperature: 0.2,
        },
        // Not of graphs: these are cross-validated on the very set that is learned from, so its labels must not be seen.
        Combination {
            method: Supervised,
            encoders: IMAGES,
            negatives: &[Absent],
            losses: &[CrossEntropy],
            temperature: 1.0,
        },
    ]
};

/// The row of `method`.
pub fn of(method: MethodKind) -> &'static Combination {
    let row = COMBINATIONS.iter().find(|row| row.method == method);
    row.unwrap_or_else(|| unreachable!("every method has a row"))
}

/// The name that a recipe gives to `kind`.
pub fn name<K: serde::Serialize>(kind: &K) -> String {
    serde_json::to_value(kind).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The names of `kinds`, as the reference shows them.
pub(super) fn names<K: serde::Serialize>(kinds: &[K]) -> String {
    kinds.iter().map(|kind| format!("`{}`", name(kind))).collect::<Vec<String>>().join(", ")
}

/// The table as the reference shows it.
pub fn markdown() -> String {
    let row = |Combination { method, encoders, negatives, losses, temperature }: &Combination| {
        let (method, encoders) = (name(method), names(encoders));
        let temperature = match losses {
            [LossKind::CrossEntropy] => "–".to_owned(),
            _ => temperature.to_string(),
        };
        let (negatives, losses) = (names(negatives), names(losses));
        format!("| `{method}` | {encoders} | {negatives} | {losses} | {temperature} |\n")
    };
    let head = "| `method.kind` | `encoder.kind` | `negatives.kind` | `loss.kind` | `loss.temperature` |\n|---|---|---|---|---|\n";
    std::iter::once(head.to_owned()).chain(COMBINATIONS.iter().map(row)).collect()
}

/// A combination or value that is refused.
pub struct Refusal {
    /// The key that the error names.
    pub key: &'static str,
    /// Why, and what would be right.
    pub reason: &'static str,
    /// Whether the recipe has it.
    pub applies: fn(&Recipe) -> bool,
}

/// Candidates for a query's negatives where their number does not depend on the data; `None` for a bank.
fn pool(recipe: &Recipe) -> Option<usize> {
    let batch = recipe.sampler.batch_size;
    let learning = recipe.learning();
    match learning.negatives {
        NegativesKind::Queue => Some(recipe.negatives.size),
        NegativesKind::Bank => None,
        NegativesKind::Absent => Some(0),
        NegativesKind::Batch => {
            let all_views = match learning.method {
                MethodKind::SimClr => learning.loss != LossKind::InfoNce,
                MethodKind::GraphCl => recipe.variant() == Variant::Paper,
                _ => false,
            };
            Some(if all_views { 2 * batch.saturating_sub(1) } else { batch.saturating_sub(1) })
        }
    }
}

/// Whether the loss is a softmax over negatives.
fn has_softmax(recipe: &Recipe) -> bool {
    let without =
        [LossKind::Alignment, LossKind::NoiseContrastive, LossKind::JensenShannon, LossKind::CrossEntropy];
    !without.contains(&recipe.learning().loss)
}

fn groups(recipe: &Recipe) -> Option<usize> {
    (recipe.method.kind == MethodKind::Moco).then_some(recipe.method.batch_norm_groups)
}

fn is_positive(value: f32) -> bool {
    value > 0.0 && value.is_finite()
}

/// What is refused beside the combinations that the table does not have.
pub const REFUSALS: [Refusal; 19] = [
    Refusal {
        key: "loss.temperature",
        reason: "must be above 0",
        applies: |recipe| !is_positive(recipe.learning().temperature),
    },
    Refusal {
        key: "loss.prior",
        reason: "must be at least 0 and below 1: it is the share of negatives that are of the query's class",
        applies: |recipe| !(0.0..1.0).contains(&recipe.loss.prior),
    },
    Refusal {
        key: "loss.concentration",
        reason: "must not be negative",
        applies: |recipe| !(recipe.loss.concentration >= 0.0 && recipe.loss.concentration.is_finite()),
    },
    Refusal { key: "loss.noise", reason: "must be at least 1", applies: |recipe| recipe.loss.noise == 0 },
    Refusal {
        key: "method.momentum",
        reason: "must be at least 0 and below 1; at 1 the momentum encoder would never move",
        applies: |recipe| recipe.method.momentum.is_some_and(|momentum| !(0.0..1.0).contains(&momentum)),
    },
    Refusal {
        key: "method.coordinates",
        reason: "must be at least 1 and at most the length of the encoder's representation",
        applies: |recipe| {
            recipe.method.kind == MethodKind::DirectClr
                && !(1..=recipe.dimension()).contains(&recipe.method.coordinates)
        },
    },
    Refusal {
        key: "method.predictor.layers",
        reason: "must be at least 1: MoCo v3 without a predictor is `moco` with `negatives.kind = \"batch\"`",
        applies: |recipe| recipe.method.kind == MethodKind::MocoV3 && recipe.method.predictor.layers == 0,
    },
    Refusal {
        key: "method.batch_norm_groups",
        reason: "must divide sampler.batch_size into groups of at least 2 images; a single image has no variance",
        applies: |recipe| {
            let batch = recipe.sampler.batch_size;
            groups(recipe).is_some_and(|groups| {
                groups == 0 || (groups > 1 && (!batch.is_multiple_of(groups) || batch / groups < 2))
            })
        },
    },
    Refusal {
        key: "method.shuffle",
        reason: "does nothing where all images share their BatchNorm statistics; set method.batch_norm_groups above 1, \
                 or method.shuffle = false",
        applies: |recipe| recipe.method.shuffle && groups(recipe) == Some(1),
    },
    Refusal {
        key: "negatives.size",
        reason: "must be at least sampler.batch_size, twice that where method.symmetric: a queue holds a batch's keys",
        applies: |recipe| {
            let keys = recipe.sampler.batch_size * if recipe.method.symmetric { 2 } else { 1 };
            recipe.learning().negatives == NegativesKind::Queue && recipe.negatives.size < keys
        },
    },
    Refusal {
        key: "negatives.bank_momentum",
        reason: "must be at least 0 and below 1",
        applies: |recipe| !(0.0..1.0).contains(&recipe.negatives.bank_momentum),
    },
    Refusal {
        key: "negatives.oracle",
        reason: "leaves out negatives of a softmax; losses `alignment`, `jensen-shannon` and `cross-entropy` have none, and \
                 `noise-contrastive` must have them as drawn",
        applies: |recipe| recipe.negatives.oracle && !has_softmax(recipe),
    },
    Refusal {
        key: "negatives.mixing",
        reason: "adds negatives to a softmax over negatives; losses `alignment`, `noise-contrastive`, `jensen-shannon` and \
                 `cross-entropy` are none",
        applies: |recipe| recipe.negatives.mixing.is_some() && !has_softmax(recipe),
    },
    Refusal {
        key: "negatives.mixing",
        reason: "there is nothing to mix: a batch of one instance has no negatives",
        applies: |recipe| recipe.negatives.mixing.is_some() && pool(recipe) == Some(0),
    },
    Refusal {
        key: "negatives.mixing.hardest",
        reason: "must be at least 1, and at most the number of negatives a query has: negatives.size with a queue, with a \
                 batch of B 2B − 2 under the losses of SimCLR that compare all views, else B − 1",
        applies: |recipe| {
            recipe.negatives.mixing.is_some_and(|mixing| {
                mixing.hardest == 0 || pool(recipe).is_some_and(|pool| mixing.hardest > pool)
            })
        },
    },
    Refusal {
        key: "negatives.mixing",
        reason: "makes nothing: between and with_query are both 0",
        applies: |recipe| {
            recipe.negatives.mixing.is_some_and(|mixing| mixing.between + mixing.with_query == 0)
        },
    },
    Refusal {
        key: "negatives.mixing.warm_up",
        reason: "must be at least 0 and below 1: it is a share of the run, and at 1 mixing would never begin",
        applies: |recipe| recipe.negatives.mixing.is_some_and(|mixing| !(0.0..1.0).contains(&mixing.warm_up)),
    },
    Refusal {
        key: "sampler.batch_size",
        reason: "must be at least 2 where negatives come from the batch",
        applies: |recipe| recipe.learning().negatives == NegativesKind::Batch && pool(recipe) == Some(0),
    },
    Refusal {
        key: "sampler.uniform_epochs",
        reason: "must be below train.epochs: all batches would be uniform; if they are to be, set sampler.kind = \"uniform\"",
        applies: |recipe| {
            recipe.sampler.kind != SamplerKind::Uniform
                && recipe.sampler.uniform_epochs >= recipe.train.epochs
        },
    },
];

/// Refuses what the table does not have, then keys that nobody would read, then the refusals in their order.
///
/// # Errors
/// [`LearnError::Recipe`] names the key, what is wrong and what would be right.
pub(super) fn check(recipe: &Recipe) -> Result<(), LearnError> {
    let refuse = |place: &str, reason: String| Err(LearnError::Recipe { place: place.to_owned(), reason });
    let learning = recipe.learning();
    let row = of(learning.method);
    let method = name(&learning.method);
    let encoder = recipe.encoder();
    if !row.encoders.contains(&encoder) {
        let (asked, known) = (name(&encoder), names(row.encoders));
        return refuse(
            "encoder.kind",
            format!("`{asked}` does not go with method `{method}`, which takes {known}"),
        );
    }
    if !row.negatives.contains(&learning.negatives) {
        let (asked, known) = (name(&learning.negatives), names(row.negatives));
        return refuse(
            "negatives.kind",
            format!("`{asked}` does not go with method `{method}`, which takes {known}"),
        );
    }
    if !row.losses.contains(&learning.loss) {
        let (asked, known) = (name(&learning.loss), names(row.losses));
        return refuse(
            "loss.kind",
            format!("`{asked}` does not go with method `{method}`, which takes {known}"),
        );
    }
    readers::check(recipe)?;
    match REFUSALS.iter().chain(&GRAPH_REFUSALS).find(|refusal| (refusal.applies)(recipe)) {
        Some(refusal) => refuse(refusal.key, refusal.reason.to_owned()),
        None => Ok(()),
    }
}

/// What the key at `place` asks for labels that are not there.
pub(crate) fn labels_needed(place: &str) -> LearnError {
    let reason = "needs a label for every instance to train on; the data have none";
    LearnError::Recipe { place: place.to_owned(), reason: reason.to_owned() }
}

impl Recipe {
    /// Checks what needs the number of instances and whether they have labels, before a single step.
    ///
    /// # Errors
    /// [`LearnError::Recipe`], as in validation.
    pub fn check_with_data(&self, instances: usize, labelled: bool, steps: u64) -> Result<(), LearnError> {
        let refuse =
            |place: &str, reason: String| Err(LearnError::Recipe { place: place.to_owned(), reason });
        let negatives = &self.negatives;
        let kind = self.learning().negatives;
        let batch = self.sampler.batch_size;
        let rest = self.sampler.last_batch == LastBatch::Keep && instances % batch.max(1) == 1;
        if kind == NegativesKind::Batch && rest {
            let reason = format!(
                "{batch} leave one of {instances} instances for the last batch, which is kept, and it would have no negatives; \
                 take another size, or sampler.last_batch = \"drop\""
            );
            return refuse("sampler.batch_size", reason);
        }
        let (groups, rest) = (groups(self).unwrap_or(1), instances % batch.max(1));
        if self.sampler.last_batch == LastBatch::Keep
            && groups > 1
            && rest > 0
            && (rest % groups > 0 || rest / groups < 2)
        {
            let reason = format!(
                "{batch} leave {rest} of {instances} instances for the last batch, which is kept, and they do not divide into \
                 {groups} groups of at least 2; take another size, or sampler.last_batch = \"drop\""
            );
            return refuse("sampler.batch_size", reason);
        }
        let keys = instances * if self.method.symmetric { 2 } else { 1 };
        for (asked, place) in [
            (negatives.oracle, "negatives.oracle"),
            (self.method.kind == MethodKind::Supervised, "method.kind"),
        ] {
            if asked && !labelled {
                return Err(labels_needed(place));
            }
        }
        if kind == NegativesKind::Queue && negatives.size >= keys && !negatives.exclude_own {
            let reason = format!(
                "{} keys are those of every one of the {instances} instances: each query would meet older keys of its own as \
                 negatives; take fewer than {keys}, or set negatives.exclude_own = true",
                negatives.size
            );
            return refuse("negatives.size", reason);
        }
        self.check_length(instances, steps)?;
        let Some(mixing) = negatives.mixing else { return Ok(()) };
        if kind == NegativesKind::Bank && mixing.hardest >= instances {
            let reason = format!("must be below {instances}, the number of entries of the bank");
            return refuse("negatives.mixing.hardest", reason);
        }
        Ok(())
    }

    /// Checks that what begins later than the run begins before its end, `steps` being those of its schedule.
    fn check_length(&self, instances: usize, steps: u64) -> Result<(), LearnError> {
        let (train, sampler) = (&self.train, &self.sampler);
        let last = train.max_steps.map_or(steps, |most| most.min(steps));
        let refuse = |place: &str, what: &str, begins: u64| {
            let (place, whole) = if last < steps {
                ("train.max_steps", format!(" instead of its {steps}"))
            } else {
                (place, String::new())
            };
            let reason =
                format!("the run ends after {last} steps{whole}, before {what} with step {}", begins + 1);
            Err(LearnError::Recipe { place: place.to_owned(), reason })
        };
        let batches =
            lookalike_sampling::batches_per_epoch(instances, sampler.batch_size, sampler.last_batch) as u64;
        // The first graph is made of the embeddings of the uniform epochs, or of those of the batches before the first refresh.
        let uniform = match sampler.uniform_epochs {
            0 => batches.min(sampler.refresh_every),
            epochs => epochs.saturating_mul(batches),
        };
        if sampler.kind != SamplerKind::Uniform && uniform / train.accumulate >= last {
            let what = format!("batches of look-alikes (sampler.kind = \"{}\") begin", name(&sampler.kind));
            return refuse("sampler.uniform_epochs", &what, uniform / train.accumulate);
        }
        let mixing = self.negatives.mixing.map(|mixing| (mixing.warm_up * steps as f64).ceil() as u64);
        match mixing.filter(|begins| *begins >= last) {
            Some(begins) => refuse("negatives.mixing.warm_up", "mixing begins", begins),
            None => Ok(()),
        }
    }
}
