//! Collect: finished work is merged into its targets, in order (DESIGN.md 5).
//!
//! Owns the order, what may join, the merge commits, and the one atomic push of target and claims. Merging itself is
//! `git::merge`'s, sealing is `seal`'s. Nothing of a collect that did not get through is visible to anybody.
//!
//! ```text
//!   plan ──▶ verify ──▶ publish ──▶ follow ──▶ record, seal
//!    ▲   broken: without it │ moved meanwhile
//!    └──────────────────────┘
//! ```

mod checkout;
mod error;
mod foundation;
mod growing;
mod landing;
mod plan;
mod publish;
mod record;
mod verify;
pub mod watch;

use std::collections::BTreeSet;

use super::announce::{Announce, Happened};
use super::base;
use super::bundle::{Refused, refuse_away};
use super::error::{Error, Result};
use super::repair;
use super::seal::{self, Ended};
use super::session::Session;
use crate::exec::Cancel;
use crate::git::{Error as GitError, ObjectId};
use crate::hub::snapshot::{Snapshot, target_of};
use crate::hub::{Answer, Error as HubError, Layout};
use crate::task::event::ConflictFile;
use crate::task::{Reason, State, TaskName};

pub use error::CollectError;
pub use landing::{Landed, landed, put_back, say_merged};
pub use plan::{BASE_REWRITTEN, Conflict, Merge, Plan, Wait};
pub use verify::Rejected;

use plan::{Memo, Planner};
use verify::{Agreed, Verifier};

/// How often a collect starts again from a target that moved.
const TRIES: u32 = 10;

/// What is wanted of a collect.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The tasks wanted; empty: all that are completed.
    pub tasks: Vec<TaskName>,
    /// The branch to merge into, where it is not the tasks' own.
    pub into: Option<String>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Ends a verification under way.
    pub cancel: Cancel,
    /// Leave conflicts to a person.
    pub no_repair: bool,
}

/// Work that does not merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflicting {
    /// The task.
    pub task: TaskName,
    /// Where.
    pub files: Vec<ConflictFile>,
    /// The task that is to resolve it.
    pub repair: Option<TaskName>,
}

/// What a collect did to one target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// The branch.
    pub target: String,
    /// Its tip before.
    pub old: Option<ObjectId>,
    /// Its tip after.
    pub new: Option<ObjectId>,
    /// What was merged, in order, with the merge commits; none where there was nothing to merge.
    pub merged: Vec<(TaskName, Option<ObjectId>)>,
    /// What does not merge.
    pub conflicts: Vec<Conflicting>,
    /// What was left out for another reason.
    pub rejected: Vec<(TaskName, Reason)>,
    /// What has to wait, and for what.
    pub waiting: Vec<(TaskName, String)>,
    /// Lines for the person whose checkout did not follow.
    pub checkout_notes: Vec<String>,
}

impl Collected {
    /// Adds what a later collect did to the same target.
    pub fn then(&mut self, later: Self) {
        self.old = self.old.or(later.old);
        self.new = later.new.or(self.new);
        self.merged.extend(later.merged);
        self.conflicts.extend(later.conflicts);
        self.rejected.extend(later.rejected);
        self.waiting = later.waiting;
        self.checkout_notes.extend(later.checkout_notes);
    }

    /// Says whether nothing was left out that a person must see to.
    pub fn is_clean(&self) -> bool {
        self.conflicts.is_empty() && self.rejected.is_empty()
    }
}

/// Merges finished work into its targets, and seals it. The first answer is the target named, or the default one, or
/// that of the tasks named; others follow where finished work goes there.
pub fn collect(session: &Session, options: &Options, announce: &dyn Announce) -> Result<Vec<Collected>> {
    refuse_away(session, Refused::NoCollect)?;
    if let Some(branch) = options.into.as_ref().filter(|branch| !crate::task::spec::is_branch(branch)) {
        return Err(GitError::NoTarget { branch: branch.clone() }.into());
    }
    session.sync_with(options.into.as_deref())?;
    if session.hub.repo.is_shallow() {
        return Err(Error::Shallow);
    }
    let mut collect = Collect { session, options, announce, resumed: Vec::new(), earlier: None };
    collect.earlier = checkout::resume(session)?;
    if !options.dry_run {
        collect.finish_half_done()?;
    }
    let collected = collect.all_targets()?;
    for name in &collect.resumed {
        let is_told = |collected: &Collected| collected.merged.iter().any(|(done, _)| done == name);
        if !collected.iter().any(is_told) {
            let text = format!("{name} was merged by another collect, which had not sealed it; it is sealed now");
            announce.happened(&Happened::Note(text));
        }
    }
    if !options.dry_run {
        super::blocked::tell(session, &session.snapshot()?, announce)?;
    }
    Ok(collected)
}

/// One collect under way.
struct Collect<'a> {
    session: &'a Session,
    options: &'a Options,
    announce: &'a dyn Announce,
    /// What an earlier collect had merged, and this one sealed.
    resumed: Vec<TaskName>,
    /// The checkout that an earlier collect was about to move.
    earlier: Option<checkout::Following>,
}

impl Collect<'_> {
    fn finish_half_done(&mut self) -> Result<()> {
        self.resumed.extend(seal::finish_half_done(self.session, &self.session.snapshot()?)?);
        repair::sweep(self.session)
    }

    /// Collects into one target after the other. Work that waits for another target's is looked at again.
    fn all_targets(&mut self) -> Result<Vec<Collected>> {
        let targets = self.targets(&self.session.snapshot()?);
        let mut done: Vec<Collected> = Vec::new();
        let mut failed = None;
        for (at, target) in targets.iter().enumerate() {
            match self.one_target(target) {
                Ok(collected) => done.push(collected),
                // Nothing to do with the other targets' work, which goes on.
                Err(Error::Git(GitError::NoTarget { .. })) if at > 0 => {
                    done.push(self.without_branch(target)?);
                }
                Err(error) if is_of_one_target(&error) => failed = failed.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        // Each turn lands something, or is the last.
        while failed.is_none() && done.len() > 1 && !self.options.dry_run {
            let mut landed = false;
            for collected in done.iter_mut().filter(|collected| !collected.waiting.is_empty()) {
                if self.session.hub.target_tip(&collected.target).is_some() {
                    let again = self.one_target(&collected.target)?;
                    landed |= !again.merged.is_empty();
                    collected.then(again);
                }
            }
            if !landed {
                break;
            }
        }
        failed.map_or(Ok(done), Err)
    }

    /// The branches to collect into: the one named, else the default one and those of finished tasks.
    fn targets(&self, snapshot: &Snapshot) -> Vec<String> {
        if let Some(into) = &self.options.into {
            return vec![into.clone()];
        }
        let hub = &self.session.hub;
        let wanted = &self.options.tasks;
        let is_wanted = |name: &TaskName| wanted.is_empty() || wanted.contains(name);
        let finished = snapshot.tasks.iter().filter(|task| task.state() == State::Completed);
        let mut others: BTreeSet<String> =
            finished.filter(|task| is_wanted(task.name())).map(|task| target_of(hub, &task.spec.record)).collect();
        let is_default_wanted = others.remove(&hub.target) || wanted.is_empty() || others.is_empty();
        is_default_wanted.then(|| hub.target.clone()).into_iter().chain(others).collect()
    }

    /// What there is to say of work whose branch is not there.
    fn without_branch(&self, target: &str) -> Result<Collected> {
        let snapshot = self.session.snapshot()?;
        let hub = &self.session.hub;
        let is_its = |task: &&crate::hub::snapshot::Task| {
            task.state() == State::Completed && target_of(hub, &task.spec.record) == target
        };
        let why = format!("its target branch {target}, which does not exist");
        let waiting = snapshot.tasks.iter().filter(is_its).map(|task| (task.name().clone(), why.clone())).collect();
        Ok(Collected { target: target.to_owned(), waiting, ..Collected::default() })
    }

    fn tip_of(&self, target: &str) -> Result<ObjectId> {
        let branch = || target.to_owned();
        let is_default = self.options.into.is_none() && target == self.session.hub.target;
        self.session.hub.target_tip(target).ok_or_else(|| match is_default {
            true => Error::NoCommits { branch: branch() },
            false => GitError::NoTarget { branch: branch() }.into(),
        })
    }

    fn one_target(&mut self, target: &str) -> Result<Collected> {
        let session = self.session;
        let mut verifier = Verifier::new(session, target, &self.options.cancel, self.announce);
        let mut memo = Memo::new();
        for _ in 0..TRIES {
            let snapshot = session.snapshot()?;
            let start = self.tip_of(target)?;
            base::complete(
                session,
                &snapshot,
                snapshot.tasks.iter().filter(|task| task.state() == State::Completed),
            )?;
            session.hub.repo.complete(&[start])?;
            let quick = session.in_memory();
            let planner = Planner { session: &quick, snapshot: &snapshot, options: self.options, target, start };
            if self.options.dry_run {
                let plan = planner.plan(&BTreeSet::new(), &mut memo)?;
                return Ok(outcome(&plan, &[], target, start));
            }
            verifier.starts_from(start);
            if !verifier.is_off() {
                checkout::look(session, target, start, planner.plan(&BTreeSet::new(), &mut memo)?.tip)?;
            }
            let agreed = verify::agree(&planner, &mut verifier, &mut memo)?;
            let checkout = checkout::prepare(session, target, start, agreed.plan.tip)?;
            if !publish::publish(session, &agreed.plan, target, start)? {
                self.start_again(checkout.as_ref())?;
                continue;
            }
            let mut collected = outcome(&agreed.plan, &agreed.rejected, target, start);
            collected.checkout_notes.extend(checkout::follow(session, checkout)?);
            self.settle(&snapshot, &agreed, target, &mut collected)?;
            return Ok(collected);
        }
        Err(HubError::Busy { name: Layout::branch_ref(target), tries: TRIES }.into())
    }

    /// What follows once the target has moved: what was left out is recorded, merged tasks are sealed.
    fn settle(&self, snapshot: &Snapshot, agreed: &Agreed, target: &str, collected: &mut Collected) -> Result<()> {
        let (session, announce, plan) = (self.session, self.announce, &agreed.plan);
        for merge in &plan.merges {
            announce.happened(&Happened::Merged {
                task: merge.task.clone(),
                target: target.to_owned(),
                merge_commit: merge.commit,
            });
        }
        self.record(snapshot, agreed, target, collected)?;
        let ended: Vec<Ended> = plan
            .merges
            .iter()
            .map(|merge| Ended {
                task: merge.task.clone(),
                claim: merge.merged.clone(),
                target: Some(target.to_owned()),
                merge_commit: merge.commit,
                delete_branch: session.config.collect.delete_branches,
            })
            .collect();
        // It explains and decides nothing: where it cannot be written, the collect is as good.
        let report = || super::report::note(session, collected).unwrap_or_default();
        for (branch, why) in seal::seal_with(session, &ended, &report)? {
            announce.happened(&Happened::Note(format!("the branch {branch} {why}; it stays")));
        }
        Ok(())
    }

    /// Records what was left out. Of what moved meanwhile nothing is told: whoever moved it knows better.
    fn record(&self, snapshot: &Snapshot, agreed: &Agreed, target: &str, collected: &mut Collected) -> Result<()> {
        let (session, announce, plan) = (self.session, self.announce, &agreed.plan);
        let has_moved = |answer: Answer| matches!(answer, Answer::No { .. });
        let (mut lost, mut is_proposed) = (BTreeSet::new(), false);
        for (conflict, told) in plan.conflicts.iter().zip(&mut collected.conflicts) {
            told.repair = match snapshot.get(&conflict.task).filter(|_| !self.options.no_repair) {
                Some(task) => repair::propose::propose(session, task, &conflict.claim, &conflict.files, target)?,
                None => None,
            };
            if has_moved(record::conflict(session, conflict, target, told.repair.as_ref(), announce)?) {
                lost.insert(&conflict.task);
                is_proposed |= told.repair.is_some();
            }
        }
        for rejected in &agreed.rejected {
            if has_moved(record::rejected(session, rejected, announce)?) {
                lost.insert(&rejected.claim.record.task);
            }
        }
        for (claim, why) in &plan.unfit {
            if has_moved(record::unfit(session, claim, why, announce)?) {
                lost.insert(&claim.record.task);
            }
        }
        for (claim, why) in &plan.stale {
            if has_moved(record::stale(session, claim, why, announce)?) {
                lost.insert(&claim.record.task);
            }
        }
        collected.conflicts.retain(|told| !lost.contains(&told.task));
        collected.rejected.retain(|(task, _)| !lost.contains(task));
        if is_proposed {
            // What the repair was to mend has gone on without it.
            session.sync()?;
            repair::sweep(session)?;
        }
        Ok(())
    }

    /// Somebody moved the target, or one of the tasks: what is there now is the new start.
    fn start_again(&mut self, checkout: Option<&checkout::Following>) -> Result<()> {
        self.session.sync_with(self.options.into.as_deref())?;
        // The push may have got through although others came after it: then ours are merged and not yet sealed.
        self.finish_half_done()?;
        // So may that of a collect that was killed, whose git outlived it.
        for published in [self.earlier.as_ref(), checkout] {
            checkout::catch_up(self.session, published)?;
        }
        checkout::forget(self.session)
    }
}

/// Says whether an error is about one target alone, so that the work for others goes on before it is told.
fn is_of_one_target(error: &Error) -> bool {
    matches!(error, Error::Collect(_) | Error::DirtyCheckout { .. })
}

fn outcome(plan: &Plan, rejected: &[Rejected], target: &str, old: ObjectId) -> Collected {
    let broken = rejected.iter().map(|rejected| (rejected.claim.record.task.clone(), Reason::Verify));
    let unfit = plan.unfit.iter().map(|(claim, _)| (claim.record.task.clone(), Reason::Verify));
    let stale = plan.stale.iter().map(|(claim, _)| (claim.record.task.clone(), Reason::Stale));
    Collected {
        target: target.to_owned(),
        old: Some(old),
        new: Some(plan.tip),
        merged: plan.merges.iter().map(|merge| (merge.task.clone(), merge.commit)).collect(),
        conflicts: plan.conflicts.iter().map(conflicting).collect(),
        rejected: broken.chain(unfit).chain(stale).collect(),
        waiting: plan.waiting.iter().map(|wait| (wait.task.clone(), wait.what.clone())).collect(),
        checkout_notes: Vec::new(),
    }
}

fn conflicting(conflict: &Conflict) -> Conflicting {
    Conflicting { task: conflict.task.clone(), files: conflict.files.clone(), repair: None }
}
