//! What goes with what: every combination of the table is accepted, all else is refused with the key, the reason and what would be
//! right, before anything is opened; and the reference shows the same table.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

use std::path::{Path, PathBuf};

use lookalike_learn::recipe::combinations::{COMBINATIONS, REFUSALS, markdown, name};
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
    use LossKind::{Alignment, Debiased, Decoupled, Hard, InfoNce, JensenShannon, NoiseContrastive, NtXent};
    let mut refused = 0;
    for row in &COMBINATIONS {
        for negatives in [NegativesKind::Batch, NegativesKind::Queue, NegativesKind::Bank] {
            for loss in
                [NtXent, InfoNce, Debiased, Hard, Decoupled, NoiseContrastive, JensenShannon, Alignment]
            {
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

#[test]
fn impossible_inert_and_self_defeating_settings_are_refused_by_key() {
    let cases: [(&[&str], &str); 21] = [
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
    let whole = check(&[MOCO, "negatives.size=1000"], true).unwrap_err();
    assert!(whole.contains("negatives.exclude_own"), "{whole}");
    assert!(check(&[MOCO, "negatives.size=1000", "negatives.exclude_own=true"], true).is_ok());
    assert!(check(&[MOCO, "negatives.size=1000", "method.symmetric=true"], true).is_ok());
    assert!(check(&[MOCO, "negatives.size=2000", "method.symmetric=true"], true).is_err());
    let bank = ["method.kind=instance-discrimination", "negatives.mixing={ hardest = 1000 }"];
    assert!(check(&bank, true).unwrap_err().contains("negatives.mixing.hardest"));
    let late = ["negatives.mixing={ hardest = 64, warm_up = 0.99 }"];
    assert!(check(&late, true).unwrap_err().contains("40 steps"));
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
    assert!(count >= 22, "{count}");
}

#[test]
fn keys_of_images_are_refused_for_graphs_and_the_other_way_round() {
    const GRAPHCL: &str = "method.kind=graphcl";
    const MVGRL: &str = "method.kind=mvgrl";
    let cases: [(&[&str], &str); 25] = [
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
    let projection = recipe.method.projection.as_ref().unwrap();
    assert_eq!((projection.layers, projection.dimension), (2, 96));
    let paper = validate(&["method.kind=graphcl"]).unwrap();
    assert_eq!((paper.recipe().loss.kind, paper.recipe().sampler.reshuffle), (Some(LossKind::NtXent), None));
    assert!(!validate(&[]).unwrap().to_toml().unwrap().contains("graphs"));
}
