//! A node's steps, each as long as nobody else can come between: claim, check, run, finish, give back, take over,
//! crash and recover (DESIGN.md 3.2 and 3.4).

use git_dispatch::task::transition::{count, ended_badly, taken_away};
use git_dispatch::task::{Phase, Reason};

use super::protocol::{Fate, Mutant};
use super::world::{Commit, Edit, Id, MAX_ATTEMPTS, Refs, Standing, World, Wrong};

/// How often an attempt that ended by itself is tried again.
const RETRY_FAILED: u32 = 1;

/// What a node does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) enum Doing {
    #[default]
    Nothing,
    /// A claim was pushed and is to be checked.
    Bidding(Id),
    /// An executor runs under the claim.
    Running(Id),
}

/// A result in the outbox: it outlives a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Waiting {
    claim: Id,
    finish: Id,
    /// What the next push expects and brings.
    next: (Option<Id>, Id),
    /// Whether the last push was not answered with yes.
    to_look: bool,
}

/// A node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    /// The start that it is in.
    pub(crate) instance: u8,
    /// What it saw of the hub at its last sync.
    pub(crate) view: Refs,
    pub(crate) doing: Doing,
    pub(crate) outbox: Option<Waiting>,
    /// Whether what its last start left is still to be settled.
    pub(crate) recovering: bool,
}

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Sync,
    Bid(u8),
    Check,
    Finish {
        well: bool,
    },
    Push,
    Look,
    GiveBack,
    /// Ends an attempt whose claim is no longer the tip.
    Stop,
    /// Takes a claim back whose node it holds to be lost: rightly or not.
    TakeBack(u8),
    /// Releases a claim of its own that it does not hold.
    Audit(u8),
    Recover,
    Crash,
}

/// One node that looks at the world.
#[derive(Clone, Copy)]
pub(crate) struct Eyes<'a> {
    pub(crate) me: u8,
    pub(crate) node: &'a Node,
    pub(crate) world: &'a World,
    pub(crate) mutant: Option<Mutant>,
}

/// One node at work in the world.
pub(crate) struct Turn<'a> {
    pub(crate) me: u8,
    pub(crate) node: &'a mut Node,
    pub(crate) world: &'a mut World,
    pub(crate) mutant: Option<Mutant>,
}

impl Eyes<'_> {
    fn standing(&self, task: u8) -> Standing {
        self.world.standing(&self.node.view, task, self.mutant == Some(Mutant::LateOverSeal))
    }

    /// The steps that this node may take now.
    pub(crate) fn steps(&self, tasks: u8, may_make: bool, may_crash: bool, steps: &mut Vec<Step>) {
        if may_crash && (self.node.doing != Doing::Nothing || self.node.outbox.is_some()) {
            steps.push(Step::Crash);
        }
        if let Some(waiting) = self.node.outbox {
            steps.push(if waiting.to_look { Step::Look } else { Step::Push });
            return;
        }
        if self.node.recovering {
            steps.push(Step::Recover);
            return;
        }
        match self.node.doing {
            Doing::Bidding(_) => steps.push(Step::Check),
            Doing::Running(claim) => {
                if self.node.view.tips[self.world.get(claim).task as usize] != Some(claim) {
                    steps.push(Step::Stop);
                }
                if may_make {
                    steps.extend([Step::Finish { well: true }, Step::Finish { well: false }, Step::GiveBack]);
                }
                self.look_around(tasks, may_make, steps);
            }
            Doing::Nothing => self.look_around(tasks, may_make, steps),
        }
    }

    /// What the loop does beside its own attempt.
    fn look_around(&self, tasks: u8, may_make: bool, steps: &mut Vec<Step>) {
        if self.node.view != self.world.hub {
            steps.push(Step::Sync);
        }
        if !may_make {
            return;
        }
        let orphan = (0..tasks).find(|task| self.is_orphan(*task));
        if let Some(task) = orphan {
            steps.push(Step::Audit(task));
            return;
        }
        for task in 0..tasks {
            match self.standing(task) {
                Standing::Fresh if self.node.doing == Doing::Nothing => steps.push(Step::Bid(task)),
                Standing::Claimed(tip) => {
                    let tip = self.world.get(tip);
                    let is_idle = self.node.doing == Doing::Nothing;
                    match tip.phase {
                        Phase::Released if is_idle => steps.push(Step::Bid(task)),
                        Phase::Running if tip.holder.0 != self.me => steps.push(Step::TakeBack(task)),
                        _ => {}
                    }
                }
                _ => {}
            }
        }
    }

    /// A claim of this very start that it does not hold.
    fn is_orphan(&self, task: u8) -> bool {
        let Standing::Claimed(tip) = self.standing(task) else { return false };
        let commit = self.world.get(tip);
        let is_own = commit.phase == Phase::Running && commit.holder == (self.me, self.node.instance);
        is_own && self.node.doing != Doing::Running(tip)
    }
}

impl Turn<'_> {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn standing(&self, task: u8) -> Standing {
        self.world.standing(&self.node.view, task, self.is(Mutant::LateOverSeal))
    }

    /// Pushes one edit; says what is answered.
    fn push(&mut self, edit: Edit, fate: Fate) -> bool {
        match fate {
            Fate::Answered => self.world.land(edit),
            Fate::Mute => {
                self.world.land(edit);
                false
            }
            Fate::Late => {
                self.world.fly(edit);
                false
            }
        }
    }

    fn sync(&mut self) {
        self.node.view = self.world.hub.clone();
    }

    /// The child of a claim for the same attempt.
    fn following(&self, before: Id, phase: Phase, reason: Option<Reason>) -> Commit {
        let before = self.world.get(before);
        Commit {
            phase,
            reason,
            parent: Some(before.id),
            attempts: count(before.attempts, Some(before.phase), phase, reason),
            work: None,
            reopens: None,
            ..*before
        }
    }

    pub(crate) fn take(&mut self, step: Step, fate: Fate) {
        match step {
            Step::Sync => self.sync(),
            Step::Bid(task) => self.bid(task, fate),
            Step::Check => self.check(),
            Step::Finish { well } => self.finish(well),
            Step::Push => self.publish(fate),
            Step::Look => self.look(),
            Step::GiveBack => {
                if let Doing::Running(claim) = self.node.doing {
                    self.node.doing = Doing::Nothing;
                    self.release(claim, Reason::Drained, fate);
                }
            }
            Step::Stop => self.node.doing = Doing::Nothing,
            Step::TakeBack(task) | Step::Audit(task) => {
                if let Some(tip) = self.node.view.tips[task as usize] {
                    let is_audit = matches!(step, Step::Audit(_));
                    self.release(tip, if is_audit { Reason::Drained } else { Reason::Lost }, fate);
                    self.sync();
                }
            }
            Step::Recover => self.recover(),
            Step::Crash => {
                self.node.instance += 1;
                self.node.doing = Doing::Nothing;
                self.node.recovering = true;
            }
        }
    }

    fn bid(&mut self, task: u8, fate: Fate) {
        let parent = self.node.view.tips[task as usize];
        let before = parent.map(|id| *self.world.get(id));
        let from = before.map(|commit| commit.phase);
        let commit = Commit {
            id: Id(0),
            task,
            phase: Phase::Running,
            reason: None,
            parent,
            attempts: count(before.map(|commit| commit.attempts).unwrap_or_default(), from, Phase::Running, None),
            holder: (self.me, self.node.instance),
            work: None,
            reopens: None,
        };
        let id = if self.is(Mutant::NoNonce) {
            self.world.make_without_nonce(commit)
        } else {
            self.world.make(self.me, commit)
        };
        self.node.doing = Doing::Bidding(id);
        let answer = self.push(Edit::Claim { task, old: parent, new: Some(id), forced: false }, fate);
        if self.is(Mutant::NoCheck) && answer {
            self.start(id);
        }
    }

    /// One sync, and the look again that makes deleting claim refs safe.
    fn check(&mut self) {
        let Doing::Bidding(bid) = self.node.doing else { return };
        let task = self.world.get(bid).task;
        self.sync();
        self.node.doing = Doing::Nothing;
        match self.standing(task) {
            Standing::Claimed(tip) if tip == bid => self.start(bid),
            Standing::Sealed { leftover: Some(tip), .. } if tip == bid => self.delete(task, tip),
            _ => {}
        }
    }

    fn start(&mut self, claim: Id) {
        self.world.begin(claim);
        self.node.doing = Doing::Running(claim);
    }

    fn delete(&mut self, task: u8, tip: Id) {
        self.world.land(Edit::Claim { task, old: Some(tip), new: None, forced: false });
    }

    /// The attempt ends: the finishing commit is made and lies in the outbox.
    fn finish(&mut self, well: bool) {
        let Doing::Running(claim) = self.node.doing else { return };
        let reason = (!well).then_some(Reason::Exit);
        let attempts = self.world.get(claim).attempts;
        let phase =
            reason.map_or(Phase::Completed, |reason| ended_badly(attempts, reason, RETRY_FAILED, MAX_ATTEMPTS));
        let mut commit = self.following(claim, phase, reason);
        commit.work = well.then_some(claim);
        let mut lease = Some(claim);
        if self.is(Mutant::FinishOnLastSeen) {
            lease = self.node.view.tips[commit.task as usize];
            commit.parent = lease;
        }
        let finish = self.world.make(self.me, commit);
        self.node.outbox = Some(Waiting { claim, finish, next: (lease, finish), to_look: false });
        self.node.doing = Doing::Nothing;
    }

    fn publish(&mut self, fate: Fate) {
        let Some(waiting) = self.node.outbox else { return };
        let commit = *self.world.get(waiting.finish);
        let (old, new) = waiting.next;
        let edit = Edit::Claim { task: commit.task, old, new: Some(new), forced: false };
        if self.push(edit, fate) {
            self.world.say_published(commit.work);
            self.node.outbox = None;
        } else if self.is(Mutant::TimeoutIsNo) && fate != Fate::Answered {
            self.fence(commit.work);
        } else {
            self.node.outbox = Some(Waiting { to_look: true, ..waiting });
        }
    }

    fn fence(&mut self, work: Option<Id>) {
        self.world.say_fenced(work);
        self.node.outbox = None;
    }

    /// The lease was lost, or nobody knows: what does the claim ref say?
    fn look(&mut self) {
        let Some(waiting) = self.node.outbox else { return };
        self.sync();
        let finish = *self.world.get(waiting.finish);
        let tip = match self.standing(finish.task) {
            Standing::Sealed { seal, .. } if self.world.get(seal).work == finish.work && finish.work.is_some() => {
                self.world.say_published(finish.work);
                self.node.outbox = None;
                return;
            }
            Standing::Claimed(tip) => tip,
            _ if self.is(Mutant::MissingIsFree) && self.node.view.tips[finish.task as usize].is_none() => {
                self.node.outbox = Some(Waiting { next: (None, waiting.finish), to_look: false, ..waiting });
                return;
            }
            _ => return self.fence(finish.work),
        };
        if tip == waiting.claim {
            self.node.outbox = Some(Waiting { to_look: false, ..waiting });
            return;
        }
        let is_ours = |one: &Commit| one.id == waiting.finish || finish.work.is_some() && one.work == finish.work;
        if self.world.chain(tip).any(is_ours) {
            self.world.say_published(finish.work);
            self.node.outbox = None;
            return;
        }
        let descends = self.world.chain(tip).any(|one| one.id == waiting.claim);
        let only_released = {
            let mut since = self.world.chain(tip).take_while(|one| one.id != waiting.claim);
            since.all(|one| one.phase == Phase::Released)
        };
        if descends && only_released && finish.phase == Phase::Completed {
            let late = Commit { work: finish.work, ..self.following(tip, Phase::Completed, None) };
            let late = self.world.make(self.me, late);
            self.node.outbox = Some(Waiting { next: (Some(tip), late), to_look: false, ..waiting });
            return;
        }
        self.fence(finish.work);
    }

    /// Ends an attempt for `reason`: released, or failed at the maximum. Nothing hangs on the answer.
    fn release(&mut self, claim: Id, reason: Reason, fate: Fate) {
        let before = *self.world.get(claim);
        let phase = taken_away(before.attempts, reason, MAX_ATTEMPTS);
        let commit = self.following(claim, phase, Some(reason));
        let id = self.world.make(self.me, commit);
        self.push(Edit::Claim { task: before.task, old: Some(claim), new: Some(id), forced: false }, fate);
    }

    /// A new start: sync, then give back what the dead start held, and delete what is void.
    fn recover(&mut self) {
        self.sync();
        self.node.recovering = false;
        for task in 0..self.node.view.tips.len() as u8 {
            match self.standing(task) {
                Standing::Claimed(tip) => {
                    let commit = *self.world.get(tip);
                    let is_own = commit.holder.0 == self.me && commit.holder.1 != self.node.instance;
                    if commit.phase == Phase::Running && is_own {
                        self.release(tip, Reason::Lost, Fate::Answered);
                    }
                }
                Standing::Sealed { leftover: Some(tip), .. } => self.delete(task, tip),
                _ => {}
            }
        }
        self.sync();
        if self.node.outbox.is_some() {
            self.world.wrong(Wrong::Said);
        }
    }
}
