//! Curves of training: several runs over each other, seeds of one arm as a band.

use super::Section;
use crate::chart::{Line, LineChart};
use crate::run::Run;

/// A curve: the kind of events and their field, its title and what it tells, whether 0 belongs to it.
type Curve = (&'static str, &'static str, &'static str, &'static str, bool);

const TRAINING: [Curve; 7] = [
    ("step", "loss", "Loss", "What is descended, the mean since the last point.", false),
    ("step", "learning_rate", "Learning rate", "The rate of the optimiser.", true),
    ("step", "instances_per_second", "Instances a second", "How fast instances are trained on.", true),
    (
        "step",
        "loader_wait_share",
        "Wait for the loader",
        "Share of the time that training waits for data: above a tenth, the loader is the limit.",
        true,
    ),
    ("step", "gradient_norm", "Length of the gradient", "Before it is clipped.", true),
    (
        "development",
        "score",
        "Development part",
        "The score by which the run is judged while it trains.",
        false,
    ),
    (
        "monitor",
        "score",
        "Monitor",
        "kNN accuracy among instances that are learned from, by their classes. It decides nothing.",
        false,
    ),
];

const DIAGNOSTICS: [Curve; 9] = [
    (
        "diagnostics",
        "proxy_accuracy",
        "Accuracy of the contrastive task",
        "Share of anchors that are nearer to their positive than to any negative. Near 1 the negatives teach little.",
        true,
    ),
    (
        "diagnostics",
        "proxy_accuracy_mixed",
        "The same with mixed negatives",
        "MoCHi's mixtures among the negatives.",
        true,
    ),
    (
        "diagnostics",
        "positive_similarity",
        "Similarity of positives",
        "Mean cosine of an anchor and its positive.",
        false,
    ),
    (
        "diagnostics",
        "negatives_for_half",
        "Negatives that carry half the loss",
        "How few of an anchor's negatives have half of the weight of all.",
        true,
    ),
    ("diagnostics", "alignment", "Alignment", "Mean squared distance of positives; less is better.", true),
    (
        "diagnostics",
        "uniformity",
        "Uniformity",
        "How evenly embeddings cover the sphere; less is better.",
        false,
    ),
    (
        "diagnostics",
        "effective_rank",
        "Effective rank",
        "How many directions the embeddings of a batch use.",
        true,
    ),
    (
        "diagnostics",
        "deviation",
        "Deviation",
        "Spread of a dimension beside that of an even sphere: 1 is even, 0 collapsed.",
        true,
    ),
    (
        "diagnostics",
        "false_negatives",
        "False negatives of a batch",
        "Share of an anchor's negatives that are of its own class.",
        true,
    ),
];

/// The curves of the runs.
pub(crate) fn section(runs: &[Run]) -> Option<Section> {
    let charts = |curves: &[Curve]| curves.iter().map(|curve| chart(runs, curve)).collect::<String>();
    let (training, diagnostics) = (charts(&TRAINING), charts(&DIAGNOSTICS));
    if training.is_empty() && diagnostics.is_empty() {
        return None;
    }
    let mut html = format!("<div class=\"charts\">{training}</div>");
    if !diagnostics.is_empty() {
        html.push_str("<h3>Diagnostics of what the loss compares</h3><div class=\"charts\">");
        html.push_str(&diagnostics);
        html.push_str("</div>");
    }
    Some(Section { id: "curves", title: "Curves", html })
}

fn chart(runs: &[Run], (kind, field, title, about, from_zero): &Curve) -> String {
    let lines = lines(runs, |run| run.series(kind, field));
    LineChart { title, about, x: "step", y: title, lines, from_zero: *from_zero, log: false }.html()
}

/// A line a run, and for the runs that differ in their seed alone one line, their mean, with a band from the least to the greatest.
pub(crate) fn lines(runs: &[Run], series: impl Fn(&Run) -> Vec<[f64; 2]>) -> Vec<Line> {
    let mut arms: Vec<(toml::Table, Vec<&Run>)> = Vec::new();
    for run in runs {
        let own = run.arm();
        match arms.iter_mut().find(|(arm, _)| *arm == own) {
            Some((_, members)) => members.push(run),
            None => arms.push((own, vec![run])),
        }
    }
    let line = |(_, members): &(toml::Table, Vec<&Run>)| match members[..] {
        [run] => Line::new(run.name.clone(), series(run)),
        _ => banded(members, &series),
    };
    arms.iter().map(line).filter(|line| !line.points.is_empty()).collect()
}

/// The mean of several seeds at the steps that all of them have.
fn banded(members: &[&Run], series: &impl Fn(&Run) -> Vec<[f64; 2]>) -> Line {
    let all: Vec<Vec<[f64; 2]>> = members.iter().map(|run| series(run)).collect();
    let mut line = Line::new(format!("{}, {} seeds", members[0].name, members.len()), Vec::new());
    for [step, value] in &all[0] {
        let find = |points: &Vec<[f64; 2]>| {
            points.binary_search_by(|point| point[0].total_cmp(step)).ok().map(|place| points[place][1])
        };
        let Some(others) = all[1..].iter().map(find).collect::<Option<Vec<f64>>>() else { continue };
        let values: Vec<f64> = std::iter::once(*value).chain(others).collect();
        let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(*value), high.max(*value))
        });
        line.points.push([*step, values.iter().sum::<f64>() / values.len() as f64]);
        line.band.push([*step, low, high]);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(name: &str, seed: u64, kind: &str, losses: &[f64]) -> Run {
        let event = |(step, loss): (usize, &f64)| {
            json!({"kind": "step", "step": step, "loss": loss}).as_object().cloned().unwrap()
        };
        Run {
            folder: name.into(),
            name: name.to_owned(),
            recipe: format!("seed = {seed}\n[sampler]\nkind = \"{kind}\"\n").parse().unwrap(),
            events: losses.iter().enumerate().map(event).collect(),
            torn: 0,
            scores: serde_json::Map::new(),
            finished: false,
        }
    }

    #[test]
    fn seeds_of_an_arm_are_a_band_and_other_arms_lines() {
        let runs = [
            run("a", 0, "walk", &[4.0, 2.0]),
            run("b", 1, "walk", &[6.0, 1.0, 0.5]),
            run("c", 0, "uniform", &[5.0]),
        ];
        let found = lines(&runs, |run| run.series("step", "loss"));
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].name.as_str(), &found[0].points[..]),
            ("a, 2 seeds", &[[0.0, 5.0], [1.0, 1.5]][..])
        );
        assert_eq!(found[0].band, [[0.0, 4.0, 6.0], [1.0, 1.0, 2.0]]);
        let html = section(&runs).unwrap().html;
        assert!(html.contains("Loss") && !html.contains("Wait for the loader"));
        assert!(section(&[]).is_none());
    }
}
