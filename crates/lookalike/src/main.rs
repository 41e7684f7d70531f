//! The `lookalike` command: trains encoders of images and graphs by contrast with batches of look-alikes, and evaluates, embeds and
//! exports what was trained.

mod memory;

use std::process::ExitCode;

use lookalike_learn::Registry;

fn main() -> ExitCode {
    let trains = std::env::args_os().nth(1).is_some_and(|command| command == "train" || command == "bench");
    if trains {
        memory::keep_freed();
    }
    ExitCode::from(lookalike::run(std::env::args_os(), &Registry::standard()))
}
