//! `git dispatch report`

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Context, Outcome};
use crate::config::Dur;
use crate::exit::Exit;
use crate::git::Error as GitError;
use crate::hub::Place;
use crate::protocol::chronicle::{Chronicle, Entry, chronicle};
use crate::protocol::{Error, Session};
use crate::ui::forge::Forge;
use crate::ui::page::{self, Setting};
use crate::ui::summary;

/// See what was done: by whom, when, how long it took, in which order it landed, and what stands in the way.
///
/// --html writes one page that holds everything and loads nothing, to keep or to send: a timeline for each node and slot, the
/// dependencies with the chain that takes longest, throughput, estimates against what tasks took, the merges in order with
/// conflicts and repairs, and a table to sort and filter. --md writes the summary as Markdown.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write a page for a browser
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write a summary as Markdown
    #[arg(long, value_name = "FILE")]
    md: Option<PathBuf>,
    /// Only what is open, and what something happened to within this time, such as `12h` or `7d`
    #[arg(long, value_name = "D")]
    since: Option<Dur>,
    /// Show what this clone knows, without asking the hub
    #[arg(long)]
    offline: bool,
}

/// Reports.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let (session, snapshot) = context.open_to_read(args.offline)?;
    let since = args.since.and_then(|since| {
        let back = SignedDuration::try_from(since.get()).ok()?;
        session.ambient.now().checked_sub(back).ok()
    });
    let told = chronicle(&session, &snapshot, since)?;
    let mut written = Vec::new();
    if let Some(file) = &args.html {
        let forge = match &session.hub.place {
            Place::Remote(remote) => Forge::of(&remote.url),
            Place::Embedded => None,
        };
        let setting = Setting { nonce: session.nonce()?, forge };
        written.push(save(context, file, &page::write(&told, &setting))?);
    }
    if let Some(file) = &args.md {
        written.push(save(context, file, &summary::markdown(&told))?);
    }
    if context.ui.json {
        context.ui.document(&document(&told, &session, &written)?);
    } else if written.is_empty() {
        context.ui.print(&summary::terminal(&told, &context.ui));
    } else {
        for file in written {
            context.ui.print(&format!("{}\n", crate::task::text::escaped(&file.to_string_lossy())));
        }
    }
    Ok(Exit::Done)
}

fn save(context: &Context, file: &Path, text: &str) -> Result<PathBuf, Error> {
    let path = context.ambient.cwd.join(file);
    std::fs::write(&path, text).map_err(|error| GitError::file(&path, error))?;
    Ok(path)
}

fn document(told: &Chronicle, session: &Session, written: &[PathBuf]) -> Result<Value, Error> {
    let name = |at: &usize| &told.tasks[*at].name;
    Ok(json!({
        "synced_at": session.synced_at()?,
        "at": told.at,
        "since": told.since,
        "target": told.target,
        "tasks": told.tasks.iter().map(|task| of_task(task, told.at)).collect::<Vec<_>>(),
        "merges": told.landings.iter().map(|landing| json!({
            "task": name(&landing.task),
            "at": landing.at,
            "merged": landing.commit.is_some(),
            "merge_commit": landing.commit.as_ref().filter(|commit| !commit.is_empty()),
            "files": landing.files,
            "repair": landing.repair.as_ref().map(name),
        })).collect::<Vec<_>>(),
        "longest_chain": told.path.as_ref().map(|(path, seconds)| {
            json!({"tasks": path.iter().map(name).collect::<Vec<_>>(), "seconds": seconds})
        }),
        "estimates": {"factor": told.pace.factor, "runs": told.pace.runs},
        "written": written,
    }))
}

fn of_task(task: &Entry, now: Timestamp) -> Value {
    json!({
        "task": task.name,
        "title": task.title,
        "state": task.state,
        "enqueued_at": task.enqueued_at,
        "ready_at": task.ready_at,
        "waited_seconds": task.waited(now),
        "estimate_seconds": task.estimate,
        "merged_at": task.merged_at,
        "attempts": task.attempts.iter().map(|attempt| json!({
            "attempt": attempt.number,
            "node": attempt.node,
            "slot": attempt.slot,
            "begun_at": attempt.begun,
            "ended_at": attempt.ended,
            "seconds": attempt.seconds(now),
            "outcome": attempt.outcome,
            "reason": attempt.reason,
            "error": attempt.error,
        })).collect::<Vec<_>>(),
    })
}
