//! Owns how settings are called by git config (`dispatch.node.pollMax`) and by the environment
//! (`GIT_DISPATCH_NODE_POLL_MAX`). Does not own the reading of these layers (`pairs`).

use super::layers::Tree;
use super::path::KeyPath;
use super::schema::{self, KEYS, Key, NAMED, NODE_NAME};

/// What all our git keys begin with; its case does not count.
pub(crate) const SECTION: &str = "dispatch.";
/// What all our variables begin with.
pub(crate) const PREFIX: &str = "GIT_DISPATCH_";

/// Finds the setting that a git key means, given without its section. Git folds the case of the last part only.
pub(crate) fn git_path(rest: &str) -> Option<(KeyPath, &'static Key)> {
    let (subsection, last) = rest.rsplit_once('.').unwrap_or(("", rest));
    if subsection.is_empty() && last.eq_ignore_ascii_case("node") {
        return key_at(KeyPath::new([NODE_NAME]));
    }
    // A name may hold dots, so all between the table and the last part is the name.
    let (table, name) = match subsection.split_once('.') {
        Some((table, name)) if NAMED.contains(&table) && !name.is_empty() => {
            (format!("{table}.*"), Some((table, name)))
        }
        _ => (subsection.to_owned(), None),
    };
    let (part, _) = schema::keys_of(&table)
        .filter(|(_, key)| key.path != NODE_NAME)
        .find(|(part, _)| part.replace('_', "").eq_ignore_ascii_case(last))?;
    match name {
        Some((table, name)) => key_at(KeyPath::new([table, name, part])),
        None if table.is_empty() => key_at(KeyPath::new([part])),
        None => key_at(KeyPath::new([table.as_str(), part])),
    }
}

/// Finds the setting that a variable means, given without its prefix. Upper case does not tell `glm` from `GLM`, nor
/// `_` from `-`, so names that the tree knows come first; a new one is taken in lower case.
pub(crate) fn env_path(rest: &str, tree: &Tree) -> Option<(KeyPath, &'static Key)> {
    let fixed = KEYS.iter().filter(|key| !key.path.contains('*'));
    if let Some(key) = fixed.clone().find(|key| env_name(key.path) == rest) {
        return Some((KeyPath::parse(key.path), key));
    }
    for table in NAMED {
        let Some(rest) = rest.strip_prefix(&format!("{}_", table.to_uppercase())) else {
            continue;
        };
        let pattern = format!("{table}.*");
        let mut fitting: Vec<(&str, &str)> = schema::keys_of(&pattern)
            .filter_map(|(part, _)| {
                let name = rest.strip_suffix(&part.to_uppercase())?.strip_suffix('_')?;
                (!name.is_empty()).then_some((name, part))
            })
            .collect();
        // `A_STALL_TIMEOUT` is rather A's `stall_timeout` than A_STALL's `timeout`.
        fitting.sort_by_key(|(name, _)| name.len());
        let mut known = tree.names_in(table);
        known.extend((table == "executors").then(|| "shell".to_owned()));
        for (name, part) in &fitting {
            if let Some(known) = known.iter().find(|known| env_name(known) == *name) {
                return key_at(KeyPath::new([table, known.as_str(), part]));
            }
        }
        let (name, part) = fitting.first()?;
        return key_at(KeyPath::new([table, name.to_lowercase().as_str(), part]));
    }
    None
}

fn key_at(path: KeyPath) -> Option<(KeyPath, &'static Key)> {
    match schema::lookup(&path) {
        schema::Found::Key(key) => Some((path, key)),
        _ => None,
    }
}

/// Writes a path or a name as the environment does, without the prefix.
pub(crate) fn env_name(path: &str) -> String {
    match path {
        NODE_NAME => "NODE".to_owned(),
        _ => path.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect(),
    }
}

/// Writes a key as people do in git config: `dispatch.node.pollMax`.
pub(crate) fn git_key(path: &KeyPath, key: &Key) -> String {
    if key.path == NODE_NAME {
        return format!("{SECTION}node");
    }
    let mut parts = path.parts().to_vec();
    if let Some(last) = parts.last_mut() {
        *last = camel_case(last);
    }
    format!("{SECTION}{}", parts.join("."))
}

fn camel_case(part: &str) -> String {
    let mut words = part.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(word.len().min(1));
        camel.push_str(&first.to_ascii_uppercase());
        camel.push_str(rest);
    }
    camel
}

/// Lists the paths of all settings, those of named tables for the names that are known.
pub(crate) fn all_paths(tree: &Tree) -> Vec<(KeyPath, &'static Key)> {
    let mut paths = Vec::new();
    for key in KEYS {
        match key.path.split_once(".*.") {
            None => paths.push((KeyPath::parse(key.path), key)),
            Some((table, part)) => {
                let names =
                    tree.names_in(table).into_iter().chain((table == "executors").then(|| "shell".to_owned()));
                paths.extend(names.map(|name| (KeyPath::new([table, &name, part]), key)));
            }
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(rest: &str) -> Option<String> {
        git_path(rest).map(|(path, key)| format!("{path} {}", git_key(&path, key)))
    }

    #[test]
    fn git_folds_the_last_part_only() {
        assert_eq!(git("NODE").as_deref(), Some("node_name dispatch.node"));
        assert_eq!(git("maxattempts").as_deref(), Some("max_attempts dispatch.maxAttempts"));
        assert_eq!(
            git("node.LOSTAFTERBEATS").as_deref(),
            Some("node.lost_after_beats dispatch.node.lostAfterBeats")
        );
        let dotted = git("nodes.host.lan.pollmax");
        assert_eq!(dotted.as_deref(), Some("nodes.\"host.lan\".poll_max dispatch.nodes.host.lan.pollMax"));
        for unknown in
            ["", "node.", "Node.slots", "node_name", "node.poll_max", "nodes.slots", "executors..timeout"]
        {
            assert_eq!(git(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn every_setting_has_a_name_of_its_own_in_both() {
        let paths = all_paths(&Tree::default());
        let mut git: Vec<_> = paths.iter().map(|(path, key)| git_key(path, key).to_lowercase()).collect();
        let mut env: Vec<_> = paths.iter().map(|(path, _)| env_name(&path.parts().join("."))).collect();
        for names in [&mut git, &mut env] {
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), paths.len());
        }
    }

    #[test]
    fn a_variable_means_the_name_that_is_known_first() {
        let mut tree = Tree::default();
        let path = |rest, tree: &Tree| env_path(rest, tree).map(|(path, _)| path.to_string());
        let rest = "EXECUTORS_A_STALL_TIMEOUT";
        assert_eq!(path(rest, &tree).as_deref(), Some("executors.a.stall_timeout"));
        tree.declare(&KeyPath::new(["executors", "a-stall"]), &crate::config::Origin::Default);
        assert_eq!(path(rest, &tree).as_deref(), Some("executors.a-stall.timeout"));
        assert_eq!(path("EXECUTORS_TIMEOUT", &tree), None);
    }
}
