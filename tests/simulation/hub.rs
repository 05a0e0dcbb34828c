//! The hub of the simulation: refs with compare-and-swap in memory, pushes that land late, and an eye on the invariants
//! at every landing.

use std::collections::{BTreeMap, BTreeSet};

use git_dispatch::git::ObjectId;
use git_dispatch::task::transition::{Attempts, is_legal};
use git_dispatch::task::{Phase, Reason};

/// Charged attempts at most.
pub(crate) const MAX_ATTEMPTS: u32 = 3;

/// Milliseconds since the simulation began.
pub(crate) type Time = u64;

/// A task's number; its name is made from it.
pub(crate) type Task = usize;

/// A small generator: the same seed draws the same numbers.
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from)
    }

    /// True once in so many times.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// A claim commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) task: Task,
    pub(crate) phase: Phase,
    pub(crate) reason: Option<Reason>,
    pub(crate) parent: Option<ObjectId>,
    pub(crate) attempts: Attempts,
    /// The node, and which start of it.
    pub(crate) holder: (usize, u64),
    /// The result, known by the claim under which it was made.
    pub(crate) work: Option<ObjectId>,
    pub(crate) reopens: Option<ObjectId>,
}

/// What a node says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Beat {
    pub(crate) number: (u64, u64),
    pub(crate) claims: Vec<ObjectId>,
    pub(crate) interval: Time,
    pub(crate) stopped: bool,
    pub(crate) landed: Time,
}

/// The shared refs, or what a clone saw of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Refs {
    pub(crate) tips: BTreeMap<Task, ObjectId>,
    pub(crate) seals: BTreeMap<Task, ObjectId>,
    pub(crate) beats: BTreeMap<usize, Beat>,
}

/// A change of one ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Edit {
    Claim { task: Task, old: Option<ObjectId>, new: Option<ObjectId> },
    Beat { node: usize, beat: Beat },
}

/// How a task stands in somebody's eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Fresh,
    Claimed(ObjectId),
    Sealed { seal: ObjectId, leftover: Option<ObjectId> },
}

/// The hub, every commit that was ever made, and what has been noticed.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    pub(crate) refs: Refs,
    pub(crate) now: Time,
    commits: BTreeMap<ObjectId, Commit>,
    flying: Vec<(Time, Edit)>,
    /// Every claim that has landed, in order.
    pub(crate) landed: Vec<ObjectId>,
    /// Results accepted, and how many of each task since it was last reopened.
    pub(crate) accepted: BTreeSet<ObjectId>,
    accepted_now: BTreeMap<Task, u32>,
    begun: BTreeMap<Task, u32>,
    pub(crate) fenced: BTreeSet<ObjectId>,
    pub(crate) made: BTreeSet<ObjectId>,
}

impl Hub {
    pub(crate) fn get(&self, id: ObjectId) -> &Commit {
        &self.commits[&id]
    }

    pub(crate) fn make(&mut self, commit: Commit) -> ObjectId {
        let id = ObjectId::from_hex(format!("{:040x}", self.commits.len() + 1).as_bytes()).unwrap();
        self.commits.insert(id, commit);
        id
    }

    /// A claim's chain, newest first.
    pub(crate) fn chain(&self, tip: ObjectId) -> impl Iterator<Item = (ObjectId, &Commit)> {
        std::iter::successors(Some(tip), |id| self.get(*id).parent).map(|id| (id, self.get(id)))
    }

    pub(crate) fn standing(&self, refs: &Refs, task: Task) -> Standing {
        let tip = refs.tips.get(&task).copied();
        let Some(seal) = refs.seals.get(&task).copied() else {
            return tip.map_or(Standing::Fresh, Standing::Claimed);
        };
        let reopens = tip.and_then(|tip| self.chain(tip).last()?.1.reopens);
        match tip {
            Some(tip) if reopens == Some(seal) => Standing::Claimed(tip),
            leftover => Standing::Sealed { seal, leftover },
        }
    }

    /// Puts a push under way.
    pub(crate) fn fly(&mut self, at: Time, edit: Edit) {
        self.flying.push((at, edit));
    }

    pub(crate) fn next_landing(&self) -> Option<Time> {
        self.flying.iter().map(|(at, _)| *at).min()
    }

    /// Lets land what is due.
    pub(crate) fn land_due(&mut self) {
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.flying).into_iter().partition(|(at, _)| *at <= now);
        self.flying = later;
        let due: Vec<(Time, Edit)> = due;
        for (_, edit) in due {
            self.land(&edit);
        }
    }

    /// Lets a push reach the hub; says whether it took it.
    pub(crate) fn land(&mut self, edit: &Edit) -> bool {
        match edit {
            Edit::Beat { node, beat } => {
                let is_newer = self.refs.beats.get(node).is_none_or(|known| known.number < beat.number);
                if is_newer {
                    self.refs.beats.insert(*node, Beat { landed: self.now, ..beat.clone() });
                }
                is_newer
            }
            Edit::Claim { task, old, new } => {
                let now = self.refs.tips.get(task).copied();
                if now.is_some() && now == *new {
                    return true;
                }
                if now != *old {
                    return false;
                }
                self.move_claim(*task, now, *new);
                true
            }
        }
    }

    fn move_claim(&mut self, task: Task, now: Option<ObjectId>, new: Option<ObjectId>) {
        let Some(new) = new else {
            let is_sealed = matches!(self.standing(&self.refs, task), Standing::Sealed { .. });
            assert!(is_sealed, "the claim of a task that is not sealed was deleted: {task}");
            self.refs.tips.remove(&task);
            return;
        };
        let commit = *self.get(new);
        assert!(now.is_none() || commit.parent == now, "invariant 8: a claim of {task} did not fast-forward");
        self.refs.tips.insert(task, new);
        self.landed.push(new);
        if self.standing(&self.refs, task) != Standing::Claimed(new) {
            return;
        }
        let from = commit.parent.map(|parent| self.get(parent).phase);
        assert!(is_legal(from, commit.phase), "{from:?} was followed by {} on {task}", commit.phase);
        assert!(commit.attempts.charged <= MAX_ATTEMPTS, "invariant 2: {task} was charged {:?}", commit.attempts);
        if commit.reopens.is_some() {
            self.accepted_now.insert(task, 0);
        }
        if let (Phase::Completed, Some(work)) = (commit.phase, commit.work) {
            let count = self.accepted_now.entry(task).or_default();
            *count += 1;
            assert_eq!(*count, 1, "invariant 1: {task} has two accepted results");
            let under = self.chain(new).skip(1).find(|(_, one)| one.phase != Phase::Released).map(|(id, _)| id);
            assert_eq!(under, Some(work), "invariant 1: {task} took a result of another claim");
            assert!(
                !self.fenced.contains(&work),
                "invariant 3: a result of {task} was called fenced and then taken"
            );
            self.accepted.insert(work);
        }
    }

    /// An executor is started under a claim.
    pub(crate) fn begin(&mut self, claim: ObjectId) {
        let commit = *self.get(claim);
        let task = commit.task;
        let is_sealed = matches!(self.standing(&self.refs, task), Standing::Sealed { .. });
        let is_over = |phase| matches!(phase, Phase::Completed | Phase::Merged | Phase::Cancelled);
        let ran = is_sealed || self.chain(claim).any(|(_, one)| is_over(one.phase));
        assert!(!ran, "invariant 6: {task} ran again");
        let newest = self.begun.entry(task).or_default();
        assert!(commit.attempts.begun > *newest, "invariant 2: attempt {} of {task} twice", commit.attempts.begun);
        *newest = commit.attempts.begun;
    }

    /// Whether a result counts now: it is in the chain in force, or was merged.
    pub(crate) fn counts(&self, work: ObjectId) -> bool {
        let tip = match self.standing(&self.refs, self.get(work).task) {
            Standing::Claimed(tip) => tip,
            Standing::Sealed { seal, .. } => seal,
            Standing::Fresh => return false,
        };
        self.get(tip).phase != Phase::Cancelled && self.chain(tip).any(|(_, one)| one.work == Some(work))
    }
}
