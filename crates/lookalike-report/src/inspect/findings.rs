//! What was found.

use std::collections::HashMap;

use lookalike_base::RowSource;
use lookalike_base::hash::Hasher;
use lookalike_sampling::{Groups, ProximityGraph, UNLABELLED, connected_components};

use super::labels::{Labelled, asked};
use super::{InspectOptions, Inspected};
use crate::near::distance;

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
    /// Median distance of an instance to its nearest, of unit vectors, of those whose nearest is not the same.
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
    let count = equal.len() as u32;
    let ties = tied(count, |own| {
        let others = [equal[own as usize], near[own as usize]].into_iter().filter(move |other| *other != own);
        others.map(|other| (other, 1.0))
    });
    // Components are numbered in the order of their first members, by which groups are called.
    let (components, mut first_members) = (connected_components(&ties), Vec::new());
    let mut group = |(instance, component): (u32, &u32)| {
        if *component as usize == first_members.len() {
            first_members.push(instance);
        }
        first_members[*component as usize]
    };
    let groups: Vec<u32> = (0..count).zip(&components).map(&mut group).collect();
    let mut members: HashMap<u32, Vec<u32>> = HashMap::new();
    for (instance, group) in (0..count).zip(&groups) {
        members.entry(*group).or_default().push(instance);
    }
    members.retain(|_, members| members.len() > 1);
    // The second of those that are the same, for the first of them.
    let mut second: HashMap<u32, u32> = HashMap::new();
    for (instance, first) in (0..count).zip(equal).filter(|(instance, first)| instance != *first) {
        second.entry(*first).or_insert(instance);
    }
    // The first of a group in each split.
    let split = |instance: u32| data.splits.get(instance as usize).copied();
    let mut first_in: HashMap<(u32, Option<u32>), u32> = HashMap::new();
    let mut splits: HashMap<u32, Vec<Option<u32>>> = HashMap::new();
    for (instance, group) in (0..count).zip(&groups).filter(|(_, group)| members.contains_key(group)) {
        first_in.entry((*group, split(instance))).or_insert_with(|| {
            splits.entry(*group).or_default().push(split(instance));
            instance
        });
    }
    let similarity = |own: u32, other: u32| {
        let of = |own: u32, other: u32| {
            let place = graph.neighbors(own).iter().position(|neighbor| *neighbor == other)?;
            Some(f64::from(graph.similarities(own)[place]))
        };
        if equal[own as usize] == equal[other as usize] {
            Some(1.0)
        } else {
            of(own, other).or_else(|| of(other, own))
        }
    };
    for (instance, group) in (0..count).zip(&groups) {
        let Some(members) = members.get(group) else { continue };
        let first = equal[instance as usize];
        let same = if first == instance { second.get(&instance).copied() } else { Some(first) };
        let (issue, other) = if same.is_some() {
            (Issue::ExactDuplicate, same)
        } else {
            // The nearest of its group, or another where none is among its neighbours.
            let own = |other: &&u32| groups[**other as usize] == *group;
            let nearest = graph.neighbors(instance).iter().find(own).copied();
            (
                Issue::NearDuplicate,
                nearest.or_else(|| members.iter().copied().find(|other| *other != instance)),
            )
        };
        let score = other.and_then(|other| similarity(instance, other)).unwrap_or(f64::NAN);
        all.push(Finding { instance, issue, score, other, suggested: None });
        if let Some(elsewhere) = splits[group].iter().find(|other| **other != split(instance)) {
            let other = first_in[&(*group, *elsewhere)];
            let score = similarity(instance, other).unwrap_or(score);
            all.push(Finding { instance, issue: Issue::Leak, score, other: Some(other), suggested: None });
        }
    }
    groups.iter().map(|group| if members.contains_key(group) { i64::from(*group) } else { -1 }).collect()
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
    let near = tied(graph.instances() as u32, |own| {
        let edges = graph.neighbors(own).iter().copied().zip(graph.similarities(own).iter().copied());
        edges.take_while(|(_, similarity)| distance(*similarity) <= limit)
    });
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

/// The graph of these edges of each instance, none of which leads to itself or beyond `count`.
fn tied<E: Iterator<Item = (u32, f32)>>(count: u32, edges: impl Fn(u32) -> E) -> ProximityGraph {
    let (mut degrees, mut neighbors, mut similarities) = (Vec::new(), Vec::new(), Vec::new());
    for own in 0..count {
        let before = neighbors.len();
        for (other, similarity) in edges(own) {
            neighbors.push(other);
            similarities.push(similarity);
        }
        degrees.push((neighbors.len() - before) as u32);
    }
    ProximityGraph::from_edges(&degrees, neighbors, similarities)
        .unwrap_or_else(|error| unreachable!("edges between instances: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::album::NoPictures;

    #[test]
    fn equal_and_near_ones_that_meet_are_one_group() {
        // 2 and 3 are near each other, 0 is the same as 2 and 1 the same as 3; 4 is alone.
        let graph = ProximityGraph::from_edges(&[0, 0, 1, 1, 0], vec![3, 2], vec![0.9, 0.9]).unwrap();
        let (equal, near) = ([0, 1, 0, 1, 4], [0, 1, 2, 2, 4]);
        let splits = [0, 1, 0, 0, 1];
        let data = Inspected {
            name: String::new(),
            labels: &[],
            classes: Vec::new(),
            splits: &splits,
            split_names: Vec::new(),
            contents: &[],
            pictures: &NoPictures,
        };
        let mut all = Vec::new();
        assert_eq!(duplicates(&equal, &near, &graph, &data, &mut all), [0, 0, 0, 0, -1]);
        let of = |issue| {
            let own = all.iter().filter(move |finding: &&Finding| finding.issue == issue);
            own.map(|finding| (finding.instance, finding.other)).collect::<Vec<_>>()
        };
        let same = [(0, Some(2)), (1, Some(3)), (2, Some(0)), (3, Some(1))];
        assert_eq!((of(Issue::ExactDuplicate), of(Issue::NearDuplicate)), (same.to_vec(), Vec::new()));
        assert_eq!(of(Issue::Leak), [(0, Some(1)), (1, Some(0)), (2, Some(1)), (3, Some(1))]);
    }

    #[test]
    fn many_equal_rows_take_no_time() {
        let rows = lookalike_base::Matrix::new([1.0, 2.0].repeat(30_000), 2).unwrap();
        let equal = equal_groups(&rows.rows(), &[]);
        let data = Inspected {
            name: String::new(),
            labels: &[],
            classes: Vec::new(),
            splits: &[],
            split_names: Vec::new(),
            contents: &[],
            pictures: &NoPictures,
        };
        let mut all = Vec::new();
        let graph = ProximityGraph::empty(30_000);
        let near: Vec<u32> = (0..30_000).collect();
        assert!(duplicates(&equal, &near, &graph, &data, &mut all).iter().all(|group| *group == 0));
        assert!(all.len() == 30_000 && all.iter().all(|finding| finding.score == 1.0));
    }
}
