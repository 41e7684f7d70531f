//! What was found.

use std::collections::HashMap;

use lookalike_base::RowSource;
use lookalike_base::hash::Hasher;
use lookalike_sampling::{Groups, ProximityGraph, UNLABELLED, connected_components};

use super::labels::{Labelled, asked};
use super::{InspectOptions, Inspected};

/// Far beyond the upper quartile, in widths of the middle half (Tukey 1977, *Exploratory Data Analysis*: "far out").
const FAR_OUT: f64 = 3.0;

/// What can be wrong with an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Issue {
    /// Another instance is the same.
    ExactDuplicate,
    /// Another instance is nearly the same.
    NearDuplicate,
    /// The same thing, or nearly, is in another split.
    Leak,
    /// Its nearest say that it is of another class.
    LabelError,
    /// One of another class looks alike.
    AcrossClasses,
    /// It is far from everybody.
    Outlier,
}

impl Issue {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 6] = [
        Self::ExactDuplicate,
        Self::NearDuplicate,
        Self::Leak,
        Self::LabelError,
        Self::AcrossClasses,
        Self::Outlier,
    ];

    /// The word for it in tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::ExactDuplicate => "exact-duplicate",
            Self::NearDuplicate => "near-duplicate",
            Self::Leak => "leak",
            Self::LabelError => "label-error",
            Self::AcrossClasses => "across-classes",
            Self::Outlier => "outlier",
        }
    }
}

/// Something that may be wrong with an instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The instance.
    pub instance: u32,
    /// What may be wrong.
    pub issue: Issue,
    /// Of duplicates, leaks and look-alikes the similarity, from −1 to 1; of label errors the probability of the given label; of outliers
    /// how many times as far the nearest are as those of half of all.
    pub score: f64,
    /// The other instance that it is about.
    pub other: Option<u32>,
    /// The likelier class.
    pub suggested: Option<u32>,
}

/// All that was found.
#[derive(Debug, Clone)]
pub struct Findings {
    /// What was found, by issue and then by how clear it is.
    pub all: Vec<Finding>,
    /// Groups of duplicates, exact and near ones: the number of its group for each instance, its first member; −1 for those alone.
    pub duplicates: Vec<i64>,
    /// Groups of look-alikes of three or more, the largest first.
    pub look_alikes: Vec<Vec<u32>>,
    /// Median distance of an instance to its nearest, of unit vectors.
    pub median_distance: f64,
    /// Share of the labels that the nearest would have given; nothing without labels.
    pub accuracy: Option<f64>,
    /// Who is nearest to whom.
    pub graph: ProximityGraph,
}

impl Findings {
    pub(super) fn of(
        embeddings: &impl RowSource,
        graph: ProximityGraph,
        data: &Inspected<'_>,
        options: &InspectOptions,
    ) -> Self {
        let count = graph.instances() as u32;
        let nearest = |own: u32| graph.similarities(own).first().map(|similarity| distance(*similarity));
        let mut distances: Vec<f64> =
            (0..count).filter_map(nearest).filter(|distance| *distance > 0.0).collect();
        let median_distance = median(&mut distances);
        let equal = equal_groups(embeddings, data.contents);
        let near = Groups::near_duplicates(&graph, options.duplicate_factor).first_members();
        let mut all = Vec::new();
        let duplicates = duplicates(&equal, &near, &graph, data, &mut all);
        let Labelled { suspected, accuracy } = asked(&graph, data.labels);
        all.extend(suspected);
        across(&graph, data.labels, median_distance, &mut all);
        outliers(&graph, &mut all);
        all.sort_by(|a, b| {
            a.issue.cmp(&b.issue).then_with(|| clearer(a, b)).then(a.instance.cmp(&b.instance))
        });
        let look_alikes = look_alikes(&graph, options.look_alike_factor * median_distance);
        Self { all, duplicates, look_alikes, median_distance, accuracy, graph }
    }

    /// The findings of a kind.
    pub fn of_issue(&self, issue: Issue) -> impl Iterator<Item = &Finding> {
        self.all.iter().filter(move |finding| finding.issue == issue)
    }
}

/// The clearer finding first: of label errors the least likely label, of all others the greatest score.
fn clearer(a: &Finding, b: &Finding) -> std::cmp::Ordering {
    match a.issue {
        Issue::LabelError => a.score.total_cmp(&b.score),
        _ => b.score.total_cmp(&a.score),
    }
}

/// The distance of two unit vectors of this similarity.
pub(super) fn distance(similarity: f32) -> f64 {
    (2.0 - 2.0 * f64::from(similarity)).max(0.0).sqrt()
}

fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// The first instance that is the same as each: of equal contents, or of equal embeddings where there are none.
fn equal_groups(embeddings: &impl RowSource, contents: &[u64]) -> Vec<u32> {
    let count = embeddings.len();
    let mut first: HashMap<[u64; 2], u32> = HashMap::new();
    let mut row = vec![0.0; embeddings.columns()];
    (0..count as u32)
        .map(|instance| {
            let key = if let Some(content) = contents.get(instance as usize) {
                [*content, 0]
            } else {
                embeddings.read_row(instance as usize, &mut row);
                // Rows of zeros, as of what could not be embedded, are no duplicates.
                if row.iter().all(|value| *value == 0.0) {
                    [u64::from(instance), 1]
                } else {
                    let mut hasher = Hasher::new();
                    hasher.numbers(row.iter().map(|value| value.to_le_bytes()));
                    [hasher.short(), 2]
                }
            };
            *first.entry(key).or_insert(instance)
        })
        .collect()
}

/// Duplicates and leaks, and the group of each instance.
fn duplicates(
    equal: &[u32],
    near: &[u32],
    graph: &ProximityGraph,
    data: &Inspected<'_>,
    all: &mut Vec<Finding>,
) -> Vec<i64> {
    // Both relations together: an exact duplicate of a near one is in the group too.
    let mut groups: HashMap<u32, u32> = HashMap::new();
    let mut root: Vec<u32> = near.to_vec();
    for (instance, first) in equal.iter().enumerate() {
        let (own, other) = (root[instance], root[*first as usize]);
        if own != other {
            groups.insert(own.max(other), own.min(other));
        }
    }
    let settle = |mut group: u32| {
        while let Some(lower) = groups.get(&group) {
            group = *lower;
        }
        group
    };
    for group in &mut root {
        *group = settle(*group);
    }
    let mut sizes: HashMap<u32, usize> = HashMap::new();
    for group in &root {
        *sizes.entry(*group).or_default() += 1;
    }
    let mut members: HashMap<u32, Vec<u32>> = HashMap::new();
    for (instance, group) in (0_u32..).zip(&root) {
        if sizes[group] > 1 {
            members.entry(*group).or_default().push(instance);
        }
    }
    let similarity = |own: u32, other: u32| {
        let of = |own: u32, other: u32| {
            graph
                .neighbors(own)
                .iter()
                .position(|neighbor| *neighbor == other)
                .map(|place| f64::from(graph.similarities(own)[place]))
        };
        of(own, other).or_else(|| of(other, own))
    };
    for (instance, group) in (0_u32..).zip(&root) {
        if sizes[group] < 2 {
            continue;
        }
        let others = || members[group].iter().copied().filter(|other| *other != instance);
        let same = others().find(|other| equal[*other as usize] == equal[instance as usize]);
        // The nearest of its group, or the first where none is among its neighbours.
        let nearest = || {
            let near = others().filter_map(|other| Some((similarity(instance, other)?, other)));
            near.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)))
        };
        let (issue, score, other) = match (same, nearest()) {
            (Some(other), _) => (Issue::ExactDuplicate, 1.0, Some(other)),
            (None, Some((score, other))) => (Issue::NearDuplicate, score, Some(other)),
            (None, None) => (Issue::NearDuplicate, f64::NAN, others().next()),
        };
        all.push(Finding { instance, issue, score, other, suggested: None });
        let elsewhere =
            others().find(|other| data.splits.get(*other as usize) != data.splits.get(instance as usize));
        if let Some(other) = elsewhere {
            let score = if equal[other as usize] == equal[instance as usize] {
                1.0
            } else {
                similarity(instance, other).unwrap_or(score)
            };
            all.push(Finding { instance, issue: Issue::Leak, score, other: Some(other), suggested: None });
        }
    }
    root.iter().map(|group| if sizes[group] > 1 { i64::from(*group) } else { -1 }).collect()
}

/// Mutual neighbours of different classes that are nearer than half of all are to their nearest.
fn across(graph: &ProximityGraph, labels: &[u32], limit: f64, all: &mut Vec<Finding>) {
    if labels.is_empty() {
        return;
    }
    let label = |instance: u32| Some(labels[instance as usize]).filter(|label| *label != UNLABELLED);
    for own in 0..graph.instances() as u32 {
        let Some(mine) = label(own) else { continue };
        let edges = graph.neighbors(own).iter().zip(graph.similarities(own));
        let mut near = edges.take_while(|(_, similarity)| distance(**similarity) <= limit);
        let found = near.find(|(other, _)| {
            label(**other).is_some_and(|theirs| theirs != mine) && graph.neighbors(**other).contains(&own)
        });
        if let Some((other, similarity)) = found {
            let (score, suggested) = (f64::from(*similarity), label(*other));
            all.push(Finding {
                instance: own,
                issue: Issue::AcrossClasses,
                score,
                other: Some(*other),
                suggested,
            });
        }
    }
}

/// Those whose nearest are far out.
fn outliers(graph: &ProximityGraph, all: &mut Vec<Finding>) {
    let mean = |own: u32| {
        let similarities = graph.similarities(own);
        similarities.iter().map(|similarity| distance(*similarity)).sum::<f64>()
            / similarities.len().max(1) as f64
    };
    let means: Vec<f64> = (0..graph.instances() as u32).map(mean).collect();
    let mut sorted = means.clone();
    sorted.sort_by(f64::total_cmp);
    let quartile = |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
    let fence = quartile(0.75) + FAR_OUT * (quartile(0.75) - quartile(0.25));
    let middle = quartile(0.5).max(f64::MIN_POSITIVE);
    for (instance, mean) in (0..).zip(&means) {
        if *mean > fence {
            let other = graph.neighbors(instance).first().copied();
            all.push(Finding {
                instance,
                issue: Issue::Outlier,
                score: mean / middle,
                other,
                suggested: None,
            });
        }
    }
}

/// Groups of three or more that are tied by mutual neighbours no farther apart than `limit`, the largest first.
fn look_alikes(graph: &ProximityGraph, limit: f64) -> Vec<Vec<u32>> {
    let (mut degrees, mut neighbors, mut similarities) = (Vec::new(), Vec::new(), Vec::new());
    for own in 0..graph.instances() as u32 {
        let edges = graph.neighbors(own).iter().zip(graph.similarities(own));
        let near = edges.take_while(|(_, similarity)| distance(**similarity) <= limit);
        let before = neighbors.len();
        for (other, similarity) in near {
            neighbors.push(*other);
            similarities.push(*similarity);
        }
        degrees.push((neighbors.len() - before) as u32);
    }
    let near = ProximityGraph::from_edges(&degrees, neighbors, similarities)
        .unwrap_or_else(|_| ProximityGraph::empty(graph.instances()));
    let components = connected_components(&near.mutual());
    let mut groups: Vec<Vec<u32>> =
        vec![Vec::new(); components.iter().max().map_or(0, |most| *most as usize + 1)];
    for (instance, component) in (0_u32..).zip(&components) {
        groups[*component as usize].push(instance);
    }
    groups.retain(|group| group.len() > 2);
    groups.sort_by(|a, b| b.len().cmp(&a.len()).then(a[0].cmp(&b[0])));
    groups
}
