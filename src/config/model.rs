//! Owns the typed settings that the rest of the program is given. Does not own where values come from (`layers`) nor
//! what is refused (`value`, `check`): whoever holds a `Config` holds a good one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::duration::Dur;

mod collect;
mod executor;

pub use collect::{CollectSettings, Verify};
pub use executor::{ExecutorKind, ExecutorSettings, StdinSource, Timeout, TimeoutError};

/// Holds all settings, merged and checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The node's name; none: the caller makes `<host>-<4 hex>`. Not checked here.
    pub node_name: Option<String>,
    /// The remote that is the hub; none: the caller finds it.
    pub remote: Option<String>,
    /// The project of specs that name none; none: the remote's or the folder's name.
    pub project: Option<String>,
    /// The branch that results are merged into; none: the remote's default branch.
    pub target: Option<String>,
    /// The executor of tasks whose spec names none; always one of `executors`.
    pub default_executor: String,
    /// The root of our refs; begins with `refs/` and ends in `/`.
    pub ref_prefix: String,
    /// What the names of task branches begin with, without `refs/heads/`.
    pub branch_prefix: String,
    /// How long a reading command waits for the hub; over zero.
    pub sync_timeout: Dur,
    /// How many attempts a task gets in all; at least 1.
    pub max_attempts: u32,
    /// How often an attempt that ended with an exit code is tried again.
    pub retry_failed: u32,
    /// The wait before a next attempt, doubled each time.
    pub retry_wait: Dur,
    /// What that wait grows to; at least `retry_wait`.
    pub retry_wait_max: Dur,
    /// The waiting that moves a task one priority up; over zero.
    pub age_step: Dur,
    /// The heartbeats a minute of the whole fleet; at least 1.
    pub max_beats_per_minute: u32,
    /// What every node is, but for its own overrides: see [`Config::node_settings`].
    pub node: NodeSettings,
    /// What single nodes are, each with the common settings filled in.
    pub nodes: BTreeMap<String, NodeSettings>,
    /// The executors by name; `shell` is always there.
    pub executors: BTreeMap<String, ExecutorSettings>,
    /// Merging finished work.
    pub collect: CollectSettings,
    /// Folders whose files are enqueued.
    pub inbox: InboxSettings,
    /// What keeps the queue filled.
    pub factory: FactorySettings,
    /// Who is told.
    pub notify: NotifySettings,
    /// Results that wait for the hub.
    pub outbox: OutboxSettings,
    /// What must not leave a slot.
    pub secrets: SecretsSettings,
    /// Whose work is believed.
    pub trust: TrustSettings,
    /// Projects with settings of their own.
    pub projects: BTreeMap<String, ProjectSettings>,
}

impl Config {
    /// Gives the settings of the node of that name: `[nodes.NAME]` over `[node]`, key by key.
    ///
    /// A later layer's `node.…` wins over an earlier one's `nodes.NAME.…`: `--slots` beats the file.
    pub fn node_settings(&self, name: &str) -> NodeSettings {
        self.nodes.get(name).unwrap_or(&self.node).clone()
    }

    /// Gives the executor of that name, if it is configured.
    pub fn executor(&self, name: &str) -> Option<&ExecutorSettings> {
        self.executors.get(name)
    }

    /// Gives the branch that a project's results are merged into; none: the remote's default branch.
    pub fn target_of(&self, project: &str) -> Option<&str> {
        let own = self.projects.get(project).and_then(|settings| settings.target.as_deref());
        own.or(self.target.as_deref())
    }

    /// Gives the name of the executor of repair tasks; none: conflicts wait for a person.
    pub fn conflict_executor(&self) -> Option<&str> {
        match &self.collect.conflict_executor {
            Some(name) => Some(name),
            None => {
                let default = self.executor(&self.default_executor)?;
                (default.kind != ExecutorKind::Shell).then_some(self.default_executor.as_str())
            }
        }
    }
}

/// Says what a node is and how it works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSettings {
    /// How many tasks run at a time; 1 to 1024.
    pub slots: u32,
    /// What the node has; tasks ask for it.
    pub labels: Vec<String>,
    /// The executors that it offers, by name; empty: all that are configured.
    pub executors: Vec<String>,
    /// Whether it takes work, gets it, or both.
    pub mode: NodeMode,
    /// How often it looks for work; over zero.
    pub poll: Dur,
    /// How far that backs off; at least `poll`.
    pub poll_max: Dur,
    /// How often it says that it is alive; over zero.
    pub heartbeat: Dur,
    /// How many missed heartbeats make it lost; at least 2.
    pub lost_after_beats: u32,
    /// How long an assigned task may wait before it is taken back; over zero.
    pub assign_timeout: Dur,
    /// Where the slots are; none: in the user's state folder.
    pub work_dir: Option<PathBuf>,
    /// Globs of ignored files that a slot keeps between tasks.
    pub keep_ignored: Vec<String>,
}

/// Says how a node comes by its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeMode {
    /// It claims, and is never assigned to.
    Pull,
    /// It runs only what is assigned to it.
    Push,
    /// Both.
    Hybrid,
}

/// Names the folders whose files are enqueued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InboxSettings {
    /// The folders, as they were given.
    pub paths: Vec<PathBuf>,
    /// How long a file must stand still before it is taken.
    pub settle: Dur,
}

/// Says what keeps the queue filled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactorySettings {
    /// The argv of the generator; empty: no factory.
    pub generate: Vec<String>,
    /// The part of the last generation that must be past running; 0.0 to 1.0.
    pub when_completed: f64,
    /// The number of pending tasks under which it runs as well.
    pub min_pending: u32,
    /// The number of generations after which it stops; 0: never.
    pub max_generations: u32,
    /// The least time between two runs.
    pub cooldown: Dur,
}

/// Says who is told of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotifySettings {
    /// The argv that is run for each event; empty: nobody is told.
    pub command: Vec<String>,
    /// The events that it is run for, by their names in status notes, and `blocked`.
    pub events: Vec<String>,
}

/// Says what becomes of results while the hub does not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutboxSettings {
    /// How long they wait before they are written to a bundle too; zero: never.
    pub bundle_after: Dur,
    /// The folder for those bundles; none: not set.
    #[serde(with = "blank")]
    pub bundle_dir: Option<PathBuf>,
}

/// Says what must not leave a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretsSettings {
    /// Whether work is searched for secrets before it is published.
    pub scan: bool,
    /// Globs of paths that are no secrets.
    pub allow: Vec<String>,
    /// Names of environment variables whose values are masked in logs.
    pub mask: Vec<String>,
}

/// Says whose work is believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustSettings {
    /// Whether specs and finished claims must be signed.
    pub signed: bool,
    /// The file of allowed signers; none: git's own setting.
    #[serde(with = "blank")]
    pub allowed_signers: Option<PathBuf>,
    /// Who may enqueue through issues; empty: nobody.
    pub issue_authors: Vec<String>,
    /// The labels that such an issue needs; empty: any.
    pub issue_labels: Vec<String>,
}

/// Holds what one of several projects in a repository has for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectSettings {
    /// The branch that its results are merged into; none: the common one. See [`Config::target_of`].
    pub target: Option<String>,
    /// How it meets its hub.
    pub sync: ProjectSync,
}

/// Says how a project meets its hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProjectSync {
    /// By pushes and fetches.
    Remote,
    /// By bundle files.
    Bundle,
}

/// Settings where the empty text stands for "none".
mod blank {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => value.serialize(serializer),
            None => serializer.serialize_str(""),
        }
    }

    pub(super) fn deserialize<'de, T: From<String>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok((!text.is_empty()).then(|| T::from(text)))
    }
}
