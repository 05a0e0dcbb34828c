//! Retry: a task that ended without success becomes pending again (DESIGN.md 2.3).
//!
//! Owns the reopening of a seal: a new chain whose root names the seal's claim. Attempt numbers go on, the charge
//! starts again from 0.

use super::bundle::{Refused, refuse_away};
use super::cancel::fresh;
use super::claim::write;
use super::error::{Error, Result};
use super::refusal::Refusal;
use super::repair::sweep;
use super::seal::finish_half_done;
use super::session::Session;
use crate::git::ObjectId;
use crate::hub::format::ClaimRecord;
use crate::hub::format::claim::STATUS_FILE;
use crate::hub::notes::Addition;
use crate::hub::snapshot::{Snapshot, Standing, Task};
use crate::hub::{Answer, Edit, Error as HubError};
use crate::task::event::Event;
use crate::task::transition::count;
use crate::task::{Phase, Reason, State, TaskName};

/// How often a task that moves under our hands is looked at again.
const TRIES: u32 = 20;

/// What became of tasks that were to be retried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retried {
    /// Pending again.
    pub retried: Vec<TaskName>,
    /// Pending before.
    pub already: Vec<TaskName>,
}

/// Makes ended tasks pending again; all of them are looked at before any is touched.
pub fn retry(session: &Session, names: &[TaskName]) -> Result<Retried> {
    session.sync()?;
    let mut snapshot = session.snapshot()?;
    let is_half_sealed = |task: &Task| task.claim_in(Phase::Cancelled).is_some();
    if names.iter().filter_map(|name| snapshot.get(name)).any(is_half_sealed) {
        finish_half_done(session, &snapshot)?;
        snapshot = session.snapshot()?;
    }
    for name in names {
        check(&snapshot, name)?;
        // A seal is the hub's side's to reopen; an attempt that failed here may be made again here.
        if snapshot.get(name).is_some_and(|task| task.state() != State::Failed) {
            refuse_away(session, Refused::NotHere { what: "reopened" })?;
        }
    }
    let mut done = Retried::default();
    for name in names {
        if one(session, name)? {
            done.retried.push(name.clone());
        } else {
            done.already.push(name.clone());
        }
    }
    // What was to mend one of them is of no use any more.
    sweep(session)?;
    Ok(done)
}

fn check(snapshot: &Snapshot, name: &TaskName) -> Result<()> {
    let Some(task) = snapshot.get(name) else { return Ok(()) };
    match (task.state(), &task.standing) {
        (State::Merged, Standing::Sealed { seal, .. }) => Err(Error::RetryMerged {
            task: name.clone(),
            help: match &seal.merge_commit {
                Some(merge) => {
                    format!("to undo it: `git revert -m 1 {merge}`; then enqueue the work under a new id")
                }
                None => "it changed nothing; enqueue the work under a new id".to_owned(),
            },
        }),
        (State::Pending | State::Failed | State::Conflict | State::Cancelled, _) => Ok(()),
        (state, _) => Err(Error::NotEnded { task: name.clone(), state }),
    }
}

/// Retries one task; says whether it had to.
fn one(session: &Session, name: &TaskName) -> Result<bool> {
    let mut refusal = Refusal::default();
    for attempt in 0..TRIES {
        if attempt > 0 {
            session.sync()?;
            refusal.look(session)?;
        }
        let snapshot = session.snapshot()?;
        check(&snapshot, name)?;
        let Some(task) = snapshot.get(name) else { return Ok(false) };
        let (edits, _) = match &task.standing {
            Standing::Sealed { seal, leftover } => {
                let reopens = seal.claim.as_ref().and_then(|id| ObjectId::from_hex(id.as_bytes()).ok());
                // Half of the sealing is not done yet: the old ref goes first, or the new root could not be one. Where
                // nothing can be deleted, what follows says itself that it reopens.
                if let Some(leftover) = leftover {
                    let name = session.hub.layout.claim(name);
                    let deletion = Edit::new(name, Some(leftover.id), None);
                    let answer = session.hub.publish(std::slice::from_ref(&deletion))?[0];
                    if answer != Answer::Unknown {
                        continue;
                    }
                }
                reopened(session, task, reopens, leftover.as_ref().map(|leftover| leftover.id))?
            }
            Standing::Claimed(claim) if matches!(claim.record.phase, Phase::Failed | Phase::Conflict) => {
                let nonce = session.nonce()?;
                let mut record =
                    ClaimRecord::following(&claim.record, Phase::Released, &session.state.instance, nonce);
                record.reason = Some(Reason::Retry);
                record.attempts =
                    count(claim.record.attempts, Some(claim.record.phase), Phase::Released, record.reason);
                edits(session, &record, Some(claim.id))?
            }
            _ => return Ok(false),
        };
        if session.hub.publish(&edits)?.first().is_some_and(|answer| answer.is_yes()) {
            return Ok(true);
        }
        refusal.tried(edits.into_iter().take(1).collect());
    }
    Err(HubError::Busy { name: session.hub.layout.claim(name), tries: TRIES }.into())
}

fn reopened(
    session: &Session,
    task: &Task,
    reopens: Option<ObjectId>,
    stays: Option<ObjectId>,
) -> Result<(Vec<Edit>, ObjectId)> {
    let mut record = fresh(session, task, Phase::Released, session.nonce()?);
    record.reason = Some(Reason::Retry);
    record.attempts.charged = 0;
    record.reopens = reopens;
    edits(session, &record, stays)
}

fn edits(session: &Session, record: &ClaimRecord, previous: Option<ObjectId>) -> Result<(Vec<Edit>, ObjectId)> {
    let mut event = Event::new("released", session.ambient.now());
    event.attempt = Some(record.attempts.begun).filter(|attempt| *attempt > 0);
    event.reason = record.reason;
    event.claim = previous.map(|id| id.to_string());
    let text = format!("{}\n", event.to_line());
    let files = [crate::git::objects::NewEntry { name: STATUS_FILE, content: text.as_bytes() }];
    let id = write(session, record, previous, None, &files)?;
    event.claim = Some(id.to_string());
    let mut edits = vec![Edit::new(session.hub.layout.claim(&record.task), previous, Some(id))];
    let additions = [Addition::line(record.spec, &event)];
    edits.extend(session.hub.add_status(&session.node, &additions, &session.by, &session.ambient)?);
    Ok((edits, id))
}
