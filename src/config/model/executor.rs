//! Owns the settings of one executor. Does not own how executors work, nor the defaults (the annotated file).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::blank;
use crate::config::duration::Dur;

/// Says how an executor does its work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecutorSettings {
    /// What sort of executor it is.
    pub kind: ExecutorKind,
    /// The argv with its placeholders; never empty for kind `command`, empty by default for kind `shell`.
    pub command: Vec<String>,
    /// What it reads on stdin.
    pub stdin: StdinSource,
    /// The text before the prompt; none: the built-in one; empty: nothing.
    pub preamble: Option<String>,
    /// Model names by priority: `critical high default low`, or its number.
    pub model: BTreeMap<String, String>,
    /// Environment variables to set.
    pub env: BTreeMap<String, String>,
    /// Globs of the names of the node's own variables that it gets.
    pub env_allow: Vec<String>,
    /// How long it may take.
    pub timeout: Timeout,
    /// How long it may be silent; zero: off.
    pub stall_timeout: Dur,
    /// The time between SIGTERM and SIGKILL.
    pub grace: Dur,
    /// What is run in the slot before the work.
    pub setup: Vec<String>,
    /// Globs of the files that `setup` depends on; empty: all files.
    pub setup_inputs: Vec<String>,
    /// What is run in the slot after the work.
    pub teardown: Vec<String>,
    /// tmux: sessions that are there, as `NAME` or, for tasks of one project alone, `PROJECT:NAME`.
    pub sessions: Vec<String>,
    /// tmux: what the names of numbered sessions begin with.
    pub prefix: String,
    /// tmux: the number of the first of them.
    pub start_index: u32,
    /// tmux: how many numbered sessions are kept open; at most `max`.
    pub min: u32,
    /// tmux: how many numbered sessions there may be; zero: none.
    pub max: u32,
    /// tmux: what the session shows when it waits for input.
    pub prompt_pattern: String,
    /// tmux: how long to wait for that; over zero.
    pub prompt_timeout: Dur,
    /// tmux: how long idle means done; zero: off.
    pub idle_done: Dur,
    /// tmux: how long a session rests after a failure.
    pub cooldown: Dur,
    /// tmux: the folder with resume ids; none: not used.
    #[serde(with = "blank")]
    pub resume_dir: Option<PathBuf>,
    /// tmux: the arguments that resume a session.
    pub resume_args: Vec<String>,
}

/// Sorts executors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExecutorKind {
    /// The `run` line of the spec, by a shell.
    Shell,
    /// An argv of the configuration.
    Command,
    /// An agent in a tmux session.
    Tmux,
}

/// Says what an executor reads on stdin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StdinSource {
    /// Nothing.
    None,
    /// The prompt.
    Prompt,
}

/// Says how long an executor may take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Timeout {
    /// This long, whatever the task; over zero.
    Fixed(Duration),
    /// This many times the task's estimate; over zero and finite.
    TimesEstimate(f64),
}

/// Says that a text is neither a duration over zero nor a multiple like `3x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither a duration over zero nor a multiple of the estimate")]
pub struct TimeoutError;

impl FromStr for Timeout {
    type Err = TimeoutError;

    fn from_str(text: &str) -> Result<Self, TimeoutError> {
        let Some(times) = text.strip_suffix('x') else {
            let duration = text.parse::<Dur>().map_err(|_| TimeoutError)?;
            return duration.unless_zero().map(Self::Fixed).ok_or(TimeoutError);
        };
        // `f64` would read "inf", "1e9" and "+3" as well: nobody means those.
        let plain = !times.is_empty() && times.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        match times.parse::<f64>() {
            Ok(number) if plain && number > 0.0 && number <= 10_000.0 => Ok(Self::TimesEstimate(number)),
            _ => Err(TimeoutError),
        }
    }
}

impl TryFrom<String> for Timeout {
    type Error = TimeoutError;

    fn try_from(text: String) -> Result<Self, TimeoutError> {
        text.parse()
    }
}

impl From<Timeout> for String {
    fn from(value: Timeout) -> Self {
        value.to_string()
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(duration) => Dur::from(*duration).fmt(f),
            Self::TimesEstimate(times) => write!(f, "{times}x"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_fixed_or_relative() {
        assert_eq!("2h".parse(), Ok(Timeout::Fixed(Duration::from_secs(7200))));
        assert_eq!("3x".parse(), Ok(Timeout::TimesEstimate(3.0)));
        assert_eq!("1.5x".parse(), Ok(Timeout::TimesEstimate(1.5)));
        for text in ["", "0s", "x", "0x", "-1x", "infx", "nanx", "1e9x", "3", "3 x", "99999x", ".x", "1.1.1x"] {
            assert_eq!(text.parse::<Timeout>(), Err(TimeoutError), "{text:?}");
        }
        for text in ["2h", "90s", "3x", "1.5x"] {
            assert_eq!(text.parse::<Timeout>().unwrap().to_string(), text);
        }
    }
}
