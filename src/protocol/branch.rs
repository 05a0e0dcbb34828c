//! The task branch in this clone, for work by hand.
//!
//! Owns the care for an older branch of that name: its work is kept, and one that is checked out is never moved.

use super::claim::Won;
use super::error::{Error, Result};
use super::session::Session;
use crate::git::ObjectId;
use crate::git::refs::RefChange;
use crate::hub::format::ClaimRecord;
use crate::hub::{Edit, Layout};

/// Refuses a claim whose branch could not be made afterwards: it is checked out, and stands elsewhere.
pub fn check(session: &Session, record: &ClaimRecord) -> Result<()> {
    let Some(branch) = &record.branch else {
        return Ok(());
    };
    let name = Layout::branch_ref(branch);
    let old = session.hub.repo.ref_value(&name);
    if old.is_none() || old == record.base {
        return Ok(());
    }
    match session.hub.repo.checkout_of(&name)? {
        Some(checkout) => Err(Error::BranchCheckedOut { branch: branch.clone(), checkout }),
        None => Ok(()),
    }
}

/// Creates the task branch at its base and pins the claim, and returns where the work of an older branch of that name is
/// kept.
pub fn create(session: &Session, won: &Won) -> Result<Option<String>> {
    let record = &won.claim.record;
    let Some(branch) = &record.branch else {
        return Ok(None);
    };
    let repo = &session.hub.repo;
    let pin = Layout::by_hand(&record.task);
    let mut changes = vec![RefChange::new(pin.as_str(), repo.ref_value(&pin), Some(won.claim.id))];
    let name = Layout::branch_ref(branch);
    let old = repo.ref_value(&name);
    let mut kept = None;
    if old != Some(won.base.commit) {
        // Somebody may have checked it out since the claim was pushed.
        check(session, record)?;
        if let Some(work) = old.filter(|old| !repo.is_ancestor(*old, won.base.commit)) {
            kept = Some(keep(session, record, work)?);
        }
        changes.push(RefChange::new(name, old, Some(won.base.commit)));
    }
    repo.change_refs(&changes, "git dispatch: claimed")?;
    Ok(kept)
}

/// Keeps older work at `attempts/…`, on the hub: what stands below our shared refs here and not there is pruned by the
/// next sync. Where the hub does not take it, it is pinned in this clone.
fn keep(session: &Session, record: &ClaimRecord, work: ObjectId) -> Result<String> {
    let before = record.attempts.begun.saturating_sub(1);
    let shared = session.hub.layout.attempt(&record.task, before, session.node.as_str());
    let answers = session.hub.publish(&[Edit::new(shared.clone(), None, Some(work))]);
    if answers.is_ok_and(|answers| answers.iter().all(|answer| answer.is_yes())) {
        return Ok(shared);
    }
    let pinned = Layout::kept(&work.to_string());
    if session.hub.repo.ref_value(&pinned).is_none() {
        session.hub.repo.change_refs(&[RefChange::new(pinned.as_str(), None, Some(work))], "git dispatch: kept")?;
    }
    Ok(pinned)
}
