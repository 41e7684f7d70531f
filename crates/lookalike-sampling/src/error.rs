//! Why sampling is refused, and what it asks its caller to pass on.

use lookalike_base::{MatrixError, RanksError};
use lookalike_kernels::KernelError;
use lookalike_metrics::MetricError;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a graph, a plan or a sampler could not be made.
#[derive(Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum SamplingError {
    /// There is nobody to share a batch with, or more instances than 32 bits can number.
    #[error("{instances} instances cannot be sampled: there must be at least 2 and fewer than 2^32 of them")]
    Instances {
        /// Instances given.
        instances: usize,
    },
    /// The batch is empty or does not fit into the data set.
    #[error(
        "batch_size = {batch_size} is out of range: it must be at least 1 and at most the {instances} instances"
    )]
    BatchSize {
        /// Batch size asked for.
        batch_size: usize,
        /// Instances there are.
        instances: usize,
    },
    /// An option that counts something is 0.
    #[error("{option} = 0 is out of range: it must be at least 1")]
    Zero {
        /// Name of the option.
        option: &'static str,
    },
    /// More neighbours are to be kept than candidates are drawn.
    #[error(
        "neighbors = {neighbors} is out of range: only {candidates} candidates are drawn for each instance"
    )]
    Neighbors {
        /// Neighbours to keep, K.
        neighbors: usize,
        /// Candidates drawn, M.
        candidates: usize,
    },
    /// An option that is a real number is out of range.
    #[error("{option} = {value} is out of range: it must be {expected}")]
    Number {
        /// Name of the option.
        option: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        expected: &'static str,
    },
    /// Two options do not go together.
    #[error("{option} does not go with {with}: {reason}")]
    Combination {
        /// Name of the option that has no place.
        option: &'static str,
        /// What it does not go with.
        with: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// Groups or labels are not one an instance.
    #[error("{found} {what} do not fit {instances} instances: there must be one for each")]
    Length {
        /// What they are: groups, labels.
        what: &'static str,
        /// How many are given.
        found: usize,
        /// Instances there are, or batches for what belongs to a batch.
        instances: usize,
    },
    /// A batch has more places than there are groups.
    #[error(
        "batch_size = {batch_size} is out of range: there are only {groups} groups, and no two instances of a group \
         may share a batch"
    )]
    FewGroups {
        /// Groups there are.
        groups: usize,
        /// Instances a batch; of all ranks where they share one.
        batch_size: usize,
    },
    /// A group has more members than an epoch that is to use each of them has batches.
    #[error(
        "group {group} has {members} members, but an epoch only {batches} batches, and each is to come once and no two \
         together; smaller batches, smaller groups, or coverage = \"repeat\" with uniform_epochs = 0 would do"
    )]
    LargeGroup {
        /// The identifier that was given.
        group: u64,
        /// Its members.
        members: usize,
        /// Batches of an epoch.
        batches: usize,
    },
    /// Too many groups have a member for each batch, the smaller last one included.
    #[error(
        "{groups} groups have {batches} members, one for each batch of an epoch, but the last batch has only {last} places; \
         last_batch = \"drop\" or smaller groups would do"
    )]
    LargestGroups {
        /// Groups with as many members as there are batches.
        groups: usize,
        /// Batches of an epoch.
        batches: usize,
        /// Members of the last one.
        last: usize,
    },
    /// Batches cannot be counted up to an epoch.
    #[error("epoch {epoch} is out of range: its batches cannot be numbered")]
    Epoch {
        /// The epoch asked for.
        epoch: u64,
    },
    /// The ranks of a run cannot share its batches.
    #[error("the ranks cannot share the batches: {problem}")]
    Ranks {
        /// What does not fit.
        problem: String,
    },
    /// The number of rows is not the number of instances they are for.
    #[error("{rows} rows of embeddings do not fit {instances} instances")]
    Rows {
        /// Rows given.
        rows: usize,
        /// Instances they should be for.
        instances: usize,
    },
    /// The embeddings became wider or narrower.
    #[error("embeddings have {found} columns, those recorded before have {expected}")]
    Columns {
        /// Columns of the earlier embeddings.
        expected: usize,
        /// Columns of these.
        found: usize,
    },
    /// Rows of pairs have no two halves.
    #[error(
        "embeddings of pairs have {columns} columns: their number must be even, the query's half and then the document's"
    )]
    OddColumns {
        /// Columns of a row.
        columns: usize,
    },
    /// An instance's number is too large.
    #[error("instance {instance} is out of range: there are {instances} instances")]
    Instance {
        /// The number.
        instance: u32,
        /// Instances there are.
        instances: usize,
    },
    /// An embedding holds NaN or an infinity.
    #[error("the embedding of instance {instance} is not finite (column {column})")]
    NotFinite {
        /// The first such instance.
        instance: u32,
        /// Its first such column.
        column: usize,
    },
    /// Sizes of data sets that lie one behind another are not those of the instances.
    #[error("the data sets do not fit: {problem}")]
    DataSets {
        /// What does not fit.
        problem: String,
    },
    /// One of several data sets is refused.
    #[error("data set {set} of {sets} (instances {first} to {last}): {error}")]
    DataSet {
        /// Its number, from 0.
        set: usize,
        /// How many there are.
        sets: usize,
        /// Its first instance.
        first: usize,
        /// Its last one.
        last: usize,
        /// Why.
        error: Box<Self>,
    },
    /// The edges do not describe a proximity graph.
    #[error("the graph is not valid: {problem}")]
    Graph {
        /// What is wrong with them, and where.
        problem: String,
    },
    /// A segment was asked for that its epoch does not hold.
    #[error("the segment cannot be planned: {problem}")]
    Segment {
        /// What does not fit.
        problem: String,
    },
    /// A saved state is damaged, or belongs to another data set, seed or set of options.
    #[error("the saved sampler cannot go on here: {problem}")]
    State {
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The work was asked to stop before it was done; nothing has changed.
    #[error("the work was cancelled")]
    Cancelled,
    /// The embeddings do not form rows.
    #[error(transparent)]
    Matrix(#[from] MatrixError),
    /// A score of a plan is not defined, or refuses its input.
    #[error(transparent)]
    Metric(MetricError),
    /// A kernel refused the embeddings.
    #[error(transparent)]
    Kernel(KernelError),
    /// Ranks that build a graph together cannot go on.
    #[error(transparent)]
    Shared(#[from] RanksError),
}

/// Cancelled work is one variant, wherever it was done.
impl From<MetricError> for SamplingError {
    fn from(error: MetricError) -> Self {
        match error {
            MetricError::Cancelled => Self::Cancelled,
            error => Self::Metric(error),
        }
    }
}

impl From<KernelError> for SamplingError {
    fn from(error: KernelError) -> Self {
        match error {
            KernelError::Cancelled => Self::Cancelled,
            error => Self::Kernel(error),
        }
    }
}

/// What keeps candidates from being more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CandidateLimit {
    /// Nothing.
    None,
    /// There are no more instances.
    Instances,
    /// The budget allows no more.
    Budget,
}

impl std::fmt::Display for CandidateLimit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::None => "",
            Self::Instances => ", all others there are",
            Self::Budget => ", the most that the budget allows; a larger budget would make them harder",
        })
    }
}

/// Something that was put right and that the user should be told.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Warning {
    /// As many candidates as there are others, or more, were asked for.
    #[error(
        "candidates lowered from {asked} to {used}: each of {instances} instances has only {used} others"
    )]
    CandidatesLowered {
        /// Candidates asked for, M.
        asked: usize,
        /// Instances that can be in the graph, N.
        instances: usize,
        /// Candidates drawn, N − 1.
        used: usize,
    },
    /// Something about one of several data sets.
    #[error("data set {set}: {warning}")]
    DataSet {
        /// Its number, from 0.
        set: usize,
        /// What it is.
        warning: Box<Self>,
    },
    /// Batches are not as hard as was asked for.
    #[error(
        "hardness_share = {asked} is not met: batches come to {share} with {candidates} candidates{limit}"
    )]
    ShareMissed {
        /// The share asked for.
        asked: String,
        /// The share that batches come to.
        share: String,
        /// Candidates of each instance, M.
        candidates: usize,
        /// What keeps them from being more.
        limit: CandidateLimit,
    },
    /// There are not two batches to compare.
    #[error(
        "hardness_share has no meaning here: {embedded} instances do not fill two batches of {batch_size}; smaller batches would be of different \
         instances"
    )]
    OneBatch {
        /// Instances with an embedding.
        embedded: usize,
        /// Instances a batch.
        batch_size: usize,
    },
    /// Many places of batches went to instances that the epoch had already.
    #[error(
        "repeated instances fill {members} places of {batches} batches from step {step} on: nobody else was found below the ceiling; a higher \
         one would let more instances come"
    )]
    Repeated {
        /// Batches consumed before them.
        step: u64,
        /// Places.
        members: u64,
        /// Batches planned.
        batches: usize,
    },
    /// No embedding is nearer to one than to another.
    #[error(
        "all embeddings are alike at step {step}: batches of nearest neighbors are no harder than uniform ones, and neither are others"
    )]
    AllAlike {
        /// Batches consumed at the time.
        step: u64,
    },
    /// The graph has no edge that may be walked.
    #[error(
        "no edge of {edges} is left at step {step}: all are above the ceiling or of one class, and batches are uniform until the next refresh"
    )]
    NoEdges {
        /// Batches consumed at the time.
        step: u64,
        /// Edges that were found.
        edges: usize,
    },
    /// There is a graph, but nobody of it can come.
    #[error(
        "all batches are uniform from step {step} to the next refresh: the {embedded} instances that have an embedding came in this epoch already"
    )]
    AllUsed {
        /// Batches consumed at the time.
        step: u64,
        /// Instances with an embedding.
        embedded: usize,
    },
    /// Some places of batches went to instances that are too similar.
    #[error(
        "ceiling exceeded by {members} members of {batches} batches from step {step} on: nobody below it was found for their places"
    )]
    AboveCeiling {
        /// Batches consumed before them.
        step: u64,
        /// Members that are too similar to another.
        members: u64,
        /// Batches planned.
        batches: usize,
    },
    /// A graph was due, but too few instances had an embedding; batches are uniform until the next refresh.
    #[error(
        "too few embeddings for a graph at step {step}: {embedded} instances have one, and {neighbors} neighbors need more; batches are \
         uniform until the next refresh"
    )]
    TooFewEmbeddings {
        /// Batches consumed at the time.
        step: u64,
        /// Instances with an embedding.
        embedded: usize,
        /// Neighbours that each must get, K.
        neighbors: usize,
    },
}
