//! Text that would drive a terminal or be taken for an option or a shell's, in every place where text comes in
//! (RELIABILITY.md, "Bad input"): whatever takes it, nothing runs, nothing reaches a terminal raw, and `--json` stays JSON.
//!
//! The places are listed, not picked: every argument and option of every command, as its help names them; every key of a spec;
//! every setting (in the short form by one of its ways); every text of a forge's event; and, one test each, what an executor,
//! a generator, an inbox, a hub, a file and a signature bring. With `GIT_DISPATCH_TEST_LONG` each text stands in each place
//! alone.

mod brought;

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::sandbox::{Out, Repo, Sandbox};
use crate::steps::{done, each_hub, enqueue_lines};

/// What drives or deceives a terminal: clear the screen, set a title, C1, turn the writing round, isolate, nothing at all, go back.
const CLAWS: &str = "\u{1b}[2J\u{1b}]0;t\u{7}\u{9b}31m\u{202e}\u{2066}\u{200b}\u{e0041}\r\u{8}x";

/// What looks like an option, or like a shell's: each would leave a file behind.
const LOOKALIKES: [&str; 5] = [
    "--upload-pack=touch planted",
    "--output=planted",
    "-oProxyCommand=touch planted",
    "$(touch planted)`touch planted`",
    "x;touch planted|touch planted&touch planted",
];

/// Commands that only look.
const LOOKS: [&[&str]; 13] = [
    &["list"],
    &["list", "--why"],
    &["status"],
    &["log"],
    &["nodes"],
    &["conflicts"],
    &["outbox"],
    &["report"],
    &["collect", "--dry-run"],
    &["schedule", "--dry-run"],
    &["gc", "--dry-run"],
    &["reap", "--dry-run"],
    &["comment", "one"],
];

/// All of it in one text.
fn all() -> String {
    format!("{} {CLAWS}", LOOKALIKES.join(" "))
}

/// Each look-alike with the claws behind it, and the claws alone; in the short form one of an option's, and all in one.
fn every() -> Vec<String> {
    if !is_long() {
        return vec![format!("{}{CLAWS}", LOOKALIKES[0]), format!("x {}", all())];
    }
    LOOKALIKES.iter().map(|text| format!("{text}{CLAWS}")).chain([CLAWS.to_owned()]).collect()
}

fn is_long() -> bool {
    std::env::var_os("GIT_DISPATCH_TEST_LONG").is_some()
}

/// Writes a text in quotes that YAML, unlike JSON, reads whatever is in it.
fn yaml(text: &str) -> String {
    let written = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        ' '..='~' => c.to_string(),
        c => format!("\\U{:08x}", u32::from(c)),
    };
    format!("\"{}\"", text.chars().map(written).collect::<String>())
}

fn is_raw(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{e0000}'..='\u{e007f}')
}

/// Demands of an answer that nothing in it is raw, that nothing died, and that nothing planted was run.
#[track_caller]
fn clean(repo: &Repo, what: &str, out: &Out) {
    assert!(out.code < 100, "{what:?} died:\n{out}");
    assert!(!out.stdout.contains(is_raw), "{what:?} shows text raw: {:?}", out.stdout);
    assert!(!out.stderr.contains(is_raw), "{what:?} shows text raw: {:?}", out.stderr);
    for folder in [repo.path(), repo.path().parent().unwrap(), &repo.path().join(".git")] {
        let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let planted = names.filter(|name| name.to_string_lossy().starts_with("planted"));
        assert_eq!(planted.count(), 0, "{what:?} was run");
    }
}

/// Gives a command, for people and for programs.
#[track_caller]
fn give(repo: &Repo, what: &str, args: &[&str]) {
    clean(repo, what, &repo.dispatch(args));
    let out = repo.dispatch(&[args, &["--json"]].concat());
    clean(repo, what, &out);
    if !out.stdout.is_empty() && !args.contains(&"--help") {
        let lines = || out.stdout.lines().map(serde_json::from_str::<Value>);
        let is_json = serde_json::from_str::<Value>(&out.stdout).is_ok() || lines().all(|line| line.is_ok());
        assert!(is_json, "{what:?} prints no JSON:\n{out}");
    }
}

/// Looks at everything that there is, and at each task by itself.
#[track_caller]
fn look_around(repo: &Repo, what: &str) {
    LOOKS.iter().for_each(|args| give(repo, what, args));
    let listed = repo.dispatch(&["list", "--json"]).json();
    for task in listed["tasks"].as_array().into_iter().flatten() {
        let name = format!("{}/{}", task["project"].as_str().unwrap(), task["id"].as_str().unwrap());
        give(repo, what, &["show", &name]);
        // Output goes into a pipe as it is, and written out to a terminal alone.
        let out = repo.dispatch(&["logs", &name]);
        assert!(out.code < 100 && !out.stderr.contains(is_raw), "{what:?}: {:?}", out.stderr);
    }
}

/// The commands with their arguments and those options that take a value, as the help says.
fn command_line(repo: &Repo) -> Vec<(Vec<String>, BTreeSet<String>, bool)> {
    let help = repo.dispatch(&["help"]).success().stdout;
    let names =
        help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1).take_while(|line| !line.is_empty());
    let mut commands: Vec<Vec<String>> =
        names.map(|line| vec![line.split_whitespace().next().unwrap().to_owned()]).collect();
    commands.extend(["create", "open", "show"].map(|verb| vec!["bundle".to_owned(), verb.to_owned()]));
    let described = |command: Vec<String>| {
        let args: Vec<&str> = command.iter().map(String::as_str).chain(["-h"]).collect();
        let help = repo.dispatch(&args).stdout;
        let valued = help.lines().filter(|line| line.trim_start().starts_with('-') && line.contains('<'));
        let options = valued.filter_map(|line| {
            let option = line.split_whitespace().find(|word| word.starts_with("--"))?;
            Some(option.split(['=', ',', '[', '<']).next()?.to_owned())
        });
        let has_arguments = help.contains("Arguments:");
        (command, options.collect(), has_arguments)
    };
    commands.into_iter().map(described).collect()
}

/// Every argument, and every option that takes a value.
#[test]
fn on_the_command_line() {
    let sandbox = Sandbox::embedded();
    let a = sandbox.solo();
    done(&a, &[("one", "echo one > one.txt")]);
    // What `--format` is given is printed as it stands, as `git for-each-ref` does.
    let own = ["--color", "--format"];
    let mut given = 0;
    for (command, options, has_arguments) in command_line(&a) {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        // `demo` and `-C` have a folder of their own; `help` is clap's.
        if ["demo", "help", "bundle"] == [command[0]; 3] || command[0] == "demo" || command == ["bundle"] {
            continue;
        }
        for text in every() {
            for option in options.iter().filter(|option| !own.contains(&option.as_str())) {
                let valued = format!("{option}={text}");
                clean(&a, &valued, &a.dispatch(&[&command[..], &[&valued]].concat()));
                given += 1;
            }
            if has_arguments {
                clean(&a, &text, &a.dispatch(&[&command[..], &["--", &text]].concat()));
                given += 1;
            }
        }
    }
    assert!(given > 120, "{given}");
    println!("{given} command lines");
    look_around(&a, "afterwards");
}

/// Every key of a spec, an unknown key, its title, its body, and the name of its file.
#[test]
fn in_specs() {
    const KEYS: [&str; 22] = [
        "task_id",
        "id",
        "project",
        "title",
        "priority",
        "depends_on",
        "modifies",
        "tags",
        "labels",
        "executor",
        "mode",
        "estimate",
        "estimated_minutes",
        "target",
        "target_branch",
        "timeout",
        "timeout_minutes",
        "repairs",
        "status",
        "agent",
        "model",
        "unknown",
    ];
    each_hub(|_, a, _| {
        for (at, text) in every().iter().enumerate() {
            for (number, key) in KEYS.iter().enumerate() {
                let value = if number % 2 == 0 { yaml(text) } else { format!("[{}]", yaml(text)) };
                let path = format!("../specs/k{at}-{number}.md");
                a.spec(&path, &format!("project: p\n{key}: {value}"), &format!("# {text}\n\n{text}\n"));
                clean(a, key, &a.dispatch(&["enqueue", &path]));
            }
            let odd = a.path().join("../odd");
            fs::create_dir_all(&odd).unwrap();
            let name = text.replace('/', "_");
            fs::write(odd.join(format!("{name}.md")), format!("---\nproject: p\n{}: x\n---\n# x\n", yaml(text)))
                .unwrap();
            give(a, "a file's name", &["enqueue", "../odd"]);
            clean(a, "a file's name", &a.dispatch(&["enqueue", "--", &format!("../odd/{name}.md")]));
            clean(a, "standard input", &a.dispatch_stdin(&format!("# {text}\n\n{text}"), &["enqueue", "-"]));
        }
        let queued = a.dispatch(&["list", "--json"]).success().json();
        assert!(queued["tasks"].as_array().unwrap().len() > 10, "{queued}");
        look_around(a, "specs");
        give(a, "specs", &["show", "k5-5"]);
        clean(a, "run", &a.dispatch(&["run"]));
    });
}

/// Every setting, from the environment, from git, and from the committed file.
#[test]
fn in_settings() {
    let sandbox = Sandbox::embedded();
    let a = sandbox.solo();
    let defaults = include_str!("../../git-dispatch.toml");
    let (mut section, mut keys) = (String::new(), Vec::new());
    for line in defaults.lines().map(|line| line.trim_start_matches('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = format!("{name}.");
        } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.contains([' ', '"'])) {
            keys.push(format!("{section}{key}"));
        }
    }
    assert!(keys.len() > 60, "{keys:?}");
    let text = all();
    // In the short form each comes in one of the ways, by turns.
    let goes = |at: usize, way: usize| is_long() || at % 4 == way;
    for (at, key) in keys.iter().enumerate() {
        let variable = format!("GIT_DISPATCH_{}", key.replace('.', "_").to_uppercase());
        if goes(at, 0) {
            clean(&a, key, &a.dispatch_env(&[(&variable, text.as_str())], &["status"]));
        }
        if goes(at, 1) {
            a.git(&["config", "--local", &format!("dispatch.{}", key.replace('_', "")), &text]);
            clean(&a, key, &a.dispatch(&["list"]));
            a.git(&["config", "--local", "--unset", &format!("dispatch.{}", key.replace('_', ""))]);
        }
        let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
        let header = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
        for (way, value) in [(2, json!(text)), (3, json!([text]))] {
            if goes(at, way) {
                a.write("git-dispatch.toml", &format!("{header}{name} = {value}\n"));
                clean(&a, key, &a.dispatch(&["status"]));
            }
        }
        if a.path().join("git-dispatch.toml").exists() {
            fs::remove_file(a.path().join("git-dispatch.toml")).unwrap();
        }
    }
    let quoted = json!(text);
    for file in
        [format!("{quoted} = 1\n"), format!("[executors.{quoted}]\nkind = {quoted}\n"), format!("x = '{text}'\n")]
    {
        a.write("git-dispatch.toml", &file);
        give(&a, "a table's name", &["list"]);
    }
    fs::remove_file(a.path().join("git-dispatch.toml")).unwrap();
    for name in ["user.name", "user.email", "dispatch.node", "core.editor", "core.pager", "init.defaultBranch"] {
        a.git(&["config", "--local", name, &text]);
        a.spec("../named.md", &format!("project: p\ntask_id: {}", name.replace('.', "-")), "# A task");
        clean(&a, name, &a.dispatch(&["enqueue", "../named.md"]));
        look_around(&a, name);
        a.git(&["config", "--local", "--unset", name]);
    }
}

/// Every address of a remote, and every branch that is meant, checked out or there.
#[test]
fn in_addresses_and_branches() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    enqueue_lines(&a, &[("one", "echo one > one.txt")]);
    let good = a.git(&["config", "remote.origin.url"]);
    let mut urls = every();
    urls.extend(
        ["ext::sh -c touch% planted", "ssh://-oProxyCommand=touch%20planted/x", "-oProxyCommand=touch planted:x"]
            .map(str::to_owned),
    );
    for url in &urls {
        a.git(&["config", "remote.origin.url", url]);
        for args in [&["list"][..], &["run"], &["collect"], &["enqueue", "../specs-one"]] {
            clean(&a, url, &a.dispatch_env(&[("GIT_DISPATCH_SYNC_TIMEOUT", "2s")], args));
        }
    }
    a.git(&["config", "remote.origin.url", &good]);
    let tip = hub.git(&["rev-parse", "main"]);
    let branches = [
        "--upload-pack=touch",
        "$(touch${IFS}planted)",
        "a\u{202e}b\u{200b}",
        "-x",
        ";touch${IFS}planted",
        "`touch${IFS}planted`",
    ];
    for branch in branches.into_iter().take(if is_long() { 6 } else { 3 }) {
        for name in [
            format!("refs/heads/{branch}"),
            format!("refs/heads/task/{branch}"),
            format!("refs/dispatch/claims/p/{branch}"),
            format!("refs/dispatch/nodes/{branch}"),
            format!("refs/dispatch/attempts/p/one/1-{branch}"),
            format!("refs/notes/dispatch/{branch}"),
            format!("refs/notes/dispatch-logs/{branch}"),
        ] {
            hub.git(&["update-ref", &name, &tip]);
        }
        a.git(&["fetch", "-q", "origin"]);
        a.git(&["symbolic-ref", "HEAD", &format!("refs/heads/{branch}")]);
        hub.git(&["symbolic-ref", "HEAD", &format!("refs/heads/{branch}")]);
        for args in [
            &["list"][..],
            &["status"],
            &["run"],
            &["collect"],
            &["gc", "--keep", "0s"],
            &["init"],
            &["bundle", "create", "../f", "--for", "v"],
        ] {
            clean(&a, branch, &a.dispatch(args));
            clean(&a, branch, &a.dispatch_env(&[("GIT_DISPATCH_TARGET", branch)], args));
            let _ = fs::remove_file(a.path().join("../f"));
        }
        look_around(&a, branch);
    }
}
