//! The section `[graphs]`, and what recipes on graphs and on images refuse of each other.

use lookalike_data::graph::{
    DiffusionOptions, Feature, FeatureRule, GraphAugmentKind, GraphAugmentOptions, GraphAugmentation, Variant,
};
use lookalike_data::image::augment::AugmentOptions;
use lookalike_metrics::SvmKernel;
use serde::{Deserialize, Serialize};

use super::combinations::Refusal;
use super::{EncoderKind, MethodKind, Modality, Recipe};
use crate::engine::Precision;
use crate::error::LearnError;
use crate::evaluate::EvaluateOptions;

/// The `[graphs]` section: how nodes are described and views made.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GraphsSection {
    /// What describes a node; if absent what the paper takes for a set of the kind, see [`FeatureRule`].
    pub features: Option<FeatureRule>,
    /// How a view is made, of methods that augment; `random4` with the published amounts if absent.
    pub augment: Option<GraphAugmentOptions>,
    /// The second view of MVGRL, on graphs and on nodes; `PageRank` with α = 0.2 if absent.
    pub diffusion: Option<DiffusionOptions>,
}

impl GraphsSection {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Most layers and greatest width of a network for graphs: far above any published, far below what exhausts memory.
const MOST_LAYERS: usize = 64;
const MOST_WIDTH: usize = 8192;

/// Fold seeds of the published protocol.
const FOLD_SEEDS: usize = 5;

impl Recipe {
    /// Whom to follow where a paper and its published code differ.
    pub fn variant(&self) -> Variant {
        self.method.variant.unwrap_or_default()
    }

    /// How views of graphs are made, after the variant that the method follows.
    ///
    /// # Errors
    /// [`lookalike_data::DataError::Option`] where a share is impossible.
    pub fn graph_augment(&self) -> Result<GraphAugmentation, lookalike_data::DataError> {
        GraphAugmentOptions { variant: self.variant(), ..self.augmentation() }.validate()
    }

    /// The augmentation that the recipe asks for, or GraphCL's own.
    fn augmentation(&self) -> GraphAugmentOptions {
        let own = || GraphAugmentOptions::published(GraphAugmentKind::Random4, Variant::Paper);
        self.graphs.augment.clone().unwrap_or_else(own)
    }

    /// The diffusion that MVGRL contrasts a graph with, after the variant that it follows.
    pub fn diffusion(&self) -> DiffusionOptions {
        DiffusionOptions { variant: self.variant(), ..self.graphs.diffusion.unwrap_or_default() }
    }

    /// The machine that scores embeddings of graphs: the paper's.
    pub fn svm(&self) -> SvmKernel {
        self.evaluate.svm.unwrap_or(match self.method.kind {
            MethodKind::Mvgrl => SvmKernel::Linear,
            _ => SvmKernel::Rbf,
        })
    }

    /// Seeds by which folds are drawn.
    pub fn fold_seeds(&self) -> usize {
        self.evaluate.fold_seeds.unwrap_or(FOLD_SEEDS)
    }

    /// Checks what only graphs have, and writes out what the recipe leaves to the method.
    pub(super) fn validate_graphs(&mut self) -> Result<(), LearnError> {
        if self.modality() == Modality::Images {
            return Ok(());
        }
        let refuse = |error: lookalike_data::DataError| LearnError::Recipe {
            place: "graphs".to_owned(),
            reason: error.to_string(),
        };
        if diffuses(self) {
            let diffusion = self.diffusion();
            diffusion.validate().map_err(refuse)?;
            self.graphs.diffusion = Some(DiffusionOptions { variant: Variant::Paper, ..diffusion });
        } else {
            self.graph_augment().map_err(refuse)?;
            self.graphs.augment = Some(self.augmentation());
        }
        if has_variant(self) {
            self.method.variant = Some(self.variant());
        }
        if self.method.kind == MethodKind::GraphCl && self.variant() == Variant::Original {
            // Its loader never draws batches again.
            self.sampler.reshuffle.get_or_insert(false);
        }
        if self.modality() == Modality::Graphs {
            self.evaluate.svm = Some(self.svm());
            self.evaluate.fold_seeds = Some(self.fold_seeds());
        } else {
            self.graphs.features = Some(node_features());
        }
        Ok(())
    }
}

/// What nodes of one graph are described by.
fn node_features() -> FeatureRule {
    FeatureRule::of(vec![Feature::Attributes])
}

fn is(recipe: &Recipe, modality: Modality) -> bool {
    recipe.modality() == modality
}

/// Whether the method contrasts a graph with its diffusion.
fn diffuses(recipe: &Recipe) -> bool {
    matches!(recipe.method.kind, MethodKind::Mvgrl | MethodKind::MvgrlNodes)
}

fn has_variant(recipe: &Recipe) -> bool {
    matches!(recipe.method.kind, MethodKind::GraphCl | MethodKind::Mvgrl)
}

/// What is refused because it is of the other kind of data.
pub const GRAPH_REFUSALS: [Refusal; 23] = [
    Refusal {
        key: "augment",
        reason: "says how views of images are made; those of graphs are made by `graphs.augment`",
        applies: |recipe| !is(recipe, Modality::Images) && recipe.augment != AugmentOptions::default(),
    },
    Refusal {
        key: "data.skip_corrupt",
        reason: "is of folders of images; a graph that cannot be read is an error",
        applies: |recipe| !is(recipe, Modality::Images) && recipe.data.skip_corrupt,
    },
    Refusal {
        key: "encoder.stem",
        reason: "is of networks for images",
        applies: |recipe| !is(recipe, Modality::Images) && recipe.encoder.stem.is_some(),
    },
    Refusal {
        key: "encoder.layers",
        reason: "is of `gin` and `gcn`; the layers of networks for images are given by their name",
        applies: |recipe| is(recipe, Modality::Images) && recipe.encoder.layers.is_some(),
    },
    Refusal {
        key: "encoder.layers",
        reason: "must be at least 1",
        applies: |recipe| recipe.encoder.layers == Some(0),
    },
    Refusal {
        key: "encoder.layers",
        reason: "must be at most 64",
        applies: |recipe| recipe.encoder.layers.is_some_and(|layers| layers > MOST_LAYERS),
    },
    Refusal {
        key: "encoder.width",
        reason: "is of `gin` and `gcn`; the widths of networks for images are given by their name",
        applies: |recipe| is(recipe, Modality::Images) && recipe.encoder.width.is_some(),
    },
    Refusal {
        key: "encoder.width",
        reason: "must be at least 1",
        applies: |recipe| recipe.encoder.width == Some(0),
    },
    Refusal {
        key: "encoder.width",
        reason: "must be at most 8192",
        applies: |recipe| recipe.encoder.width.is_some_and(|width| width > MOST_WIDTH),
    },
    Refusal {
        key: "encoder.read_out",
        reason: "is of `gin`; MVGRL sums, and networks for images have none",
        applies: |recipe| recipe.encoder() != EncoderKind::Gin && recipe.encoder.read_out.is_some(),
    },
    Refusal {
        key: "graphs",
        reason: "is of recipes whose encoder reads graphs, `gin` and `gcn`",
        applies: |recipe| is(recipe, Modality::Images) && !recipe.graphs.is_empty(),
    },
    Refusal {
        key: "graphs.augment",
        reason: "has no effect: MVGRL contrasts a graph with its diffusion, see `graphs.diffusion`",
        applies: |recipe| diffuses(recipe) && recipe.graphs.augment.is_some(),
    },
    Refusal {
        key: "graphs.diffusion",
        reason: "is of methods `mvgrl` and `mvgrl-nodes`; the others augment, see `graphs.augment`",
        applies: |recipe| !diffuses(recipe) && recipe.graphs.diffusion.is_some(),
    },
    Refusal {
        key: "graphs.features",
        reason: "must be { parts = [\"attributes\"] }, or absent: the nodes of one graph are described by their attributes",
        applies: |recipe| {
            is(recipe, Modality::Nodes)
                && recipe.graphs.features.as_ref().is_some_and(|rule| *rule != node_features())
        },
    },
    Refusal {
        key: "method.variant",
        reason: "is of `graphcl` and `mvgrl`, whose published code differs from the paper; that of MVGRL on nodes does not",
        applies: |recipe| !has_variant(recipe) && recipe.method.variant.is_some(),
    },
    Refusal {
        key: "method.batch_norm_groups",
        reason: "must be 1 on graphs, with method.shuffle = false: BatchNorm is over nodes there, and groups of them would cut graphs",
        applies: |recipe| {
            is(recipe, Modality::Graphs)
                && recipe.method.kind == MethodKind::Moco
                && (recipe.method.batch_norm_groups > 1 || recipe.method.shuffle)
        },
    },
    Refusal {
        key: "train.precision",
        reason: "`bf16` is of convolutions, and networks for graphs have none",
        applies: |recipe| !is(recipe, Modality::Images) && recipe.train.precision != Precision::F32,
    },
    Refusal {
        key: "evaluate.svm",
        reason: "and `fold_seeds` are of graphs, which are cross-validated; images are scored by kNN and a linear probe, \
                 nodes by the probe",
        applies: |recipe| {
            let evaluate = &recipe.evaluate;
            !is(recipe, Modality::Graphs) && (evaluate.svm.is_some() || evaluate.fold_seeds.is_some())
        },
    },
    Refusal {
        key: "evaluate.fold_seeds",
        reason: "must be at least 1",
        applies: |recipe| recipe.evaluate.fold_seeds == Some(0),
    },
    Refusal {
        key: "evaluate",
        reason: "kNN (`knn_k`, `knn_temperature`) is of images; graphs are scored by `svm` over `fold_seeds`, nodes by a \
                 linear probe",
        applies: |recipe| {
            let (given, own) = (&recipe.evaluate, EvaluateOptions::default());
            let temperature = (given.knn_temperature - own.knn_temperature).abs() > f32::EPSILON;
            !is(recipe, Modality::Images) && (given.knn_k != own.knn_k || temperature)
        },
    },
    Refusal {
        key: "evaluate",
        reason: "the linear probe (`probe_epochs`, `probe_labels_per_class`) is of images and nodes; graphs are scored by \
                 `svm` over `fold_seeds`",
        applies: |recipe| {
            let (given, own) = (&recipe.evaluate, EvaluateOptions::default());
            is(recipe, Modality::Graphs)
                && (given.probe_epochs, given.probe_labels_per_class)
                    != (own.probe_epochs, own.probe_labels_per_class)
        },
    },
    Refusal {
        key: "evaluate.statistics_batches",
        reason: "is of BatchNorm, which MVGRL has none of",
        applies: |recipe| {
            diffuses(recipe)
                && recipe.evaluate.statistics_batches != EvaluateOptions::default().statistics_batches
        },
    },
    Refusal {
        key: "evaluate.batch_size",
        reason: "is not read where instances are nodes of one graph, which are embedded together",
        applies: |recipe| {
            is(recipe, Modality::Nodes) && recipe.evaluate.batch_size != EvaluateOptions::default().batch_size
        },
    },
];
