//! The outbox of a node whose hub stays away, as a file.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use super::{Made, Packing, repository, write};
use crate::git::ObjectId;
use crate::git::bundle::check_free;
use crate::hub::bundle::{Item, Kind, Stamp};
use crate::hub::outbox::{self, Waiting};
use crate::hub::snapshot::read_claim;
use crate::protocol::error::Result;
use crate::protocol::finish::carried;
use crate::protocol::session::Session;
use crate::task::TaskName;

/// Packs the results that wait in this clone, without what the hub had when it was last read. They wait on: once the hub
/// answers, those that came to it in a file are found there.
pub fn create(session: &Session, path: &Path) -> Result<Made> {
    check_free(path)?;
    let waiting = waiting(session)?;
    let snapshot = session.snapshot()?;
    let made = Made::nothing(Kind::Results, &session.node);
    let (false, Some(repository)) = (waiting.is_empty(), repository(&snapshot)) else { return Ok(made) };
    let hub = &session.hub;
    let (mut tasks, mut refs) = (BTreeMap::new(), BTreeMap::new());
    for (task, finish, waiting) in &waiting {
        let Ok(claim) = read_claim(&hub.repo, *finish) else { continue };
        tasks.insert(task.clone(), (claim.record.phase, *finish));
        refs.insert(Item::Claim(task.clone()), *finish);
        debug_assert_eq!(waiting.finish, finish.to_string());
    }
    let records: Vec<Waiting> = waiting.into_iter().map(|(.., waiting)| waiting).collect();
    let (status, logs) = carried::notes(session, &records)?;
    refs.extend(status.map(|tip| (Item::Status(session.node.clone()), tip)));
    refs.extend(logs.map(|tip| (Item::Logs(session.node.clone()), tip)));
    let stamp = Stamp { kind: Kind::Results, node: session.node.clone(), repository };
    let packing = Packing { stamp, tasks, refs, known: mirror(session)?, has: BTreeSet::new() };
    write(session, packing, path)
}

/// The open records of this node, each with its task and the commit that ends the attempt.
pub fn waiting(session: &Session) -> Result<Vec<(TaskName, ObjectId, Waiting)>> {
    let (waiting, _) = outbox::list(&session.state)?;
    let is_own = |waiting: &Waiting| waiting.is_open() && waiting.node == session.node.as_str();
    let read = |waiting: Waiting| {
        let finish = ObjectId::from_hex(waiting.finish.as_bytes()).ok()?;
        Some((TaskName::parse(&waiting.task).ok()?, finish, waiting))
    };
    Ok(waiting.into_iter().filter(is_own).filter_map(read).collect())
}

/// All that the hub had when it was last read.
fn mirror(session: &Session) -> Result<HashSet<ObjectId>> {
    let hub = &session.hub;
    let mut known: HashSet<ObjectId> = hub.target_tip(&hub.target).into_iter().collect();
    for prefix in hub.layout.mirror_prefixes() {
        known.extend(hub.repo.refs_with_prefix(&prefix)?.into_iter().map(|(_, id)| id));
    }
    Ok(known)
}
