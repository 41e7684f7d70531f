use lookalike_base::{Cancellation, Matrix, Rows, Seed, Watch};
use proptest::prelude::*;

use super::*;

/// Rows around `centers` places, far from the origin.
fn blobs(rows: usize, columns: usize, centers: usize, noise: f32, seed: u64) -> Matrix {
    let mut stream = Seed(seed).stream("test", 0, 0, 0);
    let places: Vec<f32> = (0..centers * columns).map(|_| 10.0 * stream.normal() + 100.0).collect();
    let values = (0..rows * columns)
        .map(|at| places[at / columns % centers * columns + at % columns] + noise * stream.normal());
    Matrix::new(values.collect(), columns).unwrap()
}

fn options(clusters: usize) -> KmeansOptions {
    KmeansOptions { restarts: 3, ..KmeansOptions::new(clusters) }
}

fn squared_distance(row: &[f32], center: &[f32]) -> f64 {
    row.iter().zip(center).map(|(value, center)| (f64::from(*value) - f64::from(*center)).powi(2)).sum()
}

/// Lloyd's iterations in 64 bits, every row with every centre, from the same seeds.
fn obvious(points: Rows<'_>, seeds: &[u32], iterations: usize) -> (Vec<usize>, f64) {
    let mut centers: Vec<Vec<f64>> =
        seeds.iter().map(|row| points.row(*row as usize).iter().copied().map(f64::from).collect()).collect();
    let distance = |row: &[f32], center: &[f64]| -> f64 {
        row.iter().zip(center).map(|(value, center)| (f64::from(*value) - center).powi(2)).sum()
    };
    let mut clusters = vec![usize::MAX; points.len()];
    for _ in 0..iterations {
        let nearest = |row: &[f32]| {
            let distances: Vec<f64> = centers.iter().map(|center| distance(row, center)).collect();
            (0..centers.len()).min_by(|a, b| distances[*a].total_cmp(&distances[*b])).unwrap()
        };
        let next: Vec<usize> = points.iter().map(nearest).collect();
        if next == clusters {
            break;
        }
        clusters = next;
        for (cluster, center) in centers.iter_mut().enumerate() {
            let own: Vec<&[f32]> = points
                .iter()
                .zip(&clusters)
                .filter(|(_, own)| **own == cluster)
                .map(|(row, _)| row)
                .collect();
            assert!(!own.is_empty(), "these points leave no cluster empty");
            for (column, value) in center.iter_mut().enumerate() {
                *value = own.iter().map(|row| f64::from(row[column])).sum::<f64>() / own.len() as f64;
            }
        }
    }
    let inertia = points.iter().zip(&clusters).map(|(row, cluster)| distance(row, &centers[*cluster])).sum();
    (clusters, inertia)
}

#[test]
fn iterations_are_those_of_the_obvious_loop_in_64_bits() {
    for (rows, columns, clusters, noise) in
        [(400, 3, 4, 1.0), (700, 20, 9, 8.0), (1500, 70, 30, 14.0), (300, 1, 5, 9.0), (60, 130, 1, 3.0)]
    {
        let matrix = blobs(rows, columns, clusters, noise, 5);
        let options = KmeansOptions { tolerance: 0.0, restarts: 1, ..KmeansOptions::new(clusters) };
        let points = Points::new(matrix.rows());
        let seeds = seeding::seeds(&points, &options, Watch::default()).unwrap();
        let found = kmeans(matrix.rows(), &options, Watch::default()).unwrap();
        let (expected, inertia) = obvious(matrix.rows(), &seeds[0], 300);
        let clusters: Vec<usize> = found.clusters.iter().map(|cluster| *cluster as usize).collect();
        assert_eq!(clusters, expected, "{rows} {columns}");
        assert!((found.inertia - inertia).abs() <= 1e-5 * inertia, "{} {inertia}", found.inertia);
        assert!(found.iterations > 1 && found.iterations < 300);
    }
}

#[test]
fn blobs_that_lie_apart_are_found() {
    let matrix = blobs(900, 6, 9, 0.5, 2);
    let found = kmeans(matrix.rows(), &KmeansOptions::new(9), Watch::default()).unwrap();
    let labels: Vec<u32> = (0..900).map(|row| row % 9).collect();
    assert_eq!(crate::clustering_scores(&labels, &found.clusters).unwrap().ari, 1.0);
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let matrix = blobs(3000, 90, 40, 12.0, 3);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| kmeans(matrix.rows(), &options(40), Watch::default()).unwrap())
    };
    let one = on(1);
    for threads in [2, 3, 8] {
        let found = on(threads);
        assert_eq!(found.inertia.to_bits(), one.inertia.to_bits());
        assert_eq!(found, one);
    }
    let other = KmeansOptions { seed: Seed(1), ..options(40) };
    assert_ne!(kmeans(matrix.rows(), &other, Watch::default()).unwrap(), one);
}

#[test]
fn neither_origin_nor_unit_matters() {
    let matrix = blobs(500, 4, 5, 2.0, 4);
    let found = kmeans(matrix.rows(), &options(5), Watch::default()).unwrap();
    for unit in [2_f32.powi(-90), 2_f32.powi(100)] {
        let scaled = matrix.rows().values().iter().map(|value| value * unit).collect();
        let scaled = Matrix::new(scaled, 4).unwrap();
        let again = kmeans(scaled.rows(), &options(5), Watch::default()).unwrap();
        assert_eq!(again.clusters, found.clusters);
        let expected = found.inertia * f64::from(unit).powi(2);
        assert!((again.inertia - expected).abs() <= 1e-12 * expected);
    }
}

#[test]
fn one_cluster_holds_all_rows_around_their_mean() {
    let found = kmeans(Rows::new(&[1.0, 2.0, 3.0, 6.0], 2).unwrap(), &options(1), Watch::default()).unwrap();
    assert_eq!((found.clusters, found.centers.rows().values()), (vec![0, 0], &[2.0, 4.0][..]));
    assert_eq!(found.inertia, 10.0);
}

#[test]
fn as_many_clusters_as_rows_leave_nothing_over() {
    let matrix = blobs(17, 3, 17, 1.0, 6);
    let found = kmeans(matrix.rows(), &options(17), Watch::default()).unwrap();
    let mut clusters = found.clusters.clone();
    clusters.sort_unstable();
    assert_eq!(clusters, (0..17).collect::<Vec<u32>>());
    assert!(found.inertia < 1e-6, "{}", found.inertia);
}

#[test]
fn rows_that_coincide_leave_clusters_empty_rather_than_fail() {
    let values = [[1.0, 1.0], [5.0, 5.0]].concat().repeat(10);
    let found = kmeans(Rows::new(&values, 2).unwrap(), &options(4), Watch::default()).unwrap();
    assert_eq!(found.inertia, 0.0);
    assert_eq!(crate::clustering_scores(&[0, 1].repeat(10), &found.clusters).unwrap().ari, 1.0);
    assert!(found.centers.rows().values().iter().all(|value| value.is_finite()));
}

#[test]
fn a_cluster_that_loses_its_rows_gets_the_farthest() {
    // Two seeds at one place: the second has no row at first.
    let values = [0.0, 0.0, 1.0, 10.0];
    let points = Points::new(Rows::new(&values, 1).unwrap());
    let mut run = Lloyd::new(&points, &[0, 1], &options(2));
    run.run(Watch::default()).unwrap();
    let found = run.finish().unwrap();
    assert_eq!(found.clusters, [0, 0, 0, 1]);
    assert!((found.inertia - 2.0 / 3.0).abs() < 1e-6);
}

#[test]
fn what_cannot_be_clustered_is_named() {
    let rows = [0.0, 1.0, 2.0, f32::NAN];
    let error = |values: &[f32], options: KmeansOptions| {
        kmeans(Rows::new(values, 1).unwrap(), &options, Watch::default()).unwrap_err().to_string()
    };
    assert!(error(&rows, options(2)).contains("points: row 3, column 0 is not finite"));
    assert!(error(&rows[..3], options(4)).contains("4 clusters need as many instances, but there are 3"));
    assert!(error(&rows[..3], options(0)).contains("the number of clusters is 0; it must be at least 1"));
    assert!(error(&[], options(1)).contains("1 clusters need as many instances, but there are 0"));
    assert!(error(&rows[..3], KmeansOptions { restarts: 0, ..options(2) }).contains("restarts is 0"));
    assert!(error(&rows[..3], KmeansOptions { iterations: 0, ..options(2) }).contains("iterations is 0"));
    for tolerance in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(error(&rows[..3], KmeansOptions { tolerance, ..options(2) }).contains("the tolerance is"));
    }
    let flag = Cancellation::new();
    flag.cancel();
    let stopped = kmeans(Rows::new(&rows[..3], 1).unwrap(), &options(2), Watch::silent(&flag));
    assert_eq!(stopped, Err(MetricError::Cancelled));
}

proptest! {
    #[test]
    fn every_row_is_in_the_cluster_of_its_nearest_centre_and_inertia_is_the_sum(
        values in prop::collection::vec(-20_i8..20, 6..160), clusters in 1_usize..6, seed in 0_u64..1000,
    ) {
        let whole = values.len() / 2 * 2;
        let matrix = Matrix::new(values[..whole].iter().copied().map(f32::from).collect(), 2).unwrap();
        let clusters = clusters.min(matrix.len());
        let options = KmeansOptions { seed: Seed(seed), ..options(clusters) };
        let found = kmeans(matrix.rows(), &options, Watch::default()).unwrap();
        let mut inertia = 0.0;
        for (row, cluster) in matrix.rows().iter().zip(&found.clusters) {
            let distances: Vec<f64> =
                found.centers.rows().iter().map(|center| squared_distance(row, center)).collect();
            let least = distances.iter().copied().fold(f64::INFINITY, f64::min);
            prop_assert!(distances[*cluster as usize] <= least + 1e-3, "{distances:?} {cluster}");
            inertia += distances[*cluster as usize];
        }
        prop_assert!((found.inertia - inertia).abs() <= 1e-4 * inertia.max(1.0));
    }
}
