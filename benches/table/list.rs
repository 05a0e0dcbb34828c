//! Reading the whole queue: `git dispatch list --json`, without and with the cache.
//!
//! The reference prints the messages of all specs and the text of all notes, whose names it is given, and understands none
//! of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::pair::{cost, pairs, peak};
use crate::scene::{Scene, Size, program};
use crate::{Options, Row};

/// The file that may be deleted at any time.
const CACHE: &str = ".git/dispatch/queue.cache";

const LIST: [&str; 3] = ["list", "--json", "--offline"];

pub(crate) fn rows(options: &Options) {
    let size = Size { tasks: options.scaled(100_000, 100), live: options.scaled(1_000, 10), writers: 20 };
    let scene = Scene::new();
    let hub = scene.hub();
    scene.queue(&hub, size);
    let clone = scene.clone("hub.git", "clone");
    scene.dispatch(&clone, &["list", "--json"]);
    let notes = names_of_notes(&scene, &clone);
    let what = format!("list --json of {} tasks", size.tasks);

    let list = || cost(|| silently(&scene, &clone, program(), &LIST));
    let anew = || {
        let _ = fs::remove_file(clone.join(CACHE));
        list()
    };
    let reference = |_| {
        cost(|| {
            silently(&scene, &clone, "git", &["log", "--format=%B", "refs/dispatch/queue"]);
            let mut command = scene.command(&clone, "git", &["cat-file", "--batch"]);
            command.stdin(fs::File::open(&notes).expect("the names")).stdout(Stdio::null());
            assert!(command.status().expect("git").success());
        })
    };
    Row::ratio(
        format!("{what}, no cache, by git log and cat-file"),
        1.0,
        pairs(options.rounds, |_| anew(), reference),
    )
    .print();
    let mut plain = scene.command(&clone, program(), &LIST);
    let most = peak(plain.stdout(Stdio::null()));
    let _ = fs::remove_file(clone.join(CACHE));
    let most_anew = peak(scene.command(&clone, program(), &LIST).stdout(Stdio::null()));
    // Deleting the cache for the other side must not take it from ours.
    let kept = scene.path("kept.cache");
    let with_cache = |_| {
        if kept.exists() {
            fs::copy(&kept, clone.join(CACHE)).expect("the cache");
        }
        list()
    };
    let keep = || drop(fs::copy(clone.join(CACHE), &kept));
    list();
    keep();
    Row::ratio(
        format!("{what}, nothing changed, by the same without cache"),
        0.1,
        pairs(options.rounds, with_cache, |_| anew()),
    )
    .print();
    scene.change(&hub, size, options.scaled(100, 10) / 2);
    fetch(&scene, &clone);
    Row::ratio(
        format!("{what}, {} changed, by the same without cache", options.scaled(100, 10)),
        0.1,
        pairs(options.rounds, with_cache, |_| anew()),
    )
    .print();
    Row::number(format!("{what}, most memory, no cache"), 200.0, most_anew, "MiB").print();
    Row::number(format!("{what}, most memory, with cache"), 200.0, most, "MiB").print();
}

/// Moves the mirror without the program, which would write its cache anew.
fn fetch(scene: &Scene, clone: &Path) {
    let refspecs = ["+refs/dispatch/*:refs/dispatch/*", "+refs/notes/*:refs/notes/*"];
    scene.git(clone, &["fetch", "--quiet", "origin", refspecs[0], refspecs[1]]);
}

/// Writes the names of all notes into a file, for `git cat-file --batch`.
fn names_of_notes(scene: &Scene, clone: &Path) -> PathBuf {
    let refs = scene.git(clone, &["for-each-ref", "--format=%(refname)", "refs/notes/"]);
    let names: Vec<String> =
        refs.lines().map(|name| scene.git(clone, &["ls-tree", "-r", "--format=%(objectname)", name])).collect();
    let path = scene.path("notes");
    fs::write(&path, names.join("\n") + "\n").expect("the names");
    path
}

fn silently(scene: &Scene, folder: &Path, program: &str, args: &[&str]) {
    let status = scene.command(folder, program, args).stdout(Stdio::null()).status().expect("it can be started");
    assert!(status.success(), "{program} {args:?}");
}
