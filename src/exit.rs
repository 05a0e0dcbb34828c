//! Exit codes, decided once, here (CLI.md).

use std::process::ExitCode;

/// How a command ended, for the caller's shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: it failed.
    Failed,
    /// 2: wrong usage, a bad spec or bad configuration.
    Usage,
    /// 3: nothing to claim or run.
    Nothing,
    /// 4: done, but some task failed or some merge conflicted.
    Partly,
    /// `128+n`: ended by signal n.
    Signal(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Nothing => 3,
            Exit::Partly => 4,
            Exit::Signal(code) => code,
        })
    }
}

/// The families of error codes that mean that what was given is wrong.
const USAGE: &[&str] = &[
    "dispatch::usage::",
    "dispatch::name::",
    "dispatch::spec::",
    "dispatch::config::",
    "dispatch::enqueue::",
    "dispatch::task::",
    "dispatch::explain::",
    "dispatch::man::",
    "dispatch::demo::dir",
    "dispatch::bundle::",
    "dispatch::inbox::",
    "dispatch::issue::",
];

/// Decides the exit code of an error by its code's family.
pub fn of_error(code: Option<&str>) -> Exit {
    match code {
        Some(code) if USAGE.iter().any(|family| code.starts_with(family)) => Exit::Usage,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_wrongly_is_told_from_what_failed() {
        assert_eq!(of_error(Some("dispatch::spec::unclosed")), Exit::Usage);
        assert_eq!(of_error(Some("dispatch::config::unknown_key")), Exit::Usage);
        assert_eq!(of_error(Some("dispatch::hub::unreachable")), Exit::Failed);
        assert_eq!(of_error(None), Exit::Failed);
    }
}
