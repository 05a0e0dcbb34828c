//! What is recorded of work that a collect left out: conflicts, broken and stale work (DESIGN.md 5).
//!
//! Each is one step of the task's claim, leased on the completed claim that was looked at: who moved it meanwhile wins.
//! This is where a conflict becomes known, and so where its repair task begins.

use super::plan::Conflict;
use super::verify::Rejected;
use crate::git::objects::NewEntry;
use crate::hub::format::ClaimRecord;
use crate::hub::format::claim::{LOG_FILE, STATUS_FILE};
use crate::hub::notes::Addition;
use crate::hub::snapshot::{Claim, status_of};
use crate::hub::{Answer, Edit};
use crate::protocol::announce::{Announce, Happened};
use crate::protocol::claim::write;
use crate::protocol::error::Result;
use crate::protocol::finish::TAIL;
use crate::protocol::session::Session;
use crate::task::event::{Event, bounded_error};
use crate::task::transition::{count, ended_badly};
use crate::task::{Phase, Reason, TaskName};

/// Records that finished work does not merge: the claim says conflict, with the files in its tree.
///
/// The repair's spec is published first, so that a conflict that is seen has its repair on the queue; it is named here.
/// Returns what became of the claim: no, and it is somebody else's to tell of.
pub(super) fn conflict(
    session: &Session,
    conflict: &Conflict,
    target: &str,
    repair: Option<&TaskName>,
    announce: &dyn Announce,
) -> Result<Answer> {
    let claim = &conflict.claim;
    let record = ClaimRecord::following(&claim.record, Phase::Conflict, &session.state.instance, session.nonce()?);
    let mut event = Event::new("conflict", session.ambient.now());
    event.attempt = Some(record.attempts.begun);
    event.node.clone_from(&record.node);
    event.claim = Some(claim.id.to_string());
    event.target = Some(target.to_owned());
    event.files = Some(conflict.files.clone());
    event.repair = repair.map(ToString::to_string);
    let answer = step(session, claim, &record, &event, None)?;
    if answer.is_yes() {
        let (task, files) = (conflict.task.clone(), conflict.files.clone());
        announce.happened(&Happened::Conflicted { task, files, repair: repair.cloned() });
    }
    Ok(answer)
}

/// Records that finished work breaks the verification of the target: failed, or released for another try, with what the
/// command said. The work stays in the claim's chain. Returns what became of the claim.
pub(super) fn rejected(session: &Session, rejected: &Rejected, announce: &dyn Announce) -> Result<Answer> {
    let error = format!("it breaks the verification of {}: {}", rejected.target, rejected.how);
    turn_down(session, &rejected.claim, Some(&rejected.target), &error, &rejected.log, announce)
}

/// Records that finished work cannot be checked out safely. The work stays in the claim's chain. Returns what became of
/// the claim.
pub(super) fn unfit(session: &Session, claim: &Claim, why: &str, announce: &dyn Announce) -> Result<Answer> {
    let error = format!("its result cannot be checked out safely: {why}");
    turn_down(session, claim, None, &error, &[], announce)
}

fn turn_down(
    session: &Session,
    claim: &Claim,
    target: Option<&String>,
    error: &str,
    log: &[u8],
    announce: &dyn Announce,
) -> Result<Answer> {
    let config = &session.config;
    let before = claim.record.attempts;
    let phase = ended_badly(before, Reason::Verify, config.retry_failed, config.max_attempts);
    let mut record = ClaimRecord::following(&claim.record, phase, &session.state.instance, session.nonce()?);
    record.reason = Some(Reason::Verify);
    record.attempts = count(before, Some(Phase::Completed), phase, Some(Reason::Verify));
    let mut event = status_of(&session.hub.repo, claim.id).unwrap_or_default();
    event.v = crate::task::event::VERSION;
    event.at = session.ambient.now();
    event.event = phase.as_str().to_owned();
    event.attempt = Some(before.begun);
    event.node.clone_from(&record.node);
    event.claim = Some(claim.id.to_string());
    event.reason = Some(Reason::Verify);
    event.target = target.cloned();
    event.error = Some(bounded_error(error));
    event.log_bytes = Some(log.len() as u64);
    let answer = step(session, claim, &record, &event, Some(log))?;
    if answer.is_yes() {
        let task = claim.record.task.clone();
        announce.happened(&Happened::Failed { task, reason: Reason::Verify, error: error.to_owned() });
    }
    Ok(answer)
}

/// Releases work whose foundation can no longer land, and keeps the work. Returns what became of the claim.
pub(super) fn stale(session: &Session, claim: &Claim, why: &str, announce: &dyn Announce) -> Result<Answer> {
    if let (Some(result), Some(node)) = (claim.result, &claim.record.node) {
        let name = session.hub.layout.attempt(&claim.record.task, claim.record.attempts.begun, node);
        session.hub.publish(&[Edit::new(name, None, Some(result))])?;
    }
    let answer = crate::protocol::release::release(session, claim, Reason::Stale, None, Some(why))?;
    if answer.is_yes() {
        announce.happened(&Happened::Released { task: claim.record.task.clone(), reason: Reason::Stale });
    }
    Ok(answer)
}

/// Makes the step: the claim, leased on the one before, with its status line beside it. A step with a log keeps the work.
/// Returns what became of the claim.
fn step(
    session: &Session,
    before: &Claim,
    record: &ClaimRecord,
    event: &Event,
    log: Option<&[u8]>,
) -> Result<Answer> {
    let text = format!("{}\n", event.to_line());
    let mut files = vec![NewEntry { name: STATUS_FILE, content: text.as_bytes() }];
    if let Some(log) = log {
        files.push(NewEntry { name: LOG_FILE, content: &log[log.len().saturating_sub(TAIL)..] });
    }
    let result = log.and(before.result);
    let id = write(session, record, Some(before.id), result, &files)?;
    let mut edits = vec![Edit::new(session.hub.layout.claim(&record.task), Some(before.id), Some(id))];
    let additions = [Addition::line(record.spec, event)];
    edits.extend(session.hub.add_status(&session.node, &additions, &session.by, &session.ambient)?);
    Ok(session.hub.publish(&edits)?.into_iter().next().unwrap_or(Answer::Unknown))
}
