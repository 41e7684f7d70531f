//! Shuffle-BN on one device: statistics in groups, and images out of their order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lookalike_base::Matrix;
use lookalike_data::Views;
use lookalike_learn::encoder::mlp::Mlp;
use lookalike_learn::encoder::{Encoder, Inputs};
use lookalike_learn::engine::{Tensor, to_host};
use lookalike_learn::head::Head;
use lookalike_learn::method::moco::MocoOptions;
use lookalike_learn::method::{Method, Moco, Network};
use lookalike_learn::module::{Module, Pass, Visitor, arrays_of};

use super::{batch, contrast, encoder, head, is_close, moco_options, network, position, queue};
use crate::common::{COLUMNS, SEED, relative, training};

#[test]
fn shuffling_is_undone_and_each_key_s_group_mates_differ_from_its_query_s() {
    let mut method = network();
    let input = match batch(0).views {
        Views::Stacked(both) => both,
        Views::Shared(_) => unreachable!(),
    };
    // Twelve images in two groups. The twin: each image of a group with the statistics of that group.
    let stream = || SEED.stream("shuffle", 0, 0, 0);
    let order = stream().permutation(12);
    let shuffled = to_host(method.clone().project_shuffled(&input, 2, &mut stream(), &mut training()));
    let mut twin = vec![0.0; shuffled.len()];
    for group in order.chunks(6) {
        let rows: Vec<f32> = group.iter().flat_map(|row| input.row(*row as usize).to_vec()).collect();
        let [_, output] = method.clone().embed(&Matrix::new(rows, COLUMNS).unwrap(), &mut training());
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
    let whole = to_host(method.clone().project_in_groups(&input, 1, &mut training()));
    let permuted = to_host(method.clone().project_shuffled(&input, 1, &mut stream(), &mut training()));
    is_close("a permutation alone", &permuted, &whole);
    let grouped = to_host(method.project_in_groups(&input, 2, &mut training()));
    assert!(relative(&grouped, &whole) > 0.05 && relative(&shuffled, &grouped) > 0.05);
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
    type Input = Matrix;

    fn forward(&mut self, input: &Matrix, pass: &mut Pass) -> Tensor<2> {
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
    let counting = Network {
        encoder: Counting { encoder: encoder(), calls: calls.clone() },
        head: Head::Projection(head(16, 16)),
    };
    let settings = MocoOptions { symmetric: false, shuffle: true, groups: 3, ..moco_options() };
    let mut method = Moco::new(counting, Some(queue()), contrast(), settings);
    method.before_step(&position(0));
    method.encode(&batch(0), &mut training());
    assert_eq!(calls.load(Ordering::Relaxed), 2, "the queries and the keys");

    // Twelve inputs in three groups: the running statistics are the mean of those that each group alone would leave.
    let Views::Stacked(input) = batch(0).views else { unreachable!() };
    let mut together = network();
    together.project_in_groups(&input, 3, &mut training());
    let mut mean = vec![0.0; 16];
    for rows in [0..4_u32, 4..8, 8..12] {
        let mut alone = network();
        alone.embed(&input.select(&rows.collect::<Vec<u32>>()), &mut training());
        let array = &arrays_of(&mut alone)["projection.bn1.running_var"];
        mean.iter_mut().zip(array.as_f32().unwrap()).for_each(|(mean, value)| *mean += value / 3.0);
    }
    let array = &arrays_of(&mut together)["projection.bn1.running_var"];
    is_close("running variance", array.as_f32().unwrap(), &mean);

    // In evaluation groups mean nothing.
    let by_running =
        |groups| to_host(together.clone().project_in_groups(&input, groups, &mut Pass::evaluation()));
    assert_eq!(by_running(3), by_running(1));
}
