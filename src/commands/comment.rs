//! `git dispatch comment`

use serde_json::json;

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::protocol::comment::comment;

/// Print where a task stands as Markdown, as one would post it on the issue that it came from.
///
/// What others wrote stands in code, where neither links nor mentions of people work.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The task; `issue-<number>` where it came from an issue
    #[arg(value_name = "TASK")]
    task: String,
    /// Show what this clone knows, without asking the hub
    #[arg(long)]
    offline: bool,
}

/// Prints.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let (session, snapshot) = context.open_to_read(args.offline)?;
    let name = session.resolve(&snapshot, &args.task)?;
    let text = match snapshot.get(&name) {
        Some(task) => comment(&session, &snapshot, task)?,
        None => String::new(),
    };
    if context.ui.json {
        context.ui.document(&json!({"task": name, "markdown": text}));
    } else {
        context.ui.print(&text);
    }
    Ok(Exit::Done)
}
