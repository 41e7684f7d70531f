//! Two encoders, both trained.

use lookalike_learn::method::EndToEnd;

use super::{contrast, follow_pytorch, network};
use crate::common::fill;

#[test]
fn two_encoders_trained_end_to_end_are_pytorchs_after_20_steps() {
    let mut method = EndToEnd::new(network(), network(), contrast());
    fill(&mut method);
    follow_pytorch("end-to-end", &mut method);
}
