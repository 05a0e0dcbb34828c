//! A repository: where it is, who commits in it, and how to reach git(1) for it.
//!
//! Owns discovery and identity. Objects, refs and merges are methods of [`Repo`] in files of their own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{Error, Result};
use super::partial::Whole;
use super::porcelain;
use super::process::Git;
use super::ssh::Connections;
use super::tables::Tables;
use crate::ambient::Ambient;
use crate::exec::cancel::Cancel;

/// How many packs there may come to be while a repository is open.
const PACKS: usize = 4096;

/// How many bytes of unpacked objects a handle remembers, to unpack those on top of them: by itself gix remembers 64 of them.
const PACK_CACHE: usize = 24 * 1024 * 1024;

/// A handle on one repository; cheap to clone and to send to another thread.
#[derive(Clone)]
pub struct Repo {
    pub(super) gix: gix::Repository,
    git_dir: PathBuf,
    common_dir: PathBuf,
    work_tree: Option<PathBuf>,
    cancel: Cancel,
    pub(super) connections: Connections,
    pub(super) whole: Whole,
    /// The refs, where they do not lie as files.
    pub(super) tables: Option<Arc<Tables>>,
}

/// Who writes commits: name and address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name.
    pub name: String,
    /// The mail address.
    pub email: String,
}

impl Repo {
    /// Finds the repository that `start` is in, as git does: `GIT_DIR` first, which `git --git-dir=X dispatch` sets.
    pub fn discover(start: &Path, ambient: &Ambient) -> Result<Self> {
        let not_found = || Error::NotARepository { path: start.to_owned() };
        let git_dir = match ambient.var("GIT_DIR") {
            Some(git_dir) => start.join(git_dir),
            None => {
                gix::discover::upwards(start)
                    .map_err(|_| not_found())?
                    .0
                    .into_repository_and_work_tree_directories()
                    .0
            }
        };
        // `git -c key=value dispatch …`: git hands it on in a variable of its own, which gix does not read.
        let given = ambient.var("GIT_CONFIG_PARAMETERS").and_then(porcelain::config_parameters).unwrap_or_default();
        let opened = Self::open_with(&git_dir, given).map_err(|error| match error {
            Error::Unusable { .. } if !git_dir.exists() => not_found(),
            other => other,
        })?;
        Ok(Self { connections: Connections::of(ambient), ..opened })
    }

    /// Opens the repository at `git_dir` or at a folder that holds `.git`.
    pub fn open(git_dir: &Path) -> Result<Self> {
        Self::open_with(git_dir, Vec::new())
    }

    fn open_with(git_dir: &Path, mut settings: Vec<String>) -> Result<Self> {
        let unusable = |detail: String| Error::Unusable { path: git_dir.to_owned(), detail };
        settings.push(format!("core.deltaBaseCacheLimit={PACK_CACHE}"));
        // A node that stays fetches packs by the thousand; gix looks into as many as there are slots for, and takes what lies in
        // others for missing.
        let slots = gix::odb::store::init::Slots::AsNeededByDiskState { multiplier: 2.0, minimum: PACKS };
        let options = gix::open::Options::default().cli_overrides(settings).object_store_slots(slots);
        let opened = gix::open_opts(git_dir, options);
        let mut gix = opened.map_err(|error| match object_format(git_dir) {
            Some(format) if format != "sha1" => Error::ObjectFormat { path: git_dir.to_owned(), format },
            _ => unusable(error.to_string()),
        })?;
        let format = gix.config_snapshot().string("extensions.refStorage");
        let is_in_tables = match format.map(|format| format.to_string()).as_deref() {
            None | Some("files") => false,
            Some("reftable") => true,
            // gix opens such a repository and shows no refs at all: an empty queue would be a lie.
            Some(format) => return Err(Error::RefStorage { path: git_dir.to_owned(), format: format.to_owned() }),
        };
        gix.object_cache_size_if_unset(16 * 1024 * 1024);
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let tidy = |path: &Path| path.canonicalize().unwrap_or_else(|_| absolute(path));
        let (git_dir, common_dir) = (tidy(gix.git_dir()), tidy(gix.common_dir()));
        let tables = is_in_tables.then(|| Tables::open(&common_dir, &git_dir).map(Arc::new)).transpose()?;
        Ok(Self {
            git_dir,
            common_dir,
            tables,
            work_tree: gix.workdir().map(tidy),
            gix,
            cancel: Cancel::new(),
            connections: Connections::default(),
            whole: Whole::default(),
        })
    }

    /// Makes every git command of this repository end once `cancel` is raised.
    pub fn with_cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }

    /// The folder that all worktrees of the repository share.
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// This worktree's own git folder.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// The checkout, unless the repository is bare.
    pub fn work_tree(&self) -> Option<&Path> {
        self.work_tree.as_deref()
    }

    /// The folder that gives the repository its name: its checkout's, or its own without `.git`.
    pub fn folder_name(&self) -> String {
        let named = match self.common_dir.file_name() {
            Some(name) if name == ".git" => self.common_dir.parent().and_then(Path::file_name),
            other => other,
        };
        let name = named.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.strip_suffix(".git").unwrap_or(&name).to_owned()
    }

    /// Points git(1) at the repository without a checkout: for everything but the checkout itself.
    pub fn git(&self) -> Git {
        Git::at(&self.common_dir, None).with_cancel(self.cancel.clone())
    }

    /// What ends the git commands of this repository.
    pub(super) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Points git(1) at a worktree of the repository.
    pub fn git_at(&self, git_dir: &Path, work_tree: &Path) -> Git {
        Git::at(git_dir, Some(work_tree)).with_cancel(self.cancel.clone())
    }

    /// Says whether the refs lie in a reftable, which git before 2.45 does not know.
    pub fn keeps_tables(&self) -> bool {
        self.tables.is_some()
    }

    /// Says whether history is cut off here: then merge bases cannot be trusted.
    pub fn is_shallow(&self) -> bool {
        self.gix.is_shallow().unwrap_or(false)
    }

    /// Says whether the id of a commit says all that came before it: nothing is cut off, and no object stands for another.
    pub fn has_plain_history(&self) -> bool {
        let is_replaced = || self.refs_with_prefix("refs/replace/").is_ok_and(|replaced| !replaced.is_empty());
        !self.is_shallow() && !is_replaced() && !self.common_dir.join("info/grafts").exists()
    }

    /// Returns the identity for commits as git knows it, if name and address are both known: the environment's, else the
    /// configured one.
    pub fn identity(&self, ambient: &Ambient) -> Option<Identity> {
        let told = |name: &str| ambient.var(name).map(str::to_owned);
        let name = told("GIT_COMMITTER_NAME").or_else(|| self.configured("name"))?;
        let email = told("GIT_COMMITTER_EMAIL").or_else(|| self.configured("email")).or_else(|| told("EMAIL"))?;
        Some(Identity { name, email })
    }

    /// Returns who moves refs, for their logs. gix would tell as well, but looks through all time zones for that.
    pub(super) fn signature(&self) -> gix::actor::Signature {
        let known = |key: &str| self.configured(key).unwrap_or_else(|| "git-dispatch".to_owned()).into();
        gix::actor::Signature { name: known("name"), email: known("email"), time: gix::date::Time::now_utc() }
    }

    fn configured(&self, key: &str) -> Option<String> {
        let of = |section: &str| self.config_string(&format!("{section}.{key}")).filter(|value| !value.is_empty());
        of("committer").or_else(|| of("user"))
    }

    /// Returns a text from the repository's configuration, system and user files included.
    pub fn config_string(&self, key: &str) -> Option<String> {
        self.gix.config_snapshot().string(key).map(|value| value.to_string())
    }

    /// Says whether a setting is on.
    pub(super) fn config_flag(&self, key: &str) -> bool {
        self.gix.config_snapshot().boolean(key).unwrap_or(false)
    }

    /// Says whether git is told to take some addresses for others (`url.<base>.insteadOf`, `pushInsteadOf`).
    pub(super) fn rewrites_addresses(&self) -> bool {
        let snapshot = self.gix.config_snapshot();
        let mut parts = snapshot.sections_by_name("url").into_iter().flatten();
        parts.any(|part| part.body().value_names().next().is_some())
    }

    /// Lists `(key, value, scope)` of every setting below `section`, weakest first, in git's spelling.
    pub fn config_section(&self, section: &str) -> Vec<(String, String, String)> {
        let snapshot = self.gix.config_snapshot();
        let mut found = Vec::new();
        for part in snapshot.sections_by_name(section).into_iter().flatten() {
            let scope = scope_of(part.meta().source).to_owned();
            let prefix = match part.header().subsection_name() {
                Some(sub) => format!("{section}.{sub}"),
                None => section.to_owned(),
            };
            // A value may stand several times under one key, and each stands for one item of a list.
            let mut names: Vec<String> = Vec::new();
            for name in part.body().value_names() {
                let name = name.to_string();
                if !names.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
                    names.push(name);
                }
            }
            for name in names {
                for value in part.body().values(name.as_str()) {
                    found.push((format!("{prefix}.{name}"), value.to_string(), scope.clone()));
                }
            }
        }
        found
    }

    /// Lists the conditions on which further files of settings hold (`includeIf`), whether they hold or not.
    pub(super) fn config_conditions(&self) -> Vec<String> {
        let snapshot = self.gix.config_snapshot();
        let parts = snapshot.sections_by_name("includeIf").into_iter().flatten();
        parts.filter_map(|part| Some(part.header().subsection_name()?.to_string())).collect()
    }

    /// Lists the names of the configured remotes.
    pub fn remote_names(&self) -> Vec<String> {
        self.gix.remote_names().into_iter().map(|name| name.to_string()).collect()
    }

    /// Returns the full name of the branch that is checked out here, unless HEAD is detached.
    pub fn head_branch(&self) -> Option<String> {
        if let Some(tables) = &self.tables {
            return tables.target("HEAD");
        }
        self.gix.head_name().ok().flatten().map(|name| name.as_bstr().to_string())
    }
}

/// The hash that a repository says it names its objects by, for one that cannot be opened.
fn object_format(git_dir: &Path) -> Option<String> {
    let file = gix::config::File::from_path_no_includes(git_dir.join("config"), gix::config::Source::Local).ok()?;
    file.string("extensions.objectFormat").map(|format| format.to_string())
}

/// Names where a setting stands as `git config --show-scope` does.
fn scope_of(source: gix::config::Source) -> &'static str {
    use gix::config::Source;
    match source {
        Source::GitInstallation | Source::System => "system",
        Source::Git | Source::User => "global",
        Source::Local => "local",
        Source::Worktree => "worktree",
        Source::Env | Source::Cli | Source::Api | Source::EnvOverride => "command",
    }
}
