//! One record of the outbox with what it points at: what its push carries, and what became of its lease.

use super::{Finished, write};
use crate::git::objects::NewEntry;
use crate::git::{Error as GitError, ObjectId};
use crate::hub::format::ClaimRecord;
use crate::hub::format::claim::{LOG_FILE, STATUS_FILE};
use crate::hub::nodes::NodeRecord;
use crate::hub::notes::Addition;
use crate::hub::outbox::Waiting;
use crate::hub::snapshot::{Claim, Snapshot, Standing, Task, chain_of, read_claim};
use crate::hub::{Answer, Edit, Error as HubError, Layout};
use crate::protocol::error::Result;
use crate::protocol::session::Session;
use crate::task::event::Event;
use crate::task::name::NameKind;
use crate::task::transition::Attempts;
use crate::task::{Name, Phase, TaskName};

/// What the claim ref says after a push that was not answered with yes.
pub(super) enum Look {
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
pub(super) struct Entry {
    pub(super) task: TaskName,
    pub(super) claim: ObjectId,
    pub(super) finish: ObjectId,
    pub(super) record: ClaimRecord,
    pub(super) result: ObjectId,
    pub(super) event: Event,
    pub(super) log: Option<ObjectId>,
    pub(super) node: Name,
}

impl Entry {
    pub(super) fn read(session: &Session, waiting: &Waiting) -> Result<Self> {
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
    pub(super) fn edits(
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
    pub(super) fn branch_edit(&self, session: &Session, known: Option<ObjectId>) -> Option<Edit> {
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
            let text = session.hub.repo.blob(log).unwrap_or_default();
            let name = session.hub.layout.logs(&self.node);
            let known = session.hub.repo.ref_value(&name);
            let additions = [Addition { object: spec, text }];
            edits.extend(session.hub.add_to_notes(&name, known, &additions, &session.by, &session.ambient)?);
        }
        Ok(edits)
    }

    /// Builds projections that lost again, on what is there, and tries once more; they explain and never decide, so a
    /// second loss is left to whoever repairs them.
    pub(super) fn mend(&self, session: &Session, edits: &[Edit], answers: &[Answer]) {
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
        again.extend(notes.into_iter().filter(|edit| lost.contains(&edit.name)).map(|edit| {
            // A hub that has none of them, or lost them, gets them with their history.
            let old = edit.old.filter(|_| now.contains_key(&edit.name));
            Edit { old, ..edit }
        }));
        // Each for itself: what is refused for good must not take the others with it.
        for edit in again {
            let _ = session.hub.publish_unsettled(&[edit]);
        }
    }

    pub(super) fn look(&self, session: &Session) -> Result<Look> {
        self.look_at(session, &session.snapshot()?)
    }

    /// Looks at what was read already.
    pub(super) fn look_at(&self, session: &Session, snapshot: &Snapshot) -> Result<Look> {
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
            return Ok(Look::Late(tip.clone()));
        }
        let holder = tip.record.node.as_deref().unwrap_or("somebody");
        Ok(Look::Fenced(format!(
            "the task is {} by {holder}, attempt {}",
            tip.record.phase, tip.record.attempts.begun
        )))
    }

    /// Writes the finish again as the child of a release that nobody retook.
    pub(super) fn late(&self, session: &Session, tip: &Claim) -> Result<ObjectId> {
        let repo = &session.hub.repo;
        let mut record =
            ClaimRecord::following(&self.record, Phase::Completed, &session.state.instance, session.nonce()?);
        // What came in a file began its attempt where nobody saw it.
        let (ours, theirs) = (self.record.attempts, tip.record.attempts);
        record.attempts =
            Attempts { begun: ours.begun.max(theirs.begun), charged: ours.charged.max(theirs.charged) };
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

    /// Takes the task branch back where the task ended for good before our push came: whoever sealed it deleted it.
    pub(super) fn drop_branch_if_sealed(&self, session: &Session) -> Result<()> {
        let snapshot = session.snapshot()?;
        let is_sealed = |task: &Task| matches!(task.standing, Standing::Sealed { .. });
        if session.config.collect.delete_branches && snapshot.get(&self.task).is_some_and(is_sealed) {
            self.drop_branch(session);
        }
        Ok(())
    }

    /// Keeps fenced work where everybody can look at it, and changes nothing else.
    pub(super) fn fence(&self, session: &Session, waiting: &Waiting, why: String) -> Result<Finished> {
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
