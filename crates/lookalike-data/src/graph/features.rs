//! The features that describe a node.

use super::graph_set::{GraphRef, GraphSet};
use crate::error::DataError;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Limit of the columns of features. The degree, one-hot, can reach it; `max_degree` lowers it.
const MAX_COLUMNS: usize = 1 << 16;

/// One part of the description of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// Its label, one-hot; where nodes have several, each.
    NodeLabels,
    /// Its attributes.
    Attributes,
    /// The number of its neighbours, one-hot from 0 to the greatest of the set.
    Degree,
    /// The number 1.
    Constant,
}

/// How a node is described: parts side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureRule {
    /// The parts, in their order.
    pub parts: Vec<Feature>,
    /// The greatest degree that has a column, which nodes with more neighbours share; if absent the greatest
    /// of the set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_degree: Option<u32>,
    /// The labels of nodes that have a column, in this order, as the files write them; if absent those of the
    /// set, ascending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_labels: Option<Vec<String>>,
}

impl FeatureRule {
    /// Parts whose columns are those of the set.
    pub fn of(parts: Vec<Feature>) -> Self {
        Self { parts, max_degree: None, node_labels: None }
    }

    /// The same rule with everything that depends on `set` written out, so that it gives nodes of another set
    /// the same columns.
    #[must_use]
    pub fn fitted(mut self, set: &GraphSet) -> Self {
        if self.parts.contains(&Feature::Degree) {
            self.max_degree.get_or_insert(set.max_degree() as u32);
        }
        if let Some(labels) = set.node_labels().filter(|_| self.parts.contains(&Feature::NodeLabels)) {
            self.node_labels.get_or_insert_with(|| labels.names.clone());
        }
        self
    }

    /// The rule of GraphCL's published results: labels of nodes where the set has them, else the constant.
    pub fn graphcl(set: &GraphSet) -> Self {
        let part = if set.node_labels().is_some() { Feature::NodeLabels } else { Feature::Constant };
        Self::of(vec![part])
    }

    /// The rule of MVGRL's published results: attributes where the set has them; else the degree, behind
    /// labels of nodes where there are any.
    pub fn mvgrl(set: &GraphSet) -> Self {
        Self::of(match (set.attributes(), set.node_labels()) {
            (Some(_), _) => vec![Feature::Attributes],
            (None, Some(_)) => vec![Feature::NodeLabels, Feature::Degree],
            (None, None) => vec![Feature::Degree],
        })
    }
}

/// A rule that was checked against a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// Each part with its number of columns.
    parts: Vec<(Feature, usize)>,
    /// The column of each label of nodes of the set.
    label_columns: Vec<usize>,
}

impl Features {
    /// Checks `rule` against `set`.
    ///
    /// # Errors
    /// [`DataError::Option`] where the rule is empty, lists a part twice, asks for what the set does not
    /// hold, has no column for a label of the set, or gives more than 65,536 columns.
    pub fn new(rule: &FeatureRule, set: &GraphSet) -> Result<Self, DataError> {
        let wrong =
            |key: &str, problem: String| DataError::Option { key: format!("graphs.features{key}"), problem };
        if rule.parts.is_empty() {
            return Err(wrong(
                "",
                "no feature is named; a node needs at least one, for instance `constant`".to_owned(),
            ));
        }
        let (mut parts, mut label_columns) = (Vec::new(), Vec::new());
        for part in &rule.parts {
            if parts.iter().any(|(before, _)| before == part) {
                return Err(wrong("", format!("{part:?} is listed twice")));
            }
            let missing = |what: &str| {
                wrong("", format!("{} has no {what}; every set has degree and constant", set.name()))
            };
            let columns = match part {
                Feature::NodeLabels => {
                    let own = &set.node_labels().ok_or_else(|| missing("labels of nodes"))?.names;
                    let known = rule.node_labels.as_ref().unwrap_or(own);
                    let column_of: HashMap<&String, usize> = known.iter().zip(0..).collect();
                    if column_of.len() < known.len() {
                        return Err(wrong(".node_labels", "a label is listed twice".to_owned()));
                    }
                    for label in own {
                        let column = column_of.get(label).ok_or_else(|| {
                            let problem = format!(
                                "{} has nodes labelled {label}, but none of the {} columns is for that label",
                                set.name(),
                                known.len()
                            );
                            wrong(".node_labels", problem)
                        })?;
                        label_columns.push(*column);
                    }
                    known.len()
                }
                Feature::Attributes => {
                    set.attributes().ok_or_else(|| missing("attributes of nodes"))?.columns()
                }
                Feature::Degree => rule.max_degree.map_or(set.max_degree(), |most| most as usize) + 1,
                Feature::Constant => 1,
            };
            parts.push((*part, columns));
        }
        if rule.max_degree.is_some() && !rule.parts.contains(&Feature::Degree) {
            return Err(wrong(".max_degree", "has no effect without the feature `degree`".to_owned()));
        }
        if rule.node_labels.is_some() && !rule.parts.contains(&Feature::NodeLabels) {
            return Err(wrong(".node_labels", "has no effect without the feature `node-labels`".to_owned()));
        }
        let columns: usize = parts.iter().map(|(_, columns)| columns).sum();
        if columns > MAX_COLUMNS {
            let problem =
                format!("{columns} columns exceed the limit of {MAX_COLUMNS}; give a lower max_degree");
            return Err(wrong("", problem));
        }
        Ok(Self { parts, label_columns })
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
                let number = graph.first() + node;
                match part {
                    Feature::NodeLabels => {
                        if let Some(labels) = set.node_labels() {
                            for label in labels.of(number) {
                                own[self.label_columns[*label as usize]] = 1.0;
                            }
                        }
                    }
                    Feature::Attributes => {
                        if let Some(attributes) = set.attributes() {
                            own.copy_from_slice(attributes.row(number));
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
