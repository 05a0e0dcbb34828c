//! `git dispatch logs`

use serde_json::json;

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::protocol::logs::find;

/// Read the output of a task's executor.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The task
    #[arg(value_name = "TASK")]
    task: String,
    /// The attempt; the newest where not given
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// Show what this clone knows, without asking the hub
    #[arg(long)]
    offline: bool,
}

/// Shows the output.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let session = context.open(&Vec::new())?;
    context.sync_to_read(&session, args.offline)?;
    let snapshot = session.snapshot()?;
    let task = session.resolve(&snapshot, &args.task)?;
    let output = find(&session, &snapshot, &task, args.attempt)?;
    if context.ui.json {
        context.ui.document(&json!({
            "task": task,
            "attempt": output.attempt,
            "node": output.node,
            "live": output.live,
            "log": String::from_utf8_lossy(&output.text),
        }));
    } else {
        context.ui.print_bytes(&output.text);
    }
    Ok(Exit::Done)
}
