//! What is refused: names, specs and configuration (RELIABILITY.md, "Bad input, and what it gets"). Each with its code, its
//! place, nothing written here or on the hub, and in under two seconds.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::hubs::{as_json, enqueue, refs, show};
use crate::sandbox::{Repo, Sandbox};

/// What may not be a name, of a task, a project or a node.
const NAMES: &str = include_str!("../../fixtures/names/refused.json");

/// A sandbox with something on the queue already, and what its hub and clone hold.
struct Place {
    sandbox: Sandbox,
    repo: Repo,
    hub: Repo,
    before: [String; 3],
}

impl Place {
    fn with_remote() -> Place {
        let sandbox = Sandbox::with_clones(&["a"]);
        Place::new(sandbox, |sandbox| (sandbox.repo("a"), sandbox.hub()))
    }

    fn embedded() -> Place {
        Place::new(Sandbox::embedded(), |sandbox| (sandbox.solo(), sandbox.solo()))
    }

    fn both() -> [Place; 2] {
        [Place::with_remote(), Place::embedded()]
    }

    fn new(sandbox: Sandbox, of: impl Fn(&Sandbox) -> (Repo, Repo)) -> Place {
        let (repo, hub) = of(&sandbox);
        enqueue(&repo, "s1", "", "# There already");
        let before = Place::holds(&repo, &hub);
        Place { sandbox, repo, hub, before }
    }

    fn holds(repo: &Repo, hub: &Repo) -> [String; 3] {
        [refs(repo), refs(hub), repo.git(&["config", "--list", "--local"])]
    }

    /// Demands that the command is refused as wrong usage, with this code; returns the error.
    #[track_caller]
    fn refused(&self, what: &str, args: &[&str], code: &str) -> Value {
        self.refused_env(what, &[], args, code)
    }

    #[track_caller]
    fn refused_env(&self, what: &str, environment: &[(&str, &str)], args: &[&str], code: &str) -> Value {
        let (start, mut took) = (Instant::now(), Vec::new());
        let out = self.repo.dispatch_env(environment, &[args, &["--json"]].concat());
        took.push(start.elapsed());
        assert_eq!(out.code, 2, "{what:?}:\n{out}");
        let document = out.json();
        let error = &document["error"];
        assert!(error["code"].as_str().is_some_and(|got| got == code), "{what:?} is not {code}:\n{out}");
        assert!(error["help"].as_str().is_some_and(|help| !help.is_empty()), "{what:?} has no way out:\n{out}");
        let start = Instant::now();
        let told = self.repo.dispatch_env(environment, args);
        took.push(start.elapsed());
        // Of two runs one: a machine may be busy with other things.
        assert!(took.iter().min() < Some(&Duration::from_secs(2)), "{what:?} took {took:?}");
        let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(told.code == 2 && told.stdout.is_empty() && !told.stderr.contains(bad), "{:?}", told.stderr);
        assert!(told.stderr.contains(code), "{told}");
        assert_eq!(Place::holds(&self.repo, &self.hub), self.before, "{what:?} wrote something");
        let planted = self.repo.path().join("planted");
        assert!(!planted.exists() && !self.sandbox.root().join("planted").exists(), "{what:?} was run");
        error.clone()
    }

    /// Writes a spec file of these bytes, and demands that it is refused at this line and column.
    #[track_caller]
    fn refused_spec(&self, bytes: &[u8], code: &str, at: (u64, u64)) {
        let what = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        let file = self.sandbox.root().join("bad.md");
        std::fs::write(&file, bytes).unwrap();
        let error = self.refused(&what, &["enqueue", "../bad.md"], code);
        let place = (error["line"].as_u64().unwrap_or(0), error["column"].as_u64().unwrap_or(0));
        assert_eq!((error["file"].as_str(), place), (Some("../bad.md"), at), "{what:?}: {error:#}");
    }
}

#[test]
fn names_that_are_none() {
    // One hub is enough for what is looked at before the hub is.
    let place = Place::with_remote();
    let names: Vec<String> = serde_json::from_str(NAMES).unwrap();
    for name in names.iter().map(String::as_str) {
        let quoted = serde_json::to_string(name).unwrap();
        for key in ["task_id", "project"] {
            let spec = format!("---\n{key}: {quoted}\n---\n# A task\n");
            place.sandbox.repo(".").write("bad.md", &spec);
            let error = place.refused(name, &["enqueue", "../bad.md"], "dispatch::name::invalid");
            assert_eq!((&error["file"], &error["line"]), (&"../bad.md".into(), &2.into()), "{name:?}: {error:#}");
        }
        let given = format!("--project={name}");
        place.refused(name, &["enqueue", "../specs/s1.md", &given], "dispatch::name::invalid");
        place.refused(name, &["init", &format!("--node={name}")], "dispatch::name::invalid");
    }
    for name in ["a/b", "a..b", "é", "$(touch planted)"] {
        let given = format!("--node={name}");
        place.refused(name, &["run", &given], "dispatch::name::invalid");
        place.refused(name, &["claim", &given], "dispatch::name::invalid");
        place.refused_env(name, &[("GIT_DISPATCH_NODE", name)], &["list"], "dispatch::name::invalid");
        place.refused_env(name, &[("GIT_DISPATCH_PROJECT", name)], &["list"], "dispatch::name::invalid");
        let spec = format!("---\nproject: {}\n---\n# A task\n", serde_json::to_string(name).unwrap());
        place.sandbox.repo(".").write("bad.md", &spec);
        place.refused(name, &["enqueue", "../bad.md"], "dispatch::name::invalid");
    }
}

/// A file's name is the id where it says none.
#[test]
fn file_names_that_are_no_ids() {
    for place in Place::both() {
        for name in ["two words.md", "-x.md", "é.md", "a..b.md", "x.lock.md"] {
            place.sandbox.repo(".").write(&format!("bad/{name}"), "# A task\n");
            place.refused(name, &["enqueue", "../bad"], "dispatch::name::invalid");
            std::fs::remove_file(place.sandbox.root().join("bad").join(name)).unwrap();
        }
    }
}

#[test]
fn names_that_differ_only_in_case() {
    for place in Place::both() {
        let root = place.sandbox.repo(".");
        root.spec("bad.md", "task_id: S1", "# A task");
        place.refused("S1", &["enqueue", "../bad.md"], "dispatch::name::case_clash");
        root.spec("bad.md", "task_id: other\nproject: HUB", "# A task");
        root.spec("bad2.md", "task_id: other\nproject: Hub", "# A task");
        place.refused("Hub", &["enqueue", "../bad.md", "../bad2.md"], "dispatch::name::case_clash");
        let own = show(&place.repo, "s1")["project"].as_str().unwrap().to_uppercase();
        root.spec("bad.md", &format!("task_id: other\nproject: {own}"), "# A task");
        place.refused("of the queue", &["enqueue", "../bad.md"], "dispatch::name::case_clash");
    }
}

#[test]
fn specs_that_are_none() {
    for place in Place::both() {
        let cases: &[(&str, &str, (u64, u64))] = &[
            ("", "dispatch::spec::empty", (1, 1)),
            (" \n\n", "dispatch::spec::empty", (1, 1)),
            ("---\ntitle: x\n", "dispatch::spec::unclosed", (1, 1)),
            ("---\ntitle: x\ntitle: y\n---\nx\n", "dispatch::spec::duplicate_key", (3, 1)),
            ("---\ntask_id: x\nid: y\n---\nx\n", "dispatch::spec::duplicate_key", (3, 1)),
            ("---\ntitle: [x\n---\nx\n", "dispatch::spec::syntax", (2, 8)),
            ("---\ndepends_on: {a: b}\n---\nx\n", "dispatch::spec::wrong_type", (2, 13)),
            ("---\nlabels: 5\n---\nx\n", "dispatch::spec::wrong_type", (2, 9)),
            ("---\npriority: urgent-ish\n---\nx\n", "dispatch::spec::bad_value", (2, 11)),
            ("---\ntimeout_minutes: -1\n---\nx\n", "dispatch::spec::bad_value", (2, 18)),
            ("---\nmode: sideways\n---\nx\n", "dispatch::spec::bad_value", (2, 7)),
            ("---\ntarget: \"a..b\"\n---\nx\n", "dispatch::spec::bad_value", (2, 9)),
        ];
        for (text, code, at) in cases {
            place.refused_spec(text.as_bytes(), code, *at);
        }
        place.refused_spec(b"fine\nna\xefve\n", "dispatch::spec::not_utf8", (2, 3));
        let file = place.sandbox.root().join("bad.md");
        std::fs::write(&file, vec![b'x'; (1 << 20) + 1]).unwrap();
        place.refused("over 1 MiB", &["enqueue", "../bad.md"], "dispatch::spec::too_large");
        let deep = format!("---\ntitle: {}{}\n---\nx\n", "[".repeat(50_000), "]".repeat(50_000));
        std::fs::write(&file, deep).unwrap();
        place.refused("deep nesting", &["enqueue", "../bad.md"], "dispatch::spec::syntax");
        let bomb: String = (1..30).map(|i| format!("x{i}: &a{i} [*a{0}, *a{0}]\n", i - 1)).collect();
        std::fs::write(&file, format!("---\nx0: &a0 [lol]\n{bomb}---\nx\n")).unwrap();
        place.refused("alias bomb", &["enqueue", "../bad.md"], "dispatch::spec::syntax");
        place.refused("not there", &["enqueue", "../nothing.md"], "dispatch::enqueue::unreadable");
        place.refused("no id", &["enqueue", "-"], "dispatch::spec::empty");
    }
}

#[test]
fn dependencies_that_do_not_work_out() {
    for place in Place::both() {
        let root = place.sandbox.repo(".");
        root.spec("cycle/a.md", "depends_on: [c]", "# A");
        root.spec("cycle/b.md", "depends_on: [a]", "# B");
        root.spec("cycle/c.md", "depends_on: [b]", "# C");
        let error = place.refused("a cycle", &["enqueue", "../cycle"], "dispatch::spec::dependency_cycle");
        let message = error["message"].as_str().unwrap();
        assert!(["/a", "/b", "/c"].iter().all(|id| message.contains(id)) && message.contains('→'), "{message}");
        assert!(error["file"].is_string() && error["line"] == 2, "{error:#}");
        root.spec("self/a.md", "depends_on: [a]", "# A");
        place.refused("itself", &["enqueue", "../self"], "dispatch::spec::dependency_cycle");
        root.spec("bad.md", "title: x\ndepends_on: [s1, S_1, s2]", "# A");
        let error = place.refused("unknown", &["enqueue", "../bad.md"], "dispatch::spec::unknown_dependency");
        assert_eq!(
            (&error["file"], &error["line"], &error["column"]),
            (&"../bad.md".into(), &3.into(), &18.into())
        );
        assert!(error["help"].as_str().unwrap().contains("did you mean"), "{error:#}");
        // One that is wrong keeps the whole batch out.
        root.spec("batch/good.md", "", "# Good");
        root.spec("batch/wrong.md", "depends_on: [nothing]", "# Wrong");
        place.refused("a batch", &["enqueue", "../batch"], "dispatch::spec::unknown_dependency");
    }
}

#[test]
fn odd_specs_that_are_good() {
    for place in Place::both() {
        let specs: [(&str, &[u8]); 6] = [
            ("bom", b"\xef\xbb\xbf---\ntitle: With a mark\n---\nx\n"),
            ("crlf", b"---\r\ntitle: Of Windows\r\npriority: 1\r\n---\r\n# x\r\n"),
            ("plain", b"Nothing but text.\n"),
            ("rule", b"# Code\n```\n---\ntitle: not this\n---\n```\n"),
            ("numbers", b"---\ntask_id: 007\n---\n# N\n"),
            ("unknown", b"---\ntitle: x\npriorty: 0\nfoo: bar\n---\nx\n"),
        ];
        for (name, bytes) in specs {
            let file = place.sandbox.root().join(format!("{name}.md"));
            std::fs::write(&file, bytes).unwrap();
            let out = place.repo.dispatch(&["enqueue", &format!("../{name}.md")]).success();
            if name == "unknown" {
                assert!(
                    out.stderr.contains("dispatch::spec::unknown_key") && out.stderr.contains("`priority`"),
                    "{out}"
                );
            } else {
                assert!(!out.stderr.replace("warning: no `run` line", "").contains("warning"), "{out}");
            }
        }
        let task = |id: &str| show(&place.repo, id);
        assert_eq!((&task("bom")["title"], &task("crlf")["priority"]), (&"With a mark".into(), &1.into()));
        assert_eq!((&task("rule")["title"], &task("007")["title"]), (&"Code".into(), &"N".into()));
        assert_eq!(task("plain")["spec_text"], "Nothing but text.\n");
        assert_eq!(task("unknown")["priority"], 2, "a near miss has no effect");
    }
}

#[test]
fn an_executor_that_nobody_offers_is_warned_of() {
    for place in Place::both() {
        place.sandbox.repo(".").spec("x.md", "executor: \"no\\e[2Jbody\"", "# A task");
        let out = place.repo.dispatch(&["enqueue", "../x.md"]);
        assert!(out.code == 0 || out.code == 2, "{out}");
        place.sandbox.repo(".").spec("y.md", "executor: nobody", "# A task");
        let out = place.repo.dispatch(&["enqueue", "../y.md"]).success();
        assert!(out.stderr.contains("warning") && out.stderr.contains("nobody"), "{out}");
        assert_eq!(show(&place.repo, "y")["waits_for"][0]["kind"], "executor");
        place.sandbox.repo(".").spec("z.md", "executor: shel", "# A task");
        let out = place.repo.dispatch(&["enqueue", "../z.md"]).success();
        assert!(out.stderr.contains("did you mean `shell`?"), "{out}");
    }
}

/// The shell executor has nothing to do for it: no node takes it, a person may.
#[test]
fn a_spec_without_a_line_to_run_is_warned_of() {
    for place in Place::both() {
        let root = place.sandbox.repo(".");
        for id in ["r1", "r2", "r3", "r4"] {
            root.spec(&format!("batch/{id}.md"), "", "# Prose");
        }
        root.spec("batch/r5.md", "run: exit 0", "# A line");
        let out = place.repo.dispatch(&["enqueue", "../batch"]).success();
        let warnings: Vec<&str> = out.stderr.lines().filter(|line| line.contains("warning")).collect();
        assert_eq!(warnings.len(), 1, "one for all of them: {out}");
        assert!(warnings[0].contains("`run`") && warnings[0].contains("/r3 and 1 more"), "{out}");
        assert_eq!(show(&place.repo, "r1")["waits_for"][0]["kind"], "run");
        place.repo.dispatch(&["claim", "r1"]).success();
    }
}

#[test]
fn configuration_that_is_wrong() {
    for place in Place::both() {
        let cases: &[(&[u8], &str, (u64, u64))] = &[
            (b"x = = 1\n", "dispatch::config::syntax", (1, 5)),
            (b"# fine\n\xff\xfe\n", "dispatch::config::syntax", (2, 1)),
            (b"tarket = \"main\"\n", "dispatch::config::unknown_key", (1, 1)),
            (b"[node]\nslotz = 1\n", "dispatch::config::unknown_key", (2, 1)),
            (b"target = 5\n", "dispatch::config::wrong_type", (1, 10)),
            (b"[node]\nslots = \"two\"\n", "dispatch::config::wrong_type", (2, 9)),
            (b"[node]\nlost_after_beats = 1\n", "dispatch::config::bad_value", (2, 20)),
            (b"sync_timeout = \"10 parsecs\"\n", "dispatch::config::bad_value", (1, 16)),
            (b"project = \"a/b\"\n", "dispatch::name::invalid", (1, 11)),
            (b"[node]\nslots = \"\x1b[2J\xe2\x80\xae\"\n", "dispatch::config::syntax", (2, 10)),
            (b"ref_prefix = \"refs/../\"\n", "dispatch::config::bad_value", (1, 14)),
        ];
        let file = place.repo.path().join("git-dispatch.toml");
        for (bytes, code, at) in cases {
            let what = String::from_utf8_lossy(bytes).into_owned();
            std::fs::write(&file, bytes).unwrap();
            for args in [&["list"][..], &["enqueue", "../specs/s1.md"], &["run"]] {
                let error = place.refused(&what, args, code);
                let place = (error["line"].as_u64().unwrap_or(0), error["column"].as_u64().unwrap_or(0));
                assert_eq!(
                    (error["file"].as_str(), place),
                    (Some("git-dispatch.toml"), *at),
                    "{what:?}: {error:#}"
                );
            }
        }
        // No guess is better than one that has nothing in common with what was written.
        std::fs::write(&file, "[executors.agent]\nkind = \"shell\"\nfoo = 1\n").unwrap();
        let error = place.refused("foo", &["list"], "dispatch::config::unknown_key");
        assert!(!error["help"].as_str().unwrap().contains("did you mean"), "{error:#}");
        std::fs::remove_file(&file).unwrap();
        place.refused_env("env", &[("GIT_DISPATCH_NODE_SLOTZ", "1")], &["list"], "dispatch::config::unknown_key");
        place.refused_env("env", &[("GIT_DISPATCH_NODE_MODE", "up")], &["list"], "dispatch::config::bad_value");
    }
}

#[test]
fn settings_of_git_that_are_wrong() {
    let mut place = Place::embedded();
    place.repo.git(&["config", "dispatch.nodeName", "x"]);
    place.before = Place::holds(&place.repo, &place.hub);
    place.refused("git config", &["list"], "dispatch::config::unknown_key");
}

#[test]
fn remotes_that_cannot_be_a_hub() {
    let cases = [
        ("origin.url", "ext::sh -c 'touch planted'", "dispatch::config::bad_remote"),
        ("origin.url", "-oProxyCommand=touch planted", "dispatch::config::bad_remote"),
        ("origin.pushurl", "fd::17", "dispatch::config::bad_remote"),
        ("origin.url", "git://localhost.example.org/x", "dispatch::config::bad_remote"),
        ("origin.url", "http://127.0.0.1@example.org/x", "dispatch::config::bad_remote"),
        ("origin.mirror", "true", "dispatch::config::mirror_remote"),
    ];
    for (key, value, code) in cases {
        let mut place = Place::with_remote();
        place.repo.git(&["config", &format!("remote.{key}"), value]);
        place.before = Place::holds(&place.repo, &place.hub);
        for args in [&["list"][..], &["enqueue", "../specs/s1.md"], &["run"]] {
            place.refused(value, args, code);
        }
    }
    let mut place = Place::with_remote();
    place.repo.git(&["config", "dispatch.remote", "nowhere"]);
    place.before = Place::holds(&place.repo, &place.hub);
    place.refused("no remote", &["list"], "dispatch::config::no_remote");
}

#[test]
fn command_lines_that_are_wrong() {
    let place = Place::embedded();
    let near = |args: &[&str], meant: &str| {
        let out = place.repo.dispatch(args).code(2);
        assert!(out.stdout.is_empty() && out.stderr.contains(meant), "{out}");
        let error = as_json(&place.repo, args).code(2).json()["error"].clone();
        assert_eq!(error["code"], "dispatch::usage::wrong");
        assert!(error["help"].as_str().is_some_and(|help| !help.is_empty()));
        let told = format!("{} {}", error["message"], error["help"]);
        assert!(told.contains(meant), "in the document too: {told}");
    };
    near(&["lst"], "'list'");
    near(&["list", "--stat", "pending"], "'--state'");
    near(&["list", "--state", "pendng"], "`pending`");
    near(&["list", "--quiet", "--verbose"], "--verbose");
    near(&["run", "--slots", "0"], "--slots");
    near(&["claim", "--hold", "1 fortnight"], "--hold");
    near(&["cancel"], "<TASK>");
    near(&["show"], "<TASK>");
}
