//! Executors that break their clone, or plant something in it: the work counts, the planted never runs.

use serde_json::json;

use crate::steps::{each, each_hub, enqueue_lines, file, refs_below, shown, states, tasks, text};

/// A task's own work.
const OWN: &str = "echo x > $DISPATCH_ID.txt";

/// The work, committed by the executor itself.
const COMMIT: &str = "git add -A; git -c commit.gpgSign=false commit -qm Own";

/// Clones that are left broken, or elsewhere than they were.
fn broken() -> Vec<(&'static str, String)> {
    let (own, commit) = (OWN, COMMIT);
    vec![
        ("checkout", format!("git checkout -q -b elsewhere; {own}; {commit}")),
        ("deleted", format!("rm -rf .git; {own}")),
        ("detached", format!("git checkout -q --detach; {own}; {commit}; git checkout -q --detach")),
        ("gc", format!("{own}; {commit}; git gc -q --prune=now; git repack -adq; git stash list")),
        ("head-gone", format!("{own}; echo 'ref: refs/heads/nowhere' > .git/HEAD")),
        ("index-broken", format!("{own}; echo rubbish > .git/index")),
        ("index-lock", format!("touch .git/index.lock .git/HEAD.lock .git/config.lock; {own}")),
        ("link", format!("rm -rf .git; ln -s {{node}}/.git .git; {own}")),
        ("pointer", format!("rm -rf .git; echo 'gitdir: {{node}}/.git' > .git; {own}")),
        (
            "rebase",
            format!(
                "echo 1 > src/one.txt; {own}; {commit}; git checkout -q -b side HEAD~1; echo 2 > src/one.txt; {commit}; \
             git rebase -q elsewhere 2>/dev/null; git rebase -q $DISPATCH_BRANCH 2>/dev/null; git rebase --abort; \
             git checkout -q $DISPATCH_BRANCH"
            ),
        ),
        ("rubbish", format!("rm -rf .git; mkdir .git; echo rubbish > .git/HEAD; {own}")),
    ]
}

/// Clones that are left half-way through something, linked elsewhere, or made to look away.
fn planted() -> Vec<(&'static str, String)> {
    let (own, commit) = (OWN, COMMIT);
    vec![
        ("assume", format!("git update-index --assume-unchanged src/one.txt; echo hidden > src/one.txt; {own}")),
        ("branch-gone", format!("git checkout -q --detach; git branch -q -D $DISPATCH_BRANCH; {own}")),
        ("logs-linked", format!("{own}; {commit}; rm -rf .git/logs; ln -s {{node}}/.git/logs .git/logs")),
        (
            "merging",
            format!(
                "{own}; {commit}; git checkout -q -b side HEAD~1; echo 2 > $DISPATCH_ID.txt; {commit}; \
                 git checkout -q -; git merge -q side; [ -e .git/MERGE_HEAD ] || exit 9; echo x > $DISPATCH_ID.txt"
            ),
        ),
        (
            "objects-linked",
            format!("rm -rf .git/objects; ln -s {{node}}/.git/objects .git/objects; {own}; {commit}"),
        ),
        ("read-only", format!("{own}; mkdir -p locked/deep; touch locked/deep/x; chmod 500 locked/deep locked")),
        (
            "rebasing",
            format!(
                "git checkout -q -b other; echo 2 > README.md; {commit}; git checkout -q -; {own}; echo 1 > README.md; \
                 {commit}; git rebase -q other; [ -e .git/rebase-merge ] || exit 9; {own}; git checkout -q --ours README.md"
            ),
        ),
        (
            "refs-linked",
            format!(
                "cp -r {{node}}/.git/refs/heads ../h; rm -rf .git/refs; ln -s {{node}}/.git/refs .git/refs; {own}"
            ),
        ),
        ("sparse", format!("git sparse-checkout set --no-cone /src; {own}")),
        (
            "stash",
            format!(
                "echo away > src/two.txt; git stash -q; git stash drop -q; echo away > stashed; git stash -q -u; {own}"
            ),
        ),
        ("worktree", format!("{own}; git config core.worktree /nowhere; git config core.bare true")),
    ]
}

#[test]
fn work_survives_what_was_done_to_the_clone() {
    let vandals: Vec<(&str, String)> = broken().into_iter().chain(planted()).collect();
    each_hub(|_, a, hub| {
        let node = shown(a.path());
        let scripts: Vec<(&str, String)> =
            vandals.iter().map(|(id, script)| (*id, script.replace("{node}", node))).collect();
        enqueue_lines(a, &scripts.iter().map(|(id, script)| (*id, script.as_str())).collect::<Vec<_>>());
        let main = a.git(&["rev-parse", "main"]);
        let out = a.dispatch(&["run"]);
        let broken: Vec<String> = states(a).into_iter().filter(|state| !state.ends_with(" completed")).collect();
        assert!(out.code == 0 && broken.is_empty(), "{broken:?}\n{out}");
        assert_eq!(a.git(&["rev-parse", "main"]), main);
        assert_eq!(a.git(&["status", "--porcelain"]), "");
        let collected = a.dispatch(&["collect", "--json"]);
        assert_eq!(collected.json()["conflicts"], json!([]), "{collected}");
        for (id, _) in &vandals {
            assert_eq!(file(hub, &format!("{id}.txt")), "x", "{id}");
        }
        a.git(&["fsck", "--strict"]);
    });
}

/// Whatever one task did to the slot, the next finds it as if it were new; and the node's repository is as it was.
#[test]
fn the_next_task_finds_nothing_of_the_one_before() {
    let looks = "git status --porcelain --ignored; git stash list; git config --local --list | grep -c evil; cat src/one.txt; \
         git branch --format='%(refname)' | grep -v \"$DISPATCH_BRANCH$\"; ls -A . src; ls .git/hooks .git/rebase-merge 2> /dev/null; true";
    let clean = "0\none\n.:\n.git\nREADME.md\nsrc\n\nsrc:\none.txt\ntwo.txt\n";
    let vandals = [
        "cd ..; rm -rf clone; ln -s {node} clone",
        "cd ..; rm -rf clone",
        "cd ..; mv clone moved; mkdir clone; echo x > clone/x",
        "git config evil.x y; git branch left; echo x > src/one.txt; git stash -q; mkdir .git/hooks; touch .git/hooks/pre-commit",
        "git update-index --skip-worktree src/one.txt; echo x > src/one.txt; echo '*.o' > .git/info/exclude; mkdir big; touch big/a.o a.o",
        "git update-index --assume-unchanged src/one.txt; echo x > src/one.txt; echo 'src/*' > .gitignore",
        // git compares times by the second: what is put back within the one in which the file was made, git cannot see.
        "until [ $(date +%s) -gt $(stat -c %Z src/one.txt) ]; do sleep 0.05; done; \
         touch -r src/one.txt ../t; printf 'eno\\n' > src/one.txt; touch -r ../t src/one.txt",
        "rm -rf src; ln -s {node}/src src; mkdir -p locked/deep; touch locked/deep/x; chmod 500 locked/deep locked",
        "rm -rf .git/objects; ln -s {node}/.git/objects .git/objects; cp {node}/.git/index .git/index; git commit -q --allow-empty -m x",
        "git init -q nested; (cd nested; touch f; git add f; git commit -q -m x); git worktree add -q ../tree; touch .git/index.lock",
        "git init -q src",
    ];
    each_hub(|_, a, _| {
        let refs = || a.git(&["for-each-ref", "refs/heads/main", "refs/stash", "refs/tags"]);
        let config = || std::fs::read_to_string(a.path().join(".git/config")).unwrap();
        let (before, configured) = (refs(), config());
        // In one slot, one after the other, as they stand in the queue.
        let ids: Vec<(String, String)> = (0..vandals.len()).map(|n| (format!("{n}a"), format!("{n}b"))).collect();
        let own: Vec<String> = vandals.iter().map(|vandal| vandal.replace("{node}", shown(a.path()))).collect();
        let pairs = ids.iter().zip(&own);
        let batch = pairs.flat_map(|((does, after), own)| [(does.as_str(), own.as_str()), (after.as_str(), looks)]);
        enqueue_lines(a, &batch.collect::<Vec<_>>());
        a.dispatch(&["run"]);
        for ((_, after), vandal) in ids.iter().zip(vandals) {
            assert_eq!(a.dispatch(&["logs", after]).success().stdout, clean, "after {vandal}");
        }
        assert_eq!((refs(), a.git(&["status", "--porcelain"])), (before, String::new()));
        assert!(a.path().join(".git/objects/info/alternates").symlink_metadata().is_err());
        assert_eq!(config(), configured);
        a.git(&["fsck", "--strict"]);
    });
}

#[test]
fn work_that_does_not_descend_from_its_base_is_no_result() {
    each_hub(|_, a, hub| {
        enqueue_lines(
            a,
            &[
                ("orphan", "git checkout -q --orphan new; git commit -qm 'From nothing'"),
                (
                    "back",
                    "git commit -q --allow-empty -m x; git reset -q --hard $(git rev-list --max-parents=0 HEAD)",
                ),
            ],
        );
        a.write("more.txt", "more");
        a.commit("A second commit");
        if a.path() != hub.path() {
            a.git(&["push", "--quiet"]);
        }
        a.dispatch(&["run"]).code(4);
        for (id, task) in tasks(a) {
            assert_eq!((&task["state"], &task["reason"]), (&json!("failed"), &json!("exit")), "{id}");
            assert!(text(&task["error"]).contains("descend"), "{task}");
        }
        assert_eq!(
            each(&a.dispatch(&["collect", "--json"]).success().json()["merged"], "task"),
            Vec::<String>::new()
        );
    });
}

#[test]
fn nothing_that_was_planted_ever_runs() {
    each_hub(|sandbox, a, hub| {
        let trap = format!("{}/planted", shown(sandbox.root()));
        let planted = format!(
            "printf '#!/bin/sh\\necho $0 >> {trap}\\nexec cat\\n' > ../evil; chmod +x ../evil; evil=$(cd ..; pwd)/evil; \
             mkdir -p .git/hooks .git/info ../hooks; \
             for hook in pre-commit post-commit commit-msg post-checkout pre-push reference-transaction post-index-change \
                fsmonitor-watchman post-merge pre-auto-gc prepare-commit-msg; do cp ../evil .git/hooks/$hook; cp ../evil ../hooks/$hook; done; \
             echo '* filter=evil diff=evil merge=evil' > .gitattributes; cp .gitattributes .git/info/attributes; \
             printf '[core]\\n\\tfsmonitor = %s\\n\\thooksPath = %s\\n\\tpager = %s\\n\\tsshCommand = %s\\n\\teditor = %s\\n\\talternateRefsCommand = %s\\n[filter \"evil\"]\\n\\tclean = %s\\n\\tsmudge = %s\\n\\tprocess = %s\\n[diff \"evil\"]\\n\\tcommand = %s\\n\\ttextconv = %s\\n[diff]\\n\\texternal = %s\\n[merge \"evil\"]\\n\\tdriver = %s\\n[gpg]\\n\\tprogram = %s\\n[commit]\\n\\tgpgSign = true\\n[uploadpack]\\n\\tpackObjectsHook = %s\\n[extensions]\\n\\tworktreeConfig = true\\n' \
                $evil $(cd ../hooks; pwd) $evil $evil $evil $evil $evil $evil $evil $evil $evil $evil $evil $evil $evil > ../config; \
             cp ../config .git/config.worktree; cat ../config >> .git/config; printf '[include]\\n\\tpath = %s/config\\n' $(cd ..; pwd) >> .git/config; \
             git status > ../status 2>&1; [ -s {trap} ] || exit 3; rm {trap}; echo work > $DISPATCH_ID.txt"
        );
        enqueue_lines(a, &[("one", &planted), ("two", &planted)]);
        a.dispatch(&["run"]).success();
        // The slot is used again, and the work merged.
        enqueue_lines(a, &[("three", "cat one.txt two.txt 2>/dev/null; echo plain > three.txt")]);
        a.dispatch(&["run"]).success();
        let collected = a.dispatch(&["collect"]);
        assert!(!sandbox.root().join("planted").exists(), "{}", std::fs::read_to_string(&trap).unwrap());
        collected.success();
        assert_eq!(
            (file(hub, "one.txt"), file(hub, "two.txt"), file(hub, "three.txt")),
            ("work".into(), "work".into(), "plain".into())
        );
        assert_eq!(refs_below(hub, "refs/heads"), ["refs/heads/main"]);
    });
}

/// An agent that clones or makes a repository among its files does not lose them: they count as plain files.
#[test]
fn nested_repositories_become_files() {
    let commit = "git add -A; git commit -qm x";
    let nested = "mkdir -p d/inner; cd d/inner; git init -q; mkdir deep; cd deep; git init -q; echo y > g";
    each_hub(|_, a, hub| {
        enqueue_lines(
            a,
            &[
                ("deep", nested),
                ("empty", "git init -q nested; echo x > nested/f; echo plain > empty.txt"),
                ("full", &format!("git init -q inner; (cd inner; echo x > f; {commit}); echo plain > full.txt")),
            ],
        );
        a.dispatch(&["run"]).success();
        a.dispatch(&["collect"]).success();
        let files = hub.git(&["ls-tree", "-r", "--name-only", "main"]);
        for path in ["d/inner/deep/g", "nested/f", "empty.txt", "inner/f", "full.txt"] {
            assert!(files.lines().any(|file| file == path), "{path} in {files}");
        }
    });
}
