//! `enqueue --replace` and `--dry-run`: a newer spec while the task is pending, and what would be done.

use crate::hubs::{as_json, enqueue, on_both, refs, refused, show};

const FILE: &str = "../specs/one.md";

#[test]
fn a_changed_spec_is_refused_unless_it_is_to_replace() {
    on_both(|repo| {
        enqueue(repo, "one", "run: echo old > x.txt", "# Old");
        repo.spec(FILE, "run: echo new > x.txt", "# New");
        let before = refs(repo);
        let error = refused(repo, &["enqueue", FILE], 2, "dispatch::enqueue::exists");
        assert!(error["message"].as_str().unwrap().contains("pending"), "{error}");
        assert!(error["help"].as_str().unwrap().contains("--replace"), "{error}");
        assert_eq!(refs(repo), before);

        let would = repo.dispatch(&["enqueue", "--replace", "--dry-run", FILE]).success().stdout;
        assert!(would.starts_with("would replace ") && would.ends_with("/one\n"), "{would}");
        assert_eq!(refs(repo), before);
        let document = as_json(repo, &["enqueue", "--replace", FILE]).success().json();
        let replaced = show(repo, "one");
        assert_eq!(document["enqueued"][0]["spec"], replaced["spec"]);
        assert_eq!((&replaced["title"], &replaced["state"]), (&"New".into(), &"pending".into()));
        // Given again, it is the same spec: skipped.
        let again = as_json(repo, &["enqueue", "--replace", FILE]).success().json();
        assert_eq!((&again["enqueued"], &again["skipped"][0]["task"]), (&serde_json::json!([]), &replaced["task"]));
        repo.dispatch(&["run"]).success();
        repo.dispatch(&["collect"]).success();
        let merge = show(repo, "one")["merge_commit"].as_str().unwrap().to_owned();
        assert_eq!(repo.git(&["show", &format!("{merge}:x.txt")]), "new");
    });
}

#[test]
fn an_older_spec_can_be_put_in_force_again() {
    on_both(|repo| {
        enqueue(repo, "one", "", "# Old");
        let old = show(repo, "one")["spec"].clone();
        repo.spec(FILE, "", "# New");
        repo.dispatch(&["enqueue", "--replace", FILE]).success();
        repo.spec(FILE, "", "# Old");
        repo.dispatch(&["enqueue", "--replace", FILE]).success();
        assert_eq!(show(repo, "one")["spec"], old, "it is on the queue already");
        assert_eq!(repo.git(&["rev-list", "--count", "refs/dispatch/queue"]), "2");
    });
}

#[test]
fn what_is_claimed_keeps_its_spec() {
    on_both(|repo| {
        enqueue(repo, "one", "", "# Old");
        repo.dispatch(&["claim", "one"]).success();
        repo.spec(FILE, "", "# New");
        let before = refs(repo);
        let error = refused(repo, &["enqueue", "--replace", FILE], 1, "dispatch::replace::too_late");
        assert!(error["message"].as_str().unwrap().contains("running"), "{error}");
        assert_eq!((refs(repo), show(repo, "one")["title"].clone()), (before, "Old".into()));
        repo.dispatch(&["release", "one"]).success();
        repo.dispatch(&["enqueue", "--replace", FILE]).success();
        let replaced = show(repo, "one");
        assert_eq!((&replaced["title"], &replaced["attempt"]), (&"New".into(), &1.into()));
    });
}

#[test]
fn a_dry_run_checks_everything_and_writes_nothing() {
    on_both(|repo| {
        enqueue(repo, "one", "", "# One");
        let before = refs(repo);
        repo.spec("../more/two.md", "depends_on: [one]", "# Two");
        repo.spec("../more/one.md", "", "# One");
        let out = repo.dispatch(&["enqueue", "--dry-run", "../more"]).success();
        assert!(out.stdout.contains("would enqueue") && out.stdout.contains("/two"), "{out}");
        assert!(out.stderr.contains("skipped") && out.stderr.contains("/one"), "{out}");
        repo.spec("../more/one.md", "", "# Another one");
        refused(repo, &["enqueue", "--dry-run", "../more"], 2, "dispatch::enqueue::exists");
        repo.dispatch(&["enqueue", "--dry-run", "--replace", "../more"]).success();
        repo.spec("../more/two.md", "depends_on: [nothing]", "# Two");
        refused(repo, &["enqueue", "--dry-run", "--replace", "../more"], 2, "dispatch::spec::unknown_dependency");
        assert_eq!(refs(repo), before);
    });
}
