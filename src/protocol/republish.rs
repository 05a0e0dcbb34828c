//! Republish: a hub that lost its memory gets back what this clone has (DESIGN.md 3, "The hub loses its memory").
//!
//! Owns the order, by which a republish that is cut off anywhere harms nobody: targets, seals and claims come before the
//! queue, so that nobody who knows nothing yet finds a task that has ended or is under way. What the hub has and this clone
//! has not stays: every change goes forward, under a lease. Given again, it goes on where it was cut off.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::error::Result;
use super::session::Session;
use crate::git::ObjectId;
use crate::hub::format::Trailers;
use crate::hub::notes::Addition;
use crate::hub::snapshot::{Snapshot, Standing, Task, read_claim};
use crate::hub::{Edit, Error as HubError, Layout};
use crate::task::event::Event;
use crate::task::{Phase, TaskName};

/// How often it is begun again on a hub that moves meanwhile.
const TRIES: u32 = 5;

/// What the hub has, by name.
type There = BTreeMap<String, ObjectId>;

/// What was given back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Republished {
    /// The refs that the hub took.
    pub given: Vec<String>,
    /// Tasks whose seals were made again from the target's merge commits.
    pub resealed: Vec<TaskName>,
    /// What stands on the hub and here and does not agree, and is left as it is.
    pub apart: Vec<String>,
}

/// Gives the hub back what this clone has and the hub has not, and reads it again.
pub fn republish(session: &Session) -> Result<Republished> {
    let mut done = Republished::default();
    if session.hub.is_embedded() {
        return Ok(done);
    }
    let branches = session.hub.mirrored_targets()?;
    for turn in 1.. {
        let there = session.hub.fetch_apart(&session.state, &branches)?;
        let round = Round { session, there: &there };
        done.apart.clear();
        let mut refused = None;
        for stage in Round::stages() {
            let edits = stage(&round, &mut done)?;
            let answers = session.hub.publish(&edits)?;
            for (edit, answer) in edits.into_iter().zip(answers) {
                match answer.is_yes() {
                    true => done.given.push(edit.name),
                    // Explains, and decides nothing: what is refused of it stops nothing.
                    false if session.hub.layout.is_projection(&edit.name) => {}
                    false => refused = refused.or(Some(edit.name)),
                }
            }
            if refused.is_some() {
                break;
            }
        }
        match refused {
            None => break,
            Some(name) if turn == TRIES => return Err(session.hub.refused(name).into()),
            Some(_) => {}
        }
    }
    done.given.sort();
    done.given.dedup();
    if done.apart.is_empty() {
        session.sync()?;
    }
    Ok(done)
}

/// Gives the claims of this clone's own back, where the hub has its queue again and lacks only them: whoever republished
/// had not seen them. Returns their tasks.
pub fn republish_own(session: &Session) -> Result<Vec<TaskName>> {
    let hub = &session.hub;
    let there = hub.fetch_apart(&session.state, &[])?;
    let queue = hub.layout.queue();
    let is_back = match (hub.known(&queue), there.get(&queue)) {
        (Some(known), Some(now)) => hub.repo.is_ancestor(known, *now),
        _ => false,
    };
    if !is_back {
        return Ok(Vec::new());
    }
    let seals = there.get(&hub.layout.sealed()).map(|tip| hub.repo.notes(*tip)).unwrap_or_default();
    let is_own = |id: &ObjectId| {
        read_claim(&hub.repo, *id).is_ok_and(|claim| {
            session.state.is_own(&claim.record.instance) && !seals.contains_key(&claim.record.spec)
        })
    };
    let mut edits = Round { session, there: &there }.claims_of(&session.snapshot()?);
    edits.retain(|edit| edit.new.as_ref().is_some_and(is_own));
    let answers = hub.publish(&edits)?;
    let given = edits.iter().zip(answers).filter(|(_, answer)| answer.is_yes());
    Ok(given.filter_map(|(edit, _)| hub.layout.task_of_claim(&edit.name)).collect())
}

/// One look at the hub, and what it lacks.
struct Round<'a> {
    session: &'a Session,
    there: &'a There,
}

type Stage<'a> = fn(&Round<'a>, &mut Republished) -> Result<Vec<Edit>>;

impl<'a> Round<'a> {
    /// In order; the queue last.
    fn stages() -> [Stage<'a>; 7] {
        [Self::targets, Self::notes, Self::work, Self::claims, Self::projections, Self::control, Self::queue]
    }

    /// Moves a ref forward to what is known here; what has gone another way stays, and is told.
    fn forward(&self, name: &str, ours: ObjectId, apart: &mut Vec<String>) -> Option<Edit> {
        let repo = &self.session.hub.repo;
        match self.there.get(name).copied() {
            Some(theirs) if repo.is_ancestor(ours, theirs) => None,
            Some(theirs) if !repo.is_ancestor(theirs, ours) => {
                apart.push(name.to_owned());
                None
            }
            theirs => Some(Edit::new(name, theirs, Some(ours))),
        }
    }

    fn targets(&self, done: &mut Republished) -> Result<Vec<Edit>> {
        let hub = &self.session.hub;
        let mut edits = Vec::new();
        for branch in hub.mirrored_targets()? {
            if let Some(tip) = hub.target_tip(&branch) {
                edits.extend(self.forward(&Layout::branch_ref(&branch), tip, &mut done.apart));
            }
        }
        Ok(edits)
    }

    /// Seals, those made again among them, status lines, reports, and the output that this clone has.
    fn notes(&self, done: &mut Republished) -> Result<Vec<Edit>> {
        let hub = &self.session.hub;
        let mut edits: Vec<Edit> = Vec::new();
        for prefix in [hub.layout.statuses(), hub.layout.reports(), hub.layout.all_logs()] {
            for (name, ours) in hub.repo.refs_with_prefix(&prefix)? {
                edits.extend(self.united(&name, ours)?);
            }
        }
        let name = hub.layout.sealed();
        let united = match hub.known(&name) {
            Some(ours) => self.united(&name, ours)?,
            None => None,
        };
        let theirs = self.there.get(&name).copied();
        let known = united.as_ref().and_then(|edit| edit.new).or(theirs);
        let made = self.lost_seals(known, done)?;
        match hub.add_to_notes(&name, known, &made, &self.session.by, &self.session.ambient)? {
            Some(edit) => edits.push(Edit { old: theirs, ..edit }),
            None => edits.extend(united),
        }
        Ok(edits)
    }

    /// The notes of both sides on one ref.
    fn united(&self, name: &str, ours: ObjectId) -> Result<Option<Edit>> {
        let hub = &self.session.hub;
        let theirs = match self.there.get(name) {
            // Output is fetched for itself.
            None if hub.layout.is_logs(name) => hub.fetch_unmirrored(&[name.to_owned()])?.get(name).copied(),
            theirs => theirs.copied(),
        };
        let Some(tip) = theirs.filter(|tip| !hub.repo.is_ancestor(*tip, ours)) else {
            return Ok((theirs != Some(ours)).then(|| Edit::new(name, theirs, Some(ours))));
        };
        let mut additions = Vec::new();
        for (object, blob) in hub.repo.notes(ours) {
            let there = hub.repo.note(tip, object).unwrap_or_default();
            let known: HashSet<&[u8]> = there.split_inclusive(|byte| *byte == b'\n').collect();
            let text = hub.repo.blob(blob).unwrap_or_default();
            let lacking = text.split_inclusive(|byte| *byte == b'\n').filter(|line| !known.contains(line));
            let text: Vec<u8> = lacking.flatten().copied().collect();
            if !text.is_empty() {
                additions.push(Addition { object, text });
            }
        }
        Ok(hub.add_to_notes(name, Some(tip), &additions, &self.session.by, &self.session.ambient)?)
    }

    /// The seals of tasks that a merge commit of the target says are merged, and of which neither side has a seal, nor a
    /// claim that a collect would make one from.
    fn lost_seals(&self, known: Option<ObjectId>, done: &mut Republished) -> Result<Vec<Addition>> {
        let hub = &self.session.hub;
        let sealed = known.map(|tip| hub.repo.notes(tip)).unwrap_or_default();
        let snapshot = self.session.snapshot()?;
        let specs: HashMap<ObjectId, &Task> =
            snapshot.tasks.iter().flat_map(|task| task.specs.iter().map(move |spec| (*spec, task))).collect();
        let mut made: Vec<Addition> = Vec::new();
        for branch in hub.mirrored_targets()? {
            for merge in self.merges(&branch) {
                let Some(task) = specs.get(&merge.spec).filter(|task| *task.name() == merge.task) else { continue };
                let is_sealed = task.specs.iter().any(|spec| sealed.contains_key(spec))
                    || made.iter().any(|addition| task.specs.contains(&addition.object));
                let is_known = |phase: Phase| matches!(phase, Phase::Completed | Phase::Merged);
                if is_sealed || self.phase_of(&merge.task).is_some_and(is_known) {
                    continue;
                }
                let mut seal = merge.event;
                seal.target = Some(branch.clone());
                made.push(Addition::line(merge.spec, &seal));
                done.resealed.push(merge.task);
            }
        }
        done.resealed.sort();
        done.resealed.dedup();
        Ok(made)
    }

    /// The phase of a task's newest claim, here or there.
    fn phase_of(&self, task: &TaskName) -> Option<Phase> {
        let hub = &self.session.hub;
        let name = hub.layout.claim(task);
        let (ours, theirs) = (hub.known(&name), self.there.get(&name).copied());
        let newest = match (ours, theirs) {
            (Some(ours), Some(theirs)) if hub.repo.is_ancestor(theirs, ours) => Some(ours),
            (ours, theirs) => theirs.or(ours),
        };
        Some(read_claim(&hub.repo, newest?).ok()?.record.phase)
    }

    /// The merges of tasks on a branch, as it stands on the side that is further on.
    fn merges(&self, branch: &str) -> Vec<Merge> {
        let hub = &self.session.hub;
        let theirs = self.there.get(&Layout::branch_ref(branch)).copied();
        let ours = hub.target_tip(branch);
        let tip = match (ours, theirs) {
            (Some(ours), Some(theirs)) if hub.repo.is_ancestor(ours, theirs) => Some(theirs),
            (ours, theirs) => ours.or(theirs),
        };
        let mut found = Vec::new();
        if let Some(tip) = tip {
            hub.repo.first_parents(tip, |commit| {
                found.extend(Merge::read(commit));
                true
            });
        }
        found
    }

    /// Work that was fenced off or went stale.
    fn work(&self, _: &mut Republished) -> Result<Vec<Edit>> {
        let hub = &self.session.hub;
        Ok(self.missing(hub.repo.refs_with_prefix(&hub.layout.attempts())?))
    }

    fn missing(&self, refs: Vec<(String, ObjectId)>) -> Vec<Edit> {
        let lacks = refs.into_iter().filter(|(name, _)| !self.there.contains_key(name));
        lacks.map(|(name, id)| Edit::new(name, None, Some(id))).collect()
    }

    fn claims(&self, _: &mut Republished) -> Result<Vec<Edit>> {
        // The seals are there by now, and the mirror has them.
        Ok(self.claims_of(&self.session.snapshot()?))
    }

    /// The claims of tasks that have not ended, where the hub is behind; where it went on without us, it is right.
    fn claims_of(&self, snapshot: &Snapshot) -> Vec<Edit> {
        let live = snapshot.tasks.iter().filter_map(Task::claim);
        let forward = |claim: &crate::hub::snapshot::Claim| {
            self.forward(&self.session.hub.layout.claim(&claim.record.task), claim.id, &mut Vec::new())
        };
        live.filter_map(forward).collect()
    }

    /// Task branches, and the nodes' last words: whoever lives says more soon.
    fn projections(&self, _: &mut Republished) -> Result<Vec<Edit>> {
        let hub = &self.session.hub;
        let there = hub.list(&[hub.layout.task_branches()])?;
        let mut edits = self.missing(hub.repo.refs_with_prefix(&hub.layout.nodes())?);
        for task in &self.session.snapshot()?.tasks {
            let Standing::Claimed(claim) = &task.standing else { continue };
            if let (Some(branch), Some(result)) = (&claim.record.branch, claim.result) {
                let name = Layout::branch_ref(branch);
                let is_ours = name.starts_with(&hub.layout.task_branches());
                if is_ours && !there.iter().any(|(known, _)| *known == name) {
                    edits.push(Edit::new(name, None, Some(result)));
                }
            }
        }
        Ok(edits)
    }

    fn control(&self, _: &mut Republished) -> Result<Vec<Edit>> {
        let name = self.session.hub.layout.control();
        let ours = self.session.hub.known(&name);
        Ok(ours.and_then(|ours| self.forward(&name, ours, &mut Vec::new())).into_iter().collect())
    }

    fn queue(&self, done: &mut Republished) -> Result<Vec<Edit>> {
        let name = self.session.hub.layout.queue();
        let Some(ours) = self.session.hub.known(&name) else { return Ok(Vec::new()) };
        Ok(self.forward(&name, ours, &mut done.apart).into_iter().collect())
    }
}

/// A merge commit that names the task whose work it brought.
struct Merge {
    task: TaskName,
    spec: ObjectId,
    event: Event,
}

impl Merge {
    fn read(commit: &crate::git::objects::Commit) -> Option<Self> {
        let [_, result] = commit.parents.as_slice() else { return None };
        let trailers = Trailers::parse(&commit.message);
        let task = TaskName::parse(trailers.get("Dispatch-Task")?).ok()?;
        let id = |key| ObjectId::from_hex(trailers.get(key)?.as_bytes()).ok();
        let (spec, claim) = (id("Dispatch-Spec")?, id("Dispatch-Claim")?);
        let mut event = Event::new(Phase::Merged.as_str(), commit.at);
        event.task = Some(task.to_string());
        event.attempt = trailers.get("Dispatch-Attempt").and_then(|text| text.parse().ok());
        event.node = trailers.get("Dispatch-Node").map(str::to_owned);
        event.claim = Some(claim.to_string());
        event.result = Some(result.to_string());
        event.merge_commit = Some(commit.id.to_string());
        Some(Self { task, spec, event })
    }
}

/// Makes the error of a hub that has gone another way than this clone.
pub fn apart(names: &[String]) -> HubError {
    HubError::Apart { names: names.join(", ") }
}
