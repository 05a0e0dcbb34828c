//! `git dispatch demo`
use super::{Context, Outcome};
/// See a whole day of work in a scratch folder.
#[derive(Debug, clap::Args)]
pub struct Args {}
/// x
pub fn run(_context: &Context, _args: &Args) -> Outcome {
    Ok(crate::exit::Exit::Done)
}
