//! Sealing: the record that a task is merged or cancelled for good (DESIGN.md 2.3).
//!
//! Owns the order: the claim first (done by whoever ends the task), then the seal, then the claim ref is deleted,
//! leased. Whoever meets a half-done sealing finishes it here.

use std::collections::BTreeSet;

use super::error::Result;
use super::session::Session;
use crate::git::ObjectId;
use crate::hub::notes::Addition;
use crate::hub::snapshot::{Claim, Snapshot, Standing, Task, reopened_by, work_record};
use crate::hub::{Answer, Edit, Error as HubError, Layout};
use crate::task::event::Event;
use crate::task::{Phase, TaskName};

/// How often the seals are written again on notes that moved.
const TRIES: u32 = 20;

/// How often in a row the hub may answer without taking the seals before that counts as a refusal.
const REFUSALS: u32 = 4;

/// A task that is to be sealed: its claim says merged or cancelled already.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The task.
    pub task: TaskName,
    /// The claim that says so.
    pub claim: Claim,
    /// The target, for merged tasks.
    pub target: Option<String>,
    /// The merge commit, for merged tasks that needed one.
    pub merge_commit: Option<ObjectId>,
    /// Whether its branch is to be deleted.
    pub delete_branch: bool,
}

/// Seals the tasks: syncs and looks again, writes the seals, then deletes claim refs and branches.
pub fn seal(session: &Session, ended: &[Ended]) -> Result<()> {
    seal_with(session, ended, &|| None).map(drop)
}

/// Does the same, with a projection (which decides nothing, and harms nothing where it fails) on the last push. Returns the
/// branches that were to be deleted and stay, each with why.
pub fn seal_with(
    session: &Session,
    ended: &[Ended],
    projection: &dyn Fn() -> Option<Edit>,
) -> Result<Vec<(String, &'static str)>> {
    if ended.is_empty() {
        return Ok(Vec::new());
    }
    let mut unmoved = (None, 0);
    for attempt in 0.. {
        session.sync()?;
        let snapshot = session.snapshot()?;
        let open: Vec<&Ended> = ended.iter().filter(|ended| is_open(&snapshot, ended)).collect();
        if open.is_empty() || write_seals(session, &snapshot, &open)? {
            break;
        }
        unmoved =
            if unmoved.0 == snapshot.sealed_tip { (unmoved.0, unmoved.1 + 1) } else { (snapshot.sealed_tip, 0) };
        if unmoved.1 == REFUSALS {
            return Err(session.hub.refused(session.hub.layout.sealed()).into());
        }
        if attempt == TRIES {
            return Err(HubError::Busy { name: session.hub.layout.sealed(), tries: TRIES }.into());
        }
    }
    delete_refs(session, ended, projection)
}

/// Says whether the task still waits for its seal: our claim is the tip, and no seal is there.
fn is_open(snapshot: &Snapshot, ended: &Ended) -> bool {
    snapshot.get(&ended.task).is_some_and(|task| match &task.standing {
        Standing::Claimed(claim) => claim.id == ended.claim.id,
        _ => false,
    })
}

/// Writes the seals, leased on those that the look saw, and this clone's status lines in one push; says whether the
/// seals got through.
fn write_seals(session: &Session, seen: &Snapshot, open: &[&Ended]) -> Result<bool> {
    let mut additions = Vec::new();
    for ended in open {
        additions.push(Addition::line(ended.claim.record.spec, &seal_line(session, ended)));
    }
    let quick = session.in_memory();
    let hub = &quick.hub;
    let name = hub.layout.sealed();
    let Some(seals) = hub.add_to_notes(&name, seen.sealed_tip, &additions, &session.by, &session.ambient)? else {
        return Ok(true);
    };
    let mut edits = vec![seals];
    edits.extend(hub.add_status(&session.node, &additions, &session.by, &session.ambient)?);
    hub.repo.keep()?;
    let answers = hub.publish(&edits)?;
    Ok(answers[0].is_yes())
}

/// The seal: which claim, the outcome, the merge commit, and the record of the work.
fn seal_line(session: &Session, ended: &Ended) -> Event {
    let record = &ended.claim.record;
    let repo = &session.hub.repo;
    let work = ended.claim.previous.and_then(|previous| work_record(repo, previous)).unwrap_or_default();
    let mut seal = Event { ..work };
    seal.v = crate::task::event::VERSION;
    seal.at = ended.claim.at;
    seal.event = record.phase.as_str().to_owned();
    seal.task = Some(ended.task.to_string());
    seal.attempt = Some(record.attempts.begun);
    seal.charged = Some(record.attempts.charged);
    seal.node.clone_from(&record.node);
    seal.claim = Some(ended.claim.id.to_string());
    seal.target.clone_from(&ended.target);
    seal.merge_commit = ended.merge_commit.map(|id| id.to_string());
    seal.reopens = reopened_by(repo, &ended.claim).map(|id| id.to_string());
    seal
}

/// Prepares the deletion of chains that still stand on sealed tasks: a sealing that died before it, with the branch that
/// goes with it, or a push that landed late.
pub fn leftover_edits<'a>(session: &Session, tasks: impl IntoIterator<Item = &'a Task>) -> Result<Vec<Edit>> {
    let is_left = |task: &&Task| matches!(task.standing, Standing::Sealed { leftover: Some(_), .. });
    let mut left = tasks.into_iter().filter(is_left).peekable();
    // Looking at the checkouts costs a process, and mostly nothing is left.
    let in_use = if left.peek().is_some() { in_use(session)? } else { BTreeSet::new() };
    Ok(left.flat_map(|task| leftover_of(session, task, &in_use)).collect())
}

fn leftover_of(session: &Session, task: &Task, in_use: &BTreeSet<String>) -> Vec<Edit> {
    let Standing::Sealed { seal, leftover: Some(claim) } = &task.standing else {
        return Vec::new();
    };
    // A hub that was wound back shows the work as it stood before it was merged.
    let is_its_work = seal.event == "merged" && claim.result.is_some_and(|id| seal.result == Some(id.to_string()));
    if is_its_work || claim.record.phase == Phase::Merged && seal.claim == Some(claim.id.to_string()) {
        let ended = Ended {
            task: task.name().clone(),
            claim: (**claim).clone(),
            target: None,
            merge_commit: None,
            delete_branch: session.config.collect.delete_branches,
        };
        return deletions(session, &ended, in_use);
    }
    if claim.record.phase == Phase::Cancelled && seal.claim == Some(claim.id.to_string()) {
        return deletions(session, &super::cancel::ended(session, claim), in_use);
    }
    vec![Edit::new(session.hub.layout.claim(task.name()), Some(claim.id), None)]
}

/// Deletes claim refs and task branches, each leased on what was sealed. A branch that moved since stays.
fn delete_refs(
    session: &Session,
    ended: &[Ended],
    projection: &dyn Fn() -> Option<Edit>,
) -> Result<Vec<(String, &'static str)>> {
    let (mut edits, mut stay) = (Vec::new(), Vec::new());
    let in_use = in_use(session)?;
    for ended in ended {
        edits.extend(deletions(session, ended, &in_use));
        if let Some(branch) = ended.claim.record.branch.as_ref().filter(|_| ended.delete_branch)
            && in_use.contains(&Layout::branch_ref(branch))
        {
            stay.push((branch.clone(), "is checked out"));
        }
    }
    // All branches, then all claims: what a push costs grows with the refs that are still there.
    edits.sort_by_key(|edit| session.hub.layout.is_ours(&edit.name));
    let deletions = edits.len();
    edits.extend(projection());
    let mut answers = session.hub.publish_many(&edits)?;
    match answers.get(deletions) {
        // A server may refuse a whole push for one ref in it.
        Some(Answer::Unknown) if answers[..deletions].contains(&Answer::Unknown) => {
            answers = session.hub.publish(&edits[..deletions])?;
        }
        // Somebody else's came first.
        Some(Answer::No { .. }) if session.sync().is_ok() => {
            let _ = session.hub.publish(&projection().into_iter().collect::<Vec<_>>());
        }
        _ => {}
    }
    for (edit, answer) in edits.iter().take(deletions).zip(&answers) {
        if let (Some(branch), Answer::No { now: Some(_) }) = (edit.name.strip_prefix("refs/heads/"), answer)
            && !session.hub.layout.is_ours(&edit.name)
        {
            stay.push((branch.to_owned(), "has moved since"));
        }
    }
    Ok(stay)
}

/// The branches of the embedded hub that are checked out somewhere, by their full names: each is its user's.
pub(super) fn in_use(session: &Session) -> Result<BTreeSet<String>> {
    match session.hub.is_embedded() {
        true => Ok(session.hub.repo.checkouts()?.into_keys().collect()),
        false => Ok(BTreeSet::new()),
    }
}

/// The branch goes first: as long as the claim is there, the next one to meet it tries again.
fn deletions(session: &Session, ended: &Ended, in_use: &BTreeSet<String>) -> Vec<Edit> {
    let mut edits = Vec::new();
    if let (true, Some(branch), Some(result)) =
        (ended.delete_branch, &ended.claim.record.branch, ended.claim.result)
    {
        let name = Layout::branch_ref(branch);
        if !in_use.contains(&name) && branch.starts_with(session.config.branch_prefix.as_str()) {
            edits.push(Edit::new(name, Some(result), None));
        }
    }
    edits.push(Edit::new(session.hub.layout.claim(&ended.task), Some(ended.claim.id), None));
    edits
}

/// Finishes sealings that somebody began and did not end: merged claims whose result is in the target, and cancelled
/// ones. A merged claim whose result is not in the target is put back to completed.
pub fn finish_half_done(session: &Session, snapshot: &Snapshot) -> Result<Vec<TaskName>> {
    let mut ended = Vec::new();
    let mut done = Vec::new();
    let (mut kept, mut back, mut mended) = (Vec::new(), Vec::new(), Vec::new());
    for task in &snapshot.tasks {
        match &task.standing {
            Standing::Claimed(claim) if claim.record.phase == Phase::Cancelled => {
                let (cancelled, work) = super::cancel::take_up(session, task);
                ended.extend(cancelled);
                kept.extend(work);
            }
            Standing::Claimed(claim) if claim.record.phase == Phase::Merged => {
                match super::collect::landed(session, task, claim) {
                    Some(landed) => {
                        done.push(task.name().clone());
                        ended.push(Ended {
                            task: task.name().clone(),
                            claim: (**claim).clone(),
                            target: Some(landed.target),
                            merge_commit: landed.merge_commit,
                            delete_branch: session.config.collect.delete_branches,
                        });
                    }
                    None => back.push(&**claim),
                }
            }
            // Its repair landed, and whoever landed it was cut off before it said so; or a person merged it.
            Standing::Claimed(claim) if claim.record.phase == Phase::Conflict => {
                mended.extend(super::collect::landed(session, task, claim).map(|landed| (&**claim, landed)));
            }
            _ => {}
        }
    }
    super::collect::put_back(session, &back)?;
    for merged in super::collect::say_merged(session, &mended)? {
        done.push(merged.task.clone());
        ended.push(merged);
    }
    session.hub.publish_many(&leftover_edits(session, &snapshot.tasks)?)?;
    session.hub.publish(&kept)?;
    seal(session, &ended)?;
    Ok(done)
}
