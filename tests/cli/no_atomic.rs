//! Hubs that do not take atomic pushes: claims, target and what was mended go one after the other, and whatever is cut off
//! in between is mended by the next collect.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::rig::{Fleet, PATIENT, quick, write_specs};
use crate::sandbox::{Out, Repo, race};
use crate::steps::{merges, refs_below, refused, states};

/// Whoever resolves conflicts here takes both sides' lines.
const MENDER: &str = "[executors.mender]\nkind = \"command\"\n\
    command = [\"sh\", \"-c\", \"sed -i '/^[<=>|]\\\\{7\\\\}/d' same.txt\"]\n[collect]\nconflict_executor = \"mender\"\n";

/// Kills whoever pushes `$CUT_REF`, before it is pushed or after.
const WRAPPER: &str = r#"#!/bin/sh
case "$*" in
*push*--dry-run*|*push*--atomic*) exec "$CUT_GIT" "$@" ;;
*push*":$CUT_REF "*|*push*":$CUT_REF") ;;
*) exec "$CUT_GIT" "$@" ;;
esac
[ "$CUT" = after ] && "$CUT_GIT" "$@" > /dev/null
kill -9 $PPID
"#;

/// A fleet on such a hub, with the wrapper for whoever asks for it.
struct Cut {
    fleet: Fleet,
    path: String,
    git: String,
}

impl Cut {
    fn new() -> Cut {
        let fleet = Fleet::new(&["boss", "n1"], &format!("{PATIENT}{MENDER}"));
        fleet.sandbox.hub().git(&["config", "receive.advertiseAtomic", "false"]);
        let (path, git) = fleet.wrap_git(WRAPPER);
        Cut { fleet, path, git }
    }

    fn boss(&self) -> Repo {
        self.fleet.clone("boss")
    }

    /// Two tasks are done; with `conflict` they write one file.
    fn done(&self, conflict: bool) {
        let line = |id: &str| if conflict { format!("echo {id} > same.txt; {}", quick(id)) } else { quick(id) };
        write_specs(&self.boss(), &[("a", &line("a")), ("b", &line("b"))]);
        self.boss().dispatch(&["enqueue", "tasks"]).success();
        self.fleet.clone("n1").dispatch(&["run", "--slots", "2"]).success();
    }

    /// Collects, and dies at the push of `name`.
    fn collect_cut(&self, when: &str, name: &str) -> Out {
        let environment = [("PATH", &*self.path), ("CUT_GIT", &*self.git), ("CUT", when), ("CUT_REF", name)];
        self.boss().dispatch_env(&environment, &["collect"]).code(137)
    }
}

fn ids() -> [String; 2] {
    ["a".to_owned(), "b".to_owned()]
}

#[test]
fn what_is_merged_goes_one_after_the_other() {
    let cut = Cut::new();
    cut.done(false);
    let out = cut.boss().dispatch(&["collect"]).success();
    assert!(out.stderr.is_empty() || !out.stderr.contains("refuse"), "{out}");
    cut.fleet.check(&ids());
}

#[test]
fn cut_off_before_the_target_the_next_collect_merges_once() {
    let cut = Cut::new();
    cut.done(false);
    let before = cut.fleet.sandbox.hub().git(&["rev-parse", "main"]);
    cut.collect_cut("before", "refs/heads/main");
    let hub = cut.fleet.sandbox.hub();
    assert_eq!(hub.git(&["rev-parse", "main"]), before, "the target comes after the claims");
    assert_eq!(
        (cut.fleet.tip("a"), cut.fleet.tip("b")),
        ("merged p/a on n1".to_owned(), "merged p/b on n1".to_owned())
    );
    assert_eq!(refs_below(&hub, "refs/notes/dispatch-sealed"), Vec::<String>::new(), "nothing is sealed");
    cut.boss().dispatch(&["collect"]).success();
    cut.fleet.check(&ids());
}

#[test]
fn cut_off_after_the_target_the_next_collect_seals() {
    let cut = Cut::new();
    cut.done(false);
    cut.collect_cut("after", "refs/heads/main");
    assert_eq!(merges(&cut.fleet.sandbox.hub()).len(), 2);
    cut.boss().dispatch(&["collect"]).success();
    cut.fleet.check(&ids());
}

#[test]
fn a_repair_that_is_cut_off_anywhere_lands_with_what_it_mends() {
    for (when, name) in [
        ("before", "refs/heads/main"),
        ("after", "refs/heads/main"),
        ("before", "refs/dispatch/claims/p/b"),
        ("after", "refs/dispatch/claims/p/b"),
    ] {
        let cut = Cut::new();
        cut.done(true);
        cut.boss().dispatch(&["collect"]).code(4);
        cut.fleet.clone("n1").dispatch(&["run"]).success();
        cut.collect_cut(when, name);
        cut.boss().dispatch(&["collect"]).success();
        assert_eq!(states(&cut.boss()), ["a merged", "b merged", "b-repair-1 merged"], "{when} {name}");
        let hub = cut.fleet.sandbox.hub();
        assert_eq!(hub.git(&["show", "main:same.txt"]).lines().count(), 2);
        assert_eq!(merges(&hub), ["Merge p/b-repair-1: Resolve the conflict of p/b with main", "Merge p/a: Do a"]);
        assert_eq!(refs_below(&hub, "refs/dispatch/claims"), Vec::<String>::new());
    }
}

#[test]
fn a_target_that_is_refused_leaves_nothing_half_done() {
    let cut = Cut::new();
    cut.done(false);
    let hook = cut.fleet.sandbox.hub().path().join("hooks/update");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\n[ \"$1\" != refs/heads/main ] || { echo main is protected >&2; exit 1; }\n")
        .unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let error = refused(&cut.boss().dispatch(&["collect", "--json"]), "dispatch::collect::refused", 1);
    assert!(error.to_string().contains("main is protected"), "{error}");
    assert_eq!(states(&cut.boss()), ["a completed", "b completed"]);
    cut.boss().dispatch(&["collect", "--into", "integration/x"]).code(1);
    fs::remove_file(&hook).unwrap();
    cut.boss().dispatch(&["collect"]).success();
    cut.fleet.check(&ids());
}

#[test]
fn two_collectors_merge_each_task_once() {
    let cut = Cut::new();
    cut.done(false);
    race(2, |nth| cut.fleet.clone(["boss", "n1"][nth]).dispatch(&["collect"]));
    cut.boss().dispatch(&["collect"]).success();
    cut.fleet.check(&ids());
}
