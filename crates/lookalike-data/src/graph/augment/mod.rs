//! Augmentations of graphs (You et al. 2020, *Graph Contrastive Learning with Augmentations*,
//! <https://arxiv.org/abs/2010.13902>, section 3.1), after the paper or as its published code does them.

mod original;
mod paper;

use super::batch::Graph;
use crate::error::DataError;
use lookalike_base::Stream;
use serde::{Deserialize, Serialize};

/// Which to follow where a paper and the code behind its numbers differ. `docs/reference/graphs.md` lists the
/// differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// The paper.
    #[default]
    Paper,
    /// The published code.
    Original,
}

/// Which augmentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GraphAugmentKind {
    /// None.
    Nothing,
    /// Nodes are dropped with their edges.
    DropNodes,
    /// Edges are deleted, and as many added.
    PerturbEdges,
    /// Features of nodes are replaced by noise.
    MaskAttributes,
    /// The nodes that a random walk meets are kept.
    Subgraph,
    /// For each graph one of `DropNodes` and `Subgraph`, as the published code calls it.
    Random2,
    /// The same, or `PerturbEdges`.
    Random3,
    /// The same, or `MaskAttributes`.
    Random4,
}

impl GraphAugmentKind {
    /// The kinds of which one is drawn for each graph.
    fn choices(&self) -> &[Self] {
        match self {
            Self::Random2 => &[Self::DropNodes, Self::Subgraph],
            Self::Random3 => &[Self::DropNodes, Self::PerturbEdges, Self::Subgraph],
            Self::Random4 => &[Self::DropNodes, Self::PerturbEdges, Self::Subgraph, Self::MaskAttributes],
            kind => std::slice::from_ref(kind),
        }
    }
}

/// An augmentation with its amounts, which default to those of the published code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphAugmentOptions {
    /// Which augmentation.
    pub kind: GraphAugmentKind,
    /// Share of nodes that are dropped; 0.1.
    #[serde(default = "tenth")]
    pub drop_ratio: f64,
    /// Share of edges that are deleted, and added; 0.1.
    #[serde(default = "tenth")]
    pub edge_ratio: f64,
    /// Share of nodes that are masked; 0.1.
    #[serde(default = "tenth")]
    pub mask_ratio: f64,
    /// Share of nodes that a subgraph keeps; 0.2.
    #[serde(default = "fifth")]
    pub subgraph_ratio: f64,
    /// Paper or published code; in recipes `method.variant`.
    #[serde(skip)]
    pub variant: Variant,
}

fn tenth() -> f64 {
    0.1
}

fn fifth() -> f64 {
    0.2
}

impl GraphAugmentOptions {
    /// `kind` with the published amounts.
    pub fn published(kind: GraphAugmentKind, variant: Variant) -> Self {
        let (tenth, fifth) = (tenth(), fifth());
        Self { kind, drop_ratio: tenth, edge_ratio: tenth, mask_ratio: tenth, subgraph_ratio: fifth, variant }
    }

    /// Checks the shares.
    ///
    /// # Errors
    /// [`DataError::Option`] where a share is not from 0 to 1, would drop all nodes or would keep none; and
    /// where it is not the published one although `kind` never uses it.
    pub fn validate(self) -> Result<GraphAugmentation, DataError> {
        use GraphAugmentKind::{DropNodes, MaskAttributes, PerturbEdges, Subgraph};
        let wrong = |key: &str, value: f64, needed: &str| {
            Err(DataError::Option {
                key: format!("graphs.augment.{key}"),
                problem: format!("{value} should be {needed}"),
            })
        };
        for (key, value, published, read_by) in [
            ("drop_ratio", self.drop_ratio, tenth(), DropNodes),
            ("edge_ratio", self.edge_ratio, tenth(), PerturbEdges),
            ("mask_ratio", self.mask_ratio, tenth(), MaskAttributes),
            ("subgraph_ratio", self.subgraph_ratio, fifth(), Subgraph),
        ] {
            if value.to_bits() != published.to_bits() && !self.kind.choices().contains(&read_by) {
                return wrong(key, value, "left out: this kind of augmentation does not use it");
            }
        }
        if !(0.0..1.0).contains(&self.drop_ratio) {
            return wrong("drop_ratio", self.drop_ratio, "from 0 to below 1");
        }
        for (key, value) in [("edge_ratio", self.edge_ratio), ("mask_ratio", self.mask_ratio)] {
            if !(0.0..=1.0).contains(&value) {
                return wrong(key, value, "from 0 to 1");
            }
        }
        if !(self.subgraph_ratio > 0.0 && self.subgraph_ratio <= 1.0) {
            return wrong("subgraph_ratio", self.subgraph_ratio, "above 0, and 1 at most");
        }
        Ok(GraphAugmentation(self))
    }
}

/// A checked augmentation.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphAugmentation(GraphAugmentOptions);

impl GraphAugmentation {
    /// Whether it follows the paper or the published code.
    pub fn variant(&self) -> Variant {
        self.0.variant
    }

    /// The view of `graph` that `stream` draws.
    ///
    /// After the paper a view has at least one node. After the published code it can have none, and its edges
    /// need not go both ways.
    ///
    /// # Errors
    /// [`DataError::Graph`] where the edges of `graph` are no square matrix.
    pub fn apply(&self, graph: &Graph, stream: &mut Stream) -> Result<Graph, DataError> {
        let options = &self.0;
        let kind = self.draw_kind(stream);
        match options.variant {
            Variant::Paper => paper::apply(kind, options, graph, stream),
            Variant::Original => {
                let view = original::apply(kind, options, &original::with_loops(graph)?, stream)?;
                // The published loop does this for all but the two augmentations that keep every node.
                let keeps_all = [
                    GraphAugmentKind::Nothing,
                    GraphAugmentKind::PerturbEdges,
                    GraphAugmentKind::MaskAttributes,
                ];
                if keeps_all.contains(&options.kind) { Ok(view) } else { original::without_isolated(&view) }
            }
        }
    }

    /// The augmentation for one graph. Nothing is drawn from the stream where there is one choice only.
    fn draw_kind(&self, stream: &mut Stream) -> GraphAugmentKind {
        match self.0.kind.choices() {
            [kind] => *kind,
            kinds => kinds[stream.below(kinds.len() as u32) as usize],
        }
    }
}

/// The graph as an encoder sees it without augmentation: unchanged after the paper, with the self-loops of
/// the published code after that.
///
/// # Errors
/// [`DataError::Graph`] where the edges of `graph` are no square matrix.
pub fn plain(graph: Graph, variant: Variant) -> Result<Graph, DataError> {
    match variant {
        Variant::Paper => Ok(graph),
        Variant::Original => original::with_loops(&graph),
    }
}

/// Replaces the features of ⌊`ratio` · n⌋ nodes by normal noise of mean 0.5 and deviation 0.5, as the
/// published code does. The paper says only that attributes are masked.
fn mask(graph: &Graph, ratio: f64, stream: &mut Stream) -> Graph {
    let mut masked = graph.clone();
    for node in stream.distinct(share(graph.nodes(), ratio), graph.nodes() as u32) {
        let row = &mut masked.features[node as usize * graph.columns..][..graph.columns];
        for value in row {
            *value = 0.5 + 0.5 * stream.normal();
        }
    }
    masked
}

/// ⌊`ratio` · `count`⌋, as the published code rounds.
fn share(count: usize, ratio: f64) -> u32 {
    (count as f64 * ratio) as u32
}

#[cfg(test)]
mod tests;
