//! Local refs: reading them, and moving them under a stated expectation.
//!
//! There is no `set`: every edit says what it expects to replace. Where they lie as files gix reads and writes them; where they
//! lie in a reftable, `tables` does.

use std::time::{Duration, Instant};

use gix::ObjectId;
use gix::lock::acquire::Fail;
use gix::refs::transaction::{Change, LogChange, PreviousValue, RefEdit, RefLog};
use gix::refs::{FullName, Target};

use super::error::{Error, Result};
use super::locks::PATIENCE;
use super::repo::Repo;
use super::tables::Tables;
use crate::fail;

/// How long a lock on one ref is waited for, as git does.
const LOCK_WAIT: Fail = Fail::AfterDurationWithBackoff(Duration::from_millis(100));

/// The same for the lock on all packed refs.
pub(super) const PACKED_LOCK_WAIT: Fail = Fail::AfterDurationWithBackoff(Duration::from_secs(1));

/// A change of one ref: from what it must be to what it shall be; `None` stands for "no such ref".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefChange {
    /// The full name.
    pub name: String,
    /// What it must hold.
    pub old: Option<ObjectId>,
    /// What it shall hold.
    pub new: Option<ObjectId>,
}

impl RefChange {
    /// States a change.
    pub fn new(name: impl Into<String>, old: Option<ObjectId>, new: Option<ObjectId>) -> Self {
        Self { name: name.into(), old, new }
    }
}

impl Repo {
    /// Returns what a ref holds; `None` where there is none. Symbolic refs are followed.
    pub fn ref_value(&self, name: &str) -> Option<ObjectId> {
        if let Some(tables) = &self.tables {
            // As gix does it: a tag stands for what it is of, and what is not here is nothing.
            let object = self.gix.find_object(tables.id(name)?).ok()?;
            return object.peel_tags_to_end().ok().map(|object| object.id);
        }
        let mut reference = self.gix.try_find_reference(name).ok()??;
        // For a name that is not there gix also finds the tag or branch whose short name it is.
        if reference.name().as_bstr() != name {
            return None;
        }
        reference.peel_to_id().ok().map(gix::Id::detach)
    }

    /// Returns the full name of the ref that a symbolic ref points to.
    pub fn symbolic_ref(&self, name: &str) -> Option<String> {
        if let Some(tables) = &self.tables {
            return tables.target(name);
        }
        let reference = self.gix.try_find_reference(name).ok()??;
        reference.target().try_name().map(|name| name.as_bstr().to_string())
    }

    /// Lists the refs whose full names begin with `prefix`, with what they hold, sorted by name. Tags are not peeled:
    /// a claim ref that holds something else than a commit must be seen as what it is.
    pub fn refs_with_prefix(&self, prefix: &str) -> Result<Vec<(String, ObjectId)>> {
        if let Some(tables) = &self.tables {
            return tables.below(prefix);
        }
        let failed = |error: gix::Error| Error::storage(format!("cannot list refs below {prefix}"), &error);
        let platform = self.gix.references().map_err(failed)?;
        let mut found = Vec::new();
        for reference in platform.prefixed(prefix).map_err(failed)? {
            // An empty or broken ref file spoils only itself.
            let Ok(reference) = reference else { continue };
            if let Some(id) = reference.target().try_id() {
                found.push((reference.name().as_bstr().to_string(), id.to_owned()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Puts all refs into one file or one table, as `git gc` does; what they hold stays as it is.
    pub fn pack_refs(&self) -> Result<()> {
        self.git().check(&["pack-refs", "--all"]).map(drop)
    }

    /// Makes all the changes, or none of them.
    pub fn change_refs(&self, changes: &[RefChange], why: &str) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        if let Some(tables) = &self.tables {
            return self.change_tables(tables, changes, why);
        }
        let first = self.try_to_change_refs(changes, why);
        // An expectation that does not hold will not hold later; what a killed process left goes away.
        if first.is_err() && self.is_as_expected(changes) && self.await_locks_of(changes)? {
            return self.try_to_change_refs(changes, why);
        }
        first
    }

    fn is_as_expected(&self, changes: &[RefChange]) -> bool {
        changes.iter().all(|change| self.ref_value(&change.name) == change.old)
    }

    /// The same in a reftable. All writers share its one lock: it is tried again as long as others come first.
    fn change_tables(&self, tables: &Tables, changes: &[RefChange], why: &str) -> Result<()> {
        changes.iter().try_for_each(|change| full_name(&change.name).map(drop))?;
        let begun = Instant::now();
        loop {
            let before = tables.state();
            fail::point("refs.before");
            let Err(error) = tables.change(changes, why) else {
                fail::point("refs.moved");
                return Ok(());
            };
            if !self.is_as_expected(changes) {
                return Err(error);
            }
            let was_locked = self.await_locks_of(changes)?;
            let is_free_to_try = was_locked || tables.state() != before;
            if !is_free_to_try || begun.elapsed() >= PATIENCE {
                return Err(error);
            }
        }
    }

    fn try_to_change_refs(&self, changes: &[RefChange], why: &str) -> Result<()> {
        let edits = changes.iter().map(|change| ref_edit(change, why)).collect::<Result<Vec<_>>>()?;
        let who = self.signature();
        let mut buffer = gix::date::parse::TimeBuf::default();
        let who = who.to_ref(&mut buffer);
        let failed = |error: gix::Error| Error::storage("cannot move refs", &error);
        fail::point("refs.before");
        let _mark = self.mark_writing(changes);
        let prepared = self.gix.refs.transaction().prepare(edits, LOCK_WAIT, PACKED_LOCK_WAIT).map_err(failed)?;
        fail::point("refs.locked");
        prepared.commit(Some(who)).map_err(failed)?;
        fail::point("refs.moved");
        Ok(())
    }
}

/// Checks a full name as git does.
pub(super) fn full_name(name: &str) -> Result<FullName> {
    name.try_into().map_err(|_| Error::Storage {
        what: format!("cannot move {}", crate::task::text::escaped(name)),
        detail: "not a valid ref name".to_owned(),
    })
}

fn ref_edit(change: &RefChange, why: &str) -> Result<RefEdit> {
    let name = full_name(&change.name)?;
    let expected = match change.old {
        Some(old) => PreviousValue::MustExistAndMatch(Target::Object(old)),
        None => PreviousValue::MustNotExist,
    };
    let change = match change.new {
        Some(new) => Change::Update {
            log: LogChange { mode: RefLog::AndReference, force_create_reflog: false, message: why.into() },
            expected,
            new: Target::Object(new),
        },
        None => Change::Delete { expected, log: RefLog::AndReference },
    };
    Ok(RefEdit { change, name, deref: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Git;

    #[test]
    fn a_name_that_is_not_there_is_no_short_name_of_another() {
        let folder = tempfile::tempdir().unwrap();
        Git::outside(folder.path()).check(&["init", "--quiet", "--bare", "."]).unwrap();
        let repo = Repo::open(folder.path()).unwrap();
        let blob = repo.write_blob(b"x").unwrap();
        for name in ["refs/tags/refs/x", "refs/heads/refs/x", "refs/remotes/refs/x", "refs/remotes/refs/x/HEAD"] {
            repo.change_refs(&[RefChange::new(name, None, Some(blob))], "made").unwrap();
            assert_eq!((repo.ref_value("refs/x"), repo.ref_value(name)), (None, Some(blob)), "{name}");
            repo.change_refs(&[RefChange::new(name, Some(blob), None)], "gone").unwrap();
        }
    }
}
