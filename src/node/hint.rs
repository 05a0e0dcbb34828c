//! Hints from a hub on this machine, and from other folders: when something lands there, it is worth looking at once.
//!
//! A hint is never data: it may be missed, come late or come for nothing, and nothing depends on it but how soon the
//! next poll is.

use std::path::{Path, PathBuf};

use notify::{Config, Event, EventKindMask, RecommendedWatcher, RecursiveMode, Watcher};

use crate::git::{ObjectId, Repo};
use crate::hub::Place;
use crate::protocol::Session;

/// A watch on the hub's folder; it ends when dropped.
#[derive(Debug)]
pub struct Hints(#[expect(dead_code, reason = "held for its effect")] Option<RecommendedWatcher>);

impl Hints {
    /// Watches the hub, where it is a folder of this machine; elsewhere this does nothing.
    pub fn watch(session: &Session, tell: impl Fn() + Send + 'static) -> Self {
        let Some(folder) = folder_of(session) else { return Self(None) };
        let watched = match Repo::open(&folder) {
            Ok(hub) if hub.keeps_tables() => {
                let mut known = worth_a_look(&hub);
                // The whole list is written at each change, also of a beat.
                let has_moved = move |path: &Path| {
                    path.ends_with("tables.list") && {
                        let before = std::mem::replace(&mut known, worth_a_look(&hub));
                        before != known
                    }
                };
                watch(&folder.join("reftable"), has_moved, tell)
            }
            _ => watch(&folder.join("refs"), is_worth_a_look, tell),
        };
        Self(watched.ok())
    }

    /// Watches a folder with all that is in it, or says why that is not to be had.
    pub fn of_folder(folder: &Path, tell: impl Fn() + Send + 'static) -> Result<Self, String> {
        // The path stands in our message already.
        let plain = |error: notify::Error| error.set_paths(Vec::new()).to_string();
        watch(folder, |_| true, tell).map(|watcher| Self(Some(watcher))).map_err(plain)
    }
}

fn watch(
    folder: &Path,
    mut is_worth_a_look: impl FnMut(&Path) -> bool + Send + 'static,
    tell: impl Fn() + Send + 'static,
) -> notify::Result<RecommendedWatcher> {
    let on_event = move |event: notify::Result<Event>| {
        let is_change = |event: &Event| !event.kind.is_access() && !event.kind.is_other();
        if event.is_ok_and(|event| is_change(&event) && event.paths.iter().any(|path| is_worth_a_look(path))) {
            tell();
        }
    };
    // That a ref is read would be an event too: each poll of each node reads all of them, and each node would be told.
    let changes = Config::default().with_event_kinds(EventKindMask::CORE);
    let mut watcher = RecommendedWatcher::new(on_event, changes)?;
    watcher.watch(folder, RecursiveMode::Recursive)?;
    Ok(watcher)
}

/// Beats of nodes are no reason to look: they would wake the whole fleet for nothing.
fn is_worth_a_look(path: &Path) -> bool {
    let text = path.to_string_lossy();
    !text.ends_with(".lock") && ["/queue", "/claims/", "/control"].iter().any(|part| text.contains(part))
}

/// The same of refs that are not files of their own.
fn worth_a_look(hub: &Repo) -> Vec<(String, ObjectId)> {
    let mut refs = hub.refs_with_prefix("refs/").unwrap_or_default();
    refs.retain(|(name, _)| is_worth_a_look(Path::new(name)));
    refs
}

/// The hub's own folder: of a path, of a `file://` URL, or of this repository.
fn folder_of(session: &Session) -> Option<PathBuf> {
    let Place::Remote(remote) = &session.hub.place else {
        return Some(session.hub.repo.common_dir().to_owned());
    };
    let path = PathBuf::from(remote.url.strip_prefix("file://").unwrap_or(&remote.url));
    [path.join(".git"), path].into_iter().find(|folder| folder.join("objects").is_dir())
}
