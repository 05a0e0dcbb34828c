//! The task branch in this clone, for work by hand.

use std::path::PathBuf;

use super::base;
use super::claim::Won;
use super::error::{Error, Result};
use super::session::Session;
use crate::git::refs::RefChange;
use crate::hub::Layout;
use crate::hub::snapshot::{Snapshot, Task};

/// Creates the task branch at its base, and pins the claim. An older branch of that name with work on it is kept at
/// `attempts/…`.
pub fn create(session: &Session, won: &Won) -> Result<()> {
    let record = &won.claim.record;
    let Some(branch) = &record.branch else {
        return Ok(());
    };
    let repo = &session.hub.repo;
    let pin = Layout::by_hand(&record.task);
    let mut changes = vec![RefChange::new(pin.as_str(), repo.ref_value(&pin), Some(won.claim.id))];
    let name = Layout::branch_ref(branch);
    let old = repo.ref_value(&name);
    if old != Some(won.base.commit) {
        changes.push(RefChange::new(name, old, Some(won.base.commit)));
    }
    if let Some(old) = old.filter(|old| !repo.is_ancestor(*old, won.base.commit)) {
        let before = record.attempts.begun.saturating_sub(1);
        let kept = session.hub.layout.attempt(&record.task, before, session.node.as_str());
        if repo.ref_value(&kept) != Some(old) {
            changes.push(RefChange::new(kept.as_str(), repo.ref_value(&kept), Some(old)));
        }
    }
    Ok(repo.change_refs(&changes, "git dispatch: claimed")?)
}

/// Finds the checkout that has the task's branch checked out elsewhere than a claim would put it: moving the branch would
/// make that checkout look as if all had been changed there.
pub fn in_the_way(session: &Session, snapshot: &Snapshot, task: &Task) -> Result<Option<PathBuf>> {
    let repo = &session.hub.repo;
    let name = Layout::branch_ref(&session.hub.layout.task_branch(task.name(), &session.node));
    let Some(old) = repo.ref_value(&name) else { return Ok(None) };
    let Some(checkout) = repo.checkout_of(&name)? else { return Ok(None) };
    let stays = base::make(session, snapshot, task)?.is_ok_and(|base| base.commit == old);
    Ok((!stays).then_some(checkout))
}

/// Makes the error about such a checkout.
pub fn checked_out(session: &Session, task: &Task, checkout: PathBuf) -> Error {
    let branch = session.hub.layout.task_branch(task.name(), &session.node);
    Error::CheckedOut { task: task.name().clone(), branch, checkout }
}
