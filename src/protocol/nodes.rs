//! The nodes of the fleet, as one look shows them.
//!
//! Owns the state that is displayed. A one-shot command goes by the beat's own time, which a wrong clock can spoil: it
//! is for people and for assigning, never for taking a claim away.

use jiff::Timestamp;

use super::error::Result;
use super::session::Session;
use crate::hub::nodes::{NodeRecord, Seen};
use crate::hub::snapshot::Snapshot;
use crate::task::{Phase, TaskName};

/// A node as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it says of itself.
    pub record: NodeRecord,
    /// `idle`, `busy`, `paused`, `draining`, `stopped`, `lost`.
    pub state: String,
    /// The tasks that it runs.
    pub running: Vec<TaskName>,
    /// When it last said that it lives.
    pub beat_at: Option<Timestamp>,
}

/// Lists the nodes by name.
pub fn nodes(session: &Session, snapshot: &Snapshot) -> Result<Vec<Node>> {
    let seen = session.hub.node_records()?;
    Ok(seen
        .into_iter()
        .map(|seen| {
            let beat_at: Option<Timestamp> = seen.record.beat_at.parse().ok();
            let state = if is_late(session, &seen) && seen.record.state != "stopped" {
                "lost".to_owned()
            } else {
                seen.record.state.clone()
            };
            let running = snapshot
                .tasks
                .iter()
                .filter(|task| {
                    let claim = task.claim_in(Phase::Running);
                    claim.is_some_and(|claim| claim.record.node.as_deref() == Some(seen.name.as_str()))
                })
                .map(|task| task.name().clone())
                .collect();
            Node { record: seen.record, state, running, beat_at }
        })
        .collect())
}

/// Says whether a node's beat is older than others have patience for, by the beat's own time.
pub fn is_late(session: &Session, seen: &Seen) -> bool {
    let patience = seen.record.beat_interval() * session.config.node_settings(&seen.name).lost_after_beats;
    let beat_at: Option<Timestamp> = seen.record.beat_at.parse().ok();
    // Beats are stamped in whole seconds.
    beat_at.is_none_or(|at| session.ambient.now().duration_since(at).as_secs_f64() > patience.as_secs_f64() + 1.0)
}
