//! The task branch in this clone, for work by hand.

use super::claim::Won;
use super::error::Result;
use super::session::Session;
use crate::git::refs::RefChange;
use crate::hub::Layout;

/// Creates the task branch at its base. An older branch of that name with work on it is kept at `attempts/…`.
pub fn create(session: &Session, won: &Won) -> Result<()> {
    let Some(branch) = &won.claim.record.branch else {
        return Ok(());
    };
    let repo = &session.hub.repo;
    let name = Layout::branch_ref(branch);
    let old = repo.ref_value(&name);
    if old == Some(won.base.commit) {
        return Ok(());
    }
    let mut changes = vec![RefChange::new(name, old, Some(won.base.commit))];
    if let Some(old) = old.filter(|old| !repo.is_ancestor(*old, won.base.commit)) {
        let record = &won.claim.record;
        let before = record.attempts.begun.saturating_sub(1);
        let kept = session.hub.layout.attempt(&record.task, before, session.node.as_str());
        if repo.ref_value(&kept) != Some(old) {
            changes.push(RefChange::new(kept.as_str(), repo.ref_value(&kept), Some(old)));
        }
    }
    Ok(repo.change_refs(&changes, "git dispatch: claimed")?)
}
