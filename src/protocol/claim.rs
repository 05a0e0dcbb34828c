//! Claim: winning the right to an attempt by compare-and-swap (DESIGN.md 3.2).
//!
//! Owns the claim commit, the one push for all of a batch, and the check after it that makes deleting claim refs safe.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::base::{self, Base, NoBase};
use super::error::{Error, Result};
use super::pick;
use super::session::Session;
use super::trust;
use crate::git::ObjectId;
use crate::git::objects::NewCommit;
use crate::hub::format::ClaimRecord;
use crate::hub::nodes::NodeRecord;
use crate::hub::snapshot::{Claim, Queued, Snapshot, Standing, Task, chain_of, target_of};
use crate::hub::{Answer, AtOnce, Edit, Layout};
use crate::task::order::{self, Candidate, Offer};
use crate::task::scope::may_overlap;
use crate::task::spec::Mode;
use crate::task::transition::{count, is_legal};
use crate::task::{Hold, Name, Phase, Reason, State, TaskName};

/// What is wanted of a claim.
#[derive(Debug, Clone)]
pub struct Options {
    /// The tasks wanted; empty: whatever is next.
    pub tasks: HashSet<TaskName>,
    /// How many at most.
    pub count: usize,
    /// The node that they are claimed for.
    pub node: Name,
    /// What keeps the claims alive.
    pub hold: Hold,
    /// When a hold by hand or offline ends.
    pub until: Option<Timestamp>,
    /// The claims of lost nodes that may be taken over.
    pub over: Vec<ObjectId>,
}

/// A claim that was won.
#[derive(Debug, Clone, PartialEq)]
pub struct Won {
    /// The spec in force.
    pub spec: Arc<Queued>,
    /// The claim.
    pub claim: Claim,
    /// Where the work starts.
    pub base: Base,
}

/// What came of a claim.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Claimed {
    /// Won, and checked again.
    pub won: Vec<Won>,
    /// Lost to somebody else, or undone because the ground had moved.
    pub lost: Vec<TaskName>,
    /// Of the lost, those whose claim ref has not moved at all: the hub refuses, or the push is still under way.
    pub unmoved: Vec<TaskName>,
    /// Not tried, since the dependencies' results do not merge: the task waits.
    pub no_base: Vec<(TaskName, NoBase)>,
}

/// The tasks that have nothing to start from, and why.
type Waiting = Vec<(TaskName, NoBase)>;

/// A claim about to be pushed.
struct Bid {
    spec: Arc<Queued>,
    base: Base,
    id: ObjectId,
    record: ClaimRecord,
    previous: Option<ObjectId>,
}

/// Claims tasks from what this clone knows: one push for all, then one sync, then the check.
pub fn claim(
    session: &Session,
    snapshot: &Snapshot,
    options: &Options,
    beat: Option<NodeRecord>,
) -> Result<Claimed> {
    let (bids, no_base) = bids(session, snapshot, options)?;
    if bids.is_empty() {
        return match no_base.iter().any(|(_, why)| *why == NoBase::Shallow) {
            true => Err(Error::Shallow),
            false => Ok(Claimed { no_base, ..Claimed::default() }),
        };
    }
    session.publish_and_sync(&edits(session, options, &bids, beat)?)?;
    settle_all(session, bids, no_base)
}

/// Does the same without a look at the hub before, where `ground` and the branches that the work starts from still stand there
/// as they are known here. `None`: they do not, or it does not say so, or too little is known to claim as much as is wanted.
/// Then nothing has been won that a sync does not show.
pub fn claim_at_once(
    session: &Session,
    snapshot: &Snapshot,
    options: &Options,
    beat: Option<NodeRecord>,
    mut ground: Vec<String>,
) -> Result<Option<Claimed>> {
    // Whatever is in the way may be gone by now: that is told of after a look.
    let Ok((bids, no_base)) = bids(session, snapshot, options) else { return Ok(None) };
    if bids.len() < options.count {
        return Ok(None);
    }
    ground.extend(bids.iter().map(|bid| Layout::branch_ref(&target_of(&session.hub, &bid.spec.record))));
    ground.sort();
    ground.dedup();
    match session.hub.publish_at_once(&edits(session, options, &bids, beat)?, &ground)? {
        AtOnce::Made => {
            session.sync()?;
            settle_all(session, bids, no_base).map(Some)
        }
        AtOnce::NotMade | AtOnce::Unheard => Ok(None),
    }
}

/// Prepares claims of what comes first, as many as are wanted, and says what has nothing to start from.
fn bids(session: &Session, snapshot: &Snapshot, options: &Options) -> Result<(Vec<Bid>, Waiting)> {
    let picked = pick_tasks(session, snapshot, options);
    base::complete(session, snapshot, picked.iter().copied().take(options.count))?;
    let (mut bids, mut without): (Vec<Bid>, Vec<_>) = (Vec::new(), Vec::new());
    for task in picked {
        if bids.len() == options.count {
            break;
        }
        if options.hold != Hold::Hand && pick::lacks_run(session, task)
            || trust::doubt_of_start(session, task).is_some()
        {
            continue;
        }
        match base::make(session, snapshot, task)? {
            Ok(base) => {
                let branch = branch(session, snapshot, &bids, task, &options.node)?;
                let bid = bid(session, task, base, branch, options)?;
                if options.hold == Hold::Hand {
                    super::branch::check(session, &bid.record)?;
                }
                bids.push(bid);
            }
            Err(no_base) => without.push((task.name().clone(), no_base)),
        }
    }
    Ok((bids, without))
}

fn edits(session: &Session, options: &Options, bids: &[Bid], beat: Option<NodeRecord>) -> Result<Vec<Edit>> {
    let mut edits: Vec<Edit> = bids
        .iter()
        .map(|bid| Edit::new(session.hub.layout.claim(&bid.record.task), bid.previous, Some(bid.id)))
        .collect();
    if let Some(mut beat) = beat {
        // The claims that we are about to hold ride on the push that takes them, so none is ever unlisted.
        beat.claims.extend(bids.iter().map(|bid| bid.id.to_string()));
        edits.push(session.hub.beat(&options.node, &beat, &session.by, &session.ambient)?);
    }
    Ok(edits)
}

fn settle_all(session: &Session, bids: Vec<Bid>, no_base: Waiting) -> Result<Claimed> {
    let mut claimed = Claimed { no_base, ..Claimed::default() };
    let after = session.snapshot()?;
    for bid in bids {
        settle(session, &after, bid, &mut claimed)?;
    }
    Ok(claimed)
}

/// Looks again at one task after the push, and counts it as won, lost, or undone.
fn settle(session: &Session, after: &Snapshot, bid: Bid, claimed: &mut Claimed) -> Result<()> {
    match check(session, after, &bid) {
        Check::Won => claimed.won.push(Won {
            claim: Claim {
                id: bid.id,
                record: bid.record,
                at: session.ambient.now(),
                result: None,
                previous: bid.previous,
            },
            spec: bid.spec,
            base: bid.base,
        }),
        Check::Lost => {
            // A sealed task has no claim ref either; somebody was faster there.
            let ended = |task: &Task| matches!(task.standing, Standing::Sealed { .. });
            let is_sealed = after.get(&bid.record.task).is_some_and(ended);
            if !is_sealed && session.hub.known(&session.hub.layout.claim(&bid.record.task)) == bid.previous {
                claimed.unmoved.push(bid.record.task.clone());
            }
            claimed.lost.push(bid.record.task);
        }
        Check::Undo => {
            undo(session, after, &bid)?;
            claimed.lost.push(bid.record.task);
        }
    }
    Ok(())
}

/// Says why a named task cannot be claimed on this node now; `None`: it can.
pub fn obstacle(
    session: &Session,
    snapshot: &Snapshot,
    name: &TaskName,
    options: &Options,
) -> Option<order::Obstacle> {
    let offer = pick::offer(session, snapshot, &options.node, options.hold == Hold::Hand);
    let task = snapshot.get(name)?;
    order::obstacle(&pick::candidate(session, snapshot, task), &offer)
        .or_else(|| trust::doubt_of_start(session, task).map(order::Obstacle::Untrusted))
}

/// Finds the claims by hand that a command of this clone won and was killed before it could follow them up. Only for
/// whoever holds the clone's lock on claiming: then no other command is still at it.
pub fn unfinished(session: &Session, snapshot: &Snapshot, options: &Options) -> Vec<Won> {
    let held = |task: &Task| {
        let claim = task.claim_in(Phase::Running)?;
        let record = &claim.record;
        let is_ours = record.hold == Some(Hold::Hand)
            && record.node.as_deref() == Some(options.node.as_str())
            && session.state.is_own(&record.instance);
        let repo = &session.hub.repo;
        // The pin is written before the branch.
        let has_branch = |branch: &String| repo.ref_value(&Layout::branch_ref(branch)).is_some();
        let is_followed_up = repo.ref_value(&Layout::by_hand(task.name())) == Some(claim.id)
            && record.branch.as_ref().is_none_or(has_branch);
        let is_wanted = options.tasks.is_empty() || options.tasks.contains(task.name());
        let base = Base {
            target_tip: record.target_tip?,
            commit: record.base.filter(|base| session.hub.repo.has(*base))?,
            built_on: record.built_on.clone(),
        };
        let is_left = is_ours && is_wanted && !is_followed_up;
        is_left.then(|| Won { spec: task.spec.clone(), claim: claim.clone(), base })
    };
    snapshot.claimed().filter_map(held).take(options.count).collect()
}

fn pick_tasks<'a>(session: &Session, snapshot: &'a Snapshot, options: &Options) -> Vec<&'a Task> {
    let offer: Offer = pick::offer(session, snapshot, &options.node, options.hold == Hold::Hand);
    let mut candidates: Vec<Candidate> = pick::suitable(session, snapshot, &offer);
    let over = pick::takeovers(session, snapshot, &offer).filter(|(claim, _)| options.over.contains(claim));
    candidates.extend(over.map(|(_, candidate)| candidate));
    candidates.retain(|candidate| options.tasks.is_empty() || options.tasks.contains(&candidate.name));
    order::choose(&candidates, &offer).iter().filter_map(|candidate| snapshot.get(&candidate.name)).collect()
}

fn bid(session: &Session, task: &Task, base: Base, branch: String, options: &Options) -> Result<Bid> {
    let before = task.claim();
    let from = before.map(|claim| claim.record.phase);
    debug_assert!(is_legal(from, Phase::Running));
    let by_hand = options.hold == Hold::Hand;
    let mode = match task.spec.record.mode {
        // The claim records the mode that came of it.
        Mode::Undecided if from == Some(Phase::Assigned) => Mode::Push,
        Mode::Undecided if by_hand => Mode::Undecided,
        Mode::Undecided => Mode::Pull,
        mode => mode,
    };
    let record = ClaimRecord {
        task: task.name().clone(),
        spec: task.spec.id,
        phase: Phase::Running,
        reason: None,
        node: Some(options.node.to_string()),
        instance: session.state.instance.clone(),
        nonce: session.nonce()?,
        attempts: count(task.attempts(), from, Phase::Running, None),
        mode,
        hold: Some(options.hold),
        until: options.until,
        branch: Some(branch),
        target_tip: Some(base.target_tip),
        base: Some(base.commit),
        built_on: base.built_on.clone(),
        reopens: None,
    };
    let previous = before.map(|claim| claim.id);
    let id = write(session, &record, previous, None, &[])?;
    Ok(Bid { spec: task.spec.clone(), base, id, record, previous })
}

/// Writes a claim commit: the record as its message, the files given as its tree, the result as its second parent.
pub fn write(
    session: &Session,
    record: &ClaimRecord,
    previous: Option<ObjectId>,
    result: Option<ObjectId>,
    files: &[crate::git::objects::NewEntry<'_>],
) -> Result<ObjectId> {
    let parents: Vec<ObjectId> = previous.into_iter().chain(result).collect();
    let commit = NewCommit {
        tree: session.hub.repo.write_tree(files)?,
        parents: &parents,
        message: &record.to_message(),
        by: &session.by,
        at: session.ambient.now(),
    };
    // Finished work is what others have to trust.
    let pen = if record.phase == Phase::Completed { trust::pen_if(session, false)? } else { None };
    Ok(match pen {
        Some(pen) => session.hub.repo.write_signed_commit(&commit, &pen.signer, &pen.context)?,
        None => session.hub.repo.write_commit(&commit)?,
    })
}

/// Names the task branch; one that another live task holds, or an earlier one of this batch (`a-b/c` and `a/b-c` meet),
/// gets a mark behind it.
fn branch(session: &Session, snapshot: &Snapshot, batch: &[Bid], task: &Task, node: &Name) -> Result<String> {
    let plain = session.hub.layout.task_branch(task.name(), node);
    let held = |other: &Task| other.claim().is_some_and(|claim| claim.record.branch.as_ref() == Some(&plain));
    let is_taken = batch.iter().any(|bid| bid.record.branch.as_ref() == Some(&plain))
        || snapshot.claimed().any(|other| other.name() != task.name() && held(other))
        // The work of an earlier attempt may stand there, and could not be replaced.
        || (task.attempts().begun > 0 && session.hub.abilities().rewinds == Some(false));
    if is_taken { Ok(format!("{plain}-{}", &session.nonce()?[..4])) } else { Ok(plain) }
}

enum Check {
    Won,
    Lost,
    Undo,
}

/// Looks again at a task after the push: our claim is the tip, no seal, the spec in force, dependencies still good.
fn check(session: &Session, after: &Snapshot, bid: &Bid) -> Check {
    let name = &bid.record.task;
    let Some(task) = after.get(name) else {
        return Check::Lost;
    };
    match &task.standing {
        Standing::Claimed(tip) if tip.id == bid.id => {}
        Standing::Sealed { leftover: Some(tip), .. } if tip.id == bid.id => return Check::Undo,
        _ => return Check::Lost,
    }
    let built_on = bid.record.built_on.iter().all(|built_on| {
        let dependency = after.get(&built_on.task).and_then(base::result_of);
        match dependency {
            Some(Some(now)) => now == built_on.result || session.hub.repo.is_ancestor(built_on.result, now),
            _ => false,
        }
    });
    let spec_stands = task.spec.id == bid.record.spec;
    let done =
        task.spec.record.depends_on.iter().all(|name| {
            after.get(name).is_some_and(|task| matches!(task.state(), State::Completed | State::Merged))
        });
    let is_alone = !yields(after, task);
    if spec_stands && built_on && done && is_alone { Check::Won } else { Check::Undo }
}

/// Says whether another task that means to change the same files was claimed at the same moment: then the later in the
/// queue yields, on every node alike.
fn yields(after: &Snapshot, task: &Task) -> bool {
    let own = (&task.spec.record.modifies, after.position(task.name()));
    after.claimed().any(|other| {
        other.name() != task.name()
            && matches!(other.state(), State::Running | State::Assigned)
            && after.position(other.name()) < own.1
            && may_overlap(own.0, &other.spec.record.modifies)
    })
}

/// Undoes a claim whose ground has moved: deleted where the task is sealed, else released.
fn undo(session: &Session, after: &Snapshot, bid: &Bid) -> Result<()> {
    let name = session.hub.layout.claim(&bid.record.task);
    let is_sealed =
        after.get(&bid.record.task).is_some_and(|task| matches!(task.standing, Standing::Sealed { .. }));
    let new = if is_sealed {
        None
    } else {
        let mut record =
            ClaimRecord::following(&bid.record, Phase::Released, &session.state.instance, session.nonce()?);
        record.reason = Some(Reason::Stale);
        Some(write(session, &record, Some(bid.id), None, &[])?)
    };
    session.hub.publish(&[Edit::new(name, Some(bid.id), new)])?;
    Ok(())
}

/// Says whether a claim of ours is in the task's chain, though no longer its tip.
pub fn has_landed(session: &Session, tip: ObjectId, ours: ObjectId) -> bool {
    chain_of(&session.hub.repo, tip).iter().any(|claim| claim.id == ours)
}

/// Says whether every answer is a yes.
pub fn all_yes(answers: &[Answer]) -> bool {
    answers.iter().all(|answer| answer.is_yes())
}
