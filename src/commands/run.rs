//! `git dispatch run`

use std::sync::mpsc::channel;

use serde_json::json;

use super::inbox::hints;
use super::{Context, Outcome, resolve};
use crate::exec::Cancel;
use crate::exit::Exit;
use crate::node::daemon::{self, Options};
use crate::protocol::announce::{Announce, Happened};
use crate::protocol::inbox::{configured, watch};
use crate::protocol::notify::Notifying;
use crate::protocol::session::OptionSettings;
use crate::protocol::trust;
use crate::protocol::wake::Message;
use crate::protocol::{Result, Session};
use crate::ui::{json, progress::Progress};

/// Claim tasks and run them, until nothing is claimable; for good, with --watch.
///
/// The first Ctrl-C lets what runs finish and claims no more; the second stops the work and gives it back.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The tasks; without, whatever is next
    #[arg(value_name = "TASK")]
    tasks: Vec<String>,
    /// How many at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    slots: Option<u32>,
    /// How many in all at most
    #[arg(long, value_name = "N")]
    max: Option<usize>,
    /// Stay, and run whatever comes
    #[arg(long)]
    watch: bool,
    /// The name of this node
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
}

/// Takes what is dropped into the configured folders, beside the work and as long as no signal comes.
fn with_inbox<T>(
    context: &Context,
    session: &Session,
    announce: &dyn Announce,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let (sender, receiver) = channel();
    let (on_signal, on_end) = (sender.clone(), sender.clone());
    context.signals.on_signal(move |_, _| {
        let _ = on_signal.send(Message::Stop);
    });
    let (own, folders) = (session.clone(), configured(session));
    let _hints = hints(session, &folders, announce, sender);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if let Err(error) = watch::watch(&own, &folders, &receiver, announce, |_| {}) {
                announce.happened(&Happened::Note(format!("the inbox has ended: {error}")));
            }
        });
        let result = work();
        let _ = on_end.send(Message::Stop);
        result
    })
}

/// Runs.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let mut settings: OptionSettings = Vec::new();
    if let Some(slots) = args.slots {
        settings.push(("node.slots", i64::from(slots).into(), "--slots"));
    }
    if let Some(node) = &args.node {
        settings.push(("node_name", node.clone().into(), "--node"));
    }
    // A signal must not end the push that publishes what was finished: git is let run to its deadline.
    let session = context.open_until(&settings, &Cancel::new())?;
    trust::demand_key(&session)?;
    let lock = daemon::lock(&session, &context.signals.first)?;
    let progress = Notifying::start(&session, Progress::start(&context.ui, "running"));
    let mut options = Options {
        tasks: Vec::new(),
        slots: session.config.node_settings(session.node.as_str()).slots as usize,
        max: args.max,
        watch: args.watch,
    };
    if !args.tasks.is_empty() {
        session.sync()?;
        options.tasks = resolve(&session, &session.snapshot()?, &args.tasks)?;
    }
    let ran = match args.watch && !session.config.inbox.paths.is_empty() {
        true => with_inbox(context, &session, &progress, || {
            daemon::run(&session, &options, &context.signals, &progress)
        })?,
        false => daemon::run(&session, &options, &context.signals, &progress)?,
    };
    // The next start need not wait until everybody is told.
    drop(lock);
    drop(progress);
    if context.ui.json {
        let snapshot = session.snapshot()?;
        let tasks: Vec<_> =
            ran.tasks.iter().filter_map(|name| snapshot.get(name)).map(|task| json::task(&session, task)).collect();
        context.ui.document(&json!({"ran": tasks}));
    } else if ran.tasks.is_empty() {
        context.ui.note("nothing to run");
    }
    Ok(match (ran.tasks.is_empty(), ran.failed) {
        (true, _) => Exit::Nothing,
        (false, 0) => Exit::Done,
        (false, _) => Exit::Partly,
    })
}
