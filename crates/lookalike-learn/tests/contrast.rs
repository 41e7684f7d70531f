//! Losses, queue, mixing and oracle: beside PyTorch (`fixtures/make_contrast.py` made the numbers), and claim by claim.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

mod common;

use std::sync::Arc;

use common::{SEED, cpu, fixture, length, numbers, relative, training, values};
use lookalike_base::Seed;
use lookalike_base::tensors;
use lookalike_learn::engine::{Tensor, from_host, to_host};
use lookalike_learn::loss::noise_contrastive::{log_normalizer, noise_contrastive};
use lookalike_learn::loss::nt_xent::nt_xent;
use lookalike_learn::loss::{Alignment, Debiased, Hard, InfoNce, Mask, QueryLoss, Similarities, normalize};
use lookalike_learn::module::{AnyTensor, Parameter};
use lookalike_learn::negatives::mixing::{Draw, MixingOptions, Mixture, QueryDraw, draw};
use lookalike_learn::negatives::{
    Comparison, Contrast, InstanceIds, MIXING, NO_INSTANCE, Observer, Queue, Unobserved,
};
use lookalike_learn::step::Step;
use lookalike_learn::train::diagnostics::{Diagnostics, Scalar, Scalars};
use lookalike_learn::train::lars;
use serde_json::Value;

fn parameter(shape: [usize; 2], key: u32) -> Parameter<2> {
    Parameter::new(from_host(numbers(shape[0] * shape[1], key), shape, &cpu()))
}

/// Unit vectors without gradient.
fn units(shape: [usize; 2], key: u32) -> Tensor<2> {
    normalize(from_host(numbers(shape[0] * shape[1], key), shape, &cpu()))
}

fn close(what: &str, ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().map(|value| value.abs()).fold(1e-3, f32::max);
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!((ours - theirs).abs() <= 1e-5 * largest, "{what}: {ours}, not {theirs}");
    }
}

/// The gradient of a parameter; zeros where it has none.
fn gradient(parameter: &Parameter<2>, gradients: &mut lookalike_learn::engine::Gradients) -> Vec<f32> {
    let count = parameter.shape().iter().product();
    parameter.take_gradient(gradients).map_or_else(|| vec![0.0; count], to_host)
}

fn mask(case: &Value, [queries, candidates]: [usize; 2]) -> Option<Mask> {
    let of_query =
        |query: u32| (0..candidates as u32).filter(|other| (query + 2 * other).is_multiple_of(5)).collect();
    Mask::new((0..queries as u32).map(of_query).collect()).filter(|_| case["mask"].as_bool().unwrap())
}

#[test]
fn every_loss_and_its_gradients_are_those_of_pytorch() {
    let file = tensors::read(fixture("losses.safetensors")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&file.metadata["cases"]).unwrap();
    assert_eq!(cases.len(), 12);
    for (index, case) in cases.iter().enumerate() {
        let size = |key: &str| case[key].as_u64().unwrap() as usize;
        let number = |key: &str| case[key].as_f64().unwrap() as f32;
        let (queries, candidates, dimension) = (size("queries"), size("candidates"), size("dimension"));
        let inputs = [[queries, dimension], [queries, dimension], [candidates, dimension]];
        let key = 10 * index as u32;
        let inputs = [0, 1, 2].map(|input| parameter(inputs[input], key + input as u32));
        let [query, positive, pool] = inputs.each_ref().map(|input| normalize(input.read(&training())));
        let similarities = Similarities {
            positive: (query.clone() * positive).sum_dim(1),
            negatives: query.matmul(pool.transpose()),
            mask: mask(case, [queries, candidates]),
        };
        let temperature = number("temperature");
        let loss = match case["kind"].as_str().unwrap() {
            "info-nce" => InfoNce { temperature }.each(&similarities),
            "debiased" => Debiased { temperature, prior: number("prior") }.each(&similarities),
            "hard" => {
                let (prior, concentration) = (number("prior"), number("beta"));
                Hard { temperature, prior, concentration }.each(&similarities)
            }
            "alignment" => Alignment.each(&similarities),
            _ => {
                let log_z = log_normalizer(&similarities, temperature, 1000);
                noise_contrastive(&similarities, temperature, log_z, 1000)
            }
        };
        let loss = loss.mean();
        close(&format!("{case}: loss"), &to_host(loss.clone()), values(&file, &format!("{index}.loss")));
        let mut gradients = loss.backward();
        for (name, input) in ["query", "positive", "candidates"].into_iter().zip(&inputs) {
            let found = gradient(input, &mut gradients);
            close(&format!("{case}: {name}"), &found, values(&file, &format!("{index}.{name}")));
        }
    }
}

/// Similarities with some candidates left out, and a gradient to compare by.
fn loss_and_gradient(loss: &dyn QueryLoss) -> (f32, Vec<f32>) {
    let query = parameter([6, 8], 1);
    let unit = normalize(query.read(&training()));
    let shape = [6, 20];
    let similarities = Similarities {
        positive: (unit.clone() * units([6, 8], 2)).sum_dim(1),
        negatives: unit.matmul(units([20, 8], 3).transpose()),
        mask: mask(&serde_json::json!({"mask": true}), shape),
    };
    let loss = loss.each(&similarities).mean();
    let value = loss.clone().inner().into_scalar();
    (value, gradient(&query, &mut loss.backward()))
}

fn same(one: &dyn QueryLoss, other: &dyn QueryLoss) {
    let [(one, one_gradient), (other, other_gradient)] = [one, other].map(loss_and_gradient);
    assert!((one - other).abs() < 1e-6, "{one} {other}");
    assert!(relative(&one_gradient, &other_gradient) < 1e-5);
}

#[test]
fn a_prior_of_zero_makes_the_debiased_loss_info_nce() {
    for temperature in [0.05, 0.5] {
        same(&Debiased { temperature, prior: 0.0 }, &InfoNce { temperature });
    }
}

#[test]
fn a_concentration_of_zero_makes_the_hard_loss_the_debiased_one() {
    for (temperature, prior) in [(0.05, 0.1), (0.5, 0.2), (0.5, 0.0)] {
        same(&Hard { temperature, prior, concentration: 0.0 }, &Debiased { temperature, prior });
    }
}

#[test]
fn losses_are_finite_at_the_lowest_temperature_and_without_any_negative() {
    let losses: [&dyn QueryLoss; 3] = [
        &InfoNce { temperature: 0.005 },
        &Debiased { temperature: 0.005, prior: 0.3 },
        &Hard { temperature: 0.005, prior: 0.3, concentration: 4.0 },
    ];
    for loss in losses {
        for mask in [None, Mask::new(vec![vec![0, 1, 2, 3]; 2])] {
            let query = parameter([2, 3], 1);
            let unit = normalize(query.read(&training()));
            let similarities = Similarities {
                positive: (unit.clone() * units([2, 3], 2)).sum_dim(1),
                negatives: unit.clone().matmul(units([4, 3], 3).transpose()),
                mask,
            };
            let value = loss.each(&similarities).mean();
            assert!(value.clone().inner().into_scalar::<f32>().is_finite(), "{loss:?}");
            let found = gradient(&query, &mut value.backward());
            assert!(found.iter().all(|value| value.is_finite()), "{loss:?}: {found:?}");
        }
    }
}

#[test]
fn the_queue_wraps_correctly_where_its_size_is_no_multiple_of_the_batch() {
    let mut queue = Queue::new(7, 2, &mut SEED.stream("queue", 0, 0, 0), &cpu());
    let start = to_host(queue.keys());
    assert!(
        start.chunks(2).all(|key| (key[0].hypot(key[1]) - 1.0).abs() < 1e-6),
        "it starts with unit vectors"
    );
    let mut expected: Vec<(u32, Vec<f32>)> = start.chunks(2).map(|key| (NO_INSTANCE, key.to_vec())).collect();
    let mut next = 0;
    for step in 0..6_u32 {
        let keys = numbers(6, step);
        let instances = [3 * step, 3 * step + 1, 3 * step + 2];
        queue.enqueue(from_host(keys.clone(), [3, 2], &cpu()), &instances);
        for (instance, key) in instances.iter().zip(keys.chunks(2)) {
            expected[next] = (*instance, key.to_vec());
            next = (next + 1) % 7;
        }
        let found: Vec<(u32, Vec<f32>)> = queue
            .instances()
            .iter()
            .copied()
            .zip(to_host(queue.keys()).chunks(2).map(<[f32]>::to_vec))
            .collect();
        assert_eq!((found, queue.next()), (expected.clone(), next), "after batch {step}");
    }
    // More keys than it holds: the last ones stay.
    queue.enqueue(from_host(numbers(20, 99), [10, 2], &cpu()), &(100..110).collect::<Vec<u32>>());
    let mut stay: Vec<u32> = queue.instances().to_vec();
    stay.sort_unstable();
    assert_eq!(stay, (103..110).collect::<Vec<u32>>());
}

fn streams(query: usize) -> lookalike_base::Stream {
    Seed(3).stream("mixing", 0, 0, query as u64)
}

/// Five queries at five places of the circle and 40 candidates around it.
fn circle() -> Comparison {
    circle_of((100..140).collect())
}

/// The same with candidates of these instances; those of its own are no negatives of a query.
fn circle_of(candidates: InstanceIds) -> Comparison {
    let point = |angle: f32| [angle.cos(), angle.sin()];
    let query: Vec<f32> = (0..5).flat_map(|index| point(1.2 * index as f32)).collect();
    let pool: Vec<f32> = (0..40).flat_map(|index| point(0.157 * index as f32)).collect();
    let query = from_host(query, [5, 2], &cpu());
    let pool = (from_host(pool, [40, 2], &cpu()), candidates);
    Comparison::with_dictionary(query.clone(), query, (&[0, 1, 2, 3, 4], 0), pool, true)
}

#[test]
fn each_query_mixes_its_own_hardest_negatives() {
    let comparison = circle();
    let plain = comparison.similarities(Vec::new());
    let options = MixingOptions { hardest: 4, between: 50, with_query: 20, warm_up: 0.0 };
    let drawn = draw(&plain, &options, streams);
    let similarities = to_host(plain.negatives.clone());
    let mut all = Vec::new();
    for (row, query) in similarities.chunks(40).zip(&drawn.queries) {
        let mut order: Vec<u32> = (0..40).collect();
        order.sort_by(|a, b| row[*b as usize].total_cmp(&row[*a as usize]));
        let mut own = order[..4].to_vec();
        own.sort_unstable();
        let mut hardest = query.hardest.clone();
        hardest.sort_unstable();
        assert_eq!(hardest, own);
        let parents = query.mixtures.iter().flat_map(|mixture| [Some(mixture.candidate), mixture.partner]);
        let mut parents: Vec<u32> = parents.flatten().collect();
        parents.sort_unstable();
        parents.dedup();
        assert_eq!(parents, own, "all of them and no other are mixed");
        for (index, mixture) in query.mixtures.iter().enumerate() {
            match mixture.partner {
                Some(partner) => assert!(index < 50 && partner != mixture.candidate),
                None => assert!(index >= 50 && mixture.share < 0.5, "the query never dominates"),
            }
        }
        all.push(own);
    }
    all.dedup();
    assert_eq!(all.len(), 5, "queries at different places have different hardest negatives");
}

#[test]
fn what_is_excluded_is_neither_chosen_nor_mixed_and_a_query_without_negatives_has_no_mixtures() {
    let comparison = circle_of(vec![0; 40].into());
    let labels = [7, 1, 2, 3, 4];
    // All candidates are of instance 0: its own query has none left.
    let plain = comparison.similarities(vec![comparison.ids.as_ref().unwrap().of_class(&labels)]);
    let mask = plain.mask.clone().unwrap();
    assert_eq!(mask.of(0), (0..40).collect::<Vec<u32>>());
    assert!((1..5).all(|query| mask.of(query).is_empty()));
    let options = MixingOptions { hardest: 4, between: 3, with_query: 2, warm_up: 0.0 };
    let drawn = draw(&plain, &options, streams);
    assert_eq!(drawn.queries[0], QueryDraw::default());
    assert!(drawn.queries[1..].iter().all(|query| query.mixtures.len() == 5));
    let with = drawn.append(&comparison, &plain);
    assert_eq!(with.negatives.dims(), [5, 45]);
    let loss = to_host(InfoNce { temperature: 0.1 }.each(&with));
    assert!(loss[0].abs() < 1e-6 && loss[1] > 1.0, "{loss:?}");
}

/// The mixtures as vectors: the obvious way.
fn vectors(comparison: &Comparison, drawn: &Draw) -> Vec<Vec<[f32; 2]>> {
    let [queries, pool] = [&comparison.query, &comparison.candidates].map(|rows| to_host(rows.clone()));
    let row = |rows: &[f32], index: usize| [rows[2 * index], rows[2 * index + 1]];
    let of_query = |(query, drawn): (usize, &QueryDraw)| {
        let mixture = |mixture: &Mixture| {
            let one = row(&pool, mixture.candidate as usize);
            let other = match mixture.partner {
                Some(partner) => row(&pool, partner as usize),
                None => row(&queries, query),
            };
            let sum: [f32; 2] = [0, 1].map(|i| mixture.share * other[i] + (1.0 - mixture.share) * one[i]);
            let length = sum[0].hypot(sum[1]);
            sum.map(|value| value / length)
        };
        drawn.mixtures.iter().map(mixture).collect()
    };
    drawn.queries.iter().enumerate().map(of_query).collect()
}

#[test]
fn mixtures_have_unit_norm() {
    let comparison = circle();
    let plain = comparison.similarities(Vec::new());
    let options = MixingOptions { hardest: 12, between: 30, with_query: 30, warm_up: 0.0 };
    let drawn = draw(&plain, &options, streams);
    let found = to_host(drawn.append(&comparison, &plain).negatives);
    let queries = to_host(comparison.query.clone());
    for (query, mixtures) in vectors(&comparison, &drawn).iter().enumerate() {
        for (index, unit) in mixtures.iter().enumerate() {
            // The similarity is that of the mixture scaled to unit length: as vectors, and no other length, would give.
            let expected = queries[2 * query] * unit[0] + queries[2 * query + 1] * unit[1];
            let found = found[query * 100 + 40 + index];
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }
}

#[test]
fn mixtures_and_their_gradients_are_those_of_pytorch_and_carry_none_to_their_parents() {
    let file = tensors::read(fixture("mixing.safetensors")).unwrap();
    let inputs = [([4, 6], 500), ([4, 6], 501), ([12, 6], 502)].map(|(shape, key)| parameter(shape, key));
    let [query, positive, candidates] = inputs.each_ref().map(|input| normalize(input.read(&training())));
    let pool = (candidates, (4..16).collect());
    let comparison = Comparison::with_dictionary(query, positive, (&[0, 1, 2, 3], 0), pool, false);
    let comparison = Comparison { tracked: true, ..comparison };
    let shares: Vec<f32> = numbers(32, 503).into_iter().map(|value| f32::midpoint(value, 1.0)).collect();
    let of_query = |query: u32| {
        let mixture = |index: u32| {
            let share = shares[(8 * query + index) as usize];
            let candidate = (3 * query + index) % 12;
            match index {
                0..5 => Mixture { candidate, partner: Some((query + 2 * index + 1) % 12), share },
                _ => Mixture { candidate, partner: None, share: share / 2.0 },
            }
        };
        QueryDraw { hardest: Vec::new(), mixtures: (0..8).map(mixture).collect() }
    };
    let drawn = Draw { queries: (0..4).map(of_query).collect(), mixtures: 8 };
    let similarities = drawn.append(&comparison, &comparison.similarities(Vec::new()));
    close("mixed", &to_host(similarities.negatives.clone().narrow(1, 12, 8)), values(&file, "mixed"));
    let loss = InfoNce { temperature: 0.2 }.each(&similarities).mean();
    close("loss", &to_host(loss.clone()), values(&file, "loss"));
    let mut gradients = loss.backward();
    // The reference detaches the mixtures: were a gradient to reach their parents, those of the candidates would differ.
    for (name, input) in ["query", "positive", "candidates"].into_iter().zip(&inputs) {
        close(name, &gradient(input, &mut gradients), values(&file, name));
    }
}

#[test]
fn the_diagnostics_see_what_can_be_counted_by_hand() {
    // Query 0 has its positive at 0.8 and negatives at 1 (left out by the oracle), 0.6 and −1; query 1 at 0 and 1, 0, −0.8.
    let unit = |rows: &[[f32; 2]]| from_host(rows.concat(), [rows.len(), 2], &cpu());
    let query = unit(&[[1.0, 0.0], [0.0, 1.0]]);
    let positive = unit(&[[0.8, 0.6], [1.0, 0.0]]);
    let pool = unit(&[[1.0, 0.0], [0.6, -0.8], [-1.0, 0.0], [0.0, 1.0]]);
    let pool = (pool, vec![2, 3, 4, 5].into());
    let comparison = Comparison::with_dictionary(query, positive, (&[0, 1], 0), pool, false);
    let labels = Arc::new(vec![0, 1, 0, 1, 1, 1]);
    let contrast = |oracle: bool| {
        let oracle = oracle.then(|| labels.clone().into());
        Contrast { oracle, ..Contrast::plain(InfoNce { temperature: 0.1 }) }
    };
    let scalars = |oracle| seen(&contrast(oracle), &comparison, &Step::default(), Some(&labels)).1;
    let plain = scalars(false);
    assert_eq!(number(&plain, "proxy_accuracy"), 0.0);
    assert_eq!(number(&plain, "false_negatives"), 4.0 / 8.0);
    // The hardest tenth of four is one: instance 2 for query 0, of its class; 5 for query 1, of its class.
    assert_eq!(number(&plain, "false_negatives_hardest"), 1.0);
    assert_eq!(number(&plain, "negatives_for_half"), 1.0);
    assert!((number(&plain, "alignment") - 1.2).abs() < 1e-6);
    let oracle = scalars(true);
    // Query 0 keeps 0.6, −1 and 0; query 1 keeps instance 2 at 0, which its positive does not exceed.
    assert_eq!(number(&oracle, "proxy_accuracy"), 0.5);
    assert_eq!((number(&oracle, "false_negatives"), number(&oracle, "negatives")), (0.0, 2.0));
    assert!(!plain.contains_key("mixtures") && !plain.contains_key("proxy_accuracy_mixed"));
    // Where nobody knows the classes nothing is said of them; and who watches changes nothing.
    let (loss, unlabelled) = seen(&contrast(false), &comparison, &Step::default(), None);
    assert!(unlabelled.keys().all(|name| !name.starts_with("false_negatives")));
    let unseen = contrast(false).compare(&comparison, &Step::default(), MIXING[0], &mut Unobserved);
    assert_eq!(to_host(unseen), [loss]);
}

#[test]
fn the_diagnostics_are_those_of_the_first_comparison_of_a_batch() {
    let contrast = Contrast::plain(InfoNce { temperature: 0.1 });
    let first = circle();
    let [second, _] = Comparison::across(units([3, 4], 60), units([3, 4], 61), &[0, 1, 2]);
    let alone = seen(&contrast, &first, &Step::default(), None).1;
    let mut diagnostics = Diagnostics::new(None);
    for comparison in [&first, &second] {
        drop(contrast.compare(comparison, &Step::default(), MIXING[0], &mut diagnostics));
    }
    diagnostics.number("temperature", &|| 0.5);
    let both = diagnostics.into_scalars();
    assert_eq!(both.len(), alone.len() + 1);
    assert_eq!(number(&both, "temperature"), 0.5);
    assert!(alone.iter().all(|(name, value)| both[name] == *value));
}

/// The loss of a comparison and what the diagnostics see of it.
fn seen(contrast: &Contrast, comparison: &Comparison, step: &Step, labels: Option<&[u32]>) -> (f32, Scalars) {
    let mut diagnostics = Diagnostics::new(labels);
    let loss = contrast.compare(comparison, step, MIXING[0], &mut diagnostics);
    (to_host(loss)[0], diagnostics.into_scalars())
}

fn number(scalars: &Scalars, name: &str) -> f64 {
    scalars[name].value().unwrap()
}

#[test]
fn mixing_waits_for_its_share_of_the_run_and_then_lowers_the_proxy_accuracy() {
    let mixing = MixingOptions { hardest: 8, between: 16, with_query: 16, warm_up: 0.25 };
    let contrast = Contrast { mixing: Some(mixing), ..Contrast::plain(InfoNce { temperature: 0.1 }) };
    let at = |step| Step { step, steps: 20, ..Step::default() };
    let (before, scalars) = seen(&contrast, &circle(), &at(4), None);
    assert!(!scalars.contains_key("mixtures"));
    let (after, scalars) = seen(&contrast, &circle(), &at(5), None);
    assert_eq!(scalars["mixtures"], Scalar::Count(32), "the events show that mixing was on");
    assert!(number(&scalars, "proxy_accuracy_mixed") <= number(&scalars, "proxy_accuracy"));
    assert!(after > before, "more and harder negatives: {after} {before}");
}

#[test]
fn geometry_is_that_of_one_view_an_instance_where_both_are_queries() {
    let [first, second] = [units([6, 8], 50), units([6, 8], 51)];
    let contrast = Contrast::plain(InfoNce { temperature: 0.2 });
    let instances = [4, 9, 2, 7, 1, 3];
    let both = Comparison::all_views(first.clone(), second.clone(), &instances);
    let both = seen(&contrast, &both, &Step::default(), None).1;
    assert_eq!(both["rows"], Scalar::Count(6));
    let [one, _] = Comparison::across(first, second, &instances);
    let one = seen(&contrast, &one, &Step::default(), None).1;
    for name in ["alignment", "uniformity", "deviation", "effective_rank", "rows", "dimension"] {
        assert_eq!(both[name], one[name], "{name}");
    }
}

/// NT-Xent of the columns of two `[rows, columns]` tables, as its equation says it.
fn of_columns(tables: [&[f32]; 2], [rows, columns]: [usize; 2], temperature: f64) -> f64 {
    let column = |unit: usize| -> Vec<f64> {
        let table = tables[unit / columns];
        let values: Vec<f64> =
            (0..rows).map(|row| f64::from(table[row * columns + unit % columns])).collect();
        let length = values.iter().map(|value| value * value).sum::<f64>().sqrt();
        values.iter().map(|value| value / length).collect()
    };
    let units: Vec<Vec<f64>> = (0..2 * columns).map(column).collect();
    let weight = |one: usize, other: usize| {
        let similarity: f64 = units[one].iter().zip(&units[other]).map(|(a, b)| a * b).sum();
        (similarity / temperature).exp()
    };
    let of_unit = |own: usize| {
        let others: f64 =
            (0..2 * columns).filter(|other| *other != own).map(|other| weight(own, other)).sum();
        -(weight(own, (own + columns) % (2 * columns)) / others).ln()
    };
    (0..2 * columns).map(of_unit).sum::<f64>() / (2 * columns) as f64
}

#[test]
fn units_without_an_instance_are_compared_by_nt_xent_and_have_neither_oracle_nor_false_negatives_nor_mixtures()
 {
    let shape = [12, 5];
    let assignments = [70, 71].map(|key| parameter(shape, key));
    let columns = |index: usize| assignments[index].read(&training()).transpose();
    let comparison = || Comparison::of_units(columns(0), columns(1));
    let labels = vec![0; 100];
    let contrast = Contrast {
        mixing: Some(MixingOptions { hardest: 4, between: 3, with_query: 2, warm_up: 0.0 }),
        oracle: Some(Arc::new(labels.clone()).into()),
        ..Contrast::plain(InfoNce { temperature: 0.5 })
    };
    let mut diagnostics = Diagnostics::new(Some(&labels));
    let loss = contrast.compare(&comparison(), &Step::default(), MIXING[0], &mut diagnostics);
    let theirs = nt_xent(columns(0), columns(1), 0.5);
    let value = to_host(loss.clone())[0];
    assert_eq!([value], to_host(theirs.clone())[..]);
    let tables = [numbers(60, 70), numbers(60, 71)];
    let by_hand = of_columns([&tables[0], &tables[1]], shape, 0.5);
    assert!((f64::from(value) - by_hand).abs() < 1e-5 * by_hand, "{value}, not {by_hand}");
    let (mut ours, mut theirs) = (loss.backward(), theirs.backward());
    for parameter in &assignments {
        assert_eq!(gradient(parameter, &mut ours), gradient(parameter, &mut theirs));
    }
    // All units are of one class, and yet none is left out but itself and its other form.
    let plain = comparison().similarities(Vec::new());
    assert_eq!(plain.mask, comparison().mask);
    let mask = plain.mask.unwrap();
    assert!((0..10).all(|unit| mask.of(unit) == [unit as u32 % 5, unit as u32 % 5 + 5]));
    let scalars = diagnostics.into_scalars();
    assert_eq!((number(&scalars, "negatives"), number(&scalars, "rows")), (8.0, 10.0));
    assert!(scalars.keys().all(|name| !name.starts_with("false_negatives") && *name != "mixtures"));
}

#[test]
fn a_query_leaves_out_its_own_entry_of_a_bank_by_a_list_of_one() {
    let entries = 1_000_000;
    let mask = circle_of(InstanceIds::Rows(entries)).mask.unwrap();
    assert!((0..5).all(|query| mask.of(query as usize) == [query]));
    // The same as by looking at every entry.
    assert_eq!(circle_of((0..entries as u32).collect()).mask, Some(mask));
}

#[test]
fn the_rows_of_instances_are_those_that_a_look_at_every_pair_finds() {
    let mut stream = SEED.stream("ids", 0, 0, 0);
    let mut drawn =
        |count: usize, below: u32| -> Vec<u32> { (0..count).map(|_| stream.below(below)).collect() };
    for (rows, below) in [(0, 5), (1, 1), (40, 7), (200, 30), (200, 1000)] {
        // Some rows are nobody's, some instances have no row, and some are asked for twice.
        let listed = drawn(rows, below).into_iter();
        let listed = listed.map(|id| if id.is_multiple_of(4) { NO_INSTANCE } else { id }).collect();
        let instances = drawn(16, below + 3);
        for ids in [listed, InstanceIds::Rows(rows)] {
            let every = |own: &u32| (0..rows as u32).filter(|row| ids.of(*row as usize) == *own).collect();
            let by_pairs: Vec<Vec<u32>> = instances.iter().map(every).collect();
            assert_eq!(ids.rows_of(&instances), by_pairs, "{ids:?} for {instances:?}");
        }
    }
}

#[test]
fn all_negatives_are_mixed_where_as_many_are_asked_for_as_there_are() {
    let comparison = circle();
    let whole = comparison.similarities(Vec::new());
    // Two are left out of the second query's: it has fewer than are asked for.
    let mask = Mask::new(vec![Vec::new(), vec![3, 39], Vec::new(), Vec::new(), Vec::new()]);
    let plain = Similarities { mask, ..whole };
    let options = MixingOptions { hardest: 40, between: 200, with_query: 20, warm_up: 0.0 };
    let drawn = draw(&plain, &options, streams);
    let held: Vec<usize> = drawn.queries.iter().map(|query| query.hardest.len()).collect();
    assert_eq!(held, [40, 38, 40, 40, 40]);
    assert!(drawn.queries[1].mixtures.iter().all(|mixture| ![3, 39].contains(&mixture.candidate)));
    let with = drawn.append(&comparison, &plain);
    assert_eq!(with.negatives.dims(), [5, 260]);
    assert_eq!(with.mask, plain.mask);
}

#[test]
fn lars_leaves_a_gradient_as_it_is_where_it_or_the_weight_has_no_length() {
    let vector = |values: [f32; 3]| from_host(values.to_vec(), [3], &cpu());
    let adapted =
        |weight, gradient, decay| to_host(lars::adapt(&vector(weight), vector(gradient), decay, 0.1));
    for decay in [0.0, 0.5] {
        assert_eq!(adapted([0.0; 3], [1.0, -2.0, 3.0], decay), [1.0, -2.0, 3.0]);
        assert_eq!(adapted([0.0; 3], [0.0; 3], decay), [0.0; 3]);
        // What decay adds takes the gradient away.
        let opposite = [2.0, -4.0, 8.0].map(|value: f32| -value * decay as f32);
        assert_eq!(adapted([2.0, -4.0, 8.0], opposite, decay), [0.0; 3]);
    }
    // Elsewhere it is scaled, by 0.1 · 5 / 2 and 0.1 · 5 / √10.25.
    for (decay, expected) in [(0.0, [0.0, 0.0, 2.0]), (0.5, [1.5, 2.0, 2.0])] {
        let scale = 0.5 / length(&expected) as f32;
        let found = adapted([3.0, 4.0, 0.0], [0.0, 0.0, 2.0], decay);
        let off = found.iter().zip(expected).map(|(found, value)| (found - scale * value).abs());
        assert!(off.fold(0.0, f32::max) < 1e-6, "{found:?}");
    }
}
