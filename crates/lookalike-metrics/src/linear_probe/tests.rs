use super::*;
use lookalike_base::Watch;

/// `n` rows of `classes` Gaussian clusters in 6 dimensions, with their labels.
fn clusters(n: usize, classes: u32, distance: f32, seed: u64) -> (Vec<f32>, Vec<u32>) {
    let mut stream = Seed(seed).stream("test", 0, 0, 0);
    let labels: Vec<u32> = (0..n as u32).map(|row| row % classes).collect();
    let value = |label: u32, j: u32, noise: f32| noise + if label == j { distance } else { 0.0 };
    let values = labels.iter().flat_map(|label| (0..6).map(|j| (*label, j)).collect::<Vec<_>>());
    (values.map(|(label, j)| value(label, j, stream.normal())).collect(), labels)
}

fn probe(
    options: &ProbeOptions,
    train: (&[f32], &[u32]),
    test: (&[f32], &[u32]),
) -> Result<LinearProbe, MetricError> {
    let (train_rows, test_rows) = (Rows::new(train.0, 6).unwrap(), Rows::new(test.0, 6).unwrap());
    linear_probe(train_rows, train.1, test_rows, test.1, 4, options, Watch::default())
}

fn quick() -> ProbeOptions {
    ProbeOptions { epochs: 20, batch_size: 32, ..ProbeOptions::default() }
}

#[test]
fn clusters_are_told_apart_and_the_scale_of_the_embeddings_does_not_matter() {
    let ((train, labels), (test, test_labels)) = (clusters(400, 4, 6.0, 1), clusters(200, 4, 6.0, 2));
    let result = probe(&quick(), (&train, &labels), (&test, &test_labels)).unwrap();
    assert!(result.accuracy > 0.98, "{result:?}");
    assert_eq!((result.rates.len(), result.labelled_rows, result.epochs), (7, 400, 20));
    let shrunk = |values: &[f32]| values.iter().map(|value| value * 1e-4 + 3e-3).collect::<Vec<_>>();
    let same = probe(&quick(), (&shrunk(&train), &labels), (&shrunk(&test), &test_labels)).unwrap();
    assert!((same.accuracy - result.accuracy).abs() < 0.011, "{same:?}");
}

#[test]
fn labels_without_relation_to_the_embeddings_give_chance() {
    let (train, _) = clusters(400, 4, 6.0, 1);
    let mut labels: Vec<u32> = (0..400).map(|row| row % 4).collect();
    Seed(9).stream("test", 0, 0, 0).shuffle(&mut labels);
    let (test, test_labels) = clusters(400, 4, 6.0, 2);
    let result = probe(&quick(), (&train, &labels), (&test, &test_labels)).unwrap();
    assert!((result.accuracy - 0.25).abs() < 0.15, "{result:?}");
}

#[test]
fn the_result_depends_on_the_seed_and_on_nothing_else() {
    let ((train, labels), (test, test_labels)) = (clusters(300, 4, 1.5, 1), clusters(200, 4, 1.5, 2));
    let run = |options: &ProbeOptions| probe(options, (&train, &labels), (&test, &test_labels)).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let first = run(&quick());
    assert_eq!(pool.install(|| run(&quick())), first);
    assert_ne!(run(&ProbeOptions { seed: Seed(1), ..quick() }).rates, first.rates);
}

#[test]
fn a_few_labels_a_class_are_enough_for_clear_clusters() {
    let ((train, labels), (test, test_labels)) = (clusters(400, 4, 6.0, 1), clusters(200, 4, 6.0, 2));
    let options = ProbeOptions { labels_per_class: Some(10), ..quick() };
    let result = probe(&options, (&train, &labels), (&test, &test_labels)).unwrap();
    assert_eq!(result.labelled_rows, 40);
    assert!(result.accuracy > 0.9, "{result:?}");
}

#[test]
fn test_rows_have_no_say_in_the_rate() {
    let ((train, labels), (test, test_labels)) = (clusters(300, 4, 1.5, 1), clusters(200, 4, 1.5, 2));
    let wrong: Vec<u32> = test_labels.iter().map(|label| (label + 1) % 4).collect();
    let honest = probe(&quick(), (&train, &labels), (&test, &test_labels)).unwrap();
    let misled = probe(&quick(), (&train, &labels), (&test, &wrong)).unwrap();
    assert_eq!((honest.rate, &honest.rates), (misled.rate, &misled.rates));
    assert!(honest.accuracy > misled.accuracy);
}

#[test]
fn among_equally_accurate_rates_the_least_loss_is_chosen_and_edges_are_told() {
    let score = |rate, accuracy, loss| RateScore { rate, accuracy, loss };
    let rates = [score(0.1, 0.5, 0.9), score(0.2, 0.5, 0.8), score(0.3, 0.9, f64::NAN), score(0.4, 0.4, 0.1)];
    assert_eq!(choose(&rates).unwrap().rate, 0.2);
    assert!(matches!(choose(&rates[2..3]), Err(MetricError::Undefined { .. })));
    assert!(
        check::at_edge(0.1, &[0.3, 0.1, 0.2])
            && check::at_edge(0.3, &[0.3, 0.1, 0.2])
            && !check::at_edge(0.2, &[0.3, 0.1, 0.2])
    );
    assert!(!check::at_edge(0.1, &[0.1]));
}

#[test]
fn one_class_no_labels_and_impossible_options_are_errors() {
    let (rows, labels) = clusters(40, 4, 1.0, 1);
    let run = |options: &ProbeOptions, labels: &[u32]| probe(options, (&rows, labels), (&rows, labels));
    assert!(matches!(run(&quick(), &[1; 40]), Err(MetricError::Undefined { .. })));
    assert!(matches!(run(&quick(), &[]), Err(MetricError::Undefined { .. })));
    let impossible = [
        ProbeOptions { rates: vec![], ..quick() },
        ProbeOptions { rates: vec![0.1, -1.0], ..quick() },
        ProbeOptions { epochs: 0, ..quick() },
        ProbeOptions { batch_size: 0, ..quick() },
        ProbeOptions { held_out: 1.0, ..quick() },
        ProbeOptions { labels_per_class: Some(1), ..quick() },
    ];
    for options in impossible {
        assert!(matches!(run(&options, &labels), Err(MetricError::Option { .. })), "{options:?}");
    }
}
