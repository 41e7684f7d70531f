//! Graphs: one set, which is learned from without labels and cross-validated with them, as GraphCL and MVGRL are.

use std::path::Path;
use std::sync::Arc;

use lookalike_base::progress::Cancellation;
use lookalike_base::{Matrix, Seed, Watch};
use lookalike_data::graph::{
    self, DescribedGraphs, DiffusedBatch, DiffusedGraphs, Diffusions, FeatureRule, Features,
    GraphAugmentKind, GraphAugmentOptions, GraphAugmentation, GraphBatch, GraphSet, GraphViews, PlainGraphs,
    Variant,
};
use lookalike_data::{DataError, Shown, Split};
use toml::Value as Toml;

use super::diffused::{self, Kept};
use super::{
    ArmKind, Baseline, BaselineRows, Beside, Labels, Measure, Modality, ModalityEntry, Opened, Opening, Part,
    Scope, Section, no_column,
};
use crate::error::LearnError;
use crate::input::{Batch, Input, Source, adapted, of_views, plain};
use crate::options::{Bounds, FRACTION, Key, Range, SHARE, Settings, Value, refuse};

/// How nodes are described.
const FEATURES: Key = Key {
    name: "features",
    default: Value::Absent("the method's, by the set"),
    range: Range::Free("table"),
    about: "[what describes a node](graphs.md#what-describes-a-node): `{ parts = [\"node-labels\", \"degree\"], max_degree = \
            40 }`; a run has it written out, with the `node_labels` that have a column",
};

const RATIO: Value = Value::Absent("`0.1`");

/// How a view is made.
const AUGMENT: Key = Key {
    name: "augment",
    default: Value::Table,
    range: Range::Table(&[
        Key {
            name: "kind",
            default: Value::Text("random4"),
            range: Range::OneOf(&[
                "nothing",
                "drop-nodes",
                "perturb-edges",
                "subgraph",
                "mask-attributes",
                "random2",
                "random3",
                "random4",
            ]),
            about: "[how a view is made](graphs.md#augmentations-and-whom-they-follow)",
        },
        Key {
            name: "drop_ratio",
            default: RATIO,
            range: FRACTION,
            about: "share of nodes dropped; refused where `kind` does not read it, as the next",
        },
        Key { name: "edge_ratio", default: RATIO, range: SHARE, about: "share of edges perturbed" },
        Key { name: "mask_ratio", default: RATIO, range: SHARE, about: "share of nodes masked" },
        Key {
            name: "subgraph_ratio",
            default: Value::Absent("`0.2`"),
            range: Range::Number(Bounds { least: (0.0, false), most: (1.0, true), words: "above 0, to 1" }),
            about: "share of nodes that a subgraph keeps",
        },
    ]),
    about: "how a view is made, of methods that augment",
};

/// Graphs in a registry.
pub const ENTRY: ModalityEntry = ModalityEntry {
    kind: "graph",
    about: "the name of any set in TU format or the text format of GIN's code, or a path to one; see [graphs](graphs.md#sets)",
    data: &[],
    sections: &[
        Section { name: "graphs", keys: &[FEATURES], columns: &[] },
        Section { name: "graphs", keys: &[AUGMENT], columns: &["view 1", "view 2"] },
        diffused::SECTION,
    ],
    methods: &[],
    scores: &[
        Measure {
            score: "svm",
            arms: &[ArmKind::Raw, ArmKind::Untrained, ArmKind::Trained, ArmKind::TrainingStatistics],
        },
        Measure { score: "geometry", arms: &[ArmKind::Trained] },
        Measure { score: "batches", arms: &[ArmKind::Trained] },
    ],
    after_training: Scope { beside: Beside::Nothing, fold_seeds: Some(1), ..Scope::FULL },
    embedded_at_once: false,
    divisible: true,
    finds_paths: true,
    check,
    open,
};

/// A set of graphs, and what is made of it.
struct Graphs {
    set: Arc<GraphSet>,
    features: FeatureRule,
    described: DescribedGraphs,
    inputs: usize,
    variant: Variant,
    /// How views are made, of methods that augment.
    augment: Option<GraphAugmentation>,
    /// Of methods that contrast a graph with it.
    kept: Option<Kept>,
}

/// Whom the method follows where a paper and its published code differ.
pub(super) fn variant(settings: &Settings) -> Result<Variant, LearnError> {
    Ok(settings.parse("method.variant")?.unwrap_or_default())
}

/// The augmentation that the recipe asks for, after the variant that the method follows.
fn augment(settings: &Settings) -> Result<Option<GraphAugmentation>, LearnError> {
    let Some(options) = settings.parse::<GraphAugmentOptions>("graphs.augment")? else { return Ok(None) };
    let options = GraphAugmentOptions { variant: variant(settings)?, ..options };
    options.validate().map(Some).map_err(|error| refuse("graphs", error.to_string()))
}

fn check(settings: &Settings) -> Result<(), LearnError> {
    augment(settings)?;
    diffused::options(settings)?;
    Ok(())
}

fn open(opening: &Opening<'_>) -> Result<Opened, LearnError> {
    let settings = opening.settings;
    let (set, mut warnings) = graph::open(opening.name(), &opening.root())?;
    let diffuses = opening.columns.contains(&"diffusion");
    let rule = settings
        .parse("graphs.features")?
        .unwrap_or_else(|| if diffuses { FeatureRule::mvgrl(&set) } else { FeatureRule::graphcl(&set) });
    let features = rule.fitted(&set);
    let described = Features::new(&features, &set)?;
    let inputs = described.columns();
    let kept = if diffuses {
        let options = diffused::options(settings)?;
        let sizes: Vec<usize> = (0..set.len()).map(|graph| set.graph(graph).nodes()).collect();
        let make = |watch: Watch<'_>| Diffusions::of(&set, &options, watch);
        let (kept, reason) = Kept::open(opening, &options, &sizes, &set.fingerprint(), make)?;
        warnings.extend(reason);
        Some(kept)
    } else {
        None
    };
    let set = Arc::new(set);
    let graphs = Graphs {
        described: DescribedGraphs::new(set.clone(), described),
        set,
        features,
        inputs,
        variant: variant(settings)?,
        augment: augment(settings)?,
        kept,
    };
    Ok((Box::new(graphs), warnings))
}

impl Graphs {
    /// Batches of the graphs with their diffusions, which have the same nodes.
    fn diffused(&self) -> Result<Source, LearnError> {
        let kept = self.kept.as_ref().ok_or_else(|| no_column(ENTRY.kind, &["diffusion"]))?;
        let source = DiffusedGraphs::new(self.described.clone(), Arc::clone(&kept.made))?;
        Ok(adapted(source, |batch, _| {
            let DiffusedBatch { instances, graphs, normalized, diffusion } = batch;
            let views =
                [normalized, diffusion].map(|edges| Input::new(GraphBatch { edges, ..graphs.clone() }));
            Batch::of_views(instances, views.into())
        }))
    }
}

impl Modality for Graphs {
    fn name(&self) -> String {
        self.set.name().to_owned()
    }

    fn instances(&self) -> usize {
        self.set.len()
    }

    fn inputs(&self) -> usize {
        self.inputs
    }

    fn fingerprint(&self) -> Result<String, LearnError> {
        let set = &self.set;
        Ok(format!("{} graphs, {} nodes, {}", set.len(), set.nodes(), set.fingerprint()))
    }

    fn note(&self) -> Option<String> {
        let unread = match self.set.unread() {
            [] => None,
            files => Some(format!("no encoder here reads what {} says", files.join(" and "))),
        };
        let diffused = self.kept.as_ref().map(Kept::note);
        let notes: Vec<String> = [unread, diffused].into_iter().flatten().collect();
        (!notes.is_empty()).then(|| notes.join("\n"))
    }

    fn keep(&self, run: &Path) -> Result<(), LearnError> {
        self.kept.as_ref().map_or(Ok(()), |kept| kept.keep(run))
    }

    fn settled(&self) -> Vec<(&'static str, Toml)> {
        Toml::try_from(&self.features).ok().map(|rule| ("graphs.features", rule)).into_iter().collect()
    }

    fn labels(&self, _: Split) -> Labels {
        Labels { labels: self.set.labels().unwrap_or_default().to_vec(), classes: self.set.classes().len() }
    }

    fn class_names(&self) -> Vec<String> {
        self.set.classes().to_vec()
    }

    /// Its number in the files, from 1 on.
    fn instance_name(&self, _: Split, instance: u32) -> Option<String> {
        ((instance as usize) < self.set.len()).then(|| format!("graph {}", u64::from(instance) + 1))
    }

    fn shown(&self, _: Split, instance: u32) -> Result<Option<Shown>, LearnError> {
        if instance as usize >= self.set.len() {
            return Ok(None);
        }
        let graph = self.set.graph(instance as usize);
        let ties = |node: usize| graph.neighbors(node).map(move |other| [node as u32, other]);
        let edges = (0..graph.nodes()).flat_map(ties).filter(|[from, to]| from < to).collect();
        // Of several columns of labels the first.
        let label = |node| self.set.node_labels().map(|labels| labels.of(graph.first() + node)[0]);
        let labels = (0..graph.nodes()).map_while(label).collect();
        Ok(Some(Shown::Graph { nodes: graph.nodes() as u32, edges, labels }))
    }

    fn batches(&self, columns: &[&str], _: Split, seed: Seed) -> Result<Source, LearnError> {
        let view = || self.augment.clone().ok_or_else(|| no_column(ENTRY.kind, columns));
        let views = match columns {
            ["graph", "diffusion"] => return self.diffused(),
            ["view 1"] => vec![view()?],
            ["view 1", "view 2"] => vec![view()?, view()?],
            ["plain", "view 2"] => {
                let nothing = GraphAugmentOptions::published(GraphAugmentKind::Nothing, self.variant);
                vec![nothing.validate()?, view()?]
            }
            _ => return Err(no_column(ENTRY.kind, columns)),
        };
        Ok(of_views(GraphViews::new(self.described.clone(), views, seed)))
    }

    fn part(&self, split: Split, columns: &[&str]) -> Result<Part, LearnError> {
        if split == Split::Test {
            let reason = "a set of graphs has no test part: it is cross-validated as a whole";
            return Err(LearnError::Evaluation(reason.to_owned()));
        }
        let source = match columns {
            ["graph", "diffusion"] => self.diffused()?,
            ["plain"] => plain(PlainGraphs::new(self.described.clone(), self.variant)),
            _ => return Err(no_column(ENTRY.kind, columns)),
        };
        Ok(Part { source, instances: self.set.len(), name: self.name() })
    }

    /// How many nodes a graph has of each label, and the numbers of its nodes and edges.
    fn baselines(&self, _: &Cancellation) -> Result<Vec<Baseline>, LearnError> {
        let labels = self.set.label_histograms().map(|histograms| BaselineRows::Held(vec![histograms]));
        let sizes = Matrix::new(self.set.sizes().concat(), 2)?;
        Ok(vec![
            Baseline {
                name: "sizes",
                title: "numbers of nodes and edges".into(),
                rows: Ok(BaselineRows::Held(vec![sizes])),
            },
            Baseline {
                name: "labels",
                title: "label histogram".into(),
                rows: labels.ok_or_else(|| "the set has no labels of nodes".to_owned()),
            },
        ])
    }
}

/// Data that a graph cannot be made of.
pub(super) fn graph_error(problem: String) -> LearnError {
    DataError::Graph { problem }.into()
}
