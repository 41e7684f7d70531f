//! MoCo: the queue, what is compared with it, and when it takes what.

use lookalike_learn::engine::to_host;
use lookalike_learn::input::Batch;
use lookalike_learn::method::moco::MocoOptions;
use lookalike_learn::method::momentum_encoder::{Momentum, MomentumShape};
use lookalike_learn::method::{Embedder, Method, Moco, MocoV3};
use lookalike_learn::module::{Pass, arrays_of};
use lookalike_learn::negatives::mixing::Draw;
use lookalike_learn::negatives::{Compared, Contrast, MixingOptions, NO_INSTANCE, Observer, Unobserved};
use lookalike_learn::train::optimizer::{NamedGradients, accumulate};

use super::{
    BATCH, QUEUE, at, batch, contrast, dictionary, encode, follow_pytorch, head, is_close, keys_are_pytorchs,
    loss, moco, moco_options, network, reordered, sgd,
};
use crate::common::{COLUMNS, fill, numbers, training, values, vectors};

#[test]
fn moco_s_queue_momentum_encoder_and_weights_are_pytorchs_after_20_steps() {
    let mut method = moco();
    fill(&mut method);
    // The momentum encoder begins as a copy of the filled network.
    method = Moco::new(method.network().clone(), Some(dictionary(true)), contrast(), moco_options());
    let file = follow_pytorch("moco", &mut method);
    keys_are_pytorchs("moco", &method.state(), &file);
    let queue = method.queue().unwrap();
    is_close("queue", &to_host(queue.keys()), values(&file, "moco.queue"));
    let ids = file.tensors["moco.owners"].as_i64().unwrap();
    assert!(queue.instances().iter().zip(ids).all(|(ours, theirs)| i64::from(*ours) == *theirs));
    assert_eq!(file.tensors["moco.pointer"].as_i64().unwrap(), [queue.next() as i64]);
    assert!(!queue.instances().contains(&NO_INSTANCE));
}

#[test]
fn moco_v3_is_pytorchs_after_20_steps() {
    let momentum = Momentum { base: 0.9, shape: MomentumShape::Cosine };
    let mut method = MocoV3::new(network(), head(8, 12), momentum, contrast());
    fill(&mut method);
    let mut filled = MocoV3::new(method.network().clone(), head(8, 12), momentum, contrast());
    fill(&mut filled);
    let file = follow_pytorch("moco-v3", &mut filled);
    keys_are_pytorchs("moco-v3", &filled.state(), &file);
}

#[test]
fn a_key_is_never_among_its_own_negatives_and_is_enqueued_after_both_losses() {
    for symmetric in [false, true] {
        let settings = MocoOptions { symmetric, ..moco_options() };
        let mut method = Moco::new(network(), Some(dictionary(false)), contrast(), settings);
        let before = to_host(method.queue().unwrap().keys());
        method.before_step(&at(0));
        let outputs = encode(&mut method, &batch(0), &at(0));
        let loss = loss(&mut method, &outputs, &at(0), &mut Unobserved);
        assert_eq!(to_host(method.queue().unwrap().keys()), before, "both losses see the old queue");
        method.after_step(&outputs, &at(0));
        let queue = method.queue().unwrap();
        let names: &[&str] = if symmetric { &["key", "key of first"] } else { &["key"] };
        let new: Vec<f32> = names.iter().flat_map(|name| to_host(outputs.get(name))).collect();
        let keys = to_host(queue.keys());
        assert_eq!(keys[..new.len()], new, "then the keys replace the oldest ones");
        assert_eq!(keys[new.len()..], before[new.len()..]);
        // The loss by hand, from the old queue alone: the key is nowhere among the negatives.
        let mut by_hand = 0.0;
        let pairs = [("query", "key"), ("query of second", "key of first")];
        for (query, key) in &pairs[..names.len()] {
            let [query, key] = [query, key].map(|name| to_host(outputs.get(name)));
            for (query, key) in query.chunks(8).zip(key.chunks(8)) {
                let exp = |other: &[f32]| {
                    let product: f32 = query.iter().zip(other).map(|(a, b)| a * b).sum();
                    (f64::from(product) / 0.2).exp()
                };
                let negatives: f64 = before.chunks(8).map(exp).sum();
                by_hand -= (exp(key) / (exp(key) + negatives)).ln() / f64::from(BATCH);
            }
        }
        let found = f64::from(loss.into_scalar::<f32>());
        assert!((found - by_hand).abs() < 1e-5, "{found} {by_hand}");
    }
}

#[test]
fn an_instance_s_older_keys_can_be_masked_by_id() {
    let losses = [false, true].map(|exclude_own| {
        let settings = MocoOptions { symmetric: false, ..moco_options() };
        let mut method = Moco::new(network(), Some(dictionary(exclude_own)), contrast(), settings);
        method.before_step(&at(0));
        let outputs = encode(&mut method, &batch(0), &at(0));
        // The very keys of this batch stand in the queue, as if from an epoch before.
        method.after_step(&outputs, &at(0));
        loss(&mut method, &outputs, &at(0), &mut Unobserved).into_scalar::<f32>()
    });
    assert!(losses[0] > losses[1] + 0.01, "{losses:?}");
}

/// MoCo whose negatives are mixed from the first step on.
fn mixed(settings: MocoOptions) -> Moco {
    let mixing = MixingOptions { hardest: 5, between: 7, with_query: 3, warm_up: 0.0 };
    Moco::new(network(), Some(dictionary(true)), Contrast { mixing: Some(mixing), ..contrast() }, settings)
}

/// Keeps the mixtures of every comparison.
#[derive(Default)]
struct Draws(Vec<Draw>);

impl Observer for Draws {
    fn compared(&mut self, compared: &Compared<'_>) {
        self.0.extend(compared.draw.cloned());
    }
}

#[test]
fn mixtures_never_enter_the_queue() {
    let mut method = mixed(moco_options());
    let mut optimizer = sgd();
    for index in 0..4 {
        method.before_step(&at(index));
        let outputs = encode(&mut method, &batch(index), &at(index));
        let loss = loss(&mut method, &outputs, &at(index), &mut Unobserved);
        let mut gradients = NamedGradients::new();
        accumulate(&mut method, loss.backward(), &mut gradients);
        optimizer.step(&mut method, gradients, 0.05);
        method.after_step(&outputs, &at(index));
        let keys = [to_host(outputs.get("key")), to_host(outputs.get("key of first"))].concat();
        let queue = method.queue().unwrap();
        let held = to_host(queue.keys());
        // The newest 12 keys are those of the batch, in their order, whatever was mixed.
        for (index, key) in keys.chunks(8).enumerate() {
            let place = (queue.next() + QUEUE - 12 + index) % QUEUE;
            assert_eq!(&held[8 * place..8 * place + 8], key);
        }
    }
}

#[test]
fn each_direction_draws_its_own_mixtures() {
    let mut method = mixed(moco_options());
    method.before_step(&at(0));
    // Both views are the same, and the momentum encoder is still the encoder: the directions compare the same vectors.
    let mut batch = batch(0);
    batch.columns[1].input = batch.columns[0].input.clone();
    let outputs = encode(&mut method, &batch, &at(0));
    assert_eq!(to_host(outputs.get("query")), to_host(outputs.get("query of second")));
    let mut draws = Draws::default();
    loss(&mut method, &outputs, &at(0), &mut draws);
    let [first, second] = draws.0.try_into().unwrap();
    for (first, second) in first.queries.iter().zip(&second.queries) {
        assert_eq!(first.hardest, second.hardest);
        assert!(first.mixtures.len() == 10 && first.mixtures != second.mixtures);
    }
}

#[test]
fn the_mixtures_of_a_query_hang_on_its_instance_and_view_and_not_on_its_row() {
    let order = [4, 0, 5, 2, 1, 3];
    let [(plain, draws), (moved, moved_draws)] = [batch(0), reordered(&batch(0), &order)].map(|batch| {
        let mut method = mixed(MocoOptions { batch_norm_groups: 1, ..moco_options() });
        method.before_step(&at(0));
        let outputs = encode(&mut method, &batch, &at(0));
        let mut draws = Draws::default();
        let loss: f32 = loss(&mut method, &outputs, &at(0), &mut draws).into_scalar();
        (loss, draws.0)
    });
    assert_eq!((draws.len(), moved_draws.len()), (2, 2));
    for (plain, moved) in draws.iter().zip(&moved_draws) {
        for (moved, row) in moved.queries.iter().zip(order) {
            assert_eq!(*moved, plain.queries[row as usize]);
        }
        // Were there one stream for all, queries of one instance could not be told from those of another.
        assert!(plain.queries.windows(2).all(|pair| {
            let shares = |index: usize| pair[index].mixtures.iter().map(|mixture| mixture.share);
            shares(0).ne(shares(1))
        }));
    }
    assert!((plain - moved).abs() <= 1e-6 * plain.abs(), "{plain} {moved}");
}

#[test]
fn evaluation_of_a_queue_s_method_touches_neither_queue_nor_momentum_encoder() {
    let mut method = moco();
    let before = (arrays_of(&mut method), method.state());
    let input = Batch::of_views(vec![0, 1, 2], vec![vectors(numbers(3 * COLUMNS, 5), COLUMNS)]);
    method.network().embed(&input, &mut Pass::evaluation()).unwrap();
    method.kept().embed(&input, &mut training()).unwrap();
    assert_eq!((arrays_of(&mut method), method.state()), before);
}
