//! Charts as SVG, each with a title, a description, and its numbers in a table behind it.
//!
//! Nothing in them depends on time, place or the order of a hash: the same numbers give the same bytes.

mod axis;
mod bars;
mod lines;

use std::fmt::Write;

pub(crate) use bars::BarChart;
pub(crate) use lines::{Line, LineChart};

use crate::html::{escaped, table};
use axis::Axis;

/// Width and height of a chart in its own units.
const SIZE: [f64; 2] = [640.0, 250.0];
/// What is left free for the axes: left, right, top, bottom.
const MARGIN: [f64; 4] = [58.0, 14.0, 12.0, 40.0];
/// Series that have a colour and a dash of their own.
const STYLES: usize = 8;
/// Rows of the table behind a chart at most.
const MOST_ROWS: usize = 100;

/// Where the numbers of both axes lie.
struct Frame {
    x: Axis,
    y: Axis,
}

impl Frame {
    fn place(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let [left, right, top, bottom] = MARGIN;
        let across = left + self.x.share(x) * (SIZE[0] - left - right);
        let down = SIZE[1] - bottom - self.y.share(y) * (SIZE[1] - top - bottom);
        [across, down]
    }

    /// Lines of the grid, ticks with their numbers, and the names of the axes.
    fn drawn(&self, x_name: &str, y_name: &str, x_ticks: bool) -> String {
        let [left, right, top, bottom] = MARGIN;
        let mut svg = String::new();
        for tick in self.y.ticks() {
            let [_, y] = self.place([self.x.low, tick]);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{left}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                SIZE[0] - right,
                left - 5.0,
                y + 3.5,
                self.y.label(tick)
            );
        }
        if x_ticks {
            for tick in self.x.ticks() {
                let [x, _] = self.place([tick, self.y.low]);
                let _ = write!(
                    svg,
                    "<text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                    SIZE[1] - bottom + 14.0,
                    self.x.label(tick)
                );
            }
        }
        let middle = f64::midpoint(left, SIZE[0] - right);
        let _ = write!(
            svg,
            "<text class=\"axis\" x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text class=\"axis\" transform=\"translate(11 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            SIZE[1] - 6.0,
            escaped(x_name),
            f64::midpoint(top, SIZE[1] - bottom),
            escaped(y_name)
        );
        svg
    }
}

/// A chart with its legend and the numbers behind it.
struct Drawn<'a> {
    title: &'a str,
    about: &'a str,
    svg: String,
    /// The names of the series, in the order of their styles.
    series: Vec<&'a str>,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Drawn<'_> {
    fn html(self) -> String {
        let Self { title, about, svg, series, head, rows } = self;
        let mut html = String::from("<figure class=\"chart\">");
        let _ = write!(
            html,
            "<figcaption>{}</figcaption><svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}. {}\"><title>{}</title>\
             <desc>{}</desc>{svg}</svg>",
            escaped(title),
            SIZE[0],
            SIZE[1],
            escaped(title),
            escaped(about),
            escaped(title),
            escaped(about)
        );
        if series.len() > 1 {
            html.push_str("<ul class=\"legend\">");
            for (place, name) in series.iter().enumerate() {
                let style = place % STYLES;
                let _ = write!(
                    html,
                    "<li><svg viewBox=\"0 0 26 10\" aria-hidden=\"true\"><line class=\"l s{style}\" x1=\"0\" x2=\"26\" y1=\"5\" \
                     y2=\"5\"/></svg>{}</li>",
                    crate::html::name(name)
                );
            }
            html.push_str("</ul>");
        }
        let _ = write!(html, "<p class=\"about\">{}</p>", escaped(about));
        let head: Vec<String> = head.iter().map(|cell| crate::html::name(cell)).collect();
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let every = rows.len().div_ceil(MOST_ROWS).max(1);
        let shown: Vec<Vec<String>> = rows.iter().step_by(every).cloned().collect();
        let summary = match every {
            1 => "the numbers".to_owned(),
            every => format!("the numbers, every {every}th of {} rows", rows.len()),
        };
        let _ = write!(
            html,
            "<details><summary>{summary}</summary>{}</details></figure>",
            table(title, &head, &shown)
        );
        html
    }
}
