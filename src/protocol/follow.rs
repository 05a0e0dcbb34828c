//! Following the events of all tasks: each once, whoever wrote them and whenever they arrived (CLI.md, `log`).
//!
//! Owns the cursor: the name of a list of the events told so far, kept in this clone. Times cannot serve as one, since
//! another clone's event of yesterday may arrive today.

use std::collections::HashSet;

use super::error::{Error, Result};
use super::session::Session;
use crate::git::ObjectId;
use crate::git::refs::RefChange;
use crate::hub::Layout;
use crate::hub::history::{all, identity};
use crate::hub::snapshot::Snapshot;
use crate::task::event::Event;

/// Tells the events that were not told up to the cursor, and the new cursor.
pub fn events_since(session: &Session, snapshot: &Snapshot, cursor: Option<&str>) -> Result<(Vec<Event>, String)> {
    let told = cursor.map(|cursor| read(session, cursor)).transpose()?.unwrap_or_default();
    let events = all(&session.hub, snapshot)?;
    let mut names: Vec<String> = events.iter().map(name).collect();
    let fresh: Vec<Event> =
        events.into_iter().zip(&names).filter(|(_, name)| !told.contains(*name)).map(|(event, _)| event).collect();
    names.extend(told);
    names.sort();
    names.dedup();
    let repo = &session.hub.repo;
    let id = repo.write_blob(names.join("\n").as_bytes())?;
    // The last few cursors are pinned, so that housekeeping does not take them from whoever follows.
    let pin = Layout::cursor(&id.to_string());
    if repo.ref_value(&pin).is_none() {
        repo.change_refs(&[RefChange::new(pin, None, Some(id))], "git dispatch: cursor")?;
    }
    let now = id.to_string();
    if let Some(cursor) = cursor.filter(|cursor| *cursor != now) {
        forget_older(session, cursor)?;
    }
    Ok((fresh, now))
}

/// Keeps the cursor that was just used, so that a lost answer can be asked for again, and drops those before it.
fn forget_older(session: &Session, used: &str) -> Result<()> {
    let repo = &session.hub.repo;
    let used_size =
        ObjectId::from_hex(used.as_bytes()).ok().and_then(|id| repo.blob(id)).map_or(0, |blob| blob.len());
    let pins = repo.refs_with_prefix(&Layout::cursors())?;
    for (name, id) in pins {
        // A cursor only ever grows, so what is smaller is older.
        let is_older = repo.blob(id).is_none_or(|blob| blob.len() < used_size);
        if is_older {
            repo.change_refs(&[RefChange::new(name, Some(id), None)], "git dispatch: old cursor")?;
        }
    }
    Ok(())
}

fn read(session: &Session, cursor: &str) -> Result<HashSet<String>> {
    let unknown = || Error::UnknownCursor { cursor: cursor.to_owned() };
    let id = ObjectId::from_hex(cursor.as_bytes()).map_err(|_| unknown())?;
    let text = session.hub.repo.blob(id).ok_or_else(unknown)?;
    Ok(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
}

fn name(event: &Event) -> String {
    let (task, event, claim, at) = identity(event);
    format!("{} {event} {} {at}", task.unwrap_or_default(), claim.unwrap_or_default())
}
