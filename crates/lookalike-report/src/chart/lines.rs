//! Lines over an axis of numbers, with a band where several runs are one line.

use std::fmt::Write;

use super::{Axis, Drawn, Frame, MARGIN, SIZE, STYLES};
use crate::html::{escaped, number};

/// Points of a line that are drawn at most; more are means of neighbours.
const MOST_POINTS: usize = 240;
/// Points of a line that tell their numbers when they are pointed at.
const MOST_TOLD: usize = 60;

/// A line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// Its points from left to right.
    pub(crate) points: Vec<[f64; 2]>,
    /// The least and the greatest beside it, by place.
    pub(crate) band: Vec<[f64; 3]>,
}

impl Line {
    pub(crate) fn new(name: impl Into<String>, points: Vec<[f64; 2]>) -> Self {
        Self { name: name.into(), points, band: Vec::new() }
    }

    /// No more points than can be told apart.
    fn thinned(&self) -> Vec<[f64; 2]> {
        let size = self.points.len().div_ceil(MOST_POINTS).max(1);
        let mean = |part: &[[f64; 2]], axis: usize| {
            part.iter().map(|point| point[axis]).sum::<f64>() / part.len() as f64
        };
        self.points.chunks(size).map(|part| [mean(part, 0), mean(part, 1)]).collect()
    }
}

/// A chart of lines.
#[derive(Debug, Clone, Default)]
pub(crate) struct LineChart<'a> {
    pub(crate) title: &'a str,
    pub(crate) about: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    pub(crate) lines: Vec<Line>,
    /// Whether equal heights are equal factors.
    pub(crate) log: bool,
    /// Whether 0 belongs to the heights.
    pub(crate) from_zero: bool,
}

impl LineChart<'_> {
    /// Nothing where there is no point.
    pub(crate) fn html(&self) -> String {
        if self.lines.iter().all(|line| line.points.is_empty()) {
            return String::new();
        }
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let bands = || self.lines.iter().flat_map(|line| &line.band);
        let xs = points().map(|point| point[0]);
        let (low, high) =
            xs.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        let heights = points().map(|point| point[1]).chain(bands().flat_map(|band| [band[1], band[2]]));
        let frame = Frame { x: Axis::exactly(low, high), y: Axis::of(heights, self.log, self.from_zero) };
        let mut svg = frame.drawn(self.x, self.y, true);
        for (place, line) in self.lines.iter().enumerate() {
            draw(&mut svg, line, place % STYLES, &frame);
        }
        Drawn {
            title: self.title,
            about: self.about,
            svg,
            series: self.lines.iter().map(|line| line.name.as_str()).collect(),
            head: std::iter::once(self.x.to_owned())
                .chain(self.lines.iter().map(|line| line.name.clone()))
                .collect(),
            rows: self.rows(),
        }
        .html()
    }

    /// A row a place, with what each line has there.
    fn rows(&self) -> Vec<Vec<String>> {
        let mut places: Vec<f64> =
            self.lines.iter().flat_map(|line| &line.points).map(|point| point[0]).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        let mut next = vec![0; self.lines.len()];
        let row = |place: &f64| {
            let cells = self.lines.iter().zip(&mut next).map(|(line, next)| {
                match line.points.get(*next).filter(|point| point[0] == *place) {
                    Some(point) => {
                        *next += 1;
                        number(point[1])
                    }
                    None => "–".to_owned(),
                }
            });
            std::iter::once(number(*place)).chain(cells).collect()
        };
        places.iter().map(row).collect()
    }
}

fn draw(svg: &mut String, line: &Line, style: usize, frame: &Frame) {
    if line.band.len() > 1 {
        let upper = line.band.iter().map(|band| frame.place([band[0], band[2]]));
        let lower = line.band.iter().rev().map(|band| frame.place([band[0], band[1]]));
        let _ = write!(svg, "<polygon class=\"band f{style}\" points=\"{}\"/>", listed(upper.chain(lower)));
    }
    let points = line.thinned();
    let known = || points.iter().filter(|point| point[1].is_finite());
    if known().count() > 1 {
        let places = known().map(|point| frame.place(*point));
        let _ = write!(svg, "<polyline class=\"l s{style}\" points=\"{}\"/>", listed(places));
    }
    let told = points.len().div_ceil(MOST_TOLD).max(1);
    let radius = if points.len() > 1 { 3.0 } else { 4.0 };
    let class = if points.len() > 20 { "quiet" } else { "dot" };
    for point in known().step_by(told) {
        let [x, y] = frame.place(*point);
        debug_assert!((0.0..=SIZE[0]).contains(&x) && y <= SIZE[1] - MARGIN[3] + 0.1);
        let _ = write!(
            svg,
            "<circle class=\"{class} f{style}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"><title>{}: {} at {}</title></circle>",
            escaped(&line.name),
            number(point[1]),
            number(point[0])
        );
    }
}

fn listed(places: impl Iterator<Item = [f64; 2]>) -> String {
    places.map(|[x, y]| format!("{x:.1},{y:.1}")).collect::<Vec<String>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_is_the_same_bytes_and_holds_its_numbers() {
        let chart = LineChart {
            title: "Loss <1>",
            about: "of a run",
            x: "step",
            y: "loss",
            lines: vec![
                Line::new(
                    "a&b",
                    (0..1000).map(|step| [f64::from(step), 1.0 / f64::from(step + 1)]).collect(),
                ),
                Line {
                    name: "b".into(),
                    points: vec![[0.0, 0.5], [999.0, f64::NAN]],
                    band: vec![[0.0, 0.4, 0.6], [999.0, 0.1, 0.2]],
                },
            ],
            ..LineChart::default()
        };
        let html = chart.html();
        assert_eq!(html, chart.html());
        assert!(
            html.contains("Loss &lt;1&gt;") && html.contains("a&amp;b") && !html.contains("NaN"),
            "{html}"
        );
        assert!(html.contains("every 10th of 1000 rows") && html.contains("<polygon"));
        assert!(html.len() < 40_000, "{}", html.len());
        assert_eq!(LineChart::default().html(), "");
    }
}
