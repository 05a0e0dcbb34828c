//! `git dispatch cancel`

use serde_json::json;

use super::{Context, Outcome, resolve};
use crate::exit::Exit;
use crate::protocol::cancel::cancel;
use crate::ui::progress::Progress;

/// Call tasks off for good; what they had made is kept at `refs/dispatch/attempts/`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The tasks
    #[arg(value_name = "TASK", required = true)]
    tasks: Vec<String>,
}

/// Cancels.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let session = context.open(&Vec::new())?;
    let progress = Progress::start(&context.ui, "cancelling");
    session.sync()?;
    let names = resolve(&session, &session.snapshot()?, &args.tasks)?;
    let done = cancel(&session, &names)?;
    drop(progress);
    if context.ui.json {
        context.ui.document(&json!({"cancelled": done.cancelled, "already": done.already}));
        return Ok(Exit::Done);
    }
    for task in &done.cancelled {
        context.ui.print(&format!("cancelled {task}\n"));
    }
    for task in &done.already {
        context.ui.note(&format!("{task} was cancelled before"));
    }
    Ok(Exit::Done)
}
