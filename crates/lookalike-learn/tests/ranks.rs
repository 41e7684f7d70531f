//! Ranks that share a run come to the same bits, however many they are: every method, on every modality that it goes with and whose instances are encoded apart.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

#[path = "common/toys.rs"]
mod toys;

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use lookalike_base::progress::{Cancellation, Silent, Watch};
use lookalike_base::ranks::{Ranks, Threads};
use lookalike_data::Split;
use lookalike_learn::Registry;
use lookalike_learn::experiment::Experiment;
use lookalike_learn::recipe::Recipe;
use lookalike_learn::registry::Kind;
use lookalike_learn::train::Outcome;

/// 48 lines of words, and who answers them.
fn texts() -> String {
    let word =
        |number: usize| ["blue", "red", "large", "small", "old", "new", "cup", "hat", "shoe"][number % 9];
    let mut text = "query,document\n".to_owned();
    for row in 0..48 {
        let (first, second) = (word(row), word(row / 3 + 4));
        writeln!(text, "a {first} {second} {row},{second} that is {first} number {row}").unwrap();
    }
    text
}

const COMMON: &str = "[sampler]\nbatch_size = 8\ncandidates = 10\nneighbors = 3\nrefresh_every = 2\n\
    [optimizer]\nkind = \"adam\"\nlearning_rate = 0.01\n\
    [train]\nshards = 4\nepochs = 2\nwarmup_epochs = 0.0\nmax_steps = 7\nlog_every = 1\nloader_threads = 1\n";
const IMAGES: &str = "[data]\nname = \"folder\"\n[augment]\nsize = 8\n[encoder]\nkind = \"small\"\n";
const GRAPHS: &str = "[data]\nname = \"toys\"\n[encoder]\nlayers = 2\nwidth = 8\n";
const TEXTS: &str = "[data]\nname = \"texts.csv\"\n[text]\nvocabulary = 300\nmax_length = 16\ncolumns = [\"query\", \"document\"]\n\
    [encoder]\nkind = \"bert\"\nlayers = 1\nwidth = 16\nheads = 2\npositions = 32\n";

fn experiment(root: &Path, data: &str, settings: &[&str]) -> Result<Experiment, String> {
    let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
    let registry = Registry::standard();
    let begin = || {
        let text = format!("{data}{COMMON}");
        let mut recipe = Recipe::parse(&text, &root.join("test.toml"), &settings, &registry)?;
        let place = if data == IMAGES { root.join("photos") } else { root.to_owned() };
        recipe.set_path("data.root", Some(&place));
        Experiment::open(recipe.validate(&registry)?, &registry, Arc::new(Silent))
    };
    begin().map(|(experiment, _)| experiment).map_err(|error| error.to_string())
}

/// The tensors of the newest checkpoint of a run of so many ranks.
fn trained(root: &Path, ranks: usize, data: &str, settings: &[&str]) -> Vec<u8> {
    let run = root.join(format!("run-{ranks}"));
    let of_rank = |own: Threads| {
        let experiment =
            experiment(root, data, settings).unwrap_or_else(|error| panic!("{settings:?}: {error}"));
        let (mut trainer, _) = experiment.trainer_of(&run, &(Arc::new(own) as Arc<dyn Ranks>)).unwrap();
        let ended = trainer.run(Watch::silent(&Cancellation::new()));
        assert_eq!(ended.unwrap_or_else(|error| panic!("{settings:?}: {error}")), Outcome::Finished);
    };
    std::thread::scope(|scope| {
        let running: Vec<_> =
            Threads::new(ranks).into_iter().map(|own| scope.spawn(|| of_rank(own))).collect();
        for thread in running {
            thread.join().unwrap();
        }
    });
    let mut checkpoints: Vec<_> =
        std::fs::read_dir(run.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path()).collect();
    checkpoints.sort();
    let bytes = std::fs::read(checkpoints.last().unwrap()).unwrap();
    std::fs::remove_dir_all(&run).unwrap();
    bytes
}

/// A folder of forty pictures in two classes.
fn photos(root: &Path) {
    for class in ["dark", "light"] {
        let place = root.join("photos").join(class);
        std::fs::create_dir_all(&place).unwrap();
        for picture in 0..20_u8 {
            let shade = if class == "dark" { 3 * picture } else { 255 - 4 * picture };
            let mut image = "P3\n9 9\n255\n".to_owned();
            for place in 0..81 {
                writeln!(image, "{shade} {} {}", place % 9 * 25, place / 9 * usize::from(picture)).unwrap();
            }
            std::fs::write(place.join(format!("{picture:02}.ppm")), image).unwrap();
        }
    }
}

#[test]
fn every_method_comes_to_the_same_bits_with_any_number_of_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::write(root.join("toys.txt"), toys::toys(40)).unwrap();
    std::fs::write(root.join("texts.csv"), texts()).unwrap();
    photos(root);
    let modality = |method: &str| match method {
        "graphcl" | "mvgrl" => vec![GRAPHS],
        "pairs" | "simcse" | "mlm" => vec![TEXTS],
        "supervised" => vec![IMAGES],
        _ => vec![IMAGES, GRAPHS, TEXTS],
    };
    let (mut runs, registry) = (0, Registry::standard());
    for method in registry.names(Kind::Method) {
        if method == "mvgrl-nodes" {
            continue;
        }
        for data in modality(method) {
            let kind = format!("method.kind={method}");
            let mut settings = vec![kind.as_str()];
            match (method, data) {
                ("moco", _) => settings.extend([
                    "method.batch_norm_groups=1",
                    "method.shuffle=false",
                    "negatives.size=16",
                ]),
                ("direct-clr", _) => settings.push("method.coordinates=8"),
                ("contrastive-clustering", _) => settings.push("method.clusters=2"),
                _ => {}
            }
            if data == GRAPHS && method != "mvgrl" {
                settings.push("encoder.kind=gin");
            }
            let alone = trained(root, 1, data, &settings);
            for ranks in [2, 4] {
                assert!(
                    trained(root, ranks, data, &settings) == alone,
                    "{settings:?}, {ranks} ranks: other bits"
                );
            }
            runs += 1;
        }
    }
    assert!(runs >= 20, "{runs}");
}

#[test]
fn ranks_embed_their_shares_first() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::write(root.join("texts.csv"), texts()).unwrap();
    let settings = ["method.kind=pairs", "train.embed_first=true", "sampler.uniform_epochs=0"];
    let alone = trained(root, 1, TEXTS, &settings);
    assert!(trained(root, 2, TEXTS, &settings) == alone, "embedded in shares: other bits");
}

#[test]
fn accumulated_batches_and_oracles_come_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    photos(root);
    for settings in [
        &["train.accumulate=2", "train.epochs=4"][..],
        &["train.oracle={ clusters = 2 }"],
        &["negatives.oracle=true", "sampler.kind=nearest"],
    ] {
        let alone = trained(root, 1, IMAGES, settings);
        for ranks in [2, 4] {
            assert!(
                trained(root, ranks, IMAGES, settings) == alone,
                "{settings:?}, {ranks} ranks: other bits"
            );
        }
    }
}

#[test]
fn ranks_embed_in_turn_by_the_same_network_and_each_gets_all_rows() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    photos(root);
    // Forty instances in batches of nine: the last ranks have one batch less, and the last batch is short.
    let settings = |rank: usize, differs: bool| -> Vec<&str> {
        let seed = if differs && rank == 1 { "seed=5" } else { "seed=4" };
        vec!["evaluate.batch_size=9", seed]
    };
    let embedded = |ranks: usize, differs: bool| -> Vec<Result<Vec<u32>, String>> {
        let of_rank = |own: Threads| {
            let experiment = experiment(root, IMAGES, &settings(own.rank(), differs)).unwrap();
            let mut network = experiment.untrained().unwrap();
            let rows = experiment.embed_of(&own, &mut *network, Split::Train, &Cancellation::new());
            let rows = rows.map_err(|error| error.to_string())?.representation;
            Ok(rows.rows().values().iter().map(|value| value.to_bits()).collect())
        };
        std::thread::scope(|scope| {
            let running: Vec<_> =
                Threads::new(ranks).into_iter().map(|own| scope.spawn(|| of_rank(own))).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    };
    let alone = embedded(1, false).remove(0).unwrap();
    for ranks in [2, 3, 4, 8] {
        for rows in embedded(ranks, false) {
            assert!(rows.unwrap() == alone, "{ranks} ranks: other rows");
        }
    }
    for told in embedded(2, true) {
        let told = told.unwrap_err();
        assert!(told.starts_with("rank 1 has another network than rank 0"), "{told}");
    }
}
