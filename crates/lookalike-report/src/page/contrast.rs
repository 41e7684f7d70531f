//! What instances were contrasted with: how hard, how false, from where, how old; and the hardest batches themselves.

use lookalike_base::{Matrix, Rows, Seed, Watch};
use lookalike_metrics::{MetricError, PairSum};
use lookalike_sampling::{PlanContext, SIMILARITY_BINS, SamplingError, UNLABELLED, plan_report};
use serde_json::Value;

use super::curves::lines;
use super::{Section, row};
use crate::album::Album;
use crate::chart::{BarChart, Line, LineChart};
use crate::data::Data;
use crate::error::ReportError;
use crate::html::{escaped, name, number, percent, table};
use crate::run::Run;

/// Batches that are shown.
const SHOWN_BATCHES: usize = 3;
/// Members of a batch that are shown beside its anchor.
const SHOWN_MEMBERS: usize = 15;

/// All of it; nothing where neither run nor batches tell of any.
pub(crate) fn section(
    runs: &[Run],
    data: Option<&Data<'_>>,
    album: &mut Album<'_>,
    watch: Watch<'_>,
) -> Result<Option<Section>, ReportError> {
    let charts =
        [by_epoch(runs), by_tenth(runs), false_negatives(runs), origins(runs), reach(runs), ages(runs)]
            .concat();
    let mut html = String::new();
    if !charts.is_empty() {
        html = format!("<div class=\"charts\">{charts}</div>");
    }
    html.push_str(&mixed(runs));
    if let Some(data) = data.filter(|data| !data.plan.is_empty()) {
        html.push_str(&of_plan(data, watch)?);
        html.push_str(&hardest(data, album));
    }
    Ok((!html.is_empty()).then_some(Section { id: "contrast", title: "What was contrasted", html }))
}

/// A number of the events of epochs, by epoch from 1 on.
fn epochs(run: &Run, value: impl Fn(&Value) -> Option<f64>) -> Vec<[f64; 2]> {
    let point = |event: &serde_json::Map<String, Value>| {
        let epoch = event.get("epoch")?.as_f64()? + 1.0;
        Some([epoch, value(&Value::Object(event.clone()))?])
    };
    run.of_kind("epoch").filter_map(point).collect()
}

/// The tenths of an epoch that were measured.
fn tenths(event: &Value) -> Vec<Option<f64>> {
    let tenths = event.get("hardness_by_decile").and_then(Value::as_array);
    tenths.map_or_else(Vec::new, |tenths| tenths.iter().map(Value::as_f64).collect())
}

fn mean(values: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

fn by_epoch(runs: &[Run]) -> String {
    let lines = lines(runs, |run| epochs(run, |event| mean(&tenths(event))));
    LineChart {
        title: "Hardness by epoch",
        about: "Mean similarity of anchors to their negatives, less that of uniform batches on the same embeddings: 0 is uniform.",
        x: "epoch",
        y: "hardness above uniform",
        lines,
        from_zero: true,
        log: false,
    }
    .html()
}

/// The last epoch of each run that was measured.
fn by_tenth(runs: &[Run]) -> String {
    let last = |run: &Run| {
        let measured = run.of_kind("epoch").map(|event| tenths(&Value::Object(event.clone())));
        measured
            .filter(|tenths| tenths.iter().any(Option::is_some))
            .last()
            .map(|tenths| (run.name.clone(), tenths))
    };
    BarChart {
        title: "Hardness by tenth of the last epoch",
        about: "Batches of one epoch are planned on embeddings of different ages: whether its beginning is as hard as its end.",
        x: "tenth of the epoch",
        y: "hardness above uniform",
        places: (1..=10).map(|tenth| tenth.to_string()).collect(),
        bars: runs.iter().filter_map(last).collect(),
    }
    .html()
}

fn false_negatives(runs: &[Run]) -> String {
    let field = |name: &'static str| move |run: &Run| epochs(run, |event| event.get(name)?.as_f64());
    let mut all = lines(runs, field("false_negative_rate"));
    if let Some(run) = runs.iter().find(|run| !field("false_negative_rate_uniform")(run).is_empty()) {
        all.push(Line::new("uniform batches", field("false_negative_rate_uniform")(run)));
    }
    LineChart {
        title: "False negatives by epoch",
        about: "Share of negatives that are of their anchor's own class, which only labels know; training does not use them.",
        x: "epoch",
        y: "share of negatives",
        lines: all,
        from_zero: true,
        log: false,
    }
    .html()
}

/// Where the members of an epoch's batches came from, as [`lookalike_sampling::BatchOrigins`] counts them.
const ORIGINS: [(&str, &str); 5] = [
    ("starts", "starts of walks"),
    ("collected", "met on a walk"),
    ("restarts", "fresh starts, a walk being exhausted"),
    ("collected_after_restart", "met after a fresh start"),
    ("uniform", "drawn uniformly"),
];

fn origins(runs: &[Run]) -> String {
    let Some(run) = runs.first() else { return String::new() };
    let sum = |event: &Value, origin: &str| -> Option<f64> {
        let deciles = event.get("sampler")?.get("finished")?.get("deciles")?.as_array()?;
        Some(deciles.iter().filter_map(|decile| decile.get(origin)?.as_f64()).sum())
    };
    let share = |event: &Value, origin: &str| {
        let all: f64 = ORIGINS.iter().filter_map(|(name, _)| sum(event, name)).sum();
        Some(sum(event, origin)? / all).filter(|share| share.is_finite())
    };
    let line =
        |(origin, title): &(&'static str, &str)| Line::new(*title, epochs(run, |event| share(event, origin)));
    let lines: Vec<Line> =
        ORIGINS.iter().map(line).filter(|line| line.points.iter().any(|point| point[1] > 0.0)).collect();
    if lines.len() < 2 {
        return String::new();
    }
    let about = format!("How the members of the batches of {} were found.", run.name);
    LineChart {
        title: "Origins of members",
        about: &about,
        x: "epoch",
        y: "share of members",
        lines,
        from_zero: true,
        log: false,
    }
    .html()
}

fn reach(runs: &[Run]) -> String {
    let of = |run: &Run| epochs(run, |event| event.get("sampler")?.get("finished")?.get("reach")?.as_f64());
    LineChart {
        title: "Reach",
        about: "Share of all instances that were in a batch of the epoch.",
        x: "epoch",
        y: "share of instances",
        lines: lines(runs, of),
        from_zero: true,
        log: false,
    }
    .html()
}

fn ages(runs: &[Run]) -> String {
    let of = |run: &Run| {
        let point = |event: &serde_json::Map<String, Value>| {
            Some([event.get("step")?.as_f64()?, event.get("staleness")?.get("mean_age")?.as_f64()?])
        };
        run.of_kind("plan").filter_map(point).collect::<Vec<[f64; 2]>>()
    };
    LineChart {
        title: "Age of embeddings",
        about: "How many steps ago, on average, an instance was embedded when a graph was built from all of them.",
        x: "step",
        y: "steps",
        lines: lines(runs, of),
        from_zero: true,
        log: false,
    }
    .html()
}

/// What MoCHi mixed.
fn mixed(runs: &[Run]) -> String {
    let told = |run: &Run| {
        let last = run.of_kind("diagnostics").filter(|event| event.contains_key("mixtures")).last()?;
        let field = |name: &str| last.get(name).and_then(Value::as_f64);
        Some(format!(
            "<p>{}: {} mixtures of hard negatives stood beside {} negatives of each anchor. With them the contrastive task was solved for {} of \
             the anchors, without them for {}.</p>",
            name(&run.name),
            number(field("mixtures")?),
            number(field("negatives")?),
            percent(field("proxy_accuracy_mixed")?),
            percent(field("proxy_accuracy")?)
        ))
    };
    runs.iter().filter_map(told).collect()
}

/// The batches that are known, in numbers.
fn of_plan(data: &Data<'_>, watch: Watch<'_>) -> Result<String, ReportError> {
    let part = &data.parts[0];
    let known = |labels: &&[u32]| {
        let mut known = labels.iter().filter(|label| **label != UNLABELLED);
        known.next().is_some_and(|first| known.any(|label| label != first))
    };
    let labels = Some(part.labels).filter(known);
    let silent = || Watch { cancellation: watch.cancellation, ..Watch::default() };
    let made = |labels| {
        let context = PlanContext { pairs: data.pairs, labels, ..PlanContext::default() };
        plan_report(data.plan, data.compared(), &context, Seed(0), silent())
    };
    let report = match made(labels) {
        // No batch has two members with a label.
        Err(SamplingError::Metric(MetricError::Undefined { .. })) if labels.is_some() => made(None),
        report => report,
    };
    let report = match report {
        // No batch has two members.
        Err(SamplingError::Metric(MetricError::Undefined { .. })) => return Ok(String::new()),
        report => report?,
    };
    let mut rows = vec![vec![
        "mean similarity of anchors to their negatives".to_owned(),
        number(report.hardness.similarity),
        number(report.hardness.uniform),
    ]];
    if let Some(found) = report.false_negatives {
        rows.push(vec![
            "negatives of the anchor's own class".to_owned(),
            percent(found.rate),
            percent(found.uniform),
        ]);
    }
    rows.push(vec!["instances that came".to_owned(), percent(report.reach), "–".to_owned()]);
    let (first, last) = range(&report.anchors.plan, &report.anchors.uniform);
    let total: u64 = report.anchors.plan.iter().sum();
    let share =
        |counts: &[u64]| (first..last).map(|bin| Some(counts[bin] as f64 / total.max(1) as f64)).collect();
    let half = SIMILARITY_BINS as f64 / 2.0;
    let chart = BarChart {
        title: "Anchors by the mean similarity of their negatives",
        about: "Share of anchors in each bin; uniform batches of the same sizes beside.",
        x: "mean similarity, where the bin begins",
        y: "share of anchors",
        places: (first..last).map(|bin| number(bin as f64 / half - 1.0)).collect(),
        bars: vec![
            ("these batches".to_owned(), share(&report.anchors.plan)),
            ("uniform".to_owned(), share(&report.anchors.uniform)),
        ],
    };
    let caption = format!("{} batches of {}, {} instances", report.batches, part.name, report.instances);
    Ok(format!(
        "<h3>The batches of the last epoch</h3>{}<div class=\"charts\">{}</div>",
        table(&caption, &["", "these batches", "uniform"], &rows),
        chart.html()
    ))
}

/// The bins in which there are any.
fn range(first: &[u64], second: &[u64]) -> (usize, usize) {
    let known = |bin: &usize| first[*bin] + second[*bin] > 0;
    let low = (0..first.len()).find(known).unwrap_or(0);
    let high = (0..first.len()).rfind(known).unwrap_or(0);
    (low, high + 1)
}

/// A batch of the plan, as its hardest anchor sees it.
pub(crate) struct HardBatch {
    /// Its place in the plan.
    pub(crate) place: usize,
    /// The mean similarity of its anchors to their negatives.
    pub(crate) hardness: f64,
    /// The anchor whose negatives are most similar to it.
    pub(crate) anchor: u32,
    /// The others with their similarity to it, the most similar first.
    pub(crate) others: Vec<(f64, u32)>,
}

impl HardBatch {
    /// Whether a negative is of the anchor's own class.
    pub(crate) fn is_false(&self, data: &Data<'_>, other: u32) -> bool {
        let own = data.label(0, self.anchor);
        own.is_some() && data.label(0, other) == own
    }
}

/// The hardest batches of the plan, the hardest first, [`SHOWN_BATCHES`] at most.
pub(crate) fn hardest_batches(data: &Data<'_>) -> Vec<HardBatch> {
    let rows = data.compared();
    let mut scored: Vec<(f64, usize)> = data
        .plan
        .iter()
        .enumerate()
        .filter(|(_, batch)| batch.len() > 1)
        .map(|(place, batch)| (hardness(batch, rows, data.pairs), place))
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let seen = |(hardness, place): (f64, usize)| {
        let batch = &data.plan[place];
        let measured = Batch::of(batch, rows, data.pairs);
        let anchor = measured.hardest_anchor();
        let mut others: Vec<(f64, usize)> = (0..batch.len())
            .filter(|other| *other != anchor)
            .map(|other| (measured.similarity(anchor, other), other))
            .collect();
        others.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let others = others.into_iter().map(|(similarity, other)| (similarity, batch[other])).collect();
        HardBatch { place, hardness, anchor: batch[anchor], others }
    };
    scored.into_iter().take(SHOWN_BATCHES).map(seen).collect()
}

/// The hardest batches as pictures: the anchor first, then who is most similar to it.
fn hardest(data: &Data<'_>, album: &mut Album<'_>) -> String {
    let mut html = String::from(
        "<h3>The hardest batches</h3><p class=\"soft\">The anchor has a solid frame. Negatives of its own class are false: they have a dashed frame and are named.</p>",
    );
    let class = |instance: u32| {
        let class = data.label(0, instance).map(|label| data.class(label));
        class.map_or_else(String::new, |class| format!("<span>{}</span>", name(&class)))
    };
    for batch in hardest_batches(data) {
        let HardBatch { place, hardness, anchor, others } = &batch;
        let false_ones = others.iter().filter(|(_, other)| batch.is_false(data, *other)).count();
        let caption = format!("<b>anchor</b>{}", class(*anchor));
        let mut shots = vec![album.figure((0, *anchor), &caption, "anchor")];
        for (similarity, other) in others.iter().take(SHOWN_MEMBERS) {
            let is_false = batch.is_false(data, *other);
            let (frame, word) = if is_false { ("false", "<b>false negative</b>") } else { ("", "") };
            let caption = format!("{word}<span>similarity {}</span>{}", number(*similarity), class(*other));
            shots.push(album.figure((0, *other), &caption, frame));
        }
        let truth = data.label(0, *anchor).map_or_else(String::new, |_| {
            format!("; {false_ones} of the anchor's {} negatives are false", others.len())
        });
        let more = others.len().saturating_sub(SHOWN_MEMBERS);
        let more = if more > 0 { format!("; {more} less similar ones are not shown") } else { String::new() };
        html.push_str(&row(
            &escaped(&format!("Batch {}: mean similarity {}{truth}{more}.", place + 1, number(*hardness))),
            &shots,
        ));
    }
    html
}

/// The mean similarity of the anchors of a batch of two or more to their negatives.
fn hardness(batch: &[u32], rows: Rows<'_>, pairs: bool) -> f64 {
    let members = batch.iter().map(|member| *member as usize);
    let sum = if pairs { PairSum::crossed(rows, members) } else { PairSum::of(rows, members) };
    sum.mean().unwrap_or(f64::NEG_INFINITY)
}

/// The normalised rows of a batch.
struct Batch {
    rows: Matrix,
    /// Where what others see of a row begins; of pairs its second half.
    seen: usize,
}

impl Batch {
    fn of(batch: &[u32], rows: Rows<'_>, pairs: bool) -> Self {
        let columns = rows.columns();
        let width = if pairs { columns / 2 } else { columns };
        let mut values = Vec::with_capacity(batch.len() * columns);
        for member in batch {
            for half in rows.row(*member as usize).chunks(width.max(1)) {
                let length = half.iter().map(|value| value * value).sum::<f32>().sqrt();
                values.extend(half.iter().map(|value| if length > 0.0 { value / length } else { 0.0 }));
            }
        }
        let rows =
            Matrix::new(values, columns).unwrap_or_else(|_| unreachable!("rows of a matrix form a matrix"));
        Self { rows, seen: if pairs { width } else { 0 } }
    }

    fn similarity(&self, anchor: usize, other: usize) -> f64 {
        let (own, other) = (self.rows.row(anchor), &self.rows.row(other)[self.seen..]);
        own.iter().zip(other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    /// What an anchor has with all others together.
    fn of_anchor(&self, anchor: usize) -> f64 {
        (0..self.rows.len())
            .filter(|other| *other != anchor)
            .map(|other| self.similarity(anchor, other))
            .sum()
    }

    fn hardest_anchor(&self) -> usize {
        let of = |anchor: &usize| self.of_anchor(*anchor);
        (0..self.rows.len()).max_by(|a, b| of(a).total_cmp(&of(b)).then(b.cmp(a))).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::album::NoPictures;
    use crate::data::Part;

    #[test]
    fn the_hardest_batch_comes_first_with_its_false_negatives_named() {
        let values = [1.0, 0.0, 0.9, 0.1, -1.0, 0.0, 0.0, 1.0, 1.0, 0.05, 0.0, -1.0];
        let rows = Rows::new(&values, 2).unwrap();
        let plan = [vec![2, 3, 5], vec![0, 1, 4]];
        let data = Data {
            name: "test".into(),
            parts: vec![Part { name: "train", rows, labels: &[0, 0, 1, 1, 2, 2] }],
            classes: vec!["<cat>".into()],
            plan: &plan,
            compared: None,
            pairs: false,
            untrained: None,
            pictures: &NoPictures,
        };
        let mut album = Album::new(&NoPictures, 0);
        let html = section(&[], Some(&data), &mut album, Watch::default()).unwrap().unwrap().html;
        let (first, second) = (html.find("Batch 2:").unwrap(), html.find("Batch 1:").unwrap());
        assert!(first < second, "{html}");
        assert!(
            html.contains("1 of the anchor&#39;s 2 negatives are false")
                || html.contains("0 of the anchor&#39;s 2 negatives are false")
        );
        assert!(!html.contains("<cat>"));
        assert!((hardness(&plan[1], rows, false) - 0.99).abs() < 0.02);
    }

    #[test]
    fn few_labels_and_strange_events_leave_a_page() {
        let values = [1.0, 0.0, 0.9, 0.1, -1.0, 0.0];
        let rows = Rows::new(&values, 2).unwrap();
        for (labels, plan) in [
            ([2, 2, UNLABELLED], vec![vec![0, 1, 2]]),
            ([0, UNLABELLED, 1], vec![vec![0, 1], vec![1, 2]]),
            ([0, 1, 1], vec![vec![0], vec![1]]),
        ] {
            let data = Data {
                name: "test".into(),
                parts: vec![Part { name: "train", rows, labels: &labels }],
                classes: Vec::new(),
                plan: &plan,
                compared: None,
                pairs: false,
                untrained: None,
                pictures: &NoPictures,
            };
            section(&[], Some(&data), &mut Album::new(&NoPictures, 0), Watch::default()).unwrap();
        }
        let tenths: Vec<f64> = (0..11).map(f64::from).collect();
        let event = serde_json::json!({"kind": "epoch", "step": 1, "epoch": 0, "hardness_by_decile": tenths});
        let run = Run {
            folder: "run".into(),
            name: "run".to_owned(),
            recipe: toml::Table::new(),
            events: vec![event.as_object().cloned().unwrap()],
            torn: 0,
            scores: serde_json::Map::new(),
            finished: false,
        };
        assert!(by_tenth(&[run]).contains("<rect"));
    }

    #[test]
    fn pairs_are_compared_across() {
        let values = [1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0];
        let rows = Rows::new(&values, 4).unwrap();
        let batch = Batch::of(&[0, 1], rows, true);
        assert_eq!(
            (batch.similarity(0, 1), batch.similarity(0, 0), hardness(&[0, 1], rows, true)),
            (1.0, 0.0, 1.0)
        );
    }
}
