//! The floors of the house (see `src/lib.rs`): a module uses what is on its own floor or below, never above, and the
//! words that belong behind one door stand nowhere else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The floors, lowest first; modules side by side do not use each other unless they are listed in order.
const FLOORS: &[&[&str]] = &[
    &["ambient", "task", "fail"],
    &["exec", "git", "config", "secrets"],
    &["hub"],
    &["executor"],
    &["protocol"],
    &["node"],
    &["exit", "ui", "commands", "cli"],
];

fn sources() -> BTreeMap<PathBuf, String> {
    fn walk(folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.insert(path, text);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 40, "the sources were not found");
    found
}

/// The module below `src` that a file belongs to.
fn module_of(path: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let first = path.strip_prefix(root).unwrap().components().next().unwrap();
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// The modules that a text names by `crate::…`, comments left out.
fn uses(text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut found = Vec::new();
    for line in code {
        for part in line.split("crate::").skip(1) {
            let names = match part.strip_prefix('{') {
                Some(list) => list.split([',', '}']).map(str::trim).collect::<Vec<_>>(),
                None => vec![part],
            };
            for name in names {
                let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
                found.push(name[..end].to_owned());
            }
        }
    }
    found
}

#[test]
fn every_module_stands_on_a_floor() {
    for path in sources().keys() {
        let module = module_of(path);
        assert!(
            matches!(module.as_str(), "lib" | "main") || floor_of(&module).is_some(),
            "{} stands on no floor",
            path.display()
        );
    }
}

#[test]
fn nothing_is_used_from_a_floor_above() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Some(own) = floor_of(&module_of(&path)) else { continue };
        for used in uses(&text) {
            if floor_of(&used).is_some_and(|floor| floor > own) {
                wrong.push(format!("{} uses crate::{used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_scan_sees_uses_of_each_form() {
    assert_eq!(uses("use crate::hub::Hub;\nlet x = crate::git::f();\n// crate::ui\n"), ["hub", "git"]);
    assert_eq!(uses("use crate::{config, task};"), ["config", "task", ""]);
}

/// Text that may stand only in the files named.
fn only_in(text: &str, allowed: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (path, source) in sources() {
        let relative = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        if relative.contains("/tests") {
            continue;
        }
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        let stands = code.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(text));
        assert!(!stands || allowed.contains(&relative.as_str()), "{text} stands in {relative}");
    }
}

#[test]
fn one_door_to_git_and_one_to_the_shared_refs() {
    only_in("Command::new(\"git\")", &["git/process.rs"]);
    only_in("repo.push(", &["hub/publish.rs"]);
    only_in("\"push\", \"--porcelain\"", &["git/remote.rs"]);
    // The setting that moves the prefix shows the default as an example.
    only_in("refs/dispatch/", &["hub/layout.rs", "config/value.rs"]);
    only_in("refs/notes/", &["hub/layout.rs", "config/refname.rs"]);
}

/// Whatever is started has to be given a deadline ([`git_dispatch::exec::Limits`]), for there is one place that starts it.
#[test]
fn nothing_is_started_that_nobody_ends() {
    // Beside it the guard of `top`, which outlives us on purpose and ends with its input.
    only_in(".spawn()", &["exec/child.rs", "commands/top/guard.rs"]);
    only_in(".output()", &["commands/top/guard.rs"]);
    only_in(".status()", &[]);
    // Who becomes another program waits for nobody.
    only_in(".exec()", &["executor/tmux/server.rs", "executor/tmux/launch.rs"]);
    // Conversations with a remote begin where the deadline is an argument.
    only_in("\"fetch\",", &["git/remote.rs", "git/partial.rs", "executor/slot/harvest.rs"]);
    only_in("\"ls-remote\"", &["git/remote.rs"]);
    // Beside it words for a person to type.
    only_in("--force-with-lease=", &["git/remote.rs", "protocol/doctor/records.rs"]);
}

#[test]
fn files_and_functions_stay_readable() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 500, "{} has {lines} lines", path.display());
    }
}

/// The error codes that stand in the sources: in `code(…)` of a diagnostic, or as a text of their own.
fn codes_in_sources() -> std::collections::BTreeSet<String> {
    let mut found = std::collections::BTreeSet::new();
    for (path, text) in sources() {
        // The project itself may lie below a folder of that name.
        let inside = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(&path);
        if inside.to_string_lossy().contains("/tests") || path.ends_with("exit.rs") {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for marker in ["code(dispatch::", "\"dispatch::"] {
                for part in line.split(marker).skip(1) {
                    let end = part
                        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':')
                        .unwrap_or(part.len());
                    let code = part[..end].trim_end_matches(':');
                    if code.contains("::") {
                        found.insert(format!("dispatch::{code}"));
                    }
                }
            }
        }
    }
    found
}

#[test]
fn every_error_code_is_documented_and_every_documented_code_exists() {
    let documented: std::collections::BTreeSet<String> =
        git_dispatch::commands::explain::codes().into_iter().map(|one| one.code).collect();
    let used = codes_in_sources();
    assert!(used.len() > 40, "the scan found too little: {used:?}");
    let missing: Vec<_> = used.difference(&documented).collect();
    let dead: Vec<_> = documented.difference(&used).filter(|code| !code.starts_with("dispatch::demo::")).collect();
    assert!(
        missing.is_empty() && dead.is_empty(),
        "not documented: {missing:?}\ndocumented, and never used: {dead:?}"
    );
    for one in git_dispatch::commands::explain::codes() {
        assert!(!one.meaning.is_empty() && !one.way_out.is_empty(), "{} is not explained", one.code);
    }
}
