//! Diffusions of graphs: what a recipe says of them, and the file in the folder of a run that keeps them between training, evaluating
//! and embedding.

use std::path::Path;
use std::sync::Arc;

use lookalike_base::Watch;
use lookalike_data::DataError;
use lookalike_data::graph::diffusion::{EXACT_NODES, SERIES_NODES};
use lookalike_data::graph::{DiffusionOptions, Diffusions};

use super::graph::variant;
use super::{Opening, Section};
use crate::error::LearnError;
use crate::options::{FRACTION, Key, Range, Settings, Value, refuse};

/// The file of a run that keeps diffusions which took longer than the file takes to read.
pub(crate) const FILE: &str = "diffusion.safetensors";

/// The diffusion of a graph.
pub(super) const SECTION: Section = Section {
    name: "graphs",
    keys: &[Key {
        name: "diffusion",
        default: Value::Table,
        range: Range::Table(&[
            Key {
                name: "kind",
                default: Value::Absent("`{ ppr = { alpha = 0.2 } }`"),
                range: Range::Free("table"),
                about: "the second view of `mvgrl`: PageRank, or `{ heat = { time = 5.0 } }`",
            },
            Key {
                name: "epsilon",
                default: Value::Number(1e-4),
                range: FRACTION,
                about: "entries of the diffusion below it are left out; the error of an approximate one is stated by it",
            },
            Key {
                name: "solution",
                default: Value::Text("auto"),
                range: Range::OneOf(&["auto", "exact", "approximate"]),
                about: "[how it is computed](graphs.md#diffusion): `auto` takes the approximate PageRank above 10,000 nodes",
            },
        ]),
        about: "the second view of MVGRL",
    }],
    columns: &["diffusion"],
};

/// The diffusion that the recipe asks for, after the variant that the method follows.
pub(super) fn options(settings: &Settings) -> Result<DiffusionOptions, LearnError> {
    let own = DiffusionOptions::default();
    let options = DiffusionOptions {
        kind: settings.parse("graphs.diffusion.kind")?.unwrap_or(own.kind),
        epsilon: settings.parse("graphs.diffusion.epsilon")?.unwrap_or(own.epsilon),
        solution: settings.parse("graphs.diffusion.solution")?.unwrap_or_default(),
        variant: variant(settings)?,
    };
    options.validate().map_err(|error| refuse("graphs", error.to_string()))?;
    Ok(options)
}

/// Diffusions, and how a run keeps them.
pub(super) struct Kept {
    /// The diffusions.
    pub(super) made: Arc<Diffusions>,
    epsilon: f64,
    fingerprint: String,
    /// Whether making them took long enough for a file to be worth it.
    large: bool,
}

impl Kept {
    /// The diffusions of graphs of `sizes` nodes whose `contents` have that fingerprint: those that the run keeps, where it keeps just
    /// these, else what `make` makes, which it then keeps. Says what a user should know of a file that was not used.
    pub(super) fn open(
        opening: &Opening<'_>,
        options: &DiffusionOptions,
        sizes: &[usize],
        contents: &str,
        make: impl FnOnce(Watch<'_>) -> Result<Diffusions, DataError>,
    ) -> Result<(Self, Option<String>), LearnError> {
        let fingerprint = Diffusions::fingerprint(contents, options);
        let large = sizes.iter().any(|nodes| *nodes > EXACT_NODES);
        let keep = |made| Self {
            made: Arc::new(made),
            epsilon: options.epsilon,
            fingerprint: fingerprint.clone(),
            large,
        };
        let file = opening.run.filter(|run| large && run.is_dir()).map(|run| run.join(FILE));
        let mut reason = None;
        if let Some(file) = file.as_deref().filter(|file| file.exists()) {
            match Diffusions::read(file, &fingerprint, sizes, options) {
                Ok(made) => return Ok((keep(made), None)),
                Err(problem) => {
                    reason = Some(format!("{} is not used, but made anew: {problem}", file.display()));
                }
            }
        }
        let progress = opening.display.start(sizes.iter().sum::<usize>() as u64, "diffusing");
        let made = make(opening.watch(&*progress));
        progress.finish();
        let kept = keep(made?);
        if let Some(file) = file
            && let Err(error) = kept.made.write(&file, &fingerprint)
        {
            let problem = format!("the diffusions cannot be kept, and are made again each time: {error}");
            reason = Some(reason.map_or(problem.clone(), |reason| format!("{reason}; {problem}")));
        }
        Ok((kept, reason))
    }

    /// Keeps the diffusions in the folder of a run that has none yet.
    pub(super) fn keep(&self, run: &Path) -> Result<(), LearnError> {
        let file = run.join(FILE);
        if self.large && !file.exists() {
            std::fs::create_dir_all(run).map_err(|source| LearnError::Io { path: run.into(), source })?;
            self.made.write(&file, &self.fingerprint)?;
        }
        Ok(())
    }

    /// What a user should know of them.
    pub(super) fn note(&self) -> String {
        let made = &self.made;
        let lost = format!(
            "diffusion: entries below {} are left out (graphs.diffusion.epsilon), {:.2} % of the mass, {:.2} % of a node's at most",
            self.epsilon,
            100.0 * made.lost,
            100.0 * made.max_lost
        );
        let truncated = (made.truncated > 0).then(|| {
            format!("{} of more than {EXACT_NODES} nodes by a series that is cut off", graphs(made.truncated))
        });
        let approximate = (made.approximate > 0).then(|| {
            format!(
                "{} by an approximate PageRank (graphs.diffusion.solution), whose entries are too small by at most {} times the \
                 root of the smaller degree",
                graphs(made.approximate),
                self.epsilon
            )
        });
        [Some(lost), truncated, approximate].into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

fn graphs(count: usize) -> String {
    if count == 1 { "1 graph".to_owned() } else { format!("{count} graphs") }
}

/// The limit of `auto` stands in the reference as a number.
const _: () = assert!(SERIES_NODES == 10_000);
