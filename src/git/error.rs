//! What can go wrong with git and a repository.

use std::path::PathBuf;
use std::time::Duration;

use crate::task::text::{escaped, one_line};

/// The result of a git operation.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of git(1), of the repository, or of the way to the remote.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    /// git(1) could not be started.
    #[error("git could not be started")]
    #[diagnostic(
        code(dispatch::git::not_installed),
        help("install git 2.39 or newer and see that it is on the PATH")
    )]
    NotInstalled(#[source] std::io::Error),
    /// git(1) said no.
    #[error("`git {command}` failed{}: {}", exit_text(*.code), escaped(&one_line(.stderr)))]
    #[diagnostic(
        code(dispatch::git::failed),
        help(
            "run the command by hand to see more; what was begun is taken up again when the same command is given again"
        )
    )]
    Failed {
        /// The subcommand and its arguments, shortened.
        command: String,
        /// The exit code, if it was not ended by a signal.
        code: Option<i32>,
        /// What it wrote to standard error.
        stderr: String,
    },
    /// A signature could not be made.
    #[error("it could not be signed with `{}`: {}", escaped(&.key.to_string_lossy()), escaped(&one_line(.detail)))]
    #[diagnostic(
        code(dispatch::trust::unsigned),
        help(
            "is the key there and readable? One behind a passphrase must be in your ssh-agent; nothing was published"
        )
    )]
    Unsigned {
        /// The key.
        key: PathBuf,
        /// What ssh-keygen said.
        detail: String,
    },
    /// ssh-keygen could not be started.
    #[error("`{}` could not be started", escaped(.program))]
    #[diagnostic(
        code(dispatch::trust::no_ssh_keygen),
        help(
            "signatures are made and looked at by ssh-keygen, of OpenSSH 8.2 or newer: see that it is on the PATH"
        )
    )]
    NoSshKeygen {
        /// The program.
        program: String,
        /// The cause.
        source: std::io::Error,
    },
    /// git(1) took longer than it may.
    #[error("`git {command}` did not end within {} s", .after.as_secs_f32())]
    #[diagnostic(
        code(dispatch::git::timeout),
        help("is the remote reachable? `sync_timeout` in git-dispatch.toml bounds the wait")
    )]
    TimedOut {
        /// The subcommand and its arguments, shortened.
        command: String,
        /// The deadline that passed.
        after: Duration,
    },
    /// The remote did not answer, or not with what was asked.
    #[error("the hub `{}` does not answer: {}", escaped(.remote), escaped(&sentence(.detail)))]
    #[diagnostic(
        code(dispatch::hub::unreachable),
        help(
            "check the network and your access with `git ls-remote`; the same command can be given again, and finds what the hub has already"
        )
    )]
    Unreachable {
        /// The remote's name or URL.
        remote: String,
        /// What git said.
        detail: String,
    },
    /// The remote answers, and does not let us in.
    #[error("the hub `{}` does not let this clone in (HTTP {status}): {}", escaped(.remote), escaped(&sentence(.detail)))]
    #[diagnostic(
        code(dispatch::hub::denied),
        help(
            "the token or password that git uses there is missing, wrong, has run out, or may not do this: `git ls-remote` shows the same; put it right in the credential helper and give the command again"
        )
    )]
    Denied {
        /// The remote's name or URL.
        remote: String,
        /// The status of HTTP.
        status: u16,
        /// What git said.
        detail: String,
    },
    /// The remote answers, and asks to be left alone for a while.
    #[error("the hub `{}` asks to be left alone{} (HTTP {status})", escaped(.remote), for_seconds(*.wait))]
    #[diagnostic(
        code(dispatch::hub::later),
        help(
            "give the same command again then; a node that stays waits by itself, and polls less often with a larger `node.poll`"
        )
    )]
    Later {
        /// The remote's name or URL.
        remote: String,
        /// The status of HTTP.
        status: u16,
        /// For how long, where it said so.
        wait: Option<Duration>,
    },
    /// A clone without trees could not fetch, most likely for want of them.
    #[error("this partial clone has no trees, and what the hub has cannot be fetched into it: {}", escaped(&sentence(.detail)))]
    #[diagnostic(
        code(dispatch::repo::treeless),
        help(
            "have them fetched: `git config remote.NAME.partialclonefilter blob:none && git fetch --refetch NAME`"
        )
    )]
    Treeless {
        /// What git said.
        detail: String,
    },
    /// The branch that results go to is not there.
    #[error("the target branch `{}` does not exist on the hub", escaped(.branch))]
    #[diagnostic(
        code(dispatch::hub::no_target),
        help(
            "push a first commit to it (`git push origin main:refs/heads/NAME`; `git branch NAME` where this repository is the hub), or name another: `target` in git-dispatch.toml, `git config dispatch.target`, `collect --into`"
        )
    )]
    NoTarget {
        /// The branch.
        branch: String,
    },
    /// Not inside a repository.
    #[error("`{}` is not in a git repository", escaped(&.path.to_string_lossy()))]
    #[diagnostic(
        code(dispatch::repo::not_found),
        help("go into a clone of your project, or name it with `-C DIR`; `git dispatch demo` works anywhere")
    )]
    NotARepository {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The repository cannot be used, for a reason that git has.
    #[error("the repository `{}` cannot be opened: {detail}", escaped(&.path.to_string_lossy()))]
    #[diagnostic(code(dispatch::repo::unusable), help("`git status` there says more"))]
    Unusable {
        /// The repository.
        path: PathBuf,
        /// The reason.
        detail: String,
    },
    /// The repository names its objects by another hash than SHA-1.
    #[error("the repository `{}` names its objects by `{}`, which git-dispatch does not read yet", .path.display(), escaped(.format))]
    #[diagnostic(
        code(dispatch::repo::object_format),
        help("use a repository whose objects are named by SHA-1, as is git's default")
    )]
    ObjectFormat {
        /// The repository.
        path: PathBuf,
        /// The hash.
        format: String,
    },
    /// The repository keeps its refs neither as files nor in a reftable.
    #[error("the repository `{}` keeps its refs as `{}`, which git-dispatch does not read", escaped(&.path.to_string_lossy()), escaped(.format))]
    #[diagnostic(
        code(dispatch::repo::ref_storage),
        help(
            "use a clone with `files` or `reftable` refs: `git clone --ref-format=files`, or `git refs migrate --ref-format=files`"
        )
    )]
    RefStorage {
        /// The repository.
        path: PathBuf,
        /// The format's name.
        format: String,
    },
    /// An object or a ref could not be read or written.
    #[error("{what}: {detail}")]
    #[diagnostic(
        code(dispatch::repo::storage),
        help("`git fsck` says whether the repository is sound; is the disk full?")
    )]
    Storage {
        /// What was tried.
        what: String,
        /// The causes, joined.
        detail: String,
    },
    /// Another process of git holds a ref, and does not let it go.
    #[error("`{}` stands in the way: another git process writes there, or one was killed while it did", escaped(&.path.to_string_lossy()))]
    #[diagnostic(
        code(dispatch::repo::locked),
        help("give the command again when the other has ended; if no git process runs here, remove the file")
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A file beside the repository could not be read or written.
    #[error("`{}`: {source}", escaped(&.path.to_string_lossy()))]
    #[diagnostic(code(dispatch::repo::file), help("check permissions and free space"))]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The work was interrupted by a signal.
    #[error("interrupted")]
    #[diagnostic(code(dispatch::git::interrupted), help("give the same command again to go on"))]
    Interrupted,
}

/// Puts git's complaint on one line: its lines parted by semicolons, without what is the same in all of them.
fn sentence(stderr: &str) -> String {
    const SAME_ALWAYS: &[&str] = &[
        "Could not read from remote repository.",
        "Please make sure you have the correct access rights",
        "and the repository exists.",
    ];
    let line = |line: &str| one_line(line.strip_prefix("fatal: ").or(line.strip_prefix("error: ")).unwrap_or(line));
    let lines: Vec<String> = stderr.lines().map(line).filter(|line| !line.is_empty()).collect();
    let telling: Vec<&str> = lines.iter().map(String::as_str).filter(|line| !SAME_ALWAYS.contains(line)).collect();
    match telling.is_empty() {
        true => lines.join("; "),
        false => telling.join("; "),
    }
}

fn for_seconds(wait: Option<Duration>) -> String {
    wait.map_or_else(String::new, |wait| format!(" for {} s", wait.as_secs()))
}

fn exit_text(code: Option<i32>) -> String {
    code.map_or_else(|| " (ended by a signal)".to_owned(), |code| format!(" (exit {code})"))
}

impl Error {
    /// Wraps an error of gix with what was tried.
    pub fn storage(what: impl Into<String>, error: &gix::Error) -> Self {
        Self::Storage { what: what.into(), detail: escaped(&error.to_string()).to_string() }
    }

    /// Wraps an error of the file system with the path concerned.
    pub fn file(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::File { path: path.into(), source }
    }

    /// Says whether the cause is a hub that does not answer, or does not let us in, or one in this repository whose refs
    /// somebody else holds: a later try may do better.
    pub const fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Denied { .. }
                | Self::Later { .. }
                | Self::TimedOut { .. }
                | Self::Locked { .. }
        )
    }

    /// Says whether the hub answers, and turns this clone away: who runs here has to know.
    pub const fn is_turned_away(&self) -> bool {
        matches!(self, Self::Denied { .. } | Self::Later { .. })
    }

    /// Returns how long the hub asks to be left alone.
    pub const fn wait(&self) -> Option<Duration> {
        match self {
            Self::Later { wait, .. } => *wait,
            _ => None,
        }
    }
}
