//! Results that come in a file are taken in under the rules of finishing online (DESIGN.md 3.4, 6).
//!
//! Owns the order: claims with their branches, fenced work, then notes and the node's record. What was killed in between
//! is taken up by the same file once more: whatever arrived is found there.

use std::path::Path;

use super::{Bundle, Refused};
use crate::git::ObjectId;
use crate::git::bundle::BundleError;
use crate::hub::bundle::{Item, Kind};
use crate::hub::nodes::NodeRecord;
use crate::hub::snapshot::{read_claim, status_of};
use crate::hub::{Edit, Layout};
use crate::protocol::claim::all_yes;
use crate::protocol::error::Result;
use crate::protocol::finish::carried::{Carried, Step};
use crate::protocol::session::Session;
use crate::task::{Name, Phase, TaskName};

/// How often results are pushed on claims that moved.
const TRIES: u32 = 5;

/// How many of these carry branches beside the claims.
const TOGETHER: u32 = 2;

/// Work that counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fenced {
    /// The task.
    pub task: TaskName,
    /// Why.
    pub why: String,
    /// The ref with the work, where there is any.
    pub kept: Option<String>,
}

/// What came of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The node that it came from.
    pub node: Name,
    /// What was taken in, each with its phase.
    pub taken: Vec<(TaskName, Phase)>,
    /// What the hub had already.
    pub already: Vec<TaskName>,
    /// What counts for nothing, and is kept.
    pub fenced: Vec<Fenced>,
}

/// Reads the header of a file with results, and refuses any other; the hub is not asked.
pub fn read(session: &Session, path: &Path) -> Result<Bundle> {
    super::refuse_away(session, Refused::NoCollect)?;
    let bundle = Bundle::read(path)?;
    bundle.demand(Kind::Results)?;
    Ok(bundle)
}

/// Takes in the results of a file, in a clone that has just read the hub.
pub fn import(session: &Session, bundle: &Bundle, dry_run: bool) -> Result<Imported> {
    bundle.demand_repository(super::repository(&session.snapshot()?))?;
    let node = &bundle.contents.stamp.node;
    let logs = session.hub.layout.logs(node);
    if bundle.header.prerequisites.iter().any(|id| !session.hub.repo.has(*id)) {
        // Output notes are not mirrored, and the new ones build on the old.
        let _ = session.hub.fetch_unmirrored(std::slice::from_ref(&logs));
    }
    let manifest = bundle.unpack(&session.hub)?;
    let last = session.hub.pinned_manifest(&Layout::imported(node))?;
    let is_again = last.is_some_and(|last| last.id == manifest.id);
    let carried = carried(session, bundle)?;
    let mut imported = Imported { node: node.clone(), taken: Vec::new(), already: Vec::new(), fenced: Vec::new() };
    let mut beside = if dry_run { Vec::new() } else { note_edits(session, bundle)? };
    claims(session, carried, &mut beside, dry_run, is_again, &mut imported)?;
    if !dry_run {
        keep_attempts(session, bundle, &mut imported)?;
        notes(session, bundle, beside)?;
        session.hub.pin_manifest(&Layout::imported(node), bundle.contents.manifest)?;
    }
    Ok(imported)
}

/// Reads the results, and refuses a file in which one is not what it says.
fn carried(session: &Session, bundle: &Bundle) -> Result<Vec<(Carried, Phase)>> {
    let contents = &bundle.contents;
    let mut found = Vec::new();
    for (task, (phase, id)) in &contents.tasks {
        let claim = read_claim(&session.hub.repo, *id).ok();
        let is_what_it_says = claim.as_ref().is_some_and(|claim| {
            claim.record.task == *task && claim.record.phase == *phase && claim.result.is_some()
        });
        let is_told_of = status_of(&session.hub.repo, *id).is_some();
        let is_named = contents.refs.get(&Item::Claim(task.clone())) == Some(id);
        let is_end = matches!(phase, Phase::Completed | Phase::Failed);
        if !is_what_it_says || !is_told_of || !is_named || !is_end {
            let detail = format!("what it holds of {task} is no result");
            return Err(BundleError::Damaged { path: bundle.path.clone(), detail }.into());
        }
        let node = contents.stamp.node.clone();
        found.push((Carried { task: task.clone(), finish: *id, node }, *phase));
    }
    Ok(found)
}

/// Moves the claims, all in one push with their branches and what goes `beside` them; what did not get through is looked at
/// again. What goes beside is taken out once it is there.
fn claims(
    session: &Session,
    mut open: Vec<(Carried, Phase)>,
    beside: &mut Vec<Edit>,
    dry_run: bool,
    is_again: bool,
    imported: &mut Imported,
) -> Result<()> {
    for turn in 0.. {
        let snapshot = session.snapshot()?;
        let (mut edits, mut branches, mut left) = (Vec::new(), Vec::new(), Vec::new());
        for (carried, phase) in open {
            match carried.judge(session, &snapshot)? {
                Step::Landed if turn == 0 => imported.already.push(carried.task),
                Step::Landed => imported.taken.push((carried.task, phase)),
                Step::Move { .. } if dry_run => imported.taken.push((carried.task, phase)),
                Step::Move { claim, branch } => {
                    edits.push(claim);
                    branches.extend(branch);
                    left.push((carried, phase));
                }
                Step::Fenced(why) => fence(session, carried, why, dry_run, is_again, imported)?,
            }
        }
        let Some(first) = edits.first().map(|edit| edit.name.clone()) else { return Ok(()) };
        if turn == TRIES {
            return Err(session.hub.refused(first).into());
        }
        if turn < TOGETHER {
            edits.extend(branches);
        }
        let count = edits.len();
        edits.append(beside);
        let answers = session.hub.publish(&edits)?;
        if !all_yes(&answers[count..]) {
            *beside = edits.split_off(count);
        }
        // As online, the claim's answer alone decides.
        let (made, lost): (Vec<_>, Vec<_>) = left.into_iter().zip(answers).partition(|(_, answer)| answer.is_yes());
        imported.taken.extend(made.into_iter().map(|((carried, phase), _)| (carried.task, phase)));
        open = lost.into_iter().map(|(left, _)| left).collect();
        if open.is_empty() {
            return Ok(());
        }
        session.sync()?;
    }
    Ok(())
}

fn fence(
    session: &Session,
    carried: Carried,
    why: String,
    dry_run: bool,
    is_again: bool,
    imported: &mut Imported,
) -> Result<()> {
    let (kept, was_kept) = if dry_run { (None, false) } else { carried.keep(session, &why)? };
    if was_kept || is_again {
        imported.already.push(carried.task);
    } else {
        imported.fenced.push(Fenced { task: carried.task, why, kept });
    }
    Ok(())
}

/// Keeps what was fenced off on the other side already.
fn keep_attempts(session: &Session, bundle: &Bundle, imported: &mut Imported) -> Result<()> {
    let mut edits: Vec<(TaskName, Edit)> = Vec::new();
    for (item, id) in &bundle.contents.refs {
        let Item::Attempt(task, ..) = item else { continue };
        let name = item.name(&session.hub.layout);
        if session.hub.known(&name).is_none() {
            edits.push((task.clone(), Edit::new(name, None, Some(*id))));
        }
    }
    let pushed: Vec<Edit> = edits.iter().map(|(_, edit)| edit.clone()).collect();
    let answers = session.hub.publish(&pushed)?;
    for ((task, edit), answer) in edits.into_iter().zip(answers) {
        if answer.is_yes() {
            let why = "it was taken away while the node worked at it".to_owned();
            imported.fenced.push(Fenced { task, why, kept: Some(edit.name) });
        }
    }
    Ok(())
}

/// Brings the notes and the record of the node. They explain and decide nothing, and the same file brings them again.
fn notes(session: &Session, bundle: &Bundle, mut edits: Vec<Edit>) -> Result<()> {
    for _ in 0..TOGETHER {
        if edits.is_empty() || all_yes(&session.hub.publish(&edits)?) {
            break;
        }
        session.sync()?;
        edits = note_edits(session, bundle)?;
    }
    Ok(())
}

/// What of the notes and the record of the node the hub does not have.
fn note_edits(session: &Session, bundle: &Bundle) -> Result<Vec<Edit>> {
    let hub = &session.hub;
    let mut edits: Vec<Edit> = Vec::new();
    for (item, id) in &bundle.contents.refs {
        let name = item.name(&hub.layout);
        let known = match item {
            Item::Status(_) => hub.known(&name),
            Item::Logs(_) => hub.fetch_unmirrored(std::slice::from_ref(&name))?.get(&name).copied(),
            Item::Node(node) => {
                edits.extend(node_edit(session, node, *id));
                continue;
            }
            _ => continue,
        };
        edits.extend(hub.take_in_notes(&name, known, *id, &session.by, &session.ambient)?);
    }
    Ok(edits)
}

/// The node's own word about itself, unless another clone of that name is known here.
fn node_edit(session: &Session, node: &Name, id: ObjectId) -> Option<Edit> {
    let hub = &session.hub;
    let read = |id| serde_json::from_slice::<NodeRecord>(&hub.repo.file_in(id, "node.json")?).ok();
    let record = read(id).filter(|record| record.name == node.as_str() && record.v <= 1)?;
    let name = hub.layout.node(node);
    let known = hub.known(&name);
    let is_newer = match known {
        Some(known) => {
            let known = read(known)?;
            known.clone == record.clone && known.beat_at < record.beat_at
        }
        None => true,
    };
    is_newer.then(|| Edit::new(name, known, Some(id)))
}
