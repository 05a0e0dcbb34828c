//! Enqueue: specs become commits on the queue (DESIGN.md 3.1).
//!
//! Owns what makes a batch acceptable (names, dependencies, cycles) and the retry of a lost race. A batch is all in or
//! all out, and one push; what of many specs can go on the queue, each for itself, is told by [`sift`].

mod cycle;
pub mod doubts;
mod generation;
pub mod sift;

use cycle::check_cycles;
use generation::is_superseded;
use std::collections::{HashMap, HashSet};

use super::bundle::{Refused, refuse_away};
use super::error::{DependencyError, Error, Result};
use super::refusal::Refusal;
use super::replace;
use super::session::Session;
use super::trust::{self, Pen};
use crate::config::near::nearest;
use crate::git::ObjectId;
use crate::git::objects::{NewCommit, NewEntry};
use crate::hub::format::SpecRecord;
use crate::hub::format::spec::FILE;
use crate::hub::snapshot::{Snapshot, Task};
use crate::hub::{Answer, AtOnce, Edit, Error as HubError, Layout};
use crate::task::State;
use crate::task::TaskName;
use crate::task::name::NameError;
use crate::task::spec::{self, Defaults, Parsed, Places};

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
    /// On a repair: the task that it mends, and the completed claim that did not merge.
    pub repairs: Option<String>,
}

impl Entry {
    /// Reads a spec as it was given.
    pub fn read(file: String, bytes: Vec<u8>, defaults: &Defaults) -> Result<Self> {
        let parsed = spec::parse(&file, &bytes, defaults)?;
        Ok(Self { file, bytes, parsed, repairs: None })
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enqueued {
    /// The tasks that are on the queue now, with their spec commits, in order.
    pub enqueued: Vec<(TaskName, ObjectId)>,
    /// The tasks that were there already, byte for byte the same.
    pub skipped: Vec<TaskName>,
    /// Whether the batch was void: another one is that generation.
    pub superseded: bool,
}

/// What is wanted of an enqueue.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Only check, and say what would be done.
    pub dry_run: bool,
    /// Put a changed spec in force where the task is still pending.
    pub replace: bool,
    /// Sign the specs; they are as well where nothing else is trusted.
    pub sign: bool,
    /// The generation of the factory that the batch is; void where that or a later one is queued already.
    pub generation: Option<u32>,
    /// Try it on the queue as it is known here, before the hub is read; see [`may_go_at_once`].
    pub at_once: bool,
}

/// Says whether a batch may go on the queue as it is known here: none of its tasks is known yet, and nothing is wrong with it.
/// Whether that still holds, the lease on the queue tells.
pub fn may_go_at_once(session: &Session, entries: &[Entry], options: Options) -> Result<bool> {
    if options.dry_run || entries.is_empty() || session.ground()?.is_none() {
        return Ok(false);
    }
    let snapshot = session.snapshot()?;
    let is_new = |entry: &Entry| snapshot.get(&entry.parsed.spec.task).is_none();
    Ok(entries.iter().all(is_new)
        && check_twice(entries).is_ok()
        && check(session, &snapshot, entries, options).is_ok())
}

/// Puts a batch of specs on the queue.
pub fn enqueue(session: &Session, entries: &[Entry], options: Options) -> Result<Enqueued> {
    refuse_away(session, Refused::NoEnqueue)?;
    check_twice(entries)?;
    let pen = if options.dry_run { None } else { trust::pen_if(session, options.sign)? };
    let mut ours: Vec<ObjectId> = Vec::new();
    let mut refusal = Refusal::default();
    for attempt in 0..TRIES {
        let snapshot = session.snapshot()?;
        if options.generation.is_some_and(|generation| is_superseded(&snapshot, generation, &ours)) {
            return Ok(Enqueued { superseded: true, ..Enqueued::default() });
        }
        let batch = check(session, &snapshot, entries, options)?;
        let mut done = Enqueued { skipped: skipped(entries, &batch, &ours, &snapshot), ..Enqueued::default() };
        // An earlier push of ours whose answer was lost has landed: then nothing is fresh any more.
        done.enqueued.extend(landed(entries, &ours, &snapshot));
        if options.dry_run {
            return Ok(done);
        }
        if batch.fresh.is_empty() {
            replace::put_in_force(session, &batch.known)?;
            done.enqueued.extend(batch.known);
            return Ok(done);
        }
        // Three objects a spec: one pack of them is written and pushed many times faster than as many files.
        let quick = session.in_memory();
        let (tip, chained) = chain(&quick, &snapshot, &batch.fresh, options.generation, pen.as_ref())?;
        ours.extend(chained.iter().map(|(_, id)| *id));
        let edit = Edit::new(session.hub.layout.queue(), snapshot.queue_tip, Some(tip));
        let mut edits = vec![edit.clone()];
        edits.extend(generation::note(&quick, options.generation, &chained)?);
        quick.hub.repo.keep()?;
        if options.at_once && attempt == 0 {
            let mut ground = session.ground()?.unwrap_or_default();
            ground.push(Layout::branch_ref(&session.hub.target));
            if session.hub.publish_at_once(&edits, &ground)? == AtOnce::Made {
                done.enqueued.extend(chained);
                return Ok(done);
            }
            session.sync()?;
            continue;
        }
        // A hub that refuses may do so for the note, which decides nothing.
        let pushed = if refusal.is_likely() { &edits[..1] } else { &edits[..] };
        match session.hub.publish_unsettled(pushed)?.as_slice() {
            // The note explains, and decides nothing.
            [Answer::Yes, ..] => {
                let newer = chained.iter().filter(|(name, _)| snapshot.get(name).is_some()).cloned();
                let newer: Vec<(TaskName, ObjectId)> = newer.chain(batch.known.iter().cloned()).collect();
                replace::put_in_force(session, &newer)?;
                done.enqueued.extend(chained);
                done.enqueued.extend(batch.known);
                return Ok(done);
            }
            _ if attempt + 1 == TRIES => break,
            _ => wait_a_moment(session, attempt),
        }
        session.sync()?;
        refusal.tried(vec![edit]);
        refusal.look(session)?;
    }
    Err(HubError::Busy { name: session.hub.layout.queue(), tries: TRIES }.into())
}

/// A checked batch.
struct Batch<'a> {
    /// What has to be chained onto the queue.
    fresh: Vec<&'a Entry>,
    /// Newer specs of pending tasks that are on the queue already, and are to be put in force.
    known: Vec<(TaskName, ObjectId)>,
}

/// Waits a random while, so that many enqueuers at one hot ref do not keep tripping over each other (FACTS.md: 6 a
/// second without, 31 with).
fn wait_a_moment(session: &Session, attempt: u32) {
    let most = f64::from(50 * (attempt + 1).min(20));
    std::thread::sleep(std::time::Duration::from_millis((most * session.ambient.fraction()) as u64));
}

/// The tasks of the batch that stood on the queue before us.
fn skipped(entries: &[Entry], batch: &Batch<'_>, ours: &[ObjectId], snapshot: &Snapshot) -> Vec<TaskName> {
    let known = batch.known.iter().map(|(name, _)| name);
    let is_fresh: HashSet<&TaskName> =
        batch.fresh.iter().map(|entry| &entry.parsed.spec.task).chain(known).collect();
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
    generation: Option<u32>,
    pen: Option<&Pen>,
) -> Result<(ObjectId, Vec<(TaskName, ObjectId)>)> {
    let mut tip = snapshot.queue_tip;
    let mut chained = Vec::with_capacity(fresh.len());
    for entry in fresh {
        // A newer spec of a task stays in its generation, or that would be written again.
        let known = snapshot.get(&entry.parsed.spec.task).and_then(|task| task.spec.record.generation);
        let generation = generation.or(known);
        let record =
            SpecRecord { repairs: entry.repairs.clone(), generation, ..SpecRecord::of(&entry.parsed.spec) };
        let parents: Vec<ObjectId> = tip.into_iter().collect();
        let commit = NewCommit {
            tree: session.hub.repo.write_tree(&[NewEntry { name: FILE, content: &entry.bytes }])?,
            parents: &parents,
            message: &record.to_message(),
            by: &session.by,
            at: session.ambient.now(),
        };
        let id = match pen {
            Some(pen) => session.hub.repo.write_signed_commit(&commit, &pen.signer, &pen.context)?,
            None => session.hub.repo.write_commit(&commit)?,
        };
        tip = Some(id);
        chained.push((record.task, id));
    }
    let tip = tip.ok_or_else(|| session.hub.refused(session.hub.layout.queue()))?;
    Ok((tip, chained))
}

/// Checks the batch against the queue and parts it into what is not on it yet, in the order given, and what is only to
/// be put in force.
fn check<'a>(session: &Session, snapshot: &Snapshot, entries: &'a [Entry], options: Options) -> Result<Batch<'a>> {
    let mut cases = Cases::of(snapshot);
    entries.iter().try_for_each(|entry| cases.check(&entry.parsed.spec.task))?;
    let mut batch = Batch { fresh: Vec::new(), known: Vec::new() };
    for entry in entries {
        let Some(task) = snapshot.get(&entry.parsed.spec.task) else {
            batch.fresh.push(entry);
            continue;
        };
        if is_same(session, task.spec.id, entry) {
            continue;
        }
        if !options.replace {
            return Err(Error::Exists { task: task.name().clone(), state: task.state() });
        }
        if task.state() != State::Pending {
            return Err(Error::ReplaceTooLate { task: task.name().clone(), state: task.state() });
        }
        match task.specs.iter().find(|id| is_same(session, **id, entry)) {
            Some(id) => batch.known.push((task.name().clone(), *id)),
            None => batch.fresh.push(entry),
        }
    }
    let names: HashSet<&TaskName> = entries.iter().map(|entry| &entry.parsed.spec.task).collect();
    entries.iter().try_for_each(|entry| check_dependencies(snapshot, &names, entry))?;
    check_cycles(snapshot, &entries.iter().collect::<Vec<_>>())?;
    Ok(batch)
}

/// Says whether a spec commit holds the very bytes.
fn is_same(session: &Session, spec: ObjectId, entry: &Entry) -> bool {
    session.hub.repo.file_in(spec, FILE).as_deref() == Some(entry.bytes.as_slice())
}

fn check_twice(entries: &[Entry]) -> Result<()> {
    let mut seen: HashMap<String, &Entry> = HashMap::new();
    for entry in entries {
        if let Some(first) = seen.insert(entry.parsed.spec.task.fold(), entry) {
            return Err(twice(first, entry));
        }
    }
    Ok(())
}

/// Refuses the second of two specs whose names are one, but for letter case.
fn twice(first: &Entry, second: &Entry) -> Error {
    let task = &second.parsed.spec.task;
    if first.parsed.spec.task == *task {
        return Error::Twice { task: task.clone(), first: first.file.clone(), second: second.file.clone() };
    }
    case_clash(task, &first.parsed.spec.task)
}

/// File systems fold letter case, so two names must differ in more.
struct Cases<'a> {
    projects: HashMap<String, &'a str>,
    tasks: HashMap<String, &'a TaskName>,
}

impl<'a> Cases<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let names = || snapshot.tasks.iter().map(Task::name);
        Self {
            projects: names().map(|name| (name.project.fold(), name.project.as_str())).collect(),
            tasks: names().map(|name| (name.fold(), name)).collect(),
        }
    }

    fn check(&mut self, name: &'a TaskName) -> Result<()> {
        let project = *self.projects.entry(name.project.fold()).or_insert_with(|| name.project.as_str());
        if project != name.project.as_str() {
            let (name, other) = (name.project.to_string(), project.to_owned());
            return Err(NameError::CaseClash { name, other }.into());
        }
        match self.tasks.get(&name.fold()).filter(|other| **other != name) {
            Some(other) => Err(case_clash(name, other)),
            None => Ok(()),
        }
    }
}

fn case_clash(name: &TaskName, other: &TaskName) -> Error {
    NameError::CaseClash { name: name.to_string(), other: other.to_string() }.into()
}

/// Checks that what a spec depends on is on the queue, or among those named beside it.
fn check_dependencies(snapshot: &Snapshot, batch: &HashSet<&TaskName>, entry: &Entry) -> Result<()> {
    let is_there = |name: &TaskName| batch.contains(name) || snapshot.get(name).is_some();
    let depends_on = &entry.parsed.spec.depends_on;
    let Some(at) = depends_on.iter().position(|name| !is_there(name)) else { return Ok(()) };
    let known: Vec<String> =
        snapshot.tasks.iter().map(Task::name).chain(batch.iter().copied()).map(ToString::to_string).collect();
    let help = match nearest(&depends_on[at].to_string(), known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "enqueue it first, or in the same batch".to_owned(),
    };
    let places: &Places = &entry.parsed.places;
    Err(DependencyError::Unknown {
        task: entry.parsed.spec.task.clone(),
        dependency: depends_on[at].clone(),
        file: places.file.clone(),
        at: places.depends_on.get(at).copied(),
        help,
    }
    .into())
}
