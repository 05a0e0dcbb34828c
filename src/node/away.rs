//! A hub that stays away: results that wait are written to a file, for a person to carry (DESIGN.md 6).
//!
//! Owns when that is. The results wait on in the outbox all the same: whichever way they come to the hub first counts.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::hub::snapshot::read_claim;
use crate::protocol::announce::{Announce, Happened};
use crate::protocol::bundle::outbox;
use crate::protocol::{Result, Session};

/// The record of what was written, so that it is written once.
const RECORD: &str = "bundled.json";

/// What was written to files already: the commits that end attempts.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Written {
    finishes: BTreeSet<String>,
}

/// Writes what waits to a file, where it has waited for `outbox.bundle_after`. What goes wrong is told: the results are in
/// the outbox, and the next poll tries again.
pub fn hand_over(session: &Session, announce: &dyn Announce) {
    if let Err(error) = try_to(session, announce) {
        announce.happened(&Happened::Note(format!("no bundle could be written: {error}")));
    }
}

fn try_to(session: &Session, announce: &dyn Announce) -> Result<()> {
    let settings = &session.config.outbox;
    let (Some(after), Some(folder)) = (settings.bundle_after.unless_zero(), &settings.bundle_dir) else {
        return Ok(());
    };
    let waiting = outbox::waiting(session)?;
    let now = session.ambient.now();
    let age = |at: jiff::Timestamp| now.duration_since(at).as_secs_f64();
    let is_old = |at| age(at) >= after.as_secs_f64();
    let of_finish = |id| read_claim(&session.hub.repo, id).ok().map(|claim| claim.at);
    let has_waited = waiting.iter().filter_map(|(_, finish, _)| of_finish(*finish)).any(is_old);
    // A hub that was heard of since is not away: it is only slow to take what waits.
    let is_away = session.synced_at()?.is_none_or(is_old);
    if !has_waited || !is_away {
        return Ok(());
    }
    let finishes: BTreeSet<String> = waiting.iter().map(|(_, finish, _)| finish.to_string()).collect();
    let written: Written = session.state.read(RECORD)?.unwrap_or_default();
    if finishes.is_subset(&written.finishes) {
        return Ok(());
    }
    let file = free_file(session, folder)?;
    let made = outbox::create(session, &file)?;
    session.state.write(RECORD, &Written { finishes })?;
    for task in made.tasks.into_keys() {
        announce.happened(&Happened::Bundled { task, file: file.to_string_lossy().into_owned() });
    }
    Ok(())
}

/// A file of its own for each time, in the configured folder.
fn free_file(session: &Session, folder: &std::path::Path) -> Result<PathBuf> {
    let folder = session.hub.repo.common_dir().join(folder);
    std::fs::create_dir_all(&folder).map_err(|error| crate::git::Error::file(&folder, error))?;
    let time: String = session.ambient.now().to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    let name = |number: u32| match number {
        0 => format!("{}-{time}.bundle", session.node),
        _ => format!("{}-{time}-{number}.bundle", session.node),
    };
    let free = (0..).map(|number| folder.join(name(number))).find(|path| !path.exists());
    Ok(free.unwrap_or_else(|| folder.join(name(0))))
}
