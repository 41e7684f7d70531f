//! All kinds of batches side by side.

use lookalike_base::{Matrix, Seed, Watch};
use lookalike_sampling::{ComparisonOptions, Scoring, compare_plans};

#[test]
fn each_kind_is_measured_on_the_same_embeddings() {
    let mut stream = Seed(1).stream("test", 0, 0, 0);
    let centres: Vec<Vec<f32>> = (0..20).map(|_| (0..12).map(|_| stream.normal()).collect()).collect();
    let values: Vec<f32> = (0..1200)
        .flat_map(|instance| centres[instance % 20].clone())
        .map(|value| value + 0.8 * stream.normal())
        .collect();
    let rows = Matrix::new(values, 12).unwrap();
    let labels: Vec<u32> = (0..1200).map(|instance| instance % 20).collect();
    let options = ComparisonOptions { batch_size: 40, pairs: None, scoring: Scoring::F32, seed: Seed(2) };
    let found = compare_plans(&rows.rows(), Some(&labels), options, Watch::default()).unwrap();
    let of = |name: &str| found.iter().find(|arm| arm.name == name).unwrap();
    assert!(of("uniform").hardness.abs() < 0.01 && of("nearest").share == Some(1.0));
    // Classes of 60 fill a batch of 40: all that look for neighbours find them.
    // GCBS sees but a thousandth of all pairs, which is one each.
    for (name, least) in [("gcbs", 0.3), ("clusters", 0.6)] {
        assert!(of(name).share.unwrap() > least, "{name} {:?}", of(name));
        // The dial ends at nearest batches, which clusters can be harder than.
        let Some(walk) = found.iter().find(|arm| arm.name == format!("walk, as hard as {name}")) else {
            assert!(of(name).share.unwrap() > 1.0, "{name}");
            continue;
        };
        assert!((walk.hardness / of(name).hardness - 1.0).abs() < 0.15, "{walk:?}");
    }
    for share in [0.25, 0.5, 0.75] {
        assert!((of(&format!("walk, hardness_share {share}")).share.unwrap() - share).abs() < 0.1);
    }
    for arm in &found {
        assert_eq!(arm.reach, 1.0, "{arm:?}");
        let rate = arm.false_negatives.unwrap();
        assert!(rate >= of("uniform").false_negatives.unwrap() - 0.01 && rate < 1.0);
    }
}
