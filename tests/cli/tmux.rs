//! Agents in tmux sessions: a stand-in that behaves as badly as real ones do, on a real server of its own. Without tmux
//! these tests say that they were skipped.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::sandbox::{PATIENCE, Repo, Running, Sandbox, eventually};
use crate::steps::{enqueue, file, refused, shown, states, task, text};

/// Shows a prompt, takes a bracketed paste, prints that there is one, swallows the first Enter after it, then works:
/// `$HOME/<id>.sh` where there is one, else a file and a commit. Between tasks it stands at its prompt.
const AGENT: &str = r#"#!/usr/bin/env perl
use strict; use Time::HiRes 'sleep';
$| = 1;
system('stty', '-echo', '-icanon', '-icrnl');
my ($home, $id) = ($ENV{HOME}, $ENV{DISPATCH_ID});
my $session = `tmux display-message -p -t "$ENV{TMUX_PANE}" '#S'`; chomp $session;
open(my $argv, '>>', "$home/argv"); print $argv join('|', $id, $session, @ARGV), "\n"; close $argv;
sub note { open(my $log, '>>', "$home/log"); print $log "@_ $id $session\n"; close $log; }
note('began');
mkdir "$home/in-$session" or note('TWICE');
print "booting\n"; sleep 0.1;
exit 3 if -e "$home/$id.crash";
sleep 600 if -e "$home/$id.mute";
print "\e[?2004h❯ ";
my ($seen, $pasted, $enters) = ('', 0, 0);
while (sysread(STDIN, my $bytes, 4096)) {
    $seen .= $bytes;
    if (!$pasted && $seen =~ s/\e\[200~(.*?)\e\[201~//s) {
        my $text = $1; $text =~ s/\r/\n/g; $pasted = 1;
        open(my $out, '>', "$home/$id.prompt"); print $out $text; close $out;
        my $lines = () = $text =~ /\n/g;
        print "[Pasted text #1 +$lines lines]";
    }
    next unless $pasted;
    while ($seen =~ s/^[^\r]*\r//) {
        next if ++$enters != 2;
        print "\r\n* working\r\n";
        my $own = "$home/$id.sh";
        system(-e $own ? "sh $own" : "echo $id > $id.txt; git add -A; git commit -qm Work; rmdir $home/in-$session; git dispatch done");
        print "❯ ";
    }
}
"#;

/// A sandbox with a hub, one clone, the agent, and a tmux server of its own.
struct World {
    sandbox: Sandbox,
}

impl World {
    /// Makes it, with these lines for the executor, which is the default one; nothing where there is no tmux.
    fn new(settings: &str) -> Option<World> {
        let there = Command::new("tmux").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !there.is_ok_and(|status| status.success()) {
            println!("SKIPPED: tmux is not installed");
            return None;
        }
        let sandbox = Sandbox::with_clones(&["a"]);
        let root = sandbox.repo(".");
        root.write("agent", AGENT);
        root.write("tmux/.keep", "");
        root.run("chmod", &[], &["+x", "agent"]).success();
        let agent = sandbox.root().join("agent");
        let a = sandbox.repo("a");
        let config = format!(
            "project = \"p\"\ndefault_executor = \"agent\"\nretry_wait = \"0s\"\n\
             [node]\npoll = \"100ms\"\npoll_max = \"300ms\"\nheartbeat = \"1s\"\n\
             [executors.agent]\nkind = \"tmux\"\ncommand = [\"{}\", \"-m{{model}}\"]\nmodel = {{ default = \"small\" }}\n\
             preamble = \"\"\ngrace = \"1s\"\nprefix = \"ag-\"\n{}\n",
            shown(&agent),
            settings.replace("AGENT", shown(&agent))
        );
        a.write("git-dispatch.toml", &config);
        a.commit("Configure");
        a.git(&["push", "--quiet", "origin", "main"]);
        Some(World { sandbox })
    }

    fn clone(&self) -> Repo {
        self.sandbox.repo("a")
    }

    fn home(&self, name: &str) -> std::path::PathBuf {
        self.sandbox.root().join("home").join(name)
    }

    /// A script that a task's agent runs.
    fn script(&self, id: &str, script: &str) {
        fs::write(self.home(&format!("{id}.sh")), script).unwrap();
    }

    fn servers(&self) -> String {
        shown(&self.sandbox.root().join("tmux")).to_owned()
    }

    fn run(&self, args: &[&str]) -> crate::sandbox::Out {
        self.clone().dispatch_env(&[("TMUX_TMPDIR", &self.servers())], &[&["run"], args].concat())
    }

    fn watch(&self, args: &[&str]) -> Running {
        let args = [&["run", "--watch", "-v"], args].concat();
        self.clone().spawn_env(&[("TMUX_TMPDIR", &self.servers())], &args)
    }

    fn tmux(&self, args: &[&str]) -> String {
        let out =
            self.sandbox.repo(".").run("tmux", &[("TMUX_TMPDIR", &self.servers())], &[&["-u"], args].concat());
        out.stdout.trim_end().to_owned()
    }

    fn sessions(&self) -> Vec<String> {
        self.tmux(&["list-sessions", "-F", "#S"]).lines().map(str::to_owned).collect()
    }

    /// What the agents noted, one line for each task that was begun.
    fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.home("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    fn enqueue(&self, ids: &[&str]) {
        enqueue(&self.clone(), &ids.iter().map(|id| (*id, "")).collect::<Vec<_>>());
    }
}

#[test]
fn ten_tasks_over_two_sessions_one_at_a_time_each() {
    let Some(world) = World::new("max = 2\nmin = 1") else { return };
    // Somebody else's session, in which something runs: not of our range.
    world.tmux(&["new-session", "-d", "-s", "ag-2", "cat", "-"]);
    let ids: Vec<String> = (0..10).map(|n| format!("t{n}")).collect();
    world.enqueue(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    world.run(&["--slots", "3"]).success();
    let a = world.clone();
    assert!(states(&a).iter().all(|state| state.ends_with(" completed")), "{:?}", states(&a));
    let log = world.log();
    assert_eq!(log.len(), 10, "{log:?}");
    assert!(log.iter().all(|line| line.starts_with("began ")), "one at a time: {log:?}");
    for session in ["ag-0", "ag-1"] {
        assert!(log.iter().any(|line| line.ends_with(session)), "{log:?}");
    }
    // What is kept open stays, what is not goes, what is not ours is not touched.
    assert_eq!(world.sessions(), ["ag-0", "ag-2"]);
    assert_eq!(world.tmux(&["list-windows", "-t", "=ag-0", "-F", "#W"]).lines().count(), 1);
    let prompt = fs::read_to_string(world.home("t3.prompt")).unwrap();
    assert!(prompt.starts_with("# Task t3\n\nDo t3.") && prompt.contains("`git dispatch done`"), "{prompt}");
    assert!(fs::read_to_string(world.home("argv")).unwrap().contains("|-msmall\n"));
    let output = a.dispatch(&["logs", "t3"]).success().stdout;
    assert!(
        output.contains("booting") && output.contains("[Pasted text #1") && output.contains("working"),
        "{output}"
    );
    assert_eq!(task(&a, "t3")["exit_code"], json!(null));
    a.dispatch(&["collect"]).success();
    assert_eq!(file(&world.sandbox.hub(), "t7.txt"), "t7");
}

#[test]
fn a_session_that_is_killed_is_a_lost_attempt_and_rests() {
    let Some(world) = World::new("max = 2") else { return };
    world.script(
        "a",
        "[ $DISPATCH_ATTEMPT = 2 ] || exec sleep 600; echo a > a.txt; rmdir $HOME/in-ag-1; git dispatch done",
    );
    world.enqueue(&["a"]);
    let node = world.watch(&[]);
    eventually(PATIENCE, || !world.log().is_empty() && world.home("a.prompt").exists());
    world.tmux(&["kill-session", "-t", "=ag-0"]);
    let a = world.clone();
    eventually(PATIENCE, || states(&a) == ["a completed"]);
    enqueue(&a, &[("b", "")]);
    eventually(PATIENCE, || states(&a) == ["a completed", "b completed"]);
    drop(node);
    // The killed one is past its rest only in five minutes, though it was first in line.
    assert_eq!(world.log(), ["began a ag-0", "began a ag-1", "began b ag-1"]);
    let hub = world.sandbox.hub();
    let format = "--format=%(trailers:key=Dispatch-Reason,valueonly,separator=%x2C)";
    assert!(hub.git(&["log", format, "refs/dispatch/claims/p/a"]).lines().any(|line| line == "lost"));
    assert_eq!(task(&a, "a")["attempt"], 2);
}

#[test]
fn each_way_to_end_is_told_from_the_others() {
    let Some(world) = World::new(
        "max = 1\ncooldown = \"0s\"\nprompt_timeout = \"5s\"\n\
         [executors.idle]\nkind = \"tmux\"\ncommand = [\"AGENT\"]\nprefix = \"id-\"\nmax = 1\nidle_done = \"2s\"\n\
         [executors.hasty]\nkind = \"tmux\"\ncommand = [\"AGENT\"]\nprefix = \"ha-\"\nmax = 1\ntimeout = \"6s\"\ngrace = \"1s\"",
    ) else {
        return;
    };
    let said = "git dispatch done --failed --error 'it cannot be $(touch x) \"done\"'; sleep 600";
    for (id, script) in [
        ("said", said),
        ("killed", "kill -9 $PPID"),
        ("left", "echo left > left.txt; kill -INT $PPID"),
        ("still", "echo still > still.txt"),
        ("slow", "echo slow > slow.txt; sleep 600"),
    ] {
        world.script(id, &format!("rm -rf $HOME/in-*; {script}"));
    }
    fs::write(world.home("crash.crash"), "").unwrap();
    fs::write(world.home("mute.mute"), "").unwrap();
    let a = world.clone();
    let tasks = ["said", "killed", "crash", "mute", "still", "slow"].map(|id| match id {
        "still" => (id, "executor: idle"),
        "slow" => (id, "executor: hasty"),
        _ => (id, ""),
    });
    enqueue(&a, &tasks);
    world.run(&["--slots", "3"]).code(4);
    let end = |id: &str| {
        let task = task(&a, id);
        (text(&task["state"]), task["reason"].clone(), task["error"].as_str().unwrap_or_default().to_owned())
    };
    let (state, reason, error) = end("said");
    assert_eq!(
        (state.as_str(), reason, error.as_str()),
        ("failed", json!("exit"), "it cannot be $(touch x) \"done\"")
    );
    let (state, reason, error) = end("killed");
    assert_eq!((state.as_str(), reason, error.as_str()), ("failed", json!("exit"), "ended by a signal"));
    let (state, reason, error) = end("crash");
    assert_eq!((state.as_str(), reason), ("pending", json!("spawn")));
    assert!(error.contains("before it showed its prompt"), "{error}");
    let (state, reason, error) = end("mute");
    assert_eq!((state.as_str(), reason), ("pending", json!("spawn")));
    assert!(error.contains("did not show its prompt"), "{error}");
    assert_eq!((end("still").0.as_str(), end("slow").1), ("completed", json!("timeout")));
    assert_eq!(a.git(&["show", &format!("{}:slow.txt", text(&task(&a, "slow")["result"]))]), "slow");
    assert_eq!(world.sessions(), Vec::<String>::new(), "what was made for the tasks is gone");
}

#[test]
fn a_person_joins_and_stays() {
    let Some(world) = World::new("max = 1") else { return };
    world.script(
        "a",
        "until [ -e $HOME/go ]; do sleep 0.05; done; echo a > a.txt; rmdir $HOME/in-*; git dispatch done",
    );
    world.enqueue(&["a", "b"]);
    let a = world.clone();
    refused(&a.dispatch(&["attach", "a", "--json"]), "dispatch::attach::not_running", 1);
    let node = world.watch(&["--max", "1"]);
    eventually(PATIENCE, || world.home("a.prompt").exists());
    let where_ = a.dispatch(&["attach", "a", "--json"]).success().json();
    assert_eq!((&where_["task"], &where_["session"]), (&json!("p/a"), &json!("ag-0")));
    crate::schema::described("attach", &where_);
    // A terminal to join from: a pane of another server.
    let other = world.sandbox.root().join("other");
    fs::create_dir(&other).unwrap();
    let other = [("TMUX_TMPDIR", shown(&other))];
    let root = world.sandbox.repo("a");
    root.run(
        "tmux",
        &other,
        &["new-session", "-d", "-x", "80", "-y", "20", "env", "-u", "TMUX", "git-dispatch", "attach", "a"],
    )
    .success();
    eventually(PATIENCE, || world.tmux(&["list-clients", "-t", "=ag-0"]).lines().count() == 1);
    fs::write(world.home("go"), "").unwrap();
    eventually(PATIENCE, || states(&a)[0] == "a completed");
    assert_eq!(world.sessions(), ["ag-0"], "somebody looks at it");
    drop(node);
}

#[test]
fn sessions_by_name_are_used_where_nobody_works_and_for_their_project_alone() {
    let Some(world) =
        World::new("sessions = [\"busy\", \"q:theirs\", \"p:ours\", \"missing\"]\nresume_dir = \"../resume\"")
    else {
        return;
    };
    world.sandbox.repo(".").write("resume/ours-resume-id.txt", "abc-123\n");
    for (session, command) in [("busy", &["cat", "-"][..]), ("theirs", &[]), ("ours", &[])] {
        world.tmux(&[&["new-session", "-d", "-s", session], command].concat());
    }
    world.tmux(&["new-window", "-d", "-t", "=ours:", "-n", "mine", "cat", "-"]);
    let a = world.clone();
    // A text that tries to leave its paste, and to press keys.
    a.spec(
        "../one.md",
        "project: p\ntask_id: one",
        "# One\n\n-x $(touch x) `y` ; #{q} ❯ \u{1b}[201~\rrm -rf /\u{3}\n\nEnd",
    );
    a.dispatch(&["enqueue", "../one.md"]).success();
    world.run(&[]).success();
    enqueue(&a, &[("two", "")]);
    world.run(&[]).success();
    assert_eq!(world.log(), ["began one ours", "began two ours"]);
    let argv = fs::read_to_string(world.home("argv")).unwrap();
    assert_eq!(argv, "one|ours|-msmall|--resume|abc-123\ntwo|ours|-msmall\n");
    assert!(!world.sandbox.root().join("resume/ours-resume-id.txt").exists());
    let windows = world.tmux(&["list-windows", "-t", "=ours", "-F", "#W"]);
    assert!(windows.lines().count() == 2 && windows.lines().any(|name| name == "mine"), "{windows}");
    let prompt = fs::read_to_string(world.home("one.prompt")).unwrap();
    assert!(prompt.contains("-x $(touch x) `y` ; #{q} ❯ [201~rm -rf /\n\nEnd\n"), "{prompt:?}");
    assert_eq!(states(&a), ["one completed", "two completed"]);
}

#[test]
fn settings_of_a_session_that_cannot_be_are_refused() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    for (lines, what) in [
        ("command = []\nmax = 1", "command"),
        ("command = [\"x\"]", "max"),
        ("command = [\"x\"]\nsessions = [\"a.b\"]", "sessions"),
        ("command = [\"x\"]\nsessions = [\"-x\"]", "sessions"),
        ("command = [\"x\"]\nmax = 1\nprefix = \"-\"", "prefix"),
    ] {
        a.write("git-dispatch.toml", &format!("[executors.x]\nkind = \"tmux\"\n{lines}\n"));
        let error = refused(&a.dispatch(&["list", "--json"]), "dispatch::config::bad_value", 2);
        assert!(text(&error["message"]).contains(what), "{error}");
    }
}
