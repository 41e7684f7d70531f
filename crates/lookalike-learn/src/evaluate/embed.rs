//! Embeddings of a whole data set.

use lookalike_base::progress::{Cancellation, ProgressDisplay};
use lookalike_base::{Matrix, Ranks, Seed, Watch};
use lookalike_data::loader::{BatchRequest, Loader, LoaderOptions};

use super::{EvaluateOptions, Evaluating};
use crate::engine::to_host;
use crate::error::LearnError;
use crate::input::Batch;
use crate::method::Embedder;
use crate::modality::{Modality, Part};
use crate::module::{Pass, has_buffers};
use crate::train::ranks::in_turn;

/// Embeddings of every instance of a data set, in its order.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// What is kept and evaluated.
    pub representation: Matrix,
    /// What the loss compares.
    pub projection: Matrix,
}

/// Embeds all instances of `part` in evaluation mode. The batches are embedded by `ranks` in turn, all of which call this at once, and each gets all
/// rows. The progress of `watch` counts the instances.
///
/// # Errors
/// Whatever the source reports; [`LearnError::Cancelled`]; [`LearnError::Evaluation`] where the data set is empty; [`LearnError::Ranks`].
pub fn embed(
    network: &mut dyn Embedder,
    part: &Part,
    batch_size: usize,
    loader: LoaderOptions,
    ranks: &dyn Ranks,
    watch: Watch<'_>,
) -> Result<Embedded, LearnError> {
    let order: Vec<u32> = (0..part.instances as u32).collect();
    let mut requests = requests(&order, batch_size);
    let lengths: Vec<usize> = requests.iter().map(|request| request.instances.len()).collect();
    let rounds = requests.len().div_ceil(ranks.size());
    requests = requests.into_iter().skip(ranks.rank()).step_by(ranks.size()).collect();
    let mut loader = Loader::start(part.source.clone(), requests, loader)?;
    let [mut representation, mut projection] = [(); 2].map(|()| Vec::new());
    for round in 0..rounds {
        if ranks.any(watch.is_cancelled())? {
            return Err(LearnError::Cancelled);
        }
        // Of the last ones there may be none for this rank.
        let Some(batch) = loader.next().transpose()? else { continue };
        let embeddings = network.embed(&batch, &mut Pass::evaluation())?;
        // As many for each other rank, in the mean.
        let done = (order.len() * (round + 1)).div_ceil(rounds);
        watch.progress.set_position(done as u64);
        representation.extend(to_host(embeddings.representation));
        projection.extend(to_host(embeddings.projection));
    }
    let all = |own: Vec<f32>| rows_of(in_turn(ranks, own, &lengths)?, part.instances);
    Ok(Embedded { representation: all(representation)?, projection: all(projection)? })
}

/// The rows of all instances.
fn rows_of(values: Vec<f32>, instances: usize) -> Result<Matrix, LearnError> {
    if values.is_empty() {
        return Err(LearnError::Evaluation("the data set is empty".to_owned()));
    }
    let columns = values.len() / instances;
    Ok(Matrix::new(values, columns)?)
}

/// Estimates BatchNorm's running statistics anew: the plain mean over at most `batches` uniform batches of `part`.
///
/// # Errors
/// Whatever the source reports.
pub fn estimate_statistics(
    network: &mut dyn Embedder,
    part: &Part,
    (batch_size, batches): (usize, usize),
    seed: Seed,
    loader: LoaderOptions,
) -> Result<(), LearnError> {
    let order = seed.stream("statistics", 0, 0, 0).permutation(part.instances as u32);
    let mut requests = requests(&order, batch_size);
    // A short last batch would weigh as much as a full one.
    requests.retain(|request| request.instances.len() == batch_size.min(part.instances));
    requests.truncate(batches);
    let mut loader = Loader::start(part.source.clone(), requests, loader)?;
    let mut seen = 0;
    while let Some(batch) = loader.next().transpose()? {
        network.embed(&batch, &mut Pass::estimation(seen))?;
        seen += 1;
    }
    Ok(())
}

fn requests(order: &[u32], batch_size: usize) -> Vec<BatchRequest> {
    let batches = order.chunks(batch_size).zip(0..);
    batches.map(|(instances, step)| BatchRequest { instances: instances.to_vec(), epoch: 0, step }).collect()
}

/// How the data of a recipe are embedded.
pub struct Embedding<'a> {
    /// The data.
    pub modality: &'a dyn Modality,
    /// The columns that the network reads.
    pub columns: &'static [&'static str],
    /// Whether all instances are embedded at once.
    pub at_once: bool,
    /// Sizes of batches.
    pub options: EvaluateOptions,
    /// The run's seed.
    pub seed: Seed,
    /// Threads and depth of the loader.
    pub loader: LoaderOptions,
    /// Who shares the batches of a part, and embeds the same at the same moments.
    pub ranks: &'a dyn Ranks,
}

impl Embedding<'_> {
    /// Instances a batch: as asked for, or as many as the data say fit into little memory.
    pub(super) fn batch_size(&self) -> usize {
        self.options.batch_size.min(self.modality.most_at_a_time()).max(1)
    }

    /// Instances a batch and batches on which BatchNorm's statistics are estimated: as many instances in smaller batches where memory asks
    /// for these.
    pub(super) fn statistics_batches(&self) -> (usize, usize) {
        let EvaluateOptions { batch_size, statistics_batches, .. } = self.options;
        let size = self.batch_size();
        (size, statistics_batches.saturating_mul(batch_size).div_ceil(size))
    }

    /// Embeds a whole part of the data in evaluation mode.
    ///
    /// # Errors
    /// As [`embed`].
    pub fn embed(
        &self,
        network: &mut dyn Embedder,
        part: &Part,
        display: &dyn ProgressDisplay,
        cancellation: &Cancellation,
    ) -> Result<Embedded, LearnError> {
        let progress = display.start(part.instances as u64, &format!("embedding {}", part.name));
        let watch = Watch { progress: &*progress, cancellation };
        let size = if self.at_once { part.instances.max(1) } else { self.batch_size() };
        let embedded = embed(network, part, size, self.loader, self.ranks, watch);
        progress.finish();
        embedded
    }

    /// A copy of `network` whose BatchNorm statistics are estimated anew on uniform, un-augmented train batches, where it has any.
    ///
    /// # Errors
    /// As [`estimate_statistics`].
    pub fn with_estimated_statistics(
        &self,
        network: &(dyn Embedder + 'static),
    ) -> Result<Box<dyn Embedder>, LearnError> {
        let mut copy = dyn_clone::clone_box(network);
        if has_buffers(&mut copy) {
            let part = self.modality.part(self.modality.parts()[0], self.columns)?;
            estimate_statistics(copy.as_mut(), &part, self.statistics_batches(), self.seed, self.loader)?;
        }
        Ok(copy)
    }
}

/// Embeddings of the first and of the second view of the last part.
pub(super) fn two_views(
    network: &mut dyn Embedder,
    evaluating: &Evaluating<'_>,
) -> Result<[Embedded; 2], LearnError> {
    let modality = evaluating.modality;
    let Some(split) = modality.parts().last() else {
        return Err(LearnError::Evaluation("there is no part to look at".to_owned()));
    };
    let instances = modality.part(*split, evaluating.columns)?.instances;
    let source = modality.batches(evaluating.view_columns, *split, Seed(evaluating.seed.0 ^ 1))?;
    let order: Vec<u32> = (0..instances as u32).collect();
    let mut views = [(); 2].map(|()| [Vec::new(), Vec::new()]);
    for request in requests(&order, evaluating.embedding.batch_size()) {
        if evaluating.cancellation.is_cancelled() {
            return Err(LearnError::Cancelled);
        }
        let Batch { instances, columns } = source.batch(&request)?;
        for (column, [representation, projection]) in columns.into_iter().zip(&mut views) {
            let batch = Batch { instances: instances.clone(), columns: vec![column] };
            let embeddings = network.embed(&batch, &mut Pass::evaluation())?;
            representation.extend(to_host(embeddings.representation));
            projection.extend(to_host(embeddings.projection));
        }
    }
    let [[first, projected], [second, also_projected]] = views;
    Ok([
        Embedded { representation: rows_of(first, instances)?, projection: rows_of(projected, instances)? },
        Embedded {
            representation: rows_of(second, instances)?,
            projection: rows_of(also_projected, instances)?,
        },
    ])
}
