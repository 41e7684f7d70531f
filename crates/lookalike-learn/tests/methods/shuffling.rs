//! Shuffle-BN on one device: statistics in groups, and images out of their order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lookalike_learn::LearnError;
use lookalike_learn::encoder::{Encoder, Features};
use lookalike_learn::engine::to_host;
use lookalike_learn::input::{Column, Input};
use lookalike_learn::method::moco::MocoOptions;
use lookalike_learn::method::{Method, Moco, Network};
use lookalike_learn::module::{Module, Pass, Visitor, arrays_of};

use super::{
    at, batch, contrast, dictionary, encode, encoder, head, is_close, moco_options, network, reordered,
};
use crate::common::{Mlp, relative, training};

/// Both views of a batch, one below the other.
fn both() -> Column {
    Column::join(&batch(0).columns).unwrap()
}

#[test]
fn shuffling_is_undone_and_each_key_s_group_mates_differ_from_its_query_s() {
    let (network, input, step) = (network(), both(), at(0));
    let shuffle = |groups| {
        let stream = |row| step.stream("shuffle", row);
        to_host(network.clone().project_shuffled(&input, groups, stream, &mut training()).unwrap())
    };
    let in_groups =
        |groups| to_host(network.clone().project_in_groups(&input, groups, &mut training()).unwrap());
    // Twelve images in two groups, in the order of a random number each. The twin: each image of a group with the statistics of
    // that group.
    let mut order: Vec<u32> = (0..12).collect();
    order.sort_by_key(|row| step.stream("shuffle", input.rows[*row as usize]).bits());
    let shuffled = shuffle(2);
    let mut twin = vec![0.0; shuffled.len()];
    for group in order.chunks(6) {
        let output = network.clone().project(&input.select(group), &mut training()).unwrap().projection;
        for (row, values) in group.iter().zip(to_host(output).chunks(8)) {
            twin[8 * *row as usize..][..8].copy_from_slice(values);
        }
    }
    is_close("shuffled", &shuffled, &twin);
    let mates = |row: u32, order: &[u32]| {
        let group = order.chunks(6).find(|group| group.contains(&row)).unwrap();
        let mut group = group.to_vec();
        group.sort_unstable();
        group
    };
    let plain: Vec<u32> = (0..12).collect();
    assert!((0..12).all(|row| mates(row, &order) != mates(row, &plain)));
    // Either without the other changes nothing: all images share one BatchNorm, or the groups are the query's.
    let whole = in_groups(1);
    is_close("a permutation alone", &shuffle(1), &whole);
    let grouped = in_groups(2);
    assert!(relative(&grouped, &whole) > 0.05 && relative(&shuffled, &grouped) > 0.05);
}

#[test]
fn who_shares_a_group_hangs_on_the_step_and_the_images_and_not_on_the_order_of_the_batch() {
    let order = [4, 0, 5, 2, 1, 3];
    let keys = |batch, step| {
        let settings = MocoOptions { shuffle: true, ..moco_options() };
        let mut method = Moco::new(network(), Some(dictionary(true)), contrast(), settings);
        let outputs = encode(&mut method, &batch, &at(step));
        ["key", "key of first"].map(|name| to_host(outputs.get(name)))
    };
    let [plain, moved, later] = [(batch(0), 0), (reordered(&batch(0), &order), 0), (batch(0), 1)]
        .map(|(batch, step)| keys(batch, step));
    for ((plain, moved), later) in plain.iter().zip(&moved).zip(&later) {
        let back: Vec<f32> = order.iter().flat_map(|row| plain[8 * *row as usize..][..8].to_vec()).collect();
        is_close("in another order", moved, &back);
        assert!(relative(later, plain) > 0.05, "another step has other groups");
    }
}

/// An encoder that counts how often it is asked.
#[derive(Clone)]
struct Counting {
    encoder: Mlp,
    calls: Arc<AtomicUsize>,
}

impl Module for Counting {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.encoder.visit(visitor);
    }
}

impl Encoder for Counting {
    fn forward(&mut self, input: &Input, pass: &mut Pass) -> Result<Features, LearnError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.encoder.forward(input, pass)
    }

    fn dimension(&self) -> usize {
        self.encoder.dimension()
    }
}

#[test]
fn all_groups_of_a_batch_go_through_an_encoder_in_one_pass_and_move_its_running_statistics_once() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counting = Counting { encoder: encoder(), calls: calls.clone() };
    let counting = Network::new(Box::new(counting), head(16, 16));
    let settings = MocoOptions { symmetric: false, shuffle: true, batch_norm_groups: 3, ..moco_options() };
    let mut method = Moco::new(counting, Some(dictionary(true)), contrast(), settings);
    method.before_step(&at(0));
    encode(&mut method, &batch(0), &at(0));
    assert_eq!(calls.load(Ordering::Relaxed), 2, "the queries and the keys");

    // Twelve inputs in three groups: the running statistics are the mean of those that each group alone would leave.
    let input = both();
    let mut together = network();
    together.project_in_groups(&input, 3, &mut training()).unwrap();
    let mut mean = vec![0.0; 16];
    for rows in [0..4_u32, 4..8, 8..12] {
        let mut alone = network();
        alone.project(&input.select(&rows.collect::<Vec<u32>>()), &mut training()).unwrap();
        let array = &arrays_of(&mut alone)["projection.bn1.running_var"];
        mean.iter_mut().zip(array.as_f32().unwrap()).for_each(|(mean, value)| *mean += value / 3.0);
    }
    let array = &arrays_of(&mut together)["projection.bn1.running_var"];
    is_close("running variance", array.as_f32().unwrap(), &mean);

    // In evaluation groups mean nothing.
    let by_running = |groups| {
        to_host(together.clone().project_in_groups(&input, groups, &mut Pass::evaluation()).unwrap())
    };
    assert_eq!(by_running(3), by_running(1));
}
