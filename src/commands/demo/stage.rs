//! Where the demo is played: a folder with an environment of its own, and what is shown of what happens there.
//!
//! Owns how git and this program are run there, and how a heading, a command and its output look. What is played is
//! `day`'s.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::error::{Result, Wrong};
use super::next::quoted;
use super::player::{Player, Spoken};
use crate::ambient::Ambient;
use crate::commands::Context;
use crate::exec::{Cancel, Ended, Limits, collect_output};
use crate::git::Git;
use crate::ui::Ui;

/// The bare repository that all clones share.
pub(super) const HUB: &str = "hub.git";

/// Who plays; not the user, whose name is nobody's business here.
const CONFIGURATION: &str = "\
[user]\n\tname = Demo\n\temail = demo@example.invalid\n\
[init]\n\tdefaultBranch = main\n";

/// How long any one command may take: a bound for the broken case.
const PATIENCE: Duration = Duration::from_secs(120);

/// The folder, the environment, and the face.
pub(super) struct Stage<'a> {
    ui: &'a Ui,
    root: PathBuf,
    program: PathBuf,
    /// What the children see of the world.
    environment: Vec<(OsString, OsString)>,
    /// What of it git is given on top of ours.
    own: Vec<(&'static str, OsString)>,
    cancel: Cancel,
}

impl<'a> Stage<'a> {
    /// Sets up the home in the folder.
    pub(super) fn open(context: &'a Context, root: &Path) -> Result<Self> {
        let prepared = || {
            let home = root.join("home");
            fs::create_dir(&home)?;
            fs::write(home.join("gitconfig"), CONFIGURATION)?;
            Ok((home, std::env::current_exe()?))
        };
        let (home, program) =
            prepared().map_err(|error: std::io::Error| Wrong::from(error).while_("setting up"))?;
        let own = own_variables(&home);
        Ok(Self {
            ui: &context.ui,
            root: root.to_owned(),
            program,
            environment: environment(&context.ambient, &own),
            own,
            cancel: context.signals.first.clone(),
        })
    }

    /// Returns a folder on the stage.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Shows what comes next.
    pub(super) fn heading(&self, title: &str, text: &str) {
        self.say(&format!("\n{}\n{text}\n\n", self.ui.out.strong(&format!("── {title}"))));
    }

    /// Shows a remark on what was seen.
    pub(super) fn remark(&self, text: &str) {
        self.say(&format!("{}\n", self.ui.out.good(text)));
    }

    /// Runs git in the root or in a repository, shows both, and demands exit code 0.
    pub(super) fn git(&self, place: &str, args: &[&str]) -> std::result::Result<String, Wrong> {
        self.git_answering(place, args, 0)
    }

    /// Runs git, shows both, and demands this exit code: some questions are answered by one.
    pub(super) fn git_answering(
        &self,
        place: &str,
        args: &[&str],
        code: i32,
    ) -> std::result::Result<String, Wrong> {
        let command = shown(args);
        self.prompt(place, &command);
        let output = self.git_at(place).run(args, None)?;
        let text = output.text();
        for part in [&text, output.stderr.trim_end()] {
            if !part.is_empty() {
                self.say(&format!("{part}\n"));
            }
        }
        if output.code == Some(code) {
            return Ok(text);
        }
        let spoken = Spoken { code: output.code, text: format!("{text}\n{}", output.stderr) };
        Err(spoken.unexpected(&command))
    }

    /// Returns git for the root or a repository, with the environment of the stage.
    pub(super) fn git_at(&self, place: &str) -> Git {
        let folder = self.folder(place);
        let git = match place {
            "" => Git::outside(&self.root),
            HUB => Git::at(&folder, None),
            _ => Git::at(&folder.join(".git"), Some(&folder)),
        };
        let git = git.with_cancel(self.cancel.clone()).with_deadline(PATIENCE);
        let with = |git: Git, (name, value): &(&str, OsString)| git.with_env(name, value);
        self.own.iter().fold(git, with)
    }

    /// Runs this program on a node, shows both, and demands this exit code. `typed` is what a user would type.
    pub(super) fn dispatch(
        &self,
        node: &str,
        typed: &str,
        args: &[&str],
        code: i32,
    ) -> std::result::Result<(), Wrong> {
        let command = format!("git dispatch {typed}");
        self.prompt(node, &command);
        let spoken = self.start(node, args, "")?.end(PATIENCE, &self.cancel)?;
        if spoken.code == Some(code) {
            return Ok(());
        }
        Err(spoken.unexpected(&command))
    }

    /// Runs this program on several nodes at the same time, and shows what they say as they say it. A node that was
    /// too slow to get anything is no failure.
    pub(super) fn dispatch_on_all(&self, nodes: &[&str], args: &[&str]) -> std::result::Result<(), Wrong> {
        let command = format!("git dispatch {}", args.join(" "));
        nodes.iter().for_each(|node| self.prompt(node, &command));
        let start = |node: &&str| {
            let mark = self.ui.out.faint(&format!("{node} │ "));
            self.start(node, args, &mark)
        };
        let players: Vec<Player> = nodes.iter().map(start).collect::<std::result::Result<_, _>>()?;
        let ends = thread::scope(|scope| {
            let waits = |player: Player| scope.spawn(|| player.end(PATIENCE, &self.cancel));
            let waiting: Vec<_> = players.into_iter().map(waits).collect();
            let joined = waiting.into_iter().map(|thread| {
                let lost = |_| Err(Wrong::Unexpected("a node was lost sight of".to_owned()));
                thread.join().unwrap_or_else(lost)
            });
            joined.collect::<Vec<_>>()
        });
        for (node, spoken) in nodes.iter().zip(ends) {
            let spoken = spoken?;
            if !matches!(spoken.code, Some(0 | 3)) {
                return Err(spoken.unexpected(&format!("{command}` on `{node}")));
            }
        }
        Ok(())
    }

    /// Asks this program on a node for a JSON document, and shows nothing.
    pub(super) fn ask(&self, node: &str, args: &[&str]) -> std::result::Result<Value, Wrong> {
        let limits = Limits::within(PATIENCE);
        let mut command = self.command(node, args);
        let (ended, stdout, stderr) = collect_output(&mut command, None, &limits, &self.cancel)?;
        if ended == Ended::Cancelled {
            return Err(Wrong::Interrupted);
        }
        serde_json::from_slice(&stdout).map_err(|error| {
            let stderr = String::from_utf8_lossy(&stderr);
            let command = args.join(" ");
            Wrong::Unexpected(format!(
                "`git dispatch {command}` gave no JSON document ({error}): {}",
                stderr.trim_end()
            ))
        })
    }

    fn start(&self, node: &str, args: &[&str], mark: &str) -> std::io::Result<Player> {
        let mut command = self.command(node, args);
        if self.ui.out.is_coloured() {
            command.arg("--color=always");
        }
        let (ui, mark) = (self.is_heard().then(|| self.ui.clone()), mark.to_owned());
        Player::start(&mut command, move |line| {
            if let Some(ui) = &ui {
                ui.print(&format!("{mark}{line}\n"));
            }
        })
    }

    #[expect(clippy::disallowed_methods, reason = "the demo runs this very program, as a user would")]
    fn command(&self, node: &str, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).current_dir(self.folder(node));
        command.env_clear().envs(self.environment.iter().cloned());
        command
    }

    fn prompt(&self, place: &str, command: &str) {
        let theme = &self.ui.out;
        self.say(&format!("{} {}\n", theme.faint(format!("{place} $").trim_start()), theme.strong(command)));
    }

    fn say(&self, text: &str) {
        if self.is_heard() {
            self.ui.print(text);
        }
    }

    const fn is_heard(&self) -> bool {
        !self.ui.json && !self.ui.quiet
    }
}

/// Writes a git command as one would type it.
fn shown(args: &[&str]) -> String {
    let words = args.iter().map(|word| quoted(word));
    format!("git {}", words.collect::<Vec<_>>().join(" "))
}

/// What makes the folder the whole world of those who play in it. The last ones are against what the caller may have
/// exported: neither another author or date, nor hooks from a template, nor a format of repositories that is not read.
fn own_variables(home: &Path) -> Vec<(&'static str, OsString)> {
    vec![
        ("HOME", home.into()),
        ("XDG_CONFIG_HOME", home.join(".config").into()),
        ("XDG_STATE_HOME", home.join(".local/state").into()),
        ("GIT_CONFIG_GLOBAL", home.join("gitconfig").into()),
        ("GIT_CONFIG_NOSYSTEM", "1".into()),
        ("GIT_AUTHOR_NAME", "Demo".into()),
        ("GIT_AUTHOR_EMAIL", "demo@example.invalid".into()),
        ("GIT_AUTHOR_DATE", "".into()),
        ("GIT_COMMITTER_NAME", "Demo".into()),
        ("GIT_COMMITTER_EMAIL", "demo@example.invalid".into()),
        ("GIT_COMMITTER_DATE", "".into()),
        ("GIT_ATTR_NOSYSTEM", "1".into()),
        ("GIT_TEMPLATE_DIR", "".into()),
        ("GIT_DEFAULT_REF_FORMAT", "files".into()),
        ("GIT_DEFAULT_HASH", "sha1".into()),
    ]
}

/// What of the caller's environment is left, with our own: nothing that is git's, ours, or of the user's folders.
fn environment(ambient: &Ambient, own: &[(&'static str, OsString)]) -> Vec<(OsString, OsString)> {
    let is_foreign = |name: &OsString| {
        let name = name.as_encoded_bytes();
        let families: [&[u8]; 3] = [b"GIT_", b"DISPATCH_", b"XDG_"];
        name == b"HOME" || families.iter().any(|family| name.starts_with(family))
    };
    let left = ambient.vars().filter(|(name, _)| !is_foreign(name));
    let own = own.iter().map(|(name, value)| ((*name).into(), value.clone()));
    left.map(|(name, value)| (name.clone(), value.clone())).chain(own).collect()
}
