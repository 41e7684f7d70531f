//! What was trained, on what, how long, and what came of it; warnings in plain words.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Map, Value};

use super::Section;
use crate::html::{count, duration, escaped, name, number, percent, table};
use crate::run::Run;

/// Scores that are shares of what is right, in the order in which they are shown, and what they are called.
const SCORES: [(&str, &str); 9] = [
    ("knn", "kNN accuracy"),
    ("linear", "linear probe accuracy"),
    ("svm", "SVM accuracy, cross-validated"),
    ("classifier", "accuracy of the classifier"),
    ("proxy_accuracy", "accuracy of the contrastive task"),
    ("clustering_accuracy", "clustering accuracy"),
    ("nmi", "NMI of clusters"),
    ("hardness", "hardness of the last epoch, above uniform"),
    ("false_negative_rate", "false negatives of the last epoch"),
];
/// What a score of something else than the trained encoder ends with, and what that is.
const BESIDE: [(&str, &str); 7] = [
    ("pixels", "pixels"),
    ("labels", "label histogram"),
    ("sizes", "sizes of graphs"),
    ("features", "features"),
    ("uniform", "uniform batches"),
    ("untrained", "before training"),
    ("best", "best step"),
];

/// What a run is, in a few words.
pub(crate) fn title(runs: &[Run]) -> String {
    match runs {
        [] => "A plan of batches".to_owned(),
        [run] => run.name.clone(),
        [first, rest @ ..] => format!("{} and {} more", first.name, rest.len()),
    }
}

/// The sentence below the title, HTML.
pub(crate) fn lead(run: &Run) -> String {
    let data = data_of(run);
    let (steps, rate) = (run.steps(), rate(run));
    let finished = if run.finished { "" } else { " It has not finished." };
    let rate =
        rate.map_or_else(String::new, |rate| format!(", {} instances a second", count(rate.round() as u64)));
    format!(
        "<b>{}</b> trained the encoder <b>{}</b> on <b>{}</b> with batches of {} by <b>{}</b>: {} steps in {}{rate}.{finished}",
        escaped(&run.text("method.kind")),
        escaped(&run.text("encoder.kind")),
        name(&data),
        escaped(&batch(run)),
        escaped(&sampler(run)),
        count(steps),
        duration(run.seconds()),
    )
}

fn data_of(run: &Run) -> String {
    match (run.text("data.name"), run.text("data.classes")) {
        (name, classes) if classes.is_empty() => name,
        (name, classes) => format!("{name} ({classes})"),
    }
}

fn batch(run: &Run) -> String {
    Some(run.text("sampler.batch_size"))
        .filter(|size| !size.is_empty())
        .unwrap_or_else(|| "the default size".to_owned())
}

fn sampler(run: &Run) -> String {
    Some(run.text("sampler.kind")).filter(|kind| !kind.is_empty()).unwrap_or_else(|| "walk".to_owned())
}

/// Instances a second, the median of what the events tell.
fn rate(run: &Run) -> Option<f64> {
    let mut rates: Vec<f64> =
        run.series("step", "instances_per_second").into_iter().map(|point| point[1]).collect();
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied()
}

/// The verdict on the runs.
pub(crate) fn section(runs: &[Run]) -> Option<Section> {
    let first = runs.first()?;
    let mut html = String::new();
    let warnings = warnings(runs);
    if !warnings.is_empty() {
        html.push_str("<div class=\"warn\" role=\"note\"><p><b>Look at this first</b></p><ul>");
        for warning in &warnings {
            let _ = write!(html, "<li>{}</li>", escaped(warning));
        }
        html.push_str("</ul></div>");
    }
    html.push_str(&scores(runs));
    html.push_str(&setups(runs));
    if let Some(machine) = first.of_kind("machine").last() {
        let word = |field: &str| machine.get(field).and_then(Value::as_str).unwrap_or_default();
        let _ = write!(
            html,
            "<p class=\"soft\">Machine: {}, {}.</p>",
            escaped(word("computes")),
            escaped(word("program"))
        );
    }
    for run in runs {
        let text = toml::to_string(&run.recipe).unwrap_or_default();
        let _ = write!(
            html,
            "<details><summary>recipe of {}</summary><pre tabindex=\"0\">{}</pre></details>",
            name(&run.name),
            recipe(&text)
        );
    }
    Some(Section { id: "verdict", title: "Verdict", html })
}

/// A recipe without the places of files on the machine.
fn recipe(text: &str) -> String {
    let line = |line: &str| {
        let quoted = line.split_once(" = ").filter(|(_, value)| value.starts_with("\"/"));
        quoted.map_or_else(
            || escaped(line),
            |(key, _)| format!("{} = <i>a path of the machine</i>", escaped(key)),
        )
    };
    text.lines().map(line).collect::<Vec<String>>().join("\n")
}

/// A column a run, a row a score; what stands beside a score follows it.
fn scores(runs: &[Run]) -> String {
    let mut rows = Vec::new();
    let mut row = |key: &str, title: String| {
        let values: Vec<Option<f64>> = runs.iter().map(|run| run.score(key)).collect();
        if values.iter().any(Option::is_some) {
            let cell = |value: &Option<f64>| match value {
                None => "–".to_owned(),
                Some(value) if key.starts_with("hardness") => number(*value),
                Some(value) => percent(*value),
            };
            rows.push(std::iter::once(title).chain(values.iter().map(cell)).collect::<Vec<String>>());
        }
    };
    for (key, title) in SCORES {
        row(key, format!("<b>{title}</b>"));
        for (suffix, beside) in BESIDE {
            row(&format!("{key}_{suffix}"), format!("– {beside}"));
        }
    }
    for key in further(runs) {
        row(&key, format!("<b>{}</b>", escaped(&key)));
    }
    if rows.is_empty() {
        return "<p>There are no scores yet: <code>lookalike evaluate</code> makes them.</p>".to_owned();
    }
    let names: Vec<String> = runs.iter().map(|run| name(&run.name)).collect();
    let head: Vec<&str> = std::iter::once("score").chain(names.iter().map(String::as_str)).collect();
    table(
        "Scores of the last step. What stands behind a dash is measured on the same instances without the trained encoder.",
        &head,
        &rows,
    )
}

/// Scores of sets of their own, as retrieval.
fn further(runs: &[Run]) -> BTreeSet<String> {
    let of_set = |key: &&String| {
        ["ndcg", "mrr", "spearman", "recall", "segmentation", "patches"]
            .iter()
            .any(|word| key.to_lowercase().contains(word))
    };
    // What is a list, a number a query, is no row.
    let numbers = |run: &Run| {
        let names = run.scores.keys().filter(|name| run.score(name).is_some());
        names.filter(of_set).cloned().collect::<Vec<String>>()
    };
    runs.iter().flat_map(numbers).collect()
}

/// What the runs differ in, a row a run.
fn setups(runs: &[Run]) -> String {
    if runs.len() < 2 {
        return String::new();
    }
    let row = |run: &Run| {
        let text = |key: &str| escaped(&run.text(key));
        vec![
            name(&run.name),
            text("method.kind"),
            text("encoder.kind"),
            escaped(&data_of(run)),
            escaped(&sampler(run)),
            escaped(&batch(run)),
            text("train.epochs"),
            run.seed().to_string(),
            count(run.steps()),
            duration(run.seconds()),
            rate(run).map_or_else(|| "–".to_owned(), |rate| count(rate.round() as u64)),
        ]
    };
    let head = [
        "run",
        "method",
        "encoder",
        "data",
        "batches",
        "size",
        "epochs",
        "seed",
        "steps",
        "time",
        "instances/s",
    ];
    table("The runs", &head, &runs.iter().map(row).collect::<Vec<_>>())
}

/// What a user should know, in plain words; the same of several runs once.
fn warnings(runs: &[Run]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for run in runs {
        let own = |text: String| if runs.len() > 1 { format!("{}: {text}", run.name) } else { text };
        let mut told: Vec<String> =
            [collapse(run), stale(run), false_negatives(run), torn(run)].into_iter().flatten().collect();
        let said = run.of_kind("warning").filter_map(|event| {
            let (step, message) = (event.get("step")?.as_u64()?, event.get("message")?.as_str()?);
            Some((message, step))
        });
        // A warning that comes back at each refresh is told once.
        let mut known: Vec<(String, u64, usize)> = Vec::new();
        for (message, step) in said {
            let shape: String = message.chars().filter(|letter| !letter.is_ascii_digit()).collect();
            let same = known
                .iter_mut()
                .find(|(text, ..)| text.chars().filter(|letter| !letter.is_ascii_digit()).eq(shape.chars()));
            match same {
                Some((_, _, times)) => *times += 1,
                None => known.push((message.to_owned(), step, 1)),
            }
        }
        told.extend(known.into_iter().map(|(message, step, times)| match times {
            1 => format!("step {step}: {message}"),
            times => format!("step {step}, and {} times more: {message}", times - 1),
        }));
        found.extend(told.into_iter().map(own));
    }
    found
}

fn last<'a>(run: &'a Run, kind: &'a str) -> Option<&'a Map<String, Value>> {
    run.of_kind(kind).last()
}

fn field(event: &Map<String, Value>, name: &str) -> Option<f64> {
    event.get(name)?.as_f64()
}

fn collapse(run: &Run) -> Option<String> {
    let last = last(run, "diagnostics")?;
    let (rank, dimension, rows) =
        (field(last, "effective_rank")?, field(last, "dimension")?, field(last, "rows")?);
    let possible = dimension.min(rows - 1.0);
    (rank < 0.1 * possible).then(|| {
        format!(
            "The embeddings have nearly collapsed: they use about {} of {} directions. A larger batch, a higher temperature or a lower learning \
             rate may help.",
            number(rank),
            number(possible)
        )
    })
}

fn stale(run: &Run) -> Option<String> {
    let built = |event: &&Map<String, Value>| event.get("staleness").is_some_and(Value::is_object);
    let age = run.of_kind("plan").filter(built).last()?.get("staleness")?.get("mean_age")?.as_f64()?;
    // Of a run within its first epoch nobody knows how long that is.
    let batches =
        |event: &Map<String, Value>| event.get("sampler")?.get("finished")?.get("batches")?.as_f64();
    let epoch = run.of_kind("epoch").filter_map(batches).last()?;
    (age > 1.5 * epoch).then(|| {
        format!(
            "The graph was built from old embeddings: on average they were {} steps old, {} epochs. Refresh more often (sampler.refresh_every).",
            number(age),
            number(age / epoch)
        )
    })
}

fn false_negatives(run: &Run) -> Option<String> {
    let last = last(run, "epoch")?;
    let (rate, uniform) = (field(last, "false_negative_rate")?, field(last, "false_negative_rate_uniform")?);
    (rate > 2.0 * uniform).then(|| {
        format!(
            "{} of the negatives are of their anchor's own class, against {} in uniform batches: look-alikes are often the same thing here. A lower \
             sampler.hardness_share, fewer sampler.candidates or a ceiling on similarity avoids some of them.",
            percent(rate),
            percent(uniform)
        )
    })
}

fn torn(run: &Run) -> Option<String> {
    (run.torn > 0).then(|| {
        format!(
            "{} lines of its events cannot be read, as when a process is killed; they are left out.",
            run.torn
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(events: Vec<Value>, scores: Value) -> Run {
        let map = |value: Value| value.as_object().cloned().unwrap_or_default();
        Run {
            folder: "run".into(),
            name: "a <run>".to_owned(),
            recipe: "[method]\nkind = \"simclr\"\n[data]\nname = \"glyphs\"\nroot = \"/home/me\"\n"
                .parse()
                .unwrap(),
            events: events.into_iter().map(map).collect(),
            torn: 0,
            scores: map(scores),
            finished: true,
        }
    }

    #[test]
    fn scores_stand_beside_those_without_the_encoder_and_paths_are_left_out() {
        let html =
            section(&[run(Vec::new(), json!({"knn": 0.5, "knn_pixels": 0.3, "knn_k": 200, "step": 7}))])
                .unwrap()
                .html;
        assert!(html.contains("50.0 %") && html.contains("– pixels") && html.contains("30.0 %"), "{html}");
        assert!(
            !html.contains("knn_k") && !html.contains("/home/me") && html.contains("a path of the machine")
        );
        assert!(html.contains("a &lt;run&gt;"));
    }

    #[test]
    fn what_went_wrong_is_said_in_words_and_once() {
        let warning = |step: u64| json!({"kind": "warning", "step": step, "message": format!("too few embeddings at step {step}")});
        let events = vec![
            json!({"kind": "diagnostics", "step": 9, "effective_rank": 2.0, "dimension": 128, "rows": 256}),
            json!({"kind": "epoch", "step": 9, "false_negative_rate": 0.4, "false_negative_rate_uniform": 0.1, "sampler": {"finished": {"batches": 10}}}),
            json!({"kind": "plan", "step": 8, "batches": 10, "staleness": {"mean_age": 100.0}}),
            warning(1),
            warning(2),
        ];
        let found = warnings(&[run(events, json!({}))]);
        assert_eq!(found.len(), 4, "{found:?}");
        for words in
            ["nearly collapsed", "old embeddings", "40.0 % of the negatives", "step 1, and 1 times more"]
        {
            assert!(found.iter().any(|text| text.contains(words)), "{words} {found:?}");
        }
        assert!(warnings(&[run(Vec::new(), json!({}))]).is_empty());
    }
}
