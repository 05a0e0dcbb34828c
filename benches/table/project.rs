//! A project of many small files whose tasks each change a few of them, made and done as a user would.
//!
//! Owns what the parts on collecting and bundling have alike; what is measured is each part's own.

use std::fs;
use std::path::{Path, PathBuf};

use crate::scene::{Scene, program};

/// Makes `hub.git` with files of twenty lines.
pub(crate) fn make(scene: &Scene, files: usize) -> PathBuf {
    let text = |number| (0..20).map(move |line| format!("line {line} of file {number}\n")).collect::<String>();
    let configuration = ("git-dispatch.toml".to_owned(), "project = \"p\"\n".to_owned());
    scene.hub_of((0..files).map(|number| (path(number), text(number))).chain([configuration]))
}

/// Writes a spec for each of `tasks`, which changes a line in `each` files of its own, and returns their folder.
pub(crate) fn specs(scene: &Scene, tasks: usize, each: usize, files: usize) -> PathBuf {
    let folder = scene.path("specs");
    fs::create_dir_all(&folder).expect("a folder");
    for task in 0..tasks {
        let change = |at| format!("sed -i 's/line 7/changed by {task}/' {}", path((task * each + at) % files));
        let run = (0..each).map(change).collect::<Vec<_>>().join("; ");
        let spec = format!("---\nrun: \"{run}\"\n---\n# Task {task}\n");
        fs::write(folder.join(format!("t{task:04}.md")), spec).expect("a spec");
    }
    folder
}

/// A fresh copy of the hub with a clone of it below `folder`, as both stand in `from`.
pub(crate) fn copy_of(scene: &Scene, from: &Path, folder: &Path) -> PathBuf {
    fs::create_dir_all(folder).expect("a folder");
    for part in ["hub.git", "clone"] {
        scene.run(from, "cp", &["-R", part, &folder.join(part).to_string_lossy()]);
    }
    let clone = folder.join("clone");
    scene.git(&clone, &["remote", "set-url", "origin", &folder.join("hub.git").to_string_lossy()]);
    clone
}

/// Runs the program without a look at what it prints.
pub(crate) fn dispatch(scene: &Scene, folder: &Path, args: &[&str]) {
    scene.run(folder, program(), args);
}

fn path(number: usize) -> String {
    format!("src/part{:02}/group{}/file{number:05}.txt", number % 50, number % 7)
}
