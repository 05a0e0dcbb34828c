//! People and collectors of the simulation: each verb on what the hub says, and each may be killed between its steps.

use git_dispatch::git::ObjectId;
use git_dispatch::task::transition::{Attempts, count};
use git_dispatch::task::{Phase, Reason};

use super::hub::{Commit, Edit, Standing, Task};
use super::net::{Answer, Net};

/// Nobody's number among the nodes.
const PERSON: usize = usize::MAX;

impl Net {
    fn phase_of(&self, task: Task) -> Option<(ObjectId, Phase)> {
        match self.hub.standing(&self.hub.refs, task) {
            Standing::Claimed(tip) => Some((tip, self.hub.get(tip).phase)),
            _ => None,
        }
    }

    /// Adds a claim to a task's chain, or begins one.
    fn extend(&mut self, task: Task, phase: Phase, reopens: Option<ObjectId>) -> Option<ObjectId> {
        let parent = self.phase_of(task).map(|(tip, _)| tip);
        let before = parent.map(|tip| *self.hub.get(tip));
        let reason = (phase == Phase::Released).then_some(Reason::Retry);
        let attempts = match reopens {
            Some(seal) => Attempts { charged: 0, ..self.hub.get(seal).attempts },
            None => count(
                before.map(|one| one.attempts).unwrap_or_default(),
                before.map(|one| one.phase),
                phase,
                reason,
            ),
        };
        let id = self.hub.make(Commit {
            task,
            phase,
            reason,
            parent,
            attempts,
            holder: before.map_or((PERSON, 0), |one| one.holder),
            work: before.filter(|_| phase == Phase::Merged).and_then(|one| one.work),
            reopens,
        });
        let edit = Edit::Claim { task, old: parent, new: Some(id) };
        (self.push(PERSON, &edit) == Answer::Yes && !self.kills()).then_some(id)
    }

    /// Writes the seal, then deletes the ref; killed in between now and then.
    fn seal(&mut self, task: Task, claim: ObjectId) {
        if !self.reaches(PERSON) || self.hub.standing(&self.hub.refs, task) != Standing::Claimed(claim) {
            return;
        }
        self.hub.refs.seals.insert(task, claim);
        if self.is_calm || !self.dice.one_in(4) {
            self.push(PERSON, &Edit::Claim { task, old: Some(claim), new: None });
        }
    }

    pub(crate) fn cancel(&mut self, task: Task) {
        if !self.reaches(PERSON) {
            return;
        }
        let is_sealed = matches!(self.hub.standing(&self.hub.refs, task), Standing::Sealed { .. });
        match self.phase_of(task) {
            _ if is_sealed => {}
            Some((_, Phase::Merged)) => {}
            Some((tip, Phase::Cancelled)) => self.seal(task, tip),
            _ => {
                if let Some(claim) = self.extend(task, Phase::Cancelled, None) {
                    self.seal(task, claim);
                }
            }
        }
    }

    pub(crate) fn retry(&mut self, task: Task) {
        if !self.reaches(PERSON) {
            return;
        }
        match self.hub.standing(&self.hub.refs, task) {
            Standing::Claimed(tip) => match self.hub.get(tip).phase {
                Phase::Failed => drop(self.extend(task, Phase::Released, None)),
                Phase::Cancelled => self.seal(task, tip),
                _ => {}
            },
            Standing::Sealed { leftover: Some(tip), .. } => {
                self.push(PERSON, &Edit::Claim { task, old: Some(tip), new: None });
            }
            Standing::Sealed { seal, leftover: None } if self.hub.get(seal).phase == Phase::Cancelled => {
                self.extend(task, Phase::Released, Some(seal));
            }
            _ => {}
        }
    }

    /// Merges what is completed, and finishes half-done sealings.
    pub(crate) fn collect(&mut self, task: Task) {
        if !self.reaches(PERSON) {
            return;
        }
        if let Standing::Sealed { leftover: Some(tip), .. } = self.hub.standing(&self.hub.refs, task) {
            self.push(PERSON, &Edit::Claim { task, old: Some(tip), new: None });
        }
        match self.phase_of(task) {
            Some((_, Phase::Completed)) => {
                if let Some(claim) = self.extend(task, Phase::Merged, None) {
                    self.seal(task, claim);
                }
            }
            Some((tip, Phase::Merged | Phase::Cancelled)) => self.seal(task, tip),
            _ => {}
        }
    }
}
