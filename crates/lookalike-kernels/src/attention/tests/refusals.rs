//! Shapes and operands that the kernels refuse.

use super::*;
use crate::sizes::refusal;

#[test]
fn operands_that_do_not_fit_are_refused() {
    let case = Case::new(&[3, 4], 2, 4, 3, 1);
    let shape = case.shape();
    for (message, offsets) in [("begin at token 0", &[][..]), ("begin", &[1, 7]), ("follow", &[0, 8, 7])] {
        let wrong = AttentionShape { offsets, ..shape };
        assert!(refusal(|| attention(&wrong, Precision::F32, &case.qkv, None, None)).contains(message));
    }
    for (heads, width) in [(0, 8), (3, 8), (2, 0)] {
        let wrong = AttentionShape { heads, width, ..shape };
        let found = refusal(|| attention(&wrong, Precision::F32, &case.qkv, None, None));
        assert!(found.contains("heads of width"), "{found}");
    }
    let half = 1 << (usize::BITS / 2);
    let wide = AttentionShape { offsets: &[0, half], heads: 1, width: half, window: None };
    assert!(refusal(|| attention(&wide, Precision::F32, &[], None, None)).contains("sizes too large"));
    assert!(
        refusal(|| attention(&shape, Precision::F32, &case.qkv[1..], None, None))
            .contains("query, key and value")
    );
    let found =
        refusal(|| attention_gradient(&shape, Precision::F32, &case.qkv, None, None, &case.gradient[1..]));
    assert!(found.contains("a gradient for each result"), "{found}");
}

#[test]
fn a_bias_or_dropout_that_does_not_fit_is_refused() {
    let case = Case::new(&[3, 4], 2, 4, 3, 1);
    let shape = case.shape();
    for (message, values, buckets) in [
        ("odd number", &[0.0; 4][..], &[0_u32; 8][..]),
        ("odd number", &[0.0; 4], &[]),
        ("for each distance in 4 tokens", &[0.0; 4], &[0; 5]),
        ("for each head", &[0.0; 3], &[0; 7]),
        ("without values", &[0.0; 4], &[0, 0, 0, 2, 0, 0, 0]),
    ] {
        let bias = DistanceBias { values, buckets };
        let found = refusal(|| attention(&shape, Precision::F32, &case.qkv, Some(&bias), None));
        assert!(found.contains(message), "{found}");
    }
    for (message, keys, probability) in [("a key", &[1][..], 0.5), ("probability", &[1, 2], 1.0)] {
        let dropout = DroppedProbabilities { keys, probability };
        let found = refusal(|| attention(&shape, Precision::F32, &case.qkv, None, Some(&dropout)));
        assert!(found.contains(message), "{found}");
    }
}
