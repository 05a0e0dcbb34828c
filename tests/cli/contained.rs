//! What an executor plants in its clone never runs in the node's repository, whatever command is given there.
//!
//! Each kind of plant is a command that leaves a mark. The quick form plants them all at once and gives each command once while the
//! executor works and once after it; with `GIT_DISPATCH_TEST_LONG` each kind is planted alone, on both kinds of hub.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::sandbox::{PATIENCE, Repo, Sandbox, eventually};
use crate::steps::{enqueue, enqueue_lines, file, line, shown, until};

/// Kinds that are one line of configuration each: the key, and the value in which `{}` is the command.
const SETTINGS: &[(&str, &str)] = &[
    ("core.fsmonitor", "{}"),
    ("core.hooksPath", "{hooks}"),
    ("core.pager", "{}"),
    ("core.editor", "{}"),
    ("sequence.editor", "{}"),
    ("core.sshCommand", "{}"),
    ("core.gitProxy", "{}"),
    ("core.askPass", "{}"),
    ("core.alternateRefsCommand", "{}"),
    ("credential.helper", "!{}"),
    ("diff.external", "{}"),
    ("diff.evil.command", "{}"),
    ("diff.evil.textconv", "{}"),
    ("filter.evil.clean", "{}"),
    ("filter.evil.smudge", "{}"),
    ("filter.evil.process", "{}"),
    ("filter.lfs.process", "{}"),
    ("merge.evil.driver", "{} %A"),
    ("merge.tool", "evil"),
    ("mergetool.evil.cmd", "{}"),
    ("difftool.evil.cmd", "{}"),
    ("alias.status", "!{}"),
    ("alias.fetch", "!{}"),
    ("include.path", "{included}"),
    ("includeIf.gitdir:/.path", "{included}"),
    ("url.ext::{}.insteadOf", "{hub}"),
    ("url.ext::{}.pushInsteadOf", "{hub}"),
    ("remote.origin.uploadpack", "{}"),
    ("remote.origin.receivepack", "{}"),
    ("remote.origin.vcs", "evil"),
    ("remote.{hub}.uploadpack", "{}"),
    ("remote.{hub}.receivepack", "{}"),
    ("gpg.program", "{}"),
    ("gpg.ssh.program", "{}"),
    ("gpg.ssh.defaultKeyCommand", "{}"),
    ("uploadpack.packObjectsHook", "{}"),
    ("trailer.x.cmd", "{}"),
    ("interactive.diffFilter", "{}"),
    ("submodule.x.update", "!{}"),
    ("init.templateDir", "{hooks}"),
    ("gc.recentObjectsHook", "{}"),
    ("pager.status", "{}"),
];

/// Kinds that are files: the name, and the shell line that makes them in the clone.
const FILES: &[(&str, &str)] = &[
    ("hooks", "mkdir -p .git/hooks; cp {hooks}/* .git/hooks/"),
    (
        "worktree configuration",
        "cp {included} .git/config.worktree; git config --file .git/config extensions.worktreeConfig true",
    ),
    (
        "attributes",
        "mkdir -p .git/info; echo '* filter=evil diff=evil merge=evil' > .git/info/attributes; cat {included} >> .git/config",
    ),
    (
        "committed attributes",
        "echo '* filter=evil diff=evil merge=evil text' > .gitattributes; cat {included} >> .git/config",
    ),
    (
        "modules",
        "printf '[submodule \"x\"]\\n\\tpath = x\\n\\turl = https://localhost/x\\n' > .gitmodules; mkdir -p .git/modules/x; cp {included} .git/modules/x/config",
    ),
    (
        "promisor",
        "git config --file .git/config remote.evil.promisor true; git config --file .git/config remote.evil.url /nowhere; git config --file .git/config remote.evil.uploadpack {}",
    ),
    ("another's folder", "git config --file .git/config core.worktree {node}"),
];

/// A folder with the command that leaves a mark, hooks that are it, and a file of configuration full of it.
struct Trap {
    command: String,
    hooks: String,
    included: String,
    mark: std::path::PathBuf,
}

const HOOKS: &str = "applypatch-msg commit-msg fsmonitor-watchman post-checkout post-commit post-index-change post-merge post-rewrite \
    pre-auto-gc pre-commit pre-merge-commit pre-push pre-rebase prepare-commit-msg proc-receive push-to-checkout reference-transaction";

impl Trap {
    fn set(sandbox: &Sandbox) -> Trap {
        let root = sandbox.root();
        let (command, hooks, mark) = (root.join("evil"), root.join("evil-hooks"), root.join("mark"));
        fs::write(&command, format!("#!/bin/sh\necho \"$0 $*\" >> {}\nexec cat\n", shown(&mark))).unwrap();
        fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(&hooks).unwrap();
        for hook in HOOKS.split_whitespace() {
            fs::copy(&command, hooks.join(hook)).unwrap();
        }
        let evil = shown(&command);
        let included = root.join("evil-config");
        let text = format!(
            "[core]\n\tfsmonitor = {evil}\n\tsshCommand = {evil}\n\talternateRefsCommand = {evil}\n[filter \"evil\"]\n\tclean = {evil}\n\tsmudge = {evil}\n\
             \tprocess = {evil}\n\trequired = true\n[diff \"evil\"]\n\tcommand = {evil}\n[merge \"evil\"]\n\tdriver = {evil}\n"
        );
        fs::write(&included, text).unwrap();
        Trap {
            command: evil.to_owned(),
            hooks: shown(&hooks).to_owned(),
            included: shown(&included).to_owned(),
            mark,
        }
    }

    fn fill(&self, text: &str, a: &Repo, hub: &Repo) -> String {
        let hub_url = if a.path() == hub.path() { a.path().join(".git") } else { hub.path().to_owned() };
        let text = text.replace("{hooks}", &self.hooks).replace("{included}", &self.included);
        text.replace("{hub}", shown(&hub_url)).replace("{node}", shown(a.path())).replace("{}", &self.command)
    }

    fn marks(&self) -> String {
        fs::read_to_string(&self.mark).unwrap_or_default()
    }
}

/// All kinds: the name, and the shell line that plants it.
fn kinds() -> Vec<(String, String)> {
    let setting = |(key, value): &(&str, &str)| {
        (format!("{key} = {value}"), format!("git config --file .git/config '{key}' '{value}'"))
    };
    let planted = |(name, line): &(&str, &str)| ((*name).to_owned(), (*line).to_owned());
    SETTINGS.iter().map(setting).chain(FILES.iter().map(planted)).collect()
}

/// Commands while the executor works, which leave its task alone.
const MEANWHILE: &[&[&str]] = &[
    &["status"],
    &["list", "--why"],
    &["show", "one"],
    &["logs", "one"],
    &["nodes"],
    &["log"],
    &["conflicts"],
    &["outbox"],
    &["schedule"],
    &["gc", "--dry-run"],
    &["collect", "--dry-run"],
    &["wait", "one", "--timeout", "1ms"],
    &["pause", "--node", "nobody"],
    &["init"],
    &["explain", "dispatch::finish::dirty"],
    &["assign", "two", "--node", "nobody"],
    &["retry", "one"],
    &["attach", "one"],
    &["reap"],
    &["claim", "two"],
    &["finish", "two"],
];

/// Commands after it.
const AFTERWARDS: &[&[&str]] = &[
    &["status"],
    &["logs", "one"],
    &["conflicts"],
    &["enqueue", "../more"],
    &["run"],
    &["claim", "four"],
    &["release", "four"],
    &["cancel", "four"],
    &["bundle", "create", "../x.bundle", "--for", "vault"],
    &["outbox", "--flush"],
    &["collect"],
    &["gc", "--keep", "0s"],
    &["list"],
];

/// Plants, gives each command, and demands that nothing ran.
fn round(sandbox: &Sandbox, a: &Repo, hub: &Repo, planted: &[(String, String)]) {
    let trap = Trap::set(sandbox);
    let names: Vec<&str> = planted.iter().map(|(name, _)| name.as_str()).collect();
    let (began, gate) = (sandbox.root().join("began"), sandbox.root().join("gate"));
    let lines: Vec<String> = planted.iter().map(|(_, line)| trap.fill(line, a, hub)).collect();
    let wait = until(&format!("[ -e {} ]", shown(&gate)));
    let script = format!("{}; touch {}; {wait}; echo work > one.txt", lines.join("; "), shown(&began));
    enqueue(a, &[("one", line(&script)), ("two", "mode: push".to_owned())]);
    a.spec("../more/three.md", &format!("project: p\n{}", line("echo three > three.txt")), "# Three");
    a.spec("../more/four.md", "project: p", "# Four");
    let node = a.spawn(&["run", "one"]);
    eventually(PATIENCE, || began.exists());
    let give = |command: &[&str]| {
        // Some are refused while the task runs; all that matters here is what they run.
        let out = a.dispatch(command);
        assert!(out.code < 128, "{command:?}\n{out}");
        assert_eq!(trap.marks(), "", "`{}` ran what was planted as {names:?}\n{out}", command.join(" "));
    };
    MEANWHILE.iter().for_each(|command| give(command));
    fs::write(&gate, "").unwrap();
    let ended = node.wait(PATIENCE);
    assert_eq!(trap.marks(), "", "the end of the attempt ran what was planted as {names:?}\n{ended}");
    ended.code(0);
    AFTERWARDS.iter().for_each(|command| give(command));
    assert_eq!((file(hub, "one.txt"), file(hub, "three.txt")), ("work".into(), "three".into()), "{names:?}");
}

#[test]
fn nothing_planted_runs_whatever_command_is_given() {
    let kinds = kinds();
    assert!(kinds.len() >= 40, "{} kinds", kinds.len());
    let is_long = std::env::var_os("GIT_DISPATCH_TEST_LONG").is_some();
    let rounds: Vec<Vec<(String, String)>> =
        if is_long { kinds.into_iter().map(|kind| vec![kind]).collect() } else { vec![kinds] };
    for planted in &rounds {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let sandbox = Sandbox::with_clones(&["a"]);
                round(&sandbox, &sandbox.repo("a"), &sandbox.hub(), planted);
            });
            if is_long {
                let sandbox = Sandbox::embedded();
                round(&sandbox, &sandbox.solo(), &sandbox.solo(), planted);
            }
        });
    }
    let commands = MEANWHILE.len() + AFTERWARDS.len();
    println!("{} kinds in {} rounds of {commands} commands: none ran", SETTINGS.len() + FILES.len(), rounds.len());
}

/// The trap is one: git itself, asked in the clone while the executor works there, runs what was planted.
#[test]
fn what_was_planted_does_run_where_the_executor_asks_for_it() {
    let sandbox = Sandbox::embedded();
    let a = sandbox.solo();
    let trap = Trap::set(&sandbox);
    let script = trap.fill("cat {included} >> .git/config; git status > ../status 2>&1; cp {hooks}/* .git/hooks/ || mkdir .git/hooks; true", &a, &a);
    enqueue_lines(&a, &[("one", &script)]);
    a.dispatch(&["run"]).success();
    assert!(trap.marks().contains("evil"), "{}", trap.marks());
}

/// An address that is rewritten into a command, in the node's own configuration too, is not spoken.
#[test]
fn no_address_becomes_a_command() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, trap) = (sandbox.repo("a"), Trap::set(&sandbox));
    let hub = shown(sandbox.hub().path()).to_owned();
    a.git(&["config", &format!("url.ext::{} %S.insteadOf", trap.command), &hub]);
    a.spec("../s/one.md", "project: p", "# One");
    let out = a.dispatch(&["enqueue", "../s", "--json"]).code(1);
    assert_eq!(out.json()["error"]["code"], "dispatch::hub::unreachable", "{out}");
    for command in [&["list"][..], &["status"], &["run"], &["collect"]] {
        a.dispatch(command);
    }
    assert_eq!(trap.marks(), "");
}

/// An executor has the variables that it is allowed, those that it is given, and its task; nothing else.
#[test]
fn an_executor_has_the_environment_that_was_said() {
    let sandbox = Sandbox::embedded();
    let a = sandbox.solo();
    a.write(
        "git-dispatch.toml",
        "project = \"p\"\n[executors.x]\nkind = \"shell\"\nenv = { OWN = \"1\", SHARED_B = \"2\" }\nenv_allow = [\"PATH\", \"SHARED_*\"]\n",
    );
    a.commit("Configure");
    enqueue(
        &a,
        &[(
            "one",
            format!(
                "executor: x\n{}",
                line(
                    "env | sed 's/=.*//' | sort | grep -v '^DISPATCH_' > names.txt; env | grep '^SHARED_' | sort > shared.txt"
                )
            ),
        )],
    );
    let environment = [
        ("SHARED_A", "a"),
        ("SHARED_B", "b"),
        ("PRIVATE", "c"),
        ("GIT_DISPATCH_NODE_SLOTS", "1"),
        ("GIT_EDITOR", "x"),
    ];
    a.dispatch_env(&environment, &["run"]).success();
    a.dispatch(&["collect"]).success();
    // A shell sets some itself.
    let names = file(&a, "names.txt");
    let names: Vec<&str> =
        names.lines().filter(|name| !matches!(*name, "PWD" | "OLDPWD" | "SHLVL" | "_")).collect();
    assert_eq!(names, ["OWN", "PATH", "SHARED_A", "SHARED_B"]);
    assert_eq!(file(&a, "shared.txt"), "SHARED_A=a\nSHARED_B=2");
}
