//! Attach: where a task is worked on, for a person who wants to join (CLI.md, `attach`).
//!
//! Owns who may be joined: a running attempt of this clone, in a session. How it is joined is `executor`'s.

use super::error::{Error, Result};
use super::session::Session;
use crate::executor::slot::SlotRecord;
use crate::executor::slot::record::Window;
use crate::hub::snapshot::Snapshot;
use crate::task::{Phase, TaskName};

/// Finds the window in which a task is worked on.
pub fn window_of(session: &Session, snapshot: &Snapshot, name: &TaskName) -> Result<Window> {
    let running = snapshot.get(name).and_then(|task| task.claim_in(Phase::Running));
    let claim = running.ok_or_else(|| Error::NotRunning { task: name.clone() })?;
    let id = claim.id.to_string();
    let slot = SlotRecord::list(&session.work_dir()).into_iter().find(|slot| slot.claim == id);
    let node = claim.record.node.clone().unwrap_or_default();
    let Some(slot) = slot else { return Err(Error::RunsElsewhere { task: name.clone(), node }) };
    slot.tmux.ok_or_else(|| Error::NoSession { task: name.clone() })
}
