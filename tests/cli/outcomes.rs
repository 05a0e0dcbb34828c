//! Two verbs let loose together, from two clones or two processes of one: each round ends in one of the two outcomes that
//! DESIGN.md allows, never in both, never in neither. `GIT_DISPATCH_TEST_ROUNDS` says how many rounds.

#![expect(clippy::print_stderr, reason = "a long run is to tell how often it saw each outcome")]

use serde_json::Value;

use crate::hubs::{as_json, enqueue, show, work_on};
use crate::sandbox::{Out, Repo, Sandbox, race};

fn rounds() -> usize {
    std::env::var("GIT_DISPATCH_TEST_ROUNDS").map_or(4, |rounds| rounds.parse().expect("a number of rounds"))
}

/// What one side of a race does in its repository with the task of this id.
type Job<'a> = &'a (dyn Fn(&Repo, &str) -> Out + Sync);

/// Where a race is run: two clones of one hub, or one repository twice.
fn places() -> [(Sandbox, [&'static str; 2]); 2] {
    [(Sandbox::with_clones(&["a", "b"]), ["a", "b"]), (Sandbox::embedded(), ["solo", "solo"])]
}

/// Prepares a task in the first clone, races the two jobs, and has each round judged by what both clones say then.
fn rounds_of(
    prepare: impl Fn(&Repo, &str),
    jobs: [Job<'_>; 2],
    judge: impl Fn(&Repo, &str, [&Out; 2], &Value) -> &'static str,
) {
    for (sandbox, names) in places() {
        let repos = names.map(|name| sandbox.repo(name));
        let mut seen = std::collections::BTreeMap::<&str, usize>::new();
        for round in 0..rounds() {
            let id = format!("t{round}");
            prepare(&repos[0], &id);
            let outs = race(2, |who| jobs[who](&repos[who], &id));
            let task = show(&repos[0], &id);
            assert_eq!(show(&repos[1], &id)["state"], task["state"], "both clones see the same");
            *seen.entry(judge(&repos[0], &id, [&outs[0], &outs[1]], &task)).or_default() += 1;
            let broken = repos[0].dispatch(&["list"]).success();
            assert!(!broken.stdout.contains("unknown") && broken.stderr.is_empty(), "{broken}");
        }
        eprintln!("{names:?}: {seen:?}");
        // No end may be left of what was begun.
        repos[0].dispatch(&["collect"]);
        let left = repos[0].git(&["for-each-ref", "--format=%(contents:subject)", "refs/dispatch/claims"]);
        assert!(!left.lines().any(|line| line.starts_with("cancelled")), "half a sealing is left:\n{left}");
        repos[0].git(&["fsck", "--no-progress"]);
    }
}

fn code(out: &Out) -> String {
    out.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
}

fn told(outs: [&Out; 2], task: &Value) -> String {
    format!("{}\n--\n{}\n--\n{task:#}", outs[0], outs[1])
}

/// Cancelled in the end, whoever was first: the claim came before and is called off, or it never was.
#[test]
fn cancel_against_claim() {
    rounds_of(
        |repo, id| enqueue(repo, id, "", "# A task"),
        [&|repo, id| as_json(repo, &["claim", id]), &|repo, id| as_json(repo, &["cancel", id])],
        |repo, id, outs, task| {
            let why = told(outs, task);
            assert_eq!((outs[1].code, task["state"].as_str()), (0, Some("cancelled")), "{why}");
            match outs[0].code {
                // It won the claim first; its work is fenced off then.
                0 => {
                    assert_eq!(task["attempt"], 1, "{why}");
                    let late = as_json(repo, &["finish", id]).code(1);
                    assert_eq!(code(&late), "dispatch::finish::fenced", "{late}");
                    "claimed, then cancelled"
                }
                3 => {
                    assert_eq!(outs[0].json()["claimed"], serde_json::json!([]), "{why}");
                    "cancelled first"
                }
                _ => panic!("{why}"),
            }
        },
    );
}

/// Cancelled in the end; the work is kept either way, and what the finish says is true of what it met.
#[test]
fn cancel_against_finish() {
    rounds_of(
        |repo, id| {
            enqueue(repo, id, "", "# A task");
            repo.dispatch(&["claim", id]).success();
            work_on(repo, id, &format!("{id}.txt"), "made\n");
        },
        [&|repo, id| as_json(repo, &["finish", id]), &|repo, id| as_json(repo, &["cancel", id])],
        |repo, id, outs, task| {
            let why = told(outs, task);
            assert_eq!((outs[1].code, task["state"].as_str()), (0, Some("cancelled")), "{why}");
            let kept = repo.git(&["for-each-ref", "--format=%(refname)", "refs/dispatch/attempts"]);
            assert!(
                kept.lines().any(|name| name.contains(&format!("/{id}/1-"))),
                "its work is kept\n{why}\n{kept}"
            );
            match outs[0].code {
                0 => {
                    assert!(task["result"].is_string(), "finished, so there is a result\n{why}");
                    "finished, then cancelled"
                }
                1 => {
                    assert_eq!(code(outs[0]), "dispatch::finish::fenced", "{why}");
                    assert!(task["result"].is_null(), "{why}");
                    "cancelled first"
                }
                _ => panic!("{why}"),
            }
        },
    );
}

/// Either the new spec is in force and what was claimed is the new one, or it came too late and the old one is.
#[test]
fn replace_against_claim() {
    rounds_of(
        |repo, id| {
            enqueue(repo, id, "", "# Old");
            repo.spec(&format!("../newer/{id}.md"), "", "# New");
        },
        [&|repo, id| as_json(repo, &["claim", id]), &|repo, id| {
            as_json(repo, &["enqueue", "--replace", &format!("../newer/{id}.md")])
        }],
        |repo, _, outs, task| {
            let why = told(outs, task);
            let title = task["title"].as_str().unwrap();
            let claimed = outs[0].code == 0;
            if claimed {
                assert_eq!(task["state"], "running", "{why}");
                let spec =
                    repo.git(&["log", "-1", "--format=%(trailers:key=Dispatch-Spec,valueonly)", claim_of(task)]);
                assert_eq!(spec.trim(), task["spec"].as_str().unwrap(), "what was claimed is in force\n{why}");
                assert_eq!(outs[0].json()["claimed"][0]["title"], title, "{why}");
            } else {
                assert_eq!((outs[0].code, task["state"].as_str()), (3, Some("pending")), "{why}");
            }
            match (outs[1].code, title) {
                (0, "New") if claimed => "replaced, then claimed",
                (0, "New") => "replaced",
                (1, "Old") => {
                    assert!(claimed && code(outs[1]) == "dispatch::replace::too_late", "{why}");
                    "claimed"
                }
                _ => panic!("{why}"),
            }
        },
    );
}

fn claim_of(task: &Value) -> &str {
    task["claim"].as_str().unwrap()
}

/// A cancelled task is reopened at the moment when its first holder comes with the work: the late work is fenced off, the
/// reopened task is pending and nothing else.
#[test]
fn retry_of_a_cancelled_task_against_a_late_finish() {
    rounds_of(
        |repo, id| {
            enqueue(repo, id, "", "# A task");
            repo.dispatch(&["claim", id]).success();
            work_on(repo, id, &format!("{id}.txt"), "made\n");
            repo.dispatch(&["cancel", id]).success();
        },
        [&|repo, id| as_json(repo, &["finish", id]), &|repo, id| as_json(repo, &["retry", id])],
        |_, _, outs, task| {
            let why = told(outs, task);
            assert_eq!((outs[0].code, code(outs[0]).as_str()), (1, "dispatch::finish::fenced"), "{why}");
            assert_eq!((outs[1].code, task["state"].as_str()), (0, Some("pending")), "{why}");
            assert_eq!(task["attempt"], 1, "attempts go on\n{why}");
            "fenced and reopened"
        },
    );
}

/// Given back, and then finished after all while somebody asks for a retry: the finish of the attempt that was released
/// counts, or nothing had to be retried.
#[test]
fn retry_of_a_released_task_against_a_late_finish() {
    rounds_of(
        |repo, id| {
            enqueue(repo, id, "", "# A task");
            repo.dispatch(&["claim", id]).success();
            work_on(repo, id, &format!("{id}.txt"), "made\n");
            repo.dispatch(&["release", id]).success();
        },
        [&|repo, id| as_json(repo, &["finish", id]), &|repo, id| as_json(repo, &["retry", id])],
        |_, _, outs, task| {
            let why = told(outs, task);
            assert_eq!((outs[0].code, task["state"].as_str()), (0, Some("completed")), "{why}");
            match outs[1].code {
                0 => {
                    assert_eq!(outs[1].json()["retried"], serde_json::json!([]), "pending already\n{why}");
                    "pending, then finished"
                }
                1 => {
                    assert_eq!(code(outs[1]), "dispatch::retry::not_ended", "{why}");
                    "finished first"
                }
                _ => panic!("{why}"),
            }
        },
    );
}

/// Two who claim the same task by hand: one has it, also of two commands in one clone.
#[test]
fn claim_against_claim() {
    rounds_of(
        |repo, id| enqueue(repo, id, "", "# A task"),
        [&|repo, id| as_json(repo, &["claim", id]), &|repo, id| as_json(repo, &["claim", id])],
        |_, _, outs, task| {
            let why = told(outs, task);
            assert_eq!((task["state"].as_str(), &task["attempt"]), (Some("running"), &1.into()), "{why}");
            let won = outs.map(|out| out.code == 0);
            assert!(won[0] != won[1] && outs.iter().all(|out| [0, 3].contains(&out.code)), "{why}");
            if won[0] { "the first" } else { "the second" }
        },
    );
}

/// Two who take whatever is next never get the same task, also in one clone.
#[test]
fn next_against_next() {
    rounds_of(
        |repo, id| {
            enqueue(repo, id, "", "# A task");
            enqueue(repo, &format!("{id}-too"), "", "# Another");
        },
        [&|repo, _| as_json(repo, &["claim"]), &|repo, _| as_json(repo, &["claim"])],
        |_, id, outs, task| {
            let why = told(outs, task);
            let mut got: Vec<String> = Vec::new();
            for out in outs {
                let document = out.json();
                let tasks = document["claimed"].as_array().unwrap_or_else(|| panic!("{why}"));
                got.extend(tasks.iter().map(|task| task["id"].as_str().unwrap().to_owned()));
            }
            let mut different = got.clone();
            different.sort();
            different.dedup();
            assert_eq!(got.len(), different.len(), "{why}");
            assert_eq!(got.len(), 2, "there is one for each\n{why}");
            assert!(got.contains(&id.to_owned()), "{why}");
            "each one"
        },
    );
}
