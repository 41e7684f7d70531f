//! Scores of a run that goes on: what gives a network a score of a task, and the task that a monitor has.

use std::sync::Arc;

use lookalike_base::progress::Cancellation;
use lookalike_base::{Alone, Watch};
use lookalike_data::loader::{BatchRequest, BatchSource};
use lookalike_data::{DataError, Split};
use lookalike_metrics::KnnOptions;
use lookalike_sampling::UNLABELLED;

use super::embed::{Embedding, embed, estimate_statistics};
use super::{NeighborTask, Task, TaskKind};
use crate::error::LearnError;
use crate::input::{Batch, Source};
use crate::method::Embedder;
use crate::modality::Part;
use crate::module::has_buffers;
use crate::options::refuse;
use crate::train::development::Judge;

/// Instances that a monitor classifies, of all it draws one in so many; the others vote.
const CLASSIFIED: usize = 4;
/// Instances that it draws at most.
const DRAWN: usize = 4000;
/// Neighbours that vote, and the temperature of their votes.
const NEIGHBORS: KnnOptions = KnnOptions { k: 20, temperature: 0.1 };

/// What gives a network the score of `task`.
pub(crate) fn judge_of(task: Task, embedding: &Embedding<'_>) -> Judge {
    let (sizes, seed, loader) = (embedding.statistics_batches(), embedding.seed, embedding.loader);
    let size = sizes.0;
    Box::new(move |network: &mut dyn Embedder, cancellation: &Cancellation| {
        let watch = Watch { cancellation, ..Watch::default() };
        // What is kept of the step has the statistics of training.
        let mut network = dyn_clone::clone_box(network);
        if has_buffers(&mut network) {
            estimate_statistics(&mut *network, &task.parts[0], sizes, seed, loader)?;
        }
        let mut embed = |part| embed(&mut *network, part, size, loader, &Alone, watch);
        let [one, other] = [embed(&task.parts[0])?, embed(&task.parts[1])?];
        task.score([&one.representation, &other.representation], cancellation)
    })
}

/// The task of a monitor: of a fixed draw of the labelled instances that are learned from, one in four is classified by its neighbours among the
/// others. It tells how a run goes, and decides nothing.
///
/// # Errors
/// [`LearnError::Recipe`] where there are no classes, too few instances, or instances that are not embedded apart.
pub(crate) fn task(embedding: &Embedding<'_>) -> Result<Task, LearnError> {
    let (modality, key) = (embedding.modality, "evaluate.every");
    if embedding.at_once {
        return Err(refuse(
            key,
            "watches instances that are embedded apart, and these are nodes of one graph",
        ));
    }
    let labels = modality.labels(Split::Train);
    let mut known: Vec<u32> = labels
        .labels
        .iter()
        .zip(0..)
        .filter(|(label, _)| **label != UNLABELLED)
        .map(|(_, own)| own)
        .collect();
    if known.len() < 2 * CLASSIFIED {
        let reason = format!(
            "watches how instances are classified by their neighbours, and {} of those learned from have a class; leave it out",
            known.len()
        );
        return Err(refuse(key, reason));
    }
    let order = embedding.seed.stream("monitor", 0, 0, 0).permutation(known.len() as u32);
    known = order.iter().take(DRAWN).map(|place| known[*place as usize]).collect();
    let judged = known.split_off(known.len() - known.len() / CLASSIFIED);
    let whole = modality.part(Split::Train, embedding.columns)?;
    let of =
        |instances: &[u32]| instances.iter().map(|own| labels.labels[*own as usize]).collect::<Vec<u32>>();
    let classes = of(&known);
    if classes.iter().all(|class| *class == classes[0]) {
        return Err(refuse(
            key,
            "watches how classes are told apart, and the instances that it draws are all of one class",
        ));
    }
    let kind = TaskKind::Neighbors(Arc::new(NeighborTask {
        labels: [classes, of(&judged)],
        classes: labels.classes,
        options: NEIGHBORS,
    }));
    let part = |instances: Vec<u32>| Part {
        instances: instances.len(),
        source: Arc::new(Drawn { source: whole.source.clone(), instances }) as Source,
        name: whole.name.clone(),
    };
    Ok(Task {
        name: "kNN accuracy among instances learned from".to_owned(),
        kind,
        parts: [part(known), part(judged)],
    })
}

/// Some instances of a source, under numbers of their own.
struct Drawn {
    source: Source,
    instances: Vec<u32>,
}

impl BatchSource for Drawn {
    type Batch = Batch;

    fn batch(&self, request: &BatchRequest) -> Result<Batch, DataError> {
        let instances = request.instances.iter().map(|own| self.instances[*own as usize]).collect();
        self.source.batch(&BatchRequest { instances, ..*request })
    }
}
