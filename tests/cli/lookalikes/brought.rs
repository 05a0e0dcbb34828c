//! What others bring: executors, hubs, forges, inboxes, generators, files.

use std::fs;

use serde_json::{Value, json};

use super::{all, clean, every, give, is_long, is_raw, look_around, yaml};
use crate::sandbox::Sandbox;
use crate::steps::{done, each_hub, enqueue_lines, line, plant_node, shown};

/// What an executor prints, commits, names and says, and what becomes of it.
#[test]
fn from_executors() {
    each_hub(|_, a, _| {
        let text = all();
        a.write("../text", &format!("{text}\n{text}\n"));
        let cat = format!("cat {}", shown(&a.path().join("../text")));
        enqueue_lines(
            a,
            &[
                ("prints", &format!("{cat}; {cat} >&2; echo done > prints.txt")),
                ("fails", &format!("{cat}; {cat} >&2; exit 3")),
                ("says", &format!("git dispatch done --failed --error \"$({cat})\"; {cat}")),
                (
                    "commits",
                    &format!(
                        "echo x > commits.txt; git add .; git -c user.name=\"$({cat})\" commit -q -m \"$({cat})\""
                    ),
                ),
                ("names", "touch -- --output=x -x ';touch planted' '$(touch planted)'; git add -- .; echo y > -n"),
                ("raw", "touch \"$(printf 'a\\033[2Jb')\""),
                ("turns", "touch \"$(printf 'a\\342\\200\\256b')\""),
                ("branches", "git checkout -q -b '$(touch${IFS}planted)'; echo z > branches.txt"),
            ],
        );
        clean(a, "run", &a.dispatch(&["run"]));
        look_around(a, "an executor");
        clean(a, "collect", &a.dispatch(&["collect", "--report", "../report.md"]));
        look_around(a, "an executor, collected");
        let page = fs::read_to_string(a.path().join("../report.md")).unwrap();
        assert!(!page.contains(is_raw), "{page:?}");
    });
}

/// What stands on the hub that this program did not write: records of nodes, control, notes, logs, tails, reports; and what the
/// hub says when it refuses.
#[test]
fn from_a_hub() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    done(&a, &[("one", "echo one > one.txt")]);
    let text = all();
    let record = json!({"host": text, "labels": [text], "executors": [text], "mode": text, "version": text, "state": text,
        "instance": text, "clone": text, "claims": [text], "tails": {"p/one": text}, "paused": text});
    plant_node(&sandbox, "odd", &record);
    plant_node(&sandbox, "odder", &json!({"name": text}));
    let spec = hub.git(&["rev-parse", "refs/dispatch/queue"]);
    let claim = hub.git(&["rev-parse", "refs/dispatch/claims/p/one"]);
    let at = jiff::Timestamp::now().to_string();
    let event = |event: &str| {
        json!({"v": 1, "at": at, "event": event, "task": text, "attempt": 1, "node": text, "claim": claim, "branch": text, "base": text,
            "error": text, "result": text, "target": text, "merge_commit": text, "artifact_hash": text, "output": text, "repair": text,
            "outside_modifies": [text], "files": [{"path": text, "kind": text}]})
    };
    let lines: Vec<String> =
        ["failed", "released", "conflict", "lost", &text].map(|name| event(name).to_string()).into();
    for (name, note) in [
        ("dispatch/odd", lines.join("\n")),
        ("dispatch/odder", text.clone()),
        ("dispatch-logs/odd", format!("== {text}\n{text}\n")),
        ("dispatch-sealed", event("merged").to_string()),
        ("dispatch-reports", format!("# {text}\n{text}")),
    ] {
        fs::write(sandbox.root().join("home/note"), note).unwrap();
        let file = sandbox.root().join("home/note");
        hub.git(&["notes", &format!("--ref=refs/notes/{name}"), "add", "-f", "-F", shown(&file), &spec]);
        look_around(&a, name);
        if name == "dispatch-sealed" {
            hub.git(&["update-ref", "-d", "refs/notes/dispatch-sealed"]);
        }
    }
    for (name, file, content) in [
        ("control", "control.json", json!({"v": 1, "all": false, "paused": [text]}).to_string()),
        ("control", "control.json", text.clone()),
    ] {
        fs::write(sandbox.root().join("home/record"), content).unwrap();
        let blob = hub.git(&["hash-object", "-w", shown(&sandbox.root().join("home/record"))]);
        fs::write(sandbox.root().join("home/tree"), format!("100644 blob {blob}\t{file}\n")).unwrap();
        let tree = hub.run("sh", &[], &["-c", "git mktree < \"$HOME/tree\""]).success();
        let commit = hub.git(&["commit-tree", tree.stdout.trim(), "-m", &text.replace('\0', "")]);
        hub.git(&["update-ref", &format!("refs/dispatch/{name}"), &commit]);
        look_around(&a, name);
        hub.git(&["update-ref", "-d", &format!("refs/dispatch/{name}")]);
    }
}

/// What a hub says when it refuses.
#[test]
fn from_a_hub_that_refuses() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    done(&a, &[("one", "echo one > one.txt")]);
    let text = all();
    fs::write(sandbox.root().join("home/words"), format!("{text}\n")).unwrap();
    let hook = hub.path().join("hooks/pre-receive");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, format!("#!/bin/sh\ncat {} >&2\nexit 1\n", shown(&sandbox.root().join("home/words"))))
        .unwrap();
    hub.run("chmod", &[], &["+x", shown(&hook)]).success();
    a.spec("../more/two.md", &format!("project: p\n{}", line("true")), "# Two");
    for args in [
        &["enqueue", "../more"][..],
        &["collect"],
        &["pause", "--all"],
        &["cancel", "one"],
        &["run"],
        &["bundle", "create", "../f", "--for", "v"],
    ] {
        give(&a, "a hook's words", args);
    }
}

/// Every text of a forge's event, one at a time.
#[test]
fn from_forges() {
    let sandbox = Sandbox::embedded();
    let a = sandbox.solo();
    let text = all();
    let mut given = 0;
    let forges = ["github", "gitlab", "forgejo", "gitea"];
    for forge in forges.into_iter().take(if is_long() { 4 } else { 2 }) {
        let file = format!("{}/fixtures/issues/{forge}/labeled.json", env!("CARGO_MANIFEST_DIR"));
        let event: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let mut paths = Vec::new();
        texts(&event, &mut String::new(), &mut paths);
        for path in paths {
            let mut event = event.clone();
            *event.pointer_mut(&path).unwrap() = json!(text);
            a.write("../event.json", &event.to_string());
            let trust =
                [("GIT_DISPATCH_TRUST_ISSUE_AUTHORS", "ann"), ("GIT_DISPATCH_TRUST_ISSUE_LABELS", "dispatch")];
            clean(
                &a,
                &path,
                &a.dispatch_env(&trust, &["enqueue", "--project", "p", "--issue", "../event.json", "--dry-run"]),
            );
            given += 1;
            if path.ends_with("title") || path.ends_with("body") || path.ends_with("description") {
                clean(
                    &a,
                    &path,
                    &a.dispatch_env(&trust, &["enqueue", "--project", forge, "--issue", "../event.json"]),
                );
            }
        }
    }
    assert!(given > 50, "{given}");
    println!("{given} texts of events");
    look_around(&a, "an event");
    clean(&a, "run", &a.dispatch(&["run"]));
}

fn texts(value: &Value, path: &mut String, found: &mut Vec<String>) {
    let mut below = |key: &str, value: &Value| {
        let length = path.len();
        path.push('/');
        path.push_str(&key.replace('~', "~0").replace('/', "~1"));
        texts(value, path, found);
        path.truncate(length);
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| below(key, value)),
        Value::Array(list) => list.iter().enumerate().for_each(|(at, value)| below(&at.to_string(), value)),
        Value::String(_) => found.push(path.clone()),
        _ => {}
    }
}

/// What is dropped into a folder, and what a generator prints and writes.
#[test]
fn from_inboxes_and_generators() {
    each_hub(|_, a, _| {
        let text = all();
        fs::create_dir_all(a.path().join("../in")).unwrap();
        for (at, text) in every().iter().enumerate() {
            let name = text.replace('/', "_");
            fs::write(a.path().join(format!("../in/{name}.md")), format!("---\nproject: p\n---\n# {text}\n"))
                .unwrap();
            fs::write(
                a.path().join(format!("../in/good{at}.md")),
                format!("---\nproject: p\ntags: [{}]\n---\n# {text}\n", yaml(text)),
            )
            .unwrap();
            fs::write(a.path().join(format!("../in/bad{at}.md")), format!("---\n{text}: {{\n---\n# {text}\n"))
                .unwrap();
        }
        clean(a, "inbox", &a.dispatch_env(&[("GIT_DISPATCH_INBOX_SETTLE", "1ms")], &["inbox", "../in"]));
        clean(a, "inbox", &a.dispatch_env(&[("GIT_DISPATCH_INBOX_SETTLE", "1ms")], &["inbox", "../in", "--json"]));
        a.write("../text", &format!("{text}\n"));
        let words = a.path().join("../text");
        let generate = format!(
            "cat {0}; cat {0} >&2; cat {0} > \"$DISPATCH_OUT/g.md\"; cp {0} \"$DISPATCH_OUT/$(printf '\\033[2J').md\"",
            shown(&words)
        );
        for ending in ["", "; exit 3"] {
            let generate = format!("factory.generate=[\"sh\",\"-c\",{}]", json!(format!("{generate}{ending}")));
            let (_, command) = generate.split_once('=').unwrap();
            a.write("git-dispatch.toml", &format!("[factory]\ngenerate = {command}\n"));
            clean(a, "factory", &a.dispatch(&["factory"]));
            clean(a, "factory", &a.dispatch(&["factory", "--json"]));
        }
        look_around(a, "an inbox");
    });
}

/// What a file says of itself: its manifest, its refs.
#[test]
fn from_bundles() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    enqueue_lines(&a, &[("one", "echo one > one.txt")]);
    a.dispatch(&["bundle", "create", "../good", "--for", "vault"]).success();
    let heads = a.git(&["bundle", "list-heads", "../good"]);
    a.git(&["init", "-q", "--bare", "../forge"]);
    let forge = a.path().join("../forge");
    let git = |args: &[&str]| a.git(&[&["-C", shown(&forge)], args].concat());
    for head in heads.lines() {
        let name = head.split_once(' ').unwrap().1;
        git(&["fetch", "-q", "../good", &format!("+{name}:{name}")]);
    }
    let stamp = heads.lines().find(|line| line.contains("/work/vault/")).unwrap().split_once(' ').unwrap().1;
    let manifest: Value = serde_json::from_str(&git(&["show", &format!("{stamp}:manifest.json")])).unwrap();
    let names: Vec<&String> = manifest.as_object().unwrap().keys().collect();
    for key in names {
        for (at, text) in every()
            .iter()
            .chain([&"--unset-all".to_owned(), &"../../x".to_owned(), &"--edit".to_owned()])
            .enumerate()
        {
            let mut changed = manifest.clone();
            match &changed[key] {
                Value::Object(_) => changed[key] = json!({text: text}),
                Value::Array(_) => changed[key] = json!([text]),
                _ => changed[key] = json!(text),
            }
            a.write("../manifest", &changed.to_string());
            let blob = git(&["hash-object", "-w", "../manifest"]);
            a.write("../tree", &format!("100644 blob {blob}\tmanifest.json\n"));
            let tree = a.run("sh", &[], &["-c", "git -C ../forge mktree < ../tree"]).success();
            let commit =
                git(&["-c", "user.name=x", "-c", "user.email=x", "commit-tree", tree.stdout.trim(), "-m", text]);
            git(&["update-ref", stamp, &commit]);
            let _ = fs::remove_file(a.path().join("../bad"));
            git(&["bundle", "create", "-q", "../bad", "--all"]);
            give(&a, key, &["bundle", "show", "../bad"]);
            let folder = format!("../opened-{key}-{at}");
            clean(&a, key, &a.dispatch(&["bundle", "open", "../bad", &folder]));
            if a.path().join(&folder).exists() {
                let opened = a.dispatch(&["-C", &folder, "status"]);
                clean(&a, key, &opened);
                assert!(
                    opened.code == 0 || key == "program",
                    "{key} = {text:?} made a clone that does not work:\n{opened}"
                );
            }
            clean(&a, key, &a.dispatch(&["collect", "--bundle", "../bad"]));
        }
    }
}
