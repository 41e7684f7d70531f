//! Where places begin: the first two principal directions of the normalised rows.

use lookalike_base::{Rows, Seed};
use rayon::prelude::*;

/// Rows by which the directions are found at most.
const MOST_ROWS: usize = 4096;
/// Steps of the iteration that finds them.
const STEPS: usize = 30;
/// How far places are shaken, beside the half width, so that equal rows do not lie on each other.
const SHAKEN: f32 = 1e-4;

/// A place for each row, at most `half` from the middle along each axis.
pub(super) fn of(rows: Rows<'_>, seed: Seed, half: f32) -> Vec<[f32; 2]> {
    let columns = rows.columns();
    let every = rows.len().div_ceil(MOST_ROWS).max(1);
    let mut sample: Vec<Vec<f64>> = rows.iter().step_by(every).map(unit).collect();
    let mut mean = vec![0.0; columns];
    for row in &sample {
        mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += value / sample.len() as f64);
    }
    for row in &mut sample {
        row.iter_mut().zip(&mean).for_each(|(value, mean)| *value -= mean);
    }
    let directions = principal(&sample, columns, seed);
    let along = |row: &[f32]| {
        let row = unit(row);
        let place = |direction: &Vec<f64>| {
            row.iter()
                .zip(&mean)
                .zip(direction)
                .map(|((value, mean), along)| (value - mean) * along)
                .sum::<f64>()
        };
        directions.each_ref().map(place)
    };
    let mut places: Vec<[f64; 2]> = rows.values().par_chunks(columns.max(1)).map(along).collect();
    places.resize(rows.len(), [0.0; 2]);
    let widest = places.iter().flatten().fold(0.0_f64, |most, value| most.max(value.abs())).max(1e-12);
    let shaken = |(instance, place): (usize, [f64; 2])| {
        let mut stream = seed.stream("map start", 0, 0, instance as u64);
        place.map(|value| half * ((value / widest) as f32 + SHAKEN * stream.normal()))
    };
    places.into_iter().enumerate().map(shaken).collect()
}

fn unit(row: &[f32]) -> Vec<f64> {
    let length = row.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    row.iter().map(|value| f64::from(*value) / length).collect()
}

/// Two orthogonal directions of the greatest variance of centred rows, by orthogonal iteration.
fn principal(rows: &[Vec<f64>], columns: usize, seed: Seed) -> [Vec<f64>; 2] {
    let mut stream = seed.stream("map directions", 0, 0, 0);
    let mut found = [0, 1].map(|_| (0..columns).map(|_| f64::from(stream.normal())).collect::<Vec<f64>>());
    for _ in 0..STEPS {
        orthonormalize(&mut found);
        found = found.each_ref().map(|direction| {
            let mut next = vec![0.0; columns];
            for row in rows {
                let along: f64 = row.iter().zip(direction).map(|(value, along)| value * along).sum();
                next.iter_mut().zip(row).for_each(|(next, value)| *next += along * value);
            }
            next
        });
    }
    orthonormalize(&mut found);
    found
}

fn orthonormalize([first, second]: &mut [Vec<f64>; 2]) {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let scale = |row: &mut [f64]| {
        let length = dot(row, row).sqrt();
        if length > 1e-300 {
            for value in row {
                *value /= length;
            }
        }
    };
    scale(first);
    let shared = dot(first, second);
    second.iter_mut().zip(first.iter()).for_each(|(value, first)| *value -= shared * first);
    scale(second);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_direction_is_the_first_axis() {
        let mut stream = Seed(2).stream("test", 0, 0, 0);
        let values: Vec<f32> = (0..500)
            .flat_map(|_| [5.0, stream.normal(), 0.2 * stream.normal(), 0.05 * stream.normal()])
            .collect();
        let places = of(Rows::new(&values, 4).unwrap(), Seed(0), 10.0);
        let spread = |axis: usize| places.iter().map(|place| place[axis] * place[axis]).sum::<f32>();
        assert!(spread(0) > 10.0 * spread(1) && spread(1) > 0.0);
        let agrees: f32 = places.iter().zip(values.chunks(4)).map(|(place, row)| place[0] * row[1]).sum();
        let most: f32 =
            places.iter().zip(values.chunks(4)).map(|(place, row)| (place[0] * row[1]).abs()).sum();
        assert!(agrees.abs() > 0.99 * most);
    }
}
