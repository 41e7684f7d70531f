//! The `lookalike` command: trains encoders of images and graphs by contrast with batches of look-alikes, and evaluates, embeds and
//! exports what was trained.

mod bench;
mod data;
mod embed;
mod evaluate;
mod export;
mod failure;
mod memory;
mod output;
mod progress;
mod run;
mod sample;
mod table;
mod train;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use lookalike_base::progress::Cancellation;

use failure::Failure;

/// Contrastive learning that decides what each example is contrasted with.
#[derive(Parser)]
#[command(version, about, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train an encoder by a recipe, or go on with a run.
    Train(train::Arguments),
    /// Measure a finished run: kNN, linear probe, geometry, hardness.
    Evaluate(evaluate::Arguments),
    /// Embed a data set with a finished run.
    Embed(embed::Arguments),
    /// Write a run's encoder under torchvision's names.
    Export(export::Arguments),
    /// Plan batches of look-alikes for any embeddings.
    Sample(sample::Arguments),
    /// List, check and download data sets.
    Data(data::Arguments),
    /// Measure what training costs on this machine.
    Bench(bench::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if matches!(arguments.command, Command::Train(_) | Command::Bench(_)) {
        memory::keep_freed();
    }
    let cancellation = Cancellation::new();
    let handler = cancellation.clone();
    let installed = ctrlc::set_handler(move || {
        // The second one is meant: whoever presses it does not want to wait for the checkpoint.
        if handler.is_cancelled() {
            std::process::exit(i32::from(failure::INTERRUPTED));
        }
        handler.cancel();
    });
    let result = installed.map_err(Failure::from).and_then(|()| match arguments.command {
        Command::Train(arguments) => train::run(arguments, &cancellation),
        Command::Evaluate(arguments) => evaluate::run(&arguments, &cancellation),
        Command::Embed(arguments) => embed::run(&arguments, &cancellation),
        Command::Export(arguments) => export::run(&arguments),
        Command::Sample(arguments) => sample::run(&arguments, &cancellation),
        Command::Data(arguments) => data::run(&arguments, &cancellation),
        Command::Bench(arguments) => bench::run(arguments, &cancellation),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
