//! `git dispatch wait`

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Context, Outcome, resolve};
use crate::config::Dur;
use crate::exit::Exit;
use crate::hub::snapshot::{Snapshot, Task};
use crate::protocol::Error;
use crate::task::{State, TaskName};
use crate::ui::{json, progress::Progress};

/// Wait until tasks are past running.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The tasks; without, all
    #[arg(value_name = "TASK")]
    tasks: Vec<String>,
    /// How long at most
    #[arg(long, value_name = "D")]
    timeout: Option<Dur>,
}

/// Waits.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let session = context.open(&Vec::new())?;
    let progress = Progress::start(&context.ui, "waiting");
    session.sync()?;
    let named = resolve(&session, &session.snapshot()?, &args.tasks)?;
    let settings = session.config.node_settings(session.node.as_str());
    let until = args.timeout.map(|time| Instant::now() + *time);
    let mut pause = (*settings.poll).min(Duration::from_secs(1));
    let snapshot = loop {
        let snapshot = session.snapshot()?;
        let left = left(&snapshot, &named);
        if left.is_empty() {
            break snapshot;
        }
        let now = Instant::now();
        if until.is_some_and(|until| now >= until) {
            return Err(Error::WaitTimeout { left: left.iter().map(ToString::to_string).collect() }.into());
        }
        let rest = until.map_or(pause, |until| pause.min(until - now));
        if context.signals.first.wait_for(rest) {
            return Err(crate::git::Error::Interrupted.into());
        }
        pause = pause.mul_f64(1.5).min(*settings.poll_max);
        match session.sync() {
            Err(error) if !error.is_unreachable() => return Err(error.into()),
            _ => {}
        }
    };
    drop(progress);
    let waited: Vec<&Task> = snapshot.tasks.iter().filter(|task| is_wanted(&named, task.name())).collect();
    if context.ui.json {
        let tasks: Vec<_> = waited.iter().map(|task| json::task(&session, task)).collect();
        context.ui.document(&json!({ "tasks": tasks }));
    }
    let bad = waited.iter().any(|task| matches!(task.state(), State::Failed | State::Conflict));
    Ok(if bad { Exit::Partly } else { Exit::Done })
}

fn is_wanted(named: &[TaskName], name: &TaskName) -> bool {
    named.is_empty() || named.contains(name)
}

fn left<'a>(snapshot: &'a Snapshot, named: &[TaskName]) -> Vec<&'a TaskName> {
    let open = |task: &&Task| matches!(task.state(), State::Pending | State::Assigned | State::Running);
    snapshot.tasks.iter().filter(open).map(Task::name).filter(|name| is_wanted(named, name)).collect()
}
