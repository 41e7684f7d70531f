//! Events, and their mirror in TensorBoard's file, read back record by record.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use lookalike_base::progress::Cancellation;
use lookalike_learn::train::TrainOptions;
use lookalike_sampling::{Coverage, SamplerKind};

use crate::common::{NoisyViews, events, options, perceptron, points, sampler, series, train};

const INSTANCES: usize = 40;

fn set(run: &Path) -> TrainOptions {
    let plan = sampler(SamplerKind::Walk, Coverage::Cover, 8);
    let labels = Some(points(INSTANCES, 4, 4).labels);
    TrainOptions { labels, ..options(run, INSTANCES, plan, 15) }
}

fn run(set: TrainOptions) {
    let source = Arc::new(NoisyViews(points(INSTANCES, 4, 4).values));
    train(perceptron(0.0), source, set, &Cancellation::new()).unwrap();
}

/// CRC-32C by a table, masked as `TFRecord` does.
fn masked_crc(bytes: &[u8]) -> u32 {
    let table: Vec<u32> = (0..256_u32)
        .map(|byte| (0..8).fold(byte, |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 }))
        .collect();
    let crc = !bytes.iter().fold(!0, |crc: u32, byte| table[(crc as u8 ^ byte) as usize] ^ crc >> 8);
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A protocol-buffer message as its fields: number, and the bytes of the value.
fn fields(mut message: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (byte, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let length = match key & 7 {
            0 => {
                found.push((key >> 3, varint(&mut message).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut message) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (value, rest) = message.split_at(length);
        found.push((key >> 3, value.to_vec()));
        message = rest;
    }
    found
}

/// The messages of a record file, both checksums of each verified.
fn records(path: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    let mut rest = &bytes[..];
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_at(8);
        let (length_crc, after) = after.split_at(4);
        let (message, after) = after.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
        let (message_crc, after) = after.split_at(4);
        assert_eq!(length_crc, masked_crc(length).to_le_bytes());
        assert_eq!(message_crc, masked_crc(message).to_le_bytes());
        messages.push(message.to_vec());
        rest = after;
    }
    messages
}

/// All scalars of a run's TensorBoard file: (step, value) by tag.
fn scalars(run: &Path) -> BTreeMap<String, Vec<(u64, f32)>> {
    let messages = records(&run.join("events.out.tfevents.lookalike"));
    assert_eq!(fields(&messages[0])[1], (3, b"brain.Event:2".to_vec()));
    let mut found: BTreeMap<String, Vec<(u64, f32)>> = BTreeMap::new();
    for message in &messages[1..] {
        let event: BTreeMap<u64, Vec<u8>> = fields(message).into_iter().collect();
        assert!(f64::from_le_bytes(event[&1][..].try_into().unwrap()) > 1.7e9, "seconds since 1970");
        let step = u64::from_le_bytes(event[&2][..].try_into().unwrap());
        for (_, value) in fields(&event[&5]) {
            let value: BTreeMap<u64, Vec<u8>> = fields(&value).into_iter().collect();
            let number = f32::from_le_bytes(value[&2][..].try_into().unwrap());
            found.entry(String::from_utf8(value[&1].clone()).unwrap()).or_default().push((step, number));
        }
    }
    found
}

fn loss(run: &Path) -> Vec<(u64, f32)> {
    let steps = series(run, "step", "step").into_iter().map(|step| step as u64);
    steps.zip(series(run, "step", "loss").into_iter().map(|loss| loss as f32)).collect()
}

#[test]
fn tensorboard_shows_every_number_of_the_events() {
    let folder = tempfile::tempdir().unwrap();
    run(set(folder.path()));
    let scalars = scalars(folder.path());
    assert_eq!(scalars["step/loss"], loss(folder.path()));
    assert_eq!(scalars["step/loss"].len(), 15);
    for tag in ["step/learning_rate", "step/instances_per_second", "step/loader_wait_share", "plan/batches"] {
        assert!(scalars.contains_key(tag), "{tag} is not among {:?}", scalars.keys());
    }
    assert_eq!(scalars["epoch/false_negative_rate"].len(), 3);
}

#[test]
fn tensorboard_shows_a_resumed_run_without_a_seam() {
    let folder = tempfile::tempdir().unwrap();
    run(TrainOptions { max_steps: Some(7), ..set(folder.path()) });
    run(set(folder.path()));
    let shown = scalars(folder.path())["step/loss"].clone();
    assert_eq!(shown, loss(folder.path()));
    assert!(shown.iter().map(|(step, _)| *step).eq(1..=15));
}

#[test]
fn an_epoch_tells_hardness_by_decile_and_false_negatives_beside_uniform_ones() {
    let folder = tempfile::tempdir().unwrap();
    run(set(folder.path()));
    let events = events(folder.path());
    let epochs: Vec<_> = events.iter().filter(|event| event["kind"] == "epoch").collect();
    assert_eq!(epochs.len(), 3);
    for epoch in epochs {
        assert_eq!(epoch["hardness_by_decile"].as_array().unwrap().len(), 10, "{epoch}");
        let uniform = epoch["false_negative_rate_uniform"].as_f64().unwrap();
        assert!((uniform - 9.0 / 39.0).abs() < 1e-9, "{uniform}");
        assert_eq!(epoch["sampler"]["finished"]["epoch"], epoch["epoch"]);
    }
}
