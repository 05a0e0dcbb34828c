//! `git dispatch start-agent`: what a pane of an executor of kind tmux runs first; not for people.

use std::path::PathBuf;

use super::{Context, Outcome};
use crate::executor::tmux::launch;

/// Become what a file says.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Becomes it.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let error = launch(&args.file, &context.ambient);
    Err(miette::miette!("the agent could not be started: {error}"))
}
