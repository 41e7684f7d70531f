//! `lookalike data`

use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use lookalike_base::progress::Cancellation;
use lookalike_data::check::{FileCheck, Verdict, check};
use lookalike_data::graph::{self, FeatureRule, Features, GraphSet, NodeLabels, NodeSet};
use lookalike_data::image::registry::{self, DatasetInfo};
use lookalike_data::text;
use lookalike_data::{BothParts, DataError, ImageDataset, download};

use crate::failure::Failure;
use crate::output::say;
use crate::progress::Terminal;
use crate::run::warn;
use crate::table::Table;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Tell which data sets there are
    List,
    /// Read a data set, and compare its files with the published ones; tell what a set of graphs holds
    Check {
        /// Name of the data set; any other is that of a set of graphs or of one graph of nodes, or a path to either
        name: String,
        /// Folder that holds the data set's files
        #[arg(long, value_name = "DIR")]
        data_root: Option<PathBuf>,
    },
    /// Download the published files of a data set, or go on where a download broke off
    Get {
        #[command(flatten)]
        which: Which,
        /// Folder to fetch the files from, instead of where they were published
        #[arg(long, value_name = "URL")]
        mirror: Option<String>,
    },
}

#[derive(clap::Args)]
struct Which {
    /// Name of the data set
    #[arg(value_parser = PossibleValuesParser::new(registry::NAMES))]
    name: String,
    /// Folder that holds the data set's files, or is going to
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, cancellation: &Cancellation) -> Result<(), Failure> {
    match &arguments.action {
        Action::List => list()?,
        Action::Check { name, data_root } if registry::NAMES.contains(&name.as_str()) => {
            check_files(&Which { name: name.clone(), data_root: data_root.clone() })?;
        }
        Action::Check { name, data_root } => describe(name, data_root.as_deref().unwrap_or(Path::new(".")))?,
        Action::Get { which, mirror } => get(which, mirror.as_deref(), cancellation)?,
    }
    Ok(())
}

fn list() -> Result<(), Failure> {
    let sets = registry::list();
    let descriptions =
        sets.iter().map(|info| info.description).chain(text::list().iter().map(|info| info.description));
    let width = descriptions.map(|description| description.chars().count()).max().unwrap_or(0);
    let mut table = Table::default();
    for info in sets {
        let files = match (info.root, info.files) {
            ("", _) => "no files needed",
            (_, []) => "your own files",
            _ => "files, which `data get` fetches",
        };
        table.row(info.name, format!("{:width$}  {files}", info.description));
    }
    for info in text::list() {
        let files = if info.is_made() { "no files needed" } else { "your own files" };
        table.row(info.name, format!("{:width$}  {files}", info.description));
    }
    let graphs = "graphs in TU format, GIN's or Planetoid's, or one's own nodes and edges, by name or path";
    table.row("NAME or PATH", format!("{graphs:width$}  your own files"));
    say(table)
}

/// Reads a set of graphs, or one graph whose nodes have classes, and tells what it holds.
fn describe(name: &str, root: &Path) -> Result<(), Failure> {
    if !root.exists() {
        let root = root.display();
        return Err(Failure::usage(format!(
            "{root} (--data-root) does not exist; it should be the folder of {name}'s files"
        )));
    }
    match graph::open(name, root) {
        Ok((set, warnings)) => {
            warn(&warnings);
            describe_graphs(&set)
        }
        Err(DataError::NoGraphs { name: set, root: searched, mut wanted }) => {
            match graph::open_nodes(name, root) {
                Ok((set, warnings)) => {
                    warn(&warnings);
                    describe_nodes(&set)
                }
                Err(DataError::NoGraphs { wanted: other, .. }) => {
                    wanted.extend(other);
                    Err(DataError::NoGraphs { name: set, root: searched, wanted }.into())
                }
                Err(error) => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

fn describe_nodes(set: &NodeSet) -> Result<(), Failure> {
    let mut table = Table::default();
    table.row("name", set.name.as_str());
    table.row("nodes of one graph", set.features.len().to_string());
    table.row("edges", (set.edges.entries() / 2).to_string());
    for class in 0..set.classes as u32 {
        let members = set.labels.iter().filter(|label| **label == Some(class));
        table.row(format!("class {class}"), members.count().to_string());
    }
    let without = set.labels.iter().filter(|label| label.is_none()).count();
    if without > 0 {
        table.row("without a class", without.to_string());
    }
    table.row("attributes of nodes", set.features.columns().to_string());
    for (part, nodes) in [("train on", &set.train), ("validate on", &set.validation), ("test", &set.test)] {
        table.row(format!("nodes to {part}"), nodes.len().to_string());
    }
    say(table)
}

fn describe_graphs(set: &GraphSet) -> Result<(), Failure> {
    let count = set.len() as f64;
    let mut table = Table::default();
    table.row("name", set.name());
    table.row("graphs", set.len().to_string());
    table.row("nodes a graph, mean", format!("{:.1}", set.nodes() as f64 / count));
    table.row("edges a graph, mean", format!("{:.1}", set.edges() as f64 / 2.0 / count));
    for (class, name) in set.classes().iter().enumerate() {
        let members = set.labels().unwrap_or_default().iter().filter(|label| **label as usize == class);
        table.row(format!("class {name}"), members.count().to_string());
    }
    if set.labels().is_none() {
        table.row("classes", "none: graphs are not labelled");
    }
    let none = || "none".to_owned();
    let labels = |labels: &NodeLabels| match labels.columns {
        1 => labels.names.len().to_string(),
        columns => format!("{}, in {columns} columns", labels.names.len()),
    };
    table.row("labels of nodes", set.node_labels().map_or_else(none, labels));
    table.row("attributes of nodes", set.attributes().map_or_else(none, |rows| rows.columns().to_string()));
    if !set.unread().is_empty() {
        table.row("left out", format!("{}: nothing here reads them", set.unread().join(", ")));
    }
    for (method, rule) in [("graphcl", FeatureRule::graphcl(set)), ("mvgrl", FeatureRule::mvgrl(set))] {
        let columns = match Features::new(&rule, set) {
            Ok(features) => format!("{} columns", features.columns()),
            Err(error) => error.to_string(),
        };
        let parts = serde_json::to_value(&rule.parts)?;
        let parts: Vec<&str> =
            parts.as_array().into_iter().flatten().filter_map(|part| part.as_str()).collect();
        table.row(format!("features for {method}"), format!("{}: {columns}", parts.join(", ")));
    }
    say(table)
}

impl Which {
    /// The folder, given or not; it must be for a set that is read from files.
    fn root(&self) -> Result<Option<&Path>, Failure> {
        let needed = |info: &DatasetInfo| info.name == self.name && !info.root.is_empty();
        match (&self.data_root, registry::list().iter().find(|info| needed(info))) {
            (None, Some(info)) => Err(Failure::usage(format!("give --data-root DIR: {}", info.root))),
            (root, _) => Ok(root.as_deref()),
        }
    }
}

fn check_files(which: &Which) -> Result<(), Failure> {
    let root = which.root()?;
    let mut table = Table::default();
    let mut differing = 0;
    let checked = check(&which.name, root, &Terminal)?;
    for FileCheck { path, verdict } in &checked.files {
        let verdict = match verdict {
            Verdict::Published => "as published".to_owned(),
            Verdict::Differs { found, expected } => {
                differing += 1;
                format!("NOT as published: its SHA-256 sum is {found}, not {expected}")
            }
            Verdict::Unknown => "read; no published sum is known to compare it with".to_owned(),
            Verdict::Unreadable(reason) => format!("cannot be read: {reason}"),
            Verdict::Warning(text) => {
                warn(std::slice::from_ref(text));
                continue;
            }
        };
        table.row(path.display().to_string(), verdict);
    }
    describe_parts(&checked.parts, &mut table);
    say(table)?;
    if differing > 0 {
        let text = format!("{differing} files are not as published; `lookalike data get` replaces them");
        return Err(Failure::from(anyhow::Error::msg(text)));
    }
    if let (bad @ 1.., Some(images)) = (checked.unreadable(), checked.images) {
        let text = format!("{bad} of {images} cannot be decoded; data.skip_corrupt = true leaves them out");
        return Err(Failure::from(anyhow::Error::msg(text)));
    }
    Ok(())
}

/// Tells how many instances both parts have, and each class.
fn describe_parts(parts: &BothParts, table: &mut Table) {
    let BothParts { train, test, .. } = parts;
    let sets = if train.serves_both() { vec![train] } else { vec![train, test] };
    for set in &sets {
        table.row(set.name(), format!("{} instances, {} classes", set.len(), set.classes().len()));
    }
    let names = sets.iter().map(|set| set.classes()).find(|classes| !classes.is_empty()).unwrap_or_default();
    let counts: Vec<Vec<usize>> = sets.iter().map(|set| class_counts(&***set, names.len())).collect();
    for (class, name) in names.iter().enumerate() {
        let counts: Vec<String> = counts.iter().map(|counts| counts[class].to_string()).collect();
        table.row(format!("class {name}"), counts.join(" + "));
    }
}

fn class_counts(set: &dyn ImageDataset, classes: usize) -> Vec<usize> {
    let mut counts = vec![0; classes];
    for label in (0..set.len() as u32).filter_map(|index| set.label(index)) {
        counts[label as usize] += 1;
    }
    counts
}

fn get(which: &Which, mirror: Option<&str>, cancellation: &Cancellation) -> Result<(), Failure> {
    let Some(root) = which.root()? else {
        return say(format_args!("{} needs no files", which.name));
    };
    let interrupted = |error| match error {
        DataError::Cancelled { path } => Failure::Interrupted(format!(
            "the partial download is in {}, and the same command resumes it",
            path.display()
        )),
        error @ DataError::Option { .. } => Failure::usage(error.to_string()),
        error => Failure::from(error),
    };
    for path in download::get(&which.name, root, mirror, &Terminal, cancellation).map_err(interrupted)? {
        say(path.display())?;
    }
    Ok(())
}
