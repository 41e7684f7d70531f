//! `lookalike recipe`

use lookalike_learn::Registry;
use lookalike_learn::recipe::reference;

use crate::failure::Failure;
use crate::output::say;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Print the reference of recipes: every section, key, default and combination, as Markdown
    Reference,
}

pub(crate) fn run(arguments: &Arguments, registry: &Registry) -> Result<(), Failure> {
    let What::Reference = arguments.what;
    say(reference::markdown(registry).trim_end())
}
