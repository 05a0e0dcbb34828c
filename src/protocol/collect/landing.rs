//! What has landed: the claims that say merged, and whether the target agrees (DESIGN.md 2.3 and 5).
//!
//! Owns the record in a merged claim of where it was merged, by which a collect that died before sealing is taken up,
//! whichever branch it merged into.

use crate::git::ObjectId;
use crate::git::objects::NewEntry;
use crate::hub::Edit;
use crate::hub::format::claim::STATUS_FILE;
use crate::hub::format::{ClaimRecord, Trailers};
use crate::hub::snapshot::{Claim, Task, chain_of, status_of, targets_of, work_record};
use crate::protocol::claim::write;
use crate::protocol::error::Result;
use crate::protocol::seal::Ended;
use crate::protocol::session::Session;
use crate::task::Phase;

/// Where the result of a merged claim is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landed {
    /// The branch.
    pub target: String,
    /// The merge commit; `None` where it needed none.
    pub merge_commit: Option<ObjectId>,
}

/// Writes the claim that says merged; it is pushed together with the target. Its record names where, and by which commit.
pub(super) fn merged_claim(
    session: &Session,
    completed: &Claim,
    target: &str,
    merge_commit: Option<ObjectId>,
) -> Result<Claim> {
    let record =
        ClaimRecord::following(&completed.record, Phase::Merged, &session.state.instance, session.nonce()?);
    let mut event = work_record(&session.hub.repo, completed.id).unwrap_or_default();
    event.v = crate::task::event::VERSION;
    event.at = session.ambient.now();
    event.event = Phase::Merged.as_str().to_owned();
    event.attempt = Some(record.attempts.begun);
    event.node.clone_from(&record.node);
    event.claim = Some(completed.id.to_string());
    event.target = Some(target.to_owned());
    event.merge_commit = merge_commit.map(|id| id.to_string());
    let text = format!("{}\n", event.to_line());
    let files = [NewEntry { name: STATUS_FILE, content: text.as_bytes() }];
    let id = write(session, &record, Some(completed.id), None, &files)?;
    Ok(Claim { id, record, at: event.at, result: completed.result, previous: Some(completed.id) })
}

/// Puts merged claims back whose results never reached the target.
pub fn put_back(session: &Session, claims: &[&Claim]) -> Result<()> {
    let mut edits = Vec::with_capacity(claims.len());
    for claim in claims {
        let record =
            ClaimRecord::following(&claim.record, Phase::Completed, &session.state.instance, session.nonce()?);
        let repo = &session.hub.repo;
        let previous = claim.previous.unwrap_or(claim.id);
        let status = repo.file_in(previous, STATUS_FILE).unwrap_or_default();
        let files = [NewEntry { name: STATUS_FILE, content: &status }];
        let id = write(session, &record, Some(claim.id), claim.result, &files)?;
        edits.push(Edit::new(session.hub.layout.claim(&record.task), Some(claim.id), Some(id)));
    }
    session.hub.publish(&edits)?;
    Ok(())
}

/// Says of conflicts whose work has landed all the same that they are merged; returns those of which it could be said.
pub fn say_merged(session: &Session, landed: &[(&Claim, Landed)]) -> Result<Vec<Ended>> {
    let (mut edits, mut ended) = (Vec::new(), Vec::new());
    for (conflict, Landed { target, merge_commit }) in landed {
        let claim = merged_claim(session, conflict, target, *merge_commit)?;
        let task = claim.record.task.clone();
        edits.push(Edit::new(session.hub.layout.claim(&task), Some(conflict.id), Some(claim.id)));
        let delete_branch = session.config.collect.delete_branches;
        ended.push(Ended { task, claim, target: Some(target.clone()), merge_commit: *merge_commit, delete_branch });
    }
    let answers = session.hub.publish(&edits)?;
    Ok(ended.into_iter().zip(answers).filter(|(_, answer)| answer.is_yes()).map(|(ended, _)| ended).collect())
}

/// Says where the result of a merged claim is, if it is in the branch that the claim names, or in the task's own target.
pub fn landed(session: &Session, task: &Task, claim: &Claim) -> Option<Landed> {
    let result = claim.result?;
    targets_of(&session.hub, task).into_iter().find_map(|target| {
        let tip = session.hub.target_tip(&target)?;
        if !session.hub.repo.is_ancestor(result, tip) {
            return None;
        }
        let own = claim.previous.and_then(|completed| merge_of(session, tip, completed, claim, result));
        // What was mended landed with its repair's merge, which the claim names.
        let merge_commit = own.or_else(|| named_merge(session, tip, claim));
        Some(Landed { target, merge_commit })
    })
}

/// The merge commit that a merged claim names, if it is below `tip`.
fn named_merge(session: &Session, tip: ObjectId, claim: &Claim) -> Option<ObjectId> {
    let named = status_of(&session.hub.repo, claim.id)?.merge_commit?;
    let merge = ObjectId::from_hex(named.as_bytes()).ok()?;
    session.hub.repo.is_ancestor(merge, tip).then_some(merge)
}

/// Finds the merge commit that brought the result of a completed claim below `tip`, by its trailer. It may name an earlier
/// claim for the same result, which said merged and was put back before the target was there.
pub(super) fn merge_of(
    session: &Session,
    tip: ObjectId,
    completed: ObjectId,
    claim: &Claim,
    result: ObjectId,
) -> Option<ObjectId> {
    // Nothing was made, so nothing was merged.
    if claim.record.base == Some(result) {
        return None;
    }
    let mut found = None;
    session.hub.repo.first_parents(tip, |commit| {
        if commit.parents.get(1) == Some(&result) {
            let trailers = Trailers::parse(&commit.message);
            let names = |claim: &Claim| trailers.get("Dispatch-Claim") == Some(claim.id.to_string().as_str());
            if chain_of(&session.hub.repo, completed).iter().any(names) {
                found = Some(commit.id);
            }
        }
        found.is_none()
            && commit.parents.first().is_some_and(|parent| {
                session.hub.repo.is_ancestor(result, *parent) || commit.parents.contains(&result)
            })
    });
    found
}
