//! What must not leave a clone: work that holds secrets stays here, and values that are named never stand in what is
//! written down.

use std::fs;

use serde_json::json;

use crate::sandbox::{PATIENCE, Repo, Sandbox, eventually};
use crate::steps::{each_hub, enqueue, enqueue_lines, file, line, states, task, tasks, text};

/// A token that nobody has, in two parts: nobody who looks through this file takes it for one.
const TOKEN: &str = concat!("gh", "p_q7Wz81kDn3LsT0VbR5yUx2Fh9GjA4mEc6PoKi");

fn configure(a: &Repo, hub: &Repo, text: &str) {
    a.write("git-dispatch.toml", text);
    a.commit("Configure");
    if a.path() != hub.path() {
        a.git(&["push", "--quiet", "origin", "main"]);
    }
}

/// Says whether any object that a ref of the hub reaches holds the text.
fn has(hub: &Repo, text: &str) -> bool {
    let commits = hub.git(&["rev-list", "--exclude=refs/dispatch-local/*", "--all"]);
    let found = |commit: &str| hub.git_try(&["grep", "-q", "-F", text, commit]).code == 0;
    commits.lines().any(found)
        || hub.git(&["log", "--exclude=refs/dispatch-local/*", "--all", "--format=%B"]).contains(text)
}

#[test]
fn work_that_holds_a_secret_stays_here_and_says_how_to_go_on() {
    each_hub(|_, a, hub| {
        a.write("old.py", &format!("key = '{TOKEN}'\n"));
        configure(a, hub, "project = \"p\"\n[secrets]\nallow = [\"samples/**\"]\n");
        let commit = "git add -A; git commit -qm x";
        let secret = |rest: &str| format!("T=$(echo {} | tr -d @); {rest}", TOKEN.replacen('_', "@_", 1));
        enqueue_lines(
            a,
            &[
                ("allowed", &secret("mkdir samples; echo \"k = '${T}1'\" > samples/a.py")),
                ("docs", "echo 'Set API_KEY=<your key> in .env' > docs.md; echo 'API_KEY=' > .env.example"),
                ("env", "mkdir -p api; echo PORT=80 > api/.env"),
                (
                    "history",
                    &secret(&format!("echo \"k = '${{T}}2'\" > a.py; {commit}; echo none > a.py; {commit}")),
                ),
                ("message", &secret("echo x > m.txt; git add -A; git commit -qm \"With ${T}3\"")),
                ("moved", "echo '# more' >> old.py; echo fine > moved.txt"),
                ("name", &secret("echo x > \"of-${T}6\"; git add -A; git -c user.name=\"${T}7\" commit -qm x")),
                (
                    "nwide",
                    &secret(
                        "printf '\\377\\376' > w.txt; printf \"k = '${T}8'\" | sed 's/./&@/g' | tr @ '\\000' >> w.txt",
                    ),
                ),
                ("plain", &secret("printf \"one\\n\\nkey = '${T}4'\\n\" > src/config.py")),
                ("way-out", &secret("echo \"k = '${T}5'\" > b.py; exit 75")),
            ],
        );
        let run = a.dispatch(&["run"]).code(4);
        let ends = [
            "allowed completed",
            "docs completed",
            "env failed",
            "history failed",
            "message failed",
            "moved completed",
        ];
        let more = ["name failed", "nwide failed", "plain failed", "way-out pending"];
        assert_eq!(states(a), [&ends[..], &more].concat());
        let documents = tasks(a);
        for id in ["env", "history", "message", "name", "nwide", "plain"] {
            let (task, error) = (&documents[id], text(&documents[id]["error"]));
            assert_eq!((&task["reason"], &task["files_changed"]), (&json!("secrets"), &json!(0)), "{task}");
            assert!(error.contains("secrets.allow") && error.contains("retry"), "{error}");
            let kept =
                error.split_whitespace().find(|word| word.starts_with("refs/")).unwrap().trim_end_matches(':');
            a.git(&["rev-parse", "--verify", kept]);
        }
        let told =
            |id: &str, what: &str| assert!(text(&documents[id]["error"]).contains(what), "{}", documents[id]);
        told("plain", "src/config.py:3 (GitHub token)");
        told("env", "api/.env (environment file)");
        told("history", "a.py:1 (GitHub token)");
        told("name", "a path (GitHub token)");
        told("name", "a name in commit");
        told("nwide", "w.txt:1 (GitHub token)");
        let shown: Vec<String> = ["plain", "message", "name"]
            .iter()
            .map(|id| a.dispatch(&["show", id]).to_string())
            .chain([run.to_string()])
            .collect();
        assert!(!shown.concat().contains(TOKEN), "{shown:?}");
        assert!(run.stderr.contains("p/way-out: the result looks") && run.stderr.contains("is kept on"), "{run}");
        for number in 2..=8 {
            assert!(!has(hub, &format!("{TOKEN}{number}")), "{number}");
        }

        // Once allowed, it is taken.
        configure(a, hub, "project = \"p\"\n[secrets]\nallow = [\"samples/**\", \"src/config.py\"]\n");
        a.dispatch(&["retry", "plain"]).success();
        a.dispatch(&["run", "plain"]).success();
        a.dispatch(&["collect"]).success();
        assert!(file(hub, "src/config.py").contains(TOKEN) && file(hub, "moved.txt") == "fine");
    });
}

#[test]
fn what_a_person_made_is_looked_through_too() {
    each_hub(|_, a, hub| {
        enqueue(a, &[("one", ""), ("two", "")]);
        a.dispatch(&["claim", "one", "two"]).success();
        let make = |id: &str| {
            a.git(&["checkout", "--quiet", &text(&task(a, id)["branch"])]);
            a.write("deploy.sh", &format!("export GH={TOKEN}\n"));
            a.commit("Deploy");
        };
        make("one");
        let out = a.dispatch(&["finish", "one", "--json"]).code(1);
        let error = &out.json()["error"];
        assert_eq!(error["code"], "dispatch::finish::withheld");
        assert!(
            text(&error["message"]).contains("deploy.sh:1 (GitHub token)") && !out.stdout.contains(TOKEN),
            "{out}"
        );
        assert_eq!(task(a, "one")["state"], "running");
        a.write("deploy.sh", "export GH=$TOKEN\n");
        a.git(&["commit", "--quiet", "--all", "--amend", "-m", "Deploy"]);
        a.dispatch(&["finish", "one"]).success();
        assert_eq!(task(a, "one")["state"], "completed");

        // What is given back goes without its work.
        make("two");
        a.dispatch(&["release", "two"]).success();
        assert_eq!(task(a, "two")["state"], "pending");
        a.git(&["checkout", "--quiet", "main"]);
        assert!(a.path() == hub.path() || !has(hub, TOKEN));
    });
}

#[test]
fn the_search_can_be_switched_off() {
    let sandbox = Sandbox::embedded();
    let a = sandbox.solo();
    configure(&a, &a, "project = \"p\"\n[secrets]\nscan = false\n");
    enqueue_lines(&a, &[("one", &format!("echo {TOKEN} > a.txt; echo X=1 > .env"))]);
    a.dispatch(&["run"]).success();
    assert_eq!(task(&a, "one")["state"], "completed");
}

/// As it is, in base64 wherever it begins there, for addresses, and in pieces with pauses between.
#[test]
fn named_values_stand_in_nothing_that_is_written_down() {
    const VALUE: &str = "n0t/For+Eyes?1";
    each_hub(|sandbox, a, hub| {
        configure(
            a,
            hub,
            "project = \"p\"\n[secrets]\nmask = [\"MY_SECRET\", \"OWN\"]\n\
             [executors.x]\nkind = \"shell\"\nenv = { OWN = \"of the executor\" }\nteardown = [\"echo end $MY_SECRET\"]\n",
        );
        let gate = sandbox.root().join("gate");
        let script = format!(
            "echo \"raw $MY_SECRET.\"; echo \"own $OWN.\"; for before in '' x xy; do printf '%s%s' \"$before\" \"$MY_SECRET\" | base64; \
             printf '%s%s' \"$before\" \"$MY_SECRET\" | base64 | tr '+/' '-_'; done; \
             printf 'n0t/F'; sleep 0.05; printf 'or+Ey'; sleep 0.05; printf 'es?1 joined\\n'; \
             i=0; until [ -e {} ] || [ $i -gt 3000 ]; do i=$((i+1)); sleep 0.02; done; \
             echo \"{{\\\"a\\\": [\\\"$MY_SECRET\\\"]}}\" > $DISPATCH_RESULT_FILE; \
             git dispatch done --failed --error \"no: $MY_SECRET\"",
            gate.display()
        );
        enqueue(a, &[("one", format!("executor: x\n{}", line(&script)))]);
        let node = a.spawn_env(&[("MY_SECRET", VALUE)], &["run"]);
        eventually(PATIENCE, || a.dispatch(&["logs", "one"]).stdout.contains("joined"));
        let live = a.dispatch(&["logs", "one"]).success().stdout;
        fs::write(&gate, "").unwrap();
        node.wait(PATIENCE).code(4);
        let one = task(a, "one");
        assert_eq!((&one["error"], &one["output"]), (&json!("no: ***"), &json!({"a": ["***"]})), "{one}");
        let log = a.dispatch(&["logs", "one"]).success().stdout;
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(
            (lines[0], lines[1], lines[8], lines[10]),
            ("raw ***.", "own ***.", "*** joined", "end ***"),
            "{log}"
        );
        assert!(lines[2..8].iter().all(|line| line.contains("***") && line.len() <= 3 + 8), "{log}");
        assert!(log.starts_with(&live), "{live}\n{log}");
        assert!(!has(hub, VALUE));
    });
}
