//! Negatives: where they come from (the batch, a [queue], a [memory bank](memory_bank)), which of them count ([oracle], [relevance]),
//! and harder ones made of them ([mixing]).
//!
//! Whatever the method, a [`Comparison`] becomes a loss in one place: [`Contrast::compare`].

pub mod comparison;
pub mod entry;
pub mod memory_bank;
pub mod mixing;
pub mod observer;
pub mod oracle;
pub mod queue;
pub mod relevance;

use std::cell::OnceCell;
use std::sync::Arc;

use lookalike_base::{Matrix, Stream};

use crate::engine::{Device, Tensor, from_host};
use crate::loss::{QueryLoss, Similarities};
use crate::step::Step;

pub use comparison::{Comparison, Ids, InstanceIds, NO_INSTANCE};
pub use entry::{NegativesEntry, Pool};
pub use memory_bank::MemoryBank;
pub use mixing::MixingOptions;
pub use observer::{Compared, Observer, Owners, Unobserved};
pub use oracle::Known;
pub use queue::Queue;
pub use relevance::Relevance;

/// Random directions; nothing but the numbers themselves is held on the way.
fn directions([count, dimension]: [usize; 2], stream: &mut Stream, device: &Device) -> Tensor<2> {
    let values = (0..count * dimension).map(|_| stream.normal()).collect();
    let mut rows = Matrix::new(values, dimension).unwrap_or_else(|error| unreachable!("whole rows: {error}"));
    rows.normalize_rows();
    from_host(rows.into_values(), [count, dimension], device)
}

/// How comparisons become a loss.
#[derive(Debug, Clone)]
pub struct Contrast {
    /// The loss of each query.
    pub loss: Arc<dyn QueryLoss>,
    /// Harder negatives mixed from those there are.
    pub mixing: Option<MixingOptions>,
    /// Classes of the instances, by which candidates of the query's class are left out, see [`oracle`].
    pub oracle: Option<Known>,
    /// What the data say of pairs, by which candidates of rows whose document answers the query are left out, see [`relevance`].
    pub relevance: Option<Arc<Relevance>>,
}

impl Contrast {
    /// `loss` on the candidates as they are.
    pub fn plain(loss: impl QueryLoss + 'static) -> Self {
        Self { loss: Arc::new(loss), mixing: None, oracle: None, relevance: None }
    }

    /// The similarities of a comparison, without candidates that are known to be false negatives.
    fn similarities(&self, comparison: &Comparison) -> Similarities {
        let Some(ids) = &comparison.ids else { return comparison.similarities(Vec::new()) };
        let by_class = self.classes().map(|classes| ids.of_class(&classes));
        let by_data = self.relevance.as_ref().map(|relevance| ids.related(relevance));
        comparison.similarities(by_class.into_iter().chain(by_data).collect())
    }

    /// The classes by which candidates are left out; `None` as long as nothing is known.
    fn classes(&self) -> Option<Arc<Vec<u32>>> {
        self.oracle.as_ref().map(Known::classes).filter(|classes| !classes.is_empty())
    }

    /// Tells what leaving out candidates by class costs, of `plain`, where they are.
    fn tell_cost(&self, comparison: &Comparison, plain: &Similarities, observer: &mut dyn Observer) {
        if self.classes().is_none() {
            return;
        }
        // Once for both numbers, and only where one is asked for.
        let found = OnceCell::new();
        let cost = || {
            *found.get_or_init(|| {
                let before = Self { oracle: None, ..self.clone() }.similarities(comparison);
                oracle::cost(&plain.negatives, before.mask.as_ref(), plain.mask.as_ref())
            })
        };
        observer.number("hardness_lost", &|| cost()[0]);
        observer.number("oracle_share", &|| cost()[1]);
    }

    /// The mean loss of queries over several lists of candidates in one softmax, `[1]`. The comparisons have the same queries, positives
    /// and order; each brings what its rows are compared with, and is compared by rows of its own.
    pub fn compare_jointly(&self, comparisons: &[Comparison], observer: &mut dyn Observer) -> Tensor<1> {
        let all: Vec<Similarities> =
            comparisons.iter().map(|comparison| self.similarities(comparison)).collect();
        let joined = Similarities::joined(&all);
        let first = &comparisons[0];
        self.tell_cost(first, &all[0], observer);
        observer.compared(&Compared {
            query: &first.query,
            positive: &first.positive,
            owners: None,
            plain: &joined,
            similarities: &joined,
            draw: None,
            temperature: self.loss.temperature(),
        });
        self.loss.each(&joined).mean()
    }

    /// The mean loss of the queries, `[1]`. `purpose` names the random numbers of mixtures, and tells the comparisons of one batch
    /// apart. Where units are no instances there are neither mixtures nor classes: a method with such a comparison does not take a loss
    /// with mixing for it.
    pub fn compare(
        &self,
        comparison: &Comparison,
        step: &Step,
        purpose: &'static str,
        observer: &mut dyn Observer,
    ) -> Tensor<1> {
        let plain = self.similarities(comparison);
        self.tell_cost(comparison, &plain, observer);
        let mixing = self.mixing.filter(|mixing| mixing.is_on(step)).zip(comparison.ids.as_ref());
        let draw = mixing.map(|(mixing, ids)| {
            mixing::draw(&plain, &mixing, |query| step.stream(purpose, ids.queries[query]))
        });
        let similarities = match &draw {
            Some(draw) => draw.append(comparison, &plain),
            None => plain.clone(),
        };
        let instances = comparison.ids.as_ref().map(Ids::instances);
        let candidate = |_: usize, column: usize| {
            comparison.ids.as_ref().map_or(NO_INSTANCE, |ids| ids.candidates.of(column))
        };
        observer.compared(&Compared {
            query: &comparison.query,
            positive: &comparison.positive,
            owners: instances.as_deref().map(|queries| Owners { queries, candidate: &candidate }),
            plain: &plain,
            similarities: &similarities,
            draw: draw.as_ref(),
            temperature: self.loss.temperature(),
        });
        self.loss.each(&similarities).mean()
    }
}

/// The purposes of mixtures, one for either direction of a comparison.
pub const MIXING: [&str; 2] = ["mixing", "mixing of the second direction"];
