//! Owns the list of all settings and what each takes. Does not own the defaults (the annotated file), how values are
//! read and judged (`value`), nor rules between settings (`check`).

use super::path::KeyPath;

/// What a setting takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    Bool,
    /// A whole number between these, both allowed.
    Count(i64, i64),
    /// A number from 0.0 to 1.0.
    Fraction,
    /// A duration; zero is allowed.
    Duration,
    /// A duration over zero.
    Period,
    /// A duration over zero, or a multiple of the estimate.
    Timeout,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of these words.
    Choices(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// A program and its arguments, or nothing.
    Argv,
    /// A list of globs.
    Globs,
    /// A shell line, or an argv.
    Verify,
    /// A table of model names by priority.
    Models,
    /// A table of environment variables.
    Variables,
    /// The root of our refs.
    RefPrefix,
    /// What the names of task branches begin with.
    BranchPrefix,
    /// The name of a branch.
    Branch,
}

/// One setting: its path, in which `*` stands for a name, and what it takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
}

/// The node's name has a path of its own, since `node` is a table; `dispatch.node` and `GIT_DISPATCH_NODE` mean it.
pub(crate) const NODE_NAME: &str = "node_name";
/// The name of the remote that is the hub.
pub(crate) const REMOTE: &str = "remote";

/// The settings of one clone. The committed file is the same for all clones, so they have no place there.
pub(crate) const OF_ONE_CLONE: [&str; 2] = [NODE_NAME, REMOTE];

/// The tables that hold one table for each name.
pub(crate) const NAMED: [&str; 3] = ["executors", "nodes", "projects"];

const EVENTS: &[&str] = &[
    "assigned",
    "blocked",
    "cancelled",
    "completed",
    "conflict",
    "enqueued",
    "failed",
    "lost",
    "merged",
    "released",
    "running",
];
const MODES: &[&str] = &["hybrid", "pull", "push"];
/// Upper bounds are there to catch slips: nothing real comes near them.
const MANY: i64 = 1_000_000;
const SLOTS: Kind = Kind::Count(1, 1024);

const fn key(path: &'static str, kind: Kind) -> Key {
    Key { path, kind }
}

/// All settings, in the order of the annotated file.
pub(crate) const KEYS: &[Key] = &[
    key(NODE_NAME, Kind::Text),
    key(REMOTE, Kind::Text),
    key("project", Kind::Text),
    key("target", Kind::Branch),
    key("default_executor", Kind::Text),
    key("ref_prefix", Kind::RefPrefix),
    key("branch_prefix", Kind::BranchPrefix),
    key("sync_timeout", Kind::Period),
    key("max_attempts", Kind::Count(1, 1000)),
    key("retry_failed", Kind::Count(0, 1000)),
    key("retry_wait", Kind::Duration),
    key("retry_wait_max", Kind::Duration),
    key("age_step", Kind::Period),
    key("max_beats_per_minute", Kind::Count(1, 6000)),
    key("node.slots", SLOTS),
    key("node.labels", Kind::Texts),
    key("node.executors", Kind::Texts),
    key("node.mode", Kind::Choice(MODES)),
    key("node.poll", Kind::Period),
    key("node.poll_max", Kind::Period),
    key("node.heartbeat", Kind::Period),
    // Under two, one late beat would take a living node's work away.
    key("node.lost_after_beats", Kind::Count(2, 10_000)),
    key("node.assign_timeout", Kind::Period),
    key("node.work_dir", Kind::Text),
    key("node.keep_ignored", Kind::Globs),
    key("nodes.*.slots", SLOTS),
    key("nodes.*.labels", Kind::Texts),
    key("nodes.*.executors", Kind::Texts),
    key("nodes.*.mode", Kind::Choice(MODES)),
    key("nodes.*.poll", Kind::Period),
    key("nodes.*.poll_max", Kind::Period),
    key("nodes.*.heartbeat", Kind::Period),
    key("nodes.*.lost_after_beats", Kind::Count(2, 10_000)),
    key("nodes.*.assign_timeout", Kind::Period),
    key("nodes.*.work_dir", Kind::Text),
    key("nodes.*.keep_ignored", Kind::Globs),
    key("executors.*.kind", Kind::Choice(&["command", "shell", "tmux"])),
    key("executors.*.command", Kind::Argv),
    key("executors.*.stdin", Kind::Choice(&["none", "prompt"])),
    key("executors.*.preamble", Kind::Text),
    key("executors.*.model", Kind::Models),
    key("executors.*.env", Kind::Variables),
    key("executors.*.env_allow", Kind::Globs),
    key("executors.*.timeout", Kind::Timeout),
    key("executors.*.stall_timeout", Kind::Duration),
    key("executors.*.grace", Kind::Duration),
    key("executors.*.setup", Kind::Texts),
    key("executors.*.setup_inputs", Kind::Globs),
    key("executors.*.teardown", Kind::Texts),
    key("executors.*.sessions", Kind::Texts),
    key("executors.*.prefix", Kind::Text),
    key("executors.*.start_index", Kind::Count(0, MANY)),
    key("executors.*.min", Kind::Count(0, 1024)),
    key("executors.*.max", Kind::Count(0, 1024)),
    key("executors.*.prompt_pattern", Kind::Text),
    key("executors.*.prompt_timeout", Kind::Period),
    key("executors.*.idle_done", Kind::Duration),
    key("executors.*.cooldown", Kind::Duration),
    key("executors.*.resume_dir", Kind::Text),
    key("executors.*.resume_args", Kind::Texts),
    key("collect.verify", Kind::Verify),
    key("collect.verify_timeout", Kind::Period),
    key("collect.verify_retries", Kind::Count(0, 100)),
    key("collect.conflict_executor", Kind::Text),
    key("collect.max_repairs", Kind::Count(0, 1000)),
    key("collect.delete_branches", Kind::Bool),
    key("collect.keep", Kind::Duration),
    key("inbox.paths", Kind::Texts),
    key("inbox.settle", Kind::Period),
    key("factory.generate", Kind::Argv),
    key("factory.when_completed", Kind::Fraction),
    key("factory.min_pending", Kind::Count(0, MANY)),
    key("factory.max_generations", Kind::Count(0, MANY)),
    key("factory.cooldown", Kind::Duration),
    key("notify.command", Kind::Argv),
    key("notify.events", Kind::Choices(EVENTS)),
    key("outbox.bundle_after", Kind::Duration),
    key("outbox.bundle_dir", Kind::Text),
    key("secrets.scan", Kind::Bool),
    key("secrets.allow", Kind::Globs),
    key("secrets.mask", Kind::Texts),
    key("trust.signed", Kind::Bool),
    key("trust.allowed_signers", Kind::Text),
    key("trust.issue_authors", Kind::Texts),
    key("trust.issue_labels", Kind::Texts),
    key("projects.*.target", Kind::Branch),
    key("projects.*.sync", Kind::Choice(&["bundle", "remote"])),
];

/// What lies at a path.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Found {
    Key(&'static Key),
    Table,
    Nothing,
}

/// Looks up what lies at a path.
pub(crate) fn lookup(path: &KeyPath) -> Found {
    let parts = path.parts();
    let mut table = parts.is_empty();
    // No name of a table at the root stands for others.
    let near = |key: &&Key| parts.first().is_none_or(|first| key.path.starts_with(first.as_str()));
    for key in KEYS.iter().filter(near) {
        let mut pattern = key.path.split('.');
        if !parts.iter().all(|part| pattern.next().is_some_and(|name| name == "*" || name == part)) {
            continue;
        }
        if pattern.next().is_none() {
            return Found::Key(key);
        }
        table = true;
    }
    if table { Found::Table } else { Found::Nothing }
}

/// Lists the settings directly in the table of that pattern (`""` for the root): pairs of last part and setting.
pub(crate) fn keys_of(table: &str) -> impl Iterator<Item = (&'static str, &'static Key)> {
    KEYS.iter().filter_map(move |key| {
        let (parent, last) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        (parent == table).then_some((last, key))
    })
}

/// Lists the paths of all settings that a file may hold, with `name` filled in for `*`.
pub(crate) fn paths_in_a_file(name: &str) -> Vec<KeyPath> {
    let in_file = KEYS.iter().filter(|key| !OF_ONE_CLONE.contains(&key.path));
    let filled = |part| if part == "*" { name } else { part };
    in_file.map(|key| KeyPath::new(key.path.split('.').map(filled))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> String {
        match lookup(&KeyPath::parse(path)) {
            Found::Key(key) => key.path.to_owned(),
            Found::Table => "table".to_owned(),
            Found::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn looks_up_keys_tables_and_names() {
        assert_eq!(found("node.slots"), "node.slots");
        assert_eq!(found("executors.glm.model"), "executors.*.model");
        assert_eq!(found("executors.glm"), "table");
        assert_eq!(found("collect"), "table");
        assert_eq!(found("collect.keeep"), "nothing");
        assert_eq!(found("node.slots.x"), "nothing");
    }

    #[test]
    fn a_named_node_takes_what_every_node_takes() {
        let common: Vec<_> = keys_of("node").map(|(last, key)| (last, key.kind)).collect();
        let named: Vec<_> = keys_of("nodes.*").map(|(last, key)| (last, key.kind)).collect();
        assert_eq!(common, named);
    }

    #[test]
    fn no_path_is_listed_twice() {
        let mut paths: Vec<_> = KEYS.iter().map(|key| key.path.to_lowercase().replace('_', "")).collect();
        paths.sort_unstable();
        let count = paths.len();
        paths.dedup();
        assert_eq!(paths.len(), count, "git config folds case and has no underscores");
    }
}
