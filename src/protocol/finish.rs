//! Finish: an attempt ends, and what it made arrives with the one commit that says so (DESIGN.md 3.4).
//!
//! Owns the finishing commit, the outbox around its push, and the rules for a lease that was lost. The answer for the
//! claim alone decides; branch and notes are projections, built again and tried again.

pub mod carried;
mod entry;
mod refused;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use self::entry::{Entry, Look};
use super::announce::{Announce, Happened};
use super::claim::{Won, write};
use super::error::Result;
use super::session::Session;
use crate::exec::capture::LineSeconds;
use crate::git::ObjectId;
use crate::git::objects::NewEntry;
use crate::hub::format::ClaimRecord;
use crate::hub::format::claim::{LOG_FILE, STATUS_FILE};
use crate::hub::nodes::NodeRecord;
use crate::hub::outbox::{self, Waiting};
use crate::hub::{Answer, AtOnce};
use crate::task::event::{Event, bounded_error};
use crate::task::transition::{count, ended_badly};
use crate::task::{Hold, Phase, Reason, TaskName};

/// How much of the output's end goes into the claim's own tree.
pub(super) const TAIL: usize = 16 * 1024;

/// How often a push is tried before the result is left in the outbox.
const TRIES: u32 = 5;

/// How many of these carry branch and notes beside the claim.
const TOGETHER: u32 = 2;

/// How an attempt ended.
#[derive(Debug, Clone)]
pub struct Ending {
    /// `None`: well; else why not.
    pub reason: Option<Reason>,
    /// What went wrong, for people.
    pub error: Option<String>,
    /// The slot that worked on it, from 1; `None`: it was done by hand.
    pub slot: Option<u32>,
    /// The executor's exit code.
    pub exit_code: Option<i32>,
    /// When the executor was started.
    pub started_at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// The work, brought into this repository; `None` where there is none to keep.
    pub result: Option<ObjectId>,
    /// The bounded output.
    pub log: Vec<u8>,
    /// Bytes of output before it was bounded.
    pub log_bytes: u64,
    /// When the lines of `log` came.
    pub log_times: LineSeconds,
    /// The object that the executor left.
    pub output: Option<Value>,
}

/// What became of a finished attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finished {
    /// The hub has it.
    Published,
    /// Somebody else had taken the task, or it was called off: the work is kept, and counts for nothing.
    Fenced {
        /// By what.
        why: String,
        /// The ref with the work, once the hub or this clone has it.
        kept: Option<String>,
    },
    /// The hub does not answer: the result waits on this disk.
    Waiting,
    /// The hub takes other things and will not have this result: the task has failed, and the work is kept here.
    Refused {
        /// Why, and where the work is.
        why: String,
    },
}

/// Ends an attempt: writes the finishing commit and puts it into the outbox. Nothing is published yet, and nothing can
/// be lost any more.
pub fn record(session: &Session, won: &Won, ending: &Ending) -> Result<Waiting> {
    let before = &won.claim.record;
    let config = &session.config;
    let by_hand = before.hold != Some(Hold::Beat);
    let phase = match ending.reason {
        None => Phase::Completed,
        // A person who says that it failed is not asked again.
        Some(_) if by_hand => Phase::Failed,
        Some(reason) => ended_badly(before.attempts, reason, config.retry_failed, config.max_attempts),
    };
    let mut record = ClaimRecord::following(before, phase, &session.state.instance, session.nonce()?);
    record.reason = ending.reason;
    record.attempts = count(before.attempts, Some(before.phase), phase, ending.reason);
    let result = ending.result.unwrap_or(won.base.commit);
    let event = status(session, won, ending, result)?;
    let text = format!("{}\n", event.to_line());
    let tail = &ending.log[ending.log.len().saturating_sub(TAIL)..];
    let files =
        [NewEntry { name: STATUS_FILE, content: text.as_bytes() }, NewEntry { name: LOG_FILE, content: tail }];
    let finish = write(session, &record, Some(won.claim.id), Some(result), &files)?;
    let log = match ending.log.is_empty() {
        true => None,
        false => {
            let node = before.node.as_deref().unwrap_or("-");
            let framed = super::logs::framed(before.attempts.begun, node, &ending.log, &ending.log_times);
            Some(session.hub.repo.write_blob(&framed)?.to_string())
        }
    };
    let waiting = Waiting {
        v: 1,
        task: before.task.to_string(),
        claim: won.claim.id.to_string(),
        finish: finish.to_string(),
        log,
        node: before.node.clone().unwrap_or_default(),
        ..Waiting::default()
    };
    session.hub.put_in_outbox(&session.state, &waiting)?;
    Ok(waiting)
}

fn status(session: &Session, won: &Won, ending: &Ending, result: ObjectId) -> Result<Event> {
    let record = &won.claim.record;
    let changed = session.hub.repo.changed(won.base.commit, result)?;
    let mut event = Event::new(if ending.reason.is_none() { "completed" } else { "failed" }, session.ambient.now());
    event.attempt = Some(record.attempts.begun);
    event.node.clone_from(&record.node);
    event.slot = ending.slot;
    event.claim = Some(won.claim.id.to_string());
    event.reason = ending.reason;
    event.started_at = Some(ending.started_at);
    event.completed_at = Some(session.ambient.now());
    event.duration_seconds = Some((ending.took.as_secs_f64() * 1000.0).round() / 1000.0);
    event.exit_code = ending.exit_code;
    event.base = Some(won.base.commit.to_string());
    event.result = Some(result.to_string());
    event.branch.clone_from(&record.branch);
    event.loc_added = Some(changed.added);
    event.loc_removed = Some(changed.removed);
    event.files_changed = Some(changed.paths.len() as u64);
    event.artifact_hash = session.hub.repo.commit(result).map(|commit| commit.tree.to_string());
    event.outside_modifies = crate::task::scope::outside(&won.spec.record.modifies, &changed.paths);
    event.error = ending.error.as_deref().map(bounded_error);
    event.log_bytes = Some(ending.log_bytes);
    event.output.clone_from(&ending.output);
    Ok(event)
}

/// Publishes a finished attempt in one push, all of it or nothing, before the hub is read, where `ground` stands there as it is
/// known here. What is not made so is left to [`publish`], after a look.
pub fn publish_at_once(session: &Session, waiting: &Waiting, ground: &[String]) -> Result<AtOnce> {
    let entry = Entry::read(session, waiting)?;
    let edits = entry.edits(session, entry.claim, entry.finish, None)?;
    let made = session.hub.publish_at_once(&edits, ground)?;
    if made == AtOnce::Made {
        session.hub.take_from_outbox(&session.state, &waiting.claim)?;
    }
    Ok(made)
}

/// Publishes a finished attempt under its own claim: one push for claim, branch, notes and the node's record.
pub fn publish(session: &Session, waiting: &Waiting, beat: Option<&NodeRecord>) -> Result<Finished> {
    let entry = Entry::read(session, waiting)?;
    if let Some(why) = &waiting.refused {
        return Ok(Finished::Refused { why: why.clone() });
    }
    if let Some(why) = &waiting.fenced {
        return entry.fence(session, waiting, why.clone());
    }
    let (mut lease, mut finish) = (entry.claim, entry.finish);
    for turn in 0..TRIES {
        let edits = entry.edits(session, lease, finish, beat)?;
        // A server may refuse a whole push for one branch in it. Only the claim counts, so it goes alone then.
        let pushed = match turn {
            0 => session.hub.publish_unsettled(&edits),
            turn if turn < TOGETHER => session.hub.publish_apart(&edits),
            _ => session.hub.publish_unsettled(&edits[..1]),
        };
        let mut answers = match pushed {
            Ok(answers) => answers,
            Err(error) if error.is_unreachable() => return Ok(Finished::Waiting),
            Err(error) => return Err(error.into()),
        };
        if answers.first().is_some_and(|answer| answer.is_yes()) {
            answers.resize(edits.len(), Answer::Unknown);
            entry.mend(session, &edits, &answers);
            session.hub.take_from_outbox(&session.state, &waiting.claim)?;
            return Ok(Finished::Published);
        }
        match session.sync() {
            Ok(()) => {}
            Err(error) if error.is_unreachable() => return Ok(Finished::Waiting),
            Err(error) => return Err(error),
        }
        match entry.look(session)? {
            Look::Landed => {
                entry.drop_branch_if_sealed(session)?;
                session.hub.take_from_outbox(&session.state, &waiting.claim)?;
                return Ok(Finished::Published);
            }
            Look::Ours => {}
            Look::Late(tip) => {
                lease = tip.id;
                finish = entry.late(session, &tip)?;
            }
            Look::Fenced(why) => return entry.fence(session, waiting, why),
        }
    }
    entry.not_taken(session, waiting, lease)
}

/// Publishes whatever waits in the outbox, before anything else is done.
pub fn flush(session: &Session, announce: &dyn Announce) -> Result<usize> {
    let (waiting, broken) = outbox::list(&session.state)?;
    for broken in broken {
        announce.happened(&Happened::Note(format!(
            "outbox record {} {}; it is left as it is",
            broken.file, broken.why
        )));
    }
    let mut left = 0;
    for record in waiting.into_iter().filter(|record| record.refused.is_none()) {
        // A record that is broken, or that the hub will not have, stops nothing else.
        let (task, finished) = match TaskName::parse(&record.task) {
            Ok(task) => (task, publish(session, &record, None)),
            Err(error) => {
                announce.happened(&Happened::Note(format!("outbox record of {}: {error}", record.task)));
                continue;
            }
        };
        let finished = match finished {
            Ok(finished) => finished,
            Err(error) => {
                left += 1;
                announce
                    .happened(&Happened::Note(format!("the waiting result of {task} is left as it is: {error}")));
                continue;
            }
        };
        match finished {
            Finished::Published => {
                announce.happened(&Happened::Note(format!("published the waiting result of {task}")))
            }
            Finished::Fenced { why, kept } => announce.happened(&Happened::Fenced { task, why, kept }),
            Finished::Refused { why } => {
                announce.happened(&Happened::Failed { task, reason: Reason::Publish, error: why });
            }
            Finished::Waiting => {
                left += 1;
                announce.happened(&Happened::Waiting { task });
            }
        }
    }
    Ok(left)
}
