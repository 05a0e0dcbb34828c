//! Refs that lie in a reftable, which gix does not read: a stack of tables, each with what changed since the one below.
//!
//! Reading is done here: `tables.list` names the tables, none of them ever changes, and so each is read once and the small
//! list at every use, which tells exactly whether anything has moved. Writing is git's: one transaction of `update-ref`. Owns where a
//! ref lies (`HEAD` and a few others in a folder of each worktree's own) and how it is read; what a value means, and when a
//! write is tried again, is `refs`'.

mod format;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gix::ObjectId;

use self::format::{Record, Value};
use super::error::{Error, Result};
use super::process::Git;
use super::refs::RefChange;

/// The folder in a git directory.
const FOLDER: &str = "reftable";

/// The list of the tables, oldest first.
const LIST: &str = "tables.list";

/// How often the tables are read anew when one goes away meanwhile, as it was merged with others.
const TRIES: usize = 100;

/// How many symbolic refs are followed, as git does.
const DEPTH: usize = 5;

/// How long a write may take: git itself waits for the lock for a second.
const DEADLINE: Duration = Duration::from_secs(60);

/// What the names of refs begin with that each worktree has of its own.
const OWN: [&[u8]; 3] = [b"refs/bisect/", b"refs/rewritten/", b"refs/worktree/"];

/// All refs of a repository, as seen from one of its worktrees.
pub(super) struct Tables {
    common_dir: PathBuf,
    shared: Stack,
    /// Those of a linked worktree.
    own: Option<Stack>,
}

impl Tables {
    /// Reads the refs of a repository once, so that what cannot be read is told at once.
    pub(super) fn open(common_dir: &Path, git_dir: &Path) -> Result<Self> {
        let own = (git_dir != common_dir).then(|| Stack::of(git_dir));
        let tables = Self { common_dir: common_dir.to_owned(), shared: Stack::of(common_dir), own };
        tables.shared.now()?;
        tables.own.as_ref().map_or(Ok(()), |own| own.now().map(drop))?;
        Ok(tables)
    }

    /// The object that a ref holds, symbolic refs followed.
    pub(super) fn id(&self, name: &str) -> Option<ObjectId> {
        let mut name = name.as_bytes().to_vec();
        for _ in 0..=DEPTH {
            match self.value(&name)? {
                Value::Gone => return None,
                Value::Id(id) => return Some(id),
                Value::Symbolic(next) => name = next,
            }
        }
        None
    }

    /// The full name of the ref that a symbolic ref points to.
    pub(super) fn target(&self, name: &str) -> Option<String> {
        match self.value(name.as_bytes())? {
            Value::Symbolic(target) => Some(String::from_utf8_lossy(&target).into_owned()),
            Value::Gone | Value::Id(_) => None,
        }
    }

    /// Lists the refs that hold objects and whose full names begin with `prefix`, with what they hold.
    pub(super) fn below(&self, prefix: &str) -> Result<Vec<(String, ObjectId)>> {
        let mut found = self.shared.below(prefix.as_bytes())?;
        if let Some(own) = &self.own {
            found.retain(|(name, _)| !is_own(name));
            found.extend(own.below(prefix.as_bytes())?.into_iter().filter(|(name, _)| is_own(name)));
        }
        let text = |name: Vec<u8>| String::from_utf8_lossy(&name).into_owned();
        Ok(found.into_iter().map(|(name, id)| (text(name), id)).collect())
    }

    /// Has git make all the changes, or none of them. It is told where they end: the beginning of them alone is nothing.
    pub(super) fn change(&self, changes: &[RefChange], why: &str) -> Result<()> {
        // Not to be cancelled: it takes a moment, and what is tidied up at the end is written like that as well.
        let git = Git::at(&self.common_dir, None).with_deadline(DEADLINE);
        git.check_with(&["update-ref", "--no-deref", "-m", why, "--stdin", "-z"], Some(told(changes))).map(drop)
    }

    /// What tells whether any ref has moved: the names of the tables.
    pub(super) fn state(&self) -> Vec<u8> {
        self.shared.list().unwrap_or_default()
    }

    fn value(&self, name: &[u8]) -> Option<Value> {
        let stack = self.own.as_ref().filter(|_| is_own(name)).unwrap_or(&self.shared);
        stack.value(name).ok()?
    }
}

/// The lock on all refs in a git directory.
pub(super) fn lock(git_dir: &Path) -> PathBuf {
    git_dir.join(FOLDER).join(format!("{LIST}.lock"))
}

/// All locks there: git also locks the tables that it is about to merge.
pub(super) fn locks(git_dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(git_dir.join(FOLDER)).into_iter().flatten().flatten().map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "lock")).collect()
}

/// The branch that the worktree with this git directory has checked out; `None` as well where the folder is on its way out.
pub(super) fn head_of(git_dir: &Path) -> Result<Option<String>> {
    let stack = Stack::of(git_dir);
    if !stack.folder.exists() {
        return Ok(None);
    }
    Ok(match stack.value(b"HEAD")? {
        Some(Value::Symbolic(name)) => Some(String::from_utf8_lossy(&name).into_owned()),
        _ => None,
    })
}

fn is_own(name: &[u8]) -> bool {
    !name.starts_with(b"refs/") || OWN.iter().any(|prefix| name.starts_with(prefix))
}

/// The changes as `update-ref --stdin -z` reads them.
fn told(changes: &[RefChange]) -> Vec<u8> {
    let none = ObjectId::null(gix::hash::Kind::Sha1);
    let mut text = "start\0".to_owned();
    for RefChange { name, old, new } in changes {
        let expected = old.unwrap_or(none);
        text += &match (old, new) {
            (_, Some(new)) => format!("update {name}\0{new}\0{expected}\0"),
            (Some(old), None) => format!("delete {name}\0{old}\0"),
            (None, None) => format!("verify {name}\0{expected}\0"),
        };
    }
    text += "prepare\0commit\0";
    text.into_bytes()
}

/// Tables, oldest first: the name of each, and its refs, sorted by name.
type Pile = Vec<(Vec<u8>, Arc<Vec<Record>>)>;

/// One stack of tables.
struct Stack {
    folder: PathBuf,
    known: Mutex<Known>,
}

/// What was read of it last.
#[derive(Default)]
struct Known {
    list: Vec<u8>,
    tables: Arc<Pile>,
}

impl Stack {
    fn of(git_dir: &Path) -> Self {
        Self { folder: git_dir.join(FOLDER), known: Mutex::default() }
    }

    fn list(&self) -> Result<Vec<u8>> {
        let path = self.folder.join(LIST);
        fs::read(&path).map_err(|error| Error::file(path, error))
    }

    /// The tables as they are now.
    fn now(&self) -> Result<Arc<Pile>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut missing = None;
        for _ in 0..TRIES {
            let list = self.list()?;
            if list == known.list {
                return Ok(known.tables.clone());
            }
            match self.read(&list, &known.tables) {
                Ok(tables) => {
                    *known = Known { list, tables: Arc::new(tables) };
                    return Ok(known.tables.clone());
                }
                // Merged with others just now: then the list is another one.
                Err(Error::File { path, source }) if source.kind() == ErrorKind::NotFound => {
                    missing = Some(Error::File { path, source });
                }
                Err(error) => return Err(error),
            }
        }
        missing.map_or_else(|| Ok(known.tables.clone()), Err)
    }

    fn read(&self, list: &[u8], known: &Pile) -> Result<Pile> {
        let names = list.split(|byte| *byte == b'\n').filter(|name| !name.is_empty());
        names
            .map(|name| {
                let table = match known.iter().find(|(known, _)| known == name) {
                    Some((_, table)) => table.clone(),
                    None => Arc::new(self.read_table(name)?),
                };
                Ok((name.to_vec(), table))
            })
            .collect()
    }

    fn read_table(&self, name: &[u8]) -> Result<Vec<Record>> {
        let broken = |path: &Path| Error::Storage {
            what: "cannot read the refs".to_owned(),
            detail: format!(
                "`{}` is damaged, or of a later kind",
                crate::task::text::escaped(&path.to_string_lossy())
            ),
        };
        let path = self.folder.join(String::from_utf8_lossy(name).as_ref());
        if name.contains(&b'/') {
            return Err(broken(&path));
        }
        let table = fs::read(&path).map_err(|error| Error::file(&path, error))?;
        format::records(&table).ok_or_else(|| broken(&path))
    }

    /// What the newest table that names a ref says of it.
    fn value(&self, name: &[u8]) -> Result<Option<Value>> {
        let tables = self.now()?;
        Ok(tables.iter().rev().find_map(|(_, table)| {
            let at = table.binary_search_by(|record| record.name.as_slice().cmp(name)).ok()?;
            Some(table[at].value.clone())
        }))
    }

    fn below(&self, prefix: &[u8]) -> Result<Vec<(Vec<u8>, ObjectId)>> {
        let tables = self.now()?;
        let mut found = BTreeMap::new();
        for (_, table) in tables.iter() {
            let begin = table.partition_point(|record| record.name.as_slice() < prefix);
            let there = table[begin..].iter().take_while(|record| record.name.starts_with(prefix));
            found.extend(there.map(|record| (record.name.as_slice(), &record.value)));
        }
        let of_objects = found.into_iter().filter_map(|(name, value)| match value {
            Value::Id(id) => Some((name.to_vec(), *id)),
            Value::Gone | Value::Symbolic(_) => None,
        });
        Ok(of_objects.collect())
    }
}
