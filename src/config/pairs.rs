//! Owns the reading of the two layers that are pairs of texts, git config and the environment. Does not own what settings
//! are called there (`names`), nor getting at either: the pairs are given.

use std::collections::BTreeMap;

use super::error::{ConfigError, ErrorKind};
use super::layers::Tree;
use super::names::{PREFIX, SECTION, all_paths, env_name, env_path, git_key, git_path};
use super::near;
use super::origin::Origin;
use super::path::KeyPath;
use super::schema::{Key, Kind};
use super::texts::{Texts, from_texts};

/// Variables of our own tests are no settings.
const OF_TESTS: &str = "GIT_DISPATCH_TEST_";

/// One value of git config, as `git config --list -z --show-scope` gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitConfigValue {
    /// The whole key: `dispatch.node.pollmax`. Keys of other sections are passed over.
    pub key: String,
    /// The value; none where the key stands alone, which means true.
    pub value: Option<String>,
    /// The scope: `system`, `global`, `local`, `worktree`, `command`.
    pub scope: String,
}

/// Reads git config over what the tree holds. A list is what the last scope gives for it, each value an item; a single
/// empty value makes it empty.
pub(crate) fn read_git_config(values: &[GitConfigValue], tree: &mut Tree) -> Result<(), ConfigError> {
    let mut given: BTreeMap<KeyPath, (&'static Key, &str, Vec<Option<&str>>)> = BTreeMap::new();
    for value in values {
        let Some(rest) = strip_prefix_ignoring_case(&value.key, SECTION) else {
            continue;
        };
        let Some((path, key)) = git_path(rest) else {
            return Err(unknown_git_key(value, rest, tree));
        };
        let entry = given.entry(path).or_insert((key, &value.scope, Vec::new()));
        // Scopes are layers too: what the clone says replaces what the user says everywhere.
        if entry.1 != value.scope {
            *entry = (key, &value.scope, Vec::new());
        }
        entry.2.push(value.value.as_deref());
    }
    for (path, (key, scope, texts)) in given {
        let origin = Origin::GitConfig { key: git_key(&path, key), scope: scope.to_owned() };
        if texts.contains(&None) && key.kind != Kind::Bool {
            let error = ConfigError::about(ErrorKind::WrongType, &origin, &path, "has no value", None);
            return Err(error.with_help(Some("write `key = value`".into())));
        }
        let items: Vec<String> = texts.iter().map(|text| text.unwrap_or("true").to_owned()).collect();
        let several = items.len() > 1;
        let whole = items.last().cloned().unwrap_or_default();
        let items = if whole.is_empty() && !several { Vec::new() } else { items };
        put(tree, &path, key, Texts { whole, items, several }, &origin)?;
    }
    Ok(())
}

/// Reads the environment over what the tree holds: lists have commas. Other variables than ours are passed over.
pub(crate) fn read_environment(variables: &[(String, String)], tree: &mut Tree) -> Result<(), ConfigError> {
    for (variable, text) in variables {
        if variable.starts_with(OF_TESTS) {
            continue;
        }
        let Some(rest) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        let Some((path, key)) = env_path(rest, tree) else {
            return Err(unknown_variable(variable, rest, tree));
        };
        let origin = Origin::Env { variable: variable.clone() };
        let items = match text.trim().is_empty() {
            true => Vec::new(),
            false => text.split(',').map(|item| item.trim().to_owned()).collect(),
        };
        put(tree, &path, key, Texts { whole: text.clone(), items, several: false }, &origin)?;
    }
    Ok(())
}

fn put(tree: &mut Tree, path: &KeyPath, key: &Key, texts: Texts, origin: &Origin) -> Result<(), ConfigError> {
    let value = from_texts(key.kind, texts).map_err(|problem| problem.into_error(origin, path))?;
    tree.set(path, value, origin);
    Ok(())
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn unknown_git_key(value: &GitConfigValue, rest: &str, tree: &Tree) -> ConfigError {
    let known: Vec<String> = all_paths(tree).iter().map(|(path, key)| git_key(path, key)).collect();
    let known: Vec<&str> = known.iter().filter_map(|key| key.strip_prefix(SECTION)).collect();
    let slip = ["nodename", "node.name"].iter().any(|slip| rest.eq_ignore_ascii_case(slip));
    let near = if slip { Some("node") } else { near::meant(rest, &known, '.') };
    let help = near.map_or_else(
        || format!("take it out with `git config --unset-all {}`", value.key.escape_debug()),
        |near| format!("did you mean `{SECTION}{near}`?"),
    );
    let origin = Origin::GitConfig { key: value.key.clone(), scope: value.scope.clone() };
    let what = "is not a setting";
    ConfigError::about(ErrorKind::UnknownKey, &origin, &KeyPath::default(), what, None).with_help(Some(help))
}

fn unknown_variable(variable: &str, rest: &str, tree: &Tree) -> ConfigError {
    let known: Vec<String> = all_paths(tree).iter().map(|(path, _)| path.parts().join(".")).collect();
    let known: Vec<String> = known.iter().map(|path| env_name(path)).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    // Here the separator is a letter of names as well, so the whole rest must be the ending.
    let ending = format!("_{rest}");
    let mut endings = known.iter().filter(|known| known.ends_with(&ending));
    let near = match (near::nearest(rest, known.iter().copied()), endings.next(), endings.next()) {
        _ if rest == "NODE_NAME" => Some("NODE"),
        (Some(near), ..) => Some(near),
        (None, Some(only), None) => Some(*only),
        _ => None,
    };
    let help = near.map_or_else(
        || format!("unset {}", variable.escape_debug()),
        |near| format!("did you mean `{PREFIX}{near}`?"),
    );
    let origin = Origin::Env { variable: variable.to_owned() };
    let what = "is not a setting";
    ConfigError::about(ErrorKind::UnknownKey, &origin, &KeyPath::default(), what, None).with_help(Some(help))
}
