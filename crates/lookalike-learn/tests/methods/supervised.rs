//! Supervised training.

use std::path::Path;
use std::sync::Arc;

use lookalike_base::Matrix;
use lookalike_data::Views;
use lookalike_learn::encoder::mlp::Mlp;
use lookalike_learn::engine::to_host;
use lookalike_learn::method::build::{self, Parts};
use lookalike_learn::method::{AnyMethod, Method, Position, Supervised};
use lookalike_learn::module::arrays_of;
use lookalike_learn::recipe::Recipe;

use super::{INSTANCES, batch, encoder, follow_pytorch, position, sgd, step};
use crate::common::{SEED, cpu, fill, training};

/// Four classes, as the script has them.
fn labels(instances: u32) -> Arc<Vec<u32>> {
    Arc::new((0..instances).map(|instance| instance % 4).collect())
}

pub(super) fn supervised(instances: u32) -> Supervised<Mlp> {
    Supervised::new(encoder(), labels(instances), &mut SEED.stream("classifier", 0, 0, 0), &cpu())
}

#[test]
fn supervised_training_is_pytorchs_after_20_steps() {
    let mut method = supervised(INSTANCES);
    fill(&mut method);
    follow_pytorch("supervised", &mut method);
}

#[test]
fn what_is_kept_is_the_encoder_and_the_loss_sees_the_first_view_alone() {
    let mut method = supervised(INSTANCES);
    let kept: Vec<String> = arrays_of(&mut method.network).into_keys().collect();
    assert!(kept.iter().all(|name| name.starts_with("encoder.")), "{kept:?}");
    let loss = |method: &mut Supervised<Mlp>, batch| {
        let outputs = method.encode(&batch, &mut training());
        method.loss(&outputs).total().unwrap().into_scalar::<f32>()
    };
    let (one, mut other) = (batch(0), batch(0));
    let Views::Stacked(views) = &mut other.views else { unreachable!() };
    let values = views.rows().values().to_vec();
    let half = values.len() / 2;
    let swapped = [&values[..half], &vec![7.0; half][..]].concat();
    *views = Matrix::new(swapped, views.columns()).unwrap();
    assert_eq!(loss(&mut method, one), loss(&mut method, other));
}

#[test]
fn its_diagnostic_is_the_share_of_the_batch_that_the_classifier_tells_right() {
    let mut method = supervised(INSTANCES);
    let mut optimizer = sgd();
    for index in 0..3 {
        step(&mut method, &mut optimizer, index);
    }
    method.before_step(&Position { diagnostics: true, ..position(3) });
    let outputs = method.encode(&batch(3), &mut training());
    let logits = to_host(outputs.get("logits"));
    let right = logits.chunks(4).zip(&outputs.instances).filter(|(logits, own)| {
        let best = (0..4).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
        best as u32 == **own % 4
    });
    let expected = right.count() as f64 / 6.0;
    let scalars = method.loss(&outputs).scalars;
    assert_eq!(scalars["accuracy"].as_f64(), Some(expected));
    method.before_step(&position(3));
    assert!(method.loss(&outputs).scalars.is_empty(), "nobody asked");
}

#[test]
fn without_labels_or_with_those_of_one_class_it_is_refused() {
    let text = "[data]\nname = \"glyphs\"\n[method]\nkind = \"supervised\"\n";
    let recipe = Recipe::parse(text, Path::new("test.toml"), &[]).unwrap().validate().unwrap();
    let build = |labels: Option<Vec<u32>>| {
        let labels = labels.map(Arc::new);
        let device = &cpu();
        let parts = Parts { encoder: encoder(), second: encoder(), instances: 16, labels, device };
        build::build(&recipe, parts).map_err(|error| error.to_string())
    };
    assert!(build(None).unwrap_err().contains("needs a label"));
    assert!(build(Some(vec![2; 16])).unwrap_err().contains("two classes"));
    let method = build(Some([1, 2].repeat(8)));
    assert!(matches!(method, Ok(AnyMethod::Supervised(_))));
}
