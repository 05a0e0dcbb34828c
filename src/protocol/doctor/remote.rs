//! The remote: whether it answers, remembers, and what it can do.

use std::path::{Path, PathBuf};

use super::{Findings, prober};
use crate::git::locks::left_behind;
use crate::hub::{Abilities, Layout, Place};
use crate::protocol::error::Result;
use crate::protocol::session::Session;
use crate::task::text::escaped;

/// Looks whether the hub answers and has what it had.
pub(super) fn reach(session: &Session, found: &mut Findings) -> Result<bool> {
    let Place::Remote(remote) = &session.hub.place else {
        found.fine("remote", "this repository is its own hub");
        return Ok(true);
    };
    let name = escaped(&remote.name);
    if let Some(folder) = folder_of(&remote.url) {
        spoiled(&folder, found);
    }
    let mut reader = session.clone();
    reader.hub.deadline = *session.config.sync_timeout;
    match reader.sync_leniently(None) {
        Ok(synced) => match synced.memory_lost {
            None => {
                found.fine("remote", format!("{name} ({}) answers", escaped(&remote.url)));
                Ok(true)
            }
            Some(lost) => {
                found.broken(
                    "remote",
                    format!("{name} has lost its memory: {}", escaped(&lost)),
                    "`git dispatch doctor --republish` gives it what this clone has; run it in the clone that read the hub last",
                );
                Ok(false)
            }
        },
        Err(error) if error.is_unreachable() => {
            let help = "is the network there, and the address right (`git remote -v`)? does `git fetch` work? what is finished meanwhile waits in the outbox";
            found.broken("remote", error.to_string(), help);
            Ok(false)
        }
        Err(error) => {
            let help = "once the branch is there, `git dispatch doctor` again";
            found.broken("remote", error.to_string(), help);
            Ok(false)
        }
    }
}

/// Looks whether tasks were queued before the prefix was set: nobody who goes by the new one would see them.
pub(super) fn prefixes(session: &Session, found: &mut Findings) -> Result<()> {
    let (ours, usual) = (session.hub.layout.queue(), Layout::default().queue());
    if ours != usual && session.hub.look(std::slice::from_ref(&usual))?.contains_key(&usual) {
        found.broken(
            "remote",
            format!("there is a queue at {usual}, and `ref_prefix` says that it is {}", escaped(&ours)),
            "let what is queued there end first (`git config dispatch.refPrefix` sets the old prefix for one clone), then delete those refs; or take `ref_prefix` back",
        );
    }
    Ok(())
}

/// The git directory of a hub on this machine.
fn folder_of(url: &str) -> Option<PathBuf> {
    let path = Path::new(url.strip_prefix("file://").unwrap_or(url));
    [path.to_owned(), path.join(".git")].into_iter().find(|folder| folder.join("refs").is_dir())
}

/// What a crash left on a hub on this machine. It is not ours to remove: whoever looks after it knows what else runs there.
fn spoiled(folder: &Path, found: &mut Findings) {
    let left = left_behind(folder, "refs");
    for lock in left.locks {
        let path = lock.display();
        found.broken(
            "leftovers",
            format!("{path} was left behind: nobody can write that ref"),
            format!("once no git runs there, on the hub: `rm {}`", quoted(&lock)),
        );
    }
    for empty in left.empty {
        found.broken(
            "leftovers",
            format!(
                "{} is empty, as after a crash of the machine: it spoils pushes to other refs, too",
                empty.display()
            ),
            format!("on the hub: `rm {}`; then `git dispatch doctor --republish`", quoted(&empty)),
        );
    }
}

/// A path as one word of a shell.
pub(super) fn quoted(path: &Path) -> String {
    let text = escaped(&path.to_string_lossy()).to_string();
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+=:@".contains(c));
    if is_plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// Tells what is remembered of the remote.
pub(super) fn abilities(session: &Session, found: &mut Findings) {
    if session.hub.is_embedded() {
        return;
    }
    let abilities = session.hub.abilities();
    weaknesses(session, &abilities, found);
    if session.hub.words.probed_at().is_none() && abilities == Abilities::default() {
        found.note(
            "abilities",
            "nobody has tried what the remote can do",
            "`git dispatch doctor --probe` tries, on scratch refs",
        );
    }
}

/// Tells what a remote cannot do, each with what follows from it.
pub(super) fn weaknesses(session: &Session, abilities: &Abilities, found: &mut Findings) {
    const ABOUT: &str = "abilities";
    let prefix = session.config.ref_prefix.as_str();
    if abilities.prefix == Some(false) || abilities.notes == Some(false) {
        let help = match prefix == Layout::DEFAULT_PREFIX {
            true => {
                "where it takes branches only: `ref_prefix = \"refs/heads/dispatch/\"` in git-dispatch.toml, on the target branch, before the first task is queued"
            }
            false => {
                "has your account the right to push there? does a rule forbid these names? whoever looks after the hub can say more"
            }
        };
        found.broken(ABOUT, format!("the remote takes no refs below {}", escaped(prefix)), help);
    }
    if abilities.swap == Some(false) {
        let help = "two nodes could win one task: use another server";
        found.broken(ABOUT, "the remote changes refs that do not hold what is expected", help);
    }
    if abilities.branches == Some(false) {
        let branches = escaped(session.config.branch_prefix.as_str()).to_string();
        found.note(
            ABOUT,
            format!("the remote takes no branches named {branches}…"),
            "work goes on without them, since results travel with the claims; `branch_prefix` names them otherwise",
        );
    }
    let tell = [
        (abilities.atomic == Some(false), "no atomic pushes", "claims, target and the rest go one after the other"),
        (
            abilities.deletes == Some(false),
            "no deletions of our refs",
            "the last claim of an ended task stays; so does other clutter",
        ),
        (abilities.branch_deletes == Some(false), "no deletions of task branches", "they stay"),
        (
            abilities.rewinds == Some(false),
            "no replacing of a ref by what does not descend from it",
            "heartbeats are chained, and each attempt has a branch of its own",
        ),
    ];
    for (_, what, how) in tell.into_iter().filter(|(is_so, ..)| *is_so) {
        found.note(ABOUT, format!("the remote takes {what}"), format!("nothing to do: {how}"));
    }
    if let Some(most) = abilities.refs_per_push {
        let noun = if most == 1 { "ref" } else { "refs" };
        found.note(
            ABOUT,
            format!("the remote takes {most} {noun} in one push"),
            "nothing to do: pushes are parted",
        );
    }
}

/// Removes the scratch refs that a killed probe of this clone left; those of others are theirs.
pub(super) fn scratch(session: &Session, found: &mut Findings) -> Result<()> {
    let hub = &session.hub;
    let (removed, left) = hub.remove_scratch(prober(session))?;
    if !removed.is_empty() {
        let what = format!("{} of a probe that was cut off: removed", scratch_refs(removed.len()));
        found.mended("leftovers", what);
    }
    if !left.is_empty() {
        let what = format!("{} of a probe on the hub, which deletes nothing", scratch_refs(left.len()));
        found.note("leftovers", what, "they are harmless; the next probe uses them again");
    }
    let own = hub.layout.scratch(&session.state.clone_id);
    let others = hub.repo.refs_with_prefix(&hub.layout.scratches())?;
    let others = others.iter().filter(|(name, _)| !name.starts_with(&own)).count();
    if others > 0 {
        let help = "another clone is probing, or was cut off: `git dispatch doctor` there removes them";
        found.note("leftovers", format!("{} of another clone's probe on the hub", scratch_refs(others)), help);
    }
    Ok(())
}

fn scratch_refs(count: usize) -> String {
    format!("{count} scratch {}", if count == 1 { "ref" } else { "refs" })
}
