//! What a verb works with: the clone, its hub, its settings, its name.
//!
//! Owns how these are found, once, at the start of a command.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ambient::Ambient;
use crate::config::{self, Config, Loaded};
use crate::exec::{Cancel, Mask};
use crate::git::Error as GitError;
use crate::git::Repo;
use crate::git::remote::Remote;
use crate::git::repo::Identity;
use crate::hub::ledger::Memory;
use crate::hub::local::LocalState;
use crate::hub::snapshot::Snapshot;
use crate::hub::sync::{Remembered, Synced};
use crate::hub::{Answer, Edit, Error as HubError, Hub, Layout, Place, Words};
use crate::task::name::NameKind;
use crate::task::{Name, TaskName};

use super::error::{Error, Result};

/// The name of the configuration file.
pub const CONFIG_FILE: &str = "git-dispatch.toml";

/// How many times `sync_timeout` a conversation with the hub may take where something is to be changed: a reader gives up
/// and shows what it knows, a writer had better get through.
const WRITING_TAKES: u32 = 6;

/// So many claims are compared in a push rather than read: git looks each up among all refs of the hub.
const COMPARED: usize = 64;

/// A clone, ready for a verb.
#[derive(Clone)]
pub struct Session {
    /// Clock, randomness, environment.
    pub ambient: Ambient,
    /// The hub, as seen from this clone.
    pub hub: Hub,
    /// This clone's own state.
    pub state: LocalState,
    /// The settings.
    pub config: Config,
    /// All settings with their origins, by path.
    pub settings: Arc<Vec<config::Setting>>,
    /// This node's name.
    pub node: Name,
    /// The project of specs that name none.
    pub project: Name,
    /// Who commits.
    pub by: Identity,
    /// Whether this clone was opened from a bundle: a node that never sees the hub (DESIGN.md 6).
    pub away: bool,
    /// Whose signatures were looked at.
    pub trust: super::trust::Memo,
}

/// Settings given as options of a command, as `(path, value, flag)`.
pub type OptionSettings = Vec<(&'static str, toml::Value, &'static str)>;

impl Session {
    /// Opens the clone that `start` is in.
    pub fn open(start: &Path, ambient: &Ambient, options: &OptionSettings, cancel: &Cancel) -> Result<Self> {
        Self::open_in(Repo::discover(start, ambient)?.with_cancel(cancel.clone()), ambient, options, true)
    }

    /// Opens the clone for what it knows by itself: the hub is asked nothing. `None` where this program was never used.
    pub fn open_known(start: &Path, ambient: &Ambient) -> Result<Option<Self>> {
        let repo = Repo::discover(start, ambient)?;
        let is_used = repo.common_dir().join("dispatch").join("clone-id").exists();
        is_used.then(|| Self::open_in(repo, ambient, &OptionSettings::new(), false)).transpose()
    }

    fn open_in(repo: Repo, ambient: &Ambient, options: &OptionSettings, ask: bool) -> Result<Self> {
        let state = LocalState::open(repo.common_dir(), ambient)?;
        // The remote and the target say where the file may be, so they are read without it first.
        let early = load(&repo, ambient, options, None)?.config;
        let place = find_place(&repo, &early)?;
        let deadline = *early.sync_timeout;
        let words = match &place {
            Place::Remote(remote) => Words::of(&state, ambient, &remote.push_url),
            Place::Embedded => Words::default(),
        };
        let (layout, target, memory) = (Layout::default(), String::new(), Memory::default());
        let mut hub = Hub { repo, place, layout, target, deadline, words, memory };
        hub.target = match &early.target {
            Some(target) => target.clone(),
            None => default_target(&hub, &state, ask)?,
        };
        let file = find_file(&hub)?;
        let Loaded { config, settings } = load(&hub.repo, ambient, options, file)?;
        if let Some(target) = &config.target {
            hub.target.clone_from(target);
        }
        hub.deadline = *config.sync_timeout * WRITING_TAKES;
        hub.layout = Layout::new(&config.ref_prefix, &config.branch_prefix);
        let node = match &config.node_name {
            Some(name) => Name::new(NameKind::Node, name)?,
            None => Name::sanitized(&format!("{}-{}", ambient.host(), &state.clone_id[..4]), "node"),
        };
        let project = project_of(&hub, &config)?;
        let by = hub
            .repo
            .identity(ambient)
            .unwrap_or_else(|| Identity { name: node.to_string(), email: "node@git-dispatch".to_owned() });
        let (ambient, away) = (ambient.clone(), hub.is_away());
        let trust = super::trust::Memo::default();
        Ok(Self { ambient, hub, state, config, settings: settings.into(), node, project, by, away, trust })
    }

    /// Returns the same with a repository that keeps new objects in memory, until they are kept: for many of them.
    pub fn in_memory(&self) -> Self {
        let mut session = self.clone();
        session.hub.repo = self.hub.repo.in_memory();
        session
    }

    /// Reads the hub, and refuses one that lost its memory.
    pub fn sync(&self) -> Result<()> {
        self.sync_with(None)
    }

    /// Reads the hub, and a branch of it beside the targets that tasks name.
    pub fn sync_with(&self, branch: Option<&str>) -> Result<()> {
        match self.sync_all(branch)?.memory_lost {
            Some(detail) => Err(HubError::MemoryLost { detail }.into()),
            None => Ok(()),
        }
    }

    /// Reads the hub, and a branch of it beside the targets that tasks name; a hub that lost its memory is only told of.
    pub fn sync_leniently(&self, branch: Option<&str>) -> Result<Synced> {
        self.sync_all(branch)
    }

    fn sync_all(&self, branch: Option<&str>) -> Result<Synced> {
        let known = Snapshot::load(&self.hub)?;
        let mut targets = crate::hub::snapshot::live_targets(&self.hub, &known);
        targets.extend(branch.map(str::to_owned));
        let synced = self.hub.sync(&self.state, &self.ambient, &targets)?;
        // Branches that were named for the first time by what just came, and those that were not there before.
        let known = if synced.has_moved { Snapshot::load(&self.hub)? } else { known };
        let mut wanted = crate::hub::snapshot::concerned_branches(&self.hub, &known);
        wanted.retain(|branch| !targets.contains(branch));
        let wanted: Vec<String> = wanted.into_iter().collect();
        if !wanted.is_empty() && !self.hub.is_embedded() {
            self.hub.sync(&self.state, &self.ambient, &[targets, wanted].concat())?;
        }
        Ok(synced)
    }

    /// Makes the edits, each for itself, and reads the hub. Where it answered and none of them was made, it may have refused
    /// all for one, or for their number: then they are made in parts.
    pub fn publish_and_sync(&self, edits: &[Edit]) -> Result<()> {
        let (answers, is_heard) = self.hub.publish_heard(edits)?;
        self.sync()?;
        let is_unmoved = |edit: &Edit| edit.new != edit.old && self.hub.known(&edit.name) == edit.old;
        let is_refused = is_heard && !answers.iter().any(Answer::is_yes) && edits.iter().all(is_unmoved);
        if edits.len() > 1 && is_refused {
            self.hub.publish_apart(edits)?;
            self.sync()?;
        }
        Ok(())
    }

    /// Names what must stand on the hub as it is known here for a change to be tried on it before it is read: all by which a
    /// hub that lost its memory is told, the queue, the seals and each claim; and who is paused. `None` where the hub was not
    /// read before or lacked something then, or where that is more than a look costs.
    pub fn ground(&self) -> Result<Option<Vec<String>>> {
        let Place::Remote(remote) = &self.hub.place else { return Ok(None) };
        let remembered: Remembered = self.state.read("hub.json")?.unwrap_or_default();
        let is_read =
            remembered.url == remote.url && remembered.synced_at.is_some() && remembered.missing.is_empty();
        let (layout, repo) = (&self.hub.layout, &self.hub.repo);
        if !is_read || self.hub.known(&layout.queue()).is_none() {
            return Ok(None);
        }
        let claims = repo.refs_with_prefix(&layout.claims())?;
        let chains = [layout.queue(), layout.sealed(), layout.control()];
        let all = || chains.into_iter().chain(claims.iter().map(|(name, _)| name.clone())).collect();
        Ok((claims.len() <= COMPARED).then(all))
    }

    /// Reads what this clone knows.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot::load(&self.hub)?)
    }

    /// Returns when the mirror was last brought up to date; `None` with the embedded hub, or before the first time.
    pub fn synced_at(&self) -> Result<Option<jiff::Timestamp>> {
        Ok(self.state.read::<Remembered>("hub.json")?.and_then(|remembered| remembered.synced_at))
    }

    /// Returns what must never be written down: the values of the variables that `secrets.mask` names, as they are here and
    /// as executors are given them.
    pub fn mask(&self) -> Mask {
        use std::os::unix::ffi::OsStrExt as _;
        let names = &self.config.secrets.mask;
        let own = self.ambient.vars().filter(|(name, _)| names.iter().any(|named| **name == **named));
        let given = self.config.executors.values().flat_map(|settings| &settings.env);
        let given = given.filter(|(name, _)| names.contains(name)).map(|(_, value)| value.as_bytes());
        Mask::new(own.map(|(_, value)| value.as_bytes()).chain(given))
    }

    /// Draws a nonce.
    pub fn nonce(&self) -> Result<String> {
        Ok(self.ambient.nonce().map_err(HubError::Random)?)
    }

    /// Returns the folder of this node's slots.
    pub fn work_dir(&self) -> PathBuf {
        if let Some(folder) = &self.config.node_settings(self.node.as_str()).work_dir {
            return self.hub.repo.common_dir().join(folder);
        }
        let common = self.hub.repo.common_dir();
        // Two clones of one name must not share slots: the folder's whole path tells them apart.
        let mark = fnv(common.as_os_str().as_encoded_bytes());
        let name = Name::sanitized(&self.hub.repo.folder_name(), "repository");
        self.ambient.state_home().join("git-dispatch").join(format!("{name}-{mark:08x}"))
    }

    /// Resolves a task argument: `<project>/<id>` or `<id>`, or the beginning of an id where that is unambiguous. An exact
    /// id comes before those that only begin so, this clone's own project before others.
    pub fn resolve(&self, snapshot: &Snapshot, given: &str) -> Result<TaskName> {
        let (project, id) = match given.split_once('/') {
            Some((project, id)) => (Some(project), id),
            None => (None, given),
        };
        let of_project = |name: &&TaskName| project.is_none_or(|project| name.project.as_str() == project);
        let names: Vec<&TaskName> =
            snapshot.tasks.iter().map(crate::hub::snapshot::Task::name).filter(of_project).collect();
        let is_own = |name: &&TaskName| name.project == self.project;
        let exact = |name: &&TaskName| name.id.as_str() == id;
        let begins = |name: &&TaskName| !id.is_empty() && name.id.as_str().starts_with(id);
        let tiers: [&dyn Fn(&&TaskName) -> bool; 4] =
            [&|name| exact(name) && is_own(name), &exact, &|name| begins(name) && is_own(name), &begins];
        for tier in tiers {
            let found: Vec<&TaskName> = names.iter().copied().filter(tier).collect();
            match found.as_slice() {
                [] => {}
                [one] => return Ok((*one).clone()),
                several => {
                    return Err(Error::AmbiguousTask {
                        given: given.to_owned(),
                        candidates: several.iter().take(10).map(ToString::to_string).collect(),
                    });
                }
            }
        }
        let known = snapshot.tasks.iter().map(crate::hub::snapshot::Task::name);
        if project.is_none() {
            return Err(unknown_task(given, known.map(|name| name.id.to_string()).collect()));
        }
        TaskName::parse(given)?;
        Err(unknown_task(given, known.map(ToString::to_string).collect()))
    }
}

fn unknown_task(given: &str, known: Vec<String>) -> Error {
    let help = match config::near::nearest(given, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`git dispatch list` shows the tasks".to_owned(),
    };
    Error::UnknownTask { given: given.to_owned(), help }
}

fn load(
    repo: &Repo,
    ambient: &Ambient,
    options: &OptionSettings,
    file: Option<(String, String)>,
) -> Result<Loaded> {
    let environment = ambient.vars().filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?)));
    let mut inputs =
        config::Inputs::default().with_git_config(repo.config_section("dispatch")).with_environment(environment);
    if let Some((name, text)) = file {
        inputs = inputs.with_file(name, text);
    }
    for (path, value, flag) in options {
        inputs = inputs.with_option(*path, value.clone(), *flag);
    }
    Ok(config::load(&inputs)?)
}

/// Finds the hub: `dispatch.remote`, else the current branch's remote, else `origin`, else the only one, else none.
fn find_place(repo: &Repo, config: &Config) -> Result<Place> {
    let named = match &config.remote {
        Some(name) => Some(name.clone()),
        None => {
            let of_branch = repo.head_branch().and_then(|branch| {
                repo.config_string(&format!("branch.{}.remote", branch.strip_prefix("refs/heads/")?))
            });
            let remotes = repo.remote_names();
            of_branch
                .filter(|name| remotes.contains(name))
                .or_else(|| remotes.iter().find(|name| *name == "origin").cloned())
                .or_else(|| (remotes.len() == 1).then(|| remotes[0].clone()))
        }
    };
    let Some(name) = named else {
        return Ok(Place::Embedded);
    };
    // `none` is how a clone with remotes says that it is its own hub; no remote can be called so by accident.
    let Some(remote) = repo.remote(&name) else {
        return Err(Error::NoRemote { name });
    };
    for url in [&remote.url, &remote.push_url] {
        if !crate::git::address::is_spoken(url) {
            return Err(Error::BadRemote { name, url: url.clone() });
        }
    }
    let mirror = repo.config_string(&format!("remote.{name}.mirror"));
    if mirror.is_some_and(|value| !matches!(value.to_lowercase().as_str(), "false" | "no" | "off" | "0" | "")) {
        return Err(Error::MirrorRemote { name });
    }
    Ok(Place::Remote(absolute(repo, remote)))
}

/// Makes a relative path of a remote absolute, since git(1) is run from elsewhere than the user's folder.
fn absolute(repo: &Repo, mut remote: Remote) -> Remote {
    for url in [&mut remote.url, &mut remote.push_url] {
        let is_path = url.starts_with("./") || url.starts_with("../");
        if is_path {
            let base = repo.work_tree().unwrap_or_else(|| repo.common_dir());
            *url = base.join(&*url).to_string_lossy().into_owned();
        }
    }
    remote
}

/// Finds the branch that results go to: the remote's default branch; with the embedded hub `init.defaultBranch`,
/// `main` or `master`, whichever is there, else the branch checked out.
fn default_target(hub: &Hub, state: &LocalState, ask: bool) -> Result<String> {
    let fallback = || "main".to_owned();
    let Place::Remote(remote) = &hub.place else {
        let exists = |name: &String| hub.repo.ref_value(&Layout::branch_ref(name)).is_some();
        let configured = hub.repo.config_string("init.defaultBranch");
        let usual = [configured, Some("main".to_owned()), Some("master".to_owned())];
        let head = hub.repo.head_branch().and_then(|name| Some(name.strip_prefix("refs/heads/")?.to_owned()));
        return Ok(usual.into_iter().flatten().find(exists).or(head).unwrap_or_else(fallback));
    };
    if let Some(head) = hub.repo.symbolic_ref(&format!("refs/remotes/{}/HEAD", remote.name)) {
        let prefix = format!("refs/remotes/{}/", remote.name);
        if let Some(branch) = head.strip_prefix(&prefix) {
            return Ok(branch.to_owned());
        }
    }
    let mut remembered: Remembered = state.read("hub.json")?.unwrap_or_default();
    if let Some(branch) = remembered.default_branch.filter(|_| remembered.url == remote.url) {
        return Ok(branch);
    }
    if !ask {
        return Ok(fallback());
    }
    match hub.repo.remote_head(remote, hub.deadline) {
        Ok(Some(branch)) => {
            remembered.default_branch = Some(branch.clone());
            remembered.url.clone_from(&remote.url);
            state.write("hub.json", &remembered)?;
            Ok(branch)
        }
        Ok(None) => Ok(fallback()),
        Err(error) if error.is_unreachable() => Ok(fallback()),
        Err(error) => Err(error.into()),
    }
}

/// Finds the configuration file: in the checkout, else in the target's tree. One that is there and cannot be read is an
/// error: a fleet that silently falls back to the defaults does something else than was asked for.
fn find_file(hub: &Hub) -> Result<Option<(String, String)>> {
    let found = match hub.repo.work_tree() {
        Some(work_tree) => {
            let path = work_tree.join(CONFIG_FILE);
            match std::fs::read(&path) {
                Ok(bytes) => Some((CONFIG_FILE.to_owned(), bytes)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => return Err(GitError::file(path, error).into()),
            }
        }
        None => hub
            .target_tip(&hub.target)
            .and_then(|tip| hub.repo.file_in(tip, CONFIG_FILE))
            .map(|bytes| (format!("{}:{CONFIG_FILE}", hub.target), bytes)),
    };
    let Some((name, bytes)) = found else { return Ok(None) };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some((name, text))),
        Err(error) => Err(config::ConfigError::not_utf8(&name, &error).into()),
    }
}

/// Names the project of specs that name none: as configured, else after the remote, else after the folder.
fn project_of(hub: &Hub, config: &Config) -> Result<Name> {
    if let Some(project) = &config.project {
        return Ok(Name::new(NameKind::Project, project)?);
    }
    let of_url = |url: &str| {
        let last = url.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default().to_owned();
        last.strip_suffix(".git").unwrap_or(&last).to_owned()
    };
    let text = match &hub.place {
        Place::Remote(remote) => of_url(&remote.url),
        Place::Embedded => hub.repo.folder_name(),
    };
    Ok(Name::sanitized(&text, "project"))
}

/// A short mark of a path; only to tell folders apart, so any spreading function does.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
