//! Partial clones: what was left out when the repository was cloned with a filter is fetched before it is needed.
//!
//! git(1) fetches a missing object when it meets it; gix does not, and neither does a slot, which borrows the objects of
//! this repository. Owns the question what a commit lacks, and its answer. Shallow clones are another thing: there
//! history itself is cut off.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gix::ObjectId;

use super::address;
use super::error::{Error, Result};
use super::remote::{self, Remote};
use super::repo::Repo;

/// How long it may take to fetch what is missing: the first time it may be the files of a large tree.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// How often what a fetch brought is looked through: trees that were missing may name more that is.
const ROUNDS: u32 = 3;

/// Commits whose trees are known to be whole; shared by the clones of a [`Repo`].
#[derive(Debug, Clone, Default)]
pub(super) struct Whole(Arc<Mutex<HashSet<ObjectId>>>);

impl Repo {
    /// Sees that the trees of these commits and all files in them are here. Asks nothing where the repository is no
    /// partial clone, or they were seen to be whole before.
    pub fn complete(&self, commits: &[ObjectId]) -> Result<()> {
        let Some(remote) = self.promisor() else { return Ok(()) };
        let known = || self.whole.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted: Vec<ObjectId> = commits.iter().copied().filter(|id| !known().contains(id)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        for _ in 0..ROUNDS {
            let missing = self.missing(&wanted)?;
            if missing.is_empty() {
                known().extend(&wanted);
                return Ok(());
            }
            self.fetch_objects(&remote, &missing)?;
        }
        Err(Error::Unreachable {
            remote: remote.name,
            detail: "it does not have what this partial clone lacks".into(),
        })
    }

    /// Says whether trees were left out as well: git then takes what is fetched for incomplete where it names files of
    /// trees that are not here.
    pub(super) fn lacks_trees(&self) -> bool {
        let filter = |remote: Remote| self.config_string(&format!("remote.{}.partialclonefilter", remote.name));
        self.promisor().and_then(filter).is_some_and(|filter| filter.contains("tree:"))
    }

    /// Says whether this repository was cloned with a filter.
    pub(super) fn is_partial(&self) -> bool {
        self.promisor().is_some()
    }

    /// The remote that this repository was cloned from with a filter; `None` where it was not.
    fn promisor(&self) -> Option<Remote> {
        let is_promisor =
            |name: &String| self.config_string(&format!("remote.{name}.promisor")).as_deref() == Some("true");
        let named = self.config_string("extensions.partialClone");
        let name = self.remote_names().into_iter().find(is_promisor).or(named)?;
        self.remote(&name).filter(|remote| address::is_spoken(&remote.url))
    }

    /// The objects of these commits' trees that are not here.
    fn missing(&self, commits: &[ObjectId]) -> Result<Vec<ObjectId>> {
        let args = ["rev-list", "--objects", "--no-walk", "--quiet", "--missing=print", "--stdin"];
        let output = self.git().with_deadline(PATIENCE).check_with(&args, Some(lines(commits)))?;
        let ids = output.stdout.split(|&byte| byte == b'\n').filter_map(|line| line.strip_prefix(b"?"));
        Ok(ids.filter_map(|id| ObjectId::from_hex(id).ok()).collect())
    }

    /// Fetches objects by their ids, without a word on what is here: what is reachable from that would not be sent.
    fn fetch_objects(&self, remote: &Remote, ids: &[ObjectId]) -> Result<()> {
        let args = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
            "--no-filter",
            "--refmap=",
            remote::UPLOAD,
            "--stdin",
            "--",
            &remote.url,
        ];
        let git = self.git_to(&remote.url, PATIENCE).with_setting("fetch.negotiationAlgorithm=noop");
        let (output, answered) = remote::heard(&remote.url, git.run(&args, Some(lines(ids)))?);
        if output.is_success() {
            return Ok(());
        }
        Err(self.unanswered(remote, &remote.url, output, answered))
    }
}

fn lines(ids: &[ObjectId]) -> Vec<u8> {
    ids.iter().flat_map(|id| format!("{id}\n").into_bytes()).collect()
}
