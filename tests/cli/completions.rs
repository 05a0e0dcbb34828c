//! `completions`: what may stand at the end of a command line, asked as the scripts ask, and through real shells, as far
//! as they are installed.

use std::fs;
use std::path::Path;

use crate::sandbox::{PATIENCE, Repo, Sandbox, eventually};
use crate::steps::{enqueue, line, shown};

/// What fits at the end of the line, without its descriptions.
fn fits(repo: &Repo, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let out = repo.dispatch(&[&["complete-words", "--"], &*words].concat()).success();
    assert!(out.stderr.is_empty(), "{out}");
    out.stdout.lines().map(|line| line.split('\t').next().unwrap()).collect::<Vec<_>>().join(" ")
}

fn world() -> Sandbox {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let a = sandbox.repo("a");
    enqueue(
        &a,
        &[
            ("S01", line("true")),
            ("S02", line("exit 1")),
            ("S03", "labels: [gpu, 'agent:code', '$(touch x)']".into()),
        ],
    );
    a.spec("../other.md", "project: q\ntask_id: S01", "# Far \u{1b}[31m");
    a.dispatch(&["enqueue", "../other.md"]).success();
    a.dispatch(&["run", "p/S01", "p/S02"]).code(4);
    sandbox
}

#[test]
fn commands_options_tasks_and_states_are_completed_without_the_hub() {
    let sandbox = world();
    let a = sandbox.repo("a");
    // Nobody is asked: the hub is gone.
    fs::rename(sandbox.hub().path(), sandbox.root().join("away.git")).unwrap();
    for (line, expected) in [
        ("stat", "status"),
        ("pau", "pause"),
        ("bundle ", "create open show"),
        ("list --sta", "--state"),
        ("list --state pe", "pending"),
        ("list --state=pe", "--state=pending"),
        ("list --node ", "a"),
        ("list --project ", "p q"),
        // What a shell would read is never offered.
        ("list --label ", "agent:code gpu"),
        ("list --label=agent:c", "--label=agent:code"),
        ("show ", "p/S01 S02 S03 q/S01"),
        ("show p/", "p/S01 p/S02 p/S03"),
        ("retry ", "S02"),
        ("collect S", ""),
        ("collect ", "p/S01"),
        ("claim S", "S03"),
        ("explain dispatch::man", "dispatch::man::unknown"),
        ("completions ", "bash zsh fish powershell"),
        ("enqueue sp", ":files"),
        ("-C ", ":folders"),
        ("--color ", "auto always never"),
    ] {
        assert_eq!(fits(&a, line), expected, "{line:?}");
    }
    // The command of -C is the one that is meant; b has not heard of anything.
    let root = sandbox.repo(".");
    assert_eq!(
        (fits(&root, "-C a retry "), fits(&root, "-C b retry "), fits(&root, "retry ")),
        ("S02".into(), "".into(), "".into())
    );
    assert!(!sandbox.repo("b").path().join(".git/dispatch").exists(), "no trace is left where it was never used");
    let shown = a.dispatch(&["complete-words", "--new", "--", "show"]).success().stdout;
    assert!(shown.contains("S02\tfailed: Task S02\n") && !shown.contains('\u{1b}'), "{shown}");
}

/// bash, with git's own completion where this machine has it.
#[test]
fn bash_completes_git_dispatch_and_git_minus_dispatch() {
    let git = Path::new("/usr/share/bash-completion/completions/git");
    let sandbox = world();
    let a = sandbox.repo("a");
    let script = sandbox.root().join("home/completion.bash");
    fs::write(&script, a.dispatch(&["completions", "bash"]).success().stdout).unwrap();
    // As readline would call it; words as it breaks them.
    let ask = |words: &str, function: &str| {
        let load = if git.exists() { format!("source {}; ", git.display()) } else { String::new() };
        let line = format!(
            "{load}source {}; COMP_WORDS=({words}); COMP_CWORD=$(({{#COMP_WORDS[@]}}-1)); COMP_LINE=\"${{COMP_WORDS[*]}}\"; \
             COMP_POINT=${{#COMP_LINE}}; {function} 2>/dev/null; printf '%s|' \"${{COMPREPLY[@]}}\"",
            shown(&script)
        );
        let line = line.replace("$(({#", "$((${#");
        a.run("bash", &[], &["--norc", "-c", &line]).success().stdout
    };
    assert_eq!(ask("git-dispatch retry ''", "_git_dispatch_alone"), "S02|");
    assert_eq!(ask("git-dispatch list --state pe", "_git_dispatch_alone"), "pending|");
    // bash breaks the word at `=`, and replaces what stands behind it.
    if git.exists() {
        assert_eq!(ask("git-dispatch list --state = pe", "_git_dispatch_alone"), "pending|");
        assert_eq!(ask("git dispatch retry ''", "__git_wrap__git_main"), "S02|");
        assert_eq!(ask("git dispatch list --label agent : c", "__git_wrap__git_main"), "code|");
        assert_eq!(ask("git -C ../b dispatch retry ''", "__git_wrap__git_main"), "|");
        assert!(ask("git disp", "__git_wrap__git_main").trim().starts_with("dispatch"));
    } else {
        println!("SKIPPED: git's completion for bash is not installed");
    }
}

/// Whether a program is there, and says so where it is not.
fn is_there(program: &str) -> bool {
    let found =
        std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|folder| folder.join(program).exists());
    if !found {
        println!("SKIPPED: {program} is not installed");
    }
    found
}

/// zsh at a terminal: what is typed before a tab, and what stands there afterwards.
#[test]
fn zsh_completes_git_dispatch_at_its_prompt() {
    if !is_there("zsh") || !is_there("tmux") {
        return;
    }
    let sandbox = world();
    let a = sandbox.repo("a");
    let functions = sandbox.root().join("home/functions");
    fs::create_dir(&functions).unwrap();
    fs::write(functions.join("_git-dispatch"), a.dispatch(&["completions", "zsh"]).success().stdout).unwrap();
    let rc =
        format!("PS1='> '; fpath=({} $fpath); autoload -U compinit; compinit -u; echo ready", shown(&functions));
    fs::write(sandbox.root().join("home/.zshrc"), rc).unwrap();
    fs::create_dir(sandbox.root().join("tmux")).unwrap();
    let servers = shown(&sandbox.root().join("tmux")).to_owned();
    let tmux = |args: &[&str]| a.run("tmux", &[("TMUX_TMPDIR", &servers)], &[&["-u"], args].concat());
    tmux(&["new-session", "-d", "-s", "z", "-x", "100", "-y", "30", "zsh -d"]).success();
    let screen = || tmux(&["capture-pane", "-p", "-t", "z"]).stdout;
    eventually(PATIENCE, || screen().contains("ready"));
    for (typed, expected) in [
        ("git dispatch retr", "git dispatch retry"),
        ("git dispatch retry ", "git dispatch retry S02"),
        ("git-dispatch show p/S0", "p/S03"),
    ] {
        tmux(&["send-keys", "-t", "z", "-l", typed]);
        tmux(&["send-keys", "-t", "z", "Tab"]);
        eventually(PATIENCE, || screen().contains(expected));
        tmux(&["send-keys", "-t", "z", "C-c"]);
    }
    tmux(&["kill-server"]);
}

#[test]
fn fish_completes_what_is_asked() {
    if !is_there("fish") {
        return;
    }
    let sandbox = world();
    let a = sandbox.repo("a");
    let folder = sandbox.root().join("home/.config/fish");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.fish"), "git-dispatch completions fish | source\n").unwrap();
    for asked in ["git-dispatch retry ", "git dispatch retry "] {
        let out = a.run("fish", &[], &["-c", &format!("complete -C '{asked}'")]).success();
        assert_eq!(out.stdout, "S02\tfailed: Task S02\n", "{asked}");
    }
}
