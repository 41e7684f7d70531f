//! The backward pass of the gradient-tracking backend.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend};

use super::Normalization;

/// What both backward passes keep; input, scale and shift are kept by the engine's graph.
#[derive(Debug, Clone)]
struct Saved<B: Backend> {
    nodes: [NodeId; 3],
    mean: FloatTensor<B>,
    variance: FloatTensor<B>,
    groups: usize,
    epsilon: f64,
}

#[derive(Debug)]
struct NormalizeBackward;

impl<B: Normalization> Backward<B, 3> for NormalizeBackward {
    /// And whether a `ReLU` followed.
    type State = (Saved<B>, bool);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (saved, relu) = ops.state;
        let [input, scale, shift] = saved.nodes.map(|node| checkpointer.retrieve_node_output(node));
        let (input, scale, shift) = B::normalize_gradients(
            input,
            scale,
            shift,
            saved.mean,
            saved.variance,
            gradient,
            saved.groups,
            saved.epsilon,
            relu,
        );
        for (node, gradient) in ops.parents.into_iter().zip([input, scale, shift]) {
            if let Some(node) = node {
                gradients.register::<B>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct NormalizeAddReluBackward;

impl<B: Normalization> Backward<B, 4> for NormalizeAddReluBackward {
    /// And the output.
    type State = (Saved<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 4>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (saved, output) = ops.state;
        let [input, scale, shift] = saved.nodes.map(|node| checkpointer.retrieve_node_output(node));
        let (input, residual, scale, shift) = B::normalize_add_relu_gradients(
            input,
            scale,
            shift,
            saved.mean,
            saved.variance,
            output,
            gradient,
            saved.groups,
            saved.epsilon,
        );
        for (node, gradient) in ops.parents.into_iter().zip([input, residual, scale, shift]) {
            if let Some(node) = node {
                gradients.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: Normalization, C: CheckpointStrategy> Normalization for Autodiff<B, C> {
    fn normalize(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [input.node(), scale.node(), shift.node()];
        let compute = |[input, scale, shift]: [FloatTensor<Self>; 3]| {
            B::normalize(
                input.into_primitive(),
                scale.into_primitive(),
                shift.into_primitive(),
                groups,
                epsilon,
                relu,
            )
        };
        let (output, mean, variance) = match NormalizeBackward.prepare::<C>(nodes).compute_bound().stateful()
        {
            OpsKind::Tracked(mut prepared) => {
                let inputs = [input, scale, shift];
                let nodes = inputs.each_ref().map(|tensor| prepared.checkpoint(tensor));
                let (output, mean, variance) = compute(inputs);
                let saved = Saved { nodes, mean: mean.clone(), variance: variance.clone(), groups, epsilon };
                (prepared.finish((saved, relu), output), mean, variance)
            }
            OpsKind::UnTracked(prepared) => {
                let (output, mean, variance) = compute([input, scale, shift]);
                (prepared.finish(output), mean, variance)
            }
        };
        (output, FloatTensor::<Self>::new(mean), FloatTensor::<Self>::new(variance))
    }

    fn normalize_add_relu(
        input: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [input.node(), residual.node(), scale.node(), shift.node()];
        let residual = residual.into_primitive();
        let compute = |[input, scale, shift]: [FloatTensor<Self>; 3], residual: FloatTensor<B>| {
            let (scale, shift) = (scale.into_primitive(), shift.into_primitive());
            B::normalize_add_relu(input.into_primitive(), residual, scale, shift, groups, epsilon)
        };
        let (output, mean, variance) =
            match NormalizeAddReluBackward.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(mut prepared) => {
                    let inputs = [input, scale, shift];
                    let nodes = inputs.each_ref().map(|tensor| prepared.checkpoint(tensor));
                    let (output, mean, variance) = compute(inputs, residual);
                    let saved =
                        Saved { nodes, mean: mean.clone(), variance: variance.clone(), groups, epsilon };
                    (prepared.finish((saved, output.clone()), output), mean, variance)
                }
                OpsKind::UnTracked(prepared) => {
                    let (output, mean, variance) = compute([input, scale, shift], residual);
                    (prepared.finish(output), mean, variance)
                }
            };
        (output, FloatTensor::<Self>::new(mean), FloatTensor::<Self>::new(variance))
    }
}
