use super::*;
use lookalike_base::Seed;
use lookalike_base::arrays::Arrays;
use lookalike_base::tensors;
use lookalike_base::{Cancellation, Progress, Watch};
use std::sync::atomic::{AtomicU64, Ordering};

fn diffused(edges: &Csr, options: &DiffusionOptions) -> Result<Diffused, DataError> {
    diffuse(edges, options, Watch::default())
}

const NODES: usize = 14;

/// A graph and its diffusions by NumPy and `SciPy`; `tests/fixtures/diffusion.py` made them.
fn fixture() -> (Csr, Arrays) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/diffusion.safetensors");
    let arrays = tensors::read(path).unwrap().tensors;
    let mut rows = vec![Vec::new(); NODES];
    for edge in arrays["edges"].as_u32().unwrap().chunks(2) {
        rows[edge[0] as usize].push((edge[1], 1.0));
    }
    (Csr::from_rows(rows, NODES).unwrap().without_values(), arrays)
}

fn options(kind: Diffusion) -> DiffusionOptions {
    DiffusionOptions { kind, epsilon: 0.0, variant: Variant::Paper }
}

const PPR: Diffusion = Diffusion::Ppr { alpha: 0.2 };
const HEAT: Diffusion = Diffusion::Heat { time: 5.0 };

fn assert_is(found: &Csr, expected: &[f32], tolerance: f32) {
    let mut dense = vec![0.0; found.len() * found.width()];
    for row in 0..found.len() {
        found
            .row_entries(row)
            .for_each(|(column, value)| dense[row * found.width() + column as usize] = value);
    }
    for (at, (found, expected)) in dense.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() < tolerance, "{at}: {found} is not {expected}");
    }
}

#[test]
fn small_graphs_diffuse_as_in_numpy_and_scipy() {
    let (edges, arrays) = fixture();
    for (kind, name) in [(PPR, "ppr"), (HEAT, "heat")] {
        let found = diffused(&edges, &options(kind)).unwrap();
        assert_is(&found.matrix, arrays[name].as_f32().unwrap(), 1e-6);
        assert!(found.max_lost < 1e-9, "{found:?}");
    }
    let published = DiffusionOptions { variant: Variant::Original, ..options(HEAT) };
    let found = diffused(&edges, &published).unwrap();
    assert_is(&found.matrix, arrays["published_heat"].as_f32().unwrap(), 1e-6);
    let found = crate::graph::normalized(&edges).unwrap();
    assert_is(&found, arrays["normalized"].as_f32().unwrap(), 1e-6);
}

#[test]
fn the_series_of_a_large_graph_is_what_a_small_one_s_solution_is() {
    let (edges, arrays) = fixture();
    let degrees: Vec<f64> = (0..NODES).map(|node| edges.row(node).len() as f64 + 1.0).collect();
    for (kind, name) in [(PPR, "ppr"), (HEAT, "heat")] {
        let rows = series::truncated(&edges, &degrees, &options(kind), Watch::default()).unwrap();
        assert!(rows.iter().all(|row| row.lost < 1.1e-9));
        let found = Csr::from_rows(rows.into_iter().map(|row| row.entries), NODES).unwrap();
        assert_is(&found, arrays[name].as_f32().unwrap(), 1e-6);
    }
}

#[test]
fn entries_below_epsilon_are_left_out_and_their_mass_is_stated() {
    let (edges, _) = fixture();
    let degrees: Vec<f64> = (0..NODES).map(|node| edges.row(node).len() as f64 + 1.0).collect();
    for kind in [PPR, HEAT] {
        let all = diffused(&edges, &options(kind)).unwrap();
        let some = DiffusionOptions { epsilon: 0.02, ..options(kind) };
        let found = diffused(&edges, &some).unwrap();
        assert!(found.matrix.entries() < all.matrix.entries());
        let mut total = 0.0;
        for row in 0..NODES {
            let kept: Vec<(u32, f32)> =
                all.matrix.row_entries(row).filter(|(_, value)| *value >= 0.02).collect();
            assert_eq!(found.matrix.row_entries(row).collect::<Vec<_>>(), kept);
            let walked = |(column, value): (u32, f32)| {
                f64::from(value) * (degrees[column as usize] / degrees[row]).sqrt()
            };
            total += 1.0 - kept.into_iter().map(walked).sum::<f64>();
        }
        assert!(
            (found.lost - total / NODES as f64).abs() < 1e-6 && found.max_lost >= found.lost,
            "{found:?}"
        );
    }
}

/// A tree of so many nodes, the parent of each drawn among those before.
fn tree(nodes: u32) -> Csr {
    let mut stream = Seed(1).stream("test", 0, 0, 0);
    let mut rows = vec![Vec::new(); nodes as usize];
    for node in 1..nodes {
        let parent = stream.below(node);
        rows[node as usize].push((parent, 1.0));
        rows[parent as usize].push((node, 1.0));
    }
    Csr::from_rows(rows, nodes as usize).unwrap().without_values()
}

#[test]
fn above_the_limit_a_series_goes_on_where_the_solution_ended() {
    let large = tree(EXACT_NODES as u32 + 20);
    for kind in [PPR, HEAT] {
        let found = diffused(&large, &DiffusionOptions { epsilon: 1e-4, ..options(kind) }).unwrap();
        assert!(found.lost > 0.0 && found.max_lost < 0.5, "{} {}", found.lost, found.max_lost);
        assert!(found.matrix.entries() < large.len() * large.len() / 2);
    }
    let published = DiffusionOptions { variant: Variant::Original, ..options(HEAT) };
    let message = diffused(&large, &published).unwrap_err().to_string();
    assert!(message.contains("at most 1000 nodes; the graph has 1020"), "{message}");
}

#[test]
fn graphs_without_edges_or_nodes_keep_all_mass_where_it_is() {
    let lonely = Csr::new(vec![0, 0, 0], vec![], None, 2).unwrap();
    let found = diffused(&lonely, &options(PPR)).unwrap();
    assert_is(&found.matrix, &[1.0, 0.0, 0.0, 1.0], 1e-6);
    let nothing = Csr::new(vec![0], vec![], None, 0).unwrap();
    assert_eq!(diffused(&nothing, &options(HEAT)).unwrap().matrix.len(), 0);
}

#[test]
fn impossible_numbers_are_refused() {
    let (edges, _) = fixture();
    let message = |options: DiffusionOptions| diffused(&edges, &options).unwrap_err().to_string();
    for alpha in [0.0, 1.0, f64::NAN] {
        assert!(message(options(Diffusion::Ppr { alpha })).starts_with("graphs.diffusion.alpha: "));
    }
    assert!(
        message(options(Diffusion::Heat { time: -1.0 }))
            .starts_with("graphs.diffusion.time: -1 should be above 0")
    );
    assert!(
        message(DiffusionOptions { epsilon: 1.0, ..options(PPR) }).starts_with("graphs.diffusion.epsilon: ")
    );
    let oblong = Csr::new(vec![0, 1], vec![2], None, 3).unwrap();
    assert!(diffused(&oblong, &options(PPR)).unwrap_err().to_string().contains("must be square"));
}

/// A graph of one node that all others are tied to, and to nothing else.
fn star(leaves: u32) -> Csr {
    let rows = (0..=leaves).map(|node| if node == 0 { (1..=leaves).collect() } else { vec![0] });
    let rows = rows.map(|row: Vec<u32>| row.into_iter().map(|to| (to, 1.0)));
    Csr::from_rows(rows, leaves as usize + 1).unwrap().without_values()
}

/// Asks the work to stop as soon as it has counted a step.
struct StopsAtOnce(Cancellation, AtomicU64);

impl Progress for StopsAtOnce {
    fn advance(&self, n: u64) {
        self.1.fetch_add(n, Ordering::Relaxed);
        self.0.cancel();
    }
    fn set_position(&self, _: u64) {}
    fn message(&self, _: &str) {}
    fn note(&self, _: &str) {}
    fn finish(&self) {}
}

#[test]
fn a_stop_is_heard_within_a_large_graph_whose_progress_counts_nodes() {
    let large = star(EXACT_NODES as u32 + 500);
    for kind in [PPR, HEAT] {
        let cancellation = Cancellation::new();
        let progress = StopsAtOnce(cancellation.clone(), AtomicU64::new(0));
        let watch = Watch { progress: &progress, cancellation: &cancellation };
        let stopped = diffuse(&large, &options(kind), watch).unwrap_err();
        assert!(matches!(stopped, DataError::Stopped), "{stopped}");
        // Rows that were under way in other threads may end.
        let counted = progress.1.load(Ordering::Relaxed);
        assert!((1..=rayon::current_num_threads() as u64).contains(&counted), "{counted} nodes");
    }
    let cancellation = Cancellation::new();
    cancellation.cancel();
    let stopped = diffuse(&star(3), &options(PPR), Watch::silent(&cancellation));
    assert!(matches!(stopped, Err(DataError::Stopped)));
}
