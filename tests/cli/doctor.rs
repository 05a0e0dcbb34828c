//! `doctor`: what is wrong, what is mended, what a remote can do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::rig::{Fleet, PATIENT, gated, quick};
use crate::sandbox::{PATIENCE, Repo, Sandbox, eventually};
use crate::steps::{each_hub, enqueue_lines, plant_node, refs_below, text};

/// Puts a hook on a hub.
fn hook(hub: &Repo, name: &str, script: &str) {
    let file = hub.path().join("hooks").join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}

#[track_caller]
fn doctor(repo: &Repo, options: &[&str], exit: i32) -> Value {
    repo.dispatch(&[&["doctor", "--json"], options].concat()).code(exit).json()
}

/// The findings of a level, as `about: message`.
fn found(document: &Value, level: &str) -> Vec<String> {
    let all = document["findings"].as_array().unwrap().iter().filter(|one| one["level"] == level);
    all.map(|one| format!("{}: {}", one["about"].as_str().unwrap(), one["message"].as_str().unwrap())).collect()
}

#[test]
fn a_sound_clone_is_sound_on_each_kind_of_hub() {
    each_hub(|_, repo, hub| {
        let document = doctor(repo, &[], 0);
        assert_eq!(document["ok"], true);
        assert!(found(&document, "broken").is_empty() && found(&document, "mended").is_empty(), "{document}");
        let out = repo.dispatch(&["doctor", "--probe", "--republish"]).success();
        // Without a remote there is nothing to try, and it says so.
        let is_remote = repo.path() != hub.path();
        assert_eq!(out.stderr.contains("there is no remote to try"), !is_remote, "{out}");
        assert_eq!(out.stdout.contains("gave 0 refs back"), is_remote, "{out}");
    });
}

#[test]
fn a_probe_finds_what_a_remote_can_do_remembers_it_and_leaves_nothing() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    let before = refs_below(&hub, "refs/");
    let all = json!({
        "prefix": true, "swap": true, "atomic": true, "deletes": true, "rewinds": true, "notes": true,
        "branches": true, "branch_deletes": true, "refs_per_push": null,
    });
    assert_eq!(doctor(&a, &["--probe"], 0)["remote"]["abilities"], all);
    assert_eq!(refs_below(&hub, "refs/"), before);

    hub.git(&["config", "receive.advertiseAtomic", "false"]);
    hub.git(&["config", "receive.denyDeletes", "true"]);
    hook(&hub, "pre-receive", "[ $(wc -l) -le 5 ] || { echo too many; exit 1; }");
    let some = doctor(&a, &["--probe"], 0)["remote"]["abilities"].clone();
    let expected = |key: &str, value: Value| assert_eq!(some[key], value, "{key} of {some}");
    expected("atomic", json!(false));
    expected("refs_per_push", json!(5));
    expected("deletes", json!(true));
    expected("branch_deletes", json!(false));
    let remembered = doctor(&a, &[], 0);
    assert_eq!(remembered["remote"]["abilities"], some);
    assert!(found(&remembered, "note").iter().any(|note| note.contains("5 refs in one push")), "{remembered}");
    let left: Vec<String> = refs_below(&hub, "refs/").into_iter().filter(|name| !before.contains(name)).collect();
    assert_eq!(left.len(), 1, "but the branch that nobody may delete: {left:?}");
}

#[test]
fn a_remote_that_takes_branches_only_is_broken_until_the_prefix_says_so() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    hook(&hub, "update", "case $1 in refs/heads/*) ;; *) exit 1 ;; esac");
    let document = doctor(&a, &["--probe"], 1);
    assert!(found(&document, "broken")[0].contains("takes no refs below refs/dispatch/"), "{document}");
    let all = document["findings"].as_array().unwrap();
    let help = text(&all.iter().find(|one| one["level"] == "broken").unwrap()["help"]);
    // The setting, and where it is put: as it is told it is done.
    let mut words = help.split('`');
    let (setting, place) = (words.nth(1).unwrap(), words.next().unwrap());
    assert!(place.starts_with(" in git-dispatch.toml, on the target branch"), "{help}");
    a.write("git-dispatch.toml", &format!("{setting}\n"));
    let document = doctor(&a, &["--probe"], 0);
    hub.git(&["update-ref", "refs/dispatch/queue", "main"]);
    let two = found(&doctor(&a, &[], 1), "broken");
    assert!(two[0].contains("there is a queue at refs/dispatch/queue"), "{two:?}");
    assert_eq!(
        (&document["remote"]["abilities"]["prefix"], &document["remote"]["abilities"]["notes"]),
        (&json!(true), &json!(true))
    );
}

#[test]
fn a_probe_that_was_killed_is_cleaned_up_by_the_next_look() {
    let fleet = Fleet::new(&["boss"], PATIENT);
    let (boss, hub) = (fleet.clone("boss"), fleet.sandbox.hub());
    let before = refs_below(&hub, "refs/");
    // Dies when it has made many, which go by one pattern.
    let script = "#!/bin/sh\ncase \"$*\" in *push*'new/*:refs/*'*) \"$CUT_GIT\" \"$@\"; kill -9 $PPID; exit 1 ;; esac\nexec \"$CUT_GIT\" \"$@\"\n";
    let (path, git) = fleet.wrap_git(script);
    boss.dispatch_env(&[("PATH", &path), ("CUT_GIT", &git)], &["doctor", "--probe"]).code(137);
    assert!(refs_below(&hub, "refs/dispatch/probe").len() > 100);
    let document = doctor(&boss, &[], 0);
    assert!(found(&document, "mended")[0].contains("scratch refs"), "{document}");
    assert_eq!(refs_below(&hub, "refs/"), before);
}

/// Makes a file look as if it had been left a while ago.
fn age(file: &std::path::Path) {
    let old = SystemTime::now() - Duration::from_secs(3600);
    fs::File::options().write(true).open(file).unwrap().set_modified(old).unwrap();
}

#[test]
fn what_crashes_leave_is_mended_here_and_named_on_the_hub() {
    let fleet = Fleet::new(&["boss", "n1"], PATIENT);
    let boss = fleet.clone("boss");
    fleet.enqueue(&[("a", &quick("a"))]);
    boss.dispatch(&["list"]).success();
    for name in ["refs/dispatch/queue.lock", "refs/dispatch-local/hub/dispatch/queue.lock"] {
        let lock = boss.path().join(".git").join(name);
        fs::create_dir_all(lock.parent().unwrap()).unwrap();
        fs::write(&lock, "").unwrap();
        age(&lock);
    }
    let empty = boss.path().join(".git/refs/dispatch/claims/p/x");
    fs::create_dir_all(empty.parent().unwrap()).unwrap();
    fs::write(&empty, "").unwrap();
    let document = doctor(&boss, &[], 0);
    assert_eq!(found(&document, "mended").len(), 3, "{document}");
    assert!(!empty.exists());
    // The hub's own files are whoever's who looks after it.
    let hub = fleet.sandbox.hub();
    let lock = hub.path().join("refs/dispatch/queue.lock");
    fs::write(&lock, "").unwrap();
    age(&lock);
    fs::write(hub.path().join("refs/heads/x"), "").unwrap();
    let document = doctor(&boss, &[], 1);
    assert_eq!(found(&document, "broken").len(), 2, "{document}");
    assert!(document.to_string().contains(&format!("`rm {}`", lock.display())), "{document}");
    assert!(lock.exists(), "it is not ours");
}

#[test]
fn a_killed_run_is_recovered() {
    let fleet = Fleet::new(&["boss", "n1"], PATIENT);
    fleet.enqueue(&[("a", &gated("a", "never"))]);
    let mut node = fleet.watch("n1");
    eventually(PATIENCE, || fleet.home("a.began").exists());
    node.kill9();
    node.wait(PATIENCE);
    let document = doctor(&fleet.clone("n1"), &[], 0);
    assert!(found(&document, "mended").iter().any(|one| one.contains("1 slot cleaned up")), "{document}");
    fleet.until("a", "released");
}

#[test]
fn records_that_contradict_each_other_are_named_with_what_to_do() {
    let fleet = Fleet::new(&["boss", "n1"], PATIENT);
    let (boss, hub) = (fleet.clone("boss"), fleet.sandbox.hub());
    fleet.enqueue(&[("a", &quick("a")), ("b", &quick("b"))]);
    fleet.clone("n1").dispatch(&["run"]).success();
    boss.dispatch(&["collect", "a"]).success();
    // A chain on a sealed task, a branch that is gone, rubbish under a claim's name, a target wound back.
    let claim = hub.git(&["rev-parse", "refs/dispatch/claims/p/b"]);
    let sealed = boss.git(&["log", "-1", "--format=%N", "--notes=dispatch-sealed", "refs/dispatch/queue~1"]);
    let of_a: Value = serde_json::from_str(sealed.trim()).unwrap();
    hub.git(&["update-ref", "refs/dispatch/claims/p/a", of_a["claim"].as_str().unwrap()]);
    hub.git(&["update-ref", "-d", "refs/heads/task/p-b-n1"]);
    let main = hub.git(&["rev-parse", "main"]);
    let blob = hub.git(&["hash-object", "-w", "HEAD"]);
    hub.git(&["update-ref", "refs/dispatch/claims/p/c", &blob]);
    hub.git(&["update-ref", "refs/heads/main", "main~1"]);
    let document = doctor(&boss, &[], 1);
    let (mended, broken) = (found(&document, "mended"), found(&document, "broken"));
    assert!(mended.iter().any(|one| one.contains("claims stood on sealed tasks")), "{document}");
    assert!(mended.iter().any(|one| one.contains("task/p-b-n1")), "{document}");
    assert!(broken.iter().any(|one| one.contains("refs/dispatch/claims/p/c")), "{document}");
    assert!(broken.iter().any(|one| one.contains("p/a is sealed as merged")), "{document}");
    assert_eq!(hub.git(&["rev-parse", "refs/dispatch/claims/p/b"]), claim);
    let help = document.to_string();
    assert!(
        help.contains(&format!(
            "--force-with-lease=refs/dispatch/claims/p/c:{blob} origin :refs/dispatch/claims/p/c"
        ))
    );
    hub.git(&["update-ref", "refs/heads/main", &main]);
    hub.git(&["update-ref", "-d", "refs/dispatch/claims/p/c"]);
    doctor(&boss, &[], 0);
}

#[test]
fn a_hub_that_is_away_and_a_name_that_is_taken_are_broken() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    plant_node(&sandbox, "a", &json!({}));
    let broken = found(&doctor(&a, &[], 1), "broken");
    assert!(broken[0].contains("another clone, on planted, is called a as well"), "{broken:?}");
    hub.git(&["update-ref", "-d", "refs/dispatch/nodes/a"]);
    fs::rename(hub.path(), hub.path().with_extension("away")).unwrap();
    let broken = found(&doctor(&a, &[], 1), "broken");
    assert!(broken[0].starts_with("remote: "), "{broken:?}");
}

#[test]
fn of_an_emptied_hub_a_few_refs_are_named() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    let ids: Vec<String> = (1..=8).map(|number| format!("t{number}")).collect();
    let lines: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "true")).collect();
    enqueue_lines(&a, &lines);
    a.dispatch(&["claim", "--count", "8"]).success();
    refs_below(&hub, "refs/dispatch/").iter().for_each(|name| drop(hub.git(&["update-ref", "-d", name])));
    let broken = found(&doctor(&a, &[], 1), "broken");
    // Eight claims and the queue.
    assert!(broken[0].contains("refs/dispatch/claims/p/t1") && broken[0].ends_with(" and 4 more"), "{broken:?}");
}
