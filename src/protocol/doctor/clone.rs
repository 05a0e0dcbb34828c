//! This clone: its git, its name, its programs, and what a crash left in it.

use std::path::{Path, PathBuf};

use super::Findings;
use super::remote::quoted;
use crate::config::model::ExecutorKind;
use crate::git::locks::left_behind;
use crate::hub::{Layout, outbox};
use crate::protocol::error::Result;
use crate::protocol::nodes::nodes;
use crate::protocol::session::Session;
use crate::task::text::escaped;

/// The oldest git that will do.
const OLDEST: (u32, u32) = (2, 39);

/// The oldest git that reads refs in a reftable.
const OLDEST_WITH_TABLES: (u32, u32) = (2, 45);

/// Looks at git itself, and at what of the repository keeps it from working.
pub(super) fn git(session: &Session, found: &mut Findings) -> Result<()> {
    let repo = &session.hub.repo;
    let text = repo.git().check(&["version"])?.text();
    let version = text.split_whitespace().nth(2).unwrap_or_default();
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if (major, minor) < OLDEST {
        found.broken("git", format!("git {} is too old", escaped(version)), "install git 2.39 or newer");
    } else if repo.keeps_tables() && (major, minor) < OLDEST_WITH_TABLES {
        let message = format!("git {} is too old for this clone: its refs lie in a reftable", escaped(version));
        found.broken("git", message, "install git 2.45 or newer, or use a clone with refs in files");
    } else {
        found.fine("git", format!("git {}", escaped(version)));
    }
    if repo.is_shallow() {
        found.broken("git", "this clone is shallow: nothing can be merged in it", "`git fetch --unshallow`");
    }
    Ok(())
}

/// Removes locks and empty refs that killed processes left here, where nothing is lost with them.
pub(super) fn locks(session: &Session, found: &mut Findings) -> Result<()> {
    let hub = &session.hub;
    let mut prefixes = vec![Layout::local().to_owned()];
    prefixes.extend(hub.layout.mirror_prefixes());
    for prefix in prefixes {
        let folder = prefix.rsplit_once('/').map_or(prefix.as_str(), |(folder, _)| folder);
        let is_ours = |path: &PathBuf| {
            let name = path.strip_prefix(hub.repo.common_dir()).unwrap_or(path).to_string_lossy().into_owned();
            name.starts_with(&prefix) || name == "packed-refs.lock" || name.starts_with("reftable/")
        };
        let mut left = left_behind(hub.repo.common_dir(), folder);
        left.locks.retain(is_ours);
        left.empty.retain(is_ours);
        for lock in &left.locks {
            let name = lock.strip_prefix(hub.repo.common_dir()).unwrap_or(lock).with_extension("");
            if hub.repo.await_lock_of(&name.to_string_lossy()).is_err() || lock.exists() {
                let help = format!("once no git runs here: `rm {}`", quoted(lock));
                found.broken("leftovers", format!("{} was left behind", lock.display()), help);
            }
        }
        for lock in left.locks.iter().filter(|lock| !lock.exists()) {
            found.mended(
                "leftovers",
                format!("{} was left behind by a killed process; it is removed", lock.display()),
            );
        }
        for empty in left.empty {
            let is_mirror = !hub.is_embedded()
                && (folder != Layout::local().trim_end_matches('/') || is_arrival(hub.repo.common_dir(), &empty));
            let what = format!("{} is empty, as after a crash of the machine", empty.display());
            if is_mirror && std::fs::remove_file(&empty).is_ok() {
                found.mended("leftovers", format!("{what}; it is removed, and read again from the hub"));
            } else {
                let help = format!("what it held is in `git fsck --lost-found`; then `rm {}`", quoted(&empty));
                found.broken("leftovers", what, help);
            }
        }
    }
    Ok(())
}

/// Says whether a ref file is of those that the next fetch writes again.
fn is_arrival(common_dir: &Path, file: &Path) -> bool {
    let below = |name: &str| file.starts_with(common_dir.join(name.trim_end_matches('/')));
    below(&Layout::arrivals()) || below(&Layout::mirrored_branch(""))
}

/// Looks whether another clone goes by the same name, or by the same id.
pub(super) fn names(session: &Session, found: &mut Findings) -> Result<()> {
    let snapshot = session.snapshot()?;
    let mut is_fine = true;
    for node in nodes(session, &snapshot)? {
        let record = &node.record;
        let is_alive = !matches!(node.state.as_str(), "lost" | "stopped");
        let host = escaped(&record.host);
        if record.name == session.node.as_str() && record.clone != session.state.clone_id && is_alive {
            is_fine = false;
            let help = "`git config dispatch.node NAME` gives this clone another one";
            found.broken("names", format!("another clone, on {host}, is called {} as well", session.node), help);
        }
        let is_copy = record.clone == session.state.clone_id && record.host != session.ambient.host();
        if is_copy && is_alive {
            is_fine = false;
            let file = session.state.path("clone-id");
            let help = format!("`rm {}` in the copy, and give it a name of its own", quoted(&file));
            found.broken("names", format!("this clone and one on {host} are copies with one id"), help);
        }
    }
    if is_fine {
        found.fine("names", format!("this node is called {}", session.node));
    }
    Ok(())
}

/// Looks whether the programs of the executors are on this machine.
pub(super) fn executors(session: &Session, found: &mut Findings) {
    let offered = &session.config.node_settings(session.node.as_str()).executors;
    let path = session.ambient.var("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(path).collect();
    let is_there = |program: &str| match program.contains('/') {
        true => true,
        false => folders.iter().any(|folder| folder.join(program).is_file()),
    };
    let mut fine = Vec::new();
    for (name, settings) in &session.config.executors {
        if !offered.is_empty() && !offered.contains(name) {
            continue;
        }
        let program = match settings.kind {
            ExecutorKind::Shell => Some("sh".to_owned()),
            ExecutorKind::Tmux => Some("tmux".to_owned()),
            ExecutorKind::Command => settings.command.first().cloned(),
        };
        let Some(program) = program else { continue };
        if is_there(&program) {
            fine.push(escaped(name).to_string());
            continue;
        }
        let message = format!("{} of executor {} is not on the PATH here", escaped(&program), escaped(name));
        let help = "install it, or leave the executor out of `node.executors` of this node";
        found.note("executors", message, help);
    }
    if !fine.is_empty() {
        found.fine("executors", fine.join(", "));
    }
}

/// Looks at what waits for the hub.
pub(super) fn outbox(session: &Session, found: &mut Findings) -> Result<()> {
    let (waiting, broken) = outbox::list(&session.state)?;
    for one in broken {
        let file = session.state.path("outbox").join(&one.file);
        let help =
            format!("its work is pinned below {}; look at it, then `rm {}`", Layout::outbox(""), quoted(&file));
        found.broken("leftovers", format!("the outbox record {} {}", escaped(&one.file), one.why), help);
    }
    for one in waiting {
        let task = escaped(&one.task);
        match (&one.fenced, &one.refused) {
            (None, None) => {
                let help = "`git dispatch outbox --flush` publishes it; so does the next `git dispatch run`";
                found.note("leftovers", format!("the result of {task} waits here for the hub"), help);
            }
            (Some(why), _) | (_, Some(why)) => {
                let help = "the work is kept here; `git dispatch outbox` names it";
                found.note("leftovers", format!("the result of {task} is not published: {}", escaped(why)), help);
            }
        }
    }
    Ok(())
}
