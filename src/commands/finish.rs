//! `git dispatch finish`

use serde_json::json;

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::hub::snapshot::Task;
use crate::protocol::Error;
use crate::protocol::finish::Finished;
use crate::protocol::hand::finish_by_hand;
use crate::ui::progress::Progress;

/// Publish what you made on the task branch; `git dispatch collect` merges it then.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The task
    #[arg(value_name = "TASK")]
    task: String,
    /// It did not work out
    #[arg(long)]
    failed: bool,
    /// Why it did not
    #[arg(long, value_name = "TEXT", requires = "failed")]
    error: Option<String>,
}

/// Finishes.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let session = context.open(&Vec::new())?;
    let progress = Progress::start(&context.ui, "publishing");
    let failure = args.failed.then(|| args.error.clone().unwrap_or_default());
    let (task, finished) = finish_by_hand(&session, &args.task, failure.as_deref())?;
    drop(progress);
    match finished {
        Finished::Published => {
            if context.ui.json {
                let state = if args.failed { "failed" } else { "completed" };
                context.ui.document(&json!({"task": task, "state": state, "published": true}));
            } else {
                context.ui.print(&format!("finished {task}\n"));
                let after = session.snapshot()?;
                let unchanged = |task: &Task| task.claim().is_some_and(|claim| claim.result == claim.record.base);
                if !args.failed && after.get(&task).is_some_and(unchanged) {
                    context.ui.warn(
                        "nothing was committed on its branch, so nothing will change; `git dispatch cancel` undoes that",
                    );
                }
            }
            Ok(Exit::Done)
        }
        Finished::Waiting => {
            if context.ui.json {
                context.ui.document(&json!({"task": task, "state": null, "published": false}));
            } else {
                context.ui.warn(&format!(
                    "the hub does not answer; the result of {task} waits in this clone, and the next `git dispatch run` publishes it"
                ));
            }
            Ok(Exit::Done)
        }
        Finished::Refused { why } => Err(Error::FinishRefused { task, why }.into()),
        Finished::Fenced { why, kept } => {
            let help = match kept {
                Some(name) => format!("your work is kept at {name}; `git log {name}` shows it"),
                None => "your work is still on the task branch".to_owned(),
            };
            Err(Error::FinishFenced { task, why, help }.into())
        }
    }
}
