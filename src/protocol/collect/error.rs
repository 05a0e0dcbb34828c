//! What keeps a collect from merging that is no task's fault.

use std::path::Path;

use crate::hub::error::said;
use crate::hub::{Error as HubError, Hub};
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
    #[error("nothing was merged, for the hub refuses to move {}{}", escaped(.target), said(.words.as_deref()))]
    #[diagnostic(
        code(dispatch::collect::refused),
        help(
            "it is protected, or a hook forbids it: make a branch of your own there (`git push origin main:refs/heads/integration/NAME`), collect into it with `--into integration/NAME`, and bring that in as your project does; or let this account push"
        )
    )]
    Refused {
        /// The branch.
        target: String,
        /// What the hub said.
        words: Option<String>,
    },
}

/// What a failed verification says about where its output is.
pub(super) fn output_in(log: &Path) -> String {
    format!("its output is in `{}`", crate::task::text::escaped(&log.to_string_lossy()))
}

impl CollectError {
    pub(super) fn refused(target: &str, hub: &Hub) -> Self {
        let words = match hub.refused(target) {
            HubError::Refused { words, .. } => words,
            _ => None,
        };
        Self::Refused { target: target.to_owned(), words }
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
