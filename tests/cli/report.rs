//! The merge report: as a file, and as a note on the last merge commit.

use std::fs;

use crate::sandbox::Sandbox;
use crate::steps::{done, each_hub, enqueue, line, refs_below, task, text};

/// Returns the report that stands on a commit, if one does.
fn noted(hub: &crate::sandbox::Repo, commit: &str) -> Option<String> {
    let out = hub.git_try(&["notes", "--ref=dispatch-reports", "show", commit]);
    (out.code == 0).then_some(out.stdout)
}

#[test]
fn the_file_and_the_note_say_what_was_done_and_what_to_do() {
    each_hub(|_, a, hub| {
        done(
            a,
            &[
                ("one", "echo from one > src/one.txt; echo 1 > 1.txt"),
                ("three", "echo 3 > 3.txt"),
                ("two", "echo from two > src/one.txt; echo 2 > 2.txt"),
            ],
        );
        enqueue(a, &[("after", format!("{}\ndepends_on: two", line("true")))]);
        a.dispatch(&["run"]).success();
        let report = a.path().join("../report.md");
        let planned = a.dispatch(&["collect", "--dry-run", "--report", "../report.md"]).code(4);
        assert!(!planned.stderr.contains("error"), "{planned}");
        assert!(fs::read_to_string(&report).unwrap().starts_with("# Would be collected into `main`\n"));
        assert_eq!(refs_below(hub, "refs/notes/dispatch-reports"), Vec::<String>::new());

        a.dispatch(&["collect", "--report", "../report.md", "--json"]).code(4);
        let written = fs::read_to_string(&report).unwrap();
        assert!(written.starts_with("# Collected into `main`\n"), "{written}");
        let short = |name: &str| hub.git(&["rev-parse", "--short=10", name]);
        for expected in [
            format!(
                "from `{}` to `{}`: 2 merged, 1 conflicting, 0 rejected, 1 waiting",
                short("main~2"),
                short("main")
            ),
            format!("| `p/one` | `Task one` | `{}` | 2 | +2 −1 | ", text(&task(a, "one")["node"])),
            format!("| `{}` |\n", short("main")),
            "| `src/one.txt` (`contents`) |\n".to_owned(),
            "## Waiting\n".to_owned(),
            "- `p/two`: `git dispatch retry p/two` runs it again".to_owned(),
        ] {
            assert!(written.contains(&expected), "{expected}\nin\n{written}");
        }
        assert_eq!(noted(hub, "main").as_deref().map(str::trim_end), Some(written.trim_end()));
        assert_eq!(noted(hub, "main~1"), None, "on the last merge commit alone");
        assert!(hub.git(&["log", "-1", "--notes=dispatch-reports", "main"]).contains("# Collected into `main`"));

        let before = hub.git(&["rev-parse", "refs/notes/dispatch-reports"]);
        a.dispatch(&["collect"]).success();
        assert_eq!(
            hub.git(&["rev-parse", "refs/notes/dispatch-reports"]),
            before,
            "nothing merged, nothing to tell"
        );
        done(a, &[("four", "echo 4 > 4.txt")]);
        a.dispatch(&["collect"]).success();
        assert!(noted(hub, "main").unwrap().contains("`p/four`") && noted(hub, "main~1").is_some());
    });
}

#[test]
fn nothing_of_a_title_or_a_path_works_as_markup_or_drives_a_terminal() {
    let sandbox = Sandbox::embedded();
    let a = sandbox.solo();
    // The repository's own: no task may bring such a name.
    a.write("a|`b`\u{1b}[2J\nc", "zero\n");
    a.commit("An odd name");
    let change = |text: &str| line(&format!("f=$(printf 'a|`b`\\033[2J\\nc'); echo {text} > \"$f\""));
    for (id, title) in [("one", "One | <b>`x`</b> [l](http://e) @all"), ("two", "\u{1b}[31mTwo\u{202e}")] {
        let frontmatter = format!("project: p\n{}\ntitle: {}", change(id), serde_json::json!(title));
        a.spec(&format!("../specs/{id}.md"), &frontmatter, "Do it.");
    }
    a.dispatch(&["enqueue", "../specs"]).success();
    a.dispatch(&["run"]).success();
    a.dispatch(&["collect", "--report", "../r.md"]).code(4);
    let written = fs::read_to_string(a.path().join("../r.md")).unwrap();
    assert!(!written.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{written}");
    assert!(written.contains("| `` One \\| <b>`x`</b> [l](http://e) @all `` |"), "{written}");
    assert!(written.contains("`` a\\|`b`\\u{1b}[2J\\nc `` (`contents`)"), "{written}");
    assert!(written.lines().filter(|line| line.starts_with('|')).all(|line| line.ends_with('|')), "{written}");
}

#[test]
fn a_file_that_cannot_be_written_is_known_before_anything_is_merged() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    done(&a, &[("one", "echo 1 > 1.txt")]);
    let before = hub.git(&["rev-parse", "main"]);
    let out = a.dispatch(&["collect", "--report", "no/such/folder/r.md", "--json"]).code(1);
    assert_eq!(out.json()["error"]["code"], "dispatch::collect::report", "{out}");
    assert_eq!(
        (hub.git(&["rev-parse", "main"]), text(&task(&a, "one")["state"])),
        (before, "completed".to_owned())
    );
}

/// The report explains and decides nothing.
#[test]
fn a_hub_that_takes_no_reports_takes_everything_else() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    for hook in [
        "#!/bin/sh\ncase $1 in refs/notes/dispatch-reports) exit 1;; esac\n",
        "#!/bin/sh\nif grep -q refs/notes/dispatch-reports; then exit 1; fi\n",
    ] {
        let name = if hook.contains("grep") { "pre-receive" } else { "update" };
        let path = hub.path().join("hooks").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, hook).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&path, mode).unwrap();
        done(&a, &[(name, &format!("echo {name} > {name}.txt"))]);
        let out = a.dispatch(&["collect", "--report", "../r.md", "--json"]).success();
        assert_eq!(out.json()["merged"][0]["task"], format!("p/{name}"), "{out}");
        assert_eq!(text(&task(&a, name)["state"]), "merged");
        assert_eq!(refs_below(&hub, "refs/dispatch/claims"), Vec::<String>::new());
        assert_eq!(refs_below(&hub, "refs/heads"), ["refs/heads/main"]);
        assert_eq!(refs_below(&hub, "refs/notes/dispatch-reports"), Vec::<String>::new());
    }
    assert!(fs::read_to_string(a.path().join("../r.md")).unwrap().contains("`p/pre-receive`"));
}

#[test]
fn two_collectors_leave_both_their_reports() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b, hub) = (sandbox.repo("a"), sandbox.repo("b"), sandbox.hub());
    done(&a, &[("one", "echo 1 > 1.txt")]);
    a.dispatch(&["collect"]).success();
    done(&a, &[("two", "echo 2 > 2.txt")]);
    b.dispatch(&["collect"]).success();
    assert!(noted(&hub, "main").unwrap().contains("on `b`") && noted(&hub, "main~1").unwrap().contains("on `a`"));
}

#[test]
fn a_branch_that_moved_since_is_named() {
    each_hub(|_, a, hub| {
        done(a, &[("moved", "echo 2 > 2.txt")]);
        let branch = text(&task(a, "moved")["branch"]);
        hub.git(&["branch", "-f", &branch, "main"]);
        let out = a.dispatch(&["collect"]).success();
        assert!(out.stderr.contains(&format!("the branch {branch} has moved since; it stays")), "{out}");
        assert_eq!(refs_below(hub, "refs/heads/task"), [format!("refs/heads/{branch}")]);
        done(a, &[("not", "echo 3 > 3.txt")]);
        assert!(!a.dispatch(&["collect"]).success().stderr.contains("it stays"));
    });
}
