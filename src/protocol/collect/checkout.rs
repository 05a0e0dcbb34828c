//! The checkout that has the target checked out follows it, or a line says why not (DESIGN.md 5).
//!
//! Owns the note on disk by which a collect that was killed between moving the branch and moving the files is resumed.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::git::ObjectId;
use crate::git::refs::RefChange;
use crate::hub::Layout;
use crate::protocol::error::{Error, Result};
use crate::protocol::session::Session;

/// The file that remembers a checkout under way.
const NOTE: &str = "checkout.json";

/// A checkout that is to follow the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Following {
    folder: PathBuf,
    branch: String,
    old: String,
    new: String,
}

impl Following {
    fn ids(&self) -> Option<(ObjectId, ObjectId)> {
        Some((ObjectId::from_hex(self.old.as_bytes()).ok()?, ObjectId::from_hex(self.new.as_bytes()).ok()?))
    }
}

/// Looks, before anything is published, whether a checkout of the target can follow to `new`. With the embedded hub
/// one that cannot is refused: there, moving the branch is the commit point.
pub(super) fn prepare(session: &Session, target: &str, tip: ObjectId, new: ObjectId) -> Result<Option<Following>> {
    let following = look(session, target, tip, new)?;
    if let Some(following) = &following {
        session.state.write(NOTE, following)?;
    }
    Ok(following)
}

/// Does the same, and remembers nothing: before a verification, which takes long.
pub(super) fn look(session: &Session, target: &str, tip: ObjectId, new: ObjectId) -> Result<Option<Following>> {
    let repo = &session.hub.repo;
    let branch = Layout::branch_ref(target);
    if tip == new {
        return Ok(None);
    }
    let Some(folder) = repo.checkout_of(&branch)? else {
        return Ok(None);
    };
    let Some(local) = repo.ref_value(&branch) else {
        return Ok(None);
    };
    // A local branch with commits of its own is not ours to move; `follow` says so.
    if session.hub.is_embedded()
        && repo.is_ancestor(local, new)
        && !repo.checkout_can_follow(&folder, local, new)?
    {
        return Err(Error::DirtyCheckout { checkout: folder, branch: target.to_owned() });
    }
    Ok(Some(Following { folder, branch, old: local.to_string(), new: new.to_string() }))
}

/// Forgets a checkout that has nothing to follow: nothing was published.
pub(super) fn forget(session: &Session) -> Result<()> {
    Ok(session.state.remove(NOTE)?)
}

/// Moves branch and files; returns a line for the person where that could not be done.
pub(super) fn follow(session: &Session, following: Option<Following>) -> Result<Option<String>> {
    let Some(following) = following else {
        return Ok(None);
    };
    let note = move_it(session, &following)?;
    session.state.remove(NOTE)?;
    Ok(note)
}

/// Takes up a checkout that a killed collect left behind its branch. Returns it where its push has not landed, and may
/// yet: git outlives the collect that started it.
pub(super) fn resume(session: &Session) -> Result<Option<Following>> {
    let Some(following) = session.state.read::<Following>(NOTE)? else {
        return Ok(None);
    };
    let left = (!catch_up(session, Some(&following))?).then_some(following);
    session.state.remove(NOTE)?;
    Ok(left)
}

/// Moves a checkout to what a killed collect published, if it has; says whether it has.
pub(super) fn catch_up(session: &Session, following: Option<&Following>) -> Result<bool> {
    let Some((following, (_, new))) = following.and_then(|following| Some((following, following.ids()?))) else {
        return Ok(false);
    };
    let repo = &session.hub.repo;
    let target = following.branch.trim_start_matches("refs/heads/");
    let tip = session.hub.target_tip(target);
    let is_published = tip.is_some_and(|tip| repo.has(new) && repo.is_ancestor(new, tip));
    if is_published {
        move_it(session, following)?;
    }
    Ok(is_published)
}

fn move_it(session: &Session, following: &Following) -> Result<Option<String>> {
    let repo = &session.hub.repo;
    let Some((old, new)) = following.ids() else {
        return Ok(None);
    };
    let name = following.branch.trim_start_matches("refs/heads/");
    let folder = crate::task::text::escaped(&following.folder.to_string_lossy());
    let by_hand =
        |why: &str| Some(format!("{name} in {folder} {why}; `git -C {folder} pull` brings what was merged"));
    if repo.checkout_of(&following.branch)?.as_ref() != Some(&following.folder) {
        return Ok(None);
    }
    if !session.hub.is_embedded() {
        let local = repo.ref_value(&following.branch);
        if local != Some(old) && local != Some(new) {
            return Ok(by_hand("was moved meanwhile"));
        }
        if !repo.is_ancestor(old, new) {
            return Ok(by_hand("has commits of its own"));
        }
        if !repo.checkout_can_follow(&following.folder, old, new)? {
            return Ok(by_hand("has changes in the way"));
        }
        if local == Some(old) {
            let change = RefChange::new(following.branch.as_str(), Some(old), Some(new));
            repo.change_refs(&[change], "git dispatch: collect")?;
        }
    }
    match repo.checkout_follow(&following.folder, old, new)? {
        true => Ok(None),
        false => Ok(by_hand("has changes in the way")),
    }
}
