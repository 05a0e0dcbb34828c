//! People and collectors: cancel, collect, seal and retry (DESIGN.md 2.3, "Sealing").

use git_dispatch::task::transition::{Attempts, count};
use git_dispatch::task::{Phase, Reason};

use super::protocol::{Fate, Mutant};
use super::world::{Commit, Edit, Id, Refs, Standing, World};

/// What somebody is after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Verb {
    Cancel,
    Collect,
    Retry,
}

/// How far he has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum At {
    Plan,
    /// A claim is to be pushed.
    Push(Edit, Id),
    /// The claim is there: sync and look, before it is sealed.
    Look(Id),
    /// The look saw so many seals.
    Seal(Id, u8),
    /// Sealed, or void: the ref goes.
    Delete(Id),
}

/// Somebody at a clone of his own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Person {
    at: Option<(Verb, u8, At)>,
    /// How many verbs he has begun.
    pub(crate) begun: u8,
    view: Refs,
}

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Begin(Verb, u8),
    Go,
    /// The command is killed.
    Die,
}

/// One person who looks at the world.
#[derive(Clone, Copy)]
pub(crate) struct Eyes<'a> {
    pub(crate) person: &'a Person,
    pub(crate) world: &'a World,
}

impl Eyes<'_> {
    pub(crate) fn steps(&self, tasks: u8, may_begin: bool, may_make: bool, may_die: bool, steps: &mut Vec<Step>) {
        match self.person.at {
            None if may_begin && may_make => {
                for task in 0..tasks {
                    for verb in [Verb::Cancel, Verb::Collect, Verb::Retry] {
                        if self.is_worth(verb, task) {
                            steps.push(Step::Begin(verb, task));
                        }
                    }
                }
            }
            None => {}
            Some((_, _, at)) => {
                if at != At::Plan || may_make {
                    steps.push(Step::Go);
                }
                if may_die && at != At::Plan {
                    steps.push(Step::Die);
                }
            }
        }
    }

    /// A verb that would find nothing to do is none.
    fn is_worth(&self, verb: Verb, task: u8) -> bool {
        let standing = self.world.standing(&self.world.hub, task, false);
        let phase = match standing {
            Standing::Claimed(tip) => Some(self.world.get(tip).phase),
            _ => None,
        };
        let is_sealed = matches!(standing, Standing::Sealed { .. });
        match verb {
            Verb::Cancel => !is_sealed && phase != Some(Phase::Merged),
            Verb::Collect => matches!(phase, Some(Phase::Completed | Phase::Merged)),
            Verb::Retry => is_sealed || matches!(phase, Some(Phase::Failed | Phase::Cancelled)),
        }
    }

    /// Whether the next step is a push, whose answer may be lost.
    pub(crate) fn pushes(&self) -> bool {
        matches!(self.person.at, Some((_, _, At::Push(..) | At::Seal(..) | At::Delete(_))))
    }
}

/// One person at work in the world.
pub(crate) struct Turn<'a> {
    pub(crate) me: u8,
    pub(crate) person: &'a mut Person,
    pub(crate) world: &'a mut World,
    pub(crate) mutant: Option<Mutant>,
}

impl Turn<'_> {
    pub(crate) fn take(&mut self, step: Step, fate: Fate) {
        match step {
            Step::Begin(verb, task) => {
                self.person.begun += 1;
                self.person.at = Some((verb, task, At::Plan));
                self.go(fate);
            }
            Step::Go => self.go(fate),
            Step::Die => self.person.at = None,
        }
    }

    fn push(&mut self, edit: Edit, fate: Fate) -> bool {
        if fate == Fate::Late {
            self.world.fly(edit);
            return false;
        }
        self.world.land(edit) && fate == Fate::Answered
    }

    fn go(&mut self, fate: Fate) {
        let Some((verb, task, at)) = self.person.at else { return };
        let next = match at {
            At::Plan => {
                self.person.view = self.world.hub.clone();
                self.plan(verb, task)
            }
            At::Push(edit, claim) => {
                let is_done = self.push(edit, fate);
                match (is_done, verb) {
                    (true, Verb::Retry) => None,
                    (true, _) => Some(At::Look(claim)),
                    (false, _) => Some(At::Plan),
                }
            }
            At::Look(claim) => {
                self.person.view = self.world.hub.clone();
                let is_open = self.standing(task) == Standing::Claimed(claim);
                Some(if is_open { At::Seal(claim, self.person.view.seals.len() as u8) } else { At::Delete(claim) })
            }
            At::Seal(claim, known) => match self.push(Edit::Seal { known, claim }, fate) {
                true => Some(At::Delete(claim)),
                false => Some(At::Look(claim)),
            },
            At::Delete(claim) => {
                self.push(Edit::Claim { task, old: Some(claim), new: None, forced: false }, fate);
                // A retry that found a sealing half-done goes on.
                (verb == Verb::Retry).then_some(At::Plan)
            }
        };
        self.person.at = next.map(|at| (verb, task, at));
    }

    fn standing(&self, task: u8) -> Standing {
        self.world.standing(&self.person.view, task, self.mutant == Some(Mutant::LateOverSeal))
    }

    fn plan(&mut self, verb: Verb, task: u8) -> Option<At> {
        let standing = self.standing(task);
        let tip = match standing {
            Standing::Claimed(tip) => Some(*self.world.get(tip)),
            _ => None,
        };
        let phase = tip.map(|tip| tip.phase);
        match (verb, standing) {
            (Verb::Cancel, Standing::Sealed { .. }) => None,
            (Verb::Cancel | Verb::Retry, Standing::Claimed(tip)) if phase == Some(Phase::Cancelled) => {
                Some(At::Look(tip))
            }
            (Verb::Cancel, _) if phase == Some(Phase::Merged) => None,
            (Verb::Cancel, _) => {
                let claim = self.make(task, tip, Phase::Cancelled, None);
                let forced = self.mutant == Some(Mutant::CancelForced);
                Some(At::Push(Edit::Claim { task, old: tip.map(|tip| tip.id), new: Some(claim), forced }, claim))
            }
            (Verb::Collect, Standing::Claimed(old)) if phase == Some(Phase::Completed) => {
                let claim = self.make(task, tip, Phase::Merged, None);
                let target = self.person.view.target.len() as u8;
                Some(At::Push(Edit::Merge { task, old, new: claim, target }, claim))
            }
            (Verb::Collect, Standing::Claimed(tip)) if phase == Some(Phase::Merged) => Some(At::Look(tip)),
            (Verb::Retry, Standing::Sealed { seal, leftover }) => {
                if self.world.get(seal).phase == Phase::Merged {
                    return None;
                }
                if let Some(leftover) = leftover {
                    return Some(At::Delete(leftover));
                }
                let claim = self.make(task, None, Phase::Released, Some(seal));
                Some(At::Push(Edit::Claim { task, old: None, new: Some(claim), forced: false }, claim))
            }
            (Verb::Retry, Standing::Claimed(old)) if phase == Some(Phase::Failed) => {
                let claim = self.make(task, tip, Phase::Released, None);
                Some(At::Push(Edit::Claim { task, old: Some(old), new: Some(claim), forced: false }, claim))
            }
            _ => None,
        }
    }

    fn make(&mut self, task: u8, tip: Option<Commit>, phase: Phase, reopens: Option<Id>) -> Id {
        let reason = (phase == Phase::Released).then_some(Reason::Retry);
        let before = tip.map(|tip| tip.attempts).unwrap_or_default();
        let attempts = match reopens {
            Some(seal) => Attempts { begun: self.world.get(seal).attempts.begun, charged: 0 },
            None => count(before, tip.map(|tip| tip.phase), phase, reason),
        };
        let commit = Commit {
            id: Id(0),
            task,
            phase,
            reason,
            parent: tip.map(|tip| tip.id),
            attempts,
            holder: tip.map_or((self.me, 0), |tip| tip.holder),
            // The seal of merged work names the result.
            work: tip.filter(|_| phase == Phase::Merged).and_then(|tip| tip.work),
            reopens,
        };
        self.world.make(self.me, commit)
    }
}
