//! `gc`: what is past its time goes, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::sandbox::{PATIENCE, Repo, Sandbox, eventually};
use crate::steps::{done, each, each_hub, enqueue_lines, refs, refs_below, task, text, until};

/// The folders of slots, of every clone in the sandbox.
fn slots(sandbox: &Sandbox) -> Vec<PathBuf> {
    let below = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let work_dirs = below(&sandbox.root().join("home/.local/state/git-dispatch"));
    let mut slots: Vec<PathBuf> =
        work_dirs.iter().flat_map(|folder| below(folder)).filter(|path| path.is_dir()).collect();
    slots.sort();
    slots
}

/// What was removed, as `kind name`.
#[track_caller]
fn removed(document: &Value) -> Vec<String> {
    let removed = document["removed"].as_array().unwrap_or_else(|| panic!("{document}"));
    removed.iter().map(|item| format!("{} {}", text(&item["kind"]), text(&item["name"]))).collect()
}

#[track_caller]
fn gc(repo: &Repo, rest: &[&str]) -> Value {
    repo.dispatch(&[&["gc", "--json"], rest].concat()).success().json()
}

/// What a fleet leaves behind: two tasks that ended, one that is open, and what belongs to them.
struct Litter {
    node: String,
    /// The claims of an ended task and of the open one.
    claims: [String; 2],
    /// The slot, a folder moved aside of an ended task, one of the open one.
    folders: [PathBuf; 3],
}

fn litter(sandbox: &Sandbox, a: &Repo, hub: &Repo) -> Litter {
    a.git(&["config", "dispatch.collect.deleteBranches", "false"]);
    done(a, &[("one", "echo said one; echo 1 > 1.txt"), ("two", "echo said two; echo 2 > 2.txt")]);
    a.dispatch(&["collect"]).success();
    done(a, &[("open", "echo said open; echo 3 > 3.txt")]);
    let node = text(&task(a, "one")["node"]);
    hub.git(&["branch", "-f", &format!("task/p-two-{node}"), "main"]);
    let claims = ["one", "open"].map(|id| {
        hub.git(&["update-ref", &format!("refs/dispatch/attempts/p/{id}/1-x"), "main~1"]);
        let claim = text(&task(a, id)["claim"]);
        a.git(&["update-ref", &format!("refs/dispatch-local/results/{claim}"), "HEAD"]);
        claim
    });
    let unmerged = text(&task(a, "open")["result"]);
    a.git(&["update-ref", &format!("refs/dispatch-local/kept/{unmerged}"), &unmerged]);
    let slot = slots(sandbox).pop().unwrap();
    let aside = |name: &str, task: &str| {
        let folder = slot.with_file_name(name);
        fs::create_dir_all(folder.join("clone")).unwrap();
        fs::write(folder.join("slot.json"), json!({"task": task, "begun": true}).to_string()).unwrap();
        folder
    };
    let folders = [slot.clone(), aside("aside-7-0", "p/one"), aside("aside-7-1", "p/open")];
    a.dispatch(&["list"]).success();
    Litter { node, claims, folders }
}

#[test]
fn nothing_goes_before_its_time_and_a_dry_run_changes_nothing() {
    each_hub(|sandbox, a, hub| {
        litter(sandbox, a, hub);
        let before = (refs(hub), refs(a), slots(sandbox));
        let young = gc(a, &[]);
        assert_eq!((&young["removed"], &young["keep_seconds"]), (&json!([]), &json!(30 * 24 * 3600)));
        assert!(a.dispatch(&["gc"]).success().stderr.contains("nothing to remove"));
        let planned = gc(a, &["--keep", "0s", "--dry-run"]);
        assert_eq!((refs(hub), refs(a), slots(sandbox)), before);
        let done = gc(a, &["--keep", "0s"]);
        assert_eq!((&planned["removed"], &planned["kept"]), (&done["removed"], &done["kept"]));
        assert_eq!((&planned["dry_run"], &done["dry_run"]), (&json!(true), &json!(false)));
        assert_eq!(gc(a, &["--keep", "0s"])["removed"], json!([]));
    });
}

#[test]
fn what_belongs_to_ended_tasks_goes_and_what_is_open_stays() {
    each_hub(|sandbox, a, hub| {
        let Litter { node, claims, folders: [slot, ended, wanted] } = litter(sandbox, a, hub);
        let main = hub.git(&["rev-parse", "main"]);
        let done = gc(a, &["--keep", "0s"]);
        let mut gone = removed(&done);
        gone.sort();
        let expected = [
            "attempt refs/dispatch/attempts/p/one/1-x".to_owned(),
            format!("branch refs/heads/task/p-one-{node}"),
            format!("log refs/notes/dispatch-logs/{node} (2 tasks)"),
            format!("node refs/dispatch/nodes/{node}"),
            format!("pin refs/dispatch-local/results/{}", claims[0]),
            "pin refs/dispatch-local/slots/1".to_owned(),
            format!("slot {}", slot.display()),
            format!("slot {}", ended.display()),
        ];
        assert_eq!(gone, expected);
        assert_eq!(
            each(&done["kept"], "name"),
            [format!("refs/heads/task/p-two-{node}"), wanted.display().to_string()]
        );
        assert_eq!(each(&done["kept"], "why")[0], "it has moved since its task ended");
        assert_eq!(refs_below(hub, "refs/dispatch/attempts"), ["refs/dispatch/attempts/p/open/1-x"]);
        let branches = ["open", "two"].map(|id| format!("refs/heads/task/p-{id}-{node}"));
        assert_eq!(refs_below(hub, "refs/heads/task"), branches);
        assert_eq!(slots(sandbox), [wanted]);
        let pins = [refs_below(a, "refs/dispatch-local/kept"), refs_below(a, "refs/dispatch-local/results")];
        assert_eq!((pins[0].len(), &pins[1]), (1, &vec![format!("refs/dispatch-local/results/{}", claims[1])]));

        // Never the seals, the queue or the target; what is open goes on.
        assert_eq!(hub.git(&["rev-parse", "main"]), main);
        assert_eq!(hub.git(&["notes", "--ref=dispatch-sealed", "list"]).lines().count(), 2);
        assert_eq!(hub.git(&["rev-list", "--count", "refs/dispatch/queue"]), "3");
        assert_eq!(task(a, "one")["state"], "merged");
        assert_eq!(a.dispatch(&["logs", "open"]).success().stdout, "said open\n");
        let logs = format!("refs/notes/dispatch-logs/{node}");
        assert_eq!(hub.git(&["rev-list", "--count", &logs]), "1", "not even in history");
        crate::steps::done(a, &[("new", "echo said new; echo 4 > 4.txt")]);
        assert_eq!(a.dispatch(&["logs", "new"]).success().stdout, "said new\n");
        a.dispatch(&["collect"]).success();
        assert_eq!(task(a, "open")["state"], "merged");
        a.git(&["fsck", "--no-dangling", "--no-progress"]);
    });
}

#[test]
fn a_run_under_way_keeps_its_slot() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    done(&a, &[("one", "echo 1 > 1.txt")]);
    a.dispatch(&["collect"]).success();
    enqueue_lines(&a, &[("two", &format!("touch $HOME/began; {}; echo 2 > 2.txt", until("[ -e $HOME/go ]")))]);
    let node = a.spawn(&["run"]);
    eventually(PATIENCE, || sandbox.root().join("home/began").exists());
    let before = slots(&sandbox);
    assert_eq!(removed(&gc(&a, &["--keep", "0s"])), Vec::<String>::new());
    assert_eq!(slots(&sandbox), before);
    fs::write(sandbox.root().join("home/go"), "").unwrap();
    assert_eq!(node.wait(PATIENCE).code, 0);
    a.dispatch(&["collect"]).success();
    assert_eq!(task(&a, "two")["state"], "merged");
}

#[test]
fn output_is_its_nodes_own_until_the_node_is_gone() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b, hub) = (sandbox.repo("a"), sandbox.repo("b"), sandbox.hub());
    enqueue_lines(&a, &[("one", "echo said one; echo 1 > 1.txt")]);
    let mut node = b.spawn(&["run", "--watch"]);
    eventually(PATIENCE, || text(&task(&a, "one")["state"]) == "completed");
    a.dispatch(&["collect"]).success();
    eventually(PATIENCE, || refs_below(&hub, "refs/notes/dispatch-logs") == ["refs/notes/dispatch-logs/b"]);
    let logs = refs_below(&hub, "refs/notes/dispatch-logs");
    assert_eq!(removed(&gc(&a, &["--keep", "0s"])), Vec::<String>::new(), "the node lives");
    node.term();
    node.wait(PATIENCE);
    assert_eq!(
        removed(&gc(&a, &["--keep", "0s"])),
        ["node refs/dispatch/nodes/b", "log refs/notes/dispatch-logs/b (1 task)"]
    );
    assert_eq!((logs.len(), refs_below(&hub, "refs/notes/dispatch-logs").len()), (1, 0), "nothing else was in it");
    // It comes back, with its own idea of what its notes hold.
    enqueue_lines(&a, &[("two", "echo said two; echo 2 > 2.txt")]);
    b.dispatch(&["run"]).success();
    assert_eq!(a.dispatch(&["logs", "two"]).success().stdout, "said two\n");
}

#[test]
fn what_the_hub_does_not_let_go_is_named() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    done(&a, &[("one", "echo 1 > 1.txt")]);
    a.dispatch(&["collect"]).success();
    hub.git(&["update-ref", "refs/dispatch/attempts/p/one/1-x", "main~1"]);
    let hook = hub.path().join("hooks/update");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\ncase $1 in refs/dispatch/attempts/*) exit 1;; esac\n").unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let document = gc(&a, &["--keep", "0s"]);
    assert_eq!(each(&document["kept"], "name"), ["refs/dispatch/attempts/p/one/1-x"]);
    assert!(removed(&document).contains(&"node refs/dispatch/nodes/a".to_owned()), "{document}");
    assert!(a.dispatch(&["gc", "--keep", "0s"]).success().stderr.contains("the hub did not take the change"));
    a.dispatch(&["gc", "--keep", "soon"]).code(2);
}

#[test]
fn the_branch_of_a_claim_by_hand_goes_once_it_is_merged_and_nobody_is_on_it() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    enqueue_lines(&a, &[("one", "true"), ("two", "true")]);
    a.dispatch(&["claim", "one", "two"]).success();
    for id in ["one", "two"] {
        a.git(&["checkout", "--quiet", &format!("task/p-{id}-a")]);
        a.write(&format!("{id}.txt"), id);
        a.commit(id);
        a.dispatch(&["finish", id]).success();
    }
    a.dispatch(&["collect", "--verify", "true"]).success();
    a.git(&["update-ref", "refs/dispatch-local/hand/p/one", "main"]);
    let gone = removed(&gc(&a, &["--keep", "0s"]));
    assert!(gone.contains(&"pin refs/heads/task/p-one-a".to_owned()), "{gone:?}");
    assert!(gone.contains(&"pin refs/dispatch-local/hand/p/one".to_owned()), "{gone:?}");
    assert!(gone.iter().any(|item| item.starts_with("slot ") && item.ends_with("/verify-0")), "{gone:?}");
    assert_eq!(refs_below(&a, "refs/heads/task"), ["refs/heads/task/p-two-a"], "it is checked out");
}
