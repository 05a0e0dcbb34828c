//! `git dispatch run`

mod several;

use std::path::PathBuf;
use std::sync::mpsc::channel;

use serde_json::json;

use super::inbox::hints;
use super::{Context, Outcome, resolve};
use crate::exec::Cancel;
use crate::exit::Exit;
use crate::node::daemon::{self, Options, Ran};
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
    /// Work for this clone; given several times, for all of them with shared slots, fair between them
    #[arg(long = "repo", value_name = "DIR", conflicts_with_all = ["tasks", "max"])]
    repos: Vec<PathBuf>,
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
    if !args.repos.is_empty() {
        return several::run(context, args, &settings);
    }
    // A signal must not end the push that publishes what was finished: git is let run to its deadline.
    let session = context.open_until(&settings, &Cancel::new())?;
    trust::demand_key(&session)?;
    let lock = daemon::lock(&session, &context.signals.first)?;
    let progress = Notifying::start(&session, Progress::start(&context.ui, "running"));
    let mut options = options(&session, args);
    if !args.tasks.is_empty() {
        session.sync()?;
        options.tasks = resolve(&session, &session.snapshot()?, &args.tasks)?;
    }
    let ran = one(context, &session, &options, &progress)?;
    // The next start need not wait until everybody is told.
    drop(lock);
    drop(progress);
    report(context, &[(session, ran)])
}

fn options(session: &Session, args: &Args) -> Options {
    Options {
        tasks: Vec::new(),
        slots: session.config.node_settings(session.node.as_str()).slots as usize,
        max: args.max,
        watch: args.watch,
        share: None,
    }
}

/// Runs for one clone.
fn one(context: &Context, session: &Session, options: &Options, announce: &dyn Announce) -> Result<Ran> {
    let work = || daemon::run(session, options, &context.signals, announce);
    match options.watch && !session.config.inbox.paths.is_empty() {
        true => with_inbox(context, session, announce, work),
        false => work(),
    }
}

fn report(context: &Context, all: &[(Session, Ran)]) -> Outcome {
    if context.ui.json {
        let mut tasks = Vec::new();
        for (session, ran) in all {
            let snapshot = session.snapshot()?;
            let ran = ran.tasks.iter().filter_map(|name| snapshot.get(name));
            tasks.extend(ran.map(|task| json::task(session, task)));
        }
        context.ui.document(&json!({"ran": tasks}));
    } else if all.iter().all(|(_, ran)| ran.tasks.is_empty()) {
        context.ui.note("nothing to run");
    }
    let failed: usize = all.iter().map(|(_, ran)| ran.failed).sum();
    Ok(match (all.iter().all(|(_, ran)| ran.tasks.is_empty()), failed) {
        (true, _) => Exit::Nothing,
        (false, 0) => Exit::Done,
        (false, _) => Exit::Partly,
    })
}
