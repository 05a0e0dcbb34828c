//! `git dispatch inbox`

use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};

use serde_json::{Value, json};

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::node::hint::Hints;
use crate::protocol::announce::{Announce, Happened};
use crate::protocol::inbox::{Folder, InboxError, Taken, configured, once, watch};
use crate::protocol::wake::Message;
use crate::protocol::{Error, Result, Session};
use crate::task::text::escaped;
use crate::ui::progress::Progress;

/// Put specs that are dropped into folders on the queue: `*.md`, each file for itself.
///
/// A file is taken once it has stood still for `inbox.settle` (1 s). Enqueued, it is renamed to `*.md.dispatched`; refused,
/// to `*.md.rejected`, with the reason in a `*.md.error` beside it. What depends on a file that is still being written
/// waits for that. The name of a subfolder is the project of the specs in it that name none. Names that begin with a dot
/// are left alone, so a program may write under such a name and rename. Killed at any moment and started again, it enqueues
/// each file once. Exit code 4: some file was refused.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folders; without, those of `inbox.paths` in the configuration
    #[arg(value_name = "DIR")]
    inboxes: Vec<PathBuf>,
    /// Stay, and take whatever comes
    #[arg(long)]
    watch: bool,
}

/// Takes what is in the folders.
pub fn run(context: &Context, args: &Args) -> Outcome {
    // One that stays ends its push first.
    let cancel = if args.watch { &context.signals.second } else { &context.signals.first };
    let session = context.open_until(&Vec::new(), cancel)?;
    let given =
        args.inboxes.iter().map(|folder| Folder { path: context.ambient.cwd.join(folder), shown: folder.clone() });
    let folders = if args.inboxes.is_empty() { configured(&session) } else { given.collect() };
    if folders.is_empty() {
        return Err(Error::from(InboxError::NoFolder).into());
    }
    let progress = Progress::start(&context.ui, "looking into the inbox");
    let taken = match args.watch {
        true => stay(context, &session, &folders, &progress)?,
        false => once(&session, &folders, cancel, &progress)?,
    };
    drop(progress);
    if context.ui.json {
        context.ui.document(&document(&taken));
    } else if taken.is_empty() && !args.watch {
        context.ui.note("nothing to enqueue");
    }
    Ok(if taken.rejected.is_empty() { Exit::Done } else { Exit::Partly })
}

fn stay(context: &Context, session: &Session, folders: &[Folder], announce: &dyn Announce) -> Result<Taken> {
    let (sender, receiver) = channel();
    let on_signal = sender.clone();
    context.signals.on_signal(move |_, _| {
        let _ = on_signal.send(Message::Stop);
    });
    let _hints = hints(session, folders, announce, sender);
    let mut all = Taken::default();
    watch::watch(session, folders, &receiver, announce, |taken| all.add(taken))?;
    Ok(all)
}

/// Watches the folders; says of those that cannot be watched that they are only looked at from time to time.
pub fn hints(
    session: &Session,
    folders: &[Folder],
    announce: &dyn Announce,
    sender: Sender<Message>,
) -> Vec<Hints> {
    let every = session.config.node_settings(session.node.as_str()).poll_max;
    let mut watched = Vec::new();
    for folder in folders {
        let sender = sender.clone();
        let tell = move || {
            let _ = sender.send(Message::Hint);
        };
        match Hints::of_folder(&folder.path, tell) {
            Ok(hints) => watched.push(hints),
            Err(why) => {
                let folder = escaped(&folder.shown.to_string_lossy());
                let text = format!("{folder} cannot be watched ({why}): it is looked at every {every}");
                announce.happened(&Happened::Note(text));
            }
        }
    }
    watched
}

fn document(taken: &Taken) -> Value {
    json!({
        "enqueued": taken.enqueued.iter()
            .map(|(file, task, spec)| json!({"task": task, "spec": spec.to_string(), "file": file})).collect::<Vec<_>>(),
        "skipped": taken.known.iter()
            .map(|(file, task)| json!({"task": task, "reason": "already queued", "file": file})).collect::<Vec<_>>(),
        "rejected": taken.rejected.iter()
            .map(|(file, code, message)| json!({"file": file, "code": code, "message": message})).collect::<Vec<_>>(),
    })
}
