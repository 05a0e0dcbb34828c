//! What became, while this node was dead, of the attempts that its slots were working on.
//!
//! Owns telling people: a task that is somebody else's by now is named once, and what its slot still holds is kept.

use super::recover::save;
use crate::executor::slot::SlotRecord;
use crate::git::ObjectId;
use crate::hub::snapshot::{Snapshot, Standing, Task, chain_of, read_claim};
use crate::hub::{Edit, Layout};
use crate::protocol::announce::{Announce, Happened};
use crate::protocol::{Result, Session, vet};
use crate::task::TaskName;

/// Tells of one slot's attempt, if it was taken away, and keeps its work. Says whether the slot may be used again.
pub(super) fn settle(
    session: &Session,
    snapshot: &Snapshot,
    record: &SlotRecord,
    announce: &dyn Announce,
) -> Result<bool> {
    let (Ok(name), Ok(id)) = (TaskName::parse(&record.task), ObjectId::from_hex(record.claim.as_bytes())) else {
        return Ok(true);
    };
    let Some(task) = snapshot.get(&name) else { return Ok(true) };
    let Some(why) = taken_away(session, task, id) else { return Ok(true) };
    let work = match save(session, record, task) {
        Ok(work) => work,
        Err(error) => {
            announce.happened(&Happened::Note(format!("the work of {name} stays in its slot: {error}")));
            return Ok(false);
        }
    };
    let base = ObjectId::from_hex(record.base.as_bytes()).ok();
    let (work, withheld) = vet::releasable(session, id, base, work)?;
    if let Some(why) = withheld {
        announce.happened(&Happened::Note(format!("{name}: {why}")));
    }
    let kept = match work {
        Some(work) => Some(keep(session, &name, id, work)?),
        None => None,
    };
    announce.happened(&Happened::Fenced { task: name, why, kept });
    Ok(true)
}

/// Says by what an attempt of this clone was ended that did not end it itself.
fn taken_away(session: &Session, task: &Task, id: ObjectId) -> Option<String> {
    let repo = &session.hub.repo;
    let claim = read_claim(repo, id).ok()?;
    match &task.standing {
        Standing::Sealed { seal, .. } => {
            let is_ours = seal.node == claim.record.node && seal.attempt == Some(claim.record.attempts.begun);
            (seal.event != "merged" || !is_ours).then(|| format!("the task is {} already", seal.event))
        }
        Standing::Fresh => Some("the claim is gone".to_owned()),
        Standing::Unknown(_) => None,
        Standing::Claimed(tip) if tip.id == id => None,
        Standing::Claimed(tip) => {
            let chain = chain_of(repo, tip.id);
            let next = chain.iter().find(|next| next.previous == Some(id));
            let by_us = next.is_some_and(|next| session.state.is_own(&next.record.instance));
            let holder = tip.record.node.as_deref().unwrap_or("somebody");
            let now =
                format!("the task is {} by {holder}, attempt {}", tip.record.phase, tip.record.attempts.begun);
            (!by_us).then_some(now)
        }
    }
}

/// Keeps the work on the hub; where that cannot be now, under the pin that it has here.
fn keep(session: &Session, task: &TaskName, claim: ObjectId, work: ObjectId) -> Result<String> {
    let attempt = read_claim(&session.hub.repo, claim).map(|claim| claim.record.attempts.begun).unwrap_or_default();
    let name = session.hub.layout.attempt(task, attempt, session.node.as_str());
    let kept = session.hub.publish(&[Edit::new(name.clone(), None, Some(work))]);
    if kept.is_ok_and(|answers| answers[0].is_yes()) {
        session.hub.unpin_result(&claim.to_string())?;
        return Ok(name);
    }
    Ok(Layout::result(&claim.to_string()))
}
