//! What goes with what: every combination of the table is accepted, all else is refused with the key, the reason and what would be
//! right, before anything is opened; and the reference shows the same table.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

use std::path::{Path, PathBuf};

use lookalike_learn::recipe::combinations::{COMBINATIONS, REFUSALS, markdown, name};
use lookalike_learn::recipe::readers;
use lookalike_learn::recipe::{LossKind, MethodKind, NegativesKind, Recipe, ValidRecipe};

const GLYPHS: &str = "[data]\nname = \"glyphs\"\n";

fn recipe(settings: &[&str]) -> Recipe {
    let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
    Recipe::parse(GLYPHS, Path::new("test.toml"), &settings).unwrap()
}

fn validate(settings: &[&str]) -> Result<ValidRecipe, String> {
    recipe(settings).validate().map_err(|error| error.to_string())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_reference_shows_the_table_that_validation_reads() {
    let reference = std::fs::read_to_string(root().join("docs/reference/recipe.md")).unwrap();
    assert!(reference.contains(&markdown()), "docs/reference/recipe.md should hold:\n{}", markdown());
    let readers = readers::markdown();
    assert!(reference.contains(&readers), "docs/reference/recipe.md should hold:\n{readers}");
    for refusal in &REFUSALS {
        let key = refusal.key.rsplit('.').next().unwrap();
        assert!(
            reference.contains(&format!("{key}`")),
            "docs/reference/recipe.md does not name {}",
            refusal.key
        );
    }
}

#[test]
fn every_combination_of_the_table_is_accepted_and_no_other() {
    use LossKind::{
        Alignment, CrossEntropy, Debiased, Decoupled, Hard, InfoNce, JensenShannon, NoiseContrastive, NtXent,
    };
    use NegativesKind::{Absent, Bank, Batch, Queue};
    const LOSSES: [LossKind; 9] = [
        NtXent,
        InfoNce,
        Debiased,
        Hard,
        Decoupled,
        NoiseContrastive,
        JensenShannon,
        Alignment,
        CrossEntropy,
    ];
    let mut refused = 0;
    for row in &COMBINATIONS {
        for negatives in [Batch, Queue, Bank, Absent] {
            for loss in LOSSES {
                let [method, kind, loss_kind] = [name(&row.method), name(&negatives), name(&loss)];
                let set = [
                    format!("method.kind={method}"),
                    format!("negatives.kind={kind}"),
                    format!("loss.kind={loss_kind}"),
                ];
                let set: Vec<&str> = set.iter().map(String::as_str).collect();
                match validate(&set) {
                    Ok(_) => assert!(row.negatives.contains(&negatives) && row.losses.contains(&loss)),
                    Err(error) => {
                        assert!(
                            !row.negatives.contains(&negatives) || !row.losses.contains(&loss),
                            "{error}"
                        );
                        assert!(error.contains(&method) && error.contains("which takes `"), "{error}");
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(refused > 50);
    let learning = recipe(&["method.kind=moco"]).learning();
    assert_eq!((learning.negatives, learning.loss), (NegativesKind::Queue, InfoNce));
    assert_eq!(learning.method, MethodKind::Moco);
}

const MOCO: &str = "method.kind=moco";
const MIXING: &str = "negatives.mixing={ hardest = 64, between = 8 }";
const SUPERVISED: &str = "method.kind=supervised";

#[test]
fn impossible_inert_and_self_defeating_settings_are_refused_by_key() {
    let cases: [(&[&str], &str); 28] = [
        (&[MOCO, "negatives.size=255"], "negatives.size"),
        (&[MOCO, "negatives.size=511", "method.symmetric=true"], "negatives.size"),
        (&[MOCO, "negatives.size=512", "negatives.mixing={ hardest = 513 }"], "negatives.mixing.hardest"),
        (&["negatives.mixing={ hardest = 511 }"], "negatives.mixing.hardest"),
        (&["negatives.mixing={ hardest = 256 }", "loss.kind=info-nce"], "negatives.mixing.hardest"),
        (&["negatives.mixing={ hardest = 0 }"], "negatives.mixing.hardest"),
        (&["sampler.batch_size=1", MIXING], "nothing to mix"),
        (&["negatives.mixing={ hardest = 8, between = 0, with_query = 0 }"], "makes nothing"),
        (&["negatives.mixing={ hardest = 8, warm_up = 1.0 }"], "negatives.mixing.warm_up"),
        (&["method.kind=instance-discrimination", "loss.kind=noise-contrastive", MIXING], "negatives.mixing"),
        (&["loss.kind=alignment", "negatives.oracle=true"], "negatives.oracle"),
        (&[SUPERVISED, MIXING], "negatives.mixing"),
        (&[SUPERVISED, "negatives.oracle=true"], "negatives.oracle"),
        (&[SUPERVISED, "negatives.kind=queue"], "which takes `none`"),
        (&[SUPERVISED, "loss.kind=info-nce"], "which takes `cross-entropy`"),
        (&[SUPERVISED, "loss.temperature=0.1"], "loss.temperature"),
        (&[SUPERVISED, "method.projection.layers=1"], "method.projection"),
        (&[SUPERVISED, "encoder.kind=gin"], "which takes `resnet18`"),
        (&["loss.prior=1.0"], "loss.prior"),
        (&["loss.prior=-0.1"], "loss.prior"),
        (&["loss.temperature=0.0"], "loss.temperature"),
        (&["loss.temperature=-1.0"], "loss.temperature"),
        (&["loss.concentration=-1.0"], "loss.concentration"),
        (&["method.kind=direct-clr", "method.coordinates=513"], "method.coordinates"),
        (&[MOCO, "method.momentum=1.0"], "method.momentum"),
        (&[MOCO, "method.batch_norm_groups=7"], "method.batch_norm_groups"),
        (&[MOCO, "method.batch_norm_groups=1"], "method.shuffle"),
        (&["train.epochs=1", "train.warmup_epochs=0.0"], "sampler.uniform_epochs"),
    ];
    for (settings, place) in cases {
        let error = validate(settings).expect_err(&format!("{settings:?} is accepted"));
        assert!(error.contains(place), "{settings:?}: {error}");
    }
    assert!(validate(&[MOCO, "method.batch_norm_groups=1", "method.shuffle=false"]).is_ok());
    assert!(validate(&["negatives.mixing={ hardest = 510 }"]).is_ok());
}

#[test]
fn what_depends_on_the_data_is_refused_once_they_are_known() {
    let check = |settings: &[&str], labelled| {
        recipe(settings).check_with_data(1000, labelled, 40).map_err(|error| error.to_string())
    };
    assert!(check(&["negatives.oracle=true"], false).unwrap_err().contains("label"));
    assert!(check(&["negatives.oracle=true"], true).is_ok());
    let unlabelled = check(&[SUPERVISED], false).unwrap_err();
    assert!(unlabelled.contains("method.kind") && unlabelled.contains("label"), "{unlabelled}");
    assert!(check(&[SUPERVISED], true).is_ok());
    let whole = check(&[MOCO, "negatives.size=1000"], true).unwrap_err();
    assert!(whole.contains("negatives.exclude_own"), "{whole}");
    assert!(check(&[MOCO, "negatives.size=1000", "negatives.exclude_own=true"], true).is_ok());
    assert!(check(&[MOCO, "negatives.size=1000", "method.symmetric=true"], true).is_ok());
    assert!(check(&[MOCO, "negatives.size=2000", "method.symmetric=true"], true).is_err());
    let bank = ["method.kind=instance-discrimination", "negatives.mixing={ hardest = 1000 }"];
    assert!(check(&bank, true).unwrap_err().contains("negatives.mixing.hardest"));
    let kept = [MOCO, "negatives.size=512", "sampler.last_batch=keep", "sampler.batch_size=248"];
    assert!(check(&kept, true).unwrap_err().contains("8 groups of at least 2"));
    let late = ["negatives.mixing={ hardest = 64, warm_up = 0.99 }"];
    assert!(check(&late, true).unwrap_err().contains("40 steps"));
}

/// A value other than the default of each key that not everybody reads.
const OTHER: [(&str, &str); 15] = [
    ("method.projection", "{ layers = 3 }"),
    ("method.predictor", "{ layers = 3 }"),
    ("method.momentum", "0.9"),
    ("method.momentum_schedule", "cosine"),
    ("method.symmetric", "true"),
    ("method.batch_norm_groups", "4"),
    ("method.shuffle", "false"),
    ("method.coordinates", "12"),
    ("negatives.size", "4096"),
    ("negatives.exclude_own", "true"),
    ("negatives.bank_momentum", "0.25"),
    ("loss.temperature", "0.3"),
    ("loss.prior", "0.2"),
    ("loss.concentration", "2.0"),
    ("loss.noise", "100"),
];

#[test]
fn a_key_that_the_chosen_method_pool_or_loss_does_not_read_is_refused_and_every_other_accepted() {
    assert!(readers::KEYS.iter().map(|key| key.key).eq(OTHER.map(|(key, _)| key)));
    let (mut refused, mut accepted) = (0, 0);
    for row in &COMBINATIONS {
        for (negatives, loss) in
            row.negatives.iter().flat_map(|pool| row.losses.iter().map(move |loss| (pool, loss)))
        {
            for (key, (_, value)) in readers::KEYS.iter().zip(OTHER) {
                let [method, pool, loss_kind] = [name(&row.method), name(negatives), name(loss)];
                let set = [
                    format!("method.kind={method}"),
                    format!("negatives.kind={pool}"),
                    format!("loss.kind={loss_kind}"),
                    format!("{}={value}", key.key),
                ];
                let set: Vec<&str> = set.iter().map(String::as_str).collect();
                let reads = match key.readers {
                    readers::Readers::Methods(kinds) => kinds.contains(&row.method),
                    readers::Readers::Negatives(kinds) => kinds.contains(negatives),
                    readers::Readers::Losses(kinds) => kinds.contains(loss),
                };
                match validate(&set) {
                    Ok(_) => assert!(reads, "{set:?} is accepted"),
                    Err(error) => assert!(
                        !reads && error.contains(key.key) && error.contains("is not read"),
                        "{set:?}: {error}"
                    ),
                }
                refused += usize::from(!reads);
                accepted += usize::from(reads);
            }
        }
    }
    assert!(refused > 100 && accepted > 50, "{refused} {accepted}");
    // Defaults written out are no mistake, and a recipe that was filled in is valid again.
    assert!(validate(&["method.shuffle=true", "method.coordinates=360", "negatives.size=65536"]).is_ok());
    for row in &COMBINATIONS {
        for loss in row.losses {
            let set = [format!("method.kind={}", name(&row.method)), format!("loss.kind={}", name(loss))];
            let set: Vec<&str> = set.iter().map(String::as_str).collect();
            let filled = validate(&set).unwrap();
            let again = Recipe::parse(&filled.to_toml().unwrap(), Path::new("filled.toml"), &[]).unwrap();
            assert_eq!(again.validate().unwrap().recipe(), filled.recipe(), "{set:?}");
        }
    }
}

#[test]
fn what_a_recipe_does_not_say_is_as_each_method_s_own_program_has_it() {
    use lookalike_learn::head::HeadNorm;
    use lookalike_learn::train::momentum_encoder::MomentumShape;
    let method = |kind: &str| {
        let valid = validate(&[&format!("method.kind={kind}")]).unwrap();
        valid.recipe().method.clone()
    };
    let moco = method("moco");
    assert_eq!((moco.momentum, moco.momentum_schedule), (Some(0.999), Some(MomentumShape::Constant)));
    assert_eq!(moco.projection.batch_norm, Some(HeadNorm::None));
    let third = method("moco-v3");
    assert_eq!((third.momentum, third.momentum_schedule), (Some(0.99), Some(MomentumShape::Cosine)));
    assert_eq!(third.projection.batch_norm, Some(HeadNorm::All));
    assert_eq!(method("simclr").projection.batch_norm, Some(HeadNorm::All));
    assert_eq!(method("simclr").momentum, None);
    for kind in ["end-to-end", "instance-discrimination"] {
        assert_eq!(method(kind).projection.batch_norm, Some(HeadNorm::None), "{kind}");
    }
}

#[test]
fn a_run_that_ends_before_mixing_or_look_alikes_begin_is_refused_with_the_step() {
    // 1000 instances in batches of 256: 3 an epoch.
    let check = |settings: &[&str]| {
        recipe(settings).check_with_data(1000, true, 40).map_err(|error| error.to_string())
    };
    let uniform = "sampler.kind=uniform";
    let mixing = "negatives.mixing={ hardest = 64, warm_up = 0.25 }";
    // Steps are counted from 0: mixing is on from step 10, the eleventh.
    let early = check(&[uniform, mixing, "train.max_steps=10"]).unwrap_err();
    assert!(early.contains("train.max_steps") && early.contains("10 steps instead of its 40"), "{early}");
    assert!(early.contains("mixing begins with step 11"), "{early}");
    assert!(check(&[uniform, mixing, "train.max_steps=11"]).is_ok());
    assert!(check(&[uniform, mixing, "train.max_steps=1000"]).is_ok());

    let early = check(&["train.max_steps=3"]).unwrap_err();
    assert!(
        early.contains("train.max_steps") && early.contains("\"walk\"") && early.contains("step 4"),
        "{early}"
    );
    assert!(check(&["train.max_steps=4"]).is_ok());
    assert!(check(&[uniform, "train.max_steps=3"]).is_ok());
    // Two batches a step: the second step has the first batch by the graph.
    assert!(check(&["train.accumulate=2", "train.max_steps=1"]).is_err());
    assert!(check(&["train.accumulate=2", "train.max_steps=2"]).is_ok());
    // Without uniform epochs the first refresh decides, at the latest the end of an epoch.
    let refresh = ["sampler.uniform_epochs=0", "sampler.refresh_every=2"];
    assert!(check(&[&refresh[..], &["train.max_steps=2"]].concat()).is_err());
    assert!(check(&[&refresh[..], &["train.max_steps=3"]].concat()).is_ok());
    assert!(check(&["sampler.uniform_epochs=14"]).unwrap_err().contains("sampler.uniform_epochs"));
}

#[test]
fn every_recipe_of_the_repository_is_valid() {
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("recipes")).unwrap() {
        let path = entry.unwrap().path();
        let recipe = Recipe::read(&path, &[]).unwrap().validate();
        assert!(recipe.is_ok(), "{}: {}", path.display(), recipe.unwrap_err());
        count += 1;
    }
    assert!(count >= 26, "{count}");
}

#[test]
fn keys_of_images_are_refused_for_graphs_and_the_other_way_round() {
    const GRAPHCL: &str = "method.kind=graphcl";
    const MVGRL: &str = "method.kind=mvgrl";
    let cases: [(&[&str], &str); 26] = [
        (&[GRAPHCL, "augment.flip=0.0"], "augment: "),
        (&[GRAPHCL, "data.skip_corrupt=true"], "data.skip_corrupt"),
        (&[GRAPHCL, "encoder.stem=cifar"], "encoder.stem"),
        (&[GRAPHCL, "encoder.kind=resnet18"], "which takes `gin`"),
        (&[GRAPHCL, "encoder.kind=gcn"], "which takes `gin`"),
        (&[MVGRL, "encoder.kind=gin"], "which takes `gcn`"),
        (&["encoder.kind=gcn"], "which takes `resnet18`"),
        (&["encoder.layers=2"], "encoder.layers"),
        (&[GRAPHCL, "encoder.layers=0"], "encoder.layers"),
        (&["encoder.width=2"], "encoder.width"),
        (&[GRAPHCL, "encoder.width=0"], "encoder.width"),
        (&["encoder.read_out=sum"], "encoder.read_out"),
        (&[MVGRL, "encoder.read_out=sum"], "encoder.read_out"),
        (&["graphs.augment={ kind = \"random2\" }"], "graphs: "),
        (&[MVGRL, "graphs.augment={ kind = \"random2\" }"], "graphs.augment"),
        (&[GRAPHCL, "graphs.augment={ kind = \"random2\", mask_ratio = 2.0 }"], "graphs.augment.mask_ratio"),
        (&[GRAPHCL, "graphs.diffusion={ kind = { ppr = { alpha = 0.2 } } }"], "graphs.diffusion"),
        (&[MVGRL, "graphs.diffusion={ kind = { ppr = { alpha = 1.2 } } }"], "graphs.diffusion.alpha"),
        (&[MVGRL, "method.projection.layers=1"], "method.projection"),
        (&["method.variant=paper"], "method.variant"),
        (&["encoder.kind=gin", MOCO, "method.batch_norm_groups=1"], "method.batch_norm_groups"),
        (&[GRAPHCL, "train.precision=bf16"], "train.precision"),
        (&["evaluate.svm=rbf"], "evaluate.svm"),
        (&["evaluate.fold_seeds=2"], "evaluate.svm"),
        (&[GRAPHCL, "evaluate.fold_seeds=0"], "evaluate.fold_seeds"),
        (&[GRAPHCL, "evaluate.knn_k=3"], "evaluate: "),
    ];
    for (settings, place) in cases {
        let error = validate(settings).expect_err(&format!("{settings:?} is accepted"));
        assert!(error.contains(place), "{settings:?}: {error}");
    }
}

#[test]
fn a_recipe_on_graphs_writes_out_what_its_method_chooses_and_reads_back_the_same() {
    for settings in [
        &["method.kind=graphcl"][..],
        &["method.kind=graphcl", "method.variant=original"],
        &["method.kind=mvgrl"],
        &["encoder.kind=gin"],
    ] {
        let valid = validate(settings).unwrap();
        let text = valid.to_toml().unwrap();
        let again = Recipe::parse(&text, Path::new("again.toml"), &[]).unwrap().validate().unwrap();
        assert_eq!(again.recipe(), valid.recipe(), "{text}");
    }
    let original = validate(&["method.kind=graphcl", "method.variant=original"]).unwrap();
    let recipe = original.recipe();
    assert_eq!((recipe.loss.kind, recipe.sampler.reshuffle), (Some(LossKind::Decoupled), Some(false)));
    assert_eq!((recipe.method.projection.layers, recipe.method.projection.dimension), (2, Some(96)));
    let paper = validate(&["method.kind=graphcl"]).unwrap();
    assert_eq!((paper.recipe().loss.kind, paper.recipe().sampler.reshuffle), (Some(LossKind::NtXent), None));
    assert!(!validate(&[]).unwrap().to_toml().unwrap().contains("graphs"));
}
