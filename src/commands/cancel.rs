//! `git dispatch cancel`

use serde_json::json;

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::protocol::cancel::cancel;

/// Call tasks off for good; what they had made is kept at `refs/dispatch/attempts/`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The tasks
    #[arg(value_name = "TASK", required = true)]
    tasks: Vec<String>,
}

/// Cancels.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let (session, names, progress) = context.open_for(&args.tasks, "cancelling")?;
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
