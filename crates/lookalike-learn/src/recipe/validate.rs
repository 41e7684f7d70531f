//! Whether a recipe can run: the registries' declarations are walked, then what keys of several entries are together.

use lookalike_sampling::{LastBatch, SamplerKind, SamplerOptions};
use toml::Value as Toml;

use super::ValidRecipe;
use crate::encoder::EncoderEntry;
use crate::error::LearnError;
use crate::method::entry::labels_needed;
use crate::method::{Checked, MethodEntry};
use crate::modality::text;
use crate::negatives::{MixingOptions, Pool};
use crate::options::{Key, Settings, fill, refuse, require};
use crate::registry::{Choice, Offer, Registry, default_of, quoted};
use crate::sections::{Keep, TrainSection};
use crate::train::{Heeding, OptimizerKind, OptimizerOptions, OracleKind, OracleOptions, OracleSetup, Shape};

/// The settings with the method's own keys filled in, and what they choose.
pub(super) fn choose(settings: &Settings, registry: &Registry) -> Result<(Settings, Choice), LearnError> {
    let mut settings = settings.clone();
    let kind = settings.text("method.kind").unwrap_or("simclr").to_owned();
    let method = registry.method(&kind)?;
    settings.set("method.kind", Toml::String(kind));
    // On its keys it hangs which columns are read and which defaults hold.
    fill_section(&mut settings, "method", method, method.keys.iter());
    let choice = registry.choose(method, &settings)?;
    Ok((settings, choice))
}

/// Writes the defaults of `keys` to a section, the method's own where it has any.
fn fill_section<'a>(
    settings: &mut Settings,
    section: &str,
    method: &MethodEntry,
    keys: impl Iterator<Item = &'a Key>,
) {
    let mut table = settings.section(section);
    for key in keys {
        let own = default_of(method, settings, &format!("{section}.{}", key.name));
        fill(&Key { default: own.unwrap_or(key.default), ..*key }, &mut table);
    }
    settings.set(section, Toml::Table(table));
}

pub(super) fn validate(settings: &Settings, registry: &Registry) -> Result<ValidRecipe, LearnError> {
    registry.check()?;
    require(settings.text("data.name").is_some(), "data.name", "must name a data set")?;
    let given = settings;
    let (mut settings, choice) = choose(settings, registry)?;
    let offers = registry.offers();
    refuse_unread(&settings, &choice, &offers)?;
    let read: Vec<&Offer> = offers.iter().filter(|offer| offer.missing(&choice).is_none()).collect();
    drop_unread(&mut settings, &read, registry);
    for (path, kind) in [
        ("encoder.kind", choice.encoder.kind),
        ("negatives.kind", choice.negatives.kind),
        ("loss.kind", choice.loss.kind),
    ] {
        settings.set(path, Toml::String(kind.to_owned()));
    }
    for section in registry.sections() {
        let keys = read.iter().filter(|offer| offer.section == section).map(|offer| &offer.key);
        fill_section(&mut settings, section, &choice.method, keys);
    }
    settings.0.retain(|_, value| value.as_table().is_none_or(|table| !table.is_empty()));
    let seed = settings.integer("seed").unwrap_or(0);
    settings.set("seed", Toml::Integer(seed));
    for offer in &read {
        if let Some(value) = settings.value(&offer.path()) {
            offer.key.check(offer.section, value)?;
        }
    }
    let notes = fit_warm_up(given, &mut settings).into_iter().collect();
    let sampler = sampler(&settings)?;
    let optimizer: OptimizerOptions = settings.read("optimizer")?;
    let train: TrainSection = settings.read("train")?;
    let device = train.device.parse()?;
    let measures = registry.measures(&choice.modality);
    let fits_batch = given.value(BATCH_SIZE).is_none();
    let recipe =
        ValidRecipe { settings, choice, measures, sampler, optimizer, train, device, fits_batch, notes };
    check_together(&recipe)?;
    Ok(recipe)
}

const BATCH_SIZE: &str = "sampler.batch_size";

/// Batches that an epoch has at least where the size of a batch fits itself to the data.
const FEWEST_BATCHES: usize = 4;

fn sampler(settings: &Settings) -> Result<SamplerOptions, LearnError> {
    let section = Toml::Table(settings.section("sampler"));
    section.try_into().map_err(|error: toml::de::Error| refuse("sampler", error.message()))
}

/// Shortens a warm-up that nobody set and that is longer than the run to a tenth of it.
fn fit_warm_up(given: &Settings, settings: &mut Settings) -> Option<String> {
    const WARM_UP: &str = "train.warmup_epochs";
    let epochs = settings.integer("train.epochs")? as f64;
    let default = settings.value(WARM_UP)?.as_float()?;
    if given.value(WARM_UP).is_some() || default <= epochs {
        return None;
    }
    let fitted = epochs / 10.0;
    settings.set(WARM_UP, Toml::Float(fitted));
    Some(format!(
        "{WARM_UP} is {fitted}, a tenth of train.epochs, as the run is shorter than its default of {default}"
    ))
}

/// Takes the largest power of two that leaves [`FEWEST_BATCHES`] batches of `instances`, where the default would leave fewer.
pub(super) fn fit(
    mut recipe: ValidRecipe,
    instances: usize,
) -> Result<(ValidRecipe, Vec<String>), LearnError> {
    let mut notes = std::mem::take(&mut recipe.notes);
    let advice = |recipe: &ValidRecipe| {
        Ok::<_, LearnError>((recipe.choice.method.advise)(&checked(recipe, &recipe.choice.encoder)?))
    };
    let (default, most) = (recipe.sampler.batch_size, (instances / FEWEST_BATCHES).max(1));
    if !recipe.fits_batch || default <= most {
        notes.extend(advice(&recipe)?);
        return Ok((recipe, notes));
    }
    // A single instance has no negatives in its batch.
    let batch = (1 << most.ilog2()).clamp(2, default.max(2)).min(instances.max(1));
    recipe.settings.set(BATCH_SIZE, Toml::Integer(batch as i64));
    recipe.sampler = sampler(&recipe.settings)?;
    check_together(&recipe)?;
    let mut note =
        format!("{BATCH_SIZE} is {batch}, as there are {instances} instances; its default is {default}");
    if recipe.sampler.kind == SamplerKind::Walk && recipe.sampler.hardness_share.is_none() {
        let (candidates, neighbors) = recipe.sampler.sizes(instances);
        note = format!("{note}; a graph has {neighbors} neighbors of {candidates} candidates");
    }
    notes.push(note);
    notes.extend(advice(&recipe)?);
    Ok((recipe, notes))
}

/// Refuses the first key that is given and that nobody chosen reads, unless it says its default.
fn refuse_unread(settings: &Settings, choice: &Choice, offers: &[Offer]) -> Result<(), LearnError> {
    for (section, value) in &settings.0 {
        for (name, value) in value.as_table().into_iter().flatten() {
            let own: Vec<&Offer> =
                offers.iter().filter(|offer| offer.section == section && offer.key.name == name).collect();
            // Where readers differ in their defaults, none of these is that of a recipe that has no reader.
            if own.iter().any(|offer| offer.missing(choice).is_none())
                || own.iter().all(|offer| offer.key.is_default(value))
            {
                continue;
            }
            // What fails of the reader that is nearest to being chosen.
            let Some(nearest) = own.iter().min_by_key(|offer| failures(offer, choice)) else { continue };
            let Some(kind) = nearest.missing(choice) else { continue };
            let mut names: Vec<&str> = own
                .iter()
                .filter(|offer| failures(offer, choice) == failures(nearest, choice))
                .flat_map(|offer| offer.readers.iter().filter(|(other, _)| *other == kind))
                .map(|(_, name)| *name)
                .collect();
            names.dedup();
            let (words, chosen, readers) = (kind.words(), choice.name(kind), quoted(&names));
            let reason = format!(
                "is not read where {words} is `{chosen}`, only under {readers}; leave it out, or at its default"
            );
            return Err(refuse(&format!("{section}.{name}"), reason));
        }
    }
    Ok(())
}

/// How many of an offer's readers are not chosen.
fn failures(offer: &Offer, choice: &Choice) -> usize {
    let alone = |reader| Offer { readers: vec![reader], ..offer.clone() };
    offer.readers.iter().filter(|reader| alone(**reader).missing(choice).is_some()).count()
}

/// Takes away what stands at its default and nobody reads.
fn drop_unread(settings: &mut Settings, read: &[&Offer], registry: &Registry) {
    for (section, value) in &mut settings.0 {
        if let Toml::Table(table) = value {
            table.retain(|name, _| {
                (name == "kind" && registry.kinds(section).is_some())
                    || read.iter().any(|offer| offer.section == section && offer.key.name == name)
            });
        }
    }
}

/// The recipe as its parts check it.
fn checked<'a>(recipe: &'a ValidRecipe, encoder: &EncoderEntry) -> Result<Checked<'a>, LearnError> {
    Ok(Checked {
        settings: &recipe.settings,
        batch_size: recipe.sampler.batch_size,
        shards: recipe.train.shards.unwrap_or(1),
        dimension: (encoder.dimension)(&recipe.settings)?,
        normalized: encoder.normalized,
        keeps_last: recipe.sampler.last_batch == LastBatch::Keep,
    })
}

/// Candidates for a query's negatives where their number does not depend on the data.
fn pool(recipe: &ValidRecipe, checked: &Checked<'_>) -> Option<usize> {
    match recipe.choice.negatives.pool {
        Pool::Nothing => Some(0),
        Pool::Batch => Some((recipe.choice.method.in_batch)(checked)),
        Pool::Sized => recipe.settings.integer("negatives.size").map(|size| size as usize),
        Pool::Instances => None,
    }
}

/// The keys that name what a run is judged by while it trains.
const DEVELOPMENT: [&str; 2] = ["text.development", "data.development"];

/// Checks where the rate drops.
fn check_drops(train: &TrainSection) -> Result<(), LearnError> {
    let given = train.drop_at.is_some() || train.drop_factor.is_some();
    let key = if train.drop_at.is_some() { "train.drop_at" } else { "train.drop_factor" };
    let is_steps = train.schedule == Shape::Steps;
    require(!given || is_steps, key, "goes with train.schedule = \"steps\" alone; leave it out")?;
    let at = train.drop_at.as_deref().unwrap_or_default();
    let words =
        "must be a list of epochs in rising order, each above 0 and below train.epochs, as [30, 40, 50]";
    let rising = at.windows(2).all(|pair| pair[0] < pair[1]);
    let inside = at.iter().all(|epoch| epoch.is_finite() && *epoch > 0.0 && *epoch < train.epochs as f64);
    require(!is_steps || (!at.is_empty() && rising && inside), "train.drop_at", words)?;
    let words = "begins before the warm-up ends (train.warmup_epochs), in which the rate rises";
    require(at.first().is_none_or(|first| *first >= train.warmup_epochs), "train.drop_at", words)
}

/// Checks what keys of several parts are together.
fn check_together(recipe: &ValidRecipe) -> Result<(), LearnError> {
    let ValidRecipe { settings, choice, sampler, optimizer, train, .. } = recipe;
    require(
        train.warmup_epochs <= train.epochs as f64,
        "train.warmup_epochs",
        "must lie between 0 and train.epochs",
    )?;
    check_drops(train)?;
    let rates = || optimizer.rates.iter().flatten();
    require(
        rates().all(|(_, factor)| factor.is_finite() && *factor > 0.0),
        "optimizer.rates",
        "must be numbers above 0; train.freeze names layers that do not learn",
    )?;
    require(
        !optimizer.nesterov || optimizer.kind == OptimizerKind::Sgd,
        "optimizer.nesterov",
        "goes with `sgd` alone; the other kinds have no such form",
    )?;
    require(
        choice.encoder.rounds || settings.text("train.precision") != Some("bf16"),
        "train.precision",
        format!(
            "`bf16` rounds what convolutions and transformers multiply, and encoder `{}` is neither",
            choice.encoder.kind
        ),
    )?;
    require(
        sampler.kind == SamplerKind::Uniform || sampler.uniform_epochs < train.epochs,
        "sampler.uniform_epochs",
        "must be below train.epochs: all batches would be uniform; if they are to be, set sampler.kind = \"uniform\"",
    )?;
    require(
        choice.modality.divisible || train.chunk.is_none(),
        "train.chunk",
        format!(
            "encodes a batch in parts, and what the modality `{}` has in a batch, as the nodes of one graph, is encoded \
             together; leave it out",
            choice.modality.kind
        ),
    )?;
    require(
        train.chunk_tokens.is_none() || choice.modality.kind == text::ENTRY.kind,
        "train.chunk_tokens",
        format!(
            "counts tokens of texts, and the modality `{}` has none; take train.chunk",
            choice.modality.kind
        ),
    )?;
    require(
        train.chunk.is_none() || train.chunk_tokens.is_none(),
        "train.chunk_tokens",
        "says how much is encoded at a time, as train.chunk does; leave one of them out",
    )?;
    require(
        train.evaluate_every.is_none() || DEVELOPMENT.iter().any(|key| settings.value(key).is_some()),
        "train.evaluate_every",
        format!("judges the run by a development part ({}), which is not given", DEVELOPMENT.join(", ")),
    )?;
    let named = DEVELOPMENT.iter().find(|key| settings.value(key).is_some());
    let lacking = match named {
        Some(key) => {
            format!("what the part of {key} finds best: say with train.evaluate_every how often it judges")
        }
        None => format!(
            "what a development part finds best: give one ({}), and say with train.evaluate_every how often it judges",
            DEVELOPMENT.join(", ")
        ),
    };
    require(
        train.keep != Some(Keep::Best) || train.evaluate_every.is_some(),
        "train.keep",
        format!("`best` keeps {lacking}"),
    )?;
    check_oracle(recipe)?;
    let checked = checked(recipe, &choice.encoder)?;
    (choice.modality.check)(settings)?;
    (choice.method.check)(&checked)?;
    let pool = pool(recipe, &checked);
    require(
        choice.negatives.pool != Pool::Batch || pool != Some(0),
        "sampler.batch_size",
        "must be at least 2 where negatives come from the batch",
    )?;
    let Some(mixing) = settings.parse::<MixingOptions>("negatives.mixing")? else { return Ok(()) };
    require(
        mixing.between + mixing.with_query > 0,
        "negatives.mixing",
        "makes nothing: between and with_query are both 0",
    )?;
    require(
        pool.is_none_or(|pool| mixing.hardest <= pool),
        "negatives.mixing.hardest",
        format!(
            "must be at most {}, the number of negatives a query has: negatives.size with a queue, with a batch of B 2B − 2 under \
             the losses of SimCLR that compare all views, else B − 1",
            pool.unwrap_or(0)
        ),
    )
}

/// Checks that an oracle has what it needs, and that somebody heeds it.
fn check_oracle(recipe: &ValidRecipe) -> Result<(), LearnError> {
    let ValidRecipe { settings, choice, .. } = recipe;
    let Some(OracleSetup { options, known, walks, clusters }) = recipe.oracle() else { return Ok(()) };
    let place = "train.oracle";
    require(
        !settings.is_set("negatives.oracle"),
        place,
        "stands beside negatives.oracle, and both say whom the loss leaves out; leave one of them out",
    )?;
    require(
        options.kind != OracleKind::Kmeans || clusters > 0,
        "train.oracle.clusters",
        "must say how many clusters k-means looks for",
    )?;
    require(
        options.kind != OracleKind::Head || settings.value("method.clusters").is_some(),
        "train.oracle.kind",
        format!("`head` asks a cluster head, and method `{}` has none; take `kmeans`", choice.method.kind),
    )?;
    require(
        walks || options.to != Heeding::Sampler,
        "train.oracle.to",
        "`sampler` keeps instances of one class out of batches of look-alikes, and sampler.kind = \"uniform\" makes none",
    )?;
    require(
        known.is_some() || options.to != Heeding::Negatives,
        "train.oracle.to",
        format!("`negatives` leaves some out of a softmax, and loss `{}` has none", choice.loss.kind),
    )?;
    require(
        walks || known.is_some(),
        place,
        format!(
            "changes nothing: batches are uniform, and loss `{}` has no softmax over negatives",
            choice.loss.kind
        ),
    )?;
    require(
        walks || options.avoid == OracleOptions::default().avoid,
        "train.oracle.avoid",
        "says what walks avoid, and no walk heeds the oracle; leave it out",
    )?;
    let own = ("confidence", options.confidence != OracleOptions::default().confidence, OracleKind::Head);
    let found = ("clusters", options.clusters.is_some(), OracleKind::Kmeans);
    for (key, given, reader) in [own, found] {
        let reason = "is not read by this kind of oracle; leave it out";
        require(!given || options.kind == reader, &format!("{place}.{key}"), reason)?;
    }
    Ok(())
}

pub(super) fn check_with_data(
    recipe: &ValidRecipe,
    instances: usize,
    labelled: bool,
    steps: u64,
) -> Result<(), LearnError> {
    let ValidRecipe { settings, choice, sampler, .. } = recipe;
    let checked = checked(recipe, &choice.encoder)?;
    let batch = sampler.batch_size;
    require(
        choice.negatives.pool != Pool::Batch || !checked.keeps_last || instances % batch.max(1) != 1,
        "sampler.batch_size",
        format!(
            "with {batch} the last batch, which is kept, holds one of the {instances} instances and has no negatives; take \
             another size, or sampler.last_batch = \"drop\""
        ),
    )?;
    (choice.method.check_data)(&checked, instances)?;
    for (asked, place) in [
        (settings.is_set("negatives.oracle"), "negatives.oracle"),
        (choice.method.needs_labels, "method.kind"),
        (
            recipe.oracle().is_some_and(|oracle| oracle.options.kind == OracleKind::Labels),
            "train.oracle.kind",
        ),
    ] {
        if asked && !labelled {
            return Err(labels_needed(place));
        }
    }
    let clusters = recipe.oracle().filter(|oracle| oracle.options.kind == OracleKind::Kmeans);
    require(
        clusters.is_none_or(|oracle| oracle.clusters <= instances),
        "train.oracle.clusters",
        format!("must be at most {instances}, the number of instances"),
    )?;
    check_length(recipe, instances, steps)?;
    let mixing: Option<MixingOptions> = settings.parse("negatives.mixing")?;
    require(
        choice.negatives.pool != Pool::Instances || mixing.is_none_or(|mixing| mixing.hardest < instances),
        "negatives.mixing.hardest",
        format!("must be below {instances}, the number of entries of the bank"),
    )
}

/// Checks that what begins later than the run begins before its end, `steps` being those of its schedule.
fn check_length(recipe: &ValidRecipe, instances: usize, steps: u64) -> Result<(), LearnError> {
    let ValidRecipe { train, sampler, settings, .. } = recipe;
    let last = train.max_steps.map_or(steps, |most| most.min(steps));
    let late = |place: &str, what: &str, begins: u64| {
        let (place, whole) = if last < steps {
            ("train.max_steps", format!(" instead of its {steps}"))
        } else {
            (place, String::new())
        };
        let reason =
            format!("the run ends after {last} steps{whole}, before {what} with step {}", begins + 1);
        Err(refuse(place, reason))
    };
    let batches =
        lookalike_sampling::batches_per_epoch(instances, sampler.batch_size, sampler.last_batch) as u64;
    // The first graph is made of the embeddings of the uniform epochs, or of those of the batches before the first refresh.
    let uniform = match sampler.uniform_epochs {
        0 if train.embed_first => 0,
        0 => batches.min(sampler.refresh_every),
        epochs => epochs.saturating_mul(batches),
    };
    if sampler.kind != SamplerKind::Uniform && uniform / train.accumulate >= last {
        let kind = settings.text("sampler.kind").unwrap_or_default();
        let what = format!("batches of look-alikes (sampler.kind = \"{kind}\") begin");
        return late("sampler.uniform_epochs", &what, uniform / train.accumulate);
    }
    if let Some(setup) = recipe.oracle() {
        // In uniform batches it looks at the beginning of an epoch.
        let made = (setup.options.begins * steps as f64).ceil() as u64 * train.accumulate;
        let begins = if setup.walks { made } else { made.div_ceil(batches) * batches } / train.accumulate;
        if begins >= last {
            return late("train.oracle.begins", "the oracle begins", begins);
        }
    }
    let mixing: Option<MixingOptions> = settings.parse("negatives.mixing")?;
    let begins = mixing.map(|mixing| (mixing.warm_up * steps as f64).ceil() as u64);
    match begins.filter(|begins| *begins >= last) {
        Some(begins) => late("negatives.mixing.warm_up", "mixing begins", begins),
        None => Ok(()),
    }
}
