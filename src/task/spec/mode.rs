//! The mode of a task: who decides where it runs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::task::text;

/// Says how a task is meant to reach a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// The scheduler decides.
    #[default]
    Undecided,
    /// A coordinator gives it to a node.
    Push,
    /// A node takes it by itself.
    Pull,
}

/// Says that a word is no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{shown}` is not a mode: undecided, push or pull")]
pub struct UnknownMode {
    /// The word, escaped and cut short.
    pub shown: String,
}

impl Mode {
    /// Returns the word as specs, records and JSON spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::Push => "push",
            Self::Pull => "pull",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Mode {
    type Err = UnknownMode;

    /// Reads a mode or one of its aliases, in any letter case.
    fn from_str(word: &str) -> Result<Self, UnknownMode> {
        match word.to_ascii_lowercase().as_str() {
            "undecided" => Ok(Self::Undecided),
            "push" | "ssh_cli" => Ok(Self::Push),
            "pull" | "http_pull" => Ok(Self::Pull),
            _ => Err(UnknownMode { shown: text::excerpt(word, 80) }),
        }
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_aliases() {
        for (word, mode) in [
            ("undecided", Mode::Undecided),
            ("push", Mode::Push),
            ("ssh_cli", Mode::Push),
            ("pull", Mode::Pull),
            ("http_pull", Mode::Pull),
            ("PULL", Mode::Pull),
        ] {
            assert_eq!(word.parse(), Ok(mode), "{word}");
            assert_eq!(mode.to_string().parse(), Ok(mode));
            assert_eq!(serde_json::from_str::<Mode>(&serde_json::to_string(&mode).unwrap()).unwrap(), mode);
        }
        assert_eq!(Mode::default(), Mode::Undecided);
        assert_eq!(
            "a\x1b".parse::<Mode>().unwrap_err().to_string(),
            "`a\\u{1b}` is not a mode: undecided, push or pull"
        );
    }
}
