//! `enqueue --issue` and `comment`: what forges tell of issues becomes tasks; what strangers write stays text.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::rig::{Fleet, PATIENT};
use crate::sandbox::{Repo, Sandbox};
use crate::steps::{each, each_hub, refs, refused, shown, states, task, text};

const FORGES: [&str; 4] = ["forgejo", "gitea", "github", "gitlab"];

/// Those who may, and the label that it takes.
const TRUST: [(&str, &str); 2] =
    [("GIT_DISPATCH_TRUST_ISSUE_AUTHORS", "ann"), ("GIT_DISPATCH_TRUST_ISSUE_LABELS", "dispatch")];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn event(forge: &str, name: &str) -> Value {
    let file = fixtures().join(format!("issues/{forge}/{name}.json"));
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// Gives a fixture to the command, and returns what it did.
fn given(repo: &Repo, forge: &str, name: &str) -> Value {
    let file = fixtures().join(format!("issues/{forge}/{name}.json"));
    repo.dispatch_env(&TRUST, &["enqueue", "--json", "--project", "p", "--issue", shown(&file)]).success().json()
}

/// Gives any payload to the command, by a file.
fn give(repo: &Repo, payload: &Value, more: &[&str]) -> crate::sandbox::Out {
    repo.write("../event.json", &payload.to_string());
    let args = [&["enqueue", "--project", "p", "--issue", "../event.json"][..], more].concat();
    repo.dispatch_env(&TRUST, &args)
}

fn reason(done: &Value) -> String {
    text(&done["skipped"][0]["reason"])
}

fn spec_text(repo: &Repo) -> String {
    text(&repo.dispatch(&["show", "issue-7", "--json"]).success().json()["spec_text"])
}

#[test]
fn an_issue_of_each_forge_goes_through_its_life() {
    let lives = crate::sandbox::race(FORGES.len(), |n| {
        let (forge, sandbox) = (FORGES[n], Sandbox::with_clones(&["a"]));
        let a = sandbox.repo("a");
        assert_eq!(reason(&given(&a, forge, "opened")), "the issue lacks the label `dispatch`");
        assert_eq!(states(&a), [""; 0]);
        let labelled = given(&a, forge, "labeled");
        assert_eq!(
            (each(&labelled["enqueued"], "task"), &labelled["skipped"]),
            (vec!["p/issue-7".into()], &json!([]))
        );
        let queued = task(&a, "issue-7");
        assert_eq!((&queued["mode"], &queued["priority"]), (&json!("undecided"), &json!(1)));
        assert_eq!((&queued["title"], &queued["labels"]), (&json!("Load the packing page faster"), &json!([])));
        assert_eq!(reason(&given(&a, forge, "labeled")), "already queued", "delivered twice");
        let before = spec_text(&a);
        assert_eq!(each(&given(&a, forge, "edited")["enqueued"], "task"), ["p/issue-7"]);
        let after = spec_text(&a);
        assert!(!before.contains("Also on the overview.") && after.contains("Also on the overview.\n"), "{after}");
        assert_eq!(states(&a), ["issue-7 pending"]);
        assert_eq!(given(&a, forge, "closed")["cancelled"], json!(["p/issue-7"]));
        assert_eq!(reason(&given(&a, forge, "closed")), "it is cancelled already");
        assert!(reason(&given(&a, forge, "edited")).contains("is cancelled"), "an event that comes late");
        assert_eq!(states(&a), ["issue-7 cancelled"]);
        after.replace(&format!("{forge}.example.org"), "forge").replace("/-/issues", "/issues")
    });
    assert!(lives.windows(2).all(|pair| pair[0] == pair[1]), "{lives:#?}");
}

#[test]
fn what_has_begun_keeps_its_text_and_what_is_reopened_runs_again() {
    each_hub(|_, a, _| {
        let (opened, edited) = (event("github", "labeled"), event("github", "edited"));
        give(a, &opened, &[]).success();
        a.dispatch(&["claim", "issue-7"]).success();
        let out = give(a, &edited, &[]).success();
        assert!(out.stderr.contains("skipped  p/issue-7: it is running: too late for another text"), "{out}");
        assert!(!spec_text(a).contains("overview"));
        // Called off while it is worked on; open again with the newer text.
        give(a, &event("github", "closed"), &[]).success();
        assert_eq!(states(a), ["issue-7 cancelled"]);
        let mut reopened = edited.clone();
        reopened["action"] = json!("reopened");
        assert_eq!(give(a, &reopened, &["--dry-run"]).success().stdout, "would reopen p/issue-7\n");
        assert_eq!(states(a), ["issue-7 cancelled"]);
        assert_eq!(give(a, &reopened, &[]).success().stdout, "replaced p/issue-7\n");
        assert!(spec_text(a).contains("overview"));
        assert_eq!(states(a), ["issue-7 pending"]);
        give(a, &event("github", "closed"), &[]).success();
        assert_eq!(give(a, &reopened, &[]).success().stdout, "reopened p/issue-7\n");
        assert_eq!(states(a), ["issue-7 pending"]);
    });
}

/// Forges deliver again what they think was not taken, and in no certain order.
#[test]
fn an_older_event_that_comes_again_changes_nothing() {
    each_hub(|_, a, hub| {
        let (labelled, edited) = (event("github", "labeled"), event("github", "edited"));
        give(a, &edited, &[]).success();
        let before = refs(hub);
        let out = give(a, &labelled, &[]).success();
        assert!(out.stderr.contains("an older event: a newer text is on the queue"), "{out}");
        assert_eq!(refs(hub), before);
        // The newer text again, changed in nothing but its time: nothing to do.
        let later = |payload: &Value, action: &str, at: &str| {
            let mut payload = payload.clone();
            (payload["action"], payload["issue"]["updated_at"]) = (json!(action), json!(at));
            payload
        };
        let assigned = later(&edited, "labeled", "2026-01-05T10:00:00Z");
        assert!(give(a, &assigned, &[]).success().stderr.contains("already queued"));
        assert_eq!(refs(hub), before);
        // Closed and open again; then the closing comes once more.
        let closed = later(&event("github", "closed"), "closed", "2026-01-06T08:00:00Z");
        give(a, &closed, &[]).success();
        let reopened = later(&edited, "reopened", "2026-01-07T08:00:00Z");
        assert_eq!(give(a, &reopened, &[]).success().stdout, "reopened p/issue-7\n");
        let out = give(a, &closed, &[]).success();
        assert!(out.stderr.contains("an older event: the issue was reopened or changed since"), "{out}");
        assert_eq!(states(a), ["issue-7 pending"]);
        // And what was edited before that.
        assert!(give(a, &edited, &[]).success().stderr.contains("skipped"));
        assert!(spec_text(a).ends_with("as of 2026-01-07T08:00:00Z)\n"), "{}", spec_text(a));
        // One that does not tell its time is taken as it comes.
        let mut untimed = labelled;
        untimed["issue"].as_object_mut().unwrap().remove("updated_at");
        assert_eq!(give(a, &untimed, &[]).success().stdout, "replaced p/issue-7\n");
    });
}

#[test]
fn nobody_is_believed_who_is_not_listed() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    let before = refs(&hub);
    let file = fixtures().join("issues/github/labeled.json");
    let untold = a.dispatch(&["enqueue", "--json", "--issue", shown(&file)]).success().json();
    assert_eq!(reason(&untold), "`trust.issue_authors` names nobody");
    let labelled = event("github", "labeled");
    let of = |path: &str, value: Value| {
        let mut payload = labelled.clone();
        *payload.pointer_mut(path).unwrap() = value;
        reason(&give(&a, &payload, &["--json"]).success().json())
    };
    assert_eq!(of("/issue/user/login", json!("eve\u{1b}[2J")), "`eve\\u{1b}[2J` is not in `trust.issue_authors`");
    assert_eq!(of("/sender/login", json!("eve")), "`eve` is not in `trust.issue_authors`");
    assert_eq!(of("/issue/user", Value::Null), "the event does not say who wrote the issue");
    assert_eq!(of("/action", json!("assigned")), "`assigned` changes nothing here");
    assert_eq!(of("/issue/state", json!("closed")), "the issue is closed");
    assert_eq!(of("/issue/labels/1/name", json!("Dispatch")), "the issue lacks the label `dispatch`");
    let mut secret = event("gitlab", "labeled");
    secret["object_attributes"]["confidential"] = json!(true);
    assert!(reason(&give(&a, &secret, &["--json"]).success().json()).contains("confidential"));
    assert_eq!(refs(&hub), before);
    // One who is not listed calls nothing off either.
    give(&a, &labelled, &[]).success();
    let mut closed = event("github", "closed");
    closed["sender"]["login"] = json!("eve");
    assert!(give(&a, &closed, &[]).success().stderr.contains("`eve` is not in"));
    assert_eq!(states(&a), ["issue-7 pending"]);
}

#[test]
fn what_a_stranger_writes_stays_text() {
    let agent = "[executors.agent]\nkind = \"command\"\ncommand = [\"sh\", \"-c\", \"printf %s \\\"$1\\\" > got.txt\", \"-\", \
                 \"{prompt}\"]\n";
    let fleet = Fleet::new(&["boss", "n1"], &format!("default_executor = \"agent\"\n{PATIENT}{agent}"));
    let (boss, n1) = (fleet.clone("boss"), fleet.clone("n1"));
    let evil = "--upload-pack=x $(touch planted) `touch planted`; touch planted \u{1b}[2J\u{202e}";
    let mut payload = event("forgejo", "labeled");
    payload["issue"]["title"] = json!(evil);
    payload["issue"]["body"] = json!(format!(
        "---\nrun: touch planted\nlabels: [nobody-has-it]\n---\n{evil}\u{0}\u{3}\nDispatch-Task: p/x\n"
    ));
    payload["issue"]["labels"].as_array_mut().unwrap().push(json!({"name": format!("priority: {evil}")}));
    payload["issue"]["html_url"] = json!("https://x.example.org/) run `touch planted`");
    give(&boss, &payload, &[]).success();
    let listed = task(&boss, "issue-7");
    assert_eq!(
        (&listed["labels"], &listed["depends_on"], &listed["executor"]),
        (&json!([]), &json!([]), &json!("agent"))
    );
    n1.dispatch(&["run"]).success();
    boss.dispatch(&["collect"]).success();
    let got = fleet.sandbox.hub().git(&["show", "main:got.txt"]);
    assert!(
        got.contains("$(touch planted) `touch planted`; touch planted \\u{1b}[2J\\u{202e}\\u{0}\\u{3}"),
        "{got}"
    );
    for args in [&["list"][..], &["show", "issue-7"], &["comment", "issue-7"], &["log"], &["status"]] {
        let out = boss.dispatch(args).success();
        let is_harmless = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
        assert!(out.stdout.chars().all(is_harmless) && !out.stdout.contains('\u{202e}'), "{args:?} {out}");
    }
    for root in [fleet.sandbox.root(), boss.path(), n1.path(), fleet.sandbox.hub().path()] {
        assert!(!root.join("planted").exists(), "{}", root.display());
    }
}

#[test]
fn payloads_that_are_none_are_refused_and_change_nothing() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    let before = refs(&hub);
    let of = |path: &str, value: Value| {
        let mut payload = event("github", "labeled");
        *payload.pointer_mut(path).unwrap() = value;
        payload
    };
    let mut unnumbered = event("gitlab", "labeled");
    unnumbered["object_attributes"].as_object_mut().unwrap().remove("iid");
    let cases = [
        (json!([1]), "dispatch::issue::not_an_issue"),
        (json!({"object_kind": "note"}), "dispatch::issue::not_an_issue"),
        (unnumbered, "dispatch::issue::missing"),
        (of("/issue/number", json!("--7")), "dispatch::issue::wrong_type"),
        (of("/issue/title", json!(["x"])), "dispatch::issue::wrong_type"),
        (of("/issue/body", json!({"x": 1})), "dispatch::issue::wrong_type"),
        (of("/issue/labels", json!([1])), "dispatch::issue::wrong_type"),
        (of("/issue/body", json!("x".repeat(10 << 20))), "dispatch::spec::too_large"),
    ];
    for (payload, code) in cases {
        let started = Instant::now();
        refused(&give(&a, &payload, &["--json"]), code, 2);
        assert!(started.elapsed() < Duration::from_secs(20), "{code}");
    }
    for (text, code) in [("", "not_json"), ("{\"issue\": ", "not_json"), (&"[".repeat(100_000), "not_json")] {
        let out = a.dispatch_stdin(text, &["enqueue", "--json", "--issue", "-"]);
        refused(&out, &format!("dispatch::issue::{code}"), 2);
    }
    refused(&a.dispatch(&["enqueue", "--json", "--issue", "../none"]), "dispatch::enqueue::unreadable", 2);
    a.dispatch(&["enqueue", "--issue", "-", "README.md"]).code(2);
    assert_eq!(refs(&hub), before);
}

#[test]
fn a_comment_says_where_a_task_stands() {
    let fleet = Fleet::new(&["boss", "n1"], PATIENT);
    let boss = fleet.clone("boss");
    let said = |id: &str| boss.dispatch(&["comment", id]).success().stdout;
    fleet.enqueue(&[("a", "echo a > a.txt"), ("bad", "echo '@all `x`' >&2; exit 3")]);
    assert!(said("a").starts_with("**`p/a`** is queued.\n\n`Do a`\n"), "{}", said("a"));
    fleet.clone("n1").dispatch(&["run"]).code(4);
    let done = said("a");
    assert!(
        done.contains("is done on `n1`, and waits to be merged into `main`.")
            && done.contains("- 1 file changed, +1 −0 lines"),
        "{done}"
    );
    let failed = said("bad");
    assert!(failed.contains("has failed on `n1`.") && failed.contains("```text\n"), "{failed}");
    assert!(failed.contains("waits for `git dispatch retry` or `cancel`"), "{failed}");
    boss.dispatch(&["collect"]).success();
    let commit = text(&task(&boss, "a")["merge_commit"]);
    assert!(said("a").contains(&format!("is merged into `main` as {commit}.")), "{}", said("a"));
    boss.dispatch(&["cancel", "bad"]).success();
    let document = boss.dispatch(&["comment", "bad", "--json"]).success().json();
    assert!(text(&document["markdown"]).starts_with("**`p/bad`** is called off.\n"), "{document}");
    assert_eq!(document["task"], "p/bad");
    refused(&boss.dispatch(&["comment", "nope", "--json"]), "dispatch::task::unknown", 2);
}

/// The README shows the workflow files whole, and they are YAML that names nothing of an issue in a shell line.
#[test]
fn the_workflows_of_the_readme_are_those_of_the_fixtures() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for name in ["github.yml", "forgejo.yml", "gitlab-ci.yml"] {
        let workflow = fs::read_to_string(fixtures().join("workflows").join(name)).unwrap();
        assert!(readme.contains(&format!("```yaml\n{workflow}```\n")), "{name} is not in the README as it is");
        let parsed: Value = serde_saphyr::from_str(&workflow).unwrap();
        let mut lines = Vec::new();
        shell_lines(&parsed, &mut lines);
        assert!(lines.iter().any(|line| line.contains("git dispatch enqueue --issue \"$")), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("git dispatch comment ")), "{lines:#?}");
        assert!(!lines.iter().any(|line| line.contains("${{")), "{lines:#?}");
    }
}

fn shell_lines(value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("run", Value::String(line)) => lines.push(line.clone()),
                    ("script", Value::Array(script)) => {
                        lines.extend(script.iter().filter_map(|line| line.as_str().map(str::to_owned)));
                    }
                    _ => shell_lines(value, lines),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| shell_lines(value, lines)),
        _ => {}
    }
}
