//! `git dispatch run`

use serde_json::json;

use super::{Context, Outcome, resolve};
use crate::exec::Cancel;
use crate::exit::Exit;
use crate::node::daemon::{self, Options};
use crate::protocol::notify::Notifying;
use crate::protocol::session::OptionSettings;
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
    let ran = daemon::run(&session, &options, &context.signals, &progress)?;
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
