//! Pushing many refs at once: values and leases stand ready as refs, and git is given one pattern for all.
//!
//! git compares every refspec and every lease that it is given with every ref, here and there: with a thousand of each that
//! costs more than all the rest. A pattern it looks up. So the new values are put under refs of their own for as long as the
//! push takes, and beside them, as if they were tracking a remote, the old ones: `--force-with-lease` without a name expects
//! of each ref what tracks it, and that there is none where nothing does. Owns these refs; what a process that was killed
//! left of them, the next one removes.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use gix::ObjectId;

use super::error::Result;
use super::refs::RefChange;
use super::repo::Repo;
use crate::fail;

/// From how many refs on that is less work.
const WORTH_IT: usize = 8;

/// Refs that stand ready to be pushed; they are gone when this is.
pub(super) struct Staged<'a> {
    repo: &'a Repo,
    /// What the names of all of them begin with. It holds our process's id: nobody else writes there.
    prefix: String,
    has_new: bool,
}

impl Repo {
    /// Puts new and old values of refs that are to be pushed under `area`, where there are enough of them; `None` where
    /// there are not, or where that cannot be done.
    pub(super) fn stage(&self, changes: &[RefChange], area: &str) -> Option<Staged<'_>> {
        static TIMES: AtomicU64 = AtomicU64::new(0);
        if changes.len() < WORTH_IT || changes.iter().any(|change| !change.name.starts_with("refs/")) {
            return None;
        }
        self.clear(area).ok()?;
        let prefix = format!("{area}{}-{}/", std::process::id(), TIMES.fetch_add(1, Ordering::Relaxed));
        let has_new = changes.iter().any(|change| change.new.is_some());
        // From here on what was written is removed again, whatever happens.
        let staged = Staged { repo: self, prefix, has_new };
        staged.write(changes).ok()?;
        fail::point("push.staged");
        Some(staged)
    }

    /// Removes what processes that live no longer left.
    fn clear(&self, area: &str) -> Result<()> {
        // What is not named so is not ours.
        let maker = |name: &str| name.split_once('-').and_then(|(id, _)| id.parse::<u32>().ok());
        let lives = |id| id == std::process::id() || crate::exec::group::start_time(id).is_some();
        let left = self.refs_with_prefix(area)?;
        let names = left.iter().filter_map(|(name, _)| name.strip_prefix(area)?.split('/').next());
        let dead: BTreeSet<&str> = names.filter(|name| maker(name).is_some_and(|id| !lives(id))).collect();
        dead.into_iter().try_for_each(|name| self.remove_refs_below(&format!("{area}{name}/")))
    }

    /// Removes all refs below a prefix that nobody else writes to, as files where they are.
    fn remove_refs_below(&self, prefix: &str) -> Result<()> {
        let _ = fs::remove_dir_all(self.common_dir().join(prefix));
        // git may have packed them meanwhile.
        let left = self.refs_with_prefix(prefix)?;
        let gone: Vec<RefChange> =
            left.into_iter().map(|(name, id)| RefChange::new(name, Some(id), None)).collect();
        self.change_refs(&gone, "git dispatch: left over")
    }
}

impl Staged<'_> {
    /// Writes the refs as files. Nobody else knows of them: no lock is needed, and none is waited for.
    fn write(&self, changes: &[RefChange]) -> io::Result<()> {
        if self.repo.keeps_tables() {
            return self.write_to_tables(changes).map_err(io::Error::other);
        }
        let root = self.repo.common_dir().join(&self.prefix);
        let mut made = BTreeSet::new();
        let mut write = |folder: &str, change: &RefChange, id: Option<ObjectId>| {
            let Some(id) = id else { return Ok(()) };
            let path = root.join(folder).join(change.name.strip_prefix("refs/").unwrap_or_default());
            let parent = path.parent().unwrap_or_else(|| Path::new(""));
            if made.insert(parent.to_owned()) {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, format!("{id}\n"))
        };
        for change in changes {
            write("new", change, change.new)?;
            write("old", change, change.old)?;
        }
        Ok(())
    }

    fn write_to_tables(&self, changes: &[RefChange]) -> Result<()> {
        let named = |folder: &str, change: &RefChange, id: Option<ObjectId>| {
            let name = change.name.strip_prefix("refs/").unwrap_or_default();
            Some(RefChange::new(format!("{}{folder}/{name}", self.prefix), None, Some(id?)))
        };
        let both = |change| [named("new", change, change.new), named("old", change, change.old)];
        let made: Vec<RefChange> = changes.iter().flat_map(both).flatten().collect();
        self.repo.change_refs(&made, "git dispatch: to be pushed")
    }

    /// What is given to git in place of a refspec for each that is not deleted. Never a `+`: it would switch the leases off.
    pub(super) fn refspec(&self) -> Option<String> {
        self.has_new.then(|| format!("{}new/*:refs/*", self.prefix))
    }

    /// The settings of a remote for this push alone, and its name: its tracking refs are what is expected.
    pub(super) fn remote(&self, url: &str) -> (String, [String; 2]) {
        let name = self.prefix.trim_end_matches('/').replace('/', "-");
        let settings =
            [format!("remote.{name}.url={url}"), format!("remote.{name}.fetch=+refs/*:{}old/*", self.prefix)];
        (name, settings)
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        let _ = self.repo.remove_refs_below(&self.prefix);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Git;

    #[test]
    fn refs_stand_ready_for_a_while_and_what_the_dead_left_goes() {
        let folder = tempfile::tempdir().unwrap();
        Git::outside(folder.path()).check(&["init", "--quiet", "--bare", "."]).unwrap();
        let repo = Repo::open(folder.path()).unwrap();
        let blob = repo.write_blob(b"x").unwrap();
        let dead = ["refs/stage/4194303999-0/new/x/1", "refs/stage/4194303999-0/old/y", "refs/stage/own/1"];
        let dead = dead.map(|name| RefChange::new(name, None, Some(blob)));
        repo.change_refs(&dead, "left").unwrap();
        repo.git().check(&["pack-refs", "--all"]).unwrap();
        let mut changes: Vec<RefChange> = (2..WORTH_IT)
            .map(|number| RefChange::new(format!("refs/x/{number}"), Some(blob), Some(blob)))
            .collect();
        changes.push(RefChange::new("refs/x/made", None, Some(blob)));
        assert!(repo.stage(&changes, "refs/stage/").is_none(), "too few");
        changes.push(RefChange::new("refs/x/gone", Some(blob), None));
        let staged = repo.stage(&changes, "refs/stage/").unwrap();
        let there = repo.refs_with_prefix("refs/stage/").unwrap();
        let refspec = staged.refspec().unwrap();
        let new = refspec.strip_suffix("*:refs/*").unwrap();
        let (_, [_, fetch]) = staged.remote("/x");
        let old = fetch.split_once(":").unwrap().1.strip_suffix('*').unwrap();
        let count = |prefix: &str| there.iter().filter(|(name, _)| name.starts_with(prefix)).count();
        assert_eq!((count(&format!("{new}x/")), count(&format!("{old}x/"))), (WORTH_IT - 1, WORTH_IT - 1));
        assert_eq!(there.len(), 2 * (WORTH_IT - 1) + 1, "and none of the dead: {there:?}");
        repo.git().check(&["pack-refs", "--all"]).unwrap();
        drop(staged);
        assert_eq!(repo.refs_with_prefix("refs/stage/").unwrap(), [("refs/stage/own/1".to_owned(), blob)]);
    }

    #[test]
    fn each_ref_is_pushed_under_its_own_lease() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).unwrap();
            Git::outside(&path).check(&["init", "--quiet", "--bare", "."]).unwrap();
            Repo::open(&path).unwrap()
        };
        let (here, hub) = (open("here"), open("hub"));
        let [a, b] = [b"a", b"b"].map(|text| here.write_blob(text).unwrap());
        let url = folder.path().join("hub").display().to_string();
        let remote = crate::git::remote::Remote { name: "hub".to_owned(), url: url.clone(), push_url: url };
        let push = |changes: &[RefChange]| {
            here.push(&remote, changes, false, "refs/stage/", std::time::Duration::from_secs(60)).unwrap();
            assert_eq!(here.refs_with_prefix("refs/").unwrap(), [], "nothing is left here");
        };
        let named = |name: &str, old, new| RefChange::new(format!("refs/x/{name}"), old, new);
        let many = |old, new| (0..WORTH_IT).map(move |at| named(&at.to_string(), old, Some(new)));
        let others = ["wrong", "there", "gone", "kept"].map(|name| named(name, None, Some(a)));
        push(&many(None, a).chain(others).collect::<Vec<_>>());
        let others = [
            named("wrong", Some(b), Some(b)),
            named("there", None, Some(b)),
            named("gone", Some(a), None),
            named("kept", Some(b), None),
        ];
        push(&many(Some(a), b).chain(others).collect::<Vec<_>>());
        let mut there = hub.refs_with_prefix("refs/").unwrap();
        let moved = there.extract_if(.., |(_, id)| *id == b).count();
        assert_eq!(moved, WORTH_IT);
        let left: Vec<&str> = there.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(left, ["refs/x/kept", "refs/x/there", "refs/x/wrong"]);
    }
}
