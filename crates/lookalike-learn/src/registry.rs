//! What there is to choose from, as a value: methods, losses, sources of negatives, encoders, modalities and scores. Validation walks it,
//! the reference is printed from it, and whoever has another entry adds it with [`Registry::with`].

mod names;

use crate::encoder::text::entry as text_encoder;
use crate::encoder::vit::entry as vit;
use crate::encoder::{EncoderEntry, Normalized, gcn, gin, resnet};
use crate::error::LearnError;
use crate::evaluate::{self, EvaluateOptions, ScoreEntry};
use crate::loss::{self, LossEntry, nt_xent};
use crate::method::{self, MethodEntry};
use crate::modality::{self, ArmKind, ModalityEntry};
use crate::negatives::mixing::MixingOptions;
use crate::negatives::{self, NegativesEntry, memory_bank, queue};
use crate::options::{FLAG, Key, Options, Range, Settings, Value, refuse};
use crate::sections;
use lookalike_base::words::did_you_mean;

/// The methods that this program brings along.
const METHODS: &[MethodEntry] = &[
    method::simclr::ENTRY,
    method::contrastive_clustering::ENTRY,
    method::direct_clr::ENTRY,
    method::end_to_end::ENTRY,
    method::instance_discrimination::ENTRY,
    method::moco::ENTRY,
    method::moco_v3::ENTRY,
    method::graphcl::ENTRY,
    method::mvgrl::ENTRY,
    method::mvgrl_nodes::ENTRY,
    method::pairs::ENTRY,
    method::supervised::ENTRY,
    method::mlm::ENTRY,
    method::simcse::ENTRY,
];

/// Its losses.
const LOSSES: &[LossEntry] = &[
    nt_xent::NT_XENT,
    nt_xent::INFO_NCE,
    loss::debiased::ENTRY,
    loss::hard::ENTRY,
    loss::decoupled::ENTRY,
    loss::noise_contrastive::ENTRY,
    loss::jensen_shannon::ENTRY,
    loss::alignment::ENTRY,
    loss::cross_entropy::ENTRY,
];

/// Its sources of negatives.
const NEGATIVES: &[NegativesEntry] =
    &[negatives::entry::BATCH, queue::ENTRY, memory_bank::ENTRY, negatives::entry::NOTHING];

/// Its encoders.
const ENCODERS: &[EncoderEntry] = &[
    resnet::RESNET18,
    resnet::RESNET34,
    resnet::RESNET50,
    resnet::SMALL,
    vit::SMALL,
    vit::TINY,
    gin::ENTRY,
    gcn::ENTRY,
    text_encoder::BERT,
    text_encoder::STATIC,
];

/// Its modalities.
const MODALITIES: &[ModalityEntry] =
    &[modality::image::ENTRY, modality::graph::ENTRY, modality::node::ENTRY, modality::text::ENTRY];

/// Its scores.
const SCORES: &[ScoreEntry] = &[
    evaluate::premise::ENTRY,
    evaluate::knn::ENTRY,
    evaluate::linear::ENTRY,
    evaluate::classifier::ENTRY,
    evaluate::cross_validation::ENTRY,
    evaluate::task::ENTRY,
    evaluate::alignment::ENTRY,
    evaluate::proxy::ENTRY,
    evaluate::geometry::ENTRY,
    evaluate::batches::ENTRY,
    evaluate::clustering::ENTRY,
    evaluate::segmentation::ENTRY,
];

/// What there is to choose from.
#[derive(Debug, Clone)]
pub struct Registry {
    pub(crate) methods: Vec<MethodEntry>,
    pub(crate) losses: Vec<LossEntry>,
    pub(crate) negatives: Vec<NegativesEntry>,
    pub(crate) encoders: Vec<EncoderEntry>,
    pub(crate) modalities: Vec<ModalityEntry>,
    pub(crate) scores: Vec<ScoreEntry>,
}

/// An entry of a registry.
#[derive(Debug, Clone, Copy)]
pub enum Entry {
    /// A method.
    Method(MethodEntry),
    /// A loss.
    Loss(LossEntry),
    /// A source of negatives.
    Negatives(NegativesEntry),
    /// An encoder.
    Encoder(EncoderEntry),
    /// A modality.
    Modality(ModalityEntry),
    /// A score.
    Score(ScoreEntry),
}

macro_rules! entry {
    ($($variant:ident($type:ty)),*) => {
        $(impl From<$type> for Entry {
            fn from(entry: $type) -> Self {
                Self::$variant(entry)
            }
        })*
    };
}

entry!(
    Method(MethodEntry),
    Loss(LossEntry),
    Negatives(NegativesEntry),
    Encoder(EncoderEntry),
    Modality(ModalityEntry),
    Score(ScoreEntry)
);

/// What a recipe has chosen.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    /// `method.kind`.
    pub method: MethodEntry,
    /// `encoder.kind`.
    pub encoder: EncoderEntry,
    /// What encoder and method read together.
    pub modality: ModalityEntry,
    /// `negatives.kind`.
    pub negatives: NegativesEntry,
    /// `loss.kind`.
    pub loss: LossEntry,
}

/// What is chosen by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `method.kind`.
    Method,
    /// `encoder.kind`.
    Encoder,
    /// What the data are.
    Modality,
    /// `negatives.kind`.
    Negatives,
    /// `loss.kind`.
    Loss,
}

impl Kind {
    /// How a message names it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Method => "method.kind",
            Self::Encoder => "encoder.kind",
            Self::Modality => "the modality",
            Self::Negatives => "negatives.kind",
            Self::Loss => "loss.kind",
        }
    }
}

impl Choice {
    /// The name that was chosen of a kind.
    pub fn name(&self, kind: Kind) -> &'static str {
        match kind {
            Kind::Method => self.method.kind,
            Kind::Encoder => self.encoder.kind,
            Kind::Modality => self.modality.kind,
            Kind::Negatives => self.negatives.kind,
            Kind::Loss => self.loss.kind,
        }
    }
}

/// A key, and who reads it: all that are named must be chosen; nobody named is everybody.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Its section.
    pub section: &'static str,
    /// The key.
    pub key: Key,
    /// Who reads it.
    pub readers: Vec<(Kind, &'static str)>,
}

impl Offer {
    /// Section and key.
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.key.name)
    }

    /// Who of its readers is not chosen; `None` where it is read.
    pub fn missing(&self, choice: &Choice) -> Option<Kind> {
        self.readers.iter().find(|(kind, name)| choice.name(*kind) != *name).map(|(kind, _)| *kind)
    }
}

/// Keys that all recipes can have beside those of entries.
const NAME: Key =
    Key { name: "name", default: Value::Absent("–"), range: Range::Text("string"), about: "the data set" };
const ROOT: Key = Key {
    name: "root",
    default: Value::Absent("none"),
    range: Range::Text("path"),
    about: "folder that holds the files; every set but `glyphs` needs it. Graphs and texts: the current folder if absent",
};
const WEIGHTS: Key = Key {
    name: "weights",
    default: Value::Absent("drawn"),
    range: Range::Text("path"),
    about: "safetensors from which the encoder starts: torchvision's, timm's, an export, or the `model.safetensors` of a run; of texts the folder of a sentence encoder. All of its \
            tensors must be there; what is left over is told",
};
const ORACLE: Key = Key {
    name: "oracle",
    default: Value::Flag(false),
    range: FLAG,
    about: "whether negatives of the query's class are left out, by the labels: an upper bound, no method",
};
const MIXING: Key = Key {
    name: "mixing",
    default: Value::Absent("none"),
    range: Range::Table(MixingOptions::KEYS),
    about: "MoCHi (Kalantidis et al. 2020): harder negatives mixed from those there are, for each query by itself",
};

impl Registry {
    /// All that this program brings along.
    pub fn standard() -> Self {
        Self {
            methods: METHODS.to_vec(),
            losses: LOSSES.to_vec(),
            negatives: NEGATIVES.to_vec(),
            encoders: ENCODERS.to_vec(),
            modalities: MODALITIES.to_vec(),
            scores: SCORES.to_vec(),
        }
    }

    /// The same with another entry: in the place of one of that name where there is one, else as the last.
    #[must_use]
    pub fn with(mut self, entry: impl Into<Entry>) -> Self {
        fn put<T>(entries: &mut Vec<T>, entry: T, is: impl Fn(&T) -> bool) {
            match entries.iter_mut().find(|other| is(other)) {
                Some(other) => *other = entry,
                None => entries.push(entry),
            }
        }
        match entry.into() {
            Entry::Method(entry) => put(&mut self.methods, entry, |other| other.kind == entry.kind),
            Entry::Loss(entry) => put(&mut self.losses, entry, |other| other.kind == entry.kind),
            Entry::Negatives(entry) => put(&mut self.negatives, entry, |other| other.kind == entry.kind),
            Entry::Encoder(entry) => put(&mut self.encoders, entry, |other| other.kind == entry.kind),
            Entry::Modality(entry) => put(&mut self.modalities, entry, |other| other.kind == entry.kind),
            Entry::Score(entry) => put(&mut self.scores, entry, |other| other.kind == entry.kind),
        }
        self
    }

    fn learns_from(method: &MethodEntry, modality: &ModalityEntry) -> bool {
        method.modalities.contains(&modality.kind) || modality.methods.contains(&method.kind)
    }

    /// The encoders that `method` can train, the first being its own choice.
    pub fn encoders_of(&self, method: &MethodEntry) -> Vec<&EncoderEntry> {
        if !method.encoders.is_empty() {
            let own = |kind: &&str| self.encoders.iter().find(|encoder| encoder.kind == *kind);
            return method.encoders.iter().filter_map(own).collect();
        }
        let goes = |encoder: &&EncoderEntry| {
            (encoder.methods.is_empty() || encoder.methods.contains(&method.kind))
                && self.modality_of(method, encoder).is_some()
        };
        self.encoders.iter().filter(goes).collect()
    }

    /// What `encoder` and `method` read together.
    pub fn modality_of(&self, method: &MethodEntry, encoder: &EncoderEntry) -> Option<&ModalityEntry> {
        self.modalities.iter().find(|modality| {
            encoder.modalities.contains(&modality.kind) && Self::learns_from(method, modality)
        })
    }

    /// The losses that `method` can minimise, the first being its own choice.
    pub fn losses_of(&self, method: &MethodEntry) -> Vec<&LossEntry> {
        let own = |kind: &&str| self.losses.iter().find(|loss| loss.kind == *kind);
        let others = self.losses.iter().filter(|loss| loss.methods.contains(&method.kind));
        method.losses.iter().filter_map(own).chain(others).collect()
    }

    /// Where negatives of `method` can come from, the first being its own choice.
    pub fn negatives_of(&self, method: &MethodEntry) -> Vec<&NegativesEntry> {
        let own = |kind: &&str| self.negatives.iter().find(|negatives| negatives.kind == *kind);
        let others = self.negatives.iter().filter(|negatives| negatives.methods.contains(&method.kind));
        method.negatives.iter().filter_map(own).chain(others).collect()
    }

    /// Finds a method by its name.
    ///
    /// # Errors
    /// [`LearnError::Recipe`] with the nearest name.
    pub fn method(&self, kind: &str) -> Result<&MethodEntry, LearnError> {
        let names = self.methods.iter().map(|method| method.kind);
        find(&self.methods, |method| method.kind, kind, || unknown("method.kind", kind, names))
    }

    /// The names of `kind`.
    pub fn names(&self, kind: Kind) -> Vec<&'static str> {
        match kind {
            Kind::Method => self.methods.iter().map(|entry| entry.kind).collect(),
            Kind::Encoder => self.encoders.iter().map(|entry| entry.kind).collect(),
            Kind::Modality => self.modalities.iter().map(|entry| entry.kind).collect(),
            Kind::Negatives => self.negatives.iter().map(|entry| entry.kind).collect(),
            Kind::Loss => self.losses.iter().map(|entry| entry.kind).collect(),
        }
    }

    /// What `kind` can be in a section that chooses an entry by its name.
    pub fn kinds(&self, section: &str) -> Option<Vec<&'static str>> {
        match section {
            "method" => Some(self.names(Kind::Method)),
            "encoder" => Some(self.names(Kind::Encoder)),
            "negatives" => Some(self.names(Kind::Negatives)),
            "loss" => Some(self.names(Kind::Loss)),
            _ => None,
        }
    }

    /// What `method` chooses where the recipe names these kinds or none.
    ///
    /// # Errors
    /// [`LearnError::Recipe`] where a name is unknown or does not go with the method.
    pub fn choose(&self, method: &MethodEntry, settings: &Settings) -> Result<Choice, LearnError> {
        let encoder = pick(
            ("encoder.kind", settings.text("encoder.kind")),
            method,
            &self.encoders_of(method),
            |entry| entry.kind,
            &self.names(Kind::Encoder),
        )?;
        let own = |path: &str| match default_of(method, settings, path) {
            Some(Value::Text(kind)) => Some(kind),
            _ => None,
        };
        let loss = pick(
            ("loss.kind", settings.text("loss.kind").or_else(|| own("loss.kind"))),
            method,
            &self.losses_of(method),
            |entry| entry.kind,
            &self.names(Kind::Loss),
        )?;
        let negatives = pick(
            ("negatives.kind", settings.text("negatives.kind")),
            method,
            &self.negatives_of(method),
            |entry| entry.kind,
            &self.names(Kind::Negatives),
        )?;
        let modality = self.modality_of(method, encoder);
        let modality = modality.ok_or_else(|| refuse("encoder.kind", "no modality is read by it"))?;
        Ok(Choice {
            method: *method,
            encoder: *encoder,
            modality: *modality,
            negatives: *negatives,
            loss: *loss,
        })
    }

    /// Every key of every section, with its readers.
    pub fn offers(&self) -> Vec<Offer> {
        let mut offers = Vec::new();
        let mut offer = |section, keys: &[Key], readers: &[(Kind, &'static str)]| {
            offers.extend(keys.iter().map(|key| Offer { section, key: *key, readers: readers.to_vec() }));
        };
        offer("data", &[NAME, ROOT], &[]);
        for modality in &self.modalities {
            let reader = (Kind::Modality, modality.kind);
            offer("data", modality.data, &[reader]);
            for section in modality.sections {
                if section.columns.is_empty() {
                    offer(section.name, section.keys, &[reader]);
                    continue;
                }
                for method in self.methods.iter().filter(|method| Self::learns_from(method, modality)) {
                    let mut columns = method.columns.iter().flat_map(|columns| columns.then);
                    if columns.any(|column| section.columns.contains(column)) {
                        offer(section.name, section.keys, &[reader, (Kind::Method, method.kind)]);
                    }
                }
            }
            for measure in self.measures(modality) {
                if let Some(score) = self.scores.iter().find(|score| score.kind == measure.score) {
                    offer("evaluate", score.keys, &[reader]);
                }
            }
            if !modality.embedded_at_once {
                offer("evaluate", &own_keys("batch_size"), &[reader]);
                offer("evaluate", &own_keys("every"), &[reader]);
            }
            if self.measures(modality).iter().any(|measure| measure.arms.contains(&ArmKind::Raw)) {
                offer("evaluate", &own_keys("raw_input"), &[reader]);
            }
        }
        offer("evaluate", &own_keys("after_training"), &[]);
        offer("encoder", &[WEIGHTS], &[]);
        for encoder in &self.encoders {
            offer("encoder", encoder.keys, &[(Kind::Encoder, encoder.kind)]);
            if encoder.normalized != Normalized::Nothing {
                let reader = (Kind::Encoder, encoder.kind);
                offer("evaluate", &own_keys("statistics_batches"), &[reader]);
            }
        }
        for method in &self.methods {
            offer("method", method.keys, &[(Kind::Method, method.kind)]);
        }
        for negatives in &self.negatives {
            offer("negatives", negatives.keys, &[(Kind::Negatives, negatives.kind)]);
        }
        for loss in &self.losses {
            offer("loss", loss.keys, &[(Kind::Loss, loss.kind)]);
            if loss.softmax {
                offer("negatives", &[ORACLE, MIXING], &[(Kind::Loss, loss.kind)]);
            }
        }
        offer("sampler", sections::SAMPLER, &[]);
        offer("optimizer", crate::train::OptimizerOptions::KEYS, &[]);
        offer("train", sections::TrainSection::KEYS, &[]);
        offers
    }

    /// The names of the sections, in the order of the reference.
    pub fn sections(&self) -> Vec<&'static str> {
        let mut names = vec!["data"];
        names.extend(
            self.modalities.iter().flat_map(|modality| modality.sections).map(|section| section.name),
        );
        names.extend(["encoder", "method", "negatives", "loss", "sampler", "optimizer", "train", "evaluate"]);
        let mut seen = Vec::new();
        names.retain(|name| {
            !seen.contains(name) && {
                seen.push(*name);
                true
            }
        });
        names
    }
}

/// The method's own default of the key at `path`.
pub fn default_of(method: &MethodEntry, settings: &Settings, path: &str) -> Option<Value> {
    let mut own = method.defaults.iter().rev().filter(|default| default.holds(settings));
    own.find(|default| default.then.0 == path).map(|default| default.then.1)
}

/// The key of `[evaluate]` of that name, which belongs to no score.
fn own_keys(name: &str) -> Vec<Key> {
    EvaluateOptions::KEYS.iter().filter(|key| key.name == name).copied().collect()
}

fn find<'a, T>(
    entries: &'a [T],
    name: impl Fn(&T) -> &'static str,
    kind: &str,
    error: impl FnOnce() -> LearnError,
) -> Result<&'a T, LearnError> {
    entries.iter().find(|entry| name(entry) == kind).ok_or_else(error)
}

fn unknown<'a>(place: &str, kind: &str, names: impl Iterator<Item = &'a str>) -> LearnError {
    let names: Vec<&str> = names.collect();
    let hint = did_you_mean(kind, names.iter().copied());
    refuse(place, format!("`{kind}` is not one of {}{hint}", quoted(&names)))
}

/// Names as messages and the reference show them.
pub(crate) fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<String>>().join(", ")
}

/// What the recipe asks for at `place`, or what the method chooses: one of `fitting`.
fn pick<'a, T>(
    (place, asked): (&str, Option<&str>),
    method: &MethodEntry,
    fitting: &[&'a T],
    name: impl Fn(&T) -> &'static str,
    all: &[&'static str],
) -> Result<&'a T, LearnError> {
    let names: Vec<&str> = fitting.iter().map(|entry| name(entry)).collect();
    let Some(asked) = asked else {
        return fitting.first().copied().ok_or_else(|| refuse(place, "there is none for this method"));
    };
    if !all.contains(&asked) {
        return Err(unknown(place, asked, all.iter().copied()));
    }
    fitting.iter().find(|entry| name(entry) == asked).copied().ok_or_else(|| {
        let (method, known) = (method.kind, quoted(&names));
        refuse(place, format!("`{asked}` does not go with method `{method}`, which takes {known}"))
    })
}
