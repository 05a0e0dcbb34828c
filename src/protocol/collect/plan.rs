//! What a collect would do: which finished tasks join, in which order, onto which tip.
//!
//! Writes merge commits and claims as objects; moves no ref. A plan that is made again, without a task that was found
//! broken, comes to the same commits as far as it goes: what was verified once need not be again.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::git::ObjectId;
use crate::git::objects::NewCommit;
use crate::hub::format::Trailers;
use crate::hub::snapshot::{Claim, Snapshot, Task, target_of};
use crate::protocol::error::Result;
use crate::protocol::repair::{self, Mends, Use, usefulness};
use crate::protocol::session::Session;
use crate::protocol::trust;
use crate::task::event::ConflictFile;
use crate::task::{Phase, State, TaskName};

use super::foundation::{Foundation, foundation};
use super::growing::Growing;
use super::{Options, landing};

/// The kind of conflict of finished work whose target was rewritten under it.
pub const BASE_REWRITTEN: &str = "base_rewritten";

/// A merge that is to be published.
#[derive(Debug, Clone, PartialEq)]
pub struct Merge {
    /// The task.
    pub task: TaskName,
    /// Its completed claim.
    pub completed: Claim,
    /// The claim that will say merged.
    pub merged: Claim,
    /// The merge commit; `None` where the result was in the target already.
    pub commit: Option<ObjectId>,
    /// Whether the merge commit is this plan's own, on top of what came before it.
    pub is_new: bool,
}

/// Work that does not merge.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// The task.
    pub task: TaskName,
    /// Its completed claim.
    pub claim: Claim,
    /// Where.
    pub files: Vec<ConflictFile>,
}

/// Work that has to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The task.
    pub task: TaskName,
    /// For what, for people.
    pub what: String,
}

/// What a collect would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The target's tip after it.
    pub tip: ObjectId,
    /// What joins, in order.
    pub merges: Vec<Merge>,
    /// What does not merge.
    pub conflicts: Vec<Conflict>,
    /// What cannot be checked out safely, and why.
    pub unfit: Vec<(Claim, String)>,
    /// What was built on something that can no longer land, and why.
    pub stale: Vec<(Claim, String)>,
    /// What waits.
    pub waiting: Vec<Wait>,
}

impl Plan {
    /// The merges that make the growing tip, in order, each with the tip after it.
    pub fn steps(&self) -> Vec<(&Merge, ObjectId)> {
        let own = self.merges.iter().filter(|merge| merge.is_new);
        own.filter_map(|merge| Some((merge, merge.commit?))).collect()
    }
}

/// Why work does not join.
#[derive(Debug, Clone)]
pub(super) enum Obstacle {
    /// Where it conflicts.
    Conflict(Vec<ConflictFile>),
    /// Why it cannot be checked out safely.
    Unfit(String),
}

/// A merge that was tried.
pub(super) type Tried = std::result::Result<Merge, Obstacle>;

/// Merges that were tried before, by the tip and the claim.
pub(super) type Memo = HashMap<(ObjectId, ObjectId), Tried>;

/// Plans collects of the completed tasks onto one tip.
pub(super) struct Planner<'a> {
    pub(super) session: &'a Session,
    pub(super) snapshot: &'a Snapshot,
    pub(super) options: &'a Options,
    pub(super) target: &'a str,
    /// The target's tip.
    pub(super) start: ObjectId,
}

impl Planner<'_> {
    /// Plans, without the tasks that are `rejected` and what was built on them.
    pub(super) fn plan(&self, rejected: &BTreeSet<TaskName>, memo: &mut Memo) -> Result<Plan> {
        let mut plan = Plan {
            tip: self.start,
            merges: vec![],
            conflicts: vec![],
            unfit: vec![],
            stale: vec![],
            waiting: vec![],
        };
        let mut growing = Growing::from(&self.session.hub.repo, self.start);
        for task in in_order(self.snapshot) {
            let is_wanted = self.options.tasks.is_empty() || self.options.tasks.contains(task.name());
            let goes_here =
                self.options.into.is_some() || target_of(&self.session.hub, &task.spec.record) == self.target;
            if is_wanted && goes_here && !rejected.contains(task.name()) {
                self.join(&mut plan, &mut growing, task, rejected, memo)?;
            }
        }
        plan.tip = growing.tip();
        // What follows is for git, in processes of its own.
        self.session.hub.repo.keep()?;
        Ok(plan)
    }

    /// Lets one task join the growing tip, or says why not.
    fn join(
        &self,
        plan: &mut Plan,
        growing: &mut Growing<'_>,
        task: &Task,
        rejected: &BTreeSet<TaskName>,
        memo: &mut Memo,
    ) -> Result<()> {
        let Some((claim, result)) = task.claim_in(Phase::Completed).and_then(|claim| Some((claim, claim.result?)))
        else {
            return Ok(());
        };
        let name = task.name().clone();
        if let Some(wait) = self.mends_nothing(task, result) {
            plan.waiting.push(wait);
            return Ok(());
        }
        if let Some(why) = trust::doubt(self.session, task) {
            plan.waiting.push(Wait { task: name, what: format!("a person: {why}") });
            return Ok(());
        }
        match foundation(self, plan, growing, task, claim, rejected) {
            Foundation::Holds => {}
            Foundation::MayLand(what) => {
                plan.waiting.push(Wait { task: name, what });
                return Ok(());
            }
            Foundation::Gone(on) => {
                let why = format!("it was built on work of {on} that will not land");
                plan.stale.push((claim.clone(), why));
                return Ok(());
            }
            Foundation::Rewritten(lost) => {
                let file = ConflictFile { path: lost.to_string(), kind: BASE_REWRITTEN.to_owned() };
                plan.conflicts.push(Conflict { task: name, claim: claim.clone(), files: vec![file] });
                return Ok(());
            }
        }
        if let Some(dependency) = self.undone(plan, task) {
            plan.waiting.push(Wait { task: name, what: dependency.to_string() });
            return Ok(());
        }
        let key = (growing.tip(), claim.id);
        let made = match memo.get(&key) {
            Some(made) => made.clone(),
            None => {
                let made = self.merge(growing, task, claim, result)?;
                memo.insert(key, made.clone());
                made
            }
        };
        match made {
            Ok(merge) => {
                if let Some(commit) = merge.commit.filter(|_| merge.is_new) {
                    growing.grow(commit, result);
                }
                let mended = self.mended(task, &merge)?;
                plan.merges.push(merge);
                plan.merges.extend(mended);
            }
            Err(Obstacle::Conflict(files)) => {
                plan.conflicts.push(Conflict { task: name, claim: claim.clone(), files });
            }
            Err(Obstacle::Unfit(why)) => plan.unfit.push((claim.clone(), why)),
        }
        Ok(())
    }

    /// A repair joins only while its original waits for it, and with the original's work in it.
    fn mends_nothing(&self, task: &Task, result: ObjectId) -> Option<Wait> {
        let wait = |what: String| Some(Wait { task: task.name().clone(), what });
        let mends = Mends::of(&task.spec.record)?;
        if usefulness(self.snapshot, &task.spec.record) != Use::Wanted {
            return wait(format!("the conflict of {}, which it is to mend", mends.task));
        }
        let repo = &self.session.hub.repo;
        let holds_it = mends.work(repo).is_some_and(|work| repo.is_ancestor(work, result));
        if holds_it { None } else { wait(format!("a person: it does not hold the work of {}", mends.task)) }
    }

    /// With a repair the work that it mends has landed, and that of the repairs between.
    fn mended(&self, task: &Task, merge: &Merge) -> Result<Vec<Merge>> {
        let mended = repair::mended(self.snapshot, &task.spec.record).into_iter();
        let of_one = |(task, claim): (&Task, &Claim)| {
            Ok(Merge {
                task: task.name().clone(),
                completed: claim.clone(),
                merged: landing::merged_claim(self.session, claim, self.target, merge.commit)?,
                commit: merge.commit,
                is_new: false,
            })
        };
        mended.map(of_one).collect()
    }

    /// Merges one result onto the growing tip.
    fn merge(&self, growing: &mut Growing<'_>, task: &Task, claim: &Claim, result: ObjectId) -> Result<Tried> {
        let (repo, tip) = (&self.session.hub.repo, growing.tip());
        let (commit, is_new) = if growing.holds(result) {
            // A collect that died half-way may have moved the target and not the claim.
            (landing::merge_of(self.session, tip, claim.id, claim, result), false)
        } else {
            // Whoever pushed it may not have looked.
            if let Some(why) = repo.unfit(&growing.brings(result))? {
                return Ok(Err(Obstacle::Unfit(why)));
            }
            let merged = growing.merge(result)?;
            if !merged.conflicts.is_empty() {
                let file = |(path, kind)| ConflictFile { path, kind };
                return Ok(Err(Obstacle::Conflict(merged.conflicts.into_iter().map(file).collect())));
            }
            let commit = repo.write_commit(&NewCommit {
                tree: merged.tree,
                parents: &[tip, result],
                message: &message(task, claim),
                by: &self.session.by,
                at: self.session.ambient.now(),
            })?;
            (Some(commit), true)
        };
        let merged = landing::merged_claim(self.session, claim, self.target, commit)?;
        Ok(Ok(Merge { task: task.name().clone(), completed: claim.clone(), merged, commit, is_new }))
    }

    /// Finds a dependency that is neither merged nor in this plan.
    fn undone<'t>(&self, plan: &Plan, task: &'t Task) -> Option<&'t TaskName> {
        task.spec.record.depends_on.iter().find(|name| {
            let joined = plan.merges.iter().any(|merge| merge.task == **name);
            let merged = self.snapshot.get(name).is_some_and(|task| task.state() == State::Merged);
            !joined && !merged
        })
    }
}

/// Orders the completed tasks: dependencies first, then priority, then queue order. What mends a task stands for it.
fn in_order(snapshot: &Snapshot) -> Vec<&Task> {
    let mut open: Vec<&Task> = snapshot.tasks.iter().filter(|task| task.state() == State::Completed).collect();
    open.sort_by_key(|task| (task.spec.record.priority, snapshot.position(task.name())));
    let mut mended_by: HashMap<&TaskName, &TaskName> = HashMap::new();
    for task in open.iter().filter(|task| task.spec.record.repairs.is_some()) {
        let mended = repair::mended(snapshot, &task.spec.record);
        mended_by.extend(mended.into_iter().map(|(mended, _)| (mended.name(), task.name())));
    }
    let waiting: HashSet<&TaskName> = open.iter().map(|task| task.name()).collect();
    let mut before: HashMap<&TaskName, HashSet<&TaskName>> = HashMap::new();
    for task in &open {
        let named = task.spec.record.depends_on.iter();
        let named = named.map(|name| mended_by.get(name).copied().unwrap_or(name));
        before.insert(task.name(), named.filter(|name| waiting.contains(name)).collect());
    }
    let mut ordered = Vec::with_capacity(open.len());
    // The best one that nothing open stands before, again and again. Enqueue refuses circles; one that was forced in
    // by other means leaves the loop without a candidate, and its tasks are left where they are.
    while let Some(at) = open.iter().position(|task| before.get(task.name()).is_some_and(HashSet::is_empty)) {
        let task = open.remove(at);
        for names in before.values_mut() {
            names.remove(task.name());
        }
        ordered.push(task);
    }
    ordered
}

/// The merge commit's message: it names task and claim, so that seals can be rebuilt from the target alone.
fn message(task: &Task, claim: &Claim) -> String {
    let mut trailers = Trailers::default();
    trailers.push("Dispatch-Task", task.name());
    trailers.push("Dispatch-Spec", task.spec.id);
    trailers.push("Dispatch-Claim", claim.id);
    trailers.push("Dispatch-Attempt", claim.record.attempts.begun);
    trailers.push_some("Dispatch-Node", claim.record.node.as_ref());
    trailers.message(&format!("Merge {}: {}", task.name(), task.spec.record.title))
}
