//! Small drawings of graphs.

use std::fmt::Write;

use crate::html::escaped;

/// Side of a drawing in its own units.
const SIDE: f64 = 100.0;
/// Nodes that are drawn at most; of larger graphs the first ones.
const MOST_NODES: usize = 90;
/// Moves of all nodes.
const MOVES: u32 = 80;

/// A drawing of a graph, its nodes placed by springs (Fruchterman and Reingold 1991) from a circle on: the same graph gives the same
/// drawing.
pub(crate) fn graph(nodes: u32, edges: &[[u32; 2]], labels: &[u32], called: &str) -> String {
    let count = (nodes as usize).min(MOST_NODES);
    let drawn: Vec<[usize; 2]> = edges
        .iter()
        .map(|edge| edge.map(|node| node as usize))
        .filter(|[from, to]| *from < count && *to < count && from != to)
        .collect();
    let places = placed(count, &drawn);
    let mut svg = format!(
        "<svg class=\"graph\" viewBox=\"0 0 {SIDE} {SIDE}\" role=\"img\" aria-label=\"{}: {nodes} nodes, {} edges\">",
        escaped(called),
        edges.len()
    );
    for [from, to] in &drawn {
        let ([x, y], [u, v]) = (places[*from], places[*to]);
        let _ = write!(svg, "<line x1=\"{x:.1}\" y1=\"{y:.1}\" x2=\"{u:.1}\" y2=\"{v:.1}\"/>");
    }
    for (node, [x, y]) in places.iter().enumerate() {
        let style = labels.get(node).map_or(0, |label| label % 8);
        let _ = write!(svg, "<circle class=\"f{style}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.6\"/>");
    }
    svg.push_str("</svg>");
    let more = if nodes as usize > count { format!("; {count} of them are drawn") } else { String::new() };
    format!("{svg}<span class=\"of\">{nodes} nodes, {} edges{more}</span>", edges.len())
}

fn placed(count: usize, edges: &[[usize; 2]]) -> Vec<[f64; 2]> {
    if count == 0 {
        return Vec::new();
    }
    let turn = std::f64::consts::TAU / count as f64;
    let mut places: Vec<[f64; 2]> =
        (0..count).map(|node| [(turn * node as f64).cos(), (turn * node as f64).sin()]).collect();
    let length = (4.0 / count as f64).sqrt();
    for step in 0..MOVES {
        let mut moves = vec![[0.0; 2]; count];
        for a in 0..count {
            for b in 0..a {
                let away = [places[a][0] - places[b][0], places[a][1] - places[b][1]];
                let square = (away[0] * away[0] + away[1] * away[1]).max(1e-6);
                for axis in 0..2 {
                    let push = away[axis] * length * length / square;
                    moves[a][axis] += push;
                    moves[b][axis] -= push;
                }
            }
        }
        for [a, b] in edges {
            let away = [places[*a][0] - places[*b][0], places[*a][1] - places[*b][1]];
            let distance = (away[0] * away[0] + away[1] * away[1]).sqrt();
            for axis in 0..2 {
                let pull = away[axis] * distance / length;
                moves[*a][axis] -= pull;
                moves[*b][axis] += pull;
            }
        }
        let most = 0.2 * (1.0 - f64::from(step) / f64::from(MOVES));
        for (place, change) in places.iter_mut().zip(moves) {
            let size = (change[0] * change[0] + change[1] * change[1]).sqrt().max(1e-9);
            for axis in 0..2 {
                place[axis] += change[axis] / size * size.min(most);
            }
        }
    }
    let bounds = |axis: usize| {
        places.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), place| {
            (low.min(place[axis]), high.max(place[axis]))
        })
    };
    let ([left, right], [top, bottom]) = (<[f64; 2]>::from(bounds(0)), <[f64; 2]>::from(bounds(1)));
    let scale = (SIDE - 10.0) / (right - left).max(bottom - top).max(1e-6);
    let middle = [f64::midpoint(left, right), f64::midpoint(top, bottom)];
    places.iter().map(|place| [0, 1].map(|axis| SIDE / 2.0 + scale * (place[axis] - middle[axis]))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_drawn_with_neighbours_nearer_than_others() {
        let edges: Vec<[usize; 2]> = (0..8).map(|node| [node, (node + 1) % 8]).collect();
        let places = placed(8, &edges);
        let distance = |a: usize, b: usize| (places[a][0] - places[b][0]).hypot(places[a][1] - places[b][1]);
        assert!(edges.iter().all(|[a, b]| distance(*a, *b) < distance(*a, (*a + 4) % 8)));
        assert!(places.iter().flatten().all(|place| (0.0..=SIDE).contains(place)));
    }

    #[test]
    fn graphs_of_any_size_and_edges_that_lead_nowhere_are_drawn() {
        for nodes in [0, 1, 2, 5000] {
            let svg = graph(nodes, &[[0, 1], [7, 7], [0, 4_000_000]], &[], "\"<");
            assert!(svg.contains(&format!("{nodes} nodes, 3 edges")) && svg.contains("&quot;&lt;"), "{svg}");
        }
        assert!(graph(5000, &[], &[], "g").contains("90 of them are drawn"));
    }
}
