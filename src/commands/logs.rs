//! `git dispatch logs`

use serde_json::json;

use std::io::Write;
use std::time::Duration;

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::protocol::logs::find;
use crate::protocol::logs::follow::{Follower, Step};
use crate::protocol::logs::stamp::stamped_lines;
use crate::protocol::{Result, Session};

/// How often a slot of this clone is looked at.
const PAUSE_HERE: Duration = Duration::from_millis(200);

/// Read the output of a task's executor.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The task
    #[arg(value_name = "TASK")]
    task: String,
    /// The attempt; the newest where not given
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// Follow a running task to its end, also one on another node: there its lines come with the node's heartbeats
    #[arg(short, long, conflicts_with = "offline")]
    follow: bool,
    /// Show before each line when it came; of a task that runs on another node, when its node told of it
    #[arg(short, long)]
    timestamps: bool,
    /// Show what this clone knows, without asking the hub
    #[arg(long)]
    offline: bool,
}

/// Shows the output.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let (session, snapshot) = context.open_to_read(args.offline)?;
    let task = session.resolve(&snapshot, &args.task)?;
    if args.follow
        && let Some(follower) = Follower::new(&snapshot, &task, args.attempt, args.timestamps)
        && let Some(exit) = follow(context, &session, follower)?
    {
        return Ok(exit);
    }
    let snapshot = session.snapshot()?;
    let output = find(&session, &snapshot, &task, args.attempt)?;
    if context.ui.json {
        context.ui.document(&json!({
            "task": task,
            "attempt": output.attempt,
            "node": output.node,
            "live": output.live,
            "log": String::from_utf8_lossy(&output.text),
            "times": output.times.iter().map(|time| json!({"line": time.line + 1, "at": time.at})).collect::<Vec<_>>(),
        }));
    } else if args.timestamps {
        context.ui.print_bytes(&stamped_lines(&output.text, &output.times));
    } else {
        context.ui.print_bytes(&output.text);
    }
    Ok(Exit::Done)
}

/// Tells the output as it comes, until the attempt has ended. With `--json` nothing is told before the end, and then the
/// whole document: `None`.
fn follow(context: &Context, session: &Session, mut follower: Follower) -> Result<Option<Exit>> {
    let poll = *session.config.node_settings(session.node.as_str()).poll;
    let tell = |text: &[u8]| {
        if !context.ui.json {
            context.ui.print_bytes(text);
        }
        // Whoever read it may be gone, such as `head`.
        context.ui.json || std::io::stdout().flush().is_ok()
    };
    loop {
        let mut pause = PAUSE_HERE;
        let here = follower.here(session);
        let is_heard = match &here {
            Some(text) => tell(text),
            None => {
                pause = poll;
                match session.sync() {
                    Err(error) if !error.is_unreachable() => return Err(error),
                    _ => {}
                }
                match follower.there(session, &session.snapshot()?)? {
                    Step::More(text) => tell(&text),
                    Step::Ended(text) => {
                        tell(&text);
                        return Ok((!context.ui.json).then_some(Exit::Done));
                    }
                }
            }
        };
        if !is_heard {
            return Ok(Some(Exit::Done));
        }
        if context.signals.first.wait_for(pause) {
            return Err(crate::git::Error::Interrupted.into());
        }
    }
}
