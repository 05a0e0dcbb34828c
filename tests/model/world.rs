//! What the fleet shares: claim commits, the hub's refs with compare-and-swap, and pushes that are still under way.
//!
//! Owns the rule "which says what" (DESIGN.md 2.3) as a reader applies it, and what is noticed when a push lands: that
//! is where invariants can be broken, so that is where they are looked at.

use git_dispatch::task::transition::{Attempts, is_legal};
use git_dispatch::task::{Phase, Reason};

/// Charged attempts at most.
pub(crate) const MAX_ATTEMPTS: u32 = 2;

/// A commit's id: who made it, and his how-manieth it is; so that histories in another order meet in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id(pub(crate) u8);

/// A claim commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Commit {
    pub(crate) id: Id,
    pub(crate) task: u8,
    pub(crate) phase: Phase,
    pub(crate) reason: Option<Reason>,
    pub(crate) parent: Option<Id>,
    pub(crate) attempts: Attempts,
    /// The node and the start of it that the attempt is of.
    pub(crate) holder: (u8, u8),
    /// The result, known by the claim under which it was made.
    pub(crate) work: Option<Id>,
    pub(crate) reopens: Option<Id>,
}

/// The hub's refs, or what a clone saw of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Refs {
    /// The claim ref of each task.
    pub(crate) tips: [Option<Id>; 2],
    /// The seals, oldest first: one ref for all tasks, so that a push of it expects their number.
    pub(crate) seals: Vec<Id>,
    /// The results in the target.
    pub(crate) target: Vec<Id>,
}

/// A change of shared refs, with what it expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Edit {
    /// Moves, creates or deletes a claim ref; `forced`: whatever it holds.
    Claim { task: u8, old: Option<Id>, new: Option<Id>, forced: bool },
    /// Moves claim ref and target at once.
    Merge { task: u8, old: Id, new: Id, target: u8 },
    /// Adds a seal.
    Seal { known: u8, claim: Id },
}

/// How a task stands in some clone's eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Fresh,
    Claimed(Id),
    Sealed { seal: Id, leftover: Option<Id> },
}

/// What must never happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Wrong {
    AcceptedTwice,
    Foreign,
    Attempts,
    Charged,
    RanFinished,
    Rewound,
    Illegal,
    Said,
}

/// Everything that is shared, and what has been noticed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) commits: Vec<Commit>,
    pub(crate) hub: Refs,
    pub(crate) flying: Vec<Edit>,
    /// The results that were ever accepted.
    pub(crate) accepted: Vec<Id>,
    /// The results accepted since a person last reopened the task.
    accepted_now: [u8; 2],
    /// The number of the newest attempt that was begun in earnest.
    begun: [u32; 2],
    /// The results of which their nodes were told that they count for nothing.
    fenced: Vec<Id>,
    wrong: u16,
}

impl World {
    pub(crate) fn wrong(&mut self, what: Wrong) {
        self.wrong |= 1 << what as u8;
    }

    pub(crate) fn is_wrong(&self, what: Wrong) -> bool {
        self.wrong & (1 << what as u8) != 0
    }

    pub(crate) fn get(&self, id: Id) -> &Commit {
        self.commits.iter().find(|commit| commit.id == id).expect("a commit that was made")
    }

    /// How many commits an actor has made.
    pub(crate) fn made(&self, actor: u8) -> u8 {
        self.commits.iter().filter(|commit| commit.id.0 >> 4 == actor).count() as u8
    }

    /// Makes a commit; its id says by whom.
    pub(crate) fn make(&mut self, actor: u8, mut commit: Commit) -> Id {
        commit.id = Id(actor << 4 | self.made(actor));
        self.insert(commit)
    }

    /// Makes a commit in which nothing says who made it: two of them are one.
    pub(crate) fn make_without_nonce(&mut self, mut commit: Commit) -> Id {
        const NOBODY: u8 = 15;
        commit.holder = (NOBODY, 0);
        commit.id = Id(NOBODY << 4 | self.made(NOBODY));
        let same = self.commits.iter().find(|one| Commit { id: commit.id, ..**one } == commit);
        match same {
            Some(same) => same.id,
            None => self.insert(commit),
        }
    }

    fn insert(&mut self, commit: Commit) -> Id {
        let at = self.commits.partition_point(|one| one.id < commit.id);
        self.commits.insert(at, commit);
        commit.id
    }

    /// A claim's chain, newest first.
    pub(crate) fn chain(&self, tip: Id) -> impl Iterator<Item = &Commit> {
        std::iter::successors(Some(self.get(tip)), |commit| commit.parent.map(|id| self.get(id)))
    }

    /// The rule "which says what"; with `naive` a chain that stands beside a seal is always taken as live.
    pub(crate) fn standing(&self, refs: &Refs, task: u8, naive: bool) -> Standing {
        // Each later seal reopens the one before it.
        let seal = refs.seals.iter().rev().copied().find(|seal| self.get(*seal).task == task);
        match (refs.tips[task as usize], seal) {
            (None, None) => Standing::Fresh,
            (Some(tip), None) => Standing::Claimed(tip),
            (None, Some(seal)) => Standing::Sealed { seal, leftover: None },
            (Some(tip), Some(seal)) => {
                let reopens = self.chain(tip).last().and_then(|root| root.reopens);
                if naive || reopens == Some(seal) {
                    Standing::Claimed(tip)
                } else {
                    Standing::Sealed { seal, leftover: Some(tip) }
                }
            }
        }
    }

    /// Lets a push reach the hub; says whether the hub took it.
    pub(crate) fn land(&mut self, edit: Edit) -> bool {
        let landed = match edit {
            Edit::Claim { task, old, new, forced } => self.land_claim(task, old, new, forced),
            Edit::Merge { task, old, new, target } => {
                let holds = self.hub.target.len() == target as usize;
                let landed = holds && self.land_claim(task, Some(old), Some(new), false);
                if landed && let Some(work) = self.get(old).work {
                    if self.hub.target.contains(&work) {
                        self.wrong(Wrong::AcceptedTwice);
                    }
                    self.hub.target.push(work);
                }
                landed
            }
            Edit::Seal { known, claim } => {
                let landed = self.hub.seals.len() == known as usize;
                if landed {
                    if self.standing(&self.hub, self.get(claim).task, false) != Standing::Claimed(claim) {
                        self.wrong(Wrong::Illegal);
                    }
                    self.hub.seals.push(claim);
                }
                landed
            }
        };
        self.forget_hopeless();
        landed
    }

    fn land_claim(&mut self, task: u8, old: Option<Id>, new: Option<Id>, forced: bool) -> bool {
        let now = self.hub.tips[task as usize];
        if now.is_some() && now == new {
            // "Up to date": git says yes to whoever pushes what is there already.
            return true;
        }
        if now != old && !forced {
            return false;
        }
        let sealed = matches!(self.standing(&self.hub, task, false), Standing::Sealed { .. });
        if new.is_none() && !sealed {
            self.wrong(Wrong::RanFinished);
        }
        self.hub.tips[task as usize] = new;
        if let Some(new) = new {
            self.notice(task, now, new);
        }
        true
    }

    /// Looks at a claim that has just landed.
    fn notice(&mut self, task: u8, before: Option<Id>, new: Id) {
        let commit = *self.get(new);
        if before.is_some() && commit.parent != before {
            self.wrong(Wrong::Rewound);
        }
        if self.standing(&self.hub, task, false) != Standing::Claimed(new) {
            return;
        }
        if !is_legal(commit.parent.map(|id| self.get(id).phase), commit.phase) {
            self.wrong(Wrong::Illegal);
        }
        if commit.attempts.charged > MAX_ATTEMPTS {
            self.wrong(Wrong::Charged);
        }
        if commit.reopens.is_some() {
            self.accepted_now[task as usize] = 0;
        }
        if commit.phase == Phase::Completed {
            self.accept(&commit);
        }
    }

    fn accept(&mut self, commit: &Commit) {
        let Some(work) = commit.work else { return };
        self.accepted_now[commit.task as usize] += 1;
        if self.accepted_now[commit.task as usize] > 1 {
            self.wrong(Wrong::AcceptedTwice);
        }
        // The child of the very claim that produced it, or of that claim's releases.
        let under = self.chain(commit.id).skip(1).find(|one| one.phase != Phase::Released);
        if under.map(|one| one.id) != Some(work) {
            self.wrong(Wrong::Foreign);
        }
        if self.fenced.contains(&work) {
            self.wrong(Wrong::Said);
        }
        if !self.accepted.contains(&work) {
            self.accepted.push(work);
            self.accepted.sort_unstable();
        }
    }

    /// An executor is started under a claim.
    pub(crate) fn begin(&mut self, claim: Id) {
        let commit = *self.get(claim);
        let task = commit.task;
        let is_sealed = matches!(self.standing(&self.hub, task, false), Standing::Sealed { .. });
        let is_over = |phase| matches!(phase, Phase::Completed | Phase::Merged | Phase::Cancelled);
        if is_sealed || self.chain(claim).any(|one| is_over(one.phase)) {
            self.wrong(Wrong::RanFinished);
        }
        if commit.attempts.begun <= self.begun[task as usize] {
            self.wrong(Wrong::Attempts);
        }
        self.begun[task as usize] = commit.attempts.begun;
    }

    /// A node says that its result is published.
    pub(crate) fn say_published(&mut self, work: Option<Id>) {
        if work.is_some_and(|work| !self.accepted.contains(&work)) {
            self.wrong(Wrong::Said);
        }
    }

    /// A node says that its result counts for nothing, and lets go of it.
    pub(crate) fn say_fenced(&mut self, work: Option<Id>) {
        let Some(work) = work else { return };
        let in_chain = match self.standing(&self.hub, self.get(work).task, false) {
            Standing::Claimed(tip) => {
                let mut chain = self.chain(tip).take_while(|one| one.phase != Phase::Cancelled);
                let is_cancelled = self.get(tip).phase == Phase::Cancelled;
                !is_cancelled && chain.any(|one| one.work == Some(work))
            }
            _ => false,
        };
        if in_chain || self.hub.target.contains(&work) {
            self.wrong(Wrong::Said);
        }
        self.fenced.push(work);
        self.fenced.sort_unstable();
        self.fenced.dedup();
    }

    /// Puts a push under way: it may land at any later time, or never.
    pub(crate) fn fly(&mut self, edit: Edit) {
        let at = self.flying.partition_point(|one| *one < edit);
        self.flying.insert(at, edit);
        self.forget_hopeless();
    }

    /// Forgets pushes whose expectation can never hold again, since no commit becomes a tip twice.
    fn forget_hopeless(&mut self) {
        let hub = &self.hub;
        self.flying.retain(|edit| match *edit {
            Edit::Claim { forced: true, .. } => true,
            Edit::Claim { task, old, .. } => old.is_none() || hub.tips[task as usize] == old,
            Edit::Merge { task, old, target, .. } => {
                hub.tips[task as usize] == Some(old) && hub.target.len() == target as usize
            }
            Edit::Seal { known, .. } => hub.seals.len() == known as usize,
        });
    }
}

/// What must be reachable for a search to prove anything.
impl World {
    /// Whether some accepted tip's chain begins, newest last, with these phases.
    pub(crate) fn has(&self, phases: &[Phase; 2]) -> bool {
        self.hub.tips.iter().flatten().any(|tip| {
            let chain: Vec<Phase> = self.chain(*tip).take(2).map(|one| one.phase).collect();
            chain == [phases[1], phases[0]]
        })
    }

    pub(crate) fn has_fenced(&self) -> bool {
        !self.fenced.is_empty()
    }

    pub(crate) fn has_sealed(&self, phase: Phase) -> bool {
        self.hub.seals.iter().any(|seal| self.get(*seal).phase == phase)
    }

    pub(crate) fn has_reopened(&self) -> bool {
        self.hub.tips.iter().flatten().any(|tip| self.get(*tip).reopens.is_some())
    }

    pub(crate) fn has_void_claim(&self) -> bool {
        (0..2).any(|task| match self.standing(&self.hub, task, false) {
            Standing::Sealed { leftover: Some(tip), .. } => self.get(tip).phase == Phase::Running,
            _ => false,
        })
    }
}
