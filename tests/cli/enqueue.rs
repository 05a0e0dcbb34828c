//! `enqueue`: what goes onto the queue, byte for byte, and what is refused with nothing changed.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::sandbox::Sandbox;
use crate::steps::{each, each_hub, enqueue, refs, refused, specs, states, tasks, text};

#[test]
fn files_folders_and_standard_input_are_enqueued_in_order() {
    each_hub(|_, a, hub| {
        a.spec("work/b.md", "", "# Second\n\nDo it.");
        a.spec("work/a.md", "", "# First\n\nDo it.");
        a.write("work/notes.txt", "no spec");
        a.spec("one.md", "project: other\npriority: high", "# One\n\nDo it.");
        let out = a.dispatch_stdin(
            "---\ntask_id: from-stdin\n---\n# Typed\n\nDo it.\n",
            &["enqueue", "--json", "one.md", "work", "-"],
        );
        let document = out.success().json();
        let project = if a.path() == hub.path() { "solo" } else { "hub" };
        let expected = ["other/one".to_owned(), format!("{project}/a"), format!("{project}/b")];
        let expected = [&expected[..], &[format!("{project}/from-stdin")]].concat();
        assert_eq!(each(&document["enqueued"], "task"), expected);
        assert_eq!(document["skipped"], json!([]));
        // The queue is a chain of commits, readable with git alone.
        let log = hub.git(&["log", "--reverse", "--format=%H %s", "refs/dispatch/queue"]);
        let titles = ["First", "Second", "Typed"];
        let titles = std::iter::once("One").chain(titles);
        let ids = each(&document["enqueued"], "spec");
        let lines: Vec<String> = ids
            .iter()
            .zip(&expected)
            .zip(titles)
            .map(|((id, task), title)| format!("{id} {task}: {title}"))
            .collect();
        assert_eq!(log.lines().collect::<Vec<_>>(), lines);
        let spec = hub.git_try(&["show", &format!("{}:spec.md", ids[1])]).success().stdout;
        assert_eq!(spec, fs::read_to_string(a.path().join("work/a.md")).unwrap());
        let message = hub.git(&["show", "-s", "--format=%B", &ids[0]]);
        assert!(
            message.contains("\nDispatch-Task: other/one\n") && message.contains("Dispatch-Priority: 1"),
            "{message}"
        );
    });
}

#[test]
fn the_same_bytes_are_skipped_and_others_refused() {
    each_hub(|_, a, hub| {
        enqueue(a, &[("one", "priority: 0"), ("two", "")]);
        let before = refs(hub);
        let again = a.dispatch(&["enqueue", "--json", "../specs-one"]).success().json();
        assert_eq!(again["enqueued"], json!([]));
        assert_eq!(each(&again["skipped"], "task"), ["p/one", "p/two"]);
        assert!(each(&again["skipped"], "reason").iter().all(|reason| !reason.is_empty()));
        assert_eq!(refs(hub), before);

        let folder = specs(a, "changed", &[("new", "priority: 0"), ("one", "priority: 3")]);
        let error = refused(&a.dispatch(&["enqueue", "--json", &folder]), "dispatch::enqueue::exists", 2);
        assert!(
            text(&error["message"]).contains("p/one") && text(&error["message"]).contains("pending"),
            "{error}"
        );
        assert!(text(&error["help"]).contains("--replace"), "{error}");
        let twice = specs(a, "twice", &[("x", "task_id: same"), ("y", "task_id: same")]);
        refused(&a.dispatch(&["enqueue", "--json", &twice]), "dispatch::enqueue::twice", 2);
        assert_eq!(refs(hub), before);
        assert_eq!(states(a), ["one pending", "two pending"]);
    });
}

#[test]
fn what_is_only_tried_changes_nothing() {
    each_hub(|_, a, hub| {
        let folder = specs(a, "batch", &[("one", "priority: 0")]);
        let before = refs(hub);
        let out = a.dispatch(&["enqueue", "--dry-run", &folder]).success();
        assert!(out.stdout.contains("would enqueue p/one"), "{out}");
        assert_eq!(refs(hub), before);
        a.dispatch(&["enqueue", "--project", "q", &folder]).success();
        assert_eq!(states(a), ["one pending"]);
        assert!(a.dispatch(&["enqueue"]).success().stderr.contains("nothing to enqueue"));
    });
}

#[test]
fn dependencies_that_do_not_work_out_are_refused_with_the_place() {
    each_hub(|_, a, hub| {
        enqueue(a, &[("queued", "")]);
        let before = refs(hub);
        let unknown = [("a", "depends_on: [queued]".to_owned()), ("b", "depends_on:\n  - a\n  - quued".to_owned())];
        let folder = specs(a, "unknown", &unknown);
        let out = a.dispatch(&["enqueue", "--json", &folder]);
        let error = refused(&out, "dispatch::spec::unknown_dependency", 2);
        assert_eq!(
            (error["file"].clone(), error["line"].clone(), error["column"].clone()),
            (json!("../unknown/b.md"), json!(5), json!(5)),
            "{error}"
        );
        assert!(
            text(&error["message"]).contains("p/quued") && text(&error["help"]).contains("p/queued"),
            "{error}"
        );

        let circle = ["x", "y", "z"].map(|id| {
            let on = match id {
                "x" => "y",
                "y" => "z",
                _ => "x",
            };
            (id, format!("priority: 1\ndepends_on: {on}"))
        });
        let folder = specs(a, "circle", &circle);
        let error = refused(&a.dispatch(&["enqueue", "--json", &folder]), "dispatch::spec::dependency_cycle", 2);
        let message = text(&error["message"]);
        assert!(["p/x", "p/y", "p/z"].iter().all(|name| message.contains(name)), "{message}");
        assert_eq!(
            (error["file"].clone(), error["line"].clone(), error["column"].clone()),
            (json!("../circle/z.md"), json!(4), json!(13)),
            "{error}"
        );
        let own = specs(a, "own", &[("me", "depends_on: me")]);
        refused(&a.dispatch(&["enqueue", "--json", &own]), "dispatch::spec::dependency_cycle", 2);
        // For people, with the source shown, on stderr, and nothing on stdout.
        let shown = a.dispatch(&["enqueue", &folder]).code(2);
        assert!(shown.stdout.is_empty() && shown.stderr.contains("dispatch::spec::dependency_cycle"), "{shown}");
        assert!(shown.stderr.contains("../circle/z.md") && shown.stderr.contains("depends_on: x"), "{shown}");
        assert_eq!(refs(hub), before);
        assert_eq!(states(a), ["queued pending"]);
    });
}

/// Chinese prose, fenced rules, foreign keys, CRLF with a byte order mark, odd YAML.
#[test]
fn real_specs_are_enqueued_as_they_are() {
    each_hub(|_, a, hub| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/specs");
        // What they depend on, by their own names.
        let missing = [
            ("gem-platform", "S00"),
            ("other", "S7"),
            ("billing", "006"),
            ("billing", "005"),
            ("ledger", "L2"),
            ("real", "docs-outline"),
            ("1.10", "y"),
            ("1.10", "0x1F"),
            ("1.10", "1.10"),
        ];
        for (project, id) in missing {
            a.spec(
                &format!("../ground/{project}-{id}.md"),
                &format!("task_id: '{id}'\nproject: '{project}'"),
                "# Ground\n\nx",
            );
        }
        a.dispatch(&["enqueue", "../ground"]).success();
        let out = a.dispatch(&["enqueue", "--json", "--project", "real", folder.to_str().unwrap()]).success();
        assert!(out.stderr.contains("dispatch::spec::unknown_key") && out.stderr.contains("sprint"), "{out}");
        let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let document = out.json();
        let commits = each(&document["enqueued"], "spec");
        assert_eq!(commits.len(), files.len());
        for (file, commit) in files.iter().zip(&commits) {
            let blob = hub.git(&["rev-parse", &format!("{commit}:spec.md")]);
            let own = hub.git(&["hash-object", "--no-filters", "--", file.to_str().unwrap()]);
            assert_eq!(blob, own, "{}", file.display());
        }
        let listed = tasks(a);
        assert_eq!(listed["i18n-12"]["title"], "把错误信息翻译成中文");
        assert_eq!(listed["docs-frontmatter"]["depends_on"], json!(["real/docs-outline"]));
        assert_eq!(listed["WIN-3"]["labels"], json!(["os:windows", "signing"]));
        assert_eq!(listed["S01"]["priority"], 1);
    });
}

#[test]
fn a_thousand_specs_are_one_push() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    let ids: Vec<String> = (0..1000).map(|i| format!("t{i:04}")).collect();
    let batch: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "priority: 1")).collect();
    let folder = specs(&a, "many", &batch);
    let (out, trace) = a.traced(&["enqueue", "--json", &folder]);
    assert_eq!(each(&out.success().json()["enqueued"], "task").len(), 1000);
    assert_eq!(trace.count("push"), 1);
    assert!(trace.processes() <= 4, "{:?}", trace.command_lines());
    assert_eq!(sandbox.hub().git(&["rev-list", "--count", "refs/dispatch/queue"]), "1000");
    let listed = tasks(&a);
    assert_eq!(listed.keys().collect::<Vec<_>>(), ids.iter().collect::<Vec<_>>());
}

/// Nothing of what was given reaches a terminal as it is.
#[track_caller]
fn harmless(shown: &str) {
    let is_odd = |c: &char| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c);
    assert_eq!(shown.chars().find(is_odd), None, "{shown:?}");
}

#[test]
fn names_that_differ_only_in_case_are_refused() {
    each_hub(|_, a, hub| {
        enqueue(a, &[("s1", "")]);
        let before = refs(hub);
        for (folder, id, frontmatter) in [("case1", "S1", ""), ("case2", "s2", "project: P")] {
            a.spec(&format!("../{folder}/{id}.md"), frontmatter, "# Title\n\nDo it.");
            let args = ["enqueue", "--json", "--project", "p", &format!("../{folder}")];
            let error = refused(&a.dispatch(&args), "dispatch::name::case_clash", 2);
            assert!(text(&error["message"]).contains("letter case"), "{error}");
        }
        let folder = specs(a, "case3", &[("f1", "task_id: q"), ("f2", "task_id: Q")]);
        refused(&a.dispatch(&["enqueue", "--json", &folder]), "dispatch::name::case_clash", 2);
        assert_eq!(refs(hub), before);
    });
}

#[test]
fn specs_that_are_none_are_refused_and_the_batch_with_them() {
    let front = |text: &str| format!("---\n{text}\n---\n# Title\n\nDo it.\n").into_bytes();
    let bomb = format!("a: &a [x]\n{}", (0..60).map(|_| "b: [*a, *a]\n").collect::<String>());
    let bombs: String = (1..25).map(|i| format!("k{i}: &k{i} [*k{}, *k{}]\n", i - 1, i - 1)).collect();
    let rows: Vec<(&str, Vec<u8>, Option<u64>)> = vec![
        ("empty", b" \n\n".to_vec(), None),
        ("not UTF-8", b"# Title\n\n\xff\xfe\n".to_vec(), Some(3)),
        ("over 1 MiB", vec![b'x'; (1 << 20) + 1], None),
        ("not closed", b"---\ntask_id: a\n# Title\n".to_vec(), Some(1)),
        ("duplicate key", front("priority: 1\npriority: 2"), Some(3)),
        ("wrong type", front("depends_on: {a: b}"), Some(2)),
        ("a number among names", front("priority: 1\nlabels: [1.5, [x]]"), Some(3)),
        ("priority", front("priority: urgent-ish"), Some(2)),
        ("negative", front("timeout_minutes: -1"), Some(2)),
        ("deep", front(&format!("x: {}{}", "[".repeat(5000), "]".repeat(5000))), None),
        ("bomb", front(&format!("k0: &k0 [x, x]\n{bombs}")), None),
        ("bomb of one size", front(&bomb), None),
    ];
    each_hub(|_, a, hub| {
        let before = refs(hub);
        for (at, (what, bytes, line)) in rows.iter().enumerate() {
            let folder = specs(a, &format!("row{at}"), &[("fine", "")]);
            fs::write(a.path().join(&folder).join("zz.md"), bytes).unwrap();
            let out = a.dispatch(&["enqueue", "--json", &folder]).code(2);
            let code = text(&out.json()["error"]["code"]);
            assert!(code.starts_with("dispatch::spec::"), "{what}:\n{out}");
            let error: Value = refused(&out, &code, 2);
            assert_eq!(error["file"], format!("{folder}/zz.md"), "{what}:\n{out}");
            if line.is_some() {
                assert_eq!(error["line"].as_u64(), *line, "{what}:\n{out}");
            }
        }
        refused(&a.dispatch(&["enqueue", "--json", "../no-such.md"]), "dispatch::enqueue::unreadable", 2);
        refused(&a.dispatch_stdin("# No id\n\nx\n", &["enqueue", "--json", "-"]), "dispatch::spec::no_id", 2);
        assert_eq!(refs(hub), before);
    });
}

#[test]
fn a_near_miss_of_a_key_and_an_unknown_executor_are_only_warned_of() {
    each_hub(|_, a, _| {
        let folder = specs(a, "odd", &[("one", "priorty: 0\nexecutor: nobody-offers")]);
        let out = a.dispatch(&["enqueue", "--json", &folder]).success();
        assert!(out.stderr.contains("`priority` meant") && out.stderr.contains("nobody-offers"), "{out}");
        assert_eq!(each(&out.json()["enqueued"], "task"), ["p/one"]);
        a.dispatch(&["run"]).code(3);
        assert_eq!(states(a), ["one pending"]);
    });
}

#[test]
fn a_title_with_escape_sequences_is_shown_escaped() {
    each_hub(|_, a, _| {
        enqueue(a, &[("one", "title: \"red \\e[31m \\u202e and \\a\"")]);
        let out = a.dispatch(&["list", "--color", "never"]).success();
        assert!(out.stdout.contains("red"), "{out}");
        harmless(&out.stdout);
    });
}
