//! What keeps a collect from merging that is no task's fault.

use std::path::Path;

use crate::hub::{Hub, Place};
use crate::task::text::escaped;

/// A collect that merged nothing and rejected nobody, because of something that a person should mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum CollectError {
    /// The target itself does not pass.
    #[error("{} fails verification before anything is merged into it: {}", escaped(.target), escaped(.how))]
    #[diagnostic(code(dispatch::collect::target_broken))]
    TargetBroken {
        /// The branch.
        target: String,
        /// How the command ended.
        how: String,
        /// Where the output is, and the way out.
        #[help]
        help: String,
    },
    /// The command did not end in time.
    #[error("the verification of {} did not end in time: {}", escaped(.target), escaped(.how))]
    #[diagnostic(code(dispatch::collect::verify_timeout))]
    TimedOut {
        /// The branch.
        target: String,
        /// How the command ended.
        how: String,
        /// Where the output is, and the way out.
        #[help]
        help: String,
    },
    /// Somebody ended the command.
    #[error("the verification of {} was ended from outside: {}", escaped(.target), escaped(.how))]
    #[diagnostic(code(dispatch::collect::verify_killed))]
    Killed {
        /// The branch.
        target: String,
        /// How the command ended.
        how: String,
        /// Where the output is, and the way out.
        #[help]
        help: String,
    },
    /// The command could not be started, on the target itself neither.
    #[error("the verification of {} could not be started: {}", escaped(.target), escaped(.how))]
    #[diagnostic(code(dispatch::collect::verify_not_started))]
    NotStarted {
        /// The branch.
        target: String,
        /// How the command ended.
        how: String,
        /// Where the output is, and the way out.
        #[help]
        help: String,
    },
    /// The hub answers, and does not let the target be moved.
    #[error("the hub refuses to move {}; nothing was merged", escaped(.target))]
    #[diagnostic(
        code(dispatch::collect::refused),
        help(
            "it is protected, or a hook forbids it: collect into a branch of your own with `--into integration/NAME`, and bring that in as your project does; or let this account push"
        )
    )]
    Refused {
        /// The branch.
        target: String,
    },
    /// The branch given by `--into` is not there.
    #[error("there is no branch {} on the hub to merge into", escaped(.target))]
    #[diagnostic(code(dispatch::collect::no_branch))]
    NoBranch {
        /// The branch.
        target: String,
        /// How to make it.
        #[help]
        help: String,
    },
}

/// What a failed verification says about where its output is.
pub(super) fn output_in(log: &Path) -> String {
    format!("its output is in `{}`", log.display())
}

impl CollectError {
    pub(super) fn no_branch(target: &str, hub: &Hub) -> Self {
        let remote = match &hub.place {
            Place::Remote(remote) => format!("git push {} {}:refs/heads/{target}", remote.name, hub.target),
            Place::Embedded => format!("git branch {target} {}", hub.target),
        };
        Self::NoBranch { target: target.to_owned(), help: format!("make it first, such as by `{remote}`") }
    }

    pub(super) fn target_broken(target: &str, how: &str, log: &Path) -> Self {
        Self::TargetBroken {
            target: target.to_owned(),
            how: how.to_owned(),
            help: format!(
                "no task was rejected, and nothing was merged; {}. Mend the branch, or collect the task that mends it by itself: `git dispatch collect TASK`",
                output_in(log)
            ),
        }
    }
}
