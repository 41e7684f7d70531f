//! SimCLR, GraphCL where it differs, and DirectCLR.

use lookalike_data::graph::Variant;
use lookalike_learn::encoder::Normalized;
use lookalike_learn::input::{Batch, Column};
use lookalike_learn::loss::nt_xent::nt_xent;
use lookalike_learn::method::direct_clr;
use lookalike_learn::method::graphcl::GraphCl;
use lookalike_learn::method::simclr::InBatchNegatives;
use lookalike_learn::method::{Checked, Network, SimClr};
use lookalike_learn::module::{Module, arrays_of};
use lookalike_learn::negatives::Unobserved;

use super::{at, batch, build, contrast, encode, follow_pytorch, is_close, loss, network, settings};
use crate::common::{fill, relative, training};

/// A recipe of DirectCLR by so many coordinates.
fn coordinates(count: usize) -> lookalike_learn::options::Settings {
    settings(&format!("[method]\nkind = \"direct-clr\"\ncoordinates = {count}\n"))
}

#[test]
fn direct_clr_is_pytorchs_after_20_steps() {
    let mut method = build(&direct_clr::ENTRY, &coordinates(6), None).unwrap();
    fill(&mut method);
    follow_pytorch("direct-clr", &mut *method);
}

#[test]
fn direct_clr_sees_no_more_coordinates_than_there_are() {
    let check = |count| {
        (direct_clr::ENTRY.check)(&Checked {
            settings: &coordinates(count),
            batch_size: 6,
            shards: 1,
            dimension: 16,
            normalized: Normalized::Nothing,
            keeps_last: false,
        })
    };
    assert!(check(16).is_ok());
    assert!(check(17).unwrap_err().to_string().contains("at most 16"));
}

/// SimCLR is what it was: the same loss by the shared path.
#[test]
fn simclr_s_loss_is_nt_xent() {
    let mut method = SimClr::new(network(), contrast(), InBatchNegatives::AllViews);
    let outputs = encode(&mut method, &batch(0), &at(0));
    let [first, second] = ["first", "second"].map(|name| outputs.get(name));
    let expected: f32 = nt_xent(first, second, 0.2).into_scalar();
    let found: f32 = loss(&mut method, &outputs, &at(0), &mut Unobserved).into_scalar();
    assert!((found - expected).abs() < 1e-6, "{found} {expected}");
}

/// The running statistics of the head, mean and variance.
fn statistics(module: &mut dyn Module) -> Vec<f32> {
    let arrays = arrays_of(module);
    let names = ["projection.bn1.running_mean", "projection.bn1.running_var"];
    names.map(|name| arrays[name].as_f32().unwrap().to_vec()).concat()
}

/// The running statistics that passes over these columns leave, one after another.
fn after(columns: &[Column]) -> Vec<f32> {
    let mut network: Network = network();
    for column in columns {
        network.project(column, &mut training()).unwrap();
    }
    statistics(&mut network)
}

#[test]
fn simclr_normalises_both_views_together_and_graphcl_each_by_itself() {
    let views: Batch = batch(0);
    let together = after(&[Column::join(&views.columns).unwrap()]);
    let apart = after(&views.columns);
    assert!(relative(&together, &apart) > 0.01, "they can be told apart");

    let mut simclr = SimClr::new(network(), contrast(), InBatchNegatives::AllViews);
    encode(&mut simclr, &views, &at(0));
    is_close("SimCLR", &statistics(&mut simclr), &together);
    for variant in [Variant::Paper, Variant::Original] {
        let mut graphcl = GraphCl::new(network(), contrast(), variant);
        encode(&mut graphcl, &views, &at(0));
        is_close("GraphCL", &statistics(&mut graphcl), &apart);
    }
}
