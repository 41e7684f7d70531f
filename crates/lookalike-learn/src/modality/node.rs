//! The nodes of one graph: all are learned from without labels, those to train on teach a linear probe, those to test on are
//! scored, as MVGRL is on citation graphs.

use std::path::Path;
use std::sync::Arc;

use lookalike_base::progress::Cancellation;
use lookalike_base::{Matrix, Seed, Watch};
use lookalike_data::Split;
use lookalike_data::graph::{
    self, Diffusions, Feature, FeatureRule, NodeBatch, NodeGraph, NodeSet, Subgraphs,
};
use lookalike_sampling::UNLABELLED;

use super::diffused::{self, Kept};
use super::graph::graph_error;
use super::{
    ArmKind, Baseline, BaselineRows, Beside, FitAndTest, Labelled, Labels, Measure, Modality, ModalityEntry,
    Opened, Opening, Part, Scope, Section, no_column,
};
use crate::error::LearnError;
use crate::input::{Batch, Input, NodeInput, Source, adapted};
use crate::options::{Key, Range, Settings, Value, require};

/// What describes the nodes of one graph: their attributes, nothing else.
const FEATURES: Key = Key {
    name: "features",
    default: Value::Absent("their attributes"),
    range: Range::Free("table"),
    about: "`{ parts = [\"attributes\"] }`, or absent: the nodes of one graph are described by their attributes",
};

const TRAINED: &[ArmKind] = &[ArmKind::Trained];

/// The nodes of one graph in a registry.
pub const ENTRY: ModalityEntry = ModalityEntry {
    kind: "node",
    about: "`cora` or another of Planetoid, or a folder of one's own; see [graphs](graphs.md#one-graph-of-nodes)",
    data: &[],
    sections: &[Section { name: "graphs", keys: &[FEATURES], columns: &[] }, diffused::SECTION],
    methods: &[],
    scores: &[
        Measure { score: "linear", arms: &[ArmKind::Raw, ArmKind::Untrained, ArmKind::Trained] },
        Measure { score: "geometry", arms: TRAINED },
        Measure { score: "batches", arms: TRAINED },
    ],
    after_training: Scope { beside: Beside::Nothing, without: &["linear"], ..Scope::FULL },
    embedded_at_once: true,
    divisible: false,
    finds_paths: true,
    check,
    open,
};

/// A graph with classes of nodes, and what the encoders see of it.
struct Nodes {
    set: NodeSet,
    graph: Arc<NodeGraph>,
    kept: Kept,
    seed: Seed,
}

fn check(settings: &Settings) -> Result<(), LearnError> {
    diffused::options(settings)?;
    let rule: Option<FeatureRule> = settings.parse("graphs.features")?;
    require(
        rule.is_none_or(|rule| rule == FeatureRule::of(vec![Feature::Attributes])),
        "graphs.features",
        "must be { parts = [\"attributes\"] }, or absent: the nodes of one graph are described by their attributes",
    )
}

fn open(opening: &Opening<'_>) -> Result<Opened, LearnError> {
    let (set, mut warnings) = graph::open_nodes(opening.name(), &opening.root())?;
    // Half a split is a slip; a graph without one is learned from all the same.
    for (part, nodes, other) in [("train on", &set.train, &set.test), ("test", &set.test, &set.train)] {
        if nodes.is_empty() && !other.is_empty() {
            return Err(graph_error(format!("the split of {} has no nodes to {part}", set.name)));
        }
    }
    let options = diffused::options(opening.settings)?;
    let make = |watch: Watch<'_>| Diffusions::of_nodes(&set, &options, watch);
    let (kept, reason) = Kept::open(opening, &options, &[set.features.len()], &set.fingerprint(), make)?;
    warnings.extend(reason);
    let graph = Arc::new(NodeGraph::of(&set, Arc::clone(&kept.made))?);
    let nodes = Nodes { set, graph, kept, seed: opening.seed };
    Ok((Box::new(nodes), warnings))
}

impl Nodes {
    /// Sub-graphs with their diffusions; with `corrupted` also with shuffled features.
    fn source(&self, corrupted: bool, seed: Seed) -> Source {
        adapted(Subgraphs::new(self.graph.clone(), seed), move |batch, _| {
            let NodeBatch { instances, normalized, diffusion, features, corrupted: shuffled } = batch;
            let matrices = [Arc::new(normalized), Arc::new(diffusion)];
            let mut views = Vec::new();
            for features in [Some(features), corrupted.then_some(shuffled)].into_iter().flatten() {
                let features = Arc::new(features);
                let column = |matrix: &Arc<_>| {
                    Input::new(NodeInput { matrix: Arc::clone(matrix), features: Arc::clone(&features) })
                };
                views.extend(matrices.iter().map(column));
            }
            Batch::of_views(instances, views)
        })
    }

    /// The rows of `nodes` that have a class, and these.
    fn labelled(&self, rows: &Matrix, nodes: &[u32]) -> Result<Labelled, LearnError> {
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for node in nodes {
            if let Some(label) = self.set.labels[*node as usize] {
                values.extend_from_slice(rows.row(*node as usize));
                labels.push(label);
            }
        }
        Ok(Labelled { rows: Matrix::new(values, rows.columns())?, labels })
    }
}

impl Modality for Nodes {
    fn name(&self) -> String {
        self.set.name.clone()
    }

    fn instances(&self) -> usize {
        self.graph.nodes()
    }

    fn inputs(&self) -> usize {
        self.graph.features.width()
    }

    fn fingerprint(&self) -> Result<String, LearnError> {
        Ok(format!("{} nodes, {}", self.graph.nodes(), self.set.fingerprint()))
    }

    fn note(&self) -> Option<String> {
        Some(self.kept.note())
    }

    fn keep(&self, run: &Path) -> Result<(), LearnError> {
        self.kept.keep(run)
    }

    /// Empty where no node has a class.
    fn labels(&self, _: Split) -> Labels {
        if self.set.labels.iter().all(Option::is_none) {
            return Labels::default();
        }
        let labels = self.set.labels.iter().map(|label| label.unwrap_or(UNLABELLED)).collect();
        Labels { labels, classes: self.set.classes }
    }

    /// Its number in the files, from 0 on as edges name it.
    fn instance_name(&self, _: Split, instance: u32) -> Option<String> {
        ((instance as usize) < self.graph.nodes()).then(|| format!("node {instance}"))
    }

    fn batches(&self, columns: &[&str], _: Split, seed: Seed) -> Result<Source, LearnError> {
        match columns {
            ["graph", "diffusion", "corrupted graph", "corrupted diffusion"] => Ok(self.source(true, seed)),
            _ => Err(no_column(ENTRY.kind, columns)),
        }
    }

    fn part(&self, split: Split, columns: &[&str]) -> Result<Part, LearnError> {
        if split == Split::Test {
            let reason = "the nodes of a graph are embedded together: those to test are rows of the whole";
            return Err(LearnError::Evaluation(reason.to_owned()));
        }
        if columns != ["graph", "diffusion"] {
            return Err(no_column(ENTRY.kind, columns));
        }
        Ok(Part { source: self.source(false, self.seed), instances: self.graph.nodes(), name: self.name() })
    }

    /// The features, which see no edges.
    fn baselines(&self, _: &Cancellation) -> Result<Vec<Baseline>, LearnError> {
        let rows = Ok(BaselineRows::Held(vec![self.set.features.clone()]));
        Ok(vec![Baseline { name: "features", title: "features".into(), rows }])
    }

    fn fit_and_test(&self, parts: &[Matrix]) -> Result<FitAndTest, LearnError> {
        let [rows] = parts else {
            return Err(LearnError::Evaluation("the nodes of a graph are one part".to_owned()));
        };
        let (fit, test) = (self.labelled(rows, &self.set.train)?, self.labelled(rows, &self.set.test)?);
        let (train, tested) = (fit.labels.len(), test.labels.len());
        let about = format!("{train} nodes to train on, {tested} to test");
        let counts = vec![("train_nodes", train), ("test_nodes", tested)];
        Ok(FitAndTest { fit, test, classes: self.set.classes, about, counts })
    }
}
