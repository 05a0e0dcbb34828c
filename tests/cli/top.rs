//! `top`: driven at a terminal of tmux: filtered, a task opened, something done, left; at three sizes; and that the terminal
//! is given back as it was, also on SIGTERM and SIGKILL; what it costs the hub. What keys mean is tested beside the code.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::rig::{Fleet, PATIENT, gated};
use crate::sandbox::{PATIENCE, Sandbox, eventually};
use crate::steps::{refused, shown, tasks};

/// A terminal of 80×24 at a shell.
struct Terminal<'a> {
    sandbox: &'a Sandbox,
    servers: String,
}

impl<'a> Terminal<'a> {
    /// Opens it; nothing where there is no tmux.
    fn open(sandbox: &'a Sandbox, folder: &str) -> Option<Terminal<'a>> {
        let there = Command::new("tmux").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !there.is_ok_and(|status| status.success()) {
            println!("SKIPPED: tmux is not installed");
            return None;
        }
        fs::create_dir(sandbox.root().join("tmux")).unwrap();
        let servers = shown(&sandbox.root().join("tmux")).to_owned();
        let terminal = Terminal { sandbox, servers };
        let folder = sandbox.root().join(folder);
        terminal.tmux(&[
            "new-session",
            "-d",
            "-s",
            "t",
            "-x",
            "80",
            "-y",
            "24",
            "-c",
            shown(&folder),
            "sh -c 'PS1=\"ready> \" sh -i'",
        ]);
        terminal.until(|screen| screen.contains("ready>"));
        Some(terminal)
    }

    fn tmux(&self, args: &[&str]) -> String {
        let environment = [("TMUX_TMPDIR", self.servers.as_str())];
        self.sandbox.repo(".").run("tmux", &environment, &[&["-u"], args].concat()).stdout
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-t", "t"])
    }

    #[track_caller]
    fn until(&self, condition: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let screen = self.screen();
            if condition(&screen) {
                return screen;
            }
            assert!(start.elapsed() < PATIENCE, "still not so after {PATIENCE:?}:\n{screen}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys", "-t", "t"], keys].concat());
    }

    fn size(&self, width: &str, height: &str) {
        self.tmux(&["resize-window", "-t", "t", "-x", width, "-y", height]);
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn a_fleet_is_watched_and_acted_on_from_a_terminal() {
    let fleet = Fleet::new(&["boss", "north"], PATIENT);
    let running = format!("echo 'compiling the world'; {}", gated("slow", "go"));
    fleet.enqueue(&[("bad", "echo oops; exit 3"), ("slow", &running)]);
    let mut node = fleet.watch("north");
    fleet.until("slow", "running");
    fleet.until("bad", "failed");
    let Some(terminal) = Terminal::open(&fleet.sandbox, "boss") else { return };
    terminal.keys(&["git dispatch top", "Enter"]);
    // Problems first; the node with its task; and once it is chosen, what that writes.
    let screen = terminal.until(|screen| screen.contains("north") && screen.contains("slow "));
    let line_of =
        |screen: &str, text: &str| screen.lines().position(|line| line.contains(text)).unwrap_or(usize::MAX);
    assert!(screen.contains("1 failed") && screen.contains("1 running"), "{screen}");
    assert!(line_of(&screen, "p/bad") < line_of(&screen, "p/slow"), "{screen}");
    terminal.keys(&["j"]);
    terminal.until(|screen| screen.contains("OUTPUT of p/slow") && screen.contains("compiling the world"));
    // Filtered.
    terminal.keys(&["/", "bad", "Enter"]);
    terminal.until(|screen| screen.contains("filter: bad") && !screen.contains("p/slow  "));
    // Opened: its spec, its events, its output.
    terminal.keys(&["Enter"]);
    let opened = terminal.until(|screen| screen.contains("EVENTS") && screen.contains("exit code 3"));
    assert!(opened.starts_with("p/bad\n") && opened.contains("SPEC"), "{opened}");
    terminal.keys(&["Escape"]);
    // At three sizes.
    for (width, height) in [("60", "12"), ("140", "40"), ("80", "24")] {
        terminal.size(width, height);
        let screen = terminal
            .until(|screen| screen.lines().count() == height.parse().unwrap_or(0) && screen.contains("p/bad"));
        assert!(screen.lines().all(|line| line.chars().count() <= width.parse().unwrap()), "{screen}");
    }
    // Asked once, and not done for any other key.
    terminal.keys(&["x", "n"]);
    terminal.until(|screen| screen.contains("left as it is"));
    terminal.keys(&["x"]);
    terminal.until(|screen| screen.contains("cancel p/bad for good? y does it"));
    terminal.keys(&["y"]);
    terminal.until(|screen| screen.contains("cancelled p/bad"));
    assert_eq!(tasks(&fleet.clone("boss"))["bad"]["state"], "cancelled");
    // Left: the shell is there as it was, and echoes.
    terminal.keys(&["q"]);
    terminal.until(|screen| screen.trim_end().ends_with("ready>") && !screen.contains("TASK"));
    terminal.keys(&["stty -a | grep -o ' -*echo '; echo still; echo here", "Enter"]);
    let after = terminal.until(|screen| screen.contains("here\nready>"));
    assert!(after.contains(" echo\n") || after.contains(" echo \n"), "{after}");
    fleet.touch("go");
    node.term();
    node.wait(PATIENCE);
}

#[test]
fn the_terminal_is_given_back_when_it_is_told_to_go() {
    let fleet = Fleet::new(&["boss"], PATIENT);
    fleet.enqueue(&[("one", "true")]);
    let Some(terminal) = Terminal::open(&fleet.sandbox, "boss") else { return };
    terminal.keys(&["git-dispatch top & echo $! > ../pid; fg; echo ended $?", "Enter"]);
    terminal.until(|screen| screen.contains("p/one") && screen.contains("pending"));
    let id = fs::read_to_string(fleet.sandbox.root().join("pid")).unwrap();
    fleet.sandbox.repo(".").run("kill", &[], &["-TERM", id.trim()]).success();
    let screen = terminal.until(|screen| screen.contains("ended 143"));
    assert!(!screen.contains("TASK"), "{screen}");
    terminal.keys(&["stty -a | tr ' ' '\\n' | grep -c '^-echo$'; echo asked", "Enter"]);
    terminal.until(|screen| screen.contains("0\nasked"));
}

/// SIGKILL lets nobody tidy up: what stood by does.
#[test]
fn the_terminal_is_given_back_when_it_is_killed() {
    let fleet = Fleet::new(&["boss"], PATIENT);
    fleet.enqueue(&[("one", "true")]);
    let Some(terminal) = Terminal::open(&fleet.sandbox, "boss") else { return };
    let tty = terminal.tmux(&["display-message", "-p", "-t", "t", "#{pane_tty}"]);
    let root = fleet.sandbox.repo(".");
    let is_echoing = || {
        let settings = root.run("stty", &[], &["-F", tty.trim(), "-a"]).success().stdout;
        settings.split([' ', ';', '\n']).any(|word| word == "echo")
    };
    assert!(is_echoing());
    terminal.keys(&["git-dispatch top & echo $! > ../pid; fg; echo ended $?", "Enter"]);
    terminal.until(|screen| screen.contains("p/one") && screen.contains("pending"));
    assert!(!is_echoing());
    let id = fs::read_to_string(fleet.sandbox.root().join("pid")).unwrap();
    root.run("kill", &[], &["-KILL", id.trim()]).success();
    let screen = terminal.until(|screen| screen.contains("fg; echo ended") && !screen.contains("TASK"));
    assert!(!screen.contains("pending"), "{screen}");
    eventually(PATIENCE, is_echoing);
}

/// One fetch each time that a node would fetch, whatever keys are pressed, and nothing else ever.
#[test]
fn the_hub_is_asked_no_more_than_by_a_node() {
    let quick = "[node]\npoll = \"500ms\"\npoll_max = \"500ms\"\nheartbeat = \"1h\"\n";
    let fleet = Fleet::new(&["boss", "north"], quick);
    fleet.enqueue(&[("one", "true"), ("two", "true")]);
    let asked = |file: &str| -> Vec<String> {
        let text = fs::read_to_string(fleet.sandbox.root().join(file)).unwrap_or_default();
        // What git starts itself has the name of that git before its own.
        let name = |line: &str| line.split("\"hierarchy\":\"").nth(1)?.split('"').next().map(str::to_owned);
        let is_of_the_hub = |name: &String| ["fetch", "push", "ls-remote", "pull"].contains(&name.as_str());
        text.lines().filter_map(name).filter(is_of_the_hub).collect()
    };
    let trace = |file: &str| format!("GIT_TRACE2_EVENT={}", shown(&fleet.sandbox.root().join(file)));
    let Some(terminal) = Terminal::open(&fleet.sandbox, "boss") else { return };
    let since = std::time::Instant::now();
    terminal.keys(&[&format!("{} git-dispatch top", trace("top")), "Enter"]);
    terminal.until(|screen| screen.contains("p/one") && screen.contains("p/two"));
    // Keys that only look cost nothing; only the output of what has ended has to be fetched.
    while asked("top").len() < 5 {
        terminal.keys(&["j", "Enter"]);
        terminal.until(|screen| screen.contains("EVENTS"));
        terminal.keys(&["Escape", "/", "o", "Enter", "Escape", "s"]);
        terminal.until(|screen| screen.contains("TASK"));
    }
    let polls = since.elapsed().as_millis() / 500 + 1;
    let counted = asked("top");
    assert!(counted.iter().all(|name| name == "fetch"), "{counted:?}");
    assert!(counted.len() as u128 <= polls, "{} fetches in {polls} polls", counted.len());
    terminal.keys(&["q"]);
    // A node that has nothing to do asks as often, and beats besides.
    let file = fleet.sandbox.root().join("node");
    let environment = [("GIT_TRACE2_EVENT", shown(&file))];
    let mut node = fleet.clone("north").spawn_env(&environment, &["run", "--watch"]);
    eventually(PATIENCE, || asked("node").iter().filter(|name| *name == "fetch").count() >= 5);
    assert!(asked("node").contains(&"push".to_owned()), "{:?}", asked("node"));
    node.term();
    node.wait(PATIENCE);
}

#[test]
fn without_a_terminal_it_names_what_says_the_same() {
    let sandbox = Sandbox::embedded();
    let solo = sandbox.solo();
    let plain = solo.dispatch(&["top"]).code(1);
    assert!(plain.stderr.contains("git dispatch status") && plain.stdout.is_empty(), "{plain}");
    refused(&solo.dispatch(&["top", "--json"]), "dispatch::top::no_terminal", 1);
}
