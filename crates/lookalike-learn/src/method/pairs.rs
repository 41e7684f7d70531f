//! Fine-tuning on pairs of a query and a document that answers it, by one encoder: the multiple-negatives ranking loss (Henderson et al.
//! 2017, <https://arxiv.org/abs/1705.00652>, section 4.4), its symmetric form (CLIP, Radford et al. 2021,
//! <https://arxiv.org/abs/2103.00020>), and GTE's improved contrastive loss (Li et al. 2023, <https://arxiv.org/abs/2308.03281>, equation 2).
//!
//! With the cosine c, the queries q and documents d of a batch, and all documents D, which include everybody's own negatives:
//!
//! | `method.softmax` | the loss of row i |
//! |---|---|
//! | `query-to-document` | `−log ( e^{c(qᵢ,dᵢ)/τ} / Σ_D e^{c(qᵢ,D)/τ} )` |
//! | `symmetric` | the mean of this and of `−log ( e^{c(qᵢ,dᵢ)/τ} / Σⱼ e^{c(qⱼ,dᵢ)/τ} )` |
//! | `joint` | `−log ( e^{c(qᵢ,dᵢ)/τ} / Z )`, `Z = Σ_D e^{c(qᵢ,D)/τ} + Σ_{j≠i} e^{c(qᵢ,qⱼ)/τ} + Σⱼ e^{c(qⱼ,dᵢ)/τ} + Σ_{D of others} e^{c(dᵢ,D)/τ}` |
//!
//! A document that answers the query by the data, as [`Relevance`] knows, is no negative; nor is one that a ceiling finds too
//! similar. With several lengths the loss is the weighted sum of that of the first coordinates of each (Matryoshka, Kusupati et al. 2022,
//! <https://arxiv.org/abs/2205.13147>, equation 1).

use std::sync::Arc;

use lookalike_base::Rows;
use lookalike_base::arrays::{Array, Arrays};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Building, Checked, Embedder, Method, MethodEntry, Network, Outputs, Terms};
use crate::engine::{Device, Tensor, from_host};
use crate::error::LearnError;
use crate::input::{Batch, Column, RowId};
use crate::loss::{Mask, normalize};
use crate::module::{Module, Pass, Visitor};
use crate::negatives::{Comparison, Contrast, Ids, MIXING, Observer, Relevance};
use crate::options::{Bounds, NOT_NEGATIVE, Options, Range, Value, When, require};
use crate::step::Step;

/// Over what a softmax goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Softmax {
    /// The query's, over all documents.
    QueryToDocument,
    /// The query's over all documents, and the document's over all queries.
    Symmetric,
    /// One over all four.
    Joint,
}

/// Which negatives weigh more the harder they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weighted {
    /// Documents of other rows, with their own negatives.
    InBatch,
    /// The row's own negatives.
    Own,
    /// Both.
    All,
}

crate::options! {
    /// What a recipe says of pairs.
    pub struct PairsOptions {
        /// Over what the softmax of a row goes: its query's over all documents, as sentence-transformers' multiple negatives ranking loss;
        /// `symmetric`: the mean of that and of its document's over all queries; `joint`: one over both, other queries and other documents, as
        /// GTE's.
        softmax: Softmax = Value::Text("query-to-document"), Range::OneOf(&["query-to-document", "symmetric", "joint"]);
        /// α: the logit of a query's negative document rises by α times its cosine, without gradient, so that harder ones weigh more (Lan et al.
        /// 2025, LLaVE; 9 there). Other directions of `symmetric` and `joint` have no such weights. Goes with no mixing.
        hardness: f32 = Value::Number(0.0), NOT_NEGATIVE;
        /// Which negatives these weights are of: documents of other rows, the row's own negatives, or all.
        hardness_of: Weighted = Value::Text("in-batch"), Range::OneOf(&["in-batch", "own", "all"]);
        /// Lengths at which the first coordinates of vectors are compared too, all by the same loss (Matryoshka); the whole vector always is.
        dimensions: Option<Vec<usize>> = Value::Absent("none"), Range::Free("list of lengths below that of a vector");
        /// The weights of these losses beside that of the whole vector, which has weight 1.
        dimension_weights: Option<Vec<f32>> = Value::Absent("1 each"), Range::Free("list of as many numbers above 0");
        /// A candidate that is more similar to the row than this share of the similarity of its own positive is no negative, by the vectors of
        /// the last refresh: GIST's rule (Solatorio 2024) at NV-Retriever's 0.95. Needs `train.embed_first`. Own negatives have no such vectors
        /// and always stay: what mines them has margins of its own.
        ceiling: Option<f32> = Value::Absent("none"), Range::Number(Bounds { least: (0.0, false), most: (1.0, true), words: "above 0, to 1" });
    }
}

/// Pairs in a registry.
pub const ENTRY: MethodEntry = MethodEntry {
    kind: "pairs",
    paper: "Henderson et al. 2017, Li et al. 2023",
    about: "queries against the documents of others and hard negatives of their own, by one encoder",
    keys: PairsOptions::KEYS,
    modalities: &["text"],
    negatives: &["batch"],
    losses: &["info-nce", "decoupled", "debiased", "hard"],
    columns: &[When::always(&["query", "document", "negatives"])],
    plain: &["query"],
    defaults: &[
        When::always(("loss.temperature", Value::Number(0.05))),
        When::always(("sampler.pairs", Value::Text("mean"))),
    ],
    check,
    check_data,
    build: |building| Ok(Box::new(Pairs::by_recipe(building)?)),
    kept: |building| Ok(Box::new(Network::headless((building.encoder)("encoder")?))),
    ..MethodEntry::VIEWS
};

fn check(checked: &Checked<'_>) -> Result<(), LearnError> {
    let options: PairsOptions = checked.settings.read("method")?;
    let dimensions = options.dimensions.unwrap_or_default();
    let whole = checked.dimension;
    require(
        dimensions.iter().all(|dimension| (1..whole).contains(dimension)),
        "method.dimensions",
        format!("must be lengths below {whole}, that of a vector, which is compared too"),
    )?;
    let weights = options.dimension_weights;
    require(
        weights.is_none_or(|weights| {
            weights.len() == dimensions.len()
                && weights.iter().all(|weight| weight.is_finite() && *weight > 0.0)
        }),
        "method.dimension_weights",
        "must be numbers above 0, one for each of method.dimensions",
    )?;
    let mixing = checked.settings.value("negatives.mixing").is_some();
    require(
        !mixing || (options.softmax != Softmax::Joint && options.hardness == 0.0),
        "negatives.mixing",
        "mixes what one query is compared with: leave method.hardness at 0, and method.softmax = \"joint\" out",
    )
}

fn check_data(checked: &Checked<'_>, _: usize) -> Result<(), LearnError> {
    let options: PairsOptions = checked.settings.read("method")?;
    require(
        options.hardness > 0.0 || options.hardness_of == Weighted::InBatch,
        "method.hardness_of",
        "says whose weights method.hardness are, which is 0; leave it out",
    )?;
    require(
        options.ceiling.is_none() || checked.settings.is_set("train.embed_first"),
        "method.ceiling",
        "compares vectors from before the first step; set train.embed_first = true",
    )
}

/// Vectors of the last refresh, by which candidates that are too similar are left out.
#[derive(Debug, Clone)]
struct Ceiling {
    /// The share of the positive's similarity.
    share: f32,
    /// `[N, 2d]`: query and document of each row side by side, each of unit length; empty before the first refresh.
    rows: Vec<f32>,
    columns: usize,
}

impl Ceiling {
    fn take(&mut self, rows: Rows<'_>) {
        self.columns = rows.columns();
        self.rows = rows.values().to_vec();
        for half in self.rows.chunks_exact_mut(self.columns / 2) {
            let norm = half.iter().map(|value| value * value).sum::<f32>().sqrt();
            if norm > 0.0 {
                for value in half {
                    *value /= norm;
                }
            }
        }
    }

    /// The vector of a query (view 0) or document (view 1); `None` where there is none, as of own negatives.
    fn vector(&self, RowId { instance, view }: RowId) -> Option<&[f32]> {
        let half = self.columns / 2;
        let begin = instance as usize * self.columns + view as usize * half;
        if view > 1 || half == 0 { None } else { self.rows.get(begin..begin + half) }
    }

    fn cosine(&self, one: RowId, other: RowId) -> Option<f32> {
        let (one, other) = (self.vector(one)?, self.vector(other)?);
        Some(one.iter().zip(other).map(|(a, b)| a * b).sum())
    }

    /// Whether `candidate` is too similar to `anchor`, a query or document of its row, to be a negative: above c⁺ − (1 − share) |c⁺|.
    fn excludes(&self, anchor: RowId, candidate: RowId) -> bool {
        let [query, document] = [0, 1].map(|view| RowId { view, ..anchor });
        match (self.cosine(query, document), self.cosine(anchor, candidate)) {
            (Some(positive), Some(found)) => found > positive - (1.0 - self.share) * positive.abs(),
            _ => false,
        }
    }
}

/// What is a negative of whom in a batch of pairs.
#[derive(Debug, Clone)]
struct Admission {
    relevance: Option<Arc<Relevance>>,
    ceiling: Option<Ceiling>,
}

/// Which candidates of the anchor's own row are no negatives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    /// Its query and its document: its own negatives are left.
    Pair,
    /// None.
    Nothing,
    /// All.
    All,
}

impl Admission {
    /// Whether `candidate` of another row, or an own negative, is no negative of `anchor`, each a query (view 0) or a document (any other
    /// view): an answer by the data, or too similar.
    fn excludes(&self, anchor: RowId, candidate: RowId) -> bool {
        let known = self.relevance.as_ref().is_some_and(|relevance| {
            let [query, document] = [0, 1].map(|view| RowId { view, ..anchor });
            match candidate.view {
                // Another query for which the anchor's document is right.
                0 => relevance.answers(candidate, document),
                // Another document that is right for the anchor's query.
                _ => relevance.answers(query, candidate),
            }
        });
        known || self.ceiling.as_ref().is_some_and(|ceiling| ceiling.excludes(anchor, candidate))
    }

    fn mask(&self, anchors: &[RowId], candidates: &[RowId], own: Own) -> Option<Mask> {
        let excluded = |anchor: RowId, candidate: RowId| match own {
            Own::All if anchor.instance == candidate.instance => true,
            Own::Pair | Own::Nothing if anchor.instance == candidate.instance && candidate.view < 2 => {
                own == Own::Pair
            }
            _ => self.excludes(anchor, candidate),
        };
        let of = |anchor: &RowId| {
            let columns = candidates.iter().zip(0..).filter(|(candidate, _)| excluded(*anchor, **candidate));
            columns.map(|(_, column)| column).collect()
        };
        Mask::new(anchors.par_iter().map(of).collect())
    }
}

/// Vectors with whose they are.
#[derive(Debug, Clone)]
struct Side {
    vectors: Tensor<2>,
    rows: Vec<RowId>,
}

impl Side {
    fn new(vectors: Tensor<2>, instances: &[u32], view: u32) -> Self {
        Self { vectors, rows: instances.iter().map(|instance| RowId { instance: *instance, view }).collect() }
    }

    fn with(mut self, vectors: Tensor<2>, rows: Vec<RowId>) -> Self {
        if !rows.is_empty() {
            self.vectors = Tensor::cat(vec![self.vectors, vectors], 0);
            self.rows.extend(rows);
        }
        self
    }

    /// The first `length` coordinates, of unit length.
    fn leading(&self, length: usize) -> Self {
        let vectors = normalize(self.vectors.clone().narrow(1, 0, length));
        Self { vectors, rows: self.rows.clone() }
    }
}

/// What a row's logits are made of beside cosines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weights {
    /// α of negatives, and of which.
    pub(super) hardness: (f32, Weighted),
    /// What is added to the logit of the row's own negatives.
    pub(super) own: f32,
}

impl Weights {
    /// What is added to the similarities of `query` and `candidates`, τ times what is added to logits.
    fn added(&self, query: &Side, candidates: &Side, temperature: f32) -> Option<Tensor<2>> {
        let (alpha, of) = self.hardness;
        if alpha == 0.0 && self.own == 0.0 {
            return None;
        }
        let [inbatch, own] =
            [of != Weighted::Own, of != Weighted::InBatch].map(|on| if on { alpha } else { 0.0 });
        let device = query.vectors.device().inner();
        let (rows, columns) = (query.rows.len(), candidates.rows.len());
        let (mut factors, mut constants) = (Vec::with_capacity(rows * columns), Vec::new());
        for anchor in &query.rows {
            for candidate in &candidates.rows {
                let is_own = candidate.view > 1 && candidate.instance == anchor.instance;
                factors.push(temperature * if is_own { own } else { inbatch });
                constants.push(if is_own { temperature * self.own } else { 0.0 });
            }
        }
        let cosines = query.vectors.clone().inner().matmul(candidates.vectors.clone().inner().transpose());
        let factors: Tensor<2> = from_host(factors, [rows, columns], &device);
        Some(cosines * factors + from_host(constants, [rows, columns], &device))
    }
}

/// One encoder of queries and documents.
#[derive(Clone)]
pub struct Pairs {
    network: Network,
    contrast: Contrast,
    admission: Admission,
    softmax: Softmax,
    weights: Weights,
    /// Lengths of leading coordinates with the weights of their losses, the whole vector last.
    dimensions: Vec<(usize, f32)>,
}

impl Pairs {
    /// `contrast` makes the loss of what `softmax` and `weights` say; of whole vectors, by whatever the data know.
    pub(super) fn new(
        network: Network,
        mut contrast: Contrast,
        softmax: Softmax,
        weights: Weights,
        length: usize,
    ) -> Self {
        // Left out by rows and views here, not by instances there.
        let admission = Admission { relevance: contrast.relevance.take(), ceiling: None };
        Self { network, contrast, admission, softmax, weights, dimensions: vec![(length, 1.0)] }
    }

    fn by_recipe(building: &Building<'_>) -> Result<Self, LearnError> {
        let options: PairsOptions = building.settings.read("method")?;
        let network = Network::headless((building.encoder)("encoder")?);
        let length = network.encoder.dimension();
        let weights = Weights { hardness: (options.hardness, options.hardness_of), own: 0.0 };
        let mut pairs = Self::new(network, building.contrast()?, options.softmax, weights, length);
        let lengths = options.dimensions.unwrap_or_default();
        let of_each = options.dimension_weights.unwrap_or_else(|| vec![1.0; lengths.len()]);
        pairs.dimensions.splice(..0, lengths.into_iter().zip(of_each));
        let ceiling = |share| Ceiling { share, rows: Vec::new(), columns: 0 };
        pairs.admission.ceiling = options.ceiling.map(ceiling);
        Ok(pairs)
    }

    /// Encodes queries, documents and own negatives, in one pass.
    ///
    /// # Errors
    /// As the encoder, and where the columns are not there.
    pub(super) fn encode_texts(&mut self, batch: &Batch, pass: &mut Pass) -> Result<Outputs, LearnError> {
        let [query, document] = batch.pair()?;
        let mut columns = vec![query.clone(), document.clone()];
        let negatives = batch.columns.get(2).filter(|column| !column.rows.is_empty());
        columns.extend(negatives.cloned());
        let vectors = self.network.project(&Column::join(&columns)?, pass)?.projection;
        let mut first = 0;
        let mut next = |count: usize| {
            first += count;
            vectors.clone().narrow(0, first - count, count)
        };
        let (queries, documents) = (next(query.rows.len()), next(document.rows.len()));
        let own = match negatives {
            Some(column) => next(column.rows.len()),
            None => Tensor::zeros([0, vectors.dims()[1]], &vectors.device()),
        };
        let none = || vec![0; batch.instances.len() + 1];
        let parts = negatives.map_or_else(none, |column| column.parts(&batch.instances));
        let outputs =
            Outputs::new(batch.instances.clone(), vec![("query", queries), ("document", documents)]);
        Ok(outputs.with_parts(parts.into(), vec![("negatives", own)]))
    }

    /// What is no negative of whom in each comparison of a step, in the order of [`Pairs::compare`]: the same for vectors of every length.
    fn masks(&self, query: &[RowId], document: &[RowId], all: &[RowId]) -> Vec<Option<Mask>> {
        let mask = |anchors, candidates, own| self.admission.mask(anchors, candidates, own);
        let forward = mask(query, all, Own::Pair);
        match self.softmax {
            Softmax::QueryToDocument => vec![forward],
            Softmax::Symmetric => vec![forward, mask(document, query, Own::Pair)],
            Softmax::Joint => vec![
                forward,
                mask(query, query, Own::All),
                mask(document, query, Own::Nothing),
                mask(document, all, Own::All),
            ],
        }
    }

    /// The comparison of `anchor` and its partner `positive` with `candidates`.
    fn comparison([anchor, positive, candidates]: [&Side; 3], mask: Option<&Mask>) -> Comparison {
        let instances = candidates.rows.iter().map(|row| row.instance).collect();
        Comparison {
            query: anchor.vectors.clone(),
            positive: positive.vectors.clone(),
            candidates: candidates.vectors.clone(),
            mask: mask.cloned(),
            ids: Some(Ids { queries: anchor.rows.clone(), candidates: instances }),
            added: None,
            tracked: true,
        }
    }

    /// The loss of vectors of one length, of queries, documents and all documents.
    fn compare(
        &self,
        [query, document, all]: [&Side; 3],
        masks: &[Option<Mask>],
        step: &Step,
        observer: &mut dyn Observer,
    ) -> Tensor<1> {
        let forward = Comparison {
            added: self.weights.added(query, all, self.contrast.loss.temperature()),
            ..Self::comparison([query, document, all], masks[0].as_ref())
        };
        match self.softmax {
            Softmax::QueryToDocument => self.contrast.compare(&forward, step, MIXING[0], observer),
            Softmax::Symmetric => {
                let backward = Self::comparison([document, query, query], masks[1].as_ref());
                let one = self.contrast.compare(&forward, step, MIXING[0], observer);
                let other = self.contrast.compare(&backward, step, MIXING[1], observer);
                (one + other).mul_scalar(0.5)
            }
            Softmax::Joint => {
                let others = [
                    Self::comparison([query, document, query], masks[1].as_ref()),
                    Self::comparison([document, query, query], masks[2].as_ref()),
                    Self::comparison([document, query, all], masks[3].as_ref()),
                ];
                let [queries, backward, documents] = others;
                self.contrast.compare_jointly(&[forward, queries, backward, documents], observer)
            }
        }
    }

    /// The loss of what [`Pairs::encode_texts`] gave.
    pub(super) fn loss_of(&self, outputs: &Outputs, step: &Step, observer: &mut dyn Observer) -> Terms {
        let instances = &outputs.instances;
        let query = Side::new(outputs.get("query"), instances, 0);
        let document = Side::new(outputs.get("document"), instances, 1);
        let parts = outputs.parts();
        let own = instances.iter().zip(parts.windows(2)).flat_map(|(instance, ends)| {
            (0..(ends[1] - ends[0]) as u32).map(|place| RowId { instance: *instance, view: 2 + place })
        });
        let all = document.clone().with(outputs.get("negatives"), own.collect());
        let masks = self.masks(&query.rows, &document.rows, &all.rows);
        observer.number("masked", &|| self.masked_share(&query.rows, &all.rows));
        let terms = self.dimensions.iter().map(|(length, weight)| {
            let sides = [&query, &document, &all].map(|side| side.leading(*length));
            self.compare(sides.each_ref(), &masks, step, observer).mul_scalar(*weight)
        });
        Terms::new(terms.map(|loss| ("contrast", loss)).collect())
    }

    /// Share of the candidates of other rows that are no negatives of a query.
    fn masked_share(&self, queries: &[RowId], candidates: &[RowId]) -> f64 {
        let others = queries.iter().flat_map(|query| {
            candidates
                .iter()
                .filter(|candidate| candidate.instance != query.instance)
                .map(move |other| (query, other))
        });
        let (mut masked, mut all) = (0_usize, 0_usize);
        for (query, other) in others {
            masked += usize::from(self.admission.excludes(*query, *other));
            all += 1;
        }
        masked as f64 / all.max(1) as f64
    }

    /// What is trained and kept.
    pub(super) fn network(&mut self) -> &mut Network {
        &mut self.network
    }
}

impl Module for Pairs {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
    }
}

impl Method for Pairs {
    fn encode(&mut self, batch: &Batch, _: &Step, pass: &mut Pass) -> Result<Outputs, LearnError> {
        self.encode_texts(batch, pass)
    }

    fn loss(
        &mut self,
        gathered: &Outputs,
        step: &Step,
        observer: &mut dyn Observer,
    ) -> Result<Terms, LearnError> {
        Ok(self.loss_of(gathered, step, observer))
    }

    /// Query and document side by side, of which the sampler makes what `sampler.pairs` says.
    fn embeddings(&self, outputs: &Outputs) -> Tensor<2> {
        outputs.side_by_side(["query", "document"])
    }

    fn refreshed(&mut self, rows: Rows<'_>) {
        if let Some(ceiling) = &mut self.admission.ceiling {
            ceiling.take(rows);
        }
    }

    fn kept(&self) -> Box<dyn Embedder> {
        Box::new(self.network.clone())
    }

    fn state(&mut self) -> Arrays {
        let ceiling = self.admission.ceiling.iter().filter(|ceiling| ceiling.columns > 0);
        let array = |ceiling: &Ceiling| {
            let shape = vec![ceiling.rows.len() / ceiling.columns, ceiling.columns];
            (REFRESHED.to_owned(), Array::f32(shape, ceiling.rows.clone()))
        };
        ceiling.map(array).collect()
    }

    fn restore(&mut self, state: &Arrays, _: &Device) -> Result<(), LearnError> {
        let Some(ceiling) = &mut self.admission.ceiling else { return Ok(()) };
        let Some(array) = state.get(REFRESHED) else { return Ok(()) };
        let wrong = || LearnError::Weights {
            name: REFRESHED.to_owned(),
            reason: "it is no matrix of f32 with an even number of columns".to_owned(),
        };
        let (&[_, columns], Some(values)) = (&array.shape[..], array.as_f32()) else { return Err(wrong()) };
        if columns == 0 || columns % 2 == 1 {
            return Err(wrong());
        }
        (ceiling.columns, ceiling.rows) = (columns, values.to_vec());
        Ok(())
    }
}

/// The name of the vectors of the last refresh in a checkpoint.
const REFRESHED: &str = "refreshed";

#[cfg(test)]
mod tests;
