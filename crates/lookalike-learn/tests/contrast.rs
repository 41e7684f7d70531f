//! Losses, queue, mixing and oracle: beside PyTorch (`fixtures/make_contrast.py` made the numbers), and claim by claim.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

mod common;

use common::{SEED, cpu, fixture, numbers, relative, training, values};
use lookalike_base::Seed;
use lookalike_base::tensors;
use lookalike_learn::engine::{Tensor, from_host, to_host};
use lookalike_learn::loss::noise_contrastive::{log_normalizer, noise_contrastive};
use lookalike_learn::loss::{Loss, Similarities, normalize, nt_xent};
use lookalike_learn::method::Position;
use lookalike_learn::module::{AnyTensor, Parameter};
use lookalike_learn::negatives::mixing::{Draw, MixingOptions, Mixture, QueryDraw, draw};
use lookalike_learn::negatives::{Comparison, ContrastiveLoss, Excluded, InstanceIds, NO_INSTANCE, Queue};
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

fn excluded(case: &Value, [queries, candidates]: [usize; 2]) -> Option<Excluded> {
    let of_query =
        |query: u32| (0..candidates as u32).filter(|other| (query + 2 * other).is_multiple_of(5)).collect();
    Excluded::new((0..queries as u32).map(of_query).collect()).filter(|_| case["mask"].as_bool().unwrap())
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
            excluded: excluded(case, [queries, candidates]),
        };
        let temperature = number("temperature");
        let loss = match case["kind"].as_str().unwrap() {
            "info-nce" => Loss::InfoNce { temperature }.of(&similarities),
            "debiased" => Loss::Debiased { temperature, prior: number("prior") }.of(&similarities),
            "hard" => {
                let (prior, concentration) = (number("prior"), number("beta"));
                Loss::Hard { temperature, prior, concentration }.of(&similarities)
            }
            "alignment" => Loss::Alignment.of(&similarities),
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
fn loss_and_gradient(loss: Loss) -> (f32, Vec<f32>) {
    let query = parameter([6, 8], 1);
    let unit = normalize(query.read(&training()));
    let shape = [6, 20];
    let similarities = Similarities {
        positive: (unit.clone() * units([6, 8], 2)).sum_dim(1),
        negatives: unit.matmul(units([20, 8], 3).transpose()),
        excluded: excluded(&serde_json::json!({"mask": true}), shape),
    };
    let loss = loss.of(&similarities).mean();
    let value = loss.clone().inner().into_scalar();
    (value, gradient(&query, &mut loss.backward()))
}

fn same(one: Loss, other: Loss) {
    let [(one, one_gradient), (other, other_gradient)] = [one, other].map(loss_and_gradient);
    assert!((one - other).abs() < 1e-6, "{one} {other}");
    assert!(relative(&one_gradient, &other_gradient) < 1e-5);
}

#[test]
fn a_prior_of_zero_makes_the_debiased_loss_info_nce() {
    for temperature in [0.05, 0.5] {
        same(Loss::Debiased { temperature, prior: 0.0 }, Loss::InfoNce { temperature });
    }
}

#[test]
fn a_concentration_of_zero_makes_the_hard_loss_the_debiased_one() {
    for (temperature, prior) in [(0.05, 0.1), (0.5, 0.2), (0.5, 0.0)] {
        same(Loss::Hard { temperature, prior, concentration: 0.0 }, Loss::Debiased { temperature, prior });
    }
}

#[test]
fn losses_are_finite_at_the_lowest_temperature_and_without_any_negative() {
    let losses = [
        Loss::InfoNce { temperature: 0.005 },
        Loss::Debiased { temperature: 0.005, prior: 0.3 },
        Loss::Hard { temperature: 0.005, prior: 0.3, concentration: 4.0 },
    ];
    for loss in losses {
        for excluded in [None, Excluded::new(vec![vec![0, 1, 2, 3]; 2])] {
            let query = parameter([2, 3], 1);
            let unit = normalize(query.read(&training()));
            let similarities = Similarities {
                positive: (unit.clone() * units([2, 3], 2)).sum_dim(1),
                negatives: unit.clone().matmul(units([4, 3], 3).transpose()),
                excluded,
            };
            let value = loss.of(&similarities).mean();
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

fn streams(query: u64) -> lookalike_base::Stream {
    Seed(3).stream("mixing", 0, 0, query)
}

/// Five queries at five places of the circle and 40 candidates around it.
fn circle() -> Comparison {
    let point = |angle: f32| [angle.cos(), angle.sin()];
    let query: Vec<f32> = (0..5).flat_map(|index| point(1.2 * index as f32)).collect();
    let pool: Vec<f32> = (0..40).flat_map(|index| point(0.157 * index as f32)).collect();
    let query = from_host(query, [5, 2], &cpu());
    Comparison {
        positive: query.clone(),
        query,
        instances: (0..5).collect(),
        candidates: from_host(pool, [40, 2], &cpu()),
        candidate_instances: (100..140).collect(),
        exclude_own: true,
        tracked: false,
    }
}

#[test]
fn each_query_mixes_its_own_hardest_negatives() {
    let comparison = circle();
    let plain = comparison.similarities(None);
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
    let comparison = Comparison { candidate_instances: vec![0; 40].into(), ..circle() };
    let labels = [7, 1, 2, 3, 4];
    // All candidates are of instance 0: its own query has none left.
    let excluded = comparison.excluded(Some(&labels)).unwrap();
    assert_eq!(excluded.of(0), (0..40).collect::<Vec<u32>>());
    assert!((1..5).all(|query| excluded.of(query).is_empty()));
    let plain = comparison.similarities(Some(excluded));
    let options = MixingOptions { hardest: 4, between: 3, with_query: 2, warm_up: 0.0 };
    let drawn = draw(&plain, &options, streams);
    assert_eq!(drawn.queries[0], QueryDraw::default());
    assert!(drawn.queries[1..].iter().all(|query| query.mixtures.len() == 5));
    let with = drawn.append(&comparison, &plain);
    assert_eq!(with.negatives.dims(), [5, 45]);
    let loss = to_host(Loss::InfoNce { temperature: 0.1 }.of(&with));
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
    let plain = comparison.similarities(None);
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
    let comparison = Comparison {
        query,
        instances: (0..4).collect(),
        positive,
        candidates,
        candidate_instances: (4..16).collect(),
        exclude_own: false,
        tracked: true,
    };
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
    let similarities = drawn.append(&comparison, &comparison.similarities(None));
    close("mixed", &to_host(similarities.negatives.clone().narrow(1, 12, 8)), values(&file, "mixed"));
    let loss = Loss::InfoNce { temperature: 0.2 }.of(&similarities).mean();
    close("loss", &to_host(loss.clone()), values(&file, "loss"));
    let mut gradients = loss.backward();
    // The reference detaches the mixtures: were a gradient to reach their parents, those of the candidates would differ.
    for (name, input) in ["query", "positive", "candidates"].into_iter().zip(&inputs) {
        close(name, &gradient(input, &mut gradients), values(&file, name));
    }
}

#[test]
fn the_diagnostics_see_what_can_be_counted_by_hand() {
    // Query 0 has its positive at 0.8 and negatives at 1 (excluded by the oracle), 0.6 and −1; query 1 at 0 and 1, 0, −0.8.
    let unit = |rows: &[[f32; 2]]| from_host(rows.concat(), [rows.len(), 2], &cpu());
    let comparison = Comparison {
        query: unit(&[[1.0, 0.0], [0.0, 1.0]]),
        instances: vec![0, 1],
        positive: unit(&[[0.8, 0.6], [1.0, 0.0]]),
        candidates: unit(&[[1.0, 0.0], [0.6, -0.8], [-1.0, 0.0], [0.0, 1.0]]),
        candidate_instances: vec![2, 3, 4, 5].into(),
        exclude_own: false,
        tracked: false,
    };
    let labels = std::sync::Arc::new(vec![0, 1, 0, 1, 1, 1]);
    let position = Position { diagnostics: true, ..Position::default() };
    let scalars = |oracle: bool| {
        let loss = Loss::InfoNce { temperature: 0.1 };
        let contrast =
            ContrastiveLoss { oracle, labels: Some(labels.clone()), ..ContrastiveLoss::plain(loss) };
        contrast.compare(&comparison, &position, 0).1
    };
    let plain = scalars(false);
    let number = |scalars: &serde_json::Map<String, Value>, name: &str| scalars[name].as_f64().unwrap();
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
    assert!(plain.get("mixtures").is_none() && plain.get("proxy_accuracy_mixed").is_none());
    assert_eq!(contrast_without_diagnostics(&comparison), 0);
}

/// Figures where nobody asked for any.
fn contrast_without_diagnostics(comparison: &Comparison) -> usize {
    let contrast = ContrastiveLoss::plain(Loss::InfoNce { temperature: 0.1 });
    contrast.compare(comparison, &Position::default(), 0).1.len()
}

#[test]
fn mixing_waits_for_its_share_of_the_run_and_then_lowers_the_proxy_accuracy() {
    let mixing = MixingOptions { hardest: 8, between: 16, with_query: 16, warm_up: 0.25 };
    let contrast = ContrastiveLoss {
        mixing: Some(mixing),
        ..ContrastiveLoss::plain(Loss::InfoNce { temperature: 0.1 })
    };
    let at = |step| Position { step, steps: 20, diagnostics: true, ..Position::default() };
    let (before, scalars) = contrast.compare(&circle(), &at(4), 0);
    assert!(scalars.get("mixtures").is_none());
    let (after, scalars) = contrast.compare(&circle(), &at(5), 0);
    assert_eq!(scalars["mixtures"], 32, "the events show that mixing was on");
    assert!(scalars["proxy_accuracy_mixed"].as_f64() <= scalars["proxy_accuracy"].as_f64());
    let [before, after] = [before, after].map(|loss| to_host(loss)[0]);
    assert!(after > before, "more and harder negatives: {after} {before}");
}

#[test]
fn geometry_is_that_of_one_view_an_instance_where_both_are_queries() {
    let [first, second] = [units([6, 8], 50), units([6, 8], 51)];
    let position = Position { diagnostics: true, ..Position::default() };
    let contrast = ContrastiveLoss::plain(Loss::InfoNce { temperature: 0.2 });
    let both =
        contrast.compare(&nt_xent::views(first.clone(), second.clone(), &[4, 9, 2, 7, 1, 3]), &position, 0).1;
    assert_eq!(both["rows"], 6);
    let [one, _] = nt_xent::across(first, second, &[4, 9, 2, 7, 1, 3]);
    let one = contrast.compare(&one, &position, 0).1;
    for name in ["alignment", "uniformity", "deviation", "effective_rank", "rows", "dimension"] {
        assert_eq!(both[name], one[name], "{name}");
    }
}

#[test]
fn a_query_leaves_out_its_own_entry_of_a_bank_by_a_list_of_one() {
    let entries = 1_000_000;
    let comparison = Comparison { candidate_instances: InstanceIds::Rows(entries), ..circle() };
    let excluded = comparison.excluded(None).unwrap();
    assert!((0..5).all(|query| excluded.of(query as usize) == [query]));
    // The same as by looking at every entry.
    let listed = Comparison { candidate_instances: (0..entries as u32).collect(), ..circle() };
    assert_eq!(listed.excluded(None), Some(excluded));
}

#[test]
fn all_negatives_are_mixed_where_as_many_are_asked_for_as_there_are() {
    let comparison = circle();
    let whole = comparison.similarities(None);
    // Two are left out of the second query's: it has fewer than are asked for.
    let excluded = Excluded::new(vec![Vec::new(), vec![3, 39], Vec::new(), Vec::new(), Vec::new()]);
    let plain = Similarities { excluded, ..whole };
    let options = MixingOptions { hardest: 40, between: 200, with_query: 20, warm_up: 0.0 };
    let drawn = draw(&plain, &options, streams);
    let held: Vec<usize> = drawn.queries.iter().map(|query| query.hardest.len()).collect();
    assert_eq!(held, [40, 38, 40, 40, 40]);
    assert!(drawn.queries[1].mixtures.iter().all(|mixture| ![3, 39].contains(&mixture.candidate)));
    let with = drawn.append(&comparison, &plain);
    assert_eq!(with.negatives.dims(), [5, 260]);
    assert_eq!(with.excluded, plain.excluded);
}
