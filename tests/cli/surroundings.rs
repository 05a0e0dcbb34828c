//! Odd repositories and odd hubs: each does the sensible thing or says what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::hubs::{as_json, enqueue, on_both, refs, refused, show, state, work_on};
use crate::sandbox::{Repo, Sandbox};

/// Enqueues, runs and collects one task; returns what is in the file that it makes.
fn whole_day(repo: &Repo, hub: &Repo, id: &str) -> String {
    enqueue(repo, id, &format!("run: echo {id} > {id}.txt"), "# A task");
    repo.dispatch(&["run"]).success();
    repo.dispatch(&["collect"]).success();
    assert_eq!(state(repo, id), "merged");
    hub.git(&["show", &format!("main:{id}.txt")])
}

/// Makes the hub refuse every push with these words.
fn refuse_pushes(hub: &Repo, words: &str) {
    let hook = hub.path().join("hooks/pre-receive");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, format!("#!/bin/sh\necho '{words}' >&2\nexit 1\n")).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
}

fn accept_pushes(hub: &Repo) {
    fs::remove_file(hub.path().join("hooks/pre-receive")).unwrap();
}

#[test]
fn without_a_user_name_the_node_commits() {
    for sandbox in [Sandbox::with_clones(&["a"]), Sandbox::embedded()] {
        let repo = if sandbox.hub().path().exists() { sandbox.repo("a") } else { sandbox.solo() };
        let hub = if sandbox.hub().path().exists() { sandbox.hub() } else { sandbox.solo() };
        for key in ["user.name", "user.email"] {
            repo.git(&["config", "--global", "--unset", key]);
        }
        assert_eq!(whole_day(&repo, &hub, "one"), "one");
        let node = repo.git(&["config", "dispatch.node"]);
        let by = format!("{node} <node@git-dispatch>");
        let who = hub.git(&["log", "-2", "--format=%an <%ae>%n%cn <%ce>", "main"]);
        assert!(who.lines().take(2).all(|line| line == by), "{who}");
        let queue = repo.git(&["log", "--format=%an <%ae>", "refs/dispatch/queue"]);
        assert_eq!(queue, by);
    }
}

#[test]
fn a_detached_head_stays_where_it_is() {
    let sandbox = Sandbox::embedded();
    let solo = sandbox.solo();
    solo.git(&["checkout", "--quiet", "--detach"]);
    let head = solo.git(&["rev-parse", "HEAD"]);
    assert_eq!(whole_day(&solo, &solo, "one"), "one");
    assert_eq!((solo.git(&["rev-parse", "HEAD"]), solo.git(&["status", "--porcelain"])), (head, String::new()));

    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    a.git(&["checkout", "--quiet", "--detach"]);
    assert_eq!(whole_day(&a, &sandbox.hub(), "one"), "one");
}

#[test]
fn an_unborn_branch_takes_specs_and_says_what_is_missing() {
    let sandbox = Sandbox::with_clones(&[]);
    sandbox.repo(".").git(&["init", "--quiet", "fresh"]);
    let fresh = sandbox.repo("fresh");
    assert!(fresh.dispatch(&[]).success().stdout.contains("is empty"));
    enqueue(&fresh, "one", "run: echo one > one.txt", "# One");
    for args in [&["run"][..], &["claim"], &["claim", "one"], &["collect"]] {
        let error = refused(&fresh, args, 1, "dispatch::repo::no_commits");
        assert!(error["help"].as_str().unwrap().contains("first commit"), "{error}");
    }
    assert_eq!(state(&fresh, "one"), "pending");
    fresh.write("x.txt", "x\n");
    fresh.commit("First commit");
    assert_eq!(whole_day(&fresh, &fresh, "two"), "two");
}

#[test]
fn a_hub_without_a_commit_asks_for_one() {
    let sandbox = Sandbox::with_clones(&[]);
    sandbox.repo(".").git(&["init", "--quiet", "--bare", "empty.git"]);
    sandbox.repo(".").git(&["clone", "--quiet", "empty.git", "cloned"]);
    let (cloned, empty) = (sandbox.repo("cloned"), sandbox.repo("empty.git"));
    cloned.spec("../specs/one.md", "", "# One");
    for args in [&[][..], &["list"], &["enqueue", "../specs/one.md"], &["run"], &["collect"]] {
        let error = refused(&cloned, args, 1, "dispatch::hub::no_target");
        assert!(error["help"].as_str().unwrap().contains("push a first commit"), "{error}");
    }
    assert_eq!(refs(&empty), "");
    cloned.write("x.txt", "x\n");
    cloned.commit("First commit");
    cloned.git(&["push", "--quiet", "origin", "HEAD"]);
    assert_eq!(whole_day(&cloned, &empty, "one"), "one");
}

#[test]
fn a_bare_repository_is_worked_in_without_a_checkout() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let hub = sandbox.hub();
    hub.git(&["config", "dispatch.node", "bare"]);
    assert_eq!(whole_day(&hub, &hub, "one"), "one");
    // Clones see the same queue.
    assert_eq!(state(&sandbox.repo("a"), "one"), "merged");
    enqueue(&sandbox.repo("a"), "two", "", "# Two");
    hub.dispatch(&["claim", "two"]).success();
    assert_eq!(show(&sandbox.repo("a"), "two")["node"], "bare");
    hub.dispatch(&["finish", "two"]).success();
}

#[test]
fn linked_worktrees_share_one_queue_and_one_node() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, linked) = (sandbox.repo("a"), sandbox.repo("linked"));
    a.git(&["worktree", "add", "--quiet", "-b", "side", "../linked"]);
    assert_eq!(whole_day(&linked, &sandbox.hub(), "one"), "one");
    assert_eq!(show(&a, "one")["node"], "a");
    assert_eq!(linked.git(&["rev-parse", "--abbrev-ref", "HEAD"]), "side");
    // Claimed in one, finished in the other, where its branch is checked out.
    enqueue(&a, "two", "", "# Two");
    a.dispatch(&["claim", "two"]).success();
    let branch = show(&a, "two")["branch"].as_str().unwrap().to_owned();
    linked.git(&["checkout", "--quiet", &branch]);
    linked.write("two.txt", "two\n");
    linked.git(&["add", "two.txt"]);
    refused(&a, &["finish", "two"], 1, "dispatch::finish::dirty");
    linked.commit("Two");
    a.dispatch(&["finish", "two"]).success();
    assert_eq!(state(&linked, "two"), "completed");
}

#[test]
fn a_shallow_clone_works_and_leaves_merging_to_others() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    for i in 0..3 {
        a.write("count.txt", &format!("{i}\n"));
        a.commit("Count");
    }
    a.git(&["push", "--quiet"]);
    let url = format!("file://{}", sandbox.hub().path().display());
    sandbox.repo(".").git(&["clone", "--quiet", "--depth", "1", &url, "shallow"]);
    let shallow = sandbox.repo("shallow");
    enqueue(&shallow, "one", "run: echo one > one.txt", "# One");
    shallow.dispatch(&["run"]).success();
    let error = refused(&shallow, &["collect"], 1, "dispatch::repo::shallow");
    assert!(error["help"].as_str().unwrap().contains("git fetch --unshallow"), "{error}");
    assert_eq!(state(&a, "one"), "completed");
    // The way out is one.
    shallow.git(&["fetch", "--quiet", "--unshallow"]);
    shallow.dispatch(&["collect"]).success();
    assert_eq!(sandbox.hub().git(&["show", "main:one.txt"]), "one");
}

#[test]
fn a_partial_clone_fetches_what_it_needs_and_no_more() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    hub.git(&["config", "uploadpack.allowFilter", "true"]);
    for last in ["5", "five"] {
        a.write("deep/count.txt", &format!("0\n1\n2\n3\n4\n{last}\n"));
        a.commit("Count");
    }
    a.git(&["push", "--quiet"]);
    let url = format!("file://{}", hub.path().display());
    let clone = |options: &[&str], name: &str| {
        sandbox.repo(".").git(&[&["clone", "--quiet"], options, &[&url, name]].concat());
        sandbox.repo(name)
    };
    let (partial, treeless) =
        (clone(&["--filter=blob:none", "--sparse"], "partial"), clone(&["--filter=tree:0", "--bare"], "treeless"));
    // Both work on a file that the clone never had, one of them from what is no longer the target's tip.
    enqueue(&a, "far", "run: sed -i s/0/zero/ deep/count.txt", "# Elsewhere");
    a.dispatch(&["run"]).success();
    enqueue(&partial, "near", "run: sed -i s/five/six/ deep/count.txt", "# Here");
    partial.dispatch(&["run"]).success();
    partial.dispatch(&["conflicts"]).success();
    partial.dispatch(&["collect"]).success();
    assert_eq!((state(&a, "far"), state(&a, "near")), ("merged".into(), "merged".into()));
    assert_eq!(hub.git(&["show", "main:deep/count.txt"]), "zero\n1\n2\n3\n4\nsix");
    let missing = partial.git(&["rev-list", "--objects", "--all", "--missing=print", "--quiet"]);
    assert!(!missing.is_empty(), "what no task needs stays away");
    // Without trees git cannot tell what is missing from what was promised.
    enqueue(&a, "third", "run: sed -i s/3/three/ deep/count.txt", "# Elsewhere");
    a.dispatch(&["run"]).success();
    let error = refused(&treeless, &["collect"], 1, "dispatch::repo::treeless");
    assert!(error["help"].as_str().unwrap().contains("git fetch --refetch"), "{error}");
    treeless.git(&["config", "remote.origin.partialclonefilter", "blob:none"]);
    treeless.git(&["fetch", "--quiet", "--refetch", "origin"]);
    treeless.dispatch(&["collect"]).success();
    assert_eq!(hub.git(&["show", "main:deep/count.txt"]), "zero\n1\n2\nthree\n4\nsix");
}

#[test]
fn objects_named_by_another_hash_are_said_to_be() {
    let sandbox = Sandbox::with_clones(&[]);
    sandbox.repo(".").git(&["init", "--quiet", "--object-format=sha256", "other"]);
    let error = refused(&sandbox.repo("other"), &["list"], 1, "dispatch::repo::object_format");
    assert!(error["message"].as_str().unwrap().contains("sha256"), "{error}");
}

#[test]
fn paths_may_have_blanks_and_any_letters() {
    let sandbox = Sandbox::with_clones(&[]);
    let root = sandbox.repo(".");
    root.git(&["clone", "--quiet", "--bare", "hub.git", "mein hüb 'x' $y.git"]);
    root.git(&["clone", "--quiet", "mein hüb 'x' $y.git", "ein klön"]);
    root.git(&["init", "--quiet", "für mich; allein"]);
    let solo = sandbox.repo("für mich; allein");
    solo.write("datei ä.txt", "ä\n");
    solo.commit("Erstens");
    for (repo, hub) in [(sandbox.repo("ein klön"), sandbox.repo("mein hüb 'x' $y.git")), (solo.clone(), solo)] {
        assert_eq!(whole_day(&repo, &hub, "one"), "one");
        repo.spec("ordner mit ü/sp ec.md", "task_id: two\nrun: echo zwei > 'datei ü.txt'", "# Zwei");
        repo.dispatch(&["-C", "ordner mit ü", "enqueue", "sp ec.md"]).success();
        repo.dispatch(&["run"]).success();
        repo.dispatch(&["collect"]).success();
        assert_eq!(hub.git(&["show", "main:datei ü.txt"]), "zwei");
    }
}

#[test]
fn a_hub_that_refuses_is_named_and_nothing_is_lost() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    for (id, frontmatter) in [("pending", ""), ("hand", ""), ("failed", "run: exit 1")] {
        enqueue(&a, id, frontmatter, "# A task");
    }
    a.dispatch(&["run"]).code(4);
    a.dispatch(&["claim", "hand"]).success();
    let made = work_on(&a, "hand", "x.txt", "x\n");
    a.spec("../specs/new.md", "", "# New");
    a.spec("../specs/pending.md", "", "# Another spec");
    refuse_pushes(&hub, "no thanks");
    let before = refs(&hub);
    let commands: [&[&str]; 7] = [
        &["enqueue", "../specs/new.md"],
        &["enqueue", "--replace", "../specs/pending.md"],
        &["claim", "pending"],
        &["claim"],
        &["cancel", "pending"],
        &["retry", "failed"],
        &["release", "hand"],
    ];
    for args in commands {
        let error = refused(&a, args, 1, "dispatch::hub::refused");
        assert!(error["help"].as_str().unwrap().contains("hook"), "{error}");
    }
    // Finished work waits in the outbox, and is not called published.
    let finished = as_json(&a, &["finish", "hand"]);
    assert_eq!((finished.code, finished.json()["published"].clone()), (0, false.into()), "{finished}");
    assert_eq!(refs(&hub), before);
    accept_pushes(&hub);
    a.dispatch(&["run"]).code(3);
    assert_eq!(show(&a, "hand")["result"], made);
    a.dispatch(&["cancel", "pending"]).success();
    assert_eq!(state(&a, "pending"), "cancelled");
}

#[test]
fn outside_of_a_repository_it_says_so() {
    let sandbox = Sandbox::with_clones(&["a"]);
    fs::create_dir(sandbox.root().join("plain")).unwrap();
    let plain = sandbox.repo("plain");
    for args in [&[][..], &["list"], &["enqueue", "x.md"], &["run"], &["init"], &["wait"]] {
        let error = refused(&plain, args, 1, "dispatch::repo::not_found");
        assert!(error["help"].as_str().unwrap().contains("-C DIR"), "{error}");
    }
    plain.dispatch(&["-C", "../a", "list"]).success();
    plain.dispatch(&["-C", "..", "-C", "a", "list"]).success();
    plain.dispatch(&["list", "-C", "../a"]).success();
    plain.git(&["-C", "../a", "dispatch", "list"]);
    plain.git(&["--git-dir", "../a/.git", "dispatch", "list"]);
    plain.dispatch(&["explain"]).success();
    assert_eq!(fs::read_dir(plain.path()).unwrap().count(), 0);
}

#[test]
fn any_folder_of_a_clone_will_do() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let inner = sandbox.repo("a/src");
    inner.spec("../../specs/one.md", "run: echo one > one.txt", "# One");
    inner.dispatch(&["enqueue", "../../specs/one.md"]).success();
    inner.dispatch(&["run"]).success();
    inner.dispatch(&["collect"]).success();
    assert_eq!(sandbox.hub().git(&["show", "main:one.txt"]), "one", "made at the top of the work tree");
    assert!(inner.dispatch(&[]).success().stdout.contains("1 merged"));
    inner.dispatch(&["init"]).success();
    assert!(sandbox.repo("a").path().join("git-dispatch.toml").exists(), "the file is at the root");
}

#[test]
fn refs_in_another_format_are_not_taken_for_none() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    a.git(&["config", "core.repositoryFormatVersion", "1"]);
    a.git(&["config", "extensions.refStorage", "stones"]);
    for args in [&[][..], &["list"], &["run"]] {
        let error = refused(&a, args, 1, "dispatch::repo::ref_storage");
        assert!(error["help"].as_str().unwrap().contains("--ref-format=files"), "{error}");
    }
}

#[test]
fn a_dirty_checkout_is_never_touched() {
    // Embedded, where moving the branch is the commit point: refused before anything changes.
    let sandbox = Sandbox::embedded();
    let solo = sandbox.solo();
    enqueue(&solo, "one", "run: echo changed > src/one.txt", "# One");
    solo.dispatch(&["run"]).success();
    solo.write("src/one.txt", "mine\n");
    let before = refs(&solo);
    refused(&solo, &["collect"], 1, "dispatch::collect::dirty_checkout");
    assert_eq!((refs(&solo), solo.git(&["status", "--porcelain"])), (before, " M src/one.txt".to_owned()));
    solo.git(&["checkout", "--quiet", "src/one.txt"]);
    // What the merge does not touch is not in its way.
    solo.write("src/two.txt", "mine\n");
    solo.dispatch(&["collect"]).success();
    assert_eq!(solo.git(&["status", "--porcelain"]), " M src/two.txt");
    assert_eq!(fs::read_to_string(solo.path().join("src/one.txt")).unwrap(), "changed\n");

    // With a remote the merge is made there, and a line says how to follow.
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    enqueue(&a, "one", "run: echo changed > src/one.txt", "# One");
    a.dispatch(&["run"]).success();
    a.write("src/one.txt", "mine\n");
    let head = a.git(&["rev-parse", "HEAD"]);
    let out = a.dispatch(&["collect"]).success();
    assert_eq!(sandbox.hub().git(&["show", "main:src/one.txt"]), "changed");
    assert_eq!((a.git(&["rev-parse", "HEAD"]), a.git(&["status", "--porcelain"])), (head, " M src/one.txt".into()));
    assert!(out.stderr.contains("git "), "how to follow is told:\n{out}");
}

#[test]
fn while_the_hub_is_away_what_is_known_is_shown_with_its_age() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    enqueue(&a, "one", "run: echo one > one.txt", "# One");
    a.dispatch(&["run"]).success();
    fs::rename(sandbox.hub().path(), sandbox.root().join("away.git")).unwrap();
    for args in [&[][..], &["list"], &["status"], &["show", "one"], &["log"]] {
        let out = a.dispatch(args).success();
        assert!(out.stdout.contains("completed"), "{out}");
        let warned: Vec<&str> = out.stderr.lines().filter(|line| line.contains("warning:")).collect();
        assert!(
            matches!(warned[..], [one] if one.contains("does not answer") && one.contains("as of 20")),
            "{out}"
        );
        as_json(&a, args).success().json();
        assert_eq!(a.dispatch(&[args, &["--quiet"]].concat()).success().stderr, "");
    }
    let offline = a.dispatch(&["list", "--offline"]).success();
    assert!(offline.stderr.is_empty() && offline.stdout.contains("completed"), "{offline}");
    let before = refs(&a);
    a.spec("../specs/two.md", "", "# Two");
    let changing: [&[&str]; 6] = [
        &["enqueue", "../specs/two.md"],
        &["claim"],
        &["cancel", "one"],
        &["retry", "one"],
        &["collect"],
        &["run"],
    ];
    for args in changing {
        let start = Instant::now();
        refused(&a, args, 1, "dispatch::hub::unreachable");
        assert!(start.elapsed() < Duration::from_secs(30), "{args:?}");
    }
    assert_eq!(refs(&a), before);
}

#[test]
fn what_a_hub_says_when_it_refuses_is_shown_and_harmless() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    enqueue(&a, "one", "run: exit 0", "# One");
    a.dispatch(&["run"]).success();
    enqueue(&a, "two", "run: exit 0", "# Two");
    a.spec("../specs/new.md", "run: exit 0", "# New");
    refuse_pushes(&hub, "not on fridays \u{1b}[2J");
    let commands: [&[&str]; 6] = [
        &["enqueue", "../specs/new.md"],
        &["pause"],
        &["assign", "two", "--node", "a"],
        &["claim", "two"],
        &["cancel", "two"],
        &["run"],
    ];
    for args in commands {
        let error = refused(&a, args, 1, "dispatch::hub::refused");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("it says: not on fridays \\u{1b}[2J"), "{args:?}: {message}");
    }
    accept_pushes(&hub);
    a.dispatch(&["pause"]).success();
}

#[test]
fn a_branch_that_is_not_there_is_named() {
    on_both(|repo| {
        enqueue(repo, "one", "run: echo x > x.txt", "# One");
        repo.dispatch(&["run"]).success();
        for args in [&["collect", "--into", "mian"][..], &["collect", "--into", "mian", "--dry-run"]] {
            let error = refused(repo, args, 1, "dispatch::hub::no_target");
            assert!(error["message"].as_str().unwrap().contains("`mian` does not exist"), "{error}");
        }
        assert_eq!(state(repo, "one"), "completed");
    });
}

/// A script must not take half a document for a whole one.
#[test]
fn a_result_that_cannot_be_written_is_a_failure() {
    on_both(|repo| {
        enqueue(repo, "one", "", "# One");
        for command in ["list", "list --json", "show one", "status", "log", "explain", "-h"] {
            let out = repo.run("sh", &[], &["-c", &format!("git-dispatch {command} > /dev/full")]).code(1);
            assert!(out.stderr.contains("the result could not be written: "), "{command}: {out}");
        }
        repo.run("sh", &[], &["-c", "git-dispatch show nope --json > /dev/full"]).code(2);
        // Nor is it one that a reader has seen enough.
        for command in ["list", "log", "explain", "status --settings", "help"] {
            let script = format!("{{ git-dispatch {command}; echo $? >&2; }} 2>&1 >&3 3>&- | tail -n 1");
            let script = format!("{{ {script} >&2; }} 3>&1 | true");
            let out = repo.run("sh", &[], &["-c", &script]).success();
            assert_eq!(out.stderr, "0\n", "{command}");
        }
    });
}

/// As git finds it: what the environment says goes before what is configured.
#[test]
fn who_commits_is_whom_git_would_name() {
    let sandbox = Sandbox::embedded();
    let solo = sandbox.solo();
    let names = |environment: &[(&str, &str)], id: &str| {
        solo.spec(&format!("{id}.md"), "", "# One");
        solo.dispatch_env(environment, &["enqueue", &format!("{id}.md")]).success();
        solo.git(&["log", "-1", "--format=%an <%ae> %cn <%ce>", "refs/dispatch/queue"])
    };
    let given = [("GIT_COMMITTER_NAME", "Env"), ("GIT_COMMITTER_EMAIL", "env@example.org")];
    solo.git(&["config", "user.name", "Conf"]);
    solo.git(&["config", "user.email", "conf@example.org"]);
    assert_eq!(names(&[], "a"), "Conf <conf@example.org> Conf <conf@example.org>");
    assert_eq!(names(&given, "b"), "Env <env@example.org> Env <env@example.org>");
    assert_eq!(names(&given[..1], "c"), "Env <conf@example.org> Env <conf@example.org>");
    solo.git(&["config", "committer.name", "Own"]);
    assert_eq!(names(&[], "d"), "Own <conf@example.org> Own <conf@example.org>");
}
