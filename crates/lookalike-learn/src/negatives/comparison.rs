//! Queries beside what they are compared with. The units are rows of instances, or any others: columns of assignments have no
//! instance, and then no ids.

use std::collections::HashMap;
use std::sync::Arc;

use rayon::prelude::*;

use super::oracle;
use super::relevance::Relevance;
use crate::engine::Tensor;
use crate::input::RowId;
use crate::loss::nt_xent::{all_views, own_row, own_views};
use crate::loss::{Mask, Similarities, normalize};

/// Stands where a candidate belongs to no instance: the random vectors that a queue starts with.
pub const NO_INSTANCE: u32 = u32::MAX;

/// Whose candidate each row is.
#[derive(Debug, Clone)]
pub enum InstanceIds {
    /// Row i is instance i's, of so many: a memory bank.
    Rows(usize),
    /// One instance a row, or [`NO_INSTANCE`].
    Listed(Arc<Vec<u32>>),
}

impl InstanceIds {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Rows(rows) => *rows,
            Self::Listed(ids) => ids.len(),
        }
    }

    /// Whose candidate `row` is.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn of(&self, row: usize) -> u32 {
        match self {
            Self::Rows(_) => row as u32,
            Self::Listed(ids) => ids[row],
        }
    }

    /// The rows of each of `instances`, without looking at any row more than once.
    pub fn rows_of(&self, instances: &[u32]) -> Vec<Vec<u32>> {
        match self {
            // The one entry of its own, without looking at the others.
            Self::Rows(rows) => instances
                .iter()
                .map(|own| Some(*own).filter(|own| (*own as usize) < *rows).into_iter().collect())
                .collect(),
            Self::Listed(ids) => {
                let mut own: HashMap<u32, Vec<u32>> =
                    instances.iter().map(|instance| (*instance, Vec::new())).collect();
                for (id, row) in ids.iter().zip(0..) {
                    if let Some(rows) = own.get_mut(id) {
                        rows.push(row);
                    }
                }
                instances.iter().map(|instance| own[instance].clone()).collect()
            }
        }
    }
}

impl From<Vec<u32>> for InstanceIds {
    fn from(ids: Vec<u32>) -> Self {
        Self::Listed(Arc::new(ids))
    }
}

impl FromIterator<u32> for InstanceIds {
    fn from_iter<I: IntoIterator<Item = u32>>(ids: I) -> Self {
        ids.into_iter().collect::<Vec<u32>>().into()
    }
}

/// Whose queries and candidates a comparison has.
#[derive(Debug, Clone)]
pub struct Ids {
    /// Whose query each row is.
    pub queries: Vec<RowId>,
    /// Whose candidate each row is.
    pub candidates: InstanceIds,
}

impl Ids {
    /// Whose query each row is, whichever the view.
    pub fn instances(&self) -> Vec<u32> {
        self.queries.iter().map(|row| row.instance).collect()
    }

    /// Of each query the candidates of its class, by the labels of instances.
    pub fn of_class(&self, labels: &[u32]) -> Vec<Vec<u32>> {
        let same = |query: &RowId| {
            let same =
                |row: &u32| oracle::same_class(labels, query.instance, self.candidates.of(*row as usize));
            (0..self.candidates.rows() as u32).filter(same).collect()
        };
        self.queries.par_iter().map(same).collect()
    }

    /// Of each query the candidates of instances that are related to its own by the data.
    pub fn related(&self, relevance: &Relevance) -> Vec<Vec<u32>> {
        let related: Vec<Vec<u32>> =
            self.queries.iter().map(|query| relevance.related_to(query.instance)).collect();
        let mut all: Vec<u32> = related.concat();
        all.sort_unstable();
        all.dedup();
        let rows = self.candidates.rows_of(&all);
        let of = |related: Vec<u32>| {
            let rows = related.iter().filter_map(|other| rows.get(all.binary_search(other).ok()?));
            rows.flatten().copied().collect()
        };
        related.into_iter().map(of).collect()
    }
}

/// Queries beside what they are compared with; all vectors of unit length.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// `[Q, d]`
    pub query: Tensor<2>,
    /// `[Q, d]`, each query's positive.
    pub positive: Tensor<2>,
    /// `[K, d]`, candidates for negatives.
    pub candidates: Tensor<2>,
    /// The candidates that are no negatives of a query: its positive, itself.
    pub mask: Option<Mask>,
    /// Whose they are; `None` where units are no instances.
    pub ids: Option<Ids>,
    /// What is added to each candidate's similarity, `[Q, K]` without gradient: weights of negatives, which multiply their exponentials.
    pub added: Option<Tensor<2>>,
    /// Whether gradient reaches the candidates.
    pub tracked: bool,
}

fn rows(instances: &[u32], view: u32) -> impl Iterator<Item = RowId> + '_ {
    instances.iter().map(move |instance| RowId { instance: *instance, view })
}

impl Comparison {
    /// Every view of `instances` beside its other view and those of the other instances: 2N queries, 2N candidates.
    ///
    /// # Shapes
    /// `first` and `second`: `[N, d]`, any scale, row i of both being `instances[i]`.
    pub fn all_views(first: Tensor<2>, second: Tensor<2>, instances: &[u32]) -> Self {
        let [views, others] = all_views(first, second);
        let queries = rows(instances, 0).chain(rows(instances, 1)).collect();
        Self {
            positive: others,
            candidates: views.clone(),
            query: views,
            mask: own_views(instances.len()),
            ids: Some(Ids { queries, candidates: [instances, instances].concat().into() }),
            added: None,
            tracked: true,
        }
    }

    /// The views of each side beside those of the other alone: N queries and N candidates in either direction.
    ///
    /// # Shapes
    /// As [`Comparison::all_views`].
    pub fn across(first: Tensor<2>, second: Tensor<2>, instances: &[u32]) -> [Self; 2] {
        let (first, second) = (normalize(first), normalize(second));
        [(first.clone(), second.clone(), 0), (second, first, 1)].map(|(query, other, view)| Self {
            query,
            positive: other.clone(),
            candidates: other,
            mask: own_row(instances.len()),
            ids: Some(Ids {
                queries: rows(instances, view).collect(),
                candidates: instances.to_vec().into(),
            }),
            added: None,
            tracked: true,
        })
    }

    /// Units that are no instances beside their other form and all other units: columns of assignments in two views.
    ///
    /// # Shapes
    /// `first` and `second`: `[K, d]`, any scale, row i of both being the same unit. 2K queries, 2K candidates.
    pub fn of_units(first: Tensor<2>, second: Tensor<2>) -> Self {
        let units = first.dims()[0];
        let [views, others] = all_views(first, second);
        let mask = own_views(units);
        Self {
            positive: others,
            candidates: views.clone(),
            query: views,
            mask,
            ids: None,
            added: None,
            tracked: true,
        }
    }

    /// Queries of view `view` of `instances` beside `positive` and candidates that no gradient reaches, a dictionary's. With
    /// `exclude_own` candidates of the query's instance are no negatives.
    pub fn with_dictionary(
        query: Tensor<2>,
        positive: Tensor<2>,
        (instances, view): (&[u32], u32),
        (candidates, ids): (Tensor<2>, InstanceIds),
        exclude_own: bool,
    ) -> Self {
        let mask = if exclude_own { Mask::new(ids.rows_of(instances)) } else { None };
        let ids = Some(Ids { queries: rows(instances, view).collect(), candidates: ids });
        Self { query, positive, candidates, mask, ids, added: None, tracked: false }
    }

    /// The similarities by which a loss is made. `left_out` are lists of candidates, one a query, that are no negatives of it, beside those
    /// that the mask names.
    pub fn similarities(&self, left_out: Vec<Vec<Vec<u32>>>) -> Similarities {
        let mut mask = self.mask.clone();
        for lists in left_out {
            mask = match mask {
                Some(mask) => Mask::new(
                    (0..).zip(lists).map(|(query, list)| [mask.of(query), &list].concat()).collect(),
                ),
                None => Mask::new(lists),
            };
        }
        let similarities =
            Similarities::new(self.query.clone(), self.positive.clone(), self.candidates.clone(), mask);
        match &self.added {
            Some(added) => Similarities { negatives: similarities.negatives + added.clone(), ..similarities },
            None => similarities,
        }
    }
}
