//! MVGRL on sets of graphs (Hassani and Khasahmadi 2020, *Contrastive Multi-View Representation Learning on Graphs*,
//! <https://arxiv.org/abs/2006.05582>, section 3 and algorithm 1): a graph and its diffusion are two views with the same nodes,
//! each has an encoder of its own, and the nodes of one view are contrasted with the graphs of the other.
//!
//! With the [GCN](crate::encoder::gcn)s f₁ on Ã and f₂ on S, heads φ for nodes and ψ for graphs, both shared by the views,
//! Hᵢ = φ(fᵢ) after the last layer, and gᵢ = ψ(sums over the nodes after each layer, side by side):
//!
//! ℓ = JSD(H₁, g₂) + JSD(H₂, g₁), see [`local_global`]; a graph's embedding is g₁ + g₂.
//!
//! In the published code (`graph/train.py` of kavehhassani/mvgrl) no optimiser ever sees the GCNs, which stay as they were drawn; `original` does so too.
//! Its dense batches are padded to the largest graph of the *set*, padding counts in the loss's denominators, and which nodes
//! are padding is read off other graphs than those of the batch; here there is no padding, in neither variant.
//!
//! Instead of nodes with graphs, the graphs' vectors of the two views can be contrasted with each other, in both directions,
//! by any loss of a query: [`MvgrlObjective::Softmax`].

use lookalike_base::Stream;
use lookalike_data::DataError;
use lookalike_data::graph::Variant;

use super::graphcl::VARIANTS;
use super::simclr::both_directions;
use super::{Building, Embedder, Embeddings, Method, MethodEntry, Outputs, Terms};
use crate::encoder::gcn::{Gcn, GcnOptions};
use crate::encoder::{Encoder, Parts};
use crate::engine::{Device, Tensor};
use crate::error::LearnError;
use crate::input::{Batch, Column};
use crate::layer::{Linear, PRelu};
use crate::loss::jensen_shannon::local_global;
use crate::module::{Module, Pass, Visitor};
use crate::negatives::{Contrast, Observer};
use crate::options::{Options, Range, Value, When};
use crate::step::Step;

crate::options! {
    /// What a recipe says of MVGRL.
    pub struct MvgrlOptions {
        /// Whom to follow where paper and published code differ, [in what](graphs.md#whom-to-follow): whether the GCNs learn (`paper`) or
        /// stay as they were drawn (`original`).
        variant: Variant = Value::Text("paper"), Range::OneOf(VARIANTS);
    }
}

/// The columns of MVGRL: a graph and its diffusion.
const DIFFUSED: &[&str] = &["graph", "diffusion"];

/// MVGRL in a registry.
pub const ENTRY: MethodEntry = MethodEntry {
    kind: "mvgrl",
    paper: "Hassani and Khasahmadi 2020",
    about: "nodes of a graph and of its diffusion against whole graphs of the other view",
    keys: MvgrlOptions::KEYS,
    modalities: &["graph"],
    encoders: &["gcn"],
    losses: &["jensen-shannon", "info-nce", "decoupled", "debiased", "hard"],
    columns: &[When::always(DIFFUSED)],
    plain: DIFFUSED,
    defaults: &[
        When::always(("loss.temperature", Value::Number(0.2))),
        When::always(("evaluate.svm", Value::Text("linear"))),
    ],
    // Two encoders and their heads together embed a graph.
    exports: "",
    learns: &[""],
    build: |building| Ok(Box::new(mvgrl(building)?)),
    kept: |building| Ok(Box::new(mvgrl(building)?)),
    ..MethodEntry::VIEWS
};

fn mvgrl(building: &Building<'_>) -> Result<Mvgrl, LearnError> {
    let MvgrlOptions { variant } = building.settings.read("method")?;
    let objective = match building.loss {
        Some(_) => MvgrlObjective::Softmax(building.contrast()?),
        None => MvgrlObjective::JensenShannon,
    };
    let form = building.settings.read("encoder")?;
    let (inputs, mut stream) = (building.inputs, building.stream("encoder"));
    let mut method = Mvgrl::new(inputs, &form, objective, variant, &mut stream, building.device);
    building.start(&mut method)?;
    Ok(method)
}

/// What is contrasted with what.
#[derive(Debug, Clone)]
pub enum MvgrlObjective {
    /// Nodes of one view with graphs of the other.
    JensenShannon,
    /// Graphs of one view with those of the other.
    Softmax(Contrast),
}

/// Two encoders and their heads, named as in the published code.
#[derive(Clone)]
pub struct Mvgrl {
    encoders: [Gcn; 2],
    /// None where nodes are not contrasted.
    nodes: Option<SkipMlp>,
    graphs: SkipMlp,
    objective: MvgrlObjective,
    variant: Variant,
}

/// What is made of a view.
struct View {
    /// `[graphs, width]`
    graphs: Tensor<2>,
    /// `[nodes, width]`, where nodes are contrasted.
    nodes: Option<Parts>,
}

impl Mvgrl {
    /// Encoders of nodes that `inputs` values describe, and heads.
    pub fn new(
        inputs: usize,
        &GcnOptions { layers, width }: &GcnOptions,
        objective: MvgrlObjective,
        variant: Variant,
        stream: &mut Stream,
        device: &Device,
    ) -> Self {
        let nodes = SkipMlp::new([width; 2], stream, device);
        let graphs = SkipMlp::new([layers * width, width], stream, device);
        let encoders = [(); 2].map(|()| Gcn::new(inputs, layers, width, stream, device));
        let nodes = matches!(objective, MvgrlObjective::JensenShannon).then_some(nodes);
        Self { encoders, nodes, graphs, objective, variant }
    }

    fn view(&mut self, index: usize, column: &Column, pass: &mut Pass) -> Result<View, LearnError> {
        let encoder = &mut self.encoders[index];
        let mut run = |pass: &mut Pass| pass.reading(column, |pass| encoder.forward(&column.input, pass));
        let features = match self.variant {
            Variant::Original => pass.without_gradient(run),
            Variant::Paper => run(pass),
        }?;
        let graphs = self.graphs.forward(features.vector, pass);
        let nodes = self
            .nodes
            .as_ref()
            .zip(features.parts)
            .map(|(head, Parts { values, offsets })| Parts { values: head.forward(values, pass), offsets });
        Ok(View { graphs, nodes })
    }

    fn views(&mut self, batch: &Batch, pass: &mut Pass) -> Result<[View; 2], LearnError> {
        let [graph, diffusion] = batch.pair()?;
        Ok([self.view(0, graph, pass)?, self.view(1, diffusion, pass)?])
    }
}

impl Module for Mvgrl {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        if let Some(nodes) = &mut self.nodes {
            visitor.module("mlp1", nodes);
        }
        visitor.module("mlp2", &mut self.graphs);
        let [first, second] = &mut self.encoders;
        visitor.module("gnn1", first);
        visitor.module("gnn2", second);
    }
}

impl Method for Mvgrl {
    fn encode(&mut self, batch: &Batch, _: &Step, pass: &mut Pass) -> Result<Outputs, LearnError> {
        let [first, second] = self.views(batch, pass)?;
        let graphs = vec![("graphs of first", first.graphs), ("graphs of second", second.graphs)];
        let outputs = Outputs::new(batch.instances.clone(), graphs);
        Ok(match (first.nodes, second.nodes) {
            (Some(Parts { values: nodes, offsets }), Some(others)) => {
                let nodes = vec![("nodes of first", nodes), ("nodes of second", others.values)];
                outputs.with_parts(offsets, nodes)
            }
            _ => outputs,
        })
    }

    fn loss(
        &mut self,
        gathered: &Outputs,
        step: &Step,
        observer: &mut dyn Observer,
    ) -> Result<Terms, LearnError> {
        let [first, second] = ["graphs of first", "graphs of second"].map(|name| gathered.get(name));
        Ok(match &self.objective {
            MvgrlObjective::JensenShannon => {
                if !gathered.has_parts() {
                    let problem =
                        "no graph of the batch has a node to contrast; larger batches mix them with others";
                    return Err(DataError::Graph { problem: problem.to_owned() }.into());
                }
                let offsets = gathered.parts();
                let one = local_global(gathered.get("nodes of first"), second, &offsets);
                let other = local_global(gathered.get("nodes of second"), first, &offsets);
                Terms::new(vec![("nodes of first to graphs", one), ("nodes of second to graphs", other)])
            }
            MvgrlObjective::Softmax(contrast) => {
                both_directions(contrast, [first, second], &gathered.instances, step, observer)
            }
        })
    }

    /// The graphs of both views side by side, each of unit length.
    fn embeddings(&self, outputs: &Outputs) -> Tensor<2> {
        outputs.side_by_side(["graphs of first", "graphs of second"])
    }

    fn kept(&self) -> Box<dyn Embedder> {
        Box::new(self.clone())
    }
}

impl Embedder for Mvgrl {
    /// g₁ + g₂, and both side by side.
    fn embed(&mut self, batch: &Batch, pass: &mut Pass) -> Result<Embeddings, LearnError> {
        let [first, second] = self.views(batch, pass)?.map(|view| view.graphs);
        let representation = first.clone() + second.clone();
        Ok(Embeddings { representation, projection: Tensor::cat(vec![first, second], 1) })
    }

    fn layer(&self) -> &'static str {
        "representation (sum of both views, behind the head of graphs)"
    }
}

/// Three linear layers with a `PReLU` behind each, beside a linear layer that skips them.
#[derive(Debug, Clone)]
struct SkipMlp {
    layers: Vec<(Linear, PRelu)>,
    shortcut: Linear,
}

impl SkipMlp {
    fn new([inputs, outputs]: [usize; 2], stream: &mut Stream, device: &Device) -> Self {
        let layers = [inputs, outputs, outputs]
            .map(|inputs| (Linear::new([inputs, outputs], true, stream, device), PRelu::new(device)));
        Self { layers: layers.into(), shortcut: Linear::new([inputs, outputs], true, stream, device) }
    }

    /// # Shapes
    /// `[n, inputs]` → `[n, outputs]`.
    fn forward(&self, input: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let hidden = self.layers.iter().fold(input.clone(), |hidden, (linear, activation)| {
            activation.forward(linear.forward(hidden, pass), pass)
        });
        hidden + self.shortcut.forward(input, pass)
    }
}

impl Module for SkipMlp {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        for (index, (linear, activation)) in self.layers.iter_mut().enumerate() {
            visitor.module(&format!("ffn.{}", 2 * index), linear);
            visitor.module(&format!("ffn.{}", 2 * index + 1), activation);
        }
        visitor.module("linear_shortcut", &mut self.shortcut);
    }
}
