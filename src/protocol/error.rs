//! What a verb can refuse.

mod dependency;

pub use dependency::DependencyError;

use crate::task::TaskName;
use crate::task::text::escaped;
use crate::{config, git, hub, task};

/// The result of a verb.
pub type Result<T> = std::result::Result<T, Error>;

/// A refusal or a failure of a verb.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    /// The hub failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Hub(#[from] hub::Error),
    /// git or the repository failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Git(#[from] git::Error),
    /// The configuration is wrong.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Config(#[from] Box<config::ConfigError>),
    /// A name is wrong.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Name(#[from] task::name::NameError),
    /// A spec is wrong.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Spec(#[from] Box<task::spec::SpecError>),
    /// A file or folder given to a command cannot be read.
    #[error("cannot read `{}`", escaped(.path))]
    #[diagnostic(
        code(dispatch::enqueue::unreadable),
        help("name files that exist, folders with `*.md` in them, or `-` for standard input")
    )]
    Unreadable {
        /// As it was given.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A task of that name is queued already, with another content.
    #[error("{task} is queued already with another content, and is {state}")]
    #[diagnostic(
        code(dispatch::enqueue::exists),
        help(
            "give the changed spec another id; while a task is pending, `--replace` puts the newer spec in force"
        )
    )]
    Exists {
        /// The task.
        task: TaskName,
        /// Where it stands.
        state: task::State,
    },
    /// Two specs of one batch have one name.
    #[error("{task} is given twice: in `{}` and in `{}`", escaped(.first), escaped(.second))]
    #[diagnostic(code(dispatch::enqueue::twice), help("give one of them another `task_id` in its frontmatter"))]
    Twice {
        /// The task.
        task: TaskName,
        /// One file.
        first: String,
        /// The other.
        second: String,
    },
    /// The dependencies of a batch do not work out.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Dependency(#[from] Box<DependencyError>),
    /// A task argument names nothing.
    #[error("there is no task `{}`", escaped(.given))]
    #[diagnostic(code(dispatch::task::unknown))]
    UnknownTask {
        /// As it was given.
        given: String,
        /// The way out.
        #[help]
        help: String,
    },
    /// A task argument names several.
    #[error("`{}` is ambiguous: {}", escaped(.given), .candidates.join(", "))]
    #[diagnostic(code(dispatch::task::ambiguous), help("give the whole name, `<project>/<id>`"))]
    AmbiguousTask {
        /// As it was given.
        given: String,
        /// What it may mean.
        candidates: Vec<String>,
    },
    /// A named task cannot be claimed now.
    #[error("{task} cannot be claimed: it {why}")]
    #[diagnostic(code(dispatch::claim::not_claimable), help("`git dispatch list` shows where each task stands"))]
    NotClaimable {
        /// The task.
        task: TaskName,
        /// The obstacle.
        why: String,
    },
    /// The task cannot be cancelled any more.
    #[error("{task} {what}, which is too late to cancel it")]
    #[diagnostic(
        code(dispatch::cancel::too_late),
        help("what is merged is undone with `git revert -m 1 <merge commit>`; `git dispatch show` names it")
    )]
    TooLate {
        /// The task.
        task: TaskName,
        /// Where it stands.
        what: String,
    },
    /// A merged task is not run again.
    #[error("{task} is merged, and what is merged is not run again")]
    #[diagnostic(code(dispatch::retry::merged))]
    RetryMerged {
        /// The task.
        task: TaskName,
        /// The way out.
        #[help]
        help: String,
    },
    /// Only what ended is retried.
    #[error("{task} is {state}: only failed, conflicting and cancelled tasks are retried")]
    #[diagnostic(code(dispatch::retry::not_ended), help("wait for its end, or `git dispatch cancel` it first"))]
    NotEnded {
        /// The task.
        task: TaskName,
        /// Where it stands.
        state: task::State,
    },
    /// A newer spec came too late: the task was claimed before.
    #[error("{task} is {state}: it is too late for another spec")]
    #[diagnostic(
        code(dispatch::replace::too_late),
        help("the old spec stays in force; enqueue the new one under another id, or cancel the task and retry it")
    )]
    ReplaceTooLate {
        /// The task.
        task: TaskName,
        /// Where it stands.
        state: task::State,
    },
    /// The task is not this clone's.
    #[error("{task} is not claimed by hand in this clone")]
    #[diagnostic(
        code(dispatch::finish::not_claimed),
        help("`git dispatch claim TASK` first; what a node runs, it finishes and gives back by itself")
    )]
    NotClaimed {
        /// The task.
        task: TaskName,
    },
    /// The checkout of the task branch has uncommitted changes.
    #[error("`{}` has `{}` checked out, with uncommitted changes", .checkout.display(), escaped(.branch))]
    #[diagnostic(
        code(dispatch::finish::dirty),
        help("commit what belongs to the task, stash the rest, and finish again")
    )]
    FinishDirty {
        /// The branch.
        branch: String,
        /// The checkout.
        checkout: std::path::PathBuf,
    },
    /// The branch of a claim by hand is checked out, and is not at the claim's base.
    #[error("`{}` has `{}` checked out, which the claim would move", .checkout.display(), escaped(.branch))]
    #[diagnostic(
        code(dispatch::claim::checked_out),
        help("check out another branch there, or rename that one, and claim again")
    )]
    BranchCheckedOut {
        /// The branch.
        branch: String,
        /// The checkout.
        checkout: std::path::PathBuf,
    },
    /// The task branch is gone.
    #[error("the branch `{}` of {task} is not in this clone", escaped(.branch))]
    #[diagnostic(
        code(dispatch::finish::no_branch),
        help("make it again at your work with `git branch`, or give the task back with `git dispatch release`")
    )]
    FinishNoBranch {
        /// The task.
        task: TaskName,
        /// The branch.
        branch: String,
    },
    /// The task branch was rewritten.
    #[error("`{}` does not descend from the base {base} that the task was given", escaped(.branch))]
    #[diagnostic(code(dispatch::finish::not_descended), help("rebase your work onto that base, and finish again"))]
    FinishNotDescended {
        /// The branch.
        branch: String,
        /// The base.
        base: String,
    },
    /// The task was taken over while it was worked on.
    #[error("{task} is no longer yours: {}", escaped(.why))]
    #[diagnostic(code(dispatch::finish::fenced))]
    FinishFenced {
        /// The task.
        task: TaskName,
        /// By what.
        why: String,
        /// Where the work is.
        #[help]
        help: String,
    },
    /// What was to resolve a conflict does not.
    #[error("{task} is not resolved: {}", escaped(.why))]
    #[diagnostic(
        code(dispatch::finish::unresolved),
        help("`git dispatch show` tells how the merge is begun and how it is to end; `--failed` gives it up")
    )]
    FinishUnresolved {
        /// The repair.
        task: TaskName,
        /// What is missing.
        why: String,
    },
    /// The hub takes other things, and not this result.
    #[error("{task} has failed: {}", escaped(.why))]
    #[diagnostic(
        code(dispatch::finish::refused),
        help(
            "find out what the hub has against it (a hook, a size, a secret), mend that, and `git dispatch retry` the task"
        )
    )]
    FinishRefused {
        /// The task.
        task: TaskName,
        /// Where the work is.
        why: String,
    },
    /// The time that was given for waiting is up.
    #[error("{} not past running: {}", match .left.len() { 1 => "one task is", _ => "some tasks are" }, .left.join(", "))]
    #[diagnostic(
        code(dispatch::wait::timeout),
        help("`git dispatch list` shows where they stand; wait longer with `--timeout`")
    )]
    WaitTimeout {
        /// The tasks.
        left: Vec<String>,
    },
    /// A cursor is not known here.
    #[error("the cursor `{}` is not known in this clone", escaped(.cursor))]
    #[diagnostic(
        code(dispatch::log::unknown_cursor),
        help("cursors are a clone's own; start again without `--since`")
    )]
    UnknownCursor {
        /// As it was given.
        cursor: String,
    },
    /// There is no remote of that name.
    #[error("there is no remote `{}`", escaped(.name))]
    #[diagnostic(
        code(dispatch::config::no_remote),
        help("`git remote -v` lists them; set another with `git config dispatch.remote NAME`")
    )]
    NoRemote {
        /// The name.
        name: String,
    },
    /// The remote's address is of a kind that is not spoken.
    #[error("the remote `{}` is `{}`, which is not spoken", escaped(.name), escaped(.url))]
    #[diagnostic(
        code(dispatch::config::bad_remote),
        help("use a path, https://, ssh:// or host:path: the others run commands, or say nothing of who answers")
    )]
    BadRemote {
        /// The name.
        name: String,
        /// The address.
        url: String,
    },
    /// The remote is set up to be mirrored, which would overwrite our refs.
    #[error("the remote `{}` is a mirror (`remote.{0}.mirror`), so any `git fetch` or `git push` overwrites the queue", escaped(.name))]
    #[diagnostic(
        code(dispatch::config::mirror_remote),
        help("use a plain clone, or `git config --unset remote.NAME.mirror` and narrow `remote.NAME.fetch`")
    )]
    MirrorRemote {
        /// The name.
        name: String,
    },
    /// The file for the merge report cannot be written.
    #[error("the report cannot be written to {}: {source}", escaped(&.path.to_string_lossy()))]
    #[diagnostic(
        code(dispatch::collect::report),
        help("name a file in a folder that exists and that you may write to; what was collected stands")
    )]
    Report {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The repository has no commit on the target branch.
    #[error("the target branch `{}` has no commit yet", escaped(.branch))]
    #[diagnostic(code(dispatch::repo::no_commits), help("make a first commit: results are merged on top of it"))]
    NoCommits {
        /// The branch.
        branch: String,
    },
    /// History is cut off here.
    #[error("this clone is shallow, so merges cannot be computed in it")]
    #[diagnostic(code(dispatch::repo::shallow), help("`git fetch --unshallow` brings the rest"))]
    Shallow,
    /// Another `run` works in this clone.
    #[error("another `git dispatch run` is at work in this clone")]
    #[diagnostic(
        code(dispatch::run::already_running),
        help("use `--slots` there for more at once, or another clone for another node")
    )]
    AlreadyRunning,
    /// No node of that name was ever seen.
    #[error("there is no node `{}`", escaped(.node))]
    #[diagnostic(code(dispatch::assign::unknown_node))]
    UnknownNode {
        /// As it was given.
        node: String,
        /// The way out.
        #[help]
        help: String,
    },
    /// Only what is pending can be assigned.
    #[error("{task} is {state}: only pending tasks are assigned")]
    #[diagnostic(
        code(dispatch::assign::not_pending),
        help("`git dispatch release` or `retry` makes it pending again")
    )]
    NotPending {
        /// The task.
        task: TaskName,
        /// Where it stands.
        state: task::State,
    },
    /// The node cannot do the task.
    #[error("{task} cannot run on {}: {lack}", escaped(.node))]
    #[diagnostic(
        code(dispatch::assign::unfit),
        help("`git dispatch nodes` shows what each node offers; `[nodes.NAME]` in the configuration says so")
    )]
    Unfit {
        /// The task.
        task: TaskName,
        /// The node.
        node: String,
        /// What is missing.
        lack: String,
    },
    /// Another clone is at work under this node's name.
    #[error("another clone{} is at work as node `{node}`", if host.is_empty() { String::new() } else { format!(" on {}", escaped(host)) })]
    #[diagnostic(
        code(dispatch::run::name_taken),
        help("give this clone a name of its own: `git config dispatch.node NAME`, or `--node NAME`")
    )]
    NameTaken {
        /// The name.
        node: String,
        /// The other's machine.
        host: String,
    },
    /// A checkout of the target is in the way.
    #[error("`{}` has `{}` checked out, with changes that the merge would overwrite", .checkout.display(), escaped(.branch))]
    #[diagnostic(code(dispatch::collect::dirty_checkout), help("commit or stash them there; nothing was changed"))]
    DirtyCheckout {
        /// The checkout.
        checkout: std::path::PathBuf,
        /// The branch.
        branch: String,
    },
    /// A collect cannot merge, and no task is to blame.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Collect(#[from] Box<super::collect::CollectError>),
    /// There is no output of a task.
    #[error("there is no output of {task}{}", attempt.map(|n| format!(", attempt {n}")).unwrap_or_default())]
    #[diagnostic(
        code(dispatch::logs::none),
        help(
            "a task has output once an attempt at it has begun to write; `git dispatch list` shows where it stands"
        )
    )]
    NoLog {
        /// The task.
        task: TaskName,
        /// The attempt that was asked for.
        attempt: Option<u32>,
    },
    /// A bundle is refused, or a command where one was opened.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Bundle(#[from] Box<super::bundle::Refused>),
    /// An issue event is refused.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Issue(#[from] Box<crate::task::issue::IssueError>),
    /// A factory cannot work.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Factory(#[from] Box<super::factory::FactoryError>),
    /// An inbox cannot work.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Inbox(#[from] Box<super::inbox::InboxError>),
    /// A slot or an executor failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Executor(#[from] crate::executor::Error),
    /// There is no trust to be had.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Trust(#[from] Box<super::trust::TrustError>),
    /// Work must not be published.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Withheld(#[from] Box<super::vet::Withheld>),
}

impl From<super::bundle::Refused> for Error {
    fn from(error: super::bundle::Refused) -> Self {
        Self::Bundle(Box::new(error))
    }
}

impl From<git::bundle::BundleError> for Error {
    fn from(error: git::bundle::BundleError) -> Self {
        match error {
            git::bundle::BundleError::Git(error) => Self::Git(error),
            error => super::bundle::Refused::File(error).into(),
        }
    }
}

impl From<super::collect::CollectError> for Error {
    fn from(error: super::collect::CollectError) -> Self {
        Self::Collect(Box::new(error))
    }
}

impl From<config::ConfigError> for Error {
    fn from(error: config::ConfigError) -> Self {
        Self::Config(Box::new(error))
    }
}

impl From<task::spec::SpecError> for Error {
    fn from(error: task::spec::SpecError) -> Self {
        Self::Spec(Box::new(error))
    }
}

impl Error {
    /// Says whether the hub's not answering is the cause: then a later try may do better.
    pub const fn is_unreachable(&self) -> bool {
        match self {
            Self::Hub(error) => error.is_unreachable(),
            Self::Git(error) => error.is_unreachable(),
            _ => false,
        }
    }

    /// Returns git's failure, where that is the cause.
    pub const fn of_git(&self) -> Option<&crate::git::Error> {
        match self {
            Self::Git(error) => Some(error),
            Self::Hub(error) => error.of_git(),
            _ => None,
        }
    }
}
