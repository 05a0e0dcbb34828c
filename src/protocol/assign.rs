//! Assign: a task is meant for one node (DESIGN.md 4).
//!
//! The same compare-and-swap on the same ref as a claim, so that of an assignment and a claim of the same moment exactly
//! one wins. An assignment whose node does not begin in `assign_timeout` may be taken back by anybody.

use jiff::SignedDuration;

use super::cancel::fresh;
use super::claim::write;
use super::error::{Error, Result};
use super::refusal::Refusal;
use super::session::Session;
use crate::config::near::nearest;
use crate::hub::format::ClaimRecord;
use crate::hub::snapshot::Task;
use crate::hub::{Edit, Error as HubError};
use crate::task::spec::Mode;
use crate::task::{Hold, Name, Phase, State, TaskName};

/// How often a task that moves under our hands is looked at again.
const TRIES: u32 = 20;

/// Assigns one task to one node.
pub fn assign(session: &Session, name: &TaskName, node: &Name) -> Result<()> {
    let mut refusal = Refusal::default();
    for _ in 0..TRIES {
        session.sync()?;
        refusal.look(session)?;
        check_node(session, node)?;
        let snapshot = session.snapshot()?;
        let Some(task) = snapshot.get(name) else { break };
        match (task.state(), task.claim()) {
            (State::Pending, _) => {}
            (State::Assigned, Some(claim)) if claim.record.node.as_deref() == Some(node.as_str()) => return Ok(()),
            (state, _) => return Err(Error::NotPending { task: name.clone(), state }),
        }
        let edit = edit(session, task, node)?;
        if session.hub.publish(std::slice::from_ref(&edit))?[0].is_yes() {
            return Ok(());
        }
        refusal.tried(vec![edit]);
    }
    Err(HubError::Busy { name: session.hub.layout.claim(name), tries: TRIES }.into())
}

fn check_node(session: &Session, node: &Name) -> Result<()> {
    let nodes = session.hub.node_records()?;
    if nodes.iter().any(|known| known.name == node.as_str()) {
        return Ok(());
    }
    let help = match nearest(node.as_str(), nodes.iter().map(|known| known.name.as_str())) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`git dispatch nodes` shows those that are known; a node is, once it has run".to_owned(),
    };
    Err(Error::UnknownNode { node: node.to_string(), help })
}

/// Prepares the claim that says assigned.
pub(super) fn edit(session: &Session, task: &Task, node: &Name) -> Result<Edit> {
    let nonce = session.nonce()?;
    let before = task.claim();
    let mut record = match before {
        Some(claim) => ClaimRecord::following(&claim.record, Phase::Assigned, &session.state.instance, nonce),
        None => fresh(session, task, Phase::Assigned, nonce),
    };
    record.node = Some(node.to_string());
    record.mode = Mode::Push;
    record.hold = Some(Hold::Beat);
    let time = *session.config.node_settings(node.as_str()).assign_timeout;
    let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    record.until = session.ambient.now().checked_add(time).ok();
    record.branch = None;
    record.base = None;
    record.target_tip = None;
    record.built_on = Vec::new();
    let previous = before.map(|claim| claim.id);
    let id = write(session, &record, previous, None, &[])?;
    Ok(Edit::new(session.hub.layout.claim(task.name()), previous, Some(id)))
}
