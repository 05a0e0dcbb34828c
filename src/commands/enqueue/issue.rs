//! `git dispatch enqueue --issue`

use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};

use crate::commands::{Context, Outcome};
use crate::exit::Exit;
use crate::protocol::issue::{Done, take, task_of};
use crate::protocol::{Error, Session};
use crate::task::TaskName;
use crate::task::issue::{MAX_BYTES, parse};
use crate::task::text::escaped;

/// Reads an event and does what it asks for.
pub(super) fn run(context: &Context, session: &Session, file: &Path, dry_run: bool) -> Outcome {
    let event = parse(&read(context, file)?).map_err(Error::from)?;
    let task = task_of(session, &event)?;
    let done = take(session, &event, dry_run)?;
    if context.ui.json {
        context.ui.document(&document(&task, &done, dry_run));
        return Ok(Exit::Done);
    }
    let verb = match &done {
        Done::Enqueued(_) => "enqueue",
        Done::Replaced(_) => "replace",
        Done::Reopened => "reopen",
        Done::Cancelled => "cancel",
        Done::Skipped(why) => {
            context.ui.note(&format!("skipped  {task}: {why}"));
            return Ok(Exit::Done);
        }
    };
    let past = match done {
        Done::Cancelled => "cancelled",
        Done::Reopened => "reopened",
        Done::Replaced(_) => "replaced",
        _ => "enqueued",
    };
    context.ui.print(&if dry_run { format!("would {verb} {task}\n") } else { format!("{past} {task}\n") });
    Ok(Exit::Done)
}

fn read(context: &Context, file: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = |source| Error::Unreadable { path: file.to_string_lossy().into_owned(), source };
    // One byte more than is allowed tells that there is more.
    let most = MAX_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().take(most).read_to_end(&mut bytes).map_err(unreadable)?;
    } else {
        let opened = std::fs::File::open(context.ambient.cwd.join(file)).map_err(unreadable)?;
        opened.take(most).read_to_end(&mut bytes).map_err(unreadable)?;
    }
    Ok(bytes)
}

fn document(task: &TaskName, done: &Done, dry_run: bool) -> Value {
    let mut document = json!({"enqueued": [], "skipped": [], "cancelled": [], "reopened": [], "task": task});
    match done {
        Done::Enqueued(_) | Done::Replaced(_) if dry_run => {}
        Done::Enqueued(spec) | Done::Replaced(spec) => {
            document["enqueued"] = json!([{"task": task, "spec": spec.map(|id| id.to_string())}]);
        }
        Done::Cancelled if !dry_run => document["cancelled"] = json!([task]),
        Done::Reopened if !dry_run => document["reopened"] = json!([task]),
        Done::Cancelled | Done::Reopened => {}
        Done::Skipped(why) => document["skipped"] = json!([{"task": task, "reason": escaped(why)}]),
    }
    document
}
