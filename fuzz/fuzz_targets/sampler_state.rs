//! The sampler's part of a checkpoint, its small state as JSON and its arrays as safetensors: whatever they say, a sampler is restored or
//! refused, and one that is restored plans batches or says why not. Nothing may panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lookalike_base::{Arrays, Seed, tensors};
use lookalike_fuzz::{files, with_file};
use lookalike_sampling::{ProximityGraph, Sampler, SamplerState};

/// Instances at most: what a run of many costs is no matter of what its checkpoint says.
const MOST: usize = 256;

/// The fingerprint of the graph in the arrays, so that a changed graph is not refused for that alone.
fn fingerprint(arrays: &Arrays, instances: usize) -> Option<u64> {
    let Some(neighbors) = arrays.get("graph.neighbors") else {
        return Some(ProximityGraph::empty(instances).fingerprint());
    };
    let (degrees, similarities) = (arrays.get("graph.degrees")?, arrays.get("graph.similarities")?);
    let edges = (degrees.as_u32()?, neighbors.as_u32()?.to_vec(), similarities.as_f32()?.to_vec());
    Some(ProximityGraph::from_edges(edges.0, edges.1, edges.2).ok()?.fingerprint())
}

fn check(mut state: SamplerState, arrays: &Arrays) {
    if state.instances > MOST || state.options.batch_size > MOST {
        return;
    }
    if let Some(found) = fingerprint(arrays, state.instances) {
        state.fingerprint = found;
    }
    let (options, seed) = (state.options.clone(), Seed(state.seed));
    let Ok((mut sampler, _)) = Sampler::restore(state.instances, options, seed, &state, arrays) else {
        return;
    };
    for _ in 0..3 {
        let Ok(segment) = sampler.next_segment() else { return };
        assert!(segment.batches.iter().flatten().all(|member| (*member as usize) < state.instances));
        if sampler.advance().is_err() {
            return;
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let [Some(state), Some(arrays)] = files(bytes) else { return };
    let Ok(state) = serde_json::from_slice(state) else { return };
    with_file("state.safetensors", arrays, |path| {
        if let Ok(file) = tensors::read(path) {
            check(state, &file.tensors);
        }
    });
});
