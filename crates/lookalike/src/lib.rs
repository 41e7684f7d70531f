#![doc = include_str!("../README.md")]

mod bench;
mod beside;
mod compare_plans;
mod data;
mod embed;
mod embeddings;
mod evaluate;
mod export;
mod failure;
mod folder;
mod inspect;
mod mine;
mod output;
mod progress;
mod ranks;
mod recipe;
mod report;
mod results;
mod run;
mod runs;
mod sample;
mod seeds;
mod signals;
mod table;
mod text;
mod train;

use std::ffi::OsString;

use clap::{Parser, Subcommand};
use lookalike_base::progress::Cancellation;
use lookalike_learn::Registry;

use failure::Failure;

/// Contrastive learning that decides what each example is contrasted with.
#[derive(Parser)]
#[command(name = "lookalike", version, about, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train an encoder by a recipe, or go on with a run.
    Train(train::Arguments),
    /// Measure a finished run: kNN, linear probe, geometry, hardness; or a sentence encoder: STS, retrieval, classification.
    Evaluate(evaluate::Arguments),
    /// Embed a data set with a finished run, or texts with a sentence encoder.
    Embed(embed::Arguments),
    /// Write a run's encoder under torchvision's names, or as a folder that sentence-transformers opens.
    Export(export::Arguments),
    /// Plan batches of look-alikes for any embeddings.
    Sample(sample::Arguments),
    /// Compare all kinds of batches on the same embeddings: hardness, false negatives, reach, seconds.
    ComparePlans(compare_plans::Arguments),
    /// Mine hard negatives: documents near a query that do not answer it.
    Mine(mine::Arguments),
    /// Show what runs were contrasted with, how hard that was, and what came of it: a page to look at.
    Report(report::Arguments),
    /// Look for duplicates, look-alikes of different classes, label errors and outliers: a page, a table, and groups.
    Inspect(inspect::Arguments),
    /// List runs.
    Runs(runs::ListArguments),
    /// Compare the scores of runs: paired differences over seeds, with 95 % intervals.
    Compare(runs::CompareArguments),
    /// List, check and download data sets.
    Data(data::Arguments),
    /// Tell what a recipe can say.
    Recipe(recipe::Arguments),
    /// Measure what training and encoding cost on this machine.
    Bench(bench::Arguments),
}

/// Runs the command with `arguments`, the program's name first, on what `registry` has to choose from, and gives the exit status: 0, 2
/// for usage and recipes, 130 after Ctrl-C, 75 after SIGTERM, SIGUSR1 or SIGHUP, which schedulers send, 1 for the rest. Each of these
/// signals asks the work to save and stop; a second Ctrl-C ends the process.
pub fn run(arguments: impl IntoIterator<Item = OsString>, registry: &Registry) -> u8 {
    let cancellation = Cancellation::new();
    match signals::listen(&cancellation) {
        Ok(()) => signals::status(run_until(arguments, registry, &cancellation)),
        Err(failure) => failure.report(),
    }
}

/// [`run`] without a handler of interrupts, until `cancellation` asks it to stop.
pub fn run_until(
    arguments: impl IntoIterator<Item = OsString>,
    registry: &Registry,
    cancellation: &Cancellation,
) -> u8 {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Where the terminal is gone there is nobody to tell.
            let _gone = error.print();
            return error.exit_code() as u8;
        }
    };
    if let Err(error) = lookalike_kernels::isa() {
        return Failure::usage(error.to_string()).report();
    }
    let result = match arguments.command {
        Command::Train(arguments) => train::run(arguments, registry, cancellation),
        Command::Evaluate(arguments) => evaluate::run(&arguments, registry, cancellation),
        Command::Embed(arguments) => embed::run(&arguments, registry, cancellation),
        Command::Export(arguments) => export::run(&arguments, registry, cancellation),
        Command::Sample(arguments) => sample::run(&arguments, cancellation),
        Command::ComparePlans(arguments) => compare_plans::run(&arguments, cancellation),
        Command::Mine(arguments) => mine::run(&arguments, cancellation),
        Command::Report(arguments) => report::run(&arguments, registry, cancellation),
        Command::Inspect(arguments) => inspect::run(&arguments, registry, cancellation),
        Command::Runs(arguments) => runs::list(&arguments),
        Command::Compare(arguments) => runs::compare(&arguments, registry),
        Command::Data(arguments) => data::run(&arguments, cancellation),
        Command::Recipe(arguments) => recipe::run(&arguments, registry),
        Command::Bench(arguments) => bench::run(arguments, cancellation),
    };
    result.map_or_else(Failure::report, |()| 0)
}

/// The guide for Rust users: its examples are run with the other documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guides/rust.md")]
struct RustGuide;
