//! SimCLR, and DirectCLR.

use lookalike_learn::method::direct_clr::direct_clr;
use lookalike_learn::method::{Method, SimClr};

use super::{batch, contrast, encoder, follow_pytorch, head};
use crate::common::{fill, training};

#[test]
fn direct_clr_is_pytorchs_after_20_steps() {
    let mut method = direct_clr(encoder(), 6, contrast()).unwrap();
    fill(&mut method);
    follow_pytorch("direct-clr", &mut method);
    assert!(direct_clr(encoder(), 17, contrast()).unwrap_err().to_string().contains("at most 16"));
}

/// SimCLR is what it was: the same loss by the shared path.
#[test]
fn simclr_s_loss_is_nt_xent() {
    let mut method = SimClr::new(encoder(), head(16, 16), 0.2);
    let outputs = method.encode(&batch(0), &mut training());
    let [first, second] = ["first", "second"].map(|name| outputs.get(name));
    let expected: f32 = lookalike_learn::loss::nt_xent::nt_xent(first, second, 0.2).into_scalar();
    let found: f32 = method.loss(&outputs).total().unwrap().into_scalar();
    assert!((found - expected).abs() < 1e-6, "{found} {expected}");
}
