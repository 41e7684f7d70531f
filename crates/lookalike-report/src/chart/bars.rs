//! Bars side by side, of a few series over the same places.

use std::fmt::Write;

use super::{Axis, Drawn, Frame, MARGIN, SIZE, STYLES};
use crate::html::{escaped, number};

/// A chart of bars.
#[derive(Debug, Clone, Default)]
pub(crate) struct BarChart<'a> {
    pub(crate) title: &'a str,
    pub(crate) about: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    /// What each place is called.
    pub(crate) places: Vec<String>,
    /// Series: a name, and a number a place where there is one.
    pub(crate) bars: Vec<(String, Vec<Option<f64>>)>,
}

impl BarChart<'_> {
    /// Nothing where there is no number.
    pub(crate) fn html(&self) -> String {
        let values = || self.bars.iter().flat_map(|(_, values)| values.iter().flatten().copied());
        if values().next().is_none() {
            return String::new();
        }
        let count = self.places.len();
        let frame = Frame { x: Axis::exactly(0.0, count as f64), y: Axis::of(values(), false, true) };
        let mut svg = frame.drawn(self.x, self.y, false);
        let width = 0.8 / self.bars.len() as f64;
        for (series, (name, values)) in self.bars.iter().enumerate() {
            for (place, value) in values.iter().take(count).enumerate() {
                let Some(value) = value.filter(|value| value.is_finite()) else { continue };
                let left = place as f64 + 0.1 + width * series as f64;
                let [x, end] = frame.place([left, value]);
                let [right, zero] = frame.place([left + width, 0.0]);
                let _ = write!(
                    svg,
                    "<rect class=\"f{}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}, {}: {}</title></rect>",
                    series % STYLES,
                    end.min(zero),
                    (right - x - 0.5).max(0.5),
                    (end - zero).abs(),
                    escaped(name),
                    escaped(&self.places[place]),
                    number(value)
                );
            }
        }
        let every = count.div_ceil(12).max(1);
        for (place, name) in self.places.iter().enumerate().step_by(every) {
            let [x, _] = frame.place([place as f64 + 0.5, 0.0]);
            let _ = write!(
                svg,
                "<text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                SIZE[1] - MARGIN[3] + 14.0,
                escaped(name)
            );
        }
        let row = |(place, name): (usize, &String)| {
            let cell = |values: &Vec<Option<f64>>| {
                values.get(place).copied().flatten().map_or_else(|| "–".to_owned(), number)
            };
            std::iter::once(escaped(name)).chain(self.bars.iter().map(|(_, values)| cell(values))).collect()
        };
        Drawn {
            title: self.title,
            about: self.about,
            svg,
            series: self.bars.iter().map(|(name, _)| name.as_str()).collect(),
            head: std::iter::once(self.x.to_owned())
                .chain(self.bars.iter().map(|(name, _)| name.clone()))
                .collect(),
            rows: self.places.iter().enumerate().map(row).collect(),
        }
        .html()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_on_zero_and_gaps_stay_gaps() {
        let chart = BarChart {
            title: "Hardness",
            about: "by tenth",
            x: "tenth",
            y: "hardness",
            places: (1..=3).map(|place| place.to_string()).collect(),
            bars: vec![("a".into(), vec![Some(1.0), None, Some(-1.0)])],
        };
        let html = chart.html();
        assert_eq!(html.matches("<rect").count(), 2);
        assert!(html.contains("<td>–</td>") && html.contains("<td>−1</td>"), "{html}");
        assert_eq!(BarChart { bars: vec![("a".into(), vec![None])], ..chart }.html(), "");
    }
}
