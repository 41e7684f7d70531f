//! Who is nearest to whom: the most confident mistakes, some at random, one of each class; and look-alikes between classes.

use std::collections::BTreeMap;
use std::fmt::Write;

use lookalike_base::Seed;

use super::{Section, row};
use crate::album::{Album, Instance};
use crate::data::Data;
use crate::html::{count, escaped, name, number, percent, table};
use crate::near::{Near, likeliest, votes};

/// Instances of a gallery.
const SHOWN: usize = 8;
/// Neighbours that are shown of an instance.
const NEAREST: usize = 6;
/// Classes of which one instance each is shown, and that stand in the matrix.
const MOST_CLASSES: usize = 20;
/// Pairs of classes whose look-alikes are shown, and pairs of instances of each.
const MOST_PAIRS: usize = 8;
/// The same.
const SHOWN_PAIRS: usize = 3;

/// What neighbours say of an instance's class.
struct Vote {
    instance: Instance,
    own: u32,
    predicted: u32,
    /// The share of the votes for it.
    share: f64,
}

/// Galleries, and look-alikes between classes.
pub(crate) fn section(data: &Data<'_>, near: &Near, album: &mut Album<'_>) -> Section {
    let part = data.parts.len() - 1;
    let queries = near.offsets[part] as u32..near.offsets[part + 1] as u32;
    let mut votes: Vec<Vote> = queries.clone().filter_map(|query| vote(data, near, query)).collect();
    let mut html = String::new();
    let among = match part {
        0 => format!("Each instance of {} with its nearest among all others.", escaped(data.parts[0].name)),
        _ => format!(
            "Instances of {} with those of {} among their 15 nearest of all.",
            escaped(data.parts[part].name),
            escaped(data.parts[0].name)
        ),
    };
    let _ = write!(
        html,
        "<p>{among}</p><p class=\"tools js\"><label>Show only what holds <input type=\"search\" data-filter=\"#neighbors .look\" \
         data-told=\"neighbors-told\"></label> <span id=\"neighbors-told\" role=\"status\"></span></p>"
    );
    let mut shown = |title: &str, about: &str, chosen: &[Instance], html: &mut String| {
        if chosen.is_empty() {
            return;
        }
        let _ = write!(html, "<h3>{title}</h3><p class=\"soft\">{about}</p>");
        for instance in chosen {
            html.push_str(&beside(data, near, *instance, album));
        }
    };
    let wrong = votes.iter().filter(|vote| vote.predicted != vote.own).count();
    votes.sort_by(|a, b| b.share.total_cmp(&a.share).then(a.instance.cmp(&b.instance)));
    let mistakes: Vec<Instance> = votes
        .iter()
        .filter(|vote| vote.predicted != vote.own)
        .take(SHOWN)
        .map(|vote| vote.instance)
        .collect();
    let about = format!(
        "Neighbours agree on another class than the label, for {} of {} instances; here those where they agree most. Some labels may be wrong.",
        count(wrong as u64),
        count(votes.len() as u64)
    );
    shown("The most confident mistakes", &about, &mistakes, &mut html);
    let order =
        Seed(0).stream("page", 0, 0, 0).distinct(SHOWN.min(queries.len()) as u32, queries.len() as u32);
    let random: Vec<Instance> = order.into_iter().map(|place| near.instance(queries.start + place)).collect();
    shown("At random", "Drawn once, whatever they show.", &random, &mut html);
    let mut classes: BTreeMap<u32, Instance> = BTreeMap::new();
    for query in queries {
        let instance = near.instance(query);
        if let Some(label) = data.label(instance.0, instance.1) {
            classes.entry(label).or_insert(instance);
        }
    }
    let of_classes: Vec<Instance> = classes.into_values().take(MOST_CLASSES).collect();
    let most = if data.class_count() > MOST_CLASSES {
        format!(", of the first {MOST_CLASSES} classes")
    } else {
        String::new()
    };
    shown("One of each class", &format!("The first instance of each{most}."), &of_classes, &mut html);
    html.push_str(&between_classes(data, near, album));
    Section { id: "neighbors", title: "Neighbours", html }
}

/// What the neighbours of the first part say; nothing where it has no label, or they have none.
fn vote(data: &Data<'_>, near: &Near, query: u32) -> Option<Vote> {
    let instance = near.instance(query);
    let own = data.label(instance.0, instance.1)?;
    let class = |(other, similarity)| {
        let (part, other) = near.instance(other);
        Some((data.label(part, other)?, similarity))
    };
    let (predicted, share) = likeliest(&votes(near.of_part(query, 0).filter_map(class)), |_| 0.0)?;
    Some(Vote { instance, own, predicted, share })
}

/// An instance, and its nearest beside it.
fn beside(data: &Data<'_>, near: &Near, instance: Instance, album: &mut Album<'_>) -> String {
    let own = data.label(instance.0, instance.1);
    let class = |label: Option<u32>| {
        label.map_or_else(String::new, |label| format!("<span>{}</span>", name(&data.class(label))))
    };
    let mut shots = vec![album.figure(instance, &class(own), "anchor")];
    let nearest: Vec<(u32, f32)> = near.of_part(near.number(instance), 0).take(NEAREST).collect();
    for (other, similarity) in &nearest {
        let (part, other) = near.instance(*other);
        let label = data.label(part, other);
        let other_class = own.is_some() && label.is_some() && label != own;
        let word = if other_class { "<b>another class</b>" } else { "" };
        let caption =
            format!("{word}<span>similarity {}</span>{}", number(f64::from(*similarity)), class(label));
        shots.push(album.figure((part, other), &caption, if other_class { "wrong" } else { "" }));
    }
    let about = match own {
        Some(label) => format!("{}: its nearest", name(&data.class(label))),
        None => "its nearest".to_owned(),
    };
    row(&about, &shots)
}

/// An edge between two classes.
struct Edge {
    similarity: f32,
    from: u32,
    to: u32,
}

/// How many edges lead from class to class, and the most similar pairs of the most tied classes.
fn between_classes(data: &Data<'_>, near: &Near, album: &mut Album<'_>) -> String {
    let label = |number: u32| {
        let (part, instance) = near.instance(number);
        data.label(part, instance)
    };
    let mut edges: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    let mut best: BTreeMap<(u32, u32), Vec<Edge>> = BTreeMap::new();
    let (mut all, mut across) = (0_u64, 0_u64);
    for own in 0..near.len() as u32 {
        let Some(from) = label(own) else { continue };
        for (other, similarity) in near.graph.neighbors(own).iter().zip(near.graph.similarities(own)) {
            let Some(to) = label(*other) else { continue };
            all += 1;
            *edges.entry((from, to)).or_default() += 1;
            if from != to {
                across += 1;
                let pair = (from.min(to), from.max(to));
                let kept = best.entry(pair).or_default();
                let edge = Edge { similarity: *similarity, from: own.min(*other), to: own.max(*other) };
                if kept.iter().any(|known| (known.from, known.to) == (edge.from, edge.to)) {
                    continue;
                }
                kept.push(edge);
                kept.sort_by(|a, b| {
                    b.similarity.total_cmp(&a.similarity).then((a.from, a.to).cmp(&(b.from, b.to)))
                });
                kept.truncate(SHOWN_PAIRS);
            }
        }
    }
    if across == 0 {
        return String::new();
    }
    let mut pairs: Vec<((u32, u32), u64)> = best
        .keys()
        .map(|(a, b)| {
            let both = [(*a, *b), (*b, *a)].iter().filter_map(|pair| edges.get(pair)).sum();
            ((*a, *b), both)
        })
        .collect();
    pairs.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut html = format!(
        "<h3>Look-alikes between classes</h3><p>{} of the ties between nearest neighbours lead to another class.</p>",
        percent(across as f64 / all as f64)
    );
    html.push_str(&matrix(data, &edges, &pairs));
    for ((a, b), both) in pairs.iter().take(MOST_PAIRS) {
        let mut shots = Vec::new();
        for edge in &best[&(*a, *b)] {
            for number_of in [edge.from, edge.to] {
                let caption = format!(
                    "<span>{}</span><span>similarity {}</span>",
                    name(&data.class(label(number_of).unwrap_or(0))),
                    number(f64::from(edge.similarity))
                );
                shots.push(album.figure(near.instance(number_of), &caption, ""));
            }
        }
        html.push_str(&row(
            &format!(
                "{} and {}: {} ties, the most similar pairs",
                name(&data.class(*a)),
                name(&data.class(*b)),
                count(*both)
            ),
            &shots,
        ));
    }
    html
}

/// The classes with most ties to others, and to whom these lead.
fn matrix(data: &Data<'_>, edges: &BTreeMap<(u32, u32), u64>, pairs: &[((u32, u32), u64)]) -> String {
    let mut classes: Vec<u32> = Vec::new();
    for ((a, b), _) in pairs {
        for class in [a, b] {
            if classes.len() < MOST_CLASSES && !classes.contains(class) {
                classes.push(*class);
            }
        }
    }
    classes.sort_unstable();
    let of = |from: u32| edges.range((from, 0)..=(from, u32::MAX)).map(|(_, ties)| ties).sum::<u64>().max(1);
    let cell = |from: u32, to: u32| {
        let share = edges.get(&(from, to)).copied().unwrap_or(0) as f64 / of(from) as f64;
        let shade = if from == to { 0 } else { (share * 40.0).ceil().min(4.0) as usize };
        format!(
            "<span class=\"b{shade}\">{}</span>",
            if share == 0.0 { "·".to_owned() } else { format!("{:.0} %", 100.0 * share) }
        )
    };
    let rows: Vec<Vec<String>> = classes
        .iter()
        .map(|from| {
            std::iter::once(name(&data.class(*from)))
                .chain(classes.iter().map(|to| cell(*from, *to)))
                .collect()
        })
        .collect();
    let names: Vec<String> = classes.iter().map(|class| name(&data.class(*class))).collect();
    let head: Vec<&str> = std::iter::once("from \\ to").chain(names.iter().map(String::as_str)).collect();
    let most = if data.class_count() > classes.len() {
        format!(", the {} classes with most ties to others", classes.len())
    } else {
        String::new()
    };
    let caption = format!("Share of the ties of a class (row) that lead to each class (column){most}");
    format!("<div class=\"heat\">{}</div>", table(&caption, &head, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::album::NoPictures;
    use crate::data::Part;
    use lookalike_base::{Rows, Watch};

    #[test]
    fn a_wrong_label_among_its_like_is_the_first_mistake() {
        // Two clusters; instance 3 lies in the first and says it is of the second.
        let values: Vec<f32> = (0..40)
            .flat_map(|row| if row < 20 { [1.0, 0.01 * row as f32] } else { [0.01 * row as f32, 1.0] })
            .collect();
        let mut labels: Vec<u32> = (0..40).map(|row| u32::from(row >= 20)).collect();
        labels[3] = 1;
        let data = Data {
            name: "test".into(),
            parts: vec![Part { name: "all", rows: Rows::new(&values, 2).unwrap(), labels: &labels }],
            classes: vec!["one".into(), "two".into()],
            plan: &[],
            compared: None,
            pairs: false,
            untrained: None,
            pictures: &NoPictures,
        };
        let near = Near::of(&data, Watch::default()).unwrap().unwrap();
        let found = vote(&data, &near, 3).unwrap();
        assert_eq!((found.own, found.predicted), (1, 0));
        let html = section(&data, &near, &mut Album::new(&NoPictures, 0)).html;
        assert!(html.contains("for 1 of 40 instances"), "{html}");
        assert!(html.contains("<bdi>one</bdi> and <bdi>two</bdi>: "));
        assert_eq!((near.instance(39), near.number((0, 5))), ((0, 39), 5));
    }
}
