//! The tip that grows while a plan is made: what it holds, and merging onto it.
//!
//! Owns the knowledge that makes a merge cost what the result changed, and not what was merged before it: which commits
//! came in since the start, and what the growing side changed since then.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use crate::git::merge::{Merged, Sides};
use crate::git::objects::Commit;
use crate::git::{ObjectId, Repo};
use crate::protocol::error::Result;

/// The commits of a result.
#[derive(Default)]
struct Reach {
    /// Those that the tip does not hold.
    own: HashSet<ObjectId>,
    /// Of those that it holds, the first on each way down.
    below: HashSet<ObjectId>,
}

/// A target's tip with results merged onto it.
pub(super) struct Growing<'a> {
    repo: &'a Repo,
    start: ObjectId,
    tip: ObjectId,
    /// What the tip holds and the start does not.
    inside: HashSet<ObjectId>,
    /// What is known of being in the start.
    in_start: RefCell<HashMap<ObjectId, bool>>,
    sides: Sides,
}

impl<'a> Growing<'a> {
    pub(super) fn from(repo: &'a Repo, start: ObjectId) -> Self {
        let (inside, in_start) = (HashSet::new(), RefCell::default());
        Self { repo, start, tip: start, inside, in_start, sides: Sides::default() }
    }

    pub(super) const fn tip(&self) -> ObjectId {
        self.tip
    }

    /// Says whether a commit is in the tip.
    pub(super) fn holds(&self, commit: ObjectId) -> bool {
        self.inside.contains(&commit) || self.start_holds(commit)
    }

    /// Says whether a commit is in the tip that all began with.
    pub(super) fn start_holds(&self, commit: ObjectId) -> bool {
        let known = self.in_start.borrow().get(&commit).copied();
        known.unwrap_or_else(|| {
            let holds = self.repo.is_ancestor(commit, self.start);
            self.in_start.borrow_mut().insert(commit, holds);
            holds
        })
    }

    /// Merges a result that the tip does not hold into it, as a tree.
    pub(super) fn merge(&mut self, result: ObjectId) -> Result<Merged> {
        // Where what the result holds of the tip is all below one commit, that is where they meet. One that came in since
        // the start would cost a comparison of the whole growing side.
        let below: Vec<ObjectId> = self.reach(result).below.into_iter().collect();
        match below.as_slice() {
            [base] if !self.inside.contains(base) => {
                Ok(self.repo.merge_from(*base, self.tip, result, &mut self.sides)?)
            }
            _ => Ok(self.repo.merge(self.tip, result)?),
        }
    }

    /// Lists the commits that a result would bring, its own first.
    pub(super) fn brings(&self, result: ObjectId) -> Vec<Commit> {
        let others = self.reach(result).own.into_iter().filter(|commit| *commit != result);
        [result].into_iter().chain(others).filter_map(|commit| self.repo.commit(commit)).collect()
    }

    /// Takes note that `commit` merged `result` into the tip.
    pub(super) fn grow(&mut self, commit: ObjectId, result: ObjectId) {
        let own = self.reach(result).own;
        self.inside.extend(own);
        self.inside.insert(commit);
        self.tip = commit;
    }

    fn reach(&self, result: ObjectId) -> Reach {
        let (mut reach, mut open) = (Reach::default(), vec![result]);
        while let Some(commit) = open.pop() {
            if self.holds(commit) {
                reach.below.insert(commit);
            } else if reach.own.insert(commit) {
                open.extend(self.repo.commit(commit).map(|commit| commit.parents).unwrap_or_default());
            }
        }
        reach
    }
}
