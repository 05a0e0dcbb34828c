//! What can be wrong with the dependencies of a batch.

use miette::SourceSpan;

use super::Error;
use crate::task::TaskName;
use crate::task::spec::Source;

/// What is wrong with the dependencies of a batch.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum DependencyError {
    /// A dependency is nowhere.
    #[error("{task} depends on {dependency}, which is neither on the queue nor in this batch")]
    #[diagnostic(code(dispatch::spec::unknown_dependency))]
    Unknown {
        /// The task.
        task: TaskName,
        /// What it names.
        dependency: TaskName,
        /// The file.
        #[source_code]
        file: Source,
        /// The place in it.
        #[label("not known")]
        at: Option<SourceSpan>,
        /// The way out.
        #[help]
        help: String,
    },
    /// Dependencies go in a circle.
    #[error("the dependencies go in a circle: {}", circle.iter().map(ToString::to_string).collect::<Vec<_>>().join(" → "))]
    #[diagnostic(code(dispatch::spec::dependency_cycle), help("take one of these dependencies out"))]
    Cycle {
        /// The circle; the last is the first again.
        circle: Vec<TaskName>,
        /// The file where it was found.
        #[source_code]
        file: Source,
        /// The place in it.
        #[label("closes the circle")]
        at: Option<SourceSpan>,
    },
}

impl From<DependencyError> for Error {
    fn from(error: DependencyError) -> Self {
        Self::Dependency(Box::new(error))
    }
}
