//! The backward pass of the gradient-tracking backend.

use crate::burn::backend::autodiff::NodeId;
use crate::burn::backend::autodiff::checkpoint::base::Checkpointer;
use crate::burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use crate::burn::backend::autodiff::grads::Gradients;
use crate::burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use crate::burn::backend::tensor::FloatTensor;
use crate::burn::backend::{Autodiff, Backend};

use super::super::map::Join;
use super::{NormSettings, Normalization};

/// What both backward passes keep; input, scale and shift are kept by the engine's graph.
#[derive(Debug, Clone)]
struct Saved<B: Backend> {
    nodes: [NodeId; 3],
    mean: FloatTensor<B>,
    variance: FloatTensor<B>,
    settings: NormSettings,
    /// The input's other reader.
    join: Option<Join>,
}

#[derive(Debug)]
struct NormalizeBackward;

impl<B: Normalization> Backward<B, 3> for NormalizeBackward {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let Saved { nodes, mean, variance, settings, join } = ops.state;
        let [input, scale, shift] = nodes.map(|node| checkpointer.retrieve_node_output(node));
        let (input, scale, shift) =
            B::normalize_gradients(input, scale, shift, mean, variance, gradient, settings);
        let [input_node, scale_node, shift_node] = ops.parents;
        if let Some(node) = input_node {
            Join::add::<B>(join.as_ref(), gradients, node.id, input);
        }
        for (node, gradient) in [(scale_node, scale), (shift_node, shift)] {
            if let Some(node) = node {
                gradients.register::<B>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct NormalizeAddReluBackward;

impl<B: Normalization> Backward<B, 4> for NormalizeAddReluBackward {
    /// And the output, and the residual's other reader.
    type State = (Saved<B>, FloatTensor<B>, Option<Join>);

    fn backward(self, ops: Ops<Self::State, 4>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (Saved { nodes, mean, variance, settings, join }, output, other) = ops.state;
        let [input, scale, shift] = nodes.map(|node| checkpointer.retrieve_node_output(node));
        let (input, residual, scale, shift) =
            B::normalize_add_relu_gradients(input, scale, shift, mean, variance, output, gradient, settings);
        let [input_node, residual_node, scale_node, shift_node] = ops.parents;
        for (join, node, gradient) in [(join, input_node, input), (other, residual_node, residual)] {
            if let Some(node) = node {
                Join::add::<B>(join.as_ref(), gradients, node.id, gradient);
            }
        }
        for (node, gradient) in [(scale_node, scale), (shift_node, shift)] {
            if let Some(node) = node {
                gradients.register::<B>(node.id, gradient);
            }
        }
    }
}

/// Output, mean and variance, from input, scale and shift.
type Normal<B> = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

/// Computes a normalisation and, where it is tracked, remembers what its backward pass needs.
fn tracked<B: Normalization, C: CheckpointStrategy>(
    inputs: [FloatTensor<Autodiff<B, C>>; 3],
    settings: NormSettings,
    join: Option<Join>,
    compute: impl FnOnce([FloatTensor<B>; 3]) -> Normal<B>,
) -> (FloatTensor<Autodiff<B, C>>, FloatTensor<B>, FloatTensor<B>) {
    let nodes = inputs.each_ref().map(FloatTensor::<Autodiff<B, C>>::node);
    match NormalizeBackward.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(mut prepared) => {
            let nodes = inputs.each_ref().map(|tensor| prepared.checkpoint(tensor));
            let (output, mean, variance) = compute(inputs.map(FloatTensor::<Autodiff<B, C>>::into_primitive));
            let saved = Saved { nodes, mean: mean.clone(), variance: variance.clone(), settings, join };
            (prepared.finish(saved, output), mean, variance)
        }
        OpsKind::UnTracked(prepared) => {
            let (output, mean, variance) = compute(inputs.map(FloatTensor::<Autodiff<B, C>>::into_primitive));
            (prepared.finish(output), mean, variance)
        }
    }
}

/// As [`tracked`], with a residual and its other reader.
fn tracked_with_residual<B: Normalization, C: CheckpointStrategy>(
    inputs: [FloatTensor<Autodiff<B, C>>; 3],
    residual: FloatTensor<Autodiff<B, C>>,
    settings: NormSettings,
    [join, other]: [Option<Join>; 2],
    compute: impl FnOnce([FloatTensor<B>; 3], FloatTensor<B>) -> Normal<B>,
) -> (FloatTensor<Autodiff<B, C>>, FloatTensor<B>, FloatTensor<B>) {
    let [input, scale, shift] = inputs.each_ref().map(FloatTensor::<Autodiff<B, C>>::node);
    let nodes = [input, residual.node(), scale, shift];
    let residual = residual.into_primitive();
    match NormalizeAddReluBackward.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(mut prepared) => {
            let nodes = inputs.each_ref().map(|tensor| prepared.checkpoint(tensor));
            let (output, mean, variance) =
                compute(inputs.map(FloatTensor::<Autodiff<B, C>>::into_primitive), residual);
            let saved = Saved { nodes, mean: mean.clone(), variance: variance.clone(), settings, join };
            (prepared.finish((saved, output.clone(), other), output), mean, variance)
        }
        OpsKind::UnTracked(prepared) => {
            let (output, mean, variance) =
                compute(inputs.map(FloatTensor::<Autodiff<B, C>>::into_primitive), residual);
            (prepared.finish(output), mean, variance)
        }
    }
}

impl<B: Normalization, C: CheckpointStrategy> Normalization for Autodiff<B, C> {
    fn normalize(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        settings: NormSettings,
        join: Option<Join>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let compute = |[input, scale, shift]: [_; 3]| B::normalize(input, scale, shift, settings, None);
        let (output, mean, variance) = tracked::<B, C>([input, scale, shift], settings, join, compute);
        (output, FloatTensor::<Self>::new(mean), FloatTensor::<Self>::new(variance))
    }

    fn normalize_add_relu(
        input: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        settings: NormSettings,
        join: Option<Join>,
        other: Option<Join>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let compute = |[input, scale, shift]: [_; 3], residual| {
            B::normalize_add_relu(input, residual, scale, shift, settings, None, None)
        };
        let (output, mean, variance) =
            tracked_with_residual::<B, C>([input, scale, shift], residual, settings, [join, other], compute);
        (output, FloatTensor::<Self>::new(mean), FloatTensor::<Self>::new(variance))
    }

    fn normalize_fixed(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        settings: NormSettings,
        join: Option<Join>,
    ) -> FloatTensor<Self> {
        let [mean, variance] = [mean, variance].map(FloatTensor::<Self>::into_primitive);
        let compute = |[input, scale, shift]: [_; 3]| {
            let given = (mean.clone(), variance.clone());
            (B::normalize_fixed(input, scale, shift, given.0, given.1, settings, None), mean, variance)
        };
        tracked::<B, C>([input, scale, shift], settings, join, compute).0
    }

    fn normalize_fixed_add_relu(
        input: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        settings: NormSettings,
        join: Option<Join>,
        other: Option<Join>,
    ) -> FloatTensor<Self> {
        let [mean, variance] = [mean, variance].map(FloatTensor::<Self>::into_primitive);
        let compute = |[input, scale, shift]: [_; 3], residual| {
            let given = (mean.clone(), variance.clone());
            let output = B::normalize_fixed_add_relu(
                input, residual, scale, shift, given.0, given.1, settings, None, None,
            );
            (output, mean, variance)
        };
        tracked_with_residual::<B, C>([input, scale, shift], residual, settings, [join, other], compute).0
    }
}
