//! `git dispatch retry`

use serde_json::json;

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::protocol::retry::retry;

/// Make failed, conflicting or cancelled tasks pending again.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The tasks
    #[arg(value_name = "TASK", required = true)]
    tasks: Vec<String>,
}

/// Retries.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let (session, names, progress) = context.open_for(&args.tasks, "retrying")?;
    let done = retry(&session, &names)?;
    drop(progress);
    if context.ui.json {
        context.ui.document(&json!({"retried": done.retried, "already": done.already}));
        return Ok(Exit::Done);
    }
    for task in &done.retried {
        context.ui.print(&format!("{task} is pending again\n"));
    }
    for task in &done.already {
        context.ui.note(&format!("{task} is pending already"));
    }
    Ok(Exit::Done)
}
