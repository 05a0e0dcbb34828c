//! Owns the twenty ways in which a hub misbehaves: how each begins and how it ends. What then becomes of an operation is the
//! table's to say.

use std::fs;

use super::day::Day;
use super::servers::{Served, Transport, executable};
use crate::sandbox::Repo;

/// All of them, those that take longest first.
pub(crate) const FAULTS: [&str; 20] = [
    "lands-late",
    "hangs",
    "late",
    "dropped",
    "cut",
    "rejects",
    "no-atomic",
    "no-deletes",
    "heads-only",
    "five-refs",
    "vetoed",
    "too-large",
    "401",
    "403",
    "429",
    "503",
    "restored",
    "empty-ref",
    "stale-lock",
    "away",
];

/// Locks that somebody who was killed left on the hub: on each ref that an operation here moves.
const LOCKED: [&str; 7] = [
    "refs/dispatch/queue",
    "refs/dispatch/claims/p/c",
    "refs/dispatch/claims/p/f",
    "refs/dispatch/claims/p/m",
    "refs/dispatch/claims/p/t",
    "refs/dispatch/nodes/node",
    "refs/heads/main",
];

/// What the hook that is called once for each ref says no to.
const VETO: &str = "case $1 in refs/heads/task/*) echo 'no branches of tasks here' >&2; exit 1 ;; esac";
const NO_DELETES: &str = "case $3 in *[!0]*) ;; *) echo 'nothing is deleted here' >&2; exit 1 ;; esac";
const HEADS_ONLY: &str = "case $1 in refs/heads/*) ;; *) echo 'branches only' >&2; exit 1 ;; esac";
/// The same for the hook that is given all refs at once.
const REJECT: &str = "cat > /dev/null; echo 'no thanks' >&2; exit 1";
const FIVE_REFS: &str = "[ $(wc -l) -le 5 ] || { echo 'five refs a push' >&2; exit 1; }";

/// Lets the hub misbehave.
pub(crate) fn begin(fault: &str, day: &Day, served: &Served, transport: Transport) {
    let hub = day.sandbox.hub();
    match fault {
        "lands-late" | "hangs" | "late" | "dropped" | "cut" => served.misbehave(fault),
        // Only the web knows numbers; elsewhere whoever asks is turned away at the door.
        "401" | "403" | "429" | "503" => {
            served.misbehave(if transport == Transport::Http { fault } else { "forbidden" })
        }
        "rejects" => hook(&hub, "pre-receive", REJECT),
        "five-refs" => hook(&hub, "pre-receive", FIVE_REFS),
        "no-deletes" => hook(&hub, "update", NO_DELETES),
        "heads-only" => hook(&hub, "update", HEADS_ONLY),
        "vetoed" => hook(&hub, "update", VETO),
        "no-atomic" => drop(hub.git(&["config", "receive.advertiseAtomic", "false"])),
        "too-large" => drop(hub.git(&["config", "receive.maxInputSize", "1"])),
        "restored" => swap(day, "old.git", "kept.git"),
        "away" => fs::rename(hub.path(), day.sandbox.root().join("kept.git")).unwrap(),
        "empty-ref" => hub.write("refs/dispatch/claims/p/zzz", ""),
        "stale-lock" => LOCKED.iter().for_each(|name| hub.write(&format!("{name}.lock"), "")),
        _ => panic!("no fault is called {fault}"),
    }
}

/// Mends the hub.
pub(crate) fn end(fault: &str, day: &Day, served: &Served) {
    let hub = day.sandbox.hub();
    let remove = |name: &str| fs::remove_file(hub.path().join(name)).unwrap();
    served.misbehave("");
    match fault {
        "lands-late" => served.land(),
        "rejects" | "five-refs" => remove("hooks/pre-receive"),
        "no-deletes" | "heads-only" | "vetoed" => remove("hooks/update"),
        "no-atomic" => drop(hub.git(&["config", "--unset", "receive.advertiseAtomic"])),
        "too-large" => drop(hub.git(&["config", "--unset", "receive.maxInputSize"])),
        "restored" => swap(day, "kept.git", "old.git"),
        "away" => fs::rename(day.sandbox.root().join("kept.git"), hub.path()).unwrap(),
        "empty-ref" => remove("refs/dispatch/claims/p/zzz"),
        "stale-lock" => LOCKED.iter().for_each(|name| remove(&format!("{name}.lock"))),
        _ => {}
    }
}

/// Puts another copy in the hub's place, and keeps the hub under a name.
fn swap(day: &Day, other: &str, kept: &str) {
    let at = |name: &str| day.sandbox.root().join(name);
    fs::rename(at("hub.git"), at(kept)).unwrap();
    fs::rename(at(other), at("hub.git")).unwrap();
}

fn hook(hub: &Repo, name: &str, text: &str) {
    fs::create_dir_all(hub.path().join("hooks")).unwrap();
    let (new, hook) = (hub.path().join("hooks/new"), hub.path().join("hooks").join(name));
    executable(&new, &format!("#!/bin/sh\n{text}\n"));
    fs::rename(new, hook).unwrap();
}
