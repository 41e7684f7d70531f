//! Data and helpers that several tests share.

#![allow(dead_code, reason = "each test program uses some of them")]
#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::sync::atomic::{AtomicU64, Ordering};

use lookalike_base::{Matrix, Progress, Seed, Stream};
use lookalike_sampling::{ProximityGraph, Sampler};

/// Counts what work says of its progress.
#[derive(Default)]
pub(crate) struct Counted(pub(crate) AtomicU64);

impl Progress for Counted {
    fn advance(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn set_position(&self, n: u64) {
        self.0.fetch_max(n, Ordering::Relaxed);
    }

    fn message(&self, _: &str) {}

    fn note(&self, _: &str) {}

    fn finish(&self) {}
}

impl Counted {
    /// The steps that were counted as done.
    pub(crate) fn done(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// `instances` points around `clusters` centres; instance i belongs to cluster i mod `clusters`.
pub(crate) fn clustered(instances: usize, clusters: usize, columns: usize, seed: u64) -> Matrix {
    let normals = |stream: &mut Stream| (0..columns).map(|_| stream.normal()).collect::<Vec<f32>>();
    let mut stream = Seed(seed).stream("centres", 0, 0, 0);
    let centres: Vec<Vec<f32>> = (0..clusters).map(|_| normals(&mut stream)).collect();
    let mut stream = Seed(seed).stream("points", 0, 0, 0);
    let values = (0..instances).flat_map(|instance| {
        let noise = normals(&mut stream);
        let centre = centres[instance % clusters].iter();
        centre.zip(noise).map(|(centre, noise)| centre + 0.5 * noise).collect::<Vec<f32>>()
    });
    Matrix::new(values.collect(), columns).unwrap()
}

/// A graph in which each instance has between 0 and `most` distinct random neighbours.
pub(crate) fn random_graph(instances: usize, most: u32, seed: u64) -> ProximityGraph {
    let mut stream = Seed(seed).stream("graph", 0, 0, 0);
    let lists: Vec<Vec<u32>> = (0..instances as u32)
        .map(|own| {
            let degree = stream.below(most + 1).min(instances as u32 - 1);
            let others = stream.distinct(degree, instances as u32 - 1);
            others.into_iter().map(|other| other + u32::from(other >= own)).collect()
        })
        .collect();
    graph_of(&lists)
}

/// The graph with these neighbours.
pub(crate) fn graph_of(lists: &[Vec<u32>]) -> ProximityGraph {
    let degrees: Vec<u32> = lists.iter().map(|list| list.len() as u32).collect();
    let neighbors = lists.concat();
    let similarities = vec![0.5; neighbors.len()];
    ProximityGraph::from_edges(&degrees, neighbors, similarities).unwrap()
}

/// Does `work` in a pool of `threads`.
pub(crate) fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

/// The members in ascending order, each as often as it comes.
pub(crate) fn sorted(members: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let mut members: Vec<u32> = members.into_iter().collect();
    members.sort_unstable();
    members
}

/// Whether nobody comes twice.
pub(crate) fn are_distinct(members: &[u32]) -> bool {
    sorted(members.iter().copied()).windows(2).all(|pair| pair[0] != pair[1])
}

/// Embeddings as training at `step` would produce them: the same for the same step, others for another.
pub(crate) fn embeddings(instances: &[u32], step: u64) -> Matrix {
    let values = instances.iter().flat_map(|instance| {
        let mut stream = Seed(5).stream("embedding", 0, step, u64::from(*instance));
        let cluster = *instance % 5;
        (0..6).map(move |column| stream.normal() * 0.3 + if column == cluster { 1.0 } else { 0.0 })
    });
    Matrix::new(values.collect(), 6).unwrap()
}

/// Consumes `steps` batches as a trainer does, and returns them.
pub(crate) fn train(sampler: &mut Sampler, steps: u64) -> Vec<Vec<u32>> {
    let end = sampler.steps() + steps;
    let mut consumed = Vec::new();
    while sampler.steps() < end {
        let segment = sampler.next_segment().unwrap();
        assert!(!segment.batches.is_empty());
        for batch in segment.batches {
            if sampler.steps() == end {
                break;
            }
            let step = sampler.steps();
            sampler.record(&batch, embeddings(&batch, step).rows(), step).unwrap();
            sampler.advance().unwrap();
            consumed.push(batch);
        }
    }
    consumed
}
