//! Executors: how the work of one attempt is done, and the slot that it is done in.
//!
//! Owns what an executor is given (folder, environment, argv) and how its end is read. Knows neither claims nor the
//! hub: what an ending means for a task is `protocol`'s.

pub mod command;
pub mod said;
pub mod slot;
pub mod steps;
pub mod tmux;
pub mod verify;
pub mod work;

use std::path::PathBuf;

use crate::git;
use crate::task::text::escaped;

/// The result of executing.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of a slot or of starting an executor; never the executor's own.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    /// git failed in the slot.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Git(#[from] git::Error),
    /// A slot cannot be used.
    #[error("the slot `{}` cannot be prepared: {source}", escaped(&.path.to_string_lossy()))]
    #[diagnostic(
        code(dispatch::run::slot),
        help("check `node.work_dir`: permissions and free space; a slot can be deleted at any time")
    )]
    Slot {
        /// The path concerned.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// An executor's argv names a placeholder that is not known, or something that this task has not.
    #[error("the executor cannot be started: {0}")]
    #[diagnostic(code(dispatch::run::spawn), help("see `[executors.NAME]` in git-dispatch.toml"))]
    Spawn(String),
    /// `done` was said where nothing is at work.
    #[error("no task is at work in this folder")]
    #[diagnostic(
        code(dispatch::done::not_in_slot),
        help(
            "an executor says it in the folder that it was started in; by hand, it is `git dispatch finish TASK`"
        )
    )]
    NotInSlot,
}

impl Error {
    /// Wraps an error of the file system with the path concerned.
    pub fn slot(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Slot { path: path.into(), source }
    }
}
