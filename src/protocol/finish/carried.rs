//! Results that come in a file: the same rules as for those that are pushed (DESIGN.md 6).
//!
//! Owns the look at one chain that comes in, and what is packed of those that wait. The one difference to a push is that
//! the hub saw nothing of the attempt: it begins and ends in one move, so each of its steps is checked here.

use super::entry::{Entry, Look};
use super::{Finished, Waiting};
use crate::git::ObjectId;
use crate::hub::Edit;
use crate::hub::notes::Addition;
use crate::hub::snapshot::{Claim, Snapshot, Task, chain_of};
use crate::protocol::error::Result;
use crate::protocol::session::Session;
use crate::task::transition::{count, is_legal};
use crate::task::{Name, Phase, TaskName};

/// A result that came in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// The task.
    pub task: TaskName,
    /// The claim that ends the attempt.
    pub finish: ObjectId,
    /// The node that it came from.
    pub node: Name,
}

/// What is to be done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The hub has it.
    Landed,
    /// The claim moves to it; the branch goes with it.
    Move {
        /// The claim's edit.
        claim: Edit,
        /// The branch's.
        branch: Option<Edit>,
    },
    /// It counts for nothing.
    Fenced(String),
}

impl Carried {
    /// Looks at where the task stands on the hub, as it was last read.
    pub fn judge(&self, session: &Session, snapshot: &Snapshot) -> Result<Step> {
        let repo = &session.hub.repo;
        let chain = chain_of(repo, self.finish);
        let Some(task) = snapshot.get(&self.task) else {
            return Ok(Step::Fenced("the task is not on the queue".to_owned()));
        };
        let there: Vec<ObjectId> = task
            .claim()
            .map(|tip| chain_of(repo, tip.id).iter().map(|claim| claim.id).collect())
            .unwrap_or_default();
        if there.contains(&self.finish) {
            return Ok(Step::Landed);
        }
        let common = chain.iter().position(|claim| there.contains(&claim.id));
        let unsound = common.and_then(|common| self.unsound(session, task, &chain[..=common]));
        let entry = self.entry(session, common.and_then(|at| chain.get(at)).or(chain.last()))?;
        let branch = entry.branch_edit(session, None).filter(|edit| is_task_branch(session, edit));
        let moved = |lease: ObjectId, finish: ObjectId| Step::Move {
            claim: Edit::new(session.hub.layout.claim(&self.task), Some(lease), Some(finish)),
            branch: branch.clone(),
        };
        Ok(match (entry.look_at(session, snapshot)?, unsound) {
            (Look::Landed, _) => Step::Landed,
            (Look::Fenced(why), _) => Step::Fenced(why),
            (_, Some(why)) => Step::Fenced(why),
            (Look::Ours, None) => moved(entry.claim, self.finish),
            (Look::Late(tip), None) => moved(tip.id, entry.late(session, &tip)?),
        })
    }

    /// Keeps the work of a result that counts for nothing, where everybody can look at it. Returns the ref, and whether it
    /// was kept before.
    pub fn keep(&self, session: &Session, why: &str) -> Result<(Option<String>, bool)> {
        let entry = self.entry(session, None)?;
        if entry.record.base == Some(entry.result) {
            return Ok((None, false));
        }
        let name = session.hub.layout.attempt(&self.task, entry.record.attempts.begun, self.node.as_str());
        if session.hub.known(&name) == Some(entry.result) {
            return Ok((Some(name), true));
        }
        let waiting = Waiting {
            v: 1,
            task: self.task.to_string(),
            claim: self.finish.to_string(),
            finish: self.finish.to_string(),
            node: self.node.to_string(),
            ..Waiting::default()
        };
        match entry.fence(session, &waiting, why.to_owned())? {
            Finished::Fenced { kept, .. } => Ok((kept, false)),
            _ => Ok((None, false)),
        }
    }

    fn entry(&self, session: &Session, common: Option<&Claim>) -> Result<Entry> {
        Entry::read(
            session,
            &Waiting {
                task: self.task.to_string(),
                claim: common.map_or(self.finish, |claim| claim.id).to_string(),
                finish: self.finish.to_string(),
                node: self.node.to_string(),
                ..Waiting::default()
            },
        )
    }

    /// Says what is wrong with the steps from the hub's claim (the last of `chain`) to the end of the attempt (the first).
    fn unsound(&self, session: &Session, task: &Task, chain: &[Claim]) -> Option<String> {
        let is_its = |claim: &Claim| claim.record.node.as_deref() == Some(self.node.as_str());
        if let Some(start) = chain.last().filter(|start| !is_its(start)) {
            let holder = start.record.node.as_deref().unwrap_or("nobody");
            return Some(format!("the task is {} by {holder}", start.record.phase));
        }
        for pair in chain.windows(2) {
            let (next, before) = (&pair[0].record, &pair[1].record);
            let may_come =
                matches!(next.phase, Phase::Running | Phase::Completed | Phase::Failed | Phase::Released);
            let counted = count(before.attempts, Some(before.phase), next.phase, next.reason);
            let is_sound = may_come
                && is_legal(Some(before.phase), next.phase)
                && is_its(&pair[0])
                && next.task == self.task
                && next.spec == task.spec.id
                && next.attempts == counted
                && next.reopens.is_none()
                && pair[0].result.is_none_or(|result| session.hub.repo.commit(result).is_some());
            if !is_sound {
                return Some(format!("its step to {} does not follow from the one before", next.phase));
            }
        }
        None
    }
}

/// A branch that came in a file is written only where task branches are.
fn is_task_branch(session: &Session, edit: &Edit) -> bool {
    let branch = edit.name.strip_prefix("refs/heads/").unwrap_or_default();
    branch.starts_with(session.config.branch_prefix.as_str())
}

/// Writes the notes that results which wait would bring, and publishes nothing: the tips of status and output notes.
pub fn notes(session: &Session, waiting: &[Waiting]) -> Result<(Option<ObjectId>, Option<ObjectId>)> {
    let (mut lines, mut outputs) = (Vec::new(), Vec::new());
    for waiting in waiting {
        let entry = Entry::read(session, waiting)?;
        lines.push(Addition::line(entry.record.spec, &entry.event));
        if let Some(log) = entry.log {
            let text = session.hub.repo.blob(log).unwrap_or_default();
            outputs.push(Addition { object: entry.record.spec, text });
        }
    }
    let hub = &session.hub;
    let status = hub.add_status(&session.node, &lines, &session.by, &session.ambient)?;
    let logs = hub.layout.logs(&session.node);
    let known = hub.repo.ref_value(&logs);
    let logs = hub.add_to_notes(&logs, known, &outputs, &session.by, &session.ambient)?;
    Ok((status.and_then(|edit| edit.new), logs.and_then(|edit| edit.new)))
}
