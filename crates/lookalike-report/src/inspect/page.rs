//! The page of an inspection.

use std::fmt::Write;

use lookalike_sampling::UNLABELLED;

use super::Inspected;
use super::findings::{Finding, Findings, Issue};
use crate::album::Album;
use crate::html::{count, name, number, percent, table};
use crate::page::{Head, Section, assembled, row};

/// Findings of a kind that are shown.
const SHOWN: usize = 24;
/// Groups that are shown, and members of each.
const GROUPS: usize = 12;
/// The same.
const MEMBERS: usize = 12;

/// What each issue is, and what to do about it.
fn about(issue: Issue) -> (&'static str, &'static str, &'static str) {
    match issue {
        Issue::ExactDuplicate => (
            "exact-duplicates",
            "Exact duplicates",
            "Instances that are the same. As negatives of each other they are false; one of each group is enough.",
        ),
        Issue::NearDuplicate => (
            "near-duplicates",
            "Near duplicates",
            "Mutual neighbours much nearer to each other than is usual here: another shot, a shifted copy, the same sentence. groups.npy keeps them out of \
             each other's batches.",
        ),
        Issue::Leak => (
            "leaks",
            "Leaks between splits",
            "The same thing, or nearly, in two splits: scores on one of them know the other.",
        ),
        Issue::LabelError => (
            "label-errors",
            "Suspected label errors",
            "The nearest agree on another class, more than is usual for that class. Look before you change any.",
        ),
        Issue::AcrossClasses => (
            "across-classes",
            "Look-alikes across classes",
            "Mutual neighbours of different classes, nearer to each other than half of all are to their nearest: the hardest negatives, or wrong labels.",
        ),
        Issue::Outlier => {
            ("outliers", "Outliers", "Far from everybody: broken, of another kind, or rare and precious.")
        }
    }
}

/// The page, one file of HTML; pictures take so many bytes at most.
pub fn page(data: &Inspected<'_>, findings: &Findings, picture_bytes: usize) -> String {
    let mut album = Album::new(data.pictures, picture_bytes);
    let mut sections = vec![summary(data, findings)];
    for issue in Issue::ALL {
        sections.extend(of_issue(data, findings, issue, &mut album));
    }
    sections.extend(look_alikes(data, findings, &mut album));
    let lead = format!(
        "{} instances. Nothing was changed: issues.csv names every finding, and groups.npy the duplicates.",
        count(findings.graph.instances() as u64)
    );
    assembled(&Head { title: format!("Inspection of {}", data.name), lead }, &sections, &album, None)
}

fn summary(data: &Inspected<'_>, findings: &Findings) -> Section {
    let all = findings.graph.instances() as f64;
    let unread = |issue: Issue| match issue {
        Issue::Leak if data.splits.is_empty() => Some("not looked for: no splits were given"),
        Issue::LabelError | Issue::AcrossClasses if findings.accuracy.is_none() => {
            Some("not looked for: no labels were given")
        }
        _ => None,
    };
    let line = |issue: Issue| {
        let (id, title, _) = about(issue);
        let found = findings.of_issue(issue).count();
        let title = if found > 0 { format!("<a href=\"#{id}\">{title}</a>") } else { title.to_owned() };
        match unread(issue) {
            Some(reason) => vec![title, reason.to_owned(), "–".to_owned()],
            None => vec![title, count(found as u64), percent(found as f64 / all)],
        }
    };
    let mut rows: Vec<Vec<String>> = Issue::ALL.into_iter().map(line).collect();
    let tied: usize = findings.look_alikes.iter().map(Vec::len).sum();
    rows.push(vec![
        format!("Groups of look-alikes: {}", count(findings.look_alikes.len() as u64)),
        count(tied as u64),
        percent(tied as f64 / all),
    ]);
    let agreement = findings.accuracy.map_or_else(String::new, |accuracy| {
        format!(
            "<p>The nearest agree with {} of the labels. The less that is, the less is told by label errors and by look-alikes across classes: they are \
             as good as the embeddings.</p>",
            percent(accuracy)
        )
    });
    let html = format!(
        "{}{agreement}<p class=\"soft\">Half of the instances whose nearest is not the same have it no farther than {} (distance of unit vectors); what is near is measured by \
         that.</p>",
        table("What was found", &["issue", "instances", "share"], &rows),
        number(findings.median_distance)
    );
    Section { id: "summary", title: "Summary", html }
}

fn of_issue(
    data: &Inspected<'_>,
    findings: &Findings,
    issue: Issue,
    album: &mut Album<'_>,
) -> Option<Section> {
    let (id, title, text) = about(issue);
    let found: Vec<&Finding> = findings.of_issue(issue).collect();
    if found.is_empty() {
        return None;
    }
    let mut html = format!("<p>{text}</p>");
    let mut seen = std::collections::HashSet::new();
    let mut shown = 0;
    for finding in &found {
        // A pair is shown once.
        let pair = finding.other.map(|other| (finding.instance.min(other), finding.instance.max(other)));
        if pair.is_some_and(|pair| !seen.insert(pair)) {
            continue;
        }
        if shown == SHOWN {
            break;
        }
        shown += 1;
        let mut shots = vec![album.figure((0, finding.instance), &said(data, finding.instance), "anchor")];
        if let Some(other) = finding.other {
            shots.push(album.figure((0, other), &said(data, other), ""));
        }
        html.push_str(&row(&told(data, finding), &shots));
    }
    let _ = write!(
        html,
        "<p class=\"soft\">{} of {} findings are shown; issues.csv has all.</p>",
        shown,
        count(found.len() as u64)
    );
    Some(Section { id, title, html })
}

/// The class and the split of an instance.
fn said(data: &Inspected<'_>, instance: u32) -> String {
    let label = data.labels.get(instance as usize).filter(|label| **label != UNLABELLED);
    let class = label.map_or_else(String::new, |label| format!("<span>{}</span>", name(&data.class(*label))));
    let split = data.split(instance);
    let split = if split.is_empty() { String::new() } else { format!("<span>{}</span>", name(split)) };
    format!("{class}{split}<span>row {instance}</span>")
}

fn told(data: &Inspected<'_>, finding: &Finding) -> String {
    let score = number(finding.score);
    match (finding.issue, finding.suggested) {
        (Issue::ExactDuplicate, _) => "the same".to_owned(),
        (Issue::LabelError, Some(class)) => {
            format!(
                "likelier {}; the given label has {} of the votes",
                name(&data.class(class)),
                percent(finding.score)
            )
        }
        (Issue::Outlier, _) => format!("{score} times as far as usual; its nearest"),
        _ => format!("similarity {score}"),
    }
}

fn look_alikes(data: &Inspected<'_>, findings: &Findings, album: &mut Album<'_>) -> Option<Section> {
    if findings.look_alikes.is_empty() {
        return None;
    }
    let mut html =
        String::from("<p>Chains of mutual neighbours that are nearer to each other than usual.</p>");
    for group in findings.look_alikes.iter().take(GROUPS) {
        let mut classes: Vec<u32> = group
            .iter()
            .filter_map(|member| data.labels.get(*member as usize).copied())
            .filter(|label| *label != UNLABELLED)
            .collect();
        classes.sort_unstable();
        classes.dedup();
        let of = match classes.len() {
            0 => String::new(),
            1 => format!(", all of {}", name(&data.class(classes[0]))),
            several => format!(", of {several} classes"),
        };
        let shots: Vec<String> = group
            .iter()
            .take(MEMBERS)
            .map(|member| album.figure((0, *member), &said(data, *member), ""))
            .collect();
        html.push_str(&row(&format!("{} instances{of}", count(group.len() as u64)), &shots));
    }
    Some(Section { id: "look-alikes", title: "Groups of look-alikes", html })
}

#[cfg(test)]
mod tests {
    use super::super::{InspectOptions, inspect};
    use super::*;
    use crate::album::NoPictures;
    use lookalike_base::{Matrix, Seed, Watch};

    #[test]
    fn what_was_planted_is_found_and_nothing_is_said_of_the_rest() {
        let mut stream = Seed(3).stream("test", 0, 0, 0);
        let centre: Vec<f32> = (0..2 * 24).map(|_| stream.normal()).collect();
        let mut rows: Vec<Vec<f32>> = (0..400)
            .map(|row| (0..24).map(|axis| centre[row % 2 * 24 + axis] + 0.5 * stream.normal()).collect())
            .collect();
        rows[10] = rows[12].clone();
        rows[20] = rows[22].iter().map(|value| value + 0.01 * stream.normal()).collect();
        rows[30] = (0..24).map(|_| 40.0 * stream.normal()).collect();
        let mut labels: Vec<u32> = (0..400).map(|row| row % 2).collect();
        labels[50] = 1;
        let splits: Vec<u32> = (0..400).map(|row| u32::from(row == 12)).collect();
        let rows = Matrix::new(rows.concat(), 24).unwrap();
        let data = Inspected {
            name: "<test>".into(),
            labels: &labels,
            classes: vec!["=even".into(), "odd".into()],
            splits: &splits,
            split_names: vec!["train".into(), "test".into()],
            contents: &[],
            pictures: &NoPictures,
        };
        let found = inspect(&rows.rows(), &data, &InspectOptions::default(), Watch::default()).unwrap();
        let of = |issue| found.of_issue(issue).map(|finding| finding.instance).collect::<Vec<u32>>();
        assert_eq!(of(Issue::ExactDuplicate), [10, 12]);
        assert_eq!(of(Issue::NearDuplicate), [20, 22]);
        assert_eq!(of(Issue::Leak), [10, 12]);
        assert_eq!(of(Issue::Outlier), [30]);
        assert!(
            of(Issue::LabelError).contains(&50) && of(Issue::LabelError).len() <= 2,
            "{:?}",
            of(Issue::LabelError)
        );
        assert_eq!(
            [found.duplicates[10], found.duplicates[12], found.duplicates[22], found.duplicates[0]],
            [10, 10, 20, -1]
        );
        let csv = String::from_utf8(found.csv(&data).unwrap()).unwrap();
        assert!(csv.starts_with("row,name,issue,") && csv.contains("50,50,label-error,"), "{csv}");
        assert!(csv.contains("'=even"));
        let html = page(&data, &found, 1000);
        assert!(html.contains("Inspection of &lt;test&gt;") && html.contains("id=\"leaks\""));
        assert_eq!(html, page(&data, &found, 1000));
    }

    #[test]
    fn without_labels_and_splits_it_says_what_it_did_not_look_for() {
        let rows = Matrix::new(vec![1.0, 0.0, 0.0, 1.0, 0.7, 0.7], 2).unwrap();
        let data = Inspected {
            name: "few".into(),
            labels: &[],
            classes: Vec::new(),
            splits: &[],
            split_names: Vec::new(),
            contents: &[],
            pictures: &NoPictures,
        };
        let found = inspect(&rows.rows(), &data, &InspectOptions::default(), Watch::default()).unwrap();
        let html = page(&data, &found, 1000);
        assert!(html.contains("no splits were given") && html.contains("no labels were given"));
        let wrong = Inspected { labels: &[1], ..data };
        let error = inspect(&rows.rows(), &wrong, &InspectOptions::default(), Watch::default()).unwrap_err();
        assert_eq!(error.to_string(), "1 labels for 3 embeddings");
    }
}
