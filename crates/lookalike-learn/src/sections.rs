//! The sections that every recipe has: `[sampler]` and `[train]`. (`[optimizer]` stands with the optimisers.)

use serde::{Deserialize, Serialize};
use toml::Value as Toml;

use crate::engine::Precision;
use crate::options::{Bounds, COUNT, FLAG, FRACTION, Key, NOT_NEGATIVE, POSITIVE, Range, SHARE, SOME, Value};
use crate::train::checkpoint::KEPT;
use crate::train::{OracleOptions, Shape};

crate::options! {
    /// The `[train]` section.
    pub struct TrainSection {
        /// Epochs by which the schedule is laid out.
        epochs: u64 = Value::Integer(200), SOME;
        /// Optimiser steps after which the run ends early; the schedule stays that of `epochs`. Not before batches of look-alikes or mixing
        /// begin, where they are asked for.
        max_steps: Option<u64> = Value::Absent("none"), SOME;
        /// Epochs of linear warm-up, at most `epochs`.
        warmup_epochs: f64 = Value::Number(10.0), NOT_NEGATIVE;
        /// What follows the warm-up: `cosine` or `linear` to 0, step by step, `constant`, or `steps`: constant but for drops.
        schedule: Shape = Value::Text("cosine"), Range::OneOf(&["cosine", "linear", "constant", "steps"]);
        /// Of `steps`: the epochs after which the rate drops, as `[30, 40, 50]`, in rising order and not within the warm-up. In a run that is
        /// trained longer they count from the added epochs.
        drop_at: Option<Vec<f64>> = Value::Absent("none"), Range::NumberList(EPOCH);
        /// Of `steps`: what the rate is multiplied by at each drop.
        drop_factor: Option<f64> = Value::Absent("0.1"), Range::Number(Bounds { least: (0.0, false), most: (1.0, false), words: "above 0, below 1" });
        /// Batches whose gradients are averaged for one optimiser step; the negatives of each stay its own.
        accumulate: u64 = Value::Integer(1), SOME;
        /// Instances that are encoded at a time (gradient caching, Gao et al. 2021): a batch is encoded in chunks, compared as a whole and encoded
        /// again, with the gradients of the whole batch and the memory of a chunk. Refused for networks with BatchNorm, and
        /// for the nodes of one graph.
        chunk: Option<usize> = Value::Absent("the whole batch"), SOME;
        /// Parts of a batch that are encoded by themselves, with BatchNorm statistics of their own, and compared as one: what several processes share, see
        /// [many machines](../guides/many-machines.md). A power of two that divides `sampler.batch_size`.
        shards: Option<usize> = Value::Absent("1"), Range::Integer { least: 1, most: 1 << 20 };
        /// Whether all instances are embedded before the first step, by the encoder as it starts: then the first epoch has look-alikes already,
        /// with `sampler.uniform_epochs = 0`. Worth it where `encoder.weights` gives a trained encoder.
        embed_first: bool = Value::Flag(false), FLAG;
        /// Tokens that are encoded at a time, all columns together: as `chunk`, with chunks of as many instances as fit. Only for encoders of
        /// texts, and not with `chunk`.
        chunk_tokens: Option<usize> = Value::Absent("the whole batch"), SOME;
        /// Layers that do not learn, by the beginnings of their names in an export, as `["conv1", "bn1", "layer1"]`. BatchNorm in them
        /// normalises by its running statistics, which stay.
        freeze: Option<Vec<String>> = Value::Absent("none"), Range::Texts("names");
        /// Optimiser steps from one judgement by `text.development` to the next; the last step is judged too. The best step's tensors stand
        /// in the run's folder as `best.safetensors`, beside those of the last.
        evaluate_every: Option<u64> = Value::Absent("never"), SOME;
        /// Optimiser steps between checkpoints; 0: those of an epoch.
        checkpoint_every: u64 = Value::Integer(0), COUNT;
        /// Whom batches and losses take to be of one class, so that they are no negatives of each other: by the labels, or by clusters that the run finds
        /// itself. `negatives.oracle` is the labels for the loss from the first step on.
        oracle: Option<OracleOptions> = Value::Absent("none"), Range::Table(OracleOptions::KEYS);
        /// Which checkpoints the run keeps: `last`, the newest and the one before it; a number, so many of the newest; `best`, as `last`, and
        /// beside them the tensors of the best step as `best.safetensors`, for which there must be a development part
        /// (`text.development`, `data.development`).
        keep: Option<Keep> = Value::Absent("`best` where there is a development part, else `last`"), Range::Free("`last`, `best`, or 1 or more");
        /// Optimiser steps between `step` [events](events.md).
        log_every: u64 = Value::Integer(10), SOME;
        /// Where the engine computes: `cpu`, `cuda:0`, `cuda:1`, …, `wgpu`; the latter need a build with `--features cuda` or `wgpu`.
        device: String = Value::Text("cpu"), Range::Text("string");
        /// What convolutions multiply, and linear layers and attention of transformers, see below; networks of graphs have `f32` only.
        precision: Precision = Value::Text("f32"), Range::OneOf(&["f32", "bf16"]);
        /// Threads that make views; 0: one a core.
        loader_threads: usize = Value::Integer(0), Range::Integer { least: 0, most: 1024 };
        /// Batches that are kept ready at most.
        ahead: usize = Value::Integer(4), Range::Integer { least: 1, most: 1024 };
    }
}

/// Which checkpoints a run keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Toml", into = "Toml")]
pub enum Keep {
    /// The newest and the one before it.
    Last,
    /// The same, and the tensors of the best step.
    Best,
    /// So many of the newest.
    Newest(usize),
}

impl TryFrom<Toml> for Keep {
    type Error = String;

    fn try_from(value: Toml) -> Result<Self, String> {
        let number = value.as_integer().and_then(|number| usize::try_from(number).ok());
        match (value.as_str(), number) {
            (Some("last"), _) => Ok(Self::Last),
            (Some("best"), _) => Ok(Self::Best),
            (None, Some(number @ 1..)) => Ok(Self::Newest(number)),
            _ => Err(format!("keep = {value} is neither `last` nor `best` nor a number from 1 on")),
        }
    }
}

impl From<Keep> for Toml {
    fn from(keep: Keep) -> Self {
        match keep {
            Keep::Last => "last".into(),
            Keep::Best => "best".into(),
            Keep::Newest(number) => Toml::Integer(number as i64),
        }
    }
}

impl Keep {
    /// How many checkpoints it keeps.
    pub fn checkpoints(self) -> usize {
        match self {
            Self::Last | Self::Best => KEPT,
            Self::Newest(number) => number,
        }
    }
}

const EPOCH: Bounds = Bounds { least: (0.0, false), most: (f64::MAX, true), words: "above 0" };
const COSINE: Range =
    Range::Number(Bounds { least: (-1.0, true), most: (1.0, true), words: "a cosine, −1 … 1" });
const POSITIVE_SHARE: Range =
    Range::Number(Bounds { least: (0.0, false), most: (1.0, true), words: "above 0, to 1" });
const PERCENT: Range =
    Range::Number(Bounds { least: (0.0, false), most: (100.0, true), words: "above 0, to 100" });

const fn key(name: &'static str, default: Value, range: Range, about: &'static str) -> Key {
    Key { name, default, range, about }
}

/// The keys of `[sampler]`, which [`SamplerOptions`](lookalike_sampling::SamplerOptions) reads.
pub const SAMPLER: &[Key] = &[
    key(
        "kind",
        Value::Text("walk"),
        Range::OneOf(&["walk", "nearest", "gcbs", "clusters", "uniform"]),
        "`walk`: random walks over the proximity graph; `nearest`: an instance and its nearest neighbours of all; `gcbs`: stretches of an order \
         in which neighbours stand close (Sachidananda et al. 2023); `clusters`: clusters of B by balanced two-means (NGAME, TAS-B); `uniform`",
    ),
    key("batch_size", Value::Integer(256), SOME, "B, at most N"),
    key(
        "coverage",
        Value::Text("cover"),
        Range::OneOf(&["repeat", "cover"]),
        "`cover`: an instance comes at most once an epoch, all but the remainder exactly once; `repeat`, as published: it can recur in other \
         batches of an epoch, and some do not come",
    ),
    key(
        "hardness_share",
        Value::Absent("none"),
        Range::Free("0 … 1, or a table of `from`, `to` and `over_epochs`"),
        "how hard batches of `walk` are to be, as a share of the way from uniform batches, 0, to batches of nearest neighbours, 1. Candidates, \
         neighbours and restart are then found on the embeddings, at the first refresh of each epoch, and must not be given. A table goes \
         linearly from one share to the other over so many epochs",
    ),
    key(
        "budget",
        Value::Number(0.1),
        POSITIVE_SHARE,
        "with `hardness_share` and `epoch_seconds`: share of an epoch's time that its graphs may take. What that allows depends on how fast \
         the machine is, and so do then the batches",
    ),
    key(
        "epoch_seconds",
        Value::Absent("unknown: no limit"),
        POSITIVE,
        "seconds that an epoch of training takes, where that is known",
    ),
    key(
        "candidates",
        Value::Absent("1000, or all others if they are fewer"),
        COUNT,
        "M, distinct others drawn for each instance at a refresh, as published; what is given is lowered to N − 1 with a warning",
    ),
    key(
        "candidate_draw",
        Value::Text("tiles"),
        Range::OneOf(&["tiles", "independent"]),
        "how the candidates of different instances are drawn: in `tiles`, whose members share nearly all of them, or \
         `independent` of each other as in the published program, which takes about ten times as long and compares in `f32` \
         only",
    ),
    key(
        "neighbors",
        Value::Absent("100, or all candidates if they are fewer"),
        COUNT,
        "K, the most similar of them that are kept, at most M, as published; `gcbs` keeps as many of all. `nearest` keeps B − 1 instead",
    ),
    key(
        "scoring",
        Value::Text("f32"),
        Range::OneOf(&["f32", "bf16"]),
        "in which numbers candidates are compared. `bf16`: by values rounded to bfloat16, of which the best K + K/16 + 8 are \
         compared again in `f32`, so that a few of the nearest can be missed; pays with AVX512-BF16 or AMX and candidates hundreds of \
         times the neighbors, as `nearest` has on large data, and is slower with the default M and K \
         ([measured](../../benchmarks/proximity-graph/README.md))",
    ),
    key(
        "pairs",
        Value::Absent("none"),
        Range::OneOf(&["mean", "cross"]),
        "how instances are compared that are pairs of a query and a document, whose embeddings the method gives side by side; each is \
         scaled to unit length. `mean`: by (q + d)/2; `cross`: by the larger of qᵢ·dⱼ and qⱼ·dᵢ, which is what the loss contrasts. \
         Hardness is then the mean of qᵢ·dⱼ. Absent: an embedding is one row",
    ),
    key(
        "restart",
        Value::Absent("as published: 0.2 to 0.05 over 7.5 epochs"),
        Range::Table(&[
            key(
                "from",
                Value::Number(0.2),
                FRACTION,
                "probability of going back to the start at each step of a walk, in epoch 0",
            ),
            key("to", Value::Number(0.05), FRACTION, "the same at the end of its schedule"),
            key(
                "over_epochs",
                Value::Number(7.5),
                NOT_NEGATIVE,
                "epochs over which it falls linearly from the one to the other",
            ),
        ]),
        "restart probability of walks",
    ),
    key(
        "temperature",
        Value::Absent("none"),
        POSITIVE,
        "τ of `walk`, which goes to a neighbour with a probability in proportion to exp(similarity/τ); absent: to each alike, \
         as published",
    ),
    key(
        "uniform_fraction",
        Value::Number(0.0),
        SHARE,
        "share of each batch that is drawn uniformly from the instances unused so far; the rest is found by `kind`",
    ),
    key(
        "similarity_ceiling",
        Value::Absent("none"),
        COSINE,
        "nobody shares a batch with an instance of a higher similarity, as far as embeddings are known: such instances are likely the same \
         thing. Where nobody below it is left a place goes to one that the epoch had already, or else to one above, with a warning",
    ),
    key(
        "pair_percentile",
        Value::Absent("none"),
        PERCENT,
        "the same, the ceiling being the similarity that this percentage of all pairs of instances do not exceed, estimated anew at each \
         refresh; not with another ceiling",
    ),
    key(
        "edge_percentile",
        Value::Absent("none"),
        PERCENT,
        "the same, the ceiling being the similarity that this percentage of the graph's edges do not exceed, found anew at each \
         refresh; not with another ceiling",
    ),
    key(
        "similarity_to_positive",
        Value::Absent("none"),
        POSITIVE_SHARE,
        "of `pairs`: i and j do not share a batch where query i is closer to document j than this share of its similarity to its own \
         document, or query j to document i. Document j may answer query i as well. Published for mined \
         negatives: 0.95 (NV-Retriever). With a ceiling two instances must be below both",
    ),
    key("refresh_every", Value::Integer(100), SOME, "batches from one refresh of the graph to the next"),
    key(
        "uniform_epochs",
        Value::Integer(1),
        COUNT,
        "first epochs, whose batches are uniform while they gather embeddings; below `train.epochs`",
    ),
    key(
        "uniform_every",
        Value::Absent("none"),
        Range::Integer { least: 2, most: i64::MAX },
        "every so many epochs, from epoch 0 on, one is uniform too, for losses that need batches of all kinds of instances \
         (`contrastive-clustering` with `columns = \"uniform\"`)",
    ),
    key(
        "last_batch",
        Value::Text("drop"),
        Range::OneOf(&["drop", "keep"]),
        "`drop`: ⌊N/B⌋ batches an epoch, who is left out is drawn anew every epoch; `keep`: ⌈N/B⌉, the last one smaller, as \
         published for graphs",
    ),
    key(
        "batch_order",
        Value::Absent("`planned`"),
        Range::OneOf(&["planned", "shuffled"]),
        "the order of the batches of look-alikes from one refresh to the next. `planned`: under `cover` `walk` and `nearest` have the hard ones \
         first, for the instances that are left to the end are far from each other; `shuffled`: drawn anew, so that a falling learning rate \
         meets hard and easy ones alike. Those of `gcbs` and `clusters` are drawn already",
    ),
    key(
        "reshuffle",
        Value::Absent("`true`"),
        FLAG,
        "`false`: uniform batches are those of epoch 0 in every epoch, as in GraphCL's code",
    ),
];

#[cfg(test)]
mod tests {
    use lookalike_sampling::SamplerOptions;
    use toml::{Table, Value as Toml};

    use super::*;
    use crate::options::filled;

    #[test]
    fn the_declared_keys_and_defaults_of_the_sampler_are_those_that_it_reads() {
        let declared = filled(SAMPLER, Table::new());
        let options: SamplerOptions = Toml::Table(declared.clone()).try_into().unwrap();
        assert_eq!(options, SamplerOptions::default());
        // Every key is one that the sampler knows: it refuses others.
        for key in SAMPLER.iter().filter(|key| key.default_value().is_none()) {
            let mut with = declared.clone();
            let value = match key.name {
                "reshuffle" => Toml::Boolean(true),
                "batch_order" => Toml::String("shuffled".to_owned()),
                "pairs" => Toml::String("mean".to_owned()),
                "candidates" | "neighbors" | "uniform_every" => Toml::Integer(7),
                "restart" => Toml::Table(Table::new()),
                _ => Toml::Float(0.5),
            };
            with.insert(key.name.to_owned(), value);
            assert!(Toml::Table(with).try_into::<SamplerOptions>().is_ok(), "{}", key.name);
        }
        let written = Toml::try_from(SamplerOptions::default()).unwrap();
        for name in written.as_table().unwrap().keys() {
            assert!(SAMPLER.iter().any(|key| key.name == name), "{name} is not declared");
        }
    }
}
