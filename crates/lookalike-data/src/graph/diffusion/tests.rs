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
    DiffusionOptions { kind, epsilon: 0.0, ..DiffusionOptions::default() }
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

/// Checks that no entry of the approximation is above the exact one by more than rounding, or below it by more than ε √min(dᵢ, dⱼ) and the
/// ε below which entries are left out. Returns the greatest share of that bound that was needed.
fn assert_near(edges: &Csr, alpha: f64, epsilon: f64) -> f64 {
    let kind = Diffusion::Ppr { alpha };
    let exact =
        diffused(edges, &DiffusionOptions { solution: Solution::Exact, ..options(kind) }).unwrap().matrix;
    let approximate = DiffusionOptions { epsilon, solution: Solution::Approximate, ..options(kind) };
    let found = diffused(edges, &approximate).unwrap();
    let mut most = 0.0_f64;
    for row in 0..edges.len() {
        let mut missing = vec![0.0_f64; edges.len()];
        exact.row_entries(row).for_each(|(to, value)| missing[to as usize] += f64::from(value));
        for (to, value) in found.matrix.row_entries(row) {
            assert!(f64::from(value) >= epsilon, "({row}, {to}) is {value}");
            missing[to as usize] -= f64::from(value);
        }
        for (to, missing) in missing.into_iter().enumerate() {
            let degree = edges.row(row).len().min(edges.row(to).len()) as f64 + 1.0;
            let bound = epsilon * degree.sqrt() + epsilon;
            assert!((-1e-6..bound + 1e-6).contains(&missing), "({row}, {to}): {missing} of {bound}");
            most = most.max(missing / bound);
        }
    }
    assert_eq!(found.matrix, found.matrix.transpose(), "S is symmetric");
    assert!(found.lost > 0.0 && found.lost <= found.max_lost && found.max_lost < 1.0, "{found:?}");
    most
}

#[test]
fn pushing_keeps_its_bound_on_graphs_of_every_shape() {
    let (edges, _) = fixture();
    for (edges, what) in [(&edges, "small"), (&tree(300), "tree"), (&star(200), "star")] {
        for alpha in [0.05, 0.2, 0.9] {
            for epsilon in [1e-2, 1e-3] {
                let share = assert_near(edges, alpha, epsilon);
                // A bound that nothing comes near to would say little.
                assert!(share > 0.05 || alpha > 0.5, "{what}, {alpha}, {epsilon}: {share}");
            }
        }
    }
}

/// A small ε leaves nothing out: the approximation is the solution.
#[test]
fn pushing_with_a_small_error_ends_at_the_solution() {
    let (edges, arrays) = fixture();
    let options = DiffusionOptions { epsilon: 1e-9, solution: Solution::Approximate, ..options(PPR) };
    let found = diffused(&edges, &options).unwrap();
    assert_is(&found.matrix, arrays["ppr"].as_f32().unwrap(), 1e-6);
    assert!(found.max_lost < 1e-6, "{}", found.max_lost);
    let lonely = Csr::new(vec![0, 0, 0], vec![], None, 2).unwrap();
    assert_is(&diffused(&lonely, &options).unwrap().matrix, &[1.0, 0.0, 0.0, 1.0], 1e-9);
}

#[test]
fn pushing_gives_the_same_bits_with_any_number_of_threads() {
    let edges = tree(2_000);
    let options = DiffusionOptions { epsilon: 1e-3, solution: Solution::Approximate, ..options(PPR) };
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| diffused(&edges, &options).unwrap())
    };
    let one = with(1);
    assert!(one.matrix.entries() > 10_000, "{}", one.matrix.entries());
    assert_eq!(with(3), one);
}

#[test]
fn large_graphs_are_approximated_unless_the_recipe_says_otherwise() {
    let way =
        |solution, kind, epsilon, nodes| DiffusionOptions { epsilon, solution, ..options(kind) }.way(nodes);
    for (nodes, expected) in [(1_000, Way::Dense), (10_000, Way::Series), (10_001, Way::Push)] {
        assert_eq!(way(Solution::Auto, PPR, 1e-4, nodes), expected);
        assert_eq!(way(Solution::Approximate, PPR, 1e-4, nodes), Way::Push);
        assert_ne!(way(Solution::Exact, PPR, 1e-4, nodes), Way::Push);
        assert_ne!(way(Solution::Auto, HEAT, 1e-4, nodes), Way::Push);
        assert_ne!(way(Solution::Auto, PPR, 0.0, nodes), Way::Push);
    }
    let (edges, _) = fixture();
    for (kind, epsilon, wanted) in [(HEAT, 1e-4, "is for PageRank"), (PPR, 0.0, "an error that is allowed")] {
        let options = DiffusionOptions { solution: Solution::Approximate, epsilon, ..options(kind) };
        let message = diffused(&edges, &options).unwrap_err().to_string();
        assert!(message.starts_with("graphs.diffusion.solution: \"approximate\" "), "{message}");
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn a_stop_is_heard_while_pushing_within_one_row() {
    let edges = star(50_000);
    let degrees: Vec<f64> = (0..edges.len()).map(|node| edges.row(node).len() as f64 + 1.0).collect();
    let cancellation = Cancellation::new();
    cancellation.cancel();
    let stopped = push::approximate(&edges, &degrees, 0.2, 1e-4, Watch::silent(&cancellation));
    assert!(matches!(stopped, Err(DataError::Stopped)));
}

#[test]
fn diffusions_come_back_from_disk_as_they_were_and_others_do_not() {
    let options = DiffusionOptions { epsilon: 1e-3, ..options(PPR) };
    let [one, other] = [tree(30), star(9)].map(|edges| diffused(&edges, &options).unwrap());
    let empty = diffused(&Csr::new(vec![0], vec![], None, 0).unwrap(), &options).unwrap();
    let made = Diffusions::joined(vec![one, empty, other], &options);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("diffusion.safetensors");
    let print = Diffusions::fingerprint("contents", &options);
    let read = |sizes: &[usize], print: &str| Diffusions::read(&path, print, sizes, &options);
    assert!(read(&[30, 0, 10], &print).unwrap_err().contains("No such file"));
    made.write(&path, &print).unwrap();
    assert_eq!(read(&[30, 0, 10], &print).unwrap(), made);
    for (sizes, print, wanted) in [
        (&[30, 0, 10][..], "other", "it is of other graphs, or of another recipe"),
        (&[30, 0, 11], &print, "it does not hold diffusions of these graphs"),
        (&[0, 0, 1], &print, "it does not hold"),
    ] {
        let reason = read(sizes, print).unwrap_err();
        assert!(reason.starts_with(wanted), "{reason}");
    }
    let other_options = DiffusionOptions { epsilon: 2e-3, ..options };
    assert_ne!(Diffusions::fingerprint("contents", &other_options), print);
    assert_ne!(Diffusions::fingerprint("others", &options), print);
    let whole = std::fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(41) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&path, &bytes).unwrap();
        assert!(read(&[30, 0, 10], &print).is_err(), "byte {at} was changed");
        std::fs::write(&path, &whole[..at]).unwrap();
        assert!(read(&[30, 0, 10], &print).is_err(), "cut at {at}");
    }
    std::fs::write(&path, vec![0; 3 << 20]).unwrap();
    assert!(
        read(&[30, 0, 10], &print)
            .unwrap_err()
            .starts_with("it has 3145728 bytes, and diffusions of 40 nodes have ")
    );
}
