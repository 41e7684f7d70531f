//! `lookalike train` and what follows it, as a user calls them, on a folder of tiny images.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod place;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use place::{IMAGES, Place, ended, has_checkpoint, wait};

#[test]
fn a_run_is_trained_evaluated_embedded_and_exported() {
    let place = Place::new();
    let table = place.succeed(&["train", "photos.toml", "--out", "run"]);
    for row in ["(k = 40, t = 0.1): pixels", "before training", "after training", "false negatives in them"] {
        assert!(table.contains(row), "{table}");
    }
    assert!(place.succeed(&["train", "--resume", "run"]).contains("nothing is left to do"));
    let setting = ["evaluate", "run", "--set", "evaluate.probe_labels_per_class=4"];
    let table = place.succeed(&setting);
    assert!(table.contains("linear probe accuracy (4 labels a class, rate"), "{table}");
    place.succeed(&["embed", "run", "--split", "test", "--out", "test.npy"]);
    let (rows, columns) = place.shape("test.npy");
    assert!(rows > 0 && rows <= IMAGES as usize);
    place.succeed(&["embed", "run", "--data", "glyphs", "--split", "test", "--out", "glyphs.npy"]);
    assert_eq!(place.shape("glyphs.npy"), (4000, columns));
    place.succeed(&["export", "run", "model.safetensors"]);
    assert!(place.path("model.safetensors").exists());
}

#[test]
fn a_check_tells_steps_and_time_and_keeps_nothing() {
    let place = Place::new();
    let before = fs::read_dir(place.folder.path()).unwrap().count();
    let table = place.succeed(&["train", "photos.toml", "--check"]);
    for row in ["40 instances", "seconds a step, median of ", "minutes, without", "peak memory"] {
        assert!(table.contains(row), "{table}");
    }
    assert_eq!(fs::read_dir(place.folder.path()).unwrap().count(), before);
    let ended = place.run(&["train", "photos.toml", "--check", "--set", "sampler.batch_size=41"]);
    assert!(ended.status == Some(2) && ended.error.contains("sampler"), "{}", ended.error);
    assert_eq!(place.run(&["train", "photos.toml", "--check", "--out", "run"]).status, Some(2));
}

#[test]
fn runs_of_several_seeds_are_summarized_and_go_on_where_one_is_missing() {
    let place = Place::new();
    let seeds = ["train", "photos.toml", "--out", "runs", "--seeds", "0..2", "--set", "train.max_steps=6"];
    let table = place.succeed(&seeds);
    assert!(table.contains("mean of 3"), "{table}");
    let models = [0, 1, 2].map(|seed| place.path(&format!("runs/seed-{seed}/model.safetensors")));
    let [first, second, third] = models.each_ref().map(|path| fs::read(path).unwrap());
    assert!(first != second && second != third);
    fs::remove_dir_all(place.path("runs/seed-1")).unwrap();
    place.succeed(&seeds);
    assert_eq!(fs::read(&models[1]).unwrap(), second);
    // Seed 2 alone is the same run.
    place.succeed(&["train", "photos.toml", "--out", "two", "--set", "seed=2", "--set", "train.max_steps=6"]);
    assert_eq!(fs::read(place.path("two/model.safetensors")).unwrap(), third);
    let summary: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(place.path("runs/seeds.json")).unwrap()).unwrap();
    assert!(summary["knn"]["mean"].is_f64() && summary["hardness"]["deviation"].is_f64(), "{summary}");
    let names = ["knn_k", "knn_temperature", "proxy_negatives", "layer"];
    let absent = |name: &&str| summary.get(*name).is_none() && !table.contains(&format!("{name}, mean of"));
    assert!(names.iter().all(absent), "{summary}");
    let alone = ["train", "photos.toml", "--out", "one", "--seeds", "2..2", "--set", "train.max_steps=6"];
    let table = place.succeed(&alone);
    assert!(table.contains("knn, mean of 1 seed ") && !table.contains(" seeds"), "{table}");
    for wrong in ["4..0", "1", "a..b", "9223372036854775807..9223372036854775808"] {
        let ended = place.run(&["train", "photos.toml", "--seeds", wrong]);
        assert_eq!(ended.status, Some(2), "{}", ended.error);
    }
}

#[test]
fn runs_of_another_recipe_are_not_taken_for_those_of_the_seeds() {
    let place = Place::new();
    let seeds = |others: &[&str]| {
        let own = ["train", "photos.toml", "--out", "runs", "--seeds", "0..1", "--set", "train.max_steps=6"];
        place.run(&[&own[..], others].concat())
    };
    assert_eq!(seeds(&[]).status, Some(0));
    let summary = fs::read(place.path("runs/seeds.json")).unwrap();
    fs::remove_dir_all(place.path("runs/seed-0")).unwrap();
    for other in ["loss.temperature=0.3", "sampler.batch_size=10", "evaluate.knn_k=3"] {
        let ended = seeds(&["--set", other]);
        assert_eq!(ended.status, Some(2), "{other}: {}", ended.error);
        let said = Path::new("runs").join("seed-1");
        assert!(
            ended.error.contains(&format!("{} is a run of another recipe", said.display())),
            "{other}: {}",
            ended.error
        );
        // It is refused before anything is trained.
        assert!(!place.path("runs/seed-0").exists());
    }
    // Where and how fast it runs is the same recipe still.
    assert_eq!(seeds(&["--set", "train.loader_threads=1"]).status, Some(0));
    assert_eq!(fs::read(place.path("runs/seeds.json")).unwrap(), summary);
    let within = place.run(&["train", "photos.toml", "--out", "runs/seed-0", "--seeds", "0..1"]);
    assert!(within.status == Some(2) && within.error.contains("holds a run itself"), "{}", within.error);
}

#[test]
fn weights_that_do_not_fit_leave_no_run_behind() {
    let place = Place::new();
    place.succeed(&["train", "photos.toml", "--out", "run", "--set", "train.max_steps=6"]);
    place.succeed(&["export", "run", "start.safetensors"]);
    let weights = ["--set", "encoder.weights=start.safetensors"];
    let checked = place.run(&[&["train", "photos.toml", "--check"], &weights[..]].concat());
    assert_eq!(checked.status, Some(0), "{}", checked.error);
    assert!(checked.error.contains("encoder.weights: took ") && checked.out.contains("minutes, without"));
    for (setting, name) in [("encoder.kind=resnet18", "other"), ("encoder.weights=none.safetensors", "none")]
    {
        let setting = ["--out", name, "--set", setting];
        let ended = place.run(&[&["train", "photos.toml"], &weights[..], &setting].concat());
        assert!(ended.status.is_some_and(|status| status > 0), "{}", ended.error);
        assert!(!place.path(name).exists(), "{name}: {}", ended.error);
    }
}

#[test]
fn an_encoder_starts_from_an_export_and_freezes_what_is_named() {
    let place = Place::new();
    place.succeed(&["train", "photos.toml", "--out", "run", "--set", "train.max_steps=6"]);
    place.succeed(&["export", "run", "start.safetensors"]);
    let other = [
        "train",
        "photos.toml",
        "--set",
        "seed=9",
        "--set",
        "encoder.weights=start.safetensors",
        "--set",
        "train.max_steps=6",
    ];
    let ended = place.run(&[&other[..], &["--set", "train.freeze=[\"nothing\"]"]].concat());
    assert!(ended.status == Some(2) && ended.error.contains("train.freeze"), "{}", ended.error);
    let frozen = ["--out", "other", "--set", "train.freeze=[\"conv1\", \"layer1\"]"];
    let ended = place.run(&[&other[..], &frozen].concat());
    assert_eq!(ended.status, Some(0), "{}", ended.error);
    assert!(ended.error.contains("encoder.weights: took "), "{}", ended.error);
    place.succeed(&["export", "other", "end.safetensors"]);
    let [start, end] = ["start.safetensors", "end.safetensors"]
        .map(|name| lookalike_base::tensors::read(place.path(name)).unwrap().tensors);
    let mut counts = [0, 0];
    for (name, values) in &start {
        // BatchNorm's running statistics follow the batches, frozen or not.
        if name.contains("running") || name.contains("num_batches") {
            continue;
        }
        let frozen = name.starts_with("conv1.") || name.starts_with("layer1.");
        assert_eq!(*values == end[name], frozen, "{name}");
        counts[usize::from(frozen)] += 1;
    }
    assert!(counts.iter().all(|count| *count > 3), "{counts:?}");
    fs::write(place.path("model.pth"), b"PK\x03\x04").unwrap();
    let ended = place.run(&["train", "photos.toml", "--out", "pth", "--set", "encoder.weights=model.pth"]);
    assert_eq!(ended.status, Some(2), "{}", ended.error);
    assert!(ended.error.contains("torch.load") && ended.error.contains("save_file"), "{}", ended.error);
}

#[test]
fn a_run_does_not_go_on_at_another_precision() {
    let place = Place::new();
    let bf16 = ["--set", "train.precision=bf16"];
    let ended = place.run(&[&["train", "photos.toml", "--out", "rounded"], &bf16[..]].concat());
    if ended.status == Some(0) {
        // Evaluation is in f32, and runs on any machine.
        place.succeed(&["evaluate", "rounded", "--no-probe"]);
        let recipe = fs::read_to_string(place.path("rounded/recipe.toml")).unwrap();
        assert!(recipe.contains("precision = \"bf16\""), "{recipe}");
    } else {
        assert!(ended.error.contains("no instructions that multiply bf16"), "{}", ended.error);
    }
    place.succeed(&["train", "photos.toml", "--out", "run", "--set", "train.max_steps=6"]);
    let further = ["train", "--resume", "run", "--set", "train.max_steps=8"];
    let ended = place.run(&[&further[..], &bf16[..]].concat());
    assert!([Some(1), Some(2)].contains(&ended.status), "{}", ended.error);
    assert!(ended.error.contains("bf16") || ended.error.contains("another recipe"), "{}", ended.error);
    place.succeed(&further);
}

#[test]
fn a_run_that_goes_on_further_keeps_its_new_settings_and_no_old_results() {
    let place = Place::new();
    place.succeed(&["train", "photos.toml", "--out", "run", "--set", "train.max_steps=6"]);
    place.succeed(&["export", "run", "early.safetensors"]);
    place.succeed(&["train", "--resume", "run", "--set", "train.max_steps=8"]);
    assert!(place.succeed(&["train", "--resume", "run"]).contains("all its 8 steps"));
    place.succeed(&["export", "run", "late.safetensors"]);
    let [early, late] =
        ["early.safetensors", "late.safetensors"].map(|name| fs::read(place.path(name)).unwrap());
    assert_ne!(early, late);

    // Killed after the last checkpoint and before the results: another evaluation does not make up for them.
    fs::remove_file(place.path("run/model.safetensors")).unwrap();
    place.succeed(&["evaluate", "run", "--no-probe"]);
    assert!(!place.succeed(&["train", "--resume", "run"]).contains("nothing is left"));
    place.succeed(&["export", "run", "again.safetensors"]);
    assert_eq!(fs::read(place.path("again.safetensors")).unwrap(), late);
}

#[test]
fn a_run_does_not_go_on_with_other_images_under_the_same_name() {
    let place = Place::new();
    place.succeed(&["train", "photos.toml", "--out", "run", "--set", "train.max_steps=6"]);
    let further = ["train", "--resume", "run", "--set", "train.max_steps=8"];
    // As many images under the same names, one of them another.
    let image = place.path("photos/dark/00.png");
    let kept = fs::read(&image).unwrap();
    image::RgbImage::from_fn(40, 40, |x, y| image::Rgb([x as u8, y as u8, 0])).save(&image).unwrap();
    let ended = place.run(&further);
    assert!(
        ended.status == Some(2) && ended.error.contains("the data are not those of the run"),
        "{:?} {}",
        ended.status,
        ended.error
    );
    // The same images elsewhere are the same.
    fs::write(&image, kept).unwrap();
    fs::rename(place.path("photos"), place.path("moved")).unwrap();
    place.succeed(&[&further[..], &["--data-root", "moved"]].concat());
}

#[test]
fn a_run_can_be_used_from_another_folder_than_it_was_started_in() {
    let place = Place::new();
    place.succeed(&["train", "photos.toml", "--out", "run", "--set", "train.max_steps=6"]);
    let run = place.path("run");
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = place.command(&["evaluate", run.to_str().unwrap(), "--no-probe", "--json"]);
    let ended = ended(command.current_dir(elsewhere.path()).output().unwrap());
    assert_eq!(ended.status, Some(0), "{}", ended.error);
    assert!(ended.out.contains("\"knn\""), "{}", ended.out);
}

#[test]
fn a_run_on_graphs_finds_them_from_another_folder_and_embeds_no_labels_that_it_has_not_seen() {
    let place = Place::new();
    // Triangles and paths of three nodes in turn, of which the last node has another label.
    let write = |set: &str, last: &str| {
        let folder = place.path(set);
        fs::create_dir_all(&folder).unwrap();
        let [mut edges, mut indicator, mut classes, mut labels] = [(); 4].map(|()| String::new());
        for graph in 0..24 {
            let [a, b, c] = [1, 2, 3].map(|node| 3 * graph + node);
            let closing = if graph % 2 == 0 { format!("{a}, {c}\n") } else { String::new() };
            edges = format!("{edges}{a}, {b}\n{b}, {c}\n{closing}");
            indicator = format!("{indicator}{0}\n{0}\n{0}\n", graph + 1);
            classes = format!("{classes}{}\n", graph % 2);
            labels = format!("{labels}0\n0\n{last}\n");
        }
        for (end, text) in [
            ("A", &edges),
            ("graph_indicator", &indicator),
            ("graph_labels", &classes),
            ("node_labels", &labels),
        ] {
            fs::write(folder.join(format!("{set}_{end}.txt")), text).unwrap();
        }
    };
    write("toys", "1");
    write("others", "5");
    fs::write(
        place.path("toys.toml"),
        "[data]\nname = \"toys/\"\n[encoder]\nkind = \"gin\"\n[method]\nkind = \"graphcl\"\n[optimizer]\nkind = \"adam\"\n\
         weight_decay = 0.0\n[sampler]\nkind = \"uniform\"\nbatch_size = 8\n[train]\nepochs = 2\nwarmup_epochs = 0.0\n",
    )
    .unwrap();
    place.succeed(&["train", "toys.toml", "--out", "run"]);
    let run = place.path("run");
    let elsewhere = tempfile::tempdir().unwrap();
    let from_elsewhere =
        |arguments: &[&str]| ended(place.command(arguments).current_dir(elsewhere.path()).output().unwrap());
    let evaluated = from_elsewhere(&["evaluate", run.to_str().unwrap(), "--beside", "nothing", "--json"]);
    assert!(evaluated.status == Some(0) && evaluated.out.contains("\"svm\""), "{}", evaluated.error);
    // A path that is not below the root is one from here.
    let empty = elsewhere.path().to_str().unwrap();
    place.succeed(&[
        "train",
        "toys.toml",
        "--data-root",
        empty,
        "--out",
        "again",
        "--set",
        "train.max_steps=2",
    ]);
    let resumed = from_elsewhere(&["train", "--resume", place.path("again").to_str().unwrap()]);
    assert!(resumed.status == Some(0) && resumed.out.contains("nothing is left"), "{}", resumed.error);
    place.succeed(&["embed", "run", "--out", "toys.npy"]);
    assert_eq!(place.shape("toys.npy"), (24, 96));
    let ended = place.run(&["embed", "run", "--data", "others/", "--out", "others.npy"]);
    assert_eq!(ended.status, Some(2), "{}", ended.error);
    assert!(
        ended.error.contains("others has nodes labelled 5, but none of the 2 columns is for that label"),
        "{}",
        ended.error
    );
}

#[test]
fn mistakes_in_recipe_and_device_end_with_2_and_leave_the_folder_free() {
    let place = Place::new();
    for (setting, said) in [
        ("train.epocs=3", "did you mean `epochs`?"),
        ("sampler.batch_size=41", "sampler"),
        ("sampler.neighbors=30", "neighbors"),
        ("train.accumulate=1000", "train.accumulate"),
        ("train.max_steps=5", "before batches of look-alikes"),
        ("method.shuffle=false", "is not read"),
        ("train.device=cuda:0", "cuda"),
        ("optimizer.epsilon=inf", "optimizer.epsilon"),
    ] {
        let ended = place.run(&["train", "photos.toml", "--out", "run", "--set", setting]);
        assert_eq!(ended.status, Some(2), "{setting}: {}", ended.error);
        assert!(ended.error.contains(said), "{setting}: {}", ended.error);
    }
    place.succeed(&["train", "photos.toml", "--out", "run", "--set", "train.max_steps=6"]);
    let ended = place.run(&["train", "photos.toml", "--out", "run"]);
    assert!(ended.status == Some(2) && ended.error.contains("--resume run"), "{}", ended.error);
    assert_eq!(place.run(&["evaluate", "photos"]).status, Some(2));
}

#[test]
fn a_mistake_in_the_file_is_shown_with_its_line_whatever_is_set() {
    let place = Place::new();
    let text = fs::read_to_string(place.path("photos.toml")).unwrap();
    fs::write(place.path("wrong.toml"), text.replace("refresh_every", "refesh_every")).unwrap();
    for arguments in [&["train", "wrong.toml"][..], &["train", "wrong.toml", "--set", "seed=1"]] {
        let ended = place.run(arguments);
        assert_eq!(ended.status, Some(2));
        assert!(
            ended.error.contains("line 12") && ended.error.contains("`refresh_every`?"),
            "{}",
            ended.error
        );
    }
}

#[test]
fn images_without_classes_are_learned_and_their_scores_said_to_be_undefined() {
    let place = Place::new();
    let flat = place.path("flat");
    fs::create_dir(&flat).unwrap();
    for (class, index) in (0..IMAGES).map(|index| (["dark", "light"][index as usize % 2], index)) {
        let name = format!("{index:02}.png");
        fs::copy(place.path("photos").join(class).join(&name), flat.join(name)).unwrap();
    }
    let table = place.succeed(&[
        "train",
        "photos.toml",
        "--out",
        "run",
        "--set",
        "data.root=flat",
        "--set",
        "train.max_steps=6",
    ]);
    assert!(table.contains("after training") && table.contains("undefined: "), "{table}");
}

#[test]
#[cfg(unix)]
fn an_interrupt_saves_and_says_how_to_go_on() {
    let place = Place::new();
    let run = place.path("run");
    let mut child = place
        .command(&["train", "photos.toml", "--out", "run", "--set", "train.epochs=100000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait(&mut child, || has_checkpoint(&run));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let ended = ended(child.wait_with_output().unwrap());
    assert_eq!(ended.status, Some(130), "{}", ended.error);
    assert!(ended.error.contains("lookalike train --resume run"), "{}", ended.error);
    let events = fs::read_to_string(run.join("events.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
    assert_eq!(last["kind"], "checkpoint");
    let step = last["step"].as_u64().unwrap();
    let more = format!("train.max_steps={}", step + 2);
    let again = place.run(&["train", "--resume", "run", "--set", &more]);
    assert_eq!(again.status, Some(0), "{}", again.error);
    assert!(again.error.contains(&format!("going on from step {step}")), "{}", again.error);
}
