//! `lookalike bench`, as a user calls it.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    small_step().args(arguments).output().unwrap()
}

fn small_step() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lookalike"));
    command.args([
        "bench",
        "step",
        "--encoder",
        "small",
        "--image-size",
        "8",
        "--batch",
        "4",
        "--steps",
        "2",
    ]);
    command
}

#[test]
fn a_step_is_told_as_a_table_and_as_one_line_of_json() {
    for stem in ["cifar", "imagenet"] {
        let table = String::from_utf8(bench(&["--stem", stem]).stdout).unwrap();
        for row in ["images a second", "time in convolution", "time in normalisation", "peak memory"] {
            assert!(table.contains(row), "{table}");
        }
    }
    let text = String::from_utf8(bench(&["--json"]).stdout).unwrap();
    assert_eq!(text.lines().count(), 1);
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(line["images_per_second"].as_f64().unwrap() > 0.0, "{text}");
    assert_eq!(line["seconds"].as_array().unwrap().len(), 2);
    assert_eq!((&line["encoder"], &line["device"]), (&"small".into(), &"cpu".into()));
    // Convolutions stage by stage, their normalisations, and the layer of 128 outputs.
    let convolutions = 432 + 4608 + 4608 + 9216 + 512 + 18432 + 36864 + 2048;
    let normalizations = 2 * (16 * 3 + 32 * 3 + 64 * 3);
    assert_eq!(line["parameters"], convolutions + normalizations + 64 * 128 + 128);
}

#[test]
fn a_step_of_a_vision_transformer_is_told_by_its_own_parts() {
    let step = |more: &[&str]| {
        let arguments =
            ["bench", "step", "--encoder", "vit-tiny", "--image-size", "8", "--batch", "4", "--steps", "2"];
        Command::new(env!("CARGO_BIN_EXE_lookalike")).args(arguments).args(more).output().unwrap()
    };
    let table = String::from_utf8(step(&[]).stdout).unwrap();
    for row in ["images a second", "time in products", "time in attention", "time in GELU", "peak memory"] {
        assert!(table.contains(row), "{table}");
    }
    let text = String::from_utf8(step(&["--json"]).stdout).unwrap();
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&line["encoder"], line.get("stem")), (&"vit-tiny".into(), None));
    assert!(line["shares"]["attention"].as_f64().unwrap() > 0.0, "{text}");
    // Patches, class token and positions; blocks; the last normalisation, and the layer of 128 outputs.
    let tokens = 96 * 48 + 96 + 96 + 5 * 96;
    let block = 2 * 192 + 3 * 96 * 96 + 3 * 96 + 96 * 96 + 96 + 2 * 96 * 384 + 384 + 96;
    assert_eq!(line["parameters"], tokens + 6 * block + 192 + 96 * 128 + 128);
    let refused = step(&["--stem", "cifar"]);
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(
        refused.status.code() == Some(2) && error.contains("--stem goes with a residual network"),
        "{error}"
    );
}

#[test]
fn what_is_not_there_is_refused() {
    for (arguments, reason) in [
        (["--encoder", "resnet19"], "resnet18"),
        (["--encoder", "vit-huge"], "vit-small"),
        (["--precision", "f16"], "bf16"),
        (["--device", "tpu"], "cuda:0"),
        (["--batch", "0"], "--batch"),
    ] {
        let command = ["bench", "step", arguments[0], arguments[1]];
        let output = Command::new(env!("CARGO_BIN_EXE_lookalike")).args(command).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(reason), "{arguments:?}: {error}");
    }
}

/// What the allocator says of the delay, once for each time that the program begins.
#[cfg(unix)]
fn purge_delays(environment: &[(&str, &str)]) -> Vec<String> {
    let mut command = small_step();
    command.env_remove("MIMALLOC_PURGE_DELAY").env("MIMALLOC_VERBOSE", "1").envs(environment.iter().copied());
    let output = command.output().unwrap();
    assert!(output.status.success() && !output.stdout.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    let delays = text.lines().filter_map(|line| line.strip_prefix("option 'purge_delay': "));
    delays.map(|delay| delay.trim().to_owned()).collect()
}

#[cfg(unix)]
#[test]
fn freed_memory_is_kept_unless_the_environment_says_for_how_long() {
    assert_eq!(purge_delays(&[]).last().unwrap(), "-1");
    assert_eq!(purge_delays(&[("MIMALLOC_PURGE_DELAY", "7")]), ["7"]);
}

/// Of small sizes, where `arguments` do not name others.
fn graph(arguments: &[&str]) -> Output {
    let sizes = [("--rows", "700"), ("--dimension", "16"), ("--candidates", "100"), ("--neighbors", "9")];
    let mut command = Command::new(env!("CARGO_BIN_EXE_lookalike"));
    command.args(["bench", "graph"]);
    for (name, size) in sizes.into_iter().filter(|(name, _)| !arguments.contains(name)) {
        command.args([name, size]);
    }
    command.args(arguments).output().unwrap()
}

#[test]
fn a_graph_is_told_as_a_table_and_as_one_line_of_json() {
    for scoring in ["f32", "bf16"] {
        let table = String::from_utf8(graph(&["--rounds", "1", "--scoring", scoring]).stdout).unwrap();
        for row in ["seconds a graph", "share of that product's speed", "instructions", "peak memory"] {
            assert!(table.contains(row), "{table}");
        }
        let text = String::from_utf8(graph(&["--json", "--scoring", scoring]).stdout).unwrap();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((text.lines().count(), line["seconds"].as_array().unwrap().len()), (1, 3), "{text}");
        assert_eq!((&line["rows"], &line["scoring"]), (&700.into(), &scoring.into()));
        assert!(line["gflops"].as_f64().unwrap() > 0.0 && line["product_gflops"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn a_graph_that_cannot_be_is_refused() {
    for (arguments, message) in [
        (&["--candidates", "700"][..], "--candidates is at most 699"),
        (&["--neighbors", "101"], "--neighbors at most --candidates"),
        (&["--rounds", "0"], "--rounds at least 1"),
        (&["--rows", "1"], "--rows is at least 2"),
        (&["--rows", "18446744073709551615", "--dimension", "3"], "are more than 64 GiB"),
    ] {
        let Output { status, stderr, .. } = graph(arguments);
        assert_eq!(status.code(), Some(2));
        let stderr = String::from_utf8(stderr).unwrap();
        assert!(stderr.contains(message), "{stderr}");
    }
}

#[test]
fn a_variable_holds_the_processor_to_fewer_instructions() {
    let with = |isa: &str, arguments: &[&str]| {
        small_step().args(arguments).env("LOOKALIKE_ISA", isa).output().unwrap()
    };
    let run = |isa: &str| {
        let output = with(isa, &["--json"]);
        assert!(output.status.success(), "{isa}: {}", String::from_utf8_lossy(&output.stderr));
        let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        line["instructions"].as_str().unwrap().to_owned()
    };
    assert_eq!(run("portable"), "portable");
    let unknown = with("sse9", &[]);
    assert_eq!(unknown.status.code(), Some(2));
    let message = String::from_utf8(unknown.stderr).unwrap();
    assert!(
        message.contains("LOOKALIKE_ISA is \"sse9\": this processor can be held to portable"),
        "{message}"
    );
    // Whatever is named there can be asked for, and is what ran, as far as f32 has a use for it.
    let names = message.trim().rsplit("held to ").next().unwrap().to_owned();
    for isa in names.split(", ") {
        let expected = if isa == "avx512-bf16" || isa == "amx" { "avx512" } else { isa };
        assert_eq!(run(isa), expected);
    }
    for isa in names.split(", ").filter(|isa| ["avx512-bf16", "amx"].contains(isa)) {
        let output = with(isa, &["--precision", "bf16", "--json"]);
        let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(line["instructions"], isa);
    }
    for isa in names.split(", ") {
        let sizes = [
            "bench",
            "graph",
            "--rows",
            "300",
            "--candidates",
            "50",
            "--neighbors",
            "5",
            "--scoring",
            "bf16",
        ];
        let mut graph = Command::new(env!("CARGO_BIN_EXE_lookalike"));
        let output = graph.args(sizes).arg("--json").env("LOOKALIKE_ISA", isa).output().unwrap();
        let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(line["instructions"], isa);
    }
    // Without instructions for bfloat16 there is no step in it.
    let refused = with("portable", &["--precision", "bf16"]);
    assert!(!refused.status.success());
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(message.contains("bf16"), "{message}");
}
