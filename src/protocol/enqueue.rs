//! Enqueue: specs become commits on the queue (DESIGN.md 3.1).
//!
//! Owns what makes a batch acceptable (names, dependencies, cycles) and the retry of a lost race. A batch is all in or
//! all out, and one push.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::error::{DependencyError, Error, Result};
use super::session::Session;
use crate::config::near::nearest;
use crate::git::ObjectId;
use crate::git::objects::{NewCommit, NewEntry};
use crate::hub::format::SpecRecord;
use crate::hub::format::spec::FILE;
use crate::hub::snapshot::{Snapshot, Task};
use crate::hub::{Answer, Edit, Error as HubError};
use crate::task::TaskName;
use crate::task::name::NameError;
use crate::task::spec::{Parsed, Places};

/// How often a batch is chained again on a queue that moved, before giving up.
const TRIES: u32 = 40;

/// A spec to be enqueued.
#[derive(Debug)]
pub struct Entry {
    /// Where it was read, for people.
    pub file: String,
    /// Its bytes, as they were given.
    pub bytes: Vec<u8>,
    /// What they say.
    pub parsed: Parsed,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enqueued {
    /// The tasks that are on the queue now, with their spec commits, in order.
    pub enqueued: Vec<(TaskName, ObjectId)>,
    /// The tasks that were there already, byte for byte the same.
    pub skipped: Vec<TaskName>,
}

/// Puts a batch of specs on the queue.
pub fn enqueue(session: &Session, entries: &[Entry], dry_run: bool) -> Result<Enqueued> {
    check_twice(entries)?;
    let mut ours: Vec<ObjectId> = Vec::new();
    for attempt in 0..TRIES {
        let snapshot = session.snapshot()?;
        let fresh = check(session, &snapshot, entries)?;
        let mut done = Enqueued { enqueued: Vec::new(), skipped: skipped(entries, &fresh, &ours, &snapshot) };
        // An earlier push of ours whose answer was lost has landed: then nothing is fresh any more.
        done.enqueued.extend(landed(entries, &ours, &snapshot));
        if fresh.is_empty() || dry_run {
            return Ok(done);
        }
        let (tip, chained) = chain(session, &snapshot, &fresh)?;
        ours.extend(chained.iter().map(|(_, id)| *id));
        let edit = Edit::new(session.hub.layout.queue(), snapshot.queue_tip, Some(tip));
        match session.hub.publish_unsettled(std::slice::from_ref(&edit))?.as_slice() {
            [Answer::Yes] => {
                done.enqueued.extend(chained);
                return Ok(done);
            }
            _ if attempt + 1 == TRIES => break,
            _ => wait_a_moment(session, attempt),
        }
        session.sync()?;
        refuse_if_rejected(session, &edit, attempt)?;
    }
    Err(HubError::Busy { name: session.hub.layout.queue(), tries: TRIES }.into())
}

/// A hub that answers, and leaves the queue as it was again and again, refuses.
fn refuse_if_rejected(session: &Session, edit: &Edit, attempt: u32) -> Result<()> {
    let unmoved = session.hub.known(&edit.name) == edit.old;
    if attempt >= 4 && unmoved {
        return Err(HubError::Refused { name: edit.name.clone() }.into());
    }
    Ok(())
}

/// Waits a random while, so that many enqueuers at one hot ref do not keep tripping over each other (FACTS.md: 6 a
/// second without, 31 with).
fn wait_a_moment(session: &Session, attempt: u32) {
    let most = f64::from(50 * (attempt + 1).min(20));
    std::thread::sleep(std::time::Duration::from_millis((most * session.ambient.fraction()) as u64));
}

/// The tasks of the batch that stood on the queue before us.
fn skipped(entries: &[Entry], fresh: &[&Entry], ours: &[ObjectId], snapshot: &Snapshot) -> Vec<TaskName> {
    let is_fresh: HashSet<&TaskName> = fresh.iter().map(|entry| &entry.parsed.spec.task).collect();
    let by_us =
        |name: &TaskName| snapshot.get(name).is_some_and(|task| task.specs.iter().any(|id| ours.contains(id)));
    let names = entries.iter().map(|entry| &entry.parsed.spec.task);
    names.filter(|name| !is_fresh.contains(name) && !by_us(name)).cloned().collect()
}

fn landed(entries: &[Entry], ours: &[ObjectId], snapshot: &Snapshot) -> Vec<(TaskName, ObjectId)> {
    let own = |name: &TaskName| snapshot.get(name)?.specs.iter().copied().find(|id| ours.contains(id));
    entries
        .iter()
        .filter_map(|entry| Some((entry.parsed.spec.task.clone(), own(&entry.parsed.spec.task)?)))
        .collect()
}

/// Chains the specs onto the queue's tip.
fn chain(
    session: &Session,
    snapshot: &Snapshot,
    fresh: &[&Entry],
) -> Result<(ObjectId, Vec<(TaskName, ObjectId)>)> {
    let mut tip = snapshot.queue_tip;
    let mut chained = Vec::with_capacity(fresh.len());
    for entry in fresh {
        let record = SpecRecord::of(&entry.parsed.spec);
        let parents: Vec<ObjectId> = tip.into_iter().collect();
        let id = session.hub.repo.write_commit(&NewCommit {
            tree: session.hub.repo.write_tree(&[NewEntry { name: FILE, content: &entry.bytes }])?,
            parents: &parents,
            message: &record.to_message(),
            by: &session.by,
            at: session.ambient.now(),
        })?;
        tip = Some(id);
        chained.push((record.task, id));
    }
    let tip = tip.ok_or_else(|| HubError::Refused { name: session.hub.layout.queue() })?;
    Ok((tip, chained))
}

/// Checks the batch against the queue and returns what is not on it yet, in the order given.
fn check<'a>(session: &Session, snapshot: &Snapshot, entries: &'a [Entry]) -> Result<Vec<&'a Entry>> {
    check_case(snapshot, entries)?;
    let mut fresh = Vec::new();
    for entry in entries {
        match snapshot.get(&entry.parsed.spec.task) {
            None => fresh.push(entry),
            Some(task) if is_same(session, task, entry) => {}
            Some(task) => {
                return Err(Error::Exists { task: task.name().clone(), state: task.state() });
            }
        }
    }
    check_dependencies(snapshot, entries)?;
    check_cycles(entries)?;
    Ok(fresh)
}

/// Says whether one of the task's specs holds the very bytes.
fn is_same(session: &Session, task: &Task, entry: &Entry) -> bool {
    let bytes = session.hub.repo.file_in(task.spec.id, FILE);
    bytes.as_deref() == Some(entry.bytes.as_slice())
}

fn check_twice(entries: &[Entry]) -> Result<()> {
    let mut seen: HashMap<String, &Entry> = HashMap::new();
    for entry in entries {
        let task = &entry.parsed.spec.task;
        let Some(first) = seen.insert(task.fold(), entry) else {
            continue;
        };
        if first.parsed.spec.task == *task {
            return Err(Error::Twice { task: task.clone(), first: first.file.clone(), second: entry.file.clone() });
        }
        return Err(case_clash(task, &first.parsed.spec.task));
    }
    Ok(())
}

/// File systems fold letter case, so two names must differ in more.
fn check_case(snapshot: &Snapshot, entries: &[Entry]) -> Result<()> {
    let mut projects: BTreeMap<String, &str> = BTreeMap::new();
    let mut tasks: HashMap<String, &TaskName> = HashMap::new();
    for task in &snapshot.tasks {
        projects.insert(task.name().project.fold(), task.name().project.as_str());
        tasks.insert(task.name().fold(), task.name());
    }
    for entry in entries {
        let name = &entry.parsed.spec.task;
        let project = projects.entry(name.project.fold()).or_insert_with(|| name.project.as_str());
        if *project != name.project.as_str() {
            let (name, other) = (name.project.to_string(), (*project).to_owned());
            return Err(NameError::CaseClash { name, other }.into());
        }
        if let Some(other) = tasks.get(&name.fold()).filter(|other| **other != name) {
            return Err(case_clash(name, other));
        }
    }
    Ok(())
}

fn case_clash(name: &TaskName, other: &TaskName) -> Error {
    NameError::CaseClash { name: name.to_string(), other: other.to_string() }.into()
}

fn check_dependencies(snapshot: &Snapshot, entries: &[Entry]) -> Result<()> {
    let batch: HashSet<&TaskName> = entries.iter().map(|entry| &entry.parsed.spec.task).collect();
    for entry in entries {
        for (at, dependency) in entry.parsed.spec.depends_on.iter().enumerate() {
            if batch.contains(dependency) || snapshot.get(dependency).is_some() {
                continue;
            }
            let known: Vec<String> = snapshot
                .tasks
                .iter()
                .map(Task::name)
                .chain(batch.iter().copied())
                .map(ToString::to_string)
                .collect();
            let help = match nearest(&dependency.to_string(), known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "enqueue it first, or in the same batch".to_owned(),
            };
            let places: &Places = &entry.parsed.places;
            return Err(DependencyError::Unknown {
                task: entry.parsed.spec.task.clone(),
                dependency: dependency.clone(),
                file: places.file.clone(),
                at: places.depends_on.get(at).copied(),
                help,
            }
            .into());
        }
    }
    Ok(())
}

/// Looks for a circle among the batch. What is on the queue already cannot depend on what is not, so a circle lies
/// within the batch.
fn check_cycles(entries: &[Entry]) -> Result<()> {
    let by_name: HashMap<&TaskName, &Entry> =
        entries.iter().map(|entry| (&entry.parsed.spec.task, entry)).collect();
    let mut done: HashSet<&TaskName> = HashSet::new();
    for entry in entries {
        // Depth first without recursion: a chain of a hundred thousand must not end the stack.
        let mut path: Vec<(&TaskName, usize)> = vec![(&entry.parsed.spec.task, 0)];
        let mut on_path: HashSet<&TaskName> = [&entry.parsed.spec.task].into();
        while let Some((name, next)) = path.last_mut() {
            let here = by_name[*name];
            let Some(dependency) = here.parsed.spec.depends_on.get(*next) else {
                on_path.remove(*name);
                done.insert(*name);
                path.pop();
                continue;
            };
            let at = here.parsed.places.depends_on.get(*next).copied();
            *next += 1;
            if on_path.contains(dependency) {
                let from = path.iter().position(|(name, _)| *name == dependency).unwrap_or(0);
                let mut circle: Vec<TaskName> = path[from..].iter().map(|(name, _)| (*name).clone()).collect();
                circle.push(dependency.clone());
                return Err(DependencyError::Cycle { circle, file: here.parsed.places.file.clone(), at }.into());
            }
            if by_name.contains_key(dependency) && !done.contains(dependency) {
                on_path.insert(dependency);
                path.push((dependency, 0));
            }
        }
    }
    Ok(())
}
