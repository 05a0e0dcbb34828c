//! Owns the settings of merging. Does not own merging, nor the defaults (the annotated file).

use serde::{Deserialize, Serialize};

use super::blank;
use crate::config::duration::Dur;

/// Says how finished work is merged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectSettings {
    /// What must pass before anything is pushed.
    pub verify: Verify,
    /// How long that may take; over zero.
    pub verify_timeout: Dur,
    /// How often a failed verify is run again before it counts.
    pub verify_retries: u32,
    /// The executor of repair tasks as configured; see [`Config::conflict_executor`](super::Config::conflict_executor).
    #[serde(with = "blank")]
    pub conflict_executor: Option<String>,
    /// How many repairs of one task are tried.
    pub max_repairs: u32,
    /// Whether merged task branches are deleted.
    pub delete_branches: bool,
    /// How long attempts, logs and leftovers are kept.
    pub keep: Dur,
}

/// Says how the tip of a collect is verified.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "VerifyForm", into = "VerifyForm")]
pub enum Verify {
    /// Not at all.
    #[default]
    None,
    /// By a shell line.
    Line(String),
    /// By a program with arguments, without a shell; never empty.
    Argv(Vec<String>),
}

/// How the file writes a [`Verify`].
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum VerifyForm {
    Line(String),
    Argv(Vec<String>),
}

impl From<VerifyForm> for Verify {
    fn from(form: VerifyForm) -> Self {
        match form {
            VerifyForm::Line(line) if line.trim().is_empty() => Self::None,
            VerifyForm::Line(line) => Self::Line(line),
            VerifyForm::Argv(argv) if argv.is_empty() => Self::None,
            VerifyForm::Argv(argv) => Self::Argv(argv),
        }
    }
}

impl From<Verify> for VerifyForm {
    fn from(verify: Verify) -> Self {
        match verify {
            Verify::None => Self::Argv(Vec::new()),
            Verify::Line(line) => Self::Line(line),
            Verify::Argv(argv) => Self::Argv(argv),
        }
    }
}
