//! A method as a recipe describes it.

use std::sync::Arc;

use super::direct_clr::{direct_clr, leading};
use super::graphcl::graphcl;
use super::instance_discrimination::{BankObjective, Noise};
use super::moco::MocoOptions;
use super::mvgrl::MvgrlOptions;
use super::simclr::InBatchNegatives;
use super::supervised::headless;
use super::{
    AnyMethod, EndToEnd, InstanceDiscrimination, Moco, MocoV3, Mvgrl, MvgrlNodes, Network, SimClr,
    Supervised, mvgrl,
};
use crate::encoder::Encoder;
use crate::engine::Device;
use crate::error::LearnError;
use crate::head::{Head, Projection, ProjectionOptions};
use crate::loss::Loss;
use crate::negatives::{ContrastiveLoss, MemoryBank, Queue};
use crate::recipe::combinations::labels_needed;
use crate::recipe::{Learning, LossKind, MethodKind, NegativesKind, ValidRecipe};

/// What a method is made of beside its recipe.
pub struct Parts<'a, E> {
    /// The encoder before its first step.
    pub encoder: E,
    /// Another of the same form, for a method that trains two.
    pub second: E,
    /// Number of instances, for a memory bank.
    pub instances: usize,
    /// Their classes, where known.
    pub labels: Option<Arc<Vec<u32>>>,
    /// Where the engine computes.
    pub device: &'a Device,
}

/// MVGRL as `recipe` describes it, on nodes with `features` columns; the same weights for the same seed.
pub fn mvgrl(recipe: &ValidRecipe, features: usize, labels: Option<Arc<Vec<u32>>>, device: &Device) -> Mvgrl {
    let options = recipe.recipe();
    let negatives = &options.negatives;
    let objective = match options.query_loss() {
        Some(loss) => {
            let (mixing, oracle) = (negatives.mixing, negatives.oracle);
            mvgrl::MvgrlObjective::Softmax(ContrastiveLoss { loss, mixing, oracle, labels })
        }
        None => mvgrl::MvgrlObjective::JensenShannon,
    };
    let mut stream = recipe.seed().stream("encoder", 0, 0, 0);
    Mvgrl::new(features, &options.mvgrl(), objective, &mut stream, device)
}

/// MVGRL on nodes as `recipe` describes it; the same weights for the same seed.
pub fn mvgrl_nodes(recipe: &ValidRecipe, features: usize, device: &Device) -> MvgrlNodes {
    let MvgrlOptions { layers, width, .. } = recipe.recipe().mvgrl();
    let mut stream = recipe.seed().stream("encoder", 0, 0, 0);
    MvgrlNodes::new(features, [layers, width], &mut stream, device)
}

/// The network that `recipe` describes before its first step, without what the method keeps beside it: what is loaded to be evaluated.
/// The same weights for the same seed as those of [`build`].
///
/// # Errors
/// As [`build`].
pub fn network<E: Encoder>(
    recipe: &ValidRecipe,
    encoder: E,
    device: &Device,
) -> Result<Network<E>, LearnError> {
    let method = &recipe.recipe().method;
    match method.kind {
        MethodKind::DirectClr => leading(encoder, method.coordinates),
        MethodKind::Supervised => Ok(headless(encoder)),
        _ => Ok(projected(recipe, encoder, "projection", device)),
    }
}

/// A projection head drawn from the stream of that purpose.
fn projection(recipe: &ValidRecipe, dimension: usize, purpose: &'static str, device: &Device) -> Projection {
    let (form, mut stream) = (recipe.recipe().projection(), recipe.seed().stream(purpose, 0, 0, 0));
    match recipe.recipe().method.kind {
        MethodKind::GraphCl => Projection::xavier(dimension, &form, &mut stream, device),
        _ => Projection::new(dimension, &form, &mut stream, device),
    }
}

/// `encoder` with a projection head drawn from the stream of that purpose.
fn projected<E: Encoder>(
    recipe: &ValidRecipe,
    encoder: E,
    purpose: &'static str,
    device: &Device,
) -> Network<E> {
    let head = projection(recipe, encoder.dimension(), purpose, device);
    Network { encoder, head: Head::Projection(head) }
}

/// Puts together the method that `recipe` describes; the same weights for the same seed.
///
/// # Errors
/// [`LearnError::Recipe`] where more coordinates are asked for than the representation has, where labels are missing or all the
/// same under supervised training, or for [MVGRL](mvgrl()), which reads no views.
pub fn build<E: Encoder + Clone>(
    recipe: &ValidRecipe,
    parts: Parts<'_, E>,
) -> Result<AnyMethod<E>, LearnError> {
    let Parts { encoder, second, instances, labels, device } = parts;
    let stream = |purpose| recipe.seed().stream(purpose, 0, 0, 0);
    let options = recipe.recipe();
    let (method, negatives) = (&options.method, &options.negatives);
    let learning = options.learning();
    let contrast = ContrastiveLoss {
        loss: options.query_loss().unwrap_or(Loss::InfoNce { temperature: learning.temperature }),
        mixing: negatives.mixing,
        oracle: negatives.oracle,
        labels,
    };
    let projected = |encoder: E, purpose| projected(recipe, encoder, purpose, device);
    let network = |encoder: E| projected(encoder, "projection");
    Ok(match method.kind {
        MethodKind::DirectClr => AnyMethod::SimClr(direct_clr(encoder, method.coordinates, contrast)?),
        MethodKind::SimClr => {
            let in_batch = match learning.loss {
                LossKind::InfoNce => InBatchNegatives::OtherViews,
                _ => InBatchNegatives::AllViews,
            };
            AnyMethod::SimClr(SimClr::with(network(encoder), contrast, in_batch))
        }
        MethodKind::GraphCl => {
            let head = projection(recipe, encoder.dimension(), "projection", device);
            AnyMethod::SimClr(graphcl(encoder, head, contrast, options.variant()))
        }
        MethodKind::Mvgrl | MethodKind::MvgrlNodes => {
            return Err(LearnError::Recipe {
                place: "method.kind".to_owned(),
                reason: "MVGRL contrasts a graph with its diffusion, not two views by one encoder".to_owned(),
            });
        }
        MethodKind::EndToEnd => {
            let key = projected(second, "projection of keys");
            AnyMethod::EndToEnd(EndToEnd::new(network(encoder), key, contrast))
        }
        MethodKind::InstanceDiscrimination => {
            let shape = [instances, options.projected()];
            let bank = MemoryBank::new(shape, negatives.bank_momentum, &mut stream("bank"), device);
            let objective = match learning {
                Learning { loss: LossKind::NoiseContrastive, temperature, .. } => {
                    let labels = contrast.labels;
                    BankObjective::Noise(Noise { temperature, drawn: options.loss.noise, labels })
                }
                _ => BankObjective::Softmax(contrast),
            };
            let network = network(encoder);
            AnyMethod::InstanceDiscrimination(InstanceDiscrimination::new(network, bank, objective))
        }
        MethodKind::Moco => {
            let queue = (learning.negatives == NegativesKind::Queue)
                .then(|| Queue::new(negatives.size, options.projected(), &mut stream("queue"), device));
            let moco = MocoOptions {
                momentum: method.momentum(),
                symmetric: method.symmetric,
                groups: method.batch_norm_groups,
                shuffle: method.shuffle,
                exclude_own: negatives.exclude_own,
            };
            AnyMethod::Moco(Moco::new(network(encoder), queue, contrast, moco))
        }
        MethodKind::MocoV3 => {
            let predictor = &method.predictor;
            let dimension = options.projected();
            let form = ProjectionOptions {
                layers: predictor.layers,
                width: predictor.width,
                dimension,
                batch_norm: predictor.batch_norm,
            };
            let predictor = Projection::new(dimension, &form, &mut stream("predictor"), device);
            let network = network(encoder);
            AnyMethod::MocoV3(MocoV3::new(network, predictor, method.momentum(), contrast))
        }
        MethodKind::Supervised => {
            let labels = contrast.labels.ok_or_else(|| labels_needed("method.kind"))?;
            if labels.iter().all(|label| *label == labels[0]) {
                return Err(LearnError::Recipe {
                    place: "method.kind".to_owned(),
                    reason: "`supervised` needs two classes to tell apart; all training images are of one"
                        .to_owned(),
                });
            }
            AnyMethod::Supervised(Supervised::new(encoder, labels, &mut stream("classifier"), device))
        }
    })
}
