//! Replace: a newer spec is put in force while its task is pending (DESIGN.md 3.1).
//!
//! The spec is on the queue already; what decides is a `released` claim that names it. Whoever claims the task first
//! wins, and the old spec stays in force.

use super::cancel::fresh;
use super::claim::write;
use super::error::{Error, Result};
use super::refusal::Refusal;
use super::session::Session;
use crate::git::ObjectId;
use crate::hub::format::ClaimRecord;
use crate::hub::snapshot::{Standing, Task};
use crate::hub::{Edit, Error as HubError};
use crate::task::{Phase, Reason, State, TaskName};

/// How often a task that moves under our hands is looked at again.
const TRIES: u32 = 20;

/// Puts newer specs in force, all claims in one push.
pub fn put_in_force(session: &Session, newer: &[(TaskName, ObjectId)]) -> Result<()> {
    if newer.is_empty() {
        return Ok(());
    }
    let mut refusal = Refusal::default();
    for _ in 0..TRIES {
        session.sync()?;
        refusal.look(session)?;
        let snapshot = session.snapshot()?;
        let mut edits = Vec::new();
        for (name, spec) in newer {
            let Some(task) = snapshot.get(name) else { continue };
            void_chain(session, task, *spec)?;
            if task.spec.id == *spec {
                continue;
            }
            if task.state() != State::Pending {
                return Err(Error::ReplaceTooLate { task: name.clone(), state: task.state() });
            }
            edits.push(edit(session, task, *spec)?);
        }
        if edits.is_empty() {
            return Ok(());
        }
        session.hub.publish(&edits)?;
        refusal.tried(edits);
    }
    Err(HubError::Busy { name: session.hub.layout.claim(&newer[0].0), tries: TRIES }.into())
}

/// Deletes our claim where it landed on a task that was sealed meanwhile.
fn void_chain(session: &Session, task: &Task, spec: ObjectId) -> Result<()> {
    if let Standing::Sealed { leftover: Some(claim), .. } = &task.standing
        && claim.record.spec == spec
        && claim.record.reason == Some(Reason::Replaced)
    {
        session.hub.publish(&[Edit::new(session.hub.layout.claim(task.name()), Some(claim.id), None)])?;
    }
    Ok(())
}

fn edit(session: &Session, task: &Task, spec: ObjectId) -> Result<Edit> {
    let nonce = session.nonce()?;
    let before = task.claim();
    let mut record = match before {
        Some(claim) => ClaimRecord::following(&claim.record, Phase::Released, &session.state.instance, nonce),
        None => fresh(session, task, Phase::Released, nonce),
    };
    record.reason = Some(Reason::Replaced);
    record.spec = spec;
    let previous = before.map(|claim| claim.id);
    let id = write(session, &record, previous, None, &[])?;
    Ok(Edit::new(session.hub.layout.claim(task.name()), previous, Some(id)))
}
