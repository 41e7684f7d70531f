//! Supervised training.

use std::path::Path;
use std::sync::Arc;

use lookalike_learn::Registry;
use lookalike_learn::engine::to_host;
use lookalike_learn::input::Batch;
use lookalike_learn::method::{Method, Supervised};
use lookalike_learn::module::arrays_of;
use lookalike_learn::negatives::{Compared, Observer, Unobserved};
use lookalike_learn::recipe::Recipe;
use lookalike_learn::train::diagnostics::Diagnostics;

use super::{BATCH, INSTANCES, at, batch, build, encode, encoder, follow_pytorch, loss, sgd, step};
use crate::common::{COLUMNS, SEED, cpu, fill, vectors};

/// Four classes, as the script has them.
fn labels(instances: u32) -> Arc<Vec<u32>> {
    Arc::new((0..instances).map(|instance| instance % 4).collect())
}

pub(super) fn supervised(instances: u32) -> Supervised {
    Supervised::new(
        Box::new(encoder()),
        (labels(instances), 0),
        &mut SEED.stream("classifier", 0, 0, 0),
        &cpu(),
    )
}

#[test]
fn supervised_training_is_pytorchs_after_20_steps() {
    let mut method = supervised(INSTANCES);
    fill(&mut method);
    follow_pytorch("supervised", &mut method);
}

#[test]
fn what_is_kept_are_encoder_and_classifier_and_the_loss_sees_the_first_view_alone() {
    let mut method = supervised(INSTANCES);
    let kept: Vec<String> = arrays_of(&mut method.kept()).into_keys().collect();
    let (encoder, others): (Vec<String>, Vec<String>) =
        kept.into_iter().partition(|name| name.starts_with("encoder."));
    assert!(!encoder.is_empty());
    assert_eq!(others, ["classifier.bias", "classifier.weight"]);
    let loss = |method: &mut Supervised, batch: &Batch| {
        let outputs = encode(method, batch, &at(0));
        loss(method, &outputs, &at(0), &mut Unobserved).into_scalar::<f32>()
    };
    let (one, mut other) = (batch(0), batch(0));
    other.columns[1].input = vectors(vec![7.0; BATCH as usize * COLUMNS], COLUMNS);
    assert_eq!(loss(&mut method, &one), loss(&mut method, &other));
    other.columns[0].input = other.columns[1].input.clone();
    assert_ne!(loss(&mut method, &one), loss(&mut method, &other));
}

/// Keeps the names of the numbers that it could have, and asks for none.
#[derive(Default)]
struct Names(Vec<&'static str>);

impl Observer for Names {
    fn compared(&mut self, _: &Compared<'_>) {
        panic!("a classifier compares nothing");
    }

    fn number(&mut self, name: &'static str, _: &dyn Fn() -> f64) {
        self.0.push(name);
    }
}

#[test]
fn its_diagnostic_is_the_share_of_the_batch_that_the_classifier_tells_right() {
    let mut method = supervised(INSTANCES);
    let mut optimizer = sgd();
    for index in 0..3 {
        step(&mut method, &mut optimizer, index);
    }
    method.before_step(&at(3));
    let outputs = encode(&mut method, &batch(3), &at(3));
    let logits = to_host(outputs.get("logits"));
    let right = logits.chunks(4).zip(&outputs.instances).filter(|(logits, own)| {
        let best = (0..4).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
        best as u32 == **own % 4
    });
    let expected = right.count() as f64 / 6.0;
    let (mut diagnostics, mut names) = (Diagnostics::new(None), Names::default());
    let observers: [&mut dyn Observer; 3] = [&mut diagnostics, &mut names, &mut Unobserved];
    let [seen, offered, unseen] =
        observers.map(|observer| loss(&mut method, &outputs, &at(3), observer).into_scalar::<f32>());
    assert_eq!(diagnostics.into_scalars()["accuracy"].value(), Some(expected));
    assert_eq!(names.0, ["accuracy"]);
    assert!(seen == offered && seen == unseen, "whoever looks changes nothing");
    Unobserved.number("accuracy", &|| panic!("nobody asked"));
}

#[test]
fn without_labels_or_with_those_of_one_class_it_is_refused() {
    let text = "[data]\nname = \"glyphs\"\n[method]\nkind = \"supervised\"\n";
    let registry = Registry::standard();
    let recipe = Recipe::parse(text, Path::new("test.toml"), &[], &registry).unwrap();
    let recipe = recipe.validate(&registry).unwrap();
    let tensors = |labels: Option<Vec<u32>>| match build(&recipe.choice().method, recipe.settings(), labels) {
        Ok(mut method) => Ok(arrays_of(&mut method)),
        Err(error) => Err(error.to_string()),
    };
    assert!(tensors(None).unwrap_err().contains("needs a label"));
    assert!(tensors(Some(vec![2; 16])).unwrap_err().contains("two classes"));
    let tensors = tensors(Some([1, 2].repeat(8))).unwrap();
    assert_eq!(tensors["classifier.weight"].shape, [3, 16], "classes 0 to 2 of the encoder's 16 values");
}
