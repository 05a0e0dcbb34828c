//! Other programs on the hub's side, and older ones on both: JGit, dulwich, and the oldest and the newest git on the `PATH`. A
//! whole day on each, after a probe that says what it can do. In the long part alone; what is not installed is named.
//!
//! `GIT_DISPATCH_TEST_DULWICH` names dulwich' program where it is not on the `PATH`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::servers::{await_port, executable, free_port, point};
use crate::kinds::{FLEET, whole_day};
use crate::rig::{Fleet, HASTY};
use crate::sandbox::{Running, Sandbox};
use crate::steps::shown;

/// Where Debian has JGit's parts; its own script names too few of them.
const JAVA: &str = "/usr/share/java/*";

/// What serves the hub.
enum Server {
    /// `jgit daemon`.
    JGit,
    /// `dulwich daemon`, by its program.
    Dulwich(PathBuf),
    /// `dulwich web-daemon`.
    DulwichWeb(PathBuf),
    /// `git daemon` of a git in this folder.
    Git(PathBuf),
}

fn is_long() -> bool {
    std::env::var_os("GIT_DISPATCH_TEST_LONG").is_some()
}

/// All programs of a name on the `PATH`.
fn programs(name: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).filter(|file| file.is_file()).collect()
}

fn dulwich() -> Option<PathBuf> {
    let said = std::env::var_os("GIT_DISPATCH_TEST_DULWICH").map(PathBuf::from);
    said.or_else(|| programs("dulwich").into_iter().next())
}

/// Makes a fleet whose hub this serves; who is asked for `git` is told.
fn fleet(server: &Server, client: Option<&Path>) -> (Fleet, Running) {
    let mut fleet = Fleet::new(&FLEET, HASTY);
    if let Some(git) = client {
        first_on_the_path(&mut fleet.sandbox, git);
    }
    let (running, url) = server.start(&fleet.sandbox);
    let hub = shown(fleet.sandbox.hub().path()).to_owned();
    FLEET.iter().for_each(|name| point(&fleet.clone(name), &hub, &url));
    (fleet, running)
}

/// Lets this program be what is found as `git`.
fn first_on_the_path(sandbox: &mut Sandbox, git: &Path) {
    let folder = sandbox.root().join("home/client");
    std::fs::create_dir_all(&folder).unwrap();
    executable(&folder.join("git"), &format!("#!/bin/sh\nexec '{}' \"$@\"\n", shown(git)));
    let path = sandbox.repo(".").run("sh", &[], &["-c", "echo \"$PATH\""]).success().stdout;
    sandbox.set("PATH", &format!("{}:{}", folder.display(), path.trim()));
}

impl Server {
    fn start(&self, sandbox: &Sandbox) -> (Running, String) {
        // dulwich reads whole paths, and looks that they are below its folder.
        let (port, root) = (free_port(), shown(sandbox.root()).to_owned());
        let (at, hub) = (port.to_string(), shown(sandbox.hub().path()).to_owned());
        let here = sandbox.repo(".");
        let (running, url) = match self {
            Server::JGit => {
                let args =
                    ["daemon", "--enable=receive-pack", "--export-all", "--listen=127.0.0.1", "--port", &at, &root];
                let running = here.start("jgit", &[("JGIT_CLASSPATH", JAVA)], &args);
                (running, format!("git://127.0.0.1:{port}/hub.git"))
            }
            Server::Dulwich(program) => {
                let running = here.start(shown(program), &[], &["daemon", "-l", "127.0.0.1", "-p", &at, &root]);
                (running, format!("git://127.0.0.1:{port}{hub}"))
            }
            Server::DulwichWeb(program) => {
                let running = here.start(shown(program), &[], &["web-daemon", "-l", "127.0.0.1", "-p", &at, &root]);
                (running, format!("http://127.0.0.1:{port}{hub}"))
            }
            Server::Git(program) => {
                let exec = here.run(shown(program), &[], &["--exec-path"]).success().stdout.trim().to_owned();
                let path = format!("{}:{exec}", program.parent().unwrap().display());
                let (base, port) = (format!("--base-path={root}"), format!("--port={at}"));
                let args = ["--export-all", "--enable=receive-pack", "--listen=127.0.0.1", &port, &base];
                let running = here.start(&format!("{exec}/git-daemon"), &[("PATH", &path)], &args);
                (running, format!("git://127.0.0.1:{at}/hub.git"))
            }
        };
        await_port(port);
        (running, url)
    }

    /// Plays a day and says what the probe found.
    fn day(&self, what: &str, client: Option<&Path>) -> Value {
        let (fleet, _server) = fleet(self, client);
        let doctor = fleet.clone("boss").dispatch(&["doctor", "--probe", "--json"]);
        assert!(doctor.code == 0, "{what}: {doctor}");
        let found = doctor.json()["remote"]["abilities"].clone();
        println!("{what}: {found}");
        whole_day(&fleet, false);
        println!("{what}: a whole day, each task merged once");
        found
    }
}

#[test]
fn jgit_serves_a_whole_day() {
    if !is_long() {
        return;
    }
    if programs("jgit").is_empty() {
        return println!("JGit is skipped: no jgit is installed (package jgit-cli)");
    }
    let found = Server::JGit.day("jgit daemon", None);
    assert_eq!(found["atomic"], json!(true), "{found}");
}

#[test]
fn dulwich_serves_a_whole_day() {
    if !is_long() {
        return;
    }
    let Some(program) = dulwich() else {
        return println!(
            "dulwich is skipped: not on the PATH, nor named by GIT_DISPATCH_TEST_DULWICH (pip install dulwich)"
        );
    };
    Server::Dulwich(program.clone()).day("dulwich daemon", None);
    Server::DulwichWeb(program).day("dulwich web-daemon", None);
}

/// The version of a git, as numbers.
fn version(sandbox: &Sandbox, git: &Path) -> Vec<u32> {
    let said = sandbox.repo(".").run(shown(git), &[], &["--version"]).success().stdout;
    let number = said.split_whitespace().nth(2).unwrap_or_default();
    number.split('.').map_while(|part| part.parse().ok()).collect()
}

#[test]
fn the_oldest_and_the_newest_git_serve_each_other() {
    if !is_long() {
        return;
    }
    let sandbox = Sandbox::bare();
    let mut all: Vec<(Vec<u32>, PathBuf)> = programs("git")
        .into_iter()
        .filter(|file| !is_script(file))
        .map(|file| (version(&sandbox, &file), file))
        .collect();
    all.sort();
    let (Some(old), Some(new)) = (all.first(), all.last()) else { panic!("no git") };
    if old.0 == new.0 {
        return println!("an older git is skipped: only {:?} is on the PATH", old.0);
    }
    for (server, client) in [(old, new), (new, old), (old, old)] {
        let what = format!("git {:?} behind, git {:?} before", server.0, client.0);
        let found = Server::Git(server.1.clone()).day(&what, Some(&client.1));
        assert_eq!(
            (&found["atomic"], &found["deletes"], &found["swap"]),
            (&json!(true), &json!(true), &json!(true))
        );
    }
}

/// A script that stands for git chooses one by itself.
fn is_script(file: &Path) -> bool {
    std::fs::read(file).is_ok_and(|bytes| bytes.starts_with(b"#!"))
}
