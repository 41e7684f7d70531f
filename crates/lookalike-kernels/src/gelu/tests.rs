//! The kernels against x · (1 + erf(x / √2)) / 2 in f64, with erf by its series and its continued fraction.

use proptest::prelude::*;

use super::*;
use crate::sizes::refusal;

/// Φ(x) in f64.
fn twin_normal(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let tail = if z < 2.5 {
        // erf z = 2/√π · exp(−z²) · Σ 2ⁿ z²ⁿ⁺¹ / (1 · 3 · … · (2n + 1)), whose terms are all positive.
        let (mut term, mut sum) = (z, z);
        for n in 1..100 {
            term *= 2.0 * z * z / f64::from(2 * n + 1);
            sum += term;
        }
        0.5 - sum * (-z * z).exp() / std::f64::consts::PI.sqrt()
    } else {
        // erfc z = exp(−z²) / √π / (z + ½ / (z + 1 / (z + 3/2 / (z + …)))).
        let fraction = (1..200).rev().fold(z, |fraction, n| z + f64::from(n) * 0.5 / fraction);
        0.5 * (-z * z).exp() / std::f64::consts::PI.sqrt() / fraction
    };
    if x > 0.0 { 1.0 - tail } else { tail }
}

fn twin(x: f64) -> f64 {
    x * twin_normal(x)
}

fn twin_slope(x: f64) -> f64 {
    twin_normal(x) + x * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

fn normals(count: usize, purpose: &str) -> Vec<f32> {
    let mut stream = lookalike_base::Seed(5).stream(purpose, 0, 0, 0);
    (0..count).map(|_| 2.0 * stream.normal()).collect()
}

#[test]
fn the_twin_is_the_normal_distribution() {
    // Of tables with many digits.
    for (x, below) in [
        (0.0, 0.5),
        (1.0, 0.841_344_746_068_542_9),
        (-3.0, 0.001_349_898_031_630_094_6),
        (-5.0, 2.866_515_718_791_939e-7),
        (-10.0, 7.619_853_024_160_526e-24),
    ] {
        assert!((twin_normal(x) / below - 1.0).abs() < 1e-12, "{x}");
    }
    for x in [-6.0, -1.0, 0.0, 0.3, 2.0, 5.0] {
        let difference = (twin(x + 1e-5) - twin(x - 1e-5)) / 2e-5;
        assert!((difference - twin_slope(x)).abs() < 1e-9, "{x}");
    }
}

#[test]
fn the_function_and_its_slope_are_right_over_all_numbers() {
    let near = (-160_000..160_000).map(|step| step as f32 * 1e-4);
    let far = (0..60).flat_map(|power| {
        let size = 2.0_f32.powi(2 * power - 80) * 1.3;
        [size, -size]
    });
    let ends = [f32::MAX, f32::MIN, f32::MIN_POSITIVE, -f32::MIN_POSITIVE, 1e-45, -1e-45, 0.0, -0.0];
    let numbers: Vec<f32> = near.chain(far).chain(ends).collect();
    for level in Level::all() {
        let found = bias_gelu_at(level, &numbers, &[0.0]);
        let slopes = bias_gelu_gradient_at(level, &numbers, &[0.0], &vec![1.0; numbers.len()]);
        for ((x, found), slope) in numbers.iter().zip(found).zip(slopes) {
            let (x, found, slope) = (f64::from(*x), f64::from(found), f64::from(slope));
            // The last term is half of the smallest number there is.
            let allowed = 3e-7 * x.abs().max(1e-30) + 1e-45;
            assert!((found - twin(x)).abs() <= allowed, "{level:?} {x}: {found}, not {}", twin(x));
            if (-9.0..-1e-30).contains(&x) {
                assert!((found / twin(x) - 1.0).abs() < 2e-5, "{level:?} {x}: {found}, not {}", twin(x));
            }
            let expected = twin_slope(x);
            assert!((slope - expected).abs() < 5e-7, "{level:?} {x}: slope {slope}, not {expected}");
        }
    }
}

#[test]
fn infinities_become_limits_and_nan_stays() {
    let numbers = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN, 1.0].repeat(20);
    for level in Level::all() {
        let found = bias_gelu_at(level, &numbers, &[0.0; 5]);
        let slopes = bias_gelu_gradient_at(level, &numbers, &[0.0; 5], &[1.0; 100]);
        for (found, slopes) in found.chunks(5).zip(slopes.chunks(5)) {
            assert_eq!(found[..2], [f32::INFINITY, 0.0]);
            assert_eq!(slopes[..2], [1.0, 0.0]);
            assert!(found[2..4].iter().chain(&slopes[2..4]).all(|value| value.is_nan()));
            assert!(found[4].is_finite() && slopes[4].is_finite());
        }
    }
}

proptest! {
    #[test]
    fn rows_get_their_bias_and_gradients_their_factor(rows in 0_usize..40, columns in 1_usize..70) {
        let [values, gradient] = ["values", "gradient"].map(|purpose| normals(rows * columns, purpose));
        let bias = normals(columns, "bias");
        for level in Level::all() {
            let found = bias_gelu_at(level, &values, &bias);
            let gradients = bias_gelu_gradient_at(level, &values, &bias, &gradient);
            let sums = column_sums_at(level, &values, columns);
            let mut expected = vec![0.0; columns];
            for (place, value) in values.iter().enumerate() {
                let x = f64::from(value + bias[place % columns]);
                prop_assert!((f64::from(found[place]) - twin(x)).abs() < 1e-6 * x.abs().max(1.0));
                let slope = twin_slope(x) * f64::from(gradient[place]);
                prop_assert!((f64::from(gradients[place]) - slope).abs() < 1e-5);
                expected[place % columns] += f64::from(*value);
            }
            for (sum, expected) in sums.iter().zip(expected) {
                prop_assert!((f64::from(*sum) - expected).abs() < 2e-5);
            }
        }
    }
}

#[test]
fn results_have_the_same_bits_alone_and_on_any_number_of_threads() {
    let columns = 37;
    let [values, gradient] = ["values", "gradient"].map(|purpose| normals(700 * columns, purpose));
    let bias = normals(columns, "bias");
    let work = || {
        [
            bias_gelu(&values, &bias),
            bias_gelu_gradient(&values, &bias, &gradient),
            column_sums(&values, columns),
        ]
    };
    let whole = work();
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(work), whole, "{threads} threads");
    }
    for row in [0, 5, 699] {
        let own = row * columns..(row + 1) * columns;
        assert_eq!(bias_gelu(&values[own.clone()], &bias), whole[0][own.clone()]);
        let alone = bias_gelu_gradient(&values[own.clone()], &bias, &gradient[own.clone()]);
        assert_eq!(alone, whole[1][own]);
    }
}

#[test]
fn what_are_not_rows_is_refused() {
    assert!(refusal(|| bias_gelu(&[1.0; 5], &[1.0; 2])).contains("do not form rows of 2"));
    assert!(refusal(|| bias_gelu(&[], &[])).contains("at least one column"));
    assert!(refusal(|| column_sums(&[1.0], 0)).contains("at least one column"));
    assert!(refusal(|| bias_gelu_gradient(&[1.0; 4], &[1.0; 2], &[1.0; 2])).contains("a gradient for each"));
}
