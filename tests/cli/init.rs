//! `init`: the annotated file, the node's name, what `git log` shows.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::hubs::{as_json, enqueue, on_both, refused, show};
use crate::sandbox::{Repo, Sandbox};

fn file_of(repo: &Repo) -> String {
    fs::read_to_string(repo.path().join("git-dispatch.toml")).unwrap()
}

/// The PATH with a folder in front in which a program of this name is.
fn path_with(sandbox: &Sandbox, repo: &Repo, program: &str) -> String {
    let folder = sandbox.root().join("programs");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(program), "#!/bin/sh\n").unwrap();
    fs::set_permissions(folder.join(program), fs::Permissions::from_mode(0o755)).unwrap();
    let path = repo.run("sh", &[], &["-c", "printf %s \"$PATH\""]).stdout;
    format!("{}:{path}", folder.display())
}

#[test]
fn the_written_file_changes_nothing_and_init_may_be_given_again() {
    on_both(|repo| {
        let before = repo.dispatch(&["status", "--settings"]).success().stdout;
        let document = repo.dispatch(&["init", "--json"]).success().json();
        assert_eq!((&document["file"], &document["written"]), (&"git-dispatch.toml".into(), &true.into()));
        assert_eq!(document["node"], repo.git(&["config", "dispatch.node"]));
        let written = file_of(repo);
        assert!(written.contains("#max_attempts = 3") && written.contains("[node]"), "{written}");
        assert_eq!(repo.dispatch(&["status", "--settings"]).success().stdout, before);

        repo.write("git-dispatch.toml", "max_attempts = 7\n");
        let again = repo.dispatch(&["init"]).success();
        assert!(again.stdout.contains("is there already"), "{again}");
        assert_eq!(file_of(repo), "max_attempts = 7\n");
        assert_eq!(repo.git(&["config", "--get-all", "notes.displayRef"]), "refs/notes/dispatch/*");
    });
}

#[test]
fn names_given_are_kept_and_take_effect() {
    on_both(|repo| {
        repo.git(&["config", "--unset", "dispatch.node"]);
        let named = repo.dispatch(&["init", "--json"]).success().json()["node"].as_str().unwrap().to_owned();
        assert_eq!(repo.git(&["config", "dispatch.node"]), named, "a computed name is kept");
        fs::remove_file(repo.path().join("git-dispatch.toml")).unwrap();
        repo.dispatch(&["init", "--node", "north", "--project", "gem"]).success();
        assert_eq!(repo.git(&["config", "dispatch.node"]), "north");
        assert!(file_of(repo).contains("\nproject = \"gem\"\n"));
        enqueue(repo, "one", "", "# One");
        let claimed = repo.dispatch(&["claim", "gem/one", "--json"]).success().json();
        assert_eq!(claimed["claimed"][0]["node"], "north");
    });
}

#[test]
fn executors_on_the_path_are_filled_in_as_comments() {
    let sandbox = Sandbox::embedded();
    let solo = sandbox.solo();
    let path = path_with(&sandbox, &solo, "codex");
    let out = solo.dispatch_env(&[("PATH", &path)], &["init"]).success();
    assert!(out.stdout.contains("found codex"), "{out}");
    let written = file_of(&solo);
    assert!(written.contains("#[executors.codex]\n#kind = \"command\"\n#command = [\"codex\""), "{written}");
    assert!(!written.contains("[executors.aider]"), "only what is there:\n{written}");
    // Once a person takes the `#` off, it is an executor.
    let (before, lines) = written.split_once("#[executors.codex]").unwrap();
    let lines = lines.replace("\n#", "\n");
    solo.write("git-dispatch.toml", &format!("{before}[executors.codex]{lines}"));
    let settings = solo.dispatch(&["status", "--settings"]).success().stdout;
    assert!(settings.contains("executors.codex.command"), "{settings}");
}

#[test]
fn the_status_of_tasks_is_in_git_log_then() {
    on_both(|repo| {
        repo.dispatch(&["init"]).success();
        enqueue(repo, "one", "run: echo made > made.txt", "# One");
        repo.dispatch(&["run"]).success();
        let log = repo.git(&["log", "-1", "refs/dispatch/queue"]);
        assert!(log.contains("Notes (dispatch/") && log.contains("\"event\":\"completed\""), "{log}");
    });
}

#[test]
fn a_remote_that_is_named_is_the_hub() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    sandbox.repo(".").git(&["clone", "--quiet", "--bare", "hub.git", "other.git"]);
    a.git(&["remote", "add", "other", "../other.git"]);
    a.dispatch(&["init", "--remote", "other"]).success();
    enqueue(&a, "one", "", "# One");
    assert_ne!(sandbox.repo("other.git").git(&["for-each-ref", "refs/dispatch/queue"]), "");
    assert_eq!(sandbox.hub().git(&["for-each-ref", "refs/dispatch"]), "");
    refused(&a, &["init", "--remote", "nowhere"], 2, "dispatch::config::no_remote");
    assert_eq!(a.git(&["config", "dispatch.remote"]), "other");
}

#[test]
fn the_project_that_was_written_is_the_one_that_is_told() {
    on_both(|repo| {
        let told = as_json(repo, &["init", "--project", "web"]).success().json();
        assert_eq!((&told["project"], &told["written"]), (&"web".into(), &true.into()));
        enqueue(repo, "one", "", "# One");
        assert_eq!(show(repo, "one")["task"], "web/one");
        // What is there already is not changed, and that is said.
        let out = repo.dispatch(&["init", "--project", "other"]).success();
        assert!(out.stderr.contains("--project has no effect"), "{out}");
        assert_eq!(as_json(repo, &["init", "--project", "other"]).success().json()["project"], "web");
    });
}

#[test]
fn a_wrong_name_writes_nothing() {
    on_both(|repo| {
        let before = repo.git(&["config", "--list", "--local"]);
        refused(repo, &["init", "--node", "a/b"], 2, "dispatch::name::invalid");
        refused(repo, &["init", "--project", ".."], 2, "dispatch::name::invalid");
        assert!(!repo.path().join("git-dispatch.toml").exists());
        assert_eq!(repo.git(&["config", "--list", "--local"]), before);
    });
}

#[test]
fn a_bare_repository_says_where_to_go() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let error = refused(&sandbox.hub(), &["init"], 2, "dispatch::config::no_checkout");
    assert!(error["help"].as_str().unwrap().contains("clone"));
}
