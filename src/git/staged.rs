//! Pushing many refs that the remote has already: by one pattern, from refs that stand ready.
//!
//! git compares every refspec of a push with every ref, here and there: with a thousand of each that costs more than all the
//! rest. A pattern it looks up. So the new values are put under refs of their own for as long as the push takes. Owns these
//! refs; what a process that was killed left of them, the next one removes.

use std::sync::atomic::{AtomicU64, Ordering};

use super::error::Result;
use super::refs::RefChange;
use super::repo::Repo;

/// From how many moved refs on that is less work.
const WORTH_IT: usize = 200;

/// Refs that stand ready to be pushed; they are gone when this is.
pub(super) struct Staged<'a> {
    repo: &'a Repo,
    refs: Vec<RefChange>,
    prefix: String,
}

impl Repo {
    /// Puts the new values of refs that are to be moved under `area`, where there are enough of them; `None` where
    /// there are not, or where that cannot be done.
    pub(super) fn stage(&self, changes: &[RefChange], area: &str) -> Option<Staged<'_>> {
        static TIMES: AtomicU64 = AtomicU64::new(0);
        // New refs are compared with few, as a rule.
        let moved = changes.iter().filter(|change| change.old.is_some() && change.new.is_some()).count();
        if moved < WORTH_IT || changes.iter().any(|change| !change.name.starts_with("refs/")) {
            return None;
        }
        self.clear(area).ok()?;
        let prefix = format!("{area}{}-{}/", std::process::id(), TIMES.fetch_add(1, Ordering::Relaxed));
        let made = changes.iter().filter(|change| change.new.is_some());
        let staged =
            |change: &RefChange| format!("{prefix}{}", change.name.strip_prefix("refs/").unwrap_or_default());
        let refs: Vec<RefChange> = made.map(|change| RefChange::new(staged(change), None, change.new)).collect();
        self.change_refs(&refs, "git dispatch: staged").ok()?;
        Some(Staged { repo: self, refs, prefix })
    }

    /// Removes what processes that live no longer left.
    fn clear(&self, area: &str) -> Result<()> {
        let lives = |name: &str| {
            let id = name.strip_prefix(area).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
            id.is_some_and(|id| id == std::process::id() || crate::exec::group::start_time(id).is_some())
        };
        let left = self.refs_with_prefix(area)?.into_iter().filter(|(name, _)| !lives(name));
        let gone: Vec<RefChange> = left.map(|(name, id)| RefChange::new(name, Some(id), None)).collect();
        self.change_refs(&gone, "git dispatch: left over")
    }
}

impl Staged<'_> {
    /// What is given to git in place of a refspec for each. Never a `+`: it would switch the leases off.
    pub(super) fn refspec(&self) -> String {
        format!("{}*:refs/*", self.prefix)
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        let gone: Vec<RefChange> =
            self.refs.iter().map(|change| RefChange::new(change.name.clone(), change.new, None)).collect();
        let _ = self.repo.change_refs(&gone, "git dispatch: pushed");
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
        let dead = RefChange::new("refs/stage/4194303999-0/x/1", None, Some(blob));
        repo.change_refs(&[dead], "left").unwrap();
        let mut changes: Vec<RefChange> = (0..WORTH_IT)
            .map(|number| RefChange::new(format!("refs/x/{number}"), Some(blob), Some(blob)))
            .collect();
        assert!(repo.stage(&changes[1..], "refs/stage/").is_none(), "too few");
        changes.push(RefChange::new("refs/x/gone", Some(blob), None));
        let staged = repo.stage(&changes, "refs/stage/").unwrap();
        let there = repo.refs_with_prefix("refs/stage/").unwrap();
        assert_eq!(there.len(), WORTH_IT, "{there:?}");
        let prefix = staged.refspec().strip_suffix("*:refs/*").unwrap().to_owned();
        assert!(there.iter().all(|(name, id)| name.starts_with(&format!("{prefix}x/")) && *id == blob));
        drop(staged);
        assert_eq!(repo.refs_with_prefix("refs/stage/").unwrap(), []);
    }
}
