//! Results of a node that never sees the hub: the claims that ended here, with all that they name.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use super::{Made, Packing, Refused, attempts, repository, write};
use crate::git::ObjectId;
use crate::git::bundle::check_free;
use crate::hub::Layout;
use crate::hub::bundle::{Item, Kind, Stamp};
use crate::hub::snapshot::{Task, chain_of};
use crate::protocol::error::Result;
use crate::protocol::session::Session;
use crate::task::{Hold, Phase, TaskName};

/// Packs what ended in this clone, without what the hub is known to have.
pub fn create(session: &Session, path: &Path, whole: bool, dry_run: bool) -> Result<Made> {
    if !session.away {
        return Err(Refused::NotAway.into());
    }
    check_free(path)?;
    let snapshot = session.snapshot()?;
    let opened = session.hub.pinned_manifest(&Layout::opened())?;
    // The hub's own refs as they came are there in any case; what it took in from here may have been forgotten.
    let is_there = |name: &&String| !whole || !name.contains("/claims/") && !name.contains("/attempts/");
    let acknowledged = match (&opened, whole) {
        (Some(manifest), false) => manifest.acknowledged(),
        (Some(manifest), true) => {
            let refs = manifest.refs.iter().filter(|(name, _)| is_there(name));
            refs.filter_map(|(_, id)| ObjectId::from_hex(id.as_bytes()).ok()).collect()
        }
        (None, _) => HashSet::new(),
    };
    let (mut tasks, mut refs) = (BTreeMap::new(), BTreeMap::new());
    for task in &snapshot.tasks {
        let Some((phase, tip)) = ended(session, task).filter(|(_, tip)| !acknowledged.contains(tip)) else {
            continue;
        };
        tasks.insert(task.name().clone(), (phase, tip));
        refs.insert(Item::Claim(task.name().clone()), tip);
    }
    let kept = attempts(session, &session.node)?;
    refs.extend(kept.into_iter().filter(|(_, work)| !acknowledged.contains(work)));
    let mut made = Made::nothing(Kind::Results, &session.node);
    let (false, Some(repository)) = (refs.is_empty(), repository(&snapshot)) else { return Ok(made) };
    if dry_run {
        made.tasks = tasks.into_iter().map(|(task, (phase, _)): (TaskName, _)| (task, phase)).collect();
        return Ok(made);
    }
    let node = &session.node;
    for item in [Item::Status(node.clone()), Item::Logs(node.clone()), Item::Node(node.clone())] {
        refs.extend(session.hub.known(&item.name(&session.hub.layout)).map(|tip| (item, tip)));
    }
    let has: BTreeSet<String> = opened.map(|manifest| manifest.refs.into_values().collect()).unwrap_or_default();
    let stamp = Stamp { kind: Kind::Results, node: node.clone(), repository };
    write(session, Packing { stamp, tasks, refs, known: acknowledged, has }, path)
}

/// The claim of an attempt that ended here, for a task that a bundle reserved.
fn ended(session: &Session, task: &Task) -> Option<(Phase, ObjectId)> {
    let tip = task.claim().filter(|tip| matches!(tip.record.phase, Phase::Completed | Phase::Failed))?;
    let node = Some(session.node.as_str());
    let is_own = tip.record.node.as_deref() == node
        && chain_of(&session.hub.repo, tip.id)
            .iter()
            .any(|claim| claim.record.hold == Some(Hold::Offline) && claim.record.node.as_deref() == node);
    is_own.then_some((tip.record.phase, tip.id))
}
