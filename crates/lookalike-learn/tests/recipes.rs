//! What goes with what: every combination of the registry is accepted, all else is refused with the key, the reason and what would be
//! right, before anything is opened; and the reference shows the same.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

use std::path::{Path, PathBuf};

use lookalike_learn::Registry;
use lookalike_learn::options::{Key, Range};
use lookalike_learn::recipe::{Recipe, ValidRecipe};
use lookalike_learn::registry::{Choice, Kind, Offer};
use toml::{Table, Value};

const GLYPHS: &str = "[data]\nname = \"glyphs\"\n";

/// Refused or not, by whichever reads first: text, or what it chooses.
fn validate(settings: &[&str]) -> Result<ValidRecipe, String> {
    let (settings, registry) = (owned(settings), Registry::standard());
    let recipe = Recipe::parse(GLYPHS, Path::new("test.toml"), &settings, &registry);
    recipe.and_then(|recipe| recipe.validate(&registry)).map_err(|error| error.to_string())
}

fn owned(settings: &[&str]) -> Vec<String> {
    settings.iter().map(|setting| (*setting).to_owned()).collect()
}

/// Reads back what a valid recipe writes.
fn again(text: &str) -> Result<ValidRecipe, String> {
    let registry = Registry::standard();
    let recipe = Recipe::parse(text, Path::new("again.toml"), &[], &registry);
    recipe.and_then(|recipe| recipe.validate(&registry)).map_err(|error| error.to_string())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Names, the first being the method's own choice.
type Names = &'static [&'static str];

/// What the methods go with: encoders, negatives and losses.
const COMBINATIONS: [(&str, Names, Names, Names); 14] = {
    const IMAGES: &[&str] = &["resnet18", "resnet34", "resnet50", "small", "vit-small", "vit-tiny"];
    const ANY: &[&str] =
        &["resnet18", "resnet34", "resnet50", "small", "vit-small", "vit-tiny", "gin", "bert", "static"];
    const ALL: &[&str] = &["info-nce", "debiased", "hard", "alignment"];
    const BATCH: &[&str] = &["batch"];
    [
        ("simclr", ANY, BATCH, &["nt-xent", "debiased", "hard", "info-nce", "alignment"]),
        ("contrastive-clustering", ANY, BATCH, &["nt-xent", "debiased", "hard"]),
        ("direct-clr", ANY, BATCH, ALL),
        ("end-to-end", ANY, BATCH, ALL),
        ("instance-discrimination", ANY, &["bank"], &["info-nce", "debiased", "hard", "noise-contrastive"]),
        ("moco", ANY, &["queue", "batch"], ALL),
        ("moco-v3", ANY, BATCH, ALL),
        ("graphcl", &["gin"], BATCH, &["nt-xent", "decoupled", "debiased", "hard"]),
        ("mvgrl", &["gcn"], BATCH, &["jensen-shannon", "info-nce", "decoupled", "debiased", "hard"]),
        ("mvgrl-nodes", &["gcn"], BATCH, &["jensen-shannon"]),
        ("pairs", &["bert", "static"], BATCH, &["info-nce", "decoupled", "debiased", "hard"]),
        ("supervised", IMAGES, &["none"], &["cross-entropy"]),
        ("mlm", &["bert"], &["none"], &["cross-entropy"]),
        ("simcse", &["bert", "static"], BATCH, &["info-nce", "debiased", "hard"]),
    ]
};

#[test]
fn every_combination_of_the_registry_is_accepted_and_no_other() {
    let registry = Registry::standard();
    assert_eq!(registry.names(Kind::Method), COMBINATIONS.map(|(method, ..)| method));
    let mut refused = 0;
    for (kind, encoders, negatives, losses) in COMBINATIONS {
        let method = registry.method(kind).unwrap();
        assert!(
            registry.encoders_of(method).iter().map(|entry| entry.kind).eq(encoders.iter().copied()),
            "{kind}"
        );
        assert!(
            registry.negatives_of(method).iter().map(|entry| entry.kind).eq(negatives.iter().copied()),
            "{kind}"
        );
        assert!(
            registry.losses_of(method).iter().map(|entry| entry.kind).eq(losses.iter().copied()),
            "{kind}"
        );
        for encoder in registry.names(Kind::Encoder) {
            for pool in registry.names(Kind::Negatives) {
                for loss in registry.names(Kind::Loss) {
                    let choice = [kind, encoder, pool, loss];
                    let goes =
                        encoders.contains(&encoder) && negatives.contains(&pool) && losses.contains(&loss);
                    match validate_choice(choice, None) {
                        Ok(valid) => {
                            assert!(goes, "{choice:?} is accepted");
                            let chosen = [Kind::Method, Kind::Encoder, Kind::Negatives, Kind::Loss];
                            assert_eq!(chosen.map(|kind| valid.choice().name(kind)), choice);
                        }
                        Err(error) => {
                            assert!(!goes, "{choice:?}: {error}");
                            assert!(error.contains(kind) && error.contains("which takes `"), "{error}");
                            refused += 1;
                        }
                    }
                }
            }
        }
        let own = validate(&[&format!("method.kind={kind}")]).unwrap();
        let chosen = [Kind::Encoder, Kind::Negatives, Kind::Loss].map(|kind| own.choice().name(kind));
        assert_eq!(chosen, [encoders[0], negatives[0], losses[0]]);
    }
    assert!(refused > 1000, "{refused}");
}

/// A recipe of these names of method, encoder, negatives and loss, with what else must then be said, and one setting more.
fn validate_choice(
    [method, encoder, negatives, loss]: [&str; 4],
    setting: Option<&str>,
) -> Result<ValidRecipe, String> {
    let mut settings = vec![
        format!("method.kind={method}"),
        format!("encoder.kind={encoder}"),
        format!("negatives.kind={negatives}"),
        format!("loss.kind={loss}"),
    ];
    match (method, encoder) {
        // Groups of nodes would cut graphs.
        ("moco", "gin") => settings.extend(owned(&["method.batch_norm_groups=1", "method.shuffle=false"])),
        // Representations shorter than ResNets'.
        ("direct-clr", _) => settings.push("method.coordinates=12".to_owned()),
        _ => {}
    }
    settings.extend(setting.map(str::to_owned));
    validate(&settings.iter().map(String::as_str).collect::<Vec<&str>>())
}

const MOCO: &str = "method.kind=moco";
const MIXING: &str = "negatives.mixing={ hardest = 64, between = 8 }";
const SUPERVISED: &str = "method.kind=supervised";
const CLUSTERS: &str = "method.kind=contrastive-clustering";

#[test]
fn impossible_inert_and_self_defeating_settings_are_refused_by_key() {
    let cases: [(&[&str], &str); 46] = [
        (&[MOCO, "negatives.size=255"], "negatives.size"),
        (&[MOCO, "negatives.size=511", "method.symmetric=true"], "negatives.size"),
        (&[MOCO, "negatives.size=512", "negatives.mixing={ hardest = 513 }"], "negatives.mixing.hardest"),
        (&["negatives.mixing={ hardest = 511 }"], "negatives.mixing.hardest"),
        (&["negatives.mixing={ hardest = 256 }", "loss.kind=info-nce"], "negatives.mixing.hardest"),
        (&["negatives.mixing={ hardest = 0 }"], "negatives.mixing.hardest"),
        (
            &["sampler.batch_size=1", MIXING],
            "sampler.batch_size: must be at least 2 where negatives come from the batch",
        ),
        (&["negatives.mixing={ hardest = 8, between = 0, with_query = 0 }"], "makes nothing"),
        (&["negatives.mixing={ hardest = 8, warm_up = 1.0 }"], "negatives.mixing.warm_up"),
        (
            &["method.kind=instance-discrimination", "loss.kind=noise-contrastive", MIXING],
            "negatives.mixing: is not read where loss.kind is `noise-contrastive`",
        ),
        (
            &["loss.kind=alignment", "negatives.oracle=true"],
            "negatives.oracle: is not read where loss.kind is `alignment`",
        ),
        (&[SUPERVISED, MIXING], "negatives.mixing: is not read"),
        (&[SUPERVISED, "negatives.oracle=true"], "negatives.oracle: is not read"),
        (&[SUPERVISED, "negatives.kind=queue"], "which takes `none`"),
        (&[SUPERVISED, "loss.kind=info-nce"], "which takes `cross-entropy`"),
        (&[SUPERVISED, "loss.temperature=0.2"], "loss.temperature: is not read"),
        (&[SUPERVISED, "method.projection.layers=1"], "method.projection: is not read"),
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
        (&[CLUSTERS, "method.clusters=1"], "method.clusters"),
        (&[CLUSTERS, "method.columns=\"uniform\""], "sampler.uniform_every"),
        (&["sampler.uniform_every=1"], "sampler.uniform_every"),
        (&["train.oracle={}"], "train.oracle.clusters: must say how many"),
        (&["train.oracle={ kind = \"head\" }"], "train.oracle.kind: `head` asks a cluster head"),
        (&["train.oracle={ kind = \"labels\", clusters = 3 }"], "train.oracle.clusters: is not read"),
        (&["train.oracle={ clusters = 3, confidence = 0.5 }"], "train.oracle.confidence: is not read"),
        (&["train.oracle={ clusters = 3 }", "negatives.oracle=true"], "leave one of them out"),
        (
            &["train.oracle={ clusters = 3, to = \"sampler\" }", "sampler.kind=uniform"],
            "train.oracle.to: `sampler` keeps",
        ),
        (
            &["train.oracle={ clusters = 3, to = \"negatives\" }", "loss.kind=alignment"],
            "train.oracle.to: `negatives` leaves some out of a softmax",
        ),
        (
            &["train.oracle={ clusters = 3 }", "loss.kind=alignment", "sampler.kind=uniform"],
            "train.oracle: changes nothing",
        ),
        (&["train.oracle={ clusters = 3, begins = 1.5 }"], "train.oracle.begins"),
        (&["train.oracle={ cluster = 3 }"], "did you mean `clusters`?"),
        (&["augment.strong_probability=0.5"], "augment.strong_probability: read only with a policy"),
        (
            &["augment.strong=trivialaugment", "augment.randaugment_magnitude=9"],
            "augment.randaugment_magnitude: read only with strong = \"randaugment\"",
        ),
        (
            &["augment.strong=randaugment", "augment.second_view={ blur = 0.5 }"],
            "augment.second_view.blur: the policy of strong takes its place",
        ),
        (
            &["augment.strong=randaugment", "augment.randaugment_magnitude=31"],
            "augment.randaugment_magnitude",
        ),
        (&["augment.strong=autoaugment"], "`autoaugment` is not one of `none`"),
    ];
    for (settings, place) in cases {
        let error = validate(settings).expect_err(&format!("{settings:?} is accepted"));
        assert!(error.contains(place), "{settings:?}: {error}");
    }
    assert!(validate(&[MOCO, "method.batch_norm_groups=1", "method.shuffle=false"]).is_ok());
    assert!(validate(&["negatives.mixing={ hardest = 510 }"]).is_ok());
    for settings in [
        &[CLUSTERS, "method.columns=\"uniform\"", "sampler.uniform_every=2"][..],
        &[CLUSTERS, "method.columns=\"uniform\"", "sampler.kind=uniform"],
        &[CLUSTERS, "train.oracle={}"],
        &[CLUSTERS, "train.oracle={ kind = \"head\", confidence = 0.9 }"],
        &["train.oracle={ clusters = 3 }", "sampler.kind=uniform"],
        &["train.oracle={ clusters = 3 }", "loss.kind=alignment"],
    ] {
        validate(settings).unwrap();
    }
}

#[test]
fn a_batch_that_is_too_small_for_its_clusters_is_advised_against() {
    let advised = |settings: &[&str]| validate(settings).unwrap().fitted(10_000).unwrap().1.concat();
    let advice = advised(&[CLUSTERS, "method.clusters=11"]);
    assert!(advice.contains("batch of 256") && advice.contains("sampler.batch_size = 275"), "{advice}");
    assert_eq!(advised(&[CLUSTERS]), "");
    // What fits itself to the data is advised by what it came to.
    let fitted = validate(&[CLUSTERS]).unwrap().fitted(400).unwrap().1;
    assert!(fitted.iter().any(|note| note.contains("batch of 64")), "{fitted:?}");
}

#[test]
fn a_batch_of_nodes_of_one_graph_is_not_encoded_in_parts() {
    let error = validate(&["method.kind=mvgrl-nodes", "train.chunk=8"]).unwrap_err();
    assert!(error.contains("train.chunk: encodes a batch in parts") && error.contains("`node`"), "{error}");
    for method in ["simclr", "graphcl", "mvgrl"] {
        assert!(validate(&[&format!("method.kind={method}"), "train.chunk=8"]).is_ok(), "{method}");
    }
}

#[test]
fn what_depends_on_the_data_is_refused_once_they_are_known() {
    let check = |settings: &[&str], labelled| {
        validate(settings).unwrap().check_with_data(1000, labelled, 40).map_err(|error| error.to_string())
    };
    assert!(check(&["negatives.oracle=true"], false).unwrap_err().contains("label"));
    assert!(check(&["negatives.oracle=true"], true).is_ok());
    assert!(check(&["train.oracle={ kind = \"labels\" }"], false).unwrap_err().contains("train.oracle.kind"));
    assert!(check(&["train.oracle={ clusters = 9 }"], false).is_ok());
    assert!(check(&[CLUSTERS, "method.clusters=1001"], false).unwrap_err().contains("method.clusters"));
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

/// Keys of methods, negatives and losses, and who reads them.
const READERS: [(&str, Kind, &[&str]); 16] = {
    use Kind::{Loss, Method, Negatives};
    const HEADS: &[&str] = &[
        "simclr",
        "contrastive-clustering",
        "end-to-end",
        "instance-discrimination",
        "moco",
        "moco-v3",
        "graphcl",
    ];
    const WITH_TEMPERATURE: &[&str] =
        &["nt-xent", "info-nce", "decoupled", "debiased", "hard", "noise-contrastive"];
    [
        ("method.projection", Method, HEADS),
        ("method.predictor", Method, &["moco-v3"]),
        ("method.clusters", Method, &["contrastive-clustering"]),
        ("method.momentum", Method, &["moco", "moco-v3"]),
        ("method.momentum_schedule", Method, &["moco", "moco-v3"]),
        ("method.symmetric", Method, &["moco", "simcse"]),
        ("method.batch_norm_groups", Method, &["moco"]),
        ("method.shuffle", Method, &["moco"]),
        ("method.coordinates", Method, &["direct-clr"]),
        ("negatives.size", Negatives, &["queue"]),
        ("negatives.exclude_own", Negatives, &["queue"]),
        ("negatives.bank_momentum", Negatives, &["bank"]),
        ("loss.temperature", Loss, WITH_TEMPERATURE),
        ("loss.prior", Loss, &["debiased", "hard"]),
        ("loss.concentration", Loss, &["hard"]),
        ("loss.noise", Loss, &["noise-contrastive"]),
    ]
};

/// Values of keys whose first other value would be refused for what it is, or that are free.
const OTHER: [(&str, &str); 15] = [
    ("encoder.layers", "4"),
    ("encoder.width", "48"),
    ("method.projection", "{ layers = 3 }"),
    ("method.predictor", "{ layers = 3 }"),
    ("method.batch_norm_groups", "4"),
    ("method.coordinates", "12"),
    ("negatives.size", "4096"),
    ("negatives.mixing", "{ hardest = 64 }"),
    ("augment.blur_kernel", "5"),
    ("augment.second_view", "{ flip = 0.25 }"),
    ("augment.size", "48"),
    ("graphs.features", "{ parts = [\"attributes\"] }"),
    ("graphs.diffusion", "{ epsilon = 1e-3 }"),
    ("method.dimensions", "[2]"),
    ("method.dimension_weights", "[]"),
];

/// Keys that the recipe of these tests cannot have by themselves.
const BESIDE_A_POLICY: [&str; 5] = [
    "augment.randaugment_magnitude",
    "augment.randaugment_operations",
    "augment.strong_fill",
    "augment.strong_interpolation",
    "augment.strong_probability",
];

/// Values that a key can have.
fn values(key: &Key) -> Vec<Value> {
    let possible: Vec<Value> = match key.range {
        Range::Flag => [true, false].map(Value::from).into(),
        Range::Integer { least, .. } => (0..5).map(|more| Value::from(least + more)).collect(),
        Range::Number(_) => [0.25, 0.75, 3.0].map(Value::from).into(),
        Range::Numbers(count, _) => vec![Value::from(vec![0.25; count])],
        Range::NumberList(_) => vec![Value::from(vec![0.25])],
        Range::OneOf(names) => names.iter().copied().map(Value::from).collect(),
        Range::Text(_) | Range::TextOrTexts(_) | Range::Free(_) => vec![Value::from("other")],
        Range::Texts(_) => vec![Value::from(vec!["other"])],
        Range::Table(keys) => {
            let of_key = |key: &Key| {
                values(key).into_iter().map(|value| Table::from_iter([(key.name.to_owned(), value)]))
            };
            keys.iter().flat_map(of_key).map(Value::from).collect()
        }
    };
    possible.into_iter().filter(|value| key.check("section", value).is_ok()).collect()
}

/// A value of the key at `path` that is not everybody's default.
fn other(path: &str, own: &[&Offer]) -> Value {
    if let Some((_, value)) = OTHER.iter().find(|(known, _)| *known == path) {
        return format!("value = {value}").parse::<Table>().unwrap().remove("value").unwrap();
    }
    let found = own.iter().flat_map(|offer| values(&offer.key));
    let mut found = found.filter(|value| !own.iter().all(|offer| offer.key.is_default(value)));
    found.next().unwrap_or_else(|| panic!("{path} can be nothing but its default"))
}

/// Whether one of the offers of a key is read.
fn is_read(own: &[&Offer], choice: &Choice) -> bool {
    own.iter().any(|offer| offer.missing(choice).is_none())
}

#[test]
fn a_key_that_nobody_chosen_reads_is_refused_and_every_other_accepted() {
    let offers = Registry::standard().offers();
    let mut paths: Vec<String> = offers.iter().map(Offer::path).collect();
    paths.sort();
    paths.dedup();
    let own = |path: &str| offers.iter().filter(|offer| offer.path() == path).collect::<Vec<&Offer>>();
    // Keys that everybody reads can be of no use here.
    paths.retain(|path| own(path).iter().all(|offer| !offer.readers.is_empty()));
    assert!(paths.len() > 45 && READERS.iter().all(|(key, ..)| paths.iter().any(|path| path == key)));
    let (mut refused, mut accepted) = (0, 0);
    for (method, encoders, pools, losses) in COMBINATIONS {
        let pairs = pools.iter().flat_map(|pool| losses.iter().map(move |loss| (*pool, *loss)));
        // Another encoder changes what is read by encoders alone.
        let choices = pairs.map(|(pool, loss)| [method, encoders[0], pool, loss]);
        let others = encoders[1..].iter().map(|encoder| [method, encoder, pools[0], losses[0]]);
        for choice in choices.chain(others) {
            let chosen = *validate_choice(choice, None).unwrap().choice();
            for path in &paths {
                let own = own(path);
                let setting = format!("{path}={}", other(path, &own));
                let reads = is_read(&own, &chosen);
                if let Some((_, kind, readers)) = READERS.iter().find(|(key, ..)| key == path) {
                    assert_eq!(reads, readers.contains(&chosen.name(*kind)), "{choice:?} {path}");
                }
                match validate_choice(choice, Some(&setting)) {
                    Ok(_) => assert!(reads, "{choice:?} {setting} is accepted"),
                    Err(error) if reads => {
                        let apart: &[&str] = match [choice[0], choice[1]] {
                            ["moco", "gin"] => &["method.batch_norm_groups", "method.shuffle"],
                            ["simcse", "static"] => &["method.mlm"],
                            ["contrastive-clustering", _] => &["method.columns"],
                            _ => &[],
                        };
                        let apart =
                            apart.contains(&path.as_str()) || BESIDE_A_POLICY.contains(&path.as_str());
                        assert!(apart && !error.contains("is not read"), "{choice:?} {setting}: {error}");
                    }
                    Err(error) => {
                        let said = format!("{path}: is not read where ");
                        assert!(
                            error.starts_with(&said) && error.contains(", only under `"),
                            "{choice:?} {setting}: {error}"
                        );
                    }
                }
                refused += usize::from(!reads);
                accepted += usize::from(reads);
            }
        }
    }
    assert!(refused > 1500 && accepted > 800, "{refused} {accepted}");
}

#[test]
fn defaults_written_out_are_no_mistake_where_all_who_read_a_key_agree_on_it() {
    let registry = Registry::standard();
    let offers = registry.offers();
    let (mut written, mut refused) = (0, Vec::new());
    for offer in &offers {
        let Some(default) = offer.key.default_value() else { continue };
        let path = offer.path();
        let own: Vec<&Offer> = offers.iter().filter(|other| other.path() == path).collect();
        let mut recipe = Recipe::parse(GLYPHS, Path::new("test.toml"), &[], &registry).unwrap();
        recipe.set(&path, default.clone());
        match recipe.validate(&registry) {
            Ok(valid) if is_read(&own, valid.choice()) => {}
            Ok(_) => {
                assert!(own.iter().all(|offer| offer.key.is_default(&default)), "{path} is accepted");
                written += 1;
            }
            Err(error) => {
                assert!(error.to_string().contains(&format!("{path}: is not read")), "{error}");
                refused.push(path);
            }
        }
    }
    refused.sort();
    refused.dedup();
    let differ = [
        "encoder.heads",
        "encoder.layers",
        "encoder.patch",
        "encoder.width",
        "method.momentum",
        "method.momentum_schedule",
    ];
    assert_eq!(refused, differ);
    assert!(written > 15, "{written}");
    assert!(validate(&["method.shuffle=true", "method.coordinates=360", "negatives.size=65536"]).is_ok());
}

#[test]
fn a_recipe_that_was_filled_in_is_valid_again_and_the_same() {
    for (method, _, _, losses) in COMBINATIONS {
        for loss in losses {
            let set = [format!("method.kind={method}"), format!("loss.kind={loss}")];
            let filled = validate(&[&set[0], &set[1]]).unwrap();
            let text = filled.to_toml().unwrap();
            assert_eq!(again(&text).unwrap().settings(), filled.settings(), "{text}");
        }
    }
}

/// What earlier programs wrote beside their runs has the defaults of all keys, those too that nobody read; see
/// `fixtures/recipes`, one of each method.
#[test]
fn what_earlier_programs_wrote_to_the_folders_of_their_runs_is_valid_still_and_says_the_same() {
    for (method, ..) in COMBINATIONS {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/recipes/{method}.toml"));
        let text = std::fs::read_to_string(&path).unwrap();
        let valid = again(&text).unwrap_or_else(|error| panic!("{method}: {error}"));
        assert_eq!(valid.choice().name(Kind::Method), method);
        // Whatever it still reads has the value that was written.
        let given: Table = text.parse().unwrap();
        let kept = valid.settings();
        for (section, keys) in &given {
            for (name, value) in keys.as_table().into_iter().flatten() {
                let path = format!("{section}.{name}");
                if let Some(now) = kept.value(&path) {
                    assert!(same(value, now), "{method}: {path} was {value} and is {now}");
                }
            }
        }
        // And what it lacks is nothing but defaults that were not written.
        assert_eq!(again(&valid.to_toml().unwrap()).unwrap().settings(), kept);
    }
}

/// Whether all that `written` says stands in `now`.
fn same(written: &Value, now: &Value) -> bool {
    match (written.as_table(), now.as_table()) {
        (Some(written), Some(now)) => {
            written.iter().all(|(name, value)| now.get(name).is_some_and(|now| same(value, now)))
        }
        _ => written == now,
    }
}

#[test]
fn defaults_that_were_written_with_the_digits_of_32_bits_are_defaults_still() {
    let text = "seed = 0\n[data]\nname = \"glyphs\"\nskip_corrupt = false\n[augment]\n\
        [method]\nkind = \"simclr\"\nsymmetric = false\nbatch_norm_groups = 8\nshuffle = true\ncoordinates = 360\n\
        [method.projection]\nlayers = 2\nwidth = 0\ndimension = 128\nbatch_norm = \"all\"\n\
        [method.predictor]\nlayers = 2\nwidth = 4096\nbatch_norm = \"hidden\"\n\
        [negatives]\nsize = 65536\nexclude_own = false\nbank_momentum = 0.5\noracle = false\n\
        [loss]\nprior = 0.10000000149011612\nconcentration = 1.0\nnoise = 4096\n\
        [evaluate]\nknn_k = 200\nknn_temperature = 0.10000000149011612\nprobe_epochs = 100\nbatch_size = 256\n\
        statistics_batches = 50\n";
    let valid = again(text).unwrap();
    for path in ["method.predictor", "method.shuffle", "negatives.size", "loss.prior", "loss.noise"] {
        assert!(valid.settings().value(path).is_none(), "{path} is read by nobody and kept");
    }
    for (now, key) in [("prior = 0.2", "loss.prior"), ("prior = 0.10001", "loss.prior")] {
        let error = again(&text.replace("prior = 0.10000000149011612", now)).unwrap_err();
        assert!(error.contains(key) && error.contains("is not read"), "{error}");
    }
    let error = again(&text.replace("width = 4096", "width = 64")).unwrap_err();
    assert!(
        error.contains("method.predictor: is not read where method.kind is `simclr`, only under `moco-v3`"),
        "{error}"
    );
}

#[test]
fn what_a_recipe_does_not_say_is_as_each_method_s_own_program_has_it() {
    let method = |kind: &str| validate(&[&format!("method.kind={kind}")]).unwrap().settings().clone();
    let momentum = |kind: &str| method(kind).value("method.momentum").and_then(Value::as_float);
    let schedule = |kind: &str| method(kind).text("method.momentum_schedule").map(str::to_owned);
    let norm = |kind: &str| method(kind).text("method.projection.batch_norm").map(str::to_owned);
    let some = |text: &str| Some(text.to_owned());
    assert_eq!((momentum("moco"), schedule("moco")), (Some(0.999), some("constant")));
    assert_eq!((momentum("moco-v3"), schedule("moco-v3")), (Some(0.99), some("cosine")));
    assert_eq!((norm("moco-v3"), norm("simclr"), momentum("simclr")), (some("all"), some("all"), None));
    for kind in ["moco", "end-to-end", "instance-discrimination", "graphcl"] {
        assert_eq!(norm(kind), some("none"), "{kind}");
    }
    // What is given within a table leaves the rest of it at the method's own.
    let given = validate(&["method.kind=moco", "method.projection={ layers = 1 }"]).unwrap();
    assert_eq!(given.settings().text("method.projection.batch_norm"), Some("none"));
    let temperature = |kind: &str| method(kind).value("loss.temperature").and_then(Value::as_float);
    for (kind, own) in [
        ("simclr", Some(0.5)),
        ("direct-clr", Some(0.1)),
        ("end-to-end", Some(0.07)),
        ("instance-discrimination", Some(0.07)),
        ("moco", Some(0.2)),
        ("moco-v3", Some(1.0)),
        ("graphcl", Some(0.2)),
        ("mvgrl", None),
        ("supervised", None),
    ] {
        assert_eq!(temperature(kind), own, "{kind}");
    }
    let softmax = validate(&["method.kind=mvgrl", "loss.kind=hard"]).unwrap();
    assert_eq!(softmax.settings().value("loss.temperature").and_then(Value::as_float), Some(0.2));
    assert_eq!(method("mvgrl").text("evaluate.svm"), Some("linear"));
    assert_eq!(method("graphcl").text("evaluate.svm"), Some("rbf"));
    assert_eq!(method("mvgrl-nodes").integer("encoder.layers"), Some(1));
    assert_eq!(method("mvgrl").integer("encoder.layers"), Some(2));
}

#[test]
fn a_run_that_ends_before_mixing_or_look_alikes_begin_is_refused_with_the_step() {
    // 1000 instances in batches of 256: 3 an epoch.
    let check = |settings: &[&str]| {
        validate(settings).unwrap().check_with_data(1000, true, 40).map_err(|error| error.to_string())
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
    let (mut count, registry) = (0, Registry::standard());
    for entry in std::fs::read_dir(root().join("recipes")).unwrap() {
        let path = entry.unwrap().path();
        let recipe = Recipe::read(&path, &[], &registry).unwrap().validate(&registry);
        assert!(recipe.is_ok(), "{}: {}", path.display(), recipe.unwrap_err());
        count += 1;
    }
    assert!(count >= 30, "{count}");
}

#[test]
fn keys_of_images_are_refused_for_graphs_and_the_other_way_round() {
    const GRAPHCL: &str = "method.kind=graphcl";
    const MVGRL: &str = "method.kind=mvgrl";
    let cases: [(&[&str], &str); 26] = [
        (
            &[GRAPHCL, "augment.flip=0.0"],
            "augment.flip: is not read where the modality is `graph`, only under `image`",
        ),
        (&[GRAPHCL, "data.skip_corrupt=true"], "data.skip_corrupt"),
        (&[GRAPHCL, "encoder.stem=imagenet"], "encoder.stem: is not read"),
        (&[GRAPHCL, "encoder.kind=resnet18"], "which takes `gin`"),
        (&[GRAPHCL, "encoder.kind=gcn"], "which takes `gin`"),
        (&[MVGRL, "encoder.kind=gin"], "which takes `gcn`"),
        (&["encoder.kind=gcn"], "which takes `resnet18`"),
        (&["encoder.layers=2"], "encoder.layers: is not read"),
        (&[GRAPHCL, "encoder.layers=0"], "encoder.layers"),
        (&["encoder.width=2"], "encoder.width: is not read"),
        (&[GRAPHCL, "encoder.width=0"], "encoder.width"),
        (&["encoder.read_out=mean"], "encoder.read_out: is not read"),
        (&[MVGRL, "encoder.read_out=mean"], "encoder.read_out: is not read"),
        (
            &["graphs.augment={ kind = \"random2\" }"],
            "graphs.augment: is not read where the modality is `image`",
        ),
        (
            &[MVGRL, "graphs.augment={ kind = \"random2\" }"],
            "graphs.augment: is not read where method.kind is `mvgrl`",
        ),
        (&[GRAPHCL, "graphs.augment={ kind = \"random2\", mask_ratio = 2.0 }"], "graphs.augment.mask_ratio"),
        (&[GRAPHCL, "graphs.diffusion={ kind = { ppr = { alpha = 0.2 } } }"], "graphs.diffusion"),
        (&[MVGRL, "graphs.diffusion={ kind = { ppr = { alpha = 1.2 } } }"], "graphs.diffusion.alpha"),
        (&[MVGRL, "method.projection.layers=1"], "method.projection"),
        (&["method.variant=original"], "method.variant: is not read"),
        (&["encoder.kind=gin", MOCO, "method.batch_norm_groups=1"], "method.batch_norm_groups"),
        (&[GRAPHCL, "train.precision=bf16"], "train.precision"),
        (&["evaluate.svm=linear"], "evaluate.svm: is not read"),
        (&["evaluate.fold_seeds=2"], "evaluate.fold_seeds: is not read where the modality is `image`"),
        (&[GRAPHCL, "evaluate.fold_seeds=0"], "evaluate.fold_seeds"),
        (
            &[GRAPHCL, "evaluate.knn_k=3"],
            "evaluate.knn_k: is not read where the modality is `graph`, only under `image`",
        ),
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
        assert_eq!(again(&text).unwrap().settings(), valid.settings(), "{text}");
    }
    let original = validate(&["method.kind=graphcl", "method.variant=original"]).unwrap();
    assert_eq!(original.settings().text("loss.kind"), Some("decoupled"));
    assert_eq!(original.sampler().reshuffle, Some(false));
    assert_eq!(original.columns(), ["plain", "view 2"]);
    // The head of the published code is as long as the representation.
    let head = ["method.projection.layers", "method.projection.dimension"];
    assert_eq!(head.map(|path| original.settings().integer(path)), [Some(2), None]);
    let paper = validate(&["method.kind=graphcl"]).unwrap();
    assert_eq!((paper.settings().text("loss.kind"), paper.sampler().reshuffle), (Some("nt-xent"), None));
    assert_eq!(paper.columns(), ["view 1", "view 2"]);
    assert!(!validate(&[]).unwrap().to_toml().unwrap().contains("graphs"));
}

#[test]
fn a_recipe_without_a_data_set_is_refused() {
    let registry = Registry::standard();
    let recipe = Recipe::parse("[train]\nepochs = 3\n", Path::new("test.toml"), &[], &registry).unwrap();
    let error = recipe.validate(&registry).unwrap_err().to_string();
    assert!(error.contains("data.name: must name a data set"), "{error}");
}
