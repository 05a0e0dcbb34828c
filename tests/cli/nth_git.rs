//! The Nth git call of a round fails: once it does nothing and exits 1, once it does all and exits 1 (the reply is
//! lost). The same commands given again end the round well.
//!
//! Every sixth call in the normal run; all of them, both ways, with `GIT_DISPATCH_TEST_LONG=1`.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::rig::{Fleet, PATIENT, quick, write_specs};
use crate::sandbox::{Out, race};

/// Counts its calls, and spoils one of them.
const WRAPPER: &str = r#"#!/bin/sh
echo . >> "$NTH_COUNT"
if [ "$(wc -l < "$NTH_COUNT")" -ne "$NTH" ]; then exec "$NTH_GIT" "$@"; fi
echo "$@" > "$NTH_COUNT.call"
[ "$NTH_MODE" = lost ] && "$NTH_GIT" "$@" > /dev/null
echo "spoilt by the test" >&2
exit 1
"#;

/// A fleet with the wrapper first on its path.
struct Spoilt {
    fleet: Fleet,
    path: String,
    git: String,
}

impl Spoilt {
    fn new() -> Spoilt {
        let fleet = Fleet::new(&["boss", "n1"], PATIENT);
        let boss = fleet.clone("boss");
        let (path, git) = fleet.wrap_git(WRAPPER);
        write_specs(&boss, &[("a", &quick("a")), ("b", &quick("b"))]);
        Spoilt { fleet, path, git }
    }

    /// Claims, runs, finishes and collects two tasks, whatever comes of it.
    fn round(&self, nth: usize, mode: &str) -> Vec<Out> {
        let count = self.fleet.home("count").display().to_string();
        let nth = nth.to_string();
        let environment = [
            ("PATH", &*self.path),
            ("NTH_GIT", &*self.git),
            ("NTH_COUNT", &*count),
            ("NTH", &*nth),
            ("NTH_MODE", mode),
        ];
        let commands: [(&str, &[&str]); 3] =
            [("boss", &["enqueue", "tasks"]), ("n1", &["run", "--slots", "2"]), ("boss", &["collect"])];
        commands.iter().map(|(clone, args)| self.fleet.clone(clone).dispatch_env(&environment, args)).collect()
    }

    fn calls(&self) -> usize {
        fs::read_to_string(self.fleet.home("count")).unwrap().lines().count()
    }
}

#[test]
fn whichever_git_call_fails_the_same_commands_again_end_well() {
    let whole = Spoilt::new();
    assert!(whole.round(0, "fail").iter().all(|out| out.code == 0));
    let calls = whole.calls();
    assert!(calls > 10, "{calls}");
    let is_long = std::env::var_os("GIT_DISPATCH_TEST_LONG").is_some();
    let mut spoil: Vec<(usize, &str)> = Vec::new();
    for nth in 1..=calls {
        match (is_long, nth % 12) {
            (true, _) => spoil.extend([(nth, "fail"), (nth, "lost")]),
            (false, 0) => spoil.push((nth, "fail")),
            (false, 6) => spoil.push((nth, "lost")),
            _ => {}
        }
    }
    let next = AtomicUsize::new(0);
    race(2, |_| {
        while let Some((nth, mode)) = spoil.get(next.fetch_add(1, Ordering::Relaxed)) {
            one(*nth, mode);
        }
    });
    println!("{} of {calls} git calls of a round spoilt, each healed by giving the commands again", spoil.len());
}

fn one(nth: usize, mode: &str) {
    let spoilt = Spoilt::new();
    let first = spoilt.round(nth, mode);
    let call = fs::read_to_string(spoilt.fleet.home("count.call")).unwrap_or_default();
    let context = || {
        let said: String = first.iter().map(|out| format!("{out}\n")).collect();
        format!("call {nth} ({mode}): git {call}\n{said}")
    };
    let again = spoilt.round(0, mode);
    let ids = ["a".to_owned(), "b".to_owned()];
    let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| spoilt.fleet.check(&ids)));
    if checked.is_err() {
        let said: String = again.iter().map(|out| format!("{out}\n")).collect();
        panic!("{}\nagain:\n{said}", context());
    }
    assert!(again.iter().all(|out| [0, 3].contains(&out.code)), "{}", context());
    assert_eq!((spoilt.fleet.waiting("n1"), spoilt.fleet.waiting("boss")), (0, 0), "{}", context());
}

/// What cannot be taken out of a slot is the only copy of somebody's work.
#[test]
fn work_that_cannot_be_taken_out_of_its_slot_is_kept_there() {
    let spoilt = Spoilt::new();
    let spoils = r#"#!/bin/sh
case "$*" in *--refmap=*HEAD:refs/dispatch-local/results/*) exit 1 ;; esac
exec "$NTH_GIT" "$@"
"#;
    fs::write(spoilt.fleet.home("bin/git"), spoils).unwrap();
    spoilt.fleet.enqueue(&[("a", &quick("a"))]);
    let environment = [("PATH", &*spoilt.path), ("NTH_GIT", &*spoilt.git)];
    let out = spoilt.fleet.clone("n1").dispatch_env(&environment, &["run", "--max", "1"]);
    assert!(out.stderr.contains("its work cannot be taken out of the slot"), "{out}");
    let find =
        spoilt.fleet.clone("n1").run("find", &[], &[spoilt.fleet.home("").to_str().unwrap(), "-name", "a.txt"]);
    assert!(find.stdout.contains("/aside-1-0/clone/a.txt"), "{find}");
    spoilt.fleet.clone("n1").dispatch(&["run"]).success();
    spoilt.fleet.collect_and_check(&["a".to_owned()]);
}
