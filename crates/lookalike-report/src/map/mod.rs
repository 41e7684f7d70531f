//! A map: all instances in two dimensions, look-alikes near each other.
//!
//! The objective is that of UMAP (2018, <https://arxiv.org/abs/1802.03426>) on the graph of nearest neighbours
//! that is there anyway. Moves are ours: each instance moves by the places of all others after the last epoch, and by random numbers of its
//! own stream, so that any number of threads gives the same bits.

mod start;
mod weights;

use lookalike_base::{Rows, Seed, Watch};
use lookalike_sampling::ProximityGraph;
use rayon::prelude::*;

use crate::error::ReportError;
use weights::Ties;

/// How a map is made. The defaults are UMAP's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayoutOptions {
    /// Epochs of moves; by default 500 for 10,000 instances or fewer, and 200 for more.
    pub epochs: Option<u32>,
    /// How many others push an instance away at each pull.
    pub negatives: u32,
    /// Draws these others.
    pub seed: Seed,
}

impl Default for LayoutOptions {
    fn default() -> Self {
        Self { epochs: None, negatives: 5, seed: Seed(0) }
    }
}

/// 1 / (1 + a·d²ᵇ) is near 1 below the least distance .1 and falls off at the scale 1: UMAP's fit for `min_dist = 0.1`, `spread = 1`.
const A: f32 = 1.576_943_5;
/// The same.
const B: f32 = 0.895_060_9;
/// Longest move of a coordinate at a pull or push.
const MOST: f32 = 4.0;
/// Half the width of the places at the start.
const START: f32 = 10.0;

/// The place of each instance.
///
/// The progress of `watch` counts epochs, [`epochs_of`] in all; the work ends soon after it asks it to stop.
///
/// # Shapes
/// `graph` of N instances, `rows` N×d of the same: the first two principal directions are where the places begin.
///
/// # Errors
/// [`ReportError::Input`] where graph and rows differ in number, and [`ReportError::Cancelled`].
pub fn layout(
    graph: &ProximityGraph,
    rows: Rows<'_>,
    options: &LayoutOptions,
    watch: Watch<'_>,
) -> Result<Vec<[f32; 2]>, ReportError> {
    let count = graph.instances();
    if rows.len() != count {
        let found = rows.len();
        return Err(ReportError::Input(format!(
            "the graph has {count} instances, and there are {found} rows"
        )));
    }
    let ties = Ties::of(graph);
    let mut places = start::of(rows, options.seed, START);
    let epochs = epochs_of(count, options);
    for epoch in 0..epochs {
        if watch.is_cancelled() {
            return Err(ReportError::Cancelled);
        }
        let rate = 1.0 - epoch as f32 / epochs as f32;
        let moving = Moving { ties: &ties, old: &places, epoch, rate, options };
        places = (0..count as u32).into_par_iter().map(|own| moving.place(own)).collect();
        watch.progress.advance(1);
    }
    Ok(places)
}

/// Epochs of moves for so many instances.
pub fn epochs_of(instances: usize, options: &LayoutOptions) -> u32 {
    options.epochs.unwrap_or(if instances <= 10_000 { 500 } else { 200 })
}

/// The moves of an epoch.
struct Moving<'a> {
    ties: &'a Ties,
    old: &'a [[f32; 2]],
    epoch: u32,
    rate: f32,
    options: &'a LayoutOptions,
}

impl Moving<'_> {
    /// Where an instance goes: its own place changes with each pull and push, those of others are the old ones.
    fn place(&self, own: u32) -> [f32; 2] {
        let mut place = self.old[own as usize];
        let count = self.old.len() as u32;
        let mut stream = None;
        for (other, share) in self.ties.of_instance(own) {
            if !is_due(share, self.epoch) {
                continue;
            }
            // In UMAP a tie moves both of its ends, and each tie is there both ways.
            for _ in 0..2 {
                pull(&mut place, self.old[other as usize], self.rate);
            }
            let stream = stream
                .get_or_insert_with(|| self.options.seed.stream("map", u64::from(self.epoch), 0, own.into()));
            for _ in 0..self.options.negatives {
                let other = stream.below(count);
                if other != own {
                    push(&mut place, self.old[other as usize], self.rate);
                }
            }
        }
        place
    }
}

/// Whether a tie whose share of the strongest is `share` pulls in this epoch: in so large a share of them, evenly.
fn is_due(share: f32, epoch: u32) -> bool {
    let before = f64::from(epoch) * f64::from(share);
    (before + f64::from(share)).floor() > before.floor()
}

fn pull(place: &mut [f32; 2], other: [f32; 2], rate: f32) {
    let away = [place[0] - other[0], place[1] - other[1]];
    let square = away[0] * away[0] + away[1] * away[1];
    if square > 0.0 {
        let power = square.powf(B);
        let strength = -2.0 * A * B * power / square / (1.0 + A * power);
        shift(place, away, strength, rate);
    }
}

fn push(place: &mut [f32; 2], other: [f32; 2], rate: f32) {
    let away = [place[0] - other[0], place[1] - other[1]];
    let square = away[0] * away[0] + away[1] * away[1];
    if square > 0.0 {
        let strength = 2.0 * B / ((0.001 + square) * (1.0 + A * square.powf(B)));
        shift(place, away, strength, rate);
    }
}

fn shift(place: &mut [f32; 2], away: [f32; 2], strength: f32, rate: f32) {
    for (place, away) in place.iter_mut().zip(away) {
        *place += rate * (strength * away).clamp(-MOST, MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lookalike_base::Matrix;
    use lookalike_sampling::{Scoring, knn_graph};

    /// Rows around so many centres.
    fn clusters(count: usize, centres: usize) -> Matrix {
        let mut stream = Seed(1).stream("test", 0, 0, 0);
        let at: Vec<f32> = (0..centres * 16).map(|_| stream.normal()).collect();
        let values = (0..count).flat_map(|row| {
            let centre = &at[row % centres * 16..][..16];
            centre.iter().map(|value| value + 0.2 * stream.normal()).collect::<Vec<f32>>()
        });
        Matrix::new(values.collect(), 16).unwrap()
    }

    fn mapped(rows: &Matrix) -> Vec<[f32; 2]> {
        let graph = knn_graph(rows.rows(), None, 15, None, Scoring::F32, Watch::default()).unwrap();
        layout(&graph, rows.rows(), &LayoutOptions::default(), Watch::default()).unwrap()
    }

    #[test]
    fn clusters_stay_clusters() {
        let rows = clusters(600, 6);
        let places = mapped(&rows);
        let nearest = |own: usize| {
            let distance = |other: &usize| {
                (places[own][0] - places[*other][0]).hypot(places[own][1] - places[*other][1])
            };
            let others = (0..600).filter(|other| *other != own);
            others.min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap()
        };
        let right = (0..600).filter(|own| nearest(*own) % 6 == own % 6).count();
        assert!(right >= 590, "{right} of 600 have their own kind beside them");
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let rows = clusters(300, 3);
        let run = |threads| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| mapped(&rows))
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn few_equal_and_lone_instances_have_places() {
        for count in [1, 2, 5] {
            let rows = Matrix::new(vec![1.0; count * 3], 3).unwrap();
            let graph = match count {
                1 => ProximityGraph::empty(1),
                _ => knn_graph(rows.rows(), None, 1, None, Scoring::F32, Watch::default()).unwrap(),
            };
            let places = layout(&graph, rows.rows(), &LayoutOptions::default(), Watch::default()).unwrap();
            assert!(places.len() == count && places.iter().flatten().all(|place| place.is_finite()));
        }
        let rows = Matrix::new(vec![1.0; 6], 3).unwrap();
        let error =
            layout(&ProximityGraph::empty(3), rows.rows(), &LayoutOptions::default(), Watch::default());
        assert!(error.unwrap_err().to_string().contains("3 instances, and there are 2 rows"));
    }

    #[test]
    fn a_tie_pulls_in_its_share_of_the_epochs() {
        for share in [1.0, 0.5, 0.3, 0.01] {
            let due = (0..1000).filter(|epoch| is_due(share, *epoch)).count();
            assert!((due as f32 - 1000.0 * share).abs() <= 1.0, "{share}: {due}");
        }
    }
}
