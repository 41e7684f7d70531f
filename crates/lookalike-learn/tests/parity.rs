//! Losses, networks, gradients and optimisers beside PyTorch's; `fixtures/make.py` made the numbers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{cpu, fill, fixture, length, numbers, relative, training, values};
use lookalike_base::arrays::Arrays;
use lookalike_base::tensors::{self, TensorFile};
use lookalike_data::ImageBatch;
use lookalike_learn::Registry;
use lookalike_learn::encoder::Encoder;
use lookalike_learn::encoder::resnet::{Architecture, ResNet, Stem};
use lookalike_learn::engine::{Tensor, from_host, to_host};
use lookalike_learn::experiment::export;
use lookalike_learn::head::{HeadNorm, Projection, ProjectionOptions};
use lookalike_learn::input::{Batch, Input};
use lookalike_learn::loss::nt_xent::nt_xent;
use lookalike_learn::method::{Method, Network, SimClr};
use lookalike_learn::module::{
    AnyTensor, Module, Parameter, Pass, Role, Visitor, arrays_of, for_each_tensor,
};
use lookalike_learn::negatives::Unobserved;
use lookalike_learn::options::{Options, from_table};
use lookalike_learn::recipe::Recipe;
use lookalike_learn::step::Step;
use lookalike_learn::train::optimizer::{NamedGradients, accumulate};
use lookalike_learn::train::{Drops, Optimizer, OptimizerOptions, Schedule, Shape};
use serde_json::Value;

#[test]
fn nt_xent_and_its_gradients_are_those_of_pytorch() {
    let file = tensors::read(fixture("nt_xent.safetensors")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&file.metadata["cases"]).unwrap();
    for (index, case) in cases.iter().enumerate() {
        let number = |key: &str| case[key].as_f64().unwrap() as f32;
        let shape = [number("count") as usize, number("dimension") as usize];
        let key = 2 * index as u32;
        let keys = if case["identical"] == true { [key, key] } else { [key, key + 1] };
        let [first, second] = keys.map(|key| {
            let values = numbers(shape[0] * shape[1], key).into_iter().map(|value| number("scale") * value);
            Parameter::new(from_host(values.collect(), shape, &cpu()))
        });
        let loss = nt_xent(first.read(&training()), second.read(&training()), number("temperature"));
        let found: f32 = loss.clone().inner().into_scalar();
        let expected = values(&file, &format!("{index}.loss"))[0];
        assert!(
            (found - expected).abs() <= 1e-5 * expected.abs().max(1.0),
            "{case}: {found}, not {expected}"
        );

        let mut gradients = loss.backward();
        for (name, parameter) in [("first", &first), ("second", &second)] {
            let found = to_host(parameter.take_gradient(&mut gradients).unwrap());
            let expected = values(&file, &format!("{index}.{name}"));
            // Against the largest gradient that the case could have, 1 / (τ · scale): some are 0 but for rounding.
            let unit = 1.0 / (number("temperature") * number("scale"));
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() <= 1e-5 * unit, "{case}, {name}: {found}, not {expected}");
            }
            if length(expected) > 1e-3 * f64::from(unit) {
                assert!(relative(&found, expected) <= 1e-5, "{case}, {name}: {}", relative(&found, expected));
            }
        }
    }
    assert_eq!(cases.len(), 9);
}

#[test]
fn a_view_of_zeros_has_a_finite_loss_and_gradient() {
    let zeros = Parameter::new(from_host(vec![0.0; 6], [2, 3], &cpu()));
    let other = from_host(numbers(6, 1), [2, 3], &cpu());
    let loss = nt_xent(zeros.read(&training()), other, 0.05);
    assert!(loss.clone().inner().into_scalar::<f32>().is_finite());
    let gradient = zeros.take_gradient(&mut loss.backward()).unwrap();
    assert!(to_host(gradient).iter().all(|value| value.is_finite()));
}

fn small() -> Network {
    let mut stream = common::SEED.stream("encoder", 0, 0, 0);
    let encoder = ResNet::new(Architecture::Small, Stem::Cifar, &mut stream, &cpu());
    let options = ProjectionOptions { layers: 2, width: 0, dimension: 16, batch_norm: HeadNorm::All };
    let projection = Projection::new(encoder.dimension(), &options, &mut stream, &cpu());
    Network::new(Box::new(encoder), projection)
}

#[test]
fn a_step_of_simclr_has_pytorchs_features_loss_gradients_and_running_statistics() {
    let file = tensors::read(fixture("simclr_step.safetensors")).unwrap();
    let mut network = small();
    fill(&mut network);
    let images = ImageBatch { values: numbers(12 * 3 * 8 * 8, 1101), shape: [12, 3, 8, 8] };
    let images = Input::new(images);
    let close = |name: &str, ours: &[f32]| {
        let error = relative(ours, values(&file, name));
        assert!(error <= 1e-5, "{name}: {error:e}");
    };
    let features = |network: &mut Network, mut pass: Pass| {
        to_host(network.encoder.forward(&images, &mut pass).unwrap().vector)
    };

    let before = arrays_of(&mut network);
    let evaluation = Pass { gradient: true, ..Pass::evaluation() };
    close("features.evaluation", &features(&mut network, evaluation));
    assert_eq!(arrays_of(&mut network), before, "evaluation changes nothing");
    close("features.training", &features(&mut network.clone(), training()));

    let mut method = common::simclr(network, 0.2);
    let views = [0, 6].map(|first| images.select(&(first..first + 6).collect::<Vec<u32>>()));
    let batch = Batch::of_views((0..6).collect(), views.into());
    let step = Step::default();
    let outputs = method.encode(&batch, &step, &mut training()).unwrap();
    let loss = method.loss(&outputs, &step, &mut Unobserved).unwrap().total().unwrap();
    close("loss", &to_host(loss.clone()));
    let mut gradients = NamedGradients::new();
    accumulate(&mut method, loss.backward(), &mut gradients);

    let mut parameters = 0;
    for_each_tensor(&mut method, &mut |name, role, tensor| {
        if role == Role::Buffer {
            close(&format!("running.{name}"), &to_host(tensor.flat()));
            return;
        }
        let gradient = to_host(gradients[name].clone());
        let stride = (gradient.len() / 500).max(1);
        let expected = values(&file, &format!("gradient.{name}"));
        let whole = f64::from(values(&file, &format!("length.{name}"))[0]);
        let sample: Vec<f32> = gradient.iter().step_by(stride).copied().collect();
        assert!(relative(&sample, expected) <= 1e-5, "{name}: {:e}", relative(&sample, expected));
        assert!((length(&gradient) - whole).abs() <= 1e-5 * whole, "{name}: {} {whole}", length(&gradient));
        parameters += 1;
    });
    assert_eq!(parameters, gradients.len());
    assert_eq!(parameters, 33);
}

/// About as many values of a map are compared.
const SAMPLE: usize = 500;

/// Names and shapes of torchvision's state dicts.
fn torchvision(name: &str) -> BTreeMap<String, Vec<usize>> {
    let text = std::fs::read_to_string(fixture("torchvision.json")).unwrap();
    let all: BTreeMap<String, BTreeMap<String, Vec<usize>>> = serde_json::from_str(&text).unwrap();
    all[name].clone()
}

fn shapes(arrays: Arrays) -> BTreeMap<String, Vec<usize>> {
    arrays.into_iter().map(|(name, array)| (name, array.shape)).collect()
}

fn network(architecture: Architecture) -> ResNet {
    ResNet::new(architecture, Stem::ImageNet, &mut common::SEED.stream("encoder", 0, 0, 0), &cpu())
}

#[test]
fn residual_networks_have_torchvisions_names_shapes_and_features() {
    let file = tensors::read(fixture("torchvision.safetensors")).unwrap();
    for (name, architecture) in [
        ("resnet18", Architecture::ResNet18),
        ("resnet34", Architecture::ResNet34),
        ("resnet50", Architecture::ResNet50),
    ] {
        let mut ours = network(architecture);
        let mut expected = torchvision(name);
        expected.retain(|name, _| !name.starts_with("fc.") && !name.ends_with("num_batches_tracked"));
        assert_eq!(shapes(arrays_of(&mut ours)), expected, "{name}");
        if name == "resnet34" {
            continue;
        }
        fill(&mut ours);
        let images: Tensor<4> = from_host(numbers(4 * 3 * 64 * 64, 2000), [4, 3, 64, 64], &cpu());
        let maps = ours.features(images.clone(), &Pass { maps: true, ..Pass::evaluation() }).maps;
        assert_eq!(maps.len(), 4, "{name}");
        for (map, stage) in maps.into_iter().zip(1..) {
            let found = to_host(map);
            let found: Vec<f32> = found.iter().step_by(found.len() / SAMPLE).copied().collect();
            let error = relative(&found, values(&file, &format!("{name}.layer{stage}")));
            assert!(error <= 1e-5, "{name}, stage {stage}: {error:e}");
        }
        for (mode, pass) in
            [("evaluation", Pass::evaluation()), ("training", Pass { gradient: false, ..training() })]
        {
            let found = to_host(ours.features(images.clone(), &pass).vector);
            let error = relative(&found, values(&file, &format!("{name}.{mode}")));
            // In training mode the statistics of ResNet-50's last maps are those of 16 values, and 53 such layers amplify
            // rounding: PyTorch in f32 is itself 4.4e-5 away from these references, which are in f64.
            let bound = if (name, mode) == ("resnet50", "training") { 1e-4 } else { 1e-5 };
            assert!(error <= bound, "{name}, {mode}: {error:e}");
        }
    }
}

#[test]
fn an_export_has_everything_that_torchvision_loads_strictly() {
    let folder = tempfile::tempdir().unwrap();
    let mut method = with_linear_head(network(Architecture::ResNet18));
    let model = TensorFile { tensors: arrays_of(&mut method), ..TensorFile::default() };
    tensors::write(folder.path().join("model.safetensors"), &model).unwrap();
    let text = "[data]\nname = \"glyphs\"\n[encoder]\nkind = \"resnet18\"\nstem = \"imagenet\"\n";
    let registry = Registry::standard();
    let recipe = Recipe::parse(text, Path::new("test.toml"), &[], &registry).unwrap();
    let recipe = recipe.validate(&registry).unwrap();
    let path = folder.path().join("exported.safetensors");
    export(&recipe, folder.path(), &path, None).unwrap();

    let exported = tensors::read(&path).unwrap().tensors;
    for (name, array) in &exported {
        let own = model.tensors.get(&format!("encoder.{name}"));
        match name.as_str() {
            "fc.weight" | "fc.bias" => assert!(array.as_f32().unwrap().iter().all(|value| *value == 0.0)),
            name if name.ends_with("num_batches_tracked") => assert_eq!(array.as_i64(), Some(&[0][..])),
            _ => assert_eq!(Some(array), own, "{name}"),
        }
    }
    assert_eq!(shapes(exported), torchvision("resnet18"));
}

fn with_linear_head(encoder: ResNet) -> SimClr {
    let options = ProjectionOptions { layers: 1, dimension: 8, ..ProjectionOptions::default() };
    let mut stream = common::SEED.stream("projection", 0, 0, 0);
    let projection = Projection::new(encoder.dimension(), &options, &mut stream, &cpu());
    common::simclr(Network::new(Box::new(encoder), projection), 0.5)
}

/// A weight, a bias and a scale.
struct Triple(Parameter<2>, Parameter<1>, Parameter<1>);

impl Module for Triple {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.tensor("weight", Role::Weight, &mut self.0);
        visitor.tensor("bias", Role::Bias, &mut self.1);
        visitor.tensor("norm.weight", Role::Normalization, &mut self.2);
    }
}

#[test]
fn twenty_steps_of_every_optimizer_are_those_of_pytorch() {
    let file = tensors::read(fixture("optimizers.safetensors")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&file.metadata["cases"]).unwrap();
    for (index, case) in cases.iter().enumerate() {
        let mut case = case.clone();
        let drawn = case.as_object_mut().unwrap().remove("weight").unwrap() == "drawn";
        let table: toml::Table = serde_json::from_value(case.clone()).unwrap();
        assert!(table.keys().all(|name| OptimizerOptions::KEYS.iter().any(|key| key.name == name)), "{case}");
        let options: OptimizerOptions = from_table(table).unwrap();
        let weight = if drawn { numbers(15, 0) } else { vec![0.0; 15] };
        let vector = |key| Parameter::new(from_host(numbers(5, key), [5], &cpu()));
        let mut module = Triple(Parameter::new(from_host(weight, [5, 3], &cpu())), vector(1), vector(2));
        let mut optimizer = Optimizer::new(options.clone());
        for step in 0..20_u32 {
            let gradients = ["weight", "bias", "norm.weight"].into_iter().zip(0..).map(|(name, key)| {
                let values = numbers(if key == 0 { 15 } else { 5 }, 100 * (step + 1) + key);
                (name.to_owned(), from_host(values.clone(), [values.len()], &cpu()))
            });
            let norm = optimizer.step(&mut module, gradients.collect(), options.learning_rate);
            match (norm, options.clip) {
                (None, None) => {}
                (Some(norm), Some(_)) => {
                    let expected = f64::from(values(&file, &format!("{index}.norms"))[step as usize]);
                    assert!(
                        (norm / expected - 1.0).abs() < 1e-6,
                        "{case}, step {step}: {norm}, not {expected}"
                    );
                }
                other => panic!("{case}: {other:?}"),
            }
            // Saved and restored in the middle: what it remembers is complete.
            if step == 4 {
                optimizer = Optimizer::restore(options.clone(), &optimizer.arrays(), "", &cpu()).unwrap();
            }
            for_each_tensor(&mut module, &mut |name, _, tensor| {
                let (found, expected) =
                    (to_host(tensor.flat()), values(&file, &format!("{index}.{step}.{name}")));
                let error = relative(&found, expected);
                assert!(error <= 1e-6, "{case}, step {step}, {name}: {error:e}");
            });
        }
    }
    assert_eq!(cases.len(), 14);
}

#[test]
fn the_learning_rate_is_that_of_pytorchs_warm_up_and_cosine() {
    let file = tensors::read(fixture("optimizers.safetensors")).unwrap();
    let schedule = Schedule {
        base: 0.3,
        begins: 0,
        warmup: 5,
        total: 30,
        shape: Shape::Cosine,
        drops: Drops::default(),
    };
    for (step, expected) in (0..).zip(values(&file, "schedule")) {
        let found = schedule.rate(step);
        assert!((found - f64::from(*expected)).abs() < 1e-7, "step {step}: {found}, not {expected}");
    }
}

#[test]
fn the_learning_rate_falls_linearly_as_that_of_transformers() {
    let file = tensors::read(fixture("optimizers.safetensors")).unwrap();
    let schedule = Schedule {
        base: 0.3,
        begins: 0,
        warmup: 5,
        total: 30,
        shape: Shape::Linear,
        drops: Drops::default(),
    };
    // Their first step does not move: in the warm-up our step t has their rate of step t + 1.
    for (step, expected) in
        (0..).zip(&values(&file, "linear")[1..6]).chain((5..).zip(&values(&file, "linear")[5..]))
    {
        let found = schedule.rate(step);
        assert!((found - f64::from(*expected)).abs() < 1e-7, "step {step}: {found}, not {expected}");
    }
}
