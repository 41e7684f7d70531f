//! Instance discrimination with a memory bank.

use lookalike_learn::engine::to_host;
use lookalike_learn::method::instance_discrimination::BankObjective;
use lookalike_learn::method::{InstanceDiscrimination, Method};
use lookalike_learn::negatives::{Observer, Unobserved};
use lookalike_learn::train::diagnostics::{Diagnostics, Scalar};

use super::{
    INSTANCES, at, bank, batch, contrast, encode, follow_pytorch, is_close, loss, moco, network, noise, sgd,
    step,
};
use crate::common::{SEED, cpu, fill, values};

#[test]
fn the_memory_bank_is_pytorchs_after_20_steps() {
    let bank = bank(INSTANCES as usize);
    let mut method = InstanceDiscrimination::new(network(), bank, BankObjective::Softmax(contrast()));
    fill(&mut method);
    let file = follow_pytorch("instance-discrimination", &mut method);
    is_close("bank", &to_host(method.bank().vectors()), values(&file, "instance-discrimination.bank"));
}

#[test]
fn a_bank_entry_moves_only_where_its_instance_was_seen() {
    let bank = bank(INSTANCES as usize);
    let mut method = InstanceDiscrimination::new(network(), bank, noise(9));
    let before = to_host(method.bank().vectors());
    step(&mut method, &mut sgd(), 0);
    let after = to_host(method.bank().vectors());
    let moved: Vec<usize> = (0..16).filter(|row| before[8 * row..][..8] != after[8 * row..][..8]).collect();
    assert_eq!(moved, [0, 1, 2, 3, 4, 5]);
    let length = |row: &[f32]| row.iter().map(|value| value * value).sum::<f32>().sqrt();
    assert!(after.chunks(8).all(|row| (length(row) - 1.0).abs() < 1e-5));
}

#[test]
fn a_bank_of_another_data_set_is_refused_at_resume() {
    let method =
        |size| InstanceDiscrimination::new(network(), bank(size), BankObjective::Softmax(contrast()));
    let state = method(16).state();
    let error = method(17).restore(&state, &cpu()).unwrap_err().to_string();
    assert!(error.contains("another data set") && error.contains("[16, 8]"), "{error}");
    let error = moco().restore(&state, &cpu()).unwrap_err().to_string();
    assert!(error.contains("missing"), "{error}");
}

#[test]
fn noise_contrast_shows_the_same_diagnostics_as_other_losses_and_so_can_be_seen_to_collapse() {
    // Instances 0 to 15 in two classes; nine entries of sixteen drawn for each query.
    let labels: Vec<u32> = (0..INSTANCES).map(|instance| instance % 2).collect();
    let mut method = InstanceDiscrimination::new(network(), bank(16), noise(9));
    method.before_step(&at(0));
    let outputs = encode(&mut method, &batch(0), &at(0));
    let mut diagnostics = Diagnostics::new(Some(&labels));
    let seen: f32 = loss(&mut method, &outputs, &at(0), &mut diagnostics).into_scalar();
    let scalars = diagnostics.into_scalars();
    let number = |name: &str| scalars.get(name).and_then(Scalar::value).unwrap();
    // By hand, from the entries that the method's stream draws.
    let bank = to_host(method.bank().vectors());
    let query = to_host(outputs.get("query"));
    let dot =
        |own: usize, entry: usize| -> f32 { (0..8).map(|i| query[8 * own + i] * bank[8 * entry + i]).sum() };
    let (mut negatives, mut same, mut nearest) = (0, 0, 0);
    for own in 0..6_u32 {
        let mut stream = SEED.stream("noise", 0, 0, u64::from(own));
        let drawn: Vec<u32> = (0..9).map(|_| stream.below(16)).filter(|entry| *entry != own).collect();
        negatives += drawn.len();
        same += drawn.iter().filter(|entry| **entry % 2 == own % 2).count();
        let hardest = drawn.iter().map(|entry| dot(own as usize, *entry as usize)).fold(f32::MIN, f32::max);
        nearest += usize::from(dot(own as usize, own as usize) > hardest);
    }
    assert!((number("negatives") - negatives as f64 / 6.0).abs() < 1e-9);
    assert!((number("false_negatives") - same as f64 / negatives as f64).abs() < 1e-9);
    assert!((number("proxy_accuracy") - nearest as f64 / 6.0).abs() < 1e-9);
    for name in
        ["alignment", "uniformity", "deviation", "effective_rank", "similarity_by_rank", "log_normalizer"]
    {
        assert!(scalars.contains_key(name), "{name} is not among {:?}", scalars.keys());
    }
    let unseen: f32 = loss(&mut method, &outputs, &at(0), &mut Unobserved).into_scalar();
    assert_eq!(unseen, seen, "whoever looks changes nothing");
    Unobserved.number("log_normalizer", &|| panic!("nobody asked"));
}
