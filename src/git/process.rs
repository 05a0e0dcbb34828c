//! The one door to git(1).
//!
//! Owns the environment, the flags and the deadline under which git runs. What a command prints is read by
//! `porcelain`. Every forced setting says why, for whoever wonders whether it is still needed.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::error::{Error, Result};
use crate::exec::cancel::Cancel;
use crate::exec::{Ended, Limits, collect_output, run_through};
use crate::fail;

/// How long git gets to clean up after a SIGTERM before SIGKILL: a SIGKILL of a push to a path leaves lock files there.
const GRACE: Duration = Duration::from_secs(5);

/// What `git rev-parse --local-env-vars` lists, and what else redirects git: none of it may reach our children, since
/// `git --git-dir=X dispatch` and hooks export it to us.
const SCRUBBED: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
    "GIT_OBJECT_DIRECTORY",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_COMMON_DIR",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_QUARANTINE_PATH",
    "GIT_ATTR_SOURCE",
    "GIT_LITERAL_PATHSPECS",
    "GIT_GLOB_PATHSPECS",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_ICASE_PATHSPECS",
    "GIT_NOTES_REF",
    "GIT_NOTES_DISPLAY_REF",
    "GIT_EXTERNAL_DIFF",
    "GIT_PUSH_OPTION_COUNT",
    "GIT_REFLOG_ACTION",
];

/// Says whether a variable of the environment would point git at another repository.
pub fn redirects_git(name: &str) -> bool {
    SCRUBBED.contains(&name)
}

/// What a git command printed and how it ended.
#[derive(Debug)]
pub struct Output {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error, lossily decoded: for people only, no decision is made from it.
    pub stderr: String,
}

impl Output {
    /// Says whether the exit code was 0.
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }

    /// Returns standard output as text without the last newline.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end_matches('\n').to_owned()
    }
}

/// git(1), pointed at one repository.
#[derive(Debug, Clone)]
pub struct Git {
    git_dir: Option<PathBuf>,
    work_tree: Option<PathBuf>,
    cwd: PathBuf,
    settings: Vec<String>,
    env: Vec<(String, OsString)>,
    deadline: Duration,
    cancel: Cancel,
}

impl Git {
    /// Points git at `git_dir`, and at `work_tree` where there is one. Both are said explicitly, so that git never
    /// looks for a repository by itself: a slot whose `.git` an executor deleted must not become its parent's.
    pub fn at(git_dir: &Path, work_tree: Option<&Path>) -> Self {
        Self {
            git_dir: Some(git_dir.to_owned()),
            work_tree: work_tree.map(Path::to_owned),
            cwd: work_tree.unwrap_or(git_dir).to_owned(),
            settings: Vec::new(),
            env: Vec::new(),
            deadline: Duration::from_secs(300),
            cancel: Cancel::new(),
        }
    }

    /// Makes git run without a repository, in `cwd`: for `init` and `clone`.
    pub fn outside(cwd: &Path) -> Self {
        let mut git = Self::at(cwd, None);
        git.git_dir = None;
        git
    }

    /// Points git at another folder of refs and settings, from where it is.
    pub fn with_git_dir(mut self, git_dir: &Path) -> Self {
        self.git_dir = Some(git_dir.to_owned());
        self
    }

    /// Adds a `-c` setting for each command.
    pub fn with_setting(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    /// Adds an environment variable for each command.
    pub fn with_env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Bounds each command in time.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Ends each command, with SIGTERM first, once `cancel` is raised.
    pub fn with_cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }

    /// Runs git and returns what came of it, whatever the exit code.
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S], stdin: Option<Vec<u8>>) -> Result<Output> {
        let mut command = self.command(args);
        // Executors and git children are ended by group, so git gets its own: a Ctrl-C at our terminal must not reach
        // a receive-pack on a path hub and leave its locks there.
        let limits = Limits { deadline: self.deadline, stall: None, grace: GRACE };
        fail::point("git.before");
        let (ended, stdout, stderr) =
            collect_output(&mut command, stdin, &limits, &self.cancel).map_err(Error::NotInstalled)?;
        fail::point("git.after");
        match ended {
            Ended::Exited(status) => {
                Ok(Output { code: status.code(), stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() })
            }
            Ended::TimedOut | Ended::Stalled => Err(Error::TimedOut { command: shown(args), after: self.deadline }),
            Ended::Cancelled => Err(Error::Interrupted),
        }
    }

    /// Runs git between a file that it reads and one that it writes, from where they stand: for packs, which may be larger
    /// than memory.
    pub fn run_through<S: AsRef<OsStr>>(&self, args: &[S], stdin: Stdio, stdout: Stdio) -> Result<Output> {
        let mut command = self.command(args);
        let limits = Limits { deadline: self.deadline, stall: None, grace: GRACE };
        fail::point("git.before");
        let (ended, stderr) =
            run_through(&mut command, stdin, stdout, &limits, &self.cancel).map_err(Error::NotInstalled)?;
        fail::point("git.after");
        match ended {
            Ended::Exited(status) => Ok(Output {
                code: status.code(),
                stdout: Vec::new(),
                stderr: String::from_utf8_lossy(&stderr).into_owned(),
            }),
            Ended::TimedOut | Ended::Stalled => Err(Error::TimedOut { command: shown(args), after: self.deadline }),
            Ended::Cancelled => Err(Error::Interrupted),
        }
    }

    /// Runs git and demands exit code 0.
    pub fn check<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Output> {
        self.check_with(args, None)
    }

    /// Runs git with `stdin` and demands exit code 0.
    pub fn check_with<S: AsRef<OsStr>>(&self, args: &[S], stdin: Option<Vec<u8>>) -> Result<Output> {
        let output = self.run(args, stdin)?;
        if output.is_success() {
            return Ok(output);
        }
        Err(Error::Failed { command: shown(args), code: output.code, stderr: output.stderr })
    }

    #[expect(clippy::disallowed_methods, reason = "the one door to git(1)")]
    fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new("git");
        command.current_dir(&self.cwd);
        for name in SCRUBBED {
            command.env_remove(name);
        }
        command
            // Messages are for people and for our error texts, but never change with the user's language.
            .env("LC_ALL", "C")
            // Nobody sits there to answer; git must fail instead of waiting for a password.
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_EDITOR", ":")
            .env("GIT_PAGER", "cat")
            // `ext::` and friends run what a URL says, whatever was written or rewritten into one; `git:` and `http:` prove
            // nothing of who answers (see `address` for where they are spoken all the same).
            .env("GIT_ALLOW_PROTOCOL", "file:https:ssh");
        for (name, value) in &self.env {
            command.env(name, value);
        }
        // The user's hooks, file monitor and automatic housekeeping are for the user's own commands.
        command.args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0"]);
        command.args(["-c", "maintenance.auto=false", "-c", "advice.detachedHead=false"]);
        // Names that other systems take for `.git` are never written, whatever was configured.
        command.args(["-c", "core.protectHFS=true", "-c", "core.protectNTFS=true"]);
        // A repository that shares another's objects may name a command of its own that is asked for its refs.
        command.args(["-c", "core.alternateRefsCommand=:"]);
        // All refs of a reftable share one lock: others who write in the same moment are waited for.
        command.args(["-c", "reftable.lockTimeout=1000"]);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        if let Some(git_dir) = &self.git_dir {
            command.arg(joined("--git-dir=", git_dir));
        }
        if let Some(work_tree) = &self.work_tree {
            command.arg(joined("--work-tree=", work_tree));
        }
        command.args(args);
        command
    }
}

fn joined(option: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(option);
    argument.push(path);
    argument
}

/// Shortens a command for an error message: a push of fifty claims is not to be read whole.
fn shown<S: AsRef<OsStr>>(args: &[S]) -> String {
    let text: Vec<_> = args.iter().map(|arg| arg.as_ref().to_string_lossy()).collect();
    let text = text.join(" ");
    match text.char_indices().nth(160) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
