//! Release: an attempt is given back, with its work if there is any (DESIGN.md 2.3); or many at once, in one push.

use super::claim::{all_yes, write};
use super::error::Result;
use super::session::Session;
use crate::git::ObjectId;
use crate::git::objects::NewEntry;
use crate::hub::format::ClaimRecord;
use crate::hub::format::claim::STATUS_FILE;
use crate::hub::notes::Addition;
use crate::hub::snapshot::Claim;
use crate::hub::{Answer, Edit};
use crate::task::event::{Event, bounded_error};
use crate::task::transition::{count, taken_away};
use crate::task::{Phase, Reason};

/// Ends the attempt of `claim` for `reason`: released, or failed at the maximum of charged attempts. `work` is what it
/// had made, if that could be saved.
pub fn release(
    session: &Session,
    claim: &Claim,
    reason: Reason,
    work: Option<ObjectId>,
    error: Option<&str>,
) -> Result<Answer> {
    let (edit, line) = prepare(session, claim, reason, work, error)?;
    Ok(publish(session, vec![edit], vec![line])?.into_iter().next().unwrap_or(Answer::Unknown))
}

/// Ends the attempts of many claims for one reason, without work of theirs, each for itself and all in one push; answers
/// claim by claim.
pub fn release_all(
    session: &Session,
    claims: &[&Claim],
    reason: Reason,
    error: Option<&str>,
) -> Result<Vec<Answer>> {
    let prepared: Vec<(Edit, Addition)> =
        claims.iter().map(|claim| prepare(session, claim, reason, None, error)).collect::<Result<_>>()?;
    let (edits, lines): (Vec<Edit>, Vec<Addition>) = prepared.into_iter().unzip();
    publish(session, edits, lines)
}

/// All together, or the claims first: a line beside them would else also tell of what was lost to somebody faster.
fn publish(session: &Session, edits: Vec<Edit>, lines: Vec<Addition>) -> Result<Vec<Answer>> {
    let hub = &session.hub;
    let note = |lines: &[Addition]| hub.add_status(&session.node, lines, &session.by, &session.ambient);
    let Some(decides) = edits.len().checked_sub(1) else { return Ok(Vec::new()) };
    let together: Vec<Edit> = edits.iter().cloned().chain(note(&lines)?).collect();
    let answers = hub.publish_atomically(&together, decides)?;
    if all_yes(&answers) {
        return Ok(answers[..edits.len()].to_vec());
    }
    let answers = hub.publish(&edits)?;
    let told: Vec<Addition> =
        lines.into_iter().zip(&answers).filter(|(_, answer)| answer.is_yes()).map(|(line, _)| line).collect();
    hub.publish_unsettled(note(&told)?.as_slice())?;
    Ok(answers)
}

/// Writes the claim that ends an attempt, and the line that tells of it.
fn prepare(
    session: &Session,
    claim: &Claim,
    reason: Reason,
    work: Option<ObjectId>,
    error: Option<&str>,
) -> Result<(Edit, Addition)> {
    let before = &claim.record;
    let phase = taken_away(before.attempts, reason, session.config.max_attempts);
    let mut record = ClaimRecord::following(before, phase, &session.state.instance, session.nonce()?);
    record.reason = Some(reason);
    record.attempts = count(before.attempts, Some(before.phase), phase, Some(reason));
    let mut event = Event::new(phase.as_str(), session.ambient.now());
    event.attempt = Some(before.attempts.begun);
    event.node.clone_from(&before.node);
    event.claim = Some(claim.id.to_string());
    event.reason = Some(reason);
    event.error = error.map(bounded_error);
    event.result = work.map(|id| id.to_string());
    let text = format!("{}\n", event.to_line());
    // A failed commit has a result by its format; with nothing made, that is where it started.
    let result =
        work.or(if phase == Phase::Failed { before.base.filter(|base| session.hub.repo.has(*base)) } else { None });
    let files = [NewEntry { name: STATUS_FILE, content: text.as_bytes() }];
    let id = write(session, &record, Some(claim.id), result, &files)?;
    let edit = Edit::new(session.hub.layout.claim(&before.task), Some(claim.id), Some(id));
    Ok((edit, Addition::line(before.spec, &event)))
}
