//! Attach: where a task is worked on, for a person who wants to join (CLI.md, `attach`).
//!
//! Owns who may be joined: a running attempt of this clone, in a session. How it is joined is `executor`'s.

use super::session::Session;
use crate::executor::slot::SlotRecord;
use crate::executor::slot::record::Window;
use crate::hub::snapshot::Snapshot;
use crate::task::{Phase, TaskName};

/// Why a task cannot be joined.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    /// Somebody wants to join a task that nobody works on.
    #[error("{task} is not running")]
    #[diagnostic(code(dispatch::attach::not_running), help("`git dispatch status` shows what runs"))]
    NotRunning {
        /// The task.
        task: TaskName,
    },
    /// Somebody wants to join a task that another clone works on.
    #[error("{task} runs on node {node}, not in this clone")]
    #[diagnostic(
        code(dispatch::attach::elsewhere),
        help("join it on that machine, in that clone; `git dispatch logs -f` follows it from here")
    )]
    RunsElsewhere {
        /// The task.
        task: TaskName,
        /// The node.
        node: String,
    },
    /// Somebody wants to join a task that is not worked on in a session.
    #[error("{task} is not worked on in a tmux session")]
    #[diagnostic(
        code(dispatch::attach::no_session),
        help("only executors of kind \"tmux\" can be joined; `git dispatch logs -f` follows any")
    )]
    NoSession {
        /// The task.
        task: TaskName,
    },
}

/// Finds the window in which a task is worked on.
pub fn window_of(session: &Session, snapshot: &Snapshot, name: &TaskName) -> Result<Window, Error> {
    let running = snapshot.get(name).and_then(|task| task.claim_in(Phase::Running));
    let claim = running.ok_or_else(|| Error::NotRunning { task: name.clone() })?;
    let id = claim.id.to_string();
    let slot = SlotRecord::list(&session.work_dir()).into_iter().find(|slot| slot.claim == id);
    let node = claim.record.node.clone().unwrap_or_default();
    let Some(slot) = slot else { return Err(Error::RunsElsewhere { task: name.clone(), node }) };
    slot.tmux.ok_or_else(|| Error::NoSession { task: name.clone() })
}
