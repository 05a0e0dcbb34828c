//! `git dispatch done`

use serde_json::json;

use super::{Context, Outcome};
use crate::executor::said::{Said, slot_here};
use crate::exit::Exit;

/// Say that the task at work in this folder has ended; for executors, in the folder that they were started in.
///
/// What was committed there is the result, and what was not is committed for it. The executor may then leave by itself,
/// for as long as its `grace`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// It did not work out
    #[arg(long)]
    failed: bool,
    /// Why it did not
    #[arg(long, value_name = "TEXT", requires = "failed")]
    error: Option<String>,
}

/// Says it.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let (slot, record) = slot_here(&context.ambient)?;
    let said = Said { claim: record.claim, failed: args.failed, error: args.error.clone() };
    said.say(&slot)?;
    if context.ui.json {
        context.ui.document(&json!({"task": record.task, "failed": args.failed}));
    } else {
        context.ui.print(&format!("{} has {}\n", record.task, if args.failed { "failed" } else { "ended" }));
    }
    Ok(Exit::Done)
}
