//! Finish: an attempt ends, and what it made arrives with the one commit that says so (DESIGN.md 3.4).
//!
//! Owns the finishing commit, the outbox around its push, and the rules for a lease that was lost. The answer for the
//! claim alone decides; branch and notes are projections, built again and tried again.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::announce::{Announce, Happened};
use super::claim::{Won, write};
use super::error::Result;
use super::session::Session;
use crate::git::objects::NewEntry;
use crate::git::{Error as GitError, ObjectId};
use crate::hub::format::ClaimRecord;
use crate::hub::format::claim::{LOG_FILE, STATUS_FILE};
use crate::hub::nodes::NodeRecord;
use crate::hub::notes::Addition;
use crate::hub::outbox::{self, Waiting};
use crate::hub::snapshot::{Claim, Standing, chain_of, read_claim};
use crate::hub::{Answer, Edit, Error as HubError, Layout};
use crate::task::event::{Event, bounded_error};
use crate::task::name::NameKind;
use crate::task::transition::{count, ended_badly};
use crate::task::{Hold, Name, Phase, Reason, TaskName};

/// How much of the output's end goes into the claim's own tree.
const TAIL: usize = 16 * 1024;

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
        false => Some(session.hub.repo.write_blob(&ending.log)?.to_string()),
    };
    let waiting = Waiting {
        v: 1,
        task: before.task.to_string(),
        claim: won.claim.id.to_string(),
        finish: finish.to_string(),
        log,
        node: before.node.clone().unwrap_or_default(),
        fenced: None,
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

/// Publishes a finished attempt under its own claim: one push for claim, branch, notes and the node's record.
pub fn publish(session: &Session, waiting: &Waiting, beat: Option<&NodeRecord>) -> Result<Finished> {
    let entry = Entry::read(session, waiting)?;
    if let Some(why) = &waiting.fenced {
        return entry.fence(session, waiting, why.clone());
    }
    let (mut lease, mut finish) = (entry.claim, entry.finish);
    for turn in 0..TRIES {
        let edits = entry.edits(session, lease, finish, beat)?;
        // A server may refuse a whole push for one branch in it. Only the claim counts, so it goes alone then.
        let pushed = if turn < TOGETHER { &edits[..] } else { &edits[..1] };
        let mut answers = match session.hub.publish_unsettled(pushed) {
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
    Ok(Finished::Waiting)
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
    for record in waiting {
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
            Finished::Waiting => {
                left += 1;
                announce.happened(&Happened::Waiting { task });
            }
        }
    }
    Ok(left)
}

/// What the claim ref says after a push that was not answered with yes.
enum Look {
    /// Our finish is in the chain, or the seal names our result.
    Landed,
    /// The claim is still ours: the push may be tried again.
    Ours,
    /// Given back, and nobody retook it: a successful result may still become its child.
    Late(Box<Claim>),
    /// Somebody else's.
    Fenced(String),
}

/// A record of the outbox with what it points at.
struct Entry {
    task: TaskName,
    claim: ObjectId,
    finish: ObjectId,
    record: ClaimRecord,
    result: ObjectId,
    event: Event,
    log: Option<ObjectId>,
    node: Name,
}

impl Entry {
    fn read(session: &Session, waiting: &Waiting) -> Result<Self> {
        let broken = |detail: &str| {
            HubError::Git(GitError::Storage {
                what: format!("the outbox record of {}", waiting.task),
                detail: detail.to_owned(),
            })
        };
        let id = |text: &str| ObjectId::from_hex(text.as_bytes()).map_err(|_| broken("holds no object id"));
        let finish = id(&waiting.finish)?;
        let read = read_claim(&session.hub.repo, finish).map_err(|why| broken(&why.to_string()))?;
        let event = crate::hub::snapshot::status_of(&session.hub.repo, finish);
        Ok(Self {
            task: TaskName::parse(&waiting.task)?,
            claim: id(&waiting.claim)?,
            finish,
            result: read.result.ok_or_else(|| broken("has no result"))?,
            record: read.record,
            event: event.ok_or_else(|| broken("has no status record"))?,
            log: waiting.log.as_deref().map(id).transpose()?,
            node: Name::new(NameKind::Node, &waiting.node)?,
        })
    }

    /// The claim first, then its projections.
    fn edits(
        &self,
        session: &Session,
        lease: ObjectId,
        finish: ObjectId,
        beat: Option<&NodeRecord>,
    ) -> Result<Vec<Edit>> {
        let mut edits = vec![Edit::new(session.hub.layout.claim(&self.task), Some(lease), Some(finish))];
        edits.extend(self.branch_edit(session, None));
        edits.extend(self.note_edits(session)?);
        if let Some(beat) = beat {
            edits.push(session.hub.beat(&self.node, beat, &session.by, &session.ambient)?);
        }
        Ok(edits)
    }

    /// The branch must hold what an earlier attempt by this node left there, or nothing.
    fn branch_edit(&self, session: &Session, known: Option<ObjectId>) -> Option<Edit> {
        let branch = self.record.branch.as_ref()?;
        let name = Layout::branch_ref(branch);
        let old = known.or_else(|| {
            if session.hub.is_embedded() {
                return session.hub.repo.ref_value(&name);
            }
            let earlier = chain_of(&session.hub.repo, self.claim);
            earlier
                .iter()
                .find(|claim| claim.record.branch.as_ref() == Some(branch) && claim.result.is_some())?
                .result
        });
        (old != Some(self.result)).then(|| Edit::new(name, old, Some(self.result)))
    }

    fn note_edits(&self, session: &Session) -> Result<Vec<Edit>> {
        let spec = self.record.spec;
        let additions = [Addition::line(spec, &self.event)];
        let mut edits: Vec<Edit> =
            session.hub.add_status(&self.node, &additions, &session.by, &session.ambient)?.into_iter().collect();
        if let Some(log) = self.log {
            let text = super::logs::framed(&self.record, &session.hub.repo.blob(log).unwrap_or_default());
            let name = session.hub.layout.logs(&self.node);
            let known = session.hub.repo.ref_value(&name);
            let additions = [Addition { object: spec, text }];
            edits.extend(session.hub.add_to_notes(&name, known, &additions, &session.by, &session.ambient)?);
        }
        Ok(edits)
    }

    /// Builds projections that lost again, on what is there, and tries once more; they explain and never decide, so a
    /// second loss is left to whoever repairs them.
    fn mend(&self, session: &Session, edits: &[Edit], answers: &[Answer]) {
        let lost: Vec<String> = edits
            .iter()
            .zip(answers)
            .filter(|(_, answer)| !answer.is_yes())
            .map(|(edit, _)| edit.name.clone())
            .collect();
        if lost.is_empty() {
            return;
        }
        let Ok(now) = session.hub.fetch_unmirrored(&lost) else {
            return;
        };
        let branch = self.record.branch.as_deref().map(Layout::branch_ref);
        let mut again = Vec::new();
        for (name, id) in &now {
            if Some(name) == branch.as_ref() {
                // Only a branch that this task's own chain explains is moved; any other is somebody's.
                let is_own = chain_of(&session.hub.repo, self.claim).iter().any(|claim| claim.result == Some(*id));
                again.extend(self.branch_edit(session, Some(*id)).filter(|_| is_own));
            } else {
                let local = session.hub.local_name(name);
                let old = session.hub.repo.ref_value(&local);
                let _ = session.hub.repo.change_refs(
                    &[crate::git::refs::RefChange::new(local, old, Some(*id))],
                    "git dispatch: seen on the hub",
                );
            }
        }
        if let Some(name) = branch.filter(|name| lost.contains(name) && !now.contains_key(name)) {
            again.push(Edit::new(name, None, Some(self.result)));
        }
        let notes = self.note_edits(session).unwrap_or_default();
        again.extend(notes.into_iter().filter(|edit| lost.contains(&edit.name)));
        // Each for itself: what is refused for good must not take the others with it.
        for edit in again {
            let _ = session.hub.publish_unsettled(&[edit]);
        }
    }

    fn look(&self, session: &Session) -> Result<Look> {
        let snapshot = session.snapshot()?;
        let Some(task) = snapshot.get(&self.task) else {
            return Ok(Look::Fenced("the task is no longer on the queue".to_owned()));
        };
        let result = self.result.to_string();
        let tip = match &task.standing {
            Standing::Sealed { seal, .. } if seal.event == "merged" && seal.result.as_ref() == Some(&result) => {
                return Ok(Look::Landed);
            }
            Standing::Sealed { seal, .. } => {
                return Ok(Look::Fenced(format!("the task is {} already", seal.event)));
            }
            Standing::Claimed(tip) => tip,
            Standing::Fresh => return Ok(Look::Fenced("the claim is gone".to_owned())),
            Standing::Unknown(_) => {
                return Ok(Look::Fenced("the task's records cannot be read".to_owned()));
            }
        };
        if tip.id == self.claim {
            return Ok(Look::Ours);
        }
        let chain = chain_of(&session.hub.repo, tip.id);
        let since: Vec<&Claim> = chain.iter().take_while(|claim| claim.id != self.claim).collect();
        let descends = since.len() < chain.len();
        // An earlier try, perhaps of a process that was killed, may have landed as another commit of the same attempt: as
        // the child of our claim, or of its release.
        let is_ours = |claim: &Claim| {
            let is_attempt = claim.record.attempts.begun == self.record.attempts.begun;
            descends && is_attempt && claim.record.phase == self.record.phase && claim.result == Some(self.result)
        };
        if chain.iter().any(|claim| claim.id == self.finish) || since.iter().any(|claim| is_ours(claim)) {
            return Ok(Look::Landed);
        }
        let only_released = since
            .iter()
            .all(|claim| claim.record.phase == Phase::Released && claim.record.spec == self.record.spec);
        if descends && only_released && self.record.phase == Phase::Completed {
            return Ok(Look::Late(Box::new(tip.clone())));
        }
        let holder = tip.record.node.as_deref().unwrap_or("somebody");
        Ok(Look::Fenced(format!(
            "the task is {} by {holder}, attempt {}",
            tip.record.phase, tip.record.attempts.begun
        )))
    }

    /// Writes the finish again as the child of a release that nobody retook.
    fn late(&self, session: &Session, tip: &Claim) -> Result<ObjectId> {
        let repo = &session.hub.repo;
        let mut record =
            ClaimRecord::following(&self.record, Phase::Completed, &session.state.instance, session.nonce()?);
        record.attempts = tip.record.attempts;
        let status = repo.file_in(self.finish, STATUS_FILE).unwrap_or_default();
        let log = repo.file_in(self.finish, LOG_FILE).unwrap_or_default();
        let files = [NewEntry { name: STATUS_FILE, content: &status }, NewEntry { name: LOG_FILE, content: &log }];
        write(session, &record, Some(tip.id), Some(self.result), &files)
    }

    /// Takes the task branch back that went out beside a claim which did not get through: nobody else would.
    fn drop_branch(&self, session: &Session) {
        let name = self.record.branch.as_deref().map(Layout::branch_ref);
        if let Some(name) = name.filter(|_| !session.hub.is_embedded()) {
            let _ = session.hub.publish_unsettled(&[Edit::new(name, Some(self.result), None)]);
        }
    }

    /// Keeps fenced work where everybody can look at it, and changes nothing else.
    fn fence(&self, session: &Session, waiting: &Waiting, why: String) -> Result<Finished> {
        let name = session.hub.layout.attempt(&self.task, self.record.attempts.begun, self.node.as_str());
        let mut kept = None;
        if let Ok(answers) = session.hub.publish(&[Edit::new(name.clone(), None, Some(self.result))]) {
            if answers[0].is_yes() {
                kept = Some(name);
            } else if let Some(id) = session.hub.look(std::slice::from_ref(&name))?.get(&name)
                && *id == self.result
            {
                kept = Some(name);
            }
        }
        if kept.is_some() {
            self.drop_branch(session);
            session.hub.take_from_outbox(&session.state, &waiting.claim)?;
        } else {
            // The pin stays, and with it the work.
            kept = Some(Layout::outbox(&waiting.claim));
            let fenced = Waiting { fenced: Some(why.clone()), ..waiting.clone() };
            session.hub.put_in_outbox(&session.state, &fenced)?;
        }
        Ok(Finished::Fenced { why, kept })
    }
}
