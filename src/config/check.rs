//! Owns the rules between settings: what fits by itself may not fit together. Does not own types and bounds of single
//! values (`value`).

use super::error::{ConfigError, ErrorKind};
use super::layers::Tree;
use super::model::{Config, ExecutorKind, ExecutorSettings, NodeSettings};
use super::near::nearest;
use super::path::KeyPath;
use super::schema::NAMED;

/// Refuses settings that do not go together.
pub(crate) fn check(config: &Config, tree: &Tree) -> Result<(), ConfigError> {
    names(tree)?;
    given_names(config, tree)?;
    retries(config, tree)?;
    prefixes(config, tree)?;
    node(&config.node, None, config, tree)?;
    for (name, settings) in &config.nodes {
        node(settings, Some(name), config, tree)?;
    }
    executors(config, tree)?;
    named_executor(&config.default_executor, &[KeyPath::parse("default_executor")], config, tree)?;
    if let Some(name) = &config.collect.conflict_executor {
        named_executor(name, &[KeyPath::parse("collect.conflict_executor")], config, tree)?;
    }
    Ok(())
}

fn bad(tree: &Tree, places: &[KeyPath], what: &str, help: impl Into<Option<String>>) -> ConfigError {
    let path = tree.latest(places).or_else(|| places.first().cloned()).unwrap_or_default();
    tree.error(ErrorKind::BadValue, &path, what).with_help(help.into())
}

/// The names of tables become names on the hub, in file names and in the environment: the rule of the design, 2.1.
fn names(tree: &Tree) -> Result<(), ConfigError> {
    for table in NAMED {
        let names = tree.names_in(table);
        for (index, name) in names.iter().enumerate() {
            if let Some(other) = names[..index].iter().find(|other| other.eq_ignore_ascii_case(name)) {
                let what = format!("differs from {other:?} only in letter case, which file systems fold");
                return Err(bad(tree, &[KeyPath::new([table, name])], &what, None));
            }
            if !is_name(name) {
                let path = KeyPath::new([table, name]);
                return Err(bad(tree, &[path], "has a bad name", NAME_RULE.to_owned()));
            }
        }
    }
    Ok(())
}

/// What a name may look like, for people.
const NAME_RULE: &str = "a name is 1 to 64 of A-Z a-z 0-9 . _ -, begins with a letter or digit, holds no `..`, and does not end in `.` or `.lock`";

fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        && !name.contains("..")
        && !name.ends_with('.')
        && !name.ends_with(".lock")
}

/// The node and the project are names too, wherever they were given.
fn given_names(config: &Config, tree: &Tree) -> Result<(), ConfigError> {
    for (key, name) in [("node_name", &config.node_name), ("project", &config.project)] {
        if let Some(name) = name.as_ref().filter(|name| !is_name(name)) {
            let path = KeyPath::parse(key);
            let what = format!("is {name:?}, which is not a valid name");
            return Err(tree.error(ErrorKind::BadName, &path, &what).with_help(Some(NAME_RULE.to_owned())));
        }
    }
    Ok(())
}

fn retries(config: &Config, tree: &Tree) -> Result<(), ConfigError> {
    let (wait, most) = (config.retry_wait, config.retry_wait_max);
    if most < wait {
        let places = ["retry_wait", "retry_wait_max"].map(KeyPath::parse);
        let what = format!("does not fit: retry_wait is {wait}, over retry_wait_max, {most}");
        return Err(bad(tree, &places, &what, "give both".to_owned()));
    }
    Ok(())
}

/// A task branch under our own refs would be taken for a record, and the other way round.
fn prefixes(config: &Config, tree: &Tree) -> Result<(), ConfigError> {
    let branches = format!("refs/heads/{}", config.branch_prefix);
    if branches.starts_with(&config.ref_prefix) || config.ref_prefix.starts_with(&branches) {
        let places = ["ref_prefix", "branch_prefix"].map(KeyPath::parse);
        let what =
            format!("does not fit: ref_prefix {:?} and branch_prefix {branches:?} overlap", config.ref_prefix);
        return Err(bad(tree, &places, &what, None));
    }
    Ok(())
}

fn node(settings: &NodeSettings, name: Option<&str>, config: &Config, tree: &Tree) -> Result<(), ConfigError> {
    let places = |key: &str| {
        let common = KeyPath::new(["node", key]);
        // Of one layer the last is pointed at: the named node's.
        name.map_or(vec![common.clone()], |name| vec![common, KeyPath::new(["nodes", name, key])])
    };
    if settings.poll_max < settings.poll {
        let what = format!("does not fit: poll is {}, over poll_max, {}", settings.poll, settings.poll_max);
        let places = [places("poll"), places("poll_max")].concat();
        return Err(bad(tree, &places, &what, "give both".to_owned()));
    }
    for executor in &settings.executors {
        named_executor(executor, &places("executors"), config, tree)?;
    }
    Ok(())
}

fn executors(config: &Config, tree: &Tree) -> Result<(), ConfigError> {
    for (name, settings) in &config.executors {
        let place = |key: &str| KeyPath::new(["executors", name, key]);
        if name == "shell" && settings.kind != ExecutorKind::Shell {
            let help = "give it another name: specs without an executor rely on this one".to_owned();
            return Err(bad(tree, &[place("kind")], "is not \"shell\", but `shell` is built in", help));
        }
        if settings.kind == ExecutorKind::Command && settings.command.is_empty() {
            let what = "is empty, but the executor is of kind \"command\"";
            let help = "write the program and its arguments: [\"program\", \"{prompt}\"]".to_owned();
            return Err(bad(tree, &[place("command")], what, help));
        }
        if settings.kind == ExecutorKind::Tmux {
            tmux(name, settings, tree)?;
        }
        if settings.min > settings.max {
            let what = format!("does not fit: min is {}, over max, {}", settings.min, settings.max);
            return Err(bad(tree, &[place("min"), place("max")], &what, "give both".to_owned()));
        }
    }
    Ok(())
}

/// A session needs an agent, and a name that tmux does not change.
fn tmux(name: &str, settings: &ExecutorSettings, tree: &Tree) -> Result<(), ConfigError> {
    let place = |key: &str| KeyPath::new(["executors", name, key]);
    if settings.command.is_empty() {
        let what = "is empty, but the executor is of kind \"tmux\"";
        let help = "write the agent's program and its arguments: [\"agent\", \"--model\", \"{model}\"]".to_owned();
        return Err(bad(tree, &[place("command")], what, help));
    }
    if settings.sessions.is_empty() && settings.max == 0 {
        let help =
            "name `sessions` that are there, or say with `max` how many numbered ones may be made".to_owned();
        return Err(bad(tree, &[place("max")], "is 0, and there are no `sessions`", help));
    }
    let is_plain = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
    };
    let is_session = |text: &String| match text.split_once(':') {
        Some((project, session)) => is_name(project) && is_plain(session),
        None => is_plain(text),
    };
    let rule = || "a session is named with A-Z a-z 0-9 _ -, beginning with a letter or digit".to_owned();
    if let Some(bad_one) = settings.sessions.iter().find(|session| !is_session(session)) {
        return Err(bad(tree, &[place("sessions")], &format!("has {bad_one:?}, which names no session"), rule()));
    }
    if settings.max > 0 && !is_plain(&settings.prefix) {
        return Err(bad(tree, &[place("prefix")], "begins no name of a session", rule()));
    }
    Ok(())
}

fn named_executor(name: &str, places: &[KeyPath], config: &Config, tree: &Tree) -> Result<(), ConfigError> {
    if config.executor(name).is_some() {
        return Ok(());
    }
    let known = || config.executors.keys().map(String::as_str);
    let help = match nearest(name, known()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => {
            format!("configured are: {}; add [executors.NAME] for another", known().collect::<Vec<_>>().join(", "))
        }
    };
    Err(bad(tree, places, &format!("names the executor {name:?}, which is not configured"), help))
}
