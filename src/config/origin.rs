//! Owns where a setting's value came from, and how that is told to people. Does not own the values.

use std::fmt;
use std::ops::Range;

use super::path::KeyPath;

/// Ranks the layers of settings; the later wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// What is compiled in.
    Default,
    /// The committed `git-dispatch.toml`.
    File,
    /// `git config dispatch.*`.
    GitConfig,
    /// `GIT_DISPATCH_*` environment variables.
    Environment,
    /// Options of the command line.
    Option,
}

/// Names the place that a setting's value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The value is the default.
    Default,
    /// The value stands in the configuration file.
    File {
        /// The file as it is shown: a path, or `main:git-dispatch.toml` where it was read from a tree.
        name: String,
        /// The value's line, from 1.
        line: usize,
        /// The value's place in the text, in bytes.
        span: Range<usize>,
    },
    /// The value was given by `git config`.
    GitConfig {
        /// The key as people write it: `dispatch.node.pollMax`.
        key: String,
        /// The scope as `git config --show-scope` calls it: `local`, `global`, …
        scope: String,
    },
    /// The value was given by an environment variable.
    Env {
        /// The variable's name.
        variable: String,
    },
    /// The value was given by an option.
    Option {
        /// The option as it is written: `--slots`.
        flag: String,
    },
}

impl Origin {
    /// Gives the layer that this place belongs to.
    pub fn layer(&self) -> Layer {
        match self {
            Self::Default => Layer::Default,
            Self::File { .. } => Layer::File,
            Self::GitConfig { .. } => Layer::GitConfig,
            Self::Env { .. } => Layer::Environment,
            Self::Option { .. } => Layer::Option,
        }
    }

    /// Names a setting as somebody who gave it here knows it; begins an error message.
    pub(crate) fn subject(&self, path: &KeyPath) -> String {
        match self {
            Self::Default => format!("the built-in default of `{path}`"),
            Self::File { .. } => format!("`{path}`"),
            Self::GitConfig { key, scope } if scope.is_empty() => {
                format!("git config `{}`", key.escape_debug())
            }
            Self::GitConfig { key, scope } => {
                format!("git config `{}` ({scope})", key.escape_debug())
            }
            Self::Env { variable } => format!("environment variable `{}`", variable.escape_debug()),
            Self::Option { flag } => format!("option `{}`", flag.escape_debug()),
        }
    }
}

impl fmt::Display for Origin {
    /// Writes the place in a few words: `default`, `git-dispatch.toml:12`, `git config dispatch.node.slots (local)`,
    /// `environment GIT_DISPATCH_NODE_SLOTS`, `option --slots`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { name, line, .. } => write!(f, "{name}:{line}"),
            Self::GitConfig { key, scope } if scope.is_empty() => write!(f, "git config {key}"),
            Self::GitConfig { key, scope } => write!(f, "git config {key} ({scope})"),
            Self::Env { variable } => write!(f, "environment {variable}"),
            Self::Option { flag } => write!(f, "option {flag}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_told_in_a_few_words() {
        let file = Origin::File { name: "main:git-dispatch.toml".into(), line: 12, span: 5..9 };
        let git = Origin::GitConfig { key: "dispatch.node.slots".into(), scope: "local".into() };
        let env = Origin::Env { variable: "GIT_DISPATCH_NODE_SLOTS".into() };
        let option = Origin::Option { flag: "--slots".into() };
        let told: Vec<_> = [Origin::Default, file, git, env, option].iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "default",
                "main:git-dispatch.toml:12",
                "git config dispatch.node.slots (local)",
                "environment GIT_DISPATCH_NODE_SLOTS",
                "option --slots",
            ]
        );
    }

    #[test]
    fn later_layers_rank_higher() {
        assert!(Layer::Default < Layer::File && Layer::File < Layer::GitConfig);
        assert!(Layer::GitConfig < Layer::Environment && Layer::Environment < Layer::Option);
    }
}
