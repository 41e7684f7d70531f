use serde_json::Value;

use super::linear::Newton;
use super::smo::Smo;
use super::*;
use lookalike_base::{Cancellation, Watch};

/// What scikit-learn says, from `tests/fixtures/svm.py`.
struct Fixture {
    expected: Value,
    rows: Vec<f32>,
    labels: Vec<u32>,
    costs: Vec<f64>,
    train: usize,
}

const COLUMNS: usize = 4;

impl Fixture {
    fn load() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/svm.json");
        let expected: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let rows = numbers(&expected["rows"]).into_iter().map(|value| value as f32).collect();
        let labels = numbers(&expected["labels"]).into_iter().map(|label| label as u32).collect();
        let (costs, train) = (numbers(&expected["costs"]), expected["train"].as_u64().unwrap() as usize);
        Self { expected, rows, labels, costs, train }
    }

    fn rows(&self) -> Rows<'_> {
        Rows::new(&self.rows, COLUMNS).unwrap()
    }

    fn solver(&self, name: &str) -> Box<dyn SvmSolver + Sync + '_> {
        match name {
            "rbf" => Box::new(Rbf::new(self.rows())),
            _ => Box::new(Linear::new(self.rows())),
        }
    }

    /// The train rows of classes 0 and 1.
    fn two(&self) -> Vec<u32> {
        (0..self.train as u32).filter(|row| self.labels[*row as usize] != 2).collect()
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

fn options(kernel: SvmKernel) -> SvmOptions {
    SvmOptions::published(kernel, Seed(0))
}

fn run(kernel: SvmKernel, rows: &[f32], labels: &[u32], classes: usize) -> Result<SvmScore, MetricError> {
    let rows = Rows::new(rows, COLUMNS).unwrap();
    svm_accuracy(rows, labels, classes, &options(kernel), Watch::default())
}

#[test]
fn folds_are_scikit_learn_s() {
    let fixture = Fixture::load();
    for folds in [5, 10] {
        let found = stratified_folds(&fixture.labels, 3, folds, None).unwrap();
        let expected = numbers(&fixture.expected["folds"][folds.to_string()]);
        assert_eq!(found, expected.into_iter().map(|fold| fold as u32).collect::<Vec<_>>());
    }
}

#[test]
fn a_class_smaller_than_the_folds_is_tested_by_some_of_them() {
    // StratifiedKFold(5) of scikit-learn 1.9, which warns of the four and the two rows of classes 1 and 2.
    let labels = [1, 0, 0, 2, 0, 1, 0, 0, 2, 0, 1, 0, 0, 0, 1, 0, 0];
    let folds = [0, 0, 0, 0, 1, 1, 1, 2, 1, 2, 2, 3, 3, 4, 3, 4, 4];
    assert_eq!(stratified_folds(&labels, 3, 5, None).unwrap(), folds);
}

#[test]
fn a_rare_class_is_scored_and_counts_as_a_class() {
    // Two rows of class 2 lie among those of class 0, one row of class 3 far from all: nobody who has not seen it knows it.
    let (mut rows, mut labels) = clusters(60, 3.0);
    labels[..2].fill(2);
    labels.push(3);
    rows.extend([100.0; COLUMNS]);
    for kernel in [SvmKernel::Rbf, SvmKernel::Linear] {
        let score = run(kernel, &rows, &labels, 4).unwrap();
        let counts = &score.classified.classes;
        assert_eq!((counts[2].instances, counts[3].instances, counts[3].right), (2, 1, 0));
        let expected = counts.iter().filter_map(|count| count.accuracy()).sum::<f64>() / 4.0;
        assert!((score.classified.balanced - expected).abs() < 1e-12);
        assert!(score.classified.balanced < 0.8 && score.accuracy > 0.9, "{score:?}");
    }
    // Without the other class there is one class left to learn from, and it is what is predicted.
    let mut one: Vec<u32> = vec![0; 60];
    one[7] = 1;
    let score = run(SvmKernel::Rbf, &rows[..60 * COLUMNS], &one, 2).unwrap();
    assert!((score.classified.balanced - 0.5).abs() < 1e-12, "{score:?}");
}

#[test]
fn drawn_folds_have_the_same_shares_of_every_class() {
    let fixture = Fixture::load();
    let counts = |seed| {
        let folds = stratified_folds(&fixture.labels, 3, 10, seed).unwrap();
        let mut counts = vec![[0; 3]; 10];
        folds
            .iter()
            .zip(&fixture.labels)
            .for_each(|(fold, label)| counts[*fold as usize][*label as usize] += 1);
        (folds, counts)
    };
    let (plain, first, second) = (counts(None), counts(Some(Seed(1))), counts(Some(Seed(2))));
    assert_eq!((&plain.1, &first.1), (&first.1, &second.1));
    assert!(plain.0 != first.0 && first.0 != second.0);
}

#[test]
fn predictions_for_three_classes_are_scikit_learn_s_at_every_cost() {
    let fixture = Fixture::load();
    let rows: Vec<u32> = (0..fixture.labels.len() as u32).collect();
    let (train, test) = rows.split_at(fixture.train);
    let fit = Fit { train, test, labels: &fixture.labels, classes: 3 };
    for name in ["rbf", "linear"] {
        let found = fixture.solver(name).predict(&fit, &fixture.costs);
        for (place, (predicted, finished)) in found.into_iter().enumerate() {
            let expected = numbers(&fixture.expected["predictions"][name][place]);
            let differing = predicted.iter().zip(expected).filter(|(a, b)| f64::from(**a) != *b).count();
            assert!(finished && differing == 0, "{name}, C = {}: {differing}", fixture.costs[place]);
        }
    }
}

#[test]
fn decisions_between_two_classes_are_scikit_learn_s() {
    let fixture = Fixture::load();
    let two = fixture.two();
    let tested: Vec<u32> = (fixture.train as u32..fixture.labels.len() as u32).collect();
    let rbf = Rbf::new(fixture.rows());
    let gamma = rbf.gamma(&two);
    let (kernel, test) = (rbf.kernel(gamma, &two, &two), rbf.kernel(gamma, &tested, &two));
    let second: Vec<bool> = two.iter().map(|row| fixture.labels[*row as usize] == 1).collect();
    let mut smo = Smo::new(&kernel, &second);
    let linear = Linear::new(fixture.rows());
    let rows: Vec<f64> = two.iter().flat_map(|row| linear.row(*row)).copied().collect();
    let signs = second.iter().map(|second| if *second { 1.0 } else { -1.0 }).collect();
    let mut newton = Newton::new(&rows, signs, COLUMNS + 1);
    for (place, cost) in fixture.costs.iter().enumerate() {
        let decision = smo.solve(*cost);
        assert!(decision.converged && newton.solve(*cost));
        let expected = ["rbf", "linear"].map(|name| numbers(&fixture.expected["decisions"][name][place]));
        for (at, row) in tested.iter().enumerate() {
            let kernel = &test[at * two.len()..][..two.len()];
            let terms =
                decision.weights.iter().zip(kernel).map(|(weight, kernel)| weight * f64::from(*kernel));
            let found = terms.sum::<f64>() - decision.offset;
            // The solver stops within 10⁻³ of optimality, as scikit-learn's does by default; the fixture is exact.
            assert!((found - expected[0][at]).abs() < 5e-3, "C = {cost}: {found} {}", expected[0][at]);
            let found: f64 = newton.weights.iter().zip(linear.row(*row)).map(|(a, b)| a * b).sum();
            assert!((found - expected[1][at]).abs() < 1e-5, "C = {cost}: {found} {}", expected[1][at]);
        }
    }
}

#[test]
fn the_same_costs_are_chosen_and_the_same_shares_right_as_in_scikit_learn() {
    let fixture = Fixture::load();
    let fold_of = stratified_folds(&fixture.labels, 3, 10, None).unwrap();
    for (name, kernel) in [("rbf", SvmKernel::Rbf), ("linear", SvmKernel::Linear)] {
        let solver = fixture.solver(name);
        let (options, flag) = (options(kernel), Cancellation::new());
        let problem = Problem {
            solver: &*solver,
            labels: &fixture.labels,
            classes: 3,
            options: &options,
            watch: Watch::silent(&flag),
        };
        for fold in 0..10 {
            let Tested { fold: found, unfinished, .. } = problem.fold(&fold_of, fold).unwrap();
            let expected = numbers(&fixture.expected["chosen"][name][fold as usize]);
            assert_eq!((found.cost, unfinished), (expected[0], 0), "{name}, fold {fold}");
            assert!((found.inner_accuracy - expected[1]).abs() < 1e-9, "{name}, fold {fold}: {found:?}");
            assert!((found.accuracy - expected[2]).abs() < 1e-9, "{name}, fold {fold}: {found:?}");
        }
    }
}

/// `n` rows of two Gaussian clusters.
fn clusters(n: usize, distance: f32) -> (Vec<f32>, Vec<u32>) {
    let mut stream = Seed(5).stream("test", 0, 0, 0);
    let labels: Vec<u32> = (0..n as u32).map(|row| row % 2).collect();
    let rows = labels.iter().flat_map(|label| [*label as f32 * distance; COLUMNS]).collect::<Vec<_>>();
    (rows.into_iter().map(|value| value + stream.normal()).collect(), labels)
}

#[test]
fn what_was_set_aside_is_optimal_at_the_end_too() {
    let n = 700;
    let (rows, labels) = clusters(n, 0.5);
    let rbf = Rbf::new(Rows::new(&rows, COLUMNS).unwrap());
    let places: Vec<u32> = (0..n as u32).collect();
    let kernel = rbf.kernel(rbf.gamma(&places), &places, &places);
    let first: Vec<bool> = labels.iter().map(|label| *label == 1).collect();
    // Looked at often, rows are also set aside that are wanted again.
    for period in [20, Smo::new(&kernel, &first).period, usize::MAX] {
        let mut smo = Smo::new(&kernel, &first);
        smo.period = period;
        for cost in [0.01, 1.0, 10.0, 100.0] {
            let decision = smo.solve(cost);
            assert!(decision.converged && decision.weights.iter().sum::<f64>().abs() < 1e-9);
            let (mut least, mut greatest) = (f64::INFINITY, f64::NEG_INFINITY);
            for row in 0..n {
                let terms = decision.weights.iter().zip(&kernel[row * n..][..n]);
                let sign = if first[row] { 1.0 } else { -1.0 };
                let slope = terms.map(|(weight, kernel)| weight * f64::from(*kernel)).sum::<f64>() - sign;
                let (low, high) = if first[row] { (0.0, cost) } else { (-cost, 0.0) };
                let weight = decision.weights[row];
                assert!((low..=high).contains(&weight), "C = {cost}: {weight}");
                if weight < high {
                    least = least.min(slope);
                }
                if weight > low {
                    greatest = greatest.max(slope);
                }
            }
            // No pair violates optimality by more than the tolerance, whatever rounding does to sums.
            assert!(greatest - least < 1e-3 + 1e-9, "period {period}, C = {cost}: {}", greatest - least);
        }
        assert_eq!(smo.parts > 0, period < usize::MAX, "period {period}: {} parts", smo.parts);
    }
}

#[test]
fn clear_clusters_are_told_apart_and_labels_without_meaning_are_not() {
    let (rows, labels) = clusters(120, 4.0);
    let mut shuffled = labels.clone();
    Seed(6).stream("test", 0, 0, 0).shuffle(&mut shuffled);
    for kernel in [SvmKernel::Rbf, SvmKernel::Linear] {
        let score = run(kernel, &rows, &labels, 2).unwrap();
        assert!(score.accuracy > 0.97 && score.majority == 0.5 && score.unfinished == 0, "{score:?}");
        let score = run(kernel, &rows, &shuffled, 2).unwrap();
        assert!((score.accuracy - 0.5).abs() < 0.2, "{score:?}");
    }
}

#[test]
fn the_score_depends_on_the_seed_and_not_on_threads() {
    let (rows, labels) = clusters(100, 0.7);
    for kernel in [SvmKernel::Rbf, SvmKernel::Linear] {
        let first = run(kernel, &rows, &labels, 2).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(pool.install(|| run(kernel, &rows, &labels, 2)).unwrap(), first);
        let other = SvmOptions { seed: Seed(1), ..options(kernel) };
        let rows = Rows::new(&rows, COLUMNS).unwrap();
        assert_ne!(svm_accuracy(rows, &labels, 2, &other, Watch::default()).unwrap(), first);
    }
}

#[test]
fn rows_that_are_all_alike_and_rows_of_great_numbers_are_no_exception() {
    let (_, labels) = clusters(60, 1.0);
    for value in [0.0, 1e30, 1e-30] {
        for kernel in [SvmKernel::Rbf, SvmKernel::Linear] {
            match run(kernel, &[value; 60 * COLUMNS], &labels, 2) {
                Ok(score) => assert!((0.0..=1.0).contains(&score.accuracy), "{score:?}"),
                Err(error) => assert!(matches!(error, MetricError::Undefined { .. }), "{error}"),
            }
        }
    }
}

#[test]
fn more_dimensions_than_rows_give_the_same_classifier() {
    // Newton's step is solved on the side of the rows here, on that of the dimensions for a part of them.
    let mut stream = Seed(8).stream("test", 0, 0, 0);
    let (n, d) = (12, 30);
    let rows: Vec<f64> = (0..n * d).map(|_| f64::from(stream.normal())).collect();
    let signs: Vec<f64> = (0..n).map(|row| if row % 3 == 0 { 1.0 } else { -1.0 }).collect();
    let mut newton = Newton::new(&rows, signs.clone(), d);
    assert!(newton.solve(10.0));
    let margin = |row: usize| {
        let values = rows[row * d..][..d].iter().zip(&newton.weights).map(|(a, b)| a * b);
        1.0 - signs[row] * values.sum::<f64>()
    };
    for column in 0..d {
        // At the minimum w = 2C Σ max(0, margin) y x.
        let pull = (0..n).map(|row| 20.0 * margin(row).max(0.0) * signs[row] * rows[row * d + column]);
        let difference = newton.weights[column] - pull.sum::<f64>();
        assert!(difference.abs() < 1e-5, "{difference}");
    }
}

#[test]
fn too_few_rows_and_impossible_options_are_errors() {
    let (rows, labels) = clusters(60, 1.0);
    let message = |labels: &[u32], options: &SvmOptions| {
        let rows = Rows::new(&rows[..labels.len() * COLUMNS], COLUMNS).unwrap();
        svm_accuracy(rows, labels, 3, options, Watch::default()).unwrap_err().to_string()
    };
    let rbf = options(SvmKernel::Rbf);
    assert!(message(&labels[..8], &rbf).contains("10 folds need as many rows, and there are 8"));
    let few: Vec<u32> = (0..16).map(|row| row % 2).collect();
    let text = message(&few, &rbf);
    assert!(text.contains("no class has as many rows as there are folds, 10; the greatest has 8"), "{text}");
    assert!(message(&[1; 60], &rbf).contains("one class"));
    assert!(message(&[3; 60], &rbf).contains("one class"));
    assert!(message(&[], &rbf).contains("no train labels"));
    for options in [
        SvmOptions { costs: vec![], ..rbf.clone() },
        SvmOptions { costs: vec![1.0, 0.0], ..rbf.clone() },
        SvmOptions { folds: 1, ..rbf.clone() },
        SvmOptions { inner_folds: 0, ..rbf.clone() },
    ] {
        assert!(message(&labels, &options).contains("must be"));
    }
    let mut broken = rows.clone();
    broken[7] = f32::NAN;
    assert!(matches!(run(SvmKernel::Linear, &broken, &labels, 2), Err(MetricError::Values { .. })));
}
