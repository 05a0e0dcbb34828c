//! Servers that cannot do everything: a whole day on each kind, from the queue to the target.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::rig::{Fleet, HASTY, gated, quick};
use crate::sandbox::{PATIENCE, eventually};
use crate::steps::{merges, refs_below, states};

/// What a hub refuses.
#[derive(Clone, Copy, Default)]
struct Kind {
    /// In its configuration.
    settings: &'static [&'static str],
    /// A whole push for any of these: a shell line that reads the pushed lines and fails.
    refuses: &'static str,
    /// Whether it takes branches only.
    branches_only: bool,
    /// Whether its abilities are tried first.
    probed: bool,
}

const NO_DELETES: &str = "while read old new ref; do case $new in *[!0]*) ;; *) exit 1 ;; esac; done";
const FIVE: &str = "[ $(wc -l) -le 5 ]";
const FORWARD_ONLY: &str = "zero=$(printf %040d 0); while read old new ref; do case $new in *[!0]*) ;; *) exit 1 ;; esac; \
    [ $old = $zero ] || [ \"$(git merge-base $old $new)\" = $old ] || exit 1; done";
const HEADS: &str = "while read old new ref; do case $ref in refs/heads/*) ;; *) exit 1 ;; esac; done";
const WORST: &str = "zero=$(printf %040d 0); n=0; while read old new ref; do n=$((n+1)); \
    case $ref in refs/heads/*) ;; *) exit 1 ;; esac; case $new in *[!0]*) ;; *) exit 1 ;; esac; \
    [ $old = $zero ] || [ \"$(git merge-base $old $new)\" = $old ] || exit 1; done; [ $n -le 5 ]";

impl Kind {
    fn fleet(self, names: &[&str]) -> Fleet {
        let prefix = if self.branches_only { "ref_prefix = \"refs/heads/dispatch/\"\n" } else { "" };
        let fleet = Fleet::new(names, &format!("{prefix}{HASTY}"));
        let hub = fleet.sandbox.hub();
        for setting in self.settings {
            hub.git(&["config", setting, if setting.contains("advertise") { "false" } else { "true" }]);
        }
        if !self.refuses.is_empty() {
            let file = hub.path().join("hooks/pre-receive");
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, format!("#!/bin/sh\n{}\n", self.refuses)).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        if self.probed {
            for name in names {
                fleet.clone(name).dispatch(&["doctor", "--probe"]).success();
            }
        }
        fleet
    }

    fn day(self) {
        whole_day(&self.fleet(&FLEET), self.branches_only);
    }
}

/// Who takes part in a day.
pub(crate) const FLEET: [&str; 3] = ["boss", "n1", "n2"];

/// Enqueue, run, collect, cancel, retry, takeover; each task is merged once and run by one node at a time.
pub(crate) fn whole_day(fleet: &Fleet, branches_only: bool) {
    let boss = fleet.clone("boss");
    let long = format!("echo lost >> $HOME/ran; {}", gated("lost", "go"));
    let quick: Vec<(&str, String)> = ["a", "b", "c", "d", "e", "f"].map(|id| (id, quick(id))).to_vec();
    let tasks: Vec<(&str, &str)> = quick.iter().map(|(id, line)| (*id, line.as_str())).collect();
    fleet.enqueue(&tasks);
    boss.dispatch(&["cancel", "c"]).success();
    assert_eq!(states(&boss)[2], "c cancelled");
    fleet.clone("n1").dispatch(&["run", "--slots", "3"]).success();
    boss.dispatch(&["collect"]).success();
    assert_eq!(states(&boss), ["a merged", "b merged", "c cancelled", "d merged", "e merged", "f merged"]);
    // Reopened, called off again, and reopened once more.
    boss.dispatch(&["retry", "c"]).success();
    assert_eq!(states(&boss)[2], "c pending");
    boss.dispatch(&["cancel", "c"]).success();
    boss.dispatch(&["retry", "c"]).success();
    fleet.clone("n1").dispatch(&["run"]).success();
    boss.dispatch(&["collect"]).success();
    // A node that dies at work is followed by another.
    fleet.enqueue(&[&tasks[..], &[("lost", &long)]].concat());
    let mut node = fleet.watch("n1");
    eventually(PATIENCE, || fleet.home("lost.began").exists());
    node.kill9();
    let mut other = fleet.watch("n2");
    let lines = || fs::read_to_string(fleet.home("ran")).unwrap_or_default().lines().count();
    eventually(PATIENCE, || lines() == 2);
    fleet.touch("go");
    let done = || states(&boss).last().is_some_and(|last| last == "lost completed");
    eventually(PATIENCE, done);
    other.term();
    other.wait(PATIENCE);
    boss.dispatch(&["collect"]).success();
    check(fleet, branches_only);
}

fn check(fleet: &Fleet, branches_only: bool) {
    let (boss, hub) = (fleet.clone("boss"), fleet.sandbox.hub());
    let expected = ["a", "b", "c", "d", "e", "f", "lost"].map(|id| format!("{id} merged"));
    assert_eq!(states(&boss), expected);
    assert_eq!(merges(&hub).len(), expected.len(), "{:?}", merges(&hub));
    assert_eq!(hub.git(&["show", "main:lost.txt"]), "lost");
    let lost = &fleet.list()["lost"];
    assert_eq!((lost["attempt"].as_u64(), lost["node"].as_str()), (Some(2), Some("n2")), "{lost}");
    // Whatever stays of it is not taken for work.
    fleet.clone("n1").dispatch(&["run"]).code(3);
    assert_eq!(states(&boss), expected);
    if branches_only {
        assert_eq!(refs_below(&hub, "refs/"), refs_below(&hub, "refs/heads/"));
    }
    boss.dispatch(&["gc", "--keep", "0s"]).success();
    let out = boss.dispatch(&["doctor"]);
    assert!(out.code == 0, "{out}");
}

#[test]
fn all_of_it_at_once_with_branches_only() {
    let settings = &["receive.advertiseAtomic"];
    Kind { settings, refuses: WORST, branches_only: true, probed: false }.day();
}

/// Each refusal for itself, found out on the way or by a probe.
#[test]
fn each_kind_for_itself() {
    if std::env::var_os("GIT_DISPATCH_TEST_LONG").is_none() {
        return;
    }
    let deny = &["receive.denyDeletes", "receive.denyNonFastForwards"];
    let kinds = [
        Kind { refuses: FIVE, ..Kind::default() },
        Kind { refuses: FORWARD_ONLY, ..Kind::default() },
        Kind { settings: deny, branches_only: true, ..Kind::default() },
        Kind { settings: deny, ..Kind::default() },
        Kind { refuses: HEADS, branches_only: true, ..Kind::default() },
        Kind { refuses: NO_DELETES, ..Kind::default() },
        Kind { refuses: NO_DELETES, probed: true, ..Kind::default() },
        Kind { settings: &["receive.advertiseAtomic"], ..Kind::default() },
        Kind { settings: &["receive.advertiseAtomic"], refuses: WORST, branches_only: true, probed: true },
    ];
    let count = kinds.len();
    kinds.into_iter().for_each(Kind::day);
    println!("{count} kinds of servers");
}
