//! `git dispatch release`

use serde_json::json;

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::protocol::hand::release_by_hand;

/// Give back what you claimed by hand; what is committed on the task branch is kept with it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The tasks
    #[arg(value_name = "TASK", required = true)]
    tasks: Vec<String>,
}

/// Releases.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let (session, names, progress) = context.open_for(&args.tasks, "releasing")?;
    release_by_hand(&session, &names)?;
    drop(progress);
    if context.ui.json {
        context.ui.document(&json!({"released": names}));
        return Ok(Exit::Done);
    }
    for task in &names {
        context.ui.print(&format!("released {task}\n"));
    }
    Ok(Exit::Done)
}
