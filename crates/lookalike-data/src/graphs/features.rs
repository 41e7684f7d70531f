//! What a node is described by.

use super::set::{GraphRef, GraphSet};
use crate::error::DataError;
use serde::{Deserialize, Serialize};

/// Most columns of features. A wider description wants a limit of degrees.
const MOST_COLUMNS: usize = 1 << 16;

/// One part of the description of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// Its label, one-hot.
    NodeLabels,
    /// Its attributes.
    Attributes,
    /// The number of its neighbours, one-hot from 0 to the greatest of the set.
    Degree,
    /// 1, which says nothing.
    Constant,
}

/// How a node is described: parts side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureRule {
    /// The parts, in their order.
    pub parts: Vec<Feature>,
    /// Where given, nodes with more neighbours share the column of those with so many.
    #[serde(default)]
    pub max_degree: Option<u32>,
}

impl FeatureRule {
    /// What GraphCL's published results rest on: labels of nodes where the set has them, else the constant.
    pub fn graphcl(set: &GraphSet) -> Self {
        let part = if set.node_labels().is_some() { Feature::NodeLabels } else { Feature::Constant };
        Self { parts: vec![part], max_degree: None }
    }

    /// What MVGRL's published results rest on: attributes where the set has them; else the degree, behind labels of nodes
    /// where there are any.
    pub fn mvgrl(set: &GraphSet) -> Self {
        let parts = match (set.attributes(), set.node_labels()) {
            (Some(_), _) => vec![Feature::Attributes],
            (None, Some(_)) => vec![Feature::NodeLabels, Feature::Degree],
            (None, None) => vec![Feature::Degree],
        };
        Self { parts, max_degree: None }
    }
}

/// A rule that fits a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// Each part with its number of columns.
    parts: Vec<(Feature, usize)>,
}

impl Features {
    /// Checks `rule` against `set`.
    ///
    /// # Errors
    /// [`DataError::Option`] where the rule is empty, asks twice for the same or for what the set does not hold, or gives
    /// more columns than 65,536.
    pub fn new(rule: &FeatureRule, set: &GraphSet) -> Result<Self, DataError> {
        let wrong =
            |key: &str, problem: String| DataError::Option { key: format!("graphs.features{key}"), problem };
        if rule.parts.is_empty() {
            return Err(wrong(
                "",
                "no feature is named, and a node needs one; `constant` is the least".to_owned(),
            ));
        }
        let mut parts = Vec::new();
        for part in &rule.parts {
            if parts.iter().any(|(before, _)| before == part) {
                return Err(wrong("", format!("{part:?} is named twice")));
            }
            let missing = |what: &str| {
                let others =
                    "node-labels, attributes, degree and constant, and not all sets hold the first two";
                wrong("", format!("{} has no {what}; there are {others}", set.name()))
            };
            let columns = match part {
                Feature::NodeLabels => {
                    set.node_labels().ok_or_else(|| missing("labels of nodes"))?.names.len()
                }
                Feature::Attributes => {
                    set.attributes().ok_or_else(|| missing("attributes of nodes"))?.columns()
                }
                Feature::Degree => {
                    let greatest = set.max_degree();
                    rule.max_degree.map_or(greatest, |most| greatest.min(most as usize)) + 1
                }
                Feature::Constant => 1,
            };
            parts.push((*part, columns));
        }
        if rule.max_degree.is_some() && !rule.parts.contains(&Feature::Degree) {
            return Err(wrong(".max_degree", "has no effect without the feature `degree`".to_owned()));
        }
        let columns: usize = parts.iter().map(|(_, columns)| columns).sum();
        if columns > MOST_COLUMNS {
            return Err(wrong("", format!("{columns} columns are more than {MOST_COLUMNS}; set max_degree")));
        }
        Ok(Self { parts })
    }

    /// Number of columns, d.
    pub fn columns(&self) -> usize {
        self.parts.iter().map(|(_, columns)| columns).sum()
    }

    /// The features of the nodes of `graph`, which is of `set`, row after row.
    pub fn of(&self, set: &GraphSet, graph: GraphRef<'_>) -> Vec<f32> {
        let columns = self.columns();
        let mut values = vec![0.0; graph.nodes() * columns];
        for (node, row) in values.chunks_exact_mut(columns).enumerate() {
            let mut rest = row;
            for (part, columns) in &self.parts {
                let (own, others) = rest.split_at_mut(*columns);
                rest = others;
                let place = graph.first() + node;
                match part {
                    Feature::NodeLabels => {
                        if let Some(labels) = set.node_labels() {
                            own[labels.labels[place] as usize] = 1.0;
                        }
                    }
                    Feature::Attributes => {
                        if let Some(attributes) = set.attributes() {
                            own.copy_from_slice(attributes.row(place));
                        }
                    }
                    Feature::Degree => own[graph.neighbors(node).len().min(columns - 1)] = 1.0,
                    Feature::Constant => own[0] = 1.0,
                }
            }
        }
        values
    }
}
