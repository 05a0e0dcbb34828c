//! Reserving: two who do it at once, a death between the push and the file, and more tasks than are pushed one by one.

use crate::rig::{Fleet, quick};
use crate::sandbox::{Out, PATIENCE, eventually, race};
use crate::steps::{each, refs_below, refused, task, text};

use super::{Gap, queue};

/// Kills whoever starts the git command `$DIE_AT`, once, and does what it was asked for.
const DEADLY: &str = r#"#!/bin/sh
case " $* " in *" $DIE_AT "*) mkdir "$DIE_ONCE" 2> /dev/null && kill -9 "$PPID" ;; esac
exec "$DIE_GIT" "$@"
"#;

/// A fleet of one clone, whose commands can be made to die.
struct Mortal {
    fleet: Fleet,
    path: String,
    git: String,
}

impl Mortal {
    fn new() -> Mortal {
        let fleet = Fleet::new(&["boss"], "");
        let (path, git) = fleet.wrap_git(DEADLY);
        Mortal { fleet, path, git }
    }

    fn queue(&self, letter: char, count: usize) {
        let tasks: Vec<(String, String)> =
            (0..count).map(|at| format!("{letter}{at:03}")).map(|id| (id.clone(), quick(&id))).collect();
        self.fleet.enqueue(&tasks.iter().map(|(id, script)| (id.as_str(), script.as_str())).collect::<Vec<_>>());
    }

    /// Reserves what is there, and dies as soon as it starts this git command.
    fn dies_at(&self, command: &str, args: &[&str]) {
        let once = self.fleet.home(command).display().to_string();
        let environment =
            [("PATH", &*self.path), ("DIE_GIT", &*self.git), ("DIE_AT", command), ("DIE_ONCE", &*once)];
        let out = self.fleet.clone("boss").dispatch_env(&environment, args);
        assert_ne!(out.code, 0, "{out}");
        assert!(self.fleet.home(command).exists(), "{out}");
    }

    fn create(&self, args: &[&str]) -> Out {
        self.fleet.clone("boss").dispatch(args).success()
    }

    fn claims(&self) -> Vec<String> {
        let all = self.fleet.sandbox.hub().git(&[
            "for-each-ref",
            "--format=%(refname) %(objectname)",
            "refs/dispatch/claims/",
        ]);
        all.lines().map(str::to_owned).collect()
    }
}

const CREATE: [&str; 6] = ["bundle", "create", "../carried", "--for", "vault", "--json"];

#[test]
fn two_at_once_reserve_each_task_once() {
    for nodes in [["vault-0", "vault-1"], ["vault", "vault"]] {
        let gap = Gap::new();
        let ids: Vec<String> = (0..12).map(|number| format!("t{number:02}")).collect();
        queue(&gap.boss, &ids.iter().map(String::as_str).collect::<Vec<_>>());
        let made = race(2, |at| {
            let (clone, file) = (gap.sandbox.repo(["boss", "n1"][at]), format!("../out-{at}"));
            clone.dispatch(&["bundle", "create", &file, "--for", nodes[at], "--json"]).success().json()
        });
        let mut reserved = Vec::new();
        for (at, made) in made.iter().enumerate() {
            for id in made["reserved"].as_array().unwrap().iter().map(text) {
                let holder = text(&task(&gap.boss, id.strip_prefix("p/").unwrap())["node"]);
                assert_eq!(holder, nodes[at], "{id}");
                reserved.push(id);
            }
            let file = gap.path(&format!("out-{at}"));
            assert_eq!(file.exists(), !each(&made["tasks"], "task").is_empty(), "{made}");
        }
        reserved.sort();
        assert_eq!(reserved, ids.iter().map(|id| format!("p/{id}")).collect::<Vec<_>>(), "each once: {made:?}");
    }
}

#[test]
fn of_two_who_write_one_file_at_once_one_does_and_it_holds_what_is_reserved() {
    for nodes in [["vault-0", "vault-1"], ["vault", "vault"]] {
        let gap = Gap::new();
        queue(&gap.boss, &["a", "b", "c", "d", "e", "f"]);
        let outs = race(2, |at| {
            let clone = gap.sandbox.repo(["boss", "n1"][at]);
            clone.dispatch(&["bundle", "create", "../one", "--for", nodes[at], "--count", "3", "--json"])
        });
        let wrote: Vec<&str> = outs
            .iter()
            .zip(nodes)
            .filter(|(out, _)| out.code == 0 && !out.json()["file"].is_null())
            .map(|(_, node)| node)
            .collect();
        assert_eq!(wrote.len(), 1, "{outs:?}");
        let heads = gap.boss.git(&["bundle", "list-heads", "../one"]);
        assert!(heads.contains(&format!("/work/{}/", wrote[0])), "{heads}");
        let carried: Vec<&str> = heads.lines().filter(|line| line.contains("refs/dispatch/claims/")).collect();
        assert_eq!(carried.len(), 3, "{heads}");
        let there = gap.hub.git(&["for-each-ref", "--format=%(objectname) %(refname)", "refs/dispatch/claims/"]);
        assert!(carried.iter().all(|claim| there.contains(claim)), "{carried:?} is not all on the hub: {there}");
    }
}

#[test]
fn killed_between_the_push_and_the_file_the_next_one_packs_them() {
    // The look after the push; then while it is packed and pushed at once.
    for command in ["ls-remote", "pack-objects"] {
        let mortal = Mortal::new();
        mortal.queue('a', 3);
        mortal.dies_at(command, &CREATE);
        let claims = mortal.claims();
        let file = mortal.fleet.sandbox.root().join("carried");
        assert!(!file.exists(), "nothing to carry");
        assert!(claims.len() == 3 || command == "pack-objects" && claims.is_empty(), "{claims:?}");
        let made = mortal.create(&CREATE).json();
        assert_eq!(each(&made["tasks"], "task"), ["p/a000", "p/a001", "p/a002"]);
        if command == "ls-remote" {
            assert_eq!(
                (&made["reserved"], mortal.claims()),
                (&serde_json::json!([]), claims),
                "not reserved again"
            );
        }
        let carried = mortal.fleet.clone("boss").git(&["bundle", "list-heads", "../carried"]);
        for claim in mortal.claims() {
            let (name, id) = claim.split_once(' ').unwrap();
            assert!(carried.contains(&format!("{id} {name}")), "{claim} is not in\n{carried}");
        }
        let beside = std::fs::read_dir(mortal.fleet.sandbox.root()).unwrap().flatten();
        let beside: Vec<_> =
            beside.filter(|entry| entry.file_name().to_string_lossy().contains("partial")).collect();
        assert!(file.exists() && beside.is_empty(), "{beside:?}");
    }
}

#[test]
fn many_are_one_push_from_a_folder_that_is_gone_afterwards() {
    const MANY: usize = 110;
    let mortal = Mortal::new();
    let (boss, hub) = (mortal.fleet.clone("boss"), mortal.fleet.sandbox.hub());
    let area = boss.path().join(".git/dispatch/push");
    let staged = || {
        let entries = std::fs::read_dir(&area).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let refs = boss.git(&["for-each-ref", "refs/heads", "refs/remotes", "refs/tags"]);

    mortal.queue('a', MANY);
    mortal.dies_at("push", &CREATE);
    // git outlives whoever started it.
    eventually(PATIENCE, || mortal.claims().len() == MANY);
    assert_eq!(staged().len(), 1, "what stood ready is left behind: {:?}", staged());
    std::fs::create_dir(area.join("own")).unwrap();
    let claims = mortal.claims();
    let made = mortal.create(&CREATE).json();
    assert_eq!((each(&made["tasks"], "task").len(), mortal.claims()), (MANY, claims), "none reserved twice");

    mortal.queue('b', MANY);
    let (out, trace) = boss.traced(&["bundle", "create", "../next", "--for", "vault", "--json"]);
    let made = out.success().json();
    assert_eq!((each(&made["tasks"], "task").len(), mortal.claims().len()), (2 * MANY, 2 * MANY));
    assert_eq!((trace.count("push"), trace.count("fetch")), (1, 1), "{:?}", trace.commands());
    assert_eq!(staged(), ["own"], "of the dead and of this one nothing is left");
    assert_eq!(boss.git(&["for-each-ref", "refs/heads", "refs/remotes", "refs/tags"]), refs);
    assert_eq!(boss.git(&["for-each-ref", "refs/new", "refs/old"]), "");
    assert_eq!(hub.git(&["for-each-ref", "refs/new", "refs/old", "refs/dispatch-local"]), "");
    assert_eq!(
        boss.git(&["config", "--get-regexp", "^remote\\."]).lines().count(),
        2,
        "the settings were for one push"
    );
    mortal.fleet.sound();
}

#[test]
fn nothing_is_reserved_for_a_file_that_cannot_be() {
    let gap = Gap::new();
    queue(&gap.boss, &["a"]);
    let out = gap.boss.dispatch(&["bundle", "create", "../nowhere/out", "--for", "vault", "--json"]);
    refused(&out, "dispatch::bundle::unreadable", 2);
    assert_eq!(refs_below(&gap.hub, "refs/dispatch/claims/"), [] as [&str; 0]);
}
