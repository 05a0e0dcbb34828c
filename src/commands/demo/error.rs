//! What can go wrong with a demo.

use std::io;
use std::path::PathBuf;

use crate::git;
use crate::task::text::escaped;

/// The result of a part of the demo.
pub(super) type Result<T> = std::result::Result<T, DemoError>;

/// A demo that cannot begin, or a day that did not go as it should.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(super) enum DemoError {
    /// The folder that was named is not free.
    #[error("`{}` is not an empty folder", escaped(&.path.to_string_lossy()))]
    #[diagnostic(
        code(dispatch::demo::dir),
        help("name a folder that is empty or not there yet; without `--dir` the demo makes one of its own")
    )]
    Taken {
        /// The folder.
        path: PathBuf,
    },
    /// There is no folder to play in.
    #[error("no scratch folder could be made{}", .path.as_ref().map(|path| format!(" at `{}`", escaped(&path.to_string_lossy()))).unwrap_or_default())]
    #[diagnostic(
        code(dispatch::demo::step),
        help("name a place that you may write to, with `--dir D` or with TMPDIR")
    )]
    NoFolder {
        /// The folder that was named, if one was.
        path: Option<PathBuf>,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// git(1) is not there.
    #[error(transparent)]
    #[diagnostic(transparent)]
    NoGit(git::Error),
    /// A step of the day failed.
    #[error("the day went wrong while {step}")]
    #[diagnostic(
        code(dispatch::demo::step),
        help("`git dispatch demo --keep` leaves the folder, so that the step can be given again by hand")
    )]
    Step {
        /// What was being done.
        step: &'static str,
        /// The cause.
        #[source]
        source: Wrong,
    },
    /// A signal came.
    #[error("the demo was interrupted while {step}")]
    #[diagnostic(code(dispatch::git::interrupted))]
    Interrupted {
        /// What was being done.
        step: &'static str,
    },
}

/// What went wrong in a step.
#[derive(Debug, thiserror::Error)]
pub(super) enum Wrong {
    /// git(1) failed.
    #[error(transparent)]
    Git(#[from] git::Error),
    /// The system failed.
    #[error(transparent)]
    System(#[from] io::Error),
    /// It came otherwise than it should.
    #[error("{0}")]
    Unexpected(String),
    /// A signal came.
    #[error("interrupted")]
    Interrupted,
}

impl Wrong {
    /// Says in which step it happened.
    pub(super) fn while_(self, step: &'static str) -> DemoError {
        match self {
            Self::Interrupted | Self::Git(git::Error::Interrupted) => DemoError::Interrupted { step },
            Self::Git(error @ git::Error::NotInstalled(_)) => DemoError::NoGit(error),
            source => DemoError::Step { step, source },
        }
    }
}
